"""Distance kernels beside NumKong's: ``python -m bench.kernels``.

One query against 1,000 contiguous rows per call, both called from Python, rows in cache, output
preallocated. Unit: nanoseconds per row, from the best of many interleaved rounds; a round calls
every contender in turn for about a millisecond. One thread, no pinning; every contender is
checked against NumPy first and warmed up by that. GB/s counts the bytes of the rows.

NumKong is called in each of its fitting ways (``dot(query, rows)``, ``cdist`` with float64 and
with float32 results) and its fastest counts. Its packed variants want the rows rearranged by
``dots_pack`` first and are shown beside, as "packed", outside the ratios. Where the CPU has more
than sutra's tier uses, NumKong is measured twice: with all it can use, and with its capabilities
cut down to the same tier.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import machine

SCHEMA = "sutra-bench-kernels/1"
ROWS = 1_000
DIMS = (96, 128, 384, 768, 1536)
BURST_S = 0.001

SAME_TIER = {
    "scalar": {"serial"},
    "avx2": {"serial", "haswell"},
    "neon": {"serial", "neon", "neonhalf"},
    "neondot": {"serial", "neon", "neonhalf", "neonsdot"},
}
"""NumKong capabilities that match a sutra tier."""


@dataclass(frozen=True)
class Case:
    """A kernel of ours and what it is measured against."""

    kernel: str
    types: str
    metric: str
    numkong_metric: str
    numkong_types: str


CASES = (
    Case("dot_f32", "f32", "dot", "dot", "f32"),
    Case("l2sq_f32", "f32", "l2", "sqeuclidean", "f32"),
    Case("cosine_f32", "f32", "cosine", "angular", "f32"),
    Case("l2sq_u8", "u8", "l2", "sqeuclidean", "u8"),
    Case("l2sq_u7", "u7", "l2", "sqeuclidean", "u8"),
    Case("dot_u8s8", "u8 x s8", "dot", "dot", "i8"),
)

Array = npt.NDArray[Any]
Call = Callable[[], Any]


@cache
def inputs(types: str, dim: int, rows: int = ROWS) -> tuple[Array, Array]:
    """A query and rows of the given types, within the ranges the kernels are defined for.

    The same arrays each time: contenders share them, so that they do not push each other's rows
    out of the cache.
    """
    rng = np.random.default_rng([dim, rows])
    if types == "f32":
        made = rng.standard_normal((rows + 1, dim)).astype(np.float32)
        return made[0].copy(), made[1:].copy()
    limits = {"u8": (0, 256), "u7": (0, 128), "i8": (-127, 128), "u8 x s8": (0, 256)}[types]
    dtype = np.int8 if types == "i8" else np.uint8
    block = rng.integers(*limits, (rows, dim)).astype(dtype)
    if types == "u8 x s8":
        return rng.integers(-64, 65, dim).astype(np.int8), block
    return rng.integers(*limits, dim).astype(dtype), block


def expected(query: Array, rows: Array, metric: str) -> Array:
    """The distances in float64."""
    left, right = query.astype(np.float64), rows.astype(np.float64)
    if metric in ("l2", "sqeuclidean"):
        return np.asarray(((right - left) ** 2).sum(axis=1))
    dots = right @ left
    if metric == "dot":
        return dots
    return np.asarray(1.0 - dots / (np.linalg.norm(right, axis=1) * np.linalg.norm(left)))


def ours(case: Case, dim: int) -> Call:
    """A call of sutra's kernel, checked."""
    kernel = getattr(importlib.import_module("sutra.kernels"), case.kernel)
    query, rows = inputs(case.types, dim)
    out = kernel(query, rows)
    check(np.asarray(out), expected(query, rows, case.metric), case.kernel)
    return lambda: kernel(query, rows, out)


