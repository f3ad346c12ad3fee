"""Libraries that rows come to and go from, for bench.turnover: one class each."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from bench import adapters, data, machine, report, store_large

K = 10
M, EF_CONSTRUCTION = 16, 200


class Kept(ABC):
    """A library with an index that rows come to and go from. Ids are row numbers of the set."""

    module: ClassVar[str]
    reopened: ClassVar[bool] = False
    """Whether it is measured after closing and opening."""

    def __init__(self, dim: int, metric: str, rows: int, ef: int, folder: Path) -> None:
        self.dim, self.metric, self.rows, self.ef, self.folder = dim, metric, rows, ef, folder
        self.open()

    @abstractmethod
    def open(self) -> None:
        """Make it empty, or open what is in the folder."""

    @abstractmethod
    def add(self, ids: data.Ids, vectors: data.F32) -> None:
        """Add rows."""

    @abstractmethod
    def delete(self, ids: data.Ids) -> None:
        """Delete rows."""

    def finish(self) -> None:  # noqa: B027
        """Wait for whatever goes on behind."""

    @abstractmethod
    def search(self, query: data.F32) -> Sequence[int]:
        """Ids of the nearest, at the ef it was made with."""

    def verify(self) -> str:
        """What checking itself says; empty where the library cannot."""
        return ""

    def originals(self) -> int:
        """Resident bytes of float32 originals that searches do not walk on."""
        return 0

    def close(self) -> None:  # noqa: B027
        """Leave what was made in the folder, where it is measured reopened."""


class Index(Kept):
    """sutra.Index."""

    module = "sutra"

    def open(self) -> None:
        self.index = importlib.import_module("sutra").Index(
            self.dim, metric=self.metric, m=M, ef_construction=EF_CONSTRUCTION
        )

    def add(self, ids: data.Ids, vectors: data.F32) -> None:
        self.index.add(vectors, ids)

    def delete(self, ids: data.Ids) -> None:
        if self.index.delete(ids) != len(ids):
            raise AssertionError("not all that was there was deleted")

    def search(self, query: data.F32) -> Sequence[int]:
        found: Sequence[int] = self.index.search(query, K, ef=self.ef, threads=1).ids
        return found

    def verify(self) -> str:
        return verdict(lambda: self.index.verify(deep=True))

    def originals(self) -> int:
        return report.originals_resident(machine.plain(self.index.stats())) or 0


class Store(Kept):
    """sutra.Store."""

    module = "sutra"
    reopened = True

    def open(self) -> None:
        self.store = importlib.import_module("sutra").open(
            self.folder / "store", dim=self.dim, metric=self.metric
        )

    def add(self, ids: data.Ids, vectors: data.F32) -> None:
        self.store.add(ids, vectors)

    def delete(self, ids: data.Ids) -> None:
        if self.store.delete(ids) != len(ids):
            raise AssertionError("not all that was there was deleted")

    def finish(self) -> None:
        self.store.settle()

    def search(self, query: data.F32) -> Sequence[int]:
        found: Sequence[int] = self.store.search(query, K, ef=self.ef, threads=1).ids
        return found

    def verify(self) -> str:
        return verdict(lambda: self.store.verify(deep=True))

    def originals(self) -> int:
        return store_large.resident_originals(self.folder)

    def close(self) -> None:
        self.store.close()
        for file in self.folder.rglob("*"):
            if file.is_file():
                adapters.drop_from_cache(file)


class StoreCompacted(Store):
    """The same, compacted after the last turnover."""

    def finish(self) -> None:
        self.store.settle()
        self.store.compact()
        self.store.settle()


class Hnswlib(Kept):
    """hnswlib with replace_deleted."""

    module = "hnswlib"

    def open(self) -> None:
        self.index = importlib.import_module("hnswlib").Index(self.metric, self.dim)
        self.index.init_index(
            self.rows, M=M, ef_construction=EF_CONSTRUCTION, allow_replace_deleted=True
        )
        self.index.set_ef(self.ef)

    def add(self, ids: data.Ids, vectors: data.F32) -> None:
        self.index.add_items(vectors, ids, replace_deleted=True)

    def delete(self, ids: data.Ids) -> None:
        for id in ids.tolist():
            self.index.mark_deleted(id)

    def search(self, query: data.F32) -> Sequence[int]:
        found: Sequence[int] = self.index.knn_query(query, K, num_threads=1)[0][0]
        return found


LIBRARIES: dict[str, type[Kept]] = {
    "sutra-index": Index,
    "sutra-store": Store,
    "sutra-store-compacted": StoreCompacted,
    "hnswlib": Hnswlib,
}


def verdict(check: Callable[[], Any]) -> str:
    """What a check of its own says."""
    try:
        check()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "ok"
