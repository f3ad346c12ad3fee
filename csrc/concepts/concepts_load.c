/* Concepts: state words and bringing a saved set back; the contract is in concepts.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "concepts_rows.h"

enum {
    STATE_SLOTS = 0,
    STATE_CONCEPTS,
    STATE_LIVE,
    STATE_NEXT_NUMBER,
    STATE_HEAP_ROWS,
    STATE_MAP_WORDS,
    STATE_HASH,   /* tells another seed or another hash function */
    STATE_UNUSED, /* 0 */
};

_Static_assert(STATE_UNUSED + 1 == SUTRA_CONCEPTS_STATE_WORDS, "every word has a use");

static uint64_t hash_check(uint64_t seed)
{
    static const char text[] = "the hash of this text is part of the format";
    return sutra_hash_text(seed, text, sizeof text - 1) ^ sutra_hash_number(seed, 1);
}

void sutra_concepts_state(const struct sutra_concepts *concepts, uint64_t *words_out)
{
    words_out[STATE_SLOTS] = concepts->slot_count;
    words_out[STATE_CONCEPTS] = concepts->concept_count;
    words_out[STATE_LIVE] = concepts->live_count;
    words_out[STATE_NEXT_NUMBER] = (uint64_t)concepts->next_number;
    words_out[STATE_HEAP_ROWS] =
        (concepts->heap.used + SUTRA_HEAP_ROW - 1) / SUTRA_HEAP_ROW; /* as _parts seals it */
    words_out[STATE_MAP_WORDS] = concepts->map.table->mask + 1;
    words_out[STATE_HASH] = hash_check(concepts->hash_seed);
    words_out[STATE_UNUSED] = 0;
}

static int fail_count(struct sutra_fault *fault, unsigned word, uint64_t expected, uint64_t found)
{
    fault->what = SUTRA_NAME_COUNTS;
    fault->row = (int64_t)word;
    fault->expected = expected;
    fault->found = found;
    return SUTRA_E_CORRUPT;
}

static int check_state(const uint64_t *words, uint64_t hash_seed, struct sutra_fault *fault)
{
    const uint64_t most[SUTRA_CONCEPTS_STATE_WORDS] = {
        [STATE_SLOTS] = SUTRA_ROWS_MAX,
        [STATE_CONCEPTS] = words[STATE_SLOTS],
        [STATE_LIVE] = words[STATE_CONCEPTS],
        [STATE_NEXT_NUMBER] = INT64_MAX,
        [STATE_HEAP_ROWS] = SUTRA_ROWS_MAX,
        [STATE_MAP_WORDS] = SUTRA_ID_WORDS_MAX,
        [STATE_HASH] = UINT64_MAX,
        [STATE_UNUSED] = 0,
    };
    for (unsigned w = 0; w < SUTRA_CONCEPTS_STATE_WORDS; w++) {
        if (words[w] > most[w])
            return fail_count(fault, w, most[w], words[w]);
    }
    if (!sutra_id_map_is_sound(words[STATE_MAP_WORDS], words[STATE_CONCEPTS]))
        return fail_count(fault, STATE_MAP_WORDS, words[STATE_CONCEPTS], words[STATE_MAP_WORDS]);
    if (words[STATE_HASH] != hash_check(hash_seed))
        return fail_count(fault, STATE_HASH, hash_check(hash_seed), words[STATE_HASH]);
    return SUTRA_OK;
}

/* ---- planes */

struct loader {
    const struct sutra_part_source *source;
    struct sutra_fault *fault;
};

/* What is rewritten must be writable from the start: the pages of a mapped prefix are not. */
static int load_plane(const struct loader *loader, uint32_t kind, const char *name,
                      size_t row_bytes, uint64_t rows, bool hot, struct sutra_plane *plane_out)
{
    const struct sutra_part_source *const source = loader->source;
    int status = source->load(source->context, kind, row_bytes, (size_t)rows, hot,
                              hot ? SUTRA_HUGE_ADVISE : SUTRA_HUGE_NEVER, plane_out);
    if (status == SUTRA_OK && hot) {
        status = sutra_arena_commit(&plane_out->arena, (size_t)rows * row_bytes);
        if (status != SUTRA_OK)
            sutra_plane_release(plane_out);
    }
    if (status != SUTRA_OK && !loader->fault->what)
        loader->fault->what = name;
    return status;
}

static int load_slots(const struct loader *loader, size_t rows, struct sutra_planes *slots)
{
    static const struct {
        uint32_t kind;
        const char *name;
        size_t row_bytes;
    } planes[SUTRA_SLOT_PLANES] = {
        [SUTRA_SLOT_RECORD] = {SUTRA_PART_RECORD, SUTRA_NAME_RECORDS, sizeof(struct sutra_record)},
        [SUTRA_SLOT_BIRTH] = {SUTRA_PART_SLOT_BIRTH, SUTRA_NAME_BIRTHS, sizeof(uint64_t)},
        [SUTRA_SLOT_DEATH] = {SUTRA_PART_SLOT_DEATH, SUTRA_NAME_DEATHS, sizeof(uint64_t)},
    };
    slots->count = SUTRA_SLOT_PLANES;
    slots->huge_pages = SUTRA_HUGE_ADVISE;
    slots->capacity_rows = rows;
    int status = SUTRA_OK;
    for (unsigned p = 0; p < SUTRA_SLOT_PLANES && status == SUTRA_OK; p++)
        status = load_plane(loader, planes[p].kind, planes[p].name, planes[p].row_bytes, rows, true,
                            &slots->plane[p]);
    return status;
}

