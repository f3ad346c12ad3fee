"""Fuzz the decoders of everything that comes from disk, with libFuzzer.

Every ``tests/fuzz/fuzz_*.c`` is linked with all of ``csrc/*/*.c``, with coverage and the address
and undefined-behaviour sanitizers, writes its own seeds, and runs::

    python tests/fuzz/run.py                     # each for 20 seconds
    python tests/fuzz/run.py --only store --seconds 3600
    python tests/fuzz/run.py --runs 100000

Needed are clang and libFuzzer's runtime (Debian: ``libclang-rt-dev``, or the package of that name
with clang's version in it). Seeds of the golden files are added. What a run has found interesting
stays in the build directory and is where the next one starts. An input that fails is kept there
too, its path is printed, and the exit status is 1; once it is understood it goes to
``tests/fuzz/found/NAME-what.bin``, where ``test_fuzz.py`` replays it.

"""

from __future__ import annotations

import argparse
import concurrent.futures
import gzip
import os
import re
import shlex
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GOLDEN = ROOT / "tests" / "golden"
FOUND = HERE / "found"

CFLAGS = [
    *("-O2", "-g", "-std=c11", "-ffp-contract=off", "-fvisibility=hidden", "-pthread"),
    *("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Wvla", "-Werror"),
    *("-I", str(ROOT / "csrc"), "-I", str(ROOT / "tests" / "c")),
]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
ENVIRONMENT = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}
# As in fuzz.h: options, numbers of slots, the longest file.
OPTION_BYTES, SLOTS, FILE_MOST = 8, 16, 1 << 20
# Longest input of each target: what its seeds need, and some.
MAX_LENGTH = {"index": 1 << 18, "stream": 1 << 18, "store": 1 << 19}


class BuildError(Exception):
    """A compiler refused something."""


def targets(only: str = "") -> list[str]:
    """Names of the targets: what stands behind ``fuzz_``."""
    names = sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.c"))
    return [name for name in names if only in name]


