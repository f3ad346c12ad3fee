"""Searching a store: by vectors, among what passes filters and conditions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from sutra._arrays import COUNT_MAX, K_MAX, check_count
from sutra._matching import Found, as_found
from sutra._reading import STEP, Floats, as_queries, steps
from sutra._recall import DEFAULT_EF, Keys, Subject
from sutra._search import Plans
from sutra._view import ViewCore
from sutra._within import FIRST, check_radius, within
from sutra._writing import GivenIds
from sutra.errors import ConfigError
from sutra.hits import Hits
from sutra.reader import Reader
from sutra.results import SearchPlan, as_plans
from sutra.tuning import Tuning
from sutra.where import Where

StoreFilters = GivenIds | Sequence[GivenIds]
Wheres = Where | Sequence[Where]


class Searcher(Reader):
    """The reading half of a store, searches included. Not made directly."""

    __slots__ = ()

    def _subject(self) -> Subject:
        return StateSubject(self._view(), self._cores(), self._tuned())

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
        where: Wheres | None = ...,
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
        where: Wheres | None = ...,
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
        where: Wheres | None = ...,
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
        where: Wheres | None = None,
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
        where : Condition or dict, or sequence of them, optional
            What the metadata of a concept must be like for it to be found: `F.year >= 1990`, or
            ``{"year": {"$gte": 1990}}``. With a `filter`, both must hold. One for all queries, or
            a list with one for each.
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
            there are not as many filters or conditions as queries; a condition is none; `radius`
            is NaN or `limit` has none.
        TypeError
            If something else is given than listed above.
        ClosedError, MemoryError
            If the store is closed or the view has ended; there is no room.

        Warns
        -----
        SlowFilterWarning
            Once for each field of a `where` that is not declared, if there are many concepts: all
            their metadata is read. `Store.index_field` makes that fast.

        Notes
        -----
        Sees every write that was acknowledged before the call: what is not yet linked into the
        graph is scanned. The GIL is released. Any number of searches run side by side, also
        beside writers.

        With a filter, what costs least is done, see `explain`: few concepts that pass are
        compared one by one, many are found by a walk over them alone. Every id of a filter is
        looked up, some 50 ns each; a condition goes through all concepts, once a call and not once
        a query.
        """
        view = self._view()
        if radius is None and limit is None:
            width = self._width(k, ef, exact, recall)
            return self._search(view, query, k, width, exact, threads, filter, where)[0]
        bounds = check_radius(radius, limit)
        width = self._width(min(FIRST, bounds[1]), ef, exact, recall)
        return self._search(view, query, 1, width, exact, threads, filter, where, bounds=bounds)[0]

    def explain(
        self,
        query: npt.ArrayLike,
        k: int = 10,
        *,
        ef: int | None = None,
        exact: bool = False,
        filter: StoreFilters | None = None,
        where: Wheres | None = None,
    ) -> SearchPlan | list[SearchPlan]:
        """Search as `search` does, on one thread, and report how it was done.

        Parameters
        ----------
        query, k, ef, exact, filter, where
            As of `search`.

        Returns
        -------
        SearchPlan, or list of SearchPlan
            For one query, or for several.

        Raises
        ------
        DimensionError, DTypeError, InvalidVectorError, ConfigError, ClosedError, MemoryError
            As of `search`.

        Warns
        -----
        SlowFilterWarning
            As `search`.
        """
        view = self._view()
        rows = as_queries(query, view.dim)
        plans = Plans(1 if rows.ndim == 1 else len(rows))
        width = self._width(k, ef, exact, None)
        _, found = self._search(view, rows, k, width, exact, 1, filter, where, plans)
        made = as_plans(plans.rows())
        if found.matches:
            made = [
                plan._given(match.count, match.declared, match.scanned)
                for plan, match in zip(made, cycle(found.matches), strict=False)
            ]
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
        where: Wheres | None,
        plans: Plans | None = None,
        bounds: tuple[float, int] | None = None,
    ) -> tuple[Hits | list[Hits], Found]:
        """Search, and say among what; bounds: a radius and a limit, in place of k."""
        workers = check_count(threads, "threads", 0, 1024)
        rows = as_queries(query, view.dim)
        single = rows.ndim == 1
        if single:
            rows = rows[None]
        elif not workers:
            workers = self._cores()
        among = as_found(view, filter, where, len(rows), self._noticed())
        if not view.dim:
            none = np.empty(0, dtype=np.float32)
            empty = [Hits(none.astype(np.int64), none, none, None, None, ([], []))]
            return empty[0] if single else empty * len(rows), among
        sets = among.sets
        found: list[Any]
        if bounds is None:
            found = view.search(rows, k, width, exact, max(workers, 1), sets, plans)
        else:

            def search(left: npt.NDArray[np.intp], most: int, ef: int) -> list[Any]:
                some = None if sets is None else sets.some(left.tolist())
                return view.search(rows[left], most, ef, exact, max(workers, 1), some)

            found = within(search, len(rows), *bounds, width)
        hits = [self._hits(view, *one) for one in found]
        return hits[0] if single else hits, among


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
