/* The file table of a POSIX system.
 *
 * EINTR is retried where the call has then done nothing or may be done twice: opening, transfers,
 * truncation, locks, and a sync, where it ends the waiting and says nothing of the pages. Calls
 * that change names are not: over NFS a rename that was interrupted may have happened.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h> /* rename */
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif

#include "../base/bytes.h"
#include "../base/status.h"
#include "table.h"

_Static_assert(sizeof(off_t) == 8, "files of more than 2 GiB need a 64-bit off_t");

/* macOS refuses more than INT_MAX bytes in one call, Linux shortens them. */
#define CALL_BYTES ((size_t)1 << 30)

/* Far below IOV_MAX (1,024 on the systems we serve) and small enough for the stack. */
#define CALL_SPANS 64u

/* macOS has pwritev from version 11 on: a program for older ones must not refer to it. */
#if !defined(__APPLE__) || __ENVIRONMENT_MAC_OS_X_VERSION_MIN_REQUIRED__ >= 110000
#define HAS_PWRITEV 1
#endif

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/* Tests compile with SUTRA_NO_OFD_LOCKS to reach what old kernels use. */
#if defined(F_OFD_SETLK) && defined(F_OFD_GETLK) && !defined(SUTRA_NO_OFD_LOCKS)
#define HAS_OFD_LOCKS 1
#endif

static bool is_unsupported(int code)
{
    return code == ENOTSUP || code == EOPNOTSUPP || code == ENOSYS;
}

/* 0, 1 and 2 are what other code believes standard output and error to be: a store's file there
 * would get their text. Returns a descriptor above them, or -1 with errno. */
static int leave_standard(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int code = errno;
    (void)close(fd);
    errno = code;
    return moved;
}

static int open_retrying(const char *path, int flags, mode_t mode)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return leave_standard(fd);
}

static int system_open(void *context, const char *path, int how, int *fd_out)
{
    (void)context;
    *fd_out = -1;
    /* Without O_NONBLOCK a named pipe would make open wait for its other end. */
    int flags = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    switch (how) {
    case SUTRA_OPEN_READ:
        flags |= O_RDONLY;
        break;
    case SUTRA_OPEN_WRITE:
        flags |= O_RDWR;
        break;
    case SUTRA_OPEN_CREATE:
        flags |= O_RDWR | O_CREAT;
        break;
    case SUTRA_OPEN_CREATE_EXCLUSIVE:
        flags |= O_RDWR | O_CREAT | O_EXCL;
        break;
    default:
        return EINVAL;
    }
    int fd = open_retrying(path, flags, 0666);
    if (fd < 0)
        /* EMLINK is the BSDs' word for a symbolic link, ENXIO everyone's for a socket. */
        return errno == EMLINK ? ELOOP : errno == ENXIO || errno == EOPNOTSUPP ? ENOTSUP : errno;
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
    return SUTRA_OK;
}

static void system_close(void *context, int fd)
{
    (void)context;
    /* Not repeated on EINTR: the descriptor is gone either way. */
    if (fd >= 0)
        (void)close(fd);
}

static int system_read(void *context, int fd, uint64_t offset, void *data, size_t bytes,
                       size_t *done_out)
{
    (void)context;
    *done_out = 0;
    if (offset > INT64_MAX - CALL_BYTES)
        return SUTRA_OK; /* no file reaches there */
    ssize_t got;
    do
        got = pread(fd, data, bytes < CALL_BYTES ? bytes : CALL_BYTES, (off_t)offset);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno;
    *done_out = (size_t)got;
    return SUTRA_OK;
}

#if defined(HAS_PWRITEV)
static ssize_t write_spans(int fd, const struct iovec *spans, int count, off_t offset)
{
    ssize_t put;
    do
        put = pwritev(fd, spans, count, offset);
    while (put < 0 && errno == EINTR);
    return put;
}
#else
static ssize_t write_spans(int fd, const struct iovec *spans, int count, off_t offset)
{
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        ssize_t put;
        do
            put = pwrite(fd, spans[i].iov_base, spans[i].iov_len, offset + total);
        while (put < 0 && errno == EINTR);
        if (put < 0)
            return total > 0 ? total : put;
        total += put;
        if ((size_t)put < spans[i].iov_len)
            break;
    }
    return total;
}
#endif

