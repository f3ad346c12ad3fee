"""From raw bursts to figures: recall/QPS frontiers, QPS at given recalls, ratios, tables, plots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

RECALLS = (0.90, 0.95, 0.98, 0.99)
REFERENCE = "hnswlib"
EQUAL_EF = (64, 128)

Point = tuple[float, float]
"""(recall, queries per second)"""


def frontier(points: Sequence[Point]) -> list[Point]:
    """Points no other point beats in both recall and QPS, by rising recall."""
    kept: list[Point] = []
    for recall, qps in sorted(points, key=lambda point: (-point[0], -point[1])):
        if not kept or qps > kept[-1][1]:
            kept.append((recall, qps))
    return kept[::-1]


def qps_at(points: Sequence[Point], recall: float) -> float | None:
    """QPS at a recall: linear in log(QPS) between neighbours, by rising recall.

    A point slower than one with more recall counts as that one's QPS: noise must not let a curve
    rise. Below the lowest recall it is that point's QPS (a lower bound); above the highest recall
    there is none.
    """
    curve: list[Point] = []
    for height, qps in sorted(points, reverse=True):
        curve.append((height, max(qps, curve[-1][1] if curve else 0.0)))
    curve.reverse()
    if not curve or curve[-1][0] < recall:
        return None
    for (low, fast), (high, slow) in pairwise(curve):
        if low <= recall <= high and low < high:
            share = (recall - low) / (high - low)
            return math.exp((1 - share) * math.log(fast) + share * math.log(slow))
    return curve[0][1]


def summarize(libraries: dict[str, dict[str, Any]]) -> None:
    """Add `at_recall` to every library of one set, in place.

    The knobs on the frontier of best bursts give all figures. Per recall: QPS from the best and
    from the median burst of each, QPS of each round by itself, and the ratio to the reference:
    best to best, and the median, lowest and highest of the ratios within one round (both
    libraries measured within seconds of each other).
    """
    for result in libraries.values():
        timed = [knob for knob in result.get("knobs", []) if knob["qps"]]
        for knob in timed:
            knob["best"], knob["median"] = max(knob["qps"]), median(knob["qps"])
        kept = set(frontier([(knob["recall"], knob["best"]) for knob in timed]))
        knobs = [knob for knob in timed if (knob["recall"], knob["best"]) in kept]
        rounds = min((len(knob["qps"]) for knob in knobs), default=0)
        result["at_recall"] = {}
        for recall in RECALLS:
            best = qps_at([(knob["recall"], knob["best"]) for knob in knobs], recall)
            middle = qps_at([(knob["recall"], knob["median"]) for knob in knobs], recall)
            if best is None or middle is None:
                continue
            each = [
                qps_at([(knob["recall"], knob["qps"][number]) for knob in knobs], recall)
                for number in range(rounds)
            ]
            result["at_recall"][f"{recall:.2f}"] = {"best": best, "median": middle, "rounds": each}
    reference = libraries.get(REFERENCE, {}).get("at_recall", {})
    for result in libraries.values():
        for recall_name, entry in result["at_recall"].items():
            other = reference.get(recall_name)
            if other is None:
                continue
            pairs = [
                mine / theirs
                for mine, theirs in zip(entry["rounds"], other["rounds"], strict=False)
                if mine and theirs
            ]
            entry["ratio"] = {"best": entry["best"] / other["best"]}
            if pairs:
                entry["ratio"] |= {
                    "median": median(pairs),
                    "low": min(pairs),
                    "high": max(pairs),
                }


def resident(result: Mapping[str, Any], which: str, rows: int) -> dict[str, float | None]:
    """Resident bytes per vector of one library after queries: `hot`, and `originals` beside.

    `which` is "built" (the process that built the index) or "opened" (one that opened the file).
    Hot is anonymous memory over the empty process plus resident pages of mapped index files,
    less originals where the library tells how much of it they are.
    """
    memory = result.get("memory", {}).get(which)
    if not memory or memory.get("anonymous") is None:
        return {"hot": None, "originals": None}
    total = memory["anonymous"] + sum(memory.get("mapped", {}).values())
    originals = originals_resident(memory.get("reported", {}))
    return {
        "hot": (total - (originals or 0)) / rows,
        "originals": None if originals is None else originals / rows,
    }


def originals_resident(reported: Mapping[str, Any]) -> int | None:
    """Resident bytes of float32 originals by the library's own account, if it gives one.

    Nothing where the graph is walked on the originals themselves: they are hot then.
    """
    if reported.get("quantization") == "none":
        return None
    resident_bytes = reported.get("resident_bytes")
    if not isinstance(resident_bytes, Mapping) or "originals" not in resident_bytes:
        return None
    return int(resident_bytes["originals"])


def tables(results: Mapping[str, Any]) -> str:
    """All sets of a result file as text."""
    parts: list[str] = []
    for name, entry in results["sets"].items():
        about = entry["about"]
        parts.append(
            f"\n{name}: {about['metric']}, {about['dim']} dims, {about['rows']:,} rows, "
            f"intrinsic dimension {about['intrinsic_dim']}"
        )
        parts.append(_speed_table(entry["libraries"]))
        parts.append(_cost_table(entry["libraries"], about["rows"]))
    return "\n".join(parts)


def _speed_table(libraries: Mapping[str, Any]) -> str:
    header = f"{'QPS, one thread':<16}"
    for recall in RECALLS:
        header += f"{f'@{recall:.2f}':>10}{'median':>9}{'ratio':>7}{'rounds':>12}"
    lines = [header + f"{'top recall':>12}"]
    for name, result in libraries.items():
        line = f"{name:<16}"
        for recall in RECALLS:
            entry = result.get("at_recall", {}).get(f"{recall:.2f}")
            if entry is None:
                line += f"{'-':>10}{'':>28}"
                continue
            line += f"{entry['best']:>10,.0f}{entry['median']:>9,.0f}"
            ratio = entry.get("ratio", {})
            line += f"{ratio['best']:>6.2f}x" if "best" in ratio else f"{'':>7}"
            low, high = ratio.get("low"), ratio.get("high")
            line += f"{f'{low:.2f}-{high:.2f}' if low else '':>12}"
        top = max((knob["recall"] for knob in result.get("knobs", [])), default=None)
        line += f"{'' if top is None else f'{top:.4f}':>12}"
        if result.get("error"):
            line += f"  ({result['error']})"
        lines.append(line)
    return "\n".join(lines)


def _cost_table(libraries: Mapping[str, Any], rows: int) -> str:
    header = f"{'build, memory':<16}{'build s':>9}{'median':>8}{'ratio':>7}"
    header += "".join(f"{f'recall@ef{ef}':>14}" for ef in EQUAL_EF)
    header += f"{'bytes/vec':>11}{'opened':>9}{'ratio':>7}{'originals':>11}"
    header += f"{'file':>8}{'open ms':>9}"
    lines = [header]
    base = libraries.get(REFERENCE, {})
    base_build = base.get("build", {}).get("best")
    base_hot = resident(base, "built", rows)["hot"]
    for name, result in libraries.items():
        build = result.get("build", {})
        line = f"{name:<16}"
        if "best" not in build:
            lines.append(line + f"{'-':>9}")
            continue
        line += f"{build['best']:>9.2f}{median(build['seconds']):>8.2f}"
        line += f"{build['best'] / base_build:>6.2f}x" if base_build else f"{'':>7}"
        for ef in EQUAL_EF:
            found = [knob["recall"] for knob in result.get("knobs", []) if knob["knob"] == ef]
            line += f"{f'{found[0]:.4f}' if found else '':>14}"
        built, opened = resident(result, "built", rows), resident(result, "opened", rows)
        line += _number(built["hot"], 11) + _number(opened["hot"], 9)
        hot = opened["hot"] if name.startswith("sutra") and opened["hot"] else built["hot"]
        line += f"{hot / base_hot:>6.2f}x" if hot and base_hot else f"{'':>7}"
        originals = opened["originals"] if opened["originals"] is not None else built["originals"]
        line += _number(originals, 11)
        size = result.get("file_bytes")
        line += _number(None if size is None else size / rows, 8)
        seconds = result.get("open_seconds")
        line += f"{'' if seconds is None else f'{1000 * seconds:.1f}':>9}"
        lines.append(line)
    return "\n".join(lines)


def _number(value: float | None, width: int) -> str:
    return f"{'' if value is None else f'{value:,.0f}':>{width}}"


def draw(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """One recall/QPS picture per set, as PNG and SVG; nothing where matplotlib is missing."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
        from matplotlib.ticker import FuncFormatter
    except ImportError:
        print("no plots: matplotlib is not installed")
        return []
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    colours = pyplot.get_cmap("tab20")
    for name, entry in results["sets"].items():
        about = entry["about"]
        figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
        lowest = 0.85
        for number, (library, result) in enumerate(entry["libraries"].items()):
            curve = frontier(
                [(knob["recall"], knob["best"]) for knob in result["knobs"] if "best" in knob]
            )
            curve = [point for point in curve if point[0] >= lowest]
            if not curve:
                continue
            ours = library.startswith("sutra")
            axes.plot(
                [recall for recall, _ in curve],
                [qps for _, qps in curve],
                marker="o",
                markersize=4 if ours else 3,
                linewidth=2.2 if ours else 1.1,
                color=colours(number % 20),
                label=library,
            )
        axes.set_yscale("log")
        axes.set_xlim(lowest, 1.002)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("recall@10")
        axes.set_ylabel("queries per second, one thread, one query a call")
        axes.set_title(f"{name} ({about['metric']}, {about['dim']} dims, {about['rows']:,} rows)")
        axes.grid(visible=True, which="both", alpha=0.25)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, ncols=2)
        for suffix in ("png", "svg"):
            file = folder / f"{name.replace(':', '-')}.{suffix}"
            figure.savefig(file, dpi=150)
            written.append(file)
        pyplot.close(figure)
    return written
