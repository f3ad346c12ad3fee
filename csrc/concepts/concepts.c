/* Concepts: making, writing, and the parts that are saved; the contract is in concepts.h.
 *
 * Order of writes, for readers who come in between: a count before whatever names the row it
 * covers, a row before its head, a head before the word of the id map. Each of the three that
 * readers follow (table, word, head) is written with release.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "concepts_rows.h"

/* No caller's id is negative: stands for the id of a concept that a damaged file has lost. */
#define LOST_ID (-1)

int sutra_concepts_init(struct sutra_concepts *concepts, struct sutra_epochs *epochs,
                        uint64_t hash_seed)
{
    static const size_t slot_bytes[SUTRA_SLOT_PLANES] = {
        [SUTRA_SLOT_RECORD] = sizeof(struct sutra_record),
        [SUTRA_SLOT_BIRTH] = sizeof(uint64_t),
        [SUTRA_SLOT_DEATH] = sizeof(uint64_t),
    };
    static const size_t head_bytes = sizeof(uint32_t), ended_bytes = sizeof(uint64_t);
    memset(concepts, 0, sizeof *concepts);
    concepts->epochs = epochs;
    concepts->hash_seed = hash_seed;
    concepts->version = 1;
    int status =
        sutra_planes_init(&concepts->slots, slot_bytes, SUTRA_SLOT_PLANES, SUTRA_HUGE_ADVISE);
    if (status == SUTRA_OK)
        status = sutra_planes_init(&concepts->heads, &head_bytes, 1, SUTRA_HUGE_ADVISE);
    if (status == SUTRA_OK)
        status = sutra_planes_init(&concepts->ended, &ended_bytes, 1, SUTRA_HUGE_ADVISE);
    if (status == SUTRA_OK)
        status = sutra_heap_init(&concepts->heap);
    if (status == SUTRA_OK)
        status = sutra_id_map_init(&concepts->map, epochs);
    if (status != SUTRA_OK)
        sutra_concepts_deinit(concepts);
    return status;
}

void sutra_concepts_deinit(struct sutra_concepts *concepts)
{
    sutra_planes_deinit(&concepts->slots);
    sutra_planes_deinit(&concepts->heads);
    sutra_planes_deinit(&concepts->ended);
    sutra_heap_deinit(&concepts->heap);
    sutra_id_map_deinit(&concepts->map);
    sutra_dirty_deinit(&concepts->records_dirty);
    sutra_dirty_deinit(&concepts->deaths_dirty);
    sutra_dirty_deinit(&concepts->heads_dirty);
    free(concepts->entered);
    memset(concepts, 0, sizeof *concepts);
}

/* ---- writing */

/* Room to remember the ids of `count` more concepts until they have a record. */
static int reserve_entered(struct sutra_concepts *concepts, size_t count)
{
    const size_t needed = concepts->concept_count - concepts->entered_first + count;
    if (needed <= concepts->entered_room)
        return SUTRA_OK;
    const size_t room = needed + needed / 4;
    int64_t *const entered = realloc(concepts->entered, room * sizeof *entered);
    if (!entered)
        return SUTRA_E_NO_MEMORY;
    concepts->entered = entered;
    concepts->entered_room = room;
    return SUTRA_OK;
}

int sutra_concepts_reserve(struct sutra_concepts *concepts, size_t slots, size_t concepts_,
                           uint64_t bytes)
{
    if (slots > SUTRA_ROWS_MAX - concepts->slot_count ||
        concepts_ > SUTRA_ROWS_MAX - concepts->concept_count)
        return SUTRA_E_CAPACITY;
    int status = sutra_planes_ensure(&concepts->slots, concepts->slot_count + slots);
    if (status == SUTRA_OK)
        status = sutra_planes_ensure(&concepts->heads, concepts->concept_count + concepts_);
    if (status == SUTRA_OK)
        status = sutra_planes_ensure(&concepts->ended, (concepts->slot_count + slots) / 64 + 1);
    if (status == SUTRA_OK)
        status = sutra_heap_reserve(&concepts->heap, bytes);
    if (status == SUTRA_OK)
        status = reserve_entered(concepts, concepts_);
    if (status == SUTRA_OK)
        status = sutra_id_map_reserve(&concepts->map, concepts_);
    return status;
}

