"""What a search gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from sutra._concept import Hit
from sutra.results import Path, Texts


class Hits(Sequence[Hit]):
    """What a search found, best first: a sequence of `Hit`, and the same as arrays.

    Contents and metadata are read, for all hits at once, when those of one are first looked at,
    as they were at the time of the search. Until then the hits keep that state of the store in
    memory, also after the store is closed.

    Attributes
    ----------
    ids : (n,) array
        int64 if all are numbers, else of objects.
    distances, scores : (n,) array of float32
        See `Hit`.
    """

    __slots__ = ("_paths", "_read_all", "_texts", "distances", "ids", "scores")

    ids: npt.NDArray[Any]
    distances: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]

    def __init__(
        self,
        ids: npt.NDArray[Any],
        distances: npt.NDArray[np.float32],
        scores: npt.NDArray[np.float32],
        paths: list[Path] | None,
        read_all: Callable[[], Texts] | None,
        texts: Texts | None = None,
    ) -> None:
        self.ids = ids
        self.distances = distances
        self.scores = scores
        self._paths = paths
        self._read_all = read_all
        self._texts = texts

    def _read(self) -> Texts:
        """Contents and metadata; once read, the state of the store is let go of."""
        read_all, texts = self._read_all, self._texts
        if texts is None:
            assert read_all is not None
            self._texts = texts = read_all()
            self._read_all = None
        return texts

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, at: int) -> Hit: ...
    @overload
    def __getitem__(self, at: slice) -> list[Hit]: ...
    def __getitem__(self, at: int | slice) -> Hit | list[Hit]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        id = self.ids[at]  # IndexError for what is not there
        path = None if self._paths is None else self._paths[at]
        found = id if isinstance(id, str) else int(id)
        return Hit(found, self.distances[at], self.scores[at], path, self, at)

    def __iter__(self) -> Iterator[Hit]:
        paths: Sequence[Path | None] = self._paths or [None] * len(self)
        columns = self.ids.tolist(), self.distances.tolist(), self.scores.tolist(), paths
        for at, (id, distance, score, path) in enumerate(zip(*columns, strict=True)):
            yield Hit(id, distance, score, path, self, at)

    def __reduce__(self) -> tuple[object, ...]:
        texts = self._read()
        return Hits, (self.ids, self.distances, self.scores, self._paths, None, texts)

    def __repr__(self) -> str:
        shown = ", ".join(f"{hit.id!r}: {hit.score:.4g}" for hit in self[:5])
        return f"<sutra.Hits {len(self)}: {shown}{', ...' if len(self) > 5 else ''}>"
