from libc.stdint cimport int64_t


cdef extern from "base/json.h" nogil:
    enum:
        SUTRA_JSON_PATH_BYTES_MAX

    enum sutra_json_kind:
        SUTRA_JSON_NULL
        SUTRA_JSON_BOOL
        SUTRA_JSON_INT
        SUTRA_JSON_FLOAT
        SUTRA_JSON_TEXT
        SUTRA_JSON_LIST
        SUTRA_JSON_OBJECT


cdef extern from "attributes/attributes.h" nogil:
    enum:
        SUTRA_FIELDS_MAX

    enum sutra_field_type:
        SUTRA_FIELD_NONE
        SUTRA_FIELD_INT
        SUTRA_FIELD_FLOAT
        SUTRA_FIELD_BOOL
        SUTRA_FIELD_STR
        SUTRA_FIELD_DATETIME


cdef extern from "attributes/value.h" nogil:
    enum sutra_value_kind:
        SUTRA_VALUE_NULL
        SUTRA_VALUE_BOOL
        SUTRA_VALUE_INT
        SUTRA_VALUE_FLOAT
        SUTRA_VALUE_TEXT
        SUTRA_VALUE_INSTANT

    struct sutra_value:
        int kind
        int64_t integer
        double number
        const char *text
        size_t bytes


cdef extern from "attributes/predicate.h" nogil:
    enum:
        SUTRA_PREDICATE_NODES_MAX
        SUTRA_PREDICATE_VALUES_MAX
        SUTRA_PREDICATE_DEPTH_MAX

    enum sutra_predicate_op:
        SUTRA_PREDICATE_EQ
        SUTRA_PREDICATE_GT
        SUTRA_PREDICATE_GTE
        SUTRA_PREDICATE_LT
        SUTRA_PREDICATE_LTE
        SUTRA_PREDICATE_IN
        SUTRA_PREDICATE_CONTAINS
        SUTRA_PREDICATE_EXISTS
        SUTRA_PREDICATE_AND
        SUTRA_PREDICATE_OR
        SUTRA_PREDICATE_NOT

    struct sutra_predicate:
        pass

    int sutra_predicate_new(sutra_predicate **predicate_out)
    void sutra_predicate_free(sutra_predicate *predicate)
    int sutra_predicate_compare(
        sutra_predicate *predicate, int op, const char *path, size_t path_bytes,
        const sutra_value *values, size_t count,
    )
    int sutra_predicate_join(sutra_predicate *predicate, int op, size_t count)
    int sutra_predicate_finish(sutra_predicate *predicate)
