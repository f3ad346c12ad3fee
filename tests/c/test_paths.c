/* Paths against brute force on small random graphs: every simple path written out.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "traverse_cases.h"

enum { PATHS_MAX = 60000, NODES_MAX = CONCEPTS };

struct path {
    double confidence;
    uint32_t length, nodes[NODES_MAX];
    uint16_t kinds[NODES_MAX];
};

static struct path all_paths[PATHS_MAX];
static size_t all_count;

static void walk_paths(const struct graph *graph, struct path *path, uint32_t target, unsigned left)
{
    const uint32_t at = path->nodes[path->length];
    if (at == target) {
        if (all_count < PATHS_MAX)
            all_paths[all_count++] = *path;
        return;
    }
    for (size_t j = 0; j < graph->count && left > 0; j++) {
        const struct edge *edge = &graph->edges[j];
        bool there = false;
        for (uint32_t n = 0; n <= path->length; n++)
            there = there || path->nodes[n] == edge->target;
        if (edge->source != at || there || !counts(graph, edge) || !(edge->confidence > 0))
            continue;
        const double before = path->confidence;
        path->confidence *= edge->confidence < 1 ? (double)edge->confidence : 1;
        path->length++;
        path->nodes[path->length] = edge->target;
        path->kinds[path->length] = edge->kind;
        walk_paths(graph, path, target, left - 1);
        path->length--;
        path->confidence = before;
    }
}

static int compare_paths(const void *a, const void *b)
{
    const struct path *left = a, *right = b;
    if (left->confidence != right->confidence)
        return left->confidence > right->confidence ? -1 : 1;
    if (left->length != right->length)
        return left->length < right->length ? -1 : 1;
    for (uint32_t j = 0; j <= left->length; j++) {
        if (left->nodes[j] != right->nodes[j])
            return left->nodes[j] < right->nodes[j] ? -1 : 1;
    }
    for (uint32_t j = 1; j <= left->length; j++) {
        if (left->kinds[j] != right->kinds[j])
            return left->kinds[j] < right->kinds[j] ? -1 : 1;
    }
    return 0;
}

static bool is_path(const struct answer *answer, size_t place, const struct path *path)
{
    const struct sutra_path *given = &answer->paths[place];
    return given->length == path->length && given->confidence == path->confidence &&
           memcmp(answer->nodes + given->first, path->nodes,
                  (path->length + 1) * sizeof *path->nodes) == 0 &&
           memcmp(answer->kinds + given->first + 1, path->kinds + 1,
                  path->length * sizeof *path->kinds) == 0;
}

static void enumerate(const struct graph *graph, uint32_t source, uint32_t target, unsigned depth)
{
    struct path path = {.confidence = 1, .nodes = {source}};
    all_count = 0;
    if (lives(graph, source) && lives(graph, target))
        walk_paths(graph, &path, target, depth);
    qsort(all_paths, all_count, sizeof *all_paths, compare_paths);
}

static void paths_come_best_first(void)
{
    size_t found = 0, most = 0;
    for (uint64_t seed = 0; seed < (is_slow_place() ? 300 : 2000); seed++) {
        seed_random(seed + 20000);
        struct graph graph;
        make_graph(&graph);
        const uint32_t source = random_below(CONCEPTS), target = random_below(CONCEPTS);
        const unsigned depth = random_below(8);
        const size_t limit = random_below(3) ? 1 + random_below(6) : random_below(2) * 1000;
        enumerate(&graph, source, target, depth);
        REQUIRE(all_count < PATHS_MAX);
        most = all_count > most ? all_count : most;
        graph.traversal.work_max = 10000000;
        for (int j = 0; j < 2; j++) {
            struct answer answer = {0};
            graph.traversal.associations = j ? graph.folded : graph.associations;
            REQUIRE(ask(&graph.traversal, source, target, depth, limit, &answer));
            CHECK(answer.complete);
            CHECK_EQ(answer.count, all_count < limit ? all_count : limit);
            for (size_t p = 0; p < answer.count; p++)
                CHECK(is_path(&answer, p, &all_paths[p]));
            found += answer.count;
            free_answer(&answer);
        }
        free_graph(&graph);
    }
    CHECK(found > 300 && most > 100);
}

/* With less work there are fewer paths, but each is one, and the order holds. */
static void little_work_gives_part_of_it(void)
{
    size_t partial = 0, whole = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        seed_random(seed + 30000);
        struct graph graph;
        make_graph(&graph);
        const uint32_t source = random_below(CONCEPTS), target = random_below(CONCEPTS);
        enumerate(&graph, source, target, 6);
        for (size_t work = 0; work < 3000; work += 1 + work / 8) {
            struct answer answer = {0};
            graph.traversal.work_max = work;
            REQUIRE(ask(&graph.traversal, source, target, 6, 1000, &answer));
            CHECK(answer.count == all_count || (!answer.complete && answer.count < all_count));
            whole += answer.complete;
            partial += !answer.complete && answer.count > 0;
            size_t known = 0;
            for (size_t p = 0; p < answer.count; p++) {
                while (known < all_count && !is_path(&answer, p, &all_paths[known]))
                    known++;
                CHECK(known < all_count);
            }
            free_answer(&answer);
        }
        free_graph(&graph);
    }
    CHECK(partial > 0 && whole > 0);
}

