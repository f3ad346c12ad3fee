"""Benchmark vectors: real sets where a data directory is given, seeded generators elsewhere.

A set is named; its metric may be overridden after a colon (``glove100:l2``).

``sift128``, ``glove100``, ``minilm384``, or any other ``<name>.npy``
    Rows of ``<name>.npy`` in the data directory (``--data`` or SUTRA_BENCH_DATA), as float32:
    the first 1,000 rows are queries, the next ``rows`` (or all there are) the base.
``words100``
    The word vectors of ``sutra demo`` (about 16,000), shuffled with a seed.
``<real>x``, for example ``words100x`` or ``sift128x``
    Any number of rows grown from real ones: x_i + t (x_j - x_i) + noise, where j is one of the
    ten nearest neighbours of i and t is uniform in [0, 1).
``mixture<dim>``, for example ``mixture384``
    A mixture of 256 uneven, overlapping clusters in 20 to 32 latent dimensions, sent through a
    fixed random two-layer network.

Coordinates are never drawn independently: distances would concentrate, and such a set says
nothing about real embeddings. Both generators work in blocks with a seed each, so a small set
is a prefix of a large one. The intrinsic dimension reported is the maximum-likelihood estimate
(Levina and Bickel, averaged as MacKay and Ghahramani do) over the 50 nearest base rows of every
query, in plain distance (chord distance for cosine).

Everything is kept in a cache directory (SUTRA_BENCH_CACHE, or ``sutra-bench`` in the user's
cache), keyed by a hash of the content or of the generator's parameters, with exact neighbours.

Run ``python -m bench.data`` to list sets with their intrinsic dimension.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

REAL_METRICS = {"sift128": "l2", "glove100": "cosine", "minilm384": "cosine", "words100": "cosine"}
SYNTHETIC_SETS = ("words100x", "mixture128:l2", "mixture384")
METRICS = ("cosine", "l2", "ip")
TRUTH_K = 100
INTRINSIC_K = 50
FORMAT = 1
"""Part of every cache key: raise it when a generator or the layout changes."""

BLOCK_ROWS = 16_384
EXPANSION_SOURCE_ROWS = 50_000
EXPANSION_NEIGHBOURS = 10
EXPANSION_NOISE = 0.5
"""Norm of the noise, as a share of the distance between the two parents."""


@dataclass(frozen=True)
class DataSet:
    """One prepared set: files in ``directory``, everything else plain values."""

    name: str
    metric: str
    dim: int
    rows: int
    queries: int
    intrinsic_dim: float
    source: str
    key: str
    directory: str

    def base(self, *, unit: bool = False) -> F32:
        """Base rows, mapped from the cache; unit length if asked for and the metric is cosine."""
        return self._mapped("base", unit)

    def query_rows(self, *, unit: bool = False) -> F32:
        """Query rows, copied into memory."""
        return np.array(self._mapped("queries", unit))

    def truth_ids(self, k: int = 10) -> Ids:
        """Exact neighbours, nearest first, shape (queries, k)."""
        ids: Ids = np.load(Path(self.directory) / "truth_ids.npy")[:, :k].astype(np.int64)
        return ids

    def truth_distances(self, k: int = 10) -> F64:
        """Exact distances as `exact_distances` defines them, shape (queries, k)."""
        distances: F64 = np.load(Path(self.directory) / "truth_distances.npy")[:, :k]
        return distances

    def recall(self, ids: npt.ArrayLike, k: int = 10) -> float:
        """Share of the k exact neighbours that `ids` found, 0 to 1, for the first len(ids) queries.

        Rows at the same distance as the k-th neighbour count as found, an id counts once, and
        negative ids do not count.
        """
        found = np.asarray(ids, dtype=np.int64)[:, :k]
        count = len(found)
        base, queries = self.base(), self.query_rows()[:count]
        limit = self.truth_distances(k)[:count, -1]
        scale = np.einsum("ij,ij->i", queries, queries, dtype=np.float64)
        limit = limit + 1e-9 * (np.abs(limit) + (1.0 if self.metric == "cosine" else scale))
        hits = 0
        for row, (query, wanted) in enumerate(zip(queries, limit, strict=True)):
            unique = np.unique(found[row])
            unique = unique[(unique >= 0) & (unique < self.rows)]
            distances = exact_distances(query[None, :], base[unique][None], self.metric)[0]
            hits += int((distances <= wanted).sum())
        return hits / (count * k)

    def _mapped(self, stem: str, unit: bool) -> F32:
        if unit and self.metric == "cosine":
            stem += "_unit"
        mapped = np.load(Path(self.directory) / f"{stem}.npy", mmap_mode="r")
        plain: F32 = mapped.view(np.ndarray)
        return plain


def prepare(
    name: str,
    *,
    rows: int = 100_000,
    queries: int = 1_000,
    data: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> DataSet:
    """Load or make the set `name` with at most `rows` base rows, with its exact neighbours."""
    stem, _, metric = name.partition(":")
    metric = metric or REAL_METRICS.get(stem.removesuffix("x"), "cosine")
    if metric not in METRICS:
        raise ValueError(f"metric of {name!r} must be one of {METRICS}, not {metric!r}")
    make, source, identity = _recipe(stem, rows, queries, data, metric, seed)
    text = json.dumps([FORMAT, identity, metric, rows, queries], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    root = Path(cache) if cache else cache_directory()
    directory = root / f"{stem}-{metric}-{key}"
    if not (directory / "set.json").exists():
        root.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=root, prefix=".making-"))
        try:
            _write(scratch, name, metric, make(), queries, source, key)
            try:
                scratch.rename(directory)
            except OSError:  # another process was first
                if not (directory / "set.json").exists():
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    fields = json.loads((directory / "set.json").read_text())
    return DataSet(**fields, directory=str(directory))


def default_sets(data: str | os.PathLike[str] | None = None) -> list[str]:
    """The three real sets, as far as they are there; else the synthetic ones."""
    root = data_directory(data)
    found = [
        name
        for name in ("sift128", "glove100", "minilm384")
        if root is not None and (root / f"{name}.npy").exists()
    ]
    if found:
        return found
    return [n for n in SYNTHETIC_SETS if not n.startswith("words100") or words_file() is not None]


def data_directory(data: str | os.PathLike[str] | None = None) -> Path | None:
    """The directory with real sets: the argument, or SUTRA_BENCH_DATA, or none."""
    chosen = data or os.environ.get("SUTRA_BENCH_DATA")
    return Path(chosen) if chosen else None


def cache_directory() -> Path:
    """Where prepared sets are kept."""
    chosen = os.environ.get("SUTRA_BENCH_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sutra-bench"


def words_file(data: str | os.PathLike[str] | None = None) -> Path | None:
    """The demo's word vectors: in the source tree, the installed package or the data directory."""
    candidates = [Path(__file__).resolve().parent.parent / "sutra" / "data"]
    try:
        import sutra

        if sutra.__file__:
            candidates.append(Path(sutra.__file__).parent / "data")
    except ImportError:
        pass
    root = data_directory(data)
    if root is not None:
        candidates.append(root)
    files = (folder / "words100.npz" for folder in candidates)
    return next((file for file in files if file.exists()), None)


