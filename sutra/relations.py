"""Reading a store: along associations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from sutra import _walk
from sutra._arrays import COUNT_MAX, K_MAX, check_choice, check_count
from sutra._matching import matching
from sutra._ops import Ids
from sutra._reading import (
    HOPS_MAX,
    among,
    as_kind,
    as_kinds,
    as_number,
    as_queries,
    numbers_of,
    warn_unless,
)
from sutra._search import IdSets
from sutra._writing import GivenIds
from sutra.errors import ConfigError, DimensionError
from sutra.hits import Hits
from sutra.results import Id, Link, Path, Related
from sutra.searcher import Searcher
from sutra.where import Where


class RelationReader(Searcher):
    """The reading half of a store, associations included. Not made directly."""

    __slots__ = ()

    def links(
        self, id: Id, kind: str | None = None, direction: Literal["out", "in", "both"] = "out"
    ) -> list[Link]:
        """Return the associations of a concept.

        Parameters
        ----------
        id : int or str
            Of a concept in the store.
        kind : str, optional
            Only of this kind. Default: every kind.
        direction : {"out", "in", "both"}
            From it, to it, or both. An edge from it to itself comes once.

        Returns
        -------
        list of Link
            Heaviest first.

        Raises
        ------
        NotFoundError
            If there is no such id.
        TypeError, ConfigError, ClosedError
            If an argument is not as above; the store is closed.
        """
        view = self._view()
        way = check_choice(_walk.DIRECTIONS, direction, "direction")
        (number,) = numbers_of(view, id, "id").tolist()
        return _walk.links(view, number, way, None if kind is None else as_kind(kind))

    def expand(
        self,
        ids: GivenIds,
        hops: int = 1,
        kinds: str | Sequence[str] | None = None,
        min_weight: float | None = None,
        limit: int | None = None,
        *,
        where: Where | None = None,
    ) -> list[Related]:
        """Find what associations lead to, from one concept or several.

        Parameters
        ----------
        ids : int, str, or sequence of them
            Where to start.
        hops : int
            How many edges to go, along their direction: 1 to 1,000.
        kinds : str or sequence of str, optional
            Only along edges of these kinds. Default: every kind.
        min_weight : float, optional
            Only along edges of at least this weight.
        limit : int, optional
            How many to return at most. Default: all.
        where : Condition or dict, optional
            What the metadata of a concept must be like for it to be returned: see `search`. Ways
            go through any concept.

        Returns
        -------
        list of Related
            Nearest first: by hops, then by falling score. The starts are not among them.

        Raises
        ------
        NotFoundError
            If a start is not in the store; `id` says which.
        TypeError, ConfigError, ClosedError, MemoryError
            If an argument is not as above; the store is closed; there is no room.

        Warns
        -----
        RuntimeWarning
            If there were so many edges that the search stopped before it saw all of them.
        """
        view = self._view()
        starts = numbers_of(view, ids, "ids")
        most = COUNT_MAX if limit is None else check_count(limit, "limit", 1, COUNT_MAX)
        bits = None if where is None else matching(view, where, self._noticed()).bits
        found, complete = _walk.expand(
            view,
            starts,
            check_count(hops, "hops", 1, HOPS_MAX),
            as_kinds(kinds),
            -np.inf if min_weight is None else as_number(min_weight, "min_weight"),
            most if bits is None else COUNT_MAX,
        )
        warn_unless(complete, "expand")
        if bits is not None:
            reached = view.find(Ids([one.id for one in found]))[1]
            passing = np.flatnonzero(among(bits, reached))[:most]
            return [found[at] for at in passing.tolist()]
        return found

    def paths(self, src: Id, dst: Id, max_depth: int = 6, limit: int = 10) -> list[Path]:
        """Find the best ways from one concept to another.

        Parameters
        ----------
        src, dst : int or str
            Concepts in the store.
        max_depth : int
            How many edges a way may have, 1 to 1,000.
        limit : int
            How many ways to return at most.

        Returns
        -------
        list of Path
            Ways that pass no concept twice, by falling product of confidences, each taken as at
            most 1; then those of fewer edges. Empty if there is none.

        Raises
        ------
        NotFoundError, TypeError, ConfigError, ClosedError, MemoryError
            As for `expand`.

        Warns
        -----
        RuntimeWarning
            As for `expand`.
        """
        view = self._view()
        found, complete = _walk.paths(
            view,
            int(numbers_of(view, src, "src")[0]),
            int(numbers_of(view, dst, "dst")[0]),
            check_count(max_depth, "max_depth", 1, HOPS_MAX),
            check_count(limit, "limit", 1, COUNT_MAX),
        )
        warn_unless(complete, "paths")
        return found

    def related(
        self,
        query: npt.ArrayLike,
        k: int = 10,
        hops: int = 1,
        decay: float = 0.5,
        *,
        kinds: str | Sequence[str] | None = None,
        where: Where | None = None,
    ) -> Hits:
        """Find what is near a vector, and what is associated with that.

        The `k` nearest concepts are activated by their scores (none by less than 0), and
        activation spreads: over an edge arrives what its source has, times `decay`, times the
        edge's weight and confidence, each taken as at most 1. A concept keeps the largest that
        reaches it.

        Parameters
        ----------
        query : (dim,) array-like
            One vector.
        k : int
            How many to start from and to return.
        hops : int
            How many edges to spread along, 0 to 1,000.
        decay : float
            0 to 1.
        kinds : str or sequence of str, optional
            Only along edges of these kinds. Default: every kind.
        where : Condition or dict, optional
            What the metadata of a concept must be like for it to be a hit: see `search`. Others
            are activated and pass it on all the same: the seeds are the `k` nearest of all and the
            `k` nearest that may be hits, and a hit's path may begin with a concept that is none,
            or lead through it.

        Returns
        -------
        Hits
            The `k` most activated. Every hit has a `path` from the seed that activated it most:
            of one concept if it is that seed.

        Raises
        ------
        DimensionError, DTypeError, InvalidVectorError, ConfigError, ClosedError, MemoryError
            As for `search`.

        Warns
        -----
        RuntimeWarning
            As for `expand`.
        """
        view = self._view()
        width = check_count(k, "k", 1, K_MAX)
        steps = check_count(hops, "hops", 0, HOPS_MAX)
        fade = as_number(decay, "decay")
        if not 0 <= fade <= 1:
            raise ConfigError(f"decay={decay}: expected 0 to 1")
        names = as_kinds(kinds)
        rows = as_queries(query, view.dim)
        if rows.ndim != 1:
            raise DimensionError(f"query: expected one vector, not shape {rows.shape}")
        bits = None if where is None else matching(view, where, self._noticed()).bits
        if not view.dim:
            return self.search(query, k)
        ef = self._tuned().default or 0
        (_, distances, scores, _, seeds) = view.search(rows[None], width, ef, False, 1)[0]
        if bits is not None:
            passing = view.search(rows[None], width, ef, False, 1, IdSets([bits]))[0]
            distances = np.concatenate([distances, passing[1]])
            scores = np.concatenate([scores, passing[2]])
            seeds = np.concatenate([seeds, passing[4]])
        activation = np.maximum(scores, np.float32(0))
        reached, paths, complete = _walk.spread(
            view, seeds, activation, steps, fade, width, names, bits
        )
        warn_unless(complete, "related")
        near = dict(zip(seeds.tolist(), distances.tolist(), strict=True))
        ids = view.ids_of(reached)
        return self._hits(
            view,
            ids,
            np.array([near.get(one, np.nan) for one in reached.tolist()], dtype=np.float32),
            np.array([path.score for path in paths], dtype=np.float32),
            view.find(Ids(ids))[0],
            reached,
            paths,
        )
