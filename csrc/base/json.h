/* Looking things up in a JSON text: without building anything, and without trusting it.
 *
 * A text of known length is scanned from its front; no call allocates, recurses, or reads outside
 * of it. What a writer has put in is JSON; of anything else the scanner finds some value or none,
 * and always the same. Of a key that an object has twice the last one counts, as with most readers.
 *
 * A path is "a.b": key b inside of the object under key a. A key that is spelled "a.b" at the top
 * is tried first.
 *
 * Ownership: values point into the text. Threading: none of it has state. Errors: none; what is not
 * there is SUTRA_JSON_NONE.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_BASE_JSON_H
#define SUTRA_BASE_JSON_H

#include "config.h"

enum sutra_json_kind {
    SUTRA_JSON_NONE = 0, /* not there */
    SUTRA_JSON_NULL,
    SUTRA_JSON_BOOL,
    SUTRA_JSON_INT,   /* no fraction, no exponent, and it fits int64 */
    SUTRA_JSON_FLOAT, /* any other number: the nearest double */
    SUTRA_JSON_TEXT,
    SUTRA_JSON_LIST,
    SUTRA_JSON_OBJECT,
};

struct sutra_json {
    int kind;
    bool escaped; /* TEXT: has a backslash */
    bool truth;
    int64_t integer;
    double number;
    const char *at, *end; /* of a TEXT, what is between the quotes; else all of it */
};

#define SUTRA_JSON_PATH_BYTES_MAX 255u

struct sutra_json_path {
    uint32_t bytes;
    uint32_t first; /* bytes before the first dot, or all of them */
    char text[SUTRA_JSON_PATH_BYTES_MAX + 1];
};

/* false unless it has 1 to SUTRA_JSON_PATH_BYTES_MAX bytes; they are copied. */
bool sutra_json_path_set(struct sutra_json_path *path, const char *text, size_t bytes);

/* The value at a path of a text that is an object. */
void sutra_json_find(const char *text, size_t bytes, const struct sutra_json_path *path,
                     struct sutra_json *value_out);

/* The elements of a LIST in order: _at starts at list->at; false after the last. */
bool sutra_json_next(const struct sutra_json *list, const char **at_inout,
                     struct sutra_json *element_out);

/* ---- texts; escapes decoded to UTF-8 on the way, half of a surrogate pair to the three bytes that
 * it would have, so that bytes order as code points do */

struct sutra_json_bytes { /* the bytes of a TEXT one by one */
    const char *at, *end;
    uint8_t pending[4];
    uint8_t next, count;
};

SUTRA_INLINE struct sutra_json_bytes sutra_json_bytes_of(const struct sutra_json *text)
{
    return (struct sutra_json_bytes){.at = text->at, .end = text->end};
}

/* The next byte, or -1 at the end. */
int sutra_json_byte(struct sutra_json_bytes *bytes);

/* < 0, 0, > 0 as the text comes before, is, or comes after the bytes. */
int sutra_json_compare(const struct sutra_json *text, const char *other, size_t bytes);
bool sutra_json_contains(const struct sutra_json *text, const char *part, size_t bytes);
/* Decode at most `room` bytes; returns how many there are, never more than the text takes. */
size_t sutra_json_decode(const struct sutra_json *text, char *bytes_out, size_t room);

/* ---- numbers */

/* The double nearest to a decimal number as JSON writes it: the same in every locale. */
double sutra_json_double(const char *text, size_t bytes);

#endif
