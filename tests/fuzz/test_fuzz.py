"""The fuzz targets as plain programs: seeds, inputs found before, and a thousand mutations each.

``run.py`` is what fuzzes; this sees that the targets build with any compiler, that what was found
stays repaired, and that a decoder that has just been broken does not go unnoticed until then.
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "fuzz-replay"


def load_runner():
    """run.py as a module: there is another of that name for the C tests."""
    spec = importlib.util.spec_from_file_location("fuzz_run", HERE / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


runner = load_runner()


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Name -> program, all of them built."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if not (ROOT / "csrc").is_dir():
        pytest.skip("the C core is not here")
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"there is no C compiler {compiler[0]!r}")
    place = BUILD if os.access(ROOT, os.W_OK) else tmp_path_factory.mktemp("replay")
    return runner.build(runner.targets(), place, compiler, ["-DSUTRA_FUZZ_REPLAY"], [])


def replay(program, *arguments):
    return subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("name", runner.targets())
def test_seeds_found_inputs_and_mutations(programs, name, tmp_path):
    found = sorted((HERE / "found").glob(f"{name}-*"))
    golden = tmp_path / "golden"
    golden.mkdir()
    runner.write_golden(name, golden)
    files = [*found, *sorted(golden.iterdir())]
    done = replay(programs[name], *files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(files)} files, 1000 mutations" in done.stdout
    assert int(done.stdout.split()[0]) >= 3


def test_every_file_of_a_golden_store_is_packed():
    """What the packer of run.py makes is what fuzz.h reads."""
    packed = runner.golden_store(runner.GOLDEN / "store-v1" / "logged")
    assert packed is not None
    numbers = [int.from_bytes(packed[8 + 4 * slot :][:4], "little") for slot in range(16)]
    assert numbers == [0, 0, 0, 1, 2, 0, 1, 3, 0, 0, 0, 2, 4, 0, 0, 0]
    assert b"SUTRASTO" in packed
    assert packed.count(b"SUTRASEG") == packed.count(b"SUTRAWAL") == packed.count(b"SUTRAMAN") == 2


def test_a_failed_check_says_where(programs, tmp_path):
    """A program that dies names the mutation, and --trial with --save repeats it."""
    saved = tmp_path / "saved"
    done = replay(programs["ops"], "--trial", 5, "--save", saved)
    assert done.returncode == 0, done.stderr
    again = replay(programs["ops"], "--mutations", 0, saved)
    assert again.returncode == 0, again.stderr
    assert "1 files, 0 mutations" in again.stdout
