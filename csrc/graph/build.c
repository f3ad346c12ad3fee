/* Building: deterministic, batch-synchronous insertion; the method is in graph.h.
 *
 * A batch goes through four steps, the first and third in parallel:
 *   1. every point searches the frozen graph and writes its own lists (forward edges);
 *   2. the edges are turned round and sorted by target;
 *   3. every target takes its new in-neighbours, pruned once if its list overflows, down to
 *      four fifths so that a popular node is not pruned again by the next batch;
 *   4. every point gets its parent in the spanning tree, and the entry point moves up.
 * Each step writes only what no other thread of the step reads, so the result does not depend
 * on the number of threads.
 *
 * Points are inserted in a random order of the call's rows: a batch of neighbours would not
 * see one another, and sorted or clustered input is common.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "journal.h"
#include "prune.h"
#include "tree.h"
#include "walk.h"
#include "../base/prng.h"
#include "../base/threads.h"

/* A batch is at most this part of the nodes already linked (ParlayANN uses 2 %). */
#define BATCH_DIVISOR 32u
#define BATCH_MAX 8192u

/* And with peers this many points, each of which looks at all before it. */
#define PEERS_MAX 128u

size_t sutra_graph_batch_rows(size_t linked)
{
    const size_t batch = linked / BATCH_DIVISOR;
    return batch < 1 ? 1 : batch > BATCH_MAX ? BATCH_MAX : batch;
}

struct build {
    struct sutra_graph *graph;
    const struct sutra_space *space;
    struct sutra_scratch *workers;
    unsigned threads;
    size_t ef;

    const uint32_t *batch; /* rows to link, in order */
    size_t batch_count;
    uint32_t batch_upper[BATCH_MAX]; /* upper node of each, or SUTRA_NO_NODE */

    bool upper;      /* the level kind of the edges at hand */
    uint64_t *edges; /* target list << 32 | source */
    uint64_t *edges_spare;
    size_t edges_room;
    uint32_t *groups; /* first edge of every target, and the end */
    size_t group_count;
};

/* ---- levels */

/* Geometric with ratio 1/m, from integers alone. */
static unsigned draw_level(const struct sutra_graph *graph, uint32_t node)
{
    const uint32_t threshold = (uint32_t)(0x100000000u / graph->m);
    unsigned level = 0;
    while (level < SUTRA_LEVEL_MAX &&
           (uint32_t)sutra_random_at(graph->seed, (uint64_t)node << 5 | level) < threshold)
        level++;
    return level;
}

static int make_upper_node(struct sutra_graph *graph, uint32_t node, unsigned level,
                           uint32_t *upper_out)
{
    const size_t upper = graph->upper_count, first = graph->list_count;
    int status = sutra_planes_ensure(&graph->upper, upper + 1);
    if (status == SUTRA_OK)
        status = sutra_planes_ensure(&graph->upper_links, first + level);
    if (status != SUTRA_OK)
        return status;
    memset(sutra_planes_row(&graph->upper_links, 0, first), 0xff,
           level * graph->upper_slots * sizeof(uint32_t));
    *(uint32_t *)sutra_planes_row(&graph->upper, SUTRA_UPPER_NODE, upper) = node;
    *(uint32_t *)sutra_planes_row(&graph->upper, SUTRA_UPPER_FIRST_LIST, upper) = (uint32_t)first;
    *(uint8_t *)sutra_planes_row(&graph->upper, SUTRA_UPPER_LEVEL, upper) = (uint8_t)level;
    graph->upper_count = upper + 1;
    graph->list_count = first + level;
    *upper_out = (uint32_t)upper;
    return SUTRA_OK;
}

/* ---- step 1: forward edges */

/* Let the points before this one in its batch into the pool, as if they had been linked one by one
 * and the walk had found them. */
static void add_peers(const struct build *build, struct sutra_scratch *scratch, unsigned level,
                      size_t position)
{
    const struct sutra_graph *graph = build->graph;
    const bool upper = level > 0;
    uint64_t *const pool = scratch->pool;
    for (size_t next = 0; next < position;) {
        size_t count = 0;
        for (; next < position && count < SUTRA_NODE_SLOTS_MAX; next++) {
            const uint32_t peer = upper ? build->batch_upper[next] : build->batch[next];
            if (peer != SUTRA_NO_NODE && (!upper || sutra_graph_upper_level(graph, peer) >= level))
                scratch->ids[count++] = peer;
        }
        node_keys(graph, build->space, scratch->query, upper, scratch->ids, count, scratch);
        for (size_t j = 0; j < count; j++) {
            const uint64_t item = sutra_pool_item(scratch->keys[j], scratch->ids[j]);
            if (scratch->pool_count == build->ef) {
                if (item >= pool[build->ef - 1])
                    continue;
                scratch->pool_count--;
            }
            build->space->kernels->pool_insert(pool, scratch->pool_count++, item);
        }
    }
}

