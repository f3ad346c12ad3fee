/* Choosing neighbours: the diversity heuristic (HNSW, algorithm 4) on exact rows.
 *
 * A candidate is kept unless some already kept one is clearly nearer to it than the point is;
 * a short list is then filled with the nearest of the others (keepPrunedConnections of the
 * paper). Of two identical candidates only the first is kept.
 *
 * Internal to graph/. Threading: the scratch belongs to the caller's thread.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_GRAPH_PRUNE_H
#define SUTRA_GRAPH_PRUNE_H

#include "graph.h"

/* The row of a base (upper = false) or upper node. */
SUTRA_INLINE uint32_t sutra_node_row(const struct sutra_graph *graph, bool upper, uint32_t id)
{
    return upper ? sutra_graph_upper_node(graph, id) : id;
}

/* Load the point whose neighbours are to be chosen. */
void sutra_prune_point(const struct sutra_space *space, uint32_t row,
                       struct sutra_scratch *scratch);

/* Measure ids[0 .. count-1] against the point; scratch->candidates then holds them ascending. */
void sutra_prune_measure(const struct sutra_graph *graph, const struct sutra_space *space,
                         bool upper, const uint32_t *ids, size_t count,
                         struct sutra_scratch *scratch);

/* Keep at most `limit` of the count measured candidates, nearest first, into kept_out. Those
 * whose parent is `point` are always kept (parents NULL: there are none). */
size_t sutra_prune_choose(const struct sutra_graph *graph, const struct sutra_space *space,
                          bool upper, size_t count, size_t limit, const uint32_t *parents,
                          uint32_t point, struct sutra_scratch *scratch, uint32_t *kept_out);

#endif
