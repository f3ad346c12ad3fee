"""Index: what is refused, in which words, and that a refusal changes nothing."""

import copy
import pickle

import numpy as np
import pytest

from sutra import Index
from sutra.errors import (
    CapacityError,
    ClosedError,
    ConfigError,
    DimensionError,
    DTypeError,
    DuplicateIdError,
    InvalidVectorError,
    NotFoundError,
)

DIM = 4
LARGEST = 2**63 - 1


@pytest.fixture(params=["flat", "graph"])
def index(request, tools):
    index = Index(DIM, metric="l2")
    index.add(tools.clustered(20 if request.param == "flat" else 600, DIM))
    index.add(tools.clustered(2, DIM, seed=1), ids=[5000, 4000])
    return index


@pytest.fixture
def unchanged(index, tools):
    """Check afterwards that the index is as it was, and numbers new vectors as it would have."""
    queries = tools.clustered(10, DIM, seed=2)
    before, ids = index.search(queries), index.ids()
    vectors = [index.get(number) for number in ids]
    yield
    after = index.search(queries)
    assert len(index) == len(ids)
    assert np.array_equal(index.ids(), ids)
    assert np.array_equal(after.ids, before.ids)
    assert np.array_equal(after.distances, before.distances)
    assert all(np.array_equal(index.get(n), v) for n, v in zip(ids, vectors, strict=True))
    index.verify(deep=True)
    assert index.add(queries[:2]).tolist() == [5001, 5002]


@pytest.mark.parametrize(
    "vectors",
    [
        pytest.param(np.ones((2, 3)), id="short"),
        pytest.param(np.ones((2, 5)), id="long"),
        pytest.param(np.ones(3), id="one short"),
        pytest.param(np.ones((2, 2, 4)), id="three dimensions"),
        pytest.param(np.float32(1), id="scalar"),
        pytest.param([], id="empty list"),
        pytest.param([[]], id="empty row"),
        pytest.param([[1, 2, 3, 4], [1, 2]], id="ragged"),
        pytest.param(np.ones((4, 2)), id="transposed"),
    ],
)
def test_wrong_shapes(index, unchanged, vectors):
    for call in (index.add, index.search):
        with pytest.raises(DimensionError) as caught:
            call(vectors)
        assert isinstance(caught.value, ValueError)
    if not isinstance(vectors, list) and np.ndim(vectors) in (1, 2):
        with pytest.raises(DimensionError, match=rf"length 4, not {vectors.shape[-1]}"):
            index.add(vectors)


@pytest.mark.parametrize(
    "vectors",
    [
        pytest.param(["a", "b", "c", "d"], id="strings"),
        pytest.param(np.ones((2, 4), dtype=complex), id="complex"),
        pytest.param(np.ones((2, 4), dtype=object), id="objects"),
        pytest.param(np.ones((2, 4), dtype=bool), id="booleans"),
        pytest.param(np.zeros((2, 4), dtype="M8[s]"), id="dates"),
        pytest.param(np.zeros((2, 4), dtype="V4"), id="void"),
        pytest.param([2**70, 1, 2, 3], id="huge integers"),
        pytest.param(None, id="none"),
        pytest.param(b"1234", id="bytes"),
    ],
)
def test_wrong_element_types(index, unchanged, vectors):
    for call in (index.add, index.search):
        with pytest.raises(DTypeError, match="real numbers") as caught:
            call(vectors)
        assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g"])
@pytest.mark.parametrize("row", [0, 3, 6])
def test_nan_and_infinity_name_the_row(index, unchanged, value, dtype, row):
    rows = np.ones((7, DIM), dtype=dtype)
    rows[row, 2] = value
    rows[6, 1] = np.nan
    for call in (index.add, index.search):
        with pytest.raises(InvalidVectorError, match=rf"row {row}\b") as caught:
            call(rows)
        assert caught.value.row == row
        assert isinstance(caught.value, ValueError)
    for call in (index.add, index.search):
        with pytest.raises(InvalidVectorError) as caught:
            call(rows[row])
        assert caught.value.row == 0


@pytest.mark.parametrize("dtype", ["f8", "g"])
def test_values_beyond_float32(index, unchanged, dtype):
    rows = np.ones((5, DIM), dtype=dtype)
    rows[3, 1] = 1e39
    for call in (index.add, index.search):
        with pytest.raises(InvalidVectorError, match=r"row 3\b") as caught:
            call(rows)
        assert caught.value.row == 3


