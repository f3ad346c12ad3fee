/* Random metadata and random predicates, and what is true of what by the plainest of means: values
 * are structs here, and never read back from JSON.
 *
 * Keys: i (int), f (float), b (bool), s (text), t (a date or time), o.n (int) and o.s (text) fit
 * the fields that tests declare; u has anything, l a list, x.y is spelled with its dot or nested.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_PREDICATE_CASES_H
#define SUTRA_TESTS_PREDICATE_CASES_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attributes/predicate.h"
#include "base/prng.h"

#define CASE_KEYS 9u
#define CASE_LIST 3u
#define CASE_JSON 1024u

static const char *const case_paths[CASE_KEYS] = {"i",   "f",   "b", "s",  "t",
                                                  "o.n", "o.s", "u", "x.y"};
static const int case_types[CASE_KEYS] = {SUTRA_FIELD_INT, SUTRA_FIELD_FLOAT,    SUTRA_FIELD_BOOL,
                                          SUTRA_FIELD_STR, SUTRA_FIELD_DATETIME, SUTRA_FIELD_INT,
                                          SUTRA_FIELD_STR, SUTRA_FIELD_NONE,     SUTRA_FIELD_NONE};

struct case_value {
    int kind; /* enum sutra_json_kind */
    int64_t integer;
    double number;
    uint32_t text, instant; /* of the tables below */
    bool is_instant;
    uint32_t count; /* LIST: of elements, which are made from `integer` */
};

struct case_doc {
    struct case_value keys[CASE_KEYS];
};

struct case_random {
    uint64_t seed, at;
};

static inline uint32_t case_below(struct case_random *random, uint32_t bound)
{
    return (uint32_t)(sutra_random_at(random->seed, random->at++) % bound);
}

/* ---- tables */

static const char *const case_texts[] = {"",
                                         "a",
                                         "ab",
                                         "b",
                                         "abc",
                                         "\xc3\xa9",
                                         "\xf0\x9f\x98\x80",
                                         "z\"\\/\n",
                                         "2020-01-01",
                                         "long long long"};
#define CASE_TEXTS ((uint32_t)(sizeof case_texts / sizeof *case_texts))

static const struct {
    const char *text;
    int64_t ns;
} case_instants[] = {{"2020-01-01", 1577836800000000000},
                     {"2020-01-01T00:00:00Z", 1577836800000000000},
                     {"2020-01-01T01:00+01:00", 1577836800000000000},
                     {"2021-06-01 12:00", 1622548800000000000},
                     {"1969-12-31T23:59:59.5", -500000000},
                     {"2020-01-01T00:00:00.000000001", 1577836800000000001}};
#define CASE_INSTANTS ((uint32_t)(sizeof case_instants / sizeof *case_instants))

static const int64_t case_integers[] = {0,  1,  -1, 2,         3,         7,
                                        10, 42, 99, INT64_MAX, INT64_MIN, 9007199254740993};
#define CASE_INTEGERS ((uint32_t)(sizeof case_integers / sizeof *case_integers))

static const double case_numbers[] = {0.0,  -0.0, 1.0,    1.5, -1.0,   2.0,
                                      9.25, 1e19, -1e300, 0.1, 3.5e-7, 9007199254740992.0};
#define CASE_NUMBERS ((uint32_t)(sizeof case_numbers / sizeof *case_numbers))

/* ---- values */

static inline struct case_value case_draw_scalar(struct case_random *random, int kind)
{
    struct case_value value = {.kind = kind};
    value.integer = kind == SUTRA_JSON_BOOL ? case_below(random, 2)
                                            : case_integers[case_below(random, CASE_INTEGERS)];
    value.number = case_numbers[case_below(random, CASE_NUMBERS)];
    value.text = case_below(random, CASE_TEXTS);
    value.instant = case_below(random, CASE_INSTANTS);
    return value;
}

static inline struct case_value case_draw_any(struct case_random *random)
{
    struct case_value value =
        case_draw_scalar(random, (int)case_below(random, SUTRA_JSON_OBJECT + 1));
    value.count = case_below(random, CASE_LIST + 1);
    value.is_instant = value.kind == SUTRA_JSON_TEXT && case_below(random, 3) == 0;
    return value;
}

