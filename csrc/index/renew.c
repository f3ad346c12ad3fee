/* Codes made anew: a quantizer fitted to the rows there are, and the codes that it asks for, in
 * planes of their own while readers go by the old ones; then both change places.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <string.h>

static int reserve(struct sutra_renewal *renewal, size_t rows)
{
    const struct sutra_front *now = &renewal->index->now;
    const size_t code_bytes = now->quantizer.row_bytes;
    const size_t row_bytes[SUTRA_CODE_PLANES] = {
        [SUTRA_PLANE_HIGH] = code_bytes,
        [SUTRA_PLANE_LOW] = now->options.quantization == SUTRA_QUANT_U8 ? code_bytes : 0,
        [SUTRA_PLANE_CORRECTION] = SUTRA_CORRECTION_FLOATS * sizeof(float)};
    int status = SUTRA_OK;
    for (size_t p = 0; p < SUTRA_CODE_PLANES && status == SUTRA_OK; p++) {
        if (row_bytes[p])
            status = sutra_plane_reserve(&renewal->planes[p], row_bytes[p], rows,
                                         now->planes.huge_pages);
    }
    return status;
}

int sutra_renewal_begin(struct sutra_renewal *renewal, struct sutra_index *index, size_t rows,
                        unsigned threads)
{
    *renewal = (struct sutra_renewal){.index = index, .threads = threads, .fitted = rows};
    int status = sutra_front_fit_anew(&index->now, rows, &renewal->quantizer);
    if (status == SUTRA_OK)
        status = reserve(renewal, rows);
    if (status != SUTRA_OK)
        sutra_renewal_end(renewal);
    return status;
}

int sutra_renewal_commit(struct sutra_renewal *renewal, size_t rows)
{
    int status = SUTRA_OK;
    for (size_t p = 0; p < SUTRA_CODE_PLANES && status == SUTRA_OK; p++) {
        if (renewal->planes[p].base)
            status =
                sutra_arena_commit(&renewal->planes[p].arena, rows * renewal->planes[p].row_bytes);
    }
    return status;
}

int sutra_renewal_encode(struct sutra_renewal *renewal, size_t rows)
{
    const struct sutra_front *now = &renewal->index->now;
    const size_t first = renewal->encoded;
    if (rows <= first)
        return SUTRA_OK;
    const struct sutra_encoding encoding = {
        .front = now,
        .quantizer = &renewal->quantizer,
        .planes = renewal->planes,
        .vectors = sutra_front_has_originals(now) ? sutra_front_original(now, first) : NULL,
        .stride = now->original_stride,
        .first_row = first};
    int status = sutra_renewal_commit(renewal, rows);
    if (status == SUTRA_OK)
        status = sutra_encoding_run(&encoding, rows - first, renewal->threads);
    if (status == SUTRA_OK)
        renewal->encoded = rows;
    return status;
}

void sutra_renewal_adopt(struct sutra_renewal *renewal, struct sutra_left *left)
{
    struct sutra_front *now = &renewal->index->now;
    for (size_t p = 0; p < SUTRA_CODE_PLANES; p++) {
        sutra_left_plane(left, &now->planes.plane[p]);
        now->planes.plane[p] = renewal->planes[p];
        renewal->planes[p] = (struct sutra_plane){0};
    }
    left->quantizer = now->quantizer;
    now->quantizer = renewal->quantizer;
    memset(&renewal->quantizer, 0, sizeof renewal->quantizer);
    now->fitted_count = renewal->fitted;
    now->coded = renewal->encoded;
}

void sutra_renewal_end(struct sutra_renewal *renewal)
{
    for (size_t p = 0; p < SUTRA_CODE_PLANES; p++)
        sutra_plane_release(&renewal->planes[p]);
    sutra_quantizer_deinit(&renewal->quantizer);
}
