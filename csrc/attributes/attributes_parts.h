/* Inside of the attributes: what their files share.
 *
 * Only for the files of this room.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_ATTRIBUTES_ATTRIBUTES_PARTS_H
#define SUTRA_ATTRIBUTES_ATTRIBUTES_PARTS_H

#include "attributes.h"

/* What a cell says. */
enum sutra_cell_state { SUTRA_CELL_NOTHING, SUTRA_CELL_NULL, SUTRA_CELL_VALUE, SUTRA_CELL_UNFIT };

struct sutra_cell {
    int state;
    uint64_t value;
};

/* Stands for an integer that no double is: a NaN, as no metadata have one. */
#define SUTRA_INEXACT_BITS ((uint64_t)0x7ff8000000000001)

/* The fields that the writer goes by; NULL: none. */
SUTRA_INLINE const struct sutra_field_table *
sutra_attributes_next_table(const struct sutra_attributes *attributes)
{
    return attributes->staged ? attributes->staged : attributes->table;
}

/* The cell of a value found in metadata; a text that is not in the dictionary has SUTRA_NO_CODE. */
struct sutra_cell sutra_cell_of(const struct sutra_attributes *attributes,
                                const struct sutra_field *field, const struct sutra_json *found);

/* Planes and dictionary, before the first field. */
int sutra_attributes_make(struct sutra_attributes *attributes);

int sutra_field_new(const char *path, size_t bytes, int type, uint32_t number,
                    struct sutra_field **field_out);
void sutra_field_free(struct sutra_field *field);

/* Room for the blocks of a field that has `stripes` of them. */
int sutra_field_reserve(struct sutra_field *field, size_t stripes);
/* Give a field blocks up to a stripe, all nothing; there is room. */
void sutra_field_extend(struct sutra_attributes *attributes, struct sutra_field *field,
                        size_t stripes);
/* Write a cell that no reader sees yet. */
void sutra_field_set(struct sutra_attributes *attributes, const struct sutra_field *field,
                     size_t slot, struct sutra_cell cell);

#endif