/* Walk one level and store the pruned neighbours; returns the nearest node found. */
static uint32_t link_level(const struct build *build, struct sutra_scratch *scratch, uint32_t start,
                           unsigned level, size_t limit, uint32_t *list, size_t slots,
                           size_t position)
{
    const bool upper = level > 0;
    uint32_t kept[SUTRA_NODE_SLOTS_MAX];
    walk_level(build->graph, build->space, scratch->query, level, start, build->ef, scratch);
    const uint32_t nearest = sutra_pool_id(scratch->pool[0]);
    if (build->graph->peers)
        add_peers(build, scratch, level, position);
    for (size_t j = 0; j < scratch->pool_count; j++)
        scratch->found[j] = sutra_pool_id(scratch->pool[j]);
    sutra_prune_measure(build->graph, build->space, upper, scratch->found, scratch->pool_count,
                        scratch);
    const size_t count = sutra_prune_choose(build->graph, build->space, upper, scratch->pool_count,
                                            limit, NULL, 0, scratch, kept);
    sutra_node_store(list, slots, kept, count);
    return nearest;
}

static void link_point(const struct build *build, struct sutra_scratch *scratch, size_t position)
{
    const struct sutra_graph *graph = build->graph;
    const uint32_t node = build->batch[position], own_upper = build->batch_upper[position];
    const uint64_t entry = graph->entry;
    const unsigned top = (unsigned)(entry >> 32);
    const unsigned own_level =
        own_upper == SUTRA_NO_NODE ? 0 : sutra_graph_upper_level(graph, own_upper);

    build->space->point_query(build->space, node, scratch->query);
    sutra_prune_point(build->space, node, scratch);
    uint32_t start = (uint32_t)entry;
    unsigned level = top < own_level ? top : own_level;
    if (top > level)
        start = descend(graph, build->space, scratch->query, entry, level, scratch);
    for (; level > 0; level--)
        start = link_level(build, scratch, start, level, graph->m,
                           sutra_graph_upper_list(graph, own_upper, level), graph->upper_slots,
                           position);
    if (top > 0)
        start = sutra_graph_upper_node(graph, start);
    link_level(build, scratch, start, 0, graph->forward, sutra_graph_list(graph, node),
               graph->slots, position);
}

static int link_range(void *context, unsigned worker, size_t begin, size_t end)
{
    const struct build *build = context;
    for (size_t position = begin; position < end; position++)
        link_point(build, &build->workers[worker], position);
    return SUTRA_OK;
}

/* ---- step 2: edges by target */

static int reserve_edges(struct build *build, size_t count)
{
    if (count <= build->edges_room)
        return SUTRA_OK;
    const size_t room = count + count / 2 + 64;
    uint64_t *edges = malloc(room * sizeof *edges);
    uint64_t *spare = malloc(room * sizeof *spare);
    uint32_t *groups = malloc((room + 1) * sizeof *groups);
    if (!edges || !spare || !groups) {
        free(edges);
        free(spare);
        free(groups);
        return SUTRA_E_NO_MEMORY;
    }
    free(build->edges);
    free(build->edges_spare);
    free(build->groups);
    build->edges = edges;
    build->edges_spare = spare;
    build->groups = groups;
    build->edges_room = room;
    return SUTRA_OK;
}

/* Stable radix sort, a byte at a time; bytes that are equal everywhere are skipped. */
static void sort_edges(struct build *build, size_t count)
{
    uint64_t all_or = 0, all_and = ~(uint64_t)0;
    for (size_t e = 0; e < count; e++) {
        all_or |= build->edges[e];
        all_and &= build->edges[e];
    }
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if (((all_or ^ all_and) >> shift & 0xff) == 0)
            continue;
        size_t starts[257] = {0};
        for (size_t e = 0; e < count; e++)
            starts[(build->edges[e] >> shift & 0xff) + 1]++;
        for (size_t byte = 0; byte < 256; byte++)
            starts[byte + 1] += starts[byte];
        for (size_t e = 0; e < count; e++)
            build->edges_spare[starts[build->edges[e] >> shift & 0xff]++] = build->edges[e];
        uint64_t *const sorted = build->edges_spare;
        build->edges_spare = build->edges;
        build->edges = sorted;
    }
}

