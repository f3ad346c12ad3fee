/* Compaction by background work: what is alive stays as it was to the bit, time after time, with
 * every way of keeping vectors, under views that stand still, and beside rows that wait to be
 * linked.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_calls.h"

#define COUNT 1200
#define ROUNDS 6
#define STEP 150 /* numbers that each round deletes and puts */

struct kept {
    bool known[COUNT + ROUNDS * STEP];
    float vectors[COUNT + ROUNDS * STEP][MODEL_DIM];
};

struct way {
    int quantization, keep_originals;
    bool in_memory;
};

static int open_way(struct place *place, const struct way *way)
{
    if (!place_init(place, way->in_memory, SUTRA_SYNC_OFF) || place_close(place) != SUTRA_OK)
        return SUTRA_E_ARGUMENT;
    place->options.quantization = way->quantization;
    place->options.keep_originals = way->keep_originals;
    place->options.log_bytes = (uint64_t)1 << 24;
    place->options.compact_dead = STEP;
    place->options.compact_share = UINT32_MAX;
    return place_open(place, way->in_memory ? SUTRA_STORE_APPEND : SUTRA_STORE_WRITE);
}

/* The vectors there are now; those known already must be the same bit for bit. */
static size_t changed_vectors(struct place *place, struct kept *kept)
{
    struct sutra_store_view *view = view_of(place);
    size_t changed = 0;
    for (int64_t number = 0; number < COUNT + ROUNDS * STEP; number++) {
        float vector[MODEL_DIM];
        uint32_t concept;
        const uint32_t slot = slot_of(view, number, &concept);
        if (slot == SUTRA_NO_SLOT)
            continue;
        CHECK_EQ(sutra_store_vector(view, slot, vector), SUTRA_OK);
        if (kept->known[number])
            changed += memcmp(kept->vectors[number], vector, sizeof vector) != 0;
        memcpy(kept->vectors[number], vector, sizeof vector);
        kept->known[number] = true;
    }
    sutra_store_view_end(view);
    return changed;
}

/* Does background work compact? */
static bool compacts(struct place *place)
{
    struct sutra_store_stats before, after;
    bool busy = true;
    CHECK_EQ(sutra_store_stats(place->store, &before), SUTRA_OK);
    while (busy)
        CHECK_EQ(sutra_store_reconcile(place->store, &busy), SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place->store, &after), SUTRA_OK);
    return before.dead_slots >= STEP && after.dead_slots == 0 && after.dead_vectors == 0;
}

static int delete_some(struct place *place, int64_t first)
{
    int64_t ids[STEP];
    for (int64_t j = 0; j < STEP; j++)
        ids[j] = first + j;
    return write_op(place, ids_op(SUTRA_OP_DELETE, ids, STEP));
}

/* A round: delete, compact, put more, some of it linked and some not. */
static void turn_over(struct place *place, struct kept *kept, int64_t round)
{
    struct sutra_store_view *pinned;
    struct shown before, after;
    CHECK_EQ(sutra_store_view_pin(place->store, &pinned), SUTRA_OK);
    CHECK_EQ(view_shows(pinned, &before), SUTRA_OK);
    CHECK_EQ(delete_some(place, round * STEP), SUTRA_OK);
    CHECK_EQ(put_vectors(place, COUNT + round * STEP, STEP), SUTRA_OK);
    CHECK_EQ(changed_vectors(place, kept), 0);
    if (round % 3 == 2) { /* all that was put waits to be linked meanwhile */
        CHECK_EQ(sutra_store_compact(place->store), SUTRA_OK);
    } else {
        CHECK(compacts(place));
    }
    CHECK_EQ(changed_vectors(place, kept), 0);
    CHECK_EQ(view_shows(pinned, &after), SUTRA_OK);
    CHECK(before.digest == after.digest && before.lsn == after.lsn);
    sutra_store_view_end(pinned);
    CHECK_EQ(sutra_store_verify(place->store, true, NULL, &place->fault), SUTRA_OK);
    CHECK_EQ(count_now(place), COUNT);
}

static void check_way(const struct way *way)
{
    static struct kept kept;
    struct place place;
    struct sutra_store_stats stats;
    memset(&kept, 0, sizeof kept);
    REQUIRE(open_way(&place, way) == SUTRA_OK);
    CHECK_EQ(put_vectors(&place, 0, COUNT), SUTRA_OK);
    CHECK_EQ(sutra_store_settle(place.store), SUTRA_OK);
    for (int64_t round = 0; round < ROUNDS; round++) {
        turn_over(&place, &kept, round);
        if (!way->in_memory && round % 2)
            CHECK_EQ(place_reopen(&place), SUTRA_OK);
        CHECK_EQ(changed_vectors(&place, &kept), 0);
    }
    CHECK_EQ(sutra_store_settle(place.store), SUTRA_OK);
    CHECK_EQ(changed_vectors(&place, &kept), 0);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK(stats.linked && stats.pending == 0 && stats.vectors == COUNT);
    size_t missed = 0;
    for (size_t which = 0; which < COUNT; which += 13)
        missed += !search_finds(place.store, which, false);
    CHECK(missed <= (way->keep_originals ? 3u : 20u));
    place_deinit(&place);
}

