/* Checking a batch before any of it is written; see store.h for what is refused.
 *
 * Operations of one batch build on one another, so what a batch has put or removed so far is kept
 * in an overlay: a hash set of its ids. A single operation needs it only to find ids given twice.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/utf8.h"

#define ALIVE_NOW (SUTRA_LSN_NEVER - 1)

static int fail(struct sutra_fault *fault, int status, size_t op, size_t row, uint64_t found)
{
    *fault = SUTRA_FAULT_NONE;
    fault->row = (int64_t)row;
    fault->expected = op;
    fault->found = found;
    return status;
}

/* ---- scratch */

static void free_items(struct sutra_write_scratch *scratch)
{
    free(scratch->numbers);
    free(scratch->others);
    free(scratch->slots);
    free(scratch->kinds);
    free(scratch->weights);
    free(scratch->confidences);
    free(scratch->labels);
    free(scratch->fresh);
    scratch->numbers = scratch->others = scratch->slots = NULL;
    scratch->kinds = NULL;
    scratch->weights = scratch->confidences = NULL;
    scratch->labels = NULL;
    scratch->fresh = NULL;
    scratch->room = 0;
}

int sutra_write_scratch_reserve(struct sutra_write_scratch *scratch, size_t items)
{
    if (items <= scratch->room)
        return SUTRA_OK;
    const size_t room = items + items / 2 + 64;
    free_items(scratch);
    scratch->numbers = malloc(room * sizeof *scratch->numbers);
    scratch->others = malloc(room * sizeof *scratch->others);
    scratch->slots = malloc(room * sizeof *scratch->slots);
    scratch->kinds = malloc(room * sizeof *scratch->kinds);
    scratch->weights = malloc(room * sizeof *scratch->weights);
    scratch->confidences = malloc(room * sizeof *scratch->confidences);
    scratch->labels = malloc(room * sizeof *scratch->labels);
    scratch->fresh = malloc(room * sizeof *scratch->fresh);
    if (!scratch->numbers || !scratch->others || !scratch->slots || !scratch->kinds ||
        !scratch->weights || !scratch->confidences || !scratch->labels || !scratch->fresh)
        return SUTRA_E_NO_MEMORY;
    scratch->room = room;
    return SUTRA_OK;
}

void sutra_write_scratch_reset(struct sutra_write_scratch *scratch)
{
    scratch->resolved = false;
    if (scratch->overlay_used)
        memset(scratch->overlay, 0, scratch->overlay_size * sizeof *scratch->overlay);
    scratch->overlay_used = 0;
    for (size_t j = 0; j < scratch->assigned_count; j++)
        free(scratch->assigned[j]);
    scratch->assigned_count = 0;
    sutra_index_free(scratch->fresh_index);
    scratch->fresh_index = NULL;
}

void sutra_write_scratch_free(struct sutra_write_scratch *scratch)
{
    sutra_write_scratch_reset(scratch);
    free_items(scratch);
    free(scratch->overlay);
    free(scratch->assigned);
    memset(scratch, 0, sizeof *scratch);
}

/* ---- overlay */

static int reserve_overlay(struct sutra_write_scratch *scratch, size_t more)
{
    const size_t wanted = 2 * (scratch->overlay_used + more);
    if (wanted <= scratch->overlay_size)
        return SUTRA_OK;
    size_t size = scratch->overlay_size ? scratch->overlay_size : 64;
    while (size < wanted)
        size *= 2;
    struct sutra_overlay_item *items = calloc(size, sizeof *items);
    if (!items)
        return SUTRA_E_NO_MEMORY;
    for (size_t j = 0; j < scratch->overlay_size; j++) {
        const struct sutra_overlay_item *item = &scratch->overlay[j];
        if (!item->hash)
            continue;
        size_t at = item->hash & (size - 1);
        while (items[at].hash)
            at = (at + 1) & (size - 1);
        items[at] = *item;
    }
    free(scratch->overlay);
    scratch->overlay = items;
    scratch->overlay_size = size;
    return SUTRA_OK;
}

static bool same_id(const struct sutra_ids *a, size_t at, const struct sutra_ids *b, size_t bt)
{
    const char *text = a->texts ? a->texts[at] : NULL;
    const char *other = b->texts ? b->texts[bt] : NULL;
    if (!text || !other)
        return !text && !other && a->numbers[at] == b->numbers[bt];
    return a->text_bytes[at] == b->text_bytes[bt] && !memcmp(text, other, a->text_bytes[at]);
}

