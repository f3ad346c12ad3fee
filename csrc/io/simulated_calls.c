/* The simulated file system as programs see it: its file table.
 *
 * Every call works on the tree of now under one mutex.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/bytes.h"
#include "../base/platform.h"
#include "../base/prng.h"
#include "../base/status.h"
#include "simulated_parts.h"

/* 2025-01-01T00:00:00Z */
#define CLOCK_START_NS INT64_C(1735689600000000000)

static void forget_unused(struct sutra_simulated *fs, uint32_t node)
{
    const struct sutra_simulated_node *there = sutra_simulated_tree_node(&fs->now, node);
    if (there != NULL && there->links == 0 && there->opens == 0 && node != SUTRA_SIMULATED_ROOT)
        sutra_simulated_tree_forget(&fs->now, node);
}

/* Bytes that files may still grow by. */
static uint64_t free_space(const struct sutra_simulated *fs)
{
    uint64_t left = fs->capacity;
    for (uint32_t i = 0; i < fs->now.count && left > 0; i++) {
        uint64_t size = fs->now.nodes[i].image.size;
        left -= size < left ? size : left;
    }
    return left;
}

/* ---- changes */

static struct sutra_simulated_change *new_name_change(int kind,
                                                      const struct sutra_simulated_place *place,
                                                      const struct sutra_simulated_place *second)
{
    size_t first_bytes = place->name_bytes + 1;
    size_t bytes = first_bytes + (second != NULL ? second->name_bytes + 1 : 0);
    struct sutra_simulated_change *change = sutra_simulated_change_new(kind, bytes);
    if (change == NULL)
        return NULL;
    memcpy(change->data, place->name, place->name_bytes);
    change->data[place->name_bytes] = '\0';
    if (second != NULL) {
        change->second_name = first_bytes;
        memcpy(change->data + first_bytes, second->name, second->name_bytes);
        change->data[bytes - 1] = '\0';
    }
    change->directory = place->directory;
    change->node = place->node;
    return change;
}

/* Make a file or directory at a place that is free. */
static int make_node(struct sutra_simulated *fs, struct sutra_simulated_place *place,
                     bool directory)
{
    uint32_t node = fs->now.count;
    int status = sutra_simulated_tree_make(&fs->now, node, directory);
    if (status != SUTRA_OK)
        return status;
    place->node = node;
    struct sutra_simulated_change *change = new_name_change(SUTRA_CHANGE_NAME, place, NULL);
    if (change != NULL)
        change->is_directory = directory;
    status = sutra_simulated_commit(fs, change);
    if (status != SUTRA_OK)
        forget_unused(fs, node);
    return status;
}

static int resize(struct sutra_simulated *fs, uint32_t node, uint64_t size)
{
    struct sutra_simulated_change *change = sutra_simulated_change_new(SUTRA_CHANGE_RESIZE, 0);
    if (change != NULL) {
        change->node = node;
        change->size = size;
        change->resizes = size != fs->now.nodes[node].image.size;
    }
    return sutra_simulated_commit(fs, change);
}

/* ---- calls */

/* ---- the table */

static int simulated_open(void *context, const char *path, int how, int *fd_out)
{
    *fd_out = -1;
    if (how < SUTRA_OPEN_READ || how > SUTRA_OPEN_CREATE_EXCLUSIVE)
        return EINVAL;
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    struct sutra_simulated_place place;
    int status = sutra_simulated_find_place(fs, path, &place);
    if (status != SUTRA_OK)
        return sutra_simulated_leave(fs, status);
    if (place.node != SUTRA_SIMULATED_NONE && how == SUTRA_OPEN_CREATE_EXCLUSIVE)
        return sutra_simulated_leave(fs, EEXIST);
    if (sutra_simulated_is_directory(fs, &place))
        return sutra_simulated_leave(fs, EISDIR);
    if (place.node == SUTRA_SIMULATED_NONE && how <= SUTRA_OPEN_WRITE)
        return sutra_simulated_leave(fs, ENOENT);
    size_t slot = 0;
    while (slot < fs->open_count && fs->opens[slot].node != SUTRA_SIMULATED_NONE)
        slot++;
    if (slot == fs->open_count) {
        size_t count = 2 * fs->open_count + 16;
        struct sutra_simulated_open *opens = realloc(fs->opens, count * sizeof *opens);
        if (opens == NULL)
            return sutra_simulated_leave(fs, ENOMEM);
        fs->opens = opens;
        while (fs->open_count < count)
            opens[fs->open_count++].node = SUTRA_SIMULATED_NONE;
    }
    if (place.node == SUTRA_SIMULATED_NONE)
        status = make_node(fs, &place, false);
    if (status != SUTRA_OK)
        return sutra_simulated_leave(fs, status);
    fs->opens[slot].node = place.node;
    fs->opens[slot].writable = how != SUTRA_OPEN_READ;
    fs->now.nodes[place.node].opens++;
    *fd_out = SUTRA_SIMULATED_FIRST_FD + (int)slot;
    return sutra_simulated_leave(fs, SUTRA_OK);
}

