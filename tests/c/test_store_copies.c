/* More than one handle and more than one directory: readers that follow, snapshots, bringing them
 * back, and saving what is left of a damaged store. Line by line of store.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "io/faulty.h"
#include "store_prepared.h"
#include "store_calls.h"

#define RESTORED_PATH "/restored"

static int open_at(const struct place *place, const char *path, int mode,
                   struct sutra_store **store_out)
{
    struct sutra_store_options options = place->options;
    options.mode = mode;
    return open_store(place->io, path, &options, store_out);
}

/* What is in a directory: the digest, or 0 if it does not open. */
static uint64_t digest_at(const struct place *place, const char *path)
{
    struct sutra_store *store;
    struct shown shown = {0};
    if (open_at(place, path, SUTRA_STORE_READ, &store) != SUTRA_OK)
        return 0;
    CHECK_EQ(store_shows(store, &shown), SUTRA_OK);
    CHECK_EQ(sutra_store_verify(store, true, NULL, &(struct sutra_fault){0}), SUTRA_OK);
    drop_store(store);
    return shown.digest;
}

static uint64_t digest_now(struct place *place)
{
    struct shown shown = {0};
    CHECK_EQ(store_shows(place->store, &shown), SUTRA_OK);
    return shown.digest;
}

static int count_name(void *context, const char *name)
{
    (void)name;
    ++*(size_t *)context;
    return 0;
}

static size_t count_files(const struct place *place, const char *path)
{
    size_t count = 0;
    CHECK_EQ(place->io->list(place->io->context, path, count_name, &count), 0);
    return count;
}

/* ---- readers that follow */

static void check_same(struct place *writer, struct sutra_store *reader, bool expected)
{
    bool changed = !expected;
    struct shown shown;
    CHECK_EQ(sutra_store_refresh(reader, &changed), SUTRA_OK);
    CHECK_EQ(changed, expected);
    CHECK_EQ(store_shows(reader, &shown), SUTRA_OK);
    CHECK(shown.digest == digest_now(writer));
    CHECK_EQ(shown.lsn, sutra_store_visible_lsn(writer->store));
}

static void following(void)
{
    struct place place;
    struct sutra_store *reader;
    bool changed;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_vectors(&place, 0, 20), SUTRA_OK);
    REQUIRE(open_at(&place, STORE_PATH, SUTRA_STORE_READ, &reader) == SUTRA_OK);
    check_same(&place, reader, false);
    for (unsigned round = 0; round < 40; round++) {
        struct sutra_store_view *view;
        struct shown before, after;
        CHECK_EQ(sutra_store_view_begin(reader, &view), SUTRA_OK);
        CHECK_EQ(view_shows(view, &before), SUTRA_OK);
        CHECK_EQ(put_vectors(&place, 100 + 40 * round, 30), SUTRA_OK);
        CHECK_EQ(link_numbers(&place, 100 + 40 * round, 1), SUTRA_OK);
        const int64_t gone = 100 + 40 * round + 5;
        CHECK_EQ(write_op(&place, ids_op(SUTRA_OP_DELETE, &gone, 1)), SUTRA_OK);
        /* Overtaken by a checkpoint or two, by a compaction, by another writer. */
        if (round % 4 == 1)
            CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
        if (round % 8 == 3) {
            CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
            CHECK_EQ(put_numbers(&place, 5000 + round, 1), SUTRA_OK);
            CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
        }
        if (round % 8 == 5)
            CHECK_EQ(sutra_store_compact(place.store), SUTRA_OK);
        if (round % 8 == 7)
            CHECK_EQ(place_reopen(&place), SUTRA_OK);
        check_same(&place, reader, true);
        CHECK_EQ(view_shows(view, &after), SUTRA_OK);
        CHECK_EQ(after.live, before.live);
        CHECK_EQ(after.lsn, before.lsn);
        sutra_store_view_end(view);
    }
    CHECK_EQ(sutra_store_verify(reader, true, NULL, &place.fault), SUTRA_OK);
    /* A writer has nothing to follow. */
    CHECK_EQ(sutra_store_refresh(place.store, &changed), SUTRA_OK);
    CHECK(!changed);
    drop_store(reader);
    place_deinit(&place);
}

