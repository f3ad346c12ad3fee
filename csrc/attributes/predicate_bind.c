/* Predicates: how a query answers each of its comparisons.
 *
 * What a column of numbers is compared with becomes a range of its own type, so that one loop does
 * for all orders. Texts are compared once for each code, not for each slot.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "predicate_parts.h"

#define TWO_TO_63 9223372036854775808.0

/* ---- integers, truth values, instants */

/* The range of integers that an order with a number leaves; false: none. */
static bool range_of_number(int op, double number, struct sutra_bound *bound)
{
    const bool above = op == SUTRA_PREDICATE_GT || op == SUTRA_PREDICATE_GTE;
    const double edge =
        op == SUTRA_PREDICATE_GT || op == SUTRA_PREDICATE_LTE ? floor(number) : ceil(number);
    if (op == SUTRA_PREDICATE_EQ && edge != number)
        return false;
    if (edge >= TWO_TO_63) /* above all integers */
        return op == SUTRA_PREDICATE_LT || op == SUTRA_PREDICATE_LTE;
    if (edge < -TWO_TO_63)
        return above;
    const int64_t whole = (int64_t)edge;
    switch (op) {
    case SUTRA_PREDICATE_EQ:
        bound->low = bound->high = whole;
        return true;
    case SUTRA_PREDICATE_GT:
        bound->low = whole;
        return !__builtin_add_overflow(whole, 1, &bound->low);
    case SUTRA_PREDICATE_GTE:
        bound->low = whole;
        return true;
    case SUTRA_PREDICATE_LT:
        return !__builtin_sub_overflow(whole, 1, &bound->high);
    default:
        bound->high = whole;
        return true;
    }
}

static bool range_of_integer(int op, int64_t value, struct sutra_bound *bound)
{
    switch (op) {
    case SUTRA_PREDICATE_EQ:
        bound->low = bound->high = value;
        return true;
    case SUTRA_PREDICATE_GT:
        return !__builtin_add_overflow(value, 1, &bound->low);
    case SUTRA_PREDICATE_GTE:
        bound->low = value;
        return true;
    case SUTRA_PREDICATE_LT:
        return !__builtin_sub_overflow(value, 1, &bound->high);
    default:
        bound->high = value;
        return true;
    }
}

/* What a value is compared with in a column of integers: its own kind alone. */
static bool is_of_type(int type, int kind)
{
    switch (type) {
    case SUTRA_FIELD_BOOL:
        return kind == SUTRA_VALUE_BOOL;
    case SUTRA_FIELD_DATETIME:
        return kind == SUTRA_VALUE_INSTANT;
    default:
        return kind == SUTRA_VALUE_INT || kind == SUTRA_VALUE_FLOAT;
    }
}

static void bind_range(const struct sutra_predicate_node *node, const struct sutra_value *value,
                       struct sutra_bound *bound)
{
    bound->kind = SUTRA_BOUND_NEVER;
    bound->low = INT64_MIN;
    bound->high = INT64_MAX;
    if (!is_of_type(bound->field->type, value->kind))
        return;
    if (value->kind == SUTRA_VALUE_FLOAT ? range_of_number(node->op, value->number, bound)
                                         : range_of_integer(node->op, value->integer, bound))
        bound->kind = SUTRA_BOUND_RANGE;
}

