"""Show what this machine is and which kernels run on it."""

import argparse

from sutra.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the verb takes no options of its own."""


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the report of :func:`sutra.platform`."""
    import sutra

    report = {"version": sutra.__version__, **sutra.platform()}
    out.heading("Platform")
    out.pairs(report)
    out.document(report)
    return 0
