"""What the pytest-benchmark cases share: prepared sets, built indexes, skips."""

from __future__ import annotations

from functools import cache, lru_cache

import pytest

from bench import adapters, data


@cache
def dataset(name: str) -> data.DataSet:
    """A set of SUTRA_BENCH_ROWS base rows (20,000 by default)."""
    return data.prepare(name, rows=data.default_rows())


@lru_cache(maxsize=2)
def built(library: str, set_name: str) -> adapters.Adapter:
    """An index of a library over a set, built with two threads; the last two are kept."""
    chosen = dataset(set_name)
    adapter = adapters.make(library, chosen.metric, chosen.dim)
    adapter.build(chosen.base(unit=adapter.unit), 2)
    return adapter


def require(library: str) -> None:
    """Skip the test where the library is not installed."""
    pytest.importorskip("sutra" if library.startswith("sutra") else library.partition("-")[0])
