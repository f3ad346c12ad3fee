"""Declared fields and predicates, below the public API: what is refused and how it is said, and
that a view shows what a plain evaluation of the metadata finds."""

import datetime
import random

import numpy as np
import pytest

import sutra
from sutra import CapacityError, ClosedError, ConfigError, CorruptError, ReadOnlyError
from sutra._predicate import Predicate
from sutra._search import IdSets

TYPES = {"i": "int", "f": "float", "b": "bool", "s": "str", "t": "datetime", "o.n": "int"}


def where(reader, tree):
    """The ids that a predicate is true of."""
    view = reader._core.view() if hasattr(reader, "_core") else reader
    bits = np.unpackbits(view.where(Predicate(tree)), bitorder="little")
    return view.ids_of(np.flatnonzero(bits).astype(np.uint32)).tolist()


def batched(store, calls):
    """Name and arguments of each; of an upsert id and metadata."""
    with store.batch() as batch:
        for name, *arguments in calls:
            if name == "upsert":
                batch.upsert(arguments[0], metadata=arguments[1])
            else:
                getattr(batch, name)(*arguments)


# ---- predicates


def test_paths_come_once_and_in_order():
    tree = ("and", (("eq", "b", 1), ("or", (("ne", "a.c", None), ("exists", "b", False)))))
    assert Predicate(tree).paths == ["b", "a.c"]
    assert Predicate(("and", ())).paths == []


@pytest.mark.parametrize(
    "tree",
    [
        "eq",
        (),
        (1, "a", 2),
        ["eq", "a", 1],
        ("like", "a", "b"),
        ("eq", "a"),
        ("eq", "a", 1, 2),
        ("eq", 1, 1),
        ("eq", "", 1),
        ("eq", "p" * 256, 1),
        ("eq", "\ud800", 1),
        ("eq", "a", "\udfff"),
        ("eq", "a", float("nan")),
        ("eq", "a", 2**63),
        ("eq", "a", -(2**63) - 1),
        ("eq", "a", ("datetime", 2**63)),
        ("eq", "a", ("datetime", 1.5)),
        ("eq", "a", ("date", 1)),
        ("eq", "a", [1]),
        ("eq", "a", {"b": 1}),
        ("eq", "a", b"x"),
        ("gt", "a", None),
        ("lte", "a", None),
        ("in", "a", [1]),
        ("in", "a", (1, [2])),
        ("nin", "a", 1),
        ("exists", "a", 1),
        ("not", ("eq", "a", 1), 2),
        ("and", [("eq", "a", 1)]),
        ("or", ("eq", "a", 1)),
    ],
)
def test_what_is_no_predicate(tree):
    with pytest.raises(ConfigError):
        Predicate(tree)


def test_how_large_a_predicate_may_be():
    tree = ("eq", "a", 1)
    for _ in range(64):
        tree = ("not", tree)
    Predicate(tree)
    with pytest.raises(CapacityError, match="64"):
        Predicate(("not", tree))
    Predicate(("or", (("eq", "a", 1),) * 65535))
    with pytest.raises(CapacityError, match="65536"):
        Predicate(("or", (("eq", "a", 1),) * 65536))
    Predicate(("in", "p" * 255, tuple(range(100_000))))


# ---- declaring


def test_declared_and_dropped(store):
    store.add([1, 2], metadata=[{"n": 1}, {"n": None, "o": {"s": "x"}}])
    assert store._core.view().fields() == []
    before = store._core.view()
    assert store.index_field("n", "int").count == 1
    assert store.index_field("n", "int").count == 0
    done = store.index_field("o.s", "str")
    assert (done.lsn, done.count) == (4, 1)
    assert before.fields() == [("n", "int"), ("o.s", "str")]  # they have no versions
    assert store.stats()["fields"] == 2
    assert where(before, ("eq", "n", 1)) == where(store, ("eq", "n", 1)) == [1]
    assert where(store, ("eq", "o.s", "x")) == [2]
    assert store.drop_field("n").count == 1
    assert store.drop_field("n").count == 0
    store.add(3, metadata={"n": "anything"})
    assert where(store, ("eq", "n", "anything")) == [3]
    with pytest.raises(ConfigError, match="id 3 do not fit: expected int, found str"):
        store.index_field("n", "int")
    assert store._core.view().fields() == [("o.s", "str")]


