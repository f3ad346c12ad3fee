"""Copy a store to a directory, as it is now.

Files that never change are linked where the file system can, so a snapshot beside the store takes
little room, and a second one into the same directory costs what has changed. It is a store like
any other. A program that has the store open for writing makes snapshots itself, with
`Store.snapshot`; this command needs the lock (exit code 3 if it is taken).
"""

import argparse
import time

from sutra.cli.output import Output, format_count, format_seconds
from sutra.cli.stores import add_store, directory_bytes, open_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    add_store(parser)
    parser.add_argument("target", metavar="TARGET", help="the directory of the snapshot")


def run(args: argparse.Namespace, out: Output) -> int:
    """Make a snapshot."""
    with open_store(args.store, "a") as store:
        started = time.perf_counter()
        store.snapshot(args.target)
        seconds = time.perf_counter() - started
        count = len(store)
    out.line(
        f"{out.style(args.target, 'bold')}: {format_count(count)} concepts "
        f"in {format_seconds(seconds)}"
    )
    out.document(
        {
            "target": args.target,
            "concepts": count,
            "seconds": seconds,
            "file_bytes": directory_bytes(args.target),
        }
    )
    return 0
