/* The best simple paths between two concepts; the contract is in traverse.h.
 *
 * Partial paths from the source are taken up in the order in which the best of their completions
 * could come: by falling product, then by the edges there are and the fewest that are missing, then
 * by concept numbers. No completion comes before its beginning in that order, so whole paths leave
 * the heap in theirs. The fewest edges missing come from a search back from the target, half the
 * depth at most and a quarter of the work: exact where it came, and one more elsewhere.
 *
 * A partial path is its last concept and the number of the partial path before.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "traverse_parts.h"

#define DEPTH_MAX 65535u
#define NONE UINT32_MAX

struct partial {
    double product;
    uint32_t concept;
    uint32_t before; /* NONE: it is the source */
    uint32_t bound;  /* edges of its shortest completion, at least */
    uint16_t depth;  /* edges */
    uint16_t kind;
};

struct search {
    struct sutra_walk walk;
    uint32_t target;
    unsigned depth;               /* at most */
    struct sutra_visited missing; /* concept -> edges to the target */
    uint32_t elsewhere;           /* the same for those not in it, at least */
    struct partial *partials;
    size_t count, room;
    uint32_t *heap; /* of partials */
    size_t heap_count, heap_room;
};

/* What has been found, as it is handed out. */
struct found {
    struct sutra_path *paths;
    size_t path_count, path_room;
    uint32_t *nodes;
    size_t node_count, node_room;
    uint16_t *kinds;
    size_t kind_count, kind_room;
};

/* An edge is used with a confidence in (0, 1]. */
static double confidence_of(const struct sutra_link *link)
{
    return link->confidence > 0 ? link->confidence < 1 ? (double)link->confidence : 1 : 0;
}

/* ---- back from the target */

static int search_back(struct search *search)
{
    struct sutra_walk *walk = &search->walk;
    const size_t aside = walk->work_left - walk->work_left / 4;
    walk->work_left /= 4;
    uint32_t *queue = NULL, *number;
    size_t count = 0, room = 0, begin = 0;
    bool fresh;
    int status = sutra_visited_enter(&search->missing, search->target, &number, &fresh);
    queue = sutra_room_for_one(NULL, sizeof *queue, 0, &room);
    if (status != SUTRA_OK || !queue) {
        free(queue);
        return SUTRA_E_NO_MEMORY;
    }
    queue[count++] = search->target;
    search->elsewhere = 1;
    /* A level that is cut short still names edges exactly: they are what `elsewhere` says. */
    for (unsigned level = 1; level <= search->depth / 2 && !walk->exhausted; level++) {
        const size_t end = count;
        for (; begin < end && !walk->exhausted; begin++) {
            struct sutra_link link;
            sutra_walk_from(walk, queue[begin], SUTRA_IN);
            while (sutra_walk_next(walk, &link)) {
                if (!(confidence_of(&link) > 0))
                    continue;
                status = sutra_visited_enter(&search->missing, link.source, &number, &fresh);
                uint32_t *wider = sutra_room_for_one(queue, sizeof *queue, count, &room);
                queue = wider ? wider : queue;
                if (status != SUTRA_OK || !wider) {
                    free(queue);
                    return SUTRA_E_NO_MEMORY;
                }
                if (!fresh)
                    continue;
                /* Who is not alive is on no path: more edges are missing than there may be. */
                const bool alive = sutra_walk_alive(walk, link.source);
                *number = alive ? level : DEPTH_MAX + 1;
                if (alive)
                    queue[count++] = link.source;
            }
        }
        if (!walk->exhausted)
            search->elsewhere = count == end ? DEPTH_MAX + 1 : level + 1;
    }
    free(queue);
    walk->exhausted = false;
    walk->work_left += aside;
    return SUTRA_OK;
}

/* ---- order of partial paths */

/* Lexicographic, by concepts from the source on, then by kinds: < 0, 0, > 0. */
static int compare_ways(const struct search *search, uint32_t a, uint32_t b)
{
    const struct partial *partials = search->partials;
    int shorter = 0;
    while (partials[a].depth > partials[b].depth) {
        a = partials[a].before;
        shorter = 1;
    }
    while (partials[b].depth > partials[a].depth) {
        b = partials[b].before;
        shorter = -1;
    }
    int by_node = 0, by_kind = 0; /* the last that is seen on the way back is the first */
    while (a != b) {
        const struct partial *left = &partials[a], *right = &partials[b];
        if (left->concept != right->concept)
        by_node = left->concept < right->concept ? -1 : 1;
        if (left->kind != right->kind)
            by_kind = left->kind < right->kind ? -1 : 1;
        a = left->before;
        b = right->before;
    }
    return by_node ? by_node : shorter ? shorter : by_kind;
}

static bool comes_before(const struct search *search, uint32_t a, uint32_t b)
{
    const struct partial *left = &search->partials[a], *right = &search->partials[b];
    if (left->product != right->product)
        return left->product > right->product;
    if (left->bound != right->bound)
        return left->bound < right->bound;
    return compare_ways(search, a, b) < 0;
}

