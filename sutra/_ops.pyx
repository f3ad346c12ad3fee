# SPDX-License-Identifier: Apache-2.0
"""From Python's ids, texts and arrays to the operations of `csrc/store/ops.h`.

An `Operation` owns or refers to everything that its struct points to, and copies what a caller
could change later; strings and bytes cannot change and are pointed into. One pass a sequence,
without a Python call for an item.
"""

import operator

cimport cython
cimport numpy as cnp
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from sutra._c.associations cimport SUTRA_KIND_BYTES_MAX
from sutra._c.concepts cimport SUTRA_TEXT_ID_BYTES_MAX
from sutra._c.io_table cimport sutra_io_posix
from sutra._c.ops cimport (
    SUTRA_ABSENT_BYTES,
    SUTRA_OP_DELETE,
    SUTRA_OP_LINK,
    SUTRA_OP_PUT,
    SUTRA_OP_TOUCH,
    SUTRA_OP_UNLINK,
)

import numpy as np

from sutra.errors import CapacityError, ConfigError, DimensionError

cnp.import_array()

cdef object KINDS_MAX = 65535


@cython.final
cdef class Ids:
    """Ids of one call: a number, a text, or a sequence of them.

    Parameters
    ----------
    given : int, str, or sequence or array of them
        Copied where it could change.
    name : str
        What to call them in errors.

    Raises
    ------
    TypeError
        For anything that is no id: bool, float, bytes, None.
    ConfigError
        For negative numbers, numbers of 2**63 or more, texts that are empty, longer than 1,024
        bytes in UTF-8, or hold half of a surrogate pair.
    DimensionError
        For arrays of more dimensions than one.
    """

    def __cinit__(self, given, str name="ids"):
        if isinstance(given, np.ndarray) and given.ndim:
            if given.ndim != 1:
                raise DimensionError(
                    f"{name}: expected one dimension, not shape {given.shape}"
                )
            if given.dtype.kind in "iu":
                self.take_numbers(given, name)
                return
            if given.dtype.kind not in "OUT" and given.size:
                raise TypeError(f"{name}: expected integers or text, not {given.dtype}")
            self.items = tuple(given.tolist())
        elif isinstance(given, str) or hasattr(given, "__index__"):
            self.one = True
            self.items = (given,)
        elif isinstance(given, (bytes, bytearray, memoryview)):
            raise TypeError(f"{name}: expected int or str, not {type(given).__name__}")
        else:
            try:
                self.items = tuple(given)
            except TypeError:
                raise TypeError(
                    f"{name}: expected int, str, or a sequence of them, not "
                    f"{type(given).__name__}"
                ) from None
        self.pack(name)

    def __dealloc__(self):
        PyMem_Free(self.texts)
        PyMem_Free(self.text_bytes)

    def take_numbers(self, given, str name):
        """Copy an array of integers."""
        if given.dtype == np.uint64 and given.size and int(given.max()) >= 2**63:
            raise ConfigError(f"{name}: expected values below 2**63")
        numbers = np.array(given, dtype=np.int64, order="C")
        if numbers.size and int(numbers.min()) < 0:
            row = int(np.argmax(numbers < 0))
            raise ConfigError(f"{name}: row {row} is {numbers[row]}, expected 0 to 2**63 - 1")
        self.numbers = numbers
        self.ids.count = <size_t> numbers.shape[0]
        self.ids.numbers = <const int64_t *> cnp.PyArray_DATA(self.numbers)

    cdef int pack(self, str name) except -1:
        cdef Py_ssize_t count = len(self.items), row, size = 0
        cdef cnp.npy_intp length = count
        cdef int64_t *numbers
        cdef int64_t number
        cdef int overflow = 0
        cdef const char *text
        self.numbers = cnp.PyArray_ZEROS(1, &length, cnp.NPY_INT64, 0)
        numbers = <int64_t *> cnp.PyArray_DATA(self.numbers)
        for row in range(count):
            item = self.items[row]
            if PyLong_CheckExact(item):
                pass
            elif isinstance(item, str):
                if self.texts == NULL:
                    self.texts = <const char **> PyMem_Calloc(<size_t> count, sizeof(char *))
                    self.text_bytes = <uint32_t *> PyMem_Calloc(<size_t> count, sizeof(uint32_t))
                    if self.texts == NULL or self.text_bytes == NULL:
                        raise MemoryError
                try:
                    text = PyUnicode_AsUTF8AndSize(item, &size)
                except UnicodeEncodeError as error:
                    raise ConfigError(f"{name}: row {row} is no valid text ({error})") from None
                if not 1 <= size <= <Py_ssize_t> SUTRA_TEXT_ID_BYTES_MAX:
                    raise ConfigError(
                        f"{name}: row {row} has {size} bytes in UTF-8, expected 1 to "
                        f"{SUTRA_TEXT_ID_BYTES_MAX}"
                    )
                self.texts[row] = text
                self.text_bytes[row] = <uint32_t> size
                continue
            elif isinstance(item, (bool, np.bool_)) or not hasattr(item, "__index__"):
                raise TypeError(
                    f"{name}: row {row}: expected int or str, not {type(item).__name__}"
                )
            else:
                item = operator.index(item)
            number = PyLong_AsLongLongAndOverflow(item, &overflow)
            if overflow != 0 or number < 0:
                raise ConfigError(f"{name}: row {row} is {item}, expected 0 to 2**63 - 1")
            numbers[row] = number
        self.ids.count = <size_t> count
        self.ids.numbers = numbers
        if self.texts != NULL:
            self.ids.texts = self.texts
            self.ids.text_bytes = self.text_bytes
        else:
            self.items = None
        return 0

    def __len__(self):
        return <Py_ssize_t> self.ids.count

    def name(self, Py_ssize_t row):
        """Return one id: int or str; None for a row that is not there."""
        if not 0 <= row < <Py_ssize_t> self.ids.count:
            return None
        if self.texts != NULL and self.texts[row] != NULL:
            return str(self.items[row])
        return self.ids.numbers[row]

    def array(self):
        """Return a new array: int64 if all are numbers, else of objects."""
        cdef Py_ssize_t row, count = <Py_ssize_t> self.ids.count
        if self.texts == NULL:
            return np.array(self.numbers)
        names = np.empty(count, dtype=object)
        for row in range(count):
            names[row] = self.name(row)
        return names

    def repeated(self, Py_ssize_t count):
        """Return the single id, `count` times."""
        if self.texts == NULL:
            return Ids(np.full(count, self.ids.numbers[0], dtype=np.int64))
        return Ids(self.items * count)


