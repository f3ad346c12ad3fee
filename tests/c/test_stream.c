/* The streamed index: rows can be found as soon as they are appended, linked or not, at every view
 * that they live in, and at no other.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "stream_cases.h"

/* Below all views that rows are born at, and above all. */
#define BEFORE_ALL 0u
#define NOW (UINT64_MAX - 1)

static int link_rows(struct sutra_index *index, size_t most)
{
    return sutra_stream_link(index, most, 2, NULL, NULL);
}

/* Search for random vectors, exactly and not, and compare with the model. */
static void check_searches(const struct model *model, struct sutra_index *index,
                           const struct stream_kind *kind, uint64_t view, size_t queries)
{
    const size_t visible = count_visible(model, view), k = 10;
    const size_t there = visible < k ? visible : k;
    size_t right = 0, exact_right = 0;
    for (size_t q = 0; q < queries; q++) {
        float query[DIM];
        struct found found;
        for (size_t j = 0; j < DIM; j++)
            query[j] = random_normal();
        CHECK_EQ(find(index, query, k, 64, false, view, &found), SUTRA_OK);
        CHECK_EQ(check_found(model, &found, k, view), there);
        right += count_right(model, query, &found, k, view);
        CHECK_EQ(find(index, query, k, 64, true, view, &found), SUTRA_OK);
        CHECK_EQ(check_found(model, &found, k, view), there);
        exact_right += count_right(model, query, &found, k, view);
        for (size_t j = 0; j < there && kind->keep; j++)
            CHECK(fabs((double)found.distances[j] -
                       distance_between(kind->metric, query,
                                        model->vectors + (size_t)found.rows[j] * DIM)) < 1e-4);
    }
    if (kind->keep)
        CHECK_EQ(exact_right, queries * there);
    CHECK((double)right >= kind->recall * (double)(queries * there) - 3);
}

/* ---- sizes around the one from which rows are linked */

static void small_indexes_are_scanned(void)
{
    static const size_t sizes[] = {0, 1, 2, 511, 512, 513};
    for (size_t kind = 0; kind < STREAM_KINDS; kind++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            const size_t size = sizes[s];
            struct sutra_index *index = new_stream(&stream_kinds[kind]);
            struct model model;
            size_t linked = 77;
            seed_random(21 + s);
            REQUIRE(index != NULL && make_model(&model, stream_kinds[kind].metric, 513));
            append_rows(&model, index, size, 5);
            CHECK_EQ(sutra_stream_rows(index), size);
            CHECK_EQ(sutra_stream_pending(index), size);
            check_searches(&model, index, &stream_kinds[kind], NOW, 5);
            CHECK_EQ(sutra_stream_link(index, SIZE_MAX, 2, NULL, &linked), SUTRA_OK);
            CHECK_EQ(linked, size < SUTRA_FLAT_ROWS ? 0 : size);
            CHECK_EQ(sutra_stream_pending(index), size - linked);
            CHECK(is_sound_stream(index));
            check_searches(&model, index, &stream_kinds[kind], NOW, 5);
            check_searches(&model, index, &stream_kinds[kind], 4, 2);
            CHECK_EQ(sutra_stream_link(index, SIZE_MAX, 2, NULL, &linked), SUTRA_OK);
            CHECK_EQ(linked, 0);
            sutra_index_free(index);
            free_model(&model);
        }
    }
}

/* ---- lifetimes */

