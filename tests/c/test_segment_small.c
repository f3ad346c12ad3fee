/* Small sections: packed behind each other, read and never mapped, mixed with large ones.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "segment_cases.h"

#include "base/platform.h"

#define KIND ((uint32_t)SUTRA_PART_RECORD)

/* ---- where things are */

/* Sections lie as close behind each other as they may, in this order, and nothing is after them. */
static void check_layout(const struct sutra_segment *segment)
{
    uint64_t end = 4096;
    for (uint32_t s = 0; s < segment->section_count; s++) {
        const struct sutra_segment_section *section = &segment->sections[s];
        uint64_t own = section->rows * section->row_bytes;
        if (section->form == SUTRA_SECTION_PATCH)
            own += (section->rows * 4 + 63) / 64 * 64;
        const uint64_t alignment = own < 65536 ? 64 : 65536;
        end = (end + alignment - 1) / alignment * alignment;
        CHECK_EQ(section->offset, end);
        if (section->form == SUTRA_SECTION_RANGE && own >= 65536)
            own += section->first_row * section->row_bytes % 65536;
        CHECK_EQ(section->bytes, own);
        end += own;
    }
    end = (end + 63) / 64 * 64;
    CHECK_EQ(segment->data_bytes, end);
    CHECK_EQ(segment->block_count, (end + 65535) / 65536);
    CHECK_EQ(segment->bytes, end + 4 * segment->block_count);
}

static const struct sutra_io *counted_io;
static int writes;

static int counted_write(void *context, int fd, uint64_t offset, const struct sutra_span *spans,
                         size_t count, size_t *done_out)
{
    writes++;
    return counted_io->write(context, fd, offset, spans, count, done_out);
}

static void twenty_small_sections_are_a_few_kib(void)
{
    enum { COUNT = 20, ROW = 24, FIRST = 10000, ROWS = 12 };
    struct chain chain;
    REQUIRE(make_chain(&chain, false));
    uint8_t *plane = malloc((size_t)(FIRST + ROWS) * ROW);
    REQUIRE(plane != NULL);
    make_rows(plane, ROW, 0, FIRST + ROWS, 1);
    static const uint32_t numbers[] = {3, 900, 9999};
    struct sutra_io counting = sutra_io_posix;
    counting.write = counted_write;
    counted_io = &sutra_io_posix;
    chain.place.io = &counting;
    writes = 0;
    struct sutra_segment_writer *writer = begin(&chain);
    for (uint32_t i = 0; i < COUNT; i++) {
        if (i % 2 == 0)
            sutra_segment_rows(writer, 1 + i, SUTRA_SECTION_RANGE, plane, ROW, FIRST, FIRST + ROWS);
        else
            sutra_segment_patch(writer, 1 + i, ROW, numbers, plane, 3);
    }
    commit(&chain, writer);
    CHECK(chain.bytes[0] < 16384);
    CHECK_EQ(writes, 1);
    REQUIRE(open_chain(&chain));
    CHECK_EQ(chain.segments[0].section_count, COUNT);
    check_layout(&chain.segments[0]);
    CHECK_EQ(sutra_segment_check(&chain.segments[0], 0, 0, &chain.fault), SUTRA_OK);
    size_t bytes;
    uint8_t *file = read_whole(&chain.place, "00000001.seg", &bytes);
    REQUIRE(file != NULL && bytes == chain.bytes[0]);
    for (uint32_t i = 0; i < COUNT; i++) {
        const uint8_t *at = file + chain.segments[0].sections[i].offset;
        if (i % 2 == 0)
            CHECK(memcmp(at, plane + (size_t)FIRST * ROW, (size_t)ROWS * ROW) == 0);
        else
            CHECK(memcmp(at, numbers, sizeof numbers) == 0 &&
                  memcmp(at + 64, plane, (size_t)3 * ROW) == 0);
    }
    free(file);
    free(plane);
    remove_chain(&chain);
}

