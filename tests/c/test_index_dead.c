/* Rows of a plain index that are dead: no way of reading it finds them, and what lives is found as
 * if they were not there. SPDX-License-Identifier: Apache-2.0
 */
#include "index/parts.h"

#include "stream_cases.h"

enum { K = 10, QUERIES = 60 };

struct fixture {
    struct sutra_index *index;
    float *vectors;
    size_t count;
    const struct stream_kind *kind;
    bool own_ids;
    uint64_t *dead;
};

static int64_t id_of(const struct fixture *fixture, size_t row)
{
    return fixture->own_ids ? (int64_t)(3 * row + 1) : (int64_t)row;
}

static bool lives(const struct fixture *fixture, size_t row)
{
    return !(fixture->dead[row / 64] >> (row % 64) & 1);
}

static bool make_fixture(struct fixture *fixture, const struct stream_kind *kind, size_t count,
                         bool own_ids)
{
    const struct sutra_index_options options = stream_options(kind);
    struct sutra_fault fault;
    *fixture = (struct fixture){.vectors = random_vectors(count, DIM),
                                .count = count,
                                .kind = kind,
                                .own_ids = own_ids,
                                .dead = calloc(count / 64 + 1, sizeof *fixture->dead)};
    int64_t *ids = malloc(count * sizeof *ids);
    for (size_t row = 0; ids && row < count; row++)
        ids[row] = id_of(fixture, row);
    int status = ids && fixture->vectors && fixture->dead ? SUTRA_OK : SUTRA_E_NO_MEMORY;
    if (status == SUTRA_OK)
        status = sutra_index_new(best_kernels(), &options, &fixture->index, &fault);
    if (status == SUTRA_OK)
        status = sutra_index_add(fixture->index, fixture->vectors, DIM, count, ids, NULL, 2, NULL,
                                 NULL, &fault);
    free(ids);
    return status == SUTRA_OK;
}

static void free_fixture(struct fixture *fixture)
{
    sutra_index_free(fixture->index);
    free(fixture->vectors);
    free(fixture->dead);
}

/* About so many of a hundred rows die; returns how many live. */
static size_t kill_rows(struct fixture *fixture, size_t percent)
{
    size_t dead = 0;
    memset(fixture->dead, 0, (fixture->count / 64 + 1) * sizeof *fixture->dead);
    for (size_t row = 0; row < fixture->count; row++) {
        const bool dies = random_below(100) < percent;
        fixture->dead[row / 64] |= (uint64_t)dies << (row % 64);
        dead += dies;
    }
    fixture->index->now.dead = fixture->dead;
    fixture->index->now.dead_count = dead;
    CHECK_EQ(sutra_index_show(fixture->index), SUTRA_OK);
    return fixture->count - dead;
}

/* The distance of the k-th nearest of the living that pass. */
static double farthest_wanted(const struct fixture *fixture, const float *query,
                              const uint8_t *bits, size_t *k_inout)
{
    double best[K];
    size_t count = 0;
    for (size_t row = 0; row < fixture->count; row++) {
        const int64_t id = id_of(fixture, row);
        if (!lives(fixture, row) || (bits && !(bits[id / 8] >> (id % 8) & 1)))
            continue;
        double distance =
            distance_between(fixture->kind->metric, query, fixture->vectors + row * DIM);
        for (size_t j = 0; j < count; j++) {
            if (distance < best[j]) {
                const double other = best[j];
                best[j] = distance;
                distance = other;
            }
        }
        if (count < K)
            best[count++] = distance;
    }
    *k_inout = count;
    return count ? best[count - 1] : 0;
}