def default_rows(fallback: int = 20_000) -> int:
    """Base rows for the pytest cases: SUTRA_BENCH_ROWS, or `fallback`."""
    return int(os.environ.get("SUTRA_BENCH_ROWS", fallback))


def exact_distances(queries: npt.ArrayLike, rows: npt.ArrayLike, metric: str) -> F64:
    """Distance of queries[i] to each of rows[i], float64: squared L2, 1 - cosine, or -dot.

    Shapes (n, dim) and (n, m, dim) give (n, m). A zero vector is at cosine distance 1.
    """
    left = np.asarray(queries, dtype=np.float64)[:, None, :]
    right = np.asarray(rows, dtype=np.float64)
    if metric == "l2":
        difference = right - left
        squared: F64 = np.einsum("nmd,nmd->nm", difference, difference)
        return squared
    dots: F64 = np.einsum("nmd,nmd->nm", np.broadcast_to(left, right.shape), right)
    if metric == "ip":
        dots *= -1.0
        return dots
    norms = np.linalg.norm(left, axis=2) * np.linalg.norm(right, axis=2)
    similarity: F64 = np.divide(dots, norms, out=np.zeros_like(dots), where=norms > 0)
    return 1.0 - similarity


def exact_neighbours(base: F32, queries: F32, metric: str, k: int) -> tuple[Ids, F64]:
    """The k nearest base rows of each query, and their distances, by blocked matrix products.

    Blocks are ranked in float32; twice k + 50 candidates are then ranked again in float64.
    """
    k = min(k, len(base))
    slack = min(2 * k + 50, len(base))
    left = unit_rows(queries) if metric == "cosine" else np.ascontiguousarray(queries)
    best_ids = np.empty((len(queries), 0), dtype=np.int64)
    best_keys = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(base), BLOCK_ROWS):
        block = np.ascontiguousarray(base[start : start + BLOCK_ROWS])
        if metric == "cosine":
            block = unit_rows(block)
        keys = left @ block.T
        keys *= -2.0 if metric == "l2" else -1.0
        if metric == "l2":
            keys += np.einsum("ij,ij->i", block, block)
        ids = np.broadcast_to(np.arange(start, start + len(block)), keys.shape)
        best_keys = np.concatenate([best_keys, keys], axis=1)
        best_ids = np.concatenate([best_ids, ids], axis=1)
        if best_keys.shape[1] > slack:
            part = np.argpartition(best_keys, slack - 1, axis=1)[:, :slack]
            best_keys = np.take_along_axis(best_keys, part, axis=1)
            best_ids = np.take_along_axis(best_ids, part, axis=1)
    distances = np.empty((len(queries), best_ids.shape[1]))
    for row in range(len(queries)):
        candidates = base[best_ids[row]][None]
        distances[row] = exact_distances(queries[row : row + 1], candidates, metric)[0]
    order = np.lexsort((best_ids, distances), axis=1)[:, :k]
    return np.take_along_axis(best_ids, order, 1), np.take_along_axis(distances, order, 1)


