/* What a power cut leaves: every policy, torn sectors, names and contents apart, records.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>

#include "simulated_cases.h"

/* ---- contents */

static void synced_or_lost(void)
{
    struct sutra_simulated *fs = new_recorded();
    put(fs, "/f", "durable");
    CHECK_EQ(in_flight_now(fs), 0);
    int fd = open_file(fs, "/f");
    write_at(fs, fd, 0, "changed");
    CHECK_EQ(in_flight_now(fs), 1);
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/f", "durable"));
    AFTER(fs, SUTRA_CRASH_KEEP_ALL, 0, holds(left, "/f", "changed"));
    AFTER(fs, SUTRA_CRASH_LOSE_ONE, 0, holds(left, "/f", "durable"));
    AFTER(fs, SUTRA_CRASH_KEEP_ONE, 0, holds(left, "/f", "changed"));
    /* No such thing in flight: none is lost, none is kept. */
    AFTER(fs, SUTRA_CRASH_LOSE_ONE, 1, holds(left, "/f", "changed"));
    AFTER(fs, SUTRA_CRASH_KEEP_ONE, 1, holds(left, "/f", "durable"));
    AFTER(fs, SUTRA_CRASH_TEAR_ONE, UINT64_MAX, holds(left, "/f", "changed"));
    sync_fd(fs, fd);
    CHECK_EQ(in_flight_now(fs), 0);
    for (int policy = SUTRA_CRASH_LOSE_ALL; policy <= SUTRA_CRASH_SUBSET; policy++)
        AFTER(fs, policy, 0, holds(left, "/f", "changed"));
    /* The file system itself never noticed. */
    CHECK(holds(fs, "/f", "changed"));
    CALL(sutra_simulated_io(fs), close, fd);
    sutra_simulated_free(fs);
}

static void writes_one_by_one(void)
{
    struct sutra_simulated *fs = new_recorded();
    put(fs, "/f", "........");
    int fd = open_file(fs, "/f");
    write_at(fs, fd, 0, "AAAA");
    write_at(fs, fd, 2, "BBBB");
    write_at(fs, fd, 4, "CCCC");
    CHECK_EQ(in_flight_now(fs), 3);
    static const char *const lost[] = {"..BBCCCC", "AAAACCCC", "AABBBB.."};
    static const char *const kept[] = {"AAAA....", "..BBBB..", "....CCCC"};
    for (uint64_t i = 0; i < 3; i++) {
        AFTER(fs, SUTRA_CRASH_LOSE_ONE, i, holds(left, "/f", lost[i]));
        AFTER(fs, SUTRA_CRASH_KEEP_ONE, i, holds(left, "/f", kept[i]));
    }
    AFTER(fs, SUTRA_CRASH_KEEP_ALL, 0, holds(left, "/f", "AABBCCCC"));
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/f", "........"));
    /* A sync of another file is none of this one's. */
    put(fs, "/g", "x");
    CHECK_EQ(in_flight_now(fs), 3);
    sutra_simulated_free(fs);
}

/* A write that makes the file longer is two things. */
static void size_and_data_apart(void)
{
    struct sutra_simulated *fs = new_recorded();
    put(fs, "/f", "abcd");
    int fd = open_file(fs, "/f");
    write_at(fs, fd, 2, "WXYZ");
    CHECK_EQ(in_flight_now(fs), 2);
    AFTER(fs, SUTRA_CRASH_KEEP_ALL, 0, holds(left, "/f", "abWXYZ"));
    AFTER(fs, SUTRA_CRASH_KEEP_ONE, 0, holds_bytes(left, "/f", "abcd\0\0", 6));
    AFTER(fs, SUTRA_CRASH_KEEP_ONE, 1, holds(left, "/f", "abWX"));
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/f", "abcd"));

    /* Allocating is a size without data, and cutting one that takes data away. */
    sync_fd(fs, fd);
    CHECK_EQ(CALL(sutra_simulated_io(fs), allocate, fd, 0, 8), 0);
    CHECK_EQ(in_flight_now(fs), 1);
    AFTER(fs, SUTRA_CRASH_KEEP_ALL, 0, holds_bytes(left, "/f", "abWXYZ\0\0", 8));
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/f", "abWXYZ"));
    write_at(fs, fd, 6, "12"); /* within the size: data alone */
    CHECK_EQ(in_flight_now(fs), 2);
    AFTER(fs, SUTRA_CRASH_LOSE_ONE, 0, holds(left, "/f", "abWXYZ"));
    AFTER(fs, SUTRA_CRASH_LOSE_ONE, 1, holds_bytes(left, "/f", "abWXYZ\0\0", 8));
    sync_fd(fs, fd);
    CHECK_EQ(CALL(sutra_simulated_io(fs), truncate, fd, 3), 0);
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/f", "abWXYZ12"));
    AFTER(fs, SUTRA_CRASH_KEEP_ALL, 0, holds(left, "/f", "abW"));
    /* Neither a truncation nor an allocation to the same size is in flight. */
    CHECK_EQ(CALL(sutra_simulated_io(fs), truncate, fd, 3), 0);
    CHECK_EQ(CALL(sutra_simulated_io(fs), allocate, fd, 0, 3), 0);
    CHECK_EQ(in_flight_now(fs), 1);
    sutra_simulated_free(fs);
}

