/* Searching: descend, then walk the base level.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "graph.h"
#include "walk.h"

void sutra_graph_search(const struct sutra_graph *graph, const struct sutra_space *space,
                        const void *query, size_t ef, struct sutra_scratch *scratch)
{
    scratch->pool_count = 0;
    if (graph->count == 0 || graph->entry == SUTRA_NO_ENTRY)
        return;
    const uint64_t entry = graph->entry;
    uint32_t start = (uint32_t)entry;
    scratch->node_limit = graph->count;
    scratch->upper_limit = graph->upper_count;
    if (entry >> 32)
        start = sutra_graph_upper_node(graph, descend(graph, space, query, entry, 0, scratch));
    walk_level(graph, space, query, 0, start, ef, scratch);
}
