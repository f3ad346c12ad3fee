/* Settings: what a SET does, what is refused and how that is said, limits, batches, and readers in
 * other threads. Line by line of ops.h, settings.h and store.h; test_store_settings_files.c has
 * what is saved.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>

#include "store_calls.h"

static int read_setting(struct place *place, const char *name, size_t name_bytes, uint8_t *value,
                        size_t room, size_t *bytes_out)
{
    struct sutra_store_view *view = view_of(place);
    const int status = sutra_store_setting(view, name, name_bytes, value, room, bytes_out);
    sutra_store_view_end(view);
    return status;
}

/* ---- what a SET does */

static void values(void)
{
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        struct place place;
        uint8_t value[8] = {0};
        size_t bytes = 77;
        REQUIRE(place_init(&place, in_memory, SUTRA_SYNC_FULL));
        CHECK_EQ(read_setting(&place, "a", 1, value, 8, &bytes), SUTRA_E_NOT_FOUND);
        struct sutra_op op = set_op("a", "one", 3);
        CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
        CHECK(op.done == 1 && op.first_number == -1 && place.lsn == 1);
        CHECK_EQ(read_setting(&place, "a", 1, value, 8, &bytes), SUTRA_OK);
        CHECK(bytes == 3 && memcmp(value, "one\0\0\0\0", 8) == 0);
        op = set_op("a", "again", 5);
        CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
        CHECK_EQ(op.done, 1);
        /* Just enough room, and too little: its length is told, and nothing is copied. */
        CHECK_EQ(read_setting(&place, "a", 1, value, 5, &bytes), SUTRA_OK);
        CHECK(bytes == 5 && memcmp(value, "again\0\0", 8) == 0);
        memset(value, 'x', sizeof value);
        bytes = 0;
        CHECK_EQ(read_setting(&place, "a", 1, value, 4, &bytes), SUTRA_E_CAPACITY);
        CHECK(bytes == 5 && memcmp(value, "xxxxxxxx", 8) == 0);
        /* Empty is not absent. */
        op = set_op("a", "", 0);
        CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
        CHECK_EQ(read_setting(&place, "a", 1, NULL, 0, &bytes), SUTRA_OK);
        CHECK_EQ(bytes, 0);
        op = set_op("a", NULL, 0);
        CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
        CHECK_EQ(op.done, 1);
        CHECK(setting_is(&place, "a", NULL));
        CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
        CHECK_EQ(op.done, 0);
        CHECK_EQ(place.lsn, 5);
        place_deinit(&place);
    }
}

/* Longest names and values, any bytes in both; each name is one of its own. */
static void any_bytes(void)
{
    static uint8_t value[SUTRA_SETTING_BYTES_MAX], back[SUTRA_SETTING_BYTES_MAX];
    static const char *const names[6] = {"a", "a\0", "a\0b", "ab", "\xc3\xa9", "\xf0\x9f\x90\x8d"};
    static const uint32_t name_bytes[6] = {1, 2, 3, 2, 2, 4};
    char longest[SUTRA_SETTING_NAME_BYTES_MAX];
    struct place place;
    size_t bytes, count;
    uint8_t *listed;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    for (size_t j = 0; j < sizeof value; j++)
        value[j] = (uint8_t)sutra_random_at(3, j);
    memset(longest, '\x7f', sizeof longest);
    struct sutra_op op = set_op("", value, sizeof value);
    op.set.name = longest;
    op.set.name_bytes = sizeof longest;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
    for (uint32_t j = 6; j > 0; j--) {
        op = set_op("", value + j, j);
        op.set.name = names[j - 1];
        op.set.name_bytes = name_bytes[j - 1];
        CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
    }
    for (unsigned opened = 0; opened < 2; opened++) {
        CHECK_EQ(read_setting(&place, longest, sizeof longest, back, sizeof back, &bytes), 0);
        CHECK(bytes == sizeof value && memcmp(back, value, bytes) == 0);
        CHECK_EQ(read_setting(&place, longest, 254, back, sizeof back, &bytes), SUTRA_E_NOT_FOUND);
        for (uint32_t j = 1; j <= 6; j++) {
            CHECK_EQ(read_setting(&place, names[j - 1], name_bytes[j - 1], back, 8, &bytes), 0);
            CHECK(bytes == j && memcmp(back, value + j, j) == 0);
        }
        /* In the order of their bytes, each after its length. */
        static const char order[] = "\1a\2a\0\3a\0b\2ab\xff";
        struct sutra_store_view *view = view_of(&place);
        CHECK_EQ(sutra_store_settings(view, &listed, &bytes, &count), SUTRA_OK);
        sutra_store_view_end(view);
        REQUIRE(count == 7 && bytes == 7 + sizeof longest + 14);
        CHECK(memcmp(listed, order, sizeof order - 1) == 0);
        CHECK(memcmp(listed + sizeof order - 1 + sizeof longest, "\2\xc3\xa9\4\xf0\x9f\x90\x8d",
                     8) == 0);
        free(listed);
        CHECK_EQ(place_reopen(&place), SUTRA_OK);
    }
    place_deinit(&place);
}

