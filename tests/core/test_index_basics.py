"""Index: what goes in comes out, in every configuration."""

import itertools

import numpy as np
import pytest

import sutra
from sutra import Index
from sutra.errors import NotFoundError

METRICS = ("cosine", "l2", "ip")
STORAGES = [("u8", True), ("u8", False), ("u4", True), ("u4", False), ("none", True)]
CONFIGURATIONS = [
    pytest.param(
        {"metric": metric, "quantization": quantization, "keep_originals": keep},
        id=f"{metric}-{quantization}-{'kept' if keep else 'coded'}",
    )
    for metric, (quantization, keep) in itertools.product(METRICS, STORAGES)
]
SIZES = [pytest.param(100, id="flat"), pytest.param(1500, id="graph")]
# Of a distance, relative to what vectors of this data are long: what codes can cost.
CODE_ERROR = {("u8", False): 0.03, ("u4", False): 0.25}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", CONFIGURATIONS)
def test_every_configuration(tools, options, size):
    """Ids, shapes, order and distances agree with NumPy."""
    metric = options["metric"]
    rows = tools.clustered(size, 24)
    queries = tools.clustered(20, 24, seed=1)
    index = Index(24, **options)
    assert np.array_equal(index.add(rows), np.arange(size))
    assert len(index) == size
    truth = tools.distances(metric, queries, rows)
    scale = 1.0 if metric == "cosine" else np.abs(truth).max()
    allowed = CODE_ERROR.get((options["quantization"], options["keep_originals"]), 0.0)
    if size < 512:
        allowed = 0.0  # a flat index has its vectors as given
    for exact in (False, True):
        found = index.search(queries, k=10, ef=200, exact=exact)
        ids, distances = found
        assert ids is found.ids
        assert distances is found.distances
        assert ids.shape == distances.shape == (20, 10)
        assert (ids.dtype, distances.dtype) == (np.int64, np.float32)
        assert (np.diff(distances, axis=1) >= 0).all()
        assert all(len(set(line)) == 10 for line in ids.tolist())
        expected = np.take_along_axis(truth, ids, axis=1)
        np.testing.assert_allclose(distances, expected, rtol=0, atol=(allowed + 1e-6) * scale)
        if allowed == 0.0 and (exact or size < 512):
            assert tools.recall(ids, tools.nearest(metric, queries, rows, 10)) == 1.0
    assert index.verify(deep=True)["vectors"] == size


@pytest.mark.parametrize("options", CONFIGURATIONS)
def test_get_returns_what_was_given(tools, options):
    rows = tools.clustered(700, 19)
    rows[5] = 0.0
    index = Index(19, **options)
    index.add(rows[:100])
    for row in (0, 5, 99):
        got = index.get(row)
        assert (got.dtype, got.shape) == (np.float32, (19,))
        assert np.array_equal(got, rows[row])
    index.add(rows[100:])
    lengths = np.linalg.norm(rows, axis=1)
    for row in (0, 5, 99, 100, 699):
        got = index.get(row)
        if options["keep_originals"]:
            assert np.array_equal(got, rows[row])
            continue
        expected = rows[row]
        if options["metric"] == "cosine" and lengths[row] > 0:
            expected = expected / lengths[row]
        error = np.linalg.norm(got - expected)
        assert error <= (0.06 if options["quantization"] == "u8" else 0.3) * max(
            np.linalg.norm(expected), 1.0 if options["metric"] == "cosine" else lengths.mean()
        )
    got[:] = 7  # the caller's own
    assert not np.array_equal(index.get(699), got)


def test_one_query_gives_one_dimension():
    index = Index(3, metric="l2")
    index.add(np.eye(3))
    one = index.search([1, 0, 0], k=2)
    assert one.ids.shape == one.distances.shape == (2,)
    assert one.ids.tolist() == [0, 1]
    assert one.distances.tolist() == [0.0, 2.0]
    many = index.search([[1, 0, 0]], k=2)
    assert many.ids.shape == (1, 2)
    ids, distances = one
    assert ids.tolist() == one[0].tolist()
    assert distances.tolist() == one[1].tolist()
    assert len(one) == 2
    assert "ids=array([0, 1])" in repr(one)
    with pytest.raises(AttributeError):
        one.ids = ids


