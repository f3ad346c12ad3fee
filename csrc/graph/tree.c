/* The spanning tree; see tree.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "journal.h"
#include "tree.h"
#include "../base/prng.h"

uint32_t sutra_tree_root(const struct sutra_graph *graph)
{
    if (graph->count == 0 || graph->entry == SUTRA_NO_ENTRY)
        return SUTRA_NO_NODE;
    const uint32_t entry = (uint32_t)graph->entry;
    return graph->entry >> 32 ? sutra_graph_upper_node(graph, entry) : entry;
}

size_t sutra_tree_spread(const struct sutra_graph *graph, uint32_t start, size_t limit,
                         uint32_t *parents_out, uint8_t *reached, uint32_t *queue)
{
    size_t head = 0, tail = 0;
    queue[tail++] = start;
    reached[start] = 1;
    while (head < tail) {
        const uint32_t node = queue[head++];
        const uint32_t *list = sutra_graph_list(graph, node);
        for (size_t s = 0; s < graph->slots && list[s] < limit; s++) {
            const uint32_t next = list[s];
            if (reached[next])
                continue;
            reached[next] = 1;
            parents_out[next] = node;
            queue[tail++] = next;
        }
    }
    return tail;
}

int sutra_tree_prepare(struct sutra_graph *graph, size_t rows)
{
    if (!graph->parents.count) {
        const size_t row_bytes[1] = {sizeof(uint32_t)};
        const int status = sutra_planes_init(&graph->parents, row_bytes, 1, SUTRA_HUGE_NEVER);
        if (status != SUTRA_OK)
            return status;
        graph->parents_count = 0;
    }
    const int status = sutra_planes_ensure(&graph->parents, rows);
    if (status != SUTRA_OK || graph->parents_count == graph->count)
        return status;

    /* Lists from a file are untrusted: building, unlike searching, relies on every id. */
    const size_t count = graph->count;
    uint8_t *reached = malloc(count);
    uint32_t *queue = malloc(count * sizeof *queue);
    struct sutra_fault fault;
    int sound = SUTRA_E_NO_MEMORY;
    if (reached && queue)
        sound = sutra_tree_find(graph, sutra_tree_parents(graph), reached, queue,
                                &graph->tree_count, &fault);
    free(reached);
    free(queue);
    if (sound == SUTRA_OK)
        graph->parents_count = count;
    return sound;
}

static bool list_contains(const uint32_t *list, size_t slots, uint32_t node)
{
    for (size_t s = 0; s < slots; s++) {
        if (list[s] == node)
            return true;
    }
    return false;
}

/* Put `node` into the list of `owner`: in a free slot, or over the last neighbour that is not
 * a child of owner. */
static bool force_into(struct sutra_graph *graph, uint32_t owner, uint32_t node)
{
    const uint32_t *parents = sutra_tree_parents(graph);
    uint32_t ids[SUTRA_NODE_SLOTS_MAX];
    uint32_t *list = sutra_graph_list(graph, owner);
    sutra_node_load(list, graph->slots, ids);
    if (list_contains(ids, graph->slots, node))
        return true;
    size_t length = 0;
    while (length < graph->slots && ids[length] != SUTRA_NO_NODE)
        length++;
    if (length < graph->slots) {
        ids[length++] = node;
    } else {
        size_t at = length;
        while (at > 0 && parents[ids[at - 1]] == owner)
            at--;
        if (at == 0)
            return false;
        ids[at - 1] = node;
    }
    if (graph->journal)
        sutra_journal_copy(graph->journal, graph, false, owner);
    else
        sutra_dirty_mark(&graph->links_dirty, owner);
    sutra_node_store(list, graph->slots, ids, length);
    return true;
}

/* Make `node` a child of `owner` or, where lists are full of children, of a node below it. No
 * edge of the tree is given up for it, so undoing an add never cuts off older nodes. The way
 * down is drawn by node and step, which keeps the tree shallow. */
static void place_below(struct sutra_graph *graph, uint32_t owner, uint32_t node)
{
    for (uint64_t step = 0; !force_into(graph, owner, node); step++)
        owner = sutra_graph_list(graph, owner)[sutra_random_at(node, step) % graph->slots];
    sutra_tree_parents(graph)[node] = owner;
}

void sutra_tree_attach(struct sutra_graph *graph, const uint32_t *owners, size_t count,
                       uint32_t node)
{
    for (size_t j = 0; j < count; j++) {
        if (force_into(graph, owners[j], node)) {
            sutra_tree_parents(graph)[node] = owners[j];
            return;
        }
    }
    place_below(graph, owners[0], node);
}

void sutra_tree_adopt(struct sutra_graph *graph, uint32_t node)
{
    uint32_t *parents = sutra_tree_parents(graph);
    const uint32_t *own = sutra_graph_list(graph, node);
    size_t length = 0;
    while (length < graph->slots && own[length] != SUTRA_NO_NODE)
        length++;
    for (size_t s = 0; s < length; s++) {
        if (list_contains(sutra_graph_list(graph, own[s]), graph->slots, node)) {
            parents[node] = own[s];
            return;
        }
    }
    const uint32_t root = sutra_tree_root(graph);
    sutra_tree_attach(graph, length ? own : &root, length ? length : 1, node);
}

void sutra_tree_reroot(struct sutra_graph *graph, uint32_t node, uint32_t old_root)
{
    sutra_tree_parents(graph)[node] = SUTRA_NO_NODE;
    place_below(graph, node, old_root);
}
