/* Damaged stores: files with bits flipped, cut, overwritten, missing, twice, or in each other's
 * place. store_image.h says what must come of it. And what closing and compaction leave in them.
 * SUTRA_TEST_SLOW=1 tries far more, among that every bit of a small store; SUTRA_TEST_SEED=N other
 * stores and places.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "io/faulty.h"
#include "store_calls.h"
#include "store_image.h"

/* ---- bits and bytes */

static void flip_bit(struct image *image, struct image_file *file, size_t bit, uint64_t turn,
                     struct tally *tally)
{
    const struct damage damage = {"flipped", file, bit / 8, bit / 8 + 1};
    const uint8_t byte = file->data[bit / 8] ^ (uint8_t)(1u << bit % 8);
    /* A single bit in the marker takes it away, and with it nothing else. */
    try_bytes(image, &damage, &byte, turn, tally);
}

static void flipped_bits(void)
{
    struct image *image = make_image(IMAGE_WHOLE);
    struct tally tally = {0};
    const size_t count = 4000 / tests_divisor() * (tests_are_slow() ? 20 : 1);
    for (size_t turn = 0; turn < count && tally.wrong == 0; turn++) {
        const uint64_t drawn = sutra_random_at(first_seed(), turn);
        struct image_file *file = draw_file(image, drawn);
        if (file->used == 0)
            continue;
        const size_t near = file->used < 8192 ? file->used : 8192;
        const size_t byte = (drawn >> 8) % 4 ? (drawn >> 16) % file->used : (drawn >> 16) % near;
        flip_bit(image, file, byte * 8 + (drawn >> 10) % 8, turn, &tally);
    }
    report("flipped bits", &tally);
    CHECK(tally.refused > 0 && tally.found > 0 && tally.harmless > 0);
    free_image(image);
}

/* Of a very small store; every one where there is time. */
static void flipped_bits_of_small(void)
{
    struct image *image = make_image(IMAGE_SMALL);
    struct tally tally = {0};
    size_t bits = 0;
    for (size_t f = 0; f < image->count; f++)
        bits += image->files[f].used * 8;
    const size_t step = tests_are_slow() ? 1 : bits / (3000 / tests_divisor()) + 1;
    size_t at = 0;
    for (size_t f = 0; f < image->count; f++) {
        struct image_file *file = &image->files[f];
        for (; at < file->used * 8 && tally.wrong == 0; at += step)
            flip_bit(image, file, at, at, &tally);
        at -= file->used * 8 < at ? file->used * 8 : at;
    }
    report("flipped bits of a small store", &tally);
    free_image(image);
}

/* A process that was killed has left no marker: every write is vouched for by the one after it. */
static void flipped_bits_of_killed(void)
{
    struct image *image = make_image(IMAGE_KILLED);
    struct image_file *log = image->last_log;
    struct tally tally = {0};
    const size_t step = 8 * log->used / (1500 / tests_divisor()) + 1;
    for (size_t bit = 0; bit < log->used * 8 && tally.wrong == 0; bit += step)
        flip_bit(image, log, bit, bit, &tally);
    report("flipped bits of a log without a marker", &tally);
    CHECK(tally.refused > 0 && tally.shortened > 0);
    free_image(image);
}

