"""The verbs for a store: what they write, what they show, and how they refuse."""

import base64
from pathlib import Path

import numpy as np
import pytest

from sutra import open as open_store

DIM = 4


@pytest.fixture
def store(drinks):
    return drinks


def concept(store, id):
    with open_store(store, mode="r") as opened:
        return opened[id]


# ---- create


def test_create_makes_what_was_asked_for(sutra, here):
    report = sutra.json(
        "create", "new", "--dim", 8, "--metric", "l2", "--m", 8, "--ef-construction", 50,
        "--quantization", "u4", "--no-originals",
    )  # fmt: skip
    stats = sutra.json("stats", "new")
    for made in (report["stats"], stats):
        assert (made["dim"], made["metric"], made["m"]) == (8, "l2", 8)
        assert (made["ef_construction"], made["quantization"]) == (50, "u4")
        assert made["keep_originals"] is False
        assert made["concepts"] == 0


def test_create_leaves_the_dimension_to_the_first_vector(sutra, here):
    assert sutra("create", "new") == 0
    assert "any dimension" in sutra.out
    Path("v.npy").touch()
    np.save("v.npy", np.ones((1, 3), np.float32))
    assert sutra("put", "new", "--vector", "v.npy") == 0
    assert sutra.json("info", "new")["dim"] == 3


def test_create_replaces_nothing(sutra, store):
    assert "drinks" in sutra.fails(1, "create", "drinks")
    assert sutra.json("info", store)["concepts"] == 4
    Path("file").write_text("x")
    sutra.fails(1, "create", "file")
    assert Path("file").read_text() == "x"
    assert "nowhere" in sutra.fails(1, "create", "nowhere/new")


# ---- put, get, rm


def test_put_and_get_everything(sutra, store, stdin):
    np.save("vector.npy", np.array([[0.5, 0.25, 0, 1]], np.float32))
    report = sutra.json(
        "put", store, "--id", "milk", "--content", "white", "--metadata", '{"fat": 3.5}',
        "--vector", "vector.npy", "--strength", 0.5, "--confidence", 0.25,
    )  # fmt: skip
    assert report["id"] == "milk"
    (found,) = sutra.json("get", store, "milk", "--vectors")["concepts"]
    assert found["content"] == "white"
    assert found["metadata"] == {"fat": 3.5}
    assert found["vector"] == [0.5, 0.25, 0, 1]
    assert (found["strength"], found["confidence"]) == (0.5, 0.25)
    assert found["reference_count"] == 0
    stdin(b"[1, 2, 3, 4]\n")
    assert sutra("put", store, "--id", "milk", "--vector", "-") == 0
    assert sutra.out == "milk\n"
    after = concept(store, "milk")
    assert after.vector.tolist() == [1, 2, 3, 4]
    assert (after.content, after.metadata) == ("white", {"fat": 3.5})  # what is not given stays
    assert (after.record.strength, after.record.confidence) == (0.5, 0.25)


def test_put_gives_a_number(sutra, store):
    assert sutra("put", store, "--content", "x") == 0
    assert sutra.out == "8\n"
    assert "nothing to put" in sutra.fails(2, "put", store)
    assert sutra.json("put", store, "--id", 12)["id"] == 12
    assert sutra.json("put", store, "--id", 12, "--text-ids")["id"] == "12"
    assert concept(store, 12).id == 12
    assert concept(store, "12").id == "12"


def test_put_reads_contents_from_files(sutra, store, stdin):
    Path("text").write_text("grün\n")
    Path("bytes").write_bytes(b"\xff\x00")
    assert sutra("put", store, "--id", "a", "--content-file", "text") == 0
    assert sutra("put", store, "--id", "b", "--content-file", "bytes") == 0
    stdin(b"piped")
    assert sutra("put", store, "--id", "c", "--content-file", "-") == 0
    assert [concept(store, id).content for id in "abc"] == ["grün\n", b"\xff\x00", "piped"]
    assert "missing" in sutra.fails(1, "put", store, "--content-file", "missing")
    sutra.fails(2, "put", store, "--content-file", "-", "--vector", "-")


def test_put_new_does_not_replace(sutra, store):
    assert "tea" in sutra.fails(1, "put", store, "--id", "tea", "--content", "no", "--new")
    assert concept(store, "tea").content.startswith("a hot")


@pytest.mark.parametrize(
    ("vector", "expected"),
    [
        (np.ones((1, DIM + 1)), str(DIM + 1)),
        (np.ones((2, DIM)), "got 2"),
        (np.full((1, DIM), np.nan), "NaN"),
        (np.full((1, DIM), 1e300), "float32"),
        (np.array([["a"] * DIM]), "numbers"),
    ],
)
def test_put_refuses_bad_vectors(sutra, store, vector, expected):
    np.save("bad.npy", vector)
    assert expected in sutra.fails(1, "put", store, "--id", "tea", "--vector", "bad.npy")
    assert concept(store, "tea").vector.tolist() == [1, 0, 0, 0]


