"""AlignedBuffer: alignment, sizes, views, resizing, closing, bad input."""

import copy
import ctypes
import gc
import pickle
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from sutra import AlignedBuffer
from sutra.errors import ClosedError, ConfigError

MIB = 1 << 20
ALIGNMENTS = [64 << shift for shift in range(16)]


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("nbytes", [0, 1, 63, 4096, 2 * MIB - 1, 2 * MIB, 5 * MIB + 7])
def test_memory_is_aligned_zero_and_writable(nbytes, alignment):
    buffer = AlignedBuffer(nbytes, alignment=alignment)
    assert buffer.address % alignment == 0
    assert buffer.alignment == alignment
    assert buffer.nbytes == len(buffer) == nbytes
    array = np.asarray(buffer)
    assert array.dtype == np.uint8
    assert array.shape == (nbytes,)
    assert not array.any()
    array[:] = 7
    if nbytes:
        assert array.ctypes.data == buffer.address
        assert memoryview(buffer)[nbytes - 1] == 7


def test_default_alignment_is_a_cache_line():
    assert AlignedBuffer(10).alignment == 64


@pytest.mark.parametrize("alignment", [-64, 0, 1, 8, 32, 63, 65, 96, 4 * MIB, 2 * MIB + 1, 2**70])
def test_bad_alignment_is_refused(alignment):
    with pytest.raises(ConfigError, match="power of two"):
        AlignedBuffer(100, alignment=alignment)


def test_bad_sizes_are_refused():
    with pytest.raises(ConfigError, match="negative"):
        AlignedBuffer(-1)
    for nbytes in (2**62, sys.maxsize, sys.maxsize + 1, 2**200):
        with pytest.raises(MemoryError):
            AlignedBuffer(nbytes)
    for nbytes in (1.5, "10", None):
        with pytest.raises(TypeError):
            AlignedBuffer(nbytes)


def test_numpy_integers_are_sizes():
    assert AlignedBuffer(np.int64(100), alignment=np.uint32(128)).nbytes == 100


@pytest.mark.parametrize("huge_pages", ["auto", "never", "advise"])
@pytest.mark.parametrize("nbytes", [MIB, 2 * MIB, 8 * MIB])
def test_huge_page_settings(huge_pages, nbytes):
    buffer = AlignedBuffer(nbytes, huge_pages=huge_pages)
    assert buffer.huge_pages == huge_pages
    np.asarray(buffer)[:] = 1
    if huge_pages == "never" or nbytes == MIB or (huge_pages == "auto" and nbytes < 4 * MIB):
        assert not buffer.advised


@pytest.mark.parametrize("huge_pages", ["always", "", None, True, 3, ["auto"]])
def test_bad_huge_page_settings_are_refused(huge_pages):
    with pytest.raises(ConfigError, match='"auto", "never" or "advise"'):
        AlignedBuffer(100, huge_pages=huge_pages)


def test_views_share_the_memory():
    buffer = AlignedBuffer(64)
    view = memoryview(buffer)
    array = np.frombuffer(buffer, dtype=np.float32)
    array[3] = 1.0
    assert view[12:16].tobytes() == np.float32(1.0).tobytes()
    assert (view.format, view.itemsize, view.ndim, view.shape, view.strides) == (
        "B",
        1,
        1,
        (64,),
        (1,),
    )
    assert not view.readonly
    assert view.c_contiguous


@pytest.mark.parametrize("flags", [0, 0x1, 0x4, 0x8, 0x18, 0x1C, 0x11C, 0x1F9])
def test_every_kind_of_export_is_consistent(flags):
    """Views ask for no more than they need; what they did not ask for must be absent."""

    class Request(ctypes.Structure):
        _fields_ = [
            ("buf", ctypes.c_void_p),
            ("obj", ctypes.c_void_p),
            ("len", ctypes.c_ssize_t),
            ("itemsize", ctypes.c_ssize_t),
            ("readonly", ctypes.c_int),
            ("ndim", ctypes.c_int),
            ("format", ctypes.c_char_p),
            ("shape", ctypes.POINTER(ctypes.c_ssize_t)),
            ("strides", ctypes.POINTER(ctypes.c_ssize_t)),
            ("suboffsets", ctypes.c_void_p),
            ("internal", ctypes.c_void_p),
        ]

    buffer = AlignedBuffer(100)
    request = Request()
    get = ctypes.pythonapi.PyObject_GetBuffer
    get.argtypes = [ctypes.py_object, ctypes.POINTER(Request), ctypes.c_int]
    assert get(buffer, request, flags) == 0
    assert request.buf == buffer.address
    assert (request.len, request.itemsize, request.ndim) == (100, 1, 1)
    assert request.readonly == 0
    assert (request.format is not None) == bool(flags & 0x4)
    assert bool(request.shape) == bool(flags & 0x8)
    assert bool(request.strides) == (flags & 0x18 == 0x18)
    assert request.suboffsets is None
    with pytest.raises(BufferError):
        buffer.close()
    release = ctypes.pythonapi.PyBuffer_Release
    release.argtypes = [ctypes.POINTER(Request)]
    release.restype = None
    release(request)
    buffer.close()