@cython.final
cdef class Operation:
    """One write, ready for the core. Made by the functions below."""

    def __cinit__(self):
        memset(&self.op, 0, sizeof(self.op))
        self.kept = []

    def __dealloc__(self):
        cdef int block
        for block in range(self.block_count):
            PyMem_Free(self.blocks[block])

    cdef void *allocate(self, size_t bytes_each) except NULL:
        cdef void *block = PyMem_Calloc(<size_t> max(self.count, 1), bytes_each)
        if block == NULL:
            raise MemoryError
        self.blocks[self.block_count] = block
        self.block_count += 1
        return block

    @property
    def unassigned(self):
        """Whether the store gives the ids."""
        return self.op.kind == SUTRA_OP_PUT and self.ids is None

    @property
    def puts(self):
        """Whether it adds concepts, or replaces some."""
        return self.op.kind == SUTRA_OP_PUT

    @property
    def chooses(self):
        """Whether it deletes what is looked up when it is done."""
        return self.op.kind == SUTRA_OP_DELETE and self.op.ids.where != NULL

    def assign(self, int64_t first):
        """Give the concepts the ids first, first + 1, ..."""
        self.ids = Ids(np.arange(first, first + self.count, dtype=np.int64))
        self.op.put.ids = self.ids.ids

    def put_ids(self, int64_t first):
        """Return the ids of what was put, of which the first was assigned; else no ids."""
        if self.op.kind != SUTRA_OP_PUT:
            return np.empty(0, dtype=np.int64)
        if self.ids is None:
            return np.arange(first, first + self.count, dtype=np.int64)
        return self.ids.array()

    def id_of(self, Py_ssize_t row, bint target):
        """Return the id that an error names."""
        cdef Ids ids = self.targets if target and self.targets is not None else self.ids
        return None if ids is None else ids.name(row)

    cdef int pack_contents(self, tuple contents) except -1:
        cdef const uint8_t **starts = <const uint8_t **> self.allocate(sizeof(uint8_t *))
        cdef uint32_t *sizes = <uint32_t *> self.allocate(sizeof(uint32_t))
        cdef uint8_t *is_bytes = <uint8_t *> self.allocate(1)
        cdef Py_ssize_t row, size = 0
        for row in range(self.count):
            item = contents[row]
            if isinstance(item, str):
                try:
                    starts[row] = <const uint8_t *> PyUnicode_AsUTF8AndSize(item, &size)
                except UnicodeEncodeError as error:
                    raise ConfigError(f"contents: row {row} is no valid text ({error})") from None
            elif isinstance(item, bytes):
                starts[row] = <const uint8_t *> PyBytes_AS_STRING(item)
                size = PyBytes_GET_SIZE(item)
                is_bytes[row] = 1
            elif item is None:
                continue
            else:
                raise TypeError(
                    f"contents: row {row}: expected str, bytes or None, not {type(item).__name__}"
                )
            if size >= <Py_ssize_t> SUTRA_ABSENT_BYTES:
                raise CapacityError(f"contents: row {row} has {size} bytes")
            sizes[row] = <uint32_t> size
        self.op.put.contents = starts
        self.op.put.content_bytes = sizes
        self.op.put.content_is_bytes = is_bytes
        self.kept.append(contents)
        return 0

    cdef int pack_metadata(self, tuple metadata) except -1:
        cdef const uint8_t **starts = <const uint8_t **> self.allocate(sizeof(uint8_t *))
        cdef uint32_t *sizes = <uint32_t *> self.allocate(sizeof(uint32_t))
        cdef Py_ssize_t row
        for row in range(self.count):
            item = metadata[row]
            if item is None:
                continue
            starts[row] = <const uint8_t *> PyBytes_AS_STRING(item)
            if PyBytes_GET_SIZE(item) >= <Py_ssize_t> SUTRA_ABSENT_BYTES:
                raise CapacityError(f"metadata: row {row} has {PyBytes_GET_SIZE(item)} bytes")
            sizes[row] = <uint32_t> PyBytes_GET_SIZE(item)
        self.op.put.metadata = starts
        self.op.put.metadata_bytes = sizes
        self.kept.append(metadata)
        return 0

    cdef int pack_kinds(self, object kinds) except -1:
        """A name for all, or a name for each edge; None: every kind."""
        cdef dict numbers = {}
        cdef uint16_t *chosen
        cdef const char **names
        cdef uint32_t *sizes
        cdef Py_ssize_t row, size = 0
        cdef tuple given
        if kinds is None:
            return 0
        if isinstance(kinds, str):
            numbers[kinds] = 0
        else:
            given = tuple(kinds)
            if len(given) != self.count:
                raise ConfigError(f"kind: expected one, or {self.count}, not {len(given)}")
            chosen = <uint16_t *> self.allocate(sizeof(uint16_t))
            for row in range(self.count):
                item = given[row]
                number = numbers.get(item) if isinstance(item, str) else None
                if number is None:
                    if not isinstance(item, str):
                        raise TypeError(
                            f"kind: row {row}: expected str, not {type(item).__name__}"
                        )
                    if len(numbers) == KINDS_MAX:
                        raise CapacityError(f"kind: more than {KINDS_MAX} different ones")
                    number = numbers[item] = len(numbers)
                chosen[row] = number
            self.op.link.kinds = chosen
        names = <const char **> PyMem_Calloc(<size_t> max(len(numbers), 1), sizeof(char *))
        sizes = <uint32_t *> PyMem_Calloc(<size_t> max(len(numbers), 1), sizeof(uint32_t))
        self.blocks[self.block_count] = names
        self.blocks[self.block_count + 1] = sizes
        self.block_count += 2
        if names == NULL or sizes == NULL:
            raise MemoryError
        for name, number in numbers.items():
            try:
                names[<size_t> number] = PyUnicode_AsUTF8AndSize(name, &size)
            except UnicodeEncodeError as error:
                raise ConfigError(f"kind={name!r} is no valid text ({error})") from None
            if not 1 <= size <= <Py_ssize_t> SUTRA_KIND_BYTES_MAX:
                raise ConfigError(
                    f"kind: a name of {size} bytes in UTF-8, expected 1 to {SUTRA_KIND_BYTES_MAX}"
                )
            sizes[<size_t> number] = <uint32_t> size
        self.op.link.kind_names = names
        self.op.link.kind_bytes = sizes
        self.op.link.kind_count = <size_t> len(numbers)
        self.kept.append(numbers)
        return 0


