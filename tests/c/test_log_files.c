/* Logs of several files, and what a header must say.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "log_cases.h"

#define CHAIN_FILES 4u

/* Files 1, 3, 5, 7, each told of the one before. */
static void make_chain(struct memory *memory, struct sutra_log_end ends[CHAIN_FILES])
{
    uint64_t lsn = 1;
    for (unsigned i = 0; i < CHAIN_FILES; i++) {
        struct sutra_log log;
        REQUIRE(test_create(&log, memory, 2 * i + 1, lsn, i > 0 ? &ends[i - 1] : NULL) == 0);
        for (unsigned j = 0; j < 3 + i; j++)
            CHECK_EQ(
                test_append(&log, j == 1 ? SUTRA_LOG_MORE : 0, "record of a file", 16, lsn - 1), 0);
        CHECK_EQ(sutra_log_sync(&log), 0);
        sutra_log_end_of(&log, &ends[i]);
        lsn = log.next_lsn;
        sutra_log_close(&log);
    }
}

/* As recovery does; numbers in the order of the directory. */
static int replay_chain(struct memory *memory, const uint64_t *numbers, size_t count,
                        struct heard *heard, struct sutra_fault *fault_out)
{
    struct sutra_log_end end = {0};
    struct heard unused;
    *heard = (struct heard){0};
    for (size_t i = 0; i < count; i++) {
        const struct sutra_log_end before = end;
        struct sutra_log_replay replay = test_replay_of(memory, numbers[i], &unused);
        replay.before = &before;
        replay.expected_lsn = i == 0 ? 1 : before.next_lsn;
        replay.last = i + 1 == count;
        replay.context = heard;
        int status = sutra_log_replay(&replay, &end, NULL, fault_out);
        if (status != 0)
            return status;
    }
    return 0;
}

