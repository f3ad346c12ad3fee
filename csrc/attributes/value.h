/* Values that metadata are compared with.
 *
 * Numbers compare by value, an integer with a float exactly; truth values with truth values alone,
 * false before true; texts by code points; an instant with a text that is a date or a time of ISO
 * 8601 (base/instant.h). No other pair is equal, or before or after one another.
 *
 * Ownership: texts are borrowed. Threading, errors: none.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_ATTRIBUTES_VALUE_H
#define SUTRA_ATTRIBUTES_VALUE_H

#include "../base/json.h"

enum sutra_value_kind { /* in the order of a sorted list */
                        SUTRA_VALUE_NULL = 0,
                        SUTRA_VALUE_BOOL = 1,
                        SUTRA_VALUE_INT = 2,
                        SUTRA_VALUE_FLOAT = 3, /* no NaN */
                        SUTRA_VALUE_TEXT = 4,  /* UTF-8 */
                        SUTRA_VALUE_INSTANT = 5,
};

struct sutra_value {
    int kind;
    int64_t integer; /* BOOL: 0 or 1; INSTANT: nanoseconds since 1970, UTC */
    double number;
    const char *text;
    size_t bytes;
};

/* < 0, 0, > 0 as the integer is below, is, or is above the number, which is no NaN. */
int sutra_order_of_numbers(int64_t integer, double number);

/* How the bytes of two texts are ordered. */
int sutra_order_of_texts(const char *text, size_t bytes, const char *other, size_t other_bytes);

/* Is the text a date or time? Escapes count for what they stand for. */
bool sutra_json_instant(const struct sutra_json *text, int64_t *ns_out);

/* Where `json` stands to `value`: *order_out < 0, 0, > 0; false: they do not compare. */
bool sutra_value_order(const struct sutra_json *json, const struct sutra_value *value,
                       int *order_out);

/* Any order of all values in which equal ones lie together; for qsort. */
int sutra_value_sort(const void *a, const void *b);
/* Is `json` equal to one of a list that is sorted so? */
bool sutra_value_among(const struct sutra_json *json, const struct sutra_value *values,
                       size_t count);

#endif
