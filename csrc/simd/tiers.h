/* The tier tables, for select.c alone. A tier file compiles to nothing on other architectures. A
 * tier that fills two files has a table in each: distances, and data (the rest of the list).
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_SIMD_TIERS_H
#define SUTRA_SIMD_TIERS_H

#include "kernels.h"

extern const struct sutra_kernels sutra_kernels_scalar;
#if defined(SUTRA_ARCH_X86_64)
extern const struct sutra_kernels sutra_kernels_avx2;
extern const struct sutra_kernels sutra_kernels_avx2_data;
#elif defined(SUTRA_ARCH_AARCH64)
extern const struct sutra_kernels sutra_kernels_neon;
extern const struct sutra_kernels sutra_kernels_neon_data;
extern const struct sutra_kernels sutra_kernels_neondot;
#endif

#endif
