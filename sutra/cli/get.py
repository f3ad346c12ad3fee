"""Show concepts of a store, or vectors of an index file.

By their ids; or, of a store, by --where as of `sutra search`, in the order they were added. What is
there is shown; if an id is missing, a line says so and the exit code is 1. With --json one
document: "concepts", in the order asked for, null for those that are missing, and "missing".
"""

import argparse
import json
from typing import Any

from sutra.cli.inputs import positive_int
from sutra.cli.output import Failure, Output, shortened
from sutra.cli.stores import (
    add_id_options,
    add_where,
    concept_document,
    is_store,
    open_store,
    parse_id,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("source", metavar="DIR|INDEX", help="a store or an index file")
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("ids", nargs="*", default=[], metavar="ID", help="what to show")
    add_where(chosen, "show concepts")
    parser.add_argument(
        "--limit", type=positive_int, metavar="N", help="with --where: at most so many"
    )
    parser.add_argument("--vectors", action="store_true", help="also the vectors")
    add_id_options(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Print concepts."""
    if args.limit is not None and args.where is None:
        raise Failure("--limit: goes with --where", code=2)
    ids = [parse_id(text, args) for text in args.ids]
    if is_store(args.source):
        with open_store(args.source) as opened, opened.read_view() as store:
            if args.where is not None:
                ids = [one.id for one in store.scan(limit=args.limit, where=args.where)]
            found = [
                None if one is None else concept_document(one, vectors=args.vectors)
                for one in store.get(ids, vectors=args.vectors)
            ]
    elif args.where is not None:
        raise Failure("--where: an index has no metadata", code=2)
    else:
        found = from_index(args.source, ids)
    for document in found:
        if document is not None:
            show(document, out)
    missing = [id for id, one in zip(ids, found, strict=True) if one is None]
    out.document({"concepts": found, "missing": missing})
    if missing:
        few = ", ".join(shortened(repr(id)) for id in missing[:5]) + ", ..." * (len(missing) > 5)
        out.error(f"{args.source}: nothing has the id {few}", "NotFoundError")
    return 1 if missing else 0


def from_index(path: str, ids: list[Any]) -> list[dict[str, Any] | None]:
    """Return what an index has under these ids."""
    from sutra import Index
    from sutra.errors import NotFoundError

    found: list[dict[str, Any] | None] = []
    with Index.open(path, resident="mapped") as index:
        for id in ids:
            try:
                found.append({"id": id, "vector": index.get(id)} if isinstance(id, int) else None)
            except NotFoundError:
                found.append(None)
    return found


def show(document: dict[str, Any], out: Output) -> None:
    """Print a concept: its id, and what it has."""
    out.heading(shortened(document["id"]))
    shown = {name: value for name, value in document.items() if name != "id"}
    if "content" in shown:
        shown["content"] = shortened(shown["content"], 2000)
    if "metadata" in shown:
        shown["metadata"] = shortened(json.dumps(shown["metadata"], ensure_ascii=False), 2000)
    if "content_base64" in shown:
        shown["content_base64"] = shortened(shown["content_base64"])
    if shown.get("vector") is not None:
        shown["vector"] = " ".join(f"{number:.6g}" for number in shown["vector"].tolist())
    out.pairs(shown)
