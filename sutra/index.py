"""The index: what people use, over the core's `IndexCore`."""

import os
import time
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from sutra._arrays import COUNT_MAX, as_rows, check_count
from sutra._filtering import Filters, as_filters
from sutra._index import METRIC_NAMES, QUANTIZATION_NAMES
from sutra._kernels import tiers
from sutra._recall import DEFAULT_EF, Floats, Keys, Subject
from sutra._search import SearchResult
from sutra._within import FIRST, Arrays, check_radius, within
from sutra.errors import ClosedError, ConfigError
from sutra.index_writer import IndexWriter
from sutra.results import SearchPlan, as_plans
from sutra.tuning import Tunable, Tuned, Tuning

PathLike = str | os.PathLike[str]

__all__ = ["Index", "SearchResult"]


class Index(IndexWriter, Tunable):
    """An approximate nearest-neighbour index of float vectors with integer ids.

    Vectors are quantized to 8 bits in two 4-bit planes, linked into an HNSW graph [1]_ that is
    walked on the first plane, and what the walk finds is reranked with the original vectors, or
    with both planes where originals are not kept. Below 512 vectors the index is flat: it scans.

    Distances are lower for nearer, always: ``cosine`` is 1 - cos (a zero vector lies at 1 from
    everything), ``l2`` the squared Euclidean distance, ``ip`` the negated inner product.

    Parameters
    ----------
    dim : int
        Length of the vectors, 1 to 16,384.
    metric : {"cosine", "l2", "ip"}
        How to compare.
    m : {8, 16, 24, 32}
        Neighbours of a node; the base layer has twice as many slots. More finds harder data at
        high recall, at ``8 * m`` bytes a vector.
    ef_construction : int
        Width of the search that links a new vector, 1 to 4,096. More builds a better graph,
        slower.
    quantization : {"u8", "u4", "none"}
        Two planes, the first plane alone, or a graph over float32.
    keep_originals : bool
        Keep float32 vectors for reranking, exact search and `get`. Without them
        ``exact=True`` and `get` see the quantized vectors, under cosine scaled to length one.
    seed : int
        Of the graph's levels and the rotation. Same seed, same sequence of calls that change it:
        same index, byte for byte, for any number of threads.
    secure_delete : bool
        Overwrite in memory what is removed or replaced before the call returns; see `delete`.

    Attributes
    ----------
    dim : int
        As given.
    metric : str
        As given.
    path : str or None
        The file it was opened from.

    Raises
    ------
    ConfigError
        If a value is not allowed.

    Notes
    -----
    Memory a vector, for m = 16 and d dimensions: about 132 bytes of links, ``d / 2`` (``u4``) or
    ``d`` (``u8``) bytes of codes (d rounded up to 64), 8 bytes of corrections, 8 bytes for ids
    that are not 0, 1, 2, ..., and ``4 * d`` bytes of originals, which stay on disk in an index
    opened from a file until they are read.

    Thread safety: every method may be called from any thread. Searches and reads run side by side
    with the GIL released, and beside an `add` or `delete`: they wait for nobody. What changes,
    saves or verifies the index runs one at a time. `close` waits for calls in flight.

    References
    ----------
    .. [1] Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using
       Hierarchical Navigable Small World graphs", 2018; `csrc/graph/graph.h` says where this
       implementation differs.

    Examples
    --------
    >>> import numpy as np, sutra
    >>> index = sutra.Index(3, metric="l2")
    >>> index.add([[0, 0, 0], [1, 0, 0], [5, 5, 5]])
    array([0, 1, 2])
    >>> ids, distances = index.search([0.9, 0, 0], k=2)
    >>> ids
    array([1, 0])
    """

    __slots__ = ("_tuning",)

    _tuning: Tuning  # for as long as this handle; the file keeps the default alone

    def __init__(
        self,
        dim: int,
        *,
        metric: Literal["cosine", "l2", "ip"] = "cosine",
        m: int = 16,
        ef_construction: int = 200,
        quantization: Literal["u8", "u4", "none"] = "u8",
        keep_originals: bool = True,
        seed: int = 0,
        secure_delete: bool = False,
    ) -> None:
        self._new(dim, metric, m, ef_construction, quantization, keep_originals, seed)
        self._tuning = Tuning()
        if secure_delete:
            self._set_secure_delete(True)

    @classmethod
    def open(
        cls,
        path: PathLike,
        *,
        resident: Literal["auto", "arena", "mapped"] = "auto",
        secure_delete: bool = False,
    ) -> Self:
        """Open a saved index.

        Parameters
        ----------
        path : path-like
            A file that `save` wrote.
        resident : {"auto", "arena", "mapped"}
            Where links and codes live: read into memory with huge pages before the call returns
            ("arena"), used from the file through the page cache ("mapped"), or mapped at first
            and copied into memory by a background thread if they fit in half of what is free
            ("auto"). Originals stay mapped in any case while there are codes.
        secure_delete : bool
            As for a new index: the file does not say.

        Returns
        -------
        Index
            Ready to search and to add to. Changes stay in memory until saved.

        Raises
        ------
        OSError
            If the file cannot be opened (`FileNotFoundError`, `PermissionError`, ...).
        CorruptError
            If it is damaged, cut short, or not an index.
        FormatVersionError
            If a newer version wrote it.

        Notes
        -----
        Sizes and tables are checked; vectors are not read. Files are replaced by `save`, never
        changed in place, so an open index keeps seeing the file it opened. If another program
        truncates the file, reading the lost part ends the process with SIGBUS.
        """
        index = cls.__new__(cls)
        index._open(_checked_path(path), resident)
        index._tuning = Tuning()
        if secure_delete:
            index._set_secure_delete(True)
        return index

    def get(self, id: int) -> npt.NDArray[np.float32]:
        """Return a vector.

        Parameters
        ----------
        id : int
            Of a vector in the index.

        Returns
        -------
        (dim,) array of float32
            As it was given, for any metric; decoded from the codes where originals are not kept.

        Raises
        ------
        NotFoundError
            If there is no such id.
        ClosedError
            If the index is closed.
        TypeError
            If `id` is not an integer.

        Notes
        -----
        O(1). The first look-up by id in an index with ids of its own builds a table of them.
        """
        return self._get(id)

    def ids(self) -> npt.NDArray[np.int64]:
        """Return all ids, in the order they were added.

        Those added after others were removed may come earlier: they take their places.

        Returns
        -------
        (n,) array of int64

        Raises
        ------
        ClosedError
            If the index is closed.
        """
        return self._ids()

    def _within(
        self,
        queries: npt.ArrayLike,
        ef: int | None,
        threads: int,
        exact: bool,
        recall: float | None,
        filter: Filters | None,
        radius: float | None,
        limit: int | None,
    ) -> SearchResult:
        """Search with a radius; the core's `search` asks."""
        farthest, most = check_radius(radius, limit)
        if ef is not None:
            ef = check_count(ef, "ef", 1, COUNT_MAX)
        rows = as_rows(queries, self.dim, "queries", True)
        single = rows.ndim == 1
        rows = np.atleast_2d(rows)
        width = ef if recall is None else self._width(recall, min(FIRST, most), ef, exact)
        sets = None if filter is None else as_filters(filter, len(rows))

        def search(left: npt.NDArray[np.intp], k: int, wide: int) -> list[Arrays]:
            given: Any = sets
            if sets is not None:
                given = sets[0] if len(sets) == 1 else [sets[query] for query in left]
            found = self.search(rows[left], k, ef=wide, threads=threads, exact=exact, filter=given)
            counts = (found.ids >= 0).sum(axis=1)
            pairs = zip(found.ids, found.distances, counts, strict=True)
            return [(ids[:count], distances[:count]) for ids, distances, count in pairs]

        found = within(search, len(rows), farthest, most, width)
        ids = np.full((len(rows), max((len(one[0]) for one in found), default=0)), -1)
        distances = np.full(ids.shape, np.inf, dtype=np.float32)
        for row, (near, far) in enumerate(found):
            ids[row, : len(near)] = near
            distances[row, : len(far)] = far
        return SearchResult.of(*((ids[0], distances[0]) if single else (ids, distances)))

    def explain(
        self,
        queries: npt.ArrayLike,
        k: int = 10,
        *,
        ef: int | None = None,
        exact: bool = False,
        filter: Filters | None = None,
    ) -> SearchPlan | list[SearchPlan]:
        """Search as `search` does, on one thread, and report how it was done.

        Parameters
        ----------
        queries, k, ef, exact, filter
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
        given = np.asarray(queries)
        plans = as_plans(self._explain(given, k, ef, exact, filter))
        return plans[0] if given.ndim == 1 else plans

    def stats(self) -> dict[str, Any]:
        """Report settings, sizes and what of them is in memory.

        Returns
        -------
        dict
            The arguments the index was made with; ``count``, and ``removed``, whose room no add
            has taken yet; ``graph`` (False while it is flat)
            and its ``levels``; ``tuned_ef`` (None until tuned); ``bytes_per_vector`` and
            ``resident_bytes`` (in memory now) of links, codes, corrections, ids and originals;
            ``mapped_bytes`` of the file and whether the index is ``resident`` as "arena" or
            "mapped"; ``kernels``, the tier that runs; ``path``, the file it was opened from.

        Raises
        ------
        ClosedError
            If the index is closed.

        Notes
        -----
        Asks the system page by page what is resident: milliseconds for large indexes.
        """
        read = self._stats()
        options, count = read["options"], read["count"]
        parts = ("links", "codes", "corrections", "ids", "originals")
        return {
            "count": count,
            "removed": read["removed"],
            "dim": options["dim"],
            "metric": METRIC_NAMES[options["metric"]],
            "m": options["m"],
            "ef_construction": options["ef_construction"],
            "quantization": QUANTIZATION_NAMES[options["quantization"]],
            "keep_originals": bool(options["keep_originals"]),
            "seed": options["seed"],
            "graph": bool(read["linked"]),
            "levels": read["levels"],
            "tuned_ef": read["tuned_ef"] or None,
            "bytes_per_vector": {
                part: round(read[f"{part}_bytes"] / count, 1) if count else 0.0 for part in parts
            },
            "resident_bytes": {part: read[f"{part}_resident"] for part in parts},
            "mapped_bytes": read["mapped_bytes"],
            "resident": "arena" if read["arena"] or not read["mapped_bytes"] else "mapped",
            "kernels": tiers()["chosen"],
            "path": self.path,
        }

    def save(self, path: PathLike) -> None:
        """Write the index to a file, replacing it as a whole or not at all.

        The data is synced, the file renamed into place and the directory synced: after a power
        cut the path holds the old file or the new one. Searches go on meanwhile.

        Parameters
        ----------
        path : path-like
            Where. Its directory must exist and be writable.

        Raises
        ------
        OSError
            What the system refused (no space, no permission, ...); the old file is untouched.
        """
        self._save(_checked_path(path))

    def verify(self, *, deep: bool = False) -> dict[str, Any]:
        """Check the index.

        Parameters
        ----------
        deep : bool
            Also checksum every section of the file this index was opened from, and every stored
            number. Reads everything.

        Returns
        -------
        dict
            ``vectors`` checked, whether ``deep``, and ``seconds`` taken.

        Raises
        ------
        CorruptError
            With what is wrong and where.
        """
        start = time.perf_counter()
        self._verify(deep)
        return {"vectors": len(self), "deep": deep, "seconds": time.perf_counter() - start}

    def _subject(self) -> Subject:
        return _IndexSubject(self)

    def _prepare(self, keep: bool) -> bool:
        return bool(self._stats()["linked"])

    def _keep(self, tuned: Tuned) -> None:
        self._set_tuned_ef(tuned.ef)
        self._tuning = self._tuning.put(tuned)

    def _width(self, recall: Any, k: int, ef: Any, exact: bool) -> int:
        """Return the ef of a search for a recall; the core's `search` asks."""
        return self._tuning.width(recall, k, ef, exact)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        try:
            count = f"{len(self):,} vectors"
        except ClosedError:
            count = "closed"
        return f"<sutra.Index {count}, dim {self.dim}, {self.metric}>"


