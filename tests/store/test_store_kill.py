"""A writer is killed at any moment; the store has every write that it had been told of."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

import sutra

# Tells the number of each batch when it is durable. A batch: ten concepts, linked in a ring.
WRITER = """
import sys
import numpy as np
import sutra

store = sutra.open(sys.argv[1], sync=sys.argv[2])
rng = np.random.default_rng(len(store))
batch = len(store) // 10
print("ready", flush=True)
while True:
    ids = list(range(10 * batch, 10 * batch + 10))
    with store.batch():
        store.add(ids, rng.standard_normal((10, 16)), contents=[f"concept {id}" for id in ids])
        store.link(ids, ids[1:] + ids[:1], kind="next")
    if batch % 50 == 49:
        store.checkpoint()
    print(batch, flush=True)
    batch += 1
"""


def kill_after(path: str, sync: str, seconds: float) -> int:
    """The number of the last batch that a writer told of before it was killed, or -1."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path, sync], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(seconds)
        writer.send_signal(signal.SIGKILL)
        told = writer.stdout.read()
    assert writer.returncode == -signal.SIGKILL
    # The last line may have been cut short.
    whole = told[: told.rfind("\n") + 1].split()
    return int(whole[-1]) if whole else -1


def check(path: str, told: int) -> int:
    """Everything told of is there, batches are whole, nothing is between them."""
    with sutra.open(path) as store:
        count = len(store)
        assert count % 10 == 0
        assert count >= 10 * (told + 1)
        assert list(store) == list(range(count))
        for id in range(0, count, 97):
            concept = store[id]
            assert concept.content == f"concept {id}"
            after = id + 1 if id % 10 != 9 else id - 9
            assert [link.target for link in store.links(id)] == [after]
        if count:
            (last,) = store.get(count - 1, vectors=True)
            assert last is not None
            assert store.search(last.vector, k=1).ids[0] == count - 1
        store.verify(deep=True)
        return count


@pytest.mark.parametrize(
    ("kills", "seed"),
    [(50, 1), pytest.param(1000, 2, marks=pytest.mark.slow)],
)
def test_nothing_told_of_is_lost(tmp_path: os.PathLike[str], kills: int, seed: int) -> None:
    moments = random.Random(seed)
    path = os.path.join(tmp_path, "killed.sutra")
    told, count = -1, 0
    for number in range(kills):
        if number % 10 == 0:  # now and then from the beginning: stores that are young
            path = os.path.join(tmp_path, f"killed{number}.sutra")
            told = -1
        # A killed process has handed its writes over, whatever the mode.
        sync = moments.choice(["full", "full", "interval", "off"])
        told = max(told, kill_after(path, sync, moments.uniform(0.001, 0.2)))
        count = check(path, told)
    assert count
