/* Segments whose tables are wrong, under checksums that are right.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "segment_pair.h"

struct change {
    uint32_t at; /* in the header */
    bool wide;
    uint64_t value;
};

#define IN_ENTRY(entry, field, wide, value)                                                        \
    {                                                                                              \
        SUTRA_SEGMENT_HEADER_SECTIONS + (entry)*SUTRA_SEGMENT_ENTRY_SIZE +                         \
            SUTRA_SEGMENT_ENTRY_##field,                                                           \
            wide, value                                                                            \
    }
#define KIND_OF(entry, value) IN_ENTRY(entry, KIND, false, value)
#define FORM_OF(entry, value) IN_ENTRY(entry, FORM, false, value)
#define WIDTH_OF(entry, value) IN_ENTRY(entry, ROW_BYTES, false, value)
#define FIRST_OF(entry, value) IN_ENTRY(entry, FIRST_ROW, true, value)
#define ROWS_OF(entry, value) IN_ENTRY(entry, ROWS, true, value)
#define OFFSET_OF(entry, value) IN_ENTRY(entry, OFFSET, true, value)
#define BYTES_OF(entry, value) IN_ENTRY(entry, BYTES, true, value)

/* The second segment has a patch of 60 rows at 4,096, a small range of 10 at 7,744, a large range
 * at 65,536, and a whole plane of 100 at 175,296; its checksums begin at 175,744. */
static const struct {
    uint32_t entry; /* the one that is refused */
    struct change changes[4];
} wrong_tables[] = {
    {0, {KIND_OF(0, 0)}},
    {0, {KIND_OF(0, 256)}},
    {0, {FORM_OF(0, 0)}},
    {0, {FORM_OF(0, 5)}},
    {0, {IN_ENTRY(0, RESERVED, false, 1)}},
    {0, {WIDTH_OF(0, ROW + 1)}},
    {0, {WIDTH_OF(0, 0), BYTES_OF(0, 256)}},
    {0, {FIRST_OF(0, 1)}},
    {0, {ROWS_OF(0, 59)}},
    {0, {ROWS_OF(0, 0), BYTES_OF(0, 0)}},
    {0, {BYTES_OF(0, 60 * ROW + 240)}}, /* numbers without their padding */
    {0, {OFFSET_OF(0, 0)}},             /* the header */
    {0, {OFFSET_OF(0, 4032)}},
    {0, {OFFSET_OF(0, 4128)}}, /* no multiple of 64 */
    {0, {OFFSET_OF(0, 4097)}},
    {1, {OFFSET_OF(0, 4160)}}, /* over the one after */
    {1, {OFFSET_OF(1, 4096)}}, /* over the one before */
    {1, {OFFSET_OF(1, 7680)}},
    {1, {OFFSET_OF(1, 7712)}}, /* right after it, but no multiple of 64 */
    {0, {ROWS_OF(0, 1092), BYTES_OF(0, 4416 + 1092 * ROW)}}, /* large, in a small one's place */
    {1, {ROWS_OF(0, 1091), BYTES_OF(0, 4416 + 1091 * ROW)}}, /* the largest small one: too long */
    {1, {BYTES_OF(1, (uint64_t)FIRST *ROW % 65536 + 10 * ROW)}}, /* repeats something */
    {1, {ROWS_OF(1, 0), BYTES_OF(1, 0)}},
    {1, {FIRST_OF(1, 0x7ffffff0)}},
    {1, {FIRST_OF(1, 1ull << 63)}},
    {1, {FIRST_OF(1, UINT64_MAX)}},
    {1, {FORM_OF(1, SUTRA_SECTION_WHOLE)}},
    {2, {OFFSET_OF(2, 65536 + 64)}},
    {2, {OFFSET_OF(2, 65536 + 4096)}},
    {2, {OFFSET_OF(2, 0)}},
    {2, {OFFSET_OF(2, 8320)}}, /* right after the small one */
    {2, {OFFSET_OF(2, 131072)}},
    {2, {BYTES_OF(2, (uint64_t)(SECOND - MIDDLE) * ROW)}}, /* repeats nothing */
    {2, {FIRST_OF(2, 0)}},
    {2, {ROWS_OF(2, 0), BYTES_OF(2, (uint64_t)MIDDLE *ROW % 65536)}},
    {2, {FIRST_OF(2, 0x7ffffff0), ROWS_OF(2, 1300), BYTES_OF(2, 1300 * ROW)}},
    {2, {FIRST_OF(2, 1ull << 63)}},
    {2, {FORM_OF(2, SUTRA_SECTION_WHOLE)}},
    {3, {FIRST_OF(3, 1)}},
    {3, {BYTES_OF(3, 404)}},
    {3, {ROWS_OF(3, 1ull << 62)}}, /* times four is nothing, with 400 bytes over */
    {3, {ROWS_OF(3, (1ull << 62) + 100)}},
    {3, {OFFSET_OF(3, 175264)}}, /* right after the large one */
    {3, {OFFSET_OF(3, 175360)}}, /* ends after the blocks */
    {3, {OFFSET_OF(3, 175744)}},
    {3, {OFFSET_OF(3, 1ull << 40)}},
    {3, {OFFSET_OF(3, UINT64_MAX - 63)}},
    {3, {ROWS_OF(3, 112), BYTES_OF(3, 449)}},
    {3, {ROWS_OF(3, 113), BYTES_OF(3, 452)}},
    {3, {FORM_OF(3, SUTRA_SECTION_BYTES), ROWS_OF(3, 400)}}, /* rows of four bytes */
    {3, {FORM_OF(3, SUTRA_SECTION_BYTES), WIDTH_OF(3, 1)}},  /* 100 rows, 400 bytes */
    {3, {FORM_OF(3, SUTRA_SECTION_BYTES), WIDTH_OF(3, 1), ROWS_OF(3, 400), FIRST_OF(3, 1)}},
    {3, {FORM_OF(3, SUTRA_SECTION_BYTES), WIDTH_OF(3, 1), ROWS_OF(3, 400), KIND_OF(3, KIND)}},
    {3, {FORM_OF(0, SUTRA_SECTION_BYTES), WIDTH_OF(0, 1), ROWS_OF(0, 3616), KIND_OF(0, OTHER)}},
};