/* What is written and not acknowledged is not seen by readers either. */
static void only_acknowledged(void)
{
    struct place place;
    struct sutra_store *reader, *late;
    struct shown shown;
    bool changed;
    uint64_t lsn;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_numbers(&place, 0, 3), SUTRA_OK);
    REQUIRE(open_at(&place, STORE_PATH, SUTRA_STORE_READ, &reader) == SUTRA_OK);
    const int64_t id = 9;
    struct sutra_op op = put_op(&id, 1);
    CHECK_EQ(sutra_store_write(place.store, &op, 1, false, &lsn, &place.fault), SUTRA_OK);
    CHECK_EQ(sutra_store_refresh(reader, &changed), SUTRA_OK);
    CHECK(!changed);
    REQUIRE(open_at(&place, STORE_PATH, SUTRA_STORE_READ, &late) == SUTRA_OK);
    CHECK_EQ(store_shows(late, &shown), SUTRA_OK);
    CHECK_EQ(shown.live, 3);
    CHECK_EQ(sutra_store_flush(place.store), SUTRA_OK);
    check_same(&place, reader, true);
    check_same(&place, late, true);
    drop_store(late);
    drop_store(reader);
    place_deinit(&place);
}

/* ---- snapshots */

static void snapshots(void)
{
    struct place place;
    struct sutra_store *copy;
    struct sutra_store_stats stats;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_vectors(&place, 0, 600), SUTRA_OK);
    CHECK_EQ(sutra_store_settle(place.store), SUTRA_OK);
    CHECK_EQ(sutra_store_snapshot(place.store, SNAPSHOT_PATH), SUTRA_OK);
    const uint64_t first = digest_now(&place);
    CHECK(first != 0 && digest_at(&place, SNAPSHOT_PATH) == first);
    /* What comes later is not in it, and what becomes of the store does not matter. */
    CHECK_EQ(put_vectors(&place, 1000, 50), SUTRA_OK);
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    CHECK_EQ(sutra_store_compact(place.store), SUTRA_OK);
    CHECK(digest_at(&place, SNAPSHOT_PATH) == first);
    /* Renewed in place, again and again; nothing piles up. */
    for (int64_t round = 0; round < 30; round++) {
        CHECK_EQ(put_vectors(&place, 2000 + 20 * round, 10), SUTRA_OK);
        CHECK_EQ(sutra_store_snapshot(place.store, SNAPSHOT_PATH), SUTRA_OK);
        CHECK(digest_at(&place, SNAPSHOT_PATH) == digest_now(&place));
    }
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK(count_files(&place, SNAPSHOT_PATH) <= stats.segments + 2); /* SUTRA and a manifest */
    /* It is a store like any other, once its own way is gone it is no snapshot any more. */
    REQUIRE(open_at(&place, SNAPSHOT_PATH, SUTRA_STORE_APPEND, &copy) == SUTRA_OK);
    struct place other = {.store = copy};
    CHECK_EQ(put_numbers(&other, 90000, 3), SUTRA_OK);
    drop_store(copy);
    CHECK_EQ(sutra_store_snapshot(place.store, SNAPSHOT_PATH), EEXIST);
    CHECK(digest_at(&place, SNAPSHOT_PATH) != digest_now(&place));
    CHECK_EQ(sutra_store_verify(place.store, true, NULL, &place.fault), SUTRA_OK);
    place_deinit(&place);
}