cdef int64_t now_ns() noexcept:
    return sutra_io_posix.now_ns(sutra_io_posix.context)


def put_operation(
    bint replace, Ids ids, Py_ssize_t count, cnp.ndarray rows, cnp.ndarray has_vector,
    tuple contents, tuple metadata, cnp.ndarray strengths, cnp.ndarray confidences
):
    """Return the operation that adds or replaces `count` concepts.

    Everything fits already: rows are contiguous float32 that nobody else changes, `has_vector`
    uint8 for each concept, contents and metadata (bytes) tuples of that length, or None.
    """
    cdef Operation operation = Operation.__new__(Operation)
    operation.count = count
    operation.ids = ids
    operation.op.kind = SUTRA_OP_PUT
    operation.op.put.replace = replace
    operation.op.put.time_ns = now_ns()
    if ids is not None:
        operation.op.put.ids = ids.ids
    operation.op.put.ids.count = <size_t> count
    if rows is not None:
        operation.op.put.dim = <uint32_t> rows.shape[1]
        operation.op.put.stride = <size_t> rows.shape[1]
        operation.op.put.vectors = <const float *> cnp.PyArray_DATA(rows)
        operation.kept.append(rows)
    if has_vector is not None:
        operation.op.put.has_vector = <const uint8_t *> cnp.PyArray_DATA(has_vector)
        operation.kept.append(has_vector)
    if contents is not None:
        operation.pack_contents(contents)
    if metadata is not None:
        operation.pack_metadata(metadata)
    operation.op.put.strengths = <const float *> cnp.PyArray_DATA(strengths)
    operation.op.put.strength_step = strengths.shape[0] > 1
    operation.op.put.confidences = <const float *> cnp.PyArray_DATA(confidences)
    operation.op.put.confidence_step = confidences.shape[0] > 1
    operation.kept.append((strengths, confidences))
    return operation


