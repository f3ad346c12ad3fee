"""What the tests of the store share."""

import subprocess
import sys
import textwrap
import types

import numpy as np
import pytest

import sutra

DIM = 8
METRICS = ("cosine", "l2", "ip")


def rows(count, dim=DIM, seed=0):
    """Float32 vectors, none of length zero."""
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


def distances(metric, query, vectors):
    """Distances in float64, by the definitions in the documentation."""
    query, vectors = np.asarray(query, dtype=float), np.asarray(vectors, dtype=float)
    if metric == "l2":
        return ((vectors - query) ** 2).sum(axis=1)
    dots = vectors @ query
    if metric == "ip":
        return -dots
    return 1.0 - dots / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(query))


def state(reader):
    """Everything that can be read of a store or a view, to be compared."""
    concepts = reader.get(list(reader), vectors=True)
    links = [link for one in concepts for link in reader.links(one.id)]
    return concepts, links


def python(program, *arguments):
    """Start another Python that runs a program and talks over pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="session")
def tools():
    """The functions of this file."""
    return types.SimpleNamespace(
        DIM=DIM, METRICS=METRICS, distances=distances, python=python, rows=rows, state=state
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store"


@pytest.fixture(params=["disk", "memory"])
def store(request, path):
    """An empty store."""
    with sutra.open(path if request.param == "disk" else ":memory:") as opened:
        yield opened


@pytest.fixture
def saved(path):
    """A store on disk, and open."""
    with sutra.open(path) as opened:
        yield opened
