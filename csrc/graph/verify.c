/* Checking every invariant of a graph, and the cheap subset that search depends on.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "graph.h"
#include "tree.h"

static int fail(struct sutra_fault *fault_out, int status, size_t row, const char *what)
{
    *fault_out = SUTRA_FAULT_NONE;
    fault_out->row = (int64_t)row;
    fault_out->what = what;
    return status;
}

int sutra_graph_check_tables(const struct sutra_graph *graph, struct sutra_fault *fault_out)
{
    size_t lists = 0;
    unsigned top = 0;
    for (size_t upper = 0; upper < graph->upper_count; upper++) {
        const unsigned level = sutra_graph_upper_level(graph, upper);
        const uint32_t first =
            *(const uint32_t *)sutra_planes_row(&graph->upper, SUTRA_UPPER_FIRST_LIST, upper);
        if (level == 0 || level > SUTRA_LEVEL_MAX || first != lists)
            return fail(fault_out, SUTRA_E_GRAPH_LEVEL, upper, "upper node");
        if (sutra_graph_upper_node(graph, upper) >= graph->count)
            return fail(fault_out, SUTRA_E_GRAPH_ID, upper, "upper node");
        lists += level;
        top = level > top ? level : top;
    }
    const uint64_t entry_level = graph->entry >> 32;
    const size_t entry = (uint32_t)graph->entry;
    const bool entry_sound =
        graph->count == 0 || (entry_level ? entry < graph->upper_count &&
                                                sutra_graph_upper_level(graph, entry) == entry_level
                                          : entry < graph->count);
    if (lists != graph->list_count || entry_level != top || !entry_sound)
        return fail(fault_out, SUTRA_E_GRAPH_LEVEL, entry, "entry point");
    return SUTRA_OK;
}

/* One list: ids in range, no self, none twice, sentinel only as suffix. */
static int check_list(const uint32_t *list, size_t slots, size_t limit, size_t self,
                      struct sutra_fault *fault_out, const char *what)
{
    bool ended = false;
    for (size_t s = 0; s < slots; s++) {
        if (list[s] == SUTRA_NO_NODE) {
            ended = true;
            continue;
        }
        if (ended)
            return fail(fault_out, SUTRA_E_GRAPH_SUFFIX, self, what);
        if (list[s] >= limit)
            return fail(fault_out, SUTRA_E_GRAPH_ID, self, what);
        if (list[s] == self)
            return fail(fault_out, SUTRA_E_GRAPH_SELF, self, what);
        for (size_t before = 0; before < s; before++) {
            if (list[before] == list[s])
                return fail(fault_out, SUTRA_E_GRAPH_SUFFIX, self, what);
        }
    }
    return SUTRA_OK;
}

static int check_upper_lists(const struct sutra_graph *graph, struct sutra_fault *fault_out)
{
    for (size_t upper = 0; upper < graph->upper_count; upper++) {
        for (unsigned level = 1; level <= sutra_graph_upper_level(graph, upper); level++) {
            const uint32_t *list = sutra_graph_upper_list(graph, upper, level);
            const int status = check_list(list, graph->upper_slots, graph->upper_count, upper,
                                          fault_out, "upper list");
            if (status != SUTRA_OK)
                return status;
            for (size_t s = 0; s < graph->upper_slots && list[s] != SUTRA_NO_NODE; s++) {
                if (sutra_graph_upper_level(graph, list[s]) < level)
                    return fail(fault_out, SUTRA_E_GRAPH_LEVEL, upper, "upper list");
            }
        }
    }
    return SUTRA_OK;
}

static int check_reach(const struct sutra_graph *graph, struct sutra_fault *fault_out)
{
    const size_t count = graph->count;
    uint32_t *parents = malloc(count * sizeof *parents);
    uint32_t *queue = malloc(count * sizeof *queue);
    uint8_t *reached = malloc(count);
    int status = parents && queue && reached ? SUTRA_OK : SUTRA_E_NO_MEMORY;
    if (status == SUTRA_OK &&
        sutra_tree_search(graph, sutra_tree_root(graph), count, parents, reached, queue) < count) {
        size_t node = 0;
        while (reached[node])
            node++;
        status = fail(fault_out, SUTRA_E_GRAPH_REACH, node, "base list");
    }
    free(parents);
    free(queue);
    free(reached);
    return status;
}

int sutra_graph_verify(const struct sutra_graph *graph, struct sutra_fault *fault_out)
{
    int status = sutra_graph_check_tables(graph, fault_out);
    for (size_t node = 0; status == SUTRA_OK && node < graph->count; node++)
        status = check_list(sutra_graph_list(graph, node), graph->slots, graph->count, node,
                            fault_out, "base list");
    if (status == SUTRA_OK)
        status = check_upper_lists(graph, fault_out);
    if (status == SUTRA_OK && graph->count)
        status = check_reach(graph, fault_out);
    return status;
}