def test_put_refuses_bad_values(sutra, store):
    assert "strength" in sutra.fails(1, "put", store, "--id", "x", "--strength", "inf")
    assert "1024" in sutra.fails(1, "put", store, "--id", "x" * 2000)
    assert str(2**63) in sutra.fails(1, "put", store, "--id", 2**63)
    assert sutra.json("info", store)["concepts"] == 4


def test_get_shows_and_misses(sutra, store):
    assert sutra("get", store, "tea", 7, "nothing", "--vectors") == 1
    assert "a hot drink" in sutra.out
    assert "seven" in sutra.out
    assert '{"year": 1662}' in sutra.out
    assert "\x1b" not in sutra.out
    assert "'nothing'" in sutra.err
    assert sutra.err.count("\n") == 1
    report = sutra.json("get", store, "pot", "nothing", 7, "--vectors", code=1)
    pot, nothing, seven = report["concepts"]
    assert base64.b64decode(pot["content_base64"]) == b"\x00\xff"
    assert nothing is None
    assert (seven["id"], seven["vector"]) == (7, [0, 0, 1, 0])
    assert report["missing"] == ["nothing"]
    assert "vector" not in sutra.json("get", store, "tea")["concepts"][0]
    assert sutra.json("get", store, "tea")["concepts"][0]["strength"] == 0.1


def test_rm(sutra, store):
    assert sutra.json("rm", store, "tea", "nothing", "tea") == {"removed": 1, "count": 3}
    assert sutra.json("links", store, "cup")["links"] == []
    assert sutra("rm", store, 7) == 0
    assert "removed 1 of 1" in sutra.out


# ---- search


def test_search_a_store(sutra, store, stdin):
    found = sutra.json("search", store, "--id", "tea", "-k", 2)
    (result,) = found["results"]
    assert result["ids"][0] == "tea"
    assert result["distances"][0] == pytest.approx(0, abs=1e-6)
    best = result["hits"][0]
    assert best["score"] == pytest.approx(1)
    assert best["content"].startswith("a hot")
    assert best["metadata"] == {"year": 1662}
    assert sutra("search", store, "--id", 7) == 0
    assert sutra.out.splitlines()[0].split() == ["rank", "id", "score", "content"]
    assert sutra.out.splitlines()[1].split() == ["1", "7", "1", "seven"]
    assert "\x1b" not in sutra.out
    np.save("two.npy", np.eye(DIM)[:2])
    for options in (["--vector", "two.npy"], ["--vector", "two.npy", "--exact", "--ef", 10]):
        found = sutra.json("search", store, *options, "-k", 1)
        assert [result["ids"] for result in found["results"]] == [["tea"], ["pot"]]
    for options in (["--stdin"], ["--vector", "-"]):
        stdin(b"0 0 1 0\n")
        assert sutra.json("search", store, *options, "-k", 1)["results"][0]["ids"] == [7]


def test_search_refuses_bad_queries(sutra, store):
    assert "nothing" in sutra.fails(1, "search", store, "--id", "nothing")
    assert "no vector" in sutra.fails(1, "search", store, "--id", "cup")
    np.save("short.npy", np.ones((1, DIM - 1)))
    assert str(DIM - 1) in sutra.fails(1, "search", store, "--vector", "short.npy")
    np.save("nan.npy", np.full((1, DIM), np.nan))
    assert "NaN" in sutra.fails(1, "search", store, "--vector", "nan.npy")
    assert "missing.npy" in sutra.fails(1, "search", store, "--vector", "missing.npy")


# ---- links


def test_link_and_unlink(sutra, store):
    report = sutra.json("link", store, "pot", 7, "--kind", "k", "--weight", 0.5)
    assert (report["source"], report["target"], report["kind"]) == ("pot", 7, "k")
    assert sutra("link", store, "pot", 7, "--kind", "k", "--weight", 0.25) == 0
    assert sutra.out == "pot -k-> 7\n"
    (link,) = sutra.json("links", store, "pot")["links"]
    assert (link["source"], link["target"], link["kind"]) == ("pot", 7, "k")
    assert (link["weight"], link["confidence"]) == (0.25, 1)
    assert sutra.json("unlink", store, "pot", 7)["removed"] == 0  # another kind
    assert sutra.json("unlink", store, "pot", 7, "--all-kinds")["removed"] == 1
    assert sutra("unlink", store, "tea", 7) == 0
    assert "removed 1 link\n" in sutra.out


