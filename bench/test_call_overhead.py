"""Call overhead: one search for ten neighbours in an index of one 128-dimensional vector.

Unit: seconds per call, from Python. Nothing is left to compute, so this is the border alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

DIM = 128
ROW = np.random.default_rng(0).standard_normal((1, DIM)).astype(np.float32)
QUERY = np.random.default_rng(1).standard_normal(DIM).astype(np.float32)

pytestmark = pytest.mark.benchmark(group="call overhead")


@pytest.mark.parametrize("quantization", ["u8", "u4", "none"])
def test_sutra(benchmark: Any, quantization: str) -> None:
    """`Index.search(query, 10)`."""
    sutra = pytest.importorskip("sutra")
    index = sutra.Index(DIM, metric="cosine", quantization=quantization)
    index.add(ROW)
    assert list(index.search(QUERY, 10).ids[:2]) == [0, -1]
    benchmark(index.search, QUERY, 10)


def test_sutra_unpacked(benchmark: Any) -> None:
    """The same with the result unpacked into ids and distances."""
    sutra = pytest.importorskip("sutra")
    index = sutra.Index(DIM, metric="cosine")
    index.add(ROW)

    def search() -> Any:
        ids, distances = index.search(QUERY, 10)
        return ids, distances

    benchmark(search)


def test_hnswlib(benchmark: Any) -> None:
    """`knn_query` for one neighbour: hnswlib raises when it finds fewer than asked for."""
    hnswlib: Any = pytest.importorskip("hnswlib")
    index = hnswlib.Index("cosine", DIM)
    index.init_index(1, M=16, ef_construction=200)
    index.add_items(ROW)
    index.set_num_threads(1)
    benchmark(index.knn_query, QUERY, 1)


def test_usearch(benchmark: Any) -> None:
    """`Index.search(query, 10, threads=1)`."""
    library: Any = pytest.importorskip("usearch.index")
    index = library.Index(ndim=DIM, metric="cos", dtype="f32", connectivity=16)
    index.add(np.arange(1, dtype=np.uint64), ROW)
    benchmark(lambda: index.search(QUERY, 10, threads=1))
