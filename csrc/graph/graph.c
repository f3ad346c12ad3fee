/* Life of a graph; see graph.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "levels.h"
#include "tree.h"
#include "workers.h"

void sutra_graph_release_workers(struct sutra_graph *graph)
{
    for (unsigned w = 0; w < graph->worker_count; w++)
        sutra_scratch_deinit(&graph->workers[w]);
    free(graph->workers);
    graph->workers = NULL;
    graph->worker_count = 0;
}

int sutra_workers_reserve(struct sutra_graph *graph, const struct sutra_space *space,
                          unsigned threads, size_t rows, size_t candidates)
{
    const size_t ef = graph->ef_construction, least = 2 * (size_t)SUTRA_NODE_SLOTS_MAX + ef;
    if (graph->worker_count < threads) {
        struct sutra_scratch *workers = realloc(graph->workers, threads * sizeof *graph->workers);
        if (!workers)
            return SUTRA_E_NO_MEMORY;
        graph->workers = workers;
        while (graph->worker_count < threads)
            sutra_scratch_init(&workers[graph->worker_count++]);
    }
    for (unsigned w = 0; w < threads; w++) {
        int status = sutra_scratch_reserve(&graph->workers[w], rows, ef);
        if (status == SUTRA_OK)
            status = sutra_scratch_reserve_build(&graph->workers[w], space->query_bytes,
                                                 space->exact_bytes,
                                                 candidates > least ? candidates : least);
        if (status != SUTRA_OK)
            return status;
        graph->workers[w].upper_limit = graph->upper_count;
    }
    return SUTRA_OK;
}

int sutra_lists_thaw(struct sutra_graph *graph)
{
    struct sutra_plane *const links = &graph->links.plane[0];
    struct sutra_plane *const upper_links = &graph->upper_links.plane[0];
    const int status = sutra_arena_commit(&links->arena, graph->count * links->row_bytes);
    if (status != SUTRA_OK)
        return status;
    return sutra_arena_commit(&upper_links->arena, graph->list_count * upper_links->row_bytes);
}

static void clear_list(uint32_t *list, size_t slots, struct sutra_dirty *dirty, size_t number)
{
    if (list[0] == SUTRA_NO_NODE)
        return;
    sutra_node_store(list, slots, NULL, 0);
    sutra_dirty_mark(dirty, number);
}

int sutra_graph_clear_nodes(struct sutra_graph *graph, const uint64_t *dead)
{
    const int status = sutra_lists_thaw(graph);
    if (status != SUTRA_OK)
        return status;
    const uint32_t root = sutra_tree_root(graph);
    const bool known = graph->parents_count == graph->count;
    if (root != SUTRA_NO_NODE && sutra_graph_has_row(dead, root)) {
        graph->entry = SUTRA_NO_ENTRY;
        graph->tree_count = 0;
    }
    for (size_t row = 0; row < graph->count; row++) {
        if (!sutra_graph_has_row(dead, row))
            continue;
        clear_list(sutra_graph_list(graph, row), graph->slots, &graph->links_dirty, row);
        if (known && graph->count)
            sutra_tree_parents(graph)[row] = SUTRA_NO_NODE;
    }
    for (uint32_t upper = 0; upper < graph->upper_count; upper++) {
        if (!sutra_graph_has_row(dead, sutra_graph_upper_node(graph, upper)))
            continue;
        for (unsigned level = 1; level <= sutra_graph_upper_level(graph, upper); level++)
            clear_list(sutra_graph_upper_list(graph, upper, level), graph->upper_slots,
                       &graph->upper_links_dirty, sutra_level_list(graph, upper, level));
    }
    return SUTRA_OK;
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
