cimport cython
from libc.stdint cimport uint32_t

from sutra._c.vectors cimport sutra_vectors


@cython.final
cdef class VectorStore:
    cdef sutra_vectors *vectors  # NULL once closed
    cdef readonly uint32_t dim
    cdef Py_ssize_t exports
    cdef object __weakref__

    # The vectors with a reference that the caller drops, or ClosedError.
    cdef sutra_vectors *hold(self) except NULL
