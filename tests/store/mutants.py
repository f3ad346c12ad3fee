"""Bugs put into the store on purpose: the C tests must find every one of them.

Each mutant is an edit or two of the sources. It is made in a copy of the tree, compiled, and the
tests that should notice are run there; without the edit they must pass. A mutant that none of them
notices has found a missing test; one whose text is no longer in the sources has to be written
anew. Both end with status 1::

    python tests/store/mutants.py             # all of them: some minutes
    python tests/store/mutants.py LOCK cut    # those whose names contain one of the words
    python tests/store/mutants.py --check     # only look for their texts in the sources
    python tests/store/mutants.py --list
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import mutants_disk
import mutants_state
from mutant import Edit, Mutant

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MOST = 240
MUTANTS = mutants_disk.MUTANTS + mutants_state.MUTANTS


def matches(edit: Edit, root: Path) -> bool:
    """Is the text there exactly once?"""
    return (root / edit.file).read_text().count(edit.old) == 1


class Tree:
    """A copy of the sources and C tests, with a build directory."""

    def __init__(self, place: Path, jobs: int) -> None:
        self.root = place / "tree"
        self.build = place / "build"
        self.jobs = jobs
        self.sound: dict[str, str] = {}
        for part in ("csrc", "tests/c"):
            shutil.copytree(ROOT / part, self.root / part)

    def run(self, test: str) -> str:
        """Run "file:case --option ..." with the tree's own runner; see `outcome`."""
        named, *options = test.split(" ")
        only, case = named.split(":")
        command = [sys.executable, str(self.root / "tests/c/run.py"), "--only", only]
        command += ["--case", case, "--build-dir", str(self.build), "--jobs", str(self.jobs)]
        command += ["--timeout", str(SECONDS_MOST), *options]
        return outcome(subprocess.run(command, capture_output=True, text=True))

    def run_sound(self, test: str) -> str:
        """The same of the tree without a mutant; run once."""
        if test not in self.sound:
            self.sound[test] = self.run(test)
        return self.sound[test]

    def put(self, edits: Sequence[Edit]) -> dict[Path, str]:
        """Make the edits; returns the files as they were."""
        before: dict[Path, str] = {}
        for edit in edits:
            path = self.root / edit.file
            before.setdefault(path, path.read_text())
            path.write_text(path.read_text().replace(edit.old, edit.new))
        return before

    @staticmethod
    def put_back(before: dict[Path, str]) -> None:
        """Undo `put`."""
        for path, text in before.items():
            path.write_text(text)


def outcome(done: subprocess.CompletedProcess[str]) -> str:
    """Say of a run of tests "passes", "fails", or "does not run"."""
    if done.returncode == 0:
        return "passes"
    failed = r"^test_\w+: (\d+ passed, [1-9]\d* failed|no end after)"
    return "fails" if re.search(failed, done.stdout, re.MULTILINE) else "does not run"


def has_compiler(test: str) -> bool:
    """Is the compiler here that a test asks for?"""
    asked = re.search(r"--cc (\S+)", test)
    return asked is None or shutil.which(asked[1]) is not None


def try_mutant(tree: Tree, bug: Mutant) -> tuple[str, str]:
    """Run the tests on a mutant; returns what came of it and the test that said so."""
    if not all(matches(edit, tree.root) for edit in bug.edits):
        return "text not found", ""
    tests = [test for test in bug.tests if has_compiler(test)]
    for test in tests:
        if tree.run_sound(test) != "passes":
            return "fails without it", test
        before = tree.put(bug.edits)
        try:
            result = tree.run(test)
        finally:
            tree.put_back(before)
        if result != "passes":
            return "found" if result == "fails" else result, test
    return "survives" if tests else "no compiler", ""


def try_mutants(bugs: Sequence[Mutant], jobs: int) -> int:
    """Try each and print a line for it; returns how many were not found."""
    missed = 0
    with tempfile.TemporaryDirectory(prefix="sutra-mutants-") as place:
        tree = Tree(Path(place), jobs)
        for bug in bugs:
            begun = time.monotonic()
            result, test = try_mutant(tree, bug)
            seconds = time.monotonic() - begun
            print(f"{result:16} {seconds:6.1f} s  {bug.name}  [{test}]", flush=True)
            missed += result not in ("found", "no compiler")
    print(f"{len(bugs)} mutants, {missed} not found")
    return missed


def check(bugs: Sequence[Mutant]) -> int:
    """Print the mutants whose texts are not in the sources; returns how many."""
    stale = [bug for bug in bugs if not all(matches(edit, ROOT) for edit in bug.edits)]
    for bug in stale:
        print(f"text not found: {bug.name}")
    names = [bug.name for bug in bugs]
    twice = {name for name in names if names.count(name) > 1}
    for name in twice:
        print(f"name given twice: {name}")
    return len(stale) + len(twice)


def main(argv: list[str] | None = None) -> int:
    """Try the mutants that are asked for."""
    parser = argparse.ArgumentParser(description="Try the store's mutants.")
    parser.add_argument("words", nargs="*", help="only those whose names contain one of these")
    parser.add_argument("--list", action="store_true", help="say their names and end")
    parser.add_argument("--check", action="store_true", help="look for their texts and end")
    parser.add_argument("--jobs", type=int, default=2, help="compilers at once (default: 2)")
    options = parser.parse_args(argv)
    bugs = [
        bug
        for bug in MUTANTS
        if not options.words or any(word.lower() in bug.name.lower() for word in options.words)
    ]
    if options.list:
        print("\n".join(bug.name for bug in bugs))
        return 0
    wrong = check(bugs) if options.check else try_mutants(bugs, options.jobs)
    return 0 if bugs and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
