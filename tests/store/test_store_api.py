"""What a store does for those who use it as the documentation says."""

import datetime
import pickle

import numpy as np
import pytest

import sutra


def test_one_concept(store):
    result = store.add("tea", [1.0, 2.0, 3.0], contents="a drink", metadata={"hot": True})
    assert result.ids.tolist() == ["tea"]
    assert (result.count, result.lsn) == (1, 1)
    concept = store["tea"]
    assert concept.id == "tea"
    assert concept.vector.tolist() == [1, 2, 3]
    assert concept.content == "a drink"
    assert concept.metadata == {"hot": True}
    assert store.dim == 3
    assert store.get("tea")[0].vector is None
    assert store.get("tea", vectors=True) == [concept]


def test_a_batch_of_everything(store, tools):
    vectors = tools.rows(3)
    ids = [5, "five", np.int64(7)]
    contents = ["", b"\x00\xff", None]
    metadata = [{}, None, {"a": [1, None, {"ü": "\U0001f600"}]}]
    result = store.add(ids, vectors, contents=contents, metadata=metadata)
    assert result.ids.tolist() == [5, "five", 7]
    found = store.get([7, "nothing", 5, "five"], vectors=True)
    assert found[1] is None
    assert [concept.id for concept in found if concept] == [7, 5, "five"]
    assert [concept.content for concept in found if concept] == [None, "", b"\x00\xff"]
    assert [concept.metadata for concept in found if concept] == [metadata[2], {}, None]
    assert np.array_equal([concept.vector for concept in found if concept], vectors[[2, 0, 1]])
    assert list(store) == [5, "five", 7]
    assert type(next(iter(store))) is int


def test_numbers_and_texts_are_different_ids(store):
    store.add([7, "7"], contents=["number", "text"])
    assert store[7].content == "number"
    assert store["7"].content == "text"
    assert store.delete("7") == 1
    assert 7 in store
    assert "7" not in store


def test_assigned_ids(store):
    assert store.add(contents=["a", "b"]).ids.tolist() == [0, 1]
    assert store.add(contents="c").ids.tolist() == [2]
    store.add(100, contents="d")
    result = store.add(vectors=[[1.0], [2.0], [3.0]])
    assert result.ids.tolist() == [101, 102, 103]
    assert result.ids.dtype == np.int64
    store.add("text", contents="e")
    assert store.upsert(contents=["f"]).ids.tolist() == [104]
    store.delete([104])
    assert store.add(metadata={"n": 1}).ids.tolist() == [105]


def test_ids_of_every_shape(store):
    assert store.add(range(3)).count == 3
    assert store.add(np.arange(3, 6, dtype=np.uint8)).count == 3
    assert store.add((6, 7)).count == 2
    assert store.add(np.array(["x", "y"])).count == 2
    assert store.add(np.array([8, "z"], dtype=object)).count == 2
    assert store.add(np.int32(9)).count == 1
    assert store.add(2**63 - 1).count == 1
    assert store.add(["", "a" * 1024, "é" * 512][1:]).count == 2
    assert list(store)[:11] == [0, 1, 2, 3, 4, 5, 6, 7, "x", "y", 8]
    assert len(store) == 16


def test_vectors_are_optional_for_each(store):
    store.add(["a", "b", "c"], [[1.0, 0.0], None, (0.0, 1.0)])
    assert store["b"].vector is None
    assert store["c"].vector.tolist() == [0, 1]
    assert [hit.id for hit in store.search([1, 0.1])] == ["a", "c"]
    store.add(["d", "e"], [None, None])
    assert store["e"].vector is None
    store.upsert(["b", "a"], [[5.0, 5.0], None])
    assert store["b"].vector.tolist() == [5, 5]
    assert store["a"].vector.tolist() == [1, 0]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8, np.uint64])
def test_vectors_of_every_kind(store, kind):
    vectors = np.arange(1, 13).reshape(3, 4).astype(kind)
    store.add(vectors=vectors)
    store.add(vectors=np.asfortranarray(vectors))
    store.add(vectors=np.repeat(vectors, 2, axis=1)[:, ::2])
    store.add(vectors=vectors.tolist())
    for concept in store.get(range(12), vectors=True):
        assert np.array_equal(concept.vector, vectors[concept.id % 3])


