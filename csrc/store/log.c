/* Writing the log: allocate ahead, append whole records, cut off what was not written whole.
 *
 * A record is on the medium when a sync that began after its append has returned. Until then a
 * power cut may leave any part of it. Bytes of the file are therefore used for another record only
 * after a sync in between: else records of the same lengths could survive side by side, some from
 * before the cut and some from after it, and together be a batch that never was.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "file_names.h"
#include "log_parts.h"

/* Files grow by as much as they have, within these bounds. */
#define STEP_BYTES_MIN ((uint64_t)1 << 20)
#define STEP_BYTES_MAX ((uint64_t)4 << 20)
/* What is asked for where a whole step does not fit on the disk. */
#define LAST_STEP_BYTES ((uint64_t)4096)

#define SUFFIX ".wal"

/* ---- names */

void sutra_log_name(uint64_t file_number, char *name_out)
{
    name_out[0] = '\0';
    if (file_number > 0 && file_number <= SUTRA_LOG_NUMBER_MAX)
        sutra_numbered_name("", file_number, SUFFIX, name_out);
}

bool sutra_log_number(const char *name, uint64_t *file_number_out)
{
    uint64_t number;
    if (!sutra_numbered_parse(name, "", SUFFIX, &number) || number == 0 ||
        number > SUTRA_LOG_NUMBER_MAX)
        return false;
    *file_number_out = number;
    return true;
}

int sutra_log_path(const char *directory, uint64_t file_number, char **path_out)
{
    char name[SUTRA_LOG_NAME_BYTES];
    sutra_log_name(file_number, name);
    return sutra_path_in(directory, name, "", path_out);
}

/* ---- failing, cutting, allocating */

static void fail(struct sutra_log *log)
{
    __atomic_store_n(&log->failed, true, __ATOMIC_RELEASE);
}

bool sutra_log_failed(const struct sutra_log *log)
{
    return __atomic_load_n(&log->failed, __ATOMIC_ACQUIRE);
}

/* The disk is full in one way or another: nothing is wrong with it, and room may be made. */
static bool is_full(int status)
{
    return status == ENOSPC || status == EDQUOT || status == EFBIG;
}

static int truncate_to(struct sutra_log *log, uint64_t bytes)
{
    int status;
    do
        status = log->io->truncate(log->io->context, log->fd, bytes);
    while (status == EINTR);
    if (status != SUTRA_OK)
        fail(log);
    return status;
}

/* Allocate up to `target`; on failure what there was before is left. */
static int extend(struct sutra_log *log, uint64_t target)
{
    int status;
    do
        status =
            log->io->allocate(log->io->context, log->fd, log->allocated, target - log->allocated);
    while (status == EINTR);
    if (status == SUTRA_OK) {
        log->allocated = target;
        return SUTRA_OK;
    }
    if (status == ENOTSUP) {
        log->allocates = false;
        return SUTRA_OK;
    }
    /* It may have got some of the way. */
    (void)truncate_to(log, log->allocated);
    if (!is_full(status))
        fail(log);
    return status;
}

/* Blocks for everything up to `end`. */
static int reserve(struct sutra_log *log, uint64_t end)
{
    if (!log->allocates || end <= log->allocated)
        return SUTRA_OK;
    uint64_t step = log->allocated;
    if (step < STEP_BYTES_MIN)
        step = STEP_BYTES_MIN;
    if (step > STEP_BYTES_MAX)
        step = STEP_BYTES_MAX;
    uint64_t target = (log->allocated + step) & ~(STEP_BYTES_MIN - 1);
    if (target < end)
        target = (end + STEP_BYTES_MIN - 1) & ~(STEP_BYTES_MIN - 1);
    const uint64_t least = (end + LAST_STEP_BYTES - 1) & ~(LAST_STEP_BYTES - 1);
    int status = extend(log, target);
    if (is_full(status) && least < target && !sutra_log_failed(log))
        status = extend(log, least);
    return status;
}

/* ---- a new file */

