"""Reading vectors and ids from the files people have: npy, npz, fvecs, bvecs and text."""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal
from zipfile import BadZipFile

from sutra.cli.output import Failure

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sutra.results import Id

__all__ = [
    "add_index_arguments",
    "add_settings",
    "as_matrix",
    "load_npz",
    "natural_int",
    "pick_matrix",
    "positive_int",
    "read_ids",
    "read_npy",
    "read_store_ids",
    "read_text_vectors",
    "read_vectors",
    "share",
]


def positive_int(text: str) -> int:
    """Parse a command-line count of at least one."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {value}")
    return value


def natural_int(text: str) -> int:
    """Parse a command-line count of at least zero."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {value}")
    return value


def share(text: str) -> float:
    """Parse a recall."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0, up to 1, got {text}")
    return value


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what an index, or that of a store, is like."""
    parser.add_argument(
        "--metric", choices=("cosine", "l2", "ip"), default="cosine", help="default: cosine"
    )
    parser.add_argument(
        "--m", type=int, choices=(8, 16, 24, 32), default=16, help="links a node; default: 16"
    )
    parser.add_argument(
        "--ef-construction",
        type=positive_int,
        default=200,
        metavar="N",
        help="candidates looked at for each new node; default: 200",
    )
    parser.add_argument(
        "--quantization", choices=("u8", "u4", "none"), default="u8", help="default: u8"
    )
    parser.add_argument(
        "--no-originals",
        action="store_true",
        help="keep codes only: smaller files, answers refined from 8-bit codes",
    )


