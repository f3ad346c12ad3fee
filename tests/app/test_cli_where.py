"""Conditions on the command line: what is found, shown, written, removed; and what is refused."""

import json

import numpy as np
import pytest

from sutra import open as open_store

COLD = '{"hot": false}'


@pytest.fixture
def menu(here):
    with open_store("menu", dim=2) as store:
        store.add(
            ["tea", "milk", "coffee", "juice", "pot"],
            [[1, 0], [0.9, 0.1], [0.8, 0.3], [0.5, 0.5], None],
            metadata=[
                {"hot": True, "since": 1662, "at": "2024-05-31"},
                {"hot": False, "since": -8000, "made": {"by": "cow"}},
                {"hot": True, "since": 1554},
                {"hot": False, "at": "2024-06-01T00:00:00+02:00"},
                None,
            ],
        )
        store.link(["tea", "tea", "milk"], ["milk", "juice", "pot"])
    return here / "menu"


def test_search(sutra, menu):
    found = sutra.json("search", menu, "--id", "tea", "--where", COLD)
    assert found["results"][0]["ids"] == ["milk", "juice"]
    found = sutra.json("search", menu, "--id", "tea", "-k", 1, "--where", '{"made.by": "cow"}')
    assert found["results"][0]["ids"] == ["milk"]
    early = '{"at": {"$lte": {"$datetime": "2024-05-31"}}}'
    assert sutra.json("search", menu, "--id", "tea", "--where", early)["results"][0]["ids"] == [
        "tea"
    ]
    np.save("two.npy", np.eye(2))
    found = sutra.json("search", menu, "--vector", "two.npy", "--where", COLD, "--exact")
    assert [one["ids"] for one in found["results"]] == [["milk", "juice"], ["juice", "milk"]]
    assert sutra("search", menu, "--id", "tea", "--where", COLD) == 0
    assert "coffee" not in sutra.out
    assert "milk" in sutra.out


def test_related(sutra, menu):
    found = sutra.json("related", menu, "--id", "tea", "-k", 3, "--hops", 2, "--where", COLD)
    assert {one["id"] for one in found["results"]} == {"milk", "juice"}
    missing = '{"hot": {"$exists": false}}'
    found = sutra.json("related", menu, "--id", "tea", "-k", 3, "--hops", 2, "--where", missing)
    (pot,) = found["results"]
    assert pot["id"] == "pot"
    assert pot["ids"][-2:] == ["milk", "pot"]
    with open_store(menu) as store:
        store.link("pot", "tea")
    found = sutra.json("related", menu, "--id", "pot", "--hops", 2, "--where", COLD)  # no vector
    assert [one["id"] for one in found["results"]] == ["milk", "juice"]


def test_get(sutra, menu):
    found = sutra.json("get", menu, "--where", '{"since": {"$gt": 0}}')
    assert [one["id"] for one in found["concepts"]] == ["tea", "coffee"]
    assert found["missing"] == []
    found = sutra.json("get", menu, "--where", '{"since": {"$gt": 0}}', "--limit", 1, "--vectors")
    assert [one["id"] for one in found["concepts"]] == ["tea"]
    assert found["concepts"][0]["vector"] == [1, 0]
    assert sutra.json("get", menu, "--where", '{"since": 5}')["concepts"] == []
    assert sutra("get", menu) == 2
    assert "--where" in sutra.err
    assert sutra("get", menu, "tea", "--where", COLD) == 2
    assert "--where" in sutra.err
    assert "--limit" in sutra.fails(2, "get", menu, "tea", "--limit", 1)


def test_export(sutra, menu, everything):
    hot = '{"$not": {"hot": false}}'
    for name in ("some.ndjson", "some.npz"):
        assert sutra.json("export", menu, "-o", name, "--where", hot)["count"] == 3
        assert sutra("create", f"from-{name}", "--dim", 2) == 0
        assert sutra("import", f"from-{name}", name) == 0
        order, found = everything(f"from-{name}")
        _, whole = everything(menu)
        assert order == ["tea", "coffee", "pot"]
        assert all(found[id][:3] == whole[id][:3] for id in order)
        assert found["tea"][6] == {}  # its links led to what was left out
    assert (
        sutra.json("export", menu, "-o", "cold.npy", "--ids", "ids", "--where", COLD)["count"] == 2
    )
    assert np.load("cold.npy").shape == (2, 2)
    assert sutra("export", menu, "--where", '{"hot": {"$in": [true, false]}}') == 0
    lines = [json.loads(line) for line in sutra.out.splitlines()]
    assert [line["id"] for line in lines] == ["tea", "milk", "coffee", "juice"]
    assert [link["to"] for link in lines[0]["links"]] == ["milk", "juice"]
    assert "links" not in lines[1]


