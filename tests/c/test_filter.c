/* Searching among some rows: sieves, the ways a filtered query is answered, and that each finds
 * what a look at every row would.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "stream_cases.h"

#include "index/sieve.h"

enum { ROWS = 9000, K = 10, VIEW = 50 };

static bool bit_of(const uint8_t *bits, size_t bit_count, int64_t id)
{
    return id >= 0 && (uint64_t)id < bit_count && (bits[id / 8] >> (id % 8) & 1);
}

/* About one bit in `one_in` set; 0: none. The caller frees it. */
static uint8_t *random_bits(size_t count, size_t one_in)
{
    uint8_t *bits = calloc(count / 8 + 1, 1);
    for (size_t bit = 0; bits && one_in && bit < count; bit++)
        bits[bit / 8] |= (uint8_t)((random_below(one_in) == 0) << (bit % 8));
    return bits;
}

/* ---- indexes: ids are rows, or three times the row and one */

struct fixture {
    struct sutra_index *index;
    float *vectors;
    size_t count;
    int metric;
    bool own_ids;
};

static int64_t id_of(const struct fixture *fixture, size_t row)
{
    return fixture->own_ids ? (int64_t)(3 * row + 1) : (int64_t)row;
}

static bool make_fixture(struct fixture *fixture, const struct stream_kind *kind, size_t count,
                         bool own_ids)
{
    const struct sutra_index_options options = stream_options(kind);
    struct sutra_fault fault;
    *fixture = (struct fixture){NULL, random_vectors(count, DIM), count, kind->metric, own_ids};
    if (!fixture->vectors ||
        sutra_index_new(best_kernels(), &options, &fixture->index, &fault) != SUTRA_OK)
        return false;
    int64_t *ids = malloc(count * sizeof *ids);
    for (size_t row = 0; ids && row < count; row++)
        ids[row] = id_of(fixture, row);
    const int status = ids ? sutra_index_add(fixture->index, fixture->vectors, DIM, count,
                                             own_ids ? ids : NULL, NULL, 2, NULL, NULL, &fault)
                           : SUTRA_E_NO_MEMORY;
    free(ids);
    return status == SUTRA_OK;
}

static void free_fixture(struct fixture *fixture)
{
    sutra_index_free(fixture->index);
    free(fixture->vectors);
}

struct answer {
    int64_t ids[64];
    float distances[64];
    struct sutra_plan plan;
};

static int ask(const struct fixture *fixture, const float *query, const struct sutra_id_set *set,
               size_t k, size_t ef, bool exact, struct answer *answer)
{
    struct sutra_fault fault;
    return sutra_index_search(fixture->index,
                              &(struct sutra_search){.queries = query,
                                                     .stride = DIM,
                                                     .count = 1,
                                                     .k = k,
                                                     .ef = ef,
                                                     .exact = exact,
                                                     .threads = 1,
                                                     .sets = set,
                                                     .plans_out = &answer->plan},
                              answer->ids, answer->distances, &fault);
}

/* The k-th smallest distance of what passes; and how many pass. */
static double kth_passing(const struct fixture *fixture, const float *query, const uint8_t *bits,
                          size_t bit_count, size_t k, size_t *passing_out)
{
    double *all = malloc((fixture->count + 1) * sizeof *all), kth = -(double)INFINITY;
    size_t count = 0;
    for (size_t row = 0; all && row < fixture->count; row++) {
        if (bit_of(bits, bit_count, id_of(fixture, row)))
            all[count++] = distance_between(fixture->metric, query, fixture->vectors + row * DIM);
    }
    if (all && count) {
        qsort(all, count, sizeof *all, compare_doubles);
        kth = all[k < count ? k - 1 : count - 1];
    }
    *passing_out = count;
    free(all);
    return kth;
}

/* An answer holds together: ids that pass, none twice, ascending, padded. Returns how many are as
 * near as the k-th by definition. */
