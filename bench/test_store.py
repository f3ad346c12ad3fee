"""The store: seconds for a batch written durably, records read, links written, a search.

Small stores in the temporary directory; what a sync costs there is part of every write.
`python -m bench.store` measures at full size, beside other libraries.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import data

DIM = 384
ROWS = 10_000
BATCH = 1_000
MANY = 10_000

sutra: Any = pytest.importorskip("sutra")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    """An empty store, synced at every write."""
    with sutra.open(tmp_path / "store", dim=DIM, sync="full") as opened:
        yield opened


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A store of 10,000 vectors, all in the graph."""
    with sutra.open(tmp_path_factory.mktemp("filled") / "store", dim=DIM) as opened:
        opened.add(np.arange(ROWS), data.mixture(ROWS, DIM))
        opened.settle()
        yield opened


@pytest.mark.benchmark(group="store write")
def test_add_vectors(benchmark: Any, store: Any) -> None:
    """1,000 vectors a call."""
    rows, first = data.mixture(BATCH, DIM), count(0, BATCH)

    def add() -> None:
        at = next(first)
        store.add(np.arange(at, at + BATCH), rows)

    benchmark.pedantic(add, rounds=20, iterations=1, warmup_rounds=1)
    benchmark.extra_info |= {"concepts": BATCH, "dim": DIM}
    assert len(store) == 21 * BATCH


@pytest.mark.benchmark(group="store write")
def test_add_plain(benchmark: Any, store: Any) -> None:
    """10,000 concepts without vectors a call."""
    first = count(0, MANY)

    def add() -> None:
        at = next(first)
        store.add(np.arange(at, at + MANY))

    benchmark.pedantic(add, rounds=20, iterations=1, warmup_rounds=1)
    benchmark.extra_info |= {"concepts": MANY}
    assert len(store) == 21 * MANY


@pytest.mark.benchmark(group="store write")
def test_link(benchmark: Any, store: Any) -> None:
    """10,000 associations a call."""
    store.add(np.arange(MANY))
    rng = np.random.default_rng(0)
    done = []

    def link() -> None:
        done.append(store.link(*rng.integers(MANY, size=(2, MANY))).count)

    benchmark.pedantic(link, rounds=20, iterations=1, warmup_rounds=1)
    benchmark.extra_info |= {"associations": MANY}
    assert done == [MANY] * 21


@pytest.mark.benchmark(group="store read")
@pytest.mark.parametrize("way", ["records", "get"])
def test_look_up(benchmark: Any, filled: Any, way: str) -> None:
    """256 random ids a call."""
    ids = np.random.default_rng(1).integers(ROWS, size=256)
    found = benchmark(getattr(filled, way), ids)
    benchmark.extra_info |= {"ids": len(ids)}
    assert len(found) == len(ids)


@pytest.mark.benchmark(group="store read")
def test_search(benchmark: Any, filled: Any) -> None:
    """Ten neighbours of one query."""
    query = data.mixture(1, DIM, seed=1)[0]
    found = benchmark(filled.search, query, 10)
    assert len(found) == 10
