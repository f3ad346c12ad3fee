from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

__pyx_capi__: dict[str, object]

class _Tiers(TypedDict):
    compiled: list[str]
    supported: list[str]
    chosen: str

def tiers() -> _Tiers: ...
def machine() -> dict[str, Any]: ...
def dot_f32(
    query: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]: ...
def l2sq_f32(
    query: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]: ...
def cosine_f32(
    query: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]: ...
def l2sq_u8(
    query: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.uint8],
    out: npt.NDArray[np.uint32] | None = None,
) -> npt.NDArray[np.uint32]: ...
def l2sq_u7(
    query: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.uint8],
    out: npt.NDArray[np.uint32] | None = None,
) -> npt.NDArray[np.uint32]: ...
def dot_u8s8(
    query: npt.NDArray[np.int8],
    rows: npt.NDArray[np.uint8],
    out: npt.NDArray[np.int32] | None = None,
) -> npt.NDArray[np.int32]: ...
def dot_code4(
    query: npt.NDArray[np.int8],
    rows: npt.NDArray[np.uint8],
    out: npt.NDArray[np.int32] | None = None,
) -> npt.NDArray[np.int32]: ...
