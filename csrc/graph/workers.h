/* Room for the writer to work in, kept in the graph between calls.
 *
 * Internal to graph/. Threading: the writer alone. Errors: SUTRA_E_NO_MEMORY, SUTRA_E_CAPACITY.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_GRAPH_WORKERS_H
#define SUTRA_GRAPH_WORKERS_H

#include "graph.h"

/* A scratch for each thread, for walks of the construction's width over `rows` rows and for pruning
 * `candidates` candidates, or those of a walk and two lists. */
int sutra_workers_reserve(struct sutra_graph *graph, const struct sutra_space *space,
                          unsigned threads, size_t rows, size_t candidates);

/* Make every list that there is writable: those of a file are mapped read-only. */
int sutra_lists_thaw(struct sutra_graph *graph);

#endif
