/* Keys, exact rows and point queries over float32 rows; see float_space.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

#include "float_space.h"
#include "../base/bytes.h"

static size_t dim_of(const struct sutra_space *space)
{
    return space->row_bytes / sizeof(float);
}

static size_t stride_of(const struct sutra_space *space)
{
    return space->row_stride / sizeof(float);
}

static const float *row_of(const struct sutra_space *space, size_t row)
{
    return (const float *)(const void *)(space->rows + row * space->row_stride);
}

float sutra_float_inverse_norm(const struct sutra_kernels *kernels, const float *vector, size_t dim)
{
    const float square = kernels->dot_f32(vector, vector, dim);
    return square > 0.0f ? 1.0f / sqrtf(square) : 0.0f;
}

/* ---- keys */

static void l2_keys(const struct sutra_space *space, const void *query, const uint32_t *ids,
                    size_t count, float *keys_out)
{
    const struct sutra_float_query *q = query;
    space->kernels->l2sq_f32_gather(q->vector, row_of(space, 0), stride_of(space), ids, count,
                                    dim_of(space), keys_out);
}

static void cosine_keys(const struct sutra_space *space, const void *query, const uint32_t *ids,
                        size_t count, float *keys_out)
{
    const struct sutra_float_query *q = query;
    space->kernels->cosine_f32_gather(q->vector, q->inverse_norm, row_of(space, 0),
                                      stride_of(space), ids, count, dim_of(space), keys_out);
}

static void ip_keys(const struct sutra_space *space, const void *query, const uint32_t *ids,
                    size_t count, float *keys_out)
{
    const struct sutra_float_query *q = query;
    space->kernels->dot_f32_gather(q->vector, row_of(space, 0), stride_of(space), ids, count,
                                   dim_of(space), keys_out);
    for (size_t j = 0; j < count; j++)
        keys_out[j] = -keys_out[j];
}

/* ---- building */

static void point_query(const struct sutra_space *space, uint32_t row, void *query_out)
{
    struct sutra_float_query *query = query_out;
    query->vector = row_of(space, row);
    query->inverse_norm = 1.0f;
}

static void cosine_point_query(const struct sutra_space *space, uint32_t row, void *query_out)
{
    struct sutra_float_query *query = query_out;
    query->vector = row_of(space, row);
    query->inverse_norm = sutra_float_inverse_norm(space->kernels, query->vector, dim_of(space));
}

static void exact_row(const struct sutra_space *space, uint32_t row, void *row_out)
{
    memcpy(row_out, row_of(space, row), space->row_bytes);
}

static void cosine_exact_row(const struct sutra_space *space, uint32_t row, void *row_out)
{
    const size_t dim = dim_of(space);
    const float *vector = row_of(space, row);
    const float scale = sutra_float_inverse_norm(space->kernels, vector, dim);
    float *out = row_out;
    for (size_t j = 0; j < dim; j++)
        out[j] = vector[j] * scale;
}

static void prefetch_exact(const struct sutra_space *space, uint32_t row)
{
    const uint8_t *from = space->rows + row * space->row_stride;
    for (size_t byte = 0; byte < space->row_bytes; byte += SUTRA_CACHE_LINE)
        SUTRA_PREFETCH(from + byte);
}

static void exact_distances(const struct sutra_space *space, const void *row, const void *rows,
                            size_t count, float *distances_out)
{
    space->kernels->l2sq_f32_many(row, rows, space->exact_bytes / sizeof(float), count,
                                  dim_of(space), distances_out);
}

void sutra_float_space(struct sutra_space *space_out, const struct sutra_kernels *kernels,
                       const float *rows, size_t stride_bytes, size_t dim,
                       enum sutra_float_keys keys)
{
    const bool cosine = keys == SUTRA_FLOAT_COSINE;
    memset(space_out, 0, sizeof *space_out);
    space_out->kernels = kernels;
    space_out->rows = (const uint8_t *)rows;
    space_out->row_stride = stride_bytes;
    space_out->row_bytes = dim * sizeof(float);
    space_out->keys = cosine ? cosine_keys : keys == SUTRA_FLOAT_IP ? ip_keys : l2_keys;
    space_out->query_bytes = sizeof(struct sutra_float_query);
    space_out->point_query = cosine ? cosine_point_query : point_query;
    space_out->exact_bytes = sutra_round_up(dim * sizeof(float), SUTRA_CACHE_LINE);
    space_out->exact_row = cosine ? cosine_exact_row : exact_row;
    space_out->prefetch_exact = prefetch_exact;
    space_out->exact_distances = exact_distances;
}