static void chains(void)
{
    static const uint64_t all[] = {1, 3, 5, 7}, dropped[] = {1, 3, 7}, headless[] = {3, 5, 7};
    struct memory memory;
    struct sutra_log_end ends[CHAIN_FILES];
    struct heard heard;
    struct sutra_fault fault;
    memory_init(&memory);
    make_chain(&memory, ends);
    CHECK_EQ(replay_chain(&memory, all, 4, &heard, &fault), 0);
    CHECK_EQ(heard.records, 3 + 4 + 5 + 6);
    CHECK(!heard.out_of_order);
    const uint32_t digest = heard.digest;

    CHECK_EQ(replay_chain(&memory, dropped, 3, &heard, &fault), SUTRA_E_CORRUPT);
    CHECK(strcmp(fault.what, "log header") == 0);
    CHECK_EQ(replay_chain(&memory, headless, 3, &heard, &fault), SUTRA_E_CORRUPT);

    /* Whole files in one another's places: copied, swapped. */
    struct memory_file *third = memory_log(&memory, 3), *fifth = memory_log(&memory, 5);
    const struct memory_file kept = *fifth;
    uint8_t *copy = malloc(kept.bytes);
    REQUIRE(copy != NULL);
    memcpy(copy, kept.data, kept.bytes);
    memory_put(&memory, 5, third->data, third->bytes);
    CHECK_EQ(replay_chain(&memory, all, 4, &heard, &fault), SUTRA_E_CORRUPT);
    CHECK_EQ(fault.offset, SUTRA_LOG_HEADER_FILE_NUMBER);
    CHECK_EQ(fault.expected, 5);
    CHECK_EQ(fault.found, 3);
    memory_put(&memory, 5, copy, kept.bytes);
    char path[sizeof third->path];
    memcpy(path, third->path, sizeof path);
    memcpy(third->path, fifth->path, sizeof path);
    memcpy(fifth->path, path, sizeof path);
    CHECK_EQ(replay_chain(&memory, all, 4, &heard, &fault), SUTRA_E_CORRUPT);
    memcpy(fifth->path, third->path, sizeof path);
    memcpy(third->path, path, sizeof path);
    CHECK_EQ(replay_chain(&memory, all, 4, &heard, &fault), 0);
    CHECK_EQ(heard.digest, digest);

    /* Every bit of a file that has a successor: nothing is lost without a word. */
    size_t wrong = 0;
    for (size_t bit = 0; bit < (ends[1].bytes + 64) * 8; bit++) {
        third->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        const int status = replay_chain(&memory, all, 4, &heard, &fault);
        wrong += status != (bit / 8 < ends[1].bytes ? SUTRA_E_CORRUPT : 0);
        wrong += status == 0 && heard.digest != digest;
        third->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CHECK_EQ(wrong, 0);
    /* Cut anywhere, or gone on with what its successor knows nothing of. */
    for (size_t bytes = 0; bytes < ends[1].bytes; bytes++) {
        memcpy(copy, third->data, ends[1].bytes);
        third->bytes = bytes;
        const int status = replay_chain(&memory, all, 4, &heard, &fault);
        wrong += status != (bytes < 96 ? SUTRA_E_TRUNCATED : SUTRA_E_CORRUPT);
        third->bytes = third->room;
    }
    CHECK_EQ(wrong, 0);
    free(copy);
    memory_deinit(&memory);
}

/* Every field of the header, with a checksum that holds. */
static void headers(void)
{
    static const struct {
        size_t offset, bytes;
    } fields[] = {{SUTRA_LOG_HEADER_MAGIC, 8},        {SUTRA_LOG_HEADER_VERSION, 4},
                  {SUTRA_LOG_HEADER_STORE_ID, 16},    {SUTRA_LOG_HEADER_FILE_NUMBER, 8},
                  {SUTRA_LOG_HEADER_FIRST_LSN, 8},    {SUTRA_LOG_HEADER_BEFORE_NUMBER, 8},
                  {SUTRA_LOG_HEADER_BEFORE_BYTES, 8}, {SUTRA_LOG_HEADER_BEFORE_CHECKSUM, 4},
                  {SUTRA_LOG_HEADER_RESERVED, 20}};
    struct memory memory;
    struct sutra_log_end ends[CHAIN_FILES], end;
    struct heard heard;
    struct sutra_fault fault;
    memory_init(&memory);
    make_chain(&memory, ends);
    struct memory_file *file = memory_log(&memory, 5);
    struct sutra_log_replay replay = test_replay_of(&memory, 5, &heard);
    replay.before = &ends[1];
    replay.expected_lsn = ends[1].next_lsn;
    size_t wrong = 0, seen = 0;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        for (size_t at = fields[i].offset; at < fields[i].offset + fields[i].bytes; at++, seen++) {
            uint8_t saved[SUTRA_LOG_HEADER_BYTES];
            memcpy(saved, file->data, sizeof saved);
            file->data[at] ^= 0x20;
            sutra_store_u32(file->data + 92, sutra_crc32c(0, file->data, 92));
            const int status = sutra_log_replay(&replay, &end, NULL, &fault);
            const bool version = fields[i].offset == SUTRA_LOG_HEADER_VERSION;
            wrong += status != (version ? SUTRA_E_VERSION : SUTRA_E_CORRUPT) ||
                     fault.offset != (int64_t)fields[i].offset ||
                     strcmp(fault.what, "log header") != 0 || heard.records != 0;
            memcpy(file->data, saved, sizeof saved);
        }
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(seen, 92 - 8); /* all but the salt */
    /* Another salt makes strangers of all records, which the successor notices. */
    uint8_t saved[SUTRA_LOG_HEADER_BYTES];
    memcpy(saved, file->data, sizeof saved);
    file->data[SUTRA_LOG_HEADER_SALT] ^= 1;
    sutra_store_u32(file->data + 92, sutra_crc32c(0, file->data, 92));
    replay.last = false;
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), 0);
    CHECK(heard.records == 0 && end.bytes == 96);
    memcpy(file->data, saved, sizeof saved);

    /* A version of before the first is none. */
    sutra_store_u32(file->data + SUTRA_LOG_HEADER_VERSION, 0);
    sutra_store_u32(file->data + 92, sutra_crc32c(0, file->data, 92));
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), SUTRA_E_CORRUPT);
    sutra_store_u32(file->data + SUTRA_LOG_HEADER_VERSION, 2);
    sutra_store_u32(file->data + 92, sutra_crc32c(0, file->data, 92));
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), SUTRA_E_VERSION);
    CHECK_EQ(fault.found, 2);
    memcpy(file->data, saved, sizeof saved);

    /* LSNs begin at 1. */
    sutra_store_u64(file->data + SUTRA_LOG_HEADER_FIRST_LSN, 0);
    sutra_store_u32(file->data + 92, sutra_crc32c(0, file->data, 92));
    replay.before = NULL;
    replay.expected_lsn = 0;
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), SUTRA_E_CORRUPT);
    CHECK_EQ(fault.offset, SUTRA_LOG_HEADER_FIRST_LSN);
    memcpy(file->data, saved, sizeof saved);

    /* What was asked for decides: any end of another file, no file before, any LSN. */
    for (int i = 0; i < 6; i++) {
        struct sutra_log_end before = ends[1];
        before.file_number += i == 0;
        before.bytes += i == 1 ? 8 : 0;
        before.last_checksum += i == 2;
        before.next_lsn += i == 3;
        if (i == 4)
            before = (struct sutra_log_end){0};
        replay.before = &before;
        replay.expected_lsn = i == 5 ? ends[1].next_lsn + 1 : 0;
        CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), SUTRA_E_CORRUPT);
    }
    replay.before = NULL;
    replay.expected_lsn = 0;
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), 0);
    CHECK(same_end(&end, &ends[2]));
    static const uint8_t other_id[16] = {0};
    replay.store_id = other_id;
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), SUTRA_E_CORRUPT);
    memory_deinit(&memory);
}

