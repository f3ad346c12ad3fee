/* Attributes: lifetime and cells; the contract is in attributes.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "attributes_parts.h"
#include "value.h"

/* ---- lifetime */

void sutra_attributes_init(struct sutra_attributes *attributes, struct sutra_epochs *epochs,
                           uint64_t seed)
{
    memset(attributes, 0, sizeof *attributes);
    attributes->epochs = epochs;
    attributes->seed = seed;
}

int sutra_attributes_make(struct sutra_attributes *attributes)
{
    static const size_t definition_bytes = sizeof(struct sutra_field_row);
    static const size_t cell_bytes[SUTRA_CELL_PLANES] = {
        [SUTRA_CELL_PLANE] = sizeof(struct sutra_cells),
        [SUTRA_CELL_OWNER_PLANE] = sizeof(struct sutra_cell_owner),
    };
    if (attributes->made)
        return SUTRA_OK;
    int status =
        sutra_planes_init(&attributes->definitions, &definition_bytes, 1, SUTRA_HUGE_NEVER);
    if (status == SUTRA_OK)
        status =
            sutra_planes_init(&attributes->cells, cell_bytes, SUTRA_CELL_PLANES, SUTRA_HUGE_ADVISE);
    if (status == SUTRA_OK)
        status =
            sutra_dictionary_make(&attributes->dictionary, attributes->epochs, attributes->seed);
    if (status != SUTRA_OK) {
        sutra_planes_deinit(&attributes->definitions);
        sutra_planes_deinit(&attributes->cells);
        return status;
    }
    attributes->made = true;
    return SUTRA_OK;
}

void sutra_attributes_deinit(struct sutra_attributes *attributes)
{
    sutra_attributes_unstage(attributes);
    for (unsigned f = 0; attributes->table && f < attributes->table->count; f++)
        sutra_field_free(attributes->table->fields[f]);
    free(attributes->table);
    sutra_planes_deinit(&attributes->definitions);
    sutra_planes_deinit(&attributes->cells);
    sutra_dictionary_deinit(&attributes->dictionary);
    sutra_dirty_deinit(&attributes->definitions_dirty);
    sutra_dirty_deinit(&attributes->cells_dirty);
    memset(attributes, 0, sizeof *attributes);
}

void sutra_attributes_use_epochs(struct sutra_attributes *attributes, struct sutra_epochs *epochs)
{
    attributes->epochs = epochs;
    attributes->dictionary.map.epochs = epochs;
}

int sutra_field_new(const char *path, size_t bytes, int type, uint32_t number,
                    struct sutra_field **field_out)
{
    static const size_t row_bytes = sizeof(uint32_t);
    struct sutra_field *field = calloc(1, sizeof *field);
    if (!field)
        return SUTRA_E_NO_MEMORY;
    field->type = type;
    field->number = number;
    int status = sutra_json_path_set(&field->path, path, bytes) ? SUTRA_OK : SUTRA_E_ARGUMENT;
    if (status == SUTRA_OK)
        status = sutra_planes_init(&field->blocks, &row_bytes, 1, SUTRA_HUGE_NEVER);
    if (status != SUTRA_OK) {
        free(field);
        return status;
    }
    *field_out = field;
    return SUTRA_OK;
}

void sutra_field_free(struct sutra_field *field)
{
    if (field)
        sutra_planes_deinit(&field->blocks);
    free(field);
}

/* ---- cells */

static struct sutra_cell cell_of_value(uint64_t value)
{
    return (struct sutra_cell){SUTRA_CELL_VALUE, value};
}

/* Integers that no double is are left to the metadata. */
static struct sutra_cell cell_of_float(const struct sutra_json *found)
{
    const double number = found->kind == SUTRA_JSON_INT ? (double)found->integer : found->number;
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    if (found->kind == SUTRA_JSON_INT && sutra_order_of_numbers(found->integer, number) != 0)
        bits = SUTRA_INEXACT_BITS;
    return cell_of_value(bits);
}

struct sutra_cell sutra_cell_of(const struct sutra_attributes *attributes,
                                const struct sutra_field *field, const struct sutra_json *found)
{
    const struct sutra_cell unfit = {SUTRA_CELL_UNFIT, 0};
    int64_t instant;
    if (found->kind == SUTRA_JSON_NONE)
        return (struct sutra_cell){SUTRA_CELL_NOTHING, 0};
    if (found->kind == SUTRA_JSON_NULL)
        return (struct sutra_cell){SUTRA_CELL_NULL, 0};
    switch (field->type) {
    case SUTRA_FIELD_INT:
        return found->kind == SUTRA_JSON_INT ? cell_of_value((uint64_t)found->integer) : unfit;
    case SUTRA_FIELD_FLOAT:
        return found->kind == SUTRA_JSON_INT || found->kind == SUTRA_JSON_FLOAT
                   ? cell_of_float(found)
                   : unfit;
    case SUTRA_FIELD_BOOL:
        return found->kind == SUTRA_JSON_BOOL ? cell_of_value(found->truth) : unfit;
    case SUTRA_FIELD_STR:
        return found->kind == SUTRA_JSON_TEXT
                   ? cell_of_value(sutra_dictionary_code(&attributes->dictionary, found))
                   : unfit;
    default:
        return found->kind == SUTRA_JSON_TEXT && sutra_json_instant(found, &instant)
                   ? cell_of_value((uint64_t)instant)
                   : unfit;
    }
}

