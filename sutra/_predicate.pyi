from typing import Any, Self, final

@final
class Predicate:
    @property
    def paths(self) -> list[str]: ...
    def __new__(cls, tree: tuple[Any, ...]) -> Self: ...