/* The id's item, or the free one where it belongs. */
static struct sutra_overlay_item *overlay_item(const struct sutra_store *store,
                                               struct sutra_write_scratch *scratch,
                                               const struct sutra_ids *ids, size_t at,
                                               uint64_t *hash_out)
{
    const char *text = ids->texts ? ids->texts[at] : NULL;
    const uint64_t hash = (text ? sutra_hash_text(store->hash_seed, text, ids->text_bytes[at])
                                : sutra_hash_number(store->hash_seed, ids->numbers[at])) |
                          1;
    size_t slot = hash & (scratch->overlay_size - 1);
    while (scratch->overlay[slot].hash &&
           (scratch->overlay[slot].hash != hash ||
            !same_id(scratch->overlay[slot].ids, scratch->overlay[slot].at, ids, at)))
        slot = (slot + 1) & (scratch->overlay_size - 1);
    *hash_out = hash;
    return &scratch->overlay[slot];
}

static void overlay_set(struct sutra_write_scratch *scratch, struct sutra_overlay_item *item,
                        uint64_t hash, const struct sutra_ids *ids, size_t at, size_t op,
                        bool alive)
{
    scratch->overlay_used += item->hash == 0;
    *item = (struct sutra_overlay_item){hash, ids, (uint32_t)at, (uint32_t)op, alive};
}

static bool ascending_numbers(const struct sutra_ids *ids)
{
    if (ids->texts)
        return false;
    for (size_t j = 1; j < ids->count; j++) {
        if (ids->numbers[j] <= ids->numbers[j - 1])
            return false;
    }
    return true;
}

/* ---- operations */

struct check {
    struct sutra_store *store;
    struct sutra_state *state;
    struct sutra_write_scratch *scratch;
    bool alone; /* the batch has one operation */
    size_t op;
    bool slots; /* operations before this one make slots, or end them */
    int64_t next_number;
    struct sutra_fault *fault;
};

static int check_ids(const struct check *check, const struct sutra_ids *ids)
{
    if (ids->count > SUTRA_BATCH_CONCEPTS_MAX)
        return fail(check->fault, SUTRA_E_CAPACITY, check->op, ids->count, 0);
    for (size_t j = 0; j < ids->count; j++) {
        const char *text = ids->texts ? ids->texts[j] : NULL;
        if (!text && ids->numbers[j] < 0)
            return fail(check->fault, SUTRA_E_NEGATIVE_ID, check->op, j, (uint64_t)ids->numbers[j]);
        if (text && (ids->text_bytes[j] == 0 || ids->text_bytes[j] > SUTRA_TEXT_ID_BYTES_MAX ||
                     !sutra_is_utf8(text, ids->text_bytes[j])))
            return fail(check->fault, SUTRA_E_ARGUMENT, check->op, j, ids->text_bytes[j]);
    }
    return SUTRA_OK;
}

static int check_floats(const struct check *check, const float *values, size_t step, size_t count)
{
    for (size_t j = 0; j < (step ? count : 1); j++) {
        if (!isfinite(values[j * step]))
            return fail(check->fault, SUTRA_E_ARGUMENT, check->op, j, 0);
    }
    return SUTRA_OK;
}

static int assign_ids(struct check *check, struct sutra_op_put *put)
{
    const size_t count = put->ids.count;
    struct sutra_write_scratch *scratch = check->scratch;
    if (check->next_number < 0 || check->next_number > INT64_MAX - (int64_t)count)
        return SUTRA_E_CAPACITY;
    int64_t **assigned =
        realloc(scratch->assigned, (scratch->assigned_count + 1) * sizeof *assigned);
    if (!assigned)
        return SUTRA_E_NO_MEMORY;
    scratch->assigned = assigned;
    int64_t *numbers = calloc(count ? count : 1, sizeof *numbers);
    if (!numbers)
        return SUTRA_E_NO_MEMORY;
    assigned[scratch->assigned_count++] = numbers;
    for (size_t j = 0; j < count; j++)
        numbers[j] = check->next_number + (int64_t)j;
    put->ids.numbers = numbers;
    return SUTRA_OK;
}

