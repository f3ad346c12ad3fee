/* The simulated file system at work: random work compared with what was seen while it was done,
 * determinism, a full disk, damaged files, threads.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/prng.h"
#include "simulated_cases.h"

/* ---- determinism and random work */

#define NAMES 6

/* The directory is called "d" too: names of files and directories get in each other's way. */
static void random_step(struct sutra_simulated *fs, uint64_t seed, uint64_t step)
{
    const struct sutra_io *io = sutra_simulated_io(fs);
    char path[32], other[32], data[700];
    uint64_t draw = sutra_random_at(seed, step);
    const char *directory = draw >> 8 & 1 ? "/d" : "";
    (void)snprintf(path, sizeof path, "%s/%c", directory, (char)('a' + (draw >> 16) % NAMES));
    (void)snprintf(other, sizeof other, "%s/%c", directory, (char)('a' + (draw >> 24) % NAMES));
    memset(data, (int)('0' + draw % 70), sizeof data);
    struct sutra_span span = {data, (size_t)(draw >> 32) % sizeof data};
    int fd = -1;
    switch (draw % 16) {
    case 0:
        (void)CALL(io, rename, path, other);
        return;
    case 1:
        (void)CALL(io, link, path, other);
        return;
    case 2:
        (void)CALL(io, unlink, path);
        return;
    case 3:
        (void)CALL(io, sync_directory, directory[0] == '\0' ? "/" : directory);
        return;
    case 4:
        if (CALL(io, remove_directory, "/d") != 0)
            (void)CALL(io, make_directory, "/d");
        return;
    default:
        break;
    }
    if (CALL(io, open, path, draw >> 50 & 3 ? SUTRA_OPEN_WRITE : SUTRA_OPEN_CREATE, &fd) != 0)
        return;
    if (draw % 16 < 7)
        (void)CALL(io, truncate, fd, (draw >> 40) % 2000);
    else if (draw % 16 == 7)
        (void)CALL(io, allocate, fd, (draw >> 40) % 2000, 600);
    else if (draw % 16 < 10)
        (void)CALL(io, sync, fd);
    else
        CHECK_EQ(sutra_io_write_all(io, fd, (draw >> 40) % 2000, &span, 1), 0);
    CALL(io, close, fd);
}

static int sync_file(void *context, const char *path)
{
    struct sutra_simulated *fs = context;
    int fd = open_file(fs, path);
    sync_fd(fs, fd);
    CALL(sutra_simulated_io(fs), close, fd);
    return 0;
}

/* Random work; keeping all that is in flight must give what was seen at every operation, and
 * losing everything after all was synced too. */
static void random_work(void)
{
    enum { STEPS = 600, SEEDS = 8 };
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sutra_simulated *fs = new_fs(seed);
        REQUIRE(fs != NULL);
        uint64_t step = 0;
        for (; step < seed * 20; step++) /* some of it before the record */
            random_step(fs, seed, step);
        CHECK_EQ(sutra_simulated_record(fs), 0);
        uint64_t first = sutra_simulated_operations(fs);
        uint32_t *seen = calloc(2 * STEPS + 1, sizeof *seen);
        REQUIRE(seen != NULL);
        seen[0] = digest_of(fs);
        for (; step < STEPS; step++) {
            uint64_t before = sutra_simulated_operations(fs);
            random_step(fs, seed, step);
            /* A step may make a file, then change it: only its end was seen. */
            if (sutra_simulated_operations(fs) > before + 1)
                seen[before + 1 - first] = 0;
            if (sutra_simulated_operations(fs) > before)
                seen[sutra_simulated_operations(fs) - first] = digest_of(fs);
        }
        uint64_t last = sutra_simulated_operations(fs);
        CHECK(last - first > STEPS / 8);
        uint64_t compared = 0;
        for (uint64_t at = first; at <= last; at++)
            if (seen[at - first] != 0) {
                CHECK_EQ(digest_after(fs, at, SUTRA_CRASH_KEEP_ALL, 0, 0), seen[at - first]);
                compared++;
            }
        CHECK(compared > (last - first) / 2);
        /* Every policy gives the same whether operations come in rising order or in falling. */
        uint32_t rising = 0, falling = 0;
        for (int pass = 0; pass < 2; pass++)
            for (uint64_t i = 0; i <= 40; i++) {
                uint64_t at = first + (last - first) * (pass == 0 ? i : 40 - i) / 40;
                uint32_t *sum = pass == 0 ? &rising : &falling;
                size_t count = sutra_simulated_in_flight(fs, at);
                for (int policy = SUTRA_CRASH_LOSE_ALL; policy <= SUTRA_CRASH_SUBSET; policy++)
                    *sum += digest_after(fs, at, policy, count / 2, at) * (uint32_t)(at + 1);
            }
        CHECK_EQ(rising, falling);

        CHECK_EQ(sutra_simulated_each(fs, sync_file, fs), 0);
        for (char name = 'a'; name < 'a' + NAMES; name++) {
            char path[4] = {'/', name, '\0'};
            (void)CALL(sutra_simulated_io(fs), sync_directory, path);
        }
        sync_names(fs, "/");
        CHECK_EQ(in_flight_now(fs), 0);
        AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, digest_of(left) == digest_of(fs));
        free(seen);
        sutra_simulated_free(fs);
    }
}

