/* Parts: how the planes of a room are saved and brought back without the saver knowing the room.
 *
 * Each room of the store lists its planes as parts; the store writes of each what has changed and,
 * at open, hands them back as planes. Kinds are unique over all rooms and are the section kinds
 * of the store's files: never renumber.
 *
 * Threading: a list of parts is a snapshot that holds while the room's writer stands still.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_VECTORS_PART_H
#define SUTRA_VECTORS_PART_H

#include "planes.h"
#include "../base/dirty.h"

enum sutra_part_kind {
    /* index: 1 to 12 as in index/format.h, and */
    SUTRA_PART_ROW_BIRTH = 16,
    SUTRA_PART_ROW_DEATH = 17,
    /* concepts */
    SUTRA_PART_RECORD = 32,
    SUTRA_PART_SLOT_BIRTH = 33,
    SUTRA_PART_SLOT_DEATH = 34,
    SUTRA_PART_HEAD = 35,
    SUTRA_PART_HEAP = 36,
    SUTRA_PART_ID_MAP = 37,
    /* associations */
    SUTRA_PART_OUT_OFFSET = 48,
    SUTRA_PART_EDGE = 49,
    SUTRA_PART_IN_OFFSET = 50,
    SUTRA_PART_IN_EDGE = 51,
    SUTRA_PART_DELTA_EDGE = 52,
    SUTRA_PART_DELTA_HEAD = 53,
    SUTRA_PART_EDGE_DEATH = 54,
    SUTRA_PART_KIND_NAME = 55,
    /* attributes */
    SUTRA_PART_FIELD = 56,
    SUTRA_PART_CELLS = 57,
    SUTRA_PART_CELL_OWNER = 58,
    SUTRA_PART_TEXT = 59,
    SUTRA_PART_TEXT_HEAP = 60,
    SUTRA_PART_KINDS = 64
};

enum sutra_part_flags {
    SUTRA_PART_MUTABLE =
        1,                /* rows may be rewritten by the writer at any time: copy under its lock */
    SUTRA_PART_COLD = 2,  /* read row by row and seldom: leave it in the file */
    SUTRA_PART_GRAPH = 4, /* belongs to the graph, which may be saved less often than the rows */
};

struct sutra_part {
    uint32_t kind;
    uint32_t flags;
    size_t row_bytes;
    size_t rows;
    struct sutra_plane *plane;
    struct sutra_dirty *dirty; /* NULL: rows never change once written */
    uint64_t version;          /* another number: the plane was made anew, nothing saved holds */
};

/* Where a room gets its planes from. */
struct sutra_part_source {
    void *context;
    /* A plane with `rows` rows (0 is allowed) and reserved room for more. hot: in memory of its
     * own, else mapped from the file where it can be. */
    int (*load)(void *context, uint32_t kind, size_t row_bytes, size_t rows, bool hot,
                int huge_pages, struct sutra_plane *plane_out);
};

#endif
