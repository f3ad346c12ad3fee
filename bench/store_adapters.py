"""Stores beside sutra's: one class per library, all with the same small surface.

Every library is used in the most durable mode it offers, with a graph of the same kind and size
where it has one (16 neighbours, 200 candidates) and its defaults otherwise. Ids are numbers from 0
on. What a library wants in a form of its own (text ids, Arrow tables, objects) is prepared outside
all timing, which favours it slightly; sutra gets the arrays as they are.
"""

from __future__ import annotations

import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.data import F32, Ids

M = 16
EF_CONSTRUCTION = 200
EF = 64
"""Width of searches for the recall that is shown beside the time of indexing."""


class Store(ABC):
    """A library with a store in a folder, made if it is not there. Vectors are compared by cosine.

    What a library cannot do raises `NotImplementedError` with the reason.
    """

    distribution: ClassVar[str]
    durable: ClassVar[str]
    """What is on the medium when a write returns."""
    synced: ClassVar[bool] = True
    """Whether that is anything at all."""
    indexing: ClassVar[str]
    """What finds neighbours, and when it is made."""
    indexes: ClassVar[bool] = True
    """Whether there is an index at all."""

    def __init__(self, folder: Path, dim: int, threads: int) -> None:
        self.folder = folder
        self.dim = dim
        self.threads = threads

    def prepare(self, first: int, vectors: F32) -> Any:
        """Rows first, first + 1, ... in the form that `add` takes."""
        return first, vectors

    @abstractmethod
    def add(self, prepared: Any) -> None:
        """Write a batch of vectors, durable as far as the library goes when this returns."""

    def finish(self) -> None:  # noqa: B027 nothing to do for most
        """Wait until every vector is in the index."""

    @abstractmethod
    def search(self, query: F32, k: int) -> Sequence[int]:
        """Ids of the nearest, by the library's ordinary call."""

    def prepare_plain(self, ids: Ids) -> Any:
        """Ids of concepts without vectors in the form that `add_plain` takes."""
        return ids

    def add_plain(self, prepared: Any) -> None:
        """Write a batch of concepts without vectors."""
        raise NotImplementedError("every item needs a vector")

    def finish_plain(self) -> None:  # noqa: B027
        """Make whatever the library needs for reading by id."""

    def prepare_ids(self, ids: Ids) -> Any:
        """Ids in the form that `get` takes."""
        return ids.tolist()

    def get(self, prepared: Any) -> int:
        """Read concepts without vectors by id; how many there were."""
        raise NotImplementedError("no reading by id")

    def link(self, sources: Ids, targets: Ids) -> None:
        """Write a batch of associations that can be followed in both directions."""
        raise NotImplementedError("no associations")

    def close(self) -> None:  # noqa: B027
        """Let go of the store."""


class Sutra(Store):
    """sutra."""

    distribution = "sutra-storage"
    durable = "the log is synced before a write returns"
    indexing = "HNSW, linked by a background thread; what is not linked yet is scanned"

    def __init__(self, folder: Path, dim: int, threads: int, **options: Any) -> None:
        super().__init__(folder, dim, threads)
        self.library = importlib.import_module("sutra")
        self.store = self.library.open(
            folder, dim=dim, metric="cosine", sync="full", threads=threads, **options
        )

    def add(self, prepared: Any) -> None:
        first, vectors = prepared
        self.store.add(np.arange(first, first + len(vectors)), vectors)

    def finish(self) -> None:
        self.store.settle()

    def search(self, query: F32, k: int) -> Sequence[int]:
        ids: Sequence[int] = self.store.search(query, k, ef=EF).ids
        return ids

    def add_plain(self, prepared: Any) -> None:
        self.store.add(prepared)

    def prepare_ids(self, ids: Ids) -> Any:
        return ids

    def get(self, prepared: Any) -> int:
        return sum(concept is not None for concept in self.store.get(prepared))

    def link(self, sources: Ids, targets: Ids) -> None:
        self.store.link(sources, targets)

    def close(self) -> None:
        self.store.close()


