/* HNSW: a hierarchical navigable small-world graph of fixed-size neighbour lists.
 *
 * Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using
 * Hierarchical Navigable Small World graphs" (2018): levels drawn from a geometric
 * distribution (section 4.1), greedy descent and best-first walk (algorithms 2 and 5),
 * neighbours chosen by the diversity heuristic (algorithm 4). We differ in three ways:
 *   - building is batch-synchronous (ParlayANN, Dobson et al. 2024): a batch searches the
 *     frozen graph in parallel, then reverse edges are grouped by target and every target is
 *     pruned once. No locks, and the same bytes for any number of threads.
 *   - a spanning tree (one parent a node, see parents) is never pruned away, so every node
 *     stays reachable from the entry point by construction.
 *   - two identical points never both stay neighbours of a third, so duplicates cannot fill
 *     a list and cut off what lies beyond them.
 *
 * Nodes are rows 0 .. count-1 of the caller's planes. A base node's list has 2 m slots. Nodes
 * drawn above level 0 are also upper nodes, numbered in the order they came; their lists, one
 * a level, name upper nodes.
 *
 * A row whose lists are empty and that no list names is vacant. Rows become vacant in three steps:
 * _sweep (no live node names them any more), a wait for the walks that may stand on them,
 * _clear_nodes. Then _link may fill them again. An upper node stays with its row for good.
 *
 * Ownership: _init/_deinit. Threading: one writer; any number of walks beside it, each with its own
 * scratch and on a shallow copy of the struct, which the writer made between two calls, or in a
 * progress callback. A walk enters no node beyond the counts of its copy; the lists it reads change
 * by atomic words (node.h says why a torn list is harmless). Errors: SUTRA_E_NO_MEMORY,
 * SUTRA_E_CAPACITY; a failed or cancelled add leaves the graph as it was.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_GRAPH_GRAPH_H
#define SUTRA_GRAPH_GRAPH_H

#include "../base/dirty.h"
#include "../base/status.h"
#include "../vectors/planes.h"
#include "filter.h"
#include "node.h"
#include "scratch.h"
#include "space.h"

#define SUTRA_LEVEL_MAX 31

/* The entry of a graph with rows, all of them vacant. */
#define SUTRA_NO_ENTRY UINT64_MAX

struct sutra_journal;

/* The planes of upper nodes. */
enum {
    SUTRA_UPPER_NODE = 0,
    SUTRA_UPPER_FIRST_LIST = 1,
    SUTRA_UPPER_LEVEL = 2,
    SUTRA_UPPER_PLANES
};

struct sutra_graph {
    uint32_t m;
    uint32_t slots;       /* of a base list: 2 m */
    uint32_t upper_slots; /* of an upper list: 16 or 32 */
    uint32_t forward;     /* neighbours a new node chooses */
    uint32_t ef_construction;
    uint64_t seed;
    int huge_pages;
    /* Points linked together see one another. For rows in the order of a stream, where neighbours
     * come together; for the same reason batches are small. Set before the first add. */
    bool peers;

    size_t count; /* rows linked, vacant ones among them */
    size_t upper_count;
    size_t list_count; /* upper lists */
    /* top level << 32 | entry: an upper node, or a base node while the top level is 0 */
    uint64_t entry;

    struct sutra_planes links;       /* plane 0: base lists */
    struct sutra_planes upper;       /* SUTRA_UPPER_* */
    struct sutra_planes upper_links; /* plane 0: upper lists */
    struct sutra_planes parents;     /* plane 0: uint32, writer only; empty until the first add */
    size_t parents_count;
    size_t tree_count; /* nodes of the tree: not vacant; known where the parents are */
    /* Called by a link between writing the lists of recycled rows and letting other nodes name
     * them, if set: returns when every walk that begins or goes on sees the rows as they are now.
     */
    void (*grace)(void *context);
    void *grace_context;
    struct sutra_journal *journal; /* of the add in progress, else NULL */
    /* lists that were there when they were last saved, and that adds have changed since */
    struct sutra_dirty links_dirty, upper_links_dirty;
    struct sutra_scratch *workers; /* of the writer, kept between small adds */
    unsigned worker_count;
};

struct sutra_graph_options {
    uint32_t m; /* 8, 16, 24 or 32 */
    uint32_t ef_construction;
    uint64_t seed;
    int huge_pages;
};

/* Called between batches with nodes done so far; non-zero stops the build. */
typedef int (*sutra_progress_fn)(void *context, size_t done, size_t total);

int sutra_graph_init(struct sutra_graph *graph, const struct sutra_graph_options *options);
void sutra_graph_deinit(struct sutra_graph *graph);
/* Give back what is kept between small adds. */
void sutra_graph_release_workers(struct sutra_graph *graph);

/* Link rows count .. count+added-1 of the space, which must already hold them. */
int sutra_graph_add(struct sutra_graph *graph, const struct sutra_space *space, size_t added,
                    unsigned threads, sutra_progress_fn progress, void *progress_context);
