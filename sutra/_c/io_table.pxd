from libc.stdint cimport int64_t


cdef extern from "io/table.h" nogil:
    struct sutra_io:
        void *context
        int64_t (*now_ns)(void *context) noexcept nogil

    const sutra_io sutra_io_posix
