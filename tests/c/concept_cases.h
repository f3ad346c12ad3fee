/* What the tests of the concept tables share: a model of plain arrays beside the real ones, and
 * sets saved to memory.
 *
 * To be included first. Ids, contents and metadata follow from numbers, so the model need not keep
 * them.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_CONCEPT_CASES_H
#define SUTRA_TESTS_CONCEPT_CASES_H

#include "index_cases.h"

#include "concepts/concepts.h"

#define HASH_SEED 0x5eedu

/* ---- ids: in turns a number, the same number as a text, and a text of some length */

struct made_id {
    bool is_text;
    int64_t number;
    uint32_t text_bytes;
    char text[SUTRA_TEXT_ID_BYTES_MAX];
};

static inline void make_id(size_t concept, struct made_id *id_out)
{
    const long long number = (long long)concept / 3 * 7 + 1;
    id_out->is_text = concept % 3 != 0;
    id_out->number = number;
    if (!id_out->is_text)
        return;
    /* Digits, and for the long ones a tail that is not ASCII. */
    id_out->text_bytes = (uint32_t)snprintf(id_out->text, sizeof id_out->text, "%lld", number);
    if (concept % 3 == 2) {
        const uint32_t bytes = (uint32_t)(sutra_mix64(concept) % SUTRA_TEXT_ID_BYTES_MAX) + 1;
        do {
            memcpy(id_out->text + id_out->text_bytes, "\xc3\xa9", 2);
            id_out->text_bytes += 2;
        } while (id_out->text_bytes + 2 <= bytes);
    }
}

/* ---- the model */

struct model_slot {
    uint32_t concept;
    uint64_t birth, death;
    struct sutra_record record; /* as it should be, but for a text id */
};

struct model {
    struct sutra_epochs *epochs;
    struct sutra_concepts *concepts;
    size_t slot_count, concept_count, live_count;
    size_t slot_room, concept_room;
    struct model_slot *slots;
    uint32_t *heads;
    uint64_t lsn;
};

static inline bool model_init(struct model *model, size_t concepts, size_t slots)
{
    memset(model, 0, sizeof *model);
    model->slot_room = slots;
    model->concept_room = concepts;
    model->slots = calloc(slots, sizeof *model->slots);
    model->heads = calloc(concepts, sizeof *model->heads);
    model->epochs = calloc(1, sizeof *model->epochs);
    model->concepts = calloc(1, sizeof *model->concepts);
    return model->slots && model->heads && model->epochs && model->concepts &&
           sutra_epochs_init(model->epochs) == SUTRA_OK &&
           sutra_concepts_init(model->concepts, model->epochs, HASH_SEED) == SUTRA_OK;
}

static inline void model_deinit(struct model *model)
{
    sutra_concepts_deinit(model->concepts);
    sutra_epochs_deinit(model->epochs);
    free(model->concepts);
    free(model->epochs);
    free(model->slots);
    free(model->heads);
}

static inline void make_bytes(uint32_t slot, uint32_t salt, uint8_t *bytes_out, uint32_t count)
{
    for (uint32_t j = 0; j < count; j++)
        bytes_out[j] = (uint8_t)('a' + sutra_random_at(slot, salt + j) % 26);
}

/* A record of random values, its content and metadata in the heap. */
static inline struct sutra_record make_record(struct sutra_concepts *concepts, uint32_t slot)
{
    uint8_t bytes[512];
    struct sutra_record record = {
        .created_ns = (int64_t)random_u64(),
        .accessed_ns = (int64_t)random_u64(),
        .reference_count = (uint32_t)random_below(3),
        .strength = random_normal(),
        .confidence = random_normal(),
        .vector_row = (uint32_t)random_u64(),
        .content_offset = concepts->heap.used,
    };
    if (random_below(3) > 0) {
        record.flags |= SUTRA_RECORD_CONTENT;
        record.content_bytes = (uint32_t)random_below(200);
        if (random_below(2) > 0)
            record.flags |= SUTRA_RECORD_CONTENT_BYTES;
        make_bytes(slot, 0, bytes, record.content_bytes);
        (void)sutra_heap_append(&concepts->heap, bytes, record.content_bytes);
    }
    if (random_below(3) > 0) {
        record.flags |= SUTRA_RECORD_METADATA;
        record.metadata_bytes = (uint32_t)random_below(100);
        make_bytes(slot, 1000, bytes, record.metadata_bytes);
        (void)sutra_heap_append(&concepts->heap, bytes, record.metadata_bytes);
    }
    return record;
}

