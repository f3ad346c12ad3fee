/* Segments: written, opened, and put together to planes again.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "segment_cases.h"

#include "base/platform.h"

#define KIND ((uint32_t)SUTRA_PART_RECORD)

/* ---- round trips */

/* A plane in memory of its own and the rows that every segment of a history ends with. */
struct history {
    size_t row_bytes;
    uint64_t ends[6];
    uint8_t *plane;
};

/* Five segments: a base, deltas with ranges that end in the middle of blocks and patches, one
 * whose range is a few rows, one that has a patch alone, one that was copied aside. */
static bool write_history(struct chain *chain, struct history *history, size_t row_bytes)
{
    const uint64_t per_block = BLOCK / row_bytes;
    const uint64_t ends[] = {2 * per_block + per_block / 3,
                             4 * per_block + 7,
                             4 * per_block + 9,
                             4 * per_block + 9,
                             4 * per_block + 11,
                             6 * per_block + 1};
    history->row_bytes = row_bytes;
    memcpy(history->ends, ends, sizeof ends);
    history->plane = malloc((size_t)ends[5] * row_bytes);
    if (history->plane == NULL)
        return false;
    uint8_t *plane = history->plane;

    make_rows(plane, row_bytes, 0, ends[0], 1);
    struct sutra_segment_writer *writer = begin(chain);
    sutra_segment_bytes(writer, OWN_KIND, "the store's own", 15);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, plane, row_bytes, 0, ends[0]);
    sutra_segment_bytes(writer, OWN_KIND + 1, NULL, 0);
    commit(chain, writer);

    make_rows(plane, row_bytes, ends[0], ends[1], 1);
    writer = begin(chain);
    patch_rows(writer, KIND, plane, row_bytes, ends[0], 5, 2);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, plane, row_bytes, ends[0], ends[1]);
    commit(chain, writer);

    make_rows(plane, row_bytes, ends[1], ends[2], 1);
    writer = begin(chain);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, plane, row_bytes, ends[1], ends[2]);
    patch_rows(writer, KIND, plane, row_bytes, ends[2], 7, 3);
    commit(chain, writer);

    writer = begin(chain);
    patch_rows(writer, KIND, plane, row_bytes, ends[3], 35, 4);
    commit(chain, writer);

    make_rows(plane, row_bytes, ends[3], ends[5], 1);
    writer = begin(chain);
    sutra_segment_copied_rows(writer, KIND, SUTRA_SECTION_RANGE, NULL, plane + ends[3] * row_bytes,
                              row_bytes, ends[3], ends[4]);
    sutra_segment_copied_rows(writer, KIND, SUTRA_SECTION_RANGE, plane, plane + ends[4] * row_bytes,
                              row_bytes, ends[4], ends[5]);
    commit(chain, writer);
    return open_chain(chain);
}

static void check_arena(const struct sutra_arena *arena, size_t bytes, bool hot)
{
    const size_t page = sutra_page_bytes();
    CHECK_EQ(arena->committed_bytes, sutra_round_up(bytes, page));
    CHECK_EQ(arena->mapped_bytes, hot ? 0 : bytes / BLOCK * BLOCK);
    CHECK(!arena->mapped_read_only);
    CHECK(arena->reserved_bytes >= arena->committed_bytes);
}

static void load_and_compare(struct chain *chain, const struct history *history)
{
    const size_t rows = (size_t)history->ends[5], bytes = rows * history->row_bytes;
    for (int way = 0; way < 8; way++) {
        const bool hot = way & 1;
        chain->source.checked = (way & 2) != 0;
        struct sutra_plane plane;
        REQUIRE(sutra_segment_chain_load(&chain->source, KIND, history->row_bytes, rows, hot,
                                         way & 4 ? SUTRA_HUGE_ADVISE : SUTRA_HUGE_NEVER,
                                         &plane) == SUTRA_OK);
        CHECK_EQ(plane.row_bytes, history->row_bytes);
        CHECK(plane.base == plane.arena.base);
        CHECK(memcmp(plane.base, history->plane, bytes) == 0);
        check_arena(&plane.arena, bytes, hot);
        sutra_plane_release(&plane);
    }
    chain->source.checked = true;
}

