/* Declared fields and predicates of a store: whatever is declared, views show the concepts that a
 * plain evaluation finds, after writes, restarts, checkpoints and compactions; and what is refused.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>

#include "predicate_cases.h"
#include "store_calls.h"

#define IDS 700u

static struct sutra_op field_op(const char *path, int type)
{
    return (struct sutra_op){
        .kind = SUTRA_OP_FIELD,
        .field = {.path = path, .path_bytes = (uint32_t)strlen(path), .type = (uint32_t)type}};
}

static int declare(struct place *place, const char *path, int type)
{
    return write_op(place, field_op(path, type));
}

/* With replace; json NULL: nothing is said of the metadata. */
static int put_json(struct place *place, int64_t number, const char *json)
{
    struct sutra_op op = put_op(&number, 1);
    const uint8_t *metadata = (const uint8_t *)json;
    const uint32_t bytes = json ? (uint32_t)strlen(json) : 0;
    op.put.replace = true;
    if (json) {
        op.put.metadata = &metadata;
        op.put.metadata_bytes = &bytes;
    }
    return write_op(place, op);
}

/* ---- the plain evaluation beside it */

struct plain {
    bool alive[IDS], described[IDS];
    struct case_doc docs[IDS];
};

static bool plain_holds(const struct plain *plain, const struct case_node *node, size_t id)
{
    const struct case_doc none = {.keys = {{.kind = SUTRA_JSON_NONE}}};
    return case_holds(node, plain->described[id] ? &plain->docs[id] : &none);
}

/* Does the view show what is plainly so? */
static bool shows(const struct sutra_store_view *view, const struct plain *plain,
                  const struct case_node *node)
{
    struct sutra_predicate *predicate;
    const size_t limit = sutra_store_numbers(view);
    uint64_t *bits = calloc(limit / 64 + 2, sizeof *bits);
    size_t count = 0, expected = 0, wrong = 0;
    if (bits == NULL || sutra_predicate_new(&predicate) != SUTRA_OK)
        abort();
    bits[(limit + 63) / 64] = 77; /* not to be touched */
    CHECK_EQ(case_build(node, predicate), SUTRA_OK);
    CHECK_EQ(sutra_predicate_finish(predicate), SUTRA_OK);
    CHECK_EQ(sutra_store_where(view, predicate, limit, bits, &count), SUTRA_OK);
    for (int64_t id = 0; id < (int64_t)IDS; id++) {
        uint32_t concept = SUTRA_NO_CONCEPT;
        const bool there = slot_of(view, id, &concept) != SUTRA_NO_SLOT;
        const bool holds = plain->alive[id] && plain_holds(plain, node, (size_t)id);
        const bool found =
            concept != SUTRA_NO_CONCEPT && (bits[concept / 64] >> concept % 64 & 1) != 0;
        wrong += there != plain->alive[id] || found != holds;
        expected += holds;
    }
    CHECK_EQ(count, expected);
    CHECK_EQ(bits[(limit + 63) / 64], 77);
    sutra_predicate_free(predicate);
    free(bits);
    return wrong == 0 && count == expected;
}

static void check_views(struct place *const *places, size_t count, const struct plain *plain,
                        struct case_random *random, size_t predicates)
{
    for (size_t j = 0; j < predicates; j++) {
        struct case_node *node = case_draw_node(random, 3);
        for (size_t p = 0; p < count; p++) {
            struct sutra_store_view *view = view_of(places[p]);
            CHECK(shows(view, plain, node));
            sutra_store_view_end(view);
        }
        case_free_node(node);
    }
}

/* ---- random work on two stores, one of which has fields */

