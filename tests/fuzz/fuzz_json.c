/* The JSON scanner: whatever the text, what it finds lies inside and is the same again, and texts
 * compare as their decoded bytes do. A predicate built from the input holds or not, without a
 * fault.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fuzz.h"

#include "attributes/value.h"
#include "base/instant.h"
#include "base/json.h"

static void emit_json(const char *path, const char *text)
{
    struct fuzz_input input = {0};
    fuzz_set(&input, 0, 0, path, strlen(path));
    fuzz_set(&input, 1, 0, text, strlen(text));
    fuzz_emit(&input);
}

static void fuzz_seeds(void)
{
    emit_json("a", "{\"a\":1,\"b\":[true,null,-2.5e-3],\"c\":{\"d\":\"\\u00e9\\ud83d\\ude00\"}}");
    emit_json("c.d", "{\"c\":{\"d\":\"2024-05-06T07:08:09.123456789+01:00\"},\"c.d\":false}");
    emit_json(
        "a.b.c",
        "{ \"a\" : { \"b\" : { \"c\" : [ 1 , [ \"x\" , { } ] , 123456789012345678901 ] } } }");
    emit_json("s", "{\"s\":\"\\\\\\\"\\/\\b\\f\\n\\r\\t\\u0000\\ud800\"}");
    emit_json("n", "{\"n\":0.1000000000000000055511151231257827021181583404541015625}");
    emit_json("n", "{\"n\":1e400}");
}

/* ---- what is found */

static void check_inside(const struct sutra_json *value, const char *text, size_t bytes)
{
    FUZZ_REQUIRE(value->kind >= SUTRA_JSON_NONE && value->kind <= SUTRA_JSON_OBJECT);
    if (value->kind != SUTRA_JSON_NONE)
        FUZZ_REQUIRE(text <= value->at && value->at <= value->end && value->end <= text + bytes);
    if (value->kind == SUTRA_JSON_FLOAT) /* no NaN comes out */
        FUZZ_REQUIRE(value->number == value->number);
}

static void check_text(const struct sutra_json *text)
{
    const size_t room = (size_t)(text->end - text->at);
    char *decoded = fuzz_alloc(room);
    int64_t ns;
    const size_t bytes = sutra_json_decode(text, decoded, room);
    FUZZ_REQUIRE(bytes <= room);
    FUZZ_REQUIRE(sutra_json_compare(text, decoded, bytes) == 0);
    FUZZ_REQUIRE(bytes == 0 || sutra_json_compare(text, decoded, bytes - 1) > 0);
    FUZZ_REQUIRE(sutra_json_contains(text, decoded + bytes / 3, bytes / 3));
    FUZZ_REQUIRE(sutra_json_instant(text, &ns) ==
                 (bytes <= 64 && sutra_instant_parse(decoded, bytes, &ns)));
    free(decoded);
}

static void check_list(const struct sutra_json *list, const char *text, size_t bytes)
{
    struct sutra_json element;
    const char *last = list->at;
    for (const char *at = list->at; sutra_json_next(list, &at, &element); last = at) {
        check_inside(&element, text, bytes);
        FUZZ_REQUIRE(at > last && at <= list->end);
        if (element.kind == SUTRA_JSON_TEXT)
            check_text(&element);
    }
}

static void fuzz_run(struct fuzz_input *input)
{
    const struct fuzz_file *path_file = &input->files[0], *file = &input->files[1];
    const char *text = (const char *)file->data;
    struct sutra_json_path path;
    struct sutra_json found, again;
    int64_t ns;
    (void)sutra_instant_parse(text, file->bytes, &ns);
    if (!sutra_json_path_set(&path, (const char *)path_file->data, path_file->bytes))
        return;
    sutra_json_find(text, file->bytes, &path, &found);
    sutra_json_find(text, file->bytes, &path, &again);
    check_inside(&found, text, file->bytes);
    FUZZ_REQUIRE(found.kind == again.kind && found.at == again.at && found.end == again.end);
    if (found.kind == SUTRA_JSON_TEXT)
        check_text(&found);
    if (found.kind == SUTRA_JSON_LIST)
        check_list(&found, text, file->bytes);
}
