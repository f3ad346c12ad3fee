/* Walking where not all that a walk meets may be found: rows that are dead, not visible at a view,
 * or of an add that is not done.
 *
 * Such rows stay in the graph, as ways to others, so a walk goes through them and what it has found
 * is sifted afterwards. With too few left it is repeated, wider, until it would cost as much as
 * looking at every row.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

/* A walk is widened for rows that are known to be hidden up to this much, before it starts. */
#define WIDEN_AHEAD_MAX 8u

void sutra_front_walk(const struct sutra_front *front, const struct sutra_space *space,
                      const struct sutra_work_query *query, size_t ef, struct sutra_scratch *walk)
{
    if (front->options.quantization == SUTRA_QUANT_NONE) {
        const struct sutra_float_query floats = {query->vector, query->inverse_norm};
        sutra_graph_search(&front->graph, space, &floats, ef, walk);
    } else {
        sutra_graph_search(&front->graph, space, &query->code.walk, ef, walk);
    }
}

/* The width to start with: wide enough to find ef rows if what is hidden lies evenly. */
static size_t first_width(const struct sutra_sifted_walk *sifted, size_t nodes)
{
    const size_t met = sifted->met, hidden = sifted->hidden;
    size_t ef = sifted->ef;
    if (hidden > 0 && hidden < met) {
        /* Rows that are to be reranked must be found besides. */
        const size_t least = sutra_index_rerank_rows(sifted->k, ef), shown = met - hidden;
        ef = ef > least ? ef : least;
        ef = shown > met / WIDEN_AHEAD_MAX ? (size_t)((uint64_t)ef * met / shown) + 1
                                           : ef * WIDEN_AHEAD_MAX;
    } else if (hidden > 0) {
        ef *= WIDEN_AHEAD_MAX;
    }
    return ef < nodes ? ef : nodes;
}

/* Move what may be found to the front of a pool, `wanted` of it at most; how much there is. */
static size_t sift(const struct sutra_front *front, const uint64_t *view,
                   struct sutra_scratch *walk, size_t wanted)
{
    const struct sutra_planes *planes = &front->planes;
    for (size_t j = 0; view && j < walk->pool_count; j++) {
        const uint32_t row = sutra_pool_id(walk->pool[j]);
        SUTRA_PREFETCH(sutra_planes_row(planes, SUTRA_PLANE_BIRTH, row));
        SUTRA_PREFETCH(sutra_planes_row(planes, SUTRA_PLANE_DEATH, row));
    }
    size_t kept = 0;
    for (size_t j = 0; j < walk->pool_count && kept < wanted; j++) {
        if (sutra_front_shows(front, sutra_pool_id(walk->pool[j]), view))
            walk->pool[kept++] = walk->pool[j];
    }
    return kept;
}

int sutra_front_walk_sifted(const struct sutra_front *front, const struct sutra_sifted_walk *sifted,
                            const struct sutra_work_query *query, struct sutra_scratch *walk,
                            size_t *found_out)
{
    const size_t k = sifted->k, nodes = front->graph.count, half = sifted->ef / 2;
    const size_t wanted = sutra_index_rerank_rows(k, sifted->ef);
    const size_t enough = k > half ? k : half;
    for (size_t ef = first_width(sifted, nodes);;) {
        const int status = sutra_scratch_reserve(walk, nodes, ef > wanted ? ef : wanted);
        if (status != SUTRA_OK)
            return status;
        sutra_front_walk(front, sifted->space, query, ef, walk);
        const size_t found = sift(front, sifted->view, walk, wanted);
        if (found >= enough || (ef == nodes && found >= k)) {
            *found_out = found;
            return SUTRA_OK;
        }
        /* As wide as the share of what may be found suggests, but at least double. */
        const size_t suggested = found ? (size_t)((uint64_t)ef * enough / found) : 8 * ef;
        const size_t most = 8 * ef;
        ef = suggested < 2 * ef ? 2 * ef : suggested < most ? suggested : most;
        if (ef > nodes / SUTRA_WALK_SHARE_MAX)
            break;
    }
    *found_out = SIZE_MAX;
    return SUTRA_OK;
}
