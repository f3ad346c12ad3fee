/* Operations as bytes; see ops.h. The layout is in FORMAT.md.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "ops.h"
#include "ops_format.h"
#include "../base/bytes.h"

#define SPANS_MAX 64u

void sutra_encoder_deinit(struct sutra_encoder *encoder)
{
    free(encoder->buffer);
    memset(encoder, 0, sizeof *encoder);
}

void sutra_encoder_reset(struct sutra_encoder *encoder)
{
    encoder->used = 0;
    encoder->span_count = 0;
}

/* `bytes` more of the buffer, uninitialized; NULL without memory. */
static uint8_t *extend(struct sutra_encoder *encoder, size_t bytes)
{
    if (bytes > encoder->room - encoder->used) {
        size_t room = encoder->room + encoder->room / 2 + 4096;
        if (room < encoder->used + bytes)
            room = encoder->used + bytes;
        uint8_t *buffer = realloc(encoder->buffer, room);
        if (!buffer)
            return NULL;
        encoder->buffer = buffer;
        encoder->room = room;
    }
    uint8_t *at = encoder->buffer + encoder->used;
    /* Bytes of the buffer follow one another in a span as long as nothing else comes between. */
    struct sutra_span *last = encoder->span_count ? &encoder->spans[encoder->span_count - 1] : NULL;
    if (last && !last->data) {
        last->bytes += bytes;
    } else {
        encoder->span_offsets[encoder->span_count] = encoder->used;
        encoder->spans[encoder->span_count++] = (struct sutra_span){NULL, bytes};
    }
    encoder->used += bytes;
    return at;
}

static int put_bytes(struct sutra_encoder *encoder, const void *data, size_t bytes)
{
    uint8_t *to = extend(encoder, sutra_round_up(bytes, 8));
    if (!to)
        return SUTRA_E_NO_MEMORY;
    if (bytes)
        memcpy(to, data, bytes);
    memset(to + bytes, 0, sutra_round_up(bytes, 8) - bytes);
    return SUTRA_OK;
}

/* The length and the bytes. */
static int put_sized(struct sutra_encoder *encoder, const void *data, uint32_t bytes)
{
    uint8_t *length = extend(encoder, 8);
    if (!length)
        return SUTRA_E_NO_MEMORY;
    sutra_store_u64(length, bytes);
    return put_bytes(encoder, data, bytes);
}

/* Memory of the caller's, a multiple of 8 bytes long. */
static void put_span(struct sutra_encoder *encoder, const void *data, size_t bytes)
{
    encoder->spans[encoder->span_count++] = (struct sutra_span){data, bytes};
}

static int put_ids(struct sutra_encoder *encoder, const struct sutra_ids *ids, size_t from,
                   size_t to)
{
    size_t text_bytes = 0;
    bool texts = false;
    for (size_t j = from; ids->texts && j < to; j++) {
        if (ids->texts[j]) {
            texts = true;
            text_bytes += ids->text_bytes[j];
        }
    }
    const size_t count = to - from;
    uint8_t *head = extend(encoder, SUTRA_IDS_HEADER_BYTES);
    if (!head)
        return SUTRA_E_NO_MEMORY;
    memset(head, 0, SUTRA_IDS_HEADER_BYTES);
    sutra_store_u32(head + SUTRA_IDS_COUNT, (uint32_t)count);
    sutra_store_u32(head + SUTRA_IDS_FORM, texts ? SUTRA_IDS_MIXED : SUTRA_IDS_NUMBERS);
    sutra_store_u64(head + SUTRA_IDS_TEXT_BYTES, texts ? text_bytes : 0);
    if (!texts)
        return put_bytes(encoder, ids->numbers + from, count * sizeof(int64_t));
    int64_t *numbers = (int64_t *)(void *)extend(encoder, count * sizeof(int64_t));
    if (!numbers)
        return SUTRA_E_NO_MEMORY;
    for (size_t j = 0; j < count; j++)
        numbers[j] = ids->texts[from + j] ? -1 : ids->numbers[from + j];
    uint32_t *lengths =
        (uint32_t *)(void *)extend(encoder, sutra_round_up(count * sizeof(uint32_t), 8));
    if (!lengths)
        return SUTRA_E_NO_MEMORY;
    for (size_t j = 0; j < count; j++)
        lengths[j] = ids->texts[from + j] ? ids->text_bytes[from + j] : 0;
    if (count % 2)
        lengths[count] = 0;
    uint8_t *text = extend(encoder, sutra_round_up(text_bytes, 8));
    if (!text)
        return SUTRA_E_NO_MEMORY;
    size_t at = 0;
    for (size_t j = from; j < to; j++) {
        if (!ids->texts[j])
            continue;
        memcpy(text + at, ids->texts[j], ids->text_bytes[j]);
        at += ids->text_bytes[j];
    }
    memset(text + at, 0, sutra_round_up(text_bytes, 8) - at);
    return SUTRA_OK;
}

