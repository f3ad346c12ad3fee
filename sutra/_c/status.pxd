from libc.stdint cimport int64_t, uint64_t


cdef extern from "base/status.h" nogil:
    enum sutra_status:
        SUTRA_OK

        SUTRA_E_ARGUMENT
        SUTRA_E_DIMENSION
        SUTRA_E_VECTOR
        SUTRA_E_DUPLICATE_ID
        SUTRA_E_NEGATIVE_ID
        SUTRA_E_NOT_FOUND
        SUTRA_E_CONFIG

        SUTRA_E_NO_MEMORY
        SUTRA_E_CAPACITY

        SUTRA_E_CLOSED
        SUTRA_E_BUSY
        SUTRA_E_CANCELLED
        SUTRA_E_FORKED
        SUTRA_E_LOCKED
        SUTRA_E_READ_ONLY
        SUTRA_E_DURABILITY

        SUTRA_E_CORRUPT
        SUTRA_E_VERSION
        SUTRA_E_TRUNCATED
        SUTRA_E_NOT_INDEX
        SUTRA_E_NOT_STORE

        SUTRA_E_GRAPH_ID
        SUTRA_E_GRAPH_SELF
        SUTRA_E_GRAPH_SUFFIX
        SUTRA_E_GRAPH_LEVEL
        SUTRA_E_GRAPH_REACH

    struct sutra_fault:
        int64_t row
        int64_t offset
        uint64_t expected
        uint64_t found
        const char *what

    const sutra_fault SUTRA_FAULT_NONE

    const char *sutra_strerror(int status)
