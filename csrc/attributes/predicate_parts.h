/* Inside of predicates: nodes, and what a comparison is bound to for one query.
 *
 * Only for the files of this room.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_ATTRIBUTES_PREDICATE_PARTS_H
#define SUTRA_ATTRIBUTES_PREDICATE_PARTS_H

#include "attributes_parts.h"
#include "predicate.h"

struct sutra_predicate_node {
    int op;
    uint32_t first, count; /* of a join: among `children`; of a comparison: among `values` */
    uint32_t path;         /* of a comparison */
    uint32_t depth;
};

struct sutra_predicate {
    struct sutra_predicate_node *nodes;
    uint32_t *children; /* nodes */
    uint32_t *stack;    /* nodes that nothing has joined yet */
    struct sutra_json_path *paths;
    struct sutra_value *values; /* those of IN are sorted */
    size_t node_count, node_room, child_count, child_room, stack_count, stack_room, path_count,
        path_room, value_count, value_room;
    uint32_t root;
    bool finished;
};

SUTRA_INLINE bool sutra_predicate_is_join(const struct sutra_predicate_node *node)
{
    return node->op >= SUTRA_PREDICATE_AND;
}

/* The values of a comparison; NULL if it has none. */
SUTRA_INLINE const struct sutra_value *
sutra_predicate_values(const struct sutra_predicate *predicate,
                       const struct sutra_predicate_node *node)
{
    return node->count ? predicate->values + node->first : NULL;
}

/* Is a comparison true of what was found at its path? */
bool sutra_predicate_holds(const struct sutra_predicate *predicate,
                           const struct sutra_predicate_node *node, const struct sutra_json *found);

/* How a comparison is answered. */
enum sutra_bound_kind {
    SUTRA_BOUND_JSON = 0, /* by the metadata */
    SUTRA_BOUND_NEVER,    /* no value of the field can match */
    SUTRA_BOUND_ANY,      /* any value */
    SUTRA_BOUND_RANGE,    /* low <= value <= high */
    SUTRA_BOUND_FLOATS,   /* the same of doubles */
    SUTRA_BOUND_SET,      /* one of `members`, sorted */
    SUTRA_BOUND_CODES,    /* codes whose bit is set */
};

struct sutra_bound {
    int kind;
    const struct sutra_field *field; /* NULL: there is no column for it */
    bool with_nothing, with_null;    /* match, too */
    int64_t low, high;
    double least, most;
    int64_t *members;
    size_t member_count;
    uint64_t *codes;
    size_t code_count;
};

/* For every node; comparisons alone are filled in. */
int sutra_predicate_bind(const struct sutra_predicate *predicate,
                         const struct sutra_attributes *attributes, uint64_t view,
                         struct sutra_bound **bound_out);
void sutra_predicate_unbind(const struct sutra_predicate *predicate, struct sutra_bound *bound);

#endif
