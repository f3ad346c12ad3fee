"""`sutra tune`: of a store and of an index file, what it keeps and what it refuses."""

import numpy as np
import pytest

from sutra import Index
from sutra import open as open_store

DIM = 12


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(4)
    means = 2 * rng.standard_normal((30, DIM))
    return (means[rng.integers(30, size=2000)] + rng.standard_normal((2000, DIM))).astype("f4")


@pytest.fixture
def index(here, vectors):
    with Index(DIM, m=8, ef_construction=30) as made:
        made.add(vectors[:1800])
        made.save("i.sutra")
    np.save("q.npy", vectors[1800:])
    return here / "i.sutra"


@pytest.fixture
def store(here, vectors):
    with open_store("s", dim=DIM, m=8, ef_construction=30) as made:
        made.add(vectors=vectors[:1800])
        made.settle()
    np.save("q.npy", vectors[1800:])
    return here / "s"


def test_an_index_file_keeps_its_ef(sutra, index):
    report = sutra.json("tune", "i.sutra", "--recall", "0.9", "--queries", "q.npy")
    assert report["asked"] == {"recall": 0.9, "k": 10}
    assert report["reached"] is report["kept"] is True
    assert report["measured"]["queries"] == 200
    assert report["measured"]["low"] <= report["measured"]["recall"] <= 1
    assert report["ef"] == report["measured"]["ef"] != 64
    assert sutra.json("stats", "i.sutra")["tuned_ef"] == report["ef"]
    assert sutra.json("tune", "i.sutra", "--measure")["ef"] == report["ef"]
    assert "first" in sutra.fails(1, "search", "i.sutra", "--id", 3, "--recall", "0.5")


def test_a_store_keeps_it_too(sutra, store):
    assert "first" in sutra.fails(1, "search", "s", "--id", 3, "--recall", "0.9")
    report = sutra.json("tune", "s", "--recall", "0.9", "--sample", 300, "--seed", 2)
    assert report["measured"]["queries"] == 300
    told = sutra.json("search", "s", "--id", 3, "--ef", report["ef"])["results"]
    assert sutra.json("search", "s", "--id", 3, "--recall", "0.9")["results"] == told
    assert sutra.json("search", "s", "--id", 3)["results"] == told
    assert sutra.json("tune", "s", "--measure", "-k", 5)["ef"] == report["ef"]
    assert "k=11" in sutra.fails(1, "search", "s", "--id", 3, "--recall", "0.9", "-k", 11)
    assert "ef" in sutra.fails(1, "search", "s", "--id", 3, "--recall", "0.9", "--ef", 9)


def test_what_is_shown(sutra, store):
    assert sutra("tune", "s", "--sample", 50) == 0
    assert "50 stored vectors" in sutra.out
    assert "recall@10" in sutra.out
    assert sutra("tune", "s", "--queries", "q.npy", "-k", 3) == 0
    assert "200 queries" in sutra.out
    assert "recall@3" in sutra.out


@pytest.mark.parametrize("place", ["i.sutra", "s"])
def test_only_told(sutra, index, store, place):
    before = (index.read_bytes(), sorted(store.iterdir()))
    report = sutra.json("tune", place, "--dry-run", "--recall", "0.8")
    assert report["reached"] is True
    assert report["kept"] is False
    sutra.json("tune", place, "--measure")
    assert (index.read_bytes(), sorted(store.iterdir())) == before


def test_a_dry_run_goes_beside_a_writer(sutra, store):
    with open_store("s"):
        assert sutra("tune", "s", "--dry-run") == 0
        sutra.fails(3, "tune", "s")


def test_what_no_ef_reaches_is_exit_code_1(sutra, store, monkeypatch):
    monkeypatch.setattr("sutra._recall.is_enough", lambda measured, recall: False)
    report = sutra.json("tune", "s", "--recall", "0.9", code=1)
    assert report["reached"] is False
    assert sutra("tune", "s", "--recall", "0.9") == 1
    assert "no ef reaches 0.9" in sutra.out


def test_refusals(sutra, index, store):
    for bad in ("0", "1.5", "nan", "x", "-1"):
        assert sutra("tune", "s", f"--recall={bad}") == 2
        assert sutra("search", "s", "--id", "3", f"--recall={bad}") == 2
    for bad in (["-k", "0"], ["--sample", "0"], ["--seed", "-1"], ["--dry-run", "--measure"]):
        assert sutra("tune", "s", *bad) == 2
    np.save("short.npy", np.ones((3, DIM - 1)))
    np.save("none.npy", np.empty((0, DIM)))
    assert "length" in sutra.fails(1, "tune", "s", "--queries", "short.npy")
    assert "at least one" in sutra.fails(1, "tune", "i.sutra", "--queries", "none.npy")
    assert "no such file" in sutra.fails(1, "tune", "nowhere")
    with open_store("empty"):
        pass
    assert "no vectors" in sutra.fails(1, "tune", "empty")
