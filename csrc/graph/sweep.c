/* Taking dead nodes out of the lists of the living; see graph.h.
 *
 * Readers may stand on dead nodes, so their lists stay, and lead back to the living. All memory is
 * there before the first list changes; from then on nothing can fail.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "levels.h"
#include "reach.h"
#include "repair_lists.h"
#include "tree.h"
#include "workers.h"

struct sweep {
    uint64_t *gone;
    uint64_t *changed, *upper_changed;
    uint8_t *reached;
    uint32_t *queue;
};

static int allocate(struct sweep *sweep, const struct sutra_graph *graph)
{
    const size_t words = graph->count / 64 + 1;
    sweep->gone = calloc(words, sizeof *sweep->gone);
    sweep->changed = calloc(words, sizeof *sweep->changed);
    sweep->upper_changed = calloc(graph->list_count / 64 + 1, sizeof *sweep->upper_changed);
    sweep->reached = malloc(graph->count);
    sweep->queue = malloc(graph->count * sizeof *sweep->queue);
    return sweep->gone && sweep->changed && sweep->upper_changed && sweep->reached && sweep->queue
               ? SUTRA_OK
               : SUTRA_E_NO_MEMORY;
}

/* Those that die now, and those that were vacant. Returns how many nodes are left. */
static size_t find_gone(const struct sutra_graph *graph, const uint64_t *dead, uint64_t *gone_out)
{
    size_t live = 0;
    for (uint32_t row = 0; row < graph->count; row++) {
        const bool gone = sutra_graph_has_row(dead, row) || !sutra_tree_has(graph, row);
        gone_out[row / 64] |= (uint64_t)gone << row % 64;
        live += !gone;
    }
    return live;
}

static void mark(struct sutra_dirty *dirty, const uint64_t *changed)
{
    for (size_t row = 0; row < dirty->sealed_rows; row++) {
        if (sutra_graph_has_row(changed, row))
            sutra_dirty_mark(dirty, row);
    }
}

int sutra_graph_sweep(struct sutra_graph *graph, const struct sutra_space *space,
                      const uint64_t *dead, unsigned threads)
{
    if (graph->count == 0)
        return SUTRA_E_ARGUMENT;
    struct sweep sweep = {0};
    threads = threads ? threads : 1;
    int status = sutra_lists_thaw(graph);
    if (status == SUTRA_OK)
        status = sutra_tree_prepare(graph, graph->count);
    if (status == SUTRA_OK)
        status =
            sutra_workers_reserve(graph, space, threads, graph->count, SUTRA_REPAIR_CANDIDATES);
    if (status == SUTRA_OK)
        status = allocate(&sweep, graph);
    if (status == SUTRA_OK && find_gone(graph, dead, sweep.gone) == 0)
        status = SUTRA_E_ARGUMENT;
    if (status == SUTRA_OK) {
        const struct sutra_repair repair = {.from = graph,
                                            .to = graph,
                                            .space = space,
                                            .gone = sweep.gone,
                                            .changed = sweep.changed,
                                            .upper_changed = sweep.upper_changed};
        sutra_repair_lists(&repair, threads);
        mark(&graph->links_dirty, sweep.changed);
        mark(&graph->upper_links_dirty, sweep.upper_changed);
        graph->entry = sutra_level_entry(graph, sweep.gone);
        sutra_reach_all(graph, space, sweep.gone, sweep.reached, sweep.queue);
    }
    free(sweep.gone);
    free(sweep.changed);
    free(sweep.upper_changed);
    free(sweep.reached);
    free(sweep.queue);
    sutra_graph_release_workers(graph);
    return status;
}
