"""From what callers of a store pass to operations: lengths, conversions, clear refusals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sutra._arrays import DIM_MAX, as_rows
from sutra._ops import Ids, Operation, link_operation, put_operation
from sutra.errors import ConfigError, DimensionError, InvalidVectorError
from sutra.results import Content, Id, Metadata

GivenIds = Id | Sequence[Id] | npt.NDArray[Any]
GivenNumbers = float | Sequence[float] | npt.NDArray[Any]


def as_floats(given: Any, count: int, name: str) -> npt.NDArray[np.float32]:
    """Return a new float32 array of `count` finite values, or of one for all."""
    if isinstance(given, (str, bytes)) or given is None:
        raise TypeError(f"{name}: expected a number or an array, not {type(given).__name__}")
    array = np.asarray(given)
    if array.dtype.kind not in "fiu" and array.size:
        raise TypeError(f"{name}: expected real numbers, not {array.dtype}")
    if array.ndim > 1 or (array.ndim == 1 and array.shape[0] != count):
        raise ConfigError(f"{name}: expected one, or {count}, not shape {array.shape}")
    with np.errstate(over="ignore"):
        values = np.array(array, dtype=np.float32, order="C", ndmin=1)
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise ConfigError(f"{name}: row {row} is not a finite float32")
    return values


def as_vectors(
    given: Any, dim: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8] | None, bool]:
    """Return rows of our own, which concepts have one (None: all), and whether it is a single one.

    dim 0 means that there has been no vector yet: any length will do.
    """
    has = None
    if isinstance(given, (list, tuple)) and any(item is None for item in given):
        has = np.array([item is not None for item in given], dtype=np.uint8)
        given = [item for item in given if item is not None]
        if not given:
            return np.empty((0, dim), dtype=np.float32), has, False
        if not np.ndim(given[0]):
            raise TypeError("vectors: expected vectors and None, not numbers and None")
    if not dim:
        try:
            given = np.asarray(given)
        except ValueError as error:
            raise DimensionError(f"vectors: rows differ in length ({error})") from None
        if given.ndim not in (1, 2) or not 1 <= given.shape[-1] <= DIM_MAX:
            raise DimensionError(
                f"vectors: expected (n, dim) or (dim,), dim 1 to {DIM_MAX}, not {given.shape}"
            )
        dim = given.shape[-1]
    try:
        rows = as_rows(given, dim, "vectors", True)
    except InvalidVectorError as error:
        if has is None or error.row is None:
            raise
        row = int(np.flatnonzero(has)[error.row])
        raise InvalidVectorError(
            f"vectors: row {row} holds NaN, infinity or a value beyond float32", row=row
        ) from None
    # What the log gets must not change under it: rows are never the caller's memory.
    if rows is given or not rows.flags.owndata:
        rows = rows.copy()
    return rows.reshape(-1, dim), has, rows.ndim == 1


def _as_metadata(given: Sequence[Metadata | None]) -> tuple[bytes | None, ...]:
    from json import JSONEncoder  # on demand: the package imports little

    encode = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
    packed: list[bytes | None] = []
    for row, item in enumerate(given):
        if item is None:
            packed.append(None)
            continue
        if not isinstance(item, dict):
            raise TypeError(f"metadata: row {row}: expected dict, not {type(item).__name__}")
        try:
            packed.append(encode(item).encode())
        except TypeError as error:
            raise TypeError(f"metadata: row {row}: {error}") from None
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"metadata: row {row}: {error}") from None
    return tuple(packed)


def _many(given: Any, single: tuple[type, ...], name: str) -> tuple[tuple[Any, ...], bool]:
    """Return the items of an argument for one concept or for many, and which it was."""
    if isinstance(given, single):
        return (given,), True
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if isinstance(given, (str, bytes, bytearray, dict)):
        raise TypeError(f"{name}: {type(given).__name__} is not allowed here")
    try:
        return tuple(given), False
    except TypeError:
        raise TypeError(f"{name}: expected a sequence, not {type(given).__name__}") from None


def put(
    replace: bool,
    dim: int,
    ids: GivenIds | None,
    vectors: npt.ArrayLike | Sequence[npt.ArrayLike | None] | None,
    contents: Content | Sequence[Content | None] | None,
    metadata: Metadata | Sequence[Metadata | None] | None,
    strength: GivenNumbers,
    confidence: GivenNumbers,
) -> Operation:
    """Return the operation of `Store.add` or `Store.upsert`; dim 0: no vector yet."""
    known: dict[str, tuple[int, bool]] = {}  # argument -> how many, and whether it is one
    made = rows = has = texts = notes = None
    if ids is not None:
        if isinstance(ids, np.ndarray) and ids.ndim == 2:
            raise DimensionError("ids: expected one dimension; vectors are the second argument")
        made = Ids(ids)
        known["ids"] = len(made), made.one
    if vectors is not None:
        rows, has, one = as_vectors(vectors, dim)
        known["vectors"] = len(rows if has is None else has), one
    if contents is not None:
        texts, one = _many(contents, (str, bytes), "contents")
        known["contents"] = len(texts), one
    if metadata is not None:
        items, one = _many(metadata, (dict,), "metadata")
        notes = _as_metadata(items)
        known["metadata"] = len(notes), one
    if not known:
        raise ConfigError("nothing to write: give ids, vectors, contents or metadata")
    (first, (count, _)), *others = known.items()
    for name, (found, one) in others:
        if found != count:
            kind = DimensionError if name == "vectors" else ConfigError
            more = "one" if one else str(found)
            raise kind(f"{name}: expected {count}, as many as {first}, not {more}")
    return put_operation(
        replace,
        made,
        count,
        rows if rows is not None and len(rows) else None,
        has,
        texts,
        notes,
        as_floats(strength, count, "strength"),
        as_floats(confidence, count, "confidence"),
    )


def link(
    src: GivenIds,
    dst: GivenIds,
    kind: str | Sequence[str] | None,
    weight: GivenNumbers,
    confidence: GivenNumbers,
    remove: bool,
) -> Operation:
    """Return the operation of `Store.link` or `Store.unlink`."""
    sources, targets = Ids(src, "src"), Ids(dst, "dst")
    if sources.one and not targets.one:
        sources = sources.repeated(len(targets))
    elif targets.one and not sources.one:
        targets = targets.repeated(len(sources))
    count = len(sources)
    if len(targets) != count:
        raise ConfigError(f"dst: expected {count}, as many as src, not {len(targets)}")
    if kind is None and not remove:
        raise TypeError("kind: expected str, not None")
    if isinstance(kind, (bytes, bytearray)) or not (kind is None or hasattr(kind, "__len__")):
        raise TypeError(f"kind: expected str or a sequence of str, not {type(kind).__name__}")
    return link_operation(
        sources,
        targets,
        kind,
        as_floats(weight, count, "weight"),
        as_floats(confidence, count, "confidence"),
        remove,
    )
