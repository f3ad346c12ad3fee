"""Conditions on metadata, written as Python or as a dict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from keyword import iskeyword
from typing import Any, Final, NoReturn

import numpy as np

from sutra._conditions import (
    DEPTH_MAX,
    Tree,
    as_path,
    comparison,
    depth_of,
    existence,
    from_dict,
    joined,
    membership,
    negated,
)
from sutra.errors import ConfigError

__all__ = ["Condition", "F", "Field", "SlowFilterWarning"]

SYMBOLS = {"eq": "==", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
METHODS = {"in": "isin", "nin": "notin", "contains": "contains"}
CONDITIONS_HELP = (
    "a condition has no truth value of its own: combine with & | ~ in place of and, or, not, each "
    "comparison in parentheses, and write a range as (F.year >= 1990) & (F.year < 2000)"
)


class SlowFilterWarning(UserWarning):
    """A condition names a field that is not declared, and there is much metadata to read for it."""


class Condition:
    """What concepts are asked for by their metadata, as `F` makes it. Does not change.

    Combine with ``&`` (both), ``|`` (one or both) and ``~`` (not). Give it as `where`.
    """

    __slots__ = ("_tree",)

    _tree: Tree

    def __init__(self) -> None:
        raise TypeError("a Condition is made by comparing a field: F.year >= 1990")

    @classmethod
    def _of(cls, tree: Tree) -> Condition:
        if depth_of(tree) > DEPTH_MAX:
            raise ConfigError(f"where: nested deeper than {DEPTH_MAX}")
        made = object.__new__(cls)
        made._tree = tree
        return made

    def __and__(self, other: object) -> Condition:
        if not isinstance(other, Condition):
            return NotImplemented
        return Condition._of(joined("and", (self._tree, other._tree)))

    def __or__(self, other: object) -> Condition:
        if not isinstance(other, Condition):
            return NotImplemented
        return Condition._of(joined("or", (self._tree, other._tree)))

    def __invert__(self) -> Condition:
        return Condition._of(negated(self._tree))

    def __bool__(self) -> NoReturn:
        raise TypeError(CONDITIONS_HELP)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Condition):
            return NotImplemented
        return repr(self) == repr(other)  # 1, 1.0 and True are equal, but not the same to ask for

    def __hash__(self) -> int:
        return hash(repr(self))

    def __reduce__(self) -> tuple[object, ...]:
        return Condition._of, (self._tree,)

    def __repr__(self) -> str:
        return _shown(self._tree)


class Field:
    """A field of the metadata, by its path. Comparing it makes a `Condition`.

    ``==``, ``!=``, ``>``, ``>=``, ``<``, ``<=`` compare with None, a bool, a number, a text, or a
    date or time (`datetime.datetime`, `datetime.date`, `numpy.datetime64`; without a zone it is
    UTC). ``F.a.b`` and ``F["a.b"]`` are the same field.
    """

    __slots__ = ("_path",)

    __hash__ = None  # type: ignore[assignment]
    __iter__ = None
    __array_ufunc__ = None  # numpy's numbers leave comparisons to us

    _path: str

    def __init__(self, path: str) -> None:
        self._path = as_path(path)

    def __getattr__(self, name: str) -> Field:
        if name.startswith("_"):  # what Python asks an object for; F["_name"] is a field
            raise AttributeError(f"{name!r}: a field that begins with _ is named as F[{name!r}]")
        return Field(f"{self._path}.{name}")

    def __getitem__(self, name: str) -> Field:
        return Field(f"{self._path}.{as_path(name)}")

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        return self._compared("eq", value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        return self._compared("ne", value)

    def __gt__(self, value: object) -> Condition:
        return self._compared("gt", value)

    def __ge__(self, value: object) -> Condition:
        return self._compared("gte", value)

    def __lt__(self, value: object) -> Condition:
        return self._compared("lt", value)

    def __le__(self, value: object) -> Condition:
        return self._compared("lte", value)

    def __call__(self, *args: object, **options: object) -> NoReturn:
        """Refuse to be called, and say what can be."""
        raise TypeError(
            f"{self!r} is a field, not a method: fields have isin, notin, contains and exists"
        )

    def _compared(self, kind: str, value: object) -> Condition:
        return Condition._of(comparison(kind, self._path, value, f"{self!r} {SYMBOLS[kind]}"))

    def isin(self, values: Iterable[Any]) -> Condition:
        """Ask that it equals one of some values; none match if there are none.

        Raises
        ------
        TypeError, ConfigError
            If something is no value to compare with.
        """
        return Condition._of(membership("in", self._path, values, f"{self!r}.isin"))

    def notin(self, values: Iterable[Any]) -> Condition:
        """Ask that it equals none of some values; true where it is missing.

        Raises
        ------
        TypeError, ConfigError
            As of `isin`.
        """
        return Condition._of(membership("nin", self._path, values, f"{self!r}.notin"))

    def contains(self, value: Any) -> Condition:
        """Ask that it is a list with an element equal to a value, or a text with that in it.

        Raises
        ------
        TypeError, ConfigError
            As of `isin`.
        """
        return Condition._of(comparison("contains", self._path, value, f"{self!r}.contains"))

    def exists(self, wanted: bool = True) -> Condition:
        """Ask that it is there, null included; or, with False, that it is not.

        Raises
        ------
        TypeError
            If it is asked for anything but True or False.
        """
        return Condition._of(existence(self._path, wanted, f"{self!r}.exists"))

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self!r} is a field, not a condition: compare it. And {CONDITIONS_HELP}")

    def __contains__(self, value: object) -> NoReturn:
        raise TypeError(f"`in` cannot make a condition: write {self!r}.contains({value!r})")

    def _combined(self, other: object) -> NoReturn:
        raise TypeError(
            f"{self!r} is a field, not a condition: compare it, and put each comparison in "
            "parentheses: (F.a == 1) & (F.b == 2)"
        )

    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _combined

    def __invert__(self) -> NoReturn:
        raise TypeError(f"{self!r} is a field, not a condition: ~({self!r} == True) is one")

    def __reduce__(self) -> tuple[object, ...]:
        return Field, (self._path,)

    def __repr__(self) -> str:
        names = self._path.split(".")
        if all(map(_is_attribute, names)):
            return f"F.{self._path}"
        return f"F[{self._path!r}]"


class Fields:
    """Names fields: ``F.year``, ``F.author.name``, ``F["any name"]``. There is one, `F`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Field:
        if name.startswith("_"):
            raise AttributeError(f"{name!r}: a field that begins with _ is named as F[{name!r}]")
        return Field(name)

    def __getitem__(self, path: str) -> Field:
        return Field(path)

    def __call__(self, *args: object, **options: object) -> NoReturn:
        raise TypeError("F is not called: F.year and F['any name'] are fields")

    def __reduce__(self) -> str:
        return "F"

    def __repr__(self) -> str:
        return "F"


