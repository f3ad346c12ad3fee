/* Upper nodes; see levels.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "levels.h"
#include "tree.h"
#include "../base/prng.h"

unsigned sutra_level_draw(const struct sutra_graph *graph, uint32_t row)
{
    const uint32_t threshold = (uint32_t)(0x100000000u / graph->m);
    unsigned level = 0;
    while (level < SUTRA_LEVEL_MAX &&
           (uint32_t)sutra_random_at(graph->seed, (uint64_t)row << 5 | level) < threshold)
        level++;
    return level;
}

int sutra_level_make(struct sutra_graph *graph, uint32_t row, unsigned level, uint32_t *upper_out)
{
    const size_t upper = graph->upper_count, first = graph->list_count;
    int status = sutra_planes_ensure(&graph->upper, upper + 1);
    if (status == SUTRA_OK)
        status = sutra_planes_ensure(&graph->upper_links, first + level);
    if (status != SUTRA_OK)
        return status;
    memset(sutra_planes_row(&graph->upper_links, 0, first), 0xff,
           level * graph->upper_slots * sizeof(uint32_t));
    *(uint32_t *)sutra_planes_row(&graph->upper, SUTRA_UPPER_NODE, upper) = row;
    *(uint32_t *)sutra_planes_row(&graph->upper, SUTRA_UPPER_FIRST_LIST, upper) = (uint32_t)first;
    *(uint8_t *)sutra_planes_row(&graph->upper, SUTRA_UPPER_LEVEL, upper) = (uint8_t)level;
    graph->upper_count = upper + 1;
    graph->list_count = first + level;
    *upper_out = (uint32_t)upper;
    return SUTRA_OK;
}

/* The last upper node whose first list is not beyond it. */
uint32_t sutra_level_owner(const struct sutra_graph *graph, uint32_t list)
{
    size_t low = 0, high = graph->upper_count - 1;
    while (low < high) {
        const size_t middle = (low + high + 1) / 2;
        if (sutra_level_list(graph, (uint32_t)middle, 1) <= list)
            low = middle;
        else
            high = middle - 1;
    }
    return (uint32_t)low;
}

static int compare_pairs(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

int sutra_levels_of(const struct sutra_graph *graph, const uint64_t *rows, uint64_t **pairs_out,
                    size_t *count_out)
{
    size_t count = 0;
    for (size_t upper = 0; upper < graph->upper_count; upper++)
        count += sutra_graph_has_row(rows, sutra_graph_upper_node(graph, upper));
    uint64_t *pairs = malloc((count + 1) * sizeof *pairs);
    if (!pairs)
        return SUTRA_E_NO_MEMORY;
    count = 0;
    for (size_t upper = 0; upper < graph->upper_count; upper++) {
        const uint32_t row = sutra_graph_upper_node(graph, upper);
        if (sutra_graph_has_row(rows, row))
            pairs[count++] = (uint64_t)row << 32 | upper;
    }
    qsort(pairs, count, sizeof *pairs, compare_pairs);
    *pairs_out = pairs;
    *count_out = count;
    return SUTRA_OK;
}

uint32_t sutra_level_find(const uint64_t *pairs, size_t count, uint32_t row)
{
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (pairs[middle] >> 32 < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && pairs[low] >> 32 == row ? (uint32_t)pairs[low] : SUTRA_NO_NODE;
}

uint64_t sutra_level_entry(const struct sutra_graph *graph, const uint64_t *dead)
{
    const uint32_t root = sutra_tree_root(graph);
    if (root != SUTRA_NO_NODE && !sutra_graph_has_row(dead, root))
        return graph->entry;
    uint64_t level = 0, entry = 0;
    for (size_t upper = 0; upper < graph->upper_count; upper++) {
        if (sutra_graph_upper_level(graph, upper) > level &&
            !sutra_graph_has_row(dead, sutra_graph_upper_node(graph, upper))) {
            level = sutra_graph_upper_level(graph, upper);
            entry = upper;
        }
    }
    if (level > 0)
        return level << 32 | entry;
    for (size_t row = 0; row < graph->count; row++) {
        if (!sutra_graph_has_row(dead, row))
            return row;
    }
    return SUTRA_NO_ENTRY;
}