/* A new version of a concept, or a new concept with concept == concept_count. */
static inline void model_put(struct model *model, uint32_t concept)
{
    struct sutra_concepts *const concepts = model->concepts;
    const uint32_t slot = (uint32_t)model->slot_count;
    REQUIRE(slot < model->slot_room && concept < model->concept_room);
    const bool fresh = concept == model->concept_count;
    REQUIRE(sutra_concepts_reserve(concepts, 1, fresh, 4 + SUTRA_TEXT_ID_BYTES_MAX + 512) ==
            SUTRA_OK);
    if (fresh) {
        struct made_id id;
        make_id(concept, &id);
        REQUIRE(sutra_concepts_enter(concepts, id.number, id.is_text ? id.text : NULL,
                                     id.text_bytes) == concept);
        model->heads[concept] = SUTRA_NO_SLOT;
        model->concept_count++;
    }
    struct sutra_record record = make_record(concepts, slot);
    struct model_slot *const row = &model->slots[slot];
    *row = (struct model_slot){
        .concept = concept, .birth = model->lsn, .death = SUTRA_LSN_NEVER, .record = record};
    row->record.previous = model->heads[concept];
    row->record.id = (int64_t) concept / 3 * 7 + 1;
    row->record.flags |= concept % 3 != 0 ? SUTRA_RECORD_TEXT_ID : 0;
    struct model_slot *const before =
        model->heads[concept] == SUTRA_NO_SLOT ? NULL : &model->slots[model->heads[concept]];
    if (before && before->death == SUTRA_LSN_NEVER)
        before->death = model->lsn;
    else
        model->live_count++;
    /* What the callee fills in may come as it likes. */
    record.id = (int64_t)random_u64();
    record.previous = (uint32_t)random_u64();
    record.flags ^= (uint32_t)random_below(2);
    CHECK_EQ(sutra_concepts_put(concepts, concept, &record, model->lsn), slot);
    model->heads[concept] = slot;
    model->slot_count++;
}

static inline void model_remove(struct model *model, uint32_t concept)
{
    struct model_slot *const head = &model->slots[model->heads[concept]];
    const bool alive = head->death == SUTRA_LSN_NEVER;
    CHECK_EQ(sutra_concepts_remove(model->concepts, concept, model->lsn), alive);
    if (alive) {
        head->death = model->lsn;
        model->live_count--;
    }
}

/* Change the newest slot in place, if it is alive. */
static inline void model_touch(struct model *model, uint32_t concept)
{
    const uint32_t slot = sutra_concepts_newest(model->concepts, concept);
    struct model_slot *const head = &model->slots[model->heads[concept]];
    CHECK_EQ(slot, head->death == SUTRA_LSN_NEVER ? model->heads[concept] : SUTRA_NO_SLOT);
    if (slot == SUTRA_NO_SLOT)
        return;
    if (random_below(2) > 0) {
        head->record.accessed_ns++;
        sutra_concepts_touch(model->concepts, slot, head->record.accessed_ns);
    } else {
        head->record.reference_count++;
        sutra_concepts_count_reference(model->concepts, slot, 1);
    }
}

/* Some operation on some concept; LSNs rise, but not with each. */
static inline void model_step(struct model *model)
{
    const size_t what = random_below(10);
    model->lsn += random_below(3);
    if (model->concept_count == 0 || (what < 3 && model->concept_count < model->concept_room)) {
        model_put(model, (uint32_t)model->concept_count);
        return;
    }
    const uint32_t concept = (uint32_t)random_below(model->concept_count);
    if (what < 6)
        model_put(model, concept);
    else if (what < 8)
        model_remove(model, concept);
    else
        model_touch(model, concept);
}

/* ---- comparing */

