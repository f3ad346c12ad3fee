"""Both libraries where hnswlib is installed: what it documents holds for it, too."""

from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest

MODULES = ["sutra.compat.hnswlib"] + ["hnswlib"] * (find_spec("hnswlib") is not None)


@pytest.fixture(params=MODULES)
def lib(request):
    return import_module(request.param)


@pytest.fixture
def make(lib):
    """Makes an index of vectors that are the same for the same size."""

    def make(count=10, *, space="l2", dim=4, room=20, **options):
        index = lib.Index(space=space, dim=dim)
        index.init_index(max_elements=room, **options)
        if count:
            index.add_items(vectors(count, dim))
        return index

    return make


def vectors(count, dim=4, seed=0):
    return np.random.default_rng(seed).random((count, dim), dtype=np.float32)
