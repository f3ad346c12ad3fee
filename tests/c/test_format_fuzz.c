/* Damaged and hostile index files: whatever the bytes, a file is refused with a code or opened
 * into an index that answers without harm.
 *
 * A mutation may leave the checksums wrong (an accident) or mend them (an attack: only then do
 * the contents reach the code behind the loader). SUTRA_FUZZ_TRIALS sets how many random
 * mutations are tried, SUTRA_FUZZ_FIRST the first one: every trial depends on its number alone.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "index_cases.h"

#include <fcntl.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "index/format.h"
#include "index/index.h"

/* ---- the files to be damaged */

struct sample {
    const char *name;
    struct sutra_index_options options;
    size_t rows;
    bool explicit_ids;
    /* filled by make_samples */
    char path[256];
    uint8_t *sound; /* as saved */
    uint8_t *bytes; /* as damaged now */
    size_t file_bytes;
};

#define OPTIONS(dim, metric, m, quantization, keep)                                                \
    {                                                                                              \
        dim, SUTRA_METRIC_##metric, m, 40, SUTRA_QUANT_##quantization, keep, 7                     \
    }

static struct sample samples[] = {
    {"flat", OPTIONS(5, L2, 16, U8, true), 40, true, "", NULL, NULL, 0},
    {"empty", OPTIONS(5, L2, 16, U8, true), 0, false, "", NULL, NULL, 0},
    {"u8", OPTIONS(12, COSINE, 8, U8, true), 560, true, "", NULL, NULL, 0},
    {"u8-bare", OPTIONS(12, L2, 8, U8, false), 530, false, "", NULL, NULL, 0},
    {"u8-ip", OPTIONS(20, IP, 16, U8, false), 540, true, "", NULL, NULL, 0},
    {"u4", OPTIONS(12, IP, 8, U4, false), 520, false, "", NULL, NULL, 0},
    {"u4-kept", OPTIONS(9, L2, 24, U4, true), 520, false, "", NULL, NULL, 0},
    {"none", OPTIONS(6, COSINE, 8, NONE, true), 550, true, "", NULL, NULL, 0},
    {"none-ip", OPTIONS(6, IP, 32, NONE, true), 515, false, "", NULL, NULL, 0},
};

enum { SAMPLES = sizeof samples / sizeof samples[0] };

static bool make_sample(struct sample *sample)
{
    char name[32];
    (void)snprintf(name, sizeof name, "%s.sutra", sample->name);
    path_in_folder(sample->path, sizeof sample->path, name);
    struct sutra_index *index = NULL;
    struct sutra_fault fault;
    int status = sutra_index_new(best_kernels(), &sample->options, &index, &fault);
    if (status != SUTRA_OK)
        return false;
    float *vectors = random_vectors(sample->rows, sample->options.dim);
    int64_t *ids = calloc(sample->rows + 1, sizeof *ids);
    for (size_t row = 0; row < sample->rows; row++)
        ids[row] = (int64_t)(row * 3 + 100);
    status = sutra_index_add(index, vectors, sample->options.dim, sample->rows,
                             sample->explicit_ids ? ids : NULL, NULL, 1, NULL, NULL, &fault);
    if (status == SUTRA_OK)
        status = sutra_index_save(index, sample->path);
    sutra_index_free(index);
    free(vectors);
    free(ids);
    sample->sound = read_whole(sample->path, &sample->file_bytes);
    sample->bytes = read_whole(sample->path, &sample->file_bytes);
    return status == SUTRA_OK && sample->sound != NULL && sample->bytes != NULL;
}

static bool make_samples(void)
{
    if (samples[0].sound != NULL)
        return true;
    seed_random(1);
    for (size_t s = 0; s < SAMPLES; s++) {
        if (!make_sample(&samples[s]))
            return false;
    }
    return true;
}

static uint8_t *section_entry(const struct sample *sample, size_t section)
{
    return sample->bytes + SUTRA_HEADER_SECTIONS + section * SUTRA_SECTION_ENTRY_BYTES;
}

static size_t section_count(const struct sample *sample)
{
    return sutra_load_u32(sample->sound + SUTRA_HEADER_SECTION_COUNT);
}

/* Where a section of the sound file lies. */
static void find_section(const struct sample *sample, size_t section, size_t *offset_out,
                         size_t *bytes_out)
{
    const uint8_t *entry =
        sample->sound + SUTRA_HEADER_SECTIONS + section * SUTRA_SECTION_ENTRY_BYTES;
    *offset_out = (size_t)sutra_load_u64(entry + SUTRA_SECTION_OFFSET);
    *bytes_out = (size_t)sutra_load_u64(entry + SUTRA_SECTION_ROWS) *
                 sutra_load_u32(entry + SUTRA_SECTION_ROW_BYTES);
}

