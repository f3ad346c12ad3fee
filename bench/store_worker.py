"""What is measured of the store of every library: one function a measurement.

`run` calls it in a process of its own, so that libraries, caches and memory do not mix, and a
crash ends one measurement. Rates are per second, times seconds, sizes bytes.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from bench import adapters, data, store_adapters
from bench.peers import PeerFailed
from bench.smoke import overlap

K = 10
PLAIN_BATCH = 10_000
LOOKUP_BATCH = 256
RECALL_QUERIES = 200


@dataclass(frozen=True)
class Job:
    """Which library, where its store is, and the vectors."""

    library: str
    folder: str
    dataset: data.DataSet
    threads: int = 2
    """Threads that link or index."""
    limit_s: float = 120.0
    """Writing stops after so long; rates are of what was written until then."""

    def open(self) -> store_adapters.Store:
        """Open the store, or make it."""
        folder = Path(self.folder)
        return store_adapters.make(self.library, folder, self.dataset.dim, self.threads)


# ---- processes ----------------------------------------------------------------------------------


def run(function: Callable[..., Any], *arguments: Any, log: Path, limit_s: float = 3600.0) -> Any:
    """Call `function` in a fresh process. `PeerFailed` if it raises, dies or takes too long."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(there, str(log), function, arguments))
    process.start()
    there.close()
    try:
        if not here.poll(limit_s):
            raise PeerFailed(f"{function.__name__}: over the limit of {limit_s / 60:.0f} min")
        status, value = here.recv()
    except EOFError as error:
        process.join(5)
        raise PeerFailed(f"{function.__name__}: process died, {process.exitcode}") from error
    finally:
        here.close()
        process.join(30)
        if process.is_alive():
            process.kill()
            process.join()
    if status != "ok":
        raise PeerFailed(f"{function.__name__}: {value}")
    return value


def _answer(pipe: Connection, log: str, function: Callable[..., Any], arguments: Any) -> None:
    with open(log, "ab", buffering=0) as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    try:
        pipe.send(("ok", function(*arguments)))
    except NotImplementedError as error:
        pipe.send(("ok", {"unable": str(error)}))
    except BaseException as error:
        traceback.print_exc()
        pipe.send(("error", f"{type(error).__name__}: {error}"))


# ---- all libraries ------------------------------------------------------------------------------


