"""Conditions on metadata, in every call that takes one: what passes, is told, is refused."""
# ruff: noqa: E711, E712, PT012

import threading
import warnings

import numpy as np
import pytest

import sutra
from sutra import ConfigError, F, SlowFilterWarning

DIM = 16
ROWS = 3_000
LANGUAGES = ["en", "de", "fr", "it"]
SECONDS = 60


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(2).standard_normal((ROWS, DIM), dtype=np.float32)


@pytest.fixture(scope="module")
def queries():
    return np.random.default_rng(9).standard_normal((12, DIM), dtype=np.float32)


@pytest.fixture(scope="module")
def books():
    """Metadata of concepts 0, 1, 2, ...; the last ones have none."""
    chance = np.random.default_rng(5)
    made = [
        {
            "year": int(chance.integers(1900, 2000)),
            "lang": LANGUAGES[chance.integers(4)],
            "tags": [f"t{tag}" for tag in chance.integers(0, 9, 2)],
            "author": {"name": f"a{chance.integers(300)}"},
        }
        for _ in range(ROWS - 10)
    ]
    return made + [None] * 10


def fill(store, vectors, books):
    store.add(np.arange(ROWS), vectors, metadata=books)


@pytest.fixture(params=["declared", "read"])
def library(request, tmp_path, vectors, books):
    """A store of books, whose fields are declared or not; nothing is linked into the graph yet."""
    with sutra.open(tmp_path / "s", dim=DIM, metric="l2", sync="off") as store:
        if request.param == "declared":
            store.index_field("year", "int")
            store.index_field("lang", "str")
        fill(store, vectors, books)
        if request.param == "declared":
            store.index_field("author.name", "str")
        yield store


@pytest.fixture
def small(path):
    """Five concepts on disk."""
    with sutra.open(path, metric="l2") as store:
        store.add(
            ["a", "b", "c", "d", 5],
            [[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], None, [5.0, 0.0]],
            metadata=[{"n": 1}, {"n": 2}, {"n": 3, "x": None}, {"n": 4}, None],
        )
        yield store


def best(vectors, passing, query, k=10):
    passing = np.asarray(passing)
    distances = ((vectors[passing].astype(np.float64) - query) ** 2).sum(axis=1)
    return passing[np.argsort(distances)[:k]].tolist()


def those(books, test):
    return [id for id, book in enumerate(books) if book is not None and test(book)]


def ids(found):
    return [one.id for one in found]


# ---- search

CASES = [
    (F.year >= 1950, lambda book: book["year"] >= 1950),
    ((F.year < 1910) & (F.lang == "de"), lambda book: book["year"] < 1910 and book["lang"] == "de"),
    ({"lang": {"$in": ["fr", "xx"]}}, lambda book: book["lang"] == "fr"),
    (F.tags.contains("t3"), lambda book: "t3" in book["tags"]),
    (F.author.name == "a7", lambda book: book["author"]["name"] == "a7"),
]


@pytest.mark.parametrize("settled", [True, False])
def test_search(library, vectors, queries, books, settled):
    if settled:
        library.settle()
    for where, test in CASES:
        passing = those(books, test)
        right = 0
        for hits, query in zip(
            library.search(queries, 10, ef=200, where=where), queries, strict=True
        ):
            assert set(hits.ids.tolist()) <= set(passing)
            assert len(hits) == min(10, len(passing))
            right += len(set(hits.ids.tolist()) & set(best(vectors, passing, query)))
        assert right >= 0.95 * min(10, len(passing)) * len(queries)
        for query in queries[:3]:
            exactly = library.search(query, 10, exact=True, where=where)
            assert exactly.ids.tolist() == best(vectors, passing, query)


