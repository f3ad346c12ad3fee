/* Readers of an index from which a writer removes, and in which it replaces: what they find was
 * there, whole, each id once; what becomes of it is sound, and as good as an index made anew.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "index/parts.h"

#include "stream_cases.h"

#include <pthread.h>

enum { READERS = 8, K = 10, LIVE = 1400, STEP = 140, TURNS = 14 };

/* An id has one vector before it is replaced and another afterwards. */
struct stage {
    struct sutra_index *index;
    const struct stream_kind *kind;
    float *vectors;  /* random_vectors, of 2 * LIVE; those of ids follow one another, over again */
    int64_t highest; /* atomic: no id from here on was ever given */
    /* Atomic: ids between the two are there, whether they are being replaced or not. */
    int64_t kept_from, kept_to;
    bool empties;    /* now and then nothing is there */
    bool quiet;      /* atomic: the writer is done */
    size_t searches; /* atomic */
};

static const float *vector_of(const struct stage *stage, int64_t id, bool replaced)
{
    return stage->vectors + ((size_t)id % LIVE + (replaced ? LIVE : 0)) * DIM;
}

static bool is_whole(const struct stage *stage, int64_t id, const float *vector)
{
    return memcmp(vector, vector_of(stage, id, false), DIM * sizeof *vector) == 0 ||
           memcmp(vector, vector_of(stage, id, true), DIM * sizeof *vector) == 0;
}

static bool is_near(double a, double b)
{
    return fabs(a - b) <= 1e-4 * (1.0 + fabs(a));
}

/* ---- the writer */

static void put(struct stage *stage, int64_t first, size_t count, bool replaced)
{
    struct sutra_fault fault;
    float vectors[STEP * DIM];
    int64_t ids[STEP];
    for (size_t j = 0; j < count; j++) {
        ids[j] = first + (int64_t)j;
        memcpy(vectors + j * DIM, vector_of(stage, ids[j], replaced), DIM * sizeof *vectors);
    }
    if (!replaced && !stage->empties)
        __atomic_store_n(&stage->highest, first + (int64_t)count, __ATOMIC_SEQ_CST);
    const int status = replaced ? sutra_index_upsert(stage->index, vectors, DIM, count, ids, NULL,
                                                     2, NULL, NULL, &fault)
                                : sutra_index_add(stage->index, vectors, DIM, count, ids, NULL, 2,
                                                  NULL, NULL, &fault);
    CHECK_EQ(status, SUTRA_OK);
    if (!replaced && !stage->empties)
        __atomic_store_n(&stage->kept_to, first + (int64_t)count, __ATOMIC_SEQ_CST);
}

static void turn(struct stage *stage, size_t number, bool saves)
{
    int64_t ids[STEP];
    size_t removed = 0;
    char path[300];
    const int64_t oldest = (int64_t)number * STEP, newest = oldest + LIVE;
    for (size_t j = 0; j < STEP; j++)
        ids[j] = oldest + (int64_t)j;
    __atomic_store_n(&stage->kept_from, newest - LIVE + STEP, __ATOMIC_SEQ_CST);
    CHECK_EQ(sutra_index_delete(stage->index, ids, STEP, 2, &removed), SUTRA_OK);
    CHECK_EQ(removed, STEP);
    put(stage, newest, STEP, false);
    put(stage, oldest + LIVE / 2, STEP / 2, true);
    if (number % 5 == 3)
        CHECK_EQ(sutra_index_compact(stage->index, 2), SUTRA_OK);
    if (number % 5 == 1 && saves) {
        (void)path_in_folder(path, sizeof path, "meanwhile");
        CHECK_EQ(sutra_index_save(stage->index, path), SUTRA_OK);
    }
    CHECK_EQ(sutra_index_set_secure_delete(stage->index, number % 4 == 2), SUTRA_OK);
}

static void *write_rows(void *context)
{
    struct stage *stage = context;
    for (size_t number = 0; number < TURNS; number++)
        turn(stage, number, true);
    __atomic_store_n(&stage->quiet, true, __ATOMIC_SEQ_CST);
    return NULL;
}

/* ---- readers */

