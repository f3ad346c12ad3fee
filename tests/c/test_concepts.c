/* The concept tables: who sees which version of what, by which id.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "concept_cases.h"

#include <pthread.h>

static void every_view_sees_its_own_state(void)
{
    enum { CONCEPTS = 600, STEPS = 6000 };
    struct model model;
    seed_random(1);
    REQUIRE(model_init(&model, CONCEPTS, STEPS));
    check_ids(&model);
    check_view(&model, 0);
    check_counts(&model);
    for (size_t step = 1; step <= STEPS; step++) {
        model_step(&model);
        if (step % 50 == 0)
            sutra_concepts_publish(model.concepts);
        if (step % 200 == 0) {
            check_view(&model, model.lsn);
            check_view(&model, random_below((size_t)model.lsn + 1));
            check_view(&model, UINT64_MAX - 1);
            check_ids(&model);
            check_counts(&model);
        }
    }
    CHECK_EQ(model.concept_count, CONCEPTS);
    for (uint64_t view = 0; view < model.lsn; view += 97)
        check_view(&model, view);
    model_deinit(&model);
}

/* ---- single things */

static const struct sutra_record plain = {
    .strength = 1, .confidence = 1, .vector_row = SUTRA_NO_ROW};

struct one {
    struct sutra_epochs epochs;
    struct sutra_concepts concepts;
};

static bool one_init(struct one *one)
{
    return sutra_epochs_init(&one->epochs) == SUTRA_OK &&
           sutra_concepts_init(&one->concepts, &one->epochs, HASH_SEED) == SUTRA_OK;
}

static void one_deinit(struct one *one)
{
    sutra_concepts_deinit(&one->concepts);
    sutra_epochs_deinit(&one->epochs);
}

static uint32_t find_number(const struct sutra_concepts *concepts, int64_t number)
{
    uint32_t found = 12345;
    sutra_concepts_find(concepts, &(struct sutra_ids){.count = 1, .numbers = &number}, &found);
    return found;
}

static uint32_t find_text(const struct sutra_concepts *concepts, const char *text, uint32_t bytes)
{
    uint32_t found = 12345;
    sutra_concepts_find(
        concepts, &(struct sutra_ids){.count = 1, .texts = &text, .text_bytes = &bytes}, &found);
    return found;
}

static uint32_t put_number(struct sutra_concepts *concepts, int64_t number, uint64_t lsn)
{
    if (sutra_concepts_reserve(concepts, 1, 1, 0) != SUTRA_OK)
        return SUTRA_NO_CONCEPT;
    const uint32_t concept = sutra_concepts_enter(concepts, number, NULL, 0);
    (void)sutra_concepts_put(concepts, concept, &plain, lsn);
    return concept;
}

static uint32_t put_text(struct sutra_concepts *concepts, const char *text, uint32_t bytes,
                         uint64_t lsn)
{
    if (sutra_concepts_reserve(concepts, 1, 1, bytes + 4) != SUTRA_OK)
        return SUTRA_NO_CONCEPT;
    const uint32_t concept = sutra_concepts_enter(concepts, 0, text, bytes);
    (void)sutra_concepts_put(concepts, concept, &plain, lsn);
    return concept;
}