static const struct {
    const char *what;
    struct change changes[2];
} wrong_headers[] = {
    {"section count", {{SUTRA_SEGMENT_HEADER_SECTION_COUNT, false, SUTRA_SEGMENT_SECTIONS + 1}}},
    {"section count", {{SUTRA_SEGMENT_HEADER_SECTION_COUNT, false, UINT32_MAX}}},
    {"block count", {{SUTRA_SEGMENT_HEADER_BLOCK_COUNT, true, 0}}},
    {"block count", {{SUTRA_SEGMENT_HEADER_BLOCK_COUNT, true, 2}}},
    {"block count", {{SUTRA_SEGMENT_HEADER_BLOCK_COUNT, true, 4}}},
    {"block count", {{SUTRA_SEGMENT_HEADER_BLOCK_COUNT, true, 1ull << 62}}},
    {"file length", {{SUTRA_SEGMENT_HEADER_FILE_BYTES, true, 2 * 65540}}},
};

static void change_file(uint8_t *file, const struct change *changes, size_t count)
{
    for (size_t c = 0; c < count && changes[c].at != 0; c++) {
        if (changes[c].wide)
            sutra_store_u64(file + changes[c].at, changes[c].value);
        else
            sutra_store_u32(file + changes[c].at, (uint32_t)changes[c].value);
    }
}