static void check_hits(struct stage *stage, const float *query, const int64_t *ids,
                       const float *distances)
{
    const int64_t highest = __atomic_load_n(&stage->highest, __ATOMIC_SEQ_CST);
    for (size_t j = 0; j < K && ids[j] >= 0; j++) {
        CHECK(ids[j] < highest);
        CHECK(j == 0 || distances[j] >= distances[j - 1]);
        for (size_t before = 0; before < j; before++)
            CHECK(ids[before] != ids[j]);
        if (!stage->kind->keep)
            continue;
        const double old =
            distance_between(SUTRA_METRIC_L2, query, vector_of(stage, ids[j], false));
        const double new = distance_between(SUTRA_METRIC_L2, query, vector_of(stage, ids[j], true));
        CHECK(is_near(old, distances[j]) || is_near(new, distances[j]));
    }
}

static void search_one(struct stage *stage, uint64_t state)
{
    static const unsigned ways = 4;
    const int64_t highest = __atomic_load_n(&stage->highest, __ATOMIC_SEQ_CST);
    int64_t ids[K], listed[3];
    uint8_t odd[(LIVE + TURNS * STEP) / 8 + 8];
    float distances[K];
    struct sutra_fault fault;
    const unsigned way = (unsigned)(state >> 40) % ways;
    for (size_t j = 0; j < 3; j++)
        listed[j] = (int64_t)((state >> 8 * j) % (uint64_t)highest);
    memset(odd, 0xaa, sizeof odd);
    const struct sutra_id_set sets[2] = {{.bits = odd, .bit_count = sizeof odd * 8},
                                         {.ids = listed, .id_count = 3}};
    const float *query = stage->vectors + (size_t)(state % (2 * LIVE)) * DIM;
    const struct sutra_search search = {.queries = query,
                                        .stride = DIM,
                                        .count = 1,
                                        .k = K,
                                        .ef = 40,
                                        .exact = way == 1,
                                        .threads = 1,
                                        .sets = way >= 2 ? &sets[way - 2] : NULL};
    CHECK_EQ(sutra_index_search(stage->index, &search, ids, distances, &fault), SUTRA_OK);
    __atomic_fetch_add(&stage->searches, 1, __ATOMIC_RELAXED);
    check_hits(stage, query, ids, distances);
    for (size_t j = 0; j < K && ids[j] >= 0; j++) {
        CHECK(way != 2 || ids[j] % 2 == 1);
        CHECK(way != 3 || ids[j] == listed[0] || ids[j] == listed[1] || ids[j] == listed[2]);
    }
    if (way < 2 && !stage->empties) /* there are always enough */
        CHECK(ids[K - 1] >= 0);
}

/* What is being replaced is there all the while, with one vector or the other. */
static void get_kept(const struct stage *stage, uint64_t state)
{
    const int64_t from = __atomic_load_n(&stage->kept_from, __ATOMIC_SEQ_CST);
    const int64_t to = __atomic_load_n(&stage->kept_to, __ATOMIC_SEQ_CST);
    if (from >= to)
        return;
    const int64_t id = from + (int64_t)(state % (uint64_t)(to - from));
    float back[DIM];
    const int status = sutra_index_get(stage->index, id, back);
    if (id < __atomic_load_n(&stage->kept_from, __ATOMIC_SEQ_CST))
        return;
    CHECK_EQ(status, SUTRA_OK);
    const double old = distance_between(SUTRA_METRIC_L2, back, vector_of(stage, id, false));
    const double new = distance_between(SUTRA_METRIC_L2, back, vector_of(stage, id, true));
    CHECK((old < new ? old : new) < (stage->kind->keep ? 1e-9 : 0.04 * DIM));
}

static void *read_rows(void *context)
{
    struct stage *stage = context;
    uint64_t state = (uint64_t)(uintptr_t)&state;
    for (bool quiet = false; !quiet;) {
        quiet = __atomic_load_n(&stage->quiet, __ATOMIC_SEQ_CST);
        state = sutra_mix64(state);
        search_one(stage, state);
        const int64_t highest = __atomic_load_n(&stage->highest, __ATOMIC_SEQ_CST);
        const int64_t id = (int64_t)((state >> 10) % (uint64_t)highest);
        float back[DIM];
        int64_t first;
        bool found;
        const int status = sutra_index_get(stage->index, id, back);
        CHECK(status == SUTRA_OK || status == SUTRA_E_NOT_FOUND);
        CHECK(status != SUTRA_OK || !stage->kind->keep || is_whole(stage, id, back));
        CHECK_EQ(sutra_index_contains(stage->index, id, &found), SUTRA_OK);
        get_kept(stage, state >> 20);
        if (stage->empties)
            continue;
        CHECK_EQ(sutra_index_ids(stage->index, (size_t)(state % (LIVE / 2)), 1, &first), SUTRA_OK);
        CHECK(first >= 0 && first < __atomic_load_n(&stage->highest, __ATOMIC_SEQ_CST));
    }
    return NULL;
}

