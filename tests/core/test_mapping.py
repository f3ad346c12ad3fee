"""MappedFile: ranges, modes, hints, views, closing, and files that are not what they should be."""

import copy
import errno
import gc
import mmap
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

from sutra import MappedFile
from sutra.errors import ClosedError, ConfigError, CorruptError

PAGE = mmap.PAGESIZE
SECTION = 65536
HINTS = ["sequential", "random", "willneed", "dontneed", "hugepage", "populate"]


@pytest.fixture
def contents():
    return np.random.default_rng(5).integers(0, 256, 3 * SECTION + 777, dtype=np.uint8).tobytes()


@pytest.fixture
def path(tmp_path, contents):
    path = tmp_path / "file"
    path.write_bytes(contents)
    return path


@pytest.mark.parametrize("mode", ["shared", "private"])
def test_whole_file(path, contents, mode):
    file = MappedFile(path, mode=mode)
    assert bytes(file) == contents
    assert file.nbytes == len(file) == len(contents)
    assert file.mode == mode
    assert file.offset == 0
    assert file.path == str(path)
    array = np.asarray(file)
    assert array.dtype == np.uint8
    assert array.flags.writeable == (mode == "private")
    assert array.ctypes.data % PAGE == 0


@pytest.mark.parametrize("convert", [str, os.fsencode, Path])
def test_kinds_of_path(path, contents, convert):
    with MappedFile(convert(path)) as file:
        assert bytes(file) == contents


def test_strange_names(tmp_path):
    names = ["with space", "日本"]
    if sys.platform == "linux":  # elsewhere names have to be text
        names.append(os.fsdecode(b"\xff\xfe"))
    for name in names:
        path = tmp_path / name
        path.write_bytes(b"x")
        assert bytes(MappedFile(path)) == b"x"


@pytest.mark.parametrize("offset", [4096, 16384, 65536, 2 * 65536, 3 * 65536])
def test_offsets_of_every_page_size(path, contents, offset):
    if offset % PAGE:
        with pytest.raises(ConfigError, match=f"page size \\({PAGE} bytes\\)"):
            MappedFile(path, offset=offset)
        return
    with MappedFile(path, offset=offset) as file:
        assert bytes(file) == contents[offset:]
        assert file.offset == offset
    with MappedFile(path, offset=offset, nbytes=700) as file:
        assert bytes(file) == contents[offset : offset + 700]


@pytest.mark.parametrize("offset", [1, 512, 4095, 4097, 16383, 16385, 65535, 65537])
def test_unaligned_offsets_name_the_page_size(path, offset):
    with pytest.raises(ConfigError, match=f"page size \\({PAGE} bytes\\)") as caught:
        MappedFile(path, offset=offset)
    assert str(offset) in str(caught.value)


@pytest.mark.parametrize(
    ("offset", "nbytes"),
    [(0, 3 * SECTION + 778), (SECTION, 3 * SECTION), (4 * SECTION, None), (4 * SECTION, 0)],
)
def test_short_file_is_found_at_open(path, contents, offset, nbytes):
    with pytest.raises(CorruptError, match="shorter") as caught:
        MappedFile(path, offset=offset, nbytes=nbytes)
    assert caught.value.path == str(path)
    assert caught.value.offset == len(contents)
    assert f"expected {offset + (nbytes or 0)}, found {len(contents)}" in str(caught.value)


def test_truncated_file_is_found_at_open(path, contents):
    os.truncate(path, SECTION)
    with pytest.raises(CorruptError):
        MappedFile(path, nbytes=len(contents))
    assert len(MappedFile(path, nbytes=SECTION)) == SECTION


@pytest.mark.parametrize(
    "arguments",
    [
        {"offset": -1},
        {"offset": -PAGE},
        {"offset": 2**63},
        {"nbytes": -1},
        {"nbytes": 2**63},
        {"mode": "write"},
        {"mode": None},
        {"mode": 0},
    ],
)
def test_bad_arguments_are_refused(path, arguments):
    with pytest.raises(ConfigError):
        MappedFile(path, **arguments)


