/* The concept tables, saved and loaded: marks, continuing, hostile bytes.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "concept_cases.h"

#include <fcntl.h>

#include "base/bytes.h"
#include "io/mapping.h"

enum { RECORD = 0, BIRTH, DEATH, HEAD, HEAP, ID_MAP };

static void parts_are_listed(void)
{
    static const uint32_t kinds[] = {SUTRA_PART_RECORD,     SUTRA_PART_SLOT_BIRTH,
                                     SUTRA_PART_SLOT_DEATH, SUTRA_PART_HEAD,
                                     SUTRA_PART_HEAP,       SUTRA_PART_ID_MAP};
    static const size_t row_bytes[] = {64, 8, 8, 4, 64, 64};
    struct model model;
    struct sutra_part parts[SUTRA_CONCEPTS_PARTS];
    uint64_t words[SUTRA_CONCEPTS_STATE_WORDS], unsealed[SUTRA_CONCEPTS_STATE_WORDS];
    seed_random(3);
    REQUIRE(model_init(&model, 100, 300));
    for (size_t step = 0; step < 200; step++)
        model_step(&model);
    sutra_concepts_state(model.concepts, unsealed);
    sutra_concepts_parts(model.concepts, parts);
    sutra_concepts_state(model.concepts, words);
    CHECK(memcmp(words, unsealed, sizeof words) == 0);
    CHECK_EQ(model.concepts->heap.used % SUTRA_HEAP_ROW, 0);
    const size_t rows[] = {model.slot_count,
                           model.slot_count,
                           model.slot_count,
                           model.concept_count,
                           (size_t)(model.concepts->heap.used / SUTRA_HEAP_ROW),
                           (size_t)(model.concepts->map.table->mask + 1) / 8};
    for (size_t p = 0; p < SUTRA_CONCEPTS_PARTS; p++) {
        const bool fixed = p == BIRTH || p == HEAP;
        CHECK_EQ(parts[p].kind, kinds[p]);
        CHECK_EQ(parts[p].flags, p == HEAP ? SUTRA_PART_COLD : fixed ? 0 : SUTRA_PART_MUTABLE);
        CHECK_EQ(parts[p].row_bytes, row_bytes[p]);
        CHECK_EQ(parts[p].plane->row_bytes, row_bytes[p]);
        CHECK_EQ(parts[p].rows, rows[p]);
        CHECK_EQ(parts[p].dirty == NULL, fixed);
        for (size_t q = 0; q < p; q++)
            CHECK(fixed || parts[p].dirty != parts[q].dirty);
    }
    /* A grown map is a new part; so is everything of a set that takes another's place. */
    struct sutra_part later[SUTRA_CONCEPTS_PARTS];
    REQUIRE(sutra_concepts_reserve(model.concepts, 0, 1000000, 0) == SUTRA_OK);
    sutra_concepts_parts(model.concepts, later);
    for (size_t p = 0; p < SUTRA_CONCEPTS_PARTS; p++)
        CHECK_EQ(later[p].version != parts[p].version, p == ID_MAP);
    model.concepts->version = 2;
    sutra_concepts_parts(model.concepts, parts);
    for (size_t p = 0; p < SUTRA_CONCEPTS_PARTS; p++)
        CHECK(later[p].version != parts[p].version);
    model_deinit(&model);
}

/* Put the loaded set in the place of the model's. */
static bool reload(struct model *model)
{
    struct saved saved;
    struct sutra_fault fault;
    struct sutra_concepts *const fresh = calloc(1, sizeof *fresh);
    if (!fresh || !save(model->concepts, &saved))
        return false;
    sutra_concepts_deinit(model->concepts);
    free(model->concepts);
    model->concepts = fresh;
    const int status = load(fresh, model->epochs, &saved, &fault);
    saved_free(&saved);
    CHECK_EQ(status, SUTRA_OK);
    CHECK(fault.what == NULL);
    return status == SUTRA_OK;
}

