"""Associations: making, reading, following and ending them."""

import itertools

import numpy as np
import pytest

import sutra


@pytest.fixture
def family(store):
    """A small web with known answers."""
    store.add(["a", "b", "c", "d", "e", 6])
    store.link("a", ["b", "c"], weight=[0.5, 0.9], confidence=[0.8, 0.5])
    store.link(["b", "c"], "d", weight=0.5, confidence=[0.5, 0.9])
    store.link("d", "a", kind="back")
    store.link("d", 6, kind="other", weight=-1)
    return store


def ends(links):
    return [(link.source, link.target, link.kind) for link in links]


def test_links_in_each_direction(family):
    assert ends(family.links("a")) == [("a", "c", "semantic"), ("a", "b", "semantic")]
    assert ends(family.links("a", direction="in")) == [("d", "a", "back")]
    assert ends(family.links("a", direction="both")) == [
        ("d", "a", "back"), ("a", "c", "semantic"), ("a", "b", "semantic"),
    ]  # fmt: skip
    assert family.links("e") == []
    assert ends(family.links("d", "other")) == [("d", 6, "other")]
    assert family.links("d", "semantic") == []
    assert family.links("d", "never heard of") == []
    (link,) = family.links(6, direction="in")
    assert (link.weight, link.confidence) == (-1, 1)
    assert link.created.timestamp() == pytest.approx(link.created_ns / 1e9)


def test_linking_again_sets_weight_and_confidence(family):
    result = family.link("a", ["b", "e"], weight=2, confidence=0.25)
    assert result.count == 2
    assert len(result.ids) == 0
    first, second, third = family.links("a")
    assert {first.target, second.target} == {"b", "e"}
    assert (first.weight, first.confidence) == (2, 0.25)
    assert third.target == "c"
    family.link("a", "b", kind="another")
    assert len(family.links("a")) == 4


def test_counts_of_references(family):
    assert [r.record.reference_count for r in family.get(["a", "b", "d", "e"])] == [1, 1, 2, 0]
    family.unlink("b", "d")
    family.link("a", "d")
    family.link("a", "d", weight=3)
    assert family["d"].record.reference_count == 2


def test_unlink(family):
    assert family.unlink("a", "b", kind="back").count == 0
    assert family.unlink("a", "b", kind="never heard of").count == 0
    assert family.unlink("a", ["b", "e", "nothing"]).count == 1
    assert ends(family.links("a")) == [("a", "c", "semantic")]
    family.link("a", "c", kind=["x"])
    family.link("a", "c", kind="y")
    assert family.unlink(["a", "d"], ["c", "a"], kind=["x", "back"]).count == 2
    assert family.unlink("a", "c", kind=None).count == 2
    assert family.links("a", direction="both") == []


def test_deleting_a_concept_ends_its_links(family):
    family.delete("d")
    assert family.links("b") == family.links("c") == []
    assert family.links("a", direction="in") == []
    assert family[6].record.reference_count == 0
    family.add("d")
    assert family.links("d", direction="both") == []
    assert family.stats()["associations"] == 2


def test_a_link_to_itself(store):
    store.add(1)
    assert store.link(1, 1).count == 1
    assert len(store.links(1, direction="both")) == 1
    assert store[1].record.reference_count == 1
    assert store.unlink(1, 1).count == 1


def test_many_kinds_in_one_call(store):
    store.add(range(100))
    kinds = [f"kind {n % 7}" for n in range(100)]
    store.link(range(100), np.roll(np.arange(100), 1), kind=kinds, weight=np.arange(100))
    for n in range(100):
        (link,) = store.links(n)
        assert (link.target, link.kind, link.weight) == ((n - 1) % 100, kinds[n], n)
    assert store.stats()["kinds"] == 7


def test_expand(family):
    found = family.expand("a")
    assert [(one.id, one.hops) for one in found] == [("c", 1), ("b", 1)]
    assert [one.score for one in found] == pytest.approx([0.9, 0.5])
    far = family.expand("a", 3)
    assert [(one.id, one.hops) for one in far] == [("c", 1), ("b", 1), ("d", 2), (6, 3)]
    assert far[2].score == pytest.approx(0.45)
    assert far[2].path.ids == ("a", "c", "d")
    assert far[2].path.steps == [("a", "semantic", "c"), ("c", "semantic", "d")]
    assert [one.id for one in family.expand("a", 3, limit=2)] == ["c", "b"]
    assert [one.id for one in family.expand("a", 3, min_weight=0.6)] == ["c"]
    assert [one.id for one in family.expand("d", 2, "back")] == ["a"]
    assert [one.id for one in family.expand("d", 2, ["back", "semantic"])] == ["a", "c", "b"]
    assert family.expand("d", 2, ["never heard of"]) == []
    assert family.expand("d", 2, []) == []
    assert [one.id for one in family.expand(["b", "c"], 1)] == ["d"]
    assert family.expand([]) == []


