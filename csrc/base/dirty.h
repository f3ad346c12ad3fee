/* Which rows of a plane have changed since they were last saved: a bit a row.
 *
 * Rows from sealed_rows on have never been saved, so they are not marked: they are written anyway.
 *
 * Ownership: _deinit frees. Threading: the writer marks; whoever saves holds the writer's lock to
 * take the marks. Errors: SUTRA_E_NO_MEMORY, from _seal alone: marking cannot fail.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_BASE_DIRTY_H
#define SUTRA_BASE_DIRTY_H

#include "config.h"

struct sutra_dirty {
    uint64_t *words;
    size_t sealed_rows; /* bits there are */
    size_t marked;      /* bits set */
};

void sutra_dirty_deinit(struct sutra_dirty *dirty);

/* From now on rows below `rows` are saved: room for their marks, none of them set. On failure
 * nothing has changed. */
int sutra_dirty_seal(struct sutra_dirty *dirty, size_t rows);

/* Set every mark of `other`, which covers no more rows. */
void sutra_dirty_merge(struct sutra_dirty *dirty, const struct sutra_dirty *other);

/* The number of the first marked row at or after `from`; sealed_rows if there is none. */
size_t sutra_dirty_next(const struct sutra_dirty *dirty, size_t from);

SUTRA_INLINE bool sutra_dirty_test(const struct sutra_dirty *dirty, size_t row)
{
    return row < dirty->sealed_rows && dirty->words[row / 64] >> row % 64 & 1;
}

SUTRA_INLINE void sutra_dirty_mark(struct sutra_dirty *dirty, size_t row)
{
    if (row >= dirty->sealed_rows || dirty->words[row / 64] >> row % 64 & 1)
        return;
    dirty->words[row / 64] |= (uint64_t)1 << row % 64;
    dirty->marked++;
}

#endif
