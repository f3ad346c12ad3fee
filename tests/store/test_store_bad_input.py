"""What a store refuses, how it says so, and that nothing has changed then."""

import math

import numpy as np
import pytest

import sutra
from sutra import (
    ClosedError,
    ConfigError,
    DimensionError,
    DTypeError,
    InvalidVectorError,
    NotFoundError,
    ReadOnlyError,
)

BAD_IDS = [
    (True, TypeError),
    (np.bool_(True), TypeError),
    (None, TypeError),
    (1.0, TypeError),
    (b"a", TypeError),
    ([1, True], TypeError),
    ([1, None], TypeError),
    ([1, 2.0], TypeError),
    (["a", b"a"], TypeError),
    ([[1, 2]], TypeError),
    (np.array([1.0]), TypeError),
    (np.array([True]), TypeError),
    (np.array(3.5), TypeError),
    (object(), TypeError),
    (-1, ConfigError),
    (2**63, ConfigError),
    ([0, -5], ConfigError),
    (np.array([3, -1]), ConfigError),
    (np.array([2**63], dtype=np.uint64), ConfigError),
    ("", ConfigError),
    ("a" * 1025, ConfigError),
    ("é" * 513, ConfigError),
    ("\ud800", ConfigError),
    (["fine", "\udfff"], ConfigError),
    (np.zeros((2, 2), dtype=int), DimensionError),
]


@pytest.fixture
def filled(store):
    store.add(["a", "b"], [[1.0, 2.0], [3.0, 4.0]], contents=["A", "B"])
    store.link("a", "b")
    return store


@pytest.fixture
def unchanged(filled, tools):
    before, lsn = tools.state(filled), filled.stats()["visible_lsn"]
    yield filled
    assert tools.state(filled) == before
    assert filled.stats()["visible_lsn"] == lsn


@pytest.mark.parametrize(("ids", "kind"), BAD_IDS, ids=lambda value: repr(value)[:20])
def test_ids(unchanged, ids, kind):
    calls = [
        unchanged.delete,
        unchanged.touch,
        unchanged.get,
        unchanged.records,
        unchanged.expand,
        lambda ids: unchanged.link(ids, "a"),
        lambda ids: unchanged.unlink("a", ids),
    ]
    if ids is not None:
        calls += [unchanged.add, unchanged.upsert]
    for call in calls:
        with pytest.raises(kind):
            call(ids)


def test_ids_say_which_row(unchanged):
    with pytest.raises(ConfigError, match="row 2 is -7"):
        unchanged.add([1, 2, -7])
    with pytest.raises(TypeError, match="row 1: expected int or str, not bool"):
        unchanged.add([1, False])
    with pytest.raises(TypeError, match="id"):
        unchanged[None]
    with pytest.raises(TypeError, match="id"):
        unchanged[["a"]]
    with pytest.raises(DimensionError, match="second argument"):
        unchanged.add(np.ones((2, 2)))


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({}, ConfigError, "nothing to write"),
        ({"ids": [1, 2], "contents": ["x"]}, ConfigError, "contents: expected 2"),
        ({"ids": [1, 2], "contents": "x"}, ConfigError, "contents: expected 2"),
        ({"ids": [1, 2], "metadata": {"k": 1}}, ConfigError, "metadata: expected 2"),
        ({"ids": [1, 2], "vectors": [[1, 2]] * 3}, DimensionError, "vectors: expected 2.*not 3"),
        ({"ids": 1, "vectors": [[1, 2]] * 2}, DimensionError, "vectors: expected 1"),
        ({"ids": [1, 2], "vectors": [1, 2]}, DimensionError, "vectors: expected 2"),
        ({"vectors": [[1, 2], None], "contents": ["x"]}, ConfigError, "contents: expected 2"),
        ({"ids": [1], "vectors": [[1, 2, 3]]}, DimensionError, "length 2, not 3"),
        ({"vectors": [[1, 2], [1]]}, DimensionError, "differ in length"),
        ({"vectors": [[[1, 2]]]}, DimensionError, "dimensions"),
        ({"vectors": 3.0}, DimensionError, "dimensions"),
        ({"vectors": [["x", "y"]]}, DTypeError, "real numbers"),
        ({"vectors": [1j, 2]}, DTypeError, "real numbers"),
        ({"vectors": [1.0, None]}, TypeError, "vectors and None"),
        ({"vectors": [[1, 2], [1, math.nan]]}, InvalidVectorError, "row 1"),
        ({"vectors": [[1, 2], None, [math.inf, 1]]}, InvalidVectorError, "row 2"),
        ({"vectors": np.array([[1e300, 0]])}, InvalidVectorError, "row 0"),
        ({"vectors": [None, [1e25, 0]]}, InvalidVectorError, "row 1"),
        ({"contents": [1]}, TypeError, "row 0: expected str, bytes or None, not int"),
        ({"contents": [bytearray(b"x")]}, TypeError, "not bytearray"),
        ({"contents": bytearray(b"x")}, TypeError, "bytearray"),
        ({"contents": 5}, TypeError, "contents"),
        ({"contents": {"a": 1}}, TypeError, "contents"),
        ({"contents": ["x", "\ud83d"]}, ConfigError, "row 1"),
        ({"metadata": "x"}, TypeError, "metadata"),
        ({"metadata": [{}, []]}, TypeError, "row 1: expected dict, not list"),
        ({"metadata": {"k": {1, 2}}}, TypeError, "row 0"),
        ({"metadata": {(1, 2): 1}}, TypeError, "row 0"),
        ({"metadata": [{}, {"k": math.nan}]}, ConfigError, "row 1"),
        ({"metadata": {"k": "\ud83d"}}, ConfigError, "row 0"),
        ({"ids": [1, 2], "strength": [1, 2, 3]}, ConfigError, "strength: expected one, or 2"),
        ({"ids": 1, "strength": math.inf}, ConfigError, "strength: row 0"),
        ({"ids": [1, 2], "confidence": [1, math.nan]}, ConfigError, "confidence: row 1"),
        ({"ids": 1, "confidence": 1e300}, ConfigError, "confidence"),
        ({"ids": 1, "strength": "1"}, TypeError, "strength"),
        ({"ids": 1, "strength": None}, TypeError, "strength"),
        ({"ids": 1, "strength": [[1]]}, ConfigError, "strength"),
    ],
)
def test_add_and_upsert(unchanged, arguments, kind, says):
    for write in (unchanged.add, unchanged.upsert):
        with pytest.raises(kind, match=says):
            write(**arguments)


