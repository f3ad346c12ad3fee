"""Measure the durable store beside its peers: ``python -m bench.store --output store.json``.

Every measurement runs in a process of its own with a fresh store, and the libraries take turns
round by round, so that a slow spell of the machine hits all alike. Shown are the median, the
lowest and the highest of the rounds; ratios to the best peer are taken within a round. What each
library has on the medium when a write returns stands at the head, with the sync calls that strace
counted for a batch of 1,000 vectors.

Measurements that need a million vectors share one store; it is sutra's alone, since peers take
hours to make it. `python -m bench.scenario` runs those of the reference workload.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from bench import adapters, data, machine, store_adapters, store_large, store_worker
from bench.peers import PeerFailed, say
from bench.store_measures import OURS, RECALL, Settings, measures
from bench.store_worker import Job, run

SCHEMA = "sutra-bench-store/1"
SET = "mixture384"


class Bench:
    """Runs measurements and keeps what they gave."""

    def __init__(
        self, settings: Settings, libraries: Sequence[str], folder: Path, cache: str | None = None
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.cache = cache
        self.libraries = [name for name in libraries if version(name)]
        self.missing = [name for name in libraries if not version(name)]
        self.measures = measures(settings)
        self.details: dict[str, list[Any]] = {}
        self.failed: list[str] = []
        self.engine: Path | None = None
        self.large_job: Job | None = None
        self.large_tried = False

    # ---- running

    def run(self, names: Sequence[str]) -> None:
        """Take the measurements with these names."""
        steps: dict[Callable[[], None], tuple[str, ...]] = {
            self.ingest: ("acknowledged", "indexed"),
            self.concepts: ("concepts", "lookup"),
            self.links: ("links",),
            self.mixed: ("mixed",),
            self.reference: ("reference", "latency"),
            self.memory: ("memory",),
            self.opening: ("opening",),
            self.checkpoint: ("checkpoint",),
            self.killed: ("killed",),
        }
        shared = (self.ingest, self.concepts, self.links)
        for step, taken in steps.items():
            if set(taken) & set(names) and (step in shared or OURS in self.libraries):
                say(f"{', '.join(taken)} ...")
                self.guarded(OURS, step)

    def guarded(self, library: str, step: Callable[..., Any], *arguments: Any) -> Any:
        """Run a step; a failure is reported, and the rest goes on."""
        try:
            return step(*arguments)
        except PeerFailed as error:
            self.failed.append(f"{library}: {error}")
            say(f"  {library}: {error}")
            log = self.log(library)
            tail = log.read_text(errors="replace").splitlines()[-8:] if log.exists() else []
            say("\n".join(f"    | {line}" for line in tail))
            return None

    def log(self, library: str) -> Path:
        """Where the processes of a library print to."""
        return self.folder / f"{library}.log"

    def job(self, library: str, rows: int, folder: Path) -> Job:
        """What a measurement is about."""
        dataset = data.prepare(SET, rows=rows, queries=self.settings.queries, cache=self.cache)
        return Job(library, str(folder), dataset, self.settings.threads, self.settings.limit_s)

    def take(self, function: Callable[..., Any], job: Job, *arguments: Any) -> Any:
        """Measure in a process of its own, and keep all that came of it."""
        value = run(function, job, *arguments, log=self.log(job.library))
        self.details.setdefault(function.__name__, []).append([job.library, value])
        return value

    def turns(self) -> list[tuple[str, Path]]:
        """Libraries in turn, round after round, each with a folder for a fresh store."""
        names, out = self.libraries, []
        for turn in range(self.settings.rounds):
            shift = turn % max(1, len(names))
            for name in names[shift:] + names[:shift]:
                out.append((name, self.folder / f"{name}-store"))
        return out

    # ---- every library

    def ingest(self) -> None:
        """Durable ingest."""
        s = self.settings
        for name, folder in self.turns():
            self.guarded(name, self._ingest, self.job(name, s.rows, folder))

    def _ingest(self, job: Job) -> None:
        s, name = self.settings, job.library
        with Emptied(job.folder):
            got = self.take(store_worker.ingest, job, s.rows, s.batch, s.early)
        stopped = f"; stopped after {got['rows']:,} rows" if got["rows"] < s.rows else ""
        self.measures["acknowledged"].add(name, got["acknowledged"])
        self.measures["acknowledged"].notes[name] = stopped.removeprefix("; ")
        kind = store_adapters.STORES[name]
        if not kind.indexes:
            self.measures["indexed"].notes[name] = kind.indexing
            return
        self.measures["indexed"].add(name, got["indexed"])
        note = f"recall {got['recall']:.3f} at ef {store_adapters.EF}{stopped}"
        self.measures["indexed"].notes[name] = note

    def concepts(self) -> None:
        """Concepts without vectors, and finding them again by id."""
        s = self.settings
        self.engine = self.guarded(OURS, store_large.lookup_program)
        for name, folder in self.turns():
            self.guarded(name, self._concepts, self.job(name, s.rows, folder))

    def _concepts(self, job: Job) -> None:
        s, name = self.settings, job.library
        written, looked = self.measures["concepts"], self.measures["lookup"]
        looked_up = f"objects in Python, {store_worker.LOOKUP_BATCH} a call"
        if name == OURS:
            with Emptied(job.folder):
                got = self.take(store_worker.concepts, job, s.concepts, True, 0.0)
                written.add("sutra, list of int", got["written"])
        with Emptied(job.folder):
            got = self.take(store_worker.concepts, job, s.concepts, False, s.burst_s)
            if "unable" in got:
                written.notes[name] = got["unable"]
                return
            written.add(name, got["written"])
            if got["rows"] < s.concepts:
                written.notes[name] = f"stopped after {got['rows']:,}"
            looked.add(name, got["got"])
            looked.notes[name] = looked_up
            if name == OURS:
                self._lookups(job, got["rows"])

    def _lookups(self, job: Job, count: int) -> None:
        looked = self.measures["lookup"]
        if self.engine is None:
            looked.ours = OURS
        for batch, what in ((256, "256"), (1, "one")):
            if self.engine is not None:
                rate = store_large.engine_lookups(
                    self.engine, job.folder, count, batch, self.settings.burst_s
                )
                looked.add(f"engine, {what} a call", rate)
        for way, rate in self.take(store_large.lookups, job, count, self.settings.burst_s).items():
            looked.add(way, rate)

    def links(self) -> None:
        """Associations."""
        s = self.settings
        for name, folder in self.turns():
            job = self.job(name, s.rows, folder)
            if has_links(name):
                self.guarded(name, self._links, job)

    def _links(self, job: Job) -> None:
        s = self.settings
        with Emptied(job.folder):
            got = self.take(store_worker.links, job, s.concepts, s.links, store_worker.PLAIN_BATCH)
        self.measures["links"].add(job.library, got["linked"])
        if got["rows"] < s.links:
            self.measures["links"].notes[job.library] = f"stopped after {got['rows']:,}"

    # ---- sutra alone

    def mixed(self) -> None:
        """Searching while writing."""
        s, measure = self.settings, self.measures["mixed"]
        job = self.job(OURS, 3 * s.mixed, self.folder / "mixed")
        with Emptied(job.folder):
            rounds, burst_s = max(3, s.rounds), 2 * s.burst_s
            got = self.take(store_large.mixed, job, s.mixed, s.batch, rounds, burst_s, RECALL)
        measure.add("idle", *got["idle"])
        measure.add("writing", *got["writing"])
        measure.add("writing / idle", *got["ratio"])
        measure.notes["idle"] = f"ef {got['ef']}, recall {got['recall_idle']:.3f}"
        measure.notes["writing"] = (
            f"recall {got['recall_writing']:.3f}; {got['writing_speed']:,.0f} vectors/s written, "
            f"full speed is {got['full_speed']:,.0f}"
            + ("; rows ran out" if got["ran_out"] else "")
            + ("; SLOWER than half" if got["writing_speed"] < 0.45 * got["full_speed"] else "")
        )

    def large(self) -> Job:
        """The large store, made when it is first asked for."""
        s = self.settings
        if not self.large_tried:
            self.large_tried = True
            job = self.job(OURS, s.large, self.folder / "large")
            say(f"  making the large store: {s.large:,} vectors, {s.large_links:,} associations")
            got = self.take(store_large.build, job, s.large, s.batch, s.large_links)
            measure = self.measures["building"]
            measure.add("vectors/s acknowledged", got["acknowledged"])
            measure.add("vectors/s indexed", got["indexed"])
            measure.add("associations/s", got["linked"])
            measure.add("seconds until indexed", got["indexed_s"])
            measure.add("GB on disk", got["file_bytes"] / 1e9)
            self.large_job = job
        if self.large_job is None:
            raise PeerFailed("there is no large store")
        return self.large_job

    def reference(self) -> None:
        """The reference workload's searches."""
        s = self.settings
        job = self.large()
        got = self.take(store_large.reference, job, s.rounds, s.searches, RECALL, 2)
        searches, latency = self.measures["reference"], self.measures["latency"]
        searches.add("two threads, one query a call", *got["qps"])
        searches.add("two threads, 1,000 a call", *got["batch_qps"])
        searches.add("one thread, one query a call", *got["one_qps"])
        searches.notes["two threads, one query a call"] = (
            f"ef {got['ef']}, recall {got['recall']:.3f}, {got['searches']:,} a round"
        )
        latency.add("50 %", *(1e3 * seconds for seconds in got["p50_s"]))
        latency.add("99 %", *(1e3 * seconds for seconds in got["p99_s"]))

    def memory(self) -> None:
        """What is resident after reopening."""
        s, measure, job = self.settings, self.measures["memory"], self.large()
        for _ in range(s.rounds):
            for file in files_of(job.folder):
                adapters.drop_from_cache(file)
            got = self.take(store_large.memory, job, s.memory_searches, RECALL)
            measure.add("without float32 originals", got["resident"] / 1e9)
            measure.add("originals", got["originals"] / 1e9)
            measure.notes["without float32 originals"] = (
                f"after {got['searches']:,} searches at ef {got['ef']}; "
                f"{got['anonymous'] / 1e9:.2f} GB of it anonymous"
            )

    def opening(self) -> None:
        """Opening after a clean shutdown, files in the page cache."""
        job = self.large()
        for file in files_of(job.folder):
            with file.open("rb") as stream:
                while stream.read(1 << 24):
                    pass
        run(store_large.first_answer, job, log=self.log(OURS))
        for _ in range(max(5, self.settings.rounds)):
            got = self.take(store_large.first_answer, job)
            self.measures["opening"].add(OURS, 1e3 * got["seconds"])

    def checkpoint(self) -> None:
        """What a checkpoint writes."""
        s, measure, job = self.settings, self.measures["checkpoint"], self.large()
        for _ in range(s.rounds):
            got = self.take(store_large.changed_share, job, s.large, s.changed)
            measure.add(OURS, 100 * got["share"])
            measure.notes[OURS] = (
                f"{got['written'] / 1e6:,.1f} MB of {got['store'] / 1e6:,.0f} MB, "
                f"{got['upserted']:,} vectors, all of them linked, in {got['seconds']:.2f} s"
            )

    def killed(self) -> None:
        """Opening after a kill with a full log."""
        s, measure, job = self.settings, self.measures["killed"], self.large()
        note = self.folder / "filled.json"
        for what in ("vectors", "associations"):
            for _ in range(s.rounds):
                note.unlink(missing_ok=True)
                arguments = (what, s.log_bytes, s.large, str(note))
                try:
                    run(store_large.fill_log_and_die, job, *arguments, log=self.log(OURS))
                except PeerFailed:
                    if not note.exists():  # it died of something else
                        raise
                filled = json.loads(note.read_text())
                got = self.take(store_large.first_answer, job)
                measure.add(f"log of {what}", got["seconds"])
                measure.notes[f"log of {what}"] = f"{filled['log_bytes'] / 2**20:.1f} MiB"

    # ---- what they promise

    def syncs(self) -> dict[str, dict[str, Any]]:
        """What each library has on the medium when a write returns, and its sync calls."""
        about: dict[str, dict[str, Any]] = {}
        for name in self.libraries:
            kind = store_adapters.STORES[name]
            folder = self.folder / f"{name}-syncs"
            with Emptied(folder):
                calls = store_worker.traced_syncs(name, folder, 384, 3, self.settings.batch)
            about[name] = {
                "version": version(name),
                "durable": kind.durable,
                "indexing": kind.indexing,
                "syncs": calls,
            }
        return about