static void change_one(struct place *const *places, struct plain *plain, struct case_random *random)
{
    const uint32_t id = case_below(random, IDS), what = case_below(random, 20);
    const int64_t number = id;
    char json[CASE_JSON];
    if (what < 3) {
        for (size_t p = 0; p < 2; p++)
            CHECK_EQ(write_op(places[p], ids_op(SUTRA_OP_DELETE, &number, 1)), SUTRA_OK);
        plain->alive[id] = plain->described[id] = false;
        return;
    }
    if (what < 5) {
        for (size_t p = 0; p < 2; p++)
            CHECK_EQ(write_op(places[p], ids_op(SUTRA_OP_TOUCH, &number, 1)), SUTRA_OK);
        return;
    }
    const bool described = what < 17;
    plain->alive[id] = true;
    if (described) {
        plain->docs[id] = case_draw_doc(random);
        plain->described[id] = true;
        json[case_json(&plain->docs[id], random->at, json)] = '\0';
    }
    for (size_t p = 0; p < 2; p++)
        CHECK_EQ(put_json(places[p], number, described ? json : NULL), SUTRA_OK);
}

/* Declare what is not, or drop what is. */
static void change_field(struct place *place, struct case_random *random, bool *declared)
{
    const uint32_t key = case_below(random, 7);
    CHECK_EQ(declare(place, case_paths[key], declared[key] ? SUTRA_FIELD_NONE : case_types[key]),
             SUTRA_OK);
    declared[key] = !declared[key];
}

static void care(struct place *place, struct case_random *random)
{
    switch (case_below(random, 5)) {
    case 0:
        CHECK_EQ(sutra_store_checkpoint(place->store), SUTRA_OK);
        break;
    case 1:
        CHECK_EQ(sutra_store_compact(place->store), SUTRA_OK);
        break;
    case 2: /* as a killed process */
        drop_store(place->store);
        CHECK_EQ(place_open(place, SUTRA_STORE_APPEND), SUTRA_OK);
        break;
    case 3:
        CHECK_EQ(place_reopen(place), SUTRA_OK);
        break;
    default:
        CHECK_EQ(sutra_store_verify(place->store, true, place->file, &place->fault), SUTRA_OK);
    }
}

static void run(uint64_t seed, bool in_memory, size_t rounds)
{
    struct place with, without;
    struct place *const places[2] = {&with, &without};
    struct plain *plain = calloc(2, sizeof *plain);
    struct case_random random = {seed, 0};
    bool declared[CASE_KEYS] = {false};
    REQUIRE(plain && place_init(&with, in_memory, SUTRA_SYNC_OFF) &&
            place_init(&without, true, SUTRA_SYNC_OFF));
    for (size_t round = 0; round < rounds && atomic_load(&check_failures) == 0; round++) {
        for (size_t j = 0; j < 40; j++)
            change_one(places, plain, &random);
        if (case_below(&random, 3) == 0)
            change_field(&with, &random, declared);
        if (!in_memory && case_below(&random, 3) == 0)
            care(&with, &random);
        check_views(places, 2, plain, &random, 4);
        if (round % 8 != 0)
            continue;
        /* A view from before sees what was, whatever is declared meanwhile. */
        struct sutra_store_view *view = NULL;
        CHECK_EQ(sutra_store_view_pin(with.store, &view), SUTRA_OK);
        plain[1] = plain[0];
        for (size_t j = 0; j < 30; j++)
            change_one(places, plain, &random);
        change_field(&with, &random, declared);
        for (size_t j = 0; j < 8; j++) {
            struct case_node *node = case_draw_node(&random, 2);
            CHECK(shows(view, &plain[1], node));
            case_free_node(node);
        }
        sutra_store_view_end(view);
    }
    CHECK_EQ(sutra_store_verify(with.store, true, with.file, &with.fault), SUTRA_OK);
    free(plain);
    place_deinit(&with);
    place_deinit(&without);
}

static void as_plainly(void)
{
    const size_t divisor = tests_divisor();
    for (uint64_t seed = 1; seed <= 6; seed++)
        run(seed, seed % 3 == 0, 40 / divisor + 6);
}

/* ---- what is refused */

