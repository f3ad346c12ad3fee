"""Includes and imports run downward only; rooms on one floor never see each other."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "csrc"
SUTRA = ROOT / "sutra"

# Floors of the C core. A room may include itself and rooms of lower floors.
ROOM_FLOORS = {
    "base": 0,
    "io": 1,
    "simd": 2,
    "vectors": 3,
    "quant": 3,
    "graph": 4,
    "concepts": 4,
    "attributes": 5,
    "index": 5,
    "store": 6,
}

# Floors of the Python package. A module may import modules of lower floors.
MODULE_FLOORS = {
    "_version": 0,
    "_c": 0,
    "errors": 0,
    "typing": 0,
    "results": 0,
    "_check": 1,
    "_arrays": 1,
    "_conditions": 1,
    "where": 2,
    "_buffers": 2,
    "_recall": 2,
    "_memory": 2,
    "_mapping": 2,
    "_kernels": 2,
    "_concept": 2,
    "_search": 2,
    "_filtering": 2,
    "_ops": 2,
    "_predicate": 2,
    "_fields": 4,
    "tuning": 3,
    "hits": 3,
    "kernels": 3,
    "_vectors": 3,
    "_quantizer": 3,
    "_view": 3,
    "_writing": 3,
    "_within": 3,
    "_graph": 4,
    "_walk": 4,
    "_settings": 4,
    "_reading": 4,
    "_index": 5,
    "index_writer": 6,
    "_matching": 5,
    "declaring": 5,
    "reader": 6,
    "index": 7,
    "_store": 6,
    "searcher": 7,
    "writer": 7,
    "care": 7,
    "relations": 8,
    "batch": 8,
    "view": 9,
    "store": 10,
    "__init__": 11,
    "compat": 12,
    "cli": 12,
    "__main__": 13,
}

C_FILES = sorted(path for path in CSRC.rglob("*") if path.suffix in (".c", ".h", ".def"))
PYTHON_FILES = sorted(
    path for path in SUTRA.rglob("*") if path.suffix in (".py", ".pyi", ".pyx", ".pxd")
)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    """The name in MODULE_FLOORS that a file of the package belongs to."""
    return path.relative_to(SUTRA).parts[0].split(".")[0]


def test_every_room_and_module_has_a_floor() -> None:
    assert {path.name for path in CSRC.iterdir() if path.is_dir()} == set(ROOM_FLOORS)
    assert {module_of(path) for path in PYTHON_FILES} <= set(MODULE_FLOORS)


@pytest.mark.parametrize("path", C_FILES, ids=relative)
def test_includes_run_downward(path: Path) -> None:
    room = path.parent.name
    for line in path.read_text().splitlines():
        match = re.match(r"\s*#\s*include\s+([<\"])([^>\"]+)", line)
        if match is None:
            continue
        kind, name = match.groups()
        assert "Python.h" not in name
        if kind == "<":
            assert not (CSRC / name).exists(), f"{name} is ours: include it in quotes"
            continue
        target = (path.parent / name).resolve()
        assert target.is_file(), f"{name} does not exist"
        included = target.relative_to(CSRC).parts[0]
        assert included == room or ROOM_FLOORS[included] < ROOM_FLOORS[room], (
            f"{room} may not include {name}"
        )


def test_c_file_names_are_unique() -> None:
    names = Counter(path.name for path in C_FILES)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("path", PYTHON_FILES, ids=relative)
def test_imports_run_downward(path: Path) -> None:
    module = module_of(path)
    for imported in imports_of(path):
        assert imported == module or MODULE_FLOORS[imported] < MODULE_FLOORS[module], (
            f"{module} may not import {imported}"
        )


def imports_of(path: Path) -> set[str]:
    """The modules of the package that a file imports or cimports when it is loaded."""
    if path.suffix in (".pyx", ".pxd"):
        names = cython_imports(path.read_text(), path)
    else:
        names = python_imports(ast.parse(path.read_text()), path)
    return {name.split(".")[1] for name in names if name.startswith("sutra.")}


def cython_imports(source: str, path: Path) -> set[str]:
    names = set()
    for match in re.finditer(r"^\s*from\s+([\w.]+)\s+c?import\s+(\(?[\w, ]+)", source, re.M):
        base, imported = match.groups()
        names.update(resolved(base, re.findall(r"\w+", imported), path))
    for match in re.finditer(r"^\s*c?import\s+([\w.]+)", source, re.M):
        names.add(match[1])
    return names


def python_imports(tree: ast.AST, path: Path) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names.update(resolved(base, [alias.name for alias in node.names], path))
    return names


def resolved(base: str, imported: list[str], path: Path) -> set[str]:
    """Absolute names for ``from base import imported``."""
    dots = len(base) - len(base.lstrip("."))
    if dots:
        package = path.relative_to(ROOT).parts[:-dots]
        base = ".".join([*package, base[dots:]]).rstrip(".")
    if base != "sutra":
        return {base}
    return {f"sutra.{name}" if name in MODULE_FLOORS else "sutra.__init__" for name in imported}
