"""Declaring fields of the metadata, so that conditions on them are fast."""

from __future__ import annotations

import threading
from typing import Literal

from sutra._conditions import as_path
from sutra._store import StoreCore
from sutra.errors import SutraError

FieldType = Literal["int", "float", "bool", "str", "datetime"]

__all__ = ["Declaring"]


class Declaring:
    """The part of a store that declares fields. Not made directly."""

    __slots__ = ()

    _core: StoreCore
    _local: threading.local

    def index_field(self, path: str, type: FieldType) -> None:
        """Declare a field of the metadata: conditions on it become fast, other types are refused.

        The values of a declared field are kept besides the metadata, side by side, so that a
        condition does not have to read all of it. What a condition means is the same either way.

        Parameters
        ----------
        path : str
            ``"year"``; ``"author.name"`` for what is in an object.
        type : {"int", "float", "bool", "str", "datetime"}
            What its values are. "datetime": text of ISO 8601, ``2024-05-31`` or
            ``2024-05-31T23:59:30.5+02:00``, UTC unless it says. "float" takes ints, too. Null,
            and concepts without the field, go with every type.

        Raises
        ------
        ConfigError
            If there is a value of another type already, `id` says where; if the field is declared
            with another type; if `path` or `type` is not as above.
        SutraError
            If this thread has a batch of this store open.
        TypeError, ReadOnlyError, ClosedError, CapacityError, DurabilityError, OSError, MemoryError
            As for `add`.

        Notes
        -----
        A write like any other, durable on return, and kept with the store. It reads all metadata
        once; other writers wait meanwhile. From then on a write is refused, by ConfigError, that
        gives the field a value of another type. Declaring it again with the same type does
        nothing. The GIL is released.
        """
        self._outside_batch("index_field")
        self._core.declare_field(as_path(path), type)

    def drop_field(self, path: str) -> None:
        """Take a declaration back: any values are welcome again. The metadata stays as it is.

        Raises
        ------
        NotFoundError
            If the field is not declared.
        SutraError, TypeError, ReadOnlyError, ClosedError, DurabilityError, OSError, MemoryError
            As for `index_field`.
        """
        self._outside_batch("drop_field")
        self._core.drop_field(as_path(path))

    def _outside_batch(self, name: str) -> None:
        if getattr(self._local, "batch", None) is not None:
            raise SutraError(f"a batch of this store is open in this thread: {name} after it")
