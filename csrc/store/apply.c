/* Doing operations: the same code for a writer's batch and for what recovery finds in the log.
 *
 * Memory is reserved first; from then on nothing fails, so a record that is in the log is in the
 * state, and the other way round.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include <string.h>

#define ALIVE_NOW (SUTRA_LSN_NEVER - 1)

/* ---- reserving */

struct need {
    size_t slots, concepts, rows, edges;
    uint64_t heap_bytes, largest_content;
};

static void need_ids(struct need *need, const struct sutra_ids *ids)
{
    need->concepts += ids->count;
    for (size_t j = 0; ids->texts && j < ids->count; j++)
        need->heap_bytes += ids->texts[j] ? ids->text_bytes[j] + sizeof(uint32_t) : 0;
}

/* A version that gets a new content or new metadata keeps the other, and both lie side by side:
 * what is kept is copied. */
static uint64_t kept_bytes(const struct sutra_state *state, struct sutra_write_scratch *scratch,
                           const struct sutra_ids *ids)
{
    uint64_t bytes = 0;
    sutra_concepts_find(&state->concepts, ids, scratch->numbers);
    sutra_concepts_visible_many(&state->concepts, scratch->numbers, ids->count, ALIVE_NOW,
                                scratch->slots);
    for (size_t j = 0; j < ids->count; j++) {
        if (scratch->slots[j] == SUTRA_NO_SLOT)
            continue;
        const struct sutra_record *record =
            sutra_concepts_record(&state->concepts, scratch->slots[j]);
        bytes += (uint64_t)record->content_bytes + record->metadata_bytes;
    }
    return bytes;
}

static void need_put(const struct sutra_state *state, struct sutra_write_scratch *scratch,
                     const struct sutra_op_put *put, bool alone, struct need *need)
{
    const size_t count = put->ids.count;
    need->slots += count;
    need_ids(need, &put->ids);
    uint64_t largest = 0;
    for (size_t j = 0; j < count; j++) {
        uint64_t bytes = 0;
        if (put->contents && put->contents[j])
            bytes += put->content_bytes[j];
        if (put->metadata && put->metadata[j])
            bytes += put->metadata_bytes[j];
        need->heap_bytes += bytes;
        largest = bytes > largest ? bytes : largest;
        need->rows += put->dim && (!put->has_vector || put->has_vector[j]);
    }
    if (put->replace && (put->contents || put->metadata)) {
        need->heap_bytes += kept_bytes(state, scratch, &put->ids);
        if (!alone) /* it may keep what the batch itself has put */
            need->heap_bytes += 2 * need->largest_content * count;
    }
    need->largest_content = largest > need->largest_content ? largest : need->largest_content;
}

static void need_delete(const struct sutra_state *state, struct sutra_write_scratch *scratch,
                        const struct sutra_ids *ids, struct need *need)
{
    sutra_concepts_find(&state->concepts, ids, scratch->numbers);
    for (size_t j = 0; j < ids->count; j++) {
        if (scratch->numbers[j] != SUTRA_NO_CONCEPT)
            need->edges += sutra_associations_degree(state->associations, scratch->numbers[j]);
    }
}

static int reserve_kinds(struct sutra_associations *associations, const struct sutra_op_link *link)
{
    for (size_t k = 0; k < link->kind_count; k++) {
        if (sutra_associations_kind(associations, link->kind_names[k], link->kind_bytes[k]) !=
            SUTRA_NO_KIND)
            continue;
        uint16_t kind;
        const int status = sutra_associations_add_kind(associations, link->kind_names[k],
                                                       link->kind_bytes[k], &kind);
        if (status != SUTRA_OK)
            return status;
    }
    return SUTRA_OK;
}

