/* Expanding and spreading, layer by layer; the contract is in traverse.h.
 *
 * The edges of a layer's concepts are walked in the order of the layer, best first, and an entry is
 * replaced only by a better one, so the result does not depend on the order of a concept's edges.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <float.h>

#include "traverse_parts.h"

#define HOPS_MAX 65535u
#define AHEAD 4u

/* By falling score, then by concept number. */
static int compare_reached(const void *a, const void *b)
{
    const struct sutra_reached *left = a, *right = b;
    if (left->score != right->score)
        return left->score > right->score ? -1 : 1;
    return left->concept < right->concept ? -1 : left->concept > right->concept;
}

/* What was reached so far, a layer behind the other. In the map: 1 + place of the latest entry of a
 * concept, 0 for one that is not alive. */
struct layers {
    struct sutra_walk walk;
    struct sutra_visited visited;
    struct sutra_reached *nodes;
    size_t count, room;
    size_t layer; /* where the one that is being found begins */
};

static void layers_deinit(struct layers *layers)
{
    sutra_walk_end(&layers->walk);
    sutra_visited_deinit(&layers->visited);
    free(layers->nodes);
}

static int append(struct layers *layers, const struct sutra_reached *node)
{
    struct sutra_reached *nodes =
        sutra_room_for_one(layers->nodes, sizeof *nodes, layers->count, &layers->room);
    if (!nodes)
        return SUTRA_E_NO_MEMORY;
    layers->nodes = nodes;
    nodes[layers->count++] = *node;
    return SUTRA_OK;
}

/* A way to node->concept. An entry of this layer gives way to a better one; `again`: one of an
 * earlier layer stays as it is, but a better one is added. */
static int reach(struct layers *layers, const struct sutra_reached *node, bool again)
{
    uint32_t *number;
    bool fresh;
    int status = sutra_visited_enter(&layers->visited, node->concept, &number, &fresh);
    if (status != SUTRA_OK)
        return status;
    if (fresh && !sutra_walk_alive(&layers->walk, node->concept))
        return SUTRA_OK;
    if (!fresh && *number == 0)
        return SUTRA_OK;
    if (!fresh) {
        const size_t place = *number - 1;
        struct sutra_reached *known = &layers->nodes[place];
        const bool same_way = place >= layers->layer && node->parent == known->parent;
        if (node->score < known->score ||
            (node->score == known->score && !(same_way && node->kind < known->kind)))
            return SUTRA_OK;
        if (place >= layers->layer) {
            *known = *node;
            return SUTRA_OK;
        }
        if (!again)
            return SUTRA_OK;
    }
    status = append(layers, node);
    *number = status == SUTRA_OK ? (uint32_t)layers->count : 0;
    return status;
}

/* Sort the layer that was found; the map follows if it is needed again. */
static void sort_layer(struct layers *layers, bool follow)
{
    const size_t begin = layers->layer, end = layers->count;
    if (end - begin > 1)
        qsort(layers->nodes + begin, end - begin, sizeof *layers->nodes, compare_reached);
    for (size_t place = begin; follow && place < end; place++) {
        struct sutra_visited_entry *entry =
            sutra_visited_slot(&layers->visited, layers->nodes[place].concept);
        entry->number = (uint32_t)place + 1;
    }
}

/* Concepts lie about: ask early for the edges of those that are next in the layer. */
SUTRA_INLINE void prefetch_ahead(const struct layers *layers, size_t place, size_t end)
{
    const struct sutra_associations *associations = layers->walk.traversal->associations;
    if (place + 2 * AHEAD < end)
        sutra_links_prefetch(associations, layers->nodes[place + 2 * AHEAD].concept);
    if (place + AHEAD < end)
        sutra_links_prefetch_rows(associations, layers->nodes[place + AHEAD].concept);
}

/* ---- expand */

/* The product of a score and a weight, finite whatever they are. */
static float weighted(float score, float weight)
{
    const float product = score * (weight > 0 ? weight < FLT_MAX ? weight : FLT_MAX : 0);
    return product < FLT_MAX ? product : FLT_MAX;
}

static int expand_layer(struct layers *layers, size_t begin, size_t end)
{
    for (size_t place = begin; place < end && !layers->walk.exhausted; place++) {
        const struct sutra_reached from = layers->nodes[place];
        prefetch_ahead(layers, place, end);
        sutra_walk_from(&layers->walk, from.concept, SUTRA_OUT);
        struct sutra_link link;
        while (sutra_walk_next(&layers->walk, &link)) {
            const struct sutra_reached node = {.concept = link.target,
                                               .parent = (uint32_t)place,
                                               .kind = link.kind,
                                               .hops = (uint16_t)(from.hops + 1),
                                               .score = weighted(from.score, link.weight)};
            const int status = reach(layers, &node, false);
            if (status != SUTRA_OK)
                return status;
        }
    }
    return SUTRA_OK;
}

