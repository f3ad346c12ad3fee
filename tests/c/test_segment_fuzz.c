/* Hostile segments: whatever the bytes, a file is refused with a code or gives rows, all of which
 * can be read, in no more memory than the file has bytes.
 *
 * Mutations mend all checksums afterwards, so that the numbers reach the code behind them.
 * SUTRA_FUZZ_TRIALS sets how many are tried, SUTRA_FUZZ_FIRST the first one: every trial depends on
 * its number alone.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "segment_pair.h"

#include "base/platform.h"

struct attack {
    struct chain *chain;
    size_t segment;
    const uint8_t *sound; /* the file as it was written */
    uint8_t *bytes;       /* and as damaged */
    size_t room;          /* length of the sound one */
    struct random random;
};

static uint64_t hostile_number(struct random *random, uint64_t now)
{
    static const uint64_t values[] = {
        0,          1,          2,          3,          4,          55,
        57,         64,         4096,       65535,      65536,      65537,
        131072,     0x7ffffff0, 0x7ffffff1, 0x80000000, 0xffffffff, 0x100000000,
        1ull << 33, 1ull << 47, 1ull << 62, 1ull << 63, UINT64_MAX, UINT64_MAX - 65535};
    switch (random_below(random, 7)) {
    case 0:
        return values[random_below(random, sizeof values / sizeof values[0])];
    case 1:
        return now + 1;
    case 2:
        return now - 1;
    case 3:
        return now ^ 1ull << random_below(random, 64);
    case 4:
        return now + 64 * (random_below(random, 7) - 3);
    case 5:
        return now + 65536 * (random_below(random, 7) - 3);
    default:
        return now * 2;
    }
}

static void damage_word(struct attack *attack, uint8_t *at, bool wide)
{
    if (wide)
        sutra_store_u64(at, hostile_number(&attack->random, sutra_load_u64(at)));
    else
        sutra_store_u32(at, (uint32_t)hostile_number(&attack->random, sutra_load_u32(at)));
}

static void damage_entry(struct attack *attack)
{
    static const struct {
        uint32_t at;
        bool wide;
    } fields[] = {{SUTRA_SEGMENT_ENTRY_KIND, false},      {SUTRA_SEGMENT_ENTRY_FORM, false},
                  {SUTRA_SEGMENT_ENTRY_ROW_BYTES, false}, {SUTRA_SEGMENT_ENTRY_RESERVED, false},
                  {SUTRA_SEGMENT_ENTRY_FIRST_ROW, true},  {SUTRA_SEGMENT_ENTRY_ROWS, true},
                  {SUTRA_SEGMENT_ENTRY_OFFSET, true},     {SUTRA_SEGMENT_ENTRY_BYTES, true}};
    const uint64_t entry = random_below(&attack->random, 4);
    const uint64_t field = random_below(&attack->random, sizeof fields / sizeof fields[0]);
    damage_word(attack,
                attack->bytes + SUTRA_SEGMENT_HEADER_SECTIONS + entry * SUTRA_SEGMENT_ENTRY_SIZE +
                    fields[field].at,
                fields[field].wide);
}

/* Other rows in an entry, and everything that follows from them: it is likely to be sound, mostly
 * with the offset that such a section needs. */
static void reshape_entry(struct attack *attack)
{
    uint8_t *entry = attack->bytes + SUTRA_SEGMENT_HEADER_SECTIONS +
                     random_below(&attack->random, 4) * SUTRA_SEGMENT_ENTRY_SIZE;
    const uint64_t form = 1 + random_below(&attack->random, 4);
    const uint64_t row_bytes = form == SUTRA_SECTION_BYTES ? 1
                               : random_below(&attack->random, 4)
                                   ? ROW
                                   : hostile_number(&attack->random, ROW);
    static const uint64_t most[] = {20, 1300, 5000};
    const uint64_t rows = random_below(&attack->random, most[random_below(&attack->random, 3)]);
    static const uint64_t firsts[] = {0, FIRST, MIDDLE};
    const uint64_t first =
        form == SUTRA_SECTION_RANGE ? firsts[random_below(&attack->random, 3)] : 0;
    uint64_t bytes = rows * (uint32_t)row_bytes;
    if (form == SUTRA_SECTION_PATCH)
        bytes += (rows * 4 + 63) / 64 * 64;
    const uint64_t alignment = bytes < BLOCK ? 64 : BLOCK;
    if (form == SUTRA_SECTION_RANGE && bytes >= BLOCK)
        bytes += first * (uint32_t)row_bytes % BLOCK;
    if (random_below(&attack->random, 4)) {
        const uint64_t offset = sutra_load_u64(entry + SUTRA_SEGMENT_ENTRY_OFFSET);
        sutra_store_u64(entry + SUTRA_SEGMENT_ENTRY_OFFSET,
                        (offset + alignment - 1) / alignment * alignment);
    }
    sutra_store_u32(entry + SUTRA_SEGMENT_ENTRY_FORM, (uint32_t)form);
    sutra_store_u32(entry + SUTRA_SEGMENT_ENTRY_ROW_BYTES, (uint32_t)row_bytes);
    sutra_store_u64(entry + SUTRA_SEGMENT_ENTRY_FIRST_ROW, first);
    sutra_store_u64(entry + SUTRA_SEGMENT_ENTRY_ROWS, rows);
    sutra_store_u64(entry + SUTRA_SEGMENT_ENTRY_BYTES, bytes);
}

