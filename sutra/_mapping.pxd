cimport cython

from sutra._c.mapping cimport sutra_mapping


@cython.final
cdef class MappedFile:
    cdef sutra_mapping mapping
    cdef object given_path
    cdef bint is_private
    cdef bint is_closed
    # Buffer exports and calls that have released the GIL: none may be left when we unmap.
    cdef Py_ssize_t users
    cdef object __weakref__

    cdef int require_open(self) except -1
    cdef int acquire(self) except -1
    cdef void release(self) noexcept