/* ---- what is refused */

static void refused(void)
{
    static uint8_t value[SUTRA_SETTING_BYTES_MAX + 1];
    static char name[SUTRA_SETTING_NAME_BYTES_MAX + 1];
    static const struct {
        const char *name;
        uint32_t name_bytes, value_bytes;
        int status;
        uint64_t found;
    } cases[] = {
        {"", 0, 1, SUTRA_E_ARGUMENT, 0},
        {name, sizeof name, 1, SUTRA_E_ARGUMENT, sizeof name},
        {"\xff", 1, 1, SUTRA_E_ARGUMENT, 1},
        {"a\xed\xa0\x80", 4, 1, SUTRA_E_ARGUMENT, 4}, /* half of a surrogate pair */
        {"a", 1, sizeof value, SUTRA_E_CAPACITY, sizeof value},
    };
    const int64_t id = 1;
    struct place place;
    memset(name, 'n', sizeof name);
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(set_text(&place, "before", "x"), SUTRA_OK);
    for (size_t j = 0; j < sizeof cases / sizeof cases[0]; j++) {
        struct sutra_op ops[4] = {put_op(&id, 1), set_op("before", NULL, 0), set_op("new", "y", 1),
                                  set_op("", value, cases[j].value_bytes)};
        ops[3].set.name = cases[j].name;
        ops[3].set.name_bytes = cases[j].name_bytes;
        CHECK_EQ(write_ops(&place, ops, 4), cases[j].status);
        CHECK(place.fault.expected == 3 && place.fault.found == cases[j].found);
        CHECK(setting_is(&place, "before", "x") && setting_is(&place, "new", NULL));
        CHECK(!is_there(&place, 1));
        CHECK_EQ(place.lsn, 1);
    }
    /* What a refused batch had brought does not come with the next, nor with a copy. */
    CHECK_EQ(put_numbers(&place, 5, 1), SUTRA_OK);
    CHECK_EQ(set_text(&place, "other", "z"), SUTRA_OK);
    CHECK(setting_is(&place, "before", "x") && count_settings(&place) == 2);
    CHECK_EQ(place_close(&place), SUTRA_OK);
    REQUIRE(place_open(&place, SUTRA_STORE_READ) == SUTRA_OK);
    CHECK_EQ(set_text(&place, "before", NULL), SUTRA_E_READ_ONLY);
    CHECK(setting_is(&place, "before", "x"));
    struct sutra_store_view *view = view_of(&place), *none;
    CHECK_EQ(sutra_store_close(place.store), SUTRA_OK);
    CHECK_EQ(set_text(&place, "before", NULL), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_store_view_begin(place.store, &none), SUTRA_E_CLOSED);
    uint8_t read[4];
    size_t bytes = 0; /* a view outlives the close, and so does what it shows */
    CHECK_EQ(sutra_store_setting(view, "before", 6, read, 4, &bytes), SUTRA_OK);
    CHECK(bytes == 1 && read[0] == 'x');
    sutra_store_view_end(view);
    place_deinit(&place);
}

