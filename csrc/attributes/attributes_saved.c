/* Attributes: parts for saving, loading, checking; the contract is in attributes.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "attributes_parts.h"
#include "../base/utf8.h"

enum {
    WORD_DEFINITIONS,
    WORD_BLOCKS,
    WORD_TEXTS,
    WORD_HEAP_ROWS,
    WORDS_USED, /* the rest is 0 */
};

static const char name_fields[] = "fields", name_cells[] = "cells of fields",
                  name_owners[] = "owners of cells", name_texts[] = "texts of fields",
                  name_counts[] = "counts of fields";

void sutra_attributes_parts(struct sutra_attributes *attributes, struct sutra_part *parts_out)
{
    struct sutra_dictionary *dictionary = &attributes->dictionary;
    if (attributes->made)
        sutra_heap_seal(&dictionary->heap);
    const struct sutra_part parts[SUTRA_ATTRIBUTES_PARTS] = {
        {.kind = SUTRA_PART_FIELD,
         .flags = SUTRA_PART_MUTABLE,
         .row_bytes = sizeof(struct sutra_field_row),
         .rows = attributes->definition_count,
         .plane = &attributes->definitions.plane[0],
         .dirty = &attributes->definitions_dirty},
        {.kind = SUTRA_PART_CELLS,
         .flags = SUTRA_PART_MUTABLE,
         .row_bytes = sizeof(struct sutra_cells),
         .rows = attributes->block_count,
         .plane = &attributes->cells.plane[SUTRA_CELL_PLANE],
         .dirty = &attributes->cells_dirty},
        {.kind = SUTRA_PART_CELL_OWNER,
         .row_bytes = sizeof(struct sutra_cell_owner),
         .rows = attributes->block_count,
         .plane = &attributes->cells.plane[SUTRA_CELL_OWNER_PLANE]},
        {.kind = SUTRA_PART_TEXT,
         .row_bytes = sizeof(uint64_t),
         .rows = dictionary->count,
         .plane = &dictionary->offsets.plane[0]},
        {.kind = SUTRA_PART_TEXT_HEAP,
         .flags = SUTRA_PART_COLD,
         .row_bytes = SUTRA_HEAP_ROW,
         .rows = (size_t)(dictionary->heap.used / SUTRA_HEAP_ROW),
         .plane = &dictionary->heap.plane},
    };
    for (size_t p = 0; p < SUTRA_ATTRIBUTES_PARTS; p++) {
        parts_out[p] = parts[p];
        parts_out[p].version = 1;
        if (!attributes->made || attributes->definition_count == 0)
            parts_out[p].plane = NULL;
    }
}

void sutra_attributes_state(const struct sutra_attributes *attributes, uint64_t *words_out)
{
    const struct sutra_dictionary *dictionary = &attributes->dictionary;
    memset(words_out, 0, SUTRA_ATTRIBUTES_STATE_WORDS * sizeof *words_out);
    if (attributes->definition_count == 0)
        return;
    words_out[WORD_DEFINITIONS] = attributes->definition_count;
    words_out[WORD_BLOCKS] = attributes->block_count;
    words_out[WORD_TEXTS] = dictionary->count;
    words_out[WORD_HEAP_ROWS] =
        (dictionary->heap.used + SUTRA_HEAP_ROW - 1) / SUTRA_HEAP_ROW; /* as _parts seals it */
}

/* ---- loading */

static int corrupt(struct sutra_fault *fault, const char *what, size_t row, uint64_t expected,
                   uint64_t found)
{
    *fault = SUTRA_FAULT_NONE;
    fault->what = what;
    fault->row = (int64_t)row;
    fault->expected = expected;
    fault->found = found;
    return SUTRA_E_CORRUPT;
}

static int check_words(const uint64_t *words, struct sutra_fault *fault)
{
    const bool any = words[WORD_DEFINITIONS] > 0;
    for (size_t w = 0; w < SUTRA_ATTRIBUTES_STATE_WORDS; w++) {
        const uint64_t most = w < WORDS_USED && (any || w == 0) ? SUTRA_ROWS_MAX : 0;
        if (words[w] > most)
            return corrupt(fault, name_counts, w, most, words[w]);
    }
    return SUTRA_OK;
}

static int load_plane(const struct sutra_part_source *source, uint32_t kind, const char *name,
                      size_t rows, struct sutra_planes *planes, unsigned plane, size_t row_bytes,
                      struct sutra_fault *fault)
{
    struct sutra_plane *loaded = &planes->plane[plane];
    int status =
        source->load(source->context, kind, row_bytes, rows, true, SUTRA_HUGE_ADVISE, loaded);
    if (status != SUTRA_OK)
        memset(loaded, 0, sizeof *loaded);
    else if ((status = sutra_arena_commit(&loaded->arena, rows * row_bytes)) != SUTRA_OK)
        sutra_plane_release(loaded);
    if (status != SUTRA_OK && !fault->what)
        fault->what = name;
    return status;
}

