/* The file table: everything the store asks of an operating system, in one struct of functions.
 *
 * sutra_io_posix is the real one. Two more stand in for it in tests: simulated.h keeps a whole
 * file system in memory, with what a power cut would leave of it, and faulty.h wraps any table and
 * makes calls fail. The store calls nothing else, so every place where it can be stopped, torn
 * or refused can be counted and tried.
 *
 * Paths are bytes as the system takes them. File positions are never used: reads and writes name
 * their offset. All functions return 0 or an errno value. Ownership: a descriptor belongs to the
 * table that gave it. Threading: any thread; the same descriptor may be read and written from
 * several. Functions may do less than asked only where they report how much.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_IO_TABLE_H
#define SUTRA_IO_TABLE_H

#include "../base/config.h"

struct sutra_span {
    const void *data;
    size_t bytes;
};

enum sutra_open {
    SUTRA_OPEN_READ = 0,
    SUTRA_OPEN_WRITE = 1,            /* read and write, must exist */
    SUTRA_OPEN_CREATE = 2,           /* read and write, made if missing */
    SUTRA_OPEN_CREATE_EXCLUSIVE = 3, /* read and write, must not exist (EEXIST) */
};

/* Called for every name in a directory but "." and "..", in any order; non-zero stops the listing
 * and is returned. It may remove names and make others. */
typedef int (*sutra_name_fn)(void *context, const char *name);

struct sutra_io {
    void *context; /* first argument of every call */
    /* Close-on-exec, never follows a symbolic link at the last name (ELOOP), refuses directories
     * (EISDIR) and anything else that is no regular file (ENOTSUP). */
    int (*open)(void *context, const char *path, int how, int *fd_out);
    void (*close)(void *context, int fd);
    /* May read or write less than asked, but not nothing: *done_out 0 means the end of the file. */
    int (*read)(void *context, int fd, uint64_t offset, void *data, size_t bytes, size_t *done_out);
    int (*write)(void *context, int fd, uint64_t offset, const struct sutra_span *spans,
                 size_t count, size_t *done_out);
    /* What was written there is about to be synced: the system may begin now. Promises nothing; may
     * be NULL. */
    void (*start_writing)(void *context, int fd, uint64_t offset, uint64_t bytes);
    /* Data and size are on the medium when this returns. Never tried again after a failure. */
    int (*sync)(void *context, int fd);
    /* The names in the directory are on the medium. */
    int (*sync_directory)(void *context, const char *path);
    /* Reserve blocks for [offset, offset + bytes) and extend the file over them with zeros:
     * ENOSPC here, not at the write. ENOTSUP where the file system cannot. bytes 0: nothing. */
    int (*allocate)(void *context, int fd, uint64_t offset, uint64_t bytes);
    int (*truncate)(void *context, int fd, uint64_t bytes);
    int (*size)(void *context, int fd, uint64_t *bytes_out);
    int (*rename)(void *context, const char *from, const char *to);
    int (*link)(void *context, const char *from, const char *to); /* a second name */
    int (*unlink)(void *context, const char *path);
    int (*make_directory)(void *context, const char *path);   /* EEXIST if there */
    int (*remove_directory)(void *context, const char *path); /* must be empty */
    int (*list)(void *context, const char *path, sutra_name_fn each, void *each_context);
    /* Put bytes [offset, offset + bytes) of the file at `address`, writable, changes private to
     * this process; the tail of the last page reads zero or what follows in the file. offset and
     * address are multiples of SUTRA_SECTION_ALIGNMENT and the range is reserved memory of the
     * caller (base/memory.h); memory that was there is replaced in one step. ERANGE if the file is
     * shorter. */
    int (*map)(void *context, int fd, uint64_t offset, size_t bytes, void *address);
    /* Take the one exclusive lock of a file opened for writing, for the life of the descriptor;
     * EAGAIN if another descriptor has it, of whichever process. ENOTSUP where the file system has
     * no locks. */
    int (*lock)(void *context, int fd);
    /* Let go of it before the descriptor is closed: a child that was forked meanwhile has a copy of
     * the descriptor, and may not have closed it yet. NULL: closing is enough. */
    void (*unlock)(void *context, int fd);
    /* Does another descriptor hold the lock? Not to be asked of one that has locked it itself: old
     * kernels can only tell by trying. */
    int (*is_locked)(void *context, int fd, bool *locked_out);
    int (*free_bytes)(void *context, const char *path, uint64_t *bytes_out);
    int64_t (*now_ns)(void *context);        /* since 1970, UTC */
    uint64_t (*monotonic_ns)(void *context); /* never goes back */
    int (*random)(void *context, void *data, size_t bytes);
};

extern const struct sutra_io sutra_io_posix;

/* All of it, or an error: SUTRA_E_TRUNCATED where the file ends before. */
int sutra_io_read_all(const struct sutra_io *io, int fd, uint64_t offset, void *data, size_t bytes);
/* All of it, or an error; EINTR and short writes are gone on with. spans is not changed. */
int sutra_io_write_all(const struct sutra_io *io, int fd, uint64_t offset,
                       const struct sutra_span *spans, size_t count);

#endif