def test_what_was_given_is_copied(store):
    vectors, ids = np.ones((2, 3), dtype=np.float32), np.array([1, 2])
    with store.batch():
        result = store.add(ids, vectors)
        vectors[:], ids[:], result.ids[:] = 9, 9, 9
    assert list(store) == [1, 2]
    assert store[1].vector.tolist() == [1, 1, 1]


def test_upsert_keeps_what_is_not_given(store):
    store.add("a", [1.0, 2.0], contents="text", metadata={"k": 1}, strength=3, confidence=0.5)
    first = store["a"].record
    assert store.upsert("a", contents="new").count == 1
    concept = store["a"]
    assert (concept.content, concept.metadata) == ("new", {"k": 1})
    assert concept.vector.tolist() == [1, 2]
    assert (concept.record.strength, concept.record.confidence) == (1, 1)
    assert concept.record.created_ns == first.created_ns
    assert concept.record.accessed_ns > first.accessed_ns
    store.upsert("a", metadata={})
    store.upsert("a", [3.0, 4.0])
    concept = store["a"]
    assert (concept.content, concept.metadata) == ("new", {})
    assert concept.vector.tolist() == [3, 4]
    store.upsert(["a", "b"], contents=[None, "made"])
    assert [one.content for one in store.get(["a", "b"])] == ["new", "made"]
    assert len(store) == 2


def test_add_refuses_what_is_there(store):
    store.add(["a", 1])
    for ids, wrong in ((["b", "a"], "a"), ([1], 1), (["c", 2, "c"], "c"), ([9, 9], 9)):
        with pytest.raises(sutra.DuplicateIdError, match=repr(wrong)) as caught:
            store.add(ids)
        assert caught.value.id == wrong
    assert list(store) == ["a", 1]
    store.delete("a")
    store.add("a", contents="again")
    assert store["a"].content == "again"


def test_delete_and_touch(store):
    store.add([1, 2, 3, "x"])
    before = store[2].record
    assert store.touch([2, "nothing"]) == 1
    assert store[2].record.accessed_ns > before.accessed_ns
    assert store[2].record.created_ns == before.created_ns
    assert store[3].record.accessed_ns == store[3].record.created_ns
    assert store.delete([1, "x", 1, 77]) == 2
    assert store.delete([1]) == 0
    assert store.delete([]) == 0
    assert list(store) == [2, 3]
    with pytest.raises(KeyError) as caught:
        store[1]
    assert caught.value.id == 1
    assert store.get([1, 2])[0] is None


def test_in_never_raises(store):
    store.add([0, "a", 2**63 - 1])
    assert 0 in store
    assert np.int8(0) in store
    assert "a" in store
    assert 2**63 - 1 in store
    for other in (-1, 2**63, 1.0, None, True, False, b"a", "", "b", "\ud800", "a" * 2000, [0]):
        assert other not in store


def test_scan(store):
    store.add(range(3000), contents=[str(n) for n in range(3000)])
    store.delete(range(0, 3000, 3))
    expected = [n for n in range(3000) if n % 3]
    assert [concept.id for concept in store.scan()] == expected
    assert list(store) == expected
    for start, limit in ((0, 0), (0, 5), (1024, 1024), (1999, 10), (2000, 1), (10**9, None)):
        found = list(store.scan(start, limit))
        stop = len(expected) if limit is None else start + limit
        assert [concept.id for concept in found] == expected[start:stop]
        assert all(concept.content == str(concept.id) for concept in found)


