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

    size_t count; /* nodes linked */
    size_t upper_count;
    size_t list_count; /* upper lists */
    /* top level << 32 | entry: an upper node, or a base node while the top level is 0 */
    uint64_t entry;

    struct sutra_planes links;       /* plane 0: base lists */
    struct sutra_planes upper;       /* SUTRA_UPPER_* */
    struct sutra_planes upper_links; /* plane 0: upper lists */
    struct sutra_planes parents;     /* plane 0: uint32, writer only; empty until the first add */
    size_t parents_count;
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
 * suffix, levels, every node reachable from the entry point over base lists. Returns the first
 * violation (SUTRA_E_GRAPH_*) and where it is. */
int sutra_graph_verify(const struct sutra_graph *graph, struct sutra_fault *fault_out);

/* What search relies on but does not check at each step: entry point and upper tables in
 * range. Cheap (reads upper nodes only); to be called on anything read from a file. */
int sutra_graph_check_tables(const struct sutra_graph *graph, struct sutra_fault *fault_out);

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
