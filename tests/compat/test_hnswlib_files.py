"""Files of `sutra.compat.hnswlib`: everything comes back, and nothing damaged gets in."""

import os
import struct
from zlib import crc32

import numpy as np
import pytest

import sutra
from sutra.compat import _container as container
from sutra.compat import hnswlib

ROWS = np.random.default_rng(0).random((10, 4), dtype=np.float32)


@pytest.fixture
def saved(tmp_path):
    index = hnswlib.Index("ip", 4)
    index.init_index(20, M=12, ef_construction=50)
    index.add_items(ROWS)
    index.mark_deleted(7)
    index.mark_deleted(2)
    index.save_index(tmp_path / "index")
    return tmp_path / "index"


def load(path, space="ip", dim=4, **options):
    index = hnswlib.Index(space, dim)
    index.load_index(path, **options)
    return index


def test_everything_comes_back(make, lib, tmp_path):
    index = make(space="cosine", M=12, ef_construction=50)
    index.set_ef(55)
    index.mark_deleted(7)
    path = str(tmp_path / "index")
    index.save_index(path)
    loaded = lib.Index("cosine", 4)
    loaded.load_index(path)
    for name in ("M", "ef_construction", "max_elements", "element_count"):
        assert getattr(loaded, name) == getattr(index, name), name
    assert loaded.ef == 10  # not part of the file
    for mine, theirs in zip(index.knn_query(ROWS, k=9), loaded.knn_query(ROWS, k=9), strict=True):
        assert (mine == theirs).all()
    with pytest.raises(RuntimeError):
        loaded.mark_deleted(7)
    loaded.unmark_deleted(7)
    assert loaded.knn_query(ROWS[7], k=10)[0].shape == (1, 10)
    loaded.add_items(np.ones(4))
    assert sorted(loaded.get_ids_list()) == list(range(11))


def test_capacity_of_a_loaded_index(make, lib, tmp_path):
    path = str(tmp_path / "index")
    make().save_index(path)
    for given, there in ((0, 20), (50, 50), (10, 10), (5, 20)):
        loaded = lib.Index("l2", 4)
        loaded.load_index(path, max_elements=given)
        assert loaded.max_elements == there, given


def test_marks_can_be_replaced_after_loading(make, lib, tmp_path):
    index = make(room=10)
    index.mark_deleted(3)
    path = str(tmp_path / "index")
    index.save_index(path)
    loaded = lib.Index("l2", 4)
    loaded.load_index(path, allow_replace_deleted=True)
    loaded.add_items(np.ones(4), [33], replace_deleted=True)
    assert sorted(loaded.get_ids_list()) == [0, 1, 2, 4, 5, 6, 7, 8, 9, 33]
    again = lib.Index("l2", 4)
    again.load_index(path)
    with pytest.raises(RuntimeError):
        again.add_items(np.ones(4), [33], replace_deleted=True)


def test_loading_replaces_what_was_there(saved):
    index = hnswlib.Index("ip", 4)
    index.init_index(100)
    index.add_items(ROWS[:3], [70, 71, 72])
    index.mark_deleted(71)
    index.load_index(saved)
    assert index.get_ids_list() == list(range(10))
    assert 71 not in index.knn_query(ROWS, k=8)[0]


def test_order_of_marks_comes_back(saved):
    index = load(saved, max_elements=10, allow_replace_deleted=True)
    index.add_items(np.ones(4), [40], replace_deleted=True)
    assert 7 not in index.get_ids_list()
    assert 2 in index.get_ids_list()


def test_an_empty_index(tmp_path):
    index = hnswlib.Index("l2", 4)
    index.init_index(10)
    index.save_index(tmp_path / "index")
    loaded = load(tmp_path / "index", "l2")
    assert loaded.element_count == 0
    loaded.add_items(ROWS)
    assert loaded.knn_query(ROWS)[0].ravel().tolist() == list(range(10))


def test_a_graph_with_originals_outlives_its_file(tmp_path):
    rows = np.random.default_rng(1).standard_normal((1500, 16), dtype=np.float32)
    index = hnswlib.Index("l2", 16)
    index.init_index(2000)
    index.add_items(rows)
    index.save_index(tmp_path / "index")
    loaded = load(tmp_path / "index", "l2", 16)
    os.truncate(tmp_path / "index", 0)
    assert loaded.get_items([1234]).tolist() == rows[[1234]].tolist()
    loaded.set_ef(100)
    assert (loaded.knn_query(rows)[0].ravel() == np.arange(1500)).mean() > 0.99