static void numbers_are_not_texts(void)
{
    struct one one;
    struct sutra_concepts *const concepts = &one.concepts;
    REQUIRE(one_init(&one));
    static char longest[SUTRA_TEXT_ID_BYTES_MAX + 1];
    memset(longest, 'x', sizeof longest - 1);
    CHECK_EQ(concepts->next_number, 0);
    CHECK_EQ(put_text(concepts, "1", 1, 1), 0);
    CHECK_EQ(concepts->next_number, 0); /* a text is no number */
    CHECK_EQ(find_number(concepts, 1), SUTRA_NO_CONCEPT);
    CHECK_EQ(put_number(concepts, 1, 2), 1);
    CHECK_EQ(concepts->next_number, 2);
    CHECK_EQ(put_text(concepts, longest, SUTRA_TEXT_ID_BYTES_MAX, 3), 2);
    CHECK_EQ(put_number(concepts, 0, 4), 3);
    CHECK_EQ(concepts->next_number, 2);
    CHECK_EQ(find_text(concepts, "1", 1), 0);
    CHECK_EQ(find_number(concepts, 1), 1);
    CHECK_EQ(find_number(concepts, 0), 3);
    CHECK_EQ(find_text(concepts, longest, SUTRA_TEXT_ID_BYTES_MAX), 2);
    CHECK_EQ(find_text(concepts, longest, SUTRA_TEXT_ID_BYTES_MAX - 1), SUTRA_NO_CONCEPT);
    CHECK_EQ(find_text(concepts, "11", 2), SUTRA_NO_CONCEPT);
    CHECK_EQ(find_text(concepts, "0", 1), SUTRA_NO_CONCEPT);
    longest[1000] = 'y';
    CHECK_EQ(find_text(concepts, longest, SUTRA_TEXT_ID_BYTES_MAX), SUTRA_NO_CONCEPT);
    one_deinit(&one);
}

static void the_largest_number_leaves_none_to_assign(void)
{
    struct one one;
    REQUIRE(one_init(&one));
    CHECK_EQ(put_number(&one.concepts, INT64_MAX - 2, 1), 0);
    CHECK_EQ(one.concepts.next_number, INT64_MAX - 1);
    CHECK_EQ(put_number(&one.concepts, INT64_MAX, 1), 1);
    CHECK_EQ(one.concepts.next_number, INT64_MAX);
    CHECK_EQ(put_number(&one.concepts, INT64_MAX - 1, 1), 2);
    CHECK_EQ(put_number(&one.concepts, 3, 1), 3);
    CHECK_EQ(one.concepts.next_number, INT64_MAX);
    CHECK_EQ(find_number(&one.concepts, INT64_MAX), 1);
    CHECK_EQ(find_number(&one.concepts, INT64_MAX - 1), 2);
    struct sutra_fault fault;
    CHECK_EQ(sutra_concepts_verify(&one.concepts, &fault), SUTRA_OK);
    one_deinit(&one);
}

