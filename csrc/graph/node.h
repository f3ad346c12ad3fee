/* A node's neighbour list: cache lines of sixteen 32-bit ids.
 *
 * Unused slots hold SUTRA_NO_NODE and come last; there is no count. A list is one to four
 * lines, 64-byte aligned. Lists change while readers walk, so both sides use relaxed 64-bit
 * atomics: a reader sees some mix of old and new ids, each of them valid, never half an id. A
 * list read from a damaged file may hold anything: every id is compared with the node count
 * before use, and that one compare also finds the sentinel.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_GRAPH_NODE_H
#define SUTRA_GRAPH_NODE_H

#include "../base/config.h"

#define SUTRA_NODE_LINE 16u
#define SUTRA_NODE_LINES_MAX 4u
#define SUTRA_NODE_SLOTS_MAX (SUTRA_NODE_LINE * SUTRA_NODE_LINES_MAX)
#define SUTRA_NO_NODE 0xffffffffu

struct sutra_node_line {
    uint32_t neighbour[SUTRA_NODE_LINE];
};

_Static_assert(sizeof(struct sutra_node_line) == SUTRA_CACHE_LINE, "a line of ids is a cache line");

typedef uint64_t __attribute__((may_alias)) sutra_node_word;

SUTRA_INLINE void sutra_node_load(const uint32_t *list, size_t slots, uint32_t *ids_out)
{
    const sutra_node_word *from = (const sutra_node_word *)(const void *)list;
    sutra_node_word *to = (sutra_node_word *)(void *)ids_out;
    for (size_t w = 0; w < slots / 2; w++)
        to[w] = __atomic_load_n(from + w, __ATOMIC_RELAXED);
}

/* Write count ids and fill the rest of the list with the sentinel. */
SUTRA_INLINE void sutra_node_store(uint32_t *list, size_t slots, const uint32_t *ids, size_t count)
{
    sutra_node_word *to = (sutra_node_word *)(void *)list;
    for (size_t s = 0; s < slots; s += 2) {
        const uint64_t low = s < count ? ids[s] : SUTRA_NO_NODE;
        const uint64_t high = s + 1 < count ? ids[s + 1] : SUTRA_NO_NODE;
        __atomic_store_n(to + s / 2, low | high << 32, __ATOMIC_RELAXED);
    }
}

/* Ids before the first one that is not a node: the length of a sound list. */
SUTRA_INLINE size_t sutra_node_length(const uint32_t *ids, size_t slots, size_t node_count)
{
    size_t length = 0;
    while (length < slots && ids[length] < node_count)
        length++;
    return length;
}

#endif
