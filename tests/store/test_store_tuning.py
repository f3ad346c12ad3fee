"""Measuring recall and tuning ef of a store: one state, what is kept, who may write it."""

import threading

import numpy as np
import pytest

import sutra
from sutra import _recall
from sutra.errors import (
    ClosedError,
    ConfigError,
    DimensionError,
    InvalidVectorError,
    ReadOnlyError,
    SutraError,
)

DIM = 16
COUNT = 2500


def mixture(count, seed):
    """Rows in fifty clusters of several sizes and widths."""
    centres = np.random.default_rng(99)
    means = 2 * centres.standard_normal((50, DIM))
    widths = centres.uniform(0.2, 1.5, 50)
    rng = np.random.default_rng(seed)
    labels = rng.choice(50, count, p=centres.dirichlet(np.full(50, 2.0)))
    rows = means[labels] + widths[labels, None] * rng.standard_normal((count, DIM))
    return rows.astype(np.float32)


@pytest.fixture(scope="module")
def base():
    return mixture(COUNT, 1)


@pytest.fixture(scope="module")
def fresh():
    return mixture(1000, 2)


@pytest.fixture
def full(path, base):
    """A store on disk with vectors that are linked, and others of its concepts without."""
    with sutra.open(path, dim=DIM, metric="l2", m=8, ef_construction=40) as opened:
        opened.add([f"plain {number}" for number in range(200)])
        opened.add(vectors=base)
        opened.add(["text a", "text b"], base[:2] + 0.01)
        opened.settle()
        yield opened


def near(hits):
    return [hit.distances.tolist() for hit in hits]


# ---- measuring


def test_recall_is_what_numpy_says(full, base, fresh, tools):
    stored = np.concatenate([base, base[:2] + np.float32(0.01)])
    truth = [np.sort(tools.distances("l2", query, stored))[:10] for query in fresh[:200]]
    for ef in (10, 20, 100):
        got = full.measure_recall(10, ef=ef, queries=fresh[:200])
        found = full.search(fresh[:200], 10, ef=ef)
        shares = [
            np.mean(hits.distances <= far[9] * (1 + 1e-5))
            for hits, far in zip(found, truth, strict=True)
        ]
        assert got.recall == pytest.approx(np.mean(shares), abs=0.001)
        assert (got.k, got.ef, got.queries) == (10, ef, 200)
    assert got.recall > 0.9


def test_only_vectors_are_sampled(full, base):
    """Of 2,702 concepts 200 have none; those with text for ids have one."""
    assert full.measure_recall(sample=10_000).queries == COUNT + 2
    keys, rows = full._subject().sample(10_000, 0)
    assert len(set(keys.tolist())) == COUNT + 2
    stored = np.concatenate([base, base[:2] + np.float32(0.01)])
    assert (np.sort(rows, axis=0) == np.sort(stored, axis=0)).all()
    keys, rows = full._subject().sample(30, 5)
    again = full._subject().sample(30, 5)
    assert len(set(keys.tolist())) == len(rows) == 30
    assert (keys == again[0]).all()
    assert (rows == again[1]).all()
    assert set(keys.tolist()) != set(full._subject().sample(30, 6)[0].tolist())


def test_few_vectors_among_many_concepts(store):
    """They are found however rare they are."""
    store.add(np.arange(3000))
    store.add(["a", "b", "c"], np.eye(3))
    assert store.measure_recall(k=2, sample=2).queries == 2
    assert store.measure_recall(k=5).queries == 3
    assert store.measure_recall(k=5).recall == 1.0


def test_stored_vectors_do_not_find_themselves(store):
    """One pair apart from the rest: with itself counted, the first neighbour is at 0."""
    store.add([1, 2], [[0.0, 1.0], [1.0, 0.0]])
    subject = store._subject()
    keys, rows = subject.sample(2, 0)
    assert subject.held_out(keys, rows, 1, None, 1).ravel().tolist() == [1.0, 1.0]
    assert subject.held_out(keys, rows, 1, 10, 1).ravel().tolist() == [1.0, 1.0]