static void what_is_entered_is_found_with_its_first_slot(void)
{
    struct one one;
    struct sutra_concepts *const concepts = &one.concepts;
    REQUIRE(one_init(&one));
    REQUIRE(sutra_concepts_reserve(concepts, 6, 5, 100) == SUTRA_OK);
    /* Concepts first and slots in another order. */
    CHECK_EQ(sutra_concepts_enter(concepts, 70, NULL, 0), 0);
    CHECK_EQ(sutra_concepts_enter(concepts, 0, "seventy-one", 11), 1);
    CHECK_EQ(sutra_concepts_enter(concepts, 72, NULL, 0), 2);
    CHECK_EQ(find_number(concepts, 72), SUTRA_NO_CONCEPT);
    CHECK_EQ(sutra_concepts_newest(concepts, 2), SUTRA_NO_SLOT);
    CHECK_EQ(sutra_concepts_visible(concepts, 2, UINT64_MAX - 1), SUTRA_NO_SLOT);
    CHECK(!sutra_concepts_remove(concepts, 2, 1));
    CHECK_EQ(concepts->live_count, 0);
    CHECK_EQ(sutra_concepts_put(concepts, 2, &plain, 5), 0);
    CHECK_EQ(sutra_concepts_put(concepts, 1, &plain, 5), 1);
    CHECK_EQ(find_number(concepts, 72), 2);
    CHECK_EQ(find_text(concepts, "seventy-one", 11), 1);
    CHECK_EQ(find_number(concepts, 70), SUTRA_NO_CONCEPT);
    CHECK_EQ(sutra_concepts_put(concepts, 2, &plain, 5), 2); /* again, in the same batch */
    CHECK_EQ(sutra_concepts_put(concepts, 0, &plain, 5), 3);
    sutra_concepts_publish(concepts);
    CHECK_EQ(sutra_concepts_enter(concepts, 73, NULL, 0), 3);
    CHECK_EQ(sutra_concepts_put(concepts, 3, &plain, 6), 4);
    sutra_concepts_publish(concepts);
    for (int64_t number = 70; number < 74; number++)
        CHECK_EQ(find_number(concepts, number),
                 number == 71 ? (int64_t)SUTRA_NO_CONCEPT : number - 70);
    CHECK_EQ(sutra_concepts_visible(concepts, 2, 5), 2);
    CHECK_EQ(sutra_concepts_visible(concepts, 3, 5), SUTRA_NO_SLOT);
    CHECK_EQ(sutra_concepts_visible(concepts, 3, 6), 4);
    CHECK_EQ(concepts->live_count, 4);
    struct sutra_fault fault;
    CHECK_EQ(sutra_concepts_verify(concepts, &fault), SUTRA_OK);
    /* There is no such concept, or no such slot. */
    int64_t number;
    const char *text;
    const uint8_t *data;
    uint32_t bytes;
    CHECK_EQ(sutra_concepts_id(concepts, 4, &number, &text, &bytes), SUTRA_E_CORRUPT);
    CHECK_EQ(sutra_concepts_content(concepts, 5, &data, &bytes), SUTRA_E_CORRUPT);
    CHECK(data == NULL && bytes == 0);
    CHECK_EQ(sutra_concepts_metadata(concepts, SUTRA_NO_SLOT, &data, &bytes), SUTRA_E_CORRUPT);
    CHECK_EQ(sutra_concepts_newest(concepts, 4), SUTRA_NO_SLOT);
    CHECK_EQ(sutra_concepts_visible(concepts, SUTRA_NO_CONCEPT, 6), SUTRA_NO_SLOT);
    one_deinit(&one);
}

static void removed_concepts_keep_their_number(void)
{
    struct one one;
    struct sutra_concepts *const concepts = &one.concepts;
    REQUIRE(one_init(&one));
    CHECK_EQ(put_number(concepts, 5, 10), 0);
    CHECK(sutra_concepts_remove(concepts, 0, 20));
    CHECK(!sutra_concepts_remove(concepts, 0, 21));
    CHECK_EQ(concepts->live_count, 0);
    CHECK_EQ(find_number(concepts, 5), 0);
    CHECK_EQ(sutra_concepts_newest(concepts, 0), SUTRA_NO_SLOT);
    REQUIRE(sutra_concepts_reserve(concepts, 2, 0, 0) == SUTRA_OK);
    CHECK_EQ(sutra_concepts_put(concepts, 0, &plain, 30), 1);
    CHECK_EQ(concepts->live_count, 1);
    static const uint32_t expected[][2] = {
        {9, SUTRA_NO_SLOT}, {10, 0}, {19, 0}, {20, SUTRA_NO_SLOT}, {29, SUTRA_NO_SLOT}, {30, 1}};
    for (size_t j = 0; j < sizeof expected / sizeof expected[0]; j++)
        CHECK_EQ(sutra_concepts_visible(concepts, 0, expected[j][0]), expected[j][1]);
    /* An LSN that falls would hide what is there: it counts as the last one. */
    CHECK_EQ(sutra_concepts_put(concepts, 0, &plain, 7), 2);
    CHECK_EQ(sutra_concepts_visible(concepts, 0, 29), SUTRA_NO_SLOT);
    CHECK_EQ(sutra_concepts_visible(concepts, 0, 30), 2);
    CHECK(sutra_concepts_remove(concepts, 0, 8));
    CHECK_EQ(sutra_concepts_visible(concepts, 0, 30), SUTRA_NO_SLOT);
    struct sutra_fault fault;
    CHECK_EQ(sutra_concepts_verify(concepts, &fault), SUTRA_OK);
    one_deinit(&one);
}

