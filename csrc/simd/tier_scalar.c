/* The scalar tier: the definition of every kernel, and the fallback of every tier.
 *
 * Plain loops, one obvious way each. Other tiers are tested against this file, so nothing
 * here is clever. The contract of each kernel is in kernels.def.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

#include "tiers.h"

/* ---- float32 */

static float dot_f32(const float *a, const float *b, size_t dim)
{
    float sum = 0.0f;
    for (size_t j = 0; j < dim; j++)
        sum += a[j] * b[j];
    return sum;
}

static float l2sq_f32(const float *a, const float *b, size_t dim)
{
    float sum = 0.0f;
    for (size_t j = 0; j < dim; j++) {
        const float difference = a[j] - b[j];
        sum += difference * difference;
    }
    return sum;
}

static float cosine_f32(const float *query, float query_inverse_norm, const float *row, size_t dim)
{
    const float norm = sqrtf(dot_f32(row, row, dim));
    if (norm == 0.0f || query_inverse_norm == 0.0f)
        return 1.0f;
    return 1.0f - dot_f32(query, row, dim) * query_inverse_norm / norm;
}

static void dot_f32_many(const float *query, const float *rows, size_t stride, size_t count,
                         size_t dim, float *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = dot_f32(query, rows + r * stride, dim);
}

static void l2sq_f32_many(const float *query, const float *rows, size_t stride, size_t count,
                          size_t dim, float *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = l2sq_f32(query, rows + r * stride, dim);
}

static void cosine_f32_many(const float *query, float query_inverse_norm, const float *rows,
                            size_t stride, size_t count, size_t dim, float *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = cosine_f32(query, query_inverse_norm, rows + r * stride, dim);
}

static void dot_f32_gather(const float *query, const float *rows, size_t stride,
                           const uint32_t *ids, size_t count, size_t dim, float *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = dot_f32(query, rows + ids[r] * stride, dim);
}

static void l2sq_f32_gather(const float *query, const float *rows, size_t stride,
                            const uint32_t *ids, size_t count, size_t dim, float *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = l2sq_f32(query, rows + ids[r] * stride, dim);
}

static void cosine_f32_gather(const float *query, float query_inverse_norm, const float *rows,
                              size_t stride, const uint32_t *ids, size_t count, size_t dim,
                              float *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = cosine_f32(query, query_inverse_norm, rows + ids[r] * stride, dim);
}

/* ---- byte codes */

static uint32_t l2sq_u8(const uint8_t *a, const uint8_t *b, size_t dim)
{
    uint32_t sum = 0;
    for (size_t j = 0; j < dim; j++) {
        const int difference = (int)a[j] - (int)b[j];
        sum += (uint32_t)(difference * difference);
    }
    return sum;
}

static void l2sq_u8_many(const uint8_t *query, const uint8_t *rows, size_t stride, size_t count,
                         size_t dim, uint32_t *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = l2sq_u8(query, rows + r * stride, dim);
}

static void l2sq_u8_gather(const uint8_t *query, const uint8_t *rows, size_t stride,
                           const uint32_t *ids, size_t count, size_t dim, uint32_t *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = l2sq_u8(query, rows + ids[r] * stride, dim);
}

static int32_t dot_u8s8(const int8_t *query, const uint8_t *row, size_t dim)
{
    int32_t sum = 0;
    for (size_t j = 0; j < dim; j++)
        sum += (int32_t)query[j] * (int32_t)row[j];
    return sum;
}

static void dot_u8s8_many(const int8_t *query, const uint8_t *rows, size_t stride, size_t count,
                          size_t dim, int32_t *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = dot_u8s8(query, rows + r * stride, dim);
}

static void dot_u8s8_gather(const int8_t *query, const uint8_t *rows, size_t stride,
                            const uint32_t *ids, size_t count, size_t dim, int32_t *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = dot_u8s8(query, rows + ids[r] * stride, dim);
}

/* ---- code planes */

