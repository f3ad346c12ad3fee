/* The id map: hashes that mix and stay as they are, tables that grow under their readers.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "check.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/platform.h"
#include "base/status.h"
#include "concepts/id_map.h"

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

/* ---- hashes */

static void hashes_are_part_of_the_format(void)
{
    static const char text[] = "The id map is saved, so these numbers never change.";
    static const struct {
        uint64_t seed, number, text;
        size_t bytes;
    } known[] = {
        {0, 0xa706dd2f4d197e6fu, 0x9138cb1d50f31578u, 0},
        {0, 0x1da8df0e7681eb48u, 0x47e7a4d33405de76u, 1},
        {1, 0xc68c0b65c867ddf6u, 0xac1b81e02e497dc9u, 3},
        {2, 0x3422e9a4a6692355u, 0xb13fbc7ce9895783u, 4},
        {3, 0x9ecf8875392d8e9eu, 0xdcba947d793302b2u, 7},
        {4, 0xbc522e38da53d7a1u, 0xa095a24550bf6838u, 8},
        {5, 0xd99bfa80f30691ebu, 0xb7bdbc61f96653bcu, 15},
        {6, 0xf02713dd57b01143u, 0x5898c652bc8ab296u, 16},
        {7, 0xdc50465f54658cf0u, 0xc68903b5c4c9d1aeu, 17},
        {UINT64_MAX, 0xf166e0e447c900dau, 0x2ee687a83c02b99au, 51},
    };
    for (size_t j = 0; j < sizeof known / sizeof known[0]; j++) {
        const int64_t id = (int64_t)(j * j * 1000003);
        CHECK(sutra_hash_number(known[j].seed, id) == known[j].number);
        CHECK(sutra_hash_text(known[j].seed, text, known[j].bytes) == known[j].text);
    }
}

/* Every bit of the input changes each bit of the output about every other time. */
struct avalanche {
    uint32_t flips[64]; /* of output bits */
    uint32_t trials;
};

static void count_flips(struct avalanche *avalanche, uint64_t difference)
{
    for (unsigned bit = 0; bit < 64; bit++)
        avalanche->flips[bit] += (uint32_t)(difference >> bit & 1);
    avalanche->trials++;
}

static bool is_even(const struct avalanche *avalanche)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        /* 256 trials have a standard deviation of 8; 64 is eight of them. */
        const double share = (double)avalanche->flips[bit] / avalanche->trials;
        if (share < 0.25 || share > 0.75)
            return false;
    }
    return true;
}

static void every_bit_matters(void)
{
    for (unsigned in = 0; in < 64; in++) {
        struct avalanche avalanche = {0};
        for (uint64_t trial = 0; trial < 256; trial++) {
            const int64_t id = (int64_t)trial, other = (int64_t)(trial ^ (uint64_t)1 << in);
            count_flips(&avalanche, sutra_hash_number(9, id) ^ sutra_hash_number(9, other));
        }
        CHECK(is_even(&avalanche));
    }
    static const size_t lengths[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 100};
    char text[100];
    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        for (size_t in = 0; in < lengths[l] * 8; in++) {
            struct avalanche avalanche = {0};
            for (uint64_t trial = 0; trial < 256; trial++) {
                for (size_t j = 0; j < lengths[l]; j++)
                    text[j] = (char)sutra_random_at(trial, j);
                const uint64_t before = sutra_hash_text(trial / 64, text, lengths[l]);
                text[in / 8] = (char)(text[in / 8] ^ 1 << in % 8);
                count_flips(&avalanche, before ^ sutra_hash_text(trial / 64, text, lengths[l]));
            }
            CHECK(is_even(&avalanche));
        }
    }
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void ids_that_look_alike_differ(void)
{
    enum { COUNT = 4096 };
    uint64_t *hashes = malloc(COUNT * sizeof *hashes);
    REQUIRE(hashes != NULL);
    size_t count = 0;
    static const char zeros[1024];
    for (size_t bytes = 0; bytes <= 1024; bytes++)
        hashes[count++] = sutra_hash_text(5, zeros, bytes);
    for (int64_t id = 0; id < 1000; id++) {
        char text[24];
        const int bytes = snprintf(text, sizeof text, "%lld", (long long)id);
        hashes[count++] = sutra_hash_number(5, id);
        hashes[count++] = sutra_hash_number(6, id); /* another seed */
        hashes[count++] = sutra_hash_text(5, text, (size_t)bytes);
    }
    REQUIRE(count <= COUNT);
    qsort(hashes, count, sizeof *hashes, compare_u64);
    size_t equal = 0;
    for (size_t j = 1; j < count; j++)
        equal += hashes[j] == hashes[j - 1];
    CHECK_EQ(equal, 0);
    free(hashes);
}

