"""Stores on real file systems that are full, or mounted for reading: tmpfs, and ext4 in a file.

Making them takes Linux and the right to mount; elsewhere these tests are skipped.
"""

import contextlib
import errno
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import sutra
from sutra import CapacityError, DurabilityError

DIM = 64
BATCH = 50
CONTENT = 2000
MOST_BATCHES = 2000  # far more than fit


def command(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, arguments))}: {done.stderr.strip()}")


def is_full(error):
    return isinstance(error, CapacityError) or error.errno == errno.ENOSPC


@contextlib.contextmanager
def may_be_full():
    """What is in it may end for want of room, and for nothing else."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise


class Disk:
    """A small file system of its own."""

    def __init__(self, root):
        self.root = root
        self.store = root / "store"
        self.ballast = root / "ballast"
        self.filler = root / "filler"
        self.handles = []

    def open(self, **options):
        """The store; closed at the end, whatever happens."""
        self.handles.append(sutra.open(self.store, **options))
        return self.handles[-1]

    def put_ballast(self):
        # More than the rest, so that a store that filled the rest can be sealed anew without it.
        with self.ballast.open("wb") as file:
            file.write(bytes(shutil.disk_usage(self.root).free * 3 // 5))
            os.fsync(file.fileno())

    def free(self):
        """Make room."""
        self.ballast.unlink(missing_ok=True)
        self.filler.unlink(missing_ok=True)
        os.sync()

    def fill(self):
        """Leave not a byte."""
        with self.filler.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1, 1 << 12, 1):
                with may_be_full():
                    while file.write(bytes(size)):
                        pass
                with contextlib.suppress(OSError):
                    os.fsync(file.fileno())

    def remount(self, how):
        command("mount", "-o", f"remount,{how}", self.root)

    def unmount(self):
        try:
            self.free()
            for store in self.handles:
                with may_be_full():
                    store.close()
        finally:
            command("umount", "-l", self.root)


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request, tmp_path):
    if not sys.platform.startswith("linux"):
        pytest.skip("file systems are mounted on Linux alone")
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    root = tmp_path / "disk"
    root.mkdir()
    image = tmp_path / "image"
    try:
        if request.param == "tmpfs":
            command("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", root)
        else:
            with image.open("wb") as file:
                file.truncate(48 << 20)
            command("mkfs.ext4", "-q", "-F", image)
            command("mount", "-t", "ext4", "-o", "loop", image, root)
    except OSError as error:
        pytest.skip(f"no {request.param} here: {error}")
    disk = Disk(root)
    yield disk
    disk.unmount()


def vectors_of(ids):
    return np.stack([np.random.default_rng(id).standard_normal(DIM) for id in ids]).astype("f4")


def content_of(id):
    return f"{id:08d}" * (CONTENT // 8)


def write_batch(store, batch):
    ids = range(BATCH * batch, BATCH * (batch + 1))
    with store.batch():
        store.add(ids, vectors_of(ids), contents=[content_of(id) for id in ids])
        store.link(ids, [*ids[1:], ids[0]], kind="next")


def write_until_full(store, batch=0):
    """Write until there is no room. How many batches were acknowledged, and the error."""
    while batch < MOST_BATCHES:
        try:
            write_batch(store, batch)
        except OSError as error:
            return batch, error
        batch += 1
        if batch % 20 == 0:
            with may_be_full():  # what it would have sealed is in the log
                store.checkpoint()
    pytest.fail("the disk does not get full")
    return None


def check(store, batches, maybe=0):
    """Every acknowledged batch is there, whole, and nothing else but `maybe` more."""
    count = len(store)
    assert BATCH * batches <= count <= BATCH * (batches + maybe)
    assert count % BATCH == 0
    assert list(store) == list(range(count))
    for id in range(0, count, 37):
        assert store[id].content == content_of(id)
        assert [link.target for link in store.links(id)] == [
            id + 1 if (id + 1) % BATCH else id + 1 - BATCH
        ]
    if count:
        ids = range(0, count, 53)
        found = store.search(vectors_of(ids), k=1)
        assert [hits[0].id for hits in found] == list(ids)


def check_sound(store):
    assert store.verify(deep=True)


def close_full(store):
    """Close on a disk that may have no room for a checkpoint."""
    with may_be_full():
        store.close()
    assert store.closed


def test_a_full_disk_is_survived(disk):
    """Nothing acknowledged is lost; with room again the same handle goes on."""
    disk.put_ballast()
    store = disk.open()
    batches, error = write_until_full(store)
    assert batches > 10
    failed = isinstance(error, DurabilityError)  # the sync found no room, not the allocation
    assert failed or is_full(error)
    assert shutil.disk_usage(disk.root).free < 1 << 20
    for _ in range(3):  # nor does it get worse
        check(store, batches)
        with pytest.raises(OSError) as caught:
            write_batch(store, batches)
        assert failed or is_full(caught.value)
    disk.free()
    if failed:
        store.close()
        store = disk.open()
    check(store, batches, maybe=failed)
    batches = len(store) // BATCH
    for batch in range(batches, batches + 5):
        write_batch(store, batch)
    store.checkpoint()
    assert store.health()["status"] == "ok"
    check(store, batches + 5)
    check_sound(store)
    store.close()
    for mode in ("r", "a"):
        with sutra.open(disk.store, mode=mode) as store:
            check(store, batches + 5)
            check_sound(store)


WRITER = """
    import importlib.util, sys, sutra
    spec = importlib.util.spec_from_file_location("here", sys.argv[1])
    here = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(here)
    store = sutra.open(sys.argv[2])
    print(here.write_until_full(store)[0], flush=True)
    sys.stdin.readline()
