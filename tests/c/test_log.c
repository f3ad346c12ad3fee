/* The log: what is written byte by byte, what is refused, what happens when the disk is full or
 * fails, and what a replay gives. Crashes and damage are in test_log_crash.c.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "log_cases.h"

/* ---- names */

static void names(void)
{
    char name[SUTRA_LOG_NAME_BYTES];
    uint64_t number = 0;
    sutra_log_name(107, name);
    CHECK(strcmp(name, "00000107.wal") == 0);
    sutra_log_name(123456789, name);
    CHECK(strcmp(name, "123456789.wal") == 0);
    sutra_log_name(SUTRA_LOG_NUMBER_MAX, name);
    CHECK(strcmp(name, "99999999999.wal") == 0);
    CHECK(sutra_log_number(name, &number) && number == SUTRA_LOG_NUMBER_MAX);
    sutra_log_name(SUTRA_LOG_NUMBER_MAX + 1, name);
    CHECK(name[0] == '\0');
    sutra_log_name(UINT64_MAX, name);
    CHECK(name[0] == '\0');
    CHECK(sutra_log_number("00000107.wal", &number) && number == 107);
    static const char *const others[] = {"",
                                         "107.wal",
                                         "00000000.wal",
                                         "000000107.wal",
                                         "00000107.wal2",
                                         "00000107.wa",
                                         "00000107.wal.tmp",
                                         "00000107",
                                         "0000010a.wal",
                                         "-0000107.wal",
                                         " 00000107.wal",
                                         "00000107.seg",
                                         "100000000000.wal",
                                         "18446744073709551623.wal",
                                         ".wal"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        CHECK(!sutra_log_number(others[i], &number));
}

/* ---- bytes */

/* The text of FORMAT.md; "" if it is not there. */
static void read_format(char *text, size_t room)
{
    char path[1024];
    const char *slash = strrchr(__FILE__, '/');
    const int folder = slash == NULL ? 0 : (int)(slash - __FILE__ + 1);
    (void)snprintf(path, sizeof path, "%.*s../../csrc/store/FORMAT.md", folder, __FILE__);
    FILE *file = fopen(path, "rb");
    text[0] = '\0';
    if (file == NULL)
        return;
    text[fread(text, 1, room - 1, file)] = '\0';
    (void)fclose(file);
}

/* The example of FORMAT.md is what is written, to the byte. */
static void example(void)
{
    static char text[1 << 18];
    static const uint8_t expected[] = {
        /* header */
        0x53, 0x55, 0x54, 0x52, 0x41, 0x57, 0x41, 0x4c, 1, 0, 0, 0, 0x44, 0x33, 0x22, 0x11, 0x10,
        0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 7,
        0, 0, 0, 0, 0, 0, 0, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, 41, 0, 0, 0, 0, 0, 0,
        0, 3, 0, 0, 0, 0, 0, 0, 0, 0xc8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        /* first record */
        0, 0, 0, 0, 5, 0, 0, 0, 41, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 'f', 'i', 'r', 's',
        't', 0, 0, 0,
        /* second record */
        0, 0, 0, 0, 4, 0, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 'l', 'a', 's', 't',
        0, 0, 0, 0,
        /* marker */
        0, 0, 0, 0, 0, 0, 0, 0, 43, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    struct memory memory;
    struct sutra_log log;
    memory_init(&memory);
    memory.fixed_salt = true;
    memory.salt = 0x0102030405060708u;
    const struct sutra_log_end before = {3, 200, 0x11223344u, 41};
    REQUIRE(test_create(&log, &memory, 7, 41, &before) == 0);
    CHECK_EQ(log.salt, memory.salt);
    CHECK_EQ(log.end, SUTRA_LOG_HEADER_BYTES);
    CHECK_EQ(test_append(&log, SUTRA_LOG_MORE, "first", 5, 38), 0);
    CHECK_EQ(test_append(&log, 0, "last", 4, 38), 0);
    CHECK_EQ(sutra_log_append(&log, 0, NULL, 0, 42), 0);
    const struct memory_file *file = memory_log(&memory, 7);
    REQUIRE(file != NULL && log.end == sizeof expected);
    /* Checksums by their definition, the rest as it stands above. */
    static const size_t records[] = {96, 128, 160, sizeof expected};
    CHECK_EQ(sutra_load_u32(file->data + 92), sutra_crc32c_portable(0, file->data, 92));
    const uint32_t seed = sutra_crc32c_portable(0, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    for (size_t i = 0; i < 3; i++)
        CHECK_EQ(sutra_load_u32(file->data + records[i]),
                 sutra_crc32c_portable(seed, file->data + records[i] + 4,
                                       records[i + 1] - records[i] - 4));
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof expected; i++) {
        const bool checksum =
            (i >= 92 && i < 100) || (i >= 128 && i < 132) || (i >= 160 && i < 164);
        wrong += !checksum && file->data[i] != expected[i];
    }
    CHECK_EQ(wrong, 0);

    read_format(text, sizeof text);
    for (size_t line = 0; line < sizeof expected; line += 16) {
        char dump[80];
        int at = snprintf(dump, sizeof dump, "\n%08zx ", line);
        for (size_t i = line; i < line + 16 && i < sizeof expected; i++)
            at += snprintf(dump + at, sizeof dump - (size_t)at, "%s%02x", i % 8 == 0 ? " " : "",
                           file->data[i]),
                at += snprintf(dump + at, sizeof dump - (size_t)at, " ");
        while (dump[at - 1] == ' ')
            dump[--at] = '\0';
        (void)snprintf(dump + at, sizeof dump - (size_t)at, "\n");
        if (strstr(text, dump) == NULL)
            (void)fprintf(stderr, "not in FORMAT.md: %s", dump + 1);
        CHECK(strstr(text, dump) != NULL);
    }
    /* And the table below it: offset, value. */
    const char *row = strstr(text, "\n000000b0 ");
    size_t rows = 0;
    while (row != NULL && (row = strstr(row, "\n| ")) != NULL) {
        char *after;
        const unsigned long offset = strtoul(row += 3, &after, 10);
        if (after == row || strncmp(after, " | ", 3) != 0)
            continue;
        const unsigned long value = strtoul(after + 3, NULL, 0);
        CHECK(offset < sizeof expected && value == sutra_load_u32(file->data + offset));
        if (++rows == 15)
            break;
    }
    CHECK_EQ(rows, 15);
    sutra_log_close(&log);
    memory_deinit(&memory);
}

static void payload_sizes(void)
{
    static uint8_t payload[64];
    struct memory memory;
    struct sutra_log log;
    struct heard heard;
    struct sutra_log_end end, written;
    uint32_t digest = 0;
    memory_init(&memory);
    memset(payload, 0xa5, sizeof payload);
    REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
    for (uint32_t bytes = 0; bytes <= sizeof payload; bytes++) {
        const uint64_t start = log.end;
        CHECK_EQ(test_append(&log, 0, payload, bytes, 0), 0);
        CHECK_EQ(log.end - start, 24 + (bytes + 7) / 8 * 8);
        CHECK_EQ(log.next_lsn, bytes + 2);
        const uint8_t *data = memory_log(&memory, 1)->data;
        for (uint64_t i = start + 24 + bytes; i < log.end; i++)
            CHECK_EQ(data[i], 0);
        digest = test_digest(digest, bytes + 1, 0, payload, bytes);
    }
    const struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
    uint64_t torn = 1;
    CHECK_EQ(sutra_log_replay(&replay, &end, &torn, NULL), 0);
    sutra_log_end_of(&log, &written);
    CHECK(same_end(&end, &written));
    CHECK_EQ(end.bytes, log.end);
    CHECK_EQ(torn, 0);
    CHECK_EQ(heard.digest, digest);
    CHECK(!heard.misaligned && !heard.out_of_order);
    sutra_log_close(&log);
    memory_deinit(&memory);
}

/* One payload of many spans, also empty ones, is the payload in one. */
static void spans(void)
{
    static struct sutra_span pieces[SUTRA_LOG_SPANS_MAX + 1];
    static uint8_t payload[3 * SUTRA_LOG_SPANS_MAX];
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)sutra_random_at(1, i);
    for (size_t i = 0; i < SUTRA_LOG_SPANS_MAX; i++) {
        pieces[i] = (struct sutra_span){i % 4 == 0 ? NULL : payload + bytes, i % 4};
        bytes += i % 4;
    }
    for (size_t transfer = 0; transfer <= 7; transfer += 7) {
        struct memory memory;
        struct sutra_log log;
        struct heard heard;
        struct sutra_log_end end;
        memory_init(&memory);
        REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
        memory.transfer_bytes = transfer;
        memory.interrupted = 3;
        CHECK_EQ(sutra_log_append(&log, 0, pieces, SUTRA_LOG_SPANS_MAX + 1, 0), SUTRA_E_CAPACITY);
        CHECK_EQ(sutra_log_append(&log, 0, pieces, SUTRA_LOG_SPANS_MAX, 0), 0);
        const struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
        memory.interrupted = 3;
        CHECK_EQ(sutra_log_replay(&replay, &end, NULL, NULL), 0);
        CHECK_EQ(heard.digest, test_digest(0, 1, 0, payload, (uint32_t)bytes));
        sutra_log_close(&log);
        memory_deinit(&memory);
    }
}

/* ---- refusals */

static void refusals(void)
{
    struct memory memory;
    struct sutra_log log;
    memory_init(&memory);
    struct sutra_log_end before = {4, 96, 1, 10};
    CHECK_EQ(test_create(&log, &memory, 0, 1, NULL), SUTRA_E_ARGUMENT);
    CHECK_EQ(test_create(&log, &memory, SUTRA_LOG_NUMBER_MAX + 1, 1, NULL), SUTRA_E_ARGUMENT);
    CHECK_EQ(test_create(&log, &memory, 5, 0, NULL), SUTRA_E_ARGUMENT);
    CHECK_EQ(test_create(&log, &memory, 5, 11, &before), SUTRA_E_ARGUMENT);
    CHECK_EQ(test_create(&log, &memory, 4, 10, &before), SUTRA_E_ARGUMENT);
    before.bytes = 100;
    CHECK_EQ(test_create(&log, &memory, 5, 10, &before), SUTRA_E_ARGUMENT);
    before.bytes = 88;
    CHECK_EQ(test_create(&log, &memory, 5, 10, &before), SUTRA_E_ARGUMENT);
    CHECK_EQ(log.fd, -1);
    sutra_log_close(&log); /* harmless */
    CHECK_EQ(memory.order_count, 0);
    before.bytes = 96;
    REQUIRE(test_create(&log, &memory, 5, 10, &before) == 0);

    /* Not the file of another log. */
    struct sutra_log second;
    CHECK_EQ(test_create(&second, &memory, 5, 10, &before), EEXIST);
    CHECK(memory_log(&memory, 5) != NULL);

    const struct sutra_log fresh = log;
    static uint8_t byte = 1;
    struct sutra_span large[3] = {{&byte, SUTRA_LOG_PAYLOAD_MAX}, {&byte, 1}, {&byte, 0}};
    CHECK_EQ(sutra_log_append(&log, 0, large, 2, 9), SUTRA_E_CAPACITY);
    large[0].bytes = SIZE_MAX;
    CHECK_EQ(sutra_log_append(&log, 0, large, 3, 9), SUTRA_E_CAPACITY);
    large[0].bytes = (size_t)SUTRA_LOG_PAYLOAD_MAX + 1;
    CHECK_EQ(sutra_log_append(&log, 0, large, 1, 9), SUTRA_E_CAPACITY);
    CHECK_EQ(test_append(&log, 2, "x", 1, 9), SUTRA_E_ARGUMENT);
    CHECK_EQ(test_append(&log, 0, "x", 1, 10), SUTRA_E_ARGUMENT);
    CHECK(memcmp(&log, &fresh, sizeof log) == 0);
    CHECK_EQ(test_append(&log, 0, "x", 1, 9), 0);
    sutra_log_close(&log);
    CHECK_EQ(log.fd, -1);
    CHECK_EQ(test_append(&log, 0, "x", 1, 9), EIO);
    CHECK_EQ(sutra_log_sync(&log), EIO);
    CHECK_EQ(sutra_log_cut(&log), EIO);

    /* The last number there is. */
    REQUIRE(test_create(&log, &memory, 6, UINT64_MAX - 1, NULL) == 0);
    CHECK_EQ(test_append(&log, 0, "x", 1, UINT64_MAX - 2), 0);
    CHECK_EQ(test_append(&log, 0, "x", 1, UINT64_MAX - 2), SUTRA_E_CAPACITY);
    sutra_log_close(&log);
    struct heard heard;
    struct sutra_log_end end;
    struct sutra_log_replay replay = test_replay_of(&memory, 6, &heard);
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, NULL), 0);
    CHECK_EQ(end.next_lsn, UINT64_MAX);

    replay.file_number = 0;
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, NULL), SUTRA_E_ARGUMENT);
    replay.file_number = 9;
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, NULL), ENOENT);
    replay.file_number = 6;
    replay.skip_bytes = 97;
    replay.skip_lsn = 1;
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, NULL), SUTRA_E_ARGUMENT);
    replay.skip_bytes = 88;
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, NULL), SUTRA_E_ARGUMENT);
    replay.skip_bytes = 96;
    replay.skip_lsn = 0;
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, NULL), SUTRA_E_ARGUMENT);
    memory_deinit(&memory);
}