static int load_heads(const struct loader *loader, size_t rows, struct sutra_planes *heads)
{
    heads->count = 1;
    heads->huge_pages = SUTRA_HUGE_ADVISE;
    heads->capacity_rows = rows;
    return load_plane(loader, SUTRA_PART_HEAD, SUTRA_NAME_HEADS, sizeof(uint32_t), rows, true,
                      &heads->plane[0]);
}

static int load_heap(const struct loader *loader, size_t rows, struct sutra_heap *heap)
{
    struct sutra_plane plane = {0};
    const int status =
        load_plane(loader, SUTRA_PART_HEAP, SUTRA_NAME_HEAP, SUTRA_HEAP_ROW, rows, false, &plane);
    if (status == SUTRA_OK)
        sutra_heap_adopt(heap, &plane, rows);
    return status;
}

static int load_map(const struct loader *loader, const uint64_t *words,
                    struct sutra_concepts *concepts)
{
    struct sutra_plane plane = {0};
    int status = load_plane(loader, SUTRA_PART_ID_MAP, SUTRA_NAME_ID_MAP, SUTRA_CACHE_LINE,
                            words[STATE_MAP_WORDS] / SUTRA_ID_LINE_WORDS, true, &plane);
    if (status != SUTRA_OK)
        return status;
    status = sutra_id_map_adopt(&concepts->map, concepts->epochs, &plane, words[STATE_MAP_WORDS],
                                words[STATE_CONCEPTS]);
    if (status != SUTRA_OK)
        sutra_plane_release(&plane);
    return status;
}

static int make_ended(struct sutra_concepts *concepts)
{
    static const size_t row_bytes = sizeof(uint64_t);
    int status = sutra_planes_init(&concepts->ended, &row_bytes, 1, SUTRA_HUGE_ADVISE);
    if (status == SUTRA_OK)
        status = sutra_planes_ensure(&concepts->ended, concepts->slot_count / 64 + 1);
    for (size_t slot = 0; status == SUTRA_OK && slot < concepts->slot_count; slot++) {
        if (!is_alive(concepts, (uint32_t)slot))
            mark_ended(concepts, (uint32_t)slot);
    }
    return status;
}

/* Everything there is counts as saved. */
static int seal_all(struct sutra_concepts *concepts)
{
    int status = sutra_dirty_seal(&concepts->records_dirty, concepts->slot_count);
    if (status == SUTRA_OK)
        status = sutra_dirty_seal(&concepts->deaths_dirty, concepts->slot_count);
    if (status == SUTRA_OK)
        status = sutra_dirty_seal(&concepts->heads_dirty, concepts->concept_count);
    if (status == SUTRA_OK)
        status = sutra_dirty_seal(&concepts->map.dirty,
                                  (size_t)(concepts->map.table->mask + 1) / SUTRA_ID_LINE_WORDS);
    return status;
}

int sutra_concepts_load(struct sutra_concepts *concepts, struct sutra_epochs *epochs,
                        uint64_t hash_seed, const uint64_t *words,
                        const struct sutra_part_source *source, struct sutra_fault *fault_out)
{
    *fault_out = SUTRA_FAULT_NONE;
    memset(concepts, 0, sizeof *concepts);
    int status = check_state(words, hash_seed, fault_out);
    if (status != SUTRA_OK)
        return status;
    concepts->epochs = epochs;
    concepts->hash_seed = hash_seed;
    concepts->version = 1;
    concepts->slot_count = (size_t)words[STATE_SLOTS];
    concepts->concept_count = (size_t)words[STATE_CONCEPTS];
    concepts->live_count = (size_t)words[STATE_LIVE];
    concepts->next_number = (int64_t)words[STATE_NEXT_NUMBER];
    concepts->entered_first = concepts->concept_count;
    const struct loader loader = {.source = source, .fault = fault_out};
    status = load_slots(&loader, concepts->slot_count, &concepts->slots);
    if (status == SUTRA_OK)
        status = load_heads(&loader, concepts->concept_count, &concepts->heads);
    if (status == SUTRA_OK)
        status = load_heap(&loader, (size_t)words[STATE_HEAP_ROWS], &concepts->heap);
    if (status == SUTRA_OK)
        status = load_map(&loader, words, concepts);
    if (status == SUTRA_OK)
        status = make_ended(concepts);
    if (status == SUTRA_OK)
        status = seal_all(concepts);
    if (status != SUTRA_OK)
        sutra_concepts_deinit(concepts);
    return status;
}
