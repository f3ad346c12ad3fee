/* Saved indexes, and several threads on one: every residency answers alike, files are the same
 * bytes for any number of threads, and nothing waits for ever.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "index_cases.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#include "index/index.h"

enum { DIM = 24, KINDS = 9 };

static const struct {
    int metric, quantization;
    bool keep;
    size_t count;
} kinds[KINDS] = {
    {SUTRA_METRIC_COSINE, SUTRA_QUANT_U8, true, 900},
    {SUTRA_METRIC_L2, SUTRA_QUANT_U8, false, 800},
    {SUTRA_METRIC_IP, SUTRA_QUANT_U8, true, 700},
    {SUTRA_METRIC_COSINE, SUTRA_QUANT_U4, false, 700},
    {SUTRA_METRIC_L2, SUTRA_QUANT_U4, true, 600},
    {SUTRA_METRIC_COSINE, SUTRA_QUANT_NONE, true, 600},
    {SUTRA_METRIC_IP, SUTRA_QUANT_NONE, true, 512},
    {SUTRA_METRIC_L2, SUTRA_QUANT_U8, false, 511},
    {SUTRA_METRIC_L2, SUTRA_QUANT_U8, true, 0},
};

static float *rows;

static bool make_rows(void)
{
    seed_random(1);
    if (rows == NULL)
        rows = random_vectors(6000, DIM);
    return rows != NULL;
}

static struct sutra_index *make(size_t kind)
{
    const struct sutra_index_options options = {
        DIM, kinds[kind].metric, 8, 40, kinds[kind].quantization, kinds[kind].keep, 4};
    struct sutra_index *index = NULL;
    struct sutra_fault fault;
    CHECK_EQ(sutra_index_new(best_kernels(), &options, &index, &fault), SUTRA_OK);
    return index;
}

static int add(struct sutra_index *index, size_t first, size_t count, const int64_t *ids,
               unsigned threads)
{
    struct sutra_fault fault;
    return sutra_index_add(index, rows + first * DIM, DIM, count, ids, NULL, threads, NULL, NULL,
                           &fault);
}

static struct sutra_index *open_index(const char *path, int resident)
{
    struct sutra_index *index = NULL;
    struct sutra_fault fault;
    CHECK_EQ(sutra_index_open(best_kernels(), path, resident, &index, &fault), SUTRA_OK);
    return index;
}

static bool is_sound(struct sutra_index *index)
{
    struct sutra_fault fault;
    return sutra_index_verify(index, true, &fault) == SUTRA_OK;
}

enum { QUERIES = 12, K = 9 };

struct answers {
    int64_t ids[2 * QUERIES * K];
    float distances[2 * QUERIES * K];
};

static void ask(struct sutra_index *index, struct answers *answers)
{
    struct sutra_fault fault;
    memset(answers, 0, sizeof *answers);
    for (int exact = 0; exact < 2; exact++)
        CHECK_EQ(sutra_index_search(index,
                                    &(struct sutra_search){.queries = rows + 5900 * DIM,
                                                           .stride = DIM,
                                                           .count = QUERIES,
                                                           .k = K,
                                                           .ef = 50,
                                                           .exact = exact,
                                                           .threads = 2},
                                    answers->ids + exact * QUERIES * K,
                                    answers->distances + exact * QUERIES * K, &fault),
                 SUTRA_OK);
}

static bool answers_as(struct sutra_index *index, const struct answers *expected)
{
    struct answers answers;
    ask(index, &answers);
    return memcmp(&answers, expected, sizeof answers) == 0;
}

static void pause_ms(long milliseconds)
{
    const struct timespec time = {.tv_sec = milliseconds / 1000,
                                  .tv_nsec = milliseconds % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

/* Wait for the planes to be copied into memory. */
static bool wait_for_arena(struct sutra_index *index)
{
    for (int tries = 0; tries < 2000; tries++) {
        struct sutra_index_stats stats;
        if (sutra_index_stats(index, &stats) != SUTRA_OK || stats.arena)
            return true;
        pause_ms(5);
    }
    return false;
}

