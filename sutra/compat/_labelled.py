"""What hnswlib's two kinds of index share: labels, a capacity, filters, threads, files."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sutra import index as core
from sutra._arrays import COUNT_MAX, as_ids, as_rows, check_choice, check_count, check_dim
from sutra._filtering import Filters, as_filters
from sutra._index import METRICS
from sutra._kernels import machine
from sutra.compat import _container as container
from sutra.errors import SutraError

THREADS_MAX = 1024
BITS_PER_LABEL = 64  # a bitmap is no larger than a list of as many labels

Predicate = Callable[[int], bool]
Set = npt.NDArray[Any]
Found = tuple[npt.NDArray[np.uint64], npt.NDArray[np.float32]]


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what sutra raises into the RuntimeError that programs for hnswlib expect."""
    try:
        yield
    except (SutraError, OSError) as error:
        raise RuntimeError(str(error)) from error


class Labelled:
    """Vectors with labels, made by `init_index` or `load_index`."""

    _KIND: ClassVar[str]
    _EXACT: ClassVar[bool]

    def __init__(self, space: str, dim: int) -> None:
        with refusals():
            check_choice(METRICS, space, "space")
            self._dim = check_dim(dim)
        self._space: Any = space
        self._index: core.Index | None = None
        self._M = self._ef_construction = self._max_elements = 0
        self._ef = 10
        self._threads: int = machine()["cores"]
        self._allow_replace_deleted = False
        self._rows = 0  # the label of the next row that comes without one
        self._marked: dict[int, None] = {}  # a set that knows what came first
        self._unmarked: Set | None = None  # computed when asked for
        self._lock = threading.RLock()  # for changes, and for what must see none

    def __repr__(self) -> str:
        name = f"{type(self).__module__}.{type(self).__name__}"
        return f"<{name}(space={self._space!r}, dim={self._dim})>"

    @property
    def num_threads(self) -> int:
        """Threads of a call that does not say how many."""
        return self._threads

    @num_threads.setter
    def num_threads(self, num_threads: int) -> None:
        self._threads = check_count(num_threads, "num_threads", -COUNT_MAX, COUNT_MAX)

    def set_num_threads(self, num_threads: int) -> None:
        """Set the threads of a call that does not say how many."""
        self.num_threads = num_threads

    def get_max_elements(self) -> int:
        """Return the capacity."""
        return self._max_elements

    def get_current_count(self) -> int:
        """Return how many labels there are, those marked as deleted included."""
        return 0 if self._index is None else len(self._index)

    def knn_query(
        self,
        data: npt.ArrayLike,
        k: int = 1,
        num_threads: int = -1,
        filter: Predicate | Filters | None = None,
    ) -> Found:
        """Find the nearest vectors.

        Parameters
        ----------
        data : (q, dim) or (dim,) array-like
            Queries; one counts as a row.
        k : int
            How many for each.
        num_threads : int
            For many queries at once; -1 means `num_threads` of the index.
        filter : callable, array or sequence, optional
            What may be found. A callable takes a label and returns whether it passes; it is
            called once for each label there is, whatever the number of queries. Otherwise as
            `sutra.Index.search` takes it: labels, a mask, or a bitmap, which are far faster.

        Returns
        -------
        labels : (q, k) array of uint64
            Nearest first.
        distances : (q, k) array of float32
            Squared for "l2", 1 - dot for "ip", 1 - cos for "cosine".

        Raises
        ------
        RuntimeError
            If a query has fewer than k neighbours; also for a wrong shape, NaN and infinity.
        """
        index = self._made()
        with refusals():
            queries = as_rows(data, self._dim, "data")
            k = check_count(k, "k", 0, COUNT_MAX)
        if k == 0:
            return (
                np.empty((len(queries), 0), dtype=np.uint64),
                np.empty((len(queries), 0), dtype=np.float32),
            )
        passing = self._passing(index, filter, len(queries))
        with refusals():
            found = index.search(
                queries,
                k,
                ef=None if self._EXACT else self._ef,
                threads=self._count_threads(num_threads),
                exact=self._EXACT,
                filter=passing,
            )
        if (found.ids < 0).any():
            raise RuntimeError(
                f"k={k}: fewer can be found, so the results are no two-dimensional array"
            )
        distances = found.distances
        if self._space == "ip":
            distances += 1  # sutra's is the negated product
        return found.ids.view(np.uint64), distances

    def save_index(self, path_to_index: container.PathLike) -> None:
        """Write a file in sutra's format, replacing it as a whole or not at all."""
        index = self._made()
        with refusals(), self._lock:
            container.write(path_to_index, self._state(), index)

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            index = self._index
            return {
                "space": self._space,
                "dim": self._dim,
                "ef": self._ef,
                "num_threads": self._threads,
                "allow_replace_deleted": self._allow_replace_deleted,
                "rows": self._rows,
                "index": None if index is None else container.packed(self._state(), index),
            }

    def __setstate__(self, state: dict[str, Any]) -> None:
        Labelled.__init__(self, state["space"], state["dim"])
        if state["index"] is not None:
            self._take(container.unpacked(state["index"]), 0)
        self._ef = state["ef"]
        self._threads = state["num_threads"]
        self._allow_replace_deleted = state["allow_replace_deleted"]
        self._rows = state["rows"]

    def _made(self) -> core.Index:
        if self._index is None:
            raise RuntimeError("the index is not made yet: call init_index or load_index")
        return self._index

    def _make(
        self, max_elements: int, M: int, ef_construction: int, options: dict[str, Any]
    ) -> None:
        with refusals(), self._lock:
            if self._index is not None:
                raise RuntimeError("the index is already made: init_index was called before")
            most = check_count(max_elements, "max_elements", 0, 2**63 - 1)
            self._index = core.Index(self._dim, metric=self._space, **options)
            self._max_elements, self._M, self._ef_construction = most, M, ef_construction

    def _state(self) -> container.State:
        return container.State(
            self._KIND, self._M, self._ef_construction, self._max_elements, list(self._marked)
        )

    def _load(self, path: container.PathLike, max_elements: int) -> None:
        with refusals():
            most = check_count(max_elements, "max_elements", 0, 2**63 - 1)
            self._take(container.read(path), most)

    def _take(self, read: tuple[container.State, core.Index], max_elements: int) -> None:
        state, index = read
        theirs = (state.kind, index.metric, index.dim)
        if theirs != (self._KIND, self._space, self._dim):
            raise RuntimeError(
                "expected an index of kind {!r}, space {!r} and dim {}, found {!r}, {!r} and "
                "{}".format(self._KIND, self._space, self._dim, *theirs)
            )
        with self._lock:
            self._index = index
            self._M, self._ef_construction = state.M, state.ef_construction
            count = len(index)
            grown = 0 < max_elements >= count
            self._max_elements = max_elements if grown else state.max_elements
            self._rows = count
            self._marked = dict.fromkeys(state.marked)
            self._unmarked = None

    def _add(self, data: Any, ids: Any, num_threads: int, replace_deleted: bool) -> None:
        """Add rows, update those whose labels are there, all of them or none."""
        index = self._made()
        with refusals(), self._lock:
            rows = as_rows(data, self._dim, "data")
            count = len(rows)
            if ids is None:
                labels = np.arange(self._rows, self._rows + count)
            else:
                labels = as_ids(np.ravel(np.asarray(ids)), count)
            rows, labels = _last_of_each(rows, labels)
            given = labels.tolist()
            known = {label for label in given if label in index}
            if self._allow_replace_deleted and not replace_deleted:
                self._refuse_marked(known)
            added = len(given) - len(known)
            spare: list[int] = []
            if replace_deleted:
                spare = list(islice((it for it in self._marked if it not in known), added))
            if len(index) + added - len(spare) > self._max_elements:
                raise RuntimeError(
                    f"{added} new elements exceed the limit: there are {len(index)} of "
                    f"{self._max_elements}"
                )
            if known:
                index.upsert(rows, labels)
            else:
                index.add(rows, labels, threads=self._count_threads(num_threads))
            if spare:  # after what may fail
                index.delete(spare)
            for label in (*spare, *known):
                self._marked.pop(label, None)
            self._unmarked = None
            self._rows += count

    def _refuse_marked(self, labels: set[int]) -> None:
        for label in self._marked.keys() & labels:
            raise RuntimeError(
                f"label {label} is marked as deleted and may be replaced: add it with "
                "replace_deleted=True, or unmark it first"
            )

    def _count_threads(self, num_threads: int) -> int:
        given = check_count(num_threads, "num_threads", -COUNT_MAX, COUNT_MAX)
        return min(max(given if given > 0 else self._threads, 0), THREADS_MAX)

    def _marks(self) -> npt.NDArray[np.int64]:
        return np.fromiter(self._marked, np.int64, len(self._marked))

    def _passing(self, index: core.Index, filter: Any, queries: int) -> Set | list[Set] | None:
        """Return what may be found, without what is marked; None for everything."""
        with self._lock:
            if filter is None:
                if self._marked and self._unmarked is None:
                    self._unmarked = _as_set(_without(index.ids(), self._marks()))
                return self._unmarked
            marked = self._marks()
            labels = _without(index.ids(), marked) if callable(filter) else marked
        if callable(filter):
            passed = [label for label in labels.tolist() if filter(label)]
            return _as_set(np.array(passed, dtype=np.int64))
        with refusals():
            sets = [_without(one, marked) for one in as_filters(filter, queries)]
        return sets[0] if len(sets) == 1 else sets


def _last_of_each(
    rows: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Drop rows whose label comes again: the last one stays, as if added one by one."""
    _, places = np.unique(labels[::-1], return_index=True)
    if len(places) == len(labels):
        return rows, labels
    last = np.sort(len(labels) - 1 - places)
    return rows[last], labels[last]


def _as_set(labels: npt.NDArray[np.int64]) -> Set:
    """Return labels as a bitmap where that is small: a search takes it as it is."""
    most = int(labels.max(initial=-1)) + 1
    if most > BITS_PER_LABEL * len(labels):
        return labels
    mask = np.zeros(most, dtype=np.bool_)
    mask[labels] = True
    return np.packbits(mask, bitorder="little")


def _without(given: Set, marked: npt.NDArray[np.int64]) -> Set:
    """Return a bitmap or a list of labels without some of them."""
    if not len(marked):
        return given
    if given.dtype != np.uint8:
        return given[~np.isin(given, marked)]
    left = given.copy()
    inside = marked[marked >> 3 < len(left)]
    np.bitwise_and.at(left, inside >> 3, ~(1 << (inside & 7)).astype(np.uint8))
    return left
