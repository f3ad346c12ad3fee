# SPDX-License-Identifier: Apache-2.0
"""The kernel table, chosen once at import, and its one-query-to-many-rows functions.

`SUTRA_ISA` in the environment caps the tier; a name that is unknown or that this CPU cannot run
raises ImportError. The GIL is kept: a call takes microseconds.
"""

import os

from libc.math cimport sqrtf
from libc.stdint cimport int8_t, int32_t, uint8_t, uint32_t

from sutra._c.kernels cimport (
    SUTRA_TIER_COUNT,
    sutra_kernels,
    sutra_kernels_select,
    sutra_many_f32_fn,
    sutra_many_u8_fn,
    sutra_many_u8s8_fn,
    sutra_tier_best,
    sutra_tier_compiled,
    sutra_tier_from_name,
    sutra_tier_name,
    sutra_tier_supported,
)
from sutra._c.platform cimport (
    SUTRA_THP_ALWAYS,
    SUTRA_THP_MADVISE,
    SUTRA_THP_NEVER,
    sutra_platform,
    sutra_platform_read,
)
from sutra._check cimport check

import numpy as np

cimport numpy as cnp

from sutra.errors import ConfigError, DimensionError, DTypeError

cnp.import_array()

cdef sutra_kernels table
cdef int tier


cdef const sutra_kernels *chosen_kernels() noexcept nogil:
    return &table


cdef list _tiers(bint supported):
    return [
        sutra_tier_name(number).decode()
        for number in range(SUTRA_TIER_COUNT)
        if (sutra_tier_supported(number) if supported else sutra_tier_compiled(number))
    ]


cdef int _choose() except -1:
    global tier
    wanted = os.environ.get("SUTRA_ISA", "")
    tier = sutra_tier_best()
    if wanted:
        tier = sutra_tier_from_name(wanted.encode())
        if tier < 0 or not sutra_tier_supported(tier):
            raise ImportError(
                f"SUTRA_ISA={wanted!r}: not a tier that this machine can run; "
                f"it can run {', '.join(_tiers(True))}"
            )
    return check(sutra_kernels_select(tier, &table))


_choose()


def tiers():
    """Return the tiers compiled into this build, those this CPU can run, and the chosen one."""
    return {
        "compiled": _tiers(False),
        "supported": _tiers(True),
        "chosen": sutra_tier_name(tier).decode(),
    }


def machine():
    """Return page size, caches, huge pages, cores and memory, read now."""
    cdef sutra_platform read
    sutra_platform_read(&read)
    return {
        "page_bytes": read.page_bytes,
        "cache_line_bytes": read.cache_line_bytes,
        "cache_bytes": {"l1d": read.l1d_bytes, "l2": read.l2_bytes, "l3": read.l3_bytes},
        "huge_pages": {
            SUTRA_THP_NEVER: "never", SUTRA_THP_MADVISE: "madvise", SUTRA_THP_ALWAYS: "always",
        }.get(read.thp_mode, "unknown"),
        "cores": read.cores_usable,
        "memory_bytes": {
            "total": read.memory_total_bytes, "available": read.memory_available_bytes,
        },
    }


# ---- one query to many rows

cdef cnp.ndarray _checked_array(object array, int type_number, int dimensions, str name):
    cdef cnp.ndarray found
    if not cnp.PyArray_Check(array):
        raise DTypeError(f"{name}: expected a NumPy array, not {type(array).__name__}")
    found = array
    if cnp.PyArray_TYPE(found) != type_number:
        raise DTypeError(
            f"{name}: expected {cnp.PyArray_DescrFromType(type_number)}, not {found.dtype}"
        )
    if cnp.PyArray_NDIM(found) != dimensions:
        raise DimensionError(
            f"{name}: expected {dimensions} dimensions, not {cnp.PyArray_NDIM(found)}"
        )
    if not cnp.PyArray_ISBEHAVED_RO(found):
        raise DTypeError(f"{name}: expected aligned elements in native byte order")
    return found


cdef class _Call:
    """A checked call: pointers, sizes and the output."""

    cdef const void *query
    cdef const void *rows
    cdef size_t stride, count, dim
    cdef cnp.ndarray out

    def __cinit__(self, query, rows, out, int query_type, int row_type, int out_type,
                  int query_per_row):
        cdef cnp.ndarray q = _checked_array(query, query_type, 1, "query")
        cdef cnp.ndarray r = _checked_array(rows, row_type, 2, "rows")
        cdef size_t item = cnp.PyArray_ITEMSIZE(r)
        self.dim = r.shape[1]
        self.count = r.shape[0]
        if <size_t> q.shape[0] != query_per_row * self.dim:
            raise DimensionError(
                f"query has {q.shape[0]} elements, rows of {r.shape[1]} need "
                f"{query_per_row * self.dim}"
            )
        if q.strides[0] != cnp.PyArray_ITEMSIZE(q) and q.shape[0] > 1:
            raise DimensionError("query: elements must be contiguous")
        if self.count > 0 and self.dim > 1 and r.strides[1] != <Py_ssize_t> item:
            raise DimensionError("rows: the elements of a row must be contiguous")
        if self.count > 1 and (r.strides[0] < 0 or r.strides[0] % <Py_ssize_t> item):
            raise DimensionError("rows: the row stride must be a positive multiple of the element")
        self.stride = r.strides[0] // item if self.count > 1 else self.dim
        self.query = cnp.PyArray_DATA(q)
        self.rows = cnp.PyArray_DATA(r)
        if out is None:
            out = cnp.PyArray_EMPTY(1, <cnp.npy_intp *> &self.count, out_type, 0)
        self.out = _checked_array(out, out_type, 1, "out")
        if <size_t> self.out.shape[0] != self.count:
            raise DimensionError(f"out has {self.out.shape[0]} elements for {self.count} rows")
        if not cnp.PyArray_ISCARRAY(self.out):
            raise DimensionError("out: must be contiguous and writable")