static void mend_header(const struct sample *sample)
{
    sutra_store_u32(sample->bytes + SUTRA_HEADER_CRC,
                    sutra_crc32c(0, sample->bytes, SUTRA_HEADER_CRC));
}

static void mend_section(const struct sample *sample, size_t section)
{
    size_t offset, bytes;
    find_section(sample, section, &offset, &bytes);
    sutra_store_u32(section_entry(sample, section) + SUTRA_SECTION_CRC,
                    sutra_crc32c(0, sample->bytes + offset, bytes));
}

/* Bring part of the damaged image (or, when sound, of the saved one) into the file. */
static void put_range(const struct sample *sample, bool sound, size_t offset, size_t bytes)
{
    const int fd = open(sample->path, O_WRONLY | O_CLOEXEC);
    const uint8_t *from = (sound ? sample->sound : sample->bytes) + offset;
    CHECK(fd >= 0 && pwrite(fd, from, bytes, (off_t)offset) == (ssize_t)bytes);
    CHECK(close(fd) == 0);
}

/* ---- using what was opened */

static bool is_sane(int status)
{
    switch (status) {
    case SUTRA_OK:
    case SUTRA_E_DUPLICATE_ID:
    case SUTRA_E_NOT_FOUND:
    case SUTRA_E_CAPACITY:
    case SUTRA_E_CORRUPT:
    case SUTRA_E_VERSION:
    case SUTRA_E_TRUNCATED:
    case SUTRA_E_NOT_INDEX:
    case SUTRA_E_GRAPH_ID:
    case SUTRA_E_GRAPH_SELF:
    case SUTRA_E_GRAPH_SUFFIX:
    case SUTRA_E_GRAPH_LEVEL:
    case SUTRA_E_GRAPH_REACH:
        return true;
    default:
        return false;
    }
}

#define CHECK_SANE(call)                                                                           \
    do {                                                                                           \
        const int sane_status = (call);                                                            \
        if (!is_sane(sane_status))                                                                 \
            CHECK_EQ(sane_status, SUTRA_E_CORRUPT);                                                \
    } while (0)

static void search_all_ways(struct sutra_index *index, const float *queries, size_t dim,
                            size_t count)
{
    static const struct {
        size_t k, ef;
        bool exact;
        unsigned threads;
    } ways[] = {{1, 0, false, 1}, {10, 100, false, 1}, {0, 3, false, 2}, {7, 0, true, 1}};
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        const size_t k = ways[w].k ? ways[w].k : count + 5;
        int64_t *ids = malloc(3 * k * sizeof *ids);
        float *distances = malloc(3 * k * sizeof *distances);
        struct sutra_fault fault;
        if (ids && distances)
            CHECK_EQ(sutra_index_search(index,
                                        &(struct sutra_search){.queries = queries,
                                                               .stride = dim,
                                                               .count = 3,
                                                               .k = k,
                                                               .ef = ways[w].ef,
                                                               .exact = ways[w].exact,
                                                               .threads = ways[w].threads},
                                        ids, distances, &fault),
                     SUTRA_OK);
        for (size_t j = count; ids && distances && j < k; j++)
            CHECK(ids[j] == -1 && isinf(distances[j]));
        free(ids);
        free(distances);
    }
}

static void read_back(struct sutra_index *index, size_t dim, size_t count)
{
    float *vector = malloc(dim * sizeof *vector);
    for (int64_t id = 0; vector && id < 2000; id += 401) {
        bool found;
        CHECK_SANE(sutra_index_get(index, id, vector));
        CHECK_SANE(sutra_index_contains(index, id, &found));
    }
    int64_t id = -1;
    for (size_t row = 0; vector && row < count; row += 97) {
        CHECK_SANE(sutra_index_ids(index, row, 1, &id));
        CHECK_SANE(sutra_index_get(index, id, vector));
    }
    free(vector);
}

