# SPDX-License-Identifier: Apache-2.0
"""Float32 vectors that never move.

Every call takes a counted reference to the core's object, so that `close` on another thread
frees nothing that is in use; exported views are counted apart, because their users hold raw
pointers and are told by BufferError.
"""

import operator

cimport cython
from cpython.buffer cimport (
    PyBUF_ANY_CONTIGUOUS,
    PyBUF_C_CONTIGUOUS,
    PyBUF_F_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBUF_ND,
    PyBUF_STRIDES,
    PyBUF_WRITABLE,
)
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t

from sutra._c.status cimport SUTRA_E_ARGUMENT, SUTRA_FAULT_NONE, sutra_fault
from sutra._c.vectors cimport (
    sutra_vectors,
    sutra_vectors_append,
    sutra_vectors_count,
    sutra_vectors_drop,
    sutra_vectors_gather,
    sutra_vectors_hold,
    sutra_vectors_new,
    sutra_vectors_rows,
    sutra_vectors_stride,
)
from sutra._check cimport check, check_fault
from sutra._kernels cimport chosen_kernels

import numpy as np

cimport numpy as cnp

from sutra._arrays import as_row_numbers, as_rows, check_dim
from sutra.errors import ClosedError

cnp.import_array()


@cython.final
cdef class VectorStore:
    """Hold float32 vectors in one plane of memory that grows without ever moving.

    Rows are appended and never changed. The store lends its rows through the buffer protocol as
    a read-only (n, dim) array of float32: ``numpy.asarray(store)`` copies nothing.

    Parameters
    ----------
    dim : int
        Length of the vectors, 1 to 16,384.

    Raises
    ------
    ConfigError
        If `dim` is not in that range.
    MemoryError
        If the system refuses the address space.

    See Also
    --------
    HnswGraph : Search over the vectors of a store.

    Notes
    -----
    A row takes ``4 * dim`` bytes rounded up to 16. Address space is reserved at once, memory is
    taken as rows come.

    Thread safety: all methods may be called from any thread. Appends run one after the other
    with the GIL released; readers never wait for them and see whole rows only.

    Examples
    --------
    >>> from sutra import VectorStore
    >>> store = VectorStore(2)
    >>> store.append([[1, 2], [3, 4]])
    0
    >>> store.append([5, 6])
    2
    >>> store.view(1).tolist()
    [[3.0, 4.0], [5.0, 6.0]]
    >>> store.gather([2, 0]).tolist()
    [[5.0, 6.0], [1.0, 2.0]]
    """

    def __cinit__(self, dim):
        self.dim = check_dim(dim)
        check(sutra_vectors_new(chosen_kernels(), self.dim, &self.vectors))

    def __dealloc__(self):
        sutra_vectors_drop(self.vectors)

    cdef sutra_vectors *hold(self) except NULL:
        with cython.critical_section(self):
            if self.vectors == NULL:
                raise ClosedError("the store is closed")
            sutra_vectors_hold(self.vectors)
            return self.vectors

    def append(self, vectors):
        """Append vectors.

        Parameters
        ----------
        vectors : (n, dim) or (dim,) array-like of float16, float32, float64 or integers
            Any strides; converted to float32 once.

        Returns
        -------
        int
            Row number of the first; the others follow.

        Raises
        ------
        DimensionError, DTypeError
            If shape or element type do not fit.
        InvalidVectorError
            If a vector holds NaN, infinity or a value beyond float32; `row` says which.
        CapacityError, MemoryError
            If there is no room.
        ClosedError
            If the store is closed.

        Notes
        -----
        All or nothing. Views taken before stay valid and keep their length.
        """
        cdef cnp.ndarray rows = as_rows(vectors, self.dim, "vectors")
        cdef const float *data = <const float *> cnp.PyArray_DATA(rows)
        cdef size_t count = rows.shape[0]
        cdef size_t first = 0
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        cdef sutra_vectors *held = self.hold()

        with nogil:
            status = sutra_vectors_append(held, data, self.dim, count, &first, &fault)
            sutra_vectors_drop(held)

        check_fault(status, &fault, None, "vectors")
        return first

    def gather(self, rows):
        """Copy rows, in the order given.

        Parameters
        ----------
        rows : (n,) array-like of int
            Row numbers from 0 to ``len(store) - 1``, repeats allowed.

        Returns
        -------
        (n, dim) array of float32

        Raises
        ------
        IndexError
            If a number is negative or there is no such row. Nothing is copied then.
        DimensionError, DTypeError
            If `rows` is not one-dimensional, or not of integers.
        ClosedError
            If the store is closed.
        """
        cdef cnp.ndarray numbers = as_row_numbers(rows)
        cdef const int64_t *wanted = <const int64_t *> cnp.PyArray_DATA(numbers)
        cdef cnp.npy_intp shape[2]
        cdef cnp.ndarray out
        cdef float *data
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        cdef sutra_vectors *held
        shape[0] = numbers.shape[0]
        shape[1] = self.dim
        out = cnp.PyArray_EMPTY(2, shape, cnp.NPY_FLOAT32, 0)
        data = <float *> cnp.PyArray_DATA(out)

        held = self.hold()
        # Rows may have to come back from swap.
        with nogil:
            status = sutra_vectors_gather(held, wanted, shape[0], data, &fault)
            sutra_vectors_drop(held)

        if status == SUTRA_E_ARGUMENT:
            raise IndexError(
                f"rows[{fault.row}] is {<int64_t> fault.found}: the store has rows 0 to "
                f"{<int64_t> fault.expected - 1}" if fault.expected else "the store has no rows"
            )
        check_fault(status, &fault)
        return out

    def view(self, start=0, stop=None):
        """Return rows without a copy.

        Parameters
        ----------
        start : int, default 0
            First row.
        stop : int, optional
            One past the last row; by default all rows there are now.

        Returns
        -------
        (stop - start, dim) array of float32
            Read-only; rows are contiguous, and 16-byte aligned, so the row stride may exceed
            ``4 * dim`` bytes. It keeps the memory alive and stays valid while the store grows.

        Raises
        ------
        IndexError
            If not ``0 <= start <= stop <= len(store)``.
        ClosedError
            If the store is closed.
        """
        array = np.asarray(memoryview(self))
        first = operator.index(start)
        end = len(array) if stop is None else operator.index(stop)
        if not 0 <= first <= end <= len(array):
            raise IndexError(f"rows {first} to {end}: the store has {len(array)}")
        return array[first:end]

    def close(self):
        """Let go of the memory. Closing a closed store does nothing.

        A graph over the store, and calls in flight, keep the memory until they are done.

        Raises
        ------
        BufferError
            If views are in use.
        """
        cdef sutra_vectors *vectors = NULL
        with cython.critical_section(self):
            if self.exports > 0:
                raise BufferError(f"cannot close the store: {self.exports} views are in use")
            vectors = self.vectors
            self.vectors = NULL
        with nogil:
            sutra_vectors_drop(vectors)

    @property
    @cython.critical_section
    def closed(self):
        """Whether `close` was called."""
        return self.vectors == NULL

    @property
    def nbytes(self):
        """Size of the rows in bytes, each rounded up to 16."""
        cdef sutra_vectors *held = self.hold()
        cdef size_t rows = sutra_vectors_count(held)
        cdef size_t stride = sutra_vectors_stride(held)
        sutra_vectors_drop(held)
        return rows * stride * sizeof(float)

    def __len__(self):
        cdef sutra_vectors *held = self.hold()
        cdef size_t rows = sutra_vectors_count(held)
        sutra_vectors_drop(held)
        return rows

    def __enter__(self):
        sutra_vectors_drop(self.hold())
        return self

    def __exit__(self, *exc_info):
        self.close()

    def __reduce__(self):
        raise TypeError("a VectorStore cannot be pickled or copied: save its rows with NumPy")

    def __repr__(self):
        if self.closed:
            return f"<sutra.VectorStore, closed, dim {self.dim}>"
        return f"<sutra.VectorStore {len(self):,} vectors, dim {self.dim}>"

    def __getbuffer__(self, Py_buffer *view, int flags):
        cdef Py_ssize_t *layout  # shape, then strides
        cdef bint contiguous
        if flags & PyBUF_WRITABLE:
            raise BufferError("the rows of a store are read-only")
        if (flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS:
            raise BufferError("the rows of a store are not in Fortran order")
        layout = <Py_ssize_t *> PyMem_Malloc(4 * sizeof(Py_ssize_t))
        if layout == NULL:
            raise MemoryError
        try:
            with cython.critical_section(self):
                if self.vectors == NULL:
                    raise ClosedError("the store is closed")
                layout[0] = sutra_vectors_count(self.vectors)
                layout[1] = self.dim
                layout[2] = sutra_vectors_stride(self.vectors) * sizeof(float)
                layout[3] = sizeof(float)
                contiguous = layout[0] <= 1 or layout[2] == layout[1] * layout[3]
                if not contiguous and (
                    (flags & PyBUF_STRIDES) != PyBUF_STRIDES
                    or (flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS
                    or (flags & PyBUF_ANY_CONTIGUOUS) == PyBUF_ANY_CONTIGUOUS
                ):
                    raise BufferError("the rows of this store are strided: ask for strides")
                view.buf = <void *> sutra_vectors_rows(self.vectors)
                self.exports += 1
        except BaseException:
            PyMem_Free(layout)
            raise
        view.obj = self
        view.len = layout[0] * layout[1] * layout[3]
        view.readonly = True
        view.itemsize = layout[3]
        view.format = NULL
        if flags & PyBUF_FORMAT:
            view.format = b"f"
        view.ndim = 2
        view.shape = layout if flags & PyBUF_ND else NULL
        view.strides = layout + 2 if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
        view.suboffsets = NULL
        view.internal = layout

    def __releasebuffer__(self, Py_buffer *view):
        PyMem_Free(view.internal)
        with cython.critical_section(self):
            self.exports -= 1