int sutra_reserve_ops(struct sutra_store *store, struct sutra_state *state,
                      const struct sutra_op *ops, size_t count)
{
    struct sutra_write_scratch *scratch = &store->scratch;
    struct need need = {0};
    bool edges = false;
    int status = SUTRA_OK;
    for (size_t j = 0; j < count && status == SUTRA_OK; j++) {
        const struct sutra_op *op = &ops[j];
        switch (op->kind) {
        case SUTRA_OP_PUT:
            need_put(state, scratch, &op->put, count == 1, &need);
            break;
        case SUTRA_OP_DELETE:
            edges = true;
            need_delete(state, scratch, &op->ids.ids, &need);
            break;
        case SUTRA_OP_TOUCH:
            need.slots += op->ids.ids.count;
            break;
        case SUTRA_OP_SET: /* is staged */
        case SUTRA_OP_FIELD:
            break;
        case SUTRA_OP_UNLINK:
            edges = true;
            sutra_concepts_find(&state->concepts, &op->link.sources, scratch->numbers);
            for (size_t e = 0; e < op->link.sources.count; e++) {
                if (scratch->numbers[e] != SUTRA_NO_CONCEPT)
                    need.edges +=
                        op->link.kind_count
                            ? 1
                            : sutra_associations_degree(state->associations, scratch->numbers[e]);
            }
            break;
        default:
            edges = true;
            need.edges += op->link.sources.count;
            status = reserve_kinds(state->associations, &op->link);
        }
    }
    if (status == SUTRA_OK && (need.slots || need.concepts))
        status =
            sutra_concepts_reserve(&state->concepts, need.slots, need.concepts, need.heap_bytes);
    if (status == SUTRA_OK && need.slots)
        status =
            sutra_attributes_reserve(&state->attributes, state->concepts.slot_count, need.slots);
    if (status == SUTRA_OK && edges) /* a delete or unlink also ends what the batch has linked */
        status = sutra_associations_reserve(state->associations, 2 * need.edges,
                                            state->concepts.concept_count + need.concepts);
    struct sutra_index *index = state->index ? state->index : scratch->fresh_index;
    if (status == SUTRA_OK && need.rows)
        status = sutra_stream_reserve(index, need.rows);
    return status;
}

/* ---- put */

static bool has_vector(const struct sutra_op_put *put, size_t j)
{
    return put->dim && (!put->has_vector || put->has_vector[j]);
}

/* Append the vectors; returns the row of the first. */
static uint32_t append_vectors(struct sutra_state *state, struct sutra_write_scratch *scratch,
                               const struct sutra_op_put *put, uint64_t lsn)
{
    size_t rows = 0;
    for (size_t j = 0; j < put->ids.count; j++) {
        if (has_vector(put, j))
            scratch->labels[rows++] = scratch->numbers[j];
    }
    uint32_t first = SUTRA_NO_ROW;
    if (rows)
        sutra_stream_append(state->index, put->vectors, put->stride, rows, scratch->labels, lsn,
                            &first);
    return first;
}

static void put_contents(struct sutra_concepts *concepts, const struct sutra_op_put *put, size_t j,
                         uint32_t old_slot, struct sutra_record *record)
{
    const uint8_t *content = put->contents ? put->contents[j] : NULL;
    const uint8_t *metadata = put->metadata ? put->metadata[j] : NULL;
    if (!content && !metadata)
        return;
    uint32_t content_bytes = content ? put->content_bytes[j] : 0;
    uint32_t metadata_bytes = metadata ? put->metadata_bytes[j] : 0;
    if (content) {
        record->flags |= SUTRA_RECORD_CONTENT;
        record->flags &= ~(uint32_t)SUTRA_RECORD_CONTENT_BYTES;
        if (put->content_is_bytes && put->content_is_bytes[j])
            record->flags |= SUTRA_RECORD_CONTENT_BYTES;
    } else if (old_slot != SUTRA_NO_SLOT) {
        if (sutra_concepts_content(concepts, old_slot, &content, &content_bytes) != SUTRA_OK)
            content_bytes = 0;
    }
    if (metadata)
        record->flags |= SUTRA_RECORD_METADATA;
    else if (old_slot != SUTRA_NO_SLOT &&
             sutra_concepts_metadata(concepts, old_slot, &metadata, &metadata_bytes) != SUTRA_OK)
        metadata_bytes = 0;
    record->content_offset = sutra_heap_append(&concepts->heap, content, content_bytes);
    sutra_heap_append(&concepts->heap, metadata, metadata_bytes);
    record->content_bytes = content_bytes;
    record->metadata_bytes = metadata_bytes;
}