/* Random appends, ends and links; then searches at views all over the past. */
static void lifetimes_match_the_definition(void)
{
    const size_t room = is_slow_place() ? 1500 : 3000;
    for (size_t kind = 0; kind < STREAM_KINDS; kind++) {
        struct sutra_index *index = new_stream(&stream_kinds[kind]);
        struct model model;
        uint64_t lsn = 0;
        size_t ended = 0;
        seed_random(40 + kind);
        REQUIRE(index != NULL && make_model(&model, stream_kinds[kind].metric, room));
        while (model.count < room) {
            const size_t left = room - model.count, piece = 1 + random_below(200);
            lsn++;
            append_rows(&model, index, piece < left ? piece : left, lsn);
            for (size_t j = random_below(60); j > 0; j--) {
                const size_t row = random_below(model.count);
                ended += model.deaths[row] == SUTRA_ROW_ALIVE;
                end_row(&model, index, row, lsn + random_below(2));
            }
            CHECK_EQ(sutra_stream_dead(index), ended);
            if (random_below(3) == 0)
                CHECK_EQ(link_rows(index, 1 + random_below(300)), SUTRA_OK);
            if (random_below(4) == 0)
                check_searches(&model, index, &stream_kinds[kind], random_below(lsn + 2), 3);
        }
        CHECK(sutra_stream_pending(index) > 0 && sutra_stream_pending(index) < room);
        CHECK(is_sound_stream(index));
        for (size_t round = 0; round < 2; round++) {
            check_searches(&model, index, &stream_kinds[kind], BEFORE_ALL, 2);
            for (uint64_t view = 1; view <= lsn + 1; view += 1 + lsn / 9)
                check_searches(&model, index, &stream_kinds[kind], view, 8);
            check_searches(&model, index, &stream_kinds[kind], NOW, 20);
            CHECK_EQ(link_rows(index, SIZE_MAX), SUTRA_OK);
            CHECK_EQ(sutra_stream_pending(index), 0);
        }
        CHECK(is_sound_stream(index));
        sutra_index_free(index);
        free_model(&model);
    }
}

static void a_row_ends_once(void)
{
    struct sutra_index *index = new_stream(&stream_kinds[1]);
    struct model model;
    struct found found;
    seed_random(3);
    REQUIRE(index != NULL && make_model(&model, SUTRA_METRIC_L2, 4));
    append_rows(&model, index, 2, 10);
    sutra_stream_end_row(index, 2, 11); /* not there yet */
    sutra_stream_end_row(index, UINT32_MAX, 11);
    sutra_stream_end_row(index, 0, SUTRA_ROW_ALIVE);
    CHECK_EQ(sutra_stream_dead(index), 0);
    sutra_stream_end_row(index, 0, 20);
    sutra_stream_end_row(index, 0, 30);
    sutra_stream_end_row(index, 0, 15);
    CHECK_EQ(sutra_stream_dead(index), 1);
    append_rows(&model, index, 1, 12);
    sutra_stream_end_row(index, 2, 12); /* never seen by anyone */
    model.deaths[0] = 20;
    model.deaths[2] = 12;
    for (uint64_t view = 9; view < 32; view++) {
        CHECK_EQ(find(index, model.vectors, 3, 0, false, view, &found), SUTRA_OK);
        CHECK_EQ(check_found(&model, &found, 3, view), view < 10 ? 0 : view < 20 ? 2 : 1);
    }
    CHECK(is_sound_stream(index));
    CHECK_EQ(sutra_stream_label(index, 1), model.labels[1]);
    CHECK_EQ(sutra_stream_label(index, 3), -1);
    sutra_index_free(index);
    free_model(&model);
}

/* Half of all rows dead, spread evenly, or all on the side the queries come from; then all but a
 * few; then all. */
static void dead_rows_do_not_crowd_out_the_living(void)
{
    static const size_t kinds[] = {0, 4, 7, 10};
    const size_t count = is_slow_place() ? 1500 : 4000;
    for (size_t j = 0; j < sizeof kinds / sizeof kinds[0]; j++) {
        const struct stream_kind *kind = &stream_kinds[kinds[j]];
        for (int sided = 0; sided < 2; sided++) {
            struct sutra_index *index = new_stream(kind);
            struct model model;
            struct found found;
            float query[DIM] = {0};
            seed_random(60);
            REQUIRE(index != NULL && make_model(&model, kind->metric, count));
            append_rows(&model, index, count, 1);
            CHECK_EQ(link_rows(index, count - 100), SUTRA_OK);
            for (size_t row = 0; row < count; row++) {
                if (sided ? model.vectors[row * DIM] > 0 : row % 2)
                    end_row(&model, index, row, 2);
            }
            query[0] = 3;
            for (size_t k = 1; k <= 64; k += 9) {
                CHECK_EQ(find(index, query, k, k, false, 2, &found), SUTRA_OK);
                CHECK_EQ(check_found(&model, &found, k, 2), k);
                CHECK_EQ(find(index, query, k, k, false, 1, &found), SUTRA_OK);
                CHECK_EQ(check_found(&model, &found, k, 1), k);
            }
            check_searches(&model, index, kind, 2, 20);

            for (size_t row = 0; row < count; row++) {
                if (row % (count / 5) != 7)
                    end_row(&model, index, row, 3);
            }
            CHECK_EQ(find(index, query, 10, 0, false, 3, &found), SUTRA_OK);
            CHECK_EQ(check_found(&model, &found, 10, 3), count_visible(&model, 3));
            for (size_t row = 0; row < count; row++)
                end_row(&model, index, row, 4);
            CHECK_EQ(sutra_stream_dead(index), count);
            CHECK_EQ(find(index, query, 10, 0, false, 4, &found), SUTRA_OK);
            CHECK_EQ(check_found(&model, &found, 10, 4), 0);
            CHECK_EQ(find(index, query, 10, 0, false, 1, &found), SUTRA_OK);
            CHECK_EQ(check_found(&model, &found, 10, 1), 10);
            CHECK(is_sound_stream(index));
            sutra_index_free(index);
            free_model(&model);
        }
    }
}