static inline uint32_t model_visible(const struct model *model, uint32_t concept, uint64_t view)
{
    for (uint32_t slot = model->heads[concept]; slot != SUTRA_NO_SLOT;
         slot = model->slots[slot].record.previous) {
        if (model->slots[slot].birth <= view && view < model->slots[slot].death)
            return slot;
    }
    return SUTRA_NO_SLOT;
}

static inline bool same_bytes(int status, uint32_t slot, uint32_t salt, bool there, uint32_t count,
                              const uint8_t *data, uint32_t bytes)
{
    uint8_t expected[512];
    if (status != SUTRA_OK || (data != NULL) != there || bytes != (there ? count : 0))
        return false;
    make_bytes(slot, salt, expected, bytes);
    return bytes == 0 || memcmp(data, expected, bytes) == 0;
}

static inline bool same_slot(const struct model *model, uint32_t slot)
{
    const struct sutra_concepts *const concepts = model->concepts;
    const struct sutra_record *const expected = &model->slots[slot].record;
    struct sutra_record record = *sutra_concepts_record(concepts, slot);
    if (record.flags & SUTRA_RECORD_TEXT_ID)
        record.id = expected->id; /* the offset is the heap's business */
    const uint8_t *data;
    uint32_t bytes;
    int status = sutra_concepts_content(concepts, slot, &data, &bytes);
    bool same = memcmp(&record, expected, sizeof record) == 0 &&
                same_bytes(status, slot, 0, expected->flags & SUTRA_RECORD_CONTENT,
                           expected->content_bytes, data, bytes);
    status = sutra_concepts_metadata(concepts, slot, &data, &bytes);
    return same && same_bytes(status, slot, 1000, expected->flags & SUTRA_RECORD_METADATA,
                              expected->metadata_bytes, data, bytes);
}

static inline bool same_id(const struct model *model, uint32_t concept)
{
    struct made_id id;
    make_id(concept, &id);
    int64_t number;
    const char *text;
    uint32_t bytes;
    if (sutra_concepts_id(model->concepts, concept, &number, &text, &bytes) != SUTRA_OK)
        return false;
    if (!id.is_text)
        return text == NULL && bytes == 0 && number == id.number;
    return text != NULL && number == -1 && bytes == id.text_bytes &&
           memcmp(text, id.text, bytes) == 0;
}

/* Everything that can be seen at a view is what the model has. */
static inline void check_view(const struct model *model, uint64_t view)
{
    const struct sutra_concepts *const concepts = model->concepts;
    const size_t count = model->concept_count + 1;
    uint32_t *const numbers = malloc(count * sizeof *numbers);
    uint32_t *const slots = malloc(count * sizeof *slots);
    REQUIRE(numbers && slots);
    for (size_t c = 0; c < count; c++)
        numbers[c] = (uint32_t)c;
    numbers[count - 1] = SUTRA_NO_CONCEPT;
    sutra_concepts_visible_many(concepts, numbers, count, view, slots);
    size_t wrong = slots[count - 1] != SUTRA_NO_SLOT;
    for (uint32_t c = 0; c + 1 < count; c++) {
        const uint32_t expected = model_visible(model, c, view);
        wrong += slots[c] != expected || sutra_concepts_visible(concepts, c, view) != expected;
        if (expected != SUTRA_NO_SLOT)
            wrong += !same_slot(model, expected);
    }
    CHECK_EQ(wrong, 0);
    free(numbers);
    free(slots);
}

/* Every id is found, and finds its concept alone. */
static inline void check_ids(const struct model *model)
{
    enum { MANY = 500 };
    static struct made_id ids[MANY];
    int64_t numbers[MANY];
    const char *texts[MANY];
    uint32_t bytes[MANY], found[MANY];
    size_t wrong = 0;
    for (size_t first = 0; first < model->concept_count + 10; first += MANY) {
        for (size_t j = 0; j < MANY; j++) {
            make_id(first + j, &ids[j]);
            numbers[j] = ids[j].number;
            texts[j] = ids[j].is_text ? ids[j].text : NULL;
            bytes[j] = ids[j].text_bytes;
        }
        const struct sutra_ids wanted = {
            .count = MANY, .numbers = numbers, .texts = texts, .text_bytes = bytes};
        sutra_concepts_find(model->concepts, &wanted, found);
        for (size_t j = 0; j < MANY; j++) {
            const size_t c = first + j;
            wrong += found[j] != (c < model->concept_count ? c : SUTRA_NO_CONCEPT);
            wrong += c < model->concept_count && !same_id(model, (uint32_t)c);
        }
    }
    CHECK_EQ(wrong, 0);
}

