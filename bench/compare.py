"""Two result files side by side: ``python -m bench.compare old.json new.json``.

Takes the files of `bench.peers`, of `bench.kernels` and of pytest-benchmark (two of one kind).
Every line is a ratio, above 1 where the new file is better: rates new/old, seconds, nanoseconds
and bytes old/new. The band is the noise both runs showed themselves: half the spread of their
rounds (for pytest-benchmark, the interquartile range) over the median, added as squares, never
under 2 %, and 20 % for a figure measured once. Only what lies outside its band is called better
or worse. For peers files, ratios to hnswlib within each run are compared as well: they hold where
the machine itself was faster or slower on the day.

Files from different CPUs or kernel tiers, or over different data, are refused (exit 2) unless
--force is given. The last line says how the other libraries' speeds moved between the two runs:
they did not change, so that much is the machine, and figures of one run inside another's band of
noise may still all lean one way.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import report

FLOOR = 0.02
ONCE = 0.20


@dataclass(frozen=True)
class Figure:
    """One measured value with its noise as a share of it."""

    value: float
    noise: float
    unit: str
    higher_is_better: bool


class Incomparable(Exception):
    """The two files must not be compared."""


def load(path: Path) -> dict[str, Any]:
    """A result file."""
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def kind(document: Mapping[str, Any]) -> str:
    """Which script wrote it."""
    if "benchmarks" in document and "machine_info" in document:
        return "pytest-benchmark"
    return str(document.get("schema", "unknown")).partition("/")[0]


def identity(document: Mapping[str, Any]) -> dict[str, Any]:
    """CPU and kernel tier."""
    if kind(document) == "pytest-benchmark":
        info = document["machine_info"]
        own = info.get("sutra_bench", {})
        cpu = own.get("cpu") or info.get("cpu", {}).get("brand_raw")
        return {"cpu": cpu, "tier": own.get("tier")}
    about = document.get("machine", {})
    return {"cpu": about.get("cpu"), "tier": about.get("tier")}


def figures(document: Mapping[str, Any]) -> dict[str, Figure]:
    """Every comparable figure by name."""
    readers = {
        "pytest-benchmark": _pytest_figures,
        "sutra-bench-peers": _peers_figures,
        "sutra-bench-kernels": _kernel_figures,
    }
    if kind(document) not in readers:
        raise Incomparable(f"not a result file of this package: {kind(document)}")
    return readers[kind(document)](document)


def check(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Reasons not to compare; kinds that differ raise at once."""
    if kind(old) != kind(new):
        raise Incomparable(f"different kinds of files: {kind(old)} and {kind(new)}")
    first, second = identity(old), identity(new)
    reasons = [
        f"different {key}: {first[key]} and {second[key]}"
        for key in first
        if first[key] != second[key]
    ]
    for name in old.get("sets", {}):
        if name in new.get("sets", {}):
            one, two = (document["sets"][name]["about"] for document in (old, new))
            if one["key"] != two["key"]:
                reasons.append(f"different data of {name}: {one['rows']} and {two['rows']} rows")
    return reasons


def table(old: Mapping[str, Figure], new: Mapping[str, Figure]) -> tuple[list[str], int]:
    """Lines of the comparison, and how many figures got worse beyond their band."""
    width = max((len(name) for name in old if name in new), default=10) + 2
    drift: list[float] = []
    lines = [f"{'figure':<{width}}{'old':>14}{'new':>14}  {'unit':<8}{'ratio':>7}{'band':>9}"]
    worse = 0
    for name in [name for name in old if name in new]:
        one, two = old[name], new[name]
        if one.value <= 0 or two.value <= 0:
            continue
        ratio = two.value / one.value if one.higher_is_better else one.value / two.value
        if "sutra" not in name and one.unit in ("QPS", "s", "us", "ns/row"):
            drift.append(ratio)
        band = (one.noise**2 + two.noise**2) ** 0.5
        verdict = ""
        if ratio > 1 + band:
            verdict = "better"
        elif ratio < 1 / (1 + band):
            verdict = "worse"
            worse += 1
        lines.append(
            f"{name:<{width}}{_short(one.value):>14}{_short(two.value):>14}  {one.unit:<8}"
            f"{ratio:>7.3f}{f'+-{band:.1%}':>9}  {verdict}".rstrip()
        )
    for label, missing in (
        ("only old", [name for name in old if name not in new]),
        ("only new", [name for name in new if name not in old]),
    ):
        if missing:
            lines.append(f"{label}: {', '.join(missing)}")
    if drift:
        lines.append(
            f"speed of other libraries: x{median(drift):.3f} ({len(drift)} figures, median)"
        )
    return lines, worse


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _noise(samples: Sequence[float | None]) -> float:
    """Half the spread over the median; at least the floor; a fixed share for single samples."""
    values = [value for value in samples if value]
    if len(values) < 2:
        return ONCE
    return max(FLOOR, (max(values) - min(values)) / 2 / median(values))


