/* Fitting, encoding and decoding of the two-plane scalar quantizer; see quantizer.h.
 *
 * The half range of 3.6 standard deviations is a compromise between the walk, which would
 * like 2.7 (16 cells, least squared error on a normal distribution), and both planes together,
 * which would like 4; docs/evidence.md has the sweep.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quantizer.h"
#include "rotation.h"
#include "../base/bytes.h"
#include "../base/memory.h"
#include "../base/prng.h"
#include "../base/status.h"

#define FIT_ROWS 32768u
/* Padding takes the code nearest to zero, so that it hardly counts anywhere. */
#define PADDING_CODE 128

size_t sutra_quantizer_row_bytes(uint32_t dim)
{
    const size_t rotated = sutra_round_up(dim, 8);
    return sutra_round_up(rotated, 64) / 2;
}

int sutra_quantizer_init(struct sutra_quantizer *quantizer, uint32_t dim, uint64_t seed)
{
    memset(quantizer, 0, sizeof *quantizer);
    const size_t rotated = sutra_round_up(dim, 8);
    const size_t mean_bytes = sutra_round_up(rotated * sizeof(float), SUTRA_CACHE_LINE);
    const size_t bytes = mean_bytes + sutra_rotation_sign_bytes(rotated);
    const int status = sutra_aligned_alloc(SUTRA_CACHE_LINE, bytes, &quantizer->block);
    if (status != SUTRA_OK)
        return status;
    quantizer->block_bytes = bytes;
    quantizer->dim = dim;
    quantizer->rotated_dim = (uint32_t)rotated;
    quantizer->row_bytes = (uint32_t)sutra_quantizer_row_bytes(dim);
    quantizer->rotated_mean = quantizer->block;
    quantizer->signs = (uint8_t *)quantizer->block + mean_bytes;
    sutra_rotation_signs(sutra_mix64(seed), rotated, quantizer->signs);
    return SUTRA_OK;
}

void sutra_quantizer_deinit(struct sutra_quantizer *quantizer)
{
    sutra_aligned_free(quantizer->block, quantizer->block_bytes);
    memset(quantizer, 0, sizeof *quantizer);
}

void sutra_quantizer_copy(const struct sutra_quantizer *from, struct sutra_quantizer *to)
{
    memcpy(to->rotated_mean, from->rotated_mean, from->rotated_dim * sizeof *from->rotated_mean);
    memcpy(to->signs, from->signs, sutra_rotation_sign_bytes(from->rotated_dim));
}

size_t sutra_quantizer_scratch_bytes(const struct sutra_quantizer *quantizer)
{
    return sutra_round_up(quantizer->rotated_dim * sizeof(float), SUTRA_CACHE_LINE) +
           2 * (size_t)quantizer->row_bytes;
}

/* x scaled, padded with zeros to rotated_dim, rotated. */
static void rotate_scaled(const struct sutra_quantizer *quantizer,
                          const struct sutra_kernels *kernels, const float *x, float scale,
                          float *rotated_out)
{
    for (size_t j = 0; j < quantizer->dim; j++)
        rotated_out[j] = x[j] * scale;
    for (size_t j = quantizer->dim; j < quantizer->rotated_dim; j++)
        rotated_out[j] = 0.0f;
    sutra_rotate(kernels, quantizer->signs, rotated_out, quantizer->rotated_dim);
}

static void subtract_mean(const struct sutra_quantizer *quantizer, float *rotated)
{
    for (size_t j = 0; j < quantizer->rotated_dim; j++)
        rotated[j] -= quantizer->rotated_mean[j];
}

