/* Looking things up in a JSON text; see json.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "json.h"

#include <stdlib.h>
#include <string.h>

struct scan {
    const char *at, *end;
};

/* ---- skipping */

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t'))
        scan->at++;
}

static bool take(struct scan *scan, char wanted)
{
    skip_space(scan);
    if (scan->at == scan->end || *scan->at != wanted)
        return false;
    scan->at++;
    return true;
}

/* A text, from behind its first quote to behind its last. */
static bool take_text(struct scan *scan, struct sutra_json *text)
{
    text->kind = SUTRA_JSON_TEXT;
    text->at = scan->at;
    text->escaped = false;
    for (; scan->at < scan->end; scan->at++) {
        if (*scan->at == '"') {
            text->end = scan->at++;
            return true;
        }
        if (*scan->at == '\\') {
            text->escaped = true;
            if (++scan->at == scan->end)
                return false;
        }
    }
    return false;
}

/* To behind the bracket that closes one that has just been passed. */
static bool skip_nested(struct scan *scan)
{
    struct sutra_json text;
    for (size_t depth = 1; scan->at < scan->end;) {
        switch (*scan->at++) {
        case '"':
            if (!take_text(scan, &text))
                return false;
            break;
        case '[':
        case '{':
            depth++;
            break;
        case ']':
        case '}':
            if (--depth == 0)
                return true;
            break;
        default:
            break;
        }
    }
    return false;
}

static bool ends_plain(char byte)
{
    return byte == ',' || byte == ']' || byte == '}' || byte == ' ' || byte == '\n' ||
           byte == '\r' || byte == '\t';
}

/* ---- values */

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* Is this -?digits[.digits][(e|E)[+-]digits]? */
static bool is_number(const char *at, const char *end, bool *whole_out)
{
    const char *first;
    if (at < end && *at == '-')
        at++;
    for (first = at; at < end && is_digit(*at);)
        at++;
    bool sound = at > first;
    *whole_out = at == end;
    if (at < end && *at == '.') {
        for (first = ++at; at < end && is_digit(*at);)
            at++;
        sound = sound && at > first;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        for (first = at; at < end && is_digit(*at);)
            at++;
        sound = sound && at > first;
    }
    return sound && at == end;
}

/* Digits as an int64, if they fit. */
static bool read_integer(const char *at, const char *end, int64_t *integer_out)
{
    const bool negative = *at == '-';
    int64_t value = 0;
    for (at += negative; at < end; at++) {
        const int64_t digit = *at - '0';
        if (__builtin_mul_overflow(value, (int64_t)10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value))
            return false;
    }
    *integer_out = value;
    return true;
}

static bool is_word(const struct sutra_json *value, const char *word)
{
    const size_t bytes = strlen(word);
    return (size_t)(value->end - value->at) == bytes && memcmp(value->at, word, bytes) == 0;
}

/* Numbers, true, false, null: [at, end) is known. NaN and the infinities are no JSON. */
static bool classify_plain(struct sutra_json *value)
{
    bool whole;
    if (is_word(value, "null")) {
        value->kind = SUTRA_JSON_NULL;
        return true;
    }
    if (is_word(value, "true") || is_word(value, "false")) {
        value->kind = SUTRA_JSON_BOOL;
        value->truth = *value->at == 't';
        return true;
    }
    if (!is_number(value->at, value->end, &whole))
        return false;
    if (whole && read_integer(value->at, value->end, &value->integer)) {
        value->kind = SUTRA_JSON_INT;
        return true;
    }
    value->kind = SUTRA_JSON_FLOAT;
    value->number = sutra_json_double(value->at, (size_t)(value->end - value->at));
    return true;
}

/* The extent of the value that comes next. What is no text and no container is classified later,
 * if anybody asks. */
static bool take_value(struct scan *scan, struct sutra_json *value)
{
    skip_space(scan);
    if (scan->at == scan->end)
        return false;
    *value = (struct sutra_json){.kind = SUTRA_JSON_NONE, .at = scan->at};
    switch (*scan->at) {
    case '"':
        scan->at++;
        return take_text(scan, value);
    case '[':
    case '{':
        value->kind = *scan->at++ == '[' ? SUTRA_JSON_LIST : SUTRA_JSON_OBJECT;
        if (!skip_nested(scan))
            return false;
        value->end = scan->at;
        return true;
    default:
        while (scan->at < scan->end && !ends_plain(*scan->at))
            scan->at++;
        value->end = scan->at;
        return value->at < value->end;
    }
}

