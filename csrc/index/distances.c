/* Distances of a query to rows, by the best that is known of them.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#define CODE_BLOCK 64u

static void original_distances(const struct sutra_index *index,
                               const struct sutra_work_query *query, const uint32_t *rows,
                               size_t count, float *out)
{
    const float *originals = sutra_index_original(index, 0);
    const size_t stride = index->original_stride, dim = index->options.dim;
    switch (index->options.metric) {
    case SUTRA_METRIC_COSINE:
        index->kernels->cosine_f32_gather(query->vector, query->inverse_norm, originals, stride,
                                          rows, count, dim, out);
        return;
    case SUTRA_METRIC_L2:
        index->kernels->l2sq_f32_gather(query->vector, originals, stride, rows, count, dim, out);
        return;
    default:
        index->kernels->dot_f32_gather(query->vector, originals, stride, rows, count, dim, out);
        for (size_t j = 0; j < count; j++)
            out[j] = -out[j];
    }
}

/* By both code planes. */
static void code_distances(const struct sutra_index *index, const struct sutra_work_query *query,
                           const uint32_t *rows, size_t count, float *out)
{
    const struct sutra_plane *high = &index->planes.plane[SUTRA_PLANE_HIGH];
    const struct sutra_plane *low = &index->planes.plane[SUTRA_PLANE_LOW];
    const float *corrections = sutra_planes_row(&index->planes, SUTRA_PLANE_CORRECTION, 0);
    float norms[CODE_BLOCK];
    for (; count; rows += CODE_BLOCK, out += CODE_BLOCK) {
        const size_t block = count < CODE_BLOCK ? count : CODE_BLOCK;
        index->kernels->dot_code8_gather(query->code.fine, high->base, low->base, high->row_bytes,
                                         rows, block, index->quantizer.row_bytes, out, norms);
        for (size_t j = 0; j < block; j++)
            out[j] = sutra_index_code_distance(
                index, query->inverse_norm, rows[j],
                sutra_quantizer_distance(&query->code,
                                         corrections + SUTRA_CORRECTION_FLOATS * (size_t)rows[j],
                                         out[j], norms[j]));
        count -= block;
    }
}

/* Without a second plane, by what a walk goes by. */
static void key_distances(const struct sutra_index *index, const struct sutra_work_query *query,
                          const uint32_t *rows, size_t count, float *out)
{
    const struct sutra_plane *high = &index->planes.plane[SUTRA_PLANE_HIGH];
    const struct sutra_walk_query *walk = &query->code.walk;
    index->kernels->score_code4_gather(walk->entries, high->base, high->row_bytes, rows, count,
                                       index->quantizer.row_bytes,
                                       sutra_planes_row(&index->planes, SUTRA_PLANE_CORRECTION, 0),
                                       walk->weight, walk->offset, walk->scale, out);
    for (size_t j = 0; j < count; j++)
        out[j] = sutra_index_code_distance(index, query->inverse_norm, rows[j],
                                           out[j] + query->code.walk_distance);
}

void sutra_index_distances(const struct sutra_index *index, const struct sutra_work_query *query,
                           const uint32_t *rows, size_t count, float *distances_out)
{
    if (sutra_index_has_originals(index))
        original_distances(index, query, rows, count, distances_out);
    else if (index->planes.plane[SUTRA_PLANE_LOW].base)
        code_distances(index, query, rows, count, distances_out);
    else
        key_distances(index, query, rows, count, distances_out);
}
