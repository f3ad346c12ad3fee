"""Measuring recall and tuning ef: the arithmetic, an index, and what is kept."""

import json
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

import sutra
from sutra import _recall
from sutra._recall import Recall, Subject, Trial, find_ef, interval, is_enough, widest_ef
from sutra.errors import (
    ClosedError,
    ConfigError,
    DimensionError,
    DTypeError,
    InvalidVectorError,
)
from sutra.tuning import Tunable, Tuned, Tuning

DIM = 32
COUNT = 6000


@pytest.fixture(scope="module")
def base(tools):
    return tools.clustered(COUNT, DIM, clusters=60)


@pytest.fixture(scope="module")
def fresh(tools):
    """Queries of the same kind that are not stored."""
    return tools.clustered(2000, DIM, seed=1, clusters=60)


@pytest.fixture(scope="module")
def shared(base):
    """An index that no test tunes."""
    index = sutra.Index(DIM, metric="l2")
    index.add(base, ids=np.arange(COUNT) * 3 + 7)
    return index


@pytest.fixture
def small(base):
    index = sutra.Index(DIM, metric="l2", ef_construction=50)
    index.add(base[:1500])
    return index


def measured(recall, low, ef=10, k=10):
    return Recall(recall, low, 1.0, k, ef, 100, 0.0)


# ---- the interval


@pytest.mark.parametrize("count", [1, 2, 5, 73, 1000])
def test_of_hits_and_misses_it_is_agresti_and_coulls(count):
    z = 1.959963984540054
    for hits in {0, 1, count // 2, count - 1, count}:
        low, high = interval(np.array([1.0] * hits + [0.0] * (count - hits)))
        n = count + z * z
        p = (hits + z * z / 2) / n
        half = z * np.sqrt(p * (1 - p) / n)
        assert low == pytest.approx(max(p - half, 0), abs=1e-12)
        assert high == pytest.approx(min(p + half, 1), abs=1e-12)


@given(some.lists(some.floats(0, 1), min_size=1, max_size=50))
def test_the_interval_holds_the_mean(shares):
    low, high = interval(np.array(shares))
    mean = float(np.mean(shares))
    assert 0 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 1
    assert low < high


def test_the_interval_behaves_at_the_ends():
    low, high = interval(np.ones(1000))
    assert high == 1.0
    assert 0.995 < low < 0.996
    one_low = interval(np.ones(1))[0]
    assert 0 < one_low < 0.5
    assert interval(np.zeros(1000)) == (0.0, pytest.approx(1 - low))


@pytest.mark.parametrize("count", [20, 200, 1000])
def test_the_interval_covers_what_it_says(count):
    """Skewed shares, as recalls are: most queries find all, a few find little."""
    rng = np.random.default_rng(count)
    covered = too_high = 0
    for _ in range(1000):
        shares = np.where(rng.random(count) < 0.02, 0.0, rng.binomial(10, 0.97, count) / 10)
        low, high = interval(shares)
        covered += low <= 0.98 * 0.97 <= high
        too_high += low > 0.98 * 0.97
    assert covered >= 930
    assert too_high <= 35


# ---- how ef is found


def steps_of(needed, least, most, recall=0.9):
    """Find an ef where all from `needed` on are enough, and return it with what was tried."""
    tried = []

    def at(ef):
        tried.append(ef)
        share = 0.95 if ef >= needed else 0.5 + 0.3 * ef / needed
        return measured(share, share - 0.01, ef)

    best, reached = find_ef(at, recall, least, most)
    return best.ef, reached, tried


@pytest.mark.parametrize("least", [1, 2, 10, 100])
@pytest.mark.parametrize("needed", [1, 2, 3, 9, 10, 11, 63, 64, 65, 100, 777, 4000])
def test_the_smallest_ef_is_found(least, needed):
    ef, reached, tried = steps_of(needed, least, 5000)
    wanted = max(least, needed)
    assert reached
    assert wanted <= ef <= wanted + wanted // 31
    assert len(tried) == len(set(tried)) <= 20
    assert min(tried) == least


def test_what_cannot_be_reached_ends_with_the_best():
    tried = []

    def at(ef):
        tried.append(ef)
        return measured(min(ef, 300) / 1000, 0.0, ef)

    best, reached = find_ef(at, 0.95, 10, 5000)
    assert not reached
    assert best.ef == 320  # the first of those that find no more
    assert tried == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5000]


