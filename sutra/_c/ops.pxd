from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from sutra._c.concepts cimport sutra_ids
from sutra._c.predicate cimport sutra_predicate


cdef extern from "store/ops.h" nogil:
    enum:
        SUTRA_ABSENT_BYTES
        SUTRA_SETTING_NAME_BYTES_MAX
        SUTRA_SETTING_BYTES_MAX

    enum sutra_op_kind:
        SUTRA_OP_PUT
        SUTRA_OP_DELETE
        SUTRA_OP_LINK
        SUTRA_OP_UNLINK
        SUTRA_OP_TOUCH
        SUTRA_OP_SET
        SUTRA_OP_FIELD

    struct sutra_op_put:
        bint replace
        sutra_ids ids
        uint32_t dim
        const float *vectors
        size_t stride
        const uint8_t *has_vector
        const uint8_t *const *contents
        const uint32_t *content_bytes
        const uint8_t *content_is_bytes
        const uint8_t *const *metadata
        const uint32_t *metadata_bytes
        const float *strengths
        size_t strength_step
        const float *confidences
        size_t confidence_step
        int64_t time_ns

    struct sutra_op_ids:
        sutra_ids ids
        int64_t time_ns
        const sutra_predicate *where

    struct sutra_op_link:
        sutra_ids sources
        sutra_ids targets
        const char *const *kind_names
        const uint32_t *kind_bytes
        size_t kind_count
        const uint16_t *kinds
        const float *weights
        size_t weight_step
        const float *confidences
        size_t confidence_step
        int64_t time_ns

    struct sutra_op_set:
        const char *name
        const uint8_t *value
        uint32_t name_bytes
        uint32_t value_bytes

    struct sutra_op_field:
        const char *path
        uint32_t path_bytes
        uint32_t type

    struct sutra_op:
        int kind
        size_t done
        int64_t first_number
        sutra_op_put put
        sutra_op_ids ids
        sutra_op_link link
        sutra_op_set set
        sutra_op_field field
