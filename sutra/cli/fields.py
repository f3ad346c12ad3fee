"""Show the declared fields of a store's metadata, or declare some.

What is declared can be asked for fast: `sutra search --where`. Its values must be of one type (or
null, or missing): int, float, bool, str or datetime (text, as 2024-05-31T12:00:00Z). If there are
others already, nothing is declared, and one of them is named.
"""

import argparse

from sutra.cli.output import Output, shortened
from sutra.cli.stores import add_store, open_store

TYPES = ("int", "float", "bool", "str", "datetime")


def declaration(text: str) -> tuple[str, str]:
    """Parse PATH=TYPE."""
    path, equals, type = text.rpartition("=")
    if not equals or type not in TYPES:
        raise argparse.ArgumentTypeError(f"expected PATH=TYPE, a type of {', '.join(TYPES)}")
    return path, type


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    add_store(parser)
    parser.add_argument(
        "--add",
        action="append",
        default=[],
        type=declaration,
        metavar="PATH=TYPE",
        help="declare a field, as year=int or author.name=str; may be repeated",
    )
    parser.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="PATH",
        help="take a declaration back; may be repeated",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Declare, and print what is declared."""
    with open_store(args.store, "a" if args.add or args.drop else "r") as store:
        for path in args.drop:
            store.drop_field(path)
        for path, type in args.add:
            store.index_field(path, type)
        fields = store.fields()
    out.table(("field", "type"), [(shortened(path), type) for path, type in fields.items()])
    out.document({"fields": fields})
    return 0