static void a_loaded_set_goes_on(void)
{
    struct model model;
    seed_random(4);
    REQUIRE(model_init(&model, 1000, 5000));
    REQUIRE(reload(&model)); /* empty */
    check_counts(&model);
    for (size_t round = 0; round < 10; round++) {
        for (size_t step = 0; step < 300; step++)
            model_step(&model);
        const int64_t next_number = model.concepts->next_number;
        sutra_concepts_publish(model.concepts);
        REQUIRE(reload(&model));
        CHECK_EQ(model.concepts->next_number, next_number);
        check_counts(&model);
        check_ids(&model);
        for (size_t j = 0; j < 20; j++)
            check_view(&model, random_below((size_t)model.lsn + 2));
    }
    model_deinit(&model);
}

static void marks_are_the_rows_that_changed(void)
{
    struct model model;
    struct saved saved;
    struct sutra_part parts[SUTRA_CONCEPTS_PARTS];
    seed_random(5);
    REQUIRE(model_init(&model, 3000, 20000));
    size_t marked[SUTRA_CONCEPTS_PARTS] = {0};
    for (size_t step = 0; step < 2000; step++)
        model_step(&model);
    for (size_t round = 0; round < 8; round++) {
        sutra_concepts_parts(model.concepts, parts);
        if (round == 4) {
            REQUIRE(reload(&model)); /* what was loaded is saved, without another word */
            sutra_concepts_parts(model.concepts, parts);
        }
        for (size_t p = 0; p < SUTRA_CONCEPTS_PARTS && round != 4; p++) {
            if (parts[p].dirty)
                REQUIRE(sutra_dirty_seal(parts[p].dirty, parts[p].rows) == SUTRA_OK);
        }
        REQUIRE(save(model.concepts, &saved));
        for (size_t step = 0; step < 50 + round * 100; step++)
            model_step(&model);
        sutra_concepts_parts(model.concepts, parts);
        for (size_t p = 0; p < SUTRA_CONCEPTS_PARTS; p++) {
            const size_t row_bytes = parts[p].row_bytes;
            if (parts[p].version != saved.parts[p].version) {
                CHECK(p == ID_MAP && parts[p].dirty->sealed_rows == 0);
                continue;
            }
            if (parts[p].dirty)
                CHECK_EQ(parts[p].dirty->sealed_rows, saved.parts[p].rows);
            size_t wrong = 0;
            for (size_t row = 0; row < saved.parts[p].rows; row++) {
                const bool changed = memcmp(saved.bytes[p] + row * row_bytes,
                                            parts[p].plane->base + row * row_bytes, row_bytes) != 0;
                wrong += changed != (parts[p].dirty && sutra_dirty_test(parts[p].dirty, row));
                marked[p] += changed;
            }
            CHECK_EQ(wrong, 0);
        }
        saved_free(&saved);
    }
    for (size_t p = 0; p < SUTRA_CONCEPTS_PARTS; p++)
        CHECK(p == BIRTH || p == HEAP ? marked[p] == 0 : marked[p] > 100);
    model_deinit(&model);
}

/* ---- planes that are mapped from a file, read-only until somebody asks */

struct mapped {
    struct saved saved;
    int fd;
    uint64_t offsets[SUTRA_CONCEPTS_PARTS];
};

static int map_saved(void *context, uint32_t kind, size_t row_bytes, size_t rows, bool hot,
                     int huge_pages, struct sutra_plane *plane_out)
{
    const struct mapped *const mapped = context;
    (void)hot;
    size_t p = 0;
    while (mapped->saved.parts[p].kind != kind)
        p++;
    struct sutra_plane plane = {.row_bytes = row_bytes};
    int status = sutra_arena_reserve(&plane.arena, rows * row_bytes, (size_t)64 << 20, huge_pages);
    if (status == SUTRA_OK)
        status =
            sutra_arena_map_file(&plane.arena, mapped->fd, mapped->offsets[p], rows * row_bytes);
    plane.base = plane.arena.base;
    if (status != SUTRA_OK)
        sutra_plane_release(&plane);
    else
        *plane_out = plane;
    return status;
}

