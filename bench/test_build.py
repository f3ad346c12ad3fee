"""Build: seconds to index SUTRA_BENCH_ROWS rows (20,000) of each set with two threads.

The base is in memory before the clock starts. `extra_info` has recall@10 at ef 64, since a fast
build of a worse graph is no gain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench import adapters, data
from bench.cases import dataset, require

THREADS = 2
EF = 64


@pytest.mark.parametrize(
    "library", ["sutra-u8", "sutra-u4", "sutra-none", "hnswlib", "usearch-f32"]
)
@pytest.mark.parametrize("set_name", data.default_sets())
def test_build(benchmark: Any, set_name: str, library: str) -> None:
    """A fresh index each round."""
    require(library)
    chosen = dataset(set_name)
    adapter = adapters.make(library, chosen.metric, chosen.dim)
    base = np.array(chosen.base(unit=adapter.unit))
    benchmark.group = f"build {set_name} {chosen.rows} rows"
    benchmark.pedantic(adapter.build, args=(base, THREADS), rounds=2, iterations=1)
    adapter.set_knob(EF)
    queries = [adapter.prepare(row) for row in chosen.query_rows(unit=adapter.unit)]
    ids = np.stack([np.asarray(adapter.query_one(query, 10)) for query in queries])
    benchmark.extra_info |= {
        "rows": chosen.rows,
        "threads": THREADS,
        "ef": EF,
        "recall": chosen.recall(ids.astype(np.int64)),
    }
