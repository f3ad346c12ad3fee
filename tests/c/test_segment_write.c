/* Segments: names, what a writer refuses, and the bytes that it writes.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "segment_cases.h"

#define KIND ((uint32_t)SUTRA_PART_RECORD)

/* ---- names */

static void names_have_one_form(void)
{
    static const struct {
        uint64_t number;
        const char *name;
    } sound[] = {{0, "00000000.seg"},
                 {31, "00000031.seg"},
                 {99999999, "99999999.seg"},
                 {100000000, "100000000.seg"},
                 {UINT64_MAX, "18446744073709551615.seg"}};
    for (size_t i = 0; i < sizeof sound / sizeof sound[0]; i++) {
        char name[SUTRA_SEGMENT_NAME_BYTES];
        uint64_t number = 7;
        sutra_segment_name(sound[i].number, name);
        CHECK(strcmp(name, sound[i].name) == 0);
        CHECK(sutra_segment_number(name, &number));
        CHECK(number == sound[i].number);
    }
    static const char *const wrong[] = {"",
                                        ".seg",
                                        "1.seg",
                                        "0000031.seg",
                                        "000000031.seg",
                                        "00000031.seg.tmp",
                                        "00000031.wal",
                                        "00000031",
                                        "0000003a.seg",
                                        " 00000031.seg",
                                        "-0000031.seg",
                                        "18446744073709551616.seg",
                                        "99999999999999999999.seg",
                                        "100000000000000000000.seg"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint64_t number = 7;
        CHECK(!sutra_segment_number(wrong[i], &number));
        CHECK(number == 7);
    }
}

/* ---- what a writer refuses */

static void try_argument(struct chain *chain, int which, int *status_out)
{
    static uint8_t rows[4096];
    static const uint32_t falling[] = {3, 2}, twice[] = {2, 2}, high[] = {1, 0x7ffffff0};
    struct sutra_segment_writer *writer = begin(chain);
    const int range = SUTRA_SECTION_RANGE;
    int status = 0;
    switch (which) {
    case 0:
        status = sutra_segment_rows(writer, 0, range, rows, 8, 0, 8);
        break;
    case 1:
        status = sutra_segment_rows(writer, 256, range, rows, 8, 0, 8);
        break;
    case 2:
        status = sutra_segment_rows(writer, KIND, SUTRA_SECTION_PATCH, rows, 8, 0, 8);
        break;
    case 3:
        status = sutra_segment_rows(writer, KIND, SUTRA_SECTION_WHOLE, rows, 8, 1, 8);
        break;
    case 4:
        status = sutra_segment_rows(writer, KIND, range, rows, 8, 8, 1);
        break;
    case 5:
        status = sutra_segment_rows(writer, KIND, range, rows, 0, 0, 8);
        break;
    case 6:
        status = sutra_segment_rows(writer, KIND, range, rows, (size_t)1 << 32, 0, 8);
        break;
    case 7:
        status = sutra_segment_rows(writer, KIND, range, NULL, 8, 0, 8);
        break;
    case 8:
        status = sutra_segment_copied_rows(writer, KIND, range, rows, NULL, 8, 0, 8);
        break;
    case 9:
        status = sutra_segment_patch(writer, KIND, 8, falling, rows, 2);
        break;
    case 10:
        status = sutra_segment_patch(writer, KIND, 8, twice, rows, 2);
        break;
    case 11:
        status = sutra_segment_patch(writer, KIND, 8, high, rows, 2);
        break;
    case 12:
        status = sutra_segment_patch(writer, KIND, 0, high, rows, 1);
        break;
    case 13:
        status = sutra_segment_patch(writer, KIND, (size_t)1 << 32, high, rows, 1);
        break;
    case 14:
        status = sutra_segment_patch(writer, 0, 8, high, rows, 1);
        break;
    case 15:
        CHECK_EQ(sutra_segment_bytes(writer, OWN_KIND, rows, 8), SUTRA_OK);
        status = sutra_segment_bytes(writer, OWN_KIND, rows, 8);
        break;
    case 16:
        status = sutra_segment_bytes(writer, 256, rows, 8);
        break;
    case 17: /* a capacity, the rest are arguments */
        status = sutra_segment_rows(writer, KIND, range, rows, 8, 0, SUTRA_ROWS_MAX + (uint64_t)1);
        CHECK_EQ(status, SUTRA_E_CAPACITY);
        break;
    case 18:
        for (uint32_t i = 0; i < SUTRA_SEGMENT_SECTIONS; i++)
            CHECK_EQ(sutra_segment_bytes(writer, 100 + i, rows, 8), SUTRA_OK);
        status = sutra_segment_bytes(writer, 99, rows, 8);
        CHECK_EQ(status, SUTRA_E_CAPACITY);
        break;
    default:
        break;
    }
    CHECK(which > 16 ? status == SUTRA_E_CAPACITY : status == SUTRA_E_ARGUMENT);
    /* It stays that way. */
    CHECK_EQ(sutra_segment_bytes(writer, 98, rows, 8), status);
    CHECK_EQ(sutra_segment_rows(writer, KIND, range, rows, 8, 0, 8), status);
    uint64_t bytes;
    uint8_t identity[SUTRA_IDENTITY_BYTES];
    *status_out = sutra_segment_commit(writer, &bytes, identity);
    CHECK_EQ(*status_out, status);
}

