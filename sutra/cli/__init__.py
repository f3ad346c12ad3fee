"""The ``sutra`` command: one module a verb, thin over :class:`sutra.Store` and `sutra.Index`.

A path that is a directory is a store, a file is an index; verbs that make sense for both take
either.

Exit codes
----------
0
    done
1
    a file, the data or the system was at fault; one line on standard error says how
2
    the command line was wrong
3
    the store is open for writing elsewhere
4
    a file is damaged, or is not what it should be
130
    interrupted

With ``--json`` every verb writes exactly one JSON document to standard output; on failure it
has the single key ``error``, unless there is something to tell all the same: what ``get`` did
find, the checks of ``doctor``. Progress and messages go to standard error. NumPy and the engine
are imported when a verb runs, so that ``sutra --help`` answers at once.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword

from sutra._version import __version__
from sutra.cli.output import Failure, Output

__all__ = ["main"]

# In the order of `sutra --help`. The module has the verb's name; those that are keywords, and a _.
VERBS = (
    "demo",
    "create",
    "info",
    "stats",
    "put",
    "get",
    "rm",
    "search",
    "link",
    "unlink",
    "links",
    "related",
    "import",
    "export",
    "snapshot",
    "restore",
    "verify",
    "repair",
    "compact",
    "fields",
    "doctor",
    "build",
    "bench",
    "tune",
    "platform",
)

EPILOG = """\
a directory is a store of concepts, a file an index of vectors
exit codes: 0 done, 1 data or system error, 2 wrong usage, 3 locked, 4 corrupt, 130 interrupted
`sutra VERB --help` explains a verb; `--json` works on all of them.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of this process by default.

    Returns
    -------
    int
        An exit code of the table in this module's documentation.
    """
    try:
        args = build_parser().parse_args(argv)
    except SystemExit as stop:  # argparse has printed what it wanted to say
        return stop.code if isinstance(stop.code, int) else 2

    out = Output(json_document=args.json)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = out.warning
            code: int = args.run(args, out)
        sys.stdout.flush()
    except KeyboardInterrupt:
        out.error("interrupted", "KeyboardInterrupt")
        return 130
    except BrokenPipeError:
        # The reader left (`sutra ... | head`): nobody is there to be told, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Failure as failure:
        out.error(str(failure), "UsageError" if failure.code == 2 else "Failure")
        return failure.code
    except Exception as exception:
        if not is_expected(exception):
            raise
        out.error(describe(exception), type(exception).__name__)
        return exit_code(exception)
    return code


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="sutra",
        description="Embedded vector search and a durable store of concepts.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sutra {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for name in VERBS:
        module = import_module(f"sutra.cli.{name}{'_' * iskeyword(name)}")
        summary, _, details = (module.__doc__ or "").partition("\n")
        verb = verbs.add_parser(
            name,
            help=summary.rstrip("."),
            description=f"{summary}\n{details}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(verb)
        verb.add_argument("--json", action="store_true", help="write one JSON document")
        verb.set_defaults(run=module.run)
    return parser


def is_expected(exception: Exception) -> bool:
    """Tell an error of the data or the system from a defect of this program."""
    from sutra.errors import SutraError

    # ImportError: SUTRA_ISA names a tier that this machine cannot run
    return isinstance(exception, SutraError | OSError | MemoryError | ImportError)


def exit_code(exception: Exception) -> int:
    """Return the exit code for an error of the data or the system."""
    from sutra.errors import CorruptError, LockedError

    if isinstance(exception, LockedError):
        return 3
    return 4 if isinstance(exception, CorruptError) else 1


def describe(exception: Exception) -> str:
    """Return one line saying what went wrong."""
    from sutra.errors import SutraError

    if isinstance(exception, OSError) and not isinstance(exception, SutraError):
        reason = exception.strerror or str(exception)
        return f"{exception.filename}: {reason}" if exception.filename else reason
    # str() of a KeyError is the repr of its message
    text = exception.args[0] if isinstance(exception, KeyError) else exception
    return " ".join(str(text).split()) or type(exception).__name__