/* The value of a key that has a type, or that may be anything. */
static inline struct case_value case_draw_typed(struct case_random *random, int type)
{
    const uint32_t chance = case_below(random, 10);
    struct case_value value;
    if (type == SUTRA_FIELD_NONE)
        return case_draw_any(random);
    if (chance < 2)
        return case_draw_scalar(random, chance == 0 ? SUTRA_JSON_NONE : SUTRA_JSON_NULL);
    static const int kinds[SUTRA_FIELD_TYPES] = {SUTRA_JSON_NONE, SUTRA_JSON_INT,  SUTRA_JSON_FLOAT,
                                                 SUTRA_JSON_BOOL, SUTRA_JSON_TEXT, SUTRA_JSON_TEXT};
    value = case_draw_scalar(random, kinds[type]);
    value.is_instant = type == SUTRA_FIELD_DATETIME;
    if (type == SUTRA_FIELD_FLOAT && chance < 5)
        value.kind = SUTRA_JSON_INT;
    return value;
}

static inline struct case_doc case_draw_doc(struct case_random *random)
{
    struct case_doc doc;
    for (size_t k = 0; k < CASE_KEYS; k++)
        doc.keys[k] = case_draw_typed(random, case_types[k]);
    return doc;
}

static inline struct case_value case_element(const struct case_value *list, uint32_t at)
{
    struct case_random random = {(uint64_t)list->integer ^ list->text, at * 16};
    return case_draw_scalar(&random, (int)(1 + case_below(&random, SUTRA_JSON_TEXT)));
}

static inline const char *case_text(const struct case_value *value)
{
    return value->is_instant ? case_instants[value->instant].text : case_texts[value->text];
}

/* ---- as JSON */

struct case_writer {
    char *to;
    struct case_random random; /* of what may be written in more than one way */
};

static inline void case_put_text(struct case_writer *writer, const char *text)
{
    *writer->to++ = '"';
    for (const char *at = text; *at; at++) {
        const unsigned char byte = (unsigned char)*at;
        if (byte == 0xc3) { /* e acute */
            writer->to +=
                sprintf(writer->to, case_below(&writer->random, 2) ? "\\u00e9" : "\xc3\xa9");
            at++;
        } else if (byte == 0xf0) {
            writer->to += sprintf(writer->to, case_below(&writer->random, 2) ? "\\uD83D\\uDE00"
                                                                             : "\xf0\x9f\x98\x80");
            at += 3;
        } else if (byte == '"' || byte == '\\') {
            writer->to += sprintf(writer->to, "\\%c", byte);
        } else if (byte < 0x20 || case_below(&writer->random, 20) == 0) {
            writer->to += sprintf(writer->to, "\\u%04x", byte);
        } else {
            *writer->to++ = (char)byte;
        }
    }
    *writer->to++ = '"';
}

static inline void case_put_value(struct case_writer *writer, const struct case_value *value)
{
    char number[40];
    switch (value->kind) {
    case SUTRA_JSON_NULL:
        writer->to += sprintf(writer->to, "null");
        break;
    case SUTRA_JSON_BOOL:
        writer->to += sprintf(writer->to, value->integer ? "true" : "false");
        break;
    case SUTRA_JSON_INT:
        writer->to += sprintf(writer->to, "%lld", (long long)value->integer);
        break;
    case SUTRA_JSON_FLOAT:
        (void)snprintf(number, sizeof number, "%.17g", value->number);
        writer->to += sprintf(writer->to, "%s%s", number, strpbrk(number, ".e") ? "" : ".0");
        break;
    case SUTRA_JSON_TEXT:
        case_put_text(writer, case_text(value));
        break;
    case SUTRA_JSON_LIST:
        *writer->to++ = '[';
        for (uint32_t j = 0; j < value->count; j++) {
            const struct case_value element = case_element(value, j);
            if (j)
                *writer->to++ = ',';
            case_put_value(writer, &element);
        }
        *writer->to++ = ']';
        break;
    default:
        writer->to += sprintf(writer->to, "{\"i\": 1}");
    }
}

static inline void case_put_key(struct case_writer *writer, const char *key,
                                const struct case_value *value)
{
    if (value->kind == SUTRA_JSON_NONE)
        return;
    if (writer->to[-1] != '{')
        writer->to += sprintf(writer->to, ", ");
    writer->to += sprintf(writer->to, "\"%s\":", key);
    case_put_value(writer, value);
}