def numkong(case: Case, dim: int) -> dict[str, Call]:
    """Calls of NumKong's kernel in every fitting way, checked; empty where it is not installed."""
    try:
        library = importlib.import_module("numkong")
    except ImportError:
        return {}
    query, rows = inputs(case.numkong_types, dim)
    row, metric = query[None, :], case.numkong_metric
    function = getattr(library, metric)
    single = np.empty((1, ROWS), dtype=np.float32)
    double = np.empty((1, ROWS), dtype=np.float64)
    ways: dict[str, Call] = {
        "function": lambda: function(query, rows),
        "cdist f64": lambda: library.cdist(row, rows, metric, out=double),
        "cdist f32": lambda: library.cdist(row, rows, metric, out=single),
    }
    packed = {"dot": "dots_packed", "angular": "angulars_packed"}.get(metric)
    if packed is not None and hasattr(library, packed):
        block, multiply = library.dots_pack(rows), getattr(library, packed)
        ways["packed"] = lambda: multiply(row, block)
    wanted = expected(query, rows, metric)
    outputs = {"cdist f64": double, "cdist f32": single}
    for name, call in ways.items():
        result = call()
        check(np.asarray(outputs.get(name, result)), wanted, f"numkong {metric} {name}")
    return ways


def check(found: Array, wanted: Array, what: str) -> None:
    """Raise if a kernel's results are wrong."""
    scale = float(np.abs(wanted).max()) or 1.0
    if not np.allclose(found.ravel(), wanted, rtol=1e-3, atol=1e-4 * scale):
        raise AssertionError(f"{what}: wrong results")


class Cap:
    """NumKong's capabilities, cut down to a tier while a `with` block runs."""

    def __init__(self, tier: str) -> None:
        self.library = importlib.import_module("numkong")
        keep = SAME_TIER[tier]
        have = self.library.get_capabilities()
        self.cut = [name for name, on in have.items() if on and name not in keep]

    def __enter__(self) -> None:
        for name in self.cut:
            self.library.disable_capability(name)

    def __exit__(self, *_: object) -> None:
        for name in self.cut:
            self.library.enable_capability(name)


def burst(call: Call, count: int) -> float:
    """Seconds per call over `count` calls, after one that is not timed."""
    repeats = range(count)
    call()
    start = time.perf_counter()
    for _ in repeats:
        call()
    return (time.perf_counter() - start) / count


def interleave(contenders: dict[str, Call], cap: Cap | None, rounds: int) -> dict[str, list[float]]:
    """Seconds per call of each contender in each round; names ending in " =" run capped."""
    counts: dict[str, int] = {}
    for name, call in contenders.items():
        counts[name] = max(5, int(BURST_S / max(burst(call, 3), 1e-7)))
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    plain = [name for name in contenders if not name.endswith(" =")]
    capped = [name for name in contenders if name.endswith(" =")]
    for _ in range(rounds):
        for name in plain:
            seconds[name].append(burst(contenders[name], counts[name]))
        if cap is not None and capped:
            with cap:
                for name in capped:
                    seconds[name].append(burst(contenders[name], counts[name]))
    return seconds


