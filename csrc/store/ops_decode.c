/* Bytes as operations; see ops.h. The layout is in FORMAT.md. Nothing in the payload is trusted: a
 * checksum can be forged.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops.h"
#include "ops_format.h"
#include "../base/bytes.h"
#include "../base/utf8.h"

void sutra_decoder_deinit(struct sutra_decoder *decoder)
{
    free(decoder->arrays);
    free(decoder->aligned);
    memset(decoder, 0, sizeof *decoder);
}

int sutra_decoder_start(struct sutra_decoder *decoder, const uint8_t *payload, size_t bytes)
{
    if (bytes && (uintptr_t)payload % 8) {
        uint8_t *aligned = realloc(decoder->aligned, bytes);
        if (!aligned)
            return SUTRA_E_NO_MEMORY;
        decoder->aligned = aligned;
        payload = memcpy(aligned, payload, bytes);
    }
    decoder->at = payload;
    decoder->end = payload + bytes;
    return SUTRA_OK;
}

/* The next `bytes` of the payload and its padding, or NULL. */
static const void *take(struct sutra_decoder *decoder, uint64_t bytes)
{
    const size_t left = (size_t)(decoder->end - decoder->at);
    if (bytes > left || sutra_round_up((size_t)bytes, 8) > left)
        return NULL;
    const void *at = decoder->at;
    decoder->at += sutra_round_up((size_t)bytes, 8);
    return at;
}

/* A length, at most `most`, and as many bytes; NULL where that is not what there is. */
static const void *take_sized(struct sutra_decoder *decoder, uint32_t most, uint32_t *bytes_out)
{
    const uint8_t *length = take(decoder, 8);
    const uint64_t bytes = length ? sutra_load_u64(length) : UINT64_MAX;
    if (bytes > most)
        return NULL;
    *bytes_out = (uint32_t)bytes;
    return take(decoder, bytes);
}

/* The same for a text that is not empty. */
static const char *take_name(struct sutra_decoder *decoder, uint32_t most, uint32_t *bytes_out)
{
    const char *name = take_sized(decoder, most, bytes_out);
    return name && *bytes_out && sutra_is_utf8(name, *bytes_out) ? name : NULL;
}

/* Pointer arrays of one operation: at most six of a word an item. */
struct arrays {
    void **next;
    size_t left;
};

static int start_arrays(struct sutra_decoder *decoder, struct arrays *arrays, size_t count)
{
    const size_t wanted = 6 * count + 2 * (size_t)UINT16_MAX;
    if (wanted > decoder->arrays_room) {
        free(decoder->arrays);
        decoder->arrays_room = 0;
        decoder->arrays = malloc(wanted * sizeof(void *));
        if (!decoder->arrays)
            return SUTRA_E_NO_MEMORY;
        decoder->arrays_room = wanted;
    }
    arrays->next = decoder->arrays;
    arrays->left = decoder->arrays_room;
    return SUTRA_OK;
}

static void *array(struct arrays *arrays, size_t words)
{
    if (words > arrays->left)
        return NULL;
    void **at = arrays->next;
    arrays->next += words;
    arrays->left -= words;
    return at;
}

static int take_ids(struct sutra_decoder *decoder, struct arrays *arrays, size_t expected,
                    struct sutra_ids *ids)
{
    const uint8_t *head = take(decoder, SUTRA_IDS_HEADER_BYTES);
    if (!head)
        return SUTRA_E_CORRUPT;
    const uint32_t form = sutra_load_u32(head + SUTRA_IDS_FORM);
    const uint64_t text_bytes = sutra_load_u64(head + SUTRA_IDS_TEXT_BYTES);
    memset(ids, 0, sizeof *ids);
    ids->count = sutra_load_u32(head + SUTRA_IDS_COUNT);
    if (ids->count != expected || form > SUTRA_IDS_MIXED)
        return SUTRA_E_CORRUPT;
    ids->numbers = take(decoder, (uint64_t)ids->count * sizeof(int64_t));
    if (!ids->numbers)
        return SUTRA_E_CORRUPT;
    if (form == SUTRA_IDS_NUMBERS) {
        for (size_t j = 0; j < ids->count; j++) {
            if (ids->numbers[j] < 0)
                return SUTRA_E_CORRUPT;
        }
        return SUTRA_OK;
    }
    const uint32_t *lengths = take(decoder, (uint64_t)ids->count * sizeof(uint32_t));
    const char *text = lengths ? take(decoder, text_bytes) : NULL;
    const char **texts = array(arrays, ids->count);
    if (!text || !texts)
        return SUTRA_E_CORRUPT;
    uint64_t left = text_bytes;
    for (size_t j = 0; j < ids->count; j++) {
        texts[j] = NULL;
        if (ids->numbers[j] >= 0 && lengths[j] == 0)
            continue;
        if (ids->numbers[j] != -1 || lengths[j] == 0 || lengths[j] > SUTRA_TEXT_ID_BYTES_MAX ||
            lengths[j] > left || !sutra_is_utf8(text, lengths[j]))
            return SUTRA_E_CORRUPT;
        texts[j] = text;
        text += lengths[j];
        left -= lengths[j];
    }
    ids->texts = texts;
    ids->text_bytes = lengths;
    return left == 0 ? SUTRA_OK : SUTRA_E_CORRUPT;
}

