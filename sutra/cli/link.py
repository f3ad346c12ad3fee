"""Link a concept to another, or set the weight of a link that is there.

Both must be in the store. A link has a direction and a kind; from one concept to another there is
at most one of a kind.
"""

import argparse

from sutra.cli.output import Output, shortened
from sutra.cli.stores import add_id_options, add_store, open_store, parse_id


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    add_store(parser)
    parser.add_argument("src", metavar="SRC", help="where from")
    parser.add_argument("dst", metavar="DST", help="where to")
    parser.add_argument("--kind", default="semantic", help="default: semantic")
    parser.add_argument("--weight", type=float, default=1.0, metavar="X", help="default: 1")
    parser.add_argument("--confidence", type=float, default=1.0, metavar="X", help="default: 1")
    add_id_options(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Link."""
    src, dst = parse_id(args.src, args), parse_id(args.dst, args)
    with open_store(args.store, "a") as store:
        done = store.link(src, dst, kind=args.kind, weight=args.weight, confidence=args.confidence)
    out.line(f"{shortened(src)} -{shortened(args.kind, 20)}-> {shortened(dst)}")
    out.document({"source": src, "target": dst, "kind": args.kind, "lsn": done.lsn})
    return 0
