/* Life of a store: making, opening, locking, closing; checkpoints, compaction, snapshots; what it
 * says of itself. Line by line of store.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sys/wait.h>
#include <unistd.h>

#include "store_calls.h"

/* ---- modes */

static void modes(void)
{
    struct place place = {.options = store_options(0, SUTRA_SYNC_FULL)};
    REQUIRE(sutra_simulated_new(1, &place.fs) == SUTRA_OK);
    place.io = sutra_simulated_io(place.fs);
    CHECK_EQ(place_open(&place, SUTRA_STORE_READ), ENOENT);
    /* It must not be made by asking. */
    CHECK_EQ(place_open(&place, SUTRA_STORE_READ), ENOENT);
    REQUIRE(place_open(&place, SUTRA_STORE_EXCLUSIVE) == SUTRA_OK);
    CHECK_EQ(put_numbers(&place, 0, 3), SUTRA_OK);
    CHECK_EQ(place_close(&place), SUTRA_OK);
    CHECK_EQ(place_open(&place, SUTRA_STORE_EXCLUSIVE), EEXIST);
    REQUIRE(place_open(&place, SUTRA_STORE_APPEND) == SUTRA_OK);
    CHECK_EQ(count_now(&place), 3);
    CHECK_EQ(place_close(&place), SUTRA_OK);
    REQUIRE(place_open(&place, SUTRA_STORE_READ) == SUTRA_OK);
    CHECK_EQ(count_now(&place), 3);
    CHECK_EQ(put_numbers(&place, 10, 1), SUTRA_E_READ_ONLY);
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_E_READ_ONLY);
    CHECK_EQ(sutra_store_compact(place.store), SUTRA_E_READ_ONLY);
    CHECK_EQ(sutra_store_snapshot(place.store, SNAPSHOT_PATH), SUTRA_E_READ_ONLY);
    int64_t first;
    CHECK_EQ(sutra_store_reserve_numbers(place.store, 1, &first), SUTRA_E_READ_ONLY);
    CHECK_EQ(place_close(&place), SUTRA_OK);
    REQUIRE(place_open(&place, SUTRA_STORE_WRITE) == SUTRA_OK);
    CHECK_EQ(count_now(&place), 0);
    CHECK_EQ(put_numbers(&place, 0, 2), SUTRA_OK);
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    CHECK_EQ(count_now(&place), 2);
    place_deinit(&place);
}

/* A reader changes nothing on the disk, not even a name. */
static void reading_writes_nothing(void)
{
    struct place place;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_vectors(&place, 0, 20), SUTRA_OK);
    CHECK_EQ(place_close(&place), SUTRA_OK);
    const uint64_t before = sutra_simulated_operations(place.fs);
    REQUIRE(place_open(&place, SUTRA_STORE_READ) == SUTRA_OK);
    CHECK_EQ(count_now(&place), 20);
    CHECK_EQ(sutra_store_verify(place.store, true, NULL, &place.fault), SUTRA_OK);
    CHECK_EQ(place_close(&place), SUTRA_OK);
    CHECK_EQ(sutra_simulated_operations(place.fs), before);
    place_deinit(&place);
}

/* A directory with anything else in it is left alone, whatever the mode. */
static void foreign_directories(void)
{
    struct place place = {.options = store_options(0, SUTRA_SYNC_FULL)};
    size_t bytes;
    REQUIRE(sutra_simulated_new(1, &place.fs) == SUTRA_OK);
    place.io = sutra_simulated_io(place.fs);
    CHECK_EQ(place.io->make_directory(place.io->context, STORE_PATH), 0);
    CHECK_EQ(sutra_simulated_put(place.fs, STORE_PATH "/letter.txt", "dear", 4), 0);
    for (int mode = SUTRA_STORE_APPEND; mode <= SUTRA_STORE_EXCLUSIVE; mode++)
        CHECK_EQ(place_open(&place, mode), SUTRA_E_NOT_STORE);
    CHECK(sutra_simulated_contents(place.fs, STORE_PATH "/letter.txt", &bytes) != NULL);
    place_deinit(&place);
}