/* ---- batches */

static void batches(void)
{
    const int64_t id = 1;
    struct place place;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(set_text(&place, "kept", "1"), SUTRA_OK);
    CHECK_EQ(set_text(&place, "gone", "1"), SUTRA_OK);
    struct sutra_op ops[11] = {
        set_op("brief", "x", 1), set_op("kept", NULL, 0),  set_op("twice", "1", 1),
        put_op(&id, 1),          set_op("brief", NULL, 0), set_op("kept", "2", 1),
        set_op("gone", "2", 1),  set_op("twice", "2", 1),  set_op("gone", NULL, 0),
        set_op("gone", NULL, 0), set_op("brief", NULL, 0),
    };
    static const size_t done[11] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0};
    CHECK_EQ(write_ops(&place, ops, 11), SUTRA_OK);
    CHECK_EQ(place.lsn, 3);
    for (size_t j = 0; j < 11; j++)
        CHECK_EQ(ops[j].done, done[j]);
    for (unsigned opened = 0; opened < 2; opened++) {
        CHECK(setting_is(&place, "kept", "2") && setting_is(&place, "twice", "2"));
        CHECK(setting_is(&place, "gone", NULL) && setting_is(&place, "brief", NULL));
        CHECK(is_there(&place, 1) && count_settings(&place) == 2);
        CHECK_EQ(place_reopen(&place), SUTRA_OK);
    }
    place_deinit(&place);
}

/* One batch over several records of the log. */
static void long_batch(void)
{
    enum { COUNT = 600 };
    static uint8_t value[SUTRA_SETTING_BYTES_MAX];
    static struct sutra_op ops[COUNT];
    static char names[COUNT][8];
    struct place place;
    size_t bytes = 0;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    for (unsigned j = 0; j < COUNT; j++) {
        (void)snprintf(names[j], sizeof names[j], "n%u", j % 400);
        ops[j] = set_op(names[j], value, sizeof value - j);
    }
    CHECK_EQ(write_ops(&place, ops, COUNT), SUTRA_OK);
    CHECK(place.lsn > 2); /* of 16 MiB each */
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    CHECK_EQ(count_settings(&place), 400);
    for (unsigned j = 200; j < COUNT; j++) {
        CHECK_EQ(read_setting(&place, names[j], strlen(names[j]), value, sizeof value, &bytes), 0);
        CHECK_EQ(bytes, sizeof value - j);
    }
    place_deinit(&place);
}

/* ---- limits */

static struct sutra_op numbered(char names[][8], unsigned from, unsigned j, const char *text)
{
    (void)snprintf(names[j], 8, "%05u", from + j);
    return set_op(names[j], text, text ? strlen(text) : 0);
}

