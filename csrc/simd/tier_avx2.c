/* The AVX2 tier: AVX2 + FMA + F16C (x86-64-v3 hardware: Haswell, Zen and later); distances.
 * tier_avx2_data.c has the rest.
 *
 * Every one-to-many kernel works on four rows at a time: the query is loaded once for four
 * rows, four accumulators hide the latency of the adds, and one horizontal reduction serves
 * four results. `many` and `gather` differ only in how a row's address is found, so both are
 * made from one four-row and one one-row body (SUTRA_DEFINE_ROWS).
 *
 * Integer bounds
 *   u7 L2        |d| <= 127: a maddubs pair is <= 2 * 127^2 = 32258 < 2^15, widened every turn
 *   u8 L2        bytes are split into 16-bit halves before squaring: exact for all values
 *   u8 x s8      pair <= 2 * 255 * 64 or 2 * 127 * 128 <= 32640 < 2^15, widened every turn
 *   code4 x s8   pair <= 2 * 15 * 127 = 3810; eight pairs (four blocks) <= 30480 < 2^15
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tiers.h"

#if defined(SUTRA_ARCH_X86_64)

#include "target.h"

SUTRA_TARGET_BEGIN("avx2,fma,f16c")
#include <immintrin.h>

#include "avx2.h"

/* ---- reductions */

/* Lane sums of four accumulators, in order. */
SUTRA_INLINE __m128 reduce4_f32(__m256 a, __m256 b, __m256 c, __m256 d)
{
    const __m256 t = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
}

SUTRA_INLINE float reduce_f32(__m256 a)
{
    return _mm_cvtss_f32(reduce4_f32(a, a, a, a));
}

SUTRA_INLINE __m128i reduce4_i32(__m256i a, __m256i b, __m256i c, __m256i d)
{
    const __m256i t = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(t), _mm256_extracti128_si256(t, 1));
}

SUTRA_INLINE int32_t reduce_i32(__m256i a)
{
    return _mm_cvtsi128_si32(reduce4_i32(a, a, a, a));
}

/* Make name_many and name_gather from name_rows4(query, r0, r1, r2, r3, dim) -> vector of four
 * and name_row1(query, row, dim) -> scalar. */
#define SUTRA_DEFINE_ROWS(name, query_type, row_type, out_type, store4)                            \
    static void name##_many(const query_type *query, const row_type *rows, size_t stride,          \
                            size_t count, size_t dim, out_type *out)                               \
    {                                                                                              \
        size_t r = 0;                                                                              \
        for (; r + 4 <= count; r += 4, rows += 4 * stride)                                         \
            store4(out + r, name##_rows4(query, rows, rows + stride, rows + 2 * stride,            \
                                         rows + 3 * stride, dim));                                 \
        for (; r < count; r++, rows += stride)                                                     \
            out[r] = name##_row1(query, rows, dim);                                                \
    }                                                                                              \
    __attribute__((unused)) static void name##_gather(                                             \
        const query_type *query, const row_type *rows, size_t stride, const uint32_t *ids,         \
        size_t count, size_t dim, out_type *out)                                                   \
    {                                                                                              \
        size_t r = 0;                                                                              \
        for (; r + 4 <= count; r += 4)                                                             \
            store4(out + r,                                                                        \
                   name##_rows4(query, rows + ids[r] * stride, rows + ids[r + 1] * stride,         \
                                rows + ids[r + 2] * stride, rows + ids[r + 3] * stride, dim));     \
        for (; r < count; r++)                                                                     \
            out[r] = name##_row1(query, rows + ids[r] * stride, dim);                              \
    }

SUTRA_INLINE void store4_f32(float *out, __m128 value)
{
    _mm_storeu_ps(out, value);
}

SUTRA_INLINE void store4_i32(void *out, __m128i value)
{
    _mm_storeu_si128((__m128i *)out, value);
}

/* ---- float32 dot and squared L2 */

SUTRA_INLINE __m256 dot_step(__m256 sum, __m256 q, __m256 x)
{
    return _mm256_fmadd_ps(q, x, sum);
}

SUTRA_INLINE __m256 l2sq_step(__m256 sum, __m256 q, __m256 x)
{
    const __m256 d = _mm256_sub_ps(q, x);
    return _mm256_fmadd_ps(d, d, sum);
}