/* A random subset: the same for the same seed, of all kinds over seeds. */
static void subsets(void)
{
    struct sutra_simulated *fs = new_recorded();
    put(fs, "/f", "");
    int fd = open_file(fs, "/f");
    CHECK_EQ(CALL(sutra_simulated_io(fs), allocate, fd, 0, 64 * 1024), 0);
    sync_fd(fs, fd);
    char data[1024];
    memset(data, 'x', sizeof data);
    struct sutra_span span = {data, sizeof data};
    for (uint64_t i = 0; i < 64; i++)
        CHECK_EQ(sutra_io_write_all(sutra_simulated_io(fs), fd, i * 1024, &span, 1), 0);
    (void)open_file(fs, "/name");
    uint64_t now = sutra_simulated_operations(fs);
    CHECK_EQ(in_flight_now(fs), 65);
    unsigned few = 0, many = 0, named = 0, torn = 0, different = 0;
    uint32_t last = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct sutra_simulated *crashed = crash_at(fs, now, SUTRA_CRASH_SUBSET, 0, seed);
        REQUIRE(crashed != NULL);
        size_t bytes;
        const uint8_t *contents = sutra_simulated_contents(crashed, "/f", &bytes);
        REQUIRE(contents != NULL && bytes == 64 * 1024);
        unsigned sectors = 0;
        for (size_t i = 0; i < 128; i++)
            sectors += contents[i * 512] == 'x';
        for (size_t i = 0; i < 64; i++)
            torn += (contents[i * 1024] == 'x') != (contents[i * 1024 + 512] == 'x');
        few += sectors < 40;
        many += sectors > 88;
        named += there(crashed, "/name");
        uint32_t digest = digest_of(crashed);
        different += digest != last;
        last = digest;
        CHECK_EQ(digest, digest_after(fs, now, SUTRA_CRASH_SUBSET, 7, seed));
        sutra_simulated_free(crashed);
    }
    CHECK_EQ(different, 100);
    CHECK(few > 10 && many > 10);
    CHECK(named > 20 && named < 80);
    CHECK(torn > 500);
    sutra_simulated_free(fs);
}

static void clock_and_chance_are_repeatable(void)
{
    uint8_t random[3][20];
    uint64_t seeds[] = {5, 5, 6};
    int64_t times[3];
    for (size_t i = 0; i < 3; i++) {
        struct sutra_simulated *fs = new_fs(seeds[i]);
        const struct sutra_io *io = sutra_simulated_io(fs);
        CHECK_EQ(CALL(io, random, random[i], 7), 0);
        CHECK_EQ(CALL(io, random, random[i] + 7, 13), 0);
        CHECK(memcmp(random[i], random[i] + 7, 7) != 0);
        times[i] = io->now_ns(io->context);
        CHECK_EQ(io->now_ns(io->context), times[i] + 1000);
        uint64_t uptime = io->monotonic_ns(io->context);
        CHECK_EQ(io->monotonic_ns(io->context), uptime + 1000);
        sutra_simulated_free(fs);
    }
    CHECK(memcmp(random[0], random[1], 20) == 0);
    CHECK(memcmp(random[0], random[2], 20) != 0);
    CHECK(times[0] == times[1] && times[0] == times[2]);
}