static void capacity(void)
{
    enum { MOST = SUTRA_SETTINGS_MAX };
    static struct sutra_op ops[2 * MOST];
    static char names[2 * MOST][8];
    struct place place;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    for (unsigned j = 0; j <= MOST; j++)
        ops[j] = numbered(names, 1000, j, "v");
    /* One too many, and none of them is there. */
    CHECK_EQ(write_ops(&place, ops, MOST + 1), SUTRA_E_CAPACITY);
    CHECK(place.fault.expected == MOST && place.fault.found == MOST);
    CHECK_EQ(count_settings(&place), 0);
    CHECK_EQ(write_ops(&place, ops, MOST), SUTRA_OK);
    CHECK_EQ(set_text(&place, "more", "x"), SUTRA_E_CAPACITY);
    CHECK(place.fault.expected == 0 && place.fault.found == MOST);
    CHECK_EQ(set_text(&place, "01500", "x"), SUTRA_OK); /* in place of another value */
    /* At no operation may there be more; at the end is not enough. */
    struct sutra_op two[2] = {set_op("00000", "x", 1), set_op("01500", NULL, 0)};
    CHECK_EQ(write_ops(&place, two, 2), SUTRA_E_CAPACITY);
    CHECK_EQ(place.fault.expected, 0);
    CHECK(setting_is(&place, "01500", "x"));
    /* One goes, another comes, before it or behind it in the order of names. */
    struct sutra_op before[2] = {set_op("01500", NULL, 0), set_op("00000", "x", 1)};
    CHECK_EQ(write_ops(&place, before, 2), SUTRA_OK);
    struct sutra_op behind[2] = {set_op("00000", NULL, 0), set_op("99999", "x", 1)};
    CHECK_EQ(write_ops(&place, behind, 2), SUTRA_OK);
    CHECK_EQ(count_settings(&place), MOST);
    CHECK(setting_is(&place, "99999", "x") && setting_is(&place, "00000", NULL));
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    CHECK_EQ(count_settings(&place), MOST);
    CHECK_EQ(set_text(&place, "more", "x"), SUTRA_E_CAPACITY);
    CHECK_EQ(set_text(&place, "99999", NULL), SUTRA_OK);
    CHECK_EQ(set_text(&place, "01500", "x"), SUTRA_OK);
    /* All others instead, in one batch. */
    for (unsigned j = 0; j < MOST; j++)
        ops[j] = numbered(names, 1000, j, NULL);
    for (unsigned j = MOST; j < 2 * MOST; j++)
        ops[j] = numbered(names, 0, j, "w");
    CHECK_EQ(write_ops(&place, ops, 2 * (size_t)MOST), SUTRA_OK);
    for (unsigned opened = 0; opened < 2; opened++) {
        CHECK_EQ(count_settings(&place), MOST);
        CHECK(setting_is(&place, names[MOST], "w") && setting_is(&place, names[2 * MOST - 1], "w"));
        CHECK(setting_is(&place, "01000", NULL));
        CHECK_EQ(place_reopen(&place), SUTRA_OK);
    }
    place_deinit(&place);
}

/* A directory that may not grow further refuses them as it does concepts. */
static void max_bytes(void)
{
    static const uint8_t value[SUTRA_SETTING_BYTES_MAX] = {0};
    struct place place;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(place_close(&place), SUTRA_OK);
    place.options.max_bytes = 100000;
    REQUIRE(place_open(&place, SUTRA_STORE_APPEND) == SUTRA_OK);
    CHECK_EQ(write_op(&place, set_op("a", value, sizeof value)), SUTRA_OK);
    CHECK_EQ(write_op(&place, set_op("b", value, sizeof value)), SUTRA_E_CAPACITY);
    CHECK(setting_is(&place, "b", NULL));
    CHECK_EQ(set_text(&place, "b", "small"), SUTRA_OK);
    place_deinit(&place);
}

/* ---- threads */

#define WRITERS 2u
#define READERS 3u

struct scene {
    struct place place;
    atomic_size_t writing;
    atomic_size_t looked;
};

struct writer {
    struct scene *scene;
    unsigned number;
};

/* A value says of itself whether it is whole: its length follows from its byte. */
static struct sutra_op self_evident(const char *name, uint8_t *value, uint64_t drawn)
{
    const uint8_t byte = (uint8_t)drawn;
    memset(value, byte, 1 + 3 * (size_t)byte);
    return set_op(name, value, 1 + 3 * (size_t)byte);
}

static void *write_settings(void *argument)
{
    const struct writer *writer = argument;
    const char *const own = writer->number ? "of the second" : "of the first";
    const int64_t id = writer->number;
    const size_t turns = tests_divisor() > 1 ? 300 : 1500;
    for (size_t turn = 0; turn < turns; turn++) {
        uint8_t values[2][800];
        struct sutra_fault fault;
        uint64_t lsn;
        const uint64_t drawn = sutra_random_at(writer->number, turn);
        /* The pair is written by both, always together, and always alike. */
        struct sutra_op ops[5] = {self_evident("left", values[0], drawn),
                                  set_op(own, turn % 3 ? "x" : NULL, 1), put_op(&id, 1),
                                  self_evident("right", values[1], drawn), set_op("none", NULL, 0)};
        ops[2].put.replace = true;
        CHECK_EQ(sutra_store_write(writer->scene->place.store, ops, 5, turn % 2, &lsn, &fault),
                 SUTRA_OK);
    }
    atomic_fetch_sub(&writer->scene->writing, 1);
    return NULL;
}

