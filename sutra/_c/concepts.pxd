from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "concepts/record.h" nogil:
    enum:
        SUTRA_NO_CONCEPT
        SUTRA_NO_SLOT
        SUTRA_TEXT_ID_BYTES_MAX

    enum sutra_record_flags:
        SUTRA_RECORD_TEXT_ID
        SUTRA_RECORD_CONTENT
        SUTRA_RECORD_CONTENT_BYTES
        SUTRA_RECORD_METADATA

    struct sutra_record:
        int64_t id
        int64_t created_ns
        int64_t accessed_ns
        uint64_t content_offset
        uint32_t flags
        uint32_t reference_count
        float strength
        float confidence
        uint32_t content_bytes
        uint32_t metadata_bytes
        uint32_t vector_row
        uint32_t previous


cdef extern from "concepts/concepts.h" nogil:
    struct sutra_ids:
        size_t count
        const int64_t *numbers
        const char *const *texts
        const uint32_t *text_bytes
