"""Embedded vector search and a durable store of concepts: fast, small, opens in milliseconds."""

from typing import Any

from sutra import errors, kernels
from sutra._concept import Concept, Hit
from sutra._graph import HnswGraph
from sutra._kernels import machine as _machine
from sutra._kernels import tiers as _tiers
from sutra._mapping import MappedFile
from sutra._memory import AlignedBuffer
from sutra._quantizer import Codes, ScalarQuantizer
from sutra._vectors import VectorStore
from sutra._version import __version__
from sutra.batch import Batch
from sutra.care import repair, restore
from sutra.errors import (
    CapacityError,
    ClosedError,
    ConfigError,
    CorruptError,
    DimensionError,
    DTypeError,
    DuplicateIdError,
    DurabilityError,
    FormatVersionError,
    InvalidVectorError,
    LockedError,
    NotFoundError,
    ReadOnlyError,
    SutraError,
)
from sutra.hits import Hits
from sutra.index import Index, SearchResult
from sutra.results import Link, Path, Record, Related, SearchPlan, WriteResult
from sutra.store import Store, open
from sutra.tuning import Recall, Tuned
from sutra.view import ReadView
from sutra.where import Condition, F, SlowFilterWarning

__all__ = [
    "AlignedBuffer",
    "Batch",
    "CapacityError",
    "ClosedError",
    "Codes",
    "Concept",
    "Condition",
    "ConfigError",
    "CorruptError",
    "DTypeError",
    "DimensionError",
    "DuplicateIdError",
    "DurabilityError",
    "F",
    "FormatVersionError",
    "Hit",
    "Hits",
    "HnswGraph",
    "Index",
    "InvalidVectorError",
    "Link",
    "LockedError",
    "MappedFile",
    "NotFoundError",
    "Path",
    "ReadOnlyError",
    "ReadView",
    "Recall",
    "Record",
    "Related",
    "ScalarQuantizer",
    "SearchPlan",
    "SearchResult",
    "SlowFilterWarning",
    "Store",
    "SutraError",
    "Tuned",
    "VectorStore",
    "WriteResult",
    "__version__",
    "errors",
    "kernels",
    "open",
    "platform",
    "repair",
    "restore",
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
