"""Measure sutra beside its peers: ``python -m bench.peers --output results.json --plots plots``.

What is measured, in this order, per set:

1. Build: wall seconds with two threads, one library at a time, the base already in memory.
2. Memory: bytes after 10,000 queries at the middle of the grid, above the same process with the
   library imported and the queries loaded; then the index is saved, opened in another process
   and measured there again.
3. Recall@10: one pass over all queries for each knob value, until recall no longer matters.
4. Speed: queries per second, one query a call, one thread. The driver goes round and round over
   all libraries, knob by knob, each burst at least one whole pass over the queries, so that a
   slow spell of the machine hits all alike. Reported are the best and the median burst, and
   ratios within a round.
5. Build again (``--build-repeats``), in turn.

QPS at recall 0.90, 0.95, 0.98 and 0.99 are read off each library's frontier, log-linearly. Every
library runs in its own process; a library that fails or takes over ``--limit-minutes`` on a set
is reported as such and the others go on.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import adapters, data, machine, report, worker

SCHEMA = "sutra-bench-peers/1"
USEFUL_RECALL = (0.85, 0.995)
"""Bursts run from the last knob below the first value to the first knob at the second."""


class PeerFailed(Exception):
    """A library raised, crashed, or ran out of its time."""


@dataclass
class Settings:
    """How long and how often; stored in the result file."""

    threads: int = 2
    rounds: int = 5
    warm_s: float = 0.1
    burst_s: float = 0.25
    memory_queries: int = 10_000
    build_repeats: int = 1
    limit_s: float = 1200.0
    queries: int = 1_000
    rows: int = 100_000
    pin: int | None = None
    reopen: bool = True


@dataclass
class Peer:
    """The driver's end of one worker process."""

    task: worker.Task
    limit_s: float
    spent_s: float = 0.0

    def __post_init__(self) -> None:
        """Start the process."""
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=worker.serve, args=(self.task, other), daemon=True)
        self.process.start()
        other.close()

    def call(self, name: str, *arguments: Any) -> Any:
        """Send one command and wait for its answer, within what is left of the time limit."""
        start = time.monotonic()
        try:
            self.pipe.send((name, *arguments))
            if not self.pipe.poll(max(1.0, self.limit_s - self.spent_s)):
                raise PeerFailed(f"{name}: over the limit of {self.limit_s / 60:.0f} min")
            status, value = self.pipe.recv()
        except (EOFError, OSError) as error:
            self.process.join(5)
            raise PeerFailed(f"{name}: process died, exit {self.process.exitcode}") from error
        finally:
            self.spent_s += time.monotonic() - start
        if status != "ok":
            raise PeerFailed(f"{name}: {value}")
        return value

    def last_words(self) -> str:
        """The end of what the process printed."""
        log = Path(self.task.log)
        tail = log.read_text(errors="replace").splitlines()[-8:] if log.exists() else []
        return "\n".join(f"    | {line}" for line in tail)

    def stop(self) -> None:
        """End the process, politely first."""
        try:
            self.pipe.send(("stop",))
            self.pipe.poll(5)
        except OSError:
            pass
        self.pipe.close()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(5)


