"""Remove concepts from a store, and the links from and to them.

By id: one that is not there is no error, it is gone, as asked. By --where, as of `sutra search`:
all whose metadata meets the condition at that moment. Without --yes it is only counted how many
that are.
"""

import argparse

from sutra.cli.output import Output, format_count
from sutra.cli.stores import add_id_options, add_store, add_where, open_store, parse_id


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    add_store(parser)
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("ids", nargs="*", default=[], metavar="ID", help="what to remove")
    add_where(chosen, "remove concepts")
    parser.add_argument("--yes", action="store_true", help="with --where: do remove them")
    add_id_options(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Remove, and say how many there were."""
    if args.where is None:
        with open_store(args.store, "a") as store:
            removed = store.delete([parse_id(text, args) for text in args.ids])
            left = len(store)
        out.line(f"removed {format_count(removed)} of {format_count(len(args.ids))}")
    elif args.yes:
        with open_store(args.store, "a") as store:
            removed = store.delete(where=args.where)
            left = len(store)
        out.line(f"removed {format_count(removed)}")
    else:
        with open_store(args.store) as store:
            matching, left = store.count(args.where), len(store)
        out.line(f"{format_count(matching)} of {format_count(left)} would go; --yes removes them")
        out.document({"matching": matching, "removed": 0, "count": left})
        return 0
    out.document({"removed": removed, "count": left})
    return 0
