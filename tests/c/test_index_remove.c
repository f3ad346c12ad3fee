/* Removing from an index and replacing in it, against a model that keeps every vector: whatever the
 * order of the calls, the index has what the model has, before and after a file.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "index/parts.h"

#include "stream_cases.h"

enum { IDS = 1700, MOST = 1500 };

static const struct stream_kind kinds[] = {{SUTRA_METRIC_L2, SUTRA_QUANT_U8, true, 0},
                                           {SUTRA_METRIC_L2, SUTRA_QUANT_U8, false, 0},
                                           {SUTRA_METRIC_COSINE, SUTRA_QUANT_U4, true, 0},
                                           {SUTRA_METRIC_L2, SUTRA_QUANT_NONE, true, 0}};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* An index, and what it should have: of each id a row of `vectors`, or SIZE_MAX. */
struct pair {
    struct sutra_index *index;
    const struct stream_kind *kind;
    float *vectors; /* random_vectors, of MOST */
    size_t *has;    /* of IDS */
    size_t count;
    int64_t next_id;
};

static bool make_pair(struct pair *pair, const struct stream_kind *kind)
{
    const struct sutra_index_options options = stream_options(kind);
    struct sutra_fault fault;
    *pair = (struct pair){
        .kind = kind, .vectors = random_vectors(MOST, DIM), .has = malloc(IDS * sizeof *pair->has)};
    for (size_t id = 0; pair->has && id < IDS; id++)
        pair->has[id] = SIZE_MAX;
    return pair->vectors && pair->has &&
           sutra_index_new(best_kernels(), &options, &pair->index, &fault) == SUTRA_OK;
}

static void free_pair(struct pair *pair)
{
    sutra_index_free(pair->index);
    free(pair->vectors);
    free(pair->has);
}

/* ---- changing both */

/* ids NULL: numbered on. */
static int put(struct pair *pair, const int64_t *ids, size_t first, size_t count, bool replace,
               sutra_progress_fn progress)
{
    struct sutra_fault fault;
    int64_t given[MOST];
    const float *vectors = pair->vectors + first * DIM;
    const int status = replace ? sutra_index_upsert(pair->index, vectors, DIM, count, ids, given, 1,
                                                    progress, NULL, &fault)
                               : sutra_index_add(pair->index, vectors, DIM, count, ids, given, 1,
                                                 progress, NULL, &fault);
    for (size_t j = 0; status == SUTRA_OK && j < count; j++) {
        CHECK_EQ(given[j], ids ? ids[j] : pair->next_id + (int64_t)j);
        CHECK(replace || pair->has[given[j]] == SIZE_MAX);
        pair->count += pair->has[given[j]] == SIZE_MAX;
        pair->has[given[j]] = first + j;
    }
    for (size_t j = 0; status == SUTRA_OK && j < count; j++)
        pair->next_id = given[j] >= pair->next_id ? given[j] + 1 : pair->next_id;
    return status;
}

static void removed(struct pair *pair, const int64_t *ids, size_t count)
{
    size_t expected = 0, found = 0;
    for (size_t j = 0; j < count; j++) {
        const bool known = ids[j] >= 0 && ids[j] < IDS && pair->has[ids[j]] != SIZE_MAX;
        expected += known;
        if (known)
            pair->has[ids[j]] = SIZE_MAX;
    }
    pair->count -= expected;
    CHECK_EQ(sutra_index_delete(pair->index, ids, count, 1, &found), SUTRA_OK);
    CHECK_EQ(found, expected);
}

static void remove_range(struct pair *pair, int64_t first, int64_t end)
{
    int64_t ids[IDS];
    for (int64_t id = first; id < end; id++)
        ids[id - first] = id;
    removed(pair, ids, (size_t)(end - first));
}

static void reopen(struct pair *pair, int resident)
{
    char path[300];
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    (void)path_in_folder(path, sizeof path, "pair");
    CHECK_EQ(sutra_index_save(pair->index, path), SUTRA_OK);
    sutra_index_free(pair->index);
    pair->index = NULL;
    const int status = sutra_index_open(best_kernels(), path, resident, &pair->index, &fault);
    if (status != SUTRA_OK)
        (void)fprintf(stderr, "status %d, %s\n", status, fault.what ? fault.what : "");
    CHECK_EQ(status, SUTRA_OK);
}