static void group_edges(struct build *build, size_t count)
{
    build->group_count = 0;
    for (size_t e = 0; e < count; e++) {
        if (e == 0 || build->edges[e] >> 32 != build->edges[e - 1] >> 32)
            build->groups[build->group_count++] = (uint32_t)e;
    }
    build->groups[build->group_count] = (uint32_t)count;
}

static size_t add_edges(struct build *build, size_t count, const uint32_t *list, size_t slots,
                        uint32_t source, unsigned level)
{
    const struct sutra_graph *graph = build->graph;
    for (size_t s = 0; s < slots && list[s] != SUTRA_NO_NODE; s++) {
        uint64_t target = list[s];
        if (level > 0)
            target = *(const uint32_t *)sutra_planes_row(&graph->upper, SUTRA_UPPER_FIRST_LIST,
                                                         list[s]) +
                     level - 1;
        build->edges[count++] = target << 32 | source;
    }
    return count;
}

static int collect_edges(struct build *build, bool upper)
{
    const struct sutra_graph *graph = build->graph;
    const size_t most = upper ? (size_t)graph->m * SUTRA_LEVEL_MAX : graph->forward;
    size_t members = 0;
    for (size_t j = 0; j < build->batch_count; j++)
        members += !upper || build->batch_upper[j] != SUTRA_NO_NODE;
    const int status = reserve_edges(build, members * most);
    if (status != SUTRA_OK)
        return status;
    size_t count = 0;
    for (size_t j = 0; j < build->batch_count; j++) {
        const uint32_t own_upper = build->batch_upper[j];
        if (!upper) {
            count = add_edges(build, count, sutra_graph_list(graph, build->batch[j]), graph->slots,
                              build->batch[j], 0);
        } else if (own_upper != SUTRA_NO_NODE) {
            for (unsigned level = sutra_graph_upper_level(graph, own_upper); level > 0; level--)
                count = add_edges(build, count, sutra_graph_upper_list(graph, own_upper, level),
                                  graph->upper_slots, own_upper, level);
        }
    }
    build->upper = upper;
    sort_edges(build, count);
    group_edges(build, count);
    return SUTRA_OK;
}

/* ---- step 3: reverse edges */

/* The upper node that owns an upper list: the last whose first list is not beyond it. */
static uint32_t list_owner(const struct sutra_graph *graph, uint32_t list)
{
    size_t low = 0, high = graph->upper_count - 1;
    while (low < high) {
        const size_t middle = (low + high + 1) / 2;
        if (*(const uint32_t *)sutra_planes_row(&graph->upper, SUTRA_UPPER_FIRST_LIST, middle) <=
            list)
            low = middle;
        else
            high = middle - 1;
    }
    return (uint32_t)low;
}

static void take_sources(const struct build *build, struct sutra_scratch *scratch, size_t group)
{
    struct sutra_graph *graph = build->graph;
    const bool upper = build->upper;
    const size_t slots = upper ? graph->upper_slots : graph->slots;
    const uint64_t *edges = build->edges + build->groups[group];
    const size_t added = build->groups[group + 1] - build->groups[group];
    const uint32_t target = (uint32_t)(edges[0] >> 32);
    const uint32_t owner = upper ? list_owner(graph, target) : target;
    uint32_t *list =
        upper ? sutra_planes_row(&graph->upper_links, 0, target) : sutra_graph_list(graph, target);
    uint32_t *ids = scratch->found;
    sutra_node_load(list, slots, ids);
    size_t count = 0;
    while (count < slots && ids[count] != SUTRA_NO_NODE)
        count++;
    for (size_t j = 0; j < added; j++)
        ids[count++] = (uint32_t)edges[j];
    if (count <= slots) {
        sutra_node_store(list, slots, ids, count);
        return;
    }
    sutra_prune_point(build->space, sutra_node_row(graph, upper, owner), scratch);
    sutra_prune_measure(graph, build->space, upper, ids, count, scratch);
    uint32_t kept[SUTRA_NODE_SLOTS_MAX];
    const size_t kept_count =
        sutra_prune_choose(graph, build->space, upper, count, slots - slots / 5,
                           upper ? NULL : sutra_tree_parents(graph), owner, scratch, kept);
    sutra_node_store(list, slots, kept, kept_count);
}

static int take_range(void *context, unsigned worker, size_t begin, size_t end)
{
    const struct build *build = context;
    for (size_t group = begin; group < end; group++)
        take_sources(build, &build->workers[worker], group);
    return SUTRA_OK;
}

