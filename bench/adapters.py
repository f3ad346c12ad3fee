"""One class per library, all with the same small surface, and the grid each is swept over.

Build parameters are fixed per library; one search knob is swept. Values that save time are left
out while a run goes (see peers.py), never added. Libraries without a cosine metric get rows and
queries scaled to unit length beforehand, outside all timing, which favours them slightly.
"""

from __future__ import annotations

import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.data import F32
from bench.machine import plain

# ---- the grids ----------------------------------------------------------------------------------

EF = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)


@dataclass(frozen=True)
class Grid:
    """What a library is built with and which knob is swept over which values, cheap first."""

    build: dict[str, Any]
    knob: str
    values: tuple[Any, ...]

    @property
    def middle(self) -> Any:
        """The value used for the 10,000 queries before memory is measured: 64 where it is one."""
        return 64 if 64 in self.values else self.values[len(self.values) // 2]


GRIDS: dict[str, Grid] = {
    "hnswlib": Grid({"M": 16, "ef_construction": 200}, "ef", EF),
    "faiss-hnsw": Grid({"M": 16, "efConstruction": 200}, "efSearch", EF),
    "faiss-flat": Grid({}, "none", (0,)),
    "usearch-f32": Grid(
        {"connectivity": 16, "expansion_add": 200, "dtype": "f32"}, "expansion_search", EF
    ),
    "usearch-i8": Grid(
        {"connectivity": 16, "expansion_add": 200, "dtype": "i8"}, "expansion_search", EF
    ),
    "glass": Grid(
        {
            "index": "HNSW",
            "build": "SQ8U",
            "R": 32,
            "L": 200,
            "quantizer": "SQ8U",
            "refine": "FP32",
        },
        "ef",
        EF,
    ),
    "svs": Grid(
        {"graph_max_degree": 32, "window_size": 200, "alpha": 1.2}, "search_window_size", EF
    ),
    "scann": Grid(
        {"leaves": "sqrt(rows)", "ah_dims": 2, "threshold": 0.2},
        "leaves_to_search, pre_reorder",
        tuple((leaves, 100) for leaves in (3, 5, 8, 12, 18))
        + tuple((leaves, 200) for leaves in (12, 18, 26, 40, 60))
        + tuple((leaves, 400) for leaves in (40, 60, 90, 140, 200))
        + ((200, 1000),),
    ),
    "sutra-u8": Grid(
        {"m": 16, "ef_construction": 200, "quantization": "u8", "keep_originals": True}, "ef", EF
    ),
    "sutra-u8-codes": Grid(
        {"m": 16, "ef_construction": 200, "quantization": "u8", "keep_originals": False}, "ef", EF
    ),
    "sutra-u4": Grid(
        {"m": 16, "ef_construction": 200, "quantization": "u4", "keep_originals": True}, "ef", EF
    ),
    "sutra-u4-codes": Grid(
        {"m": 16, "ef_construction": 200, "quantization": "u4", "keep_originals": False}, "ef", EF
    ),
    "sutra-none": Grid(
        {"m": 16, "ef_construction": 200, "quantization": "none", "keep_originals": True}, "ef", EF
    ),
}

DEFAULT_LIBRARIES = (
    "hnswlib",
    "faiss-hnsw",
    "faiss-flat",
    "usearch-f32",
    "usearch-i8",
    "glass",
    "svs",
    "scann",
    "sutra-u8",
    "sutra-u8-codes",
    "sutra-u4",
)

# ---- the surface --------------------------------------------------------------------------------


class Adapter(ABC):
    """One library on one set. Everything but `build` and `open_saved` runs one thread."""

    unit: ClassVar[bool] = False
    """Whether the library has no cosine metric and wants unit rows instead."""

    def __init__(self, name: str, metric: str, dim: int) -> None:
        """Import the library; nothing that belongs to an index may be allocated here."""
        self.name = name
        self.metric = metric
        self.dim = dim
        self.grid = GRIDS[name]
        self.options = dict(self.grid.build)

    @abstractmethod
    def build(self, base: F32, threads: int) -> None:
        """Index all rows of `base` under the ids 0, 1, 2, ...; this is what is timed as build."""

    @abstractmethod
    def set_knob(self, value: Any) -> None:
        """Set the swept knob to a value of the grid."""

    def prepare(self, query: F32) -> Any:
        """The form of one query that `query_one` takes without a conversion."""
        return query

    @abstractmethod
    def query_one(self, query: Any, k: int) -> Any:
        """Ids of the k nearest rows of one prepared query, by the library's ordinary call."""

    def save(self, folder: Path) -> int | None:
        """Save into an empty folder; bytes written, or None where the library cannot."""
        return None

    def open_saved(self, folder: Path) -> None:
        """Open what `save` wrote, in another process."""
        raise TypeError(f"{self.name} cannot be saved")

    def memory(self) -> dict[str, Any]:
        """The library's own account of its memory, as JSON values."""
        return {}


def make(name: str, metric: str, dim: int) -> Adapter:
    """The adapter of a library by its name in `GRIDS`."""
    classes: dict[str, type[Adapter]] = {
        "hnswlib": Hnswlib,
        "faiss-hnsw": FaissHnsw,
        "faiss-flat": FaissFlat,
        "usearch-f32": Usearch,
        "usearch-i8": Usearch,
        "glass": Glass,
        "svs": Svs,
        "scann": Scann,
    }
    return classes.get(name, Sutra)(name, metric, dim)


def expand_names(names: Sequence[str] | None) -> list[str]:
    """Library names from the command line; ``sutra`` stands for all of its variants."""
    chosen: list[str] = []
    for name in names or DEFAULT_LIBRARIES:
        matches = [name] if name in GRIDS else [g for g in GRIDS if g.startswith(f"{name}-")]
        if not matches:
            raise ValueError(f"unknown library {name!r}; known are {', '.join(GRIDS)}")
        chosen += [match for match in matches if match not in chosen]
    return chosen


def drop_from_cache(file: Path) -> None:
    """Forget the file's cached pages, so that resident ones are those that queries touched."""
    if hasattr(os, "posix_fadvise"):
        with file.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def folder_bytes(folder: Path) -> int:
    """Size of all files below `folder`, in bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


# ---- peers --------------------------------------------------------------------------------------


class Hnswlib(Adapter):
    """hnswlib; it scales cosine rows itself. Its source build uses -march=native."""

    def __init__(self, name: str, metric: str, dim: int) -> None:
        super().__init__(name, metric, dim)
        self.library = importlib.import_module("hnswlib")
        self.index: Any = None

    def build(self, base: F32, threads: int) -> None:
        self.index = self.library.Index(self.metric, self.dim)
        self.index.init_index(
            len(base), M=self.options["M"], ef_construction=self.options["ef_construction"]
        )
        self.index.set_num_threads(threads)
        self.index.add_items(base)
        self.index.set_num_threads(1)

    def set_knob(self, value: Any) -> None:
        self.index.set_ef(value)

    def query_one(self, query: Any, k: int) -> Any:
        return self.index.knn_query(query, k, num_threads=1)[0][0]

    def save(self, folder: Path) -> int:
        self.index.save_index(str(folder / "index"))
        return folder_bytes(folder)

    def open_saved(self, folder: Path) -> None:
        self.index = self.library.Index(self.metric, self.dim)
        self.index.load_index(str(folder / "index"))
        self.index.set_num_threads(1)


class _Faiss(Adapter):
    unit = True

    def __init__(self, name: str, metric: str, dim: int) -> None:
        super().__init__(name, metric, dim)
        self.library = importlib.import_module("faiss")
        self.index: Any = None

    @abstractmethod
    def _empty(self) -> Any:
        """Make an index of the kind."""

    def _faiss_metric(self) -> int:
        faiss = self.library
        return int(faiss.METRIC_L2 if self.metric == "l2" else faiss.METRIC_INNER_PRODUCT)

    def build(self, base: F32, threads: int) -> None:
        self.library.omp_set_num_threads(threads)
        self.index = self._empty()
        self.index.add(base)
        self.library.omp_set_num_threads(1)

    def prepare(self, query: F32) -> Any:
        return query[None, :]

    def query_one(self, query: Any, k: int) -> Any:
        return self.index.search(query, k)[1][0]

    def save(self, folder: Path) -> int:
        self.library.write_index(self.index, str(folder / "index"))
        return folder_bytes(folder)

    def open_saved(self, folder: Path) -> None:
        self.index = self.library.read_index(str(folder / "index"))
        self.library.omp_set_num_threads(1)


class FaissHnsw(_Faiss):
    """faiss-cpu, HNSW over float32 rows."""

    def _empty(self) -> Any:
        index = self.library.IndexHNSWFlat(self.dim, self.options["M"], self._faiss_metric())
        index.hnsw.efConstruction = self.options["efConstruction"]
        return index

    def set_knob(self, value: Any) -> None:
        self.index.hnsw.efSearch = value


class FaissFlat(_Faiss):
    """faiss-cpu, exact scan of float32 rows."""

    def _empty(self) -> Any:
        return self.library.IndexFlat(self.dim, self._faiss_metric())

    def set_knob(self, value: Any) -> None:
        pass


class Usearch(Adapter):
    """usearch, float32 or int8 rows under the same graph."""

    def __init__(self, name: str, metric: str, dim: int) -> None:
        super().__init__(name, metric, dim)
        self.library = importlib.import_module("usearch.index")
        self.index: Any = None

    def _empty(self) -> Any:
        return self.library.Index(
            ndim=self.dim,
            metric={"cosine": "cos", "l2": "l2sq", "ip": "ip"}[self.metric],
            **self.options,
        )

    def build(self, base: F32, threads: int) -> None:
        self.index = self._empty()
        self.index.add(np.arange(len(base), dtype=np.uint64), base, threads=threads)

    def set_knob(self, value: Any) -> None:
        self.index.expansion_search = value

    def query_one(self, query: Any, k: int) -> Any:
        return self.index.search(query, k, threads=1).keys

    def save(self, folder: Path) -> int:
        self.index.save(str(folder / "index"))
        return folder_bytes(folder)

    def open_saved(self, folder: Path) -> None:
        self.index = self._empty()
        self.index.load(str(folder / "index"))

    def memory(self) -> dict[str, Any]:
        return {"memory_usage": int(self.index.memory_usage)}


class Glass(Adapter):
    """pyglass: HNSW, walk on 8-bit codes, float32 refinement. Its searcher cannot be saved."""

    unit = True

    def __init__(self, name: str, metric: str, dim: int) -> None:
        super().__init__(name, metric, dim)
        self.library = importlib.import_module("glass")
        self.searcher: Any = None

    def build(self, base: F32, threads: int) -> None:
        metric = "L2" if self.metric == "l2" else "IP"
        options = self.options
        self.library.set_num_threads(threads)
        builder = self.library.Index(
            options["index"], metric, options["build"], R=options["R"], L=options["L"]
        )
        graph = builder.build(base)
        self.searcher = self.library.Searcher(
            graph, base, metric, options["quantizer"], options["refine"]
        )
        self.library.set_num_threads(1)

    def set_knob(self, value: Any) -> None:
        self.searcher.set_ef(value)

    def query_one(self, query: Any, k: int) -> Any:
        return self.searcher.search(query, k)


class Svs(Adapter):
    """Scalable Vector Search: Vamana over float32 rows; cosine as L2 on unit rows."""

    unit = True

    def __init__(self, name: str, metric: str, dim: int) -> None:
        super().__init__(name, metric, dim)
        self.library = importlib.import_module("svs")
        self.index: Any = None

    def _distance(self) -> Any:
        kind = self.library.DistanceType
        return kind.MIP if self.metric == "ip" else kind.L2

    def build(self, base: F32, threads: int) -> None:
        options = dict(self.options)
        if self.metric == "ip":
            options["alpha"] = 0.95  # the library wants at most 1 where larger is nearer
        parameters = self.library.VamanaBuildParameters(**options)
        self.index = self.library.Vamana.build(
            parameters, base, self._distance(), num_threads=threads
        )
        self.index.num_threads = 1

    def set_knob(self, value: Any) -> None:
        self.index.search_window_size = value

    def prepare(self, query: F32) -> Any:
        return query[None, :]

    def query_one(self, query: Any, k: int) -> Any:
        return self.index.search(query, k)[0][0]

    def save(self, folder: Path) -> int:
        self.index.save(*(str(folder / part) for part in ("config", "graph", "data")))
        return folder_bytes(folder)

    def open_saved(self, folder: Path) -> None:
        svs = self.library
        self.index = svs.Vamana(
            str(folder / "config"),
            svs.GraphLoader(str(folder / "graph")),
            svs.VectorDataLoader(str(folder / "data"), svs.DataType.float32),
            self._distance(),
            num_threads=1,
        )


class Scann(Adapter):
    """ScaNN: partition, 4-bit product codes, float32 reordering; cosine as dot on unit rows."""

    unit = True

    def __init__(self, name: str, metric: str, dim: int) -> None:
        super().__init__(name, metric, dim)
        self.library = importlib.import_module("scann").scann_ops_pybind
        self.searcher: Any = None
        self.leaves = 0
        self.reorder = 0

    def build(self, base: F32, threads: int) -> None:
        l2 = self.metric == "l2"
        leaves = max(2, int(len(base) ** 0.5))
        threshold = float("nan") if l2 else self.options["threshold"]
        self.searcher = (
            self.library.builder(base, 10, "squared_l2" if l2 else "dot_product")
            .tree(leaves, leaves // 10, training_sample_size=len(base))
            .score_ah(self.options["ah_dims"], anisotropic_quantization_threshold=threshold)
            .reorder(200)
            .set_n_training_threads(threads)
            .build()
        )

    def set_knob(self, value: Any) -> None:
        self.leaves, self.reorder = value

    def query_one(self, query: Any, k: int) -> Any:
        return self.searcher.search(
            query, k, leaves_to_search=self.leaves, pre_reorder_num_neighbors=self.reorder
        )[0]

    def save(self, folder: Path) -> int:
        self.searcher.serialize(str(folder))
        return folder_bytes(folder)

    def open_saved(self, folder: Path) -> None:
        self.searcher = self.library.load_searcher(str(folder))


class Sutra(Adapter):
    """sutra in its variants."""

    def __init__(self, name: str, metric: str, dim: int) -> None:
        super().__init__(name, metric, dim)
        self.library = importlib.import_module("sutra")
        self.index: Any = None
        self.ef = 64
        self.file: Path | None = None

    def build(self, base: F32, threads: int) -> None:
        self.index = self.library.Index(self.dim, metric=self.metric, **self.options)
        self.index.add(base, threads=threads)

    def set_knob(self, value: Any) -> None:
        self.ef = value

    def query_one(self, query: Any, k: int) -> Any:
        return self.index.search(query, k, ef=self.ef, threads=1).ids

    def save(self, folder: Path) -> int:
        self.index.save(folder / "index.sutra")
        drop_from_cache(folder / "index.sutra")
        return folder_bytes(folder)

    def open_saved(self, folder: Path) -> None:
        self.index = self.library.Index.open(folder / "index.sutra", resident="mapped")

    def memory(self) -> dict[str, Any]:
        stats = plain(self.index.stats())
        return stats if isinstance(stats, dict) else {"stats": stats}
