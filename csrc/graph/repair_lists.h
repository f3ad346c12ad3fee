/* Lists without the dead: what a sweep does in place and an import on the way.
 *
 * A live node that has dead neighbours chooses anew from its live ones and the live neighbours of
 * the dead ones (Singh et al., "FreshDiskANN", 2021, algorithm 4), children in the tree always
 * kept. A repair reads the node's own list and those of dead nodes, and writes the node's own:
 * nodes are repaired in parallel, in any order, with the same result.
 *
 * Internal to graph/. Threading: the writer of `to` alone, and nobody writes to `from`.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_GRAPH_REPAIR_LISTS_H
#define SUTRA_GRAPH_REPAIR_LISTS_H

#include "graph.h"

/* Candidates a node chooses from at most: what sutra_workers_reserve is to be asked for. */
#define SUTRA_REPAIR_CANDIDATES 1024u

struct sutra_repair {
    const struct sutra_graph *from;
    struct sutra_graph *to;          /* has tables and parents; `from` itself in a sweep */
    const struct sutra_space *space; /* of the rows of `to` */
    const uint64_t *gone;            /* rows of `from` that are dead or vacant */
    const uint32_t *names;           /* rows of `from` in `to`; NULL in a sweep */
    const uint32_t *upper_names;     /* the same for upper nodes */
    uint64_t *changed;               /* set in a sweep: a bit for each base list that has changed */
    uint64_t *upper_changed;         /* and for each upper list */
};

/* Cannot fail: uses the workers of `to`, which are reserved for `threads`. */
void sutra_repair_lists(const struct sutra_repair *repair, unsigned threads);

#endif
