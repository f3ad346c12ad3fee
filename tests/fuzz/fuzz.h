/* What the fuzz targets share: files packed into one input, mutations of it, and the two programs
 * that a target can be.
 *
 * A target defines fuzz_seeds, which hands out valid inputs made by the code that writes files, and
 * fuzz_run, which decodes one input and uses whatever came out. Compiled by run.py it is a
 * libFuzzer program (with --write-seeds DIRECTORY it writes its seeds and ends); with
 * -DSUTRA_FUZZ_REPLAY it is a plain program that runs its seeds, the files that it is given, and
 * mutations of them all.
 *
 * An input is 8 bytes of options, a number for each of 16 slots (u32: part of a file's name, or a
 * kind of plane), and chunks: slot << 24 | bytes (u32), offset in the slot's file (u32), the bytes,
 * padded to 8. What no chunk covers is zero, so that files with large holes are small inputs. Every
 * string of bytes is an input. Bit 0 of the first option leaves checksums as they are; otherwise a
 * target makes them right before it decodes, so that what lies behind them is reached.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_FUZZ_H
#define SUTRA_TESTS_FUZZ_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/prng.h"
#include "base/status.h"
#include "simd/kernels.h"

enum {
    FUZZ_OPTIONS = 8,
    FUZZ_SLOTS = 16,
    FUZZ_HEAD = FUZZ_OPTIONS + 4 * FUZZ_SLOTS,
    FUZZ_CHUNK = 8,
    FUZZ_HOLE = 64,           /* fewer zeros than this are kept in a chunk */
    FUZZ_FILE_MOST = 1 << 20, /* no file of an input is longer */
};

struct fuzz_file {
    uint32_t number;
    bool present;
    uint8_t *data; /* malloc'd */
    size_t bytes;
};

struct fuzz_input {
    uint8_t options[FUZZ_OPTIONS];
    struct fuzz_file files[FUZZ_SLOTS];
};

/* Hand out a seed; takes over the files' memory. */
static void fuzz_emit(struct fuzz_input *input);
/* The target's: call fuzz_emit for each seed. */
static void fuzz_seeds(void);
/* The target's: decode and use. */
static void fuzz_run(struct fuzz_input *input);

#define FUZZ_REQUIRE(condition)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline void *fuzz_alloc(size_t bytes)
{
    void *block = calloc(1, bytes ? bytes : 1);
    if (block == NULL)
        abort();
    return block;
}

static inline void *fuzz_copy(const void *data, size_t bytes)
{
    void *copy = fuzz_alloc(bytes);
    if (bytes)
        memcpy(copy, data, bytes);
    return copy;
}

static inline const struct sutra_kernels *fuzz_kernels(void)
{
    static struct sutra_kernels table;
    static bool selected;
    if (!selected)
        FUZZ_REQUIRE(sutra_kernels_select(sutra_tier_best(), &table) == SUTRA_OK);
    selected = true;
    return &table;
}

/* Touch every byte, so that a sanitizer sees it. */
static inline void fuzz_touch(const void *data, size_t bytes)
{
    volatile uint8_t sum = 0;
    for (size_t j = 0; j < bytes; j++)
        sum = (uint8_t)(sum + ((const uint8_t *)data)[j]);
}

static inline void fuzz_free(struct fuzz_input *input)
{
    for (size_t s = 0; s < FUZZ_SLOTS; s++)
        free(input->files[s].data);
    memset(input, 0, sizeof *input);
}

static inline void fuzz_set(struct fuzz_input *input, size_t slot, uint32_t number,
                            const void *data, size_t bytes)
{
    input->files[slot] = (struct fuzz_file){number, true, fuzz_copy(data, bytes), bytes};
}

/* ---- packing */

struct fuzz_chunk {
    size_t slot, offset, bytes;
    size_t at; /* of its bytes in the input */
};

