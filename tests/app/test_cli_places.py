"""Stores that are locked or damaged, and places that are no store: exit codes and messages."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sutra import open as open_store

DIM = 4


@pytest.fixture
def store(drinks):
    return drinks


def damage(store):
    """Spoil a bit in the middle of every sealed file."""
    segments = sorted(store.glob("*.seg"))
    assert segments
    for path in segments:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


# ---- locked, corrupt, and other places


WRITERS = (
    ["put", "drinks", "--id", "x"],
    ["rm", "drinks", "tea"],
    ["link", "drinks", "tea", "pot"],
    ["unlink", "drinks", "tea", "pot"],
    ["import", "drinks", "lines.ndjson"],
    ["snapshot", "drinks", "snap"],
    ["compact", "drinks"],
    ["restore", "drinks", "back"],
    ["repair", "drinks", "back"],
)
READERS = (
    ["info", "drinks"],
    ["stats", "drinks"],
    ["get", "drinks", "tea"],
    ["search", "drinks", "--id", "tea"],
    ["links", "drinks", "tea"],
    ["related", "drinks", "--id", "tea"],
    ["export", "drinks"],
    ["verify", "drinks"],
    ["doctor", "drinks"],
)


def test_a_store_that_is_written_elsewhere(sutra, store):
    Path("lines.ndjson").write_text('{"id": 1}\n')
    with open_store(store) as opened:
        opened.add("meanwhile", contents="new")
        for arguments in WRITERS:
            message = sutra.fails(3, *arguments)
            assert f"process {os.getpid()}" in message
        for arguments in READERS:
            assert sutra(*arguments) == 0, sutra.err
        assert sutra.json("get", store, "meanwhile")["concepts"][0]["content"] == "new"
        assert sutra("put", store, "--id", "x", "--json") == 3
        assert json.loads(sutra.out)["error"]["type"] == "LockedError"
    assert sutra("put", store, "--id", "x") == 0
    assert not Path("snap").exists()
    assert not Path("back").exists()


def test_a_damaged_store_is_exit_code_4(sutra, store):
    assert sutra("compact", store) == 0
    damage(store)
    message = sutra.fails(4, "verify", store, "--deep")
    assert ".seg" in message
    assert "byte" in message
    assert sutra("verify", store, "--deep", "--json") == 4
    assert json.loads(sutra.out)["error"]["type"] == "CorruptError"
    assert ".seg" in sutra.fails(4, "restore", store, "back")
    assert not Path("back").exists()
    assert sutra("repair", store, "saved") == 0
    assert "lost, or may be wrong" in sutra.out
    assert sutra("verify", "saved", "--deep") == 0
    (store / "SUTRA").unlink()
    for arguments in (*WRITERS[:2], *READERS[:-1]):
        assert sutra(*arguments) in (1, 4)
        assert sutra.err.startswith("sutra: error: ")
    assert sutra("put", "drinks", "--id", "x") == 4  # no new store in place of a damaged one


STORE_ONLY = (
    ["put", "PLACE", "--id", "x"],
    ["rm", "PLACE", "x"],
    ["link", "PLACE", "x", "y"],
    ["unlink", "PLACE", "x", "y"],
    ["links", "PLACE", "x"],
    ["related", "PLACE", "--id", "x"],
    ["import", "PLACE", "lines.ndjson"],
    ["snapshot", "PLACE", "snap"],
    ["restore", "PLACE", "back"],
    ["repair", "PLACE", "back"],
    ["compact", "PLACE"],
)
EITHER = (
    ["info", "PLACE"],
    ["stats", "PLACE"],
    ["get", "PLACE", "1"],
    ["search", "PLACE", "--id", "1"],
    ["export", "PLACE"],
    ["verify", "PLACE"],
    ["doctor", "PLACE"],
)


def placed(arguments, place):
    return [place if argument == "PLACE" else argument for argument in arguments]


def test_places_that_are_no_store(sutra, here):
    Path("lines.ndjson").write_text('{"id": 1}\n')
    Path("file").write_text("text")
    Path("empty").mkdir()
    Path("full").mkdir()
    Path("full/photo.jpg").write_text("x")
    for arguments in (*STORE_ONLY, *EITHER):
        assert "nowhere" in sutra.fails(1, *placed(arguments, "nowhere"))
        assert sorted(os.listdir("full")) == ["photo.jpg"]
        assert os.listdir("empty") == []
        if arguments[0] not in ("restore", "repair"):
            assert "no store" in sutra.fails(1, *placed(arguments, "empty"))
            assert "no store" in sutra.fails(1, *placed(arguments, "full"))
    for arguments in STORE_ONLY:
        assert "a file" in sutra.fails(1, *placed(arguments, "file"))
    for verb in ("restore", "repair"):
        assert sutra(verb, "full", "back") in (1, 4)
        assert sutra.err.startswith("sutra: error: ")
    assert not Path("back").exists()


def test_an_index_file_takes_the_same_verbs(sutra, here):
    vectors = np.random.default_rng(3).standard_normal((50, DIM), dtype=np.float32)
    np.save("v.npy", vectors)
    assert sutra("build", "v.npy", "i.sutra") == 0
    assert sutra.json("info", "i.sutra")["type"] == "index"
    assert sutra.json("stats", "i.sutra")["count"] == 50
    report = sutra.json("get", "i.sutra", 3, 999, "x", code=1)
    assert report["concepts"][0]["vector"] == vectors[3].tolist()
    assert report["missing"] == [999, "x"]
    assert sutra("get", "i.sutra", 3) == 0
    assert sutra.json("doctor", "i.sutra")["healthy"] is True
    assert "numbers" in sutra.fails(1, "search", "i.sutra", "--id", "tea")


def test_a_whole_process(store):
    """What only a process of its own shows: codes, one line of error, nothing else."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "sutra", *arguments], capture_output=True, text=True
        )

    with open_store(store):
        done = run("rm", "drinks", "tea")
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith("sutra: error: ")
    assert done.stderr.count("\n") == 1
    assert f"process {os.getpid()}" in done.stderr