static void every_load_gives_the_same_rows(void)
{
    static const size_t sizes[] = {4, 56, 64, 100, 1536};
    for (int simulated = 0; simulated < 2; simulated++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            struct chain chain;
            struct history history = {0};
            REQUIRE(make_chain(&chain, simulated));
            REQUIRE(write_history(&chain, &history, sizes[s]));
            for (size_t i = 0; i < chain.count; i++)
                CHECK_EQ(sutra_segment_check(&chain.segments[i], 0, 0, &chain.fault), SUTRA_OK);
            load_and_compare(&chain, &history);
            free(history.plane);
            remove_chain(&chain);
        }
    }
}

/* Nothing is left to be read, and nothing is open beyond the file's own pages. */
static void planes_may_end_with_a_block(void)
{
    enum { FIRST = 1024, SECOND = 3072 }; /* one block, three blocks */
    struct chain chain;
    REQUIRE(make_chain(&chain, false));
    uint8_t *plane = malloc((size_t)SECOND * 64);
    REQUIRE(plane != NULL);
    make_rows(plane, 64, 0, SECOND, 1);
    struct sutra_segment_writer *writer = begin(&chain);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, plane, 64, 0, FIRST);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, plane, 64, FIRST, SECOND);
    commit(&chain, writer);
    REQUIRE(open_chain(&chain));
    for (int hot = 0; hot < 2; hot++) {
        struct sutra_planes planes = {.count = 1, .capacity_rows = SECOND};
        REQUIRE(sutra_segment_chain_load(&chain.source, KIND, 64, SECOND, hot, SUTRA_HUGE_NEVER,
                                         &planes.plane[0]) == SUTRA_OK);
        CHECK(memcmp(planes.plane[0].base, plane, (size_t)SECOND * 64) == 0);
        check_arena(&planes.plane[0].arena, (size_t)SECOND * 64, hot);
        REQUIRE(sutra_planes_ensure(&planes, SECOND + 1) == SUTRA_OK);
        memset(planes.plane[0].base + (size_t)SECOND * 64, 1, 64);
        sutra_planes_deinit(&planes);
    }
    free(plane);
    remove_chain(&chain);
}

/* What a loaded plane is for: growing, and being written to, without the files knowing. */
static void loaded_planes_grow(void)
{
    static const size_t sizes[] = {4, 100, 1536};
    for (int way = 0; way < 12; way++) {
        const bool hot = way & 1, simulated = way & 2;
        struct chain chain;
        struct history history = {0};
        REQUIRE(make_chain(&chain, simulated));
        REQUIRE(write_history(&chain, &history, sizes[way / 4]));
        uint8_t *before[CHAIN_MOST];
        size_t length;
        for (size_t s = 0; s < chain.count; s++) {
            char name[SUTRA_SEGMENT_NAME_BYTES];
            name_of(s, name);
            before[s] = read_whole(&chain.place, name, &length);
            REQUIRE(before[s] != NULL && length == chain.bytes[s]);
        }
        const size_t rows = (size_t)history.ends[5], row_bytes = history.row_bytes;
        struct sutra_planes planes = {.count = 1};
        REQUIRE(sutra_segment_chain_load(&chain.source, KIND, row_bytes, rows, hot,
                                         SUTRA_HUGE_ADVISE, &planes.plane[0]) == SUTRA_OK);
        planes.capacity_rows = rows;
        const uint8_t *base = planes.plane[0].base;
        for (size_t wanted = rows + 1; wanted < rows * 8; wanted *= 2) {
            const size_t from = planes.capacity_rows;
            REQUIRE(sutra_planes_ensure(&planes, wanted) == SUTRA_OK);
            CHECK(planes.plane[0].base == base);
            size_t other = 0;
            for (size_t i = from * row_bytes; i < planes.capacity_rows * row_bytes; i++)
                other += base[i] != 0;
            CHECK_EQ(other, 0);
            memset(planes.plane[0].base + from * row_bytes, 0x77,
                   (planes.capacity_rows - from) * row_bytes);
        }
        CHECK(memcmp(base, history.plane, rows * row_bytes) == 0);
        memset(planes.plane[0].base, 0x55, rows * row_bytes);
        for (size_t s = 0; s < chain.count; s++) {
            char name[SUTRA_SEGMENT_NAME_BYTES];
            name_of(s, name);
            uint8_t *after = read_whole(&chain.place, name, &length);
            CHECK(after != NULL && length == chain.bytes[s] &&
                  memcmp(after, before[s], length) == 0);
            free(after);
            free(before[s]);
        }
        sutra_planes_deinit(&planes);
        free(history.plane);
        remove_chain(&chain);
    }
}

