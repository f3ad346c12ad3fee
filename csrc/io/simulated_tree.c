/* Contents, changes and trees of names of the simulated file system.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/status.h"
#include "simulated_parts.h"

/* ---- contents */

struct sutra_simulated_buffer {
    size_t users; /* atomic: crash states of one file system may be in different threads */
    size_t capacity;
    uint8_t data[];
};

static void release_buffer(struct sutra_simulated_buffer *buffer)
{
    if (buffer != NULL && __atomic_sub_fetch(&buffer->users, 1, __ATOMIC_ACQ_REL) == 0)
        free(buffer);
}

/* Make the image's buffer its own, with room for `capacity` bytes. */
static int own_buffer(struct sutra_simulated_image *image, size_t capacity)
{
    struct sutra_simulated_buffer *buffer = image->buffer;
    bool shared = buffer != NULL && __atomic_load_n(&buffer->users, __ATOMIC_ACQUIRE) > 1;
    if (buffer != NULL && !shared && capacity <= buffer->capacity)
        return SUTRA_OK;
    if (buffer != NULL && capacity > buffer->capacity && capacity < 2 * buffer->capacity)
        capacity = 2 * buffer->capacity; /* appended to */
    if (capacity < image->length)
        capacity = image->length;
    struct sutra_simulated_buffer *own;
    if (shared) {
        own = malloc(sizeof *own + capacity);
        if (own == NULL)
            return ENOMEM;
        memcpy(own->data, buffer->data, image->length);
        release_buffer(buffer);
    } else {
        own = realloc(buffer, sizeof *own + capacity);
        if (own == NULL)
            return ENOMEM;
    }
    own->users = 1;
    own->capacity = capacity;
    image->buffer = own;
    return SUTRA_OK;
}

void sutra_simulated_image_resize(struct sutra_simulated_image *image, uint64_t size)
{
    image->size = size;
    if (image->length > size)
        image->length = (size_t)size;
}

int sutra_simulated_image_write(struct sutra_simulated_image *image, uint64_t offset,
                                const void *data, size_t bytes)
{
    if (offset >= image->size)
        return SUTRA_OK;
    if (bytes > image->size - offset)
        bytes = (size_t)(image->size - offset);
    if (bytes == 0)
        return SUTRA_OK;
    uint64_t end = offset + bytes;
    if (end > SUTRA_SIMULATED_DATA_MAX)
        return EFBIG;
    int status = own_buffer(image, (size_t)end);
    if (status != SUTRA_OK)
        return status;
    if (offset > image->length)
        memset(image->buffer->data + image->length, 0, (size_t)offset - image->length);
    memcpy(image->buffer->data + offset, data, bytes);
    if (end > image->length)
        image->length = (size_t)end;
    return SUTRA_OK;
}

void sutra_simulated_image_read(const struct sutra_simulated_image *image, uint64_t offset,
                                void *data, size_t bytes)
{
    size_t there = 0;
    if (offset < image->length) {
        there = image->length - (size_t)offset;
        if (there > bytes)
            there = bytes;
        memcpy(data, image->buffer->data + offset, there);
    }
    if (bytes > there)
        memset((uint8_t *)data + there, 0, bytes - there);
}

int sutra_simulated_image_flatten(struct sutra_simulated_image *image, uint8_t **data_out)
{
    *data_out = NULL;
    if (image->size > SUTRA_SIMULATED_DATA_MAX)
        return EFBIG;
    int status = own_buffer(image, image->size > 0 ? (size_t)image->size : 1);
    if (status != SUTRA_OK)
        return status;
    memset(image->buffer->data + image->length, 0, (size_t)image->size - image->length);
    image->length = (size_t)image->size;
    *data_out = image->buffer->data;
    return SUTRA_OK;
}

/* ---- changes */

struct sutra_simulated_change *sutra_simulated_change_new(int kind, size_t bytes)
{
    if (bytes > SIZE_MAX - sizeof(struct sutra_simulated_change))
        return NULL;
    struct sutra_simulated_change *change = malloc(sizeof *change + bytes);
    if (change == NULL)
        return NULL;
    *change = (struct sutra_simulated_change){.users = 1, .kind = kind, .bytes = bytes};
    return change;
}