def run_quietly(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")


def build(
    names: list[str],
    place: Path,
    compiler: list[str],
    flags: list[str],
    link: list[str],
    jobs: int = 2,
) -> dict[str, Path]:
    """Compile what is older than its sources; returns name -> program."""
    place.mkdir(parents=True, exist_ok=True)
    headers = [*ROOT.glob("csrc/*/*.h"), *ROOT.glob("csrc/*/*.def")]
    headers += [*HERE.glob("*.h"), *(ROOT / "tests" / "c").glob("*.h")]
    newest_header = max(header.stat().st_mtime_ns for header in headers)

    def compile_one(source: Path) -> Path:
        target = place / (str(source.relative_to(ROOT)).replace(os.sep, "__") + ".o")
        newest = max(newest_header, source.stat().st_mtime_ns)
        if not target.exists() or target.stat().st_mtime_ns <= newest:
            unfinished = target.with_suffix(f".{os.getpid()}")
            run_quietly([*compiler, *CFLAGS, *flags, "-c", str(source), "-o", str(unfinished)])
            unfinished.replace(target)
        return target

    sources = [HERE / f"fuzz_{name}.c" for name in names]
    core = sorted(ROOT.glob("csrc/*/*.c"))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        objects = dict(
            zip([*core, *sources], pool.map(compile_one, [*core, *sources]), strict=True)
        )
    programs = {}
    for name, source in zip(names, sources, strict=True):
        program = place / f"fuzz_{name}"
        inputs = [str(objects[source]), *(str(objects[one]) for one in core)]
        run_quietly([*compiler, *link, *inputs, "-pthread", "-lm", "-o", str(program)])
        programs[name] = program
    return programs


# ---- seeds of the golden files


def pack(files: dict[int, tuple[int, bytes]]) -> bytes | None:
    """An input out of slot -> (number, bytes), as fuzz.h describes; None if it would be long."""
    numbers = [files.get(slot, (0, b""))[0] for slot in range(SLOTS)]
    parts = [bytes(OPTION_BYTES), struct.pack(f"<{SLOTS}I", *numbers)]

    def chunk(slot: int, offset: int, data: bytes) -> None:
        parts.append(struct.pack("<II", slot << 24 | len(data), offset))
        parts.append(data + bytes(-len(data) % 8))

    for slot, (_, data) in sorted(files.items()):
        if len(data) > FILE_MOST:
            return None
        for match in re.finditer(rb"(?s)[^\0](?:.{0,63}[^\0])*", data):
            start = match.start() // 8 * 8
            chunk(slot, start, data[start : match.end()])
        chunk(slot, len(data), b"")
    return b"".join(parts)


def golden_store(folder: Path) -> bytes | None:
    """A golden store in the slots of fuzz_store.c."""
    files = {}
    free = {"MANIFEST": 3, "seg": 6, "wal": 11}
    for path in sorted(folder.glob("*.gz")):
        data = gzip.decompress(path.read_bytes())
        name = path.name.removesuffix(".gz")
        if name == "SUTRA":
            files[0] = (0, data)
            continue
        kind = name.split("-")[0] if "-" in name else name.split(".")[1]
        number = int(re.search(r"\d+", name)[0])
        if kind == "wal":
            data = data.rstrip(b"\0") + bytes(64)
        files[free[kind]] = (number, data)
        free[kind] += 1
    return pack(files)


def write_golden(name: str, corpus: Path) -> None:
    """Add the golden files that a target can read and that are not too long for it."""
    if name == "store":
        found = {path.name: golden_store(path) for path in GOLDEN.glob("store-v*/*/")}
    elif name == "index":
        found = {
            path.stem: pack({0: (0, gzip.decompress(path.read_bytes()))})
            for path in GOLDEN.glob("v*/*.idx.gz")
        }
    else:
        return
    for stem, data in found.items():
        if data is not None and len(data) <= MAX_LENGTH[name]:
            (corpus / f"golden-{stem}").write_bytes(data)


# ---- libFuzzer


def check_compiler(compiler: list[str]) -> str | None:
    """Why this compiler cannot build libFuzzer programs, or None."""
    code = "int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n);\n"
    code += "int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n)\n"
    code += "{ return d && n > 9 ? -1 : 0; }\n"
    with tempfile.TemporaryDirectory() as folder:
        command = [*compiler, "-fsanitize=fuzzer", "-x", "c", "-", "-o", f"{folder}/probe"]
        try:
            done = subprocess.run(command, input=code, capture_output=True, text=True)
        except FileNotFoundError:
            return f"there is no compiler {compiler[0]!r}; libFuzzer comes with clang"
    if done.returncode != 0:
        return (
            f"{compiler[0]} cannot link libFuzzer's runtime (Debian: libclang-rt-NN-dev, with the "
            f"version of clang):\n{done.stderr.strip()}"
        )
    return None


def fuzz(name: str, program: Path, place: Path, options: argparse.Namespace) -> bool:
    """Run one target; false when it failed."""
    corpus, failed = place / f"corpus-{name}", place / f"failed-{name}"
    corpus.mkdir(exist_ok=True)
    failed.mkdir(exist_ok=True)
    shared = Path("/dev/shm")
    environment = {**ENVIRONMENT, **os.environ}
    if shared.is_dir() and os.access(shared, os.W_OK):
        environment.setdefault("TMPDIR", str(shared))
    subprocess.run([program, "--write-seeds", corpus], check=True, env=environment)
    write_golden(name, corpus)
    command = [
        str(program),
        f"-max_len={MAX_LENGTH.get(name, 1 << 16)}",
        *("-rss_limit_mb=2048", "-malloc_limit_mb=1024", "-timeout=20", "-len_control=0"),
        *("-print_final_stats=1", "-verbosity=1", f"-artifact_prefix={failed}/"),
        f"-seed={options.seed}",
        f"-runs={options.runs}" if options.runs else f"-max_total_time={options.seconds}",
        str(corpus),
    ]
    if FOUND.is_dir():
        command.append(str(FOUND))
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    last = re.findall(r"^#\d+\s+DONE\s+(.*)$", done.stderr, re.MULTILINE)
    guards = re.search(r"Loaded 1 modules\s+\((\d+) ", done.stderr)
    executed = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
    counts = f"{executed[1] if executed else '?'} runs, {last[-1] if last else 'not finished'}"
    print(f"{name}: {counts} (of {guards[1] if guards else '?'} edges)", flush=True)
    if done.returncode == 0:
        return True
    print(done.stderr[-8000:], flush=True)
    print(f"{name}: FAILED; inputs are in {failed}", flush=True)
    return False


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fuzz the decoders with libFuzzer.")
    parser.add_argument("--cc", default="clang", help="a clang with libFuzzer (default: clang)")
    parser.add_argument("--only", default="", metavar="NAME", help="targets whose name contains it")
    parser.add_argument("--seconds", type=int, default=20, help="for each target (default: 20)")
    parser.add_argument("--runs", type=int, default=0, help="inputs for each, instead of seconds")
    parser.add_argument("--seed", type=int, default=1, help="libFuzzer's; 0: a random one")
    parser.add_argument(
        "--build-dir",
        type=Path,
        default=Path(tempfile.gettempdir()) / f"sutra-fuzz-{os.getuid()}",
        help="programs, corpora and what failed (default: a folder in the temporary directory)",
    )
    options = parser.parse_args(argv)
    compiler = shlex.split(options.cc)
    reason = check_compiler(compiler)
    if reason:
        print(reason, file=sys.stderr)
        return 2
    names = targets(options.only)
    if not names:
        print("no target matches", file=sys.stderr)
        return 2
    place = options.build_dir.resolve()
    try:
        programs = build(
            names,
            place,
            compiler,
            [*SANITIZERS, "-fsanitize=fuzzer-no-link", "-fno-omit-frame-pointer"],
            [*SANITIZERS, "-fsanitize=fuzzer"],
        )
    except BuildError as error:
        print(error, file=sys.stderr)
        return 2
    failed = [name for name in names if not fuzz(name, programs[name], place, options)]
    print(f"{len(names) - len(failed)} targets passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
