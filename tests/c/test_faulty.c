/* The table that fails on request, and whole transfers over tables that fall short.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>

#include "base/memory.h"
#include "base/status.h"
#include "io/faulty.h"
#include "table_cases.h"

static int note_name(void *context, const char *name)
{
    (void)name;
    ++*(int *)context;
    return 0;
}

/* One of every call that is counted; returns the first failure, and in *done_out how many calls
 * went through. */
static int call_everything(const struct sutra_io *io, void *room, int *done_out)
{
    int fd = -1, second = -1, calls = 0, status;
    uint64_t bytes;
    size_t done;
    bool locked;
    char data[8] = "datadat";
    struct sutra_span span = {data, sizeof data};
    int names = 0;
#define TRY(call)                                                                                  \
    do {                                                                                           \
        status = (call);                                                                           \
        if (status != 0)                                                                           \
            goto out;                                                                              \
        calls++;                                                                                   \
    } while (0)
    TRY(CALL(io, make_directory, "/d"));
    TRY(CALL(io, open, "/d/a", SUTRA_OPEN_CREATE, &fd));
    TRY(CALL(io, lock, fd));
    TRY(CALL(io, open, "/d/a", SUTRA_OPEN_READ, &second));
    TRY(CALL(io, is_locked, second, &locked));
    TRY(CALL(io, allocate, fd, 0, 100));
    TRY(CALL(io, write, fd, 0, &span, 1, &done));
    TRY(CALL(io, truncate, fd, 8));
    TRY(CALL(io, size, fd, &bytes));
    TRY(CALL(io, read, fd, 0, data, sizeof data, &done));
    TRY(CALL(io, sync, fd));
    TRY(CALL(io, map, fd, 0, 8, room));
    TRY(CALL(io, link, "/d/a", "/d/b"));
    TRY(CALL(io, rename, "/d/b", "/d/c"));
    TRY(CALL(io, list, "/d", note_name, &names));
    TRY(CALL(io, sync_directory, "/d"));
    TRY(CALL(io, unlink, "/d/c"));
    TRY(CALL(io, unlink, "/d/a"));
    TRY(CALL(io, remove_directory, "/d"));
    TRY(CALL(io, free_bytes, "/", &bytes));
    TRY(CALL(io, random, data, sizeof data));
#undef TRY
out:
    (void)io->now_ns(io->context);
    (void)io->monotonic_ns(io->context);
    CALL(io, close, fd);
    CALL(io, close, second);
    *done_out = calls;
    return status;
}

enum { EVERYTHING = 21 };

static void every_call_fails_once(void)
{
    struct sutra_arena arena = {0};
    REQUIRE(sutra_arena_reserve(&arena, 65536, 65536, SUTRA_HUGE_NEVER) == 0);
    for (int at = 0; at <= EVERYTHING + 1; at++) {
        struct sutra_simulated *fs;
        REQUIRE(sutra_simulated_new(3, &fs) == 0);
        struct sutra_faulty faulty;
        sutra_faulty_init(&faulty, sutra_simulated_io(fs));
        CHECK_EQ(faulty.error, EIO);
        faulty.fail_at = (uint64_t)at;
        faulty.error = ENOSPC;
        int done;
        int status = call_everything(&faulty.io, arena.base, &done);
        bool fails = at >= 1 && at <= EVERYTHING;
        CHECK_EQ(status, fails ? ENOSPC : 0);
        CHECK_EQ(done, fails ? at - 1 : EVERYTHING);
        CHECK_EQ(faulty.calls, fails ? at : EVERYTHING);
        CHECK_EQ(faulty.failed, fails ? 1 : 0);
        if (fails) {
            /* Once only: the next call works. */
            uint64_t bytes;
            CHECK_EQ(CALL(&faulty.io, free_bytes, "/", &bytes), 0);
            CHECK_EQ(faulty.failed, 1);
        }
        sutra_simulated_free(fs);
    }
    sutra_arena_release(&arena);
}

