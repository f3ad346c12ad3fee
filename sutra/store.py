"""The durable store: what people use, over the core's `StoreCore`."""

from __future__ import annotations

import datetime
import os
import sys
import threading
import warnings
from types import TracebackType
from typing import Literal, Self

from sutra._arrays import check_count, check_dim
from sutra._ops import Operation
from sutra._recall import Subject
from sutra._store import StoreCore
from sutra._view import ViewCore
from sutra.batch import Batch, commit
from sutra.care import Care, PathLike, checked_path
from sutra.errors import ClosedError, ConfigError, ReadOnlyError, SutraError
from sutra.relations import RelationReader
from sutra.results import WriteResult
from sutra.searcher import StateSubject
from sutra.tuning import SETTING, Tunable, Tuned, Tuning
from sutra.view import ReadView
from sutra.writer import Writer

MEMORY = ":memory:"

__all__ = ["Store", "open"]


def open(
    path: PathLike,
    *,
    dim: int | None = None,
    metric: Literal["cosine", "l2", "ip"] | None = None,
    mode: Literal["a", "r", "w", "x"] = "a",
    sync: Literal["full", "interval", "off"] = "full",
    quantization: Literal["u8", "u4", "none"] | None = None,
    keep_originals: bool | None = None,
    m: int | None = None,
    ef_construction: int | None = None,
    resident: Literal["auto", "arena", "mapped"] = "auto",
    threads: int = 0,
    max_bytes: int | None = None,
    reconcile_interval_ms: int = 10,
    flush_threshold: int = 50_000,
    auto_compact: bool = True,
    secure_delete: bool = False,
) -> Store:
    """Open a store of concepts, or make one.

    Parameters
    ----------
    path : path-like
        A directory, made if its parent is there; ``":memory:"`` is a store in memory that ends
        with its handle.
    dim : int, optional
        Length of the vectors, 1 to 16,384. Default: what is stored, or the first vector's.
    metric : {"cosine", "l2", "ip"}, optional
        How to compare vectors. Default: what is stored, or "cosine".
    mode : {"a", "r", "w", "x"}
        "a" opens, or makes a store where there is none; "r" reads only, also while another
        process writes; "w" makes a new store in place of one that is there; "x" makes one, and
        fails if there is one.
    sync : {"full", "interval", "off"}
        When a write is on the medium: when it returns; a tenth of a second later at most; or
        when the system sees fit. Whichever it is, what survives a crash is all writes up to
        some point, batches whole.
    quantization : {"u8", "u4", "none"}, optional
        How the graph sees vectors: see `Index`. Default: what is stored, or "u8".
    keep_originals : bool, optional
        Keep float32 vectors: see `Index`. Default: what is stored, or True.
    m : {8, 16, 24, 32}, optional
        Neighbours of a node of the graph. Default: what is stored, or 16.
    ef_construction : int, optional
        Width of the search that links a vector, 1 to 4,096. Default: what is stored, or 200.
    resident : {"auto", "arena", "mapped"}
        Where links and codes of the graph live: see `Index.open`.
    threads : int
        That link vectors in the background; 0 means one.
    max_bytes : int, optional
        What the directory may grow to; beyond it writes raise `CapacityError`.
    reconcile_interval_ms : int
        How often the background thread looks for vectors to link while there are writes.
    flush_threshold : int
        How many vectors may wait to be linked before writers wait for the background thread.
    auto_compact : bool
        Compact in the background when a twelfth of what is alive, by bytes, has been deleted or
        replaced, some thousand concepts at least; see `Store.compact`.
    secure_delete : bool
        Compact after every write that deletes or replaces something, before it returns: its bytes
        are in no file of the store and not in memory then, but for views that still see them. What
        the medium keeps of removed files is up to the file system. Slow: the store is written anew.

    Returns
    -------
    Store
        To be closed: use it in a ``with`` block.

    Raises
    ------
    LockedError
        If the store is open for writing elsewhere; `holder` says where.
    ConfigError
        If an argument is not as above, or differs from what is stored: both are named.
    CorruptError
        If the store is damaged, or the directory holds other files; `path` and `offset` say
        where.
    FormatVersionError
        If a newer version wrote it.
    OSError
        What the system refused: `FileNotFoundError` for mode "r" and nothing there,
        `FileExistsError` for mode "x", `PermissionError`, ...

    Notes
    -----
    After a crash the log is replayed. Vectors and contents are mapped, not read. The GIL is
    released.

    Examples
    --------
    >>> import sutra
    >>> with sutra.open(":memory:") as store:
    ...     done = store.add(["tea", "pot"], [[1.0, 0.0], [0.0, 1.0]], contents=["a drink", None])
    ...     done = store.link("pot", "tea", kind="holds")
    ...     [hit.id for hit in store.search([0.1, 0.9], k=1)], store["tea"].content
    (['pot'], 'a drink')
    """
    place = checked_path(path)
    if place == MEMORY and mode == "r":
        raise ConfigError("mode='r': a store in memory begins empty, there is nothing to read")
    core = StoreCore(
        None if place == MEMORY else os.path.abspath(place),
        mode,
        sync,
        resident,
        metric,
        quantization,
        keep_originals,
        0 if dim is None else check_dim(dim),
        0 if m is None else check_count(m, "m", 1, 2**31),
        0 if ef_construction is None else check_count(ef_construction, "ef_construction", 1, 4096),
        check_count(threads, "threads", 0, 1024),
        0 if max_bytes is None else check_count(max_bytes, "max_bytes", 1, 2**63 - 1),
        check_count(reconcile_interval_ms, "reconcile_interval_ms", 1, 3_600_000),
        check_count(flush_threshold, "flush_threshold", 1, 2**31 - 1),
        bool(auto_compact),
        bool(secure_delete),
        _holder(),
    )
    return Store(core, resident)


