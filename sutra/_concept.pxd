from sutra._c.concepts cimport sutra_record


cdef class Concept:
    cdef readonly object id
    cdef readonly object vector
    cdef readonly object content
    cdef object raw  # metadata as JSON; None if there is none
    cdef object parsed
    cdef sutra_record kept  # of it: times, strength, confidence, reference count
