/* Replaying one log file: large records, stopping, records that make no sense, a file that is being
 * written to meanwhile.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "log_cases.h"

/* ---- large records, steps, what `each` says */

static void large_records(void)
{
    static const uint32_t sizes[] = {3u << 20, 262144 - 24, 262144, 100, 262120 + 8, 5u << 20, 0};
    struct memory memory;
    struct sutra_log log;
    struct heard heard;
    struct sutra_log_end end;
    struct sutra_fault fault;
    uint32_t digest = 0;
    memory_init(&memory);
    uint8_t *payload = calloc(1, 5u << 20);
    REQUIRE(payload != NULL && test_create(&log, &memory, 1, 1, NULL) == 0);
    for (uint32_t i = 0; i < 7; i++) {
        const uint32_t flags = i % 3 == 0 && i < 6 ? SUTRA_LOG_MORE : 0;
        test_fill(payload, sizes[i], i);
        CHECK_EQ(test_append(&log, flags, payload, sizes[i], 0), 0);
        digest = test_digest(digest, i + 1, flags, payload, sizes[i]);
    }
    free(payload);
    const struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
    for (size_t transfer = 0; transfer <= 100003; transfer += 100003) {
        heard = (struct heard){0};
        memory.transfer_bytes = transfer;
        memory.interrupted = 5;
        CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), 0);
        CHECK_EQ(heard.records, 7);
        CHECK_EQ(heard.digest, digest);
        CHECK_EQ(end.bytes, log.end);
    }
    /* A length that lies costs no memory. */
    struct memory_file *file = memory_log(&memory, 1);
    memory_resize(file, (size_t)log.end + 64 * MIB);
    uint8_t *at = file->data + log.end;
    sutra_store_u32(at + SUTRA_LOG_RECORD_PAYLOAD_BYTES, 60u << 20);
    sutra_store_u64(at + SUTRA_LOG_RECORD_LSN, 8);
    sutra_store_u32(at + SUTRA_LOG_RECORD_DURABLE_DELTA, 1);
    struct sutra_log_replay rest = test_replay_of(&memory, 1, &heard);
    sutra_log_end_of(&log, &end);
    rest.skip_bytes = end.bytes;
    rest.skip_lsn = end.next_lsn;
    memory.transfer_bytes = 0;
    memory.read_bytes_most = 0;
    CHECK_EQ(sutra_log_replay(&rest, &end, NULL, &fault), 0);
    CHECK_EQ(heard.records, 0);
    CHECK(memory.read_bytes_most <= (size_t)256 << 10);
    sutra_log_close(&log);
    memory_deinit(&memory);
}

static void stopping(void)
{
    static struct made_log made;
    made_log_init(&made, 100, 3, 9);
    for (size_t i = 0; i < made.count; i += 7) {
        struct heard heard;
        struct sutra_log_end end;
        const size_t whole = i > 0 ? made.notes[i - 1].finished : 0;
        const struct sutra_log_end expected = made_log_end(&made, whole);
        /* `each` says no to record i: the batches before it were handed over whole. */
        struct sutra_log_replay replay = test_replay_of(&made.memory, 1, &heard);
        heard.stop_at = made.first_lsn + i;
        CHECK_EQ(sutra_log_replay(&replay, &end, NULL, NULL), -1000);
        CHECK_EQ(heard.records, i);
        CHECK(same_end(&end, &expected));
        /* Nothing above a given LSN: whole batches up to there, and no look at the rest. */
        heard = (struct heard){0};
        replay.stop_lsn = made.first_lsn + i - 1;
        uint64_t torn = 1;
        CHECK_EQ(sutra_log_replay(&replay, &end, &torn, NULL), 0);
        CHECK_EQ(heard.records, whole);
        CHECK(same_end(&end, &expected));
        CHECK_EQ(torn, 0);
        memory_log(&made.memory, 1)->data[made.notes[i].start + 4] ^= 0x10;
        CHECK_EQ(sutra_log_replay(&replay, &end, NULL, NULL), 0);
        memory_log(&made.memory, 1)->data[made.notes[i].start + 4] ^= 0x10;
        /* Nobody listens. */
        replay.each = NULL;
        replay.stop_lsn = UINT64_MAX;
        CHECK_EQ(sutra_log_replay(&replay, &end, NULL, NULL), 0);
        CHECK_EQ(end.next_lsn, made.first_lsn + made.count);
    }
    struct heard heard;
    struct sutra_log_end end;
    const struct sutra_log_replay replay = test_replay_of(&made.memory, 1, &heard);
    made.memory.read_error = EIO;
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, NULL), EIO);
    made_log_deinit(&made);
}

