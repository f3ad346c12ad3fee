/* A graph made from the live part of another; see graph.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "levels.h"
#include "reach.h"
#include "repair_lists.h"
#include "tree.h"
#include "workers.h"

struct import {
    const struct sutra_graph *from;
    const uint32_t *map;
    size_t live;
    uint64_t *gone;
    uint32_t *upper_names;
    uint32_t *parents; /* of the tree of `from` */
    uint8_t *reached;  /* with room for either graph */
    uint32_t *queue;
};

static bool is_rising(const struct import *import)
{
    size_t next = 0;
    for (size_t row = 0; row < import->from->count; row++) {
        if (import->map[row] != SUTRA_NO_NODE && import->map[row] != next++)
            return false;
    }
    return next == import->live;
}

static int allocate(struct import *import)
{
    const size_t count = import->from->count;
    import->gone = calloc(count / 64 + 1, sizeof *import->gone);
    import->upper_names = malloc((import->from->upper_count + 1) * sizeof *import->upper_names);
    import->parents = malloc(count * sizeof *import->parents);
    import->reached = malloc(count);
    import->queue = malloc(count * sizeof *import->queue);
    return import->gone && import->upper_names && import->parents && import->reached &&
                   import->queue
               ? SUTRA_OK
               : SUTRA_E_NO_MEMORY;
}

/* The tree of `from`, which after a load nobody has looked for yet. */
static int find_tree(struct import *import)
{
    const struct sutra_graph *from = import->from;
    struct sutra_fault fault;
    size_t found;
    if (from->parents_count < from->count)
        return sutra_tree_find(from, import->parents, import->reached, import->queue, &found,
                               &fault);
    memcpy(import->parents, sutra_tree_parents(from), from->count * sizeof *import->parents);
    return SUTRA_OK;
}

/* Live upper nodes in their old order, with their levels. */
static int copy_uppers(struct import *import, struct sutra_graph *graph)
{
    const struct sutra_graph *from = import->from;
    int status = SUTRA_OK;
    for (size_t upper = 0; status == SUTRA_OK && upper < from->upper_count; upper++) {
        const uint32_t name = import->map[sutra_graph_upper_node(from, upper)];
        import->upper_names[upper] = SUTRA_NO_NODE;
        if (name != SUTRA_NO_NODE)
            status = sutra_level_make(graph, name, sutra_graph_upper_level(from, upper),
                                      &import->upper_names[upper]);
    }
    return status;
}

/* Empty lists, and of the tree what is left of it. */
static void copy_tree(const struct import *import, struct sutra_graph *graph)
{
    uint32_t *parents = sutra_tree_parents(graph);
    memset(sutra_graph_list(graph, 0), 0xff, import->live * graph->slots * sizeof(uint32_t));
    for (size_t row = 0; row < import->from->count; row++) {
        const uint32_t name = import->map[row], parent = import->parents[row];
        import->gone[row / 64] |= (uint64_t)(name == SUTRA_NO_NODE) << row % 64;
        if (name != SUTRA_NO_NODE)
            parents[name] = parent == SUTRA_NO_NODE ? SUTRA_NO_NODE : import->map[parent];
    }
}

/* Where `from` is entered, if that is still there. */
static uint64_t same_entry(const struct import *import)
{
    const uint64_t level = import->from->entry >> 32;
    const uint32_t root = sutra_tree_root(import->from);
    if (root == SUTRA_NO_NODE || import->map[root] == SUTRA_NO_NODE)
        return SUTRA_NO_ENTRY;
    return level << 32 |
           (level ? import->upper_names[(uint32_t)import->from->entry] : import->map[root]);
}

static int prepare(struct import *import, struct sutra_graph *graph,
                   const struct sutra_space *space, unsigned threads)
{
    int status = allocate(import);
    if (status == SUTRA_OK)
        status = find_tree(import);
    if (status == SUTRA_OK)
        status = sutra_planes_ensure(&graph->links, import->live);
    if (status == SUTRA_OK)
        status = sutra_tree_prepare(graph, import->live);
    if (status == SUTRA_OK)
        status = sutra_workers_reserve(graph, space, threads, import->from->count,
                                       SUTRA_REPAIR_CANDIDATES);
    if (status == SUTRA_OK)
        status = copy_uppers(import, graph);
    if (status != SUTRA_OK)
        graph->upper_count = graph->list_count = 0;
    return status;
}

int sutra_graph_import(struct sutra_graph *graph, const struct sutra_space *space,
                       const struct sutra_graph *from, const uint32_t *map, size_t live,
                       unsigned threads)
{
    struct import import = {.from = from, .map = map, .live = live};
    if (graph->count || graph->upper_count || graph->m != from->m || !is_rising(&import))
        return SUTRA_E_ARGUMENT;
    if (live == 0)
        return SUTRA_OK;
    threads = threads ? threads : 1;
    const int status = prepare(&import, graph, space, threads);
    if (status == SUTRA_OK) {
        const struct sutra_repair repair = {.from = from,
                                            .to = graph,
                                            .space = space,
                                            .gone = import.gone,
                                            .names = map,
                                            .upper_names = import.upper_names};
        copy_tree(&import, graph);
        graph->count = live;
        graph->entry = same_entry(&import);
        graph->entry = sutra_level_entry(graph, NULL);
        sutra_repair_lists(&repair, threads);
        sutra_reach_all(graph, space, NULL, import.reached, import.queue);
    }
    free(import.gone);
    free(import.upper_names);
    free(import.parents);
    free(import.reached);
    free(import.queue);
    sutra_graph_release_workers(graph);
    return status;
}