/* 64 KiB and a little less, of every form, with small ones around them. */
static void sections_of_64_kib_are_large(void)
{
    enum { EDGE = 65536, FIRST = 70001, PATCHED = 64, PATCH_ROW = 1020 /* and 4 for a number */ };
    struct chain chain;
    REQUIRE(make_chain(&chain, true));
    uint8_t *plane = malloc((size_t)FIRST + EDGE);
    REQUIRE(plane != NULL);
    make_rows(plane, 1, 0, FIRST + EDGE, 1);
    uint32_t numbers[PATCHED];
    for (uint32_t j = 0; j < PATCHED; j++)
        numbers[j] = j * 5;
    for (size_t less = 0; less < 2; less++) {
        const size_t bytes = EDGE - less;
        struct sutra_segment_writer *writer = begin(&chain);
        sutra_segment_bytes(writer, OWN_KIND, "x", 1);
        sutra_segment_rows(writer, 1, SUTRA_SECTION_RANGE, plane, 1, FIRST, FIRST + bytes);
        sutra_segment_bytes(writer, OWN_KIND + 1, "y", 1);
        sutra_segment_rows(writer, 2, SUTRA_SECTION_WHOLE, plane, 1, 0, bytes);
        sutra_segment_bytes(writer, OWN_KIND + 2, plane, bytes);
        sutra_segment_patch(writer, 3, PATCH_ROW - less, numbers, plane, PATCHED);
        sutra_segment_copied_rows(writer, 4, SUTRA_SECTION_RANGE, NULL, plane, 1, FIRST,
                                  FIRST + bytes);
        commit(&chain, writer);
        REQUIRE(open_chain(&chain));
        const struct sutra_segment *segment = &chain.segments[less];
        check_layout(segment);
        CHECK_EQ(sutra_segment_check(segment, 0, 0, &chain.fault), SUTRA_OK);
        CHECK_EQ(segment->sections[1].offset, less ? 4160 : 65536);
        CHECK_EQ(segment->sections[1].bytes, less ? bytes : FIRST % 65536 + bytes);
        CHECK_EQ(segment->sections[5].bytes, less ? 65472 : 65536);
        CHECK_EQ(segment->sections[5].offset % 65536 == 0, less == 0);
        uint8_t *data;
        size_t found;
        REQUIRE(sutra_segment_read_bytes(segment, OWN_KIND + 2, &data, &found, &chain.fault) ==
                SUTRA_OK);
        CHECK(found == bytes && memcmp(data, plane, found) == 0);
        free(data);
        REQUIRE(sutra_segment_read_bytes(segment, OWN_KIND + 1, &data, &found, &chain.fault) ==
                SUTRA_OK);
        CHECK(found == 1 && data[0] == 'y');
        free(data);
        for (int hot = 0; hot < 2; hot++) {
            struct sutra_plane loaded;
            REQUIRE(sutra_segment_chain_load(&chain.source, 2, 1, bytes, hot, SUTRA_HUGE_NEVER,
                                             &loaded) == SUTRA_OK);
            CHECK(memcmp(loaded.base, plane, bytes) == 0);
            CHECK_EQ(loaded.arena.mapped_bytes, hot || less ? 0 : BLOCK);
            sutra_plane_release(&loaded);
        }
    }
    free(plane);
    remove_chain(&chain);
}

/* ---- mixed with large ones */

/* What a random history has come to, at the end of each of its segments. */
struct moment {
    uint64_t rows;
    uint64_t mapped_blocks; /* those of large ranges since the last whole plane */
    uint8_t *plane;
};

struct mix {
    struct random random;
    size_t row_bytes;
    uint64_t most_rows, version, smalls, larges;
    struct moment now;
    struct moment after[CHAIN_MOST];
};

/* One row, a few, about a block, or several blocks. */
static uint64_t random_rows(struct mix *mix)
{
    const uint64_t block = BLOCK / mix->row_bytes;
    switch (random_below(&mix->random, 5)) {
    case 0:
        return 1;
    case 1:
        return 1 + random_below(&mix->random, 20);
    case 2:
        return 1 + random_below(&mix->random, block);
    case 3:
        return block - 1 + random_below(&mix->random, 4);
    default:
        return block + random_below(&mix->random, 2 * block);
    }
}

static void note_rows(struct mix *mix, uint64_t first, uint64_t end)
{
    const bool large = (end - first) * mix->row_bytes >= BLOCK;
    mix->larges += large;
    mix->smalls += !large;
    if (large)
        mix->now.mapped_blocks += end * mix->row_bytes / BLOCK - first * mix->row_bytes / BLOCK;
}

static void add_range(struct mix *mix, struct sutra_segment_writer *writer)
{
    struct moment *now = &mix->now;
    const uint64_t first = now->rows, more = random_rows(mix);
    const uint64_t end = first + more < mix->most_rows ? first + more : mix->most_rows;
    if (first == end)
        return;
    make_rows(now->plane, mix->row_bytes, first, end, mix->version);
    const uint8_t *copy = now->plane + first * mix->row_bytes;
    if (random_below(&mix->random, 2))
        sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, now->plane, mix->row_bytes, first,
                           end);
    else
        sutra_segment_copied_rows(writer, KIND, SUTRA_SECTION_RANGE,
                                  random_below(&mix->random, 2) ? now->plane : NULL, copy,
                                  mix->row_bytes, first, end);
    now->rows = end;
    note_rows(mix, first, end);
}

