/* Attributes: declared fields of the metadata as columns, beside the concepts.
 *
 * A field is a path (base/json.h) and a type. Its column has a cell for every slot, derived from
 * the slot's metadata alone: nothing, null, or a value. Cells lie in blocks of 64 slots: two words
 * of bits, then the values. The blocks of all fields share one plane, in the order they were taken;
 * each names its field and its stripe (slot / 64) in a plane beside it, and each field lists its
 * blocks by stripe. So a store with any number of fields has the same few parts, and a reader
 * compares 64 slots at a time. Texts are codes of one dictionary.
 *
 * Metadata must fit: at the path of a field there is nothing, null, or a value of the field's type.
 * The caller asks before it writes (_fit). Fields are declared and dropped in two steps: _stage
 * checks and fills the column of what is alive, _publish shows it to readers, together with all
 * else that was staged. A field that has been declared says nothing of slots that died before; so
 * it is not for views from before (`since`).
 *
 * Ownership: _init or _load, then _deinit. Threading: one writer; readers inside an epoch, which
 * look at slots that were published to them: a cell is written before its slot is published, and
 * what is dropped is freed when they have left. Errors: SUTRA_E_NO_MEMORY, SUTRA_E_CAPACITY,
 * SUTRA_E_CONFIG (unfit), SUTRA_E_CORRUPT.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_ATTRIBUTES_ATTRIBUTES_H
#define SUTRA_ATTRIBUTES_ATTRIBUTES_H

#include "dictionary.h"
#include "../concepts/concepts.h"

#define SUTRA_FIELDS_MAX 64u

enum sutra_field_type {
    SUTRA_FIELD_NONE = 0, /* of an operation: drop it */
    SUTRA_FIELD_INT = 1,
    SUTRA_FIELD_FLOAT = 2, /* integers are fine */
    SUTRA_FIELD_BOOL = 3,
    SUTRA_FIELD_STR = 4,
    SUTRA_FIELD_DATETIME = 5, /* texts of base/instant.h */
    SUTRA_FIELD_TYPES
};

#define SUTRA_CELLS 64u

struct sutra_cells {  /* a block; SUTRA_CELLS slots, the first in the lowest bit */
    uint64_t present; /* atomic: has a value */
    uint64_t null;    /* atomic: null was given; neither: nothing was */
    /* int64; double, or a NaN for an integer that no double is; 0 or 1; code; nanoseconds */
    uint64_t values[SUTRA_CELLS];
};

struct sutra_cell_owner {
    uint32_t field; /* row of the definition */
    uint32_t stripe;
};

struct sutra_field_row { /* a definition as it is saved */
    uint32_t type;       /* SUTRA_FIELD_NONE: dropped */
    uint32_t path_bytes;
    char path[SUTRA_JSON_PATH_BYTES_MAX + 1];
};

_Static_assert(sizeof(struct sutra_cells) == 528, "saved as it is");
_Static_assert(sizeof(struct sutra_field_row) == 264, "saved as it is");

struct sutra_field {
    struct sutra_json_path path;
    int type;
    uint32_t number;            /* row of the definition */
    bool fresh;                 /* staged, and no reader's */
    uint64_t since;             /* views from before this LSN do without */
    struct sutra_planes blocks; /* plane 0: uint32_t, the block of each stripe */
    size_t stripes;             /* the writer's */
};

struct sutra_field_table { /* replaced as a whole */
    unsigned count;
    struct sutra_field *fields[SUTRA_FIELDS_MAX];
};

enum { SUTRA_CELL_PLANE = 0, SUTRA_CELL_OWNER_PLANE, SUTRA_CELL_PLANES };

struct sutra_attributes {
    struct sutra_epochs *epochs; /* not owned */
    uint64_t seed;
    struct sutra_field_table *table;  /* atomic; NULL: none */
    struct sutra_field_table *staged; /* what _publish puts in its place; NULL: nothing is */
    struct sutra_planes definitions;  /* plane 0: struct sutra_field_row */
    struct sutra_planes cells;        /* enum above */
    struct sutra_dictionary dictionary;
    struct sutra_dirty definitions_dirty, cells_dirty;
    size_t definition_count, block_count;
    size_t definition_next, block_next; /* and those staged */
    bool made;
};

