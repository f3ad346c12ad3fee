"""Damaged stores: said with file and offset, and saved as far as they can be read."""

import errno
import os
import shutil

import numpy as np
import pytest

import sutra
from sutra import CorruptError


@pytest.fixture
def closed(path, tools):
    """A closed store of which everything is in segments, and a part of the log after them."""
    with sutra.open(path) as store:
        store.add(range(2000), tools.rows(2000, 32), contents=[f"text {n}" for n in range(2000)])
        store.link(range(1999), range(1, 2000))
        store.checkpoint()
        store.add(range(2000, 2100), contents=["late"] * 100)
        store.link(0, range(2000, 2100))
        store._core.abandon()
    return path


def newest(path, pattern):
    return max(path.glob(pattern), key=lambda file: (file.name, file.stat().st_size))


def flip(file, offset):
    data = bytearray(file.read_bytes())
    data[offset] ^= 1
    file.write_bytes(data)
    return file


def test_a_flipped_bit_is_found_with_file_and_offset(closed):
    segment = max(closed.glob("*.seg"), key=lambda file: file.stat().st_size)
    offset = segment.stat().st_size // 2
    flip(segment, offset)
    with pytest.raises(CorruptError) as caught, sutra.open(closed) as store:
        store.verify(deep=True)
    assert caught.value.path == str(segment)
    assert abs(caught.value.offset - offset) <= 65536
    assert segment.name in str(caught.value)


def test_damage_before_acknowledged_writes_is_not_passed_over(closed):
    log = newest(closed, "*.wal")
    flip(log, 200)
    with pytest.raises(CorruptError) as caught:
        sutra.open(closed)
    assert caught.value.path == str(log)
    assert caught.value.offset is not None


def test_a_torn_tail_is_cut(closed):
    """The start of a write that was never acknowledged."""
    log = newest(closed, "*.wal")
    with log.open("r+b") as file:
        data = file.read()
        end = len(data.rstrip(b"\0")) + 8
        file.seek(end - end % 8 + 8)
        file.write(os.urandom(100))
    with sutra.open(closed) as store:
        assert len(store) == 2100
        assert store.health()["torn_bytes"] > 0
        store.add("on")
    with sutra.open(closed) as store:
        assert "on" in store


def test_what_is_no_store(closed, tmp_path):
    with pytest.raises(CorruptError):
        sutra.open(tmp_path)  # has a directory in it
    for name in ("SUTRA", "MANIFEST*"):
        copy = tmp_path / name[:4]
        shutil.copytree(closed, copy)
        for file in copy.glob(name):
            file.write_bytes(b"something else")
        for mode in ("a", "r"):
            with pytest.raises(CorruptError) as caught:
                sutra.open(copy, mode=mode)
            assert str(copy) in caught.value.path
        with pytest.raises(CorruptError):
            sutra.repair(copy, tmp_path / "new")
        assert not (tmp_path / "new").exists()


def test_repair_of_a_sound_store_loses_nothing(closed, tmp_path, tools):
    with sutra.open(closed, mode="r") as store:
        before, lsn = tools.state(store), store.stats()["visible_lsn"]
    report = sutra.repair(closed, tmp_path / "new")
    assert (report["concepts"], report["associations"], report["vectors"]) == (2100, 2099, 2000)
    assert (report["lost_concepts"], report["damaged_blocks"], report["lsn"]) == (0, 0, lsn)
    assert (report["log_cut"], report["older_manifest"]) == (False, False)
    with sutra.open(tmp_path / "new") as store:
        assert tools.state(store) == before
        assert store.verify(deep=True)["concepts"] == 2100
        store.add("new")
    with pytest.raises(FileExistsError):
        sutra.repair(closed, tmp_path / "new")
    with pytest.raises(FileNotFoundError):
        sutra.repair(tmp_path / "nothing", tmp_path / "other")


def test_repair_of_a_cut_log(closed, tmp_path):
    flip(newest(closed, "*.wal"), 200)
    report = sutra.repair(closed, tmp_path / "new")
    assert report["log_cut"] is True
    with sutra.open(tmp_path / "new") as store:
        assert list(store) == list(range(2000))
        assert store.stats()["associations"] == 1999
        store.verify(deep=True)


def test_repair_of_flipped_bits(closed, tmp_path):
    segment = max(closed.glob("*.seg"), key=lambda file: file.stat().st_size)
    rng = np.random.default_rng(0)
    damaged = 0
    for number in range(12):
        copy, new = tmp_path / f"copy{number}", tmp_path / f"new{number}"
        shutil.copytree(closed, copy)
        flip(copy / segment.name, int(rng.integers(4096, segment.stat().st_size)))
        try:
            report = sutra.repair(copy, new)
        except CorruptError:
            assert not new.exists()
            continue
        damaged += report["damaged_blocks"]
        assert report["concepts"] + report["lost_concepts"] >= 1000
        with sutra.open(new) as store:
            assert store.verify(deep=True)["concepts"] == report["concepts"]
    assert damaged > 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_no_room_is_an_error_of_the_system(path):
    """The size limit of the process stands in for a full disk."""
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with sutra.open(path) as store:
            store.add("a", contents="kept")
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
            with pytest.raises(OSError, match=r".") as caught:
                store.add("b", contents="x" * (8 << 20))
            assert caught.value.errno in (errno.EFBIG, errno.ENOSPC)
            assert "b" not in store
            assert store["a"].content == "kept"
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            store.add("b", contents="x" * (8 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    with sutra.open(path) as store:
        assert list(store) == ["a", "b"]


def test_a_store_keeps_to_its_size(path):
    with sutra.open(path, max_bytes=4 << 20) as store:
        store.add("a", contents="kept")
        with pytest.raises(sutra.CapacityError):
            store.add("b", contents="x" * (8 << 20))
        for number in range(20):
            try:
                store.add(number, contents="x" * (1 << 20))
            except sutra.CapacityError:
                break
        assert number < 4
        assert store["a"].content == "kept"
        count = len(store)
    with sutra.open(path) as store:
        assert len(store) == count
        store.add("more", contents="x" * (8 << 20))
