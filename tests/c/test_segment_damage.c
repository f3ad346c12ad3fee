/* Segments that are damaged, cut off, taken for others, or interrupted while they are written or
 * read.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "segment_pair.h"

/* ---- accidents */

static void every_bit_of_the_header_counts(void)
{
    struct chain chain;
    struct rows *rows = make_both(&chain, true);
    REQUIRE(rows != NULL);
    for (uint64_t offset = 0; offset < SUTRA_SEGMENT_HEADER_BYTES; offset++) {
        const uint8_t mask = (uint8_t)(1u << offset % 8);
        REQUIRE(flip(&chain.place, "00000002.seg", offset, mask));
        struct sutra_segment segment;
        struct sutra_fault fault;
        CHECK_EQ(open_one(&chain, 1, false, &segment, &fault), SUTRA_E_CORRUPT);
        CHECK(fault.what != NULL && strcmp(fault.what, "segment header") == 0);
        CHECK(fault.offset >= 0);
        CHECK(segment.block_checksums == NULL);
        REQUIRE(flip(&chain.place, "00000002.seg", offset, mask));
    }
    CHECK(open_chain(&chain));
    free(rows);
    remove_chain(&chain);
}

static void every_block_is_checked(void)
{
    for (int simulated = 0; simulated < 2; simulated++) {
        struct chain chain;
        struct rows *rows = make_both(&chain, simulated);
        REQUIRE(rows != NULL);
        REQUIRE(open_chain(&chain));
        struct random random = {.seed = 5};
        for (size_t s = 0; s < 2; s++) {
            const struct sutra_segment *segment = &chain.segments[s];
            char name[SUTRA_SEGMENT_NAME_BYTES];
            name_of(s, name);
            for (uint64_t block = 0; block < segment->block_count; block++) {
                const size_t length = block_of(segment->data_bytes, block);
                REQUIRE(length > SUTRA_SEGMENT_HEADER_BYTES);
                const uint64_t places[] = {0, length - 1, random_below(&random, length),
                                           SUTRA_SEGMENT_HEADER_BYTES,
                                           SUTRA_SEGMENT_HEADER_BYTES - 1};
                for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
                    const uint64_t at = block * BLOCK + places[p];
                    REQUIRE(flip(&chain.place, name, at, 0x10));
                    struct sutra_fault fault;
                    CHECK_EQ(sutra_segment_check(segment, 0, 0, &fault), SUTRA_E_CORRUPT);
                    CHECK_EQ(fault.offset, block * BLOCK);
                    CHECK_EQ(sutra_segment_check(segment, at, 1, &fault), SUTRA_E_CORRUPT);
                    CHECK_EQ(sutra_segment_check(segment, at, 1, NULL), SUTRA_E_CORRUPT);
                    if (block > 0)
                        CHECK_EQ(sutra_segment_check(segment, 0, block * BLOCK, &fault), SUTRA_OK);
                    const uint64_t after = block * BLOCK + length;
                    CHECK_EQ(sutra_segment_check(segment, after, segment->bytes - after, &fault),
                             SUTRA_OK);
                    REQUIRE(flip(&chain.place, name, at, 0x10));
                }
            }
            /* The checksums themselves, at open and later. */
            for (uint64_t at = segment->data_bytes; at < segment->bytes; at++) {
                REQUIRE(flip(&chain.place, name, at, 0x80));
                struct sutra_fault fault;
                CHECK_EQ(sutra_segment_check(segment, 0, 0, &fault), SUTRA_E_CORRUPT);
                CHECK_EQ(fault.offset, at / 4 * 4);
                CHECK_EQ(sutra_segment_check(segment, 0, segment->data_bytes, &fault), SUTRA_OK);
                struct sutra_segment other;
                CHECK_EQ(open_one(&chain, s, s == 0, &other, &fault), SUTRA_E_CORRUPT);
                CHECK(strcmp(fault.what, "block checksums") == 0);
                REQUIRE(flip(&chain.place, name, at, 0x80));
            }
            CHECK_EQ(sutra_segment_check(segment, 0, 0, &chain.fault), SUTRA_OK);
            CHECK_EQ(sutra_segment_check(segment, segment->bytes, 1, &chain.fault),
                     SUTRA_E_ARGUMENT);
            CHECK_EQ(sutra_segment_check(segment, UINT64_MAX, 2, &chain.fault), SUTRA_E_ARGUMENT);
        }
        free(rows);
        remove_chain(&chain);
    }
}