/* Two accumulators a row: eight chains cover the latency of fma. */
#define SUTRA_DEFINE_F32(name, step)                                                               \
    SUTRA_INLINE __m128 name##_rows4(const float *query, const float *r0, const float *r1,         \
                                     const float *r2, const float *r3, size_t dim)                 \
    {                                                                                              \
        __m256 a0 = _mm256_setzero_ps(), a1 = a0, a2 = a0, a3 = a0;                                \
        __m256 b0 = a0, b1 = a0, b2 = a0, b3 = a0;                                                 \
        size_t j = 0;                                                                              \
        for (; j + 16 <= dim; j += 16) {                                                           \
            const __m256 q0 = _mm256_loadu_ps(query + j), q1 = _mm256_loadu_ps(query + j + 8);     \
            a0 = step(a0, q0, _mm256_loadu_ps(r0 + j));                                            \
            a1 = step(a1, q0, _mm256_loadu_ps(r1 + j));                                            \
            a2 = step(a2, q0, _mm256_loadu_ps(r2 + j));                                            \
            a3 = step(a3, q0, _mm256_loadu_ps(r3 + j));                                            \
            b0 = step(b0, q1, _mm256_loadu_ps(r0 + j + 8));                                        \
            b1 = step(b1, q1, _mm256_loadu_ps(r1 + j + 8));                                        \
            b2 = step(b2, q1, _mm256_loadu_ps(r2 + j + 8));                                        \
            b3 = step(b3, q1, _mm256_loadu_ps(r3 + j + 8));                                        \
        }                                                                                          \
        for (; j < dim; j += 8) {                                                                  \
            const __m256i mask = tail_mask(dim - j);                                               \
            const __m256 q0 = _mm256_maskload_ps(query + j, mask);                                 \
            a0 = step(a0, q0, _mm256_maskload_ps(r0 + j, mask));                                   \
            a1 = step(a1, q0, _mm256_maskload_ps(r1 + j, mask));                                   \
            a2 = step(a2, q0, _mm256_maskload_ps(r2 + j, mask));                                   \
            a3 = step(a3, q0, _mm256_maskload_ps(r3 + j, mask));                                   \
        }                                                                                          \
        return reduce4_f32(_mm256_add_ps(a0, b0), _mm256_add_ps(a1, b1), _mm256_add_ps(a2, b2),    \
                           _mm256_add_ps(a3, b3));                                                 \
    }                                                                                              \
    static float name##_row1(const float *query, const float *row, size_t dim)                     \
    {                                                                                              \
        __m256 a = _mm256_setzero_ps(), b = a, c = a, d = a;                                       \
        size_t j = 0;                                                                              \
        for (; j + 32 <= dim; j += 32) {                                                           \
            a = step(a, _mm256_loadu_ps(query + j), _mm256_loadu_ps(row + j));                     \
            b = step(b, _mm256_loadu_ps(query + j + 8), _mm256_loadu_ps(row + j + 8));             \
            c = step(c, _mm256_loadu_ps(query + j + 16), _mm256_loadu_ps(row + j + 16));           \
            d = step(d, _mm256_loadu_ps(query + j + 24), _mm256_loadu_ps(row + j + 24));           \
        }                                                                                          \
        for (; j < dim; j += 8) {                                                                  \
            const __m256i mask = tail_mask(dim - j);                                               \
            a = step(a, _mm256_maskload_ps(query + j, mask), _mm256_maskload_ps(row + j, mask));   \
        }                                                                                          \
        return reduce_f32(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)));                \
    }

SUTRA_DEFINE_F32(dot_f32, dot_step)
SUTRA_DEFINE_F32(l2sq_f32, l2sq_step)
SUTRA_DEFINE_ROWS(dot_f32, float, float, float, store4_f32)
SUTRA_DEFINE_ROWS(l2sq_f32, float, float, float, store4_f32)

/* ---- float32 cosine: dot and the row's norm in one pass */

