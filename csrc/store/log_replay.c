/* Reading the log: find the records, hand over complete batches, judge what is behind the end.
 *
 * A batch is found first (its records checked one after the other, in pieces, so that a length that
 * lies costs no memory) and then read again to be handed over, checked once more in the memory
 * that is handed over. So a batch of many records is never held as a whole.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log_parts.h"

/* Bytes read in one step. */
#define STEP_BYTES ((size_t)256 << 10)
/* Would-be records behind the end are checked up to this many times the bytes there: random bytes
 * have none, records of a torn tail do not overlap, and a file made to cost time is refused. */
#define SEARCH_FACTOR 16u

#define HEADER_WHAT "log header"
#define RECORD_WHAT "log record"

struct reader {
    const struct sutra_io *io;
    int fd;
    uint64_t size; /* of the file, as far as is known */
    uint32_t seed; /* of its checksums */
    uint8_t *window;
    size_t room;
    uint64_t start; /* place in the file of what the window holds */
    size_t held;
    size_t step; /* read at least so much */
};

struct record {
    uint64_t lsn;
    uint64_t bytes; /* in the file */
    uint32_t checksum, payload_bytes, delta, flags;
};

static int fault(struct sutra_fault *fault_out, int status, const char *what, uint64_t offset,
                 uint64_t expected, uint64_t found)
{
    if (fault_out != NULL) {
        *fault_out = SUTRA_FAULT_NONE;
        fault_out->offset = (int64_t)offset;
        fault_out->expected = expected;
        fault_out->found = found;
        fault_out->what = what;
    }
    return status;
}

/* ---- the window */

/* Read [start, start + bytes) into the window; held is less where the file turns out shorter. */
static int fill(struct reader *reader, uint64_t start, size_t bytes)
{
    reader->start = start;
    reader->held = 0;
    if (bytes > reader->room) {
        free(reader->window);
        reader->window = malloc(bytes);
        reader->room = reader->window == NULL ? 0 : bytes;
        if (reader->window == NULL)
            return SUTRA_E_NO_MEMORY;
    }
    while (reader->held < bytes) {
        size_t done = 0, wanted = bytes - reader->held;
        int status = reader->io->read(reader->io->context, reader->fd, start + reader->held,
                                      reader->window + reader->held, wanted, &done);
        if (status == EINTR)
            continue;
        if (status != SUTRA_OK)
            return status;
        if (done > wanted)
            return EIO;
        if (done == 0) {
            reader->size = start + reader->held;
            break;
        }
        reader->held += done;
    }
    return SUTRA_OK;
}

/* [offset, offset + wanted) of the file, or what there is of it: *got_out bytes, valid until the
 * next call. What is at a multiple of 8 in the file is aligned to 8 in memory. */
static int look(struct reader *reader, uint64_t offset, uint64_t wanted, const uint8_t **data_out,
                size_t *got_out)
{
    const uint64_t left = offset < reader->size ? reader->size - offset : 0;
    if (wanted > left)
        wanted = left;
    *got_out = 0;
    *data_out = NULL;
    if (wanted == 0)
        return SUTRA_OK;
    if (offset < reader->start || offset + wanted > reader->start + reader->held) {
        const uint64_t start = offset & ~(uint64_t)7;
        uint64_t bytes = offset - start + wanted;
        if (bytes < reader->step)
            bytes = reader->step;
        if (bytes > reader->size - start)
            bytes = reader->size - start;
        int status = fill(reader, start, (size_t)bytes);
        if (status != SUTRA_OK)
            return status;
        const uint64_t there = offset - start < reader->held ? reader->held - (offset - start) : 0;
        if (wanted > there)
            wanted = there;
    }
    *got_out = (size_t)wanted;
    if (wanted > 0)
        *data_out = reader->window + (offset - reader->start);
    return SUTRA_OK;
}

/* Bytes in data before the zeros that it ends with. */
static size_t without_zeros(const uint8_t *data, size_t bytes)
{
    while (bytes >= 8 && sutra_load_u64(data + bytes - 8) == 0)
        bytes -= 8;
    while (bytes > 0 && data[bytes - 1] == 0)
        bytes--;
    return bytes;
}

/* The end of the last byte at or after `from` that is not zero; `from` if there is none. */
static int find_used(struct reader *reader, uint64_t from, uint64_t *used_out)
{
    uint64_t end = reader->size;
    *used_out = from;
    while (end > from) {
        const uint64_t bytes = end - from < STEP_BYTES ? end - from : STEP_BYTES;
        const uint8_t *data;
        size_t got;
        int status = look(reader, end - bytes, bytes, &data, &got);
        if (status != SUTRA_OK)
            return status;
        const size_t used = got > 0 ? without_zeros(data, got) : 0;
        if (used > 0) {
            *used_out = end - bytes + used;
            return SUTRA_OK;
        }
        end -= bytes;
    }
    return SUTRA_OK;
}

