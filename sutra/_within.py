"""Searches bounded by a distance, made of searches for ever more neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sutra._arrays import K_MAX, check_count
from sutra._recall import DEFAULT_EF
from sutra.errors import ConfigError

FIRST = 64
GROWTH = 4
LIMIT = 10_000
"""Of what a search bounded by a distance finds, unless told otherwise."""

Arrays = tuple[npt.NDArray[Any], ...]
# Positions of queries, how many neighbours, ef -> of each its ids, distances, and what else there
# is: nearest first, as many as there are.
Search = Callable[[npt.NDArray[np.intp], int, int], list[Arrays]]


def check_radius(radius: Any, limit: Any) -> tuple[float, int]:
    """Return the radius and the limit, or refuse them."""
    if radius is None:
        raise ConfigError("limit: goes with a radius; k says how many otherwise")
    try:
        checked = float(radius)
    except (TypeError, ValueError):
        raise TypeError(f"radius: expected a number, not {type(radius).__name__}") from None
    if math.isnan(checked):
        raise ConfigError("radius is not a number")
    return checked, LIMIT if limit is None else check_count(limit, "limit", 1, K_MAX)


def within(search: Search, queries: int, radius: float, limit: int, ef: int | None) -> list[Arrays]:
    """Return for each query everything found up to a distance, `limit` at most.

    Asks for more neighbours until the last one is too far, there are no more, or the limit is
    reached. The walk is twice as wide as what it is to find, so that the far ones are not missed.
    """
    out: list[Arrays] = [()] * queries
    left = np.arange(queries)
    k = min(FIRST, limit)
    while len(left):
        again = []
        for query, found in zip(left, search(left, k, max(2 * k, ef or DEFAULT_EF)), strict=True):
            distances = found[1]
            inside = int(np.searchsorted(distances, radius, side="right"))
            if inside == k < limit:
                again.append(query)
            else:
                out[query] = tuple(array[:inside] for array in found)
        left = np.array(again, dtype=np.intp)
        k = min(k * GROWTH, limit)
    return out