static void unfit(void)
{
    static const struct {
        int type;
        const char *good, *bad;
        int found;
    } cases[] = {
        {SUTRA_FIELD_INT, "-3", "3.0", SUTRA_JSON_FLOAT},
        {SUTRA_FIELD_INT, "9223372036854775807", "9223372036854775808", SUTRA_JSON_FLOAT},
        {SUTRA_FIELD_INT, "null", "true", SUTRA_JSON_BOOL},
        {SUTRA_FIELD_FLOAT, "3", "\"3\"", SUTRA_JSON_TEXT},
        {SUTRA_FIELD_FLOAT, "9007199254740993", "[1.5]", SUTRA_JSON_LIST},
        {SUTRA_FIELD_BOOL, "false", "0", SUTRA_JSON_INT},
        {SUTRA_FIELD_STR, "\"\"", "{}", SUTRA_JSON_OBJECT},
        {SUTRA_FIELD_DATETIME, "\"2020-02-29\"", "\"2021-02-29\"", SUTRA_JSON_TEXT},
        {SUTRA_FIELD_DATETIME, "\"\\u0032020-02-29\"", "1577836800", SUTRA_JSON_INT},
    };
    for (size_t j = 0; j < sizeof cases / sizeof *cases; j++) {
        struct place place;
        char good[64], bad[64];
        (void)snprintf(good, sizeof good, "{\"a\":{\"b\":%s}}", cases[j].good);
        (void)snprintf(bad, sizeof bad, "{\"a\":{\"b\":%s}}", cases[j].bad);
        REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
        CHECK_EQ(put_json(&place, 8, good), SUTRA_OK);
        CHECK_EQ(put_json(&place, 9, bad), SUTRA_OK);
        /* The concept that does not fit is named, and nothing is declared. */
        CHECK_EQ(declare(&place, "other", SUTRA_FIELD_STR), SUTRA_OK);
        CHECK_EQ(declare(&place, "a.b", cases[j].type), SUTRA_E_CONFIG);
        CHECK(strcmp(place.fault.what, "field") == 0);
        CHECK(place.fault.found >> 8 == 1 && place.fault.expected == 0);
        CHECK_EQ(place.fault.found & 255, cases[j].found);
        const int64_t number = 9;
        CHECK_EQ(write_op(&place, ids_op(SUTRA_OP_DELETE, &number, 1)), SUTRA_OK);
        CHECK_EQ(declare(&place, "a.b", cases[j].type), SUTRA_OK);
        /* From then on it cannot be written, alone or in a batch. */
        CHECK_EQ(put_json(&place, 9, bad), SUTRA_E_CONFIG);
        CHECK(strcmp(place.fault.what, "metadata") == 0 && place.fault.row == 0);
        CHECK_EQ(place.fault.found, 1 << 8 | cases[j].found);
        CHECK(!is_there(&place, 9));
        CHECK_EQ(put_json(&place, 9, good), SUTRA_OK);
        CHECK_EQ(put_json(&place, 10, "{}"), SUTRA_OK);
        CHECK_EQ(put_json(&place, 11, "{\"a\":3}"), SUTRA_OK);
        CHECK_EQ(sutra_store_verify(place.store, true, place.file, &place.fault), SUTRA_OK);
        CHECK_EQ(place_reopen(&place), SUTRA_OK);
        CHECK_EQ(put_json(&place, 12, bad), SUTRA_E_CONFIG);
        place_deinit(&place);
    }
}

