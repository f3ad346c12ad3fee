"""Reading a store: concepts by id, in order, and by their vectors."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from sutra import _settings
from sutra._arrays import COUNT_MAX, K_MAX, check_count
from sutra._concept import Concept
from sutra._ops import Ids
from sutra._reading import (
    NO_SLOT,
    STEP,
    Floats,
    Uint32s,
    as_concept_sets,
    as_queries,
    scanned,
    steps,
)
from sutra._recall import DEFAULT_EF, Keys, Subject
from sutra._search import Plans
from sutra._view import ViewCore
from sutra._within import FIRST, check_radius, within
from sutra._writing import GivenIds
from sutra.errors import ConfigError, NotFoundError
from sutra.hits import Hits
from sutra.results import Id, Path, SearchPlan, as_plans
from sutra.tuning import Measurable, Tuning

StoreFilters = GivenIds | Sequence[GivenIds]


class Reader(Measurable):
    """The reading half of a store. Not made directly: `Store` and `ReadView` are readers.

    Every call sees one state of the store, whole. Nothing here writes, not even when a concept
    was last accessed.
    """

    __slots__ = ()

    @abstractmethod
    def _view(self) -> ViewCore:
        """Return the state to look at."""

    @abstractmethod
    def _cores(self) -> int:
        """Return how many threads a search may use."""

    @abstractmethod
    def _tuned(self) -> Tuning:
        """Return what searches were tuned to."""

    def _subject(self) -> Subject:
        return StateSubject(self._view(), self._cores(), self._tuned())

    def _hits(
        self,
        view: ViewCore,
        ids: npt.NDArray[Any],
        distances: Floats,
        scores: Floats,
        slots: Uint32s,
        concepts: Uint32s,
        paths: list[Path] | None = None,
    ) -> Hits:
        read_all = functools.partial(view.read_contents, slots, concepts)
        return Hits(ids, distances, scores, paths, read_all)

    def _setting(self, name: str) -> bytes | None:
        """Return a setting of the store, as it is now: settings have no versions.

        A view that is older than a compaction sees those of before it.

        Raises
        ------
        TypeError, ConfigError
            If no setting can have that name: text of 1 to 255 bytes in UTF-8.
        ClosedError
            If the store is closed or the view has ended.
        """
        return _settings.read(self._view(), name)

    def _settings(self) -> list[str]:
        """Return the names of all settings, in the order of their bytes."""
        return _settings.names(self._view())

    def __len__(self) -> int:
        return len(self._view())

    def __contains__(self, id: object) -> bool:
        view = self._view()
        if isinstance(id, (bool, np.ndarray)):
            return False
        if not isinstance(id, str) and not hasattr(id, "__index__"):
            return False
        try:
            slots, _ = view.find(Ids(id))
        except ConfigError:  # a number or a text that no concept can have
            return False
        return bool(slots[0] != NO_SLOT)

    def __getitem__(self, id: Id) -> Concept:
        """Return a concept, its vector included.

        Raises
        ------
        NotFoundError
            If there is no such id: a KeyError.
        TypeError, ConfigError
            If it is no id.
        ClosedError
            If the store is closed or the view has ended.
        """
        if not isinstance(id, str) and not hasattr(id, "__index__"):
            raise TypeError(f"expected an id, int or str, not {type(id).__name__}")
        (concept,) = self.get(id, vectors=True)
        if concept is None:
            raise NotFoundError(f"no concept has the id {id!r}", id=id)
        return concept

    def __iter__(self) -> Iterator[Id]:
        """Go through the ids in the order they were first added, at the state of the start."""
        view = self._view()
        return (id for _, concepts in steps(view) for id in view.ids_of(concepts).tolist())

    def get(self, ids: GivenIds, *, vectors: bool = False) -> list[Concept | None]:
        """Return concepts in the order they are asked for.

        Parameters
        ----------
        ids : int, str, or (n,) sequence of them
            A single id gives a list of one.
        vectors : bool
            Also read the vectors, as they were given, for any metric; decoded from the codes
            where originals are not kept.

        Returns
        -------
        list of Concept or None
            None for an id that is not there.

        Raises
        ------
        TypeError, ConfigError
            If something is no id.
        ClosedError
            If the store is closed or the view has ended.
        CorruptError
            If the files are damaged.

        Notes
        -----
        O(1) an id. The GIL is released while ids are looked up and contents come from the disk.
        """
        view = self._view()
        return view.read(*view.find(Ids(ids)), vectors)

    def records(self, ids: GivenIds) -> npt.NDArray[Any]:
        """Return what the store keeps about concepts, as one array: the fast way to many.

        Parameters
        ----------
        ids : int, str, or (n,) sequence of them
            An array of int64 is fastest.

        Returns
        -------
        (n,) structured array
            Fields ``found``, ``reference_count``, ``created``, ``accessed`` (datetime64[ns]),
            ``strength``, ``confidence``; zeros where ``found`` is False.

        Raises
        ------
        TypeError, ConfigError, ClosedError
            As for `get`.

        Notes
        -----
        The GIL is released.
        """
        return self._view().records(Ids(ids))

    def scan(self, start: int = 0, limit: int | None = None) -> Iterator[Concept]:
        """Go through the concepts in the order their ids were first added.

        Parameters
        ----------
        start : int
            How many to pass over.
        limit : int, optional
            How many to give at most. Default: all.

        Returns
        -------
        iterator of Concept
            Without vectors. It sees the state at the time of the call.

        Raises
        ------
        TypeError, ConfigError, ClosedError
            At the call.
        """
        first = check_count(start, "start", 0, 2**63 - 1)
        most = 2**63 - 1 if limit is None else check_count(limit, "limit", 0, 2**63 - 1)
        return scanned(self._view(), first, most)

    @overload
    def search(
        self,
        query: Sequence[float],
        k: int = ...,
        *,
        ef: int | None = ...,
        exact: bool = ...,
        recall: float | None = ...,
        threads: int = ...,
        filter: StoreFilters | None = ...,
        radius: float | None = ...,
        limit: int | None = ...,
    ) -> Hits: ...
    @overload
    def search(
        self,
        query: Sequence[Sequence[float]],
        k: int = ...,
        *,
        ef: int | None = ...,
        exact: bool = ...,
        recall: float | None = ...,
        threads: int = ...,
        filter: StoreFilters | None = ...,
        radius: float | None = ...,
        limit: int | None = ...,
    ) -> list[Hits]: ...
    @overload
    def search(
        self,
        query: npt.ArrayLike,
        k: int = ...,
        *,
        ef: int | None = ...,
        exact: bool = ...,
        recall: float | None = ...,
        threads: int = ...,
        filter: StoreFilters | None = ...,
        radius: float | None = ...,
        limit: int | None = ...,
    ) -> Any: ...
    def search(
        self,
        query: npt.ArrayLike,
        k: int = 10,
        *,
        ef: int | None = None,
        exact: bool = False,
        recall: float | None = None,
        threads: int = 0,
        filter: StoreFilters | None = None,
        radius: float | None = None,
        limit: int | None = None,
    ) -> Any:
        """Find the concepts with the nearest vectors.

        Parameters
        ----------
        query : (dim,) or (q, dim) array-like of float16, float32, float64 or integers
            One vector, or several.
        k : int
            How many, 1 to 1,048,576.
        ef : int, optional
            Width of the graph walk: wider finds more of the true nearest, slower. Default
            the tuned value, or 64; never less than k.
        exact : bool
            Compare with every vector instead of walking.
        recall : float, optional
            Walk as wide as `Store.tune` has found to reach this recall of `k` neighbours. Instead
            of `ef`.
        threads : int
            For several queries at once. 0 means all cores this process may use. One query runs
            on one thread.
        filter : sequence of ids, or array, optional
            Which concepts may be found: ids; or, where ids are numbers, a mask (bool) or a bitmap
            (uint8, as ``numpy.packbits(mask, bitorder="little")``) whose place i stands for id i.
            Ids that are not there change nothing. One for all queries, or a list with one for
            each.
        radius : float, optional
            Find everything at this distance or nearer instead of `k`.
        limit : int, optional
            The most that a search with a radius finds: the nearest so many. Default 10,000.

        Returns
        -------
        Hits, or list of Hits
            For one vector, or for several: best first, fewer than k if there are fewer.

        Raises
        ------
        DimensionError, DTypeError
            If shape or element type do not fit.
        InvalidVectorError
            If a query (`row`) holds NaN or infinity, or its square is no float32.
        ConfigError
            If `k`, `ef` or `threads` is out of range; the store is not tuned to reach `recall`;
            there are not as many filters as queries; `radius` is NaN or `limit` has none.
        ClosedError, MemoryError
            If the store is closed or the view has ended; there is no room.

        Notes
        -----
        Sees every write that was acknowledged before the call: what is not yet linked into the
        graph is scanned. The GIL is released. Any number of searches run side by side, also
        beside writers.

        With a filter, what costs least is done, see `explain`: few concepts that pass are
        compared one by one, many are found by a walk over them alone. Every id of a filter is
        looked up, some 50 ns each.
        """
        view = self._view()
        if radius is None and limit is None:
            width = self._width(k, ef, exact, recall)
            return self._search(view, query, k, width, exact, threads, filter, None)
        bounds = check_radius(radius, limit)
        width = self._width(min(FIRST, bounds[1]), ef, exact, recall)
        return self._search(view, query, 1, width, exact, threads, filter, None, bounds)

    def explain(
        self,
        query: npt.ArrayLike,
        k: int = 10,
        *,
        ef: int | None = None,
        exact: bool = False,
        filter: StoreFilters | None = None,
    ) -> SearchPlan | list[SearchPlan]:
        """Search as `search` does, on one thread, and report how it was done.

        Parameters
        ----------
        query, k, ef, exact, filter
            As of `search`.

        Returns
        -------
        SearchPlan, or list of SearchPlan
            For one query, or for several.

        Raises
        ------
        DimensionError, DTypeError, InvalidVectorError, ConfigError, ClosedError, MemoryError
            As of `search`.
        """
        view = self._view()
        rows = as_queries(query, view.dim)
        plans = Plans(1 if rows.ndim == 1 else len(rows))
        width = self._width(k, ef, exact, None)
        self._search(view, rows, k, width, exact, 1, filter, plans)
        made = as_plans(plans.rows())
        return made[0] if rows.ndim == 1 else made

    def _width(self, k: int, ef: int | None, exact: bool, recall: float | None) -> int:
        """Return the ef to search with; 0 for the core's default."""
        wanted = check_count(k, "k", 1, K_MAX)
        tuned = self._tuned()
        if recall is not None:
            return tuned.width(recall, wanted, ef, exact)
        return (tuned.default or 0) if ef is None else check_count(ef, "ef", 1, COUNT_MAX)

    def _search(
        self,
        view: ViewCore,
        query: npt.ArrayLike,
        k: int,
        width: int,
        exact: bool,
        threads: int,
        filter: StoreFilters | None,
        plans: Plans | None,
        bounds: tuple[float, int] | None = None,
    ) -> Hits | list[Hits]:
        """Search; bounds: a radius and a limit, in place of k."""
        workers = check_count(threads, "threads", 0, 1024)
        rows = as_queries(query, view.dim)
        single = rows.ndim == 1
        if single:
            rows = rows[None]
        elif not workers:
            workers = self._cores()
        sets = None if filter is None else as_concept_sets(view, filter, len(rows))
        if not view.dim:
            none = np.empty(0, dtype=np.float32)
            empty = [Hits(none.astype(np.int64), none, none, None, None, ([], []))]
            return empty[0] if single else empty * len(rows)
        found: list[Any]
        if bounds is None:
            found = view.search(rows, k, width, exact, max(workers, 1), sets, plans)
        else:

            def search(left: npt.NDArray[np.intp], most: int, ef: int) -> list[Any]:
                some = None if sets is None else sets.some(left.tolist())
                return view.search(rows[left], most, ef, exact, max(workers, 1), some)

            found = within(search, len(rows), *bounds, width)
        hits = [self._hits(view, *one) for one in found]
        return hits[0] if single else hits


