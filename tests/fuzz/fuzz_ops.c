/* The payload of a log record: what decodes is encoded again, and decodes to the same.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fuzz.h"

#include <math.h>

#include "base/utf8.h"
#include "store/ops.h"

enum { IDS = 3, DIM = 3 };

/* ---- seeds */

static const float ones[IDS * DIM] = {1, 0.5f, -1, 0, 2, 3, 1e-3f, 4, 1};
static const int64_t numbers[IDS] = {7, -1, 0};
static const char *const texts[IDS] = {NULL, "caf\xc3\xa9", NULL};
static const uint32_t text_bytes[IDS] = {0, 5, 0};
static const struct sutra_ids mixed = {IDS, numbers, texts, text_bytes};
static const int64_t plain_numbers[IDS] = {1, 2, 300};
static const struct sutra_ids plain = {IDS, plain_numbers, NULL, NULL};

static void emit_ops(const struct sutra_op *ops, size_t count)
{
    struct sutra_encoder encoder = {0};
    const struct sutra_span *spans;
    struct fuzz_input input = {0};
    size_t span_count, bytes = 0, at = 0;
    sutra_encoder_reset(&encoder);
    for (size_t j = 0; j < count; j++)
        FUZZ_REQUIRE(sutra_encode_op(&encoder, &ops[j], 0, sutra_op_count(&ops[j])) == SUTRA_OK);
    sutra_encoder_finish(&encoder, &spans, &span_count);
    for (size_t s = 0; s < span_count; s++)
        bytes += spans[s].bytes;
    uint8_t *payload = fuzz_alloc(bytes);
    for (size_t s = 0; s < span_count; at += spans[s++].bytes)
        memcpy(payload + at, spans[s].data, spans[s].bytes);
    fuzz_set(&input, 0, 0, payload, bytes);
    fuzz_emit(&input);
    free(payload);
    sutra_encoder_deinit(&encoder);
}

static void fuzz_seeds(void)
{
    static const uint8_t some[IDS] = {1, 0, 1}, is_bytes[IDS] = {0, 1, 0};
    static const uint8_t *const contents[IDS] = {(const uint8_t *)"text", NULL,
                                                 (const uint8_t *)""};
    static const uint32_t content_bytes[IDS] = {4, 0, 0};
    static const uint8_t *const metadata[IDS] = {NULL, (const uint8_t *)"{\"a\": 1}", NULL};
    static const uint32_t metadata_bytes[IDS] = {0, 8, 0};
    static const char *const names[2] = {"is_a", "near"};
    static const uint32_t name_bytes[2] = {4, 4};
    static const uint16_t kinds[IDS] = {0, 1, 1};
    const struct sutra_op simple = {
        .kind = SUTRA_OP_PUT,
        .put = {.ids = plain, .strengths = ones, .confidences = ones, .time_ns = 5}};
    struct sutra_op full = {.kind = SUTRA_OP_PUT,
                            .put = {.replace = true,
                                    .ids = mixed,
                                    .dim = DIM,
                                    .vectors = ones,
                                    .stride = DIM,
                                    .has_vector = some,
                                    .contents = contents,
                                    .content_bytes = content_bytes,
                                    .content_is_bytes = is_bytes,
                                    .metadata = metadata,
                                    .metadata_bytes = metadata_bytes,
                                    .strengths = ones,
                                    .strength_step = 1,
                                    .confidences = ones,
                                    .confidence_step = 1,
                                    .time_ns = -5}};
    const struct sutra_op vectors = {.kind = SUTRA_OP_PUT,
                                     .put = {.ids = plain,
                                             .dim = DIM,
                                             .vectors = ones,
                                             .stride = DIM,
                                             .strengths = ones,
                                             .confidences = ones}};
    const struct sutra_op link = {.kind = SUTRA_OP_LINK,
                                  .link = {.sources = mixed,
                                           .targets = plain,
                                           .kind_names = names,
                                           .kind_bytes = name_bytes,
                                           .kind_count = 2,
                                           .kinds = kinds,
                                           .weights = ones,
                                           .weight_step = 1,
                                           .confidences = ones}};
    struct sutra_op unlink = link, unlink_all = link;
    unlink.kind = unlink_all.kind = SUTRA_OP_UNLINK;
    unlink_all.link.kind_count = 0;
    unlink_all.link.kinds = NULL;
    const struct sutra_op remove = {.kind = SUTRA_OP_DELETE, .ids = {mixed, 9, NULL}};
    const struct sutra_op touch = {.kind = SUTRA_OP_TOUCH, .ids = {plain, 9, NULL}};
    const struct sutra_op set = {.kind = SUTRA_OP_SET,
                                 .set = {.name = "search.width",
                                         .name_bytes = 12,
                                         .value = (const uint8_t *)"\x80\0",
                                         .value_bytes = 2}};
    struct sutra_op set_empty = set, unset = set;
    set_empty.set.value_bytes = 0;
    unset.set.value = NULL;
    const struct sutra_op field = {
        .kind = SUTRA_OP_FIELD,
        .field = {.path = "o.caf\xc3\xa9", .path_bytes = 7, .type = SUTRA_FIELD_STR}};
    struct sutra_op drop = field;
    drop.field.type = SUTRA_FIELD_NONE;
    const struct sutra_op all[] = {simple, full, vectors,   link,  unlink, unlink_all, remove,
                                   touch,  set,  set_empty, unset, field,  drop};
    for (size_t j = 0; j < sizeof all / sizeof all[0]; j++)
        emit_ops(&all[j], 1);
    emit_ops(all, sizeof all / sizeof all[0]);
}

