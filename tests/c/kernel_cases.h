/* What the kernel tests share: guarded buffers, dangerous values, the list of lengths, the
 * loop over tiers, and comparison.
 *
 * A buffer is placed hard against an inaccessible page, before or behind it, or somewhere in
 * between with a pattern around it: reading or writing past either end crashes or is seen.
 * Everything random is a function of the case's length and round, so a failure repeats.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_KERNEL_CASES_H
#define SUTRA_TESTS_KERNEL_CASES_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/prng.h"
#include "check.h"
#include "simd/kernels.h"

/* ---- random numbers */

static uint64_t random_seed, random_count;

static inline uint64_t random_u64(void)
{
    return sutra_random_at(random_seed, random_count++);
}

static inline size_t random_below(size_t limit)
{
    return (size_t)(random_u64() % limit);
}

/* -1 .. 1 */
static inline float random_unit(void)
{
    return (float)((double)(int64_t)random_u64() * 0x1p-63);
}

/* ---- cases: every length, each way to place its buffers a few times */

enum { ROUND_START = 0, ROUND_END = 1, ROUND_MIXED = 2, ROUNDS = 3, REPEATS = 3 };

struct test_case {
    size_t number; /* counts up from 0 */
    size_t dim;
    int round;
};

static int case_round;

/* 0 .. 3 * 64 + 1, then every power of two and its neighbours up to 1537. */
static inline bool next_case(struct test_case *c)
{
    static const size_t more[] = {255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 1535, 1536, 1537};
    const size_t small = 3 * 64 + 2, index = c->number / (ROUNDS * REPEATS);
    if (index >= small + sizeof more / sizeof more[0] || atomic_load(&check_failures) > 8)
        return false;
    c->dim = index < small ? index : more[index - small];
    c->round = case_round = (int)(c->number % ROUNDS);
    random_seed = c->number++;
    random_count = 0;
    return true;
}

#define FOR_CASES(c) for (struct test_case c = {0, 0, 0}; next_case(&c);)

/* Counts of rows around the batch size, cycling with the case. */
static inline size_t case_count(const struct test_case *c)
{
    static const size_t counts[] = {4, 1, 5, 8, 3, 0, 7, 2, 13, 6};
    return counts[(c->dim + c->number) % 10];
}

/* ---- guarded buffers */

enum area { QUERY, ROWS, LOW_ROWS, IDS, CORRECTIONS, OUT, OUT2, AREAS };

enum { AREA_BYTES = 1 << 20, FRAME_BYTES = 64, FRAME_BYTE = 0xa5 };

struct guarded {
    uint8_t *base; /* AREA_BYTES between two inaccessible pages */
    uint8_t *at;   /* the buffer inside it */
    size_t bytes;
};

static struct guarded areas[AREAS];

static inline void open_areas(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < AREAS; i++) {
        uint8_t *whole = mmap(NULL, AREA_BYTES + 2 * page, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (whole == MAP_FAILED || mprotect(whole, page, PROT_NONE) != 0 ||
            mprotect(whole + page + AREA_BYTES, page, PROT_NONE) != 0) {
            perror("guarded buffers");
            exit(2);
        }
        areas[i].base = whole + page;
    }
}

static inline size_t frame_before(const struct guarded *area)
{
    const size_t room = (size_t)(area->at - area->base);
    return room < FRAME_BYTES ? room : FRAME_BYTES;
}

static inline size_t frame_behind(const struct guarded *area)
{
    const size_t room = (size_t)(area->base + AREA_BYTES - (area->at + area->bytes));
    return room < FRAME_BYTES ? room : FRAME_BYTES;
}

/* A buffer of count elements of unit bytes (aligned to unit) in an area, its frame painted. */
static inline void *place(enum area which, size_t count, size_t unit)
{
    struct guarded *area = &areas[which];
    area->bytes = count * unit;
    if (area->bytes > AREA_BYTES - 4096) {
        (void)fprintf(stderr, "a test wants %zu bytes\n", area->bytes);
        exit(2);
    }
    int where = case_round;
    if (where == ROUND_MIXED)
        where = (int)random_below(ROUNDS);
    if (where == ROUND_START)
        area->at = area->base;
    else if (where == ROUND_END)
        area->at = area->base + AREA_BYTES - area->bytes;
    else
        area->at = area->base + random_below(256) * unit;
    memset(area->at - frame_before(area), FRAME_BYTE, frame_before(area));
    memset(area->at + area->bytes, FRAME_BYTE, frame_behind(area));
    return area->at;
}

static inline bool frame_intact(enum area which)
{
    const struct guarded *area = &areas[which];
    const size_t before = frame_before(area), behind = frame_behind(area);
    for (size_t i = 0; i < before; i++) {
        if (area->at[-1 - (ptrdiff_t)i] != FRAME_BYTE)
            return false;
    }
    for (size_t i = 0; i < behind; i++) {
        if (area->at[area->bytes + i] != FRAME_BYTE)
            return false;
    }
    return true;
}

static inline void scribble(enum area which)
{
    memset(areas[which].at, 0x5a, areas[which].bytes);
}

/* ---- tiers */

static struct sutra_kernels tables[SUTRA_TIER_COUNT];

/* The next tier after `tier` that runs here, with its merged table; SUTRA_TIER_COUNT at the end. */
static inline int next_tier(int tier)
{
    do
        tier++;
    while (tier < SUTRA_TIER_COUNT && !sutra_tier_supported(tier));
    return tier;
}