static size_t check_answer(const struct fixture *fixture, const float *query,
                           const struct answer *answer, const uint8_t *bits, size_t bit_count,
                           size_t k, size_t *passing_out)
{
    const double kth = kth_passing(fixture, query, bits, bit_count, k, passing_out);
    size_t count = 0, right = 0;
    while (count < k && answer->ids[count] >= 0)
        count++;
    CHECK_EQ(count, *passing_out < k ? *passing_out : k);
    for (size_t j = 0; j < k; j++) {
        if (j >= count) {
            CHECK(answer->ids[j] == -1 && isinf(answer->distances[j]));
            continue;
        }
        const int64_t id = answer->ids[j];
        CHECK(bit_of(bits, bit_count, id));
        CHECK(j == 0 || answer->distances[j] >= answer->distances[j - 1]);
        for (size_t before = 0; before < j; before++)
            CHECK(answer->ids[before] != id);
        const size_t row = fixture->own_ids ? ((size_t)id - 1) / 3 : (size_t)id;
        right +=
            distance_between(fixture->metric, query, fixture->vectors + row * DIM) <= kth + 1e-5;
    }
    return right;
}

/* ---- tests */

static void sieves_give_the_rows_that_pass(void)
{
    seed_random(1);
    for (int own_ids = 0; own_ids < 2; own_ids++) {
        struct fixture fixture;
        REQUIRE(make_fixture(&fixture, &stream_kinds[9], 700, own_ids));
        struct sutra_reading reading;
        REQUIRE(sutra_index_enter(fixture.index, true, &reading) == SUTRA_OK);
        for (size_t round = 0; round < 40; round++) {
            const size_t bit_count = round % 5 == 0 ? 0 : random_below(own_ids ? 3000 : 1000);
            uint8_t *bits = random_bits(bit_count, round % 4 * round % 4 * 10 + 1);
            int64_t *ids = malloc((bit_count + 1) * sizeof *ids);
            REQUIRE(bits != NULL && ids != NULL);
            size_t id_count = 0;
            for (size_t bit = 0; bit < bit_count; bit++) {
                ids[id_count] = (int64_t)bit;
                id_count += bit_of(bits, bit_count, (int64_t)bit);
            }
            const struct sutra_id_set sets[2] = {{.bits = bits, .bit_count = bit_count},
                                                 {.ids = ids, .id_count = id_count}};
            for (int way = 0; way < 2; way++) {
                struct sutra_sieve sieve;
                REQUIRE(sutra_sieve_make(reading.front, &sets[way], 700, NULL, &sieve) == SUTRA_OK);
                const size_t begin = random_below(700), end = begin + random_below(701 - begin);
                const size_t most = (const size_t[]){1, 7, 64, 256}[round % 4];
                uint32_t rows[256];
                size_t at = begin, got, expected = begin, passing = 0;
                while ((got = sutra_sieve_next(&sieve, &at, end, most, rows)) > 0) {
                    CHECK(got <= most);
                    for (size_t j = 0; j < got; j++) {
                        while (expected < end &&
                               !bit_of(bits, bit_count, id_of(&fixture, expected)))
                            expected++;
                        CHECK_EQ(rows[j], expected);
                        expected++;
                    }
                }
                while (expected < end)
                    CHECK(!bit_of(bits, bit_count, id_of(&fixture, expected++)));
                for (size_t row = 0; row < 700; row++)
                    passing += bit_of(bits, bit_count, id_of(&fixture, row));
                /* A guess where bits may be of ids that the index does not have. */
                if (way == 1 || !own_ids)
                    CHECK_EQ(sieve.passing, passing);
                else
                    CHECK(sieve.passing + 40 >= passing * 2 / 3 &&
                          sieve.passing <= passing * 3 / 2 + 40);
                for (size_t j = 0; j < sieve.seed_count; j++)
                    CHECK(bit_of(bits, bit_count, id_of(&fixture, sieve.seeds[j])));
                CHECK(sieve.seed_count > 0 || passing < 350);
                sutra_sieve_free(&sieve);
            }
            free(bits);
            free(ids);
        }
        sutra_index_leave(fixture.index, &reading);
        free_fixture(&fixture);
    }
}

