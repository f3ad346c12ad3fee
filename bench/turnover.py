"""Measure what turnovers leave of an index: ``python -m bench.turnover --output turnover.json``.

A set is replaced ten times, a tenth at a time: a tenth is deleted, as many others are added. The
rows are of two halves of a set, A and B; a turnover deletes all of the one and adds all of the
other, and the next turns that round, so in the end the content is that of the beginning (with an
odd number, B), and a fresh build of it is what everything is compared with. Rows are deleted and
added in random order, or cluster by cluster ("clustered": whole regions fall empty, and others are
filled; each turnover in another order).

Shown are, of the turned one and of the fresh one: recall@10 at one ef, queries per second of one
thread (they take turns, the best burst counts), resident bytes a vector as in `bench.peers`
without float32 originals, and how many of a sample of rows a search for their own vector does not
find. sutra's indexes also check themselves: no node may be out of reach. Indexes are measured in
the process that turned them, stores after closing and opening, their files dropped from the cache
before. hnswlib marks rows deleted and puts new ones in their place (replace_deleted).
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench import data, machine, worker
from bench.filter_cases import rough_distances
from bench.peers import Peer, PeerFailed, say
from bench.turnover_libraries import LIBRARIES, K

SCHEMA = "sutra-bench-turnover/1"
STEPS = 10
"""A turnover is so many deletions, each followed by an addition."""
CLUSTERS = 100
ORDERS = ("random", "clustered")
FRESH = "fresh"
SELF_SEARCHES = 2_000
GOAL = 0.005
"""Recall that ten turnovers may cost."""

# ---- one process --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """What a process is started with."""

    library: str
    order: str
    """Of turnovers; `FRESH`: there are none."""
    dataset: data.DataSet
    rows: int
    turnovers: int
    ef: int
    folder: str
    log: str

    def make(self) -> Worker:
        """Open, in this process."""
        return Worker(self)

    @property
    def left(self) -> data.Ids:
        """What is there in the end."""
        return np.arange(self.rows) + (self.turnovers % 2) * self.rows


class Worker:
    """One library in a process of its own."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.base = job.dataset.base()
        self.base.sum()  # pages of the file are in memory before any clock starts
        self.queries = list(job.dataset.query_rows())
        importlib.import_module(LIBRARIES[job.library].module)
        worker.trim()
        self.empty = machine.anonymous_bytes() or 0
        self.kept = LIBRARIES[job.library](
            job.dataset.dim, job.dataset.metric, job.rows, job.ef, Path(job.folder)
        )

    def fill(self) -> dict[str, float]:
        """Build, turn over; rows a second of each."""
        job, kept = self.job, self.kept
        first = job.left if job.order == FRESH else np.arange(job.rows)
        spent = dict.fromkeys(("build", "delete", "add", "finish"), 0.0)
        spent["build"] = timed(kept.add, first, self.base[first])
        if job.order != FRESH:
            for gone, new in turnovers(self.base, job):
                spent["delete"] += timed(kept.delete, gone)
                spent["add"] += timed(kept.add, new, self.base[new])
        spent["finish"] = timed(kept.finish)
        if kept.reopened:
            kept.close()
        rates = {"build": job.rows / spent["build"], "finish_s": spent["finish"]}
        for what in ("delete", "add"):
            if spent[what]:
                rates[what] = job.turnovers * job.rows / spent[what]
        return rates

    def look(self) -> dict[str, Any]:
        """Answers to all queries, what is resident after them, rows lost, and the own check."""
        kept, job = self.kept, self.job
        found = [[int(id) for id in kept.search(query)] for query in self.queries]
        worker.trim()
        anonymous = (machine.anonymous_bytes() or 0) - self.empty
        mapped = sum(worker.mapped_resident_bytes(job.dataset.directory).values())
        resident = anonymous + mapped - kept.originals()
        sample = np.random.default_rng(3).permutation(job.left)[:SELF_SEARCHES]
        lost = sum(int(id) not in kept.search(np.array(self.base[id])) for id in sample)
        return {
            "found": found,
            "resident": resident / job.rows,
            "lost": lost,
            "searched": len(sample),
            "verify": kept.verify(),
        }

    def burst(self, burst_s: float) -> float:
        """Queries per second: whole passes over all queries for at least `burst_s`."""
        passes = 0
        start = time.perf_counter()
        while True:
            for query in self.queries:
                self.kept.search(query)
            passes += 1
            seconds = time.perf_counter() - start
            if seconds >= burst_s:
                return passes * len(self.queries) / seconds


