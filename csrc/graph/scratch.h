/* Working memory of one walk or one insertion, reused from call to call.
 *
 * The visited set is one epoch byte a node: a new walk raises the epoch instead of clearing,
 * and clears only when the byte wraps.
 *
 * Ownership: whoever calls _init calls _deinit. Threading: one thread at a time.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_GRAPH_SCRATCH_H
#define SUTRA_GRAPH_SCRATCH_H

#include "node.h"

struct sutra_scratch {
    uint8_t *visited;
    size_t visited_room;
    size_t node_limit;  /* ids from here on are not nodes to this walk */
    size_t upper_limit; /* the same for upper nodes; at most node_limit */
    uint8_t epoch;
    uint32_t barred; /* a row that walks do not go through, or SUTRA_NO_NODE */

    /* Found nodes, ascending: key as ordered bits << 32 | id << 1 | expanded. */
    uint64_t *pool;
    size_t pool_room;
    size_t pool_count;
    uint64_t hops;      /* nodes expanded by the last walk */
    uint64_t distances; /* keys computed by the last walk */

    uint32_t ids[SUTRA_NODE_SLOTS_MAX + 1];
    uint32_t slots[SUTRA_NODE_SLOTS_MAX];
    uint32_t positions[SUTRA_NODE_SLOTS_MAX + 8];
    float keys[SUTRA_NODE_SLOTS_MAX];

    /* For building; NULL until sutra_scratch_reserve_build. */
    void *query;
    uint8_t *exact_point; /* one exact row */
    uint8_t *exact_rows;  /* SUTRA_NODE_SLOTS_MAX + 1 exact rows */
    uint64_t *candidates; /* distance bits << 32 | id */
    uint32_t *found;      /* ids to be measured into candidates */
    size_t candidates_room;
    void *build_block;
    size_t build_block_bytes;
};

void sutra_scratch_init(struct sutra_scratch *scratch);
void sutra_scratch_deinit(struct sutra_scratch *scratch);

/* Room for a walk of width ef over nodes below node_limit. SUTRA_E_NO_MEMORY. */
int sutra_scratch_reserve(struct sutra_scratch *scratch, size_t node_limit, size_t ef);
/* Room to insert and prune: query_bytes, exact_bytes as in struct sutra_space. */
int sutra_scratch_reserve_build(struct sutra_scratch *scratch, size_t query_bytes,
                                size_t exact_bytes, size_t candidates);

/* Forget what was visited; returns the byte that marks a visited node now. The place at `limit`,
 * which stands for every id that is no node, counts as visited. */
uint8_t sutra_scratch_new_walk(struct sutra_scratch *scratch, size_t limit);

/* Order-preserving bits of a float, and back. */
SUTRA_INLINE uint32_t sutra_key_bits(float key)
{
    int32_t bits;
    __builtin_memcpy(&bits, &key, sizeof bits);
    return (uint32_t)bits ^ ((uint32_t)(bits >> 31) | 0x80000000u);
}

SUTRA_INLINE float sutra_key_value(uint32_t ordered)
{
    const uint32_t bits = ordered ^ (ordered & 0x80000000u ? 0x80000000u : 0xffffffffu);
    float key;
    __builtin_memcpy(&key, &bits, sizeof key);
    return key;
}

SUTRA_INLINE uint64_t sutra_pool_item(float key, uint32_t id)
{
    return (uint64_t)sutra_key_bits(key) << 32 | (uint64_t)id << 1;
}

SUTRA_INLINE uint32_t sutra_pool_id(uint64_t item)
{
    return (uint32_t)item >> 1;
}

SUTRA_INLINE float sutra_pool_key(uint64_t item)
{
    return sutra_key_value((uint32_t)(item >> 32));
}

#endif
