"""Which concepts of a view may be found: those with some ids, those that meet a condition."""

from __future__ import annotations

import os
import sys
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sutra._conditions import Tree, paths_of
from sutra._filtering import as_filter
from sutra._ops import Ids
from sutra._predicate import Predicate
from sutra._reading import NO_SLOT, Bits
from sutra._search import IdSets
from sutra._view import ViewCore
from sutra.errors import ConfigError
from sutra.where import SlowFilterWarning, as_tree

SLOW_FROM = 5000  # concepts from which on reading all metadata is worth a word
PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


@dataclass(frozen=True, slots=True)
class Match:
    """What meets a condition: a bitmap of concept numbers, and how the fields were looked at."""

    bits: Bits
    declared: tuple[str, ...]
    scanned: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many concepts."""
        return int.from_bytes(self.bits.tobytes(), "little").bit_count()


class Found(NamedTuple):
    """What the queries of a search may find: all, if there are no sets."""

    sets: IdSets | None
    matches: list[Match]  # of the conditions: none, one for all queries, or one for each


def matching(view: ViewCore, where: Any, noticed: set[str], name: str = "where") -> Match:
    """Return what meets a condition; warn once of every field for which all metadata was read.

    noticed: the fields that were warned of, of a handle.
    """
    tree = as_tree(where, name)
    declared, scanned = warned_of(view, tree, noticed)
    return Match(view.where(Predicate(tree)), declared, scanned)


def warned_of(
    view: ViewCore, tree: Tree, noticed: set[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the paths of a tree, those declared and those not; warn of the latter."""
    fields = dict(view.fields())
    paths = paths_of(tree)
    scanned = tuple(path for path in paths if path not in fields)
    for path in scanned:
        if len(view) <= SLOW_FROM or path in noticed:
            continue
        noticed.add(path)
        warnings.warn(
            f"where: {path!r} is not declared, so all metadata is read for it: "
            f"index_field({path!r}, type) makes this fast",
            SlowFilterWarning,
            stacklevel=_callers_level(),
        )
    return tuple(path for path in paths if path in fields), scanned


def _callers_level() -> int:
    """Return the level, for a warning, of who called into this package."""
    frame = sys._getframe(1)
    level = 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
        level += 1
    return level


def as_found(view: ViewCore, filter: Any, where: Any, queries: int, noticed: set[str]) -> Found:
    """Return what queries may find: what is in the filter and meets the condition.

    Each is None, one for all queries, or a list with one for each.
    """
    filters = [] if filter is None else _filters(view, filter, queries)
    matches = [] if where is None else _matches(view, where, queries, noticed)
    if not filters and not matches:
        return Found(None, [])
    if not filters or not matches:
        return Found(IdSets(filters or [match.bits for match in matches]), matches)
    both = [
        _intersection(filters[at % len(filters)], matches[at % len(matches)].bits)
        for at in range(max(len(filters), len(matches)))
    ]
    return Found(IdSets(both), matches)


def _intersection(one: Bits, other: Bits) -> Bits:
    size = min(len(one), len(other))
    return one[:size] & other[:size]


def _filters(view: ViewCore, given: Any, queries: int) -> list[Bits]:
    several = (isinstance(given, np.ndarray) and given.ndim == 2) or (
        isinstance(given, (list, tuple))
        and any(isinstance(one, (np.ndarray, list, tuple)) for one in given)
    )
    if not several:
        return [_concepts_of(view, given)]
    _check_count("filter", len(given), queries)
    return [_concepts_of(view, one) for one in given]


def _matches(view: ViewCore, given: Any, queries: int, noticed: set[str]) -> list[Match]:
    if not isinstance(given, (list, tuple)):
        return [matching(view, given, noticed)]
    _check_count("where", len(given), queries)
    return [matching(view, one, noticed, f"where: {at}") for at, one in enumerate(given)]


def _check_count(name: str, count: int, queries: int) -> None:
    if count != queries:
        raise ConfigError(f"{name}: {count} of them for {queries} queries")


def _concepts_of(view: ViewCore, given: Any) -> Bits:
    """Return a bitmap of the numbers of the concepts with some ids; absent ones are left out."""
    if isinstance(given, np.ndarray) and given.dtype in (np.bool_, np.uint8):
        bits = as_filter(given)
        given = np.flatnonzero(np.unpackbits(bits, bitorder="little"))
    slots, numbers = view.find(Ids(given, "filter"))
    there = numbers[slots != NO_SLOT]
    mask = np.zeros(int(there.max()) + 1 if len(there) else 0, dtype=np.bool_)
    mask[there] = True
    return np.packbits(mask, bitorder="little")
