"""Stores that older and current versions wrote open, and hold what they held."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

import sutra
from sutra._predicate import Predicate

GOLDEN = Path(__file__).parents[1] / "golden"
STORES = sorted(GOLDEN.glob("store-v*/*.json"))
CURRENT_VERSION = 1


def names(path):
    return f"{path.parent.name}/{path.stem}"


@pytest.fixture
def golden(request, tmp_path):
    """The store of a golden folder, unpacked, and what is expected of it."""
    described = request.param
    path = tmp_path / described.stem
    path.mkdir()
    for packed in described.with_suffix("").iterdir():
        (path / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return path, json.loads(described.read_text(encoding="utf-8"))


every_store = pytest.mark.parametrize("golden", STORES, ids=names, indirect=True)


def tuples(tree):
    """A predicate as it was before it was JSON."""
    return tuple(map(tuples, tree)) if isinstance(tree, list) else tree


def check(store, expected):
    assert store.dim == expected["dim"]
    assert store.metric == expected["metric"]
    assert len(store) == expected["count"]
    assert store.stats()["associations"] == expected["associations"]
    found = {repr(concept.id): concept for concept in store.get(list(store), vectors=True)}
    assert found.keys() == expected["concepts"].keys()
    for id, held in expected["concepts"].items():
        concept = found[id]
        assert repr(concept.content) == held["content"]
        assert concept.metadata == held["metadata"]
        assert concept.record.strength == held["strength"]
        assert concept.record.confidence == held["confidence"]
        assert concept.record.reference_count == held["reference_count"]
        if held["vector"] is None:
            assert concept.vector is None
        else:
            np.testing.assert_allclose(concept.vector, held["vector"], rtol=1e-5, atol=1e-5)
        links = sorted(
            [repr(link.target), link.kind, link.weight, link.confidence]
            for link in store.links(concept.id)
        )
        assert links == held["links"]
    held = {name: store._setting(name).hex() for name in store._settings()}
    assert held == expected.get("settings", {})  # stores from before there were any have none
    view = store._core.view()
    assert view.fields() == [tuple(field) for field in expected.get("fields", [])]
    for tree, ids in zip(expected.get("trees", []), expected.get("where", []), strict=True):
        bits = np.unpackbits(view.where(Predicate(tuples(tree))), bitorder="little")
        found = view.ids_of(np.flatnonzero(bits).astype(np.uint32))
        assert [repr(id) for id in found] == ids
    for query, ids in zip(expected["queries"], expected["exact"], strict=True):
        hits = store.search(np.array(query, np.float32), k=5, exact=True)
        assert [repr(id) for id in hits.ids] == ids
    store.verify(deep=True)


def test_there_is_a_folder_for_every_version():
    folders = {path.parent.name for path in STORES}
    assert folders == {f"store-v{number}" for number in range(1, CURRENT_VERSION + 1)}


@every_store
def test_reading_changes_nothing(golden):
    path, expected = golden
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with sutra.open(path, mode="r") as store:
        check(store, expected)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


@every_store
def test_writing_goes_on(golden):
    path, expected = golden
    with sutra.open(path) as store:
        check(store, expected)
        store.add("new", np.ones(expected["dim"], np.float32), contents="since")
        store.checkpoint()
    with sutra.open(path) as store:
        assert store["new"].content == "since"
        store.delete("new")
        check(store, expected)
        store.compact()
    with sutra.open(path, mode="r") as store:
        assert len(store) == expected["count"]
        store.verify(deep=True)