def test_search_with_a_filter_and_a_radius(library, vectors, queries, books):
    passing = those(books, lambda book: book["lang"] == "en")
    half = np.arange(0, ROWS, 2)
    both = sorted(set(passing) & set(half.tolist()))
    mask = np.zeros(ROWS, dtype=bool)
    mask[half] = True
    for given in (half, half.tolist(), mask, np.packbits(mask, bitorder="little")):
        hits = library.search(queries[0], 10, exact=True, filter=given, where=F.lang == "en")
        assert hits.ids.tolist() == best(vectors, both, queries[0])
    none = library.search(queries[0], 10, filter=[], where=F.lang == "en")
    assert len(none) == 0
    distances = ((vectors[both].astype(np.float64) - queries[0]) ** 2).sum(axis=1)
    radius = float(np.sort(distances)[20]) + 1e-3
    hits = library.search(queries[0], radius=radius, exact=True, filter=half, where={"lang": "en"})
    assert hits.ids.tolist() == best(vectors, both, queries[0], 21)
    several = library.search(
        queries[:2], radius=radius, exact=True, filter=[half, [1, 2, 3]], where=F.lang == "en"
    )
    assert several[0].ids.tolist() == hits.ids.tolist()
    assert set(several[1].ids.tolist()) <= {1, 2, 3} & set(passing)


def test_one_condition_for_each_query(library, vectors, queries, books):
    wheres = [F.lang == name for name in LANGUAGES]
    found = library.search(queries[:4], 5, exact=True, where=wheres)
    for hits, name, query in zip(found, LANGUAGES, queries, strict=False):
        passing = those(books, lambda book, name=name: book["lang"] == name)
        assert hits.ids.tolist() == best(vectors, passing, query, 5)
    both = library.search(
        queries[:2], 5, exact=True, where=[{"lang": "en"}, F.year < 1950], filter=[[1, 2], [3, 4]]
    )
    assert set(both[0].ids.tolist()) == {1, 2} & set(
        those(books, lambda book: book["lang"] == "en")
    )
    assert set(both[1].ids.tolist()) == {3, 4} & set(those(books, lambda book: book["year"] < 1950))
    assert library.search(queries[0], 1, where=[F.year > 0])[0].id is not None
    assert library.search(queries[:0], 5, where=[]) == []
    for count in (1, 3):
        with pytest.raises(ConfigError, match=f"where: {count} of them for 2"):
            library.search(queries[:2], 5, where=wheres[:count])


def test_nothing_and_everything(library, queries):
    assert len(library.search(queries[0], 10, where=F.year > 2000)) == 0
    assert library.count(F.year > 2000) == 0
    assert list(library.scan(where=F.lang.isin([]))) == []
    everything = library.search(
        queries[0], 10, exact=True, where=F.year.exists() | (F.year == None)
    )
    assert everything.ids.tolist() == library.search(queries[0], 10, exact=True).ids.tolist()
    assert library.count(F.lang.notin([])) == library.count() == len(library) == ROWS


# ---- explain


def test_explain(library, queries, books):
    library.settle()
    declared = bool(library.fields())
    passing = len(those(books, lambda book: book["author"]["name"] == "a7" and book["tags"]))
    where = (F.author.name == "a7") & F.tags.exists()
    plan = library.explain(queries[0], where=where)
    assert plan.kind == "code scan"
    assert plan.matching == plan.passing == passing
    assert plan.declared == (("author.name",) if declared else ())
    assert plan.scanned == (("tags",) if declared else ("author.name", "tags"))
    for word in (f"{passing} concepts", "tags", "author.name"):
        assert word in plan.why
    several = library.explain(queries[:2], where=[F.year >= 1900, where])
    assert [one.matching for one in several] == [ROWS - 10, passing]
    both = library.explain(queries[:2], where=where, filter=[[1], [2, 3]])
    assert [one.matching for one in both] == [passing, passing]
    assert all(one.passing <= 2 for one in both)
    plain = library.explain(queries[0])
    assert (plain.matching, plain.declared, plain.scanned) == (None, (), ())


# ---- scan, count


