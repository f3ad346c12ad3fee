"""Changing an index: adding, replacing, removing vectors."""

import sys
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sutra._arrays import as_ids, as_rows
from sutra._index import IndexCore

Progress = Callable[[int, int], object]


class IndexWriter(IndexCore):
    """The writing half of an index. Not made directly: an `Index` is one.

    One call at a time changes an index; searches go on beside it, and see what it does at once,
    when it is done.
    """

    __slots__ = ()

    def add(
        self,
        vectors: npt.ArrayLike,
        ids: npt.ArrayLike | None = None,
        *,
        threads: int = 0,
        progress: bool | Progress = False,
    ) -> npt.NDArray[np.int64]:
        """Add vectors.

        Parameters
        ----------
        vectors : (n, dim) or (dim,) array-like of float16, float32, float64 or integers
            Any strides; converted to float32 once.
        ids : (n,) array-like of int, optional
            0 to 2**63 - 1, none in use. Default: on from the largest id so far.
        threads : int
            0 means all cores this process may use. The result does not depend on it.
        progress : bool or callable
            True draws a bar on stderr; a callable gets ``(done, total)`` between batches. An
            exception from it stops the call; no vector is added.

        Returns
        -------
        (n,) array of int64
            The ids.

        Raises
        ------
        DimensionError, DTypeError
            If shape or element type do not fit.
        InvalidVectorError
            If a vector holds NaN or infinity, or is too long for its square to be a float32;
            `row` says which.
        DuplicateIdError
            If an id is given twice or in use.
        ConfigError
            If an id is negative.
        CapacityError, MemoryError
            If there is no room.

        Notes
        -----
        All or nothing: after an error the index is as it was, to the byte. Searches go on
        meanwhile, in what was there before; the new vectors are found once all are in. A progress
        callback may search and read, too; `add`, `save`, `verify` and `close` raise SutraError in
        it. One call with many vectors is far faster than many calls.
        """
        return self._put(vectors, ids, threads, progress, False)

    def upsert(
        self,
        vectors: npt.ArrayLike,
        ids: npt.ArrayLike | None = None,
        *,
        threads: int = 0,
        progress: bool | Progress = False,
    ) -> npt.NDArray[np.int64]:
        """Add vectors, in place of those that have the same ids.

        Parameters
        ----------
        vectors, ids, threads, progress
            As of `add`, but ids may be in use. No id may be given twice.

        Returns
        -------
        (n,) array of int64
            The ids.

        Raises
        ------
        DuplicateIdError
            If an id is given twice.
        DimensionError, DTypeError, InvalidVectorError, ConfigError, CapacityError, MemoryError
            As of `add`.

        Notes
        -----
        All or nothing, and at once: a search finds the old vectors or the new ones.
        """
        return self._put(vectors, ids, threads, progress, True)

    def _put(
        self,
        vectors: npt.ArrayLike,
        ids: npt.ArrayLike | None,
        threads: int,
        progress: bool | Progress,
        replace: bool,
    ) -> npt.NDArray[np.int64]:
        rows = as_rows(vectors, self.dim, "vectors")
        numbers = None if ids is None else as_ids(ids, len(rows))
        callback = _Bar() if progress is True else progress or None
        return self._add(rows, numbers, threads, callback, replace)

    def delete(self, ids: npt.ArrayLike, *, threads: int = 0) -> int:
        """Remove vectors.

        Parameters
        ----------
        ids : int or (n,) array-like of int
            Those that the index does not have are passed over.
        threads : int
            0 means all cores this process may use. The result does not depend on it.

        Returns
        -------
        int
            How many were removed.

        Raises
        ------
        DTypeError, DimensionError, ConfigError
            If something is no id.
        ClosedError, MemoryError
            If the index is closed; there is no room.

        Notes
        -----
        No search that starts later finds them. The graph is repaired when a sixteenth of it is
        removed, in a time like that of adding as many; later adds take the room. `compact` gives it
        back to the system, and `save` writes a file without it.

        The bytes of removed vectors stay in memory until they are overwritten so. With
        ``secure_delete=True`` they are overwritten before the call returns, which repairs the graph
        with every call; a file that was saved before keeps them until it is saved anew.
        """
        numbers = np.atleast_1d(np.asarray(ids))
        return self._delete(as_ids(numbers, len(numbers)), threads)

    def compact(self, *, threads: int = 0) -> None:
        """Give back the memory of removed vectors.

        Parameters
        ----------
        threads : int
            0 means all cores this process may use.

        Raises
        ------
        ClosedError, MemoryError
            If the index is closed; there is no room for a copy beside it.

        Notes
        -----
        Copies what is left, as it is, and repairs the graph; nothing is linked anew. Searches go on
        meanwhile. Does nothing where nothing has been removed.
        """
        self._compact(threads)


class _Bar:
    """A progress bar on stderr, redrawn at most ten times a second."""

    def __init__(self) -> None:
        self.start = self.drawn = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.drawn < 0.1 and done < total:
            return
        self.drawn = now
        rate = done / max(now - self.start, 1e-9)
        filled = 30 * done // total
        end = "\n" if done == total else ""
        left = (total - done) / max(rate, 1e-9)
        sys.stderr.write(
            f"\r[{'#' * filled}{'.' * (30 - filled)}] {done:,}/{total:,}  "
            f"{rate:,.0f}/s  {left:.0f} s left {end}"
        )
        sys.stderr.flush()
