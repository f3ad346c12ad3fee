"""Writes that are collected, and done all or not at all."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from sutra._ops import Operation
from sutra._store import StoreCore
from sutra.errors import ClosedError, SutraError
from sutra.results import WriteResult
from sutra.writer import Writer


class Batch(Writer):
    """Writes of one thread that happen all or not at all, as one record of the log.

    Made by `Store.batch`. Inside the ``with`` block, writes through the batch, and those of the
    same thread through the store, are checked for form, copied and kept. When the block ends
    they are done in order, later ones seeing what earlier ones did; when it ends by an exception,
    or one of them fails, none is.

    Reads inside the block do not see what is kept. Ids that the store assigns are known at once.

    Attributes
    ----------
    results : list of WriteResult
        After the block: what each write did, in order, with its count and the common `lsn`.
    lsn : int or None
        After the block, unless it was empty: sequence number of the batch.
    """

    __slots__ = (
        "_core",
        "_fields_noticed",
        "_local",
        "_operations",
        "_thread",
        "lsn",
        "results",
    )

    results: list[WriteResult]
    lsn: int | None

    def __init__(self, core: StoreCore, local: threading.local, noticed: set[str]) -> None:
        self._core = core
        self._fields_noticed = noticed
        self._local = local
        self._operations: list[Operation] = []
        self._thread: int | None = None  # whose block it is; -1: ended
        self.results = []
        self.lsn = None

    def _dim(self) -> int:
        return self._core.dim

    def _noticed(self) -> set[str]:
        return self._fields_noticed

    def _apply(self, operation: Operation) -> WriteResult:
        if self._thread != threading.get_ident():
            raise ClosedError("the batch is open only inside its with block, to its own thread")
        if operation.chooses and any(earlier.puts for earlier in self._operations):
            raise SutraError(
                "delete(where=) comes before what a batch adds: it looks at what is there before "
                "the batch"
            )
        if operation.unassigned:
            operation.assign(self._core.reserve_numbers(operation.count))
        self._operations.append(operation)
        return WriteResult(operation.put_ids(-1), -1, -1)

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise SutraError("a batch is used once")
        if getattr(self._local, "batch", None) is not None:
            raise SutraError("a batch of this store is open in this thread: they do not nest")
        self._thread = threading.get_ident()
        self._local.batch = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._local.batch = None
        self._thread = -1
        operations, self._operations = self._operations, []
        if kind is None and operations:
            self.lsn, self.results = commit(self._core, operations)

    def __repr__(self) -> str:
        return f"<sutra.Batch of {len(self._operations) or len(self.results)} writes>"


def commit(core: StoreCore, operations: list[Operation]) -> tuple[int, list[WriteResult]]:
    """Do operations now, all or none; those without items are not worth a record."""
    written = [operation for operation in operations if operation.count]
    lsn, done = core.write(written) if written else (core.visible_lsn, [])
    if core.secure_delete and core.stats()["dead_slots"]:
        core.compact()
    counts = iter(done)
    results = []
    for operation in operations:
        count, first = next(counts) if operation.count else (0, 0)
        results.append(WriteResult(operation.put_ids(first), count, lsn))
    return lsn, results
