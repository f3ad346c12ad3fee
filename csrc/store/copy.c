/* Copying what a view sees into a fresh state: how compaction leaves the dead behind.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/utf8.h"

/* Concepts at a time. */
#define CHUNK 4096u
/* The delta of the copy is folded when it holds this many edges, or as many as its bulk. */
#define EDGES_MIN ((size_t)1 << 20)

struct copy {
    struct sutra_store *store;
    const struct sutra_store_view *view;
    struct sutra_state *fresh;
    uint32_t *numbers; /* old concept -> new, or SUTRA_NO_CONCEPT */
    size_t concepts;
    uint32_t dim;
    float *vectors;
    uint16_t *kinds;
    uint32_t kind_count;
    size_t *lost; /* NULL: nothing may be */
};

static int reserve_concept(struct copy *copy, const struct sutra_concept *concept)
{
    return sutra_concepts_reserve(&copy->fresh->concepts, 1, 1,
                                  (uint64_t) concept->text_bytes + concept->content_bytes +
                                      concept->metadata_bytes + sizeof(uint32_t));
}

/* Metadata that do not fit the fields are damage: no writer puts them. */
static int prepare_cells(struct copy *copy, const struct sutra_concept *concept)
{
    struct sutra_attributes *attributes = &copy->fresh->attributes;
    unsigned field;
    int found, status = SUTRA_OK;
    if (concept->metadata)
        status = sutra_attributes_fit(attributes, concept->metadata, concept->metadata_bytes,
                                      &field, &found);
    if (status == SUTRA_OK)
        status = sutra_attributes_reserve(attributes, copy->fresh->concepts.slot_count, 1);
    return status == SUTRA_E_CONFIG ? SUTRA_E_CORRUPT : status;
}

static int copy_vector(struct copy *copy, uint32_t slot, uint32_t number, uint32_t *row_out)
{
    struct sutra_index *index = copy->fresh->index;
    int status = sutra_store_vector(copy->view, slot, copy->vectors);
    struct sutra_fault fault;
    if (status == SUTRA_E_NOT_FOUND ||
        (status == SUTRA_OK &&
         sutra_stream_check(index, copy->vectors, copy->dim, 1, &fault) != SUTRA_OK))
        status = SUTRA_E_CORRUPT;
    if (status == SUTRA_OK)
        status = sutra_stream_reserve(index, 1);
    if (status != SUTRA_OK)
        return status;
    const int64_t label = number;
    sutra_stream_append(index, copy->vectors, copy->dim, 1, &label, copy->view->lsn, row_out);
    return SUTRA_OK;
}

#define RECORD_FLAGS                                                                               \
    ((uint32_t)(SUTRA_RECORD_CONTENT | SUTRA_RECORD_CONTENT_BYTES | SUTRA_RECORD_METADATA))

/* Of a damaged store: is this a concept that a writer could have put, and not here yet? Text that
 * is none becomes bytes; metadata that are none, or do not fit, are left out. */
static bool is_sound(struct copy *copy, struct sutra_concept *concept, int64_t id, const char *text,
                     uint32_t text_bytes)
{
    struct sutra_record *record = &concept->record;
    const struct sutra_ids ids = {1, &id, text ? &text : NULL, text ? &text_bytes : NULL};
    uint32_t found = SUTRA_NO_CONCEPT;
    if (!isfinite(record->strength) || !isfinite(record->confidence))
        return false;
    if (text && (text_bytes == 0 || text_bytes > SUTRA_TEXT_ID_BYTES_MAX ||
                 !sutra_is_utf8(text, text_bytes)))
        return false;
    sutra_concepts_find(&copy->fresh->concepts, &ids, &found);
    if (found != SUTRA_NO_CONCEPT)
        return false;
    if (concept->metadata && (!sutra_is_utf8(concept->metadata, concept->metadata_bytes) ||
                              prepare_cells(copy, concept) == SUTRA_E_CORRUPT)) {
        concept->metadata = NULL;
        concept->metadata_bytes = 0;
        record->flags &= ~(uint32_t)SUTRA_RECORD_METADATA;
    }
    record->flags &= RECORD_FLAGS;
    if (!concept->content)
        record->flags &= ~(uint32_t)SUTRA_RECORD_CONTENT_BYTES;
    else if (!sutra_is_utf8(concept->content, concept->content_bytes))
        record->flags |= SUTRA_RECORD_CONTENT_BYTES;
    record->content_bytes = concept->content_bytes;
    record->metadata_bytes = concept->metadata_bytes;
    return true;
}

static int copy_concept(struct copy *copy, uint32_t old, uint32_t slot)
{
    struct sutra_concepts *concepts = &copy->fresh->concepts;
    struct sutra_concept concept;
    int64_t id;
    const char *text;
    uint32_t text_bytes;
    int status = sutra_store_read(copy->view, old, slot, &concept);
    if (status == SUTRA_OK)
        status = sutra_store_id(copy->view, old, &id, &text, &text_bytes);
    if (status == SUTRA_OK && copy->lost && !is_sound(copy, &concept, id, text, text_bytes))
        status = SUTRA_E_CORRUPT;
    if (status == SUTRA_OK)
        status = reserve_concept(copy, &concept);
    if (status == SUTRA_OK)
        status = prepare_cells(copy, &concept);
    if (status != SUTRA_OK)
        return status;
    struct sutra_record record = concept.record;
    record.reference_count = 0; /* counted as the edges come */
    if (record.vector_row != SUTRA_NO_ROW)
        status = copy_vector(copy, slot, (uint32_t)concepts->concept_count, &record.vector_row);
    if (status != SUTRA_OK)
        return status;
    const uint32_t number = sutra_concepts_enter(concepts, id, text, text_bytes);
    copy->numbers[old] = number;
    record.content_offset =
        sutra_heap_append(&concepts->heap, concept.content, concept.content_bytes);
    sutra_heap_append(&concepts->heap, concept.metadata, concept.metadata_bytes);
    sutra_attributes_put(&copy->fresh->attributes, concepts->slot_count, concept.metadata,
                         concept.metadata_bytes);
    sutra_concepts_put(concepts, number, &record, copy->view->lsn);
    return SUTRA_OK;
}

