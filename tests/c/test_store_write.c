/* Writing: what each operation does, what is refused and how that is said, all or nothing, and when
 * it is durable. Line by line of ops.h and store.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <math.h>
#include <time.h>

#include "store_calls.h"

/* A refused batch leaves no trace: not in the state, not in the log. */
static void check_refused(struct place *place, struct sutra_op *ops, size_t count, int status,
                          uint64_t op, int64_t row, uint64_t found)
{
    struct shown before, after;
    CHECK_EQ(store_shows(place->store, &before), SUTRA_OK);
    CHECK_EQ(write_ops(place, ops, count), status);
    CHECK_EQ(place->fault.expected, op);
    CHECK_EQ(place->fault.row, row);
    CHECK_EQ(place->fault.found, found);
    CHECK_EQ(store_shows(place->store, &after), SUTRA_OK);
    CHECK(before.digest == after.digest && before.lsn == after.lsn);
}

/* ---- put */

static void put_and_replace(void)
{
    struct place place;
    struct sutra_concept read;
    const int64_t ids[2] = {4, 9};
    const uint8_t *const contents[2] = {(const uint8_t *)"four", (const uint8_t *)""};
    const uint32_t content_bytes[2] = {4, 0};
    const uint8_t *const metadata[2] = {NULL, (const uint8_t *)"{\"a\":1}"};
    const uint32_t metadata_bytes[2] = {0, 7};
    const float strengths[2] = {0.5f, 0.25f};
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    struct sutra_op op = put_op(ids, 2);
    op.put.contents = contents;
    op.put.content_bytes = content_bytes;
    op.put.metadata = metadata;
    op.put.metadata_bytes = metadata_bytes;
    op.put.strengths = strengths;
    op.put.strength_step = 1;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
    CHECK(op.done == 2 && op.first_number == -1 && place.lsn == 1);
    struct sutra_store_view *old = view_of(&place);
    CHECK_EQ(read_number(old, 4, &read), SUTRA_OK);
    CHECK(read.content_bytes == 4 && memcmp(read.content, "four", 4) == 0);
    CHECK(read.metadata == NULL && read.record.strength == 0.5f && !read.has_vector);
    CHECK_EQ(read_number(old, 9, &read), SUTRA_OK);
    CHECK(read.content != NULL && read.content_bytes == 0); /* there and empty */
    CHECK(read.metadata_bytes == 7 && read.record.confidence == 1.0f);
    CHECK(read.record.created_ns == 1 && read.record.accessed_ns == 1);
    /* What is not given stays, and so does the time of making. */
    struct sutra_op more = put_op(ids + 1, 1);
    float vector[MODEL_DIM], back[MODEL_DIM];
    make_vector(9, vector);
    more.put.replace = true;
    more.put.dim = MODEL_DIM;
    more.put.vectors = vector;
    more.put.stride = MODEL_DIM;
    more.put.time_ns = 77;
    CHECK_EQ(write_ops(&place, &more, 1), SUTRA_OK);
    struct sutra_store_view *view = view_of(&place);
    CHECK_EQ(read_number(view, 9, &read), SUTRA_OK);
    CHECK(read.content != NULL && read.metadata_bytes == 7 && read.has_vector);
    CHECK(read.record.created_ns == 1 && read.record.accessed_ns == 77);
    CHECK(read.record.strength == 1.0f);
    uint32_t concept;
    const uint32_t slot = slot_of(view, 9, &concept);
    CHECK_EQ(sutra_store_vector(view, slot, back), SUTRA_OK);
    CHECK(memcmp(vector, back, sizeof vector) == 0);
    CHECK_EQ(sutra_store_vector(view, slot_of(view, 4, &concept), back), SUTRA_E_NOT_FOUND);
    /* New content, the metadata and the vector stay. */
    const uint8_t *const bytes[1] = {(const uint8_t *)"\xff\x00\x01"};
    const uint32_t bytes_bytes[1] = {3};
    const uint8_t is_bytes[1] = {1};
    more = put_op(ids + 1, 1);
    more.put.replace = true;
    more.put.contents = bytes;
    more.put.content_bytes = bytes_bytes;
    more.put.content_is_bytes = is_bytes;
    CHECK_EQ(write_ops(&place, &more, 1), SUTRA_OK);
    sutra_store_view_end(view);
    view = view_of(&place);
    CHECK_EQ(read_number(view, 9, &read), SUTRA_OK);
    CHECK(read.content_bytes == 3 && read.record.flags & SUTRA_RECORD_CONTENT_BYTES);
    CHECK(read.metadata_bytes == 7 && memcmp(read.metadata, "{\"a\":1}", 7) == 0 &&
          read.has_vector);
    /* The view from before sees what it saw. */
    CHECK_EQ(read_number(old, 9, &read), SUTRA_OK);
    CHECK(read.content_bytes == 0 && !read.has_vector && read.record.strength == 0.25f);
    sutra_store_view_end(view);
    sutra_store_view_end(old);
    place_deinit(&place);
}