SUTRA_INLINE __m128 cosine_finish(__m128 dots, __m128 norms_squared, float query_inverse_norm)
{
    const __m128 zero = _mm_setzero_ps(), one = _mm_set1_ps(1.0f);
    const __m128 scale = _mm_set1_ps(query_inverse_norm);
    const __m128 cosine = _mm_div_ps(_mm_mul_ps(dots, scale), _mm_sqrt_ps(norms_squared));
    const __m128 undefined =
        _mm_or_ps(_mm_cmpeq_ps(norms_squared, zero), _mm_cmpeq_ps(scale, zero));
    return _mm_sub_ps(one, _mm_andnot_ps(undefined, cosine));
}

SUTRA_INLINE __m128 cosine_rows4(const float *query, float query_inverse_norm, const float *r0,
                                 const float *r1, const float *r2, const float *r3, size_t dim)
{
    __m256 a0 = _mm256_setzero_ps(), a1 = a0, a2 = a0, a3 = a0;
    __m256 n0 = a0, n1 = a0, n2 = a0, n3 = a0;
    for (size_t j = 0; j < dim; j += 8) {
        __m256 q, x0, x1, x2, x3;
        if (SUTRA_LIKELY(j + 8 <= dim)) {
            q = _mm256_loadu_ps(query + j);
            x0 = _mm256_loadu_ps(r0 + j);
            x1 = _mm256_loadu_ps(r1 + j);
            x2 = _mm256_loadu_ps(r2 + j);
            x3 = _mm256_loadu_ps(r3 + j);
        } else {
            const __m256i mask = tail_mask(dim - j);
            q = _mm256_maskload_ps(query + j, mask);
            x0 = _mm256_maskload_ps(r0 + j, mask);
            x1 = _mm256_maskload_ps(r1 + j, mask);
            x2 = _mm256_maskload_ps(r2 + j, mask);
            x3 = _mm256_maskload_ps(r3 + j, mask);
        }
        a0 = _mm256_fmadd_ps(q, x0, a0);
        a1 = _mm256_fmadd_ps(q, x1, a1);
        a2 = _mm256_fmadd_ps(q, x2, a2);
        a3 = _mm256_fmadd_ps(q, x3, a3);
        n0 = _mm256_fmadd_ps(x0, x0, n0);
        n1 = _mm256_fmadd_ps(x1, x1, n1);
        n2 = _mm256_fmadd_ps(x2, x2, n2);
        n3 = _mm256_fmadd_ps(x3, x3, n3);
    }
    return cosine_finish(reduce4_f32(a0, a1, a2, a3), reduce4_f32(n0, n1, n2, n3),
                         query_inverse_norm);
}

static void cosine_f32_many(const float *query, float query_inverse_norm, const float *rows,
                            size_t stride, size_t count, size_t dim, float *out)
{
    size_t r = 0;
    for (; r + 4 <= count; r += 4, rows += 4 * stride)
        _mm_storeu_ps(out + r, cosine_rows4(query, query_inverse_norm, rows, rows + stride,
                                            rows + 2 * stride, rows + 3 * stride, dim));
    for (; r < count; r++, rows += stride)
        out[r] =
            _mm_cvtss_f32(cosine_rows4(query, query_inverse_norm, rows, rows, rows, rows, dim));
}

static void cosine_f32_gather(const float *query, float query_inverse_norm, const float *rows,
                              size_t stride, const uint32_t *ids, size_t count, size_t dim,
                              float *out)
{
    size_t r = 0;
    for (; r + 4 <= count; r += 4)
        _mm_storeu_ps(out + r, cosine_rows4(query, query_inverse_norm, rows + ids[r] * stride,
                                            rows + ids[r + 1] * stride, rows + ids[r + 2] * stride,
                                            rows + ids[r + 3] * stride, dim));
    for (; r < count; r++) {
        const float *row = rows + ids[r] * stride;
        out[r] = _mm_cvtss_f32(cosine_rows4(query, query_inverse_norm, row, row, row, row, dim));
    }
}

/* ---- byte codes */

SUTRA_INLINE __m256i l2sq_u7_step(__m256i sum, __m256i q, __m256i x)
{
    const __m256i d = _mm256_abs_epi8(_mm256_sub_epi8(q, x));
    return _mm256_add_epi32(sum,
                            _mm256_madd_epi16(_mm256_maddubs_epi16(d, d), _mm256_set1_epi16(1)));
}

