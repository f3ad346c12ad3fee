"""Looking after a store: snapshots, checks, compaction, figures."""

from __future__ import annotations

import errno
import os
import time
from typing import Any

from sutra import _store
from sutra._index import QUANTIZATION_NAMES
from sutra._kernels import tiers
from sutra._store import StoreCore, status_text
from sutra.errors import ConfigError

PathLike = str | os.PathLike[str]

__all__ = ["Care", "repair", "restore"]


class Care:
    """The part of a store that looks after it. Not made directly."""

    __slots__ = ()

    _core: StoreCore

    def snapshot(self, directory: PathLike) -> None:
        """Copy the state as it is now to a directory, while the store goes on.

        Files that never change are linked where the file system can, else copied; what an
        earlier snapshot of this store left there is kept, so a second one costs the difference.

        Parameters
        ----------
        directory : path-like
            Made if its parent is there. A store like any other: `sutra.open` reads it,
            `sutra.restore` makes an independent copy of it.

        Raises
        ------
        OSError
            If it cannot be written, or holds something else.
        ConfigError
            If the store is in memory.
        DurabilityError, ClosedError
            As for `add`.

        Notes
        -----
        Durable on return; cut off by a crash, the directory holds the snapshot before. The GIL
        is released.
        """
        if self._core.path is None:
            raise ConfigError("a store in memory has no files to snapshot")
        self._core.snapshot(os.fsencode(checked_path(directory)))

    def verify(self, deep: bool = False) -> dict[str, Any]:
        """Check the store.

        Parameters
        ----------
        deep : bool
            Also every block of every file, and every invariant of what is in memory. Reads
            everything.

        Returns
        -------
        dict
            ``concepts`` checked, whether ``deep``, and ``seconds`` taken.

        Raises
        ------
        CorruptError
            With the file, the offset, and what is wrong.
        ClosedError
            If the store is closed.

        Notes
        -----
        Reads and writes go on. The GIL is released.
        """
        start = time.perf_counter()
        self._core.verify(deep)
        return {
            "concepts": len(self._core.view()),
            "deep": bool(deep),
            "seconds": time.perf_counter() - start,
        }

    def checkpoint(self) -> None:
        """Seal what the log holds into files, so that the next open has nothing to replay.

        Happens by itself when the log has grown, and at `close` where it is worth the while.

        Raises
        ------
        OSError
            If there is no room: the log keeps what it has.
        DurabilityError, ReadOnlyError, ClosedError
            As for `add`.
        """
        self._core.checkpoint()

    def settle(self) -> None:
        """Wait until every vector written so far is linked into the graph.

        Searches find all of them before, too; after it they are as fast as they get.

        Raises
        ------
        ClosedError, MemoryError
            If the store is closed; there is no room.
        """
        self._core.settle()

    def compact(self) -> None:
        """Rewrite the store to what is visible: what was deleted or replaced gives up its space.

        Raises
        ------
        OSError, MemoryError
            If there is no room for the new files beside the old; the store is as it was.
        DurabilityError, ReadOnlyError, ClosedError
            As for `add`.

        Notes
        -----
        Copies what is left and repairs the graph where it named what is gone; nothing is linked
        anew. Reads go on, and writes but for the last moment; views keep the old files on the disk
        until they end. The background thread does it by itself when enough is dead, see `open`.
        The GIL is released.
        """
        self._core.compact()

    def stats(self) -> dict[str, Any]:
        """Report settings, counts and sizes.

        Returns
        -------
        dict
            The arguments the store was made with; counts of ``concepts``, ``vectors``,
            ``associations``, ``kinds``, of ``pending`` vectors, of versions (``slots``) and of
            ``dead_slots`` and ``dead_vectors`` that `compact` would remove; ``visible_lsn``,
            ``durable_lsn``, ``checkpoint_lsn`` and the manifest's ``generation``; sizes in bytes
            of ``log``, ``segments``, ``content``, ``memory``, ``mapped`` and ``originals``; what
            checkpoints and the recovery at open cost; ``kernels``, the tier that runs; ``path``.

        Raises
        ------
        ClosedError
            If the store is closed.
        """
        read = self._core.stats()
        options = read.pop("options")
        failed = status_text(read.pop("failed"))
        trouble = status_text(read.pop("last_checkpoint_status"))
        return {
            "path": self._core.path,
            "mode": self._core.mode,
            "sync": self._core.sync,
            "dim": options["dim"] or None,
            "metric": self._core.metric,
            "m": options["m"],
            "ef_construction": options["ef_construction"],
            "quantization": QUANTIZATION_NAMES[options["quantization"]],
            "keep_originals": bool(options["keep_originals"]),
            "graph": bool(read.pop("linked")),
            **read,
            "manifest_fallback": bool(read["manifest_fallback"]),
            "failed": failed,
            "last_checkpoint_error": trouble,
            "kernels": tiers()["chosen"],
        }

    def health(self) -> dict[str, Any]:
        """Report what an operator wants to know at a glance.

        Returns
        -------
        dict
            ``status``: "ok"; "read-only", as opened; "disk-full", the last checkpoint found no
            room, and the log goes on as long as it can; "failed", a sync failed and no more
            writes are taken. ``detail``, a sentence or None. ``generation``, the last write that
            readers see, and ``durable_lsn``. ``reconciler_lag_ms``, how long the oldest vector
            has waited to be linked; ``write_log_depth``, how many wait. ``mmap_size_mb`` and
            ``log_mb``. ``open_views``. ``recovered``, log records replayed at open;
            ``torn_bytes`` cut off then; ``manifest_fallback``, whether the newest manifest was
            damaged and the one before was used.

        Raises
        ------
        ClosedError
            If the store is closed.
        """
        read = self._core.stats()
        status, detail = "ok", None
        if read["failed"]:
            status, detail = "failed", status_text(read["failed"])
        elif self._core.mode == "r":
            status = "read-only"
        elif read["last_checkpoint_status"]:
            full = read["last_checkpoint_status"] == errno.ENOSPC
            status = "disk-full" if full else "degraded"
            detail = f"last checkpoint: {status_text(read['last_checkpoint_status'])}"
        return {
            "status": status,
            "detail": detail,
            "generation": read["visible_lsn"],
            "durable_lsn": read["durable_lsn"],
            "reconciler_lag_ms": read["reconciler_lag_ms"],
            "write_log_depth": read["pending"],
            "mmap_size_mb": round(read["mapped_bytes"] / 2**20, 3),
            "log_mb": round(read["log_bytes"] / 2**20, 3),
            "open_views": read["open_views"],
            "recovered": read["recovered_records"],
            "torn_bytes": read["torn_bytes"],
            "manifest_fallback": bool(read["manifest_fallback"]),
        }


