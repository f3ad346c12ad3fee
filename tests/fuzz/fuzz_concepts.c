/* The tables of concepts, loaded from planes with anything in them: wrong answers at worst.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fuzz.h"

#include "concepts/concepts.h"
#include "planes.h"

enum { HASH_SEED = 0x5eed, MANY = 64 };

/* ---- seeds */

static void make_id(uint32_t concept, int64_t *number, const char **text, uint32_t *bytes,
                    char room[32])
{
    *number = concept % 2 ? -1 : (int64_t) concept * 3;
    *text = concept % 2 ? room : NULL;
    *bytes = concept % 2 ? (uint32_t)snprintf(room, 32, "id-\xc3\xa9-%u", concept) : 0;
}

static void put(struct sutra_concepts *concepts, uint32_t concept, uint64_t lsn)
{
    char room[32];
    const char *text;
    int64_t number;
    uint32_t bytes;
    FUZZ_REQUIRE(sutra_concepts_reserve(concepts, 1, 1, 200) == SUTRA_OK);
    if (concept == concepts->concept_count) {
        make_id(concept, &number, &text, &bytes, room);
        FUZZ_REQUIRE(sutra_concepts_enter(concepts, number, text, bytes) == concept);
    }
    struct sutra_record record = {.created_ns = 5,
                                  .accessed_ns = (int64_t)lsn,
                                  .strength = 0.5f,
                                  .confidence = 1,
                                  .vector_row = concept % 3 ? concept : SUTRA_NO_ROW,
                                  .content_offset = concepts->heap.used};
    if (concept % 4 != 1) {
        record.flags |= SUTRA_RECORD_CONTENT | (concept % 4 == 2 ? SUTRA_RECORD_CONTENT_BYTES : 0u);
        record.content_bytes = 9 + concept % 5;
        (void)sutra_heap_append(&concepts->heap, "contents of one", record.content_bytes);
    }
    if (concept % 5 == 0) {
        record.flags |= SUTRA_RECORD_METADATA;
        record.metadata_bytes = 8;
        (void)sutra_heap_append(&concepts->heap, "{\"a\": 1}", 8);
    }
    (void)sutra_concepts_put(concepts, concept, &record, lsn);
}

static void emit_concepts(uint32_t count, uint8_t options)
{
    struct sutra_epochs epochs;
    struct sutra_concepts concepts;
    struct sutra_part parts[SUTRA_CONCEPTS_PARTS];
    uint64_t words[SUTRA_CONCEPTS_STATE_WORDS], lsn = 1;
    FUZZ_REQUIRE(sutra_epochs_init(&epochs) == SUTRA_OK);
    FUZZ_REQUIRE(sutra_concepts_init(&concepts, &epochs, HASH_SEED) == SUTRA_OK);
    for (uint32_t c = 0; c < count; c++)
        put(&concepts, c, lsn++);
    for (uint32_t c = 0; c < count; c += 3)
        put(&concepts, c, lsn++);
    for (uint32_t c = 1; c < count; c += 4)
        (void)sutra_concepts_remove(&concepts, c, lsn++);
    sutra_concepts_publish(&concepts);
    sutra_concepts_parts(&concepts, parts);
    sutra_concepts_state(&concepts, words);
    planes_emit(words, SUTRA_CONCEPTS_STATE_WORDS, parts, SUTRA_CONCEPTS_PARTS, options);
    sutra_concepts_deinit(&concepts);
    sutra_epochs_deinit(&epochs);
}

static void fuzz_seeds(void)
{
    emit_concepts(0, 0);
    emit_concepts(5, 1);
    emit_concepts(40, 0);
    emit_concepts(40, 1);
    emit_concepts(40, 2);
}

/* ---- use */

static void find_all(const struct sutra_concepts *concepts, uint32_t *found)
{
    static char rooms[MANY][32];
    int64_t numbers[MANY];
    const char *texts[MANY];
    uint32_t bytes[MANY];
    for (uint32_t j = 0; j < MANY; j++)
        make_id(j, &numbers[j], &texts[j], &bytes[j], rooms[j]);
    const struct sutra_ids ids = {MANY, numbers, texts, bytes};
    sutra_concepts_find(concepts, &ids, found);
    for (uint32_t j = 0; j < MANY; j++)
        FUZZ_REQUIRE(found[j] == SUTRA_NO_CONCEPT || found[j] < concepts->concept_count);
}