static int copy_concepts(struct copy *copy)
{
    uint32_t slots[CHUNK], concepts[CHUNK];
    size_t next = 0, count;
    int status;
    do {
        status = sutra_store_scan(copy->view, &next, CHUNK, slots, concepts, &count);
        for (size_t j = 0; j < count && status == SUTRA_OK; j++) {
            status = copy_concept(copy, concepts[j], slots[j]);
            if (status == SUTRA_E_CORRUPT && copy->lost) {
                ++*copy->lost;
                status = SUTRA_OK;
            }
        }
    } while (status == SUTRA_OK && count);
    return status;
}

static int copy_kinds(struct copy *copy)
{
    for (;; copy->kind_count++) {
        uint32_t bytes;
        const char *name = sutra_store_kind_name(copy->view, (uint16_t)copy->kind_count, &bytes);
        if (!name || copy->kind_count == SUTRA_NO_KIND)
            return SUTRA_OK;
        const int status = sutra_associations_add_kind(copy->fresh->associations, name, bytes,
                                                       &copy->kinds[copy->kind_count]);
        if (status != SUTRA_OK)
            return status;
    }
}

static int fold_copy(struct copy *copy)
{
    struct sutra_associations *folded;
    const int status = sutra_associations_fold(copy->fresh->associations, &folded);
    if (status != SUTRA_OK)
        return status;
    sutra_associations_release(copy->fresh->associations);
    copy->fresh->associations = folded;
    return SUTRA_OK;
}

static int copy_edges_of(struct copy *copy, uint32_t old)
{
    struct sutra_concepts *concepts = &copy->fresh->concepts;
    struct sutra_link_cursor cursor;
    struct sutra_link link;
    sutra_links_begin(&cursor, copy->view->associations, old, SUTRA_OUT, SUTRA_NO_KIND,
                      copy->view->lsn);
    while (sutra_links_next(&cursor, &link)) {
        if (link.target >= copy->concepts || copy->numbers[link.target] == SUTRA_NO_CONCEPT ||
            link.kind >= copy->kind_count || !isfinite(link.weight) || !isfinite(link.confidence))
            continue;
        const uint32_t target = copy->numbers[link.target];
        const int status =
            sutra_associations_reserve(copy->fresh->associations, 1, concepts->concept_count);
        if (status != SUTRA_OK)
            return status;
        if (sutra_associations_link(copy->fresh->associations, copy->numbers[old], target,
                                    copy->kinds[link.kind], link.weight, link.confidence,
                                    link.created_ns, copy->view->lsn))
            sutra_concepts_count_reference(concepts, sutra_concepts_newest(concepts, target), 1);
    }
    return SUTRA_OK;
}

static int copy_edges(struct copy *copy)
{
    int status = copy_kinds(copy);
    for (size_t old = 0; old < copy->concepts && status == SUTRA_OK; old++) {
        if (copy->numbers[old] == SUTRA_NO_CONCEPT)
            continue;
        status = copy_edges_of(copy, (uint32_t)old);
        const size_t delta = sutra_associations_delta_rows(copy->fresh->associations);
        if (status == SUTRA_OK && delta >= EDGES_MIN &&
            delta >= sutra_associations_count(copy->fresh->associations) / 2)
            status = fold_copy(copy);
    }
    if (status == SUTRA_OK && sutra_associations_delta_rows(copy->fresh->associations))
        status = fold_copy(copy);
    return status;
}

int sutra_state_copy(struct sutra_store *store, const struct sutra_store_view *view,
                     struct sutra_state *fresh, size_t *lost_out)
{
    struct copy copy = {.store = store,
                        .view = view,
                        .fresh = fresh,
                        .dim = sutra_store_dim(view),
                        .lost = lost_out};
    copy.concepts = __atomic_load_n(&view->state->concepts.concept_count, __ATOMIC_ACQUIRE);
    copy.numbers = malloc((copy.concepts + 1) * sizeof *copy.numbers);
    copy.vectors = malloc((copy.dim + 1) * sizeof *copy.vectors);
    copy.kinds = malloc(SUTRA_NO_KIND * sizeof *copy.kinds);
    int status = copy.numbers && copy.vectors && copy.kinds ? SUTRA_OK : SUTRA_E_NO_MEMORY;
    if (status == SUTRA_OK) {
        memset(copy.numbers, 0xff, copy.concepts * sizeof *copy.numbers);
        status = copy_concepts(&copy);
    }
    if (status == SUTRA_OK)
        status = copy_edges(&copy);
    if (status == SUTRA_OK) {
        if (fresh->concepts.next_number < view->state->concepts.next_number)
            fresh->concepts.next_number = view->state->concepts.next_number;
        sutra_concepts_publish(&fresh->concepts);
    }
    free(copy.numbers);
    free(copy.vectors);
    free(copy.kinds);
    return status;
}
