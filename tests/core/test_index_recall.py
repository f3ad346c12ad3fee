"""Index: how much of the truth it finds, on data of many shapes, and that it is deterministic."""

import numpy as np
import pytest

from sutra import Index

DIM = 32
COUNT = 3000


@pytest.fixture(scope="module")
def base(tools):
    return tools.clustered(COUNT, DIM, clusters=60)


@pytest.fixture(scope="module")
def queries(tools):
    return tools.clustered(200, DIM, seed=1, clusters=60)


# Measured 0.02 or more above each of these.
@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
@pytest.mark.parametrize(
    ("quantization", "keep", "least"),
    [
        ("u8", True, 0.95),
        ("u8", False, 0.90),
        ("u4", True, 0.95),
        ("u4", False, 0.60),
        ("none", True, 0.97),
    ],
)
def test_recall_at_ten(tools, base, queries, metric, quantization, keep, least):
    index = Index(DIM, metric=metric, quantization=quantization, keep_originals=keep)
    index.add(base)
    truth = tools.nearest(metric, queries, base, 10)
    found = [tools.recall(index.search(queries, ef=ef).ids, truth) for ef in (20, 100, 400)]
    assert found[1] >= least
    assert found[0] <= found[1] + 0.02 <= found[2] + 0.04
    exact = tools.recall(index.search(queries, exact=True).ids, truth)
    assert exact >= (1.0 if keep else least)


@pytest.mark.parametrize("m", [8, 16, 24, 32])
def test_recall_for_every_m(tools, base, queries, m):
    index = Index(DIM, metric="l2", m=m, ef_construction=100)
    index.add(base)
    truth = tools.nearest("l2", queries, base, 10)
    assert tools.recall(index.search(queries, ef=100).ids, truth) >= 0.93
    assert index.verify(deep=True)["vectors"] == COUNT


def orders(base):
    rng = np.random.default_rng(0)
    yield "first coordinate", np.argsort(base[:, 0])
    yield "length", np.argsort(np.linalg.norm(base, axis=1))
    anchors = base[rng.choice(len(base), 30, replace=False)]
    label = ((base[:, None, :8] - anchors[None, :, :8]) ** 2).sum(axis=2).argmin(axis=1)
    yield "cluster by cluster", np.argsort(label, kind="stable")


@pytest.mark.parametrize("number", range(3))
def test_insertion_order(tools, base, queries, number):
    name, order = list(orders(base))[number]
    rows = base[order]
    index = Index(DIM, metric="l2")
    for part in np.array_split(rows, 6):
        index.add(part)
    truth = tools.nearest("l2", queries, rows, 10)
    assert tools.recall(index.search(queries, ef=100).ids, truth) >= 0.93, name
    assert index.verify()["vectors"] == COUNT


def test_half_of_the_rows_identical(tools, base, queries):
    rows = base.copy()
    rows[::2] = rows[0]
    index = Index(DIM, metric="l2")
    index.add(rows)
    assert index.verify()["vectors"] == COUNT
    others = np.arange(1, COUNT, 2)
    # None of the copies is near these queries, and they must not hide what is.
    truth = tools.nearest("l2", queries, rows[others], 10)
    far = tools.distances("l2", queries, rows[:1])[:, 0]
    tenth = np.take_along_axis(tools.distances("l2", queries, rows[others]), truth, axis=1)[:, -1]
    chosen = far > tenth
    assert chosen.sum() > 100
    found = index.search(queries[chosen], ef=100).ids
    assert tools.recall(found, others[truth[chosen]]) >= 0.93
    ids, distances = index.search(rows[0], k=10, ef=100)
    assert (distances == 0).all()
    assert len(set(ids.tolist())) == 10


@pytest.mark.parametrize("quantization", ["u8", "u4", "none"])
@pytest.mark.parametrize("value", [0.0, 1.0, -3.5e-5, 1e15])
def test_all_rows_equal(quantization, value):
    rows = np.full((1500, 20), value, dtype=np.float32)
    index = Index(20, metric="l2", quantization=quantization)
    index.add(rows)
    assert index.verify(deep=True)["vectors"] == 1500
    ids, distances = index.search(rows[0], k=10)
    assert len(set(ids.tolist())) == 10
    assert (distances == 0).all()


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e12])
def test_scale_does_not_matter(tools, base, queries, scale):
    rows = (base[:2000] * np.float32(scale)).astype(np.float32)
    scaled = queries * np.float32(scale)
    index = Index(DIM, metric="l2")
    index.add(rows)
    truth = tools.nearest("l2", queries, base[:2000], 10)
    assert tools.recall(index.search(scaled, ef=100).ids, truth) >= 0.95


