import numpy as np
import numpy.typing as npt

from sutra._view import ViewCore
from sutra.results import Link, Path, Related

DIRECTIONS: dict[str, int]

def links(view: ViewCore, concept: int, direction: int, kind: str | None) -> list[Link]: ...
def expand(
    view: ViewCore,
    starts: npt.NDArray[np.uint32],
    hops: int,
    kinds: list[str] | None,
    min_weight: float,
    limit: int,
) -> tuple[list[Related], bool]: ...
def paths(
    view: ViewCore, source: int, target: int, depth: int, limit: int
) -> tuple[list[Path], bool]: ...
def spread(
    view: ViewCore,
    seeds: npt.NDArray[np.uint32],
    scores: npt.NDArray[np.float32],
    hops: int,
    decay: float,
    k: int,
    kinds: list[str] | None,
    answers: npt.NDArray[np.uint8] | None = None,
) -> tuple[npt.NDArray[np.uint32], list[Path], bool]: ...