/* Numbers of the patch, or anything else in the sections. */
static void damage_contents(struct attack *attack)
{
    const uint64_t words = (attack->room - SUTRA_SEGMENT_HEADER_BYTES) / 4;
    const uint64_t word =
        random_below(&attack->random, random_below(&attack->random, 2) ? FIRST / 50 : words);
    damage_word(attack, attack->bytes + SUTRA_SEGMENT_HEADER_BYTES + word * 4, false);
}

/* Another length, cut or not, with a header that says so. */
static size_t damage_length(struct attack *attack)
{
    const uint64_t least = SUTRA_SEGMENT_HEADER_BYTES + 4;
    uint64_t kept = least + random_below(&attack->random, attack->room - least + 1);
    if (random_below(&attack->random, 4)) { /* right, as lengths go */
        const uint64_t end = least - 4 + (data_of(kept) - (least - 4)) / 64 * 64;
        kept = end + 4 * ((end + BLOCK - 1) / BLOCK);
    }
    sutra_store_u64(attack->bytes + SUTRA_SEGMENT_HEADER_FILE_BYTES, kept);
    sutra_store_u64(attack->bytes + SUTRA_SEGMENT_HEADER_BLOCK_COUNT, blocks_of(kept));
    return (size_t)kept;
}

static size_t damage(struct attack *attack)
{
    size_t bytes = attack->room;
    const uint64_t count = 1 + random_below(&attack->random, 3);
    for (uint64_t i = 0; i < count; i++) {
        switch (random_below(&attack->random, 8)) {
        case 0:
        case 1:
            damage_entry(attack);
            break;
        case 2:
        case 3:
            reshape_entry(attack);
            break;
        case 4:
        case 5:
            damage_contents(attack);
            break;
        case 6:
            damage_word(attack, attack->bytes + 8 * random_below(&attack->random, 8), true);
            break;
        default:
            bytes = damage_length(attack);
            break;
        }
    }
    mend(attack->bytes, bytes, number_of(attack->segment), attack->sound, attack->room);
    return bytes;
}

struct tally {
    unsigned long opened, loaded, mapped;
};

/* Rows that the tables of the chain add up to: what a hostile manifest would say. */
static uint64_t rows_by_tables(const struct sutra_segment_chain *source, uint32_t kind,
                               uint32_t *row_bytes_out)
{
    uint64_t rows = 0;
    *row_bytes_out = 1;
    for (size_t s = 0; s < source->count; s++) {
        for (uint32_t i = 0; i < source->segments[s].section_count; i++) {
            const struct sutra_segment_section *section = &source->segments[s].sections[i];
            if (section->kind != kind || section->form > SUTRA_SECTION_WHOLE)
                continue;
            rows = section->form == SUTRA_SECTION_WHOLE ? section->rows : rows + section->rows;
            *row_bytes_out = section->row_bytes;
        }
    }
    return rows;
}

