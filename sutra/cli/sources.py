"""Where an import reads from: lines of JSON, or arrays; both give concepts one after another.

A source counts what it has given, and says with `mark` where it is; `replay` goes there again in
another process, if what was read before is still the same.
"""

import hashlib
import io
import os
import stat
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sutra.cli.inputs import (
    as_matrix,
    load_npz,
    pick_matrix,
    read_npy,
    read_store_ids,
    read_vectors,
)
from sutra.cli.output import Failure
from sutra.cli.records import Item, parse_line

if TYPE_CHECKING:
    import numpy.typing as npt

    from sutra.results import Id

__all__ = ["BadItem", "Changed", "Mark", "Source", "open_source"]

Mark = dict[str, Any]
ARRAY_SUFFIXES = (".npy", ".npz", ".fvecs", ".bvecs")
UTF8_MARK = b"\xef\xbb\xbf"


class BadItem(Exception):
    """A line or a row that is no concept; the source stands before it."""


class Changed(Exception):
    """What an earlier import has read is not what is there now."""


class Source(ABC):
    """Concepts to import.

    Attributes
    ----------
    name : str
        For messages.
    unit : str
        What it is counted in.
    total, done : int
        So many of these; a total of 0 is not known.
    key : str or None
        What a position in it is kept under; None if it can be read only once.
    """

    name: str
    unit: str
    total: int
    done: int
    key: str | None

    @abstractmethod
    def items(self) -> Iterator[Item]:
        """Give what has not been given; BadItem for what cannot be."""

    @abstractmethod
    def mark(self) -> Mark:
        """Return where the source stands: behind what it gave last."""

    @abstractmethod
    def replay(self, mark: Mark, since: int | None) -> Iterator[Item]:
        """Go to a mark, giving on the way what has links from place `since` on; or Changed."""

    @abstractmethod
    def restart(self) -> None:
        """Go back to the beginning."""

    @abstractmethod
    def where(self, place: int) -> str:
        """Return the place of an item for a message."""

    def close(self) -> None:  # noqa: B027
        """Let go of what is open."""


class Lines(Source):
    """Lines of JSON, from a file or a pipe."""

    unit = "byte"

    def __init__(self, stream: IO[bytes], name: str, key: str | None, total: int) -> None:
        self.stream = stream
        self.name = name
        self.key = key
        self.total = total
        self.start()

    def close(self) -> None:
        """Close a file; standard input stays."""
        if self.stream is not getattr(sys.stdin, "buffer", None):
            self.stream.close()

    def start(self) -> None:
        """Count from nothing."""
        self.done = self.line = 0
        self.digest = hashlib.blake2b(digest_size=16)

    def restart(self) -> None:
        """Go back to the beginning."""
        self.stream.seek(0)
        self.start()

    def passed(self, line: bytes) -> None:
        """Count a line."""
        self.digest.update(line)
        self.done += len(line)
        self.line += 1

    def parse(self, line: bytes) -> Item | None:
        """Return the concept of the line after those counted; None if it is blank."""
        if self.line == 0:
            line = line.removeprefix(UTF8_MARK)
        if not line.strip():
            return None
        try:
            return parse_line(line, self.line + 1)
        except ValueError as error:
            raise BadItem(f"{self.where(self.line + 1)}: {error}") from None

    def items(self) -> Iterator[Item]:
        """Give the concepts of the lines that are left."""
        for line in self.stream:
            item = self.parse(line)
            self.passed(line)
            if item is not None:
                yield item

    def mark(self) -> Mark:
        """Return bytes and lines read, and their digest."""
        return {"bytes": self.done, "line": self.line, "digest": self.digest.hexdigest()}

    def replay(self, mark: Mark, since: int | None) -> Iterator[Item]:
        """Read the lines up to a mark again; only those that can have links are parsed."""
        while self.done < mark["bytes"]:
            line = self.stream.readline(mark["bytes"] - self.done)
            if not line:
                break
            wanted = since is not None and self.line + 1 >= since and b'"links"' in line
            item = None
            if wanted:
                try:
                    item = self.parse(line)
                except BadItem:
                    raise Changed from None
            self.passed(line)
            if item is not None:
                yield item
        if self.mark() != mark:
            raise Changed

    def where(self, place: int) -> str:
        """Return file:line."""
        return f"{self.name}:{place}"