static const float *take_floats(struct sutra_decoder *decoder, size_t count, bool each,
                                size_t *step_out)
{
    const size_t values = each ? count : 1;
    const float *floats = take(decoder, (uint64_t)values * sizeof(float));
    *step_out = each;
    for (size_t j = 0; floats && j < values; j++) {
        if (!isfinite(floats[j]))
            return NULL;
    }
    return floats;
}

static int take_blobs(struct sutra_decoder *decoder, struct arrays *arrays, size_t count,
                      const uint8_t *const **blobs_out, const uint32_t **bytes_out)
{
    const uint32_t *lengths = take(decoder, (uint64_t)count * sizeof(uint32_t));
    const uint8_t *total = lengths ? take(decoder, 8) : NULL;
    if (!total)
        return SUTRA_E_CORRUPT;
    uint64_t left = sutra_load_u64(total);
    const uint8_t *at = take(decoder, left);
    const uint8_t **blobs = array(arrays, count);
    if (!at || !blobs)
        return SUTRA_E_CORRUPT;
    for (size_t j = 0; j < count; j++) {
        blobs[j] = NULL;
        if (lengths[j] == SUTRA_ABSENT_BYTES)
            continue;
        if (lengths[j] > left)
            return SUTRA_E_CORRUPT;
        blobs[j] = at;
        at += lengths[j];
        left -= lengths[j];
    }
    *blobs_out = blobs;
    *bytes_out = lengths;
    return left == 0 ? SUTRA_OK : SUTRA_E_CORRUPT;
}

static int take_vectors(struct sutra_decoder *decoder, struct sutra_op_put *put, bool some)
{
    const size_t count = put->ids.count;
    size_t rows = count;
    if (some) {
        put->has_vector = take(decoder, count);
        if (!put->has_vector)
            return SUTRA_E_CORRUPT;
        rows = 0;
        for (size_t j = 0; j < count; j++)
            rows += put->has_vector[j] != 0;
    }
    size_t bytes;
    if (put->dim == 0 || !sutra_mul_size(rows, put->dim * sizeof(float), &bytes))
        return SUTRA_E_CORRUPT;
    put->stride = put->dim;
    put->vectors = take(decoder, bytes);
    return put->vectors ? SUTRA_OK : SUTRA_E_CORRUPT;
}

static int take_put(struct sutra_decoder *decoder, struct arrays *arrays, uint32_t flags,
                    uint32_t count, uint32_t dim, struct sutra_op_put *put)
{
    if (flags & ~(uint32_t)SUTRA_PUT_KNOWN || !(flags & SUTRA_PUT_VECTORS) != !dim ||
        dim > INT32_MAX)
        return SUTRA_E_CORRUPT;
    put->replace = (flags & SUTRA_PUT_REPLACE) != 0;
    put->dim = dim;
    int status = take_ids(decoder, arrays, count, &put->ids);
    if (status != SUTRA_OK)
        return status;
    put->strengths =
        take_floats(decoder, count, (flags & SUTRA_PUT_STRENGTHS) != 0, &put->strength_step);
    put->confidences =
        take_floats(decoder, count, (flags & SUTRA_PUT_CONFIDENCES) != 0, &put->confidence_step);
    if (!put->strengths || !put->confidences)
        return SUTRA_E_CORRUPT;
    if (dim)
        status = take_vectors(decoder, put, (flags & SUTRA_PUT_SOME_VECTORS) != 0);
    if (status == SUTRA_OK && flags & SUTRA_PUT_CONTENTS)
        status = take_blobs(decoder, arrays, count, &put->contents, &put->content_bytes);
    if (status == SUTRA_OK && flags & SUTRA_PUT_CONTENT_TYPES) {
        put->content_is_bytes = take(decoder, count);
        status = put->content_is_bytes && put->contents ? SUTRA_OK : SUTRA_E_CORRUPT;
    }
    if (status == SUTRA_OK && flags & SUTRA_PUT_METADATA)
        status = take_blobs(decoder, arrays, count, &put->metadata, &put->metadata_bytes);
    return status;
}

static int take_kinds(struct sutra_decoder *decoder, struct arrays *arrays, bool each,
                      uint32_t kind_count, uint32_t count, struct sutra_op_link *link)
{
    if (kind_count >= SUTRA_NO_KIND)
        return SUTRA_E_CORRUPT;
    const char **names = array(arrays, kind_count);
    uint32_t *lengths = array(arrays, kind_count);
    if (!names || !lengths)
        return SUTRA_E_CORRUPT;
    for (size_t k = 0; k < kind_count; k++) {
        names[k] = take_name(decoder, SUTRA_KIND_BYTES_MAX, &lengths[k]);
        if (!names[k])
            return SUTRA_E_CORRUPT;
    }
    link->kind_names = names;
    link->kind_bytes = lengths;
    link->kind_count = kind_count;
    if (!each)
        return SUTRA_OK;
    link->kinds = take(decoder, (uint64_t)count * sizeof(uint16_t));
    if (!link->kinds)
        return SUTRA_E_CORRUPT;
    for (size_t j = 0; j < count; j++) {
        if (link->kinds[j] >= kind_count)
            return SUTRA_E_CORRUPT;
    }
    return SUTRA_OK;
}