class Emptied:
    """Removes a folder before and after its block."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def files_of(folder: str) -> list[Path]:
    """All files below a folder."""
    return [file for file in Path(folder).rglob("*") if file.is_file()]


def version(library: str) -> str | None:
    """Installed version of a library; for sutra, of the tree that is imported."""
    if library == OURS:
        import sutra

        return str(sutra.__version__)
    try:
        return metadata.version(store_adapters.STORES[library].distribution)
    except metadata.PackageNotFoundError:
        return None


def has_links(library: str) -> bool:
    """Whether a library has associations."""
    return store_adapters.STORES[library].link is not store_adapters.Store.link


# ---- the medium ---------------------------------------------------------------------------------


def medium(folder: Path) -> dict[str, Any]:
    """Where stores are made: file system, and how long a sync of 4 KiB takes there."""
    times: list[float] = []
    with tempfile.NamedTemporaryFile(dir=folder) as stream:
        for _ in range(50):
            stream.write(os.urandom(4096))
            stream.flush()
            start = time.perf_counter()
            os.fsync(stream.fileno())
            times.append(time.perf_counter() - start)
    return {"file_system": file_system(folder), "sync_median_s": statistics.median(times)}


def file_system(folder: Path) -> str:
    """The type of the file system that holds a folder; empty where the OS does not say."""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    mounts = [line.split()[1:3] for line in lines]
    place = str(folder.resolve())
    holding = [
        (len(at), kind)
        for at, kind in mounts
        if place == at or place.startswith(at.rstrip("/") + "/")
    ]
    return max(holding, default=(0, ""))[1]


# ---- command line -------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that bench.scenario shares."""
    parser.add_argument("--scale", type=float, default=1.0, help="multiply all sizes")
    parser.add_argument("--quick", action="store_true", help="tiny and rough: does it work")
    parser.add_argument("--rounds", type=int, help="rounds (3)")
    parser.add_argument("--threads", type=int, default=2, help="that link and index")
    parser.add_argument(
        "--limit-seconds", type=float, default=120, help="of writing, per library and round"
    )
    parser.add_argument("--work", type=Path, metavar="DIR", help="where stores are made")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write all figures")