def test_wrong_types_are_refused(path):
    with pytest.raises(TypeError):
        MappedFile(7)
    with pytest.raises(TypeError):
        MappedFile(path, offset="0")
    with pytest.raises(TypeError):
        MappedFile(path, nbytes=1.0)
    with pytest.raises(ConfigError, match="null character"):
        MappedFile("a\0b")


@pytest.mark.parametrize("mode", ["shared", "private"])
def test_empty_file(tmp_path, mode):
    path = tmp_path / "empty"
    path.touch()
    with MappedFile(path, mode=mode) as file:
        assert len(file) == 0
        assert bytes(file) == b""
        assert file.resident_bytes == 0
        for hint in HINTS:
            assert file.advise(hint)
        assert np.asarray(file).shape == (0,)


def test_empty_range(path):
    with MappedFile(path, offset=SECTION, nbytes=0) as file:
        assert len(file) == 0


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        MappedFile(tmp_path / "missing")
    assert caught.value.filename == str(tmp_path / "missing")
    assert caught.value.errno == errno.ENOENT


def test_directory(tmp_path):
    with pytest.raises(IsADirectoryError):
        MappedFile(tmp_path)


def test_devices_and_pipes(tmp_path):
    with pytest.raises(OSError) as caught:
        MappedFile("/dev/zero")
    assert caught.value.errno == errno.ENOTSUP
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError) as caught:
        MappedFile(tmp_path / "pipe")  # and does not wait for a writer
    assert caught.value.errno == errno.ENOTSUP