/* ---- a full disk */

static uint64_t free_bytes(struct sutra_simulated *fs)
{
    uint64_t bytes = 0;
    CHECK_EQ(CALL(sutra_simulated_io(fs), free_bytes, "/", &bytes), 0);
    return bytes;
}

static void capacity(void)
{
    struct sutra_simulated *fs = new_fs(1);
    const struct sutra_io *io = sutra_simulated_io(fs);
    CHECK_EQ(free_bytes(fs), UINT64_MAX);
    put(fs, "/other", "12345");
    sutra_simulated_set_capacity(fs, 100);
    CHECK_EQ(free_bytes(fs), 95);
    int fd = open_file(fs, "/f");
    char data[200];
    memset(data, 'y', sizeof data);
    struct sutra_span spans[] = {{data, 60}, {data, 60}};
    size_t done = 0;
    CHECK_EQ(CALL(io, write, fd, 0, spans, 1, &done), 0);
    CHECK_EQ(done, 60);
    /* First what fits, then nothing, with nothing changed. */
    CHECK_EQ(CALL(io, write, fd, 50, spans, 2, &done), 0);
    CHECK_EQ(done, 45);
    CHECK_EQ(free_bytes(fs), 0);
    CHECK_EQ(CALL(io, write, fd, 95, spans, 1, &done), ENOSPC);
    CHECK_EQ(done, 0);
    CHECK_EQ(CALL(io, write, fd, 120, spans, 1, &done), ENOSPC);
    CHECK_EQ(sutra_io_write_all(io, fd, 90, spans, 1), ENOSPC);
    CHECK_EQ(CALL(io, allocate, fd, 0, 96), ENOSPC);
    CHECK_EQ(CALL(io, truncate, fd, 96), ENOSPC);
    uint64_t bytes;
    CHECK_EQ(CALL(io, size, fd, &bytes), 0);
    CHECK_EQ(bytes, 95);
    CHECK_EQ(sutra_simulated_put(fs, "/third", "z", 1), ENOSPC);
    CHECK(holds(fs, "/third", ""));
    /* What does not grow is no matter. */
    CHECK_EQ(CALL(io, allocate, fd, 0, 95), 0);
    CHECK_EQ(sutra_io_write_all(io, fd, 0, spans, 1), 0);
    put(fs, "/other", "54321");
    /* A removed file gives its room back when it is closed. */
    CHECK_EQ(CALL(io, truncate, fd, 90), 0);
    CHECK_EQ(free_bytes(fs), 5);
    CHECK_EQ(CALL(io, unlink, "/f"), 0);
    CHECK_EQ(free_bytes(fs), 5);
    CALL(io, close, fd);
    CHECK_EQ(free_bytes(fs), 95);
    CHECK_EQ(CALL(io, rename, "/third", "/other"), 0);
    CHECK_EQ(free_bytes(fs), 100);
    fd = open_file(fs, "/f");
    CHECK_EQ(CALL(io, allocate, fd, 10, 90), 0);
    CHECK_EQ(free_bytes(fs), 0);
    sutra_simulated_set_capacity(fs, 50);
    CHECK_EQ(free_bytes(fs), 0);
    sutra_simulated_set_capacity(fs, UINT64_MAX);
    put(fs, "/more", "more");
    sutra_simulated_free(fs);
}

