"""From what callers give as `where` to the tree of tuples that the core evaluates.

A node is ``("and" | "or", (nodes))``, ``("not", node)``, ``("exists", path, bool)``,
``("in" | "nin", path, (values))`` or ``(comparison, path, value)``. A value is None, a bool, an
int of 64 bits, a float, a text, or ``("datetime", nanoseconds since 1970, UTC)``.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from sutra.errors import ConfigError

DEPTH_MAX = 64  # nodes above one another
PATH_BYTES_MAX = 255

Tree = tuple[Any, ...]

ORDERS = ("gt", "gte", "lt", "lte")
COMPARISONS = ("eq", "ne", *ORDERS, "contains")
OPERATORS = (*(f"${name}" for name in (*COMPARISONS, "in", "nin", "exists")), "$not")
CONNECTIVES = ("$and", "$or", "$not")
DATETIME = "$datetime"

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
UNITS = {  # of numpy, in nanoseconds
    "W": 604_800 * 10**9,
    "D": 86_400 * 10**9,
    "h": 3600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 1000,
    "ns": 1,
}
FINER_UNITS = {"ps": 1000, "fs": 10**6, "as": 10**9}  # of which a nanosecond has so many
MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d)?",
    re.ASCII,
)


# ---- paths and values


def as_path(path: Any, name: str = "path") -> str:
    """Return the path of a field, or refuse it."""
    if not isinstance(path, str):
        raise TypeError(f"{name}: expected str, not {type(path).__name__}")
    try:
        size = len(path.encode())
    except UnicodeEncodeError as error:
        raise ConfigError(f"{name}={path!r} is no valid text ({error})") from None
    if not 1 <= size <= PATH_BYTES_MAX:
        raise ConfigError(
            f"{name}: a path of {size} bytes in UTF-8, expected 1 to {PATH_BYTES_MAX}"
        )
    return str(path)


def as_value(value: Any, name: str) -> Any:
    """Return a value as the core takes it; name: the path and the operator, for errors."""
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ConfigError(
                f"{name}: an int of {value.bit_length()} bits, expected -2**63 to 2**63 - 1"
            )
        return int(value)
    if isinstance(value, float):
        if math.isnan(value):
            raise ConfigError(f"{name}: NaN is equal to nothing and in no order")
        return float(value)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"{name}: {value!r} is no valid text ({error})") from None
        return str.__str__(value)
    if isinstance(value, (np.datetime64, datetime.date)):
        return "datetime", _nanoseconds(value, name)
    if isinstance(value, Mapping) and list(value) == [DATETIME]:
        return "datetime", _parsed(value[DATETIME], name)
    raise TypeError(
        f"{name}: expected None, bool, int, float, str or a date or time, "
        f"not {type(value).__name__}{_hint(value)}"
    )


def _hint(value: Any) -> str:
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return ": isin ($in) is for one of several, contains ($contains) for what is in a list"
    if isinstance(value, Mapping):
        return ": a field in an object has a path, like 'outer.inner'"
    return ""


def _nanoseconds(value: np.datetime64 | datetime.date, name: str) -> int:
    """Return nanoseconds since 1970 of a date (its start) or a time; UTC unless it says."""
    if isinstance(value, np.datetime64):
        return _in_range(_of_numpy(value), value, name)
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC)
    elif value.utcoffset() is None:
        value = value.replace(tzinfo=datetime.UTC)
    since = value - EPOCH
    ns = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
    return _in_range(ns, value, name)


def _of_numpy(value: np.datetime64) -> int | None:
    """Return nanoseconds since 1970, or None: NumPy's own conversion wraps around."""
    unit, step = np.datetime_data(value.dtype)
    count = int(value.astype(np.int64)) * step
    if np.isnat(value):
        return None
    if unit in ("Y", "M"):
        years, month = divmod(count * 12 if unit == "Y" else count, 12)
        if not -1969 < years < 8000:
            return None
        return (datetime.date(1970 + years, 1 + month, 1) - EPOCH.date()).days * UNITS["D"]
    if unit in UNITS:
        return count * UNITS[unit]
    whole, rest = divmod(count, FINER_UNITS[unit])
    return None if rest else whole


def _parsed(text: Any, name: str) -> int:
    """Return nanoseconds since 1970 of a text, as texts in metadata are read."""
    match = MOMENT.fullmatch(text) if isinstance(text, str) else None
    try:
        if match is None:
            raise ValueError
        date, time, fraction, zone = match.groups()
        moment = datetime.datetime.fromisoformat(f"{date}T{time or '00:00'}{zone or 'Z'}")
    except ValueError:
        raise ConfigError(
            f"{name}: {DATETIME}: {text!r}: expected a text like '2024-05-31' or "
            "'2024-05-31T23:59:30.5+02:00'"
        ) from None
    ns = _nanoseconds(moment, name) + int((fraction or "0").ljust(9, "0"))
    return _in_range(ns, text, name)


def _in_range(ns: int | None, value: Any, name: str) -> int:
    if ns is None or not -(2**63) < ns < 2**63:
        raise ConfigError(f"{name}: {value} is no time in nanoseconds of 64 bits")
    return ns


# ---- nodes


