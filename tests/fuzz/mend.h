/* Making the checksums of a store's files right after they were changed: what reaches the code
 * behind the checks. A file too short for a field is left as it is.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_FUZZ_MEND_H
#define SUTRA_TESTS_FUZZ_MEND_H

#include "base/sha256.h"
#include "store/log.h"
#include "store/log_format.h"
#include "store/manifest.h"
#include "store/manifest_format.h"
#include "store/segment_blocks.h"
#include "store/state_file.h"

static const uint8_t fuzz_store_id[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

/* A checksum over the bytes before it. */
static inline void mend_sum(struct fuzz_file *file, size_t at)
{
    if (file->bytes >= at + 4)
        sutra_store_u32(file->data + at, sutra_crc32c(0, file->data, at));
}

static inline void mend_identity(struct fuzz_file *file)
{
    mend_sum(file, SUTRA_IDENTITY_AT_CRC);
}

static inline void mend_state_file(struct fuzz_file *file)
{
    mend_sum(file, SUTRA_STATE_FILE_CRC);
}

static inline void mend_manifest(struct fuzz_file *file)
{
    if (file->bytes >= SUTRA_MANIFEST_CRC_BYTES)
        mend_sum(file, file->bytes - SUTRA_MANIFEST_CRC_BYTES);
}

/* The header, and every record as far as lengths lead. Returns where the last whole batch ends, as
 * a successor names it. */
static inline struct sutra_log_end mend_log(struct fuzz_file *file)
{
    struct sutra_log_end end = {.file_number = file->number};
    uint8_t *data = file->data;
    mend_sum(file, SUTRA_LOG_HEADER_CRC);
    if (file->bytes < SUTRA_LOG_HEADER_BYTES)
        return end;
    uint64_t lsn = sutra_load_u64(data + SUTRA_LOG_HEADER_FIRST_LSN);
    uint32_t salt_sum = sutra_crc32c(0, data + SUTRA_LOG_HEADER_SALT, 8);
    end.bytes = SUTRA_LOG_HEADER_BYTES;
    end.next_lsn = lsn;
    end.last_checksum = sutra_load_u32(data + SUTRA_LOG_HEADER_CRC);
    size_t at = SUTRA_LOG_HEADER_BYTES;
    while (file->bytes - at >= SUTRA_LOG_RECORD_HEADER_BYTES) {
        uint8_t *record = data + at;
        const size_t payload = sutra_load_u32(record + SUTRA_LOG_RECORD_PAYLOAD_BYTES);
        const size_t bytes = SUTRA_LOG_RECORD_HEADER_BYTES + sutra_round_up(payload, 8);
        if (sutra_load_u64(record + SUTRA_LOG_RECORD_LSN) == 0 || bytes > file->bytes - at)
            break;
        const uint32_t sum = sutra_crc32c(salt_sum, record + 4, bytes - 4);
        sutra_store_u32(record, sum);
        at += bytes;
        lsn++;
        if (!(sutra_load_u32(record + SUTRA_LOG_RECORD_FLAGS) & SUTRA_LOG_MORE)) {
            end.bytes = at;
            end.next_lsn = lsn;
            end.last_checksum = sum;
        }
    }
    return end;
}

/* What a log says of the one before; the header's checksum is to be mended after. */
static inline void mend_before(struct fuzz_file *file, const struct sutra_log_end *before)
{
    uint8_t *data = file->data;
    if (file->bytes < SUTRA_LOG_HEADER_BYTES)
        return;
    sutra_store_u64(data + SUTRA_LOG_HEADER_BEFORE_NUMBER, before->file_number);
    sutra_store_u64(data + SUTRA_LOG_HEADER_BEFORE_BYTES, before->bytes);
    sutra_store_u32(data + SUTRA_LOG_HEADER_BEFORE_CHECKSUM, before->last_checksum);
}

/* Length fields as well if `lengths`. */
static inline void mend_segment(struct fuzz_file *file, bool lengths)
{
    const uint64_t block_bytes = SUTRA_SEGMENT_BLOCK;
    const uint64_t blocks = (file->bytes + block_bytes + 3) / (block_bytes + 4);
    uint8_t *data = file->data;
    if (file->bytes < SUTRA_SEGMENT_HEADER_BYTES + 4 * blocks)
        return;
    const uint64_t end = file->bytes - 4 * blocks;
    uint8_t *table = data + end;
    if (lengths) {
        sutra_store_u64(data + SUTRA_SEGMENT_HEADER_FILE_BYTES, file->bytes);
        sutra_store_u64(data + SUTRA_SEGMENT_HEADER_BLOCK_COUNT, blocks);
    }
    for (uint64_t b = 0; b < blocks; b++) {
        const uint64_t left = end > b * block_bytes ? end - b * block_bytes : 0;
        const size_t bytes = (size_t)(left < block_bytes ? left : block_bytes);
        if (b == 0 && bytes < SUTRA_SEGMENT_HEADER_BYTES)
            return;
        sutra_store_u32(table + 4 * b, sutra_segment_block_checksum(file->number, b,
                                                                    data + b * block_bytes, bytes));
    }
    sutra_store_u32(data + SUTRA_SEGMENT_HEADER_CHECKSUMS_CRC, sutra_crc32c(0, table, 4 * blocks));
    mend_sum(file, SUTRA_SEGMENT_HEADER_CRC);
}

static inline void segment_identity(const struct fuzz_file *file, uint8_t *identity_out)
{
    const uint64_t blocks =
        (file->bytes + SUTRA_SEGMENT_BLOCK + 3) / (SUTRA_SEGMENT_BLOCK + UINT64_C(4));
    struct sutra_sha256 hash;
    sutra_sha256_begin(&hash);
    if (file->bytes >= SUTRA_SEGMENT_HEADER_BYTES + 4 * blocks) {
        sutra_sha256_add(&hash, file->data, SUTRA_SEGMENT_HEADER_BYTES);
        sutra_sha256_add(&hash, file->data + file->bytes - 4 * blocks, (size_t)(4 * blocks));
    }
    sutra_sha256_end(&hash, identity_out);
}

/* Length and identity of a segment in a manifest that names its number. */
static inline void mend_named(struct fuzz_file *manifest, const struct fuzz_file *segment)
{
    uint8_t identity[SUTRA_IDENTITY_BYTES];
    segment_identity(segment, identity);
    for (size_t at = SUTRA_MANIFEST_AT_FILES;
         at + SUTRA_MANIFEST_FILE_SIZE + SUTRA_MANIFEST_CRC_BYTES <= manifest->bytes;
         at += SUTRA_MANIFEST_FILE_SIZE) {
        uint8_t *entry = manifest->data + at;
        if (sutra_load_u64(entry + SUTRA_MANIFEST_FILE_NUMBER) != segment->number)
            continue;
        sutra_store_u64(entry + SUTRA_MANIFEST_FILE_BYTES, segment->bytes);
        memcpy(entry + SUTRA_MANIFEST_FILE_IDENTITY, identity, sizeof identity);
    }
}

#endif
