"""Query: seconds for one pass over all queries of a set, one query a call, one thread.

`extra_info` has recall@10 and queries per second of the best pass. All libraries share this
process; `python -m bench.peers` keeps them apart and interleaves them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench import data
from bench.cases import built, dataset, require

LIBRARIES = ["sutra-u8", "sutra-u8-codes", "sutra-u4", "sutra-none", "hnswlib", "usearch-f32"]


@pytest.mark.parametrize("ef", [32, 128])
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("set_name", data.default_sets())
def test_query(benchmark: Any, set_name: str, library: str, ef: int) -> None:
    """Ten neighbours of every query."""
    require(library)
    chosen = dataset(set_name)
    adapter = built(library, set_name)
    adapter.set_knob(ef)
    queries = [adapter.prepare(row) for row in chosen.query_rows(unit=adapter.unit)]
    ids = np.stack([np.asarray(adapter.query_one(query, 10)) for query in queries])

    def one_pass() -> None:
        for query in queries:
            adapter.query_one(query, 10)

    benchmark.group = f"query {set_name} {chosen.rows} rows ef={ef}"
    benchmark.pedantic(one_pass, rounds=10, iterations=1, warmup_rounds=1)
    benchmark.extra_info |= {
        "rows": chosen.rows,
        "queries": len(queries),
        "recall": chosen.recall(ids.astype(np.int64)),
        "qps_best": len(queries) / benchmark.stats.stats.min,
    }