static void simulated_close(void *context, int fd)
{
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    struct sutra_simulated_open *open = sutra_simulated_find_open(fs, fd);
    if (open != NULL) {
        struct sutra_simulated_node *node = &fs->now.nodes[open->node];
        node->opens--;
        if (node->locker == fd)
            node->locker = -1;
        uint32_t number = open->node;
        open->node = SUTRA_SIMULATED_NONE;
        forget_unused(fs, number);
    }
    (void)sutra_simulated_leave(fs, SUTRA_OK);
}

static int simulated_read(void *context, int fd, uint64_t offset, void *data, size_t bytes,
                          size_t *done_out)
{
    *done_out = 0;
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    const struct sutra_simulated_open *open = sutra_simulated_find_open(fs, fd);
    if (open == NULL)
        return sutra_simulated_leave(fs, EBADF);
    const struct sutra_simulated_image *image = &fs->now.nodes[open->node].image;
    if (offset >= image->size)
        return sutra_simulated_leave(fs, SUTRA_OK);
    if (bytes > image->size - offset)
        bytes = (size_t)(image->size - offset);
    sutra_simulated_image_read(image, offset, data, bytes);
    *done_out = bytes;
    return sutra_simulated_leave(fs, SUTRA_OK);
}

static int simulated_write(void *context, int fd, uint64_t offset, const struct sutra_span *spans,
                           size_t count, size_t *done_out)
{
    *done_out = 0;
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    const struct sutra_simulated_open *open = sutra_simulated_find_open(fs, fd);
    if (open == NULL || !open->writable)
        return sutra_simulated_leave(fs, EBADF);
    size_t bytes = 0;
    uint64_t end;
    for (size_t i = 0; i < count; i++)
        if (!sutra_add_size(bytes, spans[i].bytes, &bytes))
            return sutra_simulated_leave(fs, EFBIG);
    if (__builtin_add_overflow(offset, bytes, &end) || end > SUTRA_SIMULATED_DATA_MAX)
        return sutra_simulated_leave(fs, EFBIG);
    if (bytes == 0)
        return sutra_simulated_leave(fs, SUTRA_OK);
    uint64_t size = fs->now.nodes[open->node].image.size;
    if (end > size && fs->capacity != UINT64_MAX) {
        /* A full disk takes what fits, and refuses the next. */
        uint64_t space = free_space(fs);
        if (end - size > space)
            end = size + space;
        if (end <= offset)
            return sutra_simulated_leave(fs, ENOSPC);
        bytes = (size_t)(end - offset);
    }
    struct sutra_simulated_change *change = sutra_simulated_change_new(SUTRA_CHANGE_WRITE, bytes);
    if (change != NULL) {
        size_t filled = 0;
        for (size_t i = 0; i < count && filled < bytes; i++) {
            size_t part = spans[i].bytes < bytes - filled ? spans[i].bytes : bytes - filled;
            if (part > 0)
                memcpy(change->data + filled, spans[i].data, part);
            filled += part;
        }
        change->node = open->node;
        change->offset = offset;
        change->size = end;
        change->resizes = end > size;
    }
    int status = sutra_simulated_commit(fs, change);
    if (status == SUTRA_OK)
        *done_out = bytes;
    return sutra_simulated_leave(fs, status);
}

static int simulated_sync(void *context, int fd)
{
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    const struct sutra_simulated_open *open = sutra_simulated_find_open(fs, fd);
    return sutra_simulated_leave(
        fs, open == NULL ? EBADF : sutra_simulated_sync_node(fs, SUTRA_CHANGE_SYNC, open->node));
}

