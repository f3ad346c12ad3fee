/* The AVX2 tier: quantization, rotation and top-k. tier_avx2.c has the distances.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tiers.h"

#if defined(SUTRA_ARCH_X86_64)

#include <math.h>

#include "target.h"

SUTRA_TARGET_BEGIN("avx2,fma,f16c")
#include <immintrin.h>

#include "avx2.h"

/* ---- quantization */

static void encode_u8(const float *x, size_t dim, float offset, float inverse_step,
                      uint8_t *codes_out)
{
    const __m256 o = _mm256_set1_ps(offset), s = _mm256_set1_ps(inverse_step);
    const __m256 top = _mm256_set1_ps(255.0f);
    size_t j = 0;
    for (; j + 8 <= dim; j += 8) {
        __m256 v = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + j), o), s);
        v = _mm256_min_ps(_mm256_max_ps(v, _mm256_setzero_ps()), top); /* NaN: max takes the zero */
        const __m256i i = _mm256_cvttps_epi32(v);
        const __m128i w =
            _mm_packus_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
        _mm_storel_epi64((__m128i *)(codes_out + j), _mm_packus_epi16(w, w));
    }
    for (; j < dim; j++) {
        const float position = (x[j] - offset) * inverse_step;
        const float floored = position > 0.0f ? position : 0.0f;
        codes_out[j] = (uint8_t)(floored < 255.0f ? floored : 255.0f);
    }
}

static void encode_s8(const float *x, size_t dim, float inverse_step, int8_t *codes_out)
{
    const __m256 s = _mm256_set1_ps(inverse_step), top = _mm256_set1_ps(127.0f);
    size_t j = 0;
    for (; j + 8 <= dim; j += 8) {
        __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + j), s);
        v = _mm256_min_ps(_mm256_max_ps(v, _mm256_set1_ps(-127.0f)), top);
        const __m256i i = _mm256_cvtps_epi32(v);
        const __m128i w =
            _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
        _mm_storel_epi64((__m128i *)(codes_out + j), _mm_packs_epi16(w, w));
    }
    for (; j < dim; j++) {
        const float position = x[j] * inverse_step;
        const float floored = position > -127.0f ? position : -127.0f;
        codes_out[j] = (int8_t)lrintf(floored < 127.0f ? floored : 127.0f);
    }
}

static void split_planes(const uint8_t *codes, size_t row_bytes, uint8_t *high_out,
                         uint8_t *low_out)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    for (size_t j = 0; j < row_bytes; j += 32) {
        const __m256i a = load_u8x32(codes + 2 * j), b = load_u8x32(codes + 2 * j + 32);
        const __m256i high = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(a, 4), nibble),
                                             _mm256_andnot_si256(nibble, b));
        const __m256i low = _mm256_or_si256(_mm256_and_si256(a, nibble),
                                            _mm256_slli_epi16(_mm256_and_si256(b, nibble), 4));
        _mm256_storeu_si256((__m256i *)(high_out + j), high);
        _mm256_storeu_si256((__m256i *)(low_out + j), low);
    }
}

static void join_planes(const uint8_t *high, const uint8_t *low, size_t row_bytes, unsigned shift,
                        uint8_t *codes_out)
{
    const __m128i places = _mm_cvtsi32_si128((int)shift);
    const __m256i keep = _mm256_set1_epi8((char)(0xff >> shift));
    for (size_t j = 0; j < row_bytes; j += 32) {
        __m256i first, last;
        join_block(high + j, low + j, &first, &last);
        first = _mm256_and_si256(_mm256_srl_epi16(first, places), keep);
        last = _mm256_and_si256(_mm256_srl_epi16(last, places), keep);
        _mm256_storeu_si256((__m256i *)(codes_out + 2 * j), first);
        _mm256_storeu_si256((__m256i *)(codes_out + 2 * j + 32), last);
    }
}

static void range_f32(const float *x, size_t dim, float *min_out, float *max_out)
{
    float smallest = x[0], largest = x[0];
    size_t j = 0;
    if (dim >= 8) {
        __m256 low = _mm256_loadu_ps(x), high = low;
        for (j = 8; j + 8 <= dim; j += 8) {
            const __m256 v = _mm256_loadu_ps(x + j);
            low = _mm256_min_ps(low, v);
            high = _mm256_max_ps(high, v);
        }
        float lows[8], highs[8];
        _mm256_storeu_ps(lows, low);
        _mm256_storeu_ps(highs, high);
        for (int lane = 0; lane < 8; lane++) {
            smallest = lows[lane] < smallest ? lows[lane] : smallest;
            largest = highs[lane] > largest ? highs[lane] : largest;
        }
    }
    for (; j < dim; j++) {
        smallest = x[j] < smallest ? x[j] : smallest;
        largest = x[j] > largest ? x[j] : largest;
    }
    *min_out = smallest;
    *max_out = largest;
}