/* Log files without the file that says what they are: not a new store. */
static void missing_identity(void)
{
    struct place place;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_numbers(&place, 0, 3), SUTRA_OK);
    CHECK_EQ(place_close(&place), SUTRA_OK);
    CHECK_EQ(place.io->unlink(place.io->context, STORE_PATH "/SUTRA"), 0);
    CHECK_EQ(place_open(&place, SUTRA_STORE_APPEND), SUTRA_E_CORRUPT);
    CHECK(strcmp(place.file, "SUTRA") == 0 && place.fault.what != NULL);
    CHECK_EQ(place_open(&place, SUTRA_STORE_READ), ENOENT);
    REQUIRE(place_open(&place, SUTRA_STORE_WRITE) == SUTRA_OK);
    CHECK_EQ(count_now(&place), 0);
    place_deinit(&place);
}

static void in_memory(void)
{
    struct place place;
    bool changed = true;
    struct sutra_store_stats stats;
    REQUIRE(place_init(&place, true, SUTRA_SYNC_FULL));
    CHECK_EQ(put_vectors(&place, 0, 40), SUTRA_OK);
    CHECK_EQ(count_now(&place), 40);
    CHECK_EQ(sutra_store_durable_lsn(place.store), place.lsn);
    CHECK_EQ(sutra_store_flush(place.store), SUTRA_OK);
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    CHECK_EQ(sutra_store_snapshot(place.store, SNAPSHOT_PATH), SUTRA_E_CONFIG);
    CHECK_EQ(sutra_store_refresh(place.store, &changed), SUTRA_OK);
    CHECK(!changed);
    const int64_t id = 7;
    CHECK_EQ(write_op(&place, ids_op(SUTRA_OP_DELETE, &id, 1)), SUTRA_OK);
    CHECK_EQ(sutra_store_compact(place.store), SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK_EQ(stats.slots, 39);
    CHECK_EQ(count_now(&place), 39);
    CHECK_EQ(sutra_store_verify(place.store, true, NULL, &place.fault), SUTRA_OK);
    CHECK_EQ(place_close(&place), SUTRA_OK);
    CHECK_EQ(place_open(&place, SUTRA_STORE_READ), SUTRA_E_CONFIG);
    CHECK(place.fault.what != NULL && strcmp(place.fault.what, "mode") == 0);
    place_deinit(&place);
}

/* ---- options */

static void check_refused(struct place *place, const char *what, uint64_t stored, uint64_t asked)
{
    CHECK_EQ(place_open(place, SUTRA_STORE_APPEND), SUTRA_E_CONFIG);
    CHECK(place->fault.what != NULL && strcmp(place->fault.what, what) == 0);
    CHECK_EQ(place->fault.expected, stored);
    CHECK_EQ(place->fault.found, asked);
}

/* What is stored holds; asking for something else is refused by name. */
static void stored_options(void)
{
    struct place place;
    struct sutra_store_stats stats;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_vectors(&place, 0, 2), SUTRA_OK);
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    CHECK_EQ(place_close(&place), SUTRA_OK);
    const struct sutra_store_options good = place.options;
    place.options.dim = 9;
    check_refused(&place, "dim", MODEL_DIM, 9);
    place.options = good;
    place.options.metric = SUTRA_METRIC_L2;
    check_refused(&place, "metric", SUTRA_METRIC_COSINE, SUTRA_METRIC_L2);
    place.options = good;
    place.options.quantization = SUTRA_QUANT_NONE;
    check_refused(&place, "quantization", SUTRA_QUANT_U8, SUTRA_QUANT_NONE);
    place.options = good;
    place.options.keep_originals = 0;
    check_refused(&place, "keep_originals", 1, 0);
    place.options = good;
    place.options.m = 16;
    check_refused(&place, "m", 8, 16);
    place.options = good;
    place.options.ef_construction = 17;
    check_refused(&place, "ef_construction", 16, 17);
    place.options = good;
    place.options.m = place.options.ef_construction = 0;
    place.options.dim = MODEL_DIM;
    REQUIRE(place_open(&place, SUTRA_STORE_APPEND) == SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK(stats.options.dim == MODEL_DIM && stats.options.m == 8 &&
          stats.options.ef_construction == 16 && stats.options.keep_originals);
    place_deinit(&place);
}

static void bad_options(void)
{
    struct place place = {.options = store_options(0, SUTRA_SYNC_FULL)};
    REQUIRE(sutra_simulated_new(1, &place.fs) == SUTRA_OK);
    place.io = sutra_simulated_io(place.fs);
    const struct sutra_store_options good = place.options;
    place.options.metric = 9;
    CHECK_EQ(place_open(&place, SUTRA_STORE_APPEND), SUTRA_E_CONFIG);
    place.options = good;
    place.options.m = 7;
    CHECK_EQ(place_open(&place, SUTRA_STORE_APPEND), SUTRA_E_CONFIG);
    place.options = good;
    place.options.dim = SUTRA_DIM_MAX + 1;
    CHECK_EQ(place_open(&place, SUTRA_STORE_APPEND), SUTRA_E_CONFIG);
    /* Nothing of it is left that keeps a good one from being made. */
    place.options = good;
    CHECK_EQ(place_open(&place, SUTRA_STORE_EXCLUSIVE), SUTRA_OK);
    place_deinit(&place);
}

/* ---- the lock */

static void one_writer(void)
{
    struct place place, other;
    char text[64];
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(sutra_store_holder(place.io, STORE_PATH, text, sizeof text), ENOENT);
    CHECK_EQ(place_close(&place), SUTRA_OK);
    place.options.holder = "pid 17 on this machine";
    REQUIRE(place_open(&place, SUTRA_STORE_APPEND) == SUTRA_OK);
    other = place;
    other.options.holder = "somebody else";
    for (int mode = SUTRA_STORE_APPEND; mode <= SUTRA_STORE_WRITE; mode += 2) {
        CHECK_EQ(place_open(&other, mode), SUTRA_E_LOCKED);
        CHECK(other.fault.what == NULL);
    }
    CHECK_EQ(sutra_store_holder(place.io, STORE_PATH, text, sizeof text), SUTRA_OK);
    CHECK(strcmp(text, "pid 17 on this machine") == 0);
    CHECK_EQ(sutra_store_holder(place.io, STORE_PATH, text, 4), SUTRA_OK);
    CHECK(strcmp(text, "pid") == 0);
    /* Readers do not need it. */
    CHECK_EQ(place_open(&other, SUTRA_STORE_READ), SUTRA_OK);
    CHECK_EQ(place_close(&other), SUTRA_OK);
    CHECK_EQ(put_numbers(&place, 0, 1), SUTRA_OK);
    CHECK_EQ(place_close(&place), SUTRA_OK);
    CHECK_EQ(place_open(&other, SUTRA_STORE_APPEND), SUTRA_OK);
    CHECK_EQ(count_now(&other), 1);
    drop_store(other.store);
    place_deinit(&place);
}

/* A child that was forked lets go of the files and nothing else. */
static void abandoned_in_child(void)
{
    char root[200], path[256];
    const char *temporary = getenv("TMPDIR");
    struct sutra_store_options options = store_options(SUTRA_STORE_APPEND, SUTRA_SYNC_FULL);
    struct sutra_store *store, *other;
    (void)snprintf(root, sizeof root, "%.150s/sutra-test-XXXXXX", temporary ? temporary : "/tmp");
    REQUIRE(mkdtemp(root) != NULL);
    (void)snprintf(path, sizeof path, "%s/db", root);
    options.no_thread = false;
    REQUIRE(open_store(&sutra_io_posix, path, &options, &store) == SUTRA_OK);
    struct place place = {.store = store};
    CHECK_EQ(put_numbers(&place, 0, 3), SUTRA_OK);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        sutra_store_abandon(store);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    /* The parent still has the lock, and goes on. */
    CHECK_EQ(open_store(&sutra_io_posix, path, &options, &other), SUTRA_E_LOCKED);
    CHECK_EQ(put_numbers(&place, 3, 3), SUTRA_OK);
    CHECK_EQ(count_now(&place), 6);
    CHECK_EQ(sutra_store_close(store), SUTRA_OK);
    sutra_store_free(store);
    REQUIRE(open_store(&sutra_io_posix, path, &options, &store) == SUTRA_OK);
    place.store = store;
    CHECK_EQ(count_now(&place), 6);
    drop_store(store);
    remove_all(path);
    remove_all(root);
}

/* ---- closing */

static void closed(void)
{
    struct place place;
    struct sutra_store_view *view, *held;
    struct sutra_store_stats stats;
    struct shown before, after;
    bool flag;
    int64_t first;
    uint64_t lsn;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_vectors(&place, 0, 30), SUTRA_OK);
    CHECK_EQ(link_numbers(&place, 1, 2), SUTRA_OK);
    CHECK_EQ(sutra_store_view_begin(place.store, &held), SUTRA_OK);
    CHECK_EQ(view_shows(held, &before), SUTRA_OK);
    CHECK_EQ(sutra_store_close(place.store), SUTRA_OK);
    CHECK_EQ(sutra_store_close(place.store), SUTRA_E_CLOSED);
    const int64_t id = 100;
    struct sutra_op op = put_op(&id, 1);
    CHECK_EQ(sutra_store_write(place.store, &op, 1, true, &lsn, &place.fault), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_store_reserve_numbers(place.store, 1, &first), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_store_flush(place.store), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_store_view_begin(place.store, &view), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_store_view_pin(place.store, &view), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_store_reconcile(place.store, &flag), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_store_settle(place.store), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_store_compact(place.store), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_store_refresh(place.store, &flag), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_store_snapshot(place.store, SNAPSHOT_PATH), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_store_verify(place.store, true, NULL, &place.fault), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_E_CLOSED);
    /* The view is as it was. */
    CHECK_EQ(view_shows(held, &after), SUTRA_OK);
    CHECK(before.digest == after.digest && after.live == 30);
    sutra_store_view_end(held);
    place_deinit(&place);
}