def test_the_row_of_a_vector_is_an_attribute(unchanged):
    for vectors in ([[1, 2], [1, math.nan]], [None, [1, math.nan]], [None, [1, 1e300]]):
        with pytest.raises(InvalidVectorError) as caught:
            unchanged.add(vectors=vectors)
        assert caught.value.row == 1


def test_metadata_that_holds_itself(unchanged):
    metadata = {}
    metadata["me"] = metadata
    with pytest.raises(ConfigError, match="row 0"):
        unchanged.add(metadata=metadata)
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ConfigError, match="row 0"):
        unchanged.add(metadata={"deep": deep})


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({"src": ["a", "b"], "dst": ["a"]}, ConfigError, "dst: expected 2"),
        ({"src": "a", "dst": "b", "kind": ""}, ConfigError, "kind"),
        ({"src": "a", "dst": "b", "kind": "k" * 256}, ConfigError, "kind"),
        ({"src": "a", "dst": "b", "kind": "\ud800"}, ConfigError, "kind"),
        ({"src": "a", "dst": "b", "kind": None}, TypeError, "kind"),
        ({"src": "a", "dst": "b", "kind": b"k"}, TypeError, "kind"),
        ({"src": "a", "dst": "b", "kind": 5}, TypeError, "kind"),
        ({"src": "a", "dst": "b", "kind": ["k", "l"]}, ConfigError, "kind: expected one, or 1"),
        ({"src": "a", "dst": "b", "kind": [7]}, TypeError, "kind: row 0"),
        ({"src": "a", "dst": "b", "weight": math.nan}, ConfigError, "weight"),
        ({"src": "a", "dst": "b", "weight": [1, 2]}, ConfigError, "weight"),
        ({"src": "a", "dst": "b", "confidence": None}, TypeError, "confidence"),
        ({"src": "a", "dst": "b", "confidence": math.inf}, ConfigError, "confidence"),
    ],
)
def test_link(unchanged, arguments, kind, says):
    with pytest.raises(kind, match=says):
        unchanged.link(**arguments)


