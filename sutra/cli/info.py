"""Show what an index file holds.

The file is opened mapped: nothing of the vectors is read.
"""

import argparse
import time
from pathlib import Path

from sutra.cli.output import Output, format_bytes, format_seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("index", metavar="INDEX", help="an index file")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the statistics of an index."""
    from sutra import Index

    started = time.perf_counter()
    with Index.open(args.index, resident="mapped") as index:
        open_seconds = time.perf_counter() - started
        stats = dict(index.stats())
    file_bytes = Path(args.index).stat().st_size

    out.heading(args.index)
    out.pairs(
        {
            "file": f"{format_bytes(file_bytes)}, opened in {format_seconds(open_seconds)}",
            **stats,
        }
    )
    out.document({"file_bytes": file_bytes, "open_seconds": open_seconds, **stats})
    return 0
