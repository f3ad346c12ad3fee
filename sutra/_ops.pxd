cimport numpy as cnp
from libc.stdint cimport int64_t, uint32_t

from sutra._c.concepts cimport sutra_ids
from sutra._c.ops cimport sutra_op


cdef class Ids:
    cdef sutra_ids ids
    cdef tuple items  # what texts point into; None if all are numbers
    cdef cnp.ndarray numbers
    cdef const char **texts
    cdef uint32_t *text_bytes
    cdef readonly bint one  # a single id was given, not a sequence

    cdef int pack(self, str name) except -1


cdef int64_t now_ns() noexcept


cdef class Operation:
    cdef sutra_op op
    cdef Ids ids  # of concepts, or of the sources; None: to be assigned
    cdef Ids targets
    cdef list kept  # what op points into
    cdef void *blocks[8]  # memory of its own
    cdef int block_count
    cdef readonly Py_ssize_t count

    cdef void *allocate(self, size_t bytes_each) except NULL
    cdef int pack_contents(self, tuple contents) except -1
    cdef int pack_metadata(self, tuple metadata) except -1
    cdef int pack_kinds(self, object kinds) except -1
