"""Searching an index among some ids: every form of a filter, every way to answer, bad input."""

import numpy as np
import pytest

import sutra

DIM = 24
ROWS = 8_000


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(3).standard_normal((ROWS, DIM), dtype=np.float32)


@pytest.fixture(scope="module", params=["rows", "own"])
def ids(request):
    """Row numbers, or ids of one's own in no order."""
    if request.param == "rows":
        return np.arange(ROWS)
    return np.random.default_rng(4).permutation(3 * ROWS)[:ROWS]


@pytest.fixture(scope="module", params=["u8", "u4", "none"])
def index(request, vectors, ids):
    index = sutra.Index(DIM, metric="l2", quantization=request.param, seed=5)
    index.add(vectors, ids)
    return index


@pytest.fixture(scope="module")
def queries():
    return np.random.default_rng(6).standard_normal((30, DIM), dtype=np.float32)


def forms(mask):
    """The same filter in every form."""
    listed = np.flatnonzero(mask)
    return {
        "mask": mask,
        "bitmap": np.packbits(mask, bitorder="little"),
        "ids": listed,
        "shuffled": np.random.default_rng(1).permutation(listed),
        "twice": np.concatenate([listed, listed]),
        "list": listed.tolist(),
        "int32": listed.astype(np.int32),
        "uint64": listed.astype(np.uint64),
        "strided": np.repeat(listed, 2)[::2],
    }


def nearest(vectors, ids, mask, query, k=10):
    passing = np.flatnonzero(mask[ids])
    distances = ((vectors[passing].astype(np.float64) - query) ** 2).sum(axis=1)
    return ids[passing[np.argsort(distances, kind="stable")[:k]]]


@pytest.mark.parametrize("share", [0.9, 0.3, 0.02, 0.0004])
def test_finds_the_nearest_of_what_passes(index, vectors, ids, queries, share):
    mask = np.random.default_rng(int(share * 1e4)).random(3 * ROWS) < share
    truth = [nearest(vectors, ids, mask, query) for query in queries]
    wanted = sum(map(len, truth))
    results = {}
    for name, given in forms(mask).items():
        found = index.search(queries, 10, ef=200, filter=given).ids
        assert mask[found[found >= 0]].all()
        assert [(row >= 0).sum() for row in found] == [len(row) for row in truth]
        results[name] = found
        if name not in ("mask", "bitmap"):  # these two are estimated otherwise: other plans
            np.testing.assert_array_equal(found, results["ids"])
    np.testing.assert_array_equal(results["mask"], results["bitmap"])
    for found in (results["mask"], results["ids"]):
        right = sum(np.isin(row, best).sum() for row, best in zip(found, truth, strict=True))
        assert right >= 0.95 * wanted
    for row, best in zip(
        index.search(queries, 10, exact=True, filter=mask).ids, truth, strict=True
    ):
        np.testing.assert_array_equal(row[: len(best)], best)


def test_one_for_each_query(index, vectors, ids, queries):
    rng = np.random.default_rng(8)
    masks = rng.random((len(queries), 3 * ROWS)) < rng.random((len(queries), 1)) ** 3
    alone = [index.search(q, 5, filter=m).ids for q, m in zip(queries, masks, strict=True)]
    for threads in (1, 2):
        for given in (masks, list(masks), np.packbits(masks, axis=1, bitorder="little")):
            found = index.search(queries, 5, filter=given, threads=threads).ids
            np.testing.assert_array_equal(found, alone)


def test_nothing_passes(index, queries):
    for given in ([], np.zeros(0, np.uint8), np.zeros(50, bool), [10**15], np.array([-1, -7])):
        ids, distances = index.search(queries, 4, filter=given)
        assert (ids == -1).all()
        assert np.isinf(distances).all()


def test_fewer_pass_than_asked_for(index, ids, queries):
    given = ids[:3]
    found = index.search(queries, 10, filter=given).ids
    assert (found[:, 3:] == -1).all()
    assert (np.sort(found[:, :3]) == np.sort(given)).all()


def test_flat_and_empty_indexes():
    index = sutra.Index(4, metric="l2")
    assert index.search(np.ones(4), 2, filter=[0, 1]).ids.tolist() == [-1, -1]
    index.add(np.eye(4, dtype=np.float32), ids=[7, 5, 3, 1])
    assert index.search(np.eye(4)[0], 4, filter=[3, 7, 9]).ids.tolist() == [7, 3, -1, -1]
    assert index.explain(np.eye(4)[0], filter=[3]).kind == "scan"


def test_explain(index, queries):
    plain = index.explain(queries[0])
    assert (plain.kind, plain.passing, plain.gave_up) == ("walk", ROWS, False)
    assert plain.looked > 0
    assert index.explain(queries[0], exact=True).kind == "scan"
    few = index.explain(queries[0], filter=np.arange(0, 3 * ROWS, 100))
    assert few.kind == "code scan"
    assert few.looked <= 0.02 * ROWS
    many = index.explain(queries[0], filter=np.ones(3 * ROWS, bool), ef=16)
    assert many.kind == "filtered walk"
    assert many.looked < ROWS / 2
    several = index.explain(queries[:3], filter=np.ones((3, 9), bool))
    assert [plan.kind for plan in several] == ["code scan"] * 3
    assert all(plan.why for plan in [plain, few, many, *several])


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (np.ones(4), TypeError),
        ("abc", (TypeError, sutra.DimensionError)),
        ([1.5], TypeError),
        ([None], TypeError),
        (3, sutra.DimensionError),
        (np.ones((1, 1, 1), bool), sutra.DimensionError),
        (np.ones((2, 5), bool), sutra.ConfigError),
        ([np.ones(5, bool)] * 3, sutra.ConfigError),
        (np.array([2**63], np.uint64), sutra.ConfigError),
    ],
)
def test_bad_filters(index, queries, given, error):
    with pytest.raises(error):
        index.search(queries[0], 3, filter=given)
    with pytest.raises(error):
        index.explain(queries[0], filter=given)


def test_arguments_are_checked_first():
    index = sutra.Index(4)
    with pytest.raises(sutra.ConfigError):
        index.search(np.ones(4), 0, filter=[1])
    index.close()
    with pytest.raises(sutra.ClosedError):
        index.search(np.ones(4), 1, filter=[1])