uint32_t sutra_concepts_enter(struct sutra_concepts *concepts, int64_t number, const char *text,
                              uint32_t text_bytes)
{
    const uint32_t concept = (uint32_t)concepts->concept_count;
    int64_t *const entered = &concepts->entered[concept - concepts->entered_first];
    uint64_t hash;
    if (text) {
        hash = sutra_hash_text(concepts->hash_seed, text, text_bytes);
        *entered = ~(int64_t)sutra_heap_append(&concepts->heap, &text_bytes, sizeof text_bytes);
        (void)sutra_heap_append(&concepts->heap, text, text_bytes);
    } else {
        hash = sutra_hash_number(concepts->hash_seed, number);
        *entered = number;
        if (number >= concepts->next_number)
            concepts->next_number = number < INT64_MAX ? number + 1 : INT64_MAX;
    }
    __atomic_store_n(head_of(concepts, concept), SUTRA_NO_SLOT, __ATOMIC_RELAXED);
    __atomic_store_n(&concepts->concept_count, (size_t) concept + 1, __ATOMIC_RELEASE);
    sutra_id_map_insert(&concepts->map, hash, concept);
    return concept;
}

/* The id of a concept's first record. */
static void take_entered(const struct sutra_concepts *concepts, uint32_t concept,
                         struct sutra_record *record)
{
    record->id = LOST_ID;
    if (concept < concepts->entered_first || concept >= concepts->concept_count)
        return;
    const int64_t entered = concepts->entered[concept - concepts->entered_first];
    record->id = entered < 0 ? ~entered : entered;
    if (entered < 0)
        record->flags |= SUTRA_RECORD_TEXT_ID;
}

static void end_slot(struct sutra_concepts *concepts, uint32_t slot, uint64_t lsn)
{
    __atomic_store_n(death_of(concepts, slot), lsn, __ATOMIC_RELAXED);
    mark_ended(concepts, slot);
    sutra_dirty_mark(&concepts->deaths_dirty, slot);
}

uint32_t sutra_concepts_put(struct sutra_concepts *concepts, uint32_t concept,
                            const struct sutra_record *record, uint64_t lsn)
{
    const uint32_t slot = (uint32_t)concepts->slot_count;
    const uint32_t old = newest_slot(concepts, concept);
    struct sutra_record *const row = sutra_concepts_record(concepts, slot);
    if (slot > 0 && lsn < *birth_of(concepts, slot - 1))
        lsn = *birth_of(concepts, slot - 1);
    *row = *record;
    row->flags &= ~(uint32_t)SUTRA_RECORD_TEXT_ID;
    row->previous = old;
    if (old == SUTRA_NO_SLOT) {
        take_entered(concepts, concept, row);
    } else {
        const struct sutra_record *const before = sutra_concepts_record(concepts, old);
        row->id = before->id;
        row->flags |= before->flags & SUTRA_RECORD_TEXT_ID;
    }
    *birth_of(concepts, slot) = lsn;
    *death_of(concepts, slot) = SUTRA_LSN_NEVER;
    __atomic_store_n(&concepts->slot_count, (size_t)slot + 1, __ATOMIC_RELEASE);
    if (old != SUTRA_NO_SLOT && is_alive(concepts, old))
        end_slot(concepts, old, lsn);
    else
        concepts->live_count++;
    __atomic_store_n(head_of(concepts, concept), slot, __ATOMIC_RELEASE);
    sutra_dirty_mark(&concepts->heads_dirty, concept);
    return slot;
}

uint32_t sutra_concepts_newest(const struct sutra_concepts *concepts, uint32_t concept)
{
    const uint32_t slot = newest_slot(concepts, concept);
    return slot != SUTRA_NO_SLOT && is_alive(concepts, slot) ? slot : SUTRA_NO_SLOT;
}