def test_what_was_deleted_or_replaced_does_not_count(full, base, fresh):
    full.delete(np.arange(1000))
    full.upsert(np.arange(1000, 1500), base[:500] + 1)
    assert full.measure_recall(sample=10_000, ef=500).queries == COUNT + 2 - 1000
    got = full.measure_recall(ef=2000, queries=fresh[:100])
    assert got.recall >= 0.99


def test_what_waits_to_be_linked_is_found(path, base, fresh):
    with sutra.open(path, dim=DIM, reconcile_interval_ms=3_600_000) as store:
        store.add(vectors=base)
        got = store.measure_recall(ef=10, queries=fresh[:100])
        assert store.stats()["pending"] == COUNT
        assert got.recall == 1.0
        # So tuning waits for it: an ef for a scan is none for the graph.
        tuned = store.tune(0.95, queries=fresh)
        assert store.stats()["pending"] == 0
        assert store.measure_recall(queries=fresh[:100], ef=tuned.ef).recall < 1.0


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
@pytest.mark.parametrize("kept", [True, False])
def test_every_metric(base, fresh, metric, kept):
    with sutra.open(":memory:", dim=DIM, metric=metric, keep_originals=kept) as store:
        store.add(vectors=base)
        got = store.tune(0.9, queries=fresh[:500])
        assert got.reached
        assert store.measure_recall(queries=fresh[500:]).recall >= 0.9
        assert store.tune(0.9).reached


def test_equal_vectors_are_all_right(store):
    store.add(vectors=np.ones((1200, 4)))
    store.settle()
    assert store.measure_recall(10, ef=10, sample=100).recall == 1.0
    assert store.measure_recall(10, ef=10, queries=np.ones(4)).recall == 1.0


def test_there_must_be_something_to_find(store):
    for call in (store.measure_recall, store.tune):
        with pytest.raises(ConfigError, match="no vectors"):
            call()
        with pytest.raises(ConfigError, match="no vectors"):
            call(queries=[[1.0, 2.0]])
    store.add(["a", "b"])
    with pytest.raises(ConfigError, match="no vectors"):
        store.measure_recall()
    store.upsert("a", [1.0, 2.0])
    for call in (store.measure_recall, store.tune):
        with pytest.raises(ConfigError, match="nothing to find"):
            call()
    assert store.measure_recall(queries=[[1.0, 2.0]]).recall == 1.0
    store.upsert("b", [2.0, 1.0])
    assert store.measure_recall(k=1).recall == 1.0
    assert store.measure_recall(k=1000).recall == 1.0
    store.delete(["a", "b"])
    for call in (store.measure_recall, store.tune):
        with pytest.raises(ConfigError, match="nothing to find"):
            call()
        with pytest.raises(ConfigError, match="nothing to find"):
            call(queries=[[1.0, 2.0]])


BAD = [
    ({"k": 0}, ConfigError),
    ({"k": 2**20}, ConfigError),
    ({"k": "1"}, TypeError),
    ({"sample": 0}, ConfigError),
    ({"seed": -1}, ConfigError),
    ({"threads": 2000}, ConfigError),
    ({"queries": np.empty((0, DIM))}, ConfigError),
    ({"queries": []}, DimensionError),
    ({"queries": np.ones(DIM - 1)}, DimensionError),
    ({"queries": np.full((2, DIM), np.nan, dtype=np.float32)}, InvalidVectorError),
]


@pytest.mark.parametrize(("arguments", "error"), BAD)
@pytest.mark.parametrize("verb", ["measure_recall", "tune"])
def test_bad_arguments_are_refused_before_anything(full, monkeypatch, verb, arguments, error):
    monkeypatch.setattr(_recall.Trial, "__init__", None)
    with pytest.raises(error):
        getattr(full, verb)(**arguments)
    with full.read_view() as view, pytest.raises(error):
        view.measure_recall(**arguments)
    assert full._setting("tuning") is None


@pytest.mark.parametrize("recall", [0, 1.5, float("nan")])
def test_bad_recalls_are_refused(full, recall):
    with pytest.raises(ConfigError, match="recall="):
        full.tune(recall)
    with pytest.raises(ConfigError, match="recall="):
        full.search(np.zeros(DIM), recall=recall)
    with pytest.raises(TypeError):
        full.tune("0.9")


