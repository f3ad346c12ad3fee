"""Measuring recall, and finding the `ef` that reaches one: the same for an index and a store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from sutra._arrays import COUNT_MAX, K_MAX, as_rows, check_count
from sutra._recall import (
    DEFAULT_EF,
    Floats,
    Recall,
    Subject,
    Trial,
    find_ef,
    lengths,
    widest_ef,
)
from sutra.errors import ConfigError, InvalidVectorError

LENGTH_MAX = 2.0**62  # of a vector: the core refuses more
SETTING = "tuning"  # what a store keeps it under
WIDTHS_MAX = 1000  # kept; a setting has room for some more

__all__ = ["Measurable", "Recall", "Tunable", "Tuned"]


@dataclass(frozen=True, slots=True)
class Tuned:
    """What `tune` found.

    Attributes
    ----------
    recall : float
        As asked for.
    k : int
        As asked for.
    ef : int
        The width to search with.
    measured : Recall
        What it was chosen by.
    reached : bool
        Whether it is enough. If not, no width was, and `ef` is the smallest of those that found
        most.
    """

    recall: float
    k: int
    ef: int
    measured: Recall
    reached: bool


class Tuning:
    """The widths that were found for recalls, and the one for searches that ask for none.

    It does not change: `put` makes another one. Kept as JSON: ``{"0.95@10": 112, "default": 112}``.
    """

    __slots__ = ("_widths", "default")

    default: int | None

    def __init__(
        self, widths: dict[tuple[float, int], int] | None = None, default: int | None = None
    ) -> None:
        self._widths = widths or {}
        self.default = default

    def put(self, tuned: Tuned) -> Self:
        """Return one that has this too; a recall that is not reached is not kept as if it were."""
        widths = {key: ef for key, ef in self._widths.items() if key != (tuned.recall, tuned.k)}
        if tuned.reached:
            widths[tuned.recall, tuned.k] = tuned.ef
        latest = list(widths.items())[-WIDTHS_MAX:]
        return type(self)(dict(latest), tuned.ef)

    def width(self, recall: Any, k: int, ef: Any, exact: bool) -> int:
        """Return the ef of a search that asks for a recall.

        That of the smallest k kept that is large enough, and then of the smallest recall.

        Raises
        ------
        TypeError, ConfigError
            If `recall` is no share, comes with `ef` or `exact`, or nothing is kept that reaches it.
        """
        wanted = as_recall(recall)
        if ef is not None or exact:
            raise ConfigError(
                f"recall={wanted}: expected without ef and exact, which say how to search too"
            )
        able = [(kept_k, kept) for kept, kept_k in self._widths if kept_k >= k and kept >= wanted]
        if not able:
            raise ConfigError(
                f"recall={wanted}: no ef is known to reach it for k={k}; call "
                f"tune(recall={wanted}, k={k}) first"
            )
        kept_k, kept = min(able)
        return max(self._widths[kept, kept_k], k)

    def as_bytes(self) -> bytes:
        """Return it as compact JSON."""
        from json import dumps  # on demand: the package imports little

        document = {name_of(*key): ef for key, ef in self._widths.items()}
        if self.default is not None:
            document["default"] = self.default
        return dumps(document, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, raw: bytes | None) -> Self:
        """Read what `as_bytes` wrote; what cannot be is passed over, as if it were not tuned."""
        from json import loads

        try:
            document = loads(raw or b"{}")
        except (ValueError, RecursionError):
            return cls()
        if not isinstance(document, dict):
            return cls()
        fit = {
            name: ef for name, ef in document.items() if type(ef) is int and 1 <= ef <= COUNT_MAX
        }
        default = fit.pop("default", None)
        keys = {name: key_of(name) for name in fit}
        return cls({key: fit[name] for name, key in keys.items() if key is not None}, default)


def name_of(recall: float, k: int) -> str:
    """Return what a width is kept under."""
    return f"{recall!r}@{k}"


def key_of(name: str) -> tuple[float, int] | None:
    """Return the recall and the k of a name; None if it is none."""
    left, _, right = name.partition("@")
    try:
        recall, k = float(left), int(right)
    except ValueError:
        return None
    good = 0 < recall <= 1 and 1 <= k <= K_MAX and name_of(recall, k) == name
    return (recall, k) if good else None


def as_recall(value: Any) -> float:
    """Return a share above 0, or raise TypeError or ConfigError."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"recall: expected a number, not {type(value).__name__}")
    recall = float(value)
    if not 0 < recall <= 1:
        raise ConfigError(f"recall={recall}: expected above 0, up to 1")
    return recall


