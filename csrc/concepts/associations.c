/* Associations: life, room and writing; the contract is in associations.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "associations_parts.h"
#include "../base/bytes.h"

/* Links prepared at once: enough misses in flight, few enough lines to stay in the cache. */
#define GROUP 32u

/* Up to so many kinds, "any kind" is asked one kind at a time. */
#define KINDS_TRIED 64u

/* ---- life */

int sutra_associations_start(struct sutra_associations **associations_out)
{
    struct sutra_associations *associations = calloc(1, sizeof *associations);
    if (!associations)
        return SUTRA_E_NO_MEMORY;
    /* Most of the slots are never touched, so never there. */
    associations->kind_slots = calloc(SUTRA_KIND_SLOTS, sizeof *associations->kind_slots);
    if (!associations->kind_slots) {
        free(associations);
        return SUTRA_E_NO_MEMORY;
    }
    associations->references = 1;
    associations->version = 1;
    associations->map.seed = sutra_mix64((uintptr_t)associations);
    *associations_out = associations;
    return SUTRA_OK;
}

int sutra_associations_finish(struct sutra_associations *associations)
{
    static const struct {
        enum sutra_part_kind kind;
        size_t row_bytes;
    } grown[] = {{SUTRA_PART_DELTA_EDGE, sizeof(struct sutra_delta_edge)},
                 {SUTRA_PART_DELTA_HEAD, sizeof(struct sutra_delta_head)},
                 {SUTRA_PART_EDGE_DEATH, sizeof(uint64_t)}};
    for (size_t p = 0; p < sizeof grown / sizeof grown[0]; p++) {
        struct sutra_plane *plane = sutra_edge_plane(associations, grown[p].kind);
        if (plane->base)
            continue;
        const int status = sutra_plane_reserve(plane, grown[p].row_bytes, 0, SUTRA_HUGE_ADVISE);
        if (status != SUTRA_OK)
            return status;
    }
    struct sutra_plane *names = sutra_edge_plane(associations, SUTRA_PART_KIND_NAME);
    return names->base ? SUTRA_OK
                       : sutra_edge_plane_make(names, SUTRA_KIND_ROW_BYTES, SUTRA_KINDS_MAX);
}

int sutra_associations_new(struct sutra_associations **associations_out)
{
    struct sutra_associations *associations;
    int status = sutra_associations_start(&associations);
    if (status != SUTRA_OK)
        return status;
    status = sutra_associations_finish(associations);
    if (status != SUTRA_OK) {
        sutra_associations_release(associations);
        return status;
    }
    *associations_out = associations;
    return SUTRA_OK;
}

void sutra_associations_retain(struct sutra_associations *associations)
{
    __atomic_fetch_add(&associations->references, 1, __ATOMIC_RELAXED);
}