static int system_write(void *context, int fd, uint64_t offset, const struct sutra_span *spans,
                        size_t count, size_t *done_out)
{
    (void)context;
    *done_out = 0;
    struct iovec window[CALL_SPANS];
    int used = 0;
    size_t asked = 0;
    for (size_t i = 0; i < count && used < (int)CALL_SPANS && asked < CALL_BYTES; i++) {
        size_t bytes = spans[i].bytes;
        if (bytes == 0)
            continue;
        if (bytes > CALL_BYTES - asked)
            bytes = CALL_BYTES - asked;
        window[used].iov_base = (void *)(uintptr_t)spans[i].data; /* only read */
        window[used++].iov_len = bytes;
        asked += bytes;
    }
    if (used == 0)
        return SUTRA_OK;
    if (offset > INT64_MAX - asked)
        return EFBIG;
    ssize_t put = write_spans(fd, window, used, (off_t)offset);
    if (put < 0)
        return errno;
    if (put == 0)
        return EIO; /* 0 must not look like progress */
    *done_out = (size_t)put;
    return SUTRA_OK;
}

#if defined(__linux__)
/* A failure is the sync's to report. */
static void system_start_writing(void *context, int fd, uint64_t offset, uint64_t bytes)
{
    (void)context;
    (void)sync_file_range(fd, (off_t)offset, (off_t)bytes, SYNC_FILE_RANGE_WRITE);
}
#endif

/* A failure other than EINTR is final: the kernel has marked the pages clean by then, and a second
 * sync that finds nothing to do would say that all is well. */
static int system_sync(void *context, int fd)
{
    (void)context;
    int result;
#if defined(F_FULLFSYNC)
    /* fsync alone only reaches the drive's cache there. */
    do
        result = fcntl(fd, F_FULLFSYNC);
    while (result != 0 && errno == EINTR);
    if (result == 0)
        return SUTRA_OK;
    /* Network and FAT volumes lack it; anything else is a real failure. */
    if (!is_unsupported(errno) && errno != EINVAL && errno != ENOTTY)
        return errno;
#endif
    do
#if defined(__linux__)
        result = fdatasync(fd); /* flushes a changed size too, but not times */
#else
        result = fsync(fd);
#endif
    while (result != 0 && errno == EINTR);
    return result == 0 ? SUTRA_OK : errno;
}

static int system_sync_directory(void *context, const char *path)
{
    (void)context;
    int fd = open_retrying(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return errno;
    int result;
#if defined(F_FULLFSYNC)
    do
        result = fcntl(fd, F_FULLFSYNC);
    while (result != 0 && errno == EINTR);
    if (result != 0 && (is_unsupported(errno) || errno == EINVAL || errno == ENOTTY))
#endif
        do
            result = fsync(fd);
        while (result != 0 && errno == EINTR);
    int status = result == 0 ? SUTRA_OK : errno;
    (void)close(fd);
    /* Some network and FUSE file systems have no directory sync, and say so this way. */
    return is_unsupported(status) || status == EINVAL || status == EBADF ? SUTRA_OK : status;
}

/* Not posix_fallocate: glibc's writes to every block where the file system cannot reserve, which is
 * slow, and no reservation on one that copies on write. */
static int system_allocate(void *context, int fd, uint64_t offset, uint64_t bytes)
{
    (void)context;
    if (bytes == 0)
        return SUTRA_OK;
    if (offset > INT64_MAX || bytes > INT64_MAX - offset)
        return EFBIG;
#if defined(__linux__)
    /* On tmpfs a signal makes it start again: a timer could keep it from ever ending. */
    sigset_t all, before;
    (void)sigfillset(&all);
    int status = pthread_sigmask(SIG_BLOCK, &all, &before);
    if (status != 0)
        return status;
    int result;
    do
        result = fallocate(fd, 0, (off_t)offset, (off_t)bytes);
    while (result != 0 && errno == EINTR);
    status = result == 0 ? SUTRA_OK : errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return is_unsupported(status) ? ENOTSUP : status;
#elif defined(F_PREALLOCATE)
    struct stat file;
    if (fstat(fd, &file) != 0)
        return errno;
    /* It allocates past the physical end, and leaves the size alone. Holes inside are not filled.
     */
    uint64_t allocated = (uint64_t)file.st_blocks * 512u, end = offset + bytes;
    if (end > allocated) {
        fstore_t store = {.fst_flags = F_ALLOCATEALL,
                          .fst_posmode = F_PEOFPOSMODE,
                          .fst_offset = 0,
                          .fst_length = (off_t)(end - allocated)};
        if (fcntl(fd, F_PREALLOCATE, &store) != 0)
            return is_unsupported(errno) || errno == EINVAL ? ENOTSUP : errno;
    }
    if (end > (uint64_t)file.st_size && ftruncate(fd, (off_t)end) != 0)
        return errno;
    return SUTRA_OK;
#else
    (void)fd;
    return ENOTSUP;
#endif
}

static int system_truncate(void *context, int fd, uint64_t bytes)
{
    (void)context;
    if (bytes > INT64_MAX)
        return EFBIG;
    int result;
    do
        result = ftruncate(fd, (off_t)bytes);
    while (result != 0 && errno == EINTR);
    return result == 0 ? SUTRA_OK : errno;
}

static int system_size(void *context, int fd, uint64_t *bytes_out)
{
    (void)context;
    *bytes_out = 0;
    struct stat file;
    if (fstat(fd, &file) != 0)
        return errno;
    *bytes_out = (uint64_t)file.st_size;
    return SUTRA_OK;
}

static int system_rename(void *context, const char *from, const char *to)
{
    (void)context;
    return rename(from, to) == 0 ? SUTRA_OK : errno;
}

static int system_link(void *context, const char *from, const char *to)
{
    (void)context;
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0) == 0 ? SUTRA_OK : errno;
}

