/* The log after a crash and after damage: what is cut, what is reported, what is never believed.
 *
 * A log is made once, with a note of where every record lies and what was durable when it was
 * written. Then its file is what a crash or a fault may leave of it, and a replay must give exactly
 * the batches that are whole, or say that acknowledged ones are damaged.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "log_cases.h"

#define SECTOR ((size_t)512)

/* Replay what is in file 1 after the first `skipped` records; every record that comes is compared.
 */
static int replay_made(struct made_log *made, size_t skipped, struct repeat *repeat,
                       struct sutra_log_end *end_out, uint64_t *torn_out,
                       struct sutra_fault *fault_out)
{
    const struct sutra_log_end from = made_log_end(made, skipped);
    *repeat = (struct repeat){.made = made, .next = skipped};
    const struct sutra_log_replay replay = {
        .io = &made->memory.io,
        .directory = "d",
        .store_id = test_store_id,
        .file_number = 1,
        .expected_lsn = made->first_lsn,
        .skip_bytes = skipped > 0 ? from.bytes : 0,
        .skip_lsn = from.next_lsn,
        .skip_checksum = from.last_checksum,
        .stop_lsn = UINT64_MAX,
        .last = true,
        .each = repeat_hear,
        .context = repeat,
    };
    return sutra_log_replay(&replay, end_out, torn_out, fault_out);
}

/* Records of the finished batches among the first `whole` records. */
static size_t finished_of(const struct made_log *made, size_t whole)
{
    return whole > 0 ? made->notes[whole - 1].finished : 0;
}

/* The file is as it was for so many bytes, and torn after them: the replay finds what is whole. */
static bool finds_whole(struct made_log *made, size_t skipped, uint64_t same_bytes)
{
    struct repeat repeat;
    struct sutra_log_end end;
    struct sutra_fault fault;
    const size_t finished = finished_of(made, made_log_whole(made, same_bytes));
    const int status = replay_made(made, skipped, &repeat, &end, NULL, &fault);
    const struct sutra_log_end expected = made_log_end(made, finished);
    return status == 0 && repeat.wrong == 0 && repeat.next == finished && same_end(&end, &expected);
}

/* ---- every prefix */

enum tail { TAIL_CUT, TAIL_ZEROS, TAIL_OLD, TAIL_RANDOM, TAIL_ONES, TAILS };

/* Put `tail` behind the first `bytes` bytes; the result is how far the file is still the log. */
static uint64_t set_tail(const struct made_log *made, const struct made_log *old,
                         struct memory_file *file, size_t bytes, size_t tail_bytes, int tail)
{
    if (tail_bytes > old->image_bytes - bytes)
        tail_bytes = old->image_bytes - bytes;
    uint8_t *at = file->data + bytes;
    file->bytes = tail == TAIL_CUT ? bytes : bytes + tail_bytes;
    if (tail == TAIL_CUT)
        return bytes;
    if (tail == TAIL_OLD)
        memcpy(at, old->image + bytes, tail_bytes);
    else
        memset(at, tail == TAIL_ONES ? 0xff : 0, tail_bytes);
    if (tail == TAIL_RANDOM)
        for (size_t i = 0; i + 8 <= tail_bytes; i += 8)
            sutra_store_u64(at + i, sutra_random_at(bytes, i));
    /* A tail may happen to go on as the log did. */
    uint64_t same = bytes;
    while (same < file->bytes && file->data[same] == made->image[same])
        same++;
    return same;
}

