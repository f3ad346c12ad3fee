"""A state of a store that stays."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from sutra._view import ViewCore
from sutra.hits import Hits
from sutra.relations import RelationReader
from sutra.tuning import Tuning


class ReadView(RelationReader):
    """A state of a store that stays as it is, whatever is written meanwhile.

    Made by `Store.read_view`. Every read through it is repeatable bit for bit, but for
    approximate searches, which may find more of the same state as the graph grows; they are tuned
    as the store was. Ends with its
    ``with`` block, with `close`, or when nobody refers to it; it may outlive the store's `close`.

    While a view is open the store keeps what it sees, so it should not stay open for ever.

    Attributes
    ----------
    generation : int
        Sequence number of the last write it sees.
    """

    __slots__ = ("_core", "_fields_noticed", "_threads", "_tuning", "generation")

    generation: int

    def __init__(self, core: ViewCore, threads: int, tuning: Tuning, noticed: set[str]) -> None:
        self._core = core
        self._fields_noticed = noticed
        self._threads = threads
        self._tuning = tuning
        self.generation = core.lsn

    def _view(self) -> ViewCore:
        self._core.check()
        return self._core

    def _cores(self) -> int:
        return self._threads

    def _tuned(self) -> Tuning:
        return self._tuning

    def _noticed(self) -> set[str]:
        return self._fields_noticed

    def _hits(self, view: ViewCore, *found: Any) -> Hits:
        hits = super()._hits(view, *found)
        hits._read()  # the view may end before they are looked at
        return hits

    def close(self) -> None:
        """End the view; calls in flight finish. Ending it twice is no error."""
        self._core.end()

    def __enter__(self) -> Self:
        self._core.check()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError("a ReadView cannot be pickled: begin one where it is needed")

    def __repr__(self) -> str:
        return f"<sutra.ReadView at {self.generation}, {len(self._core):,} concepts>"