static void assigned_numbers(void)
{
    struct place place;
    const int64_t forty = 40;
    int64_t first;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    struct sutra_op ops[2] = {put_op(NULL, 3), put_op(NULL, 2)};
    CHECK_EQ(write_ops(&place, ops, 2), SUTRA_OK);
    CHECK(ops[0].first_number == 0 && ops[1].first_number == 3);
    CHECK(is_there(&place, 4) && !is_there(&place, 5));
    CHECK_EQ(write_op(&place, put_op(&forty, 1)), SUTRA_OK);
    ops[0] = put_op(NULL, 1);
    CHECK_EQ(write_ops(&place, ops, 1), SUTRA_OK);
    CHECK_EQ(ops[0].first_number, 41);
    CHECK_EQ(sutra_store_reserve_numbers(place.store, 5, &first), SUTRA_OK);
    CHECK_EQ(first, 42);
    ops[0] = put_op(NULL, 1);
    CHECK_EQ(write_ops(&place, ops, 1), SUTRA_OK);
    CHECK_EQ(ops[0].first_number, 47);
    /* Not even the number of one that is gone. */
    const int64_t last = 47;
    CHECK_EQ(write_op(&place, ids_op(SUTRA_OP_DELETE, &last, 1)), SUTRA_OK);
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    ops[0] = put_op(NULL, 1);
    CHECK_EQ(write_ops(&place, ops, 1), SUTRA_OK);
    CHECK_EQ(ops[0].first_number, 48);
    CHECK_EQ(sutra_store_reserve_numbers(place.store, SIZE_MAX, &first), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_store_reserve_numbers(place.store, (size_t)INT64_MAX - 10, &first),
             SUTRA_E_CAPACITY);
    /* The last of all numbers: none is left to assign. */
    const int64_t top = INT64_MAX;
    CHECK_EQ(write_op(&place, put_op(&top, 1)), SUTRA_OK);
    ops[0] = put_op(NULL, 1);
    CHECK_EQ(write_ops(&place, ops, 1), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_store_reserve_numbers(place.store, 1, &first), SUTRA_E_CAPACITY);
    place_deinit(&place);
}

static void text_ids(void)
{
    struct place place;
    static char longest[SUTRA_TEXT_ID_BYTES_MAX + 1];
    memset(longest, 'x', sizeof longest);
    const int64_t numbers[3] = {-1, 5, -1};
    const char *texts[3] = {"\xc3\xa9", NULL, longest};
    uint32_t bytes[3] = {2, 0, SUTRA_TEXT_ID_BYTES_MAX};
    uint32_t slots[3], concepts[3], text_bytes;
    const char *text;
    int64_t number;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    struct sutra_op op = put_op(numbers, 3);
    op.put.ids.texts = texts;
    op.put.ids.text_bytes = bytes;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    struct sutra_store_view *view = view_of(&place);
    CHECK_EQ(sutra_store_find(view, &op.put.ids, slots, concepts), SUTRA_OK);
    CHECK(slots[0] != SUTRA_NO_SLOT && slots[1] != SUTRA_NO_SLOT && slots[2] != SUTRA_NO_SLOT);
    CHECK_EQ(sutra_store_id(view, concepts[0], &number, &text, &text_bytes), SUTRA_OK);
    CHECK(number == -1 && text_bytes == 2 && memcmp(text, "\xc3\xa9", 2) == 0);
    CHECK_EQ(sutra_store_id(view, concepts[1], &number, &text, &text_bytes), SUTRA_OK);
    CHECK(number == 5 && text == NULL);
    CHECK_EQ(sutra_store_id(view, 3, &number, &text, &text_bytes), SUTRA_E_NOT_FOUND);
    sutra_store_view_end(view);
    /* Texts alone need no numbers. */
    const char *const same[2] = {"twin", "twin"};
    const uint32_t same_bytes[2] = {4, 4};
    struct sutra_op twins = put_op(NULL, 2);
    twins.put.ids.texts = same;
    twins.put.ids.text_bytes = same_bytes;
    check_refused(&place, &twins, 1, SUTRA_E_DUPLICATE_ID, 0, 1, UINT64_MAX);
    twins.put.ids.count = 1;
    CHECK_EQ(write_ops(&place, &twins, 1), SUTRA_OK);
    CHECK_EQ(twins.first_number, -1);
    static const struct {
        const char *text;
        uint32_t bytes;
    } bad[] = {
        {"", 0}, {longest, sizeof longest}, {"\xff", 1}, {"\xed\xa0\x80", 3}, {"\xc0\x80", 2}};
    for (size_t j = 0; j < sizeof bad / sizeof bad[0]; j++) {
        op.put.replace = true;
        texts[0] = "good";
        bytes[0] = 4;
        texts[2] = bad[j].text;
        bytes[2] = bad[j].bytes;
        check_refused(&place, &op, 1, SUTRA_E_ARGUMENT, 0, 2, bad[j].bytes);
    }
    place_deinit(&place);
}

