"""What ran: machine, CPU, kernel tier, compiler, library versions, commit.

`describe()` is stored in every result file; `compare.py` refuses files whose `cpu` or `tier`
differ.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

INTERESTING_FLAGS = frozenset(
    flag
    for family in (
        "sse4_2 avx avx2 fma f16c avx_vnni",
        "avx512f avx512bw avx512vl avx512_vnni avx512_bf16",
        "asimd asimddp asimdhp i8mm sve sve2",
    )
    for flag in family.split()
)
DISTRIBUTIONS = (
    "sutra-storage",
    "numpy",
    "hnswlib",
    "faiss-cpu",
    "usearch",
    "pyglass-portable",
    "scalable-vs",
    "scann-core",
    "numkong",
)


def describe() -> dict[str, Any]:
    """Everything a reader needs to judge a figure; plain JSON values."""
    sutra = sutra_platform()
    return {
        "cpu": cpu_name(),
        "cores": _usable_cores(),
        "flags": sorted(_cpu_flags() & INTERESTING_FLAGS),
        "memory_bytes": _memory_bytes(),
        "huge_pages": _read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "tier": tier(sutra),
        "compiler": next((str(v) for k, v in _flat(sutra) if k.endswith("compiler")), None),
        "sutra_platform": sutra,
        "versions": versions(),
        "commit": commit(),
    }


def cpu_name() -> str:
    """Model name; on x86 with family, model and stepping, since names in guests are vague."""
    text = _read("/proc/cpuinfo") or ""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, separator, value = line.partition(":")
        if separator:
            fields.setdefault(key.strip().lower(), value.strip())
    if "model name" in fields and "cpu family" in fields:
        numbers = (fields.get(key, "?") for key in ("cpu family", "model", "stepping"))
        return "{} ({}/{}/{})".format(fields["model name"], *numbers)
    if "cpu implementer" in fields:
        return f"arm {fields['cpu implementer']} part {fields.get('cpu part', '?')}"
    if sys.platform == "darwin":
        brand = _run(["sysctl", "-n", "machdep.cpu.brand_string"])
        if brand:
            return brand
    return platform.processor() or platform.machine()


def sutra_platform() -> dict[str, Any]:
    """`sutra.platform()` as plain JSON values; empty where sutra is not installed."""
    try:
        report = importlib.import_module("sutra").platform()
    except (ImportError, AttributeError):
        return {}
    values = plain(report)
    return values if isinstance(values, dict) else {"report": values}


def tier(report: Mapping[str, Any] | None = None) -> str | None:
    """The kernel tier sutra chose, or None where it is not installed."""
    found = dict(_flat(sutra_platform() if report is None else report))
    chosen = found.get("isa.chosen")
    return None if chosen is None else str(chosen)


def versions() -> dict[str, str]:
    """Installed versions of the libraries that are measured."""
    found: dict[str, str] = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """The commit of the source tree, with ``+`` when it has changes; None outside a checkout."""
    root = str(Path(__file__).resolve().parent.parent)
    revision = _run(["git", "-C", root, "rev-parse", "--short=12", "HEAD"])
    if not revision:
        return None
    changed = _run(["git", "-C", root, "status", "--porcelain", "--untracked-files=no"])
    return revision + ("+" if changed else "")


def anonymous_bytes() -> int | None:
    """Anonymous resident memory of this process in bytes; None where the OS does not say."""
    rollup = _read("/proc/self/smaps_rollup")
    for line in (rollup or "").splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    status = _read("/proc/self/status")
    for line in (status or "").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return None


def plain(value: Any) -> Any:
    """`value` as JSON values: mappings, dataclasses, named tuples and plain objects opened up."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "__dict__") and vars(value):
        return plain(vars(value))
    return str(value)


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Every leaf of a nested mapping as (dotted key, value)."""
    leaves: list[tuple[str, Any]] = []
    for key, item in value.items():
        if isinstance(item, Mapping):
            leaves += _flat(item, f"{prefix}{key}.")
        else:
            leaves.append((f"{prefix}{key}", item))
    return leaves


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _cpu_flags() -> set[str]:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.lower().startswith(("flags", "features")):
            return set(line.partition(":")[2].split())
    return set()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _run(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