/* Without a sync or a close, what was written is there for the next process. */
static void abandoned(void)
{
    struct place place;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_OFF));
    CHECK_EQ(put_numbers(&place, 0, 5), SUTRA_OK);
    const uint64_t before = sutra_simulated_operations(place.fs);
    sutra_store_abandon(place.store);
    CHECK_EQ(sutra_simulated_operations(place.fs), before);
    CHECK_EQ(sutra_store_close(place.store), SUTRA_E_CLOSED);
    sutra_store_free(place.store);
    REQUIRE(place_open(&place, SUTRA_STORE_APPEND) == SUTRA_OK);
    CHECK_EQ(count_now(&place), 5);
    place_deinit(&place);
}

/* ---- checkpoints, compaction */

static void checkpoints(void)
{
    struct place place;
    struct sutra_store_stats before, after;
    bool busy = true;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_vectors(&place, 0, 100), SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place.store, &before), SUTRA_OK);
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place.store, &after), SUTRA_OK);
    CHECK_EQ(after.generation, before.generation + 1);
    CHECK_EQ(after.checkpoints, before.checkpoints + 1);
    CHECK_EQ(after.checkpoint_lsn, place.lsn);
    CHECK(before.log_bytes > 0 && after.log_bytes == 0 && after.segment_bytes > 0);
    /* Background work does one when the log has grown so much. */
    CHECK_EQ(sutra_store_reconcile(place.store, &busy), SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place.store, &before), SUTRA_OK);
    CHECK_EQ(before.checkpoints, after.checkpoints);
    while (before.log_bytes < place.options.log_bytes) {
        CHECK_EQ(put_vectors(&place, (int64_t)before.slots, 16), SUTRA_OK);
        CHECK_EQ(sutra_store_stats(place.store, &before), SUTRA_OK);
    }
    CHECK_EQ(sutra_store_reconcile(place.store, &busy), SUTRA_OK);
    CHECK(!busy);
    CHECK_EQ(sutra_store_stats(place.store, &after), SUTRA_OK);
    CHECK_EQ(after.checkpoints, before.checkpoints + 1);
    CHECK_EQ(after.last_checkpoint_status, SUTRA_OK);
    const size_t count = count_now(&place);
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place.store, &after), SUTRA_OK);
    CHECK_EQ(after.recovered_records, 0);
    CHECK_EQ(count_now(&place), count);
    place_deinit(&place);
}

