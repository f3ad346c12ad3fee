/* The inside of the associations, shared by the files that make them up.
 *
 * Who may see what: the counts and words marked atomic are read by readers while the writer goes
 * on. A delta row is complete before a head names it (release), a death of the base is written
 * before its edge names it (release); deaths of the delta are relaxed, since a view that covers
 * them is published after them. Planes never move.
 *
 * Internal to concepts/. Threading and errors: as in associations.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_CONCEPTS_ASSOCIATIONS_PARTS_H
#define SUTRA_CONCEPTS_ASSOCIATIONS_PARTS_H

#include "associations.h"
#include "../base/prng.h"

/* A view that sees the newest state: whatever is dead died at or before it. */
#define SUTRA_NEWEST_VIEW (SUTRA_LSN_NEVER - 1)
#define SUTRA_NO_EDGE 0xffffffffu
#define SUTRA_KIND_ROW_BYTES 256u
#define SUTRA_KINDS_MAX 65535u
#define SUTRA_KIND_SLOTS 131072u /* twice the names there can be: a probe always ends */

struct sutra_delta_head {
    uint32_t out, in; /* atomic: 1 + newest row of the delta, 0 for none */
};

/* Key of an edge -> its newest row of the delta. The writer's alone. A word is hash << 32 | row +
 * 1, its home the top bits of the hash, so that growing goes through both tables in order. */
struct sutra_delta_map {
    uint64_t *words; /* NULL until first needed */
    size_t slots;    /* a power of two, at most half of them used */
    unsigned shift;  /* 32 - log2(slots) */
    size_t used;
    uint64_t seed;
};

struct sutra_associations {
    uint32_t references; /* atomic */
    uint64_t version;    /* of every part but the names */
    size_t base_concepts, base_edges;
    /* atomic from here */
    size_t delta_rows, death_rows;
    size_t head_rows;     /* concepts that have a head */
    size_t concept_limit; /* no edge to a concept from here on is believed */
    size_t live_count, kind_count;
    size_t map_bytes;
    /* to here */
    struct sutra_plane planes[SUTRA_ASSOCIATIONS_PARTS]; /* by part kind, see sutra_edge_plane */
    struct sutra_dirty edges_dirty, delta_dirty, heads_dirty;
    struct sutra_delta_map map;
    uint16_t *kind_slots; /* atomic words: 1 + kind, 0 where free */
};

SUTRA_INLINE struct sutra_plane *sutra_edge_plane(struct sutra_associations *associations,
                                                  enum sutra_part_kind kind)
{
    return &associations->planes[kind - SUTRA_PART_OUT_OFFSET];
}

/* The rows of a part, typed by whoever asks. */
SUTRA_INLINE void *sutra_edge_rows(const struct sutra_associations *associations,
                                   enum sutra_part_kind kind)
{
    return associations->planes[kind - SUTRA_PART_OUT_OFFSET].base;
}

SUTRA_INLINE size_t sutra_count_load(const size_t *count)
{
    return __atomic_load_n(count, __ATOMIC_RELAXED);
}

SUTRA_INLINE void sutra_count_store(size_t *count, size_t value)
{
    __atomic_store_n(count, value, __ATOMIC_RELAXED);
}

/* Rows of the base that belong to a concept; offsets from a file may be anything. */
struct sutra_edge_range {
    uint32_t begin, end;
};

SUTRA_INLINE struct sutra_edge_range
sutra_edge_range_of(const struct sutra_associations *associations, enum sutra_part_kind offsets,
                    uint32_t concept)
{
    if (concept >= associations->base_concepts)
        return (struct sutra_edge_range){0, 0};
    const uint32_t *offset = sutra_edge_rows(associations, offsets);
    const uint32_t edges = (uint32_t)associations->base_edges;
    const uint32_t end = offset[concept + 1] < edges ? offset[concept + 1] : edges;
    const uint32_t begin = offset[concept] < end ? offset[concept] : end;
    return (struct sutra_edge_range){begin, end};
}

/* 1 + the newest row of the delta that starts (or ends) at a concept, 0 for none. */
SUTRA_INLINE uint32_t sutra_delta_first(const struct sutra_associations *associations,
                                        uint32_t concept, bool outgoing)
{
    if (concept >= __atomic_load_n(&associations->head_rows, __ATOMIC_ACQUIRE))
        return 0;
    const struct sutra_delta_head *head =
        (const struct sutra_delta_head *)sutra_edge_rows(associations, SUTRA_PART_DELTA_HEAD) +
        concept;
    const uint32_t first = __atomic_load_n(outgoing ? &head->out : &head->in, __ATOMIC_ACQUIRE);
    return first <= sutra_count_load(&associations->delta_rows) ? first : 0;
}

/* The next of a chain after `at`; chains fall, so that no file makes a loop. */
SUTRA_INLINE uint32_t sutra_delta_next(const struct sutra_delta_edge *edge, bool outgoing,
                                       uint32_t at)
{
    const uint32_t next = outgoing ? edge->next_out : edge->next_in;
    return next < at ? next : 0;
}

/* Does an edge name what there is? One of a damaged file may not. */
SUTRA_INLINE bool sutra_edge_sound(const struct sutra_associations *associations, uint32_t source,
                                   uint32_t target, uint16_t kind)
{
    const size_t limit = sutra_count_load(&associations->concept_limit);
    return source < limit && target < limit && kind < sutra_count_load(&associations->kind_count);
}

