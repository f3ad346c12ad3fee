"""Build an index from a file of vectors.

INPUT is a .npy, .npz, .fvecs or .bvecs file. Rows get the ids 0, 1, 2, ... unless --ids names
a file: .npy with integers, or text with one id a line.
"""

import argparse
import time
from pathlib import Path

from sutra.cli.inputs import add_index_arguments, read_ids, read_vectors
from sutra.cli.output import (
    Failure,
    Output,
    ProgressBar,
    format_bytes,
    format_count,
    format_seconds,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("input", metavar="INPUT", help="a file of vectors")
    parser.add_argument("output", metavar="OUTPUT", help="the index file to write")
    add_index_arguments(parser)
    parser.add_argument("--ids", metavar="FILE", help="ids of the rows")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--force", action="store_true", help="replace OUTPUT if it exists")


def run(args: argparse.Namespace, out: Output) -> int:
    """Build and save an index."""
    target = Path(args.output)
    if target.exists() and not args.force:
        raise Failure(f"{target}: the file exists; --force replaces it")
    if not target.absolute().parent.is_dir():
        raise Failure(f"{target.parent}: no such directory")
    vectors = read_vectors(args.input, args.key)
    ids = None if args.ids is None else read_ids(args.ids)

    from sutra import Index

    with Index(
        vectors.shape[1],
        metric=args.metric,
        m=args.m,
        ef_construction=args.ef_construction,
        quantization=args.quantization,
        keep_originals=not args.no_originals,
        seed=args.seed,
    ) as index:
        started = time.perf_counter()
        with ProgressBar("building") as progress:
            index.add(vectors, ids, threads=args.threads, progress=progress)
        build_seconds = time.perf_counter() - started
        started = time.perf_counter()
        index.save(target)
        save_seconds = time.perf_counter() - started
        count = len(index)
        stats = dict(index.stats())

    file_bytes = target.stat().st_size
    out.line(
        f"{out.style(str(target), 'bold')}: {format_count(count)} vectors of dimension "
        f"{vectors.shape[1]}, {format_bytes(file_bytes)}"
    )
    out.line(
        f"built in {format_seconds(build_seconds)} "
        f"({format_count(count / max(build_seconds, 1e-9))} vectors/s), "
        f"saved in {format_seconds(save_seconds)}"
    )
    out.document(
        {
            "output": str(target),
            "count": count,
            "dim": vectors.shape[1],
            "file_bytes": file_bytes,
            "build_seconds": build_seconds,
            "save_seconds": save_seconds,
            "stats": stats,
        }
    )
    return 0
