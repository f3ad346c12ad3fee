import os
from collections.abc import Callable
from typing import Any, Self, SupportsIndex

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

from sutra._filtering import Filters
from sutra._search import SearchResult

METRICS: dict[str, int]
QUANTIZATIONS: dict[str, int]
RESIDENTS: dict[str, int]
METRIC_NAMES: dict[int, str]
QUANTIZATION_NAMES: dict[int, str]

@disjoint_base
class IndexCore:
    @property
    def dim(self) -> int: ...
    @property
    def metric(self) -> str: ...
    @property
    def path(self) -> str | None: ...
    def __new__(cls, *args: object, **kwargs: object) -> Self: ...
    def search(
        self,
        queries: npt.ArrayLike,
        k: SupportsIndex = 10,
        *,
        ef: SupportsIndex | None = None,
        threads: SupportsIndex = 0,
        exact: bool = False,
        recall: float | None = None,
        filter: Filters | None = None,
        radius: float | None = None,
        limit: SupportsIndex | None = None,
    ) -> SearchResult: ...
    def _explain(
        self,
        queries: npt.ArrayLike,
        k: SupportsIndex,
        ef: SupportsIndex | None,
        exact: bool,
        filter: Filters | None,
    ) -> list[tuple[str, int, int, bool, bool]]: ...
    def _search_without(
        self,
        queries: npt.ArrayLike,
        k: SupportsIndex,
        ef: SupportsIndex | None,
        threads: SupportsIndex,
        without: npt.NDArray[np.int64],
    ) -> SearchResult: ...
    def close(self) -> None: ...
    def __contains__(self, id: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def _new(
        self,
        dim: SupportsIndex,
        metric: str,
        m: SupportsIndex,
        ef_construction: SupportsIndex,
        quantization: str,
        keep_originals: bool,
        seed: SupportsIndex,
    ) -> None: ...
    def _open(self, path: str | os.PathLike[str], resident: str) -> None: ...
    def _threads(self, threads: SupportsIndex) -> int: ...
    def _add(
        self,
        vectors: npt.NDArray[np.float32],
        ids: npt.NDArray[np.int64] | None,
        threads: SupportsIndex,
        callback: Callable[[int, int], object] | None,
        replace: bool,
    ) -> npt.NDArray[np.int64]: ...
    def _delete(self, ids: npt.NDArray[np.int64], threads: SupportsIndex) -> int: ...
    def _set_secure_delete(self, secure: bool) -> None: ...
    def _compact(self, threads: SupportsIndex) -> None: ...
    def _get(self, id: SupportsIndex) -> npt.NDArray[np.float32]: ...
    def _ids(self) -> npt.NDArray[np.int64]: ...
    def _stats(self) -> dict[str, Any]: ...
    def _save(self, path: str | os.PathLike[str]) -> None: ...
    def _set_tuned_ef(self, ef: SupportsIndex) -> None: ...
    def _verify(self, deep: bool) -> None: ...