static int push(struct search *search, const struct partial *partial)
{
    struct partial *partials =
        sutra_room_for_one(search->partials, sizeof *partials, search->count, &search->room);
    if (!partials)
        return SUTRA_E_NO_MEMORY;
    search->partials = partials;
    uint32_t *heap =
        sutra_room_for_one(search->heap, sizeof *heap, search->heap_count, &search->heap_room);
    if (!heap)
        return SUTRA_E_NO_MEMORY;
    search->heap = heap;
    const uint32_t number = (uint32_t)search->count;
    partials[search->count++] = *partial;
    size_t at = search->heap_count++;
    while (at > 0 && comes_before(search, number, heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = number;
    return SUTRA_OK;
}

static uint32_t pop(struct search *search)
{
    uint32_t *heap = search->heap;
    const uint32_t best = heap[0], last = heap[--search->heap_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < search->heap_count; at = child) {
        child +=
            child + 1 < search->heap_count && comes_before(search, heap[child + 1], heap[child]);
        if (!comes_before(search, heap[child], last))
            break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return best;
}

/* ---- forward */

static bool is_on_way(const struct search *search, uint32_t at, uint32_t concept)
{
    for (; at != NONE; at = search->partials[at].before) {
        if (search->partials[at].concept == concept)
            return true;
    }
    return false;
}

/* Push every way that is one edge longer. */
static int go_on(struct search *search, uint32_t at)
{
    const struct partial from = search->partials[at];
    struct sutra_link link;
    sutra_walk_from(&search->walk, from.concept, SUTRA_OUT);
    while (sutra_walk_next(&search->walk, &link)) {
        const uint32_t *known = sutra_visited_find(&search->missing, link.target);
        const uint32_t missing = known ? *known : search->elsewhere;
        const struct partial partial = {.product = from.product * confidence_of(&link),
                                        .concept = link.target,
                                        .before = at,
                                        .bound = from.depth + 1 + missing,
                                        .depth = (uint16_t)(from.depth + 1),
                                        .kind = link.kind};
        if (!(partial.product > 0) || partial.bound > search->depth ||
            is_on_way(search, at, link.target) ||
            (!known && !sutra_walk_alive(&search->walk, link.target)))
            continue;
        const int status = push(search, &partial);
        if (status != SUTRA_OK)
            return status;
    }
    return SUTRA_OK;
}

/* ---- results */

static int hand_out(const struct search *search, uint32_t at, struct found *found)
{
    const struct partial *last = &search->partials[at];
    struct sutra_path *paths =
        sutra_room_for_one(found->paths, sizeof *paths, found->path_count, &found->path_room);
    if (!paths)
        return SUTRA_E_NO_MEMORY;
    found->paths = paths;
    const size_t first = found->node_count;
    for (unsigned j = 0; j <= last->depth; j++) {
        uint32_t *nodes =
            sutra_room_for_one(found->nodes, sizeof *nodes, found->node_count, &found->node_room);
        if (!nodes)
            return SUTRA_E_NO_MEMORY;
        found->nodes = nodes;
        found->node_count++;
        uint16_t *kinds =
            sutra_room_for_one(found->kinds, sizeof *kinds, found->kind_count, &found->kind_room);
        if (!kinds)
            return SUTRA_E_NO_MEMORY;
        found->kinds = kinds;
        found->kind_count++;
    }
    paths[found->path_count++] = (struct sutra_path){
        .first = (uint32_t)first, .length = last->depth, .confidence = last->product};
    for (; at != NONE; at = search->partials[at].before) {
        const struct partial *partial = &search->partials[at];
        found->nodes[first + partial->depth] = partial->concept;
        found->kinds[first + partial->depth] = partial->kind;
    }
    return SUTRA_OK;
}

/* Once the work is done up, whole paths that were found still leave the heap. */
static int search_forward(struct search *search, size_t limit, struct found *found)
{
    struct sutra_walk *walk = &search->walk;
    while (search->heap_count > 0 && found->path_count < limit) {
        const uint32_t at = pop(search);
        int status = SUTRA_OK;
        if (search->partials[at].concept == search->target)
            status = hand_out(search, at, found);
        else if (walk->work_left == 0)
            walk->exhausted = true;
        if (status != SUTRA_OK)
            return status;
        if (search->partials[at].concept == search->target || walk->exhausted)
            continue;
        walk->work_left--;
        status = go_on(search, at);
        if (status != SUTRA_OK)
            return status;
    }
    return SUTRA_OK;
}

static int find_paths(struct search *search, uint32_t source, size_t limit, struct found *found)
{
    if (source == SUTRA_NO_CONCEPT || search->target == SUTRA_NO_CONCEPT || limit == 0 ||
        !sutra_walk_alive(&search->walk, source) ||
        !sutra_walk_alive(&search->walk, search->target))
        return SUTRA_OK;
    int status = search_back(search);
    if (status != SUTRA_OK)
        return status;
    const struct partial start = {
        .product = 1, .concept = source, .before = NONE, .kind = SUTRA_NO_KIND};
    status = push(search, &start);
    return status == SUTRA_OK ? search_forward(search, limit, found) : status;
}

int sutra_paths(const struct sutra_traversal *traversal, uint32_t source, uint32_t target,
                unsigned max_depth, size_t limit, struct sutra_path **paths_out,
                size_t *path_count_out, uint32_t **nodes_out, uint16_t **kinds_out,
                bool *complete_out)
{
    struct search search = {.target = target,
                            .depth = max_depth < DEPTH_MAX ? max_depth : DEPTH_MAX};
    struct found found = {0};
    int status = sutra_walk_begin(&search.walk, traversal);
    if (status == SUTRA_OK)
        status = find_paths(&search, source, limit, &found);
    if (status == SUTRA_OK) {
        *paths_out = found.paths;
        *path_count_out = found.path_count;
        *nodes_out = found.nodes;
        *kinds_out = found.kinds;
        *complete_out = !search.walk.exhausted;
    } else {
        free(found.paths);
        free(found.nodes);
        free(found.kinds);
    }
    sutra_walk_end(&search.walk);
    sutra_visited_deinit(&search.missing);
    free(search.partials);
    free(search.heap);
    return status;
}
