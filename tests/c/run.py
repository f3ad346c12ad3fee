"""Compile and run the C tests.

Every ``tests/c/test_*.c`` is linked with all of ``csrc/*/*.c`` and run on its own. Nothing but
the Python standard library and a C compiler is needed::

    python tests/c/run.py
    python tests/c/run.py --cc clang --sanitize address,undefined
    python tests/c/run.py --cc aarch64-linux-gnu-gcc \\
        --run-prefix "qemu-aarch64 -L /usr/aarch64-linux-gnu"

Lines ``/* link: -Wl,--wrap=malloc */`` in a test file add flags to its link on Linux; elsewhere
the file itself has to do without.

Objects are kept in the build directory, one folder for each compiler and set of flags, and
are rebuilt when a source or any header is newer. The last line reads ``N passed, N failed``;
the exit status is 0 only when nothing failed and something ran.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests" / "c"

CFLAGS = [
    "-O2",
    "-g",
    "-std=c11",
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wvla",
    "-Werror",
    "-pthread",
]
LIBRARIES = ["-pthread", "-lm"]

SANITIZER_ENVIRONMENT = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:allocator_may_return_null=1",
}


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compile and run the C tests.")
    parser.add_argument("--cc", default=os.environ.get("CC", "cc"), help="compiler (default: cc)")
    parser.add_argument(
        "--sanitize",
        default="",
        metavar="LIST",
        help="sanitizers for compiler and linker, such as address,undefined or thread",
    )
    parser.add_argument(
        "--run-prefix",
        default="",
        metavar="COMMAND",
        help="put before each test program, such as 'qemu-aarch64 -L /usr/aarch64-linux-gnu'",
    )
    parser.add_argument(
        "--build-dir",
        type=Path,
        default=Path(tempfile.gettempdir()) / f"sutra-c-tests-{os.getuid()}",
        help="where objects and programs go (default: a folder in the temporary directory)",
    )
    parser.add_argument(
        "--cflag", action="append", default=[], metavar="FLAG", help="one more compiler flag"
    )
    parser.add_argument(
        "--rooms", default="", metavar="LIST", help="rooms of csrc to compile (default: all)"
    )
    parser.add_argument(
        "--only", default="", metavar="NAME", help="run the test files whose name contains NAME"
    )
    parser.add_argument(
        "--skip", default="", metavar="LIST", help="not the test files whose names contain these"
    )
    parser.add_argument("--case", default="", help="run the test functions whose name contains it")
    parser.add_argument("--jobs", type=int, default=2, help="compilers at once (default: 2)")
    parser.add_argument(
        "--timeout", type=float, default=600.0, help="seconds a test program may run"
    )
    parser.add_argument("--verbose", action="store_true", help="show the commands")
    return parser.parse_args(argv)


def find_sources(rooms: str) -> list[Path]:
    wanted = [room for room in rooms.split(",") if room]
    for room in wanted:
        if not (ROOT / "csrc" / room).is_dir():
            raise SystemExit(f"csrc/{room} does not exist")
    folders = [ROOT / "csrc" / room for room in wanted] or sorted((ROOT / "csrc").iterdir())
    return [source for folder in folders for source in sorted(folder.glob("*.c"))]


def find_tests(only: str, skip: str, rooms: str) -> list[Path]:
    """All test files, or those that `only` names; with rooms, those that need no other room."""
    tests = [test for test in sorted(TESTS.glob("test_*.c")) if only in test.name]
    skipped = [name for name in skip.split(",") if name]
    tests = [test for test in tests if not any(name in test.name for name in skipped)]
    allowed = {room for room in rooms.split(",") if room}
    if not allowed:
        return tests
    include = re.compile(r'#include "(?:\.\./)*(?:csrc/)?(\w+)/\w+\.\w+"')
    return [test for test in tests if set(include.findall(test.read_text())) <= allowed]


def find_link_flags(test: Path) -> list[str]:
    """What a test's comment asks of the linker."""
    if not sys.platform.startswith("linux"):
        return []
    asked = re.findall(r"^/\* link: (.*?) \*/$", test.read_text(), re.MULTILINE)
    return [flag for flags in asked for flag in shlex.split(flags)]