@pytest.mark.parametrize(("src", "dst"), [("a", "no"), ("no", "a"), (["a", "no"], ["b", "b"])])
def test_links_to_nothing(unchanged, src, dst):
    with pytest.raises(NotFoundError, match="'no'") as caught:
        unchanged.link(src, dst)
    assert caught.value.id == "no"
    for call in (unchanged.links, unchanged.expand, lambda id: unchanged.paths("a", id)):
        with pytest.raises(KeyError) as caught:
            call("no")
        assert caught.value.id == "no"


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda s: s.search([1.0]), DimensionError),
        (lambda s: s.search([[1.0, 2.0, 3.0]]), DimensionError),
        (lambda s: s.search(["x", "y"]), DTypeError),
        (lambda s: s.search([math.nan, 1]), InvalidVectorError),
        (lambda s: s.search([1, 2], k=0), ConfigError),
        (lambda s: s.search([1, 2], k=True), TypeError),
        (lambda s: s.search([1, 2], k=2**21), ConfigError),
        (lambda s: s.search([1, 2], ef=0), ConfigError),
        (lambda s: s.search([1, 2], threads=-1), ConfigError),
        (lambda s: s.links("a", 5), TypeError),
        (lambda s: s.links("a", "\ud800"), ConfigError),
        (lambda s: s.links("a", direction="up"), ConfigError),
        (lambda s: s.links(["a", "b"]), TypeError),
        (lambda s: s.expand("a", 0), ConfigError),
        (lambda s: s.expand("a", 1, [1]), TypeError),
        (lambda s: s.expand("a", 1, None, math.nan), ConfigError),
        (lambda s: s.expand("a", 1, None, "x"), TypeError),
        (lambda s: s.expand("a", limit=0), ConfigError),
        (lambda s: s.paths("a", "b", 0), ConfigError),
        (lambda s: s.paths("a", "b", limit=-1), ConfigError),
        (lambda s: s.related([[1, 2]]), DimensionError),
        (lambda s: s.related([1, 2], decay=1.5), ConfigError),
        (lambda s: s.related([1, 2], decay=math.nan), ConfigError),
        (lambda s: s.related([1, 2], hops=-1), ConfigError),
        (lambda s: s.scan(-1), ConfigError),
        (lambda s: s.scan(0, -1), ConfigError),
        (lambda s: s.scan(0.5), TypeError),
        (lambda s: s.wait_durable(10**6), ConfigError),
        (lambda s: s.wait_durable("x"), TypeError),
    ],
)
def test_reads(unchanged, call, kind):
    with pytest.raises(kind):
        call(unchanged)


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ({"mode": "b"}, ConfigError),
        ({"mode": None}, ConfigError),
        ({"sync": "sometimes"}, ConfigError),
        ({"metric": "manhattan"}, ConfigError),
        ({"quantization": "u16"}, ConfigError),
        ({"keep_originals": 1}, TypeError),
        ({"keep_originals": False, "quantization": "none"}, ConfigError),
        ({"m": 7}, ConfigError),
        ({"m": 0}, ConfigError),
        ({"ef_construction": 0}, ConfigError),
        ({"ef_construction": 5000}, ConfigError),
        ({"dim": 0}, ConfigError),
        ({"dim": 20_000}, ConfigError),
        ({"dim": 2.0}, TypeError),
        ({"resident": "disk"}, ConfigError),
        ({"threads": -1}, ConfigError),
        ({"max_bytes": 0}, ConfigError),
        ({"reconcile_interval_ms": 0}, ConfigError),
        ({"flush_threshold": 0}, ConfigError),
    ],
)
def test_open(path, option, kind):
    for place in (path, ":memory:"):
        with pytest.raises(kind):
            sutra.open(place, **option)
    assert not path.exists()


def test_open_places(path, tmp_path):
    for place in ("", "a\0b"):
        with pytest.raises(ValueError, match="path"):
            sutra.open(place)
    with pytest.raises(TypeError):
        sutra.open(None)
    with pytest.raises(FileNotFoundError):
        sutra.open(path, mode="r")
    with pytest.raises(FileNotFoundError):
        sutra.open(path / "deeper")
    with pytest.raises(ConfigError, match="memory"):
        sutra.open(":memory:", mode="r")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(NotADirectoryError):
        sutra.open(tmp_path / "file")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("not ours")
    for mode in ("a", "w", "x"):
        with pytest.raises((sutra.CorruptError, FileExistsError)):
            sutra.open(tmp_path / "other", mode=mode)
    assert (tmp_path / "other" / "letter.txt").read_text() == "not ours"


WRITES = [
    lambda s: s.add("c"),
    lambda s: s.upsert("a", contents="x"),
    lambda s: s.delete("a"),
    lambda s: s.touch("a"),
    lambda s: s.link("b", "a"),
    lambda s: s.unlink("a", "b"),
    lambda s: s.compact(),
    lambda s: s.checkpoint(),
]
READS = [
    lambda s: s.flush(),
    lambda s: s.settle(),
    lambda s: s["a"],
    lambda s: s.get("a"),
    lambda s: s.records("a"),
    lambda s: "a" in s,
    lambda s: len(s),
    lambda s: list(s),
    lambda s: list(s.scan()),
    lambda s: s.search([1, 2]),
    lambda s: s.related([1, 2]),
    lambda s: s.links("a"),
    lambda s: s.expand("a"),
    lambda s: s.paths("a", "b"),
    lambda s: s.read_view().close(),
    lambda s: s.verify(),
    lambda s: s.stats(),
    lambda s: s.health(),
    lambda s: s.refresh(),
    lambda s: s.durable_lsn,
    lambda s: s.dim,
]


@pytest.mark.parametrize("write", WRITES)
def test_read_only(path, write, tools):
    with sutra.open(path) as store:
        store.add(["a", "b"], [[1, 2], [3, 4]])
        store.link("a", "b")
        before = tools.state(store)
    with sutra.open(path, mode="r") as store:
        with pytest.raises(ReadOnlyError) as caught:
            write(store)
        assert isinstance(caught.value, PermissionError)
        assert tools.state(store) == before
        assert store.health()["status"] == "read-only"


def test_closed(filled):
    with filled:
        pass
    filled.close()
    assert filled.closed
    for call in [*WRITES, *READS]:
        with pytest.raises(ClosedError):
            call(filled)
    with pytest.raises(ClosedError), filled:
        pass
    assert "closed" in repr(filled)
