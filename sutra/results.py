"""What a store gives besides concepts and hits: records, links, paths."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Id = int | str
Content = str | bytes
Metadata = dict[str, Any]
# Of a search: ids, distances, scores, slots, concept numbers.
Found = tuple[
    npt.NDArray[Any],
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
    npt.NDArray[np.uint32],
    npt.NDArray[np.uint32],
]
Texts = tuple[list[Content | None], list[bytes | None]]  # contents, and metadata as JSON

__all__ = [
    "Content",
    "Id",
    "Link",
    "Metadata",
    "Path",
    "Record",
    "Related",
    "SearchPlan",
    "WriteResult",
]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def _moment(ns: int) -> datetime.datetime:
    return _EPOCH + datetime.timedelta(microseconds=ns // 1000)


def parsed_metadata(raw: bytes | None) -> Metadata | None:
    """Return what JSON says; None for None."""
    if raw is None:
        return None
    from json import loads  # on demand: the package imports little

    parsed: Metadata = loads(raw)
    return parsed


def shortened(content: Content) -> str:
    """Return the start of a content, for a repr."""
    return repr(content if len(content) <= 40 else content[:37]) + "..." * (len(content) > 40)


class Record(NamedTuple):
    """What the store keeps about a concept besides what was given to it.

    Attributes
    ----------
    created_ns : int
        When the id was first added (again, after a deletion), in nanoseconds since 1970, UTC.
    accessed_ns : int
        When it was last written or touched.
    strength, confidence : float
        As given with the latest `add` or `upsert`, as float32.
    reference_count : int
        Associations that point to it.
    """

    created_ns: int
    accessed_ns: int
    strength: float
    confidence: float
    reference_count: int

    @property
    def created(self) -> datetime.datetime:
        """`created_ns` as a datetime in UTC, cut to microseconds."""
        return _moment(self.created_ns)

    @property
    def accessed(self) -> datetime.datetime:
        """`accessed_ns` as a datetime in UTC, cut to microseconds."""
        return _moment(self.accessed_ns)


@dataclass(frozen=True, slots=True)
class Path:
    """A way along associations.

    Attributes
    ----------
    ids : tuple of int and str
        The concepts, from the first to the last.
    kinds : tuple of str
        The kinds of the edges between them: one fewer.
    score : float
        Of `Store.paths`: the product of the confidences. Of `Store.expand` and `Store.related`:
        the score of what the path leads to.
    """

    ids: tuple[Id, ...]
    kinds: tuple[str, ...]
    score: float

    @property
    def steps(self) -> list[tuple[Id, str, Id]]:
        """The edges: (source, kind, target)."""
        return list(zip(self.ids, self.kinds, self.ids[1:], strict=False))


@dataclass(frozen=True, slots=True)
class Related:
    """A concept found along associations.

    Attributes
    ----------
    id : int or str
        Of the concept.
    hops : int
        Edges on the shortest way to it.
    score : float
        The largest product of weights over the ways of that many edges.
    path : Path
        Such a way.
    """

    id: Id
    hops: int
    score: float
    path: Path


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """How a query was answered.

    Attributes
    ----------
    kind : {"scan", "walk", "code scan", "filtered walk"}
        Exact distances to everything that may be found; the graph; the codes of everything that
        passes the filter, with the best compared again; the graph, over what passes alone.
    why : str
        In words.
    passing : int
        About how many vectors may be found: all of them without a filter.
    looked : int
        Vectors compared and neighbour lists read; 0 where they are not counted.
    gave_up : bool
        A walk was begun, and left for a scan because that was cheaper.
    doubtful : bool
        Codes could not tell near from far, so exact distances decided.
    matching : int or None
        Concepts that meet the condition of `where`, with a vector or without; None if there was
        no condition.
    declared, scanned : tuple of str
        The fields of the condition: those that are declared, and those for which the metadata of
        all concepts was read.
    """

    kind: str
    why: str
    passing: int
    looked: int
    gave_up: bool
    doubtful: bool
    matching: int | None = None
    declared: tuple[str, ...] = ()
    scanned: tuple[str, ...] = ()

    def _given(self, count: int, declared: tuple[str, ...], scanned: tuple[str, ...]) -> SearchPlan:
        """Return this plan, of a search with a condition."""
        facts = [f"{count:,} concepts meet the condition"]
        if declared:
            facts.append(f"declared: {', '.join(declared)}")
        if scanned:
            facts.append(f"not declared, so all metadata was read: {', '.join(scanned)}")
        return dataclasses.replace(
            self,
            why=f"{self.why}; {'; '.join(facts)}",
            matching=count,
            declared=declared,
            scanned=scanned,
        )


_WHY = {
    "scan": "asked to be exact, or there are few vectors",
    "walk": "no filter, and enough vectors for a graph",
    "code scan": "comparing what passes costs less than a walk",
    "filtered walk": "so much passes that a walk costs less than comparing it",
}


def as_plans(rows: list[tuple[str, int, int, bool, bool]]) -> list[SearchPlan]:
    """Return plans as the core reports them in the form that users get."""
    plans = []
    for kind, passing, looked, gave_up, doubtful in rows:
        why = _WHY[kind]
        if gave_up:
            why += "; it turned out dearer, so what passes was compared"
        if doubtful:
            why += "; what passes lies too evenly for codes, so vectors were compared"
        plans.append(SearchPlan(kind, why, passing, looked, gave_up, doubtful))
    return plans


class Link(NamedTuple):
    """An association.

    Attributes
    ----------
    source, target : int or str
        The concepts, in the direction of the edge.
    kind : str
        The name of its kind.
    weight, confidence : float
        As given, as float32.
    created_ns : int
        When it was last linked, in nanoseconds since 1970, UTC.
    """

    source: Id
    target: Id
    kind: str
    weight: float
    confidence: float
    created_ns: int

    @property
    def created(self) -> datetime.datetime:
        """`created_ns` as a datetime in UTC, cut to microseconds."""
        return _moment(self.created_ns)


@dataclass(frozen=True, slots=True, eq=False)
class WriteResult:
    """What a write did.

    Attributes
    ----------
    ids : (n,) array
        Of `add` and `upsert`: the ids, given or assigned, int64 if all are numbers, else of
        objects; an array of one for a single concept. Empty for other writes.
    count : int
        Concepts put, removed or touched; edges set or removed. -1 inside `Store.batch`, where
        nothing has happened yet.
    lsn : int
        Sequence number of the write, for `Store.wait_durable`; -1 inside `Store.batch`.
    """

    ids: npt.NDArray[Any]
    count: int
    lsn: int
