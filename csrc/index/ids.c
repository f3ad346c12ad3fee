/* Ids: which row has which id.
 *
 * While ids are the row numbers nothing is stored. Otherwise the id plane maps rows to ids, and an
 * open-addressing table, built when first needed, maps ids back to rows.
 *
 * Readers look into the table while the writer enters rows: its words are atomic, a word is written
 * once, and of what a reader finds there it takes only rows that its front has. The gate is held to
 * build a table and to enter rows: no reader that finds a table waits for it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

#include "../base/prng.h"

struct sutra_id_table {
    size_t size;      /* a power of two */
    size_t count;     /* rows that are entered: all below it */
    size_t used;      /* entries; more than rows where some have changed their ids */
    uint32_t slots[]; /* atomic: row + 1, or 0 */
};

static size_t slot_of(int64_t id, size_t size)
{
    return (size_t)sutra_mix64((uint64_t)id) & (size - 1);
}

static struct sutra_id_table *table_of(const struct sutra_id_lookup *lookup)
{
    return __atomic_load_n(&lookup->table, __ATOMIC_ACQUIRE);
}

size_t sutra_front_row_of(const struct sutra_front *front, int64_t id)
{
    if (front->identity_ids) {
        const bool there = id >= 0 && (uint64_t)id < front->count;
        return there && !sutra_front_is_dead(front, (size_t)id) ? (size_t)id : SIZE_MAX;
    }
    /* Not older than the front: it has all the front's rows. */
    const struct sutra_id_table *const table = table_of(front->lookup);
    if (!table)
        return SIZE_MAX;
    for (size_t slot = slot_of(id, table->size);; slot = (slot + 1) & (table->size - 1)) {
        const uint32_t entry = __atomic_load_n(&table->slots[slot], __ATOMIC_RELAXED);
        if (entry == 0)
            return SIZE_MAX;
        if (sutra_front_shows(front, entry - 1, NULL) && sutra_front_id_of(front, entry - 1) == id)
            return entry - 1;
    }
}

static bool has_room(const struct sutra_id_table *table, size_t more)
{
    const size_t entries = table->used + more;
    return table->size >= entries + entries / 2;
}

/* An entry that is there stays: older fronts may have the row under that id. */
static void enter(struct sutra_id_table *table, int64_t id, size_t row)
{
    size_t slot = slot_of(id, table->size);
    while (table->slots[slot])
        slot = (slot + 1) & (table->size - 1);
    __atomic_store_n(&table->slots[slot], (uint32_t)row + 1, __ATOMIC_RELAXED);
    table->used++;
}

/* Enter the front's rows from table->count on. */
static void enter_rows(struct sutra_id_table *table, const struct sutra_front *front)
{
    for (; table->count < front->count; table->count++)
        enter(table, sutra_front_id_of(front, table->count), table->count);
}

/* The ids of a front, with room for so many entries. NULL for want of memory. */
static struct sutra_id_table *make_table(const struct sutra_front *front, size_t entries)
{
    size_t size = 1024;
    while (size < entries + entries / 2)
        size *= 2;
    struct sutra_id_table *table = calloc(1, sizeof *table + size * sizeof *table->slots);
    if (!table)
        return NULL;
    table->size = size;
    enter_rows(table, front);
    return table;
}

int sutra_ids_prepare(struct sutra_index *index, const struct sutra_front *front)
{
    struct sutra_id_lookup *const lookup = front->lookup;
    if (front->identity_ids || table_of(lookup))
        return SUTRA_OK;
    pthread_mutex_lock(&lookup->gate);
    int status = SUTRA_OK;
    if (!lookup->table) {
        /* Under the gate nothing is published, and the newest front that numbers rows alike has
         * all that others have. */
        const struct sutra_front *newest = __atomic_load_n(&index->front, __ATOMIC_ACQUIRE);
        newest = newest && newest->lookup == lookup ? newest : front;
        const size_t entries = newest->count > lookup->room ? newest->count : lookup->room;
        struct sutra_id_table *const table = make_table(newest, entries);
        __atomic_store_n(&lookup->table, table, __ATOMIC_RELEASE);
        status = table ? SUTRA_OK : SUTRA_E_NO_MEMORY;
    }
    pthread_mutex_unlock(&lookup->gate);
    return status;
}

int sutra_ids_new(struct sutra_id_lookup **lookup_out)
{
    struct sutra_id_lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return SUTRA_E_NO_MEMORY;
    const int status = pthread_mutex_init(&lookup->gate, NULL);
    if (status != 0) {
        free(lookup);
        return status;
    }
    *lookup_out = lookup;
    return SUTRA_OK;
}

void sutra_ids_free(struct sutra_id_lookup *lookup)
{
    if (!lookup)
        return;
    free(lookup->table);
    pthread_mutex_destroy(&lookup->gate);
    free(lookup);
}

static void release_table(void *table, size_t bytes)
{
    (void)bytes;
    free(table);
}

int sutra_ids_reserve(struct sutra_index *index, size_t more, bool needed)
{
    struct sutra_id_lookup *const lookup = index->now.lookup;
    const size_t entries = index->now.count + more;
    pthread_mutex_lock(&lookup->gate);
    lookup->room = entries;
    struct sutra_id_table *const old = lookup->table;
    struct sutra_id_table *fresh = NULL;
    const bool wanted = !index->now.identity_ids && (old ? !has_room(old, more) : needed);
    if (wanted)
        fresh = make_table(&index->now, entries);
    if (fresh)
        __atomic_store_n(&lookup->table, fresh, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lookup->gate);
    if (fresh)
        sutra_front_retire(index, old, 0, release_table);
    return wanted && !fresh ? SUTRA_E_NO_MEMORY : SUTRA_OK;
}

void sutra_ids_rename(struct sutra_index *index, const uint32_t *rows, size_t count)
{
    struct sutra_id_lookup *const lookup = index->now.lookup;
    pthread_mutex_lock(&lookup->gate);
    for (size_t j = 0; lookup->table && j < count; j++)
        enter(lookup->table, sutra_front_id_of(&index->now, rows[j]), rows[j]);
    pthread_mutex_unlock(&lookup->gate);
}

void sutra_ids_enter(struct sutra_index *index)
{
    struct sutra_id_lookup *const lookup = index->now.lookup;
    pthread_mutex_lock(&lookup->gate);
    if (lookup->table)
        enter_rows(lookup->table, &index->now);
}

void sutra_ids_leave(struct sutra_index *index)
{
    pthread_mutex_unlock(&index->now.lookup->gate);
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

int sutra_index_check_ids(struct sutra_index *index, const int64_t *ids, size_t count, bool replace,
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
    const int status = sutra_ids_reserve(index, count, true);
    if (status != SUTRA_OK || replace)
        return status;
    for (size_t row = 0; row < count; row++) {
        if (sutra_front_row_of(&index->now, ids[row]) != SIZE_MAX)
            return fail(fault_out, SUTRA_E_DUPLICATE_ID, row, ids[row]);
    }
    return SUTRA_OK;
}
