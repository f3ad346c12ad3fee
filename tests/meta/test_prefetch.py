"""The compiler keeps the prefetches of the graph walk."""

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPILERS = [name for name in ("cc", "gcc", "clang") if shutil.which(name)]
INSTRUCTION = {"x86_64": r"prefetch\w+", "aarch64": r"prfm", "arm64": r"prfm"}

# One each for the lines of a row, its correction, and the lines of the next node.
EXPECTED = 3


@pytest.mark.skipif(platform.machine() not in INSTRUCTION, reason="unknown instruction set")
@pytest.mark.parametrize("compiler", COMPILERS)
def test_walk_prefetches(compiler: str) -> None:
    done = subprocess.run(
        [compiler, "-std=c11", "-O3", "-S", "-o", "-", ROOT / "csrc" / "graph" / "search.c"],
        check=True,
        capture_output=True,
        text=True,
    )
    pattern = INSTRUCTION[platform.machine()]
    assert len(re.findall(rf"^\s+{pattern}\b", done.stdout, re.M)) >= EXPECTED
