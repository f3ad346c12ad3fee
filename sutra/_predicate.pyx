# SPDX-License-Identifier: Apache-2.0
"""Predicates: a tree of plain tuples, checked and built for the core.

::

    ("and", (p, ...))  ("or", (p, ...))  ("not", p)  ("exists", path, bool)
    ("eq" | "ne" | "gt" | "gte" | "lt" | "lte" | "contains", path, value)
    ("in" | "nin", path, (value, ...))

A value is None, bool, int, float, str, or an instant: ("datetime", nanoseconds since 1970, UTC).
"""

cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.unicode cimport PyUnicode_AsUTF8AndSize

from sutra._c.predicate cimport (
    SUTRA_JSON_PATH_BYTES_MAX,
    SUTRA_PREDICATE_AND,
    SUTRA_PREDICATE_CONTAINS,
    SUTRA_PREDICATE_DEPTH_MAX,
    SUTRA_PREDICATE_EQ,
    SUTRA_PREDICATE_EXISTS,
    SUTRA_PREDICATE_GT,
    SUTRA_PREDICATE_GTE,
    SUTRA_PREDICATE_IN,
    SUTRA_PREDICATE_LT,
    SUTRA_PREDICATE_LTE,
    SUTRA_PREDICATE_NODES_MAX,
    SUTRA_PREDICATE_NOT,
    SUTRA_PREDICATE_OR,
    SUTRA_PREDICATE_VALUES_MAX,
    SUTRA_VALUE_BOOL,
    SUTRA_VALUE_FLOAT,
    SUTRA_VALUE_INSTANT,
    SUTRA_VALUE_INT,
    SUTRA_VALUE_NULL,
    SUTRA_VALUE_TEXT,
    sutra_predicate_compare,
    sutra_predicate_finish,
    sutra_predicate_free,
    sutra_predicate_join,
    sutra_predicate_new,
    sutra_value,
)
from sutra._c.status cimport SUTRA_E_CAPACITY
from sutra._check cimport check

from sutra.errors import CapacityError, ConfigError

cdef dict COMPARISONS = {
    "eq": SUTRA_PREDICATE_EQ, "ne": SUTRA_PREDICATE_EQ, "gt": SUTRA_PREDICATE_GT,
    "gte": SUTRA_PREDICATE_GTE, "lt": SUTRA_PREDICATE_LT, "lte": SUTRA_PREDICATE_LTE,
    "in": SUTRA_PREDICATE_IN, "nin": SUTRA_PREDICATE_IN, "contains": SUTRA_PREDICATE_CONTAINS,
    "exists": SUTRA_PREDICATE_EXISTS,
}
cdef frozenset NEGATED = frozenset(("ne", "nin"))
cdef frozenset ORDERS = frozenset(("gt", "gte", "lt", "lte"))
cdef object INT64_MIN = -2**63
cdef object INT64_MAX = 2**63 - 1


cdef int check_limits(int status) except -1:
    if status == SUTRA_E_CAPACITY:
        raise CapacityError(
            f"predicate: expected at most {SUTRA_PREDICATE_NODES_MAX} comparisons and joins, "
            f"{SUTRA_PREDICATE_VALUES_MAX} values, and joins at most {SUTRA_PREDICATE_DEPTH_MAX} "
            "deep")
    return check(status)


cdef const char *text_of(object text, str name, Py_ssize_t *size) except NULL:
    """The UTF-8 of a text, which the text owns."""
    try:
        return PyUnicode_AsUTF8AndSize(text, size)
    except UnicodeEncodeError as error:
        raise ConfigError(f"{name}={text!r} is no valid text ({error})") from None


cdef int fill_integer(object given, object path, sutra_value *value) except -1:
    if not INT64_MIN <= given <= INT64_MAX:
        raise ConfigError(f"{path}: {given} is not within 64 bits: write it as a float")
    value.integer = given
    return 0


cdef int fill_value(object given, object path, sutra_value *value) except -1:
    cdef Py_ssize_t size = 0
    if given is None:
        value.kind = SUTRA_VALUE_NULL
    elif isinstance(given, bool):
        value.kind = SUTRA_VALUE_BOOL
        value.integer = given
    elif isinstance(given, int):
        value.kind = SUTRA_VALUE_INT
        fill_integer(given, path, value)
    elif isinstance(given, float):
        if given != given:
            raise ConfigError(f"{path}: NaN is equal to nothing, nor before or after anything")
        value.kind = SUTRA_VALUE_FLOAT
        value.number = given
    elif isinstance(given, str):
        value.kind = SUTRA_VALUE_TEXT
        value.text = text_of(given, path, &size)
        value.bytes = <size_t> size
    elif (isinstance(given, tuple) and len(given) == 2 and given[0] == "datetime"
            and isinstance(given[1], int) and not isinstance(given[1], bool)):
        value.kind = SUTRA_VALUE_INSTANT
        fill_integer(given[1], path, value)
    else:
        raise ConfigError(
            f"{path}: expected None, bool, int, float, str or ('datetime', nanoseconds), not "
            f"{type(given).__name__}")
    return 0


