"""Searches bounded by a distance: all of what is near, the limit, filters, bad input."""

import numpy as np
import pytest

import sutra

DIM = 16
ROWS = 6_000


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((30, DIM))
    rows = centres[rng.integers(30, size=ROWS)] + 0.3 * rng.standard_normal((ROWS, DIM))
    return rows.astype(np.float32)


@pytest.fixture(scope="module")
def index(vectors):
    index = sutra.Index(DIM, metric="l2")
    index.add(vectors)
    return index


def squares(vectors, query):
    return ((vectors.astype(np.float64) - query) ** 2).sum(axis=1)


@pytest.mark.parametrize("radius", [0.0, 0.5, 1.5, 3.0, 20.0, np.inf])
@pytest.mark.parametrize("exact", [False, True])
def test_finds_what_is_near(index, vectors, radius, exact):
    found = wanted = 0
    for query in vectors[:40]:
        near = np.flatnonzero(squares(vectors, query) <= radius)
        ids, distances = index.search(query, radius=radius, exact=exact)
        assert ids.shape == distances.shape
        assert (distances <= radius).all()
        assert (np.diff(distances) >= 0).all()
        assert len(set(ids.tolist())) == len(ids)
        found += np.isin(near, ids).sum()
        wanted += len(near)
        if exact:
            assert abs(len(ids) - len(near)) <= 1  # one may lie on the edge
    assert found >= 0.95 * wanted


def test_limit(index, vectors):
    ids = index.search(vectors[3], radius=np.inf, limit=7).ids
    np.testing.assert_array_equal(ids, index.search(vectors[3], 7, ef=64).ids)
    assert len(index.search(vectors[3], radius=np.inf, limit=100).ids) == 100
    assert len(index.search(vectors[3], radius=np.inf, limit=10**6).ids) == ROWS
    assert len(index.search(vectors[3], radius=np.inf).ids) == ROWS  # below the default


def test_many_queries_are_padded(index, vectors):
    ids, distances = index.search(vectors[:50], radius=1.5)
    alone = [index.search(query, radius=1.5) for query in vectors[:50]]
    assert ids.shape == (50, max(len(one.ids) for one in alone))
    for row, far, one in zip(ids, distances, alone, strict=True):
        np.testing.assert_array_equal(row[row >= 0], one.ids)
        assert np.isinf(far[row < 0]).all()


def test_with_filters(index, vectors):
    masks = np.random.default_rng(3).random((20, ROWS)) < np.linspace(0, 1, 20)[:, None]
    ids = index.search(vectors[:20], radius=3.0, filter=masks).ids
    for row, mask, query in zip(ids, masks, vectors[:20], strict=True):
        got = row[row >= 0]
        assert mask[got].all()
        near = np.flatnonzero((squares(vectors, query) <= 3.0) & mask)
        assert np.isin(near, got).sum() >= 0.9 * len(near)
    one = index.search(vectors[:3], radius=3.0, filter=masks[10]).ids
    np.testing.assert_array_equal(
        one[0][one[0] >= 0],
        index.search(vectors[0], radius=3.0, filter=np.flatnonzero(masks[10])).ids,
    )


def test_nothing_is_near(index):
    ids, distances = index.search(np.full(DIM, 99.0), radius=1.0)
    assert ids.shape == distances.shape == (0,)
    assert index.search(np.full((2, DIM), 99.0), radius=1.0).ids.shape == (2, 0)
    assert sutra.Index(DIM).search(np.ones(DIM), radius=5).ids.shape == (0,)


def test_half_of_all_are_the_same_point():
    rng = np.random.default_rng(7)
    rows = rng.standard_normal((2_000, 8), dtype=np.float32)
    rows[::2] = rows[0]
    index = sutra.Index(8, metric="l2")
    index.add(rows)
    ids = index.search(rows[0], radius=1e-6).ids
    assert len(ids) >= 0.95 * 1_000


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"radius": np.nan}, sutra.ConfigError),
        ({"radius": "near"}, TypeError),
        ({"radius": [1, 2]}, TypeError),
        ({"limit": 5}, sutra.ConfigError),
        ({"radius": 1, "limit": 0}, sutra.ConfigError),
        ({"radius": 1, "limit": 2.5}, TypeError),
        ({"radius": 1, "ef": 0}, sutra.ConfigError),
        ({"radius": 1, "recall": 0.9}, sutra.ConfigError),
    ],
)
def test_bad_arguments(index, vectors, arguments, error):
    with pytest.raises(error):
        index.search(vectors[0], **arguments)


def test_stores(tmp_path, vectors):
    with sutra.open(tmp_path / "s", dim=DIM, metric="l2", sync="off") as store:
        assert len(store.search(vectors[0], radius=1)) == 0
        store.add([f"n{row}" for row in range(3_000)], vectors[:3_000])
        near = np.flatnonzero(squares(vectors[:3_000], vectors[5]) <= 2.0)
        names = {f"n{row}" for row in near}
        for exact in (True, False):
            hits = store.search(vectors[5], radius=2.0, exact=exact)
            assert (hits.distances <= 2.0).all()
            assert len(names & set(hits.ids.tolist())) >= 0.95 * len(names)
        assert len(store.search(vectors[5], radius=2.0, limit=3)) == 3
        some = store.search(vectors[5:8], radius=2.0, filter=[sorted(names), ["n1"], ["absent"]])
        assert set(some[0].ids.tolist()) == names
        assert len(some[2]) == 0
        with pytest.raises(sutra.ConfigError):
            store.search(vectors[5], limit=3)
        with pytest.raises(sutra.ConfigError):
            store.search(vectors[5], radius=np.nan)
