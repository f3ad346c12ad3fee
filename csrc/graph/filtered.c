/* Walks that find only what a filter lets pass.
 *
 * The walk goes over passing nodes alone: of a node's neighbours that do not pass, the neighbours
 * are looked at in their place (two hops; Patel et al., "ACORN", SIGMOD 2024, section 5), until
 * there are as many as a list holds. Where most neighbours pass, that costs nothing more; where few
 * do, a node still has about as many ways on as the graph gives it. It begins at the node that the
 * descent ends on and at some passing rows besides, because what passes may lie elsewhere.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "filter.h"
#include "graph.h"
#include "walk.h"

struct filtered_walk {
    const struct sutra_graph *graph;
    const struct sutra_space *space;
    const void *query;
    const struct sutra_filter *filter;
    struct sutra_scratch *scratch;
    size_t ef, count, cursor;
    size_t gathered; /* rows in scratch->ids that wait for their keys */
};

/* Ids that pass over or are passed over, with room for one more than a list: see split. */
struct hop {
    uint32_t passing[SUTRA_NODE_SLOTS_MAX + 1];
    uint32_t others[2 * SUTRA_NODE_SLOTS_MAX + 1];
    size_t passing_count, others_count;
};

static void take_gathered(struct filtered_walk *walk)
{
    struct sutra_scratch *const scratch = walk->scratch;
    uint64_t *const pool = scratch->pool;
    const size_t fresh = walk->gathered;
    walk->gathered = 0;
    if (!fresh)
        return;
    node_keys(walk->graph, walk->space, walk->query, false, scratch->ids, fresh, scratch);
    for (size_t j = 0; j < fresh; j++) {
        const uint64_t item = sutra_pool_item(scratch->keys[j], scratch->ids[j]);
        if (walk->count == walk->ef) {
            if (item >= pool[walk->count - 1])
                continue;
            walk->count--;
        }
        const size_t position = walk->space->kernels->pool_insert(pool, walk->count, item);
        walk->count++;
        if (position < walk->cursor + SUTRA_NEAR_CURSOR)
            prefetch_list(walk->graph, scratch->ids[j]);
        if (position < walk->cursor)
            walk->cursor = position;
    }
}

static void gather(struct filtered_walk *walk, uint32_t row)
{
    struct sutra_scratch *const scratch = walk->scratch;
    scratch->visited[row] = scratch->epoch;
    scratch->ids[walk->gathered++] = row;
    prefetch_rows(walk->space, &row, 1);
    if (walk->gathered == SUTRA_NODE_SLOTS_MAX)
        take_gathered(walk);
}

/* Divide the nodes of a list by what the filter says of their labels; without a branch, because
 * that is random. */
SUTRA_INLINE void split(const struct filtered_walk *walk, const uint32_t *list, struct hop *hop)
{
    const struct sutra_filter filter = *walk->filter;
    const size_t limit = walk->scratch->node_limit;
    size_t count = 0, others = 0;
    for (size_t s = 0; s < walk->graph->slots; s++) {
        const uint32_t id = list[s];
        const bool node = id < limit;
        const bool passes = node & sutra_filter_has(&filter, node ? id : 0);
        hop->passing[count] = id;
        count += passes;
        hop->others[others] = id;
        others += node & !passes;
    }
    hop->passing_count = count;
    hop->others_count = others;
}

/* Gather what passes and was not visited; rows that are not visible are passed over, too. Returns
 * how many were gathered. */
static size_t gather_passing(struct filtered_walk *walk, struct hop *hop)
{
    const struct sutra_scratch *const scratch = walk->scratch;
    size_t found = 0;
    for (size_t j = 0; j < hop->passing_count; j++) {
        const uint32_t id = hop->passing[j];
        if (scratch->visited[id] == scratch->epoch)
            continue;
        if (sutra_filter_sees(walk->filter, id)) {
            gather(walk, id);
            found++;
        } else {
            hop->others[hop->others_count++] = id;
        }
    }
    return found;
}

/* Passing nodes one hop from `node`, and two where they are few. */
static void expand(struct filtered_walk *walk, uint32_t node)
{
    uint32_t list[SUTRA_NODE_SLOTS_MAX] __attribute__((aligned(SUTRA_CACHE_LINE)));
    struct hop first, second;
    struct sutra_scratch *const scratch = walk->scratch;
    const size_t slots = walk->graph->slots;
    scratch->hops++;
    sutra_node_load(sutra_graph_list(walk->graph, node), slots, list);
    split(walk, list, &first);
    size_t found = gather_passing(walk, &first);
    if (first.passing_count < slots / 2) {
        size_t fresh = 0;
        for (size_t j = 0; j < first.others_count; j++) {
            const uint32_t id = first.others[j];
            first.others[fresh] = id;
            fresh += scratch->visited[id] != scratch->epoch;
        }
        for (size_t j = 0; j < fresh; j++)
            prefetch_list(walk->graph, first.others[j]);
        for (size_t j = 0; j < fresh && found < slots; j++) {
            scratch->visited[first.others[j]] = scratch->epoch;
            scratch->hops++;
            sutra_node_load(sutra_graph_list(walk->graph, first.others[j]), slots, list);
            split(walk, list, &second);
            found += gather_passing(walk, &second);
        }
    }
    take_gathered(walk);
}

bool sutra_graph_search_filtered(const struct sutra_graph *graph, const struct sutra_space *space,
                                 const void *query, size_t ef, const struct sutra_filter *filter,
                                 const uint32_t *seeds, size_t seed_count, uint64_t cost_max,
                                 struct sutra_scratch *scratch)
{
    scratch->pool_count = 0;
    if (graph->count == 0 || graph->entry == SUTRA_NO_ENTRY)
        return true;
    const uint64_t entry = graph->entry;
    uint32_t start = (uint32_t)entry;
    scratch->node_limit = graph->count;
    scratch->upper_limit = graph->upper_count;
    if (entry >> 32)
        start = sutra_graph_upper_node(graph, descend(graph, space, query, entry, 0, scratch));
    const uint8_t epoch = sutra_scratch_new_walk(scratch, scratch->node_limit);
    struct filtered_walk walk = {.graph = graph,
                                 .space = space,
                                 .query = query,
                                 .filter = filter,
                                 .scratch = scratch,
                                 .ef = ef};
    for (size_t j = 0; j < seed_count; j++) {
        if (scratch->visited[seeds[j]] != epoch)
            gather(&walk, seeds[j]);
    }
    if (scratch->visited[start] != epoch && sutra_filter_passes(filter, start))
        gather(&walk, start);
    scratch->visited[start] = epoch;
    expand(&walk, start);
    uint64_t *const pool = scratch->pool;
    bool affordable = true;
    while (affordable && walk.cursor < walk.count) {
        const uint32_t node = sutra_pool_id(pool[walk.cursor]);
        pool[walk.cursor] |= 1;
        expand(&walk, node);
        walk.cursor = next_unexpanded(pool, walk.cursor, walk.count);
        affordable = scratch->distances + SUTRA_HOP_COST * scratch->hops < cost_max;
    }
    scratch->pool_count = walk.count;
    return affordable || walk.cursor == walk.count;
}
