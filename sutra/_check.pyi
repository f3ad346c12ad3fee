import os

__pyx_capi__: dict[str, object]

def _raise_status(
    status: int,
    *,
    path: str | bytes | os.PathLike[str] | None = None,
    what: str | None = None,
    row: int = -1,
    offset: int = -1,
    expected: int = 0,
    found: int = 0,
    part: bytes | None = None,
) -> None: ...