/* Sectors of the file, not of the write; some old, some new, none half. */
static void torn_sectors(void)
{
    enum { BYTES = 4096, SECTOR = 512, BEGIN = 100, END = 3000, SECTORS = (END - 1) / SECTOR + 1 };
    struct sutra_simulated *fs = new_recorded();
    char old[BYTES], new[BYTES];
    memset(old, 'o', sizeof old);
    memset(new, 'n', sizeof new);
    CHECK_EQ(sutra_simulated_put(fs, "/f", old, BYTES), 0);
    int fd = open_file(fs, "/f");
    struct sutra_span span = {new, END - BEGIN};
    CHECK_EQ(sutra_io_write_all(sutra_simulated_io(fs), fd, BEGIN, &span, 1), 0);
    uint64_t now = sutra_simulated_operations(fs);
    unsigned patterns[1 << SECTORS] = {0}, different = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct sutra_simulated *crashed = crash_at(fs, now, SUTRA_CRASH_TEAR_ONE, 0, seed);
        size_t bytes;
        const uint8_t *data = sutra_simulated_contents(crashed, "/f", &bytes);
        REQUIRE(data != NULL && bytes == BYTES);
        unsigned pattern = 0;
        for (size_t i = 0; i < BYTES; i++) {
            bool is_new = data[i] == 'n';
            CHECK(is_new || data[i] == 'o');
            CHECK(!is_new || (i >= BEGIN && i < END));
            /* All that the write has of a sector has the same fate. */
            size_t first = i / SECTOR * SECTOR < BEGIN ? BEGIN : i / SECTOR * SECTOR;
            CHECK(i < BEGIN || i >= END || data[i] == data[first]);
            if (is_new)
                pattern |= 1u << i / SECTOR;
        }
        CHECK(pattern != 0 && pattern != (1u << SECTORS) - 1);
        different += patterns[pattern]++ == 0;
        CHECK_EQ(digest_of(crashed), digest_after(fs, now, SUTRA_CRASH_TEAR_ONE, 0, seed));
        sutra_simulated_free(crashed);
    }
    CHECK(different > 20);

    /* One sector is written whole or not at all; and only the chosen write is torn. */
    sync_fd(fs, fd);
    write_at(fs, fd, 600, "a small one");
    span.bytes = 2048;
    memset(new, 'N', sizeof new);
    CHECK_EQ(sutra_io_write_all(sutra_simulated_io(fs), fd, 1024, &span, 1), 0);
    now = sutra_simulated_operations(fs);
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sutra_simulated *crashed = crash_at(fs, now, SUTRA_CRASH_TEAR_ONE, 0, seed);
        size_t bytes;
        const uint8_t *data = sutra_simulated_contents(crashed, "/f", &bytes);
        REQUIRE(data != NULL);
        CHECK(data[600] == 'o' || data[600] == 'n');
        CHECK(memchr(data, 's', bytes) == NULL);
        CHECK(memcmp(data + 1024, new, 2048) == 0);
        sutra_simulated_free(crashed);
        crashed = crash_at(fs, now, SUTRA_CRASH_TEAR_ONE, 1, seed);
        data = sutra_simulated_contents(crashed, "/f", &bytes);
        REQUIRE(data != NULL);
        CHECK(memcmp(data + 600, "a small one", 11) == 0);
        CHECK(memcmp(data + 1024, new, 2048) != 0);
        CHECK(memchr(data + 1024, 'N', 2048) != NULL);
        sutra_simulated_free(crashed);
    }
    sutra_simulated_free(fs);
}

