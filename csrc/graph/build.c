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
#include "edges.h"
#include "journal.h"
#include "levels.h"
#include "prune.h"
#include "tree.h"
#include "walk.h"
#include "workers.h"
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

    bool upper; /* the level kind of the edges at hand */
    struct sutra_edges edges;

    size_t old_count;     /* rows at the start: those below it are recycled */
    uint64_t *old_uppers; /* upper nodes of recycled rows, see sutra_levels_of */
    size_t old_upper_count;
};

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

static void add_edges(struct build *build, const uint32_t *list, size_t slots, uint32_t source,
                      unsigned level)
{
    for (size_t s = 0; s < slots && list[s] != SUTRA_NO_NODE; s++)
        sutra_edges_add(&build->edges,
                        level > 0 ? sutra_level_list(build->graph, list[s], level) : list[s],
                        source);
}

static int collect_edges(struct build *build, bool upper)
{
    const struct sutra_graph *graph = build->graph;
    const size_t most = upper ? (size_t)graph->m * SUTRA_LEVEL_MAX : graph->forward;
    size_t members = 0;
    for (size_t j = 0; j < build->batch_count; j++)
        members += !upper || build->batch_upper[j] != SUTRA_NO_NODE;
    const int status = sutra_edges_reserve(&build->edges, members * most);
    if (status != SUTRA_OK)
        return status;
    for (size_t j = 0; j < build->batch_count; j++) {
        const uint32_t own_upper = build->batch_upper[j];
        if (!upper) {
            add_edges(build, sutra_graph_list(graph, build->batch[j]), graph->slots,
                      build->batch[j], 0);
        } else if (own_upper != SUTRA_NO_NODE) {
            for (unsigned level = sutra_graph_upper_level(graph, own_upper); level > 0; level--)
                add_edges(build, sutra_graph_upper_list(graph, own_upper, level),
                          graph->upper_slots, own_upper, level);
        }
    }
    build->upper = upper;
    sutra_edges_group(&build->edges);
    return SUTRA_OK;
}

/* ---- step 3: reverse edges */

static void take_sources(const struct build *build, struct sutra_scratch *scratch, size_t group)
{
    struct sutra_graph *graph = build->graph;
    const bool upper = build->upper;
    const size_t slots = upper ? graph->upper_slots : graph->slots;
    const uint64_t *edges = build->edges.edges + build->edges.groups[group];
    const size_t added = sutra_edges_size(&build->edges, group);
    const uint32_t target = sutra_edges_target(&build->edges, group);
    const uint32_t owner = upper ? sutra_level_owner(graph, target) : target;
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
    for (size_t g = 0; g < build->edges.group_count; g++) {
        const size_t size = sutra_edges_size(&build->edges, g);
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
        graph->journal, build->edges.group_count + build->batch_count + SUTRA_LEVEL_MAX);
    for (size_t g = 0; status == SUTRA_OK && g < build->edges.group_count; g++)
        sutra_journal_copy(graph->journal, graph, build->upper,
                           sutra_edges_target(&build->edges, g));
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
        status =
            sutra_parallel_for(build->edges.group_count, 32, build->threads, take_range, build);
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
    int status = SUTRA_OK;
    for (size_t j = 0; status == SUTRA_OK && j < build->batch_count; j++) {
        const uint32_t row = build->batch[j];
        const bool recycled = row < build->old_count;
        const unsigned level = recycled ? 0 : sutra_level_draw(build->graph, row);
        build->batch_upper[j] =
            recycled ? sutra_level_find(build->old_uppers, build->old_upper_count, row)
                     : SUTRA_NO_NODE;
        if (level > 0)
            status = sutra_level_make(build->graph, row, level, &build->batch_upper[j]);
    }
    return status;
}