void sutra_simulated_change_keep(struct sutra_simulated_change *change)
{
    __atomic_add_fetch(&change->users, 1, __ATOMIC_RELAXED);
}

void sutra_simulated_change_release(struct sutra_simulated_change *change)
{
    if (change != NULL && __atomic_sub_fetch(&change->users, 1, __ATOMIC_ACQ_REL) == 0)
        free(change);
}

/* ---- trees */

static void release_node(struct sutra_simulated_node *node)
{
    release_buffer(node->image.buffer);
    for (size_t i = 0; i < node->entry_count; i++)
        free(node->entries[i].name);
    free(node->entries);
    *node = (struct sutra_simulated_node){.locker = -1};
}

int sutra_simulated_tree_init(struct sutra_simulated_tree *tree)
{
    *tree = (struct sutra_simulated_tree){0};
    return sutra_simulated_tree_make(tree, SUTRA_SIMULATED_ROOT, true);
}

void sutra_simulated_tree_deinit(struct sutra_simulated_tree *tree)
{
    for (uint32_t i = 0; i < tree->count; i++)
        if (tree->nodes[i].used)
            release_node(&tree->nodes[i]);
    free(tree->nodes);
    *tree = (struct sutra_simulated_tree){0};
}

static int clone_node(const struct sutra_simulated_node *node, struct sutra_simulated_node *copy)
{
    *copy = (struct sutra_simulated_node){.used = true,
                                          .directory = node->directory,
                                          .links = node->links,
                                          .locker = -1,
                                          .image = node->image};
    if (copy->image.buffer != NULL)
        __atomic_add_fetch(&copy->image.buffer->users, 1, __ATOMIC_RELAXED);
    if (node->entry_count == 0)
        return SUTRA_OK;
    copy->entries = malloc(node->entry_count * sizeof *copy->entries);
    if (copy->entries == NULL)
        return ENOMEM;
    copy->entry_capacity = node->entry_count;
    for (size_t i = 0; i < node->entry_count; i++) {
        char *name = strdup(node->entries[i].name);
        if (name == NULL)
            return ENOMEM;
        copy->entries[copy->entry_count++] =
            (struct sutra_simulated_entry){.name = name, .node = node->entries[i].node};
    }
    return SUTRA_OK;
}

int sutra_simulated_tree_clone(const struct sutra_simulated_tree *tree,
                               struct sutra_simulated_tree *copy_out)
{
    *copy_out = (struct sutra_simulated_tree){0};
    copy_out->nodes = calloc(tree->count, sizeof *copy_out->nodes);
    if (copy_out->nodes == NULL)
        return ENOMEM;
    copy_out->count = copy_out->capacity = tree->count;
    for (uint32_t i = 0; i < tree->count; i++) {
        if (!tree->nodes[i].used)
            continue;
        int status = clone_node(&tree->nodes[i], &copy_out->nodes[i]);
        if (status != SUTRA_OK) {
            sutra_simulated_tree_deinit(copy_out);
            return status;
        }
    }
    return SUTRA_OK;
}

struct sutra_simulated_node *sutra_simulated_tree_node(const struct sutra_simulated_tree *tree,
                                                       uint32_t node)
{
    return node < tree->count && tree->nodes[node].used ? &tree->nodes[node] : NULL;
}

int sutra_simulated_tree_make(struct sutra_simulated_tree *tree, uint32_t node, bool directory)
{
    if (node >= tree->capacity) {
        if (node >= UINT32_MAX / 2)
            return ENOSPC;
        uint32_t capacity = node < 8 ? 16 : 2 * node;
        struct sutra_simulated_node *nodes =
            realloc(tree->nodes, capacity * sizeof(struct sutra_simulated_node));
        if (nodes == NULL)
            return ENOMEM;
        tree->nodes = nodes;
        tree->capacity = capacity;
    }
    while (tree->count <= node)
        tree->nodes[tree->count++] = (struct sutra_simulated_node){.locker = -1};
    if (!tree->nodes[node].used) {
        tree->nodes[node].used = true;
        tree->nodes[node].directory = directory;
    }
    return SUTRA_OK;
}

static void unlink_node(struct sutra_simulated_tree *tree, uint32_t node)
{
    struct sutra_simulated_node *gone = sutra_simulated_tree_node(tree, node);
    if (gone != NULL && gone->links > 0)
        gone->links--;
}