bool sutra_concepts_remove(struct sutra_concepts *concepts, uint32_t concept, uint64_t lsn)
{
    const uint32_t slot = sutra_concepts_newest(concepts, concept);
    if (slot == SUTRA_NO_SLOT)
        return false;
    const uint64_t birth = *birth_of(concepts, slot);
    end_slot(concepts, slot, lsn < birth ? birth : lsn);
    if (concepts->live_count > 0) /* a damaged file may have more alive than it says */
        concepts->live_count--;
    return true;
}

void sutra_concepts_touch(struct sutra_concepts *concepts, uint32_t slot, int64_t accessed_ns)
{
    __atomic_store_n(&sutra_concepts_record(concepts, slot)->accessed_ns, accessed_ns,
                     __ATOMIC_RELAXED);
    sutra_dirty_mark(&concepts->records_dirty, slot);
}

void sutra_concepts_count_reference(struct sutra_concepts *concepts, uint32_t slot, int change)
{
    uint32_t *const count = &sutra_concepts_record(concepts, slot)->reference_count;
    int64_t sum = (int64_t)__atomic_load_n(count, __ATOMIC_RELAXED) + change;
    sum = sum < 0 ? 0 : sum > UINT32_MAX ? UINT32_MAX : sum;
    __atomic_store_n(count, (uint32_t)sum, __ATOMIC_RELAXED);
    sutra_dirty_mark(&concepts->records_dirty, slot);
}

void sutra_concepts_publish(struct sutra_concepts *concepts)
{
    concepts->entered_first = concepts->concept_count;
    sutra_epoch_collect(concepts->epochs);
}

/* ---- saving */

void sutra_concepts_parts(struct sutra_concepts *concepts, struct sutra_part *parts_out)
{
    sutra_heap_seal(&concepts->heap);
    struct sutra_plane *const slots = concepts->slots.plane;
    struct sutra_id_table *const table = concepts->map.table;
    const struct sutra_part parts[SUTRA_CONCEPTS_PARTS] = {
        {.kind = SUTRA_PART_RECORD,
         .flags = SUTRA_PART_MUTABLE,
         .rows = concepts->slot_count,
         .plane = &slots[SUTRA_SLOT_RECORD],
         .dirty = &concepts->records_dirty},
        {.kind = SUTRA_PART_SLOT_BIRTH,
         .rows = concepts->slot_count,
         .plane = &slots[SUTRA_SLOT_BIRTH]},
        {.kind = SUTRA_PART_SLOT_DEATH,
         .flags = SUTRA_PART_MUTABLE,
         .rows = concepts->slot_count,
         .plane = &slots[SUTRA_SLOT_DEATH],
         .dirty = &concepts->deaths_dirty},
        {.kind = SUTRA_PART_HEAD,
         .flags = SUTRA_PART_MUTABLE,
         .rows = concepts->concept_count,
         .plane = &concepts->heads.plane[0],
         .dirty = &concepts->heads_dirty},
        {.kind = SUTRA_PART_HEAP,
         .flags = SUTRA_PART_COLD,
         .rows = (size_t)(concepts->heap.used / SUTRA_HEAP_ROW),
         .plane = &concepts->heap.plane},
        {.kind = SUTRA_PART_ID_MAP,
         .flags = SUTRA_PART_MUTABLE,
         .rows = (size_t)((table->mask + 1) / SUTRA_ID_LINE_WORDS),
         .plane = &table->plane,
         .dirty = &concepts->map.dirty},
    };
    for (size_t p = 0; p < SUTRA_CONCEPTS_PARTS; p++) {
        parts_out[p] = parts[p];
        parts_out[p].row_bytes = parts[p].plane->row_bytes;
        parts_out[p].version = concepts->version;
    }
    parts_out[SUTRA_CONCEPTS_PARTS - 1].version |= concepts->map.version << 32;
}
