"""Index files when resources run out: disk, memory, permission, and the process itself."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from sutra import Index

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")


def run(code, *arguments, **options):
    """Run Python code in a process of its own, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rows(tools):
    return tools.clustered(1200, 20)


@pytest.fixture
def index(rows):
    index = Index(20, metric="l2")
    index.add(rows)
    return index


@linux
@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
def test_unwritable_folder(index):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if not all(parent.stat().st_mode & 0o001 for parent in folder.parents):
            pytest.skip("others cannot reach the temporary folder")
        index.save(folder / "file")
        old = (folder / "file").read_bytes()
        child = os.fork()
        if child == 0:
            os._exit(save_as_nobody(folder))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert (folder / "file").read_bytes() == old
        assert os.listdir(folder) == ["file"]


def save_as_nobody(folder):
    """The exit status: 0 if every save was refused in the right way."""
    try:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        mine = Index(2)
        mine.add([1, 2])
        refused = 0
        for name in ("file", "new"):
            try:
                mine.save(folder / name)
            except PermissionError as error:
                refused += error.filename == str(folder / name)
        return 0 if refused == 2 and len(mine) == 1 else 1
    except BaseException:
        return 2


FULL = """
    import os, resource, signal, sys
    import numpy as np
    from sutra import Index
    folder, limit = sys.argv[1], int(sys.argv[2])
    index = Index(20)
    index.add(np.random.default_rng(0).standard_normal((1200, 20)))
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    for name in ("old", "new"):
        try:
            index.save(os.path.join(folder, name))
        except OSError as error:
            assert error.filename == os.path.join(folder, name), error
            print(error.errno)
        else:
            print("saved")
    assert len(index) == 1200
    assert index.search(np.ones(20)).ids.shape == (10,)
    index.verify(deep=True)
"""


@linux
@pytest.mark.parametrize("limit", [1, 4096, 5000, 65536, 70000, 300000, 2**30])
def test_no_room_left(tmp_path, limit):
    old = Index(2)
    old.add([[1, 2]])
    old.save(tmp_path / "old")
    before = (tmp_path / "old").read_bytes()
    output = run(FULL, tmp_path, limit).split()
    if limit == 2**30:
        assert output == ["saved", "saved"]
        return
    assert output == ["27", "27"]  # EFBIG
    assert (tmp_path / "old").read_bytes() == before
    assert os.listdir(tmp_path) == ["old"]


@linux
def test_full_disk(tmp_path):
    """On a file system of 512 KiB, in a mount namespace of its own."""
    script = f"""
        mount -t tmpfs -o size=512k tmpfs {tmp_path} || exit 77
        echo old > {tmp_path}/old
        "$0" -c "$1" {tmp_path} 0 || exit 1
        ls {tmp_path}; cat {tmp_path}/old
    """
    try:
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, sys.executable, textwrap.dedent(FULL)],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("no unshare")
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("may not mount a file system here")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["28", "28", "old", "old"]  # ENOSPC; the old file, untouched


MEMORY = """
    import resource, sys
    import numpy as np
    from sutra import Index
    from sutra.errors import CapacityError

    def used():
        with open("/proc/self/status") as file:
            lines = [line.split() for line in file]
        return 1024 * next(int(line[1]) for line in lines if line[0] == "VmData:")

    quantization, size = sys.argv[1], int(sys.argv[2])
    index = Index(64, quantization=quantization, metric="l2", ef_construction=20)
    rows = np.random.default_rng(0).standard_normal((20_000, 64), dtype=np.float32)
    index.add(rows[:size], ids=np.arange(size) * 2, threads=1)
    more = np.arange(20_000) * 2 + 1
    expected = index.search(rows[:20], k=1, threads=1)

    class Enough(Exception):
        pass

    def stop(done, total):
        raise Enough

    outcomes = []
    for room in (0, 1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 400):
        resource.setrlimit(resource.RLIMIT_DATA, (used() + room * 2**20, -1))
        try:
            index.add(rows, ids=more, threads=1, progress=stop)
        except (MemoryError, CapacityError):
            outcome = "refused"
        except Enough:
            outcome = "room"
        resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))
        outcomes.append(outcome)
        assert len(index) == size
        found = index.search(rows[:20], k=1, ef=200, threads=1)
        assert (found.ids == expected.ids).all()
        assert 1 not in index
        index.verify(deep=True)
    assert index.add(rows[:10], threads=1)[0] == 2 * size - 1
    print(*outcomes)
"""


@linux
@pytest.mark.parametrize("quantization", ["u8", "none"])
@pytest.mark.parametrize("size", [300, 2000])
def test_memory_limit(quantization, size):
    """Memory runs out at different points of an add; the index is as before each time."""
    outcomes = run(MEMORY, quantization, size).split()
    assert outcomes[0] == "refused"
    assert outcomes[-1] == "room"


@linux
def test_small_address_space_is_enough():
    """The reservation of address space gives way to a limit."""
    run(
        """
        import resource
        import numpy as np
        from sutra import Index
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        limit = used + 300 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        index = Index(16)
        rows = np.random.default_rng(0).standard_normal((3000, 16))
        index.add(rows, threads=1)
        assert index.search(rows[5], k=1).ids == [5]
        """
    )


KILLED = """
    import sys
    import numpy as np
    from sutra import Index
    index = Index.open(sys.argv[1], resident="arena")
    while True:
        index.add(np.random.default_rng(len(index)).standard_normal((20, 20)), threads=1)
        print(len(index), flush=True)
        index.save(sys.argv[1])
"""


def test_killed_while_saving(index, tmp_path):
    path = tmp_path / "file"
    index.save(path)
    rng = np.random.default_rng(0)
    least = 1200
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(rng.integers(1, 4)):
            process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.01))
        process.send_signal(signal.SIGKILL)
        last = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        opened = Index.open(path)
        count = opened.verify(deep=True)["vectors"]
        assert count >= least
        assert count % 20 == 0
        assert not last or count <= int(last[-1])
        least = count
        # A dead process cannot tidy up; the name says whose it was.
        left = set(os.listdir(tmp_path)) - {"file"}
        assert left <= {f"file.tmp.{process.pid}.0"}
        for name in left:
            (tmp_path / name).unlink()
    index.save(path)
    assert len(Index.open(path)) == 1200


def drop_from_cache(path):
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)


@linux
@pytest.mark.parametrize("quantization", ["u8", "none"])
def test_opening_mapped_reads_no_vectors(tmp_path, quantization):
    dim = 256
    index = Index(dim, quantization=quantization, ef_construction=10)
    index.add(np.random.default_rng(0).standard_normal((4000, dim), dtype=np.float32))
    path = tmp_path / "file"
    index.save(path)
    drop_from_cache(path)
    with path.open("rb") as file:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
        opened = Index.open(path, resident="mapped")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_majflt - before <= 8
        stats = opened.stats()
        assert file.read(8) == b"SUTRAIDX"
    total = {name: 4000 * value for name, value in stats["bytes_per_vector"].items()}
    resident = stats["resident_bytes"]
    if resident["originals"] == pytest.approx(total["originals"], rel=0.01):
        pytest.skip("the file system keeps files in memory")
    # Reading the header reads ahead, at most 128 KiB; the small tables are read by design.
    assert sum(resident[part] for part in ("codes", "originals", "corrections")) <= 512 * 1024
    assert opened.search(np.ones(dim)).ids.shape == (10,)
