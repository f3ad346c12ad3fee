/* A store's directory: names, what belongs to it, and the files that are not part of the data.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "file_names.h"
#include "log.h"
#include "manifest.h"
#include "../base/status.h"

int sutra_directory_sync_parent(const struct sutra_io *io, const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length > 0 && path[length - 1] != '/')
        length--;
    while (length > 1 && path[length - 1] == '/')
        length--;
    char *parent = malloc(length + 2);
    if (!parent)
        return SUTRA_E_NO_MEMORY;
    memcpy(parent, length ? path : ".", length ? length : 1);
    parent[length ? length : 1] = '\0';
    const int status = io->sync_directory(io->context, parent);
    free(parent);
    return status;
}

int sutra_directory_unlink(const struct sutra_io *io, const char *directory, const char *name)
{
    char *path;
    int status = sutra_path_in(directory, name, "", &path);
    if (status != SUTRA_OK)
        return status;
    status = io->unlink(io->context, path);
    free(path);
    return status;
}

int sutra_directory_open(const struct sutra_io *io, const char *directory, const char *name,
                         int how, int *fd_out)
{
    char *path;
    int status = sutra_path_in(directory, name, "", &path);
    if (status != SUTRA_OK)
        return status;
    status = io->open(io->context, path, how, fd_out);
    free(path);
    return status;
}

/* ---- listing */

static int add_number(uint64_t **numbers, size_t *count, uint64_t number)
{
    if ((*count & (*count - 1)) == 0) { /* full at powers of two */
        const size_t room = *count ? 2 * *count : 1;
        uint64_t *larger = realloc(*numbers, room * sizeof *larger);
        if (!larger)
            return SUTRA_E_NO_MEMORY;
        *numbers = larger;
    }
    (*numbers)[(*count)++] = number;
    return SUTRA_OK;
}

static bool ends_with(const char *name, const char *end)
{
    const size_t length = strlen(name), end_length = strlen(end);
    return length >= end_length && !strcmp(name + length - end_length, end);
}

static int take_name(void *context, const char *name)
{
    struct sutra_directory *directory = context;
    uint64_t number;
    if (!strcmp(name, SUTRA_IDENTITY_NAME)) {
        directory->has_identity = true;
    } else if (!strcmp(name, SUTRA_REMOVING_NAME)) {
        directory->being_removed = true;
    } else if (sutra_manifest_number(name, &number)) {
        return add_number(&directory->manifests, &directory->manifest_count, number);
    } else if (sutra_log_number(name, &number)) {
        return add_number(&directory->logs, &directory->log_count, number);
    } else if (sutra_segment_number(name, &number)) {
        return add_number(&directory->segments, &directory->segment_count, number);
    } else if (strcmp(name, SUTRA_LOCK_NAME) && strcmp(name, SUTRA_HOLDER_NAME) &&
               strcmp(name, SUTRA_STATE_NAME) && !ends_with(name, ".tmp")) {
        directory->foreign++;
    }
    return SUTRA_OK;
}

static int ascending(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void sort(uint64_t *numbers, size_t count)
{
    if (count)
        qsort(numbers, count, sizeof *numbers, ascending);
}

int sutra_directory_read(const struct sutra_io *io, const char *path, struct sutra_directory *out)
{
    memset(out, 0, sizeof *out);
    const int status = io->list(io->context, path, take_name, out);
    if (status != SUTRA_OK) {
        sutra_directory_free(out);
        return status;
    }
    sort(out->manifests, out->manifest_count);
    sort(out->logs, out->log_count);
    sort(out->segments, out->segment_count);
    return SUTRA_OK;
}

void sutra_directory_free(struct sutra_directory *directory)
{
    free(directory->manifests);
    free(directory->logs);
    free(directory->segments);
    memset(directory, 0, sizeof *directory);
}

uint64_t sutra_directory_last_number(const struct sutra_directory *directory)
{
    uint64_t last = 0;
    if (directory->log_count)
        last = directory->logs[directory->log_count - 1];
    if (directory->segment_count && directory->segments[directory->segment_count - 1] > last)
        last = directory->segments[directory->segment_count - 1];
    return last;
}

/* ---- removing */

struct remove {
    const struct sutra_io *io;
    const char *path;
    bool temporary_only;
    int status;
};

static int remove_name(void *context, const char *name)
{
    struct remove *remove = context;
    uint64_t number;
    const bool temporary = ends_with(name, ".tmp") && strcmp(name, SUTRA_REMOVING_NAME) != 0;
    const bool ours = sutra_manifest_number(name, &number) || sutra_log_number(name, &number) ||
                      sutra_segment_number(name, &number) || !strcmp(name, SUTRA_STATE_NAME) ||
                      !strcmp(name, SUTRA_HOLDER_NAME);
    if (!temporary && (remove->temporary_only || !ours))
        return SUTRA_OK;
    const int status = sutra_directory_unlink(remove->io, remove->path, name);
    if (status != SUTRA_OK && status != ENOENT)
        remove->status = status;
    return SUTRA_OK;
}

int sutra_directory_remove_temporary(const struct sutra_io *io, const char *path)
{
    struct remove remove = {io, path, true, SUTRA_OK};
    const int status = io->list(io->context, path, remove_name, &remove);
    return status != SUTRA_OK ? status : remove.status;
}

/* The identity is renamed first, so that what a crash leaves is known to be on its way out. */
int sutra_directory_remove_store(const struct sutra_io *io, const char *path)
{
    char *from = NULL, *to = NULL;
    int status = sutra_path_in(path, SUTRA_IDENTITY_NAME, "", &from);
    if (status == SUTRA_OK)
        status = sutra_path_in(path, SUTRA_REMOVING_NAME, "", &to);
    if (status == SUTRA_OK)
        status = io->rename(io->context, from, to);
    if (status == ENOENT)
        status = SUTRA_OK;
    if (status == SUTRA_OK)
        status = io->sync_directory(io->context, path);
    struct remove remove = {io, path, false, SUTRA_OK};
    if (status == SUTRA_OK)
        status = io->list(io->context, path, remove_name, &remove);
    if (status == SUTRA_OK)
        status = remove.status;
    if (status == SUTRA_OK)
        status = io->sync_directory(io->context, path);
    if (status == SUTRA_OK) {
        status = io->unlink(io->context, to);
        status = status == ENOENT ? SUTRA_OK : status;
    }
    free(from);
    free(to);
    return status;
}