static int take_link(struct sutra_decoder *decoder, struct arrays *arrays, bool weighted,
                     uint32_t flags, uint32_t count, uint32_t kind_count,
                     struct sutra_op_link *link)
{
    if (flags & ~(uint32_t)SUTRA_LINK_KNOWN || (weighted && kind_count == 0))
        return SUTRA_E_CORRUPT;
    int status = take_ids(decoder, arrays, count, &link->sources);
    if (status == SUTRA_OK)
        status = take_ids(decoder, arrays, count, &link->targets);
    if (status == SUTRA_OK)
        status =
            take_kinds(decoder, arrays, (flags & SUTRA_LINK_KINDS) != 0, kind_count, count, link);
    if (status != SUTRA_OK || !weighted)
        return status;
    link->weights =
        take_floats(decoder, count, (flags & SUTRA_LINK_WEIGHTS) != 0, &link->weight_step);
    link->confidences =
        take_floats(decoder, count, (flags & SUTRA_LINK_CONFIDENCES) != 0, &link->confidence_step);
    return link->weights && link->confidences ? SUTRA_OK : SUTRA_E_CORRUPT;
}

static int take_set(struct sutra_decoder *decoder, uint32_t flags, struct sutra_op_set *set)
{
    if (flags & ~(uint32_t)SUTRA_SET_KNOWN)
        return SUTRA_E_CORRUPT;
    set->name = take_name(decoder, SUTRA_SETTING_NAME_BYTES_MAX, &set->name_bytes);
    if (!set->name || !(flags & SUTRA_SET_VALUE))
        return set->name ? SUTRA_OK : SUTRA_E_CORRUPT;
    set->value = take_sized(decoder, SUTRA_SETTING_BYTES_MAX, &set->value_bytes);
    return set->value ? SUTRA_OK : SUTRA_E_CORRUPT;
}

static int take_field(struct sutra_decoder *decoder, uint32_t flags, uint32_t type,
                      struct sutra_op_field *field)
{
    if (flags || type >= SUTRA_FIELD_TYPES)
        return SUTRA_E_CORRUPT;
    field->type = type;
    field->path = take_name(decoder, SUTRA_JSON_PATH_BYTES_MAX, &field->path_bytes);
    return field->path ? SUTRA_OK : SUTRA_E_CORRUPT;
}

int sutra_decode_op(struct sutra_decoder *decoder, struct sutra_op *op, bool *more_out)
{
    *more_out = decoder->at != decoder->end;
    if (!*more_out)
        return SUTRA_OK;
    const uint8_t *head = take(decoder, SUTRA_OP_HEADER_BYTES);
    if (!head)
        return SUTRA_E_CORRUPT;
    memset(op, 0, sizeof *op);
    op->kind = (int)sutra_load_u32(head + SUTRA_OP_KIND);
    const uint32_t flags = sutra_load_u32(head + SUTRA_OP_FLAGS);
    const uint32_t count = sutra_load_u32(head + SUTRA_OP_COUNT);
    const uint32_t extra = sutra_load_u32(head + SUTRA_OP_EXTRA);
    const int64_t time_ns = (int64_t)sutra_load_u64(head + SUTRA_OP_TIME);
    /* Every item takes eight bytes at least: no count makes us allocate more than the log holds. */
    if (count > (size_t)(decoder->end - decoder->at) / 8)
        return SUTRA_E_CORRUPT;
    struct arrays arrays;
    const int status = start_arrays(decoder, &arrays, count);
    if (status != SUTRA_OK)
        return status;
    switch (op->kind) {
    case SUTRA_OP_PUT:
        op->put.time_ns = time_ns;
        return take_put(decoder, &arrays, flags, count, extra, &op->put);
    case SUTRA_OP_LINK:
    case SUTRA_OP_UNLINK:
        op->link.time_ns = time_ns;
        return take_link(decoder, &arrays, op->kind == SUTRA_OP_LINK, flags, count, extra,
                         &op->link);
    case SUTRA_OP_DELETE:
    case SUTRA_OP_TOUCH:
        op->ids.time_ns = time_ns;
        return take_ids(decoder, &arrays, count, &op->ids.ids);
    case SUTRA_OP_SET:
        return count == 1 && extra == 0 && time_ns == 0 ? take_set(decoder, flags, &op->set)
                                                        : SUTRA_E_CORRUPT;
    case SUTRA_OP_FIELD:
        return count == 1 && time_ns == 0 ? take_field(decoder, flags, extra, &op->field)
                                          : SUTRA_E_CORRUPT;
    default:
        return SUTRA_E_CORRUPT;
    }
}