def test_a_scan_sees_the_state_of_its_start(store):
    store.add(range(2000))
    scan, ids = store.scan(), iter(store)
    store.delete(range(1000, 2000))
    store.add("new")
    assert len(list(scan)) == len(list(ids)) == 2000


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_search(tmp_path, tools, metric):
    vectors = tools.rows(300)
    queries = tools.rows(5, seed=1)
    with sutra.open(tmp_path / "s", metric=metric) as store:
        store.add(vectors=vectors, contents=[f"text {n}" for n in range(300)])
        store.settle()
        batch = store.search(queries, k=7, exact=True)
        assert [len(hits) for hits in batch] == [7] * 5
        for query, hits in zip(queries, batch, strict=True):
            truth = tools.distances(metric, query, vectors)
            assert hits.ids.tolist() == np.argsort(truth, kind="stable")[:7].tolist()
            np.testing.assert_allclose(hits.distances, np.sort(truth)[:7], rtol=1e-4, atol=1e-5)
            expected = {"cosine": 1 - truth, "ip": -truth, "l2": 1 / (1 + truth)}[metric]
            np.testing.assert_allclose(hits.scores, expected[hits.ids], rtol=1e-4, atol=1e-5)
            assert (np.diff(hits.scores) <= 0).all()
            assert [hit.content for hit in hits] == [f"text {n}" for n in hits.ids]
            one = store.search(query, k=7, exact=True)
            assert np.array_equal(one.ids, hits.ids)
            assert (one[0].id, one[-1].id) == (hits.ids[0], hits.ids[-1])
            assert type(one[0].id) is int
            assert [hit.id for hit in one[1:3]] == hits.ids[1:3].tolist()
            near = store.search(query, k=7, ef=300)
            assert len(np.intersect1d(near.ids, hits.ids)) >= 6
        assert len(store.search(queries[0], k=1000)) == 300


def test_search_sees_only_what_is_there(store):
    assert len(store.search([1.0, 2.0])) == 0
    assert [len(hits) for hits in store.search(np.ones((3, 2)))] == [0, 0, 0]
    store.add(["a", "b", 3], [[1, 0], [0, 1], [1, 1]], metadata=[{"n": 1}, None, None])
    store.delete("b")
    store.upsert("a", [0, -1])
    for exact in (False, True):
        hits = store.search([1.0, 0.5], exact=exact)
        assert [hit.id for hit in hits] == [3, "a"]
        assert hits.ids.dtype == object
        assert hits[1].metadata == {"n": 1}


def test_hits_keep_the_state_of_the_search(saved):
    saved.add(["a", "b"], [[1, 0], [0, 1]], contents=["old", "b"])
    first, second, third = (saved.search([1, 0]) for _ in range(3))
    assert first[0].content == "old"
    saved.upsert("a", contents="new")
    saved.delete("b")
    assert [hit.content for hit in second] == ["old", "b"]
    saved.close()
    assert pickle.loads(pickle.dumps(third))[1].content == "b"
    assert [hit.content for hit in first] == ["old", "b"]


def test_records(store):
    store.add([3, "x"], strength=[1, 2], confidence=0.5)
    store.link("x", 3)
    found = store.records([3, "nothing", "x"])
    assert found["found"].tolist() == [True, False, True]
    assert found["strength"].tolist() == [1, 0, 2]
    assert found["reference_count"].tolist() == [1, 0, 0]
    assert found["created"][0].astype(int) == store[3].record.created_ns
    record = store["x"].record
    now = datetime.datetime.now(datetime.UTC)
    assert abs(now - record.created) < datetime.timedelta(minutes=5)
    assert record.accessed >= record.created


def test_concepts_compare_and_pickle(store):
    store.add("a", [1.0, 2.0], contents=b"bytes", metadata={"k": [1]})
    concept = store["a"]
    assert concept == store["a"]
    assert hash(concept) == hash(store["a"])
    assert concept != store.get("a")[0]
    assert concept != "a"
    assert concept.metadata is concept.metadata
    twin = pickle.loads(pickle.dumps(concept))
    assert twin == concept
    assert twin.metadata == {"k": [1]}
    with pytest.raises(AttributeError):
        concept.content = "other"
    assert "a" in repr(concept)
    with pytest.raises(TypeError, match="store"):
        sutra.Concept()


def test_stats_and_health(store):
    store.add(range(10), np.eye(10), contents=["x"] * 10)
    store.link(0, [1, 2, 3])
    store.delete(9)
    stats = store.stats()
    assert (stats["concepts"], stats["associations"], stats["dim"]) == (9, 3, 10)
    assert (stats["m"], stats["ef_construction"], stats["quantization"]) == (16, 200, "u8")
    assert stats["keep_originals"] is True
    health = store.health()
    assert (health["status"], health["generation"]) == ("ok", 3)
    assert health["durable_lsn"] == store.durable_lsn == 3
    assert store.verify(deep=True)["concepts"] == 9


def test_all_names_are_there():
    for name in sutra.__all__:
        assert getattr(sutra, name) is not None
    tree = [getattr(sutra, name) for name in sutra.errors.__all__]
    assert all(issubclass(kind, sutra.SutraError) for kind in tree)