class _IndexSubject(Subject):
    """An index as what is measured; its keys are the ids."""

    __slots__ = ("_count", "_index")

    def __init__(self, index: Index) -> None:
        read = index._stats()
        super().__init__(index.dim, index.metric, read["tuned_ef"] or DEFAULT_EF)
        self._index = index
        self._count: int = read["count"]
        if not self._count:
            raise ConfigError("there are no vectors to measure with")

    def __len__(self) -> int:
        return self._count

    def sample(self, count: int, seed: int) -> tuple[Keys, Floats]:
        """Draw by id."""
        ids = self._index._ids()
        ids = np.random.default_rng(seed).choice(ids, min(count, len(ids)), replace=False)
        return ids, np.stack([self._index._get(id) for id in ids.tolist()])

    def search(
        self,
        rows: Floats,
        k: int,
        ef: int | None,
        threads: int,
        without: Keys | None = None,
    ) -> tuple[Keys, Floats]:
        """Search the index."""
        if ef is None:
            found = self._index.search(rows, k, exact=True, threads=threads)
        elif without is None:
            found = self._index.search(rows, k, ef=ef, threads=threads)
        else:
            without = np.ascontiguousarray(without, dtype=np.int64)
            found = self._index._search_without(rows, k, ef, threads, without)
        return found.ids, found.distances


def _checked_path(path: PathLike) -> PathLike:
    """Return the path, or refuse what a C string would cut short."""
    if b"\0" in os.fsencode(path):
        raise ValueError("path: embedded null byte")
    return path