/* ---- names */

static void names_and_contents_apart(void)
{
    /* The file synced, its directory not. */
    struct sutra_simulated *fs = new_recorded();
    int fd = open_file(fs, "/f");
    write_at(fs, fd, 0, "text");
    sync_fd(fs, fd);
    CHECK_EQ(in_flight_now(fs), 1);
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, !there(left, "/f"));
    AFTER(fs, SUTRA_CRASH_KEEP_ALL, 0, holds(left, "/f", "text"));
    AFTER(fs, SUTRA_CRASH_KEEP_ONE, 0, holds(left, "/f", "text"));
    sync_names(fs, "/");
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/f", "text"));

    /* The directory synced, the file not. */
    fd = open_file(fs, "/g");
    write_at(fs, fd, 0, "text");
    CHECK_EQ(in_flight_now(fs), 3);
    sync_names(fs, "/");
    CHECK_EQ(in_flight_now(fs), 2);
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/g", ""));
    AFTER(fs, SUTRA_CRASH_KEEP_ONE, 0, holds_bytes(left, "/g", "\0\0\0\0", 4));
    AFTER(fs, SUTRA_CRASH_KEEP_ONE, 1, holds(left, "/g", ""));

    /* Neither: the name alone may be what is left. */
    fd = open_file(fs, "/h");
    write_at(fs, fd, 0, "text");
    CHECK_EQ(in_flight_now(fs), 5);
    AFTER(fs, SUTRA_CRASH_KEEP_ONE, 2, holds(left, "/h", ""));
    AFTER(fs, SUTRA_CRASH_KEEP_ONE, 4, !there(left, "/h"));
    AFTER(fs, SUTRA_CRASH_LOSE_ONE, 2, !there(left, "/h"));
    AFTER(fs, SUTRA_CRASH_LOSE_ONE, 2, holds(left, "/g", "text"));
    sutra_simulated_free(fs);
}

static void renames_are_whole(void)
{
    const char *const after[] = {"old", "new"};
    struct sutra_simulated *fs = new_recorded();
    put(fs, "/target", "old");
    put(fs, "/temporary", "new");
    CHECK_EQ(CALL(sutra_simulated_io(fs), rename, "/temporary", "/target"), 0);
    CHECK_EQ(in_flight_now(fs), 1);
    for (int kept = 0; kept < 2; kept++) {
        int policy = kept ? SUTRA_CRASH_KEEP_ALL : SUTRA_CRASH_LOSE_ALL;
        AFTER(fs, policy, 0, holds(left, "/target", after[kept]));
        AFTER(fs, policy, 0, there(left, "/temporary") == !kept);
        policy = kept ? SUTRA_CRASH_KEEP_ONE : SUTRA_CRASH_LOSE_ONE;
        AFTER(fs, policy, 0, holds(left, "/target", after[kept]));
        AFTER(fs, policy, 0, there(left, "/temporary") == !kept);
    }
    AFTER(fs, SUTRA_CRASH_TEAR_ONE, 0, holds(left, "/temporary", "new"));
    sync_names(fs, "/");
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/target", "new"));

    /* The mistake that stores are tested for: renamed before it was synced. */
    int fd = open_file(fs, "/temporary");
    write_at(fs, fd, 0, "newer");
    CHECK_EQ(CALL(sutra_simulated_io(fs), rename, "/temporary", "/target"), 0);
    CHECK_EQ(in_flight_now(fs), 4);
    AFTER(fs, SUTRA_CRASH_KEEP_ONE, 3, holds(left, "/target", ""));
    sync_names(fs, "/");
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/target", ""));
    AFTER(fs, SUTRA_CRASH_KEEP_ALL, 0, holds(left, "/target", "newer"));
    sutra_simulated_free(fs);
}