static void every_prefix(void)
{
    static struct made_log made, old;
    made_log_init(&made, 2000, 11, 1);
    made_log_init(&old, 2000, 11, 2); /* the same batches and LSNs, other salt and payloads */
    REQUIRE(made.count >= 2000 && old.image_bytes == made.image_bytes);
    CHECK(memcmp(made.image, old.image, made.image_bytes) != 0);
    struct memory_file *file = memory_log(&made.memory, 1);
    const size_t stride = test_stride();
    size_t states = 0, wrong = 0, skipped = 0;
    for (size_t bytes = SUTRA_LOG_HEADER_BYTES; bytes <= made.image_bytes; bytes += stride) {
        /* What is far before the cut has been replayed for shorter prefixes. */
        const size_t whole = made_log_whole(&made, bytes);
        skipped = finished_of(&made, whole > 8 ? whole - 8 : 0);
        const size_t from = (size_t)made_log_end(&made, skipped).bytes;
        for (int tail = 0; tail < TAILS; tail++) {
            /* Tails of all lengths to about three records; sometimes all there is, from the top. */
            const bool full = states % 4001 == 0;
            const size_t tail_bytes =
                full ? made.image_bytes : 1 + (size_t)sutra_random_at(bytes, 0) % 300;
            const uint64_t same = set_tail(&made, &old, file, bytes, tail_bytes, tail);
            wrong += !finds_whole(&made, full ? 0 : skipped, same);
            states++;
            if (full)
                memcpy(file->data + from, made.image + from, made.image_bytes - from);
        }
        const size_t dirty = made.image_bytes - bytes < 300 ? made.image_bytes - bytes : 300;
        memcpy(file->data + bytes, made.image + bytes, dirty);
    }
    CHECK_EQ(wrong, 0);
    CHECK(states * stride > 5 * (made.image_bytes - SUTRA_LOG_HEADER_BYTES));
    made_log_deinit(&made);
    made_log_deinit(&old);
}

/* A prefix shorter than the header, or nothing but zeros: as if the file had not been made. */
static void short_headers(void)
{
    static struct made_log made;
    made_log_init(&made, 3, 1, 1);
    struct memory_file *file = memory_log(&made.memory, 1);
    struct repeat repeat;
    struct sutra_log_end end;
    struct sutra_fault fault;
    for (size_t bytes = 0; bytes < SUTRA_LOG_HEADER_BYTES; bytes++) {
        memory_put(&made.memory, 1, made.image, bytes);
        CHECK_EQ(replay_made(&made, 0, &repeat, &end, NULL, &fault), SUTRA_E_TRUNCATED);
        CHECK(strcmp(fault.what, "log header") == 0 && fault.found == bytes);
    }
    memory_resize(file, 0);
    memory_resize(file, (size_t)1 << 20);
    CHECK_EQ(replay_made(&made, 0, &repeat, &end, NULL, &fault), SUTRA_E_TRUNCATED);
    /* The header is synced before anything follows it: this is no crash. */
    file->data[SUTRA_LOG_HEADER_BYTES + 700000] = 1;
    CHECK_EQ(replay_made(&made, 0, &repeat, &end, NULL, &fault), SUTRA_E_CORRUPT);
    memory_put(&made.memory, 1, made.image, made.image_bytes);
    memset(file->data, 0, SUTRA_LOG_HEADER_BYTES);
    CHECK_EQ(replay_made(&made, 0, &repeat, &end, NULL, &fault), SUTRA_E_CORRUPT);
    CHECK(strcmp(fault.what, "log header") == 0);
    CHECK_EQ(repeat.next, 0);
    made_log_deinit(&made);
}

/* ---- sectors */

/* Of what had not been synced when the last of the first `records` records was written, any sectors
 * may have reached the medium. Try every subset, or so many. */