static void begin_planes(struct sutra_planes *planes, unsigned count, size_t rows)
{
    planes->count = count;
    planes->huge_pages = SUTRA_HUGE_ADVISE;
    planes->capacity_rows = rows;
}

static int load_planes(struct sutra_attributes *attributes, const uint64_t *words,
                       const struct sutra_part_source *source, struct sutra_fault *fault)
{
    const size_t definitions = (size_t)words[WORD_DEFINITIONS], blocks = (size_t)words[WORD_BLOCKS];
    begin_planes(&attributes->definitions, 1, definitions);
    begin_planes(&attributes->cells, SUTRA_CELL_PLANES, blocks);
    int status = load_plane(source, SUTRA_PART_FIELD, name_fields, definitions,
                            &attributes->definitions, 0, sizeof(struct sutra_field_row), fault);
    if (status == SUTRA_OK)
        status = load_plane(source, SUTRA_PART_CELLS, name_cells, blocks, &attributes->cells,
                            SUTRA_CELL_PLANE, sizeof(struct sutra_cells), fault);
    if (status == SUTRA_OK)
        status = load_plane(source, SUTRA_PART_CELL_OWNER, name_owners, blocks, &attributes->cells,
                            SUTRA_CELL_OWNER_PLANE, sizeof(struct sutra_cell_owner), fault);
    if (status == SUTRA_OK)
        status = sutra_dictionary_load(&attributes->dictionary, attributes->epochs,
                                       attributes->seed, (size_t)words[WORD_TEXTS],
                                       (size_t)words[WORD_HEAP_ROWS], source, fault);
    return status;
}

static const struct sutra_field_row *definition_of(const struct sutra_attributes *attributes,
                                                   size_t number)
{
    return sutra_planes_row(&attributes->definitions, 0, number);
}

/* The fields of all definitions that have not been dropped. */
static int load_fields(struct sutra_attributes *attributes, size_t stripes,
                       struct sutra_fault *fault)
{
    struct sutra_field_table *table = calloc(1, sizeof *table);
    if (!table)
        return SUTRA_E_NO_MEMORY;
    attributes->table = table;
    for (size_t number = 0; number < attributes->definition_count; number++) {
        const struct sutra_field_row *row = definition_of(attributes, number);
        if (row->type == SUTRA_FIELD_NONE)
            continue;
        if (row->type >= SUTRA_FIELD_TYPES || row->path_bytes == 0 ||
            row->path_bytes > SUTRA_JSON_PATH_BYTES_MAX ||
            !sutra_is_utf8(row->path, row->path_bytes) || table->count == SUTRA_FIELDS_MAX)
            return corrupt(fault, name_fields, number, SUTRA_FIELD_TYPES, row->type);
        for (unsigned f = 0; f < table->count; f++) {
            if (table->fields[f]->path.bytes == row->path_bytes &&
                memcmp(table->fields[f]->path.text, row->path, row->path_bytes) == 0)
                return corrupt(fault, name_fields, number, 0, f);
        }
        struct sutra_field *field;
        int status =
            sutra_field_new(row->path, row->path_bytes, (int)row->type, (uint32_t)number, &field);
        if (status != SUTRA_OK)
            return status;
        table->fields[table->count++] = field;
        status = sutra_field_reserve(field, stripes);
        if (status != SUTRA_OK)
            return status;
        memset(field->blocks.plane[0].base, 0xff, stripes * sizeof(uint32_t));
    }
    return SUTRA_OK;
}

/* Hand the blocks to their fields: every stripe once. */
static int take_blocks(struct sutra_attributes *attributes, size_t stripes,
                       struct sutra_fault *fault)
{
    const struct sutra_field_table *table = attributes->table;
    unsigned at = 0; /* blocks of a field lie together, or take turns */
    for (size_t block = 0; block < attributes->block_count; block++) {
        const struct sutra_cell_owner *owner =
            sutra_planes_row(&attributes->cells, SUTRA_CELL_OWNER_PLANE, block);
        if (owner->field >= attributes->definition_count)
            return corrupt(fault, name_owners, block, attributes->definition_count, owner->field);
        if (definition_of(attributes, owner->field)->type == SUTRA_FIELD_NONE)
            continue;
        while (table->fields[at]->number != owner->field)
            at = (at + 1) % table->count;
        struct sutra_field *field = table->fields[at];
        uint32_t *place = sutra_planes_row(&field->blocks, 0, owner->stripe);
        if (owner->stripe >= stripes || *place != UINT32_MAX)
            return corrupt(fault, name_owners, block, stripes, owner->stripe);
        *place = (uint32_t)block;
        field->stripes++;
    }
    for (unsigned f = 0; f < table->count; f++) {
        if (table->fields[f]->stripes != stripes)
            return corrupt(fault, name_owners, table->fields[f]->number, stripes,
                           table->fields[f]->stripes);
    }
    return SUTRA_OK;
}