def test_no_permission(path):
    path.chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            MappedFile(path)
        return
    # Root may read everything: ask as somebody else, after all imports are done.
    code = f"""
import os
from sutra import MappedFile
os.setgid(65534)
os.setuid(65534)
try:
    MappedFile({str(path)!r})
except PermissionError as error:
    print("refused", error.filename)
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["refused", str(path)], done.stderr


def test_shared_is_read_only(path):
    file = MappedFile(path)
    view = memoryview(file)
    assert view.readonly
    with pytest.raises(TypeError):
        view[0] = 1
    with open(os.devnull, "rb") as source, pytest.raises((BufferError, TypeError)):
        source.readinto(file)


def test_private_changes_never_reach_the_file(path, contents):
    private, shared = MappedFile(path, mode="private"), MappedFile(path)
    array = np.asarray(private)
    array[:] = 0xEE
    assert path.read_bytes() == contents
    assert bytes(shared) == contents
    # Nor does a hint take them back.
    assert "private" in private.advise("dontneed")
    assert (array == 0xEE).all()
    del array
    private.close()
    assert path.read_bytes() == contents


def test_mapping_outlives_replacement_of_the_file(path, contents):
    file = MappedFile(path)
    other = path.with_name("other")
    other.write_bytes(b"new")
    other.replace(path)
    assert bytes(file) == contents
    assert bytes(MappedFile(path)) == b"new"


@pytest.mark.parametrize("mode", ["shared", "private"])
@pytest.mark.parametrize("hint", HINTS)
def test_hints(path, contents, hint, mode):
    with MappedFile(path, mode=mode) as file:
        for arguments in [
            (),
            (0,),
            (5000,),
            (5000, 100),
            (0, len(contents)),
            (len(contents) - 1, 1),
        ]:
            reason = file.advise(hint, *arguments)
            assert reason is None or len(reason) > 10
        assert file.advise(hint, offset=0, nbytes=0) == "the range is empty"
        assert file.advise(hint, len(contents)) == "the range is empty"
        assert bytes(file) == contents


@pytest.mark.skipif(sys.platform != "linux", reason="the hints of Linux")
@pytest.mark.parametrize("hint", ["sequential", "random", "willneed", "dontneed"])
def test_linux_takes_the_common_hints(path, hint):
    with MappedFile(path) as file:
        assert file.advise(hint) is None


def test_bad_hints_and_ranges(path, contents):
    size = len(contents)
    with MappedFile(path) as file:
        for hint in ("", "WILLNEED", "free", None, 3, ["random"]):
            with pytest.raises(ConfigError, match="sequential, random, willneed"):
                file.advise(hint)
        for arguments in [(size + 1,), (0, size + 1), (size, 1), (10, size - 9), (sys.maxsize, 1)]:
            with pytest.raises(ConfigError, match="not inside"):
                file.advise("random", *arguments)
        for arguments in [(-1,), (0, -1), (2**63,), (0, 2**70)]:
            with pytest.raises(ConfigError):
                file.advise("random", *arguments)
        with pytest.raises(TypeError):
            file.advise("random", 0.5)


def test_populate_reports_lost_pages_instead_of_a_signal(path, contents):
    with MappedFile(path) as file:
        os.truncate(path, SECTION)
        try:
            reason = file.advise("populate")
        except OSError as error:
            seen = (error.errno, error.filename)
        else:
            pytest.skip(reason)
    assert seen == (errno.EIO, str(path))


def test_resident_bytes(path, contents):
    with MappedFile(path) as file:
        assert bytes(file) == contents  # touches every page
        assert file.resident_bytes in (0, len(contents))


def test_view_keeps_the_mapping_alive(path, contents):
    file = MappedFile(path)
    array = np.asarray(file)
    alive = weakref.ref(file)
    del file
    gc.collect()
    assert alive() is not None
    assert array.tobytes() == contents
    del array
    gc.collect()
    assert alive() is None


def test_close_waits_for_views(path):
    file = MappedFile(path)
    first, second = memoryview(file), np.asarray(file)
    with pytest.raises(BufferError, match="2 views"):
        file.close()
    assert not file.closed
    first.release()
    del second
    file.close()
    file.close()


def test_closed_mapping_refuses_everything(path):
    file = MappedFile(path)
    file.close()
    assert file.closed
    for use in (
        lambda: memoryview(file),
        lambda: file.nbytes,
        lambda: len(file),
        lambda: file.resident_bytes,
        lambda: file.advise("random"),
        file.__enter__,
    ):
        with pytest.raises(ClosedError, match="closed"):
            use()
    assert file.path == str(path)
    assert file.mode == "shared"
    assert "closed" in repr(file)


def test_context_manager_closes(path):
    with MappedFile(path) as file:
        assert not file.closed
    assert file.closed


def test_descriptors_are_not_kept(path):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no list of open descriptors here")
    before = len(os.listdir("/proc/self/fd"))
    files = [MappedFile(path) for _ in range(20)]
    for _ in range(20):
        with pytest.raises(CorruptError):
            MappedFile(path, nbytes=10**9)
        with pytest.raises(IsADirectoryError):
            MappedFile(path.parent)
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(files) == 20


def test_neither_pickled_nor_copied(path):
    file = MappedFile(path)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(file, protocol)
    with pytest.raises(TypeError, match="cannot be pickled"):
        copy.copy(file)


def test_closing_while_others_read(path, contents):
    """Whoever wins, nobody reads unmapped memory."""
    surprises = []

    def read(file):
        try:
            while True:
                with memoryview(file) as view:
                    if bytes(view[:100]) != contents[:100]:
                        surprises.append("wrong bytes")
                file.advise("willneed")
                assert file.resident_bytes in (0, len(contents))
                time.sleep(0.0002)  # a moment without users, or nobody could ever close
        except ClosedError:
            pass
        except Exception as error:
            surprises.append(error)

    for _ in range(20):
        file = MappedFile(path)
        workers = [threading.Thread(target=read, args=(file,)) for _ in range(3)]
        for worker in workers:
            worker.start()
        while not file.closed:
            try:
                file.close()
            except BufferError:
                continue
        for worker in workers:
            worker.join()
    assert surprises == []


@pytest.mark.slow
def test_files_beyond_four_gib(tmp_path):
    path = tmp_path / "large"
    size = (5 << 30) + 123
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size - 3)
        file.write(b"end")
    with MappedFile(path) as mapped:
        assert len(mapped) == size
        assert bytes(memoryview(mapped)[-3:]) == b"end"
    with MappedFile(path, offset=5 << 30) as mapped:
        assert bytes(memoryview(mapped)[-3:]) == b"end"