static void add_whole(struct mix *mix, struct sutra_segment_writer *writer)
{
    struct moment *now = &mix->now;
    now->rows = random_rows(mix);
    now->mapped_blocks = 0;
    mix->version++;
    make_rows(now->plane, mix->row_bytes, 0, now->rows, mix->version);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_WHOLE, now->plane, mix->row_bytes, 0, now->rows);
    note_rows(mix, 0, now->rows);
}

static void add_section(struct mix *mix, struct sutra_segment_writer *writer, uint32_t own_kind)
{
    switch (random_below(&mix->random, 8)) {
    case 0:
        add_whole(mix, writer);
        break;
    case 1:
    case 2:
        if (mix->now.rows > 0)
            patch_rows(writer, KIND, mix->now.plane, mix->row_bytes, mix->now.rows,
                       1 + random_below(&mix->random, random_below(&mix->random, 2) ? 3 : 1000),
                       ++mix->version);
        break;
    case 3: /* something else between them */
        sutra_segment_bytes(writer, own_kind, mix->now.plane,
                            (size_t)random_below(&mix->random, 1000));
        break;
    default:
        add_range(mix, writer);
        break;
    }
}

static void load_moment(struct chain *chain, struct mix *mix, size_t segments)
{
    const struct moment *moment = &mix->after[segments - 1];
    const size_t bytes = (size_t)moment->rows * mix->row_bytes;
    chain->source.count = segments;
    for (int way = 0; way < 4; way++) {
        const bool hot = way & 1;
        chain->source.checked = way & 2;
        struct sutra_planes planes = {.count = 1, .capacity_rows = (size_t)moment->rows};
        struct sutra_plane *plane = &planes.plane[0];
        REQUIRE(sutra_segment_chain_load(&chain->source, KIND, mix->row_bytes, (size_t)moment->rows,
                                         hot, SUTRA_HUGE_ADVISE, plane) == SUTRA_OK);
        CHECK(memcmp(plane->base, moment->plane, bytes) == 0);
        CHECK_EQ(plane->arena.mapped_bytes, hot ? 0 : moment->mapped_blocks * BLOCK);
        CHECK_EQ(plane->arena.committed_bytes, sutra_round_up(bytes, sutra_page_bytes()));
        REQUIRE(sutra_planes_ensure(&planes, (size_t)moment->rows * 2 + 1) == SUTRA_OK);
        CHECK(memcmp(plane->base, moment->plane, bytes) == 0);
        memset(plane->base, 1, planes.capacity_rows * mix->row_bytes); /* the files do not know */
        sutra_planes_deinit(&planes);
    }
    chain->source.count = chain->count;
}

static void mix_once(struct mix *mix, bool simulated)
{
    struct chain chain;
    REQUIRE(make_chain(&chain, simulated));
    const size_t room = (size_t)mix->most_rows * mix->row_bytes;
    mix->now = (struct moment){.plane = calloc(1, room)};
    REQUIRE(mix->now.plane != NULL);
    const size_t segments = 1 + (size_t)random_below(&mix->random, CHAIN_MOST);
    for (size_t s = 0; s < segments; s++) {
        struct sutra_segment_writer *writer = begin(&chain);
        const uint64_t sections = random_below(&mix->random, 8);
        for (uint32_t i = 0; i < sections; i++)
            add_section(mix, writer, OWN_KIND + i);
        commit(&chain, writer);
        mix->after[s] = mix->now;
        mix->after[s].plane = malloc(room);
        REQUIRE(mix->after[s].plane != NULL);
        memcpy(mix->after[s].plane, mix->now.plane, room);
    }
    REQUIRE(open_chain(&chain));
    for (size_t s = 0; s < segments; s++) {
        check_layout(&chain.segments[s]);
        load_moment(&chain, mix, s + 1);
        CHECK_EQ(sutra_segment_check(&chain.segments[s], 0, 0, &chain.fault), SUTRA_OK);
    }
    for (size_t s = 0; s < segments; s++)
        free(mix->after[s].plane);
    free(mix->now.plane);
    remove_chain(&chain);
}

static void small_and_large_mix(void)
{
    static const size_t sizes[] = {4, 56, 64, 100, 1536, 3000};
    uint64_t smalls = 0, larges = 0;
    for (uint64_t trial = 0; trial < (is_emulated() ? 6 : 60); trial++) {
        struct mix mix = {.random = {.seed = trial + 100},
                          .row_bytes = sizes[trial % 6],
                          .most_rows = 24 * BLOCK / sizes[trial % 6]};
        const int before = atomic_load(&check_failures);
        mix_once(&mix, trial % 2);
        if (atomic_load(&check_failures) != before) {
            (void)fprintf(stderr, "in trial %llu\n", (unsigned long long)trial);
            return;
        }
        smalls += mix.smalls;
        larges += mix.larges;
    }
    CHECK(smalls > 20 && larges > 20);
}

