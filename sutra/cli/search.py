"""Find the nearest vectors of an index.

The query is a file of vectors, a vector of the index named by its id, or standard input with
one vector a line (a JSON array, or numbers separated by spaces or commas). Distances: lower is
nearer.
"""

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from sutra.cli.inputs import positive_int, read_text_vectors, read_vectors
from sutra.cli.output import Output, format_count, format_seconds

if TYPE_CHECKING:
    import numpy.typing as npt

    from sutra import Index


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("index", metavar="INDEX", help="an index file")
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument("--vector", metavar="FILE", help=".npy, .npz, .fvecs or .bvecs")
    query.add_argument("--id", type=int, metavar="N", help="a vector of the index, by its id")
    query.add_argument("--stdin", action="store_true", help="one vector a line")
    parser.add_argument("--key", metavar="NAME", help="array to take from an npz file")
    parser.add_argument("-k", type=positive_int, default=10, help="how many; default: 10")
    parser.add_argument(
        "--ef",
        type=positive_int,
        metavar="N",
        help="candidates kept: more is slower and finds more",
    )
    parser.add_argument("--exact", action="store_true", help="compare with every vector")


def run(args: argparse.Namespace, out: Output) -> int:
    """Search an index and print ids and distances."""
    from sutra import Index

    with Index.open(args.index) as index:
        queries = read_queries(args, index)
        started = time.perf_counter()
        found = index.search(queries, args.k, ef=args.ef, exact=args.exact)
        seconds = time.perf_counter() - started

    results = []
    for row_ids, row_distances in zip(found.ids, found.distances, strict=True):
        kept = row_ids >= 0  # fewer than k were found where ids are -1
        results.append({"ids": row_ids[kept].tolist(), "distances": row_distances[kept].tolist()})
    rows = [
        (query, rank, str(identifier), distance)
        for query, result in enumerate(results)
        for rank, (identifier, distance) in enumerate(
            zip(result["ids"], result["distances"], strict=True), 1
        )
    ]
    if len(results) == 1:
        out.table(("rank", "id", "distance"), [row[1:] for row in rows])
    else:
        out.table(("query", "rank", "id", "distance"), rows)
    queries_noun = "query" if len(results) == 1 else "queries"
    out.line(
        out.style(
            f"  {format_count(len(results))} {queries_noun} in {format_seconds(seconds)}", "dim"
        )
    )
    out.document({"k": args.k, "exact": args.exact, "seconds": seconds, "results": results})
    return 0


def read_queries(args: argparse.Namespace, index: "Index") -> "npt.NDArray[Any]":
    """Return the queries as a matrix."""
    if args.stdin:
        return read_text_vectors(sys.stdin, "standard input")
    if args.id is not None:
        vector: npt.NDArray[Any] = index.get(args.id)
        return vector.reshape(1, -1)
    return read_vectors(args.vector, args.key)