/* The same for the given rows, each of them vacant or one of the next new ones (count, count+1, ..,
 * in any order, none left out). A failed or cancelled link leaves recycled rows vacant, but walks
 * may stand on them until the next wait for them. SUTRA_E_ARGUMENT for any other row. */
int sutra_graph_link(struct sutra_graph *graph, const struct sutra_space *space,
                     const uint32_t *rows, size_t count, unsigned threads,
                     sutra_progress_fn progress, void *progress_context);

/* After it no list of a live node names a dead one, all live nodes can be reached without the dead
 * ones, and the entry point is live. dead: a bit a row below count; vacant rows need not be among
 * them. Lists of dead nodes stay what they are. The same bytes for any number of threads. Changes
 * nothing when it fails. SUTRA_E_ARGUMENT when no live node is left. */
int sutra_graph_sweep(struct sutra_graph *graph, const struct sutra_space *space,
                      const uint64_t *dead, unsigned threads);
/* Empty the lists of dead nodes that were swept and that no walk can stand on. Without a sweep only
 * if all nodes are dead; then the graph has no entry. */
int sutra_graph_clear_nodes(struct sutra_graph *graph, const uint64_t *dead);

/* Fill a graph freshly initialized with the same m from the live part of another, repaired as by a
 * sweep. map: for every row of `from` its row here, rising from 0 to live-1, or SUTRA_NO_NODE.
 * `space` is that of the new rows. `from` is only read. SUTRA_E_GRAPH_* if
 * `from` is not sound, SUTRA_E_ARGUMENT for another map; on failure the graph stays empty. */
int sutra_graph_import(struct sutra_graph *graph, const struct sutra_space *space,
                       const struct sutra_graph *from, const uint32_t *map, size_t live,
                       unsigned threads);

/* Rows that an add links at once when `linked` are there: they do not see one another. */
size_t sutra_graph_batch_rows(size_t linked);

/* Walk with width ef >= 1; afterwards scratch->pool[0 .. pool_count-1] holds the nodes found,
 * nearest first. The scratch must have room for ef and for all nodes. */
void sutra_graph_search(const struct sutra_graph *graph, const struct sutra_space *space,
                        const void *query, size_t ef, struct sutra_scratch *scratch);

/* The same over nodes that pass the filter alone. seeds: some of them, to begin with. False: given
 * up, because keys and SUTRA_HOP_COST times the lists read came to cost_max; the pool holds what
 * was found until then. */
#define SUTRA_HOP_COST 3u /* what a list costs, in keys */
bool sutra_graph_search_filtered(const struct sutra_graph *graph, const struct sutra_space *space,
                                 const void *query, size_t ef, const struct sutra_filter *filter,
                                 const uint32_t *seeds, size_t seed_count, uint64_t cost_max,
                                 struct sutra_scratch *scratch);

/* Check every invariant: ids in range, no self loops, no neighbour twice, sentinel only as
 * suffix, levels, every node reachable from the entry point over base lists, except that the rows
 * of `vacant` (a bit a row; NULL: none) have empty lists and nobody names them. Returns the first
 * violation (SUTRA_E_GRAPH_*) and where it is. */
int sutra_graph_verify(const struct sutra_graph *graph, const uint64_t *vacant,
                       struct sutra_fault *fault_out);

/* What search relies on but does not check at each step: entry point and upper tables in
 * range. Cheap (reads upper nodes only); to be called on anything read from a file. */
int sutra_graph_check_tables(const struct sutra_graph *graph, struct sutra_fault *fault_out);

/* Is the row's bit set? rows NULL: none is. */
SUTRA_INLINE bool sutra_graph_has_row(const uint64_t *rows, size_t row)
{
    return rows && rows[row / 64] >> row % 64 & 1;
}

/* Lines of a base list, in order; level >= 1 takes an upper node. */
SUTRA_INLINE uint32_t *sutra_graph_list(const struct sutra_graph *graph, size_t node)
{
    return sutra_planes_row(&graph->links, 0, node);
}

SUTRA_INLINE uint32_t sutra_graph_upper_node(const struct sutra_graph *graph, size_t upper)
{
    return *(const uint32_t *)sutra_planes_row(&graph->upper, SUTRA_UPPER_NODE, upper);
}

SUTRA_INLINE uint32_t *sutra_graph_upper_list(const struct sutra_graph *graph, size_t upper,
                                              unsigned level)
{
    const uint32_t first =
        *(const uint32_t *)sutra_planes_row(&graph->upper, SUTRA_UPPER_FIRST_LIST, upper);
    return sutra_planes_row(&graph->upper_links, 0, (size_t)first + level - 1);
}

SUTRA_INLINE unsigned sutra_graph_upper_level(const struct sutra_graph *graph, size_t upper)
{
    return *(const uint8_t *)sutra_planes_row(&graph->upper, SUTRA_UPPER_LEVEL, upper);
}

#endif
