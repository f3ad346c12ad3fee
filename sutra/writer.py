"""Writing to a store."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy.typing as npt

from sutra import _writing
from sutra._fields import delete_where_operation
from sutra._matching import warned_of
from sutra._ops import Ids, ids_operation
from sutra._predicate import Predicate
from sutra._settings import set_operation
from sutra._store import StoreCore
from sutra._writing import GivenIds, GivenNumbers
from sutra.declaring import Declaring
from sutra.results import Content, Metadata, WriteResult
from sutra.where import Where, as_tree

Vectors = npt.ArrayLike | Sequence[npt.ArrayLike | None] | None
Contents = Content | Sequence[Content | None] | None
Metadatas = Metadata | Sequence[Metadata | None] | None


class Writer(Declaring):
    """The writing half of a store. Not made directly: `Store` and `Batch` are writers."""

    __slots__ = ()

    _core: StoreCore

    @abstractmethod
    def _dim(self) -> int:
        """Length of vectors; 0 if there has been none."""

    @abstractmethod
    def _noticed(self) -> set[str]:
        """Return the fields that a SlowFilterWarning was given of."""

    def add(
        self,
        ids: GivenIds | None = None,
        vectors: Vectors = None,
        *,
        contents: Contents = None,
        metadata: Metadatas = None,
        strength: GivenNumbers = 1.0,
        confidence: GivenNumbers = 1.0,
    ) -> WriteResult:
        """Add concepts whose ids are new.

        One concept or a batch: a single id, vector, content or metadata dict is one concept;
        sequences are many, all of the same length.

        Parameters
        ----------
        ids : int, str, or (n,) sequence of them, optional
            0 to 2**63 - 1, or text of 1 to 1,024 bytes in UTF-8. Default: assigned, on from the
            largest number so far.
        vectors : (n, dim) or (dim,) array-like, or sequence with None for no vector, optional
            float16, float32, float64 or integers. The first ones decide `dim` where it is open.
        contents : str, bytes, or (n,) sequence of them or None, optional
            Kept as they are.
        metadata : dict, or (n,) sequence of dict or None, optional
            What `json.dumps` takes, NaN and infinity excepted; keys become text, as JSON has it.
        strength, confidence : float or (n,) array-like of float
            Finite.

        Returns
        -------
        WriteResult
            The ids, how many, and the sequence number of the write.

        Raises
        ------
        DuplicateIdError
            If an id is in use, or given twice; `id` says which.
        DimensionError, DTypeError
            If vectors do not fit the store, or are not as many as the ids.
        InvalidVectorError
            If a vector holds NaN or infinity, or is too long for its square to be a float32;
            `row` says which.
        ConfigError
            If other lengths differ, or a value is not allowed: negative ids, text that is not
            UTF-8, infinite strength, metadata that JSON cannot say.
        TypeError
            If something is of a kind that is not listed above; a bool is no id.
        ReadOnlyError, ClosedError
            If the store was opened for reading, or is closed.
        DurabilityError
            If a sync fails or has failed: the store takes no more writes.
        CapacityError, MemoryError, OSError
            If there is no room, in the store, in memory or on the disk.

        Notes
        -----
        All or nothing: after an error nothing was added. On return the concepts are visible to
        every read and, with ``sync="full"``, durable. Everything is copied before the call
        returns. The GIL is released while the store works. One call with many concepts is far
        faster than many calls; calls from several threads share their syncs.
        """
        return self._put(False, ids, vectors, contents, metadata, strength, confidence)

    def upsert(
        self,
        ids: GivenIds | None = None,
        vectors: Vectors = None,
        *,
        contents: Contents = None,
        metadata: Metadatas = None,
        strength: GivenNumbers = 1.0,
        confidence: GivenNumbers = 1.0,
    ) -> WriteResult:
        """Add concepts, or write over those that are there.

        Of a concept that is there, what is not given stays: vector, content, metadata, when it
        was created, and its associations. `strength` and `confidence` are always set.

        Parameters
        ----------
        ids, vectors, contents, metadata, strength, confidence
            As for `add`. None means not given, in a sequence for that concept.

        Returns
        -------
        WriteResult
            As for `add`.

        Raises
        ------
        Exception
            What `add` raises. An id that is in use is no error, but an id given twice in one
            call is (`DuplicateIdError`).

        Notes
        -----
        As for `add`. An open `read_view` goes on seeing what was there before.
        """
        return self._put(True, ids, vectors, contents, metadata, strength, confidence)

    def _put(
        self,
        replace: bool,
        ids: GivenIds | None,
        vectors: Vectors,
        contents: Contents,
        metadata: Metadatas,
        strength: GivenNumbers,
        confidence: GivenNumbers,
    ) -> WriteResult:
        dim = self._dim()
        return self._apply(
            _writing.put(replace, dim, ids, vectors, contents, metadata, strength, confidence)
        )

    def delete(self, ids: GivenIds | None = None, *, where: Where | None = None) -> int:
        """Remove concepts and the associations from and to them.

        Parameters
        ----------
        ids : int, str, or sequence of them
            An id that is not there, or comes again, is no error.
        where : Condition or dict
            Instead of ids: what the metadata must be like, see `Store.search`.

        Returns
        -------
        int
            How many concepts were removed; -1 inside `Store.batch`, where none is yet.

        Raises
        ------
        TypeError, ConfigError
            If something is no id, or no condition; if both are given, or neither.
        SutraError
            If `where` comes after an `add` or an `upsert` of the same batch.
        ReadOnlyError, ClosedError, DurabilityError, OSError, MemoryError
            As for `add`.

        Warns
        -----
        SlowFilterWarning
            As `Store.search`.

        Notes
        -----
        With `where` everything is removed, at once, that meets the condition when the write takes
        its place among the others: nothing is written between looking and removing. In a batch
        that is the time of the whole batch, so that it can remove what was there and add anew.
        Other writers wait meanwhile: not long, if the fields are declared.
        """
        if (ids is None) == (where is None):
            raise TypeError("delete: expected ids or where, one of them")
        if where is not None:
            tree = as_tree(where)
            warned_of(self._core.view(), tree, self._noticed())
            return self._apply(delete_where_operation(Predicate(tree))).count
        return self._apply(ids_operation(Ids(ids), False)).count

    def touch(self, ids: GivenIds) -> int:
        """Set when concepts were last accessed to now; reading never does.

        Parameters
        ----------
        ids : int, str, or sequence of them
            An id that is not there is passed over.

        Returns
        -------
        int
            How many concepts were touched, one that is given twice twice; -1 inside
            `Store.batch`.

        Raises
        ------
        TypeError, ConfigError
            If something is no id.
        ReadOnlyError, ClosedError, DurabilityError, OSError, MemoryError
            As for `add`.
        """
        return self._apply(ids_operation(Ids(ids), True)).count

    def link(
        self,
        src: GivenIds,
        dst: GivenIds,
        *,
        kind: str | Sequence[str] = "semantic",
        weight: GivenNumbers = 1.0,
        confidence: GivenNumbers = 1.0,
    ) -> WriteResult:
        """Associate concepts: an edge from each of `src` to the same place of `dst`.

        Between two concepts there is one edge of a kind in each direction; linking again sets
        its weight and confidence.

        Parameters
        ----------
        src, dst : int, str, or (n,) sequence of them
            Concepts of the store. A single id goes with all of the other side.
        kind : str, or (n,) sequence of str
            1 to 255 bytes in UTF-8; at most 65,535 different ones in a store.
        weight, confidence : float or (n,) array-like of float
            Finite. `Store.paths` and `Store.related` take a confidence above 1 as 1.

        Returns
        -------
        WriteResult
            `count` edges were set, new or not; `ids` is empty.

        Raises
        ------
        NotFoundError
            If an end is not in the store; `id` says which. Nothing was linked.
        TypeError, ConfigError
            If something is no id, lengths differ, or a number is not finite.
        CapacityError
            If there would be more than 2**31 edges or 65,535 kinds.
        ReadOnlyError, ClosedError, DurabilityError, OSError, MemoryError
            As for `add`.
        """
        return self._apply(_writing.link(src, dst, kind, weight, confidence, False))

    def unlink(
        self, src: GivenIds, dst: GivenIds, *, kind: str | Sequence[str] | None = "semantic"
    ) -> WriteResult:
        """Remove associations.

        Parameters
        ----------
        src, dst : int, str, or (n,) sequence of them
            As for `link`.
        kind : str, (n,) sequence of str, or None
            None removes edges of every kind.

        Returns
        -------
        WriteResult
            `count` edges were removed: what is not there is no error. `ids` is empty.

        Raises
        ------
        TypeError, ConfigError
            If something is no id, or lengths differ.
        ReadOnlyError, ClosedError, DurabilityError, OSError, MemoryError
            As for `add`.
        """
        return self._apply(_writing.link(src, dst, kind, 1.0, 1.0, True))

    def _set(self, name: str, value: bytes | None) -> int:
        """Give a setting of the store a value, or remove it: a write like any other.

        Parameters
        ----------
        name : str
            1 to 255 bytes in UTF-8.
        value : bytes or None
            At most 65,535 bytes. None removes the setting, if there is one.

        Returns
        -------
        int
            Sequence number of the write; -1 where it is part of a batch, which has one at its end.

        Raises
        ------
        TypeError, ConfigError
            If name or value is not as above.
        CapacityError
            If the value is longer, or there would be more than 1,024 settings.
        ReadOnlyError, ClosedError, DurabilityError, OSError, MemoryError
            As for `add`.
        """
        return self._apply(set_operation(name, value)).lsn
