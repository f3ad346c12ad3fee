"""What the knobs do: ``python -m bench.tuning``. The tables of docs/tuning.md come from here.

For every set, indexes that differ in one knob are built once on two threads. Then all of them
answer all queries, one thread, in turn and in several rounds, so that a drifting machine hits
them alike; the best round counts. Printed: recall@10, queries per second (QPS) by ef, QPS at
equal recall relative to the defaults, build seconds, and what recall tops out at.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import sutra
from bench import data, report

K = 10
EF = (16, 32, 64, 128, 256, 512)
CEILING_EF = 800
TARGETS = (0.90, 0.95, 0.98)
VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "m=8": {"m": 8},
    "m=24": {"m": 24},
    "m=32": {"m": 32},
    "ef_construction=100": {"ef_construction": 100},
    "ef_construction=400": {"ef_construction": 400},
    "u8 codes only": {"keep_originals": False},
    "u4": {"quantization": "u4"},
    "u4 codes only": {"quantization": "u4", "keep_originals": False},
}


def measure(dataset: data.DataSet, rounds: int) -> None:
    """Build, race and print one set."""
    base, queries = dataset.base(), dataset.query_rows()
    indexes: dict[str, sutra.Index] = {}
    builds: dict[str, float] = {}
    for name, options in VARIANTS.items():
        indexes[name] = sutra.Index(dataset.dim, metric=dataset.metric, **options)  # type: ignore[arg-type]
        start = time.perf_counter()
        indexes[name].add(base, threads=2)
        builds[name] = time.perf_counter() - start
    points = {
        (name, ef): (dataset.recall(index.search(queries, K, ef=ef).ids), 0.0)
        for name, index in indexes.items()
        for ef in EF
    }
    for _ in range(rounds):
        for (name, ef), (recall, best) in points.items():
            start = time.perf_counter()
            indexes[name].search(queries, K, ef=ef, threads=1)
            qps = len(queries) / (time.perf_counter() - start)
            points[name, ef] = recall, max(best, qps)

    print(f"\n{dataset.name}: {dataset.rows:,} rows, {dataset.dim} dims, {dataset.metric}")
    print(f"{'':<22}" + "".join(f"{f'ef {ef}':>16}" for ef in EF) + f"{'ef 800':>9}{'build':>9}")
    for name, index in indexes.items():
        cells = "".join(f"{points[name, ef][0]:>8.4f}{points[name, ef][1]:>8,.0f}" for ef in EF)
        ceiling = dataset.recall(index.search(queries, K, ef=CEILING_EF).ids)
        print(f"{name:<22}{cells}{ceiling:>9.4f}{builds[name]:>8.1f}s")
    print(f"{'QPS at equal recall':<22}" + "".join(f"{target:>9}" for target in TARGETS))
    for name in indexes:
        cells = ""
        for target in TARGETS:
            own, usual = (
                report.qps_at([points[who, ef] for ef in EF], target) for who in (name, "defaults")
            )
            cells += f"{own / usual:>9.2f}" if own and usual else f"{'-':>9}"
        print(f"{name:<22}{cells}")
    for index in indexes.values():
        index.close()


def main(arguments: list[str] | None = None) -> int:
    """Measure the sets asked for."""
    parser = argparse.ArgumentParser(description="Measure what the knobs do.")
    data.add_arguments(parser)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    for name in options.sets or data.default_sets(options.data):
        measure(data.prepare(name, rows=options.rows, data=options.data), options.rounds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