static void refused_puts(void)
{
    struct place place;
    const int64_t once[3] = {1, 2, 3}, twice[3] = {8, 9, 8}, negative[2] = {7, -3};
    const float bad_strengths[3] = {1.0f, NAN, 1.0f};
    float vectors[3 * MODEL_DIM];
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_numbers(&place, 2, 1), SUTRA_OK);
    struct sutra_op op = put_op(once, 3);
    check_refused(&place, &op, 1, SUTRA_E_DUPLICATE_ID, 0, 1, 2);
    op = put_op(twice, 3);
    check_refused(&place, &op, 1, SUTRA_E_DUPLICATE_ID, 0, 2, 8);
    op.put.replace = true; /* no excuse for the same twice */
    check_refused(&place, &op, 1, SUTRA_E_DUPLICATE_ID, 0, 2, 8);
    op = put_op(negative, 2);
    check_refused(&place, &op, 1, SUTRA_E_NEGATIVE_ID, 0, 1, (uint64_t)-3);
    op = put_op(once, 3);
    op.put.replace = true;
    op.put.strengths = bad_strengths;
    op.put.strength_step = 1;
    check_refused(&place, &op, 1, SUTRA_E_ARGUMENT, 0, 1, 0);
    op.put.strengths = &call_one;
    op.put.strength_step = 0;
    op.put.confidences = bad_strengths + 1;
    check_refused(&place, &op, 1, SUTRA_E_ARGUMENT, 0, 0, 0);
    /* Vectors; the row is that of the item. */
    const uint8_t has_vector[3] = {1, 0, 1};
    for (size_t j = 0; j < 3; j++)
        make_vector(j, vectors + j * MODEL_DIM);
    vectors[MODEL_DIM + 2] = INFINITY;
    op = vector_op(once, 3, vectors);
    op.put.replace = true;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_E_VECTOR);
    CHECK_EQ(place.fault.row, 1);
    op.put.has_vector = has_vector;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_E_VECTOR);
    CHECK_EQ(place.fault.row, 2);
    vectors[MODEL_DIM + 2] = 0.0f;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
    op.put.stride = op.put.dim = MODEL_DIM - 1;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_E_DIMENSION);
    CHECK(place.fault.expected == MODEL_DIM && place.fault.found == MODEL_DIM - 1);
    op.put.dim = SUTRA_DIM_MAX + 1;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_E_DIMENSION);
    op.kind = 99;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_E_ARGUMENT);
    CHECK_EQ(place.lsn, 2);
    place_deinit(&place);
}

/* The first vectors decide the dimension; if they are refused they do not. */
static void first_dimension(void)
{
    struct place place;
    struct sutra_store_stats stats;
    const int64_t ids[2] = {1, 1}, other = 2;
    float vectors[16] = {1.0f};
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    struct sutra_op op = vector_op(ids, 2, vectors);
    op.put.stride = op.put.dim = 5;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_E_DUPLICATE_ID);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK_EQ(stats.options.dim, 0);
    struct sutra_op ops[2] = {vector_op(ids, 1, vectors), vector_op(&other, 1, vectors)};
    ops[1].put.stride = ops[1].put.dim = 5; /* two dimensions in one batch */
    CHECK_EQ(write_ops(&place, ops, 2), SUTRA_E_DIMENSION);
    ops[1] = vector_op(&other, 1, vectors);
    CHECK_EQ(write_ops(&place, ops, 2), SUTRA_OK);
    struct sutra_store_view *view = view_of(&place);
    CHECK_EQ(sutra_store_dim(view), MODEL_DIM);
    sutra_store_view_end(view);
    place_deinit(&place);
}

