"""Measure searches with a filter beside other libraries: ``python -m bench.filters``.

Every vector has two columns: `share`, a uniform random number, and `region`, the nearest of
1,000 random vectors. A filter asks for ``share < s`` (random), or for regions until their rows make
up the share: those nearest to the query ("near"), or those farthest from it ("far", the hard case:
the graph leads to the query, and what may be found lies elsewhere). Filters of sutra, faiss and
hnswlib are prepared outside all timing (a bitmap each, a Python function for hnswlib, which takes
nothing else); LanceDB, qdrant-client and sqlite-vec get a condition on indexed columns.

For every set, kind and share the table has the highest rate of queries, one a call, one query
thread (LanceDB takes what threads it wants), among the widths whose recall@10 is at least 0.95
against an exact scan of what passes; and that recall. Libraries take turns, round by round; the
best burst of each counts.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bench import data, machine
from bench.peers import say

K = 10
RECALL = 0.95
REGIONS = 1_000
SHARES = (0.5, 0.1, 0.01, 0.001)
KINDS = ("random", "near", "far")
M, EF_CONSTRUCTION = 16, 200
WIDTHS = (16, 32, 64, 128, 256, 512, 1024)
ONCE: tuple[int, ...] = (0,)
"""The grid of what has no width: one place."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """A filter for each query: masks, and the same as conditions on columns."""

    kind: str
    share: float
    masks: Bools
    regions: list[list[int]] | None
    """Of each query; None: ``share < self.share``."""

    def condition(self, query: int) -> str:
        """Return the filter of a query in SQL."""
        if self.regions is None:
            return f"share < {self.share}"
        return f"region IN ({', '.join(map(str, self.regions[query]))})"


class Library(ABC):
    """A library with an index that can be searched with a filter."""

    module: ClassVar[str]
    widths: ClassVar[Sequence[int]] = WIDTHS

    @abstractmethod
    def __init__(
        self, base: data.F32, metric: str, shares: data.F32, regions: data.Ids, folder: Path
    ) -> None: ...

    @abstractmethod
    def prepare(self, case: Case, query: int) -> Any:
        """Whatever of a filter can be made before the search."""

    @abstractmethod
    def search(self, query: data.F32, width: int, prepared: Any) -> Sequence[int]:
        """Ids of what is found."""


class Sutra(Library):
    """sutra.Index, a bitmap."""

    module = "sutra"

    def __init__(self, base: data.F32, metric: str, *_: Any) -> None:
        self.index = importlib.import_module("sutra").Index(base.shape[1], metric=metric, m=M)
        self.index.add(base)

    def prepare(self, case: Case, query: int) -> Any:
        return np.packbits(case.masks[query], bitorder="little")

    def search(self, query: data.F32, width: int, prepared: Any) -> Sequence[int]:
        found: Sequence[int] = self.index.search(query, K, ef=width, filter=prepared).ids
        return found


class Faiss(Library):
    """faiss with an IDSelectorBitmap."""

    module = "faiss"
    factory: ClassVar[str]

    def __init__(self, base: data.F32, metric: str, *_: Any) -> None:
        self.faiss = importlib.import_module("faiss")
        self.unit = metric == "cosine"
        kind = self.faiss.METRIC_INNER_PRODUCT if self.unit else self.faiss.METRIC_L2
        self.index = self.faiss.index_factory(base.shape[1], self.factory, kind)
        rows = data.unit_rows(base) if self.unit else np.ascontiguousarray(base)
        self.index.train(rows)
        self.index.add(rows)
        self.faiss.omp_set_num_threads(1)

    def prepare(self, case: Case, query: int) -> Any:
        bits = np.packbits(case.masks[query], bitorder="little")
        return bits, self.faiss.IDSelectorBitmap(bits)

    @abstractmethod
    def parameters(self, width: int, selector: Any) -> Any:
        """Of a search."""

    def search(self, query: data.F32, width: int, prepared: Any) -> Sequence[int]:
        found: Sequence[int] = self.index.search(
            query[None], K, params=self.parameters(width, prepared[1])
        )[1][0]
        return found


class FaissHnsw(Faiss):
    """Its graph."""

    factory = f"HNSW{M}"

    def parameters(self, width: int, selector: Any) -> Any:
        return self.faiss.SearchParametersHNSW(sel=selector, efSearch=width)


class FaissFlat(Faiss):
    """Its scan."""

    factory = "Flat"
    widths = ONCE

    def parameters(self, width: int, selector: Any) -> Any:
        return self.faiss.SearchParameters(sel=selector)


class FaissIvf(Faiss):
    """Its inverted lists."""

    factory = "IVF512,Flat"
    widths = (4, 8, 16, 32, 64, 128, 512)

    def parameters(self, width: int, selector: Any) -> Any:
        return self.faiss.SearchParametersIVF(sel=selector, nprobe=width)


class Hnswlib(Library):
    """hnswlib, a Python function."""

    module = "hnswlib"

    def __init__(self, base: data.F32, metric: str, *_: Any) -> None:
        self.index = importlib.import_module("hnswlib").Index(metric, base.shape[1])
        self.index.init_index(len(base), ef_construction=EF_CONSTRUCTION, M=M)
        self.index.add_items(base)
        self.index.set_num_threads(1)

    def prepare(self, case: Case, query: int) -> Any:
        return case.masks[query].tobytes().__getitem__

    def search(self, query: data.F32, width: int, prepared: Any) -> Sequence[int]:
        self.index.set_ef(width)
        try:
            found: Sequence[int] = self.index.knn_query(query, K, filter=prepared)[0][0]
        except RuntimeError:  # fewer than k found
            return []
        return found


class Lancedb(Library):
    """LanceDB, a condition, with an index of vectors and one of each column."""

    module = "lancedb"

    def __init__(
        self, base: data.F32, metric: str, shares: data.F32, regions: data.Ids, folder: Path
    ) -> None:
        arrow = importlib.import_module("pyarrow")
        index = importlib.import_module("lancedb.index")
        self.metric = metric
        rows = arrow.FixedSizeListArray.from_arrays(
            arrow.array(np.ascontiguousarray(base).reshape(-1)), base.shape[1]
        )
        table = {"id": np.arange(len(base)), "vector": rows, "share": shares, "region": regions}
        database = importlib.import_module("lancedb").connect(folder / "lancedb")
        self.table = database.create_table("vectors", arrow.table(table))
        kind = index.IvfHnswSq(distance_type=metric, m=M, ef_construction=EF_CONSTRUCTION)
        self.table.create_index("vector", config=kind)
        self.table.create_index("share", config=index.BTree())
        self.table.create_index("region", config=index.Bitmap())

    def prepare(self, case: Case, query: int) -> Any:
        return case.condition(query)

    def search(self, query: data.F32, width: int, prepared: Any) -> Sequence[int]:
        asked = self.table.search(query).distance_type(self.metric).ef(width)
        asked = asked.where(prepared, prefilter=True).select(["id", "_distance"])
        found: Sequence[int] = asked.limit(K).to_arrow()["id"].to_numpy()
        return found


class SqliteVec(Library):
    """sqlite-vec, a condition on metadata columns; every search is a scan."""

    module = "sqlite_vec"
    widths = ONCE

    def __init__(
        self, base: data.F32, metric: str, shares: data.F32, regions: data.Ids, folder: Path
    ) -> None:
        adapter = importlib.import_module("bench.store_adapters")
        self.connection = adapter._sqlite(folder / "vec.db")
        measure = "cosine" if metric == "cosine" else "L2"
        self.connection.execute(
            f"CREATE VIRTUAL TABLE vectors USING vec0(id INTEGER PRIMARY KEY, share FLOAT, "
            f"region INTEGER, vector FLOAT[{base.shape[1]}] distance_metric={measure})"
        )
        self.connection.execute("BEGIN")
        self.connection.executemany(
            "INSERT INTO vectors (id, share, region, vector) VALUES (?, ?, ?, ?)",
            (
                (row, float(shares[row]), int(regions[row]), base[row].tobytes())
                for row in range(len(base))
            ),
        )
        self.connection.execute("COMMIT")

    def prepare(self, case: Case, query: int) -> Any:
        return (
            "SELECT id FROM vectors WHERE vector MATCH ? AND k = ? AND "
            f"{case.condition(query)} ORDER BY distance"
        )

    def search(self, query: data.F32, width: int, prepared: Any) -> Sequence[int]:
        return [id for (id,) in self.connection.execute(prepared, (query.tobytes(), K))]


class Qdrant(Library):
    """qdrant-client's local mode; every search is a scan."""

    module = "qdrant_client"
    widths = ONCE

    def __init__(
        self, base: data.F32, metric: str, shares: data.F32, regions: data.Ids, folder: Path
    ) -> None:
        library = importlib.import_module("qdrant_client")
        self.models = library.models
        self.client = library.QdrantClient(":memory:")
        distance = (
            self.models.Distance.COSINE if metric == "cosine" else self.models.Distance.EUCLID
        )
        self.client.create_collection(
            "vectors", self.models.VectorParams(size=base.shape[1], distance=distance)
        )
        for first in range(0, len(base), 10_000):
            rows = range(first, min(first + 10_000, len(base)))
            self.client.upsert(
                "vectors",
                self.models.Batch(
                    ids=list(rows),
                    vectors=base[rows.start : rows.stop].tolist(),
                    payloads=[
                        {"share": float(shares[row]), "region": int(regions[row])} for row in rows
                    ],
                ),
            )

    def prepare(self, case: Case, query: int) -> Any:
        models = self.models
        if case.regions is None:
            condition = models.FieldCondition(key="share", range=models.Range(lt=case.share))
        else:
            condition = models.FieldCondition(
                key="region", match=models.MatchAny(any=case.regions[query])
            )
        return models.Filter(must=[condition])

    def search(self, query: data.F32, width: int, prepared: Any) -> Sequence[int]:
        found = self.client.query_points(
            "vectors", query=query, limit=K, query_filter=prepared, with_payload=False
        )
        return [point.id for point in found.points]


