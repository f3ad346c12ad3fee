/* Comparing values; see value.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "value.h"

#include <string.h>

#include "../base/instant.h"

/* Longer texts than this are taken for no instant: a fraction of so many digits says nothing. */
#define INSTANT_BYTES_MAX 64u

#define TWO_TO_63 9223372036854775808.0

int sutra_order_of_numbers(int64_t integer, double number)
{
    if (number >= TWO_TO_63)
        return -1;
    if (number < -TWO_TO_63)
        return 1;
    const int64_t whole = (int64_t)number;
    if (integer != whole)
        return integer < whole ? -1 : 1;
    const double rest = number - (double)whole;
    return (rest < 0) - (rest > 0);
}

int sutra_order_of_texts(const char *text, size_t bytes, const char *other, size_t other_bytes)
{
    const size_t least = bytes < other_bytes ? bytes : other_bytes;
    const int order = least ? memcmp(text, other, least) : 0;
    return order ? order : (bytes > other_bytes) - (bytes < other_bytes);
}

bool sutra_json_instant(const struct sutra_json *text, int64_t *ns_out)
{
    char decoded[INSTANT_BYTES_MAX];
    if (!text->escaped) {
        const size_t bytes = (size_t)(text->end - text->at);
        return bytes <= sizeof decoded && sutra_instant_parse(text->at, bytes, ns_out);
    }
    const size_t bytes = sutra_json_decode(text, decoded, sizeof decoded);
    return bytes <= sizeof decoded && sutra_instant_parse(decoded, bytes, ns_out);
}

static int order_of(double a, double b)
{
    return (a > b) - (a < b);
}

static bool order_number(const struct sutra_json *json, const struct sutra_value *value, int *order)
{
    const bool integer = value->kind == SUTRA_VALUE_INT;
    if (json->kind == SUTRA_JSON_INT)
        *order = integer ? (json->integer > value->integer) - (json->integer < value->integer)
                         : sutra_order_of_numbers(json->integer, value->number);
    else if (json->kind == SUTRA_JSON_FLOAT)
        *order = integer ? -sutra_order_of_numbers(value->integer, json->number)
                         : order_of(json->number, value->number);
    else
        return false;
    return true;
}

bool sutra_value_order(const struct sutra_json *json, const struct sutra_value *value, int *order)
{
    int64_t instant;
    switch (value->kind) {
    case SUTRA_VALUE_NULL:
        *order = 0;
        return json->kind == SUTRA_JSON_NULL;
    case SUTRA_VALUE_BOOL:
        if (json->kind != SUTRA_JSON_BOOL)
            return false;
        *order = (int)json->truth - (int)value->integer;
        return true;
    case SUTRA_VALUE_INT:
    case SUTRA_VALUE_FLOAT:
        return order_number(json, value, order);
    case SUTRA_VALUE_TEXT:
        if (json->kind != SUTRA_JSON_TEXT)
            return false;
        *order = sutra_json_compare(json, value->text, value->bytes);
        return true;
    default:
        if (json->kind != SUTRA_JSON_TEXT || !sutra_json_instant(json, &instant))
            return false;
        *order = (instant > value->integer) - (instant < value->integer);
        return true;
    }
}

/* ---- sorted lists: kinds one after the other, but numbers of both kinds together */

static int class_of(const struct sutra_value *value)
{
    return value->kind == SUTRA_VALUE_FLOAT ? SUTRA_VALUE_INT : value->kind;
}

int sutra_value_sort(const void *a, const void *b)
{
    const struct sutra_value *left = a, *right = b;
    if (class_of(left) != class_of(right))
        return class_of(left) - class_of(right);
    switch (left->kind) {
    case SUTRA_VALUE_TEXT:
        return sutra_order_of_texts(left->text, left->bytes, right->text, right->bytes);
    case SUTRA_VALUE_FLOAT:
        return right->kind == SUTRA_VALUE_FLOAT
                   ? order_of(left->number, right->number)
                   : -sutra_order_of_numbers(right->integer, left->number);
    default:
        if (right->kind == SUTRA_VALUE_FLOAT)
            return sutra_order_of_numbers(left->integer, right->number);
        return (left->integer > right->integer) - (left->integer < right->integer);
    }
}

static bool among_class(const struct sutra_json *json, int class, const struct sutra_value *values,
                        size_t count)
{
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        int order = class - class_of(&values[middle]);
        if (order == 0 && !sutra_value_order(json, &values[middle], &order))
            return false;
        if (order == 0)
            return true;
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

bool sutra_value_among(const struct sutra_json *json, const struct sutra_value *values,
                       size_t count)
{
    switch (json->kind) {
    case SUTRA_JSON_NULL:
        return among_class(json, SUTRA_VALUE_NULL, values, count);
    case SUTRA_JSON_BOOL:
        return among_class(json, SUTRA_VALUE_BOOL, values, count);
    case SUTRA_JSON_INT:
    case SUTRA_JSON_FLOAT:
        return among_class(json, SUTRA_VALUE_INT, values, count);
    case SUTRA_JSON_TEXT:
        return among_class(json, SUTRA_VALUE_TEXT, values, count) ||
               (count && values[count - 1].kind == SUTRA_VALUE_INSTANT &&
                among_class(json, SUTRA_VALUE_INSTANT, values, count));
    default:
        return false;
    }
}
