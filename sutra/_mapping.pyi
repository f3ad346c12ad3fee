import os
from types import TracebackType
from typing import Literal, Self, SupportsIndex, TypeAlias, final, type_check_only

_Path: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_Hint: TypeAlias = Literal["sequential", "random", "willneed", "dontneed", "hugepage", "populate"]

# The buffer protocol of C types has these names from Python 3.12 on; type checkers know them
# for every version.
@type_check_only
class _Exporter:
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, buffer: memoryview, /) -> None: ...

@final
class MappedFile(_Exporter):
    def __new__(
        cls,
        path: _Path,
        *,
        mode: Literal["shared", "private"] = "shared",
        offset: SupportsIndex = 0,
        nbytes: SupportsIndex | None = None,
    ) -> Self: ...
    def advise(
        self, hint: _Hint, offset: SupportsIndex = 0, nbytes: SupportsIndex | None = None
    ) -> str | None: ...
    def close(self) -> None: ...
    @property
    def path(self) -> str | bytes: ...
    @property
    def mode(self) -> Literal["shared", "private"]: ...
    @property
    def offset(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def resident_bytes(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def __len__(self) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