/* What is read into memory: patches and the store's own bytes always, ranges when asked. */
static void loading_finds_damage(void)
{
    struct chain chain;
    struct rows *rows = make_both(&chain, true);
    REQUIRE(rows != NULL);
    REQUIRE(open_chain(&chain));
    const struct sutra_segment *first = &chain.segments[0], *second = &chain.segments[1];
    struct sutra_plane plane;
    for (int way = 0; way < 4; way++) {
        const bool hot = way & 1;
        chain.source.checked = way & 2;
        /* Rows of the large range, the padding after it, numbers and rows of the patch; rows of the
         * small range, which are in the patch's block. */
        const struct {
            size_t segment;
            uint64_t offset;
            bool is_range;
        } places[] = {
            {0, first->sections[1].offset + 100, true},
            {0, first->sections[1].offset + first->sections[1].bytes, true},
            {1, second->sections[0].offset, false},
            {1, second->sections[0].offset + second->sections[0].bytes - 1, false},
            {1, second->sections[1].offset, false},
        };
        for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
            char name[SUTRA_SEGMENT_NAME_BYTES];
            name_of(places[p].segment, name);
            REQUIRE(flip(&chain.place, name, places[p].offset, 2));
            const int status =
                sutra_segment_chain_load(&chain.source, KIND, ROW, SECOND, hot, 0, &plane);
            /* Whole blocks of a cold plane are mapped unread. */
            const bool read = !places[p].is_range || (chain.source.checked && (hot || p == 1));
            CHECK_EQ(status, read ? SUTRA_E_CORRUPT : SUTRA_OK);
            if (status != SUTRA_OK) {
                CHECK(strcmp(chain.source.fault_file, name) == 0);
                CHECK_EQ(chain.fault.offset, places[p].offset / BLOCK * BLOCK);
                CHECK(plane.base == NULL);
            }
            sutra_plane_release(&plane);
            REQUIRE(flip(&chain.place, name, places[p].offset, 2));
        }
        REQUIRE(sutra_segment_chain_load(&chain.source, KIND, ROW, SECOND, hot, 0, &plane) ==
                SUTRA_OK);
        CHECK(memcmp(plane.base, rows->plane, sizeof rows->plane) == 0);
        sutra_plane_release(&plane);
    }
    for (uint64_t at = 0; at < OWN_BYTES; at += 9999) {
        uint8_t *data;
        size_t bytes;
        REQUIRE(flip(&chain.place, "00000001.seg", first->sections[0].offset + at, 2));
        CHECK_EQ(sutra_segment_read_bytes(first, OWN_KIND, &data, &bytes, &chain.fault),
                 SUTRA_E_CORRUPT);
        CHECK(data == NULL && bytes == 0);
        REQUIRE(flip(&chain.place, "00000001.seg", first->sections[0].offset + at, 2));
        CHECK_EQ(sutra_segment_read_bytes(first, OWN_KIND, &data, &bytes, &chain.fault), SUTRA_OK);
        CHECK(bytes == OWN_BYTES && memcmp(data, rows->own, bytes) == 0);
        free(data);
    }
    free(rows);
    remove_chain(&chain);
}

#if defined(__linux__)
static size_t count_mappings(void)
{
    size_t lines = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    for (int c; maps != NULL && (c = fgetc(maps)) != EOF;)
        lines += c == '\n';
    if (maps != NULL)
        (void)fclose(maps);
    return lines;
}
#endif

static void failed_loads_give_their_memory_back(void)
{
#if !defined(__linux__)
    SKIP("mappings cannot be counted here");
#else
    struct chain chain;
    struct rows *rows = make_both(&chain, false);
    REQUIRE(rows != NULL);
    REQUIRE(open_chain(&chain));
    /* The patch, which comes last. */
    REQUIRE(flip(&chain.place, "00000002.seg", chain.segments[1].sections[0].offset, 1));
    const size_t before = count_mappings();
    for (int trial = 0; trial < 40; trial++) {
        struct sutra_plane plane;
        CHECK_EQ(sutra_segment_chain_load(&chain.source, KIND, ROW, SECOND, trial % 2, 0, &plane),
                 SUTRA_E_CORRUPT);
    }
    CHECK(count_mappings() < before + 10);
    free(rows);
    remove_chain(&chain);
#endif
}