/* The chunk whose header is at *at_inout, which moves to the next; false: there is no more. */
static inline bool fuzz_next(const uint8_t *data, size_t size, size_t *at_inout,
                             struct fuzz_chunk *chunk)
{
    const size_t at = *at_inout;
    if (at > size || size - at < FUZZ_CHUNK)
        return false;
    const uint32_t word = sutra_load_u32(data + at);
    chunk->at = at + FUZZ_CHUNK;
    chunk->slot = (word >> 24) % FUZZ_SLOTS;
    chunk->bytes = word & 0xffffff;
    chunk->offset = sutra_load_u32(data + at + 4);
    if (chunk->bytes > size - chunk->at)
        chunk->bytes = size - chunk->at;
    if (chunk->offset > FUZZ_FILE_MOST)
        chunk->offset = FUZZ_FILE_MOST;
    *at_inout = chunk->at + (chunk->bytes + 7) / 8 * 8;
    return true;
}

static inline size_t fuzz_fitting(const struct fuzz_chunk *chunk)
{
    const size_t room = FUZZ_FILE_MOST - chunk->offset;
    return chunk->bytes < room ? chunk->bytes : room;
}

static inline void fuzz_unpack(const uint8_t *data, size_t size, struct fuzz_input *input)
{
    struct fuzz_chunk chunk;
    memset(input, 0, sizeof *input);
    memcpy(input->options, data, size < FUZZ_OPTIONS ? size : FUZZ_OPTIONS);
    for (size_t s = 0; s < FUZZ_SLOTS && size >= FUZZ_HEAD; s++)
        input->files[s].number = sutra_load_u32(data + FUZZ_OPTIONS + 4 * s);
    for (size_t at = FUZZ_HEAD; fuzz_next(data, size, &at, &chunk);) {
        struct fuzz_file *file = &input->files[chunk.slot];
        const size_t end = chunk.offset + fuzz_fitting(&chunk);
        file->present = true;
        file->bytes = end > file->bytes ? end : file->bytes;
    }
    for (size_t s = 0; s < FUZZ_SLOTS; s++)
        input->files[s].data = fuzz_alloc(input->files[s].bytes);
    for (size_t at = FUZZ_HEAD; fuzz_next(data, size, &at, &chunk);) {
        const size_t bytes = fuzz_fitting(&chunk);
        if (bytes)
            memcpy(input->files[chunk.slot].data + chunk.offset, data + chunk.at, bytes);
    }
}

static inline void fuzz_put_chunk(uint8_t *data, size_t *at, size_t slot, const uint8_t *file,
                                  size_t from, size_t to)
{
    sutra_store_u32(data + *at, (uint32_t)(slot << 24 | (to - from)));
    sutra_store_u32(data + *at + 4, (uint32_t)from);
    if (to > from)
        memcpy(data + *at + FUZZ_CHUNK, file + from, to - from);
    *at += FUZZ_CHUNK + (to - from + 7) / 8 * 8;
}

/* malloc'd */
static inline uint8_t *fuzz_pack(const struct fuzz_input *input, size_t *size_out)
{
    size_t room = FUZZ_HEAD, at = FUZZ_HEAD;
    for (size_t s = 0; s < FUZZ_SLOTS; s++)
        room += 2 * input->files[s].bytes + 64;
    uint8_t *data = fuzz_alloc(room);
    memcpy(data, input->options, FUZZ_OPTIONS);
    for (size_t s = 0; s < FUZZ_SLOTS; s++) {
        const struct fuzz_file *file = &input->files[s];
        sutra_store_u32(data + FUZZ_OPTIONS + 4 * s, file->number);
        if (!file->present)
            continue;
        size_t zeros = FUZZ_HOLE, from = 0; /* as many stand before the byte looked at */
        bool open = false;
        for (size_t j = 0; j < file->bytes; j++) {
            if (file->data[j] != 0) {
                if (!open)
                    from = j & ~(size_t)7;
                open = true;
                zeros = 0;
            } else if (++zeros >= FUZZ_HOLE && open) {
                fuzz_put_chunk(data, &at, s, file->data, from, (j + 8 - FUZZ_HOLE) & ~(size_t)7);
                open = false;
            }
        }
        fuzz_put_chunk(data, &at, s, file->data, open ? from : file->bytes, file->bytes);
    }
    FUZZ_REQUIRE(at <= room);
    *size_out = at;
    return data;
}