/* Floats for each item, unless one stands for all. */
static int put_floats(struct sutra_encoder *encoder, const float *values, size_t step, size_t from,
                      size_t to)
{
    if (!step)
        return put_bytes(encoder, values, sizeof *values);
    if (step == 1)
        return put_bytes(encoder, values + from, (to - from) * sizeof *values);
    const size_t bytes = (to - from) * sizeof *values;
    float *copy = (float *)(void *)extend(encoder, sutra_round_up(bytes, 8));
    if (!copy)
        return SUTRA_E_NO_MEMORY;
    for (size_t j = from; j < to; j++)
        copy[j - from] = values[j * step];
    if ((to - from) % 2)
        copy[to - from] = 0.0f;
    return SUTRA_OK;
}

static int put_vectors(struct sutra_encoder *encoder, const struct sutra_op_put *put, size_t from,
                       size_t to)
{
    /* Rows before `from` say where its first row is. */
    size_t first = from, rows = to - from;
    if (put->has_vector) {
        first = rows = 0;
        for (size_t j = 0; j < to; j++) {
            if (put->has_vector[j])
                j < from ? first++ : rows++;
        }
    }
    const float *vectors = put->vectors + first * put->stride;
    const size_t row_bytes = put->dim * sizeof(float), bytes = rows * row_bytes;
    if (put->stride == put->dim && bytes % 8 == 0 && encoder->span_count + 4 < SPANS_MAX) {
        if (bytes)
            put_span(encoder, vectors, bytes);
        return SUTRA_OK;
    }
    uint8_t *copy = extend(encoder, sutra_round_up(bytes, 8));
    if (!copy)
        return SUTRA_E_NO_MEMORY;
    for (size_t row = 0; row < rows; row++)
        memcpy(copy + row * row_bytes, vectors + row * put->stride, row_bytes);
    memset(copy + bytes, 0, sutra_round_up(bytes, 8) - bytes);
    return SUTRA_OK;
}

/* Lengths of each (absent ones as SUTRA_ABSENT_BYTES), then the bytes one after the other. */
static int put_blobs(struct sutra_encoder *encoder, const uint8_t *const *blobs,
                     const uint32_t *bytes, size_t from, size_t to)
{
    const size_t count = to - from;
    uint32_t *lengths =
        (uint32_t *)(void *)extend(encoder, sutra_round_up(count * sizeof(uint32_t), 8));
    if (!lengths)
        return SUTRA_E_NO_MEMORY;
    size_t total = 0;
    for (size_t j = from; j < to; j++) {
        lengths[j - from] = blobs[j] ? bytes[j] : SUTRA_ABSENT_BYTES;
        total += blobs[j] ? bytes[j] : 0;
    }
    if (count % 2)
        lengths[count] = 0;
    uint8_t *to_bytes = extend(encoder, 8 + sutra_round_up(total, 8));
    if (!to_bytes)
        return SUTRA_E_NO_MEMORY;
    sutra_store_u64(to_bytes, total);
    to_bytes += 8;
    for (size_t j = from; j < to; j++) {
        if (!blobs[j])
            continue;
        memcpy(to_bytes, blobs[j], bytes[j]);
        to_bytes += bytes[j];
    }
    memset(to_bytes, 0, sutra_round_up(total, 8) - total);
    return SUTRA_OK;
}

