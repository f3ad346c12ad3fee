/* Concepts: finding and reading; the contract is in concepts.h.
 *
 * A look-up touches a line of the id map, a head and a record: misses one after the other, on which
 * it would wait most of its time. So ids go through in groups and in stages, each of which asks for
 * the lines of the next, and several groups are under way at once. What is not found at the first
 * fingerprint that is equal goes the slow way, one by one; with 32 bits that is rare.
 *
 * Births and deaths are left alone where that can be: births do not fall with slots, so a batch
 * finds once how many were born by its view, and of most slots a bit says that they never died.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "concepts_rows.h"

#define GROUP 8u
#define STAGES 5u
#define FEW 2u        /* not worth the stages */
#define UNDER_WAY 64u /* a power of two, at least STAGES groups */

SUTRA_INLINE const char *text_of(const struct sutra_ids *ids, size_t at)
{
    return ids->texts ? ids->texts[at] : NULL;
}

SUTRA_INLINE uint64_t hash_id(const struct sutra_concepts *concepts, const struct sutra_ids *ids,
                              size_t at)
{
    const char *const text = text_of(ids, at);
    return text ? sutra_hash_text(concepts->hash_seed, text, ids->text_bytes[at])
                : sutra_hash_number(concepts->hash_seed, ids->numbers[at]);
}

/* Is this the slot of a concept with that id? */
SUTRA_INLINE bool has_id(const struct sutra_concepts *concepts, uint32_t slot,
                         const struct sutra_ids *ids, size_t at)
{
    const struct sutra_record *const record = sutra_concepts_record(concepts, slot);
    const char *const wanted = text_of(ids, at);
    if (!(record->flags & SUTRA_RECORD_TEXT_ID))
        return !wanted && record->id == ids->numbers[at];
    if (!wanted)
        return false;
    uint32_t bytes;
    const char *const text = text_at(&concepts->heap, (uint64_t)record->id, &bytes);
    return text && bytes == ids->text_bytes[at] && memcmp(text, wanted, bytes) == 0;
}

static uint32_t find_slowly(const struct sutra_concepts *concepts,
                            const struct sutra_id_table *table, const struct sutra_ids *ids,
                            size_t at, uint32_t fingerprint)
{
    struct sutra_id_probe probe = sutra_id_probe_begin(table, fingerprint);
    uint32_t concept;
    while ((concept = sutra_id_probe_next(&probe)) != SUTRA_NO_CONCEPT) {
        const uint32_t slot = newest_slot(concepts, concept);
        if (slot != SUTRA_NO_SLOT && has_id(concepts, slot, ids, at))
            break;
    }
    return concept;
}

/* ---- the stages; `at` runs over the ids, and the arrays hold those under way */

_Static_assert(UNDER_WAY >= STAGES * GROUP, "no group overwrites another");

struct search {
    const struct sutra_concepts *concepts;
    const struct sutra_id_table *table;
    const struct sutra_ids *ids;
    uint32_t *found; /* concepts, of all ids */
    uint32_t fingerprints[UNDER_WAY], slots[UNDER_WAY];
};

static void ask_words(struct search *search, size_t at, size_t end)
{
    for (; at < end; at++) {
        const uint32_t fingerprint =
            sutra_id_fingerprint(hash_id(search->concepts, search->ids, at));
        search->fingerprints[at % UNDER_WAY] = fingerprint;
        SUTRA_PREFETCH(sutra_id_table_word(search->table, fingerprint, 0));
    }
}

static void ask_heads(struct search *search, size_t at, size_t end)
{
    for (; at < end; at++) {
        struct sutra_id_probe probe =
            sutra_id_probe_begin(search->table, search->fingerprints[at % UNDER_WAY]);
        const uint32_t concept = sutra_id_probe_next(&probe);
        search->found[at] = concept;
        if (concept < count_concepts(search->concepts))
            SUTRA_PREFETCH(head_of(search->concepts, concept));
    }
}