static int write_header(struct sutra_log *log, const uint8_t store_id[16],
                        const struct sutra_log_end *before)
{
    uint8_t header[SUTRA_LOG_HEADER_BYTES] = {0};
    memcpy(header + SUTRA_LOG_HEADER_MAGIC, SUTRA_LOG_MAGIC, 8);
    sutra_store_u32(header + SUTRA_LOG_HEADER_VERSION, SUTRA_LOG_VERSION);
    memcpy(header + SUTRA_LOG_HEADER_STORE_ID, store_id, 16);
    sutra_store_u64(header + SUTRA_LOG_HEADER_FILE_NUMBER, log->file_number);
    sutra_store_u64(header + SUTRA_LOG_HEADER_SALT, log->salt);
    sutra_store_u64(header + SUTRA_LOG_HEADER_FIRST_LSN, log->next_lsn);
    if (before != NULL) {
        sutra_store_u32(header + SUTRA_LOG_HEADER_BEFORE_CHECKSUM, before->last_checksum);
        sutra_store_u64(header + SUTRA_LOG_HEADER_BEFORE_NUMBER, before->file_number);
        sutra_store_u64(header + SUTRA_LOG_HEADER_BEFORE_BYTES, before->bytes);
    }
    log->last_checksum = sutra_crc32c(0, header, SUTRA_LOG_HEADER_CRC);
    sutra_store_u32(header + SUTRA_LOG_HEADER_CRC, log->last_checksum);
    const struct sutra_span span = {header, sizeof header};
    return sutra_io_write_all(log->io, log->fd, 0, &span, 1);
}

/* Everything after the name is there. */
static int start_file(struct sutra_log *log, const uint8_t store_id[16],
                      const struct sutra_log_end *before)
{
    int status = log->io->random(log->io->context, &log->salt, sizeof log->salt);
    if (status == SUTRA_OK)
        status = reserve(log, SUTRA_LOG_HEADER_BYTES);
    if (status == SUTRA_OK)
        status = write_header(log, store_id, before);
    if (status == SUTRA_OK)
        status = log->io->sync(log->io->context, log->fd);
    if (status == SUTRA_OK) {
        log->end = SUTRA_LOG_HEADER_BYTES;
        log->finished = (struct sutra_log_end){.file_number = log->file_number,
                                               .bytes = log->end,
                                               .last_checksum = log->last_checksum,
                                               .next_lsn = log->next_lsn};
    }
    return status;
}

int sutra_log_create(struct sutra_log *log, const struct sutra_io *io, const char *directory,
                     const uint8_t store_id[16], uint64_t file_number, uint64_t first_lsn,
                     const struct sutra_log_end *before)
{
    *log = (struct sutra_log){
        .io = io, .fd = -1, .file_number = file_number, .next_lsn = first_lsn, .allocates = true};
    if (before != NULL && before->file_number == 0)
        before = NULL;
    if (file_number == 0 || file_number > SUTRA_LOG_NUMBER_MAX || first_lsn == 0)
        return SUTRA_E_ARGUMENT;
    if (before != NULL && (before->file_number >= file_number || before->next_lsn != first_lsn ||
                           before->bytes < SUTRA_LOG_HEADER_BYTES || before->bytes % 8 != 0))
        return SUTRA_E_ARGUMENT;
    char *path;
    int status = sutra_log_path(directory, file_number, &path);
    if (status != SUTRA_OK)
        return status;
    status = pthread_mutex_init(&log->syncing, NULL);
    if (status != SUTRA_OK) {
        free(path);
        return status;
    }
    status = io->open(io->context, path, SUTRA_OPEN_CREATE_EXCLUSIVE, &log->fd);
    if (status != SUTRA_OK) {
        log->fd = -1;
        pthread_mutex_destroy(&log->syncing);
    } else {
        status = start_file(log, store_id, before);
        if (status != SUTRA_OK) {
            fail(log);
            sutra_log_close(log);
            (void)io->unlink(io->context, path);
        }
    }
    free(path);
    return status;
}

void sutra_log_close(struct sutra_log *log)
{
    if (log->fd < 0)
        return;
    log->io->close(log->io->context, log->fd);
    log->fd = -1;
    pthread_mutex_destroy(&log->syncing);
}

/* ---- appending */

static void finish_batch(struct sutra_log *log)
{
    log->finished.bytes = log->end;
    log->finished.last_checksum = log->last_checksum;
    log->finished.next_lsn = log->next_lsn;
}

/* Go back to `bytes`, and let nothing of what was behind it come back beside what comes there next.
 */
static int cut_to(struct sutra_log *log, uint64_t bytes)
{
    int status = truncate_to(log, bytes);
    if (status != SUTRA_OK)
        return status;
    if (log->allocated > bytes)
        log->allocated = bytes;
    return sutra_log_sync(log);
}