static void bytes_with_originals(void)
{
    check_way(&(struct way){SUTRA_QUANT_U8, 1, false});
}

static void bytes_alone(void)
{
    check_way(&(struct way){SUTRA_QUANT_U8, 0, false});
}

static void nibbles_with_originals(void)
{
    check_way(&(struct way){SUTRA_QUANT_U4, 1, false});
}

static void nibbles_alone(void)
{
    check_way(&(struct way){SUTRA_QUANT_U4, 0, false});
}

static void no_codes(void)
{
    check_way(&(struct way){SUTRA_QUANT_NONE, 1, false});
}

static void in_memory(void)
{
    check_way(&(struct way){SUTRA_QUANT_U8, 0, true});
    check_way(&(struct way){SUTRA_QUANT_U4, 1, true});
}

/* A third of what is alive may be dead, and no more. */
static void share_of_the_dead(void)
{
    struct place place;
    REQUIRE(open_way(&place, &(struct way){SUTRA_QUANT_U8, 1, false}) == SUTRA_OK);
    place.options.compact_share = 3;
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    CHECK_EQ(put_vectors(&place, 0, COUNT), SUTRA_OK);
    CHECK_EQ(delete_some(&place, 0), SUTRA_OK); /* 150 of 1050 */
    CHECK(!compacts(&place));
    CHECK_EQ(delete_some(&place, STEP), SUTRA_OK); /* 300 of 900 */
    CHECK(compacts(&place));
    CHECK_EQ(delete_some(&place, 2 * STEP), SUTRA_OK); /* 150 of 750 */
    CHECK(!compacts(&place));
    place_deinit(&place);
}

/* All dead, or so many that no graph pays: the store goes on from there. */
static void hardly_any_left(void)
{
    for (int keep_originals = 0; keep_originals < 2; keep_originals++) {
        static struct kept kept;
        struct place place;
        struct sutra_store_stats stats;
        memset(&kept, 0, sizeof kept);
        REQUIRE(open_way(&place, &(struct way){SUTRA_QUANT_U8, keep_originals, false}) == SUTRA_OK);
        for (int64_t left = 0; left < 2; left++) {
            CHECK_EQ(put_vectors(&place, 0, COUNT - (size_t)left), SUTRA_OK);
            CHECK_EQ(sutra_store_settle(place.store), SUTRA_OK);
            for (int64_t first = 0; first < COUNT; first += STEP)
                CHECK_EQ(delete_some(&place, first), SUTRA_OK);
            if (left)
                CHECK_EQ(put_vectors(&place, COUNT, (size_t)left), SUTRA_OK);
            memset(&kept, 0, sizeof kept);
            CHECK_EQ(changed_vectors(&place, &kept), 0);
            CHECK(compacts(&place));
            CHECK_EQ(changed_vectors(&place, &kept), 0);
            CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
            CHECK_EQ(stats.vectors, (uint64_t)left);
            CHECK_EQ(sutra_store_verify(place.store, true, NULL, &place.fault), SUTRA_OK);
            CHECK_EQ(place_reopen(&place), SUTRA_OK);
            CHECK_EQ(changed_vectors(&place, &kept), 0);
        }
        place_deinit(&place);
    }
}

/* A writer that waits, while the copy is made, until fewer rows are pending goes on when they are
 * linked in the copy. */
static void waiting_for_room(void)
{
    enum { BATCH = 512, BATCHES = 160, NUMBERS = 8 };
    static float vectors[BATCH * MODEL_DIM];
    static int64_t ids[BATCH];
    struct place place;
    struct sutra_store_stats stats;
    REQUIRE(open_way(&place, &(struct way){SUTRA_QUANT_U8, 1, false}) == SUTRA_OK);
    CHECK_EQ(place_close(&place), SUTRA_OK);
    place.options.no_thread = false;
    place.options.reconcile_interval_ms = 1;
    place.options.flush_threshold = 2 * SUTRA_FLAT_ROWS;
    REQUIRE(place_open(&place, SUTRA_STORE_APPEND) == SUTRA_OK);
    for (int64_t batch = 0; batch < BATCHES; batch++) {
        for (int64_t j = 0; j < BATCH; j++) {
            ids[j] = batch % NUMBERS * BATCH + j;
            make_vector((uint64_t)(batch * BATCH + j), vectors + j * (int64_t)MODEL_DIM);
        }
        struct sutra_op op = vector_op(ids, BATCH, vectors);
        op.put.replace = true;
        CHECK_EQ(write_op(&place, op), SUTRA_OK);
    }
    CHECK_EQ(count_now(&place), BATCH * NUMBERS);
    CHECK_EQ(sutra_store_settle(place.store), SUTRA_OK);
    CHECK_EQ(sutra_store_verify(place.store, true, NULL, &place.fault), SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK(stats.dead_slots < (uint64_t)BATCH * (BATCHES - NUMBERS)); /* it did compact */
    CHECK(stats.pending == 0 && stats.reconciler_lag_ms == 0);
    place_deinit(&place);
}

CHECK_MAIN(CASE(bytes_with_originals), CASE(bytes_alone), CASE(nibbles_with_originals),
           CASE(nibbles_alone), CASE(no_codes), CASE(in_memory), CASE(hardly_any_left),
           CASE(share_of_the_dead), CASE(waiting_for_room))
