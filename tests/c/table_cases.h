/* What the tests of file tables have in common: directories to work in, and whole steps.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_TABLE_CASES_H
#define SUTRA_TESTS_TABLE_CASES_H

#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "io/table.h"

#define CALL(io, function, ...) ((io)->function((io)->context, __VA_ARGS__))

static inline int remove_name(void *context, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    if (unlink(path) != 0 && rmdir(path) != 0) {
        (void)CALL(&sutra_io_posix, list, path, remove_name, path);
        (void)rmdir(path);
    }
    return 0;
}

static inline bool make_directory_here(char *directory, size_t room)
{
    const char *root = getenv("TMPDIR");
    (void)snprintf(directory, room, "%s/sutra-table-XXXXXX", root != NULL ? root : "/tmp");
    return mkdtemp(directory) != NULL;
}

static inline void remove_directory_here(char *directory)
{
    (void)CALL(&sutra_io_posix, list, directory, remove_name, directory);
    CHECK(rmdir(directory) == 0);
}

struct path {
    char text[512];
};

static inline struct path in(const char *directory, const char *name)
{
    struct path path;
    (void)snprintf(path.text, sizeof path.text, "%s/%s", directory, name);
    return path;
}
#define IN(name) (in(directory, name).text)

static inline int open_file(const struct sutra_io *io, const char *path, int how)
{
    int fd = -7;
    int status = CALL(io, open, path, how, &fd);
    CHECK(status == 0 ? fd >= 0 : fd == -1);
    return status == 0 ? fd : -1;
}

static inline int open_status(const struct sutra_io *io, const char *path, int how)
{
    int fd = -7;
    int status = CALL(io, open, path, how, &fd);
    CHECK(status == 0 ? fd >= 0 : fd == -1);
    CALL(io, close, fd);
    return status;
}

static inline void write_text(const struct sutra_io *io, int fd, uint64_t offset, const char *text)
{
    struct sutra_span span = {text, strlen(text)};
    CHECK_EQ(sutra_io_write_all(io, fd, offset, &span, 1), 0);
}

static inline void make_file(const struct sutra_io *io, const char *path, const char *text)
{
    int fd = open_file(io, path, SUTRA_OPEN_CREATE);
    CHECK_EQ(CALL(io, truncate, fd, 0), 0);
    write_text(io, fd, 0, text);
    CALL(io, close, fd);
}

static inline uint64_t size_of(const struct sutra_io *io, int fd)
{
    uint64_t bytes = 77;
    CHECK_EQ(CALL(io, size, fd, &bytes), 0);
    return bytes;
}

static inline bool reads(const struct sutra_io *io, int fd, uint64_t offset, const char *text)
{
    char data[256];
    size_t bytes = strlen(text);
    return bytes <= sizeof data && sutra_io_read_all(io, fd, offset, data, bytes) == 0 &&
           memcmp(data, text, bytes) == 0;
}

static inline bool holds(const struct sutra_io *io, const char *path, const char *text)
{
    int fd = open_file(io, path, SUTRA_OPEN_READ);
    if (fd < 0)
        return false;
    bool same = size_of(io, fd) == strlen(text) && reads(io, fd, 0, text);
    CALL(io, close, fd);
    return same;
}

static inline bool is_locked(const struct sutra_io *io, int fd)
{
    bool locked = false;
    CHECK_EQ(CALL(io, is_locked, fd, &locked), 0);
    return locked;
}

#endif