/* A record that holds together and that no writer writes. */
static void senseless_records(void)
{
    static const struct {
        uint32_t offset, value;
    } edits[] = {{SUTRA_LOG_RECORD_FLAGS, 2},
                 {SUTRA_LOG_RECORD_FLAGS, 0x80000000u},
                 {SUTRA_LOG_RECORD_DURABLE_DELTA, 0},
                 {SUTRA_LOG_RECORD_DURABLE_DELTA, 3}};
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        struct memory memory;
        struct sutra_log log;
        struct heard heard;
        struct sutra_log_end end;
        struct sutra_fault fault;
        memory_init(&memory);
        REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
        CHECK_EQ(test_append(&log, 0, "one", 3, 0), 0);
        const uint64_t at = log.end;
        CHECK_EQ(test_append(&log, 0, "two", 3, 0), 0);
        uint8_t *data = memory_log(&memory, 1)->data;
        uint8_t salt[8];
        sutra_store_u64(salt, log.salt);
        sutra_store_u32(data + at + edits[i].offset, edits[i].value);
        sutra_store_u32(data + at, sutra_crc32c(sutra_crc32c(0, salt, 8), data + at + 4, 28));
        struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
        for (int last = 0; last <= 1; last++) {
            replay.last = last != 0;
            CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), SUTRA_E_CORRUPT);
            CHECK_EQ(fault.offset, at);
            CHECK(strcmp(fault.what, "log record") == 0);
        }
        sutra_log_close(&log);
        memory_deinit(&memory);
    }
}

/* ---- following a file that grows */

static void following(void)
{
    static struct made_log made;
    made_log_init(&made, 300, 12, 13);
    struct memory_file *file = memory_log(&made.memory, 1);
    memset(file->data + SUTRA_LOG_HEADER_BYTES, 0, file->bytes - SUTRA_LOG_HEADER_BYTES);
    struct repeat repeat = {.made = &made};
    struct heard unused;
    struct sutra_log_end at = made_log_end(&made, 0);
    size_t grown = 0;
    for (uint64_t step = 0; grown < made.image_bytes || at.next_lsn < 1000 + made.count; step++) {
        /* Some more bytes have been written; readers know of fewer LSNs, or of none. */
        grown += (size_t)sutra_random_at(14, step) % 700;
        grown = grown < made.image_bytes ? grown : made.image_bytes;
        memcpy(file->data, made.image, grown > 96 ? grown : 96);
        const size_t whole = made_log_whole(&made, grown);
        struct sutra_log_replay replay = test_replay_of(&made.memory, 1, &unused);
        replay.expected_lsn = made.first_lsn;
        replay.each = repeat_hear;
        replay.context = &repeat;
        replay.skip_bytes = at.bytes;
        replay.skip_lsn = at.next_lsn;
        replay.skip_checksum = at.last_checksum;
        if (step % 2 == 0)
            replay.stop_lsn = made.first_lsn + whole - 1;
        const size_t finished = whole > 0 ? made.notes[whole - 1].finished : 0;
        const struct sutra_log_end expected = made_log_end(&made, finished);
        CHECK_EQ(sutra_log_replay(&replay, &at, NULL, NULL), 0);
        CHECK(same_end(&at, &expected));
        CHECK_EQ(repeat.next, finished);
    }
    CHECK_EQ(repeat.wrong, 0);
    /* Known bytes that are gone. */
    struct sutra_fault fault;
    struct sutra_log_replay replay = test_replay_of(&made.memory, 1, &unused);
    replay.skip_bytes = at.bytes;
    replay.skip_lsn = at.next_lsn;
    memory_resize(file, (size_t)at.bytes - 8);
    CHECK_EQ(sutra_log_replay(&replay, &at, NULL, &fault), SUTRA_E_CORRUPT);
    CHECK_EQ(fault.offset, file->bytes);
    made_log_deinit(&made);
}

/* The writer writes while it is read: the reader sees an old step, then a newer one behind it. What
 * looks like damage is none. */
static void overtaken(void)
{
    struct memory memory;
    struct sutra_log log;
    struct heard heard;
    struct sutra_log_end end;
    struct sutra_fault fault;
    static uint8_t payload[100000];
    memory_init(&memory);
    REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
    CHECK_EQ(test_append(&log, 0, "one", 3, 0), 0);
    struct memory_file *file = memory_log(&memory, 1);
    const size_t old_bytes = file->bytes;
    uint8_t *old = malloc(old_bytes);
    REQUIRE(old != NULL);
    memcpy(old, file->data, old_bytes);
    const uint64_t second = log.end;
    for (uint64_t lsn = 2; lsn <= 8; lsn++)
        CHECK_EQ(test_append(&log, 0, payload, sizeof payload, lsn - 1), 0);
    memory.old = old;
    memory.old_bytes = old_bytes;
    memory.old_reads = 2; /* the header and the first step */
    const struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), 0);
    CHECK_EQ(heard.records, 8);
    CHECK_EQ(end.bytes, log.end);
    /* With real damage at the same place it is damage. */
    file->data[second] ^= 1;
    memory.reads = 0;
    heard = (struct heard){0};
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), SUTRA_E_CORRUPT);
    CHECK_EQ(fault.offset, second);
    CHECK_EQ(heard.records, 1);
    free(old);
    sutra_log_close(&log);
    memory_deinit(&memory);
}