/* ---- what is left */

static double recall_of(struct sutra_index *index, const struct stage *stage)
{
    int64_t ids[K];
    float near[K], exact[K];
    size_t right = 0, queries = 0;
    struct sutra_fault fault;
    for (size_t q = 0; q < 2 * LIVE; q += 7, queries++) {
        struct sutra_search search = {.queries = stage->vectors + q * DIM,
                                      .stride = DIM,
                                      .count = 1,
                                      .k = K,
                                      .ef = 40,
                                      .threads = 1};
        CHECK_EQ(sutra_index_search(index, &search, ids, near, &fault), SUTRA_OK);
        search.exact = true;
        CHECK_EQ(sutra_index_search(index, &search, ids, exact, &fault), SUTRA_OK);
        for (size_t j = 0; j < K; j++)
            right += near[j] <= exact[K - 1];
    }
    return (double)right / (double)(queries * K);
}

static struct sutra_index *new_index(const struct stream_kind *kind)
{
    const struct sutra_index_options options = stream_options(kind);
    struct sutra_index *index = NULL;
    struct sutra_fault fault;
    CHECK_EQ(sutra_index_new(best_kernels(), &options, &index, &fault), SUTRA_OK);
    return index;
}

/* The same content, never changed. */
static void compare_with_fresh(const struct stage *stage)
{
    struct stage fresh = *stage;
    struct sutra_index_stats stats;
    const int64_t oldest = TURNS * STEP;
    fresh.index = new_index(stage->kind);
    for (int64_t id = oldest; id < oldest + LIVE; id += STEP)
        put(&fresh, id, STEP, false);
    for (size_t number = 0; number < TURNS; number++) {
        const int64_t id = (int64_t)number * STEP + LIVE / 2;
        for (int64_t at = id < oldest ? oldest : id; at < id + STEP / 2; at++)
            put(&fresh, at, 1, true);
    }
    CHECK_EQ(sutra_index_stats(stage->index, &stats), SUTRA_OK);
    CHECK_EQ(stats.count, LIVE);
    const double turned = recall_of(stage->index, stage), anew = recall_of(fresh.index, &fresh);
    if (turned < anew - 0.005)
        (void)fprintf(stderr, "recall %f, anew %f\n", turned, anew);
    CHECK(turned >= anew - 0.005);
    sutra_index_free(fresh.index);
}

static void readers_beside_turnovers(void)
{
    static const struct stream_kind kinds[] = {{SUTRA_METRIC_L2, SUTRA_QUANT_U8, true, 0},
                                               {SUTRA_METRIC_L2, SUTRA_QUANT_U8, false, 0},
                                               {SUTRA_METRIC_L2, SUTRA_QUANT_NONE, true, 0}};
    for (size_t j = 0; j < (is_slow_place() ? 2 : sizeof kinds / sizeof kinds[0]); j++) {
        pthread_t writer, readers[READERS];
        struct sutra_fault fault;
        seed_random(j);
        struct stage stage = {.kind = &kinds[j], .vectors = random_vectors((size_t)2 * LIVE, DIM)};
        stage.index = new_index(&kinds[j]);
        REQUIRE(stage.index != NULL && stage.vectors != NULL);
        for (int64_t id = 0; id < LIVE; id += STEP)
            put(&stage, id, STEP, false);
        REQUIRE(pthread_create(&writer, NULL, write_rows, &stage) == 0);
        for (int r = 0; r < READERS; r++)
            REQUIRE(pthread_create(&readers[r], NULL, read_rows, &stage) == 0);
        CHECK_EQ(pthread_join(writer, NULL), 0);
        for (int r = 0; r < READERS; r++)
            CHECK_EQ(pthread_join(readers[r], NULL), 0);
        CHECK(stage.searches > READERS);
        CHECK_EQ(sutra_index_verify(stage.index, true, &fault), SUTRA_OK);
        compare_with_fresh(&stage);
        sutra_index_free(stage.index);
        free(stage.vectors);
    }
}

