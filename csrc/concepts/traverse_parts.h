/* What expand, spread and paths share: the edges that count, and how many may still be looked at.
 *
 * Internal to concepts/. Ownership: _begin, then _end. Errors: SUTRA_E_NO_MEMORY.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_CONCEPTS_TRAVERSE_PARTS_H
#define SUTRA_CONCEPTS_TRAVERSE_PARTS_H

#include <math.h>
#include <stdlib.h>

#include "associations_parts.h"
#include "traverse.h"
#include "visited.h"

struct sutra_walk {
    const struct sutra_traversal *traversal;
    size_t work_left;
    bool exhausted;       /* something was left undone */
    uint64_t *kind_bits;  /* NULL: the cursor's kind is enough */
    uint16_t cursor_kind; /* the only one, or SUTRA_NO_KIND */
    struct sutra_link_cursor cursor;
};

static inline int sutra_walk_begin(struct sutra_walk *walk, const struct sutra_traversal *traversal)
{
    *walk = (struct sutra_walk){
        .traversal = traversal, .work_left = traversal->work_max, .cursor_kind = SUTRA_NO_KIND};
    if (!traversal->kinds)
        return SUTRA_OK;
    if (traversal->kind_count == 1 && traversal->kinds[0] != SUTRA_NO_KIND) {
        walk->cursor_kind = traversal->kinds[0];
        return SUTRA_OK;
    }
    walk->kind_bits = calloc(65536 / 64, sizeof *walk->kind_bits);
    if (!walk->kind_bits)
        return SUTRA_E_NO_MEMORY;
    for (size_t k = 0; k < traversal->kind_count; k++)
        walk->kind_bits[traversal->kinds[k] / 64] |= (uint64_t)1 << traversal->kinds[k] % 64;
    return SUTRA_OK;
}

static inline void sutra_walk_end(struct sutra_walk *walk)
{
    free(walk->kind_bits);
    walk->kind_bits = NULL;
}

/* Start with the edges of one concept. */
SUTRA_INLINE void sutra_walk_from(struct sutra_walk *walk, uint32_t concept, int direction)
{
    sutra_links_begin(&walk->cursor, walk->traversal->associations, concept, direction,
                      walk->cursor_kind, walk->traversal->view);
    walk->cursor.budget = walk->work_left;
}

/* Its next edge that counts; false after the last, and when there is no work left. */
SUTRA_INLINE bool sutra_walk_next(struct sutra_walk *walk, struct sutra_link *link_out)
{
    while (sutra_links_next(&walk->cursor, link_out)) {
        const uint16_t kind = link_out->kind;
        if (link_out->weight >= walk->traversal->min_weight &&
            (!walk->kind_bits || walk->kind_bits[kind / 64] >> kind % 64 & 1)) {
            walk->work_left = walk->cursor.budget;
            return true;
        }
    }
    walk->work_left = walk->cursor.budget;
    walk->exhausted = walk->exhausted || !sutra_links_done(&walk->cursor);
    return false;
}

SUTRA_INLINE bool sutra_walk_alive(const struct sutra_walk *walk, uint32_t concept)
{
    const struct sutra_traversal *traversal = walk->traversal;
    return !traversal->alive || traversal->alive(traversal->alive_context, concept);
}

/* An array with room for one more item, moved if need be; NULL without memory, and then the old one
 * is as it was. Places are 32 bits wide, and the last value is none. */
static inline void *sutra_room_for_one(void *items, size_t item_bytes, size_t count, size_t *room)
{
    if (SUTRA_LIKELY(count < *room))
        return items;
    if (count >= UINT32_MAX)
        return NULL;
    const size_t wider = *room < 64 ? 64 : *room + *room / 2;
    void *moved = realloc(items, wider * item_bytes);
    if (moved)
        *room = wider;
    return moved;
}

#endif