"""


def test_killed_on_a_full_disk(disk, tools):
    """What was acknowledged when the process died is there when the store is opened again."""
    disk.put_ballast()
    with tools.python(WRITER, __file__, disk.store) as writer:
        batches = int(writer.stdout.readline())
        writer.kill()
    assert batches > 10
    with sutra.open(disk.store, mode="r") as store:
        check(store, batches)
        check_sound(store)
    disk.free()
    with sutra.open(disk.store) as store:
        check(store, batches)
        write_batch(store, batches)
        check(store, batches + 1)
        check_sound(store)


def test_opening_on_a_full_disk(disk):
    disk.put_ballast()
    store = disk.open()
    batches, _ = write_until_full(store)
    close_full(store)
    disk.fill()
    with sutra.open(disk.store, mode="r") as store:
        check(store, batches)
        check_sound(store)
    for _ in range(3):
        store = None
        with may_be_full():
            store = disk.open()
        if store is not None:
            check(store, batches)
            batches, error = write_until_full(store, batches)
            assert is_full(error)
            check(store, batches)
            close_full(store)
    disk.free()
    with sutra.open(disk.store) as store:
        check(store, batches)
        write_batch(store, batches)
        check(store, batches + 1)
        check_sound(store)


def test_a_new_store_on_a_full_disk(disk):
    disk.fill()
    for mode in ("x", "a", "w"):
        with may_be_full(), sutra.open(disk.store, mode=mode) as store:
            assert write_until_full(store)[0] == 0
    disk.free()
    with sutra.open(disk.store, mode="a") as store:
        write_batch(store, 0)
        check(store, 1)
        check_sound(store)


def test_a_snapshot_onto_a_full_disk(disk, tmp_path):
    with sutra.open(tmp_path / "elsewhere") as store:
        for batch in range(20):
            write_batch(store, batch)
        store.checkpoint()
        write_batch(store, 20)
        disk.put_ballast()
        disk.fill()
        for _ in range(2):
            with pytest.raises(OSError) as caught:
                store.snapshot(disk.store)
            assert is_full(caught.value)
        check(store, 21)
        write_batch(store, 21)
        with pytest.raises(OSError) as caught:
            sutra.restore(tmp_path / "elsewhere", disk.root / "restored")
        assert is_full(caught.value)
        disk.free()
        store.snapshot(disk.store)
        check_sound(store)
        sutra.restore(disk.store, disk.root / "restored")
        for path in (disk.store, disk.root / "restored"):
            with sutra.open(path, mode="r") as copy:
                check(copy, 22)
                check_sound(copy)


def test_a_snapshot_beside_the_store(disk):
    """Links take little room; if there is not even that, the store goes on."""
    store = disk.open()
    for batch in range(10):
        write_batch(store, batch)
    disk.fill()
    snapshot = disk.root / "snapshot"
    copied = False
    with may_be_full():
        store.snapshot(snapshot)
        copied = True
    if copied:
        with sutra.open(snapshot, mode="r") as copy:
            check(copy, 10)
    check(store, 10)
    disk.free()
    write_batch(store, 10)
    store.snapshot(snapshot)
    check_sound(store)
    close_full(store)
    with sutra.open(snapshot, mode="r") as copy:
        check(copy, 11)
        check_sound(copy)


def test_compacting_on_a_full_disk(disk):
    disk.put_ballast()
    with sutra.open(disk.store) as store:
        for batch in range(30):
            write_batch(store, batch)
        store.checkpoint()
        for batch in range(20, 30):
            store.delete(range(BATCH * batch, BATCH * (batch + 1)))
        disk.fill()
        for _ in range(2):
            with pytest.raises(OSError) as caught:
                store.compact()
            assert is_full(caught.value)
            check(store, 20)
        assert store.health()["status"] in ("ok", "disk-full")
        disk.free()
        store.compact()
        check(store, 20)
        write_batch(store, 20)
        check_sound(store)
    with sutra.open(disk.store, mode="r") as store:
        check(store, 21)
        check_sound(store)


def test_nothing_is_left_behind(disk):
    """What a full disk kept from being finished takes no room once the store was opened again."""
    disk.put_ballast()
    store = disk.open()
    batches, _ = write_until_full(store)
    close_full(store)
    disk.free()
    with sutra.open(disk.store) as store:
        store.checkpoint()
        check(store, batches)
    assert not list(disk.store.glob("*.tmp"))
    named = sum(path.stat().st_blocks * 512 for path in disk.store.iterdir())
    assert named < shutil.disk_usage(disk.root).total
    with sutra.open(disk.store, mode="r") as store:
        used = store.stats()
        assert used["segment_bytes"] + used["log_bytes"] <= named


def test_a_file_system_mounted_for_reading(disk):
    with sutra.open(disk.store) as store:
        for batch in range(12):
            write_batch(store, batch)
        store.checkpoint()
        write_batch(store, 12)
    os.sync()
    disk.remount("ro")
    try:
        with sutra.open(disk.store, mode="r") as store:
            check(store, 13)
            check_sound(store)
            with pytest.raises(sutra.ReadOnlyError):
                write_batch(store, 13)
        for mode in ("a", "w", "x"):
            with pytest.raises(OSError) as caught:
                sutra.open(disk.store, mode=mode)
            assert caught.value.errno == (errno.EEXIST if mode == "x" else errno.EROFS)
        with pytest.raises(OSError) as caught:
            sutra.open(disk.root / "other")
        assert caught.value.errno == errno.EROFS
    finally:
        disk.remount("rw")
    with sutra.open(disk.store) as store:
        check(store, 13)
        write_batch(store, 13)
        check_sound(store)
