"""Index files: saving, opening, replacing, kinds of paths, and what systems refuse."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from sutra import Index
from sutra.errors import ConfigError

RESIDENTS = ("auto", "arena", "mapped")
CONFIGURATIONS = [
    ("u8", True, None),
    ("u8", False, None),
    ("u4", True, 11),
    ("u4", False, 11),
    ("none", True, None),
]
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")


@pytest.fixture(scope="module")
def rows(tools):
    return tools.clustered(1200, 20)


@pytest.fixture
def index(rows):
    index = Index(20, metric="l2")
    index.add(rows)
    return index


@pytest.mark.parametrize("resident", RESIDENTS)
@pytest.mark.parametrize("size", [0, 1, 300, 1200])
@pytest.mark.parametrize(("quantization", "keep", "step"), CONFIGURATIONS)
def test_reopened_is_identical(tools, rows, tmp_path, resident, size, quantization, keep, step):
    index = Index(
        20, metric="ip", m=8, ef_construction=70, quantization=quantization,
        keep_originals=keep, seed=5,
    )  # fmt: skip
    index.add(rows[:size], ids=None if step is None else np.arange(size) * step)
    path = tmp_path / "file"
    index.save(path)
    again = Index.open(path, resident=resident)
    queries = tools.clustered(30, 20, seed=3)
    for exact in (False, True):
        expected, found = (one.search(queries, exact=exact) for one in (index, again))
        assert np.array_equal(found.ids, expected.ids)
        assert np.array_equal(found.distances, expected.distances)
    assert len(again) == size
    assert np.array_equal(again.ids(), index.ids())
    for number in index.ids()[::50]:
        assert np.array_equal(again.get(number), index.get(number))
    before, after = index.stats(), again.stats()
    for key in ("dim", "metric", "m", "ef_construction", "quantization", "keep_originals",
                "seed", "graph", "levels", "tuned_ef", "bytes_per_vector"):  # fmt: skip
        assert after[key] == before[key]
    assert after["path"] == again.path == str(path)
    assert again.verify(deep=True)["vectors"] == size
    # It goes on growing, with the ids that would have come next.
    given = [one.add(rows[:3]) for one in (index, again)]
    assert np.array_equal(*given)
    assert again.verify()["vectors"] == size + 3


def test_residency_is_reported(index, tmp_path):
    path = tmp_path / "file"
    index.save(path)
    mapped = Index.open(path, resident="mapped")
    assert mapped.stats()["resident"] == "mapped"
    assert mapped.stats()["mapped_bytes"] > 0
    assert Index.open(path, resident="arena").stats()["resident"] == "arena"
    for resident in ("Arena", "", None, 1):
        with pytest.raises(ConfigError, match="resident="):
            Index.open(path, resident=resident)


def test_saving_over_the_open_file(tools, index, rows, tmp_path):
    path = tmp_path / "file"
    index.save(path)
    for resident in RESIDENTS:
        opened = Index.open(path, resident=resident)
        other = Index.open(path, resident=resident)
        count = len(opened)
        expected = opened.search(rows[:20])
        opened.add(tools.clustered(50, 20, seed=9))
        opened.save(path)
        # The other still sees the file it opened.
        assert len(other) == count
        assert np.array_equal(other.search(rows[:20]).ids, expected.ids)
        assert other.verify(deep=True)["vectors"] == count
        assert len(Index.open(path)) == count + 50
    assert os.listdir(tmp_path) == ["file"]


def test_kinds_of_paths(index, tmp_path, monkeypatch):
    names = ["plain", "mit Leerzeichen", "ünïcödé \N{SNOWMAN}", "x" * 200]
    for name in names:
        for path in (tmp_path / name, str(tmp_path / name), os.fsencode(tmp_path / name)):
            index.save(path)
            again = Index.open(path)
            assert len(again) == 1200
            assert again.path == str(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == sorted(names)
    monkeypatch.chdir(tmp_path)
    index.save("relative")
    index.save("./also")
    assert len(Index.open("relative")) == len(Index.open(Path("also"))) == 1200


@linux
def test_paths_that_are_not_text(index, tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\xfe"
    index.save(path)
    assert Index.open(path).path == os.fsdecode(path)
    assert os.listdir(os.fsencode(tmp_path)) == [b"\xff\xfe"]
    with pytest.raises(FileNotFoundError):
        Index.open(path + b"\xfd")


@pytest.mark.parametrize("path", [None, 3, 1.0, ["x"]])
def test_paths_of_a_wrong_type(index, path):
    with pytest.raises(TypeError):
        index.save(path)
    with pytest.raises(TypeError):
        Index.open(path)


@pytest.mark.parametrize("kind", [str, os.fsencode])
def test_paths_with_a_zero(index, tmp_path, kind):
    index.save(tmp_path / "file")
    path = kind(str(tmp_path / "file\0more"))
    with pytest.raises(ValueError, match="null"):
        Index.open(path)
    with pytest.raises(ValueError, match="null"):
        index.save(path)


def test_what_the_system_refuses(index, tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    cases = [
        (tmp_path / "missing" / "file", FileNotFoundError),
        (tmp_path / "file" / "below", NotADirectoryError),
        (tmp_path / "folder", IsADirectoryError),
        (tmp_path / ("x" * 300), OSError),
        (tmp_path / "pipe", OSError),
        ("", FileNotFoundError),
    ]
    for path, error in cases:
        for call in (index.save, Index.open):
            with pytest.raises(error) as caught:
                call(path)
            assert caught.value.errno
            assert caught.value.filename == str(path)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", "pipe"]
    assert (tmp_path / "file").read_bytes() == b"old"
    with pytest.raises(FileNotFoundError):
        Index.open(tmp_path / "nothing")


def test_devices_are_not_replaced(index):
    for path in ("/dev/null", "/dev/full"):
        if os.path.exists(path):
            with pytest.raises(OSError):
                index.save(path)
            with pytest.raises(OSError):
                Index.open(path)


def test_links_and_permissions(index, tmp_path):
    path = tmp_path / "file"
    index.save(path)
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    path.chmod(0o640)
    index.save(path)
    assert path.stat().st_mode & 0o777 == 0o640
