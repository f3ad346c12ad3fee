from libc.stdint cimport uint8_t, uint64_t

from sutra._c.memory cimport sutra_arena


cdef extern from "io/mapping.h" nogil:
    enum sutra_map_mode:
        SUTRA_MAP_SHARED
        SUTRA_MAP_PRIVATE

    enum sutra_map_hint:
        SUTRA_HINT_SEQUENTIAL
        SUTRA_HINT_RANDOM
        SUTRA_HINT_WILLNEED
        SUTRA_HINT_DONTNEED
        SUTRA_HINT_HUGEPAGE
        SUTRA_HINT_POPULATE

    struct sutra_mapping:
        uint8_t *data
        size_t bytes
        uint64_t offset
        int mode

    int sutra_mapping_open(const char *path, uint64_t offset, size_t bytes, int mode,
                           sutra_mapping *mapping_out)
    void sutra_mapping_close(sutra_mapping *mapping)
    int sutra_mapping_advise(const sutra_mapping *mapping, size_t offset, size_t bytes, int hint,
                             const char **reason_out)
    int sutra_arena_map_file(sutra_arena *arena, int fd, uint64_t offset, size_t bytes)
    size_t sutra_resident_bytes(const void *data, size_t bytes)