static int simulated_sync_directory(void *context, const char *path)
{
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    struct sutra_simulated_place place;
    int status = sutra_simulated_find_place(fs, path, &place);
    if (status == SUTRA_OK && place.node == SUTRA_SIMULATED_NONE)
        status = ENOENT;
    else if (status == SUTRA_OK && !sutra_simulated_is_directory(fs, &place))
        status = ENOTDIR;
    if (status == SUTRA_OK)
        status = sutra_simulated_sync_node(fs, SUTRA_CHANGE_SYNC_DIRECTORY, place.node);
    return sutra_simulated_leave(fs, status);
}

static int simulated_allocate(void *context, int fd, uint64_t offset, uint64_t bytes)
{
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    const struct sutra_simulated_open *open = sutra_simulated_find_open(fs, fd);
    if (open == NULL || !open->writable)
        return sutra_simulated_leave(fs, EBADF);
    if (bytes == 0)
        return sutra_simulated_leave(fs, SUTRA_OK);
    if (offset > INT64_MAX || bytes > INT64_MAX - offset)
        return sutra_simulated_leave(fs, EFBIG);
    uint64_t size = fs->now.nodes[open->node].image.size;
    uint64_t end = offset + bytes > size ? offset + bytes : size;
    if (fs->capacity != UINT64_MAX && end - size > free_space(fs))
        return sutra_simulated_leave(fs, ENOSPC);
    return sutra_simulated_leave(fs, resize(fs, open->node, end));
}

static int simulated_truncate(void *context, int fd, uint64_t bytes)
{
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    const struct sutra_simulated_open *open = sutra_simulated_find_open(fs, fd);
    if (open == NULL)
        return sutra_simulated_leave(fs, EBADF);
    if (!open->writable)
        return sutra_simulated_leave(fs, EINVAL);
    if (bytes > INT64_MAX)
        return sutra_simulated_leave(fs, EFBIG);
    uint64_t size = fs->now.nodes[open->node].image.size;
    if (bytes > size && fs->capacity != UINT64_MAX && bytes - size > free_space(fs))
        return sutra_simulated_leave(fs, ENOSPC);
    return sutra_simulated_leave(fs, resize(fs, open->node, bytes));
}

static int simulated_size(void *context, int fd, uint64_t *bytes_out)
{
    *bytes_out = 0;
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    const struct sutra_simulated_open *open = sutra_simulated_find_open(fs, fd);
    if (open == NULL)
        return sutra_simulated_leave(fs, EBADF);
    *bytes_out = fs->now.nodes[open->node].image.size;
    return sutra_simulated_leave(fs, SUTRA_OK);
}

/* May `from` take the name `to`? */
static int check_rename(const struct sutra_simulated *fs, const struct sutra_simulated_place *from,
                        const struct sutra_simulated_place *to)
{
    if (from->node == SUTRA_SIMULATED_NONE)
        return ENOENT;
    if (from->name_bytes == 0 || to->name_bytes == 0)
        return EBUSY;
    if (from->directory != to->directory)
        return EXDEV;
    if (to->node == SUTRA_SIMULATED_NONE || to->node == from->node)
        return SUTRA_OK;
    if (!sutra_simulated_is_directory(fs, from))
        return sutra_simulated_is_directory(fs, to) ? EISDIR : SUTRA_OK;
    if (!sutra_simulated_is_directory(fs, to))
        return ENOTDIR;
    return fs->now.nodes[to->node].entry_count > 0 ? ENOTEMPTY : SUTRA_OK;
}

static int simulated_rename(void *context, const char *from, const char *to)
{
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    struct sutra_simulated_place source, target;
    int status = sutra_simulated_find_place(fs, from, &source);
    if (status == SUTRA_OK)
        status = sutra_simulated_find_place(fs, to, &target);
    if (status == SUTRA_OK)
        status = check_rename(fs, &source, &target);
    /* Two names of one file are left as they are, as POSIX has it. */
    if (status != SUTRA_OK || source.node == target.node)
        return sutra_simulated_leave(fs, status);
    status = sutra_simulated_commit(fs, new_name_change(SUTRA_CHANGE_RENAME, &source, &target));
    if (status == SUTRA_OK)
        forget_unused(fs, target.node);
    return sutra_simulated_leave(fs, status);
}

