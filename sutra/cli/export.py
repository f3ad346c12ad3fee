"""Write what a store or an index holds, to be read by other programs or another store.

ndjson is one JSON object a line, as `sutra import` reads it: everything of a concept, its links
too, but for when it was written. npz has the arrays `vectors`, `ids` and, for a store, `concepts`:
the lines without vectors, as bytes, so that it can be imported again. npy is the vectors alone;
--ids names a file for their ids.

With --where, as of `sutra search`, only concepts whose metadata meets the condition, and the links
between them.

What is written is one state of the store, whatever a writer does meanwhile. A file gets its name
when it is complete. With --json, which needs a file, a document says what was written.
"""

import argparse
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

from sutra.cli.exporting import Source, output_file, write_ids, write_lines, write_npy, write_npz
from sutra.cli.output import Failure, Output, ProgressBar, format_count, format_seconds
from sutra.cli.records import vector_json
from sutra.cli.stores import add_where, is_store, open_store

FORMS = ("ndjson", "npy", "npz")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("source", metavar="DIR|INDEX", help="a store or an index file")
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="-", help="default: -, standard output"
    )
    parser.add_argument(
        "--format", choices=FORMS, help="default: what FILE's name says, or else ndjson"
    )
    parser.add_argument("--no-vectors", action="store_true", help="leave vectors out of ndjson")
    parser.add_argument("--ids", metavar="FILE", help="write the ids of the rows of an npy here")
    add_where(parser, "only concepts")
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")


def run(args: argparse.Namespace, out: Output) -> int:
    """Export, and say what was written if it went to a file."""
    suffix = Path(args.output).suffix.lower().removeprefix(".")
    form = args.format or (suffix if suffix in FORMS else "ndjson")
    if args.json and args.output == "-":
        raise Failure("--json: standard output has the data; name a file with -o", code=2)
    if args.no_vectors and form != "ndjson":
        raise Failure(f"--no-vectors: {form} is made of vectors", code=2)
    if args.ids is not None and form != "npy":
        raise Failure(f"--ids: {form} has them", code=2)
    started = time.perf_counter()
    export = export_store if is_store(args.source) else export_index
    with (
        ProgressBar("exporting") as progress,
        nullcontext(sys.stdout.buffer)
        if args.output == "-"
        else output_file(args.output, force=args.force) as stream,
    ):
        count = export(args, form, stream, progress)
        stream.flush()
    seconds = time.perf_counter() - started
    if args.output != "-":
        out.line(
            f"{out.style(args.output, 'bold')}: {format_count(count)} "
            f"{'vectors' if form == 'npy' else 'concepts'} in {format_seconds(seconds)}"
        )
    out.document({"output": args.output, "format": form, "count": count, "seconds": seconds})
    return 0


def export_store(
    args: argparse.Namespace, form: str, stream: IO[bytes], progress: ProgressBar
) -> int:
    """Export a store; return how many concepts or vectors."""
    with open_store(args.source) as store, store.read_view() as view:
        source = Source(view, args.where)
        if form == "ndjson":
            return write_lines(source, stream, progress, not args.no_vectors)
        dim = store.dim or 0
        if form == "npz":
            return write_npz(source, dim, stream, progress)
        ids = write_npy(source, dim, stream, progress)
    if args.ids is not None:
        write_ids(ids, args.ids, force=args.force)
    return len(ids)


def export_index(
    args: argparse.Namespace, form: str, stream: IO[bytes], progress: ProgressBar
) -> int:
    """Export an index: ids and vectors; return how many."""
    import numpy as np

    from sutra import Index

    if args.where is not None:
        raise Failure("--where: an index has no metadata", code=2)
    with Index.open(args.source, resident="mapped") as index:
        ids = index.ids()
        if form == "ndjson":
            for done, id in enumerate(ids.tolist()):
                vector = "" if args.no_vectors else f',"vector":{vector_json(index.get(id))}'
                stream.write(f'{{"id":{id}{vector}}}\n'.encode())
                progress(done, len(ids))
            return len(ids)
        vectors = np.empty((len(ids), index.dim), dtype=np.float32)
        for row, id in enumerate(ids.tolist()):
            vectors[row] = index.get(id)
            progress(row, len(ids))
    arrays: dict[str, Any] = {"vectors": vectors, "ids": ids}
    if form == "npz":
        np.savez(stream, **arrays)
    else:
        np.lib.format.write_array(stream, vectors, allow_pickle=False)
        if args.ids is not None:
            write_ids(ids.tolist(), args.ids, force=args.force)
    return len(ids)