/* ---- the header */

static int bad_header(struct sutra_fault *fault_out, uint64_t offset, uint64_t expected,
                      uint64_t found)
{
    return fault(fault_out, SUTRA_E_CORRUPT, HEADER_WHAT, offset, expected, found);
}

/* A field that must have one value. */
static int match(const uint8_t *header, uint64_t offset, uint64_t expected,
                 struct sutra_fault *fault_out)
{
    const uint64_t found = sutra_load_u64(header + offset);
    return found == expected ? SUTRA_OK : bad_header(fault_out, offset, expected, found);
}

/* What the header says of the file before. */
static int match_before(const uint8_t *header, const struct sutra_log_end *before,
                        struct sutra_fault *fault_out)
{
    const bool none = before->file_number == 0;
    int status = match(header, SUTRA_LOG_HEADER_BEFORE_NUMBER, before->file_number, fault_out);
    if (status == SUTRA_OK)
        status = match(header, SUTRA_LOG_HEADER_BEFORE_BYTES, none ? 0 : before->bytes, fault_out);
    if (status == SUTRA_OK && !none)
        status = match(header, SUTRA_LOG_HEADER_FIRST_LSN, before->next_lsn, fault_out);
    const uint32_t expected = none ? 0 : before->last_checksum;
    const uint32_t found = sutra_load_u32(header + SUTRA_LOG_HEADER_BEFORE_CHECKSUM);
    if (status == SUTRA_OK && found != expected)
        status = bad_header(fault_out, SUTRA_LOG_HEADER_BEFORE_CHECKSUM, expected, found);
    return status;
}

/* The fields of a header whose checksum holds. */
static int check_fields(const uint8_t *header, const struct sutra_log_replay *replay,
                        struct sutra_fault *fault_out)
{
    const uint32_t version = sutra_load_u32(header + SUTRA_LOG_HEADER_VERSION);
    if (version != SUTRA_LOG_VERSION)
        return fault(fault_out, version > SUTRA_LOG_VERSION ? SUTRA_E_VERSION : SUTRA_E_CORRUPT,
                     HEADER_WHAT, SUTRA_LOG_HEADER_VERSION, SUTRA_LOG_VERSION, version);
    if (memcmp(header + SUTRA_LOG_HEADER_STORE_ID, replay->store_id, 16) != 0)
        return bad_header(fault_out, SUTRA_LOG_HEADER_STORE_ID, 0, 0);
    const size_t reserved = without_zeros(header + SUTRA_LOG_HEADER_RESERVED,
                                          SUTRA_LOG_HEADER_CRC - SUTRA_LOG_HEADER_RESERVED);
    if (reserved > 0)
        return bad_header(fault_out, SUTRA_LOG_HEADER_RESERVED, 0, 0);
    int status = match(header, SUTRA_LOG_HEADER_FILE_NUMBER, replay->file_number, fault_out);
    const uint64_t first_lsn = sutra_load_u64(header + SUTRA_LOG_HEADER_FIRST_LSN);
    if (status == SUTRA_OK &&
        (first_lsn == 0 || (replay->expected_lsn != 0 && first_lsn != replay->expected_lsn)))
        status = bad_header(fault_out, SUTRA_LOG_HEADER_FIRST_LSN, replay->expected_lsn, first_lsn);
    if (status == SUTRA_OK && replay->before != NULL)
        status = match_before(header, replay->before, fault_out);
    return status;
}