def test_links_of_a_concept(sutra, store):
    def ends(*options):
        found = sutra.json("links", store, "tea", *options)["links"]
        return {(link["source"], link["target"]) for link in found}

    assert ends() == {("tea", "pot"), ("tea", 7)}
    assert ends("--direction", "in") == {("cup", "tea")}
    assert ends("--direction", "both", "--kind", "in") == {("tea", "pot")}
    assert sutra("links", store, "tea", "--direction", "both") == 0
    assert len(sutra.out.splitlines()) == 4
    assert "nothing" in sutra.fails(1, "links", store, "nothing")
    assert "nothing" in sutra.fails(1, "link", store, "tea", "nothing")
    assert "weight" in sutra.fails(1, "link", store, "tea", 7, "--weight", "nan")


def test_related_shows_the_way(sutra, store):
    found = sutra.json("related", store, "--id", "tea", "-k", 4, "--decay", 0.9)["results"]
    ways = {one["id"]: (one["ids"], one["kinds"]) for one in found}
    assert ways["tea"] == (["tea"], [])
    assert ways["pot"] == (["tea", "pot"], ["in"])
    np.save("tea.npy", np.eye(DIM)[:1])
    again = sutra.json("related", store, "--vector", "tea.npy", "-k", 4, "--decay", 0.9)["results"]
    assert again == found
    assert sutra("related", store, "--id", "tea", "--decay", 0.9) == 0
    assert "tea -in-> pot" in sutra.out
    narrow = sutra.json("related", store, "--id", "tea", "--kind", "holds", "--decay", 0.9)
    assert all(one["kinds"] == [] for one in narrow["results"])


def test_related_without_a_vector_follows_links(sutra, store):
    found = sutra.json("related", store, "--id", "cup", "--hops", 2, "--decay", 0.5)["results"]
    assert [(one["id"], one["score"]) for one in found[:1]] == [("tea", 0.5)]
    assert {(one["id"], one["score"]) for one in found[1:]} == {("pot", 0.25), (7, 0.25)}
    assert found[0]["content"].startswith("a hot")
    assert sutra.json("related", store, "--id", "cup", "-k", 1, "--hops", 2)["results"] == found[:1]
    assert sutra.json("related", store, "--id", "cup", "--hops", 0)["results"] == []


def test_related_refuses(sutra, store):
    np.save("two.npy", np.eye(DIM)[:2])
    assert "got 2" in sutra.fails(1, "related", store, "--vector", "two.npy")
    assert sutra("related", store, "--id", "tea", "--decay", 2) == 2
    assert "0 to 1" in sutra.err
    assert "nothing" in sutra.fails(1, "related", store, "--id", "nothing")


# ---- what it is, and care


def test_info_and_stats(sutra, store):
    info = sutra.json("info", store)
    assert (info["type"], info["concepts"], info["vectors"]) == ("store", 4, 3)
    assert (info["associations"], info["dim"], info["metric"]) == (3, DIM, "cosine")
    assert info["file_bytes"] > 0
    stats = sutra.json("stats", store)
    assert stats["slots"] == 4
    assert stats["health"]["status"] == "read-only"
    for verb in ("info", "stats"):
        assert sutra(verb, store) == 0
        assert "cosine" in sutra.out


def test_snapshot_restore_and_verify(sutra, store):
    assert sutra.json("snapshot", store, "snap")["concepts"] == 4
    assert sutra("rm", store, "tea") == 0
    assert sutra("snapshot", store, "snap2") == 0
    report = sutra.json("restore", "snap", "back")
    assert report["file_bytes"] > 0
    for place, concepts in (("snap", 4), ("snap2", 3), ("back", 4)):
        for options in ([], ["--deep"]):
            assert sutra.json("verify", place, *options)["concepts"] == concepts
    assert sutra("verify", "back") == 0
    assert "sound" in sutra.out
    assert "back" in sutra.fails(1, "restore", "snap", "back")
    assert "missing" in sutra.fails(1, "restore", "missing", "other")


def test_compact_gives_room_back(sutra, store):
    with open_store(store) as opened:
        for _ in range(5):
            opened.upsert(list(range(100, 300)), np.ones((200, DIM)), contents=["x" * 2000] * 200)
        opened.delete(list(range(100, 300)))
    assert sutra.json("stats", store)["dead_slots"] >= 200
    report = sutra.json("compact", store)
    assert report["bytes_after"] < report["bytes_before"]
    stats = sutra.json("stats", store)
    assert (stats["dead_slots"], stats["concepts"]) == (0, 4)
    assert sutra("compact", store) == 0


def test_repair_saves_what_can_be_saved(sutra, store):
    report = sutra.json("repair", store, "saved")
    assert (report["target"], report["concepts"], report["lost_concepts"]) == ("saved", 4, 0)
    assert sutra("repair", store, "again") == 0
    assert "lost, or may be" not in sutra.out
    assert sutra.json("verify", "saved", "--deep")["concepts"] == 4
    assert "saved" in sutra.fails(1, "repair", store, "saved")
    assert "missing" in sutra.fails(1, "repair", "missing", "other")