/* An LSN less by 2^32 - 1 or more vouches for nothing, rather than for too much. */
static void far_behind(void)
{
    for (uint64_t behind = 0xfffffffeu; behind <= 0x100000000u; behind++) {
        struct memory memory;
        struct sutra_log log;
        struct heard heard;
        struct sutra_log_end end;
        struct sutra_fault fault;
        memory_init(&memory);
        const uint64_t first = (uint64_t)1 << 40, lost = first;
        REQUIRE(test_create(&log, &memory, 1, first, NULL) == 0);
        /* In truth lost + 1 - behind was durable, far below what is lost. */
        CHECK_EQ(test_append(&log, 0, "lost", 4, first - 1), 0);
        CHECK_EQ(test_append(&log, 0, "next", 4, lost + 1 - behind), 0);
        struct memory_file *file = memory_log(&memory, 1);
        const uint32_t delta =
            sutra_load_u32(file->data + 96 + 32 + SUTRA_LOG_RECORD_DURABLE_DELTA);
        CHECK_EQ(delta, behind < 0xffffffffu ? behind : 0xffffffffu);
        file->data[96 + 24] ^= 1;
        const struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
        CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), 0);
        CHECK_EQ(end.bytes, 96);
        sutra_log_close(&log);
        memory_deinit(&memory);
    }
}

