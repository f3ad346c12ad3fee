/* Attributes: declaring and dropping fields; the contract is in attributes.h.
 *
 * What is staged lies behind what is published: definitions and blocks from the counts on, a table
 * of its own. So forgetting it is setting the counts back.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "attributes_parts.h"

static struct sutra_field_row *definition_of(const struct sutra_attributes *attributes,
                                             size_t number)
{
    return sutra_planes_row(&attributes->definitions, 0, number);
}

/* Where the path is in a table; its count if it is not. */
static unsigned place_of(const struct sutra_field_table *table, const char *path, size_t bytes)
{
    unsigned at = 0;
    while (at < table->count && (table->fields[at]->path.bytes != bytes ||
                                 memcmp(table->fields[at]->path.text, path, bytes) != 0))
        at++;
    return at;
}

static bool has_field(const struct sutra_field_table *table, const struct sutra_field *field)
{
    for (unsigned f = 0; f < table->count; f++) {
        if (table->fields[f] == field)
            return true;
    }
    return false;
}

/* ---- staging */

static int stage_table(struct sutra_attributes *attributes)
{
    if (attributes->staged)
        return SUTRA_OK;
    struct sutra_field_table *table = calloc(1, sizeof *table);
    if (!table)
        return SUTRA_E_NO_MEMORY;
    if (attributes->table)
        *table = *attributes->table;
    attributes->staged = table;
    return SUTRA_OK;
}

static int unfit(struct sutra_fault *fault, const char *what, uint64_t expected, uint64_t found)
{
    *fault = SUTRA_FAULT_NONE;
    fault->what = what;
    fault->expected = expected;
    fault->found = found;
    return SUTRA_E_CONFIG;
}

/* The cell of a concept that is alive. */
static int fill_cell(struct sutra_attributes *attributes, const struct sutra_concepts *concepts,
                     struct sutra_field *field, uint32_t concept, struct sutra_fault *fault)
{
    const uint32_t slot = sutra_concepts_newest(concepts, concept);
    const uint8_t *metadata;
    uint32_t bytes, code;
    struct sutra_json found;
    if (slot == SUTRA_NO_SLOT)
        return SUTRA_OK;
    int status = sutra_concepts_metadata(concepts, slot, &metadata, &bytes);
    if (status != SUTRA_OK || !metadata)
        return status;
    sutra_json_find((const char *)metadata, bytes, &field->path, &found);
    if (field->type == SUTRA_FIELD_STR && found.kind == SUTRA_JSON_TEXT)
        status = sutra_dictionary_add(&attributes->dictionary, &found, &code);
    if (status != SUTRA_OK)
        return status;
    const struct sutra_cell cell = sutra_cell_of(attributes, field, &found);
    if (cell.state == SUTRA_CELL_UNFIT)
        return unfit(fault, "field", (uint64_t)field->type,
                     (uint64_t) concept << 8 | (uint64_t)found.kind);
    sutra_field_set(attributes, field, slot, cell);
    return SUTRA_OK;
}

static int fill(struct sutra_attributes *attributes, const struct sutra_concepts *concepts,
                struct sutra_field *field, struct sutra_fault *fault)
{
    const size_t stripes = (concepts->slot_count + SUTRA_CELLS - 1) / SUTRA_CELLS;
    if (stripes > SUTRA_ROWS_MAX - attributes->block_next)
        return SUTRA_E_CAPACITY;
    int status = sutra_field_reserve(field, stripes);
    if (status == SUTRA_OK)
        status = sutra_planes_ensure(&attributes->cells, attributes->block_next + stripes);
    if (status != SUTRA_OK)
        return status;
    sutra_field_extend(attributes, field, stripes);
    for (size_t concept = 0; concept < concepts->concept_count && status == SUTRA_OK; concept ++)
        status = fill_cell(attributes, concepts, field, (uint32_t) concept, fault);
    return status;
}

static int stage_field(struct sutra_attributes *attributes, const struct sutra_concepts *concepts,
                       const char *path, size_t bytes, int type, struct sutra_fault *fault)
{
    struct sutra_field *field;
    const size_t number = attributes->definition_next, blocks = attributes->block_next;
    if (number >= SUTRA_ROWS_MAX)
        return SUTRA_E_CAPACITY;
    int status = sutra_planes_ensure(&attributes->definitions, number + 1);
    if (status == SUTRA_OK)
        status = sutra_field_new(path, bytes, type, (uint32_t)number, &field);
    if (status != SUTRA_OK)
        return status;
    field->fresh = true;
    status = fill(attributes, concepts, field, fault);
    if (status != SUTRA_OK) {
        attributes->block_next = blocks;
        sutra_field_free(field);
        return status;
    }
    struct sutra_field_row *row = definition_of(attributes, number);
    memset(row, 0, sizeof *row);
    row->type = (uint32_t)type;
    row->path_bytes = (uint32_t)bytes;
    memcpy(row->path, path, bytes);
    attributes->definition_next++;
    attributes->staged->fields[attributes->staged->count++] = field;
    return SUTRA_OK;
}

