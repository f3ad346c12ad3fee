"""Find what is near a vector in a store, and what is linked to that.

The nearest concepts are activated by their scores, and activation spreads along links: over each
arrives what its source has, times --decay, times the link's weight and confidence. Every answer
shows the path that it was reached by.

A concept named by --id starts from its vector. One without a vector starts from its links alone;
the score of an answer is then --decay and the weights along its path, multiplied.

--where, as of `sutra search`, says what may be an answer; paths lead through anything.
"""

import argparse
from typing import TYPE_CHECKING, Any

from sutra.cli.inputs import natural_int, positive_int
from sutra.cli.output import Failure, Output, shortened
from sutra.cli.records import content_document
from sutra.cli.stores import (
    add_id_options,
    add_query_options,
    add_store,
    add_where,
    content_cell,
    open_store,
    parse_id,
    read_query,
    shown_path,
)

if TYPE_CHECKING:
    from sutra import Path, Store
    from sutra.results import Id


def share(text: str) -> float:
    """Parse a number from 0 to 1 of the command line."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected 0 to 1, got {text}")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    add_store(parser)
    add_query_options(parser, several=False)
    parser.add_argument("-k", type=positive_int, default=10, help="how many; default: 10")
    parser.add_argument(
        "--hops", type=natural_int, default=1, metavar="N", help="links to follow; default: 1"
    )
    parser.add_argument(
        "--decay", type=share, default=0.5, metavar="X", help="0 to 1; default: 0.5"
    )
    parser.add_argument("--kind", action="append", help="only links of this kind; may be repeated")
    add_where(parser, "answer only with concepts")
    add_id_options(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Print what is related, and how it was reached."""
    with open_store(args.store) as store:
        vector = None
        if args.id is None:
            vectors = read_query(args)
            if len(vectors) != 1:
                raise Failure(f"expected one vector, got {len(vectors)}")
            vector = vectors[0]
        else:
            vector = store[parse_id(args.id, args)].vector
        if vector is None:
            found = along_links(store, parse_id(args.id, args), args)
        else:
            hits = store.related(
                vector, args.k, args.hops, args.decay, kinds=args.kind, where=args.where
            )
            found = [answer(hit.id, hit.score, hit.path, hit.content) for hit in hits]
    out.table(
        ("rank", "id", "score", "path", "content"),
        [
            (
                rank,
                shortened(one["id"], 40),
                one["score"],
                shown_path(one["ids"], one["kinds"]),
                content_cell(one, 40),
            )
            for rank, one in enumerate(found, 1)
        ],
    )
    out.document({"k": args.k, "hops": args.hops, "decay": args.decay, "results": found})
    return 0


def along_links(store: "Store", id: "Id", args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what the links of a concept without a vector lead to."""
    if args.hops < 1:
        return []
    reached = store.expand(id, args.hops, args.kind, limit=None, where=args.where)
    scored = [(one.score * args.decay**one.hops, one) for one in reached]
    scored.sort(key=lambda pair: -pair[0])
    scored = scored[: args.k]
    concepts = store.get([one.id for _, one in scored])
    return [
        answer(one.id, score, one.path, None if concept is None else concept.content)
        for (score, one), concept in zip(scored, concepts, strict=True)
    ]


def answer(id: "Id", score: float, path: "Path | None", content: Any) -> dict[str, Any]:
    """Return an answer as a JSON object."""
    return {
        "id": id,
        "score": score,
        "ids": [] if path is None else list(path.ids),
        "kinds": [] if path is None else list(path.kinds),
        **content_document(content),
    }