/* Row numbers of records that were loaded are not checked before. */
static void end_vector(struct sutra_state *state, const struct sutra_record *record, uint64_t lsn)
{
    if (state->index && record->vector_row < sutra_stream_rows(state->index))
        sutra_stream_end_row(state->index, record->vector_row, lsn);
}

/* Before the slot they are of. */
static void put_cells(struct sutra_state *state, const struct sutra_op_put *put, size_t j,
                      uint32_t old_slot)
{
    const size_t slot = state->concepts.slot_count;
    const uint8_t *metadata = put->metadata ? put->metadata[j] : NULL;
    if (!metadata && old_slot != SUTRA_NO_SLOT)
        sutra_attributes_repeat(&state->attributes, slot, old_slot);
    else
        sutra_attributes_put(&state->attributes, slot, metadata,
                             metadata ? put->metadata_bytes[j] : 0);
}

static void put_one(struct sutra_state *state, const struct sutra_op_put *put, size_t j,
                    uint32_t concept, uint32_t row, uint64_t lsn)
{
    struct sutra_concepts *concepts = &state->concepts;
    const uint32_t old_slot = sutra_concepts_newest(concepts, concept);
    struct sutra_record record = {.vector_row = SUTRA_NO_ROW, .created_ns = put->time_ns};
    if (old_slot != SUTRA_NO_SLOT)
        record = *sutra_concepts_record(concepts, old_slot);
    record.accessed_ns = put->time_ns;
    record.strength = put->strengths[j * put->strength_step];
    record.confidence = put->confidences[j * put->confidence_step];
    put_contents(concepts, put, j, old_slot, &record);
    if (row != SUTRA_NO_ROW) {
        end_vector(state, &record, lsn);
        record.vector_row = row;
    }
    put_cells(state, put, j, old_slot);
    sutra_concepts_put(concepts, concept, &record, lsn);
}

static size_t apply_put(struct sutra_store *store, struct sutra_state *state,
                        const struct sutra_op_put *put, uint64_t lsn)
{
    struct sutra_write_scratch *scratch = &store->scratch;
    struct sutra_concepts *concepts = &state->concepts;
    uint32_t *numbers = scratch->numbers;
    if (put->dim && !state->index) {
        store->index_options.dim = put->dim;
        __atomic_store_n(&state->index, scratch->fresh_index, __ATOMIC_RELEASE);
        scratch->fresh_index = NULL;
    }
    if (!scratch->resolved)
        sutra_concepts_find(concepts, &put->ids, numbers);
    for (size_t j = 0; j < put->ids.count; j++) {
        if (numbers[j] != SUTRA_NO_CONCEPT)
            continue;
        const char *text = put->ids.texts ? put->ids.texts[j] : NULL;
        numbers[j] = sutra_concepts_enter(concepts, text ? -1 : put->ids.numbers[j], text,
                                          text ? put->ids.text_bytes[j] : 0);
    }
    uint32_t row = append_vectors(state, scratch, put, lsn);
    for (size_t j = 0; j < put->ids.count; j++)
        put_one(state, put, j, numbers[j], has_vector(put, j) ? row++ : SUTRA_NO_ROW, lsn);
    return put->ids.count;
}

/* ---- delete, touch */

static void drop_reference(void *context, uint32_t concept, bool is_target)
{
    struct sutra_concepts *concepts = context;
    const uint32_t slot = sutra_concepts_newest(concepts, concept);
    if (is_target && slot != SUTRA_NO_SLOT)
        sutra_concepts_count_reference(concepts, slot, -1);
}

