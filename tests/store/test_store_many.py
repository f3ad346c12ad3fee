"""Store: more wanted than there is, ranges, and many concepts with one vector."""

import numpy as np
import pytest

import sutra

COUNT = 2_000
DIM = 16


@pytest.fixture(params=["waiting", "linked"])
def settled(request):
    """Whether what was written is linked before it is searched."""
    return request.param == "linked"


@pytest.fixture
def filled(path, settled):
    """A store, half of its concepts with one and the same vector."""
    rows = np.random.default_rng(21).standard_normal((COUNT, DIM)).astype(np.float32)
    rows[::2] = rows[0]
    with sutra.open(path, dim=DIM, metric="l2", sync="off") as store:
        store.add(np.arange(COUNT), rows)
        if settled:
            store.settle()
        yield store, rows


def test_more_wanted_than_there_are(filled):
    store, _ = filled
    hits = store.search(np.ones(DIM, dtype=np.float32), COUNT + 5)
    assert sorted(hits.ids.tolist()) == list(range(COUNT))
    assert (np.diff(hits.distances) >= 0).all()


def test_copies_hide_nothing(filled, tools):
    store, rows = filled
    others = range(1, 200, 2)
    reached = 0
    for row in others:
        limit = np.partition(tools.distances("l2", rows[row], rows), 9)[9]
        hits = store.search(rows[row], 10, ef=128)
        assert hits.ids[0] == row
        assert len(set(hits.ids.tolist())) == 10
        reached += int((hits.distances <= limit + 1e-4 * (1 + limit)).sum())
    assert reached >= 0.95 * 10 * len(others)
    assert (store.search(rows[0], 10).distances <= 1e-6).all()


def test_range(filled, tools):
    store, rows = filled
    for row in (0, 1, 3):
        near = np.flatnonzero(tools.distances("l2", rows[row], rows) <= 9.0)
        hits = store.search(rows[row], radius=9.0)
        assert (hits.distances <= 9.0).all()
        assert np.isin(near, hits.ids).sum() >= 0.95 * len(near)
        assert len(store.search(rows[row], radius=9.0, limit=5)) == min(5, len(near))
