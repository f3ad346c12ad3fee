/* The walks: greedy descent through the upper levels, best-first search of one level.
 *
 * A walk is bound by the latency of memory, so it asks early: for the list of a node when the
 * node enters the pool near its front, and, before computing the keys of one node's
 * neighbours, for the rows that the next node in line will need (docs/evidence.md).
 * Inline because the base level, an upper level and a build want their own compiled copy.
 * Only search.c, filtered.c, build.c and reach.c include this.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_GRAPH_WALK_H
#define SUTRA_GRAPH_WALK_H

#include "graph.h"

/* Enough misses in flight to keep a core busy; longer rows are left to the hardware streamer. */
#define SUTRA_PREFETCH_LINES_MAX 8u

SUTRA_INLINE size_t lines_to_prefetch(size_t bytes)
{
    const size_t lines = (bytes + SUTRA_CACHE_LINE - 1) / SUTRA_CACHE_LINE;
    return lines < SUTRA_PREFETCH_LINES_MAX ? lines : SUTRA_PREFETCH_LINES_MAX;
}

SUTRA_INLINE void prefetch_lines(const void *from, size_t lines)
{
    for (size_t line = 0; line < lines; line++)
        SUTRA_PREFETCH((const uint8_t *)from + line * SUTRA_CACHE_LINE);
}

SUTRA_INLINE void prefetch_rows(const struct sutra_space *space, const uint32_t *rows, size_t count)
{
    const size_t lines = lines_to_prefetch(space->row_bytes);
    const float *const corrections = space->corrections;
    for (size_t j = 0; j < count; j++) {
        prefetch_lines(space->rows + rows[j] * space->row_stride, lines);
        if (corrections)
            SUTRA_PREFETCH(corrections + rows[j] * space->correction_floats);
    }
}

/* Keys of base or upper nodes. */
SUTRA_INLINE void node_keys(const struct sutra_graph *graph, const struct sutra_space *space,
                            const void *query, bool upper, const uint32_t *ids, size_t count,
                            struct sutra_scratch *scratch)
{
    const uint32_t *rows = ids;
    if (upper) {
        for (size_t j = 0; j < count; j++)
            scratch->slots[j] = sutra_graph_upper_node(graph, ids[j]);
        rows = scratch->slots;
        prefetch_rows(space, rows, count);
    }
    space->keys(space, query, rows, count, scratch->keys);
    scratch->distances += count;
}

SUTRA_INLINE void prefetch_list(const struct sutra_graph *graph, uint32_t node)
{
    prefetch_lines(sutra_graph_list(graph, node), graph->slots / SUTRA_NODE_LINE);
}

/* The first position from `from` on that is not expanded, or count. */
SUTRA_INLINE size_t next_unexpanded(const uint64_t *pool, size_t from, size_t count)
{
    while (from < count && pool[from] & 1)
        from++;
    return from;
}

/* The ids of a list that are nodes and not visited yet, without a branch: half of them are, at
 * random. Ids that are no nodes stand at `limit`, which counts as visited. */
SUTRA_INLINE size_t unvisited(const uint32_t *list, size_t slots, size_t limit,
                              const uint8_t *visited, uint8_t epoch, uint32_t *ids_out)
{
    size_t count = 0;
    for (size_t s = 0; s < slots; s++) {
        const uint32_t id = list[s];
        const size_t place = id < limit ? id : limit;
        ids_out[count] = id;
        count += visited[place] != epoch;
    }
    return count;
}

/* Ask for the rows the node after the one at hand will need, and for the list of the one after
 * that: seldom wrong, since the nearest unexpanded nodes are expanded soon in any case. */
SUTRA_INLINE void look_ahead(const struct sutra_graph *graph, const struct sutra_space *space,
                             const struct sutra_scratch *scratch, size_t count, size_t cursor)
{
    uint32_t list[SUTRA_NODE_SLOTS_MAX] __attribute__((aligned(SUTRA_CACHE_LINE)));
    uint32_t ids[SUTRA_NODE_SLOTS_MAX + 1];
    const uint64_t *const pool = scratch->pool;
    const size_t next = next_unexpanded(pool, cursor, count);
    if (next == count)
        return;
    sutra_node_load(sutra_graph_list(graph, sutra_pool_id(pool[next])), graph->slots, list);
    const size_t wanted =
        unvisited(list, graph->slots, scratch->node_limit, scratch->visited, scratch->epoch, ids);
    prefetch_rows(space, ids, wanted);
    const size_t after = next_unexpanded(pool, next + 1, count);
    if (after < count)
        prefetch_list(graph, sutra_pool_id(pool[after]));
}