class SetRun:
    """All libraries on one set."""

    def __init__(self, dataset: data.DataSet, libraries: Sequence[str], settings: Settings) -> None:
        self.dataset = dataset
        self.settings = settings
        self.folder = Path(tempfile.mkdtemp(prefix="sutra-bench-"))
        self.results: dict[str, dict[str, Any]] = {name: {"knobs": []} for name in libraries}
        self.peers: dict[str, Peer] = {}

    def run(self) -> dict[str, Any]:
        """Measure everything; the set's part of the result file."""
        try:
            for name in self.results:
                self._guard(name, self._start)
            for step in (self._build, self._memory, self._recalls):
                for name in list(self.peers):
                    self._guard(name, step)
            self._rounds()
            for _ in range(self.settings.build_repeats - 1):
                for name in list(self.peers):
                    self._guard(name, self._build)
        finally:
            for peer in self.peers.values():
                peer.stop()
            shutil.rmtree(self.folder, ignore_errors=True)
        for name, result in self.results.items():
            result["grid"] = asdict(adapters.GRIDS[name])
        report.summarize(self.results)
        about = {k: v for k, v in asdict(self.dataset).items() if k != "directory"}
        return {"about": about, "libraries": self.results}

    def _guard(self, name: str, step: Any) -> None:
        """Run one step of one library; a failure ends that library only."""
        try:
            step(name)
        except PeerFailed as error:
            self._fail(name, error)

    def _fail(self, name: str, error: PeerFailed) -> None:
        self.results[name]["error"] = str(error)
        say(f"  {name}: {error}")
        peer = self.peers.pop(name, None)
        if peer is not None:
            peer.stop()
            if "limit" not in str(error):
                say(peer.last_words())

    def _peer(self, name: str) -> Peer:
        s, log = self.settings, str(self.folder / f"{name}.log")
        return Peer(worker.Job(name, self.dataset, s.queries, log, s.pin), s.limit_s)

    def _start(self, name: str) -> None:
        self.peers[name] = self._peer(name)
        self.results[name]["empty_anonymous"] = self.peers[name].call("hello")["empty_anonymous"]

    def _build(self, name: str) -> None:
        made = self.peers[name].call("build", self.settings.threads)
        build = self.results[name].setdefault("build", {"threads": self.settings.threads})
        build.setdefault("seconds", []).append(made["seconds"])
        build.setdefault("processor_seconds", []).append(made["processor_seconds"])
        build["best"] = min(build["seconds"])
        say(f"  {name}: built in {made['seconds']:.2f} s")

    def _memory(self, name: str) -> None:
        peer, result = self.peers[name], self.results[name]
        result["memory"] = {"built": peer.call("memory", self.settings.memory_queries)}
        folder = self.folder / f"{name}.saved"
        folder.mkdir()
        result["file_bytes"] = peer.call("save", str(folder))
        if result["file_bytes"] is not None and self.settings.reopen:
            other = self._peer(name)
            try:
                other.call("hello")
                result["open_seconds"] = other.call("open_saved", str(folder))["seconds"]
                result["memory"]["opened"] = other.call("memory", self.settings.memory_queries)
            finally:
                other.stop()
                peer.spent_s += other.spent_s
        shutil.rmtree(folder, ignore_errors=True)
        for which in result["memory"]:
            hot = report.resident(result, which, self.dataset.rows)["hot"]
            if hot is not None:
                say(f"  {name}: {hot:,.0f} bytes a vector, {which}")

    def _recalls(self, name: str) -> None:
        """One pass per knob value; a library stops at the first that is good enough."""
        peer, knobs = self.peers[name], self.results[name]["knobs"]
        for value in adapters.GRIDS[name].values:
            answer = peer.call("answers", value, 60.0)
            recall = self.dataset.recall(answer["ids"])
            knobs.append({"knob": value, "recall": recall, "qps": []})
            enough = recall >= USEFUL_RECALL[1] and value not in _below(report.EQUAL_EF)
            if enough or len(answer["ids"]) < self.settings.queries:
                break
        best = max(knob["recall"] for knob in knobs)
        say(f"  {name}: recall {knobs[0]['recall']:.4f} to {best:.4f}")

    def _rounds(self) -> None:
        """The timed part: round, knob, library; the order of libraries turns every round."""
        plan = {name: _useful(self.results[name]["knobs"]) for name in self.peers}
        longest = max((len(knobs) for knobs in plan.values()), default=0)
        for number in range(self.settings.rounds):
            names = list(plan)
            shift = number % max(1, len(names))
            for position in range(longest):
                for name in names[shift:] + names[:shift]:
                    if name not in self.peers or position >= len(plan[name]):
                        continue
                    knob = plan[name][position]
                    try:
                        qps = self.peers[name].call(
                            "burst", knob["knob"], self.settings.warm_s, self.settings.burst_s
                        )
                    except PeerFailed as error:
                        self._fail(name, error)
                    else:
                        knob["qps"].append(qps)
            say(f"  round {number + 1} of {self.settings.rounds} done")