static inline void check_counts(const struct model *model)
{
    struct sutra_fault fault;
    CHECK_EQ(model->concepts->slot_count, model->slot_count);
    CHECK_EQ(model->concepts->concept_count, model->concept_count);
    CHECK_EQ(model->concepts->live_count, model->live_count);
    CHECK_EQ(sutra_concepts_verify(model->concepts, &fault), SUTRA_OK);
    CHECK(fault.what == NULL && fault.row == -1);
}

/* ---- sets saved to memory */

struct saved {
    uint64_t words[SUTRA_CONCEPTS_STATE_WORDS];
    struct sutra_part parts[SUTRA_CONCEPTS_PARTS];
    uint8_t *bytes[SUTRA_CONCEPTS_PARTS];
    size_t fail_at; /* 1 + the number of the load that fails, with fail_status */
    int fail_status;
    size_t loads;
};

static inline size_t saved_bytes(const struct saved *saved, size_t part)
{
    return saved->parts[part].rows * saved->parts[part].row_bytes;
}

static inline bool save(struct sutra_concepts *concepts, struct saved *saved_out)
{
    memset(saved_out, 0, sizeof *saved_out);
    sutra_concepts_parts(concepts, saved_out->parts);
    sutra_concepts_state(concepts, saved_out->words);
    for (size_t p = 0; p < SUTRA_CONCEPTS_PARTS; p++) {
        const size_t bytes = saved_bytes(saved_out, p);
        saved_out->bytes[p] = malloc(bytes + 1);
        if (!saved_out->bytes[p])
            return false;
        if (bytes > 0)
            memcpy(saved_out->bytes[p], saved_out->parts[p].plane->base, bytes);
    }
    return true;
}

static inline void saved_free(struct saved *saved)
{
    for (size_t p = 0; p < SUTRA_CONCEPTS_PARTS; p++)
        free(saved->bytes[p]);
}

/* A source of planes. What is asked for beyond what was saved is zero, as for a hostile count. */
static inline int load_saved(void *context, uint32_t kind, size_t row_bytes, size_t rows, bool hot,
                             int huge_pages, struct sutra_plane *plane_out)
{
    struct saved *const saved = context;
    size_t p = 0;
    while (p < SUTRA_CONCEPTS_PARTS && saved->parts[p].kind != kind)
        p++;
    CHECK(p < SUTRA_CONCEPTS_PARTS && row_bytes == saved->parts[p].row_bytes);
    CHECK_EQ(hot, !(saved->parts[p].flags & SUTRA_PART_COLD));
    if (++saved->loads == saved->fail_at)
        return saved->fail_status;
    const size_t bytes = row_bytes * rows, there = saved_bytes(saved, p);
    struct sutra_plane plane = {.row_bytes = row_bytes};
    int status = sutra_arena_reserve(&plane.arena, bytes, bytes + ((size_t)64 << 20), huge_pages);
    if (status == SUTRA_OK)
        status = sutra_arena_commit(&plane.arena, bytes);
    if (status != SUTRA_OK) {
        sutra_arena_release(&plane.arena);
        return status;
    }
    plane.base = plane.arena.base;
    if (bytes > 0)
        memcpy(plane.base, saved->bytes[p], bytes < there ? bytes : there);
    *plane_out = plane;
    return SUTRA_OK;
}

static inline int load(struct sutra_concepts *concepts, struct sutra_epochs *epochs,
                       struct saved *saved, struct sutra_fault *fault_out)
{
    const struct sutra_part_source source = {.context = saved, .load = load_saved};
    saved->loads = 0;
    return sutra_concepts_load(concepts, epochs, HASH_SEED, saved->words, &source, fault_out);
}

#endif
