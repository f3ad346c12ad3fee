/* Expanding and spreading against brute force on small random graphs, every walk written out; and
 * what happens without work, life or sense.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "traverse_cases.h"

/* ---- expand */

/* The best product of the walks of exactly `left` edges more, for each end. */
static void walk_all(const struct graph *graph, uint32_t from, unsigned left, float score,
                     float best[CONCEPTS])
{
    if (left == 0) {
        best[from] = score > best[from] ? score : best[from];
        return;
    }
    for (size_t j = 0; j < graph->count; j++) {
        const struct edge *edge = &graph->edges[j];
        if (edge->source == from && counts(graph, edge))
            walk_all(graph, edge->target, left - 1, score * (edge->weight > 0 ? edge->weight : 0),
                     best);
    }
}

/* The one that should be named: the earliest place, the lowest kind. */
static void check_parent(const struct graph *graph, const struct sutra_reached *all, size_t place)
{
    const struct sutra_reached *node = &all[place];
    uint32_t parent = UINT32_MAX;
    uint16_t kind = SUTRA_NO_KIND;
    for (uint32_t p = 0; p < place && parent == UINT32_MAX; p++) {
        for (size_t j = 0; j < graph->count; j++) {
            const struct edge *edge = &graph->edges[j];
            if (counts(graph, edge) && edge->source == all[p].concept &&
                edge->target == node->concept && all[p].hops + 1 == node->hops &&
                all[p].score * (edge->weight > 0 ? edge->weight : 0) == node->score) {
                parent = p;
                kind = edge->kind < kind ? edge->kind : kind;
            }
        }
    }
    CHECK_EQ(node->parent, parent);
    CHECK_EQ(node->kind, kind);
}

static void check_expand(const struct graph *graph, const struct sutra_reached *reached,
                         size_t count, const uint32_t *starts, size_t start_count, unsigned hops,
                         size_t limit)
{
    unsigned distance[CONCEPTS];
    float best[CONCEPTS];
    bool is_start[CONCEPTS] = {false};
    size_t first = 0, expected = 0;
    for (size_t j = 0; j < start_count; j++) {
        if (is_start[starts[j]] || !lives(graph, starts[j]))
            continue;
        is_start[starts[j]] = true;
        CHECK_EQ(reached[first].concept, starts[j]);
        CHECK(reached[first].parent == UINT32_MAX && reached[first].hops == 0);
        first++;
    }
    for (uint32_t c = 0; c < CONCEPTS; c++) {
        best[c] = -1;
        distance[c] = is_start[c] ? 0 : UINT32_MAX;
        for (unsigned hop = 1; hop <= hops && distance[c] == UINT32_MAX; hop++) {
            float reach[CONCEPTS];
            for (size_t j = 0; j < CONCEPTS; j++)
                reach[j] = -1;
            for (size_t j = 0; j < first; j++)
                walk_all(graph, reached[j].concept, hop, 1, reach);
            if (reach[c] >= 0) {
                distance[c] = hop;
                best[c] = reach[c];
            }
        }
        expected += distance[c] != UINT32_MAX && distance[c] > 0;
    }
    CHECK_EQ(count - first, expected < limit ? expected : limit);
    for (size_t place = first; place < count; place++) {
        const struct sutra_reached *node = &reached[place], *before = node - 1;
        CHECK_EQ(node->hops, distance[node->concept]);
        CHECK(node->score == best[node->concept]);
        check_parent(graph, reached, place);
        if (place > first)
            CHECK(before->hops < node->hops ||
                  (before->hops == node->hops &&
                   (before->score > node->score ||
                    (before->score == node->score && before->concept < node->concept))));
    }
    /* Nothing nearer is left out. */
    for (uint32_t c = 0; c < CONCEPTS && count - first == limit && limit > 0; c++) {
        const struct sutra_reached *last = &reached[count - 1];
        bool there = distance[c] == UINT32_MAX || is_start[c];
        for (size_t place = first; place < count; place++)
        there = there || reached[place].concept == c;
        CHECK(there || distance[c] > last->hops ||
              (distance[c] == last->hops &&
               (best[c] < last->score || (best[c] == last->score && c > last->concept))));
    }
}