static void counts_of_references_stay_in_range(void)
{
    struct one one;
    struct sutra_concepts *const concepts = &one.concepts;
    REQUIRE(one_init(&one));
    REQUIRE(put_number(concepts, 5, 10) == 0);
    const struct sutra_record *const record = sutra_concepts_record(concepts, 0);
    sutra_concepts_count_reference(concepts, 0, -1);
    CHECK_EQ(record->reference_count, 0);
    sutra_concepts_count_reference(concepts, 0, 5);
    sutra_concepts_count_reference(concepts, 0, -2);
    CHECK_EQ(record->reference_count, 3);
    sutra_concepts_touch(concepts, 0, -77);
    CHECK_EQ(record->accessed_ns, -77);
    struct sutra_record many = *record;
    many.reference_count = UINT32_MAX - 1;
    REQUIRE(sutra_concepts_reserve(concepts, 1, 0, 0) == SUTRA_OK);
    CHECK_EQ(sutra_concepts_put(concepts, 0, &many, 11), 1);
    sutra_concepts_count_reference(concepts, 1, INT32_MAX);
    CHECK_EQ(sutra_concepts_record(concepts, 1)->reference_count, UINT32_MAX);
    CHECK_EQ(record->reference_count, 3);
    one_deinit(&one);
}

static void nothing_and_an_empty_thing_differ(void)
{
    struct one one;
    struct sutra_concepts *const concepts = &one.concepts;
    REQUIRE(one_init(&one));
    REQUIRE(sutra_concepts_reserve(concepts, 3, 3, 10) == SUTRA_OK);
    const uint32_t flags[3] = {0, SUTRA_RECORD_CONTENT, SUTRA_RECORD_METADATA};
    for (uint32_t j = 0; j < 3; j++) {
        struct sutra_record record = plain;
        record.flags = flags[j];
        record.content_offset = concepts->heap.used;
        REQUIRE(sutra_concepts_enter(concepts, j, NULL, 0) == j);
        REQUIRE(sutra_concepts_put(concepts, j, &record, 1) == j);
        const uint8_t *data;
        uint32_t bytes = 1;
        CHECK_EQ(sutra_concepts_content(concepts, j, &data, &bytes), SUTRA_OK);
        CHECK((data != NULL) == (j == 1) && bytes == 0);
        bytes = 1;
        CHECK_EQ(sutra_concepts_metadata(concepts, j, &data, &bytes), SUTRA_OK);
        CHECK((data != NULL) == (j == 2) && bytes == 0);
    }
    one_deinit(&one);
}

static void impossible_sizes_are_refused(void)
{
    struct one one;
    struct sutra_concepts *const concepts = &one.concepts;
    REQUIRE(one_init(&one));
    REQUIRE(put_number(concepts, 5, 10) == 0);
    uint64_t before[SUTRA_CONCEPTS_STATE_WORDS], after[SUTRA_CONCEPTS_STATE_WORDS];
    sutra_concepts_state(concepts, before);
    CHECK_EQ(sutra_concepts_reserve(concepts, SUTRA_ROWS_MAX, 0, 0), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_concepts_reserve(concepts, SIZE_MAX, 0, 0), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_concepts_reserve(concepts, 0, SUTRA_ROWS_MAX, 0), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_concepts_reserve(concepts, 0, SIZE_MAX, 0), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_concepts_reserve(concepts, 0, 0, UINT64_MAX), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_concepts_reserve(concepts, 0, 0, SUTRA_HEAP_BYTES_MAX), SUTRA_E_CAPACITY);
    sutra_concepts_state(concepts, after);
    CHECK(memcmp(before, after, sizeof before) == 0);
    CHECK_EQ(find_number(concepts, 5), 0);
    CHECK_EQ(put_number(concepts, 6, 10), 1);
    one_deinit(&one);
}