def test_scan_and_count(library, books):
    passing = those(books, lambda book: book["lang"] == "de")
    where = {"lang": "de"}
    assert ids(library.scan(where=where)) == passing
    assert ids(library.scan(5, where=where)) == passing[5:]
    assert ids(library.scan(5, 7, where=where)) == passing[5:12]
    assert ids(library.scan(len(passing) - 1, 7, where=where)) == passing[-1:]
    assert ids(library.scan(0, 0, where=where)) == []
    assert library.count(where) == len(passing)
    assert library.count() == ROWS
    concept = next(library.scan(where=where))
    assert concept.metadata == books[concept.id]


def test_a_scan_sees_the_state_of_its_call(small):
    found = small.scan(where=F.n >= 2)
    small.upsert(["b", "d"], metadata=[{"n": 0}, {"n": 0}])
    assert ids(found) == ["b", "c", "d"]
    assert ids(small.scan(where=F.n >= 2)) == ["c"]


# ---- associations


def test_related(path):
    """Concepts that do not pass activate, are passed through, and are not told."""
    with sutra.open(path, metric="cosine") as store:
        names = ["near", "far", "hidden", "behind", "off"]
        angles = [0.1, 1.0, 0.0, None, 1.4]
        store.add(
            names,
            [None if a is None else [np.cos(a), np.sin(a)] for a in angles],
            metadata=[{"ok": name != "hidden"} for name in names],
        )
        store.link(["hidden", "behind"], ["behind", "off"])
        query = [1.0, 0.0]
        everything = store.related(query, k=1, hops=1, decay=0.9)
        assert ids(everything) == ["hidden"]
        one = store.related(query, k=1, hops=1, decay=0.9, where=F.ok == True)
        assert ids(one) == ["near"]
        two = store.related(query, k=2, hops=1, decay=0.9, where={"ok": True})
        assert ids(two) == ["near", "behind"]
        assert two[1].path.ids == ("hidden", "behind")
        assert np.isnan(two[1].distance)
        four = store.related(query, k=4, hops=2, decay=0.9, where=F.ok == True)
        assert ids(four) == ["near", "behind", "off", "far"]
        assert four[2].path.ids == ("hidden", "behind", "off")
        assert four[3].distance == pytest.approx(1 - np.cos(1.0), abs=1e-5)
        unbounded = store.related(query, k=5, hops=2, decay=0.9)
        assert [hit.id for hit in unbounded if hit.id != "hidden"] == ids(four)
        assert len(store.related(query, k=4, where=F.ok == 5)) == 0
        with store.read_view() as view:
            assert ids(view.related(query, k=2, hops=1, decay=0.9, where={"ok": True})) == ids(two)
    with sutra.open(":memory:") as fresh:  # no dimension yet
        assert len(fresh.related([1.0], k=1, where=F.ok == 1)) == 0


def test_expand(small):
    small.link(["a", "b", "c"], ["b", "c", "d"])
    assert ids(small.expand("a", 3)) == ["b", "c", "d"]
    assert ids(small.expand("a", 3, where=F.n >= 3)) == ["c", "d"]
    assert ids(small.expand("a", 3, limit=1, where=F.n >= 3)) == ["c"]
    assert small.expand("a", 3, where=F.n >= 4)[0].path.ids == ("a", "b", "c", "d")
    assert small.expand("a", 3, where=F.n == 9) == []


# ---- delete


def test_delete(small):
    small.link(["a", "c"], ["b", "d"])
    assert small.delete(where=F.n > 9) == 0
    assert small.delete(where=(F.n >= 2) & (F.n < 4)) == 2
    assert list(small) == ["a", "d", 5]
    assert small.links("a") == []
    assert small.delete(where={"n": None}) == 1
    assert list(small) == ["a", "d"]
    assert small.delete(where=F.n.exists()) == 2
    assert len(small) == 0
    small.verify(deep=True)


