from libc.stdint cimport uint8_t


cdef extern from "base/memory.h" nogil:
    int sutra_aligned_alloc(size_t alignment, size_t bytes, void **block_out)
    void sutra_aligned_free(void *block, size_t bytes)

    enum sutra_huge_pages:
        SUTRA_HUGE_NEVER
        SUTRA_HUGE_ADVISE

    int sutra_advise_huge(void *block, size_t bytes, int huge_pages)

    struct sutra_arena:
        uint8_t *base
        size_t reserved_bytes
        size_t committed_bytes
        size_t mapped_bytes
        bint mapped_read_only
        int huge_pages
        void *region
        size_t region_bytes

    int sutra_arena_reserve(sutra_arena *arena, size_t min_bytes, size_t max_bytes,
                            int huge_pages)
    int sutra_arena_commit(sutra_arena *arena, size_t bytes)
    void sutra_arena_release(sutra_arena *arena)