/* ---- batches of several records */

/* A batch that lacks its last record is not there, for the replay and for the successor alike. */
static void unfinished_batches(void)
{
    struct memory memory;
    struct sutra_log log;
    struct heard heard;
    struct sutra_log_end end, finished, written;
    uint64_t torn;
    memory_init(&memory);
    REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
    CHECK_EQ(test_append(&log, SUTRA_LOG_MORE, "a", 1, 0), 0);
    sutra_log_end_of(&log, &finished);
    CHECK(finished.bytes == 96 && finished.next_lsn == 1 && finished.file_number == 1);
    CHECK_EQ(test_append(&log, 0, "b", 1, 0), 0);
    sutra_log_end_of(&log, &finished);
    CHECK(finished.bytes == log.end && finished.next_lsn == 3);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(test_append(&log, SUTRA_LOG_MORE, "chain", 5, 2), 0);
        sutra_log_end_of(&log, &written);
        CHECK(same_end(&written, &finished));
        for (int last = 0; last <= 1; last++) {
            struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
            replay.last = last != 0;
            CHECK_EQ(sutra_log_replay(&replay, &end, &torn, NULL), 0);
            CHECK(heard.records == 2 && !heard.unfinished);
            CHECK(same_end(&end, &finished));
            CHECK_EQ(torn, log.end - finished.bytes);
        }
    }
    CHECK_EQ(test_append(&log, 0, NULL, 0, 2), 0);
    const struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
    CHECK_EQ(sutra_log_replay(&replay, &end, &torn, NULL), 0);
    CHECK(heard.records == 6 && end.next_lsn == 7 && torn == 0);
    sutra_log_close(&log);
    memory_deinit(&memory);
}

