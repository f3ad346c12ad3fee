# SPDX-License-Identifier: Apache-2.0
"""A graph over float32 vectors: the index without codes, rerank and ids.

Calls in flight are counted by the core's lock: `close` waits for them.
"""

import operator

cimport cython
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from sutra._c.graph cimport (
    SUTRA_NODE_SLOTS_MAX,
    sutra_float_graph_close,
    sutra_float_graph_free,
    sutra_float_graph_level,
    sutra_float_graph_link,
    sutra_float_graph_neighbours,
    sutra_float_graph_new,
    sutra_float_graph_search,
    sutra_float_graph_shape,
    sutra_float_graph_shape_s,
    sutra_float_graph_verify,
)
from sutra._c.platform cimport sutra_cores_usable
from sutra._c.status cimport SUTRA_E_NOT_FOUND, SUTRA_FAULT_NONE, sutra_fault
from sutra._c.vectors cimport sutra_vectors, sutra_vectors_drop
from sutra._check cimport check, check_fault
from sutra._kernels cimport chosen_kernels

cimport numpy as cnp

from sutra._arrays import as_rows, check_count
from sutra._vectors import VectorStore
from sutra.errors import ConfigError

cnp.import_array()


cdef enum:
    LEVEL_BEYOND = 255  # no node is on it


cdef object checked_number(object value, str name):
    number = operator.index(value)
    if not 0 <= number < 2**63:
        raise IndexError(f"there is no {name} {number}")
    return number


cdef unsigned workers_for(object threads) except 0:
    return check_count(threads, "threads", 0, 1024) or sutra_cores_usable()