/* ---- mutations */

struct fuzz_random {
    uint64_t seed, count;
};

static inline uint64_t fuzz_draw(struct fuzz_random *random)
{
    return sutra_random_at(random->seed, random->count++);
}

static inline size_t fuzz_below(struct fuzz_random *random, size_t limit)
{
    return (size_t)(fuzz_draw(random) % limit);
}

/* Values that sit on borders: of integers, of counts in these files, of floats. */
static inline uint64_t fuzz_value(struct fuzz_random *random, uint64_t now)
{
    static const uint64_t values[] = {0,
                                      1,
                                      2,
                                      3,
                                      8,
                                      24,
                                      63,
                                      64,
                                      95,
                                      96,
                                      511,
                                      512,
                                      4096,
                                      65535,
                                      65536,
                                      65537,
                                      0x7ffffff0,
                                      0x7ffffff1,
                                      0x7fffffff,
                                      0x80000000,
                                      0xfffffffe,
                                      0xffffffff,
                                      0x7f800000,
                                      0x7fc00000,
                                      0xff800000,
                                      1ull << 32,
                                      1ull << 47,
                                      1ull << 62,
                                      1ull << 63,
                                      UINT64_MAX,
                                      UINT64_MAX - 1};
    switch (fuzz_below(random, 8)) {
    case 0:
    case 1:
        return values[fuzz_below(random, sizeof values / sizeof values[0])];
    case 2:
        return now + 1 + fuzz_below(random, 4);
    case 3:
        return now - 1 - fuzz_below(random, 4);
    case 4:
        return now ^ 1ull << fuzz_below(random, 64);
    case 5:
        return now + 64 * (fuzz_draw(random) % 9 - 4);
    case 6:
        return now * 2;
    default:
        return fuzz_draw(random) >> fuzz_below(random, 64);
    }
}

static inline void fuzz_damage(struct fuzz_random *random, uint8_t *bytes, size_t count)
{
    if (count == 0)
        return;
    /* What matters most stands at the front. */
    const size_t front = count < 256 ? count : 256;
    const size_t at = fuzz_below(random, fuzz_below(random, 3) ? count : front);
    const size_t word = at & ~(size_t)3, wide = at & ~(size_t)7;
    switch (fuzz_below(random, 8)) {
    case 0:
        bytes[at] ^= (uint8_t)(1u << fuzz_below(random, 8));
        return;
    case 1:
        bytes[at] = (uint8_t)fuzz_draw(random);
        return;
    case 2:
    case 3:
        if (word + 4 <= count)
            sutra_store_u32(bytes + word,
                            (uint32_t)fuzz_value(random, sutra_load_u32(bytes + word)));
        return;
    case 4:
    case 5:
        if (wide + 8 <= count)
            sutra_store_u64(bytes + wide, fuzz_value(random, sutra_load_u64(bytes + wide)));
        return;
    case 6: { /* noise, or one value */
        const size_t most = count - at, length = 1 + fuzz_below(random, most < 40 ? most : 40);
        const bool noise = fuzz_below(random, 2);
        for (size_t j = 0; j < length; j++)
            bytes[at + j] = noise ? (uint8_t)fuzz_draw(random) : bytes[at];
        return;
    }
    default: { /* from elsewhere: sound in the wrong place */
        const size_t from = fuzz_below(random, count) & ~(size_t)3;
        const size_t most = count - (from > word ? from : word);
        memmove(bytes + word, bytes + from, 1 + fuzz_below(random, most < 64 ? most : 64));
    }
    }
}