static int system_unlink(void *context, const char *path)
{
    (void)context;
    return unlink(path) == 0 ? SUTRA_OK : errno;
}

static int system_make_directory(void *context, const char *path)
{
    (void)context;
    return mkdir(path, 0777) == 0 ? SUTRA_OK : errno;
}

static int system_remove_directory(void *context, const char *path)
{
    (void)context;
    return rmdir(path) == 0 ? SUTRA_OK : errno;
}

static int system_list(void *context, const char *path, sutra_name_fn each, void *each_context)
{
    (void)context;
    int fd = open_retrying(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return errno;
    DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        int status = errno;
        (void)close(fd);
        return status;
    }
    int status = SUTRA_OK;
    while (status == SUTRA_OK) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            status = errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = each(each_context, entry->d_name);
    }
    (void)closedir(directory);
    return status;
}

static int system_map(void *context, int fd, uint64_t offset, size_t bytes, void *address)
{
    (void)context;
    if (offset % SUTRA_SECTION_ALIGNMENT != 0 || (uintptr_t)address % SUTRA_SECTION_ALIGNMENT != 0)
        return EINVAL;
    /* A page beyond the end of the file would be a signal, not an error code. */
    struct stat file;
    if (fstat(fd, &file) != 0)
        return errno;
    if (offset > (uint64_t)file.st_size || bytes > (uint64_t)file.st_size - offset)
        return ERANGE;
    if (bytes == 0)
        return SUTRA_OK;
    void *data = mmap(address, bytes, PROT_READ | PROT_WRITE,
                      MAP_FIXED | MAP_PRIVATE | MAP_NORESERVE, fd, (off_t)offset);
    return data == MAP_FAILED ? errno : SUTRA_OK;
}

#if defined(HAS_OFD_LOCKS)
/* Locks of the open file description (Linux 3.15, macOS): they are seen over NFS, and unlike plain
 * record locks not dropped when some other descriptor of the file is closed. EINVAL from systems
 * that do not know them. */