static void mapped_planes_are_written_to(void)
{
    struct model model;
    struct mapped mapped = {.fd = -1};
    char path[256];
    path_in_folder(path, sizeof path, "concepts");
    seed_random(6);
    REQUIRE(model_init(&model, 400, 4000));
    for (size_t step = 0; step < 1500; step++)
        model_step(&model);
    REQUIRE(save(model.concepts, &mapped.saved));
    mapped.fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    REQUIRE(mapped.fd >= 0);
    uint64_t end = 0;
    for (size_t p = 0; p < SUTRA_CONCEPTS_PARTS; p++) {
        mapped.offsets[p] = end;
        const size_t bytes = saved_bytes(&mapped.saved, p);
        REQUIRE(pwrite(mapped.fd, mapped.saved.bytes[p], bytes, (off_t)end) == (ssize_t)bytes);
        end = sutra_round_up((size_t)end + bytes, SUTRA_SECTION_ALIGNMENT);
        /* What follows a section in its last page is not zero. */
        REQUIRE(pwrite(mapped.fd, "\xee", 1, (off_t)end - 1) == 1);
    }
    struct sutra_fault fault;
    const struct sutra_part_source source = {.context = &mapped, .load = map_saved};
    sutra_concepts_deinit(model.concepts);
    REQUIRE(sutra_concepts_load(model.concepts, model.epochs, HASH_SEED, mapped.saved.words,
                                &source, &fault) == SUTRA_OK);
    check_counts(&model);
    /* In place first, with nothing reserved. */
    for (uint32_t c = 0; c < model.concept_count; c += 3)
        model_touch(&model, c);
    for (uint32_t c = 0; c < model.concept_count; c += 7)
        model_remove(&model, c);
    for (size_t step = 0; step < 1500; step++)
        model_step(&model);
    REQUIRE(model.concepts->map.version == 1 || model.concept_count > 300);
    check_counts(&model);
    check_ids(&model);
    check_view(&model, model.lsn);
    REQUIRE(reload(&model));
    check_view(&model, model.lsn);
    saved_free(&mapped.saved);
    CHECK_EQ(close(mapped.fd), 0);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(rmdir(path_in_folder(path, sizeof path, "")), 0);
    model_deinit(&model);
}

/* ---- what is refused */

static bool small_set(struct model *model, struct saved *saved_out)
{
    if (!model_init(model, 120, 600))
        return false;
    for (size_t step = 0; step < 400; step++)
        model_step(model);
    return save(model->concepts, saved_out);
}

static void impossible_counts_are_refused(void)
{
    static const struct {
        unsigned word;
        uint64_t value;
    } wrong[] = {
        {0, SUTRA_ROWS_MAX + 1},
        {0, UINT64_MAX},
        {0, 0}, /* fewer slots than concepts */
        {1, UINT64_MAX},
        {1, SUTRA_ROWS_MAX},
        {2, 100000},
        {2, UINT64_MAX},
        {3, UINT64_MAX},
        {3, (uint64_t)INT64_MAX + 1},
        {4, SUTRA_ROWS_MAX + 1},
        {4, UINT64_MAX},
        {5, 0},
        {5, 1},
        {5, 8},
        {5, 500},
        {5, UINT64_MAX},
        {5, (uint64_t)1 << 33},
        {6, 0},
        {7, 1},
    };
    struct model model;
    struct saved saved;
    struct sutra_concepts concepts;
    struct sutra_fault fault;
    seed_random(7);
    REQUIRE(small_set(&model, &saved));
    for (size_t j = 0; j < sizeof wrong / sizeof wrong[0]; j++) {
        const uint64_t before = saved.words[wrong[j].word];
        saved.words[wrong[j].word] = wrong[j].value;
        CHECK_EQ(load(&concepts, model.epochs, &saved, &fault), SUTRA_E_CORRUPT);
        CHECK(fault.what && strcmp(fault.what, "concept counts") == 0);
        CHECK_EQ(saved.loads, 0);
        CHECK(concepts.slots.count == 0 && concepts.map.table == NULL);
        saved.words[wrong[j].word] = before;
    }
    /* Another seed would find nothing. */
    const struct sutra_part_source source = {.context = &saved, .load = load_saved};
    CHECK_EQ(
        sutra_concepts_load(&concepts, model.epochs, HASH_SEED + 1, saved.words, &source, &fault),
        SUTRA_E_CORRUPT);
    saved_free(&saved);
    model_deinit(&model);
}

