/* The simulated file system: paths, descriptors, how it changes, and what tests ask of it.
 *
 * What changes is done to the tree of now and handed to the history, from which simulated_crash.c
 * makes crash states. The calls of its table are in simulated_calls.c.
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

#define NAME_BYTES_MAX 255u

int sutra_simulated_leave(struct sutra_simulated *fs, int status)
{
    (void)pthread_mutex_unlock(&fs->mutex);
    return status;
}

struct sutra_simulated *sutra_simulated_enter(void *context)
{
    struct sutra_simulated *fs = context;
    (void)pthread_mutex_lock(&fs->mutex);
    return fs;
}

/* ---- paths and descriptors */

int sutra_simulated_find_place(const struct sutra_simulated *fs, const char *path,
                               struct sutra_simulated_place *place_out)
{
    *place_out = (struct sutra_simulated_place){.directory = SUTRA_SIMULATED_ROOT,
                                                .node = SUTRA_SIMULATED_ROOT};
    if (path[0] == '\0')
        return ENOENT;
    for (;;) {
        path += strspn(path, "/");
        size_t bytes = strcspn(path, "/");
        if (bytes == 0)
            return SUTRA_OK;
        const char *name = path;
        path += bytes;
        if (bytes == 1 && name[0] == '.')
            continue;
        if (bytes == 2 && name[0] == '.' && name[1] == '.')
            return EINVAL;
        if (bytes > NAME_BYTES_MAX)
            return ENAMETOOLONG;
        if (place_out->node == SUTRA_SIMULATED_NONE)
            return ENOENT;
        if (!fs->now.nodes[place_out->node].directory)
            return ENOTDIR;
        place_out->directory = place_out->node;
        place_out->name = name;
        place_out->name_bytes = bytes;
        place_out->node = sutra_simulated_tree_find(&fs->now, place_out->directory, name, bytes);
    }
}

bool sutra_simulated_is_directory(const struct sutra_simulated *fs,
                                  const struct sutra_simulated_place *place)
{
    return place->node != SUTRA_SIMULATED_NONE && fs->now.nodes[place->node].directory;
}

struct sutra_simulated_open *sutra_simulated_find_open(const struct sutra_simulated *fs, int fd)
{
    if (fd < SUTRA_SIMULATED_FIRST_FD || (size_t)(fd - SUTRA_SIMULATED_FIRST_FD) >= fs->open_count)
        return NULL;
    struct sutra_simulated_open *open = &fs->opens[fd - SUTRA_SIMULATED_FIRST_FD];
    return open->node == SUTRA_SIMULATED_NONE ? NULL : open;
}

/* ---- changes */

static int find_part(const struct sutra_simulated_change *change)
{
    switch (change->kind) {
    case SUTRA_CHANGE_NAME:
    case SUTRA_CHANGE_REMOVE:
    case SUTRA_CHANGE_RENAME:
        return SUTRA_PART_NAMES;
    case SUTRA_CHANGE_WRITE:
        return SUTRA_PART_DATA;
    default:
        return SUTRA_PART_SIZE;
    }
}

int sutra_simulated_commit(struct sutra_simulated *fs, struct sutra_simulated_change *change)
{
    if (change == NULL)
        return ENOMEM;
    change->ticks = fs->ticks;
    int status = sutra_simulated_history_reserve(fs->history);
    bool changes_now = change->kind != SUTRA_CHANGE_SYNC && change->kind != SUTRA_CHANGE_DROP &&
                       change->kind != SUTRA_CHANGE_SYNC_DIRECTORY;
    if (status == SUTRA_OK && changes_now) {
        struct sutra_simulated_node *node = sutra_simulated_tree_node(&fs->now, change->node);
        uint64_t size_before = node == NULL ? 0 : node->image.size;
        if (change->resizes)
            status = sutra_simulated_tree_apply(&fs->now, change, SUTRA_PART_SIZE);
        int part = find_part(change);
        if (status == SUTRA_OK && part != SUTRA_PART_SIZE)
            status = sutra_simulated_tree_apply(&fs->now, change, part);
        if (status != SUTRA_OK && change->resizes)
            sutra_simulated_image_resize(&node->image, size_before);
    }
    if (status != SUTRA_OK) {
        sutra_simulated_change_release(change);
        return status;
    }
    __atomic_add_fetch(&fs->operations, 1, __ATOMIC_RELAXED);
    return sutra_simulated_history_push(fs->history, change);
}

int sutra_simulated_sync_node(struct sutra_simulated *fs, int kind, uint32_t node)
{
    struct sutra_simulated_change *change = sutra_simulated_change_new(kind, 0);
    if (change != NULL)
        change->node = change->directory = node;
    return sutra_simulated_commit(fs, change);
}

/* ---- making it, and what tests ask of it */

int sutra_simulated_make(uint64_t seed, struct sutra_simulated **fs_out)
{
    *fs_out = NULL;
    struct sutra_simulated *fs = calloc(1, sizeof *fs);
    if (fs == NULL)
        return ENOMEM;
    fs->history = calloc(1, sizeof *fs->history);
    int status = fs->history == NULL ? ENOMEM : pthread_mutex_init(&fs->mutex, NULL);
    if (status != SUTRA_OK) {
        free(fs->history);
        free(fs);
        return status;
    }
    fs->seed = seed;
    fs->capacity = UINT64_MAX;
    sutra_simulated_fill_table(fs);
    *fs_out = fs;
    return SUTRA_OK;
}

