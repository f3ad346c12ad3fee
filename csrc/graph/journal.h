/* What an add has changed in lists that were there before it, so that it can be undone.
 *
 * A list is copied the first time it is about to change. Lists are numbered base lists first,
 * then upper lists; those at or above the counts at the start belong to the add and are not
 * copied.
 *
 * Internal to graph/. Ownership: _init/_deinit. Threading: the writer alone, between parallel
 * steps.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_GRAPH_JOURNAL_H
#define SUTRA_GRAPH_JOURNAL_H

#include "graph.h"

struct sutra_journal {
    size_t base_count, list_count; /* at the start */
    uint64_t *copied;              /* a bit for each list */
    uint32_t *copies;              /* list number, then its slots */
    size_t used, room;             /* in copies */
    size_t copy_slots;             /* of a copy, without its number */
};

/* SUTRA_E_NO_MEMORY. */
int sutra_journal_init(struct sutra_journal *journal, const struct sutra_graph *graph);
void sutra_journal_deinit(struct sutra_journal *journal);

/* Have room for `count` more copies. SUTRA_E_NO_MEMORY. */
int sutra_journal_reserve(struct sutra_journal *journal, size_t count);

/* The list is about to change; there must be room. journal may be NULL. */
void sutra_journal_copy(struct sutra_journal *journal, const struct sutra_graph *graph, bool upper,
                        uint32_t list);

/* The add is done: mark every list that it copied as changed. */
void sutra_journal_mark(const struct sutra_journal *journal, struct sutra_graph *graph);

/* Put every copy back. */
void sutra_journal_undo(const struct sutra_journal *journal, struct sutra_graph *graph);

#endif
