/* How the graph sees the index's rows: as 4-bit codes, or as floats without quantization.
 *
 * A graph is always built by Euclidean distance: on normalized rows for cosine, and for the
 * inner product on the rows as they are, because the neighbours a Delaunay graph of the points
 * has include every edge of their convex hull, along which a linear function climbs to its
 * maximum. Only the keys of a search differ by metric.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <math.h>
#include <string.h>

#include "../base/bytes.h"

/* ---- coded rows */

static void code_keys(const struct sutra_space *space, const void *query, const uint32_t *ids,
                      size_t count, float *keys_out)
{
    const struct sutra_walk_query *walk = query;
    space->kernels->score_code4_gather(walk->entries, space->rows, space->row_stride, ids, count,
                                       space->row_bytes, space->corrections, walk->weight,
                                       walk->offset, walk->scale, keys_out);
}

/* An exact row: its length, then 2 * row_bytes codes of 7 bits from the next cache line on. */
static void code_exact_row(const struct sutra_space *space, uint32_t row, void *row_out)
{
    const struct sutra_index *index = space->context;
    const struct sutra_plane *high = &index->planes.plane[SUTRA_PLANE_HIGH];
    const struct sutra_plane *low = &index->planes.plane[SUTRA_PLANE_LOW];
    const uint8_t *high_row = high->base + row * high->row_bytes;
    const uint8_t *low_row = low->base ? low->base + row * low->row_bytes : high_row;
    *(float *)row_out = sqrtf(space->corrections[SUTRA_CORRECTION_FLOATS * (size_t)row]);
    space->kernels->join_planes(high_row, low_row, index->quantizer.row_bytes, 1,
                                (uint8_t *)row_out + SUTRA_CACHE_LINE);
}

static void code_exact_distances(const struct sutra_space *space, const void *row, const void *rows,
                                 size_t count, float *distances_out)
{
    const struct sutra_index *index = space->context;
    const uint8_t *bytes = rows;
    uint32_t code_distances[16];
    const float length = *(const float *)row;
    for (size_t first = 0; first < count; first += 16) {
        const size_t block = count - first < 16 ? count - first : 16;
        const uint8_t *at = bytes + first * space->exact_bytes;
        space->kernels->l2sq_u7_many((const uint8_t *)row + SUTRA_CACHE_LINE, at + SUTRA_CACHE_LINE,
                                     space->exact_bytes, block,
                                     2 * (size_t)index->quantizer.row_bytes, code_distances);
        for (size_t j = 0; j < block; j++)
            distances_out[first + j] = sutra_quantizer_pair_distance(
                &index->quantizer, length,
                *(const float *)(const void *)(at + j * space->exact_bytes), code_distances[j]);
    }
}

/* A walk query followed by its entries. */
static void code_point_query(const struct sutra_space *space, uint32_t row, void *query_out)
{
    const struct sutra_index *index = space->context;
    const struct sutra_plane *high = &index->planes.plane[SUTRA_PLANE_HIGH];
    const struct sutra_plane *low = &index->planes.plane[SUTRA_PLANE_LOW];
    struct sutra_walk_query *walk = query_out;
    walk->entries = (int8_t *)query_out + SUTRA_CACHE_LINE;
    uint8_t *codes = (uint8_t *)walk->entries; /* turned into entries in place */
    const uint8_t *high_row = high->base + row * high->row_bytes;
    space->kernels->join_planes(high_row, low->base ? low->base + row * low->row_bytes : high_row,
                                index->quantizer.row_bytes, 0, codes);
    sutra_quantizer_walk_from_codes(
        &index->quantizer, codes, space->corrections + SUTRA_CORRECTION_FLOATS * (size_t)row, walk);
}

_Static_assert(sizeof(struct sutra_walk_query) <= SUTRA_CACHE_LINE, "entries start a line later");

/* ---- float rows */

static void l2_keys(const struct sutra_space *space, const void *query, const uint32_t *ids,
                    size_t count, float *keys_out)
{
    const struct sutra_index *index = space->context;
    const struct sutra_float_query *q = query;
    space->kernels->l2sq_f32_gather(q->vector, (const float *)(const void *)space->rows,
                                    index->original_stride, ids, count, index->options.dim,
                                    keys_out);
}