def timed(call: Callable[..., Any], *arguments: Any) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def turnovers(base: data.F32, job: Job) -> Iterator[tuple[data.Ids, data.Ids]]:
    """Rows to delete and rows to add, a step at a time."""
    rng = np.random.default_rng(1)
    halves = [np.arange(job.rows), np.arange(job.rows, 2 * job.rows)]
    clusters = np.zeros(2 * job.rows, dtype=np.int64)
    if job.order == "clustered":
        centres = base[rng.choice(2 * job.rows, CLUSTERS, replace=False)]
        for first in range(0, len(clusters), 4_096):
            part = base[first : min(first + 4_096, len(clusters))]
            rough = rough_distances(part, centres, job.dataset.metric)
            clusters[first : first + len(part)] = np.argmin(rough, axis=1)

    def ordered(rows: data.Ids) -> list[data.Ids]:
        rows = rng.permutation(rows)
        rank = rng.permutation(CLUSTERS)[clusters[rows]]
        return np.array_split(rows[np.argsort(rank, kind="stable")], STEPS)

    for _ in range(job.turnovers):
        yield from zip(ordered(halves[0]), ordered(halves[1]), strict=True)
        halves.reverse()


# ---- the driver ---------------------------------------------------------------------------------


class Comparison:
    """One library: turned over in each order, and fresh."""

    def __init__(self, job: Job, folder: Path, limit_s: float) -> None:
        self.job, self.folder, self.limit_s = job, folder, limit_s
        self.peers: dict[str, Peer] = {}

    def _start(self, order: str) -> Peer:
        job, name = self.job, f"{self.job.library}-{order}"
        own, log = str(self.folder / name), str(self.folder / f"{name}.log")
        return Peer(replace(job, order=order, folder=own, log=log), self.limit_s)

    def run(self, orders: Sequence[str], rounds: int, burst_s: float) -> dict[str, Any]:
        """Everything about the library."""
        got: dict[str, Any] = {}
        truth = Truth(self.job)
        try:
            for order in (FRESH, *orders):
                (self.folder / f"{self.job.library}-{order}").mkdir()
                peer = self.peers[order] = self._start(order)
                got[order] = {"rates": peer.call("fill"), "qps": []}
                if LIBRARIES[self.job.library].reopened:
                    peer.stop()
                    peer = self.peers[order] = self._start(order)
                looked = peer.call("look")
                got[order] |= {"recall": truth.recall(looked.pop("found")), **looked}
                say(f"  {self.job.library}, {order}: {got[order]['rates']}")
            for _ in range(rounds):
                for order, peer in self.peers.items():
                    got[order]["qps"].append(peer.call("burst", burst_s))
        except PeerFailed as error:
            words = [peer.last_words() for peer in list(self.peers.values())[-1:]]
            say("\n".join([f"  {self.job.library}: {error}", *words]))
            got["failed"] = str(error)
        finally:
            for peer in self.peers.values():
                peer.stop()
        return got