/* What a crash has lost takes no room after it. */
static void room_after_a_crash(void)
{
    struct sutra_simulated *fs = new_recorded();
    const struct sutra_io *io = sutra_simulated_io(fs);
    sutra_simulated_set_capacity(fs, 100);
    int fd = open_file(fs, "/lost");
    write_at(fs, fd, 0, "1234567890");
    sync_fd(fs, fd);
    CHECK_EQ(CALL(io, make_directory, "/d"), 0);
    put(fs, "/d/f", "12345");
    CHECK_EQ(CALL(io, link, "/d/f", "/f"), 0);
    CHECK_EQ(free_bytes(fs), 85);
    CHECK_EQ(in_flight_now(fs), 3);
    AFTER(fs, SUTRA_CRASH_KEEP_ALL, 0, free_bytes(left) == 85);
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, free_bytes(left) == 100);
    AFTER(fs, SUTRA_CRASH_KEEP_ONE, 0, free_bytes(left) == 90);
    /* A file with two names, one of which went with its directory. */
    struct sutra_simulated *crashed = crash_now(fs, SUTRA_CRASH_KEEP_ONE, 2);
    REQUIRE(crashed != NULL);
    CHECK(holds(crashed, "/f", "12345") && !there(crashed, "/d"));
    CHECK_EQ(free_bytes(crashed), 95);
    CHECK_EQ(CALL(sutra_simulated_io(crashed), unlink, "/f"), 0);
    CHECK_EQ(free_bytes(crashed), 100);
    sutra_simulated_free(crashed);
    sutra_simulated_free(fs);
}

/* ---- what tests use */

static int count_paths(void *context, const char *path)
{
    unsigned *seen = context;
    if (strcmp(path, "a") == 0)
        *seen |= 1;
    else if (strcmp(path, "d/e/f") == 0)
        *seen |= 2;
    else if (strcmp(path, "stop") == 0)
        return 42;
    else
        *seen |= 4;
    return 0;
}

static void damaged_files(void)
{
    struct sutra_simulated *fs = new_recorded();
    const struct sutra_io *io = sutra_simulated_io(fs);
    size_t bytes = 9;
    CHECK(sutra_simulated_contents(fs, "/a", &bytes) == NULL);
    CHECK_EQ(bytes, 0);
    CHECK(sutra_simulated_contents(fs, "/", &bytes) == NULL);
    CHECK(sutra_simulated_contents(fs, "/d/a", &bytes) == NULL);
    CHECK_EQ(sutra_simulated_put(fs, "/d/a", "x", 1), ENOENT);
    put(fs, "/a", "contents");
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/a", "contents"));
    uint8_t *data = sutra_simulated_contents(fs, "/a", &bytes);
    REQUIRE(data != NULL);
    CHECK_EQ(bytes, 8);
    struct sutra_simulated *crashed = crash_now(fs, SUTRA_CRASH_KEEP_ALL, 0);
    REQUIRE(crashed != NULL);
    data[0] = 'C';
    CHECK(holds(fs, "/a", "Contents"));
    CHECK(holds(crashed, "/a", "contents"));
    data = sutra_simulated_contents(crashed, "/a", &bytes);
    REQUIRE(data != NULL);
    data[7] = '!';
    CHECK(holds(crashed, "/a", "content!"));
    CHECK(holds(fs, "/a", "Contents"));
    AFTER(fs, SUTRA_CRASH_KEEP_ALL, 0, holds(left, "/a", "contents"));
    AFTER(crashed, SUTRA_CRASH_KEEP_ALL, 0, holds(left, "/a", "content!") == false);
    sutra_simulated_free(crashed);
    /* Sizes without data read as zeros there too; nothing is something else than no file. */
    int fd = open_file(fs, "/a");
    CHECK_EQ(CALL(io, truncate, fd, 2), 0);
    CHECK_EQ(CALL(io, allocate, fd, 0, 6), 0);
    data = sutra_simulated_contents(fs, "/a", &bytes);
    REQUIRE(data != NULL && bytes == 6);
    CHECK(memcmp(data, "Co\0\0\0\0", 6) == 0);
    put(fs, "/a", "");
    CHECK(sutra_simulated_contents(fs, "/a", &bytes) != NULL);
    CHECK_EQ(bytes, 0);

    CHECK_EQ(CALL(io, make_directory, "/d"), 0);
    CHECK_EQ(CALL(io, make_directory, "/d/e"), 0);
    put(fs, "/d/e/f", "x");
    unsigned seen = 0;
    CHECK_EQ(sutra_simulated_each(fs, count_paths, &seen), 0);
    CHECK_EQ(seen, 3);
    put(fs, "/stop", "");
    CHECK_EQ(sutra_simulated_each(fs, count_paths, &seen), 42);
    /* More than a file may hold. */
    CHECK_EQ(CALL(io, allocate, fd, 0, (uint64_t)1 << 40), 0);
    CHECK(sutra_simulated_contents(fs, "/a", &bytes) == NULL);
    struct sutra_span span = {"x", 1};
    size_t done;
    CHECK_EQ(CALL(io, write, fd, (uint64_t)1 << 32, &span, 1, &done), EFBIG);
    char last = 'x';
    CHECK_EQ(CALL(io, read, fd, ((uint64_t)1 << 40) - 1, &last, 1, &done), 0);
    CHECK(done == 1 && last == 0);
    sutra_simulated_free(fs);
}