static void *read_settings(void *argument)
{
    struct scene *scene = argument;
    do {
        static const char *const pair[2] = {"left", "right"};
        struct sutra_store_view *view = view_of(&scene->place);
        uint8_t value[800], *names = NULL;
        size_t bytes = 0, count = 0;
        for (unsigned j = 0; j < 2; j++) {
            const int status =
                sutra_store_setting(view, pair[j], strlen(pair[j]), value, sizeof value, &bytes);
            CHECK(status == SUTRA_OK || status == SUTRA_E_NOT_FOUND);
            if (status != SUTRA_OK)
                continue;
            CHECK_EQ(bytes, 1 + 3 * (size_t)value[0]);
            for (size_t k = 1; k < bytes && k < sizeof value; k++)
                CHECK(value[k] == value[0]);
            atomic_fetch_add(&scene->looked, 1);
        }
        /* The pair is there as a whole or not at all; "none" never. */
        CHECK_EQ(sutra_store_settings(view, &names, &bytes, &count), SUTRA_OK);
        bool left = false, right = false;
        for (const uint8_t *at = names; names && at < names + bytes; at += 1 + (size_t)*at) {
            left = left || (*at == 4 && memcmp(at + 1, "left", 4) == 0);
            right = right || (*at == 5 && memcmp(at + 1, "right", 5) == 0);
            CHECK(*at != 4 || memcmp(at + 1, "none", 4) != 0);
        }
        CHECK_EQ(left, right);
        free(names);
        sutra_store_view_end(view);
    } while (atomic_load(&scene->writing));
    return NULL;
}

/* Beside them the store is checkpointed and compacted, which puts another table in place. */
static void threads(void)
{
    static struct scene scene;
    pthread_t writing[WRITERS], reading[READERS];
    struct writer writers[WRITERS];
    REQUIRE(place_init(&scene.place, false, SUTRA_SYNC_FULL));
    atomic_store(&scene.writing, WRITERS);
    for (unsigned j = 0; j < WRITERS; j++) {
        writers[j] = (struct writer){&scene, j};
        REQUIRE(pthread_create(&writing[j], NULL, write_settings, &writers[j]) == 0);
    }
    for (unsigned j = 0; j < READERS; j++)
        REQUIRE(pthread_create(&reading[j], NULL, read_settings, &scene) == 0);
    for (unsigned round = 0; atomic_load(&scene.writing); round++)
        CHECK_EQ(round % 2 ? sutra_store_compact(scene.place.store)
                           : sutra_store_checkpoint(scene.place.store),
                 SUTRA_OK);
    for (unsigned j = 0; j < WRITERS; j++)
        (void)pthread_join(writing[j], NULL);
    for (unsigned j = 0; j < READERS; j++)
        (void)pthread_join(reading[j], NULL);
    CHECK(atomic_load(&scene.looked) > 0);
    struct shown before, after;
    CHECK_EQ(store_shows(scene.place.store, &before), SUTRA_OK);
    CHECK(before.settings >= 2);
    CHECK_EQ(place_reopen(&scene.place), SUTRA_OK);
    CHECK_EQ(store_shows(scene.place.store, &after), SUTRA_OK);
    CHECK(before.digest == after.digest);
    place_deinit(&scene.place);
}

CHECK_MAIN(CASE(values), CASE(any_bytes), CASE(refused), CASE(batches), CASE(long_batch),
           CASE(capacity), CASE(max_bytes), CASE(threads))