class StateSubject(Subject):
    """One state of a store as what is measured; its keys are slots."""

    __slots__ = ("_cores", "_view")

    def __init__(self, view: ViewCore, cores: int, tuned: Tuning) -> None:
        if not view.dim:
            raise ConfigError("there are no vectors to measure with")
        super().__init__(view.dim, view.metric, tuned.default or DEFAULT_EF)
        self._view = view
        self._cores = cores

    def __len__(self) -> int:
        return len(self._view)

    def sample(self, count: int, seed: int) -> tuple[Keys, Floats]:
        """Draw concepts until there are enough with a vector."""
        none = np.empty(0, dtype=np.uint32)
        all_slots = np.concatenate([none, *(slots for slots, _ in steps(self._view))])
        order = np.random.default_rng(seed).permutation(all_slots)
        rows = [np.empty((0, self.dim), dtype=np.float32)]
        keys = [none]
        found = 0
        for first in range(0, len(order), STEP):
            slots = order[first : first + STEP]
            vectors, having = self._view.vectors(slots)
            rows.append(vectors)
            keys.append(slots[having])
            found += len(vectors)
            if found >= count:
                break
        return np.concatenate(keys)[:count].astype(np.int64), np.concatenate(rows)[:count]

    def search(
        self,
        rows: Floats,
        k: int,
        ef: int | None,
        threads: int,
        without: Keys | None = None,
    ) -> tuple[Keys, Floats]:
        """Search the state."""
        keys = np.full((len(rows), k), -1, dtype=np.int64)
        distances = np.full((len(rows), k), np.inf, dtype=np.float32)
        workers = threads or self._cores
        if without is not None:
            without = np.ascontiguousarray(without, dtype=np.int64)
        found = self._view.search(rows, k, ef or 0, ef is None, workers, without=without)
        for row, (_, near, _, slots, _) in enumerate(found):
            keys[row, : len(slots)] = slots
            distances[row, : len(near)] = near
        return keys, distances
