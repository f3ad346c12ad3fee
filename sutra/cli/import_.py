"""Read concepts into a store, from lines of JSON or arrays.

A line of JSON is an object: "id" (a number or a text) and any of "vector" (an array), "content"
(a text) or "content_base64", "metadata" (an object), "strength", "confidence", and "links": an
array of objects with "to" and any of "kind", "weight", "confidence". Links to concepts that come
later are made at the end.

Arrays are .npy, .fvecs, .bvecs (vectors; the ids are 0, 1, 2, ... or those of --ids, text with an
id a line or .npy) and .npz (`vectors`, and `ids` and `contents` or `words` if it has them; also
what `sutra export` wrote).

A concept that is there is written over in what the input has of it, so importing twice is the same
as once; strength and confidence are 1 where the input does not say. An import that was stopped, by
a bad line, a full disk or a signal, goes on where it was when the same command is run again: the
file NAME.import.json beside the store NAME says where that is, and goes away when the import is
done. A part of the input that was changed meanwhile is noticed, and read again.
"""

import argparse
import threading
import time
from typing import TYPE_CHECKING

from sutra.cli.importing import Import, Journal
from sutra.cli.inputs import natural_int
from sutra.cli.output import Failure, Output, ProgressBar, format_count, format_seconds
from sutra.cli.sources import Source, open_source
from sutra.cli.stores import add_store, open_store

if TYPE_CHECKING:
    from sutra import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    add_store(parser)
    parser.add_argument(
        "input", metavar="FILE", nargs="+", help="what to read; - is standard input"
    )
    parser.add_argument(
        "--format",
        choices=("ndjson", "npy", "npz"),
        help="what is in FILE; default: what its name says, lines of JSON for any other name",
    )
    parser.add_argument("--ids", metavar="FILE", help="ids of the rows of an array")
    parser.add_argument("--key", metavar="NAME", help="array of an npz file that has the vectors")
    parser.add_argument(
        "--no-resume", action="store_true", help="start at the beginning, wherever an earlier was"
    )
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="do not wait until the vectors are linked: searches scan those that are not",
    )
    parser.add_argument(
        "--threads",
        type=natural_int,
        default=0,
        metavar="N",
        help="that link vectors; default: all cores this process may use",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Import and say what was done."""
    import sutra

    if args.ids is not None and len(args.input) > 1:
        raise Failure("--ids is for one FILE", code=2)
    threads = args.threads or sutra.platform()["cores"]
    started = time.perf_counter()
    with open_store(args.store, "a", threads=threads) as store:
        work = import_all(args, store, out)
        seconds = time.perf_counter() - started
        if not args.no_wait:
            link_pending(store)
        link_seconds = time.perf_counter() - started - seconds
        count = len(store)
    out.line(
        f"{out.style(args.store, 'bold')}: {format_count(work.concepts)} concepts and "
        f"{format_count(work.links)} links in {format_seconds(seconds)} "
        f"({format_count(work.concepts / max(seconds, 1e-9))} concepts/s); "
        f"it has {format_count(count)} concepts"
    )
    if not args.no_wait:
        out.line(f"vectors linked in {format_seconds(link_seconds)} more")
    out.document(
        {
            "store": args.store,
            "concepts": work.concepts,
            "links": work.links,
            "seconds": seconds,
            "link_seconds": None if args.no_wait else link_seconds,
            "count": count,
            "resumed": {args.input[at]: done for at, done in work.resumed.items()},
        }
    )
    return 0


def import_all(args: argparse.Namespace, store: "Store", out: Output) -> Import:
    """Import all files."""
    journal = Journal(args.store)
    sources: list[Source] = []
    try:
        for path in args.input:
            sources.append(open_source(path, args.format, args.ids, args.key))
        if args.no_resume:
            journal.forget(source.key for source in sources)
        work = Import(store, sources, journal)
    except BaseException:
        for source in sources:
            source.close()
        raise
    try:
        work.run()
    finally:
        work.close()
        for at, done in work.resumed.items():
            source = sources[at]
            out.note(f"{source.name}: went on from {source.unit} {format_count(done)}")
        if journal.error is not None:
            out.note(f"the position was not kept, another import starts over: {journal.error}")
    return work


def link_pending(store: "Store") -> None:
    """Wait until the vectors are linked into the graph, showing how many are."""
    waiting = store.stats()["pending"]
    if not waiting:
        return
    done = threading.Event()
    with ProgressBar("linking vectors") as progress:

        def watch() -> None:
            while not done.wait(0.1):
                progress(max(0, waiting - store.stats()["pending"]), waiting)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            store.settle()
        finally:
            done.set()
            watcher.join()
