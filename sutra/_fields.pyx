# SPDX-License-Identifier: Apache-2.0
"""The operations that declare a field of the metadata, and drop one."""

from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint32_t

from sutra._c.ops cimport SUTRA_OP_FIELD
from sutra._c.predicate cimport (
    SUTRA_FIELD_BOOL,
    SUTRA_FIELD_DATETIME,
    SUTRA_FIELD_FLOAT,
    SUTRA_FIELD_INT,
    SUTRA_FIELD_NONE,
    SUTRA_FIELD_STR,
    SUTRA_JSON_PATH_BYTES_MAX,
)
from sutra._ops cimport Operation

from sutra._arrays import check_choice
from sutra.errors import ConfigError

TYPES = {
    "int": SUTRA_FIELD_INT, "float": SUTRA_FIELD_FLOAT, "bool": SUTRA_FIELD_BOOL,
    "str": SUTRA_FIELD_STR, "datetime": SUTRA_FIELD_DATETIME,
}


cdef Operation field_operation(object path, int type):
    cdef Operation operation = Operation.__new__(Operation)
    cdef Py_ssize_t size = 0
    if not isinstance(path, str):
        raise TypeError(f"path: expected str, not {path.__class__.__name__}")
    try:
        operation.op.field.path = PyUnicode_AsUTF8AndSize(path, &size)
    except UnicodeEncodeError as error:
        raise ConfigError(f"path={path!r} is no valid text ({error})") from None
    if not 1 <= size <= <Py_ssize_t> SUTRA_JSON_PATH_BYTES_MAX:
        raise ConfigError(
            f"path: {size} bytes in UTF-8, expected 1 to {SUTRA_JSON_PATH_BYTES_MAX}")
    operation.op.kind = SUTRA_OP_FIELD
    operation.op.field.path_bytes = <uint32_t> size
    operation.op.field.type = <uint32_t> type
    operation.count = 1
    operation.kept.append(path)
    return operation


def declare_operation(path, type):
    """Return the operation that declares a field: "int", "float", "bool", "str", "datetime"."""
    return field_operation(path, check_choice(TYPES, type, "type"))


def drop_operation(path):
    """Return the operation that drops a field."""
    return field_operation(path, SUTRA_FIELD_NONE)
