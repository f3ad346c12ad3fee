/* The NEON tier: AArch64 with Advanced SIMD and nothing beyond Armv8.0, so every AArch64 CPU.
 *
 * One-to-many kernels take four rows at a time: one load of the query serves four rows, the
 * rows' accumulators hide each other's latency and one reduction gives four results. The
 * rows left over go one by one through the same body. A body is always inlined with a
 * constant measure and a constant number of rows, and `many` is `gather` with a constant NULL
 * for ids, so no body is written twice and no choice is left inside its loop.
 *
 * Tails stay inside the named ranges: a byte tail is the last sixteen bytes with the bytes
 * already counted masked away, a float tail is loaded lane by lane. Where a result does not
 * depend on how often a value is seen (range, all_finite) the last load simply overlaps.
 * Element-wise kernels hand their tail to the scalar tier.
 *
 * Integer bounds
 *   u7 L2       |d| <= 127: two squares <= 32258 < 2^16 in a 16-bit lane, widened every turn
 *   u8 L2       one square <= 65025 < 2^16; 33000 of them < 2^31
 *   u8 x s8     x - 128 is a signed byte, so one product <= 128 * 128 < 2^15, widened at once;
 *               then sum(q * x) = sum(q * (x - 128)) + 128 * sum(q). All of it is arithmetic
 *               modulo 2^32 and the result fits 31 bits, so intermediate wrap is harmless
 *   code4 x s8  eight products in a 16-bit lane <= 8 * 15 * 128 = 15360 < 2^15, widened every
 *               block of 64 dimensions
 * A byte becomes a float by placing its double in the mantissa of 2^22, whose last place is
 * one half, and subtracting 2^22 + 127.5: exact, and cheaper than a conversion on in-order and
 * mid-size cores.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "../base/config.h"

#if defined(SUTRA_ARCH_AARCH64)

#include <arm_neon.h>

#include "neon.h"
#include "tiers.h"

/* ---- float32 */

enum measure { MEASURE_DOT, MEASURE_L2SQ, MEASURE_COSINE };

/* One result per row and lane; norms (squared, of the rows) for cosine alone. */
struct four_sums {
    float32x4_t sums, norms;
};

SUTRA_INLINE void add_terms(enum measure measure, float32x4_t q, float32x4_t x, float32x4_t *sum,
                            float32x4_t *norm)
{
    if (measure == MEASURE_L2SQ) {
        const float32x4_t d = vsubq_f32(q, x);
        *sum = vfmaq_f32(*sum, d, d);
    } else {
        *sum = vfmaq_f32(*sum, q, x);
    }
    if (measure == MEASURE_COSINE)
        *norm = vfmaq_f32(*norm, x, x);
}

/* The last dim % 4 (not 0) values, then zeros. */
SUTRA_INLINE float32x4_t load_tail_f32(const float *x, size_t dim)
{
    const size_t left = dim % 4;
    const float *from = x + (dim - left);
    float32x4_t v = vld1q_lane_f32(from, vdupq_n_f32(0.0f), 0);
    if (left > 1)
        v = vld1q_lane_f32(from + 1, v, 1);
    if (left > 2)
        v = vld1q_lane_f32(from + 2, v, 2);
    return v;
}

/* Lane i of the result is the sum of v[i * unroll .. i * unroll + unroll - 1]; with n = 1 every
 * lane is. */
SUTRA_INLINE float32x4_t reduce_f32(const float32x4_t *v, int n, int unroll)
{
    float32x4_t row[4];
    for (int i = 0; i < 4; i++) {
        const float32x4_t *from = v + (n == 4 ? i * unroll : 0);
        row[i] = from[0];
        for (int u = 1; u < unroll; u++)
            row[i] = vaddq_f32(row[i], from[u]);
    }
    return vpaddq_f32(vpaddq_f32(row[0], row[1]), vpaddq_f32(row[2], row[3]));
}

