/* Building predicates, and what their comparisons mean; see predicate.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "predicate_parts.h"
#include "../base/utf8.h"

/* Room for `more` items of a list, which grows by half. */
static int reserve(void *list_inout, size_t *room, size_t count, size_t more, size_t item_bytes,
                   size_t most)
{
    void *list;
    memcpy(&list, list_inout, sizeof list);
    if (more > most - count)
        return SUTRA_E_CAPACITY;
    if (count + more <= *room)
        return SUTRA_OK;
    const size_t wanted = count + more + (count + more) / 2 + 4;
    list = realloc(list, wanted * item_bytes);
    if (!list)
        return SUTRA_E_NO_MEMORY;
    memcpy(list_inout, &list, sizeof list);
    *room = wanted;
    return SUTRA_OK;
}

int sutra_predicate_new(struct sutra_predicate **predicate_out)
{
    *predicate_out = calloc(1, sizeof **predicate_out);
    return *predicate_out ? SUTRA_OK : SUTRA_E_NO_MEMORY;
}

void sutra_predicate_free(struct sutra_predicate *predicate)
{
    if (!predicate)
        return;
    for (size_t j = 0; j < predicate->value_count; j++)
        free((void *)(uintptr_t)predicate->values[j].text);
    free(predicate->nodes);
    free(predicate->children);
    free(predicate->stack);
    free(predicate->paths);
    free(predicate->values);
    free(predicate);
}

/* ---- building */

static int check_value(int op, const struct sutra_value *value)
{
    const bool ordered =
        op != SUTRA_PREDICATE_EQ && op != SUTRA_PREDICATE_IN && op != SUTRA_PREDICATE_CONTAINS;
    switch (value->kind) {
    case SUTRA_VALUE_NULL:
        return ordered ? SUTRA_E_ARGUMENT : SUTRA_OK;
    case SUTRA_VALUE_BOOL:
        return value->integer == 0 || value->integer == 1 ? SUTRA_OK : SUTRA_E_ARGUMENT;
    case SUTRA_VALUE_FLOAT:
        return isnan(value->number) ? SUTRA_E_ARGUMENT : SUTRA_OK;
    case SUTRA_VALUE_INT:
    case SUTRA_VALUE_TEXT:
    case SUTRA_VALUE_INSTANT:
        return SUTRA_OK;
    default:
        return SUTRA_E_ARGUMENT;
    }
}

static int check_comparison(int op, size_t path_bytes, const struct sutra_value *values,
                            size_t count)
{
    if (op < SUTRA_PREDICATE_EQ || op > SUTRA_PREDICATE_EXISTS || path_bytes == 0 ||
        path_bytes > SUTRA_JSON_PATH_BYTES_MAX)
        return SUTRA_E_ARGUMENT;
    if (op != SUTRA_PREDICATE_IN && count != (op != SUTRA_PREDICATE_EXISTS))
        return SUTRA_E_ARGUMENT;
    for (size_t j = 0; j < count; j++) {
        const int status = check_value(op, &values[j]);
        if (status != SUTRA_OK)
            return status;
    }
    return SUTRA_OK;
}

static int copy_values(struct sutra_predicate *predicate, const struct sutra_value *values,
                       size_t count)
{
    const size_t first = predicate->value_count;
    for (size_t j = 0; j < count; j++) {
        struct sutra_value *value = &predicate->values[first + j];
        *value = values[j];
        value->text = NULL;
        if (value->kind != SUTRA_VALUE_TEXT)
            continue;
        char *text = malloc(value->bytes + 1);
        if (!text) { /* the values before it have their texts */
            predicate->value_count = first + j;
            return SUTRA_E_NO_MEMORY;
        }
        if (value->bytes)
            memcpy(text, values[j].text, value->bytes);
        value->text = text;
    }
    predicate->value_count = first + count;
    return SUTRA_OK;
}

static int reserve_node(struct sutra_predicate *predicate)
{
    if (predicate->finished)
        return SUTRA_E_ARGUMENT;
    int status = reserve(&predicate->nodes, &predicate->node_room, predicate->node_count, 1,
                         sizeof *predicate->nodes, SUTRA_PREDICATE_NODES_MAX);
    if (status == SUTRA_OK)
        status = reserve(&predicate->stack, &predicate->stack_room, predicate->stack_count, 1,
                         sizeof *predicate->stack, SUTRA_PREDICATE_NODES_MAX);
    return status;
}

static void push(struct sutra_predicate *predicate, struct sutra_predicate_node node)
{
    predicate->nodes[predicate->node_count] = node;
    predicate->stack[predicate->stack_count++] = (uint32_t)predicate->node_count++;
}