static size_t try_sectors(struct made_log *made, size_t records, size_t sector_bytes,
                          size_t subsets_most, size_t *wrong_inout)
{
    struct memory_file *file = memory_log(&made->memory, 1);
    const size_t synced = made->notes[records - 1].synced;
    const size_t from = (size_t)made_log_end(made, synced).bytes;
    const size_t to = (size_t)made->notes[records - 1].end;
    const size_t first = from / sector_bytes;
    const size_t sectors = (to + sector_bytes - 1) / sector_bytes - first;
    const size_t skipped = finished_of(made, synced > 4 ? synced - 4 : 0);
    const bool all = sectors < 20 && ((size_t)1 << sectors) <= subsets_most;
    const size_t subsets = all ? (size_t)1 << sectors : subsets_most;
    for (size_t n = 0; n < subsets; n++) {
        const uint64_t kept = all ? n : sutra_random_at(records, n);
        memset(file->data + from, 0, to - from);
        for (size_t sector = 0; sector < sectors; sector++) {
            size_t begin = (first + sector) * sector_bytes, end = begin + sector_bytes;
            begin = begin < from ? from : begin;
            end = end > to ? to : end;
            if (kept >> sector % 64 & 1)
                memcpy(file->data + begin, made->image + begin, end - begin);
        }
        size_t same = from;
        while (same < to && file->data[same] == made->image[same])
            same++;
        *wrong_inout += !finds_whole(made, skipped, same);
        /* What was durable is there. */
        *wrong_inout += finished_of(made, made_log_whole(made, same)) < synced;
    }
    return subsets;
}

static void every_sector_subset(void)
{
    static struct made_log made;
    made_log_init(&made, 2000, 23, 3);
    struct memory_file *file = memory_log(&made.memory, 1);
    const size_t stride = test_stride();
    size_t wrong = 0, states = 0, groups = 0;
    memory_resize(file, made.image_bytes + 4096); /* allocated ahead */
    memset(file->data + SUTRA_LOG_HEADER_BYTES, 0, file->bytes - SUTRA_LOG_HEADER_BYTES);
    for (size_t records = 1; records <= made.count; records++) {
        /* The last record before more is known to be durable: all of a group is in flight. */
        if (records < made.count && made.notes[records].synced == made.notes[records - 1].synced)
            continue;
        const size_t synced = (size_t)made_log_end(&made, made.notes[records - 1].synced).bytes;
        memcpy(file->data, made.image, synced);
        if (groups++ % stride == 0)
            states += try_sectors(&made, records, SECTOR, 1024, &wrong) +
                      try_sectors(&made, records, 64, 256, &wrong); /* torn finer than disks do */
        memset(file->data + synced, 0, (size_t)made.notes[records - 1].end - synced);
    }
    CHECK_EQ(wrong, 0);
    CHECK(groups > 150 && states * stride > 20000);
    made_log_deinit(&made);
}

/* ---- bits */

/* Every bit of a small log, and of the zeros behind it, flipped alone. */
static void every_bit(void)
{
    static struct made_log made;
    made_log_init(&made, 60, 5, 4);
    struct memory_file *file = memory_log(&made.memory, 1);
    const size_t bytes = made.image_bytes + 256, synced = made.notes[made.count - 1].synced;
    memory_resize(file, bytes);
    REQUIRE(synced > 20 && synced < made.count);
    size_t in_header = 0, damaged = 0, torn = 0, harmless = 0, wrong = 0;
    for (size_t bit = 0; bit < bytes * 8; bit += test_stride()) {
        struct repeat repeat;
        struct sutra_log_end end;
        struct sutra_fault fault;
        uint64_t torn_bytes;
        file->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        const int status = replay_made(&made, 0, &repeat, &end, &torn_bytes, &fault);
        file->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        const size_t record = made_log_whole(&made, bit / 8); /* the one that it is in */
        const size_t finished = finished_of(&made, record);
        wrong += repeat.wrong != 0;
        if (bit / 8 < SUTRA_LOG_HEADER_BYTES) {
            in_header++;
            wrong += status != SUTRA_E_CORRUPT || repeat.next != 0 ||
                     strcmp(fault.what, "log header") != 0;
        } else if (record < synced) { /* it had been acknowledged, and later ones say so */
            damaged++;
            wrong += status != SUTRA_E_CORRUPT || repeat.next != finished ||
                     fault.offset != (int64_t)made.notes[record].start ||
                     fault.expected != made.first_lsn + record || fault.found <= fault.expected ||
                     strcmp(fault.what, "log record") != 0;
        } else if (record < made.count) { /* the last group: as a crash would leave it */
            torn++;
            wrong += status != 0 || repeat.next != finished ||
                     end.bytes != made_log_end(&made, finished).bytes || torn_bytes == 0;
        } else { /* in what was allocated ahead */
            harmless++;
            wrong +=
                status != 0 || repeat.next != finished || torn_bytes != bit / 8 + 1 - end.bytes;
        }
    }
    CHECK_EQ(wrong, 0);
    CHECK(in_header > 0 && damaged > 0 && torn > 0 && harmless > 0);
    made_log_deinit(&made);
}

