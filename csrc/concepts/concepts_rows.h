/* Inside the concept tables: their rows, bounded by what there is.
 *
 * Only for the files of this room. A slot that these give is below slot_count, whatever a file
 * held.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_CONCEPTS_CONCEPTS_ROWS_H
#define SUTRA_CONCEPTS_CONCEPTS_ROWS_H

#include "concepts.h"
#include "../base/bytes.h"

/* What fault.what says. */
#define SUTRA_NAME_COUNTS "concept counts"
#define SUTRA_NAME_RECORDS "concept records"
#define SUTRA_NAME_BIRTHS "concept births"
#define SUTRA_NAME_DEATHS "concept deaths"
#define SUTRA_NAME_HEADS "concept heads"
#define SUTRA_NAME_HEAP "concept heap"
#define SUTRA_NAME_ID_MAP "id map"

SUTRA_INLINE uint64_t *birth_of(const struct sutra_concepts *concepts, uint32_t slot)
{
    return sutra_planes_row(&concepts->slots, SUTRA_SLOT_BIRTH, slot);
}

SUTRA_INLINE uint64_t *death_of(const struct sutra_concepts *concepts, uint32_t slot)
{
    return sutra_planes_row(&concepts->slots, SUTRA_SLOT_DEATH, slot);
}

SUTRA_INLINE uint32_t *head_of(const struct sutra_concepts *concepts, uint32_t concept)
{
    return sutra_planes_row(&concepts->heads, 0, concept);
}

SUTRA_INLINE size_t count_slots(const struct sutra_concepts *concepts)
{
    return __atomic_load_n(&concepts->slot_count, __ATOMIC_RELAXED);
}

SUTRA_INLINE size_t count_concepts(const struct sutra_concepts *concepts)
{
    return __atomic_load_n(&concepts->concept_count, __ATOMIC_RELAXED);
}

/* The newest slot of a concept, alive or dead, or SUTRA_NO_SLOT. The count is read after the head,
 * so it covers a slot that the writer has just made. */
SUTRA_INLINE uint32_t newest_slot(const struct sutra_concepts *concepts, uint32_t concept)
{
    if (concept >= count_concepts(concepts))
        return SUTRA_NO_SLOT;
    const uint32_t slot = __atomic_load_n(head_of(concepts, concept), __ATOMIC_ACQUIRE);
    return slot < count_slots(concepts) ? slot : SUTRA_NO_SLOT;
}

/* The slot before in the chain, or SUTRA_NO_SLOT. Numbers fall, so that no chain is a loop. */
SUTRA_INLINE uint32_t older_slot(const struct sutra_concepts *concepts, uint32_t slot)
{
    const uint32_t previous = sutra_concepts_record(concepts, slot)->previous;
    return previous < slot ? previous : SUTRA_NO_SLOT;
}

SUTRA_INLINE bool is_alive(const struct sutra_concepts *concepts, uint32_t slot)
{
    return __atomic_load_n(death_of(concepts, slot), __ATOMIC_RELAXED) == SUTRA_LSN_NEVER;
}

/* The word of the bit that says that a slot has died. */
SUTRA_INLINE uint64_t *ended_word(const struct sutra_concepts *concepts, uint32_t slot)
{
    return sutra_planes_row(&concepts->ended, 0, slot / 64);
}

/* Had the slot died at the view? Most have not died at all, and the bits of many slots share a
 * line. */
SUTRA_INLINE bool has_ended(const struct sutra_concepts *concepts, uint32_t slot, uint64_t view)
{
    const uint64_t bits = __atomic_load_n(ended_word(concepts, slot), __ATOMIC_ACQUIRE);
    return bits >> slot % 64 & 1 &&
           __atomic_load_n(death_of(concepts, slot), __ATOMIC_RELAXED) <= view;
}

/* Set the bit; the death has been written. */
SUTRA_INLINE void mark_ended(const struct sutra_concepts *concepts, uint32_t slot)
{
    uint64_t *const word = ended_word(concepts, slot);
    const uint64_t bits = __atomic_load_n(word, __ATOMIC_RELAXED);
    __atomic_store_n(word, bits | (uint64_t)1 << slot % 64, __ATOMIC_RELEASE);
}

/* The text id at an offset of the heap; NULL if none is there. */
SUTRA_INLINE const char *text_at(const struct sutra_heap *heap, uint64_t offset,
                                 uint32_t *bytes_out)
{
    const uint8_t *const length = sutra_heap_at(heap, offset, sizeof(uint32_t));
    if (!length)
        return NULL;
    *bytes_out = sutra_load_u32(length);
    if (*bytes_out == 0 || *bytes_out > SUTRA_TEXT_ID_BYTES_MAX)
        return NULL;
    return (const char *)sutra_heap_at(heap, offset + sizeof(uint32_t), *bytes_out);
}

#endif
