/* What the files of the AVX2 tier share. To be included inside a target region.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_SIMD_AVX2_H
#define SUTRA_SIMD_AVX2_H

#include <immintrin.h>

#include "../base/config.h"

SUTRA_INLINE __m256i load_u8x32(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

/* All-ones lanes for the first `count` (0 .. 8) floats: masked loads never touch the rest. */
SUTRA_INLINE __m256i tail_mask(size_t count)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lane);
}

/* The 64 codes of a block, first 32 and last 32 dimensions. */
SUTRA_INLINE void join_block(const uint8_t *high, const uint8_t *low, __m256i *first_out,
                             __m256i *last_out)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i h = load_u8x32(high), l = load_u8x32(low);
    *first_out = _mm256_or_si256(_mm256_slli_epi16(_mm256_and_si256(h, nibble), 4),
                                 _mm256_and_si256(l, nibble));
    *last_out = _mm256_or_si256(_mm256_andnot_si256(nibble, h),
                                _mm256_and_si256(_mm256_srli_epi16(l, 4), nibble));
}

#endif