SUTRA_INLINE __m256i l2sq_u8_step(__m256i sum, __m256i q, __m256i x)
{
    const __m256i low_bytes = _mm256_set1_epi16(0xff);
    const __m256i even =
        _mm256_sub_epi16(_mm256_and_si256(q, low_bytes), _mm256_and_si256(x, low_bytes));
    const __m256i odd = _mm256_sub_epi16(_mm256_srli_epi16(q, 8), _mm256_srli_epi16(x, 8));
    return _mm256_add_epi32(
        sum, _mm256_add_epi32(_mm256_madd_epi16(even, even), _mm256_madd_epi16(odd, odd)));
}

SUTRA_INLINE __m256i dot_u8s8_step(__m256i sum, __m256i q, __m256i x)
{
    return _mm256_add_epi32(sum,
                            _mm256_madd_epi16(_mm256_maddubs_epi16(x, q), _mm256_set1_epi16(1)));
}

SUTRA_INLINE int32_t l2sq_term(int q, int x)
{
    return (q - x) * (q - x);
}

SUTRA_INLINE int32_t dot_term(int q, int x)
{
    return q * x;
}

/* Whole 32-byte blocks in registers, the rest one byte at a time: stored rows are padded to
 * blocks, only callers with odd dimensions pay. */
#define SUTRA_DEFINE_BYTES(name, query_type, out_type, step, term)                                 \
    SUTRA_INLINE __m128i name##_rows4(const query_type *query, const uint8_t *r0,                  \
                                      const uint8_t *r1, const uint8_t *r2, const uint8_t *r3,     \
                                      size_t dim)                                                  \
    {                                                                                              \
        __m256i a0 = _mm256_setzero_si256(), a1 = a0, a2 = a0, a3 = a0;                            \
        size_t j = 0;                                                                              \
        for (; j + 32 <= dim; j += 32) {                                                           \
            const __m256i q = load_u8x32(query + j);                                               \
            a0 = step(a0, q, load_u8x32(r0 + j));                                                  \
            a1 = step(a1, q, load_u8x32(r1 + j));                                                  \
            a2 = step(a2, q, load_u8x32(r2 + j));                                                  \
            a3 = step(a3, q, load_u8x32(r3 + j));                                                  \
        }                                                                                          \
        __m128i sums = reduce4_i32(a0, a1, a2, a3);                                                \
        for (; j < dim; j++)                                                                       \
            sums =                                                                                 \
                _mm_add_epi32(sums, _mm_setr_epi32(term(query[j], r0[j]), term(query[j], r1[j]),   \
                                                   term(query[j], r2[j]), term(query[j], r3[j]))); \
        return sums;                                                                               \
    }                                                                                              \
    SUTRA_INLINE out_type name##_row1(const query_type *query, const uint8_t *row, size_t dim)     \
    {                                                                                              \
        __m256i a = _mm256_setzero_si256(), b = a;                                                 \
        size_t j = 0;                                                                              \
        for (; j + 64 <= dim; j += 64) {                                                           \
            a = step(a, load_u8x32(query + j), load_u8x32(row + j));                               \
            b = step(b, load_u8x32(query + j + 32), load_u8x32(row + j + 32));                     \
        }                                                                                          \
        if (j + 32 <= dim) {                                                                       \
            a = step(a, load_u8x32(query + j), load_u8x32(row + j));                               \
            j += 32;                                                                               \
        }                                                                                          \
        int32_t sum = reduce_i32(_mm256_add_epi32(a, b));                                          \
        for (; j < dim; j++)                                                                       \
            sum += term(query[j], row[j]);                                                         \
        return (out_type)sum;                                                                      \
    }                                                                                              \
    SUTRA_DEFINE_ROWS(name, query_type, uint8_t, out_type, store4_i32)

SUTRA_DEFINE_BYTES(l2sq_u7, uint8_t, uint32_t, l2sq_u7_step, l2sq_term)
SUTRA_DEFINE_BYTES(l2sq_u8, uint8_t, uint32_t, l2sq_u8_step, l2sq_term)
SUTRA_DEFINE_BYTES(dot_u8s8, int8_t, int32_t, dot_u8s8_step, dot_term)

