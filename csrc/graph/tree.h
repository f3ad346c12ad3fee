/* The spanning tree that keeps every node reachable.
 *
 * parents[n] is a node whose base list contains n; the root is the base node of the entry
 * point. Pruning never drops a list's children (prune.h), so following parents backwards
 * proves a path from the entry point to every node. The tree lives in the writer's memory
 * only and is found again by a breadth-first search after a load.
 *
 * Internal to graph/. Threading: the writer alone.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_GRAPH_TREE_H
#define SUTRA_GRAPH_TREE_H

#include "graph.h"

SUTRA_INLINE uint32_t *sutra_tree_parents(const struct sutra_graph *graph)
{
    return sutra_planes_row(&graph->parents, 0, 0);
}

/* The base node the entry word names; SUTRA_NO_NODE for an empty graph. */
uint32_t sutra_tree_root(const struct sutra_graph *graph);

/* Have parents for the graph's nodes and room for `rows`. SUTRA_E_NO_MEMORY, SUTRA_E_CAPACITY. */
int sutra_tree_prepare(struct sutra_graph *graph, size_t rows);

/* Give a freshly linked node its parent: a neighbour that kept the edge back to it, or one
 * that is made to. */
void sutra_tree_adopt(struct sutra_graph *graph, uint32_t node);

/* Make `node` the root; the old root becomes its child. */
void sutra_tree_reroot(struct sutra_graph *graph, uint32_t node, uint32_t old_root);

/* Breadth-first search over base lists below `limit`: parents_out[n] for every node reached
 * from root (the root's own is SUTRA_NO_NODE), queue has room for limit. Returns how many. */
size_t sutra_tree_search(const struct sutra_graph *graph, uint32_t root, size_t limit,
                         uint32_t *parents_out, uint8_t *reached, uint32_t *queue);

#endif
