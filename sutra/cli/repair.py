"""Save what can be saved of a damaged store, in a new directory.

The damaged store is not changed, and nobody may be writing to it. What is known to be lost is
told. A snapshot, if there is one, is better: it is checked as a whole.
"""

import argparse
import time
from typing import Any

from sutra.cli.output import Output, format_count, format_seconds
from sutra.cli.stores import require_directory, require_nothing, require_unlocked

LOSSES = (
    "lost_concepts",
    "lost_settings",
    "lost_fields",
    "damaged_blocks",
    "log_cut",
    "older_manifest",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("source", metavar="SRC", help="the damaged store")
    parser.add_argument("target", metavar="DST", help="the directory to make")


def run(args: argparse.Namespace, out: Output) -> int:
    """Repair."""
    import sutra

    require_directory(args.source)
    require_nothing(args.target)
    require_unlocked(args.source)
    started = time.perf_counter()
    report: dict[str, Any] = dict(sutra.repair(args.source, args.target))
    seconds = time.perf_counter() - started
    out.line(
        f"{out.style(args.target, 'bold')}: {format_count(report['concepts'])} concepts saved "
        f"in {format_seconds(seconds)}"
    )
    out.pairs(report)
    if any(report[name] for name in LOSSES):
        out.line(out.style("  something was lost, or may be wrong", "bold", "yellow"))
    out.document({"target": args.target, "seconds": seconds, **report})
    return 0