static void a_part_that_cannot_be_had_is_named(void)
{
    static const char *const names[] = {"concept records", "concept births", "concept deaths",
                                        "concept heads",   "concept heap",   "id map"};
    static const int statuses[] = {SUTRA_E_CORRUPT, SUTRA_E_NO_MEMORY, 5};
    struct model model;
    struct saved saved;
    struct sutra_concepts concepts;
    struct sutra_fault fault;
    seed_random(8);
    REQUIRE(small_set(&model, &saved));
    for (size_t at = 0; at < SUTRA_CONCEPTS_PARTS; at++) {
        for (size_t s = 0; s < 3; s++) {
            saved.fail_at = at + 1;
            saved.fail_status = statuses[s];
            CHECK_EQ(load(&concepts, model.epochs, &saved, &fault), statuses[s]);
            CHECK(fault.what && strcmp(fault.what, names[at]) == 0);
            CHECK_EQ(saved.loads, at + 1);
            CHECK(concepts.slots.count == 0 && concepts.map.table == NULL);
        }
    }
    saved_free(&saved);
    model_deinit(&model);
}

/* ---- hostile bytes */

static void damage_bytes(struct saved *saved)
{
    const size_t part = random_below(SUTRA_CONCEPTS_PARTS), bytes = saved_bytes(saved, part);
    uint8_t *const data = saved->bytes[part];
    static const uint64_t likely[] = {0, 1, 0x7fffffff, 0xfffffffe, UINT32_MAX, UINT64_MAX};
    if (bytes == 0)
        return;
    const size_t at = random_below(bytes), word = at & ~(size_t)7;
    const uint64_t value = likely[random_below(sizeof likely / sizeof likely[0])];
    switch (random_below(5)) {
    case 0:
        data[at] = (uint8_t)random_u64();
        break;
    case 1:
        data[at] ^= (uint8_t)(1 << random_below(8));
        break;
    case 2:
        memcpy(data + word, &value, bytes - word < 8 ? bytes - word : 8);
        break;
    case 3: /* one part of it over another */
        memmove(data + at, data + random_below(at + 1), (bytes - at) / 4);
        break;
    default:
        for (size_t j = at; j < bytes && random_below(40) != 0; j++)
            data[j] = (uint8_t)random_u64();
    }
}

