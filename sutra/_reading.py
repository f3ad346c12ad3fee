"""What reading a store needs: arguments, scores, steps of a scan."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sutra._arrays import DIM_MAX, as_rows
from sutra._concept import Concept
from sutra._ops import Ids
from sutra._view import ViewCore
from sutra._writing import GivenIds
from sutra.errors import ConfigError, DimensionError, NotFoundError

NO_SLOT = np.uint32(0xFFFFFFFF)
STEP = 1024  # concepts that a scan reads at once
HOPS_MAX = 1000

Floats = npt.NDArray[np.float32]
Uint32s = npt.NDArray[np.uint32]
Bits = npt.NDArray[np.uint8]  # a bitmap, the lowest bit of a byte first


def as_queries(query: npt.ArrayLike, dim: int) -> Floats:
    """Return one query, or rows; dim 0: of any length."""
    if not dim:
        dim = np.asarray(query).shape[-1] if np.ndim(query) else 1
        if not 1 <= dim <= DIM_MAX:
            raise DimensionError(f"query: expected vectors of length 1 to {DIM_MAX}, not {dim}")
    return as_rows(query, dim, "query", True)


def numbers_of(view: ViewCore, ids: GivenIds, name: str) -> Uint32s:
    """Return concept numbers, or raise NotFoundError for the first id that is not there."""
    wanted = Ids(ids, name)
    if name != "ids" and not wanted.one:
        raise TypeError(f"{name}: expected one id, not {len(wanted)}")
    slots, numbers = view.find(wanted)
    if (slots == NO_SLOT).any():
        id = wanted.name(int(np.argmax(slots == NO_SLOT)))
        raise NotFoundError(f"{name}: no concept has the id {id!r}", id=id)
    return numbers


def as_kind(kind: Any) -> str:
    if not isinstance(kind, str):
        raise TypeError(f"kind: expected str, not {type(kind).__name__}")
    try:
        kind.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"kind={kind!r} is no valid text ({error})") from None
    return kind


def as_kinds(kinds: str | Sequence[str] | None) -> list[str] | None:
    if kinds is None:
        return None
    return [as_kind(kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)]


def as_number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected a number, not {type(value).__name__}") from None
    if np.isnan(number):
        raise ConfigError(f"{name} is not a number")
    return number


def steps(view: ViewCore) -> Iterator[tuple[Uint32s, Uint32s]]:
    """Give slots and numbers of all concepts, some at a time."""
    at = 0
    while True:
        slots, concepts, at = view.scan(at, STEP)
        if len(slots):
            yield slots, concepts
        if len(slots) < STEP:
            return


def scanned(view: ViewCore, start: int, most: int, bits: Bits | None) -> Iterator[Concept]:
    """Give concepts in order; bits: only those whose numbers are in this bitmap."""
    for slots, concepts in steps(view):
        if bits is not None:
            inside = among(bits, concepts)
            slots, concepts = slots[inside], concepts[inside]
        if start >= len(slots):
            start -= len(slots)
            continue
        slots, concepts = slots[start:][:most], concepts[start:][:most]
        start = 0
        most -= len(slots)
        yield from (one for one in view.read(slots, concepts, False) if one is not None)
        if not most:
            return


def among(bits: Bits, concepts: Uint32s) -> npt.NDArray[np.bool_]:
    """Return which of some concept numbers are in a bitmap."""
    inside: npt.NDArray[np.bool_] = concepts < 8 * len(bits)
    if not len(bits):
        return inside
    places = np.where(inside, concepts, 0)
    found: npt.NDArray[np.bool_] = (bits[places >> 3] >> (places & 7) & 1).astype(np.bool_)
    return inside & found


def warn_unless(complete: bool, name: str) -> None:
    if not complete:
        warnings.warn(
            f"{name}: there are more associations here than one call looks at: the result is "
            "what was found until then",
            RuntimeWarning,
            stacklevel=3,
        )