static int simulated_link(void *context, const char *from, const char *to)
{
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    struct sutra_simulated_place source, target;
    int status = sutra_simulated_find_place(fs, from, &source);
    if (status == SUTRA_OK)
        status = sutra_simulated_find_place(fs, to, &target);
    if (status == SUTRA_OK && source.node == SUTRA_SIMULATED_NONE)
        status = ENOENT;
    else if (status == SUTRA_OK && target.node != SUTRA_SIMULATED_NONE)
        status = EEXIST;
    else if (status == SUTRA_OK && sutra_simulated_is_directory(fs, &source))
        status = EPERM;
    if (status != SUTRA_OK)
        return sutra_simulated_leave(fs, status);
    target.node = source.node;
    return sutra_simulated_leave(
        fs, sutra_simulated_commit(fs, new_name_change(SUTRA_CHANGE_NAME, &target, NULL)));
}

static int remove_place(struct sutra_simulated *fs, const char *path, bool directory)
{
    struct sutra_simulated_place place;
    int status = sutra_simulated_find_place(fs, path, &place);
    if (status != SUTRA_OK)
        return status;
    if (place.node == SUTRA_SIMULATED_NONE)
        return ENOENT;
    if (directory && place.name_bytes == 0)
        return EBUSY;
    if (directory != sutra_simulated_is_directory(fs, &place))
        return directory ? ENOTDIR : EISDIR;
    if (fs->now.nodes[place.node].entry_count > 0)
        return ENOTEMPTY;
    status = sutra_simulated_commit(fs, new_name_change(SUTRA_CHANGE_REMOVE, &place, NULL));
    if (status == SUTRA_OK)
        forget_unused(fs, place.node);
    return status;
}

static int simulated_unlink(void *context, const char *path)
{
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    return sutra_simulated_leave(fs, remove_place(fs, path, false));
}

static int simulated_remove_directory(void *context, const char *path)
{
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    return sutra_simulated_leave(fs, remove_place(fs, path, true));
}

static int simulated_make_directory(void *context, const char *path)
{
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    struct sutra_simulated_place place;
    int status = sutra_simulated_find_place(fs, path, &place);
    if (status == SUTRA_OK && place.node != SUTRA_SIMULATED_NONE)
        status = EEXIST;
    if (status == SUTRA_OK)
        status = make_node(fs, &place, true);
    return sutra_simulated_leave(fs, status);
}

static int simulated_list(void *context, const char *path, sutra_name_fn each, void *each_context)
{
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    struct sutra_simulated_place place;
    int status = sutra_simulated_find_place(fs, path, &place);
    if (status == SUTRA_OK && place.node == SUTRA_SIMULATED_NONE)
        status = ENOENT;
    else if (status == SUTRA_OK && !sutra_simulated_is_directory(fs, &place))
        status = ENOTDIR;
    if (status != SUTRA_OK)
        return sutra_simulated_leave(fs, status);
    /* A copy of the names: what is called may change them. */
    const struct sutra_simulated_node *node = &fs->now.nodes[place.node];
    size_t count = node->entry_count, bytes = 1;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(node->entries[i].name) + 1;
    char *names = malloc(bytes);
    if (names == NULL)
        return sutra_simulated_leave(fs, ENOMEM);
    char *name = names;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(node->entries[i].name) + 1;
        memcpy(name, node->entries[i].name, length);
        name += length;
    }
    (void)sutra_simulated_leave(fs, SUTRA_OK);
    name = names;
    for (size_t i = 0; i < count && status == SUTRA_OK; i++) {
        status = each(each_context, name);
        name += strlen(name) + 1;
    }
    free(names);
    return status;
}

