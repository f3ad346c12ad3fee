"""Rewrite a store to what is visible: deleted and replaced concepts give up their space.

Takes as long as building the graph anew, and needs room for the new files beside the old. Reading
goes on meanwhile.
"""

import argparse
import time

from sutra.cli.inputs import natural_int
from sutra.cli.output import Output, format_bytes, format_seconds
from sutra.cli.stores import add_store, directory_bytes, open_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    add_store(parser)
    parser.add_argument(
        "--threads",
        type=natural_int,
        default=0,
        metavar="N",
        help="default: all cores this process may use",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Compact."""
    import sutra

    threads = args.threads or sutra.platform()["cores"]
    with open_store(args.store, "a", threads=threads) as store:
        before = directory_bytes(args.store)
        started = time.perf_counter()
        store.compact()
        seconds = time.perf_counter() - started
    after = directory_bytes(args.store)
    out.line(
        f"{out.style(args.store, 'bold')}: {format_bytes(before)} before, {format_bytes(after)} "
        f"after, in {format_seconds(seconds)}"
    )
    out.document({"bytes_before": before, "bytes_after": after, "seconds": seconds})
    return 0
