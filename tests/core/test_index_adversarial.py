"""Index: rows in orders and shapes that graphs are bad at, judged by distance, not by id."""

import numpy as np
import pytest

import sutra

COUNT = 4_000
DIM = 16
K = 10


def found_by_distance(tools, rows, queries, ids, k=K):
    """Of each query, the share of the k nearest that were found; ties with the last count."""
    table = tools.distances("l2", queries, rows)
    limits = np.partition(table, k - 1, axis=1)[:, k - 1]
    shares = []
    for far, row, limit in zip(table, ids, limits, strict=True):
        own = far[np.unique(row[row >= 0])]
        shares.append(min(k, int((own <= limit + 1e-5 * (1 + limit)).sum())) / k)
    return np.array(shares)


def along_a_line(rng):
    """Points of a line with little beside it, in order."""
    rows = 0.01 * rng.standard_normal((COUNT, DIM))
    rows[:, 0] += np.arange(COUNT) / 100
    return rows


def cluster_by_cluster(rng):
    """Forty tight clusters, far from one another, one after the other."""
    centres = 20 * rng.standard_normal((40, DIM))
    return np.repeat(centres, COUNT // 40, axis=0) + 0.3 * rng.standard_normal((COUNT, DIM))


def all_equal(rng):
    """A single point."""
    return np.tile(rng.standard_normal(DIM), (COUNT, 1))


def integer_grid(rng):
    """Every point of a grid: ties everywhere."""
    axes = np.meshgrid(*[np.arange(16)] * 3, indexing="ij")
    points = np.stack(axes, axis=-1).reshape(-1, 3)[:COUNT]
    return np.pad(points, ((0, 0), (0, DIM - 3)))


def half_equal(rng):
    """Every other point the same."""
    rows = rng.standard_normal((COUNT, DIM))
    rows[::2] = rows[0]
    return rows


SHAPES = (along_a_line, cluster_by_cluster, all_equal, integer_grid, half_equal)


@pytest.mark.parametrize("codes", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("parts", [1, 8])
def test_finds_the_nearest_and_reaches_all(tools, shape, codes, parts):
    rng = np.random.default_rng(11)
    rows = np.ascontiguousarray(shape(rng), dtype=np.float32)
    index = sutra.Index(DIM, metric="l2", quantization="u8" if codes else "none")
    for part in np.array_split(rows, parts):
        index.add(part)
    assert index.verify()["vectors"] == COUNT
    queries = rows[rng.choice(COUNT, 100)] + 0.02 * rng.standard_normal((100, DIM))
    ids = index.search(queries.astype(np.float32), K, ef=128).ids
    assert all(len(set(row.tolist())) == K for row in ids)
    assert found_by_distance(tools, rows, queries, ids).mean() >= 0.95


def test_more_equal_rows_than_the_walk_is_wide(tools):
    """A heap of copies fills the walk of a query that comes by; what is beyond must be found."""
    rng = np.random.default_rng(12)
    centres = 2 * rng.standard_normal((40, DIM))
    rows = centres[rng.integers(40, size=COUNT)] + 0.5 * rng.standard_normal((COUNT, DIM))
    queries = centres[rng.integers(40, size=200)] + 0.5 * rng.standard_normal((200, DIM))
    rows[rng.permutation(COUNT)[:1_000]] = rows[0]
    index = sutra.Index(DIM, metric="l2")
    index.add(rows.astype(np.float32))
    assert index.verify()["vectors"] == COUNT
    ids = index.search(queries.astype(np.float32), K, ef=128).ids
    shares = found_by_distance(tools, rows, queries, ids)
    assert shares.mean() >= 0.95
    assert shares.min() > 0, "a query found nothing of what is near it"


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("count", [1, 7, 1_500])
def test_more_wanted_than_there_are(count, exact):
    rows = np.random.default_rng(13).standard_normal((count, DIM)).astype(np.float32)
    index = sutra.Index(DIM, metric="l2")
    index.add(rows)
    ids, distances = index.search(rows[:1], count + 5, exact=exact)
    assert ids.shape == distances.shape == (1, count + 5)
    assert sorted(ids[0, :count].tolist()) == list(range(count))
    assert (ids[0, count:] == -1).all()
    assert np.isinf(distances[0, count:]).all()