static void wrong_arguments_make_no_file(void)
{
    struct chain chain;
    REQUIRE(make_chain(&chain, true));
    for (int which = 0; which < 19; which++) {
        int status = 0;
        try_argument(&chain, which, &status);
        CHECK(status != SUTRA_OK);
        CHECK_EQ(list_place(&chain.place).count, 0);
    }
    remove_chain(&chain);
}

static void empty_sections_are_none(void)
{
    struct chain chain;
    REQUIRE(make_chain(&chain, true));
    struct sutra_segment_writer *writer = begin(&chain);
    CHECK_EQ(sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, NULL, 8, 5, 5), SUTRA_OK);
    CHECK_EQ(sutra_segment_patch(writer, KIND, 8, NULL, NULL, 0), SUTRA_OK);
    CHECK_EQ(sutra_segment_rows(writer, KIND, SUTRA_SECTION_WHOLE, NULL, 8, 0, 0), SUTRA_OK);
    CHECK_EQ(sutra_segment_bytes(writer, OWN_KIND, NULL, 0), SUTRA_OK);
    commit(&chain, writer);
    REQUIRE(open_chain(&chain));
    CHECK_EQ(chain.segments[0].section_count, 2);
    CHECK_EQ(chain.segments[0].sections[0].form, SUTRA_SECTION_WHOLE);
    CHECK_EQ(chain.segments[0].sections[1].form, SUTRA_SECTION_BYTES);
    remove_chain(&chain);
}

static void as_many_sections_as_fit(void)
{
    struct chain chain;
    REQUIRE(make_chain(&chain, true));
    struct sutra_segment_writer *writer = begin(&chain);
    for (uint32_t i = 0; i < SUTRA_SEGMENT_SECTIONS; i++)
        CHECK_EQ(sutra_segment_bytes(writer, 1 + i, &i, sizeof i), SUTRA_OK);
    commit(&chain, writer);
    REQUIRE(open_chain(&chain));
    CHECK_EQ(chain.segments[0].section_count, SUTRA_SEGMENT_SECTIONS);
    for (uint32_t i = 0; i < SUTRA_SEGMENT_SECTIONS; i++) {
        uint8_t *data;
        size_t bytes;
        REQUIRE(sutra_segment_read_bytes(&chain.segments[0], 1 + i, &data, &bytes, &chain.fault) ==
                SUTRA_OK);
        CHECK(bytes == sizeof i && memcmp(data, &i, sizeof i) == 0);
        free(data);
    }
    remove_chain(&chain);
}

/* ---- files */

static void a_temporary_becomes_the_file(void)
{
    for (int simulated = 0; simulated < 2; simulated++) {
        struct chain chain;
        REQUIRE(make_chain(&chain, simulated));
        REQUIRE(write_whole(&chain.place, "00000001.seg.tmp", "left behind, and longer", 23));
        struct sutra_segment_writer *writer = begin(&chain);
        CHECK(has_file(&chain.place, "00000001.seg.tmp"));
        CHECK(!has_file(&chain.place, "00000001.seg"));
        sutra_segment_bytes(writer, OWN_KIND, "abc", 3);
        commit(&chain, writer);
        CHECK_EQ(list_place(&chain.place).count, 1);
        CHECK(has_file(&chain.place, "00000001.seg"));
        CHECK(open_chain(&chain));
        writer = begin(&chain);
        sutra_segment_bytes(writer, OWN_KIND, "abc", 3);
        sutra_segment_abort(writer);
        CHECK_EQ(list_place(&chain.place).count, 1);
        sutra_segment_abort(NULL);
        remove_chain(&chain);
    }
}