/* Zeros, noise, or bytes of another place. */
static void overwritten_ranges(void)
{
    static uint8_t bytes[1 << 16];
    struct image *image = make_image(IMAGE_WHOLE);
    struct tally tally = {0};
    const size_t count = 2000 / tests_divisor() * (tests_are_slow() ? 20 : 1);
    for (size_t turn = 0; turn < count && tally.wrong == 0; turn++) {
        const uint64_t drawn = sutra_random_at(first_seed() + 1, turn);
        struct image_file *file = draw_file(image, drawn);
        if (file->used == 0)
            continue;
        struct damage damage = {"overwritten", file, (size_t)(drawn >> 16) % file->used, 0};
        size_t length = 1 + (size_t)(drawn >> 40) % ((size_t)1 << ((drawn >> 8) % 14));
        if (length > file->used - damage.from)
            length = file->used - damage.from;
        damage.to = damage.from + length;
        const struct image_file *other = draw_file(image, drawn >> 20);
        const unsigned kind = (unsigned)(drawn >> 12) % 3;
        memset(bytes, 0, length);
        for (size_t j = 0; kind == 1 && j < length; j++)
            bytes[j] = (uint8_t)sutra_random_at(drawn, j);
        if (kind == 2 && other->used > length)
            memcpy(bytes, other->data + (drawn >> 30) % (other->used - length), length);
        try_bytes(image, &damage, bytes, turn, &tally);
    }
    report("overwritten ranges", &tally);
    free_image(image);
}

/* ---- whole files */

static void cut_files(void)
{
    struct image *image = make_image(IMAGE_WHOLE);
    struct tally tally = {0};
    const size_t count = 1000 / tests_divisor() * (tests_are_slow() ? 20 : 1);
    for (size_t turn = 0; turn < count && tally.wrong == 0; turn++) {
        const uint64_t drawn = sutra_random_at(first_seed() + 2, turn);
        struct image_file *file = draw_file(image, drawn);
        if (file->bytes == 0)
            continue;
        const size_t most = file->used + 64 < file->bytes ? file->used + 64 : file->bytes;
        const size_t bytes = (drawn >> 8) % 4 ? (size_t)(drawn >> 16) % most
                                              : (size_t)(drawn >> 16) % (most < 256 ? most : 256);
        const struct damage damage = {"cut", file, bytes, SIZE_MAX};
        struct sutra_simulated *fs = disk_with(image, file->path, file->data, bytes);
        check_damaged(image, fs, &damage, bytes < file->used ? shortest_after(image, &damage) : 0,
                      turn % 4 ? SUTRA_STORE_READ : SUTRA_STORE_APPEND, turn, &tally);
        sutra_simulated_free(fs);
    }
    report("cut files", &tally);
    CHECK(tally.shortened > 0 || tests_divisor() > 1);
    free_image(image);
}

static void missing_files(void)
{
    struct image *image = make_image(IMAGE_WHOLE);
    struct tally tally = {0};
    for (size_t f = 0; f < image->count; f++) {
        struct image_file *file = &image->files[f];
        const struct damage damage = {"missing", file, 0, SIZE_MAX};
        for (int mode = SUTRA_STORE_APPEND; mode <= SUTRA_STORE_READ; mode++) {
            struct sutra_simulated *fs = disk_with(image, file->path, NULL, 0);
            check_damaged(image, fs, &damage, shortest_after(image, &damage), mode, f, &tally);
            sutra_simulated_free(fs);
            /* And another with it. */
            for (size_t g = 0; g < f; g++) {
                const bool last = &image->files[g] == image->last_log || file == image->last_log;
                const struct image_file *log = image->last_log;
                fs = disk_with(image, file->path, NULL, 0);
                const struct sutra_io *io = sutra_simulated_io(fs);
                CHECK_EQ(io->unlink(io->context, image->files[g].path), 0);
                /* Both of the newest logs: what the checkpoint has is left. */
                const uint64_t least = log->number && last ? image->checkpoint_lsn : 0;
                check_damaged(image, fs, &damage, least, mode, g, &tally);
                sutra_simulated_free(fs);
            }
        }
    }
    report("missing files", &tally);
    free_image(image);
}