int sutra_attributes_fit(struct sutra_attributes *attributes, const uint8_t *metadata, size_t bytes,
                         unsigned *field_out, int *found_out)
{
    const struct sutra_field_table *table = sutra_attributes_next_table(attributes);
    int status = SUTRA_OK;
    for (unsigned f = 0; status == SUTRA_OK && table && f < table->count; f++) {
        const struct sutra_field *field = table->fields[f];
        struct sutra_json found;
        uint32_t code;
        sutra_json_find((const char *)metadata, bytes, &field->path, &found);
        if (field->type == SUTRA_FIELD_STR && found.kind == SUTRA_JSON_TEXT) {
            status = sutra_dictionary_add(&attributes->dictionary, &found, &code);
        } else if (sutra_cell_of(attributes, field, &found).state == SUTRA_CELL_UNFIT) {
            status = SUTRA_E_CONFIG;
            *field_out = f;
            *found_out = found.kind;
        }
    }
    return status;
}

int sutra_field_reserve(struct sutra_field *field, size_t stripes)
{
    return sutra_planes_ensure(&field->blocks, stripes);
}

int sutra_attributes_reserve(struct sutra_attributes *attributes, size_t slots, size_t more)
{
    const struct sutra_field_table *table = sutra_attributes_next_table(attributes);
    const size_t stripes = (slots + more + SUTRA_CELLS - 1) / SUTRA_CELLS;
    size_t blocks = attributes->block_next;
    int status = SUTRA_OK;
    for (unsigned f = 0; status == SUTRA_OK && table && f < table->count; f++) {
        struct sutra_field *field = table->fields[f];
        if (stripes <= field->stripes)
            continue;
        blocks += stripes - field->stripes;
        status = sutra_field_reserve(field, stripes);
    }
    if (status == SUTRA_OK && blocks > attributes->block_next)
        status = blocks <= SUTRA_ROWS_MAX ? sutra_planes_ensure(&attributes->cells, blocks)
                                          : SUTRA_E_CAPACITY;
    return status;
}

void sutra_field_extend(struct sutra_attributes *attributes, struct sutra_field *field,
                        size_t stripes)
{
    for (; field->stripes < stripes; field->stripes++) {
        const size_t block = attributes->block_next++;
        struct sutra_cell_owner *owner =
            sutra_planes_row(&attributes->cells, SUTRA_CELL_OWNER_PLANE, block);
        memset(sutra_planes_row(&attributes->cells, SUTRA_CELL_PLANE, block), 0,
               sizeof(struct sutra_cells));
        *owner = (struct sutra_cell_owner){field->number, (uint32_t)field->stripes};
        *(uint32_t *)sutra_planes_row(&field->blocks, 0, field->stripes) = (uint32_t)block;
    }
}

/* Readers look at the bits of the slots beside it. */
static void set_bit(uint64_t *word, size_t bit)
{
    const uint64_t bits = __atomic_load_n(word, __ATOMIC_RELAXED);
    __atomic_store_n(word, bits | (uint64_t)1 << bit, __ATOMIC_RELAXED);
}

void sutra_field_set(struct sutra_attributes *attributes, const struct sutra_field *field,
                     size_t slot, struct sutra_cell cell)
{
    const uint32_t block = *(uint32_t *)sutra_planes_row(&field->blocks, 0, slot / SUTRA_CELLS);
    struct sutra_cells *cells = sutra_planes_row(&attributes->cells, SUTRA_CELL_PLANE, block);
    const size_t at = slot % SUTRA_CELLS;
    if (cell.state == SUTRA_CELL_NULL)
        set_bit(&cells->null, at);
    if (cell.state != SUTRA_CELL_VALUE)
        return;
    cells->values[at] = cell.value;
    set_bit(&cells->present, at);
}

/* A block is changed in place; the slots before the next one were nothing until now. */
static void begin_slot(struct sutra_attributes *attributes, struct sutra_field *field, size_t slot)
{
    sutra_field_extend(attributes, field, slot / SUTRA_CELLS + 1);
    attributes->block_count = attributes->block_next;
    sutra_dirty_mark(&attributes->cells_dirty,
                     *(uint32_t *)sutra_planes_row(&field->blocks, 0, slot / SUTRA_CELLS));
}

void sutra_attributes_put(struct sutra_attributes *attributes, size_t slot, const uint8_t *metadata,
                          size_t bytes)
{
    const struct sutra_field_table *table = attributes->table;
    for (unsigned f = 0; table && f < table->count; f++) {
        struct sutra_json found = {.kind = SUTRA_JSON_NONE};
        begin_slot(attributes, table->fields[f], slot);
        if (metadata)
            sutra_json_find((const char *)metadata, bytes, &table->fields[f]->path, &found);
        sutra_field_set(attributes, table->fields[f], slot,
                        sutra_cell_of(attributes, table->fields[f], &found));
    }
}

void sutra_attributes_repeat(struct sutra_attributes *attributes, size_t slot, size_t from)
{
    const struct sutra_field_table *table = attributes->table;
    for (unsigned f = 0; table && f < table->count; f++) {
        const struct sutra_cells *cells =
            sutra_attributes_cells(attributes, table->fields[f], from / SUTRA_CELLS);
        const size_t at = from % SUTRA_CELLS;
        const bool present = cells->present >> at & 1, null = cells->null >> at & 1;
        const struct sutra_cell cell = {present ? SUTRA_CELL_VALUE
                                        : null  ? SUTRA_CELL_NULL
                                                : SUTRA_CELL_NOTHING,
                                        cells->values[at]};
        begin_slot(attributes, table->fields[f], slot);
        sutra_field_set(attributes, table->fields[f], slot, cell);
    }
}