class Lancedb(Store):
    """LanceDB: columnar files, a version for each write."""

    distribution = "lancedb"
    durable = "nothing is synced: files and a new version are written, the system decides when"
    synced = False
    indexing = "IVF_HNSW_SQ, made by create_index when all rows are there; a scan until then"

    def __init__(self, folder: Path, dim: int, threads: int) -> None:
        super().__init__(folder, dim, threads)
        self.arrow = importlib.import_module("pyarrow")
        self.index = importlib.import_module("lancedb.index")
        self.database = importlib.import_module("lancedb").connect(folder)
        self.table: Any = None
        self.plain: Any = None

    def _rows(self, vectors: F32) -> Any:
        flat = self.arrow.array(np.ascontiguousarray(vectors).reshape(-1))
        return self.arrow.FixedSizeListArray.from_arrays(flat, self.dim)

    def prepare(self, first: int, vectors: F32) -> Any:
        ids = np.arange(first, first + len(vectors))
        return self.arrow.table({"id": ids, "vector": self._rows(vectors)})

    def add(self, prepared: Any) -> None:
        if self.table is None:
            self.table = self.database.create_table("vectors", schema=prepared.schema)
        self.table.add(prepared)

    def finish(self) -> None:
        kind = self.index.IvfHnswSq(distance_type="cosine", m=M, ef_construction=EF_CONSTRUCTION)
        self.table.create_index("vector", config=kind)

    def search(self, query: F32, k: int) -> Sequence[int]:
        asked = self.table.search(query).distance_type("cosine").ef(EF)
        found: Sequence[int] = (
            asked.select(["id", "_distance"]).limit(k).to_arrow()["id"].to_numpy()
        )
        return found

    def prepare_plain(self, ids: Ids) -> Any:
        return self.arrow.table({"id": ids, "strength": np.ones(len(ids), dtype=np.float32)})

    def add_plain(self, prepared: Any) -> None:
        if self.plain is None:
            self.plain = self.database.create_table("plain", schema=prepared.schema)
        self.plain.add(prepared)

    def finish_plain(self) -> None:
        self.plain.create_index("id", config=self.index.BTree())

    def prepare_ids(self, ids: Ids) -> Any:
        return f"id in ({', '.join(map(str, ids.tolist()))})", len(ids)

    def get(self, prepared: Any) -> int:
        condition, count = prepared
        return len(self.plain.search().where(condition).limit(count).to_arrow())


class LancedbSynced(Lancedb):
    """LanceDB, and after every batch a sync of the files and directories that are new since.

    It never changes a file that is there, so one sync of each new file is enough, and one of each
    directory that got an entry: what it could do at least if it synced.
    """

    durable = "the benchmark syncs every new file, and its directory, after each batch"
    synced = True

    def __init__(self, folder: Path, dim: int, threads: int) -> None:
        super().__init__(folder, dim, threads)
        self.known: dict[str, int] = {}

    def add(self, prepared: Any) -> None:
        super().add(prepared)
        self._sync()

    def add_plain(self, prepared: Any) -> None:
        super().add_plain(prepared)
        self._sync()

    def _sync(self) -> None:
        waiting = [str(self.folder)]
        while waiting:
            place = waiting.pop()
            changed = os.stat(place).st_mtime_ns
            new = self.known.get(place) != changed
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif new and entry.path not in self.known:
                        _sync_path(entry.path)
                        self.known[entry.path] = 0
            if new:
                _sync_path(place)
                self.known[place] = changed


