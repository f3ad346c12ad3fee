# SPDX-License-Identifier: Apache-2.0
"""Views of a store: finding, reading and searching at one state.

Calls in flight are counted: a view that is ended meanwhile ends after the last of them. Results
are copies and outlive the view.
"""

cimport cython
cimport numpy as cnp
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset
from posix.unistd cimport getpid

from sutra._c.concepts cimport SUTRA_NO_SLOT, SUTRA_RECORD_CONTENT_BYTES, sutra_record
from sutra._c.index cimport sutra_search
from sutra._c.predicate cimport (
    SUTRA_FIELD_BOOL,
    SUTRA_FIELD_DATETIME,
    SUTRA_FIELD_FLOAT,
    SUTRA_FIELD_INT,
    SUTRA_FIELD_STR,
)
from sutra._c.status cimport SUTRA_E_NOT_FOUND, SUTRA_FAULT_NONE, SUTRA_OK, sutra_fault
from sutra._c.store cimport (
    sutra_concept,
    sutra_store_dim,
    sutra_store_fields,
    sutra_store_find,
    sutra_store_id,
    sutra_store_numbers,
    sutra_store_read,
    sutra_store_records,
    sutra_store_scan,
    sutra_store_search,
    sutra_store_vector,
    sutra_store_view,
    sutra_store_view_count,
    sutra_store_view_end,
    sutra_store_view_lsn,
    sutra_store_where,
)
from sutra._check cimport check, check_fault
from sutra._concept cimport Concept
from sutra._ops cimport Ids
from sutra._predicate cimport Predicate
from sutra._search cimport IdSets, Plans

import numpy as np

from sutra.errors import ClosedError

cnp.import_array()

FIELD_TYPES = {
    SUTRA_FIELD_INT: "int", SUTRA_FIELD_FLOAT: "float", SUTRA_FIELD_BOOL: "bool",
    SUTRA_FIELD_STR: "str", SUTRA_FIELD_DATETIME: "datetime",
}
RECORD_DTYPE = np.dtype([
    ("found", "?"), ("reference_count", "u4"), ("created", "M8[ns]"), ("accessed", "M8[ns]"),
    ("strength", "f4"), ("confidence", "f4"),
], align=True)


cdef packed struct record_row:  # RECORD_DTYPE, which is aligned without gaps but the first
    uint8_t found
    uint8_t gap[3]
    uint32_t reference_count
    int64_t created
    int64_t accessed
    float strength
    float confidence


cdef ViewCore wrap(sutra_store_view *view, object owner, str metric):
    cdef ViewCore core
    try:
        core = ViewCore.__new__(ViewCore)
    except BaseException:
        sutra_store_view_end(view)
        raise
    core.view = view
    core.owner = owner
    core.process = getpid()
    core.metric = metric
    core.lsn = sutra_store_view_lsn(view)
    core.dim = sutra_store_dim(view)
    core.count = <Py_ssize_t> sutra_store_view_count(view)
    return core


cdef inline cnp.ndarray empty(Py_ssize_t count, int kind):
    cdef cnp.npy_intp length = count
    return cnp.PyArray_EMPTY(1, &length, kind, 0)


cdef inline uint32_t *words(cnp.ndarray array) noexcept:
    return <uint32_t *> cnp.PyArray_DATA(array)


cdef int read_many(
    const sutra_store_view *view, const uint32_t *slots, const uint32_t *concepts, size_t count,
    sutra_concept *out
) noexcept nogil:
    """Read, and have contents that are still on disk brought to memory."""
    cdef size_t row
    cdef uint32_t at
    cdef uint8_t seen = 0
    cdef int status = SUTRA_OK
    for row in range(count):
        if slots[row] == <uint32_t> SUTRA_NO_SLOT:
            continue
        status = sutra_store_read(view, concepts[row], slots[row], &out[row])
        if status != SUTRA_OK:
            break
        for at in range(0, out[row].content_bytes, 4096):
            seen ^= (<const volatile uint8_t *> out[row].content)[at]
    return status


cdef object text_of(const char *text, uint32_t size):
    return PyUnicode_DecodeUTF8(text, <Py_ssize_t> size, NULL)


cdef object content_of(const sutra_concept *concept):
    cdef const char *content = <const char *> concept.content
    if content == NULL:
        return None
    if concept.record.flags & <uint32_t> SUTRA_RECORD_CONTENT_BYTES:
        return PyBytes_FromStringAndSize(content, <Py_ssize_t> concept.content_bytes)
    return text_of(content, concept.content_bytes)