@cython.final
cdef class Predicate:
    """A predicate that views can be asked about.

    Parameters
    ----------
    tree : tuple
        As above.

    Attributes
    ----------
    paths : list of str
        Those that it names, each once, in the order they come.

    Raises
    ------
    ConfigError
        If the tree has another form, an operation is not known, a path is not 1 to 255 bytes in
        UTF-8, a value is of another type, an int is not within 64 bits, a float is NaN, a text has
        half of a surrogate pair, or an order is asked with None.
    CapacityError
        If it has more than 65,536 comparisons and joins, more than a million values, or joins more
        than 64 deep.
    """

    def __cinit__(self, tree):
        self.paths = []
        check(sutra_predicate_new(&self.predicate))
        self.build(tree, 0)
        check(sutra_predicate_finish(self.predicate))
        self.paths = list(dict.fromkeys(self.paths))

    def __dealloc__(self):
        sutra_predicate_free(self.predicate)

    def __reduce__(self):
        raise TypeError("a Predicate cannot be pickled")

    cdef int build(self, object tree, int depth) except -1:
        if not isinstance(tree, tuple) or not tree or not isinstance(tree[0], str):
            raise ConfigError(f"predicate: expected a tuple that begins with a name, not {tree!r}")
        if depth > <int> SUTRA_PREDICATE_DEPTH_MAX:
            check_limits(SUTRA_E_CAPACITY)
        op = tree[0]
        if op in ("and", "or"):
            if len(tree) != 2 or not isinstance(tree[1], tuple):
                raise ConfigError(f"predicate: {op!r} expects a tuple of predicates")
            for part in tree[1]:
                self.build(part, depth + 1)
            check_limits(sutra_predicate_join(
                self.predicate, SUTRA_PREDICATE_AND if op == "and" else SUTRA_PREDICATE_OR,
                <size_t> len(tree[1])))
        elif op == "not":
            if len(tree) != 2:
                raise ConfigError("predicate: 'not' expects one predicate")
            self.build(tree[1], depth + 1)
            check_limits(sutra_predicate_join(self.predicate, SUTRA_PREDICATE_NOT, 1))
        elif op not in COMPARISONS:
            raise ConfigError(f"predicate: {op!r} is no operation")
        elif len(tree) != 3:
            raise ConfigError(f"predicate: {op!r} expects a path and a value")
        elif op == "exists":
            if not isinstance(tree[2], bool):
                raise ConfigError("predicate: 'exists' expects True or False")
            self.compare(op, tree[1], ())
            if not tree[2]:
                check_limits(sutra_predicate_join(self.predicate, SUTRA_PREDICATE_NOT, 1))
        elif op in ("in", "nin"):
            if not isinstance(tree[2], tuple):
                raise ConfigError(f"predicate: {op!r} expects a tuple of values")
            self.compare(op, tree[1], tree[2])
        else:
            self.compare(op, tree[1], (tree[2],))
        return 0

    cdef int compare(self, str op, object path, tuple values) except -1:
        cdef Py_ssize_t row, size = 0, count = len(values)
        cdef const char *text
        cdef sutra_value *list_of
        if not isinstance(path, str):
            raise ConfigError(f"predicate: expected a path, not {type(path).__name__}")
        text = text_of(path, "path", &size)
        if not 1 <= size <= <Py_ssize_t> SUTRA_JSON_PATH_BYTES_MAX:
            raise ConfigError(
                f"path: {size} bytes in UTF-8, expected 1 to {SUTRA_JSON_PATH_BYTES_MAX}")
        if op in ORDERS and values[0] is None:
            raise ConfigError(f"{path}: None has no order, so {op!r} cannot be asked of it")
        list_of = <sutra_value *> PyMem_Calloc(<size_t> count + 1, sizeof(sutra_value))
        if list_of == NULL:
            raise MemoryError
        try:
            for row in range(count):
                fill_value(values[row], path, &list_of[row])
            check_limits(sutra_predicate_compare(
                self.predicate, COMPARISONS[op], text, <size_t> size, list_of, <size_t> count))
        finally:
            PyMem_Free(list_of)
        if op in NEGATED:
            check_limits(sutra_predicate_join(self.predicate, SUTRA_PREDICATE_NOT, 1))
        self.paths.append(path)
        return 0
