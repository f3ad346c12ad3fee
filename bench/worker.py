"""The process one library runs in: commands come over a pipe, answers go back.

A library gets a process of its own so that crashes, thread pools, allocators and memory do not
mix. Its standard output and error go to a log file; the driver shows the end of it on failure.

Commands are tuples (name, arguments...); answers are ("ok", value) or ("error", text).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import sys
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bench import adapters, machine
from bench.data import DataSet

K = 10


class Task(Protocol):
    """What a process is started with: pickled, and sent along."""

    @property
    def log(self) -> str:
        """The file that the process prints to."""

    def make(self) -> Any:
        """What commands are methods of; made in the process, at the first command."""


@dataclass(frozen=True)
class Job:
    """What a worker is started with."""

    library: str
    dataset: DataSet
    queries: int
    log: str
    pin: int | None = None
    """Core that all queries run on; builds and everything else use all cores."""

    def make(self) -> Worker:
        """The library in this process."""
        return Worker(self)


def serve(task: Task, pipe: Connection) -> None:
    """Answer commands until "stop" or until the driver is gone."""
    with open(task.log, "ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    worker: Any = None
    while True:
        try:
            name, *arguments = pipe.recv()
        except EOFError:
            return
        if name == "stop":
            pipe.send(("ok", None))
            return
        try:
            if worker is None:
                worker = task.make()
            pipe.send(("ok", getattr(worker, name)(*arguments)))
        except BaseException as error:
            traceback.print_exc()
            pipe.send(("error", f"{type(error).__name__}: {error}"))


class Worker:
    """One library, one set. Times are seconds, sizes bytes, rates queries per second."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.adapter = adapters.make(job.library, job.dataset.metric, job.dataset.dim)
        self.rows = job.dataset.query_rows(unit=self.adapter.unit)[: job.queries]
        self.queries = [self.adapter.prepare(row) for row in self.rows]
        self.cores = _affinity()
        trim()
        self.empty_anonymous = machine.anonymous_bytes()

    def hello(self) -> dict[str, Any]:
        """Anonymous memory of the process with the library imported and the queries loaded."""
        return {"empty_anonymous": self.empty_anonymous, "process": os.getpid()}

    def build(self, threads: int) -> dict[str, Any]:
        """Index the base, replacing what was there: wall and processor seconds."""
        base = self.job.dataset.base(unit=self.adapter.unit)
        base.sum()  # pages of the file are in memory before the clock starts
        processor = time.process_time()
        start = time.perf_counter()
        self.adapter.build(base, threads)
        seconds = time.perf_counter() - start
        del base
        trim()
        return {"seconds": seconds, "processor_seconds": time.process_time() - processor}

    def save(self, folder: str) -> int | None:
        """Save into a folder; bytes on disk or None."""
        return self.adapter.save(Path(folder))

    def open_saved(self, folder: str) -> dict[str, Any]:
        """Open a saved index: seconds, with the file in the page cache."""
        start = time.perf_counter()
        self.adapter.open_saved(Path(folder))
        return {"seconds": time.perf_counter() - start}

    def memory(self, count: int) -> dict[str, Any]:
        """Memory after `count` queries at the middle of the grid, above the empty process."""
        self.adapter.set_knob(self.adapter.grid.middle)
        done = 0
        while done < count:
            for query in self.queries[: count - done]:
                self.adapter.query_one(query, K)
            done += min(len(self.queries), count - done)
        before_trim = machine.anonymous_bytes()
        trim()
        anonymous = machine.anonymous_bytes()
        empty = self.empty_anonymous or 0
        return {
            "queries": count,
            "anonymous": None if anonymous is None else anonymous - empty,
            "anonymous_untrimmed": None if before_trim is None else before_trim - empty,
            "reported": self.adapter.memory(),
            "mapped": mapped_resident_bytes(self.job.dataset.directory),
            "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            * (1 if sys.platform == "darwin" else 1024),
        }

    def answers(self, knob: Any, limit_s: float) -> dict[str, Any]:
        """Ids for every query at one knob, one pass; `ids` is shorter if `limit_s` ran out."""
        self.adapter.set_knob(knob)
        ids = np.full((len(self.queries), K), -1, dtype=np.int64)
        start = time.perf_counter()
        count = 0
        for query in self.queries:
            found = np.asarray(self.adapter.query_one(query, K)).ravel()[:K]
            ids[count, : len(found)] = found.astype(np.int64)
            count += 1
            if time.perf_counter() - start > limit_s:
                break
        return {"ids": ids[:count], "seconds": time.perf_counter() - start}

    def burst(self, knob: Any, warm_s: float, burst_s: float) -> float:
        """Queries per second at one knob: whole passes over all queries for at least `burst_s`.

        Before them come untimed queries: one pass, or as many as fit in `warm_s`.
        """
        self.adapter.set_knob(knob)
        ask, queries = self.adapter.query_one, self.queries
        if self.job.pin is not None:
            _set_affinity({self.job.pin})
        enabled = gc.isenabled()
        gc.disable()
        try:
            end = time.perf_counter() + warm_s
            for query in queries:
                ask(query, K)
                if time.perf_counter() > end:
                    break
            passes = 0
            start = time.perf_counter()
            while True:
                for query in queries:
                    ask(query, K)
                passes += 1
                seconds = time.perf_counter() - start
                if seconds >= burst_s:
                    return passes * len(queries) / seconds
        finally:
            if enabled:
                gc.enable()
            if self.job.pin is not None:
                _set_affinity(self.cores)


def mapped_resident_bytes(exclude: str) -> dict[str, int]:
    """Resident bytes of mapped regular files by path, leaving out programs and `exclude`.

    "Resident" is what `mincore` says: in the page cache, touched by this process or not.
    """
    found: dict[str, int] = {}
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        fields = line.split(maxsplit=5)
        if len(fields) < 6 or not fields[5].startswith("/") or fields[5].startswith(exclude):
            continue
        path = fields[5]
        if "x" in fields[1] or ".so" in Path(path).name or "/bin/" in path or "/lib/" in path:
            continue
        start, end = (int(part, 16) for part in fields[0].split("-"))
        found[path] = found.get(path, 0) + (_resident(start, end - start) or 0)
    return found


def _resident(address: int, size: int) -> int | None:
    """Bytes of [address, address + size) in memory, by mincore; None where there is none."""
    page = os.sysconf("SC_PAGE_SIZE")
    flags = (ctypes.c_ubyte * -(-size // page))()
    try:
        mincore = ctypes.CDLL(None, use_errno=True).mincore
    except (AttributeError, OSError):
        return None
    mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    if mincore(address, size, flags) != 0:
        return None
    return int((np.frombuffer(bytes(flags), dtype=np.uint8) & 1).sum()) * page


def trim() -> None:
    """Collect garbage and give free heap back to the system, so that all libraries start equal."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _affinity() -> set[int]:
    try:
        return set(os.sched_getaffinity(0))
    except AttributeError:
        return set()


def _set_affinity(cores: set[int]) -> None:
    if cores:
        with contextlib.suppress(AttributeError, OSError):
            os.sched_setaffinity(0, cores)
