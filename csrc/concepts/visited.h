/* A map from concept to a number, sized by what is in it: what a traversal has seen.
 *
 * Open addressing with linear probing; an entry is a word, so that a probe is one access.
 *
 * Internal to concepts/. Ownership: zero it, then _deinit. Threading: one thread. Errors:
 * SUTRA_E_NO_MEMORY from _enter, which then has changed nothing.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_CONCEPTS_VISITED_H
#define SUTRA_CONCEPTS_VISITED_H

#include <stdlib.h>

#include "../base/prng.h"
#include "../base/status.h"

struct sutra_visited_entry {
    uint32_t key; /* concept + 1, 0 where free; no concept is SUTRA_NO_CONCEPT */
    uint32_t number;
};

struct sutra_visited {
    struct sutra_visited_entry *entries;
    size_t slots; /* a power of two, at most half of them used; 0 at first */
    size_t used;
};

static inline void sutra_visited_deinit(struct sutra_visited *visited)
{
    free(visited->entries);
    *visited = (struct sutra_visited){0};
}

/* The entry of a concept, or the free one where it belongs. There are slots. */
SUTRA_INLINE struct sutra_visited_entry *sutra_visited_slot(const struct sutra_visited *visited,
                                                            uint32_t concept)
{
    const size_t mask = visited->slots - 1;
    size_t at = (size_t)sutra_mix64(concept) & mask;
    while (visited->entries[at].key != 0 && visited->entries[at].key != concept + 1)
        at = (at + 1) & mask;
    return &visited->entries[at];
}

static inline int sutra_visited_grow(struct sutra_visited *visited)
{
    struct sutra_visited wider = {.slots = visited->slots ? 4 * visited->slots : 256,
                                  .used = visited->used};
    wider.entries = calloc(wider.slots, sizeof *wider.entries);
    if (!wider.entries)
        return SUTRA_E_NO_MEMORY;
    for (size_t at = 0; at < visited->slots; at++) {
        const struct sutra_visited_entry entry = visited->entries[at];
        if (entry.key != 0)
            *sutra_visited_slot(&wider, entry.key - 1) = entry;
    }
    free(visited->entries);
    *visited = wider;
    return SUTRA_OK;
}

/* NULL if the concept is not in the map. */
SUTRA_INLINE const uint32_t *sutra_visited_find(const struct sutra_visited *visited,
                                                uint32_t concept)
{
    if (visited->slots == 0)
        return NULL;
    const struct sutra_visited_entry *entry = sutra_visited_slot(visited, concept);
    return entry->key != 0 ? &entry->number : NULL;
}

/* The number of a concept, to be read and set until the next _enter; 0 if it is fresh. */
SUTRA_INLINE int sutra_visited_enter(struct sutra_visited *visited, uint32_t concept,
                                     uint32_t **number_out, bool *fresh_out)
{
    if (SUTRA_UNLIKELY(2 * (visited->used + 1) > visited->slots)) {
        const int status = sutra_visited_grow(visited);
        if (status != SUTRA_OK)
            return status;
    }
    struct sutra_visited_entry *entry = sutra_visited_slot(visited, concept);
    *fresh_out = entry->key == 0;
    visited->used += entry->key == 0;
    entry->key = concept + 1;
    *number_out = &entry->number;
    return SUTRA_OK;
}

#endif