static void removed_and_linked(void)
{
    struct sutra_simulated *fs = new_recorded();
    const struct sutra_io *io = sutra_simulated_io(fs);
    put(fs, "/a", "a");
    CHECK_EQ(CALL(io, link, "/a", "/b"), 0);
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, !there(left, "/b") && holds(left, "/a", "a"));
    CHECK_EQ(CALL(io, unlink, "/a"), 0);
    CHECK_EQ(in_flight_now(fs), 2);
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, !there(left, "/b") && holds(left, "/a", "a"));
    AFTER(fs, SUTRA_CRASH_KEEP_ALL, 0, holds(left, "/b", "a") && !there(left, "/a"));
    AFTER(fs, SUTRA_CRASH_LOSE_ONE, 0, !there(left, "/b") && !there(left, "/a"));
    AFTER(fs, SUTRA_CRASH_LOSE_ONE, 1, holds(left, "/b", "a") && holds(left, "/a", "a"));
    /* Both names are of one file, in a crash state too. */
    struct sutra_simulated *crashed = crash_now(fs, SUTRA_CRASH_LOSE_ONE, 1);
    int fd = open_file(crashed, "/b");
    write_at(crashed, fd, 0, "B");
    CHECK(holds(crashed, "/a", "B"));
    CHECK(holds(fs, "/b", "a"));
    sutra_simulated_free(crashed);
    sync_names(fs, "/");
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/b", "a") && !there(left, "/a"));

    /* A name that comes back means the new file, or the old, or nothing. */
    CHECK_EQ(CALL(io, unlink, "/b"), 0);
    fd = open_file(fs, "/b");
    write_at(fs, fd, 0, "second");
    sync_fd(fs, fd);
    CHECK_EQ(in_flight_now(fs), 2);
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/b", "a"));
    AFTER(fs, SUTRA_CRASH_KEEP_ONE, 0, !there(left, "/b"));
    AFTER(fs, SUTRA_CRASH_KEEP_ONE, 1, holds(left, "/b", "second"));
    sutra_simulated_free(fs);
}

static void directories(void)
{
    struct sutra_simulated *fs = new_recorded();
    const struct sutra_io *io = sutra_simulated_io(fs);
    CHECK_EQ(CALL(io, make_directory, "/d"), 0);
    put(fs, "/d/f", "x"); /* with its name in /d */
    CHECK_EQ(in_flight_now(fs), 1);
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, !there(left, "/d") && !there(left, "/d/f"));
    AFTER(fs, SUTRA_CRASH_KEEP_ALL, 0, holds(left, "/d/f", "x"));
    sync_names(fs, "/");
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/d/f", "x"));
    /* Syncing one directory is nothing to another, nor to what is below it. */
    (void)open_file(fs, "/d/g");
    sync_names(fs, "/");
    CHECK_EQ(in_flight_now(fs), 1);
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, !there(left, "/d/g"));
    sync_names(fs, "/d");
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/d/g", ""));

    CHECK_EQ(CALL(io, rename, "/d", "/e"), 0);
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, there(left, "/d/f") && !there(left, "/e"));
    AFTER(fs, SUTRA_CRASH_KEEP_ALL, 0, there(left, "/e/f") && !there(left, "/d"));
    CHECK_EQ(CALL(io, unlink, "/e/f"), 0);
    CHECK_EQ(CALL(io, unlink, "/e/g"), 0);
    CHECK_EQ(CALL(io, remove_directory, "/e"), 0);
    CHECK_EQ(in_flight_now(fs), 4);
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/d/f", "x"));
    AFTER(fs, SUTRA_CRASH_KEEP_ALL, 0, !there(left, "/d") && !there(left, "/e"));
    /* The directory gone, what was removed from it before not: nothing is left of it. */
    sync_names(fs, "/");
    CHECK_EQ(in_flight_now(fs), 0);
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, !there(left, "/d") && !there(left, "/e"));

    CHECK_EQ(CALL(io, make_directory, "/x"), 0);
    put(fs, "/x/a", "");
    CHECK_EQ(CALL(io, rename, "/x/a", "/a"), EXDEV);
    CHECK_EQ(CALL(io, make_directory, "/x/.."), EINVAL);
    CHECK_EQ(CALL(io, remove_directory, "/"), EBUSY);
    CHECK(there(fs, "x/a") && there(fs, "//x/./a") && !there(fs, "/x/b"));
    sutra_simulated_free(fs);
}

/* ---- operations and records */

