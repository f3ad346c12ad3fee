/* The index room: adding, finding, growing, saving, opening, and doing several of these at once.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "index_cases.h"

#include "index/index.h"

enum { DIM = 16 };

static struct sutra_index_options options_of(int metric, int quantization, bool keep)
{
    return (struct sutra_index_options){DIM, metric, 8, 40, quantization, keep, 4};
}

static struct sutra_index *make(int metric, int quantization, bool keep)
{
    const struct sutra_index_options options = options_of(metric, quantization, keep);
    struct sutra_index *index = NULL;
    struct sutra_fault fault;
    CHECK_EQ(sutra_index_new(best_kernels(), &options, &index, &fault), SUTRA_OK);
    return index;
}

static int add(struct sutra_index *index, const float *vectors, size_t count, const int64_t *ids)
{
    struct sutra_fault fault;
    return sutra_index_add(index, vectors, DIM, count, ids, NULL, 2, NULL, NULL, &fault);
}

static int search_one(struct sutra_index *index, const float *query, size_t k, bool exact,
                      int64_t *ids, float *distances)
{
    struct sutra_fault fault;
    return sutra_index_search(
        index,
        &(struct sutra_search){
            .queries = query, .stride = DIM, .count = 1, .k = k, .exact = exact, .threads = 1},
        ids, distances, &fault);
}

static size_t length_of(struct sutra_index *index)
{
    struct sutra_index_stats stats;
    return sutra_index_stats(index, &stats) == SUTRA_OK ? (size_t)stats.count : SIZE_MAX;
}

static bool is_sound(struct sutra_index *index)
{
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    const int status = sutra_index_verify(index, true, &fault);
    if (status != SUTRA_OK)
        (void)fprintf(stderr, "status %d, row %lld, %s\n", status, (long long)fault.row,
                      fault.what ? fault.what : "");
    return status == SUTRA_OK;
}

/* The definition of a distance, in double. */
static double distance_between(int metric, const float *a, const float *b)
{
    double dot = 0, square = 0, a_square = 0, b_square = 0;
    for (size_t j = 0; j < DIM; j++) {
        dot += (double)a[j] * (double)b[j];
        square += ((double)a[j] - (double)b[j]) * ((double)a[j] - (double)b[j]);
        a_square += (double)a[j] * (double)a[j];
        b_square += (double)b[j] * (double)b[j];
    }
    if (metric == SUTRA_METRIC_L2)
        return square;
    if (metric == SUTRA_METRIC_IP)
        return -dot;
    return a_square > 0 && b_square > 0 ? 1 - dot / sqrt(a_square * b_square) : 1;
}

/* Of the k nearest by definition, how many are among ids (which are rows). */
static size_t count_right(int metric, const float *rows, size_t count, const float *query,
                          const int64_t *ids, size_t k)
{
    double kth = -1e300;
    for (size_t found = 0; found < k; found++) { /* the next larger distance */
        double next = INFINITY;
        for (size_t row = 0; row < count; row++) {
            const double distance = distance_between(metric, query, rows + row * DIM);
            if (distance > kth && distance < next)
                next = distance;
        }
        kth = next;
    }
    size_t right = 0;
    for (size_t j = 0; j < k; j++)
        right += ids[j] >= 0 && ids[j] < (int64_t)count &&
                 distance_between(metric, query, rows + (size_t)ids[j] * DIM) <= kth + 1e-6;
    return right;
}