/* Whole sectors of acknowledged records lost, zeroed or replaced, alone or many. */
static void lost_sectors(void)
{
    static struct made_log made;
    made_log_init(&made, 400, 6, 5);
    struct memory_file *file = memory_log(&made.memory, 1);
    const size_t synced = made.notes[made.count - 1].synced;
    const size_t safe = (size_t)made_log_end(&made, synced).bytes;
    size_t wrong = 0;
    for (size_t first = 0; (first + 1) * SECTOR <= safe; first++) {
        for (size_t sectors = 1; sectors <= 16; sectors *= 4) {
            for (unsigned kind = 0; kind < 3; kind++) {
                struct repeat repeat;
                struct sutra_log_end end;
                struct sutra_fault fault;
                const size_t begin = first * SECTOR < SUTRA_LOG_HEADER_BYTES
                                         ? SUTRA_LOG_HEADER_BYTES
                                         : first * SECTOR;
                const size_t stop =
                    (first + sectors) * SECTOR < safe ? (first + sectors) * SECTOR : safe;
                if (kind == 0)
                    memset(file->data + begin, 0, stop - begin);
                for (size_t i = begin; kind == 1 && i < stop; i++)
                    file->data[i] = (uint8_t)sutra_random_at(first, i);
                if (kind == 2) /* the sectors that belong further on */
                    memcpy(file->data + begin, made.image + stop,
                           made.image_bytes - stop < stop - begin ? made.image_bytes - stop
                                                                  : stop - begin);
                const int status = replay_made(&made, 0, &repeat, &end, NULL, &fault);
                const bool same = memcmp(file->data, made.image, safe) == 0;
                wrong += status != (same ? 0 : SUTRA_E_CORRUPT) || repeat.wrong != 0;
                memcpy(file->data + begin, made.image + begin, stop - begin);
            }
        }
    }
    CHECK_EQ(wrong, 0);
    made_log_deinit(&made);
}

/* The newest group has nothing behind it that says that it was durable, until there is a marker. */
static void markers_vouch(void)
{
    for (int marked = 0; marked <= 1; marked++) {
        struct memory memory;
        struct sutra_log log;
        struct heard heard;
        struct sutra_log_end end;
        struct sutra_fault fault;
        uint64_t torn;
        memory_init(&memory);
        REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
        CHECK_EQ(test_append(&log, 0, "first", 5, 0), 0);
        const uint64_t second = log.end;
        CHECK_EQ(test_append(&log, 0, "second", 6, 0), 0);
        CHECK_EQ(sutra_log_sync(&log), 0);
        if (marked)
            CHECK_EQ(sutra_log_append(&log, 0, NULL, 0, 2), 0);
        memory_log(&memory, 1)->data[second + 26] ^= 4;
        const struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
        const int status = sutra_log_replay(&replay, &end, &torn, &fault);
        if (marked) {
            CHECK_EQ(status, SUTRA_E_CORRUPT);
            CHECK_EQ(fault.offset, second);
            CHECK_EQ(fault.expected, 2);
            CHECK_EQ(fault.found, 3);
        } else {
            CHECK_EQ(status, 0);
            CHECK_EQ(end.bytes, second);
            CHECK_EQ(torn, SUTRA_LOG_RECORD_HEADER_BYTES + 6);
        }
        CHECK_EQ(heard.records, 1);
        sutra_log_close(&log);
        memory_deinit(&memory);
    }
}

