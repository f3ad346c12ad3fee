"""Put one concept into a store, or write over one.

Of a concept that is there, what is not given stays, its links too. Without --id the store gives
the next number. `sutra import` is for many.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sutra.cli.inputs import read_text_vectors, read_vectors
from sutra.cli.output import Failure, Output
from sutra.cli.stores import add_id_options, add_store, open_store, parse_id

if TYPE_CHECKING:
    from sutra import Store
    from sutra.results import Content, Id


def json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object of the command line."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError('expected a JSON object, like {"year": 1999}')
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    add_store(parser)
    parser.add_argument("--id", metavar="ID", help="default: the next number")
    content = parser.add_mutually_exclusive_group()
    content.add_argument("--content", metavar="TEXT", help="what it is about")
    content.add_argument(
        "--content-file",
        metavar="FILE",
        help="the same from a file, bytes if it is not UTF-8; - is standard input",
    )
    parser.add_argument("--metadata", type=json_object, metavar="JSON", help="an object")
    parser.add_argument(
        "--vector",
        metavar="FILE",
        help=".npy, .npz, .fvecs or .bvecs with one vector; - for a line of standard input",
    )
    parser.add_argument("--key", metavar="NAME", help="array to take from an npz file")
    parser.add_argument("--strength", type=float, metavar="X", help="default: as it is, or 1")
    parser.add_argument("--confidence", type=float, metavar="X", help="default: as it is, or 1")
    parser.add_argument("--new", action="store_true", help="fail if the id is in use")
    add_id_options(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Write the concept and print its id."""
    vector = None
    if args.vector is not None:
        if args.vector == "-" and args.content_file == "-":
            raise Failure("standard input cannot be both the vector and the content", code=2)
        vector = read_one(args)
    content = read_content(args)
    id = None if args.id is None else parse_id(args.id, args)
    if id is None and vector is None and content is None and args.metadata is None:
        raise Failure("nothing to put: give --id, --content, --metadata or --vector", code=2)
    with open_store(args.store, "a") as store:
        strength, confidence = certainty(args, store, id)
        write = store.add if args.new else store.upsert
        done = write(
            None if id is None else [id],
            None if vector is None else vector[None],
            contents=None if content is None else [content],
            metadata=None if args.metadata is None else [args.metadata],
            strength=strength,
            confidence=confidence,
        )
    (made,) = done.ids.tolist()
    out.line(f"{made}")
    out.document({"id": made, "lsn": done.lsn})
    return 0


def certainty(args: argparse.Namespace, store: "Store", id: "Id | None") -> tuple[float, float]:
    """Return strength and confidence: as given, or as they are, or 1."""
    before = None if id is None else store.get([id])[0]
    strength, confidence = (
        (1.0, 1.0) if before is None else (before.record.strength, before.record.confidence)
    )
    return (
        strength if args.strength is None else args.strength,
        confidence if args.confidence is None else args.confidence,
    )


def read_one(args: argparse.Namespace) -> Any:
    """Return the only vector of --vector."""
    if args.vector == "-":
        vectors, name = read_text_vectors(sys.stdin, "standard input"), "standard input"
    else:
        vectors, name = read_vectors(args.vector, args.key), args.vector
    if len(vectors) != 1:
        raise Failure(f"{name}: expected one vector, got {len(vectors)}")
    return vectors[0]


def read_content(args: argparse.Namespace) -> "Content | None":
    """Return the content: text, or bytes if it is no text."""
    text: str | None = args.content
    if args.content_file is None:
        return text
    if args.content_file == "-":
        data = sys.stdin.buffer.read()
    else:
        data = Path(args.content_file).read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