/* As `unvisited`, marking what it takes; an upper list may name nodes of lower levels. */
SUTRA_INLINE size_t visit(const struct sutra_graph *graph, unsigned level, const uint32_t *list,
                          size_t slots, size_t limit, struct sutra_scratch *scratch)
{
    uint8_t *const visited = scratch->visited;
    const uint8_t epoch = scratch->epoch;
    size_t count = 0;
    for (size_t s = 0; s < slots; s++) {
        const uint32_t id = list[s];
        size_t place = id < limit ? id : limit;
        if (level > 0 && place < limit && sutra_graph_upper_level(graph, place) < level)
            place = limit;
        scratch->ids[count] = id;
        count += visited[place] != epoch;
        visited[place] = epoch;
    }
    return count;
}

/* Positions behind the cursor whose nodes are worth an early look at their lists. */
#define SUTRA_NEAR_CURSOR 6u

/* Best-first walk of one level (algorithm 2) from `start`, width ef. For an upper level ids are
 * upper nodes. */
SUTRA_INLINE void walk_level(const struct sutra_graph *graph, const struct sutra_space *space,
                             const void *query, unsigned level, uint32_t start, size_t ef,
                             struct sutra_scratch *scratch)
{
    const bool upper = level > 0;
    const size_t slots = upper ? graph->upper_slots : graph->slots;
    const size_t limit = upper ? scratch->upper_limit : scratch->node_limit;
    const uint8_t epoch = sutra_scratch_new_walk(scratch, limit);
    uint64_t *const pool = scratch->pool;
    uint32_t list[SUTRA_NODE_SLOTS_MAX] __attribute__((aligned(SUTRA_CACHE_LINE)));

    if (!upper && scratch->barred < limit)
        scratch->visited[scratch->barred] = epoch;
    scratch->ids[0] = start;
    node_keys(graph, space, query, upper, scratch->ids, 1, scratch);
    scratch->visited[start] = epoch;
    pool[0] = sutra_pool_item(scratch->keys[0], start);
    size_t count = 1, cursor = 0;

    while (cursor < count) {
        const uint32_t node = sutra_pool_id(pool[cursor]);
        pool[cursor] |= 1;
        scratch->hops++;
        const uint32_t *const from =
            upper ? sutra_graph_upper_list(graph, node, level) : sutra_graph_list(graph, node);
        sutra_node_load(from, slots, list);
        const size_t fresh = visit(graph, level, list, slots, limit, scratch);
        if (!upper) {
            prefetch_rows(space, scratch->ids, fresh);
            look_ahead(graph, space, scratch, count, cursor + 1);
        }
        if (fresh) {
            node_keys(graph, space, query, upper, scratch->ids, fresh, scratch);
            size_t taken = fresh;
            const uint32_t *chosen = NULL;
            if (count == ef) {
                taken = space->kernels->below_f32(
                    scratch->keys, fresh, sutra_pool_key(pool[count - 1]), scratch->positions);
                chosen = scratch->positions;
            }
            for (size_t j = 0; j < taken; j++) {
                const size_t at = chosen ? chosen[j] : j;
                const uint64_t item = sutra_pool_item(scratch->keys[at], scratch->ids[at]);
                if (count == ef) {
                    if (item >= pool[count - 1])
                        continue;
                    count--;
                }
                const size_t position = space->kernels->pool_insert(pool, count, item);
                count++;
                if (!upper && position < cursor + SUTRA_NEAR_CURSOR)
                    prefetch_list(graph, scratch->ids[at]);
                if (position < cursor)
                    cursor = position;
            }
        }
        cursor = next_unexpanded(pool, cursor, count);
    }
    scratch->pool_count = count;
}

/* Greedy descent (ef = 1) from the entry point to level `bottom` + 1; returns the upper node it
 * ends on. Only called while the top level is above bottom. */
SUTRA_INLINE uint32_t descend(const struct sutra_graph *graph, const struct sutra_space *space,
                              const void *query, uint64_t entry, unsigned bottom,
                              struct sutra_scratch *scratch)
{
    uint32_t best = (uint32_t)entry;
    uint32_t list[SUTRA_NODE_SLOTS_MAX] __attribute__((aligned(SUTRA_CACHE_LINE)));
    node_keys(graph, space, query, true, &best, 1, scratch);
    float best_key = scratch->keys[0];
    for (unsigned level = (unsigned)(entry >> 32); level > bottom; level--) {
        for (bool moved = true; moved;) {
            moved = false;
            sutra_node_load(sutra_graph_upper_list(graph, best, level), graph->upper_slots, list);
            size_t length = 0; /* a damaged list may name a node of a lower level */
            for (size_t s = 0; s < graph->upper_slots && list[s] != SUTRA_NO_NODE; s++) {
                if (list[s] < scratch->upper_limit &&
                    sutra_graph_upper_level(graph, list[s]) >= level)
                    list[length++] = list[s];
            }
            node_keys(graph, space, query, true, list, length, scratch);
            for (size_t j = 0; j < length; j++) {
                if (scratch->keys[j] < best_key && scratch->slots[j] != scratch->barred) {
                    best_key = scratch->keys[j];
                    best = list[j];
                    moved = true;
                }
            }
        }
    }
    return best;
}

#endif
