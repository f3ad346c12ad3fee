"""Check an index file: its sizes and the structure of its graph.

`--deep` reads everything: the checksum of every section, and every stored number. Damage ends
the command with exit code 3 and a line saying where it is.
"""

import argparse

from sutra.cli.output import Output, format_count, format_seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("index", metavar="INDEX", help="an index file")
    parser.add_argument("--deep", action="store_true", help="read and check everything")


def run(args: argparse.Namespace, out: Output) -> int:
    """Verify an index; damage is exit code 3."""
    from sutra import Index
    from sutra.errors import CorruptError

    try:
        with Index.open(args.index, resident="mapped") as index:
            report = dict(index.verify(deep=args.deep))
    except CorruptError as error:
        out.line(f"{args.index}: {out.style('damaged', 'bold', 'red')}")
        out.error(str(error), type(error).__name__)
        return 3
    out.line(
        f"{args.index}: {out.style('sound', 'bold', 'green')} "
        f"({format_count(report['vectors'])} vectors in {format_seconds(report['seconds'])})"
    )
    out.document({"sound": True, **report})
    return 0