static void moved_files(void)
{
    struct image *image = make_image(IMAGE_WHOLE);
    struct tally tally = {0};
    for (size_t f = 0; f < image->count; f++) {
        const struct image_file *file = &image->files[f];
        for (size_t g = 0; g < image->count; g++) {
            const struct image_file *other = &image->files[g];
            if (f == g || file->bytes == 0 || other->bytes == 0)
                continue;
            const struct damage damage = {"replaced", file, 0, SIZE_MAX};
            /* Less than a header in the place of the last log: as if it had not been made. */
            const bool gone = (file == image->last_log && other->bytes < 96) ||
                              (other == image->last_log && file->bytes < 96);
            const uint64_t least = gone ? lsn_before(image->last_log, 0) : 0;
            /* One in the other's place, and both in each other's. */
            struct sutra_simulated *fs = disk_with(image, file->path, other->data, other->bytes);
            check_damaged(image, fs, &damage, least, SUTRA_STORE_READ, f, &tally);
            CHECK_EQ(sutra_simulated_put(fs, other->path, file->data, file->bytes), 0);
            check_damaged(image, fs, &damage, least, g % 2 ? SUTRA_STORE_READ : SUTRA_STORE_APPEND,
                          g, &tally);
            sutra_simulated_free(fs);
        }
    }
    report("moved files", &tally);
    CHECK(tally.refused > 0);
    free_image(image);
}

/* A file under another number, beside the one it was or instead of it. */
static void renumbered_files(void)
{
    struct image *image = make_image(IMAGE_WHOLE);
    struct tally tally = {0};
    for (size_t f = 0; f < image->count; f++) {
        const struct image_file *file = &image->files[f];
        char name[SUTRA_STORE_NAME_BYTES], path[96];
        uint64_t number;
        for (int by = -2; by <= 3; by++) {
            name[0] = '\0';
            if (sutra_log_number(file->name, &number))
                sutra_log_name(number + (uint64_t)by, name);
            else if (sutra_segment_number(file->name, &number))
                sutra_segment_name(number + (uint64_t)by, name);
            else if (sutra_manifest_number(file->name, &number))
                sutra_manifest_name(number + (uint64_t)by, name);
            if (by == 0 || name[0] == '\0')
                continue;
            (void)snprintf(path, sizeof path, "%s/%s", STORE_PATH, name);
            const struct damage damage = {"renumbered", file, 0, SIZE_MAX};
            struct sutra_simulated *fs = disk_with(image, path, file->data, file->bytes);
            check_damaged(image, fs, &damage, 0, SUTRA_STORE_READ, f, &tally);
            const struct sutra_io *io = sutra_simulated_io(fs);
            CHECK_EQ(io->unlink(io->context, file->path), 0);
            check_damaged(image, fs, &damage, shortest_after(image, &damage), SUTRA_STORE_READ, f,
                          &tally);
            sutra_simulated_free(fs);
        }
    }
    report("renumbered files", &tally);
    free_image(image);
}

/* ---- what the manifest before is kept for */

static const struct image_file *
newest_file(const struct image *image, bool (*number_of)(const char *name, uint64_t *number_out))
{
    const struct image_file *newest = NULL;
    uint64_t number, most = 0;
    for (size_t f = 0; f < image->count; f++) {
        if (!number_of(image->files[f].name, &number) || number <= most)
            continue;
        most = number;
        newest = &image->files[f];
    }
    return newest;
}

/* The newest manifest does not hold, or what only it names: the one before it, and the logs since,
 * have the same state. */