static int expand(struct layers *layers, const uint32_t *starts, size_t start_count, unsigned hops,
                  size_t limit, size_t *start_count_out)
{
    int status = SUTRA_OK;
    for (size_t j = 0; j < start_count && status == SUTRA_OK; j++) {
        const struct sutra_reached node = {
            .concept = starts[j], .parent = UINT32_MAX, .kind = SUTRA_NO_KIND, .score = 1};
        if (starts[j] != SUTRA_NO_CONCEPT)
            status = reach(layers, &node, false);
    }
    const size_t first = layers->count;
    *start_count_out = first;
    size_t begin = 0;
    for (unsigned hop = 0; hop < hops && status == SUTRA_OK; hop++) {
        const size_t end = layers->count;
        if (begin == end || end - first >= limit || layers->walk.exhausted)
            break;
        layers->layer = end;
        status = expand_layer(layers, begin, end);
        sort_layer(layers, false);
        begin = end;
    }
    if (layers->count - first > limit)
        layers->count = first + limit;
    return status;
}

int sutra_expand(const struct sutra_traversal *traversal, const uint32_t *starts,
                 size_t start_count, unsigned hops, size_t limit,
                 struct sutra_reached **reached_out, size_t *count_out, size_t *start_count_out,
                 bool *complete_out)
{
    struct layers layers = {0};
    int status = sutra_walk_begin(&layers.walk, traversal);
    if (status == SUTRA_OK)
        status = expand(&layers, starts, start_count, hops < HOPS_MAX ? hops : HOPS_MAX, limit,
                        start_count_out);
    if (status == SUTRA_OK) {
        *reached_out = layers.nodes;
        *count_out = layers.count;
        *complete_out = !layers.walk.exhausted;
        layers.nodes = NULL;
    }
    layers_deinit(&layers);
    return status;
}

/* ---- spread */

static float at_most_one(float share)
{
    return share > 0 ? share < 1 ? share : 1 : 0;
}

static bool may_answer(const struct sutra_traversal *traversal, uint32_t concept)
{
    return !traversal->answers ||
           (concept < traversal->answer_bits && traversal->answers[concept / 8] >> concept % 8 & 1);
}

/* Of what may be in the answer, entries that a later one of the same concept has not replaced. */
static bool is_best(const struct layers *layers, size_t place)
{
    const uint32_t concept = layers->nodes[place].concept;
    if (!may_answer(layers->walk.traversal, concept))
        return false;
    const uint32_t *number = sutra_visited_find(&layers->visited, concept);
    return number && *number == place + 1;
}

static void sift_down(float *heap, size_t count, size_t at)
{
    const float value = heap[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && heap[child + 1] < heap[child];
        if (heap[child] >= value)
            break;
        heap[at] = heap[child];
    }
    heap[at] = value;
}

/* The score of the k-th best so far of what may be in the answer, or -FLT_MAX while there are
 * fewer. Scores of concepts only rise, and fall along every way, so what is below it does not come
 * into the answer, nor what is reached from there. Without memory it says nothing, which costs time
 * alone. */
static float score_to_beat(const struct layers *layers, size_t k)
{
    if (k == 0 || k > layers->count)
        return -FLT_MAX;
    float *heap = malloc(k * sizeof *heap);
    if (!heap)
        return -FLT_MAX;
    size_t count = 0;
    for (size_t place = 0; place < layers->count; place++) {
        const float score = layers->nodes[place].score;
        if ((count == k && score <= heap[0]) || !is_best(layers, place))
            continue;
        if (count == k) {
            heap[0] = score;
            sift_down(heap, k, 0);
            continue;
        }
        heap[count++] = score;
        for (size_t at = count == k ? k / 2 : 0; at-- > 0;)
            sift_down(heap, k, at);
    }
    const float least = count == k ? heap[0] : -FLT_MAX;
    free(heap);
    return least;
}

