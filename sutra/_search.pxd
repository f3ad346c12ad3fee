# SPDX-License-Identifier: Apache-2.0
cimport cython
cimport numpy as cnp

from sutra._c.index cimport sutra_id_set, sutra_plan, sutra_search


@cython.final
cdef class SearchResult:
    cdef readonly cnp.ndarray ids
    cdef readonly cnp.ndarray distances


cdef class IdSets:
    cdef sutra_id_set *sets
    cdef size_t step
    cdef list kept

    cdef void apply(self, sutra_search *search) noexcept


cdef class Plans:
    cdef sutra_plan *plans
    cdef size_t count