static int simulated_map(void *context, int fd, uint64_t offset, size_t bytes, void *address)
{
    if (offset % SUTRA_SECTION_ALIGNMENT != 0 || (uintptr_t)address % SUTRA_SECTION_ALIGNMENT != 0)
        return EINVAL;
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    const struct sutra_simulated_open *open = sutra_simulated_find_open(fs, fd);
    if (open == NULL)
        return sutra_simulated_leave(fs, EBADF);
    const struct sutra_simulated_image *image = &fs->now.nodes[open->node].image;
    if (offset > image->size || bytes > image->size - offset)
        return sutra_simulated_leave(fs, ERANGE);
    if (bytes == 0)
        return sutra_simulated_leave(fs, SUTRA_OK);
    size_t whole = sutra_round_up(bytes, sutra_page_bytes());
    size_t filled = image->size - offset < whole ? (size_t)(image->size - offset) : whole;
#if defined(__linux__)
    /* Filled aside and moved there: a reader of the old memory never sees it half done. */
    void *data = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return sutra_simulated_leave(fs, errno);
    sutra_simulated_image_read(image, offset, data, filled);
    if (mremap(data, whole, whole, MREMAP_MAYMOVE | MREMAP_FIXED, address) == MAP_FAILED) {
        int status = errno;
        (void)munmap(data, whole);
        return sutra_simulated_leave(fs, status);
    }
#else
    /* No call moves a mapping here: a reader of the old memory may see zeros for a moment. */
    if (mmap(address, whole, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANON, -1, 0) ==
        MAP_FAILED)
        return sutra_simulated_leave(fs, errno);
    sutra_simulated_image_read(image, offset, address, filled);
#endif
    return sutra_simulated_leave(fs, SUTRA_OK);
}

static int simulated_lock(void *context, int fd)
{
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    const struct sutra_simulated_open *open = sutra_simulated_find_open(fs, fd);
    if (open == NULL || !open->writable)
        return sutra_simulated_leave(fs, EBADF);
    struct sutra_simulated_node *node = &fs->now.nodes[open->node];
    if (node->locker >= 0 && node->locker != fd)
        return sutra_simulated_leave(fs, EAGAIN);
    node->locker = fd;
    return sutra_simulated_leave(fs, SUTRA_OK);
}

static int simulated_is_locked(void *context, int fd, bool *locked_out)
{
    *locked_out = false;
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    const struct sutra_simulated_open *open = sutra_simulated_find_open(fs, fd);
    if (open == NULL)
        return sutra_simulated_leave(fs, EBADF);
    int locker = fs->now.nodes[open->node].locker;
    *locked_out = locker >= 0 && locker != fd;
    return sutra_simulated_leave(fs, SUTRA_OK);
}

static int simulated_free_bytes(void *context, const char *path, uint64_t *bytes_out)
{
    *bytes_out = 0;
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    struct sutra_simulated_place place;
    int status = sutra_simulated_find_place(fs, path, &place);
    if (status == SUTRA_OK && place.node == SUTRA_SIMULATED_NONE)
        status = ENOENT;
    if (status == SUTRA_OK)
        *bytes_out = free_space(fs);
    return sutra_simulated_leave(fs, status);
}

static uint64_t simulated_monotonic_ns(void *context)
{
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    uint64_t ns = ++fs->ticks * 1000;
    (void)sutra_simulated_leave(fs, SUTRA_OK);
    return ns;
}

static int64_t simulated_now_ns(void *context)
{
    return CLOCK_START_NS + (int64_t)simulated_monotonic_ns(context);
}

static int simulated_random(void *context, void *data, size_t bytes)
{
    struct sutra_simulated *fs = sutra_simulated_enter(context);
    uint8_t *at = data;
    while (bytes > 0) {
        uint64_t value = sutra_random_at(fs->seed, fs->random_used++);
        size_t part = bytes < sizeof value ? bytes : sizeof value;
        memcpy(at, &value, part);
        at += part;
        bytes -= part;
    }
    return sutra_simulated_leave(fs, SUTRA_OK);
}

void sutra_simulated_fill_table(struct sutra_simulated *fs)
{
    fs->io = (struct sutra_io){
        .context = fs,
        .open = simulated_open,
        .close = simulated_close,
        .read = simulated_read,
        .write = simulated_write,
        .sync = simulated_sync,
        .sync_directory = simulated_sync_directory,
        .allocate = simulated_allocate,
        .truncate = simulated_truncate,
        .size = simulated_size,
        .rename = simulated_rename,
        .link = simulated_link,
        .unlink = simulated_unlink,
        .make_directory = simulated_make_directory,
        .remove_directory = simulated_remove_directory,
        .list = simulated_list,
        .map = simulated_map,
        .lock = simulated_lock,
        .is_locked = simulated_is_locked,
        .free_bytes = simulated_free_bytes,
        .now_ns = simulated_now_ns,
        .monotonic_ns = simulated_monotonic_ns,
        .random = simulated_random,
    };
}