/* Batches of any size give what single look-ups give. */
static void batches_and_single_look_ups_agree(void)
{
    enum { COUNT = 400 };
    struct one one;
    REQUIRE(one_init(&one));
    for (int64_t j = 0; j < COUNT; j++)
        REQUIRE(put_number(&one.concepts, j * j, (uint64_t)j) == j);
    int64_t numbers[COUNT];
    uint32_t found[COUNT + 1], slots[COUNT + 1], single[COUNT];
    for (size_t j = 0; j < COUNT; j++) {
        numbers[j] = (int64_t)sutra_random_at(1, j) & 0x1ffff;
        if (j % 2 == 0)
            numbers[j] = (int64_t)((j * 37 % COUNT) * (j * 37 % COUNT));
        single[j] = find_number(&one.concepts, numbers[j]);
    }
    for (size_t count = 0; count <= COUNT; count++) {
        found[count] = slots[count] = 777;
        sutra_concepts_find(&one.concepts, &(struct sutra_ids){.count = count, .numbers = numbers},
                            found);
        sutra_concepts_visible_many(&one.concepts, found, count, 100, slots);
        CHECK(found[count] == 777 && slots[count] == 777);
        size_t wrong = 0;
        for (size_t j = 0; j < count; j++) {
            wrong += found[j] != single[j];
            wrong += slots[j] != (single[j] <= 100 ? single[j] : SUTRA_NO_SLOT);
        }
        CHECK_EQ(wrong, 0);
    }
    one_deinit(&one);
}

