/* Some rows of a set of planes, and copying them, close together, into another set.
 *
 * A row that is chosen gets a place: how many chosen rows come before it. So the order stays, and
 * what refers to rows can be renumbered as they are copied.
 *
 * Ownership: _init/_deinit. Threading: one thread until _finish, then const. Errors:
 * SUTRA_E_NO_MEMORY.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_VECTORS_CHOICE_H
#define SUTRA_VECTORS_CHOICE_H

#include "planes.h"

struct sutra_row_choice {
    size_t rows, count; /* to choose from, chosen */
    uint64_t *bits;     /* of the rows chosen */
    uint32_t *before;   /* from _finish on: chosen rows before each word of bits */
    int64_t *labels;    /* from _finish on: one a place, the caller's; -1 at first */
};

int sutra_row_choice_init(struct sutra_row_choice *choice, size_t rows);
void sutra_row_choice_deinit(struct sutra_row_choice *choice);
/* False: there is no such row, or it was chosen before. */
bool sutra_row_choice_add(struct sutra_row_choice *choice, size_t row);
int sutra_row_choice_finish(struct sutra_row_choice *choice);

/* Chosen rows below `row`, which is at most `rows`. */
SUTRA_INLINE size_t sutra_row_choice_below(const struct sutra_row_choice *choice, size_t row)
{
    const uint64_t word = choice->bits[row / 64] & (((uint64_t)1 << row % 64) - 1);
    return choice->before[row / 64] + (size_t)__builtin_popcountll(word);
}

/* The place of a row, or SIZE_MAX if it is not chosen. */
SUTRA_INLINE size_t sutra_row_choice_place(const struct sutra_row_choice *choice, size_t row)
{
    if (row >= choice->rows || !(choice->bits[row / 64] >> row % 64 & 1))
        return SIZE_MAX;
    return sutra_row_choice_below(choice, row);
}

/* Copy the rows chosen to their places; `to` has rows as long as those of `from` and room for them.
 * Of those below `end` alone. */
void sutra_row_choice_copy(const struct sutra_row_choice *choice, const struct sutra_plane *from,
                           size_t end, unsigned threads, struct sutra_plane *to);
/* The place of every row below `end`, or `absent`. */
void sutra_row_choice_map(const struct sutra_row_choice *choice, size_t end, uint32_t absent,
                          uint32_t *map_out);

#endif
