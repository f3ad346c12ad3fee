"""The doctor: what it finds, what it advises, and its exit codes."""

import os
from pathlib import Path

import numpy as np
import pytest

from sutra import open as open_store
from sutra.cli import checks

DIM = 4


@pytest.fixture
def store(here):
    with open_store("store", dim=DIM) as store:
        store.add(list(range(20)), np.ones((20, DIM)))
    return here / "store"


def by_name(report):
    return {check["name"]: check for check in report["checks"]}


def mounts(tmp_path, *kinds):
    """A list of mounts as Linux tells it: points and kinds."""
    path = tmp_path / "mountinfo"
    path.write_text(
        "".join(
            f"{number} 1 8:{number} / {point} rw,relatime shared:1 - {kind} source rw\n"
            for number, (point, kind) in enumerate(kinds)
        )
    )
    return str(path)


def test_a_healthy_store(sutra, store):
    report = sutra.json("doctor", store)
    found = by_name(report)
    assert report["healthy"] is True
    for name in ("access", "file system", "disk", "lock", "open", "vectors", "dead versions",
                 "memory", "pages", "verify"):  # fmt: skip
        assert found[name]["status"] in ("ok", "warn")
    assert found["lock"]["found"] == "free"
    assert found["verify"]["status"] == "ok"
    assert sutra("doctor", store) == 0
    assert len(sutra.out.splitlines()) >= 11
    before = {path.name: path.stat().st_mtime_ns for path in store.iterdir()}
    sutra("doctor", store)
    assert {path.name: path.stat().st_mtime_ns for path in store.iterdir()} == before


def test_who_writes(sutra, store):
    with open_store(store):
        lock = by_name(sutra.json("doctor", store))["lock"]
        assert lock["status"] == "ok"
        assert f"process {os.getpid()}" in lock["found"]
    assert by_name(sutra.json("doctor", store))["lock"]["found"] == "free"
    (store / "LOCK").unlink()
    assert checks.check_lock(str(store)).found == "free"


def test_dead_versions_and_stopped_imports(sutra, store):
    with open_store(store) as opened:
        opened.upsert(list(range(20)), np.zeros((20, DIM)) + 2)
    Path("store.import.json").write_text("{}")
    found = by_name(sutra.json("doctor", store))
    assert found["dead versions"]["status"] == "warn"
    assert "compact" in found["dead versions"]["advice"]
    assert found["import"]["status"] == "warn"
    assert sutra("compact", store) == 0
    assert by_name(sutra.json("doctor", store))["dead versions"]["status"] == "ok"


def test_damage_is_exit_code_4(sutra, store):
    for path in store.glob("MANIFEST-*"):
        path.write_bytes(path.read_bytes()[:40])
    report = sutra.json("doctor", store, code=4)
    assert report["healthy"] is False
    found = by_name(report)["open"]
    assert found["status"] == "corrupt"
    assert "MANIFEST" in found["found"]
    assert "repair" in found["advice"]
    assert sutra("doctor", store) == 4
    assert sutra.err == ""


def test_damage_in_an_index(sutra, here):
    np.save("v.npy", np.random.default_rng(0).standard_normal((600, DIM)))
    assert sutra("build", "v.npy", "i.sutra") == 0
    assert sutra("doctor", "i.sutra") == 0
    content = Path("i.sutra").read_bytes()
    Path("i.sutra").write_bytes(content[:1000])
    assert by_name(sutra.json("doctor", "i.sutra", code=4))["open"]["status"] == "corrupt"


def test_a_failure_is_exit_code_1(sutra, store, monkeypatch):
    full = os.statvfs_result((4096, 4096, 1000, 100, 100, 10, 10, 10, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    report = sutra.json("doctor", store, code=1)
    assert by_name(report)["disk"]["status"] == "fail"
    assert by_name(report)["verify"]["status"] == "ok"


def test_room_for_compaction(store, monkeypatch):
    room = checks.LOG_BYTES // 4096
    found = os.statvfs_result((4096, 4096, room * 9, room, room, 10, 10, 10, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: found)
    assert checks.check_disk(str(store)).status == "ok"
    monkeypatch.setattr(checks, "directory_bytes", lambda _: checks.LOG_BYTES + 1)
    assert checks.check_disk(str(store)).status == "warn"


def test_newer_versions_and_fallbacks_are_told_apart():
    from sutra.errors import CorruptError, FormatVersionError

    newer = checks.refused("open", FormatVersionError("version 9"), "repair it")
    assert (newer.status, newer.advice) == ("fail", "install a newer version of sutra")
    assert checks.refused("open", CorruptError("x"), "repair it")[1:] == (
        "corrupt", "x", "repair it",
    )  # fmt: skip
    assert checks.refused("open", PermissionError(13, "denied"), "repair it").advice is None
    health = {"recovered": 3, "torn_bytes": 100, "manifest_fallback": True}
    check = checks.check_recovery({"recovery_ns": 10**6}, health)
    assert check.status == "warn"
    assert "100 B" in check.found
    assert checks.check_recovery(
        {"recovery_ns": 10**6}, {**health, "manifest_fallback": False}
    ).status == "ok"  # fmt: skip
    few, many = ({"vectors": 50_000, "pending": count} for count in (10, checks.PENDING_MANY))
    assert [checks.check_pending(one).status for one in (few, many)] == ["ok", "warn"]
    assert checks.check_memory(1 << 60).status == "warn"
    assert checks.check_memory(1).status == "ok"


@pytest.mark.parametrize(
    ("kind", "status"),
    [("ext4", "ok"), ("xfs", "ok"), ("nfs4", "warn"), ("fuse.sshfs", "warn"), ("tmpfs", "warn"),
     ("overlay", "warn")],
)  # fmt: skip
def test_file_systems(tmp_path, monkeypatch, kind, status):
    path = mounts(tmp_path, ("/", "btrfs"), (str(tmp_path), kind))
    assert checks.file_system_of(str(tmp_path / "store"), path) == kind
    found = checks.file_system_of
    monkeypatch.setattr(checks, "file_system_of", lambda place: found(place, path))
    assert checks.check_file_system(str(tmp_path)).status == status


def test_which_mount_counts(tmp_path):
    path = mounts(
        tmp_path, ("/", "ext4"), ("/a", "xfs"), ("/a/b", "nfs"), ("/a/b", "tmpfs"),
        ("/with\\040space", "cifs"),
    )  # fmt: skip

    def kind(place):
        return checks.file_system_of(place, path)

    assert [kind(place) for place in ("/x", "/a", "/a/c", "/ab", "/a/b/c", "/with space/x")] == [
        "ext4", "xfs", "xfs", "ext4", "tmpfs", "cifs",
    ]  # fmt: skip
    assert checks.file_system_of("/x", str(tmp_path / "none")) is None


def test_a_directory_that_cannot_be_written(store, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert next(checks.check_place(str(store))).status == "warn"
