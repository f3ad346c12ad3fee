"""Files that older and current versions wrote open, and hold what they held."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from sutra import Index

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = sorted(GOLDEN.glob("v*/*.idx.gz"))


def rows(count, dim):
    """As in tests/golden/make.py: frozen with the files."""
    numbers = np.arange(count * dim, dtype=np.uint64)
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    small = (mixed >> np.uint64(40)) % np.uint64(61)
    return ((small.astype(np.float32) - 30) / 8).reshape(count, dim)


def test_there_is_a_folder_for_the_version_now_written(tmp_path):
    Index(2).save(tmp_path / "file")
    (version,) = struct.unpack_from("<I", (tmp_path / "file").read_bytes(), 8)
    folders = {path.parent.name for path in FILES}
    assert folders == {f"v{number}" for number in range(1, version + 1)}


@pytest.mark.parametrize("packed", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_files_are_small_and_described(packed):
    assert packed.stat().st_size < 100_000
    assert packed.with_name(packed.name.replace(".idx.gz", ".json")).is_file()


@pytest.mark.parametrize("resident", ["auto", "arena", "mapped"])
@pytest.mark.parametrize("packed", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_contents(packed, tmp_path, resident):
    expected = json.loads(packed.with_name(packed.name.replace(".idx.gz", ".json")).read_text())
    path = tmp_path / "file"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    index = Index.open(path, resident=resident)
    stats = index.stats()
    assert {key: stats[key] for key in expected["options"]} == expected["options"]
    assert stats["graph"] == expected["graph"]
    assert len(index) == expected["count"]
    assert index.ids().tolist() == expected["ids"]
    assert index.verify(deep=True)["vectors"] == expected["count"]
    given = rows(expected["count"], index.dim)
    kept = expected["options"]["keep_originals"] or not expected["graph"]
    for number, vector in zip(expected["ids"], given if kept else [], strict=kept):
        assert np.array_equal(index.get(number), vector)
    for number, vector in zip(expected["ids"], expected["decoded"], strict=False):
        np.testing.assert_allclose(index.get(number), vector, rtol=1e-5, atol=1e-5)
    queries = np.array(expected["queries"], dtype=np.float32)
    exact = index.search(queries, k=5, exact=True)
    compare(exact, expected["exact"], expected["exact_distances"], 1e-4)
    # A kernel tier may round a normalized query differently, which the 4-bit walk then sees.
    found = index.search(queries, k=5, ef=100)
    compare(found, expected["found"], expected["found_distances"], 1e-4 if kept else 0.02)


def compare(found, ids, distances, allowed):
    distances = np.array(distances, dtype=np.float32)
    scale = max(1.0, np.abs(distances[np.isfinite(distances)]).max(initial=0.0))
    np.testing.assert_allclose(found.distances, distances, rtol=0, atol=allowed * scale)
    # Where ids differ, their distances are as good as equal.
    for row, column in np.argwhere(found.ids != np.array(ids)):
        close = np.abs(distances[row] - distances[row, column]) <= 2 * allowed * scale
        assert close.sum() > 1 or column == found.ids.shape[1] - 1


@pytest.mark.parametrize("packed", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_they_grow_and_are_saved_again(packed, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    index = Index.open(path)
    count = len(index)
    index.add(rows(count + 20, index.dim)[count:])
    index.save(path)
    again = Index.open(path)
    assert again.verify(deep=True)["vectors"] == count + 20
    last = rows(count + 20, index.dim)[-1]
    assert again.search(last, k=1, ef=100, exact=True).ids.shape == (1,)