F: Final = Fields()
"""Fields of the metadata: ``F.year >= 1990``, ``F["a.b"].isin([1, 2])``, ``~F.tags.contains("x")``.
"""

Where = Condition | Mapping[str, Any]


def as_tree(where: Any, name: str = "where", depth: int = 1) -> Tree:
    """Return the tree of a condition, or of a dict of conditions; or refuse it.

    Raises
    ------
    TypeError, ConfigError
        Naming the operator or the path, and what was expected.
    """
    if isinstance(where, Condition):
        tree = where._tree
    elif isinstance(where, Mapping):
        tree = from_dict(where, as_tree, name, depth)
    elif isinstance(where, (Field, Fields)):
        raise TypeError(f"{name}: {where!r} is a field, not a condition: compare it")
    else:
        raise TypeError(
            f"{name}: expected a condition, like F.year >= 1990, or a dict, like "
            f"{{'year': {{'$gte': 1990}}}}, not {type(where).__name__}"
        )
    if depth == 1 and depth_of(tree) > DEPTH_MAX:
        raise ConfigError(f"where: nested deeper than {DEPTH_MAX}")
    return tree


# ---- a condition as its source


def _is_attribute(name: str) -> bool:
    """Whether ``F.name`` is read as that field: Python changes identifiers that are not ASCII."""
    if not (name.isascii() and name.isidentifier()) or iskeyword(name):
        return False
    return not name.startswith("_") and name not in ("isin", "notin", "contains", "exists")


def _shown(node: Tree) -> str:
    kind, *rest = node
    if kind in ("and", "or"):
        return {"and": " & ", "or": " | "}[kind].join(f"({_shown(part)})" for part in rest[0])
    if kind == "not":
        return f"~({_shown(rest[0])})"
    path, value = rest
    field = repr(Field(path))
    if kind in SYMBOLS:
        return f"{field} {SYMBOLS[kind]} {_shown_value(value)}"
    if kind == "exists":
        return f"{field}.exists({'' if value else 'False'})"
    if kind == "contains":
        return f"{field}.contains({_shown_value(value)})"
    return f"{field}.{METHODS[kind]}([{', '.join(map(_shown_value, value))}])"


def _shown_value(value: Any) -> str:
    if isinstance(value, tuple):
        moment = np.datetime64(value[1], "ns")
        for unit in ("s", "ms", "us"):
            if moment.astype(f"M8[{unit}]") == moment:
                moment = moment.astype(f"M8[{unit}]")
                break
        return f"np.datetime64({str(moment)!r})"
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return f"float({str(value)!r})"
    return repr(value)