/* ---- finding */

/* Between appends the last of each is searched for, by its own vector. */
static void appended_rows_are_found_at_once(void)
{
    for (size_t kind = 0; kind < STREAM_KINDS; kind++) {
        if (stream_kinds[kind].metric == SUTRA_METRIC_IP)
            continue; /* a vector need not be the nearest to itself */
        struct sutra_index *index = new_stream(&stream_kinds[kind]);
        struct model model;
        seed_random(80 + kind);
        REQUIRE(index != NULL && make_model(&model, stream_kinds[kind].metric, 1400));
        while (model.count < model.room) {
            const size_t piece = 1 + random_below(90), left = model.room - model.count;
            append_rows(&model, index, piece < left ? piece : left, 1);
            for (int exact = 0; exact < 2; exact++) {
                const size_t row = model.count - 1;
                struct found found;
                CHECK_EQ(find(index, model.vectors + row * DIM, 10, 0, exact, 1, &found), SUTRA_OK);
                check_found(&model, &found, 10, 1);
                bool seen = false;
                for (size_t j = 0; j < (stream_kinds[kind].keep ? 1 : 10); j++)
                    seen = seen || found.rows[j] == (int64_t)row;
                CHECK(seen);
            }
            if (random_below(2))
                CHECK_EQ(link_rows(index, random_below(200)), SUTRA_OK);
        }
        sutra_index_free(index);
        free_model(&model);
    }
}

/* With codes and without links: scanned by codes. */
static void encoded_rows_are_found_before_they_are_linked(void)
{
    enum { LINKED = 1200, WAITING = 1800 };
    for (size_t kind = 0; kind < STREAM_KINDS; kind++) {
        struct sutra_index *index = new_stream(&stream_kinds[kind]);
        struct model model;
        seed_random(120 + kind);
        REQUIRE(index != NULL && make_model(&model, stream_kinds[kind].metric, LINKED + WAITING));
        append_rows(&model, index, LINKED, 1);
        CHECK_EQ(link_rows(index, SIZE_MAX), SUTRA_OK);
        append_rows(&model, index, WAITING, 2);
        CHECK_EQ(link_rows(index, 0), SUTRA_OK);
        CHECK_EQ(sutra_stream_pending(index), WAITING);
        for (size_t row = LINKED; row < model.room; row += 50)
            end_row(&model, index, row, 3);
        for (uint64_t view = 1; view <= 3; view++)
            check_searches(&model, index, &stream_kinds[kind], view, 40);
        for (size_t row = LINKED + 1; stream_kinds[kind].metric != SUTRA_METRIC_IP &&
                                      stream_kinds[kind].keep && row < model.room;
             row += 50) {
            struct found found;
            CHECK_EQ(find(index, model.vectors + row * DIM, 1, 0, false, 3, &found), SUTRA_OK);
            CHECK_EQ(found.rows[0], row);
            CHECK_EQ(find(index, model.vectors + row * DIM, 1, 0, false, 1, &found), SUTRA_OK);
            CHECK(found.rows[0] < LINKED);
        }
        sutra_index_free(index);
        free_model(&model);
    }
}

/* How many of `ids` are among the ten of each query in `truth`. */
static size_t count_common(const int64_t *ids, const int64_t *truth, size_t queries)
{
    size_t common = 0;
    for (size_t j = 0; j < queries * 10; j++) {
        for (size_t t = 0; t < 10; t++)
            common += ids[j] == truth[j / 10 * 10 + t];
    }
    return common;
}

