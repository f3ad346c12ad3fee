"""What the tests of the command line share: running it in this process."""

import io
import json

import pytest

from sutra import open as open_store
from sutra.cli import importing, main

DIM = 5  # of the stores made here
SOME = 40  # concepts of a batch there, so that a small file has several


class Command:
    """Runs ``sutra`` in this process and keeps what it wrote."""

    def __init__(self, capsys):
        self.capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments):
        code = main([str(argument) for argument in arguments])
        self.out, self.err = self.capsys.readouterr()
        return code

    def json(self, *arguments, code=0):
        """Run with --json; standard output is one document and nothing else."""
        assert self(*arguments, "--json") == code, self.err
        return json.loads(self.out)

    def fails(self, code, *arguments):
        """Run to failure; the reason is one line on standard error."""
        assert self(*arguments) == code, self.out + self.err
        assert self.err.startswith("sutra: error: ")
        assert self.err.count("\n") == 1, self.err
        return self.err


@pytest.fixture
def sutra(capsys):
    return Command(capsys)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def stdin(monkeypatch):
    """Lets standard input be some bytes."""

    def be(data):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))

    return be


@pytest.fixture
def empty(here, monkeypatch):
    """An empty store, and batches that are small."""
    monkeypatch.setattr(importing, "BATCH_ITEMS", SOME)
    monkeypatch.setattr(importing, "BATCH_TIES", 16)
    with open_store("store", dim=DIM):
        pass
    return here / "store"


@pytest.fixture
def everything():
    """Reads all of a store."""

    def everything(path):
        """All that a store holds, to the bit, but for when it was written."""
        found = {}
        with open_store(path, mode="r") as store:
            order = list(store)
            for concept in store.get(order, vectors=True):
                links = {
                    (link.target, link.kind): (link.weight, link.confidence)
                    for link in store.links(concept.id)
                }
                found[concept.id] = (
                    None if concept.vector is None else concept.vector.tobytes(),
                    concept.content,
                    concept.metadata,
                    concept.record.strength,
                    concept.record.confidence,
                    concept.record.reference_count,
                    links,
                )
        return order, found

    return everything


@pytest.fixture
def drinks(here):
    """A store of drinks: two with vectors, one without, one with a number for an id."""
    with open_store("drinks", dim=4) as store:
        store.add(
            ["tea", "pot", "cup", 7],
            [[1, 0, 0, 0], [0, 1, 0, 0], None, [0, 0, 1, 0]],
            contents=["a hot\ndrink\x1b[2J", b"\x00\xff", None, "seven"],
            metadata=[{"year": 1662}, None, None, None],
            strength=[0.1, 1, 1, 1],
        )
        store.link(["tea", "tea", "cup"], ["pot", 7, "tea"], kind=["in", "semantic", "holds"])
    return here / "drinks"