static const struct {
    int metric, quantization;
    bool keep;
    double recall; /* of ten, at ef 64 */
} kinds[] = {
    {SUTRA_METRIC_COSINE, SUTRA_QUANT_U8, true, 0.95},
    {SUTRA_METRIC_L2, SUTRA_QUANT_U8, true, 0.95},
    {SUTRA_METRIC_IP, SUTRA_QUANT_U8, true, 0.9},
    {SUTRA_METRIC_COSINE, SUTRA_QUANT_U8, false, 0.9},
    {SUTRA_METRIC_L2, SUTRA_QUANT_U8, false, 0.9},
    {SUTRA_METRIC_IP, SUTRA_QUANT_U8, false, 0.85},
    {SUTRA_METRIC_COSINE, SUTRA_QUANT_U4, true, 0.95},
    {SUTRA_METRIC_L2, SUTRA_QUANT_U4, false, 0.6},
    {SUTRA_METRIC_IP, SUTRA_QUANT_U4, false, 0.55},
    {SUTRA_METRIC_COSINE, SUTRA_QUANT_NONE, true, 0.95},
    {SUTRA_METRIC_L2, SUTRA_QUANT_NONE, true, 0.95},
    {SUTRA_METRIC_IP, SUTRA_QUANT_NONE, true, 0.9},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* ---- searching */

static void searches_come_near_the_definition(void)
{
    const size_t count = 1200;
    seed_random(1);
    float *rows = random_vectors(count, DIM), *queries = random_vectors(30, DIM);
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct sutra_index *index =
            make(kinds[kind].metric, kinds[kind].quantization, kinds[kind].keep);
        REQUIRE(index != NULL);
        CHECK_EQ(add(index, rows, count, NULL), SUTRA_OK);
        CHECK(is_sound(index));
        size_t right = 0, exact = 0;
        for (size_t q = 0; q < 30; q++) {
            const float *query = queries + q * DIM;
            int64_t ids[10];
            float distances[10];
            CHECK_EQ(search_one(index, query, 10, false, ids, distances), SUTRA_OK);
            right += count_right(kinds[kind].metric, rows, count, query, ids, 10);
            for (size_t j = 1; j < 10; j++)
                CHECK(distances[j] >= distances[j - 1]);
            CHECK_EQ(search_one(index, query, 10, true, ids, distances), SUTRA_OK);
            exact += count_right(kinds[kind].metric, rows, count, query, ids, 10);
            for (size_t j = 0; j < 10 && kinds[kind].keep; j++)
                CHECK(fabs((double)distances[j] - distance_between(kinds[kind].metric, query,
                                                                   rows + (size_t)ids[j] * DIM)) <
                      1e-4);
        }
        if (kinds[kind].keep)
            CHECK_EQ(exact, 300);
        if ((double)right < 300 * kinds[kind].recall)
            (void)fprintf(stderr, "kind %zu: %zu of 300\n", kind, right);
        CHECK((double)right >= 300 * kinds[kind].recall);
        sutra_index_free(index);
    }
    free(rows);
    free(queries);
}

static void batches_equal_single_queries(void)
{
    seed_random(2);
    float *rows = random_vectors(700, DIM), *queries = random_vectors(50, DIM + 3);
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct sutra_index *index =
            make(kinds[kind].metric, kinds[kind].quantization, kinds[kind].keep);
        REQUIRE(index != NULL);
        CHECK_EQ(add(index, rows, kind % 2 ? 700 : 600, NULL), SUTRA_OK);
        for (int exact = 0; exact < 2; exact++) {
            int64_t ids[50 * 7], own_ids[7];
            float distances[50 * 7], own[7];
            struct sutra_fault fault;
            for (unsigned threads = 0; threads < 4; threads++) {
                CHECK_EQ(sutra_index_search(index,
                                            &(struct sutra_search){.queries = queries,
                                                                   .stride = DIM + 3,
                                                                   .count = 50,
                                                                   .k = 7,
                                                                   .ef = 30,
                                                                   .exact = exact,
                                                                   .threads = threads},
                                            ids, distances, &fault),
                         SUTRA_OK);
                for (size_t q = 0; q < 50; q += 7) {
                    CHECK_EQ(sutra_index_search(
                                 index,
                                 &(struct sutra_search){.queries = queries + q * (DIM + 3),
                                                        .stride = DIM + 3,
                                                        .count = 1,
                                                        .k = 7,
                                                        .ef = 30,
                                                        .exact = exact,
                                                        .threads = 1},
                                 own_ids, own, &fault),
                             SUTRA_OK);
                    CHECK(memcmp(ids + q * 7, own_ids, sizeof own_ids) == 0);
                    CHECK(memcmp(distances + q * 7, own, sizeof own) == 0);
                }
            }
        }
        sutra_index_free(index);
    }
    free(rows);
    free(queries);
}

