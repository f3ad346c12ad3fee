/* Views, and reading through them.
 *
 * A view holds references to what it reads, so nothing it sees is freed or moved before it ends.
 * The LSN says which versions it sees.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* Records are prefetched this many places ahead. */
#define RECORDS_AHEAD 16u

/* The LSN that readers may see and the number of concepts alive at it, as one. */
static void read_visible(const struct sutra_store *store, uint64_t *lsn_out, uint64_t *live_out)
{
    uint64_t before, after;
    do {
        before = __atomic_load_n(&store->visible_sequence, __ATOMIC_ACQUIRE);
        *lsn_out = __atomic_load_n(&store->visible_lsn, __ATOMIC_ACQUIRE);
        *live_out = __atomic_load_n(&store->visible_live, __ATOMIC_ACQUIRE);
        after = __atomic_load_n(&store->visible_sequence, __ATOMIC_ACQUIRE);
    } while (before != after || before % 2);
}

/* Inside an epoch: what the pointers name is not freed. State and associations must be those that
 * were current when the LSN was read: a state that was replaced before does not have the versions
 * after it, one that came later not those before it. */
static bool take_state(struct sutra_store *store, struct sutra_store_view *view)
{
    for (;;) {
        struct sutra_state *state = __atomic_load_n(&store->state, __ATOMIC_ACQUIRE);
        if (!state)
            return false;
        struct sutra_associations *associations =
            __atomic_load_n(&state->associations, __ATOMIC_ACQUIRE);
        read_visible(store, &view->lsn, &view->live);
        if (__atomic_load_n(&store->state, __ATOMIC_ACQUIRE) != state ||
            __atomic_load_n(&state->associations, __ATOMIC_ACQUIRE) != associations)
            continue;
        view->state = state;
        view->associations = associations;
        view->index = __atomic_load_n(&state->index, __ATOMIC_ACQUIRE);
        return true;
    }
}

static int begin(struct sutra_store *store, bool pinned, struct sutra_store_view **view_out)
{
    struct sutra_store_view *view = calloc(1, sizeof *view);
    if (!view)
        return SUTRA_E_NO_MEMORY;
    view->store = store;
    view->pinned = pinned;
    const unsigned slot = sutra_epoch_enter(&store->epochs);
    const bool open = take_state(store, view);
    if (open) {
        sutra_state_retain(view->state);
        sutra_associations_retain(view->associations);
    }
    sutra_epoch_leave(&store->epochs, slot);
    if (!open) {
        free(view);
        return SUTRA_E_CLOSED;
    }
    __atomic_fetch_add(&store->views, 1, __ATOMIC_RELAXED);
    *view_out = view;
    return SUTRA_OK;
}

int sutra_store_view_begin(struct sutra_store *store, struct sutra_store_view **view_out)
{
    return begin(store, false, view_out);
}

int sutra_store_view_pin(struct sutra_store *store, struct sutra_store_view **view_out)
{
    /* Whoever changes records in place says so before it looks at `pinned`: either it sees this
     * view coming, or we see it at work, and wait for the end of that one operation. */
    __atomic_fetch_add(&store->pinned, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&store->touching, __ATOMIC_SEQ_CST))
        (void)sched_yield();
    const int status = begin(store, true, view_out);
    if (status != SUTRA_OK)
        __atomic_fetch_sub(&store->pinned, 1, __ATOMIC_RELEASE);
    return status;
}

void sutra_store_view_end(struct sutra_store_view *view)
{
    if (!view)
        return;
    struct sutra_store *store = view->store;
    sutra_associations_release(view->associations);
    sutra_state_release(view->state);
    if (view->pinned)
        __atomic_fetch_sub(&store->pinned, 1, __ATOMIC_RELEASE);
    __atomic_fetch_sub(&store->views, 1, __ATOMIC_RELAXED);
    free(view);
}

uint64_t sutra_store_view_lsn(const struct sutra_store_view *view)
{
    return view->lsn;
}

size_t sutra_store_view_count(const struct sutra_store_view *view)
{
    return (size_t)view->live;
}

/* ---- concepts */

int sutra_store_find(const struct sutra_store_view *view, const struct sutra_ids *ids,
                     uint32_t *slots_out, uint32_t *concepts_out)
{
    const struct sutra_concepts *concepts = &view->state->concepts;
    uint32_t *numbers = concepts_out;
    if (!numbers) {
        numbers = malloc((ids->count ? ids->count : 1) * sizeof *numbers);
        if (!numbers)
            return SUTRA_E_NO_MEMORY;
    }
    const unsigned epoch = sutra_epoch_enter(&view->store->epochs);
    sutra_concepts_find(concepts, ids, numbers);
    sutra_epoch_leave(&view->store->epochs, epoch);
    sutra_concepts_visible_many(concepts, numbers, ids->count, view->lsn, slots_out);
    if (!concepts_out)
        free(numbers);
    return SUTRA_OK;
}

