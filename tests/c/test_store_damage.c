/* Damaged stores: files with bits flipped, cut, overwritten, missing, twice, or in each other's
 * place. store_image.h says what must come of it.
 * SUTRA_TEST_SLOW=1 tries far more, among that every bit of a small store; SUTRA_TEST_SEED=N other
 * stores and places.
 * SPDX-License-Identifier: Apache-2.0
 */
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
    struct image *image = make_image(false);
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
    struct image *image = make_image(true);
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

/* Zeros, noise, or bytes of another place. */
static void overwritten_ranges(void)
{
    static uint8_t bytes[1 << 16];
    struct image *image = make_image(false);
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
    struct image *image = make_image(false);
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
    struct image *image = make_image(false);
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
    struct image *image = make_image(false);
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
    struct image *image = make_image(false);
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

/* The newest manifest does not hold, or what only it names: the one before it, and the logs since,
 * have the same state. */
static void older_manifest(void)
{
    struct image *image = make_image(false);
    struct tally tally = {0};
    uint64_t number, generation = 0, newest_segment = 0;
    const struct image_file *manifest = NULL, *segment = NULL;
    for (size_t f = 0; f < image->count; f++) {
        const struct image_file *file = &image->files[f];
        if (sutra_manifest_number(file->name, &number) && number > generation) {
            generation = number;
            manifest = file;
        } else if (sutra_segment_number(file->name, &number) && number > newest_segment) {
            newest_segment = number;
            segment = file;
        }
    }
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
        tally.tried++;
    }
    free_image(image);
}

/* ---- files of another history */

/* A copy of the store lived on by itself: the same file numbers and LSNs, other operations. */
static struct sutra_simulated *branch(struct image *image, uint64_t seed)
{
    struct sutra_simulated *fs;
    const struct prepared *prepared = &image->prepared;
    if (sutra_simulated_crash(prepared->fs, sutra_simulated_operations(prepared->fs),
                              SUTRA_CRASH_KEEP_ALL, 0, seed, &fs) != SUTRA_OK)
        abort();
    struct job *job = prepared_job(prepared, sutra_simulated_io(fs), fs, seed, SUTRA_SYNC_FULL);
    job->lsn = image->shown.lsn;
    for (unsigned files = 0; files < 3; files++) {
        CHECK_EQ(job_open(job), SUTRA_OK);
        job_write_some(job, 8);
        job_close(job);
    }
    job_free(job);
    return fs;
}

/* A log of one cannot take the place of the other's: what comes after it knows which was before. */
static void another_history(void)
{
    struct image *image = make_image(false);
    struct sutra_simulated *one = branch(image, 71), *other = branch(image, 72);
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
    free_image(image);
}

CHECK_MAIN(CASE(flipped_bits), CASE(flipped_bits_of_small), CASE(overwritten_ranges),
           CASE(cut_files), CASE(missing_files), CASE(moved_files), CASE(renumbered_files),
           CASE(older_manifest), CASE(another_history))
