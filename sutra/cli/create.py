"""Make a store: a directory for concepts with vectors, contents and links.

The settings are those of the store for good; the length of the vectors may be left to the first
one. Nothing is made where there is something.
"""

import argparse

from sutra.cli.inputs import add_settings, positive_int
from sutra.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("store", metavar="DIR", help="the directory to make")
    parser.add_argument(
        "--dim", type=positive_int, metavar="N", help="length of vectors; default: the first one's"
    )
    add_settings(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Make an empty store."""
    import sutra

    with sutra.open(
        args.store,
        mode="x",
        dim=args.dim,
        metric=args.metric,
        m=args.m,
        ef_construction=args.ef_construction,
        quantization=args.quantization,
        keep_originals=not args.no_originals,
    ) as store:
        stats = store.stats()
    dim = "any dimension" if args.dim is None else f"dimension {args.dim}"
    out.line(f"{out.style(args.store, 'bold')}: an empty store, {args.metric}, {dim}")
    out.document({"store": args.store, "stats": stats})
    return 0
