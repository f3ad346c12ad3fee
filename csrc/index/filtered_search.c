/* One query among the rows that pass a filter.
 *
 * What passes is scanned where that costs less than a walk, and where so little passes that a walk
 * would lose its way: by codes, with a rerank of the best. Otherwise the graph is walked over
 * passing rows; a walk that turns out dearer than the scan would have been ends in one.
 *
 * When what passes lies far from the query, its rows are all about as far, and codes of four bits
 * tell them apart no more. The rerank shows it: the best of it come from anywhere in the order that
 * the codes gave, not from its front. Then all that passes is compared exactly.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include "sieve.h"

#define BLOCK_ROWS 256u
/* What a walk of width ef costs, in rows scanned, for each of ef: about 30 keys, which are looked
 * up at random, and 20 lists. */
#define WALK_ROWS_EACH 90u
/* From one row in so many on, two hops from a node lead to enough others. */
#define WALK_SHARE_MIN 50u

struct passing_search {
    const struct sutra_front *front;
    const struct sutra_sieve *sieve;
    const uint64_t *view; /* NULL: rows have no lifetimes */
    struct sutra_work_query *query;
    struct sutra_plan *plan;
    size_t k;
};

/* Passing rows of [first, end), by the best distance known. */
static void scan_exactly(const struct passing_search *search, size_t first, size_t end)
{
    uint32_t rows[BLOCK_ROWS], positions[BLOCK_ROWS + 8];
    float distances[BLOCK_ROWS];
    struct sutra_work_query *const query = search->query;
    size_t count;
    while ((count = sutra_sieve_next(search->sieve, &first, end, BLOCK_ROWS, rows)) > 0) {
        sutra_front_distances(search->front, query, rows, count, distances);
        query->best_count =
            sutra_front_keep_best(search->front, query->best, query->best_count, search->k, rows,
                                  distances, count, search->view, positions);
        search->plan->looked += count;
    }
}

/* Passing rows of [first, end), by codes: the best `wanted` of them and of the pool's `kept`. */
static size_t scan_codes(const struct passing_search *search, const struct sutra_space *space,
                         const void *walk_query, size_t first, size_t end, uint64_t *pool,
                         size_t kept, size_t wanted)
{
    uint32_t rows[2][BLOCK_ROWS], positions[BLOCK_ROWS + 8];
    float keys[BLOCK_ROWS];
    size_t count = sutra_sieve_next(search->sieve, &first, end, BLOCK_ROWS, rows[0]);
    for (unsigned now = 0; count > 0; now ^= 1) {
        /* Known one block ahead, rows come from memory while others are compared. */
        const size_t next = sutra_sieve_next(search->sieve, &first, end, BLOCK_ROWS, rows[now ^ 1]);
        for (size_t j = 0; j < next; j++)
            SUTRA_PREFETCH(space->rows + rows[now ^ 1][j] * space->row_stride);
        space->keys(space, walk_query, rows[now], count, keys);
        kept = sutra_front_keep_best(search->front, pool, kept, wanted, rows[now], keys, count,
                                     search->view, positions);
        search->plan->looked += count;
        count = next;
    }
    return kept;
}

static size_t published_seeds(const struct sutra_sieve *sieve, size_t nodes, uint32_t *seeds_out)
{
    size_t count = 0;
    for (size_t j = 0; j < sieve->seed_count; j++) {
        seeds_out[count] = sieve->seeds[j];
        count += sieve->seeds[j] < nodes;
    }
    return count;
}

int sutra_front_search_passing(const struct sutra_front *front, const struct sutra_space *space,
                               const struct sutra_sieve *sieve, size_t nodes, size_t coded,
                               struct sutra_work_query *query, size_t k, size_t ef,
                               struct sutra_scratch *walk, struct sutra_plan *plan_out)
{
    const uint64_t *const view = sieve->filter.births ? &sieve->filter.view : NULL;
    const struct passing_search search = {front, sieve, view, query, plan_out, k};
    *plan_out = (struct sutra_plan){.kind = SUTRA_PLAN_SCAN, .passing = sieve->passing};
    if (coded == 0) {
        scan_exactly(&search, 0, sieve->rows);
        return SUTRA_OK;
    }
    const struct sutra_float_query floats = {query->vector, query->inverse_norm};
    const void *const walk_query = front->options.quantization == SUTRA_QUANT_NONE
                                       ? (const void *)&floats
                                       : (const void *)&query->code.walk;
    const size_t wanted = sutra_index_rerank_rows(k, ef), width = ef > wanted ? ef : wanted;
    const int status = sutra_scratch_reserve(walk, front->graph.count, width);
    if (status != SUTRA_OK)
        return status;
    size_t found = 0;
    bool walked = nodes && sieve->passing > (uint64_t)WALK_ROWS_EACH * ef &&
                  sieve->passing > sieve->rows / WALK_SHARE_MIN;
    plan_out->kind = walked ? SUTRA_PLAN_FILTER_WALK : SUTRA_PLAN_CODE_SCAN;
    if (walked) {
        uint32_t seeds[SUTRA_SIEVE_SEEDS];
        const size_t seed_count = published_seeds(sieve, nodes, seeds);
        walked = sutra_graph_search_filtered(&front->graph, space, walk_query, ef, &sieve->filter,
                                             seeds, seed_count, 2 * sieve->passing, walk);
        plan_out->looked = walk->distances + walk->hops;
        found = walk->pool_count;
        /* Fewer than there should be: what passes does not hang together. */
        walked = walked && (found == ef || found >= k);
        plan_out->gave_up = !walked;
    }
    if (walked)
        found = scan_codes(&search, space, walk_query, nodes, coded, walk->pool,
                           found < wanted ? found : wanted, wanted);
    else
        found = scan_codes(&search, space, walk_query, 0, coded, walk->pool, 0, wanted);
    sutra_front_rank(front, query, walk->pool, found, wanted, k);
    if (front->options.quantization != SUTRA_QUANT_NONE && found >= wanted &&
        sutra_query_is_doubtful(query, walk->pool, wanted)) {
        plan_out->doubtful = true;
        query->best_count = 0;
        scan_exactly(&search, 0, coded);
    }
    scan_exactly(&search, coded, sieve->rows);
    return SUTRA_OK;
}