def test_what_was_deleted_stays_so(small, path):
    small.delete(where=F.n >= 3)
    small._core.abandon()
    with sutra.open(path) as store:
        assert list(store) == ["a", "b", 5]
        before = store.stats()["visible_lsn"]
        assert store.delete(where=F.n >= 3) == 0
        assert store.stats()["visible_lsn"] == before  # nothing to write
        store.index_field("n", "int")
        assert store.delete(where=F.n == 2) == 1
        store._core.abandon()
    with sutra.open(path, mode="r") as store:
        assert list(store) == ["a", 5]
        with pytest.raises(sutra.ReadOnlyError):
            store.delete(where=F.n == 1)


def test_delete_in_a_batch(small):
    """What was there is replaced by what is new, at once."""
    with small.batch() as batch:
        assert small.delete("a") == -1
        assert small.delete(where=F.n <= 2) == -1
        small.link("c", "d")
        small.add(["b", "new"], metadata=[{"n": 1}, {"n": 1}])
    assert [result.count for result in batch.results] == [1, 1, 1, 2]
    assert list(small) == ["b", "c", "d", 5, "new"]
    assert small.count(F.n == 1) == 2
    with pytest.raises(sutra.SutraError, match="before what a batch adds"), small.batch():
        small.add("more", metadata={"n": 1})
        small.delete(where=F.n == 1)
    assert "more" not in small
    with pytest.raises(sutra.DuplicateIdError), small.batch():
        small.delete(where=F.n == 1)
        small.add("c")
    assert small.count(F.n == 1) == 2
    with small.batch() as batch:
        small.delete(where=F.n == 77)
    assert [result.count for result in batch.results] == [0]


def test_a_long_delete(library, books):
    passing = those(books, lambda book: book["year"] < 1990)
    assert library.delete(where=F.year < 1990) == len(passing)
    assert len(library) == ROWS - len(passing)
    assert library.count(F.year < 1990) == 0


@pytest.mark.parametrize("declared", [True, False])
def test_delete_beside_a_writer(path, declared):
    """Nothing comes between looking and removing, and nobody sees half of it."""
    rounds = 150
    with sutra.open(path, sync="off") as store:
        if declared:
            store.index_field("gone", "bool")
        failures = []
        done = threading.Event()

        def write():
            try:
                for at in range(rounds):
                    names = [f"{at}a", f"{at}b"]
                    store.add(names, metadata=[{"gone": True}] * 2)
                    keep = f"{at}k"
                    store.add(keep, metadata={"gone": True})
                    store.upsert(keep, metadata={"gone": False})
                    if keep not in store:
                        failures.append(keep)
            except BaseException as error:
                failures.append(error)
            finally:
                done.set()

        def look():
            while not done.is_set():
                with store.read_view() as view:
                    seen = [id for id in view if not id.endswith("k")]
                    if len(seen) % 2:
                        failures.append(seen)

        threads = [threading.Thread(target=work, daemon=True) for work in (write, look)]
        for thread in threads:
            thread.start()
        removed = 0
        while not done.is_set():
            removed += store.delete(where=F.gone == True)
        for thread in threads:
            thread.join(SECONDS)
            assert not thread.is_alive()
        removed += store.delete(where={"gone": True})
        assert failures == []
        assert len(store) == rounds
        assert 2 * rounds <= removed <= 3 * rounds
        assert store.count({"gone": False}) == rounds


# ---- views and readers


def test_a_view_sees_what_was(small):
    with small.read_view() as view:
        small.upsert(["a", "b"], metadata=[{"n": 9}, {"m": 9}])
        small.delete("c")
        small.add("e", metadata={"n": 2})
        for _ in range(2):
            assert ids(view.scan(where=F.n <= 3)) == ["a", "b", "c"]
            assert view.count(F.n == 9) == 0
            assert view.search([1.0, 0.0], 3, where=F.n <= 3).ids.tolist() == ["a", "b", "c"]
            assert ids(small.scan(where=F.n <= 3)) == ["e"]
            assert small.search([1.0, 0.0], 3, where=F.n == 9).ids.tolist() == ["a"]
            small.index_field("n", "int")
            small.checkpoint()
        assert view.explain([1.0, 0.0], where=F.n <= 3).matching == 3
    with pytest.raises(sutra.ClosedError):
        view.count(F.n == 1)


