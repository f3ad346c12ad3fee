/* A fast random rotation: spreads every vector's energy evenly over its coordinates, so that
 * one range and four bits suit data of any shape.
 *
 * Kac's walk with Hadamard steps ("FHT-Kac", as in the RaBitQ library): four rounds of
 * {random sign flips, Walsh-Hadamard transform of the first (even rounds) or last (odd
 * rounds) 2^k coordinates, butterfly of the two halves}, 2^k the largest power of two that
 * fits; the butterfly is left out when 2^k is the whole dimension. Orthogonal up to float
 * rounding, O(d log d), bit-identical on every tier.
 *
 * Stateless but for the sign bits, which the caller owns.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_QUANT_ROTATION_H
#define SUTRA_QUANT_ROTATION_H

#include "../simd/kernels.h"

#define SUTRA_ROTATION_ROUNDS 4

/* dim is a multiple of 8. */
SUTRA_INLINE size_t sutra_rotation_sign_bytes(size_t dim)
{
    return SUTRA_ROTATION_ROUNDS * (dim / 8);
}

void sutra_rotation_signs(uint64_t seed, size_t dim, uint8_t *signs_out);
void sutra_rotate(const struct sutra_kernels *kernels, const uint8_t *signs, float *x, size_t dim);
void sutra_rotate_back(const struct sutra_kernels *kernels, const uint8_t *signs, float *x,
                       size_t dim);

#endif
