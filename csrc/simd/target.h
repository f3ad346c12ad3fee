/* Target regions: code between BEGIN and END may use the named instruction set, everything
 * outside stays baseline. Both compilers need their own pragma.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_SIMD_TARGET_H
#define SUTRA_SIMD_TARGET_H

#define SUTRA_PRAGMA(x) _Pragma(#x)

#if defined(__clang__)
#define SUTRA_TARGET_BEGIN(isa)                                                                    \
    SUTRA_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define SUTRA_TARGET_END SUTRA_PRAGMA(clang attribute pop)
#else
#define SUTRA_TARGET_BEGIN(isa) SUTRA_PRAGMA(GCC push_options) SUTRA_PRAGMA(GCC target(isa))
#define SUTRA_TARGET_END SUTRA_PRAGMA(GCC pop_options)
#endif

#endif
