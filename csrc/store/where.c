/* Asking a view which concepts a predicate is true of.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include <stdlib.h>
#include <string.h>

int sutra_store_fields(const struct sutra_store_view *view, uint8_t **fields_out, size_t *bytes_out,
                       size_t *count_out)
{
    struct sutra_epochs *epochs = &view->store->epochs;
    uint8_t *fields = malloc((size_t)SUTRA_FIELDS_MAX * (2 + SUTRA_JSON_PATH_BYTES_MAX));
    uint8_t *to = fields;
    if (!fields)
        return SUTRA_E_NO_MEMORY;
    const unsigned epoch = sutra_epoch_enter(epochs);
    const struct sutra_field_table *table = sutra_attributes_table(&view->state->attributes);
    for (unsigned f = 0; table && f < table->count; f++) {
        const struct sutra_field *field = table->fields[f];
        *to++ = (uint8_t)field->type;
        *to++ = (uint8_t)field->path.bytes;
        memcpy(to, field->path.text, field->path.bytes);
        to += field->path.bytes;
    }
    *count_out = table ? table->count : 0;
    sutra_epoch_leave(epochs, epoch);
    *fields_out = fields;
    *bytes_out = (size_t)(to - fields);
    return SUTRA_OK;
}

size_t sutra_store_numbers(const struct sutra_store_view *view)
{
    return __atomic_load_n(&view->state->concepts.concept_count, __ATOMIC_ACQUIRE);
}

/* Columns and the dictionary are replaced and dropped, so all of it is inside an epoch. */
int sutra_store_where(const struct sutra_store_view *view, const struct sutra_predicate *predicate,
                      size_t limit, uint64_t *concepts_out, size_t *count_out)
{
    struct sutra_epochs *epochs = &view->store->epochs;
    const struct sutra_concepts *concepts = &view->state->concepts;
    const size_t born = sutra_concepts_born(concepts, view->lsn);
    const size_t numbers = sutra_store_numbers(view);
    uint64_t *slots = calloc(born / 64 + 1, sizeof *slots);
    *count_out = 0;
    if (!slots)
        return SUTRA_E_NO_MEMORY;
    const unsigned epoch = sutra_epoch_enter(epochs);
    const int status = sutra_predicate_match(predicate, &view->state->attributes, concepts,
                                             view->lsn, born, slots);
    sutra_epoch_leave(epochs, epoch);
    memset(concepts_out, 0, (limit / 64 + (limit % 64 != 0)) * sizeof *concepts_out);
    if (status == SUTRA_OK)
        *count_out = sutra_concepts_of_slots(concepts, slots, born,
                                             limit < numbers ? limit : numbers, concepts_out);
    free(slots);
    return status;
}
