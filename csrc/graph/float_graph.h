/* A graph over shared float32 vectors by squared Euclidean distance, with its own lock.
 *
 * The parts of the index put together in the simplest way: no codes, no rerank, row numbers
 * for ids. It holds a reference to its vectors.
 *
 * Ownership: _new, then _free. Threading: every function but _free from any thread; searches
 * and look-ups share a read lock, _link takes it alone. _close waits for calls in flight; later
 * calls return SUTRA_E_CLOSED. Errors: as named; on failure nothing has changed.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_GRAPH_FLOAT_GRAPH_H
#define SUTRA_GRAPH_FLOAT_GRAPH_H

#include "graph.h"
#include "../vectors/vectors.h"

struct sutra_float_graph;

/* SUTRA_E_CONFIG, SUTRA_E_NO_MEMORY. */
int sutra_float_graph_new(const struct sutra_kernels *kernels, struct sutra_vectors *vectors,
                          uint32_t m, uint32_t ef_construction, uint64_t seed,
                          struct sutra_float_graph **graph_out);
void sutra_float_graph_close(struct sutra_float_graph *graph);
void sutra_float_graph_free(struct sutra_float_graph *graph);

/* Link the vectors below `limit` that are not linked yet, on at most `threads` threads. */
int sutra_float_graph_link(struct sutra_float_graph *graph, size_t limit, unsigned threads);

/* The k nearest of every query by a walk of width max(ef, k), ascending: rows_out and
 * distances_out are count x k, padded with -1 and infinity. SUTRA_E_VECTOR names the query. */
int sutra_float_graph_search(struct sutra_float_graph *graph, const float *queries, size_t stride,
                             size_t count, size_t k, size_t ef, unsigned threads, int64_t *rows_out,
                             float *distances_out, struct sutra_fault *fault_out);

struct sutra_float_graph_shape {
    size_t count;    /* linked nodes */
    unsigned levels; /* 0 for an empty graph */
    int64_t entry;   /* the node every walk starts from, or -1 */
};

int sutra_float_graph_shape(struct sutra_float_graph *graph,
                            struct sutra_float_graph_shape *shape_out);

/* The highest level of a node. Looks through the upper nodes. SUTRA_E_NOT_FOUND. */
int sutra_float_graph_level(struct sutra_float_graph *graph, size_t node, unsigned *level_out);
/* A node's neighbours on a level, as nodes: at most SUTRA_NODE_SLOTS_MAX. SUTRA_E_NOT_FOUND
 * where there is no such node or it is not on that level. */
int sutra_float_graph_neighbours(struct sutra_float_graph *graph, size_t node, unsigned level,
                                 int64_t *nodes_out, size_t *count_out);

/* sutra_graph_verify under the lock. */
int sutra_float_graph_verify(struct sutra_float_graph *graph, struct sutra_fault *fault_out);

#endif
