/* Batches too long for one record of the log: all of one is found after a crash, or nothing.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_calls.h"

#define PART_BYTES ((size_t)9 << 20) /* two do not fit into a record */
#define PARTS 3u

struct parts {
    uint8_t *data;
    const uint8_t *contents[PARTS];
    uint32_t bytes[PARTS];
    int64_t ids[PARTS];
};

static bool parts_init(struct parts *parts)
{
    parts->data = malloc(PART_BYTES);
    if (parts->data == NULL)
        return false;
    for (size_t i = 0; i + 8 <= PART_BYTES; i += 8) {
        const uint64_t word = sutra_mix64(i) & 0x1f1f1f1f1f1f1f1f;
        memcpy(parts->data + i, &(uint64_t){word | 0x6060606060606060}, 8);
    }
    for (size_t j = 0; j < PARTS; j++) {
        parts->contents[j] = parts->data;
        parts->bytes[j] = (uint32_t)(PART_BYTES - j);
        parts->ids[j] = (int64_t)(10 + j);
    }
    return true;
}

/* One operation with all of them, or one for each. */
static size_t long_batch(const struct parts *parts, bool apart, struct sutra_op *ops)
{
    const size_t count = apart ? PARTS : 1;
    for (size_t j = 0; j < count; j++) {
        ops[j] = put_op(parts->ids + j, apart ? 1 : PARTS);
        ops[j].put.contents = parts->contents + j;
        ops[j].put.content_bytes = parts->bytes + j;
    }
    return count;
}

/* Before the batch, after it, or wrong. */
enum seen { SEEN_NONE, SEEN_ALL, SEEN_WRONG };

static int look(struct sutra_store *store, size_t others)
{
    struct sutra_store_view *view;
    if (sutra_store_view_begin(store, &view) != SUTRA_OK)
        return SEEN_WRONG;
    const size_t count = sutra_store_view_count(view);
    int seen = count == others ? SEEN_NONE : count == others + PARTS ? SEEN_ALL : SEEN_WRONG;
    for (int64_t id = 10; id < (int64_t)(10 + PARTS); id++) {
        struct sutra_concept read = {0};
        uint32_t concept;
        const uint32_t slot = slot_of(view, id, &concept);
        if ((slot != SUTRA_NO_SLOT) != (seen == SEEN_ALL))
            seen = SEEN_WRONG;
        else if (seen == SEEN_ALL && (sutra_store_read(view, concept, slot, &read) != SUTRA_OK ||
                                      read.content_bytes != PART_BYTES - (size_t)(id - 10)))
            seen = SEEN_WRONG;
    }
    sutra_store_view_end(view);
    return seen;
}

static void crashes(bool apart)
{
    struct place place;
    struct parts parts;
    struct sutra_op ops[PARTS];
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL) && parts_init(&parts));
    CHECK_EQ(put_numbers(&place, 0, 3), SUTRA_OK);
    CHECK_EQ(sutra_simulated_record(place.fs), SUTRA_OK);
    const uint64_t first = sutra_simulated_operations(place.fs), lsn = place.lsn;
    CHECK_EQ(write_ops(&place, ops, long_batch(&parts, apart, ops)), SUTRA_OK);
    CHECK_EQ(place.lsn, lsn + PARTS);
    const uint64_t last = sutra_simulated_operations(place.fs);
    size_t seen[3] = {0};
    for (uint64_t at = first; at <= last; at++) {
        const size_t in_flight = sutra_simulated_in_flight(place.fs, at);
        for (int policy = 0; policy <= SUTRA_CRASH_SUBSET; policy++) {
            const size_t choices = policy < SUTRA_CRASH_LOSE_ONE ? 1
                                   : in_flight < 2               ? in_flight
                                                                 : 2;
            for (size_t choice = 0; choice < choices; choice += 1 + (size_t)(tests_divisor() > 1)) {
                struct place crashed = {.options = place.options};
                REQUIRE(sutra_simulated_crash(place.fs, at, policy,
                                              in_flight ? in_flight - 1 - choice : 0, at + choice,
                                              &crashed.fs) == SUTRA_OK);
                crashed.io = sutra_simulated_io(crashed.fs);
                CHECK_EQ(place_open(&crashed, SUTRA_STORE_APPEND), SUTRA_OK);
                const int now = crashed.store ? look(crashed.store, 3) : SEEN_WRONG;
                CHECK(now != SEEN_WRONG && (at < last || now == SEEN_ALL));
                seen[now]++;
                /* What was not finished does not come back with the next write. */
                CHECK_EQ(put_numbers(&crashed, 50, 1), SUTRA_OK);
                CHECK_EQ(place_reopen(&crashed), SUTRA_OK);
                CHECK_EQ(look(crashed.store, 4), now);
                place_deinit(&crashed);
            }
        }
    }
    CHECK(seen[SEEN_NONE] > 0 && seen[SEEN_ALL] > 0);
    free(parts.data);
    place_deinit(&place);
}

static void one_long_operation(void)
{
    crashes(false);
}

static void long_together(void)
{
    crashes(true);
}

/* The disk is full in the middle: what was written of it is taken back. */
static void taken_back(void)
{
    for (unsigned turn = 0; turn < 4; turn++) {
        struct place place;
        struct parts parts;
        struct sutra_op ops[PARTS];
        struct sutra_store_stats stats;
        uint64_t left = 0;
        REQUIRE(place_init(&place, false, turn % 2 ? SUTRA_SYNC_OFF : SUTRA_SYNC_FULL) &&
                parts_init(&parts));
        CHECK_EQ(put_numbers(&place, 0, 3), SUTRA_OK);
        const uint64_t capacity = (uint64_t)1 << 40, lsn = place.lsn;
        sutra_simulated_set_capacity(place.fs, capacity);
        CHECK_EQ(place.io->free_bytes(place.io->context, "/", &left), 0);
        /* Room for one of the records, or for two. */
        sutra_simulated_set_capacity(place.fs, capacity - left + PART_BYTES * (1 + turn / 2) +
                                                   PART_BYTES / 2);
        CHECK_EQ(write_ops(&place, ops, long_batch(&parts, turn >= 2, ops)), ENOSPC);
        CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
        CHECK_EQ(stats.failed, 0);
        CHECK_EQ(look(place.store, 3), SEEN_NONE);
        sutra_simulated_set_capacity(place.fs, UINT64_MAX);
        CHECK_EQ(put_numbers(&place, 50, 1), SUTRA_OK);
        CHECK_EQ(place.lsn, lsn + 1);
        CHECK_EQ(place_reopen(&place), SUTRA_OK);
        CHECK_EQ(look(place.store, 4), SEEN_NONE);
        CHECK_EQ(write_ops(&place, ops, long_batch(&parts, turn >= 2, ops)), SUTRA_OK);
        sutra_store_abandon(place.store);
        sutra_store_free(place.store);
        CHECK_EQ(place_open(&place, SUTRA_STORE_APPEND), SUTRA_OK);
        CHECK_EQ(look(place.store, 4), SEEN_ALL);
        free(parts.data);
        place_deinit(&place);
    }
}

CHECK_MAIN(CASE(one_long_operation), CASE(long_together), CASE(taken_back))
