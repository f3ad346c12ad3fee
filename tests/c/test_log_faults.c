/* The log on a disk that is full, or that fails.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "log_cases.h"

/* ---- allocation */

static void allocation_steps(void)
{
    static uint8_t payload[300000];
    struct memory memory;
    struct sutra_log log;
    memory_init(&memory);
    REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
    CHECK(strcmp(memory.order, "aws") == 0);
    CHECK_EQ(log.allocated, MIB);
    const struct memory_file *file = memory_log(&memory, 1);
    uint64_t steps[16], last = log.allocated;
    size_t count = 0;
    while (log.end < 17 * MIB) {
        CHECK_EQ(test_append(&log, 0, payload, sizeof payload, 0), 0);
        CHECK(log.allocated >= log.end && file->bytes == log.allocated);
        if (log.allocated != last && count < 16)
            steps[count++] = log.allocated - last;
        last = log.allocated;
    }
    REQUIRE(count == 6);
    CHECK(steps[0] == MIB && steps[1] == 2 * MIB);
    for (size_t i = 2; i < count; i++)
        CHECK_EQ(steps[i], 4 * MIB);
    sutra_log_close(&log);

    /* A record longer than a step. */
    uint8_t *large = calloc(1, 6 * MIB);
    REQUIRE(large != NULL && test_create(&log, &memory, 2, 1, NULL) == 0);
    CHECK_EQ(test_append(&log, 0, large, 6 * MIB, 0), 0);
    CHECK_EQ(log.allocated, 7 * MIB);
    sutra_log_close(&log);
    free(large);

    /* Without. */
    memory.cannot_allocate = true;
    memory.allocates = 0;
    REQUIRE(test_create(&log, &memory, 3, 1, NULL) == 0);
    CHECK_EQ(test_append(&log, 0, payload, 100, 0), 0);
    CHECK_EQ(memory_log(&memory, 3)->bytes, log.end);
    CHECK_EQ(memory.allocates, 0);
    struct heard heard;
    struct sutra_log_end end;
    const struct sutra_log_replay replay = test_replay_of(&memory, 3, &heard);
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, NULL), 0);
    CHECK_EQ(heard.records, 1);
    CHECK_EQ(end.bytes, log.end);
    sutra_log_close(&log);
    memory_deinit(&memory);
}

/* ---- a full disk */

/* Allocating fails: nothing is written, what can still be had is used, and later it goes on. */
static void full_allocating(void)
{
    static uint8_t payload[10000];
    struct memory memory;
    struct sutra_log log;
    memory_init(&memory);
    memory.capacity = 30000;
    memory.interrupted = 3;
    REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0); /* less than a step will do */
    CHECK_EQ(log.allocated, 4096);
    CHECK_EQ(test_append(&log, 0, payload, sizeof payload, 0), 0);
    CHECK_EQ(test_append(&log, 0, payload, sizeof payload, 0), 0);
    const struct sutra_log before = log;
    const unsigned writes = memory.writes;
    CHECK_EQ(test_append(&log, 0, payload, sizeof payload, 0), ENOSPC);
    CHECK_EQ(memory.writes, writes);
    CHECK(!sutra_log_failed(&log));
    CHECK(log.end == before.end && log.next_lsn == before.next_lsn &&
          log.allocated == before.allocated && log.last_checksum == before.last_checksum);
    CHECK_EQ(memory_log(&memory, 1)->bytes, log.allocated);
    CHECK_EQ(test_append(&log, 0, payload, 3000, 0), 0); /* a shorter one fits */
    memory.capacity = UINT64_MAX;
    CHECK_EQ(test_append(&log, 0, payload, sizeof payload, 0), 0);
    CHECK_EQ(log.next_lsn, 5);
    struct heard heard;
    struct sutra_log_end end;
    const struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, NULL), 0);
    CHECK_EQ(heard.records, 4);

    memory.allocate_error = EIO;
    uint8_t *large = calloc(1, 2 * MIB);
    REQUIRE(large != NULL);
    CHECK_EQ(test_append(&log, 0, large, 2 * MIB, 0), EIO);
    free(large);
    CHECK(sutra_log_failed(&log));
    sutra_log_close(&log);
    memory_deinit(&memory);
}

/* A write fails after any number of bytes of a record: it is cut off, and the next takes its place.
 */
static void full_writing(void)
{
    static const uint8_t payload[45] = {1, 2, 3};
    static const int errors[] = {ENOSPC, EDQUOT, EFBIG};
    for (size_t room = 0; room < 72; room++) {
        for (int allocates = 0; allocates <= 1; allocates++) {
            struct memory memory;
            struct sutra_log log;
            struct heard heard;
            struct sutra_log_end end;
            uint64_t torn;
            memory_init(&memory);
            memory.cannot_allocate = !allocates;
            REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
            CHECK_EQ(test_append(&log, 0, "one", 3, 0), 0);
            const uint64_t start = log.end;
            const uint32_t checksum = log.last_checksum;
            memory.write_error = errors[room % 3];
            memory.write_room = room;
            const size_t calls = memory.order_count;
            CHECK_EQ(test_append(&log, 0, payload, sizeof payload, 0), errors[room % 3]);
            CHECK(!sutra_log_failed(&log));
            CHECK(log.end == start && log.next_lsn == 2 && log.last_checksum == checksum);
            CHECK_EQ(memory_log(&memory, 1)->bytes, start);
            /* Cut, and synced before anything comes into its place. */
            CHECK(strcmp(memory.order + calls, room > 0 ? "wts" : "ts") == 0);
            memory.write_error = 0;
            CHECK_EQ(test_append(&log, 0, "two", 3, 0), 0);
            CHECK_EQ(memory_log(&memory, 1)->bytes, allocates ? MIB : log.end);
            const struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
            CHECK_EQ(sutra_log_replay(&replay, &end, &torn, NULL), 0);
            CHECK(heard.records == 2 && end.bytes == log.end && torn == 0);
            sutra_log_close(&log);
            memory_deinit(&memory);
        }
    }
}