void sutra_associations_release(struct sutra_associations *associations)
{
    if (!associations || __atomic_fetch_sub(&associations->references, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    for (size_t p = 0; p < SUTRA_ASSOCIATIONS_PARTS; p++)
        sutra_plane_release(&associations->planes[p]);
    sutra_dirty_deinit(&associations->edges_dirty);
    sutra_dirty_deinit(&associations->delta_dirty);
    sutra_dirty_deinit(&associations->heads_dirty);
    sutra_delta_map_deinit(&associations->map);
    free(associations->kind_slots);
    free(associations);
}

size_t sutra_associations_count(const struct sutra_associations *associations)
{
    return sutra_count_load(&associations->live_count);
}

size_t sutra_associations_delta_rows(const struct sutra_associations *associations)
{
    return sutra_count_load(&associations->delta_rows) +
           sutra_count_load(&associations->death_rows);
}

size_t sutra_associations_bytes(const struct sutra_associations *associations)
{
    const size_t offsets = associations->base_edges ? associations->base_concepts + 1 : 0;
    return sizeof *associations + sutra_count_load(&associations->map_bytes) +
           2 * offsets * sizeof(uint32_t) +
           associations->base_edges * (sizeof(struct sutra_edge) + sizeof(uint32_t)) +
           sutra_count_load(&associations->delta_rows) * sizeof(struct sutra_delta_edge) +
           sutra_count_load(&associations->head_rows) * sizeof(struct sutra_delta_head) +
           sutra_count_load(&associations->death_rows) * sizeof(uint64_t) +
           sutra_count_load(&associations->kind_count) * SUTRA_KIND_ROW_BYTES +
           SUTRA_KIND_SLOTS * sizeof(uint16_t);
}

/* ---- room */

int sutra_edge_plane_make(struct sutra_plane *plane, size_t row_bytes, size_t rows_max)
{
    size_t bytes;
    if (!sutra_mul_size(rows_max, row_bytes, &bytes))
        return SUTRA_E_CAPACITY;
    const int status = sutra_arena_reserve(&plane->arena, bytes, bytes, SUTRA_HUGE_ADVISE);
    if (status == SUTRA_OK) {
        plane->base = plane->arena.base;
        plane->row_bytes = row_bytes;
    }
    return status;
}

int sutra_edge_plane_grow(struct sutra_plane *plane, size_t rows)
{
    size_t bytes;
    if (!sutra_mul_size(rows, plane->row_bytes, &bytes))
        return SUTRA_E_CAPACITY;
    const size_t committed = plane->arena.committed_bytes;
    if (bytes <= committed) /* a mapped plane may still have to become writable */
        return plane->arena.mapped_read_only ? sutra_arena_commit(&plane->arena, bytes) : SUTRA_OK;
    const size_t wish = committed + committed / 4;
    int status = wish > bytes ? sutra_arena_commit(&plane->arena, wish) : SUTRA_E_CAPACITY;
    if (status != SUTRA_OK)
        status = sutra_arena_commit(&plane->arena, bytes);
    return status;
}

static int grow_heads(struct sutra_associations *associations, size_t concepts)
{
    const size_t before = associations->head_rows;
    struct sutra_plane *plane = sutra_edge_plane(associations, SUTRA_PART_DELTA_HEAD);
    const int status = sutra_edge_plane_grow(plane, concepts > before ? concepts : before);
    if (status != SUTRA_OK || concepts <= before)
        return status;
    /* Behind a mapped prefix there may be bytes of the file. */
    memset(plane->base + before * plane->row_bytes, 0, (concepts - before) * plane->row_bytes);
    __atomic_store_n(&associations->head_rows, concepts, __ATOMIC_RELEASE);
    return SUTRA_OK;
}

int sutra_associations_reserve(struct sutra_associations *associations, size_t edges,
                               size_t concepts)
{
    if (edges > SUTRA_ROWS_MAX || concepts > SUTRA_ROWS_MAX ||
        edges > SUTRA_ROWS_MAX - associations->delta_rows ||
        associations->live_count > SUTRA_ROWS_MAX - edges)
        return SUTRA_E_CAPACITY;
    int status = sutra_edge_plane_grow(sutra_edge_plane(associations, SUTRA_PART_DELTA_EDGE),
                                       associations->delta_rows + edges);
    if (status == SUTRA_OK && associations->base_edges > 0) {
        /* Its rows get deaths, so it has to be writable. */
        status = sutra_edge_plane_grow(sutra_edge_plane(associations, SUTRA_PART_EDGE),
                                       associations->base_edges);
        if (status == SUTRA_OK)
            status = sutra_edge_plane_grow(sutra_edge_plane(associations, SUTRA_PART_EDGE_DEATH),
                                           associations->death_rows + edges);
    }
    if (status == SUTRA_OK) {
        status = sutra_delta_map_grow(&associations->map,
                                      sutra_edge_rows(associations, SUTRA_PART_DELTA_EDGE),
                                      associations->delta_rows, edges);
        sutra_count_store(&associations->map_bytes, associations->map.slots * sizeof(uint64_t));
    }
    if (status == SUTRA_OK)
        status = grow_heads(associations, concepts);
    if (status == SUTRA_OK && concepts > associations->concept_limit)
        sutra_count_store(&associations->concept_limit, concepts);
    return status;
}

/* ---- ending edges */

static void count_live(struct sutra_associations *associations, bool one_more)
{
    const size_t live = associations->live_count;
    if (one_more || live > 0)
        sutra_count_store(&associations->live_count, one_more ? live + 1 : live - 1);
}

static void end_delta(struct sutra_associations *associations, uint32_t row, uint64_t lsn)
{
    struct sutra_delta_edge *rows = sutra_edge_rows(associations, SUTRA_PART_DELTA_EDGE);
    __atomic_store_n(&rows[row].death, lsn, __ATOMIC_RELAXED);
    sutra_dirty_mark(&associations->delta_dirty, row);
    count_live(associations, false);
}

static void end_base(struct sutra_associations *associations, uint32_t row, uint64_t lsn)
{
    const struct sutra_plane *plane = sutra_edge_plane(associations, SUTRA_PART_EDGE_DEATH);
    struct sutra_edge *edges = sutra_edge_rows(associations, SUTRA_PART_EDGE);
    const size_t place = associations->death_rows;
    uint32_t death = SUTRA_NO_EDGE; /* names no place: never alive */
    /* The edges that a damaged file lists may be more than those it let one reserve for. */
    if (SUTRA_LIKELY(place < plane->arena.committed_bytes / sizeof(uint64_t))) {
        ((uint64_t *)plane->base)[place] = lsn;
        sutra_count_store(&associations->death_rows, place + 1);
        death = (uint32_t)place + 1;
    }
    __atomic_store_n(&edges[row].death, death, __ATOMIC_RELEASE);
    sutra_dirty_mark(&associations->edges_dirty, row);
    count_live(associations, false);
}

/* Is a row of the base, where an edge belongs, that edge and alive? */
static bool is_live_in_base(const struct sutra_associations *associations, uint32_t row,
                            uint32_t source, uint32_t target, uint16_t kind)
{
    if (row >= associations->base_edges)
        return false;
    const struct sutra_edge *edge =
        (const struct sutra_edge *)sutra_edge_rows(associations, SUTRA_PART_EDGE) + row;
    return edge->source == source && edge->target == target && edge->kind == kind &&
           edge->death == 0;
}

/* ---- linking */

/* base_row: where the edge belongs in the base. */
static bool link_one(struct sutra_associations *associations, uint32_t hash, uint32_t base_row,
                     const struct sutra_delta_edge *edge)
{
    struct sutra_delta_edge *rows = sutra_edge_rows(associations, SUTRA_PART_DELTA_EDGE);
    struct sutra_delta_head *heads = sutra_edge_rows(associations, SUTRA_PART_DELTA_HEAD);
    struct sutra_delta_map *map = &associations->map;
    uint64_t *word = sutra_delta_map_find(map, rows, hash, edge->source, edge->target, edge->kind);
    bool fresh = true;
    if (*word) {
        /* What the delta knows, the base does not have alive. */
        const uint32_t before = (uint32_t)*word - 1;
        fresh = rows[before].death != SUTRA_LSN_NEVER;
        if (!fresh)
            end_delta(associations, before, edge->birth);
    } else {
        map->used++;
        fresh = !is_live_in_base(associations, base_row, edge->source, edge->target, edge->kind);
        if (!fresh)
            end_base(associations, base_row, edge->birth);
    }
    const size_t row = associations->delta_rows;
    rows[row] = *edge;
    rows[row].next_out = heads[edge->source].out;
    rows[row].next_in = heads[edge->target].in;
    *word = (uint64_t)hash << 32 | (uint32_t)(row + 1);
    /* The count first: a reader takes no head beyond it. */
    sutra_count_store(&associations->delta_rows, row + 1);
    __atomic_store_n(&heads[edge->source].out, (uint32_t)(row + 1), __ATOMIC_RELEASE);
    __atomic_store_n(&heads[edge->target].in, (uint32_t)(row + 1), __ATOMIC_RELEASE);
    sutra_dirty_mark(&associations->heads_dirty, edge->source);
    sutra_dirty_mark(&associations->heads_dirty, edge->target);
    count_live(associations, true);
    return fresh;
}

bool sutra_associations_link(struct sutra_associations *associations, uint32_t source,
                             uint32_t target, uint16_t kind, float weight, float confidence,
                             int64_t created_ns, uint64_t lsn)
{
    const struct sutra_delta_edge edge = {.source = source,
                                          .target = target,
                                          .kind = kind,
                                          .weight = weight,
                                          .confidence = confidence,
                                          .created_ns = created_ns,
                                          .birth = lsn,
                                          .death = SUTRA_LSN_NEVER};
    const uint32_t base_row = sutra_base_lower_bound(
        associations, sutra_edge_range_of(associations, SUTRA_PART_OUT_OFFSET, source), kind,
        target);
    return link_one(associations, sutra_edge_hash(&associations->map, source, target, kind),
                    base_row, &edge);
}

SUTRA_INLINE void prefetch_middle(const struct sutra_edge *edges, struct sutra_edge_range range)
{
    if (range.begin < range.end)
        SUTRA_PREFETCH(&edges[range.begin + (range.end - range.begin) / 2]);
}

/* A group's binary searches in the base, a step of each by turns, so that their misses overlap.
 * Each range shrinks to the row where its edge belongs. */
static void search_base(const struct sutra_edge *edges, struct sutra_edge_range *ranges,
                        const uint32_t *targets, const uint16_t *kinds, size_t count)
{
    for (bool going = true; going;) {
        going = false;
        for (size_t j = 0; j < count; j++) {
            if (ranges[j].begin == ranges[j].end)
                continue;
            sutra_base_search_step(edges, &ranges[j], kinds[j], targets[j]);
            prefetch_middle(edges, ranges[j]);
            going = true;
        }
    }
}

void sutra_associations_link_many(struct sutra_associations *associations, const uint32_t *sources,
                                  const uint32_t *targets, const uint16_t *kinds,
                                  const float *weights, const float *confidences, size_t count,
                                  int64_t created_ns, uint64_t lsn, bool *fresh_out)
{
    const struct sutra_delta_map *map = &associations->map;
    const struct sutra_delta_head *heads = sutra_edge_rows(associations, SUTRA_PART_DELTA_HEAD);
    const struct sutra_edge *edges = sutra_edge_rows(associations, SUTRA_PART_EDGE);
    const uint32_t *offsets = sutra_edge_rows(associations, SUTRA_PART_OUT_OFFSET);
    uint32_t hashes[GROUP];
    struct sutra_edge_range ranges[GROUP];
    struct sutra_delta_edge edge = {
        .created_ns = created_ns, .birth = lsn, .death = SUTRA_LSN_NEVER};
    for (size_t begin = 0; begin < count; begin += GROUP) {
        const size_t group = count - begin < GROUP ? count - begin : GROUP;
        for (size_t j = 0; j < group; j++) {
            const uint32_t source = sources[begin + j], target = targets[begin + j];
            hashes[j] = sutra_edge_hash(map, source, target, kinds[begin + j]);
            SUTRA_PREFETCH(&map->words[hashes[j] >> map->shift]);
            SUTRA_PREFETCH(&heads[source]);
            SUTRA_PREFETCH(&heads[target]);
            if (source < associations->base_concepts)
                SUTRA_PREFETCH(&offsets[source]);
        }
        for (size_t j = 0; j < group; j++) {
            ranges[j] =
                sutra_edge_range_of(associations, SUTRA_PART_OUT_OFFSET, sources[begin + j]);
            prefetch_middle(edges, ranges[j]);
        }
        search_base(edges, ranges, targets + begin, kinds + begin, group);
        for (size_t j = 0; j < group; j++) {
            edge.source = sources[begin + j];
            edge.target = targets[begin + j];
            edge.kind = kinds[begin + j];
            edge.weight = weights[begin + j];
            edge.confidence = confidences[begin + j];
            fresh_out[begin + j] = link_one(associations, hashes[j], ranges[j].begin, &edge);
        }
    }
}

/* ---- finding and unlinking */

/* The newest row of a key without the map, or SUTRA_NO_EDGE: along both of its chains at once, so
 * that a hub costs no more than the other end. */
static uint32_t find_in_chains(const struct sutra_associations *associations, uint32_t source,
                               uint32_t target, uint16_t kind)
{
    const struct sutra_delta_edge *rows = sutra_edge_rows(associations, SUTRA_PART_DELTA_EDGE);
    uint32_t out = sutra_delta_first(associations, source, true);
    uint32_t in = sutra_delta_first(associations, target, false);
    while (out && in) {
        const struct sutra_delta_edge *a = &rows[out - 1], *b = &rows[in - 1];
        if (a->source == source && a->target == target && a->kind == kind)
            return out - 1;
        if (b->source == source && b->target == target && b->kind == kind)
            return in - 1;
        out = sutra_delta_next(a, true, out);
        in = sutra_delta_next(b, false, in);
    }
    return SUTRA_NO_EDGE;
}

/* The newest state of an edge: the row of the delta or of the base where it is alive, or
 * SUTRA_NO_EDGE. */
static uint32_t find_live(const struct sutra_associations *associations, uint32_t source,
                          uint32_t target, uint16_t kind, bool *in_delta_out)
{
    const struct sutra_delta_edge *rows = sutra_edge_rows(associations, SUTRA_PART_DELTA_EDGE);
    const struct sutra_delta_map *map = &associations->map;
    uint32_t row = SUTRA_NO_EDGE;
    if (map->words) {
        const uint32_t hash = sutra_edge_hash(map, source, target, kind);
        row = (uint32_t)*sutra_delta_map_find(map, rows, hash, source, target, kind) - 1;
    } else {
        row = find_in_chains(associations, source, target, kind);
    }
    *in_delta_out = row != SUTRA_NO_EDGE;
    if (row != SUTRA_NO_EDGE)
        return rows[row].death == SUTRA_LSN_NEVER ? row : SUTRA_NO_EDGE;
    row = sutra_base_lower_bound(associations,
                                 sutra_edge_range_of(associations, SUTRA_PART_OUT_OFFSET, source),
                                 kind, target);
    return is_live_in_base(associations, row, source, target, kind) ? row : SUTRA_NO_EDGE;
}

bool sutra_associations_has(const struct sutra_associations *associations, uint32_t source,
                            uint32_t target, uint16_t kind)
{
    bool in_delta;
    return find_live(associations, source, target, kind, &in_delta) != SUTRA_NO_EDGE;
}

static bool unlink_one(struct sutra_associations *associations, uint32_t source, uint32_t target,
                       uint16_t kind, uint64_t lsn)
{
    bool in_delta;
    const uint32_t row = find_live(associations, source, target, kind, &in_delta);
    if (row == SUTRA_NO_EDGE)
        return false;
    if (in_delta)
        end_delta(associations, row, lsn);
    else
        end_base(associations, row, lsn);
    return true;
}

/* End the edge a cursor has just stepped to. */
static void end_at(struct sutra_associations *associations, const struct sutra_link_cursor *cursor,
                   uint32_t row, uint64_t lsn)
{
    if (cursor->stage == SUTRA_OUT_DELTA || cursor->stage == SUTRA_IN_DELTA)
        end_delta(associations, row, lsn);
    else
        end_base(associations, row, lsn);
}

/* Walk what leaves the source and what comes to the target, by turns: the shorter list decides. */
static size_t unlink_all_kinds(struct sutra_associations *associations, uint32_t source,
                               uint32_t target, uint64_t lsn)
{
    struct sutra_link_cursor cursors[2];
    sutra_links_begin(&cursors[0], associations, source, SUTRA_OUT, SUTRA_NO_KIND,
                      SUTRA_NEWEST_VIEW);
    sutra_links_begin(&cursors[1], associations, target, SUTRA_IN, SUTRA_NO_KIND,
                      SUTRA_NEWEST_VIEW);
    const struct sutra_delta_edge *delta = sutra_edge_rows(associations, SUTRA_PART_DELTA_EDGE);
    const struct sutra_edge *base = sutra_edge_rows(associations, SUTRA_PART_EDGE);
    size_t removed = 0;
    for (size_t turn = 0;; turn++) {
        struct sutra_link_cursor *cursor = &cursors[turn % 2];
        uint32_t row;
        if (!sutra_links_step(cursor, &row))
            return removed;
        const bool in_delta = cursor->stage == SUTRA_OUT_DELTA || cursor->stage == SUTRA_IN_DELTA;
        const uint32_t from = in_delta ? delta[row].source : base[row].source;
        const uint32_t to = in_delta ? delta[row].target : base[row].target;
        if (from == source && to == target) {
            end_at(associations, cursor, row, lsn);
            removed++;
        }
    }
}

bool sutra_associations_unlink(struct sutra_associations *associations, uint32_t source,
                               uint32_t target, uint16_t kind, uint64_t lsn, size_t *removed_out)
{
    size_t removed = 0;
    if (kind != SUTRA_NO_KIND) {
        removed = unlink_one(associations, source, target, kind, lsn);
    } else if (associations->kind_count <= KINDS_TRIED) {
        for (size_t k = 0; k < associations->kind_count; k++)
            removed += unlink_one(associations, source, target, (uint16_t)k, lsn);
    } else {
        removed = unlink_all_kinds(associations, source, target, lsn);
    }
    if (removed_out)
        *removed_out = removed;
    return removed > 0;
}

size_t sutra_associations_degree(const struct sutra_associations *associations, uint32_t concept)
{
    struct sutra_link_cursor cursor;
    sutra_links_begin(&cursor, associations, concept, SUTRA_BOTH, SUTRA_NO_KIND, SUTRA_NEWEST_VIEW);
    size_t degree = 0;
    uint32_t row;
    while (sutra_links_step(&cursor, &row))
        degree++;
    return degree;
}

size_t sutra_associations_remove_concept(
    struct sutra_associations *associations, uint32_t concept, uint64_t lsn,
    void (*other)(void *context, uint32_t concept, bool is_target), void *context)
{
    const struct sutra_delta_edge *delta = sutra_edge_rows(associations, SUTRA_PART_DELTA_EDGE);
    const struct sutra_edge *base = sutra_edge_rows(associations, SUTRA_PART_EDGE);
    struct sutra_link_cursor cursor;
    sutra_links_begin(&cursor, associations, concept, SUTRA_BOTH, SUTRA_NO_KIND, SUTRA_NEWEST_VIEW);
    size_t removed = 0;
    uint32_t row;
    while (sutra_links_step(&cursor, &row)) {
        end_at(associations, &cursor, row, lsn);
        removed++;
        switch (cursor.stage) {
        case SUTRA_OUT_DELTA:
            other(context, delta[row].target, true);
            break;
        case SUTRA_OUT_BASE:
            other(context, base[row].target, true);
            break;
        case SUTRA_IN_DELTA:
            other(context, delta[row].source, false);
            break;
        default:
            other(context, base[row].source, false);
            break;
        }
    }
    return removed;
}

/* ---- the map of the delta */

void sutra_delta_map_deinit(struct sutra_delta_map *map)
{
    sutra_aligned_free(map->words, map->slots * sizeof(uint64_t));
    *map = (struct sutra_delta_map){.seed = map->seed};
}

static void enter_rows(struct sutra_delta_map *map, const struct sutra_delta_edge *delta,
                       size_t rows)
{
    uint32_t hashes[GROUP];
    for (size_t begin = 0; begin < rows; begin += GROUP) {
        const size_t group = rows - begin < GROUP ? rows - begin : GROUP;
        for (size_t j = 0; j < group; j++) {
            const struct sutra_delta_edge *row = &delta[begin + j];
            hashes[j] = sutra_edge_hash(map, row->source, row->target, row->kind);
            SUTRA_PREFETCH(&map->words[hashes[j] >> map->shift]);
        }
        for (size_t j = 0; j < group; j++) {
            const struct sutra_delta_edge *row = &delta[begin + j];
            uint64_t *word =
                sutra_delta_map_find(map, delta, hashes[j], row->source, row->target, row->kind);
            map->used += *word == 0;
            *word = (uint64_t)hashes[j] << 32 | (uint32_t)(begin + j + 1);
        }
    }
}

int sutra_delta_map_grow(struct sutra_delta_map *map, const struct sutra_delta_edge *delta,
                         size_t rows, size_t more)
{
    const size_t keys = (map->words ? map->used : rows) + more;
    if (map->words && keys <= map->slots / 2)
        return SUTRA_OK;
    struct sutra_delta_map wider = {.slots = 1024, .shift = 22, .seed = map->seed};
    while (wider.slots / 2 < keys) {
        wider.slots *= 2;
        wider.shift--;
    }
    void *words;
    const int status =
        sutra_aligned_alloc(SUTRA_CACHE_LINE, wider.slots * sizeof(uint64_t), &words);
    if (status != SUTRA_OK)
        return status;
    if (wider.slots * sizeof(uint64_t) >= 2 * SUTRA_HUGE_PAGE)
        (void)sutra_advise_huge(words, wider.slots * sizeof(uint64_t), SUTRA_HUGE_ADVISE);
    wider.words = words;
    if (!map->words)
        enter_rows(&wider, delta, rows);
    for (size_t at = 0; at < map->slots; at++) {
        const uint64_t word = map->words[at];
        if (word == 0)
            continue;
        size_t to = (uint32_t)(word >> 32) >> wider.shift;
        while (wider.words[to])
            to = (to + 1) & (wider.slots - 1);
        wider.words[to] = word;
        wider.used++;
    }
    sutra_delta_map_deinit(map);
    *map = wider;
    return SUTRA_OK;
}
