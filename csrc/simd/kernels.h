/* Distance and code kernels: one table of function pointers per instruction-set tier.
 *
 * kernels.def is the only list; this header turns it into struct sutra_kernels. Each tier is
 * one file with a target region inside and a `const` table; a slot left NULL inherits the
 * slot of the tier below. sutra_kernels_select merges them once into a table the caller
 * owns, and that table travels as a pointer: there is no global and no lazy choice.
 *
 * To add a kernel: a line in kernels.def, its definition in tier_scalar.c, then any tier that
 * wants it. The parity tests pick it up from the list.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_SIMD_KERNELS_H
#define SUTRA_SIMD_KERNELS_H

#include "../base/config.h"

struct sutra_kernels {
#define SUTRA_KERNEL(type, name, parameters, family) type(*name) parameters;
#include "kernels.def"
#undef SUTRA_KERNEL
};

/* Ascending within an architecture. */
enum sutra_tier {
    SUTRA_TIER_SCALAR = 0,
    SUTRA_TIER_AVX2 = 1,    /* AVX2 + FMA + F16C */
    SUTRA_TIER_NEON = 2,    /* AArch64 baseline */
    SUTRA_TIER_NEONDOT = 3, /* AArch64 with the dot-product extension */
    SUTRA_TIER_COUNT
};

/* "scalar", "avx2", "neon", "neondot"; NULL for an unknown number. */
const char *sutra_tier_name(int tier);
/* The tier with that name, or -1. */
int sutra_tier_from_name(const char *name);
/* Compiled into this library? */
bool sutra_tier_compiled(int tier);
/* Compiled, and this CPU and OS can run it (register state checked)? */
bool sutra_tier_supported(int tier);
/* The best supported tier. */
int sutra_tier_best(void);

/* Fill table_out with `tier` merged over everything below it that is supported; no slot stays
 * NULL. SUTRA_E_CONFIG when the tier is not supported here. */
int sutra_kernels_select(int tier, struct sutra_kernels *table_out);

/* One name per line of kernels.def, NULL-terminated: for tests and reports. */
extern const char *const sutra_kernel_names[];

#endif