/* How many of the true nearest are found; all that is found lives and passes. */
static size_t search(const struct fixture *fixture, size_t q, const uint8_t *bits, bool exact,
                     size_t *wanted_inout)
{
    const size_t bit_count = 3 * fixture->count + 2;
    const float *query = fixture->vectors + q * DIM;
    const struct sutra_id_set set = {.bits = bits, .bit_count = bit_count};
    int64_t ids[K];
    float distances[K];
    struct sutra_plan plan;
    struct sutra_fault fault;
    size_t expected, right = 0;
    const double kth = farthest_wanted(fixture, query, bits, &expected);
    const struct sutra_search what = {.queries = query,
                                      .stride = DIM,
                                      .count = 1,
                                      .k = K,
                                      .ef = 64,
                                      .exact = exact,
                                      .threads = 1,
                                      .sets = bits ? &set : NULL,
                                      .plans_out = &plan};
    CHECK_EQ(sutra_index_search(fixture->index, &what, ids, distances, &fault), SUTRA_OK);
    for (size_t j = 0; j < K; j++) {
        CHECK_EQ(ids[j] >= 0, j < expected);
        if (ids[j] < 0)
            continue;
        const size_t row = (size_t)(fixture->own_ids ? (ids[j] - 1) / 3 : ids[j]);
        CHECK(lives(fixture, row));
        CHECK(!bits || (bits[ids[j] / 8] >> (ids[j] % 8) & 1));
        right += distance_between(fixture->kind->metric, query, fixture->vectors + row * DIM) <=
                 kth + 1e-5;
    }
    *wanted_inout += expected;
    return right;
}

static void searches_find_what_lives(const struct fixture *fixture, const uint8_t *bits)
{
    const double recall = fixture->kind->recall - 0.03;
    size_t found = 0, wanted = 0, exactly = 0, all = 0;
    for (size_t q = 0; q < QUERIES; q++) {
        found += search(fixture, q * 3, bits, false, &wanted);
        exactly += search(fixture, q * 3, bits, true, &all);
    }
    CHECK((double)found >= recall * (double)wanted);
    CHECK(fixture->kind->keep ? exactly == all : (double)exactly >= recall * (double)all);
}

static void reads_find_what_lives(const struct fixture *fixture, size_t alive)
{
    struct sutra_index *index = fixture->index;
    struct sutra_index_stats stats;
    int64_t *ids = malloc((alive + 1) * sizeof *ids);
    REQUIRE(ids != NULL);
    CHECK_EQ(sutra_index_stats(index, &stats), SUTRA_OK);
    CHECK_EQ(stats.count, alive);
    CHECK_EQ(sutra_index_ids(index, 0, alive, ids), SUTRA_OK);
    CHECK_EQ(sutra_index_ids(index, alive, 0, ids), SUTRA_OK);
    CHECK_EQ(sutra_index_ids(index, 1, alive, ids), SUTRA_E_ARGUMENT);
    size_t at = 0;
    for (size_t row = 0; row < fixture->count; row++) {
        const int64_t id = id_of(fixture, row);
        bool found;
        float back[DIM];
        CHECK_EQ(sutra_index_contains(index, id, &found), SUTRA_OK);
        CHECK_EQ(found, lives(fixture, row));
        CHECK_EQ(sutra_index_get(index, id, back), found ? SUTRA_OK : SUTRA_E_NOT_FOUND);
        if (!lives(fixture, row))
            continue;
        int64_t one = -1;
        CHECK_EQ(ids[at], id);
        CHECK_EQ(sutra_index_ids(index, at, 1, &one), SUTRA_OK);
        CHECK_EQ(one, id);
        at++;
    }
    CHECK_EQ(at, alive);
    free(ids);
}

static void dead_rows_are_not_found(void)
{
    static const int kinds[] = {0, 1, 4, 10};
    static const size_t percents[] = {3, 50, 97, 100};
    for (size_t j = 0; j < sizeof kinds / sizeof kinds[0]; j++) {
        for (int linked = 0; linked < 2; linked++) {
            struct fixture fixture;
            seed_random(j);
            const size_t count = linked ? (is_slow_place() ? 2500 : 4000) : 300;
            REQUIRE(make_fixture(&fixture, &stream_kinds[kinds[j]], count, j % 2));
            uint8_t *bits = malloc(3 * count / 8 + 8);
            REQUIRE(bits != NULL);
            for (size_t byte = 0; byte < 3 * count / 8 + 8; byte++)
                bits[byte] = (uint8_t)(random_u64() | random_u64());
            for (size_t p = 0; p < sizeof percents / sizeof percents[0]; p++) {
                const size_t alive = kill_rows(&fixture, percents[p]);
                searches_find_what_lives(&fixture, NULL);
                searches_find_what_lives(&fixture, bits);
                reads_find_what_lives(&fixture, alive);
            }
            free(bits);
            free_fixture(&fixture);
        }
    }
}

CHECK_MAIN(CASE(dead_rows_are_not_found))
