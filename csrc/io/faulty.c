/* A file table that fails on request.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>

#include "../base/status.h"
#include "faulty.h"

#define SHORT_SPANS 64u

static bool is_once(const struct sutra_faulty *faulty)
{
    return !faulty->sticky || faulty->short_transfer || faulty->error == EINTR;
}

/* Count a call: is it one to fail? */
static bool is_chosen(struct sutra_faulty *faulty)
{
    uint64_t call = __atomic_add_fetch(&faulty->calls, 1, __ATOMIC_RELAXED);
    uint64_t at = __atomic_load_n(&faulty->fail_at, __ATOMIC_RELAXED);
    return at != 0 && (call == at || (call > at && !is_once(faulty)));
}

static int note_failure(struct sutra_faulty *faulty)
{
    __atomic_add_fetch(&faulty->failed, 1, __ATOMIC_RELAXED);
    return faulty->error;
}

/* The status to give instead of making the call, or 0. A call that transfers nothing cannot be
 * short, so that it is let through. */
static int fail_call(struct sutra_faulty *faulty)
{
    return is_chosen(faulty) && !faulty->short_transfer ? note_failure(faulty) : SUTRA_OK;
}

static int faulty_open(void *context, const char *path, int how, int *fd_out)
{
    struct sutra_faulty *faulty = context;
    *fd_out = -1;
    int status = fail_call(faulty);
    return status != SUTRA_OK ? status
                              : faulty->inner->open(faulty->inner->context, path, how, fd_out);
}

static void faulty_close(void *context, int fd)
{
    struct sutra_faulty *faulty = context;
    faulty->inner->close(faulty->inner->context, fd);
}

static int faulty_read(void *context, int fd, uint64_t offset, void *data, size_t bytes,
                       size_t *done_out)
{
    struct sutra_faulty *faulty = context;
    *done_out = 0;
    if (is_chosen(faulty)) {
        if (!faulty->short_transfer)
            return note_failure(faulty);
        if (bytes > 1) {
            (void)note_failure(faulty);
            bytes /= 2;
        }
    }
    return faulty->inner->read(faulty->inner->context, fd, offset, data, bytes, done_out);
}

static int write_half(struct sutra_faulty *faulty, int fd, uint64_t offset,
                      const struct sutra_span *spans, size_t count, size_t *done_out)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        if (__builtin_add_overflow(total, spans[i].bytes, &total))
            return EFBIG;
    if (total > 1)
        (void)note_failure(faulty);
    size_t left = total > 1 ? total / 2 : total, used = 0;
    struct sutra_span window[SHORT_SPANS];
    for (size_t i = 0; i < count && left > 0 && used < SHORT_SPANS; i++) {
        if (spans[i].bytes == 0)
            continue;
        window[used] = spans[i];
        if (window[used].bytes > left)
            window[used].bytes = left;
        left -= window[used++].bytes;
    }
    return faulty->inner->write(faulty->inner->context, fd, offset, window, used, done_out);
}

static int faulty_write(void *context, int fd, uint64_t offset, const struct sutra_span *spans,
                        size_t count, size_t *done_out)
{
    struct sutra_faulty *faulty = context;
    *done_out = 0;
    if (is_chosen(faulty))
        return faulty->short_transfer ? write_half(faulty, fd, offset, spans, count, done_out)
                                      : note_failure(faulty);
    return faulty->inner->write(faulty->inner->context, fd, offset, spans, count, done_out);
}

static int faulty_sync(void *context, int fd)
{
    struct sutra_faulty *faulty = context;
    int status = fail_call(faulty);
    if (status == SUTRA_OK)
        return faulty->inner->sync(faulty->inner->context, fd);
    if (faulty->drop_on_sync && faulty->simulated != NULL)
        (void)sutra_simulated_drop(faulty->simulated, fd);
    return status;
}

static int faulty_sync_directory(void *context, const char *path)
{
    struct sutra_faulty *faulty = context;
    int status = fail_call(faulty);
    return status != SUTRA_OK ? status
                              : faulty->inner->sync_directory(faulty->inner->context, path);
}

static int faulty_allocate(void *context, int fd, uint64_t offset, uint64_t bytes)
{
    struct sutra_faulty *faulty = context;
    int status = fail_call(faulty);
    return status != SUTRA_OK ? status
                              : faulty->inner->allocate(faulty->inner->context, fd, offset, bytes);
}

static int faulty_truncate(void *context, int fd, uint64_t bytes)
{
    struct sutra_faulty *faulty = context;
    int status = fail_call(faulty);
    return status != SUTRA_OK ? status : faulty->inner->truncate(faulty->inner->context, fd, bytes);
}