static int put_put(struct sutra_encoder *encoder, const struct sutra_op_put *put, size_t from,
                   size_t to)
{
    int status = put_ids(encoder, &put->ids, from, to);
    if (status == SUTRA_OK)
        status = put_floats(encoder, put->strengths, put->strength_step, from, to);
    if (status == SUTRA_OK)
        status = put_floats(encoder, put->confidences, put->confidence_step, from, to);
    if (status == SUTRA_OK && put->dim && put->has_vector)
        status = put_bytes(encoder, put->has_vector + from, to - from);
    if (status == SUTRA_OK && put->dim)
        status = put_vectors(encoder, put, from, to);
    if (status == SUTRA_OK && put->contents)
        status = put_blobs(encoder, put->contents, put->content_bytes, from, to);
    if (status == SUTRA_OK && put->contents && put->content_is_bytes)
        status = put_bytes(encoder, put->content_is_bytes + from, to - from);
    if (status == SUTRA_OK && put->metadata)
        status = put_blobs(encoder, put->metadata, put->metadata_bytes, from, to);
    return status;
}

static int put_link(struct sutra_encoder *encoder, const struct sutra_op_link *link, bool weighted,
                    size_t from, size_t to)
{
    int status = put_ids(encoder, &link->sources, from, to);
    if (status == SUTRA_OK)
        status = put_ids(encoder, &link->targets, from, to);
    for (size_t k = 0; k < link->kind_count && status == SUTRA_OK; k++)
        status = put_sized(encoder, link->kind_names[k], link->kind_bytes[k]);
    if (status == SUTRA_OK && link->kinds)
        status = put_bytes(encoder, link->kinds + from, (to - from) * sizeof(uint16_t));
    if (status == SUTRA_OK && weighted)
        status = put_floats(encoder, link->weights, link->weight_step, from, to);
    if (status == SUTRA_OK && weighted)
        status = put_floats(encoder, link->confidences, link->confidence_step, from, to);
    return status;
}

static int put_set(struct sutra_encoder *encoder, const struct sutra_op_set *set)
{
    int status = put_sized(encoder, set->name, set->name_bytes);
    if (status == SUTRA_OK && set->value)
        status = put_sized(encoder, set->value, set->value_bytes);
    return status;
}

static uint32_t put_flags(const struct sutra_op_put *put)
{
    uint32_t flags = put->replace ? SUTRA_PUT_REPLACE : 0;
    flags |= put->strength_step ? SUTRA_PUT_STRENGTHS : 0;
    flags |= put->confidence_step ? SUTRA_PUT_CONFIDENCES : 0;
    flags |= put->dim ? SUTRA_PUT_VECTORS : 0;
    flags |= put->dim && put->has_vector ? SUTRA_PUT_SOME_VECTORS : 0;
    flags |= put->contents ? SUTRA_PUT_CONTENTS : 0;
    flags |= put->contents && put->content_is_bytes ? SUTRA_PUT_CONTENT_TYPES : 0;
    flags |= put->metadata ? SUTRA_PUT_METADATA : 0;
    return flags;
}

