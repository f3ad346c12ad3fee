/* Undoing an add; see journal.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "journal.h"

static uint32_t *list_of(const struct sutra_graph *graph, const struct sutra_journal *journal,
                         size_t number, size_t *slots_out)
{
    const bool upper = number >= journal->base_count;
    *slots_out = upper ? graph->upper_slots : graph->slots;
    return upper ? sutra_planes_row(&graph->upper_links, 0, number - journal->base_count)
                 : sutra_graph_list(graph, number);
}

int sutra_journal_init(struct sutra_journal *journal, const struct sutra_graph *graph)
{
    memset(journal, 0, sizeof *journal);
    journal->base_count = graph->count;
    journal->list_count = graph->list_count;
    journal->copy_slots = graph->slots > graph->upper_slots ? graph->slots : graph->upper_slots;
    journal->copied = calloc((graph->count + graph->list_count) / 64 + 1, sizeof *journal->copied);
    return journal->copied ? SUTRA_OK : SUTRA_E_NO_MEMORY;
}

void sutra_journal_deinit(struct sutra_journal *journal)
{
    free(journal->copied);
    free(journal->copies);
    memset(journal, 0, sizeof *journal);
}

int sutra_journal_reserve(struct sutra_journal *journal, size_t count)
{
    const size_t lists = journal->base_count + journal->list_count;
    const size_t each = journal->copy_slots + 1, most = lists * each;
    size_t room = journal->used + count * each;
    room = room < most ? room : most;
    if (room <= journal->room)
        return SUTRA_OK;
    room = room + room / 2 < most ? room + room / 2 : most;
    uint32_t *copies = realloc(journal->copies, room * sizeof *copies);
    if (!copies)
        return SUTRA_E_NO_MEMORY;
    journal->copies = copies;
    journal->room = room;
    return SUTRA_OK;
}

void sutra_journal_copy(struct sutra_journal *journal, const struct sutra_graph *graph, bool upper,
                        uint32_t list)
{
    if (!journal || list >= (upper ? journal->list_count : journal->base_count))
        return;
    const size_t number = list + (upper ? journal->base_count : 0);
    uint64_t *const word = &journal->copied[number / 64];
    const uint64_t bit = (uint64_t)1 << number % 64;
    if (*word & bit)
        return;
    *word |= bit;
    size_t slots;
    const uint32_t *from = list_of(graph, journal, number, &slots);
    uint32_t *copy = journal->copies + journal->used;
    copy[0] = (uint32_t)number;
    for (size_t s = 0; s < slots; s++)
        copy[1 + s] = __atomic_load_n(from + s, __ATOMIC_RELAXED);
    journal->used += journal->copy_slots + 1;
}

void sutra_journal_mark(const struct sutra_journal *journal, struct sutra_graph *graph)
{
    for (size_t at = 0; at < journal->used; at += journal->copy_slots + 1) {
        const size_t number = journal->copies[at];
        if (number < journal->base_count)
            sutra_dirty_mark(&graph->links_dirty, number);
        else
            sutra_dirty_mark(&graph->upper_links_dirty, number - journal->base_count);
    }
}

void sutra_journal_undo(const struct sutra_journal *journal, struct sutra_graph *graph)
{
    for (size_t at = 0; at < journal->used; at += journal->copy_slots + 1) {
        size_t slots;
        uint32_t *list = list_of(graph, journal, journal->copies[at], &slots);
        sutra_node_store(list, slots, journal->copies + at + 1, slots);
    }
}
