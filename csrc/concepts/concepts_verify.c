/* Concepts: checking every invariant; the contract is in concepts.h.
 *
 * Three passes: every slot for itself, every chain from its head (marking the slots it passes, so
 * that none is in two chains or in no chain), and every id through the id map.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>

#include "concepts_rows.h"
#include "../base/utf8.h"

#define KNOWN_FLAGS                                                                                \
    ((uint32_t)SUTRA_RECORD_TEXT_ID | SUTRA_RECORD_CONTENT | SUTRA_RECORD_CONTENT_BYTES |          \
     SUTRA_RECORD_METADATA)

#define BATCH 256u
#define NO_ROW SIZE_MAX /* becomes -1 */

static int fail(struct sutra_fault *fault, const char *what, size_t row, uint64_t expected,
                uint64_t found)
{
    *fault = SUTRA_FAULT_NONE;
    fault->what = what;
    fault->row = (int64_t)row;
    fault->expected = expected;
    fault->found = found;
    return SUTRA_E_CORRUPT;
}

/* ---- slots */

static int check_flags(const struct sutra_record *record, uint32_t slot, struct sutra_fault *fault)
{
    const uint32_t flags = record->flags;
    if (flags & ~KNOWN_FLAGS)
        return fail(fault, SUTRA_NAME_RECORDS, slot, KNOWN_FLAGS, flags);
    if (!(flags & SUTRA_RECORD_CONTENT) &&
        (record->content_bytes != 0 || flags & SUTRA_RECORD_CONTENT_BYTES))
        return fail(fault, SUTRA_NAME_RECORDS, slot, 0, record->content_bytes);
    if (!(flags & SUTRA_RECORD_METADATA) && record->metadata_bytes != 0)
        return fail(fault, SUTRA_NAME_RECORDS, slot, 0, record->metadata_bytes);
    return SUTRA_OK;
}

static int check_heap(const struct sutra_concepts *concepts, uint32_t slot,
                      struct sutra_fault *fault)
{
    const struct sutra_record *const record = sutra_concepts_record(concepts, slot);
    const uint8_t *data;
    uint32_t bytes;
    if (record->flags & SUTRA_RECORD_TEXT_ID) {
        const char *const text = text_at(&concepts->heap, (uint64_t)record->id, &bytes);
        if (!text || !sutra_is_utf8(text, bytes))
            return fail(fault, SUTRA_NAME_HEAP, slot, concepts->heap.used, (uint64_t)record->id);
    }
    if (sutra_concepts_content(concepts, slot, &data, &bytes) != SUTRA_OK ||
        (data && !(record->flags & SUTRA_RECORD_CONTENT_BYTES) && !sutra_is_utf8(data, bytes)))
        return fail(fault, SUTRA_NAME_HEAP, slot, concepts->heap.used, record->content_offset);
    if (sutra_concepts_metadata(concepts, slot, &data, &bytes) != SUTRA_OK ||
        (data && !sutra_is_utf8(data, bytes)))
        return fail(fault, SUTRA_NAME_HEAP, slot, concepts->heap.used, record->content_offset);
    return SUTRA_OK;
}

static int check_slot(const struct sutra_concepts *concepts, uint32_t slot,
                      struct sutra_fault *fault)
{
    const struct sutra_record *const record = sutra_concepts_record(concepts, slot);
    const uint64_t birth = *birth_of(concepts, slot), death = *death_of(concepts, slot);
    int status = check_flags(record, slot, fault);
    if (status != SUTRA_OK)
        return status;
    if (!isfinite(record->strength) || !isfinite(record->confidence))
        return fail(fault, SUTRA_NAME_RECORDS, slot, 0, sutra_load_u32(&record->strength));
    /* The largest id is its own bound: there is no number above it. */
    if (!(record->flags & SUTRA_RECORD_TEXT_ID) &&
        (record->id < 0 || (record->id >= concepts->next_number &&
                            !(record->id == INT64_MAX && concepts->next_number == INT64_MAX))))
        return fail(fault, SUTRA_NAME_RECORDS, slot, (uint64_t)concepts->next_number,
                    (uint64_t)record->id);
    if (birth == SUTRA_LSN_NEVER || (slot > 0 && birth < *birth_of(concepts, slot - 1)))
        return fail(fault, SUTRA_NAME_BIRTHS, slot, death, birth);
    if (death < birth)
        return fail(fault, SUTRA_NAME_DEATHS, slot, birth, death);
    return check_heap(concepts, slot, fault);
}

/* ---- chains */

struct chains {
    const struct sutra_concepts *concepts;
    uint64_t *seen; /* a bit a slot */
    size_t passed;  /* slots */
    size_t live;
    struct sutra_fault *fault;
};

static bool mark(struct chains *chains, uint32_t slot)
{
    uint64_t *const word = &chains->seen[slot / 64];
    const uint64_t bit = (uint64_t)1 << slot % 64;
    const bool first = !(*word & bit);
    *word |= bit;
    chains->passed += first;
    return first;
}

