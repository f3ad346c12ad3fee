/* Whole transfers over any file table.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>

#include "../base/bytes.h"
#include "../base/status.h"
#include "table.h"

/* Spans handed over at once: more only means one more call. */
#define WINDOW_SPANS 64u

int sutra_io_read_all(const struct sutra_io *io, int fd, uint64_t offset, void *data, size_t bytes)
{
    uint8_t *at = data;
    uint64_t end;
    if (__builtin_add_overflow(offset, bytes, &end) || end > INT64_MAX)
        return SUTRA_E_TRUNCATED;
    while (bytes > 0) {
        size_t done = 0;
        int status = io->read(io->context, fd, offset, at, bytes, &done);
        if (status == EINTR)
            continue;
        if (status != SUTRA_OK)
            return status;
        if (done == 0)
            return SUTRA_E_TRUNCATED;
        if (done > bytes)
            return EIO;
        at += done;
        offset += done;
        bytes -= done;
    }
    return SUTRA_OK;
}

int sutra_io_write_all(const struct sutra_io *io, int fd, uint64_t offset,
                       const struct sutra_span *spans, size_t count)
{
    uint64_t end = offset;
    for (size_t i = 0; i < count; i++)
        if (__builtin_add_overflow(end, spans[i].bytes, &end) || end > INT64_MAX)
            return EFBIG;
    size_t next = 0;    /* the first span not written whole */
    size_t written = 0; /* of it */
    while (offset < end) {
        struct sutra_span window[WINDOW_SPANS];
        size_t used = 0, asked = 0;
        for (size_t i = next; i < count && used < WINDOW_SPANS; i++) {
            size_t skipped = i == next ? written : 0;
            if (spans[i].bytes == skipped)
                continue;
            window[used].data = (const uint8_t *)spans[i].data + skipped;
            window[used].bytes = spans[i].bytes - skipped;
            asked += window[used++].bytes;
        }
        size_t done = 0;
        int status = io->write(io->context, fd, offset, window, used, &done);
        if (status == EINTR)
            continue;
        if (status != SUTRA_OK)
            return status;
        if (done == 0 || done > asked)
            return EIO;
        offset += done;
        written += done;
        while (next < count && written >= spans[next].bytes)
            written -= spans[next++].bytes;
    }
    return SUTRA_OK;
}