static int stop_half_way(void *context, size_t done, size_t total)
{
    (void)context;
    return done > total / 2;
}

/* ---- comparing both */

static void check_vector(const struct pair *pair, int64_t id)
{
    float back[DIM];
    const float *given = pair->vectors + pair->has[id] * DIM;
    CHECK_EQ(sutra_index_get(pair->index, id, back), SUTRA_OK);
    if (pair->kind->keep)
        CHECK(memcmp(back, given, sizeof back) == 0);
    else
        CHECK(distance_between(SUTRA_METRIC_L2, back, given) < 0.04 * DIM);
}

static void check_search(const struct pair *pair, size_t row, bool exact)
{
    int64_t ids[4];
    float distances[4];
    struct sutra_fault fault;
    const struct sutra_search search = {.queries = pair->vectors + row * DIM,
                                        .stride = DIM,
                                        .count = 1,
                                        .k = 4,
                                        .ef = 40,
                                        .exact = exact,
                                        .threads = 1};
    CHECK_EQ(sutra_index_search(pair->index, &search, ids, distances, &fault), SUTRA_OK);
    for (size_t j = 0; j < 4; j++) {
        CHECK_EQ(ids[j] >= 0, j < pair->count);
        CHECK(ids[j] < 0 || pair->has[ids[j]] != SIZE_MAX);
        for (size_t before = 0; before < j && ids[j] >= 0; before++)
            CHECK(ids[before] != ids[j]);
    }
}

static void check_pair(const struct pair *pair)
{
    struct sutra_index_stats stats;
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    int64_t ids[IDS];
    REQUIRE(pair->index != NULL);
    CHECK_EQ(sutra_index_verify(pair->index, true, &fault), SUTRA_OK);
    CHECK_EQ(sutra_index_stats(pair->index, &stats), SUTRA_OK);
    CHECK_EQ(stats.count, pair->count);
    CHECK_EQ(pair->index->next_id, pair->next_id);
    CHECK_EQ(sutra_index_ids(pair->index, 0, pair->count, ids), SUTRA_OK);
    for (size_t j = 0; j < pair->count; j++) /* as many as there are, so each of them once */
        CHECK(ids[j] >= 0 && ids[j] < IDS && pair->has[ids[j]] != SIZE_MAX);
    for (int64_t id = 0; id < IDS; id += 1 + (int64_t)random_below(9)) {
        bool found;
        CHECK_EQ(sutra_index_contains(pair->index, id, &found), SUTRA_OK);
        CHECK_EQ(found, pair->has[id] != SIZE_MAX);
        if (found)
            check_vector(pair, id);
    }
    for (int j = 0; j < 4; j++)
        check_search(pair, random_below(MOST), j % 2);
}

/* ---- cases */

/* Ids in steps, so that some are known and some are not. */
static size_t some_ids(int64_t *ids_out)
{
    const size_t count = 1 + random_below(90), step = 1 + random_below(9);
    size_t id = random_below(IDS - count * step);
    for (size_t j = 0; j < count; j++, id += step)
        ids_out[j] = (int64_t)id;
    return count;
}

static void change(struct pair *pair)
{
    int64_t ids[100];
    const size_t count = some_ids(ids), first = random_below(MOST - 100);
    switch (random_below(10)) {
    case 0:
    case 1:
        if (pair->next_id + (int64_t)count < IDS)
            CHECK_EQ(put(pair, NULL, first, count, false, NULL), SUTRA_OK);
        break;
    case 2:
    case 3:
        CHECK_EQ(put(pair, ids, first, count, true, NULL), SUTRA_OK);
        break;
    case 4:
        if (pair->index->now.linked && count > 1)
            CHECK_EQ(put(pair, ids, first, count, true, stop_half_way), SUTRA_E_CANCELLED);
        break;
    case 5:
        CHECK_EQ(sutra_index_compact(pair->index, 1), SUTRA_OK);
        break;
    case 6:
        reopen(pair, SUTRA_RESIDENT_AUTO + (int)random_below(3));
        break;
    case 7:
        CHECK_EQ(sutra_index_set_secure_delete(pair->index, random_below(2)), SUTRA_OK);
        break;
    default:
        removed(pair, ids, count);
    }
}

