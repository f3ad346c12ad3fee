/* The file table: one behaviour, asked of every table.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>

#include "base/memory.h"
#include "base/status.h"
#include "io/faulty.h"
#include "table_cases.h"

/* Run the suite on the system's files, on simulated ones, and through a table that never fails. */
static void on_every_table(void (*suite)(const struct sutra_io *io, const char *directory))
{
    char directory[256];
    REQUIRE(make_directory_here(directory, sizeof directory));
    suite(&sutra_io_posix, directory);
    remove_directory_here(directory);

    struct sutra_simulated *fs;
    REQUIRE(sutra_simulated_new(1, &fs) == 0);
    const struct sutra_io *io = sutra_simulated_io(fs);
    CHECK_EQ(CALL(io, make_directory, "/store"), 0);
    suite(io, "/store");

    struct sutra_faulty faulty;
    sutra_faulty_init(&faulty, io);
    CHECK_EQ(CALL(io, make_directory, "/second"), 0);
    suite(&faulty.io, "/second");
    CHECK(faulty.calls > 0);
    CHECK_EQ(faulty.failed, 0);
    sutra_simulated_free(fs);
}

static void suite_open(const struct sutra_io *io, const char *directory)
{
    CHECK_EQ(open_status(io, IN("a"), SUTRA_OPEN_READ), ENOENT);
    CHECK_EQ(open_status(io, IN("a"), SUTRA_OPEN_WRITE), ENOENT);
    CHECK_EQ(open_status(io, IN("a"), 4), EINVAL);
    CHECK_EQ(open_status(io, IN("a"), -1), EINVAL);
    CHECK_EQ(open_status(io, "", SUTRA_OPEN_CREATE), ENOENT);
    CHECK_EQ(open_status(io, IN("a"), SUTRA_OPEN_CREATE_EXCLUSIVE), 0);
    CHECK_EQ(open_status(io, IN("a"), SUTRA_OPEN_CREATE_EXCLUSIVE), EEXIST);
    make_file(io, IN("a"), "kept");
    CHECK_EQ(open_status(io, IN("a"), SUTRA_OPEN_CREATE), 0);
    CHECK_EQ(open_status(io, IN("a"), SUTRA_OPEN_WRITE), 0);
    CHECK(holds(io, IN("a"), "kept"));
    CHECK_EQ(open_status(io, IN("b"), SUTRA_OPEN_CREATE), 0);
    CHECK(holds(io, IN("b"), ""));

    for (int how = SUTRA_OPEN_READ; how <= SUTRA_OPEN_CREATE; how++)
        CHECK_EQ(open_status(io, directory, how), EISDIR);
    CHECK_EQ(open_status(io, directory, SUTRA_OPEN_CREATE_EXCLUSIVE), EEXIST);
    CHECK_EQ(open_status(io, IN("none/a"), SUTRA_OPEN_CREATE), ENOENT);
    CHECK_EQ(open_status(io, IN("a/b"), SUTRA_OPEN_CREATE), ENOTDIR);
    char longer[300];
    memset(longer, 'x', 256);
    longer[256] = '\0';
    CHECK_EQ(open_status(io, IN(longer), SUTRA_OPEN_CREATE), ENAMETOOLONG);
    longer[255] = '\0';
    CHECK_EQ(open_status(io, IN(longer), SUTRA_OPEN_CREATE), 0);

    /* Both kinds of writing descriptor read; a reading one does not write. */
    int fd = open_file(io, IN("a"), SUTRA_OPEN_WRITE);
    CHECK(reads(io, fd, 0, "kept"));
    CALL(io, close, fd);
    fd = open_file(io, IN("a"), SUTRA_OPEN_READ);
    struct sutra_span span = {"no", 2};
    size_t done = 7;
    CHECK_EQ(CALL(io, write, fd, 0, &span, 1, &done), EBADF);
    CHECK_EQ(done, 0);
    CHECK(CALL(io, truncate, fd, 0) != 0);
    CHECK(CALL(io, allocate, fd, 0, 4096) != 0);
    CALL(io, close, fd);
    CHECK(holds(io, IN("a"), "kept"));
}

