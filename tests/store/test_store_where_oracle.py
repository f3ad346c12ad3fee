"""Conditions on metadata against their definition in Python: declared, not declared, both."""

import random
import re
from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import sutra
from sutra import F
from sutra.where import as_tree

# ---- what conditions mean

MISSING = object()
TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?(Z|([+-])(\d\d):(\d\d))?",
    re.ASCII,
)


def lookup(metadata, path):
    if metadata is None:
        return MISSING
    if path in metadata:
        return metadata[path]
    for name in path.split("."):
        if not isinstance(metadata, dict) or name not in metadata:
            return MISSING
        metadata = metadata[name]
    return metadata


def instant(text):
    """Nanoseconds since 1970 of a text; None if it is no date or time."""
    match = TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone, sign, zone_hour, zone_minute = (
        match.groups()
    )
    try:
        moment = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
            tzinfo=UTC,
        )  # fmt: skip
    except ValueError:
        return None
    if sign:
        offset = timedelta(hours=int(zone_hour), minutes=int(zone_minute))
        moment += -offset if sign == "+" else offset
    assert zone is None or zone == "Z" or sign
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    ns = seconds * 10**9 + int((fraction or "0").ljust(9, "0")[:9])
    return ns if -(2**63) <= ns < 2**63 else None


def comparable(found, value):
    """Both as something that Python compares; None if they are of kinds that do not compare."""
    if isinstance(value, tuple):
        ns = instant(found) if isinstance(found, str) else None
        return None if ns is None else (ns, value[1])
    for kinds in (bool, (int, float), str):
        if isinstance(value, kinds):
            fits = isinstance(found, kinds) and isinstance(found, bool) == isinstance(value, bool)
            return (found, value) if fits else None
    return None


def equal(found, value):
    if value is None:
        return found is None or found is MISSING
    pair = comparable(found, value)
    return pair is not None and pair[0] == pair[1]


ORDERS = {
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}


def holds(node, metadata):
    kind, *rest = node
    if kind == "and":
        return all(holds(part, metadata) for part in rest[0])
    if kind == "or":
        return any(holds(part, metadata) for part in rest[0])
    if kind == "not":
        return not holds(rest[0], metadata)
    found, value = lookup(metadata, rest[0]), rest[1]
    if kind == "exists":
        return (found is not MISSING) == value
    if kind in ORDERS:
        pair = comparable(found, value)
        return pair is not None and ORDERS[kind](*pair)
    if kind == "contains":
        if isinstance(found, list):
            return any(equal(item, value) for item in found)
        return isinstance(found, str) and isinstance(value, str) and value in found
    if kind in ("in", "nin"):
        return any(equal(found, one) for one in value) == (kind == "in")
    return equal(found, value) == (kind == "eq")


# ---- metadata: fields of one type, as they can be declared, and whatever else

FIELDS = {
    "n": "int", "x": "float", "flag": "bool", "s": "str", "t": "datetime",
    "o.n": "int", "o.p.s": "str", "dotted.name": "str",
}  # fmt: skip
INTS = [0, 1, -1, 2, 7, 2**53, 2**53 + 1, 2**62 + 1, 2**63 - 1, -(2**63)]
FLOATS = [0.0, -0.0, 0.5, 1.0, 2.5, -1e300, 5e-324, float(2**53), float(2**63)]
TEXTS = ["", "a", "ab", "b", "é", "\uffff", "\U0001f600", "a\x00b", '"\\/\n', "1", "null"]
TIMES = [
    "2020-01-01", "2020-01-01T00:00:00Z", "2020-01-01 00:00", "2020-01-01T01:00+01:00",
    "2019-12-31T23:59:59.999999999", "1969-12-31T23:59:59.5Z", "2024-02-29T12:30:15.25-08:30",
    "1700-01-01", "2200-12-31T23:59:59Z",
]  # fmt: skip
NO_TIMES = ["2020-1-1", "2020-02-30", "2020-01-01T", "2020-01-01T25:00", "20200101", "2020-01-01x"]
INSTANTS = [("datetime", instant(text) + more) for text in TIMES for more in (0, 1)]
TYPED = {
    "int": INTS,
    "float": FLOATS + INTS,
    "bool": [True, False],
    "str": TEXTS,
    "datetime": TIMES,
}
SCALARS = [None, True, False, *INTS, *FLOATS, *TEXTS, *TIMES, *NO_TIMES]
PATHS = [*FIELDS, "any", "any.a", "any.a.b", "o", "o.p", "é", "list", "dotted", "n.n", "none"]