/* What is streamed in pieces is found as well as what is added at once. */
static void streaming_costs_little_recall(void)
{
    enum { QUERIES = 3000 };
    const size_t count = is_slow_place() ? 1500 : 6000;
    seed_random(90);
    float *queries = random_vectors(QUERIES, DIM), *distances = malloc(QUERIES * 10 * 4);
    int64_t *truth = malloc(QUERIES * 10 * 8), *ids = malloc(QUERIES * 10 * 8);
    int64_t *labels = malloc(QUERIES * 10 * 8);
    REQUIRE(queries && distances && truth && ids && labels);
    static const size_t kinds[] = {0, 1, 2, 10};
    for (size_t j = 0; j < sizeof kinds / sizeof kinds[0]; j++) {
        const size_t kind = kinds[j];
        /* Inner products are harder to find: from graph to graph by a point or so. */
        const size_t points = stream_kinds[kind].metric == SUTRA_METRIC_IP ? 4 : 1;
        const struct sutra_index_options options = stream_options(&stream_kinds[kind]);
        struct sutra_index *index = new_stream(&stream_kinds[kind]), *whole = NULL;
        struct model model;
        struct sutra_fault fault;
        seed_random(90 + kind);
        REQUIRE(index != NULL && make_model(&model, stream_kinds[kind].metric, count));
        REQUIRE(sutra_index_new(best_kernels(), &options, &whole, &fault) == SUTRA_OK);
        CHECK_EQ(
            sutra_index_add(whole, model.vectors, DIM, count, NULL, NULL, 2, NULL, NULL, &fault),
            SUTRA_OK);
        while (model.count < count) {
            const size_t left = count - model.count, piece = 1 + random_below(500);
            append_rows(&model, index, piece < left ? piece : left, 1);
            CHECK_EQ(link_rows(index, random_below(600)), SUTRA_OK);
        }
        CHECK_EQ(link_rows(index, SIZE_MAX), SUTRA_OK);
        CHECK_EQ(sutra_index_search(whole,
                                    &(struct sutra_search){.queries = queries,
                                                           .stride = DIM,
                                                           .count = QUERIES,
                                                           .k = 10,
                                                           .exact = true,
                                                           .threads = 2},
                                    truth, distances, &fault),
                 SUTRA_OK);
        CHECK_EQ(sutra_index_search(whole,
                                    &(struct sutra_search){.queries = queries,
                                                           .stride = DIM,
                                                           .count = QUERIES,
                                                           .k = 10,
                                                           .ef = 32,
                                                           .threads = 2},
                                    ids, distances, &fault),
                 SUTRA_OK);
        const size_t whole_right = count_common(ids, truth, QUERIES);
        CHECK_EQ(sutra_stream_search(index,
                                     &(struct sutra_search){.queries = queries,
                                                            .stride = DIM,
                                                            .count = QUERIES,
                                                            .k = 10,
                                                            .ef = 32,
                                                            .threads = 2},
                                     NOW, labels, ids, distances, &fault),
                 SUTRA_OK);
        const size_t streamed_right = count_common(ids, truth, QUERIES);
        CHECK(streamed_right + points * QUERIES * 10 / 200 >= whole_right);
        CHECK(whole_right > QUERIES * 6);
        sutra_index_free(index);
        sutra_index_free(whole);
        free_model(&model);
    }
    free(queries);
    free(distances);
    free(truth);
    free(ids);
    free(labels);
}

/* A stream brings rows in the order of its subjects: neighbours are linked together. */
static void neighbours_may_come_together(void)
{
    const size_t each = 60, subjects = is_slow_place() ? 25 : 100, count = subjects * each;
    struct sutra_index *index = new_stream(&stream_kinds[1]);
    struct model model;
    seed_random(99);
    REQUIRE(index != NULL && make_model(&model, SUTRA_METRIC_L2, count));
    float *centres = random_vectors(subjects, DIM);
    for (size_t j = 0; j < count * DIM; j++)
        model.vectors[j] = centres[j / DIM / each * DIM + j % DIM] + 0.3f * model.vectors[j];
    append_rows(&model, index, count, 1);
    CHECK_EQ(link_rows(index, SIZE_MAX), SUTRA_OK);
    CHECK(is_sound_stream(index));
    size_t right = 0;
    for (size_t q = 0; q < 200; q++) {
        float query[DIM];
        struct found found;
        for (size_t j = 0; j < DIM; j++)
            query[j] = centres[q % subjects * DIM + j] + 0.3f * random_normal();
        CHECK_EQ(find(index, query, 10, 64, false, NOW, &found), SUTRA_OK);
        right += count_right(&model, query, &found, 10, NOW);
    }
    CHECK(right >= 1960);
    free(centres);
    sutra_index_free(index);
    free_model(&model);
}