/* Returns the length. */
static inline uint32_t case_json(const struct case_doc *doc, uint64_t seed, char *json)
{
    struct case_writer writer = {json, {seed, 0}};
    *writer.to++ = '{';
    for (size_t k = 0; k < 5; k++)
        case_put_key(&writer, case_paths[k], &doc->keys[k]);
    case_put_key(&writer, "u", &doc->keys[7]);
    if (doc->keys[5].kind != SUTRA_JSON_NONE || doc->keys[6].kind != SUTRA_JSON_NONE) {
        writer.to += sprintf(writer.to, writer.to[-1] == '{' ? "\"o\":{" : ",\"o\":{");
        case_put_key(&writer, "n", &doc->keys[5]);
        case_put_key(&writer, "s", &doc->keys[6]);
        *writer.to++ = '}';
    }
    if (doc->keys[8].kind != SUTRA_JSON_NONE && case_below(&writer.random, 2)) {
        writer.to += sprintf(writer.to, writer.to[-1] == '{' ? "\"x\":{" : ",\"x\":{");
        case_put_key(&writer, "y", &doc->keys[8]);
        *writer.to++ = '}';
    } else {
        case_put_key(&writer, "x.y", &doc->keys[8]);
    }
    *writer.to++ = '}';
    return (uint32_t)(writer.to - json);
}

/* ---- truth */

/* Rounding keeps order, so where the doubles differ the numbers do. */
static inline int case_order(int64_t integer, double number)
{
    const double rounded = (double)integer;
    if (rounded != number)
        return rounded < number ? -1 : 1;
    if (number >= 9223372036854775808.0)
        return -1;
    return (integer > (int64_t)number) - (integer < (int64_t)number);
}

static inline bool case_compare(const struct case_value *value, const struct sutra_value *other,
                                int *order)
{
    switch (other->kind) {
    case SUTRA_VALUE_NULL:
        *order = 0;
        return value->kind == SUTRA_JSON_NULL;
    case SUTRA_VALUE_BOOL:
        *order = (int)(value->integer - other->integer);
        return value->kind == SUTRA_JSON_BOOL;
    case SUTRA_VALUE_TEXT:
        if (value->kind != SUTRA_JSON_TEXT)
            return false;
        *order = strcmp(case_text(value), other->text);
        return true;
    case SUTRA_VALUE_INSTANT: {
        int64_t ns = 0;
        if (value->kind != SUTRA_JSON_TEXT)
            return false;
        if (value->is_instant)
            ns = case_instants[value->instant].ns;
        else if (strcmp(case_texts[value->text], "2020-01-01") == 0)
            ns = case_instants[0].ns;
        else
            return false;
        *order = (ns > other->integer) - (ns < other->integer);
        return true;
    }
    case SUTRA_VALUE_INT:
        if (value->kind == SUTRA_JSON_INT)
            *order = (value->integer > other->integer) - (value->integer < other->integer);
        else
            *order = -case_order(other->integer, value->number);
        return value->kind == SUTRA_JSON_INT || value->kind == SUTRA_JSON_FLOAT;
    default:
        if (value->kind == SUTRA_JSON_FLOAT)
            *order = (value->number > other->number) - (value->number < other->number);
        else
            *order = case_order(value->integer, other->number);
        return value->kind == SUTRA_JSON_INT || value->kind == SUTRA_JSON_FLOAT;
    }
}

static inline bool case_equal(const struct case_value *value, const struct sutra_value *other)
{
    int order = 1;
    return case_compare(value, other, &order) && order == 0;
}

static inline bool case_contains(const struct case_value *value, const struct sutra_value *other)
{
    if (value->kind == SUTRA_JSON_TEXT)
        return other->kind == SUTRA_VALUE_TEXT && strstr(case_text(value), other->text) != NULL;
    for (uint32_t j = 0; value->kind == SUTRA_JSON_LIST && j < value->count; j++) {
        const struct case_value element = case_element(value, j);
        if (case_equal(&element, other))
            return true;
    }
    return false;
}

/* ---- predicates: a tree here, and the same built */

struct case_node {
    int op;
    uint32_t key, count;
    struct sutra_value values[8];
    struct case_node *children[4];
};

