/* The NEON tier: quantization, rotation and top-k. tier_neon.c has the distances.
 *
 * Where a result does not depend on how often a value is seen (range, all_finite) the last load
 * overlaps the one before; other tails go to the scalar tier.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "../base/config.h"

#if defined(SUTRA_ARCH_AARCH64)

#include <arm_neon.h>

#include "neon.h"
#include "tiers.h"

/* ---- quantization */

/* Four codes. fmaxnm prefers a number to NaN; bounds are whole, so clamping may come first. */
SUTRA_INLINE int16x4_t encode4_s8(const float *x, float32x4_t scale)
{
    const float32x4_t position = vmulq_f32(vld1q_f32(x), scale);
    const float32x4_t clamped =
        vminnmq_f32(vmaxnmq_f32(position, vdupq_n_f32(-127.0f)), vdupq_n_f32(127.0f));
    return vmovn_s32(vcvtnq_s32_f32(clamped));
}

static void encode_s8(const float *x, size_t dim, float inverse_step, int8_t *codes_out)
{
    const float32x4_t scale = vdupq_n_f32(inverse_step);
    size_t j = 0;
    for (; j + 8 <= dim; j += 8) {
        const int16x8_t wide = vcombine_s16(encode4_s8(x + j, scale), encode4_s8(x + j + 4, scale));
        vst1_s8(codes_out + j, vmovn_s16(wide));
    }
    sutra_kernels_scalar.encode_s8(x + j, dim - j, inverse_step, codes_out + j);
}

static void join_planes(const uint8_t *high, const uint8_t *low, size_t row_bytes, unsigned shift,
                        uint8_t *codes_out)
{
    const int8x16_t places = vdupq_n_s8((int8_t)(0 - (int)shift)); /* a negative shift goes right */
    for (size_t j = 0; j < row_bytes; j += 16) {
        const uint8x16_t h = vld1q_u8(high + j), l = vld1q_u8(low + j);
        uint8_t *block = codes_out + j / 32 * 64 + j % 32;
        vst1q_u8(block, vshlq_u8(join_first(h, l), places));
        vst1q_u8(block + 32, vshlq_u8(join_last(h, l), places));
    }
}

static void range_f32(const float *x, size_t dim, float *min_out, float *max_out)
{
    if (dim < 4) {
        sutra_kernels_scalar.range_f32(x, dim, min_out, max_out);
        return;
    }
    float32x4_t smallest = vld1q_f32(x + dim - 4), largest = smallest;
    for (size_t j = 0; j + 4 <= dim; j += 4) {
        const float32x4_t v = vld1q_f32(x + j);
        smallest = vminq_f32(smallest, v);
        largest = vmaxq_f32(largest, v);
    }
    *min_out = vminvq_f32(smallest);
    *max_out = vmaxvq_f32(largest);
}

/* Without its sign a float orders like an integer, and what is not finite comes last. */
static int all_finite_f32(const float *x, size_t dim)
{
    if (dim < 4)
        return sutra_kernels_scalar.all_finite_f32(x, dim);
    uint32x4_t bits = vreinterpretq_u32_f32(vabsq_f32(vld1q_f32(x + dim - 4)));
    for (size_t j = 0; j + 4 <= dim; j += 4)
        bits = vmaxq_u32(bits, vreinterpretq_u32_f32(vabsq_f32(vld1q_f32(x + j))));
    return vmaxvq_u32(bits) < 0x7f800000u;
}

/* ---- rotation */

/* The butterflies of distance 1 and 2 among four values: each lane meets its partner and
 * the second of a pair changes sign first. */
SUTRA_INLINE float32x4_t hadamard4(float32x4_t v)
{
    const uint64x2_t odd_lanes = vdupq_n_u64((uint64_t)1 << 63);
    const uint32x4_t last_lanes = vcombine_u32(vdup_n_u32(0), vdup_n_u32(0x80000000u));
    uint32x4_t bits = veorq_u32(vreinterpretq_u32_f32(v), vreinterpretq_u32_u64(odd_lanes));
    v = vaddq_f32(vrev64q_f32(v), vreinterpretq_f32_u32(bits));
    bits = veorq_u32(vreinterpretq_u32_f32(v), last_lanes);
    return vaddq_f32(vextq_f32(v, v, 2), vreinterpretq_f32_u32(bits));
}

/* Two distances a pass, half and 2 * half, over 4 * half values. */
SUTRA_INLINE void hadamard_two(float *x, size_t half)
{
    for (size_t j = 0; j < half; j += 4) {
        float *p = x + j;
        const float32x4_t a = vld1q_f32(p), b = vld1q_f32(p + half);
        const float32x4_t c = vld1q_f32(p + 2 * half), d = vld1q_f32(p + 3 * half);
        const float32x4_t ab = vaddq_f32(a, b), a_b = vsubq_f32(a, b);
        const float32x4_t cd = vaddq_f32(c, d), c_d = vsubq_f32(c, d);
        vst1q_f32(p, vaddq_f32(ab, cd));
        vst1q_f32(p + half, vaddq_f32(a_b, c_d));
        vst1q_f32(p + 2 * half, vsubq_f32(ab, cd));
        vst1q_f32(p + 3 * half, vsubq_f32(a_b, c_d));
    }
}