static int check_vectors(struct check *check, const struct sutra_op_put *put)
{
    struct sutra_store *store = check->store;
    struct sutra_index *index = check->state->index;
    if (put->dim > SUTRA_DIM_MAX)
        return fail(check->fault, SUTRA_E_DIMENSION, SUTRA_DIM_MAX, 0, put->dim);
    if (!index && !check->scratch->fresh_index) {
        struct sutra_index_options options = store->index_options;
        options.dim = options.dim ? options.dim : put->dim;
        const int status =
            sutra_stream_new(store->kernels, &options, &check->scratch->fresh_index, check->fault);
        if (status != SUTRA_OK)
            return status;
        check->scratch->fresh_dim = options.dim;
    }
    const uint32_t dim = index ? store->index_options.dim : check->scratch->fresh_dim;
    index = index ? index : check->scratch->fresh_index;
    if (put->dim != dim)
        return fail(check->fault, SUTRA_E_DIMENSION, dim, 0, put->dim);
    size_t rows = put->ids.count;
    if (put->has_vector) {
        rows = 0;
        for (size_t j = 0; j < put->ids.count; j++)
            rows += put->has_vector[j] != 0;
    }
    const int status = sutra_stream_check(index, put->vectors, put->stride, rows, check->fault);
    check->fault->expected = check->op;
    if (status == SUTRA_E_VECTOR && put->has_vector) { /* from the row to the item */
        int64_t row = check->fault->row;
        size_t item = 0;
        while (row >= 0)
            row -= put->has_vector[item++] != 0;
        check->fault->row = (int64_t)item - 1;
    }
    return status;
}

/* Are the ids new (unless they may be replaced) and each there once? */
static int check_new(struct check *check, const struct sutra_op_put *put)
{
    struct sutra_write_scratch *scratch = check->scratch;
    const struct sutra_ids *ids = &put->ids;
    const size_t count = ids->count;
    sutra_concepts_find(&check->state->concepts, ids, scratch->numbers);
    sutra_concepts_visible_many(&check->state->concepts, scratch->numbers, count, ALIVE_NOW,
                                scratch->slots);
    if (check->alone && ascending_numbers(ids)) {
        for (size_t j = 0; j < count && !put->replace; j++) {
            if (scratch->slots[j] != SUTRA_NO_SLOT)
                return fail(check->fault, SUTRA_E_DUPLICATE_ID, check->op, j,
                            (uint64_t)ids->numbers[j]);
        }
        return SUTRA_OK;
    }
    const int status = reserve_overlay(scratch, count);
    if (status != SUTRA_OK)
        return status;
    for (size_t j = 0; j < count; j++) {
        uint64_t hash;
        struct sutra_overlay_item *item = overlay_item(check->store, scratch, ids, j, &hash);
        const bool named = item->hash != 0;
        const bool twice = named && item->op == check->op && item->ids == ids;
        const bool alive = named ? item->alive : scratch->slots[j] != SUTRA_NO_SLOT;
        if (twice || (alive && !put->replace))
            return fail(check->fault, SUTRA_E_DUPLICATE_ID, check->op, j,
                        (uint64_t)(ids->numbers ? ids->numbers[j] : -1));
        overlay_set(scratch, item, hash, ids, j, check->op, true);
    }
    return SUTRA_OK;
}

/* Do the metadata fit the declared fields? */
static int check_metadata(struct check *check, const struct sutra_op_put *put)
{
    int status = SUTRA_OK;
    for (size_t j = 0; status == SUTRA_OK && put->metadata && j < put->ids.count; j++) {
        unsigned field = 0;
        int found = 0;
        if (!put->metadata[j])
            continue;
        status = sutra_attributes_fit(&check->state->attributes, put->metadata[j],
                                      put->metadata_bytes[j], &field, &found);
        if (status == SUTRA_E_CONFIG) {
            fail(check->fault, status, check->op, j, (uint64_t)field << 8 | (uint64_t)found);
            check->fault->what = "metadata";
        }
    }
    return status;
}