def as_questions(queries: npt.ArrayLike, dim: int) -> Floats:
    """Return queries that every search takes, or raise what a search would."""
    rows = as_rows(queries, dim, "queries")
    if not len(rows):
        raise ConfigError("queries: expected at least one")
    good = lengths(rows) < LENGTH_MAX
    if not good.all():
        row = int(np.argmin(good))
        raise InvalidVectorError(
            f"queries: row {row} holds NaN or infinity, or is too long", row=row
        )
    return rows


class Asked(NamedTuple):
    """What is to be measured, checked."""

    k: int
    rows: Floats | None
    sample: int
    seed: int
    threads: int

    def trial(self, subject: Subject) -> Trial:
        """Draw queries where none are given, and find the truth about them."""
        keys, rows = None, self.rows
        if rows is None:
            keys, rows = subject.sample(self.sample, self.seed)
        return Trial(subject, self.k, rows, keys, self.threads)


class Measurable(ABC):
    """What can be measured: searches of it, against exact ones. Not made directly."""

    __slots__ = ()

    @abstractmethod
    def _subject(self) -> Subject:
        """Return what to measure, one state of it, or raise ConfigError if it has no vectors."""

    def measure_recall(
        self,
        k: int = 10,
        *,
        ef: int | None = None,
        queries: npt.ArrayLike | None = None,
        sample: int = 1000,
        seed: int = 0,
        threads: int = 0,
    ) -> Recall:
        """Measure how many of the true nearest vectors a search finds.

        Parameters
        ----------
        k : int
            How many neighbours are searched for, 1 to 1,048,576. Where there are fewer, those
            that there are.
        ef : int, optional
            Width of the graph walk. Default: what a search takes that is told none.
        queries : (q, dim) or (dim,) array-like, optional
            What to search for: best what is really asked, some hundreds, and nothing that is
            stored. All of them count. Default: stored vectors, each as if it were not there.
        sample : int
            How many stored vectors to take, or all if there are fewer.
        seed : int
            Which. The same seed takes the same ones of the same state.
        threads : int
            0 means all cores this process may use.

        Returns
        -------
        Recall
            The mean, its 95 % confidence interval, and the time the searches took.

        Raises
        ------
        ConfigError
            If an argument is out of range, there are no queries, or there is nothing to find: no
            vector, or none but the one that is searched for.
        DimensionError, DTypeError, InvalidVectorError
            If queries are not as a search takes them.
        ClosedError, MemoryError
            As for `search`.

        Notes
        -----
        Stored vectors are searched for as if they were not there: a walk does not go through the
        one it looks for. That is a little harder than a new query, since what is near it was
        linked to it and not to one another; real queries find as much or a point or two more,
        unless they are of another kind than what is stored. Give `queries` where it matters.

        A vector found is right if it lies no farther than the k-th nearest, by the distances of
        exact search: of vectors equally far any will do. Where originals are not kept, distances
        are those of the codes, and recall says nothing of what the codes have lost. What waits in
        a store to be linked is scanned, and found: `settle` first to measure the graph.

        The exact searches are the price: each reads all vectors, and they are done once. Memory
        is needed for the queries and a few hundred results. Nothing is written. The GIL is
        released in the searches.

        The interval is that of Agresti and Coull (The American Statistician 52(2), 1998),
        extended to shares, with the queries as the sample, since the hits of one query are not
        independent. It is a proper one at a recall of 1, too.
        """
        asked = self._asked(k, queries, sample, seed, threads)
        wanted = None if ef is None else check_count(ef, "ef", 1, COUNT_MAX)
        subject = self._subject()
        return asked.trial(subject).at(max(asked.k, wanted or subject.default_ef))

    def _asked(
        self, k: int, queries: npt.ArrayLike | None, sample: int, seed: int, threads: int
    ) -> Asked:
        """Check arguments."""
        width = check_count(k, "k", 1, K_MAX - (queries is None))  # one more is searched for then
        return Asked(
            width,
            None if queries is None else as_questions(queries, self._subject().dim),
            check_count(sample, "sample", 1, COUNT_MAX),
            check_count(seed, "seed", 0, 2**64 - 1),
            check_count(threads, "threads", 0, 1024),
        )