def intrinsic_dimension(base: F32, queries: F32, ids: Ids, metric: str) -> float:
    """Maximum-likelihood intrinsic dimension around the queries, from their nearest base rows."""
    left = unit_rows(queries) if metric == "cosine" else queries
    inverse: list[float] = []
    for row, near in enumerate(ids[:, :INTRINSIC_K]):
        rows = base[near]
        rows = unit_rows(rows) if metric == "cosine" else rows
        distances = np.sqrt(exact_distances(left[row : row + 1], rows[None], "l2")[0])
        distances = np.sort(distances[distances > 1e-6])
        if len(distances) >= INTRINSIC_K // 2:
            inverse.append(float(np.mean(np.log(distances[-1] / distances[:-1]))))
    mean = float(np.mean(inverse)) if inverse else 0.0
    return 1.0 / mean if mean > 0 else float("nan")


def unit_rows(rows: F32) -> F32:
    """Rows scaled to length 1, float32; zero rows stay zero."""
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return np.asarray(rows * scale[:, None], dtype=np.float32)


def mixture(rows: int, dim: int, seed: int = 0) -> F32:
    """`rows` x `dim` from a clustered latent space through a fixed random network."""
    latent = 20 if dim < 256 else 26 if dim < 768 else 32
    clusters, width = 256, 4 * latent
    rng = np.random.default_rng([seed, dim, 1])
    centres = rng.standard_normal((clusters, latent)).astype(np.float32)
    spread = np.exp(rng.normal(0.1, 0.4, (clusters, latent))).astype(np.float32)
    weights = 1.0 / np.arange(4.0, clusters + 4.0) ** 0.7
    weights /= weights.sum()
    first = rng.standard_normal((latent, width)).astype(np.float32) / np.float32(latent**0.5)
    bias = (0.5 * rng.standard_normal(width)).astype(np.float32)
    second = rng.standard_normal((width, dim)).astype(np.float32) / np.float32(width**0.5)
    straight = 0.3 * rng.standard_normal((latent, dim)).astype(np.float32) / np.float32(latent**0.5)
    out = np.empty((rows, dim), dtype=np.float32)
    for number, stop in _blocks(rows):
        block = np.random.default_rng([seed, dim, 2, number])
        which = block.choice(clusters, BLOCK_ROWS, p=weights)
        noise = block.standard_normal((BLOCK_ROWS, latent)).astype(np.float32)
        hidden = centres[which] + spread[which] * noise
        made = np.tanh(1.5 * (hidden @ first) + bias) @ second + hidden @ straight
        made += 0.01 * block.standard_normal(made.shape).astype(np.float32)
        start = number * BLOCK_ROWS
        out[start:stop] = made[: stop - start]
    return out


