"""The exceptions of sutra: one tree, and each also the builtin people already catch.

Every class derives from :class:`SutraError` and from the builtin exception that code without
knowledge of sutra would expect, so ``except ValueError`` around a search and ``except OSError``
around an open keep working. Besides these, sutra raises plain builtins where they say it all:
:class:`OSError` and its subclasses with ``errno`` and ``filename`` for what the operating system
refused, :class:`MemoryError`, :class:`BufferError` while views are in use, and
:class:`TypeError` for an argument of the wrong kind.

All of them can be pickled, with their attributes.
"""

from __future__ import annotations

__all__ = [
    "CapacityError",
    "ClosedError",
    "ConfigError",
    "CorruptError",
    "DTypeError",
    "DimensionError",
    "DuplicateIdError",
    "DurabilityError",
    "FormatVersionError",
    "InvalidVectorError",
    "LockedError",
    "NotFoundError",
    "ReadOnlyError",
    "SutraError",
]


class SutraError(Exception):
    """Base class of all errors that sutra defines."""


class DimensionError(SutraError, ValueError):
    """The length or the number of dimensions of a vector array does not fit."""


class DTypeError(SutraError, TypeError):
    """The element type of an array cannot be used."""


class InvalidVectorError(SutraError, ValueError):
    """A vector holds NaN or infinity.

    Parameters
    ----------
    message : str
        What was found.
    row : int, optional
        Number of the first offending row of the input, counted from 0.

    Attributes
    ----------
    row : int or None
        As given.
    """

    row: int | None

    def __init__(self, message: str = "", *, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class DuplicateIdError(SutraError, ValueError):
    """An id is given twice, or is already in use.

    Parameters
    ----------
    message : str
        What was found.
    id : int or str, optional
        The id.

    Attributes
    ----------
    id : int, str or None
        As given.
    """

    id: int | str | None

    def __init__(self, message: str = "", *, id: int | str | None = None) -> None:
        super().__init__(message)
        self.id = id


class NotFoundError(SutraError, KeyError):
    """There is no such id.

    Parameters
    ----------
    message : str
        What was looked for.
    id : int or str, optional
        The id.

    Attributes
    ----------
    id : int, str or None
        As given.
    """

    id: int | str | None

    def __init__(self, message: str = "", *, id: int | str | None = None) -> None:
        super().__init__(message)
        self.id = id

    def __str__(self) -> str:
        """Return the message; KeyError would show its repr."""
        return str(self.args[0])


class ClosedError(SutraError, ValueError):
    """The object was closed, or belongs to the parent of a forked process."""


class LockedError(SutraError, OSError):
    """Another process, or another handle of this one, has the store open for writing.

    Parameters
    ----------
    message : str
        Which store, and who has it.
    holder : str, optional
        What the holder wrote about itself when it took the lock.

    Attributes
    ----------
    holder : str or None
        As given; None if the holder left no word.
    """

    holder: str | None

    def __init__(self, message: str = "", *, holder: str | None = None) -> None:
        super().__init__(message)
        self.holder = holder


class ReadOnlyError(SutraError, PermissionError):
    """A write through a handle that was opened for reading."""


class DurabilityError(SutraError, OSError):
    """What was written may not be on the medium: a sync has failed.

    Which of the latest writes survived is not known until the store is opened again; everything
    up to the handle's ``durable_lsn`` did. The handle goes on reading and takes no more writes.
    """


class CorruptError(SutraError, OSError):
    """A file is damaged, shorter than it should be, or not a sutra file.

    Parameters
    ----------
    message : str
        What was expected and what was found.
    path : str, optional
        The file.
    offset : int, optional
        Where in the file, in bytes from its start.

    Attributes
    ----------
    path : str or None
        As given.
    offset : int or None
        As given.
    """

    path: str | None
    offset: int | None

    def __init__(
        self, message: str = "", *, path: str | None = None, offset: int | None = None
    ) -> None:
        super().__init__(message)
        self.path = path
        self.offset = offset


class FormatVersionError(SutraError, OSError):
    """A file was written by a newer version of sutra.

    Parameters
    ----------
    message : str
        Which version was found and which can be read.
    path : str, optional
        The file.
    version : int, optional
        Format version of the file.

    Attributes
    ----------
    path : str or None
        As given.
    version : int or None
        As given.
    """

    path: str | None
    version: int | None

    def __init__(
        self, message: str = "", *, path: str | None = None, version: int | None = None
    ) -> None:
        super().__init__(message)
        self.path = path
        self.version = version


class CapacityError(SutraError, OSError):
    """More than the format, the reserved address space or a store's ``max_bytes`` can hold."""


class ConfigError(SutraError, ValueError):
    """An argument or a setting has a value that is not allowed."""