static void every_residency_answers_alike(void)
{
    char path[256], second[256];
    int64_t ids[1000];
    REQUIRE(make_rows());
    path_in_folder(path, sizeof path, "one");
    path_in_folder(second, sizeof second, "two");
    for (int64_t j = 0; j < 1000; j++)
        ids[j] = j * j + 10;
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct sutra_index *index = make(kind);
        struct answers answers, grown;
        REQUIRE(index != NULL);
        CHECK_EQ(add(index, 0, kinds[kind].count, kind % 2 ? ids : NULL, 2), SUTRA_OK);
        CHECK_EQ(sutra_index_set_tuned_ef(index, 77), SUTRA_OK);
        ask(index, &answers);
        CHECK_EQ(sutra_index_save(index, path), SUTRA_OK);
        for (int resident = SUTRA_RESIDENT_AUTO; resident <= SUTRA_RESIDENT_MAPPED; resident++) {
            struct sutra_index *opened = open_index(path, resident);
            struct sutra_index_stats stats;
            REQUIRE(opened != NULL);
            CHECK(answers_as(opened, &answers));
            CHECK_EQ(sutra_index_stats(opened, &stats), SUTRA_OK);
            CHECK_EQ(stats.tuned_ef, 77);
            CHECK_EQ(stats.count, kinds[kind].count);
            if (resident == SUTRA_RESIDENT_AUTO && stats.linked)
                CHECK(wait_for_arena(opened));
            CHECK(answers_as(opened, &answers));
            CHECK(is_sound(opened));

            /* Saving gives the same bytes; so does saving over the open file. */
            CHECK_EQ(sutra_index_save(opened, second), SUTRA_OK);
            CHECK(same_files(path, second));
            CHECK_EQ(sutra_index_save(opened, path), SUTRA_OK);
            CHECK(same_files(path, second));
            CHECK(answers_as(opened, &answers) && is_sound(opened));

            /* Growth goes the same way in every residency. */
            CHECK_EQ(add(opened, 1000, 700, NULL, 1), SUTRA_OK);
            if (resident == SUTRA_RESIDENT_AUTO)
                ask(opened, &grown);
            CHECK(answers_as(opened, &grown) && is_sound(opened));
            CHECK_EQ(sutra_index_save(opened, second), SUTRA_OK);
            sutra_index_free(opened);
            opened = open_index(second, SUTRA_RESIDENT_MAPPED);
            CHECK(opened && answers_as(opened, &grown) && is_sound(opened));
            sutra_index_free(opened);
        }
        sutra_index_free(index);
    }
    CHECK(unlink(path) == 0 && unlink(second) == 0);
}

static void files_do_not_depend_on_threads(void)
{
    char paths[3][256];
    REQUIRE(make_rows());
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (unsigned t = 0; t < 3; t++) {
            char name[16];
            (void)snprintf(name, sizeof name, "t%u", t);
            path_in_folder(paths[t], sizeof paths[t], name);
            struct sutra_index *index = make(kind);
            REQUIRE(index != NULL);
            CHECK_EQ(add(index, 0, 300, NULL, 1u << t), SUTRA_OK);
            CHECK_EQ(add(index, 300, 300, NULL, 1u << t), SUTRA_OK);
            CHECK_EQ(add(index, 600, is_slow_place() ? 500 : 4500, NULL, 1u << t), SUTRA_OK);
            CHECK_EQ(sutra_index_save(index, paths[t]), SUTRA_OK);
            sutra_index_free(index);
        }
        CHECK(same_files(paths[0], paths[1]) && same_files(paths[0], paths[2]));
    }
    for (unsigned t = 0; t < 3; t++)
        CHECK_EQ(unlink(paths[t]), 0);
}

static void files_that_are_none_are_named(void)
{
    char path[256];
    struct sutra_index *index = NULL;
    struct sutra_fault fault;
    path_in_folder(path, sizeof path, "none");
    CHECK_EQ(sutra_index_open(best_kernels(), path, 0, &index, &fault), ENOENT);
    REQUIRE(write_whole(path, "", 0));
    CHECK_EQ(sutra_index_open(best_kernels(), path, 0, &index, &fault), SUTRA_E_TRUNCATED);
    char *zeros = calloc(1, 8192);
    REQUIRE(zeros != NULL && write_whole(path, zeros, 8192));
    CHECK_EQ(sutra_index_open(best_kernels(), path, 0, &index, &fault), SUTRA_E_NOT_INDEX);
    free(zeros);
    CHECK_EQ(unlink(path), 0);
    path_in_folder(path, sizeof path, "");
    CHECK_EQ(sutra_index_open(best_kernels(), path, 0, &index, &fault), EISDIR);
    CHECK(index == NULL);
    REQUIRE(make_rows());
    index = make(0);
    REQUIRE(index != NULL);
    CHECK(sutra_index_save(index, path) > 0);
    path_in_folder(path, sizeof path, "no/such/folder");
    CHECK_EQ(sutra_index_save(index, path), ENOENT);
    sutra_index_free(index);
}

