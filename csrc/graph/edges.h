/* Edges turned round: collected as target and source, sorted, grouped by target.
 *
 * Internal to graph/. Ownership: _deinit frees. Threading: the writer alone. Errors:
 * SUTRA_E_NO_MEMORY from _reserve.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_GRAPH_EDGES_H
#define SUTRA_GRAPH_EDGES_H

#include "../base/config.h"

struct sutra_edges {
    uint64_t *edges; /* target list << 32 | source */
    uint64_t *spare;
    size_t count, room;
    uint32_t *groups; /* first edge of every target, and the end */
    size_t group_count;
};

void sutra_edges_deinit(struct sutra_edges *edges);

/* Room for `count` edges; those there were are gone. */
int sutra_edges_reserve(struct sutra_edges *edges, size_t count);

/* Sort the edges by target, then source, and find the groups. */
void sutra_edges_group(struct sutra_edges *edges);

SUTRA_INLINE void sutra_edges_add(struct sutra_edges *edges, uint32_t target, uint32_t source)
{
    edges->edges[edges->count++] = (uint64_t)target << 32 | source;
}

/* The target of a group, and how many edges it has. */
SUTRA_INLINE uint32_t sutra_edges_target(const struct sutra_edges *edges, size_t group)
{
    return (uint32_t)(edges->edges[edges->groups[group]] >> 32);
}

SUTRA_INLINE size_t sutra_edges_size(const struct sutra_edges *edges, size_t group)
{
    return edges->groups[group + 1] - edges->groups[group];
}

#endif