@pytest.mark.parametrize("most", [10, 11])
def test_there_may_be_little_to_try(most):
    assert steps_of(10, 10, most) == (10, True, [10])
    ef, reached, tried = steps_of(1000, 10, most)
    assert not reached
    assert ef == most
    assert tried == list(range(10, most + 1))


def test_ups_and_downs_end_it_too():
    rng = np.random.default_rng(0)
    for _ in range(200):
        calls = []

        def at(ef, calls=calls):
            calls.append(ef)
            return measured(share := float(rng.random()), share, ef)

        best, reached = find_ef(at, 0.7, 5, 100_000)
        assert len(calls) < 60
        assert reached == is_enough(best, 0.7)


def test_enough_is_evidence():
    assert is_enough(measured(0.96, 0.951), 0.95)
    assert not is_enough(measured(0.96, 0.949), 0.95)
    assert is_enough(measured(0.976, 0.5), 0.95)  # few queries, half of the misses
    assert not is_enough(measured(0.974, 0.5), 0.95)
    assert is_enough(measured(1.0, 0.5), 1.0)
    assert not is_enough(measured(0.9999, 0.999), 1.0)


def test_it_does_not_get_wider_than_exact_search_is_dear():
    assert widest_ef(100, 10) == 100
    assert widest_ef(4000, 10) == 4000
    assert widest_ef(10_000, 10) == 4096
    assert widest_ef(10**6, 10) == 125_000
    assert widest_ef(100, 500) == 500


# ---- the truth, and what counts as right


class Lists(Subject):
    """Answers from lists: those of a wide walk, and the true ones."""

    def __init__(self, found, truth, metric="l2"):
        super().__init__(4, metric, 64)
        self.found, self.truth = np.float32(found), np.float32(truth)
        self.asked = []

    def __len__(self):
        return 1000

    def sample(self, count, seed):
        return np.arange(count), np.ones((count, self.dim), dtype=np.float32)

    def search(self, rows, k, ef, threads, without=None):
        self.asked.append((len(rows), k, ef, threads))
        distances = (self.truth if ef is None else self.found)[: len(rows), :k]
        return np.zeros(distances.shape, dtype=np.int64), distances


def recall_of(found, truth, metric="l2", k=3):
    rows = np.ones((len(truth), 4), dtype=np.float32)
    return Trial(Lists(found, truth, metric), k, rows, None, 1).at(10).recall


def test_right_is_what_is_near_enough():
    truth = [[1, 2, 3]]
    assert recall_of([[1, 2, 3]], truth) == 1
    assert recall_of([[1, 2, 4]], truth) == pytest.approx(2 / 3)
    assert recall_of([[4, 5, 6]], truth) == 0
    assert recall_of([[1, 2, np.inf]], truth) == pytest.approx(2 / 3)
    assert recall_of([[3, 3, 3]], [[1, 3, 3]]) == 1  # ties: whichever


def test_right_is_what_differs_by_rounding_alone():
    next_up = np.nextafter(np.float32(3), np.float32(4))
    assert recall_of([[1, 2, next_up]], [[1, 2, 3]]) == 1
    assert recall_of([[1, 2, 3.0001]], [[1, 2, 3]]) < 1
    assert recall_of([[0, 0, 1e-30]], [[0, 0, 0]]) < 1  # a square sum of 0 is exact
    assert recall_of([[0, 0, 1e-7]], [[0, 0, 0]], "cosine") == 1
    assert recall_of([[0, 0, 1e-4]], [[0, 0, 0]], "cosine") < 1
    # The products of two vectors of length 2 are sums of terms of up to 4, whatever is left.
    assert recall_of([[-1, 0, 1e-6]], [[-1, 0, 0]], "ip") == 1
    assert recall_of([[-1, 0, 1e-4]], [[-1, 0, 0]], "ip") < 1


def test_fewer_than_k_count_as_they_are():
    inf = np.inf
    assert recall_of([[1, 2, inf]], [[1, 2, inf]]) == 1
    assert recall_of([[1, inf, inf]], [[1, 2, inf]]) == 0.5
    # What was added meanwhile does not make more right than there was.
    assert recall_of([[1, 2, 2]], [[1, 2, inf]]) == 1
    with pytest.raises(ConfigError, match="nothing to find"):
        recall_of([[inf, inf, inf]], [[inf, inf, inf]])