static void ask_records(struct search *search, size_t at, size_t end)
{
    const struct sutra_concepts *const concepts = search->concepts;
    for (; at < end; at++) {
        const uint32_t slot = newest_slot(concepts, search->found[at]);
        search->slots[at % UNDER_WAY] = slot;
        if (slot != SUTRA_NO_SLOT)
            SUTRA_PREFETCH(sutra_concepts_record(concepts, slot));
    }
}

static void ask_texts(struct search *search, size_t at, size_t end)
{
    const struct sutra_concepts *const concepts = search->concepts;
    for (; search->ids->texts && at < end; at++) {
        const uint32_t slot = search->slots[at % UNDER_WAY];
        if (slot == SUTRA_NO_SLOT)
            continue;
        const struct sutra_record *const record = sutra_concepts_record(concepts, slot);
        const uint8_t *const text = sutra_heap_at(&concepts->heap, (uint64_t)record->id, 1);
        if (text && record->flags & SUTRA_RECORD_TEXT_ID)
            SUTRA_PREFETCH(text);
    }
}

static void compare(struct search *search, size_t at, size_t end)
{
    for (; at < end; at++) {
        const uint32_t slot = search->slots[at % UNDER_WAY];
        if (search->found[at] == SUTRA_NO_CONCEPT)
            continue;
        if (slot == SUTRA_NO_SLOT || !has_id(search->concepts, slot, search->ids, at))
            search->found[at] = find_slowly(search->concepts, search->table, search->ids, at,
                                            search->fingerprints[at % UNDER_WAY]);
    }
}

static void find_few(const struct sutra_concepts *concepts, const struct sutra_ids *ids,
                     uint32_t *concepts_out)
{
    const struct sutra_id_table *const table = sutra_id_map_table(&concepts->map);
    for (size_t at = 0; at < ids->count; at++)
        concepts_out[at] =
            find_slowly(concepts, table, ids, at, sutra_id_fingerprint(hash_id(concepts, ids, at)));
}

static size_t earlier(size_t at, size_t by, size_t count)
{
    return at < by ? 0 : at - by < count ? at - by : count;
}

/* Group after group starts, and each is a stage further when the next one starts. */
void sutra_concepts_find(const struct sutra_concepts *concepts, const struct sutra_ids *ids,
                         uint32_t *concepts_out)
{
    static void (*const stages[STAGES])(struct search *, size_t, size_t) = {
        ask_words, ask_heads, ask_records, ask_texts, compare};
    if (ids->count <= FEW) {
        find_few(concepts, ids, concepts_out);
        return;
    }
    struct search search = {.concepts = concepts,
                            .table = sutra_id_map_table(&concepts->map),
                            .ids = ids,
                            .found = concepts_out};
    for (size_t at = 0; earlier(at, (STAGES - 1) * GROUP, ids->count) < ids->count; at += GROUP) {
        for (size_t s = 0; s < STAGES; s++) {
            const size_t from = earlier(at, s * GROUP, ids->count);
            const size_t to = earlier(at + GROUP, s * GROUP, ids->count);
            stages[s](&search, from, to);
        }
    }
}

/* ---- visible */

/* The slot at or before `slot` in its chain that is visible at the view. Slots below `born` were
 * born by then. */
SUTRA_INLINE uint32_t visible_from(const struct sutra_concepts *concepts, uint32_t slot,
                                   size_t born, uint64_t view)
{
    while (slot != SUTRA_NO_SLOT && slot >= born && *birth_of(concepts, slot) > view)
        slot = older_slot(concepts, slot);
    /* What came before had died when this one was born. */
    return slot != SUTRA_NO_SLOT && !has_ended(concepts, slot, view) ? slot : SUTRA_NO_SLOT;
}

uint32_t sutra_concepts_visible(const struct sutra_concepts *concepts, uint32_t concept,
                                uint64_t view)
{
    return visible_from(concepts, newest_slot(concepts, concept), 0, view);
}

/* Most views are of late, so it looks back from the end in growing steps, and then between the last
 * two. */