def _sync_path(path: str) -> None:
    """Bring a file or a directory to the medium."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Zvec(Store):
    """zvec, flushed after every batch; a write takes 1,024 documents at most."""

    distribution = "zvec"
    durable = "flush() after every batch syncs what was written"
    indexing = "HNSW, made by optimize() when all rows are there; a scan until then"
    write_most = 1_024

    def __init__(self, folder: Path, dim: int, threads: int) -> None:
        super().__init__(folder, dim, threads)
        self.library = importlib.import_module("zvec")
        self.library.init(optimize_threads=threads, query_threads=1)
        self.vectors: Any = None
        self.plain: Any = None

    def prepare(self, first: int, vectors: F32) -> Any:
        make = self.library.Doc
        return [make(str(id), vectors={"vector": row}) for id, row in enumerate(vectors, first)]

    def _open(self, name: str, **fields: Any) -> Any:
        schema = self.library.CollectionSchema(name, **fields)
        return self.library.create_and_open(str(self.folder / name), schema)

    def _insert(self, collection: Any, documents: list[Any]) -> None:
        for start in range(0, len(documents), self.write_most):
            for status in collection.insert(documents[start : start + self.write_most]):
                if not status.ok():
                    raise OSError(str(status))
        collection.flush()

    def add(self, prepared: Any) -> None:
        if self.vectors is None:
            library = self.library
            parameters = library.HnswIndexParam(
                metric_type=library.MetricType.COSINE, m=M, ef_construction=EF_CONSTRUCTION
            )
            field = library.VectorSchema(
                "vector", library.DataType.VECTOR_FP32, self.dim, parameters
            )
            self.vectors = self._open("vectors", vectors=field)
        self._insert(self.vectors, prepared)

    def finish(self) -> None:
        self.vectors.optimize(self.library.OptimizeOption(concurrency=self.threads))

    def search(self, query: F32, k: int) -> Sequence[int]:
        asked = self.library.Query("vector", vector=query, param=self.library.HnswQueryParam(ef=EF))
        return [int(hit.id) for hit in self.vectors.query(asked, topk=k, output_fields=[])]

    def prepare_plain(self, ids: Ids) -> Any:
        return [self.library.Doc(str(id), fields={"strength": 1.0}) for id in ids.tolist()]

    def add_plain(self, prepared: Any) -> None:
        if self.plain is None:
            field = self.library.FieldSchema("strength", self.library.DataType.FLOAT)
            self.plain = self._open("plain", fields=[field])
        self._insert(self.plain, prepared)

    def prepare_ids(self, ids: Ids) -> Any:
        return [str(id) for id in ids.tolist()]

    def get(self, prepared: Any) -> int:
        return len(self.plain.fetch(prepared))

    def close(self) -> None:
        for collection in (self.vectors, self.plain):
            if collection is not None:
                collection.close()


class SqliteVec(Store):
    """SQLite with sqlite-vec; concepts and associations are plain tables."""

    distribution = "sqlite-vec"
    durable = "a transaction a batch, write-ahead log, synchronous=FULL: synced at each commit"
    indexing = "no index: every search is a scan"
    indexes = False

    def __init__(self, folder: Path, dim: int, threads: int) -> None:
        super().__init__(folder, dim, threads)
        folder.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite(folder / "store.db")
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "CREATE VIRTUAL TABLE IF NOT EXISTS vectors USING vec0("
            f"id INTEGER PRIMARY KEY, vector FLOAT[{dim}] distance_metric=cosine)",
            "CREATE TABLE IF NOT EXISTS plain (id INTEGER PRIMARY KEY, strength REAL)",
            "CREATE TABLE IF NOT EXISTS edges (source INTEGER, target INTEGER, kind INTEGER, "
            "weight REAL, PRIMARY KEY (source, target, kind)) WITHOUT ROWID",
            "CREATE INDEX IF NOT EXISTS backwards ON edges (target, source)",
        ):
            self.connection.execute(statement).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        self.connection.execute("BEGIN")
        yield self.connection
        self.connection.execute("COMMIT")

    def prepare(self, first: int, vectors: F32) -> Any:
        return [(id, row.tobytes()) for id, row in enumerate(vectors, first)]

    def add(self, prepared: Any) -> None:
        with self._transaction() as connection:
            connection.executemany("INSERT INTO vectors (id, vector) VALUES (?, ?)", prepared)

    def search(self, query: F32, k: int) -> Sequence[int]:
        found = self.connection.execute(
            "SELECT id FROM vectors WHERE vector MATCH ? AND k = ? ORDER BY distance",
            (query.tobytes(), k),
        )
        return [id for (id,) in found]

    def prepare_plain(self, ids: Ids) -> Any:
        return [(id, 1.0) for id in ids.tolist()]

    def add_plain(self, prepared: Any) -> None:
        with self._transaction() as connection:
            connection.executemany("INSERT INTO plain VALUES (?, ?)", prepared)

    def get(self, prepared: Any) -> int:
        places = ", ".join("?" * len(prepared))
        query = f"SELECT id, strength FROM plain WHERE id IN ({places})"
        return len(self.connection.execute(query, prepared).fetchall())

    def link(self, sources: Ids, targets: Ids) -> None:
        rows = zip(sources.tolist(), targets.tolist(), strict=True)
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO edges VALUES (?, ?, 1, 1.0)", rows)

    def close(self) -> None:
        self.connection.close()


class Chromadb(Store):
    """chromadb's PersistentClient; a write takes some 5,000 items at most."""

    distribution = "chromadb"
    durable = "several SQLite transactions a batch (rollback journal), each synced"
    indexing = "HNSW, linked while adding"

    def __init__(self, folder: Path, dim: int, threads: int) -> None:
        super().__init__(folder, dim, threads)
        settings = importlib.import_module("chromadb.config").Settings(anonymized_telemetry=False)
        client = importlib.import_module("chromadb").PersistentClient(str(folder), settings)
        self.collection = client.get_or_create_collection(
            "concepts",
            configuration={
                "hnsw": {
                    "space": "cosine",
                    "max_neighbors": M,
                    "ef_construction": EF_CONSTRUCTION,
                    "ef_search": EF,
                    "num_threads": threads,
                }
            },
            embedding_function=None,
        )

    def prepare(self, first: int, vectors: F32) -> Any:
        return [str(id) for id in range(first, first + len(vectors))], vectors

    def add(self, prepared: Any) -> None:
        ids, vectors = prepared
        self.collection.add(ids=ids, embeddings=vectors)

    def search(self, query: F32, k: int) -> Sequence[int]:
        found = self.collection.query(query_embeddings=[query], n_results=k, include=[])
        return [int(id) for id in found["ids"][0]]