static void a_whole_section_forgets_the_rest(void)
{
    struct chain chain;
    struct history history = {0};
    REQUIRE(make_chain(&chain, false));
    REQUIRE(write_history(&chain, &history, 56));
    /* The plane made anew, with rows of another size, then appended to and patched in the same
     * segment and in the next. */
    enum { ROW = 24, FIRST = 7000, SECOND = 7100, THIRD = 12000 };
    uint8_t *plane = malloc((size_t)THIRD * ROW);
    REQUIRE(plane != NULL);
    make_rows(plane, ROW, 0, THIRD, 9);
    struct sutra_segment_writer *writer = begin(&chain);
    patch_rows(writer, KIND, history.plane, 56, 10, 1, 5);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_WHOLE, plane, ROW, 0, FIRST);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, plane, ROW, FIRST, SECOND);
    patch_rows(writer, KIND, plane, ROW, SECOND, 11, 10);
    commit(&chain, writer);
    writer = begin(&chain);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, plane, ROW, SECOND, THIRD);
    patch_rows(writer, KIND, plane, ROW, SECOND, 22, 11);
    commit(&chain, writer);
    REQUIRE(open_chain(&chain));
    struct sutra_plane loaded;
    for (int hot = 0; hot < 2; hot++) {
        REQUIRE(sutra_segment_chain_load(&chain.source, KIND, ROW, THIRD, hot, SUTRA_HUGE_NEVER,
                                         &loaded) == SUTRA_OK);
        CHECK(memcmp(loaded.base, plane, (size_t)THIRD * ROW) == 0);
        check_arena(&loaded.arena, (size_t)THIRD * ROW, hot);
        sutra_plane_release(&loaded);
        CHECK_EQ(sutra_segment_chain_load(&chain.source, KIND, 56, (size_t)history.ends[5], hot,
                                          SUTRA_HUGE_NEVER, &loaded),
                 SUTRA_E_CORRUPT);
    }
    /* And once more, with nothing in it. */
    writer = begin(&chain);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_WHOLE, NULL, ROW, 0, 0);
    commit(&chain, writer);
    REQUIRE(open_chain(&chain));
    CHECK_EQ(chain.segments[7].section_count, 1);
    CHECK_EQ(sutra_segment_chain_load(&chain.source, KIND, ROW, THIRD, true, 0, &loaded),
             SUTRA_E_CORRUPT);
    CHECK_EQ(sutra_segment_chain_load(&chain.source, KIND, ROW, 0, true, 0, &loaded), SUTRA_OK);
    sutra_plane_release(&loaded);
    free(plane);
    free(history.plane);
    remove_chain(&chain);
}

