"""Store against a dict, over random sequences of everything one can do to it, crashes included."""

import json
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import sutra

DIM = 3
IDS = st.one_of(st.integers(0, 12), st.sampled_from(["a", "b", "é", "7", "long " * 100]))
KINDS = st.sampled_from(["semantic", "x", "kind é"])
VECTORS = st.none() | st.lists(st.integers(-3, 3), min_size=DIM, max_size=DIM)
CONTENTS = st.none() | st.sampled_from(["", "text", "tèxt " * 50, b"", b"\x00\xff"])
METADATA = st.none() | st.sampled_from([{}, {"k": 1}, {"ü": [None, {"x": 2.5}]}])
ITEMS = st.tuples(IDS, VECTORS, CONTENTS, METADATA)
PAIRS = st.tuples(IDS, IDS, KINDS, st.integers(-2, 5), st.integers(0, 4))


class Model:
    """Concepts in the order their ids were first seen, and edges."""

    def __init__(self):
        self.order = []  # ids ever seen
        self.concepts = {}  # id -> (vector, content, metadata, strength)
        self.edges = {}  # (source, target, kind) -> (weight, confidence)
        self.next_number = 0

    def copy(self):
        twin = Model()
        twin.order, twin.concepts = list(self.order), dict(self.concepts)
        twin.edges, twin.next_number = dict(self.edges), self.next_number
        return twin

    def put(self, id, given, strength):
        if id not in self.order:
            self.order.append(id)
        if isinstance(id, int):
            self.next_number = max(self.next_number, id + 1)
        old = self.concepts.get(id, (None, None, None, None))
        new = [old[at] if given[at] is None else given[at] for at in range(3)]
        self.concepts[id] = (*new, strength)

    def delete(self, id):
        if self.concepts.pop(id, None) is None:
            return 0
        self.edges = {key: value for key, value in self.edges.items() if id not in key[:2]}
        return 1

    def unlink(self, source, target, kind):
        gone = [key for key in self.edges if key[:2] == (source, target) and kind in (None, key[2])]
        for key in gone:
            del self.edges[key]
        return len(gone)

    def ids(self):
        return [id for id in self.order if id in self.concepts]

    def check(self, reader):
        """Compare everything that can be read."""
        ids = self.ids()
        assert list(reader) == ids
        assert len(reader) == len(ids)
        assert [concept.id for concept in reader.scan()] == ids
        for concept in reader.get(ids, vectors=True):
            vector, content, metadata, strength = self.concepts[concept.id]
            assert (None if concept.vector is None else concept.vector.tolist()) == vector
            assert type(concept.content) is type(content)
            assert concept.content == content
            assert concept.metadata == metadata
            assert concept.record.strength == strength
            pointing = [key for key in self.edges if key[1] == concept.id]
            assert concept.record.reference_count == len(pointing)
            links = reader.links(concept.id)
            assert {(link.source, link.target, link.kind) for link in links} == {
                key for key in self.edges if key[0] == concept.id
            }
            for link in links:
                weight, confidence = self.edges[link.source, link.target, link.kind]
                assert (link.weight, link.confidence) == (weight, confidence)
            back = reader.links(concept.id, direction="in")
            assert {(link.source, link.target, link.kind) for link in back} == set(pointing)
        for query in ([1, 0, 0], [0.5, -1, 2]):
            self.check_search(reader, query)

    def check_search(self, reader, query):
        ids = [id for id in self.ids() if self.concepts[id][0] is not None]
        vectors = np.array([self.concepts[id][0] for id in ids], dtype=float).reshape(-1, DIM)
        hits = reader.search(query, k=50, exact=True)
        assert sorted(map(repr, hits.ids.tolist())) == sorted(map(repr, ids))
        distances = ((vectors - query) ** 2).sum(axis=1)
        np.testing.assert_allclose(hits.distances, np.sort(distances), rtol=1e-5)
        near = reader.search(query, k=3)
        np.testing.assert_allclose(near.distances, np.sort(distances)[:3], rtol=1e-5)
        for hit in hits:
            assert hit.content == self.concepts[hit.id][1]
            assert hit.metadata == self.concepts[hit.id][2]


