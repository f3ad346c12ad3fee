"""hnswlib's documented Python interface on `sutra.Index`: ``from sutra.compat import hnswlib``.

Names, defaults, results and the kind of errors (RuntimeError) are hnswlib's. What differs:

- Files are sutra's own. One of hnswlib's is recognised and refused, and the other way round.
  `load_index` takes the space and the length of vectors the file has, and no other.
- The graph is another, so results differ where they are approximate, and ``M`` becomes the
  nearest of 8, 16, 24 and 32 that is not less, or 32; the property is the given one. It is the
  same graph every time, for any number of threads.
- ``num_threads`` is a limit. One query runs on one thread.
- Memory is allocated as elements come: ``max_elements`` only refuses.
- `add_items` adds everything or, after an error, nothing; NaN, infinity and labels from 2**63 on
  are errors. With a label given twice the last row counts.
- A Python function as a filter is called once a call for every label there is. Lists of labels,
  masks and bitmaps, as `sutra.Index.search` takes them, are far faster.
- With ``replace_deleted`` the element that was marked first goes first.

``docs/hnswlib.md`` has what maps to what.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from sutra._arrays import COUNT_MAX, as_ids, check_count
from sutra.compat._container import PathLike
from sutra.compat._labelled import Labelled, refusals

__all__ = ["BFIndex", "Index"]

M_VALUES = (8, 16, 24, 32)
EF_CONSTRUCTION_MAX = 4096


class Index(Labelled):
    """An approximate index with hnswlib's methods.

    Parameters
    ----------
    space : {"l2", "ip", "cosine"}
        Distances are squared Euclidean, 1 - dot and 1 - cos.
    dim : int
        Length of the vectors, 1 to 16,384.

    Raises
    ------
    RuntimeError
        From every method, for what cannot be done; the error of sutra is its cause.

    Notes
    -----
    Any method may be called from any thread. Pickles and copies hold everything, `ef` and
    `num_threads` too.

    Examples
    --------
    >>> from sutra.compat import hnswlib
    >>> index = hnswlib.Index(space="l2", dim=2)
    >>> index.init_index(max_elements=3)
    >>> index.add_items([[0, 0], [3, 0], [0, 4]], ids=[7, 8, 9])
    >>> index.knn_query([3, 1], k=2)
    (array([[8, 7]], dtype=uint64), array([[ 1., 10.]], dtype=float32))
    """

    _KIND = "hnsw"
    _EXACT = False

    @property
    def space(self) -> str:
        """As given."""
        return str(self._space)

    @property
    def dim(self) -> int:
        """As given."""
        return self._dim

    @property
    def M(self) -> int:
        """As given to `init_index`; 0 before."""
        return self._M

    @property
    def ef_construction(self) -> int:
        """As given to `init_index`, at least `M`; 0 before."""
        return self._ef_construction

    @property
    def max_elements(self) -> int:
        """The capacity; 0 before `init_index`."""
        return self._max_elements

    @property
    def element_count(self) -> int:
        """How many labels there are, those marked as deleted included."""
        return self.get_current_count()

    @property
    def ef(self) -> int:
        """Width of a search, raised to k where it is less. Not saved: 10 after `load_index`."""
        return self._ef

    @ef.setter
    def ef(self, ef: int) -> None:
        with refusals():
            self._ef = check_count(ef, "ef", 1, COUNT_MAX)

    def set_ef(self, ef: int) -> None:
        """Set the width of a search."""
        self.ef = ef

    def init_index(
        self,
        max_elements: int,
        M: int = 16,
        ef_construction: int = 200,
        random_seed: int = 100,
        allow_replace_deleted: bool = False,
    ) -> None:
        """Make an empty index.

        Parameters
        ----------
        max_elements : int
            The capacity.
        M : int
            Neighbours of a node, see the module.
        ef_construction : int
            Width of the search that links a new vector; above 4,096 as 4,096.
        random_seed : int
            Of the graph's levels.
        allow_replace_deleted : bool
            Whether `add_items` may take ``replace_deleted=True``.
        """
        with refusals():
            M = check_count(M, "M", 1, COUNT_MAX)
            wide = max(M, check_count(ef_construction, "ef_construction", 1, COUNT_MAX))
        self._make(
            max_elements,
            M,
            wide,
            {
                "m": next((m for m in M_VALUES if m >= M), M_VALUES[-1]),
                "ef_construction": min(wide, EF_CONSTRUCTION_MAX),
                "seed": random_seed,
            },
        )
        self._allow_replace_deleted = bool(allow_replace_deleted)

    def add_items(
        self,
        data: npt.ArrayLike,
        ids: npt.ArrayLike | None = None,
        num_threads: int = -1,
        replace_deleted: bool = False,
    ) -> None:
        """Add vectors; those whose labels are there are updated, and unmarked.

        Parameters
        ----------
        data : (n, dim) or (dim,) array-like
            One counts as a row.
        ids : (n,) array-like of int, optional
            Labels. Default: on from the number of rows added so far, with labels or without.
        num_threads : int
            -1 means `num_threads` of the index.
        replace_deleted : bool
            Drop as many elements that are marked as deleted as new ones come.

        Raises
        ------
        RuntimeError
            For a wrong shape, more than `max_elements`, ``replace_deleted`` that is not allowed,
            or, where it is and is not asked for, the label of a marked element.
        """
        if replace_deleted and not self._allow_replace_deleted:
            raise RuntimeError("replace_deleted: the index was made without allow_replace_deleted")
        self._add(data, ids, num_threads, replace_deleted)

    def get_items(self, ids: npt.ArrayLike | None = None, return_type: str = "numpy") -> Any:
        """Return vectors by label.

        Parameters
        ----------
        ids : (n,) array-like of int, optional
            Labels. Default: none.
        return_type : {"numpy", "list"}
            An array of float32, or lists of floats.

        Returns
        -------
        (n, dim) array or list of lists
            As given; for "cosine" scaled to length one.

        Raises
        ------
        ValueError
            If `ids` is one number, or `return_type` is another.
        RuntimeError
            If a label is not there or marked as deleted.
        """
        index = self._made()
        if return_type not in ("numpy", "list"):
            raise ValueError(f"return_type={return_type!r}: expected 'numpy' or 'list'")
        given = np.asarray([] if ids is None else ids)
        if given.ndim == 0:
            raise ValueError("ids: expected a sequence of labels, not one")
        with refusals(), self._lock:
            labels = as_ids(given.ravel(), given.size).tolist()
            for label in labels:
                self._refuse_unknown(label, self._marked)
            found = np.array([index.get(label) for label in labels], dtype=np.float32)
        if self._space == "cosine" and len(found):
            found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-30)
        return found if return_type == "numpy" else found.tolist()

    def get_ids_list(self) -> list[int]:
        """Return all labels, those marked as deleted included."""
        return [] if self._index is None else self._index.ids().tolist()

    def mark_deleted(self, label: int) -> None:
        """Let no search find an element; it keeps its place.

        Raises
        ------
        RuntimeError
            If there is no such label, or it is marked already.
        """
        with self._lock:
            self._refuse_unknown(label)
            if label in self._marked:
                raise RuntimeError(f"label {label} is already marked as deleted")
            self._marked[int(label)] = None
            self._unmarked = None

    def unmark_deleted(self, label: int) -> None:
        """Let searches find a marked element again.

        Raises
        ------
        RuntimeError
            If there is no such label, or it is not marked.
        """
        with self._lock:
            self._refuse_unknown(label)
            if label not in self._marked:
                raise RuntimeError(f"label {label} is not marked as deleted")
            del self._marked[label]
            self._unmarked = None

    def resize_index(self, new_size: int) -> None:
        """Change the capacity.

        Raises
        ------
        RuntimeError
            If there are more elements than that.
        """
        index = self._made()
        with refusals(), self._lock:
            size = check_count(new_size, "new_size", 0, 2**63 - 1)
            if size < len(index):
                raise RuntimeError(f"new_size={size}: there are {len(index)} elements")
            self._max_elements = size

    def load_index(
        self, path_to_index: PathLike, max_elements: int = 0, allow_replace_deleted: bool = False
    ) -> None:
        """Read a file that `save_index` wrote, instead of what the index holds.

        Parameters
        ----------
        path_to_index : path-like
            The file; it is copied to memory and a temporary file, and not needed afterwards.
        max_elements : int
            The capacity; 0 or too few means the one that was saved.
        allow_replace_deleted : bool
            As of `init_index`.

        Raises
        ------
        RuntimeError
            If it cannot be read, is damaged, or no such file, or holds another space or `dim`.
        """
        self._load(path_to_index, max_elements)
        self._ef = 10
        self._allow_replace_deleted = bool(allow_replace_deleted)

    def _refuse_unknown(self, label: int, hidden: Any = ()) -> None:
        if label not in self._made() or label in hidden:
            raise RuntimeError(f"label {label} is not there")


class BFIndex(Labelled):
    """An exact index with hnswlib's methods: every search compares with every vector.

    Parameters
    ----------
    space, dim
        As of `Index`.

    Raises
    ------
    RuntimeError
        From every method, for what cannot be done.

    Notes
    -----
    As of `Index`.
    """

    _KIND = "brute force"
    _EXACT = True

    def init_index(self, max_elements: int) -> None:
        """Make an empty index with a capacity."""
        # Of the graph and the codes that come with an index: none of them is looked at.
        cheapest = {"m": 8, "ef_construction": 1, "quantization": "u4"}
        self._make(max_elements, 0, 0, cheapest)

    def add_items(self, data: npt.ArrayLike, ids: npt.ArrayLike | None = None) -> None:
        """Add vectors; those whose labels are there are updated. As of `Index`."""
        self._add(data, ids, -1, False)

    def delete_vector(self, label: int) -> None:
        """Delete an element; a label that is not there is no error."""
        index = self._made()
        with refusals(), self._lock:
            index.delete([check_count(label, "label", 0, 2**63 - 1)])

    def load_index(self, path_to_index: PathLike, max_elements: int = 0) -> None:
        """Read a file that `save_index` wrote, instead of what the index holds. As of `Index`."""
        self._load(path_to_index, max_elements)