class Qdrant(Store):
    """qdrant-client without a server: NumPy arrays, and a SQLite table of pickled points."""

    distribution = "qdrant-client"
    durable = "a SQLite transaction a point, each synced"
    indexing = "no index: every search is a scan"
    indexes = False
    collection = "concepts"

    def __init__(self, folder: Path, dim: int, threads: int) -> None:
        super().__init__(folder, dim, threads)
        library = importlib.import_module("qdrant_client")
        self.models = library.models
        self.client = library.QdrantClient(path=str(folder))
        if not self.client.collection_exists(self.collection):
            parameters = self.models.VectorParams(size=dim, distance=self.models.Distance.COSINE)
            self.client.create_collection(self.collection, vectors_config=parameters)

    def prepare(self, first: int, vectors: F32) -> Any:
        ids = list(range(first, first + len(vectors)))
        return self.models.Batch(ids=ids, vectors=vectors.tolist())

    def add(self, prepared: Any) -> None:
        self.client.upsert(self.collection, prepared)

    def search(self, query: F32, k: int) -> Sequence[int]:
        found = self.client.query_points(self.collection, query, limit=k, with_payload=False)
        return [point.id for point in found.points]

    def prepare_plain(self, ids: Ids) -> Any:
        return [self.models.PointStruct(id=id, vector={}) for id in ids.tolist()]

    def add_plain(self, prepared: Any) -> None:
        self.client.upsert(self.collection, prepared)

    def get(self, prepared: Any) -> int:
        return len(self.client.retrieve(self.collection, prepared))

    def close(self) -> None:
        self.client.close()


STORES: dict[str, type[Store]] = {
    "sutra": Sutra,
    "lancedb": Lancedb,
    "lancedb+sync": LancedbSynced,
    "zvec": Zvec,
    "sqlite-vec": SqliteVec,
    "chromadb": Chromadb,
    "qdrant-local": Qdrant,
}


def make(name: str, folder: Path, dim: int, threads: int) -> Store:
    """Open or make the store of a library."""
    os.environ.setdefault("LANCE_LOG", "error")
    return STORES[name](folder, dim, threads)


def sqlite(file: Path) -> Any:
    """A connection with sqlite-vec, by the first module that can load extensions."""
    extension = importlib.import_module("sqlite_vec")
    reason = "no sqlite3 module"
    for name in ("sqlite3", "pysqlite3"):
        try:
            connection = importlib.import_module(name).connect(str(file), isolation_level=None)
            connection.enable_load_extension(True)
            extension.load(connection)
        except (ImportError, AttributeError) as error:
            reason = f"{name}: {error}"
            continue
        connection.enable_load_extension(False)
        return connection
    raise ImportError(
        f"no sqlite3 module that loads extensions (pysqlite3-binary has one): {reason}"
    )