static void wrong_tables_are_refused(void)
{
    struct chain chain;
    struct rows *rows = make_both(&chain, true);
    REQUIRE(rows != NULL);
    size_t bytes;
    uint8_t *sound = read_whole(&chain.place, "00000002.seg", &bytes);
    uint8_t *file = malloc(bytes + 8);
    REQUIRE(sound != NULL && file != NULL && bytes == 175744 + 3 * 4);
    struct sutra_segment segment;
    struct sutra_fault fault;
    for (size_t t = 0; t < sizeof wrong_tables / sizeof wrong_tables[0]; t++) {
        memcpy(file, sound, bytes);
        change_file(file, wrong_tables[t].changes, 4);
        mend(file, bytes, 2, sound, bytes);
        REQUIRE(write_whole(&chain.place, "00000002.seg", file, bytes));
        CHECK_EQ(open_one(&chain, 1, false, &segment, &fault), SUTRA_E_CORRUPT);
        CHECK(fault.what != NULL && strcmp(fault.what, "section table") == 0);
        if (fault.offset != 256 + 48 * (int64_t)wrong_tables[t].entry)
            (void)fprintf(stderr, "table %zu\n", t);
        CHECK_EQ(fault.offset, 256 + 48 * (int64_t)wrong_tables[t].entry);
        sutra_segment_close(&segment);
    }
    for (size_t t = 0; t < sizeof wrong_headers / sizeof wrong_headers[0]; t++) {
        memcpy(file, sound, bytes);
        change_file(file, wrong_headers[t].changes, 2);
        mend(file, bytes, 2, sound, bytes);
        REQUIRE(write_whole(&chain.place, "00000002.seg", file, bytes));
        CHECK_EQ(open_one(&chain, 1, false, &segment, &fault), SUTRA_E_CORRUPT);
        CHECK(fault.what != NULL && strcmp(fault.what, wrong_headers[t].what) == 0);
        sutra_segment_close(&segment);
    }
    /* A header that is right, but not the one that was opened. */
    REQUIRE(write_whole(&chain.place, "00000002.seg", sound, bytes));
    REQUIRE(open_chain(&chain));
    memcpy(file, sound, bytes);
    sutra_store_u32(file + SUTRA_SEGMENT_HEADER_SECTIONS + SUTRA_SEGMENT_ENTRY_KIND, KIND + 1);
    mend(file, bytes, 2, sound, bytes);
    REQUIRE(write_whole(&chain.place, "00000002.seg", file, bytes));
    CHECK_EQ(sutra_segment_check(&chain.segments[1], 0, 0, &fault), SUTRA_E_CORRUPT);
    CHECK(strcmp(fault.what, "segment header") == 0);
    close_chain(&chain);
    /* A length that blocks and checksums do not add up to. */
    memcpy(file, sound, bytes);
    memset(file + bytes, 0, 8);
    sutra_store_u64(file + SUTRA_SEGMENT_HEADER_FILE_BYTES, bytes + 8);
    mend(file, bytes, 2, sound, bytes);
    REQUIRE(write_whole(&chain.place, "00000002.seg", file, bytes + 8));
    CHECK_EQ(open_one(&chain, 1, false, &segment, &fault), SUTRA_E_CORRUPT);
    CHECK(strcmp(fault.what, "file length") == 0);

    memcpy(file, sound, bytes);
    mend(file, bytes, 2, NULL, 0);
    CHECK(memcmp(file, sound, bytes) == 0);
    free(file);
    free(sound);
    free(rows);
    remove_chain(&chain);
}

/* A file is blocks, the last at least 64 bytes and a multiple of them, and a checksum for each. */
static bool is_length(uint64_t bytes)
{
    for (uint64_t blocks = 1; blocks <= 4; blocks++) {
        for (uint64_t end = (blocks - 1) * 65536 + 64; end <= blocks * 65536; end += 64) {
            if (end >= 4096 && bytes == end + 4 * blocks)
                return true;
        }
    }
    return false;
}