/* ---- 4-bit code planes */

/* Sixteen 16-bit partial sums of one 64-dimension block. */
SUTRA_INLINE __m256i code4_block(__m256i q_low, __m256i q_high, __m256i x)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i low = _mm256_and_si256(x, nibble);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble);
    return _mm256_add_epi16(_mm256_maddubs_epi16(low, q_low), _mm256_maddubs_epi16(high, q_high));
}

/* Four blocks fit 16 bits (see the bounds above): widen once a group. */
#define SUTRA_CODE4_GROUP_BYTES 128

SUTRA_INLINE __m128i dot_code4_rows4(const int8_t *query, const uint8_t *r0, const uint8_t *r1,
                                     const uint8_t *r2, const uint8_t *r3, size_t row_bytes)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i a0 = _mm256_setzero_si256(), a1 = a0, a2 = a0, a3 = a0;
    for (size_t j = 0; j < row_bytes;) {
        const size_t end =
            row_bytes - j < SUTRA_CODE4_GROUP_BYTES ? row_bytes : j + SUTRA_CODE4_GROUP_BYTES;
        __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
        for (; j < end; j += 32) {
            const __m256i q_low = load_u8x32(query + 2 * j);
            const __m256i q_high = load_u8x32(query + 2 * j + 32);
            s0 = _mm256_add_epi16(s0, code4_block(q_low, q_high, load_u8x32(r0 + j)));
            s1 = _mm256_add_epi16(s1, code4_block(q_low, q_high, load_u8x32(r1 + j)));
            s2 = _mm256_add_epi16(s2, code4_block(q_low, q_high, load_u8x32(r2 + j)));
            s3 = _mm256_add_epi16(s3, code4_block(q_low, q_high, load_u8x32(r3 + j)));
        }
        a0 = _mm256_add_epi32(a0, _mm256_madd_epi16(s0, ones));
        a1 = _mm256_add_epi32(a1, _mm256_madd_epi16(s1, ones));
        a2 = _mm256_add_epi32(a2, _mm256_madd_epi16(s2, ones));
        a3 = _mm256_add_epi32(a3, _mm256_madd_epi16(s3, ones));
    }
    return reduce4_i32(a0, a1, a2, a3);
}

SUTRA_INLINE int32_t dot_code4_row1(const int8_t *query, const uint8_t *row, size_t row_bytes)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum = _mm256_setzero_si256();
    for (size_t j = 0; j < row_bytes; j += 32) {
        const __m256i part = code4_block(load_u8x32(query + 2 * j), load_u8x32(query + 2 * j + 32),
                                         load_u8x32(row + j));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(part, ones));
    }
    return reduce_i32(sum);
}

SUTRA_DEFINE_ROWS(dot_code4, int8_t, uint8_t, int32_t, store4_i32)

/* Elementwise, without fma: the same bits as the scalar tier. */
SUTRA_INLINE __m128 score4(__m128i dots, __m128 firsts, __m128 seconds, float weight, float offset,
                           float scale)
{
    const __m128 product =
        _mm_add_ps(_mm_set1_ps(offset), _mm_mul_ps(_mm_set1_ps(scale), _mm_cvtepi32_ps(dots)));
    return _mm_add_ps(_mm_mul_ps(_mm_set1_ps(weight), firsts), _mm_mul_ps(seconds, product));
}

SUTRA_INLINE float score1(int32_t dot, const float *pair, float weight, float offset, float scale)
{
    const float product = offset + scale * (float)dot;
    return weight * pair[0] + pair[1] * product;
}

static void score_code4_many(const int8_t *query, const uint8_t *rows, size_t stride, size_t count,
                             size_t row_bytes, const float *corrections, float weight, float offset,
                             float scale, float *out)
{
    size_t r = 0;
    for (; r + 4 <= count; r += 4, rows += 4 * stride) {
        const __m128i dots = dot_code4_rows4(query, rows, rows + stride, rows + 2 * stride,
                                             rows + 3 * stride, row_bytes);
        const __m128 a = _mm_loadu_ps(corrections + 2 * r);
        const __m128 b = _mm_loadu_ps(corrections + 2 * r + 4);
        _mm_storeu_ps(out + r, score4(dots, _mm_shuffle_ps(a, b, 0x88), _mm_shuffle_ps(a, b, 0xdd),
                                      weight, offset, scale));
    }
    for (; r < count; r++, rows += stride)
        out[r] = score1(dot_code4_row1(query, rows, row_bytes), corrections + 2 * r, weight, offset,
                        scale);
}

