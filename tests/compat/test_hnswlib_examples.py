"""What hnswlib's documentation shows, in our words: the same program, one import changed."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

DIM = 16
COUNT = 2000
PAGE = Path(__file__).parents[2] / "docs" / "hnswlib.md"


@pytest.fixture
def data():
    return np.random.default_rng(5).random((COUNT, DIM), dtype=np.float32)


def share_found(index, data):
    """The share of vectors that find themselves first."""
    labels, _ = index.knn_query(data, k=1)
    return np.mean(labels.ravel() == np.arange(len(data)))


def test_build_tune_query_and_pickle(lib, data):
    p = lib.Index(space="l2", dim=DIM)
    p.init_index(max_elements=COUNT, ef_construction=200, M=16)
    p.add_items(data, np.arange(COUNT))
    p.set_ef(50)
    labels, distances = p.knn_query(data, k=1)
    assert labels.shape == distances.shape == (COUNT, 1)
    assert np.mean(labels.ravel() == np.arange(COUNT)) > 0.99
    q = pickle.loads(pickle.dumps(p))
    assert (q.space, q.dim, q.M, q.ef_construction) == ("l2", DIM, 16, 200)
    assert (q.max_elements, q.element_count, q.ef) == (COUNT, COUNT, 50)
    assert (q.knn_query(data, k=1)[0] == labels).all()


def test_save_load_with_more_room_and_go_on(lib, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    half = COUNT // 2
    p = lib.Index(space="l2", dim=DIM)
    p.init_index(max_elements=half, ef_construction=100, M=16)
    p.set_ef(30)
    p.set_num_threads(2)
    p.add_items(data[:half])
    assert share_found(p, data[:half]) > 0.99
    p.save_index("first_half.bin")
    del p
    p = lib.Index(space="l2", dim=DIM)
    p.load_index("first_half.bin", max_elements=COUNT)
    p.set_ef(30)
    p.add_items(data[half:])
    assert share_found(p, data) > 0.99
    assert p.get_items(np.array([0, COUNT - 1])).tolist() == data[[0, -1]].tolist()
    assert sorted(p.get_ids_list()) == list(range(COUNT))


def test_search_among_even_labels(lib, data):
    p = lib.Index(space="l2", dim=DIM)
    p.init_index(max_elements=COUNT, ef_construction=100, M=16)
    p.set_ef(30)
    p.set_num_threads(2)
    p.add_items(data)
    labels, _ = p.knn_query(data[::2], k=1, num_threads=1, filter=lambda label: label % 2 == 0)
    assert np.mean(labels.ravel() == np.arange(0, COUNT, 2)) > 0.97
    assert (labels % 2 == 0).all()


def test_delete_and_replace(lib, data, tmp_path):
    path = str(tmp_path / "index.bin")
    half = COUNT // 2
    p = lib.Index(space="l2", dim=DIM)
    p.init_index(max_elements=COUNT, ef_construction=100, M=16, allow_replace_deleted=True)
    p.set_ef(30)
    p.set_num_threads(2)
    p.add_items(data[:half], np.arange(half))
    p.add_items(data[half:], np.arange(half, COUNT))
    for label in range(half):
        p.mark_deleted(label)
    labels, _ = p.knn_query(data[:half], k=1)
    assert (labels >= half).all()
    other = np.random.default_rng(6).random((half, DIM), dtype=np.float32)
    p.add_items(other, np.arange(COUNT, COUNT + half), replace_deleted=True)
    assert p.element_count == COUNT
    assert sorted(p.get_ids_list()) == list(range(half, COUNT + half))
    p.save_index(path)
    p = lib.Index(space="l2", dim=DIM)
    p.load_index(path, allow_replace_deleted=True)
    p.set_ef(30)
    labels, _ = p.knn_query(np.concatenate([data[half:], other]), k=1)
    assert np.mean(labels.ravel() == np.arange(half, COUNT + half)) > 0.97
    for label in range(COUNT, COUNT + half):
        p.mark_deleted(label)
    p.add_items(data[:half], np.arange(half), replace_deleted=True)
    assert share_found(p, data) > 0.97


def test_measure_recall_with_brute_force(lib, data):
    k = 10
    hnsw, brute = lib.Index(space="cosine", dim=DIM), lib.BFIndex(space="cosine", dim=DIM)
    hnsw.init_index(max_elements=COUNT, ef_construction=200, M=16)
    brute.init_index(max_elements=COUNT)
    hnsw.set_ef(200)
    hnsw.set_num_threads(2)
    hnsw.add_items(data)
    brute.add_items(data)
    queries = np.random.default_rng(7).random((50, DIM), dtype=np.float32)
    found, _ = hnsw.knn_query(queries, k)
    truth, _ = brute.knn_query(queries, k)
    pairs = zip(found.tolist(), truth.tolist(), strict=True)
    assert np.mean([len(set(a) & set(b)) / k for a, b in pairs]) > 0.95


def test_our_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert blocks
    names = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