int sutra_store_scan(const struct sutra_store_view *view, size_t *next_inout, size_t limit,
                     uint32_t *slots_out, uint32_t *concepts_out, size_t *count_out)
{
    const struct sutra_concepts *concepts = &view->state->concepts;
    const size_t end = __atomic_load_n(&concepts->concept_count, __ATOMIC_ACQUIRE);
    size_t count = 0, at = *next_inout;
    for (; at < end && count < limit; at++) {
        const uint32_t slot = sutra_concepts_visible(concepts, (uint32_t)at, view->lsn);
        if (slot == SUTRA_NO_SLOT)
            continue;
        slots_out[count] = slot;
        concepts_out[count++] = (uint32_t)at;
    }
    *next_inout = at;
    *count_out = count;
    return SUTRA_OK;
}

int sutra_store_id(const struct sutra_store_view *view, uint32_t concept, int64_t *number_out,
                   const char **text_out, uint32_t *text_bytes_out)
{
    const struct sutra_concepts *concepts = &view->state->concepts;
    if (concept >= __atomic_load_n(&concepts->concept_count, __ATOMIC_ACQUIRE))
        return SUTRA_E_NOT_FOUND;
    return sutra_concepts_id(concepts, concept, number_out, text_out, text_bytes_out);
}

/* In place it counts what is alive now: a view kept for longer counts for itself. */
static uint32_t count_references(const struct sutra_store_view *view, uint32_t concept)
{
    struct sutra_link_cursor cursor;
    struct sutra_link link;
    uint32_t references = 0;
    sutra_links_begin(&cursor, view->associations, concept, SUTRA_IN, SUTRA_NO_KIND, view->lsn);
    while (sutra_links_next(&cursor, &link))
        references++;
    return references;
}

int sutra_store_read(const struct sutra_store_view *view, uint32_t concept, uint32_t slot,
                     struct sutra_concept *out)
{
    const struct sutra_concepts *concepts = &view->state->concepts;
    memset(out, 0, sizeof *out);
    if (slot >= __atomic_load_n(&concepts->slot_count, __ATOMIC_ACQUIRE) ||
        concept >= __atomic_load_n(&concepts->concept_count, __ATOMIC_ACQUIRE))
        return SUTRA_E_NOT_FOUND;
    out->record = *sutra_concepts_record(concepts, slot);
    int64_t number;
    int status = sutra_concepts_id(concepts, concept, &number, &out->text, &out->text_bytes);
    if (status == SUTRA_OK)
        status = sutra_concepts_content(concepts, slot, &out->content, &out->content_bytes);
    if (status == SUTRA_OK)
        status = sutra_concepts_metadata(concepts, slot, &out->metadata, &out->metadata_bytes);
    out->has_vector = out->record.vector_row != SUTRA_NO_ROW;
    if (status == SUTRA_OK && view->pinned)
        out->record.reference_count = count_references(view, concept);
    return status;
}

int sutra_store_records(const struct sutra_store_view *view, const uint32_t *numbers,
                        const uint32_t *slots, size_t count, struct sutra_record *records_out)
{
    const struct sutra_concepts *concepts = &view->state->concepts;
    const size_t end = __atomic_load_n(&concepts->slot_count, __ATOMIC_ACQUIRE);
    for (size_t j = 0; j < count; j++) {
        if (j + RECORDS_AHEAD < count && slots[j + RECORDS_AHEAD] < end)
            SUTRA_PREFETCH(sutra_concepts_record(concepts, slots[j + RECORDS_AHEAD]));
        if (slots[j] >= end) {
            records_out[j] = (struct sutra_record){0};
            continue;
        }
        records_out[j] = *sutra_concepts_record(concepts, slots[j]);
        if (view->pinned)
            records_out[j].reference_count = count_references(view, numbers[j]);
    }
    return SUTRA_OK;
}

uint32_t sutra_store_dim(const struct sutra_store_view *view)
{
    return view->index ? sutra_stream_dim(view->index) : view->store->index_options.dim;
}

int sutra_store_vector(const struct sutra_store_view *view, uint32_t slot, float *vector_out)
{
    const uint32_t row = sutra_concepts_record(&view->state->concepts, slot)->vector_row;
    if (row == SUTRA_NO_ROW || !view->index)
        return SUTRA_E_NOT_FOUND;
    return sutra_stream_get(view->index, row, vector_out);
}

/* ---- settings */

int sutra_store_setting(const struct sutra_store_view *view, const char *name, size_t name_bytes,
                        uint8_t *value_out, size_t room, size_t *bytes_out)
{
    return sutra_settings_get(&view->state->settings, name, name_bytes, value_out, room, bytes_out);
}

int sutra_store_settings(const struct sutra_store_view *view, uint8_t **names_out,
                         size_t *bytes_out, size_t *count_out)
{
    return sutra_settings_names(&view->state->settings, names_out, bytes_out, count_out);
}

/* ---- search */

static void no_hits(size_t from, size_t to, uint32_t *slots, uint32_t *concepts, float *distances)
{
    for (size_t j = from; j < to; j++) {
        slots[j] = SUTRA_NO_SLOT;
        concepts[j] = SUTRA_NO_CONCEPT;
        distances[j] = INFINITY;
    }
}

