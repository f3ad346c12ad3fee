/* Deleting by a predicate: exactly what matches when the write has its turn, also beside other
 * writers, as one write, and kept as ids.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>

#include "store_calls.h"

static struct sutra_predicate *n_below(int64_t limit)
{
    struct sutra_predicate *predicate;
    const struct sutra_value value = {.kind = SUTRA_VALUE_INT, .integer = limit};
    if (sutra_predicate_new(&predicate) != SUTRA_OK ||
        sutra_predicate_compare(predicate, SUTRA_PREDICATE_LT, "n", 1, &value, 1) != SUTRA_OK ||
        sutra_predicate_finish(predicate) != SUTRA_OK)
        abort();
    return predicate;
}

static struct sutra_op delete_op(const struct sutra_predicate *where)
{
    return (struct sutra_op){.kind = SUTRA_OP_DELETE, .ids = {.where = where, .time_ns = 3}};
}

/* Metadata {"n":value}; the text of a number of one digit. */
static int put_n(struct place *place, int64_t number, const char *text, int value)
{
    char json[32];
    const char *const texts[1] = {text};
    const uint32_t text_bytes = text ? (uint32_t)strlen(text) : 0;
    const uint32_t bytes = (uint32_t)snprintf(json, sizeof json, "{\"n\":%d}", value);
    const uint8_t *const metadata = (const uint8_t *)json;
    struct sutra_op op = put_op(&number, 1);
    if (text) {
        op.put.ids.texts = texts;
        op.put.ids.text_bytes = &text_bytes;
    }
    op.put.replace = true;
    op.put.metadata = &metadata;
    op.put.metadata_bytes = &bytes;
    return write_op(place, op);
}

static size_t count_of(struct place *place)
{
    struct sutra_store_view *view = view_of(place);
    const size_t count = sutra_store_view_count(view);
    sutra_store_view_end(view);
    return count;
}

static void numbers_and_texts(void)
{
    struct sutra_predicate *below_5 = n_below(5), *below_1 = n_below(1);
    for (int declared = 0; declared < 2; declared++) {
        struct place place;
        REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
        if (declared) {
            const struct sutra_op field = {
                .kind = SUTRA_OP_FIELD,
                .field = {.path = "n", .path_bytes = 1, .type = SUTRA_FIELD_INT}};
            CHECK_EQ(write_op(&place, field), SUTRA_OK);
        }
        for (int j = 1; j < 200; j++) {
            char text[8];
            (void)snprintf(text, sizeof text, "t%d", j);
            CHECK_EQ(put_n(&place, j, j % 2 ? text : NULL, j % 10), SUTRA_OK);
        }
        CHECK_EQ(put_numbers(&place, 1000, 5), SUTRA_OK); /* nothing said of n */
        struct sutra_op op = delete_op(below_5);
        CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
        CHECK_EQ(op.done, 99);
        CHECK(op.ids.ids.count == 0 && op.ids.ids.numbers == NULL);
        CHECK_EQ(count_of(&place), 105);
        CHECK(!is_there(&place, 2) && is_there(&place, 8) && is_there(&place, 1000));
        /* Nobody is meant: nothing is written. */
        const uint64_t lsn = place.lsn;
        op = delete_op(below_1);
        CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
        CHECK(op.done == 0 && place.lsn == lsn && sutra_store_visible_lsn(place.store) == lsn);
        drop_store(place.store);
        CHECK_EQ(place_open(&place, SUTRA_STORE_APPEND), SUTRA_OK);
        CHECK_EQ(count_of(&place), 105);
        CHECK(!is_there(&place, 2) && is_there(&place, 8));
        CHECK_EQ(sutra_store_verify(place.store, true, place.file, &place.fault), SUTRA_OK);
        place_deinit(&place);
    }
    sutra_predicate_free(below_5);
    sutra_predicate_free(below_1);
}