/* Removed files leave nothing in flight once the removal is on the medium, open or not. */
static void removed_files_are_forgotten(void)
{
    struct sutra_simulated *fs = new_recorded();
    const struct sutra_io *io = sutra_simulated_io(fs);
    for (int round = 0; round < 3; round++) {
        int fd = open_file(fs, "/f");
        write_at(fs, fd, 0, "text");
        CHECK_EQ(CALL(io, unlink, "/f"), 0);
        CHECK_EQ(in_flight_now(fs), 4);
        sync_names(fs, "/");
        CHECK_EQ(in_flight_now(fs), 0);
        write_at(fs, fd, 0, "more");
        CHECK_EQ(in_flight_now(fs), 0);
        sync_fd(fs, fd);
        CALL(io, close, fd);
        AFTER(fs, SUTRA_CRASH_KEEP_ALL, 0, !there(left, "/f"));
    }
    /* With the directory they were in, never synced. */
    CHECK_EQ(CALL(io, make_directory, "/d"), 0);
    sync_names(fs, "/");
    int fd = open_file(fs, "/d/f");
    write_at(fs, fd, 0, "text");
    CHECK_EQ(CALL(io, unlink, "/d/f"), 0);
    CHECK_EQ(CALL(io, remove_directory, "/d"), 0);
    CHECK_EQ(in_flight_now(fs), 5);
    sync_names(fs, "/");
    CHECK_EQ(in_flight_now(fs), 0);
    sutra_simulated_free(fs);
}

/* Crash states of one file system, used in threads of their own. */
static void *use_crash_state(void *context)
{
    struct sutra_simulated *crashed = context;
    int fd = open_file(crashed, "/f");
    char text[2] = "0";
    for (uint64_t i = 0; i < 200; i++) {
        text[0] = (char)('a' + i % 26);
        write_at(crashed, fd, i % 8, text);
        sync_fd(crashed, fd);
    }
    CALL(sutra_simulated_io(crashed), close, fd);
    sutra_simulated_free(crashed);
    return NULL;
}

static void crash_states_in_threads(void)
{
    struct sutra_simulated *fs = new_recorded();
    put(fs, "/f", "12345678");
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        struct sutra_simulated *crashed = crash_now(fs, SUTRA_CRASH_KEEP_ALL, 0);
        REQUIRE(crashed != NULL);
        REQUIRE(pthread_create(&threads[i], NULL, use_crash_state, crashed) == 0);
    }
    int fd = open_file(fs, "/f");
    write_at(fs, fd, 0, "meanwhile");
    for (size_t i = 0; i < 4; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/f", "12345678"));
    sutra_simulated_free(fs);
}

CHECK_MAIN(CASE(random_work), CASE(subsets), CASE(clock_and_chance_are_repeatable), CASE(capacity),
           CASE(room_after_a_crash), CASE(damaged_files), CASE(removed_files_are_forgotten),
           CASE(crash_states_in_threads))
