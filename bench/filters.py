"""Measure searches with a filter beside other libraries: ``python -m bench.filters``.

The filters are those of `bench.filter_cases`, the libraries those of `bench.filter_libraries`, each
in a process of its own. Filters are prepared outside all timing: a bitmap for each query (sutra,
faiss), a Python callable (hnswlib takes nothing else), a condition on columns, indexed where the
library has indexes for them (LanceDB, qdrant-client without a server, sqlite-vec).

For every set, kind and share, a library goes through its widths, narrow first, until recall@10 is
0.95 against an exact scan of what passes and wider ones are slower. Then libraries take turns,
round by round; the best burst of each counts, one query a call and one query thread (LanceDB
takes the threads it wants). The table has sutra's rate and recall, its ratio to the best peer, and
every peer's rate; below it stands who did not reach the recall, and how far it came.

``--minutes`` is what all of it may take: after building, each filter gets an equal part of what is
left. What is slow answers few queries; how many its recall is of stands in the result file.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench import data, filter_cases, machine
from bench.filter_cases import Case, Columns, Truth
from bench.filter_libraries import LIBRARIES, Library
from bench.peers import Peer, PeerFailed, say

SCHEMA = "sutra-bench-filters/2"
OURS = "sutra"
RECALL = 0.95
BUILD_LIMIT_S = 1200.0


@dataclass(frozen=True)
class Job:
    """What the process of a library is started with."""

    library: str
    dataset: data.DataSet
    queries: int
    folder: str
    log: str

    def make(self) -> Worker:
        """Build, in this process."""
        return Worker(self)


class Worker:
    """One library, one set, in a process of its own."""

    def __init__(self, job: Job) -> None:
        self.queries = job.dataset.query_rows()[: job.queries]
        folder = Path(job.folder)
        columns = Columns(np.load(folder / "shares.npy"), np.load(folder / "regions.npy"))
        own = folder / job.library
        own.mkdir()
        base = np.array(job.dataset.base())
        start = time.perf_counter()
        self.library: Library = LIBRARIES[job.library](base, job.dataset.metric, columns, own)
        self.seconds = time.perf_counter() - start
        self.prepared: list[Any] = []
        self.next = 0

    def built(self) -> float:
        """Seconds that building took."""
        return self.seconds

    def prepare(self, case: Case, width: Any) -> None:
        """Make ready to ask at a width."""
        self.library.set_width(width)
        self.prepared = [self.library.prepare(case, query) for query in range(len(self.queries))]

    def answers(self, limit_s: float) -> tuple[list[list[int]], float]:
        """Answer every query once, or as many as there is time for; ids, and queries a second."""
        found = []
        start = time.perf_counter()
        for query, prepared in zip(self.queries, self.prepared, strict=True):
            found.append(self.library.search(query, prepared))
            seconds = time.perf_counter() - start
            if seconds > limit_s:
                break
        return [[int(id) for id in ids] for ids in found], len(found) / seconds

    def burst(self, limit_s: float) -> float:
        """Queries per second, going on where the last burst ended."""
        search, count = self.library.search, len(self.queries)
        done = 0
        start = time.perf_counter()
        while True:
            at = (self.next + done) % count
            search(self.queries[at], self.prepared[at])
            done += 1
            seconds = time.perf_counter() - start
            if seconds >= limit_s:
                self.next += done
                return done / seconds


class Race:
    """Libraries over one set, turn by turn."""

    def __init__(
        self, dataset: data.DataSet, count: int, rounds: int, folder: Path, names: Sequence[str]
    ) -> None:
        self.dataset, self.rounds = dataset, rounds
        self.base = np.array(dataset.base())
        self.queries = dataset.query_rows()[:count]
        self.rough = filter_cases.rough_distances(self.queries, self.base, dataset.metric)
        self.cases, columns = filter_cases.make(self.base, self.queries, dataset.metric)
        np.save(folder / "shares.npy", columns.shares)
        np.save(folder / "regions.npy", columns.regions)
        self.peers: dict[str, Peer] = {}
        self.failed: dict[str, str] = {}
        for name in names:
            job = Job(name, dataset, len(self.queries), str(folder), str(folder / f"{name}.log"))
            self.peers[name] = Peer(job, BUILD_LIMIT_S)
            seconds = self.call(name, "built")
            if seconds is not None:
                say(f"  {name}: built in {seconds:.0f} s")

    def call(self, name: str, *command: Any) -> Any:
        """Ask a library; one that fails is out, and its answer None."""
        if name not in self.peers:
            return None
        try:
            return self.peers[name].call(*command)
        except PeerFailed as error:
            self.failed[name] = str(error)
            peer = self.peers.pop(name)
            peer.stop()
            say(f"  {name}: {error}\n{peer.last_words()}")
            return None

    def run(self, case: Case, seconds: float) -> dict[str, dict[str, Any]]:
        """Take half of the time to choose widths, half for rounds. What each library reached."""
        truth = Truth(self.base, self.queries, self.rough, case, self.dataset.metric)
        names = list(self.peers)
        reached = {name: self.choose(name, case, truth, seconds / 2 / len(names)) for name in names}
        good = [name for name, got in reached.items() if got.get("recall", 0.0) >= RECALL]
        for number in range(self.rounds):
            shift = number % max(1, len(good))
            for name in good[shift:] + good[:shift]:
                rate = self.call(name, "burst", seconds / 2 / len(good) / self.rounds)
                if rate is not None:
                    reached[name]["rates"].append(rate)
        return reached

    def choose(self, name: str, case: Case, truth: Truth, seconds: float) -> dict[str, Any]:
        """Find the fastest width with enough recall, else the best; leave the library at it."""
        widths = LIBRARIES[name].widths
        limit_s = seconds / min(len(widths), 4)
        best: dict[str, Any] = {}
        for width in widths:
            self.call(name, "prepare", case, width)
            got = self.call(name, "answers", limit_s)
            if got is None:
                return {}
            recall = truth.recall(got[0])
            now = {"width": width, "recall": recall, "queries": len(got[0]), "first": got[1]}
            if not best or best["recall"] < min(recall, RECALL):
                best = now
            elif recall >= RECALL:
                if now["first"] < best["first"]:
                    break
                best = now
        self.call(name, "prepare", case, best["width"])
        return {**best, "rates": []}

    def stop(self) -> None:
        """End all processes."""
        for peer in self.peers.values():
            peer.stop()


# ---- the table ----------------------------------------------------------------------------------


def best_rate(got: dict[str, Any]) -> float | None:
    """Of a library with enough recall; None of others."""
    return max(got["rates"]) if got.get("rates") else None


def header(names: Sequence[str]) -> str:
    """The first two lines of the table."""
    peers = [name for name in names if name != OURS]
    titles = ["filter", "sutra, queries/s", "recall@10", "ef", "to the best peer", *peers]
    return f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}"


def line(case: Case, reached: dict[str, dict[str, Any]], names: Sequence[str]) -> str:
    """One line of the table."""
    rates = {name: best_rate(reached.get(name, {})) for name in names}
    ours, got = rates.get(OURS), reached.get(OURS, {})
    peers = {name: rate for name, rate in rates.items() if rate and name != OURS}
    best = max(peers, key=lambda name: peers[name], default=None)
    cells = [case.name, f"{ours:,.0f}" if ours else "-"]
    cells += [f"{got['recall']:.3f}", f"{got['width']}"] if got else ["-", "-"]
    cells.append(f"{ours / peers[best]:.2f}x {best}" if ours and best else "-")
    for name in names:
        if name != OURS:
            rate = rates[name]
            cells.append(f"{rate:,.{1 if rate < 100 else 0}f}" if rate else "-")
    return f"| {' | '.join(cells)} |"


def missed(case: Case, reached: dict[str, dict[str, Any]]) -> list[str]:
    """A line for each library without the recall, and one if a peer is faster than sutra."""
    out = []
    for name, got in reached.items():
        if not got:
            out.append(f"- {case.name}: {name} failed")
        elif got["recall"] < RECALL:
            out.append(
                f"- {case.name}: {name} reached recall {got['recall']:.3f} at {got['width']}, "
                f"{got['first']:,.0f} queries/s ({got['queries']} queries)"
            )
    rates = {name: best_rate(got) or 0.0 for name, got in reached.items()}
    best = max(rates, key=lambda name: rates[name], default=OURS)
    if OURS in rates and best != OURS:
        out.append(f"- {case.name}: {best} is faster, {rates[best]:,.0f} queries/s")
    return out


# ---- command line -------------------------------------------------------------------------------


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.filters", description="Measure searches with a filter beside others."
    )
    data.add_arguments(parser)
    known = tuple(LIBRARIES)
    parser.add_argument("--libraries", nargs="+", choices=known, metavar="NAME", default=known)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=20.0, help="for all sets together")
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Race, print, write. Exit code 1 if a library failed."""
    options = parse(arguments)
    end = time.monotonic() + 60 * options.minutes
    names = [name for name in options.libraries if find_spec(LIBRARIES[name].module)]
    about = machine.describe()
    print(f"{about['cpu']}, {about['cores']} cores, tier {about['tier']}, commit {about['commit']}")
    absent = [name for name in options.libraries if name not in names]
    if absent:
        print(f"not installed: {', '.join(absent)}")
    results: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    sets = options.sets or data.default_sets(options.data)
    for number, set_name in enumerate(sets):
        dataset = data.prepare(set_name, rows=options.rows, data=options.data)
        set_end = time.monotonic() + (end - time.monotonic()) / (len(sets) - number)
        print(f"\n{dataset.name}: {dataset.rows:,} x {dataset.dim}, {dataset.metric}\n")
        folder = Path(tempfile.mkdtemp(prefix="sutra-filters-"))
        race = Race(dataset, options.queries, options.rounds, folder, names)
        notes: list[str] = []
        try:
            print(header(names), flush=True)
            for at, case in enumerate(race.cases):
                left_s = max(1.0, set_end - time.monotonic()) / (len(race.cases) - at)
                reached = race.run(case, left_s)
                results.append(
                    {"set": dataset.name, "kind": case.kind, "share": case.share, "got": reached}
                )
                print(line(case, reached, names), flush=True)
                notes += missed(case, reached)
        finally:
            race.stop()
            shutil.rmtree(folder, ignore_errors=True)
        print("\n".join(["", *notes]), flush=True)
        failed |= {f"{dataset.name}, {name}": why for name, why in race.failed.items()}
    if options.output:
        report = {"schema": SCHEMA, "machine": about, "results": results, "failed": failed}
        options.output.write_text(json.dumps(machine.plain(report), indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
