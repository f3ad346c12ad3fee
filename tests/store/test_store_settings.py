"""Settings of a store from Python: private, small, named, and as durable as everything else."""

import os
import signal

import pytest

import sutra
from sutra import CapacityError, ClosedError, ConfigError, NotFoundError, ReadOnlyError

WAIT = 60
LONGEST_NAME = "n" * 255
LONGEST_VALUE = bytes(range(256)) * 255 + bytes(255)


def settings(reader):
    return {name: reader._setting(name) for name in reader._settings()}


def test_values_come_back(store):
    assert store._settings() == []
    assert store._setting("a") is None
    given = {
        "a": b"one",
        "empty": b"",
        "any": bytes(range(256)),
        "é": b"\xff",
        "茶/width": b"64",
        "nul\0in it": b"\0",
        LONGEST_NAME: LONGEST_VALUE,
    }
    for number, (name, value) in enumerate(given.items()):
        assert store._set(name, value) == number + 1
        assert store._setting(name) == value
    assert settings(store) == given
    assert store._settings() == sorted(given, key=str.encode)
    assert store._set("a", b"another") == len(given) + 1
    assert store._setting("a") == b"another"
    assert store._setting("A") is None
    assert store._set("empty", None) == len(given) + 2
    assert store._setting("empty") is None
    assert "empty" not in store._settings()
    store._set("empty", None)  # what is not there is passed over
    del given["empty"]
    assert settings(store) == {**given, "a": b"another"}
    assert len(store) == 0


def test_they_survive(path, tmp_path):
    expected = {}

    def change(store, number):
        for name, value in ((f"new {number}", b"x" * number), ("changed", b"%d" % number)):
            store._set(name, value)
            expected[name] = value
        store._set(f"new {number - 2}", None)
        expected.pop(f"new {number - 2}", None)

    cares = [
        lambda store: None,
        lambda store: store.checkpoint(),
        lambda store: store.compact(),
        lambda store: store.flush(),
        lambda store: store._core.abandon(),
    ]
    for number in range(20):
        with sutra.open(path) as store:
            assert settings(store) == expected
            store.upsert(number % 7, contents=str(number))
            change(store, number)
            cares[number % len(cares)](store)
    with sutra.open(path) as store:
        store.verify(deep=True)
        store.snapshot(tmp_path / "snapshot")
        before = dict(expected)
        change(store, 20)
    sutra.restore(tmp_path / "snapshot", tmp_path / "restored")
    assert sutra.repair(path, tmp_path / "repaired")["lost_settings"] is False
    for place, kept in (("snapshot", before), ("restored", before), ("repaired", expected)):
        with sutra.open(tmp_path / place, mode="r") as copy:
            assert settings(copy) == kept
            copy.verify(deep=True)
    assert before != expected


def test_a_killed_process_has_them(path, tools):
    program = """
        import os, sys, sutra
        store = sutra.open(sys.argv[1])
        store._set("a", b"1")
        store._set("b", b"1")
        store.checkpoint()
        store._set("a", b"2")
        with store.batch():
            store.add("concept")
            store._set("b", None)
            store._set("c", b"3")
        print("done", flush=True)
        with store.batch():
            store._set("c", b"never")
            os.kill(os.getpid(), 9)
    """
    with tools.python(program, path) as other:
        assert other.stdout.readline() == "done\n"
        assert other.wait(WAIT) == -signal.SIGKILL
    with sutra.open(path) as store:
        assert settings(store) == {"a": b"2", "c": b"3"}
        assert list(store) == ["concept"]


def test_a_reader_follows(path, tools):
    """A process that reads sees what was acknowledged before it refreshes, and not before."""
    program = """
        import sys, sutra
        with sutra.open(sys.argv[1]) as store:
            for number in range(12):
                store._set("number", b"%d" % number)
                store._set("even", None if number % 2 else b"")
                if number % 4 == 1: store.checkpoint()
                if number % 4 == 3:
                    store.upsert("a")
                    store.compact()
                print(number, flush=True)
                sys.stdin.readline()
    """
    with tools.python(program, path) as other:
        reader = None
        for number in range(12):
            assert other.stdout.readline() == f"{number}\n"
            if reader is None:
                reader = sutra.open(path, mode="r")
            else:
                assert reader._setting("number") == b"%d" % (number - 1)
                assert reader.refresh()
            assert reader._setting("number") == b"%d" % number
            assert reader._settings() == ["number"] if number % 2 else ["even", "number"]
            other.stdin.write("\n")
            other.stdin.flush()
        assert other.wait(WAIT) == 0
    with pytest.raises(ReadOnlyError):
        reader._set("number", b"x")
    reader.close()


# ---- batches