def make(target: Path, command: list[str], verbose: bool) -> None:
    """Run a command that writes `target`; two runs in one build directory do not collide."""
    unfinished = target.with_name(f"{target.name}.{os.getpid()}")
    command = [*command, "-o", str(unfinished)]
    if verbose:
        print(shlex.join(command), flush=True)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        unfinished.unlink(missing_ok=True)
        raise RuntimeError(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")
    unfinished.replace(target)


def compile_all(
    sources: list[Path], build: Path, compiler: list[str], options: argparse.Namespace
) -> dict[Path, Path]:
    """Compile what is out of date; returns source -> object."""
    headers = [*ROOT.glob("csrc/*/*.h"), *ROOT.glob("csrc/*/*.def"), *TESTS.glob("*.h")]
    newest_header = max((header.stat().st_mtime_ns for header in headers), default=0)
    objects = {
        source: build / (str(source.relative_to(ROOT)).replace(os.sep, "__") + ".o")
        for source in sources
    }

    def compile_one(source: Path) -> None:
        target = objects[source]
        newest = max(newest_header, source.stat().st_mtime_ns)
        if target.exists() and target.stat().st_mtime_ns > newest:
            return
        make(target, [*compiler, "-c", str(source)], options.verbose)

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(compile_one, sources))
    return objects


def run_test(program: Path, options: argparse.Namespace) -> tuple[int, int]:
    """Run one test program; returns how many of its tests passed and failed."""
    command = [*shlex.split(options.run_prefix), str(program)]
    if options.case:
        command.append(options.case)
    environment = {**SANITIZER_ENVIRONMENT, **os.environ}
    if options.run_prefix:
        environment["SUTRA_TEST_EMULATED"] = "1"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=options.timeout, env=environment
        )
    except subprocess.TimeoutExpired:
        print(f"{program.name}: no end after {options.timeout:g} seconds")
        return 0, 1
    summary = re.search(r"^(\d+) passed, (\d+) failed$", done.stdout, re.MULTILINE)
    passed, failed = (int(summary[1]), int(summary[2])) if summary else (0, 0)
    if done.returncode != 0 and failed == 0:
        failed = 1
    note = f" (exit status {done.returncode})" if done.returncode not in (0, 1) else ""
    print(f"{program.name}: {passed} passed, {failed} failed{note}", flush=True)
    if done.stderr:
        print(done.stderr, end="", flush=True)
    return passed, failed


def main(argv: list[str] | None = None) -> int:
    options = parse_arguments(argv)
    compiler = [*shlex.split(options.cc), *CFLAGS]
    link = []
    if options.sanitize:
        flags = [f"-fsanitize={options.sanitize}", "-fno-sanitize-recover=all"]
        compiler += [*flags, "-fno-omit-frame-pointer"]
        link += flags
    compiler += [*options.cflag, "-I", str(ROOT / "csrc"), "-I", str(TESTS)]
    rooms = ",".join(sorted(room for room in options.rooms.split(",") if room))
    key = hashlib.sha256(shlex.join(compiler).encode()).hexdigest()[:12]
    build = options.build_dir.resolve() / key
    build.mkdir(parents=True, exist_ok=True)

    sources = find_sources(rooms)
    tests = find_tests(options.only, options.skip, rooms)
    if not tests:
        print("no test file matches")
        return 1
    passed = failed = 0
    try:
        objects = compile_all([*sources, *tests], build, compiler, options)
    except RuntimeError as error:
        print(error)
        print("0 passed, 1 failed")
        return 1
    for test in tests:
        program = build / test.stem
        inputs = [str(objects[test]), *(str(objects[source]) for source in sources)]
        try:
            linker = [*shlex.split(options.cc), *link, *find_link_flags(test)]
            make(program, [*linker, *inputs, *LIBRARIES], options.verbose)
        except RuntimeError as error:
            print(error)
            failed += 1
            continue
        counts = run_test(program, options)
        passed += counts[0]
        failed += counts[1]
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