def test_what_is_not_given_stays(small):
    small.upsert("a", contents="new")
    assert ids(small.scan(where=F.n == 1)) == ["a"]
    small.touch("a")
    assert ids(small.scan(where=F.n == 1)) == ["a"]
    small.upsert("a", metadata={})
    assert small.count(F.n == 1) == 0


def test_hits_have_their_metadata(small):
    hits = small.search([1.0, 0.0], 5, where=F.n > 1)
    assert [hit.metadata["n"] for hit in hits] == [2, 3]


def test_a_batch_is_not_seen_before_its_end(small):
    with small.batch():
        small.add("new", metadata={"n": 1})
        assert small.count(F.n == 1) == 1
    assert small.count(F.n == 1) == 2


# ---- fields


def test_declaring(small, path):
    assert small.fields() == {}
    small.index_field("n", "int")
    small.index_field("x", "datetime")  # null goes with every type
    small.index_field("n", "int")  # again is no error
    assert small.fields() == {"n": "int", "x": "datetime"}
    small.index_field("o.t", "str")
    with small.read_view() as view:
        small.drop_field("x")
        assert view.fields()["n"] == "int"
    assert small.fields() == {"n": "int", "o.t": "str"}
    small.close()
    with sutra.open(path, mode="r") as reader:
        assert reader.fields() == {"n": "int", "o.t": "str"}
        for refused in (lambda: reader.index_field("m", "int"), lambda: reader.drop_field("n")):
            with pytest.raises(sutra.ReadOnlyError):
                refused()
    with sutra.open(path) as again:
        again.drop_field("n")
        assert again.fields() == {"o.t": "str"}
        again._core.abandon()
    with sutra.open(path) as again:
        assert again.fields() == {"o.t": "str"}
        again.upsert("a", metadata={"n": "text"})


@pytest.mark.parametrize(
    ("type", "good", "bad"),
    [
        ("int", [0, -(2**63), 2**63 - 1], [0.5, 1.0, True, "1", [1], {"a": 1}, 2**63]),
        ("float", [0.5, 1, 1e300, -5], [True, "0.5", []]),
        ("bool", [True, False], [0, 1, "true"]),
        ("str", ["", "a", "é\x00"], [1, True, ["a"]]),
        ("datetime", ["2024-05-31", "2024-05-31T12:00:00.5+02:00"], ["May", "2024-02-30", 0, ""]),
    ],
)
def test_types(store, type, good, bad):
    store.add(["null", "missing", "none"], metadata=[{"o": {"f": None}}, {"o": 5}, None])
    store.index_field("o.f", type)
    for at, value in enumerate(good):
        store.upsert(f"good {at}", metadata={"o": {"f": value}})
    for value in bad:
        with pytest.raises(ConfigError, match=r"row 1.*o\.f.*" + type):
            store.add(["fine", "bad"], metadata=[{"o": {"f": good[0]}}, {"o": {"f": value}}])
        with pytest.raises(ConfigError), store.batch():
            store.add("fine")
            store.upsert("good 0", metadata={"o": {"f": value}})
    assert "fine" not in store
    assert store.count(F.o.f.exists()) == 1 + len(good)
    store.drop_field("o.f")
    for value in bad:
        store.add("bad", metadata={"o": {"f": value}})
        with pytest.raises(ConfigError, match="bad"):
            store.index_field("o.f", type)
        assert store.fields() == {}
        store.delete("bad")
    store.index_field("o.f", type)


