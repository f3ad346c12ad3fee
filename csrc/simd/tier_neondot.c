/* The NEONDOT tier: AArch64 with the dot-product extension (SDOT, UDOT: optional in Armv8.2,
 * mandatory from Armv8.4; Cortex-A55, A76 and later, Neoverse, Apple M1 and later).
 *
 * One instruction multiplies sixteen pairs of bytes and adds the products into four 32-bit
 * lanes, so nothing passes through 16 bits and nothing needs widening. Only kernels on bytes
 * and nibbles profit; every other slot is NULL and stays with NEON.
 *
 *   u8, u7 L2   d = |q - x| by UABD, then UDOT of d with itself: the same for u7 and u8
 *   u8 x s8     x - 128 is a signed byte (an exclusive-or with 128), so SDOT applies:
 *               sum(q * x) = sum(q * (x - 128)) + 128 * sum(q), the second part once a call
 *   code4 x s8  a nibble is a valid signed byte: SDOT with no correction
 *
 * Bounds: u8 L2 is at most 33000 * 255^2 < 2^31. The other sums are taken modulo 2^32; the
 * result fits 31 bits, so intermediate wrap is harmless. Rows, tails and `many` as `gather`
 * without ids are as in tier_neon.c.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "../base/config.h"

#if defined(SUTRA_ARCH_AARCH64)

#include <arm_neon.h>

#include "neon.h"
#include "target.h"
#include "tiers.h"

#if defined(__clang__)
SUTRA_TARGET_BEGIN("dotprod")
#else
SUTRA_TARGET_BEGIN("arch=armv8.2-a+dotprod")
#endif

enum byte_measure { L2SQ_U8, DOT_U8S8, DOT_CODE4 };

/* Add sixteen products of signed bytes. */
SUTRA_INLINE uint32x4_t add_signed(uint32x4_t sum, uint8x16_t a, uint8x16_t b)
{
    return vreinterpretq_u32_s32(
        vdotq_s32(vreinterpretq_s32_u32(sum), vreinterpretq_s8_u8(a), vreinterpretq_s8_u8(b)));
}

/* Add the terms of sixteen dimensions. A tail's zeros add nothing: the query's are zero too. */
SUTRA_INLINE uint32x4_t add_bytes(enum byte_measure measure, uint32x4_t sum, uint8x16_t q,
                                  uint8x16_t x)
{
    if (measure == DOT_U8S8)
        return add_signed(sum, q, veorq_u8(x, vdupq_n_u8(128)));
    const uint8x16_t d = vabdq_u8(q, x);
    return vdotq_u32(sum, d, d);
}

/* Two accumulators for each of up to four rows. */
struct byte_sums {
    uint32x4_t even[4], odd[4];
};

/* Blocks of 64 dimensions in 32 bytes of a row and 64 entries of the query. */
SUTRA_INLINE void sum_code4(struct byte_sums *sums, int n, const uint8_t *query,
                            const uint8_t *const *row, size_t row_bytes)
{
    for (size_t j = 0; j < row_bytes; j += 16) {
        const uint8_t *block = query + j / 32 * 64 + j % 32;
        const uint8x16_t q_low = vld1q_u8(block), q_high = vld1q_u8(block + 32);
        for (int i = 0; i < n; i++) {
            const uint8x16_t x = vld1q_u8(row[i] + j);
            sums->even[i] = add_signed(sums->even[i], q_low, vandq_u8(x, vdupq_n_u8(15)));
            sums->odd[i] = add_signed(sums->odd[i], q_high, vshrq_n_u8(x, 4));
        }
    }
}

SUTRA_INLINE void sum_bytes(enum byte_measure measure, struct byte_sums *sums, int n,
                            const uint8_t *query, const uint8_t *const *row, size_t dim)
{
    size_t j = 0;
    for (; j + 32 <= dim; j += 32) {
        const uint8x16_t q0 = vld1q_u8(query + j), q1 = vld1q_u8(query + j + 16);
        for (int i = 0; i < n; i++) {
            sums->even[i] = add_bytes(measure, sums->even[i], q0, vld1q_u8(row[i] + j));
            sums->odd[i] = add_bytes(measure, sums->odd[i], q1, vld1q_u8(row[i] + j + 16));
        }
    }
    if (j + 16 <= dim) {
        const uint8x16_t q = vld1q_u8(query + j);
        for (int i = 0; i < n; i++)
            sums->even[i] = add_bytes(measure, sums->even[i], q, vld1q_u8(row[i] + j));
        j += 16;
    }
    if (j < dim) {
        const uint8x16_t q = load_tail_u8(query, dim);
        for (int i = 0; i < n; i++)
            sums->odd[i] = add_bytes(measure, sums->odd[i], q, load_tail_u8(row[i], dim));
    }
}

/* One sum per row and lane; n is 1 or 4. length is dim, or row_bytes for DOT_CODE4. */
SUTRA_INLINE uint32x4_t sum_rows(enum byte_measure measure, int n, const uint8_t *query,
                                 const uint8_t *const *row, size_t length)
{
    struct byte_sums sums;
    for (int i = 0; i < 4; i++)
        sums.even[i] = sums.odd[i] = vdupq_n_u32(0);
    if (measure == DOT_CODE4)
        sum_code4(&sums, n, query, row, length);
    else
        sum_bytes(measure, &sums, n, query, row, length);
    for (int i = 0; i < 4; i++)
        sums.even[i] = vaddq_u32(sums.even[i], sums.odd[i]);
    return vpaddq_u32(vpaddq_u32(sums.even[0], sums.even[1]),
                      vpaddq_u32(sums.even[2], sums.even[3]));
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
        const uint32x4_t sums = sum_rows(measure, 4, query, row, length);
        vst1q_u32(sums_out + r, vaddq_u32(sums, vdupq_n_u32(offset)));
    }
    for (; r < count; r++) {
        const uint8_t *row = rows + row_number(ids, r) * stride;
        const uint32x4_t sums = sum_rows(measure, 1, query, &row, length);
        sums_out[r] = vgetq_lane_u32(sums, 0) + offset;
    }
}

/* 128 * the sum of a signed query, modulo 2^32. */
SUTRA_INLINE uint32_t query_offset(const int8_t *query, size_t dim)
{
    int32_t sum = 0;
    for (size_t j = 0; j < dim; j++)
        sum += query[j];
    return 128 * (uint32_t)sum;
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
    byte_rows(DOT_U8S8, query, rows, stride, NULL, count, dim, query_offset(query, dim), out);
}

static void dot_u8s8_gather(const int8_t *query, const uint8_t *rows, size_t stride,
                            const uint32_t *ids, size_t count, size_t dim, int32_t *out)
{
    byte_rows(DOT_U8S8, query, rows, stride, ids, count, dim, query_offset(query, dim), out);
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

SUTRA_TARGET_END

/* NULL elsewhere: no other kernel multiplies bytes by bytes. */
const struct sutra_kernels sutra_kernels_neondot = {
    .l2sq_u7_many = l2sq_u8_many,
    .l2sq_u8_many = l2sq_u8_many,
    .l2sq_u8_gather = l2sq_u8_gather,
    .dot_u8s8_many = dot_u8s8_many,
    .dot_u8s8_gather = dot_u8s8_gather,
    .dot_code4_many = dot_code4_many,
    .score_code4_many = score_code4_many,
    .score_code4_gather = score_code4_gather,
};

#endif