def comparison(kind: str, path: str, value: Any, name: str | None = None) -> Tree:
    """Return the node that compares what is at a path."""
    name = name or f"{path}: ${kind}"
    if kind in ORDERS and value is None:
        raise ConfigError(
            f"{name}: nothing is in order with None: $exists asks whether it is there"
        )
    return kind, path, as_value(value, name)


def membership(kind: str, path: str, values: Any, name: str) -> Tree:
    """Return the node that asks whether what is at a path is among some values."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise TypeError(f"{name}: expected a sequence of values, not {type(values).__name__}")
    return kind, path, tuple(as_value(value, f"{name}: {at}") for at, value in enumerate(values))


def existence(path: str, wanted: Any, name: str) -> Tree:
    """Return the node that asks whether there is anything at a path."""
    if not isinstance(wanted, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, not {type(wanted).__name__}")
    return "exists", path, bool(wanted)


def joined(kind: str, nodes: Iterable[Tree]) -> Tree:
    """Return the node that is true where all ("and") or some ("or") of the nodes are.

    Those of the same kind become part of it: a long chain is not deep.
    """
    parts: list[Tree] = []
    for node in nodes:
        parts.extend(node[1] if node[0] == kind else (node,))
    return parts[0] if len(parts) == 1 else (kind, tuple(parts))


def negated(node: Tree) -> Tree:
    """Return the node that is true where another is not."""
    inner: Tree = node[1]
    return inner if node[0] == "not" else ("not", node)


def depth_of(node: Tree) -> int:
    """Return how many nodes are above one another."""
    if node[0] in ("and", "or"):
        return 1 + max(map(depth_of, node[1]))
    return 1 + depth_of(node[1]) if node[0] == "not" else 1


def paths_of(node: Tree) -> list[str]:
    """Return the paths of a tree, each once, in the order they are first named."""
    if node[0] in ("and", "or"):
        return list(dict.fromkeys(path for part in node[1] for path in paths_of(part)))
    return paths_of(node[1]) if node[0] == "not" else [node[1]]


# ---- dicts

Item = Callable[[Any, str, int], Tree]


def from_dict(given: Any, item: Item, name: str, depth: int) -> Tree:
    """Return the tree of a dict whose keys are paths or connectives: all must hold.

    `item` makes the tree of what stands inside a connective: a dict again, or a condition.
    """
    if depth > DEPTH_MAX:
        raise ConfigError(f"where: nested deeper than {DEPTH_MAX}")
    if not given:
        raise ConfigError(f"{name}: expected at least one condition, and this dict has none")
    nodes = []
    for key, value in given.items():
        if not isinstance(key, str):
            raise TypeError(f"{name}: expected a path or an operator, not {type(key).__name__}")
        if key in ("$and", "$or"):
            if not isinstance(value, (list, tuple)):
                raise TypeError(
                    f"{name}: {key}: expected a list of conditions, not {type(value).__name__}"
                )
            if not value:
                raise ConfigError(f"{name}: {key}: expected at least one condition in the list")
            parts = [item(one, f"{name}: {key}: {at}", depth + 1) for at, one in enumerate(value)]
            nodes.append(joined(key[1:], parts))
        elif key == "$not":
            nodes.append(negated(item(value, f"{name}: $not", depth + 1)))
        elif key.startswith("$"):
            raise ConfigError(
                f"{name}: {key}: expected a path, or one of {', '.join(CONNECTIVES)}"
                f"{_meant(key, CONNECTIVES)}"
            )
        else:
            nodes.append(_of_field(as_path(key, name), value, f"{name}: {key}", depth))
    return joined("and", nodes)


def _of_field(path: str, given: Any, name: str, depth: int) -> Tree:
    """Return the tree of what is asked of one field: a value, or a dict of operators."""
    if depth > DEPTH_MAX:
        raise ConfigError(f"where: nested deeper than {DEPTH_MAX}")
    if not isinstance(given, Mapping) or list(given) == [DATETIME]:
        return comparison("eq", path, given, name)
    if not given:
        raise ConfigError(f"{name}: expected an operator and a value, and this dict has none")
    nodes = []
    for key, value in given.items():
        where = f"{name}: {key}"
        if key not in OPERATORS:
            hint = f"; a field in an object has a path: {f'{path}.{key}'!r}"
            raise ConfigError(
                f"{where}: expected one of {', '.join(OPERATORS)}"
                f"{_meant(key, OPERATORS) if str(key).startswith('$') else hint}"
            )
        if key == "$not":
            if not isinstance(value, Mapping):
                raise TypeError(f"{where}: expected operators, not {type(value).__name__}")
            nodes.append(negated(_of_field(path, value, where, depth + 1)))
        elif key == "$exists":
            nodes.append(existence(path, value, where))
        elif key in ("$in", "$nin"):
            nodes.append(membership(key[1:], path, value, where))
        else:
            nodes.append(comparison(key[1:], path, value, where))
    return joined("and", nodes)


def _meant(key: str, known: tuple[str, ...]) -> str:
    """Return a question that a misspelled operator raises, or nothing."""
    from difflib import get_close_matches  # on demand: the package imports little

    near = get_close_matches(key.lower(), known, 1, 0.7)
    return f"; did you mean {near[0]}?" if near else ""
