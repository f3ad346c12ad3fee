cimport cython
cimport numpy as cnp
from libc.stdint cimport uint32_t, uint64_t

from sutra._c.quantizer cimport sutra_quantizer


@cython.final
cdef class Codes:
    cdef readonly cnp.ndarray high
    cdef readonly object low
    cdef readonly cnp.ndarray corrections


# A fitted quantizer of the core: made once, then const, shared by the calls that use it.
@cython.final
cdef class _Fitted:
    cdef sutra_quantizer core


@cython.final
cdef class ScalarQuantizer:
    cdef readonly uint32_t dim
    cdef readonly uint32_t bits
    cdef readonly uint64_t seed
    cdef _Fitted current

    cdef _Fitted require_fitted(self)
