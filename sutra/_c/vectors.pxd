from libc.stdint cimport int64_t, uint32_t

from sutra._c.kernels cimport sutra_kernels
from sutra._c.status cimport sutra_fault


cdef extern from "vectors/vectors.h" nogil:
    struct sutra_vectors:
        pass

    int sutra_vectors_new(const sutra_kernels *kernels, uint32_t dim, sutra_vectors **vectors_out)
    void sutra_vectors_hold(sutra_vectors *vectors)
    void sutra_vectors_drop(sutra_vectors *vectors)

    int sutra_vectors_append(
        sutra_vectors *vectors, const float *rows, size_t stride, size_t count, size_t *first_out,
        sutra_fault *fault_out,
    )
    int sutra_vectors_gather(
        const sutra_vectors *vectors, const int64_t *numbers, size_t count, float *rows_out,
        sutra_fault *fault_out,
    )

    uint32_t sutra_vectors_dim(const sutra_vectors *vectors)
    size_t sutra_vectors_stride(const sutra_vectors *vectors)
    size_t sutra_vectors_count(const sutra_vectors *vectors)
    const float *sutra_vectors_rows(const sutra_vectors *vectors)