def test_a_closed_store(full, fresh):
    view = full.read_view()
    full.close()
    for call in (full.measure_recall, full.tune):
        with pytest.raises(ClosedError):
            call()
    assert view.measure_recall(queries=fresh[:50]).queries == 50
    view.close()
    with pytest.raises(ClosedError):
        view.measure_recall()


# ---- one state


def test_a_view_is_measured_as_it_was(full, fresh):
    with full.read_view() as view:
        before = view.measure_recall(queries=fresh[:100])
        full.delete(list(full))
        after = view.measure_recall(queries=fresh[:100])
        assert after.recall == pytest.approx(before.recall, abs=0.02)
        assert view.measure_recall(sample=10_000).queries == COUNT + 2
    with pytest.raises(ConfigError, match="nothing to find"):
        full.measure_recall()


def test_one_state_is_measured_whatever_is_written(full, fresh, monkeypatch):
    """After the truth is known, all that was true is deleted."""
    at = _recall.Trial.at

    def late(self, ef):
        full.delete(list(full))
        return at(self, ef)

    monkeypatch.setattr(_recall.Trial, "at", late)
    assert full.measure_recall(queries=fresh[:50], ef=500).recall >= 0.99
    assert len(full) == 0


def test_tuning_beside_writers(full, base):
    stop = threading.Event()
    errors = []

    def write():
        rng = np.random.default_rng(0)
        while not stop.is_set():
            try:
                ids = full.add(vectors=rng.standard_normal((20, DIM))).ids
                full.delete(ids[:10])
            except Exception as error:
                errors.append(error)
                return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        got = full.tune(0.9, sample=300)
    finally:
        stop.set()
        thread.join()
    assert not errors
    assert got.reached
    full.verify(deep=True)


# ---- what is kept


def test_tuned_is_what_a_search_takes(full, fresh):
    got = full.tune(0.9, sample=500)
    assert got.reached
    told = near(full.search(fresh[:100], ef=got.ef))
    assert near(full.search(fresh[:100])) == told
    assert near(full.search(fresh[:100], recall=0.9)) == told
    assert near(full.search(fresh[:100], ef=64)) != told
    assert full.search(fresh[0], recall=0.5).distances.tolist() == told[0]
    assert full.measure_recall(sample=10).ef == got.ef
    with full.read_view() as view:
        assert near(view.search(fresh[:100])) == told
        assert near(view.search(fresh[:100], recall=0.9)) == told
        assert view.measure_recall(sample=10).ef == got.ef


def test_related_starts_as_wide(full, fresh):
    full.tune(0.5, 1, sample=100)
    full._set("tuning", b'{"default":1}')
    full.close()
    with sutra.open(full.path) as store:
        narrow = [store.related(query, 1, hops=0).ids[0] for query in fresh[:300]]
        told = [store.search(query, 1, ef=1).ids[0] for query in fresh[:300]]
        wide = [store.search(query, 1, ef=64).ids[0] for query in fresh[:300]]
    assert narrow == told != wide


def test_a_view_is_tuned_as_the_store_was(full, fresh):
    with full.read_view() as view:
        full.tune(0.9, sample=100)
        with pytest.raises(ConfigError, match="tune"):
            view.search(fresh, recall=0.9)
    assert not hasattr(view, "tune")


def test_recall_goes_with_nothing_else(full, fresh):
    with pytest.raises(ConfigError, match=r"call tune\(recall=0.95, k=10\) first"):
        full.search(fresh, recall=0.95)
    full.tune(0.9, sample=100)
    with pytest.raises(ConfigError, match="ef and exact"):
        full.search(fresh, recall=0.9, ef=50)
    with pytest.raises(ConfigError, match="ef and exact"):
        full.search(fresh, recall=0.9, exact=True)
    with pytest.raises(ConfigError, match="k=11"):
        full.search(fresh, 11, recall=0.9)
    with pytest.raises(ConfigError, match=r"recall=0.91"):
        full.search(fresh, recall=0.91)
    with pytest.raises(TypeError):
        full.search(fresh, recall="0.9")


def reopened(store):
    store.close()
    return sutra.open(store.path)


