"""Stores large enough for a graph: search while it is built, after changes, crashes, compaction."""

import threading

import numpy as np
import pytest

import sutra

DIM = 16
COUNT = 2500


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(4)
    centres = 3 * rng.standard_normal((40, DIM))
    return (centres[rng.integers(0, 40, 2 * COUNT)] + rng.standard_normal((2 * COUNT, DIM))).astype(
        np.float32
    )


def recall(store, vectors, queries, k=10):
    """Against the truth over what the caller knows to be there: id -> vector."""
    ids = np.array(list(vectors))
    rows = np.array(list(vectors.values()))
    found = 0
    for query, hits in zip(queries, store.search(queries, k=k, ef=100), strict=True):
        truth = ids[np.argsort(((rows - query) ** 2).sum(axis=1))[:k]]
        assert len(hits) == min(k, len(ids))
        assert set(hits.ids.tolist()) <= set(vectors)
        exact = store.search(query, k=k, exact=True)
        assert exact.ids.tolist() == truth.tolist()
        found += len(np.intersect1d(hits.ids, truth))
    return found / (k * len(queries))


@pytest.mark.parametrize("quantization", ["u8", "u4", "none"])
def test_a_life(path, vectors, quantization):
    queries = vectors[::333] + np.float32(0.1)
    expected = {}
    options = {"metric": "l2", "quantization": quantization}
    least = 0.8 if quantization == "u4" else 0.95
    store = sutra.open(path, **options)
    for start in range(0, COUNT, 500):
        ids = range(start, start + 500)
        store.add(ids, vectors[start : start + 500])
        expected.update(zip(ids, vectors[start : start + 500], strict=True))
        assert recall(store, expected, queries) >= least
    store.settle()
    assert store.stats()["graph"]
    assert store.health()["write_log_depth"] == 0
    gone = list(range(0, COUNT, 3))
    store.delete(gone)
    for id in gone:
        del expected[id]
    moved = list(expected)[::5]
    store.upsert(moved, vectors[COUNT : COUNT + len(moved)])
    expected.update(zip(moved, vectors[COUNT:], strict=False))
    assert recall(store, expected, queries) >= least
    store.checkpoint()
    added = range(10_000, 10_400)
    store.add(added, vectors[-400:])
    expected.update(zip(added, vectors[-400:], strict=True))
    store._core.abandon()
    store = sutra.open(path, **options)
    assert recall(store, expected, queries) >= least
    for concept in store.get(list(expected), vectors=True):
        assert np.array_equal(concept.vector, expected[concept.id])
    before = store.stats()
    store.compact()
    after = store.stats()
    assert before["dead_slots"] > 0
    assert (after["dead_slots"], after["dead_vectors"]) == (0, 0)
    assert recall(store, expected, queries) >= least
    store.verify(deep=True)
    store.close()
    with sutra.open(path, mode="r") as store:
        assert recall(store, expected, queries) >= least
        assert len(store) == len(expected)


def test_codes_alone(path, vectors):
    with sutra.open(path, keep_originals=False, metric="l2") as store:
        store.add(vectors=vectors[:COUNT])
        store.settle()
        near = [concept.vector for concept in store.get(range(100), vectors=True)]
        assert 0 < np.abs(np.array(near) - vectors[:100]).max() < 0.3
        store.checkpoint()
        hits = store.search(vectors[:100], k=1)
        assert np.mean([hit.ids[0] == row for row, hit in enumerate(hits)]) > 0.95
    with sutra.open(path) as store:
        assert store.stats()["keep_originals"] is False
        again = [concept.vector for concept in store.get(range(100), vectors=True)]
        assert np.array_equal(again, near)


def test_searching_beside_a_writer(path, vectors):
    """Every hit is something that was there at some time, and what was always there is found."""
    stop, errors = threading.Event(), []
    with sutra.open(path, metric="l2", sync="off") as store:
        store.add(range(1000), vectors[:1000])

        def read():
            rng = np.random.default_rng(0)
            while not stop.is_set():
                row = int(rng.integers(0, 500))
                hits = store.search(vectors[row], k=5, ef=64)
                if hits.ids[0] != row or not (np.diff(hits.distances) >= 0).all():
                    errors.append((row, hits.ids.tolist()))
                if not set(hits.ids.tolist()) <= set(range(COUNT)):
                    errors.append(hits.ids.tolist())
                if len(set(hits.ids.tolist())) != 5:
                    errors.append(hits.ids.tolist())

        readers = [threading.Thread(target=read, daemon=True) for _ in range(2)]
        for reader in readers:
            reader.start()
        for start in range(1000, COUNT, 50):
            store.add(range(start, start + 50), vectors[start : start + 50])
            store.delete(range(start - 500, start - 490))
            if start == 1500:
                store.checkpoint()
            if start == 2000:
                store.compact()
        stop.set()
        for reader in readers:
            reader.join(60)
        assert not any(reader.is_alive() for reader in readers)
        assert errors == []
        store.verify(deep=True)


def repeat(call, ready, errors):
    ready.wait(60)
    try:
        while True:
            call()
    except BaseException as error:
        errors.append(error)


@pytest.mark.parametrize("place", ["disk", "memory"])
def test_close_beside_everything(path, vectors, place):
    """Calls in flight finish or are refused; nothing waits for ever."""
    for number in range(6):
        store = sutra.open(path if place == "disk" else ":memory:", metric="l2", sync="off")
        store.upsert(range(600), vectors[:600])
        calls = [
            lambda store=store: store.upsert(range(600, 650), vectors[600:650]),
            lambda store=store: store.search(vectors[:20], k=5, threads=2),
            lambda store=store: store.get(range(600), vectors=True),
            lambda store=store: store.verify(),
            lambda store=store: store.stats(),
            lambda store=store: store.checkpoint(),
            lambda store=store: store.settle(),
            lambda store=store: store.read_view().close(),
        ]
        ready, errors = threading.Barrier(len(calls) + 1), []
        threads = [
            threading.Thread(target=repeat, args=(call, ready, errors), daemon=True)
            for call in calls
        ]
        for thread in threads:
            thread.start()
        ready.wait(60)
        threading.Event().wait(0.01 * number)
        closers = [threading.Thread(target=store.close, daemon=True) for _ in range(2)]
        for closer in closers:
            closer.start()
        for thread in [*threads, *closers]:
            thread.join(60)
            assert not thread.is_alive()
        assert {type(error) for error in errors} == {sutra.ClosedError}
        assert len(errors) == len(calls)
    if place == "disk":
        with sutra.open(path) as store:
            assert store.verify(deep=True)["concepts"] in (600, 650)
