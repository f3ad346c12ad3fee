/* Which tiers exist, which this CPU runs, and the merge into one table.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "../base/status.h"
#include "tiers.h"

#if defined(SUTRA_ARCH_X86_64)
#include <cpuid.h>
#elif defined(SUTRA_ARCH_AARCH64) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(SUTRA_ARCH_AARCH64) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

static const char *const tier_names[SUTRA_TIER_COUNT] = {"scalar", "avx2", "neon", "neondot"};

const char *const sutra_kernel_names[] = {
#define SUTRA_KERNEL(type, name, parameters, family) #name,
#include "kernels.def"
#undef SUTRA_KERNEL
    NULL,
};

const char *sutra_tier_name(int tier)
{
    return tier >= 0 && tier < SUTRA_TIER_COUNT ? tier_names[tier] : NULL;
}

int sutra_tier_from_name(const char *name)
{
    for (int tier = 0; tier < SUTRA_TIER_COUNT; tier++) {
        if (strcmp(name, tier_names[tier]) == 0)
            return tier;
    }
    return -1;
}

/* The tables of a tier; the first is NULL for a tier of another architecture. */
#define TABLES_MAX 2

static const struct sutra_kernels *const tier_tables[SUTRA_TIER_COUNT][TABLES_MAX] = {
    [SUTRA_TIER_SCALAR] = {&sutra_kernels_scalar},
#if defined(SUTRA_ARCH_X86_64)
    [SUTRA_TIER_AVX2] = {&sutra_kernels_avx2, &sutra_kernels_avx2_data},
#elif defined(SUTRA_ARCH_AARCH64)
    [SUTRA_TIER_NEON] = {&sutra_kernels_neon, &sutra_kernels_neon_data},
    [SUTRA_TIER_NEONDOT] = {&sutra_kernels_neondot},
#endif
};

bool sutra_tier_compiled(int tier)
{
    return tier >= 0 && tier < SUTRA_TIER_COUNT && tier_tables[tier][0] != NULL;
}

#if defined(SUTRA_ARCH_X86_64)

/* A CPU bit alone is not enough: the OS must save the registers, which XGETBV tells. */
static bool cpu_has_avx2_fma_f16c(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return false;
    const unsigned need =
        (1u << 12) | (1u << 27) | (1u << 28) | (1u << 29); /* FMA OSXSAVE AVX F16C */
    if ((c & need) != need)
        return false;
    unsigned xcr0_low, xcr0_high;
    __asm__ volatile("xgetbv" : "=a"(xcr0_low), "=d"(xcr0_high) : "c"(0));
    if ((xcr0_low & 0x6) != 0x6) /* XMM and YMM state */
        return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    return (b & (1u << 5)) != 0; /* AVX2 */
}

#elif defined(SUTRA_ARCH_AARCH64)

static bool cpu_has_dotprod(void)
{
#if defined(__linux__)
    return (getauxval(AT_HWCAP) & (1ul << 20)) != 0; /* HWCAP_ASIMDDP */
#elif defined(__APPLE__)
    int value = 0;
    size_t bytes = sizeof value;
    return sysctlbyname("hw.optional.arm.FEAT_DotProd", &value, &bytes, NULL, 0) == 0 && value;
#else
    return false;
#endif
}

#endif

bool sutra_tier_supported(int tier)
{
    switch (tier) {
    case SUTRA_TIER_SCALAR:
        return true;
#if defined(SUTRA_ARCH_X86_64)
    case SUTRA_TIER_AVX2:
        return cpu_has_avx2_fma_f16c();
#elif defined(SUTRA_ARCH_AARCH64)
    case SUTRA_TIER_NEON:
        return true;
    case SUTRA_TIER_NEONDOT:
        return cpu_has_dotprod();
#endif
    default:
        return false;
    }
}

int sutra_tier_best(void)
{
    int tier = SUTRA_TIER_COUNT - 1;
    while (!sutra_tier_supported(tier))
        tier--;
    return tier;
}

static void overlay(struct sutra_kernels *table, const struct sutra_kernels *over)
{
#define SUTRA_KERNEL(type, name, parameters, family)                                               \
    if (over->name)                                                                                \
        table->name = over->name;
#include "kernels.def"
#undef SUTRA_KERNEL
}

int sutra_kernels_select(int tier, struct sutra_kernels *table_out)
{
    if (!sutra_tier_supported(tier))
        return SUTRA_E_CONFIG;
    *table_out = sutra_kernels_scalar;
    for (int level = 1; level <= tier; level++) {
        for (int t = 0; t < TABLES_MAX && sutra_tier_supported(level); t++) {
            if (tier_tables[level][t])
                overlay(table_out, tier_tables[level][t]);
        }
    }
    return SUTRA_OK;
}