/* ---- delete, touch */

static void delete_and_touch(void)
{
    struct place place;
    struct sutra_concept read;
    const int64_t some[4] = {2, 50, 3, 2}, touched[3] = {1, 50, 4};
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_vectors(&place, 0, 6), SUTRA_OK);
    CHECK_EQ(link_numbers(&place, 2, 1), SUTRA_OK);
    CHECK_EQ(link_numbers(&place, 1, 2), SUTRA_OK);
    CHECK_EQ(link_numbers(&place, 1, 4), SUTRA_OK);
    struct sutra_op op = ids_op(SUTRA_OP_DELETE, some, 4);
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
    CHECK_EQ(op.done, 2); /* what is not there is passed over */
    CHECK(!is_there(&place, 2) && !is_there(&place, 3) && is_there(&place, 4));
    /* Its links went with it, in both directions. */
    CHECK_EQ(links_of(&place, 1, SUTRA_BOTH), 1);
    struct sutra_store_view *view = view_of(&place);
    CHECK_EQ(read_number(view, 1, &read), SUTRA_OK);
    CHECK_EQ(read.record.reference_count, 0);
    CHECK_EQ(read_number(view, 4, &read), SUTRA_OK);
    CHECK_EQ(read.record.reference_count, 1);
    CHECK_EQ(read_number(view, 2, &read), SUTRA_E_NOT_FOUND);
    sutra_store_view_end(view);
    op = ids_op(SUTRA_OP_TOUCH, touched, 3);
    op.ids.time_ns = 1234;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
    CHECK_EQ(op.done, 2);
    view = view_of(&place);
    CHECK_EQ(read_number(view, 4, &read), SUTRA_OK);
    CHECK(read.record.accessed_ns == 1234 && read.record.created_ns == 1);
    sutra_store_view_end(view);
    /* Added again it is a new one. */
    CHECK_EQ(put_numbers(&place, 2, 1), SUTRA_OK);
    CHECK_EQ(links_of(&place, 2, SUTRA_BOTH), 0);
    view = view_of(&place);
    CHECK_EQ(read_number(view, 2, &read), SUTRA_OK);
    CHECK(!read.has_vector);
    sutra_store_view_end(view);
    place_deinit(&place);
}

/* ---- link, unlink */

static void link_and_unlink(void)
{
    struct place place;
    struct sutra_link *links;
    size_t count;
    const int64_t sources[4] = {0, 0, 0, 0}, targets[4] = {1, 2, 1, 0};
    const char *const names[2] = {"one", "two"};
    const uint32_t name_bytes[2] = {3, 3};
    const uint16_t kinds[4] = {0, 0, 1, 1};
    const float weights[4] = {0.5f, 2.0f, 0.75f, 0.5f};
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_numbers(&place, 0, 4), SUTRA_OK);
    struct sutra_op op = link_op(sources, targets, 4);
    op.link.kind_names = names;
    op.link.kind_bytes = name_bytes;
    op.link.kind_count = 2;
    op.link.kinds = kinds;
    op.link.weights = weights;
    op.link.weight_step = 1;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
    CHECK_EQ(op.done, 4);
    struct sutra_store_view *view = view_of(&place);
    uint32_t concepts[3];
    for (int64_t id = 0; id < 3; id++)
        (void)slot_of(view, id, &concepts[id]);
    CHECK_EQ(sutra_store_links(view, concepts[0], SUTRA_OUT, SUTRA_NO_KIND, &links, &count),
             SUTRA_OK);
    REQUIRE(count == 4);
    /* Heaviest first, then by the other end. */
    CHECK(links[0].weight == 2.0f && links[0].target == concepts[2] && links[0].outgoing);
    CHECK(links[1].weight == 0.75f && links[1].created_ns == 2);
    CHECK(links[2].weight == 0.5f && links[2].target == concepts[0]);
    CHECK(links[3].target == concepts[1] && links[3].confidence == 1.0f);
    free(links);
    /* One kind, one direction; a link to itself comes once. */
    const uint16_t two = sutra_store_kind(view, "two", 3);
    uint32_t bytes;
    const char *name = sutra_store_kind_name(view, two, &bytes);
    CHECK(name != NULL && bytes == 3 && memcmp(name, "two", 3) == 0);
    CHECK(sutra_store_kind_name(view, 2, &bytes) == NULL);
    CHECK_EQ(sutra_store_kind(view, "three", 5), SUTRA_NO_KIND);
    CHECK_EQ(sutra_store_links(view, concepts[0], SUTRA_BOTH, two, &links, &count), SUTRA_OK);
    CHECK_EQ(count, 2);
    free(links);
    CHECK_EQ(sutra_store_links(view, concepts[1], SUTRA_IN, SUTRA_NO_KIND, &links, &count),
             SUTRA_OK);
    CHECK(count == 2 && !links[0].outgoing && links[0].source == concepts[0]);
    free(links);
    sutra_store_view_end(view);
    /* Linking again replaces weight and confidence. */
    const int64_t zero = 0, first = 1, third = 3;
    struct sutra_op again = link_op(&zero, &first, 1);
    again.link.kind_names = names;
    again.link.kind_bytes = name_bytes;
    CHECK_EQ(write_ops(&place, &again, 1), SUTRA_OK);
    CHECK_EQ(again.done, 1);
    CHECK_EQ(links_of(&place, 0, SUTRA_OUT), 4);
    /* What is not there is passed over, also of kinds nobody knows. */
    again.kind = SUTRA_OP_UNLINK;
    CHECK_EQ(write_ops(&place, &again, 1), SUTRA_OK);
    CHECK_EQ(again.done, 1);
    CHECK_EQ(write_ops(&place, &again, 1), SUTRA_OK);
    CHECK_EQ(again.done, 0);
    again = link_op(&third, &zero, 1);
    again.kind = SUTRA_OP_UNLINK;
    CHECK_EQ(write_ops(&place, &again, 1), SUTRA_OK);
    CHECK_EQ(again.done, 0);
    again = link_op(&zero, &first, 1);
    again.kind = SUTRA_OP_UNLINK;
    again.link.kind_count = 0; /* every kind */
    CHECK_EQ(write_ops(&place, &again, 1), SUTRA_OK);
    CHECK_EQ(again.done, 1);
    CHECK_EQ(links_of(&place, 0, SUTRA_OUT), 2);
    place_deinit(&place);
}

