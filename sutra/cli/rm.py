"""Remove concepts from a store, and the links from and to them.

An id that is not there is no error: it is gone, as asked.
"""

import argparse

from sutra.cli.output import Output, format_count
from sutra.cli.stores import add_id_options, add_store, open_store, parse_id


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    add_store(parser)
    parser.add_argument("ids", nargs="+", metavar="ID", help="what to remove")
    add_id_options(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Remove, and say how many there were."""
    with open_store(args.store, "a") as store:
        removed = store.delete([parse_id(text, args) for text in args.ids])
        left = len(store)
    out.line(f"removed {format_count(removed)} of {format_count(len(args.ids))}")
    out.document({"removed": removed, "count": left})
    return 0