/* One look-up and many agree where births are sound. */
static void read_all(const struct sutra_concepts *concepts, bool sound)
{
    static const uint64_t views[] = {0, 30, UINT64_MAX - 1, UINT64_MAX};
    uint32_t found[MANY], slots[MANY];
    find_all(concepts, found);
    for (uint32_t j = 0; j < MANY; j += 2)
        found[j] = j;
    for (size_t v = 0; v < 4; v++) {
        sutra_concepts_visible_many(concepts, found, MANY, views[v], slots);
        for (size_t j = 0; j < MANY; j++) {
            const uint8_t *data;
            const char *text;
            int64_t number;
            uint32_t bytes;
            FUZZ_REQUIRE(slots[j] == SUTRA_NO_SLOT || slots[j] < concepts->slot_count);
            const uint32_t slot = sutra_concepts_visible(concepts, found[j], views[v]);
            FUZZ_REQUIRE(slot == SUTRA_NO_SLOT || slot < concepts->slot_count);
            FUZZ_REQUIRE(slot == slots[j] || !sound);
            if (sutra_concepts_content(concepts, slots[j], &data, &bytes) == SUTRA_OK && data)
                fuzz_touch(data, bytes);
            if (sutra_concepts_metadata(concepts, slots[j], &data, &bytes) == SUTRA_OK && data)
                fuzz_touch(data, bytes);
            if (sutra_concepts_id(concepts, found[j], &number, &text, &bytes) == SUTRA_OK && text)
                fuzz_touch(text, bytes);
        }
    }
}

static bool verify(const struct sutra_concepts *concepts)
{
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    const int status = sutra_concepts_verify(concepts, &fault);
    FUZZ_REQUIRE(status == SUTRA_OK || (status == SUTRA_E_CORRUPT && fault.what != NULL));
    return status == SUTRA_OK;
}

static void write_all(struct sutra_concepts *concepts)
{
    struct sutra_part parts[SUTRA_CONCEPTS_PARTS];
    const struct sutra_record record = {.vector_row = SUTRA_NO_ROW};
    uint32_t found[MANY];
    if (sutra_concepts_reserve(concepts, MANY + 1, 1, 64) != SUTRA_OK)
        return;
    (void)sutra_concepts_put(concepts, sutra_concepts_enter(concepts, 0, "new", 3), &record, 999);
    for (uint32_t c = 0; c < MANY; c++) {
        const uint32_t slot = sutra_concepts_newest(concepts, c);
        if (slot != SUTRA_NO_SLOT) {
            sutra_concepts_touch(concepts, slot, 1);
            sutra_concepts_count_reference(concepts, slot, -3);
        }
        if (c % 2 == 0)
            (void)sutra_concepts_remove(concepts, c, 999);
        if (c < concepts->concept_count)
            (void)sutra_concepts_put(concepts, c, &record, 999);
    }
    sutra_concepts_publish(concepts);
    if (sutra_concepts_reserve(concepts, 0, 2000, 0) == SUTRA_OK) /* the map grows */
        find_all(concepts, found);
    sutra_concepts_parts(concepts, parts);
}

/* Options 1: planes end where nothing can be read, and are only read (bit 0); they are mapped (bit
 * 1). */
static void fuzz_run(struct fuzz_input *input)
{
    struct planes planes = {
        .input = input, .tight = input->options[1] & 1, .mapped = input->options[1] & 2};
    const struct sutra_part_source source = {&planes, planes_load};
    struct sutra_epochs epochs;
    struct sutra_concepts concepts;
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    uint64_t words[SUTRA_CONCEPTS_STATE_WORDS];
    planes_words(input, words, SUTRA_CONCEPTS_STATE_WORDS);
    FUZZ_REQUIRE(sutra_epochs_init(&epochs) == SUTRA_OK);
    const int status = sutra_concepts_load(&concepts, &epochs, HASH_SEED, words, &source, &fault);
    FUZZ_REQUIRE(status == SUTRA_OK || status == SUTRA_E_CORRUPT || status == SUTRA_E_CAPACITY ||
                 status == SUTRA_E_TRUNCATED); /* the last is the source's */
    FUZZ_REQUIRE(status != SUTRA_E_CORRUPT || fault.what != NULL);
    if (status == SUTRA_OK) {
        read_all(&concepts, verify(&concepts));
        if (!planes.tight) {
            write_all(&concepts);
            read_all(&concepts, verify(&concepts));
        }
        sutra_concepts_deinit(&concepts);
    }
    sutra_epochs_deinit(&epochs);
}
