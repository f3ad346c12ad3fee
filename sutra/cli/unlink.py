"""Remove a link between two concepts.

A link that is not there is no error.
"""

import argparse

from sutra.cli.output import Output, format_count
from sutra.cli.stores import add_id_options, add_store, open_store, parse_id


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    add_store(parser)
    parser.add_argument("src", metavar="SRC", help="where from")
    parser.add_argument("dst", metavar="DST", help="where to")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--kind", default="semantic", help="default: semantic")
    kinds.add_argument("--all-kinds", action="store_true", help="links of every kind")
    add_id_options(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Unlink, and say how many links there were."""
    src, dst = parse_id(args.src, args), parse_id(args.dst, args)
    with open_store(args.store, "a") as store:
        done = store.unlink(src, dst, kind=None if args.all_kinds else args.kind)
    noun = "link" if done.count == 1 else "links"
    out.line(f"removed {format_count(done.count)} {noun}")
    out.document({"source": src, "target": dst, "removed": done.count, "lsn": done.lsn})
    return 0