def test_squared_length_beyond_float32(index, unchanged):
    rows = np.ones((5, DIM), dtype=np.float32)
    rows[2] = 1.5e19
    with pytest.raises(InvalidVectorError, match=r"row 2\b") as caught:
        index.add(rows)
    assert caught.value.row == 2


@pytest.mark.parametrize("number", [0, 4000, 5000])
def test_ids_in_use(index, unchanged, number):
    with pytest.raises(DuplicateIdError, match=rf"id {number}\b") as caught:
        index.add(np.ones((3, DIM)), ids=[6000, number, 7000])
    assert caught.value.id == number
    assert isinstance(caught.value, ValueError)
    with pytest.raises(DuplicateIdError):
        index.add(np.ones(DIM), ids=number)
    assert 6000 not in index


def test_ids_given_twice(index, unchanged):
    with pytest.raises(DuplicateIdError, match="id 9000") as caught:
        index.add(np.ones((3, DIM)), ids=[9000, 8000, 9000])
    assert caught.value.id == 9000
    with pytest.raises(DuplicateIdError):
        index.add(np.ones((2, DIM)), ids=[0, 0])


def test_negative_ids(index, unchanged):
    for number in (-1, -5, -(2**63)):
        with pytest.raises(ConfigError, match=rf"negative.*id {number}\b"):
            index.add(np.ones((2, DIM)), ids=[6000, number])


def test_wrong_number_of_ids(index, unchanged):
    for ids in ([1], [1, 2, 3], [[6000, 7000]], [], 5, np.zeros((2, 1), dtype=int)):
        with pytest.raises(DimensionError, match="ids: expected 2"):
            index.add(np.ones((2, DIM)), ids=ids)
    with pytest.raises(DimensionError, match="ids: expected 0"):
        index.add(np.empty((0, DIM)), ids=[1])


@pytest.mark.parametrize(
    "ids",
    [
        [6000.0, 7000.0],
        ["6000", "7000"],
        [True, False],
        [None, None],
        [2**64, 2**65],
        np.array([6000, 7000], dtype=object),
        np.array([6000, 7000], dtype=complex),
    ],
)
def test_wrong_types_of_ids(index, unchanged, ids):
    with pytest.raises(DTypeError, match="ids: expected integers"):
        index.add(np.ones((2, DIM)), ids=ids)


def test_ids_beyond_int64(index, unchanged):
    for ids in ([2**63, 2**63 + 1], np.array([6000, 2**64 - 1], dtype=np.uint64)):
        with pytest.raises(ConfigError, match=r"below 2\*\*63"):
            index.add(np.ones((2, DIM)), ids=ids)


def test_the_largest_id_leaves_no_next():
    index = Index(DIM)
    assert index.add(np.ones(DIM), ids=LARGEST) == [LARGEST]
    assert LARGEST in index
    assert index.search(np.ones(DIM), k=1).ids == [LARGEST]
    with pytest.raises(CapacityError):
        index.add(np.ones(DIM))
    assert index.add(np.ones(DIM), ids=[LARGEST - 1]) == [LARGEST - 1]
    with pytest.raises(CapacityError):
        index.add(np.ones(DIM))
    assert len(index) == 2


def test_the_largest_id_is_taken_once():
    index = Index(DIM)
    index.add(np.ones(DIM), ids=LARGEST)
    with pytest.raises(DuplicateIdError):
        index.add(np.ones(DIM), ids=LARGEST)
    assert len(index) == 1


@pytest.mark.parametrize("k", [0, -1, -(2**70), 2**20 + 1, 2**64, 2**200])
def test_impossible_k(index, unchanged, k):
    with pytest.raises(ConfigError, match=r"k=-?\d+: expected 1 to 1048576"):
        index.search(np.ones(DIM), k=k)


@pytest.mark.parametrize("name", ["k", "ef", "threads"])
@pytest.mark.parametrize("value", [1.0, "1", True, np.True_, [1], 1j, np.float32(2)])
def test_parameters_that_are_no_integers(index, unchanged, name, value):
    with pytest.raises(TypeError, match=f"{name}: expected an integer"):
        index.search(np.ones((2, DIM)), **{name: value})


@pytest.mark.parametrize("ef", [0, -1, 2**31, 2**64])
def test_impossible_ef(index, unchanged, ef):
    with pytest.raises(ConfigError, match="ef="):
        index.search(np.ones(DIM), ef=ef)