/* The same within one step, which the file table reads in pieces. */
static void overtaken_in_pieces(void)
{
    struct memory memory;
    struct sutra_log log;
    struct heard heard;
    struct sutra_log_end end;
    struct sutra_fault fault;
    static uint8_t payload[2000], old[20000];
    memory_init(&memory);
    memory.cannot_allocate = true;
    REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
    CHECK_EQ(test_append(&log, 0, "one", 3, 0), 0);
    memcpy(old, memory_log(&memory, 1)->data, (size_t)log.end);
    for (uint64_t lsn = 2; lsn <= 8; lsn++)
        CHECK_EQ(test_append(&log, 0, payload, sizeof payload, lsn - 1), 0);
    memory.old = old;
    memory.old_bytes = sizeof old;
    memory.old_reads = 2; /* the header and the first piece */
    memory.transfer_bytes = 4096;
    const struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), 0);
    CHECK_EQ(heard.records, 8);
    CHECK_EQ(end.bytes, log.end);
    sutra_log_close(&log);
    memory_deinit(&memory);
}

/* A file that gets shorter while it is read, as when a writer cuts a record off, ends there. */
static void shrinking(void)
{
    struct memory memory;
    struct sutra_log log;
    struct heard heard;
    struct sutra_log_end end;
    struct sutra_fault fault;
    memory_init(&memory);
    REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
    CHECK_EQ(test_append(&log, 0, "one", 3, 0), 0);
    const uint64_t second = log.end;
    CHECK_EQ(test_append(&log, 0, "two", 3, 0), 0);
    memory_resize(memory_log(&memory, 1), (size_t)second + 10);
    const struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
    for (memory.size_more = 0; memory.size_more < 1000000; memory.size_more += 99999) {
        uint64_t torn;
        heard = (struct heard){0};
        CHECK_EQ(sutra_log_replay(&replay, &end, &torn, &fault), 0);
        CHECK_EQ(end.bytes, second);
        CHECK_EQ(torn, 9); /* the LSN's lowest byte is the last that is not zero */
        CHECK_EQ(heard.records, 1);
    }
    sutra_log_close(&log);
    memory_deinit(&memory);
}

/* A batch is checked once more when it is handed over: it may have changed since. */
static void changed_meanwhile(void)
{
    static uint8_t payload[400000];
    struct memory memory;
    struct sutra_log log;
    struct heard heard;
    struct sutra_log_end end;
    struct sutra_fault fault;
    memory_init(&memory);
    REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
    CHECK_EQ(test_append(&log, 0, "one", 3, 0), 0);
    const uint64_t second = log.end;
    CHECK_EQ(test_append(&log, 0, payload, sizeof payload, 1), 0);
    const uint32_t one = test_digest(0, 1, 0, (const uint8_t *)"one", 3);
    const uint32_t both = test_digest(one, 2, 0, payload, sizeof payload);
    struct memory_file *file = memory_log(&memory, 1);
    uint8_t *old = malloc(file->bytes);
    REQUIRE(old != NULL);
    memcpy(old, file->data, file->bytes);
    memory.old = old;
    memory.old_bytes = file->bytes;
    const struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
    /* Too long for one step: it is read to be checked, and then again. */
    static const uint64_t places[] = {4, 8, 12, 20, 24, 300000};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        file->data[second + places[i]] ^= 0x40;
        size_t refused = 0;
        for (memory.old_reads = 0;; memory.old_reads++) {
            memory.reads = 0;
            heard = (struct heard){0};
            const int status = sutra_log_replay(&replay, &end, NULL, &fault);
            CHECK(status == 0 || status == SUTRA_E_CORRUPT);
            CHECK(heard.digest == (heard.records == 2 ? both : one));
            if (memory.reads <= memory.old_reads) {
                CHECK(status == 0 && heard.records == 2); /* all that was read was old */
                break;
            }
            refused += status == SUTRA_E_CORRUPT;
        }
        CHECK(refused > 0);
        file->data[second + places[i]] ^= 0x40;
    }
    free(old);
    sutra_log_close(&log);
    memory_deinit(&memory);
}

CHECK_MAIN(CASE(large_records), CASE(stopping), CASE(senseless_records), CASE(following),
           CASE(overtaken), CASE(overtaken_in_pieces), CASE(shrinking), CASE(changed_meanwhile))