static void lengths_must_be_right(void)
{
    struct chain chain;
    struct rows *rows = make_both(&chain, false);
    REQUIRE(rows != NULL);
    size_t bytes;
    uint8_t *sound = read_whole(&chain.place, "00000001.seg", &bytes);
    REQUIRE(sound != NULL && bytes == chain.bytes[0]);
    struct sutra_segment segment;
    struct sutra_fault fault;
    struct random random = {.seed = 6};
    for (int trial = 0; trial < 200; trial++) {
        size_t length = (size_t)random_below(&random, bytes);
        if (trial < 12)
            length = bytes - (size_t)trial - 1;
        else if (trial < 24)
            length = (size_t)trial - 12;
        else if (trial < 32)
            length = (size_t)(trial - 24) * (BLOCK + 4);
        else if (trial < 40)
            length = (size_t)(trial - 32) * BLOCK;
        if (length >= bytes)
            continue;
        REQUIRE(write_whole(&chain.place, "00000001.seg", sound, length));
        CHECK_EQ(open_one(&chain, 0, true, &segment, &fault), SUTRA_E_TRUNCATED);
        CHECK_EQ(open_one(&chain, 0, false, &segment, &fault), SUTRA_E_TRUNCATED);
    }
    uint8_t *longer = calloc(1, bytes + BLOCK + 4);
    REQUIRE(longer != NULL);
    memcpy(longer, sound, bytes);
    static const size_t more[] = {1, 4, BLOCK, BLOCK + 4};
    for (size_t m = 0; m < 4; m++) {
        REQUIRE(write_whole(&chain.place, "00000001.seg", longer, bytes + more[m]));
        CHECK_EQ(open_one(&chain, 0, true, &segment, &fault), SUTRA_E_CORRUPT);
        CHECK_EQ(open_one(&chain, 0, false, &segment, &fault), SUTRA_E_CORRUPT);
        CHECK(strcmp(fault.what, "file length") == 0);
    }
    /* Cut after it was opened: an error, not a signal. */
    REQUIRE(write_whole(&chain.place, "00000001.seg", sound, bytes));
    REQUIRE(open_chain(&chain));
    REQUIRE(write_whole(&chain.place, "00000001.seg", sound, 3 * BLOCK));
    CHECK_EQ(sutra_segment_check(&chain.segments[0], 0, 0, &fault), SUTRA_E_TRUNCATED);
    for (int hot = 0; hot < 2; hot++) {
        struct sutra_plane plane;
        CHECK_EQ(sutra_segment_chain_load(&chain.source, KIND, ROW, SECOND, hot, 0, &plane),
                 SUTRA_E_TRUNCATED);
        CHECK(strcmp(chain.source.fault_file, "00000001.seg") == 0);
    }
    free(longer);
    free(sound);
    free(rows);
    remove_chain(&chain);
}

static void other_files_are_refused(void)
{
    struct chain chain;
    struct rows *rows = make_both(&chain, false);
    REQUIRE(rows != NULL);
    struct sutra_segment segment;
    struct sutra_fault fault;
    CHECK_EQ(sutra_segment_open(chain.place.io, chain.place.directory, store_id, 1,
                                chain.bytes[0] + 1, NULL, &segment, &fault),
             SUTRA_E_TRUNCATED);
    CHECK_EQ(sutra_segment_open(chain.place.io, chain.place.directory, store_id, 1,
                                chain.bytes[0] - 1, NULL, &segment, &fault),
             SUTRA_E_CORRUPT);
    uint8_t other_id[16];
    memcpy(other_id, store_id, 16);
    other_id[15] ^= 1;
    CHECK_EQ(sutra_segment_open(chain.place.io, chain.place.directory, other_id, 1, 0, NULL,
                                &segment, &fault),
             SUTRA_E_CORRUPT);
    CHECK(strcmp(fault.what, "store id") == 0);
    CHECK_EQ(open_one(&chain, 2, false, &segment, &fault), ENOENT);
    CHECK_EQ(sutra_segment_open(chain.place.io, chain.place.directory, store_id, 1, 0,
                                chain.identities[1], &segment, &fault),
             SUTRA_E_CORRUPT);
    CHECK(strcmp(fault.what, "segment identity") == 0);

    char from[192], to[192];
    path_of(&chain.place, "00000001.seg", from);
    path_of(&chain.place, "00000003.seg", to);
    REQUIRE(chain.place.io->link(chain.place.io->context, from, to) == SUTRA_OK);
    CHECK_EQ(open_one(&chain, 2, false, &segment, &fault), SUTRA_E_CORRUPT);
    CHECK(strcmp(fault.what, "file number") == 0);
    CHECK(fault.expected == 3 && fault.found == 1);

    /* A newer version says so, a damaged version number does not. */
    size_t bytes;
    uint8_t *file = read_whole(&chain.place, "00000001.seg", &bytes);
    REQUIRE(file != NULL);
    sutra_store_u32(file + SUTRA_SEGMENT_HEADER_VERSION, SUTRA_SEGMENT_VERSION + 1);
    REQUIRE(write_whole(&chain.place, "00000001.seg", file, bytes));
    CHECK_EQ(open_one(&chain, 0, false, &segment, &fault), SUTRA_E_CORRUPT);
    sutra_store_u32(file + SUTRA_SEGMENT_HEADER_CRC,
                    sutra_crc32c(0, file, SUTRA_SEGMENT_HEADER_CRC));
    REQUIRE(write_whole(&chain.place, "00000001.seg", file, bytes));
    CHECK_EQ(open_one(&chain, 0, false, &segment, &fault), SUTRA_E_VERSION);
    CHECK_EQ(fault.found, SUTRA_SEGMENT_VERSION + 1);
    CHECK_EQ(open_one(&chain, 0, false, &segment, NULL), SUTRA_E_VERSION);
    free(file);
    free(rows);
    remove_chain(&chain);
}