@pytest.mark.parametrize("threads", [-1, 1025, 2**40])
def test_impossible_threads(index, unchanged, threads):
    for call in (index.search, index.add):
        with pytest.raises(ConfigError, match="threads="):
            call(np.ones((2, DIM)), threads=threads)
    with pytest.raises(ConfigError, match="threads="):
        index.search(np.ones(DIM), threads=threads)


@pytest.mark.parametrize("number", [6000, -1, -(2**63), LARGEST])
def test_get_of_what_is_not_there(index, unchanged, number):
    with pytest.raises(NotFoundError, match=rf"id {number}\b") as caught:
        index.get(number)
    assert isinstance(caught.value, KeyError)
    assert caught.value.id == number


@pytest.mark.parametrize("number", [1.0, "0", None, True, [0]])
def test_get_with_a_wrong_type(index, unchanged, number):
    with pytest.raises(TypeError, match="id: expected an integer"):
        index.get(number)


def test_get_beyond_int64(index, unchanged):
    for number in (2**63, -(2**63) - 1, 2**100):
        with pytest.raises(ConfigError):
            index.get(number)


@pytest.mark.parametrize(
    "wrong",
    [
        {"dim": 0},
        {"dim": -1},
        {"dim": 16385},
        {"dim": 2**32},
        {"dim": 2**100},
        {"m": 0},
        {"m": 1},
        {"m": 12},
        {"m": 40},
        {"m": -16},
        {"m": 2**64},
        {"ef_construction": 0},
        {"ef_construction": -1},
        {"ef_construction": 4097},
        {"ef_construction": 2**40},
        {"seed": -1},
        {"seed": 2**64},
        {"metric": "cos"},
        {"metric": "L2"},
        {"metric": None},
        {"metric": ["l2"]},
        {"quantization": "u2"},
        {"quantization": None},
        {"quantization": b"u8"},
        {"quantization": "none", "keep_originals": False},
    ],
    ids=str,
)
def test_absurd_options(wrong):
    with pytest.raises(ConfigError) as caught:
        Index(**{"dim": 8, **wrong})
    assert isinstance(caught.value, ValueError)
    assert list(wrong)[-1] in str(caught.value)


@pytest.mark.parametrize("name", ["dim", "m", "ef_construction", "seed"])
@pytest.mark.parametrize("value", [8.0, "8", None, True])
def test_options_that_are_no_integers(name, value):
    with pytest.raises(TypeError, match=f"{name}: expected an integer"):
        Index(**{"dim": 8, name: value})


def test_unknown_arguments():
    with pytest.raises(TypeError):
        Index()
    with pytest.raises(TypeError):
        Index(8, "l2")
    with pytest.raises(TypeError):
        Index(8, M=16)


@pytest.mark.parametrize(
    "call",
    [
        lambda index, path: index.add(np.ones((2, DIM))),
        lambda index, path: index.add(np.ones(DIM), ids=[3]),
        lambda index, path: index.search(np.ones(DIM)),
        lambda index, path: index.search(np.ones((3, DIM)), exact=True),
        lambda index, path: index.search(np.empty((0, DIM))),
        lambda index, path: index.get(0),
        lambda index, path: 0 in index,
        lambda index, path: len(index),
        lambda index, path: index.ids(),
        lambda index, path: index.stats(),
        lambda index, path: index.save(path),
        lambda index, path: index.verify(),
        lambda index, path: index.verify(deep=True),
    ],
    ids=[
        "add", "add-ids", "search", "search-exact", "search-nothing", "get", "in", "len", "ids",
        "stats", "save", "verify", "verify-deep",
    ],
)  # fmt: skip
def test_use_after_close(index, tmp_path, call):
    path = tmp_path / "file"
    index.close()
    index.close()
    for _ in range(2):
        with pytest.raises(ClosedError, match="closed") as caught:
            call(index, path)
        assert isinstance(caught.value, ValueError)
    assert not list(tmp_path.iterdir())
    assert index.dim == DIM
    assert index.metric == "l2"


def test_use_before_init():
    index = Index.__new__(Index)
    for call in (index.stats, index.ids, lambda: len(index), lambda: index.search([])):
        with pytest.raises(ClosedError):
            call()
    index.close()


def test_pickling_and_copying_are_refused(index, unchanged):
    for call in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled: save it"):
            call(index)


def test_attributes_are_read_only(index, unchanged):
    for name, value in (("dim", 8), ("metric", "ip"), ("path", "x"), ("other", 1)):
        with pytest.raises(AttributeError):
            setattr(index, name, value)
