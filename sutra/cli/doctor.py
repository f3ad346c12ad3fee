"""Examine a store or an index file, its place and the machine, and say what to do.

Nothing is changed and no lock is taken, so this works beside a writer. Every check is ok, a
warning, or a failure with a line of advice. Exit code 1 if something failed, 4 if it is damage.
"""

import argparse

from sutra.cli.checks import Check, check_index, check_place, check_store
from sutra.cli.output import Output
from sutra.cli.stores import is_store

STYLES = {"ok": "green", "warn": "yellow", "fail": "red", "corrupt": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("source", metavar="DIR|INDEX", help="a store or an index file")


def run(args: argparse.Namespace, out: Output) -> int:
    """Examine and report."""
    checks: list[Check] = []
    store = is_store(args.source)
    out.heading(args.source)
    for group in (check_place, check_store if store else check_index):
        for check in group(args.source):
            checks.append(check)
            show(check, out)
    worst = {check.status for check in checks}
    out.document(
        {
            "source": args.source,
            "healthy": not worst & {"fail", "corrupt"},
            "checks": [check._asdict() for check in checks],
        }
    )
    if "corrupt" in worst:
        return 4
    return 1 if "fail" in worst else 0


def show(check: Check, out: Output) -> None:
    """Print a check, and the advice below it."""
    status = out.style(check.status.ljust(7), STYLES[check.status])
    out.line(f"  {status}  {check.name.ljust(13)}  {check.found}")
    if check.advice is not None:
        out.line(f"  {' ' * 24}{check.advice}")
