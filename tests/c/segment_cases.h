/* What the tests of segments share: a plane's bytes and the segments that they are saved in.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_SEGMENT_CASES_H
#define SUTRA_TESTS_SEGMENT_CASES_H

#include "sealed_cases.h"

#include "base/crc32c.h"
#include "base/sha256.h"
#include "store/segment.h"
#include "store/segment_blocks.h"
#include "store/segment_format.h"

#define BLOCK ((size_t)SUTRA_SEGMENT_BLOCK)

enum { CHAIN_MOST = 8, OWN_KIND = 200 };

/* Segments as written, then opened. */
struct chain {
    struct place place;
    size_t count;
    uint64_t bytes[CHAIN_MOST];
    uint8_t identities[CHAIN_MOST][SUTRA_IDENTITY_BYTES];
    struct sutra_segment segments[CHAIN_MOST];
    struct sutra_fault fault;
    struct sutra_segment_chain source;
};

/* Segments have the numbers 1, 2, ... */
static inline uint64_t number_of(size_t segment)
{
    return segment + 1;
}

static inline void name_of(size_t segment, char name[SUTRA_SEGMENT_NAME_BYTES])
{
    sutra_segment_name(number_of(segment), name);
}

/* A file of `bytes` bytes has so many blocks, and the checksums begin there. */
static inline uint64_t blocks_of(uint64_t bytes)
{
    return (bytes + BLOCK + 3) / (BLOCK + 4);
}

static inline uint64_t data_of(uint64_t bytes)
{
    return bytes - 4 * blocks_of(bytes);
}

/* Bytes of a block when the checksums begin at `data_bytes`. */
static inline size_t block_of(uint64_t data_bytes, uint64_t block)
{
    if (data_bytes <= block * BLOCK)
        return 0;
    return data_bytes - block * BLOCK < BLOCK ? (size_t)(data_bytes - block * BLOCK) : BLOCK;
}

static inline struct sutra_segment_writer *begin(struct chain *chain)
{
    struct sutra_segment_writer *writer = NULL;
    CHECK_EQ(sutra_segment_begin(chain->place.io, chain->place.directory, store_id,
                                 number_of(chain->count), &writer),
             SUTRA_OK);
    return writer;
}

static inline void commit(struct chain *chain, struct sutra_segment_writer *writer)
{
    CHECK_EQ(
        sutra_segment_commit(writer, &chain->bytes[chain->count], chain->identities[chain->count]),
        SUTRA_OK);
    chain->count++;
}

static inline void close_chain(struct chain *chain)
{
    for (size_t s = 0; s < chain->source.count; s++)
        sutra_segment_close(&chain->segments[s]);
    chain->source.count = 0;
}

/* Open all of them, in this order, as a source. */
static inline bool open_chain(struct chain *chain)
{
    close_chain(chain);
    chain->source = (struct sutra_segment_chain){
        .segments = chain->segments, .fault = &chain->fault, .checked = true};
    for (size_t s = 0; s < chain->count; s++) {
        const int status = sutra_segment_open(chain->place.io, chain->place.directory, store_id,
                                              number_of(s), chain->bytes[s], chain->identities[s],
                                              &chain->segments[s], &chain->fault);
        CHECK_EQ(status, SUTRA_OK);
        if (status != SUTRA_OK)
            return false;
        chain->source.count++;
    }
    return true;
}

static inline bool make_chain(struct chain *chain, bool simulated)
{
    memset(chain, 0, sizeof *chain);
    return make_place(&chain->place, simulated);
}

static inline void remove_chain(struct chain *chain)
{
    close_chain(chain);
    remove_place(&chain->place);
}

/* ---- rows */

static inline void make_row(uint8_t *to, size_t row_bytes, uint64_t row, uint64_t version)
{
    for (size_t i = 0; i < row_bytes; i++)
        to[i] = (uint8_t)sutra_mix64((row << 20 | i / 8) + (version << 52)) + (uint8_t)i;
}

static inline void make_rows(uint8_t *plane, size_t row_bytes, uint64_t from, uint64_t to,
                             uint64_t version)
{
    for (uint64_t row = from; row < to; row++)
        make_row(plane + row * row_bytes, row_bytes, row, version);
}

/* Change every `step`-th row below `end` and save these as a patch. */
static inline void patch_rows(struct sutra_segment_writer *writer, uint32_t kind, uint8_t *plane,
                              size_t row_bytes, uint64_t end, uint64_t step, uint64_t version)
{
    const uint64_t count = (end + step - 1) / step;
    uint32_t *numbers = malloc((size_t)count * sizeof *numbers);
    uint8_t *rows = malloc((size_t)count * row_bytes);
    for (uint64_t j = 0; j < count; j++) {
        numbers[j] = (uint32_t)(j * step);
        make_row(plane + j * step * row_bytes, row_bytes, j * step, version);
        memcpy(rows + j * row_bytes, plane + j * step * row_bytes, row_bytes);
    }
    CHECK_EQ(sutra_segment_patch(writer, kind, row_bytes, numbers, rows, count), SUTRA_OK);
    free(numbers);
    free(rows);
}

#endif