def do(store, *calls):
    """One batch of calls of the store: each a method's name and its arguments."""
    with store.batch():
        for name, *arguments in calls:
            getattr(store, name)(*arguments)


def test_a_batch_is_one_write(store):
    store._set("gone", b"x")
    with store.batch() as batch:
        assert store._set("a", b"1") == -1
        assert batch._set("b", b"2") == -1
        store._set("b", b"3")
        store._set("gone", None)
        store.add("concept")
        store._set("brief", b"x")
        store._set("brief", None)
        assert settings(store) == {"gone": b"x"}  # what is kept is not seen
    assert settings(store) == {"a": b"1", "b": b"3"}
    assert "concept" in store
    assert batch.lsn == 2
    assert [result.count for result in batch.results] == [1] * 7
    assert {result.lsn for result in batch.results} == {2}


def test_all_or_nothing(store):
    store._set("kept", b"x")
    changes = [("_set", "kept", None), ("_set", "new", b"y"), ("add", "concept")]
    with pytest.raises(AttributeError):
        do(store, *changes, ("no such method",))
    with pytest.raises(NotFoundError):
        do(store, *changes, ("link", "not", "there"))
    many = [("_set", str(number), b"") for number in range(1024)]
    with pytest.raises(CapacityError, match=r"at most 1024 \(operation 1026 of"):
        do(store, *changes, *many)
    assert settings(store) == {"kept": b"x"}
    assert list(store) == []
    assert store._set("kept", b"last") == 2


# ---- what is refused


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (b"a", TypeError),
        (None, TypeError),
        (1, TypeError),
        ("", ConfigError),
        ("n" * 256, ConfigError),
        ("é" * 128, ConfigError),
        ("\ud800", ConfigError),
    ],
)
def test_bad_names(store, name, error):
    store._set("a", b"x")
    for call in (
        lambda: store._setting(name),
        lambda: store._set(name, b"y"),
        lambda: store._set(name, None),
    ):
        with pytest.raises(error, match="name"):
            call()
    with pytest.raises(error, match="name"):
        do(store, ("_set", "a", b"y"), ("_set", name, b"y"))
    assert settings(store) == {"a": b"x"}
    assert store.stats()["visible_lsn"] == 1


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("text", TypeError),
        (bytearray(b"x"), TypeError),
        (memoryview(b"x"), TypeError),
        (1, TypeError),
        (LONGEST_VALUE + b"x", CapacityError),
    ],
)
def test_bad_values(store, value, error):
    store._set("a", b"x")
    with pytest.raises(error, match="value"):
        store._set("a", value)
    with pytest.raises(error, match="value"):
        do(store, ("_set", "b", b"y"), ("_set", "a", value))
    assert settings(store) == {"a": b"x"}
    assert store.stats()["visible_lsn"] == 1


def test_there_are_at_most_so_many(store):
    with store.batch():
        for number in range(1024):
            store._set(f"{number:04}", b"%d" % number)
    for _ in range(2):
        with pytest.raises(CapacityError):
            store._set("more", b"")
    store._set("0512", b"again")
    with store.batch():
        store._set("0512", None)
        store._set("more", b"")
    store.compact()
    assert len(store._settings()) == 1024
    assert store._setting("more") == b""
    assert store._setting("0511") == b"511"


def test_handles_that_are_closed(path):
    with sutra.open(path) as store:
        store._set("a", b"x")
        view = store.read_view()
    for call in (
        lambda: store._setting("a"),
        lambda: store._settings(),
        lambda: store._set("a", b"y"),
    ):
        with pytest.raises(ClosedError):
            call()
    assert settings(view) == {"a": b"x"}  # a view outlives the close
    view.close()
    with pytest.raises(ClosedError):
        view._setting("a")
    with pytest.raises(ClosedError):
        view._settings()


def test_views_see_what_is_set_since(store):
    """Settings have no versions; a state that compaction has replaced keeps the last it had."""
    store.add(range(3))
    store._set("a", b"1")
    with store.read_view() as view:
        store._set("a", b"2")
        assert view._setting("a") == b"2"
        store.delete(1)
        store.compact()
        store._set("a", b"3")
        assert (view._setting("a"), store._setting("a")) == (b"2", b"3")
        assert not hasattr(view, "_set")


def test_they_are_no_concepts(saved):
    saved.add("a", contents="x")
    saved._set("a", b"y")
    assert list(saved) == ["a"]
    assert saved.stats()["concepts"] == 1
    saved.delete("a")
    assert saved._setting("a") == b"y"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_not_in_a_forked_child(saved):
    saved._set("a", b"x")
    child = os.fork()
    if not child:
        code = 1
        try:
            saved._setting("a")
        except ClosedError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert saved._setting("a") == b"x"