/* ---- what came out */

static void check_ids(const struct sutra_ids *ids)
{
    for (size_t j = 0; j < ids->count; j++) {
        const char *text = ids->texts ? ids->texts[j] : NULL;
        if (text == NULL) {
            FUZZ_REQUIRE(ids->numbers[j] >= 0);
            continue;
        }
        FUZZ_REQUIRE(ids->text_bytes[j] >= 1 && ids->text_bytes[j] <= SUTRA_TEXT_ID_BYTES_MAX);
        FUZZ_REQUIRE(sutra_is_utf8(text, ids->text_bytes[j]));
    }
}

static void check_floats(const float *values, size_t step, size_t count)
{
    for (size_t j = 0; j < (step ? count : 1); j++)
        FUZZ_REQUIRE(isfinite(values[j]));
}

static void check_put(const struct sutra_op_put *put)
{
    size_t rows = put->ids.count;
    check_ids(&put->ids);
    check_floats(put->strengths, put->strength_step, put->ids.count);
    check_floats(put->confidences, put->confidence_step, put->ids.count);
    if (put->has_vector) {
        rows = 0;
        for (size_t j = 0; j < put->ids.count; j++)
            rows += put->has_vector[j] != 0;
    }
    if (put->dim)
        fuzz_touch(put->vectors, rows * put->dim * sizeof(float));
    for (size_t j = 0; j < put->ids.count; j++) {
        if (put->contents && put->contents[j])
            fuzz_touch(put->contents[j], put->content_bytes[j]);
        if (put->metadata && put->metadata[j])
            fuzz_touch(put->metadata[j], put->metadata_bytes[j]);
    }
    if (put->content_is_bytes)
        fuzz_touch(put->content_is_bytes, put->ids.count);
}

static void check_link(const struct sutra_op_link *link, bool weighted)
{
    FUZZ_REQUIRE(link->sources.count == link->targets.count);
    check_ids(&link->sources);
    check_ids(&link->targets);
    for (size_t k = 0; k < link->kind_count; k++)
        FUZZ_REQUIRE(link->kind_bytes[k] >= 1 && link->kind_bytes[k] <= SUTRA_KIND_BYTES_MAX &&
                     sutra_is_utf8(link->kind_names[k], link->kind_bytes[k]));
    for (size_t j = 0; link->kinds && j < link->sources.count; j++)
        FUZZ_REQUIRE(link->kinds[j] < link->kind_count);
    if (weighted) {
        check_floats(link->weights, link->weight_step, link->sources.count);
        check_floats(link->confidences, link->confidence_step, link->sources.count);
    }
}

static void check_set(const struct sutra_op_set *set)
{
    FUZZ_REQUIRE(set->name_bytes >= 1 && set->name_bytes <= SUTRA_SETTING_NAME_BYTES_MAX &&
                 sutra_is_utf8(set->name, set->name_bytes));
    FUZZ_REQUIRE(set->value_bytes <= SUTRA_SETTING_BYTES_MAX);
    if (set->value)
        fuzz_touch(set->value, set->value_bytes);
}