def ingest(job: Job, rows: int, batch: int, early: int) -> dict[str, Any]:
    """Write vectors in batches, then wait for the index."""
    base = job.dataset.base()[:rows]
    base.sum()  # pages of the file are in memory before the clock starts
    store = job.open()
    times: list[float] = []
    for first in range(0, rows, batch):
        prepared = store.prepare(first, base[first : first + batch])
        times.append(seconds_of(store.add, prepared))
        if sum(times) > job.limit_s:
            break
    written = min(rows, len(times) * batch)
    finishing = seconds_of(store.finish)
    queries = job.dataset.query_rows()[:RECALL_QUERIES]
    truth, _ = data.exact_neighbours(base[:written], queries, job.dataset.metric, K)
    recall = overlap([store.search(query, K) for query in queries], truth)
    store.close()
    few = times[: early // batch]
    return {
        "rows": written,
        "acknowledged": batch * len(few) / sum(few),
        "acknowledged_all": written / sum(times),
        "indexed": written / (sum(times) + finishing),
        "finishing_s": finishing,
        "batch_median_s": statistics.median(times),
        "batch_longest_s": max(times),
        "recall": recall,
        "file_bytes": adapters.folder_bytes(Path(job.folder)),
    }


def concepts(job: Job, count: int, as_list: bool, lookup_s: float) -> dict[str, Any]:
    """Write concepts without vectors, then look some up by id, at random and in batches."""
    store = job.open()
    spent = written = 0.0
    for ids in batches_of(count, PLAIN_BATCH):
        prepared = ids.tolist() if as_list else store.prepare_plain(ids)
        spent += seconds_of(store.add_plain, prepared)
        written += len(ids)
        if spent > job.limit_s:
            break
    rng = np.random.default_rng(5)
    asked = [store.prepare_ids(rng.integers(int(written), size=LOOKUP_BATCH)) for _ in range(1_000)]
    last = np.arange(int(written) - 1, int(written))
    if store.get(store.prepare_ids(last)) != 1:
        raise AssertionError("the last concept written cannot be read")
    result = {"rows": int(written), "written": written / spent}
    if lookup_s:
        store.finish_plain()
        result["got"] = LOOKUP_BATCH * rate_of(store.get, asked, lookup_s)
    store.close()
    return result


def links(job: Job, ends: int, count: int, batch: int) -> dict[str, Any]:
    """Write associations between random concepts."""
    store = job.open()
    for ids in batches_of(ends, PLAIN_BATCH):
        store.add_plain(store.prepare_plain(ids))
    result = link_all(store, ends, count, batch, job.limit_s)
    store.close()
    return result


def link_all(
    store: store_adapters.Store, ends: int, count: int, batch: int, limit_s: float
) -> dict[str, Any]:
    """Associations between random ones of the concepts 0 to ends."""
    spent, written = 0.0, 0
    for numbers in batches_of(count, batch):
        rng = np.random.default_rng([6, int(numbers[0])])
        pairs = rng.integers(ends, size=(2, len(numbers)))
        spent += seconds_of(store.link, *pairs)
        written += len(numbers)
        if spent > limit_s:
            break
    return {"rows": written, "linked": written / spent}


def syncs(library: str, folder: str, dim: int, batches: int, batch: int) -> None:
    """Write a few batches between two marks that a trace of system calls shows."""
    rows = data.mixture(batches * batch, dim)
    store = store_adapters.make(library, Path(folder), dim, 1)
    store.add(store.prepare(0, rows[:batch]))
    _mark()
    for first in range(batch, len(rows), batch):
        store.add(store.prepare(first, rows[first : first + batch]))
    _mark()
    store.close()


MARK_FD = 9_999
SYNC_CALLS = ("fsync", "fdatasync", "sync_file_range", "msync", "sync", "syncfs")


def _mark() -> None:
    """A call that does nothing but stand in a trace: there is no such descriptor."""
    with contextlib.suppress(OSError):
        os.fsync(MARK_FD)


def traced_syncs(
    library: str, folder: Path, dim: int, batches: int, batch: int
) -> dict[str, float] | None:
    """Sync calls for a batch of each kind, by strace; None where that does not work."""
    trace = folder.with_name(f"{folder.name}.trace")
    code = "import sys; from bench import store_worker as w; a = sys.argv; "
    code += "w.syncs(a[1], a[2], *map(int, a[3:]))"
    values = map(str, (library, folder, dim, batches + 1, batch))
    command = ["strace", "-f", "-qq", "-e", f"trace={','.join(SYNC_CALLS)}", "-o", str(trace)]
    try:
        subprocess.run(
            [*command, sys.executable, "-c", code, *values],
            cwd=Path(__file__).resolve().parent.parent,
            capture_output=True,
            timeout=300,
            check=True,
        )
        lines = trace.read_text(errors="replace").splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    marks = [at for at, line in enumerate(lines) if f"fsync({MARK_FD})" in line]
    if len(marks) != 2:
        return None
    between = lines[marks[0] + 1 : marks[1]]
    counts = {call: sum(f" {call}(" in line for line in between) for call in SYNC_CALLS}
    return {call: count / batches for call, count in counts.items() if count}


# ---- parts --------------------------------------------------------------------------------------


def batches_of(count: int, size: int) -> Iterator[data.Ids]:
    """The numbers 0 to count, some at a time."""
    for first in range(0, count, size):
        yield np.arange(first, min(first + size, count))


def seconds_of(call: Callable[..., Any], *arguments: Any) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def rate_of(call: Callable[[Any], Any], asked: Iterable[Any], limit_s: float) -> float:
    """Calls a second, going round through `asked` until the time is up."""
    done = 0
    with no_collection():
        start = time.perf_counter()
        while True:
            for one in asked:
                call(one)
                done += 1
                if done % 8 == 0 and time.perf_counter() - start > limit_s:
                    return done / (time.perf_counter() - start)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """No garbage collection inside the block."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