int sutra_predicate_compare(struct sutra_predicate *predicate, int op, const char *path,
                            size_t path_bytes, const struct sutra_value *values, size_t count)
{
    int status = check_comparison(op, path_bytes, values, count);
    if (status == SUTRA_OK && !sutra_is_utf8(path, path_bytes))
        status = SUTRA_E_ARGUMENT;
    if (status == SUTRA_OK)
        status = reserve_node(predicate);
    if (status == SUTRA_OK)
        status = reserve(&predicate->values, &predicate->value_room, predicate->value_count, count,
                         sizeof *predicate->values, SUTRA_PREDICATE_VALUES_MAX);
    if (status == SUTRA_OK)
        status = reserve(&predicate->paths, &predicate->path_room, predicate->path_count, 1,
                         sizeof *predicate->paths, SUTRA_PREDICATE_NODES_MAX);
    if (status != SUTRA_OK)
        return status;
    const size_t first = predicate->value_count;
    status = copy_values(predicate, values, count);
    if (status != SUTRA_OK)
        return status;
    if (op == SUTRA_PREDICATE_IN && count)
        qsort(predicate->values + first, count, sizeof *predicate->values, sutra_value_sort);
    (void)sutra_json_path_set(&predicate->paths[predicate->path_count], path, path_bytes);
    push(predicate, (struct sutra_predicate_node){.op = op,
                                                  .first = (uint32_t)first,
                                                  .count = (uint32_t)count,
                                                  .path = (uint32_t)predicate->path_count++});
    return SUTRA_OK;
}

int sutra_predicate_join(struct sutra_predicate *predicate, int op, size_t count)
{
    if (op < SUTRA_PREDICATE_AND || op > SUTRA_PREDICATE_NOT || count > predicate->stack_count ||
        (op == SUTRA_PREDICATE_NOT && count != 1))
        return SUTRA_E_ARGUMENT;
    int status = reserve_node(predicate);
    if (status == SUTRA_OK)
        status = reserve(&predicate->children, &predicate->child_room, predicate->child_count,
                         count, sizeof *predicate->children, SUTRA_PREDICATE_NODES_MAX);
    if (status != SUTRA_OK)
        return status;
    struct sutra_predicate_node node = {
        .op = op, .first = (uint32_t)predicate->child_count, .count = (uint32_t)count, .depth = 1};
    const uint32_t *joined = predicate->stack + predicate->stack_count - count;
    for (size_t j = 0; j < count; j++) {
        const uint32_t depth = predicate->nodes[joined[j]].depth + 1;
        node.depth = depth > node.depth ? depth : node.depth;
    }
    if (node.depth > SUTRA_PREDICATE_DEPTH_MAX)
        return SUTRA_E_CAPACITY;
    if (count)
        memcpy(predicate->children + predicate->child_count, joined, count * sizeof *joined);
    predicate->child_count += count;
    predicate->stack_count -= count;
    push(predicate, node);
    return SUTRA_OK;
}

int sutra_predicate_finish(struct sutra_predicate *predicate)
{
    if (predicate->finished || predicate->stack_count != 1)
        return SUTRA_E_ARGUMENT;
    predicate->root = predicate->stack[0];
    predicate->finished = true;
    return SUTRA_OK;
}

/* ---- meaning */

static bool contains(const struct sutra_json *found, const struct sutra_value *value)
{
    struct sutra_json element;
    int order;
    if (found->kind == SUTRA_JSON_TEXT)
        return value->kind == SUTRA_VALUE_TEXT &&
               sutra_json_contains(found, value->text, value->bytes);
    if (found->kind != SUTRA_JSON_LIST)
        return false;
    for (const char *at = found->at; sutra_json_next(found, &at, &element);) {
        if (sutra_value_order(&element, value, &order) && order == 0)
            return true;
    }
    return false;
}

bool sutra_predicate_holds(const struct sutra_predicate *predicate,
                           const struct sutra_predicate_node *node, const struct sutra_json *found)
{
    const struct sutra_value *values = sutra_predicate_values(predicate, node);
    struct sutra_json null = {.kind = SUTRA_JSON_NULL};
    int order = 0;
    const bool nothing = found->kind == SUTRA_JSON_NONE;
    switch (node->op) {
    case SUTRA_PREDICATE_EXISTS:
        return !nothing;
    case SUTRA_PREDICATE_CONTAINS:
        return contains(found, values);
    case SUTRA_PREDICATE_IN:
        return sutra_value_among(nothing ? &null : found, values, node->count);
    case SUTRA_PREDICATE_EQ:
        return sutra_value_order(nothing ? &null : found, values, &order) && order == 0;
    default:
        break;
    }
    if (!sutra_value_order(found, values, &order))
        return false;
    switch (node->op) {
    case SUTRA_PREDICATE_GT:
        return order > 0;
    case SUTRA_PREDICATE_GTE:
        return order >= 0;
    case SUTRA_PREDICATE_LT:
        return order < 0;
    default:
        return order <= 0;
    }
}