static int check_put(struct check *check, struct sutra_op_put *put)
{
    int status = SUTRA_OK;
    if (!put->ids.numbers && !put->ids.texts)
        status = assign_ids(check, put);
    else
        status = check_ids(check, &put->ids);
    if (status == SUTRA_OK)
        status = check_floats(check, put->strengths, put->strength_step, put->ids.count);
    if (status == SUTRA_OK)
        status = check_floats(check, put->confidences, put->confidence_step, put->ids.count);
    if (status == SUTRA_OK && put->dim)
        status = check_vectors(check, put);
    for (size_t j = 0; status == SUTRA_OK && j < put->ids.count; j++) {
        if ((put->contents && put->contents[j] && put->content_bytes[j] == SUTRA_ABSENT_BYTES) ||
            (put->metadata && put->metadata[j] && put->metadata_bytes[j] == SUTRA_ABSENT_BYTES))
            status = fail(check->fault, SUTRA_E_CAPACITY, check->op, j, SUTRA_ABSENT_BYTES);
    }
    if (status == SUTRA_OK)
        status = check_new(check, put);
    if (status == SUTRA_OK)
        status = check_metadata(check, put);
    for (size_t j = 0; status == SUTRA_OK && j < put->ids.count; j++) {
        const bool text = put->ids.texts && put->ids.texts[j];
        if (!text && put->ids.numbers[j] >= check->next_number)
            check->next_number =
                put->ids.numbers[j] < INT64_MAX ? put->ids.numbers[j] + 1 : INT64_MAX;
    }
    return status;
}

static int check_delete(struct check *check, const struct sutra_op_ids *op)
{
    int status = check_ids(check, &op->ids);
    if (status != SUTRA_OK || check->alone)
        return status;
    status = reserve_overlay(check->scratch, op->ids.count);
    for (size_t j = 0; status == SUTRA_OK && j < op->ids.count; j++) {
        uint64_t hash;
        struct sutra_overlay_item *item =
            overlay_item(check->store, check->scratch, &op->ids, j, &hash);
        overlay_set(check->scratch, item, hash, &op->ids, j, check->op, false);
    }
    return status;
}

static int check_alive(struct check *check, const struct sutra_ids *ids, uint64_t end,
                       uint32_t *numbers_out)
{
    struct sutra_write_scratch *scratch = check->scratch;
    sutra_concepts_find(&check->state->concepts, ids, numbers_out);
    sutra_concepts_visible_many(&check->state->concepts, numbers_out, ids->count, ALIVE_NOW,
                                scratch->slots);
    for (size_t j = 0; j < ids->count; j++) {
        bool alive = scratch->slots[j] != SUTRA_NO_SLOT;
        if (scratch->overlay_used) {
            uint64_t hash;
            const struct sutra_overlay_item *item =
                overlay_item(check->store, scratch, ids, j, &hash);
            alive = item->hash ? item->alive : alive;
        }
        if (!alive)
            return fail(check->fault, SUTRA_E_NOT_FOUND, check->op, j, end);
    }
    return SUTRA_OK;
}

static int check_link(struct check *check, const struct sutra_op_link *link, bool weighted)
{
    const size_t count = link->sources.count;
    if (link->targets.count != count || (weighted && link->kind_count == 0) ||
        link->kind_count >= SUTRA_NO_KIND)
        return fail(check->fault, SUTRA_E_ARGUMENT, check->op, 0, link->kind_count);
    int status = check_ids(check, &link->sources);
    if (status == SUTRA_OK)
        status = check_ids(check, &link->targets);
    for (size_t k = 0; status == SUTRA_OK && k < link->kind_count; k++) {
        if (link->kind_bytes[k] == 0 || link->kind_bytes[k] > SUTRA_KIND_BYTES_MAX ||
            !sutra_is_utf8(link->kind_names[k], link->kind_bytes[k]))
            status = fail(check->fault, SUTRA_E_ARGUMENT, check->op, 0, link->kind_bytes[k]);
    }
    for (size_t j = 0; status == SUTRA_OK && link->kinds && j < count; j++) {
        if (link->kinds[j] >= link->kind_count)
            status = fail(check->fault, SUTRA_E_ARGUMENT, check->op, j, link->kinds[j]);
    }
    if (status != SUTRA_OK || !weighted)
        return status;
    status = check_floats(check, link->weights, link->weight_step, count);
    if (status == SUTRA_OK)
        status = check_floats(check, link->confidences, link->confidence_step, count);
    if (status == SUTRA_OK)
        status = check_alive(check, &link->sources, 0, check->scratch->numbers);
    if (status == SUTRA_OK)
        status = check_alive(check, &link->targets, 1, check->scratch->others);
    return status;
}

