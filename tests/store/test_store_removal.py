"""What becomes of what is deleted or replaced: compaction by itself, and secure deletion."""

import time

import numpy as np
import pytest

import sutra

DIM = 16


def vectors(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def wait_until(condition, seconds=60):
    """For the background thread, which has no deadline of its own."""
    for _ in range(seconds * 50):
        if condition():
            return True
        time.sleep(0.02)
    return False


def bytes_below(path):
    return b"".join(file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file())


def test_much_deleted_is_compacted(tmp_path):
    rows = vectors(12000)
    with sutra.open(tmp_path / "store", sync="off") as store:
        store.add(vectors=rows, contents=[f"text {at}" for at in range(12000)])
        store.settle()
        with store.read_view() as before:
            assert store.delete(np.arange(0, 12000, 2)) == 6000
            assert wait_until(lambda: store.stats()["dead_slots"] == 0)
            assert len(before) == 12000
            assert before[4].content == "text 4"
        stats = store.stats()
        assert stats["vectors"] == 6000
        store.settle()
        found = [hits.ids[0] for hits in store.search(rows[1:2000:2], k=1)]
        assert np.mean(np.array(found) == np.arange(1, 2000, 2)) > 0.97
        store.verify(deep=True)
    with sutra.open(tmp_path / "store") as store:
        assert len(store) == 6000
        assert store[5].content == "text 5"
        assert 4 not in store
        store.verify(deep=True)


def test_not_if_told_not_to(tmp_path):
    with sutra.open(tmp_path / "store", sync="off", auto_compact=False) as store:
        store.add(vectors=vectors(9000))
        store.delete(np.arange(6000))
        store.add(vectors=vectors(3000))
        store.settle()
        assert store.stats()["dead_slots"] == 6000
    with sutra.open(tmp_path / "store") as store:  # what another handle has left
        assert wait_until(lambda: store.stats()["dead_slots"] == 0)
        assert len(store) == 6000


@pytest.mark.parametrize("keep_originals", [True, False])
def test_secure_deletion_leaves_no_bytes(tmp_path, keep_originals):
    path = tmp_path / "store"
    secret = np.full(DIM, 1234.5678, dtype=np.float32)
    options = {"keep_originals": keep_originals, "metric": "l2"}
    with sutra.open(path, secure_delete=True, **options) as store:
        store.add(vectors=vectors(1000))
        store.add("secret", secret, contents="a hidden word", metadata={"who": "nobody else"})
        store.settle()
        assert b"a hidden word" in bytes_below(path)
        store.upsert("secret", contents="another word")
        assert b"a hidden word" not in bytes_below(path)
        with store.batch():
            store.upsert(5, vectors(1, 9)[0])
            store.delete("secret")
        everything = bytes_below(path)
        assert b"another word" not in everything
        assert b"nobody else" not in everything
        assert secret.tobytes() not in everything
        assert store.stats()["dead_slots"] == 0
        assert len(store) == 1000
        store.verify(deep=True)


def test_vectors_survive_compactions_to_the_bit(tmp_path):
    rows = vectors(6000)
    with sutra.open(tmp_path / "store", sync="off", keep_originals=False) as store:
        store.add(vectors=rows)
        store.settle()
        first = [concept.vector for concept in store.get(np.arange(1, 6000, 7), vectors=True)]
        for turn in range(3):
            store.delete(np.arange(turn * 14, 6000, 7 * 6))
            store.compact()
        kept = store.get(np.arange(1, 6000, 7), vectors=True)
        assert all(
            concept is None or (concept.vector == before).all()
            for concept, before in zip(kept, first, strict=True)
        )
        assert sum(concept is not None for concept in kept) > 400