cdef object _many_f32(sutra_many_f32_fn kernel, query, rows, out):
    cdef _Call call = _Call(query, rows, out, cnp.NPY_FLOAT32, cnp.NPY_FLOAT32, cnp.NPY_FLOAT32, 1)
    kernel(<const float *> call.query, <const float *> call.rows, call.stride, call.count,
           call.dim, <float *> cnp.PyArray_DATA(call.out))
    return call.out


cdef object _many_u8(sutra_many_u8_fn kernel, query, rows, out):
    cdef _Call call = _Call(query, rows, out, cnp.NPY_UINT8, cnp.NPY_UINT8, cnp.NPY_UINT32, 1)
    kernel(<const uint8_t *> call.query, <const uint8_t *> call.rows, call.stride, call.count,
           call.dim, <uint32_t *> cnp.PyArray_DATA(call.out))
    return call.out


cdef object _many_s8(sutra_many_u8s8_fn kernel, query, rows, out, int query_per_row):
    cdef _Call call = _Call(query, rows, out, cnp.NPY_INT8, cnp.NPY_UINT8, cnp.NPY_INT32,
                            query_per_row)
    kernel(<const int8_t *> call.query, <const uint8_t *> call.rows, call.stride, call.count,
           call.dim, <int32_t *> cnp.PyArray_DATA(call.out))
    return call.out


def dot_f32(query, rows, out=None):
    """Inner products of one float32 vector with every row.

    Parameters
    ----------
    query : (d,) array of float32
    rows : (n, d) array of float32
        The elements of a row must be contiguous; rows may be strided.
    out : (n,) array of float32, optional
        Where to write.

    Returns
    -------
    (n,) array of float32

    Raises
    ------
    DTypeError, DimensionError
        If an array is of another type or shape.
    """
    return _many_f32(table.dot_f32_many, query, rows, out)


def l2sq_f32(query, rows, out=None):
    """Squared Euclidean distances of one float32 vector to every row; see `dot_f32`."""
    return _many_f32(table.l2sq_f32_many, query, rows, out)


def cosine_f32(query, rows, out=None):
    """Cosine distances, 1 - cos, of one float32 vector to every row; see `dot_f32`.

    A zero vector lies at distance 1 from everything.
    """
    cdef _Call call = _Call(query, rows, out, cnp.NPY_FLOAT32, cnp.NPY_FLOAT32, cnp.NPY_FLOAT32, 1)
    cdef const float *q = <const float *> call.query
    cdef float square = table.dot_f32(q, q, call.dim)
    table.cosine_f32_many(q, 1.0 / sqrtf(square) if square > 0 else 0.0, <const float *> call.rows,
                          call.stride, call.count, call.dim, <float *> cnp.PyArray_DATA(call.out))
    return call.out


def l2sq_u8(query, rows, out=None):
    """Squared Euclidean distances of byte vectors: uint8 to uint32, exact, d <= 33,000."""
    return _many_u8(table.l2sq_u8_many, query, rows, out)


def l2sq_u7(query, rows, out=None):
    """Squared Euclidean distances of 7-bit codes: `l2sq_u8` for values up to 127, faster.

    The values are not checked; above 127 the result is unspecified.
    """
    return _many_u8(table.l2sq_u7_many, query, rows, out)


def dot_u8s8(query, rows, out=None):
    """Inner products of an int8 query with uint8 rows: int32, exact.

    Either every |query| is at most 64 (checked) or every row value at most 127 (not checked; the
    caller says so by passing larger query values).
    """
    return _many_s8(table.dot_u8s8_many, query, rows, out, 1)


def dot_code4(query, rows, out=None):
    """Inner products of an int8 query (-127 to 127) with rows of packed 4-bit codes.

    Parameters
    ----------
    query : (2 b,) array of int8
    rows : (n, b) array of uint8
        b is a multiple of 32; the byte j of a block of 32 holds dimension j of the block's 64 in
        its low and dimension 32 + j in its high nibble.
    out : (n,) array of int32, optional

    Returns
    -------
    (n,) array of int32
    """
    if isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.shape[1] % 32:
        raise ConfigError(f"rows of {rows.shape[1]} bytes: packed codes come in blocks of 32")
    return _many_s8(table.dot_code4_many, query, rows, out, 2)
