"""Writing what a store holds to a stream: lines of JSON, or arrays."""

import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from zipfile import ZIP_STORED, ZipFile

from sutra.cli.output import Failure
from sutra.cli.records import format_line

if TYPE_CHECKING:
    from sutra import Concept, Link, ReadView
    from sutra.results import Id

__all__ = [
    "Source",
    "Spool",
    "output_file",
    "write_ids",
    "write_lines",
    "write_npy",
    "write_npz",
]

STEP = 1000
Progress = Callable[[int, int], None]


@contextmanager
def output_file(path: str, *, force: bool) -> Iterator[IO[bytes]]:
    """Give a file to write to that takes the name when all is written and synced, or never."""
    target = Path(path)
    if target.exists() and not target.is_file():  # a pipe, a terminal: nothing to replace
        with target.open("wb") as stream:
            yield stream
        return
    if target.exists() and not force:
        raise Failure(f"{target}: the file exists; --force replaces it")
    if not target.absolute().parent.is_dir():
        raise Failure(f"{target.parent}: no such directory")
    umask = os.umask(0)
    os.umask(umask)
    number, partial = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.absolute().parent)
    try:
        with open(number, "wb") as stream:
            os.fchmod(number, 0o666 & ~umask)
            yield stream
            stream.flush()
            os.fsync(number)
        os.replace(partial, target)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


class Source:
    """What is to be written: the concepts of a view, or those that meet a condition.

    Parameters
    ----------
    view : ReadView
        The state.
    where : dict, optional
        The condition.
    """

    def __init__(self, view: "ReadView", where: dict[str, Any] | None = None) -> None:
        self.view = view
        # Links to others are left out: what is written can be read again by itself.
        self.chosen = None if where is None else {one.id: None for one in view.scan(where=where)}

    def concepts(self, progress: Progress, *, vectors: bool = True) -> "Iterator[Concept]":
        """Give the concepts, in the order they were first added."""
        view = self.view
        source: Collection[Id] = view if self.chosen is None else self.chosen
        total, done = len(source), 0
        ids: list[Id] = []
        for id in source:
            ids.append(id)
            if len(ids) == STEP:
                yield from (one for one in view.get(ids, vectors=vectors) if one is not None)
                done += STEP
                progress(done, total)
                ids = []
        if ids:
            yield from (one for one in view.get(ids, vectors=vectors) if one is not None)
        progress(total, total)

    def links(self, id: "Id") -> "list[Link]":
        """Return the links of a concept to those that are written."""
        chosen = self.chosen
        links = self.view.links(id)
        return links if chosen is None else [link for link in links if link.target in chosen]


def write_lines(source: Source, stream: IO[bytes], progress: Progress, vectors: bool) -> int:
    """Write lines of JSON; return how many."""
    count = 0
    for concept in source.concepts(progress, vectors=vectors):
        stream.write(format_line(concept, source.links(concept.id)))
        count += 1
    return count


class Spool:
    """Rows of one array, collected in a temporary file.

    Parameters
    ----------
    shape : tuple of int
        Of one row: () for numbers.
    dtype : str
        Of the numbers.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        self.shape = shape
        self.dtype = dtype
        self.rows = 0
        self.file = tempfile.TemporaryFile()  # noqa: SIM115

    def write(self, data: bytes, rows: int) -> None:
        """Append rows."""
        self.file.write(data)
        self.rows += rows

    def save(self, stream: IO[bytes]) -> None:
        """Write the array in npy format, and let go of the file."""
        import numpy as np

        header = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(self.dtype)),
            "fortran_order": False,
            "shape": (self.rows, *self.shape),
        }
        np.lib.format.write_array_header_1_0(stream, header)
        self.file.seek(0)
        shutil.copyfileobj(self.file, stream, 1 << 20)
        self.file.close()


def write_npy(source: Source, dim: int, stream: IO[bytes], progress: Progress) -> "list[Id]":
    """Write the vectors as one array; return the ids of its rows."""
    vectors = Spool((dim,), "<f4")
    ids: list[Id] = []
    for concept in source.concepts(progress):
        if concept.vector is not None:
            vectors.write(concept.vector.tobytes(), 1)
            ids.append(concept.id)
    vectors.save(stream)
    return ids


def write_npz(source: Source, dim: int, stream: IO[bytes], progress: Progress) -> int:
    """Write vectors, ids and everything else as arrays; return how many concepts.

    `concepts` has the lines of JSON as bytes, without vectors: ``row`` of a line says which row
    of `vectors` is its. `ids` are those of the rows, left out if there are numbers and texts.
    """
    import numpy as np

    vectors, lines = Spool((dim,), "<f4"), Spool((), "|u1")
    ids: list[Id] = []
    count = 0
    for concept in source.concepts(progress):
        row = None
        if concept.vector is not None:
            row = vectors.rows
            vectors.write(concept.vector.tobytes(), 1)
            ids.append(concept.id)
        line = format_line(concept, source.links(concept.id), row)
        lines.write(line, len(line))
        count += 1
    with ExitStack() as stack:
        archive = stack.enter_context(ZipFile(stream, "w", ZIP_STORED))
        for name, spool in (("vectors", vectors), ("concepts", lines)):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                spool.save(member)
        if all(isinstance(id, int) for id in ids) or all(isinstance(id, str) for id in ids):
            with archive.open("ids.npy", "w", force_zip64=True) as member:
                given: Any = np.array(ids, dtype=np.int64 if not ids else None)
                np.lib.format.write_array(member, given, allow_pickle=False)
    return count


def write_ids(ids: "list[Id]", path: str, *, force: bool) -> None:
    """Write ids with one a line: numbers bare, texts in JSON's quotes."""
    with output_file(path, force=force) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", write_through=True)
        for id in ids:
            text.write(f"{json.dumps(id, ensure_ascii=False)}\n")
        text.detach()
