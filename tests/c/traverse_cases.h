/* Small random graphs for traversal, and what of them counts.
 *
 * To be included first.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_TRAVERSE_CASES_H
#define SUTRA_TESTS_TRAVERSE_CASES_H

#include "association_cases.h"

#include <math.h>

#include "concepts/record.h"
#include "concepts/traverse.h"

enum { CONCEPTS = 9, KINDS = 3, EDGES = 44, VIEW = 5 };

struct edge {
    uint32_t source, target;
    uint16_t kind;
    float weight, confidence;
};

/* What can be seen, and as much again folded: both must give the same. */
struct graph {
    struct sutra_associations *associations, *folded;
    struct edge edges[EDGES];
    size_t count;
    bool dead[CONCEPTS];
    uint16_t kinds[4];
    struct sutra_traversal traversal;
};

static inline bool is_alive(const void *context, uint32_t concept)
{
    const bool *dead = context;
    return concept < CONCEPTS && !dead[concept];
}

static inline float random_share(bool plain)
{
    static const float odd[] = {0, -0.5f, 1, 1.5f, 2};
    if (plain)
        return 1;
    return random_below(6) == 0 ? odd[random_below(5)] : (float)(1 + random_below(8)) / 8;
}

static inline void make_graph(struct graph *graph)
{
    *graph = (struct graph){.associations = make(KINDS, 200, CONCEPTS)};
    const bool plain = random_below(3) == 0; /* all alike: everything is decided by ties */
    const size_t wanted = random_below(4) ? EDGES : random_below(EDGES);
    const size_t fold_at = random_below(2) ? random_below(EDGES) : EDGES;
    for (size_t j = 0; j < wanted && graph->associations; j++) {
        const struct edge edge = {random_below(CONCEPTS), random_below(CONCEPTS),
                                  (uint16_t)random_below(KINDS), random_share(plain),
                                  random_share(plain)};
        if (j == fold_at) {
            fold(&graph->associations);
            CHECK_EQ(sutra_associations_reserve(graph->associations, 200, CONCEPTS), SUTRA_OK);
        }
        /* Some come too late for the view, some are gone again. */
        const uint64_t born = random_below(6) == 0 && j > fold_at ? VIEW + 1 : 1;
        if (sutra_associations_has(graph->associations, edge.source, edge.target, edge.kind))
            continue;
        sutra_associations_link(graph->associations, edge.source, edge.target, edge.kind,
                                edge.weight, edge.confidence, 0, born);
        if (born > VIEW)
            continue;
        if (random_below(10) == 0) {
            sutra_associations_unlink(graph->associations, edge.source, edge.target, edge.kind, 2,
                                      NULL);
            continue;
        }
        graph->edges[graph->count++] = edge;
    }
    /* What folds may not hold what the view does not see. */
    graph->folded = make(KINDS, EDGES, CONCEPTS);
    for (size_t j = 0; j < graph->count; j++) {
        const struct edge *edge = &graph->edges[j];
        sutra_associations_link(graph->folded, edge->source, edge->target, edge->kind, edge->weight,
                                edge->confidence, 0, 1);
    }
    fold(&graph->folded);
    for (uint32_t c = 0; c < CONCEPTS; c++)
        graph->dead[c] = random_below(8) == 0;
    graph->traversal =
        (struct sutra_traversal){.associations = graph->associations,
                                 .view = VIEW,
                                 .min_weight = random_below(2) ? -10 : (float)random_below(4) / 4,
                                 .work_max = 100000,
                                 .alive = random_below(2) ? is_alive : NULL,
                                 .alive_context = graph->dead};
    if (random_below(2)) {
        graph->traversal.kinds = graph->kinds;
        graph->traversal.kind_count = random_below(4);
        for (size_t k = 0; k < 4; k++)
            graph->kinds[k] =
                random_below(8) ? (uint16_t)random_below(KINDS + 1) : (uint16_t)SUTRA_NO_KIND;
    }
}

static inline void free_graph(struct graph *graph)
{
    sutra_associations_release(graph->associations);
    sutra_associations_release(graph->folded);
}

static inline bool lives(const struct graph *graph, uint32_t concept)
{
    return !graph->traversal.alive || is_alive(graph->dead, concept);
}

static inline bool counts(const struct graph *graph, const struct edge *edge)
{
    const struct sutra_traversal *traversal = &graph->traversal;
    bool wanted = !traversal->kinds;
    for (size_t k = 0; k < traversal->kind_count; k++)
        wanted = wanted || traversal->kinds[k] == edge->kind;
    return wanted && edge->weight >= traversal->min_weight && lives(graph, edge->source) &&
           lives(graph, edge->target);
}

static inline float at_most_one(float share)
{
    return share > 0 ? share < 1 ? share : 1 : 0;
}

/* ---- paths as they are given */

struct answer {
    struct sutra_path *paths;
    size_t count;
    uint32_t *nodes;
    uint16_t *kinds;
    bool complete;
};

static inline bool ask(const struct sutra_traversal *traversal, uint32_t source, uint32_t target,
                       unsigned depth, size_t limit, struct answer *answer)
{
    return sutra_paths(traversal, source, target, depth, limit, &answer->paths, &answer->count,
                       &answer->nodes, &answer->kinds, &answer->complete) == SUTRA_OK;
}

static inline void free_answer(struct answer *answer)
{
    free(answer->paths);
    free(answer->nodes);
    free(answer->kinds);
}

#endif