/* n is 1 or 4, n * unroll at most 8. */
SUTRA_INLINE struct four_sums sum_rows(enum measure measure, int n, int unroll, const float *query,
                                       const float *const *row, size_t dim)
{
    const size_t step = 4 * (size_t)unroll;
    float32x4_t sum[8], norm[8];
    for (int i = 0; i < 8; i++)
        sum[i] = norm[i] = vdupq_n_f32(0.0f);
    size_t j = 0;
    for (; j + step <= dim; j += step) {
        for (int u = 0; u < unroll; u++) {
            const float32x4_t q = vld1q_f32(query + j + 4 * u);
            for (int i = 0; i < n; i++)
                add_terms(measure, q, vld1q_f32(row[i] + j + 4 * u), &sum[i * unroll + u],
                          &norm[i * unroll + u]);
        }
    }
    for (; j + 4 <= dim; j += 4) {
        const float32x4_t q = vld1q_f32(query + j);
        for (int i = 0; i < n; i++)
            add_terms(measure, q, vld1q_f32(row[i] + j), &sum[i * unroll], &norm[i * unroll]);
    }
    if (j < dim) {
        const float32x4_t q = load_tail_f32(query, dim);
        for (int i = 0; i < n; i++)
            add_terms(measure, q, load_tail_f32(row[i], dim), &sum[i * unroll], &norm[i * unroll]);
    }
    return (struct four_sums){reduce_f32(sum, n, unroll), reduce_f32(norm, n, unroll)};
}

/* 1 - cos where both norms are known and not 0, else 1. */
SUTRA_INLINE float32x4_t finish(enum measure measure, struct four_sums four,
                                float query_inverse_norm)
{
    if (measure != MEASURE_COSINE)
        return four.sums;
    const float32x4_t inverse = vdupq_n_f32(query_inverse_norm);
    const float32x4_t cosines = vdivq_f32(vmulq_f32(four.sums, inverse), vsqrtq_f32(four.norms));
    const uint32x4_t undefined = vorrq_u32(vceqzq_f32(four.norms), vceqzq_f32(inverse));
    const uint32x4_t defined = vbicq_u32(vreinterpretq_u32_f32(cosines), undefined);
    return vsubq_f32(vdupq_n_f32(1.0f), vreinterpretq_f32_u32(defined));
}

SUTRA_INLINE void rows_f32(enum measure measure, const float *query, float query_inverse_norm,
                           const float *rows, size_t stride, const uint32_t *ids, size_t count,
                           size_t dim, float *out)
{
    const int unroll = measure == MEASURE_COSINE ? 1 : 2;
    size_t r = 0;
    for (; r + 4 <= count; r += 4) {
        const float *row[4];
        for (size_t i = 0; i < 4; i++)
            row[i] = rows + row_number(ids, r + i) * stride;
        const struct four_sums four = sum_rows(measure, 4, unroll, query, row, dim);
        vst1q_f32(out + r, finish(measure, four, query_inverse_norm));
    }
    for (; r < count; r++) {
        const float *row = rows + row_number(ids, r) * stride;
        const struct four_sums four = sum_rows(measure, 1, 4, query, &row, dim);
        out[r] = vgetq_lane_f32(finish(measure, four, query_inverse_norm), 0);
    }
}

static float dot_f32(const float *a, const float *b, size_t dim)
{
    return vgetq_lane_f32(sum_rows(MEASURE_DOT, 1, 4, a, &b, dim).sums, 0);
}

static float l2sq_f32(const float *a, const float *b, size_t dim)
{
    return vgetq_lane_f32(sum_rows(MEASURE_L2SQ, 1, 4, a, &b, dim).sums, 0);
}

static void dot_f32_many(const float *query, const float *rows, size_t stride, size_t count,
                         size_t dim, float *out)
{
    rows_f32(MEASURE_DOT, query, 0.0f, rows, stride, NULL, count, dim, out);
}

static void l2sq_f32_many(const float *query, const float *rows, size_t stride, size_t count,
                          size_t dim, float *out)
{
    rows_f32(MEASURE_L2SQ, query, 0.0f, rows, stride, NULL, count, dim, out);
}

static void cosine_f32_many(const float *query, float query_inverse_norm, const float *rows,
                            size_t stride, size_t count, size_t dim, float *out)
{
    rows_f32(MEASURE_COSINE, query, query_inverse_norm, rows, stride, NULL, count, dim, out);
}

static void dot_f32_gather(const float *query, const float *rows, size_t stride,
                           const uint32_t *ids, size_t count, size_t dim, float *out)
{
    rows_f32(MEASURE_DOT, query, 0.0f, rows, stride, ids, count, dim, out);
}

static void l2sq_f32_gather(const float *query, const float *rows, size_t stride,
                            const uint32_t *ids, size_t count, size_t dim, float *out)
{
    rows_f32(MEASURE_L2SQ, query, 0.0f, rows, stride, ids, count, dim, out);
}