static int compare_members(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static int new_members(struct sutra_bound *bound, size_t count)
{
    bound->members = malloc((count + 1) * sizeof *bound->members);
    bound->kind = SUTRA_BOUND_SET;
    return bound->members ? SUTRA_OK : SUTRA_E_NO_MEMORY;
}

static void sort_members(struct sutra_bound *bound)
{
    if (bound->member_count)
        qsort(bound->members, bound->member_count, sizeof *bound->members, compare_members);
}

static int bind_integers(const struct sutra_predicate_node *node, const struct sutra_value *values,
                         struct sutra_bound *bound)
{
    const int status = new_members(bound, node->count);
    if (status != SUTRA_OK)
        return status;
    for (uint32_t j = 0; j < node->count; j++) {
        const struct sutra_value *value = &values[j];
        struct sutra_bound one;
        if (!is_of_type(bound->field->type, value->kind))
            continue;
        if (value->kind != SUTRA_VALUE_FLOAT)
            bound->members[bound->member_count++] = value->integer;
        else if (range_of_number(SUTRA_PREDICATE_EQ, value->number, &one))
            bound->members[bound->member_count++] = one.low;
    }
    sort_members(bound);
    return SUTRA_OK;
}

/* ---- floats */

static int64_t bits_of(double number)
{
    int64_t bits;
    const double same = number == 0.0 ? 0.0 : number; /* both zeros are one */
    memcpy(&bits, &same, sizeof bits);
    return bits;
}

/* The doubles that are >= or > a value, and <= or < it. */
static void bind_floats(const struct sutra_predicate_node *node, const struct sutra_value *value,
                        struct sutra_bound *bound)
{
    const bool integer = value->kind == SUTRA_VALUE_INT;
    const double number = integer ? (double)value->integer : value->number;
    /* Where the nearest double stands to the value. */
    const int side = integer ? -sutra_order_of_numbers(value->integer, number) : 0;
    const int op = node->op;
    bound->kind = SUTRA_BOUND_FLOATS;
    bound->least = -INFINITY;
    bound->most = INFINITY;
    if (op == SUTRA_PREDICATE_EQ && side != 0) {
        bound->least = INFINITY;
        bound->most = -INFINITY;
        return;
    }
    if (op == SUTRA_PREDICATE_EQ || op == SUTRA_PREDICATE_GTE || op == SUTRA_PREDICATE_GT)
        bound->least = side < 0 || (side == 0 && op == SUTRA_PREDICATE_GT)
                           ? nextafter(number, INFINITY)
                           : number;
    if (op == SUTRA_PREDICATE_EQ || op == SUTRA_PREDICATE_LTE || op == SUTRA_PREDICATE_LT)
        bound->most = side > 0 || (side == 0 && op == SUTRA_PREDICATE_LT)
                          ? nextafter(number, -INFINITY)
                          : number;
    /* Nothing is beyond an infinity. */
    if (op == SUTRA_PREDICATE_GT && side == 0 && number == INFINITY)
        bound->most = -INFINITY;
    if (op == SUTRA_PREDICATE_LT && side == 0 && number == -INFINITY)
        bound->least = INFINITY;
}

static int bind_float_set(const struct sutra_predicate_node *node, const struct sutra_value *values,
                          struct sutra_bound *bound)
{
    const int status = new_members(bound, node->count);
    if (status != SUTRA_OK)
        return status;
    for (uint32_t j = 0; j < node->count; j++) {
        const struct sutra_value *value = &values[j];
        if (value->kind == SUTRA_VALUE_FLOAT)
            bound->members[bound->member_count++] = bits_of(value->number);
        else if (value->kind == SUTRA_VALUE_INT &&
                 sutra_order_of_numbers(value->integer, (double)value->integer) == 0)
            bound->members[bound->member_count++] = bits_of((double)value->integer);
    }
    sort_members(bound);
    return SUTRA_OK;
}

/* ---- texts */

/* Which codes a comparison is true of, asked of each. */
static int bind_codes(const struct sutra_predicate *predicate,
                      const struct sutra_predicate_node *node,
                      const struct sutra_dictionary *dictionary, struct sutra_bound *bound)
{
    bound->kind = SUTRA_BOUND_CODES;
    bound->code_count = sutra_dictionary_count(dictionary);
    bound->codes = calloc(bound->code_count / 64 + 1, sizeof *bound->codes);
    if (!bound->codes)
        return SUTRA_E_NO_MEMORY;
    for (size_t code = 0; code < bound->code_count; code++) {
        struct sutra_json text = {.kind = SUTRA_JSON_TEXT};
        size_t bytes;
        text.at = sutra_dictionary_text(dictionary, code, &bytes);
        if (!text.at)
            continue;
        text.end = text.at + bytes;
        if (sutra_predicate_holds(predicate, node, &text))
            bound->codes[code / 64] |= (uint64_t)1 << code % 64;
    }
    return SUTRA_OK;
}

static bool has_kind(const struct sutra_predicate_node *node, const struct sutra_value *values,
                     int kind)
{
    for (uint32_t j = 0; j < node->count; j++) {
        if (values[j].kind == kind)
            return true;
    }
    return false;
}

static int bind_texts(const struct sutra_predicate *predicate,
                      const struct sutra_predicate_node *node, const struct sutra_value *values,
                      const struct sutra_dictionary *dictionary, struct sutra_bound *bound)
{
    const bool equal = node->op == SUTRA_PREDICATE_EQ || node->op == SUTRA_PREDICATE_IN;
    const bool instants = has_kind(node, values, SUTRA_VALUE_INSTANT);
    bound->kind = SUTRA_BOUND_NEVER;
    if (node->op == SUTRA_PREDICATE_CONTAINS
            ? !has_kind(node, values, SUTRA_VALUE_TEXT)
            : !instants && !has_kind(node, values, SUTRA_VALUE_TEXT))
        return SUTRA_OK;
    if (!equal || instants)
        return bind_codes(predicate, node, dictionary, bound);
    const int status = new_members(bound, node->count);
    if (status != SUTRA_OK)
        return status;
    for (uint32_t j = 0; j < node->count; j++) {
        const uint32_t code =
            values[j].kind == SUTRA_VALUE_TEXT
                ? sutra_dictionary_find(dictionary, values[j].text, values[j].bytes)
                : SUTRA_NO_CODE;
        if (code != SUTRA_NO_CODE)
            bound->members[bound->member_count++] = code;
    }
    sort_members(bound);
    return SUTRA_OK;
}

/* ---- any comparison */

static const struct sutra_field *field_at(const struct sutra_field_table *table,
                                          const struct sutra_json_path *path, uint64_t view)
{
    for (unsigned f = 0; table && f < table->count; f++) {
        const struct sutra_field *field = table->fields[f];
        if (field->path.bytes == path->bytes &&
            memcmp(field->path.text, path->text, path->bytes) == 0)
            return view >= field->since ? field : NULL;
    }
    return NULL;
}

/* A set of one is a range. */
static void simplify(struct sutra_bound *bound)
{
    if (bound->kind != SUTRA_BOUND_SET || bound->field->type == SUTRA_FIELD_FLOAT ||
        bound->member_count > 1)
        return;
    bound->kind = bound->member_count ? SUTRA_BOUND_RANGE : SUTRA_BOUND_NEVER;
    if (bound->member_count)
        bound->low = bound->high = bound->members[0];
}

static int bind_field(const struct sutra_predicate *predicate,
                      const struct sutra_predicate_node *node,
                      const struct sutra_attributes *attributes, struct sutra_bound *bound)
{
    const struct sutra_value *values = sutra_predicate_values(predicate, node);
    const int type = bound->field->type, op = node->op;
    int status = SUTRA_OK;
    if (op == SUTRA_PREDICATE_EXISTS) {
        bound->kind = SUTRA_BOUND_ANY;
        bound->with_null = true;
        return SUTRA_OK;
    }
    if (op == SUTRA_PREDICATE_EQ || op == SUTRA_PREDICATE_IN)
        bound->with_nothing = bound->with_null = has_kind(node, values, SUTRA_VALUE_NULL);
    if (type == SUTRA_FIELD_DATETIME && has_kind(node, values, SUTRA_VALUE_TEXT)) {
        bound->field = NULL; /* the column has forgotten how it was written */
        bound->kind = SUTRA_BOUND_JSON;
    } else if (type == SUTRA_FIELD_STR) {
        status = bind_texts(predicate, node, values, &attributes->dictionary, bound);
    } else if (op == SUTRA_PREDICATE_CONTAINS) {
        bound->kind = SUTRA_BOUND_NEVER;
    } else if (op == SUTRA_PREDICATE_IN) {
        status = type == SUTRA_FIELD_FLOAT ? bind_float_set(node, values, bound)
                                           : bind_integers(node, values, bound);
    } else if (type == SUTRA_FIELD_FLOAT && is_of_type(type, values->kind)) {
        bind_floats(node, values, bound);
    } else if (type == SUTRA_FIELD_FLOAT) {
        bound->kind = SUTRA_BOUND_NEVER;
    } else {
        bind_range(node, values, bound);
    }
    if (status == SUTRA_OK && bound->field)
        simplify(bound);
    return status;
}

int sutra_predicate_bind(const struct sutra_predicate *predicate,
                         const struct sutra_attributes *attributes, uint64_t view,
                         struct sutra_bound **bound_out)
{
    const struct sutra_field_table *table = sutra_attributes_table(attributes);
    struct sutra_bound *bound = calloc(predicate->node_count, sizeof *bound);
    int status = bound ? SUTRA_OK : SUTRA_E_NO_MEMORY;
    for (size_t n = 0; status == SUTRA_OK && n < predicate->node_count; n++) {
        const struct sutra_predicate_node *node = &predicate->nodes[n];
        if (sutra_predicate_is_join(node)) {
            /* Children come before; those of a column alone are asked first. */
            for (uint32_t c = 0; c < node->count; c++) {
                const struct sutra_bound *child = &bound[predicate->children[node->first + c]];
                if (child->kind == SUTRA_BOUND_JSON)
                    bound[n].kind = SUTRA_BOUND_JSON;
            }
            continue;
        }
        bound[n].field = field_at(table, &predicate->paths[node->path], view);
        if (bound[n].field)
            status = bind_field(predicate, node, attributes, &bound[n]);
    }
    if (status != SUTRA_OK) {
        sutra_predicate_unbind(predicate, bound);
        bound = NULL;
    }
    *bound_out = bound;
    return status;
}

void sutra_predicate_unbind(const struct sutra_predicate *predicate, struct sutra_bound *bound)
{
    for (size_t n = 0; bound && n < predicate->node_count; n++) {
        free(bound[n].members);
        free(bound[n].codes);
    }
    free(bound);
}