static void refused_snapshots(void)
{
    struct place place;
    struct sutra_store *other;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_numbers(&place, 0, 5), SUTRA_OK);
    CHECK_EQ(place.io->make_directory(place.io->context, "/full"), 0);
    CHECK_EQ(sutra_simulated_put(place.fs, "/full/letter", "dear", 4), 0);
    CHECK_EQ(sutra_store_snapshot(place.store, "/full"), ENOTEMPTY);
    REQUIRE(open_at(&place, "/other", SUTRA_STORE_APPEND, &other) == SUTRA_OK);
    CHECK_EQ(sutra_store_close(other), SUTRA_OK);
    sutra_store_free(other);
    CHECK_EQ(sutra_store_snapshot(place.store, "/other"), EEXIST);
    CHECK_EQ(sutra_store_snapshot(place.store, STORE_PATH), EEXIST); /* into itself */
    CHECK_EQ(sutra_store_snapshot(place.store, "/no/such"), ENOENT);
    CHECK_EQ(put_numbers(&place, 5, 5), SUTRA_OK);
    CHECK_EQ(count_files(&place, "/full"), 1);
    CHECK(digest_at(&place, STORE_PATH) == digest_now(&place));
    place_deinit(&place);
}

/* ---- bringing one back */

static void restoring(void)
{
    struct place place;
    struct sutra_fault fault;
    char file[SUTRA_STORE_NAME_BYTES];
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_vectors(&place, 0, 100), SUTRA_OK);
    CHECK_EQ(sutra_store_snapshot(place.store, SNAPSHOT_PATH), SUTRA_OK);
    const uint64_t digest = digest_now(&place);
    const struct sutra_kernels *kernels = test_kernels();
    CHECK_EQ(sutra_store_restore(place.io, kernels, SNAPSHOT_PATH, STORE_PATH, file, &fault),
             EEXIST);
    CHECK_EQ(sutra_store_restore(place.io, kernels, "/no/such", RESTORED_PATH, file, &fault),
             ENOENT);
    CHECK_EQ(place.io->make_directory(place.io->context, "/empty"), 0);
    CHECK_EQ(sutra_store_restore(place.io, kernels, "/empty", RESTORED_PATH, file, &fault),
             SUTRA_E_NOT_STORE);
    CHECK_EQ(sutra_store_restore(place.io, kernels, SNAPSHOT_PATH, RESTORED_PATH, file, &fault),
             SUTRA_OK);
    CHECK(digest_at(&place, RESTORED_PATH) == digest);
    /* A store that is closed can be copied so too, log and all. */
    CHECK_EQ(put_numbers(&place, 500, 7), SUTRA_OK);
    const uint64_t later = digest_now(&place);
    CHECK_EQ(place_close(&place), SUTRA_OK);
    CHECK_EQ(sutra_store_restore(place.io, kernels, STORE_PATH, "/second", NULL, &fault), SUTRA_OK);
    CHECK(digest_at(&place, "/second") == later);
    place_deinit(&place);
}

/* Everything is checked on the way, and nothing is left of what does not hold. */
static void restoring_damaged(void)
{
    struct place place;
    struct sutra_fault fault;
    struct sutra_store *store;
    char file[SUTRA_STORE_NAME_BYTES];
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_vectors(&place, 0, 100), SUTRA_OK);
    CHECK_EQ(sutra_store_snapshot(place.store, SNAPSHOT_PATH), SUTRA_OK);
    struct sutra_store_stats stats;
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    /* A byte of the newest segment. */
    char path[64];
    size_t bytes = 0;
    uint8_t *data = NULL;
    for (unsigned number = 99; data == NULL && number > 0; number--) {
        (void)snprintf(path, sizeof path, SNAPSHOT_PATH "/%08u.seg", number);
        data = sutra_simulated_contents(place.fs, path, &bytes);
    }
    REQUIRE(data != NULL && bytes > 5000);
    data[bytes - 600] ^= 1;
    const int status =
        sutra_store_restore(place.io, test_kernels(), SNAPSHOT_PATH, RESTORED_PATH, file, &fault);
    CHECK_EQ(status, SUTRA_E_CORRUPT);
    CHECK(strstr(path, file) != NULL && file[0] != '\0' && fault.what != NULL);
    CHECK_EQ(open_at(&place, RESTORED_PATH, SUTRA_STORE_READ, &store), ENOENT);
    CHECK_EQ(place.io->make_directory(place.io->context, RESTORED_PATH), 0); /* it is not there */
    place_deinit(&place);
}