def add_index_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how an index is built from a file of vectors."""
    add_settings(parser)
    parser.add_argument(
        "--key", metavar="NAME", help="array to take from an npz file that holds several"
    )
    parser.add_argument(
        "--threads",
        type=natural_int,
        default=0,
        metavar="N",
        help="default: all cores this process may use",
    )


def read_vectors(
    path: str | Path, key: str | None = None, form: str | None = None
) -> "npt.NDArray[Any]":
    """Read a two-dimensional array of vectors, mapped rather than loaded where possible.

    Parameters
    ----------
    path : str or Path
        A ``.npy``, ``.npz``, ``.fvecs`` or ``.bvecs`` file.
    key : str, optional
        The array to take from an npz file; needed where it holds several matrices.
    form : str, optional
        What it is, whatever its name ends in.

    Returns
    -------
    numpy.ndarray
        Shape (rows, dim), of the file's own number type.

    Raises
    ------
    Failure
        The file is not of a known kind, is damaged, or holds no such array.
    OSError
        The file cannot be read.
    """
    path = Path(path)
    readers = {
        "npy": lambda: read_npy(path, str(path)),
        "npz": lambda: pick_matrix(load_npz(path, str(path), key), str(path), key),
        "fvecs": lambda: read_vecs(path, "<f4"),
        "bvecs": lambda: read_vecs(path, "u1"),
    }
    reader = readers.get(form or path.suffix.lower().removeprefix("."))
    if reader is None:
        raise Failure(f"{path}: expected a file ending in .{', .'.join(readers)}")
    if path.stat().st_size == 0:
        raise Failure(f"{path}: the file is empty")
    vectors = reader()
    return as_matrix(vectors[None, :] if vectors.ndim == 1 else vectors, str(path))


def as_matrix(array: "npt.NDArray[Any]", name: str) -> "npt.NDArray[Any]":
    """Refuse what is no matrix of numbers."""
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise Failure(
            f"{name}: expected numbers in two dimensions (rows, dim), "
            f"got {array.dtype} of shape {array.shape}"
        )
    return array


def read_npy(source: Path | IO[bytes], name: str) -> "npt.NDArray[Any]":
    """Read an array from an npy file; it is mapped where it has a path."""
    import numpy as np

    mode: Literal["r"] | None = "r" if isinstance(source, Path) else None
    try:
        array: npt.NDArray[Any] = np.load(source, mmap_mode=mode, allow_pickle=False)
    except (ValueError, EOFError, BadZipFile) as error:
        raise Failure(f"{name}: not a usable npy file: {error}") from error
    if not isinstance(array, np.ndarray):
        raise Failure(f"{name}: named npy, but holds something else")
    return array


def load_npz(
    source: Path | IO[bytes], name: str, only: str | None = None
) -> "dict[str, npt.NDArray[Any]]":
    """Load the arrays of an npz file, or the one that is named."""
    import numpy as np

    if isinstance(source, Path):
        with source.open("rb") as stream:  # np.load would leave a damaged file open
            return load_npz(stream, name, only)
    try:
        with np.load(source, allow_pickle=False) as archive:
            if not hasattr(archive, "files"):
                raise Failure(f"{name}: named npz, but holds something else")
            wanted = [member for member in archive.files if only in (None, member)]
            return {member: archive[member] for member in wanted}
    except (ValueError, EOFError, BadZipFile) as error:
        raise Failure(f"{name}: not a usable npz file: {error}") from error


def pick_matrix(
    arrays: "dict[str, npt.NDArray[Any]]", name: str, key: str | None
) -> "npt.NDArray[Any]":
    """Return the array that is named, or else the only matrix of numbers."""
    if key is None:
        matrices = [
            other
            for other, array in arrays.items()
            if array.ndim == 2 and array.dtype.kind in "fiu"
        ]
        if len(matrices) != 1:
            found = ", ".join(matrices) or "none"
            raise Failure(
                f"{name}: expected one matrix of vectors, found {found}; name it with --key"
            )
        key = matrices[0]
    if key not in arrays:
        raise Failure(f"{name}: no array named {key!r}")
    return arrays[key]


def read_vecs(path: Path, number: str) -> "npt.NDArray[Any]":
    """Map an fvecs or bvecs file: each row is its length as int32, then its numbers."""
    import numpy as np

    raw = np.memmap(path, dtype=np.uint8, mode="r")
    dim = int(raw[:4].view("<i4")[0]) if raw.size >= 4 else 0
    row_bytes = 4 + dim * np.dtype(number).itemsize
    if dim < 1 or raw.size % row_bytes:
        raise Failure(
            f"{path}: {raw.size} bytes are no whole number of rows of dimension {dim} at offset 0"
        )
    rows = raw.reshape(-1, row_bytes)
    lengths = np.ascontiguousarray(rows[:, :4]).view("<i4")[:, 0]
    wrong = np.flatnonzero(lengths != dim)
    if wrong.size:
        row = int(wrong[0])
        raise Failure(f"{path}: row {row} has dimension {lengths[row]}, the rows before it {dim}")
    return rows[:, 4:].view(number)


def read_ids(path: str | Path) -> "npt.NDArray[np.int64]":
    """Read ids from an npy file of integers, or from text with one id a line."""
    import numpy as np

    path = Path(path)
    if path.suffix.lower() == ".npy":
        ids = read_npy(path, str(path))
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise Failure(
                f"{path}: expected integers in one dimension, got {ids.dtype} of shape {ids.shape}"
            )
        if ids.dtype.kind == "u" and ids.size and int(ids.max()) > np.iinfo(np.int64).max:
            raise Failure(f"{path}: id {ids.max()} is larger than int64 can hold")
        return ids.astype(np.int64)
    values = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            try:
                values.append(np.int64(int(line)))
            except (ValueError, OverflowError):
                raise Failure(
                    f"{path}: line {number}: expected an id, got {line.strip()!r}"
                ) from None
    return np.array(values, dtype=np.int64)


def read_store_ids(path: str | Path) -> "list[Id] | npt.NDArray[np.int64]":
    """Read ids of a store: numbers from npy, or text with an id a line, either kind.

    In text, digits are a number, JSON's quotes hold a text exactly, and any other line is a text.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        return read_ids(path)
    ids: list[Id] = []
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            text = line.strip()
            try:
                if not text:
                    raise ValueError("the line is empty")
                text.encode()
                if text.startswith('"'):
                    ids.append(str(json.loads(text)))
                else:
                    ids.append(int(text) if text.isascii() and text.isdigit() else text)
            except ValueError as error:
                raise Failure(f"{path}: line {number}: expected an id: {error}") from None
    return ids


def read_text_vectors(lines: Iterable[str], source: str) -> "npt.NDArray[np.float32]":
    """Parse one vector a line: a JSON array, or numbers separated by spaces or commas."""
    import numpy as np

    rows: list[list[float]] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        try:
            if text.startswith("["):
                row = [float(value) for value in json.loads(text)]
            else:
                row = [float(value) for value in text.replace(",", " ").split()]
        except (ValueError, TypeError) as error:
            raise Failure(f"{source}: line {number}: expected numbers: {error}") from None
        if rows and len(row) != len(rows[0]):
            raise Failure(
                f"{source}: line {number} has {len(row)} numbers, the first line {len(rows[0])}"
            )
        rows.append(row)
    if not rows:
        raise Failure(f"{source}: no vectors")
    return np.array(rows, dtype=np.float32)
