"""Bugs put into the C core's store are found by its C tests: see mutants.py."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMPILER = shlex.split(os.environ.get("CC") or "cc")[0]

# Of different files, and found by tests that take no time.
QUICK = (
    "acknowledged without a sync",
    "the lock is not taken",
    "what comes during a sync counts as synced",
)

pytestmark = pytest.mark.skipif(
    not (HERE.parents[1] / "csrc").is_dir(), reason="the sources are not here"
)
compiled = pytest.mark.skipif(shutil.which(COMPILER) is None, reason="no C compiler")


def run_mutants(*arguments: str) -> str:
    """Run the script, which must find every mutant that it is asked for; returns what it says."""
    command = [sys.executable, str(HERE / "mutants.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_texts_of_mutants_are_in_the_sources() -> None:
    run_mutants("--check")


@compiled
def test_quick_mutants_are_found() -> None:
    assert f"{len(QUICK)} mutants, 0 not found" in run_mutants(*QUICK)


@compiled
@pytest.mark.slow
def test_all_mutants_are_found() -> None:
    run_mutants()
