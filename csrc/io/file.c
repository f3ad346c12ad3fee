/* Durable files: bounded reads, and replacement that is all or nothing.
 *
 * Order of a commit: data synced, temporary renamed over the target, directory synced. The
 * sync before the rename keeps a power cut from leaving the new name on empty blocks; the
 * directory sync makes the rename itself last. On macOS fsync only reaches the drive's cache,
 * so F_FULLFSYNC is asked for first.
 *
 * Every write names its offset, so the file position is never part of the state.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/bytes.h"
#include "../base/status.h"
#include "file.h"

/* macOS refuses more than INT_MAX bytes in one call, Linux shortens them. */
#define CALL_BYTES ((size_t)1 << 30)

#define TEMPORARY_NAMES 10000u

static int open_retrying(const char *path, int flags, mode_t mode)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static int sync_fd(int fd)
{
    int result;
#if defined(F_FULLFSYNC)
    do
        result = fcntl(fd, F_FULLFSYNC);
    while (result != 0 && errno == EINTR);
    if (result == 0)
        return SUTRA_OK;
        /* Network and FAT volumes lack it. */
#endif
    do
        result = fsync(fd);
    while (result != 0 && errno == EINTR);
    return result == 0 ? SUTRA_OK : errno;
}

/* The directory that holds `path`, in a buffer the caller frees; NULL without memory. */
static char *parent_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 1 : (size_t)(slash - path);
    if (length == 0)
        length = 1; /* "/name" */
    char *directory = malloc(length + 1);
    if (directory == NULL)
        return NULL;
    memcpy(directory, slash == NULL ? "." : path, length);
    directory[length] = '\0';
    return directory;
}

static int sync_directory_of(const char *path)
{
    char *directory = parent_directory(path);
    if (directory == NULL)
        return SUTRA_E_NO_MEMORY;
    int fd = open_retrying(directory, O_RDONLY | O_DIRECTORY, 0);
    int status = fd >= 0 ? SUTRA_OK : errno;
    free(directory);
    if (fd < 0)
        return status;
    status = sync_fd(fd);
    (void)close(fd);
    /* Some network and FUSE file systems have no directory sync, and say so this way. */
    return status == EINVAL || status == ENOTSUP || status == EBADF ? SUTRA_OK : status;
}

