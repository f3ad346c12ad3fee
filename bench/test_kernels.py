"""Kernels: one query against 1,000 contiguous rows per call.

Microseconds per call are nanoseconds per row. Groups hold the same types and dimension; NumKong
appears in each of its fitting ways where it is installed. `python -m bench.kernels` interleaves
the contenders and is what ratios should be taken from.
"""

from __future__ import annotations

from typing import Any

import pytest

from bench import kernels

CASES = [
    pytest.param(case, dim, id=f"{case.kernel}-{dim}")
    for case in kernels.CASES
    for dim in kernels.DIMS
]


def group(case: kernels.Case, dim: int) -> str:
    """Name of the group both libraries' cases share."""
    return f"{case.types} {case.metric} d={dim:04}"


@pytest.mark.parametrize(("case", "dim"), CASES)
def test_sutra(benchmark: Any, case: kernels.Case, dim: int) -> None:
    """Our kernel."""
    pytest.importorskip("sutra")
    benchmark.group = group(case, dim)
    benchmark.extra_info |= {"rows": kernels.ROWS, "dim": dim}
    benchmark(kernels.ours(case, dim))


@pytest.mark.parametrize("way", ["function", "cdist f64", "cdist f32", "packed"])
@pytest.mark.parametrize(("case", "dim"), CASES)
def test_numkong(benchmark: Any, case: kernels.Case, dim: int, way: str) -> None:
    """NumKong's kernel for the same types."""
    pytest.importorskip("numkong")
    calls = kernels.numkong(case, dim)
    if way not in calls:
        pytest.skip(f"no {way} call for {case.numkong_metric}")
    benchmark.group = group(case, dim)
    benchmark.extra_info |= {"rows": kernels.ROWS, "dim": dim}
    benchmark(calls[way])