def _pytest_figures(document: Mapping[str, Any]) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for entry in document["benchmarks"]:
        stats = entry["stats"]
        noise = max(FLOOR, stats["iqr"] / stats["median"]) if stats["rounds"] > 1 else ONCE
        name = str(entry["fullname"]).rpartition("/")[2]
        found[name] = Figure(1e6 * stats["median"], noise, "us", False)
        recall = entry.get("extra_info", {}).get("recall")
        if recall:
            found[f"{name} recall"] = Figure(recall, FLOOR / 4, "", True)
    return found


def _kernel_figures(document: Mapping[str, Any]) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for entry in document["kernels"]:
        name = f"{entry['kernel']} d={entry['dim']}"
        for library in ("sutra", "numkong"):
            if library in entry:
                own = entry[library]
                # the best of many rounds: its noise is how far the median lies above, up to 10 %
                noise = min(0.10, max(FLOOR, own["median"] / own["best"] - 1))
                found[f"{name} {library}"] = Figure(own["best"], noise, "ns/row", False)
        if "sutra" in entry and "numkong" in entry:
            ratio = entry["numkong"]["best"] / entry["sutra"]["best"]
            found[f"{name} sutra / numkong"] = Figure(ratio, ONCE / 4, "x", True)
    return found


def _peers_figures(document: Mapping[str, Any]) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for set_name, entry in document["sets"].items():
        rows = entry["about"]["rows"]
        for library, result in entry["libraries"].items():
            name = f"{set_name} {library}"
            for recall, speed in result.get("at_recall", {}).items():
                noise = _noise(speed["rounds"])
                found[f"{name} @{recall}"] = Figure(speed["best"], noise, "QPS", True)
                ratio = speed.get("ratio", {})
                if library != report.REFERENCE and "median" in ratio:
                    spread = max(FLOOR, (ratio["high"] - ratio["low"]) / 2 / ratio["median"])
                    found[f"{name} @{recall} / {report.REFERENCE}"] = Figure(
                        ratio["median"], spread, "x", True
                    )
            build = result.get("build", {})
            if "best" in build:
                noise = _noise(build["seconds"])
                found[f"{name} build"] = Figure(build["best"], noise, "s", False)
            for which in ("built", "opened"):
                hot = report.resident(result, which, rows)["hot"]
                if hot:
                    found[f"{name} memory {which}"] = Figure(hot, FLOOR, "B/vec", False)
            if result.get("file_bytes"):
                size = result["file_bytes"] / rows
                found[f"{name} file"] = Figure(size, FLOOR, "B/vec", False)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Print the comparison. Exit 0, 1 with --fail if a figure got worse, 2 if refused."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare", description="Compare two result files."
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--force", action="store_true", help="compare different CPUs or tiers")
    parser.add_argument("--fail", action="store_true", help="exit 1 if a figure got worse")
    parser.add_argument("--only", metavar="TEXT", help="only figures whose name contains TEXT")
    options = parser.parse_args(arguments)
    old, new = load(options.old), load(options.new)
    try:
        reasons = check(old, new)
        if reasons and not options.force:
            raise Incomparable("; ".join(reasons) + " (--force compares anyway)")
        first, second = figures(old), figures(new)
    except Incomparable as error:
        print(f"refused: {error}")
        return 2
    for reason in reasons:
        print(f"warning: {reason}")
    if options.only:
        first = {name: value for name, value in first.items() if options.only in name}
        second = {name: value for name, value in second.items() if options.only in name}
    lines, worse = table(first, second)
    print("\n".join(lines))
    return 1 if worse and options.fail else 0


if __name__ == "__main__":
    raise SystemExit(main())