/* A hub may be chosen by a whole batch. */
static int reserve_group_room(struct build *build)
{
    size_t largest = 0;
    for (size_t g = 0; g < build->group_count; g++) {
        const size_t size = build->groups[g + 1] - build->groups[g];
        largest = size > largest ? size : largest;
    }
    const size_t room = largest + SUTRA_NODE_SLOTS_MAX + build->ef;
    for (unsigned w = 0; w < build->threads; w++) {
        const int status = sutra_scratch_reserve_build(
            &build->workers[w], build->space->query_bytes, build->space->exact_bytes, room);
        if (status != SUTRA_OK)
            return status;
    }
    return SUTRA_OK;
}

/* Copy the lists that the next step may change; step 4 changes at most one a point. */
static int journal_groups(struct build *build)
{
    struct sutra_graph *graph = build->graph;
    const int status = sutra_journal_reserve(
        graph->journal, build->group_count + build->batch_count + SUTRA_LEVEL_MAX);
    for (size_t g = 0; status == SUTRA_OK && g < build->group_count; g++)
        sutra_journal_copy(graph->journal, graph, build->upper,
                           (uint32_t)(build->edges[build->groups[g]] >> 32));
    return status;
}

static int link_back(struct build *build, bool upper)
{
    int status = collect_edges(build, upper);
    if (status == SUTRA_OK)
        status = journal_groups(build);
    if (status == SUTRA_OK)
        status = reserve_group_room(build);
    if (status == SUTRA_OK)
        status = sutra_parallel_for(build->group_count, 32, build->threads, take_range, build);
    return status;
}

/* ---- step 4, and the batch as a whole */

static void raise_entry(struct build *build)
{
    struct sutra_graph *graph = build->graph;
    for (size_t j = 0; j < build->batch_count; j++) {
        const uint32_t upper = build->batch_upper[j];
        if (upper == SUTRA_NO_NODE)
            continue;
        const uint64_t level = sutra_graph_upper_level(graph, upper);
        if (level <= graph->entry >> 32)
            continue;
        const uint32_t old_root = sutra_tree_root(graph);
        if (old_root != build->batch[j])
            sutra_tree_reroot(graph, build->batch[j], old_root);
        graph->entry = level << 32 | upper;
    }
}

static int make_upper_nodes(struct build *build)
{
    for (size_t j = 0; j < build->batch_count; j++) {
        build->batch_upper[j] = SUTRA_NO_NODE;
        const unsigned level = draw_level(build->graph, build->batch[j]);
        if (level == 0)
            continue;
        const int status =
            make_upper_node(build->graph, build->batch[j], level, &build->batch_upper[j]);
        if (status != SUTRA_OK)
            return status;
    }
    return SUTRA_OK;
}

static int insert_batch(struct build *build)
{
    struct sutra_graph *graph = build->graph;
    int status = make_upper_nodes(build);
    if (status != SUTRA_OK)
        return status;
    for (unsigned w = 0; w < build->threads; w++)
        build->workers[w].upper_limit = graph->upper_count;
    status = sutra_parallel_for(build->batch_count, 4, build->threads, link_range, build);
    if (status == SUTRA_OK)
        status = link_back(build, false);
    if (status == SUTRA_OK)
        status = link_back(build, true);
    if (status != SUTRA_OK)
        return status;
    for (size_t j = 0; j < build->batch_count; j++)
        sutra_tree_adopt(graph, build->batch[j]);
    raise_entry(build);
    return SUTRA_OK;
}

/* The very first node has nothing to search. */
static int insert_first(struct build *build)
{
    struct sutra_graph *graph = build->graph;
    const int status = make_upper_nodes(build);
    if (status != SUTRA_OK)
        return status;
    const uint32_t upper = build->batch_upper[0];
    graph->entry = upper == SUTRA_NO_NODE
                       ? build->batch[0]
                       : (uint64_t)sutra_graph_upper_level(graph, upper) << 32 | upper;
    return SUTRA_OK;
}

/* Everything as it was: lists, counts, entry point, root of the tree. */
static void roll_back(struct sutra_graph *graph, size_t upper_count, uint64_t entry)
{
    sutra_journal_undo(graph->journal, graph);
    graph->upper_count = upper_count;
    graph->list_count = graph->journal->list_count;
    graph->entry = entry;
    graph->count = graph->parents_count = graph->journal->base_count;
    if (graph->count)
        sutra_tree_parents(graph)[sutra_tree_root(graph)] = SUTRA_NO_NODE;
}

