"""What the verbs for a store share: opening one, ids, queries, and how a concept is shown."""

import argparse
import errno
import fcntl
import json
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sutra.cli.inputs import read_text_vectors, read_vectors
from sutra.cli.output import Failure, shortened
from sutra.cli.records import concept_fields, plain_number

if TYPE_CHECKING:
    import numpy.typing as npt

    from sutra import Concept, Link, Store
    from sutra.results import Id

__all__ = [
    "add_id_options",
    "add_query_options",
    "add_store",
    "add_where",
    "concept_document",
    "content_cell",
    "directory_bytes",
    "holder_of",
    "is_store",
    "link_document",
    "open_store",
    "parse_id",
    "read_query",
    "require_directory",
    "require_nothing",
    "require_unlocked",
    "shown_path",
]


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names a store."""
    parser.add_argument("store", metavar="DIR", help="a store: a directory")


def add_id_options(parser: argparse.ArgumentParser) -> None:
    """Add the option that says what ids on the command line are."""
    parser.add_argument(
        "--text-ids", action="store_true", help="an id of digits alone is a text, not a number"
    )


def parse_id(text: str, args: argparse.Namespace) -> "Id":
    """Return an id of the command line: digits are a number, anything else is a text."""
    digits = text.isascii() and text.isdigit()
    return int(text) if digits and not args.text_ids else text


def add_where(
    parser: argparse.ArgumentParser | argparse._MutuallyExclusiveGroup, what: str
) -> None:
    """Add the option that takes a condition on metadata."""
    parser.add_argument(
        "--where",
        type=condition,
        metavar="JSON",
        help=f'{what} whose metadata is like this: \'{{"year": {{"$gte": 1990}}}}\'',
    )


def condition(text: str) -> dict[str, Any]:
    """Parse a condition on metadata of the command line."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError('expected a JSON object, like {"year": {"$gte": 1990}}')
    from sutra.where import as_tree

    try:
        as_tree(found)
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(" ".join(str(error).split())) from None
    return found


def is_store(path: str) -> bool:
    """Whether a path that is there is a directory: that of a store, or nothing of ours."""
    place = Path(path)
    if not place.exists():
        raise Failure(f"{path}: no such file or directory")
    if place.is_dir():
        require_store(path)
        return True
    return False


def open_store(
    path: str, mode: Literal["r", "a"] = "r", *, threads: int = 1, resident: Any = "auto"
) -> "Store":
    """Open a store that is there: for reading, which works beside a writer, or for writing."""
    import sutra

    require_directory(path)
    require_store(path)
    return sutra.open(path, mode=mode, threads=threads, resident=resident)


def require_directory(path: str) -> None:
    """Refuse what is not there, and files."""
    if not Path(path).exists():
        raise Failure(f"{path}: no such directory; `sutra create` makes a store")
    if not Path(path).is_dir():
        raise Failure(f"{path}: a file; expected a store, which is a directory")


def require_nothing(path: str) -> None:
    """Refuse a target that is there, before the work is done."""
    if os.path.lexists(path):
        raise Failure(f"{path}: there is something; expected a name that is free")


def require_store(path: str) -> None:
    """Refuse a directory without a trace of a store, before one is made in it."""
    names = os.listdir(path)
    if not any(name == "SUTRA" or name.startswith("MANIFEST-") for name in names):
        raise Failure(f"{path}: there is no store in this directory")


def directory_bytes(path: str) -> int:
    """Return what the files of a store take up on the disk."""
    total = 0
    for entry in os.scandir(path):
        try:
            total += entry.stat(follow_symlinks=False).st_blocks * 512
        except FileNotFoundError:  # a writer has replaced it meanwhile
            continue
    return total


# ---- who writes


def holder_of(path: str) -> str | None:
    """Return who has a store open for writing, in its own words; None if nobody has."""
    try:
        if not is_locked(Path(path, "LOCK")):
            return None
        words = Path(path, "HOLDER").read_text(errors="replace").strip("\0\n ")
    except FileNotFoundError:  # nobody ever has; or the holder has not yet said who it is
        return None
    return shortened(words, 200) or "someone"


def is_locked(path: Path) -> bool:
    """Whether a process has the writer's lock; asking does not take it."""
    number = os.open(path, os.O_RDONLY)
    try:
        if os.uname().sysname == "Linux":
            # struct flock: type, whence, start, length, pid
            asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
            try:
                found = fcntl.fcntl(number, fcntl.F_OFD_GETLK, asked)
                return bool(struct.unpack("hhqqi4x", found)[0] != fcntl.F_UNLCK)
            except OSError as error:
                if error.errno != errno.EINVAL:  # a system that does not know these locks
                    raise
        try:
            fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(number, fcntl.LOCK_UN)
        return False
    finally:
        os.close(number)


def require_unlocked(path: str) -> None:
    """Refuse a store that is written to, for what reads its files from outside."""
    from sutra.errors import LockedError

    holder = holder_of(path)
    if holder is not None:
        raise LockedError(f"{path}: open for writing elsewhere: {holder}", holder=holder)


# ---- queries


def add_query_options(parser: argparse.ArgumentParser, *, several: bool) -> None:
    """Add the options that say what to look for."""
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument(
        "--vector", metavar="FILE", help=".npy, .npz, .fvecs or .bvecs; - for standard input"
    )
    query.add_argument("--id", metavar="ID", help="what is stored under this id")
    if several:
        query.add_argument(
            "--stdin", action="store_true", help="one vector a line, the same as --vector -"
        )
    parser.add_argument("--key", metavar="NAME", help="array to take from an npz file")


def read_query(args: argparse.Namespace) -> "npt.NDArray[Any]":
    """Return the vectors of --vector or --stdin as a matrix."""
    if args.vector in (None, "-"):
        return read_text_vectors(sys.stdin, "standard input")
    return read_vectors(args.vector, args.key)


# ---- what a concept and a link look like


def concept_document(concept: "Concept", *, vectors: bool) -> dict[str, Any]:
    """Return a concept as a JSON object: the fields of an import, and what the store adds."""
    record = concept.record
    return {
        **concept_fields(concept),
        "created": record.created.isoformat(),
        "accessed": record.accessed.isoformat(),
        "reference_count": record.reference_count,
        **({"vector": concept.vector} if vectors else {}),
    }


def link_document(link: "Link") -> dict[str, Any]:
    """Return a link as a JSON object."""
    return {
        "source": link.source,
        "target": link.target,
        "kind": link.kind,
        "weight": plain_number(link.weight),
        "confidence": plain_number(link.confidence),
        "created": link.created.isoformat(),
    }


def shown_path(ids: "Sequence[Id]", kinds: Sequence[str]) -> str:
    """Return a path as ``tea -semantic-> pot``."""
    start, *others = (shortened(id, 30) for id in ids)
    return start + "".join(
        f" -{shortened(kind, 20)}-> {target}" for kind, target in zip(kinds, others, strict=True)
    )


def content_cell(document: dict[str, Any], width: int = 60) -> str:
    """Return the content of a concept's document as a cell of a table."""
    if "content_base64" in document:
        return "(bytes)"
    return shortened(document.get("content", ""), width)
