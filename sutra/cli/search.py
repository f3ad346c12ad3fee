"""Find the nearest vectors of a store or an index file.

The query is a file of vectors, a stored vector named by its id, or standard input with one vector
a line (a JSON array, or numbers separated by spaces or commas). Distances: lower is nearer.
Scores, of a store: higher is better.

--where takes an object of paths and what is asked of them, all of which must hold: a value, or any
of $eq $ne $gt $gte $lt $lte $in $nin $exists $contains $not. $and, $or and $not combine such
objects; {"$datetime": "2024-05-31T12:00Z"} is a time. `sutra fields` makes it fast.
"""

import argparse
import time
from typing import TYPE_CHECKING, Any

from sutra.cli.inputs import positive_int, share
from sutra.cli.output import Failure, Output, format_count, format_seconds, shortened
from sutra.cli.records import content_document
from sutra.cli.stores import (
    add_id_options,
    add_query_options,
    add_where,
    content_cell,
    is_store,
    open_store,
    parse_id,
    read_query,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from sutra import Hits, Index, Store

Results = list[dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("source", metavar="DIR|INDEX", help="a store or an index file")
    add_query_options(parser, several=True)
    parser.add_argument("-k", type=positive_int, default=10, help="how many; default: 10")
    parser.add_argument(
        "--ef",
        type=positive_int,
        metavar="N",
        help="candidates kept: more is slower and finds more",
    )
    parser.add_argument("--exact", action="store_true", help="compare with every vector")
    parser.add_argument(
        "--recall",
        type=share,
        metavar="R",
        help="candidates as `sutra tune` has found to reach it; of a store",
    )
    add_where(parser, "only concepts, of a store,")
    add_id_options(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Search, and print ids, distances or scores, and contents."""
    rows: list[tuple[object, ...]]
    names: tuple[str, ...]
    if is_store(args.source):
        results, seconds = search_store(args)
        names = ("id", "score", "content")
        rows = [
            (query, rank, shortened(hit["id"], 40), hit["score"], content_cell(hit))
            for query, result in enumerate(results)
            for rank, hit in enumerate(result["hits"], 1)
        ]
    else:
        results, seconds = search_index(args)
        names = ("id", "distance")
        rows = [
            (query, rank, str(identifier), distance)
            for query, result in enumerate(results)
            for rank, (identifier, distance) in enumerate(
                zip(result["ids"], result["distances"], strict=True), 1
            )
        ]
    if len(results) == 1:
        out.table(("rank", *names), [row[1:] for row in rows])
    else:
        out.table(("query", "rank", *names), rows)
    queries_noun = "query" if len(results) == 1 else "queries"
    out.line(
        out.style(
            f"  {format_count(len(results))} {queries_noun} in {format_seconds(seconds)}", "dim"
        )
    )
    out.document({"k": args.k, "exact": args.exact, "seconds": seconds, "results": results})
    return 0


def search_index(args: argparse.Namespace) -> tuple[Results, float]:
    """Search an index file."""
    from sutra import Index

    if args.where is not None:
        raise Failure("--where: an index has no metadata", code=2)
    with Index.open(args.source) as index:
        queries = index_queries(args, index)
        started = time.perf_counter()
        found = index.search(queries, args.k, ef=args.ef, exact=args.exact, recall=args.recall)
        seconds = time.perf_counter() - started
    results = []
    for row_ids, row_distances in zip(found.ids, found.distances, strict=True):
        kept = row_ids >= 0  # fewer than k were found where ids are -1
        results.append({"ids": row_ids[kept].tolist(), "distances": row_distances[kept].tolist()})
    return results, seconds


def index_queries(args: argparse.Namespace, index: "Index") -> "npt.NDArray[Any]":
    """Return the queries as a matrix."""
    if args.id is None:
        return read_query(args)
    id = parse_id(args.id, args)
    if isinstance(id, str):
        raise Failure(f"--id {shortened(id)}: the ids of an index are numbers")
    vector: npt.NDArray[Any] = index.get(id)
    return vector.reshape(1, -1)


def search_store(args: argparse.Namespace) -> tuple[Results, float]:
    """Search a store."""
    with open_store(args.source) as store:
        queries = store_queries(args, store)
        started = time.perf_counter()
        found = store.search(
            queries,
            args.k,
            ef=args.ef,
            exact=args.exact,
            recall=args.recall,
            where=args.where,
        )
        seconds = time.perf_counter() - started
        return [hits_document(hits) for hits in found], seconds


def store_queries(args: argparse.Namespace, store: "Store") -> "npt.NDArray[Any]":
    """Return the queries as a matrix."""
    if args.id is None:
        return read_query(args)
    id = parse_id(args.id, args)
    vector = store[id].vector
    if vector is None:
        raise Failure(f"{args.source}: {id!r} has no vector to search with; see `sutra related`")
    return vector.reshape(1, -1)


def hits_document(hits: "Hits") -> dict[str, Any]:
    """Return what one query found."""
    return {
        "ids": hits.ids.tolist(),
        "distances": hits.distances.tolist(),
        "hits": [
            {
                "id": hit.id,
                "distance": hit.distance,
                "score": hit.score,
                "metadata": hit.metadata,
                **content_document(hit.content),
            }
            for hit in hits
        ],
    }