@cython.final
cdef class HnswGraph:
    """Link float32 vectors into a navigable graph [1]_ and search it by Euclidean distance.

    Parameters
    ----------
    vectors : int or VectorStore
        Length of the vectors, 1 to 16,384, for a graph with a store of its own; or the store
        whose rows the graph is to link. Rows already in it are linked by ``add(store)``.
    m : {16, 8, 24, 32}
        Neighbours of a node; the base layer has twice as many slots.
    ef_construction : int, default 200
        Width of the search that links a new vector, 1 to 4,096.
    seed : int, default 0
        Of the levels. Same seed, same sequence of `add` calls: same graph, for any number of
        threads, on one kernel tier.

    Attributes
    ----------
    store : VectorStore
        The vectors. Nodes of the graph are its row numbers.
    dim, m, ef_construction, seed : int
        As given.

    Raises
    ------
    ConfigError
        If a value is not allowed.
    ClosedError
        If the store is closed.
    MemoryError
        If there is no room.

    See Also
    --------
    Index : Faster and smaller, with ids, other metrics and files.

    Notes
    -----
    Links take about 132 bytes a vector for m = 16.

    Thread safety: all methods may be called from any thread. Searches run side by side with the
    GIL released; linking runs alone. `close` waits for calls in flight. The graph keeps the
    memory of its store even if the store is closed.

    References
    ----------
    .. [1] Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using
       Hierarchical Navigable Small World graphs", 2018; `csrc/graph/graph.h` says where this
       implementation differs.

    Examples
    --------
    >>> from sutra import HnswGraph
    >>> graph = HnswGraph(2)
    >>> graph.add([[0, 0], [1, 0], [5, 5]])
    0
    >>> rows, distances = graph.search([2, 0], k=2)
    >>> rows.tolist(), distances.tolist()
    ([1, 0], [1.0, 4.0])
    >>> sorted(graph.neighbors(1).tolist())
    [0, 2]
    """

    def __cinit__(self, vectors, *, m=16, ef_construction=200, seed=0):
        cdef sutra_vectors *held
        cdef int status
        self.store = vectors if isinstance(vectors, VectorStore) else VectorStore(vectors)
        self.dim = self.store.dim
        self.m = check_count(m, "m", 0, 2**32 - 1)
        if self.m not in (8, 16, 24, 32):
            raise ConfigError(f"m={m}: expected 8, 16, 24 or 32")
        self.ef_construction = check_count(ef_construction, "ef_construction", 1, 4096)
        self.seed = check_count(seed, "seed", 0, 2**64 - 1)

        held = self.store.hold()
        status = sutra_float_graph_new(
            chosen_kernels(), held, self.m, self.ef_construction, self.seed, &self.graph
        )
        sutra_vectors_drop(held)
        check(status)

    def __dealloc__(self):
        sutra_float_graph_free(self.graph)

    def add(self, vectors, *, threads=0):
        """Append vectors to the store and link them, or link what the store already holds.

        Parameters
        ----------
        vectors : (n, dim) or (dim,) array-like, or the graph's own store
            What `VectorStore.append` takes. Given its own store, the graph links the rows that
            are not linked yet. Rows of another store are copied.
        threads : int, default 0
            0 means all cores this process may use. The result does not depend on it.

        Returns
        -------
        int
            The first node added; the others follow.

        Raises
        ------
        DimensionError, DTypeError, InvalidVectorError
            As for `VectorStore.append`; nothing has changed.
        ConfigError
            If `threads` is not 0 to 1,024.
        CapacityError, MemoryError
            If there is no room. Rows that made it into the store are linked by the next call.
        ClosedError
            If the graph or its store is closed.

        Notes
        -----
        Many vectors in one call are linked in growing batches by all threads, far faster than
        in many calls. The GIL is released; searches wait.
        """
        cdef unsigned workers = workers_for(threads)
        cdef size_t first = self.shape().count
        cdef size_t limit
        cdef int status
        if vectors is not self.store:
            first = self.store.append(vectors)
        limit = len(self.store)

        with nogil:
            status = sutra_float_graph_link(self.graph, limit, workers)

        check(status)
        return first

    def search(self, queries, k=10, ef=None, *, threads=0):
        """Find the nearest vectors by a walk through the graph.

        Parameters
        ----------
        queries : (dim,) or (q, dim) array-like of float16, float32, float64 or integers
        k : int, default 10
            How many, 1 to 1,048,576.
        ef : int, optional
            Width of the walk: wider finds more of the true nearest, slower. At least `k`;
            default ``max(k, 64)``.
        threads : int, default 0
            For more than 16 queries. 0 means all cores this process may use.

        Returns
        -------
        rows : (k,) or (q, k) array of int64
            Row numbers of the store, nearest first; -1 where fewer than k were found.
        distances : (k,) or (q, k) array of float32
            Squared Euclidean distances, ascending; infinity where `rows` is -1.

        Raises
        ------
        DimensionError, DTypeError
            If shape or element type do not fit.
        InvalidVectorError
            If a query holds NaN or infinity; `row` says which.
        ConfigError
            If `k`, `ef` or `threads` is out of range.
        ClosedError
            If the graph is closed.
        MemoryError
            If there is no room.
        """
        cdef cnp.ndarray given = as_rows(queries, self.dim, "queries", True)
        cdef size_t width = check_count(k, "k", 1, 2**20)
        cdef size_t wanted = 64 if ef is None else check_count(ef, "ef", 1, 2**31 - 1)
        cdef unsigned workers = workers_for(threads)
        cdef int dimensions = cnp.PyArray_NDIM(given)
        cdef size_t count = 1 if dimensions == 1 else given.shape[0]
        cdef cnp.npy_intp shape[2]
        cdef cnp.ndarray rows, distances
        cdef const float *data = <const float *> cnp.PyArray_DATA(given)
        cdef int64_t *row_data
        cdef float *distance_data
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        shape[0] = count
        shape[1] = width
        rows = cnp.PyArray_EMPTY(dimensions, shape + 2 - dimensions, cnp.NPY_INT64, 0)
        distances = cnp.PyArray_EMPTY(dimensions, shape + 2 - dimensions, cnp.NPY_FLOAT32, 0)
        row_data = <int64_t *> cnp.PyArray_DATA(rows)
        distance_data = <float *> cnp.PyArray_DATA(distances)

        with nogil:
            status = sutra_float_graph_search(
                self.graph, data, self.dim, count, width, wanted, workers, row_data,
                distance_data, &fault,
            )

        check_fault(status, &fault, None, "queries")
        return rows, distances

    def neighbors(self, node, level=0):
        """Return the nodes a node links to.

        Parameters
        ----------
        node : int
            A node, 0 to ``len(graph) - 1``.
        level : int, default 0
            0 is the base layer.

        Returns
        -------
        (n,) array of int64
            At most ``2 * m`` on the base layer, in no particular order.

        Raises
        ------
        IndexError
            If there is no such node, or it is not on that level.
        ClosedError
            If the graph is closed.

        Notes
        -----
        Above the base layer, and for `level`, the upper nodes (one in m) are looked through.
        """
        cdef size_t number = checked_number(node, "node")
        cdef unsigned wanted = min(checked_number(level, "level"), LEVEL_BEYOND)
        cdef int64_t found[SUTRA_NODE_SLOTS_MAX]
        cdef size_t count = 0
        cdef cnp.npy_intp length
        cdef cnp.ndarray out
        cdef int status
        with nogil:
            status = sutra_float_graph_neighbours(self.graph, number, wanted, found, &count)
        if status == SUTRA_E_NOT_FOUND:
            raise IndexError(f"there is no node {node} on level {level}")
        check(status)

        length = count
        out = cnp.PyArray_EMPTY(1, &length, cnp.NPY_INT64, 0)
        memcpy(cnp.PyArray_DATA(out), found, count * sizeof(int64_t))
        return out

    def level(self, node):
        """Return the highest level a node is on.

        Parameters
        ----------
        node : int
            A node, 0 to ``len(graph) - 1``.

        Returns
        -------
        int
            0 for a node of the base layer alone.

        Raises
        ------
        IndexError
            If there is no such node.
        ClosedError
            If the graph is closed.
        """
        cdef size_t number = checked_number(node, "node")
        cdef unsigned found = 0
        cdef int status
        with nogil:
            status = sutra_float_graph_level(self.graph, number, &found)
        if status == SUTRA_E_NOT_FOUND:
            raise IndexError(f"there is no node {node}")
        check(status)
        return found

    def verify(self):
        """Check every invariant of the graph.

        Raises
        ------
        CorruptError
            If an id is out of range, a node links to itself or twice to another, levels do not
            agree, or a node cannot be reached from the entry point.
        ClosedError
            If the graph is closed.
        MemoryError
            If there is no room.

        Notes
        -----
        Reads all links once: a second for some ten million nodes.
        """
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        with nogil:
            status = sutra_float_graph_verify(self.graph, &fault)
        check_fault(status, &fault)

    def close(self):
        """Release the links. Waits for calls in flight; closing twice is no error.

        The store stays open.
        """
        with nogil:
            sutra_float_graph_close(self.graph)

    cdef sutra_float_graph_shape_s shape(self) except *:
        cdef sutra_float_graph_shape_s found
        cdef int status
        with nogil:  # may wait for linking to end
            status = sutra_float_graph_shape(self.graph, &found)
        check(status)
        return found

    @property
    def levels(self):
        """How many levels there are; 0 for an empty graph."""
        return self.shape().levels

    @property
    def entry_point(self):
        """The node every walk starts from, or None for an empty graph."""
        cdef int64_t entry = self.shape().entry
        return None if entry < 0 else entry

    def __len__(self):
        return self.shape().count

    def __enter__(self):
        self.shape()
        return self

    def __exit__(self, *exc_info):
        self.close()

    def __reduce__(self):
        raise TypeError("an HnswGraph cannot be pickled or copied: keep its vectors, or use Index")

    def __repr__(self):
        return f"<sutra.HnswGraph, dim {self.dim}, m {self.m}>"