static void what_passes_is_found(void)
{
    static const size_t one_in[] = {1, 2, 5, 20, 300, 0};
    const size_t count = is_slow_place() ? 3000 : ROWS;
    for (size_t kind = 0; kind < STREAM_KINDS; kind++) {
        struct fixture fixture;
        seed_random(7 + kind);
        REQUIRE(make_fixture(&fixture, &stream_kinds[kind], count, kind % 2));
        const size_t bit_count = 3 * count + 1;
        uint8_t *all = random_bits(bit_count, 1);
        REQUIRE(all != NULL);
        for (size_t share = 0; share < sizeof one_in / sizeof *one_in; share++) {
            uint8_t *bits = random_bits(bit_count, one_in[share]);
            REQUIRE(bits != NULL);
            const struct sutra_id_set set = {.bits = bits, .bit_count = bit_count};
            size_t right = 0, asked = 0, walks = 0, plainly = 0;
            for (size_t q = 0; q < 20; q++) {
                float query[DIM];
                struct answer answer;
                size_t passing;
                for (size_t j = 0; j < DIM; j++)
                    query[j] = random_normal();
                CHECK_EQ(ask(&fixture, query, &set, K, 64, true, &answer), SUTRA_OK);
                const size_t exactly =
                    check_answer(&fixture, query, &answer, bits, bit_count, K, &passing);
                CHECK_EQ(answer.plan.kind, SUTRA_PLAN_SCAN);
                CHECK_EQ(answer.plan.looked, passing);
                if (stream_kinds[kind].keep)
                    CHECK_EQ(exactly, passing < K ? passing : K);
                CHECK_EQ(ask(&fixture, query, &set, K, 32, false, &answer), SUTRA_OK);
                right += check_answer(&fixture, query, &answer, bits, bit_count, K, &passing);
                asked += passing < K ? passing : K;
                walks += answer.plan.kind == SUTRA_PLAN_FILTER_WALK;
                CHECK(answer.plan.looked <= 3 * passing + 200);
                CHECK_EQ(ask(&fixture, query, NULL, K, 32, false, &answer), SUTRA_OK);
                CHECK_EQ(answer.plan.kind, SUTRA_PLAN_WALK);
                plainly += check_answer(&fixture, query, &answer, all, bit_count, K, &passing);
            }
            /* As good as without a filter, at the same width. */
            CHECK(right + asked / 12 >= plainly * asked / 200);
            /* Little is scanned, much is walked. */
            CHECK_EQ(walks, one_in[share] > 0 && one_in[share] <= (count > 6000 ? 2 : 1) ? 20 : 0);
            free(bits);
        }
        free(all);
        free_fixture(&fixture);
    }
}

/* Everything that passes is about as far: four bits a value cannot tell which is nearest. */
static void far_and_even_rows_are_told_apart(void)
{
    const size_t count = 6000;
    for (int part = 0; part < 2; part++) {
        const struct stream_kind *kind = &stream_kinds[part];
        struct fixture fixture = {.vectors = random_vectors(count, DIM), .count = count};
        const struct sutra_index_options options = stream_options(kind);
        struct sutra_fault fault;
        seed_random(5);
        REQUIRE(fixture.vectors != NULL);
        fixture.metric = kind->metric;
        float centre[DIM];
        for (size_t j = 0; j < DIM; j++)
            centre[j] = random_normal();
        for (size_t row = 0; row < count; row += 2) {
            for (size_t j = 0; j < DIM; j++)
                fixture.vectors[row * DIM + j] =
                    centre[j] + 0.002f * fixture.vectors[row * DIM + j];
        }
        CHECK_EQ(sutra_index_new(best_kernels(), &options, &fixture.index, &fault), SUTRA_OK);
        CHECK_EQ(sutra_index_add(fixture.index, fixture.vectors, DIM, count, NULL, NULL, 2, NULL,
                                 NULL, &fault),
                 SUTRA_OK);
        uint8_t *bits = malloc(count / 8 + 1);
        REQUIRE(bits != NULL);
        memset(bits, 0x55, count / 8 + 1);
        const struct sutra_id_set set = {.bits = bits, .bit_count = count};
        size_t right = 0, passing, doubts = 0;
        for (size_t q = 0; q < 20; q++) {
            float query[DIM];
            struct answer answer;
            for (size_t j = 0; j < DIM; j++)
                query[j] = -centre[j] + 0.2f * random_normal();
            CHECK_EQ(ask(&fixture, query, &set, K, 64, false, &answer), SUTRA_OK);
            right += check_answer(&fixture, query, &answer, bits, count, K, &passing);
            doubts += answer.plan.doubtful;
        }
        CHECK(doubts > 0);
        CHECK(right >= 190);
        free(bits);
        free_fixture(&fixture);
    }
}

