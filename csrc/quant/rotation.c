/* The random rotation and its inverse; the method is in rotation.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "rotation.h"
#include "../base/prng.h"

static size_t largest_power_of_two(size_t dim)
{
    size_t power = 1;
    while (2 * power <= dim)
        power *= 2;
    return power;
}

static void scale(float *x, size_t dim, float factor)
{
    for (size_t j = 0; j < dim; j++)
        x[j] *= factor;
}

void sutra_rotation_signs(uint64_t seed, size_t dim, uint8_t *signs_out)
{
    for (size_t j = 0; j < sutra_rotation_sign_bytes(dim); j++)
        signs_out[j] = (uint8_t)sutra_random_at(seed, j);
}

/* The transform lengthens its part by sqrt(power), the butterfly everything by sqrt(2). The
 * first is undone at once, since the rest of x has not grown; the second at the end. */
static void transform(const struct sutra_kernels *kernels, float *x, size_t dim, size_t power,
                      size_t round)
{
    float *const part = x + (round % 2 ? dim - power : 0);
    kernels->hadamard_f32(part, power);
    scale(part, power, 1.0f / sqrtf((float)power));
}

void sutra_rotate(const struct sutra_kernels *kernels, const uint8_t *signs, float *x, size_t dim)
{
    const size_t power = largest_power_of_two(dim);
    for (size_t round = 0; round < SUTRA_ROTATION_ROUNDS; round++) {
        kernels->flip_signs_f32(x, dim, signs + round * (dim / 8));
        transform(kernels, x, dim, power, round);
        if (power != dim)
            kernels->butterfly_f32(x, dim);
    }
    if (power != dim)
        scale(x, dim, 0.25f);
}

/* Every step is its own inverse: the same steps backwards. */
void sutra_rotate_back(const struct sutra_kernels *kernels, const uint8_t *signs, float *x,
                       size_t dim)
{
    const size_t power = largest_power_of_two(dim);
    for (size_t round = SUTRA_ROTATION_ROUNDS; round-- > 0;) {
        if (power != dim)
            kernels->butterfly_f32(x, dim);
        transform(kernels, x, dim, power, round);
        kernels->flip_signs_f32(x, dim, signs + round * (dim / 8));
    }
    if (power != dim)
        scale(x, dim, 0.25f);
}
