"""Show the links of a concept, heaviest first."""

import argparse

from sutra.cli.output import Output, shortened
from sutra.cli.stores import add_id_options, add_store, link_document, open_store, parse_id


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    add_store(parser)
    parser.add_argument("id", metavar="ID", help="whose links")
    parser.add_argument("--kind", help="only of this kind")
    parser.add_argument(
        "--direction", choices=("out", "in", "both"), default="out", help="default: out"
    )
    add_id_options(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Print links."""
    id = parse_id(args.id, args)
    with open_store(args.store) as store:
        found = [link_document(link) for link in store.links(id, args.kind, args.direction)]
    out.table(
        ("source", "kind", "target", "weight", "confidence"),
        [
            (
                shortened(link["source"], 40),
                shortened(link["kind"], 20),
                shortened(link["target"], 40),
                link["weight"],
                link["confidence"],
            )
            for link in found
        ],
    )
    out.document({"id": id, "direction": args.direction, "links": found})
    return 0
