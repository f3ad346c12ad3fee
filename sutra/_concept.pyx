# SPDX-License-Identifier: Apache-2.0
"""Concepts and hits as they are given to readers: made by the million, so classes in C."""

cimport cython

from sutra._c.concepts cimport sutra_record

from sutra.results import Record, parsed_metadata, shortened


@cython.final
cdef class Concept:
    """A concept as it was when it was read. Read-only; equal if everything in it is.

    Attributes
    ----------
    id : int or str
        As it was added.
    vector : (dim,) array of float32, or None
        If it was asked for and there is one.
    content : str, bytes or None
        As it was given.
    metadata : dict or None
        What was given, by way of JSON: parsed when first looked at, the same dict every time.
    record : Record
        Times, strength, confidence, reference count.
    """

    def __init__(self):
        raise TypeError("a Concept comes from a store: read it with store[id] or Store.get")

    @property
    def metadata(self):
        """What was given, by way of JSON."""
        if self.parsed is None:
            self.parsed = parsed_metadata(self.raw)
        return self.parsed

    @property
    def record(self):
        """Times, strength, confidence, reference count."""
        return Record(
            self.kept.created_ns, self.kept.accessed_ns, self.kept.strength,
            self.kept.confidence, self.kept.reference_count)

    def key(self):
        """Return everything in it, as something to compare and to hash."""
        vector = None if self.vector is None else self.vector.tobytes()
        return self.id, vector, self.content, self.raw, self.record

    def __eq__(self, other):
        if not isinstance(other, Concept):
            return NotImplemented
        return self.key() == other.key()

    def __hash__(self):
        return hash(self.key())

    def __reduce__(self):
        return _rebuilt, (self.id, self.vector, self.content, self.raw, tuple(self.record))

    def __repr__(self):
        parts = [f"id={self.id!r}"]
        if self.vector is not None:
            parts.append(f"vector of {len(self.vector)}")
        if self.content is not None:
            parts.append(f"content={shortened(self.content)}")
        if self.raw is not None:
            parts.append(f"metadata={shortened(self.raw.decode())}")
        return f"<sutra.Concept {', '.join(parts)}>"


@cython.final
cdef class Hit:
    """A concept that a search found: an item of `Hits`. Read-only.

    Attributes
    ----------
    id : int or str
        Of the concept.
    distance : float
        From the query; lower is nearer. NaN if `Store.related` reached it along associations
        alone.
    score : float
        Higher is better: 1 - d for cosine, the inner product for ip, 1 / (1 + d) for l2. Of
        `Store.related`: its activation.
    content : str, bytes or None
        Of the concept; see `Hits` for when it is read.
    metadata : dict or None
        Of the concept, parsed anew with every look.
    path : Path or None
        Of `Store.related`: the way from the seed that it was reached from.
    """

    cdef readonly object id
    cdef readonly double distance
    cdef readonly double score
    cdef readonly object path
    cdef object hits
    cdef Py_ssize_t at

    def __cinit__(self, id, double distance, double score, path, hits, Py_ssize_t at):
        self.id = id
        self.distance = distance
        self.score = score
        self.path = path
        self.hits = hits
        self.at = at

    @property
    def content(self):
        """The concept's content."""
        return self.hits._read()[0][self.at]

    @property
    def metadata(self):
        """The concept's metadata."""
        return parsed_metadata(self.hits._read()[1][self.at])

    def __reduce__(self):
        return Hit, (self.id, self.distance, self.score, self.path, self.hits, self.at)

    def __repr__(self):
        return f"<sutra.Hit {self.id!r}, score {self.score:.4g}>"


def _rebuilt(id, vector, content, raw, record):
    """Return a concept that was pickled."""
    cdef Concept concept = Concept.__new__(Concept)
    cdef sutra_record kept
    concept.id = id
    concept.vector = vector
    concept.content = content
    concept.raw = raw
    (kept.created_ns, kept.accessed_ns, kept.strength, kept.confidence,
     kept.reference_count) = record
    concept.kept = kept
    return concept
