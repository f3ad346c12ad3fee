"""The file of an index that speaks hnswlib's language: what `sutra.Index` saves, and a state.

Little-endian: a header of 48 bytes, the state as JSON, the file of `sutra.Index` as it is.

======  =====  ====================================================
offset  bytes  what
======  =====  ====================================================
0       8      ``SUTRAHNS``
8       4      version of this format: 1
12      4      bytes of the header: 48
16      8      bytes of the state
24      8      bytes of the index
32      4      CRC-32 of the state
36      4      CRC-32 of the index
40      4      zero
44      4      CRC-32 of the header's first 44 bytes
======  =====  ====================================================
"""

import io
import json
import os
import shutil
import struct
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from sutra.errors import CorruptError, FormatVersionError
from sutra.index import Index

MAGIC = b"SUTRAHNS"
VERSION = 1
HEADER = struct.Struct("<8sIIQQIIII")
BLOCK_BYTES = 1 << 22
STATE_BYTES_MAX = 1 << 34

PathLike = str | os.PathLike[str]

# The first fields of hnswlib's own files: of Index, and of BFIndex.
_THEIR_GRAPH = struct.Struct("<6Q2i3Q")
_THEIR_LIST = struct.Struct("<3Q")


@dataclass(frozen=True, slots=True)
class State:
    """What hnswlib knows of an index and `sutra.Index` does not.

    Attributes
    ----------
    kind : {"hnsw", "brute force"}
        Of `Index` or of `BFIndex`.
    M, ef_construction : int
        As given, where sutra allows fewer values.
    max_elements : int
        How many labels there may be.
    marked : list of int
        Labels marked as deleted, in the order they were marked.
    """

    kind: str
    M: int
    ef_construction: int
    max_elements: int
    marked: list[int]


def write(path: PathLike, state: State, index: Index) -> None:
    """Write a file, replacing it as a whole or not at all."""
    target = Path(os.path.realpath(os.fsdecode(path)))
    if target.exists() and not target.is_file():
        raise OSError(f"{target}: not a regular file, so it is not replaced")
    # Beside the target, so that renaming is possible.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        whole = Path(folder, "whole")
        with whole.open("wb") as stream:
            _put(stream, state, index, folder)
            if target.exists():
                shutil.copymode(target, whole)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(whole, target)
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read(path: PathLike) -> tuple[State, Index]:
    """Read a file; CorruptError says what it is instead, where that can be told."""
    with open(path, "rb") as stream:
        return _get(stream, os.fsdecode(path))


def packed(state: State, index: Index) -> bytes:
    """Return what `write` writes, for a pickle."""
    stream = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        _put(stream, state, index, folder)
    return stream.getvalue()


def unpacked(data: bytes) -> tuple[State, Index]:
    """Return what `packed` was given."""
    return _get(io.BytesIO(data), "the pickled index")


def _put(stream: BinaryIO, state: State, index: Index, folder: str) -> None:
    text = json.dumps(asdict(state)).encode()
    saved = Path(folder, "index")
    index.save(saved)
    stream.seek(HEADER.size)
    stream.write(text)
    with saved.open("rb") as source:
        length, check = _copy(source, stream)
    saved.unlink()
    header = HEADER.pack(MAGIC, VERSION, HEADER.size, len(text), length, crc32(text), check, 0, 0)[
        :-4
    ]
    stream.seek(0)
    stream.write(header + struct.pack("<I", crc32(header)))


def _get(stream: BinaryIO, name: str) -> tuple[State, Index]:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    header = stream.read(HEADER.size)
    if not header.startswith(MAGIC):
        stream.seek(0)
        raise CorruptError(f"{name}: {_what_else(stream.read(96), size)}", path=name, offset=0)
    if len(header) < HEADER.size or crc32(header[:-4]).to_bytes(4, "little") != header[-4:]:
        raise CorruptError(f"{name}: the header is damaged", path=name, offset=0)
    _, version, _, text_bytes, index_bytes, text_check, index_check, _, _ = HEADER.unpack(header)
    if version != VERSION:
        raise FormatVersionError(
            f"{name}: version {version} of the format, this sutra reads {VERSION}",
            path=name,
            version=version,
        )
    expected = HEADER.size + text_bytes + index_bytes
    if text_bytes > STATE_BYTES_MAX or expected != size:
        raise CorruptError(f"{name}: expected {expected} bytes, found {size}", path=name)
    text = stream.read(text_bytes)
    if crc32(text) != text_check:
        raise CorruptError(f"{name}: the state is damaged", path=name, offset=HEADER.size)
    # Mapped from a file without a name: it goes with the index.
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder, "index")
        with saved.open("wb") as target:
            found = _copy(stream, target)
        if found != (index_bytes, index_check):
            raise CorruptError(
                f"{name}: the index is damaged", path=name, offset=HEADER.size + text_bytes
            )
        index = Index.open(saved, resident="arena")
    return _state(text, name, index), index


def _state(text: bytes, name: str, index: Index) -> State:
    try:
        state = State(**json.loads(text))
        numbers = [state.M, state.ef_construction, state.max_elements, *state.marked]
        good = all(type(number) is int and number >= 0 for number in numbers)
        good = good and state.kind in ("hnsw", "brute force")
        good = good and len(index) <= state.max_elements
        good = good and all(label in index for label in state.marked)
    except (ValueError, TypeError):
        good = False
    if not good:
        raise CorruptError(f"{name}: the state does not fit", path=name, offset=HEADER.size)
    return state


def _copy(source: BinaryIO, target: BinaryIO) -> tuple[int, int]:
    """Copy the rest of a stream; return its length and CRC-32."""
    length = check = 0
    while block := source.read(BLOCK_BYTES):
        target.write(block)
        length += len(block)
        check = crc32(block, check)
    return length, check


def _what_else(start: bytes, size: int) -> str:
    """Say what a file is that does not start as ours do."""
    if start.startswith(b"SUTRAIDX"):
        return "an index without hnswlib's state: open it with sutra.Index.open"
    advice = "load it with hnswlib, and add its get_items(ids) for its get_ids_list() here"
    if len(start) >= _THEIR_GRAPH.size:
        first, most, count, stride, label, vector, *_, linked, linked0, _ = _THEIR_GRAPH.unpack(
            start[: _THEIR_GRAPH.size]
        )
        if (
            (first, label + 8) == (0, stride)
            and vector == 4 * linked0 + 4
            and linked0 == 2 * linked
            and count <= most
            and size >= _THEIR_GRAPH.size + count * stride
        ):
            return f"an index of {count} elements in hnswlib's own format: {advice}"
    if len(start) >= _THEIR_LIST.size:
        most, stride, count = _THEIR_LIST.unpack(start[: _THEIR_LIST.size])
        if count <= most and stride > 8 and size == _THEIR_LIST.size + most * stride:
            return f"a BFIndex of {count} elements in hnswlib's own format: {advice}"
    return "not a file that sutra.compat.hnswlib wrote"