def anything(chance, depth=3):
    if depth == 0 or chance.random() < 0.5:
        return chance.choice(SCALARS)
    if chance.random() < 0.5:
        return [anything(chance, depth - 1) for _ in range(chance.randrange(4))]
    names = ["a", "b", "a.b", "é", "any", ""]
    return {chance.choice(names): anything(chance, depth - 1) for _ in range(chance.randrange(4))}


def metadata_of(chance):
    """What a store with the fields declared takes."""
    if chance.random() < 0.1:
        return chance.choice([None, {}])

    def typed(kind):
        return None if chance.random() < 0.1 else chance.choice(TYPED[kind])

    def some(**names):
        return {name: typed(kind) for name, kind in names.items() if chance.random() < 0.7}

    made = some(n="int", x="float", flag="bool", s="str", t="datetime")
    if chance.random() < 0.8:
        made["o"] = some(n="int")
        if chance.random() < 0.7:
            made["o"]["p"] = chance.choice([some(s="str"), None, 5, "s"])
    if chance.random() < 0.4:
        made["dotted.name"] = typed("str")
    if chance.random() < 0.4:
        made["dotted"] = chance.choice([some(name="str"), [], 1])
    for name in ("any", "é", "list"):
        if chance.random() < 0.6:
            made[name] = anything(chance)
    items = list(made.items())
    chance.shuffle(items)
    return dict(items)