/* A text between two pages that cannot be read: a byte too far is a crash. */
static void texts_are_read_to_their_end_and_no_further(void)
{
    const size_t page = sutra_page_bytes();
    uint8_t *region =
        mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(region != MAP_FAILED);
    REQUIRE(mprotect(region, page, PROT_NONE) == 0);
    REQUIRE(mprotect(region + 2 * page, page, PROT_NONE) == 0);
    char *const begin = (char *)region + page, *const end = (char *)region + 2 * page;
    for (size_t bytes = 0; bytes <= SUTRA_TEXT_ID_BYTES_MAX; bytes++) {
        for (size_t j = 0; j < bytes; j++)
            begin[j] = (char)(j * 7 + bytes);
        const uint64_t hash = sutra_hash_text(1, begin, bytes);
        memmove(end - bytes, begin, bytes);
        CHECK(sutra_hash_text(1, end - bytes, bytes) == hash);
        memmove(begin + 1, end - bytes, bytes); /* at an odd address */
        CHECK(sutra_hash_text(1, begin + 1, bytes) == hash);
    }
    CHECK_EQ(munmap(region, 3 * page), 0);
}

/* ---- tables */

static bool has(const struct sutra_id_map *map, uint64_t hash, uint32_t concept)
{
    struct sutra_id_probe probe =
        sutra_id_probe_begin(sutra_id_map_table(map), sutra_id_fingerprint(hash));
    uint32_t found;
    while ((found = sutra_id_probe_next(&probe)) != SUTRA_NO_CONCEPT) {
        if (found == concept)
            return true;
    }
    return false;
}

static size_t count_words(const struct sutra_id_map *map)
{
    size_t count = 0;
    for (uint64_t w = 0; w <= map->table->mask; w++)
        count += map->table->words[w] != 0;
    return count;
}

static void what_was_inserted_is_found(void)
{
    enum { COUNT = 100000, STEP = 1000 };
    struct sutra_epochs epochs;
    struct sutra_id_map map;
    REQUIRE(sutra_epochs_init(&epochs) == SUTRA_OK);
    REQUIRE(sutra_id_map_init(&map, &epochs) == SUTRA_OK);
    CHECK(map.table->mask + 1 >= SUTRA_ID_LINE_WORDS);
    size_t growths = 0;
    for (uint32_t first = 0; first < COUNT; first += STEP) {
        const uint64_t version = map.version, words = map.table->mask + 1;
        REQUIRE(sutra_id_map_reserve(&map, STEP) == SUTRA_OK);
        const bool grown = map.table->mask + 1 != words;
        growths += grown;
        CHECK_EQ(grown, map.version != version);
        CHECK(map.table->mask + 1 >= words);
        CHECK(sutra_id_map_is_sound(map.table->mask + 1, map.used + STEP));
        CHECK((uintptr_t)map.table->words % SUTRA_CACHE_LINE == 0);
        CHECK_EQ(count_words(&map), first);
        for (uint32_t j = first; j < first + STEP; j++)
            sutra_id_map_insert(&map, sutra_hash_number(3, j), j);
        /* No growth where there was room. */
        const struct sutra_id_table *const table = map.table;
        REQUIRE(sutra_id_map_reserve(&map, 0) == SUTRA_OK);
        CHECK(map.table == table);
    }
    CHECK(growths >= 3);
    CHECK_EQ(map.used, COUNT);
    size_t missing = 0, invented = 0;
    uint64_t tried = 0;
    for (uint32_t j = 0; j < COUNT; j++) {
        const uint64_t hash = sutra_hash_number(3, j);
        missing += !has(&map, hash, j);
        invented += has(&map, sutra_hash_number(3, (int64_t)j + COUNT), j);
        struct sutra_id_probe probe = sutra_id_probe_begin(map.table, sutra_id_fingerprint(hash));
        while (sutra_id_probe_next(&probe) != j)
            continue;
        tried += probe.tried;
    }
    CHECK_EQ(missing, 0);
    CHECK_EQ(invented, 0);
    CHECK(tried < (uint64_t)COUNT * 2); /* 1.75 is what theory has at three fifths */
    sutra_id_map_deinit(&map);
    sutra_epochs_deinit(&epochs);
}