static int check_link(const struct chains *chains, uint32_t newer, uint32_t slot)
{
    const struct sutra_concepts *const concepts = chains->concepts;
    const struct sutra_record *const record = sutra_concepts_record(concepts, slot);
    const struct sutra_record *const other = sutra_concepts_record(concepts, newer);
    const uint64_t birth = *birth_of(concepts, newer);
    if (record->id != other->id || (record->flags ^ other->flags) & SUTRA_RECORD_TEXT_ID)
        return fail(chains->fault, SUTRA_NAME_RECORDS, slot, (uint64_t)other->id,
                    (uint64_t)record->id);
    if (*death_of(concepts, slot) > birth)
        return fail(chains->fault, SUTRA_NAME_DEATHS, slot, birth, *death_of(concepts, slot));
    return SUTRA_OK;
}

static int check_chain(struct chains *chains, uint32_t concept)
{
    const struct sutra_concepts *const concepts = chains->concepts;
    const uint32_t head = *head_of(concepts, concept);
    if (head >= concepts->slot_count || !mark(chains, head))
        return fail(chains->fault, SUTRA_NAME_HEADS, concept, concepts->slot_count, head);
    chains->live += is_alive(concepts, head);
    uint32_t slot = head;
    for (;;) {
        const uint32_t previous = sutra_concepts_record(concepts, slot)->previous;
        if (previous == SUTRA_NO_SLOT)
            return SUTRA_OK;
        if (previous >= slot || !mark(chains, previous))
            return fail(chains->fault, SUTRA_NAME_RECORDS, slot, slot, previous);
        const int status = check_link(chains, slot, previous);
        if (status != SUTRA_OK)
            return status;
        slot = previous;
    }
}

static int check_chains(struct chains *chains)
{
    const struct sutra_concepts *const concepts = chains->concepts;
    for (size_t concept = 0; concept < concepts->concept_count; concept ++) {
        const int status = check_chain(chains, (uint32_t) concept);
        if (status != SUTRA_OK)
            return status;
    }
    for (size_t slot = 0; chains->passed < concepts->slot_count; slot++) {
        if (mark(chains, (uint32_t)slot))
            return fail(chains->fault, SUTRA_NAME_RECORDS, slot, concepts->slot_count,
                        chains->passed - 1);
    }
    if (chains->live != concepts->live_count)
        return fail(chains->fault, SUTRA_NAME_COUNTS, NO_ROW, concepts->live_count, chains->live);
    return SUTRA_OK;
}

/* ---- the id map */

/* Chains and heap have been checked: every concept has an id. */
static int check_found(const struct sutra_concepts *concepts, size_t first, size_t count,
                       struct sutra_fault *fault)
{
    int64_t numbers[BATCH];
    const char *texts[BATCH];
    uint32_t text_bytes[BATCH], found[BATCH];
    for (size_t j = 0; j < count; j++) {
        const uint32_t concept = (uint32_t)(first + j);
        if (sutra_concepts_id(concepts, concept, &numbers[j], &texts[j], &text_bytes[j]) !=
            SUTRA_OK)
            return fail(fault, SUTRA_NAME_HEADS, concept, 0, 0);
    }
    const struct sutra_ids ids = {
        .count = count, .numbers = numbers, .texts = texts, .text_bytes = text_bytes};
    sutra_concepts_find(concepts, &ids, found);
    for (size_t j = 0; j < count; j++) {
        if (found[j] != first + j)
            return fail(fault, SUTRA_NAME_ID_MAP, first + j, first + j, found[j]);
    }
    return SUTRA_OK;
}

static int check_map(const struct sutra_concepts *concepts, struct sutra_fault *fault)
{
    const struct sutra_id_table *const table = sutra_id_map_table(&concepts->map);
    size_t taken = 0;
    for (uint64_t w = 0; w <= table->mask; w++)
        taken += table->words[w] != 0;
    /* Each concept has a word of its own, so equal numbers mean that there are no others. */
    if (taken != concepts->concept_count || concepts->map.used != concepts->concept_count)
        return fail(fault, SUTRA_NAME_ID_MAP, concepts->concept_count, concepts->concept_count,
                    taken);
    for (size_t first = 0; first < concepts->concept_count; first += BATCH) {
        const size_t left = concepts->concept_count - first;
        const int status = check_found(concepts, first, left < BATCH ? left : BATCH, fault);
        if (status != SUTRA_OK)
            return status;
    }
    return SUTRA_OK;
}

int sutra_concepts_verify(const struct sutra_concepts *concepts, struct sutra_fault *fault_out)
{
    *fault_out = SUTRA_FAULT_NONE;
    int status = SUTRA_OK;
    for (size_t slot = 0; slot < concepts->slot_count && status == SUTRA_OK; slot++)
        status = check_slot(concepts, (uint32_t)slot, fault_out);
    if (status != SUTRA_OK)
        return status;
    struct chains chains = {.concepts = concepts, .fault = fault_out};
    chains.seen = calloc(concepts->slot_count / 64 + 1, sizeof *chains.seen);
    if (!chains.seen)
        return SUTRA_E_NO_MEMORY;
    status = check_chains(&chains);
    free(chains.seen);
    if (status == SUTRA_OK)
        status = check_map(concepts, fault_out);
    return status;
}