class Rows(Source):
    """Arrays: vectors, ids and contents; or those that an export wrote."""

    unit = "row"

    def __init__(
        self,
        path: str,
        stamp: Mark | None,
        vectors: "npt.NDArray[Any]",
        ids: "list[Id] | npt.NDArray[Any] | None",
        contents: "npt.NDArray[Any] | None",
        lines: list[bytes] | None,
    ) -> None:
        self.name = shown(path)
        self.key = None if stamp is None else key_of(path)
        self.stamp = stamp
        self.vectors = vectors
        self.ids = ids
        self.contents = contents
        self.lines = lines
        self.total = len(vectors) if lines is None else len(lines)
        self.done = 0
        for what, given in (("ids", ids), ("contents", contents)):
            if given is not None and len(given) != self.total:
                raise Failure(f"{self.name}: {self.total} vectors, but {len(given)} {what}")

    def restart(self) -> None:
        """Go back to the first row."""
        self.done = 0

    def item(self, row: int) -> Item:
        """Return the concept of a row."""
        try:
            if self.lines is not None:
                return parse_line(self.lines[row], row, self.vectors)
            id: Id = row
            if self.ids is not None:
                given = self.ids[row]
                id = text_of(given) if isinstance(given, str | bytes) else int(given)
            content = None if self.contents is None else text_of(self.contents[row])
        except ValueError as error:
            raise BadItem(f"{self.where(row)}: {error}") from None
        vector = self.vectors[row]
        return Item(id, vector, content, None, 1.0, 1.0, [], row, vector.nbytes)

    def items(self) -> Iterator[Item]:
        """Give the concepts of the rows that are left."""
        while self.done < self.total:
            item = self.item(self.done)
            self.done += 1
            yield item

    def mark(self) -> Mark:
        """Return the rows read, and which file they are of."""
        return {"row": self.done, "file": self.stamp}

    def replay(self, mark: Mark, since: int | None) -> Iterator[Item]:
        """Go to a row, if the file is the same."""
        if mark["file"] != self.stamp or not 0 <= mark["row"] <= self.total:
            raise Changed
        if since is not None:
            for row in range(since, mark["row"]):
                yield self.item(row)
        self.done = mark["row"]

    def where(self, place: int) -> str:
        """Return the file and the row."""
        return f"{self.name}: row {place}"


def open_source(path: str, form: str | None, ids: str | None, key: str | None) -> Source:
    """Open what is to be imported.

    Parameters
    ----------
    path : str
        A file, or ``-`` for standard input.
    form : {"ndjson", "npy", "npz"}, optional
        What is in it. Default: what its name says, or lines of JSON.
    ids : str, optional
        A file with the ids of the rows of an array.
    key : str, optional
        The array of an npz file that has the vectors.
    """
    suffix = Path(path).suffix.lower()
    if form is None:
        form = suffix[1:] if suffix in ARRAY_SUFFIXES else "ndjson"
    if form == "ndjson":
        if ids is not None or key is not None:
            raise Failure("--ids and --key are for arrays; lines of JSON have ids", code=2)
        return open_lines(path)
    if form == "npz":
        return open_npz(path, ids, key)
    if path == "-":
        vectors = as_matrix(read_npy(standard_input(), shown(path)), shown(path))
    else:
        vectors = read_vectors(path, form=form)
    given = None if ids is None else read_store_ids(ids)
    return Rows(path, stamp_of(path, ids), vectors, given, None, None)


def open_lines(path: str) -> Source:
    """Open lines of JSON."""
    if path == "-":
        return Lines(sys.stdin.buffer, shown(path), None, 0)
    stream = open(path, "rb")  # noqa: SIM115
    found = os.fstat(stream.fileno())
    key = key_of(path) if stat.S_ISREG(found.st_mode) else None
    return Lines(stream, path, key, 0 if key is None else found.st_size)


def open_npz(path: str, ids: str | None, key: str | None) -> Source:
    """Open an npz file, an export's or somebody else's."""
    import numpy as np

    arrays = load_npz(standard_input() if path == "-" else Path(path), shown(path))
    stamp = stamp_of(path, ids)
    if key is None and "vectors" in arrays:
        key = "vectors"
    vectors = as_matrix(pick_matrix(arrays, shown(path), key), shown(path))
    packed = arrays.get("concepts")
    if packed is not None and packed.dtype == np.uint8 and packed.ndim == 1:
        lines = packed.tobytes().splitlines(keepends=True)
        return Rows(path, stamp, vectors, None, None, lines)
    given: Any = arrays.get("ids") if ids is None else read_store_ids(ids)
    if isinstance(given, np.ndarray) and (given.ndim != 1 or given.dtype.kind not in "iuUS"):
        raise Failure(f"{shown(path)}: ids: expected whole numbers or texts in one dimension")
    contents = arrays.get("contents", arrays.get("words"))
    if contents is not None and (contents.ndim != 1 or contents.dtype.kind not in "US"):
        raise Failure(f"{shown(path)}: contents: expected texts in one dimension")
    return Rows(path, stamp, vectors, given, contents, None)


def standard_input() -> IO[bytes]:
    """Return all of standard input, to be read like a file."""
    return io.BytesIO(sys.stdin.buffer.read())


def stamp_of(path: str, ids: str | None) -> Mark | None:
    """Return what tells a file from one that has changed; None for standard input."""
    if path == "-":
        return None
    found = [os.stat(name) for name in (path, ids) if name is not None]
    return {"stamp": [[one.st_ino, one.st_size, one.st_mtime_ns] for one in found]}


def key_of(path: str) -> str:
    """Return what a position in a file is kept under."""
    return str(Path(path).resolve())


def shown(path: str) -> str:
    """Return the name of an input for messages."""
    return "standard input" if path == "-" else path


def text_of(value: str | bytes) -> str:
    """Return a text of an array; those of bytes are UTF-8."""
    return value.decode() if isinstance(value, bytes) else str(value)