static void check_field(const struct sutra_op_field *field)
{
    FUZZ_REQUIRE(field->path_bytes >= 1 && field->path_bytes <= SUTRA_JSON_PATH_BYTES_MAX &&
                 sutra_is_utf8(field->path, field->path_bytes));
    FUZZ_REQUIRE(field->type < SUTRA_FIELD_TYPES);
}

static void check_op(const struct sutra_op *op)
{
    if (op->kind == SUTRA_OP_PUT)
        check_put(&op->put);
    else if (op->kind == SUTRA_OP_LINK || op->kind == SUTRA_OP_UNLINK)
        check_link(&op->link, op->kind == SUTRA_OP_LINK);
    else if (op->kind == SUTRA_OP_SET)
        check_set(&op->set);
    else if (op->kind == SUTRA_OP_FIELD)
        check_field(&op->field);
    else
        check_ids(&op->ids.ids);
    for (size_t j = 0; j < sutra_op_count(op); j++)
        (void)sutra_op_item_bytes(op, j);
}

/* The payload of the operation alone; malloc'd. */
static uint8_t *encode(const struct sutra_op *op, size_t *bytes_out)
{
    struct sutra_encoder encoder = {0};
    const struct sutra_span *spans;
    size_t count, at = 0;
    sutra_encoder_reset(&encoder);
    FUZZ_REQUIRE(sutra_encode_op(&encoder, op, 0, sutra_op_count(op)) == SUTRA_OK);
    sutra_encoder_finish(&encoder, &spans, &count);
    *bytes_out = 0;
    for (size_t s = 0; s < count; s++)
        *bytes_out += spans[s].bytes;
    uint8_t *payload = fuzz_alloc(*bytes_out);
    for (size_t s = 0; s < count; at += spans[s++].bytes) {
        if (spans[s].bytes)
            memcpy(payload + at, spans[s].data, spans[s].bytes);
    }
    sutra_encoder_deinit(&encoder);
    return payload;
}

/* Encoding is a normal form: from there on bytes and operations stay the same. */
static void check_again(const struct sutra_op *op)
{
    struct sutra_decoder decoder = {0};
    struct sutra_op again;
    size_t bytes, same_bytes;
    bool more;
    uint8_t *payload = encode(op, &bytes);
    FUZZ_REQUIRE(sutra_decoder_start(&decoder, payload, bytes) == SUTRA_OK);
    FUZZ_REQUIRE(sutra_decode_op(&decoder, &again, &more) == SUTRA_OK && more);
    FUZZ_REQUIRE(again.kind == op->kind && sutra_op_count(&again) == sutra_op_count(op));
    check_op(&again);
    uint8_t *same = encode(&again, &same_bytes);
    FUZZ_REQUIRE(same_bytes == bytes && memcmp(same, payload, bytes) == 0);
    FUZZ_REQUIRE(sutra_decode_op(&decoder, &again, &more) == SUTRA_OK && !more);
    free(same);
    free(payload);
    sutra_decoder_deinit(&decoder);
}

/* Options: 1, how far off its alignment the payload lies; twice over with one decoder if 2 is odd.
 */
static void fuzz_run(struct fuzz_input *input)
{
    const struct fuzz_file *file = &input->files[0];
    struct sutra_decoder decoder = {0};
    /* Just as long, so that a sanitizer sees every byte beyond. */
    const size_t off = input->options[1] % 8u;
    uint8_t *block = fuzz_alloc(file->bytes + off);
    memcpy(block + off, file->data, file->bytes);
    for (unsigned turn = 0; turn < 1 + input->options[2] % 2u; turn++) {
        struct sutra_op op;
        bool more = true;
        int status = sutra_decoder_start(&decoder, block + off, file->bytes);
        FUZZ_REQUIRE(status == SUTRA_OK);
        while (status == SUTRA_OK && more) {
            status = sutra_decode_op(&decoder, &op, &more);
            FUZZ_REQUIRE(status == SUTRA_OK || status == SUTRA_E_CORRUPT);
            if (status == SUTRA_OK && more) {
                check_op(&op);
                check_again(&op);
            }
        }
    }
    sutra_decoder_deinit(&decoder);
    free(block);
}