static void cosine_keys(const struct sutra_space *space, const void *query, const uint32_t *ids,
                        size_t count, float *keys_out)
{
    const struct sutra_index *index = space->context;
    const struct sutra_float_query *q = query;
    space->kernels->cosine_f32_gather(
        q->vector, q->inverse_norm, (const float *)(const void *)space->rows,
        index->original_stride, ids, count, index->options.dim, keys_out);
}

static void ip_keys(const struct sutra_space *space, const void *query, const uint32_t *ids,
                    size_t count, float *keys_out)
{
    const struct sutra_index *index = space->context;
    const struct sutra_float_query *q = query;
    space->kernels->dot_f32_gather(q->vector, (const float *)(const void *)space->rows,
                                   index->original_stride, ids, count, index->options.dim,
                                   keys_out);
    for (size_t j = 0; j < count; j++)
        keys_out[j] = -keys_out[j];
}

static void float_exact_row(const struct sutra_space *space, uint32_t row, void *row_out)
{
    const struct sutra_index *index = space->context;
    const float *vector = sutra_index_original(index, row);
    const float scale = sutra_index_scale(index, vector);
    float *out = row_out;
    for (size_t j = 0; j < index->options.dim; j++)
        out[j] = vector[j] * scale;
}

static void float_exact_distances(const struct sutra_space *space, const void *row,
                                  const void *rows, size_t count, float *distances_out)
{
    const struct sutra_index *index = space->context;
    space->kernels->l2sq_f32_many(row, rows, space->exact_bytes / sizeof(float), count,
                                  index->options.dim, distances_out);
}

static void float_point_query(const struct sutra_space *space, uint32_t row, void *query_out)
{
    const struct sutra_index *index = space->context;
    struct sutra_float_query *query = query_out;
    query->vector = sutra_index_original(index, row);
    query->inverse_norm = sutra_index_scale(index, query->vector);
}

/* ---- both */

static void coded_space(const struct sutra_index *index, struct sutra_space *space)
{
    space->rows = index->planes.plane[SUTRA_PLANE_HIGH].base;
    space->row_stride = index->planes.plane[SUTRA_PLANE_HIGH].row_bytes;
    space->row_bytes = index->quantizer.row_bytes;
    space->corrections =
        (const float *)(const void *)index->planes.plane[SUTRA_PLANE_CORRECTION].base;
    space->correction_floats = SUTRA_CORRECTION_FLOATS;
    space->keys = code_keys;
    space->query_bytes = SUTRA_CACHE_LINE + 2 * (size_t)index->quantizer.row_bytes;
    space->point_query = code_point_query;
    space->exact_bytes =
        SUTRA_CACHE_LINE + sutra_round_up(2 * (size_t)index->quantizer.row_bytes, SUTRA_CACHE_LINE);
    space->exact_row = code_exact_row;
    space->exact_distances = code_exact_distances;
}

static void float_space(const struct sutra_index *index, struct sutra_space *space)
{
    space->rows = index->planes.plane[SUTRA_PLANE_ORIGINAL].base;
    space->row_stride = index->planes.plane[SUTRA_PLANE_ORIGINAL].row_bytes;
    space->row_bytes = index->options.dim * sizeof(float);
    space->keys = index->options.metric == SUTRA_METRIC_COSINE ? cosine_keys : l2_keys;
    space->query_bytes = sizeof(struct sutra_float_query);
    space->point_query = float_point_query;
    space->exact_bytes = sutra_round_up(index->options.dim * sizeof(float), SUTRA_CACHE_LINE);
    space->exact_row = float_exact_row;
    space->exact_distances = float_exact_distances;
}

void sutra_index_build_space(const struct sutra_index *index, struct sutra_space *space_out)
{
    memset(space_out, 0, sizeof *space_out);
    space_out->kernels = index->kernels;
    space_out->context = index;
    if (index->options.quantization == SUTRA_QUANT_NONE)
        float_space(index, space_out);
    else
        coded_space(index, space_out);
}

void sutra_index_search_space(const struct sutra_index *index, struct sutra_space *space_out)
{
    sutra_index_build_space(index, space_out);
    if (index->options.quantization == SUTRA_QUANT_NONE && index->options.metric == SUTRA_METRIC_IP)
        space_out->keys = ip_keys;
}