class Store(RelationReader, Writer, Care, Tunable):
    """Concepts with vectors, contents, metadata and associations, durable in a directory.

    Made by `sutra.open`. A concept has an id, a number or a text, and any of the rest. Writes
    are appended to a log before they are acknowledged, and readers see them at once; a background
    thread links vectors into a graph and seals the log into files that never change.

    Attributes
    ----------
    path : str or None
        The directory, absolute; None in memory.
    mode, sync, metric : str
        As opened, or as stored.
    dim : int or None
        Length of the vectors; None before the first.
    closed : bool
        Whether `close` was called, or the handle is the parent's.
    durable_lsn : int
        Sequence number of the last write that is known to be on the medium.

    See Also
    --------
    open : Makes one.
    Index : Vectors alone, in one file, saved when you say so.

    Notes
    -----
    Thread safety: every method may be called from any thread. Reads take no lock and run beside
    everything; writers wait for each other, and share syncs. `close` waits for writes in flight.

    Processes: one handle writes, any number read (``mode="r"``), each at the state of its open or
    last `refresh`. A handle does not survive `fork`: in the child every call raises
    `ClosedError`, and the parent keeps its lock. A pickled handle opens the same path
    with ``mode="r"``.

    A handle that is dropped without `close` closes itself and warns with `ResourceWarning`.
    """

    __slots__ = (
        "__weakref__",
        "_core",
        "_fields_noticed",
        "_local",
        "_resident",
        "_tuning",
        "_tuning_lock",
    )

    _core: StoreCore

    def __init__(self, core: StoreCore, resident: str) -> None:
        self._core = core
        self._resident = resident
        self._local = threading.local()
        self._fields_noticed: set[str] = set()
        self._tuning_lock = threading.Lock()  # for writing it; it is replaced as a whole
        self._tuning = Tuning.from_bytes(self._setting(SETTING))

    # ---- Reader, Writer and Tunable

    def _view(self) -> ViewCore:
        return self._core.view()

    def _cores(self) -> int:
        return self._core.cores

    def _tuned(self) -> Tuning:
        return self._tuning

    def _noticed(self) -> set[str]:
        return self._fields_noticed

    def _subject(self) -> Subject:
        return StateSubject(self._core.view(True), self._cores(), self._tuning)

    def _prepare(self, keep: bool) -> bool:
        if keep and self.mode == "r":
            raise ReadOnlyError("the store was opened for reading: tune with keep=False")
        if keep and getattr(self._local, "batch", None) is not None:
            raise SutraError("a batch of this store is open in this thread: tune after it")
        self.settle()  # what is not linked is scanned: more would be found than later
        return bool(self._core.stats()["linked"])

    def _keep(self, tuned: Tuned) -> None:
        with self._tuning_lock:
            tuning = self._tuning.put(tuned)
            self._set(SETTING, tuning.as_bytes())
            self._tuning = tuning

    def _dim(self) -> int:
        return self._core.dim

    def _apply(self, operation: Operation) -> WriteResult:
        batch: Batch | None = getattr(self._local, "batch", None)
        if batch is not None:
            return batch._apply(operation)
        _, (result,) = commit(self._core, [operation])
        return result

    # ---- what it is

    @property
    def path(self) -> str | None:
        """The directory, absolute; None in memory."""
        return self._core.path

    @property
    def mode(self) -> str:
        """How it was opened."""
        return self._core.mode

    @property
    def sync(self) -> str:
        """When writes are on the medium."""
        return self._core.sync

    @property
    def metric(self) -> str:
        """How vectors are compared."""
        return self._core.metric

    @property
    def dim(self) -> int | None:
        """Length of the vectors; None before the first."""
        return self._core.dim or None

    @property
    def closed(self) -> bool:
        """Whether `close` was called, or the handle is the parent's."""
        return not self._core.alive

    # ---- writing

    def batch(self) -> Batch:
        """Collect writes of this thread and do them as one: all or none, also after a crash.

        Returns
        -------
        Batch
            For a ``with`` block; see there.

        Raises
        ------
        SutraError
            At the block, if this thread has a batch of this store open.
        Exception
            At the end of the block: what the writes raise. None of them was done then.

        Examples
        --------
        >>> import sutra
        >>> with sutra.open(":memory:") as store:
        ...     with store.batch() as batch:
        ...         made = store.add(contents=["one", "two"])
        ...         link = store.link(made.ids[0], made.ids[1])
        ...     [result.count for result in batch.results]
        [2, 1]
        """
        return Batch(self._core, self._local, self._fields_noticed)

    def flush(self) -> None:
        """Make everything written so far durable.

        Raises
        ------
        DurabilityError
            If a sync fails or has failed.
        ClosedError
            If the store is closed.

        Notes
        -----
        With ``sync="full"`` every write has done that itself. The GIL is released.
        """
        self._core.flush()

    @property
    def durable_lsn(self) -> int:
        """Sequence number of the last write that is known to be on the medium."""
        return self._core.durable_lsn

    def wait_durable(self, lsn: int) -> None:
        """Wait until a write, and all before it, are on the medium.

        Parameters
        ----------
        lsn : int
            Of a `WriteResult`.

        Raises
        ------
        DurabilityError
            If a sync fails or has failed before that.
        ConfigError
            If there was no such write.
        ClosedError
            If the store is closed.

        Notes
        -----
        Syncs if nobody else does. The GIL is released.
        """
        number = check_count(lsn, "lsn", 0, 2**63 - 1)
        if number > self._core.visible_lsn:
            raise ConfigError(f"lsn={number}: the last write is {self._core.visible_lsn}")
        self._core.wait(number)

    # ---- reading

    def read_view(self) -> ReadView:
        """Return the state as it is now, to be read as long as it takes.

        Returns
        -------
        ReadView
            For a ``with`` block; its `generation` is the sequence number of the last write that
            it sees.

        Raises
        ------
        ClosedError
            If the store is closed.
        """
        view = self._core.view(True)
        return ReadView(view, self._core.cores, self._tuning, self._fields_noticed)

    def refresh(self) -> bool:
        """See what other processes have written: everything acknowledged before the call.

        Returns
        -------
        bool
            Whether there was anything new. Always False for a handle that writes: it sees
            everything anyway.

        Raises
        ------
        CorruptError, OSError
            If the files cannot be read; the handle stays at the state it had.
        ClosedError
            If the store is closed.

        Notes
        -----
        Costs what was written since. Views and hits stay at their state. The GIL is released.
        """
        changed = self._core.refresh()
        if changed:
            with self._tuning_lock:
                self._tuning = Tuning.from_bytes(self._setting(SETTING))
        return changed

    # ---- lifetime

    def close(self) -> None:
        """Close the store; a long log is sealed first. Closing twice is no error.

        Waits for writes in flight; views and hits stay readable. In a forked child it does
        nothing.

        Raises
        ------
        OSError
            What the last checkpoint met. The store is closed anyway, and what was acknowledged
            is in the log.
        DurabilityError
            If what was written with ``sync="interval"`` or ``"off"`` could not be synced.

        Notes
        -----
        The GIL is released.
        """
        self._core.close()

    def __enter__(self) -> Self:
        if self.closed:
            raise ClosedError("the store is closed")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        core = getattr(self, "_core", None)  # __init__ may not have run
        if core is None or not core.alive:
            return
        if core.path is not None:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        core.close()

    def __reduce__(self) -> tuple[object, ...]:
        if self.path is None:
            raise TypeError("a store in memory cannot be pickled: it is nowhere else")
        return _reopen, (self.path, self._resident)

    def __repr__(self) -> str:
        place = self.path or MEMORY
        try:
            return f"<sutra.Store {place}, {len(self):,} concepts, mode {self.mode!r}>"
        except ClosedError:
            return f"<sutra.Store {place}, closed>"


def _reopen(path: str, resident: Literal["auto", "arena", "mapped"]) -> Store:
    return open(path, mode="r", resident=resident)


def _holder() -> bytes:
    """Return what another process is told about who holds the lock."""
    program = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    text = f"process {os.getpid()} on {os.uname().nodename} ({program or 'python'}) since {now}"
    return "".join(char for char in text if char.isprintable())[:200].encode("utf-8", "replace")
