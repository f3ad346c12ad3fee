/* What a filter lets pass, in rows: made once for a filter, used by every search that has it.
 *
 * Ownership: _make then _free; the set it is made of is borrowed until then. Threading: made and
 * used inside the front; const once made. Errors: SUTRA_E_NO_MEMORY, before anything is
 * owned.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_INDEX_SIEVE_H
#define SUTRA_INDEX_SIEVE_H

#include "front.h"
#include "../graph/filter.h"

#define SUTRA_SIEVE_SEEDS 16u

struct sutra_sieve {
    struct sutra_filter filter;
    size_t rows;    /* that there are, passing or not */
    size_t passing; /* about how many of them pass */
    uint32_t seeds[SUTRA_SIEVE_SEEDS];
    size_t seed_count;
    void *bits; /* the filter's, if they are its own */
};

/* Of rows [0, rows). view NULL: rows have no lifetimes. For a list of ids the index's table of ids
 * must be there, and ids must not be labels that several rows have. */
int sutra_sieve_make(const struct sutra_front *front, const struct sutra_id_set *set, size_t rows,
                     const uint64_t *view, struct sutra_sieve *sieve_out);
void sutra_sieve_free(struct sutra_sieve *sieve);

/* Write passing rows of [*at, end) to rows_out, `most` of them at most, and go on behind them. 0:
 * no more. */
size_t sutra_sieve_next(const struct sutra_sieve *sieve, size_t *at, size_t end, size_t most,
                        uint32_t *rows_out);

#endif