def _below(values: Sequence[int]) -> range:
    """The knob values up to the largest of `values`: their recall is wanted at any rate."""
    return range(max(values))


def _useful(knobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Knobs worth timing: from the last below the lower bound to the first at the upper one."""
    low, high = USEFUL_RECALL
    recalls = [knob["recall"] for knob in knobs]
    first = max((i for i, recall in enumerate(recalls) if recall < low), default=0)
    last = next((i for i, recall in enumerate(recalls) if recall >= high), len(knobs) - 1)
    return knobs[min(first, last) : last + 1]


def say(text: str) -> None:
    """Progress goes to standard error, results to standard output."""
    print(text, file=sys.stderr, flush=True)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description="Measure sutra beside its peers."
    )
    parser.add_argument(
        "--libraries", nargs="+", metavar="NAME", help=f"of {', '.join(adapters.GRIDS)}, or sutra"
    )
    data.add_arguments(parser)
    parser.add_argument("--quick", action="store_true", help="small and rough, about a minute")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write all figures")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw recall/QPS as PNG and SVG")
    parser.add_argument("--threads", type=int, default=2, help="threads of builds")
    parser.add_argument("--rounds", type=int, help="timed rounds over all libraries (5)")
    parser.add_argument("--burst", type=float, help="shortest burst in seconds (0.25)")
    parser.add_argument("--build-repeats", type=int, default=1, help="builds of every library")
    parser.add_argument("--limit-minutes", type=float, default=20, help="per library and set")
    parser.add_argument("--pin", type=int, metavar="CORE", help="core all timed queries run on")
    parser.add_argument("--no-reopen", action="store_true", help="leave out memory after opening")
    return parser.parse_args(arguments)


def settings_of(options: argparse.Namespace) -> Settings:
    """Settings from the command line; --quick only changes what is not given."""
    quick = options.quick
    return Settings(
        threads=options.threads,
        rounds=options.rounds or (2 if quick else 5),
        warm_s=0.05 if quick else 0.1,
        burst_s=options.burst or (0.05 if quick else 0.25),
        memory_queries=1_000 if quick else 10_000,
        build_repeats=options.build_repeats,
        limit_s=60 * options.limit_minutes,
        queries=300 if quick else 1_000,
        rows=min(options.rows, 10_000) if quick else options.rows,
        pin=options.pin,
        reopen=not (options.no_reopen or quick),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run, print, write. Exit code 1 if a library failed on a set."""
    options = parse(arguments)
    settings = settings_of(options)
    libraries = adapters.expand_names(options.libraries)
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "machine": machine.describe(),
        "settings": asdict(settings),
        "sets": {},
    }
    for name in options.sets or data.default_sets(options.data):
        dataset = data.prepare(name, rows=settings.rows, data=options.data)
        say(f"{name}: {dataset.rows:,} rows, {dataset.dim} dims, {dataset.metric}")
        results["sets"][name] = SetRun(dataset, libraries, settings).run()
        if options.output:
            options.output.write_text(json.dumps(results, indent=1))
    about = results["machine"]
    print(f"{about['cpu']}, {about['cores']} cores, {platform.python_version()}")
    print(f"tier {about['tier']}, commit {about['commit']}")
    print(report.tables(results))
    if options.plots:
        for file in report.draw(results, options.plots):
            say(f"wrote {file}")
    failed = [
        f"{name}/{library}"
        for name, entry in results["sets"].items()
        for library, result in entry["libraries"].items()
        if "error" in result
    ]
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