static void batches_equal_single_queries(void)
{
    for (size_t kind = 0; kind < STREAM_KINDS; kind++) {
        struct sutra_index *index = new_stream(&stream_kinds[kind]);
        struct model model;
        seed_random(100);
        REQUIRE(index != NULL && make_model(&model, stream_kinds[kind].metric, 900));
        append_rows(&model, index, 900, 1);
        CHECK_EQ(link_rows(index, 700), SUTRA_OK);
        for (size_t row = 0; row < 900; row += 3)
            end_row(&model, index, row, 2);
        enum { QUERIES = 50, K = 7, STRIDE = DIM + 3 };
        float *queries = random_vectors(QUERIES, STRIDE);
        static int64_t labels[QUERIES * K], rows[QUERIES * K];
        static float distances[QUERIES * K];
        for (int exact = 0; exact < 2; exact++) {
            for (unsigned threads = 0; threads < 4; threads++) {
                struct sutra_fault fault;
                CHECK_EQ(sutra_stream_search(index,
                                             &(struct sutra_search){.queries = queries,
                                                                    .stride = STRIDE,
                                                                    .count = QUERIES,
                                                                    .k = K,
                                                                    .ef = 30,
                                                                    .exact = exact,
                                                                    .threads = threads},
                                             2, labels, threads == 2 ? NULL : rows, distances,
                                             &fault),
                         SUTRA_OK);
                for (size_t q = 0; q < QUERIES; q++) {
                    struct found found;
                    CHECK_EQ(find(index, queries + q * STRIDE, K, 30, exact, 2, &found), SUTRA_OK);
                    CHECK(memcmp(found.labels, labels + q * K, sizeof *labels * K) == 0);
                    CHECK(memcmp(found.rows, rows + q * K, sizeof *rows * K) == 0);
                    CHECK(memcmp(found.distances, distances + q * K, sizeof *distances * K) == 0);
                }
            }
        }
        free(queries);
        sutra_index_free(index);
        free_model(&model);
    }
}

static void vectors_come_back(void)
{
    for (size_t kind = 0; kind < STREAM_KINDS; kind++) {
        const double near = stream_kinds[kind].quantization == SUTRA_QUANT_U4 ? 0.3 : 0.02;
        struct sutra_index *index = new_stream(&stream_kinds[kind]);
        struct model model;
        float back[DIM];
        seed_random(110);
        REQUIRE(index != NULL && make_model(&model, stream_kinds[kind].metric, 5000));
        append_rows(&model, index, 512, 1);
        for (size_t round = 0; round < 4; round++) { /* flat, linked, pending, fitted anew */
            const bool coded = !stream_kinds[kind].keep && round > 0;
            for (size_t row = 0; row < model.count; row += 11) {
                CHECK_EQ(sutra_stream_get(index, (uint32_t)row, back), SUTRA_OK);
                CHECK_EQ(sutra_stream_label(index, (uint32_t)row), model.labels[row]);
                const float *vector = model.vectors + row * DIM;
                if (!coded)
                    CHECK(memcmp(back, vector, sizeof back) == 0);
                else if (stream_kinds[kind].metric == SUTRA_METRIC_COSINE)
                    CHECK(distance_between(SUTRA_METRIC_COSINE, back, vector) < near);
                else
                    CHECK(distance_between(SUTRA_METRIC_L2, back, vector) < near * DIM);
            }
            CHECK_EQ(sutra_stream_get(index, (uint32_t)model.count, back), SUTRA_E_NOT_FOUND);
            if (round == 0)
                CHECK_EQ(link_rows(index, 200), SUTRA_OK);
            if (round == 1)
                append_rows(&model, index, model.room - model.count, 2);
            if (round == 2)
                CHECK_EQ(link_rows(index, 600), SUTRA_OK);
        }
        CHECK(is_sound_stream(index));
        sutra_index_free(index);
        free_model(&model);
    }
}

