/* Compiler, OS and architecture facts used by every room.
 *
 * Nothing here has state. Only libc headers are included.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_BASE_CONFIG_H
#define SUTRA_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#define SUTRA_ARCH_X86_64 1
#elif defined(__aarch64__)
#define SUTRA_ARCH_AARCH64 1
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "sutra stores little-endian planes and maps them: big-endian hosts are not supported"
#endif

/* One cache line on every CPU we tune for; Apple's 128-byte lines are two of them. */
#define SUTRA_CACHE_LINE 64

/* Files align sections to the largest page of the platforms we serve (4, 16, 64 KiB). */
#define SUTRA_SECTION_ALIGNMENT 65536u

#define SUTRA_HUGE_PAGE ((size_t)2 << 20)

#define SUTRA_LIKELY(x) __builtin_expect(!!(x), 1)
#define SUTRA_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define SUTRA_INLINE static inline __attribute__((always_inline))

/* A prefetch the compiler may not fold away: gcc 12 keeps only the first of a loop of
 * __builtin_prefetch calls (intel/ScalableVectorSearch#361). */
#if defined(SUTRA_ARCH_X86_64)
#define SUTRA_PREFETCH(address) __asm__ volatile("prefetcht0 %0" : : "m"(*(const char *)(address)))
#elif defined(SUTRA_ARCH_AARCH64)
#define SUTRA_PREFETCH(address)                                                                    \
    __asm__ volatile("prfm pldl1keep, %0" : : "Q"(*(const char *)(address)))
#else
#define SUTRA_PREFETCH(address) __builtin_prefetch(address)
#endif

#endif