class Machine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.place = Path(tempfile.mkdtemp())
        self.model = Model()
        self.views = []
        self.snapshot = None
        self.store = None

    def teardown(self):
        for view, _ in self.views:
            view.close()
        if self.store is not None:
            self.store.close()
        shutil.rmtree(self.place)

    @property
    def path(self):
        return self.place / "store"

    def open(self):
        self.store = sutra.open(self.path, metric="l2", dim=DIM, sync=self.sync)

    @initialize(sync=st.sampled_from(["full", "interval", "off"]))
    def create(self, sync):
        self.sync = sync
        self.open()

    # ---- writing

    @rule(items=st.lists(ITEMS, min_size=1, max_size=6), strength=st.integers(0, 3))
    def upsert(self, items, strength):
        items = list({item[0]: item for item in items}.values())
        ids, vectors, contents, metadata = (list(part) for part in zip(*items, strict=True))
        result = self.store.upsert(
            ids, vectors, contents=contents, metadata=metadata, strength=strength
        )
        assert result.ids.tolist() == ids
        assert result.count == len(ids)
        for id, *given in items:
            self.model.put(id, given, strength)

    @rule(items=st.lists(ITEMS, min_size=1, max_size=6))
    def add(self, items):
        ids, vectors, contents, metadata = (list(part) for part in zip(*items, strict=True))
        known = [id for id in ids if id in self.model.concepts]
        if known or len(set(ids)) < len(ids):
            with pytest.raises(sutra.DuplicateIdError) as caught:
                self.store.add(ids, vectors, contents=contents, metadata=metadata)
            assert caught.value.id in known or ids.count(caught.value.id) > 1
            return
        self.store.add(ids, vectors, contents=contents, metadata=metadata)
        for id, *given in items:
            self.model.put(id, given, 1)

    @rule(contents=st.lists(CONTENTS, min_size=1, max_size=4))
    def add_without_ids(self, contents):
        if self.model.next_number > 40:
            return
        ids = self.store.add(contents=contents).ids.tolist()
        start = self.model.next_number
        assert ids == list(range(start, start + len(contents)))
        for id, content in zip(ids, contents, strict=True):
            self.model.put(id, (None, content, None), 1)

    @rule(ids=st.lists(IDS, max_size=6))
    def delete(self, ids):
        assert self.store.delete(ids) == sum([self.model.delete(id) for id in ids])

    @rule(ids=st.lists(IDS, max_size=4))
    def touch(self, ids):
        before = {id: self.store[id].record for id in ids if id in self.model.concepts}
        self.store.touch(ids)
        for id, record in before.items():
            assert self.store[id].record.accessed_ns > record.accessed_ns
            assert self.store[id].record.created_ns == record.created_ns

    @rule(pairs=st.lists(PAIRS, min_size=1, max_size=6))
    def link(self, pairs):
        sources, targets, kinds, weights, confidences = zip(*pairs, strict=True)
        arguments = {"kind": kinds, "weight": weights, "confidence": confidences}
        missing = [id for id in (*sources, *targets) if id not in self.model.concepts]
        if missing:
            with pytest.raises(sutra.NotFoundError) as caught:
                self.store.link(sources, targets, **arguments)
            assert caught.value.id in missing
            return
        self.store.link(sources, targets, **arguments)
        for source, target, kind, weight, confidence in pairs:
            self.model.edges[source, target, kind] = (weight, confidence)

    @rule(pairs=st.lists(PAIRS, max_size=4), every=st.booleans())
    def unlink(self, pairs, every):
        if every:
            for source, target, *_ in pairs:
                expected = self.model.unlink(source, target, None)
                assert self.store.unlink(source, target, kind=None).count == expected
            return
        expected = sum([self.model.unlink(*pair[:3]) for pair in pairs])
        found = self.store.unlink(
            [p[0] for p in pairs], [p[1] for p in pairs], kind=[p[2] for p in pairs]
        )
        assert found.count == expected

    @rule(ids=st.lists(IDS, min_size=1, max_size=4, unique=True), fail=st.booleans())
    def batch(self, ids, fail):
        if fail:
            with pytest.raises(sutra.DuplicateIdError) as caught:
                self.replace(ids, self.model.copy(), [ids[0]])
            assert caught.value.id == ids[0]
        else:
            self.replace(ids, self.model, [])

    def replace(self, ids, model, then):
        with self.store.batch():
            for at, id in enumerate(ids):
                self.store.delete(id)
                self.store.add(id, contents=f"batch {at}")
                self.store.link(id, ids[0], weight=at)
                model.delete(id)
                model.put(id, (None, f"batch {at}", None), 1)
                model.edges[id, ids[0], "semantic"] = (at, 1)
            for id in then:
                self.store.add(id)

    # ---- care

    @rule(what=st.sampled_from(["checkpoint", "settle", "compact", "flush", "verify"]))
    def care(self, what):
        if what == "verify":
            assert self.store.verify(deep=True)["concepts"] == len(self.model.concepts)
        else:
            getattr(self.store, what)()

    @rule()
    def reopen(self):
        self.store.close()
        self.open()

    @rule()
    def die_and_reopen(self):
        """As after kill -9: what was acknowledged is in the files, whatever the mode."""
        self.store._core.abandon()
        self.open()

    @rule()
    def read_beside(self):
        with sutra.open(self.path, mode="r") as reader:
            self.model.check(reader)

    @rule()
    def take_snapshot(self):
        self.store.snapshot(self.place / "snapshot")
        self.snapshot = self.model.copy()

    @precondition(lambda self: self.snapshot)
    @rule()
    def restore(self):
        self.store.close()
        shutil.rmtree(self.path)
        sutra.restore(self.place / "snapshot", self.path)
        self.model = self.snapshot.copy()
        self.open()
        shutil.rmtree(self.place / "snapshot")
        self.snapshot = None

    @precondition(lambda self: len(self.views) < 3)
    @rule()
    def begin_view(self):
        self.views.append((self.store.read_view(), self.model.copy()))

    @precondition(lambda self: self.views)
    @rule(data=st.data())
    def end_view(self, data):
        view, model = self.views.pop(data.draw(st.integers(0, len(self.views) - 1)))
        model.check(view)
        view.close()

    @invariant()
    def same(self):
        if self.store is not None:
            self.model.check(self.store)
            for view, model in self.views:
                model.check(view)

    @invariant()
    def metadata_is_json(self):
        if self.store is not None:
            for concept in self.store.scan():
                assert json.loads(json.dumps(concept.metadata)) == concept.metadata


CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
Machine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, derandomize=True,
    suppress_health_check=CHECKS, print_blob=True, database=None,
)  # fmt: skip
TestStoreModel = Machine.TestCase


class LongMachine(Machine):
    pass


LongMachine.TestCase.settings = settings(
    Machine.TestCase.settings, max_examples=1000, stateful_step_count=60, derandomize=False
)
TestStoreModelAtLength = pytest.mark.slow(LongMachine.TestCase)
