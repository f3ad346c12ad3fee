/* Predicates: which concepts have metadata that a formula is true of.
 *
 * A predicate is built in postfix order: comparisons of the value at a path, then what joins them.
 * Where nothing is at the path, comparisons are false, but for equality with null, which holds
 * where nothing or null is. So "not equal" is _NOT of _EQ, and true where nothing is.
 *
 * Matching answers for slots, 2,048 at a time. Comparisons with declared fields go over columns, 64
 * slots a step; all others look into the JSON, and only of slots that are still in question when
 * what columns can tell has been told. Both give the same answers.
 *
 * Ownership: _new, then _free; texts are copied. Threading: built by one thread; matched by any
 * number at once, each inside an epoch. Errors: SUTRA_E_NO_MEMORY; SUTRA_E_ARGUMENT for what is
 * outside of its range, NaN included; SUTRA_E_CAPACITY for more than the limits below.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_ATTRIBUTES_PREDICATE_H
#define SUTRA_ATTRIBUTES_PREDICATE_H

#include "attributes.h"
#include "value.h"

#define SUTRA_PREDICATE_NODES_MAX 65536u
#define SUTRA_PREDICATE_VALUES_MAX 1048576u
#define SUTRA_PREDICATE_DEPTH_MAX 64u /* of joins inside of joins */

enum sutra_predicate_op {
    /* of the value at a path */
    SUTRA_PREDICATE_EQ = 1,
    SUTRA_PREDICATE_GT,
    SUTRA_PREDICATE_GTE,
    SUTRA_PREDICATE_LT,
    SUTRA_PREDICATE_LTE,
    SUTRA_PREDICATE_IN,       /* equal to one of the values */
    SUTRA_PREDICATE_CONTAINS, /* a list has an element that is equal, or a text has the text */
    SUTRA_PREDICATE_EXISTS,   /* there is one, null included */
    /* of predicates */
    SUTRA_PREDICATE_AND, /* of none: true */
    SUTRA_PREDICATE_OR,  /* of none: false */
    SUTRA_PREDICATE_NOT,
};

struct sutra_predicate;

int sutra_predicate_new(struct sutra_predicate **predicate_out);
void sutra_predicate_free(struct sutra_predicate *predicate);

/* Put a comparison on the stack. IN takes any number of values, EXISTS none, the others one; null
 * has no order (SUTRA_E_ARGUMENT). Paths are UTF-8 of 1 to SUTRA_JSON_PATH_BYTES_MAX bytes. */
int sutra_predicate_compare(struct sutra_predicate *predicate, int op, const char *path,
                            size_t path_bytes, const struct sutra_value *values, size_t count);
/* Put one in the place of the last `count` on the stack: any number for AND and OR, 1 for NOT. */
int sutra_predicate_join(struct sutra_predicate *predicate, int op, size_t count);
/* Nothing more comes: SUTRA_E_ARGUMENT unless there is one on the stack. */
int sutra_predicate_finish(struct sutra_predicate *predicate);

/* Bits of the slots below `born` (see concepts.h) that are visible at the view and match, in whole
 * words. SUTRA_E_CORRUPT if metadata cannot be read. */
int sutra_predicate_match(const struct sutra_predicate *predicate,
                          const struct sutra_attributes *attributes,
                          const struct sutra_concepts *concepts, uint64_t view, size_t born,
                          uint64_t *slots_out);

#endif
