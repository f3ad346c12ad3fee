"""What the compiled code shows to a linker: our prefix, and nothing from the extensions."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
C_FILES = sorted(ROOT.glob("csrc/*/*.c"))
EXTENSIONS = sorted(path.stem for path in ROOT.glob("sutra/_*.pyx"))
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
NM = shutil.which("nm")

pytestmark = pytest.mark.skipif(
    COMPILER is None or NM is None, reason="needs a C compiler and nm on the path"
)


def defined_symbols(file: Path, *options: str) -> set[str]:
    """Names of the global symbols that an object or a library defines."""
    output = subprocess.run(
        [str(NM), *options, "--defined-only", "-g", str(file)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = {line.split()[-1] for line in output.splitlines() if len(line.split()) == 3}
    return {name.removeprefix("_") for name in names} if sys.platform == "darwin" else names


@pytest.mark.parametrize("source", C_FILES, ids=lambda path: path.name)
def test_core_symbols_have_the_prefix(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "object.o"
    subprocess.run([str(COMPILER), "-std=c11", "-O0", "-c", source, "-o", target], check=True)
    foreign = {name for name in defined_symbols(target) if not name.startswith("sutra_")}
    assert foreign == set()


@pytest.mark.parametrize("module", EXTENSIONS)
def test_extensions_export_only_their_entry(module: str) -> None:
    spec = importlib.util.find_spec(f"sutra.{module}")
    assert spec is not None
    assert spec.origin is not None
    options = () if sys.platform == "darwin" else ("-D",)
    exported = defined_symbols(Path(spec.origin), *options)
    assert {name for name in exported if not name.startswith("_")} == {f"PyInit_{module}"}