/* Some chunk: half of the time by count, half by size. false: there is none. */
static inline bool fuzz_choose(struct fuzz_random *random, const uint8_t *data, size_t size,
                               struct fuzz_chunk *chosen)
{
    struct fuzz_chunk chunk;
    const bool by_size = fuzz_below(random, 2);
    size_t total = 0;
    for (size_t at = FUZZ_HEAD; fuzz_next(data, size, &at, &chunk);)
        total += by_size ? chunk.bytes + 1 : 1;
    if (total == 0)
        return false;
    size_t which = fuzz_below(random, total);
    for (size_t at = FUZZ_HEAD; fuzz_next(data, size, &at, chosen);) {
        const size_t weight = by_size ? chosen->bytes + 1 : 1;
        if (which < weight)
            return true;
        which -= weight;
    }
    return false;
}

/* Take `bytes` out, or, with a negative number, put zeros in. Returns the new size. */
static inline size_t fuzz_shift(uint8_t *data, size_t size, size_t room, size_t at, long bytes)
{
    if (bytes >= 0) {
        const size_t out = (size_t)bytes < size - at ? (size_t)bytes : size - at;
        memmove(data + at, data + at + out, size - at - out);
        return size - out;
    }
    const size_t in = (size_t)-bytes;
    if (in > room - size)
        return size;
    memmove(data + at + in, data + at, size - at);
    memset(data + at, 0, in);
    return size + in;
}

/* Change the chunk itself: its place, its length, its being there. */
static inline size_t fuzz_reshape(struct fuzz_random *random, uint8_t *data, size_t size,
                                  size_t room, const struct fuzz_chunk *chunk)
{
    uint8_t *head = data + chunk->at - FUZZ_CHUNK;
    const size_t step = 8 * (1 + fuzz_below(random, 4));
    switch (fuzz_below(random, 6)) {
    case 0: /* gone */
        return fuzz_shift(data, size, room, chunk->at - FUZZ_CHUNK,
                          (long)(FUZZ_CHUNK + (chunk->bytes + 7) / 8 * 8));
    case 1: /* elsewhere */
        sutra_store_u32(head + 4, (uint32_t)fuzz_value(random, sutra_load_u32(head + 4)));
        return size;
    case 2: /* in another file */
        head[3] = (uint8_t)fuzz_below(random, FUZZ_SLOTS);
        return size;
    case 3: { /* shorter, at the end or in the middle */
        const size_t out = step < chunk->bytes ? step : chunk->bytes / 8 * 8;
        const size_t at = fuzz_below(random, (chunk->bytes - out) / 8 + 1) * 8;
        sutra_store_u32(head, (uint32_t)(chunk->slot << 24 | (chunk->bytes - out)));
        return fuzz_shift(data, size, room, chunk->at + at, (long)out);
    }
    case 4: { /* longer */
        const size_t at = fuzz_below(random, chunk->bytes / 8 + 1) * 8;
        if (step > room - size)
            return size;
        sutra_store_u32(head, (uint32_t)(chunk->slot << 24 | (chunk->bytes + step)));
        return fuzz_shift(data, size, room, chunk->at + at, -(long)step);
    }
    default: /* cut off without a word */
        sutra_store_u32(head, (uint32_t)(chunk->slot << 24 | fuzz_below(random, chunk->bytes + 1)));
        return size;
    }
}

static inline size_t fuzz_mutate(struct fuzz_random *random, uint8_t *data, size_t size,
                                 size_t room)
{
    struct fuzz_chunk chunk;
    if (size < FUZZ_HEAD) {
        fuzz_damage(random, data, size);
        return size;
    }
    if (fuzz_below(random, 16) == 0) {
        fuzz_damage(random, data, FUZZ_HEAD);
        return size;
    }
    if (!fuzz_choose(random, data, size, &chunk))
        return size;
    if (fuzz_below(random, 16) == 0)
        return fuzz_reshape(random, data, size, room, &chunk);
    fuzz_damage(random, data + chunk.at, chunk.bytes);
    return size;
}

static inline void fuzz_one(const uint8_t *data, size_t size)
{
    struct fuzz_input input;
    fuzz_unpack(data, size, &input);
    fuzz_run(&input);
    fuzz_free(&input);
}

/* ---- the two programs */

#ifdef SUTRA_FUZZ_REPLAY
#include "replay.h"
#else
#include "libfuzzer.h"
#endif

#endif