def test_one_vector_is_one_row():
    index = Index(3)
    assert index.add([1, 2, 3]).tolist() == [0]
    assert index.add([3, 2, 1], ids=7).tolist() == [7]
    assert len(index) == 2


@pytest.mark.parametrize("size", [0, 1, 3, 600])
def test_fewer_than_k_are_padded(tools, size):
    index = Index(8)
    if size:
        index.add(tools.clustered(size, 8))
    for queries in (np.ones(8), np.ones((2, 8))):
        for exact in (False, True):
            ids, distances = index.search(queries, k=size + 4, exact=exact)
            assert (ids[..., size:] == -1).all()
            assert np.isposinf(distances[..., size:]).all()
            assert np.isfinite(distances[..., :size]).all()
            found = np.sort(ids[..., :size])
            assert np.array_equal(found, np.broadcast_to(np.arange(size), found.shape))


def test_empty_index():
    index = Index(4)
    assert len(index) == 0
    assert 0 not in index
    assert index.ids().shape == (0,)
    assert index.verify(deep=True)["vectors"] == 0
    assert index.stats()["count"] == 0
    with pytest.raises(NotFoundError) as caught:
        index.get(0)
    assert caught.value.id == 0
    assert "0" in str(caught.value)


def test_empty_inputs_are_no_error():
    index = Index(4)
    assert index.add(np.empty((0, 4))).tolist() == []
    assert index.add(np.empty((0, 4)), ids=[]).dtype == np.int64
    assert len(index) == 0
    index.add(np.eye(4))
    found = index.search(np.empty((0, 4)), k=3)
    assert found.ids.shape == found.distances.shape == (0, 3)


def test_ids_none_explicit_and_mixed():
    index = Index(2, metric="l2")
    points = np.arange(20).reshape(10, 2)
    assert index.add(points[:2]).tolist() == [0, 1]
    assert index.add(points[2:4], ids=[100, 50]).tolist() == [100, 50]
    assert index.add(points[4:6]).tolist() == [101, 102]
    assert index.add(points[6:7], ids=[7]).tolist() == [7]
    assert index.add(points[7:8]).tolist() == [103]
    expected = [0, 1, 100, 50, 101, 102, 7, 103]
    assert index.ids().tolist() == expected
    assert index.ids().dtype == np.int64
    for row, number in enumerate(expected):
        assert number in index
        assert np.array_equal(index.get(number), points[row])
        assert index.search(points[row], k=1).ids.tolist() == [number]
    for number in (2, 6, 8, 99, 104, 2**62, -1, 2**63, 2**70, "0", None, 0.0):
        assert number not in index
    assert np.int32(50) in index
    assert np.array_equal(index.get(np.uint8(50)), points[3])


def test_ids_survive_the_graph(tools):
    rows = tools.clustered(900, 8)
    ids = np.random.default_rng(0).permutation(10**6)[:900] * 3
    index = Index(8)
    index.add(rows[:300], ids=ids[:300])
    index.add(rows[300:], ids=ids[300:])
    assert np.array_equal(index.ids(), ids)
    assert np.array_equal(index.search(rows, k=1, ef=100).ids[:, 0], ids)
    assert all(number in index for number in ids.tolist())
    assert index.add(rows[0]) == [ids.max() + 1]


def test_row_number_ids_cost_nothing(tools):
    index = Index(8)
    index.add(tools.clustered(600, 8), ids=np.arange(600))
    index.add(tools.clustered(10, 8))
    assert index.stats()["bytes_per_vector"]["ids"] == 0
    index.add(tools.clustered(1, 8), ids=[5000])
    assert index.stats()["bytes_per_vector"]["ids"] == 8
    assert index.ids().tolist() == [*range(610), 5000]


