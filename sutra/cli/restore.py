"""Copy a snapshot, or a store that nobody writes to, to a new directory.

Everything is checked on the way: damage ends the command with exit code 4, and nothing is left.
The copy shares no file with the source.
"""

import argparse
import time

from sutra.cli.output import Output, format_bytes, format_seconds
from sutra.cli.stores import directory_bytes, require_directory, require_nothing, require_unlocked


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("source", metavar="SRC", help="a snapshot or a store")
    parser.add_argument("target", metavar="DST", help="the directory to make")


def run(args: argparse.Namespace, out: Output) -> int:
    """Restore."""
    import sutra

    require_directory(args.source)
    require_nothing(args.target)
    require_unlocked(args.source)
    started = time.perf_counter()
    sutra.restore(args.source, args.target)
    seconds = time.perf_counter() - started
    size = directory_bytes(args.target)
    out.line(
        f"{out.style(args.target, 'bold')}: {format_bytes(size)} copied and checked "
        f"in {format_seconds(seconds)}"
    )
    out.document({"target": args.target, "file_bytes": size, "seconds": seconds})
    return 0
