# SPDX-License-Identifier: Apache-2.0
"""What searches take and give besides vectors: filters, plans, results."""

cimport cython
cimport numpy as cnp
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport int64_t, uint8_t

from sutra._c.index cimport (
    SUTRA_PLAN_CODE_SCAN,
    SUTRA_PLAN_FILTER_WALK,
    SUTRA_PLAN_SCAN,
    SUTRA_PLAN_WALK,
    sutra_id_set,
    sutra_plan,
    sutra_search,
)

cnp.import_array()

cdef dict PLANS = {
    SUTRA_PLAN_SCAN: "scan",
    SUTRA_PLAN_WALK: "walk",
    SUTRA_PLAN_CODE_SCAN: "code scan",
    SUTRA_PLAN_FILTER_WALK: "filtered walk",
}


@cython.final
cdef class SearchResult:
    """What a search found: `ids` and `distances`, nearest first.

    Unpacks as ``ids, distances = result``. Attributes are read-only; the arrays are the caller's.

    Attributes
    ----------
    ids : (k,) or (q, k) array of int64
        -1 where fewer than k vectors exist.
    distances : (k,) or (q, k) array of float32
        Ascending; infinity where `ids` is -1.
    """

    @staticmethod
    def of(cnp.ndarray ids not None, cnp.ndarray distances not None):
        """Return a result with these arrays."""
        cdef SearchResult result = SearchResult.__new__(SearchResult)
        result.ids = ids
        result.distances = distances
        return result

    def __len__(self):
        return 2

    def __getitem__(self, item):
        return (self.ids, self.distances)[item]

    def __iter__(self):
        return iter((self.ids, self.distances))

    def __repr__(self):
        return f"SearchResult(ids={self.ids!r}, distances={self.distances!r})"


cdef class IdSets:
    """One filter for all queries, or one for each.

    Contiguous arrays of one dimension: uint8 for a bitmap, int64 for ids.
    """

    def __cinit__(self, list filters not None):
        cdef cnp.ndarray array
        cdef Py_ssize_t at
        self.kept = filters
        self.step = 1 if len(filters) > 1 else 0
        self.sets = <sutra_id_set *> PyMem_Calloc(len(filters) + 1, sizeof(sutra_id_set))
        if self.sets == NULL:
            raise MemoryError
        for at in range(len(filters)):
            array = filters[at]
            if cnp.PyArray_TYPE(array) == cnp.NPY_UINT8:
                self.sets[at].bits = <const uint8_t *> cnp.PyArray_DATA(array)
                self.sets[at].bit_count = 8 * array.shape[0]
            else:
                self.sets[at].ids = <const int64_t *> cnp.PyArray_DATA(array)
                self.sets[at].id_count = array.shape[0]

    def __dealloc__(self):
        PyMem_Free(self.sets)

    def some(self, list queries not None):
        """Return the sets of some of the queries, by their positions."""
        if not self.step:
            return self
        return IdSets([self.kept[at] for at in queries])

    cdef void apply(self, sutra_search *search) noexcept:
        search.sets = self.sets
        search.set_step = self.step


cdef class Plans:
    """How each of some queries was answered."""

    def __cinit__(self, size_t count):
        self.count = count
        self.plans = <sutra_plan *> PyMem_Calloc(count + 1, sizeof(sutra_plan))
        if self.plans == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.plans)

    def rows(self):
        """Return (kind, passing, looked, gave up, doubtful) of each."""
        cdef size_t at
        return [
            (PLANS[self.plans[at].kind], self.plans[at].passing, self.plans[at].looked,
             bool(self.plans[at].gave_up), bool(self.plans[at].doubtful))
            for at in range(self.count)
        ]