@pytest.mark.parametrize("quantization", ["u8", "u4", "none"])
def test_zero_vectors_under_cosine(tools, quantization):
    for size in (50, 800):
        rows = tools.clustered(size, 16)
        rows[::10] = 0.0
        index = Index(16, quantization=quantization)
        index.add(rows)
        assert not index.get(10).any()
        ids, distances = index.search(rows[1], k=size, exact=True)
        zero = np.isin(ids, np.arange(0, size, 10))
        assert zero.sum() == len(range(0, size, 10))
        assert (distances[zero] == 1.0).all()
        ids, distances = index.search(np.zeros(16), k=5)
        assert (distances == 1.0).all()
        assert len(set(ids.tolist())) == 5
        assert index.verify(deep=True)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u1", "i8", "u8", ">f4", ">i2"])
def test_element_types(dtype):
    rows = (np.arange(40).reshape(10, 4) % 11).astype(dtype)
    index = Index(4, metric="l2")
    index.add(rows)
    index.add(rows.tolist())
    index.add([tuple(row) for row in rows.tolist()])
    for base in (0, 10, 20):
        assert all(np.array_equal(index.get(base + j), rows[j]) for j in range(10))
    assert index.search(rows[3], k=1).distances.tolist() == [0.0]
    assert index.search(rows, k=1).distances.tolist() == [[0.0]] * 10


def layouts(rows, folder):
    wide = np.zeros((len(rows), 2 * rows.shape[1]), dtype=np.float32)
    wide[:, ::2] = rows
    yield "strided columns", wide[:, ::2]
    yield "strided rows", np.repeat(rows, 2, axis=0)[::2]
    yield "fortran", np.asfortranarray(rows)
    yield "negative", rows[::-1, ::-1].copy()[::-1, ::-1]
    yield "transposed", rows.T.copy().T
    frozen = rows.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    raw = np.empty(rows.nbytes + 1, dtype=np.uint8)
    unaligned = raw[1:].view(np.float32).reshape(rows.shape)
    unaligned[:] = rows
    yield "unaligned", unaligned
    np.save(folder / "rows.npy", rows)
    yield "memory map", np.load(folder / "rows.npy", mmap_mode="r")
    yield "swapped bytes", rows.astype(">f4")
    yield "memoryview", memoryview(rows)


def test_memory_layouts(tools, tmp_path):
    rows = tools.clustered(30, 6)
    plain = Index(6)
    plain.add(rows)
    expected = plain.search(rows, k=4)
    for name, array in layouts(rows, tmp_path):
        index = Index(6)
        index.add(array)
        assert all(np.array_equal(index.get(j), rows[j]) for j in range(30)), name
        found = index.search(array, k=4)
        assert np.array_equal(found.ids, expected.ids), name
        assert np.array_equal(found.distances, expected.distances), name
        if name != "memoryview":
            assert np.array_equal(index.search(array[3], k=4).ids, expected.ids[3]), name


def test_input_arrays_are_not_kept(tools):
    rows = tools.clustered(20, 4)
    mine = rows.copy()
    index = Index(4)
    index.add(mine)
    mine[:] = 0
    assert all(np.array_equal(index.get(j), rows[j]) for j in range(20))


def test_grows_by_itself(tools):
    """Many small calls, over the border between flat and graph and over refits."""
    rows = tools.clustered(5000, 12)
    index = Index(12, metric="l2")
    sizes = itertools.cycle([1, 7, 40, 300])
    done = 0
    while done < len(rows):
        size = next(sizes)
        index.add(rows[done : done + size])
        done += size
        assert len(index) == min(done, len(rows))
    assert index.stats()["graph"]
    assert index.verify(deep=True)["vectors"] == 5000
    found = index.search(rows[::50], k=1, ef=100).ids[:, 0]
    assert (found == np.arange(0, 5000, 50)).mean() >= 0.99


@pytest.mark.parametrize("threads", [0, 1, 2, 3, 17, 1024])
def test_threads_do_not_change_results(tools, threads):
    rows = tools.clustered(1200, 8)
    index = Index(8)
    index.add(rows, threads=threads)
    found = index.search(rows[:100], threads=threads)
    alone = [index.search(row) for row in rows[:100]]
    assert np.array_equal(found.ids, [one.ids for one in alone])
    assert np.array_equal(found.distances, [one.distances for one in alone])


