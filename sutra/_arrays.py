"""From what callers pass to the arrays the core takes: one conversion, clear refusals."""

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from sutra.errors import ConfigError, DimensionError, DTypeError, InvalidVectorError

DIM_MAX = 16384
K_MAX = 1_048_576
COUNT_MAX = 2**31 - 1


def check_count(value: Any, name: str, least: int, most: int) -> int:
    """Return an integer argument, or raise TypeError or ConfigError naming it."""
    if isinstance(value, bool):
        raise TypeError(f"{name}: expected an integer, not bool")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, not {type(value).__name__}") from None
    if not least <= number <= most:
        raise ConfigError(f"{name}={number}: expected {least} to {most}")
    return number


def check_choice(choices: dict[str, int], value: Any, name: str) -> int:
    """Return the number of a choice, or raise ConfigError naming the argument."""
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"{name}={value!r}: expected one of {', '.join(map(repr, choices))}")
    return choices[value]


def check_dim(value: Any) -> int:
    """Return the length of vectors as an int."""
    return check_count(value, "dim", 1, DIM_MAX)


def as_rows(
    vectors: Any, dim: int, name: str, one_allowed: bool = False
) -> npt.NDArray[np.float32]:
    """Return vectors as C-contiguous float32 rows of length dim, converted at most once.

    Parameters
    ----------
    vectors : array-like
        float16, float32, float64 or integers, any strides; (n, dim), or (dim,).
    dim : int
        Length of a vector.
    name : str
        What to call the argument in errors.
    one_allowed : bool
        Whether a single vector stays one-dimensional; otherwise it becomes one row.

    Raises
    ------
    DTypeError, DimensionError, InvalidVectorError
        For elements that are not real numbers, a wrong shape, and float64 values that float32
        cannot hold.
    """
    try:
        array = np.asarray(vectors)
    except ValueError as error:
        raise DimensionError(f"{name}: rows differ in length ({error})") from None
    if array.dtype.kind not in "fiu":
        raise DTypeError(f"{name}: expected real numbers, not {array.dtype}")
    if array.ndim == 2 and array.shape[0] == 0:
        return np.empty((0, dim), dtype=np.float32)
    if array.ndim not in (1, 2):
        raise DimensionError(f"{name}: expected one or two dimensions, not {array.ndim}")
    if array.shape[-1] != dim:
        raise DimensionError(f"{name}: expected vectors of length {dim}, not {array.shape[-1]}")
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(array, dtype=np.float32)
    if array.dtype == np.float64 and not np.isfinite(rows).all():
        row = int(np.argmin(np.isfinite(np.atleast_2d(rows)).all(axis=1)))
        raise InvalidVectorError(
            f"{name}: row {row} holds NaN, infinity or a value beyond float32", row=row
        )
    return rows if one_allowed else np.atleast_2d(rows)


def as_ids(ids: Any, count: int) -> npt.NDArray[np.int64]:
    """Return ids as a contiguous int64 array of `count`; negative ones are left to the core."""
    array = np.asarray(ids)
    if array.dtype.kind not in "iu" and array.size:
        raise DTypeError(f"ids: expected integers, not {array.dtype}")
    array = np.atleast_1d(array)
    if array.ndim != 1 or array.shape[0] != count:
        raise DimensionError(f"ids: expected {count}, one a vector, not shape {array.shape}")
    if array.dtype == np.uint64 and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise ConfigError("ids: expected values below 2**63")
    return np.ascontiguousarray(array, dtype=np.int64)


def as_row_numbers(rows: Any) -> npt.NDArray[np.int64]:
    """Return row numbers as a contiguous int64 array; whether they exist is left to the core."""
    array = np.asarray(rows)
    if array.dtype.kind not in "iu" and array.size:
        raise DTypeError(f"rows: expected integers, not {array.dtype}")
    if array.ndim != 1:
        raise DimensionError(f"rows: expected one dimension, not {array.ndim}")
    if array.dtype == np.uint64 and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise IndexError("rows: expected values below 2**63")
    return np.ascontiguousarray(array, dtype=np.int64)