/* The shortest record lost, and vouched for by the one right behind it. */
static void lost_markers(void)
{
    struct memory memory;
    struct sutra_log log;
    struct heard heard;
    struct sutra_log_end end;
    struct sutra_fault fault;
    memory_init(&memory);
    REQUIRE(test_create(&log, &memory, 1, 1, NULL) == 0);
    for (uint64_t lsn = 1; lsn <= 3; lsn++)
        CHECK_EQ(sutra_log_append(&log, 0, NULL, 0, lsn - 1), 0);
    struct memory_file *file = memory_log(&memory, 1);
    const struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
    for (int kind = 0; kind < 2; kind++) {
        memset(file->data + log.end - 48, kind == 0 ? 0x55 : 0, 24);
        CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), SUTRA_E_CORRUPT);
        CHECK(fault.expected == 2 && fault.found == 3 && fault.offset == (int64_t)log.end - 48);
    }
    sutra_log_close(&log);
    memory_deinit(&memory);
}

/* ---- anything at all */

static void fix_checksums(uint8_t *data, size_t bytes)
{
    if (bytes < SUTRA_LOG_HEADER_BYTES)
        return;
    sutra_store_u32(data + SUTRA_LOG_HEADER_CRC, sutra_crc32c(0, data, SUTRA_LOG_HEADER_CRC));
    const uint32_t seed = sutra_crc32c(0, data + SUTRA_LOG_HEADER_SALT, 8);
    for (size_t at = SUTRA_LOG_HEADER_BYTES; at + SUTRA_LOG_RECORD_HEADER_BYTES <= bytes;) {
        const uint64_t payload = sutra_load_u32(data + at + SUTRA_LOG_RECORD_PAYLOAD_BYTES);
        const uint64_t record = SUTRA_LOG_RECORD_HEADER_BYTES + (payload + 7) / 8 * 8;
        if (record > bytes - at)
            return;
        sutra_store_u32(data + at, sutra_crc32c(seed, data + at + 4, (size_t)record - 4));
        at += (size_t)record;
    }
}

static size_t mutate(uint8_t *data, size_t bytes, size_t room, uint64_t seed)
{
    const unsigned edits = 1 + (unsigned)(sutra_random_at(seed, 0) % 4);
    for (unsigned edit = 0; edit < edits; edit++) {
        const uint64_t a = sutra_random_at(seed, 3 * edit + 1);
        const uint64_t b = sutra_random_at(seed, 3 * edit + 2);
        const uint64_t c = sutra_random_at(seed, 3 * edit + 3);
        if (bytes < 64)
            break;
        const size_t at = (size_t)(a % bytes), from = (size_t)(b % bytes);
        size_t run = 1 + (size_t)(c >> 8) % 96;
        run = run < bytes - at ? run : bytes - at;
        run = run < bytes - from ? run : bytes - from;
        switch (c % 8) {
        case 0:
            data[at] ^= (uint8_t)(1u << (b & 7));
            break;
        case 1: /* the fields of some place where a record may begin */
            if ((at & ~(size_t)7) + 24 <= bytes)
                sutra_store_u32(data + (at & ~(size_t)7) + 4 * (b % 6),
                                (uint32_t)(c % 3 == 0 ? b >> 32 : b >> 58));
            break;
        case 2:
            memset(data + at, c >> 20 & 1 ? 0 : 0xff, run);
            break;
        case 3:
            memmove(data + at, data + from, run);
            break;
        case 4: /* records moved, as a whole block of eights */
            memmove(data + (at & ~(size_t)7), data + (from & ~(size_t)7), run & ~(size_t)7);
            break;
        case 5:
            bytes = at;
            break;
        case 6:
            run = run < room - bytes ? run : room - bytes;
            memset(data + bytes, (int)(c >> 24 & 255), run);
            bytes += run;
            break;
        default: /* a piece taken out */
            memmove(data + at, data + at + run, bytes - at - run);
            bytes -= run;
            break;
        }
    }
    return bytes;
}

/* Random damage: nothing is ever handed over that was not written, unless its checksum was made to
 * hold, and then still in order and inside the file. */