static void short_results_are_padded(void)
{
    static int64_t ids[2000];
    static float distances[2000];
    static const size_t counts[] = {0, 1, 5, 511, 512, 600};
    seed_random(3);
    float *rows = random_vectors(600, DIM);
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            struct sutra_index *index =
                make(kinds[kind].metric, kinds[kind].quantization, kinds[kind].keep);
            REQUIRE(index != NULL);
            CHECK_EQ(add(index, rows, counts[c], NULL), SUTRA_OK);
            struct sutra_fault fault;
            struct sutra_index_stats stats;
            CHECK_EQ(sutra_index_stats(index, &stats), SUTRA_OK);
            CHECK_EQ(stats.linked, counts[c] >= SUTRA_FLAT_ROWS);
            for (int way = 0; way < 3; way++) {
                CHECK_EQ(sutra_index_search(index,
                                            &(struct sutra_search){.queries = rows,
                                                                   .stride = DIM,
                                                                   .count = 1,
                                                                   .k = 2000,
                                                                   .ef = way == 1 ? 1000000 : 1,
                                                                   .exact = way == 2,
                                                                   .threads = 1},
                                            ids, distances, &fault),
                         SUTRA_OK);
                for (size_t j = 0; j < 2000; j++)
                    CHECK_EQ(ids[j] >= 0 && isfinite(distances[j]), j < counts[c]);
                CHECK(counts[c] == 0 || kinds[kind].metric == SUTRA_METRIC_IP ||
                      kinds[kind].quantization == SUTRA_QUANT_U4 || ids[0] == 0);
            }
            CHECK_EQ(sutra_index_search(
                         index,
                         &(struct sutra_search){
                             .queries = rows, .stride = DIM, .count = 1, .k = 0, .threads = 1},
                         ids, distances, &fault),
                     SUTRA_E_ARGUMENT);
            CHECK_EQ(sutra_index_search(index,
                                        &(struct sutra_search){.queries = rows,
                                                               .stride = DIM,
                                                               .count = 1,
                                                               .k = SUTRA_K_MAX + 1,
                                                               .threads = 1},
                                        ids, distances, &fault),
                     SUTRA_E_ARGUMENT);
            CHECK_EQ(sutra_index_search(
                         index,
                         &(struct sutra_search){
                             .queries = rows, .stride = DIM, .count = 0, .k = 5, .threads = 1},
                         ids, distances, &fault),
                     SUTRA_OK);
            sutra_index_free(index);
        }
    }
    free(rows);
}

/* ---- bad and awkward input */

static void bad_options_are_named(void)
{
    static const struct {
        struct sutra_index_options options;
        const char *what;
    } wrong[] = {{{0, 0, 16, 100, 1, true, 0}, "dim"},
                 {{SUTRA_DIM_MAX + 1, 0, 16, 100, 1, true, 0}, "dim"},
                 {{4, 3, 16, 100, 1, true, 0}, "metric"},
                 {{4, -1, 16, 100, 1, true, 0}, "metric"},
                 {{4, 0, 12, 100, 1, true, 0}, "m"},
                 {{4, 0, 40, 100, 1, true, 0}, "m"},
                 {{4, 0, 16, 0, 1, true, 0}, "ef_construction"},
                 {{4, 0, 16, 4097, 1, true, 0}, "ef_construction"},
                 {{4, 0, 16, 100, 3, true, 0}, "quantization"},
                 {{4, 0, 16, 100, SUTRA_QUANT_NONE, false, 0}, "keep_originals"}};
    for (size_t j = 0; j < sizeof wrong / sizeof wrong[0]; j++) {
        struct sutra_index *index = NULL;
        struct sutra_fault fault;
        CHECK_EQ(sutra_index_new(best_kernels(), &wrong[j].options, &index, &fault),
                 SUTRA_E_CONFIG);
        CHECK(strcmp(fault.what, wrong[j].what) == 0);
        CHECK(index == NULL);
    }
    sutra_index_free(NULL);
}

