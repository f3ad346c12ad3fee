"""Index under many threads, and across a fork: results or clear errors, never a wait for ever."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from sutra import Index
from sutra.errors import ClosedError

RESIDENTS = ("auto", "arena", "mapped")
WAIT = 60  # far more than anything here takes


@pytest.fixture(scope="module")
def rows(tools):
    return tools.clustered(4000, 16)


class Crowd:
    """Threads that run a function until told to stop; the first error is raised at the end."""

    def __init__(self, count, work):
        self.stopped = threading.Event()
        self.started = threading.Barrier(count + 1)
        self.errors = []
        self.threads = [
            threading.Thread(target=self.run, args=(work, number), daemon=True)
            for number in range(count)
        ]

    def run(self, work, number):
        try:
            self.started.wait(WAIT)
            while not self.stopped.is_set():
                work(number)
        except BaseException as error:
            self.errors.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.started.wait(WAIT)
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.join()
        if self.errors:
            raise self.errors[0]

    def join(self):
        for thread in self.threads:
            thread.join(WAIT)
        assert not any(thread.is_alive() for thread in self.threads)


@pytest.mark.parametrize("quantization", ["u8", "none"])
def test_searching_while_adding_and_saving(rows, tmp_path, quantization):
    index = Index(16, metric="l2", quantization=quantization)
    index.add(rows[:300])
    saved = []

    def work(number):
        if number == 0:
            index.save(tmp_path / "file")
            saved.append(Index.open(tmp_path / "file").verify(deep=True)["vectors"])
            return
        one = number * 17 % 300
        ids, distances = index.search(rows[one], k=5, exact=number == 1)
        assert ids[0] == one
        assert distances[0] == 0
        assert (np.diff(distances) >= 0).all()
        assert np.array_equal(index.get(one), rows[one])
        assert one in index
        assert 300 <= len(index) <= 4000
        assert index.stats()["count"] >= 300

    with Crowd(6, work):
        for part in np.array_split(rows[300:], 15):
            index.add(part)
    assert len(index) == 4000
    assert index.verify(deep=True)["vectors"] == 4000
    assert saved == sorted(saved)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("before", [300, 1000])
@pytest.mark.parametrize("own_ids", [False, True])
def test_readers_do_not_wait_for_an_add(rows, tmp_path, before, own_ids):
    """An add that stands still, in its callback, holds up writers alone."""
    index = Index(16, metric="l2")
    numbers = np.arange(4000) * 3 if own_ids else np.arange(4000)
    index.add(rows[:before], ids=numbers[:before])
    inside, go_on = threading.Event(), threading.Event()

    def stand_still(done, total):
        inside.set()
        assert go_on.wait(WAIT)

    adder = threading.Thread(
        target=index.add, args=(rows[before:],), daemon=True,
        kwargs={"ids": numbers[before:], "progress": stand_still},
    )  # fmt: skip
    adder.start()
    assert inside.wait(WAIT)
    errors = []

    def read():
        try:
            found = index.search(rows[:64], k=5, exact=True)
            assert np.array_equal(found.ids[:, 0], numbers[:64])
            assert np.isin(index.search(rows[:64], k=5, ef=100).ids, numbers[:before]).all()
            assert index.search(rows[9], k=1, filter=[int(numbers[9])]).ids == [numbers[9]]
            assert np.array_equal(index.get(numbers[9]), rows[9])
            assert numbers[before - 1] in index
            assert numbers[before] not in index
            assert np.array_equal(index.ids(), numbers[:before])
            assert index.stats()["count"] == len(index) == before
            index._set_tuned_ef(77)
        except BaseException as error:
            errors.append(error)

    readers = [threading.Thread(target=read, daemon=True) for _ in range(4)]
    saver = threading.Thread(target=index.save, args=(tmp_path / "file",), daemon=True)
    saver.start()
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(WAIT)
    assert not any(reader.is_alive() for reader in readers)
    assert errors == []
    assert adder.is_alive()
    go_on.set()
    adder.join(WAIT)
    saver.join(WAIT)
    assert not adder.is_alive()
    assert not saver.is_alive()
    assert np.array_equal(index.ids(), numbers)
    assert index.verify(deep=True)["vectors"] == 4000
    assert Index.open(tmp_path / "file").verify(deep=True)["vectors"] == 4000


def test_many_writers(rows):
    index = Index(16, metric="l2")
    parts = np.array_split(np.arange(4000), 40)
    given = [None] * 40

    def add(number):
        for part in range(number, 40, 4):
            given[part] = index.add(rows[parts[part]], threads=1)

    threads = [threading.Thread(target=add, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert not any(thread.is_alive() for thread in threads)
    assert sorted(np.concatenate(given).tolist()) == list(range(4000))
    for part, ids in zip(parts, given, strict=True):
        assert np.array_equal(ids, np.arange(ids[0], ids[0] + len(ids)))
        assert np.array_equal(index.get(ids[0]), rows[part[0]])
    assert index.verify(deep=True)["vectors"] == 4000


def test_first_lookups_at_once(rows, tmp_path):
    """The table from ids to rows is built when first asked for."""
    index = Index(16)
    index.add(rows[:1000], ids=np.arange(1000) * 7)
    index.save(tmp_path / "file")
    for resident in RESIDENTS:
        opened = Index.open(tmp_path / "file", resident=resident)
        wrong = []
        ready = threading.Barrier(8)

        def look(number, opened=opened, wrong=wrong, ready=ready):
            ready.wait(WAIT)
            for row in range(number, 1000, 50):
                if 7 * row not in opened or not np.array_equal(opened.get(7 * row), rows[row]):
                    wrong.append(row)

        threads = [threading.Thread(target=look, args=(n,), daemon=True) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert not any(thread.is_alive() for thread in threads)
        assert wrong == []


@pytest.mark.parametrize("resident", [None, *RESIDENTS])
def test_close_while_searching(rows, tmp_path, resident):
    made = Index(16, metric="l2")
    made.add(rows[:1500])
    made.save(tmp_path / "file")
    expected = made.search(rows[:64], k=3)
    for _ in range(3):
        if resident is None:
            index = Index(16, metric="l2")
            index.add(rows[:1500], threads=1)
        else:
            index = Index.open(tmp_path / "file", resident=resident)
        refused = []

        def work(number, index=index, refused=refused):
            if number in refused:
                time.sleep(0.001)
                return
            try:
                found = index.search(rows[:64], k=3, threads=1 + number % 2)
                assert np.array_equal(found.ids, expected.ids)
                index.get(3)
                index.verify()
                index.save(tmp_path / f"copy{number}")
                index.add(np.empty((0, 16)))
            except ClosedError:
                refused.append(number)

        with Crowd(4, work):
            closers = [threading.Thread(target=index.close, daemon=True) for _ in range(3)]
            for closer in closers:
                closer.start()
            for closer in closers:
                closer.join(WAIT)
            assert not any(closer.is_alive() for closer in closers)
            with pytest.raises(ClosedError):
                index.search(rows[0])
        index.close()


def test_close_while_adding(rows):
    index = Index(16)
    inside = threading.Event()
    threads = [
        threading.Thread(
            target=index.add, args=(rows,), daemon=True,
            kwargs={"progress": lambda done, total: inside.set()},
        ),
    ]  # fmt: skip
    threads[0].start()
    assert inside.wait(WAIT)
    index.close()
    threads[0].join(WAIT)
    assert not threads[0].is_alive()
    with pytest.raises(ClosedError):
        len(index)


def test_tuning_while_adding():
    """What needs no turn of its own is done beside the add."""
    program = """
        import threading
        import numpy as np
        from sutra import Index
        begun = threading.Event()
        rows = np.random.default_rng(0).standard_normal((4000, 16), dtype=np.float32)
        index = Index(16)
        report = lambda done, total: begun.set()
        thread = threading.Thread(target=index.add, args=(rows,), kwargs={"progress": report})
        thread.start()
        begun.wait()
        index._set_tuned_ef(99)
        thread.join()
        print(index.stats()["tuned_ef"], len(index))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.split() == ["99", "4000"]


