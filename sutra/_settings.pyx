# SPDX-License-Identifier: Apache-2.0
"""Settings of a store: small named values, as a view sees them, and the operation that sets one.

What is read is a copy. Names are checked here, so that nothing is written of a batch with a bad
one.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc

from sutra._c.ops cimport SUTRA_OP_SET, SUTRA_SETTING_BYTES_MAX, SUTRA_SETTING_NAME_BYTES_MAX
from sutra._c.status cimport SUTRA_E_NOT_FOUND
from sutra._c.store cimport sutra_store_setting, sutra_store_settings
from sutra._check cimport check
from sutra._ops cimport Operation
from sutra._view cimport ViewCore

from sutra.errors import CapacityError, ConfigError


cdef const char *text_of(object name, Py_ssize_t *size) except NULL:
    """The UTF-8 of a name, which the name owns."""
    cdef const char *text
    if not isinstance(name, str):
        raise TypeError(f"name: expected str, not {type(name).__name__}")
    try:
        text = PyUnicode_AsUTF8AndSize(name, size)
    except UnicodeEncodeError as error:
        raise ConfigError(f"name={name!r} is no valid text ({error})") from None
    if not 1 <= size[0] <= <Py_ssize_t> SUTRA_SETTING_NAME_BYTES_MAX:
        raise ConfigError(
            f"name: {size[0]} bytes in UTF-8, expected 1 to {SUTRA_SETTING_NAME_BYTES_MAX}"
        )
    return text


def read(ViewCore view, name):
    """Return the value of a setting, or None if there is none."""
    cdef Py_ssize_t name_bytes = 0
    cdef const char *text = text_of(name, &name_bytes)
    cdef size_t size = 0, room = SUTRA_SETTING_BYTES_MAX
    cdef uint8_t *value
    cdef int status
    view.enter()
    value = <uint8_t *> malloc(room)
    try:
        if value == NULL:
            raise MemoryError
        with nogil:
            status = sutra_store_setting(
                view.view, text, <size_t> name_bytes, value, room, &size)
        if status == SUTRA_E_NOT_FOUND:
            return None
        check(status)
        return PyBytes_FromStringAndSize(<const char *> value, <Py_ssize_t> size)
    finally:
        free(value)
        view.leave()


def names(ViewCore view):
    """Return the names of all settings, in the order of their bytes."""
    cdef uint8_t *block = NULL
    cdef const uint8_t *at
    cdef size_t size = 0, count = 0, _row
    cdef int status
    cdef list out = []
    view.enter()
    try:
        with nogil:
            status = sutra_store_settings(view.view, &block, &size, &count)
        check(status)
        at = block
        for _row in range(count):
            out.append(PyUnicode_DecodeUTF8(<const char *> at + 1, at[0], NULL))
            at += 1 + at[0]
    finally:
        free(block)
        view.leave()
    return out


def set_operation(name, value):
    """Return the operation that gives a setting a value (bytes), or, with None, removes it."""
    cdef Operation operation = Operation.__new__(Operation)
    cdef Py_ssize_t size = 0
    operation.op.kind = SUTRA_OP_SET
    operation.op.set.name = text_of(name, &size)
    operation.op.set.name_bytes = <uint32_t> size
    if value is not None:
        if not isinstance(value, bytes):
            raise TypeError(f"value: expected bytes or None, not {type(value).__name__}")
        size = PyBytes_GET_SIZE(value)
        if size > <Py_ssize_t> SUTRA_SETTING_BYTES_MAX:
            raise CapacityError(f"value: {size} bytes, expected at most {SUTRA_SETTING_BYTES_MAX}")
        operation.op.set.value = <const uint8_t *> PyBytes_AS_STRING(value)
        operation.op.set.value_bytes = <uint32_t> size
    operation.count = 1
    operation.kept.append((name, value))
    return operation