static void small_ranges_stay_in_memory(void)
{
    enum { WIDE = 100, ROWS = 8000, ENDS = 8 };
    static const uint64_t ends[ENDS] = {0, 300, 600, 900, 2000, 2001, 5000, ROWS};
    struct chain chain;
    REQUIRE(make_chain(&chain, false));
    struct sutra_planes planes;
    const size_t row_bytes[] = {WIDE};
    REQUIRE(sutra_planes_init(&planes, row_bytes, 1, SUTRA_HUGE_NEVER) == SUTRA_OK);
    REQUIRE(sutra_planes_ensure(&planes, ROWS) == SUTRA_OK);
    struct sutra_plane *plane = &planes.plane[0];
    uint8_t *expected = malloc((size_t)ROWS * WIDE);
    REQUIRE(expected != NULL);
    make_rows(plane->base, WIDE, 0, ROWS, 1);
    memcpy(expected, plane->base, (size_t)ROWS * WIDE);
    for (size_t s = 0; s + 1 < ENDS; s++) {
        struct sutra_segment_writer *writer = begin(&chain);
        sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, plane->base, WIDE, ends[s],
                           ends[s + 1]);
        commit(&chain, writer);
    }
    REQUIRE(open_chain(&chain));
    uint64_t blocks = 0;
    for (size_t s = 0; s + 1 < ENDS; s++) {
        CHECK_EQ(sutra_segment_adopt(&chain.segments[s], KIND, plane), SUTRA_OK);
        if ((ends[s + 1] - ends[s]) * WIDE >= BLOCK)
            blocks += ends[s + 1] * WIDE / BLOCK - ends[s] * WIDE / BLOCK;
        CHECK_EQ(plane->arena.mapped_bytes, blocks * BLOCK);
        CHECK(memcmp(plane->base, expected, (size_t)ROWS * WIDE) == 0);
        /* Once more is no more. */
        CHECK_EQ(sutra_segment_adopt(&chain.segments[s], KIND, plane), SUTRA_OK);
        CHECK(plane->arena.mapped_bytes <= ends[s + 1] * WIDE);
        plane->arena.mapped_bytes = (size_t)blocks * BLOCK;
    }
    CHECK_EQ(blocks, 11); /* of twelve: the first has small ranges alone */
    sutra_planes_deinit(&planes);
    free(expected);
    remove_chain(&chain);
}

/* ---- blocks that are shared */

static void damage_is_the_blocks(void)
{
    enum { ROW = 40, ROWS = 100 };
    struct chain chain;
    REQUIRE(make_chain(&chain, true));
    uint8_t plane[ROW * ROWS];
    make_rows(plane, ROW, 0, ROWS, 1);
    struct sutra_segment_writer *writer = begin(&chain);
    sutra_segment_bytes(writer, OWN_KIND, "abc", 3);
    sutra_segment_rows(writer, KIND, SUTRA_SECTION_RANGE, plane, ROW, 0, ROWS);
    commit(&chain, writer);
    REQUIRE(open_chain(&chain));
    REQUIRE(flip(&chain.place, "00000001.seg", chain.segments[0].sections[0].offset, 1));
    struct sutra_plane loaded;
    for (int way = 0; way < 4; way++) {
        chain.source.checked = way & 2;
        CHECK_EQ(sutra_segment_chain_load(&chain.source, KIND, ROW, ROWS, way & 1, 0, &loaded),
                 chain.source.checked ? SUTRA_E_CORRUPT : SUTRA_OK);
        if (!chain.source.checked)
            CHECK(memcmp(loaded.base, plane, sizeof plane) == 0);
        sutra_plane_release(&loaded);
    }
    uint8_t *data;
    size_t bytes;
    CHECK_EQ(sutra_segment_read_bytes(&chain.segments[0], OWN_KIND, &data, &bytes, &chain.fault),
             SUTRA_E_CORRUPT);
    CHECK_EQ(chain.fault.offset, 0);
    remove_chain(&chain);
}

CHECK_MAIN(CASE(twenty_small_sections_are_a_few_kib), CASE(sections_of_64_kib_are_large),
           CASE(small_and_large_mix), CASE(small_ranges_stay_in_memory), CASE(damage_is_the_blocks))