@pytest.mark.parametrize(
    ("type", "value", "found"),
    [
        ("int", 1.0, "float"),
        ("int", 2**63, "int that is larger"),
        ("int", True, "bool"),
        ("float", "1.5", "str"),
        ("bool", 0, "int"),
        ("str", [], "list"),
        ("str", {}, "dict"),
        ("datetime", "2023-02-29", "no date or time"),
        ("datetime", 1.5, "float"),
    ],
)
def test_what_does_not_fit(store, type, value, found):
    store.index_field("other", "int")
    store.index_field("a.b", type)
    with pytest.raises(ConfigError, match=rf"row 1 \(id 'tea'\), field 'a.b': .*{found}"):
        store.add([7, "tea"], metadata=[{"a": {"b": None}}, {"a": {"b": value}}])
    assert len(store) == 0
    store.add(7, metadata={"a": {"c": value}})
    calls = [("delete", 7), ("upsert", 8, {"a.b": value})]
    with pytest.raises(ConfigError, match="operation 1 of the batch"):
        batched(store, calls)
    assert list(store) == [7]
    store.drop_field("a.b")
    store.add("tea", metadata={"a": {"b": value}})
    with pytest.raises(ConfigError, match=rf"id 'tea' do not fit: .*{found}"):
        store.index_field("a.b", type)


def test_batches(store):
    with store.batch() as batch:
        batch.index_field("n", "int")
        batch.index_field("m", "str")
        batch.add([1, 2], metadata=[{"n": 1}, {"n": 2, "m": "two"}])
    assert where(store, ("gt", "n", 1)) == [2]
    calls = [("drop_field", "n"), ("index_field", "x", "bool"), ("upsert", 3, {"x": 1})]
    with pytest.raises(ConfigError, match="field 'x': expected bool, found int"):
        batched(store, calls)
    calls = [("upsert", 3, {}), ("index_field", "k", "int")]  # too late: a concept is made
    with pytest.raises(ConfigError):
        batched(store, calls)
    assert store._core.view().fields() == [("n", "int"), ("m", "str")]
    with pytest.raises(ConfigError, match="declared as int, not float"):
        store.index_field("n", "float")


@pytest.mark.parametrize(
    ("field", "type", "error"),
    [
        ("", "int", ConfigError),
        ("p" * 256, "int", ConfigError),
        ("\ud800", "int", ConfigError),
        ("n", "integer", ConfigError),
        (b"n", "int", TypeError),
    ],
)
def test_what_is_no_field(store, field, type, error):
    with pytest.raises(error):
        store.index_field(field, type)


def test_limits_and_states(tmp_path):
    with sutra.open(tmp_path / "store") as store:
        for number in range(64):
            store.index_field(f"f{number}", "int")
        with pytest.raises(CapacityError, match="64"):
            store.index_field("more", "int")
        view = store._core.view()
    with pytest.raises(ClosedError):
        store.index_field("more", "int")
    assert len(view.fields()) == 64
    view.end()
    for call in (view.fields, lambda: view.where(Predicate(("and", ())))):
        with pytest.raises(ClosedError):
            call()
    with sutra.open(tmp_path / "store", mode="r") as store:
        assert store._core.view().fields()[63] == ("f63", "int")
        with pytest.raises(ReadOnlyError):
            store.drop_field("f0")


def test_readers_follow(tmp_path):
    with sutra.open(tmp_path / "store") as store, sutra.open(tmp_path / "store", mode="r") as read:
        store.index_field("n", "int")
        store.add(range(200), metadata=[{"n": n % 3, "m": n} for n in range(200)])
        read.refresh()
        assert where(read, ("eq", "n", 1)) == list(range(1, 200, 3))
        store.drop_field("n")
        store.index_field("m", "int")
        store.upsert(1, metadata={"n": "one"})
        store.compact()
        read.refresh()
        assert read._core.view().fields() == [("m", "int")]
        assert where(read, ("gte", "m", 190)) == list(range(190, 200))
        assert where(read, ("eq", "n", "one")) == [1]


def test_a_search_takes_what_passes(store, tools):
    vectors = tools.rows(300)
    store.add(range(300), vectors, metadata=[{"n": n} for n in range(300)])
    store.index_field("n", "int")
    store.delete(range(0, 300, 7))
    view = store._core.view()
    sets = IdSets([view.where(Predicate(("lt", "n", 50)))])
    ((ids, *_),) = view.search(vectors[:1], 300, 0, True, 1, sets)
    assert sorted(ids.tolist()) == [n for n in range(50) if n % 7]


def test_repair_does_without_damaged_fields(tmp_path):
    with sutra.open(tmp_path / "store") as store:
        store.index_field("name", "str")
        store.add(range(10), metadata=[{"name": str(n)} for n in range(10)])
        store.compact()  # leaves one manifest that counts
    for file in (tmp_path / "store").glob("*.seg"):
        data = file.read_bytes()
        file.write_bytes(data.replace(b"\4\0\0\0\4\0\0\0name", b"\7\0\0\0\4\0\0\0name"))
    with pytest.raises(CorruptError):
        sutra.open(tmp_path / "store")
    report = sutra.repair(tmp_path / "store", tmp_path / "saved")
    assert report["lost_fields"]
    assert report["concepts"] == 10
    with sutra.open(tmp_path / "saved") as store:
        assert store._core.view().fields() == []
        assert where(store, ("eq", "name", "3")) == [3]