/* The bytes are the same for ever: what they are comes from FORMAT.md. */
static void the_bytes_are_as_documented(void)
{
    enum { LARGE = 8192, LARGE_FIRST = 9, LARGE_ROW = 8, BYTES = 131276 };
    struct chain chain;
    REQUIRE(make_chain(&chain, true));
    static uint8_t plane[(LARGE_FIRST + LARGE) * LARGE_ROW];
    for (size_t i = 0; i < sizeof plane; i++)
        plane[i] = (uint8_t)(i + i / 256);
    const uint32_t numbers[] = {1, 3};
    struct sutra_segment_writer *writer = begin(&chain);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, plane, 4, 7, 10);
    sutra_segment_patch(writer, SUTRA_PART_HEAD, 8, numbers, plane, 2);
    sutra_segment_bytes(writer, OWN_KIND, "abc", 3);
    sutra_segment_rows(writer, SUTRA_PART_SLOT_BIRTH, SUTRA_SECTION_RANGE, plane, LARGE_ROW,
                       LARGE_FIRST, LARGE_FIRST + LARGE);
    sutra_segment_bytes(writer, OWN_KIND + 1, "defgh", 5);
    commit(&chain, writer);
    size_t bytes;
    uint8_t *file = read_whole(&chain.place, "00000001.seg", &bytes);
    REQUIRE(file != NULL && bytes == BYTES && chain.bytes[0] == bytes);

    uint8_t *expected = calloc(1, bytes);
    REQUIRE(expected != NULL);
    static const uint8_t start[] = {'S', 'U', 'T', 'R', 'A', 'S', 'E', 'G', 1,
                                    0,   0,   0,   5,   0,   0,   0, /* magic, version, count */
                                    1,   2,   3,   4,   5,   6,   7,   8,   9,
                                    10,  11,  12,  13,  14,  15,  16, /* store id */
                                    1,   0,   0,   0,   0,   0,   0,   0,   0xcc,
                                    0,   2,   0,   0,   0,   0,   0,       /* number, bytes */
                                    3,   0,   0,   0,   0,   0,   0,   0}; /* blocks */
    static const uint8_t table[5][48] = {
        {32, 0, 0, 0, 1, 0, 0, 0, 4, 0,  0, 0, 0, 0, 0, 0, 7,  0, 0, 0, 0, 0, 0, 0,
         3,  0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0},
        {35, 0, 0, 0, 3, 0, 0, 0, 8,    0,  0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0,
         2,  0, 0, 0, 0, 0, 0, 0, 0x40, 16, 0, 0, 0, 0, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0},
        {200, 0, 0, 0, 4, 0, 0, 0, 1,    0,  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
         3,   0, 0, 0, 0, 0, 0, 0, 0xc0, 16, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0},
        {33, 0,  0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9,    0, 0, 0, 0, 0, 0, 0,
         0,  32, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0x48, 0, 1, 0, 0, 0, 0, 0},
        {201, 0, 0, 0, 4, 0, 0, 0, 1,    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
         5,   0, 0, 0, 0, 0, 0, 0, 0x80, 0, 2, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0}};
    memcpy(expected, start, sizeof start);
    memcpy(expected + 256, table, sizeof table);
    memcpy(expected + 4096, plane + 28, 12);
    expected[4160] = 1;
    expected[4164] = 3;
    memcpy(expected + 4160 + 64, plane, 16);
    memcpy(expected + 4288, "abc", 3);
    memcpy(expected + 65536, plane, sizeof plane);
    memcpy(expected + 131200, "defgh", 5);
    const size_t ends[] = {65536, 131072, 131264};
    for (uint64_t b = 0; b < 3; b++) {
        const uint64_t seed[] = {1, b};
        const size_t from = b == 0 ? 4096 : (size_t)b * 65536;
        sutra_store_u32(expected + 131264 + 4 * b,
                        sutra_crc32c(sutra_crc32c(0, seed, 16), expected + from, ends[b] - from));
    }
    sutra_store_u32(expected + 56, sutra_crc32c(0, expected + 131264, 12));
    sutra_store_u32(expected + 4092, sutra_crc32c(0, expected, 4092));
    for (size_t i = 0; i < bytes; i++) {
        if (file[i] != expected[i]) {
            CHECK_EQ(i, bytes); /* where they differ first */
            break;
        }
    }
    struct sutra_sha256 hash;
    uint8_t identity[32];
    sutra_sha256_begin(&hash);
    sutra_sha256_add(&hash, expected, 4096);
    sutra_sha256_add(&hash, expected + 131264, 12);
    sutra_sha256_end(&hash, identity);
    CHECK(memcmp(identity, chain.identities[0], 32) == 0);
    free(expected);
    free(file);
    remove_chain(&chain);
}

CHECK_MAIN(CASE(wrong_arguments_make_no_file), CASE(empty_sections_are_none),
           CASE(as_many_sections_as_fit), CASE(a_temporary_becomes_the_file),
           CASE(the_bytes_are_as_documented), CASE(names_have_one_form))
