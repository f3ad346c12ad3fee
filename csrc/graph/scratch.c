/* Working memory of walks and insertions; see scratch.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "scratch.h"
#include "../base/bytes.h"
#include "../base/memory.h"
#include "../base/status.h"

void sutra_scratch_init(struct sutra_scratch *scratch)
{
    memset(scratch, 0, sizeof *scratch);
    scratch->barred = SUTRA_NO_NODE;
}

void sutra_scratch_deinit(struct sutra_scratch *scratch)
{
    free(scratch->visited);
    free(scratch->pool);
    sutra_aligned_free(scratch->build_block, scratch->build_block_bytes);
    memset(scratch, 0, sizeof *scratch);
}

int sutra_scratch_reserve(struct sutra_scratch *scratch, size_t node_limit, size_t ef)
{
    if (node_limit >= scratch->visited_room) { /* one more, see sutra_scratch_new_walk */
        const size_t room = node_limit + node_limit / 8 + 64;
        uint8_t *visited = calloc(room, 1);
        if (!visited)
            return SUTRA_E_NO_MEMORY;
        free(scratch->visited);
        scratch->visited = visited;
        scratch->visited_room = room;
        scratch->epoch = 0;
    }
    /* A pool takes one item more than ef, and the insert kernel may touch eight beyond. */
    if (ef + 16 > scratch->pool_room) {
        const size_t room = ef + ef / 4 + 64;
        uint64_t *pool = malloc(room * sizeof *pool);
        if (!pool)
            return SUTRA_E_NO_MEMORY;
        free(scratch->pool);
        scratch->pool = pool;
        scratch->pool_room = room;
    }
    scratch->node_limit = node_limit;
    return SUTRA_OK;
}

int sutra_scratch_reserve_build(struct sutra_scratch *scratch, size_t query_bytes,
                                size_t exact_bytes, size_t candidates)
{
    if (scratch->build_block && candidates <= scratch->candidates_room)
        return SUTRA_OK;
    const size_t query = sutra_round_up(query_bytes, SUTRA_CACHE_LINE);
    const size_t rows = exact_bytes * (SUTRA_NODE_SLOTS_MAX + 2);
    const size_t bytes = query + rows + candidates * (sizeof(uint64_t) + sizeof(uint32_t));
    void *block;
    const int status = sutra_aligned_alloc(SUTRA_CACHE_LINE, bytes, &block);
    if (status != SUTRA_OK)
        return status;
    sutra_aligned_free(scratch->build_block, scratch->build_block_bytes);
    scratch->build_block = block;
    scratch->build_block_bytes = bytes;
    scratch->query = block;
    scratch->exact_point = (uint8_t *)block + query;
    scratch->exact_rows = scratch->exact_point + exact_bytes;
    scratch->candidates = (uint64_t *)(void *)((uint8_t *)block + query + rows);
    scratch->found = (uint32_t *)(void *)(scratch->candidates + candidates);
    scratch->candidates_room = candidates;
    return SUTRA_OK;
}

uint8_t sutra_scratch_new_walk(struct sutra_scratch *scratch, size_t limit)
{
    if (++scratch->epoch == 0) {
        memset(scratch->visited, 0, scratch->visited_room);
        scratch->epoch = 1;
    }
    scratch->visited[limit] = scratch->epoch;
    scratch->pool_count = 0;
    scratch->hops = 0;
    scratch->distances = 0;
    return scratch->epoch;
}