static void hadamard_f32(float *x, size_t dim)
{
    if (dim < 4) {
        sutra_kernels_scalar.hadamard_f32(x, dim);
        return;
    }
    for (size_t j = 0; j < dim; j += 4)
        vst1q_f32(x + j, hadamard4(vld1q_f32(x + j)));
    size_t half = 4;
    for (; 4 * half <= dim; half *= 4) {
        for (size_t start = 0; start < dim; start += 4 * half)
            hadamard_two(x + start, half);
    }
    if (half < dim)
        sutra_kernels_scalar.butterfly_f32(x, dim);
}

static void flip_signs_f32(float *x, size_t dim, const uint8_t *signs)
{
    static const uint32_t bit_of_lane[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    const uint32x4_t bits_low = vld1q_u32(bit_of_lane), bits_high = vld1q_u32(bit_of_lane + 4);
    size_t j = 0;
    for (; j + 8 <= dim; j += 8) {
        const uint32x4_t byte = vdupq_n_u32(signs[j / 8]);
        const uint32x4_t low = vshlq_n_u32(vtstq_u32(byte, bits_low), 31);
        const uint32x4_t high = vshlq_n_u32(vtstq_u32(byte, bits_high), 31);
        const uint32x4_t a = vreinterpretq_u32_f32(vld1q_f32(x + j));
        const uint32x4_t b = vreinterpretq_u32_f32(vld1q_f32(x + j + 4));
        vst1q_f32(x + j, vreinterpretq_f32_u32(veorq_u32(a, low)));
        vst1q_f32(x + j + 4, vreinterpretq_f32_u32(veorq_u32(b, high)));
    }
    if (j < dim)
        sutra_kernels_scalar.flip_signs_f32(x + j, dim - j, signs + j / 8);
}

/* ---- top-k */

/* Sixteen comparisons in 64 bits: bit 4 * j + 3 for key j. */
SUTRA_INLINE uint64_t below16(const float *keys, float32x4_t threshold)
{
    const uint32x4_t a = vcltq_f32(vld1q_f32(keys), threshold);
    const uint32x4_t b = vcltq_f32(vld1q_f32(keys + 4), threshold);
    const uint32x4_t c = vcltq_f32(vld1q_f32(keys + 8), threshold);
    const uint32x4_t d = vcltq_f32(vld1q_f32(keys + 12), threshold);
    const uint16x8_t ab = vuzp1q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
    const uint16x8_t cd = vuzp1q_u16(vreinterpretq_u16_u32(c), vreinterpretq_u16_u32(d));
    const uint8x16_t all = vuzp1q_u8(vreinterpretq_u8_u16(ab), vreinterpretq_u8_u16(cd));
    const uint8x8_t nibbles = vshrn_n_u16(vreinterpretq_u16_u8(all), 4);
    return vget_lane_u64(vreinterpret_u64_u8(nibbles), 0) & 0x8888888888888888u;
}

static size_t below_f32(const float *keys, size_t count, float threshold, uint32_t *positions_out)
{
    const float32x4_t thresholds = vdupq_n_f32(threshold);
    size_t found = 0, j = 0;
    for (; j + 16 <= count; j += 16) {
        for (uint64_t bits = below16(keys + j, thresholds); bits != 0; bits &= bits - 1)
            positions_out[found++] = (uint32_t)(j + (size_t)(__builtin_ctzll(bits) / 4));
    }
    for (; j < count; j++) {
        positions_out[found] = (uint32_t)j;
        found += keys[j] < threshold;
    }
    return found;
}

/* Shift blocks of four up by one while their smallest is above the item. */
static size_t pool_insert(uint64_t *pool, size_t count, uint64_t item)
{
    size_t position = count;
    while (position >= 4 && pool[position - 4] > item) {
        const uint64x2_t low = vld1q_u64(pool + position - 4);
        const uint64x2_t high = vld1q_u64(pool + position - 2);
        vst1q_u64(pool + position - 3, low);
        vst1q_u64(pool + position - 1, high);
        position -= 4;
    }
    while (position > 0 && pool[position - 1] > item) {
        pool[position] = pool[position - 1];
        position--;
    }
    pool[position] = item;
    return position;
}

/* encode_u8, split_planes and butterfly_f32 stay scalar: gcc and clang make the same vector loops
 * of the plain ones. */
const struct sutra_kernels sutra_kernels_neon_data = {
    .encode_s8 = encode_s8,
    .join_planes = join_planes,
    .range_f32 = range_f32,
    .all_finite_f32 = all_finite_f32,
    .hadamard_f32 = hadamard_f32,
    .flip_signs_f32 = flip_signs_f32,
    .below_f32 = below_f32,
    .pool_insert = pool_insert,
};

#endif