/* Rows before a range's first are there for alignment alone. */
static void repeated_bytes_are_not_rows(void)
{
    enum { ROW = 100, FIRST = 1000, SECOND = 4000 };
    for (int simulated = 0; simulated < 2; simulated++) {
        struct chain chain;
        REQUIRE(make_chain(&chain, simulated));
        uint8_t *plane = malloc((size_t)SECOND * ROW), *saved = malloc((size_t)SECOND * ROW);
        REQUIRE(plane != NULL && saved != NULL);
        make_rows(plane, ROW, 0, SECOND, 1);
        memcpy(saved, plane, (size_t)SECOND * ROW);
        struct sutra_segment_writer *writer = begin(&chain);
        sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, plane, ROW, 0, FIRST);
        commit(&chain, writer);
        make_rows(plane, ROW, 0, FIRST, 2); /* after the moment that is saved */
        writer = begin(&chain);
        sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, plane, ROW, FIRST, SECOND);
        commit(&chain, writer);
        REQUIRE(open_chain(&chain));
        for (int hot = 0; hot < 2; hot++) {
            struct sutra_plane loaded;
            REQUIRE(sutra_segment_chain_load(&chain.source, KIND, ROW, SECOND, hot, 0, &loaded) ==
                    SUTRA_OK);
            CHECK(memcmp(loaded.base, saved, (size_t)SECOND * ROW) == 0);
            sutra_plane_release(&loaded);
        }
        free(plane);
        free(saved);
        remove_chain(&chain);
    }
}

static void planes_without_rows(void)
{
    struct chain chain;
    REQUIRE(make_chain(&chain, true));
    struct sutra_plane plane;
    for (int hot = 0; hot < 2; hot++) {
        REQUIRE(open_chain(&chain)); /* of none, then of one */
        REQUIRE(sutra_segment_chain_load(&chain.source, KIND, 64, 0, hot, SUTRA_HUGE_NEVER,
                                         &plane) == SUTRA_OK);
        CHECK(plane.base != NULL);
        CHECK_EQ(plane.row_bytes, 64);
        CHECK_EQ(plane.arena.committed_bytes, 0);
        struct sutra_planes planes = {.count = 1, .plane = {plane}};
        CHECK_EQ(sutra_planes_ensure(&planes, 10), SUTRA_OK);
        memset(plane.base, 1, 640);
        sutra_planes_deinit(&planes);
        CHECK_EQ(
            sutra_segment_chain_load(&chain.source, KIND, 64, 1, hot, SUTRA_HUGE_NEVER, &plane),
            SUTRA_E_CORRUPT);
        CHECK(plane.base == NULL);
        if (hot == 0)
            commit(&chain, begin(&chain));
    }
    CHECK_EQ(chain.segments[0].section_count, 0);
    CHECK_EQ(chain.bytes[0], SUTRA_SEGMENT_HEADER_BYTES + 4);
    CHECK_EQ(sutra_segment_chain_load(&chain.source, KIND, 0, 0, true, 0, &plane),
             SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_segment_chain_load(&chain.source, KIND, (size_t)1 << 32, 0, true, 0, &plane),
             SUTRA_E_ARGUMENT);
    remove_chain(&chain);
}

/* More blocks than fit into the writer's buffer and its first table of checksums. */
static void large_planes_come_back(void)
{
    enum { LARGE = 40000, LARGE_ROW = 500 };
    struct chain chain;
    REQUIRE(make_chain(&chain, false));
    uint8_t *plane = malloc((size_t)LARGE * LARGE_ROW);
    REQUIRE(plane != NULL);
    for (size_t i = 0; i < (size_t)LARGE * LARGE_ROW / 4; i++)
        sutra_store_u32(plane + 4 * i, (uint32_t)(i * 2654435761u));
    struct sutra_segment_writer *writer = begin(&chain);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_WHOLE, plane, LARGE_ROW, 0, LARGE);
    commit(&chain, writer);
    REQUIRE(open_chain(&chain));
    CHECK(chain.segments[0].block_count > 300);
    CHECK_EQ(sutra_segment_check(&chain.segments[0], 0, 0, &chain.fault), SUTRA_OK);
    for (int way = 0; way < 4; way++) {
        struct sutra_plane loaded;
        chain.source.checked = way & 2;
        REQUIRE(sutra_segment_chain_load(&chain.source, KIND, LARGE_ROW, LARGE, way & 1,
                                         SUTRA_HUGE_ADVISE, &loaded) == SUTRA_OK);
        CHECK(memcmp(loaded.base, plane, (size_t)LARGE * LARGE_ROW) == 0);
        sutra_plane_release(&loaded);
    }
    free(plane);
    remove_chain(&chain);
}