/* Everything a caller may do. `deeply` adds rows, saves and opens once more. */
static void use(struct sutra_index *index, bool deeply)
{
    struct sutra_index_stats stats;
    struct sutra_fault fault;
    CHECK_EQ(sutra_index_stats(index, &stats), SUTRA_OK);
    const size_t dim = stats.options.dim, count = (size_t)stats.count;
    CHECK(dim > 0 && dim <= SUTRA_DIM_MAX && count < 100000);
    float *vectors = random_vectors(3, dim);
    if (vectors == NULL || dim > SUTRA_DIM_MAX || count >= 100000)
        return;
    search_all_ways(index, vectors, dim, count);
    read_back(index, dim, count);
    CHECK_SANE(sutra_index_verify(index, false, &fault));
    if (deeply) {
        char path[256];
        path_in_folder(path, sizeof path, "again.sutra");
        CHECK_SANE(sutra_index_verify(index, true, &fault));
        const int added =
            sutra_index_add(index, vectors, dim, 3, NULL, NULL, 1, NULL, NULL, &fault);
        CHECK_SANE(added);
        if (added == SUTRA_OK) {
            search_all_ways(index, vectors, dim, count + 3);
            if (!stats.linked || stats.options.ef_construction)
                CHECK_SANE(sutra_index_verify(index, false, &fault));
        }
        CHECK_EQ(sutra_index_save(index, path), SUTRA_OK);
        struct sutra_index *again = NULL;
        CHECK_SANE(sutra_index_open(best_kernels(), path, SUTRA_RESIDENT_ARENA, &again, &fault));
        if (again != NULL)
            search_all_ways(again, vectors, dim, added == SUTRA_OK ? count + 3 : count);
        sutra_index_free(again);
    }
    free(vectors);
}

static int open_and_use(const struct sample *sample, int resident, bool deeply)
{
    struct sutra_index *index = NULL;
    struct sutra_fault fault;
    const int status = sutra_index_open(best_kernels(), sample->path, resident, &index, &fault);
    CHECK_SANE(status);
    CHECK_EQ(status == SUTRA_OK, index != NULL);
    if (index != NULL)
        use(index, deeply);
    sutra_index_free(index);
    return status;
}

/* ---- tests */

static void sound_files_open(void)
{
    REQUIRE(make_samples());
    for (size_t s = 0; s < SAMPLES; s++) {
        for (int resident = SUTRA_RESIDENT_AUTO; resident <= SUTRA_RESIDENT_MAPPED; resident++) {
            struct sutra_index *index = NULL;
            struct sutra_fault fault;
            CHECK_EQ(open_and_use(&samples[s], resident, true), SUTRA_OK);
            REQUIRE(sutra_index_open(best_kernels(), samples[s].path, resident, &index, &fault) ==
                    SUTRA_OK);
            CHECK_EQ(sutra_index_verify(index, true, &fault), SUTRA_OK);
            sutra_index_free(index);
        }
    }
}

static void every_flipped_header_bit_is_found(void)
{
    REQUIRE(make_samples());
    const size_t step = is_slow_place() ? 13 : 1;
    for (size_t s = 0; s < SAMPLES; s += 2) {
        const struct sample *sample = &samples[s];
        const int fd = open(sample->path, O_WRONLY | O_CLOEXEC);
        REQUIRE(fd >= 0);
        for (size_t bit = 0; bit < (size_t)SUTRA_HEADER_BYTES * 8; bit += step) {
            const size_t at = bit / 8;
            const uint8_t flipped = sample->sound[at] ^ (uint8_t)(1u << bit % 8);
            struct sutra_index *index = NULL;
            struct sutra_fault fault;
            CHECK(pwrite(fd, &flipped, 1, (off_t)at) == 1);
            const int status = sutra_index_open(best_kernels(), sample->path, SUTRA_RESIDENT_MAPPED,
                                                &index, &fault);
            CHECK_EQ(status, at < 8 ? SUTRA_E_NOT_INDEX : SUTRA_E_CORRUPT);
            CHECK(index == NULL);
            sutra_index_free(index);
            CHECK(pwrite(fd, sample->sound + at, 1, (off_t)at) == 1);
        }
        CHECK(close(fd) == 0);
    }
}

/* The same flips with the checksum mended: every field is checked on its own. */
static void every_forged_header_bit_is_harmless(void)
{
    REQUIRE(make_samples());
    const size_t step = is_slow_place() ? 37 : 3;
    for (size_t s = 0; s < SAMPLES; s++) {
        const struct sample *sample = &samples[s];
        const size_t used =
            SUTRA_HEADER_SECTIONS + (section_count(sample) + 1) * SUTRA_SECTION_ENTRY_BYTES;
        for (size_t bit = 64 + s % step; bit < used * 8; bit += step) {
            sample->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            mend_header(sample);
            put_range(sample, false, 0, SUTRA_HEADER_BYTES);
            open_and_use(sample, bit % 2 ? SUTRA_RESIDENT_ARENA : SUTRA_RESIDENT_MAPPED, false);
            memcpy(sample->bytes, sample->sound, SUTRA_HEADER_BYTES);
        }
        put_range(sample, true, 0, SUTRA_HEADER_BYTES);
    }
}

