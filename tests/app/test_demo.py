"""The demonstration: what it answers, and the writer that is killed."""

import subprocess

import pytest

from sutra import open as open_store
from sutra.cli import demo_store, demo_writer
from sutra.cli.output import Failure, Output


def test_demo_answers_and_measures_itself(sutra):
    assert sutra("demo") == 0
    assert "king - man + woman" in sutra.out
    assert "queen" in sutra.out
    for expected in ("recall@10", "per second", "bytes a vector", "open", "kernels"):
        assert expected in sutra.out
    for expected in ("A durable store", "-near->", "SIGKILL", "nothing acknowledged was lost"):
        assert expected in sutra.out


def test_demo_answers_words_given(sutra):
    report = sutra.json("demo", "Tuesday", "paris - france + italy")
    tuesday, paris = report["nearest"]
    assert "wednesday" in [neighbour["word"] for neighbour in tuesday["neighbours"]]
    assert paris["neighbours"][0]["word"] == "rome"
    assert report["summary"]["recall_at_10"] >= 0.95
    assert report["summary"]["queries_per_second"] > 0
    assert set(report["summary"]["bytes_per_vector"]) >= {"links", "codes", "ids"}
    assert report["store"]["concepts"] == 16_000
    assert 40_000 < report["store"]["links"] <= 48_000
    assert report["related"][0]["word"] == "tuesday"
    assert len(report["related"][0]["related"]) == demo_store.RELATED
    crash = report["crash"]
    assert crash["acknowledged"] >= 2_500
    assert crash["found"] - crash["acknowledged"] in (0, 100)
    assert (crash["lost"], crash["whole"]) == (0, True)


def test_demo_suggests_words(sutra):
    message = sutra.fails(1, "demo", "phisics")
    assert "physics" in message
    assert sutra("demo", "+") == 2


# ---- the demonstration must be able to fail


@pytest.fixture
def store(here):
    with open_store("words", dim=4) as store:
        store.add(["tea"], [[1, 0, 0, 0]])
    return here / "words"


def written(store, batches):
    """Write what the writer would."""
    numbers = range(batches * demo_writer.BATCH)
    with open_store(store) as opened:
        opened.add(
            [demo_writer.id_of(number) for number in numbers],
            [[demo_writer.vector_value(number, place) for place in range(4)] for number in numbers],
            contents=[demo_writer.content_of(number) for number in numbers],
        )


@pytest.mark.parametrize("more", [0, 1])
def test_what_was_acknowledged_is_found(store, monkeypatch, capsys, more):
    def run_writer(*_):
        written(store, 3 + more)
        return 3

    monkeypatch.setattr(demo_store, "run_writer", run_writer)
    report = demo_store.die_and_reopen(store, Output())
    assert (report["acknowledged"], report["lost"], report["whole"]) == (300, 0, True)
    assert report["found"] == 300 + 100 * more
    assert "nothing acknowledged was lost" in capsys.readouterr().out


def spoil_by_deletion(opened):
    opened.delete(demo_writer.id_of(17))
    opened.add("other")


def spoil_content(opened):
    opened.upsert(demo_writer.id_of(17), contents="something else")


def spoil_vector(opened):
    opened.upsert(demo_writer.id_of(17), [[9, 9, 9, 9]])


@pytest.mark.parametrize("spoil", [spoil_by_deletion, spoil_content, spoil_vector])
def test_what_is_missing_or_wrong_is_told(store, monkeypatch, capsys, spoil):
    def run_writer(*_):
        written(store, 2)
        with open_store(store) as opened:
            spoil(opened)
        return 2

    monkeypatch.setattr(demo_store, "run_writer", run_writer)
    assert demo_store.die_and_reopen(store, Output())["lost"] == 1
    assert "was lost" in capsys.readouterr().out


def test_half_a_write_is_told(store, monkeypatch, capsys):
    def run_writer(*_):
        written(store, 2)
        with open_store(store) as opened:
            opened.add("half")
        return 2

    monkeypatch.setattr(demo_store, "run_writer", run_writer)
    assert not demo_store.die_and_reopen(store, Output())["whole"]
    assert "in part" in capsys.readouterr().out


def test_a_writer_that_ends_otherwise_is_a_failure(store, monkeypatch):
    def run(*_, **__):
        return subprocess.CompletedProcess([], 1, b"", b"Traceback\nno room")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(Failure, match=r"ended with 1 .*no room"):
        demo_store.run_writer(store, 4)


def test_the_writer_is_killed_while_it_writes(store):
    acknowledged = demo_store.run_writer(store, 4)  # refuses any other end than SIGKILL
    assert demo_writer.WRITES_MIN <= acknowledged <= demo_writer.WRITES_MAX + 1
