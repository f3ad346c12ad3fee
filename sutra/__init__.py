"""Embedded vector search: fast at high recall, small in memory, opens in milliseconds."""

from typing import Any

from sutra import errors, kernels
from sutra._graph import HnswGraph
from sutra._kernels import machine as _machine
from sutra._kernels import tiers as _tiers
from sutra._mapping import MappedFile
from sutra._memory import AlignedBuffer
from sutra._quantizer import Codes, ScalarQuantizer
from sutra._vectors import VectorStore
from sutra._version import __version__
from sutra.errors import SutraError
from sutra.index import Index, SearchResult

__all__ = [
    "AlignedBuffer",
    "Codes",
    "HnswGraph",
    "Index",
    "MappedFile",
    "ScalarQuantizer",
    "SearchResult",
    "SutraError",
    "VectorStore",
    "__version__",
    "errors",
    "kernels",
    "platform",
]


def platform() -> dict[str, Any]:
    """Report what this machine is and which kernels run on it.

    Returns
    -------
    dict
        ``isa``: the kernel tiers compiled, supported and chosen (cap it with the environment
        variable ``SUTRA_ISA`` before import). ``page_bytes``, ``cache_line_bytes``,
        ``cache_bytes`` (l1d, l2, l3; 0 where unknown), ``huge_pages`` (the system's mode for
        transparent huge pages), ``cores`` (what affinity and cgroup allow this process) and
        ``memory_bytes`` (total, available; the cgroup's limit counts).
    """
    return {"isa": _tiers(), **_machine()}
