/* The index file: what opens answers, whatever is in it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fuzz.h"

#include <fcntl.h>
#include <math.h>

#include "index/format.h"
#include "index/index.h"

enum { DIM = 5, QUERIES = 2, K = 12 };

/* ---- files; opening takes a path */

static const char *path_of(void)
{
    static char path[256];
    if (path[0] == '\0') {
        const char *root = getenv("TMPDIR");
        (void)snprintf(path, sizeof path, "%.200s/sutra-fuzz-%ld.idx", root ? root : "/tmp",
                       (long)getpid());
    }
    return path;
}

static void remove_file(void)
{
    (void)unlink(path_of());
}

static void write_file(const struct fuzz_file *file)
{
    static bool registered;
    if (!registered)
        FUZZ_REQUIRE(atexit(remove_file) == 0);
    registered = true;
    remove_file(); /* file systems write out one that was emptied and written again */
    const int fd = open(path_of(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FUZZ_REQUIRE(fd >= 0 && ftruncate(fd, (off_t)file->bytes) == 0);
    for (size_t at = 0; at < file->bytes; at += 4096) {
        static const uint8_t zeros[4096];
        const size_t bytes = file->bytes - at < 4096 ? file->bytes - at : 4096;
        if (memcmp(file->data + at, zeros, bytes) != 0)
            FUZZ_REQUIRE(pwrite(fd, file->data + at, bytes, (off_t)at) == (ssize_t)bytes);
    }
    FUZZ_REQUIRE(close(fd) == 0);
}

static void read_file(struct fuzz_input *input)
{
    const int fd = open(path_of(), O_RDONLY | O_CLOEXEC);
    const off_t bytes = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
    FUZZ_REQUIRE(bytes >= 0 && bytes <= FUZZ_FILE_MOST);
    uint8_t *data = fuzz_alloc((size_t)bytes);
    FUZZ_REQUIRE(pread(fd, data, (size_t)bytes, 0) == bytes && close(fd) == 0);
    fuzz_set(input, 0, 0, data, (size_t)bytes);
    free(data);
}

/* ---- seeds */

static void fill(float *vectors, size_t count, uint64_t seed)
{
    for (size_t j = 0; j < count; j++)
        vectors[j] = (float)(sutra_random_at(seed, j) >> 40) / (float)(1 << 23) - 1.0f;
}

static void emit_index(int metric, int quantization, bool keep, size_t rows, bool explicit_ids,
                       uint8_t options)
{
    const struct sutra_index_options wanted = {DIM, metric, 8, 20, quantization, keep, 7};
    struct sutra_index *index;
    struct sutra_fault fault;
    struct fuzz_input input = {0};
    float *vectors = fuzz_alloc((rows + 1) * DIM * sizeof *vectors);
    int64_t *ids = fuzz_alloc((rows + 1) * sizeof *ids);
    fill(vectors, rows * DIM, 2);
    for (size_t row = 0; row < rows; row++)
        ids[row] = (int64_t)(row * 3 + 100);
    FUZZ_REQUIRE(sutra_index_new(fuzz_kernels(), &wanted, &index, &fault) == SUTRA_OK);
    FUZZ_REQUIRE(sutra_index_add(index, vectors, DIM, rows, explicit_ids ? ids : NULL, NULL, 1,
                                 NULL, NULL, &fault) == SUTRA_OK);
    FUZZ_REQUIRE(sutra_index_save(index, path_of()) == SUTRA_OK);
    sutra_index_free(index);
    read_file(&input);
    input.options[1] = options;
    fuzz_emit(&input);
    remove_file();
    free(vectors);
    free(ids);
}

static void fuzz_seeds(void)
{
    emit_index(SUTRA_METRIC_L2, SUTRA_QUANT_U8, true, 0, false, 0);
    emit_index(SUTRA_METRIC_L2, SUTRA_QUANT_U8, true, 40, true, 1);
    emit_index(SUTRA_METRIC_COSINE, SUTRA_QUANT_U8, true, 520, true, 0);
    emit_index(SUTRA_METRIC_IP, SUTRA_QUANT_U4, false, 515, false, 1);
    emit_index(SUTRA_METRIC_L2, SUTRA_QUANT_NONE, true, 514, false, 3);
}

/* ---- use */

static bool is_damage(int status)
{
    return status == SUTRA_E_CORRUPT || (status <= SUTRA_E_GRAPH_ID && status > -60);
}

static void search_all(struct sutra_index *index, size_t dim)
{
    float *queries = fuzz_alloc(QUERIES * dim * sizeof *queries);
    int64_t ids[QUERIES * K];
    float distances[QUERIES * K];
    struct sutra_fault fault;
    fill(queries, QUERIES * dim, 8);
    for (unsigned way = 0; way < 3; way++)
        FUZZ_REQUIRE(sutra_index_search(index,
                                        &(struct sutra_search){.queries = queries,
                                                               .stride = dim,
                                                               .count = QUERIES,
                                                               .k = K,
                                                               .ef = way == 2 ? 100 : 0,
                                                               .exact = way == 1,
                                                               .threads = 1},
                                        ids, distances, &fault) == SUTRA_OK);
    free(queries);
}

static void use(struct sutra_index *index, bool grow)
{
    struct sutra_index_stats stats;
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    FUZZ_REQUIRE(sutra_index_stats(index, &stats) == SUTRA_OK);
    const size_t dim = stats.options.dim;
    FUZZ_REQUIRE(dim >= 1 && dim <= SUTRA_DIM_MAX && stats.count * dim <= FUZZ_FILE_MOST * 2ull);
    float *vectors = fuzz_alloc(3 * dim * sizeof *vectors);
    fill(vectors, 3 * dim, 9);
    search_all(index, dim);
    for (int64_t row = 0; row < 600; row += 47) {
        int64_t id = row;
        bool found;
        if ((uint64_t)row < stats.count)
            FUZZ_REQUIRE(sutra_index_ids(index, (size_t)row, 1, &id) == SUTRA_OK);
        int status = sutra_index_get(index, id, vectors);
        FUZZ_REQUIRE(status == SUTRA_OK || status == SUTRA_E_NOT_FOUND ||
                     status == SUTRA_E_CORRUPT || status == SUTRA_E_DUPLICATE_ID);
        status = sutra_index_contains(index, id, &found);
        FUZZ_REQUIRE(status == SUTRA_OK || status == SUTRA_E_CORRUPT ||
                     status == SUTRA_E_DUPLICATE_ID);
    }
    const int verified = sutra_index_verify(index, true, &fault);
    FUZZ_REQUIRE(verified == SUTRA_OK || is_damage(verified) || verified == SUTRA_E_DUPLICATE_ID);
    if (grow) {
        fill(vectors, 3 * dim, 9);
        const int status =
            sutra_index_add(index, vectors, dim, 3, NULL, NULL, 1, NULL, NULL, &fault);
        FUZZ_REQUIRE(status == SUTRA_OK || status == SUTRA_E_CAPACITY || is_damage(status) ||
                     status == SUTRA_E_DUPLICATE_ID);
        FUZZ_REQUIRE(status == SUTRA_OK || verified != SUTRA_OK || status == SUTRA_E_CAPACITY);
        search_all(index, dim);
        if (verified == SUTRA_OK)
            FUZZ_REQUIRE(sutra_index_verify(index, false, &fault) == SUTRA_OK);
    }
    free(vectors);
}

static void mend(struct fuzz_file *file, bool length)
{
    uint8_t *data = file->data;
    if (file->bytes < SUTRA_HEADER_BYTES)
        return;
    if (length)
        sutra_store_u64(data + SUTRA_HEADER_FILE_BYTES, file->bytes);
    const uint32_t sections = sutra_load_u32(data + SUTRA_HEADER_SECTION_COUNT);
    for (uint32_t s = 0; s < sections && s < SUTRA_SECTION_KINDS; s++) {
        uint8_t *entry = data + SUTRA_HEADER_SECTIONS + s * SUTRA_SECTION_ENTRY_BYTES;
        const uint64_t offset = sutra_load_u64(entry + SUTRA_SECTION_OFFSET);
        const uint64_t rows = sutra_load_u64(entry + SUTRA_SECTION_ROWS);
        const uint32_t row_bytes = sutra_load_u32(entry + SUTRA_SECTION_ROW_BYTES);
        if (offset > file->bytes || rows > file->bytes || rows * row_bytes > file->bytes - offset)
            continue;
        sutra_store_u32(entry + SUTRA_SECTION_CRC,
                        sutra_crc32c(0, data + offset, (size_t)(rows * row_bytes)));
    }
    sutra_store_u32(data + SUTRA_HEADER_CRC, sutra_crc32c(0, data, SUTRA_HEADER_CRC));
}

/* Options 1: in memory (bit 0), add to it (bit 1), the header has another length (bit 2). */
static void fuzz_run(struct fuzz_input *input)
{
    struct fuzz_file *file = &input->files[0];
    struct sutra_index *index = NULL;
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    if (!(input->options[0] & 1))
        mend(file, !(input->options[1] & 4));
    write_file(file);
    const int resident = input->options[1] & 1 ? SUTRA_RESIDENT_ARENA : SUTRA_RESIDENT_MAPPED;
    const int status = sutra_index_open(fuzz_kernels(), path_of(), resident, &index, &fault);
    FUZZ_REQUIRE(status == SUTRA_OK || status == SUTRA_E_CORRUPT || status == SUTRA_E_TRUNCATED ||
                 status == SUTRA_E_VERSION || status == SUTRA_E_NOT_INDEX ||
                 status == SUTRA_E_CAPACITY || status == SUTRA_E_DUPLICATE_ID || is_damage(status));
    FUZZ_REQUIRE((status == SUTRA_OK) == (index != NULL));
    if (index != NULL)
        use(index, input->options[1] & 2);
    sutra_index_free(index);
}