static void bad_vectors_are_named(void)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, 5e18f, -3e38f};
    seed_random(4);
    float *rows = random_vectors(600, DIM);
    struct sutra_fault fault;
    for (size_t before = 0; before <= 600; before += 600) {
        struct sutra_index *index = make(SUTRA_METRIC_L2, SUTRA_QUANT_U8, true);
        REQUIRE(index != NULL);
        CHECK_EQ(add(index, rows, before, NULL), SUTRA_OK);
        for (size_t j = 0; j < sizeof bad / sizeof bad[0]; j++) {
            int64_t ids[3];
            float distances[3], kept = rows[123 * DIM + j];
            rows[123 * DIM + j] = bad[j];
            fault = SUTRA_FAULT_NONE;
            CHECK_EQ(sutra_index_add(index, rows, DIM, 300, NULL, NULL, 1, NULL, NULL, &fault),
                     SUTRA_E_VECTOR);
            CHECK_EQ(fault.row, 123);
            fault = SUTRA_FAULT_NONE;
            CHECK_EQ(sutra_index_search(index,
                                        &(struct sutra_search){.queries = rows + 121 * DIM,
                                                               .stride = DIM,
                                                               .count = 3,
                                                               .k = 1,
                                                               .threads = 2},
                                        ids, distances, &fault),
                     SUTRA_E_VECTOR);
            CHECK_EQ(fault.row, 2);
            rows[123 * DIM + j] = kept;
        }
        CHECK_EQ(length_of(index), before);
        sutra_index_free(index);
    }
    free(rows);
}

/* The largest and smallest vectors that are taken give finite distances and a sound index. */
static void extreme_lengths_stay_finite(void)
{
    seed_random(5);
    float *rows = random_vectors(600, DIM);
    for (size_t row = 0; row < 600; row++) {
        for (size_t j = 0; j < DIM; j++)
            rows[row * DIM + j] *= row % 3 == 0 ? 6e17f : row % 3 == 1 ? 1e-19f : 1.0f;
    }
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct sutra_index *index =
            make(kinds[kind].metric, kinds[kind].quantization, kinds[kind].keep);
        REQUIRE(index != NULL);
        CHECK_EQ(add(index, rows, 600, NULL), SUTRA_OK);
        CHECK(is_sound(index));
        for (size_t q = 0; q < 6; q++) {
            int64_t ids[5];
            float distances[5];
            for (int exact = 0; exact < 2; exact++) {
                CHECK_EQ(search_one(index, rows + q * DIM, 5, exact, ids, distances), SUTRA_OK);
                for (size_t j = 0; j < 5; j++)
                    CHECK(isfinite(distances[j]));
            }
        }
        sutra_index_free(index);
    }
    free(rows);
}

static void zero_vectors_lie_at_one(void)
{
    seed_random(6);
    float *rows = random_vectors(600, DIM);
    memset(rows + 5 * DIM, 0, DIM * sizeof *rows);
    memset(rows + 550 * DIM, 0, DIM * sizeof *rows);
    for (size_t kind = 0; kind < KINDS; kind++) {
        if (kinds[kind].metric != SUTRA_METRIC_COSINE)
            continue;
        struct sutra_index *index =
            make(SUTRA_METRIC_COSINE, kinds[kind].quantization, kinds[kind].keep);
        REQUIRE(index != NULL);
        CHECK_EQ(add(index, rows, 600, NULL), SUTRA_OK);
        CHECK(is_sound(index));
        static int64_t ids[600];
        static float distances[600];
        const double near = kinds[kind].keep ? 1e-6 : 0.75;
        CHECK_EQ(search_one(index, rows, 600, true, ids, distances), SUTRA_OK);
        for (size_t j = 0; j < 600; j++)
            CHECK((ids[j] != 5 && ids[j] != 550) || fabs((double)distances[j] - 1) <= near);
        CHECK_EQ(search_one(index, rows + 5 * DIM, 600, false, ids, distances), SUTRA_OK);
        for (size_t j = 0; j < 600 && kinds[kind].keep; j++)
            CHECK(fabs((double)distances[j] - 1) <= near);
        float back[DIM];
        CHECK_EQ(sutra_index_get(index, 550, back), SUTRA_OK);
        for (size_t j = 0; j < DIM; j++)
            CHECK(fabsf(back[j]) <= (kinds[kind].keep ? 0.0f : 0.1f));
        sutra_index_free(index);
    }
    free(rows);
}