@pytest.mark.parametrize("resident", RESIDENTS)
def test_opened_and_dropped_at_once(rows, tmp_path, resident):
    """The copying thread of "auto" ends with its index, whenever that is."""
    index = Index(16)
    index.add(rows)
    index.save(tmp_path / "file")
    for number in range(30):
        opened = Index.open(tmp_path / "file", resident=resident)
        if number % 3 == 0:
            opened.close()
        elif number % 3 == 1:
            assert opened.search(rows[number], k=1).ids == [number]
        else:
            opened.add(rows[:2])
            assert len(opened) == 4002
        del opened


def test_results_are_the_same_before_and_after_copying(rows, tmp_path):
    index = Index(16)
    index.add(rows)
    index.save(tmp_path / "file")
    expected = index.search(rows[:200])
    opened = Index.open(tmp_path / "file", resident="auto")
    for _ in range(1000):
        found = opened.search(rows[:200])
        assert np.array_equal(found.ids, expected.ids)
        assert np.array_equal(found.distances, expected.distances)
        if opened.stats()["resident"] == "arena":
            break


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="warns of threads, rightly")
@pytest.mark.parametrize("resident", [None, *RESIDENTS])
def test_fork(rows, tmp_path, resident):
    """A child may search, or is refused clearly; it does not wait for threads it lacks."""
    made = Index(16, metric="l2")
    made.add(rows)
    made.save(tmp_path / "file")
    for _ in range(5):
        index = made if resident is None else Index.open(tmp_path / "file", resident=resident)
        if resident == "auto":
            wait_for_copy(index)
        search_in_child(index, rows)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_while_copying(rows, tmp_path):
    made = Index(16, metric="l2")
    made.add(rows)
    made.save(tmp_path / "file")
    for _ in range(50):
        search_in_child(Index.open(tmp_path / "file", resident="auto"), rows)


def wait_for_copy(index):
    for _ in range(1000):
        if index.stats()["resident"] == "arena":
            return
        time.sleep(0.005)
    pytest.skip("too little memory to copy")


def search_in_child(index, rows):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(use_in_child(index, rows))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert index.search(rows[9], k=1).ids == [9]


def use_in_child(index, rows):
    try:
        for threads in (1, 2):
            if index.search(rows[:40], k=1, threads=threads).ids[7] != 7:
                return 1
        index.close()
        del index
    except ClosedError:
        return 0
    except BaseException:
        return 2
    return 0