static void refused_links(void)
{
    struct place place;
    const int64_t sources[2] = {0, 70}, targets[2] = {1, 2}, wrong[2] = {1, 71};
    const float bad[2] = {1.0f, INFINITY};
    const uint16_t kinds[2] = {0, 1};
    static char long_name[SUTRA_KIND_BYTES_MAX + 1];
    const char *const names[1] = {long_name};
    uint32_t bytes[1] = {SUTRA_KIND_BYTES_MAX};
    memset(long_name, 'k', sizeof long_name);
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_numbers(&place, 0, 4), SUTRA_OK);
    struct sutra_op op = link_op(sources, targets, 2);
    check_refused(&place, &op, 1, SUTRA_E_NOT_FOUND, 0, 1, 0);
    op = link_op(targets, wrong, 2);
    check_refused(&place, &op, 1, SUTRA_E_NOT_FOUND, 0, 1, 1);
    op = link_op(targets, targets, 2);
    op.link.weights = bad;
    op.link.weight_step = 1;
    check_refused(&place, &op, 1, SUTRA_E_ARGUMENT, 0, 1, 0);
    op = link_op(targets, targets, 2);
    op.link.kinds = kinds; /* there is but one name */
    check_refused(&place, &op, 1, SUTRA_E_ARGUMENT, 0, 1, 1);
    op = link_op(targets, targets, 2);
    op.link.targets.count = 1;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_E_ARGUMENT);
    op = link_op(targets, targets, 2);
    op.link.kind_count = 0;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_E_ARGUMENT);
    op = link_op(targets, targets, 2);
    op.link.kind_names = names;
    op.link.kind_bytes = bytes;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
    bytes[0]++;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_E_ARGUMENT);
    bytes[0] = 0;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_E_ARGUMENT);
    long_name[0] = (char)0xff;
    bytes[0] = 3;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_E_ARGUMENT);
    place_deinit(&place);
}

/* ---- batches */

