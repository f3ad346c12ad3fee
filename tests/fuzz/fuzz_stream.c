/* The streamed index loaded from planes with anything in them: searches end and give rows that are
 * there, linking says what is wrong.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fuzz.h"

#include <math.h>

#include "index/format.h"
#include "index/stream.h"
#include "planes.h"

enum { DIM = 5, QUERIES = 2, K = 20 };
#define NEWEST (UINT64_MAX - 1)

/* ---- seeds */

static void fill(float *vectors, size_t count, uint64_t seed)
{
    for (size_t j = 0; j < count; j++)
        vectors[j] = (float)(sutra_random_at(seed, j) >> 40) / (float)(1 << 23) - 1.0f;
}

static void emit_stream(int metric, int quantization, bool keep, size_t rows, size_t linked,
                        uint8_t options)
{
    const struct sutra_index_options wanted = {DIM, metric, 8, 20, quantization, keep, 4};
    struct sutra_index *index;
    struct sutra_fault fault;
    struct sutra_part parts[SUTRA_STREAM_PARTS];
    uint64_t words[SUTRA_STREAM_STATE_WORDS] = {0};
    size_t count = 0;
    uint32_t first;
    float *vectors = fuzz_alloc((rows + 1) * DIM * sizeof *vectors);
    int64_t *labels = fuzz_alloc((rows + 1) * sizeof *labels);
    fill(vectors, rows * DIM, 3);
    for (size_t row = 0; row < rows; row++)
        labels[row] = (int64_t)row * 2;
    FUZZ_REQUIRE(sutra_stream_new(fuzz_kernels(), &wanted, &index, &fault) == SUTRA_OK);
    FUZZ_REQUIRE(sutra_stream_reserve(index, rows) == SUTRA_OK);
    sutra_stream_append(index, vectors, DIM, rows / 2, labels, 1, &first);
    sutra_stream_append(index, vectors + rows / 2 * DIM, DIM, rows - rows / 2, labels + rows / 2, 2,
                        &first);
    FUZZ_REQUIRE(sutra_stream_link(index, linked, 1, NULL, NULL) == SUTRA_OK);
    for (size_t row = 0; row < rows; row += 9)
        sutra_stream_end_row(index, (uint32_t)row, 3);
    sutra_stream_parts(index, parts, &count);
    sutra_stream_state(index, true, words);
    planes_emit(words, SUTRA_STREAM_STATE_WORDS, parts, count, options);
    sutra_index_free(index);
    free(vectors);
    free(labels);
}

static void fuzz_seeds(void)
{
    emit_stream(SUTRA_METRIC_L2, SUTRA_QUANT_U8, true, 0, 0, 0);
    emit_stream(SUTRA_METRIC_L2, SUTRA_QUANT_U8, true, 30, 0, 0);
    emit_stream(SUTRA_METRIC_COSINE, SUTRA_QUANT_U8, true, 520, 514, 4);
    emit_stream(SUTRA_METRIC_IP, SUTRA_QUANT_U4, false, 515, 515, 2);
    emit_stream(SUTRA_METRIC_L2, SUTRA_QUANT_NONE, true, 514, 513, 6);
}

/* ---- use */

static void search_all(struct sutra_index *index, size_t dim)
{
    float *queries = fuzz_alloc(QUERIES * dim * sizeof *queries);
    int64_t labels[QUERIES * K], rows[QUERIES * K];
    float distances[QUERIES * K];
    struct sutra_fault fault;
    const int64_t count = (int64_t)sutra_stream_rows(index);
    fill(queries, QUERIES * dim, 8);
    for (unsigned way = 0; way < 4; way++) {
        FUZZ_REQUIRE(sutra_stream_search(index,
                                         &(struct sutra_search){.queries = queries,
                                                                .stride = dim,
                                                                .count = QUERIES,
                                                                .k = K,
                                                                .ef = way == 3 ? 100 : 0,
                                                                .exact = way % 2,
                                                                .threads = 1},
                                         way < 2 ? NEWEST : 2, labels, rows, distances,
                                         &fault) == SUTRA_OK);
        for (size_t j = 0; j < QUERIES * K; j++)
            FUZZ_REQUIRE(rows[j] >= -1 && rows[j] < count);
    }
    free(queries);
}