static void a_newer_version_is_named(void)
{
    REQUIRE(make_samples());
    const struct sample *sample = &samples[2];
    sutra_store_u32(sample->bytes + SUTRA_HEADER_VERSION, SUTRA_INDEX_VERSION + 1);
    mend_header(sample);
    put_range(sample, false, 0, SUTRA_HEADER_BYTES);
    struct sutra_index *index = NULL;
    struct sutra_fault fault;
    CHECK_EQ(sutra_index_open(best_kernels(), sample->path, SUTRA_RESIDENT_MAPPED, &index, &fault),
             SUTRA_E_VERSION);
    CHECK_EQ(fault.found, SUTRA_INDEX_VERSION + 1);
    memcpy(sample->bytes, sample->sound, SUTRA_HEADER_BYTES);
    put_range(sample, true, 0, SUTRA_HEADER_BYTES);
}

/* Cut to `length`; a cut that the header admits to reaches the section table. */
static void try_length(const struct sample *sample, size_t length)
{
    if (length >= sample->file_bytes)
        return;
    CHECK(write_whole(sample->path, sample->sound, length));
    CHECK_EQ(open_and_use(sample, SUTRA_RESIDENT_MAPPED, false), SUTRA_E_TRUNCATED);
    if (length >= SUTRA_HEADER_BYTES) {
        sutra_store_u64(sample->bytes + SUTRA_HEADER_FILE_BYTES, length);
        mend_header(sample);
        put_range(sample, false, 0, SUTRA_HEADER_BYTES);
        const bool mapped = length % 2;
        open_and_use(sample, mapped ? SUTRA_RESIDENT_MAPPED : SUTRA_RESIDENT_ARENA, false);
        memcpy(sample->bytes, sample->sound, SUTRA_HEADER_BYTES);
    }
}

static void every_truncation_is_found(void)
{
    REQUIRE(make_samples());
    seed_random(2);
    for (size_t s = 0; s < SAMPLES; s++) {
        const struct sample *sample = &samples[s];
        for (size_t section = 0; section < section_count(sample); section++) {
            size_t offset, bytes;
            find_section(sample, section, &offset, &bytes);
            for (size_t beside = 0; beside < 3; beside++) {
                try_length(sample, offset + beside - 1);
                try_length(sample, offset + bytes + beside - 1);
            }
        }
        static const size_t early[] = {0, 1, 7, 8, 4091, 4092, 4095, 4096, 4097};
        for (size_t j = 0; j < sizeof early / sizeof early[0]; j++)
            try_length(sample, early[j]);
        for (int j = 0; j < 20; j++)
            try_length(sample, random_below(sample->file_bytes));
        REQUIRE(write_whole(sample->path, sample->sound, sample->file_bytes));
        CHECK_EQ(truncate(sample->path, (off_t)sample->file_bytes + 1), 0);
        CHECK_EQ(open_and_use(sample, SUTRA_RESIDENT_MAPPED, false), SUTRA_E_CORRUPT);
        CHECK_EQ(truncate(sample->path, (off_t)sample->file_bytes), 0);
    }
}

/* ---- random mutations */

/* Values that sit on borders: of integers, of ids of these files, of floats. */
static uint32_t border_value(void)
{
    static const uint32_t values[] = {
        0,          1,          2,          15,         16,         511,        512,
        519,        520,        539,        540,        559,        560,        0x7fffffff,
        0x80000000, 0xfffffffe, 0xffffffff, 0x7fc00000, 0xffc00000, 0x7f800000, 0xff800000,
        0x7f7fffff, 0xff7fffff, 0x00000001, 0x3f800000, 65535,      65536,      0x10000000};
    return values[random_below(sizeof values / sizeof values[0])];
}