def ids_operation(Ids ids, bint touch):
    """Return the operation that deletes, or touches."""
    cdef Operation operation = Operation.__new__(Operation)
    operation.count = len(ids)
    operation.ids = ids
    operation.op.kind = SUTRA_OP_TOUCH if touch else SUTRA_OP_DELETE
    operation.op.ids.ids = ids.ids
    operation.op.ids.time_ns = now_ns()
    return operation


def link_operation(
    Ids sources, Ids targets, kinds, cnp.ndarray weights, cnp.ndarray confidences, bint remove
):
    """Return the operation that links, or unlinks; sources and targets are equally many."""
    cdef Operation operation = Operation.__new__(Operation)
    operation.count = len(sources)
    operation.ids = sources
    operation.targets = targets
    operation.op.kind = SUTRA_OP_UNLINK if remove else SUTRA_OP_LINK
    operation.op.link.sources = sources.ids
    operation.op.link.targets = targets.ids
    operation.op.link.time_ns = now_ns()
    operation.pack_kinds(kinds)
    operation.op.link.weights = <const float *> cnp.PyArray_DATA(weights)
    operation.op.link.weight_step = weights.shape[0] > 1
    operation.op.link.confidences = <const float *> cnp.PyArray_DATA(confidences)
    operation.op.link.confidence_step = confidences.shape[0] > 1
    operation.kept.append((weights, confidences))
    return operation
