"""`sutra.compat.hnswlib.BFIndex` does what hnswlib documents."""

import numpy as np
import pytest

from sutra.compat import hnswlib

ROWS = np.random.default_rng(3).standard_normal((700, 8), dtype=np.float32)


@pytest.fixture
def index(lib):
    index = lib.BFIndex(space="l2", dim=8)
    index.init_index(max_elements=len(ROWS))
    index.add_items(ROWS, np.arange(len(ROWS)) + 5)
    return index


@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
def test_every_search_is_exact(space):
    index = hnswlib.BFIndex(space, 8)
    index.init_index(len(ROWS))
    index.add_items(ROWS)
    index.set_num_threads(2)
    rows = ROWS.astype(np.float64)
    queries = rows[:50] + 0.25
    if space == "l2":
        expected = ((queries[:, None] - rows) ** 2).sum(axis=2)
    elif space == "ip":
        expected = 1 - queries @ rows.T
    else:
        lengths = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(rows, axis=1)
        expected = 1 - queries @ rows.T / lengths
    labels, distances = index.knn_query(queries, k=20)
    assert (labels.dtype, distances.dtype) == (np.uint64, np.float32)
    np.testing.assert_allclose(distances, np.sort(expected)[:, :20], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        np.take_along_axis(expected, labels.astype(np.int64), 1), distances, rtol=1e-4, atol=1e-5
    )


def test_counts_and_capacity(index):
    assert (index.get_current_count(), index.get_max_elements()) == (700, 700)
    with pytest.raises(RuntimeError):
        index.add_items(ROWS[0], [5000])
    with pytest.raises(RuntimeError):
        index.init_index(3)


def test_filter(index):
    labels, _ = index.knn_query(ROWS[:9], k=3, filter=lambda label: label < 8)
    assert (np.sort(labels, axis=1) == [5, 6, 7]).all()


def test_fewer_than_k_is_refused():
    index = hnswlib.BFIndex("l2", 8)
    index.init_index(9)
    index.add_items(ROWS[:3])
    with pytest.raises(RuntimeError, match="fewer"):
        index.knn_query(ROWS[0], k=4)


def test_delete_and_update(index):
    index.delete_vector(6)
    assert index.get_current_count() == 699
    assert index.knn_query(ROWS[1])[0].tolist() != [[6]]
    index.delete_vector(123_456)  # no such label: no error
    index.add_items(ROWS[2] + 30, [5])
    assert index.knn_query(ROWS[2] + 30)[0].tolist() == [[5]]
    index.add_items(ROWS[1], [6])
    assert index.knn_query(ROWS[1])[0].tolist() == [[6]]
    assert index.get_current_count() == 700


def test_save_and_load(index, lib, tmp_path):
    path = str(tmp_path / "brute")
    index.save_index(path)
    loaded = lib.BFIndex("l2", 8)
    loaded.load_index(path)
    assert (loaded.get_current_count(), loaded.get_max_elements()) == (700, 700)
    for mine, theirs in zip(
        index.knn_query(ROWS[:9], k=5), loaded.knn_query(ROWS[:9], k=5), strict=True
    ):
        assert (mine == theirs).all()
