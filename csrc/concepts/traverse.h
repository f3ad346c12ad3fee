/* Going along associations: breadth first, best paths, spreading.
 *
 * All of it sees the edges alive at one view, between concepts that `alive` accepts (NULL: all),
 * and does at most `work_max` edge visits, so that a hub cannot hold a thread for ever: what was
 * found until then is the result, and *complete_out is false. Rows that are looked at and passed
 * over (dead, of another kind, too light) count as visits too. A complete result depends on the
 * edges alone, not on how they lie in memory.
 *
 * Ownership: results are malloc'd arrays of the caller's to free. Threading: readers. Errors:
 * SUTRA_E_NO_MEMORY, SUTRA_E_ARGUMENT.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_CONCEPTS_TRAVERSE_H
#define SUTRA_CONCEPTS_TRAVERSE_H

#include "associations.h"

struct sutra_traversal {
    const struct sutra_associations *associations;
    uint64_t view;
    const uint16_t *kinds; /* NULL: every kind */
    size_t kind_count;
    float min_weight;
    size_t work_max;
    bool (*alive)(const void *context, uint32_t concept);
    const void *alive_context;
    /* A bitmap of the concepts that may be in the answer of sutra_spread, the lowest bit of a byte
     * first; those behind its end may not. NULL: all. */
    const uint8_t *answers;
    size_t answer_bits;
};

/* A concept that was reached, and from where: the path is followed back through `parent`. */
struct sutra_reached {
    uint32_t concept;
    uint32_t parent; /* place in the result array of the one before, or UINT32_MAX for a start */
    uint16_t kind;   /* of the edge from it */
    uint16_t hops;
    float score; /* see the function */
};

/* Everything within `hops` outgoing edges of the starts, nearest first (by hops, then by falling
 * score, then by concept number), the starts themselves left out, `limit` at most. score: the
 * largest product of weights over the paths of that many hops; weights below 0 count as 0 in it.
 * Of equally good edges to a concept the one from the earliest place is named, then that of the
 * lowest kind. The array also holds the starts, first, so that parents can be named:
 * *start_count_out of them, each once, those that are not alive left out. */
int sutra_expand(const struct sutra_traversal *traversal, const uint32_t *starts,
                 size_t start_count, unsigned hops, size_t limit,
                 struct sutra_reached **reached_out, size_t *count_out, size_t *start_count_out,
                 bool *complete_out);

/* The `limit` best simple paths from source to target of at most max_depth edges, by falling
 * product of confidences (then fewer edges, then concept numbers, then kinds: edges of several
 * kinds make several paths). Confidences are taken as at most 1; edges of none cannot be used. A
 * concept has one path to itself, of no edges.
 *
 * Best first over partial paths (Yen's problem, but without his spur nodes: depth is small), told
 * by a search back from the target how many edges are left at least. A partial path that is taken
 * up is a visit too. *complete_out false: other paths may be better than those that were found. */
struct sutra_path {
    uint32_t first;  /* of its nodes in nodes_out */
    uint32_t length; /* edges; it has one node more */
    double confidence;
};
/* nodes: concept numbers; kinds[j]: of the edge into nodes[j] (unused at a path's first node). */
int sutra_paths(const struct sutra_traversal *traversal, uint32_t source, uint32_t target,
                unsigned max_depth, size_t limit, struct sutra_path **paths_out,
                size_t *path_count_out, uint32_t **nodes_out, uint16_t **kinds_out,
                bool *complete_out);

/* Spread from scored seeds: a concept reached over an edge from one with score s has score
 * s * decay * weight * confidence; a concept's own is the largest of the ways to it of at most
 * `hops` edges, seeds included (weight and confidence are taken as at most 1 here, so that scores
 * fall along every path). Nothing spreads from a score that is not above 0, nor over an edge that
 * takes it there. The k best that may be in the answer, falling (then by concept number); of
 * equally good ways the one of fewer edges, then from the better parent, then of the lowest kind.
 * Parents name places in the result, which may also hold what ways pass through besides the answer:
 * *count_out in all, the first *best_count_out of them are the answer. What is passed through may
 * be a concept of the answer once more, as it was reached by a way of fewer edges and a lower
 * score. Seeds that are not alive are left out; of a seed that comes twice the larger score counts.
 * SUTRA_E_ARGUMENT: a score that is not finite, decay outside 0 to 1. */
int sutra_spread(const struct sutra_traversal *traversal, const uint32_t *seeds,
                 const float *seed_scores, size_t seed_count, unsigned hops, float decay, size_t k,
                 struct sutra_reached **reached_out, size_t *count_out, size_t *best_count_out,
                 bool *complete_out);

#endif