static bool is_damage(int status)
{
    return status == SUTRA_E_CORRUPT || (status <= SUTRA_E_GRAPH_ID && status > -60);
}

/* Finite is all that verify asks of corrections; what is reckoned from them may not be. */
static bool is_moderate(const struct fuzz_input *input)
{
    for (size_t s = 1; s < FUZZ_SLOTS; s++) {
        const struct fuzz_file *file = &input->files[s];
        if (file->number != SUTRA_SECTION_CORRECTION)
            continue;
        for (size_t at = 0; at + 4 <= file->bytes; at += 4) {
            if (!(fabsf(sutra_load_f32(file->data + at)) < 1e15f))
                return false;
        }
    }
    return true;
}

static void use(struct sutra_index *index, size_t dim, bool moderate)
{
    struct sutra_index_stats stats;
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    float *vector = fuzz_alloc(dim * sizeof *vector);
    size_t linked = 0;
    uint32_t first;
    FUZZ_REQUIRE(sutra_index_stats(index, &stats) == SUTRA_OK);
    search_all(index, dim);
    for (uint32_t row = 0; row < 600; row += 41) {
        const int status = sutra_stream_get(index, row, vector);
        FUZZ_REQUIRE(status == (row < sutra_stream_rows(index) ? SUTRA_OK : SUTRA_E_NOT_FOUND));
        (void)sutra_stream_label(index, row);
    }
    const int verified = sutra_stream_verify(index, true, &fault);
    FUZZ_REQUIRE(verified == SUTRA_OK || is_damage(verified));
    if (sutra_stream_reserve(index, 3) == SUTRA_OK) {
        static const int64_t labels[3] = {1, 2, 3};
        float *vectors = fuzz_alloc(3 * dim * sizeof *vectors);
        fill(vectors, 3 * dim, 9);
        sutra_stream_append(index, vectors, dim, 3, labels, NEWEST - 2, &first);
        FUZZ_REQUIRE((size_t)first + 3 == sutra_stream_rows(index));
        free(vectors);
    }
    sutra_stream_end_row(index, 3, NEWEST - 1);
    const size_t pending = sutra_stream_pending(index);
    const int status = sutra_stream_link(index, 10, 1, NULL, &linked);
    FUZZ_REQUIRE(status == SUTRA_OK || status == SUTRA_E_CAPACITY || is_damage(status));
    FUZZ_REQUIRE(sutra_stream_pending(index) == pending - linked);
    FUZZ_REQUIRE(verified != SUTRA_OK || status == SUTRA_OK);
    search_all(index, dim);
    if (verified == SUTRA_OK && moderate)
        FUZZ_REQUIRE(sutra_stream_verify(index, true, &fault) == SUTRA_OK);
    free(vector);
}

/* Options 1: planes that are not hot are as if mapped (bit 1); everything is hot (bit 2); the graph
 * is forgotten (bit 3). */
static void fuzz_run(struct fuzz_input *input)
{
    struct planes planes = {.input = input, .mapped = input->options[1] & 2};
    const struct sutra_part_source source = {&planes, planes_load};
    struct sutra_index *index = NULL;
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    uint64_t words[SUTRA_STREAM_STATE_WORDS];
    planes_words(input, words, SUTRA_STREAM_STATE_WORDS);
    if (input->options[1] & 8)
        sutra_stream_forget_graph(words);
    const int resident = input->options[1] & 4 ? SUTRA_RESIDENT_ARENA : SUTRA_RESIDENT_MAPPED;
    const int status = sutra_stream_load(fuzz_kernels(), words, resident, &source, &index, &fault);
    FUZZ_REQUIRE(status == SUTRA_OK || status == SUTRA_E_CORRUPT || status == SUTRA_E_CAPACITY ||
                 status == SUTRA_E_TRUNCATED); /* the last is the source's */
    FUZZ_REQUIRE(status != SUTRA_E_CORRUPT || fault.what != NULL);
    if (status == SUTRA_OK)
        use(index, sutra_stream_dim(index), is_moderate(input));
    sutra_index_free(index);
}