/* A batch that failed half way is taken off, so that the next does not complete it. */
static void cutting_batches(void)
{
    struct memory memory;
    struct sutra_log log;
    struct heard heard;
    struct sutra_log_end end;
    memory_init(&memory);
    REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
    CHECK_EQ(test_append(&log, 0, "one", 3, 0), 0);
    const struct sutra_log before = log;
    size_t calls = memory.order_count;
    CHECK_EQ(sutra_log_cut(&log), 0); /* nothing to do */
    CHECK_EQ(memory.order_count, calls);
    CHECK_EQ(test_append(&log, SUTRA_LOG_MORE, "two", 3, 0), 0);
    CHECK_EQ(test_append(&log, SUTRA_LOG_MORE, "three", 5, 0), 0);
    memory.write_error = ENOSPC;
    CHECK_EQ(test_append(&log, 0, "four", 4, 0), ENOSPC);
    memory.write_error = 0;
    CHECK_EQ(log.next_lsn, 4);
    calls = memory.order_count;
    memory.interrupted = 2;
    CHECK_EQ(sutra_log_cut(&log), 0);
    CHECK_EQ(memory.interrupted, 0);
    CHECK(strcmp(memory.order + calls, "ts") == 0);
    CHECK(log.end == before.end && log.next_lsn == 2 && log.last_checksum == before.last_checksum);
    CHECK_EQ(memory_log(&memory, 1)->bytes, log.end);
    CHECK_EQ(test_append(&log, 0, "other", 5, 0), 0);
    const struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, NULL), 0);
    const uint32_t one = test_digest(0, 1, 0, (const uint8_t *)"one", 3);
    CHECK_EQ(heard.digest, test_digest(one, 2, 0, (const uint8_t *)"other", 5));

    CHECK_EQ(test_append(&log, SUTRA_LOG_MORE, "two", 3, 0), 0);
    memory.truncate_error = EIO;
    CHECK_EQ(sutra_log_cut(&log), EIO);
    CHECK(sutra_log_failed(&log));
    sutra_log_close(&log);
    memory_deinit(&memory);
}