/* All that can be asked and done; any answer will do. */
static void use_everything(struct sutra_concepts *concepts)
{
    enum { MANY = 160 };
    static struct made_id ids[MANY];
    int64_t numbers[MANY];
    const char *texts[MANY];
    uint32_t bytes[MANY], found[MANY], slots[MANY];
    for (size_t j = 0; j < MANY; j++) {
        make_id(j, &ids[j]);
        numbers[j] = ids[j].number;
        texts[j] = ids[j].is_text ? ids[j].text : NULL;
        bytes[j] = ids[j].text_bytes;
    }
    const struct sutra_ids wanted = {
        .count = MANY, .numbers = numbers, .texts = texts, .text_bytes = bytes};
    sutra_concepts_find(concepts, &wanted, found);
    for (uint32_t j = 0; j < MANY; j += 2)
        found[j] = j;
    static const uint64_t views[] = {0, 100, UINT64_MAX - 1, UINT64_MAX};
    for (size_t v = 0; v < 4; v++) {
        sutra_concepts_visible_many(concepts, found, MANY, views[v], slots);
        for (size_t j = 0; j < MANY; j++) {
            const uint8_t *data;
            const char *text;
            int64_t number;
            uint32_t count;
            CHECK(slots[j] == SUTRA_NO_SLOT || slots[j] < concepts->slot_count);
            int sum = 0;
            if (sutra_concepts_content(concepts, slots[j], &data, &count) == SUTRA_OK && count > 0)
                sum += data[0] + data[count - 1];
            if (sutra_concepts_metadata(concepts, slots[j], &data, &count) == SUTRA_OK && count > 0)
                sum += data[0] + data[count - 1];
            if (sutra_concepts_id(concepts, found[j], &number, &text, &count) == SUTRA_OK && text)
                sum += text[0] + text[count - 1];
            CHECK(sum < 4000);
        }
    }
    struct sutra_fault fault;
    const int status = sutra_concepts_verify(concepts, &fault);
    CHECK(status == SUTRA_OK || (status == SUTRA_E_CORRUPT && fault.what != NULL));
    REQUIRE(sutra_concepts_reserve(concepts, MANY + 1, 1, 4096) == SUTRA_OK);
    const struct sutra_record record = {.vector_row = SUTRA_NO_ROW};
    (void)sutra_concepts_put(concepts, sutra_concepts_enter(concepts, 0, "new", 3), &record, 999);
    for (uint32_t j = 0; j < MANY; j++) {
        const uint32_t slot = sutra_concepts_newest(concepts, j);
        if (slot != SUTRA_NO_SLOT) {
            sutra_concepts_touch(concepts, slot, 1);
            sutra_concepts_count_reference(concepts, slot, -3);
        }
        if (j % 2 == 0)
            (void)sutra_concepts_remove(concepts, j, 999);
        if (j < concepts->concept_count)
            (void)sutra_concepts_put(concepts, j, &record, 999);
    }
    sutra_concepts_publish(concepts);
    REQUIRE(sutra_concepts_reserve(concepts, 0, 5000, 0) == SUTRA_OK); /* the map grows */
    sutra_concepts_find(concepts, &wanted, found);
    struct sutra_part parts[SUTRA_CONCEPTS_PARTS];
    sutra_concepts_parts(concepts, parts);
    (void)sutra_concepts_verify(concepts, &fault);
}

static void hostile_bytes_give_wrong_answers_at_worst(void)
{
    const size_t rounds = getenv("SUTRA_TEST_EMULATED") ? 300 : 4000; /* of 1 to 4 each */
    struct model model;
    struct saved saved, copy;
    struct sutra_fault fault;
    seed_random(9);
    REQUIRE(small_set(&model, &saved));
    REQUIRE(save(model.concepts, &copy));
    size_t refused = 0, sound = 0;
    for (size_t round = 0; round < rounds; round++) {
        memcpy(copy.words, saved.words, sizeof copy.words);
        for (size_t p = 0; p < SUTRA_CONCEPTS_PARTS; p++)
            memcpy(copy.bytes[p], saved.bytes[p], saved_bytes(&saved, p));
        for (size_t n = random_below(4) + 1; n > 0; n--)
            damage_bytes(&copy);
        if (round % 50 == 0) /* counts that pass for sound: more or fewer rows than were saved */
            copy.words[random_below(5)] += random_below(200) - 100;
        if (round % 71 == 0)
            memset(copy.bytes[ID_MAP], 0x5a, saved_bytes(&copy, ID_MAP));
        struct sutra_concepts concepts;
        if (load(&concepts, model.epochs, &copy, &fault) != SUTRA_OK) {
            refused++;
            continue;
        }
        sound += sutra_concepts_verify(&concepts, &fault) == SUTRA_OK;
        use_everything(&concepts);
        sutra_concepts_deinit(&concepts);
    }
    CHECK(refused < rounds / 50);
    CHECK(sound < rounds / 2);
    saved_free(&copy);
    saved_free(&saved);
    model_deinit(&model);
}

CHECK_MAIN(CASE(parts_are_listed), CASE(a_loaded_set_goes_on),
           CASE(marks_are_the_rows_that_changed), CASE(mapped_planes_are_written_to),
           CASE(impossible_counts_are_refused), CASE(a_part_that_cannot_be_had_is_named),
           CASE(hostile_bytes_give_wrong_answers_at_worst))
