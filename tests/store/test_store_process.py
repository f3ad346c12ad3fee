"""One writer, many readers, forks, pickles, and handles that are forgotten."""

import ctypes
import gc
import os
import pickle
import signal

import pytest

import sutra
from sutra import ClosedError, LockedError

WAIT = 60
FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
# From 3.12 on Python warns of a fork beside threads, rightly; these children do nothing else.
QUIET = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def in_child(work):
    """Fork, do the work in the child, and return what it wrote, or how it died."""
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.write(send, work().encode())
            code = 0
        except BaseException as error:
            os.write(send, repr(error).encode())
        finally:
            os._exit(code)
    os.close(send)
    with os.fdopen(receive) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return text, os.waitstatus_to_exitcode(status)


def test_the_second_writer_is_refused(path):
    with sutra.open(path) as store:
        store.add("a")
        for mode in ("a", "w"):
            with pytest.raises(LockedError) as caught:
                sutra.open(path, mode=mode)
            assert str(os.getpid()) in caught.value.holder
            assert caught.value.holder in str(caught.value)
            assert isinstance(caught.value, OSError)
        with sutra.open(path, mode="r") as reader:
            assert list(reader) == ["a"]
        assert list(store) == ["a"]
    with sutra.open(path) as store:
        assert list(store) == ["a"]


def test_the_lock_of_another_process(path, tools):
    program = """
        import os, sys, sutra
        store = sutra.open(sys.argv[1])
        store.add("a", contents="of another")
        print(os.getpid(), flush=True)
        sys.stdin.readline()
        os.kill(os.getpid(), 9)
    """
    with tools.python(program, path) as other:
        number = other.stdout.readline().strip()
        with pytest.raises(LockedError) as caught:
            sutra.open(path)
        assert number in caught.value.holder
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.wait(WAIT) == -signal.SIGKILL
    with sutra.open(path) as store:
        assert store["a"].content == "of another"
        assert store.health()["recovered"] >= 1


def test_a_reader_follows_a_writer(path, tools):
    """Everything acknowledged before a refresh is seen by it, and nothing between two."""
    program = """
        import sys, sutra
        with sutra.open(sys.argv[1], dim=4) as store:
            for number in range(40):
                store.add(number, [number, 1, 0, 0], contents=str(number))
                if number: store.link(number - 1, number)
                if number % 10 == 7: store.checkpoint()
                if number % 10 == 9: store.delete(number - 9)
                if number == 25: store.compact()
                print(number, flush=True)
                sys.stdin.readline()
    """
    with tools.python(program, path) as other:
        reader, expected = None, []
        for number in range(40):
            assert other.stdout.readline().strip() == str(number)
            expected.append(number)
            if number % 10 == 9:
                expected.remove(number - 9)
            if reader is None:
                reader = sutra.open(path, mode="r")
            else:
                stale = list(reader)
                other_view = reader.read_view()
                assert reader.refresh()
                assert list(other_view) == stale
                other_view.close()
            assert not reader.refresh()
            assert list(reader) == expected
            assert reader[number].content == str(number)
            assert reader.search([number, 1, 0, 0], k=1, exact=True)[0].id in expected
            if number and number % 10 != 9:
                assert [link.target for link in reader.links(expected[-2])] == [number]
            other.stdin.write("\n")
            other.stdin.flush()
        assert other.wait(WAIT) == 0
    reader.refresh()
    assert list(reader) == expected
    reader.verify(deep=True)
    reader.close()


def test_many_readers(path):
    with sutra.open(path) as store:
        store.add(range(100))
        readers = [sutra.open(path, mode="r") for _ in range(20)]
        store.add("new")
        assert all("new" not in reader for reader in readers)
        for reader in readers:
            assert reader.refresh()
            assert "new" in reader
            reader.close()


def test_modes(path):
    with sutra.open(path, mode="x", metric="l2", dim=3, m=8, quantization="u4") as store:
        store.add("a", [1, 2, 3])
    with pytest.raises(FileExistsError):
        sutra.open(path, mode="x")
    with sutra.open(path) as store:
        assert (store.metric, store.dim, store.mode) == ("l2", 3, "a")
        assert (store.stats()["m"], store.stats()["quantization"]) == (8, "u4")
    with sutra.open(path, mode="w") as store:
        assert len(store) == 0
        assert store.metric == "cosine"
        assert store.dim is None


@pytest.mark.parametrize(
    ("option", "stored", "given"),
    [
        ("dim", "3", 4),
        ("metric", "'l2'", "ip"),
        ("quantization", "'u8'", "none"),
        ("keep_originals", "True", False),
        ("m", "16", 32),
        ("ef_construction", "200", 100),
    ],
)
def test_only_a_different_option_is_refused(path, option, stored, given):
    with sutra.open(path, metric="l2") as store:
        store.add("a", [1, 2, 3])
    for mode in ("a", "r"):
        with pytest.raises(sutra.ConfigError) as caught:
            sutra.open(path, mode=mode, **{option: given})
        for word in (f"{option}={given!r}", f"{option}={stored}"):
            assert word in str(caught.value)
    same = {"dim": 3, "metric": "l2", "quantization": "u8", "keep_originals": True, "m": 16}
    with sutra.open(path, **same, ef_construction=200) as store:
        assert len(store) == 1