static void expand_finds_the_nearest(void)
{
    for (uint64_t seed = 0; seed < (is_slow_place() ? 300 : 1500); seed++) {
        seed_random(seed);
        struct graph graph;
        make_graph(&graph);
        uint32_t starts[4];
        const size_t start_count = random_below(5);
        for (size_t j = 0; j < 4; j++)
            starts[j] = random_below(CONCEPTS);
        const unsigned hops = random_below(5);
        const size_t limit = random_below(2) ? 100 : random_below(5);
        struct sutra_reached *reached[2] = {NULL};
        size_t count[2], first[2];
        bool complete[2];
        for (int j = 0; j < 2; j++) {
            graph.traversal.associations = j ? graph.folded : graph.associations;
            REQUIRE(sutra_expand(&graph.traversal, starts, start_count, hops, limit, &reached[j],
                                 &count[j], &first[j], &complete[j]) == SUTRA_OK);
            CHECK(complete[j]);
        }
        CHECK(count[0] == count[1] && first[0] == first[1]);
        CHECK(count[0] == 0 || memcmp(reached[0], reached[1], count[0] * sizeof **reached) == 0);
        check_expand(&graph, reached[0], count[0], starts, start_count, hops, limit);
        free(reached[0]);
        free(reached[1]);
        free_graph(&graph);
    }
}

/* ---- spread */

static void spread_all(const struct graph *graph, uint32_t from, unsigned left, float score,
                       float decay, float best[CONCEPTS])
{
    best[from] = score > best[from] ? score : best[from];
    for (size_t j = 0; j < graph->count && left > 0; j++) {
        const struct edge *edge = &graph->edges[j];
        const float next =
            score * decay * at_most_one(edge->weight) * at_most_one(edge->confidence);
        if (edge->source == from && counts(graph, edge) && score > 0 && next > 0)
            spread_all(graph, edge->target, left - 1, next, decay, best);
    }
}

static bool has_edge(const struct graph *graph, const struct sutra_reached *from,
                     const struct sutra_reached *to, float decay)
{
    for (size_t j = 0; j < graph->count; j++) {
        const struct edge *edge = &graph->edges[j];
        if (counts(graph, edge) && edge->source == from->concept && edge->target == to->concept &&
            edge->kind == to->kind &&
            from->score * decay * at_most_one(edge->weight) * at_most_one(edge->confidence) ==
                to->score)
            return true;
    }
    return false;
}

static void check_spread(const struct graph *graph, const struct sutra_reached *reached,
                         size_t count, size_t best_count, const float best[CONCEPTS], float decay,
                         unsigned hops, size_t k)
{
    size_t expected = 0;
    for (uint32_t c = 0; c < CONCEPTS; c++)
        expected += best[c] > -INFINITY;
    CHECK_EQ(best_count, expected < k ? expected : k);
    for (size_t place = 0; place < count; place++) {
        const struct sutra_reached *node = &reached[place];
        if (place < best_count) {
            /* As many are better as come before. */
            size_t better = 0;
            for (uint32_t c = 0; c < CONCEPTS; c++)
                better += best[c] > node->score || (best[c] == node->score && c < node->concept);
            CHECK_EQ(better, place);
            CHECK(node->score == best[node->concept]);
        }
        CHECK(node->hops <= hops);
        if (node->parent == UINT32_MAX) {
            CHECK_EQ(node->hops, 0);
            continue;
        }
        REQUIRE(node->parent < count);
        CHECK_EQ(reached[node->parent].hops + 1, node->hops);
        CHECK(has_edge(graph, &reached[node->parent], node, decay));
    }
}

static void spread_finds_the_best(void)
{
    for (uint64_t seed = 0; seed < (is_slow_place() ? 300 : 2000); seed++) {
        seed_random(seed + 10000);
        struct graph graph;
        make_graph(&graph);
        uint32_t seeds[4];
        float scores[4], best[CONCEPTS];
        const size_t seed_count = random_below(5), k = random_below(2) ? 100 : random_below(5);
        const unsigned hops = random_below(5);
        const float decay = random_below(3) ? 0.75f : (float)random_below(2);
        for (size_t c = 0; c < CONCEPTS; c++)
            best[c] = -INFINITY;
        for (size_t j = 0; j < 4; j++) {
            seeds[j] = random_below(CONCEPTS);
            scores[j] = (float)random_below(9) / 4 - (random_below(5) == 0 ? 2 : 0);
            if (j < seed_count && lives(&graph, seeds[j]))
                spread_all(&graph, seeds[j], hops, scores[j], decay, best);
        }
        uint8_t answers[(CONCEPTS + 7) / 8];
        for (size_t j = 0; j < sizeof answers; j++)
            answers[j] = (uint8_t)random_below(256);
        if (random_below(2)) {
            graph.traversal.answers = answers;
            graph.traversal.answer_bits = random_below(CONCEPTS + 1);
            for (uint32_t c = 0; c < CONCEPTS; c++)
                if (c >= graph.traversal.answer_bits || !(answers[c / 8] >> c % 8 & 1))
                    best[c] = -INFINITY; /* is passed through, and not told */
        }
        struct sutra_reached *reached[2] = {NULL};
        size_t count[2], best_count[2];
        bool complete[2];
        for (int j = 0; j < 2; j++) {
            graph.traversal.associations = j ? graph.folded : graph.associations;
            REQUIRE(sutra_spread(&graph.traversal, seeds, scores, seed_count, hops, decay, k,
                                 &reached[j], &count[j], &best_count[j], &complete[j]) == SUTRA_OK);
            CHECK(complete[j]);
        }
        CHECK(count[0] == count[1] && best_count[0] == best_count[1]);
        CHECK(count[0] == 0 || memcmp(reached[0], reached[1], count[0] * sizeof **reached) == 0);
        check_spread(&graph, reached[0], count[0], best_count[0], best, decay, hops, k);
        free(reached[0]);
        free(reached[1]);
        free_graph(&graph);
    }
}