int sutra_log_append(struct sutra_log *log, uint32_t flags, const struct sutra_span *spans,
                     size_t count, uint64_t durable_lsn)
{
    if (log->fd < 0 || sutra_log_failed(log))
        return EIO;
    if ((flags & ~SUTRA_LOG_FLAGS_KNOWN) != 0 || durable_lsn >= log->next_lsn)
        return SUTRA_E_ARGUMENT;
    if (count > SUTRA_LOG_SPANS_MAX || log->next_lsn == UINT64_MAX)
        return SUTRA_E_CAPACITY;

    static const uint8_t zeros[8] = {0};
    uint8_t header[SUTRA_LOG_RECORD_HEADER_BYTES];
    struct sutra_span parts[SUTRA_LOG_SPANS_MAX + 2];
    size_t part_count = 0;
    uint32_t payload_bytes = 0;
    parts[part_count++] = (struct sutra_span){header, sizeof header};
    for (size_t i = 0; i < count; i++) {
        if (spans[i].bytes > SUTRA_LOG_PAYLOAD_MAX - payload_bytes)
            return SUTRA_E_CAPACITY;
        payload_bytes += (uint32_t)spans[i].bytes;
        if (spans[i].bytes > 0)
            parts[part_count++] = spans[i];
    }
    if (payload_bytes % 8 != 0)
        parts[part_count++] = (struct sutra_span){zeros, 8 - payload_bytes % 8};

    const uint64_t delta = log->next_lsn - durable_lsn;
    sutra_store_u32(header + SUTRA_LOG_RECORD_PAYLOAD_BYTES, payload_bytes);
    sutra_store_u64(header + SUTRA_LOG_RECORD_LSN, log->next_lsn);
    sutra_store_u32(header + SUTRA_LOG_RECORD_DURABLE_DELTA,
                    delta < SUTRA_LOG_DELTA_UNKNOWN ? (uint32_t)delta : SUTRA_LOG_DELTA_UNKNOWN);
    sutra_store_u32(header + SUTRA_LOG_RECORD_FLAGS, flags);
    uint32_t checksum =
        sutra_crc32c(sutra_log_seed(log->salt), header + SUTRA_LOG_RECORD_PAYLOAD_BYTES,
                     sizeof header - SUTRA_LOG_RECORD_PAYLOAD_BYTES);
    for (size_t i = 1; i < part_count; i++)
        checksum = sutra_crc32c(checksum, parts[i].data, parts[i].bytes);
    sutra_store_u32(header + SUTRA_LOG_RECORD_CHECKSUM, checksum);

    const uint64_t record_bytes = sutra_log_record_bytes(payload_bytes);
    if (record_bytes + STEP_BYTES_MAX > INT64_MAX - log->end)
        return EFBIG;
    int status = reserve(log, log->end + record_bytes);
    if (status != SUTRA_OK)
        return status;
    status = sutra_io_write_all(log->io, log->fd, log->end, parts, part_count);
    if (status != SUTRA_OK) {
        (void)cut_to(log, log->end); /* failing is noted in the log */
        if (!is_full(status))
            fail(log);
        return status;
    }
    log->end += record_bytes;
    log->next_lsn++;
    log->last_checksum = checksum;
    if ((flags & SUTRA_LOG_MORE) == 0)
        finish_batch(log);
    return SUTRA_OK;
}

int sutra_log_cut(struct sutra_log *log)
{
    if (log->fd < 0 || sutra_log_failed(log))
        return EIO;
    if (log->end == log->finished.bytes)
        return SUTRA_OK;
    int status = cut_to(log, log->finished.bytes);
    if (status != SUTRA_OK)
        return status;
    log->end = log->finished.bytes;
    log->next_lsn = log->finished.next_lsn;
    log->last_checksum = log->finished.last_checksum;
    return SUTRA_OK;
}

void sutra_log_start_writing(const struct sutra_log *log, uint64_t from)
{
    if (log->io->start_writing && log->end > from)
        log->io->start_writing(log->io->context, log->fd, from, log->end - from);
}

int sutra_log_sync(struct sutra_log *log)
{
    if (log->fd < 0)
        return EIO;
    pthread_mutex_lock(&log->syncing);
    int status = EIO;
    if (!sutra_log_failed(log)) {
        status = log->io->sync(log->io->context, log->fd);
        if (status != SUTRA_OK)
            fail(log);
    }
    pthread_mutex_unlock(&log->syncing);
    return status;
}

void sutra_log_end_of(const struct sutra_log *log, struct sutra_log_end *end_out)
{
    *end_out = log->finished;
}