/* Records of another file, with the very LSNs that are next, are no records here. */
static void strangers(void)
{
    struct memory memory;
    struct sutra_log log;
    struct heard heard;
    struct sutra_log_end end;
    struct sutra_fault fault;
    memory_init(&memory);
    for (uint64_t number = 1; number <= 2; number++) {
        REQUIRE(test_create(&log, &memory, number, 1, NULL) == 0);
        for (uint64_t i = 0; i < (number == 1 ? 10 : 4); i++)
            CHECK_EQ(test_append(&log, 0, "same", 4, i), 0);
        sutra_log_close(&log);
    }
    struct memory_file *one = memory_log(&memory, 1), *two = memory_log(&memory, 2);
    CHECK(memcmp(one->data + 96 + 4, two->data + 96 + 4, 28) == 0);
    CHECK(memcmp(one->data + 96, two->data + 96, 4) != 0);
    memcpy(two->data + log.end, one->data + log.end, 6 * 32);
    const struct sutra_log_replay replay = test_replay_of(&memory, 2, &heard);
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), 0);
    CHECK_EQ(heard.records, 4);
    CHECK_EQ(end.bytes, log.end);
    memory_deinit(&memory);
}

/* The newest file was being made when the power went: the one before it is the last, and its tail
 * is looked at again as that. */
static void absent_last_file(void)
{
    struct memory memory;
    struct sutra_log log;
    struct heard heard;
    struct sutra_log_end end, again;
    struct sutra_fault fault;
    memory_init(&memory);
    REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
    for (uint64_t lsn = 1; lsn <= 5; lsn++)
        CHECK_EQ(test_append(&log, 0, "record", 6, lsn - 1), 0);
    memory_put(&memory, 2, (const uint8_t *)"SUTRA", 5);
    struct sutra_log_replay next = test_replay_of(&memory, 2, &heard);
    for (int damaged = 0; damaged <= 1; damaged++) {
        memory_log(&memory, 1)->data[96 + 3 * 32 + 26] ^= (uint8_t)damaged;
        struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
        replay.last = false;
        CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), 0);
        CHECK_EQ(heard.records, damaged ? 3 : 5);
        next.before = &end;
        CHECK_EQ(sutra_log_replay(&next, &again, NULL, &fault), SUTRA_E_TRUNCATED);
        replay.skip_bytes = end.bytes;
        replay.skip_lsn = end.next_lsn;
        replay.skip_checksum = end.last_checksum;
        replay.last = true;
        CHECK_EQ(sutra_log_replay(&replay, &again, NULL, &fault), damaged ? SUTRA_E_CORRUPT : 0);
        CHECK(damaged || same_end(&again, &end));
        CHECK_EQ(heard.records, damaged ? 3 : 5);
    }
    sutra_log_close(&log);
    memory_deinit(&memory);
}

CHECK_MAIN(CASE(chains), CASE(headers), CASE(strangers), CASE(absent_last_file))