class Truth:
    """What must be found in the end."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.base, self.queries = job.dataset.base(), job.dataset.query_rows()
        left = np.array(self.base[job.left])
        self.limits = data.exact_neighbours(left, self.queries, job.dataset.metric, K)[1][:, -1]
        self.alive = set(job.left.tolist())

    def recall(self, found: Sequence[Sequence[int]]) -> float:
        """Recall@10 by distance; what was deleted must not be found."""
        hits = 0
        for query, ids, limit in zip(self.queries, found, self.limits, strict=True):
            unique = [id for id in set(ids) if id >= 0]
            if not self.alive.issuperset(unique):
                raise AssertionError("found what was deleted")
            rows = self.base[unique][None]
            own = data.exact_distances(query[None], rows, self.job.dataset.metric)[0]
            hits += int((own <= limit + 1e-6 * (1 + abs(limit))).sum())
        return hits / (K * len(self.queries))


HEADER = (
    "| library | order | recall | fresh | difference | queries/s | fresh | ratio "
    "| bytes/vector | fresh | ratio | lost | fresh | verify | deletes/s | adds/s | build/s |"
)


def line(library: str, order: str, got: dict[str, Any]) -> str:
    """One line of the table."""
    turned, fresh = got[order], got[FRESH]
    qps, fresh_qps = max(turned["qps"]), max(fresh["qps"])
    cells = [library, order, f"{turned['recall']:.4f}", f"{fresh['recall']:.4f}"]
    cells.append(f"{100 * (turned['recall'] - fresh['recall']):+.2f} points")
    cells += [f"{qps:,.0f}", f"{fresh_qps:,.0f}", f"{qps / fresh_qps:.2f}"]
    cells += [f"{one['resident']:,.0f}" for one in (turned, fresh)]
    cells.append(f"{turned['resident'] / fresh['resident']:.2f}")
    cells += [f"{one['lost']} of {one['searched']:,}" for one in (turned, fresh)]
    cells.append(turned["verify"] or "-")
    cells += [f"{turned['rates'][what]:,.0f}" for what in ("delete", "add", "build")]
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str] | None = None) -> int:
    """Run, print, write. Exit code 1 if something failed or lost more recall than it may."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.turnover", description="Measure what turnovers leave of an index."
    )
    parser.add_argument("--set", default=None, metavar="NAME", help="default: sift128x, words100x")
    parser.add_argument("--data", metavar="DIR", help="directory with <name>.npy files")
    parser.add_argument("--rows", type=int, default=100_000, help="that are there at a time")
    parser.add_argument("--turnovers", type=int, default=10)
    parser.add_argument("--ef", type=int, default=64)
    parser.add_argument("--orders", nargs="+", choices=ORDERS, default=ORDERS)
    known = tuple(LIBRARIES)
    parser.add_argument("--libraries", nargs="+", choices=known, metavar="NAME", default=known)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--burst-seconds", type=float, default=0.5)
    parser.add_argument("--limit-minutes", type=float, default=30, help="per library and order")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where stores are made")
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    options = parser.parse_args(arguments)
    real = data.data_directory(options.data) is not None
    name = options.set or ("sift128x" if real else "words100x")
    dataset = data.prepare(name, rows=2 * options.rows, data=options.data)
    if dataset.rows < 2 * options.rows:
        parser.error(f"{name} has {dataset.rows:,} rows, and twice {options.rows:,} are needed")
    about = machine.describe()
    print(
        f"{about['cpu']}, {about['cores']} cores, tier {about['tier']}, commit {about['commit']}\n"
        f"{name}, {dataset.dim} dims, {dataset.metric}: {options.rows:,} rows, "
        f"{options.turnovers} turnovers in {STEPS * options.turnovers} steps, ef {options.ef}\n"
    )
    results: dict[str, Any] = {}
    passed = True
    print(f"{HEADER}\n|{'---|' * (HEADER.count('|') - 1)}", flush=True)
    for library in options.libraries:
        if not find_spec(LIBRARIES[library].module):
            say(f"  {library}: not installed")
            continue
        folder = Path(tempfile.mkdtemp(prefix="sutra-turnover-", dir=options.work))
        sizes = (options.rows, options.turnovers, options.ef)
        job = Job(library, FRESH, dataset, *sizes, folder="", log="")
        try:
            compared = Comparison(job, folder, 60 * options.limit_minutes)
            got = results[library] = compared.run(
                options.orders, options.rounds, options.burst_seconds
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        passed = passed and "failed" not in got
        for order in options.orders if "failed" not in got else ():
            print(line(library, order, got), flush=True)
            if library.startswith("sutra"):
                kept = got[order]["recall"] >= got[FRESH]["recall"] - GOAL
                passed = passed and kept and got[order]["verify"] == "ok"
    print(f"\ngoal: recall within {100 * GOAL:g} points of a fresh build, and verify ok")
    if options.output:
        settings = {key: str(value) for key, value in vars(options).items()}
        written = {"schema": SCHEMA, "machine": about, "settings": settings, "results": results}
        options.output.write_text(json.dumps(machine.plain(written), indent=1))
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