static void batches(void)
{
    struct place place;
    const int64_t numbers[2] = {1, 2};
    const char *json[2] = {"{\"n\":1}", "{\"n\":\"one\"}"};
    const uint32_t bytes[2] = {7, 11};
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    struct sutra_op ops[3] = {field_op("n", SUTRA_FIELD_INT), put_op(numbers, 2),
                              field_op("m", SUTRA_FIELD_STR)};
    ops[1].put.metadata = (const uint8_t *const *)json;
    ops[1].put.metadata_bytes = bytes;
    /* A put is held to what the batch declares before it; the second of two is named. */
    CHECK_EQ(write_ops(&place, ops, 2), SUTRA_E_CONFIG);
    CHECK(place.fault.row == 1 && place.fault.expected == 1);
    CHECK_EQ(place.fault.found, SUTRA_JSON_TEXT);
    json[1] = "{\"n\":22222}";
    /* Nothing is declared after what makes concepts. */
    CHECK_EQ(write_ops(&place, ops, 3), SUTRA_E_ARGUMENT);
    CHECK_EQ(place.fault.expected, 2);
    CHECK_EQ(write_ops(&place, ops, 2), SUTRA_OK);
    CHECK(ops[0].done == 1 && ops[1].done == 2);
    /* What is so already is passed over; another type is not. */
    struct sutra_op again[3] = {field_op("n", SUTRA_FIELD_INT), field_op("x", SUTRA_FIELD_NONE),
                                field_op("n", SUTRA_FIELD_FLOAT)};
    CHECK_EQ(write_ops(&place, again, 2), SUTRA_OK);
    CHECK(again[0].done == 0 && again[1].done == 0);
    CHECK_EQ(write_ops(&place, again, 3), SUTRA_E_CONFIG);
    CHECK(strcmp(place.fault.what, "field type") == 0 && place.fault.expected == 2);
    CHECK_EQ(place.fault.found, SUTRA_FIELD_INT);
    /* Dropped and declared anew in one batch, twice over. */
    struct sutra_op anew[5] = {field_op("n", SUTRA_FIELD_NONE), field_op("n", SUTRA_FIELD_FLOAT),
                               field_op("n", SUTRA_FIELD_NONE), field_op("n", SUTRA_FIELD_FLOAT),
                               field_op("n", SUTRA_FIELD_STR)};
    CHECK_EQ(write_ops(&place, anew, 5), SUTRA_E_CONFIG);
    CHECK_EQ(put_json(&place, 3, "{\"n\":1.5}"), SUTRA_E_CONFIG);
    CHECK_EQ(write_ops(&place, anew, 4), SUTRA_OK);
    CHECK_EQ(put_json(&place, 3, "{\"n\":1.5}"), SUTRA_OK);
    for (int opened = 0; opened < 3; opened++) {
        struct sutra_store_view *view = view_of(&place);
        uint8_t *fields;
        size_t size, count;
        CHECK_EQ(sutra_store_fields(view, &fields, &size, &count), SUTRA_OK);
        CHECK(count == 1 && size == 3 && memcmp(fields, "\2\1n", 3) == 0);
        free(fields);
        sutra_store_view_end(view);
        CHECK_EQ(sutra_store_verify(place.store, true, place.file, &place.fault), SUTRA_OK);
        CHECK_EQ(opened == 0 ? place_reopen(&place) : sutra_store_compact(place.store), SUTRA_OK);
    }
    place_deinit(&place);
}

static void limits(void)
{
    struct place place;
    char path[SUTRA_JSON_PATH_BYTES_MAX + 1];
    struct sutra_store_stats stats;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    memset(path, 'p', sizeof path);
    struct sutra_op op = field_op("", SUTRA_FIELD_INT);
    CHECK_EQ(write_op(&place, op), SUTRA_E_ARGUMENT);
    op.field.path = path;
    op.field.path_bytes = sizeof path;
    CHECK_EQ(write_op(&place, op), SUTRA_E_ARGUMENT);
    op.field.path_bytes = sizeof path - 1;
    CHECK_EQ(write_op(&place, op), SUTRA_OK);
    op = field_op("\xff", SUTRA_FIELD_INT);
    CHECK_EQ(write_op(&place, op), SUTRA_E_ARGUMENT);
    op = field_op("n", SUTRA_FIELD_TYPES);
    CHECK_EQ(write_op(&place, op), SUTRA_E_ARGUMENT);
    for (unsigned j = 1; j < SUTRA_FIELDS_MAX; j++) {
        (void)snprintf(path, sizeof path, "f%u", j);
        CHECK_EQ(declare(&place, path, (int)(1 + j % 5)), SUTRA_OK);
    }
    CHECK_EQ(declare(&place, "one more", SUTRA_FIELD_INT), SUTRA_E_CAPACITY);
    CHECK_EQ(place.fault.found, SUTRA_FIELDS_MAX);
    CHECK_EQ(declare(&place, "f7", SUTRA_FIELD_NONE), SUTRA_OK);
    CHECK_EQ(declare(&place, "one more", SUTRA_FIELD_INT), SUTRA_OK);
    CHECK_EQ(put_numbers(&place, 0, 200), SUTRA_OK);
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK_EQ(stats.fields, SUTRA_FIELDS_MAX);
    CHECK_EQ(sutra_store_verify(place.store, true, place.file, &place.fault), SUTRA_OK);
    place_deinit(&place);
}