int sutra_encode_op(struct sutra_encoder *encoder, const struct sutra_op *op, size_t from,
                    size_t to)
{
    const size_t start = encoder->used;
    uint8_t *head = extend(encoder, SUTRA_OP_HEADER_BYTES);
    if (!head)
        return SUTRA_E_NO_MEMORY;
    memset(head, 0, SUTRA_OP_HEADER_BYTES);
    sutra_store_u32(head + SUTRA_OP_KIND, (uint32_t)op->kind);
    int status;
    uint32_t flags = 0, extra = 0;
    int64_t time_ns = 0;
    switch (op->kind) {
    case SUTRA_OP_PUT:
        flags = put_flags(&op->put);
        extra = op->put.dim;
        time_ns = op->put.time_ns;
        status = put_put(encoder, &op->put, from, to);
        break;
    case SUTRA_OP_LINK:
    case SUTRA_OP_UNLINK:
        flags |= op->link.kinds ? SUTRA_LINK_KINDS : 0;
        flags |= op->link.weight_step ? SUTRA_LINK_WEIGHTS : 0;
        flags |= op->link.confidence_step ? SUTRA_LINK_CONFIDENCES : 0;
        extra = (uint32_t)op->link.kind_count;
        time_ns = op->link.time_ns;
        status = put_link(encoder, &op->link, op->kind == SUTRA_OP_LINK, from, to);
        break;
    case SUTRA_OP_SET:
        flags = op->set.value ? SUTRA_SET_VALUE : 0;
        status = put_set(encoder, &op->set);
        break;
    case SUTRA_OP_FIELD:
        extra = op->field.type;
        status = put_sized(encoder, op->field.path, op->field.path_bytes);
        break;
    default:
        time_ns = op->ids.time_ns;
        status = put_ids(encoder, &op->ids.ids, from, to);
        break;
    }
    if (status != SUTRA_OK)
        return status;
    head = encoder->buffer + start; /* the buffer may have moved */
    sutra_store_u32(head + SUTRA_OP_FLAGS, flags);
    sutra_store_u32(head + SUTRA_OP_COUNT, (uint32_t)(to - from));
    sutra_store_u32(head + SUTRA_OP_EXTRA, extra);
    sutra_store_u64(head + SUTRA_OP_TIME, (uint64_t)time_ns);
    return SUTRA_OK;
}

void sutra_encoder_finish(struct sutra_encoder *encoder, const struct sutra_span **spans_out,
                          size_t *count_out)
{
    for (size_t s = 0; s < encoder->span_count; s++) {
        if (!encoder->spans[s].data)
            encoder->spans[s].data = encoder->buffer + encoder->span_offsets[s];
    }
    *spans_out = encoder->spans;
    *count_out = encoder->span_count;
}

static size_t id_bytes(const struct sutra_ids *ids, size_t at)
{
    return 12 + (ids->texts && ids->texts[at] ? ids->text_bytes[at] : 0);
}

size_t sutra_op_count(const struct sutra_op *op)
{
    switch (op->kind) {
    case SUTRA_OP_PUT:
        return op->put.ids.count;
    case SUTRA_OP_LINK:
    case SUTRA_OP_UNLINK:
        return op->link.sources.count;
    case SUTRA_OP_SET:
    case SUTRA_OP_FIELD:
        return 1;
    default:
        return op->ids.ids.count;
    }
}

size_t sutra_op_item_bytes(const struct sutra_op *op, size_t at)
{
    switch (op->kind) {
    case SUTRA_OP_PUT: {
        const struct sutra_op_put *put = &op->put;
        size_t bytes = id_bytes(&put->ids, at) + 17;
        if (put->dim && (!put->has_vector || put->has_vector[at]))
            bytes += put->dim * sizeof(float);
        if (put->contents && put->contents[at])
            bytes += put->content_bytes[at];
        if (put->metadata && put->metadata[at])
            bytes += put->metadata_bytes[at];
        return bytes;
    }
    case SUTRA_OP_LINK:
    case SUTRA_OP_UNLINK:
        return id_bytes(&op->link.sources, at) + id_bytes(&op->link.targets, at) + 10;
    case SUTRA_OP_SET:
        return 32 + op->set.name_bytes + (op->set.value ? op->set.value_bytes : 0);
    case SUTRA_OP_FIELD:
        return 32 + op->field.path_bytes;
    default:
        return id_bytes(&op->ids.ids, at);
    }
}
