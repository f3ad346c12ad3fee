/* Life of a graph; see graph.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "graph.h"

void sutra_graph_release_workers(struct sutra_graph *graph)
{
    for (unsigned w = 0; w < graph->worker_count; w++)
        sutra_scratch_deinit(&graph->workers[w]);
    free(graph->workers);
    graph->workers = NULL;
    graph->worker_count = 0;
}

int sutra_graph_init(struct sutra_graph *graph, const struct sutra_graph_options *options)
{
    memset(graph, 0, sizeof *graph);
    if (options->m == 0 || options->m % 8 || options->m > 32 || options->ef_construction == 0)
        return SUTRA_E_CONFIG;
    graph->m = options->m;
    graph->slots = 2 * options->m;
    graph->upper_slots = options->m <= SUTRA_NODE_LINE ? SUTRA_NODE_LINE : 2 * SUTRA_NODE_LINE;
    graph->forward = options->m + options->m / 4;
    graph->ef_construction = options->ef_construction;
    graph->seed = options->seed;
    graph->huge_pages = options->huge_pages;
    const size_t base_bytes[1] = {graph->slots * sizeof(uint32_t)};
    const size_t upper_bytes[SUTRA_UPPER_PLANES] = {sizeof(uint32_t), sizeof(uint32_t), 1};
    const size_t list_bytes[1] = {graph->upper_slots * sizeof(uint32_t)};
    int status = sutra_planes_init(&graph->links, base_bytes, 1, options->huge_pages);
    if (status == SUTRA_OK)
        status =
            sutra_planes_init(&graph->upper, upper_bytes, SUTRA_UPPER_PLANES, SUTRA_HUGE_NEVER);
    if (status == SUTRA_OK)
        status = sutra_planes_init(&graph->upper_links, list_bytes, 1, SUTRA_HUGE_NEVER);
    if (status != SUTRA_OK)
        sutra_graph_deinit(graph);
    return status;
}

void sutra_graph_deinit(struct sutra_graph *graph)
{
    sutra_graph_release_workers(graph);
    sutra_dirty_deinit(&graph->links_dirty);
    sutra_dirty_deinit(&graph->upper_links_dirty);
    sutra_planes_deinit(&graph->links);
    sutra_planes_deinit(&graph->upper);
    sutra_planes_deinit(&graph->upper_links);
    sutra_planes_deinit(&graph->parents);
    memset(graph, 0, sizeof *graph);
}