/* Any call of the file system may fail, and power may be cut anywhere: the target is a whole store
 * or none. */
static void restoring_with_faults(void)
{
    struct place place;
    struct sutra_faulty faulty;
    struct sutra_fault fault;
    uint64_t calls = 1;
    size_t made = 0, refused = 0;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_vectors(&place, 0, 60), SUTRA_OK);
    CHECK_EQ(sutra_store_snapshot(place.store, SNAPSHOT_PATH), SUTRA_OK);
    CHECK_EQ(put_numbers(&place, 100, 3), SUTRA_OK);
    const uint64_t digest = digest_now(&place);
    CHECK_EQ(place_close(&place), SUTRA_OK);
    for (uint64_t at = 0; at <= calls; at += at == 0 || tests_divisor() == 1 ? 1 : 5) {
        struct place copy = {.options = place.options};
        REQUIRE(sutra_simulated_crash(place.fs, sutra_simulated_operations(place.fs),
                                      SUTRA_CRASH_KEEP_ALL, 0, 0, &copy.fs) == SUTRA_OK);
        copy.io = sutra_simulated_io(copy.fs);
        sutra_faulty_init(&faulty, copy.io);
        faulty.fail_at = at;
        const int status = sutra_store_restore(&faulty.io, test_kernels(), STORE_PATH,
                                               RESTORED_PATH, NULL, &fault);
        if (at == 0) {
            calls = faulty.calls;
            CHECK_EQ(status, SUTRA_OK);
        }
        for (int policy = SUTRA_CRASH_LOSE_ALL; policy <= SUTRA_CRASH_KEEP_ALL; policy++) {
            struct place cut = {.options = place.options};
            struct sutra_store *store;
            REQUIRE(sutra_simulated_crash(copy.fs, sutra_simulated_operations(copy.fs), policy, 0,
                                          0, &cut.fs) == SUTRA_OK);
            cut.io = sutra_simulated_io(cut.fs);
            const int opened = open_at(&cut, RESTORED_PATH, SUTRA_STORE_READ, &store);
            drop_store(store);
            CHECK(opened == SUTRA_OK || opened == ENOENT);
            CHECK(status != SUTRA_OK || opened == SUTRA_OK);
            if (opened == SUTRA_OK)
                CHECK(digest_at(&cut, RESTORED_PATH) == digest);
            made += opened == SUTRA_OK;
            refused += opened != SUTRA_OK;
            /* The next try is not in the way of what the last one has left. */
            if (opened != SUTRA_OK) {
                CHECK_EQ(sutra_store_restore(cut.io, test_kernels(), STORE_PATH, RESTORED_PATH,
                                             NULL, &fault),
                         SUTRA_OK);
                CHECK(digest_at(&cut, RESTORED_PATH) == digest);
            }
            place_deinit(&cut);
        }
        place_deinit(&copy);
    }
    CHECK(made > 0 && refused > 0 && calls > 20);
    place_deinit(&place);
}

/* ---- saving what is left */

static void repairing(void)
{
    struct prepared prepared = prepare(3, SUTRA_SYNC_FULL, 60);
    const struct place place = {.options = prepared.job->options,
                                .io = sutra_simulated_io(prepared.fs)};
    struct sutra_repair_report report;
    struct sutra_fault fault;
    char file[SUTRA_STORE_NAME_BYTES];
    const struct sutra_kernels *kernels = test_kernels();
    REQUIRE(prepared.job->wrong == 0);
    CHECK_EQ(sutra_store_repair(place.io, kernels, STORE_PATH, "/saved", &report, file, &fault),
             SUTRA_OK);
    CHECK(digest_at(&place, "/saved") == digest_at(&place, STORE_PATH));
    CHECK(report.concepts == prepared.job->model->live && report.lost_concepts == 0 &&
          report.damaged_blocks == 0 && !report.log_cut && !report.older_manifest);
    CHECK_EQ(report.associations, prepared.job->model->edge_count);
    CHECK_EQ(sutra_store_repair(place.io, kernels, STORE_PATH, "/saved", &report, file, &fault),
             EEXIST);
    CHECK_EQ(place.io->make_directory(place.io->context, "/empty"), 0);
    CHECK(sutra_store_repair(place.io, kernels, "/empty", "/other", &report, file, &fault) !=
          SUTRA_OK);
    prepared_free(&prepared);
}