int sutra_attributes_load(struct sutra_attributes *attributes, struct sutra_epochs *epochs,
                          uint64_t seed, const uint64_t *words, size_t slots,
                          const struct sutra_part_source *source, struct sutra_fault *fault_out)
{
    const size_t stripes = (slots + SUTRA_CELLS - 1) / SUTRA_CELLS;
    sutra_attributes_init(attributes, epochs, seed);
    *fault_out = SUTRA_FAULT_NONE;
    int status = check_words(words, fault_out);
    if (status != SUTRA_OK || words[WORD_DEFINITIONS] == 0)
        return status;
    status = load_planes(attributes, words, source, fault_out);
    attributes->definition_count = attributes->definition_next = (size_t)words[WORD_DEFINITIONS];
    attributes->block_count = attributes->block_next = (size_t)words[WORD_BLOCKS];
    attributes->made = true;
    if (status == SUTRA_OK)
        status = load_fields(attributes, stripes, fault_out);
    if (status == SUTRA_OK)
        status = take_blocks(attributes, stripes, fault_out);
    /* What was read is what is saved. */
    if (status == SUTRA_OK)
        status = sutra_dirty_seal(&attributes->definitions_dirty, attributes->definition_count);
    if (status == SUTRA_OK)
        status = sutra_dirty_seal(&attributes->cells_dirty, attributes->block_count);
    if (status != SUTRA_OK) {
        attributes->definition_next = attributes->definition_count;
        sutra_attributes_deinit(attributes);
        sutra_attributes_init(attributes, epochs, seed);
    }
    return status;
}

/* ---- checking */

/* A text's cell names it in the dictionary; the others are what a writer would write. */
static bool is_cell(const struct sutra_attributes *attributes, const struct sutra_field *field,
                    const struct sutra_json *found, const struct sutra_cells *cells, size_t at)
{
    const bool present = cells->present >> at & 1, null = cells->null >> at & 1;
    const bool text = field->type == SUTRA_FIELD_STR && found->kind == SUTRA_JSON_TEXT;
    if (text) {
        size_t bytes;
        const char *known =
            cells->values[at] <= SUTRA_ROWS_MAX
                ? sutra_dictionary_text(&attributes->dictionary, (size_t)cells->values[at], &bytes)
                : NULL;
        return present && !null && known && sutra_json_compare(found, known, bytes) == 0;
    }
    const struct sutra_cell cell = sutra_cell_of(attributes, field, found);
    return cell.state != SUTRA_CELL_UNFIT && present == (cell.state == SUTRA_CELL_VALUE) &&
           null == (cell.state == SUTRA_CELL_NULL) && (!present || cells->values[at] == cell.value);
}

static int verify_slot(const struct sutra_attributes *attributes,
                       const struct sutra_concepts *concepts, uint32_t slot,
                       struct sutra_fault *fault)
{
    const struct sutra_field_table *table = attributes->table;
    const uint8_t *metadata;
    uint32_t bytes;
    int status = sutra_concepts_metadata(concepts, slot, &metadata, &bytes);
    for (unsigned f = 0; status == SUTRA_OK && f < table->count; f++) {
        const struct sutra_cells *cells =
            sutra_attributes_cells(attributes, table->fields[f], slot / SUTRA_CELLS);
        struct sutra_json found = {.kind = SUTRA_JSON_NONE};
        if (metadata)
            sutra_json_find((const char *)metadata, bytes, &table->fields[f]->path, &found);
        if (!is_cell(attributes, table->fields[f], &found, cells, slot % SUTRA_CELLS))
            return corrupt(fault, name_cells, slot, table->fields[f]->number, 0);
    }
    return status;
}

static int verify_texts(const struct sutra_dictionary *dictionary, struct sutra_fault *fault)
{
    for (size_t code = 0; code < dictionary->count; code++) {
        size_t bytes;
        const char *text = sutra_dictionary_text(dictionary, code, &bytes);
        if (!text || sutra_dictionary_find(dictionary, text, bytes) != code)
            return corrupt(fault, name_texts, code, 0, 0);
    }
    return SUTRA_OK;
}

int sutra_attributes_verify(const struct sutra_attributes *attributes,
                            const struct sutra_concepts *concepts, struct sutra_fault *fault_out)
{
    if (!attributes->table)
        return SUTRA_OK;
    int status = verify_texts(&attributes->dictionary, fault_out);
    for (size_t concept = 0; status == SUTRA_OK && concept < concepts->concept_count; concept ++) {
        const uint32_t slot = sutra_concepts_newest(concepts, (uint32_t) concept);
        if (slot != SUTRA_NO_SLOT)
            status = verify_slot(attributes, concepts, slot, fault_out);
    }
    return status;
}