def test_paths(family):
    first, second = family.paths("a", "d")
    assert (first.ids, first.kinds) == (("a", "c", "d"), ("semantic", "semantic"))
    assert first.score == pytest.approx(0.45)
    assert second.ids == ("a", "b", "d")
    assert second.score == pytest.approx(0.4)
    assert family.paths("a", "d", 1) == []
    assert len(family.paths("a", "d", limit=1)) == 1
    assert family.paths("a", "e") == []
    assert [path.ids for path in family.paths("d", "b")] == [("d", "a", "b")]


def test_paths_against_a_search_of_all(store):
    rng = np.random.default_rng(3)
    store.add(range(8))
    edges = {}
    for src, dst in itertools.permutations(range(8), 2):
        if rng.random() < 0.4:
            edges[src, dst] = float(np.float32(rng.uniform(0.1, 1)))
    store.link([s for s, _ in edges], [d for _, d in edges], confidence=list(edges.values()))
    expected = []
    for length in range(4):
        for middle in itertools.permutations(range(1, 7), length):
            way = (0, *middle, 7)
            steps = list(itertools.pairwise(way))
            if all(step in edges for step in steps):
                expected.append((np.prod([edges[step] for step in steps]), way))
    expected.sort(reverse=True)
    found = store.paths(0, 7, 4, limit=12)
    assert [path.ids for path in found] == [way for _, way in expected[:12]]
    np.testing.assert_allclose([p.score for p in found], [s for s, _ in expected[:12]], rtol=1e-5)


def test_related(store):
    store.add(
        ["near", "far", "linked", "beyond", "lonely"],
        [[1.0, 0.0], [-1.0, 0.0], None, None, [0.0, 1.0]],
        contents=["n", "f", "l", "b", None],
        metadata=[None, None, {"k": 1}, None, None],
    )
    store.link("near", "linked", weight=0.8, confidence=0.5, kind="goes with")
    store.link("linked", "beyond", weight=5)
    hits = store.related([1, 0], k=2, hops=2)
    assert [hit.id for hit in hits] == ["near", "linked"]
    assert hits[0].score == pytest.approx(1)
    assert hits[0].distance == pytest.approx(0)
    assert hits[0].path.ids == ("near",)
    assert hits[1].score == pytest.approx(1 * 0.5 * 0.8 * 0.5)
    assert np.isnan(hits[1].distance)
    assert hits[1].path.steps == [("near", "goes with", "linked")]
    assert (hits[1].content, hits[1].metadata) == ("l", {"k": 1})
    more = store.related([1, 0], k=5, hops=2, decay=1)
    assert [hit.id for hit in more][:3] == ["near", "linked", "beyond"]
    assert more.scores[2] == pytest.approx(0.4)
    assert more[2].path.kinds == ("goes with", "semantic")
    assert {hit.id: hit.score for hit in more}["far"] == 0
    assert [hit.id for hit in store.related([1, 0], k=1, hops=0)] == ["near"]
    only = store.related([1, 0], k=5, hops=2, kinds="semantic")
    assert "linked" not in [hit.id for hit in only]
    none = store.related([1, 0], k=5, hops=2, kinds="never heard of")
    assert "linked" not in [hit.id for hit in none]


def test_related_without_vectors(store):
    assert len(store.related([1.0, 2.0])) == 0


def test_too_many_edges_are_cut_with_a_warning(store, monkeypatch):
    """Whatever the core reports as incomplete is said."""
    from sutra import _walk

    store.add([1, 2])
    store.link(1, 2)
    found = store.expand(1)
    monkeypatch.setattr(_walk, "expand", lambda *arguments: (found, False))
    with pytest.warns(RuntimeWarning, match="expand"):
        assert store.expand(1) == found


def test_links_survive(path, tools):
    with sutra.open(path) as store:
        store.add(range(50))
        store.link(range(49), range(1, 50), kind=[f"k{n % 3}" for n in range(49)], weight=2)
        store.checkpoint()
        store.unlink(0, 1, kind=None)
        store.link(0, 49, kind="new", confidence=0.5)
        before = tools.state(store)
    for mode in ("r", "a"):
        with sutra.open(path, mode=mode) as store:
            assert tools.state(store) == before
            store.verify(deep=True)
            assert [p.ids for p in store.paths(0, 49)] == [(0, 49)]
