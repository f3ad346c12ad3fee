/* A streamed index with some rows of another; see stream.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <string.h>

#include "stream.h"

static void write_lives(const struct sutra_row_choice *choice, uint64_t birth,
                        struct sutra_front *to)
{
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

int sutra_stream_copy(const struct sutra_index *from, const struct sutra_row_choice *choice,
                      uint64_t birth, unsigned threads, struct sutra_index **copy_out)
{
    const struct sutra_front *old = &from->now;
    struct sutra_index *to;
    struct sutra_fault fault;
    int status = sutra_stream_make(old->kernels, &old->options, &to, &fault);
    if (status != SUTRA_OK)
        return status;
    size_t coded = 0;
    if (sutra_front_has_codes(old))
        coded = sutra_front_has_originals(old) ? old->coded : choice->rows;
    status = sutra_front_gather(old, choice, coded, threads, &to->now);
    if (status == SUTRA_OK) {
        write_lives(choice, birth, &to->now);
        to->now.coded = coded ? sutra_row_choice_below(choice, coded) : 0;
        to->stream.rows = choice->count;
        to->stream.linked = to->now.graph.count;
        status = sutra_index_show(to);
    }
    if (status != SUTRA_OK) {
        sutra_index_free(to);
        return status;
    }
    *copy_out = to;
    return SUTRA_OK;
}