/* A predicate is built in order or not at all. */
static void building(void)
{
    const struct sutra_value null = {.kind = SUTRA_VALUE_NULL}, one = {.kind = SUTRA_VALUE_INT};
    const struct sutra_value nan = {.kind = SUTRA_VALUE_FLOAT, .number = NAN};
    const struct sutra_value odd = {.kind = 6}, two = {.kind = SUTRA_VALUE_BOOL, .integer = 2};
    struct sutra_predicate *p;
    REQUIRE(sutra_predicate_new(&p) == SUTRA_OK);
    CHECK_EQ(sutra_predicate_finish(p), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_predicate_join(p, SUTRA_PREDICATE_NOT, 1), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_predicate_compare(p, SUTRA_PREDICATE_EQ, "", 0, &one, 1), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_predicate_compare(p, SUTRA_PREDICATE_EQ, "\xff", 1, &one, 1), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_predicate_compare(p, SUTRA_PREDICATE_EQ, "a", 1, &one, 0), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_predicate_compare(p, SUTRA_PREDICATE_EXISTS, "a", 1, &one, 1), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_predicate_compare(p, SUTRA_PREDICATE_GT, "a", 1, &null, 1), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_predicate_compare(p, SUTRA_PREDICATE_EQ, "a", 1, &nan, 1), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_predicate_compare(p, SUTRA_PREDICATE_EQ, "a", 1, &odd, 1), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_predicate_compare(p, SUTRA_PREDICATE_EQ, "a", 1, &two, 1), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_predicate_compare(p, SUTRA_PREDICATE_AND, "a", 1, &one, 1), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_predicate_compare(p, SUTRA_PREDICATE_EQ, "a", 1, &one, 1), SUTRA_OK);
    for (unsigned depth = 0; depth < SUTRA_PREDICATE_DEPTH_MAX; depth++)
        CHECK_EQ(sutra_predicate_join(p, SUTRA_PREDICATE_NOT, 1), SUTRA_OK);
    CHECK_EQ(sutra_predicate_join(p, SUTRA_PREDICATE_NOT, 1), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_predicate_compare(p, SUTRA_PREDICATE_EXISTS, "b", 1, NULL, 0), SUTRA_OK);
    CHECK_EQ(sutra_predicate_finish(p), SUTRA_E_ARGUMENT);
    sutra_predicate_free(p);
    REQUIRE(sutra_predicate_new(&p) == SUTRA_OK);
    CHECK_EQ(sutra_predicate_compare(p, SUTRA_PREDICATE_EXISTS, "b", 1, NULL, 0), SUTRA_OK);
    CHECK_EQ(sutra_predicate_finish(p), SUTRA_OK);
    CHECK_EQ(sutra_predicate_finish(p), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_predicate_join(p, SUTRA_PREDICATE_NOT, 1), SUTRA_E_ARGUMENT);
    sutra_predicate_free(p);
}

/* ---- readers beside a writer */

struct scene {
    struct place place;
    atomic_bool stop;
    atomic_size_t views;
};

