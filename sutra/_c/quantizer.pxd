from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sutra._c.kernels cimport sutra_kernels
from sutra._c.status cimport sutra_fault


cdef extern from "quant/quantizer.h" nogil:
    const float SUTRA_QUANT_STEP

    enum:
        SUTRA_CORRECTION_FLOATS

    struct sutra_quantizer:
        uint32_t dim
        uint32_t rotated_dim
        uint32_t row_bytes
        float *rotated_mean
        uint8_t *signs

    size_t sutra_quantizer_row_bytes(uint32_t dim)
    int sutra_quantizer_init(sutra_quantizer *quantizer, uint32_t dim, uint64_t seed)
    void sutra_quantizer_deinit(sutra_quantizer *quantizer)


cdef extern from "quant/batch.h" nogil:
    int sutra_quantizer_fit_many(
        sutra_quantizer *quantizer, const sutra_kernels *kernels, const float *rows, size_t stride,
        size_t count, sutra_fault *fault_out,
    )
    int sutra_quantizer_encode_many(
        const sutra_quantizer *quantizer, const sutra_kernels *kernels, const float *rows,
        size_t stride, size_t count, uint8_t *high_out, uint8_t *low_out, float *corrections_out,
        sutra_fault *fault_out,
    )
    int sutra_quantizer_decode_many(
        const sutra_quantizer *quantizer, const sutra_kernels *kernels, const uint8_t *high,
        const uint8_t *low, const float *corrections, size_t count, float *rows_out,
    )

    size_t sutra_quantizer_packed_bytes(uint32_t dim)
    void sutra_quantizer_pack(
        const sutra_quantizer *quantizer, uint32_t bits, uint64_t seed, uint8_t *bytes_out,
    )
    int sutra_quantizer_unpack(
        const uint8_t *bytes, size_t size, uint32_t dim_max, sutra_quantizer *quantizer,
        uint32_t *bits_out, uint64_t *seed_out, sutra_fault *fault_out,
    )