static void every_query_may_have_its_own(void)
{
    enum { QUERIES = 40 };
    struct fixture fixture;
    seed_random(11);
    REQUIRE(make_fixture(&fixture, &stream_kinds[1], 3000, true));
    float *queries = random_vectors(QUERIES, DIM);
    struct sutra_id_set sets[QUERIES];
    uint8_t *bits[QUERIES];
    int64_t listed[QUERIES] = {0};
    for (size_t q = 0; q < QUERIES; q++) {
        bits[q] = random_bits(9001, q % 5 + 1);
        sets[q] = (struct sutra_id_set){.bits = bits[q], .bit_count = 9001};
        listed[q] = (int64_t)(3 * random_below(3000) + 1);
        if (q % 4 == 3)
            sets[q] = (struct sutra_id_set){.ids = &listed[q], .id_count = 1};
    }
    static int64_t ids[QUERIES * K];
    static float distances[QUERIES * K];
    struct sutra_plan plans[QUERIES];
    struct sutra_fault fault;
    for (unsigned threads = 1; threads < 4; threads++) {
        for (int exact = 0; exact < 2; exact++) {
            CHECK_EQ(sutra_index_search(fixture.index,
                                        &(struct sutra_search){.queries = queries,
                                                               .stride = DIM,
                                                               .count = QUERIES,
                                                               .k = K,
                                                               .ef = 50,
                                                               .exact = exact,
                                                               .threads = threads,
                                                               .sets = sets,
                                                               .set_step = 1,
                                                               .plans_out = plans},
                                        ids, distances, &fault),
                     SUTRA_OK);
            for (size_t q = 0; q < QUERIES; q++) {
                struct answer alone;
                CHECK_EQ(ask(&fixture, queries + q * DIM, &sets[q], K, 50, exact, &alone),
                         SUTRA_OK);
                CHECK(memcmp(alone.ids, ids + q * K, K * sizeof *ids) == 0);
                CHECK(memcmp(alone.distances, distances + q * K, K * sizeof *distances) == 0);
                CHECK_EQ(alone.plan.kind, plans[q].kind);
                if (q % 4 == 3)
                    CHECK(ids[q * K] == listed[q] && ids[q * K + 1] == -1);
            }
        }
    }
    for (size_t q = 0; q < QUERIES; q++)
        free(bits[q]);
    free(queries);
    free_fixture(&fixture);
}

static void small_and_empty_indexes_have_filters(void)
{
    struct fixture fixture;
    seed_random(3);
    REQUIRE(make_fixture(&fixture, &stream_kinds[0], 100, true)); /* no graph yet */
    int64_t ids[] = {301, 1, 4, 4, -5, 2, INT64_MAX, 298};
    struct sutra_id_set set = {.ids = ids, .id_count = 8};
    struct answer answer;
    CHECK_EQ(ask(&fixture, fixture.vectors, &set, 5, 0, false, &answer), SUTRA_OK);
    CHECK(answer.ids[0] == 1 && answer.ids[2] >= 0 && answer.ids[3] == -1);
    CHECK_EQ(answer.plan.passing, 3);
    set.id_count = 0;
    CHECK_EQ(ask(&fixture, fixture.vectors, &set, 5, 0, false, &answer), SUTRA_OK);
    CHECK_EQ(answer.ids[0], -1);
    free_fixture(&fixture);

    const struct sutra_index_options options = stream_options(&stream_kinds[0]);
    struct sutra_fault fault;
    const float query[DIM] = {1};
    fixture = (struct fixture){0};
    CHECK_EQ(sutra_index_new(best_kernels(), &options, &fixture.index, &fault), SUTRA_OK);
    set.id_count = 8;
    CHECK_EQ(ask(&fixture, query, &set, 5, 0, false, &answer), SUTRA_OK);
    CHECK_EQ(answer.ids[0], -1);
    free_fixture(&fixture);
}

/* ---- streams: labels that several rows have, rows that are dead, unborn or not linked */

