from libc.stdint cimport int8_t, int32_t, uint8_t, uint32_t, uint64_t

# Named here for Cython's sake; the header spells them out.
ctypedef float (*sutra_dot_f32_fn)(const float *, const float *, size_t) noexcept nogil
ctypedef void (*sutra_many_f32_fn)(
    const float *, const float *, size_t, size_t, size_t, float *
) noexcept nogil
ctypedef void (*sutra_cosine_many_fn)(
    const float *, float, const float *, size_t, size_t, size_t, float *
) noexcept nogil
ctypedef void (*sutra_many_u8_fn)(
    const uint8_t *, const uint8_t *, size_t, size_t, size_t, uint32_t *
) noexcept nogil
ctypedef void (*sutra_many_u8s8_fn)(
    const int8_t *, const uint8_t *, size_t, size_t, size_t, int32_t *
) noexcept nogil


cdef extern from "simd/kernels.h" nogil:
    struct sutra_kernels:
        sutra_dot_f32_fn dot_f32
        sutra_many_f32_fn dot_f32_many
        sutra_many_f32_fn l2sq_f32_many
        sutra_cosine_many_fn cosine_f32_many
        sutra_many_u8_fn l2sq_u7_many
        sutra_many_u8_fn l2sq_u8_many
        sutra_many_u8s8_fn dot_u8s8_many
        sutra_many_u8s8_fn dot_code4_many

    enum sutra_tier:
        SUTRA_TIER_SCALAR
        SUTRA_TIER_COUNT

    const char *sutra_tier_name(int tier)
    int sutra_tier_from_name(const char *name)
    bint sutra_tier_compiled(int tier)
    bint sutra_tier_supported(int tier)
    int sutra_tier_best()
    int sutra_kernels_select(int tier, sutra_kernels *table_out)
    const char *const sutra_kernel_names[]