def test_the_queries_are_the_sample():
    got = Trial(
        Lists([[1, 2], [9, 9], [1, 9]], [[1, 2]] * 3), 2, np.ones((3, 4), np.float32), None, 1
    ).at(5)
    assert got.recall == pytest.approx(0.5)
    assert (got.low, got.high) == interval(np.array([1.0, 0.0, 0.5]))
    assert (got.k, got.ef, got.queries) == (2, 5, 3)
    assert got.seconds >= 0


def test_a_vector_is_left_out_of_its_own_answer():
    class Fixed(Lists):
        def search(self, rows, k, ef, threads, without=None):
            self.asked.append((k, ef, without.tolist()))
            keys = np.array([[7, 1, 2], [1, 8, 2], [1, 2, 3]])
            return keys, np.float32([[0, 1, 2], [3, 4, 5], [6, 7, 8]])

    subject = Fixed([[0]], [[0]])
    got = subject.held_out(np.array([7, 8, 9]), np.ones((3, 4), np.float32), 2, 50, 1)
    assert got.tolist() == [[1, 2], [3, 5], [6, 7]]
    subject.held_out(np.array([7, 8, 9]), np.ones((3, 4), np.float32), 2, None, 1)
    assert subject.asked == [(3, 50, [7, 8, 9]), (3, None, [7, 8, 9])]


def test_few_are_asked_at_once(monkeypatch):
    monkeypatch.setattr(_recall, "CHUNK_QUERIES", 7)
    monkeypatch.setattr(_recall, "CHUNK_HITS", 20)
    rows = np.ones((16, 4), dtype=np.float32)
    subject = Lists([[1, 2]] * 7, [[1, 2]] * 7)
    Trial(subject, 2, rows, None, 3).at(9)
    assert subject.asked == [(count, 2, ef, 3) for ef in (None, 9) for count in (7, 7, 2)]
    wide = Lists([[1] * 10] * 2, [[1] * 10] * 2)
    Trial(wide, 10, rows, None, 1)
    assert {asked[0] for asked in wide.asked} == {2}


# ---- what is kept


def tuned(recall=0.95, k=10, ef=100, reached=True):
    return Tuned(recall, k, ef, measured(recall, recall, ef, k), reached)


def test_the_nearest_that_is_able_is_taken():
    kept = Tuning()
    for recall, k, ef in ((0.9, 10, 40), (0.99, 10, 300), (0.95, 100, 200), (0.9, 100, 150)):
        kept = kept.put(tuned(recall, k, ef))
    assert kept.width(0.9, 10, None, False) == 40
    assert kept.width(0.5, 1, None, False) == 40
    assert kept.width(0.91, 10, None, False) == 300
    assert kept.width(np.float64(0.95), 11, None, False) == 200
    assert kept.width(0.2, 100, None, False) == 150
    assert kept.width(1 - 0.01, 10, None, False) == 300
    for recall, k in ((0.995, 1), (0.96, 11), (0.5, 101), (1, 1)):
        with pytest.raises(ConfigError, match=rf"tune\(recall={float(recall)}, k={k}\)"):
            kept.width(recall, k, None, False)


def test_a_width_is_never_below_k():
    assert Tuning({(0.95, 100): 5}).width(0.9, 50, None, False) == 50


def test_the_last_is_the_default_and_replaces_its_own():
    kept = Tuning().put(tuned(0.95, 10, 100)).put(tuned(0.9, 10, 50)).put(tuned(0.95, 10, 70))
    assert kept.default == 70
    assert kept.width(0.95, 10, None, False) == 70
    assert kept.width(0.9, 10, None, False) == 50


def test_what_was_not_reached_is_not_promised():
    before = Tuning().put(tuned(0.95, 10, 100))
    kept = before.put(tuned(0.95, 10, 4096, reached=False))
    assert kept.default == 4096
    with pytest.raises(ConfigError):
        kept.width(0.95, 10, None, False)
    assert before.width(0.95, 10, None, False) == 100


@pytest.mark.parametrize("bad", [0, -0.5, 1.0001, np.nan, np.inf, -np.inf])
def test_no_share_is_refused(bad):
    with pytest.raises(ConfigError, match="recall="):
        Tuning({(0.95, 10): 5}).width(bad, 10, None, False)