static void lengths_are_blocks_and_their_checksums(void)
{
    static const uint64_t from[] = {4100, 65536 - 130, 131072 - 130, 196608 - 130};
    struct chain chain;
    REQUIRE(make_chain(&chain, true));
    chain.count = 1;
    uint8_t *file = calloc(1, 4 * (BLOCK + 4));
    REQUIRE(file != NULL);
    memcpy(file + SUTRA_SEGMENT_HEADER_MAGIC, SUTRA_SEGMENT_MAGIC, 8);
    sutra_store_u32(file + SUTRA_SEGMENT_HEADER_VERSION, SUTRA_SEGMENT_VERSION);
    memcpy(file + SUTRA_SEGMENT_HEADER_STORE_ID, store_id, 16);
    sutra_store_u64(file + SUTRA_SEGMENT_HEADER_FILE_NUMBER, 1);
    int sound = 0;
    for (size_t f = 0; f < sizeof from / sizeof from[0]; f++) {
        for (uint64_t bytes = from[f]; bytes < from[f] + 300; bytes++) {
            sutra_store_u64(file + SUTRA_SEGMENT_HEADER_FILE_BYTES, bytes);
            sutra_store_u64(file + SUTRA_SEGMENT_HEADER_BLOCK_COUNT, blocks_of(bytes));
            memset(file + SUTRA_SEGMENT_HEADER_BYTES, 0, 4 * BLOCK - SUTRA_SEGMENT_HEADER_BYTES);
            mend(file, (size_t)bytes, 1, NULL, 0);
            REQUIRE(sutra_simulated_put(chain.place.simulated, "/db/00000001.seg", file,
                                        (size_t)bytes) == SUTRA_OK);
            struct sutra_segment segment;
            struct sutra_fault fault;
            const bool right = is_length(bytes);
            CHECK_EQ(open_one(&chain, 0, false, &segment, &fault),
                     right ? SUTRA_OK : SUTRA_E_CORRUPT);
            if (right)
                CHECK_EQ(sutra_segment_check(&segment, 0, 0, &fault), SUTRA_OK);
            else
                CHECK(fault.what != NULL && strcmp(fault.what, "file length") == 0);
            sound += right;
            sutra_segment_close(&segment);
        }
    }
    CHECK(sound >= 4 * 4);
    free(file);
    remove_chain(&chain);
}

static void patches_ascend_within_what_was_saved(void)
{
    struct chain chain;
    struct rows *rows = make_both(&chain, true);
    REQUIRE(rows != NULL);
    size_t bytes;
    uint8_t *file = read_whole(&chain.place, "00000002.seg", &bytes);
    REQUIRE(file != NULL);
    /* Of 60 numbers 0, 50, 100, ... right after the header: the one that is changed, and to what.
     */
    static const struct {
        uint32_t place, value;
        bool sound;
    } changes[] = {{1, 0, false},           {1, 1, true},     {1, 99, true},
                   {2, 50, false},          {2, 49, false},   {59, 3000, true},
                   {59, 3001, false},       {0, 3001, false}, {0, 50, false},
                   {59, UINT32_MAX, false}, {30, 0, false}};
    for (size_t c = 0; c < sizeof changes / sizeof changes[0]; c++) {
        uint8_t *at = file + SUTRA_SEGMENT_HEADER_BYTES + (size_t)4 * changes[c].place;
        sutra_store_u32(at, changes[c].value);
        mend(file, bytes, 2, NULL, 0);
        REQUIRE(write_whole(&chain.place, "00000002.seg", file, bytes));
        for (size_t s = 0; s < 2; s++)
            REQUIRE(open_one(&chain, s, false, &chain.segments[s], &chain.fault) == SUTRA_OK);
        chain.source = (struct sutra_segment_chain){
            .segments = chain.segments, .count = 2, .fault = &chain.fault};
        for (int hot = 0; hot < 2; hot++) {
            struct sutra_plane plane;
            CHECK_EQ(sutra_segment_chain_load(&chain.source, KIND, ROW, SECOND, hot, 0, &plane),
                     changes[c].sound ? SUTRA_OK : SUTRA_E_CORRUPT);
            if (!changes[c].sound)
                CHECK(strcmp(chain.fault.what, "patched rows") == 0);
            sutra_plane_release(&plane);
        }
        close_chain(&chain);
        sutra_store_u32(at, changes[c].place * 50);
    }
    free(file);
    free(rows);
    remove_chain(&chain);
}

CHECK_MAIN(CASE(wrong_tables_are_refused), CASE(lengths_are_blocks_and_their_checksums),
           CASE(patches_ascend_within_what_was_saved))
