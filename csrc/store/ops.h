/* Operations: what a writer asks for, and the same as bytes in the log.
 *
 * A batch is a list of operations that happen all or not at all, in order. The same structs are
 * filled by callers (pointing to their memory) and by the decoder (pointing into a log record), and
 * applied by the same code, so that recovery does what the writer did.
 *
 * Log payload: operations one after the other, each at a multiple of 8. FORMAT.md has the bytes.
 *
 * Ownership: operations borrow; the encoder's buffer and the decoder's arrays belong to their
 * structs. Threading: none. Errors: SUTRA_E_NO_MEMORY; SUTRA_E_CORRUPT from the decoder, which
 * trusts nothing.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_STORE_OPS_H
#define SUTRA_STORE_OPS_H

#include "../attributes/attributes.h"
#include "../base/status.h"
#include "../concepts/associations.h"
#include "../concepts/concepts.h"
#include "../io/table.h"

enum sutra_op_kind {
    SUTRA_OP_PUT = 1,
    SUTRA_OP_DELETE = 2,
    SUTRA_OP_LINK = 3,
    SUTRA_OP_UNLINK = 4,
    SUTRA_OP_TOUCH = 5,
    SUTRA_OP_SET = 6,
    SUTRA_OP_FIELD = 7,
};

struct sutra_predicate;

#define SUTRA_ABSENT_BYTES 0xffffffffu
#define SUTRA_SETTINGS_MAX 1024u
#define SUTRA_SETTING_NAME_BYTES_MAX 255u
#define SUTRA_SETTING_BYTES_MAX 65535u

/* Add or replace concepts. Of a concept that is there, what is not given stays: vector, content,
 * metadata; created_ns stays too. Strength and confidence are always set. */
struct sutra_op_put {
    bool replace;              /* else an id that is alive is SUTRA_E_DUPLICATE_ID */
    struct sutra_ids ids;      /* numbers NULL and texts NULL: to be assigned by the store */
    uint32_t dim;              /* 0: no vectors */
    const float *vectors;      /* a row for each concept, or for each that has_vector marks */
    size_t stride;             /* floats */
    const uint8_t *has_vector; /* NULL: all */
    /* NULL, or for each: NULL for not given. */
    const uint8_t *const *contents;
    const uint32_t *content_bytes;
    const uint8_t *content_is_bytes; /* NULL: all are text */
    const uint8_t *const *metadata;  /* UTF-8 JSON objects */
    const uint32_t *metadata_bytes;
    const float *strengths; /* for each, or one for all if strength_step is 0 */
    size_t strength_step;
    const float *confidences;
    size_t confidence_step;
    int64_t time_ns; /* created and accessed */
};

struct sutra_op_ids { /* DELETE, TOUCH: ids that are not there are passed over */
    struct sutra_ids ids;
    int64_t time_ns;
    /* Of a DELETE that a caller asks for, instead of ids: those of the concepts that match before
     * the batch, of which no operation before this one may be a PUT. The log has the ids. */
    const struct sutra_predicate *where;
};

/* LINK: both ends must be alive (SUTRA_E_NOT_FOUND). UNLINK: what is not there is passed over. */
struct sutra_op_link {
    struct sutra_ids sources, targets; /* equal counts */
    const char *const *kind_names;     /* UTF-8, 1 to SUTRA_KIND_BYTES_MAX bytes */
    const uint32_t *kind_bytes;
    size_t kind_count;     /* 0: every kind (UNLINK alone) */
    const uint16_t *kinds; /* index of each edge's kind; NULL: all the first */
    const float *weights;  /* finite */
    size_t weight_step;
    const float *confidences;
    size_t confidence_step;
    int64_t time_ns;
};

/* SET: give a setting of the store a value, or remove it. What is not there is passed over. */
struct sutra_op_set {
    const char *name;     /* UTF-8, 1 to SUTRA_SETTING_NAME_BYTES_MAX bytes */
    const uint8_t *value; /* NULL: remove it */
    uint32_t name_bytes;
    uint32_t value_bytes; /* at most SUTRA_SETTING_BYTES_MAX */
};

/* FIELD: declare a field of the metadata, or with type SUTRA_FIELD_NONE drop it; see attributes.h.
 * What is so already is passed over. In a batch it comes before what makes or ends concepts. */
struct sutra_op_field {
    const char *path; /* UTF-8, 1 to SUTRA_JSON_PATH_BYTES_MAX bytes */
    uint32_t path_bytes;
    uint32_t type; /* enum sutra_field_type */
};

struct sutra_op {
    int kind;
    /* filled by the store when the operation is done */
    size_t done; /* concepts put, removed or touched; edges made or removed; settings, fields */
    int64_t first_number; /* of the ids assigned to a PUT without; else -1 */
    union {
        struct sutra_op_put put;
        struct sutra_op_ids ids;
        struct sutra_op_link link;
        struct sutra_op_set set;
        struct sutra_op_field field;
    };
};

/* ---- encoding */

struct sutra_encoder {
    uint8_t *buffer;
    size_t room, used;
    struct sutra_span spans[64];
    size_t span_count;
    /* where spans point into the buffer, as long as it may move */
    size_t span_offsets[64];
};

void sutra_encoder_deinit(struct sutra_encoder *encoder);
/* Start anew, keeping the buffer. */
void sutra_encoder_reset(struct sutra_encoder *encoder);
/* Append concepts or edges [from, to) of an operation. Its vectors are pointed to, not copied,
 * where they lie side by side. ids must be there. */
int sutra_encode_op(struct sutra_encoder *encoder, const struct sutra_op *op, size_t from,
                    size_t to);
/* The finished payload; valid until the next call. */
void sutra_encoder_finish(struct sutra_encoder *encoder, const struct sutra_span **spans_out,
                          size_t *count_out);
/* About how many bytes item `at` of an operation takes: for cutting a long one into records. */
size_t sutra_op_item_bytes(const struct sutra_op *op, size_t at);
size_t sutra_op_count(const struct sutra_op *op);

/* ---- decoding */

struct sutra_decoder {
    const uint8_t *at, *end;
    void *arrays; /* of the operation last decoded */
    size_t arrays_room;
    uint8_t *aligned; /* copy of a payload that is not aligned to 8 */
};

void sutra_decoder_deinit(struct sutra_decoder *decoder);
int sutra_decoder_start(struct sutra_decoder *decoder, const uint8_t *payload, size_t bytes);
/* *more_out false at the end. The operation is valid until the next call. Checks everything a
 * writer has checked: ids in range, texts UTF-8, floats finite, lengths inside, names' lengths.
 * Vectors must have finite values; their length is checked by whoever knows the dimension. */
int sutra_decode_op(struct sutra_decoder *decoder, struct sutra_op *op_out, bool *more_out);

#endif