@pytest.mark.parametrize("bad", ["0.95", b"1", True, [0.95], 0.5 + 0j])
def test_what_is_no_number_is_refused(bad):
    with pytest.raises(TypeError, match="recall"):
        Tuning({(0.95, 10): 5}).width(bad, 10, None, False)


def test_kept_as_compact_json():
    kept = Tuning().put(tuned(0.95, 10, 112)).put(tuned(0.5, 3, 8))
    assert kept.as_bytes() == b'{"0.95@10":112,"0.5@3":8,"default":8}'
    assert Tuning().as_bytes() == b"{}"


def test_the_latest_are_kept():
    kept = Tuning()
    for k in range(1, 1101):
        kept = kept.put(tuned(0.1234567890123456, 1_000_000 + k, 2**31 - k))
    assert len(kept._widths) == 1000
    assert len(kept.as_bytes()) < 65_535
    assert kept.width(0.1, 1_000_000, None, False) == 2**31 - 101
    again = Tuning.from_bytes(kept.as_bytes()).put(tuned(0.5, 1))
    assert len(again._widths) == 1000
    with pytest.raises(ConfigError):
        again.width(0.6, 1_000_000, None, False)


@given(
    some.dictionaries(
        some.tuples(
            some.floats(0, 1, exclude_min=True, allow_subnormal=True), some.integers(1, 2**20)
        ),
        some.integers(1, 2**31 - 1),
    ),
    some.none() | some.integers(1, 2**31 - 1),
)
def test_what_is_kept_comes_back(widths, default):
    again = Tuning.from_bytes(Tuning(widths, default).as_bytes())
    assert again.default == default
    assert again._widths == widths


@pytest.mark.parametrize(
    "raw",
    [
        None, b"", b"{", b"[]", b"7", b"null", b'"x"', b"\xff\xfe\x00", b"{}", b"[" * 100_000,
        b'{"a":' * 100_000, b"9" * 10_000, b'{"default": ' + b"9" * 10_000 + b"}",
        b'{"default": 0}', b'{"default": -1}', b'{"default": 2147483648}', b'{"default": 1.5}',
        b'{"default": true}', b'{"default": "8"}', b'{"default": null}', b'{"default": [8]}',
        b'{"0.95@10": 0}', b'{"0.95@10": 1e3}', b'{"0.95": 7}', b'{"@": 7}', b'{"0.95@": 7}',
        b'{"@10": 7}', b'{"nan@10": 7}', b'{"inf@10": 7}', b'{"0.0@10": 7}', b'{"1.5@10": 7}',
        b'{"-0.5@10": 7}', b'{"0.95@0": 7}', b'{"0.95@-3": 7}', b'{"0.95@1048577": 7}',
        b'{"0.950@10": 7}', b'{"0.95@010": 7}', b'{" 0.95@10": 7}', b'{"0.95@1_0": 7}',
        '{"0.95@١٠": 7}'.encode(), b'{"0.95@10@10": 7}', b"{\"0.95@10\": 7}\x00",
    ],
)  # fmt: skip
def test_garbage_is_as_if_not_tuned(raw):
    read = Tuning.from_bytes(raw)
    assert read.default is None
    assert read._widths == {}


def test_garbage_spoils_nothing_else():
    raw = b'{"x": 1, "0.9@5": 33, "0.95@10": "no", "default": 44, "0.5@1": NaN}'
    read = Tuning.from_bytes(raw)
    assert (read._widths, read.default) == ({(0.9, 5): 33}, 44)


@given(some.binary() | some.text().map(str.encode))
def test_any_bytes_can_be_read(raw):
    Tuning.from_bytes(raw).as_bytes()


# ---- an index: measuring


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
@pytest.mark.parametrize("quantization", ["u8", "none"])
def test_recall_is_what_numpy_says(tools, base, fresh, metric, quantization):
    index = sutra.Index(DIM, metric=metric, quantization=quantization, ef_construction=50)
    index.add(base[:3000])
    truth = tools.nearest(metric, fresh[:300], base[:3000], 10)
    for ef in (10, 30, 200):
        got = index.measure_recall(10, ef=ef, queries=fresh[:300])
        by_id = tools.recall(index.search(fresh[:300], 10, ef=ef).ids, truth)
        assert got.recall == pytest.approx(by_id, abs=0.0005)
        assert got.low < got.recall <= got.high
        assert (got.k, got.ef, got.queries) == (10, ef, 300)
        assert got.seconds > 0


