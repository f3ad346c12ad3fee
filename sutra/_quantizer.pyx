# SPDX-License-Identifier: Apache-2.0
"""Scalar quantization of float vectors to 8 or 4 bits a dimension.

A fitted quantizer of the core never changes. `fit` makes a new one and puts it in place of the
old, and every call keeps the one it started with alive, so no call waits for another.
"""

import math

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sutra._c.quantizer cimport (
    SUTRA_CORRECTION_FLOATS,
    SUTRA_QUANT_STEP,
    sutra_quantizer_decode_many,
    sutra_quantizer_deinit,
    sutra_quantizer_encode_many,
    sutra_quantizer_fit_many,
    sutra_quantizer_init,
    sutra_quantizer_pack,
    sutra_quantizer_packed_bytes,
    sutra_quantizer_row_bytes,
    sutra_quantizer_unpack,
)
from sutra._c.status cimport SUTRA_FAULT_NONE, sutra_fault
from sutra._check cimport check, check_fault
from sutra._kernels cimport chosen_kernels

import numpy as np

cimport numpy as cnp

from sutra._arrays import DIM_MAX as _DIM_MAX
from sutra._arrays import as_rows, check_count, check_dim
from sutra.errors import ConfigError, DimensionError, DTypeError

cnp.import_array()


cdef cnp.ndarray plane_of(object plane, object dtype, str name):
    array = np.asarray(plane)
    if array.dtype != dtype:
        raise DTypeError(f"{name}: expected {np.dtype(dtype)}, not {array.dtype}")
    if array.ndim != 2:
        raise DimensionError(f"{name}: expected two dimensions, not {array.ndim}")
    return np.ascontiguousarray(array)


@cython.final
cdef class Codes:
    """The codes of n vectors: what `ScalarQuantizer.encode` returns and `decode` takes.

    Parameters
    ----------
    high : (n, b) array of uint8
        High nibbles: two dimensions a byte in blocks of 32 bytes for 64 dimensions; byte j of a
        block holds dimension j in its low and dimension 32 + j in its high half. b is ``dim / 2``
        rounded up to 32.
    low : (n, b) array of uint8, or None
        Low nibbles in the same order; None for 4-bit codes.
    corrections : (n, 2) array of float32
        The squared length of the rotated and centred vector, and the factor that corrects an
        inner product with the high plane for the length that coding loses.

    Raises
    ------
    DTypeError, DimensionError
        If an array is of another type or shape.

    Notes
    -----
    The attributes are read-only, the arrays are not; anything may be stored and put together
    again. Slicing gives the codes of some vectors, sharing memory.
    """

    def __cinit__(self, high, low, corrections):
        self.high = plane_of(high, np.uint8, "high")
        self.low = None if low is None else plane_of(low, np.uint8, "low")
        self.corrections = plane_of(corrections, np.float32, "corrections")
        rows = self.high.shape[0]
        if self.low is not None and (<object> self.high).shape != self.low.shape:
            raise DimensionError(
                f"low: expected shape {(<object> self.high).shape}, not {self.low.shape}"
            )
        if (self.corrections.shape[0] != rows
                or self.corrections.shape[1] != SUTRA_CORRECTION_FLOATS):
            raise DimensionError(
                f"corrections: expected shape {(rows, SUTRA_CORRECTION_FLOATS)}, not "
                f"{(<object> self.corrections).shape}"
            )

    def __len__(self):
        return self.high.shape[0]

    def __getitem__(self, rows):
        if not isinstance(rows, slice):
            raise TypeError("Codes take slices: codes[first:stop]")
        return Codes(
            self.high[rows], None if self.low is None else self.low[rows], self.corrections[rows]
        )

    @property
    def nbytes(self):
        """Size of the arrays in bytes."""
        return self.high.nbytes + self.corrections.nbytes + (
            0 if self.low is None else self.low.nbytes
        )

    def __reduce__(self):
        return Codes, (self.high, self.low, self.corrections)

    def __repr__(self):
        bits = 4 if self.low is None else 8
        return f"<sutra.Codes of {len(self):,} vectors, {bits} bits a dimension>"


@cython.final
cdef class _Fitted:
    def __dealloc__(self):
        sutra_quantizer_deinit(&self.core)


