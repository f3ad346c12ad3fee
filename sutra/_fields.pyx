# SPDX-License-Identifier: Apache-2.0
"""The operations that go by metadata: declaring a field, dropping one, deleting what matches.

And what to say of metadata that do not fit a field.
"""

from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t

from sutra._c.ops cimport SUTRA_OP_DELETE, SUTRA_OP_FIELD
from sutra._c.predicate cimport (
    SUTRA_FIELD_BOOL,
    SUTRA_FIELD_DATETIME,
    SUTRA_FIELD_FLOAT,
    SUTRA_FIELD_INT,
    SUTRA_FIELD_NONE,
    SUTRA_FIELD_STR,
    SUTRA_JSON_BOOL,
    SUTRA_JSON_FLOAT,
    SUTRA_JSON_INT,
    SUTRA_JSON_LIST,
    SUTRA_JSON_OBJECT,
    SUTRA_JSON_PATH_BYTES_MAX,
    SUTRA_JSON_TEXT,
)
from sutra._ops cimport Operation, now_ns
from sutra._predicate cimport Predicate

import numpy as np

from sutra._arrays import check_choice
from sutra.errors import ConfigError

TYPES = {
    "int": SUTRA_FIELD_INT, "float": SUTRA_FIELD_FLOAT, "bool": SUTRA_FIELD_BOOL,
    "str": SUTRA_FIELD_STR, "datetime": SUTRA_FIELD_DATETIME,
}
cdef dict TYPE_NAMES = {number: name for name, number in TYPES.items()}
cdef dict KIND_NAMES = {
    SUTRA_JSON_BOOL: "bool", SUTRA_JSON_INT: "int", SUTRA_JSON_FLOAT: "float",
    SUTRA_JSON_TEXT: "str", SUTRA_JSON_LIST: "list", SUTRA_JSON_OBJECT: "dict",
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


def delete_where_operation(Predicate predicate not None):
    """Return the operation that deletes what a predicate is true of when it is done."""
    cdef Operation operation = Operation.__new__(Operation)
    operation.op.kind = SUTRA_OP_DELETE
    operation.op.ids.where = predicate.predicate
    operation.op.ids.time_ns = now_ns()
    operation.count = 1  # or more, or none
    operation.kept.append(predicate)
    return operation


cdef dict fields_after(list fields, list operations):
    """The fields, path to type, that a batch leaves."""
    cdef Operation operation
    cdef dict after = dict(fields)
    for operation in operations:
        if operation.op.kind != SUTRA_OP_FIELD:
            continue
        if operation.op.field.type:
            after.setdefault(operation.kept[0], TYPE_NAMES[operation.op.field.type])
        else:
            after.pop(operation.kept[0], None)
    return after


cdef str expectation(str type, str found):
    if type == "datetime" and found == "str":
        return "expected datetime, found a str that is no date or time of ISO 8601"
    if type == "int" and found == "float":
        return "expected int of 64 bits, found a float, or an int that is larger"
    return f"expected {type}, found {found}"


def unfit_text(view, list operations, Operation operation, str what, int64_t row, uint64_t found):
    """Say which metadata do not fit which field, from the fault of a write."""
    kind = KIND_NAMES.get(found & 255)
    if what == "metadata":
        path, type = list(fields_after(view.fields(), operations).items())[found >> 8]
        return (
            f"metadata: row {row} (id {operation.id_of(row, False)!r}), field {path!r}: "
            f"{expectation(type, kind)}")
    path, type = operation.kept[0], TYPE_NAMES[operation.op.field.type]
    if what == "field type":
        return f"field {path!r} is declared as {TYPE_NAMES[found]}, not {type}: drop it first"
    (id,) = view.ids_of(np.array([found >> 8], dtype=np.uint32)).tolist()
    return (
        f"field {path!r}: the metadata of id {id!r} do not fit: {expectation(type, kind)}")
