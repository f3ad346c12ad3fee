"""The process that `sutra demo` lets die: it writes to a store until it kills itself mid-write.

Run as ``python -m sutra.cli.demo_writer DIR DIM``. After every write that the store has
acknowledged it puts the number of that write on standard output. There is no handler and no
clean-up: SIGKILL cannot be caught.
"""

import os
import random
import signal
import sys
import threading
import time
from itertools import count
from statistics import median

__all__ = ["BATCH", "content_of", "id_of", "vector_value", "write_until_killed"]

BATCH = 100  # concepts a write
WRITES_MIN, WRITES_MAX = 25, 75  # acknowledged before it ends


def id_of(number: int) -> str:
    """Return the id of a note."""
    return f"note {number}"


def content_of(number: int) -> str:
    """Return the content of a note."""
    return f"written as number {number}"


def vector_value(number: int, place: int) -> float:
    """Return one number of the vector of a note."""
    return float((number * 31 + place * 17) % 257 + 1)


def write_until_killed(path: str, dim: int) -> None:
    """Write batch after batch, and never return."""
    import sutra

    now = threading.Event()
    delay = 0.0

    def kill() -> None:
        now.wait()
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    last = random.randint(WRITES_MIN, WRITES_MAX)
    times = [0.001]
    with sutra.open(path) as store:
        for batch in count():
            numbers = range(batch * BATCH, (batch + 1) * BATCH)
            vectors = [[vector_value(number, place) for place in range(dim)] for number in numbers]
            ids = [id_of(number) for number in numbers]
            contents = [content_of(number) for number in numbers]
            if batch == last:
                delay = random.uniform(0, median(times))
                now.set()
            started = time.perf_counter()
            store.add(ids, vectors, contents=contents)
            times.append(time.perf_counter() - started)
            os.write(sys.stdout.fileno(), b"%d\n" % batch)


if __name__ == "__main__":
    write_until_killed(sys.argv[1], int(sys.argv[2]))
