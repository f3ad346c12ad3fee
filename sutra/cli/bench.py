"""Measure recall and queries per second for a range of ef.

Given a file of vectors (.npy, .npz, .fvecs, .bvecs), an index of them is built in memory; given
an index file, that is measured. Without --queries, the first 1,000 rows (at most a tenth) of a
file of vectors are held out as queries; of an index, up to 1,000 of its own vectors are taken,
and each one's own id does not count. The truth is an exact scan of the same vectors; searches
run on one thread unless --search-threads says otherwise.
"""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sutra.cli.inputs import add_index_arguments, positive_int, read_vectors
from sutra.cli.output import (
    Failure,
    Output,
    ProgressBar,
    format_count,
    format_seconds,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sutra import Index

DEFAULT_EFS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
VECTOR_SUFFIXES = (".npy", ".npz", ".fvecs", ".bvecs")
QUERIES_MAX = 1000
ROUNDS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("source", metavar="INDEX|INPUT", help="an index file or a file of vectors")
    parser.add_argument("--queries", metavar="FILE", help="a file of vectors to search for")
    parser.add_argument("-k", type=positive_int, default=10, help="default: 10")
    parser.add_argument(
        "--ef",
        type=positive_int,
        nargs="+",
        metavar="N",
        help=f"values to measure; default: {' '.join(map(str, DEFAULT_EFS))}",
    )
    parser.add_argument(
        "--search-threads", type=positive_int, default=1, metavar="N", help="default: 1"
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="also draw the curve, .png or .svg (needs sutra-storage[plot])",
    )
    add_index_arguments(parser)


class Task(NamedTuple):
    """What is measured."""

    target: "Index"
    queries: "npt.NDArray[np.float32]"
    own_ids: "npt.NDArray[np.int64] | None"  # of queries that are vectors of the index
    build_seconds: float | None


def run(args: argparse.Namespace, out: Output) -> int:
    """Measure and print the table, and draw the curve if asked to."""
    if args.plot is not None:
        require_plot(args.plot)
    task = prepare(args)
    with task.target as index:
        stats = dict(index.stats())
        out.heading(
            f"{args.source}: {format_count(len(index))} vectors, "
            f"{format_count(len(task.queries))} queries, k = {args.k}"
        )
        if task.build_seconds is not None:
            out.line(f"  built in {format_seconds(task.build_seconds)}")
        points = measure(task, args)

    out.table(
        ("ef", f"recall@{args.k}", "queries/s", "time a query"),
        [
            (
                point["ef"],
                f"{point['recall']:.4f}",
                format_count(point["queries_per_second"]),
                format_seconds(1 / point["queries_per_second"]),
            )
            for point in points
        ],
    )
    document: dict[str, Any] = {
        "source": args.source,
        "k": args.k,
        "queries": len(task.queries),
        "search_threads": args.search_threads,
        "build_seconds": task.build_seconds,
        "points": points,
        "stats": stats,
    }
    if args.plot is not None:
        draw(points, args.k, Path(args.source).name, args.plot)
        document["plot"] = args.plot
        out.line(f"  curve drawn to {args.plot}")
    out.document(document)
    return 0


def prepare(args: argparse.Namespace) -> Task:
    """Open or build the index, and read or choose the queries."""
    import numpy as np

    from sutra import Index

    queries = own_ids = build_seconds = None
    if args.queries is not None:
        queries = read_vectors(args.queries, args.key)
    if Path(args.source).suffix.lower() in VECTOR_SUFFIXES:
        base = read_vectors(args.source, args.key)
        if queries is None:
            held_out = min(QUERIES_MAX, len(base) // 10)
            if held_out < 1:
                raise Failure(f"{args.source}: {len(base)} rows are too few to hold out queries")
            queries, base = base[:held_out], base[held_out:]
        index = Index(
            base.shape[1],
            metric=args.metric,
            m=args.m,
            ef_construction=args.ef_construction,
            quantization=args.quantization,
            keep_originals=not args.no_originals,
        )
        started = time.perf_counter()
        with ProgressBar("building") as progress:
            index.add(base, threads=args.threads, progress=progress)
        build_seconds = time.perf_counter() - started
    else:
        index = Index.open(args.source)
        if queries is None:
            ids = index.ids()
            if len(ids) == 0:
                raise Failure(f"{args.source}: the index is empty")
            own_ids = ids[:: max(1, len(ids) // QUERIES_MAX)][:QUERIES_MAX]
            queries = np.stack([index.get(number) for number in own_ids.tolist()])
    return Task(index, np.ascontiguousarray(queries, np.float32), own_ids, build_seconds)


def measure(task: Task, args: argparse.Namespace) -> list[dict[str, float]]:
    """Return one point a value of ef: the best of three timed rounds, and its recall."""
    k = args.k if task.own_ids is None else args.k + 1
    truth = task.target.search(task.queries, k, exact=True).ids
    efs = args.ef or [ef for ef in DEFAULT_EFS if ef >= args.k] or [args.k]
    points = []
    with ProgressBar("measuring") as progress:
        for step, ef in enumerate(efs):
            progress(step, len(efs))
            best = float("inf")
            for _ in range(ROUNDS):
                started = time.perf_counter()
                found = task.target.search(task.queries, k, ef=ef, threads=args.search_threads).ids
                best = min(best, time.perf_counter() - started)
            points.append(
                {
                    "ef": ef,
                    "recall": recall(found, truth, task.own_ids),
                    "queries_per_second": len(task.queries) / best,
                }
            )
    return points


def recall(
    found: "npt.NDArray[np.int64]",
    truth: "npt.NDArray[np.int64]",
    own_ids: "npt.NDArray[np.int64] | None" = None,
) -> float:
    """Return the share of the true neighbours that were found.

    Parameters
    ----------
    found, truth : (queries, k) array of int64
        Ids; -1 pads rows that are short.
    own_ids : (queries,) array of int64, optional
        For each query an id that counts for nothing.
    """
    hits = possible = 0
    for row, (near, true) in enumerate(zip(found.tolist(), truth.tolist(), strict=True)):
        ignored = {-1} if own_ids is None else {-1, int(own_ids[row])}
        wanted = set(true) - ignored
        hits += len(wanted & set(near))
        possible += len(wanted)
    return hits / max(1, possible)


def require_plot(target: str) -> None:
    """Fail now rather than after the measurement."""
    if Path(target).suffix.lower() not in (".png", ".svg"):
        raise Failure(f"--plot: expected a name ending in .png or .svg, got {target}", code=2)
    if not Path(target).absolute().parent.is_dir():
        raise Failure(f"{Path(target).parent}: no such directory")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise Failure("--plot needs matplotlib: pip install 'sutra-storage[plot]'") from None


def draw(points: list[dict[str, float]], k: int, title: str, target: str) -> None:
    """Draw queries per second over recall."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(
        [point["recall"] for point in points],
        [point["queries_per_second"] for point in points],
        marker="o",
    )
    for point in points:
        axes.annotate(
            f"{point['ef']}",
            (point["recall"], point["queries_per_second"]),
            textcoords="offset points",
            xytext=(5, 4),
            fontsize=8,
        )
    axes.set_yscale("log")
    axes.set_xlabel(f"recall@{k} against an exact scan")
    axes.set_ylabel("queries per second")
    axes.set_title(f"{title} (labels: ef)")
    axes.grid(visible=True, which="both", alpha=0.3)
    figure.savefig(target, dpi=150)