static void zero_vectors_lie_at_one(void)
{
    for (size_t kind = 0; kind < STREAM_KINDS; kind++) {
        const double near = stream_kinds[kind].keep ? 1e-6 : 0.75;
        if (stream_kinds[kind].metric != SUTRA_METRIC_COSINE)
            continue;
        struct sutra_index *index = new_stream(&stream_kinds[kind]);
        struct model model;
        struct found found;
        float back[DIM];
        seed_random(120);
        REQUIRE(index != NULL && make_model(&model, SUTRA_METRIC_COSINE, 5000));
        memset(model.vectors + 5 * DIM, 0, DIM * sizeof(float));
        memset(model.vectors + 550 * DIM, 0, DIM * sizeof(float));
        append_rows(&model, index, 520, 1);
        CHECK_EQ(link_rows(index, SIZE_MAX), SUTRA_OK);
        append_rows(&model, index, 80, 1); /* encoded at once where originals are not kept */
        for (size_t row = 0; row < 600; row++) {
            if (row % 50 != 5 && row != 550)
                end_row(&model, index, row, 2);
        }
        for (size_t round = 0; round < 2; round++) {
            for (int exact = 0; exact < 2; exact++) {
                CHECK_EQ(find(index, model.vectors + 555 * DIM, 13, 0, exact, 2, &found), SUTRA_OK);
                CHECK_EQ(check_found(&model, &found, 13, 2), 13);
                for (size_t j = 0; j < 13; j++)
                    CHECK((found.rows[j] != 5 && found.rows[j] != 550) ||
                          fabs((double)found.distances[j] - 1) <= near);
                CHECK_EQ(find(index, model.vectors + 5 * DIM, 13, 0, exact, 2, &found), SUTRA_OK);
                CHECK_EQ(check_found(&model, &found, 13, 2), 13);
                for (size_t j = 0; j < 13; j++)
                    CHECK(fabs((double)found.distances[j] - 1) <= near);
            }
            CHECK_EQ(sutra_stream_get(index, 550, back), SUTRA_OK);
            for (size_t j = 0; j < DIM; j++)
                CHECK(back[j] == 0.0f);
            append_rows(&model, index, round ? 0 : 4400, 3); /* eight times the fit */
            CHECK_EQ(link_rows(index, 100), SUTRA_OK);
        }
        sutra_index_free(index);
        free_model(&model);
    }
}

/* ---- linking */

/* The same bytes for any number of threads. */
static void threads_do_not_matter(void)
{
    static const size_t kinds[] = {0, 4, 10};
    for (size_t j = 0; j < sizeof kinds / sizeof kinds[0]; j++) {
        struct saved saves[3];
        for (unsigned s = 0; s < 3; s++) {
            struct sutra_index *index = new_stream(&stream_kinds[kinds[j]]);
            struct model model;
            seed_random(130);
            REQUIRE(index != NULL && make_model(&model, stream_kinds[kinds[j]].metric, 5000));
            append_rows(&model, index, 600, 1);
            CHECK_EQ(sutra_stream_link(index, 550, s, NULL, NULL), SUTRA_OK);
            append_rows(&model, index, is_slow_place() ? 400 : 4400, 1);
            CHECK_EQ(sutra_stream_link(index, SIZE_MAX, s, NULL, NULL), SUTRA_OK);
            saves[s] = (struct saved){0};
            save(&saves[s], index, true);
            sutra_index_free(index);
            free_model(&model);
        }
        for (unsigned s = 1; s < 3; s++) {
            CHECK(memcmp(saves[0].words, saves[s].words, sizeof saves[0].words) == 0);
            for (size_t p = 0; p < saves[0].count; p++)
                CHECK(saves[0].parts[p].rows == saves[s].parts[p].rows &&
                      memcmp(saves[0].parts[p].data, saves[s].parts[p].data,
                             saves[0].parts[p].rows * saves[0].parts[p].row_bytes) == 0);
        }
        for (unsigned s = 0; s < 3; s++)
            free_saved(&saves[s]);
    }
}