def measure(case: Case, dim: int, cap: Cap | None, rounds: int) -> dict[str, Any]:
    """Nanoseconds per row of every contender of one case: best, and all rounds of the best way."""
    contenders: dict[str, Call] = {}
    try:
        contenders["sutra"] = ours(case, dim)
    except (ImportError, AttributeError) as error:
        print(f"  no sutra.kernels.{case.kernel}: {error}")
    for way, call in numkong(case, dim).items():
        contenders[f"numkong {way}"] = call
        if cap is not None:
            contenders[f"numkong {way} ="] = call
    _, rows = inputs(case.types, dim)
    target = np.empty_like(rows)
    beside: dict[str, Call] = {"memcpy": lambda: np.copyto(target, rows)}
    for name in [name for name in contenders if "packed" in name]:
        beside[name] = contenders.pop(name)
    seconds = interleave(contenders, cap, rounds) | interleave(beside, cap, max(3, rounds // 4))
    row_ns = {name: [1e9 * value / ROWS for value in values] for name, values in seconds.items()}
    result: dict[str, Any] = {
        "kernel": case.kernel,
        "types": case.types,
        "metric": case.metric,
        "dim": dim,
        "row_bytes": rows.itemsize * dim,
        "ways": {name: min(values) for name, values in row_ns.items()},
    }
    for name, capped in (("numkong", False), ("numkong_same_tier", True)):
        ways = {
            way: values
            for way, values in row_ns.items()
            if way.startswith("numkong") and "packed" not in way and way.endswith(" =") == capped
        }
        if ways:
            best = min(ways, key=lambda way: min(ways[way]))
            result[name] = _figures(ways[best]) | {"way": best.removesuffix(" =")}
    for name in ("sutra", "memcpy"):
        if name in row_ns:
            result[name] = _figures(row_ns[name])
    return result


def _figures(values: list[float]) -> dict[str, Any]:
    return {"best": min(values), "median": statistics.median(values), "rounds": values}


def line(result: dict[str, Any]) -> str:
    """One line of the table."""

    def cell(name: str, width: int = 9) -> str:
        found = result.get(name)
        return f"{found['best']:>{width}.2f}" if found else f"{'-':>{width}}"

    def ratio(name: str) -> str:
        if name not in result or "sutra" not in result:
            return f"{'-':>8}"
        return f"{result[name]['best'] / result['sutra']['best']:>7.2f}x"

    packed = [v for name, v in result["ways"].items() if name == "numkong packed"]
    speed = result["row_bytes"] / result["sutra"]["best"] if "sutra" in result else None
    copy = result["row_bytes"] / result["memcpy"]["best"]
    return (
        f"{result['types']:<9}{result['metric']:<8}{result['dim']:>5}{cell('sutra')}"
        f"{'-' if speed is None else f'{speed:.1f}':>7}{copy:>8.1f}"
        f"{cell('numkong')}{ratio('numkong')}{cell('numkong_same_tier', 11)}"
        f"{ratio('numkong_same_tier')}{f'{packed[0]:.2f}' if packed else '-':>9}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write. Exit code 1 if ``--require`` is given and a ratio is below it."""
    parser = argparse.ArgumentParser(prog="python -m bench.kernels", description="Time kernels.")
    parser.add_argument("--dims", nargs="+", type=int, default=DIMS)
    parser.add_argument("--kernels", nargs="+", metavar="NAME", help="ours, for example dot_f32")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument(
        "--tier", choices=sorted(SAME_TIER), help="tier NumKong is cut down to (default: ours)"
    )
    parser.add_argument("--require", type=float, metavar="RATIO", help="fail below this ratio")
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    options = parser.parse_args(arguments)
    about = machine.describe()
    tier = options.tier or str(about["tier"])
    cap: Cap | None = None
    try:
        cap = Cap(tier) if tier in SAME_TIER else None
    except ImportError:
        print("numkong is not installed: only sutra is measured")
    cap = cap if cap is not None and cap.cut else None
    print(f"{about['cpu']}, sutra tier {about['tier']}, {ROWS} rows a call, ns per row")
    print(
        f"{'types':<9}{'metric':<8}{'dim':>5}{'sutra':>9}{'GB/s':>7}{'memcpy':>8}"
        f"{'numkong':>9}{'ratio':>8}{'same tier':>11}{'ratio':>8}{'packed':>9}"
    )
    results: list[dict[str, Any]] = []
    for case in CASES:
        if options.kernels and case.kernel not in options.kernels:
            continue
        for dim in options.dims:
            results.append(measure(case, dim, cap, options.rounds))
            print(line(results[-1]), flush=True)
    if options.output:
        document = {"schema": SCHEMA, "machine": about, "kernels": results}
        options.output.write_text(json.dumps(document, indent=1))
    low = [
        f"{result['kernel']} d={result['dim']}"
        for result in results
        if options.require
        and "sutra" in result
        and "numkong" in result
        and result["numkong"]["best"] / result["sutra"]["best"] < options.require
    ]
    if low:
        print(f"below {options.require}: {', '.join(low)}")
    return 1 if low else 0


if __name__ == "__main__":
    raise SystemExit(main())