static void damage(uint8_t *bytes, size_t count)
{
    const size_t at = random_below(count), word = at / 4 * 4;
    switch (random_below(6)) {
    case 0:
        bytes[at] ^= (uint8_t)(1u << random_below(8));
        return;
    case 1:
        bytes[at] = (uint8_t)random_u64();
        return;
    case 2:
        if (word + 4 <= count)
            sutra_store_u32(bytes + word, border_value());
        return;
    case 3:
        if (word + 4 <= count)
            sutra_store_u32(bytes + word,
                            sutra_load_u32(bytes + word) + (random_below(2) ? 1 : -1u));
        return;
    case 4: { /* a block of one value, or of noise */
        const size_t most = count - at, length = 1 + random_below(most < 300 ? most : 300);
        const bool noise = random_below(2);
        for (size_t j = 0; j < length; j++)
            bytes[at + j] = noise ? (uint8_t)random_u64() : bytes[at];
        return;
    }
    default: { /* a block from elsewhere: ids that are valid in the wrong place */
        const size_t from = random_below(count), most = count - (from > at ? from : at);
        memmove(bytes + at, bytes + from, 1 + random_below(most < 128 ? most : 128));
    }
    }
}

static void try_mutation(uint64_t trial)
{
    seed_random(0x5f00000000u + trial);
    const struct sample *sample = &samples[random_below(SAMPLES)];
    const bool mend = random_below(8) != 0;
    size_t dirty[4][2], dirty_count = 0;
    const size_t rounds = 1 + random_below(4), sections = section_count(sample);
    for (size_t round = 0; round < rounds; round++) {
        if (sections == 0 || random_below(6) == 0) {
            const bool table = random_below(2);
            damage(sample->bytes + (table ? (size_t)SUTRA_HEADER_SECTIONS : 8),
                   table ? (sections + 1) * SUTRA_SECTION_ENTRY_BYTES : SUTRA_HEADER_TUNED_EF - 4);
            continue;
        }
        const size_t section = random_below(sections);
        size_t *const range = dirty[dirty_count++];
        find_section(sample, section, &range[0], &range[1]);
        for (size_t times = 1 + random_below(20); times > 0; times--)
            damage(sample->bytes + range[0], range[1]);
        if (mend)
            mend_section(sample, section);
    }
    if (mend)
        mend_header(sample);
    for (size_t d = 0; d < dirty_count; d++)
        put_range(sample, false, dirty[d][0], dirty[d][1]);
    put_range(sample, false, 0, SUTRA_HEADER_BYTES);

    static const int residents[] = {SUTRA_RESIDENT_MAPPED, SUTRA_RESIDENT_ARENA,
                                    SUTRA_RESIDENT_MAPPED, SUTRA_RESIDENT_AUTO};
    const int failures = atomic_load(&check_failures);
    open_and_use(sample, residents[trial % 4], trial % 8 < 2);
    if (atomic_load(&check_failures) != failures)
        (void)fprintf(stderr, "trial %llu of %s\n", (unsigned long long)trial, sample->name);

    for (size_t d = 0; d < dirty_count; d++) {
        put_range(sample, true, dirty[d][0], dirty[d][1]);
        memcpy(sample->bytes + dirty[d][0], sample->sound + dirty[d][0], dirty[d][1]);
    }
    put_range(sample, true, 0, SUTRA_HEADER_BYTES);
    memcpy(sample->bytes, sample->sound, SUTRA_HEADER_BYTES);
}

static void random_mutations_are_harmless(void)
{
    REQUIRE(make_samples());
    const char *trials_text = getenv("SUTRA_FUZZ_TRIALS"), *first_text = getenv("SUTRA_FUZZ_FIRST");
    const uint64_t trials = trials_text       ? strtoull(trials_text, NULL, 10)
                            : is_slow_place() ? 400
                                              : 2000;
    const uint64_t first = first_text ? strtoull(first_text, NULL, 10) : 0;
    for (uint64_t trial = first; trial < first + trials; trial++) {
        try_mutation(trial);
        if (atomic_load(&check_failures) > 20)
            return;
    }
}

static void leave_nothing_behind(void)
{
    char path[256];
    for (size_t s = 0; s < SAMPLES; s++) {
        if (samples[s].sound != NULL)
            CHECK_EQ(unlink(samples[s].path), 0);
        free(samples[s].sound);
        free(samples[s].bytes);
        samples[s].sound = samples[s].bytes = NULL;
    }
    (void)unlink(path_in_folder(path, sizeof path, "again.sutra"));
    CHECK_EQ(rmdir(path_in_folder(path, sizeof path, "")), 0);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {CASE(sound_files_open),
                                              CASE(every_flipped_header_bit_is_found),
                                              CASE(every_forged_header_bit_is_harmless),
                                              CASE(a_newer_version_is_named),
                                              CASE(every_truncation_is_found),
                                              CASE(random_mutations_are_harmless)};
    const int result = check_run(cases, sizeof cases / sizeof cases[0], argc > 1 ? argv[1] : NULL);
    leave_nothing_behind();
    return result;
}