# ---- a plain evaluation beside it

MISSING = object()
SCALARS = [
    0,
    1,
    -1,
    7,
    0.0,
    1.0,
    7.5,
    -1e300,
    2**53 + 1,
    True,
    False,
    "",
    "a",
    "ab",
    "é",
    "😀",
    None,
]
INSTANTS = ["2020-01-01", "2020-01-01T01:00+01:00", "2021-06-01 12:00:00.25", "1969-12-31T23:59Z"]


def describe(rng):
    """Metadata that fit TYPES, and more."""
    texts = ["a", "ab", "é", "😀", 'quote"\\', ""]
    full = {
        "i": rng.choice([0, 1, 7, 2**63 - 1, None]),
        "f": rng.choice([0.0, 1, 7.5, 2**53 + 1, -1e300, None]),
        "b": rng.choice([True, False, None]),
        "s": rng.choice([*texts, None]),
        "t": rng.choice([*INSTANTS, None]),
        "o": {"n": rng.choice([1, 7, None])},
        "u": rng.choice([*SCALARS, *INSTANTS, [1, "a", None], [True, 7.5], {}, []]),
        rng.choice(["x.y", "x"]): rng.choice([{"y": 1}, 1]),
    }
    return {key: full[key] for key in full if rng.random() < 0.8}


def at(metadata, path):
    if path in metadata:
        return metadata[path]
    for key in path.split("."):
        if not isinstance(metadata, dict) or key not in metadata:
            return MISSING
        metadata = metadata[key]
    return metadata


def instant(text):
    try:
        parsed = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=datetime.UTC)
    since = parsed - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return since // datetime.timedelta(microseconds=1) * 1000


def order(found, value):
    """-1, 0, 1, or None where the two do not compare."""
    if isinstance(value, tuple):
        found, value = instant(found) if isinstance(found, str) else None, value[1]
        if found is None:
            return None
    kinds = [
        bool if isinstance(x, bool) else float if isinstance(x, (int, float)) else type(x)
        for x in (found, value)
    ]
    if kinds[0] is not kinds[1] or kinds[0] not in (bool, float, str, type(None)):
        return None
    return 0 if found is None else (found > value) - (found < value)


def holds(tree, metadata):
    op, *rest = tree
    if op in ("and", "or"):
        return (all if op == "and" else any)(holds(part, metadata) for part in rest[0])
    if op == "not":
        return not holds(rest[0], metadata)
    found = at(metadata, rest[0])
    value = rest[1]
    if op == "exists":
        return (found is not MISSING) == value
    if op in ("ne", "nin"):
        return not holds(("eq" if op == "ne" else "in", *rest), metadata)
    if op in ("eq", "in"):
        known = None if found is MISSING else found
        return any(order(known, one) == 0 for one in (value if op == "in" else [value]))
    if op == "contains":
        if isinstance(found, str):
            return isinstance(value, str) and value in found
        return isinstance(found, list) and any(order(one, value) == 0 for one in found)
    place = order(found, value)
    return (
        place is not None
        and {
            "gt": place > 0,
            "gte": place >= 0,
            "lt": place < 0,
            "lte": place <= 0,
        }[op]
    )


def draw(rng, depth):
    """A random predicate."""
    if depth and rng.random() < 0.6:
        op = rng.choice(["and", "or", "not"])
        if op == "not":
            return ("not", draw(rng, depth - 1))
        return (op, tuple(draw(rng, depth - 1) for _ in range(rng.randrange(4))))
    values = [value for value in SCALARS if value is not None]
    values += ['quote"', ("datetime", 1577836800 * 10**9), ("datetime", 0), INSTANTS[0], 1e19]
    path = rng.choice([*TYPES, "u", "x.y", "o", "nowhere"])
    op = rng.choice(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "exists"])
    if op == "exists":
        return (op, path, rng.random() < 0.5)
    if op in ("in", "nin"):
        return (op, path, tuple(rng.choices([*values, None], k=rng.randrange(5))))
    return (op, path, rng.choice(values if op[0] in "gl" else [*values, None]))


@pytest.mark.parametrize("seed", range(3))
def test_as_plainly(tmp_path, seed):
    rng = random.Random(seed)
    held = {}
    with sutra.open(tmp_path / "store") as store:
        for turn in range(12):
            for _ in range(25):
                id = rng.randrange(150)
                if rng.random() < 0.2:
                    store.delete(id)
                    held.pop(id, None)
                else:
                    held[id] = describe(rng)
                    store.upsert(id, metadata=held[id])
            if turn in (3, 7):
                for path in rng.sample(sorted(TYPES), 4):
                    store.index_field(path, TYPES[path])
            if turn == 9:
                store.compact()
            for _ in range(25):
                tree = draw(rng, 3)
                expected = [id for id in held if holds(tree, held[id])]
                assert sorted(where(store, tree)) == sorted(expected), tree
        store.verify(deep=True)