static void a_million_ids_are_told_apart(void)
{
    enum { COUNT = 1000000, BATCH = 10000 };
    struct one one;
    struct sutra_concepts *const concepts = &one.concepts;
    REQUIRE(one_init(&one));
    int64_t *const ids = malloc(BATCH * sizeof *ids);
    uint32_t *const found = malloc(BATCH * sizeof *found);
    REQUIRE(ids && found);
    size_t wrong = 0;
    for (int64_t first = 0; first < COUNT; first += BATCH) {
        for (int64_t j = 0; j < BATCH; j++)
            ids[j] = (first + j) * 3;
        const struct sutra_ids wanted = {.count = BATCH, .numbers = ids};
        sutra_concepts_find(concepts, &wanted, found);
        REQUIRE(sutra_concepts_reserve(concepts, BATCH, BATCH, 0) == SUTRA_OK);
        for (size_t j = 0; j < BATCH; j++) {
            wrong += found[j] != SUTRA_NO_CONCEPT;
            const uint32_t concept = sutra_concepts_enter(concepts, ids[j], NULL, 0);
            (void)sutra_concepts_put(concepts, concept, &plain, (uint64_t)first);
        }
        sutra_concepts_publish(concepts);
    }
    CHECK_EQ(wrong, 0);
    for (int64_t first = 0; first < 3 * COUNT; first += BATCH) {
        for (int64_t j = 0; j < BATCH; j++)
            ids[j] = first + j;
        const struct sutra_ids wanted = {.count = BATCH, .numbers = ids};
        sutra_concepts_find(concepts, &wanted, found);
        for (size_t j = 0; j < BATCH; j++)
            wrong += found[j] != (ids[j] % 3 == 0 ? (uint32_t)(ids[j] / 3) : SUTRA_NO_CONCEPT);
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(concepts->live_count, COUNT);
    CHECK(concepts->entered_room < 2 * BATCH); /* what has a record is not remembered beside it */
    CHECK_EQ(concepts->next_number, 3 * (COUNT - 1) + 1);
    free(ids);
    free(found);
    one_deinit(&one);
}

/* ---- readers beside a writer
 *
 * What happens to an id follows from its number alone: it is entered in batch id / BATCH_IDS, put
 * again in every later batch that is equal modulo PERIOD, and every fifth id is removed in between.
 * So a reader knows what it must see at any view.
 */

enum { BATCHES = 150, BATCH_IDS = 300, PERIOD = 61, READERS = 4, LOOKS = 50 };

struct shared {
    struct one one;
    uint64_t view; /* atomic: 1 + the last batch that is published */
    atomic_size_t wrong, looks;
    atomic_bool stop;
};

static bool is_put(int64_t id, int64_t batch)
{
    return batch > id / BATCH_IDS && batch % PERIOD == id % PERIOD;
}

static bool is_removed(int64_t id, int64_t batch)
{
    return id % 5 == 0 && batch > id / BATCH_IDS && (batch + PERIOD / 2) % PERIOD == id % PERIOD;
}

/* LSN of the version that is visible after a batch; 0 if none is. */
static uint64_t version_after(int64_t id, int64_t batch)
{
    for (; batch > id / BATCH_IDS; batch--) {
        if (is_removed(id, batch))
            return 0;
        if (is_put(id, batch))
            return (uint64_t)batch + 1;
    }
    return batch == id / BATCH_IDS ? (uint64_t)batch + 1 : 0;
}

/* Every third id is a text. */
static const char *text_for(int64_t id, char *buffer, uint32_t *bytes_out)
{
    if (id % 3 != 0)
        return NULL;
    *bytes_out = (uint32_t)snprintf(buffer, 32, "concept %lld", (long long)id);
    return buffer;
}

static size_t look_once(const struct sutra_concepts *concepts, uint64_t view, uint64_t *random)
{
    int64_t ids[LOOKS];
    char buffers[LOOKS][32];
    const char *texts[LOOKS];
    uint32_t bytes[LOOKS], found[LOOKS], slots[LOOKS];
    for (size_t j = 0; j < LOOKS; j++) {
        *random = sutra_mix64(*random);
        ids[j] = (int64_t)(*random % (view * BATCH_IDS));
        texts[j] = text_for(ids[j], buffers[j], &bytes[j]);
    }
    const struct sutra_ids wanted = {
        .count = LOOKS, .numbers = ids, .texts = texts, .text_bytes = bytes};
    sutra_concepts_find(concepts, &wanted, found);
    sutra_concepts_visible_many(concepts, found, LOOKS, view, slots);
    size_t wrong = 0;
    for (size_t j = 0; j < LOOKS; j++) {
        const uint64_t version = version_after(ids[j], (int64_t)view - 1);
        if (found[j] != ids[j] || (slots[j] == SUTRA_NO_SLOT) != (version == 0)) {
            wrong++;
            continue;
        }
        wrong += sutra_concepts_visible(concepts, found[j], view) != slots[j];
        if (slots[j] == SUTRA_NO_SLOT)
            continue;
        struct sutra_record *const record = sutra_concepts_record(concepts, slots[j]);
        const uint8_t *content;
        uint32_t content_bytes;
        wrong += (uint64_t)record->created_ns != version;
        wrong += sutra_concepts_content(concepts, slots[j], &content, &content_bytes) != SUTRA_OK ||
                 content_bytes != sizeof version || memcmp(content, &version, sizeof version) != 0;
        (void)__atomic_load_n(&record->accessed_ns, __ATOMIC_RELAXED);
    }
    return wrong;
}

static void *read_along(void *argument)
{
    struct shared *const shared = argument;
    uint64_t random = (uint64_t)(uintptr_t)&random;
    size_t wrong = 0, looks = 0;
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        const unsigned slot = sutra_epoch_enter(&shared->one.epochs);
        uint64_t view = __atomic_load_n(&shared->view, __ATOMIC_ACQUIRE);
        if (looks % 4 == 3 && view > 1)
            view = random % (view - 1) + 1; /* or the past */
        if (view > 0) {
            wrong += look_once(&shared->one.concepts, view, &random);
            looks++;
        }
        sutra_epoch_leave(&shared->one.epochs, slot);
    }
    atomic_fetch_add(&shared->wrong, wrong);
    atomic_fetch_add(&shared->looks, looks);
    return NULL;
}