def test_a_save_replaces_the_whole_file_or_nothing(saved, monkeypatch):
    before = saved.read_bytes()
    saved.chmod(0o640)
    index = load(saved)
    index.unmark_deleted(7)

    def fail(*paths):
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(RuntimeError, match="no space"):
            index.save_index(saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == ["index"]
    index.save_index(saved)
    assert saved.read_bytes() != before
    assert saved.stat().st_mode & 0o777 == 0o640
    assert os.listdir(saved.parent) == ["index"]
    link = saved.with_name("link")
    link.symlink_to(saved)
    index.save_index(link)
    assert link.is_symlink()
    with pytest.raises(RuntimeError, match="not a regular file"):
        index.save_index(saved.parent)


def test_what_does_not_fit_or_is_not_there(saved, tmp_path):
    with pytest.raises(RuntimeError, match="No such file"):
        load(tmp_path / "none")
    with pytest.raises(RuntimeError, match="space 'l2' and dim 4, found 'hnsw', 'ip' and 4"):
        load(saved, "l2")
    with pytest.raises(RuntimeError, match="dim 5"):
        load(saved, "ip", 5)
    with pytest.raises(RuntimeError, match="expected an index of kind 'brute force'"):
        hnswlib.BFIndex("ip", 4).load_index(saved)


def test_a_failed_load_changes_nothing(saved, tmp_path):
    index = load(saved)
    other = tmp_path / "other"
    other.write_bytes(saved.read_bytes()[:-1])
    with pytest.raises(RuntimeError):
        index.load_index(other)
    assert index.element_count == 10
    assert index.knn_query(ROWS, k=8)[0].shape == (10, 8)


def test_every_changed_byte_is_found(saved):
    whole = saved.read_bytes()
    _, _, _, state, *_ = container.HEADER.unpack(whole[: container.HEADER.size])
    places = [*range(container.HEADER.size + state), *range(200, len(whole), 4999), len(whole) - 1]
    for place in places:
        saved.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(RuntimeError):
            load(saved)
    for size in (0, 7, 8, 47, 48, 60, len(whole) - 1):
        saved.write_bytes(whole[:size])
        with pytest.raises(RuntimeError):
            load(saved)
    saved.write_bytes(whole + b"\0")
    with pytest.raises(RuntimeError, match=r"expected \d+ bytes"):
        load(saved)


def test_a_newer_version_is_named(saved):
    whole = bytearray(saved.read_bytes())
    whole[8:12] = struct.pack("<I", 2)
    whole[44:48] = struct.pack("<I", crc32(whole[:44]))
    saved.write_bytes(whole)
    with pytest.raises(RuntimeError, match="version 2 of the format") as caught:
        load(saved)
    assert isinstance(caught.value.__cause__, sutra.FormatVersionError)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"hnsw"', b'"what"'),
        (b"[7, 2]", b"[7, 9999]"),
        (b"[7, 2]", b'"seven"'),
        (b'"M": 12', b'"M": -1'),
        (b'"M"', b'"N"'),
        (b'"max_elements": 20', b'"max_elements": 2'),
        (b"{", b"["),
    ],
)
def test_a_forged_state_is_refused(saved, old, new):
    whole = saved.read_bytes()
    header = list(container.HEADER.unpack(whole[:48]))
    state = whole[48 : 48 + header[3]]
    forged = state.replace(old, new, 1)
    assert forged != state
    header[3], header[5] = len(forged), crc32(forged)
    start = container.HEADER.pack(*header)[:44]
    rest = whole[48 + len(state) :]
    saved.write_bytes(start + struct.pack("<I", crc32(start)) + forged + rest)
    with pytest.raises(RuntimeError, match="the state does not fit"):
        load(saved)


def test_files_of_others_are_named(tmp_path):
    graph = struct.pack("<6Q2i3QdQ", 0, 30, 10, 156, 148, 132, 0, 0, 16, 32, 16, 0.36, 200)
    path = tmp_path / "theirs"
    path.write_bytes(graph + bytes(10 * 156 + 40))
    with pytest.raises(RuntimeError, match="an index of 10 elements in hnswlib's own format"):
        load(path)
    path.write_bytes(struct.pack("<3Q", 5, 24, 3) + bytes(5 * 24))
    with pytest.raises(RuntimeError, match="a BFIndex of 3 elements in hnswlib's own format"):
        hnswlib.BFIndex("l2", 4).load_index(path)
    with sutra.Index(4) as index:
        index.save(path)
    with pytest.raises(RuntimeError, match=r"sutra\.Index"):
        load(path)
    path.write_bytes(b"GIF89a" + bytes(300))
    with pytest.raises(RuntimeError, match="not a file that"):
        load(path)


def test_files_that_hnswlib_itself_wrote(make, lib, tmp_path):
    path = str(tmp_path / "index")
    make(7, space="cosine", dim=5).save_index(path)
    loaded = hnswlib.Index("cosine", 5)
    if lib is hnswlib:
        loaded.load_index(path)
        assert loaded.element_count == 7
    else:
        with pytest.raises(RuntimeError, match="7 elements in hnswlib's own format"):
            loaded.load_index(path)
