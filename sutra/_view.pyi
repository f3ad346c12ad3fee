from typing import Any, final

import numpy as np
import numpy.typing as npt

from sutra._concept import Concept
from sutra._ops import Ids
from sutra._search import IdSets, Plans
from sutra.results import Found, Texts

__pyx_capi__: dict[str, object]
RECORD_DTYPE: np.dtype[Any]

@final
class ViewCore:
    @property
    def lsn(self) -> int: ...
    @property
    def dim(self) -> int: ...
    @property
    def metric(self) -> str: ...
    def __len__(self) -> int: ...
    def check(self) -> None: ...
    def end(self) -> None: ...
    def find(self, ids: Ids) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]: ...
    def ids_of(self, concepts: npt.NDArray[np.uint32]) -> npt.NDArray[Any]: ...
    def read(
        self, slots: npt.NDArray[np.uint32], concepts: npt.NDArray[np.uint32], vectors: bool
    ) -> list[Concept | None]: ...
    def read_contents(
        self, slots: npt.NDArray[np.uint32], concepts: npt.NDArray[np.uint32]
    ) -> Texts: ...
    def vectors(
        self, slots: npt.NDArray[np.uint32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]: ...
    def records(self, ids: Ids) -> npt.NDArray[Any]: ...
    def scan(
        self, start: int, limit: int
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], int]: ...
    def search(
        self,
        queries: npt.NDArray[np.float32],
        k: int,
        ef: int,
        exact: bool,
        threads: int,
        sets: IdSets | None = None,
        plans: Plans | None = None,
        without: npt.NDArray[np.int64] | None = None,
    ) -> list[Found]: ...
    def scores(self, distances: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]: ...
