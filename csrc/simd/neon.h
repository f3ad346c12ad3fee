/* What the files of the NEON tiers share.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_SIMD_NEON_H
#define SUTRA_SIMD_NEON_H

#include <arm_neon.h>

#include "../base/config.h"

/* The number of the r-th row asked for; ids NULL means all rows in order. */
SUTRA_INLINE size_t row_number(const uint32_t *ids, size_t r)
{
    return ids ? ids[r] : r;
}

/* Sixteen codes of the low nibbles, and of the high nibbles. */
SUTRA_INLINE uint8x16_t join_first(uint8x16_t high, uint8x16_t low)
{
    return vsliq_n_u8(low, high, 4);
}

SUTRA_INLINE uint8x16_t join_last(uint8x16_t high, uint8x16_t low)
{
    return vsriq_n_u8(high, low, 4);
}

/* The last dim % 16 (not 0) bytes, zeros before or after them. */
SUTRA_INLINE uint8x16_t load_tail_u8(const uint8_t *x, size_t dim)
{
    static const uint8_t keep_last[32] = {[16] = 255, 255, 255, 255, 255, 255, 255, 255,
                                          255,        255, 255, 255, 255, 255, 255, 255};
    if (SUTRA_LIKELY(dim >= 16))
        return vandq_u8(vld1q_u8(x + dim - 16), vld1q_u8(keep_last + dim % 16));
    uint8_t bytes[16] = {0};
    for (size_t j = 0; j < dim; j++)
        bytes[j] = x[j];
    return vld1q_u8(bytes);
}

#endif