static void put_version(struct sutra_concepts *concepts, uint32_t concept, uint64_t lsn)
{
    struct sutra_record record = plain;
    record.flags = SUTRA_RECORD_CONTENT | SUTRA_RECORD_CONTENT_BYTES;
    record.created_ns = (int64_t)lsn;
    record.content_bytes = sizeof lsn;
    record.content_offset = sutra_heap_append(&concepts->heap, &lsn, sizeof lsn);
    (void)sutra_concepts_put(concepts, concept, &record, lsn);
}

static void write_batch(struct sutra_concepts *concepts, int64_t batch)
{
    const uint64_t lsn = (uint64_t)batch + 1;
    const int64_t first = batch * BATCH_IDS;
    REQUIRE(sutra_concepts_reserve(concepts, (size_t)first / PERIOD * 2 + BATCH_IDS * 2, BATCH_IDS,
                                   ((uint64_t)first / PERIOD * 2 + BATCH_IDS * 2) * 48) ==
            SUTRA_OK);
    for (int64_t id = 0; id < first; id++) {
        if (is_removed(id, batch))
            CHECK(sutra_concepts_remove(concepts, (uint32_t)id, lsn));
        if (is_put(id, batch))
            put_version(concepts, (uint32_t)id, lsn);
        if (id % 1000 == batch % 1000) {
            const uint32_t slot = sutra_concepts_newest(concepts, (uint32_t)id);
            if (slot != SUTRA_NO_SLOT)
                sutra_concepts_touch(concepts, slot, batch);
        }
    }
    for (int64_t id = first; id < first + BATCH_IDS; id++) {
        char buffer[32];
        uint32_t bytes = 0;
        const char *const text = text_for(id, buffer, &bytes);
        const uint32_t concept = sutra_concepts_enter(concepts, id, text, bytes);
        CHECK_EQ(concept, id);
        put_version(concepts, concept, lsn);
    }
}

static void readers_see_what_was_published(void)
{
    struct shared *const shared = calloc(1, sizeof *shared);
    REQUIRE(shared != NULL && one_init(&shared->one));
    pthread_t threads[READERS];
    for (size_t t = 0; t < READERS; t++)
        REQUIRE(pthread_create(&threads[t], NULL, read_along, shared) == 0);
    const uint64_t version = shared->one.concepts.map.version;
    for (int64_t batch = 0; batch < BATCHES; batch++) {
        write_batch(&shared->one.concepts, batch);
        sutra_concepts_publish(&shared->one.concepts);
        __atomic_store_n(&shared->view, (uint64_t)batch + 1, __ATOMIC_RELEASE);
    }
    atomic_store(&shared->stop, true);
    for (size_t t = 0; t < READERS; t++)
        CHECK_EQ(pthread_join(threads[t], NULL), 0);
    uint64_t random = 5;
    CHECK_EQ(look_once(&shared->one.concepts, BATCHES, &random), 0);
    CHECK_EQ(atomic_load(&shared->wrong), 0);
    CHECK(atomic_load(&shared->looks) > 0);
    CHECK(shared->one.concepts.map.version >= version + 5); /* the map grew under them */
    struct sutra_fault fault;
    CHECK_EQ(sutra_concepts_verify(&shared->one.concepts, &fault), SUTRA_OK);
    one_deinit(&shared->one);
    free(shared);
}

CHECK_MAIN(CASE(every_view_sees_its_own_state), CASE(numbers_are_not_texts),
           CASE(the_largest_number_leaves_none_to_assign),
           CASE(what_is_entered_is_found_with_its_first_slot),
           CASE(removed_concepts_keep_their_number), CASE(counts_of_references_stay_in_range),
           CASE(nothing_and_an_empty_thing_differ), CASE(impossible_sizes_are_refused),
           CASE(batches_and_single_look_ups_agree), CASE(a_million_ids_are_told_apart),
           CASE(readers_see_what_was_published))