static void use_older(struct image *image)
{
    const struct image_file *manifest = newest_file(image, sutra_manifest_number);
    const struct image_file *segment = newest_file(image, sutra_segment_number);
    REQUIRE(manifest != NULL && segment != NULL);
    const struct image_file *files[2] = {manifest, segment};
    for (unsigned turn = 0; turn < 12; turn++) {
        const struct image_file *file = files[turn % 2];
        struct sutra_store *store;
        struct sutra_store_stats stats = {0};
        struct sutra_fault fault;
        struct shown shown = {0};
        /* Gone, shorter, or with a bit of its first bytes changed. */
        const unsigned kind = turn / 2 % 3;
        struct sutra_simulated *fs = disk_with(image, file->path, kind ? file->data : NULL,
                                               kind == 1 ? file->bytes / 2 : file->bytes);
        if (kind == 2) {
            size_t bytes;
            sutra_simulated_contents(fs, file->path, &bytes)[turn * 5] ^= 4;
        }
        const int mode = turn < 6 ? SUTRA_STORE_READ : SUTRA_STORE_APPEND;
        CHECK_EQ(open_image(image, fs, mode, turn, &store, NULL, &fault), SUTRA_OK);
        if (store != NULL) {
            CHECK_EQ(store_shows(store, &shown), SUTRA_OK);
            CHECK(shown.digest == image->shown.digest);
            CHECK_EQ(sutra_store_stats(store, &stats), SUTRA_OK);
            /* Where the manifest itself is gone nothing tells that there was one. */
            CHECK(stats.manifest_fallback || (file == manifest && kind == 0));
            CHECK(mode == SUTRA_STORE_READ || sutra_store_checkpoint(store) == SUTRA_OK);
        }
        drop_store(store);
        if (mode == SUTRA_STORE_APPEND) { /* and it is mended by the next checkpoint */
            CHECK_EQ(open_image(image, fs, mode, turn, &store, NULL, &fault), SUTRA_OK);
            if (store != NULL) {
                CHECK_EQ(store_shows(store, &shown), SUTRA_OK);
                CHECK(shown.digest == image->shown.digest);
                CHECK_EQ(sutra_store_verify(store, true, NULL, &fault), SUTRA_OK);
            }
            drop_store(store);
        }
        sutra_simulated_free(fs);
    }
}

static void older_manifest(void)
{
    struct image *image = make_image(IMAGE_WHOLE);
    use_older(image);
    free_image(image);
}

/* The newest manifest names one segment anew, and none of those that the one before it names. */
static void older_segments(void)
{
    struct image *image = make_image(IMAGE_SMALL);
    struct job *job = image->prepared.job;
    struct sutra_store_stats stats = {0};
    size_t most = 0;
    CHECK_EQ(job_open(job), SUTRA_OK);
    for (unsigned round = 0; round < 60 && (most < 2 || stats.segments > 1); round++) {
        job_write_some(job, 2);
        CHECK_EQ(sutra_store_checkpoint(job->store), SUTRA_OK);
        CHECK_EQ(sutra_store_stats(job->store, &stats), SUTRA_OK);
        most = stats.segments > most ? stats.segments : most;
    }
    CHECK(most > 1 && stats.segments == 1);
    job_write_some(job, 5);
    job_close(job);
    CHECK_EQ(job->wrong, 0);
    take_shown(image);
    use_older(image);
    free_image(image);
}

/* The newest segment is gone and the logs too. The manifest before it has an older state, and the
 * newest one tells that there was more. */
static void logs_before_missing(void)
{
    struct image *image = make_image(IMAGE_SMALL);
    struct job *job = image->prepared.job;
    CHECK_EQ(job_open(job), SUTRA_OK);
    job_write_some(job, 5);
    CHECK_EQ(sutra_store_checkpoint(job->store), SUTRA_OK);
    job_close(job);
    CHECK_EQ(job->wrong, 0);
    take_shown(image);
    const struct image_file *segment = newest_file(image, sutra_segment_number);
    REQUIRE(segment != NULL && image->last_log != NULL);
    for (unsigned turn = 0; turn < 4; turn++) {
        struct sutra_store *store;
        struct sutra_fault fault = SUTRA_FAULT_NONE;
        struct sutra_simulated *fs = disk_with(image, segment->path, NULL, 0);
        const struct sutra_io *io = sutra_simulated_io(fs);
        const bool missing = turn % 2 == 1;
        for (size_t f = 0; f < image->count && missing; f++) {
            if (image->files[f].number)
                CHECK_EQ(io->unlink(io->context, image->files[f].path), 0);
        }
        const int mode = turn < 2 ? SUTRA_STORE_READ : SUTRA_STORE_APPEND;
        CHECK_EQ(open_image(image, fs, mode, turn, &store, NULL, &fault),
                 missing ? SUTRA_E_CORRUPT : SUTRA_OK);
        CHECK(!missing || (fault.what != NULL && strcmp(fault.what, "log missing") == 0));
        drop_store(store);
        sutra_simulated_free(fs);
    }
    free_image(image);
}