def test_rm(sutra, menu):
    assert sutra.json("rm", menu, "--where", COLD) == {"matching": 2, "removed": 0, "count": 5}
    assert sutra("rm", menu, "--where", COLD) == 0
    assert "2 of 5 would go" in sutra.out
    assert sutra.json("rm", menu, "--where", COLD, "--yes") == {"removed": 2, "count": 3}
    assert sutra.json("links", menu, "tea")["links"] == []
    assert sutra("rm", menu, "--where", COLD, "--yes") == 0
    assert "removed 0" in sutra.out
    assert sutra("rm", menu) == 2
    assert "--where" in sutra.err
    assert sutra("rm", menu, "tea", "--where", COLD, "--yes") == 2
    assert "--where" in sutra.err
    assert sutra.json("info", menu)["concepts"] == 3


def test_fields(sutra, menu):
    assert sutra.json("fields", menu) == {"fields": {}}
    declared = {"since": "int", "made.by": "str", "at": "datetime"}
    options = [part for path, type in declared.items() for part in ("--add", f"{path}={type}")]
    assert sutra.json("fields", menu, *options) == {"fields": declared}
    assert sutra("fields", menu) == 0
    assert "made.by" in sutra.out
    assert sutra.json("info", menu)["fields"] == declared
    assert sutra("info", menu) == 0
    assert "datetime" in sutra.out
    found = sutra.json("search", menu, "--id", "tea", "--where", '{"since": {"$lt": 1600}}')
    assert found["results"][0]["ids"] == ["milk", "coffee"]
    assert "since" in sutra.fails(1, "put", menu, "--id", "x", "--metadata", '{"since": "old"}')
    assert sutra.json("fields", menu, "--drop", "since", "--drop", "at")["fields"] == {
        "made.by": "str"
    }
    assert sutra("put", menu, "--id", "x", "--metadata", '{"since": "old"}') == 0
    assert "x" in sutra.fails(1, "fields", menu, "--add", "since=int")
    for wrong in ("since", "since=number", "=int"):
        assert sutra("fields", menu, "--add", wrong) in (1, 2)
    assert sutra.json("fields", menu)["fields"] == {"made.by": "str"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("5", "object"),
        ('[{"a": 1}]', "object"),
        ("{}", "at least one"),
        ('{"a": {"$gtee": 1}}', "did you mean $gte?"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 99999999999999999999}', "bits"),
        ('{"$and": []}', "$and"),
    ],
)
def test_what_is_no_condition(sutra, menu, given, words):
    for verb in (["search", menu, "--id", "tea"], ["export", menu], ["rm", menu, "--yes"],
                 ["get", menu], ["related", menu, "--id", "tea"]):  # fmt: skip
        assert sutra(*verb, "--where", given) == 2
        assert words in sutra.err
        assert "--where" in sutra.err
    assert sutra.json("info", menu)["concepts"] == 5


def test_an_index_has_no_metadata(sutra, here):
    np.save("v.npy", np.eye(4, dtype=np.float32))
    assert sutra("build", "v.npy", "v.sutra") == 0
    for verb in (["search", "v.sutra", "--id", 1], ["export", "v.sutra"], ["get", "v.sutra"]):
        assert "no metadata" in sutra.fails(2, *verb, "--where", COLD)


@pytest.mark.filterwarnings("default::sutra.SlowFilterWarning")
def test_fields_that_are_not_declared_are_told(sutra, here):
    with open_store("many", dim=1, sync="off") as store:
        store.add(contents=["x"] * 6000, metadata=[{"n": at} for at in range(6000)])
    found = sutra.json("get", "many", "--where", '{"n": 7}')
    assert [one["id"] for one in found["concepts"]] == [7]
    assert sutra.err.startswith("sutra: where: 'n' is not declared")
    assert sutra.err.count("\n") == 1
    assert sutra("fields", "many", "--add", "n=int") == 0
    assert sutra("get", "many", "--where", '{"n": 7}') == 0
    assert sutra.err == ""