/* Work ends in the middle of a concept: the whole paths that were met still come, best first. */
static void what_was_found_is_handed_out(void)
{
    struct sutra_associations *associations = make(3, 110, 110);
    REQUIRE(associations);
    for (uint32_t spoke = 2; spoke < 102; spoke++)
        sutra_associations_link(associations, 0, spoke, 0, 1, 1, 0, 1);
    for (uint16_t kind = 0; kind < 3; kind++) /* the newest are met first */
        sutra_associations_link(associations, 0, 1, kind, 1, 0.25f * (float)(kind + 1), 0, 1);
    const struct sutra_traversal traversal = {
        .associations = associations, .view = 1, .work_max = 1 + 3 + 2};
    struct answer answer = {0};
    REQUIRE(ask(&traversal, 0, 1, 1, 5, &answer));
    CHECK(!answer.complete);
    REQUIRE(answer.count == 3);
    for (uint16_t j = 0; j < 3; j++)
        CHECK(answer.kinds[answer.paths[j].first + 1] == 2 - j &&
              answer.paths[j].confidence == 0.25 * (3 - j));
    free_answer(&answer);
    sutra_associations_release(associations);
}

/* A lattice of equal edges has millions of ways; the search back keeps it to those that can arrive.
 */
static void the_search_back_saves_work(void)
{
    enum { SIDE = 40 };
    struct sutra_associations *associations = make(1, 4 * SIDE * SIDE, SIDE * SIDE);
    REQUIRE(associations);
    for (uint32_t row = 0; row < SIDE; row++) {
        for (uint32_t column = 0; column + 1 < SIDE; column++) {
            const uint32_t a = row * SIDE + column, b = column * SIDE + row;
            sutra_associations_link(associations, a, a + 1, 0, 1, 1, 0, 1);
            sutra_associations_link(associations, a + 1, a, 0, 1, 1, 0, 1);
            sutra_associations_link(associations, b, b + SIDE, 0, 1, 1, 0, 1);
            sutra_associations_link(associations, b + SIDE, b, 0, 1, 1, 0, 1);
        }
    }
    const struct sutra_traversal traversal = {
        .associations = associations, .view = 1, .work_max = 20000};
    const uint32_t middle = SIDE / 2 * SIDE + SIDE / 2;
    struct answer answer = {0};
    /* 12 steps to one side: one way alone, among 4^12 walks. */
    REQUIRE(ask(&traversal, middle, middle + 12, 12, 5, &answer));
    CHECK(answer.complete);
    CHECK_EQ(answer.count, 1);
    free_answer(&answer);
    sutra_associations_release(associations);
}

CHECK_MAIN(CASE(paths_come_best_first), CASE(little_work_gives_part_of_it),
           CASE(what_was_found_is_handed_out), CASE(the_search_back_saves_work))