static void operations_are_numbered(void)
{
    struct sutra_simulated *fs = new_fs(1);
    const struct sutra_io *io = sutra_simulated_io(fs);
    uint64_t expected = 0;
    int fd, reader;
    size_t done;
    uint64_t bytes;
    bool locked;
    char data[4];
#define DOES(count, call)                                                                          \
    do {                                                                                           \
        CHECK_EQ(call, 0);                                                                         \
        expected += (count);                                                                       \
        CHECK_EQ(sutra_simulated_operations(fs), expected);                                        \
    } while (0)
    struct sutra_span span = {"abcd", 4};
    DOES(0, 0);
    DOES(1, CALL(io, make_directory, "/d"));
    DOES(1, CALL(io, open, "/d/f", SUTRA_OPEN_CREATE, &fd));
    DOES(0, CALL(io, open, "/d/f", SUTRA_OPEN_CREATE, &reader));
    DOES(1, CALL(io, write, fd, 0, &span, 1, &done));
    DOES(0, CALL(io, write, fd, 0, &span, 0, &done));
    DOES(1, CALL(io, allocate, fd, 0, 10));
    DOES(1, CALL(io, truncate, fd, 5));
    DOES(1, CALL(io, sync, fd));
    DOES(1, CALL(io, sync_directory, "/d"));
    DOES(1, CALL(io, link, "/d/f", "/d/g"));
    DOES(1, CALL(io, rename, "/d/g", "/d/h"));
    DOES(1, CALL(io, unlink, "/d/h"));
    DOES(0, CALL(io, read, fd, 0, data, 4, &done));
    DOES(0, CALL(io, size, fd, &bytes));
    DOES(0, CALL(io, lock, fd));
    DOES(0, CALL(io, is_locked, reader, &locked));
    DOES(0, CALL(io, unlink, "/none") == ENOENT ? 0 : 1);
    DOES(0, CALL(io, remove_directory, "/d") == ENOTEMPTY ? 0 : 1);
    DOES(1, CALL(io, unlink, "/d/f"));
    DOES(1, CALL(io, remove_directory, "/d"));
#undef DOES
    sutra_simulated_free(fs);
}

static void records_begin_and_begin_again(void)
{
    struct sutra_simulated *fs = new_fs(1), *crashed = NULL;
    put(fs, "/f", "one");
    int fd = open_file(fs, "/f");
    write_at(fs, fd, 0, "two");
    /* Without a record the present can be asked for, and nothing else. */
    uint64_t now = sutra_simulated_operations(fs);
    CHECK_EQ(in_flight_now(fs), 1);
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/f", "one"));
    CHECK_EQ(sutra_simulated_crash(fs, now - 1, SUTRA_CRASH_LOSE_ALL, 0, 0, &crashed), EINVAL);
    CHECK(crashed == NULL);
    CHECK_EQ(sutra_simulated_crash(fs, now + 1, SUTRA_CRASH_LOSE_ALL, 0, 0, &crashed), EINVAL);
    CHECK_EQ(sutra_simulated_in_flight(fs, now - 1), 0);

    for (int again = 0; again < 2; again++) {
        CHECK_EQ(sutra_simulated_record(fs), 0);
        now = sutra_simulated_operations(fs);
        write_at(fs, fd, 0, "thr");
        write_at(fs, fd, 0, "for");
        CHECK_EQ(sutra_simulated_operations(fs), now + 2);
        size_t before = again ? 3 : 1;
        for (size_t i = 0; i <= 2; i++)
            CHECK_EQ(sutra_simulated_in_flight(fs, now + i), before + i);
        AFTER(fs, SUTRA_CRASH_KEEP_ONE, 0, holds(left, "/f", "two"));
        crashed = crash_at(fs, now, SUTRA_CRASH_KEEP_ALL, 0, 0);
        REQUIRE(crashed != NULL);
        CHECK(holds(crashed, "/f", again ? "for" : "two"));
        sutra_simulated_free(crashed);
        crashed = crash_at(fs, now + 1, SUTRA_CRASH_KEEP_ALL, 0, 0);
        REQUIRE(crashed != NULL);
        CHECK(holds(crashed, "/f", "thr"));
        sutra_simulated_free(crashed);
        crashed = NULL;
        CHECK_EQ(sutra_simulated_crash(fs, now - 1, SUTRA_CRASH_KEEP_ALL, 0, 0, &crashed), EINVAL);
        CHECK_EQ(sutra_simulated_crash(fs, now + 3, SUTRA_CRASH_KEEP_ALL, 0, 0, &crashed), EINVAL);
        CHECK_EQ(sutra_simulated_crash(fs, UINT64_MAX, 0, 0, 0, &crashed), EINVAL);
        CHECK_EQ(sutra_simulated_crash(fs, now, -1, 0, 0, &crashed), EINVAL);
        CHECK_EQ(sutra_simulated_crash(fs, now, 6, 0, 0, &crashed), EINVAL);
        CHECK(crashed == NULL);
        CHECK_EQ(sutra_simulated_in_flight(fs, now + 3), 0);
    }
    sutra_simulated_free(fs);
}

