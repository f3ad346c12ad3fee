# SPDX-License-Identifier: Apache-2.0
"""From status codes of the C core to exceptions: the only place that knows both.

Positive codes are errno values and become the OSError that the interpreter picks for them
(FileNotFoundError, PermissionError, ...). Negative codes are looked up in one table; the
sentence comes from the core and is made particular by the fault and the path.
"""

import os

from libc.stdint cimport int64_t, uint64_t

from sutra._c.status cimport (
    SUTRA_E_ARGUMENT,
    SUTRA_E_BUSY,
    SUTRA_E_CANCELLED,
    SUTRA_E_CAPACITY,
    SUTRA_E_CLOSED,
    SUTRA_E_CONFIG,
    SUTRA_E_CORRUPT,
    SUTRA_E_DIMENSION,
    SUTRA_E_DUPLICATE_ID,
    SUTRA_E_DURABILITY,
    SUTRA_E_FORKED,
    SUTRA_E_GRAPH_ID,
    SUTRA_E_GRAPH_LEVEL,
    SUTRA_E_GRAPH_REACH,
    SUTRA_E_GRAPH_SELF,
    SUTRA_E_GRAPH_SUFFIX,
    SUTRA_E_LOCKED,
    SUTRA_E_NEGATIVE_ID,
    SUTRA_E_NO_MEMORY,
    SUTRA_E_NOT_FOUND,
    SUTRA_E_NOT_INDEX,
    SUTRA_E_NOT_STORE,
    SUTRA_E_READ_ONLY,
    SUTRA_E_TRUNCATED,
    SUTRA_E_VECTOR,
    SUTRA_E_VERSION,
    SUTRA_FAULT_NONE,
    SUTRA_OK,
    sutra_fault,
    sutra_strerror,
)

from sutra.errors import (
    CapacityError,
    ClosedError,
    ConfigError,
    CorruptError,
    DimensionError,
    DuplicateIdError,
    DurabilityError,
    FormatVersionError,
    InvalidVectorError,
    LockedError,
    NotFoundError,
    ReadOnlyError,
    SutraError,
)

cdef dict EXCEPTIONS = {
    SUTRA_E_ARGUMENT: ConfigError,
    SUTRA_E_DIMENSION: DimensionError,
    SUTRA_E_VECTOR: InvalidVectorError,
    SUTRA_E_DUPLICATE_ID: DuplicateIdError,
    SUTRA_E_NEGATIVE_ID: ConfigError,
    SUTRA_E_NOT_FOUND: NotFoundError,
    SUTRA_E_CONFIG: ConfigError,
    SUTRA_E_NO_MEMORY: MemoryError,
    SUTRA_E_CAPACITY: CapacityError,
    SUTRA_E_CLOSED: ClosedError,
    SUTRA_E_BUSY: BufferError,
    SUTRA_E_CANCELLED: SutraError,
    SUTRA_E_FORKED: ClosedError,
    SUTRA_E_LOCKED: LockedError,
    SUTRA_E_READ_ONLY: ReadOnlyError,
    SUTRA_E_DURABILITY: DurabilityError,
    SUTRA_E_CORRUPT: CorruptError,
    SUTRA_E_VERSION: FormatVersionError,
    SUTRA_E_TRUNCATED: CorruptError,
    SUTRA_E_NOT_INDEX: CorruptError,
    SUTRA_E_NOT_STORE: CorruptError,
    SUTRA_E_GRAPH_ID: CorruptError,
    SUTRA_E_GRAPH_SELF: CorruptError,
    SUTRA_E_GRAPH_SUFFIX: CorruptError,
    SUTRA_E_GRAPH_LEVEL: CorruptError,
    SUTRA_E_GRAPH_REACH: CorruptError,
}


cdef object _path_text(object path):
    return None if path is None else os.fsdecode(path)


cdef str _sentence(int status, const sutra_fault *fault, object path, object what):
    """`<path>: <what>: <sentence> (<where>; expected <a>, found <b>)`, as far as known."""
    text = sutra_strerror(status).decode("ascii")
    if what is not None:
        text = f"{what}: {text}"
    if path is not None:
        text = f"{path}: {text}"
    notes = []
    where = []
    if fault.what != NULL:
        where.append(fault.what.decode("utf-8", "replace"))
    if fault.row >= 0:
        where.append(f"row {fault.row}")
    if fault.offset >= 0:
        where.append(f"byte {fault.offset}")
    if where:
        notes.append(", ".join(where))
    if status == SUTRA_E_DUPLICATE_ID or status == SUTRA_E_NEGATIVE_ID:
        if fault.row >= 0 or fault.found != 0:
            notes.append(f"id {<int64_t> fault.found}")
    elif fault.expected != fault.found:
        notes.append(f"expected {fault.expected}, found {fault.found}")
    if notes:
        text = f"{text} ({'; '.join(notes)})"
    return text


cdef object _exception(int status, const sutra_fault *fault, object path, object what):
    path = _path_text(path)
    if status > 0:
        text = os.strerror(status)
        if what is not None:
            text = f"{text} ({what})"
        return OSError(status, text) if path is None else OSError(status, text, path)
    kind = EXCEPTIONS.get(status, SutraError)
    text = _sentence(status, fault, path, what)
    if kind is CorruptError:
        return CorruptError(text, path=path, offset=fault.offset if fault.offset >= 0 else None)
    if kind is FormatVersionError:
        return FormatVersionError(text, path=path, version=fault.found)
    if kind is InvalidVectorError:
        return InvalidVectorError(text, row=fault.row if fault.row >= 0 else None)
    if kind is DuplicateIdError:
        known = fault.row >= 0 or fault.found != 0
        return DuplicateIdError(text, id=<int64_t> fault.found if known else None)
    return kind(text)


cdef int check(int status, object path=None) except -1:
    """Return 0 for success, or raise the exception of the status."""
    cdef sutra_fault none
    if status == SUTRA_OK:
        return 0
    none = SUTRA_FAULT_NONE
    raise _exception(status, &none, path, None)


cdef int check_fault(
    int status, const sutra_fault *fault, object path=None, object what=None
) except -1:
    """Return 0 for success, or raise the exception of the status with the fault's details."""
    if status == SUTRA_OK:
        return 0
    raise _exception(status, fault, path, what)


def _raise_status(
    int status,
    *,
    path=None,
    what=None,
    int64_t row=-1,
    int64_t offset=-1,
    uint64_t expected=0,
    uint64_t found=0,
    bytes part=None,
):
    """Raise what `check_fault` raises: the door through which tests reach the table."""
    cdef sutra_fault fault
    fault.row = row
    fault.offset = offset
    fault.expected = expected
    fault.found = found
    fault.what = NULL
    if part is not None:
        fault.what = part
    check_fault(status, &fault, path, what)
