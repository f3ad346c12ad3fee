"""States that stay: views, batches, sequence numbers."""

import gc
import threading
import weakref

import numpy as np
import pytest

import sutra
from sutra import ClosedError, SutraError


@pytest.fixture
def filled(store, tools):
    store.add(range(100), tools.rows(100), contents=[f"text {n}" for n in range(100)])
    store.link(range(99), range(1, 100))
    return store


def test_a_view_does_not_change(filled, tools):
    query = tools.rows(1, seed=9)[0]
    with filled.read_view() as view:
        before = tools.state(view)
        near = view.search(query, exact=True)
        filled.delete(range(50))
        filled.upsert(range(50, 60), tools.rows(10, seed=5), contents=["new"] * 10)
        filled.add(["a", "b"], tools.rows(2, seed=6))
        filled.touch(range(60, 70))
        filled.link(98, range(60, 70), weight=3)
        filled.unlink(range(70, 80), range(71, 81))
        after = tools.state(filled)
        assert tools.state(view) == before
        assert len(view) == 100
        again = view.search(query, exact=True)
        assert np.array_equal(again.ids, near.ids)
        assert np.array_equal(again.distances, near.distances)
        assert [hit.content for hit in again] == [hit.content for hit in near]
        assert set(view.search(query, k=100).ids) <= set(range(100))
        assert view.paths(0, 5)[0].ids == (0, 1, 2, 3, 4, 5)
        assert [one.id for one in view.expand(3, 2)] == [4, 5]
        assert view.records([3])["found"].all()
        assert list(view.scan(10, 5)) == view.get(range(10, 15))
        assert filled.compact() is None
        assert tools.state(view) == before
        assert tools.state(filled) == after
    assert len(filled) == 52


def test_generations_follow_the_writes(store):
    views = []
    for number in range(10):
        result = store.add(number)
        assert result.lsn == number + 1
        views.append(store.read_view())
        assert views[-1].generation == result.lsn
    for number, view in enumerate(views):
        assert list(view) == list(range(number + 1))
        assert (number in view, number + 1 in view) == (True, False)
    for view in views[::2]:
        view.close()
    store.delete(range(10))
    assert [len(view) for view in views[1::2]] == [2, 4, 6, 8, 10]
    for view in views:
        view.close()


def test_an_ended_view_says_so(filled):
    with filled.read_view() as view:
        hits = view.search(filled[3].vector)
    view.close()
    calls = [
        lambda: view[3],
        lambda: view.get([3]),
        lambda: view.records(3),
        lambda: len(view),
        lambda: 3 in view,
        lambda: list(view),
        lambda: view.scan(),
        lambda: view.search(np.ones(8)),
        lambda: view.links(3),
        lambda: view.expand(3),
        lambda: view.paths(3, 4),
        lambda: view.related(np.ones(8)),
        view.__enter__,
    ]
    for call in calls:
        with pytest.raises(ClosedError, match="ended"):
            call()
    assert hits[0].content == "text 3"


def test_a_view_outlives_the_store(filled, tools):
    before = tools.state(filled)
    view = filled.read_view()
    filled.close()
    assert tools.state(view) == before
    del filled
    gc.collect()
    assert tools.state(view) == before
    view.close()


def test_many_views(filled):
    views = [filled.read_view() for _ in range(300)]
    assert filled.health()["open_views"] >= 300
    filled.delete(5)
    assert all(5 in view for view in views)
    del views
    gc.collect()
    assert filled.health()["open_views"] == 0