#define FOR_TIERS(tier, k)                                                                         \
    for (int tier = next_tier(-1); tier < SUTRA_TIER_COUNT; tier = next_tier(tier))                \
        for (const struct sutra_kernels *k = &tables[tier]; k != NULL; k = NULL)

/* ---- comparison */

static inline void fail(const char *kernel, int tier, size_t dim, size_t place_of, double got,
                        double wanted)
{
    char text[200];
    (void)snprintf(text, sizeof text, "%s on %s, dim %zu round %d: [%zu] is %.9g, not %.9g", kernel,
                   sutra_tier_name(tier), dim, case_round, place_of, got, wanted);
    (void)check_that(false, "kernels.def", 0, text);
}

static inline void check_frame(const char *kernel, int tier, size_t dim, enum area out)
{
    if (!frame_intact(out))
        fail(kernel, tier, dim, areas[out].bytes, NAN, NAN);
}

#define DEFINE_SAME(type)                                                                          \
    static inline void same_##type(const char *kernel, int tier, size_t dim, const type *got,      \
                                   const type *wanted, size_t count)                               \
    {                                                                                              \
        for (size_t j = 0; j < count; j++) {                                                       \
            if (memcmp(got + j, wanted + j, sizeof *got) != 0) {                                   \
                fail(kernel, tier, dim, j, (double)got[j], (double)wanted[j]);                     \
                return;                                                                            \
            }                                                                                      \
        }                                                                                          \
    }

/* Bit for bit. */
DEFINE_SAME(float)
DEFINE_SAME(uint8_t)
DEFINE_SAME(int8_t)
DEFINE_SAME(int32_t)
DEFINE_SAME(uint32_t)
DEFINE_SAME(uint64_t)

/* ---- values */

enum float_kind { UNIT, HUGE_17, TINY, WIDE, CORNERS, FLOAT_KINDS };

/* Values whose squares and sums of squares stay finite; TINY underflows when squared. */
static inline float random_float(enum float_kind kind)
{
    static const float corners[] = {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, 1.0000001f, 16777216.0f};
    switch (kind) {
    case HUGE_17:
        return random_unit() * 1e17f;
    case TINY:
        return random_unit() * (random_below(2) ? 1e-40f : 1e-20f);
    case WIDE:
        return ldexpf(random_unit(), (int)random_below(60) - 30);
    case CORNERS:
        return corners[random_below(sizeof corners / sizeof corners[0])];
    default:
        return random_unit();
    }
}

/* Any bit pattern: NaN, infinities, denormals, the largest. */
static inline float any_float(void)
{
    static const uint32_t corners[] = {0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00001u,
                                       0x7f800001u, 0x7f7fffffu, 0xff7fffffu, 0x00000001u,
                                       0x807fffffu, 0x80000000u, 0x00000000u, 0x00800000u};
    const uint32_t bits = random_below(3) == 0
                              ? corners[random_below(sizeof corners / sizeof corners[0])]
                              : (uint32_t)random_u64();
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline void fill_floats(float *x, size_t count, enum float_kind kind)
{
    for (size_t j = 0; j < count; j++)
        x[j] = random_float(kind);
}

/* Bytes 0 .. top: uniform, corners only, or all at one end. */
static inline void fill_bytes(uint8_t *x, size_t count, unsigned top)
{
    const unsigned corners[] = {0, 1, top / 2, top / 2 + 1, top - 1, top};
    const size_t way = random_below(4);
    for (size_t j = 0; j < count; j++) {
        if (way == 0)
            x[j] = (uint8_t)top;
        else if (way == 1)
            x[j] = (uint8_t)corners[random_below(6)];
        else
            x[j] = (uint8_t)random_below(top + 1);
    }
}

/* Signed bytes low .. high, in the same ways. */
static inline void fill_signed(int8_t *x, size_t count, int low, int high)
{
    const int corners[] = {low, low + 1, -1, 0, 1, high};
    const size_t way = random_below(5);
    for (size_t j = 0; j < count; j++) {
        if (way < 2)
            x[j] = (int8_t)(way == 0 ? low : high);
        else if (way == 2)
            x[j] = (int8_t)corners[random_below(6)];
        else
            x[j] = (int8_t)(low + (int)random_below((size_t)(high - low + 1)));
    }
}

/* ---- rows */

struct rows {
    size_t dim, stride, count;
    size_t total;        /* rows stored */
    size_t elements;     /* stored: the last row ends the buffer, without its padding */
    const uint32_t *ids; /* NULL for `many` */
};

/* count rows of all, or of a few rows by random ids, with repeats. */
static inline struct rows make_rows(size_t dim, size_t count, bool gather)
{
    struct rows rows = {.dim = dim, .count = count, .total = count};
    static const size_t gaps[] = {0, 1, 3, 16, 61};
    rows.stride = dim + gaps[random_below(5)];
    if (gather) {
        rows.total = 1 + random_below(9);
        uint32_t *ids = place(IDS, count, sizeof *ids);
        for (size_t r = 0; r < count; r++)
            ids[r] = (uint32_t)random_below(rows.total);
        rows.ids = ids;
    }
    rows.elements = rows.total == 0 ? 0 : (rows.total - 1) * rows.stride + dim;
    return rows;
}

static inline size_t row_number(const struct rows *rows, size_t r)
{
    return rows->ids != NULL ? rows->ids[r] : r;
}

/* Dimension j of a row of 4-bit code planes, from the words of kernels.def. */
static inline unsigned plane_nibble(const uint8_t *row, size_t j)
{
    const uint8_t *block = row + 32 * (j / 64);
    const size_t in_block = j % 64;
    return in_block < 32 ? block[in_block] % 16u : block[in_block - 32] / 16u;
}

#endif
