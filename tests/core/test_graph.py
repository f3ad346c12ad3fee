"""HnswGraph: recall, structure, determinism, stores, threads, bad input."""

import pickle
import threading
import time

import numpy as np
import pytest

from sutra import HnswGraph, VectorStore
from sutra.errors import ClosedError, ConfigError, DimensionError, DTypeError, InvalidVectorError


def rows_of(count, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def nearest(data, queries, k):
    squares = ((queries[:, None, :].astype(np.float64) - data[None]) ** 2).sum(axis=2)
    order = np.argsort(squares, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(squares, order, axis=1)


def links_of(graph):
    return [
        [graph.neighbors(node, level).tolist() for level in range(graph.level(node) + 1)]
        for node in range(len(graph))
    ]


@pytest.fixture(scope="module")
def data():
    return rows_of(3000, 24)


@pytest.fixture(scope="module")
def graph(data):
    graph = HnswGraph(24, m=8, ef_construction=100)
    graph.add(data)
    return graph


@pytest.mark.parametrize("dim", [1, 3, 16, 100])
@pytest.mark.parametrize("m", [8, 16, 24, 32])
def test_recall_and_distances(dim, m):
    data, queries = rows_of(1500, dim), rows_of(50, dim, seed=1)
    graph = HnswGraph(dim, m=m)
    assert graph.add(data) == 0
    graph.verify()
    rows, distances = graph.search(queries, 10, 200)
    assert rows.dtype == np.int64
    assert distances.dtype == np.float32
    assert rows.shape == distances.shape == (50, 10)
    expected, squares = nearest(data, queries, 10)
    hits = sum(len(set(a) & set(b)) for a, b in zip(rows, expected, strict=True))
    assert hits >= 0.98 * 500
    assert (np.diff(distances, axis=1) >= 0).all()
    actual = ((queries[:, None] - data[rows].astype(np.float64)) ** 2).sum(axis=2)
    np.testing.assert_allclose(distances, actual, rtol=1e-4, atol=1e-6)
    assert (distances >= squares * (1 - 1e-4) - 1e-6).all()


def test_structure(graph, data):
    assert len(graph) == len(data)
    levels = np.array([graph.level(node) for node in range(len(graph))])
    assert levels.max() + 1 == graph.levels > 1
    assert levels[graph.entry_point] == graph.levels - 1
    assert 0.5 < (levels > 0).mean() * 8 < 2
    for node in range(len(graph)):
        neighbours = graph.neighbors(node)
        assert neighbours.dtype == np.int64
        assert 0 < len(neighbours) <= 16
        assert node not in neighbours
        assert len(set(neighbours.tolist())) == len(neighbours)
        for level in range(1, levels[node] + 1):
            assert (levels[graph.neighbors(node, level)] >= level).all()
    with pytest.raises(IndexError):
        graph.neighbors(0, int(levels[0]) + 1)


def test_every_node_is_reachable(graph):
    reached, waiting = {graph.entry_point}, [graph.entry_point]
    while waiting:
        for node in graph.neighbors(waiting.pop()).tolist():
            if node not in reached:
                reached.add(node)
                waiting.append(node)
    assert len(reached) == len(graph)


def test_the_graph_does_not_depend_on_threads(data):
    graphs = []
    for threads in (1, 2, 4):
        graph = HnswGraph(24, m=8, ef_construction=60, seed=5)
        graph.add(data[:1200], threads=threads)
        graph.add(data[1200:1500], threads=threads)
        graphs.append(links_of(graph))
    assert graphs[0] == graphs[1] == graphs[2]
    other = HnswGraph(24, m=8, ef_construction=60, seed=6)
    other.add(data[:1500])
    assert links_of(other) != graphs[0]


def test_empty_and_single():
    graph = HnswGraph(3)
    graph.verify()
    assert (len(graph), graph.levels, graph.entry_point) == (0, 0, None)
    rows, distances = graph.search([0, 0, 0], k=2)
    assert rows.tolist() == [-1, -1]
    assert np.isinf(distances).all()
    assert graph.add(np.empty((0, 3))) == 0
    assert graph.add([1, 2, 3]) == 0
    graph.verify()
    assert (len(graph), graph.levels) == (1, 1 + graph.level(0))
    assert graph.entry_point == 0
    assert graph.neighbors(0).tolist() == []
    rows, distances = graph.search([0, 0, 0], k=3)
    assert rows.tolist() == [0, -1, -1]
    assert distances.tolist() == [14, np.inf, np.inf]


def test_duplicates_are_all_found():
    graph = HnswGraph(4)
    graph.add(np.ones((200, 4)))
    graph.verify()
    rows, distances = graph.search(np.ones(4), k=200)
    assert sorted(rows.tolist()) == list(range(200))
    assert (distances == 0).all()


def test_one_query_and_many(graph, data):
    many = graph.search(data[:40], 5, threads=2)
    again = graph.search(data[:40], 5, threads=1)
    np.testing.assert_array_equal(many[0], again[0])
    one = graph.search(data[7], 5)
    assert one[0].shape == one[1].shape == (5,)
    np.testing.assert_array_equal(one[0], many[0][7])
    np.testing.assert_array_equal(one[1], many[1][7])
    narrow = graph.search(data[7], 5, ef=1)  # raised to k
    assert (narrow[0] >= 0).all()
    assert graph.search(np.empty((0, 24)), 5)[0].shape == (0, 5)
    wide = graph.search(data[7], 4000, ef=10**6)
    assert sorted(wide[0][:3000].tolist()) == list(range(3000))
    assert (wide[0][3000:] == -1).all()
    np.testing.assert_array_equal(graph.search(data[7].astype(np.float64).tolist(), 5)[0], one[0])


def test_over_a_store(data):
    store = VectorStore(24)
    store.append(data[:500])
    graph = HnswGraph(store)
    assert graph.store is store
    assert graph.dim == 24
    assert len(graph) == 0
    assert graph.add(store) == 0
    assert len(graph) == 500
    assert graph.add(store) == 500  # nothing new
    store.append(data[500:600])
    assert len(graph) == 500
    assert graph.search(data[550], 1)[0][0] < 500
    assert graph.add(store) == 500
    assert graph.search(data[550], 1)[0][0] == 550
    assert graph.add(data[600:700]) == 600
    assert len(store) == len(graph) == 700
    graph.verify()
    other = VectorStore(24)
    other.append(data[700:710])
    assert graph.add(other) == 700
    np.testing.assert_array_equal(store.view(), data[:710])


def test_a_closed_store_leaves_the_graph_working(data):
    store = VectorStore(24)
    store.append(data[:300])
    graph = HnswGraph(store)
    graph.add(store)
    store.close()
    assert graph.search(data[42], 1)[0][0] == 42
    for source in (store, data[:1]):
        with pytest.raises(ClosedError):
            graph.add(source)
    with pytest.raises(ClosedError):
        HnswGraph(store)


def test_close(data):
    graph = HnswGraph(24)
    graph.add(data[:100])
    store = graph.store
    with graph:
        pass
    graph.close()
    for call in (
        lambda: len(graph),
        lambda: graph.levels,
        lambda: graph.entry_point,
        lambda: graph.search(data[0]),
        lambda: graph.neighbors(0),
        lambda: graph.level(0),
        lambda: graph.verify(),
        lambda: graph.add(data[:1]),
        lambda: graph.__enter__(),
    ):
        with pytest.raises(ClosedError):
            call()
    assert len(store) == 100
    assert "HnswGraph" in repr(graph)


def test_close_waits_for_calls_in_flight(data):
    graph = HnswGraph(24, m=8, ef_construction=50)
    graph.add(data[:2000])
    finished = []

    def search():
        try:
            while True:
                rows, _ = graph.search(data[:200], 5)
                assert (rows[:, 0] >= 0).all()
                finished.append(1)
        except ClosedError:
            finished.append("closed")

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while len(finished) < 4 and time.monotonic() < deadline:
        time.sleep(0.005)
    graph.close()
    for thread in threads:
        thread.join()
    assert finished.count("closed") == 3


def test_searches_beside_adding(data):
    graph = HnswGraph(24, m=8, ef_construction=50)
    graph.add(data[:500])
    wrong, done = [], threading.Event()

    def search():
        while not done.is_set():
            rows, _ = graph.search(data[:100], 1, 100)
            wrong.extend(rows[(rows < 0) | (rows >= 3000)].tolist())

    thread = threading.Thread(target=search)
    thread.start()
    for first in range(500, 3000, 250):
        graph.add(data[first : first + 250])
    done.set()
    thread.join()
    assert wrong == []
    graph.verify()


def test_bad_settings_are_refused():
    for m in (0, 1, 12, 64, -8):
        with pytest.raises(ConfigError, match="m="):
            HnswGraph(4, m=m)
    for ef in (0, -1, 4097):
        with pytest.raises(ConfigError, match="ef_construction"):
            HnswGraph(4, ef_construction=ef)
    for seed in (-1, 2**64):
        with pytest.raises(ConfigError, match="seed"):
            HnswGraph(4, seed=seed)
    for dim in (0, -1, 16385):
        with pytest.raises(ConfigError, match="dim"):
            HnswGraph(dim)
    for dim in (1.5, "4", None):
        with pytest.raises(TypeError):
            HnswGraph(dim)


def test_bad_calls_are_refused(graph, data):
    for k in (0, -1, 2**20 + 1):
        with pytest.raises(ConfigError, match="k="):
            graph.search(data[0], k)
    for ef in (0, -5, 2**31):
        with pytest.raises(ConfigError, match="ef="):
            graph.search(data[0], 1, ef)
    with pytest.raises(ConfigError, match="threads"):
        graph.search(data[0], 1, threads=-1)
    with pytest.raises(ConfigError, match="threads"):
        graph.add(data[:1], threads=5000)
    for node in (-1, 3000, 2**63, 2**80):
        with pytest.raises(IndexError):
            graph.level(node)
        with pytest.raises(IndexError):
            graph.neighbors(node)
    for level in (-1, 300, 2**80):
        with pytest.raises(IndexError):
            graph.neighbors(0, level)
    with pytest.raises(TypeError):
        graph.level(0.5)
    assert len(graph) == len(graph.store) == 3000


def test_bad_vectors_are_refused(graph, data):
    bad = data[:5].copy()
    bad[2, 3] = np.nan
    for call in (graph.add, graph.search):
        with pytest.raises(InvalidVectorError) as caught:
            call(bad)
        assert caught.value.row == 2
        with pytest.raises(DimensionError):
            call(data[:5, :20])
        with pytest.raises(DTypeError):
            call(np.zeros((1, 24), dtype=complex))
    assert len(graph) == len(graph.store) == 3000


def test_it_cannot_be_pickled(graph):
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(graph)