def test_bad_fields(small):
    for path, error in ((5, TypeError), ("", ConfigError), ("x" * 300, ConfigError),
                        ("\ud800", ConfigError)):  # fmt: skip
        with pytest.raises(error, match="path"):
            small.index_field(path, "int")
        with pytest.raises(error, match="path"):
            small.drop_field(path)
    for type in ("number", "", None, int):
        with pytest.raises(ConfigError, match="type"):
            small.index_field("n", type)
    small.index_field("n", "int")
    with pytest.raises(ConfigError, match="int"):
        small.index_field("n", "float")
    assert small.drop_field("m").count == 0
    assert small.fields() == {"n": "int"}
    small.close()
    for call in (lambda: small.index_field("m", "int"), small.fields, lambda: small.drop_field("n"),
                 lambda: small.count(F.n == 1)):  # fmt: skip
        with pytest.raises(sutra.ClosedError):
            call()


# ---- a word about what is slow


def test_slow_fields_are_told_once(path):
    with sutra.open(path, dim=1, sync="off") as store:
        many = 6000
        store.add(np.arange(many), np.ones((many, 1)), metadata=[{"n": 1, "m": 2}] * many)
        store.index_field("m", "int")
        with pytest.warns(SlowFilterWarning, match="'n'.*index_field") as caught:
            assert store.count((F.n == 1) & (F.m == 2)) == many
        assert [warning.filename for warning in caught] == [__file__]
        store.search([1.0], 1, where={"n": 1, "m": 2})
        with store.read_view() as view:
            view.count(F.n == 1)
            with pytest.warns(SlowFilterWarning, match="'o.p'") as caught:
                view.search([[1.0], [2.0]], 1, where=[{"o.p": 1}, {"n": 2}])
            assert [warning.filename for warning in caught] == [__file__]
        next(store.scan(where=F.o.p == None))
        with pytest.warns(SlowFilterWarning, match="'q'"):
            store.delete(where=F.q == 1)
        store.index_field("n", "int")
        store.drop_field("n")
        store.count(F.n == 1)
    with sutra.open(path, mode="r") as other, pytest.warns(SlowFilterWarning):
        other.count(F.n == 1)


def test_small_stores_are_not_worth_a_word(library):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        library.count(F.never.declared == 1)


# ---- what is refused

BAD = [
    ({}, ConfigError),
    ({"a": {"$gtee": 1}}, ConfigError),
    ({"a": float("nan")}, ConfigError),
    (F.a, TypeError),
    (True, TypeError),
    ("a == 1", TypeError),
    (5, TypeError),
    (np.ones(5, dtype=bool), TypeError),
]


@pytest.mark.parametrize(("given", "error"), BAD)
def test_what_is_no_condition(small, given, error):
    query = [1.0, 0.0]
    for call in (
        lambda: small.search(query, where=given),
        lambda: small.search([query, query], where=[given, F.a == 1]),
        lambda: small.search(query, radius=1.0, where=given),
        lambda: small.explain(query, where=given),
        lambda: small.scan(where=given),
        lambda: small.count(given),
        lambda: small.related(query, where=given),
        lambda: small.expand("a", where=given),
        lambda: small.delete(where=given),
    ):
        with pytest.raises(error, match="where"):
            call()
    assert len(small) == 5


def test_delete_takes_one_of_two(small):
    for call in (small.delete, lambda: small.delete("a", where=F.n == 1)):
        with pytest.raises(TypeError, match="one of them"):
            call()
    for call in (lambda: small.count([F.n == 1]), lambda: small.scan(where=[F.n == 1])):
        with pytest.raises(TypeError, match="where"):
            call()
    assert len(small) == 5


def test_an_empty_store(store):
    assert store.count(F.a == 1) == 0
    assert store.count(F.a == None) == 0
    assert list(store.scan(where=F.a == None)) == []
    assert store.delete(where=F.a == None) == 0
    assert len(store.search([1.0], 3, where=F.a == 1)) == 0
    assert store.explain([1.0], where=F.a == 1).matching == 0