def settings_of(options: argparse.Namespace) -> Settings:
    """Settings from the command line."""
    scale = options.scale * (0.003 if options.quick else 1.0)
    limit_s = min(options.limit_seconds, 5) if options.quick else options.limit_seconds
    made = Settings(threads=options.threads, limit_s=limit_s)
    made = made if scale == 1.0 else made.scaled(scale)
    rounds = options.rounds or (1 if options.quick else made.rounds)
    return replace(made, rounds=rounds, burst_s=0.1 if options.quick else made.burst_s)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.store", description="Measure the durable store beside its peers."
    )
    names = [name for name in measures(Settings()) if name != "building"]
    parser.add_argument("--only", nargs="+", choices=names, metavar="ROW", default=names)
    parser.add_argument(
        "--libraries",
        nargs="+",
        choices=tuple(store_adapters.STORES),
        metavar="NAME",
        default=tuple(store_adapters.STORES),
    )
    parser.add_argument("--no-syncs", action="store_true", help="do not count sync calls")
    add_arguments(parser)
    return parser.parse_args(arguments)


def head(bench: Bench, about: dict[str, Any], where: dict[str, Any]) -> str:
    """Machine, medium and settings as text."""
    s = bench.settings
    lines = [
        f"{about['cpu']}, {about['cores']} cores, {about['python']}",
        f"tier {about['tier']}, commit {about['commit']}",
        f"{where['file_system'] or 'unknown'} file system, a sync of 4 KiB takes "
        f"{1e3 * where['sync_median_s']:.2f} ms (median of 50)",
        f"{s.threads} threads link and index; {s.rounds} rounds; median, lowest, highest, and the "
        "ratio to the best peer within a round",
    ]
    if s.scale != 1.0:
        lines.append(f"SCALED to {s.scale:g} of the sizes: goals are for the full ones")
    if bench.missing:
        lines.append(f"not installed: {', '.join(bench.missing)}")
    return "\n".join(lines)