static int write_at(int fd, uint64_t offset, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    while (bytes > 0) {
        size_t chunk = bytes < CALL_BYTES ? bytes : CALL_BYTES;
        ssize_t put = pwrite(fd, at, chunk, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno;
        if (put == 0)
            return EIO;
        at += put;
        offset += (uint64_t)put;
        bytes -= (size_t)put;
    }
    return SUTRA_OK;
}

/* Create "<path>.tmp.<pid>.<n>" for the first n that is free. */
static int create_temporary(struct sutra_file_writer *writer, mode_t mode)
{
    size_t size = strlen(writer->path) + 48;
    writer->temporary_path = malloc(size);
    if (writer->temporary_path == NULL)
        return SUTRA_E_NO_MEMORY;
    for (unsigned n = 0; n < TEMPORARY_NAMES; n++) {
        (void)snprintf(writer->temporary_path, size, "%s.tmp.%ld.%u", writer->path, (long)getpid(),
                       n);
        writer->fd = open_retrying(writer->temporary_path, O_WRONLY | O_CREAT | O_EXCL, mode);
        if (writer->fd >= 0)
            return SUTRA_OK;
        if (errno != EEXIST)
            return errno;
    }
    return EEXIST;
}

static void forget(struct sutra_file_writer *writer)
{
    free(writer->path);
    free(writer->temporary_path);
    *writer = (struct sutra_file_writer){.fd = -1};
}

int sutra_file_writer_begin(struct sutra_file_writer *writer, const char *path)
{
    *writer = (struct sutra_file_writer){.fd = -1};
    if (path[0] == '\0')
        return ENOENT;
    /* Renaming over a device or a pipe would destroy it; over a directory it fails, but only
     * after all the work. */
    struct stat target;
    bool exists = stat(path, &target) == 0;
    if (exists && S_ISDIR(target.st_mode))
        return EISDIR;
    if (exists && !S_ISREG(target.st_mode))
        return ENOTSUP;
    writer->path = strdup(path);
    if (writer->path == NULL)
        return SUTRA_E_NO_MEMORY;
    int status = create_temporary(writer, 0666);
    if (status != SUTRA_OK) {
        forget(writer);
        return status;
    }
    /* A file its owner keeps private stays private. Refusal (FAT, CIFS) is harmless. */
    if (exists && fchmod(writer->fd, (mode_t)(target.st_mode & 0777)) != 0)
        errno = 0;
    return SUTRA_OK;
}

int sutra_file_writer_append(struct sutra_file_writer *writer, const void *data, size_t bytes)
{
    uint64_t end;
    if (__builtin_add_overflow(writer->written_bytes, bytes, &end) || end > INT64_MAX)
        return EFBIG;
    int status = write_at(writer->fd, writer->written_bytes, data, bytes);
    if (status == SUTRA_OK)
        writer->written_bytes = end;
    return status;
}

int sutra_file_writer_rewrite(struct sutra_file_writer *writer, uint64_t offset, const void *data,
                              size_t bytes)
{
    if (offset > writer->written_bytes || bytes > writer->written_bytes - offset)
        return SUTRA_E_ARGUMENT;
    return write_at(writer->fd, offset, data, bytes);
}

int sutra_file_writer_align(struct sutra_file_writer *writer, size_t alignment)
{
    static const uint8_t zeros[4096] = {0};
    if (alignment == 0 || (alignment & (alignment - 1)) != 0)
        return SUTRA_E_ARGUMENT;
    size_t left = (size_t)(-writer->written_bytes & (alignment - 1));
    while (left > 0) {
        size_t chunk = left < sizeof zeros ? left : sizeof zeros;
        int status = sutra_file_writer_append(writer, zeros, chunk);
        if (status != SUTRA_OK)
            return status;
        left -= chunk;
    }
    return SUTRA_OK;
}

int sutra_file_writer_commit(struct sutra_file_writer *writer)
{
    int status = sync_fd(writer->fd);
    if (status != SUTRA_OK)
        return status;
    /* close is not repeated on EINTR: the descriptor is gone either way, the data synced. */
    int closed = close(writer->fd);
    writer->fd = -1;
    if (closed != 0 && errno != EINTR)
        return errno;
    if (rename(writer->temporary_path, writer->path) != 0)
        return errno;
    /* From here on there is no temporary file for _abort to remove. */
    free(writer->temporary_path);
    writer->temporary_path = NULL;
    status = sync_directory_of(writer->path);
    if (status == SUTRA_OK)
        forget(writer);
    return status;
}

void sutra_file_writer_abort(struct sutra_file_writer *writer)
{
    if (writer->fd >= 0)
        (void)close(writer->fd);
    if (writer->temporary_path != NULL)
        (void)unlink(writer->temporary_path);
    forget(writer);
}

int sutra_file_open_read(const char *path, int *fd_out, uint64_t *bytes_out)
{
    *fd_out = -1;
    *bytes_out = 0;
    /* Without O_NONBLOCK a named pipe would make open wait for a writer. */
    int fd = open_retrying(path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    struct stat file;
    int status = SUTRA_OK;
    if (fstat(fd, &file) != 0)
        status = errno;
    else if (S_ISDIR(file.st_mode))
        status = EISDIR;
    else if (!S_ISREG(file.st_mode))
        status = ENOTSUP;
    if (status != SUTRA_OK) {
        (void)close(fd);
        return status;
    }
    *fd_out = fd;
    *bytes_out = (uint64_t)file.st_size;
    return SUTRA_OK;
}

int sutra_file_read_at(int fd, uint64_t offset, void *data, size_t bytes)
{
    uint8_t *at = data;
    uint64_t end;
    if (__builtin_add_overflow(offset, bytes, &end) || end > INT64_MAX)
        return SUTRA_E_TRUNCATED;
    while (bytes > 0) {
        size_t chunk = bytes < CALL_BYTES ? bytes : CALL_BYTES;
        ssize_t got = pread(fd, at, chunk, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0)
            return SUTRA_E_TRUNCATED;
        at += got;
        offset += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return SUTRA_OK;
}

void sutra_file_close(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}