static void suite_descriptors(const struct sutra_io *io, const char *directory)
{
    (void)directory;
    uint64_t bytes;
    size_t done;
    bool locked;
    char data[4];
    struct sutra_span span = {data, 0};
    span.bytes = sizeof data;
    memset(data, 0, sizeof data);
    static const int bad[] = {-1, 1000000};
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQ(CALL(io, read, bad[i], 0, data, sizeof data, &done), EBADF);
        CHECK_EQ(CALL(io, write, bad[i], 0, &span, 1, &done), EBADF);
        CHECK_EQ(CALL(io, sync, bad[i]), EBADF);
        CHECK_EQ(CALL(io, allocate, bad[i], 0, 1), EBADF);
        CHECK_EQ(CALL(io, truncate, bad[i], 0), EBADF);
        CHECK_EQ(CALL(io, size, bad[i], &bytes), EBADF);
        CHECK_EQ(CALL(io, lock, bad[i]), EBADF);
        CHECK_EQ(CALL(io, is_locked, bad[i], &locked), EBADF);
        CHECK_EQ(CALL(io, map, bad[i], 0, 0, NULL), EBADF);
        CALL(io, close, bad[i]);
    }
}

static void suite_transfers(const struct sutra_io *io, const char *directory)
{
    int fd = open_file(io, IN("t"), SUTRA_OPEN_CREATE);
    struct sutra_span spans[] = {{"ab", 2}, {NULL, 0}, {"cde", 3}, {"", 0}, {"f", 1}};
    size_t done = 9;
    CHECK_EQ(CALL(io, write, fd, 3, spans, 5, &done), 0);
    CHECK_EQ(done, 6);
    CHECK_EQ(size_of(io, fd), 9);
    char data[16];
    memset(data, 'x', sizeof data);
    CHECK_EQ(CALL(io, read, fd, 0, data, sizeof data, &done), 0);
    CHECK_EQ(done, 9);
    CHECK(memcmp(data, "\0\0\0abcdefxxxxxxx", 16) == 0);
    CHECK_EQ(CALL(io, read, fd, 4, data, 2, &done), 0);
    CHECK_EQ(done, 2);
    CHECK(memcmp(data, "bc", 2) == 0);

    /* The end, what is beyond it, and nothing at all. */
    CHECK_EQ(CALL(io, read, fd, 9, data, 1, &done), 0);
    CHECK_EQ(done, 0);
    CHECK_EQ(CALL(io, read, fd, (uint64_t)1 << 62, data, 1, &done), 0);
    CHECK_EQ(done, 0);
    CHECK_EQ(CALL(io, read, fd, UINT64_MAX, data, 1, &done), 0);
    CHECK_EQ(done, 0);
    CHECK_EQ(CALL(io, read, fd, 0, data, 0, &done), 0);
    CHECK_EQ(done, 0);
    CHECK_EQ(CALL(io, write, fd, 20, spans, 0, &done), 0);
    CHECK_EQ(CALL(io, write, fd, 20, spans + 1, 1, &done), 0);
    CHECK_EQ(done, 0);
    CHECK_EQ(size_of(io, fd), 9);
    CHECK_EQ(CALL(io, write, fd, INT64_MAX - 1, spans, 5, &done), EFBIG);
    CHECK_EQ(CALL(io, write, fd, UINT64_MAX, spans, 5, &done), EFBIG);
    CHECK_EQ(size_of(io, fd), 9);

    CHECK_EQ(sutra_io_read_all(io, fd, 0, data, 9), 0);
    CHECK_EQ(sutra_io_read_all(io, fd, 0, data, 10), SUTRA_E_TRUNCATED);
    CHECK_EQ(sutra_io_read_all(io, fd, UINT64_MAX, data, 10), SUTRA_E_TRUNCATED);
    CHECK_EQ(sutra_io_read_all(io, fd, 100, data, 0), 0);
    CHECK_EQ(sutra_io_write_all(io, fd, UINT64_MAX, spans, 5), EFBIG);
    CHECK_EQ(sutra_io_write_all(io, fd, INT64_MAX - 5, spans, 5), EFBIG);
    CHECK_EQ(sutra_io_write_all(io, fd, 0, NULL, 0), 0);
    CHECK_EQ(size_of(io, fd), 9);

    /* An overwrite changes what it covers, and an overlapping one extends. */
    write_text(io, fd, 4, "XY");
    CHECK(reads(io, fd, 3, "aXYdef"));
    write_text(io, fd, 8, "12345");
    CHECK_EQ(size_of(io, fd), 13);
    CHECK(reads(io, fd, 3, "aXYde12345"));
    CALL(io, close, fd);
}