static int compare_floats(const void *left, const void *right)
{
    const float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

/* Rows this much longer than the median one are left out of the mean, so that a few outliers
 * do not draw the centre away from all the others. */
#define OUTLIER_LENGTH 16.0f

static float longest_counted(float *lengths, float *sorted, size_t count)
{
    memcpy(sorted, lengths, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_floats);
    const float median = sorted[count / 2];
    return median > 0.0f ? OUTLIER_LENGTH * median : sorted[count - 1];
}

int sutra_quantizer_fit(struct sutra_quantizer *quantizer, const struct sutra_kernels *kernels,
                        const float *rows, size_t stride, const float *scales, size_t count)
{
    const size_t dim = quantizer->dim, sampled = count < FIT_ROWS ? count : FIT_ROWS;
    double *sums = calloc(dim, sizeof *sums);
    float *floats = malloc((dim + 2 * sampled) * sizeof *floats);
    if (!sums || !floats) {
        free(sums);
        free(floats);
        return SUTRA_E_NO_MEMORY;
    }
    float *mean = floats, *lengths = floats + dim;
    for (size_t s = 0; s < sampled; s++) {
        const size_t r = s * count / sampled;
        const float square = kernels->dot_f32(rows + r * stride, rows + r * stride, dim);
        lengths[s] = sqrtf(square) * (scales ? scales[r] : 1.0f);
    }
    const float longest = longest_counted(lengths, lengths + sampled, sampled);
    size_t counted = 0;
    for (size_t s = 0; s < sampled; s++) {
        const size_t r = s * count / sampled;
        const float scale = scales ? scales[r] : 1.0f;
        if (lengths[s] > longest)
            continue;
        counted++;
        for (size_t j = 0; j < dim; j++)
            sums[j] += (double)(rows[r * stride + j] * scale);
    }
    for (size_t j = 0; j < dim; j++)
        mean[j] = (float)(sums[j] / (double)counted);
    rotate_scaled(quantizer, kernels, mean, 1.0f, quantizer->rotated_mean);
    free(sums);
    free(floats);
    return SUTRA_OK;
}

/* ---- coding */

static uint8_t *codes_in(const struct sutra_quantizer *quantizer, void *scratch)
{
    const size_t floats = sutra_round_up(quantizer->rotated_dim * sizeof(float), SUTRA_CACHE_LINE);
    return (uint8_t *)scratch + floats;
}

/* y . (code >> 4 - 7.5), in a fixed order. */
static float dot_high(const float *y, const uint8_t *codes, size_t dim)
{
    float sums[8] = {0.0f};
    for (size_t j = 0; j < dim; j += 8) {
        for (size_t lane = 0; lane < 8; lane++)
            sums[lane] += y[j + lane] * ((float)(codes[j + lane] >> 4) - 7.5f);
    }
    return ((sums[0] + sums[4]) + (sums[1] + sums[5])) +
           ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

void sutra_quantizer_encode(const struct sutra_quantizer *quantizer,
                            const struct sutra_kernels *kernels, const float *x, float scale,
                            void *scratch, uint8_t *high_out, uint8_t *low_out,
                            float *correction_out)
{
    const size_t rotated = quantizer->rotated_dim;
    const float wide = 16.0f * SUTRA_QUANT_STEP;
    float *y = scratch;
    uint8_t *codes = codes_in(quantizer, scratch);
    rotate_scaled(quantizer, kernels, x, scale, y);
    subtract_mean(quantizer, y);
    const float square = kernels->dot_f32(y, y, rotated);
    const float unit = sqrtf(square / (float)rotated);
    const float half_range = SUTRA_QUANT_HALF_RANGE * unit;
    /* A zero row has no direction: all its codes are the middle ones. */
    const float inverse_step = unit > 0.0f ? 1.0f / (SUTRA_QUANT_STEP * unit) : 0.0f;
    kernels->encode_u8(y, rotated, -half_range, inverse_step, codes);
    if (inverse_step == 0.0f)
        memset(codes, PADDING_CODE, rotated);
    memset(codes + rotated, PADDING_CODE, 2 * (size_t)quantizer->row_bytes - rotated);

    /* |y|^2 / (y . high(z)); 1 for a code that lost its direction altogether. */
    const float along = wide * dot_high(y, codes, rotated);
    const float stretch =
        along > 0.25f * square / (unit > 0.0f ? unit : 1.0f) ? square / along : unit;
    correction_out[0] = square;
    correction_out[1] = -2.0f * wide * stretch;

    uint8_t *discarded = scratch; /* y is done with */
    kernels->split_planes(codes, quantizer->row_bytes, high_out, low_out ? low_out : discarded);
}

void sutra_quantizer_decode(const struct sutra_quantizer *quantizer,
                            const struct sutra_kernels *kernels, const uint8_t *high,
                            const uint8_t *low, const float *correction, void *scratch,
                            float *x_out)
{
    const size_t rotated = quantizer->rotated_dim;
    float *y = scratch;
    uint8_t *codes = codes_in(quantizer, scratch);
    kernels->join_planes(high, low ? low : high, quantizer->row_bytes, 0, codes);
    for (size_t j = 0; j < rotated; j++)
        y[j] = low ? (float)codes[j] - 127.5f : 16.0f * ((float)(codes[j] >> 4) - 7.5f);
    const float norm = sqrtf(kernels->dot_f32(y, y, rotated));
    const float factor = sqrtf(correction[0]) / norm; /* no coordinate of y is zero */
    for (size_t j = 0; j < rotated; j++)
        y[j] = quantizer->rotated_mean[j] + y[j] * factor;
    sutra_rotate_back(kernels, quantizer->signs, y, rotated);
    memcpy(x_out, y, quantizer->dim * sizeof *x_out);
}

/* ---- queries */

/* The part of a walk query that follows from its entries: the centre of nibble h is h - 7.5. */
static void finish_walk(const struct sutra_quantizer *quantizer, float unit, bool inner_product,
                        struct sutra_walk_query *walk)
{
    int32_t sum = 0;
    for (size_t j = 0; j < 2 * (size_t)quantizer->row_bytes; j++)
        sum += walk->entries[j];
    /* The stored factor is -2 for |u - y|^2; half of it is right for -u.y. */
    walk->weight = inner_product ? 0.0f : 1.0f;
    walk->scale = inner_product ? 0.5f * unit : unit;
    walk->offset = -7.5f * walk->scale * (float)sum;
}

void sutra_quantizer_query(const struct sutra_quantizer *quantizer,
                           const struct sutra_kernels *kernels, const float *q, float scale,
                           bool inner_product, struct sutra_code_query *query)
{
    const size_t rotated = quantizer->rotated_dim, entries = 2 * (size_t)quantizer->row_bytes;
    float *u = query->fine;
    rotate_scaled(quantizer, kernels, q, scale, u);
    query->inner_product = inner_product;
    if (inner_product) {
        query->walk_distance = -kernels->dot_f32(u, quantizer->rotated_mean, rotated);
    } else {
        subtract_mean(quantizer, u);
        query->walk_distance = kernels->dot_f32(u, u, rotated);
    }
    query->fine_distance = query->walk_distance;
    query->fine_padding = 0.25f * (float)(entries - rotated);

    float smallest, largest;
    kernels->range_f32(u, rotated, &smallest, &largest);
    const float peak = -smallest > largest ? -smallest : largest;
    const float unit = peak > 0.0f ? peak / 127.0f : 1.0f;
    kernels->encode_s8(u, rotated, 1.0f / unit, query->walk.entries);
    memset(query->walk.entries + rotated, 0, entries - rotated);
    memset(u + rotated, 0, (entries - rotated) * sizeof *u);
    finish_walk(quantizer, unit, inner_product, &query->walk);
}

float sutra_quantizer_distance(const struct sutra_code_query *query, const float *correction,
                               float dot, float norm)
{
    const float length = sqrtf(norm - query->fine_padding);
    const float product = dot * (sqrtf(correction[0]) / length);
    return query->fine_distance +
           (query->inner_product ? -product : correction[0] - 2.0f * product);
}

void sutra_quantizer_walk_from_codes(const struct sutra_quantizer *quantizer, const uint8_t *codes,
                                     const float *correction, struct sutra_walk_query *walk)
{
    /* The centre of cell c is c - 127.5: half a cell is let go to stay in integers. */
    for (size_t j = 0; j < 2 * (size_t)quantizer->row_bytes; j++)
        walk->entries[j] = (int8_t)(codes[j] > 0 ? (int)codes[j] - 128 : -127);
    const float unit = sqrtf(correction[0] / (float)quantizer->rotated_dim) * SUTRA_QUANT_STEP;
    finish_walk(quantizer, unit, false, walk);
}
