/* Readers of an index while it is added to: what they find is whole, and of adds that are done; an
 * add does not wait for them, nor they for it, and the index it makes is the same without them.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "index/parts.h"

#include "stream_cases.h"

#include <pthread.h>

enum { READERS = 8, K = 10, IDENTITY = 300 };

/* Ids are rows at first. */
static int64_t id_of(size_t row)
{
    return row < IDENTITY ? (int64_t)row : (int64_t)(3 * row + 1);
}

/* The row of an id, or SIZE_MAX: no row has it. */
static size_t row_of(int64_t id)
{
    if (id >= 0 && id < IDENTITY)
        return (size_t)id;
    return id > 3 * IDENTITY && id % 3 == 1 ? (size_t)(id / 3) : SIZE_MAX;
}

struct stage {
    struct sutra_index *index;
    const struct stream_kind *kind;
    const float *vectors;
    int64_t *ids;
    size_t rows;
    size_t done;   /* atomic: rows that every reader finds */
    size_t limit;  /* atomic: rows that a reader may find */
    size_t coming; /* the limit once the add in progress has linked its last row */
    bool cancels;
    bool quiet;      /* atomic: the writer is done */
    size_t searches; /* atomic */
};

static int watch(void *context, size_t done, size_t total)
{
    struct stage *stage = context;
    if (stage->cancels)
        return done > total / 2;
    if (done == total)
        __atomic_store_n(&stage->limit, stage->coming, __ATOMIC_SEQ_CST);
    return 0;
}

/* Add the next `count` rows; some adds are given up half way and begun again with other rows. */
static void add_some(struct stage *stage, size_t first, size_t count, bool cancels)
{
    struct sutra_fault fault;
    const bool links = first >= SUTRA_FLAT_ROWS;
    const int64_t *ids = first + count <= IDENTITY ? NULL : stage->ids + first;
    stage->coming = first + count;
    if (cancels && links) {
        /* Rows whose places others take. */
        stage->cancels = true;
        CHECK_EQ(sutra_index_add(stage->index, stage->vectors, DIM, count, stage->ids + first, NULL,
                                 1, watch, stage, &fault),
                 SUTRA_E_CANCELLED);
        stage->cancels = false;
    }
    if (!links)
        __atomic_store_n(&stage->limit, stage->coming, __ATOMIC_SEQ_CST);
    CHECK_EQ(sutra_index_add(stage->index, stage->vectors + first * DIM, DIM, count, ids, NULL, 1,
                             links ? watch : NULL, stage, &fault),
             SUTRA_OK);
    __atomic_store_n(&stage->done, first + count, __ATOMIC_SEQ_CST);
}

/* Batches of 1 to 700 rows, the same every time. */
static void add_all(struct stage *stage)
{
    uint64_t state = 5;
    for (size_t first = 0; first < stage->rows;) {
        state = sutra_mix64(state);
        const size_t piece = first < IDENTITY                 ? 1 + (size_t)(state % 99)
                             : first < 600 || state >> 40 & 1 ? 1 + (size_t)(state % 40)
                                                              : 1 + (size_t)(state % 700);
        const size_t left = (first < IDENTITY ? IDENTITY : stage->rows) - first;
        const size_t count = piece < left ? piece : left;
        add_some(stage, first, count, (state >> 50) % 3 == 0 && count > 100);
        first += count;
    }
}