static size_t right_among(const struct model *model, const float *query, const struct found *found,
                          const uint8_t *bits, size_t bit_count, size_t *wanted_out)
{
    double *all = malloc((model->count + 1) * sizeof *all);
    size_t count = 0, right = 0;
    for (size_t row = 0; all && row < model->count; row++) {
        if (is_visible(model, row, VIEW) && bit_of(bits, bit_count, model->labels[row]))
            all[count++] = distance_between(model->metric, query, model->vectors + row * DIM);
    }
    *wanted_out = count < K ? count : K;
    if (all && count)
        qsort(all, count, sizeof *all, compare_doubles);
    for (size_t j = 0; all && j < K && found->rows[j] >= 0; j++) {
        CHECK(bit_of(bits, bit_count, found->labels[j]));
        right +=
            distance_between(model->metric, query, model->vectors + (size_t)found->rows[j] * DIM) <=
            all[*wanted_out - 1] + 1e-5;
    }
    free(all);
    return right;
}

static void streams_sift_by_label_and_lifetime(void)
{
    static const size_t one_in[] = {1, 2, 6, 40, 500};
    const size_t count = is_slow_place() ? 2500 : 6000;
    for (size_t kind = 0; kind < STREAM_KINDS; kind++) {
        struct sutra_index *index = new_stream(&stream_kinds[kind]);
        struct model model;
        seed_random(60 + kind);
        REQUIRE(index != NULL && make_model(&model, stream_kinds[kind].metric, count + 900));
        append_rows(&model, index, count, 1);
        CHECK_EQ(sutra_stream_link(index, count, 2, NULL, NULL), SUTRA_OK);
        append_rows(&model, index, 500, VIEW);
        append_rows(&model, index, 400, VIEW + 1);
        for (size_t row = 0; row < count + 900; row += 3)
            end_row(&model, index, row, row % 2 ? VIEW + 5 : 10);
        for (size_t share = 0; share < sizeof one_in / sizeof *one_in; share++) {
            uint8_t *bits = random_bits(990, one_in[share]);
            const struct sutra_id_set set = {.bits = bits, .bit_count = 990};
            struct sutra_plan plan;
            size_t right = 0, asked = 0;
            for (size_t q = 0; q < 20; q++) {
                float query[DIM];
                struct found found;
                struct sutra_fault fault;
                size_t wanted;
                for (size_t j = 0; j < DIM; j++)
                    query[j] = random_normal();
                for (int exact = 0; exact < 2; exact++) {
                    CHECK_EQ(sutra_stream_search(index,
                                                 &(struct sutra_search){.queries = query,
                                                                        .stride = DIM,
                                                                        .count = 1,
                                                                        .k = K,
                                                                        .ef = 32,
                                                                        .exact = exact,
                                                                        .threads = 1,
                                                                        .sets = &set,
                                                                        .plans_out = &plan},
                                                 VIEW, found.labels, found.rows, found.distances,
                                                 &fault),
                             SUTRA_OK);
                    const size_t shown = check_found(&model, &found, K, VIEW);
                    const size_t good = right_among(&model, query, &found, bits, 990, &wanted);
                    CHECK_EQ(shown, wanted);
                    if (exact && stream_kinds[kind].keep)
                        CHECK_EQ(good, wanted);
                    right += exact ? 0 : good;
                }
                asked += wanted;
            }
            /* Half as wide as the recall is for. */
            CHECK((double)right >= (stream_kinds[kind].recall - 0.1) * (double)asked);
            free(bits);
        }
        int64_t label = 4;
        const struct sutra_id_set list = {.ids = &label, .id_count = 1};
        struct found found;
        struct sutra_fault fault;
        CHECK_EQ(sutra_stream_search(index,
                                     &(struct sutra_search){.queries = model.vectors,
                                                            .stride = DIM,
                                                            .count = 1,
                                                            .k = 1,
                                                            .threads = 1,
                                                            .sets = &list},
                                     VIEW, found.labels, NULL, found.distances, &fault),
                 SUTRA_E_ARGUMENT);
        sutra_index_free(index);
        free_model(&model);
    }
}

CHECK_MAIN(CASE(sieves_give_the_rows_that_pass), CASE(what_passes_is_found),
           CASE(far_and_even_rows_are_told_apart), CASE(every_query_may_have_its_own),
           CASE(small_and_empty_indexes_have_filters), CASE(streams_sift_by_label_and_lifetime))
