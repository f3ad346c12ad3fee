"""Reading a store: concepts by id, in order, and by their vectors."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from sutra import _settings
from sutra._arrays import check_count
from sutra._concept import Concept
from sutra._matching import matching
from sutra._ops import Ids
from sutra._reading import NO_SLOT, Floats, Uint32s, scanned, steps
from sutra._view import ViewCore
from sutra._writing import GivenIds
from sutra.errors import ConfigError, NotFoundError
from sutra.hits import Hits
from sutra.results import Id, Path
from sutra.tuning import Measurable, Tuning
from sutra.where import Where


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

    @abstractmethod
    def _noticed(self) -> set[str]:
        """Return the fields that a SlowFilterWarning was given of."""

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

    def scan(
        self, start: int = 0, limit: int | None = None, *, where: Where | None = None
    ) -> Iterator[Concept]:
        """Go through the concepts in the order their ids were first added.

        Parameters
        ----------
        start : int
            How many to pass over.
        limit : int, optional
            How many to give at most. Default: all.
        where : Condition or dict, optional
            What their metadata must be like: see `search`. Others are not counted.

        Returns
        -------
        iterator of Concept
            Without vectors. It sees the state at the time of the call.

        Raises
        ------
        TypeError, ConfigError, ClosedError
            At the call.

        Warns
        -----
        SlowFilterWarning
            As `search`.
        """
        first = check_count(start, "start", 0, 2**63 - 1)
        most = 2**63 - 1 if limit is None else check_count(limit, "limit", 0, 2**63 - 1)
        view = self._view()
        bits = None if where is None else matching(view, where, self._noticed()).bits
        return scanned(view, first, most, bits)

    def count(self, where: Where | None = None) -> int:
        """Return how many concepts there are.

        Parameters
        ----------
        where : Condition or dict, optional
            What their metadata must be like: see `search`. Default: whatever it is.

        Raises
        ------
        TypeError, ConfigError
            If it is no condition.
        ClosedError
            If the store is closed or the view has ended.

        Warns
        -----
        SlowFilterWarning
            As `search`.
        """
        view = self._view()
        return len(view) if where is None else matching(view, where, self._noticed()).count

    def fields(self) -> dict[str, str]:
        """Return the declared fields: path to type. See `Store.index_field`."""
        return dict(self._view().fields())