static bool finish_value(struct sutra_json *value)
{
    return value->kind != SUTRA_JSON_NONE || classify_plain(value);
}

/* ---- paths */

bool sutra_json_path_set(struct sutra_json_path *path, const char *text, size_t bytes)
{
    if (bytes == 0 || bytes > SUTRA_JSON_PATH_BYTES_MAX)
        return false;
    memset(path, 0, sizeof *path);
    memcpy(path->text, text, bytes);
    path->bytes = (uint32_t)bytes;
    const char *dot = memchr(text, '.', bytes);
    path->first = dot ? (uint32_t)(dot - text) : (uint32_t)bytes;
    return true;
}

static bool is_key(const struct sutra_json *key, const char *name, size_t bytes)
{
    if (!key->escaped)
        return (size_t)(key->end - key->at) == bytes && memcmp(key->at, name, bytes) == 0;
    return sutra_json_compare(key, name, bytes) == 0;
}

/* The members of an object under one key, or under another; false if it is no object. */
static bool find_members(const char *at, const char *end, const char *name, size_t bytes,
                         const char *other, size_t other_bytes, struct sutra_json *found,
                         struct sutra_json *other_found)
{
    struct scan scan = {at, end};
    struct sutra_json key, value;
    found->kind = SUTRA_JSON_NONE;
    found->at = other_found->at = NULL;
    if (!take(&scan, '{'))
        return false;
    if (take(&scan, '}'))
        return true;
    do {
        if (!take(&scan, '"') || !take_text(&scan, &key) || !take(&scan, ':') ||
            !take_value(&scan, &value))
            return false;
        if (is_key(&key, name, bytes))
            *found = value;
        else if (other && is_key(&key, other, other_bytes))
            *other_found = value;
    } while (take(&scan, ','));
    return take(&scan, '}');
}

void sutra_json_find(const char *text, size_t bytes, const struct sutra_json_path *path,
                     struct sutra_json *value)
{
    struct sutra_json whole, inner = {.kind = SUTRA_JSON_NONE}, unused;
    const bool dotted = path->first < path->bytes;
    memset(value, 0, sizeof *value);
    memset(&whole, 0, sizeof whole);
    if (!find_members(text, text + bytes, path->text, path->bytes, dotted ? path->text : NULL,
                      path->first, &whole, &inner))
        return;
    if (whole.at || !dotted) {
        if (whole.at && finish_value(&whole))
            *value = whole;
        return;
    }
    for (uint32_t from = path->first + 1; inner.at && inner.kind == SUTRA_JSON_OBJECT;) {
        const char *rest = path->text + from;
        const char *dot = memchr(rest, '.', path->bytes - from);
        const size_t length = dot ? (size_t)(dot - rest) : path->bytes - from;
        struct sutra_json next;
        memset(&next, 0, sizeof next);
        if (!find_members(inner.at, inner.end, rest, length, NULL, 0, &next, &unused))
            return;
        inner = next;
        if (!dot) {
            if (inner.at && finish_value(&inner))
                *value = inner;
            return;
        }
        from += (uint32_t)length + 1;
    }
}

bool sutra_json_next(const struct sutra_json *list, const char **at_inout,
                     struct sutra_json *element)
{
    struct scan scan = {*at_inout, list->end};
    memset(element, 0, sizeof *element);
    if (scan.at == list->at) {
        if (!take(&scan, '[') || take(&scan, ']'))
            return false;
    } else if (!take(&scan, ',')) {
        return false;
    }
    const bool found = take_value(&scan, element) && finish_value(element);
    *at_inout = scan.at;
    return found;
}

/* ---- texts */

