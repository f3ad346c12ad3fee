"""Recall and sanity in a few seconds: ``python -m bench.smoke``. Exit code 1 if anything fails.

For the demo's words and for generated sets (cosine, l2, ip), every way to store vectors must
reach its recall@10 at ef 128, an exact search must find the exact neighbours, the file must be
the same for one and two threads, and an index must answer the same after save and open. A durable
store must reach its recall while vectors stream in, when all are linked, and after closing and
opening it again, with some vectors replaced and some concepts deleted.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import data

K = 10
EF = 128
QUERIES = 300
ROWS = 4_000

VARIANTS: dict[str, tuple[dict[str, Any], float]] = {
    "u8": ({"quantization": "u8"}, 0.99),
    "u8 codes": ({"quantization": "u8", "keep_originals": False}, 0.975),
    "u4": ({"quantization": "u4"}, 0.985),
    "u4 codes": ({"quantization": "u4", "keep_originals": False}, 0.85),
    "none": ({"quantization": "none"}, 0.99),
}
"""Index options and the recall@10 they must reach at ef 128."""


def rows_of(name: str) -> tuple[data.F32, str]:
    """Vectors and metric of one small set, made here and now: no cache, no downloads."""
    if name == "words":
        file = data.words_file()
        if file is None:
            raise FileNotFoundError("sutra/data/words100.npz")
        with np.load(file) as archive:
            vectors = archive["vectors"]
        order = np.random.default_rng(0).permutation(len(vectors))[: ROWS + QUERIES]
        return np.ascontiguousarray(vectors[order], dtype=np.float32), "cosine"
    dim, metric = name.split()
    return data.mixture(ROWS + QUERIES, int(dim)), metric


SETS = ("words", "96 l2", "200 cosine", "64 ip")
STORE_SETS = ("words", "96 l2")
STORE_BATCH = 250
STORE_EF = 32
STORE_RECALL = 0.95


class Smoke:
    """Runs checks, prints one line each, counts failures."""

    def __init__(self) -> None:
        self.sutra: Any = importlib.import_module("sutra")
        self.failures = 0

    def check(self, what: str, passed: bool, detail: str = "") -> None:
        """Report one check."""
        self.failures += not passed
        print(f"{'ok  ' if passed else 'FAIL'} {what}{f': {detail}' if detail else ''}", flush=True)

    def guarded(self, what: str, body: Callable[[], None]) -> None:
        """Run `body`; an exception is a failure of `what`."""
        try:
            body()
        except Exception as error:
            self.check(what, False, f"{type(error).__name__}: {error}")

    def run_set(self, name: str) -> None:
        """All variants on one set."""
        rows, metric = rows_of(name)
        queries, base = rows[:QUERIES], rows[QUERIES:]
        truth, _ = data.exact_neighbours(base, queries, metric, K)
        for variant, (options, wanted) in VARIANTS.items():

            def body(
                variant: str = variant, options: dict[str, Any] = options, wanted: float = wanted
            ) -> None:
                index = self.sutra.Index(base.shape[1], metric=metric, **options)
                start = time.perf_counter()
                index.add(base)
                seconds = time.perf_counter() - start
                found = index.search(queries, K, ef=EF)
                recall = overlap(found.ids, truth)
                what = f"{name} ({metric}), {variant}"
                self.check(
                    f"{what}, recall@10",
                    recall >= wanted,
                    f"{recall:.4f}, wanted {wanted}; built in {seconds:.2f} s",
                )
                distances = np.asarray(found.distances)
                ordered = bool((np.diff(distances, axis=1) >= 0).all())
                self.check(f"{what}, distances rise", ordered)
                if options.get("keep_originals", True):
                    exact = overlap(index.search(queries, K, exact=True).ids, truth)
                    self.check(f"{what}, exact search", exact > 0.999, f"{exact:.4f}")
                self.round_trip(what, index, queries)

            self.guarded(f"{name}, {variant}", body)
        self.guarded(f"{name}, threads", lambda: self.same_file(name, base, metric))

    def round_trip(self, what: str, index: Any, queries: data.F32) -> None:
        """Save, open in both ways, same answers to the bit."""
        wanted = index.search(queries, K, ef=EF)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "index.sutra"
            index.save(path)
            for resident in ("mapped", "arena"):
                with self.sutra.Index.open(path, resident=resident) as opened:
                    found = opened.search(queries, K, ef=EF)
                    same = np.array_equal(found.ids, wanted.ids) and np.array_equal(
                        found.distances, wanted.distances
                    )
                self.check(f"{what}, answers the same opened {resident}", same)

    def same_file(self, name: str, base: data.F32, metric: str) -> None:
        """One and two threads write the same bytes."""
        contents: list[bytes] = []
        with tempfile.TemporaryDirectory() as folder:
            for threads in (1, 2):
                index = self.sutra.Index(base.shape[1], metric=metric)
                index.add(base, threads=threads)
                path = Path(folder) / f"{threads}.sutra"
                index.save(path)
                contents.append(path.read_bytes())
        self.check(f"{name}, same file for 1 and 2 threads", contents[0] == contents[1])

    def run_store(self, name: str) -> None:
        """A durable store: stream vectors in, link them, reopen; recall each time."""
        rows, metric = rows_of(name)
        queries, base = rows[:QUERIES], rows[QUERIES:]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "store"
            with self.sutra.open(path, dim=base.shape[1], metric=metric) as store:
                for first in range(0, len(base), STORE_BATCH):
                    part = base[first : first + STORE_BATCH]
                    store.add(np.arange(first, first + len(part)), part)
                self.store_recall(f"store of {name}, streaming", store, queries, base)
                turned = np.arange(0, len(base), 10)  # these get the vectors of their neighbours
                base = base.copy()
                base[turned] = base[turned - 1]
                store.upsert(turned, base[turned])
                gone = np.arange(5, len(base), 10)
                removed = store.delete(gone)
                self.check(f"store of {name}, deletes", removed == len(gone), f"{removed:,}")
                base[gone] = np.nan
                self.store_recall(f"store of {name}, changed", store, queries, base)
                store.settle()
                self.store_recall(f"store of {name}, all linked", store, queries, base)
            start = time.perf_counter()
            with self.sutra.open(path) as store:
                seconds = time.perf_counter() - start
                self.store_recall(
                    f"store of {name}, reopened in {1e3 * seconds:.1f} ms", store, queries, base
                )

    def store_recall(self, what: str, store: Any, queries: data.F32, base: data.F32) -> None:
        """Recall@10 against an exact scan of the rows that are no NaN."""
        alive = np.flatnonzero(np.isfinite(base[:, 0]))
        truth, distances = data.exact_neighbours(base[alive], queries, store.metric, K)
        self.check(f"{what}, holds {len(alive):,}", len(store) == len(alive), f"{len(store):,}")
        found = [hits.ids for hits in store.search(queries, K, ef=STORE_EF)]
        reached = 0
        for query, ids, furthest in zip(queries, found, distances[:, -1], strict=True):
            own = data.exact_distances(query[None], base[ids][None], store.metric)[0]
            reached += int((own <= furthest + 1e-6 * (1.0 + abs(furthest))).sum())
        recall = reached / truth.size
        self.check(
            f"{what}, recall@10", recall >= STORE_RECALL, f"{recall:.4f}, wanted {STORE_RECALL}"
        )


def overlap(found: npt.ArrayLike, truth: data.Ids) -> float:
    """Recall@10 by ids."""
    pairs = zip(np.asarray(found), truth, strict=True)
    return sum(len(np.intersect1d(one, two)) for one, two in pairs) / truth.size


def main(arguments: list[str] | None = None) -> int:
    """Run everything."""
    parser = argparse.ArgumentParser(prog="python -m bench.smoke", description="Quick sanity run.")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    smoke = Smoke()
    for name in options.sets:
        smoke.guarded(name, partial(smoke.run_set, name))
    for name in STORE_SETS:
        if name in options.sets:
            smoke.guarded(f"store of {name}", partial(smoke.run_store, name))
    print(f"{smoke.failures} failures, {time.perf_counter() - start:.1f} s")
    return 1 if smoke.failures else 0


if __name__ == "__main__":
    sys.exit(main())