/* ---- ids */

static void ids_are_checked(void)
{
    const int64_t max = INT64_MAX;
    seed_random(7);
    float *rows = random_vectors(700, DIM);
    int64_t many[600];
    struct sutra_fault fault;
    for (size_t before = 0; before <= 600; before += 600) {
        struct sutra_index *index = make(SUTRA_METRIC_L2, SUTRA_QUANT_U8, before > 0);
        bool found;
        float back[DIM];
        REQUIRE(index != NULL);
        for (int64_t j = 0; j < 600; j++)
            many[j] = (j * 7919 % 600) * 3;
        CHECK_EQ(add(index, rows, before, many), SUTRA_OK);
        const struct {
            int64_t ids[3];
            int status;
            int64_t row;
        } wrong[] = {{{5000, -1, 5001}, SUTRA_E_NEGATIVE_ID, 1},
                     {{INT64_MIN, 1, 2}, SUTRA_E_NEGATIVE_ID, 0},
                     {{5000, 5001, 5000}, SUTRA_E_DUPLICATE_ID, 2},
                     {{5000, 5000, 5001}, SUTRA_E_DUPLICATE_ID, 1}};
        for (size_t j = 0; j < sizeof wrong / sizeof wrong[0]; j++) {
            fault = SUTRA_FAULT_NONE;
            CHECK_EQ(
                sutra_index_add(index, rows, DIM, 3, wrong[j].ids, NULL, 1, NULL, NULL, &fault),
                wrong[j].status);
            CHECK_EQ(fault.row, wrong[j].row);
            CHECK_EQ((int64_t)fault.found, wrong[j].ids[wrong[j].row]);
        }
        if (before) {
            const int64_t taken[] = {5000, 1, 300};
            CHECK_EQ(sutra_index_add(index, rows, DIM, 3, taken, NULL, 1, NULL, NULL, &fault),
                     SUTRA_E_DUPLICATE_ID);
            CHECK_EQ(fault.row, 2);
            CHECK_EQ(sutra_index_get(index, 300, back), SUTRA_OK);
        }
        CHECK_EQ(length_of(index), before);
        CHECK_EQ(sutra_index_contains(index, 5000, &found), SUTRA_OK);
        CHECK(!found);
        CHECK_EQ(sutra_index_get(index, -1, back), SUTRA_E_NOT_FOUND);

        /* The largest id can be taken once; after that there are no numbers to go on with. */
        const int64_t largest[] = {4, max, max - 1}, smaller[] = {7, 8};
        CHECK_EQ(add(index, rows, 3, largest), SUTRA_OK);
        CHECK_EQ(add(index, rows, 1, &max), SUTRA_E_DUPLICATE_ID);
        CHECK_EQ(add(index, rows, 1, NULL), SUTRA_E_CAPACITY);
        CHECK_EQ(add(index, rows, 2, smaller), SUTRA_OK);
        CHECK_EQ(add(index, rows, 1, &max), SUTRA_E_DUPLICATE_ID);
        CHECK_EQ(sutra_index_contains(index, max, &found), SUTRA_OK);
        CHECK(found);
        CHECK_EQ(length_of(index), before + 5);
        sutra_index_free(index);
    }
    free(rows);
}

