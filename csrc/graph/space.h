/* What a graph needs to know about the vectors it links.
 *
 * The graph never sees a vector. A walk asks for keys (lower is nearer, any float scale that
 * orders by distance to the query) of a node's unseen neighbours in one call; pruning asks for
 * rows in an exact form that it can hold side by side and compare. There is one indirect call
 * a hop, none a pair.
 *
 * Threading: const; every callback may run on any thread. Callbacks cannot fail.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_GRAPH_SPACE_H
#define SUTRA_GRAPH_SPACE_H

#include "../simd/kernels.h"

struct sutra_space {
    const struct sutra_kernels *kernels;
    const void *context;

    /* walking */
    const uint8_t *rows; /* what keys() reads, for prefetching */
    size_t row_stride;
    size_t row_bytes;
    const float *corrections; /* floats a row that keys() reads too, or NULL */
    size_t correction_floats;
    void (*keys)(const struct sutra_space *space, const void *query, const uint32_t *ids,
                 size_t count, float *keys_out);

    /* building */
    size_t query_bytes; /* of a query made by point_query */
    void (*point_query)(const struct sutra_space *space, uint32_t id, void *query_out);
    size_t exact_bytes; /* of a row made by exact_row: a multiple of 64 */
    void (*exact_row)(const struct sutra_space *space, uint32_t id, void *row_out);
    void (*prefetch_exact)(const struct sutra_space *space, uint32_t id); /* for exact_row */
    /* squared distances of one exact row to `count` exact rows that lie exact_bytes apart */
    void (*exact_distances)(const struct sutra_space *space, const void *row, const void *rows,
                            size_t count, float *distances_out);
};

#endif