static int fcntl_lock(int fd, int command, short type, struct flock *lock)
{
    *lock = (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    int result;
    do
        result = fcntl(fd, command, lock);
    while (result != 0 && errno == EINTR);
    return result == 0 ? SUTRA_OK : errno;
}
#endif

static int flock_retrying(int fd, int operation)
{
    int result;
    do
        result = flock(fd, operation);
    while (result != 0 && errno == EINTR);
    return result == 0 ? SUTRA_OK : errno;
}

static int lock_status(int code)
{
    if (code == EAGAIN || code == EACCES || code == EWOULDBLOCK)
        return EAGAIN;
    return code == ENOLCK || is_unsupported(code) ? ENOTSUP : code;
}

static int system_lock(void *context, int fd)
{
    (void)context;
#if defined(HAS_OFD_LOCKS)
    struct flock lock;
    int status = fcntl_lock(fd, F_OFD_SETLK, F_WRLCK, &lock);
    if (status != EINVAL)
        return lock_status(status);
#endif
    return lock_status(flock_retrying(fd, LOCK_EX | LOCK_NB));
}

static void system_unlock(void *context, int fd)
{
    (void)context;
#if defined(HAS_OFD_LOCKS)
    struct flock lock;
    if (fcntl_lock(fd, F_OFD_SETLK, F_UNLCK, &lock) != EINVAL)
        return;
#endif
    (void)flock_retrying(fd, LOCK_UN);
}

static int system_is_locked(void *context, int fd, bool *locked_out)
{
    (void)context;
    *locked_out = false;
#if defined(HAS_OFD_LOCKS)
    struct flock lock;
    int found = fcntl_lock(fd, F_OFD_GETLK, F_WRLCK, &lock);
    if (found == SUTRA_OK)
        *locked_out = lock.l_type != F_UNLCK;
    if (found != EINVAL)
        return lock_status(found);
#endif
    int status = lock_status(flock_retrying(fd, LOCK_SH | LOCK_NB));
    if (status == EAGAIN) {
        *locked_out = true;
        return SUTRA_OK;
    }
    if (status == SUTRA_OK)
        (void)flock_retrying(fd, LOCK_UN);
    return status;
}

static int system_free_bytes(void *context, const char *path, uint64_t *bytes_out)
{
    (void)context;
    *bytes_out = 0;
    struct statvfs volume;
    int result;
    do
        result = statvfs(path, &volume);
    while (result != 0 && errno == EINTR);
    if (result != 0)
        return errno;
    uint64_t unit = volume.f_frsize != 0 ? volume.f_frsize : volume.f_bsize;
    if (__builtin_mul_overflow((uint64_t)volume.f_bavail, unit, bytes_out))
        *bytes_out = UINT64_MAX;
    return SUTRA_OK;
}

/* The clocks asked for here exist on every system we serve, so that reading them cannot fail. */
static int64_t system_now_ns(void *context)
{
    (void)context;
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + (int64_t)now.tv_nsec;
}

static uint64_t system_monotonic_ns(void *context)
{
    (void)context;
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#if defined(__APPLE__)
static int system_random(void *context, void *data, size_t bytes)
{
    (void)context;
    arc4random_buf(data, bytes);
    return SUTRA_OK;
}
#else
static int read_urandom(uint8_t *data, size_t bytes)
{
    int fd = open_retrying("/dev/urandom", O_RDONLY, 0);
    if (fd < 0)
        return errno;
    int status = SUTRA_OK;
    while (bytes > 0 && status == SUTRA_OK) {
        ssize_t got = read(fd, data, bytes < CALL_BYTES ? bytes : CALL_BYTES);
        if (got > 0) {
            data += got;
            bytes -= (size_t)got;
        } else if (got == 0) {
            status = EIO;
        } else if (errno != EINTR) {
            status = errno;
        }
    }
    (void)close(fd);
    return status;
}

static int system_random(void *context, void *data, size_t bytes)
{
    (void)context;
    uint8_t *at = data;
#if defined(SYS_getrandom)
    /* The call itself: the function is younger than some C libraries that we link with. */
    while (bytes > 0) {
        long got = syscall(SYS_getrandom, at, bytes < CALL_BYTES ? bytes : CALL_BYTES, 0);
        if (got > 0) {
            at += got;
            bytes -= (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            break; /* a kernel or a sandbox without it */
        }
    }
#endif
    return bytes == 0 ? SUTRA_OK : read_urandom(at, bytes);
}
#endif

const struct sutra_io sutra_io_posix = {
    .context = NULL,
    .open = system_open,
    .close = system_close,
    .read = system_read,
    .write = system_write,
#if defined(__linux__)
    .start_writing = system_start_writing,
#endif
    .sync = system_sync,
    .sync_directory = system_sync_directory,
    .allocate = system_allocate,
    .truncate = system_truncate,
    .size = system_size,
    .rename = system_rename,
    .link = system_link,
    .unlink = system_unlink,
    .make_directory = system_make_directory,
    .remove_directory = system_remove_directory,
    .list = system_list,
    .map = system_map,
    .lock = system_lock,
    .unlock = system_unlock,
    .is_locked = system_is_locked,
    .free_bytes = system_free_bytes,
    .now_ns = system_now_ns,
    .monotonic_ns = system_monotonic_ns,
    .random = system_random,
};