size_t sutra_concepts_born(const struct sutra_concepts *concepts, uint64_t view)
{
    size_t low = 0, high = __atomic_load_n(&concepts->slot_count, __ATOMIC_ACQUIRE);
    for (size_t step = 1; low < high; step *= 2) {
        const size_t at = high > step ? high - step : 0;
        if (*birth_of(concepts, (uint32_t)at) <= view) {
            low = at + 1;
            break;
        }
        high = at;
    }
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (*birth_of(concepts, (uint32_t)middle) <= view)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void sutra_concepts_visible_many(const struct sutra_concepts *concepts, const uint32_t *numbers,
                                 size_t count, uint64_t view, uint32_t *slots_out)
{
    const size_t born = count < GROUP ? 0 : sutra_concepts_born(concepts, view);
    for (size_t first = 0; first < count; first += GROUP) {
        const size_t end = count - first < GROUP ? count : first + GROUP;
        for (size_t j = first; j < end; j++) {
            if (numbers[j] < count_concepts(concepts))
                SUTRA_PREFETCH(head_of(concepts, numbers[j]));
        }
        for (size_t j = first; j < end; j++) {
            slots_out[j] = newest_slot(concepts, numbers[j]);
            if (slots_out[j] != SUTRA_NO_SLOT)
                SUTRA_PREFETCH(ended_word(concepts, slots_out[j]));
        }
        for (size_t j = first; j < end; j++)
            slots_out[j] = visible_from(concepts, slots_out[j], born, view);
    }
}

/* ---- reading */

int sutra_concepts_id(const struct sutra_concepts *concepts, uint32_t concept, int64_t *number_out,
                      const char **text_out, uint32_t *text_bytes_out)
{
    *number_out = -1;
    *text_out = NULL;
    *text_bytes_out = 0;
    const uint32_t slot = newest_slot(concepts, concept);
    if (slot == SUTRA_NO_SLOT)
        return SUTRA_E_CORRUPT;
    const struct sutra_record *const record = sutra_concepts_record(concepts, slot);
    if (!(record->flags & SUTRA_RECORD_TEXT_ID)) {
        *number_out = record->id;
        return record->id >= 0 ? SUTRA_OK : SUTRA_E_CORRUPT;
    }
    uint32_t bytes;
    *text_out = text_at(&concepts->heap, (uint64_t)record->id, &bytes);
    if (!*text_out)
        return SUTRA_E_CORRUPT;
    *text_bytes_out = bytes;
    return SUTRA_OK;
}

/* Bytes of a slot that its flag says are there, `skip` after the beginning of its content. */
static int read_heap(const struct sutra_concepts *concepts, const struct sutra_record *record,
                     uint32_t flag, uint32_t skip, uint32_t bytes, const uint8_t **data_out,
                     uint32_t *bytes_out)
{
    if (!(record->flags & flag))
        return SUTRA_OK;
    uint64_t offset;
    if (__builtin_add_overflow(record->content_offset, skip, &offset))
        return SUTRA_E_CORRUPT;
    *data_out = sutra_heap_at(&concepts->heap, offset, bytes);
    if (!*data_out)
        return SUTRA_E_CORRUPT;
    *bytes_out = bytes;
    return SUTRA_OK;
}

int sutra_concepts_content(const struct sutra_concepts *concepts, uint32_t slot,
                           const uint8_t **content_out, uint32_t *bytes_out)
{
    *content_out = NULL;
    *bytes_out = 0;
    if (slot >= count_slots(concepts))
        return SUTRA_E_CORRUPT;
    const struct sutra_record *const record = sutra_concepts_record(concepts, slot);
    return read_heap(concepts, record, SUTRA_RECORD_CONTENT, 0, record->content_bytes, content_out,
                     bytes_out);
}

int sutra_concepts_metadata(const struct sutra_concepts *concepts, uint32_t slot,
                            const uint8_t **metadata_out, uint32_t *bytes_out)
{
    *metadata_out = NULL;
    *bytes_out = 0;
    if (slot >= count_slots(concepts))
        return SUTRA_E_CORRUPT;
    const struct sutra_record *const record = sutra_concepts_record(concepts, slot);
    return read_heap(concepts, record, SUTRA_RECORD_METADATA, record->content_bytes,
                     record->metadata_bytes, metadata_out, bytes_out);
}