@FORK
@QUIET
def test_a_forked_handle_is_dead(path):
    store = sutra.open(path)
    store.add("a", [1.0, 2.0], contents="x")
    view, hits = store.read_view(), store.search([1, 2])
    assert hits[0].content == "x"

    def work():
        calls = [
            lambda: store["a"], lambda: store.add("b"), lambda: len(view), lambda: store.stats(),
            lambda: store.read_view(), lambda: store.search([1, 2]), lambda: store.durable_lsn,
        ]  # fmt: skip
        said = []
        for call in calls:
            try:
                call()
            except ClosedError as error:
                said.append(str(error))
        store.close()
        view.close()
        assert store.closed
        del calls
        assert all("fork" in text for text in said), said
        with sutra.open(path, mode="r") as reader:
            return f"{len(said)} {reader['a'].content} {hits[0].content}"

    for _ in range(3):
        assert in_child(work) == ("7 x x", 0)
    assert store["a"].content == "x"
    store.add("b")
    view.close()
    store.close()


@FORK
@QUIET
def test_a_child_does_not_keep_the_lock(path):
    store = sutra.open(path)
    store.add("a")
    wait, go = os.pipe()
    child = os.fork()
    if not child:
        os.close(go)
        os.read(wait, 1)
        os._exit(0)
    os.close(wait)
    with pytest.raises(LockedError):
        sutra.open(path)
    store.close()
    with sutra.open(path) as again:
        assert list(again) == ["a"]
    os.close(go)
    assert os.waitpid(child, 0)[1] == 0


@FORK
@QUIET
def test_a_child_that_has_not_run_yet_does_not_keep_the_lock(path):
    """Forked past Python: nothing in the child closes what it has a copy of."""
    libc = ctypes.CDLL(None)
    store = sutra.open(path)
    store.add("a")
    child = libc.fork()
    if not child:
        while True:
            libc.pause()
    try:
        store.close()
        with sutra.open(path) as again:
            assert list(again) == ["a"]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@FORK
@QUIET
def test_a_child_that_drops_the_handle_changes_nothing(path):
    holder = [sutra.open(path)]
    holder[0].add("a")

    def work():
        holder.clear()
        gc.collect()
        return "dropped"

    assert in_child(work) == ("dropped", 0)
    holder[0].add("b")
    with pytest.raises(LockedError):
        sutra.open(path)
    holder[0].close()
    with sutra.open(path) as store:
        assert list(store) == ["a", "b"]


def test_a_pickled_handle_reads(path):
    with sutra.open(path) as store:
        store.add(["a", "b"], contents=["x", "y"])
        with pickle.loads(pickle.dumps(store)) as twin:
            assert (twin.mode, list(twin)) == ("r", ["a", "b"])
            with pytest.raises(sutra.ReadOnlyError):
                twin.add("c")
        with store.read_view() as view, pytest.raises(TypeError, match="ReadView"):
            pickle.dumps(view)
    with sutra.open(":memory:") as store, pytest.raises(TypeError, match="memory"):
        pickle.dumps(store)


def test_a_pickled_handle_goes_to_another_process(path, tools):
    program = """
        import pickle, sys
        with pickle.loads(bytes.fromhex(sys.argv[1])) as store:
            print(store.mode, store["a"].content, flush=True)
    """
    with sutra.open(path) as store:
        store.add("a", contents="x")
        with tools.python(program, pickle.dumps(store).hex()) as other:
            assert other.communicate(timeout=WAIT)[0].split() == ["r", "x"]
        assert other.returncode == 0


def test_a_forgotten_handle_warns_and_closes(path):
    handles = [sutra.open(path)]
    handles[0].add("a")
    with pytest.warns(ResourceWarning, match="unclosed"):
        handles.clear()
    with sutra.open(path) as store:
        assert list(store) == ["a"]
    forgotten = sutra.open(":memory:")
    forgotten.add("a")
    del forgotten
    gc.collect()


def test_snapshots_and_restores(path, tmp_path, tools):
    first, second = tmp_path / "first", tmp_path / "second"
    with sutra.open(path) as store:
        store.add(range(700), tools.rows(700), contents=[str(n) for n in range(700)])
        store.link(range(699), range(1, 700))
        store.snapshot(first)
        before = tools.state(store)
        store.delete(range(100))
        store.upsert(100, contents="changed")
        assert store.snapshot(second) is None
        after = tools.state(store)
        store.snapshot(first)
        store.add("later")
    for place, expected in ((first, after), (second, after)):
        with sutra.open(place, mode="r") as copy:
            assert tools.state(copy) == expected
            copy.verify(deep=True)
    assert before != after
    restored = tmp_path / "restored"
    sutra.restore(first, restored)
    with sutra.open(restored) as store:
        assert tools.state(store) == after
        store.add("only here")
        store.verify(deep=True)
    with sutra.open(first, mode="r") as copy:
        assert "only here" not in copy
    with pytest.raises(FileExistsError):
        sutra.restore(first, restored)
    with pytest.raises(FileNotFoundError):
        sutra.restore(tmp_path / "nothing", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with sutra.open(":memory:") as store, pytest.raises(sutra.ConfigError, match="memory"):
        store.snapshot(tmp_path / "new")
