"""What callers give as a filter, as bitmaps and lists of ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sutra.errors import ConfigError, DimensionError

Filter = npt.NDArray[Any] | Sequence[int] | Sequence[bool]
Filters = Filter | Sequence[npt.NDArray[Any]]


def as_filter(given: Any) -> npt.NDArray[Any]:
    """Return a bitmap of ids (uint8) or a list of them (int64), contiguous, of one dimension.

    Bytes are a bitmap, as ``numpy.packbits(..., bitorder="little")`` makes it; bools a mask, whose
    place i stands for id i; other integers are ids.
    """
    array = np.asarray(given)
    if array.ndim != 1:
        raise DimensionError(f"filter: expected one dimension, not shape {array.shape}")
    if array.dtype == np.bool_:
        return np.packbits(array, bitorder="little")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"filter: expected a bitmap (uint8), a mask (bool) or ids (integers), not {array.dtype}"
        )
    if array.dtype == np.uint64 and array.max() >= 2**63:
        raise ConfigError("filter: ids are below 2**63")
    return np.ascontiguousarray(array, dtype=np.int64)


def as_filters(given: Any, queries: int) -> list[npt.NDArray[Any]]:
    """Return one filter for all queries, or one for each."""
    if isinstance(given, np.ndarray) and given.ndim == 2:
        given = list(given)
    elif not (isinstance(given, (list, tuple)) and any(isinstance(it, np.ndarray) for it in given)):
        return [as_filter(given)]
    if len(given) != queries:
        raise ConfigError(f"filter: {len(given)} of them for {queries} queries")
    return [as_filter(one) for one in given]
