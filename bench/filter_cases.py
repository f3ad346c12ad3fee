"""The filters of bench.filters: what passes, as bits and as conditions on columns.

Every row has two columns: `share`, a uniform random number, and `region`, the nearest of 1,000
random rows. A filter asks for ``share < s``, or for regions until their rows make up the share:
those nearest to the query ("near"), or those farthest from it ("far", the hard case: the graph
leads to the query, and what may be found lies elsewhere).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import data

K = 10
REGIONS = 1_000
SHARES = (0.5, 0.1, 0.01, 0.001)
KINDS = ("random", "near", "far")


@dataclass(frozen=True)
class Columns:
    """What filters are on, one value a row."""

    shares: data.F32
    regions: data.Ids


@dataclass(frozen=True)
class Case:
    """A filter for each query."""

    kind: str
    share: float
    bits: npt.NDArray[np.uint8]
    """What passes, packed from the lowest bit on: a row a query, or one for all of them."""
    regions: list[list[int]] | None
    """Of each query; None: ``share < self.share``."""

    @property
    def name(self) -> str:
        """As it stands in the table."""
        return f"{self.kind} {100 * self.share:g} %"

    def bitmap(self, query: int) -> npt.NDArray[np.uint8]:
        """What passes for a query, packed."""
        row: npt.NDArray[np.uint8] = self.bits[query % len(self.bits)]
        return row

    def mask(self, query: int, rows: int) -> npt.NDArray[np.bool_]:
        """What passes for a query, a truth value a row."""
        return np.unpackbits(self.bitmap(query), count=rows, bitorder="little").view(np.bool_)

    def condition(self, query: int) -> str:
        """The filter of a query in SQL."""
        if self.regions is None:
            return f"share < {self.share}"
        return f"region IN ({', '.join(map(str, self.regions[query]))})"


def make(base: data.F32, queries: data.F32, metric: str) -> tuple[list[Case], Columns]:
    """All filters, and the columns they are on."""
    rng = np.random.default_rng(0)
    shares = rng.random(len(base), dtype=np.float32)
    centres = base[rng.choice(len(base), min(REGIONS, len(base)), replace=False)]
    blocks = np.array_split(base, len(base) // 2_000 + 1)
    nearest = [np.argmin(rough_distances(block, centres, metric), axis=1) for block in blocks]
    regions = np.concatenate(nearest).astype(np.int64)
    sizes = np.bincount(regions, minlength=len(centres))
    order = np.argsort(rough_distances(queries, centres, metric), axis=1)
    orders = {"near": order, "far": order[:, ::-1]}
    cases = [
        Case("random", share, np.packbits(shares[None] < share, axis=1, bitorder="little"), None)
        for share in SHARES
    ]
    for kind, rows in orders.items():
        for share in SHARES:
            enough = [np.searchsorted(np.cumsum(sizes[row]), share * len(base)) + 1 for row in rows]
            chosen = [sorted(row[:few].tolist()) for row, few in zip(rows, enough, strict=True)]
            masks = [np.isin(regions, one) for one in chosen]
            bits = np.stack([np.packbits(mask, bitorder="little") for mask in masks])
            cases.append(Case(kind, share, bits, chosen))
    return cases, Columns(shares, regions)


def rough_distances(left: data.F32, right: data.F32, metric: str) -> data.F32:
    """Distances of all to all in float32, a constant a row aside: to divide and to rank roughly."""
    if metric == "cosine":
        left, right = data.unit_rows(left), data.unit_rows(right)
    table: data.F32 = -2 * (left @ right.T)
    if metric == "l2":
        table += np.einsum("ij,ij->i", right, right)
    return table


class Truth:
    """What a filtered search must find, and how much of it was found."""

    def __init__(
        self, base: data.F32, queries: data.F32, rough: data.F32, case: Case, metric: str
    ) -> None:
        """Rank what passes; `rough` are the rough distances of all queries to all rows."""
        self.base, self.queries, self.case, self.metric = base, queries, case, metric
        self.wanted: list[int] = []
        self.limits: list[float] = []
        for number in range(len(queries)):
            passing = np.flatnonzero(case.mask(number, len(base)))
            few = min(10 * K, len(passing))
            nearest = np.argpartition(rough[number, passing], max(0, few - 1))[:few]
            candidates = passing[nearest]
            exact = np.sort(self._distances(number, candidates))[:K]
            self.wanted.append(len(exact))
            self.limits.append(float(exact[-1]) if len(exact) else 0.0)

    def _distances(self, query: int, rows: data.Ids) -> data.F64:
        asked, near = self.queries[query][None], self.base[rows][None]
        exact: data.F64 = data.exact_distances(asked, near, self.metric)[0]
        return exact

    def recall(self, found: Any) -> float:
        """Recall@10 of the first ``len(found)`` queries; ties with the last count as found."""
        hits = wanted = 0
        for number, ids in enumerate(found):
            unique = np.unique(np.asarray(ids, dtype=np.int64))
            unique = unique[unique >= 0]
            if not self.case.mask(number, len(self.base))[unique].all():
                raise AssertionError(f"{self.case.name}: found what does not pass")
            limit = self.limits[number]
            near = self._distances(number, unique) <= limit + 1e-6 * (1 + abs(limit))
            hits += min(int(near.sum()), self.wanted[number])
            wanted += self.wanted[number]
        return hits / max(1, wanted)