int sutra_simulated_new(uint64_t seed, struct sutra_simulated **fs_out)
{
    int status = sutra_simulated_make(seed, fs_out);
    if (status != SUTRA_OK)
        return status;
    status = sutra_simulated_tree_init(&(*fs_out)->now);
    if (status == SUTRA_OK)
        status = sutra_simulated_tree_init(&(*fs_out)->history->start.durable);
    if (status != SUTRA_OK) {
        sutra_simulated_free(*fs_out);
        *fs_out = NULL;
    }
    return status;
}

void sutra_simulated_free(struct sutra_simulated *fs)
{
    if (fs == NULL)
        return;
    sutra_simulated_tree_deinit(&fs->now);
    sutra_simulated_history_deinit(fs->history);
    free(fs->history);
    free(fs->opens);
    (void)pthread_mutex_destroy(&fs->mutex);
    free(fs);
}

const struct sutra_io *sutra_simulated_io(struct sutra_simulated *fs)
{
    return &fs->io;
}

uint64_t sutra_simulated_operations(const struct sutra_simulated *fs)
{
    return __atomic_load_n(&fs->operations, __ATOMIC_RELAXED);
}

void sutra_simulated_set_capacity(struct sutra_simulated *fs, uint64_t bytes)
{
    (void)sutra_simulated_enter(fs);
    fs->capacity = bytes;
    (void)sutra_simulated_leave(fs, SUTRA_OK);
}

int sutra_simulated_drop(struct sutra_simulated *fs, int fd)
{
    (void)sutra_simulated_enter(fs);
    const struct sutra_simulated_open *open = sutra_simulated_find_open(fs, fd);
    return sutra_simulated_leave(
        fs, open == NULL ? EBADF : sutra_simulated_sync_node(fs, SUTRA_CHANGE_DROP, open->node));
}

uint8_t *sutra_simulated_contents(struct sutra_simulated *fs, const char *path, size_t *bytes_out)
{
    *bytes_out = 0;
    (void)sutra_simulated_enter(fs);
    struct sutra_simulated_place place;
    uint8_t *data = NULL;
    if (sutra_simulated_find_place(fs, path, &place) == SUTRA_OK &&
        place.node != SUTRA_SIMULATED_NONE && !sutra_simulated_is_directory(fs, &place)) {
        struct sutra_simulated_image *image = &fs->now.nodes[place.node].image;
        if (sutra_simulated_image_flatten(image, &data) == SUTRA_OK)
            *bytes_out = (size_t)image->size;
    }
    (void)sutra_simulated_leave(fs, SUTRA_OK);
    return data;
}

int sutra_simulated_put(struct sutra_simulated *fs, const char *path, const void *data,
                        size_t bytes)
{
    const struct sutra_io *io = &fs->io;
    int fd;
    int status = io->open(fs, path, SUTRA_OPEN_CREATE, &fd);
    if (status != SUTRA_OK)
        return status;
    struct sutra_span span = {.data = data, .bytes = bytes};
    status = io->truncate(fs, fd, 0);
    if (status == SUTRA_OK)
        status = sutra_io_write_all(io, fd, 0, &span, 1);
    if (status == SUTRA_OK)
        status = io->sync(fs, fd);
    io->close(fs, fd);
    if (status != SUTRA_OK)
        return status;
    (void)sutra_simulated_enter(fs);
    struct sutra_simulated_place place;
    status = sutra_simulated_find_place(fs, path, &place);
    if (status == SUTRA_OK)
        status = sutra_simulated_sync_node(fs, SUTRA_CHANGE_SYNC_DIRECTORY, place.directory);
    return sutra_simulated_leave(fs, status);
}

/* The paths of the files below a directory, whose own path is path[0..path_bytes). Directories are
 * never moved to another, so there are no cycles, and depth is that of the paths that were used. */
static int each_below(const struct sutra_simulated *fs, uint32_t directory, char *path,
                      size_t path_bytes, size_t path_room, sutra_name_fn each, void *context)
{
    const struct sutra_simulated_node *node = &fs->now.nodes[directory];
    int status = SUTRA_OK;
    for (size_t i = 0; i < node->entry_count && status == SUTRA_OK; i++) {
        const char *name = node->entries[i].name;
        size_t name_bytes = strlen(name);
        if (path_bytes + name_bytes + 2 > path_room)
            return ENAMETOOLONG;
        memcpy(path + path_bytes, name, name_bytes + 1);
        if (!fs->now.nodes[node->entries[i].node].directory) {
            status = each(context, path);
        } else {
            path[path_bytes + name_bytes] = '/';
            status = each_below(fs, node->entries[i].node, path, path_bytes + name_bytes + 1,
                                path_room, each, context);
        }
    }
    return status;
}

int sutra_simulated_each(const struct sutra_simulated *fs, sutra_name_fn each, void *context)
{
    char path[4096];
    return each_below(fs, SUTRA_SIMULATED_ROOT, path, 0, sizeof path, each, context);
}