/* ---- what closing leaves */

/* Whatever a write waits for: a store that closed well is on the disk, and one that could not be
 * synced says so. */
static void closed_is_durable(void)
{
    static const int modes[3] = {SUTRA_SYNC_FULL, SUTRA_SYNC_INTERVAL, SUTRA_SYNC_OFF};
    static const int64_t ids[2] = {1, 2};
    for (unsigned turn = 0; turn < 6; turn++) {
        const struct sutra_store_options options =
            store_options(SUTRA_STORE_APPEND, modes[turn / 2]);
        const bool fails = turn % 2 == 1;
        struct sutra_simulated *fs, *after;
        struct sutra_faulty faulty;
        struct sutra_store *store;
        struct sutra_fault fault;
        struct shown shown = {0};
        uint64_t lsn = 0;
        REQUIRE(sutra_simulated_new(turn, &fs) == SUTRA_OK);
        sutra_faulty_init(&faulty, sutra_simulated_io(fs));
        REQUIRE(open_store(&faulty.io, STORE_PATH, &options, &store) == SUTRA_OK);
        struct sutra_op op = put_op(ids, 2);
        CHECK_EQ(sutra_store_write(store, &op, 1, false, &lsn, &fault), SUTRA_OK);
        CHECK(sutra_store_durable_lsn(store) < lsn);
        faulty.fail_at = fails ? faulty.calls + 1 : 0;
        CHECK_EQ(sutra_store_close(store), fails ? SUTRA_E_DURABILITY : SUTRA_OK);
        sutra_store_free(store);
        REQUIRE(sutra_simulated_crash(fs, sutra_simulated_operations(fs), SUTRA_CRASH_LOSE_ALL, 0,
                                      turn, &after) == SUTRA_OK);
        CHECK_EQ(open_store(sutra_simulated_io(after), STORE_PATH, &options, &store), SUTRA_OK);
        if (store != NULL) {
            CHECK_EQ(store_shows(store, &shown), SUTRA_OK);
            CHECK(shown.live == 2 || (fails && shown.live == 0));
        }
        drop_store(store);
        sutra_simulated_free(after);
        sutra_simulated_free(fs);
    }
}

/* ---- what is gone */

/* How many of the store's files hold these bytes. */
static size_t files_with(struct image *image, const uint8_t *bytes, size_t count)
{
    size_t files = 0;
    take_files(image);
    for (size_t f = 0; f < image->count; f++) {
        const struct image_file *file = &image->files[f];
        bool found = false;
        for (size_t at = 0; at + count <= file->bytes && !found; at++)
            found = memcmp(file->data + at, bytes, count) == 0;
        files += found;
    }
    return files;
}

/* What was deleted before a compaction is in no file after it. */
static void compacted_bytes(void)
{
    static const uint8_t text[] = "these bytes are in no other content of this store";
    static const uint8_t *const contents[1] = {text};
    static const uint32_t content_bytes[1] = {sizeof text};
    static const int64_t id = 1234567;
    struct image *image = make_image(IMAGE_SMALL);
    struct sutra_store *store;
    struct sutra_fault fault;
    uint64_t lsn;
    struct sutra_op put = put_op(&id, 1), gone = ids_op(SUTRA_OP_DELETE, &id, 1);
    put.put.contents = contents;
    put.put.content_bytes = content_bytes;
    REQUIRE(open_image(image, image->prepared.fs, SUTRA_STORE_APPEND, 0, &store, NULL, &fault) ==
            SUTRA_OK);
    CHECK_EQ(sutra_store_write(store, &put, 1, true, &lsn, &fault), SUTRA_OK);
    CHECK_EQ(files_with(image, text, sizeof text), 1); /* a log */
    CHECK_EQ(sutra_store_checkpoint(store), SUTRA_OK);
    CHECK(files_with(image, text, sizeof text) > 0);
    CHECK_EQ(sutra_store_write(store, &gone, 1, true, &lsn, &fault), SUTRA_OK);
    CHECK_EQ(gone.done, 1);
    CHECK_EQ(sutra_store_compact(store), SUTRA_OK);
    CHECK_EQ(files_with(image, text, sizeof text), 0);
    drop_store(store);
    free_image(image);
}