/* Dimension j of a plane row: block j / 64, byte j % 32, low nibble for j % 64 < 32. */
static unsigned nibble_at(const uint8_t *row, size_t j)
{
    const uint8_t byte = row[j / 64 * 32 + j % 32];
    return j % 64 < 32 ? byte & 15u : byte >> 4;
}

static int32_t dot_code4(const int8_t *query, const uint8_t *row, size_t row_bytes)
{
    int32_t sum = 0;
    for (size_t j = 0; j < 2 * row_bytes; j++)
        sum += (int32_t)query[j] * (int32_t)nibble_at(row, j);
    return sum;
}

static float score_code4(const int8_t *query, const uint8_t *row, size_t row_bytes,
                         const float *pair, float weight, float offset, float scale)
{
    const float product = offset + scale * (float)dot_code4(query, row, row_bytes);
    return weight * pair[0] + pair[1] * product;
}

static void dot_code4_many(const int8_t *query, const uint8_t *rows, size_t stride, size_t count,
                           size_t row_bytes, int32_t *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = dot_code4(query, rows + r * stride, row_bytes);
}

static void score_code4_many(const int8_t *query, const uint8_t *rows, size_t stride, size_t count,
                             size_t row_bytes, const float *corrections, float weight, float offset,
                             float scale, float *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = score_code4(query, rows + r * stride, row_bytes, corrections + 2 * r, weight,
                             offset, scale);
}

static void score_code4_gather(const int8_t *query, const uint8_t *rows, size_t stride,
                               const uint32_t *ids, size_t count, size_t row_bytes,
                               const float *corrections, float weight, float offset, float scale,
                               float *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = score_code4(query, rows + ids[r] * stride, row_bytes,
                             corrections + 2 * (size_t)ids[r], weight, offset, scale);
}

static void dot_code8_gather(const float *query, const uint8_t *high, const uint8_t *low,
                             size_t stride, const uint32_t *ids, size_t count, size_t row_bytes,
                             float *dots_out, float *norms_out)
{
    for (size_t r = 0; r < count; r++) {
        const size_t at = ids[r] * stride;
        float dot = 0.0f, norm = 0.0f;
        for (size_t j = 0; j < 2 * row_bytes; j++) {
            const unsigned code = 16 * nibble_at(high + at, j) + nibble_at(low + at, j);
            const float value = (float)code - 127.5f;
            dot += query[j] * value;
            norm += value * value;
        }
        dots_out[r] = dot;
        norms_out[r] = norm;
    }
}

/* ---- quantization */

static void encode_u8(const float *x, size_t dim, float offset, float inverse_step,
                      uint8_t *codes_out)
{
    for (size_t j = 0; j < dim; j++) {
        const float position = (x[j] - offset) * inverse_step;
        const float floored = position > 0.0f ? position : 0.0f; /* NaN gives 0 */
        codes_out[j] = (uint8_t)(floored < 255.0f ? floored : 255.0f);
    }
}

static void encode_s8(const float *x, size_t dim, float inverse_step, int8_t *codes_out)
{
    for (size_t j = 0; j < dim; j++) {
        const float position = x[j] * inverse_step;
        const float floored = position > -127.0f ? position : -127.0f; /* NaN gives -127 */
        codes_out[j] = (int8_t)lrintf(floored < 127.0f ? floored : 127.0f);
    }
}

static void split_planes(const uint8_t *codes, size_t row_bytes, uint8_t *high_out,
                         uint8_t *low_out)
{
    for (size_t block = 0; block < row_bytes; block += 32) {
        const uint8_t *first = codes + 2 * block;
        for (size_t j = 0; j < 32; j++) {
            const unsigned a = first[j], b = first[32 + j];
            high_out[block + j] = (uint8_t)((a >> 4) | (b & 0xf0u));
            low_out[block + j] = (uint8_t)((a & 15u) | (b & 15u) << 4);
        }
    }
}

