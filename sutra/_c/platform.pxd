from libc.stdint cimport uint64_t


cdef extern from "base/platform.h" nogil:
    enum sutra_thp_mode:
        SUTRA_THP_UNKNOWN
        SUTRA_THP_NEVER
        SUTRA_THP_MADVISE
        SUTRA_THP_ALWAYS

    struct sutra_platform:
        size_t page_bytes
        size_t cache_line_bytes
        size_t l1d_bytes
        size_t l2_bytes
        size_t l3_bytes
        unsigned cores_usable
        int thp_mode
        uint64_t memory_total_bytes
        uint64_t memory_available_bytes

    void sutra_platform_read(sutra_platform *platform_out)

    size_t sutra_page_bytes()
    unsigned sutra_cores_usable()
    uint64_t sutra_memory_total_bytes()
    int sutra_read_thp_mode()