/* A block in another's place, of the same file or of another. */
static void blocks_know_their_place(void)
{
    struct chain chain;
    struct rows *rows = make_both(&chain, true);
    REQUIRE(rows != NULL);
    REQUIRE(open_chain(&chain));
    const struct sutra_segment *segment = &chain.segments[0];
    static uint8_t block[SUTRA_SEGMENT_BLOCK];
    for (uint64_t at = 1; at < segment->block_count; at++) {
        const size_t length = block_of(segment->data_bytes, at);
        REQUIRE(sutra_io_read_all(segment->io, segment->fd, at * BLOCK, block, length) == SUTRA_OK);
        for (uint64_t place = 0; place < 6; place++) {
            const uint32_t there = sutra_segment_block_checksum(1, place, block, length);
            CHECK((there == segment->block_checksums[at]) == (place == at));
        }
        CHECK(sutra_segment_block_checksum(2, at, block, length) != segment->block_checksums[at]);
    }
    /* What was damaged once stays so for a reader that asks again. */
    struct sutra_block_reader reader = sutra_block_reader_of(segment);
    static uint8_t before[64], after[64];
    CHECK_EQ(sutra_block_reader_read(&reader, BLOCK, before, 64, &chain.fault), SUTRA_OK);
    REQUIRE(flip(&chain.place, "00000001.seg", 2 * BLOCK + 5, 1));
    for (int again = 0; again < 3; again++)
        CHECK_EQ(sutra_block_reader_read(&reader, 2 * BLOCK, block, 3, &chain.fault),
                 SUTRA_E_CORRUPT);
    CHECK_EQ(sutra_block_reader_read(&reader, BLOCK, after, 64, &chain.fault), SUTRA_OK);
    CHECK(memcmp(before, after, 64) == 0);
    REQUIRE(flip(&chain.place, "00000001.seg", 2 * BLOCK + 5, 1));
    CHECK_EQ(sutra_block_reader_read(&reader, 2 * BLOCK, block, 3, &chain.fault), SUTRA_OK);
    sutra_block_reader_deinit(&reader);
    free(rows);
    remove_chain(&chain);
}

/* ---- interruptions */

static int files_open;
static const struct sutra_io *counted_io;

static int counted_open(void *context, const char *path, int how, int *fd_out)
{
    const int status = counted_io->open(context, path, how, fd_out);
    files_open += status == SUTRA_OK;
    return status;
}

static void counted_close(void *context, int fd)
{
    files_open--;
    counted_io->close(context, fd);
}

/* The table, with descriptors counted in files_open. */
static struct sutra_io count_files(const struct sutra_io *io)
{
    struct sutra_io counting = *io;
    counted_io = io;
    files_open = 0;
    counting.open = counted_open;
    counting.close = counted_close;
    return counting;
}