def expand(rows: int, source: F32, metric: str, seed: int = 0) -> F32:
    """`rows` rows between near neighbours among (at most the first 50,000) `source` rows."""
    source = np.ascontiguousarray(source[:EXPANSION_SOURCE_ROWS], dtype=np.float32)
    near = _neighbour_lists(source, metric)
    dim = source.shape[1]
    out = np.empty((rows, dim), dtype=np.float32)
    for number, stop in _blocks(rows):
        block = np.random.default_rng([seed, dim, 3, number])
        one = block.integers(len(source), size=BLOCK_ROWS)
        other = near[one, block.integers(near.shape[1], size=BLOCK_ROWS)]
        step = source[other] - source[one]
        share = block.random((BLOCK_ROWS, 1), dtype=np.float32)
        noise = block.standard_normal((BLOCK_ROWS, dim)).astype(np.float32)
        noise *= np.linalg.norm(step, axis=1, keepdims=True) * (EXPANSION_NOISE / dim**0.5)
        made = source[one] + share * step + noise
        start = number * BLOCK_ROWS
        out[start:stop] = made[: stop - start]
    return out


def _blocks(rows: int) -> Iterator[tuple[int, int]]:
    """(block number, end row) of the blocks that cover `rows`."""
    for number in range(-(-rows // BLOCK_ROWS)):
        yield number, min(rows, (number + 1) * BLOCK_ROWS)


def _neighbour_lists(source: F32, metric: str) -> Ids:
    """Up to ten near neighbours of every source row, itself excluded; ranked in float32."""
    rows = unit_rows(source) if metric == "cosine" else source
    norms = np.einsum("ij,ij->i", rows, rows)
    count = min(EXPANSION_NEIGHBOURS, len(rows) - 1)
    lists = np.empty((len(rows), count), dtype=np.int64)
    for start in range(0, len(rows), 2048):
        keys = norms - 2.0 * (rows[start : start + 2048] @ rows.T)
        keys[np.arange(len(keys)), np.arange(start, start + len(keys))] = np.inf
        part = np.argpartition(keys, count - 1, axis=1)[:, :count]
        lists[start : start + len(keys)] = np.sort(part, axis=1)
    return lists


def _recipe(
    stem: str, rows: int, queries: int, data: str | os.PathLike[str] | None, metric: str, seed: int
) -> tuple[Callable[[], F32], str, list[Any]]:
    """How to make the rows of a set, what they are in words, and what identifies them."""
    total = rows + queries
    match = re.fullmatch(r"mixture(\d+)", stem)
    if match:
        dim = int(match.group(1))
        return (
            lambda: mixture(total, dim, seed),
            f"mixture in a latent space through a random network, seed {seed}",
            ["mixture", dim, seed],
        )
    file = _real_file(stem, data)
    if file is not None:
        return (
            lambda: _load_rows(file, total, seed),
            f"rows of {file.name}",
            ["rows", _digest(file), seed if file.suffix == ".npz" else 0],
        )
    parent = _real_file(stem.removesuffix("x"), data) if stem.endswith("x") else None
    if parent is not None:
        return (
            lambda: expand(total, _load_rows(parent, EXPANSION_SOURCE_ROWS, seed), metric, seed),
            f"expansion of rows of {parent.name}, seed {seed}",
            ["expand", _digest(parent), seed],
        )
    where = data_directory(data)
    raise FileNotFoundError(
        f"no set {stem!r}: no {stem}.npy in "
        + (f"{where}" if where else "a data directory (--data or SUTRA_BENCH_DATA)")
        + "; generated sets are words100x, <real>x and mixture<dim>"
    )


def _real_file(stem: str, data: str | os.PathLike[str] | None) -> Path | None:
    if stem == "words100":
        return words_file(data)
    root = data_directory(data)
    file = None if root is None else root / f"{stem}.npy"
    return file if file is not None and file.exists() else None


def _load_rows(file: Path, total: int, seed: int) -> F32:
    if file.suffix == ".npz":
        with np.load(file) as archive:
            vectors = archive["vectors"]
        order = np.random.default_rng([seed, 4]).permutation(len(vectors))
        return np.ascontiguousarray(vectors[order[:total]], dtype=np.float32)
    vectors = np.load(file, mmap_mode="r")
    return np.ascontiguousarray(vectors[:total], dtype=np.float32)


def _digest(file: Path) -> str:
    """Hash of size and of three samples of 1 MiB: enough to tell data files apart, quickly."""
    size = file.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with file.open("rb") as stream:
        for start in (0, size // 2, max(0, size - (1 << 20))):
            stream.seek(start)
            digest.update(stream.read(1 << 20))
    return digest.hexdigest()


def _write(
    folder: Path, name: str, metric: str, rows: F32, queries: int, source: str, key: str
) -> None:
    if len(rows) <= queries:
        raise ValueError(f"{name}: {len(rows)} rows leave no base after {queries} queries")
    query_rows, base = rows[:queries], rows[queries:]
    ids, distances = exact_neighbours(base, query_rows, metric, TRUTH_K)
    arrays: dict[str, npt.NDArray[Any]] = {
        "base": base,
        "queries": query_rows,
        "truth_ids": ids.astype(np.int32),
        "truth_distances": distances,
    }
    if metric == "cosine":
        arrays |= {"base_unit": unit_rows(base), "queries_unit": unit_rows(query_rows)}
    for stem, array in arrays.items():
        np.save(folder / f"{stem}.npy", np.ascontiguousarray(array))
    made = DataSet(
        name=name,
        metric=metric,
        dim=rows.shape[1],
        rows=len(base),
        queries=queries,
        intrinsic_dim=round(intrinsic_dimension(base, query_rows, ids, metric), 2),
        source=source,
        key=key,
        directory="",
    )
    fields = {field: value for field, value in asdict(made).items() if field != "directory"}
    (folder / "set.json").write_text(json.dumps(fields, indent=1))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options every script shares: --sets, --data, --rows."""
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="sets (default: all that exist)")
    parser.add_argument("--data", metavar="DIR", help="directory with <name>.npy files")
    parser.add_argument("--rows", type=int, default=100_000, help="base rows at most")


def main(arguments: list[str] | None = None) -> int:
    """Prepare sets and print one line about each."""
    parser = argparse.ArgumentParser(description="Prepare benchmark sets and describe them.")
    add_arguments(parser)
    options = parser.parse_args(arguments)
    print(f"{'set':<16}{'metric':<8}{'dim':>6}{'rows':>10}{'intrinsic dim':>15}  source")
    for name in options.sets or default_sets(options.data):
        made = prepare(name, rows=options.rows, data=options.data)
        print(
            f"{made.name:<16}{made.metric:<8}{made.dim:>6}{made.rows:>10,}"
            f"{made.intrinsic_dim:>15.1f}  {made.source}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
