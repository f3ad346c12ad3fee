/* Checking every invariant of a graph, and the cheap subset that search depends on.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "tree.h"

static int fail(struct sutra_fault *fault_out, int status, size_t row, const char *what)
{
    *fault_out = SUTRA_FAULT_NONE;
    fault_out->row = (int64_t)row;
    fault_out->what = what;
    return status;
}

static int check_uppers(const struct sutra_graph *graph, struct sutra_fault *fault_out)
{
    size_t lists = 0;
    for (size_t upper = 0; upper < graph->upper_count; upper++) {
        const unsigned level = sutra_graph_upper_level(graph, upper);
        const uint32_t first =
            *(const uint32_t *)sutra_planes_row(&graph->upper, SUTRA_UPPER_FIRST_LIST, upper);
        if (level == 0 || level > SUTRA_LEVEL_MAX || first != lists)
            return fail(fault_out, SUTRA_E_GRAPH_LEVEL, upper, "upper node");
        if (sutra_graph_upper_node(graph, upper) >= graph->count)
            return fail(fault_out, SUTRA_E_GRAPH_ID, upper, "upper node");
        lists += level;
    }
    return lists == graph->list_count
               ? SUTRA_OK
               : fail(fault_out, SUTRA_E_GRAPH_LEVEL, graph->list_count, "entry point");
}

/* Upper nodes of more levels may be vacant. */
static int check_entry(const struct sutra_graph *graph, struct sutra_fault *fault_out)
{
    const uint64_t level = graph->entry >> 32;
    const size_t entry = (uint32_t)graph->entry;
    const bool sound =
        graph->count == 0 ||
        (level ? entry < graph->upper_count && sutra_graph_upper_level(graph, entry) == level
               : entry < graph->count);
    return sound ? SUTRA_OK : fail(fault_out, SUTRA_E_GRAPH_LEVEL, entry, "entry point");
}

int sutra_graph_check_tables(const struct sutra_graph *graph, struct sutra_fault *fault_out)
{
    const int status = check_uppers(graph, fault_out);
    return status == SUTRA_OK ? check_entry(graph, fault_out) : status;
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

/* What is not in the tree has empty lists, and no upper list names it; base lists of nodes in the
 * tree cannot. */
static int check_vacant(const struct sutra_graph *graph, const uint8_t *reached,
                        struct sutra_fault *fault_out)
{
    for (size_t row = 0; row < graph->count; row++) {
        if (!reached[row] && sutra_graph_list(graph, row)[0] != SUTRA_NO_NODE)
            return fail(fault_out, SUTRA_E_GRAPH_REACH, row, "base list");
    }
    for (size_t upper = 0; upper < graph->upper_count; upper++) {
        const bool vacant = !reached[sutra_graph_upper_node(graph, upper)];
        for (unsigned level = 1; level <= sutra_graph_upper_level(graph, upper); level++) {
            const uint32_t *list = sutra_graph_upper_list(graph, upper, level);
            for (size_t s = 0; s < graph->upper_slots && list[s] != SUTRA_NO_NODE; s++) {
                if (vacant || !reached[sutra_graph_upper_node(graph, list[s])])
                    return fail(fault_out, SUTRA_E_GRAPH_REACH, upper, "upper list");
            }
        }
    }
    return SUTRA_OK;
}

int sutra_tree_find(const struct sutra_graph *graph, uint32_t *parents_out, uint8_t *reached_out,
                    uint32_t *queue, size_t *found_out, struct sutra_fault *fault_out)
{
    int status = graph->entry == SUTRA_NO_ENTRY ? check_uppers(graph, fault_out)
                                                : sutra_graph_check_tables(graph, fault_out);
    for (size_t node = 0; status == SUTRA_OK && node < graph->count; node++)
        status = check_list(sutra_graph_list(graph, node), graph->slots, graph->count, node,
                            fault_out, "base list");
    if (status == SUTRA_OK)
        status = check_upper_lists(graph, fault_out);
    if (status != SUTRA_OK)
        return status;
    const uint32_t root = sutra_tree_root(graph);
    memset(reached_out, 0, graph->count);
    memset(parents_out, 0xff, graph->count * sizeof *parents_out);
    *found_out = 0;
    if (root != SUTRA_NO_NODE)
        *found_out = sutra_tree_spread(graph, root, graph->count, parents_out, reached_out, queue);
    return check_vacant(graph, reached_out, fault_out);
}

int sutra_graph_verify(const struct sutra_graph *graph, const uint64_t *vacant,
                       struct sutra_fault *fault_out)
{
    const size_t count = graph->count;
    size_t found;
    uint32_t *parents = malloc((count + 1) * sizeof *parents);
    uint32_t *queue = malloc((count + 1) * sizeof *queue);
    uint8_t *reached = malloc(count + 1);
    int status = SUTRA_E_NO_MEMORY;
    if (parents && queue && reached)
        status = sutra_tree_find(graph, parents, reached, queue, &found, fault_out);
    for (size_t row = 0; status == SUTRA_OK && row < count; row++) {
        if (reached[row] == sutra_graph_has_row(vacant, row))
            status = fail(fault_out, SUTRA_E_GRAPH_REACH, row, "base list");
    }
    free(parents);
    free(queue);
    free(reached);
    return status;
}