static void numbers_go_on_from_the_largest(void)
{
    seed_random(8);
    float *rows = random_vectors(700, DIM);
    struct sutra_index *index = make(SUTRA_METRIC_L2, SUTRA_QUANT_U8, true);
    REQUIRE(index != NULL);
    int64_t ids[700];
    const int64_t own[] = {1000, 50}, next[] = {3, 4};
    float back[DIM];
    struct sutra_fault fault;
    CHECK_EQ(add(index, rows, 3, NULL), SUTRA_OK);
    CHECK_EQ(add(index, rows + 3 * DIM, 2, next), SUTRA_OK); /* still row numbers */
    struct sutra_index_stats stats;
    CHECK_EQ(sutra_index_stats(index, &stats), SUTRA_OK);
    CHECK_EQ(stats.ids_bytes, 0);
    CHECK_EQ(add(index, rows + 5 * DIM, 2, own), SUTRA_OK);
    CHECK_EQ(sutra_index_add(index, rows + 7 * DIM, DIM, 693, NULL, ids, 1, NULL, NULL, &fault),
             SUTRA_OK);
    for (size_t j = 0; j < 693; j++)
        CHECK_EQ(ids[j], 1001 + (int64_t)j);
    CHECK_EQ(sutra_index_ids(index, 0, 700, ids), SUTRA_OK);
    CHECK_EQ(sutra_index_ids(index, 700, 0, ids), SUTRA_OK);
    CHECK_EQ(sutra_index_ids(index, 701, 0, ids), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_index_ids(index, 1, SIZE_MAX, ids), SUTRA_E_ARGUMENT);
    for (size_t row = 0; row < 700; row++) {
        CHECK_EQ(ids[row], row < 5    ? (int64_t)row
                           : row == 5 ? 1000
                           : row == 6 ? 50
                                      : 994 + (int64_t)row);
        CHECK_EQ(sutra_index_get(index, ids[row], back), SUTRA_OK);
        CHECK(memcmp(back, rows + row * DIM, sizeof back) == 0);
    }
    sutra_index_free(index);
    free(rows);
}

/* ---- growing */

/* Added at once, in pieces, with more threads: everything can be found. */
static void growth_keeps_every_vector(void)
{
    const size_t count = is_slow_place() ? 1500 : 5000; /* a refit at 8 x 520 */
    seed_random(9);
    float *rows = random_vectors(count, DIM);
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct sutra_index *index =
            make(kinds[kind].metric, kinds[kind].quantization, kinds[kind].keep);
        REQUIRE(index != NULL);
        static const size_t pieces[] = {1, 500, 10, 9, 1, 700, 3400};
        size_t done = 0;
        for (size_t p = 0; done < count; p++) {
            size_t piece = p < sizeof pieces / sizeof pieces[0] ? pieces[p] : count - done;
            piece = piece < count - done ? piece : count - done;
            CHECK_EQ(add(index, rows + done * DIM, piece, NULL), SUTRA_OK);
            done += piece;
            CHECK(is_sound(index));
        }
        size_t right = 0;
        for (size_t row = 0; row < count; row += 13) {
            float back[DIM];
            int64_t ids[10];
            float distances[10];
            CHECK_EQ(sutra_index_get(index, (int64_t)row, back), SUTRA_OK);
            if (kinds[kind].keep)
                CHECK(memcmp(back, rows + row * DIM, sizeof back) == 0);
            else if (kinds[kind].metric == SUTRA_METRIC_L2)
                CHECK(distance_between(SUTRA_METRIC_L2, back, rows + row * DIM) <
                      (kinds[kind].quantization == SUTRA_QUANT_U4 ? 0.3 : 0.02) * 16);
            CHECK_EQ(search_one(index, rows + row * DIM, 10, false, ids, distances), SUTRA_OK);
            for (size_t j = 0; j < 10; j++)
                right += ids[j] == (int64_t)row;
        }
        if (kinds[kind].metric != SUTRA_METRIC_IP)
            CHECK(right >= (count + 12) / 13 * 95 / 100);
        sutra_index_free(index);
    }
    free(rows);
}

