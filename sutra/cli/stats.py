"""Show all numbers of a store or an index file.

Sizes are in bytes; with --json nothing is rounded. Of a store, also what its health says.
"""

import argparse
from typing import Any

from sutra.cli.output import Output
from sutra.cli.stores import is_store, open_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("source", metavar="DIR|INDEX", help="a store or an index file")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print every number."""
    from sutra import Index

    document: dict[str, Any]
    if is_store(args.source):
        with open_store(args.source, resident="mapped") as store:
            document = {**store.stats(), "health": store.health()}
    else:
        with Index.open(args.source, resident="mapped") as index:
            document = dict(index.stats())
    out.heading(args.source)
    out.pairs(document)
    out.document(document)
    return 0