/* Two floats in the low half of a register. */
SUTRA_INLINE __m128 load_pair(const float *pair)
{
    return _mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)(const void *)pair));
}

static void score_code4_gather(const int8_t *query, const uint8_t *rows, size_t stride,
                               const uint32_t *ids, size_t count, size_t row_bytes,
                               const float *corrections, float weight, float offset, float scale,
                               float *out)
{
    size_t r = 0;
    for (; r + 4 <= count; r += 4) {
        const size_t i0 = ids[r], i1 = ids[r + 1], i2 = ids[r + 2], i3 = ids[r + 3];
        const __m128i dots = dot_code4_rows4(query, rows + i0 * stride, rows + i1 * stride,
                                             rows + i2 * stride, rows + i3 * stride, row_bytes);
        const __m128 a =
            _mm_movelh_ps(load_pair(corrections + 2 * i0), load_pair(corrections + 2 * i1));
        const __m128 b =
            _mm_movelh_ps(load_pair(corrections + 2 * i2), load_pair(corrections + 2 * i3));
        _mm_storeu_ps(out + r, score4(dots, _mm_shuffle_ps(a, b, 0x88), _mm_shuffle_ps(a, b, 0xdd),
                                      weight, offset, scale));
    }
    for (; r < count; r++)
        out[r] = score1(dot_code4_row1(query, rows + ids[r] * stride, row_bytes),
                        corrections + 2 * (size_t)ids[r], weight, offset, scale);
}

/* ---- 8-bit codes from two planes x float query */

/* Eight bytes to floats around zero. */
SUTRA_INLINE __m256 widen8(__m128i bytes)
{
    return _mm256_sub_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)), _mm256_set1_ps(127.5f));
}

struct code8_sums {
    __m256 dot_a, dot_b, norm_a, norm_b;
};

SUTRA_INLINE void add_code8(struct code8_sums *sums, const float *query, __m128i bytes)
{
    const __m256 first = widen8(bytes), second = widen8(_mm_srli_si128(bytes, 8));
    sums->dot_a = _mm256_fmadd_ps(_mm256_loadu_ps(query), first, sums->dot_a);
    sums->dot_b = _mm256_fmadd_ps(_mm256_loadu_ps(query + 8), second, sums->dot_b);
    sums->norm_a = _mm256_fmadd_ps(first, first, sums->norm_a);
    sums->norm_b = _mm256_fmadd_ps(second, second, sums->norm_b);
}

static void dot_code8_gather(const float *query, const uint8_t *high, const uint8_t *low,
                             size_t stride, const uint32_t *ids, size_t count, size_t row_bytes,
                             float *dots_out, float *norms_out)
{
    for (size_t r = 0; r < count; r++) {
        const size_t at = ids[r] * stride;
        const __m256 zero = _mm256_setzero_ps();
        struct code8_sums sums = {zero, zero, zero, zero};
        for (size_t j = 0; j < row_bytes; j += 32) {
            const float *q = query + 2 * j;
            __m256i first, last;
            join_block(high + at + j, low + at + j, &first, &last);
            add_code8(&sums, q, _mm256_castsi256_si128(first));
            add_code8(&sums, q + 16, _mm256_extracti128_si256(first, 1));
            add_code8(&sums, q + 32, _mm256_castsi256_si128(last));
            add_code8(&sums, q + 48, _mm256_extracti128_si256(last, 1));
        }
        dots_out[r] = reduce_f32(_mm256_add_ps(sums.dot_a, sums.dot_b));
        norms_out[r] = reduce_f32(_mm256_add_ps(sums.norm_a, sums.norm_b));
    }
}

SUTRA_TARGET_END

const struct sutra_kernels sutra_kernels_avx2 = {
    .dot_f32 = dot_f32_row1,
    .l2sq_f32 = l2sq_f32_row1,
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
