"""Show what a store or an index file is: a few lines.

An index file is opened mapped: nothing of the vectors is read. A store is opened for reading,
which works while another process writes to it. `sutra stats` has all the numbers.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from sutra.cli.output import Output, format_bytes, format_seconds
from sutra.cli.stores import directory_bytes, is_store, open_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("source", metavar="DIR|INDEX", help="a store or an index file")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print what it is."""
    if is_store(args.source):
        document = store_info(args.source)
        size = format_bytes(document["file_bytes"])
    else:
        document = index_info(args.source)
        size = format_bytes(document["file_bytes"])
    opened = format_seconds(document["open_seconds"])
    out.heading(args.source)
    shown = {name: value for name, value in document.items() if name not in HIDDEN and value != {}}
    out.pairs({document["type"]: f"{size}, opened in {opened}", **shown})
    out.document(document)
    return 0


HIDDEN = ("type", "file_bytes", "open_seconds")


def index_info(path: str) -> dict[str, Any]:
    """Return what is to be said about an index."""
    from sutra import Index

    started = time.perf_counter()
    with Index.open(path, resident="mapped") as index:
        open_seconds = time.perf_counter() - started
        stats = dict(index.stats())
    size = Path(path).stat().st_size
    return {"type": "index", "file_bytes": size, "open_seconds": open_seconds, **stats}


def store_info(path: str) -> dict[str, Any]:
    """Return what is to be said about a store."""
    started = time.perf_counter()
    with open_store(path, resident="mapped") as store:
        open_seconds = time.perf_counter() - started
        stats, health, fields = store.stats(), store.health(), store.fields()
    names = (
        "concepts", "vectors", "associations", "kinds", "pending", "dim", "metric", "quantization",
        "keep_originals", "m", "ef_construction",
    )  # fmt: skip
    return {
        "type": "store",
        "file_bytes": directory_bytes(path),
        "open_seconds": open_seconds,
        **{name: stats[name] for name in names},
        "fields": fields,
        "last_write": stats["visible_lsn"],
        "replayed": health["recovered"],
        "detail": health["detail"],
    }