static void interrupted_writers_leave_nothing(void)
{
    static const int errors[] = {EIO, ENOSPC, EINTR, 0 /* a short transfer */};
    for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
        struct chain chain;
        struct rows *rows = malloc(sizeof *rows);
        REQUIRE(rows != NULL && make_chain(&chain, true));
        const struct sutra_io counting = count_files(chain.place.io);
        struct sutra_faulty faulty;
        sutra_faulty_init(&faulty, &counting);
        faulty.error = errors[e];
        faulty.short_transfer = errors[e] == 0;
        int failures = 0, survived = 0;
        for (uint64_t k = 1;; k++) {
            faulty.calls = faulty.failed = 0;
            faulty.fail_at = k;
            const int status = write_first(&faulty.io, chain.place.directory, rows, &chain.bytes[0],
                                           chain.identities[0]);
            CHECK_EQ(files_open, 0);
            if (status != SUTRA_OK) {
                CHECK_EQ(status, errors[e]);
                CHECK_EQ(list_place(&chain.place).count, 0);
                failures++;
            } else {
                CHECK_EQ(list_place(&chain.place).count, 1);
                chain.count = 1;
                CHECK(open_chain(&chain));
                CHECK_EQ(sutra_segment_check(&chain.segments[0], 0, 0, &chain.fault), SUTRA_OK);
                close_chain(&chain);
                empty_place(&chain.place);
                survived += faulty.calls >= k;
            }
            if (faulty.calls < k)
                break;
        }
        CHECK(errors[e] == 0 ? failures == 0 : failures >= 3);
        /* Allocating is a hint, but a full disk is one whoever says so. */
        if (errors[e] == EIO || errors[e] == ENOSPC)
            CHECK_EQ(survived, errors[e] == EIO ? 2 : 0);
        /* For ever from some call on: an error, and no leak. */
        faulty.sticky = true;
        for (uint64_t k = 1; errors[e] == EIO; k++) {
            faulty.calls = faulty.failed = 0;
            faulty.fail_at = k;
            const int status = write_first(&faulty.io, chain.place.directory, rows, &chain.bytes[0],
                                           chain.identities[0]);
            CHECK_EQ(files_open, 0);
            CHECK_EQ(status, faulty.calls >= k ? EIO : SUTRA_OK);
            CHECK_EQ(has_file(&chain.place, "00000001.seg"), status == SUTRA_OK);
            empty_place(&chain.place);
            if (faulty.calls < k)
                break;
        }
        free(rows);
        remove_chain(&chain);
    }
}

static void a_full_disk_is_found(void)
{
    struct chain chain;
    struct rows *rows = malloc(sizeof *rows);
    REQUIRE(rows != NULL && make_chain(&chain, true));
    int refused = 0;
    for (uint64_t capacity = 0; capacity < 6 * BLOCK + 100; capacity += 5000) {
        sutra_simulated_set_capacity(chain.place.simulated, capacity);
        const int status = write_first(chain.place.io, chain.place.directory, rows, &chain.bytes[0],
                                       chain.identities[0]);
        CHECK(status == SUTRA_OK || status == ENOSPC);
        CHECK_EQ(list_place(&chain.place).count, status == SUTRA_OK);
        refused += status != SUTRA_OK;
        empty_place(&chain.place);
    }
    CHECK(refused > 50);
    sutra_simulated_set_capacity(chain.place.simulated, UINT64_MAX);
    CHECK_EQ(write_first(chain.place.io, chain.place.directory, rows, &chain.bytes[0],
                         chain.identities[0]),
             SUTRA_OK);
    free(rows);
    remove_chain(&chain);
}

static int open_and_load(struct chain *chain, const struct sutra_io *io, const struct rows *rows,
                         bool hot)
{
    struct chain other = *chain;
    other.place.io = io;
    other.source = (struct sutra_segment_chain){
        .segments = other.segments, .fault = &other.fault, .checked = true};
    int status = SUTRA_OK;
    for (size_t s = 0; s < 2 && status == SUTRA_OK; s++) {
        status = open_one(&other, s, true, &other.segments[s], &other.fault);
        other.source.count += status == SUTRA_OK;
    }
    struct sutra_plane plane = {0};
    if (status == SUTRA_OK)
        status = sutra_segment_chain_load(&other.source, KIND, ROW, SECOND, hot, 0, &plane);
    if (status == SUTRA_OK)
        CHECK(memcmp(plane.base, rows->plane, sizeof rows->plane) == 0);
    else
        CHECK(plane.base == NULL);
    sutra_plane_release(&plane);
    uint8_t *data = NULL;
    size_t bytes;
    if (status == SUTRA_OK)
        status =
            sutra_segment_read_bytes(&other.segments[0], OWN_KIND, &data, &bytes, &other.fault);
    CHECK((status == SUTRA_OK) == (data != NULL));
    free(data);
    if (status == SUTRA_OK)
        status = sutra_segment_check(&other.segments[1], 0, 0, &other.fault);
    close_chain(&other);
    return status;
}