static size_t apply_delete(struct sutra_state *state, struct sutra_write_scratch *scratch,
                           const struct sutra_ids *ids, uint64_t lsn)
{
    struct sutra_concepts *concepts = &state->concepts;
    size_t removed = 0;
    sutra_concepts_find(concepts, ids, scratch->numbers);
    for (size_t j = 0; j < ids->count; j++) {
        const uint32_t concept = scratch->numbers[j];
        const uint32_t slot =
            concept == SUTRA_NO_CONCEPT ? SUTRA_NO_SLOT : sutra_concepts_newest(concepts, concept);
        if (slot == SUTRA_NO_SLOT)
            continue;
        end_vector(state, sutra_concepts_record(concepts, slot), lsn);
        sutra_associations_remove_concept(state->associations, concept, lsn, drop_reference,
                                          concepts);
        sutra_concepts_remove(concepts, concept, lsn);
        removed++;
    }
    return removed;
}

static size_t apply_touch(struct sutra_store *store, struct sutra_state *state,
                          const struct sutra_op_ids *op, uint64_t lsn)
{
    struct sutra_concepts *concepts = &state->concepts;
    uint32_t *numbers = store->scratch.numbers;
    const bool in_place = !__atomic_load_n(&store->pinned, __ATOMIC_ACQUIRE);
    size_t touched = 0;
    sutra_concepts_find(concepts, &op->ids, numbers);
    for (size_t j = 0; j < op->ids.count; j++) {
        const uint32_t slot = numbers[j] == SUTRA_NO_CONCEPT
                                  ? SUTRA_NO_SLOT
                                  : sutra_concepts_newest(concepts, numbers[j]);
        if (slot == SUTRA_NO_SLOT)
            continue;
        touched++;
        if (in_place) {
            sutra_concepts_touch(concepts, slot, op->time_ns);
            continue;
        }
        struct sutra_record record = *sutra_concepts_record(concepts, slot);
        record.accessed_ns = op->time_ns;
        sutra_attributes_repeat(&state->attributes, concepts->slot_count, slot);
        sutra_concepts_put(concepts, numbers[j], &record, lsn);
    }
    return touched;
}

/* ---- link, unlink */

static size_t apply_link(struct sutra_store *store, struct sutra_state *state,
                         const struct sutra_op_link *link, uint64_t lsn)
{
    struct sutra_write_scratch *scratch = &store->scratch;
    struct sutra_concepts *concepts = &state->concepts;
    if (!scratch->resolved) {
        sutra_concepts_find(concepts, &link->sources, scratch->numbers);
        sutra_concepts_find(concepts, &link->targets, scratch->others);
    }
    /* The log may come from a forger: an end that is not there is passed over. */
    uint32_t *sources = scratch->numbers, *targets = scratch->others;
    size_t count = 0;
    for (size_t j = 0; j < link->sources.count; j++) {
        const size_t kind = link->kinds ? link->kinds[j] : 0;
        if (scratch->numbers[j] == SUTRA_NO_CONCEPT || scratch->others[j] == SUTRA_NO_CONCEPT)
            continue;
        sources[count] = scratch->numbers[j];
        targets[count] = scratch->others[j];
        scratch->kinds[count] = sutra_associations_kind(state->associations, link->kind_names[kind],
                                                        link->kind_bytes[kind]);
        scratch->weights[count] = link->weights[j * link->weight_step];
        scratch->confidences[count] = link->confidences[j * link->confidence_step];
        count++;
    }
    sutra_associations_link_many(state->associations, sources, targets, scratch->kinds,
                                 scratch->weights, scratch->confidences, count, link->time_ns, lsn,
                                 scratch->fresh);
    sutra_concepts_visible_many(concepts, targets, count, ALIVE_NOW, scratch->slots);
    for (size_t j = 0; j < count; j++) {
        if (scratch->fresh[j] && scratch->slots[j] != SUTRA_NO_SLOT)
            sutra_concepts_count_reference(concepts, scratch->slots[j], 1);
    }
    return count;
}

