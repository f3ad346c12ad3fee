"""Conditions: what the two ways of writing them make, and how what is no condition is refused."""

import copy
import enum
import pickle
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest

from sutra import Condition, ConfigError, F
from sutra.where import as_tree

NS = 10**9


class Colour(str, enum.Enum):  # noqa: UP042
    RED = "red"


# ---- F


@pytest.mark.parametrize(
    ("condition", "tree"),
    [
        (F.year == 1990, ("eq", "year", 1990)),
        (F.year != None, ("ne", "year", None)),  # noqa: E711
        (F.year > 1.5, ("gt", "year", 1.5)),
        (F.year >= -(2**63), ("gte", "year", -(2**63))),
        (2000 > F.year, ("lt", "year", 2000)),  # noqa: SIM300
        (F.year <= "b", ("lte", "year", "b")),
        (F.a.b.c == True, ("eq", "a.b.c", True)),  # noqa: E712
        (F["a.b"]["c d"].e == 1, ("eq", "a.b.c d.e", 1)),
        (F.lang.isin(["en", None]), ("in", "lang", ("en", None))),
        (F.lang.notin(()), ("nin", "lang", ())),
        (F.x.isin(np.arange(2)), ("in", "x", (0, 1))),
        (F.tags.contains("x"), ("contains", "tags", "x")),
        (F.tags.exists(), ("exists", "tags", True)),
        (F.tags.exists(False), ("exists", "tags", False)),
        (~(F.a == 1), ("not", ("eq", "a", 1))),
        (~~(F.a == 1), ("eq", "a", 1)),
    ],
)
def test_what_f_makes(condition, tree):
    assert condition._tree == tree


def test_combining():
    a, b, c = F.a == 1, F.b == 2, F.c == 3
    assert (a & b & c)._tree == ("and", (a._tree, b._tree, c._tree))
    assert (a & (b & c)) == (a & b & c)
    assert (a | b | c)._tree == ("or", (a._tree, b._tree, c._tree))
    assert (a & b | c)._tree == ("or", (("and", (a._tree, b._tree)), c._tree))
    assert (a & (b | c)) != (a & b | c)
    wide = a
    for at in range(1000):
        wide |= F.x == at
    assert len(wide._tree[1]) == 1001


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (np.int8(5), 5),
        (np.uint64(2**63 - 1), 2**63 - 1),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("é"), "é"),
        (Colour.RED, "red"),
        (enum.IntEnum("N", "one").one, 1),
        (float("-inf"), float("-inf")),
        (date(1970, 1, 2), ("datetime", 86_400 * NS)),
        (datetime(1970, 1, 1, 0, 0, 1, 5), ("datetime", NS + 5000)),
        (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), ("datetime", -NS)),
        (datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), ("datetime", 0)),
        (np.datetime64("1970-01-01T00:00:00.000000001"), ("datetime", 1)),
        (np.datetime64("1970-02"), ("datetime", 31 * 86_400 * NS)),
        (np.datetime64(-1, "Y"), ("datetime", -365 * 86_400 * NS)),
        (np.datetime64(3, "25s"), ("datetime", 75 * NS)),
        (np.datetime64(-5000, "ps"), ("datetime", -5)),
        (np.datetime64("2262-04-11"), ("datetime", 9_223_286_400 * NS)),
        (np.datetime64("1677-09-22"), ("datetime", -9_223_286_400 * NS)),
    ],
)
def test_values(given, value):
    for tree in ((F.a == given)._tree, as_tree({"a": given}), as_tree({"a": {"$eq": given}})):
        assert tree == ("eq", "a", value)
        assert type(tree[2]) is type(value)
    assert F.a.isin([given])._tree == ("in", "a", (value,))


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (float("nan"), ConfigError),
        (np.float64("nan"), ConfigError),
        (2**63, ConfigError),
        (-(2**63) - 1, ConfigError),
        pytest.param(10**5000, ConfigError, id="long"),
        (np.uint64(2**63), ConfigError),
        ("\ud800", ConfigError),
        (np.datetime64("NaT", "ns"), ConfigError),
        (np.datetime64("2263-01-01"), ConfigError),
        (np.datetime64("2262-04-12"), ConfigError),
        (np.datetime64(10**9, "Y"), ConfigError),
        (np.datetime64(2**62, "s"), ConfigError),
        (np.datetime64(1, "ps"), ConfigError),
        (datetime(1600, 1, 1), ConfigError),
        (datetime(9999, 12, 31, tzinfo=UTC), ConfigError),
        (b"x", TypeError),
        ([1], TypeError),
        ({1}, TypeError),
        (np.arange(3), TypeError),
        (np.timedelta64(1, "s"), TypeError),
        (1j, TypeError),
        (object(), TypeError),
        (F.b, TypeError),
    ],
)
def test_what_is_no_value(given, error):
    for make in (
        lambda: F.path == given,
        lambda: F.path.isin([1, given]),
        lambda: F.path.contains(given),
        lambda: as_tree({"path": {"$lt": given}}),
        lambda: as_tree({"path": {"$in": [given]}}),
    ):
        with pytest.raises(error, match="path"):
            make()
    if not isinstance(given, np.ndarray):
        with pytest.raises(error, match="path"):
            as_tree({"path": given})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: bool(F.a == 1), "&"),
        (lambda: F.a.startswith("x"), "not a method.*contains"),
        (lambda: F("a"), r"F\.year"),
        (lambda: 1990 <= F.year < 2000, r"\(F.year >= 1990\) & \(F.year < 2000\)"),
        (lambda: F.a == 1 and F.b == 2, "in place of and"),
        (lambda: not F.a, "compare it"),
        (lambda: F.a == 1 & F.b == 2, "parentheses"),
        (lambda: F.a | (F.b == 2), "parentheses"),
        (lambda: ~F.a, "F.a == True"),
        (lambda: "x" in F.tags, "contains"),
        (lambda: list(F.tags), "iterable"),
        (lambda: (F.a == 1) & True, "unsupported"),
        (lambda: (F.a == 1) | {"a": 1}, "unsupported"),
        (lambda: F.a[0], "str"),
        (lambda: F[1], "str"),
        (lambda: F.a.isin("abc"), "sequence"),
        (lambda: F.a.isin(5), "sequence"),
        (lambda: F.a.exists(1), "True or False"),
        (lambda: Condition(), "F.year"),
        (lambda: hash(F.a), "unhashable"),
        (lambda: as_tree(F.a), "compare it"),
        (lambda: as_tree(True), "expected a condition"),
        (lambda: as_tree([F.a == 1]), "expected a condition"),
    ],
)
def test_what_makes_no_condition(make, words):
    with pytest.raises(TypeError, match=words):
        make()