static int stop_later(void *context, size_t done, size_t total)
{
    (void)done, (void)total;
    return --*(int *)context == 0;
}

/* A cancelled add leaves count, ids and results as they were, flat or linked. */
static void cancelled_adds_change_nothing(void)
{
    static const size_t befores[] = {0, 300, 600};
    seed_random(10);
    float *rows = random_vectors(6000, DIM);
    for (size_t kind = 0; kind < KINDS; kind += 2) {
        for (size_t b = 0; b < 3; b++) {
            const size_t before = befores[b];
            struct sutra_index *index =
                make(kinds[kind].metric, kinds[kind].quantization, kinds[kind].keep);
            REQUIRE(index != NULL);
            CHECK_EQ(add(index, rows, before, NULL), SUTRA_OK);
            int64_t ids[10], own[1000], again[10];
            float distances[10], again_distances[10];
            CHECK_EQ(search_one(index, rows, 10, true, ids, distances), SUTRA_OK);
            for (int64_t j = 0; j < 1000; j++)
                own[j] = 100000 - j;
            for (int stop = 1; stop < 20; stop += 9) {
                int left = stop;
                struct sutra_fault fault;
                bool found = true;
                CHECK_EQ(sutra_index_add(index, rows + before * DIM, DIM, 1000,
                                         stop % 2 ? own : NULL, NULL, 2, stop_later, &left, &fault),
                         SUTRA_E_CANCELLED);
                CHECK_EQ(length_of(index), before);
                CHECK(is_sound(index));
                CHECK_EQ(sutra_index_contains(index, 100000, &found), SUTRA_OK);
                CHECK(!found);
                CHECK_EQ(search_one(index, rows, 10, true, again, again_distances), SUTRA_OK);
                CHECK(memcmp(ids, again, sizeof ids) == 0);
                CHECK(memcmp(distances, again_distances, sizeof distances) == 0);
            }
            CHECK_EQ(add(index, rows + before * DIM, 1000, NULL), SUTRA_OK);
            CHECK(is_sound(index));
            bool found = false;
            CHECK_EQ(sutra_index_contains(index, (int64_t)before + 999, &found), SUTRA_OK);
            CHECK(found);
            sutra_index_free(index);
        }
    }
    free(rows);
}

static void a_closed_index_says_so(void)
{
    struct sutra_index *index = make(SUTRA_METRIC_L2, SUTRA_QUANT_U8, true);
    float row[DIM] = {1};
    int64_t id = 0;
    float distance;
    bool found;
    struct sutra_fault fault;
    struct sutra_index_stats stats;
    REQUIRE(index != NULL);
    CHECK_EQ(add(index, row, 1, NULL), SUTRA_OK);
    sutra_index_close(index);
    sutra_index_close(index);
    CHECK_EQ(add(index, row, 1, NULL), SUTRA_E_CLOSED);
    CHECK_EQ(search_one(index, row, 1, false, &id, &distance), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_index_get(index, 0, row), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_index_contains(index, 0, &found), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_index_ids(index, 0, 0, &id), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_index_save(index, "/nowhere"), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_index_verify(index, true, &fault), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_index_stats(index, &stats), SUTRA_E_CLOSED);
    CHECK_EQ(sutra_index_set_tuned_ef(index, 5), SUTRA_E_CLOSED);
    sutra_index_free(index);
}

CHECK_MAIN(CASE(searches_come_near_the_definition), CASE(batches_equal_single_queries),
           CASE(short_results_are_padded), CASE(bad_options_are_named), CASE(bad_vectors_are_named),
           CASE(extreme_lengths_stay_finite), CASE(zero_vectors_lie_at_one), CASE(ids_are_checked),
           CASE(numbers_go_on_from_the_largest), CASE(growth_keeps_every_vector),
           CASE(cancelled_adds_change_nothing), CASE(a_closed_index_says_so))