/* Checks the header and fills the reader's seed; *end_out: where the first record begins. */
static int read_header(struct reader *reader, const struct sutra_log_replay *replay,
                       struct sutra_log_end *end_out, struct sutra_fault *fault_out)
{
    const uint8_t *header;
    size_t got;
    int status = look(reader, 0, SUTRA_LOG_HEADER_BYTES, &header, &got);
    if (status != SUTRA_OK)
        return status;
    if (got < SUTRA_LOG_HEADER_BYTES)
        return fault(fault_out, SUTRA_E_TRUNCATED, HEADER_WHAT, got, SUTRA_LOG_HEADER_BYTES, got);
    if (without_zeros(header, SUTRA_LOG_HEADER_BYTES) == 0) {
        uint64_t used;
        status = find_used(reader, 0, &used);
        if (status == SUTRA_OK)
            status = fault(fault_out, used == 0 ? SUTRA_E_TRUNCATED : SUTRA_E_CORRUPT, HEADER_WHAT,
                           0, SUTRA_LOG_HEADER_BYTES, 0);
        return status;
    }
    if (memcmp(header + SUTRA_LOG_HEADER_MAGIC, SUTRA_LOG_MAGIC, 8) != 0)
        return bad_header(fault_out, SUTRA_LOG_HEADER_MAGIC, 0, 0);
    const uint32_t found = sutra_load_u32(header + SUTRA_LOG_HEADER_CRC);
    const uint32_t checksum = sutra_crc32c(0, header, SUTRA_LOG_HEADER_CRC);
    if (found != checksum)
        return bad_header(fault_out, SUTRA_LOG_HEADER_CRC, checksum, found);
    status = check_fields(header, replay, fault_out);
    if (status != SUTRA_OK)
        return status;
    reader->step = STEP_BYTES;
    reader->seed = sutra_log_seed(sutra_load_u64(header + SUTRA_LOG_HEADER_SALT));
    *end_out =
        (struct sutra_log_end){.file_number = replay->file_number,
                               .bytes = SUTRA_LOG_HEADER_BYTES,
                               .last_checksum = checksum,
                               .next_lsn = sutra_load_u64(header + SUTRA_LOG_HEADER_FIRST_LSN)};
    return SUTRA_OK;
}

/* ---- records */

static struct record parse_record(const uint8_t *data)
{
    struct record record = {
        .checksum = sutra_load_u32(data + SUTRA_LOG_RECORD_CHECKSUM),
        .payload_bytes = sutra_load_u32(data + SUTRA_LOG_RECORD_PAYLOAD_BYTES),
        .lsn = sutra_load_u64(data + SUTRA_LOG_RECORD_LSN),
        .delta = sutra_load_u32(data + SUTRA_LOG_RECORD_DURABLE_DELTA),
        .flags = sutra_load_u32(data + SUTRA_LOG_RECORD_FLAGS),
    };
    record.bytes = sutra_log_record_bytes(record.payload_bytes);
    return record;
}

static bool fits(const struct record *record, uint64_t room)
{
    return record->payload_bytes <= SUTRA_LOG_PAYLOAD_MAX && record->bytes <= room;
}

/* Could a writer have written this? */
static bool makes_sense(const struct record *record)
{
    return (record->flags & ~SUTRA_LOG_FLAGS_KNOWN) == 0 && record->delta > 0 &&
           record->delta <= record->lsn && record->lsn < UINT64_MAX;
}

/* The checksum of a record that is in memory, or of its first bytes. */
static uint32_t sum(uint32_t seed, const uint8_t *data, size_t bytes)
{
    return sutra_crc32c(seed, data + SUTRA_LOG_RECORD_PAYLOAD_BYTES,
                        bytes - SUTRA_LOG_RECORD_PAYLOAD_BYTES);
}

/* Compare the checksum of the record at offset with its bytes, piece by piece. */
static int check_sum(struct reader *reader, uint64_t offset, const struct record *record,
                     bool *right_out)
{
    uint32_t checksum = 0;
    *right_out = false;
    for (uint64_t done = 0; done < record->bytes;) {
        const uint64_t left = record->bytes - done;
        const uint8_t *data;
        size_t got;
        int status =
            look(reader, offset + done, left < STEP_BYTES ? left : STEP_BYTES, &data, &got);
        if (status != SUTRA_OK)
            return status;
        if (got < 8) /* the file has got shorter */
            return SUTRA_OK;
        checksum = done == 0 ? sum(reader->seed, data, got) : sutra_crc32c(checksum, data, got);
        done += got;
    }
    *right_out = checksum == record->checksum;
    return SUTRA_OK;
}

/* Is there a valid record with this LSN at offset? */
static int check_record(struct reader *reader, uint64_t offset, uint64_t lsn,
                        struct record *record_out, bool *valid_out)
{
    const uint8_t *data;
    size_t got;
    *valid_out = false;
    int status = look(reader, offset, SUTRA_LOG_RECORD_HEADER_BYTES, &data, &got);
    if (status != SUTRA_OK || got < SUTRA_LOG_RECORD_HEADER_BYTES)
        return status;
    *record_out = parse_record(data);
    if (record_out->lsn != lsn || !fits(record_out, reader->size - offset))
        return SUTRA_OK;
    return check_sum(reader, offset, record_out, valid_out);
}