def restore(src: PathLike, dst: PathLike) -> None:
    """Copy a snapshot, or a store that nobody writes to, to a new directory.

    Parameters
    ----------
    src : path-like
        A snapshot or a store. It is not changed.
    dst : path-like
        Must not exist; its parent must.

    Raises
    ------
    CorruptError, FormatVersionError
        If the source is damaged: everything is checked on the way. Then there is no `dst`.
    FileExistsError, OSError
        If `dst` exists, or what the system refused.

    Notes
    -----
    The copy shares no file with the source. The GIL is released.
    """
    _store.restore(os.fsencode(checked_path(src)), os.fsencode(checked_path(dst)))


def repair(src: PathLike, dst: PathLike) -> dict[str, Any]:
    """Save what can be read of a damaged store into a new one.

    Parameters
    ----------
    src : path-like
        The damaged store. It is not changed. Nobody may write to it meanwhile.
    dst : path-like
        Must not exist; its parent must.

    Returns
    -------
    dict
        What the new store holds: ``concepts``, ``associations``, ``vectors``, and the state it
        is of: ``lsn``, the last write, and ``generation``, the manifest that was used. What
        is known to be lost: ``lost_concepts``, that were listed and could not be read;
        ``log_cut``, whether the log was damaged and what came after is missing;
        ``lost_settings``, whether what the store keeps of its own settings was damaged, so that
        only those set since the last checkpoint are left; ``lost_fields``, the same of declared
        fields;
        ``older_manifest``, whether the newest did not hold. ``damaged_blocks``, of 64 KiB in
        the files that were read: what they held may be wrong where it could be read at all.

    Raises
    ------
    CorruptError
        If there is nothing to begin with: no identity, no manifest.
    FileExistsError, OSError
        If `dst` exists, or what the system refused.

    Notes
    -----
    Prefer a snapshot, if there is one: it is checked as a whole. The GIL is released.
    """
    report = _store.repair(os.fsencode(checked_path(src)), os.fsencode(checked_path(dst)))
    report["older_manifest"] = bool(report["older_manifest"])
    report["log_cut"] = bool(report["log_cut"])
    report["lost_settings"] = bool(report["lost_settings"])
    report["lost_fields"] = bool(report["lost_fields"])
    return report


def checked_path(path: PathLike) -> str:
    """Return the path as text, or refuse what a C string would cut short."""
    text = os.fsdecode(path)
    if "\0" in text:
        raise ValueError("path: embedded null byte")
    if not text:
        raise ValueError("path: empty")
    return text