/* Copy the lists of the recycled rows of a batch, which are empty. */
static int journal_recycled(struct build *build, size_t *recycled_out)
{
    struct sutra_graph *graph = build->graph;
    size_t recycled = 0, lists = 0;
    for (size_t j = 0; j < build->batch_count; j++) {
        if (build->batch[j] >= build->old_count)
            continue;
        const uint32_t upper = build->batch_upper[j];
        recycled++;
        lists += 1 + (upper == SUTRA_NO_NODE ? 0 : sutra_graph_upper_level(graph, upper));
    }
    *recycled_out = recycled;
    const int status = sutra_journal_reserve(graph->journal, lists);
    for (size_t j = 0; status == SUTRA_OK && recycled && j < build->batch_count; j++) {
        if (build->batch[j] >= build->old_count)
            continue;
        sutra_journal_copy(graph->journal, graph, false, build->batch[j]);
        const uint32_t upper = build->batch_upper[j];
        const unsigned top = upper == SUTRA_NO_NODE ? 0 : sutra_graph_upper_level(graph, upper);
        for (unsigned level = 1; level <= top; level++)
            sutra_journal_copy(graph->journal, graph, true, sutra_level_list(graph, upper, level));
    }
    return status;
}

static int insert_batch(struct build *build)
{
    struct sutra_graph *graph = build->graph;
    size_t recycled = 0;
    int status = make_upper_nodes(build);
    if (status == SUTRA_OK)
        status = journal_recycled(build, &recycled);
    if (status != SUTRA_OK)
        return status;
    for (unsigned w = 0; w < build->threads; w++)
        build->workers[w].upper_limit = graph->upper_count;
    status = sutra_parallel_for(build->batch_count, 4, build->threads, link_range, build);
    if (status == SUTRA_OK && recycled && graph->grace)
        graph->grace(graph->grace_context);
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

static int insert_all(struct build *build, const uint32_t *order, size_t count, size_t rows,
                      sutra_progress_fn progress, void *progress_context)
{
    struct sutra_graph *graph = build->graph;
    const size_t before = graph->tree_count;
    for (size_t done = 0; done < count; done += build->batch_count) {
        const size_t linked = before + done, most = sutra_graph_batch_rows(linked);
        const size_t batch = graph->peers && most > PEERS_MAX ? PEERS_MAX : most;
        build->batch = order + done;
        build->batch_count = batch < count - done ? batch : count - done;
        const int status = linked ? insert_batch(build) : insert_first(build);
        if (status != SUTRA_OK)
            return status;
        graph->count = rows; /* from here on the tree root may be asked for */
        if (progress && progress(progress_context, done + build->batch_count, count))
            return SUTRA_E_CANCELLED;
    }
    graph->parents_count = rows;
    graph->tree_count = before + count;
    return SUTRA_OK;
}

/* ---- a link as a whole */

/* Everything as it was: lists, counts, entry point, tree. */
static void roll_back(struct sutra_graph *graph, const uint32_t *order, size_t count,
                      size_t upper_count, uint64_t entry)
{
    sutra_journal_undo(graph->journal, graph);
    graph->upper_count = upper_count;
    graph->list_count = graph->journal->list_count;
    graph->entry = entry;
    graph->count = graph->parents_count = graph->journal->base_count;
    for (size_t j = 0; j < count; j++)
        sutra_tree_parents(graph)[order[j]] = SUTRA_NO_NODE;
    const uint32_t root = sutra_tree_root(graph);
    if (root != SUTRA_NO_NODE)
        sutra_tree_parents(graph)[root] = SUTRA_NO_NODE;
}

static uint32_t *shuffled(const struct sutra_graph *graph, const uint32_t *rows, size_t count)
{
    uint32_t *order = malloc(count * sizeof *order);
    if (!order)
        return NULL;
    const uint64_t stream = sutra_mix64(graph->seed ^ sutra_mix64(graph->count));
    memcpy(order, rows, count * sizeof *order);
    for (size_t j = count; j > 1; j--) {
        const size_t other = sutra_random_at(stream, j) % j;
        const uint32_t swapped = order[j - 1];
        order[j - 1] = order[other];
        order[other] = swapped;
    }
    return order;
}

static bool is_vacant(const struct sutra_graph *graph, uint32_t row)
{
    return !sutra_tree_has(graph, row) && sutra_graph_list(graph, row)[0] == SUTRA_NO_NODE;
}

/* Is every row below `limit`, vacant or new, and none there twice? Leaves their bits in `seen`. */
static bool check_rows(const struct sutra_graph *graph, const uint32_t *rows, size_t count,
                       size_t limit, uint64_t *seen)
{
    for (size_t j = 0; j < count; j++) {
        const uint32_t row = rows[j];
        if (row >= limit || sutra_graph_has_row(seen, row) ||
            (row < graph->count && !is_vacant(graph, row)))
            return false;
        seen[row / 64] |= (uint64_t)1 << row % 64;
    }
    return true;
}

/* Everything a link needs before it changes anything. `limit`: rows there will be. */
static int prepare(struct build *build, struct sutra_journal *journal, const uint32_t *rows,
                   size_t count, size_t limit)
{
    struct sutra_graph *graph = build->graph;
    int status = sutra_planes_ensure(&graph->links, limit);
    if (status == SUTRA_OK)
        status = sutra_lists_thaw(graph);
    if (status == SUTRA_OK)
        status = sutra_tree_prepare(graph, limit);
    if (status == SUTRA_OK)
        status = sutra_workers_reserve(graph, build->space, build->threads, limit, 0);
    if (status != SUTRA_OK)
        return status;
    build->workers = graph->workers;
    uint64_t *seen = calloc(limit / 64 + 1, sizeof *seen);
    if (!seen)
        return SUTRA_E_NO_MEMORY;
    status = check_rows(graph, rows, count, limit, seen) ? SUTRA_OK : SUTRA_E_ARGUMENT;
    if (status == SUTRA_OK && count > limit - graph->count)
        status = sutra_levels_of(graph, seen, &build->old_uppers, &build->old_upper_count);
    free(seen);
    if (status == SUTRA_OK)
        status = sutra_journal_init(journal, graph);
    return status;
}

int sutra_graph_link(struct sutra_graph *graph, const struct sutra_space *space,
                     const uint32_t *rows, size_t count, unsigned threads,
                     sutra_progress_fn progress, void *progress_context)
{
    if (count == 0)
        return SUTRA_OK;
    const size_t old_count = graph->count, upper_count = graph->upper_count;
    const uint64_t entry = graph->entry;
    size_t limit = old_count;
    for (size_t j = 0; j < count; j++)
        limit += rows[j] >= old_count;
    if (limit > SUTRA_ROWS_MAX)
        return SUTRA_E_CAPACITY;

    struct sutra_journal journal = {0};
    struct build *build = calloc(1, sizeof *build);
    uint32_t *order = shuffled(graph, rows, count);
    int status = build && order ? SUTRA_OK : SUTRA_E_NO_MEMORY;
    if (status == SUTRA_OK) {
        build->graph = graph;
        build->space = space;
        build->threads = threads ? threads : 1;
        build->ef = graph->ef_construction;
        build->old_count = old_count;
        status = prepare(build, &journal, rows, count, limit);
    }
    if (status == SUTRA_OK) {
        const size_t fresh = limit - old_count;
        if (fresh) {
            memset(sutra_graph_list(graph, old_count), 0xff,
                   fresh * graph->slots * sizeof(uint32_t));
            memset(sutra_tree_parents(graph) + old_count, 0xff, fresh * sizeof(uint32_t));
        }
        graph->journal = &journal;
        status = insert_all(build, order, count, limit, progress, progress_context);
        if (status == SUTRA_OK)
            sutra_journal_mark(&journal, graph);
        else
            roll_back(graph, order, count, upper_count, entry);
        graph->journal = NULL;
    }
    sutra_journal_deinit(&journal);
    if (build) {
        sutra_edges_deinit(&build->edges);
        free(build->old_uppers);
    }
    free(build);
    free(order);
    if (count > 1024)
        sutra_graph_release_workers(graph);
    return status;
}

int sutra_graph_add(struct sutra_graph *graph, const struct sutra_space *space, size_t added,
                    unsigned threads, sutra_progress_fn progress, void *progress_context)
{
    if (added == 0)
        return SUTRA_OK;
    if (added > SUTRA_ROWS_MAX - graph->count)
        return SUTRA_E_CAPACITY;
    uint32_t *rows = malloc(added * sizeof *rows);
    if (!rows)
        return SUTRA_E_NO_MEMORY;
    for (size_t j = 0; j < added; j++)
        rows[j] = (uint32_t)(graph->count + j);
    const int status =
        sutra_graph_link(graph, space, rows, added, threads, progress, progress_context);
    free(rows);
    return status;
}
