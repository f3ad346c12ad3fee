from sutra._ops import Operation
from sutra._predicate import Predicate
from sutra._view import ViewCore

TYPES: dict[str, int]

def declare_operation(path: str, type: str) -> Operation: ...
def drop_operation(path: str) -> Operation: ...
def delete_where_operation(predicate: Predicate) -> Operation: ...
def unfit_text(
    view: ViewCore,
    operations: list[Operation],
    operation: Operation,
    what: str,
    row: int,
    found: int,
) -> str: ...