def promises(about: dict[str, dict[str, Any]]) -> str:
    """What each library does about durability, as text."""
    lines = ["on the medium when a write returns; sync calls for a batch of 1,000 vectors"]
    for name, entry in about.items():
        calls = "not counted"
        if entry["syncs"] is not None:
            each = (f"{count:.3g} {call}" for call, count in entry["syncs"].items())
            calls = ", ".join(each) or "none"
        lines.append(f"  {name} {entry['version']}: {entry['durable']} ({calls})")
        lines.append(f"  {'':<{len(name)}} index: {entry['indexing']}")
    return "\n".join(lines)


def write(file: Path | None, bench: Bench, extra: dict[str, Any], schema: str = SCHEMA) -> None:
    """Write the result file."""
    if file is None:
        return
    taken = {n: m.plain() for n, m in bench.measures.items() if m.entries or m.notes}
    results = {"schema": schema, **extra, "settings": asdict(bench.settings), "measures": taken}
    results |= {"details": bench.details, "failed": bench.failed}
    file.write_text(json.dumps(machine.plain(results), indent=1))


def main(arguments: list[str] | None = None) -> int:
    """Run, print, write. Exit code 1 if something failed."""
    options = parse(arguments)
    folder = Path(tempfile.mkdtemp(prefix="sutra-bench-", dir=options.work))
    bench = Bench(settings_of(options), options.libraries, folder)
    try:
        extra: dict[str, Any] = {"machine": machine.describe(), "medium": medium(folder)}
        print(head(bench, extra["machine"], extra["medium"]), flush=True)
        if not options.no_syncs:
            extra["libraries"] = bench.syncs()
            print(f"\n{promises(extra['libraries'])}", flush=True)
        bench.run(options.only)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for measure in bench.measures.values():
        if measure.entries or measure.notes:
            print(f"\n{measure.table()}")
    write(options.output, bench, extra)
    for failure in bench.failed:
        say(f"failed: {failure}")
    return 1 if bench.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
