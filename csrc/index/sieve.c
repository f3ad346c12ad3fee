/* Filters as rows; see sieve.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <stdlib.h>

#include "sieve.h"
#include "../base/bytes.h"

/* Rows that are looked at, evenly spread, to find seeds and to estimate how many pass. */
#define PROBES 256u
/* So few hits among them say little. */
#define HITS_MIN 8u
/* The bits of so many rows are counted in a few microseconds. */
#define COUNT_ROWS_MAX ((size_t)1 << 18)
/* 2^64 over the golden ratio: multiples of it, as fractions of 2^64, spread evenly. */
#define GOLDEN 0x9e3779b97f4a7c15u

/* May rows below the sieve's end be invisible? */
static bool hides_rows(const struct sutra_filter *filter)
{
    return filter->births || filter->dead;
}

static uint64_t word_at(const struct sutra_filter *filter, uint64_t bit)
{
    const uint64_t byte = bit / 8, bytes = (filter->limit + 7) / 8;
    uint64_t word = 0;
    if (byte + 8 <= bytes) {
        word = sutra_load_u64(filter->bits + byte);
    } else {
        for (uint64_t j = byte; j < bytes; j++)
            word |= (uint64_t)filter->bits[j] << (j - byte) * 8;
    }
    return filter->limit - bit < 64 ? word & ((1ull << (filter->limit - bit)) - 1) : word;
}

/* Ones among the first `end` labels. */
static size_t count_bits(const struct sutra_filter *filter, uint64_t end)
{
    const struct sutra_filter first = {.bits = filter->bits,
                                       .limit = end < filter->limit ? end : filter->limit};
    size_t count = 0;
    for (uint64_t bit = 0; bit < first.limit; bit += 64)
        count += (size_t)__builtin_popcountll(word_at(&first, bit));
    return count;
}

/* Rows of listed ids as a bitmap of rows. */
static int set_rows(const struct sutra_front *front, const struct sutra_id_set *set,
                    struct sutra_sieve *sieve)
{
    uint8_t *const bits = calloc(sieve->rows / 8 + 1, 1);
    if (!bits)
        return SUTRA_E_NO_MEMORY;
    for (size_t j = 0; j < set->id_count; j++) {
        const size_t row = sutra_front_row_of(front, set->ids[j]);
        if (row >= sieve->rows)
            continue;
        sieve->passing += !(bits[row / 8] >> (row % 8) & 1);
        bits[row / 8] |= (uint8_t)(1u << (row % 8));
    }
    sieve->bits = bits;
    sieve->filter.bits = bits;
    sieve->filter.limit = sieve->rows;
    return SUTRA_OK;
}

/* Find seeds; returns how many of the probes pass. */
static size_t probe(struct sutra_sieve *sieve)
{
    size_t hits = 0;
    for (uint64_t j = 1; j <= PROBES && sieve->rows; j++) {
        const uint64_t place = (j * GOLDEN) >> 32;
        const uint32_t row = (uint32_t)(place * sieve->rows >> 32);
        if (!sutra_filter_passes(&sieve->filter, row))
            continue;
        if (sieve->seed_count < SUTRA_SIEVE_SEEDS)
            sieve->seeds[sieve->seed_count++] = row;
        hits++;
    }
    return hits;
}

/* About how many rows pass a bitmap. Where few do, and the probes say little, and where they are
 * soon counted, they are counted; unless labels may be of no row, of several, or of dead ones. */
static size_t estimate(const struct sutra_sieve *sieve, size_t hits)
{
    const struct sutra_filter *const filter = &sieve->filter;
    const bool exact = !filter->labels && !hides_rows(filter);
    const size_t probed = (size_t)((uint64_t)sieve->rows * hits / PROBES);
    if (hits >= HITS_MIN && !(exact && sieve->rows <= COUNT_ROWS_MAX))
        return probed;
    const size_t counted = count_bits(filter, filter->labels ? filter->limit : sieve->rows);
    const size_t most = (size_t)((uint64_t)sieve->rows * HITS_MIN / PROBES);
    return exact || counted < most ? counted : most;
}

int sutra_sieve_make(const struct sutra_front *front, const struct sutra_id_set *set, size_t rows,
                     const uint64_t *view, struct sutra_sieve *sieve_out)
{
    *sieve_out = (struct sutra_sieve){.rows = rows, .filter = {.rows = rows, .dead = front->dead}};
    struct sutra_filter *const filter = &sieve_out->filter;
    if (view)
        *filter =
            (struct sutra_filter){.births = sutra_planes_row(&front->planes, SUTRA_PLANE_BIRTH, 0),
                                  .deaths = sutra_planes_row(&front->planes, SUTRA_PLANE_DEATH, 0),
                                  .view = *view};
    if (set->bits) {
        filter->bits = set->bits;
        filter->limit = set->bit_count;
        if (!front->identity_ids)
            filter->labels = sutra_planes_row(&front->planes, SUTRA_PLANE_ID, 0);
    } else {
        const int status = set_rows(front, set, sieve_out);
        if (status != SUTRA_OK)
            return status;
    }
    const size_t hits = probe(sieve_out);
    if (set->bits)
        sieve_out->passing = estimate(sieve_out, hits);
    return SUTRA_OK;
}

void sutra_sieve_free(struct sutra_sieve *sieve)
{
    free(sieve->bits);
    sieve->bits = NULL;
}

static size_t next_labelled(const struct sutra_filter *filter, size_t *at, size_t end, size_t most,
                            uint32_t *rows_out)
{
    size_t count = 0, row = *at;
    while (row < end && count < most) {
        rows_out[count] = (uint32_t)row;
        count += sutra_filter_has(filter, (uint32_t)row);
        row++;
    }
    *at = row;
    return count;
}

/* Rows are labels: whole words that are empty are passed over at once. */
static size_t next_bits(const struct sutra_filter *filter, size_t *at, size_t end, size_t most,
                        uint32_t *rows_out)
{
    size_t count = 0, row = *at;
    const size_t last = end < filter->limit ? end : (size_t)filter->limit;
    while (row < last && count < most) {
        const size_t base = row & ~(size_t)63;
        uint64_t word = word_at(filter, base) & (~0ull << (row - base));
        if (last - base < 64)
            word &= (1ull << (last - base)) - 1;
        row = base + 64;
        for (; word; word &= word - 1) {
            const size_t found = base + (size_t)__builtin_ctzll(word);
            if (count == most) {
                row = found;
                break;
            }
            rows_out[count++] = (uint32_t)found;
        }
    }
    *at = row < last ? row : end;
    return count;
}

size_t sutra_sieve_next(const struct sutra_sieve *sieve, size_t *at, size_t end, size_t most,
                        uint32_t *rows_out)
{
    const struct sutra_filter *const filter = &sieve->filter;
    for (;;) {
        const size_t count = filter->labels ? next_labelled(filter, at, end, most, rows_out)
                                            : next_bits(filter, at, end, most, rows_out);
        const bool hides = hides_rows(filter);
        size_t kept = hides ? 0 : count;
        for (size_t j = 0; hides && j < count; j++) {
            rows_out[kept] = rows_out[j];
            kept += sutra_filter_sees(filter, rows_out[j]);
        }
        if (kept || *at >= end)
            return kept;
    }
}
