"""Write the golden stores of the current format version, where there are none yet.

    python tests/golden/make_store.py            # those that are not in store-v<version>
    python tests/golden/make_store.py --replace  # before a version is released, and never after

Each store is a folder of its files, packed one by one. Stores of released versions are never
written again: that they still open is what they are for.
"""

import argparse
import gzip
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from make import QUERIES, rows

import sutra
from sutra._predicate import Predicate

HERE = Path(__file__).resolve().parent
VERSION = 1
DIM = 8
SCRATCH = {"LOCK", "HOLDER", "STATE"}


def fill(store):
    """Ids of both kinds, every kind of content, links, a graph."""
    vectors = rows(600, DIM)
    store.add(range(0, 1200, 2), vectors, contents=[f"number {n}" for n in range(600)])
    store.add(
        ["tea", "Tee", "茶"],
        contents=["a drink", b"\x00\xff", None],
        metadata=[{"hot": True, "names": ["chai", None]}, {}, None],
        strength=[0.5, 1.0, 2.0],
        confidence=0.75,
    )
    store.link("tea", ["Tee", "茶", 4], kind=["is", "is", "reminds of"], weight=[1.0, 0.5, 0.25])
    store.link(range(0, 100, 2), range(2, 102, 2), kind="next", confidence=0.5)


def change(store):
    """What a delta has and a base has not."""
    store.upsert(range(0, 40, 2), -rows(20, DIM))
    store.upsert("tea", contents="a hot drink")
    store.delete([100, 102, "Tee"])
    store.unlink(0, 2, kind="next")
    store.link(6, "茶", kind="seen with")


def make_empty(path):
    with sutra.open(path, dim=DIM, metric="ip", quantization="none", m=8):
        pass


def make_sealed(path):
    with sutra.open(path, dim=DIM, metric="l2", m=8) as store:
        fill(store)
        store.settle()
        store.checkpoint()
        change(store)
        store.checkpoint()
        store.link("tea", "tea", kind="is")
        store.checkpoint()


def make_logged(path):
    """A base, and all that came after it in the log of a process that was killed."""
    store = sutra.open(path, dim=DIM, metric="cosine", m=8, keep_originals=False)
    fill(store)
    store.settle()
    store.checkpoint()
    change(store)
    with store.batch():
        store.add([5000, "last"], rows(2, DIM))
        store.link(5000, "last")
        store.touch("tea")
    store._core.abandon()


def make_settings(path):
    """Settings in the base, in a delta, and in the log of a process that was killed."""
    store = sutra.open(path, dim=DIM, metric="cosine", m=8)
    store.add(range(3), rows(3, DIM))
    store._set("in the base", b"1")
    store._set("changed", b"1")
    store._set("removed", b"1")
    store.compact()
    store._set("in a delta", bytes(range(256)))
    store._set("changed", b"2")
    store.checkpoint()
    with store.batch():
        store._set("removed", None)
        store._set("changed", b"")
        store._set("\N{SNAKE}" * 63, b"in the log")
        store.touch(1)
    store._core.abandon()


def make_fields(path):
    """Fields of every type in the base, one since, one dropped, and cells in all three places."""
    store = sutra.open(path, dim=DIM, metric="cosine", m=8)
    store.add(range(70), metadata=[describe(n) for n in range(70)])
    for field, type in FIELDS[:5]:
        store.index_field(field, type)
    store.index_field("gone", "int")
    store.compact()
    store.drop_field("gone")
    store.upsert(range(0, 30, 3), metadata=[describe(n + 100) for n in range(0, 30, 3)])
    store.touch(4)
    store.checkpoint()
    with store.batch():
        store.index_field(*FIELDS[5])
        store.upsert([1, "last"], metadata=[describe(500), describe(7)])
        store.upsert(2, contents="its metadata stay")
        store.delete(3)
    store._core.abandon()