static void linking_stops_when_told(void)
{
    struct sutra_index *index = new_stream(&stream_kinds[4]);
    struct model model;
    size_t linked = 9;
    bool stop = true;
    seed_random(140);
    REQUIRE(index != NULL && make_model(&model, SUTRA_METRIC_L2, 1000));
    append_rows(&model, index, 1000, 1);
    CHECK_EQ(sutra_stream_link(index, SIZE_MAX, 1, &stop, &linked), SUTRA_OK);
    CHECK_EQ(linked, 0);
    struct sutra_index_stats stats;
    CHECK_EQ(sutra_index_stats(index, &stats), SUTRA_OK);
    CHECK(!stats.linked && stats.codes_bytes == 0 && stats.originals_bytes > 0);
    CHECK_EQ(stats.count, 1000);
    CHECK_EQ(sutra_stream_link(index, 0, 1, NULL, &linked), SUTRA_OK);
    CHECK_EQ(linked, 0);
    stop = false;
    for (size_t most = 1; most < 200; most += 37) {
        const size_t before = sutra_stream_pending(index);
        CHECK_EQ(sutra_stream_link(index, most, 1, &stop, &linked), SUTRA_OK);
        CHECK_EQ(linked, most);
        CHECK_EQ(sutra_stream_pending(index), before - most);
    }
    CHECK_EQ(sutra_index_stats(index, &stats), SUTRA_OK);
    CHECK(stats.linked && stats.codes_bytes > 0 && stats.originals_bytes == 0);
    CHECK(is_sound_stream(index));
    check_searches(&model, index, &stream_kinds[4], NOW, 10);
    sutra_index_free(index);
    free_model(&model);
}

/* ---- bad input */

static void bad_input_is_refused(void)
{
    struct sutra_index *index = new_stream(&stream_kinds[1]);
    struct model model;
    struct found found;
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    seed_random(150);
    REQUIRE(index != NULL && make_model(&model, SUTRA_METRIC_L2, 600));
    append_rows(&model, index, 600, 1);
    CHECK_EQ(sutra_stream_reserve(index, SUTRA_ROWS_MAX - 599), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_stream_reserve(index, SIZE_MAX), SUTRA_E_CAPACITY);
    CHECK_EQ(find(index, model.vectors, 0, 0, false, 1, &found), SUTRA_E_ARGUMENT);
    CHECK_EQ(find(index, model.vectors, SUTRA_K_MAX + 1, 0, false, 1, &found), SUTRA_E_ARGUMENT);
    model.vectors[3 * DIM + 4] = NAN;
    CHECK_EQ(sutra_stream_check(index, model.vectors, DIM, 3, &fault), SUTRA_OK);
    CHECK_EQ(sutra_stream_check(index, model.vectors, DIM, 4, &fault), SUTRA_E_VECTOR);
    CHECK_EQ(fault.row, 3);
    fault = SUTRA_FAULT_NONE;
    CHECK_EQ(sutra_stream_search(
                 index,
                 &(struct sutra_search){
                     .queries = model.vectors, .stride = DIM, .count = 4, .k = 1, .threads = 2},
                 1, found.labels, found.rows, found.distances, &fault),
             SUTRA_E_VECTOR);
    CHECK_EQ(fault.row, 3);
    uint32_t first = 7;
    sutra_stream_append(index, NULL, DIM, 0, NULL, 1, &first);
    CHECK_EQ(first, 600);
    CHECK_EQ(sutra_stream_rows(index), 600);

    struct sutra_index_options options = stream_options(&stream_kinds[1]);
    struct sutra_index *none = NULL;
    options.m = 9;
    CHECK_EQ(sutra_stream_new(best_kernels(), &options, &none, &fault), SUTRA_E_CONFIG);
    CHECK(none == NULL && strcmp(fault.what, "m") == 0);
    sutra_index_free(index);
    free_model(&model);
}

CHECK_MAIN(CASE(small_indexes_are_scanned), CASE(lifetimes_match_the_definition),
           CASE(a_row_ends_once), CASE(dead_rows_do_not_crowd_out_the_living),
           CASE(appended_rows_are_found_at_once),
           CASE(encoded_rows_are_found_before_they_are_linked), CASE(streaming_costs_little_recall),
           CASE(neighbours_may_come_together), CASE(batches_equal_single_queries),
           CASE(vectors_come_back), CASE(zero_vectors_lie_at_one), CASE(threads_do_not_matter),
           CASE(linking_stops_when_told), CASE(bad_input_is_refused))