def test_a_view_ended_while_it_is_read(filled):
    """Calls in flight finish, later ones are refused."""
    for _ in range(20):
        view = filled.read_view()
        ready, results = threading.Barrier(4), []

        def read(view=view, ready=ready, results=results):
            ready.wait(30)
            for _ in range(50):
                try:
                    results.append(len(view.get(range(100), vectors=True)))
                except ClosedError:
                    results.append(None)

        threads = [threading.Thread(target=read, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        ready.wait(30)
        view.close()
        for thread in threads:
            thread.join(30)
        assert len(results) == 150
        assert set(results) <= {100, None}
        assert results[-1] is None


def test_a_view_is_consistent_while_others_write(path):
    """Two concepts that are always written together are never seen apart."""
    saved = sutra.open(path, sync="off")
    saved.add(["left", "right"], contents=["0", "0"])
    stop, wrong = threading.Event(), []

    def check():
        while not stop.is_set():
            with saved.read_view() as view:
                first = [one.content for one in view.get(["left", "right"])]
                second = [one.content for one in view.get(["right", "left"])]
            once = [one.content for one in saved.get(["left", "right"])]
            if len(set(first)) != 1 or first != second or len(set(once)) != 1:
                wrong.append((first, second, once))

    readers = [threading.Thread(target=check, daemon=True) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(300):
        with saved.batch():
            saved.upsert("left", contents=str(number))
            saved.upsert("right", contents=str(number))
    stop.set()
    for reader in readers:
        reader.join(30)
    assert wrong == []
    assert saved["left"].content == "299"
    saved.close()


# ---- batches


def test_a_batch_is_one_write(store):
    store.add(["old", "gone"])
    with store.batch() as batch:
        added = batch.add(["a", "b"], contents=["x", "y"])
        assert store.link("a", ["b", "old"]).count == -1
        assert store.delete(["gone", "nothing"]) == -1
        assert batch.touch("old") == -1
        assert batch.unlink("a", "old").lsn == -1
        store.upsert("old", contents="kept")
        store.add("gone", contents="again")
        assert (added.ids.tolist(), added.count, added.lsn) == (["a", "b"], -1, -1)
        assert list(store) == ["old", "gone"]
    assert batch.lsn == 2
    assert [result.count for result in batch.results] == [2, 2, 1, 1, 1, 1, 1]
    assert {result.lsn for result in batch.results} == {2}
    assert batch.results[0].ids.tolist() == ["a", "b"]
    assert store["gone"].content == "again"
    assert [link.target for link in store.links("a")] == ["b"]
    assert store.read_view().generation == 2


def test_ids_are_assigned_inside_a_batch(store):
    store.add(10)
    with store.batch() as batch:
        first = store.add(contents=["a", "b"])
        second = store.add(vectors=[[1.0, 2.0]])
        store.link(first.ids[0], second.ids)
    assert first.ids.tolist() == [11, 12]
    assert second.ids.tolist() == [13]
    assert batch.results[1].ids.tolist() == [13]
    assert store.links(11)[0].target == 13
    assert store.add(contents="c").ids.tolist() == [14]


def test_a_batch_that_fails_does_nothing(store, tools):
    store.add(["a", "b"])
    before = tools.state(store)
    batches = []

    def collect(*writes):
        with store.batch() as batch:
            batches.append(batch)
            for write, *arguments in writes:
                write(*arguments)

    with pytest.raises(ZeroDivisionError):
        collect((store.add, "c"), (divmod, 1, 0))
    with pytest.raises(sutra.NotFoundError, match="operation 1") as missing:
        collect((store.add, "c"), (store.link, "c", "nothing"), (store.delete, "a"))
    assert missing.value.id == "nothing"
    with pytest.raises(sutra.DuplicateIdError, match="operation 1") as twice:
        collect((store.delete, "a"), (store.add, ["c", "b"]))
    assert twice.value.id == "b"
    with pytest.raises(sutra.DimensionError, match="expected 2, found 3"):
        collect((store.add, "c", [1.0, 2.0]), (store.add, "d", [1.0, 2.0, 3.0]))
    assert [(batch.results, batch.lsn) for batch in batches] == [([], None)] * 4
    assert tools.state(store) == before
    assert store.stats()["visible_lsn"] == 1
    store.add("c")


def test_batches_do_not_nest(store):
    batch = store.batch()
    with pytest.raises(ClosedError):
        batch.add("a")
    with batch:
        with pytest.raises(SutraError, match="nest"), store.batch():
            pass
        store.add("a")
    with pytest.raises(SutraError, match="once"), batch:
        pass
    with pytest.raises(ClosedError):
        batch.add("b")
    assert list(store) == ["a"]
    with store.batch() as empty:
        pass
    assert (empty.results, empty.lsn) == ([], None)
    with store.batch() as nothing:
        store.delete([])
    assert nothing.results[0].count == 0


def test_a_batch_is_of_one_thread(store):
    with store.batch() as batch:
        errors = []

        def other():
            store.add("other")  # not part of it
            try:
                batch.add("stranger")
            except ClosedError as error:
                errors.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(30)
        assert len(errors) == 1
        assert list(store) == ["other"]
        store.add("mine")
    assert list(store) == ["other", "mine"]


def test_two_stores_have_their_own_batches(store):
    with sutra.open(":memory:") as second, store.batch():
        store.add("a")
        second.add("b")
        assert list(second) == ["b"]
        assert list(store) == []


def test_writers_beside_each_other(store):
    def write(number):
        for step in range(50):
            store.add((number, step)[0] * 100 + step, contents=str(number))

    threads = [threading.Thread(target=write, args=(n,), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(store) == [n * 100 + step for n in range(4) for step in range(50)]
    assert store.stats()["visible_lsn"] == 200


@pytest.mark.parametrize("sync", ["full", "interval", "off"])
def test_durability_is_counted(path, sync):
    with sutra.open(path, sync=sync) as store:
        for number in range(20):
            lsn = store.add(number).lsn
            assert sync != "full" or store.durable_lsn == lsn
        assert store.durable_lsn <= lsn
        store.wait_durable(lsn)
        assert store.durable_lsn == lsn
        store.add("last")
        store.flush()
        assert store.durable_lsn == lsn + 1
        store.wait_durable(0)
    with sutra.open(path) as store:
        assert store.durable_lsn >= lsn + 1
        assert len(store) == 21


def test_handles_are_freed(path):
    store = sutra.open(path)
    store.add("a", [1.0, 2.0])
    view, hits = store.read_view(), store.search([1, 2])
    core = weakref.ref(store._core)
    store.close()
    del store
    gc.collect()
    assert core() is not None
    view.close()
    assert hits[0].content is None
    del view
    gc.collect()
    assert core() is None