static void batches(void)
{
    struct sutra_predicate *below_5 = n_below(5), *below_1 = n_below(1);
    struct place place;
    const int64_t numbers[2] = {1, 7};
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    for (int j = 0; j < 10; j++)
        CHECK_EQ(put_n(&place, j, NULL, j), SUTRA_OK);
    /* What was there goes, and an id of it comes anew; one that is deleted twice counts once. */
    struct sutra_op ops[5] = {ids_op(SUTRA_OP_DELETE, &numbers[0], 1), delete_op(below_5),
                              delete_op(below_1), put_op(numbers, 1),
                              ids_op(SUTRA_OP_TOUCH, &numbers[1], 1)};
    CHECK_EQ(write_ops(&place, ops, 5), SUTRA_OK);
    CHECK(ops[0].done == 1 && ops[1].done == 4 && ops[2].done == 0 && ops[3].done == 1);
    CHECK_EQ(count_of(&place), 6);
    CHECK(is_there(&place, 1) && !is_there(&place, 2));
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    CHECK_EQ(count_of(&place), 6);
    /* After a put it could not see what the batch brings. */
    struct sutra_op late[2] = {put_op(numbers, 1), delete_op(below_5)};
    late[0].put.replace = true;
    CHECK_EQ(write_ops(&place, late, 2), SUTRA_E_ARGUMENT);
    /* A batch that is refused removes nothing, and forgets what it has looked up. */
    for (int j = 0; j < 3; j++)
        CHECK_EQ(put_n(&place, j, NULL, 0), SUTRA_OK);
    struct sutra_op refused[2] = {delete_op(below_1), put_op(&numbers[1], 1)};
    CHECK_EQ(write_ops(&place, refused, 2), SUTRA_E_DUPLICATE_ID);
    CHECK(refused[0].ids.ids.numbers == NULL);
    CHECK_EQ(count_of(&place), 8);
    struct sutra_op nothing[2] = {delete_op(below_1), delete_op(below_1)};
    CHECK_EQ(write_ops(&place, nothing, 2), SUTRA_OK);
    CHECK(nothing[0].done == 3 && nothing[1].done == 0);
    sutra_predicate_free(below_5);
    sutra_predicate_free(below_1);
    place_deinit(&place);
}

/* ---- beside a writer */

#define ROUNDS 400

struct race {
    struct place place; /* a copy: a place keeps what its last call met */
    _Atomic bool done;
    int failures;
};

/* A concept that is to go, then one with that id that is to stay: it must not be taken for it. */
static void *write_and_keep(void *argument)
{
    struct race *race = argument;
    for (int j = 0; j < ROUNDS; j++) {
        race->failures += put_n(&race->place, j, NULL, 0) != SUTRA_OK;
        race->failures += put_n(&race->place, j, NULL, 9) != SUTRA_OK;
        race->failures += !is_there(&race->place, j);
    }
    atomic_store(&race->done, true);
    return NULL;
}

static void nothing_comes_between(void)
{
    struct sutra_predicate *below_5 = n_below(5);
    struct place place;
    pthread_t thread;
    REQUIRE(place_init(&place, true, SUTRA_SYNC_OFF));
    struct race race = {.place = place};
    REQUIRE(pthread_create(&thread, NULL, write_and_keep, &race) == 0);
    while (!atomic_load(&race.done)) {
        CHECK_EQ(write_op(&place, delete_op(below_5)), SUTRA_OK);
        sched_yield();
    }
    pthread_join(thread, NULL);
    CHECK_EQ(race.failures, 0);
    CHECK_EQ(count_of(&place), ROUNDS);
    CHECK_EQ(sutra_store_verify(place.store, true, place.file, &place.fault), SUTRA_OK);
    sutra_predicate_free(below_5);
    place_deinit(&place);
}

CHECK_MAIN(CASE(numbers_and_texts), CASE(batches), CASE(nothing_comes_between))