def test_view_keeps_the_buffer_alive():
    buffer = AlignedBuffer(4 * MIB)
    array = np.asarray(buffer)
    array[:] = 3
    alive = weakref.ref(buffer)
    del buffer
    gc.collect()
    assert alive() is not None
    assert array.sum() == 3 * 4 * MIB
    del array
    gc.collect()
    assert alive() is None


def test_resize_keeps_the_prefix_and_zeroes_the_rest():
    buffer = AlignedBuffer(100, alignment=4096)
    with memoryview(buffer) as view:
        view[:] = bytes(range(100))
    for nbytes in (200, 3 * MIB, 50, 0, 10 * MIB, 60):
        with memoryview(buffer) as view:
            before = view.tobytes()
        buffer.resize(nbytes)
        assert buffer.nbytes == nbytes
        assert buffer.address % 4096 == 0
        with memoryview(buffer) as view:
            kept = min(len(before), nbytes)
            assert view[:kept] == before[:kept]
            assert view[kept:] == bytes(nbytes - kept)


def test_resize_and_close_wait_for_views():
    buffer = AlignedBuffer(100)
    first, second = memoryview(buffer), np.asarray(buffer)
    address = buffer.address
    for call in (buffer.close, lambda: buffer.resize(200)):
        with pytest.raises(BufferError, match="2 views"):
            call()
    first.release()
    with pytest.raises(BufferError, match="1 view"):
        buffer.resize(200)
    assert buffer.address == address
    assert not buffer.closed
    del second
    buffer.resize(200)
    buffer.close()


def test_failed_resize_changes_nothing():
    buffer = AlignedBuffer(100)
    np.asarray(buffer)[:] = 9
    with pytest.raises(MemoryError):
        buffer.resize(2**62)
    with pytest.raises(MemoryError):
        buffer.resize(2**100)
    with pytest.raises(ConfigError):
        buffer.resize(-1)
    with pytest.raises(TypeError):
        buffer.resize("10")
    assert buffer.nbytes == 100
    assert bytes(buffer) == bytes([9]) * 100
    buffer.resize(101)


def test_closed_buffer_refuses_everything():
    buffer = AlignedBuffer(100)
    assert not buffer.closed
    buffer.close()
    buffer.close()
    assert buffer.closed
    for use in (
        lambda: memoryview(buffer),
        lambda: np.frombuffer(buffer, np.uint8),
        lambda: buffer.nbytes,
        lambda: buffer.address,
        lambda: buffer.advised,
        lambda: len(buffer),
        lambda: buffer.resize(10),
        buffer.__enter__,
    ):
        with pytest.raises(ClosedError, match="closed"):
            use()
    assert buffer.alignment == 64
    assert buffer.huge_pages == "auto"
    assert "closed" in repr(buffer)


def test_context_manager_closes():
    with AlignedBuffer(100) as buffer:
        assert not buffer.closed
    assert buffer.closed


def test_context_manager_reports_views_left_behind():
    with pytest.raises(BufferError), AlignedBuffer(100) as buffer:
        view = memoryview(buffer)
    assert not buffer.closed
    view.release()
    buffer.close()


def test_neither_pickled_nor_copied():
    buffer = AlignedBuffer(100)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(buffer, protocol)
    with pytest.raises(TypeError, match="cannot be pickled"):
        copy.copy(buffer)


def test_repr_says_size_and_alignment():
    text = repr(AlignedBuffer(1000, alignment=256))
    assert "1000 bytes" in text
    assert "256" in text


def test_threads_count_exports_exactly():
    buffer = AlignedBuffer(1000)
    stop = threading.Event()
    surprises = []

    def export():
        while not stop.is_set():
            try:
                with memoryview(buffer) as view:
                    view[0] = 1
            except BufferError:
                pass  # a resize is under way
            except Exception as error:
                surprises.append(error)
            time.sleep(0.0002)

    workers = [threading.Thread(target=export) for _ in range(4)]
    for worker in workers:
        worker.start()
    refused = 0
    for nbytes in range(1000, 3000):
        try:
            buffer.resize(nbytes)
        except BufferError:
            refused += 1
    stop.set()
    for worker in workers:
        worker.join()
    assert surprises == []
    assert refused < 2000
    buffer.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is not enforced elsewhere")
def test_address_space_limit_gives_memory_error():
    code = """
import resource
from sutra import AlignedBuffer
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    AlignedBuffer(2 << 30)
except MemoryError:
    print("refused", AlignedBuffer(1 << 20).nbytes)
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["refused", str(1 << 20)], done.stderr