static void any_order_of_calls(void)
{
    for (size_t round = 0; round < (is_slow_place() ? 4 : 16); round++) {
        struct pair pair;
        seed_random(round);
        REQUIRE(make_pair(&pair, &kinds[round % KINDS]));
        /* Some begin flat and grow into a graph. */
        CHECK_EQ(put(&pair, NULL, 0, round / KINDS % 2 ? 900 : 480, false, NULL), SUTRA_OK);
        for (int step = 0; step < 40 && pair.index; step++) {
            change(&pair);
            check_pair(&pair);
        }
        free_pair(&pair);
    }
}

/* The last ids are gone, but not given again: ids are row numbers, of fewer rows than were
 * numbered.
 */
static void ids_become_row_numbers_again(void)
{
    static const size_t counts[] = {300, 900};
    for (size_t j = 0; j < 2 * KINDS; j++) {
        struct pair pair;
        seed_random(j);
        const size_t count = counts[j % 2];
        REQUIRE(make_pair(&pair, &kinds[j / 2]));
        CHECK_EQ(put(&pair, NULL, 0, count, false, NULL), SUTRA_OK);
        remove_range(&pair, (int64_t)count - 100, (int64_t)count);
        check_pair(&pair);
        CHECK_EQ(put(&pair, NULL, 200, 30, false, NULL), SUTRA_OK);
        CHECK(!pair.index->now.identity_ids);
        remove_range(&pair, (int64_t)count, (int64_t)count + 30);
        for (int again = 0; again < 2; again++) {
            CHECK_EQ(sutra_index_compact(pair.index, 1), SUTRA_OK);
            CHECK(pair.index->now.identity_ids);
            check_pair(&pair);
            reopen(&pair, again ? SUTRA_RESIDENT_MAPPED : SUTRA_RESIDENT_ARENA);
            check_pair(&pair);
            if (!pair.index)
                break;
            CHECK(pair.index->now.identity_ids);
            CHECK_EQ(put(&pair, NULL, 300, 40, false, NULL), SUTRA_OK);
            check_pair(&pair);
            remove_range(&pair, pair.next_id - 40, pair.next_id);
        }
        free_pair(&pair);
    }
}

static void all_may_be_removed(void)
{
    static const size_t counts[] = {1, 300, 900};
    for (size_t j = 0; j < 3 * KINDS; j++) {
        for (int from_file = 0; from_file < 2; from_file++) {
            struct pair pair;
            seed_random(j);
            REQUIRE(make_pair(&pair, &kinds[j / 3]));
            CHECK_EQ(put(&pair, NULL, 0, counts[j % 3], false, NULL), SUTRA_OK);
            if (from_file)
                reopen(&pair, SUTRA_RESIDENT_MAPPED);
            remove_range(&pair, 0, (int64_t)counts[j % 3]);
            check_pair(&pair);
            if (!from_file)
                CHECK_EQ(put(&pair, NULL, 70, 200, false, NULL), SUTRA_OK);
            check_pair(&pair);
            remove_range(&pair, 0, pair.next_id);
            reopen(&pair, SUTRA_RESIDENT_MAPPED);
            check_pair(&pair);
            if (pair.index) {
                CHECK_EQ(put(&pair, NULL, 0, 150, false, NULL), SUTRA_OK);
                check_pair(&pair);
            }
            free_pair(&pair);
        }
    }
}

/* What is mapped from a file is written to in memory alone. */
static void a_mapped_file_stays(void)
{
    for (size_t j = 0; j < KINDS; j++) {
        struct pair pair;
        char path[300];
        seed_random(j);
        REQUIRE(make_pair(&pair, &kinds[j]));
        CHECK_EQ(put(&pair, NULL, 0, 900, false, NULL), SUTRA_OK);
        reopen(&pair, SUTRA_RESIDENT_MAPPED);
        size_t before = 0, after = 0;
        (void)path_in_folder(path, sizeof path, "pair");
        uint8_t *bytes = read_whole(path, &before);
        CHECK_EQ(sutra_index_set_secure_delete(pair.index, true), SUTRA_OK);
        remove_range(&pair, 10, 250);
        check_pair(&pair);
        CHECK_EQ(put(&pair, NULL, 1000, 100, false, stop_half_way), SUTRA_E_CANCELLED);
        check_pair(&pair);
        CHECK_EQ(put(&pair, NULL, 1000, 300, false, NULL), SUTRA_OK);
        check_pair(&pair);
        uint8_t *then = read_whole(path, &after);
        CHECK(bytes && then && before == after && memcmp(bytes, then, before) == 0);
        free(bytes);
        free(then);
        free_pair(&pair);
    }
}