/* ---- a disk that fails */

static void failing_writes(void)
{
    struct memory memory;
    struct sutra_log log;
    memory_init(&memory);
    REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
    CHECK_EQ(test_append(&log, 0, "one", 3, 0), 0);
    const uint64_t end = log.end;
    memory.write_error = EIO;
    memory.write_room = 10;
    CHECK_EQ(test_append(&log, 0, "two", 3, 0), EIO);
    memory.write_error = 0;
    CHECK(sutra_log_failed(&log));
    CHECK_EQ(memory_log(&memory, 1)->bytes, end); /* cut back all the same */
    const unsigned syncs = memory.syncs, writes = memory.writes;
    CHECK_EQ(test_append(&log, 0, "two", 3, 0), EIO);
    CHECK_EQ(sutra_log_sync(&log), EIO);
    CHECK_EQ(sutra_log_cut(&log), EIO);
    CHECK(memory.syncs == syncs && memory.writes == writes);
    sutra_log_close(&log);

    /* A full disk, and then the cut fails. */
    REQUIRE(test_create(&log, &memory, 2, 1, NULL) == 0);
    memory.write_error = ENOSPC;
    memory.write_room = 10;
    memory.truncate_error = EIO;
    CHECK_EQ(test_append(&log, 0, "two", 3, 0), ENOSPC);
    CHECK(sutra_log_failed(&log));
    memory.write_error = memory.truncate_error = 0;
    CHECK_EQ(test_append(&log, 0, "two", 3, 0), EIO);
    sutra_log_close(&log);

    /* Or the sync of the cut. */
    REQUIRE(test_create(&log, &memory, 3, 1, NULL) == 0);
    memory.write_error = ENOSPC;
    memory.sync_error = EIO;
    CHECK_EQ(test_append(&log, 0, "two", 3, 0), ENOSPC);
    CHECK(sutra_log_failed(&log));
    memory.write_error = memory.sync_error = 0;
    sutra_log_close(&log);

    /* Allocating got half of the way, and that cannot be undone. */
    REQUIRE(test_create(&log, &memory, 4, 1, NULL) == 0);
    uint8_t *large = calloc(1, 2 * MIB);
    REQUIRE(large != NULL);
    memory.capacity = MIB + MIB / 2;
    memory.truncate_error = EIO;
    CHECK_EQ(test_append(&log, 0, large, 2 * MIB, 0), ENOSPC);
    CHECK(sutra_log_failed(&log));
    free(large);
    sutra_log_close(&log);
    memory_deinit(&memory);
}

/* A sync that fails is the end: another could say that all is well when nothing is. */
static void failing_sync(void)
{
    struct memory memory;
    struct sutra_log log;
    memory_init(&memory);
    REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
    CHECK_EQ(test_append(&log, 0, "one", 3, 0), 0);
    memory.sync_error = ENOSPC; /* of whichever kind */
    CHECK_EQ(sutra_log_sync(&log), ENOSPC);
    CHECK(sutra_log_failed(&log));
    memory.sync_error = 0;
    const unsigned syncs = memory.syncs;
    CHECK_EQ(sutra_log_sync(&log), EIO);
    CHECK_EQ(memory.syncs, syncs);
    CHECK_EQ(test_append(&log, 0, "two", 3, 0), EIO);
    sutra_log_close(&log);
    memory_deinit(&memory);
}

/* Whatever fails while a file is made: no file is left. */
static void failing_create(void)
{
    for (int kind = 0; kind < 6; kind++) {
        struct memory memory;
        struct sutra_log log;
        memory_init(&memory);
        memory.open_error = kind == 0 ? EMFILE : 0;
        memory.random_error = kind == 1 ? EIO : 0;
        memory.allocate_error = kind == 2 ? EIO : 0;
        memory.write_error = kind == 3 ? ENOSPC : 0;
        memory.write_room = 50;
        memory.sync_error = kind == 4 ? EIO : 0;
        memory.capacity = kind == 5 ? 50 : UINT64_MAX;
        const int status = test_create(&log, &memory, 1, 1, NULL);
        CHECK_EQ(status, kind == 0 ? EMFILE : kind == 3 || kind == 5 ? ENOSPC : EIO);
        CHECK_EQ(log.fd, -1);
        CHECK(memory_log(&memory, 1) == NULL);
        CHECK_EQ(test_append(&log, 0, "x", 1, 0), EIO);
        const uint64_t salt = memory.salt;
        struct memory fine;
        memory_init(&fine);
        fine.salt = salt;
        CHECK_EQ(test_create(&log, &fine, 1, 1, NULL), 0); /* and then it can be */
        sutra_log_close(&log);
        memory_deinit(&memory);
        memory_deinit(&fine);
    }
}

CHECK_MAIN(CASE(allocation_steps), CASE(full_allocating), CASE(full_writing), CASE(failing_writes),
           CASE(failing_sync), CASE(failing_create))