def test_distance_from_the_origin_does_not_matter(tools, base, queries):
    offset = np.zeros(DIM, dtype=np.float32)
    offset[3] = 1000.0
    index = Index(DIM, metric="l2")
    index.add(base[:2000] + offset)
    truth = tools.nearest("l2", queries + offset, base[:2000] + offset, 10)
    assert tools.recall(index.search(queries + offset, ef=100).ids, truth) >= 0.90


def test_one_outlier_ruins_nothing(tools, base, queries):
    rows = base[:2000].copy()
    rows[7] *= 1e6
    index = Index(DIM, metric="l2")
    index.add(rows)
    truth = tools.nearest("l2", queries, rows, 10)
    assert tools.recall(index.search(queries, ef=100).ids, truth) >= 0.90


def test_one_by_one_is_as_good(tools, base, queries):
    rows = base[:1500]
    truth = tools.nearest("l2", queries, rows, 10)
    single = Index(DIM, metric="l2")
    for row in rows:
        single.add(row, threads=1)
    bulk = Index(DIM, metric="l2")
    bulk.add(rows)
    for index in (single, bulk):
        assert index.verify(deep=True)["vectors"] == 1500
        assert tools.recall(index.search(queries, ef=100).ids, truth) >= 0.97


# ---- determinism


def file_of(index, path):
    index.save(path)
    return path.read_bytes()


@pytest.mark.parametrize("quantization", ["u8", "u4", "none"])
@pytest.mark.parametrize("calls", [1, 7])
def test_same_input_same_file(base, tmp_path, quantization, calls):
    files = set()
    for threads in (1, 2, 4, 4):
        index = Index(DIM, quantization=quantization, keep_originals=quantization != "u4")
        for part in np.array_split(base[:1500], calls):
            index.add(part, threads=threads)
        files.add(file_of(index, tmp_path / "file"))
        files.add(file_of(index, tmp_path / "again"))
    assert len(files) == 1


def test_searching_changes_no_file(base, queries, tmp_path):
    index = Index(DIM)
    index.add(base[:1000])
    before = file_of(index, tmp_path / "a")
    index.search(queries)
    index.search(queries, exact=True)
    index.verify(deep=True)
    assert 17 in index
    assert file_of(index, tmp_path / "b") == before


def test_reopening_changes_no_file(base, tmp_path):
    index = Index(DIM)
    index.add(base[:1000], ids=np.arange(1000) * 5)
    before = file_of(index, tmp_path / "a")
    for resident in ("auto", "arena", "mapped"):
        again = Index.open(tmp_path / "a", resident=resident)
        assert file_of(again, tmp_path / "b") == before


def test_adding_after_reopening(tools, base, queries, tmp_path):
    """The same for every residency and thread count, and as good as never having closed."""
    first = Index(DIM, metric="l2")
    first.add(base[:1000])
    first.save(tmp_path / "a")
    truth = tools.nearest("l2", queries, base[:2000], 10)
    files = set()
    for resident in ("auto", "arena", "mapped"):
        for threads in (1, 2):
            again = Index.open(tmp_path / "a", resident=resident)
            again.add(base[1000:2000], threads=threads)
            assert again.verify(deep=True)["vectors"] == 2000
            assert tools.recall(again.search(queries, ef=100).ids, truth) >= 0.95
            files.add(file_of(again, tmp_path / "c"))
    assert len(files) == 1


def test_seeds_differ(base, tmp_path):
    files = []
    for seed in (0, 1, 2**64 - 1):
        index = Index(DIM, seed=seed)
        index.add(base[:1000])
        assert index.verify(deep=True)["vectors"] == 1000
        files.append(file_of(index, tmp_path / "file"))
    assert len(set(files)) == 3