static void unstage_field(struct sutra_attributes *attributes, unsigned at)
{
    struct sutra_field_table *table = attributes->staged;
    struct sutra_field *field = table->fields[at];
    table->count--;
    memmove(table->fields + at, table->fields + at + 1,
            (table->count - at) * sizeof(struct sutra_field *));
    if (!field->fresh)
        return;
    definition_of(attributes, field->number)->type = SUTRA_FIELD_NONE;
    sutra_field_free(field);
}

int sutra_attributes_stage(struct sutra_attributes *attributes,
                           const struct sutra_concepts *concepts, const char *path, size_t bytes,
                           int type, bool *done_out, struct sutra_fault *fault)
{
    *done_out = false;
    int status = stage_table(attributes);
    if (status == SUTRA_OK)
        status = sutra_attributes_make(attributes);
    if (status != SUTRA_OK)
        return status;
    const unsigned at = place_of(attributes->staged, path, bytes);
    const bool there = at < attributes->staged->count;
    if (there && type == SUTRA_FIELD_NONE) {
        unstage_field(attributes, at);
        *done_out = true;
    } else if (there && attributes->staged->fields[at]->type != type) {
        status = unfit(fault, "field type", (uint64_t)type,
                       (uint64_t)attributes->staged->fields[at]->type);
    } else if (!there && type != SUTRA_FIELD_NONE) {
        status = attributes->staged->count == SUTRA_FIELDS_MAX
                     ? SUTRA_E_CAPACITY
                     : stage_field(attributes, concepts, path, bytes, type, fault);
        *done_out = status == SUTRA_OK;
    }
    return status;
}

void sutra_attributes_unstage(struct sutra_attributes *attributes)
{
    struct sutra_field_table *table = attributes->staged;
    for (unsigned f = 0; table && f < table->count; f++) {
        if (table->fields[f]->fresh)
            sutra_field_free(table->fields[f]);
    }
    free(table);
    attributes->staged = NULL;
    attributes->definition_next = attributes->definition_count;
    attributes->block_next = attributes->block_count;
}

/* ---- publishing */

static void release_field(void *object, size_t bytes)
{
    (void)bytes;
    sutra_field_free(object);
}

static void release_table(void *object, size_t bytes)
{
    (void)bytes;
    free(object);
}

static void retire(struct sutra_attributes *attributes, void *object, size_t bytes,
                   void (*release)(void *object, size_t bytes))
{
    if (sutra_epoch_retire(attributes->epochs, object, bytes, release) == SUTRA_OK)
        return;
    sutra_epoch_drain(attributes->epochs);
    release(object, bytes);
}

void sutra_attributes_publish(struct sutra_attributes *attributes, uint64_t lsn)
{
    struct sutra_field_table *old = attributes->table, *table = attributes->staged;
    if (!table)
        return;
    for (unsigned f = 0; f < table->count; f++) {
        if (table->fields[f]->fresh)
            table->fields[f]->since = lsn;
        table->fields[f]->fresh = false;
    }
    attributes->staged = NULL;
    attributes->definition_count = attributes->definition_next;
    attributes->block_count = attributes->block_next;
    __atomic_store_n(&attributes->table, table, __ATOMIC_RELEASE);
    for (unsigned f = 0; old && f < old->count; f++) {
        struct sutra_field *field = old->fields[f];
        if (has_field(table, field))
            continue;
        definition_of(attributes, field->number)->type = SUTRA_FIELD_NONE;
        sutra_dirty_mark(&attributes->definitions_dirty, field->number);
        retire(attributes, field, sizeof *field, release_field);
    }
    if (old)
        retire(attributes, old, sizeof *old, release_table);
}

size_t sutra_attributes_lost_blocks(const struct sutra_attributes *attributes)
{
    const struct sutra_field_table *table = attributes->table;
    size_t blocks = attributes->block_count;
    for (unsigned f = 0; table && f < table->count; f++)
        blocks -= table->fields[f]->stripes;
    return blocks;
}

int sutra_attributes_copy_fields(const struct sutra_attributes *from, struct sutra_attributes *to)
{
    const struct sutra_field_table *table = from->table;
    const struct sutra_concepts none = {.concept_count = 0};
    struct sutra_fault fault;
    bool done;
    int status = SUTRA_OK;
    for (unsigned f = 0; status == SUTRA_OK && table && f < table->count; f++)
        status = sutra_attributes_stage(to, &none, table->fields[f]->path.text,
                                        table->fields[f]->path.bytes, table->fields[f]->type, &done,
                                        &fault);
    if (status == SUTRA_OK)
        sutra_attributes_publish(to, 0);
    return status;
}