static void join_planes(const uint8_t *high, const uint8_t *low, size_t row_bytes, unsigned shift,
                        uint8_t *codes_out)
{
    for (size_t j = 0; j < 2 * row_bytes; j++)
        codes_out[j] = (uint8_t)((16 * nibble_at(high, j) + nibble_at(low, j)) >> shift);
}

static void range_f32(const float *x, size_t dim, float *min_out, float *max_out)
{
    float smallest = x[0], largest = x[0];
    for (size_t j = 1; j < dim; j++) {
        smallest = x[j] < smallest ? x[j] : smallest;
        largest = x[j] > largest ? x[j] : largest;
    }
    *min_out = smallest;
    *max_out = largest;
}

static int all_finite_f32(const float *x, size_t dim)
{
    for (size_t j = 0; j < dim; j++) {
        uint32_t bits;
        memcpy(&bits, x + j, sizeof bits);
        if ((bits & 0x7f800000u) == 0x7f800000u)
            return 0;
    }
    return 1;
}

/* ---- rotation */

static void hadamard_f32(float *x, size_t dim)
{
    for (size_t half = 1; half < dim; half *= 2) {
        for (size_t start = 0; start < dim; start += 2 * half) {
            for (size_t j = start; j < start + half; j++) {
                const float a = x[j], b = x[j + half];
                x[j] = a + b;
                x[j + half] = a - b;
            }
        }
    }
}

static void butterfly_f32(float *x, size_t dim)
{
    const size_t half = dim / 2;
    for (size_t j = 0; j < half; j++) {
        const float a = x[j], b = x[j + half];
        x[j] = a + b;
        x[j + half] = a - b;
    }
}

static void flip_signs_f32(float *x, size_t dim, const uint8_t *signs)
{
    for (size_t j = 0; j < dim; j++) {
        if (signs[j / 8] >> (j % 8) & 1)
            x[j] = -x[j];
    }
}

/* ---- top-k */

static size_t below_f32(const float *keys, size_t count, float threshold, uint32_t *positions_out)
{
    size_t found = 0;
    for (size_t j = 0; j < count; j++) {
        positions_out[found] = (uint32_t)j;
        found += keys[j] < threshold;
    }
    return found;
}

static size_t pool_insert(uint64_t *pool, size_t count, uint64_t item)
{
    size_t position = count;
    while (position > 0 && pool[position - 1] > item) {
        pool[position] = pool[position - 1];
        position--;
    }
    pool[position] = item;
    return position;
}

const struct sutra_kernels sutra_kernels_scalar = {
    .dot_f32 = dot_f32,
    .l2sq_f32 = l2sq_f32,
    .dot_f32_many = dot_f32_many,
    .l2sq_f32_many = l2sq_f32_many,
    .cosine_f32_many = cosine_f32_many,
    .dot_f32_gather = dot_f32_gather,
    .l2sq_f32_gather = l2sq_f32_gather,
    .cosine_f32_gather = cosine_f32_gather,
    .l2sq_u7_many = l2sq_u8_many,
    .l2sq_u8_many = l2sq_u8_many,
    .l2sq_u8_gather = l2sq_u8_gather,
    .dot_u8s8_many = dot_u8s8_many,
    .dot_u8s8_gather = dot_u8s8_gather,
    .dot_code4_many = dot_code4_many,
    .score_code4_many = score_code4_many,
    .score_code4_gather = score_code4_gather,
    .dot_code8_gather = dot_code8_gather,
    .encode_u8 = encode_u8,
    .encode_s8 = encode_s8,
    .split_planes = split_planes,
    .join_planes = join_planes,
    .range_f32 = range_f32,
    .all_finite_f32 = all_finite_f32,
    .hadamard_f32 = hadamard_f32,
    .butterfly_f32 = butterfly_f32,
    .flip_signs_f32 = flip_signs_f32,
    .below_f32 = below_f32,
    .pool_insert = pool_insert,
};