static int damage_file(void *context, const char *path)
{
    struct random_damage {
        struct sutra_simulated *fs;
        uint64_t drawn;
    } *damage = context;
    char name[80];
    size_t bytes;
    (void)snprintf(name, sizeof name, "/%.60s", path);
    uint8_t *data = sutra_simulated_contents(damage->fs, name, &bytes);
    damage->drawn = sutra_mix64(damage->drawn);
    if (data == NULL || bytes == 0 || strncmp(path, &STORE_PATH[1], 2) != 0 || damage->drawn % 4)
        return 0;
    for (unsigned j = 0; j < 4; j++)
        data[sutra_random_at(damage->drawn, j) % bytes] ^= (uint8_t)(1u << j);
    return 0;
}

/* Whatever is wrong, what is saved is a sound store, and the damaged one is left as it is. */
static void repairing_damaged(void)
{
    struct prepared prepared = prepare(4, SUTRA_SYNC_FULL, 60);
    size_t saved = 0, lossy = 0;
    for (uint64_t turn = 0; turn < 200 / tests_divisor() * (tests_are_slow() ? 20 : 1) + 5;
         turn++) {
        struct place place = {.options = prepared.job->options, .fs = prepared_disk(&prepared)};
        struct sutra_repair_report report;
        struct sutra_fault fault;
        struct sutra_store *store;
        struct {
            struct sutra_simulated *fs;
            uint64_t drawn;
        } damage = {place.fs, turn + 1000};
        place.io = sutra_simulated_io(place.fs);
        (void)sutra_simulated_each(place.fs, damage_file, &damage);
        const int status = sutra_store_repair(place.io, test_kernels(), STORE_PATH, "/saved",
                                              &report, NULL, &fault);
        if (status == SUTRA_OK) {
            saved++;
            lossy += report.damaged_blocks || report.lost_concepts || report.log_cut;
            REQUIRE(open_at(&place, "/saved", SUTRA_STORE_APPEND, &store) == SUTRA_OK);
            const int verified = sutra_store_verify(store, true, NULL, &fault);
            CHECK_EQ(verified, SUTRA_OK);
            if (verified != SUTRA_OK)
                (void)fprintf(stderr, "turn %llu: %s %lld\n", (unsigned long long)turn, fault.what,
                              (long long)fault.row);
            struct place copy = {.store = store};
            CHECK_EQ(count_now(&copy), report.concepts);
            CHECK_EQ(put_numbers(&copy, 1000000, 1), SUTRA_OK);
            drop_store(store);
        } else {
            CHECK(status == SUTRA_E_CORRUPT || status == SUTRA_E_TRUNCATED ||
                  status == SUTRA_E_VERSION || status == SUTRA_E_NOT_STORE);
            CHECK_EQ(open_at(&place, "/saved", SUTRA_STORE_READ, &store), ENOENT);
        }
        place_deinit(&place);
    }
    CHECK(saved > 0 && (lossy > 0 || tests_divisor() > 1));
    prepared_free(&prepared);
}

CHECK_MAIN(CASE(following), CASE(only_acknowledged), CASE(snapshots), CASE(refused_snapshots),
           CASE(restoring), CASE(restoring_damaged), CASE(restoring_with_faults), CASE(repairing),
           CASE(repairing_damaged))