class Tunable(Measurable):
    """What can be tuned, too. Not made directly."""

    __slots__ = ()

    @abstractmethod
    def _prepare(self, keep: bool) -> bool:
        """Come to rest, and return whether there is a graph to walk.

        Raises ReadOnlyError if something is to be kept and cannot be.
        """

    @abstractmethod
    def _keep(self, tuned: Tuned) -> None:
        """Search like this from now on."""

    def tune(
        self,
        recall: float = 0.95,
        k: int = 10,
        *,
        queries: npt.ArrayLike | None = None,
        sample: int = 1000,
        seed: int = 0,
        threads: int = 0,
        keep: bool = True,
    ) -> Tuned:
        """Find the smallest `ef` that reaches a recall, and search with it from now on.

        Afterwards `search` takes it where it is told neither `ef` nor `recall`, and
        ``search(..., recall=...)`` where it is asked for that recall or less, and as many
        neighbours or fewer. A store keeps what it is tuned to, for every recall and k, until that
        is tuned again; the file of an index has the last `ef`, once it is saved.

        Parameters
        ----------
        recall : float
            Share of the true nearest that is to be found, above 0 and up to 1.
        k, queries, sample, seed, threads
            As for `measure_recall`.
        keep : bool
            False only tells.

        Returns
        -------
        Tuned
            The `ef`, what was measured with it, and whether that is enough. If no width is
            enough, the best one is used where none is asked for, but not for that recall.

        Raises
        ------
        ReadOnlyError
            If the store was opened for reading and `keep` is not False. Nothing was measured.
        SutraError
            If this thread has a batch of the store open, likewise.
        TypeError
            If `recall` is no number.
        Exception
            What `measure_recall` raises, and what a write does: see `Store.add`.

        Notes
        -----
        What is asked for is the recall of other queries of the same kind, so the measured one is
        somewhat higher: the lower end of its 95 % interval must reach it; or, since that of few
        queries is wide, at most half of what may be missed was missed. Queries of
        another kind than what is stored may find less, which no interval can know: give `queries`.

        The width is found by doubling and halving, to one part in 32. It grows no further than
        where exact search is the cheaper one. Until there are some 500 vectors, all of them are
        looked at whatever `ef` is, and it is left at ``max(k, 64)``.

        Tune again when what is stored has changed: several times as many vectors, or other ones.
        A store first waits until what is written is linked, as `settle` does, and then measures
        one state, whatever is written meanwhile. To an index nothing should be added meanwhile.
        """
        target = as_recall(recall)
        asked = self._asked(k, queries, sample, seed, threads)
        walks = self._prepare(bool(keep))
        subject = self._subject()
        least, most = asked.k, widest_ef(len(subject), asked.k)
        if not walks:
            least = most = max(asked.k, DEFAULT_EF)
        measured, reached = find_ef(asked.trial(subject).at, target, least, most)
        tuned = Tuned(target, asked.k, measured.ef, measured, reached)
        if keep:
            self._keep(tuned)
        return tuned