def test_bad_paths():
    for make in (lambda path: F[path] == 1, lambda path: as_tree({path: 1})):
        for path in ("", "x" * 2000, "\ud800"):
            with pytest.raises(ConfigError):
                make(path)
    for name in ("_a", "__len__"):
        with pytest.raises(AttributeError):
            getattr(F, name)
        with pytest.raises(AttributeError):
            getattr(F.a, name)
    assert (F["_a"] == 1)._tree == ("eq", "_a", 1)


def test_more_than_64_deep():
    deep = F.a == 1
    nested = {"a": 1}
    for at in range(31):  # two nodes each
        deep = ~(deep & (F.x == at))
        nested = {"$not": nested, "x": at}
    assert (deep | (F.b == 1))._tree[0] == "or"
    as_tree(nested)
    with pytest.raises(ConfigError, match="64"):
        ~(deep | (F.b == 1))
    for _ in range(100_000):
        nested = {"$not": nested}
    with pytest.raises(ConfigError, match="64"):
        as_tree(nested)
    inside = {"$gt": 1}
    for _ in range(100):
        inside = {"$not": inside}
    with pytest.raises(ConfigError, match="64"):
        as_tree({"a": inside})
    with pytest.raises(ConfigError, match="64"):
        as_tree({"$not": {"$and": [{"c": 1}, {"$not": {"$or": [deep, {"b": 1}]}}]}})


def test_copies_and_pickles():
    condition = (F.a == 1) & ~F.b.isin([1, 2.5])
    for made in (copy.copy(condition), copy.deepcopy(condition)):
        assert made == condition
    assert pickle.loads(pickle.dumps(condition)) == condition
    assert {condition: 1}[pickle.loads(pickle.dumps(condition))] == 1
    assert repr(pickle.loads(pickle.dumps(F.a.b))) == "F.a.b"
    assert copy.deepcopy(F) is F
    assert (F.a == 1) != (F.a == True)  # noqa: E712
    assert (F.a == 1) != 1


@pytest.mark.parametrize(
    "source",
    [
        "F.a == 1",
        "F.a.b != 'x'",
        "F['a b'] > 1.5",
        "F['_a'] == None",
        "F['class'] == 1",
        "F['a.isin'] == 1",
        "F['ﬁ'] == 1",
        "F['a..b'] == 1",
        "F.x < float('inf')",
        "F.t >= np.datetime64('2020-01-01T00:00:00')",
        "F.t >= np.datetime64('2020-01-01T00:00:00.000000001')",
        "F.tags.contains('x')",
        "F.tags.isin([1, None, True])",
        "F.tags.notin([])",
        "F.tags.exists()",
        "F.tags.exists(False)",
        "(F.a == 1) & (~(F.b == 2))",
        "((F.a == 1) & (F.b == 2)) | (F.c == 3)",
    ],
)
def test_a_condition_is_shown_as_its_source(source):
    condition = eval(source)
    assert repr(condition) == source


