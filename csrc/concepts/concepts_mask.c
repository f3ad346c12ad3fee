/* Concepts: sets of slots as bitmaps; the contract is in concepts.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "concepts_rows.h"

/* The bits of slots [64 * word, 64 * word + 64) that are below `end`. */
SUTRA_INLINE uint64_t bits_below(size_t word, size_t end)
{
    const size_t first = word * 64;
    if (end <= first)
        return 0;
    return end - first >= 64 ? UINT64_MAX : ((uint64_t)1 << (end - first)) - 1;
}

void sutra_concepts_visible_words(const struct sutra_concepts *concepts, uint64_t view, size_t born,
                                  size_t first_word, size_t count, uint64_t *words_out)
{
    for (size_t j = 0; j < count; j++) {
        const size_t word = first_word + j;
        uint64_t bits = bits_below(word, born);
        if (!bits) {
            words_out[j] = 0;
            continue;
        }
        uint64_t ended =
            bits & __atomic_load_n(ended_word(concepts, (uint32_t)(word * 64)), __ATOMIC_ACQUIRE);
        for (; ended; ended &= ended - 1) {
            const unsigned bit = (unsigned)__builtin_ctzll(ended);
            const uint64_t *death = death_of(concepts, (uint32_t)(word * 64 + bit));
            if (__atomic_load_n(death, __ATOMIC_RELAXED) <= view)
                bits &= ~((uint64_t)1 << bit);
        }
        words_out[j] = bits;
    }
}

size_t sutra_concepts_of_slots(const struct sutra_concepts *concepts, const uint64_t *slots,
                               size_t born, size_t limit, uint64_t *concepts_out)
{
    size_t count = 0;
    for (size_t word = 0; word * 64 < limit; word++) {
        const size_t first = word * 64, end = limit - first < 64 ? limit : first + 64;
        uint64_t bits = 0;
        for (size_t concept = first; concept < end; concept ++) {
            uint32_t slot = newest_slot(concepts, (uint32_t) concept);
            while (slot != SUTRA_NO_SLOT && slot >= born)
                slot = older_slot(concepts, slot);
            if (slot != SUTRA_NO_SLOT)
                bits |= (slots[slot / 64] >> slot % 64 & 1) << (concept - first);
        }
        concepts_out[word] = bits;
        count += (size_t)__builtin_popcountll(bits);
    }
    return count;
}