static void *write_rows(void *context)
{
    struct stage *stage = context;
    add_all(stage);
    __atomic_store_n(&stage->quiet, true, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Sorted, known, each once, and nothing of an add that had not linked all when we looked. */
static void check_hits(struct stage *stage, const int64_t *ids, const float *distances)
{
    const size_t limit = __atomic_load_n(&stage->limit, __ATOMIC_SEQ_CST);
    for (size_t j = 0; j < K && ids[j] >= 0; j++) {
        CHECK(row_of(ids[j]) < limit);
        CHECK(j == 0 || distances[j] >= distances[j - 1]);
        for (size_t before = 0; before < j; before++)
            CHECK(ids[before] != ids[j]);
    }
}

static void search_one(struct stage *stage, size_t row, unsigned way)
{
    int64_t ids[K], listed[3] = {id_of(row), id_of(row / 2), id_of(row / 3)};
    uint8_t odd[3 * 8192 / 8];
    float distances[K];
    struct sutra_fault fault;
    memset(odd, 0xaa, sizeof odd);
    const struct sutra_id_set sets[2] = {{.bits = odd, .bit_count = sizeof odd * 8},
                                         {.ids = listed, .id_count = 3}};
    const struct sutra_search search = {.queries = stage->vectors + row * DIM,
                                        .stride = DIM,
                                        .count = 1,
                                        .k = K,
                                        .ef = 40,
                                        .exact = way == 1,
                                        .threads = 1,
                                        .sets = way >= 2 ? &sets[way - 2] : NULL};
    CHECK_EQ(sutra_index_search(stage->index, &search, ids, distances, &fault), SUTRA_OK);
    __atomic_fetch_add(&stage->searches, 1, __ATOMIC_RELAXED);
    check_hits(stage, ids, distances);
    bool found = false;
    for (size_t j = 0; j < K && ids[j] >= 0; j++) {
        found = found || ids[j] == listed[0];
        CHECK(way != 2 || ids[j] % 2 == 1);
        CHECK(way != 3 || ids[j] == listed[0] || ids[j] == listed[1] || ids[j] == listed[2]);
    }
    /* By codes others may be as near. */
    if (way == 3 || (way == 1 && stage->kind->keep))
        CHECK(found);
    if (way == 1 && stage->kind->keep)
        CHECK_EQ(ids[0], listed[0]);
}

static void *read_rows(void *context)
{
    struct stage *stage = context;
    struct sutra_index *index = stage->index;
    uint64_t state = (uint64_t)(uintptr_t)&state;
    for (bool quiet = false; !quiet;) {
        quiet = __atomic_load_n(&stage->quiet, __ATOMIC_SEQ_CST);
        const size_t done = __atomic_load_n(&stage->done, __ATOMIC_SEQ_CST);
        if (done == 0)
            continue;
        state = sutra_mix64(state);
        const size_t row = (size_t)(state % done), later = (size_t)(state >> 20) % stage->rows;
        search_one(stage, row, (unsigned)(state >> 40 & 3));
        bool found = false;
        float back[DIM];
        CHECK_EQ(sutra_index_contains(index, id_of(row), &found), SUTRA_OK);
        CHECK(found);
        CHECK_EQ(sutra_index_get(index, id_of(row), back), SUTRA_OK);
        CHECK(distance_between(SUTRA_METRIC_L2, back, stage->vectors + row * DIM) <
              (stage->kind->keep ? 1e-9 : 0.04 * DIM));
        CHECK_EQ(sutra_index_contains(index, id_of(later), &found), SUTRA_OK);
        CHECK(!found || later < __atomic_load_n(&stage->limit, __ATOMIC_SEQ_CST));
        int64_t id;
        CHECK_EQ(sutra_index_ids(index, row, 1, &id), SUTRA_OK);
        CHECK_EQ(id, id_of(row));
        struct sutra_index_stats stats;
        CHECK_EQ(sutra_index_stats(index, &stats), SUTRA_OK);
        CHECK(stats.count >= done);
        CHECK(stats.count <= __atomic_load_n(&stage->limit, __ATOMIC_SEQ_CST));
    }
    return NULL;
}

static struct sutra_index *new_index(const struct stream_kind *kind)
{
    const struct sutra_index_options options = stream_options(kind);
    struct sutra_index *index = NULL;
    struct sutra_fault fault;
    CHECK_EQ(sutra_index_new(best_kernels(), &options, &index, &fault), SUTRA_OK);
    return index;
}

/* Flat, linked, fitted anew at eight times as many rows; from ids that are rows to others. The
 * index that comes of it is, byte for byte, the one that comes of the same adds without readers:
 * its recall as well. */
static void readers_and_a_writer(void)
{
    static const struct stream_kind kinds[] = {{SUTRA_METRIC_COSINE, SUTRA_QUANT_U8, true, 0},
                                               {SUTRA_METRIC_L2, SUTRA_QUANT_U8, false, 0},
                                               {SUTRA_METRIC_L2, SUTRA_QUANT_NONE, true, 0}};
    const size_t rows = is_slow_place() ? 4600 : 8000;
    for (size_t j = 0; j < (is_slow_place() ? 2 : sizeof kinds / sizeof kinds[0]); j++) {
        char with[300], without[300];
        pthread_t writer, readers[READERS];
        seed_random(j);
        float *vectors = random_vectors(rows, DIM);
        int64_t *ids = malloc(rows * sizeof *ids);
        struct stage stage = {
            .index = new_index(&kinds[j]), .kind = &kinds[j], .vectors = vectors, .rows = rows};
        REQUIRE(stage.index != NULL && vectors != NULL && ids != NULL);
        for (size_t row = 0; row < rows; row++)
            ids[row] = id_of(row);
        stage.ids = ids;
        REQUIRE(pthread_create(&writer, NULL, write_rows, &stage) == 0);
        for (int r = 0; r < READERS; r++)
            REQUIRE(pthread_create(&readers[r], NULL, read_rows, &stage) == 0);
        CHECK_EQ(pthread_join(writer, NULL), 0);
        for (int r = 0; r < READERS; r++)
            CHECK_EQ(pthread_join(readers[r], NULL), 0);
        CHECK(stage.searches > READERS);
        struct sutra_fault fault;
        CHECK_EQ(sutra_index_verify(stage.index, true, &fault), SUTRA_OK);
        CHECK(kinds[j].quantization == SUTRA_QUANT_NONE ||
              stage.index->now.fitted_count >= SUTRA_REFIT_GROWTH * SUTRA_FLAT_ROWS);
        (void)path_in_folder(with, sizeof with, "with");
        CHECK_EQ(sutra_index_save(stage.index, with), SUTRA_OK);
        sutra_index_free(stage.index);

        stage.index = new_index(&kinds[j]);
        REQUIRE(stage.index != NULL);
        add_all(&stage);
        (void)path_in_folder(without, sizeof without, "without");
        CHECK_EQ(sutra_index_save(stage.index, without), SUTRA_OK);
        CHECK(same_files(with, without));
        sutra_index_free(stage.index);
        free(vectors);
        free(ids);
    }
}

/* ---- an add that is on its way */

enum { BEFORE = 1500, ADDED = 6000, QUERIES = 40 };

struct middle {
    struct sutra_index *index;
    const float *vectors;
    const struct stream_kind *kind;
    size_t calls, looks;
    size_t right;
    bool gives_up;
};

/* How many of the ten nearest of the rows of before does a walk find? */
static size_t find_right(const struct middle *middle, const float *query)
{
    int64_t ids[K], exact_ids[K];
    float distances[K], exact[K];
    struct sutra_fault fault;
    struct sutra_search search = {
        .queries = query, .stride = DIM, .count = 1, .k = K, .ef = 64, .threads = 1};
    CHECK_EQ(sutra_index_search(middle->index, &search, ids, distances, &fault), SUTRA_OK);
    search.exact = true;
    CHECK_EQ(sutra_index_search(middle->index, &search, exact_ids, exact, &fault), SUTRA_OK);
    size_t right = 0;
    for (size_t j = 0; j < K; j++) {
        CHECK(ids[j] >= 0 && ids[j] < BEFORE && exact_ids[j] < BEFORE);
        right += distances[j] <= exact[K - 1];
    }
    return right;
}

static int look_around(void *context, size_t done, size_t total)
{
    struct middle *middle = context;
    struct sutra_index_stats stats;
    if (middle->calls++ % 16 == 0 || done == total) {
        for (size_t q = 0; q < QUERIES; q++)
            middle->right += find_right(middle, middle->vectors + q * 37 * DIM);
        middle->looks += QUERIES;
        bool found = true;
        CHECK_EQ(sutra_index_contains(middle->index, BEFORE, &found), SUTRA_OK);
        CHECK(!found);
        CHECK_EQ(sutra_index_stats(middle->index, &stats), SUTRA_OK);
        CHECK_EQ(stats.count, BEFORE);
    }
    return middle->gives_up && done > total * 3 / 4;
}

/* The writer itself may look, in the midst of its add: nobody waits. What lists lose to new rows
 * does not cut old ones off. */
static void an_add_on_its_way_is_not_seen(void)
{
    const size_t added = is_slow_place() ? ADDED / 3 : ADDED;
    for (int round = 0; round < (is_slow_place() ? 1 : 4); round++) {
        const struct stream_kind *kind = &stream_kinds[(const int[]){1, 4, 10, 0}[round]];
        struct sutra_fault fault;
        seed_random((uint64_t)round);
        float *vectors = random_vectors(BEFORE + ADDED, DIM);
        struct middle middle = {.index = new_index(kind), .vectors = vectors, .kind = kind};
        REQUIRE(middle.index != NULL && vectors != NULL);
        CHECK_EQ(
            sutra_index_add(middle.index, vectors, DIM, BEFORE, NULL, NULL, 2, NULL, NULL, &fault),
            SUTRA_OK);
        for (int again = 0; again < 2; again++) {
            middle.gives_up = again == 0;
            CHECK_EQ(sutra_index_add(middle.index, vectors + BEFORE * DIM, DIM, added, NULL, NULL,
                                     2, look_around, &middle, &fault),
                     again ? SUTRA_OK : SUTRA_E_CANCELLED);
            CHECK(middle.looks > QUERIES);
            if ((double)middle.right < (kind->recall - 0.02) * (double)(middle.looks * K))
                (void)fprintf(stderr, "round %d: recall %f\n", round,
                              (double)middle.right / (double)(middle.looks * K));
            CHECK((double)middle.right >= (kind->recall - 0.02) * (double)(middle.looks * K));
            middle.right = middle.looks = middle.calls = 0;
        }
        CHECK_EQ(sutra_index_verify(middle.index, true, &fault), SUTRA_OK);
        sutra_index_free(middle.index);
        free(vectors);
    }
}

CHECK_MAIN(CASE(readers_and_a_writer), CASE(an_add_on_its_way_is_not_seen))