/* The best way to 2 is long; the way to 3 must go through 2 as it was reached by the short one. */
static void ways_have_no_more_hops_than_allowed(void)
{
    struct sutra_associations *associations = make(1, 10, 5);
    REQUIRE(associations);
    sutra_associations_link(associations, 0, 1, 0, 1, 1, 0, 1);
    sutra_associations_link(associations, 1, 2, 0, 1, 1, 0, 1);
    sutra_associations_link(associations, 0, 2, 0, 0.5f, 1, 0, 1);
    sutra_associations_link(associations, 2, 3, 0, 1, 1, 0, 1);
    const struct sutra_traversal traversal = {
        .associations = associations, .view = 1, .work_max = 100};
    const uint32_t start = 0;
    const float one = 1;
    struct sutra_reached *reached;
    size_t count, best_count;
    bool complete;
    REQUIRE(sutra_spread(&traversal, &start, &one, 1, 2, 1, 10, &reached, &count, &best_count,
                         &complete) == SUTRA_OK);
    CHECK_EQ(best_count, 4);
    CHECK_EQ(count, 5);
    CHECK(reached[3].concept == 3 && reached[3].score == 0.5f && reached[3].hops == 2);
    CHECK(reached[2].concept == 2 && reached[2].score == 1 && reached[2].hops == 2);
    CHECK_EQ(reached[3].parent, 4);
    CHECK(reached[4].concept == 2 && reached[4].score == 0.5f && reached[4].hops == 1);
    free(reached);
    sutra_associations_release(associations);
}

/* ---- limits */

struct counter {
    size_t calls;
};

static bool count_calls(const void *context, uint32_t concept)
{
    struct counter *const *counter = context;
    (*counter)->calls++;
    return concept != 7;
}

static void a_hub_holds_nobody(void)
{
    enum { SPOKES = 50000 };
    struct sutra_associations *associations = make(1, 2 * SPOKES, SPOKES + 1);
    REQUIRE(associations);
    for (uint32_t c = 1; c <= SPOKES; c++) {
        sutra_associations_link(associations, 0, c, 0, 1, 1, 0, 1);
        sutra_associations_link(associations, c, 0, 0, 1, 1, 0, 1);
    }
    for (int folded = 0; folded < 2; folded++) {
        if (folded)
            fold(&associations);
        for (size_t work = 0; work <= 30 * SPOKES; work = work * 10 + 1) {
            struct counter counter = {0}, *pointer = &counter;
            const struct sutra_traversal traversal = {.associations = associations,
                                                      .view = 1,
                                                      .work_max = work,
                                                      .alive = count_calls,
                                                      .alive_context = &pointer};
            const uint32_t start = 0;
            const float one = 1;
            struct sutra_reached *reached;
            size_t count, first;
            bool complete;
            REQUIRE(sutra_expand(&traversal, &start, 1, 3, SIZE_MAX, &reached, &count, &first,
                                 &complete) == SUTRA_OK);
            /* Concept 7 is not alive; it comes seventh, or so near the end. */
            const size_t seen = work < SPOKES ? work : SPOKES;
            const size_t there = 1 + seen - (seen >= (folded ? 7 : SPOKES - 6));
            CHECK_EQ(complete, work >= 2 * SPOKES - 1);
            CHECK_EQ(count, there);
            CHECK_EQ(counter.calls, 1 + seen);
            free(reached);
            counter.calls = 0;
            REQUIRE(sutra_spread(&traversal, &start, &one, 1, 3, 0.5f, SIZE_MAX, &reached, &count,
                                 &first, &complete) == SUTRA_OK);
            CHECK_EQ(complete, work >= 2 * SPOKES - 1);
            CHECK_EQ(count, there);
            CHECK_EQ(counter.calls, 1 + seen);
            free(reached);
            counter.calls = 0;
            struct answer answer = {0};
            REQUIRE(ask(&traversal, 1, 2, 4, 5, &answer));
            CHECK(counter.calls <= work + 2);
            CHECK(answer.count <= 1 && (answer.count == 1 || work <= 2 * SPOKES));
            CHECK(answer.complete == (work > 5 * SPOKES));
            free_answer(&answer);
        }
    }
    /* With enough of them in the first layer, the second is not begun. */
    const struct sutra_traversal traversal = {
        .associations = associations, .view = 1, .work_max = SPOKES};
    const uint32_t start = 0;
    struct sutra_reached *reached;
    size_t count, first;
    bool complete;
    REQUIRE(sutra_expand(&traversal, &start, 1, 3, 5, &reached, &count, &first, &complete) ==
            SUTRA_OK);
    CHECK(complete && count == 6 && reached[5].concept == 5);
    free(reached);
    sutra_associations_release(associations);
}