/* More spans than one call takes, of all sizes from nothing on, and one that is large. */
static void suite_many_spans(const struct sutra_io *io, const char *directory)
{
    enum { SPANS = 333, LARGE = 1 << 20 };
    size_t total = LARGE;
    for (size_t i = 0; i < SPANS; i++)
        total += i % 7 * 11;
    uint8_t *data = malloc(total), *back = calloc(1, total);
    REQUIRE(data != NULL && back != NULL);
    for (size_t i = 0; i < total; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    struct sutra_span spans[SPANS + 1], before[SPANS + 1];
    size_t at = 0;
    for (size_t i = 0; i <= SPANS; i++) {
        size_t bytes = i == 200 ? LARGE : (i < 200 ? i : i - 1) % 7 * 11;
        spans[i] = (struct sutra_span){data + at, bytes};
        at += bytes;
    }
    CHECK_EQ(at, total);
    memcpy(before, spans, sizeof spans);
    int fd = open_file(io, IN("spans"), SUTRA_OPEN_CREATE);
    CHECK_EQ(sutra_io_write_all(io, fd, 5, spans, SPANS + 1), 0);
    CHECK(memcmp(before, spans, sizeof spans) == 0);
    CHECK_EQ(size_of(io, fd), total + 5);
    CHECK_EQ(sutra_io_read_all(io, fd, 5, back, total), 0);
    CHECK(memcmp(data, back, total) == 0);
    CALL(io, close, fd);
    free(data);
    free(back);
}

static void suite_sizes(const struct sutra_io *io, const char *directory)
{
    int fd = open_file(io, IN("s"), SUTRA_OPEN_CREATE);
    write_text(io, fd, 0, "0123456789");
    CHECK_EQ(CALL(io, truncate, fd, 4), 0);
    CHECK_EQ(size_of(io, fd), 4);
    CHECK_EQ(CALL(io, truncate, fd, 8), 0);
    char data[8];
    CHECK_EQ(sutra_io_read_all(io, fd, 0, data, 8), 0);
    CHECK(memcmp(data, "0123\0\0\0\0", 8) == 0);
    /* A write past what was cut off does not bring it back either. */
    CHECK_EQ(CALL(io, truncate, fd, 2), 0);
    write_text(io, fd, 6, "zz");
    CHECK_EQ(sutra_io_read_all(io, fd, 0, data, 8), 0);
    CHECK(memcmp(data, "01\0\0\0\0zz", 8) == 0);
    CHECK_EQ(CALL(io, truncate, fd, (uint64_t)INT64_MAX + 1), EFBIG);
    CHECK_EQ(size_of(io, fd), 8);

    int status = CALL(io, allocate, fd, 4, 100000);
    CHECK(status == 0 || status == ENOTSUP);
    if (status == 0) {
        CHECK_EQ(size_of(io, fd), 100004);
        CHECK_EQ(sutra_io_read_all(io, fd, 0, data, 8), 0);
        CHECK(memcmp(data, "01\0\0\0\0zz", 8) == 0);
        CHECK_EQ(sutra_io_read_all(io, fd, 99996, data, 8), 0);
        CHECK(memcmp(data, "\0\0\0\0\0\0\0\0", 8) == 0);
        CHECK_EQ(CALL(io, allocate, fd, 0, 10), 0);
        CHECK_EQ(size_of(io, fd), 100004);
        CHECK_EQ(CALL(io, allocate, fd, 500000, 0), 0);
        CHECK_EQ(size_of(io, fd), 100004);
        CHECK_EQ(CALL(io, allocate, fd, INT64_MAX, 1), EFBIG);
        CHECK_EQ(CALL(io, allocate, fd, 1, UINT64_MAX), EFBIG);
        CHECK_EQ(CALL(io, allocate, fd, UINT64_MAX, 1), EFBIG);
        CHECK_EQ(size_of(io, fd), 100004);
    }
    CHECK_EQ(CALL(io, sync, fd), 0);
    CALL(io, close, fd);
}

static void suite_names(const struct sutra_io *io, const char *directory)
{
    make_file(io, IN("one"), "1");
    make_file(io, IN("two"), "22");
    CHECK_EQ(CALL(io, rename, IN("none"), IN("one")), ENOENT);
    CHECK(holds(io, IN("one"), "1"));
    CHECK_EQ(CALL(io, rename, IN("one"), IN("two")), 0);
    CHECK(holds(io, IN("two"), "1"));
    CHECK_EQ(open_status(io, IN("one"), SUTRA_OPEN_READ), ENOENT);
    CHECK_EQ(CALL(io, rename, IN("two"), IN("two")), 0);
    CHECK_EQ(CALL(io, rename, IN("two"), IN("three")), 0);
    CHECK(holds(io, IN("three"), "1"));

    /* A descriptor keeps the file that its name has left. */
    int fd = open_file(io, IN("three"), SUTRA_OPEN_WRITE);
    make_file(io, IN("new"), "new");
    CHECK_EQ(CALL(io, rename, IN("new"), IN("three")), 0);
    CHECK(reads(io, fd, 0, "1"));
    write_text(io, fd, 1, "old");
    CHECK(holds(io, IN("three"), "new"));
    CHECK(reads(io, fd, 0, "1old"));
    CALL(io, close, fd);
    fd = open_file(io, IN("three"), SUTRA_OPEN_WRITE);
    CHECK_EQ(CALL(io, unlink, IN("three")), 0);
    CHECK_EQ(CALL(io, unlink, IN("three")), ENOENT);
    CHECK(reads(io, fd, 0, "new"));
    CHECK_EQ(CALL(io, sync, fd), 0);
    CHECK_EQ(size_of(io, fd), 3);
    CALL(io, close, fd);

    /* A second name. */
    make_file(io, IN("first"), "same");
    CHECK_EQ(CALL(io, link, IN("none"), IN("second")), ENOENT);
    CHECK_EQ(CALL(io, link, IN("first"), IN("second")), 0);
    CHECK_EQ(CALL(io, link, IN("first"), IN("second")), EEXIST);
    CHECK_EQ(CALL(io, rename, IN("first"), IN("second")), 0);
    CHECK(holds(io, IN("first"), "same"));
    fd = open_file(io, IN("first"), SUTRA_OPEN_WRITE);
    write_text(io, fd, 0, "SAME");
    CALL(io, close, fd);
    CHECK(holds(io, IN("second"), "SAME"));
    CHECK_EQ(CALL(io, unlink, IN("first")), 0);
    CHECK(holds(io, IN("second"), "SAME"));

    /* A name that another one begins with. */
    make_file(io, IN("longer"), "longer");
    CHECK_EQ(open_status(io, IN("long"), SUTRA_OPEN_READ), ENOENT);
    CHECK_EQ(open_status(io, IN("longer2"), SUTRA_OPEN_READ), ENOENT);
    make_file(io, IN("long"), "long");
    CHECK(holds(io, IN("long"), "long") && holds(io, IN("longer"), "longer"));

    /* Directories. */
    CHECK_EQ(CALL(io, make_directory, IN("d")), 0);
    CHECK_EQ(CALL(io, make_directory, IN("d")), EEXIST);
    CHECK_EQ(CALL(io, make_directory, IN("second")), EEXIST);
    CHECK_EQ(CALL(io, make_directory, IN("none/d")), ENOENT);
    make_file(io, IN("d/f"), "deep");
    CHECK_EQ(CALL(io, remove_directory, IN("d")), ENOTEMPTY);
    CHECK_EQ(CALL(io, remove_directory, IN("second")), ENOTDIR);
    CHECK_EQ(CALL(io, remove_directory, IN("none")), ENOENT);
    CHECK(CALL(io, unlink, IN("d")) != 0);
    CHECK_EQ(CALL(io, rename, IN("second"), IN("d")), EISDIR);
    CHECK_EQ(CALL(io, rename, IN("d"), IN("second")), ENOTDIR);
    CHECK_EQ(CALL(io, link, IN("d"), IN("e")), EPERM);
    CHECK_EQ(CALL(io, make_directory, IN("e")), 0);
    CHECK_EQ(CALL(io, rename, IN("e"), IN("d")), ENOTEMPTY);
    CHECK_EQ(CALL(io, rename, IN("d"), IN("e")), 0);
    CHECK(holds(io, IN("e/f"), "deep"));
    CHECK_EQ(open_status(io, IN("d/f"), SUTRA_OPEN_READ), ENOENT);
    CHECK_EQ(CALL(io, unlink, IN("e/f")), 0);
    CHECK_EQ(CALL(io, remove_directory, IN("e")), 0);

    CHECK_EQ(CALL(io, sync_directory, directory), 0);
    CHECK_EQ(CALL(io, sync_directory, IN("none")), ENOENT);
    CHECK_EQ(CALL(io, sync_directory, IN("second")), ENOTDIR);
}

struct listing {
    const struct sutra_io *io;
    const char *directory;
    int seen[3];
    int others, calls, stop_at;
    bool removing;
};

static int note_name(void *context, const char *name)
{
    struct listing *listing = context;
    if (strlen(name) == 1 && name[0] >= 'a' && name[0] <= 'c')
        listing->seen[name[0] - 'a']++;
    else
        listing->others++;
    if (listing->removing)
        CHECK_EQ(CALL(listing->io, unlink, in(listing->directory, name).text), 0);
    return ++listing->calls == listing->stop_at ? -1234 : 0;
}

static void suite_list(const struct sutra_io *io, const char *directory)
{
    struct listing listing = {.io = io, .directory = directory};
    CHECK_EQ(CALL(io, list, directory, note_name, &listing), 0);
    CHECK_EQ(listing.calls, 0);
    make_file(io, IN("b"), "");
    make_file(io, IN("a"), "");
    CHECK_EQ(CALL(io, make_directory, IN("c")), 0);
    make_file(io, IN("c/below"), "");
    CHECK_EQ(CALL(io, list, directory, note_name, &listing), 0);
    CHECK_EQ(listing.calls, 3);
    CHECK(listing.seen[0] == 1 && listing.seen[1] == 1 && listing.seen[2] == 1);
    listing = (struct listing){.stop_at = 2};
    CHECK_EQ(CALL(io, list, directory, note_name, &listing), -1234);
    CHECK_EQ(listing.calls, 2);
    CHECK_EQ(CALL(io, list, IN("none"), note_name, &listing), ENOENT);
    CHECK_EQ(CALL(io, list, IN("a"), note_name, &listing), ENOTDIR);
    CHECK_EQ(listing.calls, 2);

    struct path below = in(directory, "c");
    listing = (struct listing){.io = io, .directory = below.text, .removing = true};
    CHECK_EQ(CALL(io, list, below.text, note_name, &listing), 0);
    CHECK_EQ(listing.others, 1);
    CHECK_EQ(CALL(io, remove_directory, below.text), 0);
}

static void suite_map(const struct sutra_io *io, const char *directory)
{
    enum { BYTES = 3 * 65536 + 1000 };
    uint8_t *data = malloc(BYTES);
    REQUIRE(data != NULL);
    for (size_t i = 0; i < BYTES; i++)
        data[i] = (uint8_t)(1 + i % 251);
    int fd = open_file(io, IN("m"), SUTRA_OPEN_CREATE);
    struct sutra_span span = {data, BYTES};
    CHECK_EQ(sutra_io_write_all(io, fd, 0, &span, 1), 0);

    struct sutra_arena arena = {0};
    REQUIRE(sutra_arena_reserve(&arena, 1 << 20, 1 << 20, SUTRA_HUGE_NEVER) == 0);
    /* Over memory in use, and over memory that is only reserved. */
    REQUIRE(sutra_arena_commit(&arena, 65536) == 0);
    memset(arena.base, 0xff, 65536);
    size_t bytes = BYTES - 65536;
    CHECK_EQ(CALL(io, map, fd, 65536, bytes, arena.base), 0);
    CHECK(memcmp(arena.base, data + 65536, bytes) == 0);
    CHECK_EQ(arena.base[bytes], 0);
    CHECK_EQ(arena.base[(bytes + 4095) / 4096 * 4096 - 1], 0);

    /* Ours alone, in both directions that are promised. */
    arena.base[0] = 0;
    CHECK_EQ(arena.base[0], 0);
    CHECK_EQ(arena.base[1], data[65537]);
    uint8_t first;
    CHECK_EQ(sutra_io_read_all(io, fd, 65536, &first, 1), 0);
    CHECK_EQ(first, data[65536]);

    /* Over an earlier map; a part of a page, where the rest is what follows or zeros. */
    CHECK_EQ(CALL(io, map, fd, 0, 10, arena.base), 0);
    CHECK(memcmp(arena.base, data, 10) == 0);
    CHECK(arena.base[10] == 0 || arena.base[10] == data[10]);
    CHECK_EQ(CALL(io, map, fd, 0, 0, arena.base), 0);
    CHECK(memcmp(arena.base, data, 10) == 0);

    CHECK_EQ(CALL(io, map, fd, 0, BYTES + 1, arena.base), ERANGE);
    CHECK_EQ(CALL(io, map, fd, 65536, bytes + 1, arena.base), ERANGE);
    CHECK_EQ(CALL(io, map, fd, 4 * 65536, 0, arena.base), ERANGE);
    CHECK_EQ(CALL(io, map, fd, 65536, SIZE_MAX, arena.base), ERANGE);
    CHECK_EQ(CALL(io, map, fd, 4096, 4096, arena.base), EINVAL);
    CHECK_EQ(CALL(io, map, fd, 0, 4096, arena.base + 4096), EINVAL);
    CHECK(memcmp(arena.base, data, 10) == 0);

    /* A descriptor for reading will do, and may be closed. */
    CALL(io, close, fd);
    fd = open_file(io, IN("m"), SUTRA_OPEN_READ);
    CHECK_EQ(CALL(io, map, fd, 0, BYTES, arena.base + 131072), 0);
    CALL(io, close, fd);
    arena.base[131072] = 3;
    CHECK(memcmp(arena.base + 131073, data + 1, BYTES - 1) == 0);
    sutra_arena_release(&arena);
    free(data);
}

static void suite_lock(const struct sutra_io *io, const char *directory)
{
    int a = open_file(io, IN("lock"), SUTRA_OPEN_CREATE);
    int b = open_file(io, IN("lock"), SUTRA_OPEN_WRITE);
    int reader = open_file(io, IN("lock"), SUTRA_OPEN_READ);
    int other = open_file(io, IN("other"), SUTRA_OPEN_CREATE);
    CHECK(!is_locked(io, b));
    CHECK(!is_locked(io, reader));
    CHECK_EQ(CALL(io, lock, a), 0);
    CHECK_EQ(CALL(io, lock, a), 0);
    CHECK_EQ(CALL(io, lock, b), EAGAIN);
    CHECK(is_locked(io, b));
    CHECK(is_locked(io, reader));
    CHECK(!is_locked(io, other));
    CHECK_EQ(CALL(io, lock, other), 0);
    /* The lock is the descriptor's: others of the file may come and go. */
    CALL(io, close, b);
    CALL(io, close, open_file(io, IN("lock"), SUTRA_OPEN_WRITE));
    CHECK(is_locked(io, reader));
    b = open_file(io, IN("lock"), SUTRA_OPEN_WRITE);
    CHECK_EQ(CALL(io, lock, b), EAGAIN);
    CALL(io, close, a);
    CHECK(!is_locked(io, reader));
    CHECK_EQ(CALL(io, lock, b), 0);
    CHECK(is_locked(io, reader));
    CALL(io, close, b);
    CALL(io, close, reader);
    CALL(io, close, other);
}

static void suite_facts(const struct sutra_io *io, const char *directory)
{
    CHECK(io->now_ns(io->context) > INT64_C(1600000000000000000));
    uint64_t before = io->monotonic_ns(io->context);
    for (int i = 0; i < 1000; i++) {
        uint64_t now = io->monotonic_ns(io->context);
        CHECK(now >= before);
        before = now;
    }
    uint8_t a[1000] = {0}, b[1000] = {0};
    CHECK_EQ(CALL(io, random, a, sizeof a), 0);
    CHECK_EQ(CALL(io, random, b, 999), 0);
    CHECK(memcmp(a, b, 999) != 0);
    CHECK_EQ(b[999], 0);
    CHECK_EQ(CALL(io, random, b, 0), 0);
    unsigned counts[256] = {0};
    for (size_t i = 0; i < sizeof a; i++)
        counts[a[i]]++;
    for (size_t i = 0; i < 256; i++)
        CHECK(counts[i] < 40); /* 4 on average */
    uint64_t bytes = 0;
    CHECK_EQ(CALL(io, free_bytes, directory, &bytes), 0);
    CHECK(bytes > 0);
    CHECK_EQ(CALL(io, free_bytes, IN("none"), &bytes), ENOENT);
}

static void opening(void)
{
    on_every_table(suite_open);
    on_every_table(suite_descriptors);
}
static void transfers(void)
{
    on_every_table(suite_transfers);
    on_every_table(suite_many_spans);
}
static void sizes(void)
{
    on_every_table(suite_sizes);
}
static void names(void)
{
    on_every_table(suite_names);
}
static void lists(void)
{
    on_every_table(suite_list);
}
static void maps(void)
{
    on_every_table(suite_map);
}
static void locks(void)
{
    on_every_table(suite_lock);
}
static void clocks_and_chance(void)
{
    on_every_table(suite_facts);
}

/* ---- threads: one file, read and written from several at once */

struct worker {
    const struct sutra_io *io;
    int fd;
    uint8_t number;
};

static void *work(void *context)
{
    const struct worker *worker = context;
    uint8_t block[512], back[512];
    memset(block, worker->number, sizeof block);
    struct sutra_span span = {block, sizeof block};
    for (uint64_t i = 0; i < 100; i++) {
        uint64_t offset = (4 * i + worker->number) * sizeof block;
        CHECK_EQ(sutra_io_write_all(worker->io, worker->fd, offset, &span, 1), 0);
        CHECK_EQ(sutra_io_read_all(worker->io, worker->fd, offset, back, sizeof back), 0);
        CHECK(memcmp(block, back, sizeof block) == 0);
        if (i % 16 == 0)
            CHECK_EQ(CALL(worker->io, sync, worker->fd), 0);
    }
    return NULL;
}

static void suite_threads(const struct sutra_io *io, const char *directory)
{
    int fd = open_file(io, IN("shared"), SUTRA_OPEN_CREATE);
    struct worker workers[4];
    pthread_t threads[4];
    for (uint8_t i = 0; i < 4; i++) {
        workers[i] = (struct worker){io, fd, i};
        REQUIRE(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
    }
    for (size_t i = 0; i < 4; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    CHECK_EQ(size_of(io, fd), 4 * 100 * 512);
    CALL(io, close, fd);
}

static void threads(void)
{
    on_every_table(suite_threads);
}

CHECK_MAIN(CASE(opening), CASE(transfers), CASE(sizes), CASE(names), CASE(lists), CASE(maps),
           CASE(locks), CASE(clocks_and_chance), CASE(threads))