static void cosine_f32_gather(const float *query, float query_inverse_norm, const float *rows,
                              size_t stride, const uint32_t *ids, size_t count, size_t dim,
                              float *out)
{
    rows_f32(MEASURE_COSINE, query, query_inverse_norm, rows, stride, ids, count, dim, out);
}

/* ---- bytes and 4-bit codes: sums modulo 2^32 */

enum byte_measure { L2SQ_U7, L2SQ_U8, DOT_U8S8, DOT_CODE4 };

/* Add the terms of sixteen dimensions. A tail's zeros add nothing: the query's are zero too. */
SUTRA_INLINE uint32x4_t add_bytes(enum byte_measure measure, uint32x4_t sum, uint8x16_t q,
                                  uint8x16_t x)
{
    if (measure == DOT_U8S8) {
        const int8x16_t a = vreinterpretq_s8_u8(q);
        const int8x16_t b = vreinterpretq_s8_u8(veorq_u8(x, vdupq_n_u8(128)));
        int32x4_t signed_sum = vreinterpretq_s32_u32(sum);
        signed_sum = vpadalq_s16(signed_sum, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
        signed_sum = vpadalq_s16(signed_sum, vmull_high_s8(a, b));
        return vreinterpretq_u32_s32(signed_sum);
    }
    const uint8x16_t d = vabdq_u8(q, x);
    const uint16x8_t squares = vmull_u8(vget_low_u8(d), vget_low_u8(d));
    if (measure == L2SQ_U7)
        return vpadalq_u16(sum, vmlal_high_u8(squares, d, d));
    return vpadalq_u16(vpadalq_u16(sum, squares), vmull_high_u8(d, d));
}

/* Add one block of 64 dimensions in 32 bytes; q points at its 64 entries. */
SUTRA_INLINE uint32x4_t add_code4(uint32x4_t sum, const int8x16_t q[4], const uint8_t *row)
{
    int16x8_t products = vdupq_n_s16(0);
    for (int half = 0; half < 2; half++) {
        const uint8x16_t x = vld1q_u8(row + 16 * half);
        const int8x16_t low = vreinterpretq_s8_u8(vandq_u8(x, vdupq_n_u8(15)));
        const int8x16_t high = vreinterpretq_s8_u8(vshrq_n_u8(x, 4));
        products = vmlal_s8(products, vget_low_s8(q[half]), vget_low_s8(low));
        products = vmlal_high_s8(products, q[half], low);
        products = vmlal_s8(products, vget_low_s8(q[2 + half]), vget_low_s8(high));
        products = vmlal_high_s8(products, q[2 + half], high);
    }
    return vreinterpretq_u32_s32(vpadalq_s16(vreinterpretq_s32_u32(sum), products));
}

/* One sum per row and lane; n is 1 or 4. length is dim, or row_bytes for DOT_CODE4. */
SUTRA_INLINE uint32x4_t sum_byte_rows(enum byte_measure measure, int n, const uint8_t *query,
                                      const uint8_t *const *row, size_t length)
{
    uint32x4_t sum[4];
    for (int i = 0; i < 4; i++)
        sum[i] = vdupq_n_u32(0);
    size_t j = 0;
    if (measure == DOT_CODE4) {
        for (; j < length; j += 32) {
            int8x16_t q[4];
            for (int k = 0; k < 4; k++)
                q[k] = vreinterpretq_s8_u8(vld1q_u8(query + 2 * j + 16 * k));
            for (int i = 0; i < n; i++)
                sum[i] = add_code4(sum[i], q, row[i] + j);
        }
    } else {
        for (; j + 16 <= length; j += 16) {
            const uint8x16_t q = vld1q_u8(query + j);
            for (int i = 0; i < n; i++)
                sum[i] = add_bytes(measure, sum[i], q, vld1q_u8(row[i] + j));
        }
        if (j < length) {
            const uint8x16_t q = load_tail_u8(query, length);
            for (int i = 0; i < n; i++)
                sum[i] = add_bytes(measure, sum[i], q, load_tail_u8(row[i], length));
        }
    }
    return vpaddq_u32(vpaddq_u32(sum[0], sum[1]), vpaddq_u32(sum[2], sum[3]));
}

/* Sum of all entries of a signed query, modulo 2^32. */
SUTRA_INLINE uint32_t sum_s8(const int8_t *query, size_t dim)
{
    int32_t sum = 0;
    for (size_t j = 0; j < dim; j++)
        sum += query[j];
    return (uint32_t)sum;
}

/* offset is added to every result. */
SUTRA_INLINE void byte_rows(enum byte_measure measure, const void *query, const uint8_t *rows,
                            size_t stride, const uint32_t *ids, size_t count, size_t length,
                            uint32_t offset, void *out)
{
    uint32_t *sums_out = out;
    size_t r = 0;
    for (; r + 4 <= count; r += 4) {
        const uint8_t *row[4];
        for (size_t i = 0; i < 4; i++)
            row[i] = rows + row_number(ids, r + i) * stride;
        const uint32x4_t sums = sum_byte_rows(measure, 4, query, row, length);
        vst1q_u32(sums_out + r, vaddq_u32(sums, vdupq_n_u32(offset)));
    }
    for (; r < count; r++) {
        const uint8_t *row = rows + row_number(ids, r) * stride;
        const uint32x4_t sums = sum_byte_rows(measure, 1, query, &row, length);
        sums_out[r] = vgetq_lane_u32(sums, 0) + offset;
    }
}

static void l2sq_u7_many(const uint8_t *query, const uint8_t *rows, size_t stride, size_t count,
                         size_t dim, uint32_t *out)
{
    byte_rows(L2SQ_U7, query, rows, stride, NULL, count, dim, 0, out);
}

static void l2sq_u8_many(const uint8_t *query, const uint8_t *rows, size_t stride, size_t count,
                         size_t dim, uint32_t *out)
{
    byte_rows(L2SQ_U8, query, rows, stride, NULL, count, dim, 0, out);
}

static void l2sq_u8_gather(const uint8_t *query, const uint8_t *rows, size_t stride,
                           const uint32_t *ids, size_t count, size_t dim, uint32_t *out)
{
    byte_rows(L2SQ_U8, query, rows, stride, ids, count, dim, 0, out);
}

static void dot_u8s8_many(const int8_t *query, const uint8_t *rows, size_t stride, size_t count,
                          size_t dim, int32_t *out)
{
    byte_rows(DOT_U8S8, query, rows, stride, NULL, count, dim, 128 * sum_s8(query, dim), out);
}

static void dot_u8s8_gather(const int8_t *query, const uint8_t *rows, size_t stride,
                            const uint32_t *ids, size_t count, size_t dim, int32_t *out)
{
    byte_rows(DOT_U8S8, query, rows, stride, ids, count, dim, 128 * sum_s8(query, dim), out);
}

static void dot_code4_many(const int8_t *query, const uint8_t *rows, size_t stride, size_t count,
                           size_t row_bytes, int32_t *out)
{
    byte_rows(DOT_CODE4, query, rows, stride, NULL, count, row_bytes, 0, out);
}

/* Each operation rounds by itself, as in the scalar tier: the same bits. */
SUTRA_INLINE void score_rows(const int8_t *query, const uint8_t *rows, size_t stride,
                             const uint32_t *ids, size_t count, size_t row_bytes,
                             const float *corrections, float weight, float offset, float scale,
                             float *out)
{
    int32_t dots[64];
    for (size_t r = 0; r < count;) {
        const size_t end = count - r < 64 ? count : r + 64;
        const uint8_t *from = ids ? rows : rows + r * stride;
        byte_rows(DOT_CODE4, query, from, stride, ids ? ids + r : NULL, end - r, row_bytes, 0,
                  dots);
        for (size_t i = 0; r < end; i++, r++) {
            const float *pair = corrections + 2 * row_number(ids, r);
            const float product = offset + scale * (float)dots[i];
            out[r] = weight * pair[0] + pair[1] * product;
        }
    }
}

static void score_code4_many(const int8_t *query, const uint8_t *rows, size_t stride, size_t count,
                             size_t row_bytes, const float *corrections, float weight, float offset,
                             float scale, float *out)
{
    score_rows(query, rows, stride, NULL, count, row_bytes, corrections, weight, offset, scale,
               out);
}

static void score_code4_gather(const int8_t *query, const uint8_t *rows, size_t stride,
                               const uint32_t *ids, size_t count, size_t row_bytes,
                               const float *corrections, float weight, float offset, float scale,
                               float *out)
{
    score_rows(query, rows, stride, ids, count, row_bytes, corrections, weight, offset, scale, out);
}

/* ---- 8-bit codes from two planes x float query */

/* Codes 4 * group .. 4 * group + 3, less 127.5. */
SUTRA_INLINE float32x4_t code_floats(uint8x16_t codes, int group)
{
    const uint32x4_t two_to_22 = vdupq_n_u32(0x4a800000u);
    const uint16x8_t halves =
        group < 2 ? vshll_n_u8(vget_low_u8(codes), 1) : vshll_high_n_u8(codes, 1);
    const uint32x4_t bits = group % 2 == 0 ? vaddw_u16(two_to_22, vget_low_u16(halves))
                                           : vaddw_high_u16(two_to_22, halves);
    return vsubq_f32(vreinterpretq_f32_u32(bits), vdupq_n_f32(4194304.0f + 127.5f));
}

/* Add the terms of sixteen dimensions of n rows. */
SUTRA_INLINE void add_codes(int n, int unroll, const float *query, const uint8x16_t *codes,
                            float32x4_t *dots, float32x4_t *norms)
{
    for (int group = 0; group < 4; group++) {
        const float32x4_t q = vld1q_f32(query + 4 * group);
        for (int i = 0; i < n; i++) {
            const int at = i * unroll + group % unroll;
            add_terms(MEASURE_COSINE, q, code_floats(codes[i], group), &dots[at], &norms[at]);
        }
    }
}

/* One result per row and lane, or all lanes alike where n is 1; at[i] is row i's place in both
 * planes. Four rows have one accumulator each: more would not fit the registers. */
SUTRA_INLINE struct four_sums sum_code8_rows(int n, const float *query, const uint8_t *high,
                                             const uint8_t *low, const size_t *at, size_t row_bytes)
{
    const int unroll = n == 4 ? 1 : 4;
    float32x4_t dots[4], norms[4];
    for (int i = 0; i < 4; i++)
        dots[i] = norms[i] = vdupq_n_f32(0.0f);
    for (size_t j = 0; j < row_bytes; j += 16) {
        uint8x16_t first[4], last[4];
        for (int i = 0; i < n; i++) {
            const uint8x16_t h = vld1q_u8(high + at[i] + j), l = vld1q_u8(low + at[i] + j);
            first[i] = join_first(h, l);
            last[i] = join_last(h, l);
        }
        const float *block = query + j / 32 * 64 + j % 32;
        add_codes(n, unroll, block, first, dots, norms);
        add_codes(n, unroll, block + 32, last, dots, norms);
    }
    return (struct four_sums){reduce_f32(dots, n, unroll), reduce_f32(norms, n, unroll)};
}

static void dot_code8_gather(const float *query, const uint8_t *high, const uint8_t *low,
                             size_t stride, const uint32_t *ids, size_t count, size_t row_bytes,
                             float *dots_out, float *norms_out)
{
    size_t r = 0;
    for (; r + 4 <= count; r += 4) {
        const size_t at[4] = {ids[r] * stride, ids[r + 1] * stride, ids[r + 2] * stride,
                              ids[r + 3] * stride};
        const struct four_sums four = sum_code8_rows(4, query, high, low, at, row_bytes);
        vst1q_f32(dots_out + r, four.sums);
        vst1q_f32(norms_out + r, four.norms);
    }
    for (; r < count; r++) {
        const size_t at = ids[r] * stride;
        const struct four_sums one = sum_code8_rows(1, query, high, low, &at, row_bytes);
        dots_out[r] = vgetq_lane_f32(one.sums, 0);
        norms_out[r] = vgetq_lane_f32(one.norms, 0);
    }
}

const struct sutra_kernels sutra_kernels_neon = {
    .dot_f32 = dot_f32,
    .l2sq_f32 = l2sq_f32,
    .dot_f32_many = dot_f32_many,
    .l2sq_f32_many = l2sq_f32_many,
    .cosine_f32_many = cosine_f32_many,
    .dot_f32_gather = dot_f32_gather,
    .l2sq_f32_gather = l2sq_f32_gather,
    .cosine_f32_gather = cosine_f32_gather,
    .l2sq_u7_many = l2sq_u7_many,
    .l2sq_u8_many = l2sq_u8_many,
    .l2sq_u8_gather = l2sq_u8_gather,
    .dot_u8s8_many = dot_u8s8_many,
    .dot_u8s8_gather = dot_u8s8_gather,
    .dot_code4_many = dot_code4_many,
    .score_code4_many = score_code4_many,
    .score_code4_gather = score_code4_gather,
    .dot_code8_gather = dot_code8_gather,
};

#endif
