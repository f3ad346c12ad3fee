/* A streamed index with some rows of another: how compaction leaves the dead behind without linking
 * the living anew.
 *
 * Vectors and codes are copied as they are, so that nothing is rounded twice. What was linked stays
 * linked: lists that named rows left behind are repaired (sutra_graph_import).
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

#include "stream.h"

/* Planes of both that hold what a row is. */
static int make_planes(const struct sutra_index *from, struct sutra_index *to, size_t count)
{
    int status = SUTRA_OK;
    for (unsigned p = SUTRA_PLANE_HIGH; p <= SUTRA_PLANE_CORRECTION && status == SUTRA_OK; p++) {
        if (from->planes.plane[p].base)
            status = sutra_planes_revive(&to->planes, p, from->planes.plane[p].row_bytes);
    }
    if (status == SUTRA_OK && !sutra_index_has_originals(from))
        sutra_planes_drop(&to->planes, SUTRA_PLANE_ORIGINAL);
    return status == SUTRA_OK ? sutra_planes_ensure(&to->planes, count) : status;
}

static void copy_rows(const struct sutra_index *from, const struct sutra_row_choice *choice,
                      size_t coded, uint64_t birth, unsigned threads, struct sutra_index *to)
{
    for (unsigned p = SUTRA_PLANE_HIGH; p <= SUTRA_PLANE_CORRECTION; p++) {
        if (from->planes.plane[p].base)
            sutra_row_choice_copy(choice, &from->planes.plane[p], coded, threads,
                                  &to->planes.plane[p]);
    }
    if (sutra_index_has_originals(from))
        sutra_row_choice_copy(choice, &from->planes.plane[SUTRA_PLANE_ORIGINAL], choice->rows,
                              threads, &to->planes.plane[SUTRA_PLANE_ORIGINAL]);
    if (!choice->count)
        return;
    memcpy(sutra_planes_row(&to->planes, SUTRA_PLANE_ID, 0), choice->labels,
           choice->count * sizeof *choice->labels);
    uint64_t *births = sutra_planes_row(&to->planes, SUTRA_PLANE_BIRTH, 0);
    uint64_t *deaths = sutra_planes_row(&to->planes, SUTRA_PLANE_DEATH, 0);
    for (size_t row = 0; row < choice->count; row++) {
        births[row] = birth;
        deaths[row] = SUTRA_ROW_ALIVE;
    }
}

static int copy_graph(const struct sutra_index *from, const struct sutra_row_choice *choice,
                      unsigned threads, struct sutra_index *to)
{
    const size_t nodes = from->graph.count;
    const size_t linked = sutra_row_choice_below(choice, nodes);
    if (linked == 0)
        return SUTRA_OK;
    uint32_t *map = malloc(nodes * sizeof *map);
    if (!map)
        return SUTRA_E_NO_MEMORY;
    sutra_row_choice_map(choice, nodes, SUTRA_NO_NODE, map);
    struct sutra_space space;
    sutra_index_build_space(to, &space);
    const int status = sutra_graph_import(&to->graph, &space, &from->graph, map, linked, threads);
    free(map);
    if (status == SUTRA_OK) {
        sutra_graph_publish(&to->graph);
        to->linked = true;
    }
    return status;
}

int sutra_stream_copy(const struct sutra_index *from, const struct sutra_row_choice *choice,
                      uint64_t birth, unsigned threads, struct sutra_index **copy_out)
{
    struct sutra_index *to;
    struct sutra_fault fault;
    int status = sutra_stream_new(from->kernels, &from->options, &to, &fault);
    if (status != SUTRA_OK)
        return status;
    const bool has_codes = sutra_index_has_codes(from);
    size_t coded = 0;
    if (has_codes)
        coded = sutra_index_has_originals(from) ? from->stream.coded : choice->rows;
    status = make_planes(from, to, choice->count);
    if (status == SUTRA_OK) {
        if (has_codes)
            sutra_quantizer_copy(&from->quantizer, &to->quantizer);
        copy_rows(from, choice, coded, birth, threads, to);
        to->fitted_count = from->fitted_count < choice->count ? from->fitted_count : choice->count;
        to->count = choice->count;
        to->stream.coded = sutra_row_choice_below(choice, coded);
        status = copy_graph(from, choice, threads, to);
    }
    if (status != SUTRA_OK) {
        sutra_index_free(to);
        return status;
    }
    *copy_out = to;
    return SUTRA_OK;
}