/* Every put keeps n + m at 100, whatever is declared: each view has all of them, or none. */
static void *read_sums(void *argument)
{
    struct scene *scene = argument;
    struct sutra_predicate *predicate;
    const struct sutra_value hundred = {.kind = SUTRA_VALUE_INT, .integer = 100};
    const struct sutra_value even = {.kind = SUTRA_VALUE_TEXT, .text = "even", .bytes = 4};
    CHECK_EQ(sutra_predicate_new(&predicate), SUTRA_OK);
    CHECK_EQ(sutra_predicate_compare(predicate, SUTRA_PREDICATE_EQ, "sum", 3, &hundred, 1), 0);
    CHECK_EQ(sutra_predicate_compare(predicate, SUTRA_PREDICATE_EQ, "kind", 4, &even, 1), 0);
    CHECK_EQ(sutra_predicate_join(predicate, SUTRA_PREDICATE_AND, 2), 0);
    CHECK_EQ(sutra_predicate_finish(predicate), 0);
    while (!atomic_load(&scene->stop)) {
        struct sutra_store_view *view = view_of(&scene->place);
        const size_t limit = sutra_store_numbers(view);
        uint64_t *bits = calloc(limit / 64 + 1, sizeof *bits);
        size_t count = 0;
        if (bits == NULL)
            abort();
        CHECK_EQ(sutra_store_where(view, predicate, limit, bits, &count), SUTRA_OK);
        CHECK_EQ(count, sutra_store_view_count(view) / 2);
        free(bits);
        sutra_store_view_end(view);
        atomic_fetch_add(&scene->views, 1);
    }
    sutra_predicate_free(predicate);
    return NULL;
}

static void readers(void)
{
    struct scene scene = {.stop = false};
    pthread_t threads[2];
    const size_t turns = 800 / tests_divisor() + 40;
    REQUIRE(place_init(&scene.place, true, SUTRA_SYNC_OFF));
    for (size_t t = 0; t < 2; t++)
        REQUIRE(pthread_create(&threads[t], NULL, read_sums, &scene) == 0);
    for (size_t turn = 0; turn < turns; turn++) {
        /* Two at a time, of which one is even. */
        const int64_t numbers[2] = {(int64_t)(turn % 150) * 2, (int64_t)(turn % 150) * 2 + 1};
        char json[2][80];
        const uint8_t *metadata[2] = {(const uint8_t *)json[0], (const uint8_t *)json[1]};
        uint32_t bytes[2];
        for (size_t j = 0; j < 2; j++)
            bytes[j] = (uint32_t)snprintf(json[j], sizeof json[j],
                                          "{\"sum\":100,\"kind\":\"%s\",\"of\":\"%zu\"}",
                                          j ? "odd" : "even", turn);
        struct sutra_op op = put_op(numbers, 2);
        op.put.replace = true;
        op.put.metadata = metadata;
        op.put.metadata_bytes = bytes;
        CHECK_EQ(write_op(&scene.place, op), SUTRA_OK);
        if (turn % 7 == 0)
            CHECK_EQ(declare(&scene.place, "kind", turn % 14 ? SUTRA_FIELD_NONE : SUTRA_FIELD_STR),
                     SUTRA_OK);
        if (turn % 11 == 0)
            CHECK_EQ(declare(&scene.place, "sum", turn % 22 ? SUTRA_FIELD_NONE : SUTRA_FIELD_INT),
                     SUTRA_OK);
        if (turn == 5)
            CHECK_EQ(declare(&scene.place, "of", SUTRA_FIELD_STR), SUTRA_OK);
        if (turn % 60 == 59)
            CHECK_EQ(sutra_store_compact(scene.place.store), SUTRA_OK);
    }
    while (atomic_load(&scene.views) < 4) /* however busy the machine is */
        (void)sched_yield();
    atomic_store(&scene.stop, true);
    for (size_t t = 0; t < 2; t++)
        (void)pthread_join(threads[t], NULL);
    place_deinit(&scene.place);
}

CHECK_MAIN(CASE(as_plainly), CASE(unfit), CASE(batches), CASE(limits), CASE(building),
           CASE(readers))