/* A crash state is a file system of its own: it outlives the first, is worked on, and crashes. */
static void crashes_of_crashes(void)
{
    struct sutra_simulated *fs = new_recorded();
    const struct sutra_io *io = sutra_simulated_io(fs);
    put(fs, "/f", "first");
    int fd = open_file(fs, "/f");
    CHECK_EQ(CALL(io, lock, fd), 0);
    int64_t time = io->now_ns(io->context);
    write_at(fs, fd, 0, "FIRST");
    sutra_simulated_set_capacity(fs, 11);
    struct sutra_simulated *second = crash_now(fs, SUTRA_CRASH_KEEP_ALL, 0);
    REQUIRE(second != NULL);
    CHECK_EQ(sutra_simulated_operations(second), 0);
    sutra_simulated_free(fs);

    io = sutra_simulated_io(second);
    uint64_t bytes;
    CHECK_EQ(CALL(io, size, fd, &bytes), EBADF);
    CHECK(holds(second, "/f", "FIRST"));
    CHECK(io->now_ns(io->context) > time + 1000000000); /* a crash takes a second */
    CHECK_EQ(CALL(io, free_bytes, "/", &bytes), 0);
    CHECK_EQ(bytes, 6);
    fd = open_file(second, "/f");
    CHECK_EQ(CALL(io, lock, fd), 0);
    /* What had survived is on the medium. */
    CHECK_EQ(sutra_simulated_record(second), 0);
    CHECK_EQ(in_flight_now(second), 0);
    (void)open_file(second, "/g");
    write_at(second, fd, 0, "Second");
    AFTER(second, SUTRA_CRASH_LOSE_ALL, 0, holds(left, "/f", "FIRST") && !there(left, "/g"));
    struct sutra_simulated *third = crash_now(second, SUTRA_CRASH_KEEP_ALL, 0);
    REQUIRE(third != NULL);
    CHECK(holds(third, "/f", "Second") && holds(third, "/g", ""));
    put(third, "/f", "third");
    CHECK(holds(second, "/f", "Second"));
    sutra_simulated_free(second);
    CHECK(holds(third, "/f", "third"));
    sutra_simulated_free(third);
}

static void failed_syncs(void)
{
    struct sutra_simulated *fs = new_recorded();
    put(fs, "/f", "old");
    put(fs, "/g", "old");
    int f = open_file(fs, "/f"), g = open_file(fs, "/g");
    write_at(fs, f, 0, "newer");
    write_at(fs, g, 0, "NEW");
    uint64_t before = sutra_simulated_operations(fs);
    CHECK_EQ(sutra_simulated_drop(fs, -1), EBADF);
    CHECK_EQ(sutra_simulated_drop(fs, f), 0);
    CHECK_EQ(sutra_simulated_operations(fs), before + 1);
    CHECK_EQ(sutra_simulated_in_flight(fs, before), 3);
    CHECK_EQ(in_flight_now(fs), 1);
    CHECK(holds(fs, "/f", "newer"));
    sync_fd(fs, f);
    AFTER(fs, SUTRA_CRASH_KEEP_ALL, 0, holds(left, "/f", "old") && holds(left, "/g", "NEW"));
    /* What is written afterwards gets there; what was dropped is a hole. */
    write_at(fs, f, 5, "!");
    sync_fd(fs, f);
    CHECK(holds(fs, "/f", "newer!"));
    AFTER(fs, SUTRA_CRASH_LOSE_ALL, 0, holds_bytes(left, "/f", "old\0\0!", 6));
    sutra_simulated_free(fs);
}

CHECK_MAIN(CASE(synced_or_lost), CASE(writes_one_by_one), CASE(size_and_data_apart),
           CASE(torn_sectors), CASE(names_and_contents_apart), CASE(renames_are_whole),
           CASE(removed_and_linked), CASE(directories), CASE(operations_are_numbered),
           CASE(records_begin_and_begin_again), CASE(crashes_of_crashes), CASE(failed_syncs))
