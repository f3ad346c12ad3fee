/* The spanning tree that keeps every node reachable.
 *
 * parents[n] is a node whose base list contains n; the root is the base node of the entry
 * point. Pruning never drops a list's children (prune.h), so following parents backwards
 * proves a path from the entry point to every node. The tree lives in the writer's memory
 * only and is found again by a breadth-first search after a load. Vacant rows have no part in it.
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

/* The base node the entry word names; SUTRA_NO_NODE for a graph without nodes. */
uint32_t sutra_tree_root(const struct sutra_graph *graph);

/* Is the row linked and not vacant? For rows below parents_count. */
SUTRA_INLINE bool sutra_tree_has(const struct sutra_graph *graph, uint32_t row)
{
    return sutra_tree_parents(graph)[row] != SUTRA_NO_NODE || row == sutra_tree_root(graph);
}

/* Have parents for the graph's nodes and room for `rows`. SUTRA_E_NO_MEMORY, SUTRA_E_CAPACITY. */
int sutra_tree_prepare(struct sutra_graph *graph, size_t rows);

/* Give a freshly linked node its parent: a neighbour that kept the edge back to it, or one
 * that is made to. */
void sutra_tree_adopt(struct sutra_graph *graph, uint32_t node);

/* Give a node its parent: the first of `owners` that can take it, or a node below the first. */
void sutra_tree_attach(struct sutra_graph *graph, const uint32_t *owners, size_t count,
                       uint32_t node);

/* Make `node` the root; the old root becomes its child. */
void sutra_tree_reroot(struct sutra_graph *graph, uint32_t node, uint32_t old_root);

/* Breadth-first search over base lists below `limit` from `start`, which is not reached yet,
 * through nodes not reached yet: sets reached[n] and parents_out[n] for every node found but the
 * parent of start. queue has room for limit. Returns how many were found. */
size_t sutra_tree_spread(const struct sutra_graph *graph, uint32_t start, size_t limit,
                         uint32_t *parents_out, uint8_t *reached, uint32_t *queue);

/* Check all of a graph but which of its rows may be vacant, and find its tree: parents_out (for a
 * node out of the tree and the root SUTRA_NO_NODE), reached_out and queue have room for count. */
int sutra_tree_find(const struct sutra_graph *graph, uint32_t *parents_out, uint8_t *reached_out,
                    uint32_t *queue, size_t *found_out, struct sutra_fault *fault_out);

#endif
