"""Index.add with a progress callback: what it is told, and stopping from inside it."""

import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from sutra import Index
from sutra.errors import SutraError

CONFIGURATIONS = [("u8", True), ("u8", False), ("u4", False), ("none", True)]


@pytest.fixture(scope="module")
def rows(tools):
    return tools.clustered(2000, 16)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_the_callback_is_told(rows, threads):
    calls = []
    index = Index(16)
    index.add(rows, progress=lambda *call: calls.append(call), threads=threads)
    done = [one for one, _ in calls]
    assert len(calls) > 5
    assert {total for _, total in calls} == {2000}
    assert done == sorted(set(done))
    assert done[0] > 0
    assert done[-1] == 2000


def test_what_the_callback_returns_does_not_matter(rows):
    for value in (True, False, 1, "stop", None):
        index = Index(16)
        index.add(rows[:600], progress=lambda done, total, value=value: value)
        assert len(index) == 600


def test_the_bar(rows, capsys):
    index = Index(16)
    index.add(rows, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "2,000/2,000" in err
    assert err.endswith("\n")
    index.add(rows, progress=False)
    index.add(rows, progress=None)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("wrong", [3, "bar", [1]])
def test_what_cannot_be_called(rows, wrong):
    index = Index(16)
    with pytest.raises(TypeError):
        index.add(rows, progress=wrong)
    assert len(index) == 0
    index.add(rows[:600])
    assert index.verify(deep=True)["vectors"] == 600


@pytest.mark.parametrize("before", [0, 100, 700])
@pytest.mark.parametrize(("quantization", "keep"), CONFIGURATIONS)
def test_an_exception_stops_the_call(tools, rows, before, quantization, keep):
    index = Index(16, metric="l2", quantization=quantization, keep_originals=keep)
    index.add(rows[:before], ids=np.arange(before) * 2)
    graph = index.stats()["graph"]
    queries = tools.clustered(30, 16, seed=1)
    expected = index.search(queries, exact=True)

    def stop(done, total):
        if done > total // 3:
            raise raised

    errors = [RuntimeError("mine"), KeyboardInterrupt(), SystemExit(3), StopIteration()]
    for number, raised in enumerate(errors):
        with pytest.raises(type(raised)) as caught:
            index.add(rows[before:], progress=stop, threads=1 + number % 2)
        assert caught.value is raised
        assert len(index) == before
        assert np.array_equal(index.ids(), np.arange(before) * 2)
        assert index.stats()["graph"] == graph
        assert index.verify(deep=True)["vectors"] == before
        assert 1 not in index
    if before * 8 > 2000 or not graph or keep:
        found = index.search(queries, exact=True)
        assert np.array_equal(found.ids, expected.ids)
        assert np.array_equal(found.distances, expected.distances)
    if before > 600:
        truth = tools.nearest("l2", queries, rows[:before], 10) * 2
        least = 0.6 if quantization == "u4" else 0.93
        assert tools.recall(index.search(queries, ef=100).ids, truth) >= least
    index.add(rows[before:], ids=np.arange(before, 2000) * 2)
    assert index.verify(deep=True)["vectors"] == 2000
    truth = tools.nearest("l2", queries, rows, 10) * 2
    least = 0.5 if quantization == "u4" else 0.93
    assert tools.recall(index.search(queries, ef=100).ids, truth) >= least


@pytest.mark.parametrize(("quantization", "keep"), CONFIGURATIONS)
def test_a_stopped_add_leaves_the_same_file(rows, tmp_path, quantization, keep):
    index = Index(16, quantization=quantization, keep_originals=keep)
    index.add(rows[:1000])
    index.save(tmp_path / "before")

    def stop(done, total):
        if done > total // 2:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        index.add(rows[1000:], progress=stop)
    index.save(tmp_path / "after")
    assert (tmp_path / "after").read_bytes() == (tmp_path / "before").read_bytes()


def test_changing_the_index_from_its_callback(rows, tmp_path):
    """An error, not a wait for itself."""
    index = Index(16)
    index.add(rows[:5])
    uses = [
        lambda: index.add(rows[0]),
        lambda: index.save(tmp_path / "file"),
        lambda: index.verify(),
        lambda: index.close(),
    ]
    refused = []

    def callback(done, total):
        if not refused:
            for use in uses:
                with pytest.raises(SutraError, match="being changed"):
                    use()
                refused.append(use)
            other = Index(16)  # another index is nobody's business
            other.add(rows[:600], progress=lambda done, total: None)
            assert other.search(rows[0], k=1).ids == [0]

    index.add(rows[5:700], progress=callback)
    assert refused == uses
    assert len(index) == 700
    with pytest.raises(SutraError, match="being changed"):
        index.add(rows[700:], progress=lambda done, total: index.save(tmp_path / "file"))
    assert len(index) == 700
    assert index.verify(deep=True)["vectors"] == 700


@pytest.mark.parametrize("before", [300, 700])
def test_reading_the_index_from_its_callback(rows, before):
    """What was there before, whole."""
    index = Index(16, metric="l2")
    index.add(rows[:before])
    expected = index.search(rows[:20], k=5, exact=True)
    calls = []

    def callback(done, total):
        calls.append(done)
        found = index.search(rows[:20], k=5, exact=True)
        assert np.array_equal(found.ids, expected.ids)
        assert (index.search(rows[:20], k=5).ids < before).all()
        assert index.search(rows[before], k=5, filter=[before, 3]).ids.tolist()[:2] == [3, -1]
        assert np.array_equal(index.get(7), rows[7])
        assert len(index) == before
        assert before not in index
        assert index.ids().tolist() == list(range(before))
        assert index.stats()["count"] == before

    index.add(rows[before:], progress=callback)
    assert len(calls) > 5
    assert len(index) == 2000
    assert before in index


def test_repr_in_the_callback(rows):
    index = Index(16)
    seen = set()
    index.add(rows[:600], progress=lambda done, total: seen.add(repr(index)))
    assert seen == {"<sutra.Index 0 vectors, dim 16, cosine>"}


def test_interrupt_during_add():
    """Ctrl-C is heard without a callback, and the index is as it was."""
    code = """
        import os, signal, sys, threading, time
        import numpy as np
        from sutra import Index
        rows = np.random.default_rng(0).standard_normal((200_000, 32), dtype=np.float32)
        index = Index(32, metric="l2")
        index.add(rows[:1000], threads=1)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            index.add(rows[1000:], ids=np.arange(1000, 200_000) * 5, threads=1)
        except KeyboardInterrupt:
            print(len(index), index.verify(deep=True)["vectors"], index.search(rows[7]).ids[0])
        index.add(rows[1000:1100])
        print(len(index))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1000", "1000", "7", "1100"]


def test_interrupt_from_the_callback_with_a_signal(rows):
    """A signal that arrives while the callback runs is raised by the call it interrupts."""
    index = Index(16)

    def interrupt(done, total):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        index.add(rows, progress=interrupt)
    assert len(index) == 0


TWO_WRITERS = """
    import os, threading
    import numpy as np
    from sutra import Index
    from sutra.errors import SutraError
    rows = np.random.default_rng(0).standard_normal((6000, 16), dtype=np.float32)
    index = Index(16)
    refused = []

    def callback(done, total):
        try:
            index.verify()
        except SutraError:
            refused.append(done)
        else:
            refused.append(None)

    def add(part, progress):
        index.add(part, progress=progress, threads=1)

    threads = [
        threading.Thread(target=add, args=(rows[:3000], callback), daemon=True),
        threading.Thread(target=add, args=(rows[3000:], None), daemon=True),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        if thread.is_alive():
            os._exit(1)
    assert refused and None not in refused, refused
    assert index.verify(deep=True)["vectors"] == 6000
"""


def test_callback_with_a_second_writer_waiting():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TWO_WRITERS)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_callbacks_of_two_indexes_at_once(rows):
    counts = [0, 0]

    def add(number):
        def callback(done, total):
            counts[number] += 1

        index = Index(16)
        index.add(rows, progress=callback)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts[0] == counts[1] > 0