cdef object metadata_of(const sutra_concept *concept):
    cdef const char *metadata = <const char *> concept.metadata
    if metadata == NULL:
        return None
    return PyBytes_FromStringAndSize(metadata, <Py_ssize_t> concept.metadata_bytes)


@cython.final
cdef class ViewCore:
    """A state of a store. See `sutra.view` for what its methods are for."""

    def __dealloc__(self):
        # In a forked child the view's place is the parent's business.
        if self.view != NULL and getpid() == self.process:
            sutra_store_view_end(self.view)

    def __reduce__(self):
        raise TypeError("a view cannot be pickled: begin one where it is needed")

    cdef int enter(self) except -1:
        if getpid() != self.process:
            raise ClosedError("the view was begun before a fork: open the store in the child")
        with cython.critical_section(self):
            if self.view == NULL or self.ended:
                raise ClosedError("the view has ended")
            self.users += 1
        return 0

    cdef int leave(self) except -1:
        cdef sutra_store_view *view = NULL
        with cython.critical_section(self):
            self.users -= 1
            if self.ended and self.users == 0:
                view = self.view
                self.view = NULL
        if view != NULL:
            with nogil:
                sutra_store_view_end(view)
        return 0

    def end(self):
        """End the view, now or with the last call in flight."""
        if getpid() != self.process:
            return
        with cython.critical_section(self):
            self.ended = True
            self.users += 1
        self.leave()

    def check(self):
        """Raise ClosedError if the view has ended."""
        self.enter()
        self.leave()

    def __len__(self):
        return self.count

    cdef object id_of(self, uint32_t concept):
        cdef int64_t number = 0
        cdef const char *text = NULL
        cdef uint32_t size = 0
        check(sutra_store_id(self.view, concept, &number, &text, &size))
        return number if text == NULL else text_of(text, size)

    def ids_of(self, cnp.ndarray concepts):
        """Return the ids of concept numbers: int64 if all are numbers, else of objects."""
        cdef Py_ssize_t row, count = concepts.shape[0]
        cdef cnp.ndarray ids = empty(count, cnp.NPY_INT64)
        cdef int64_t *out = <int64_t *> cnp.PyArray_DATA(ids)
        cdef const char *text = NULL
        cdef uint32_t size = 0
        self.enter()
        try:
            for row in range(count):
                check(sutra_store_id(self.view, words(concepts)[row], &out[row], &text, &size))
                if text != NULL:
                    break
            else:
                return ids
            names = np.empty(count, dtype=object)
            for row in range(count):
                names[row] = self.id_of(words(concepts)[row])
            return names
        finally:
            self.leave()

    def find(self, Ids ids):
        """Return the slots and the concept numbers of ids."""
        cdef cnp.ndarray slots = empty(len(ids), cnp.NPY_UINT32)
        cdef cnp.ndarray concepts = empty(len(ids), cnp.NPY_UINT32)
        cdef uint32_t *slots_out = words(slots)
        cdef uint32_t *concepts_out = words(concepts)
        cdef int status
        self.enter()
        try:
            with nogil:
                status = sutra_store_find(self.view, &ids.ids, slots_out, concepts_out)
            check(status)
        finally:
            self.leave()
        return slots, concepts

    def scan(self, size_t start, size_t limit):
        """Return slots and concept numbers from a number on, `limit` at most, and the next."""
        cdef cnp.ndarray slots = empty(<Py_ssize_t> limit, cnp.NPY_UINT32)
        cdef cnp.ndarray concepts = empty(<Py_ssize_t> limit, cnp.NPY_UINT32)
        cdef uint32_t *slots_out = words(slots)
        cdef uint32_t *concepts_out = words(concepts)
        cdef size_t count = 0
        cdef int status
        self.enter()
        try:
            with nogil:
                status = sutra_store_scan(
                    self.view, &start, limit, slots_out, concepts_out, &count)
            check(status)
        finally:
            self.leave()
        return slots[:count], concepts[:count], start

    def fields(self):
        """Return (path, type) of the declared fields, in the order they were declared."""
        cdef uint8_t *block = NULL
        cdef const uint8_t *at
        cdef size_t size = 0, count = 0, _row
        cdef int status
        cdef list out = []
        self.enter()
        try:
            with nogil:
                status = sutra_store_fields(self.view, &block, &size, &count)
            check(status)
            at = block
            for _row in range(count):
                out.append((text_of(<const char *> at + 2, at[1]), FIELD_TYPES[at[0]]))
                at += 2 + at[1]
        finally:
            free(block)
            self.leave()
        return out

    def where(self, Predicate predicate not None):
        """Return the concepts that a predicate is true of: a bitmap of their numbers.

        An array of uint8 that a search takes as a set; the lowest bit of a byte comes first.
        """
        cdef size_t limit, count = 0
        cdef cnp.ndarray bits
        cdef uint64_t *out
        cdef int status
        self.enter()
        try:
            limit = sutra_store_numbers(self.view)
            bits = empty(<Py_ssize_t> (limit // 64 + (limit % 64 != 0)), cnp.NPY_UINT64)
            out = <uint64_t *> cnp.PyArray_DATA(bits)
            with nogil:
                status = sutra_store_where(
                    self.view, predicate.predicate, limit, out, &count)
            check(status)
        finally:
            self.leave()
        return bits.view(np.uint8)

    cdef sutra_concept *read_raw(self, cnp.ndarray slots, cnp.ndarray concepts) except NULL:
        cdef size_t count = <size_t> slots.shape[0]
        cdef const uint32_t *slot_numbers = words(slots)
        cdef const uint32_t *concept_numbers = words(concepts)
        cdef int status
        cdef sutra_concept *found = <sutra_concept *> PyMem_Calloc(
            count + 1, sizeof(sutra_concept))
        if found == NULL:
            raise MemoryError
        with nogil:
            status = read_many(self.view, slot_numbers, concept_numbers, count, found)
        if status != SUTRA_OK:
            PyMem_Free(found)
            check(status)
        return found

    def read(self, cnp.ndarray slots, cnp.ndarray concepts, bint vectors):
        """Return the concepts; None for slots that are none."""
        cdef sutra_concept *found = NULL
        cdef sutra_concept *one
        cdef Concept concept
        cdef cnp.ndarray vector
        cdef Py_ssize_t row
        cdef list out = []
        self.enter()
        try:
            found = self.read_raw(slots, concepts)
            for row in range(slots.shape[0]):
                if words(slots)[row] == <uint32_t> SUTRA_NO_SLOT:
                    out.append(None)
                    continue
                one = &found[row]
                concept = Concept.__new__(Concept)
                if vectors and one.has_vector:
                    vector = empty(self.dim, cnp.NPY_FLOAT32)
                    check(sutra_store_vector(
                        self.view, words(slots)[row], <float *> cnp.PyArray_DATA(vector)))
                    concept.vector = vector
                if one.text == NULL:
                    concept.id = one.record.id
                else:
                    concept.id = text_of(one.text, one.text_bytes)
                concept.content = content_of(one)
                concept.raw = metadata_of(one)
                concept.kept = one.record
                out.append(concept)
        finally:
            PyMem_Free(found)
            self.leave()
        return out

    def read_contents(self, cnp.ndarray slots, cnp.ndarray concepts):
        """Return contents and metadata (as JSON) of slots that are visible."""
        cdef sutra_concept *found = NULL
        cdef Py_ssize_t row
        cdef list contents = [], metadata = []
        self.enter()
        try:
            found = self.read_raw(slots, concepts)
            for row in range(slots.shape[0]):
                contents.append(content_of(&found[row]))
                metadata.append(metadata_of(&found[row]))
        finally:
            PyMem_Free(found)
            self.leave()
        return contents, metadata

    def vectors(self, cnp.ndarray slots):
        """Return the vectors of slots that are visible, and which of the slots have one."""
        cdef size_t row, kept = 0, dim = self.dim, count = <size_t> slots.shape[0]
        cdef cnp.npy_intp[2] shape = [<cnp.npy_intp> count, <cnp.npy_intp> dim]
        cdef cnp.ndarray rows = cnp.PyArray_EMPTY(2, shape, cnp.NPY_FLOAT32, 0)
        cdef cnp.ndarray having = cnp.PyArray_ZEROS(1, shape, cnp.NPY_BOOL, 0)
        cdef const uint32_t *wanted = words(slots)
        cdef float *out = <float *> cnp.PyArray_DATA(rows)
        cdef uint8_t *marks = <uint8_t *> cnp.PyArray_DATA(having)
        cdef int status = SUTRA_OK
        self.enter()
        try:
            with nogil:
                for row in range(count):
                    status = sutra_store_vector(self.view, wanted[row], out + kept * dim)
                    if status == SUTRA_OK:
                        marks[row] = 1
                        kept += 1
                    elif status != SUTRA_E_NOT_FOUND:
                        break
            check(SUTRA_OK if status == SUTRA_E_NOT_FOUND else status)
        finally:
            self.leave()
        return rows[:kept], having

    def records(self, Ids ids):
        """Return an array of RECORD_DTYPE."""
        cdef cnp.ndarray slots, concepts, out = np.zeros(len(ids), dtype=RECORD_DTYPE)
        cdef record_row *rows = <record_row *> cnp.PyArray_DATA(out)
        cdef const uint32_t *slot_numbers
        cdef const uint32_t *concept_numbers
        cdef size_t row, count = <size_t> len(ids)
        cdef sutra_record *records
        cdef int status = SUTRA_OK
        slots, concepts = self.find(ids)
        slot_numbers = words(slots)
        concept_numbers = words(concepts)
        records = <sutra_record *> malloc((count + 1) * sizeof(sutra_record))
        if records == NULL:
            raise MemoryError
        self.enter()
        try:
            with nogil:
                status = sutra_store_records(
                    self.view, concept_numbers, slot_numbers, count, records)
                for row in range(count):
                    if slot_numbers[row] == <uint32_t> SUTRA_NO_SLOT:
                        continue
                    rows[row].found = 1
                    rows[row].reference_count = records[row].reference_count
                    rows[row].created = records[row].created_ns
                    rows[row].accessed = records[row].accessed_ns
                    rows[row].strength = records[row].strength
                    rows[row].confidence = records[row].confidence
            check(status)
        finally:
            self.leave()
            free(records)
        return out

    def search(self, cnp.ndarray queries, size_t k, size_t ef, bint exact, unsigned threads,
               IdSets sets=None, Plans plans=None, cnp.ndarray without=None):
        """Return for each query, a row, what was found: best first, not padded.

        A list of (ids, distances, scores, slots, concept numbers), an array each. Sets are bitmaps
        of concept numbers; plans has room for one a query; without: slots that the walks do
        without, a contiguous int64 for each.
        """
        cdef size_t count = <size_t> queries.shape[0]
        cdef Py_ssize_t query, found, width = <Py_ssize_t> k
        cdef cnp.ndarray slots = empty(<Py_ssize_t> count * width, cnp.NPY_UINT32)
        cdef cnp.ndarray concepts = empty(<Py_ssize_t> count * width, cnp.NPY_UINT32)
        cdef cnp.ndarray distances = empty(<Py_ssize_t> count * width, cnp.NPY_FLOAT32)
        cdef uint32_t *slots_out = words(slots)
        cdef uint32_t *concepts_out = words(concepts)
        cdef float *distances_out = <float *> cnp.PyArray_DATA(distances)
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef sutra_search search
        cdef int status
        cdef list out = []
        memset(&search, 0, sizeof(search))
        search.queries = <const float *> cnp.PyArray_DATA(queries)
        search.stride = self.dim
        search.count = count
        search.k = k
        search.ef = ef
        search.exact = exact
        search.threads = threads
        if sets is not None:
            sets.apply(&search)
        if plans is not None:
            search.plans_out = plans.plans
        if without is not None:
            search.without = <const int64_t *> cnp.PyArray_DATA(without)
        self.enter()
        try:
            with nogil:
                status = sutra_store_search(
                    self.view, &search, slots_out, concepts_out, distances_out, &fault)
            check_fault(status, &fault, None, "search")
        finally:
            self.leave()
        for query in range(<Py_ssize_t> count):
            found = 0
            while found < width and slots_out[query * width + found] != <uint32_t> SUTRA_NO_SLOT:
                found += 1
            part = slice(query * width, query * width + found)
            near, numbers = distances[part], concepts[part]
            out.append((self.ids_of(numbers), near, self.scores(near), slots[part], numbers))
        return out

    def scores(self, cnp.ndarray distances):
        """Return scores, higher for better, of contiguous distances."""
        cdef Py_ssize_t row, count = distances.shape[0]
        cdef cnp.ndarray out = empty(count, cnp.NPY_FLOAT32)
        cdef float *scores = <float *> cnp.PyArray_DATA(out)
        cdef const float *given = <const float *> cnp.PyArray_DATA(distances)
        if self.metric == "cosine":
            for row in range(count):
                scores[row] = 1.0 - given[row]
        elif self.metric == "ip":
            for row in range(count):
                scores[row] = -given[row]
        else:
            for row in range(count):
                scores[row] = 1.0 / (1.0 + given[row])
        return out