@cython.final
cdef class ScalarQuantizer:
    """Code float vectors in 8 or 4 bits a dimension, whatever the data looks like.

    A vector is centred, rotated by a fixed random rotation, and measured in units of its own
    scale (its root mean square coordinate). Each coordinate then falls into one of 256 equal
    cells of [-3.6, 3.6]; what lies outside goes into the end cells. The high nibble of a cell
    number is a code of its own with 16 wider cells: that is what 4 bits keep, and what a graph
    walk reads of 8.

    Parameters
    ----------
    dim : int
        Length of the vectors, 1 to 16,384.
    bits : {8, 4}
        Both nibbles, or the high one alone.
    seed : int, default 0
        Of the rotation. The same seed and data give the same codes on every machine up to the
        rounding of the mean and the lengths.

    Raises
    ------
    ConfigError
        If a value is not allowed.

    See Also
    --------
    Index : Uses this on its own account.

    Notes
    -----
    A vector takes ``dim * bits / 8`` bytes, dim rounded up to 64, and 8 bytes of corrections.
    Coding takes O(d log d) a vector; the GIL is released, and all methods may be called from
    any thread.

    References
    ----------
    .. [1] Gao and Long, "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error
       Bound for Approximate Nearest Neighbor Search", 2024: the rotation, and the correction of
       the estimate. We code every coordinate in equal cells instead of one bit.

    Examples
    --------
    >>> import numpy as np
    >>> from sutra import ScalarQuantizer
    >>> vectors = np.random.default_rng(0).normal(size=(100, 64)).astype(np.float32)
    >>> quantizer = ScalarQuantizer(64).fit(vectors)
    >>> codes = quantizer.encode(vectors)
    >>> codes.high.shape, codes.corrections.shape
    ((100, 32), (100, 2))
    >>> bool(np.abs(quantizer.decode(codes) - vectors).max() < 0.5)
    True
    """

    def __cinit__(self, dim, *, bits=8, seed=0):
        self.dim = check_dim(dim)
        self.bits = check_count(bits, "bits", 1, 8)
        if self.bits != 4 and self.bits != 8:
            raise ConfigError(f"bits={bits}: expected 8 or 4")
        self.seed = check_count(seed, "seed", 0, 2**64 - 1)

    @cython.critical_section
    cdef _Fitted require_fitted(self):
        if self.current is None:
            raise ConfigError("the quantizer is not fitted: call fit(vectors) first")
        return self.current

    def fit(self, vectors):
        """Learn the mean of the data.

        Parameters
        ----------
        vectors : (n, dim) or (dim,) array-like of float16, float32, float64 or integers
            A sample, n >= 1; at most 32,768 rows, evenly spaced, are used.

        Returns
        -------
        ScalarQuantizer
            Itself.

        Raises
        ------
        DimensionError, DTypeError
            If shape or element type do not fit, or there is no row.
        InvalidVectorError
            If a row holds NaN or infinity, or is too long for its squared length to be a
            float32; `row` says which. The quantizer is then as before.
        MemoryError
            If there is no room.

        Notes
        -----
        Fitting again replaces the mean: codes made before can then no longer be decoded.
        """
        cdef cnp.ndarray rows = as_rows(vectors, self.dim, "vectors")
        cdef const float *data = <const float *> cnp.PyArray_DATA(rows)
        cdef size_t count = rows.shape[0]
        cdef _Fitted fitted = _Fitted()
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        if count == 0:
            raise DimensionError("vectors: expected at least one row to fit to")

        check(sutra_quantizer_init(&fitted.core, self.dim, self.seed))
        with nogil:
            status = sutra_quantizer_fit_many(
                &fitted.core, chosen_kernels(), data, self.dim, count, &fault
            )

        check_fault(status, &fault, None, "vectors")
        with cython.critical_section(self):
            self.current = fitted
        return self

    def encode(self, vectors):
        """Code vectors.

        Parameters
        ----------
        vectors : (n, dim) or (dim,) array-like of float16, float32, float64 or integers
            Need not be those fitted to. One vector is one row.

        Returns
        -------
        Codes

        Raises
        ------
        ConfigError
            If the quantizer is not fitted.
        DimensionError, DTypeError
            If shape or element type do not fit.
        InvalidVectorError
            If a row holds NaN or infinity, or is too long for its squared length to be a
            float32; `row` says which.
        MemoryError
            If there is no room.
        """
        cdef _Fitted fitted = self.require_fitted()
        cdef cnp.ndarray rows = as_rows(vectors, self.dim, "vectors")
        cdef const float *data = <const float *> cnp.PyArray_DATA(rows)
        cdef size_t count = rows.shape[0]
        cdef cnp.npy_intp shape[2]
        cdef cnp.ndarray high, corrections, low = None
        cdef uint8_t *high_data
        cdef uint8_t *low_data = NULL
        cdef float *correction_data
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        shape[0] = count
        shape[1] = fitted.core.row_bytes
        high = cnp.PyArray_EMPTY(2, shape, cnp.NPY_UINT8, 0)
        high_data = <uint8_t *> cnp.PyArray_DATA(high)
        if self.bits == 8:
            low = cnp.PyArray_EMPTY(2, shape, cnp.NPY_UINT8, 0)
            low_data = <uint8_t *> cnp.PyArray_DATA(low)
        shape[1] = SUTRA_CORRECTION_FLOATS
        corrections = cnp.PyArray_EMPTY(2, shape, cnp.NPY_FLOAT32, 0)
        correction_data = <float *> cnp.PyArray_DATA(corrections)

        with nogil:
            status = sutra_quantizer_encode_many(
                &fitted.core, chosen_kernels(), data, self.dim, count, high_data, low_data,
                correction_data, &fault,
            )

        check_fault(status, &fault, None, "vectors")
        return Codes(high, low, corrections)

    def decode(self, codes):
        """Return the vectors that codes stand for.

        Parameters
        ----------
        codes : Codes
            Of a quantizer with this mean and rotation. 8-bit codes may be cut to 4 bits by
            leaving out the low plane; `bits` does not matter here.

        Returns
        -------
        (n, dim) array of float32
            See `error_bound` for how far from the vectors encoded.

        Raises
        ------
        ConfigError
            If the quantizer is not fitted.
        DimensionError
            If the codes are of vectors of another length.
        TypeError
            If `codes` is something else.
        MemoryError
            If there is no room.
        """
        cdef _Fitted fitted = self.require_fitted()
        cdef Codes given
        cdef cnp.npy_intp shape[2]
        cdef cnp.ndarray out
        cdef const uint8_t *high
        cdef const uint8_t *low = NULL
        cdef const float *corrections
        cdef float *data
        cdef int status
        if not isinstance(codes, Codes):
            raise TypeError(f"codes: expected Codes, not {type(codes).__name__}")
        given = codes
        if given.high.shape[1] != fitted.core.row_bytes:
            raise DimensionError(
                f"codes: expected rows of {fitted.core.row_bytes} bytes, not {given.high.shape[1]}"
            )
        shape[0] = given.high.shape[0]
        shape[1] = self.dim
        out = cnp.PyArray_EMPTY(2, shape, cnp.NPY_FLOAT32, 0)
        data = <float *> cnp.PyArray_DATA(out)
        high = <const uint8_t *> cnp.PyArray_DATA(given.high)
        corrections = <const float *> cnp.PyArray_DATA(given.corrections)
        if given.low is not None:
            low = <const uint8_t *> cnp.PyArray_DATA(given.low)

        with nogil:
            status = sutra_quantizer_decode_many(
                &fitted.core, chosen_kernels(), high, low, corrections, shape[0], data
            )

        check(status)
        return out

    def to_bytes(self):
        """Return the fitted quantizer as bytes: versioned, checksummed, little-endian.

        Returns
        -------
        bytes
            36 bytes and about ``4.5 * dim``; layout in `csrc/quant/batch.h`.

        Raises
        ------
        ConfigError
            If the quantizer is not fitted.
        """
        cdef _Fitted fitted = self.require_fitted()
        cdef bytes out = PyBytes_FromStringAndSize(NULL, sutra_quantizer_packed_bytes(self.dim))
        sutra_quantizer_pack(
            &fitted.core, self.bits, self.seed, <uint8_t *> PyBytes_AS_STRING(out)
        )
        return out

    @classmethod
    def from_bytes(cls, data):
        """Return the quantizer that `to_bytes` described.

        Parameters
        ----------
        data : bytes-like

        Returns
        -------
        ScalarQuantizer
            Fitted; it codes exactly as the original.

        Raises
        ------
        CorruptError
            If the bytes are damaged, too few or too many, or not of a quantizer; `offset` says
            where.
        FormatVersionError
            If a newer version wrote them.
        TypeError
            If `data` is not bytes-like.
        """
        cdef Py_buffer view
        cdef _Fitted fitted = _Fitted()
        cdef ScalarQuantizer quantizer
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef uint32_t bits = 0, dim_max = _DIM_MAX
        cdef uint64_t seed = 0
        cdef int status
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        status = sutra_quantizer_unpack(
            <const uint8_t *> view.buf, view.len, dim_max, &fitted.core, &bits, &seed, &fault
        )
        PyBuffer_Release(&view)
        check_fault(status, &fault)

        quantizer = cls(fitted.core.dim, bits=bits, seed=seed)
        quantizer.current = fitted
        return quantizer

    @property
    @cython.critical_section
    def fitted(self):
        """Whether `fit` was called."""
        return self.current is not None

    @property
    def row_bytes(self):
        """Bytes of a vector in one plane: `dim` rounded up to 64, halved."""
        return sutra_quantizer_row_bytes(self.dim)

    @property
    def step(self):
        """Width of a cell, in root mean square coordinates of the vector: 6.5 / 2**bits."""
        return SUTRA_QUANT_STEP * (1 if self.bits == 8 else 16)

    @property
    def error_bound(self):
        """Largest error of a decoded vector, over its distance from the mean.

        It holds for ``|x - decode(encode(x))| / |x - mean|`` if no rotated coordinate exceeds
        3.6 times their root mean square, up to float rounding: half a cell in every
        coordinate, after which the length is restored. For dim <= 8 that is always so. In
        higher dimensions about one coordinate in 900 exceeds it, by little, and the error over
        all of a vector stays near 0.58 of the bound as a rule.
        """
        half = self.step / 2
        return math.sqrt(2 - 2 * math.sqrt(1 - half * half))

    def __reduce__(self):
        if self.fitted:
            return ScalarQuantizer.from_bytes, (self.to_bytes(),)
        raise TypeError("a ScalarQuantizer cannot be pickled before it is fitted")

    def __repr__(self):
        state = "fitted" if self.fitted else "not fitted"
        return f"<sutra.ScalarQuantizer, dim {self.dim}, {self.bits} bits, {state}>"
