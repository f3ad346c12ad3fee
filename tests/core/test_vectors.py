"""VectorStore: appending, copies, views that never move, closing, bad input."""

import ctypes
import gc
import pickle
import threading
import weakref
import zlib

import numpy as np
import pytest

from sutra import VectorStore
from sutra.errors import ClosedError, ConfigError, DimensionError, DTypeError, InvalidVectorError


def rows_of(count, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def hash_of(buffer):
    """Takes a contiguous buffer and nothing else."""
    return zlib.crc32(buffer)


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 5, 8, 31, 128, 16384])
def test_rows_come_back_as_given(dim):
    data = rows_of(50, dim)
    store = VectorStore(dim)
    assert store.append(data[:20]) == 0
    assert store.append(data[20]) == 20
    assert store.append(data[21:]) == 21
    assert len(store) == 50
    assert store.dim == dim
    assert store.nbytes == 50 * 4 * -(-dim // 4) * 4
    np.testing.assert_array_equal(store.view(), data)
    np.testing.assert_array_equal(np.asarray(store), data)
    order = [49, 0, 7, 7]
    gathered = store.gather(order)
    np.testing.assert_array_equal(gathered, data[order])
    assert gathered.flags.c_contiguous
    assert gathered.flags.writeable


@pytest.mark.parametrize("convert", [
    lambda x: x.astype(np.float64),
    lambda x: x.astype(np.float16),
    lambda x: np.asfortranarray(x),
    lambda x: np.repeat(x, 2, axis=0)[::2],
    lambda x: np.repeat(x, 3, axis=1)[:, ::3],
    lambda x: x[::-1],
    lambda x: x.tolist(),
    lambda x: (x * 10).astype(np.int8),
])  # fmt: skip
def test_any_array_like_is_converted(convert):
    given = convert(rows_of(9, 5))
    store = VectorStore(5)
    store.append(given)
    np.testing.assert_array_equal(store.view(), np.asarray(given, dtype=np.float32))


def test_empty_store_and_empty_append():
    store = VectorStore(3)
    assert len(store) == store.nbytes == 0
    assert store.view().shape == (0, 3)
    assert store.gather([]).shape == (0, 3)
    assert store.append(np.empty((0, 3))) == 0
    assert len(store) == 0


def test_a_view_is_read_only_aligned_and_stays_while_the_store_grows():
    store = VectorStore(3)
    store.append([[1, 2, 3], [4, 5, 6]])
    view = store.view()
    address = view.ctypes.data
    assert address % 64 == 0
    assert view.strides == (16, 4)
    assert not view.flags.writeable
    with pytest.raises(ValueError):
        view[0, 0] = 1
    with pytest.raises(ValueError):
        view.flags.writeable = True
    for _ in range(50):
        store.append(rows_of(2000, 3))
    assert view.shape == (2, 3)
    np.testing.assert_array_equal(view, [[1, 2, 3], [4, 5, 6]])
    assert store.view().ctypes.data == address
    assert np.shares_memory(store.view(1, 2), view)


def test_views_of_ranges():
    data = rows_of(10, 4)
    store = VectorStore(4)
    store.append(data)
    np.testing.assert_array_equal(store.view(3), data[3:])
    np.testing.assert_array_equal(store.view(3, 7), data[3:7])
    assert store.view(10).shape == (0, 4)
    for start, stop in [(-1, 3), (0, 11), (4, 3), (11, None), (2**70, None)]:
        with pytest.raises(IndexError, match="10"):
            store.view(start, stop)
    with pytest.raises(TypeError):
        store.view(1.5)


def test_a_view_keeps_the_store_alive():
    store = VectorStore(2)
    store.append([[1, 2]])
    alive = weakref.ref(store)
    view = store.view()[:, 1:]
    del store
    gc.collect()
    assert alive() is not None
    assert view[0, 0] == 2
    del view
    gc.collect()
    assert alive() is None


def test_the_buffer_protocol_says_what_it_is():
    store = VectorStore(3)
    store.append([[1, 2, 3], [4, 5, 6]])
    with memoryview(store) as view:
        assert view.format == "f"
        assert view.shape == (2, 3)
        assert view.strides == (16, 4)
        assert view.readonly
        assert view.tolist() == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(BufferError, match="strided"):
        hash_of(store)
    with pytest.raises((BufferError, TypeError)):
        (ctypes.c_char * 4).from_buffer(store)  # asks for a writable buffer
    packed = VectorStore(4)
    packed.append(rows_of(2, 4))
    assert hash_of(packed) == hash_of(packed.view().tobytes())


def test_close_refuses_while_views_are_in_use():
    store = VectorStore(2)
    store.append([[1, 2]])
    view = store.view()
    with pytest.raises(BufferError, match="1 views"):
        store.close()
    assert not store.closed
    assert len(store) == 1
    del view
    gc.collect()
    store.close()
    store.close()
    assert store.closed
    assert "closed" in repr(store)
    for call in (
        lambda: len(store),
        lambda: store.nbytes,
        lambda: store.append([[1, 2]]),
        lambda: store.gather([0]),
        lambda: store.view(),
        lambda: memoryview(store),
        lambda: store.__enter__(),
    ):
        with pytest.raises(ClosedError):
            call()
    assert store.dim == 2


def test_context_manager():
    with VectorStore(2) as store:
        store.append([1, 2])
        assert "1 vectors" in repr(store)
    assert store.closed


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_with_their_row(bad):
    store = VectorStore(4)
    store.append(rows_of(3, 4))
    for dtype in (np.float16, np.float32, np.float64):
        data = rows_of(6, 4).astype(dtype)
        data[4, 2] = bad
        with pytest.raises(InvalidVectorError) as caught:
            store.append(data)
        assert caught.value.row == 4
    with pytest.raises(InvalidVectorError):
        store.append(np.full((1, 4), 1e300))
    assert len(store) == 3


def test_wrong_shapes_and_types_are_refused():
    store = VectorStore(4)
    for shape in [(3,), (5,), (2, 3), (2, 5), (1, 2, 4), ()]:
        with pytest.raises(DimensionError):
            store.append(np.zeros(shape))
    with pytest.raises(DimensionError):
        store.append([[1, 2, 3, 4], [1]])
    for dtype in (np.complex64, bool, "U1", object):
        with pytest.raises(DTypeError):
            store.append(np.zeros((1, 4)).astype(dtype))
    assert len(store) == 0


@pytest.mark.parametrize("dim", [0, -1, 16385, 2**70])
def test_bad_dim_is_refused(dim):
    with pytest.raises(ConfigError, match="16384"):
        VectorStore(dim)


@pytest.mark.parametrize("dim", [1.5, "3", None, True])
def test_dim_must_be_an_integer(dim):
    with pytest.raises(TypeError):
        VectorStore(dim)


def test_bad_row_numbers_are_refused():
    store = VectorStore(2)
    store.append(rows_of(5, 2))
    for bad in ([5], [0, -1], [2**62], np.array([2**63], dtype=np.uint64), [-(2**63)]):
        with pytest.raises(IndexError):
            store.gather(bad)
    with pytest.raises(IndexError, match=r"rows\[2\] is 9"):
        store.gather([1, 2, 9])
    for bad in ([0.5], ["a"], [True], [None]):
        with pytest.raises(DTypeError):
            store.gather(bad)
    for bad in (3, [[1]]):
        with pytest.raises(DimensionError):
            store.gather(bad)
    with pytest.raises(IndexError, match="no rows"):
        VectorStore(2).gather([0])


def test_it_cannot_be_pickled():
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(VectorStore(2))


def test_threads_append_whole_blocks_while_others_read():
    store = VectorStore(8)
    blocks, done = 40, threading.Event()
    torn = []

    def read():
        while not done.is_set():
            view = store.view()
            if len(view):
                numbers = store.gather(np.arange(len(view))[-64:])
                torn.extend(row for row in numbers if not (row == row[0]).all())

    def append(worker):
        for block in range(blocks):
            first = store.append(np.full((50, 8), worker * blocks + block))
            if not (store.view(first, first + 50) == worker * blocks + block).all():
                torn.append(first)

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=append, args=(worker,)) for worker in range(3)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert torn == []
    values, counts = np.unique(store.view()[:, 0], return_counts=True)
    assert len(values) == 3 * blocks
    assert (counts == 50).all()
