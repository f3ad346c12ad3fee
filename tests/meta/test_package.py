"""What users get: a small, typed package that imports little."""

import json
import subprocess
import sys
import sysconfig
from importlib.resources import files
from pathlib import Path

import sutra

PACKAGE = Path(sutra.__file__).parent

# Standard-library modules that `import sutra` may load on top of NumPy.
ALLOWED = {
    "__future__", "_opcode", "ast", "atexit", "collections", "contextlib", "copy", "copyreg",
    "dataclasses", "enum", "errno", "functools", "importlib", "inspect", "io", "keyword",
    "linecache", "numbers", "opcode", "operator", "os", "pathlib", "posixpath", "re", "reprlib",
    "stat", "struct", "sys", "threading", "time", "tokenize", "types", "typing", "warnings",
    "weakref",
}  # fmt: skip


def new_modules(statement: str, before: str = "") -> set[str]:
    """Top-level names of the modules that a statement loads in a fresh interpreter."""
    program = (
        f"import sys, json\n{before}\nknown = set(sys.modules)\n{statement}\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - known})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    names: list[str] = json.loads(done.stdout.splitlines()[-1])
    return set(names)


def test_import_loads_little_beyond_numpy() -> None:
    loaded = {
        name
        for name in new_modules("import sutra; sutra.Index", before="import numpy")
        if name not in ("sutra", "numpy", "_cython_3_3_1", "cython_runtime")
        and not name.startswith(("_cython_", "__editable__"))
    }
    assert loaded <= ALLOWED


def test_help_loads_nothing_a_verb_needs() -> None:
    loaded = new_modules("from sutra.cli import main; main(['--help'])", before="import sutra")
    assert "argparse" in loaded
    assert not {"matplotlib", "sutra.cli.demo", "sutra.cli.bench"} & loaded


def test_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
    for module in PACKAGE.glob("_*.pyx"):
        assert module.with_suffix(".pyi").is_file(), module.name


def test_package_is_small() -> None:
    suffixes = (".py", ".pyi", ".typed", sysconfig.get_config_var("EXT_SUFFIX"))
    size = sum(path.stat().st_size for path in PACKAGE.rglob("*") if path.name.endswith(suffixes))
    assert size < 5_000_000


def test_word_vectors_ship_with_their_credit() -> None:
    data = files("sutra") / "data"
    assert (data / "words100.npz").is_file()
    assert "GloVe" in (data / "README.md").read_text(encoding="utf-8")


def test_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert sutra.__version__ == version("sutra-storage")