static int faulty_size(void *context, int fd, uint64_t *bytes_out)
{
    struct sutra_faulty *faulty = context;
    *bytes_out = 0;
    int status = fail_call(faulty);
    return status != SUTRA_OK ? status : faulty->inner->size(faulty->inner->context, fd, bytes_out);
}

static int faulty_rename(void *context, const char *from, const char *to)
{
    struct sutra_faulty *faulty = context;
    int status = fail_call(faulty);
    return status != SUTRA_OK ? status : faulty->inner->rename(faulty->inner->context, from, to);
}

static int faulty_link(void *context, const char *from, const char *to)
{
    struct sutra_faulty *faulty = context;
    int status = fail_call(faulty);
    return status != SUTRA_OK ? status : faulty->inner->link(faulty->inner->context, from, to);
}

static int faulty_unlink(void *context, const char *path)
{
    struct sutra_faulty *faulty = context;
    int status = fail_call(faulty);
    return status != SUTRA_OK ? status : faulty->inner->unlink(faulty->inner->context, path);
}

static int faulty_make_directory(void *context, const char *path)
{
    struct sutra_faulty *faulty = context;
    int status = fail_call(faulty);
    return status != SUTRA_OK ? status
                              : faulty->inner->make_directory(faulty->inner->context, path);
}

static int faulty_remove_directory(void *context, const char *path)
{
    struct sutra_faulty *faulty = context;
    int status = fail_call(faulty);
    return status != SUTRA_OK ? status
                              : faulty->inner->remove_directory(faulty->inner->context, path);
}

static int faulty_list(void *context, const char *path, sutra_name_fn each, void *each_context)
{
    struct sutra_faulty *faulty = context;
    int status = fail_call(faulty);
    return status != SUTRA_OK
               ? status
               : faulty->inner->list(faulty->inner->context, path, each, each_context);
}

static int faulty_map(void *context, int fd, uint64_t offset, size_t bytes, void *address)
{
    struct sutra_faulty *faulty = context;
    int status = fail_call(faulty);
    return status != SUTRA_OK
               ? status
               : faulty->inner->map(faulty->inner->context, fd, offset, bytes, address);
}

static int faulty_lock(void *context, int fd)
{
    struct sutra_faulty *faulty = context;
    int status = fail_call(faulty);
    return status != SUTRA_OK ? status : faulty->inner->lock(faulty->inner->context, fd);
}

static int faulty_is_locked(void *context, int fd, bool *locked_out)
{
    struct sutra_faulty *faulty = context;
    *locked_out = false;
    int status = fail_call(faulty);
    return status != SUTRA_OK ? status
                              : faulty->inner->is_locked(faulty->inner->context, fd, locked_out);
}

static int faulty_free_bytes(void *context, const char *path, uint64_t *bytes_out)
{
    struct sutra_faulty *faulty = context;
    *bytes_out = 0;
    int status = fail_call(faulty);
    return status != SUTRA_OK ? status
                              : faulty->inner->free_bytes(faulty->inner->context, path, bytes_out);
}

static int64_t faulty_now_ns(void *context)
{
    struct sutra_faulty *faulty = context;
    return faulty->inner->now_ns(faulty->inner->context);
}

static uint64_t faulty_monotonic_ns(void *context)
{
    struct sutra_faulty *faulty = context;
    return faulty->inner->monotonic_ns(faulty->inner->context);
}

static int faulty_random(void *context, void *data, size_t bytes)
{
    struct sutra_faulty *faulty = context;
    int status = fail_call(faulty);
    return status != SUTRA_OK ? status : faulty->inner->random(faulty->inner->context, data, bytes);
}

void sutra_faulty_init(struct sutra_faulty *faulty, const struct sutra_io *inner)
{
    *faulty = (struct sutra_faulty){
        .inner = inner,
        .error = EIO,
        .io =
            {
                .context = faulty,
                .open = faulty_open,
                .close = faulty_close,
                .read = faulty_read,
                .write = faulty_write,
                .sync = faulty_sync,
                .sync_directory = faulty_sync_directory,
                .allocate = faulty_allocate,
                .truncate = faulty_truncate,
                .size = faulty_size,
                .rename = faulty_rename,
                .link = faulty_link,
                .unlink = faulty_unlink,
                .make_directory = faulty_make_directory,
                .remove_directory = faulty_remove_directory,
                .list = faulty_list,
                .map = faulty_map,
                .lock = faulty_lock,
                .is_locked = faulty_is_locked,
                .free_bytes = faulty_free_bytes,
                .now_ns = faulty_now_ns,
                .monotonic_ns = faulty_monotonic_ns,
                .random = faulty_random,
            },
    };
}
