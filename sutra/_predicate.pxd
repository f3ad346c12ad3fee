cimport cython

from sutra._c.predicate cimport sutra_predicate, sutra_value


@cython.final
cdef class Predicate:
    cdef sutra_predicate *predicate
    cdef readonly list paths

    cdef int build(self, object tree, int depth) except -1
    cdef int compare(self, str op, object path, tuple values) except -1
