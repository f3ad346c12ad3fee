"""The C tests, one file a case, compiled with warnings as errors and run."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "c-tests"


@pytest.mark.parametrize("name", sorted(path.stem for path in HERE.glob("test_*.c")))
def test_c(name: str) -> None:
    command = [sys.executable, HERE / "run.py", "--only", f"{name}.c", "--build-dir", BUILD]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
