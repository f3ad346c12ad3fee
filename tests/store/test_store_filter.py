"""Searching a store among some concepts: ids of both kinds, updates, deletes, readers."""

import numpy as np
import pytest

import sutra

DIM = 16
ROWS = 3_000


@pytest.fixture
def store(tmp_path):
    with sutra.open(tmp_path / "s", dim=DIM, metric="l2", sync="off") as store:
        yield store


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(2).standard_normal((ROWS, DIM), dtype=np.float32)


@pytest.fixture(scope="module")
def queries():
    return np.random.default_rng(9).standard_normal((12, DIM), dtype=np.float32)


def best(vectors, passing, query, k=10):
    passing = np.asarray(passing)
    distances = ((vectors[passing].astype(np.float64) - query) ** 2).sum(axis=1)
    return passing[np.argsort(distances)[:k]].tolist()


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("share", [0.8, 0.05])
def test_numbers(store, vectors, queries, settled, share):
    store.add(np.arange(ROWS), vectors)
    if settled:
        store.settle()
    mask = np.random.default_rng(1).random(ROWS) < share
    passing = np.flatnonzero(mask)
    for given in (passing, passing.tolist(), mask, np.packbits(mask, bitorder="little")):
        found = store.search(queries, 10, ef=200, filter=given)
        right = [
            len(set(hits.ids.tolist()) & set(best(vectors, passing, query)))
            for hits, query in zip(found, queries, strict=True)
        ]
        assert sum(right) >= 0.95 * 10 * len(queries)
        assert all(mask[hits.ids].all() for hits in found)
        exactly = store.search(queries, 10, exact=True, filter=given)
        for hits, query in zip(exactly, queries, strict=True):
            assert hits.ids.tolist() == best(vectors, passing, query)


def test_texts(store, vectors):
    names = [f"n{row}" for row in range(ROWS)]
    store.add(names, vectors)
    hits = store.search(vectors[5], 3, filter=["n7", "n5", "absent"])
    assert hits.ids.tolist() == ["n5", "n7"]
    several = store.search(vectors[:2], 3, filter=[["n1"], ["n0", "n9"]])
    assert several[0].ids.tolist() == ["n1"]
    assert sorted(several[1].ids.tolist()) == ["n0", "n9"]


def test_updates_and_deletes(store, vectors):
    store.add(np.arange(ROWS), vectors)
    store.settle()
    view = store.read_view()
    store.upsert([4], vectors[1000][None])
    store.delete([5])
    assert store.search(vectors[1000], 5, filter=[4, 5, 6]).ids.tolist() == [4, 6]
    assert set(view.search(vectors[5], 5, filter=[4, 5, 6]).ids.tolist()) == {4, 5, 6}
    assert view.search(vectors[5], 1, filter=[4, 5, 6]).ids.tolist() == [5]
    view.close()
    store.delete(np.arange(0, ROWS, 2))
    passing = np.arange(ROWS // 2)
    hits = store.search(vectors[1], 10, ef=300, filter=passing)
    assert (hits.ids % 2 == 1).all()
    assert len(hits) == 10


def test_reopened(tmp_path, vectors, queries):
    with sutra.open(tmp_path / "s", dim=DIM, metric="l2") as store:
        store.add(np.arange(ROWS), vectors)
    with sutra.open(tmp_path / "s", mode="r") as store:
        hits = store.search(queries[0], 10, exact=True, filter=np.arange(100, 200))
        assert hits.ids.tolist() == best(vectors, np.arange(100, 200), queries[0])


def test_explain(store, vectors, queries):
    store.add(np.arange(ROWS), vectors)
    store.settle()
    assert store.explain(queries[0]).kind == "walk"
    few = store.explain(queries[:2], filter=np.arange(20))
    assert [plan.kind for plan in few] == ["code scan"] * 2
    assert [plan.looked for plan in few] == [20, 20]
    assert store.explain(queries[0], exact=True, filter=[1, 2]).kind == "scan"


def test_empty_store(store):
    assert len(store.search(np.ones(DIM), 3, filter=[1, 2])) == 0
    assert store.explain(np.ones(DIM), filter=[1]).kind == "scan"
    with sutra.open(":memory:") as fresh:  # no dimension yet
        assert len(fresh.search(np.ones(3), 3, filter=["a"])) == 0
        assert fresh.explain(np.ones(3)).passing == 0


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ([1.5], TypeError),
        ([True], TypeError),
        (np.ones(3), TypeError),
        ([-1], sutra.ConfigError),
        (["x" * 2000], sutra.ConfigError),
        ([[1], [2]], sutra.ConfigError),
        (np.ones((2, 8), bool), sutra.ConfigError),
    ],
)
def test_bad_filters(store, vectors, given, error):
    store.add(np.arange(10), vectors[:10])
    with pytest.raises(error):
        store.search(vectors[0], 3, filter=given)