/* What was linked in the background is found, also after opening again; and all is linked at once
 * if that is asked for. */
static void linking(void)
{
    struct place place;
    struct sutra_store_stats stats;
    bool busy = true;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_vectors(&place, 0, SUTRA_FLAT_ROWS - 1), SUTRA_OK);
    CHECK_EQ(sutra_store_settle(place.store), SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK(!stats.linked); /* too few */
    CHECK_EQ(put_vectors(&place, SUTRA_FLAT_ROWS - 1, 300), SUTRA_OK);
    while (busy)
        CHECK_EQ(sutra_store_reconcile(place.store, &busy), SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK(stats.linked && stats.pending == 0);
    CHECK_EQ(put_vectors(&place, SUTRA_FLAT_ROWS + 299, 50), SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK_EQ(stats.pending, 50);
    CHECK_EQ(sutra_store_settle(place.store), SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK_EQ(stats.pending, 0);
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    size_t missed = 0;
    for (size_t which = 0; which < stats.vectors; which += 7)
        missed += !search_finds(place.store, which, false);
    CHECK(missed < 3);
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    for (size_t which = 0; which < stats.vectors; which += 7) {
        missed += !search_finds(place.store, which, false);
        CHECK(search_finds(place.store, which, true));
    }
    CHECK(missed < 6);
    place_deinit(&place);
}

/* The dead are gone, the living as before, and a view from before sees what it saw. */
static void compaction(void)
{
    struct place place;
    struct sutra_store_stats stats;
    struct sutra_store_view *view;
    struct shown before, seen, after;
    int64_t first = -1;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_vectors(&place, 0, 700), SUTRA_OK);
    for (int64_t id = 0; id < 20; id++)
        CHECK_EQ(link_numbers(&place, id, id + 1), SUTRA_OK);
    for (int64_t id = 690; id < 700; id++)
        CHECK_EQ(write_op(&place, ids_op(SUTRA_OP_DELETE, &id, 1)), SUTRA_OK);
    CHECK_EQ(sutra_store_settle(place.store), SUTRA_OK);
    REQUIRE(sutra_store_view_pin(place.store, &view) == SUTRA_OK);
    CHECK_EQ(view_shows(view, &before), SUTRA_OK);
    CHECK_EQ(sutra_store_compact(place.store), SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK(stats.slots == 690 && stats.dead_slots == 0 && stats.vectors == 690 &&
          stats.dead_vectors == 0 && stats.segments == 1 && stats.delta_associations == 0);
    CHECK_EQ(store_shows(place.store, &after), SUTRA_OK);
    CHECK(after.digest == before.digest && after.live == 690);
    /* Numbers are not given twice. */
    struct sutra_op op = put_op(NULL, 1);
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
    CHECK_EQ(op.first_number, 700);
    CHECK_EQ(view_shows(view, &seen), SUTRA_OK);
    CHECK(seen.digest == before.digest);
    sutra_store_view_end(view);
    CHECK_EQ(sutra_store_verify(place.store, true, NULL, &place.fault), SUTRA_OK);
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    CHECK_EQ(count_now(&place), 691);
    CHECK_EQ(sutra_store_reserve_numbers(place.store, 1, &first), SUTRA_OK);
    CHECK_EQ(first, 701);
    place_deinit(&place);
}

static int delete_numbers(struct place *place, int64_t first, int64_t end)
{
    int64_t ids[CALL_IDS];
    int status = SUTRA_OK;
    while (first < end && status == SUTRA_OK) {
        size_t count = 0;
        for (; first < end && count < CALL_IDS; first++)
            ids[count++] = first;
        status = write_op(place, ids_op(SUTRA_OP_DELETE, ids, count));
    }
    return status;
}

static size_t missed_by_search(struct place *place, size_t count)
{
    size_t missed = 0;
    for (size_t which = 0; which < count; which += 97)
        missed += !search_finds(place->store, which, false);
    return missed;
}

/* Background work does one when enough is dead. What was linked stays so, whoever lives: nothing
 * is pending after it. */
static void compaction_by_itself(void)
{
    struct place place;
    struct sutra_store_stats stats;
    struct shown before, after;
    bool busy = true;
    const int64_t count = 9000, dead = 4500;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_OFF));
    place.options.log_bytes = 1 << 24;
    REQUIRE(place_reopen(&place) == SUTRA_OK);
    CHECK_EQ(put_vectors(&place, 0, (size_t)count), SUTRA_OK);
    while (busy)
        CHECK_EQ(sutra_store_reconcile(place.store, &busy), SUTRA_OK);
    CHECK_EQ(delete_numbers(&place, 2000, 2000 + dead / 2), SUTRA_OK);
    CHECK_EQ(sutra_store_reconcile(place.store, &busy), SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK(!busy && stats.dead_slots == (uint64_t)dead / 2); /* not worth it yet */
    CHECK_EQ(delete_numbers(&place, 2000 + dead / 2, 2000 + dead), SUTRA_OK);
    CHECK_EQ(store_shows(place.store, &before), SUTRA_OK);
    CHECK_EQ(sutra_store_reconcile(place.store, &busy), SUTRA_OK);
    CHECK(!busy);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK(stats.dead_slots == 0 && stats.dead_vectors == 0 && stats.pending == 0 && stats.linked);
    CHECK_EQ(stats.vectors, (uint64_t)(count - dead));
    CHECK_EQ(store_shows(place.store, &after), SUTRA_OK);
    CHECK(after.digest == before.digest);
    CHECK(missed_by_search(&place, (size_t)(count - dead)) < 3);
    CHECK_EQ(sutra_store_verify(place.store, true, NULL, &place.fault), SUTRA_OK);
    /* The graph is one to go on with, and to save. */
    CHECK_EQ(put_vectors(&place, count, 500), SUTRA_OK);
    CHECK_EQ(sutra_store_settle(place.store), SUTRA_OK);
    CHECK_EQ(sutra_store_verify(place.store, true, NULL, &place.fault), SUTRA_OK);
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    CHECK_EQ(sutra_store_verify(place.store, true, NULL, &place.fault), SUTRA_OK);
    CHECK(missed_by_search(&place, (size_t)(count - dead) + 500) < 3);
    /* Unless it is told not to. */
    CHECK_EQ(place_close(&place), SUTRA_OK);
    place.options.no_compaction = true;
    REQUIRE(place_open(&place, SUTRA_STORE_APPEND) == SUTRA_OK);
    CHECK_EQ(delete_numbers(&place, 0, 2000), SUTRA_OK);
    CHECK_EQ(delete_numbers(&place, 2000 + dead, count), SUTRA_OK);
    CHECK_EQ(sutra_store_reconcile(place.store, &busy), SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK(stats.dead_slots >= (uint64_t)(count - dead) && stats.concepts == 500);
    place_deinit(&place);
}

/* ---- room */

static void limited_room(void)
{
    struct place place;
    struct sutra_store_stats stats;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(place_close(&place), SUTRA_OK);
    place.options.max_bytes = 200000;
    REQUIRE(place_open(&place, SUTRA_STORE_APPEND) == SUTRA_OK);
    int status = SUTRA_OK;
    int64_t next = 0;
    for (; status == SUTRA_OK && next < 100000; next += 16)
        status = put_vectors(&place, next, 16);
    CHECK_EQ(status, SUTRA_E_CAPACITY);
    CHECK(next > 1000);
    const size_t count = count_now(&place);
    CHECK_EQ(count, (size_t)next - 16);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK(stats.failed == 0 && stats.log_bytes + stats.segment_bytes <= 200000);
    CHECK_EQ(place_close(&place), SUTRA_OK);
    place.options.max_bytes = 0;
    REQUIRE(place_open(&place, SUTRA_STORE_APPEND) == SUTRA_OK);
    CHECK_EQ(put_vectors(&place, next, 16), SUTRA_OK);
    CHECK_EQ(count_now(&place), count + 16);
    place_deinit(&place);
}

static void statistics(void)
{
    struct place place;
    struct sutra_store_stats stats;
    struct sutra_store_view *view;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK(stats.concepts == 0 && stats.options.dim == 0 && stats.visible_lsn == 0 &&
          stats.open_views == 0 && stats.failed == 0);
    CHECK_EQ(put_vectors(&place, 0, 10), SUTRA_OK);
    CHECK_EQ(put_numbers(&place, 10, 5), SUTRA_OK);
    CHECK_EQ(link_numbers(&place, 1, 2), SUTRA_OK);
    const int64_t id = 3;
    CHECK_EQ(write_op(&place, ids_op(SUTRA_OP_DELETE, &id, 1)), SUTRA_OK);
    view = view_of(&place);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK(stats.concepts == 14 && stats.slots == 15 && stats.dead_slots == 1);
    CHECK(stats.vectors == 10 && stats.dead_vectors == 1 && stats.options.dim == MODEL_DIM);
    CHECK(stats.associations == 1 && stats.kinds == 1 && stats.open_views == 1);
    CHECK(stats.visible_lsn == place.lsn && stats.durable_lsn == place.lsn);
    sutra_store_view_end(view);
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK(stats.recovered_records >= 4 && stats.torn_bytes == 0 && !stats.manifest_fallback);
    CHECK(stats.concepts == 14 && stats.open_views == 0);
    place_deinit(&place);
}

CHECK_MAIN(CASE(modes), CASE(reading_writes_nothing), CASE(foreign_directories),
           CASE(missing_identity), CASE(in_memory), CASE(stored_options), CASE(bad_options),
           CASE(one_writer), CASE(abandoned_in_child), CASE(closed), CASE(abandoned),
           CASE(checkpoints), CASE(linking), CASE(compaction), CASE(compaction_by_itself),
           CASE(limited_room), CASE(statistics))