static size_t apply_unlink(struct sutra_store *store, struct sutra_state *state,
                           const struct sutra_op_link *link, uint64_t lsn)
{
    struct sutra_write_scratch *scratch = &store->scratch;
    size_t removed = 0;
    sutra_concepts_find(&state->concepts, &link->sources, scratch->numbers);
    sutra_concepts_find(&state->concepts, &link->targets, scratch->others);
    for (size_t j = 0; j < link->sources.count; j++) {
        if (scratch->numbers[j] == SUTRA_NO_CONCEPT || scratch->others[j] == SUTRA_NO_CONCEPT)
            continue;
        uint16_t kind = SUTRA_NO_KIND;
        if (link->kind_count) {
            const size_t name = link->kinds ? link->kinds[j] : 0;
            kind = sutra_associations_kind(state->associations, link->kind_names[name],
                                           link->kind_bytes[name]);
            if (kind == SUTRA_NO_KIND)
                continue;
        }
        size_t ended = 0;
        sutra_associations_unlink(state->associations, scratch->numbers[j], scratch->others[j],
                                  kind, lsn, &ended);
        const uint32_t slot = sutra_concepts_newest(&state->concepts, scratch->others[j]);
        if (ended && slot != SUTRA_NO_SLOT)
            sutra_concepts_count_reference(&state->concepts, slot, -(int)ended);
        removed += ended;
    }
    return removed;
}

/* ---- any */

size_t sutra_apply_op(struct sutra_store *store, struct sutra_state *state,
                      const struct sutra_op *op, uint64_t lsn)
{
    switch (op->kind) {
    case SUTRA_OP_PUT:
        return apply_put(store, state, &op->put, lsn);
    case SUTRA_OP_DELETE:
        return apply_delete(state, &store->scratch, &op->ids.ids, lsn);
    case SUTRA_OP_TOUCH:
        return apply_touch(store, state, &op->ids, lsn);
    case SUTRA_OP_LINK:
        return apply_link(store, state, &op->link, lsn);
    case SUTRA_OP_SET: /* with the first, all of the batch */
        sutra_settings_publish(&state->settings);
        return op->done;
    case SUTRA_OP_FIELD: /* the same */
        sutra_attributes_publish(&state->attributes, lsn);
        return op->done;
    default:
        return apply_unlink(store, state, &op->link, lsn);
    }
}

/* A writer has checked this before; a log that a forger wrote has not been. */
static int check_logged(struct sutra_store *store, struct sutra_state *state, struct sutra_op *op,
                        struct sutra_fault *fault)
{
    if (op->kind == SUTRA_OP_PUT)
        op->put.replace = true; /* the writer has seen to it */
    if (op->kind == SUTRA_OP_LINK || op->kind == SUTRA_OP_UNLINK)
        return sutra_write_scratch_reserve(&store->scratch, sutra_op_count(op));
    return sutra_validate(store, state, op, 1, fault);
}

int sutra_apply_record(struct sutra_store *store, struct sutra_state *state,
                       struct sutra_decoder *decoder, uint64_t lsn, const uint8_t *payload,
                       uint32_t bytes, struct sutra_fault *fault_out)
{
    int status = sutra_decoder_start(decoder, payload, bytes);
    bool more = status == SUTRA_OK;
    while (more) {
        struct sutra_op op;
        status = sutra_decode_op(decoder, &op, &more);
        if (status != SUTRA_OK || !more)
            break;
        status = check_logged(store, state, &op, fault_out);
        store->scratch.resolved = false;
        if (status == SUTRA_OK)
            status = sutra_reserve_ops(store, state, &op, 1);
        if (status != SUTRA_OK)
            break;
        sutra_apply_op(store, state, &op, lsn);
    }
    sutra_write_scratch_reset(&store->scratch);
    return status;
}
