/* Some rows of a front as the rows of another index, close together: how an index and a store leave
 * dead rows behind without linking the living anew.
 *
 * Vectors and codes are copied as they are, so that nothing is rounded twice. What was linked stays
 * linked: lists that named rows left behind are repaired (sutra_graph_import).
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <stdlib.h>

/* Planes that hold what a vector is. */
static int make_planes(const struct sutra_front *from, size_t count, struct sutra_front *to)
{
    int status = SUTRA_OK;
    for (unsigned p = SUTRA_PLANE_HIGH; p <= SUTRA_PLANE_CORRECTION && status == SUTRA_OK; p++) {
        if (from->planes.plane[p].base)
            status = sutra_planes_revive(&to->planes, p, from->planes.plane[p].row_bytes);
    }
    if (status == SUTRA_OK && !sutra_front_has_originals(from))
        sutra_planes_drop(&to->planes, SUTRA_PLANE_ORIGINAL);
    return status == SUTRA_OK ? sutra_planes_ensure(&to->planes, count) : status;
}

static int copy_graph(const struct sutra_front *from, const struct sutra_row_choice *choice,
                      unsigned threads, struct sutra_front *to)
{
    const size_t nodes = from->graph.count;
    const size_t linked = nodes ? sutra_row_choice_below(choice, nodes) : 0;
    if (linked == 0)
        return SUTRA_OK;
    uint32_t *map = malloc(nodes * sizeof *map);
    if (!map)
        return SUTRA_E_NO_MEMORY;
    sutra_row_choice_map(choice, nodes, SUTRA_NO_NODE, map);
    struct sutra_space space;
    sutra_front_build_space(to, &space);
    const int status = sutra_graph_import(&to->graph, &space, &from->graph, map, linked, threads);
    free(map);
    to->linked = status == SUTRA_OK;
    return status;
}

int sutra_front_gather(const struct sutra_front *from, const struct sutra_row_choice *choice,
                       size_t coded, unsigned threads, struct sutra_front *to)
{
    const int status = make_planes(from, choice->count, to);
    if (status != SUTRA_OK)
        return status;
    if (sutra_front_has_codes(from))
        sutra_quantizer_copy(&from->quantizer, &to->quantizer);
    for (unsigned p = SUTRA_PLANE_HIGH; p <= SUTRA_PLANE_CORRECTION; p++) {
        if (from->planes.plane[p].base)
            sutra_row_choice_copy(choice, &from->planes.plane[p], coded, threads,
                                  &to->planes.plane[p]);
    }
    if (sutra_front_has_originals(from))
        sutra_row_choice_copy(choice, &from->planes.plane[SUTRA_PLANE_ORIGINAL], choice->rows,
                              threads, &to->planes.plane[SUTRA_PLANE_ORIGINAL]);
    /* A file says no more rows were fitted to than there are. */
    to->fitted_count = from->fitted_count < choice->count ? from->fitted_count : choice->count;
    return copy_graph(from, choice, threads, to);
}