static int all_finite_f32(const float *x, size_t dim)
{
    const __m256i exponent = _mm256_set1_epi32(0x7f800000);
    __m256i bad = _mm256_setzero_si256();
    for (size_t j = 0; j < dim; j += 8) {
        const __m256i v = j + 8 <= dim
                              ? load_u8x32(x + j)
                              : _mm256_castps_si256(_mm256_maskload_ps(x + j, tail_mask(dim - j)));
        bad = _mm256_or_si256(bad, _mm256_cmpeq_epi32(_mm256_and_si256(v, exponent), exponent));
    }
    return _mm256_testz_si256(bad, bad);
}

/* ---- rotation */

/* The three smallest butterflies of eight values, in registers: swap partners, flip the sign
 * of the second of each pair, add. */
SUTRA_INLINE __m256 hadamard8(__m256 v)
{
    const __m256 odd1 = _mm256_setr_ps(0.0f, -0.0f, 0.0f, -0.0f, 0.0f, -0.0f, 0.0f, -0.0f);
    const __m256 odd2 = _mm256_setr_ps(0.0f, 0.0f, -0.0f, -0.0f, 0.0f, 0.0f, -0.0f, -0.0f);
    const __m256 odd4 = _mm256_setr_ps(0.0f, 0.0f, 0.0f, 0.0f, -0.0f, -0.0f, -0.0f, -0.0f);
    v = _mm256_add_ps(_mm256_permute_ps(v, 0xb1), _mm256_xor_ps(v, odd1));
    v = _mm256_add_ps(_mm256_permute_ps(v, 0x4e), _mm256_xor_ps(v, odd2));
    return _mm256_add_ps(_mm256_permute2f128_ps(v, v, 1), _mm256_xor_ps(v, odd4));
}

static void hadamard_f32(float *x, size_t dim)
{
    if (dim < 8) {
        sutra_kernels_scalar.hadamard_f32(x, dim);
        return;
    }
    for (size_t j = 0; j < dim; j += 8)
        _mm256_storeu_ps(x + j, hadamard8(_mm256_loadu_ps(x + j)));
    for (size_t half = 8; half < dim; half *= 2) {
        for (size_t start = 0; start < dim; start += 2 * half) {
            for (size_t j = start; j < start + half; j += 8) {
                const __m256 a = _mm256_loadu_ps(x + j), b = _mm256_loadu_ps(x + j + half);
                _mm256_storeu_ps(x + j, _mm256_add_ps(a, b));
                _mm256_storeu_ps(x + j + half, _mm256_sub_ps(a, b));
            }
        }
    }
}

static void butterfly_f32(float *x, size_t dim)
{
    const size_t half = dim / 2;
    size_t j = 0;
    for (; j + 8 <= half; j += 8) {
        const __m256 a = _mm256_loadu_ps(x + j), b = _mm256_loadu_ps(x + j + half);
        _mm256_storeu_ps(x + j, _mm256_add_ps(a, b));
        _mm256_storeu_ps(x + j + half, _mm256_sub_ps(a, b));
    }
    for (; j < half; j++) {
        const float a = x[j], b = x[j + half];
        x[j] = a + b;
        x[j + half] = a - b;
    }
}

static void flip_signs_f32(float *x, size_t dim, const uint8_t *signs)
{
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    size_t j = 0;
    for (; j + 8 <= dim; j += 8) {
        const __m256i set = _mm256_and_si256(_mm256_set1_epi32(signs[j / 8]), bit);
        const __m256i sign = _mm256_slli_epi32(_mm256_cmpeq_epi32(set, bit), 31);
        _mm256_storeu_ps(x + j, _mm256_xor_ps(_mm256_loadu_ps(x + j), _mm256_castsi256_ps(sign)));
    }
    for (; j < dim; j++) {
        if (signs[j / 8] >> (j % 8) & 1)
            x[j] = -x[j];
    }
}

/* ---- top-k */

static size_t below_f32(const float *keys, size_t count, float threshold, uint32_t *positions_out)
{
    const __m256 limit = _mm256_set1_ps(threshold);
    size_t found = 0, j = 0;
    for (; j + 8 <= count; j += 8) {
        unsigned mask = (unsigned)_mm256_movemask_ps(
            _mm256_cmp_ps(_mm256_loadu_ps(keys + j), limit, _CMP_LT_OQ));
        for (; mask; mask &= mask - 1)
            positions_out[found++] = (uint32_t)(j + (size_t)__builtin_ctz(mask));
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
        const __m256i block = load_u8x32(pool + position - 4);
        _mm256_storeu_si256((__m256i *)(pool + position - 3), block);
        position -= 4;
    }
    while (position > 0 && pool[position - 1] > item) {
        pool[position] = pool[position - 1];
        position--;
    }
    pool[position] = item;
    return position;
}

SUTRA_TARGET_END

const struct sutra_kernels sutra_kernels_avx2_data = {
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

#endif