static void long_ways_are_cut(void)
{
    enum { LONG = 70000 };
    struct sutra_associations *associations = make(1, LONG, LONG + 1);
    REQUIRE(associations);
    for (uint32_t c = 0; c < LONG; c++)
        sutra_associations_link(associations, c, c + 1, 0, 1, 1, 0, 1);
    const struct sutra_traversal traversal = {
        .associations = associations, .view = 1, .work_max = 10 * LONG};
    const uint32_t start = 0;
    struct sutra_reached *reached;
    size_t count, first;
    bool complete;
    REQUIRE(sutra_expand(&traversal, &start, 1, UINT32_MAX, SIZE_MAX, &reached, &count, &first,
                         &complete) == SUTRA_OK);
    CHECK_EQ(count, 65536);
    CHECK_EQ(reached[65535].hops, 65535);
    free(reached);
    struct answer answer = {0};
    REQUIRE(ask(&traversal, 0, 400, UINT32_MAX, 3, &answer));
    CHECK_EQ(answer.count, 1);
    CHECK(answer.complete && answer.paths[0].length == 400);
    free_answer(&answer);
    sutra_associations_release(associations);
}

static void senseless_requests(void)
{
    struct sutra_associations *associations = make(1, 10, 5);
    REQUIRE(associations);
    sutra_associations_link(associations, 0, 0, 0, 1, 1, 0, 1);
    sutra_associations_link(associations, 0, 1, 0, 3e38f, 1, 0, 1);
    sutra_associations_link(associations, 1, 2, 0, 3e38f, 1, 0, 1);
    sutra_associations_link(associations, 2, 3, 0, 0, 1, 0, 1);
    const struct sutra_traversal traversal = {
        .associations = associations, .view = 1, .work_max = 100};
    const uint32_t starts[] = {0, SUTRA_NO_CONCEPT, 0, 4000000000u};
    float scores[] = {1, 1, 1, 1};
    struct sutra_reached *reached = NULL;
    size_t count, first;
    bool complete;
    const float decays[] = {-0.1f, 1.1f, NAN, INFINITY};
    for (size_t j = 0; j < 4; j++)
        CHECK_EQ(sutra_spread(&traversal, starts, scores, 4, 2, decays[j], 5, &reached, &count,
                              &first, &complete),
                 SUTRA_E_ARGUMENT);
    for (size_t j = 0; j < 3; j++) {
        const float odd[] = {NAN, INFINITY, -INFINITY};
        scores[2] = odd[j];
        CHECK_EQ(sutra_spread(&traversal, starts, scores, 4, 2, 1, 5, &reached, &count, &first,
                              &complete),
                 SUTRA_E_ARGUMENT);
    }
    REQUIRE(sutra_expand(&traversal, starts, 4, 5, 10, &reached, &count, &first, &complete) ==
            SUTRA_OK);
    CHECK_EQ(first, 2); /* 0 once, and the one that nobody knows */
    CHECK_EQ(count, 5);
    CHECK(isfinite(reached[3].score) && reached[3].score > 3e38f && reached[4].score == 0);
    free(reached);
    /* To itself: the path of no edges, but only of one that lives. */
    struct answer answer = {0};
    REQUIRE(ask(&traversal, 0, 0, 3, 5, &answer));
    CHECK(answer.count == 1 && answer.paths[0].length == 0 && answer.paths[0].confidence == 1);
    CHECK(answer.complete && answer.nodes[0] == 0);
    free_answer(&answer);
    REQUIRE(ask(&traversal, 0, 1, 0, 5, &answer));
    CHECK(answer.count == 0 && answer.complete);
    free_answer(&answer);
    REQUIRE(ask(&traversal, 0, SUTRA_NO_CONCEPT, 5, 5, &answer));
    CHECK(answer.count == 0 && answer.complete);
    free_answer(&answer);
    sutra_associations_release(associations);
}

CHECK_MAIN(CASE(expand_finds_the_nearest), CASE(spread_finds_the_best),
           CASE(ways_have_no_more_hops_than_allowed), CASE(a_hub_holds_nobody),
           CASE(long_ways_are_cut), CASE(senseless_requests))
