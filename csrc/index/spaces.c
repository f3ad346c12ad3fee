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
    const struct sutra_front *front = space->context;
    const struct sutra_plane *high = &front->planes.plane[SUTRA_PLANE_HIGH];
    const struct sutra_plane *low = &front->planes.plane[SUTRA_PLANE_LOW];
    const uint8_t *high_row = high->base + row * high->row_bytes;
    const uint8_t *low_row = low->base ? low->base + row * low->row_bytes : high_row;
    *(float *)row_out = sqrtf(space->corrections[SUTRA_CORRECTION_FLOATS * (size_t)row]);
    space->kernels->join_planes(high_row, low_row, front->quantizer.row_bytes, 1,
                                (uint8_t *)row_out + SUTRA_CACHE_LINE);
}

static void code_prefetch_exact(const struct sutra_space *space, uint32_t row)
{
    const struct sutra_front *front = space->context;
    sutra_plane_prefetch(&front->planes.plane[SUTRA_PLANE_HIGH], row);
    sutra_plane_prefetch(&front->planes.plane[SUTRA_PLANE_LOW], row);
    SUTRA_PREFETCH(&space->corrections[SUTRA_CORRECTION_FLOATS * (size_t)row]);
}

static void code_exact_distances(const struct sutra_space *space, const void *row, const void *rows,
                                 size_t count, float *distances_out)
{
    const struct sutra_front *front = space->context;
    const uint8_t *bytes = rows;
    uint32_t code_distances[16];
    const float length = *(const float *)row;
    for (size_t first = 0; first < count; first += 16) {
        const size_t block = count - first < 16 ? count - first : 16;
        const uint8_t *at = bytes + first * space->exact_bytes;
        space->kernels->l2sq_u7_many((const uint8_t *)row + SUTRA_CACHE_LINE, at + SUTRA_CACHE_LINE,
                                     space->exact_bytes, block,
                                     2 * (size_t)front->quantizer.row_bytes, code_distances);
        for (size_t j = 0; j < block; j++)
            distances_out[first + j] = sutra_quantizer_pair_distance(
                &front->quantizer, length,
                *(const float *)(const void *)(at + j * space->exact_bytes), code_distances[j]);
    }
}

/* A walk query followed by its entries. */
static void code_point_query(const struct sutra_space *space, uint32_t row, void *query_out)
{
    const struct sutra_front *front = space->context;
    const struct sutra_plane *high = &front->planes.plane[SUTRA_PLANE_HIGH];
    const struct sutra_plane *low = &front->planes.plane[SUTRA_PLANE_LOW];
    struct sutra_walk_query *walk = query_out;
    walk->entries = (int8_t *)query_out + SUTRA_CACHE_LINE;
    uint8_t *codes = (uint8_t *)walk->entries; /* turned into entries in place */
    const uint8_t *high_row = high->base + row * high->row_bytes;
    space->kernels->join_planes(high_row, low->base ? low->base + row * low->row_bytes : high_row,
                                front->quantizer.row_bytes, 0, codes);
    sutra_quantizer_walk_from_codes(
        &front->quantizer, codes, space->corrections + SUTRA_CORRECTION_FLOATS * (size_t)row, walk);
}

_Static_assert(sizeof(struct sutra_walk_query) <= SUTRA_CACHE_LINE, "entries start a line later");

/* ---- spaces */

static void coded_space(const struct sutra_front *front, struct sutra_space *space)
{
    memset(space, 0, sizeof *space);
    space->kernels = front->kernels;
    space->context = front;
    space->rows = front->planes.plane[SUTRA_PLANE_HIGH].base;
    space->row_stride = front->planes.plane[SUTRA_PLANE_HIGH].row_bytes;
    space->row_bytes = front->quantizer.row_bytes;
    space->corrections =
        (const float *)(const void *)front->planes.plane[SUTRA_PLANE_CORRECTION].base;
    space->correction_floats = SUTRA_CORRECTION_FLOATS;
    space->keys = code_keys;
    space->query_bytes = SUTRA_CACHE_LINE + 2 * (size_t)front->quantizer.row_bytes;
    space->point_query = code_point_query;
    space->exact_bytes =
        SUTRA_CACHE_LINE + sutra_round_up(2 * (size_t)front->quantizer.row_bytes, SUTRA_CACHE_LINE);
    space->exact_row = code_exact_row;
    space->prefetch_exact = code_prefetch_exact;
    space->exact_distances = code_exact_distances;
}

static void float_space(const struct sutra_front *front, bool building,
                        struct sutra_space *space_out)
{
    const int metric = front->options.metric;
    const struct sutra_plane *originals = &front->planes.plane[SUTRA_PLANE_ORIGINAL];
    enum sutra_float_keys keys = SUTRA_FLOAT_L2;
    if (metric == SUTRA_METRIC_COSINE)
        keys = SUTRA_FLOAT_COSINE;
    else if (metric == SUTRA_METRIC_IP && !building)
        keys = SUTRA_FLOAT_IP;
    sutra_float_space(space_out, front->kernels, (const float *)(const void *)originals->base,
                      originals->row_bytes, front->options.dim, keys);
}

void sutra_front_build_space(const struct sutra_front *front, struct sutra_space *space_out)
{
    if (front->options.quantization == SUTRA_QUANT_NONE)
        float_space(front, true, space_out);
    else
        coded_space(front, space_out);
}

void sutra_front_search_space(const struct sutra_front *front, struct sutra_space *space_out)
{
    if (front->options.quantization == SUTRA_QUANT_NONE)
        float_space(front, false, space_out);
    else
        coded_space(front, space_out);
}
