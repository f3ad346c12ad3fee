"""One class per library that searches with a filter, all with the same small surface.

What each is built with and which widths are tried stands in its class: for sutra, faiss-hnsw and
hnswlib one grid of ef; for inverted lists how many are probed; for LanceDB its ef and how many
times k it ranks again by the vectors, or a scan of what passes. sqlite-vec and qdrant-client
without a server have no index, so nothing to choose.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench import data, store_adapters
from bench.filter_cases import Case, Columns, K

M, EF_CONSTRUCTION = 16, 200
EF = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
NOTHING: tuple[None, ...] = (None,)
"""The grid of what has no width."""


class Library(ABC):
    """A library with the rows 0, 1, 2, ... of a set, to be searched with a filter."""

    module: ClassVar[str]
    widths: ClassVar[Sequence[Any]] = EF
    """Narrow first."""

    def __init__(self, base: data.F32, metric: str, columns: Columns, folder: Path) -> None:
        self.base, self.metric, self.columns, self.folder = base, metric, columns, folder
        self.width: Any = self.widths[0]
        self.build()

    @abstractmethod
    def build(self) -> None:
        """Index the rows."""

    def set_width(self, width: Any) -> None:
        """Choose a width for what is prepared and searched from now on."""
        self.width = width

    @abstractmethod
    def prepare(self, case: Case, query: int) -> Any:
        """Whatever of a filter can be made before the search."""

    @abstractmethod
    def search(self, query: data.F32, prepared: Any) -> Sequence[int]:
        """Ids of what is found."""


class Sutra(Library):
    """sutra.Index with a bitmap."""

    module = "sutra"

    def build(self) -> None:
        library = importlib.import_module("sutra")
        self.index = library.Index(
            self.base.shape[1], metric=self.metric, m=M, ef_construction=EF_CONSTRUCTION
        )
        self.index.add(self.base)

    def prepare(self, case: Case, query: int) -> Any:
        return case.bitmap(query)

    def search(self, query: data.F32, prepared: Any) -> Sequence[int]:
        found: Sequence[int] = self.index.search(
            query, K, ef=self.width, threads=1, filter=prepared
        ).ids
        return found


class Faiss(Library):
    """faiss with an IDSelectorBitmap."""

    module = "faiss"
    factory: ClassVar[str]

    def build(self) -> None:
        self.faiss = importlib.import_module("faiss")
        l2 = self.metric == "l2"
        kind = self.faiss.METRIC_L2 if l2 else self.faiss.METRIC_INNER_PRODUCT
        self.index = self.faiss.index_factory(self.base.shape[1], self.factory, kind)
        if self.factory.startswith("HNSW"):
            self.index.hnsw.efConstruction = EF_CONSTRUCTION
        rows = data.unit_rows(self.base) if self.metric == "cosine" else self.base
        self.index.train(rows)
        self.index.add(rows)
        self.faiss.omp_set_num_threads(1)

    def prepare(self, case: Case, query: int) -> Any:
        bits = np.ascontiguousarray(case.bitmap(query))
        selector = self.faiss.IDSelectorBitmap(bits)
        return self.parameters(selector), selector, bits

    @abstractmethod
    def parameters(self, selector: Any) -> Any:
        """Of a search."""

    def search(self, query: data.F32, prepared: Any) -> Sequence[int]:
        found: Sequence[int] = self.index.search(query[None], K, params=prepared[0])[1][0]
        return found


class FaissHnsw(Faiss):
    """Its graph."""

    factory = f"HNSW{M}"

    def parameters(self, selector: Any) -> Any:
        return self.faiss.SearchParametersHNSW(sel=selector, efSearch=self.width)


class FaissFlat(Faiss):
    """Its scan."""

    factory = "Flat"
    widths = NOTHING

    def parameters(self, selector: Any) -> Any:
        return self.faiss.SearchParameters(sel=selector)


class FaissIvf(Faiss):
    """Its inverted lists."""

    factory = "IVF512,Flat"
    widths = (4, 8, 16, 32, 64, 128, 256, 512)

    def parameters(self, selector: Any) -> Any:
        return self.faiss.SearchParametersIVF(sel=selector, nprobe=self.width)


class Hnswlib(Library):
    """hnswlib with a Python callable, which is all it takes: the quickest, a look-up in bytes."""

    module = "hnswlib"

    def build(self) -> None:
        self.index = importlib.import_module("hnswlib").Index(self.metric, self.base.shape[1])
        self.index.init_index(len(self.base), ef_construction=EF_CONSTRUCTION, M=M)
        self.index.add_items(self.base)
        self.index.set_num_threads(1)

    def set_width(self, width: Any) -> None:
        self.index.set_ef(width)

    def prepare(self, case: Case, query: int) -> Any:
        return case.mask(query, len(self.base)).tobytes().__getitem__

    def search(self, query: data.F32, prepared: Any) -> Sequence[int]:
        try:
            found: Sequence[int] = self.index.knn_query(query, K, num_threads=1, filter=prepared)[
                0
            ][0]
        except RuntimeError:  # it found fewer than k, and says no more than that
            return []
        return found


class Lancedb(Library):
    """LanceDB: a condition before the search, on indexed columns. It takes the threads it wants."""

    module = "lancedb"
    widths = (
        (32, None),
        (64, None),
        (64, 2),
        (128, 2),
        (256, 4),
        (512, 8),
        "scan",
    )

    def build(self) -> None:
        arrow = importlib.import_module("pyarrow")
        index = importlib.import_module("lancedb.index")
        rows = arrow.FixedSizeListArray.from_arrays(
            arrow.array(self.base.reshape(-1)), self.base.shape[1]
        )
        columns = {"share": self.columns.shares, "region": self.columns.regions}
        table = arrow.table({"id": np.arange(len(self.base)), "vector": rows, **columns})
        database = importlib.import_module("lancedb").connect(self.folder / "lancedb")
        self.table = database.create_table("vectors", table)
        kind = index.IvfHnswSq(distance_type=self.metric, m=M, ef_construction=EF_CONSTRUCTION)
        self.table.create_index("vector", config=kind)
        self.table.create_index("share", config=index.BTree())
        self.table.create_index("region", config=index.Bitmap())

    def prepare(self, case: Case, query: int) -> Any:
        return case.condition(query)

    def search(self, query: data.F32, prepared: Any) -> Sequence[int]:
        asked = self.table.search(query).distance_type(self.metric)
        if self.width == "scan":
            asked = asked.bypass_vector_index()
        else:
            ef, again = self.width
            asked = asked.ef(ef) if again is None else asked.ef(ef).refine_factor(again)
        asked = asked.where(prepared, prefilter=True).select(["id", "_distance"])
        found: Sequence[int] = asked.limit(K).to_arrow()["id"].to_numpy()
        return found


class SqliteVec(Library):
    """sqlite-vec: a condition on metadata columns; every search is a scan."""

    module = "sqlite_vec"
    widths = NOTHING

    def build(self) -> None:
        self.connection = store_adapters.sqlite(self.folder / "vec.db")
        measure = "cosine" if self.metric == "cosine" else "L2"
        self.connection.execute(
            f"CREATE VIRTUAL TABLE vectors USING vec0(id INTEGER PRIMARY KEY, share FLOAT, "
            f"region INTEGER, vector FLOAT[{self.base.shape[1]}] distance_metric={measure})"
        )
        columns = self.columns.shares.tolist(), self.columns.regions.tolist()
        rows = zip(range(len(self.base)), *columns, map(bytes, self.base), strict=True)
        self.connection.execute("BEGIN")
        self.connection.executemany("INSERT INTO vectors VALUES (?, ?, ?, ?)", rows)
        self.connection.execute("COMMIT")

    def prepare(self, case: Case, query: int) -> Any:
        return (
            "SELECT id FROM vectors WHERE vector MATCH ? AND k = ? AND "
            f"{case.condition(query)} ORDER BY distance"
        )

    def search(self, query: data.F32, prepared: Any) -> Sequence[int]:
        return [id for (id,) in self.connection.execute(prepared, (query.tobytes(), K))]


class Qdrant(Library):
    """qdrant-client without a server: payloads compared in Python; every search is a scan."""

    module = "qdrant_client"
    widths = NOTHING

    def build(self) -> None:
        library = importlib.import_module("qdrant_client")
        self.models = models = library.models
        self.client = library.QdrantClient(":memory:")
        distance = models.Distance.EUCLID if self.metric == "l2" else models.Distance.COSINE
        parameters = models.VectorParams(size=self.base.shape[1], distance=distance)
        self.client.create_collection("vectors", parameters)
        shares, regions = self.columns.shares.tolist(), self.columns.regions.tolist()
        for first in range(0, len(self.base), 10_000):
            part = self.base[first : first + 10_000]
            ids = list(range(first, first + len(part)))
            payloads = [{"share": shares[row], "region": regions[row]} for row in ids]
            batch = models.Batch(ids=ids, vectors=part.tolist(), payloads=payloads)
            self.client.upsert("vectors", batch)

    def prepare(self, case: Case, query: int) -> Any:
        models = self.models
        if case.regions is None:
            condition = models.FieldCondition(key="share", range=models.Range(lt=case.share))
        else:
            chosen = models.MatchAny(any=case.regions[query])
            condition = models.FieldCondition(key="region", match=chosen)
        return models.Filter(must=[condition])

    def search(self, query: data.F32, prepared: Any) -> Sequence[int]:
        found = self.client.query_points(
            "vectors", query=query, limit=K, query_filter=prepared, with_payload=False
        )
        return [point.id for point in found.points]


LIBRARIES: dict[str, type[Library]] = {
    "sutra": Sutra,
    "faiss-hnsw": FaissHnsw,
    "faiss-ivf": FaissIvf,
    "faiss-flat": FaissFlat,
    "hnswlib": Hnswlib,
    "lancedb": Lancedb,
    "sqlite-vec": SqliteVec,
    "qdrant-local": Qdrant,
}