static int reserve_workers(struct build *build, size_t rows)
{
    struct sutra_graph *graph = build->graph;
    if (graph->worker_count < build->threads) {
        struct sutra_scratch *workers =
            realloc(graph->workers, build->threads * sizeof *graph->workers);
        if (!workers)
            return SUTRA_E_NO_MEMORY;
        graph->workers = workers;
        while (graph->worker_count < build->threads)
            sutra_scratch_init(&workers[graph->worker_count++]);
    }
    build->workers = graph->workers;
    for (unsigned w = 0; w < build->threads; w++) {
        int status = sutra_scratch_reserve(&graph->workers[w], rows, build->ef);
        if (status == SUTRA_OK)
            status = sutra_scratch_reserve_build(&graph->workers[w], build->space->query_bytes,
                                                 build->space->exact_bytes,
                                                 2 * (size_t)SUTRA_NODE_SLOTS_MAX + build->ef);
        if (status != SUTRA_OK)
            return status;
    }
    return SUTRA_OK;
}

static uint32_t *shuffled_rows(const struct sutra_graph *graph, size_t added)
{
    uint32_t *order = malloc(added * sizeof *order);
    if (!order)
        return NULL;
    const uint64_t stream = sutra_mix64(graph->seed ^ sutra_mix64(graph->count));
    for (size_t j = 0; j < added; j++)
        order[j] = (uint32_t)(graph->count + j);
    for (size_t j = added; j > 1; j--) {
        const size_t other = sutra_random_at(stream, j) % j;
        const uint32_t swapped = order[j - 1];
        order[j - 1] = order[other];
        order[other] = swapped;
    }
    return order;
}

static int insert_all(struct build *build, uint32_t *order, size_t added,
                      sutra_progress_fn progress, void *progress_context)
{
    const size_t count = build->graph->count;
    for (size_t done = 0; done < added; done += build->batch_count) {
        const size_t linked = count + done, most = sutra_graph_batch_rows(linked);
        const size_t batch = build->graph->peers && most > PEERS_MAX ? PEERS_MAX : most;
        build->batch = order + done;
        build->batch_count = batch < added - done ? batch : added - done;
        const int status = linked ? insert_batch(build) : insert_first(build);
        if (status != SUTRA_OK)
            return status;
        build->graph->count = count + added; /* from here on the tree root may be asked for */
        if (progress && progress(progress_context, done + build->batch_count, added))
            return SUTRA_E_CANCELLED;
    }
    return SUTRA_OK;
}

/* Everything an add needs before it changes anything. */
static int prepare(struct build *build, struct sutra_journal *journal, size_t rows)
{
    struct sutra_graph *graph = build->graph;
    int status = sutra_planes_ensure(&graph->links, rows);
    if (status == SUTRA_OK)
        status = sutra_tree_prepare(graph, rows);
    if (status == SUTRA_OK)
        status = reserve_workers(build, rows);
    if (status == SUTRA_OK)
        status = sutra_journal_init(journal, graph);
    return status;
}

int sutra_graph_add(struct sutra_graph *graph, const struct sutra_space *space, size_t added,
                    unsigned threads, sutra_progress_fn progress, void *progress_context)
{
    if (added == 0)
        return SUTRA_OK;
    const size_t count = graph->count, upper_count = graph->upper_count, rows = count + added;
    const uint64_t entry = graph->entry;
    if (rows > SUTRA_ROWS_MAX)
        return SUTRA_E_CAPACITY;

    struct sutra_journal journal = {0};
    struct build *build = calloc(1, sizeof *build);
    uint32_t *order = shuffled_rows(graph, added);
    int status = build && order ? SUTRA_OK : SUTRA_E_NO_MEMORY;
    if (status == SUTRA_OK) {
        build->graph = graph;
        build->space = space;
        build->threads = threads ? threads : 1;
        build->ef = graph->ef_construction;
        status = prepare(build, &journal, rows);
    }
    if (status == SUTRA_OK) {
        memset(sutra_graph_list(graph, count), 0xff, added * graph->slots * sizeof(uint32_t));
        memset(sutra_tree_parents(graph) + count, 0xff, added * sizeof(uint32_t));
        graph->journal = &journal;
        status = insert_all(build, order, added, progress, progress_context);
        if (status == SUTRA_OK) {
            graph->count = graph->parents_count = rows;
            sutra_journal_mark(&journal, graph);
        } else {
            roll_back(graph, upper_count, entry);
        }
        graph->journal = NULL;
    }
    sutra_journal_deinit(&journal);
    if (build) {
        free(build->edges);
        free(build->edges_spare);
        free(build->groups);
    }
    free(build);
    free(order);
    if (added > 1024)
        sutra_graph_release_workers(graph);
    return status;
}