static inline struct sutra_value case_draw_value(struct case_random *random, bool with_null)
{
    struct sutra_value value = {.kind = (int)case_below(random, SUTRA_VALUE_INSTANT + 1)};
    if (value.kind == SUTRA_VALUE_NULL && !with_null)
        value.kind = SUTRA_VALUE_INT;
    value.number = case_numbers[case_below(random, CASE_NUMBERS)];
    value.integer = case_integers[case_below(random, CASE_INTEGERS)];
    if (value.kind == SUTRA_VALUE_FLOAT && case_below(random, 10) == 0)
        value.number = case_below(random, 2) ? INFINITY : -INFINITY;
    if (value.kind == SUTRA_VALUE_BOOL)
        value.integer = case_below(random, 2);
    if (value.kind == SUTRA_VALUE_INSTANT)
        value.integer = case_instants[case_below(random, CASE_INSTANTS)].ns;
    value.text = case_below(random, 4) ? case_texts[case_below(random, CASE_TEXTS)]
                                       : case_instants[case_below(random, CASE_INSTANTS)].text;
    value.bytes = strlen(value.text);
    return value;
}

static inline struct case_node *case_draw_node(struct case_random *random, uint32_t depth)
{
    struct case_node *node = calloc(1, sizeof *node);
    if (node == NULL)
        abort();
    if (depth > 0 && case_below(random, 3) > 0) {
        node->op = SUTRA_PREDICATE_AND + (int)case_below(random, 3);
        node->count = node->op == SUTRA_PREDICATE_NOT ? 1 : case_below(random, 5);
        for (uint32_t c = 0; c < node->count; c++)
            node->children[c] = case_draw_node(random, depth - 1);
        return node;
    }
    node->op = SUTRA_PREDICATE_EQ + (int)case_below(random, 8);
    node->key = case_below(random, CASE_KEYS);
    node->count = node->op == SUTRA_PREDICATE_IN       ? case_below(random, 9)
                  : node->op == SUTRA_PREDICATE_EXISTS ? 0
                                                       : 1;
    const bool with_null = node->op == SUTRA_PREDICATE_EQ || node->op == SUTRA_PREDICATE_IN ||
                           node->op == SUTRA_PREDICATE_CONTAINS;
    for (uint32_t j = 0; j < node->count; j++)
        node->values[j] = case_draw_value(random, with_null);
    return node;
}

static inline void case_free_node(struct case_node *node)
{
    for (uint32_t c = 0; node->op >= SUTRA_PREDICATE_AND && c < node->count; c++)
        case_free_node(node->children[c]);
    free(node);
}

static inline int case_build(const struct case_node *node, struct sutra_predicate *predicate)
{
    int status = SUTRA_OK;
    if (node->op < SUTRA_PREDICATE_AND)
        return sutra_predicate_compare(predicate, node->op, case_paths[node->key],
                                       strlen(case_paths[node->key]), node->values, node->count);
    for (uint32_t c = 0; status == SUTRA_OK && c < node->count; c++)
        status = case_build(node->children[c], predicate);
    return status == SUTRA_OK ? sutra_predicate_join(predicate, node->op, node->count) : status;
}

static inline bool case_holds(const struct case_node *node, const struct case_doc *doc)
{
    const struct case_value null = {.kind = SUTRA_JSON_NULL};
    const struct case_value *value = &doc->keys[node->key];
    const bool nothing = value->kind == SUTRA_JSON_NONE;
    bool any = false, all = true;
    int order = 0;
    for (uint32_t c = 0; node->op >= SUTRA_PREDICATE_AND && c < node->count; c++) {
        const bool holds = case_holds(node->children[c], doc);
        any = any || holds;
        all = all && holds;
    }
    switch (node->op) {
    case SUTRA_PREDICATE_AND:
        return all;
    case SUTRA_PREDICATE_OR:
        return any;
    case SUTRA_PREDICATE_NOT:
        return !any;
    case SUTRA_PREDICATE_EXISTS:
        return !nothing;
    case SUTRA_PREDICATE_CONTAINS:
        return case_contains(value, &node->values[0]);
    case SUTRA_PREDICATE_EQ:
    case SUTRA_PREDICATE_IN:
        for (uint32_t j = 0; j < node->count; j++)
            any = any || case_equal(nothing ? &null : value, &node->values[j]);
        return any;
    default:
        if (!case_compare(value, &node->values[0], &order))
            return false;
        return node->op == SUTRA_PREDICATE_GT    ? order > 0
               : node->op == SUTRA_PREDICATE_GTE ? order >= 0
               : node->op == SUTRA_PREDICATE_LT  ? order < 0
                                                 : order <= 0;
    }
}

#endif
