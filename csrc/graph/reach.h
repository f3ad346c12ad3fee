/* Reachability: a spanning tree over whatever lists there are, and edges to what they leave out.
 *
 * Internal to graph/. Threading: the writer alone, after sutra_workers_reserve.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_GRAPH_REACH_H
#define SUTRA_GRAPH_REACH_H

#include "graph.h"

/* Find parents anew from the entry, which is not gone, and make every node that is not gone
 * reachable. No list of such a node names one that is gone. reached and queue have room for
 * count. */
void sutra_reach_all(struct sutra_graph *graph, const struct sutra_space *space,
                     const uint64_t *gone, uint8_t *reached, uint32_t *queue);

#endif