/* ---- chains that do not fit together */

enum { WIDE_ROW = 100, ROWS = 2000 };

static void check_refused(struct chain *chain, size_t rows, size_t segment, const char *what)
{
    char name[SUTRA_SEGMENT_NAME_BYTES];
    name_of(segment, name);
    for (int hot = 0; hot < 2; hot++) {
        struct sutra_plane plane;
        chain->fault = SUTRA_FAULT_NONE;
        CHECK_EQ(sutra_segment_chain_load(&chain->source, KIND, WIDE_ROW, rows, hot, 0, &plane),
                 SUTRA_E_CORRUPT);
        CHECK(plane.base == NULL);
        CHECK(strcmp(chain->source.fault_file, name) == 0);
        CHECK(chain->fault.what != NULL && strcmp(chain->fault.what, what) == 0);
    }
}

static void chains_with_wrong_rows_are_refused(void)
{
    uint8_t *plane = malloc((size_t)ROWS * 2 * WIDE_ROW);
    REQUIRE(plane != NULL);
    make_rows(plane, WIDE_ROW, 0, ROWS * 2, 1);
    static const struct {
        uint64_t first, end;
        size_t row_bytes;
        uint32_t patched; /* one row, before the range */
        size_t rows;
        const char *what;
    } seconds[] = {
        {ROWS + 1, ROWS + 9, WIDE_ROW, 0, ROWS + 9, "first row"}, /* a gap */
        {ROWS - 1, ROWS + 9, WIDE_ROW, 0, ROWS + 9, "first row"}, /* an overlap */
        {0, ROWS, WIDE_ROW, 0, ROWS, "first row"},                /* once more */
        {ROWS, ROWS + 9, WIDE_ROW - 4, 0, ROWS + 9, "row bytes"}, /* other rows */
        {ROWS, ROWS + 9, WIDE_ROW, 0, ROWS + 10, "row count"},    /* too few */
        {ROWS, ROWS + 9, WIDE_ROW, 0, ROWS + 8, "row count"},     /* too many */
        {ROWS, ROWS + 9, WIDE_ROW, 0, ROWS, "row count"},         /* more than the manifest knows */
        {ROWS, ROWS + 9, WIDE_ROW, ROWS, ROWS + 9, "patched rows"}, /* patched before it is there */
        {ROWS, ROWS + 9, WIDE_ROW, 0x7fffffef, ROWS + 9, "patched rows"},
    };
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        struct chain chain;
        REQUIRE(make_chain(&chain, i % 2));
        struct sutra_segment_writer *writer = begin(&chain);
        sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, plane, WIDE_ROW, 0, ROWS);
        commit(&chain, writer);
        writer = begin(&chain);
        sutra_segment_patch(writer, KIND, seconds[i].row_bytes, &seconds[i].patched, plane, 1);
        sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, plane, seconds[i].row_bytes,
                           seconds[i].first, seconds[i].end);
        commit(&chain, writer);
        REQUIRE(open_chain(&chain));
        check_refused(&chain, seconds[i].rows, 1, seconds[i].what);
        chain.source.fault = NULL; /* nobody wants to know */
        struct sutra_plane loaded;
        CHECK_EQ(sutra_segment_chain_load(&chain.source, KIND, WIDE_ROW, seconds[i].rows, true, 0,
                                          &loaded),
                 SUTRA_E_CORRUPT);
        remove_chain(&chain);
    }
    free(plane);
}

