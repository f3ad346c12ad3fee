"""Check a store or an index file: its sizes and its structure.

`--deep` reads everything: the checksum of every section, and every stored number. Damage ends
the command with exit code 4 and a line saying where it is.
"""

import argparse
from typing import Any

from sutra.cli.output import Output, format_count, format_seconds
from sutra.cli.stores import is_store, open_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("source", metavar="DIR|INDEX", help="a store or an index file")
    parser.add_argument("--deep", action="store_true", help="read and check everything")


def run(args: argparse.Namespace, out: Output) -> int:
    """Verify; damage is exit code 4."""
    from sutra import Index
    from sutra.errors import CorruptError

    report: dict[str, Any]
    try:
        if is_store(args.source):
            with open_store(args.source, resident="mapped") as store:
                report = dict(store.verify(deep=args.deep))
            checked = f"{format_count(report['concepts'])} concepts"
        else:
            with Index.open(args.source, resident="mapped") as index:
                report = dict(index.verify(deep=args.deep))
            checked = f"{format_count(report['vectors'])} vectors"
    except CorruptError:
        out.line(f"{args.source}: {out.style('damaged', 'bold', 'red')}")
        raise
    out.line(
        f"{args.source}: {out.style('sound', 'bold', 'green')} "
        f"({checked} in {format_seconds(report['seconds'])})"
    )
    out.document({"sound": True, **report})
    return 0
