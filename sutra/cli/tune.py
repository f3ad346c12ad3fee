"""Find the ef that reaches a recall, and have searches of a store or an index file use it.

Recall is measured against exact search. Without --queries, stored vectors are searched for, each
as if it were not there; they are easier than new ones, so give queries that are really asked if
there are any. --measure only tells how searches do now, and --dry-run what would be chosen.

A store keeps an ef for every recall and k it was tuned to, for `sutra search --recall`. An index
file keeps the last one, and is written anew as a whole. Exit code 1 says that no ef reaches it.
"""

import argparse
from typing import TYPE_CHECKING, Any

from sutra.cli.inputs import natural_int, positive_int, read_vectors, share
from sutra.cli.output import Output, format_count, format_seconds
from sutra.cli.stores import is_store, open_store

if TYPE_CHECKING:
    from sutra import Index, Recall, Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("source", metavar="DIR|INDEX", help="a store or an index file")
    parser.add_argument(
        "--recall", type=share, default=0.95, help="what is to be reached; default: 0.95"
    )
    parser.add_argument("-k", type=positive_int, default=10, help="default: 10")
    parser.add_argument("--queries", metavar="FILE", help="a file of vectors to search for")
    parser.add_argument("--key", metavar="NAME", help="array to take from an npz file")
    parser.add_argument(
        "--sample",
        type=positive_int,
        default=1000,
        metavar="N",
        help="stored vectors to search for; default: 1000",
    )
    parser.add_argument("--seed", type=natural_int, default=0, help="which; default: 0")
    parser.add_argument(
        "--threads",
        type=natural_int,
        default=0,
        metavar="N",
        help="default: all cores this process may use",
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--dry-run", action="store_true", help="change nothing")
    only.add_argument("--measure", action="store_true", help="measure, and tune nothing")


def run(args: argparse.Namespace, out: Output) -> int:
    """Tune, and print what was found."""
    from sutra import Index

    keep = not (args.dry_run or args.measure)
    if is_store(args.source):
        with open_store(args.source, "a" if keep else "r") as store:
            return tune(args, out, store, keep)
    with Index.open(args.source) as index:
        code = tune(args, out, index, keep)
        if keep:
            index.save(args.source)
        return code


def tune(args: argparse.Namespace, out: Output, target: "Index | Store", keep: bool) -> int:
    """Tune what is open, or measure it."""
    asked: dict[str, Any] = {
        "k": args.k,
        "queries": None if args.queries is None else read_vectors(args.queries, args.key),
        "sample": args.sample,
        "seed": args.seed,
        "threads": args.threads,
    }
    if args.measure:
        measured = target.measure_recall(**asked)
        show(args, out, measured)
        out.document(document(measured))
        return 0
    tuned = target.tune(args.recall, keep=keep, **asked)
    show(args, out, tuned.measured)
    if not tuned.reached:
        out.line(
            f"  no ef reaches {args.recall:g}; ef={tuned.ef} finds most. "
            "`sutra search --exact` finds everything"
        )
    out.document(
        {
            "asked": {"recall": tuned.recall, "k": tuned.k},
            "ef": tuned.ef,
            "reached": tuned.reached,
            "kept": keep,
            "measured": document(tuned.measured),
        }
    )
    return 0 if tuned.reached else 1


def document(measured: "Recall") -> dict[str, Any]:
    """Return a measurement as a JSON object."""
    return {
        "recall": measured.recall,
        "low": measured.low,
        "high": measured.high,
        "k": measured.k,
        "ef": measured.ef,
        "queries": measured.queries,
        "seconds": measured.seconds,
    }


def show(args: argparse.Namespace, out: Output, measured: "Recall") -> None:
    """Print a measurement."""
    out.heading(
        f"{args.source}: {format_count(measured.queries)} "
        f"{'queries' if args.queries else 'stored vectors'}"
    )
    out.table(
        ("ef", f"recall@{measured.k}", "95 % interval", "time a query"),
        [
            (
                measured.ef,
                f"{measured.recall:.4f}",
                f"{measured.low:.4f} to {measured.high:.4f}",
                format_seconds(measured.seconds / measured.queries),
            )
        ],
    )