static void patches_need_something_to_patch(void)
{
    uint8_t row[WIDE_ROW] = {0};
    const uint32_t number = 0;
    struct chain chain;
    REQUIRE(make_chain(&chain, true));
    struct sutra_segment_writer *writer = begin(&chain);
    sutra_segment_patch(writer, KIND, WIDE_ROW, &number, row, 1);
    commit(&chain, writer);
    writer = begin(&chain);
    sutra_segment_bytes(writer, KIND, row, WIDE_ROW);
    commit(&chain, writer);
    REQUIRE(open_chain(&chain));
    check_refused(&chain, 0, 0, "patched rows");
    check_refused(&chain, 1, 0, "patched rows");
    chain.source.segments++;
    chain.source.count = 1;
    check_refused(&chain, 1, 1, "section form");
    check_refused(&chain, 0, 1, "section form");
    chain.source.segments--;
    chain.source.count = 2;
    remove_chain(&chain);
}

/* ---- sections of bytes */

static void bytes_come_back(void)
{
    struct chain chain;
    REQUIRE(make_chain(&chain, false));
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 200000, 2500000};
    uint8_t *data = malloc(2500010);
    REQUIRE(data != NULL);
    struct random random = {.seed = 3};
    random_bytes(&random, data, 2500010);
    struct sutra_segment_writer *writer = begin(&chain);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        CHECK_EQ(sutra_segment_bytes(writer, (uint32_t)(249 + i), data + i, sizes[i]), SUTRA_OK);
    commit(&chain, writer);
    REQUIRE(open_chain(&chain));
    uint8_t *found;
    size_t bytes;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        REQUIRE(sutra_segment_read_bytes(&chain.segments[0], (uint32_t)(249 + i), &found, &bytes,
                                         &chain.fault) == SUTRA_OK);
        CHECK(found != NULL);
        CHECK_EQ(bytes, sizes[i]);
        CHECK(memcmp(found, data + i, bytes) == 0);
        free(found);
    }
    CHECK_EQ(sutra_segment_read_bytes(&chain.segments[0], 248, &found, &bytes, &chain.fault),
             SUTRA_E_NOT_FOUND);
    CHECK(found == NULL && bytes == 0);
    free(data);
    remove_chain(&chain);
}

/* ---- adopting */

static void adopted_memory_is_the_files(void)
{
    enum { WIDE = 56, FIRST = 4000, SECOND = 9000, THIRD = 9010, FOURTH = 15000 };
    for (int simulated = 0; simulated < 2; simulated++) {
        struct chain chain;
        REQUIRE(make_chain(&chain, simulated));
        struct sutra_planes planes;
        const size_t row_bytes[] = {WIDE};
        REQUIRE(sutra_planes_init(&planes, row_bytes, 1, SUTRA_HUGE_NEVER) == SUTRA_OK);
        REQUIRE(sutra_planes_ensure(&planes, FOURTH + 100) == SUTRA_OK);
        struct sutra_plane *plane = &planes.plane[0];
        uint8_t *expected = malloc((size_t)FOURTH * WIDE);
        REQUIRE(expected != NULL);
        make_rows(plane->base, WIDE, 0, FOURTH, 1);
        memcpy(expected, plane->base, (size_t)FOURTH * WIDE);
        static const uint64_t ends[] = {0, FIRST, SECOND, THIRD, FOURTH};
        for (size_t s = 0; s < 4; s++) {
            struct sutra_segment_writer *writer = begin(&chain);
            if (s == 3)
                sutra_segment_copied_rows(writer, KIND, SUTRA_SECTION_RANGE, NULL,
                                          plane->base + ends[s] * WIDE, WIDE, ends[s], ends[s + 1]);
            else
                sutra_segment_rows(writer, KIND, s == 0 ? SUTRA_SECTION_WHOLE : SUTRA_SECTION_RANGE,
                                   plane->base, WIDE, ends[s], ends[s + 1]);
            commit(&chain, writer);
        }
        REQUIRE(open_chain(&chain));
        const size_t committed = plane->arena.committed_bytes;
        for (size_t s = 0; s < 4; s++) {
            CHECK_EQ(sutra_segment_adopt(&chain.segments[s], KIND, plane), SUTRA_OK);
            CHECK(memcmp(plane->base, expected, (size_t)FOURTH * WIDE) == 0);
            CHECK_EQ(plane->arena.committed_bytes, committed);
            /* The third is small. The last has zeros where rows were saved before: that block, in
             * which the small one lies too, stays. */
            const uint64_t mapped =
                s < 2 ? ends[s + 1] * WIDE / BLOCK
                      : ends[2] * WIDE / BLOCK +
                            (s == 3 ? ends[4] * WIDE / BLOCK - ends[3] * WIDE / BLOCK - 1 : 0);
            CHECK_EQ(plane->arena.mapped_bytes, mapped * BLOCK);
        }
        CHECK_EQ(sutra_segment_adopt(&chain.segments[0], KIND + 1, plane), SUTRA_E_NOT_FOUND);
        REQUIRE(sutra_planes_ensure(&planes, FOURTH * 4) == SUTRA_OK);
        make_rows(plane->base, WIDE, FOURTH, FOURTH * 4, 1);
        CHECK(memcmp(plane->base, expected, (size_t)FOURTH * WIDE) == 0);
        /* If someone writes there after all, the file does not change. */
        memset(plane->base, 0, (size_t)FOURTH * WIDE);
        for (size_t s = 0; s < 4; s++)
            CHECK_EQ(sutra_segment_check(&chain.segments[s], 0, 0, &chain.fault), SUTRA_OK);
        sutra_planes_deinit(&planes);
        free(expected);
        remove_chain(&chain);
    }
}