static void load_all(struct attack *attack, struct tally *tally)
{
    struct sutra_segment_chain *source = &attack->chain->source;
    const size_t page_bytes = sutra_page_bytes();
    uint64_t file_bytes = 0;
    for (size_t s = 0; s < source->count; s++)
        file_bytes += source->segments[s].bytes;
    static const uint32_t kinds[] = {KIND, OTHER, OWN_KIND, SUTRA_PART_HEAP};
    for (size_t k = 0; k < 4; k++) {
        uint32_t row_bytes;
        const uint64_t rows = rows_by_tables(source, kinds[k], &row_bytes);
        const bool hot = random_below(&attack->random, 2);
        source->checked = random_below(&attack->random, 2);
        struct sutra_plane plane;
        const int status = sutra_segment_chain_load(source, kinds[k], row_bytes, (size_t)rows, hot,
                                                    SUTRA_HUGE_NEVER, &plane);
        if (status != SUTRA_OK) {
            CHECK(status == SUTRA_E_CORRUPT);
            CHECK(plane.base == NULL);
            CHECK(source->fault_file[0] != '\0' && source->fault->what != NULL);
            continue;
        }
        tally->loaded += rows > 0;
        tally->mapped += plane.arena.mapped_bytes > 0;
        CHECK(rows * row_bytes <= file_bytes);
        CHECK_EQ(plane.arena.committed_bytes, sutra_round_up(rows * row_bytes, page_bytes));
        CHECK(plane.arena.mapped_bytes <= rows * row_bytes);
        volatile uint8_t sum = 0; /* every row can be read */
        for (uint64_t i = 0; i < rows * row_bytes; i += 64)
            sum = (uint8_t)(sum + plane.base[i]);
        if (rows > 0)
            sum = (uint8_t)(sum + plane.base[rows * row_bytes - 1]);
        sutra_plane_release(&plane);
        CHECK(sutra_segment_chain_load(source, kinds[k], row_bytes, (size_t)rows + 1, hot, 0,
                                       &plane) == SUTRA_E_CORRUPT);
    }
    for (size_t s = 0; s < source->count; s++) {
        uint8_t *data;
        size_t bytes;
        const int status =
            sutra_segment_read_bytes(&source->segments[s], OWN_KIND, &data, &bytes, source->fault);
        CHECK(status == SUTRA_OK || status == SUTRA_E_NOT_FOUND);
        CHECK(bytes <= source->segments[s].bytes);
        free(data);
        if (s == attack->segment && random_below(&attack->random, 4) == 0)
            CHECK_EQ(sutra_segment_check(&source->segments[s], 0, 0, source->fault), SUTRA_OK);
    }
}

static void try_attack(struct attack *attack, struct tally *tally)
{
    struct chain *chain = attack->chain;
    char name[SUTRA_SEGMENT_NAME_BYTES], path[192];
    name_of(attack->segment, name);
    path_of(&chain->place, name, path);
    const size_t bytes = damage(attack);
    REQUIRE(sutra_simulated_put(chain->place.simulated, path, attack->bytes, bytes) == SUTRA_OK);
    chain->source =
        (struct sutra_segment_chain){.segments = chain->segments, .fault = &chain->fault};
    int status = SUTRA_OK;
    for (size_t s = 0; s < 2 && status == SUTRA_OK; s++) {
        status = open_one(chain, s, false, &chain->segments[s], &chain->fault);
        chain->source.count += status == SUTRA_OK;
    }
    CHECK(status == SUTRA_OK || status == SUTRA_E_CORRUPT || status == SUTRA_E_TRUNCATED ||
          status == SUTRA_E_VERSION);
    tally->opened += status == SUTRA_OK;
    if (status == SUTRA_OK)
        load_all(attack, tally);
    close_chain(chain);
}

static void attacks_are_survived(void)
{
    const char *trials_text = getenv("SUTRA_FUZZ_TRIALS"), *first_text = getenv("SUTRA_FUZZ_FIRST");
    const uint64_t first = first_text ? strtoull(first_text, NULL, 10) : 0;
    const uint64_t trials = trials_text     ? strtoull(trials_text, NULL, 10)
                            : is_emulated() ? 500
                                            : 10000;
    struct chain chain;
    struct rows *rows = make_both(&chain, true);
    REQUIRE(rows != NULL);
    size_t bytes[2];
    uint8_t *sound[2] = {read_whole(&chain.place, "00000001.seg", &bytes[0]),
                         read_whole(&chain.place, "00000002.seg", &bytes[1])};
    REQUIRE(sound[0] != NULL && sound[1] != NULL);
    const size_t room = bytes[0] > bytes[1] ? bytes[0] : bytes[1];
    struct attack attack = {.chain = &chain, .bytes = malloc(room)};
    struct tally tally = {0};
    for (uint64_t trial = first; trial < first + trials; trial++) {
        attack.random = (struct random){.seed = trial};
        attack.segment = (size_t)(trial % 2);
        attack.room = bytes[attack.segment];
        attack.sound = sound[attack.segment];
        memcpy(attack.bytes, sound[attack.segment], attack.room);
        const int before = atomic_load(&check_failures);
        try_attack(&attack, &tally);
        if (atomic_load(&check_failures) != before)
            (void)fprintf(stderr, "in trial %llu\n", (unsigned long long)trial);
        char name[SUTRA_SEGMENT_NAME_BYTES], path[192];
        name_of(attack.segment, name);
        path_of(&chain.place, name, path);
        REQUIRE(sutra_simulated_put(chain.place.simulated, path, sound[attack.segment],
                                    attack.room) == SUTRA_OK);
    }
    /* The attacks reach the code behind the checks. */
    CHECK(tally.opened > trials / 8);
    CHECK(tally.loaded > trials / 8);
    CHECK(tally.mapped > trials / 50);
    free(attack.bytes);
    free(sound[0]);
    free(sound[1]);
    free(rows);
    remove_chain(&chain);
}

CHECK_MAIN(CASE(attacks_are_survived))