static bool hex(const char *at, const char *end, uint32_t *unit_out)
{
    uint32_t unit = 0;
    if (end - at < 4)
        return false;
    for (int j = 0; j < 4; j++) {
        const char byte = at[j];
        const uint32_t digit = byte >= '0' && byte <= '9'   ? (uint32_t)(byte - '0')
                               : byte >= 'a' && byte <= 'f' ? (uint32_t)(byte - 'a') + 10
                               : byte >= 'A' && byte <= 'F' ? (uint32_t)(byte - 'A') + 10
                                                            : 16;
        if (digit == 16)
            return false;
        unit = unit << 4 | digit;
    }
    *unit_out = unit;
    return true;
}

static void put_code_point(struct sutra_json_bytes *bytes, uint32_t point)
{
    uint8_t *to = bytes->pending;
    bytes->next = 0;
    if (point < 0x80) {
        *to++ = (uint8_t)point;
    } else if (point < 0x800) {
        *to++ = (uint8_t)(0xc0 | point >> 6);
        *to++ = (uint8_t)(0x80 | (point & 63));
    } else {
        if (point < 0x10000) {
            *to++ = (uint8_t)(0xe0 | point >> 12);
        } else {
            *to++ = (uint8_t)(0xf0 | point >> 18);
            *to++ = (uint8_t)(0x80 | (point >> 12 & 63));
        }
        *to++ = (uint8_t)(0x80 | (point >> 6 & 63));
        *to++ = (uint8_t)(0x80 | (point & 63));
    }
    bytes->count = (uint8_t)(to - bytes->pending);
}

/* What stands behind a backslash. */
static void decode_escape(struct sutra_json_bytes *bytes)
{
    static const char names[] = "bfnrt", codes[] = "\b\f\n\r\t";
    uint32_t unit, second;
    const char byte = *bytes->at++;
    if (byte == 'u' && hex(bytes->at, bytes->end, &unit)) {
        bytes->at += 4;
        if (unit >> 10 == 0x36 && bytes->end - bytes->at >= 6 && bytes->at[0] == '\\' &&
            bytes->at[1] == 'u' && hex(bytes->at + 2, bytes->end, &second) &&
            second >> 10 == 0x37) {
            bytes->at += 6;
            unit = 0x10000 + ((unit & 0x3ff) << 10 | (second & 0x3ff));
        }
        put_code_point(bytes, unit);
        return;
    }
    const char *name = byte ? strchr(names, byte) : NULL;
    bytes->pending[0] = (uint8_t)(name ? codes[name - names] : byte);
    bytes->next = 0;
    bytes->count = 1;
}

int sutra_json_byte(struct sutra_json_bytes *bytes)
{
    if (bytes->next < bytes->count)
        return bytes->pending[bytes->next++];
    if (bytes->at == bytes->end)
        return -1;
    const char byte = *bytes->at++;
    if (byte != '\\' || bytes->at == bytes->end)
        return (uint8_t)byte;
    decode_escape(bytes);
    return bytes->pending[bytes->next++];
}

int sutra_json_compare(const struct sutra_json *text, const char *other, size_t bytes)
{
    if (!text->escaped) {
        const size_t length = (size_t)(text->end - text->at);
        const int order = memcmp(text->at, other, length < bytes ? length : bytes);
        return order ? order : (length > bytes) - (length < bytes);
    }
    struct sutra_json_bytes rest = sutra_json_bytes_of(text);
    for (size_t j = 0;; j++) {
        const int byte = sutra_json_byte(&rest);
        if (byte < 0 || j == bytes)
            return (byte >= 0) - (j < bytes);
        if (byte != (uint8_t)other[j])
            return byte < (uint8_t)other[j] ? -1 : 1;
    }
}

static bool begins_with(struct sutra_json_bytes rest, const char *part, size_t bytes)
{
    for (size_t j = 0; j < bytes; j++) {
        if (sutra_json_byte(&rest) != (uint8_t)part[j])
            return false;
    }
    return true;
}

/* Of bytes that stand for themselves. */
static bool contains_bytes(const char *at, const char *end, const char *part, size_t bytes)
{
    if (bytes == 0)
        return true;
    while ((size_t)(end - at) >= bytes) {
        at = memchr(at, part[0], (size_t)(end - at) - bytes + 1);
        if (!at)
            return false;
        if (memcmp(at, part, bytes) == 0)
            return true;
        at++;
    }
    return false;
}