static void only_the_same_plane_adopts(void)
{
    struct chain chain;
    REQUIRE(make_chain(&chain, true));
    struct sutra_planes planes;
    const size_t row_bytes[] = {64, 32, 64, 0};
    REQUIRE(sutra_planes_init(&planes, row_bytes, 4, SUTRA_HUGE_NEVER) == SUTRA_OK);
    REQUIRE(sutra_planes_ensure(&planes, 3000) == SUTRA_OK);
    make_rows(planes.plane[0].base, 64, 0, 3000, 1);
    struct sutra_segment_writer *writer = begin(&chain);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, planes.plane[0].base, 64, 0, 3000);
    sutra_segment_bytes(writer, OWN_KIND, "x", 1);
    commit(&chain, writer);
    REQUIRE(open_chain(&chain));
    CHECK_EQ(sutra_segment_adopt(&chain.segments[0], KIND, &planes.plane[1]), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_segment_adopt(&chain.segments[0], KIND, &planes.plane[3]), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_segment_adopt(&chain.segments[0], OWN_KIND, &planes.plane[0]),
             SUTRA_E_NOT_FOUND);
    struct sutra_plane small = {0}; /* has fewer rows than the section */
    REQUIRE(sutra_plane_reserve(&small, 64, 3000, SUTRA_HUGE_NEVER) == SUTRA_OK);
    REQUIRE(sutra_arena_commit(&small.arena, BLOCK) == SUTRA_OK);
    CHECK_EQ(sutra_segment_adopt(&chain.segments[0], KIND, &small), SUTRA_E_ARGUMENT);
    CHECK_EQ(small.arena.mapped_bytes, 0);
    sutra_plane_release(&small);
    sutra_planes_deinit(&planes);
    remove_chain(&chain);
}

CHECK_MAIN(CASE(every_load_gives_the_same_rows), CASE(planes_may_end_with_a_block),
           CASE(loaded_planes_grow), CASE(a_whole_section_forgets_the_rest),
           CASE(repeated_bytes_are_not_rows), CASE(planes_without_rows),
           CASE(large_planes_come_back), CASE(chains_with_wrong_rows_are_refused),
           CASE(patches_need_something_to_patch), CASE(bytes_come_back),
           CASE(adopted_memory_is_the_files), CASE(only_the_same_plane_adopts))