/* Rows are written anew while readers may still have set out from them. */
static void readers_beside_emptying(void)
{
    enum { ROWS = 5 * STEP, AGAIN = 40 }; /* enough to be linked; once they are, fewer will do */
    static const struct stream_kind kinds[] = {{SUTRA_METRIC_L2, SUTRA_QUANT_U8, true, 0},
                                               {SUTRA_METRIC_L2, SUTRA_QUANT_NONE, true, 0}};
    int64_t ids[ROWS];
    for (int64_t id = 0; id < ROWS; id++)
        ids[id] = id;
    for (size_t j = 0; j < (is_slow_place() ? 1 : sizeof kinds / sizeof kinds[0]); j++) {
        pthread_t readers[READERS];
        struct sutra_fault fault;
        seed_random(j);
        struct stage stage = {.kind = &kinds[j],
                              .vectors = random_vectors((size_t)2 * LIVE, DIM),
                              .highest = ROWS,
                              .empties = true};
        stage.index = new_index(&kinds[j]);
        REQUIRE(stage.index != NULL && stage.vectors != NULL);
        for (int64_t id = 0; id < ROWS; id += STEP)
            put(&stage, id, STEP, false);
        CHECK(stage.index->now.linked);
        for (int r = 0; r < READERS; r++)
            REQUIRE(pthread_create(&readers[r], NULL, read_rows, &stage) == 0);
        for (size_t number = 0; number < (is_slow_place() ? 6 : 30); number++) {
            size_t removed;
            CHECK_EQ(sutra_index_set_secure_delete(stage.index, number % 3 == 1), SUTRA_OK);
            CHECK_EQ(sutra_index_delete(stage.index, ids, ROWS, 2, &removed), SUTRA_OK);
            CHECK_EQ(removed, number ? AGAIN : ROWS);
            put(&stage, 0, AGAIN, number % 2);
            CHECK_EQ(sutra_index_verify(stage.index, true, &fault), SUTRA_OK);
        }
        __atomic_store_n(&stage.quiet, true, __ATOMIC_SEQ_CST);
        for (int r = 0; r < READERS; r++)
            CHECK_EQ(pthread_join(readers[r], NULL), 0);
        CHECK(stage.searches > READERS);
        CHECK_EQ(sutra_index_verify(stage.index, true, &fault), SUTRA_OK);
        sutra_index_free(stage.index);
        free(stage.vectors);
    }
}

/* The same calls give the same file, with readers and without. */
static void readers_change_nothing(void)
{
    static const struct stream_kind kind = {SUTRA_METRIC_L2, SUTRA_QUANT_U8, true, 0};
    char paths[2][300];
    for (int alone = 0; alone < 2; alone++) {
        pthread_t reader;
        seed_random(3);
        struct stage stage = {.kind = &kind, .vectors = random_vectors((size_t)2 * LIVE, DIM)};
        stage.index = new_index(&kind);
        REQUIRE(stage.index != NULL && stage.vectors != NULL);
        for (int64_t id = 0; id < LIVE; id += STEP)
            put(&stage, id, STEP, false);
        if (!alone)
            REQUIRE(pthread_create(&reader, NULL, read_rows, &stage) == 0);
        for (size_t number = 0; number < TURNS / 2; number++)
            turn(&stage, number, false);
        __atomic_store_n(&stage.quiet, true, __ATOMIC_SEQ_CST);
        if (!alone)
            CHECK_EQ(pthread_join(reader, NULL), 0);
        (void)path_in_folder(paths[alone], sizeof paths[alone], alone ? "alone" : "watched");
        CHECK_EQ(sutra_index_save(stage.index, paths[alone]), SUTRA_OK);
        sutra_index_free(stage.index);
        free(stage.vectors);
    }
    CHECK(same_files(paths[0], paths[1]));
}

CHECK_MAIN(CASE(readers_beside_turnovers), CASE(readers_beside_emptying),
           CASE(readers_change_nothing))