def test_ef_below_k_is_raised(tools):
    rows = tools.clustered(1000, 8)
    index = Index(8)
    index.add(rows)
    few = index.search(rows[0], k=50, ef=1)
    same = index.search(rows[0], k=50, ef=50)
    assert (few.ids >= 0).all()
    assert np.array_equal(few.ids, same.ids)
    default = index.search(rows[0], k=10)
    assert np.array_equal(default.ids, index.search(rows[0], k=10, ef=64).ids)
    assert (index.search(rows[0], k=10, ef=2**31 - 1).ids >= 0).all()


def test_numpy_scalars_are_parameters(tools):
    index = Index(np.int64(8), m=np.uint8(8), ef_construction=np.int16(50), seed=np.uint64(3))
    index.add(tools.clustered(20, 8), threads=np.int8(1))
    assert index.search(np.ones(8), k=np.int32(3), ef=np.int64(9)).ids.shape == (3,)


def test_context_manager_closes():
    with Index(2) as index:
        index.add([1, 2])
        assert len(index) == 1
    with pytest.raises(ValueError, match="closed"):
        len(index)
    with pytest.raises(RuntimeError, match="mine"), Index(2) as index:
        raise RuntimeError("mine")
    index.close()


def test_repr():
    index = Index(300, metric="ip")
    assert repr(index) == "<sutra.Index 0 vectors, dim 300, ip>"
    index.add(np.ones((1234, 300)))
    assert repr(index) == "<sutra.Index 1,234 vectors, dim 300, ip>"
    index.close()
    assert repr(index) == "<sutra.Index closed, dim 300, ip>"


def test_subclasses_work():
    class Mine(Index):
        pass

    index = Mine(2)
    index.add([1, 2])
    assert isinstance(index, sutra.Index)
    assert len(index) == 1


def test_stats_keys_and_bytes(tools):
    index = Index(100, m=24, ef_construction=60, quantization="u8", metric="l2", seed=9)
    keys = set(index.stats())
    assert keys == {
        "count", "removed", "dim", "metric", "m", "ef_construction", "quantization",
        "keep_originals", "seed", "graph", "levels", "tuned_ef", "bytes_per_vector",
        "resident_bytes", "mapped_bytes", "resident", "kernels", "path",
    }  # fmt: skip
    index.add(tools.clustered(1000, 100), ids=np.arange(1000) * 2)
    stats = index.stats()
    assert set(stats) == keys
    expected = {
        "count": 1000, "dim": 100, "metric": "l2", "m": 24, "ef_construction": 60,
        "quantization": "u8", "keep_originals": True, "seed": 9, "graph": True,
        "tuned_ef": None, "mapped_bytes": 0, "resident": "arena", "path": None,
    }  # fmt: skip
    assert {key: stats[key] for key in expected} == expected
    per_vector = stats["bytes_per_vector"]
    assert per_vector["codes"] == 128  # two planes of 64 bytes: 100 rounded up to 128 nibbles
    assert per_vector["corrections"] == 8
    assert per_vector["ids"] == 8
    assert per_vector["originals"] == 400
    assert 4 * 48 <= per_vector["links"] <= 4 * 48 + 16
    for part, nbytes in stats["resident_bytes"].items():
        assert nbytes == pytest.approx(1000 * per_vector[part], rel=0.01, abs=8192)
    assert stats["kernels"] == sutra.platform()["isa"]["chosen"]
    assert 1 <= stats["levels"] <= 8


@pytest.mark.parametrize("dim", [1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 64, 100, 128, 200, 1023])
def test_odd_dimensions(dim):
    rows = np.random.default_rng(dim).standard_normal((600, dim)).astype(np.float32)
    for quantization in ("u8", "u4", "none"):
        index = Index(dim, metric="l2", quantization=quantization)
        index.add(rows)
        assert np.array_equal(index.get(599), rows[599])
        found = index.search(rows[:50], k=1, ef=100)
        assert (found.ids[:, 0] == np.arange(50)).mean() >= 0.98
        assert index.verify(deep=True)["vectors"] == 600


def test_largest_dimension():
    rows = np.random.default_rng(0).standard_normal((520, 16384)).astype(np.float32)
    index = Index(16384, ef_construction=20)
    index.add(rows)
    assert index.search(rows[77], k=1).ids.tolist() == [77]
