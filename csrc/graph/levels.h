/* Upper nodes: who is one, who owns an upper list, where walks enter.
 *
 * A new row's level is drawn from the seed and its number. An upper node stays with its row when
 * that becomes vacant, so a recycled row has the level that its upper node has, or none.
 *
 * Internal to graph/. Threading: the writer alone. Errors: SUTRA_E_NO_MEMORY, SUTRA_E_CAPACITY.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_GRAPH_LEVELS_H
#define SUTRA_GRAPH_LEVELS_H

#include "graph.h"

/* Geometric with ratio 1/m, from integers alone. */
unsigned sutra_level_draw(const struct sutra_graph *graph, uint32_t row);

/* A new upper node with empty lists, the last in the tables. */
int sutra_level_make(struct sutra_graph *graph, uint32_t row, unsigned level, uint32_t *upper_out);

/* The number of an upper node's list on a level, among all upper lists. */
SUTRA_INLINE uint32_t sutra_level_list(const struct sutra_graph *graph, uint32_t upper,
                                       unsigned level)
{
    return *(const uint32_t *)sutra_planes_row(&graph->upper, SUTRA_UPPER_FIRST_LIST, upper) +
           level - 1;
}

/* The upper node that owns an upper list. */
uint32_t sutra_level_owner(const struct sutra_graph *graph, uint32_t list);

/* The upper nodes of the rows whose bits are set: row << 32 | upper node, ascending; freed by the
 * caller. */
int sutra_levels_of(const struct sutra_graph *graph, const uint64_t *rows, uint64_t **pairs_out,
                    size_t *count_out);
/* The upper node of a row among such pairs, or SUTRA_NO_NODE. */
uint32_t sutra_level_find(const uint64_t *pairs, size_t count, uint32_t row);

/* An entry for walks that is not dead: the entry there is if it will do, else the first of the
 * highest upper nodes, else the first base node. SUTRA_NO_ENTRY if all are dead. */
uint64_t sutra_level_entry(const struct sutra_graph *graph, const uint64_t *dead);

#endif