/* A call that fails changes nothing, and gives out nothing. */
static void a_failed_call_does_nothing(void)
{
    struct sutra_simulated *fs;
    REQUIRE(sutra_simulated_new(3, &fs) == 0);
    struct sutra_faulty faulty;
    sutra_faulty_init(&faulty, sutra_simulated_io(fs));
    const struct sutra_io *io = &faulty.io;
    make_file(io, "/a", "old");
    int fd = open_file(io, "/a", SUTRA_OPEN_WRITE);
    uint64_t operations = sutra_simulated_operations(fs);
    faulty.fail_at = faulty.calls + 1;
    faulty.sticky = true;
    struct sutra_span span = {"new", 3};
    size_t done = 5;
    uint64_t bytes = 5;
    bool locked = true;
    char data[3] = "xy";
    CHECK_EQ(open_status(io, "/b", SUTRA_OPEN_CREATE), EIO);
    CHECK_EQ(CALL(io, write, fd, 0, &span, 1, &done), EIO);
    CHECK_EQ(done, 0);
    done = 5;
    CHECK_EQ(CALL(io, read, fd, 0, data, 3, &done), EIO);
    CHECK_EQ(done, 0);
    CHECK_EQ(data[0], 'x');
    CHECK_EQ(CALL(io, size, fd, &bytes), EIO);
    CHECK_EQ(bytes, 0);
    CHECK_EQ(CALL(io, is_locked, fd, &locked), EIO);
    CHECK(!locked);
    CHECK_EQ(CALL(io, truncate, fd, 0), EIO);
    CHECK_EQ(CALL(io, sync, fd), EIO);
    CHECK_EQ(CALL(io, unlink, "/a"), EIO);
    CHECK_EQ(faulty.failed, 8);
    CHECK_EQ(sutra_simulated_operations(fs), operations);
    faulty.fail_at = 0;
    CHECK(holds(io, "/a", "old"));
    CHECK_EQ(open_status(io, "/b", SUTRA_OPEN_READ), ENOENT);
    CALL(io, close, fd);
    sutra_simulated_free(fs);
}

/* Interrupted or short at any call, whole transfers come out whole; and both only once. */
static void transfers_go_on(void)
{
    for (int kind = 0; kind < 2; kind++) {
        uint64_t failed = 0;
        for (uint64_t at = 1; at <= 8; at++) {
            struct sutra_simulated *fs;
            REQUIRE(sutra_simulated_new(3, &fs) == 0);
            struct sutra_faulty faulty;
            sutra_faulty_init(&faulty, sutra_simulated_io(fs));
            const struct sutra_io *io = &faulty.io;
            int fd = open_file(io, "/a", SUTRA_OPEN_CREATE);
            faulty.fail_at = faulty.calls + at;
            faulty.sticky = true;
            if (kind == 0)
                faulty.error = EINTR;
            else
                faulty.short_transfer = true;
            struct sutra_span spans[] = {{"Rg", 2}, {"veda", 4}, {"", 0}, {" Atharva", 8}};
            CHECK_EQ(sutra_io_write_all(io, fd, 1, spans, 4), 0);
            CHECK(reads(io, fd, 1, "Rgveda Atharva"));
            CHECK(reads(io, fd, 14, "a"));
            CHECK_EQ(size_of(sutra_simulated_io(fs), fd), 15);
            CHECK(faulty.failed <= 1);
            failed += faulty.failed;
            CALL(io, close, fd);
            sutra_simulated_free(fs);
        }
        /* The write and the reads; the read of one byte cannot be short. */
        CHECK_EQ(failed, kind == 0 ? 3 : 2);
    }
}