void sutra_simulated_tree_forget(struct sutra_simulated_tree *tree, uint32_t node)
{
    const struct sutra_simulated_node *gone = sutra_simulated_tree_node(tree, node);
    if (gone == NULL)
        return;
    for (size_t i = 0; i < gone->entry_count; i++)
        unlink_node(tree, gone->entries[i].node);
    release_node(&tree->nodes[node]);
}

/* Where the name is, or where it would be. */
static size_t search_entry(const struct sutra_simulated_node *directory, const char *name,
                           size_t name_bytes, bool *found_out)
{
    size_t low = 0, high = directory->entry_count;
    *found_out = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *there = directory->entries[middle].name;
        int order = strncmp(there, name, name_bytes);
        if (order == 0 && there[name_bytes] != '\0')
            order = 1;
        if (order == 0) {
            *found_out = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t sutra_simulated_tree_find(const struct sutra_simulated_tree *tree, uint32_t directory,
                                   const char *name, size_t name_bytes)
{
    const struct sutra_simulated_node *node = sutra_simulated_tree_node(tree, directory);
    if (node == NULL || !node->directory)
        return SUTRA_SIMULATED_NONE;
    bool found;
    size_t at = search_entry(node, name, name_bytes, &found);
    return found ? node->entries[at].node : SUTRA_SIMULATED_NONE;
}

static int set_name(struct sutra_simulated_tree *tree, uint32_t directory, const char *name,
                    uint32_t node)
{
    struct sutra_simulated_node *in = sutra_simulated_tree_node(tree, directory);
    struct sutra_simulated_node *named = sutra_simulated_tree_node(tree, node);
    if (in == NULL || named == NULL)
        return SUTRA_OK;
    bool found;
    size_t at = search_entry(in, name, strlen(name), &found);
    if (found) {
        unlink_node(tree, in->entries[at].node);
    } else {
        if (in->entry_count == in->entry_capacity) {
            size_t capacity = 2 * in->entry_capacity + 8;
            struct sutra_simulated_entry *entries =
                realloc(in->entries, capacity * sizeof *entries);
            if (entries == NULL)
                return ENOMEM;
            in->entries = entries;
            in->entry_capacity = capacity;
        }
        char *copy = strdup(name);
        if (copy == NULL)
            return ENOMEM;
        memmove(in->entries + at + 1, in->entries + at,
                (in->entry_count - at) * sizeof *in->entries);
        in->entries[at].name = copy;
        in->entry_count++;
    }
    in->entries[at].node = node;
    named->links++;
    return SUTRA_OK;
}

static void remove_name(struct sutra_simulated_tree *tree, uint32_t directory, const char *name)
{
    struct sutra_simulated_node *in = sutra_simulated_tree_node(tree, directory);
    if (in == NULL)
        return;
    bool found;
    size_t at = search_entry(in, name, strlen(name), &found);
    if (!found)
        return;
    unlink_node(tree, in->entries[at].node);
    free(in->entries[at].name);
    in->entry_count--;
    memmove(in->entries + at, in->entries + at + 1, (in->entry_count - at) * sizeof *in->entries);
}

int sutra_simulated_tree_apply(struct sutra_simulated_tree *tree,
                               const struct sutra_simulated_change *change, int part)
{
    if (part == SUTRA_PART_NAMES) {
        const char *name = (const char *)change->data;
        if (change->kind == SUTRA_CHANGE_NAME)
            return set_name(tree, change->directory, name, change->node);
        if (change->kind == SUTRA_CHANGE_RENAME) {
            int status =
                set_name(tree, change->directory, name + change->second_name, change->node);
            if (status != SUTRA_OK)
                return status;
        }
        remove_name(tree, change->directory, name);
        return SUTRA_OK;
    }
    struct sutra_simulated_node *node = sutra_simulated_tree_node(tree, change->node);
    if (node == NULL)
        return SUTRA_OK;
    if (part == SUTRA_PART_SIZE) {
        sutra_simulated_image_resize(&node->image, change->size);
        return SUTRA_OK;
    }
    return sutra_simulated_image_write(&node->image, change->offset, change->data, change->bytes);
}