/* Takes no memory until the first field. */
void sutra_attributes_init(struct sutra_attributes *attributes, struct sutra_epochs *epochs,
                           uint64_t seed);
void sutra_attributes_deinit(struct sutra_attributes *attributes);
void sutra_attributes_use_epochs(struct sutra_attributes *attributes, struct sutra_epochs *epochs);

/* ---- fields */

/* NULL: there are none. For readers, valid until they leave the epoch. */
SUTRA_INLINE const struct sutra_field_table *
sutra_attributes_table(const struct sutra_attributes *attributes)
{
    return __atomic_load_n(&attributes->table, __ATOMIC_ACQUIRE);
}

/* Declare a field, or with type SUTRA_FIELD_NONE drop it, on top of what is staged. Reads the
 * metadata of all concepts that are alive. *done_out: whether anything changes. SUTRA_E_CONFIG:
 * fault.what "field type": the field is there with type fault.found; "field": the value of concept
 * fault.found >> 8 is fault.found & 255 (enum sutra_json_kind). SUTRA_E_CAPACITY: there would be
 * more than SUTRA_FIELDS_MAX. On failure nothing of the call is staged. */
int sutra_attributes_stage(struct sutra_attributes *attributes,
                           const struct sutra_concepts *concepts, const char *path, size_t bytes,
                           int type, bool *done_out, struct sutra_fault *fault_out);
/* Forget what is staged. */
void sutra_attributes_unstage(struct sutra_attributes *attributes);
/* Do what is staged, if anything is; no slot may have been made since. Cannot fail. */
void sutra_attributes_publish(struct sutra_attributes *attributes, uint64_t lsn);
/* Blocks of fields that were dropped: what a new set would not have. */
size_t sutra_attributes_lost_blocks(const struct sutra_attributes *attributes);
/* Declare the fields of another, where there are none, for concepts that are none yet. */
int sutra_attributes_copy_fields(const struct sutra_attributes *from, struct sutra_attributes *to);

/* ---- cells; the fields are those staged, if any are */

/* Do metadata fit all fields? SUTRA_E_CONFIG: *field_out is which (as in the table), *found_out
 * what is there (enum sutra_json_kind). Texts get their codes: after it the next two can do. */
int sutra_attributes_fit(struct sutra_attributes *attributes, const uint8_t *metadata, size_t bytes,
                         unsigned *field_out, int *found_out);
/* Room for cells of `more` slots after those there are. */
int sutra_attributes_reserve(struct sutra_attributes *attributes, size_t slots, size_t more);
/* The cells of the slot that comes next, from metadata that fit (NULL: none). */
void sutra_attributes_put(struct sutra_attributes *attributes, size_t slot, const uint8_t *metadata,
                          size_t bytes);
/* The same, as those of another slot. */
void sutra_attributes_repeat(struct sutra_attributes *attributes, size_t slot, size_t from);

SUTRA_INLINE const struct sutra_cells *sutra_attributes_cells(const struct sutra_attributes *from,
                                                              const struct sutra_field *field,
                                                              size_t stripe)
{
    const uint32_t *block = sutra_planes_row(&field->blocks, 0, stripe);
    return sutra_planes_row(&from->cells, SUTRA_CELL_PLANE, *block);
}

/* ---- saving */

#define SUTRA_ATTRIBUTES_STATE_WORDS 8u
#define SUTRA_ATTRIBUTES_PARTS 5u

/* Absent ones have plane NULL: all, until there has been a field. */
void sutra_attributes_parts(struct sutra_attributes *attributes, struct sutra_part *parts_out);
void sutra_attributes_state(const struct sutra_attributes *attributes, uint64_t *words_out);
/* Of concepts with so many slots. Definitions and owners are checked, codes are bounded where they
 * are used. On failure it is empty. */
int sutra_attributes_load(struct sutra_attributes *attributes, struct sutra_epochs *epochs,
                          uint64_t seed, const uint64_t *words, size_t slots,
                          const struct sutra_part_source *source, struct sutra_fault *fault_out);
/* Is every cell what the metadata say, and every text in the dictionary once? The writer must stand
 * still. SUTRA_E_CORRUPT with fault.what and row (a slot, or a code). */
int sutra_attributes_verify(const struct sutra_attributes *attributes,
                            const struct sutra_concepts *concepts, struct sutra_fault *fault_out);

#endif
