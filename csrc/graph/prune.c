/* The diversity heuristic; see prune.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "prune.h"

/* A kept neighbour hides a candidate only if it is nearer to it by this factor (of squared
 * distances) than the point is: slightly longer lists, a tenth fewer distances a search. */
#define DIVERSITY 1.1f

/* Rows measured per call: a few cache lines of output, rows still in L1 or L2. */
#define MEASURE_BLOCK 16u

void sutra_prune_point(const struct sutra_space *space, uint32_t row, struct sutra_scratch *scratch)
{
    space->exact_row(space, row, scratch->exact_point);
}

static int compare_items(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* Candidates come nearly sorted, so insertion wins; a hub's long list does not, and is sorted
 * by the library. Items are distinct: any correct sort gives the same result. */
static void sort_items(uint64_t *items, size_t count)
{
    if (count > 256) {
        qsort(items, count, sizeof *items, compare_items);
        return;
    }
    for (size_t j = 1; j < count; j++) {
        const uint64_t item = items[j];
        size_t at = j;
        for (; at > 0 && items[at - 1] > item; at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

static void prefetch_exact_rows(const struct sutra_graph *graph, const struct sutra_space *space,
                                bool upper, const uint32_t *ids, size_t first, size_t count)
{
    for (size_t j = first; j < count && j < first + MEASURE_BLOCK; j++)
        space->prefetch_exact(space, sutra_node_row(graph, upper, ids[j]));
}

void sutra_prune_measure(const struct sutra_graph *graph, const struct sutra_space *space,
                         bool upper, const uint32_t *ids, size_t count,
                         struct sutra_scratch *scratch)
{
    float distances[MEASURE_BLOCK];
    prefetch_exact_rows(graph, space, upper, ids, 0, count);
    for (size_t first = 0; first < count; first += MEASURE_BLOCK) {
        prefetch_exact_rows(graph, space, upper, ids, first + MEASURE_BLOCK, count);
        const size_t block = count - first < MEASURE_BLOCK ? count - first : MEASURE_BLOCK;
        for (size_t j = 0; j < block; j++)
            space->exact_row(space, sutra_node_row(graph, upper, ids[first + j]),
                             scratch->exact_rows + j * space->exact_bytes);
        space->exact_distances(space, scratch->exact_point, scratch->exact_rows, block, distances);
        for (size_t j = 0; j < block; j++)
            scratch->candidates[first + j] =
                (uint64_t)sutra_key_bits(distances[j]) << 32 | ids[first + j];
    }
    sort_items(scratch->candidates, count);
}

/* Is one of the kept rows nearer to the candidate than `limit`, or equal to it? */
static bool is_hidden(const struct sutra_space *space, const uint8_t *candidate,
                      const uint8_t *kept, size_t kept_count, float limit)
{
    float distances[4];
    for (size_t first = 0; first < kept_count; first += 4) {
        const size_t block = kept_count - first < 4 ? kept_count - first : 4;
        space->exact_distances(space, candidate, kept + first * space->exact_bytes, block,
                               distances);
        for (size_t j = 0; j < block; j++) {
            if (distances[j] < limit || distances[j] == 0.0f)
                return true;
        }
    }
    return false;
}

static bool contains(const uint32_t *ids, size_t count, uint32_t id)
{
    for (size_t j = 0; j < count; j++) {
        if (ids[j] == id)
            return true;
    }
    return false;
}

size_t sutra_prune_choose(const struct sutra_graph *graph, const struct sutra_space *space,
                          bool upper, size_t count, size_t limit, const uint32_t *parents,
                          uint32_t point, struct sutra_scratch *scratch, uint32_t *kept_out)
{
    size_t children_left = 0;
    if (parents) {
        for (size_t j = 0; j < count; j++)
            children_left += parents[(uint32_t)scratch->candidates[j]] == point;
    }
    if (limit < children_left)
        limit = children_left; /* they come from one list, so they fit */
    const size_t filled = limit < graph->forward ? limit : graph->forward;
    size_t kept = 0;
    /* First the diverse ones; then, up to `filled`, the nearest of those that were hidden. */
    for (int pass = 0; pass < 2; pass++) {
        const size_t room = pass == 0 ? limit : filled;
        for (size_t j = 0; j < count && kept < room; j++) {
            const uint64_t item = scratch->candidates[j];
            const uint32_t id = (uint32_t)item;
            const bool child = parents && parents[id] == point;
            if ((!child && kept + children_left >= limit) ||
                (pass == 1 && contains(kept_out, kept, id)))
                continue;
            uint8_t *const row = scratch->exact_rows + kept * space->exact_bytes;
            space->exact_row(space, sutra_node_row(graph, upper, id), row);
            const float nearer =
                pass == 0 ? sutra_key_value((uint32_t)(item >> 32)) / DIVERSITY : 0.0f;
            if (!child && is_hidden(space, row, scratch->exact_rows, kept, nearer))
                continue;
            children_left -= child;
            kept_out[kept++] = id;
        }
    }
    return kept;
}