/* Later operations see what earlier ones did. */
static void batches_build_on_themselves(void)
{
    struct place place;
    const int64_t ids[3] = {1, 2, 3};
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    struct sutra_op ops[4] = {put_op(ids, 3), link_op(ids, ids + 1, 2),
                              ids_op(SUTRA_OP_DELETE, ids + 1, 1), put_op(ids + 1, 1)};
    CHECK_EQ(write_ops(&place, ops, 4), SUTRA_OK);
    CHECK(ops[0].done == 3 && ops[1].done == 2 && ops[2].done == 1 && ops[3].done == 1);
    CHECK_EQ(place.lsn, 1);
    CHECK_EQ(count_now(&place), 3);
    CHECK_EQ(links_of(&place, 1, SUTRA_BOTH), 0); /* they went with 2 */
    /* And are refused for what earlier ones did. */
    struct sutra_op dead[2] = {ids_op(SUTRA_OP_DELETE, ids + 2, 1), link_op(ids, ids + 2, 1)};
    check_refused(&place, dead, 2, SUTRA_E_NOT_FOUND, 1, 0, 1);
    const int64_t five = 5;
    struct sutra_op twice[2] = {put_op(&five, 1), put_op(&five, 1)};
    check_refused(&place, twice, 2, SUTRA_E_DUPLICATE_ID, 1, 0, 5);
    twice[1].put.replace = true;
    CHECK_EQ(write_ops(&place, twice, 2), SUTRA_OK);
    CHECK_EQ(count_now(&place), 4);
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    CHECK_EQ(count_now(&place), 4);
    CHECK_EQ(links_of(&place, 1, SUTRA_BOTH), 0);
    /* No operation at all is none. */
    const uint64_t lsn = sutra_store_visible_lsn(place.store);
    CHECK_EQ(write_ops(&place, NULL, 0), SUTRA_OK);
    CHECK_EQ(sutra_store_visible_lsn(place.store), lsn);
    place_deinit(&place);
}

/* ---- when it is durable */

static void durability(void)
{
    static const int modes[3] = {SUTRA_SYNC_FULL, SUTRA_SYNC_INTERVAL, SUTRA_SYNC_OFF};
    for (size_t m = 0; m < 3; m++) {
        struct place place;
        const int64_t id = 1, other = 2, third = 3;
        uint64_t lsn;
        REQUIRE(place_init(&place, false, modes[m]));
        const bool full = modes[m] == SUTRA_SYNC_FULL;
        CHECK_EQ(write_op(&place, put_op(&id, 1)), SUTRA_OK);
        CHECK_EQ(sutra_store_durable_lsn(place.store), full ? place.lsn : 0);
        CHECK_EQ(sutra_store_visible_lsn(place.store), place.lsn);
        /* Without waiting: seen when it is durable, or at once where that is not promised. */
        struct sutra_op op = put_op(&other, 1);
        CHECK_EQ(sutra_store_write(place.store, &op, 1, false, &lsn, &place.fault), SUTRA_OK);
        CHECK_EQ(is_there(&place, 2), !full);
        CHECK_EQ(sutra_store_wait(place.store, lsn), SUTRA_OK);
        CHECK(sutra_store_durable_lsn(place.store) == lsn && is_there(&place, 2));
        CHECK_EQ(sutra_store_wait(place.store, lsn - 1), SUTRA_OK);
        CHECK_EQ(sutra_store_wait(place.store, lsn + 1), SUTRA_E_ARGUMENT); /* not written yet */
        op = put_op(&third, 1);
        CHECK_EQ(sutra_store_write(place.store, &op, 1, false, &lsn, &place.fault), SUTRA_OK);
        CHECK_EQ(sutra_store_flush(place.store), SUTRA_OK);
        CHECK(sutra_store_durable_lsn(place.store) == lsn && is_there(&place, 3));
        place_deinit(&place);
    }
}

/* The thread syncs by itself after the interval. */
static void interval_syncs(void)
{
    struct place place;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_INTERVAL));
    CHECK_EQ(place_close(&place), SUTRA_OK);
    place.options.no_thread = false;
    place.options.sync_interval_ms = 5;
    REQUIRE(place_open(&place, SUTRA_STORE_APPEND) == SUTRA_OK);
    CHECK_EQ(put_numbers(&place, 0, 3), SUTRA_OK);
    const struct timespec step = {0, 2000000};
    for (unsigned tries = 0; tries < 3000 && sutra_store_durable_lsn(place.store) < place.lsn;
         tries++)
        (void)nanosleep(&step, NULL);
    CHECK_EQ(sutra_store_durable_lsn(place.store), place.lsn);
    place_deinit(&place);
}

CHECK_MAIN(CASE(put_and_replace), CASE(assigned_numbers), CASE(text_ids), CASE(refused_puts),
           CASE(first_dimension), CASE(delete_and_touch), CASE(link_and_unlink),
           CASE(refused_links), CASE(batches_build_on_themselves), CASE(durability),
           CASE(interval_syncs))