static int check_set(struct check *check, struct sutra_op *op)
{
    const struct sutra_op_set *set = &op->set;
    struct sutra_settings *settings = &check->state->settings;
    if (set->name_bytes == 0 || set->name_bytes > SUTRA_SETTING_NAME_BYTES_MAX ||
        !sutra_is_utf8(set->name, set->name_bytes))
        return fail(check->fault, SUTRA_E_ARGUMENT, check->op, 0, set->name_bytes);
    if (set->value && set->value_bytes > SUTRA_SETTING_BYTES_MAX)
        return fail(check->fault, SUTRA_E_CAPACITY, check->op, 0, set->value_bytes);
    const int status = sutra_settings_stage(settings, set, &op->done);
    return status == SUTRA_E_CAPACITY ? fail(check->fault, status, check->op, 0, SUTRA_SETTINGS_MAX)
                                      : status;
}

/* The column is filled here, with what is alive: nothing may have made a slot since. */
static int check_field(struct check *check, struct sutra_op *op)
{
    const struct sutra_op_field *field = &op->field;
    bool done;
    if (check->slots || field->type >= SUTRA_FIELD_TYPES || field->path_bytes == 0 ||
        field->path_bytes > SUTRA_JSON_PATH_BYTES_MAX ||
        !sutra_is_utf8(field->path, field->path_bytes))
        return fail(check->fault, SUTRA_E_ARGUMENT, check->op, 0, field->path_bytes);
    const int status =
        sutra_attributes_stage(&check->state->attributes, &check->state->concepts, field->path,
                               field->path_bytes, (int)field->type, &done, check->fault);
    op->done = status == SUTRA_OK && done;
    if (status == SUTRA_E_CONFIG) /* what and found are said */
        check->fault->expected = check->op;
    return status == SUTRA_E_CAPACITY ? fail(check->fault, status, check->op, 0, SUTRA_FIELDS_MAX)
                                      : status;
}

int sutra_validate(struct sutra_store *store, struct sutra_state *state, struct sutra_op *ops,
                   size_t count, struct sutra_fault *fault_out)
{
    struct check check = {.store = store,
                          .state = state,
                          .scratch = &store->scratch,
                          .alone = count == 1,
                          .next_number = state->concepts.next_number,
                          .fault = fault_out};
    sutra_write_scratch_reset(&store->scratch);
    sutra_settings_unstage(&state->settings); /* of a batch that came to nothing */
    sutra_attributes_unstage(&state->attributes);
    for (check.op = 0; check.op < count; check.op++) {
        struct sutra_op *op = &ops[check.op];
        op->done = 0;
        op->first_number = -1;
        int status = sutra_write_scratch_reserve(&store->scratch, sutra_op_count(op));
        if (status != SUTRA_OK)
            return status;
        switch (op->kind) {
        case SUTRA_OP_PUT:
            status = check_put(&check, &op->put);
            if (store->scratch.assigned_count &&
                op->put.ids.numbers == store->scratch.assigned[store->scratch.assigned_count - 1])
                op->first_number = op->put.ids.numbers[0];
            break;
        case SUTRA_OP_DELETE:
            status = check_delete(&check, &op->ids);
            break;
        case SUTRA_OP_TOUCH:
            status = check_ids(&check, &op->ids.ids);
            break;
        case SUTRA_OP_LINK:
        case SUTRA_OP_UNLINK:
            status = check_link(&check, &op->link, op->kind == SUTRA_OP_LINK);
            break;
        case SUTRA_OP_SET:
            status = check_set(&check, op);
            break;
        case SUTRA_OP_FIELD:
            status = check_field(&check, op);
            break;
        default:
            status = SUTRA_E_ARGUMENT;
        }
        if (status != SUTRA_OK)
            return status;
        check.slots = check.slots || op->kind == SUTRA_OP_PUT || op->kind == SUTRA_OP_DELETE ||
                      op->kind == SUTRA_OP_TOUCH;
    }
    store->scratch.resolved =
        count == 1 && (ops[0].kind == SUTRA_OP_PUT || ops[0].kind == SUTRA_OP_LINK);
    return SUTRA_OK;
}
