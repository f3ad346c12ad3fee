/* SplitMix64: a small counter-based generator (Steele, Lea, Flood 2014).
 *
 * Counter-based so that a value depends only on (seed, index), never on call order: that is
 * what keeps builds identical for any thread count.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_BASE_PRNG_H
#define SUTRA_BASE_PRNG_H

#include "config.h"

SUTRA_INLINE uint64_t sutra_mix64(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* The index-th value of the stream that seed names. */
SUTRA_INLINE uint64_t sutra_random_at(uint64_t seed, uint64_t index)
{
    return sutra_mix64(sutra_mix64(seed) ^ (index * 0xd1342543de82ef95u));
}

#endif
