/* Ids: which row has which id.
 *
 * While ids are the row numbers nothing is stored. Otherwise the id plane maps rows to ids and
 * an open-addressing table, built when first needed, maps ids back to rows.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

#include "../base/prng.h"

static size_t slot_of(int64_t id, size_t size)
{
    return (size_t)sutra_mix64((uint64_t)id) & (size - 1);
}

size_t sutra_index_row_of(const struct sutra_index *index, int64_t id)
{
    if (index->identity_ids)
        return id >= 0 && (uint64_t)id < index->count ? (size_t)id : SIZE_MAX;
    if (!index->id_table)
        return SIZE_MAX;
    const size_t mask = index->id_table_size - 1;
    for (size_t slot = slot_of(id, index->id_table_size); index->id_table[slot];
         slot = (slot + 1) & mask) {
        const size_t row = index->id_table[slot] - 1;
        if (sutra_index_id_of(index, row) == id)
            return row;
    }
    return SIZE_MAX;
}

static void enter(uint32_t *table, size_t size, int64_t id, size_t row)
{
    size_t slot = slot_of(id, size);
    while (table[slot])
        slot = (slot + 1) & (size - 1);
    table[slot] = (uint32_t)row + 1;
}

int sutra_index_build_id_table(struct sutra_index *index, size_t room)
{
    if (index->identity_ids)
        return SUTRA_OK;
    size_t size = 1024;
    while (size < room + room / 2)
        size *= 2;
    if (index->id_table && index->id_table_size >= size)
        return SUTRA_OK;
    uint32_t *table = calloc(size, sizeof *table);
    if (!table)
        return SUTRA_E_NO_MEMORY;
    for (size_t row = 0; row < index->count; row++)
        enter(table, size, sutra_index_id_of(index, row), row);
    free(index->id_table);
    index->id_table = table;
    index->id_table_size = size;
    return SUTRA_OK;
}

void sutra_index_enter_id(struct sutra_index *index, int64_t id, size_t row)
{
    if (index->id_table)
        enter(index->id_table, index->id_table_size, id, row);
}

static int fail(struct sutra_fault *fault_out, int status, size_t row, int64_t id)
{
    *fault_out = SUTRA_FAULT_NONE;
    fault_out->row = (int64_t)row;
    fault_out->found = (uint64_t)id;
    return status;
}

static int check_against_each_other(const int64_t *ids, size_t count, struct sutra_fault *fault_out)
{
    size_t size = 64;
    while (size < 2 * count)
        size *= 2;
    uint32_t *table = calloc(size, sizeof *table);
    if (!table)
        return SUTRA_E_NO_MEMORY;
    int status = SUTRA_OK;
    for (size_t row = 0; row < count && status == SUTRA_OK; row++) {
        size_t slot = slot_of(ids[row], size);
        while (table[slot] && ids[table[slot] - 1] != ids[row])
            slot = (slot + 1) & (size - 1);
        if (table[slot])
            status = fail(fault_out, SUTRA_E_DUPLICATE_ID, row, ids[row]);
        table[slot] = (uint32_t)row + 1;
    }
    free(table);
    return status;
}

int sutra_index_check_ids(struct sutra_index *index, const int64_t *ids, size_t count,
                          struct sutra_fault *fault_out)
{
    bool ascending = true;
    for (size_t row = 0; row < count; row++) {
        if (ids[row] < 0)
            return fail(fault_out, SUTRA_E_NEGATIVE_ID, row, ids[row]);
        ascending = ascending && (row == 0 || ids[row] > ids[row - 1]);
    }
    if (!ascending) {
        const int status = check_against_each_other(ids, count, fault_out);
        if (status != SUTRA_OK)
            return status;
    }
    /* Above everything the index holds; next_id stops at the largest id, which may be taken. */
    if (ascending && ids[0] >= index->next_id && index->next_id < INT64_MAX)
        return SUTRA_OK;
    const int status = sutra_index_build_id_table(index, index->count + count);
    if (status != SUTRA_OK)
        return status;
    for (size_t row = 0; row < count; row++) {
        if (sutra_index_row_of(index, ids[row]) != SIZE_MAX)
            return fail(fault_out, SUTRA_E_DUPLICATE_ID, row, ids[row]);
    }
    return SUTRA_OK;
}