/* Readers get a front without what a cancelled add had begun. */
static void a_cancelled_add_is_taken_back(void)
{
    struct pair pair;
    struct sutra_index_stats stats;
    seed_random(1);
    REQUIRE(make_pair(&pair, &kinds[0]));
    CHECK_EQ(put(&pair, NULL, 0, 900, false, NULL), SUTRA_OK);
    remove_range(&pair, 0, 200);
    const size_t vacant = pair.index->now.vacant_count;
    CHECK_EQ(vacant, 200);
    CHECK_EQ(put(&pair, NULL, 300, 20, false, stop_half_way), SUTRA_E_CANCELLED);
    CHECK_EQ(pair.index->front->vacant_count, vacant);
    CHECK_EQ(pair.index->front->unfinished, 0);
    CHECK_EQ(sutra_index_stats(pair.index, &stats), SUTRA_OK);
    CHECK_EQ(stats.ids_bytes, 0);
    check_pair(&pair);
    free_pair(&pair);
}

static bool is_erased(const struct sutra_front *now, unsigned plane, size_t row)
{
    const uint8_t *bytes = sutra_planes_row(&now->planes, plane, row);
    for (size_t j = 0; j < now->planes.plane[plane].row_bytes; j++) {
        if (bytes[j])
            return false;
    }
    return true;
}

static void check_erased(const struct pair *pair)
{
    static const unsigned planes[] = {SUTRA_PLANE_HIGH, SUTRA_PLANE_LOW, SUTRA_PLANE_CORRECTION,
                                      SUTRA_PLANE_ORIGINAL};
    const struct sutra_front *now = &pair->index->now;
    size_t dead = 0;
    for (size_t row = 0; row < now->count; row++) {
        if (!sutra_front_is_dead(now, row))
            continue;
        dead++;
        for (size_t p = 0; p < 4; p++)
            CHECK(!now->planes.plane[planes[p]].base || is_erased(now, planes[p], row));
    }
    CHECK(dead > 0 && dead == now->dead_count);
}

static void what_is_removed_is_overwritten(void)
{
    static const size_t counts[] = {300, 900};
    for (size_t j = 0; j < 2 * KINDS; j++) {
        struct pair pair;
        int64_t ids[3] = {100, 150, 200};
        seed_random(j);
        REQUIRE(make_pair(&pair, &kinds[j / 2]));
        CHECK_EQ(put(&pair, NULL, 0, counts[j % 2], false, NULL), SUTRA_OK);
        CHECK_EQ(sutra_index_set_secure_delete(pair.index, true), SUTRA_OK);
        remove_range(&pair, 40, 43); /* fewer than a sweep would pay for */
        check_erased(&pair);
        CHECK_EQ(put(&pair, ids, 1000, 3, true, NULL), SUTRA_OK);
        check_erased(&pair);
        check_pair(&pair);
        reopen(&pair, SUTRA_RESIDENT_MAPPED);
        REQUIRE(pair.index != NULL);
        CHECK_EQ(sutra_index_set_secure_delete(pair.index, true), SUTRA_OK);
        removed(&pair, ids, 1);
        check_erased(&pair);
        remove_range(&pair, 0, pair.next_id);
        check_erased(&pair);
        check_pair(&pair);
        free_pair(&pair);
    }
}

CHECK_MAIN(CASE(any_order_of_calls), CASE(ids_become_row_numbers_again), CASE(all_may_be_removed),
           CASE(a_mapped_file_stays), CASE(a_cancelled_add_is_taken_back),
           CASE(what_is_removed_is_overwritten))