/* Hand over the records in [end, to), which have been checked, and move `end` behind them. */
static int hand_over(struct reader *reader, const struct sutra_log_replay *replay,
                     const struct sutra_log_end *end, uint64_t to, struct sutra_fault *fault_out)
{
    uint64_t lsn = end->next_lsn;
    for (uint64_t at = end->bytes; at < to; lsn++) {
        const uint8_t *data;
        size_t got;
        struct record record = {0};
        int status = look(reader, at, SUTRA_LOG_RECORD_HEADER_BYTES, &data, &got);
        if (status == SUTRA_OK && got == SUTRA_LOG_RECORD_HEADER_BYTES)
            record = parse_record(data);
        /* Only a file that changes while it is read is different now. */
        bool same = record.lsn == lsn && fits(&record, to - at);
        if (status == SUTRA_OK && same) {
            status = look(reader, at, record.bytes, &data, &got);
            same = status == SUTRA_OK && got == record.bytes &&
                   sum(reader->seed, data, got) == record.checksum;
        }
        if (status != SUTRA_OK)
            return status;
        if (!same)
            return fault(fault_out, SUTRA_E_CORRUPT, RECORD_WHAT, at, lsn, record.lsn);
        status = replay->each(replay->context, lsn, record.flags, data + SUTRA_LOG_RECORD_PAYLOAD,
                              record.payload_bytes);
        if (status == SUTRA_E_CORRUPT) /* its checksum holds, and what it says does not */
            return fault(fault_out, status, RECORD_WHAT, at, 0, 0);
        if (status != SUTRA_OK)
            return status;
        at += record.bytes;
    }
    return SUTRA_OK;
}

/* ---- behind the end */

/* Could this, so many bytes behind the place where `missing` should be, say that it was durable?
 * Every record between takes at least a header's bytes. */
static bool may_vouch(const struct record *record, uint64_t missing, uint64_t behind)
{
    return record->lsn > missing &&
           record->lsn - missing <= behind / SUTRA_LOG_RECORD_HEADER_BYTES && makes_sense(record) &&
           record->delta != SUTRA_LOG_DELTA_UNKNOWN && record->lsn - record->delta >= missing;
}

/* Search [from, used) for a record that says that `missing`, which should be at `from`, was
 * durable. *found_out: its LSN, or 0 if the search was given up. */
static int find_voucher(struct reader *reader, uint64_t from, uint64_t used, uint64_t missing,
                        bool *vouched_out, uint64_t *found_out)
{
    uint64_t budget = (used - from) * SEARCH_FACTOR;
    uint64_t at = from + SUTRA_LOG_RECORD_HEADER_BYTES;
    *vouched_out = false;
    *found_out = 0;
    while (at < used) {
        const uint8_t *data;
        size_t got;
        int status = look(reader, at, STEP_BYTES, &data, &got);
        if (status != SUTRA_OK || got < SUTRA_LOG_RECORD_HEADER_BYTES)
            return status;
        struct record record = {0};
        bool candidate = false;
        size_t skipped = 0;
        for (; skipped + SUTRA_LOG_RECORD_HEADER_BYTES <= got; skipped += 8) {
            /* The one load that rules nearly everything out. */
            const uint64_t lsn = sutra_load_u64(data + skipped + SUTRA_LOG_RECORD_LSN);
            if (lsn - missing > reader->size / SUTRA_LOG_RECORD_HEADER_BYTES)
                continue;
            record = parse_record(data + skipped);
            candidate = may_vouch(&record, missing, at + skipped - from) &&
                        fits(&record, reader->size - at - skipped);
            if (candidate)
                break;
        }
        at += skipped;
        if (!candidate)
            continue;
        if (record.bytes > budget) {
            *vouched_out = true;
            return SUTRA_OK;
        }
        budget -= record.bytes;
        status = check_sum(reader, at, &record, vouched_out);
        if (status != SUTRA_OK)
            return status;
        if (*vouched_out) {
            *found_out = record.lsn;
            return SUTRA_OK;
        }
        at += 8;
    }
    return SUTRA_OK;
}

/* Forget what was read and the size that was known: the file may have grown. */
static int read_anew(struct reader *reader)
{
    reader->held = 0;
    return reader->io->size(reader->io->context, reader->fd, &reader->size);
}

/* There is no valid record at `at`: an end (SUTRA_OK, *valid_out false) or damage. *used_out: the
 * end of what is not zero. *valid_out: there is one by now. */
