/* Little-endian loads and stores at any alignment, and arithmetic that refuses to overflow.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_BASE_BYTES_H
#define SUTRA_BASE_BYTES_H

#include <string.h>

#include "config.h"

/* config.h refuses big-endian hosts, so a copy is a little-endian access. */
SUTRA_INLINE uint32_t sutra_load_u32(const void *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

SUTRA_INLINE uint64_t sutra_load_u64(const void *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

SUTRA_INLINE float sutra_load_f32(const void *from)
{
    float value;
    memcpy(&value, from, sizeof value);
    return value;
}

SUTRA_INLINE void sutra_store_u32(void *to, uint32_t value)
{
    memcpy(to, &value, sizeof value);
}

SUTRA_INLINE void sutra_store_u64(void *to, uint64_t value)
{
    memcpy(to, &value, sizeof value);
}

SUTRA_INLINE void sutra_store_f32(void *to, float value)
{
    memcpy(to, &value, sizeof value);
}

/* true and *product_out on success; false on overflow. */
SUTRA_INLINE bool sutra_mul_size(size_t a, size_t b, size_t *product_out)
{
    return !__builtin_mul_overflow(a, b, product_out);
}

SUTRA_INLINE bool sutra_add_size(size_t a, size_t b, size_t *sum_out)
{
    return !__builtin_add_overflow(a, b, sum_out);
}

SUTRA_INLINE size_t sutra_round_up(size_t value, size_t power_of_two)
{
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}

#endif