FIELDS = [
    ("year", "int"),
    ("weight", "float"),
    ("seen", "bool"),
    ("who.name", "str"),
    ("at", "datetime"),
    ("who.age", "int"),
]
PREDICATES = [
    ("gte", "year", 2005),
    ("eq", "year", None),
    ("lt", "weight", 0.5),
    ("gt", "weight", 2**53),
    ("eq", "seen", True),
    ("in", "who.name", ("n\u00f61", "n\u00f62", None)),
    ("contains", "who.name", "\u00f63"),
    ("lte", "at", ("datetime", 1_600_000_000 * 10**9)),
    ("and", (("exists", "who.age", True), ("not", ("eq", "tags", 1)), ("ne", "year", 2003))),
    ("contains", "tags", 2),
]


def describe(n):
    """Metadata that fit FIELDS, with gaps."""
    metadata = {
        "year": 2000 + n % 13,
        "weight": [0.25, 1, 2**53 + 1, -0.0][n % 4],
        "seen": n % 2 == 0,
        "who": {"name": f"n\u00f6{n % 5}", "age": n},
        "at": f"20{n % 100:02}-0{1 + n % 9}-11T12:00:00+02:00",
        "tags": [n % 3, "x"],
    }
    for key in list(metadata)[: n % 7]:
        metadata[key] = None if n % 3 == 0 else metadata[key]
    if n % 11 == 0:
        del metadata["who"]
    return metadata


def where(store):
    """The ids that each of PREDICATES is true of."""
    view = store._core.view()
    found = []
    for tree in PREDICATES:
        bits = np.unpackbits(view.where(Predicate(tree)), bitorder="little")
        found.append([repr(id) for id in view.ids_of(np.flatnonzero(bits).astype(np.uint32))])
    return found


STORES = {
    "empty": make_empty,
    "sealed": make_sealed,
    "logged": make_logged,
    "settings": make_settings,
    "fields": make_fields,
}


def expectation(path):
    """What a reader must find in the store."""
    with sutra.open(path, mode="r") as store:
        concepts = {}
        for concept in store:
            (found,) = store.get(concept, vectors=True)
            content = found.content
            concepts[repr(found.id)] = {
                "content": repr(content),
                "metadata": found.metadata,
                "strength": found.record.strength,
                "confidence": found.record.confidence,
                "reference_count": found.record.reference_count,
                "vector": None if found.vector is None else found.vector.tolist(),
                "links": sorted(
                    [repr(link.target), link.kind, link.weight, link.confidence]
                    for link in store.links(found.id)
                ),
            }
        queries = rows(600 + QUERIES, DIM)[600:]
        exact = [[repr(id) for id in store.search(query, k=5, exact=True).ids] for query in queries]
        stats = store.stats()
        return {
            "dim": store.dim,
            "metric": store.metric,
            "count": len(store),
            "associations": stats["associations"],
            "concepts": concepts,
            "queries": queries.tolist(),
            "exact": exact,
            "settings": {name: store._setting(name).hex() for name in store._settings()},
            "fields": store._core.view().fields(),
            "trees": PREDICATES,
            "where": where(store),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replace", action="store_true", help="replace the newest folder")
    replace = parser.parse_args().replace
    folder = HERE / f"store-v{VERSION}"
    if replace and folder.exists():
        shutil.rmtree(folder)
    missing = [name for name in STORES if not (folder / name).exists()]
    if not missing:
        raise SystemExit(f"{folder.name} is whole; --replace only before its release")
    for name in missing:
        make = STORES[name]
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / name
            make(str(path))
            (folder / name).mkdir(parents=True)
            for file in sorted(path.iterdir()):
                if file.name in SCRATCH:
                    continue
                packed = gzip.compress(file.read_bytes(), 9, mtime=0)
                (folder / name / f"{file.name}.gz").write_bytes(packed)
            text = json.dumps(expectation(str(path)), ensure_ascii=False)
            (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            print(f"{path.stat().st_size:8,}  {path.relative_to(HERE)}")


if __name__ == "__main__":
    main()