VALUES = st.sampled_from([*SCALARS, *INSTANTS]) | st.integers(-3, 3) | st.text(max_size=2)
PATH = st.sampled_from(PATHS)
LEAVES = st.one_of(
    st.tuples(st.sampled_from(["eq", "ne", "contains"]), PATH, VALUES),
    st.tuples(st.sampled_from([*ORDERS]), PATH, VALUES.filter(lambda value: value is not None)),
    st.tuples(st.sampled_from(["in", "nin"]), PATH, st.lists(VALUES, max_size=5).map(tuple)),
    st.tuples(st.just("exists"), PATH, st.booleans()),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(
            st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=4).map(tuple)
        ),
        st.tuples(st.just("not"), inner),
    ),
    max_leaves=10,
)
QUICK = settings(
    max_examples=250, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip


def as_dict(node):
    """The dict that says the same."""
    kind, *rest = node
    if kind in ("and", "or"):
        return {f"${kind}": [as_dict(part) for part in rest[0]]}
    if kind == "not":
        return {"$not": as_dict(rest[0])}
    path, value = rest
    if kind in ("in", "nin"):
        return {path: {f"${kind}": [as_python(one) for one in value]}}
    return {path: {f"${kind}": as_python(value)}}


def as_python(value):
    return np.datetime64(value[1], "ns") if isinstance(value, tuple) else value


class Filled:
    """A store, and what is in it."""

    def __init__(self, path, declared, seed):
        self.store = sutra.open(path, dim=2, sync="off")
        self.metadata = {}
        chance = random.Random(seed)
        fields = list(FIELDS.items())
        chance.shuffle(fields)
        for step in range(6):
            if declared:  # some before there is anything, some with much in it
                for name, kind in fields[step::6]:
                    self.store.index_field(name, kind)
            for _ in range(40):
                self.put(chance, chance.randrange(150))
            self.remove([chance.randrange(150) for _ in range(5)])
            if step == 2:
                self.store.checkpoint()
            if step == 4:
                self.store.compact()

    def put(self, chance, id):
        metadata = metadata_of(chance)
        self.store.upsert(id, chance.choice([[1.0, 0.5], None]), metadata=metadata)
        if metadata is not None or id not in self.metadata:  # None leaves what was there
            self.metadata[id] = metadata

    def remove(self, ids):
        self.store.delete(ids)
        for id in ids:
            self.metadata.pop(id, None)

    def expected(self, tree):
        return sorted(id for id, metadata in self.metadata.items() if holds(tree, metadata))

    def check(self, tree):
        expected = self.expected(tree)
        where = as_dict(tree)
        assert sorted(one.id for one in self.store.scan(where=where)) == expected
        assert self.store.count(where) == len(expected)


@pytest.fixture(scope="module", params=["declared", "read"])
def filled(request, tmp_path_factory):
    filled = Filled(tmp_path_factory.mktemp("where") / "s", request.param == "declared", 1)
    assert filled.store.fields() == (FIELDS if request.param == "declared" else {})
    yield filled
    filled.store.close()


@given(tree=TREES)
@QUICK
def test_random_trees(filled, tree):
    filled.check(tree)


def test_every_operator_on_every_field(filled):
    """Each kind of value with each operator: more than chance comes by."""
    values = [*SCALARS, *INSTANTS]
    for path in ("n", "x", "flag", "s", "t", "o.p.s", "any"):
        for kind in ("eq", "ne", "contains", *ORDERS):
            found = {}
            for value in values:
                if kind in ORDERS and value is None:
                    continue
                tree = (kind, path, value)
                found[repr(value)] = (filled.store.count(as_dict(tree)), len(filled.expected(tree)))
            assert {key: pair for key, pair in found.items() if pair[0] != pair[1]} == {}
        for wanted in (True, False):
            filled.check(("exists", path, wanted))


@given(tree=TREES)
@settings(QUICK, max_examples=60)
def test_the_source_says_the_same(tree):
    condition = sutra.Condition._of(as_tree(as_dict(tree)))
    assert eval(repr(condition), {"F": F, "np": np}) == condition
    assert as_tree(as_dict(condition._tree)) == condition._tree


@pytest.mark.parametrize("declared", [True, False])
def test_what_is_kept_is_what_was_there(path, declared):
    """Old views, the files after a checkpoint and after the log alone, and a reader beside."""
    chance = random.Random(3)
    filled = Filled(path, declared, 2)
    trees = [("gt", "n", 0), ("eq", "s", "a"), ("lt", "t", INSTANTS[0]), ("ne", "x", 1.0),
             ("eq", "flag", True), ("exists", "o.n", True), ("contains", "s", "a")]  # fmt: skip

    def answers(reader):
        return [sorted(one.id for one in reader.scan(where=as_dict(tree))) for tree in trees]

    def expected():
        return [filled.expected(tree) for tree in trees]

    before = expected()
    with filled.store.read_view() as view:
        for id in range(0, 150, 2):
            filled.put(chance, id)
        filled.remove(list(range(0, 150, 7)))
        assert answers(view) == before
        assert answers(filled.store) == expected() != before
        filled.store.compact()
        assert answers(view) == before
    assert answers(filled.store) == expected()
    with sutra.open(path, mode="r") as reader:
        assert answers(reader) == expected()
        filled.put(chance, 1)
        filled.store.flush()
        reader.refresh()
        assert answers(reader) == expected()
    fields = filled.store.fields()
    for end in ("close", "abandon", "checkpoint"):
        filled.put(chance, chance.randrange(150))
        filled.store.flush()
        if end == "checkpoint":
            filled.store.checkpoint()
            filled.put(chance, chance.randrange(150))
        filled.store.close() if end == "close" else filled.store._core.abandon()
        filled.store = sutra.open(path)
        assert filled.store.fields() == fields
        assert answers(filled.store) == expected()
        filled.store.verify(deep=True)
    filled.store.close()