def test_without_queries_stored_vectors_are_held_out(shared, base):
    got = shared.measure_recall(5, ef=20, sample=400, seed=3)
    assert got.queries == 400
    ids = np.random.default_rng(3).choice(shared.ids(), 400, replace=False)
    rows = (ids - 7) // 3
    found = shared._search_without(base[rows], 6, 20, 1, ids)
    shares = []
    for row, near, at in zip(rows, found.ids, found.distances, strict=True):
        apart = np.sort(((base - base[row]).astype(float) ** 2).sum(axis=1))
        others = at[near != row * 3 + 7][:5]
        shares.append(np.mean(others <= apart[5] * (1 + 1e-6)))  # apart[0] is the vector itself
    assert got.recall == pytest.approx(np.mean(shares), abs=0.001)


def test_a_walk_does_without_what_it_is_told(shared, base):
    ids = shared.ids()[:300]
    rows = base[(ids - 7) // 3]
    assert (shared.search(rows, 1, ef=64).ids[:, 0] == ids).all()
    without = shared._search_without(rows, 10, 64, 2, ids).ids
    assert (without != ids[:, None]).all()
    # Another one's absence changes little, one that is not there nothing.
    np.testing.assert_array_equal(
        shared._search_without(rows, 10, 64, 1, np.full(300, 2)).ids,
        shared.search(rows, 10, ef=64).ids,
    )
    with pytest.raises(sutra.ConfigError):
        shared._search_without(rows, 10, 64, 1, ids[:5])


def test_the_same_seed_is_the_same_measurement(shared):
    def asked(**how):
        got = shared.measure_recall(10, ef=16, sample=200, **how)
        return got.recall, got.low, got.high, got.queries

    assert asked(seed=5) == asked(seed=5) == asked(seed=5, threads=2) == asked(seed=5, threads=1)
    assert len({asked(seed=seed) for seed in range(5)}) > 1


def test_a_sample_has_nothing_twice(shared):
    subject = shared._subject()
    ids, _ = subject.sample(COUNT, 0)
    assert sorted(ids.tolist()) == sorted(shared.ids().tolist())
    assert len(subject.sample(10 * COUNT, 1)[0]) == COUNT
    few, vectors = subject.sample(100, 0)
    assert len(set(few.tolist())) == 100
    assert (vectors == np.stack([shared.get(id) for id in few.tolist()])).all()
    assert shared.measure_recall(sample=10 * COUNT, ef=10).queries == COUNT


def test_more_ef_finds_more(shared):
    recalls = [shared.measure_recall(ef=ef).recall for ef in (10, 40, 160, COUNT)]
    assert recalls[0] < recalls[1] < recalls[2] <= recalls[3]
    assert recalls[3] >= 0.999


def test_the_default_is_what_a_search_takes(small):
    assert small.measure_recall(10).ef == 64
    assert small.measure_recall(100, sample=10).ef == 100
    assert small.measure_recall(30, ef=3, sample=10).ef == 30
    small._set_tuned_ef(11)
    assert small.measure_recall(10).ef == 11
    assert small.measure_recall(20, sample=10).ef == 20


def test_equal_vectors_are_all_right(base):
    """By id there would be hardly a hit: any ten of the 1,500 copies are right."""
    index = sutra.Index(DIM, metric="l2")
    index.add(np.repeat(base[:1], 1500, axis=0))
    assert index.measure_recall(10, ef=10, sample=200).recall == 1.0
    assert index.measure_recall(10, ef=10, queries=base[:1]).recall == 1.0
    assert index.tune(1.0, sample=200).ef == 10


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_pairs_of_duplicates(base, metric):
    index = sutra.Index(DIM, metric=metric)
    index.add(np.concatenate([base[:1000], base[:1000]]))
    got = index.measure_recall(1, ef=200, sample=500)
    assert got.recall >= 0.95  # a twin may hang on the one that is left out alone


def test_one_query_is_a_query(shared, fresh):
    got = shared.measure_recall(queries=fresh[0])
    assert got.queries == 1
    assert got.low < 0.5


def test_k_beyond_what_there_is(base):
    index = sutra.Index(DIM)
    index.add(base[:600])
    got = index.measure_recall(1000, sample=50)
    assert (got.recall, got.k, got.ef) == (1.0, 1000, 1000)
    assert index.measure_recall(1000, queries=base[:3]).recall == 1.0
    assert index.measure_recall(1_048_576, queries=base[:3]).recall == 1.0
    assert index.measure_recall(1_048_575, sample=3).recall == 1.0


def test_there_must_be_something_to_find(base):
    index = sutra.Index(DIM)
    for call in (index.measure_recall, index.tune):
        with pytest.raises(ConfigError, match="no vectors"):
            call()
        with pytest.raises(ConfigError, match="no vectors"):
            call(queries=base[:3])
    index.add(base[0])
    for call in (index.measure_recall, index.tune):
        with pytest.raises(ConfigError, match="nothing to find"):
            call()
    assert index.stats()["tuned_ef"] is None
    assert index.measure_recall(queries=base[:3]).recall == 1.0
    index.add(base[1])
    assert index.measure_recall().queries == 2
    assert index.measure_recall(k=1).recall == 1.0


BAD = [
    ({"k": 0}, ConfigError),
    ({"k": -1}, ConfigError),
    ({"k": 1_048_576}, ConfigError),  # one more is searched for
    ({"k": 1.5}, TypeError),
    ({"k": True}, TypeError),
    ({"k": None}, TypeError),
    ({"sample": 0}, ConfigError),
    ({"sample": -5}, ConfigError),
    ({"sample": 2.0}, TypeError),
    ({"seed": -1}, ConfigError),
    ({"seed": 2**64}, ConfigError),
    ({"seed": None}, TypeError),
    ({"threads": -1}, ConfigError),
    ({"threads": 1025}, ConfigError),
    ({"threads": "2"}, TypeError),
    ({"queries": np.empty((0, DIM))}, ConfigError),
    ({"queries": []}, DimensionError),
    ({"queries": 5.0}, DimensionError),
    ({"queries": np.ones(DIM + 1)}, DimensionError),
    ({"queries": np.ones((3, DIM - 1))}, DimensionError),
    ({"queries": np.ones((1, 1, DIM))}, DimensionError),
    ({"queries": [["a"] * DIM]}, DTypeError),
    ({"queries": np.full((2, DIM), np.nan)}, InvalidVectorError),
    ({"queries": np.full((2, DIM), np.inf, dtype=np.float32)}, InvalidVectorError),
    ({"queries": np.full((2, DIM), 1e18)}, InvalidVectorError),
    ({"queries": np.full((2, DIM), 1e300)}, InvalidVectorError),
]


@pytest.mark.parametrize(("arguments", "error"), BAD)
@pytest.mark.parametrize("verb", ["measure_recall", "tune"])
def test_bad_arguments_are_refused_before_anything(small, monkeypatch, verb, arguments, error):
    monkeypatch.setattr(_recall.Trial, "__init__", None)  # no truth is looked for
    with pytest.raises(error):
        getattr(small, verb)(**arguments)
    assert small.stats()["tuned_ef"] is None


@pytest.mark.parametrize(
    ("recall", "error"),
    [(0, ConfigError), (1.5, ConfigError), (-1, ConfigError), (np.nan, ConfigError),
     ("0.9", TypeError), (None, TypeError), (True, TypeError)],
)  # fmt: skip
def test_bad_recalls_are_refused(small, recall, error):
    with pytest.raises(error, match="recall"):
        small.tune(recall)
    assert small.stats()["tuned_ef"] is None


@pytest.mark.parametrize("ef", [0, -1, 2**31])
def test_bad_widths_are_refused(small, ef):
    with pytest.raises(ConfigError, match="ef="):
        small.measure_recall(ef=ef)
    with pytest.raises(TypeError):
        small.measure_recall(ef=1.5)
    assert small.measure_recall(ef=2**31 - 1, sample=10).recall == 1.0


def test_a_bad_query_is_named(small):
    queries = np.ones((900, DIM), dtype=np.float32)
    queries[777, 3] = np.nan
    with pytest.raises(InvalidVectorError) as caught:
        small.measure_recall(queries=queries)
    assert caught.value.row == 777


def test_a_closed_index(small):
    small.close()
    for call in (small.measure_recall, small.tune):
        with pytest.raises(ClosedError):
            call()


# ---- an index: tuning


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
@pytest.mark.parametrize("recall", [0.8, 0.9, 0.95, 0.99])
def test_a_recall_is_reached_on_queries_never_seen(base, fresh, metric, recall):
    index = sutra.Index(DIM, metric=metric, ef_construction=50, m=8)
    index.add(base)
    got = index.tune(recall, queries=fresh[:1000])
    assert got.reached
    assert got.measured.low >= recall or got.measured.recall >= (1 + recall) / 2
    assert index.measure_recall(queries=fresh[1000:]).recall >= recall
    # And not with far more than is needed: half the width is not enough.
    if got.ef > 2 * got.k:
        assert index.measure_recall(queries=fresh[:1000], ef=got.ef // 2).low < recall


def test_without_queries_it_is_nearly_reached(shared, fresh):
    """Stored vectors are easier than new ones; here by a little."""
    for recall in (0.9, 0.95, 0.99):
        got = shared.tune(recall, keep=False)
        assert got.reached
        assert shared.measure_recall(queries=fresh, ef=got.ef).recall >= recall - 0.02


def test_tuned_is_what_a_search_takes(small, fresh):
    got = small.tune(0.9, 10, sample=300)
    assert small.stats()["tuned_ef"] == got.ef != 64
    assert got.measured.ef == got.ef
    assert (got.recall, got.k, got.reached) == (0.9, 10, True)
    told = small.search(fresh, ef=got.ef)
    assert (small.search(fresh).ids == told.ids).all()
    assert (small.search(fresh, recall=0.9).ids == told.ids).all()
    assert (small.search(fresh, recall=0.4, k=10).ids == told.ids).all()
    wide = small.search(fresh, ef=64)
    assert (wide.distances != told.distances).any()
    one = small.search(fresh[0], recall=0.9)
    assert one.ids.tolist() == told.ids[0].tolist()


def test_several_recalls_are_kept(small, fresh):
    low, high = small.tune(0.8, sample=300), small.tune(0.99, sample=300)
    assert low.ef < high.ef
    assert small.stats()["tuned_ef"] == high.ef
    for got in (low, high):
        told = small.search(fresh, ef=got.ef).distances
        assert (small.search(fresh, recall=got.recall).distances == told).all()


def test_only_told(small):
    got = small.tune(0.9, sample=300, keep=False)
    assert got.reached
    assert small.stats()["tuned_ef"] is None
    with pytest.raises(ConfigError, match=r"tune\(recall=0.9, k=10\)"):
        small.search(np.zeros(DIM), recall=0.9)


def test_the_same_seed_is_the_same_tuning(small):
    first, again = small.tune(0.97, sample=200), small.tune(0.97, sample=200, threads=1)
    assert first.ef == again.ef
    assert first.measured.recall == again.measured.recall


@pytest.mark.parametrize("k", [1, 10, 100])
def test_a_flat_index_is_left_at_the_default(base, k):
    """What ef a scan needs says nothing about the graph that the index will grow."""
    index = sutra.Index(DIM)
    index.add(base[:300])
    got = index.tune(0.9, k)
    assert (got.ef, got.reached, got.measured.recall) == (max(64, k), True, 1.0)


def test_tiny_indexes(base):
    for count in (2, 3, 11):
        index = sutra.Index(DIM)
        index.add(base[:count])
        got = index.tune(1.0, 10)
        assert (got.reached, got.measured.queries, got.ef) == (True, count, 64)


@pytest.mark.parametrize("quantization", ["u8", "u4"])
def test_without_originals_the_codes_are_the_truth(tools, base, fresh, quantization):
    index = sutra.Index(DIM, quantization=quantization, keep_originals=False)
    index.add(base[:2000])
    assert index.tune(0.95).reached
    got = index.measure_recall(queries=fresh[:500])
    exact = index.search(fresh[:500], exact=True).ids
    found = index.search(fresh[:500]).ids
    assert got.recall == pytest.approx(tools.recall(found, exact), abs=0.002)


class Halved(Subject):
    """Never finds more than half, and that only with a width of 100."""

    def __init__(self):
        super().__init__(4, "l2", 64)

    def __len__(self):
        return 100_000

    def sample(self, count, seed):
        return np.arange(count), np.zeros((count, 4), dtype=np.float32)

    def search(self, rows, k, ef, threads, without=None):
        distances = np.tile(np.arange(k, dtype=np.float32), (len(rows), 1))
        if ef is not None:
            distances[:, (k // 2 if ef >= 100 else 1) :] += 100
        return np.full(distances.shape, -1), distances


class Stubborn(Tunable):
    def __init__(self):
        self.kept = []

    def _subject(self):
        return Halved()

    def _prepare(self, keep):
        return True

    def _keep(self, tuned):
        self.kept.append(tuned)


def test_what_cannot_be_reached_is_said(recwarn):
    target = Stubborn()
    got = target.tune(0.95, 10, queries=np.zeros((50, 4)))
    assert not got.reached
    assert got.ef == got.measured.ef == 160  # of 10, 20, 40, ... the first that finds as much
    assert got.measured.recall == 0.5
    assert target.kept == [got]
    assert not target.tune(0.95, 10, keep=False).reached
    assert len(target.kept) == 1
    assert not recwarn.list


# ---- an index: search by recall


def test_nothing_is_tuned_at_first(small):
    with pytest.raises(ConfigError, match=r"call tune\(recall=0.95, k=10\) first"):
        small.search(np.zeros(DIM), recall=0.95)


def test_recall_goes_with_nothing_else(small, fresh):
    small.tune(0.9, sample=100)
    with pytest.raises(ConfigError, match="ef and exact"):
        small.search(fresh, recall=0.9, ef=50)
    with pytest.raises(ConfigError, match="ef and exact"):
        small.search(fresh, recall=0.9, exact=True)
    for bad in (0, 1.1, np.nan):
        with pytest.raises(ConfigError, match="recall="):
            small.search(fresh, recall=bad)
    with pytest.raises(TypeError, match="recall"):
        small.search(fresh, recall="0.9")
    with pytest.raises(ConfigError, match="k=11"):
        small.search(fresh, 11, recall=0.9)
    with pytest.raises(ConfigError, match="k=0"):
        small.search(fresh, 0, recall=0.9)


def test_a_file_keeps_the_last_width_alone(small, tmp_path, fresh):
    small.tune(0.99, sample=200)
    last = small.tune(0.85, sample=200)
    small.save(tmp_path / "a")
    with sutra.Index.open(tmp_path / "a") as again:
        assert again.stats()["tuned_ef"] == last.ef
        assert (again.search(fresh).ids == small.search(fresh, recall=0.85).ids).all()
        assert again.measure_recall(sample=10).ef == last.ef
        with pytest.raises(ConfigError, match="first"):
            again.search(fresh, recall=0.5)
        again.tune(0.9, sample=100)
        again.search(fresh, recall=0.5)


def test_searches_run_beside_tuning(small, fresh):
    stop = threading.Event()
    errors = []

    def search():
        while not stop.is_set():
            try:
                small.search(fresh[:20])
            except Exception as error:
                errors.append(error)
                return

    thread = threading.Thread(target=search)
    thread.start()
    try:
        for recall in (0.8, 0.9, 0.95):
            assert small.tune(recall, sample=200).reached
    finally:
        stop.set()
        thread.join()
    assert not errors


def test_adding_meanwhile_ends_well(base):
    """An index is no view: it is only asked that nothing breaks."""
    index = sutra.Index(DIM, metric="l2")
    index.add(base[:1000])

    def add():
        for first in range(1000, 3000, 100):
            index.add(base[first : first + 100])

    thread = threading.Thread(target=add)
    thread.start()
    got = index.tune(0.9, sample=300)
    thread.join()
    assert 0 <= got.measured.low <= got.measured.recall <= got.measured.high <= 1


def test_results_are_plain(small):
    got = small.tune(0.9, sample=50)
    assert pickle.loads(pickle.dumps(got)) == got
    assert {type(got), type(got.measured)} == {sutra.Tuned, sutra.Recall}
    assert all(type(value) in (int, float) for value in (
        got.measured.recall, got.measured.low, got.measured.high, got.measured.k,
        got.measured.ef, got.measured.queries, got.measured.seconds))  # fmt: skip
    json.dumps([got.recall, got.k, got.ef, got.reached, got.measured.recall])
    with pytest.raises(AttributeError):
        got.ef = 3