bool sutra_json_contains(const struct sutra_json *text, const char *part, size_t bytes)
{
    if (!text->escaped)
        return contains_bytes(text->at, text->end, part, bytes);
    struct sutra_json_bytes rest = sutra_json_bytes_of(text);
    do {
        if (begins_with(rest, part, bytes))
            return true;
    } while (sutra_json_byte(&rest) >= 0);
    return false;
}

size_t sutra_json_decode(const struct sutra_json *text, char *bytes_out, size_t room)
{
    struct sutra_json_bytes rest = sutra_json_bytes_of(text);
    size_t count = 0;
    for (int byte; (byte = sutra_json_byte(&rest)) >= 0; count++) {
        if (count < room)
            bytes_out[count] = (char)byte;
    }
    return count;
}

/* ---- numbers */

/* Digits that decide how a decimal number is rounded to a double: no double lies halfway between
 * two others with more. */
#define DIGITS_MAX 780
#define EXPONENT_MAX 100000

struct decimal { /* digits * 10^exponent; of digits beyond the last kept, whether one is not 0 */
    char digits[DIGITS_MAX + 24];
    int count;
    int64_t exponent;
    uint64_t first; /* the number of all digits, if there are at most 19 */
};

static void put_digit(struct decimal *decimal, char digit, bool fraction, bool *more)
{
    if (decimal->count == 0 && digit == '0') {
        decimal->exponent -= fraction;
        return;
    }
    if (decimal->count < DIGITS_MAX) {
        decimal->digits[decimal->count++] = digit;
        if (decimal->count <= 19)
            decimal->first = decimal->first * 10 + (uint64_t)(digit - '0');
        decimal->exponent -= fraction;
        return;
    }
    *more = *more || digit != '0';
    decimal->exponent += !fraction;
}

static void read_decimal(const char *at, const char *end, struct decimal *decimal)
{
    bool more = false, fraction = false;
    decimal->count = 0;
    decimal->exponent = 0;
    decimal->first = 0;
    for (; at < end && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.')
            fraction = true;
        else if (is_digit(*at))
            put_digit(decimal, *at, fraction, &more);
    }
    int64_t exponent = 0;
    const bool negative = end - at > 1 && at[1] == '-';
    for (; at < end; at++) {
        if (is_digit(*at) && exponent < INT64_MAX / 20)
            exponent = exponent * 10 + (*at - '0');
    }
    decimal->exponent += negative ? -exponent : exponent;
    if (more) { /* a little above what the digits say */
        decimal->digits[decimal->count++] = '1';
        decimal->exponent--;
    }
    if (decimal->exponent > EXPONENT_MAX)
        decimal->exponent = EXPONENT_MAX;
    if (decimal->exponent < -EXPONENT_MAX)
        decimal->exponent = -EXPONENT_MAX;
}

/* Without a point the number means the same in every locale. */
static double by_library(struct decimal *decimal)
{
    char *to = decimal->digits + decimal->count;
    int64_t exponent = decimal->exponent;
    char reversed[8];
    int count = 0;
    *to++ = 'e';
    if (exponent < 0) {
        *to++ = '-';
        exponent = -exponent;
    }
    do {
        reversed[count++] = (char)('0' + exponent % 10);
        exponent /= 10;
    } while (exponent);
    while (count)
        *to++ = reversed[--count];
    *to = '\0';
    return strtod(decimal->digits, NULL);
}

double sutra_json_double(const char *text, size_t bytes)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const bool negative = bytes > 0 && *text == '-';
    struct decimal decimal;
    double number = 0.0;
    read_decimal(text, text + bytes, &decimal);
    /* Both are exact, so one rounding is the right one (Clinger, "How to read floating point
     * numbers accurately", 1990). */
    if (decimal.count <= 19 && decimal.first <= (uint64_t)1 << 53 && decimal.exponent >= -22 &&
        decimal.exponent <= 22)
        number = decimal.exponent < 0 ? (double)decimal.first / powers[-decimal.exponent]
                                      : (double)decimal.first * powers[decimal.exponent];
    else if (decimal.count > 0)
        number = by_library(&decimal);
    return negative ? -number : number;
}
