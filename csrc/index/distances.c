/* Distances of a query to rows, by the best that is known of them.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#define CODE_BLOCK 64u

static void original_distances(const struct sutra_front *front,
                               const struct sutra_work_query *query, const uint32_t *rows,
                               size_t count, float *out)
{
    const float *originals = sutra_front_original(front, 0);
    const size_t stride = front->original_stride, dim = front->options.dim;
    switch (front->options.metric) {
    case SUTRA_METRIC_COSINE:
        front->kernels->cosine_f32_gather(query->vector, query->inverse_norm, originals, stride,
                                          rows, count, dim, out);
        return;
    case SUTRA_METRIC_L2:
        front->kernels->l2sq_f32_gather(query->vector, originals, stride, rows, count, dim, out);
        return;
    default:
        front->kernels->dot_f32_gather(query->vector, originals, stride, rows, count, dim, out);
        for (size_t j = 0; j < count; j++)
            out[j] = -out[j];
    }
}

/* By both code planes. */
static void code_distances(const struct sutra_front *front, const struct sutra_work_query *query,
                           const uint32_t *rows, size_t count, float *out)
{
    const struct sutra_plane *high = &front->planes.plane[SUTRA_PLANE_HIGH];
    const struct sutra_plane *low = &front->planes.plane[SUTRA_PLANE_LOW];
    const float *corrections = sutra_planes_row(&front->planes, SUTRA_PLANE_CORRECTION, 0);
    float norms[CODE_BLOCK];
    for (; count; rows += CODE_BLOCK, out += CODE_BLOCK) {
        const size_t block = count < CODE_BLOCK ? count : CODE_BLOCK;
        front->kernels->dot_code8_gather(query->code.fine, high->base, low->base, high->row_bytes,
                                         rows, block, front->quantizer.row_bytes, out, norms);
        for (size_t j = 0; j < block; j++)
            out[j] = sutra_front_code_distance(
                front, query->inverse_norm, rows[j],
                sutra_quantizer_distance(&query->code,
                                         corrections + SUTRA_CORRECTION_FLOATS * (size_t)rows[j],
                                         out[j], norms[j]));
        count -= block;
    }
}

/* Without a second plane, by what a walk goes by. */
static void key_distances(const struct sutra_front *front, const struct sutra_work_query *query,
                          const uint32_t *rows, size_t count, float *out)
{
    const struct sutra_plane *high = &front->planes.plane[SUTRA_PLANE_HIGH];
    const struct sutra_walk_query *walk = &query->code.walk;
    front->kernels->score_code4_gather(walk->entries, high->base, high->row_bytes, rows, count,
                                       front->quantizer.row_bytes,
                                       sutra_planes_row(&front->planes, SUTRA_PLANE_CORRECTION, 0),
                                       walk->weight, walk->offset, walk->scale, out);
    for (size_t j = 0; j < count; j++)
        out[j] = sutra_front_code_distance(front, query->inverse_norm, rows[j],
                                           out[j] + query->code.walk_distance);
}

void sutra_front_distances(const struct sutra_front *front, const struct sutra_work_query *query,
                           const uint32_t *rows, size_t count, float *distances_out)
{
    if (sutra_front_has_originals(front))
        original_distances(front, query, rows, count, distances_out);
    else if (front->planes.plane[SUTRA_PLANE_LOW].base)
        code_distances(front, query, rows, count, distances_out);
    else
        key_distances(front, query, rows, count, distances_out);
}
