"""How much of the truth a search finds: measured against exact search, in an index or a store.

What is searched is a `Subject`; a `Trial` asks it the same questions at one `ef` after another.
Only distances are compared: where several vectors lie equally far, any of them is a right answer.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sutra.errors import ConfigError

DEFAULT_EF = 64  # the core's
CHUNK_QUERIES = 256  # asked in one call: an interrupt gets through between two
CHUNK_HITS = 1 << 20  # fewer in one call where k is large: what is found stays small
Z = 1.959963984540054  # so many deviations to either side hold 95 % of a normal distribution
EF_ANYWAY = 4096  # cheap enough to be tried whatever the number of vectors
SCAN_SHARE = 8  # a walk as wide as this part of all vectors costs what looking at all of them does
STEPS = 32  # ef is found to one part in so many
NORMS = 100  # vectors that tell how long vectors are

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Keys = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recall:
    """How much of the truth was found.

    Attributes
    ----------
    recall : float
        The share of the true neighbours that were found, 0 to 1: the mean over the queries.
    low, high : float
        What it is for other queries of the same kind: a 95 % confidence interval of the mean.
    k, ef : int
        As searched.
    queries : int
        How many there were.
    seconds : float
        What the searches took on the threads they had, without the exact ones.
    """

    recall: float
    low: float
    high: float
    k: int
    ef: int
    queries: int
    seconds: float


class Subject(ABC):
    """What is measured: an index, or one state of a store. Vectors have keys, 0 or more.

    Attributes
    ----------
    dim : int
        Length of the vectors.
    metric : str
        How they are compared.
    default_ef : int
        The width of a search that is told none, but for its k.
    """

    __slots__ = ("default_ef", "dim", "metric")

    def __init__(self, dim: int, metric: str, default_ef: int) -> None:
        self.dim = dim
        self.metric = metric
        self.default_ef = default_ef

    @abstractmethod
    def __len__(self) -> int:
        """Return how many vectors there are, or more."""

    @abstractmethod
    def sample(self, count: int, seed: int) -> tuple[Keys, Floats]:
        """Draw so many vectors, or all, without replacement: their keys, and they."""

    @abstractmethod
    def search(
        self,
        rows: Floats,
        k: int,
        ef: int | None,
        threads: int,
        without: Keys | None = None,
    ) -> tuple[Keys, Floats]:
        """Return (q, k) keys and distances, nearest first, padded with -1 and infinity.

        `ef` None searches exactly. A walk for a query does not go through the vector that
        `without` names, if it is given; a scan may still find it.
        """

    def held_out(self, keys: Keys, rows: Floats, k: int, ef: int | None, threads: int) -> Floats:
        """Search for stored vectors as if each were not there; distances as of `search`.

        One more is asked for, because a scan finds the vector itself: it is dropped, or the last
        where it was not found.
        """
        found, distances = self.search(rows, k + 1, ef, threads, keys)
        own = found == keys[:, None]
        place = np.where(own.any(axis=1), own.argmax(axis=1), k)
        others = np.arange(k + 1) != place[:, None]
        kept: Floats = distances[others].reshape(len(rows), k)
        return kept


class Trial:
    """Questions and the truth about them, to be asked with one `ef` after another.

    Parameters
    ----------
    subject : Subject
        What is asked.
    k : int
        How many neighbours are asked for.
    rows : (q, dim) array of float32
        The queries.
    keys : (q,) array of int64, or None
        Which stored vectors they are; each is left out of its own answer.
    threads : int
        For each search; 0 means all cores.

    Raises
    ------
    ConfigError
        If there is nothing to find.

    Notes
    -----
    Keeps two numbers a query, whatever k is.
    """

    __slots__ = ("_counts", "_k", "_keys", "_limits", "_rows", "_subject", "_threads", "_width")

    def __init__(
        self, subject: Subject, k: int, rows: Floats, keys: Keys | None, threads: int
    ) -> None:
        self._subject = subject
        self._k = k
        self._width = max(1, min(k, len(subject)))  # more cannot be found
        self._rows = rows
        self._keys = keys
        self._threads = threads
        self._limits: Doubles = np.empty(len(rows))  # the largest distance that is right
        self._counts = np.empty(len(rows), dtype=np.int64)  # of true neighbours
        for part in self._parts():
            distances = self._ask(part, None)
            self._counts[part] = np.isfinite(distances).sum(axis=1)
            last = np.maximum(self._counts[part], 1) - 1
            self._limits[part] = distances[np.arange(len(last)), last]
        if not (len(rows) and self._counts.all()):
            raise ConfigError("nothing to find: there must be a vector besides the one asked with")
        self._limits += self._tolerance()

    def at(self, ef: int) -> Recall:
        """Ask with a width, and count what is right."""
        shares = np.empty(len(self._rows))
        start = time.perf_counter()
        for part in self._parts():
            right = (self._ask(part, ef) <= self._limits[part, None]).sum(axis=1)
            shares[part] = np.minimum(right / self._counts[part], 1.0)
        seconds = time.perf_counter() - start
        low, high = interval(shares)
        return Recall(float(shares.mean()), low, high, self._k, ef, len(shares), seconds)

    def _parts(self) -> Iterator[slice]:
        step = max(1, min(CHUNK_QUERIES, CHUNK_HITS // self._width))
        return (slice(first, first + step) for first in range(0, len(self._rows), step))

    def _ask(self, part: slice, ef: int | None) -> Floats:
        rows, subject, width = self._rows[part], self._subject, self._width
        if self._keys is None:
            return subject.search(rows, width, ef, self._threads)[1]
        return subject.held_out(self._keys[part], rows, width, ef, self._threads)

    def _tolerance(self) -> Doubles:
        """How far two sums of the same terms may be apart by rounding, for each query.

        A walk and a scan need not add the terms of a distance in the same order.
        """
        dim = self._rows.shape[1]
        if self._subject.metric == "cosine":
            scale = np.ones(len(self._rows))
        elif self._subject.metric == "l2":
            scale = np.abs(self._limits)  # no term is negative
        else:  # terms cancel, and a distance near 0 may be the sum of large ones
            stored = self._rows if self._keys is not None else self._subject.sample(NORMS, 0)[1]
            scale = lengths(self._rows) * np.sqrt(np.mean(lengths(stored) ** 2))
        slack: Doubles = scale * (8 + math.sqrt(dim)) * 2.0**-24
        return slack


def lengths(rows: Floats) -> Doubles:
    """Return the Euclidean lengths of vectors."""
    squares: Doubles = np.einsum("qd,qd->q", rows, rows, dtype=np.float64)
    return np.sqrt(squares)


def interval(shares: Doubles) -> tuple[float, float]:
    """Return a 95 % confidence interval of the mean of numbers from 0 to 1.

    The hits of a query are not independent, so the queries are the sample. For shares that are
    all 0 or 1 this is the interval of Agresti and Coull [1]_: that of the normal distribution,
    after as many queries have been added as its quantile squared, half of them with everything
    found and half with nothing. So it has a width where all shares are equal, and a low end below
    1 where all are 1.

    References
    ----------
    .. [1] Agresti and Coull, "Approximate is better than 'exact' for interval estimation of
       binomial proportions", The American Statistician 52(2), 1998.
    """
    added = Z * Z / 2  # of either kind
    count = len(shares) + 2 * added
    centre = (float(shares.sum()) + added) / count
    spread = float(((shares - centre) ** 2).sum()) + added * (centre**2 + (1 - centre) ** 2)
    half = Z * math.sqrt(spread / count / count)
    return max(0.0, centre - half), min(1.0, centre + half)


def is_enough(measured: Recall, recall: float) -> bool:
    """Tell whether a measurement is evidence of a recall.

    It is where the low end of the interval reaches it; or, since the interval of few queries is
    wide, where at most half of what may be missed was missed.
    """
    return measured.low >= recall or measured.recall >= (1 + recall) / 2


def find_ef(
    at: Callable[[int], Recall], recall: float, least: int, most: int
) -> tuple[Recall, bool]:
    """Find the smallest ef that is enough, to one part in 32: by doubling, then by halving.

    Parameters
    ----------
    at : callable
        Measures an ef.
    recall : float
        What is to be reached.
    least, most : int
        Where to begin and to end.

    Returns
    -------
    Recall
        Measured at that ef; where none is enough, at the smallest of those that found most.
    bool
        Whether it is enough.
    """
    failed = least - 1
    best = good = at(least)
    while not is_enough(good, recall):
        if good.ef >= most:
            return best, False
        failed = good.ef
        good = at(min(2 * failed, most))
        best = max(best, good, key=lambda one: one.recall)  # the first of equals
    while good.ef - failed > max(1, failed // STEPS):
        middle = at((good.ef + failed) // 2)
        if is_enough(middle, recall):
            good = middle
        else:
            failed = middle.ef
    return good, True


def widest_ef(count: int, k: int) -> int:
    """Return the largest ef worth trying, of so many vectors: then exact search is cheaper."""
    return max(k, min(count, max(EF_ANYWAY, count // SCAN_SHARE)))
