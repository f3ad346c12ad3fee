"""Measurements of sutra alone: look-ups, searching while writing, and the large store.

Functions for `store_worker.run`, each in a process of its own; look-ups also by a C program.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import adapters, data, machine, store_adapters, worker
from bench.peers import PeerFailed
from bench.smoke import overlap
from bench.store_worker import (
    LOOKUP_BATCH,
    PLAIN_BATCH,
    RECALL_QUERIES,
    Job,
    K,
    link_all,
    no_collection,
    rate_of,
    seconds_of,
)

EFS = tuple(range(10, 24)) + tuple(round(24 * 1.08**step) for step in range(50))
"""Widths tried for a recall, cheapest first."""


def lookups(job: Job, count: int, burst_s: float) -> dict[str, float]:
    """Ids looked up per second through Python, in a reopened store of the concepts 0 to count."""
    store = _sutra(job)
    rng = np.random.default_rng(7)
    spread = [rng.integers(count, size=4_096) for _ in range(256)]
    batches = [part for ids in spread for part in ids.reshape(-1, LOOKUP_BATCH)]
    rates: dict[str, float] = {}
    with store.read_view() as view:
        for way, call, asked, size in (
            ("view.records, 4,096 a call", view.records, spread, 4_096),
            ("view.records, 256 a call", view.records, batches, LOOKUP_BATCH),
            ("store.records, 256 a call", store.records, batches, LOOKUP_BATCH),
            ("store.records, one a call", store.records, spread[0].tolist(), 1),
            ("store.get, one a call", store.get, spread[0].tolist(), 1),
        ):
            rate_of(call, asked, burst_s / 2)  # pages come in
            rates[f"Python, {way}"] = size * rate_of(call, asked, burst_s)
    store.close()
    return rates


def mixed(job: Job, rows: int, batch: int, rounds: int, burst_s: float, wanted: float) -> Any:
    """Searches per second of one thread, idle and while another thread writes at half speed.

    Full speed is that of writing the last fifth of `rows` until all of it is in the graph: rows
    cost more the more there are. What is written beside searches comes after them.
    """
    store, dataset = _sutra(job), job.dataset
    base, queries = dataset.base(), dataset.query_rows()
    base.sum()
    early = rows - rows // 5
    for first, end in ((0, early), (early, rows)):
        start = time.perf_counter()
        for at in range(first, end, batch):
            _add(store, at, base[at : min(at + batch, end)])
        store.settle()
        speed = (end - first) / (time.perf_counter() - start)
    truth, _ = data.exact_neighbours(base[:rows], queries, dataset.metric, K)
    ef, recall = _cheapest(store, queries, wanted, lambda found: overlap(found, truth))
    asked = list(queries)
    bursts: dict[str, list[float]] = {"idle": [], "writing": []}
    writer = PacedWriter(store, base, rows, batch, speed / 2)
    recalls: list[float] = []

    def ask(query: data.F32) -> None:
        store.search(query, K, ef=ef, threads=1)

    rate_of(ask, asked, burst_s)
    for _ in range(rounds):
        bursts["idle"].append(rate_of(ask, asked, burst_s))
        with writer:
            time.sleep(burst_s / 4)
            bursts["writing"].append(rate_of(ask, asked, burst_s))
            with store.read_view() as view:
                some = queries[:RECALL_QUERIES]
                exact = np.stack([hits.ids for hits in view.search(some, K, exact=True, threads=1)])
                near = [hits.ids for hits in view.search(some, K, ef=ef, threads=1)]
                recalls.append(overlap(near, exact))
        store.settle()
    store.close()
    return {
        **bursts,
        "ratio": [two / one for one, two in zip(*bursts.values(), strict=True)],
        "ef": ef,
        "recall_idle": recall,
        "recall_writing": min(recalls),
        "full_speed": speed,
        "writing_speed": writer.speed,
        "ran_out": writer.ran_out,
    }


class PacedWriter:
    """Adds rows in a thread of its own at a given rate while its block runs."""

    def __init__(self, store: Any, rows: data.F32, first: int, batch: int, rate: float) -> None:
        self.store, self.rows, self.batch, self.rate = store, rows, batch, rate
        self.next = self.first = first
        self.spent = 0.0
        self.ran_out = False
        self.pool = ThreadPoolExecutor(1)

    @property
    def speed(self) -> float:
        """Rows a second that were written while blocks ran."""
        return (self.next - self.first) / self.spent if self.spent else 0.0

    def _write(self) -> None:
        start = due = time.perf_counter()
        while not self.stop.wait(max(0.0, due - time.perf_counter())):
            rows = self.rows[self.next : self.next + self.batch]
            if not len(rows):
                self.ran_out = True
                break
            _add(self.store, self.next, rows)
            self.next += len(rows)
            due += len(rows) / self.rate
        self.spent += time.perf_counter() - start

    def __enter__(self) -> None:
        self.stop = threading.Event()
        self.done = self.pool.submit(self._write)

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.done.result()


def build(job: Job, rows: int, batch: int, associations: int) -> dict[str, Any]:
    """Make the large store: vectors, associations, everything linked and sealed."""
    adapter = store_adapters.Sutra(Path(job.folder), job.dataset.dim, job.threads)
    base = job.dataset.base()[:rows]
    base.sum()
    start = time.perf_counter()
    times = [
        seconds_of(adapter.add, (first, base[first : first + batch]))
        for first in range(0, rows, batch)
    ]
    adapter.finish()
    seconds = time.perf_counter() - start
    linked = link_all(adapter, rows, associations, PLAIN_BATCH, float("inf"))
    sealing = seconds_of(adapter.store.checkpoint)
    adapter.close()
    return {
        "acknowledged": rows / sum(times),
        "indexed": rows / seconds,
        "indexed_s": seconds,
        "linked": linked["linked"],
        "sealing_s": sealing,
        "file_bytes": adapters.folder_bytes(Path(job.folder)),
    }


def reference(job: Job, rounds: int, searches: int, wanted: float, threads: int) -> dict[str, Any]:
    """Searches of the large store at a recall: by threads that ask one query a call, and batches.

    `searches` is how many a round has.
    """
    store, dataset = _sutra(job), job.dataset
    queries = dataset.query_rows()
    _warm(store, queries)
    ef, recall = _cheapest(store, queries, wanted, dataset.recall)
    passes = -(-searches // len(queries))
    result: dict[str, Any] = {"qps": [], "p50_s": [], "p99_s": [], "batch_qps": [], "one_qps": []}
    with ThreadPoolExecutor(threads) as pool, no_collection():
        for _ in range(rounds):
            seconds = seconds_of(_search_batches, store, queries, ef, threads, passes)
            result["batch_qps"].append(passes * len(queries) / seconds)
            start = time.perf_counter()
            shares = [(passes + at) // threads for at in range(threads)]
            asked = [pool.submit(_search_one_by_one, store, queries, ef, n) for n in shares]
            latencies = np.concatenate([part.result() for part in asked])
            result["qps"].append(len(latencies) / (time.perf_counter() - start))
            for name, percent in (("p50_s", 50), ("p99_s", 99)):
                result[name].append(float(np.percentile(latencies, percent)))
            alone = _search_one_by_one(store, queries, ef, max(1, passes // 10))
            result["one_qps"].append(1.0 / float(alone.mean()))
    store.close()
    return {**result, "ef": ef, "recall": recall, "searches": passes * len(queries)}


def _search_batches(store: Any, queries: data.F32, ef: int, threads: int, passes: int) -> None:
    for _ in range(passes):
        store.search(queries, K, ef=ef, threads=threads)


def _search_one_by_one(
    store: Any, queries: data.F32, ef: int, passes: int
) -> npt.NDArray[np.float64]:
    """Seconds that each search took."""
    times = np.empty((passes, len(queries)))
    clock, search, asked = time.perf_counter, store.search, list(queries)
    for row in times:
        for at, query in enumerate(asked):
            start = clock()
            search(query, K, ef=ef, threads=1)
            row[at] = clock() - start
    return times.ravel()


def memory(job: Job, searches: int, wanted: float) -> dict[str, Any]:
    """Memory of a reopened store after searches, above the process with the library imported.

    Counted as for an index (bench/README.md): anonymous memory, and resident pages of mapped
    files; those of float32 originals apart.
    """
    importlib.import_module("sutra")
    queries = job.dataset.query_rows()
    worker.trim()
    empty = machine.anonymous_bytes() or 0
    store = _sutra(job)
    _warm(store, queries)
    ef, recall = _cheapest(store, queries, wanted, job.dataset.recall)
    asked = 0
    while asked < searches:
        store.search(queries, K, ef=ef)
        asked += len(queries)
    worker.trim()
    anonymous = (machine.anonymous_bytes() or 0) - empty
    mapped = sum(worker.mapped_resident_bytes(job.dataset.directory).values())
    originals = resident_originals(Path(job.folder))
    stats = machine.plain(store.stats())
    store.close()
    return {
        "resident": anonymous + mapped - originals,
        "anonymous": anonymous,
        "mapped": mapped,
        "originals": originals,
        "ef": ef,
        "recall": recall,
        "searches": asked,
        "stats": stats,
    }


SEGMENT_TABLE_AT = 256
SEGMENT_ENTRY = struct.Struct("<4I4Q")  # kind, form, row bytes, 0; first row, rows, offset, bytes
SEGMENT_ORIGINALS = 12


def resident_originals(folder: Path) -> int:
    """Resident bytes of mapped float32 originals; where they are in a file, its table says."""
    found = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) < 6 or not fields[5].startswith(str(folder)) or fields[5][-4:] != ".seg":
            continue
        start, end = (int(part, 16) for part in fields[0].split("-"))
        at = int(fields[2], 16)  # in the file
        with open(fields[5], "rb") as stream:
            header = stream.read(4_096)
        (count,) = struct.unpack_from("<I", header, 12)
        for entry in range(count):
            kind, *_, offset, size = SEGMENT_ENTRY.unpack_from(
                header, SEGMENT_TABLE_AT + entry * SEGMENT_ENTRY.size
            )
            low, high = max(offset, at), min(offset + size, at + end - start)
            if kind == SEGMENT_ORIGINALS and low < high:
                low -= low % os.sysconf("SC_PAGE_SIZE")
                found += worker._resident(start + low - at, high - low) or 0
    return found


def first_answer(job: Job) -> dict[str, Any]:
    """Open, and search once. What happens at the close is not timed."""
    query = job.dataset.query_rows()[0]
    importlib.import_module("sutra")
    start = time.perf_counter()
    store = _sutra(job)
    opened = time.perf_counter()
    found = len(store.search(query, K).ids)
    seconds = time.perf_counter() - start
    stats = machine.plain(store.stats())
    store.close()
    if found != K:
        raise AssertionError(f"{found} of {K} found")
    return {"seconds": seconds, "open_s": opened - start, "stats": stats}


def fill_log_and_die(job: Job, what: str, size: int, rows: int, note: str) -> None:
    """Write until the log holds so many bytes, then end as by `kill -9`.

    `what` is "vectors" (new ones of concepts that are there) or "associations".
    """
    store, base = _sutra(job), job.dataset.base()
    store.checkpoint()
    rng = np.random.default_rng([8, time.time_ns()])
    batches = 0
    while (held := store.stats()["log_bytes"]) < size:
        if what == "vectors":
            ids = rng.choice(rows, min(1_000, rows), replace=False)
            store.upsert(ids, base[rng.permutation(ids)])
        else:
            store.link(*rng.integers(rows, size=(2, PLAIN_BATCH)))
        batches += 1
    Path(note).write_text(json.dumps({"batches": batches, "log_bytes": held}))
    os.kill(os.getpid(), signal.SIGKILL)


def changed_share(job: Job, rows: int, share: float) -> dict[str, Any]:
    """What a checkpoint writes after new vectors for a random part of the concepts."""
    store, base, folder = _sutra(job), job.dataset.base(), Path(job.folder)
    store.settle()
    store.checkpoint()
    before, total = _sealed(folder), store.stats()["segment_bytes"]
    rng = np.random.default_rng([9, time.time_ns()])
    count = max(1, int(rows * share))
    ids = rng.choice(rows, count, replace=False)
    for part in np.array_split(ids, -(-count // 1_000)):
        store.upsert(part, base[rng.integers(rows, size=len(part))])
    store.settle()
    seconds = seconds_of(store.checkpoint)
    after = _sealed(folder)
    stats = machine.plain(store.stats())
    store.close()
    written = sum(size for name, size in after.items() if name not in before)
    return {
        "written": written,
        "store": total,
        "share": written / total,
        "upserted": count,
        "seconds": seconds,
        "stats": stats,
    }


def _sealed(folder: Path) -> dict[str, int]:
    """Sizes of all files but the log; they never change, so new names are what was written."""
    return {file.name: file.stat().st_size for file in folder.iterdir() if file.suffix != ".wal"}


# ---- parts ----------------------------------------------------------------------------------


def _sutra(job: Job) -> Any:
    """The store itself, not its adapter."""
    return store_adapters.Sutra(Path(job.folder), job.dataset.dim, job.threads).store


def _add(store: Any, first: int, rows: data.F32) -> None:
    store.add(np.arange(first, first + len(rows)), rows)


def _warm(store: Any, queries: data.F32) -> None:
    """Searches until what is copied to memory in the background should be there."""
    end = time.perf_counter() + 3.0
    while time.perf_counter() < end:
        store.search(queries, K)


def _cheapest(
    store: Any, queries: data.F32, wanted: float, recall_of: Callable[[npt.ArrayLike], float]
) -> tuple[int, float]:
    """The smallest width that reaches a recall, and the recall; else the largest tried."""
    for ef in EFS:
        found = np.stack([hits.ids for hits in store.search(queries, K, ef=ef)])
        recall = recall_of(found)
        if recall >= wanted:
            break
    return ef, recall


# ---- the engine without Python ------------------------------------------------------------------


def lookup_program() -> Path:
    """bench/lookup.c with the core, compiled for this tree; kept in the cache directory."""
    root = Path(__file__).resolve().parent.parent
    sources = [root / "bench" / "lookup.c", *sorted(root.glob("csrc/*/*.c"))]
    flags = ["-std=c11", "-O3", "-ffp-contract=off", "-pthread", "-I", str(root / "csrc")]
    digest = hashlib.sha256(repr(flags).encode())
    for file in (*sources, *sorted(root.glob("csrc/*/*.h")), *root.glob("csrc/*/*.def")):
        digest.update(file.read_bytes())
    program = data.cache_directory() / f"lookup-{digest.hexdigest()[:16]}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        made = program.with_suffix(f".{os.getpid()}")
        command = [os.environ.get("CC", "cc"), *flags, *map(str, sources), "-lm", "-o", str(made)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.SubprocessError) as error:
            raise PeerFailed(f"bench/lookup.c: {error}") from error
        made.replace(program)
    return program


def engine_lookups(program: Path, folder: str, concepts: int, batch: int, limit_s: float) -> float:
    """Ids looked up and records read per second, by the engine alone."""
    command = [str(program), folder, str(concepts), str(batch), str(limit_s)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise PeerFailed(f"lookup: {error}") from error
    asked, found, seconds = done.stdout.split()
    if asked != found:
        raise PeerFailed(f"lookup: found {found} of {asked}")
    return int(asked) / float(seconds)