/* A short call does half, and says so. */
static void short_by_half(void)
{
    struct sutra_simulated *fs;
    REQUIRE(sutra_simulated_new(3, &fs) == 0);
    struct sutra_faulty faulty;
    sutra_faulty_init(&faulty, sutra_simulated_io(fs));
    const struct sutra_io *io = &faulty.io;
    int fd = open_file(io, "/a", SUTRA_OPEN_CREATE);
    faulty.short_transfer = true;
    struct sutra_span spans[] = {{"ab", 2}, {"cdefgh", 6}};
    size_t done = 0;
    faulty.fail_at = faulty.calls + 1;
    CHECK_EQ(CALL(io, write, fd, 0, spans, 2, &done), 0);
    CHECK_EQ(done, 4);
    CHECK_EQ(size_of(io, fd), 4);
    char data[4];
    faulty.fail_at = faulty.calls + 1;
    CHECK_EQ(CALL(io, read, fd, 0, data, 4, &done), 0);
    CHECK_EQ(done, 2);
    CHECK_EQ(faulty.failed, 2);
    /* What transfers nothing goes through. */
    faulty.fail_at = faulty.calls + 1;
    CHECK_EQ(CALL(io, sync, fd), 0);
    CHECK_EQ(faulty.failed, 2);
    CALL(io, close, fd);
    sutra_simulated_free(fs);
}

/* A sync that fails loses what it was about, and the next one does not know. */
static void failed_sync_drops(void)
{
    for (int drop = 0; drop < 2; drop++) {
        struct sutra_simulated *fs, *crashed;
        REQUIRE(sutra_simulated_new(3, &fs) == 0);
        REQUIRE(sutra_simulated_put(fs, "/a", "first ", 6) == 0);
        struct sutra_faulty faulty;
        sutra_faulty_init(&faulty, sutra_simulated_io(fs));
        faulty.simulated = fs;
        faulty.drop_on_sync = drop == 1;
        const struct sutra_io *io = &faulty.io;
        int fd = open_file(io, "/a", SUTRA_OPEN_WRITE);
        write_text(io, fd, 0, "second");
        faulty.fail_at = faulty.calls + 1;
        CHECK_EQ(CALL(io, sync, fd), EIO);
        CHECK(reads(io, fd, 0, "second"));
        CHECK_EQ(CALL(io, sync, fd), 0);
        uint64_t now = sutra_simulated_operations(fs);
        REQUIRE(sutra_simulated_crash(fs, now, SUTRA_CRASH_KEEP_ALL, 0, 0, &crashed) == 0);
        CHECK(holds(sutra_simulated_io(crashed), "/a", drop == 1 ? "first " : "second"));
        sutra_simulated_free(crashed);
        CALL(io, close, fd);
        sutra_simulated_free(fs);
    }
}

/* ---- tables that do not keep their promises */

static int write_nothing(void *context, int fd, uint64_t offset, const struct sutra_span *spans,
                         size_t count, size_t *done_out)
{
    (void)fd;
    (void)offset;
    (void)spans;
    (void)count;
    *done_out = *(const size_t *)context;
    return 0;
}

static int read_nothing(void *context, int fd, uint64_t offset, void *data, size_t bytes,
                        size_t *done_out)
{
    (void)fd;
    (void)offset;
    (void)data;
    (void)bytes;
    *done_out = *(const size_t *)context;
    return 0;
}

static void broken_promises(void)
{
    size_t done = 0;
    struct sutra_io io = {.context = &done, .read = read_nothing, .write = write_nothing};
    char data[3] = {0};
    struct sutra_span span = {data, 3};
    CHECK_EQ(sutra_io_write_all(&io, 3, 0, &span, 1), EIO);
    CHECK_EQ(sutra_io_read_all(&io, 3, 0, data, 3), SUTRA_E_TRUNCATED);
    done = 4;
    CHECK_EQ(sutra_io_write_all(&io, 3, 0, &span, 1), EIO);
    CHECK_EQ(sutra_io_read_all(&io, 3, 0, data, 3), EIO);
}

CHECK_MAIN(CASE(every_call_fails_once), CASE(a_failed_call_does_nothing), CASE(transfers_go_on),
           CASE(short_by_half), CASE(failed_sync_drops), CASE(broken_promises))