LIBRARIES: dict[str, Callable[..., Library]] = {
    "sutra": Sutra,
    "faiss-hnsw": FaissHnsw,
    "faiss-flat": FaissFlat,
    "faiss-ivf": FaissIvf,
    "hnswlib": Hnswlib,
    "lancedb": Lancedb,
    "sqlite-vec": SqliteVec,
    "qdrant-local": Qdrant,
}


def cases(base: data.F32, queries: data.F32, metric: str) -> tuple[list[Case], data.F32, data.Ids]:
    """Return the filters, and the columns they are on."""
    rng = np.random.default_rng(0)
    shares = rng.random(len(base), dtype=np.float32)
    centres = base[rng.choice(len(base), REGIONS, replace=False)]
    regions = np.concatenate(
        [
            np.argmin(_table(part, centres, metric), axis=1)
            for part in np.array_split(np.asarray(base), len(base) // 2_000 + 1)
        ]
    ).astype(np.int64)
    sizes = np.bincount(regions, minlength=REGIONS)
    order = np.argsort(_table(queries, centres, metric), axis=1)
    made = []
    for kind in KINDS:
        for share in SHARES:
            if kind == "random":
                masks = np.broadcast_to(shares < share, (len(queries), len(base)))
                made.append(Case(kind, share, masks, None))
                continue
            chosen = []
            for row in order if kind == "near" else order[:, ::-1]:
                enough = np.searchsorted(np.cumsum(sizes[row]), share * len(base)) + 1
                chosen.append(sorted(row[:enough].tolist()))
            masks = np.stack([np.isin(regions, one) for one in chosen])
            made.append(Case(kind, share, masks, chosen))
    return made, shares, regions


def _table(left: data.F32, right: data.F32, metric: str) -> npt.NDArray[np.float32]:
    """Distances of all to all, in float32: to divide into regions and to rank roughly."""
    if metric == "cosine":
        left, right = data.unit_rows(left), data.unit_rows(right)
    table: npt.NDArray[np.float32] = (right**2).sum(axis=1) - 2 * (left @ right.T)
    return table


def kth_distances(
    base: data.F32, queries: data.F32, case: Case, metric: str
) -> npt.NDArray[np.float64]:
    """Exact distance of the K-th nearest that passes, for each query."""
    out = []
    for query, mask in zip(queries, case.masks, strict=True):
        passing = np.flatnonzero(mask)
        rough = _table(query[None], base[passing], metric)[0]
        near = passing[np.argsort(rough)[: 10 * K]]
        exact = np.sort(data.exact_distances(query[None], base[near][None], metric)[0])
        out.append(exact[min(K, len(exact)) - 1])
    return np.array(out)


class Race:
    """Libraries over one set, turn by turn."""

    def __init__(self, dataset: data.DataSet, count: int, folder: Path, names: Sequence[str]):
        self.dataset = dataset
        self.base = np.array(dataset.base())
        self.queries = dataset.query_rows()[:count]
        self.cases, shares, regions = cases(self.base, self.queries, dataset.metric)
        self.libraries = {}
        for name in names:
            start = time.perf_counter()
            made = LIBRARIES[name](self.base, dataset.metric, shares, regions, folder)
            self.libraries[name] = made
            say(f"  {name}: built in {time.perf_counter() - start:.0f} s")

    def recall(self, found: Sequence[Sequence[int]], case: Case, limits: Any) -> float:
        """Share of the K nearest that were found; all of fewer than K count as K."""
        hits = 0.0
        for row, (ids, limit) in enumerate(zip(found, limits, strict=False)):
            unique = np.unique(np.asarray(ids, dtype=np.int64))
            unique = unique[unique >= 0]
            if not case.masks[row][unique].all():
                raise AssertionError("found what does not pass")
            distances = data.exact_distances(
                self.queries[row : row + 1], self.base[unique][None], self.dataset.metric
            )[0]
            wanted = min(K, int(case.masks[row].sum()))
            hits += (distances <= limit + 1e-6 * (1 + abs(limit))).sum() / max(1, wanted)
        return hits / len(found)

    def burst(
        self, library: Library, width: int, prepared: list[Any], seconds: float
    ) -> tuple[float, list[Sequence[int]]]:
        """Queries per second over all queries, or as many as there is time for; what was found."""
        found = []
        start = time.perf_counter()
        for query, filter in zip(self.queries, prepared, strict=True):
            found.append(library.search(query, width, filter))
            if time.perf_counter() - start > seconds:
                break
        return len(found) / (time.perf_counter() - start), found

    def run(self, case: Case, rounds: int, seconds: float) -> dict[str, dict[str, float] | None]:
        """Best rate of each library with enough recall; None if no width has it."""
        limits = kth_distances(self.base, self.queries, case, self.dataset.metric)
        best: dict[str, dict[str, float] | None] = {}
        ready = {
            name: [library.prepare(case, row) for row in range(len(self.queries))]
            for name, library in self.libraries.items()
        }
        good: dict[str, list[int]] = {}
        for name, library in self.libraries.items():
            best[name] = None
            for width in library.widths:
                _, found = self.burst(library, width, ready[name], 5 * seconds)
                if self.recall(found, case, limits) >= RECALL:
                    good[name] = [width]  # narrower is faster
                    break
        for _ in range(rounds):
            for name, widths in good.items():
                for width in widths:
                    rate, found = self.burst(self.libraries[name], width, ready[name], seconds)
                    recall = self.recall(found, case, limits)
                    before = best[name]
                    if before is None or rate > before["rate"]:
                        best[name] = {"rate": rate, "recall": recall, "width": width}
        return best


def main(arguments: list[str] | None = None) -> int:
    """Race, print, write."""
    parser = argparse.ArgumentParser(description="Measure searches with a filter beside others.")
    data.add_arguments(parser)
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES), metavar="NAME")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a burst, at most")
    parser.add_argument("--output", metavar="FILE.json")
    options = parser.parse_args(arguments)
    names = [name for name in options.libraries if find_spec(_module(name))]
    say(f"not installed: {', '.join(set(options.libraries) - set(names)) or 'none missing'}")
    results = []
    for set_name in options.sets or data.default_sets(options.data):
        dataset = data.prepare(set_name, rows=options.rows, data=options.data)
        print(f"\n{dataset.name}: {dataset.rows:,} x {dataset.dim}, {dataset.metric}")
        folder = Path(tempfile.mkdtemp(prefix="sutra-filters-"))
        try:
            race = Race(dataset, options.queries, folder, names)
            for case in race.cases:
                best = race.run(case, options.rounds, options.seconds)
                results.append(
                    {"set": dataset.name, "kind": case.kind, "share": case.share, "best": best}
                )
                print(line(case, best), flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    if options.output:
        report = {"schema": "sutra-bench-filters/1", "machine": machine.describe()}
        Path(options.output).write_text(json.dumps({**report, "results": results}, indent=1))
    return 0


def _module(name: str) -> str:
    made = LIBRARIES[name]
    return str(getattr(made, "module", name))


def line(case: Case, best: dict[str, dict[str, float] | None]) -> str:
    """One row of the table: sutra, its ratio to the best peer, and all peers."""
    peers = {name: got["rate"] for name, got in best.items() if got and name != "sutra"}
    ours = best.get("sutra")
    out = f"{case.kind:<7}{case.share:>6.1%}"
    if ours:
        out += f"  sutra {ours['rate']:>9,.0f}/s at {ours['recall']:.3f} (ef {ours['width']})"
        if peers:
            name = max(peers, key=lambda peer: peers[peer])
            out += f"  {ours['rate'] / peers[name]:.2f}x {name}"
    else:
        out += "  sutra: recall not reached"
    for name, got in best.items():
        if name != "sutra":
            out += f"; {name} " + (f"{got['rate']:,.0f}" if got else "below")
    return out


if __name__ == "__main__":
    raise SystemExit(main())
