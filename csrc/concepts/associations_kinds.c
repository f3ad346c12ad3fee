/* Associations: the names of kinds; the contract is in associations.h.
 *
 * A row of the names is a length byte and the bytes, the rest zero. They are found through a table
 * of fixed size, which has room for all the names there can be, so that nothing readers look at
 * moves.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "associations_parts.h"
#include "../base/crc32c.h"
#include "../base/utf8.h"

static const uint8_t *name_row(const struct sutra_associations *associations, size_t kind)
{
    const uint8_t *rows = sutra_edge_rows(associations, SUTRA_PART_KIND_NAME);
    return rows + kind * SUTRA_KIND_ROW_BYTES;
}

/* The slot of a name, or the free one where it belongs; *kind_out SUTRA_NO_KIND then. */
static uint16_t *find_slot(const struct sutra_associations *associations, const void *name,
                           uint32_t bytes, uint16_t *kind_out)
{
    uint32_t at = (uint32_t)(sutra_mix64(sutra_crc32c(0, name, bytes)) % SUTRA_KIND_SLOTS);
    for (;; at = (at + 1) % SUTRA_KIND_SLOTS) {
        uint16_t *slot = &associations->kind_slots[at];
        const uint16_t entry = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
        *kind_out = (uint16_t)(entry - 1); /* 0 becomes SUTRA_NO_KIND */
        if (entry == 0)
            return slot;
        const uint8_t *row = name_row(associations, *kind_out);
        if (row[0] == bytes && memcmp(row + 1, name, bytes) == 0)
            return slot;
    }
}

uint16_t sutra_associations_kind(const struct sutra_associations *associations, const char *name,
                                 uint32_t bytes)
{
    uint16_t kind = SUTRA_NO_KIND;
    if (bytes > 0 && bytes <= SUTRA_KIND_BYTES_MAX)
        (void)find_slot(associations, name, bytes, &kind);
    return kind;
}

int sutra_associations_add_kind(struct sutra_associations *associations, const char *name,
                                uint32_t bytes, uint16_t *kind_out)
{
    if (bytes == 0 || bytes > SUTRA_KIND_BYTES_MAX || !sutra_is_utf8(name, bytes))
        return SUTRA_E_ARGUMENT;
    uint16_t *slot = find_slot(associations, name, bytes, kind_out);
    if (*kind_out != SUTRA_NO_KIND)
        return SUTRA_OK;
    const size_t kind = associations->kind_count;
    if (kind == SUTRA_KINDS_MAX)
        return SUTRA_E_CAPACITY;
    struct sutra_plane *plane = sutra_edge_plane(associations, SUTRA_PART_KIND_NAME);
    const int status = sutra_edge_plane_grow(plane, kind + 1);
    if (status != SUTRA_OK)
        return status;
    uint8_t *row = plane->base + kind * SUTRA_KIND_ROW_BYTES;
    row[0] = (uint8_t)bytes;
    memcpy(row + 1, name, bytes);
    memset(row + 1 + bytes, 0, SUTRA_KIND_BYTES_MAX - bytes);
    __atomic_store_n(&associations->kind_count, kind + 1, __ATOMIC_RELEASE);
    __atomic_store_n(slot, (uint16_t)(kind + 1), __ATOMIC_RELEASE);
    *kind_out = (uint16_t)kind;
    return SUTRA_OK;
}

const char *sutra_associations_kind_name(const struct sutra_associations *associations,
                                         uint16_t kind, uint32_t *bytes_out)
{
    *bytes_out = 0;
    if (kind >= __atomic_load_n(&associations->kind_count, __ATOMIC_ACQUIRE))
        return NULL;
    const uint8_t *row = name_row(associations, kind);
    *bytes_out = row[0];
    return (const char *)row + 1;
}

size_t sutra_kinds_index(struct sutra_associations *associations)
{
    const size_t count = associations->kind_count;
    for (size_t row = 0; row < count; row++) {
        const uint8_t *name = name_row(associations, row);
        uint16_t kind;
        if (name[0] == 0 || !sutra_is_utf8(name + 1, name[0]))
            return row;
        uint16_t *slot = find_slot(associations, name + 1, name[0], &kind);
        if (kind != SUTRA_NO_KIND)
            return row;
        *slot = (uint16_t)(row + 1);
    }
    return count;
}

int sutra_kinds_copy(struct sutra_associations *to, const struct sutra_associations *from)
{
    const size_t count = from->kind_count;
    struct sutra_plane *plane = sutra_edge_plane(to, SUTRA_PART_KIND_NAME);
    const int status = sutra_edge_plane_grow(plane, count);
    if (status != SUTRA_OK)
        return status;
    if (count > 0)
        memcpy(plane->base, name_row(from, 0), count * SUTRA_KIND_ROW_BYTES);
    to->kind_count = count;
    /* Not a copy of the slots: nearly all of them are free, and memory that was never touched. */
    (void)sutra_kinds_index(to);
    return SUTRA_OK;
}
