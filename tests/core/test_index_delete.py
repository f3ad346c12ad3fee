"""Removing and replacing vectors of an index."""

import threading
from pathlib import Path

import numpy as np
import pytest

import sutra
from sutra.errors import (
    ClosedError,
    DimensionError,
    DTypeError,
    DuplicateIdError,
    InvalidVectorError,
)

DIM = 24
KINDS = [
    pytest.param({}, id="u8"),
    pytest.param({"keep_originals": False}, id="coded"),
    pytest.param({"quantization": "none", "metric": "l2"}, id="none"),
]


def vectors(count, seed=0, dim=DIM):
    """Clusters, so that there are neighbours to be found."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((40, dim))
    rows = centres[rng.integers(0, 40, count)] + 0.4 * rng.standard_normal((count, dim))
    return rows.astype(np.float32)


def recall(index, queries, content, k=10, ef=64, metric="cosine"):
    """Of what `content` (id -> vector) has, by distance; nothing else may be found."""
    ids = np.array(list(content))
    rows = np.stack(list(content.values()))
    if metric == "cosine":
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        near = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        truth = 1 - near @ unit.T
    else:
        truth = ((queries[:, None] - rows[None]) ** 2).sum(axis=2)
    place = {int(id): at for at, id in enumerate(ids)}
    worst = np.sort(truth, axis=1)[:, k - 1]
    found = index.search(queries, k=k, ef=ef).ids
    hits = 0
    for query, row in enumerate(found):
        assert all(int(id) in place for id in row)
        hits += sum(truth[query, place[int(id)]] <= worst[query] + 1e-5 for id in row)
    return hits / found.size


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("count", [300, 3000])
def test_removed_vectors_are_gone(options, count):
    rows = vectors(count)
    with sutra.Index(DIM, **options) as index:
        index.add(rows)
        gone = list(range(0, count, 3))
        assert index.delete(gone) == len(gone)
        assert index.delete([*gone, 10**12]) == 0
        assert index.delete(1) == 1
        assert index.delete([1]) == 0
        assert len(index) == count - len(gone) - 1 == index.stats()["count"]
        assert 0 not in index
        assert 1 not in index
        assert 2 in index
        with pytest.raises(sutra.NotFoundError):
            index.get(3)
        left = sorted(set(range(count)) - {*gone, 1})
        assert index.ids().tolist() == left
        for exact in (False, True):
            found = index.search(rows[gone[:50]], k=5, exact=exact).ids
            assert np.isin(found, left).all()
        found = index.search(rows[:20], k=5, filter=np.arange(0, count)).ids
        assert np.isin(found, left).all()
        found = index.search(rows[:20], k=5, filter=np.array([0, 3, 6, 2])).ids
        assert set(found.ravel().tolist()) <= {2, -1}
        index.verify(deep=True)


@pytest.mark.parametrize("options", KINDS)
def test_room_is_used_again(options):
    metric = options.get("metric", "cosine")
    with sutra.Index(DIM, **options) as index:
        content = {}
        rng = np.random.default_rng(7)
        fresh = vectors(4000, 1)
        index.add(fresh)
        content.update(enumerate(fresh))
        for turn in range(12):
            some = rng.choice(list(content), 400, replace=False)
            assert index.delete(some) == 400
            for id in some.tolist():
                del content[id]
            more = vectors(400, 100 + turn)
            content.update(zip(index.add(more).tolist(), more, strict=True))
            assert len(index) == 4000
        index.verify(deep=True)
        assert index.stats()["removed"] <= 400
        if options.get("keep_originals", True):
            some = rng.choice(list(content), 100, replace=False)
            assert all((index.get(id) == content[id]).all() for id in some.tolist())
        queries = vectors(200, 5000)
        with sutra.Index(DIM, **options) as anew:
            anew.add(np.stack(list(content.values())), ids=list(content))
            aim = recall(anew, queries, content, metric=metric)
        assert recall(index, queries, content, metric=metric) > aim - 0.01


def test_everything_may_be_removed():
    rows = vectors(2000)
    with sutra.Index(DIM) as index:
        for _ in range(3):
            ids = index.add(rows)
            assert index.delete(ids) == 2000
            assert len(index) == 0
            assert (index.search(rows[0], k=3).ids == -1).all()
            assert (index.search(rows[:3], k=3, exact=True).ids == -1).all()
            index.verify(deep=True)
        index.add(rows)
        assert index.search(rows[7], k=1).ids[0] == 6007
        assert index.stats()["removed"] == 0


def test_replacing():
    rows, other = vectors(1500), vectors(1500, 3)
    with sutra.Index(DIM) as index:
        index.add(rows)
        ids = index.upsert(other[:300], ids=np.arange(1300, 1600))
        assert ids.tolist() == list(range(1300, 1600))
        assert len(index) == 1600
        assert (index.get(1400) == other[100]).all()
        assert (index.get(100) == rows[100]).all()
        assert (index.search(other[:300], k=1).ids[:, 0] == ids).mean() > 0.98
        assert not np.isin(1350, index.search(rows[1350], k=1).ids)
        with pytest.raises(DuplicateIdError):
            index.upsert(other[:2], ids=[5, 5])
        with pytest.raises(DuplicateIdError):
            index.add(other[:1], ids=[5])
        assert index.upsert(other[5]).tolist() == [1600]
        index.verify(deep=True)


@pytest.mark.parametrize("options", KINDS)
def test_same_calls_same_bytes(options, tmp_path):
    files = []
    for threads in (1, 2, 4):
        with sutra.Index(DIM, **options) as index:
            index.add(vectors(3000), threads=threads)
            index.delete(np.arange(0, 3000, 5), threads=threads)
            index.add(vectors(200, 1), threads=threads)
            index.upsert(vectors(500, 2), ids=np.arange(1, 1001, 2), threads=threads)
            index.delete(np.arange(500, 900), threads=threads)
            index.save(tmp_path / "one")
            index.compact(threads=threads)
            index.save(tmp_path / "two")
        files.append((tmp_path / "one").read_bytes())
        assert (tmp_path / "two").read_bytes() == files[-1]
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize("resident", ["mapped", "arena", "auto"])
def test_a_file_has_what_is_left(tmp_path, resident):
    path = tmp_path / "index"
    rows = vectors(3000)
    with sutra.Index(DIM) as index:
        index.add(rows)
        index.delete(np.arange(1000, 1500))
        index.save(path)
    with sutra.Index.open(path, resident=resident) as index:
        assert len(index) == 2500
        assert index.stats()["removed"] == 0
        index.verify(deep=True)
        assert 1200 not in index
        assert index.delete(np.arange(0, 600)) == 600  # what is mapped becomes writable
        index.add(vectors(400, 9))
        index.verify()
        assert index.search(rows[700], k=1).ids[0] == 700
        assert index.add(rows[0]).tolist() == [3400]
        index.save(path)
    with sutra.Index.open(path, resident=resident) as index:
        assert len(index) == 2301
        index.verify(deep=True)


def test_compact_gives_memory_back():
    rows = vectors(20000)
    with sutra.Index(DIM) as index:
        index.add(rows)
        before = sum(index.stats()["resident_bytes"].values())
        index.delete(np.arange(4000, 20000))
        index.compact()
        stats = index.stats()
        assert stats["removed"] == 0
        assert stats["count"] == 4000
        assert sum(stats["resident_bytes"].values()) < before / 3
        index.verify(deep=True)
        assert (index.search(rows[:200], k=1).ids[:, 0] == np.arange(200)).mean() > 0.98
        assert index.add(rows[4000]).tolist() == [20000]
        index.delete(index.ids())
        index.compact()
        assert len(index) == 0
        assert index.add(rows[0]).tolist() == [20001]


def test_bytes_are_overwritten():
    """All writable memory of the process is looked through for a vector that was removed."""
    rows = vectors(1000)
    secret = np.full((30, DIM), 7.25, dtype=np.float32) + np.arange(30, dtype=np.float32)[:, None]
    marks = [row.tobytes() for row in secret]
    memory = Path("/proc/self/mem")
    if not memory.exists():
        pytest.skip("this system does not show a process its memory")

    def seen(index):
        pattern = marks[3]
        found = 0
        with open("/proc/self/maps") as maps, open(memory, "rb", buffering=0) as bytes_of:
            for line in maps:
                span, rights = line.split()[:2]
                if not rights.startswith("rw") or "[v" in line:
                    continue
                begin, end = (int(part, 16) for part in span.split("-"))
                if end - begin < 1 << 16 or "[heap]" in line or "[stack]" in line:
                    continue
                try:
                    bytes_of.seek(begin)
                    found += bytes_of.read(end - begin).count(pattern)
                except (OSError, OverflowError, ValueError):
                    continue
        return found

    for secure in (False, True):
        with sutra.Index(DIM, metric="l2", secure_delete=secure) as index:
            index.add(rows)
            ids = index.add(secret)
            there = seen(index)
            assert index.delete(ids) == 30
            assert (seen(index) < there) == secure
            index.verify()
            index.upsert(rows[:5], ids=np.arange(5))
            assert index.search(rows[50], k=1).ids[0] == 50


def test_bad_input_changes_nothing():
    rows = vectors(600)
    with sutra.Index(DIM) as index:
        index.add(rows)
        for wrong, error in [
            ([1.5], DTypeError),
            (["a"], DTypeError),
            ([[1]], DimensionError),
            (None, DTypeError),
        ]:
            with pytest.raises(error):
                index.delete(wrong)
        assert index.delete([]) == 0
        assert index.delete([-1]) == 0
        assert index.delete([5, 5, 5]) == 1
        broken = rows[:3].copy()
        broken[1, 1] = np.nan
        with pytest.raises(InvalidVectorError) as caught:
            index.upsert(broken, ids=[0, 1, 2])
        assert caught.value.row == 1
        assert len(index) == 599
        assert (index.get(0) == rows[0]).all()
    with pytest.raises(ClosedError):
        index.delete([1])
    with pytest.raises(ClosedError):
        index.compact()


def test_a_cancelled_add_leaves_removed_rows_free(tmp_path):
    rows = vectors(3000)

    def stop(done, total):
        raise KeyboardInterrupt

    with sutra.Index(DIM) as index:
        index.add(rows)
        index.delete(np.arange(0, 1000))
        index.save(tmp_path / "before")
        for put in (index.add, index.upsert):
            with pytest.raises(KeyboardInterrupt):
                put(vectors(1500, 4), progress=stop)
        index.verify(deep=True)
        assert len(index) == 2000
        assert index.stats()["removed"] == 1000
        index.save(tmp_path / "after")
        assert (tmp_path / "after").read_bytes() == (tmp_path / "before").read_bytes()
        index.add(vectors(1500, 4))
        index.verify(deep=True)
        assert len(index) == 3500
        assert index.stats()["removed"] == 0


def test_readers_beside_removals():
    """What is found was there, whole: a vector is where its id says."""
    count, turns = 4000, 25
    values = np.random.default_rng(1).standard_normal((count, DIM)).astype(np.float32)
    with sutra.Index(DIM, metric="l2") as index:
        index.add(values)
        stop = threading.Event()
        wrong = []

        def read(seed):
            rng = np.random.default_rng(seed)
            while not stop.is_set():
                row = int(rng.integers(count))
                ids, distances = index.search(values[row], k=4, ef=32)
                truth = ((values[ids[ids >= 0] % count] - values[row]) ** 2).sum(axis=1)
                if not np.allclose(distances[ids >= 0], truth, rtol=1e-3, atol=1e-3):
                    wrong.append((row, ids, distances, truth))
                found = index.search(values[:2], k=2, exact=True)
                if (found.ids < 0).any():
                    wrong.append(found)
                if int(ids[0]) in index:
                    pass

        readers = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
        for reader in readers:
            reader.start()
        try:
            for turn in range(turns):
                some = np.arange(turn % 10, count, 10)
                index.delete(some + (turn // 10) * count)
                index.add(values[some], ids=some + (turn // 10 + 1) * count)
        finally:
            stop.set()
            for reader in readers:
                reader.join()
        assert not wrong, wrong[0]
        index.verify(deep=True)