static void mutations(void)
{
    static struct made_log made;
    made_log_init(&made, 50, 7, 6);
    struct memory_file *file = memory_log(&made.memory, 1);
    const size_t room = made.image_bytes + 1024;
    size_t opened = 0, refused = 0, wrong = 0;
    memory_resize(file, room);
    for (uint64_t n = 0; n < 10000; n++) {
        memset(file->data, 0, room);
        memcpy(file->data, made.image, made.image_bytes);
        file->bytes = mutate(file->data, made.image_bytes + (n & 1) * 512, room, n);
        const bool fixed = n % 3 == 0;
        if (fixed)
            fix_checksums(file->data, file->bytes);
        struct sutra_log_end end;
        struct sutra_fault fault;
        uint64_t torn;
        struct repeat repeat = {.made = &made};
        struct heard heard;
        struct sutra_log_replay replay = test_replay_of(&made.memory, 1, &heard);
        if (!fixed) {
            replay.each = repeat_hear;
            replay.context = &repeat;
        }
        replay.last = n % 5 != 0;
        const int status = sutra_log_replay(&replay, &end, &torn, &fault);
        if (status == 0) {
            opened++;
            wrong += end.bytes < SUTRA_LOG_HEADER_BYTES || end.bytes > file->bytes ||
                     end.bytes % 8 != 0 || torn > file->bytes - end.bytes;
        } else {
            refused++;
            wrong += status != SUTRA_E_CORRUPT && status != SUTRA_E_TRUNCATED &&
                     status != SUTRA_E_VERSION;
            wrong += fault.what == NULL || fault.offset < 0 || fault.offset > (int64_t)file->bytes;
        }
        wrong += repeat.wrong != 0 || heard.out_of_order || heard.misaligned || heard.unfinished;
    }
    CHECK_EQ(wrong, 0);
    CHECK(opened > 1000 && refused > 1000);
    made_log_deinit(&made);
}

/* Tails full of what could be records, each as long as the rest: refused after bounded work. */
static void costly_tails(void)
{
    struct memory memory;
    struct sutra_log log;
    struct heard heard;
    struct sutra_log_end end;
    struct sutra_fault fault;
    const size_t bytes = (size_t)1 << 20;
    memory_init(&memory);
    REQUIRE(test_create(&log, &memory, 1, 100, NULL) == 0);
    CHECK_EQ(test_append(&log, 0, "one", 3, 99), 0);
    struct memory_file *file = memory_log(&memory, 1);
    memory_resize(file, bytes);
    for (size_t at = (size_t)log.end + 24; at + 24 <= bytes; at += 24) {
        sutra_store_u32(file->data + at + SUTRA_LOG_RECORD_CHECKSUM, 12345);
        sutra_store_u32(file->data + at + SUTRA_LOG_RECORD_PAYLOAD_BYTES,
                        (uint32_t)(bytes - at - 24));
        sutra_store_u64(file->data + at + SUTRA_LOG_RECORD_LSN, 102);
        sutra_store_u32(file->data + at + SUTRA_LOG_RECORD_DURABLE_DELTA, 1);
    }
    const struct sutra_log_replay replay = test_replay_of(&memory, 1, &heard);
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), SUTRA_E_CORRUPT);
    CHECK_EQ(fault.offset, log.end);
    CHECK_EQ(fault.expected, 101);
    CHECK_EQ(fault.found, 0);
    CHECK(memory.read_bytes < 40 * (uint64_t)bytes);
    CHECK_EQ(heard.records, 1);
    /* Eights of anything else are no such tail. */
    for (size_t at = (size_t)log.end; at + 8 <= bytes; at += 8)
        sutra_store_u64(file->data + at, sutra_random_at(9, at));
    CHECK_EQ(sutra_log_replay(&replay, &end, NULL, &fault), 0);
    CHECK_EQ(end.bytes, log.end);
    sutra_log_close(&log);
    memory_deinit(&memory);
}

CHECK_MAIN(CASE(every_prefix), CASE(short_headers), CASE(every_sector_subset), CASE(every_bit),
           CASE(lost_sectors), CASE(markers_vouch), CASE(lost_markers), CASE(mutations),
           CASE(costly_tails))
