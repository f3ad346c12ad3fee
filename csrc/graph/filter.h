/* Which rows a walk may find: a bitmap over their labels, and their lifetimes.
 *
 * Ownership: borrows everything. Threading: const, but for deaths, which are read atomically.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_GRAPH_FILTER_H
#define SUTRA_GRAPH_FILTER_H

#include "../base/config.h"

struct sutra_filter {
    const uint8_t *bits;   /* bit i % 8 of byte i / 8: label i passes */
    uint64_t limit;        /* labels from here on do not */
    const int64_t *labels; /* of rows; NULL: a row is its own label */
    const uint64_t
        *births; /* not NULL: visible is what was born, and lives: birth <= view < death */
    const uint64_t *deaths;
    uint64_t view;
    /* births NULL: visible is each row below this that is not dead. */
    size_t rows;
    const uint64_t *dead; /* bit r % 64 of word r / 64: row r; NULL: none is */
};

/* By its label alone. */
SUTRA_INLINE bool sutra_filter_has(const struct sutra_filter *filter, uint32_t row)
{
    /* The row of a removed vector may be about to get another label. */
    const uint64_t label =
        filter->labels ? (uint64_t)__atomic_load_n(&filter->labels[row], __ATOMIC_RELAXED) : row;
    return label < filter->limit && (filter->bits[label / 8] >> (label % 8) & 1);
}

SUTRA_INLINE bool sutra_filter_sees(const struct sutra_filter *filter, uint32_t row)
{
    if (!filter->births)
        return row < filter->rows && !(filter->dead && (filter->dead[row / 64] >> (row % 64) & 1));
    return filter->births[row] <= filter->view &&
           filter->view < __atomic_load_n(&filter->deaths[row], __ATOMIC_RELAXED);
}

SUTRA_INLINE bool sutra_filter_passes(const struct sutra_filter *filter, uint32_t row)
{
    return sutra_filter_has(filter, row) && sutra_filter_sees(filter, row);
}

#endif
