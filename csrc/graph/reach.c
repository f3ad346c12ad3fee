/* Reachability; see reach.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "prune.h"
#include "reach.h"
#include "tree.h"
#include "walk.h"

static bool contains(const uint32_t *ids, size_t count, uint32_t id)
{
    for (size_t j = 0; j < count; j++) {
        if (ids[j] == id)
            return true;
    }
    return false;
}

/* Where a walk for the scratch's query begins on the base level: at a node that is reached, though
 * upper lists lead to others, too. */
static uint32_t start_of(const struct sutra_graph *graph, const struct sutra_space *space,
                         const uint8_t *reached, struct sutra_scratch *scratch)
{
    const uint64_t entry = graph->entry;
    if (entry >> 32 == 0)
        return (uint32_t)entry;
    const uint32_t row =
        sutra_graph_upper_node(graph, descend(graph, space, scratch->query, entry, 0, scratch));
    return reached[row] ? row : sutra_tree_root(graph);
}

/* Link a node that is not reached to the nearest that are: what is reached leads to nothing else,
 * so that is all a walk finds. */
static void relink(struct sutra_graph *graph, const struct sutra_space *space,
                   const uint8_t *reached, uint32_t node, struct sutra_scratch *scratch)
{
    uint32_t kept[SUTRA_NODE_SLOTS_MAX];
    space->point_query(space, node, scratch->query);
    const uint32_t start = start_of(graph, space, reached, scratch);
    walk_level(graph, space, scratch->query, 0, start, graph->ef_construction, scratch);

    const size_t owners = scratch->pool_count;
    size_t count = owners;
    for (size_t j = 0; j < owners; j++)
        scratch->found[j] = sutra_pool_id(scratch->pool[j]);
    uint32_t *list = sutra_graph_list(graph, node);
    for (size_t s = 0; s < graph->slots && list[s] != SUTRA_NO_NODE; s++) {
        if (!contains(scratch->found, owners, list[s]))
            scratch->found[count++] = list[s];
    }
    sutra_prune_point(space, node, scratch);
    sutra_prune_measure(graph, space, false, scratch->found, count, scratch);
    const size_t chosen =
        sutra_prune_choose(graph, space, false, count, graph->forward, NULL, node, scratch, kept);
    sutra_node_store(list, graph->slots, kept, chosen);
    sutra_dirty_mark(&graph->links_dirty, node);
    sutra_tree_attach(graph, scratch->found, owners, node);
}

void sutra_reach_all(struct sutra_graph *graph, const struct sutra_space *space,
                     const uint64_t *gone, uint8_t *reached, uint32_t *queue)
{
    const size_t count = graph->count;
    struct sutra_scratch *scratch = &graph->workers[0];
    uint32_t *parents = sutra_tree_parents(graph);
    scratch->node_limit = count;
    scratch->upper_limit = graph->upper_count;
    memset(reached, 0, count);
    memset(parents, 0xff, count * sizeof *parents);
    size_t found = sutra_tree_spread(graph, sutra_tree_root(graph), count, parents, reached, queue);
    for (uint32_t node = 0; node < count; node++) {
        if (reached[node] || sutra_graph_has_row(gone, node))
            continue;
        relink(graph, space, reached, node, scratch);
        found += sutra_tree_spread(graph, node, count, parents, reached, queue);
    }
    graph->parents_count = count;
    graph->tree_count = found;
}
