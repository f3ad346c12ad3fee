"""Declaring fields of the metadata, so that conditions on them are fast."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from sutra._fields import declare_operation, drop_operation
from sutra._ops import Operation
from sutra.results import WriteResult

__all__ = ["Declaring"]


class Declaring(ABC):
    """The part of a writer that declares fields. Not made directly."""

    __slots__ = ()

    @abstractmethod
    def _apply(self, operation: Operation) -> WriteResult:
        """Do an operation, or put it off."""

    def index_field(
        self, path: str, type: Literal["int", "float", "bool", "str", "datetime"]
    ) -> WriteResult:
        """Declare a field of the metadata: conditions on it become fast, other types are refused.

        The values of a declared field are kept besides the metadata, side by side, so that a
        condition does not have to read all of it. What a condition means is the same either way.

        Parameters
        ----------
        path : str
            ``"year"``; ``"author.name"`` for what is in an object. 1 to 255 bytes in UTF-8.
        type : {"int", "float", "bool", "str", "datetime"}
            What its values are. "datetime": text of ISO 8601, ``2024-05-31`` or
            ``2024-05-31T23:59:30.5+02:00``, UTC unless it says. "float" takes ints, too. Null,
            and concepts without the field, go with every type.

        Returns
        -------
        WriteResult
            `count` is 1, or 0 if the field was declared so before.

        Raises
        ------
        ConfigError
            If there is a value of another type already: the error names the id; if the field is
            declared with another type; if `path` or `type` is not as above; if it comes after
            what makes, touches or deletes concepts in a batch.
        CapacityError
            If there would be more than 64 fields.
        TypeError, ReadOnlyError, ClosedError, DurabilityError, OSError, MemoryError
            As for `Store.add`.

        Notes
        -----
        A write like any other, durable on return, and kept with the store. It reads all metadata
        once; other writers wait meanwhile. From then on a write is refused, by ConfigError, that
        gives the field a value of another type. The GIL is released.
        """
        return self._apply(declare_operation(path, type))

    def drop_field(self, path: str) -> WriteResult:
        """Take a declaration back: any values are welcome again. The metadata stays as it is.

        Parameters
        ----------
        path : str
            As it was declared.

        Returns
        -------
        WriteResult
            `count` is 1, or 0 if there is no such field, which is no error.

        Raises
        ------
        TypeError, ConfigError, ReadOnlyError, ClosedError, DurabilityError, OSError, MemoryError
            As for `index_field`.
        """
        return self._apply(drop_operation(path))