/* ---- files of another history */

/* A copy of the store lived on by itself: the same file numbers and LSNs, other operations; of the
 * same seed the same ones, of the same lengths, but later. */
static struct sutra_simulated *branch(struct image *image, uint64_t seed, int64_t later_ns)
{
    struct sutra_simulated *fs;
    const struct prepared *prepared = &image->prepared;
    if (sutra_simulated_crash(prepared->fs, sutra_simulated_operations(prepared->fs),
                              SUTRA_CRASH_KEEP_ALL, 0, seed + (uint64_t)later_ns, &fs) != SUTRA_OK)
        abort();
    struct job *job = prepared_job(prepared, sutra_simulated_io(fs), fs, seed, SUTRA_SYNC_FULL);
    job->lsn = image->shown.lsn;
    job->work->time_ns += later_ns;
    for (unsigned files = 0; files < 3; files++) {
        CHECK_EQ(job_open(job), SUTRA_OK);
        job_write_some(job, 8);
        job_close(job);
    }
    job_free(job);
    return fs;
}

static void exchange_logs(struct image *image, struct sutra_simulated *one,
                          struct sutra_simulated *other, bool same_lengths)
{
    const uint64_t last = image->last_log->number;
    size_t refused = 0;
    for (uint64_t number = last + 1; number <= last + 2; number++) {
        struct sutra_store *store;
        struct sutra_fault fault;
        char name[SUTRA_STORE_NAME_BYTES], path[96];
        size_t bytes, own_bytes;
        sutra_log_name(number, name);
        (void)snprintf(path, sizeof path, "%s/%s", STORE_PATH, name);
        const uint8_t *data = sutra_simulated_contents(other, path, &bytes);
        uint8_t *own = sutra_simulated_contents(one, path, &own_bytes);
        REQUIRE(data != NULL && own != NULL);
        uint8_t *saved = malloc(own_bytes);
        REQUIRE(saved != NULL);
        memcpy(saved, own, own_bytes);
        size_t at;
        CHECK((walk_log(data, bytes, &at) == walk_log(own, own_bytes, &at)) == same_lengths);
        CHECK_EQ(sutra_simulated_put(one, path, data, bytes), SUTRA_OK);
        refused += open_image(image, one, SUTRA_STORE_READ, number, &store, NULL, &fault) ==
                   SUTRA_E_CORRUPT;
        drop_store(store);
        CHECK_EQ(sutra_simulated_put(one, path, saved, own_bytes), SUTRA_OK);
        free(saved);
        CHECK_EQ(open_image(image, one, SUTRA_STORE_READ, number, &store, NULL, &fault), SUTRA_OK);
        drop_store(store);
    }
    CHECK_EQ(refused, 2);
    sutra_simulated_free(one);
    sutra_simulated_free(other);
}

/* A log of one cannot take the place of the other's: what comes after it knows which was before. */
static void another_history(void)
{
    struct image *image = make_image(IMAGE_WHOLE);
    exchange_logs(image, branch(image, 71, 0), branch(image, 72, 0), false);
    exchange_logs(image, branch(image, 71, 0), branch(image, 71, 1), true);
    free_image(image);
}

CHECK_MAIN(CASE(flipped_bits), CASE(flipped_bits_of_small), CASE(flipped_bits_of_killed),
           CASE(overwritten_ranges), CASE(cut_files), CASE(missing_files), CASE(moved_files),
           CASE(renumbered_files), CASE(older_manifest), CASE(older_segments),
           CASE(logs_before_missing), CASE(closed_is_durable), CASE(compacted_bytes),
           CASE(another_history))