/* When an edge of the base died. One that names no death that is there counts as never alive. */
SUTRA_INLINE uint64_t sutra_base_death(const struct sutra_associations *associations,
                                       const struct sutra_edge *edge)
{
    const uint32_t death = __atomic_load_n(&edge->death, __ATOMIC_ACQUIRE);
    if (SUTRA_LIKELY(death == 0))
        return SUTRA_LSN_NEVER;
    const uint64_t *deaths = sutra_edge_rows(associations, SUTRA_PART_EDGE_DEATH);
    return death <= sutra_count_load(&associations->death_rows) ? deaths[death - 1] : 0;
}

SUTRA_INLINE uint64_t sutra_delta_death(const struct sutra_delta_edge *edge)
{
    return __atomic_load_n(&edge->death, __ATOMIC_RELAXED);
}

/* Halve a range, not empty, around where (kind, target) belongs. */
SUTRA_INLINE void sutra_base_search_step(const struct sutra_edge *edges,
                                         struct sutra_edge_range *range, uint32_t kind,
                                         uint32_t target)
{
    const uint32_t middle = range->begin + (range->end - range->begin) / 2;
    const struct sutra_edge *edge = &edges[middle];
    if (edge->kind < kind || (edge->kind == kind && edge->target < target))
        range->begin = middle + 1;
    else
        range->end = middle;
}

/* The first row of [begin, end), one concept's, that is not before (kind, target). */
uint32_t sutra_base_lower_bound(const struct sutra_associations *associations,
                                struct sutra_edge_range range, uint32_t kind, uint32_t target);

/* ---- walking; stages of a cursor */

enum { SUTRA_OUT_DELTA, SUTRA_OUT_BASE, SUTRA_IN_DELTA, SUTRA_IN_BASE, SUTRA_LINKS_END };

/* Ask for what walking the outgoing edges of a concept will look at first: where they are, and
 * later, when that has come, what is there. */
SUTRA_INLINE void sutra_links_prefetch(const struct sutra_associations *associations,
                                       uint32_t concept)
{
    const uint32_t *offsets = sutra_edge_rows(associations, SUTRA_PART_OUT_OFFSET);
    const struct sutra_delta_head *heads = sutra_edge_rows(associations, SUTRA_PART_DELTA_HEAD);
    if (concept < associations->base_concepts)
        SUTRA_PREFETCH(&offsets[concept]);
    if (concept < sutra_count_load(&associations->head_rows))
        SUTRA_PREFETCH(&heads[concept]);
}

SUTRA_INLINE void sutra_links_prefetch_rows(const struct sutra_associations *associations,
                                            uint32_t concept)
{
    const struct sutra_edge *edges = sutra_edge_rows(associations, SUTRA_PART_EDGE);
    const struct sutra_delta_edge *delta = sutra_edge_rows(associations, SUTRA_PART_DELTA_EDGE);
    const struct sutra_edge_range range =
        sutra_edge_range_of(associations, SUTRA_PART_OUT_OFFSET, concept);
    const uint32_t first = sutra_delta_first(associations, concept, true);
    if (range.begin < range.end)
        SUTRA_PREFETCH(&edges[range.begin]);
    if (first != 0)
        SUTRA_PREFETCH(&delta[first - 1]);
}

/* Like sutra_links_next, but gives the edge's row: of the delta or of the base, as the cursor's
 * stage now says. */
bool sutra_links_step(struct sutra_link_cursor *cursor, uint32_t *row_out);

/* ---- the map of the delta */

SUTRA_INLINE uint32_t sutra_edge_hash(const struct sutra_delta_map *map, uint32_t source,
                                      uint32_t target, uint16_t kind)
{
    const uint64_t ends = sutra_mix64(((uint64_t)source << 32 | target) ^ map->seed);
    return (uint32_t)(sutra_mix64(ends + kind) >> 32);
}

/* The word of a key, or the free one where it belongs. */
SUTRA_INLINE uint64_t *sutra_delta_map_find(const struct sutra_delta_map *map,
                                            const struct sutra_delta_edge *rows, uint32_t hash,
                                            uint32_t source, uint32_t target, uint16_t kind)
{
    for (size_t at = hash >> map->shift;; at = (at + 1) & (map->slots - 1)) {
        const uint64_t word = map->words[at];
        if (word == 0)
            return &map->words[at];
        if (word >> 32 != hash)
            continue;
        const struct sutra_delta_edge *row = &rows[(uint32_t)word - 1];
        if (row->target == target && row->source == source && row->kind == kind)
            return &map->words[at];
    }
}

/* Have room for `keys` keys in all; with no table yet, make one of `rows` rows of a delta. */
int sutra_delta_map_grow(struct sutra_delta_map *map, const struct sutra_delta_edge *delta,
                         size_t rows, size_t keys);
void sutra_delta_map_deinit(struct sutra_delta_map *map);

/* ---- planes and names */

/* Address space for a plane of at most so many rows. */
int sutra_edge_plane_make(struct sutra_plane *plane, size_t row_bytes, size_t rows_max);
/* Writable room for `rows` rows; grows by at least a quarter. */
int sutra_edge_plane_grow(struct sutra_plane *plane, size_t rows);

/* An object without anything, not even planes: _finish makes those of delta and names that are
 * still absent. */
int sutra_associations_start(struct sutra_associations **associations_out);
int sutra_associations_finish(struct sutra_associations *associations);

/* Index the names of rows 0 .. kind_count-1. The row of the first that is no name or comes twice,
 * or kind_count. */
size_t sutra_kinds_index(struct sutra_associations *associations);
int sutra_kinds_copy(struct sutra_associations *to, const struct sutra_associations *from);

#endif