/* -1: none, or no slot. */
static int64_t row_of_slot(const struct sutra_concepts *concepts, int64_t slot)
{
    if (slot < 0 || (uint64_t)slot >= __atomic_load_n(&concepts->slot_count, __ATOMIC_ACQUIRE))
        return -1;
    const uint32_t row = sutra_concepts_record(concepts, (uint32_t)slot)->vector_row;
    return row == SUTRA_NO_ROW ? -1 : (int64_t)row;
}

int sutra_store_search(const struct sutra_store_view *view, const struct sutra_search *search,
                       uint32_t *slots_out, uint32_t *concepts_out, float *distances_out,
                       struct sutra_fault *fault_out)
{
    const size_t count = search->count, k = search->k;
    if (k == 0 || k > SUTRA_K_MAX)
        return SUTRA_E_ARGUMENT;
    if (!view->index) {
        no_hits(0, count * k, slots_out, concepts_out, distances_out);
        for (size_t q = 0; search->plans_out && q < count; q++)
            search->plans_out[q] = (struct sutra_plan){.kind = SUTRA_PLAN_SCAN};
        return SUTRA_OK;
    }
    /* Labels found, then rows to do without. */
    int64_t *labels = malloc((count * (k + 1) + 1) * sizeof *labels);
    if (!labels)
        return SUTRA_E_NO_MEMORY;
    const struct sutra_concepts *concepts = &view->state->concepts;
    struct sutra_search inner = *search;
    for (size_t q = 0; search->without && q < count; q++)
        labels[count * k + q] = row_of_slot(concepts, search->without[q]);
    if (search->without)
        inner.without = labels + count * k;
    const int status =
        sutra_stream_search(view->index, &inner, view->lsn, labels, NULL, distances_out, fault_out);
    const size_t end = __atomic_load_n(&concepts->concept_count, __ATOMIC_ACQUIRE);
    for (size_t q = 0; status == SUTRA_OK && q < count; q++) {
        size_t kept = q * k; /* a label from a damaged file may name nothing */
        for (size_t j = q * k; j < (q + 1) * k; j++) {
            if (labels[j] < 0 || (uint64_t)labels[j] >= end)
                continue;
            const uint32_t concept = (uint32_t)labels[j];
            const uint32_t slot = sutra_concepts_visible(concepts, concept, view->lsn);
            if (slot == SUTRA_NO_SLOT)
                continue;
            slots_out[kept] = slot;
            concepts_out[kept] = concept;
            distances_out[kept++] = distances_out[j];
        }
        no_hits(kept, (q + 1) * k, slots_out, concepts_out, distances_out);
    }
    free(labels);
    return status;
}

/* ---- associations */

static int heavier(const void *a, const void *b)
{
    const struct sutra_link *left = a, *right = b;
    if (left->weight != right->weight)
        return left->weight > right->weight ? -1 : 1;
    const uint32_t left_end = left->outgoing ? left->target : left->source;
    const uint32_t right_end = right->outgoing ? right->target : right->source;
    if (left_end != right_end)
        return left_end < right_end ? -1 : 1;
    if (left->kind != right->kind)
        return left->kind < right->kind ? -1 : 1;
    return left->outgoing == right->outgoing ? 0 : left->outgoing ? -1 : 1;
}

int sutra_store_links(const struct sutra_store_view *view, uint32_t concept, int direction,
                      uint16_t kind, struct sutra_link **links_out, size_t *count_out)
{
    struct sutra_link_cursor cursor;
    struct sutra_link link, *links = NULL;
    size_t count = 0, room = 0;
    sutra_links_begin(&cursor, view->associations, concept, direction, kind, view->lsn);
    while (sutra_links_next(&cursor, &link)) {
        if (count == room) {
            room = room ? 2 * room : 16;
            struct sutra_link *larger = realloc(links, room * sizeof *links);
            if (!larger) {
                free(links);
                return SUTRA_E_NO_MEMORY;
            }
            links = larger;
        }
        links[count++] = link;
    }
    if (count)
        qsort(links, count, sizeof *links, heavier);
    *links_out = links;
    *count_out = count;
    return SUTRA_OK;
}

uint16_t sutra_store_kind(const struct sutra_store_view *view, const char *name, uint32_t bytes)
{
    return sutra_associations_kind(view->associations, name, bytes);
}

const char *sutra_store_kind_name(const struct sutra_store_view *view, uint16_t kind,
                                  uint32_t *bytes_out)
{
    return sutra_associations_kind_name(view->associations, kind, bytes_out);
}

static bool alive_in_view(const void *context, uint32_t concept)
{
    const struct sutra_store_view *view = context;
    return sutra_concepts_visible(&view->state->concepts, concept, view->lsn) != SUTRA_NO_SLOT;
}

void sutra_store_traversal(const struct sutra_store_view *view, struct sutra_traversal *out)
{
    out->associations = view->associations;
    out->view = view->lsn;
    out->alive = alive_in_view;
    out->alive_context = view;
}