static int judge_tail(struct reader *reader, uint64_t at, uint64_t lsn, struct record *record_out,
                      bool *valid_out, uint64_t *used_out, struct sutra_fault *fault_out)
{
    bool vouched;
    uint64_t found;
    int status = find_used(reader, at, used_out);
    if (status == SUTRA_OK)
        status = find_voucher(reader, at, *used_out, lsn, &vouched, &found);
    if (status != SUTRA_OK || !vouched)
        return status;
    /* A writer may have written both records while we were reading, and we have seen only the later
     * one. But what is vouched for was written before: if it is whole it can be seen now. */
    status = read_anew(reader);
    if (status == SUTRA_OK)
        status = check_record(reader, at, lsn, record_out, valid_out);
    if (status == SUTRA_OK && !*valid_out)
        status = fault(fault_out, SUTRA_E_CORRUPT, RECORD_WHAT, at, lsn, found);
    return status;
}

/* ---- all of a file */

static int replay_records(struct reader *reader, const struct sutra_log_replay *replay,
                          struct sutra_log_end *end, uint64_t *torn_bytes_out,
                          struct sutra_fault *fault_out)
{
    struct sutra_log_end at = *end; /* runs ahead inside a batch */
    uint64_t used = 0;
    while (at.next_lsn <= replay->stop_lsn) {
        struct record record;
        bool valid;
        int status = check_record(reader, at.bytes, at.next_lsn, &record, &valid);
        if (status == SUTRA_OK && !valid && replay->last)
            status = judge_tail(reader, at.bytes, at.next_lsn, &record, &valid, &used, fault_out);
        else if (status == SUTRA_OK && !valid && torn_bytes_out != NULL)
            status = find_used(reader, at.bytes, &used);
        if (status != SUTRA_OK)
            return status;
        if (!valid) {
            if (torn_bytes_out != NULL)
                *torn_bytes_out = used - end->bytes;
            return SUTRA_OK;
        }
        if (!makes_sense(&record))
            return fault(fault_out, SUTRA_E_CORRUPT, RECORD_WHAT, at.bytes, at.next_lsn,
                         record.lsn);
        at.bytes += record.bytes;
        at.last_checksum = record.checksum;
        at.next_lsn++;
        if ((record.flags & SUTRA_LOG_MORE) != 0)
            continue;
        if (replay->each != NULL) {
            status = hand_over(reader, replay, end, at.bytes, fault_out);
            if (status != SUTRA_OK)
                return status;
        }
        *end = at;
    }
    return SUTRA_OK;
}

static int replay_open_file(struct reader *reader, const struct sutra_log_replay *replay,
                            struct sutra_log_end *end_out, uint64_t *torn_bytes_out,
                            struct sutra_fault *fault_out)
{
    struct sutra_log_end end;
    int status = reader->io->size(reader->io->context, reader->fd, &reader->size);
    if (status == SUTRA_OK)
        status = read_header(reader, replay, &end, fault_out);
    if (status != SUTRA_OK)
        return status;
    if (replay->skip_bytes > reader->size)
        return fault(fault_out, SUTRA_E_CORRUPT, RECORD_WHAT, reader->size, replay->skip_bytes,
                     reader->size);
    if (replay->skip_bytes != 0) {
        end.bytes = replay->skip_bytes;
        end.next_lsn = replay->skip_lsn;
        end.last_checksum = replay->skip_checksum;
    }
    *end_out = end;
    return replay_records(reader, replay, end_out, torn_bytes_out, fault_out);
}

int sutra_log_replay(const struct sutra_log_replay *replay, struct sutra_log_end *end_out,
                     uint64_t *torn_bytes_out, struct sutra_fault *fault_out)
{
    *end_out = (struct sutra_log_end){.file_number = replay->file_number};
    if (torn_bytes_out != NULL)
        *torn_bytes_out = 0;
    if (fault_out != NULL)
        *fault_out = SUTRA_FAULT_NONE;
    if (replay->file_number == 0 || replay->file_number > SUTRA_LOG_NUMBER_MAX)
        return SUTRA_E_ARGUMENT;
    if (replay->skip_bytes != 0 && (replay->skip_bytes < SUTRA_LOG_HEADER_BYTES ||
                                    replay->skip_bytes % 8 != 0 || replay->skip_lsn == 0))
        return SUTRA_E_ARGUMENT;
    char *path;
    int status = sutra_log_path(replay->directory, replay->file_number, &path);
    if (status != SUTRA_OK)
        return status;
    /* A follower needs the header, and then what comes far behind it. */
    struct reader reader = {.io = replay->io, .step = SUTRA_LOG_HEADER_BYTES};
    status = replay->io->open(replay->io->context, path, SUTRA_OPEN_READ, &reader.fd);
    free(path);
    if (status != SUTRA_OK)
        return status;
    status = replay_open_file(&reader, replay, end_out, torn_bytes_out, fault_out);
    replay->io->close(replay->io->context, reader.fd);
    free(reader.window);
    return status;
}
