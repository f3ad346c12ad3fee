"""Index against a plain dict, over random sequences of everything one can do to it."""

import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sutra import Index
from sutra.errors import ConfigError, DuplicateIdError, InvalidVectorError, NotFoundError

DIM = 5
RESIDENTS = ("auto", "arena", "mapped")


def distances(metric, query, rows):
    query, rows = query.astype(float), rows.astype(float)
    if metric == "l2":
        return ((rows - query) ** 2).sum(axis=1)
    dots = rows @ query
    if metric == "ip":
        return -dots
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
    return 1.0 - np.divide(dots, norms, out=np.zeros_like(dots), where=norms > 0)


class Machine(RuleBasedStateMachine):
    """The model: a dict from id to vector. The order of ids() is known until rows are removed."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "file"
        self.index = None  # until it is known which
        self.model = {}
        self.next_id = 0
        self.saved = None
        self.ordered = True  # ids() is in the order of adding

    def teardown(self):
        if self.index is not None:
            self.index.close()
        shutil.rmtree(self.folder)

    @initialize(
        metric=st.sampled_from(["cosine", "l2", "ip"]),
        quantization=st.sampled_from(["u8", "u4", "none"]),
        m=st.sampled_from([8, 16, 24, 32]),
        secure=st.booleans(),
        start=st.sampled_from([0, 0, 505, 700]),
        seed=st.integers(0, 2**32),
    )
    def create(self, metric, quantization, m, secure, start, seed):
        self.metric = metric
        self.index = Index(
            DIM, metric=metric, quantization=quantization, m=m, ef_construction=30, seed=seed,
            secure_delete=secure,
        )  # fmt: skip
        self.add_rows(self.rows(start, seed), None)

    def rows(self, count, seed):
        """Small integers, so that distances tie and vectors repeat; now and then a zero."""
        rng = np.random.default_rng(seed)
        if seed % 2:
            return rng.integers(-3, 4, (count, DIM)).astype(np.float32)
        return rng.standard_normal((count, DIM)).astype(np.float32)

    def add_rows(self, rows, ids):
        given = self.index.add(rows, ids=ids, threads=1)
        expected = range(self.next_id, self.next_id + len(rows)) if ids is None else ids
        assert given.tolist() == list(expected)
        self.model.update(zip(given.tolist(), rows, strict=True))
        if len(given):
            self.next_id = max(self.next_id, int(given.max()) + 1)

    @rule(count=st.integers(0, 40), seed=st.integers(0, 2**32))
    def add(self, count, seed):
        self.add_rows(self.rows(count, seed), None)

    @rule(ids=st.lists(st.integers(0, 3000), max_size=30, unique=True), seed=st.integers(0, 2**32))
    def add_with_ids(self, ids, seed):
        ids = [number for number in ids if number not in self.model]
        self.add_rows(self.rows(len(ids), seed), ids)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), count=st.integers(1, 10), seed=st.integers(0, 2**32))
    def fail_to_add(self, data, count, seed):
        rows = self.rows(count, seed)
        fresh = list(range(self.next_id, self.next_id + count))
        place = data.draw(st.integers(0, count - 1))
        kind = data.draw(st.sampled_from(["used", "twice", "negative", "nan", "stopped"]))
        if kind == "used":
            fresh[place] = data.draw(st.sampled_from(sorted(self.model)))
            with pytest.raises(DuplicateIdError):
                self.index.add(rows, ids=fresh)
        elif kind == "twice":
            with pytest.raises(DuplicateIdError):
                self.index.add(np.repeat(rows, 2, axis=0), ids=[*fresh, *fresh[::-1]])
        elif kind == "negative":
            fresh[place] = -1 - place
            with pytest.raises(ConfigError):
                self.index.add(rows, ids=fresh)
        elif kind == "nan":
            rows[place, 2] = np.nan
            with pytest.raises(InvalidVectorError) as caught:
                self.index.add(rows, ids=fresh)
            assert caught.value.row == place
        elif self.index.stats()["graph"]:
            with pytest.raises(ZeroDivisionError):
                self.index.add(rows, ids=fresh, progress=lambda done, total: 1 / 0)

    ids_to_change = st.one_of(
        st.lists(st.integers(0, 3000), max_size=30, unique=True),
        st.builds(range, st.integers(0, 700), st.integers(0, 3000), st.integers(1, 5)).map(list),
    )

    @rule(ids=ids_to_change)
    def delete(self, ids):
        known = [number for number in ids if number in self.model]
        assert self.index.delete(ids, threads=1) == len(known)
        for number in known:
            del self.model[number]
        self.ordered = self.ordered and not known

    @rule()
    def delete_newest(self):
        """What is left is numbered as if nothing had been there, but for the next number."""
        self.delete(sorted(self.model)[-20:])

    @rule()
    def delete_all(self):
        self.delete(list(self.model))

    @rule(ids=ids_to_change.map(lambda ids: ids[:400]), seed=st.integers(0, 2**32))
    def upsert(self, ids, seed):
        replaces = any(number in self.model for number in ids)
        rows = self.rows(len(ids), seed)
        assert self.index.upsert(rows, ids=ids, threads=1).tolist() == ids
        self.model.update(zip(ids, rows, strict=True))
        self.next_id = max([self.next_id, *(number + 1 for number in ids)])
        self.ordered = self.ordered and not replaces

    @rule()
    def compact(self):
        self.index.compact(threads=1)
        assert self.index.stats()["removed"] == 0

    @rule(k=st.integers(1, 30), seed=st.integers(0, 2**32))
    def search_exactly(self, k, seed):
        query = self.rows(1, seed)[0]
        self.check(query, k, self.index.search(query, k=k, exact=True), all_of_them=True)

    @rule(k=st.integers(1, 30), seed=st.integers(0, 2**32))
    def search(self, k, seed):
        query = self.rows(1, seed)[0]
        flat = not self.index.stats()["graph"]
        self.check(query, k, self.index.search(query, k=k, ef=50), all_of_them=flat)

    def check(self, query, k, found, all_of_them):
        ids, got = found
        count = min(k, len(self.model))
        assert (ids[count:] == -1).all()
        assert np.isposinf(got[count:]).all()
        ids, got = ids[:count].tolist(), got[:count]
        assert len(set(ids)) == count
        if not count:
            return
        rows = np.array([self.model[number] for number in ids])
        np.testing.assert_allclose(got, distances(self.metric, query, rows), rtol=1e-5, atol=1e-5)
        assert (np.diff(got) >= 0).all()
        if all_of_them:
            everything = distances(self.metric, query, np.array(list(self.model.values())))
            np.testing.assert_allclose(got, np.sort(everything)[:count], rtol=1e-5, atol=1e-5)

    @rule(data=st.data())
    def look_up(self, data):
        number = data.draw(st.integers(0, 3000))
        assert (number in self.index) == (number in self.model)
        if number in self.model:
            assert np.array_equal(self.index.get(number), self.model[number])
        else:
            with pytest.raises(NotFoundError):
                self.index.get(number)

    @rule()
    def save(self):
        self.index.save(self.path)
        self.saved = dict(self.model), self.next_id, self.ordered

    @precondition(lambda self: self.saved)
    @rule(resident=st.sampled_from(RESIDENTS), close=st.booleans(), secure=st.booleans())
    def reopen(self, resident, close, secure):
        """Also over changes that were not saved: they are gone."""
        if close:
            self.index.close()
        self.index = Index.open(self.path, resident=resident, secure_delete=secure)
        self.model, self.next_id, self.ordered = dict(self.saved[0]), *self.saved[1:]
        assert self.index.stats()["removed"] == 0

    @rule(deep=st.booleans())
    def verify(self, deep):
        assert self.index.verify(deep=deep)["vectors"] == len(self.model)

    @invariant()
    def same_ids(self):
        if hasattr(self, "index"):
            assert len(self.index) == len(self.model)
            ids = self.index.ids().tolist()
            if self.ordered:
                assert ids == list(self.model)
            else:
                assert sorted(ids) == sorted(self.model)


CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
Machine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, derandomize=True,
    suppress_health_check=CHECKS, print_blob=True, database=None,
)  # fmt: skip
TestIndexModel = Machine.TestCase


class LongMachine(Machine):
    pass


LongMachine.TestCase.settings = settings(
    Machine.TestCase.settings, max_examples=1000, stateful_step_count=60, derandomize=False
)
TestIndexModelAtLength = pytest.mark.slow(LongMachine.TestCase)
