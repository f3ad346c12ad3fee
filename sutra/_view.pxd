cimport numpy as cnp
from libc.stdint cimport uint32_t

from sutra._c.store cimport sutra_concept, sutra_store_view


cdef class ViewCore:
    cdef sutra_store_view *view
    cdef object owner  # keeps the store from being freed
    cdef long process  # that began the view
    cdef Py_ssize_t users  # calls in flight
    cdef bint ended
    cdef Py_ssize_t count
    cdef readonly object lsn
    cdef readonly uint32_t dim
    cdef readonly str metric

    cdef int enter(self) except -1
    cdef int leave(self) except -1
    cdef object id_of(self, uint32_t concept)
    cdef sutra_concept *read_raw(self, cnp.ndarray slots, cnp.ndarray concepts) except NULL

# Take over a view that was begun; metric is the store's.
cdef ViewCore wrap(sutra_store_view *view, object owner, str metric)