static void interrupted_readers_say_so(void)
{
    for (int simulated = 0; simulated < 2; simulated++) {
        struct chain chain;
        struct rows *rows = make_both(&chain, simulated);
        REQUIRE(rows != NULL);
        const struct sutra_io counting = count_files(chain.place.io);
        for (int way = 0; way < 4; way++) {
            const bool hot = way & 1, is_short = way & 2;
            int failures = 0, survived = 0;
            for (uint64_t k = 1;; k++) {
                struct sutra_faulty faulty;
                sutra_faulty_init(&faulty, &counting);
                faulty.short_transfer = is_short;
                faulty.fail_at = k;
                const int status = open_and_load(&chain, &faulty.io, rows, hot);
                CHECK_EQ(files_open, 0);
                CHECK(status == SUTRA_OK || status == EIO);
                if (faulty.calls < k)
                    break;
                failures += status == EIO;
                survived += status == SUTRA_OK;
            }
            if (is_short) {
                CHECK_EQ(failures, 0);
            } else {
                /* A mapping that fails is read instead: one for each range. */
                CHECK_EQ(survived, hot ? 0 : 2);
                CHECK(failures > 10);
            }
        }
        free(rows);
        remove_chain(&chain);
    }
}

/* After a power cut at any moment the file is not there or it is right. */
static void names_come_after_contents(void)
{
    struct chain chain;
    struct rows *rows = malloc(sizeof *rows);
    REQUIRE(rows != NULL && make_chain(&chain, true));
    struct sutra_simulated *fs = chain.place.simulated;
    REQUIRE(chain.place.io->sync_directory(chain.place.io->context, "/") == SUTRA_OK);
    REQUIRE(sutra_simulated_record(fs) == SUTRA_OK);
    const uint64_t start = sutra_simulated_operations(fs);
    REQUIRE(write_first(chain.place.io, chain.place.directory, rows, &chain.bytes[0],
                        chain.identities[0]) == SUTRA_OK);
    REQUIRE(chain.place.io->sync_directory(chain.place.io->context, chain.place.directory) ==
            SUTRA_OK);
    const uint64_t end = sutra_simulated_operations(fs);
    unsigned seen = 0, states = 0;
    for (uint64_t operation = start; operation <= end; operation++) {
        const size_t flying = sutra_simulated_in_flight(fs, operation);
        for (int policy = SUTRA_CRASH_LOSE_ALL; policy <= SUTRA_CRASH_SUBSET; policy++) {
            const size_t choices = policy <= SUTRA_CRASH_KEEP_ALL ? 1
                                   : policy == SUTRA_CRASH_SUBSET ? 8
                                                                  : flying;
            for (size_t choice = 0; choice < choices; choice++) {
                struct chain after = chain;
                REQUIRE(sutra_simulated_crash(fs, operation, policy, choice, choice,
                                              &after.place.simulated) == SUTRA_OK);
                after.place.io = sutra_simulated_io(after.place.simulated);
                after.source.count = 0;
                states++;
                if (has_file(&after.place, "00000001.seg")) {
                    seen++;
                    after.count = 1;
                    CHECK(open_chain(&after));
                    CHECK_EQ(sutra_segment_check(&after.segments[0], 0, 0, &after.fault), SUTRA_OK);
                } else {
                    CHECK(operation < end);
                }
                close_chain(&after);
                sutra_simulated_free(after.place.simulated);
            }
        }
    }
    CHECK(states > 50 && seen > 5 && seen < states / 2);
    free(rows);
    remove_chain(&chain);
}

CHECK_MAIN(CASE(every_bit_of_the_header_counts), CASE(every_block_is_checked),
           CASE(loading_finds_damage), CASE(failed_loads_give_their_memory_back),
           CASE(lengths_must_be_right), CASE(other_files_are_refused),
           CASE(blocks_know_their_place), CASE(interrupted_writers_leave_nothing),
           CASE(a_full_disk_is_found), CASE(interrupted_readers_say_so),
           CASE(names_come_after_contents))