/* Closed at once, the copier is stopped; changed at once, it leaves the planes alone. */
static void the_copier_never_gets_in_the_way(void)
{
    char path[256];
    REQUIRE(make_rows());
    path_in_folder(path, sizeof path, "copier");
    struct sutra_index *index = make(1);
    REQUIRE(index != NULL);
    CHECK_EQ(add(index, 0, 5000, NULL, 2), SUTRA_OK);
    CHECK_EQ(sutra_index_save(index, path), SUTRA_OK);
    sutra_index_free(index);
    struct answers grown;
    index = open_index(path, SUTRA_RESIDENT_ARENA);
    REQUIRE(index != NULL);
    CHECK_EQ(add(index, 5000, 100, NULL, 2), SUTRA_OK);
    ask(index, &grown);
    sutra_index_free(index);
    for (int round = 0; round < 40; round++) {
        index = open_index(path, SUTRA_RESIDENT_AUTO);
        REQUIRE(index != NULL);
        if (round % 4 == 0)
            sutra_index_close(index);
        if (round % 4 == 1)
            CHECK_EQ(add(index, 5000, 100, NULL, 1), SUTRA_OK);
        if (round % 4 == 2) {
            CHECK(wait_for_arena(index));
            CHECK_EQ(add(index, 5000, 100, NULL, 1), SUTRA_OK);
        }
        if (round % 4 == 1 || round % 4 == 2) {
            CHECK(answers_as(index, &grown));
            CHECK(is_sound(index));
        }
        sutra_index_free(index);
    }
    CHECK_EQ(unlink(path), 0);
}

/* ---- threads */

struct crowd {
    struct sutra_index *index;
    atomic_bool stop;
    atomic_int searches, closed;
};

static void *search_until_told(void *context)
{
    struct crowd *crowd = context;
    for (size_t q = 0; !atomic_load(&crowd->stop); q = (q + 1) % 100) {
        int64_t ids[K];
        float distances[K], vector[DIM];
        bool found;
        struct sutra_fault fault;
        const int status =
            sutra_index_search(crowd->index,
                               &(struct sutra_search){.queries = rows + (5900 + q) * DIM,
                                                      .stride = DIM,
                                                      .count = 1,
                                                      .k = K,
                                                      .ef = 40,
                                                      .exact = q % 16 == 0,
                                                      .threads = 1},
                               ids, distances, &fault);
        if (status == SUTRA_E_CLOSED) {
            atomic_fetch_add(&crowd->closed, 1);
            return NULL;
        }
        CHECK_EQ(status, SUTRA_OK);
        for (size_t j = 1; j < K; j++)
            CHECK(distances[j] >= distances[j - 1]);
        if (q % 8 == 0) {
            const int got = sutra_index_get(crowd->index, (int64_t)q, vector);
            CHECK(got == SUTRA_OK || got == SUTRA_E_CLOSED);
            const int contains = sutra_index_contains(crowd->index, 1000000, &found);
            CHECK(contains == SUTRA_OK || contains == SUTRA_E_CLOSED);
        }
        atomic_fetch_add(&crowd->searches, 1);
    }
    return NULL;
}

enum { SEARCHERS = 4 };

/* Searchers that never pause must not keep a writer, a save or a close waiting. */
static void searches_go_on_beside_changes(void)
{
    char path[256];
    REQUIRE(make_rows());
    path_in_folder(path, sizeof path, "crowd");
    for (int opened = 0; opened < 2; opened++) {
        struct crowd crowd = {.index = opened ? open_index(path, SUTRA_RESIDENT_AUTO) : make(1)};
        pthread_t searchers[SEARCHERS];
        REQUIRE(crowd.index != NULL);
        const size_t before = opened ? 2600 : 100;
        if (!opened)
            CHECK_EQ(add(crowd.index, 0, 100, NULL, 1), SUTRA_OK);
        for (int t = 0; t < SEARCHERS; t++)
            REQUIRE(pthread_create(&searchers[t], NULL, search_until_told, &crowd) == 0);
        while (atomic_load(&crowd.searches) < 10)
            pause_ms(1);
        for (size_t added = 0; added < 2500; added += 250) {
            int64_t ids[250];
            for (size_t j = 0; j < 250; j++)
                ids[j] = (int64_t)(2 * (before + added + j) + 1000);
            CHECK_EQ(add(crowd.index, before + added, 250, ids, 2), SUTRA_OK);
        }
        CHECK_EQ(sutra_index_save(crowd.index, path), SUTRA_OK);
        CHECK(is_sound(crowd.index));
        sutra_index_close(crowd.index);
        for (int t = 0; t < SEARCHERS; t++)
            CHECK_EQ(pthread_join(searchers[t], NULL), 0);
        CHECK_EQ(atomic_load(&crowd.closed), SEARCHERS);
        sutra_index_free(crowd.index);
    }
    CHECK_EQ(unlink(path), 0);
}

static void leave_nothing_behind(void)
{
    char path[256];
    free(rows);
    rows = NULL;
    CHECK_EQ(rmdir(path_in_folder(path, sizeof path, "")), 0);
}

CHECK_MAIN(CASE(every_residency_answers_alike), CASE(files_do_not_depend_on_threads),
           CASE(files_that_are_none_are_named), CASE(the_copier_never_gets_in_the_way),
           CASE(searches_go_on_beside_changes), CASE(leave_nothing_behind))
