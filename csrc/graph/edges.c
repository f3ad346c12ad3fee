/* Edges by target; see edges.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "edges.h"
#include "../base/status.h"

void sutra_edges_deinit(struct sutra_edges *edges)
{
    free(edges->edges);
    free(edges->spare);
    free(edges->groups);
    memset(edges, 0, sizeof *edges);
}

int sutra_edges_reserve(struct sutra_edges *edges, size_t count)
{
    edges->count = edges->group_count = 0;
    if (count <= edges->room)
        return SUTRA_OK;
    const size_t room = count + count / 2 + 64;
    sutra_edges_deinit(edges);
    edges->edges = malloc(room * sizeof *edges->edges);
    edges->spare = malloc(room * sizeof *edges->spare);
    edges->groups = malloc((room + 1) * sizeof *edges->groups);
    if (!edges->edges || !edges->spare || !edges->groups) {
        sutra_edges_deinit(edges);
        return SUTRA_E_NO_MEMORY;
    }
    edges->room = room;
    return SUTRA_OK;
}

/* Stable radix sort, a byte at a time; bytes that are equal everywhere are skipped. */
static void sort_edges(struct sutra_edges *edges)
{
    const size_t count = edges->count;
    uint64_t all_or = 0, all_and = ~(uint64_t)0;
    for (size_t e = 0; e < count; e++) {
        all_or |= edges->edges[e];
        all_and &= edges->edges[e];
    }
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if (((all_or ^ all_and) >> shift & 0xff) == 0)
            continue;
        size_t starts[257] = {0};
        for (size_t e = 0; e < count; e++)
            starts[(edges->edges[e] >> shift & 0xff) + 1]++;
        for (size_t byte = 0; byte < 256; byte++)
            starts[byte + 1] += starts[byte];
        for (size_t e = 0; e < count; e++)
            edges->spare[starts[edges->edges[e] >> shift & 0xff]++] = edges->edges[e];
        uint64_t *const sorted = edges->spare;
        edges->spare = edges->edges;
        edges->edges = sorted;
    }
}

void sutra_edges_group(struct sutra_edges *edges)
{
    sort_edges(edges);
    edges->group_count = 0;
    for (size_t e = 0; e < edges->count; e++) {
        if (e == 0 || edges->edges[e] >> 32 != edges->edges[e - 1] >> 32)
            edges->groups[edges->group_count++] = (uint32_t)e;
    }
    edges->groups[edges->group_count] = (uint32_t)edges->count;
}