static void equal_fingerprints_are_all_given(void)
{
    enum { COUNT = 300 };
    struct sutra_epochs epochs;
    struct sutra_id_map map;
    REQUIRE(sutra_epochs_init(&epochs) == SUTRA_OK);
    REQUIRE(sutra_id_map_init(&map, &epochs) == SUTRA_OK);
    /* The last words of any table: probing goes round its end. */
    for (uint32_t j = 0; j < COUNT; j++) {
        REQUIRE(sutra_id_map_reserve(&map, 1) == SUTRA_OK);
        sutra_id_map_insert(&map, 0xfffffffd00000000u | j, j);
        sutra_id_map_insert(&map, 0xfffffffe00000000u | j, COUNT + j);
        REQUIRE(sutra_id_map_reserve(&map, 1000) == SUTRA_OK);
    }
    struct sutra_id_probe probe = sutra_id_probe_begin(map.table, 0xfffffffdu);
    bool seen[COUNT] = {false};
    uint32_t found;
    size_t count = 0;
    while ((found = sutra_id_probe_next(&probe)) != SUTRA_NO_CONCEPT) {
        REQUIRE(found < COUNT && !seen[found]);
        seen[found] = true;
        count++;
    }
    CHECK_EQ(count, COUNT);
    CHECK_EQ(sutra_id_probe_next(&probe), SUTRA_NO_CONCEPT);
    sutra_id_map_deinit(&map);
    sutra_epochs_deinit(&epochs);
}

static void a_line_is_marked_when_a_word_of_it_changes(void)
{
    struct sutra_epochs epochs;
    struct sutra_id_map map;
    REQUIRE(sutra_epochs_init(&epochs) == SUTRA_OK);
    REQUIRE(sutra_id_map_init(&map, &epochs) == SUTRA_OK);
    REQUIRE(sutra_id_map_reserve(&map, 5000) == SUTRA_OK);
    CHECK_EQ(map.dirty.sealed_rows, 0);
    for (uint32_t j = 0; j < 2000; j++)
        sutra_id_map_insert(&map, sutra_hash_number(1, j), j);
    CHECK_EQ(map.dirty.marked, 0); /* nothing was saved yet */
    const size_t bytes = (size_t)(map.table->mask + 1) * sizeof(uint64_t);
    const size_t lines = bytes / SUTRA_CACHE_LINE;
    uint8_t *const before = malloc(bytes);
    REQUIRE(before != NULL);
    memcpy(before, map.table->words, bytes);
    REQUIRE(sutra_dirty_seal(&map.dirty, lines) == SUTRA_OK);
    for (uint32_t j = 2000; j < 2300; j++)
        sutra_id_map_insert(&map, sutra_hash_number(1, j), j);
    size_t wrong = 0;
    for (size_t line = 0; line < lines; line++) {
        const size_t at = line * SUTRA_CACHE_LINE;
        const bool changed = memcmp(before + at, map.table->plane.base + at, SUTRA_CACHE_LINE) != 0;
        wrong += changed != sutra_dirty_test(&map.dirty, line);
    }
    CHECK_EQ(wrong, 0);
    CHECK(map.dirty.marked > 100 && map.dirty.marked <= 300);
    /* A table made anew has nothing that was saved. */
    const uint64_t version = map.version;
    REQUIRE(sutra_id_map_reserve(&map, 10000) == SUTRA_OK);
    CHECK(map.version != version);
    CHECK(map.dirty.sealed_rows == 0 && map.dirty.marked == 0);
    free(before);
    sutra_id_map_deinit(&map);
    sutra_epochs_deinit(&epochs);
}

static void readers_go_on_in_the_old_table(void)
{
    struct sutra_epochs epochs;
    struct sutra_id_map map;
    REQUIRE(sutra_epochs_init(&epochs) == SUTRA_OK);
    REQUIRE(sutra_id_map_init(&map, &epochs) == SUTRA_OK);
    for (uint32_t j = 0; j < 100; j++)
        sutra_id_map_insert(&map, sutra_hash_number(1, j), j);
    const unsigned slot = sutra_epoch_enter(&epochs);
    const struct sutra_id_table *const old = sutra_id_map_table(&map);
    REQUIRE(sutra_id_map_reserve(&map, 100000) == SUTRA_OK);
    CHECK(sutra_id_map_table(&map) != old);
    CHECK(epochs.retired != NULL);
    for (uint32_t j = 0; j < 100; j++) {
        struct sutra_id_probe probe =
            sutra_id_probe_begin(old, sutra_id_fingerprint(sutra_hash_number(1, j)));
        CHECK_EQ(sutra_id_probe_next(&probe), j);
    }
    sutra_epoch_leave(&epochs, slot);
    /* The next growth, or whoever collects, frees it. */
    REQUIRE(sutra_id_map_reserve(&map, 1000000) == SUTRA_OK);
    CHECK(epochs.retired == NULL);
    sutra_id_map_deinit(&map);
    sutra_epochs_deinit(&epochs);
}

