cimport cython


@cython.final
cdef class AlignedBuffer:
    cdef void *block
    cdef Py_ssize_t block_bytes
    cdef size_t block_alignment
    cdef str setting
    cdef bint is_advised
    cdef bint is_closed
    cdef bint is_resizing
    cdef Py_ssize_t exports
    cdef object __weakref__

    cdef void *allocate(self, Py_ssize_t nbytes) except NULL
    cdef bint advise(self, void *block, Py_ssize_t nbytes) noexcept
    cdef int require_open(self) except -1
    cdef int require_unused(self, str action) except -1