# ---- dicts


def test_what_dicts_make():
    assert as_tree({"lang": "en"}) == ("eq", "lang", "en")
    assert as_tree({"lang": None}) == ("eq", "lang", None)
    assert as_tree({"year": {"$gte": 1990, "$lt": 2000}}) == (
        "and", (("gte", "year", 1990), ("lt", "year", 2000)),
    )  # fmt: skip
    assert as_tree({"a.b": 1, "$not": {"c": 2}}) == (
        "and", (("eq", "a.b", 1), ("not", ("eq", "c", 2))),
    )  # fmt: skip
    assert as_tree({"$or": [{"a": 1}, F.b == 2, {"$and": [{"c": 3}, {"d": 4}]}]}) == (
        "or",
        (("eq", "a", 1), ("eq", "b", 2), ("and", (("eq", "c", 3), ("eq", "d", 4)))),
    )
    assert as_tree({"a": {"$not": {"$gt": 1, "$exists": True}}}) == (
        "not", ("and", (("gt", "a", 1), ("exists", "a", True))),
    )  # fmt: skip
    for name, value in (("eq", 1), ("ne", 1), ("gt", 1), ("gte", 1), ("lt", 1), ("lte", 1),
                        ("contains", 1), ("exists", False)):  # fmt: skip
        assert as_tree({"a": {f"${name}": value}}) == (name, "a", value)
    for name in ("in", "nin"):
        assert as_tree({"a": {f"${name}": [1, 2]}}) == (name, "a", (1, 2))
        assert as_tree({"a": {f"${name}": []}}) == (name, "a", ())


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-02", 86_400 * NS),
        ("1970-01-01 00:01", 60 * NS),
        ("1970-01-01T00:00:01.5Z", 3 * NS // 2),
        ("1970-01-01T01:00:00.000000001+01:00", 1),
        ("1969-12-31T23:59:59.25", -3 * NS // 4),
    ],
)
def test_times_in_dicts(text, ns):
    for given in (
        {"t": {"$gt": {"$datetime": text}}},
        {"$and": [{"t": {"$gt": {"$datetime": text}}}]},
    ):
        assert as_tree(given) == ("gt", "t", ("datetime", ns))
    assert as_tree({"t": {"$datetime": text}}) == ("eq", "t", ("datetime", ns))


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({}, ConfigError, "at least one"),
        ({"a": {}}, ConfigError, "a: expected an operator"),
        ({"a": {"$gtee": 1}}, ConfigError, r"a: \$gtee: .* did you mean \$gte\?"),
        ({"a": {"$GT": 1}}, ConfigError, r"did you mean \$gt\?"),
        ({"a": {"b": 1}}, ConfigError, "'a.b'"),
        ({"a": {"$gt": 1, "b": 1}}, ConfigError, "'a.b'"),
        ({"a": {3: 1}}, ConfigError, "3"),
        ({"$nor": [{"a": 1}]}, ConfigError, r"\$nor: .* did you mean \$or\?"),
        ({"$gt": 1}, ConfigError, r"\$gt"),
        ({"$and": []}, ConfigError, r"\$and"),
        ({"$or": []}, ConfigError, r"\$or"),
        ({"$or": [{}]}, ConfigError, r"\$or: 0"),
        ({"$and": {"a": 1}}, TypeError, r"\$and: expected a list"),
        ({"$or": [{"a": 1}, 5]}, TypeError, r"\$or: 1"),
        ({"$not": [{"a": 1}]}, TypeError, r"\$not"),
        ({"a": {"$not": 5}}, TypeError, r"a: \$not"),
        ({"a": {"$in": 5}}, TypeError, r"a: \$in"),
        ({"a": {"$nin": "x"}}, TypeError, r"a: \$nin"),
        ({"a": {"$exists": 1}}, TypeError, r"a: \$exists"),
        ({"a": {"$gt": None}}, ConfigError, r"a: \$gt"),
        ({"a": {"$lte": [1]}}, TypeError, r"a: \$lte"),
        ({"a": [1]}, TypeError, "a: .*isin"),
        ({"a": {"$eq": {"b": 1}}}, TypeError, "outer.inner"),
        ({1: 2}, TypeError, "int"),
        ({"a": {"$gt": {"$datetime": 5}}}, ConfigError, r"\$datetime: 5"),
        ({"a": {"$gt": {"$datetime": "2020-02-30"}}}, ConfigError, "2020-02-30"),
        ({"a": {"$gt": {"$datetime": "2020"}}}, ConfigError, "2020"),
        ({"a": {"$gt": {"$datetime": "3000-01-01"}}}, ConfigError, "64 bits"),
    ],
)
def test_what_is_no_dict_of_conditions(given, error, words):
    with pytest.raises(error, match=words):
        as_tree(given)