static void impossible_sizes_are_refused(void)
{
    struct sutra_epochs epochs;
    struct sutra_id_map map;
    REQUIRE(sutra_epochs_init(&epochs) == SUTRA_OK);
    REQUIRE(sutra_id_map_init(&map, &epochs) == SUTRA_OK);
    sutra_id_map_insert(&map, sutra_hash_number(1, 5), 0);
    const struct sutra_id_table *const table = map.table;
    const uint64_t version = map.version;
    CHECK_EQ(sutra_id_map_reserve(&map, SIZE_MAX), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_id_map_reserve(&map, SUTRA_ROWS_MAX), SUTRA_E_CAPACITY);
    CHECK(map.table == table && map.version == version && map.used == 1);
    CHECK(has(&map, sutra_hash_number(1, 5), 0));

    CHECK(sutra_id_map_is_sound(8, 0) && sutra_id_map_is_sound(8, 3));
    CHECK(!sutra_id_map_is_sound(8, 8) && !sutra_id_map_is_sound(8, 5));
    CHECK(!sutra_id_map_is_sound(0, 0) && !sutra_id_map_is_sound(4, 0));
    CHECK(!sutra_id_map_is_sound(24, 0) && !sutra_id_map_is_sound(1023, 0));
    CHECK(sutra_id_map_is_sound(SUTRA_ID_WORDS_MAX, SUTRA_ROWS_MAX));
    CHECK(!sutra_id_map_is_sound(2 * SUTRA_ID_WORDS_MAX, 0));
    CHECK(!sutra_id_map_is_sound(SUTRA_ID_WORDS_MAX, UINT64_MAX));
    sutra_id_map_deinit(&map);
    sutra_epochs_deinit(&epochs);
}

/* A file may say that there is room where there is none. */
static void a_full_table_is_no_endless_loop(void)
{
    enum { WORDS = 64 };
    struct sutra_epochs epochs;
    struct sutra_id_map map;
    REQUIRE(sutra_epochs_init(&epochs) == SUTRA_OK);
    struct sutra_plane plane = {.row_bytes = SUTRA_CACHE_LINE};
    REQUIRE(sutra_arena_reserve(&plane.arena, 1, 1, SUTRA_HUGE_NEVER) == SUTRA_OK);
    REQUIRE(sutra_arena_commit(&plane.arena, WORDS * sizeof(uint64_t)) == SUTRA_OK);
    plane.base = plane.arena.base;
    uint64_t *const words = (uint64_t *)(void *)plane.base;
    for (uint64_t w = 0; w < WORDS; w++)
        words[w] = (uint64_t)7 << 32 | (w % 5 == 0 ? 0 : w + 1);
    REQUIRE(sutra_id_map_adopt(&map, &epochs, &plane, WORDS, 3) == SUTRA_OK);
    size_t given = 0;
    struct sutra_id_probe probe = sutra_id_probe_begin(map.table, 7);
    while (sutra_id_probe_next(&probe) != SUTRA_NO_CONCEPT)
        given++;
    CHECK_EQ(given, WORDS - WORDS / 5 - 1); /* words that name no concept are passed over */
    CHECK(!has(&map, (uint64_t)9 << 32, 1));
    sutra_id_map_insert(&map, (uint64_t)9 << 32, 1000);
    CHECK(!has(&map, (uint64_t)9 << 32, 1000));
    /* It grows by its claims, and is sound from then on. */
    REQUIRE(sutra_id_map_reserve(&map, 1000) == SUTRA_OK);
    sutra_id_map_insert(&map, (uint64_t)9 << 32, 1000);
    CHECK(has(&map, (uint64_t)9 << 32, 1000));
    sutra_id_map_deinit(&map);
    sutra_epochs_deinit(&epochs);
}

CHECK_MAIN(CASE(hashes_are_part_of_the_format), CASE(every_bit_matters),
           CASE(ids_that_look_alike_differ), CASE(texts_are_read_to_their_end_and_no_further),
           CASE(what_was_inserted_is_found), CASE(equal_fingerprints_are_all_given),
           CASE(a_line_is_marked_when_a_word_of_it_changes), CASE(readers_go_on_in_the_old_table),
           CASE(impossible_sizes_are_refused), CASE(a_full_table_is_no_endless_loop))
