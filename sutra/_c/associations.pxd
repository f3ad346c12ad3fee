from libc.stdint cimport int64_t, uint16_t, uint32_t


cdef extern from "concepts/associations.h" nogil:
    enum:
        SUTRA_KIND_BYTES_MAX
        SUTRA_NO_KIND

    enum sutra_direction:
        SUTRA_OUT
        SUTRA_IN
        SUTRA_BOTH

    struct sutra_link:
        uint32_t source
        uint32_t target
        uint16_t kind
        bint outgoing
        float weight
        float confidence
        int64_t created_ns