/* ---- threads */

struct syncing {
    struct sutra_log *log;
    bool stop; /* atomic */
    int status;
};

static void *sync_again_and_again(void *context)
{
    struct syncing *syncing = context;
    while (syncing->status == 0 && !__atomic_load_n(&syncing->stop, __ATOMIC_ACQUIRE))
        syncing->status = sutra_log_sync(syncing->log);
    return NULL;
}

static void syncing_beside_appends(void)
{
    struct memory memory;
    struct sutra_log log;
    pthread_t thread;
    memory_init(&memory);
    REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
    struct syncing syncing = {.log = &log};
    memory.sync_after = 200;
    memory.sync_error = EIO;
    REQUIRE(pthread_create(&thread, NULL, sync_again_and_again, &syncing) == 0);
    int status = 0;
    uint64_t appended = 0;
    while (status == 0) {
        status = test_append(&log, appended % 3 == 0 ? SUTRA_LOG_MORE : 0, "record", 6, 0);
        appended += status == 0;
    }
    __atomic_store_n(&syncing.stop, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    CHECK_EQ(status, EIO); /* once the sync has failed nothing more is taken */
    CHECK_EQ(syncing.status, EIO);
    CHECK_EQ(log.next_lsn, appended + 1);
    struct heard heard;
    struct sutra_log_end end;
    struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, NULL), 0);
    CHECK(heard.records <= appended && heard.records + 1 >= appended);
    sutra_log_close(&log);
    memory_deinit(&memory);
}

