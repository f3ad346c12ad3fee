/* Two segments to be damaged: a base of large sections, and a delta with small ones around a large
 * one, the first in block 0 behind the header.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_SEGMENT_PAIR_H
#define SUTRA_TESTS_SEGMENT_PAIR_H

#include "segment_cases.h"

enum {
    KIND = SUTRA_PART_RECORD,
    OTHER = SUTRA_PART_HEAD,
    ROW = 56,
    FIRST = 3001,
    MIDDLE = FIRST + 10,
    SECOND = 4300,
    OTHER_ROW = 4,
    OTHER_ROWS = 100,
    OWN_BYTES = 70000,
};

struct rows {
    uint8_t plane[SECOND * ROW];
    uint8_t other[OTHER_ROWS * OTHER_ROW];
    uint8_t own[OWN_BYTES];
};

static inline int write_first(const struct sutra_io *io, const char *directory, struct rows *rows,
                              uint64_t *bytes_out, uint8_t *identity_out)
{
    struct sutra_segment_writer *writer;
    const int status = sutra_segment_begin(io, directory, store_id, 1, &writer);
    if (status != SUTRA_OK)
        return status;
    make_rows(rows->plane, ROW, 0, SECOND, 1);
    make_rows(rows->own, 1, 0, OWN_BYTES, 2);
    sutra_segment_bytes(writer, OWN_KIND, rows->own, OWN_BYTES);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, rows->plane, ROW, 0, FIRST);
    return sutra_segment_commit(writer, bytes_out, identity_out);
}

static inline int write_second(const struct sutra_io *io, const char *directory, struct rows *rows,
                               uint64_t *bytes_out, uint8_t *identity_out)
{
    struct sutra_segment_writer *writer;
    const int status = sutra_segment_begin(io, directory, store_id, 2, &writer);
    if (status != SUTRA_OK)
        return status;
    uint32_t numbers[FIRST / 50];
    uint8_t changed[FIRST / 50 * ROW];
    for (uint32_t j = 0; j < FIRST / 50; j++) {
        numbers[j] = j * 50;
        make_row(rows->plane + (size_t)numbers[j] * ROW, ROW, numbers[j], 3);
        memcpy(changed + (size_t)j * ROW, rows->plane + (size_t)numbers[j] * ROW, ROW);
    }
    make_rows(rows->other, OTHER_ROW, 0, OTHER_ROWS, 4);
    sutra_segment_patch(writer, KIND, ROW, numbers, changed, FIRST / 50);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, rows->plane, ROW, FIRST, MIDDLE);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, rows->plane, ROW, MIDDLE, SECOND);
    sutra_segment_rows(writer, OTHER, SUTRA_SECTION_WHOLE, rows->other, OTHER_ROW, 0, OTHER_ROWS);
    return sutra_segment_commit(writer, bytes_out, identity_out);
}

static inline bool write_both(struct chain *chain, struct rows *rows)
{
    const struct place *place = &chain->place;
    chain->count = 2;
    return write_first(place->io, place->directory, rows, &chain->bytes[0], chain->identities[0]) ==
               SUTRA_OK &&
           write_second(place->io, place->directory, rows, &chain->bytes[1],
                        chain->identities[1]) == SUTRA_OK;
}

static inline struct rows *make_both(struct chain *chain, bool simulated)
{
    struct rows *rows = malloc(sizeof *rows);
    if (rows == NULL || !make_chain(chain, simulated) || !write_both(chain, rows)) {
        free(rows);
        return NULL;
    }
    return rows;
}

static inline int open_one(const struct chain *chain, size_t segment, bool known,
                           struct sutra_segment *segment_out, struct sutra_fault *fault_out)
{
    return sutra_segment_open(chain->place.io, chain->place.directory, store_id, number_of(segment),
                              known ? chain->bytes[segment] : 0,
                              known ? chain->identities[segment] : NULL, segment_out, fault_out);
}

/* Make all checksums of a changed file right, which has at least a header and a checksum. sound:
 * the file before, whose sums are taken for blocks that are the same; NULL: there is none. */
static inline void mend(uint8_t *file, size_t bytes, uint64_t number, const uint8_t *sound,
                        size_t sound_bytes)
{
    const uint64_t blocks = blocks_of(bytes), end = data_of(bytes);
    const uint64_t sound_end = sound != NULL ? data_of(sound_bytes) : 0;
    uint8_t *table = file + end;
    for (uint64_t b = 0; b < blocks; b++) {
        const uint8_t *block = file + b * BLOCK;
        const size_t length = block_of(end, b);
        const bool same = b > 0 && length > 0 && length == block_of(sound_end, b) &&
                          memcmp(block, sound + b * BLOCK, length) == 0;
        sutra_store_u32(table + 4 * b,
                        same ? sutra_load_u32(sound + sound_end + 4 * b)
                             : sutra_segment_block_checksum(number, b, block, length));
    }
    sutra_store_u32(file + SUTRA_SEGMENT_HEADER_CHECKSUMS_CRC, sutra_crc32c(0, table, blocks * 4));
    sutra_store_u32(file + SUTRA_SEGMENT_HEADER_CRC,
                    sutra_crc32c(0, file, SUTRA_SEGMENT_HEADER_CRC));
}

#endif
