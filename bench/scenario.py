"""The reference workload: ``python -m bench.scenario --output scenario.json``.

A million concepts of 384 dimensions, ten million associations, a hundred thousand searches, with
the measurements of `bench.store`. Printed is every row of the reference design's table beside what
was measured here; what this cannot measure says why. Its figures are from other machines (4 vCPU
and 8 GB, Graviton3, M3 Max, a Raspberry Pi 5): they are claims to be compared with, not rivals.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import timeit
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import kernels, machine, store
from bench.peers import say
from bench.store_measures import OURS, RECALL
from bench.store_worker import run

SCHEMA = "sutra-bench-scenario/1"
ROWS = ("concepts", "lookup", "reference", "latency", "memory", "opening")
KERNELS = ("dot_f32", "l2sq_f32", "cosine_f32", "dot_u8s8")
DIM = 384


@dataclass(frozen=True)
class Row:
    """A row of the reference table, and where what was measured comes from."""

    what: str
    claimed: str
    measured: Callable[[Found], str]


class Found:
    """Medians of what was measured."""

    def __init__(self, bench: store.Bench, speedups: dict[str, float]) -> None:
        self.bench = bench
        self.speedups = speedups

    def median(self, name: str, entry: str) -> float | None:
        """Of an entry of a measure; None where it was not taken."""
        values = self.bench.measures[name].entries.get(entry)
        return statistics.median(values) if values else None

    def text(self, name: str, entry: str, unit: str, form: str = ",.0f") -> str:
        """The same as text."""
        value = self.median(name, entry)
        return "failed" if value is None else f"{value:{form}} {unit}"


def of(name: str, entry: str, unit: str, form: str = ",.0f") -> Callable[[Found], str]:
    """Shows one figure."""
    return lambda found: found.text(name, entry, unit, form)


def because(reason: str) -> Callable[[Found], str]:
    """Says why there is no figure."""
    return lambda _: f"not measured: {reason}"


def simd(found: Found) -> str:
    """Speed of the kernels over the scalar tier."""
    if not found.speedups:
        return "failed"
    each = ", ".join(f"{name} {ratio:.1f}x" for name, ratio in found.speedups.items())
    return f"{each}, {DIM} dims"


BUILD = "needs a build without it"
WORKLOAD = (
    Row(
        "writes: concepts, 10,000 a batch, durable",
        "180,000 -> 220,000 /s; 880,000 by layout",
        of("concepts", OURS, "/s"),
    ),
    Row("writes: vectors acknowledged", "", of("building", "vectors/s acknowledged", "/s")),
    Row("writes: vectors until indexed", "", of("building", "vectors/s indexed", "/s")),
    Row("writes: associations", "", of("building", "associations/s", "/s")),
    Row("reads: id -> record", "12 M -> 22 M /s", of("lookup", "engine, 256 a call", "/s")),
    Row("reads, one by one", "", of("lookup", "engine, one a call", "/s")),
    Row(
        "vector search, two threads, one query a call",
        "1,800 -> 12,000 /s",
        of("reference", "two threads, one query a call", "/s"),
    ),
    Row(
        "vector search, two threads, 1,000 a call",
        "",
        of("reference", "two threads, 1,000 a call", "/s"),
    ),
    Row("99 % of searches take at most", "", of("latency", "99 %", "ms", ".2f")),
    Row(
        "memory, without float32 originals",
        "2.1 -> 1.8 GB",
        of("memory", "without float32 originals", "GB", ".2f"),
    ),
    Row("memory, resident originals", "", of("memory", "originals", "GB", ".2f")),
    Row("cold start to the first answer", "120 -> 95 ms", of("opening", OURS, "ms", ".1f")),
    Row("container image", "47 MB", because("no container is built here")),
)
HNSW = (
    Row("1 M x 1536, Graviton3", "580 /s", because("this is 384 dims")),
    Row("1 M x 1536, M3 Max", "830 /s", because("this is 384 dims")),
    Row(
        "1 M x 384, Pi 5: searches on one thread",
        "40 /s",
        of("reference", "one thread, one query a call", "/s"),
    ),
    Row("1 M x 384, Pi 5: build", "180 s", of("building", "seconds until indexed", "s")),
    Row(
        "1 M x 384, Pi 5: memory",
        "1.4 GB",
        of("memory", "without float32 originals", "GB", ".2f"),
    ),
)
CLAIMS = (
    Row("structure of arrays", "2-3x cache hits on each", because(BUILD)),
    Row("64-byte alignment", "+15-20 % reads on each", because(BUILD)),
    Row("spatial insertion, co-location", "+40 % cache hits on each", because(BUILD)),
    Row(
        "2 MiB huge pages",
        "+13-30 %; +25 %; +20 %; harmful",
        lambda _: f"not measured: {BUILD}; here: {machine.describe()['huge_pages'] or 'unknown'}",
    ),
    Row(
        "native page alignment",
        "-; +25 % (64 KiB); +20 % (16 KiB); -",
        because("a property of other machines"),
    ),
    Row(
        "SIMD over scalar",
        "7.5x; 5-7x, SVE +37 %; 5.5x, Accelerate 12x; 1.6x",
        simd,
    ),
    Row("scalar quantization", "-; -; -; 4x bandwidth", because("python -m bench.tuning does")),
    Row("mimalloc over libc", "+20 % (musl); +35 %; +10 %; +25 %", because("libc's is used")),
    Row(
        "lock-free map over sharded locks",
        "2x: 10 M -> 20 M reads/s; faster still; -; -",
        of("lookup", "engine, 256 a call", "reads/s on one thread"),
    ),
    Row("GPU batch over CPU", "-; -; 8x at 100, 18x at 1,000; -", because("no GPU is used")),
    Row("NVMe over SD", "-; -; -; 40x random reads", because("needs both")),
)


def kernel_seconds() -> dict[str, float]:
    """Best time of a call of 1,000 rows, by kernel, on the tier that this process may use."""
    cases = {case.kernel: case for case in kernels.CASES}
    return {
        name: min(timeit.repeat(kernels.ours(cases[name], DIM), number=20, repeat=20))
        for name in KERNELS
    }


@contextmanager
def capped(tier: str) -> Any:
    """Processes started in the block use the kernels of a tier."""
    before = os.environ.get("SUTRA_ISA")
    os.environ["SUTRA_ISA"] = tier
    try:
        yield
    finally:
        if before is None:
            del os.environ["SUTRA_ISA"]
        else:
            os.environ["SUTRA_ISA"] = before


def speedups(bench: store.Bench) -> dict[str, float]:
    """How much faster kernels are than the scalar ones, each in a process of its own."""
    log = bench.log("kernels")
    best = run(kernel_seconds, log=log)
    with capped("scalar"):
        scalar = run(kernel_seconds, log=log)
    return {name: scalar[name] / best[name] for name in KERNELS}


def table(found: Found) -> str:
    """Every row, as text."""
    s = found.bench.settings
    parts = {
        f"workload: {s.large:,} concepts, {s.large_links:,} associations, {s.searches:,} searches "
        f"at recall {RECALL}": WORKLOAD,
        f"HNSW at recall {RECALL}, of other machines": HNSW,
        "claims (x86-64; Graviton3; Apple; Pi 5)": CLAIMS,
    }
    every = [row for rows in parts.values() for row in rows]
    first = max(len(row.what) for row in every) + 2
    second = max(len(row.claimed) for row in every) + 2
    lines: list[str] = []
    for title, rows in parts.items():
        lines += ["", title, f"  {'':<{first}}{'reference':<{second}}measured here"]
        for row in rows:
            lines += [f"  {row.what:<{first}}{row.claimed:<{second}}{row.measured(found)}"]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run, print, write. Exit code 1 if something failed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scenario", description="Run the reference workload."
    )
    store.add_arguments(parser)
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="sutra-bench-", dir=options.work))
    bench = store.Bench(store.settings_of(options), [OURS], folder)
    try:
        extra: dict[str, Any] = {"machine": machine.describe(), "medium": store.medium(folder)}
        print(store.head(bench, extra["machine"], extra["medium"]), flush=True)
        bench.run(ROWS)
        found = Found(bench, bench.guarded("kernels", speedups, bench) or {})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(table(found))
    extra["kernels_over_scalar"] = found.speedups
    store.write(options.output, bench, extra, SCHEMA)
    for failure in bench.failed:
        say(f"failed: {failure}")
    return 1 if bench.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