def test_a_store_keeps_every_recall(full, fresh, tmp_path):
    strict, loose = full.tune(0.99, sample=300), full.tune(0.8, 5, sample=300)
    assert loose.ef < strict.ef
    full.snapshot(tmp_path / "snapshot")

    def check(store):
        told = near(store.search(fresh[:50], ef=strict.ef))
        assert near(store.search(fresh[:50], recall=0.99)) == told
        assert near(store.search(fresh[:50], 5, recall=0.8)) == near(
            store.search(fresh[:50], 5, ef=loose.ef)
        )
        assert store.measure_recall(5, sample=10).ef == loose.ef

    check(full)
    with reopened(full) as store:
        check(store)
        store.checkpoint()
    with sutra.open(full.path, mode="r") as store:
        check(store)
    with sutra.open(full.path) as store:
        store.compact()
        check(store)
    with sutra.open(full.path) as store, sutra.open(tmp_path / "snapshot") as copy:
        check(store)
        check(copy)


def test_what_was_not_reached_is_no_longer_promised(full, fresh, monkeypatch):
    full.tune(0.9, sample=100)
    full.search(fresh[:2], recall=0.9)
    monkeypatch.setattr(_recall, "is_enough", lambda measured, recall: False)
    got = full.tune(0.9, sample=100)
    assert not got.reached
    with reopened(full) as store:
        assert store.measure_recall(sample=10).ef == got.ef
        with pytest.raises(ConfigError, match="first"):
            store.search(fresh[:2], recall=0.9)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\xff\x00", b"[]", b"[" * 60_000, b'{"default": 0}', b'{"default": 4294967296}',
     b'{"0.95@10": -1, "default": "64"}', b'{"2.0@10": 64}'],
)  # fmt: skip
def test_garbage_is_as_if_not_tuned(full, fresh, raw):
    told = near(full.search(fresh[:50], ef=64))
    full._set("tuning", raw)
    with reopened(full) as store:
        assert near(store.search(fresh[:50])) == told
        with pytest.raises(ConfigError, match="first"):
            store.search(fresh[:2], recall=0.9)
        assert store.tune(0.9, sample=100).reached
        store.search(fresh[:2], recall=0.9)


def test_a_store_that_is_flat_is_left_at_the_default(store):
    store.add(vectors=np.random.default_rng(0).standard_normal((300, 6)))
    got = store.tune(0.9)
    assert (got.ef, got.reached, got.measured.recall) == (64, True, 1.0)


# ---- who may


def test_readers_measure_and_write_nothing(full, fresh):
    full.close()
    with sutra.open(full.path, mode="r") as store:
        assert store.measure_recall(sample=100).queries == 100
        with pytest.raises(ReadOnlyError, match="keep=False"):
            store.tune(0.9)
        got = store.tune(0.9, sample=200, keep=False)
        assert got.reached
        with pytest.raises(ConfigError, match="first"):
            store.search(fresh[:2], recall=0.9)
    with sutra.open(full.path) as store:
        assert store._setting("tuning") is None


def test_readers_are_refused_before_anything_is_measured(full, monkeypatch):
    full.close()
    monkeypatch.setattr(_recall.Trial, "__init__", None)
    with sutra.open(full.path, mode="r") as store, pytest.raises(ReadOnlyError):
        store.tune(0.9)


def test_a_batch_is_no_place_to_tune(full):
    with full.batch():
        with pytest.raises(SutraError, match="batch"):
            full.tune(0.9)
        assert full.tune(0.9, sample=100, keep=False).reached
        full.add("later")
    assert "later" in full
    assert full._setting("tuning") is None


def test_only_told(full, fresh):
    got = full.tune(0.9, sample=100, keep=False)
    assert got.reached
    assert full._setting("tuning") is None
    assert full.measure_recall(sample=10).ef == 64


def test_a_refresh_sees_what_a_writer_has_tuned(full, fresh):
    with sutra.open(full.path, mode="r") as reader:
        got = full.tune(0.9, sample=200)
        with pytest.raises(ConfigError, match="first"):
            reader.search(fresh[:2], recall=0.9)
        assert reader.refresh()
        assert near(reader.search(fresh[:50], recall=0.9)) == near(
            reader.search(fresh[:50], ef=got.ef)
        )
        assert reader.measure_recall(sample=10).ef == got.ef