static int spread_layer(struct layers *layers, size_t begin, size_t end, float decay, float least)
{
    for (size_t place = begin; place < end && !layers->walk.exhausted; place++) {
        const struct sutra_reached from = layers->nodes[place];
        const float share = from.score * decay;
        if (!(share > 0) || share < least)
            break; /* the rest of the layer has less */
        prefetch_ahead(layers, place, end);
        sutra_walk_from(&layers->walk, from.concept, SUTRA_OUT);
        struct sutra_link link;
        while (sutra_walk_next(&layers->walk, &link)) {
            const struct sutra_reached node = {.concept = link.target,
                                               .parent = (uint32_t)place,
                                               .kind = link.kind,
                                               .hops = (uint16_t)(from.hops + 1),
                                               .score = share * at_most_one(link.weight) *
                                                        at_most_one(link.confidence)};
            if (!(node.score > 0) || node.score < least)
                continue;
            const int status = reach(layers, &node, true);
            if (status != SUTRA_OK)
                return status;
        }
    }
    return SUTRA_OK;
}

static int start_from_seeds(struct layers *layers, const uint32_t *seeds, const float *scores,
                            size_t count)
{
    int status = SUTRA_OK;
    for (size_t j = 0; j < count && status == SUTRA_OK; j++) {
        const struct sutra_reached node = {
            .concept = seeds[j], .parent = UINT32_MAX, .kind = SUTRA_NO_KIND, .score = scores[j]};
        if (seeds[j] != SUTRA_NO_CONCEPT)
            status = reach(layers, &node, true);
    }
    sort_layer(layers, true);
    return status;
}

static int spread(struct layers *layers, unsigned hops, float decay, size_t k)
{
    size_t begin = 0;
    for (unsigned hop = 0; hop < hops; hop++) {
        const size_t end = layers->count;
        if (begin == end || layers->walk.exhausted)
            break;
        layers->layer = end;
        const int status = spread_layer(layers, begin, end, decay, score_to_beat(layers, k));
        if (status != SUTRA_OK)
            return status;
        sort_layer(layers, true);
        begin = end;
    }
    return SUTRA_OK;
}

/* The k best of all that was reached, and behind them what their ways pass through. The places of
 * the entries are turned into places of the result. */
static int answer(const struct layers *layers, size_t k, struct sutra_reached **reached_out,
                  size_t *count_out, size_t *best_count_out)
{
    const size_t all = layers->count;
    struct sutra_reached *best = malloc((all + 1) * sizeof *best);
    uint32_t *places = malloc((all + 1) * sizeof *places); /* of entries, in the result */
    if (!best || !places) {
        free(best);
        free(places);
        return SUTRA_E_NO_MEMORY;
    }
    const float least = score_to_beat(layers, k);
    size_t count = 0;
    for (size_t place = 0; place < all; place++) {
        places[place] = UINT32_MAX;
        if (k > 0 && layers->nodes[place].score >= least && is_best(layers, place))
            best[count++] = layers->nodes[place];
    }
    if (count > 1)
        qsort(best, count, sizeof *best, compare_reached);
    count = count < k ? count : k;
    *best_count_out = count;
    for (size_t j = 0; j < count; j++)
        places[*sutra_visited_find(&layers->visited, best[j].concept) - 1] = (uint32_t)j;
    for (size_t j = 0; j < count; j++) {
        const uint32_t parent = best[j].parent;
        if (parent == UINT32_MAX)
            continue;
        if (places[parent] == UINT32_MAX) {
            places[parent] = (uint32_t)count;
            best[count++] = layers->nodes[parent];
        }
        best[j].parent = places[parent];
    }
    free(places);
    *reached_out = best;
    *count_out = count;
    return SUTRA_OK;
}

int sutra_spread(const struct sutra_traversal *traversal, const uint32_t *seeds,
                 const float *seed_scores, size_t seed_count, unsigned hops, float decay, size_t k,
                 struct sutra_reached **reached_out, size_t *count_out, size_t *best_count_out,
                 bool *complete_out)
{
    if (!(decay >= 0 && decay <= 1))
        return SUTRA_E_ARGUMENT;
    for (size_t j = 0; j < seed_count; j++) {
        if (!isfinite(seed_scores[j]))
            return SUTRA_E_ARGUMENT;
    }
    struct layers layers = {0};
    int status = sutra_walk_begin(&layers.walk, traversal);
    if (status == SUTRA_OK)
        status = start_from_seeds(&layers, seeds, seed_scores, seed_count);
    if (status == SUTRA_OK)
        status = spread(&layers, hops < HOPS_MAX ? hops : HOPS_MAX, decay, k);
    if (status == SUTRA_OK)
        status = answer(&layers, k, reached_out, count_out, best_count_out);
    if (status == SUTRA_OK)
        *complete_out = !layers.walk.exhausted;
    layers_deinit(&layers);
    return status;
}