static void *sync_once(void *context)
{
    struct syncing *syncing = context;
    syncing->status = sutra_log_sync(syncing->log);
    return NULL;
}

/* The system tells of a failure once. Whoever syncs meanwhile or later must not think all is well.
 */
static void failure_told_once(void)
{
    struct memory memory;
    struct sutra_log log;
    pthread_t thread;
    memory_init(&memory);
    REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
    CHECK_EQ(test_append(&log, 0, "record", 6, 0), 0);
    struct syncing syncing = {.log = &log};
    memory.sync_slowly = true;
    memory.sync_error = EIO;
    REQUIRE(pthread_create(&thread, NULL, sync_once, &syncing) == 0);
    while (!__atomic_load_n(&memory.sync_begun, __ATOMIC_ACQUIRE))
        (void)sched_yield();
    CHECK_EQ(sutra_log_sync(&log), EIO);
    pthread_join(thread, NULL);
    CHECK_EQ(syncing.status, EIO);
    CHECK_EQ(memory.syncs, 1); /* the header's */
    sutra_log_close(&log);
    memory_deinit(&memory);
}

/* ---- a real file system */

static void real_files(void)
{
    static uint8_t payload[70000];
    char directory[256];
    const char *root = getenv("TMPDIR");
    (void)snprintf(directory, sizeof directory, "%s/sutra-log-XXXXXX",
                   root == NULL || root[0] == '\0' ? "/tmp" : root);
    REQUIRE(mkdtemp(directory) != NULL);
    const struct sutra_io *io = &sutra_io_posix;
    struct sutra_log log;
    struct heard heard = {0};
    struct sutra_log_end end, written;
    uint32_t digest = 0;
    const int status = sutra_log_create(&log, io, directory, test_store_id, 12, 5, NULL);
    CHECK_EQ(status, 0);
    for (uint32_t i = 0; status == 0 && i < 40; i++) {
        const uint32_t bytes = i * 1777 % sizeof payload, flags = i % 5 == 1 ? SUTRA_LOG_MORE : 0;
        test_fill(payload, sizeof payload, i);
        CHECK_EQ(test_append(&log, flags, payload, bytes, 4), 0);
        digest = test_digest(digest, 5 + i, flags, payload, bytes);
    }
    CHECK_EQ(sutra_log_sync(&log), 0);
    sutra_log_end_of(&log, &written);
    sutra_log_close(&log);
    const struct sutra_log_replay replay = {.io = io,
                                            .directory = directory,
                                            .store_id = test_store_id,
                                            .file_number = 12,
                                            .stop_lsn = UINT64_MAX,
                                            .last = true,
                                            .each = test_hear,
                                            .context = &heard};
    uint64_t torn;
    CHECK_EQ(sutra_log_replay(&replay, &end, &torn, NULL), 0);
    CHECK(same_end(&end, &written));
    CHECK_EQ(heard.digest, digest);
    CHECK_EQ(torn, 0);
    char path[sizeof directory + SUTRA_LOG_NAME_BYTES];
    (void)snprintf(path, sizeof path, "%s/00000012.wal", directory);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(rmdir(directory), 0);
}

CHECK_MAIN(CASE(names), CASE(example), CASE(payload_sizes), CASE(spans), CASE(refusals),
           CASE(far_behind), CASE(unfinished_batches), CASE(cutting_batches),
           CASE(syncing_beside_appends), CASE(failure_told_once), CASE(real_files))
