# SPDX-License-Identifier: Apache-2.0
"""The index of the C core as a Python class: convert, check, release the GIL, map errors.

`sutra.Index` (index.py) derives from `IndexCore` and adds what is policy. The core knows which
calls are in flight: `close` waits for them. Only one guard is Python's business: a progress
callback may read its own index, but what waits for the end of the add would wait for itself, and
is told so.
"""

import os
import threading

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset
from posix.unistd cimport getpid

from sutra._c.index cimport (
    SUTRA_K_MAX,
    SUTRA_METRIC_COSINE,
    SUTRA_METRIC_IP,
    SUTRA_METRIC_L2,
    SUTRA_QUANT_NONE,
    SUTRA_QUANT_U4,
    SUTRA_QUANT_U8,
    SUTRA_RESIDENT_ARENA,
    SUTRA_RESIDENT_AUTO,
    SUTRA_RESIDENT_MAPPED,
    sutra_bool,
    sutra_index,
    sutra_index_add,
    sutra_index_close,
    sutra_index_compact,
    sutra_index_contains,
    sutra_index_delete,
    sutra_index_free,
    sutra_index_get,
    sutra_index_ids,
    sutra_index_new,
    sutra_index_open,
    sutra_index_options,
    sutra_index_save,
    sutra_index_search,
    sutra_index_set_secure_delete,
    sutra_index_set_tuned_ef,
    sutra_index_stats,
    sutra_index_stats_s,
    sutra_index_upsert,
    sutra_index_verify,
    sutra_search,
)
from sutra._c.platform cimport sutra_cores_usable
from sutra._c.status cimport (
    SUTRA_E_ARGUMENT,
    SUTRA_E_CANCELLED,
    SUTRA_E_CONFIG,
    SUTRA_E_NOT_FOUND,
    SUTRA_FAULT_NONE,
    sutra_fault,
)
from sutra._check cimport check_fault
from sutra._kernels cimport chosen_kernels
from sutra._search cimport IdSets, Plans, SearchResult

cimport numpy as cnp

import numpy as np

from sutra._arrays import as_rows, check_choice, check_count, check_dim
from sutra._filtering import as_filters
from sutra.errors import ClosedError, ConfigError, NotFoundError, SutraError

cnp.import_array()

# `adding`: the identities of the indexes that this thread is adding to.
LOCAL = threading.local()

METRICS = {"cosine": SUTRA_METRIC_COSINE, "l2": SUTRA_METRIC_L2, "ip": SUTRA_METRIC_IP}
QUANTIZATIONS = {"none": SUTRA_QUANT_NONE, "u8": SUTRA_QUANT_U8, "u4": SUTRA_QUANT_U4}
RESIDENTS = {
    "auto": SUTRA_RESIDENT_AUTO, "arena": SUTRA_RESIDENT_ARENA, "mapped": SUTRA_RESIDENT_MAPPED,
}
cdef dict CONFIG_TEXTS = {
    "dim": "dim={dim}: expected 1 to 16384",
    "m": "m={m}: expected 8, 16, 24 or 32",
    "ef_construction": "ef_construction={ef_construction}: expected 1 to 4096",
    "keep_originals": "keep_originals=False needs quantization 'u8' or 'u4': without codes "
                      "nothing is left",
}
METRIC_NAMES = {number: name for name, number in METRICS.items()}
QUANTIZATION_NAMES = {number: name for name, number in QUANTIZATIONS.items()}


cdef class _Progress:
    """What the core's progress callback needs: the callable, and the error that stopped it."""

    cdef object callback
    cdef object error


cdef int _report(void *context, size_t done, size_t total) noexcept with gil:
    cdef _Progress progress = <_Progress> context
    try:
        PyErr_CheckSignals()
        if progress.callback is not None:
            progress.callback(done, total)
    except BaseException as error:
        progress.error = error
        return 1
    return 0


cdef class IndexCore:
    cdef sutra_index *index
    cdef readonly uint32_t dim
    cdef readonly str metric
    cdef readonly object path
    cdef unsigned cores
    cdef long process  # that made the index

    def __cinit__(self, *args, **kwargs):
        self.index = NULL
        self.path = None

    def __dealloc__(self):
        # In a forked child the locks may be held by threads that were not copied: leave it all.
        if self.index != NULL and getpid() == self.process:
            sutra_index_free(self.index)

    def __reduce__(self):
        raise TypeError(f"{type(self).__name__} cannot be pickled: save it and open the file")

    def _new(self, dim, metric, m, ef_construction, quantization, keep_originals, seed):
        cdef sutra_index_options options
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        if self.index != NULL:
            raise SutraError("an index is made once: __init__ was called again")
        memset(&options, 0, sizeof(options))
        options.dim = check_dim(dim)
        options.metric = check_choice(METRICS, metric, "metric")
        options.m = check_count(m, "m", 0, 2**32 - 1)
        options.ef_construction = check_count(ef_construction, "ef_construction", 0, 2**32 - 1)
        options.quantization = check_choice(QUANTIZATIONS, quantization, "quantization")
        options.keep_originals = bool(keep_originals)
        options.seed = check_count(seed, "seed", 0, 2**64 - 1)
        status = sutra_index_new(chosen_kernels(), &options, &self.index, &fault)
        if status == SUTRA_E_CONFIG:
            raise ConfigError(CONFIG_TEXTS[fault.what.decode()].format(**options))
        check_fault(status, &fault)
        self._finish(None)

    def _open(self, path, resident):
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef sutra_index *opened = NULL
        cdef bytes name = os.fsencode(path)
        cdef const char *text = name
        cdef int status, mode = check_choice(RESIDENTS, resident, "resident")
        with nogil:
            status = sutra_index_open(chosen_kernels(), text, mode, &opened, &fault)
        check_fault(status, &fault, path)
        self.index = opened
        self._finish(os.fsdecode(path))

    cdef int _finish(self, path) except -1:
        cdef sutra_index_stats_s stats
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        check_fault(sutra_index_stats(self.index, &stats), &fault)
        self.dim = stats.options.dim
        self.metric = METRIC_NAMES[stats.options.metric]
        self.path = path
        self.process = getpid()
        self.cores = sutra_cores_usable()
        return 0

    cdef inline int _enter(self) except -1:
        if self.index == NULL:
            raise ClosedError("the index was never opened")
        if getpid() != self.process:
            raise ClosedError(
                "the index was opened before a fork: its locks and threads stayed with the parent; "
                "open the file again in the child"
            )
        return 0

    cdef int _enter_alone(self) except -1:
        """For what waits until an add is done."""
        self._enter()
        if id(self) in getattr(LOCAL, "adding", ()):
            raise SutraError("the index is being changed by the call that reports this progress")
        return 0

    def _threads(self, threads):
        return check_count(threads, "threads", 0, 1024) or self.cores

    def _add(self, cnp.ndarray vectors, ids, threads, callback, bint replace):
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef size_t count = vectors.shape[0]
        cdef size_t stride = self.dim
        cdef const float *data = <const float *> cnp.PyArray_DATA(vectors)
        cdef const int64_t *given = NULL
        cdef cnp.npy_intp length = count
        cdef cnp.ndarray out = cnp.PyArray_EMPTY(1, &length, cnp.NPY_INT64, 0)
        cdef int64_t *out_data = <int64_t *> cnp.PyArray_DATA(out)
        cdef unsigned workers = self._threads(threads)
        cdef _Progress progress = _Progress()
        cdef void *context = <void *> progress
        cdef int status
        self._enter_alone()
        progress.callback = callback
        if ids is not None:
            given = <const int64_t *> cnp.PyArray_DATA(<cnp.ndarray> ids)
        adding = LOCAL.__dict__.setdefault("adding", set())
        adding.add(id(self))
        try:
            with nogil:
                if replace:
                    status = sutra_index_upsert(self.index, data, stride, count, given, out_data,
                                                workers, _report, context, &fault)
                else:
                    status = sutra_index_add(self.index, data, stride, count, given, out_data,
                                             workers, _report, context, &fault)
        finally:
            adding.discard(id(self))
        if status == SUTRA_E_CANCELLED and progress.error is not None:
            raise progress.error
        check_fault(status, &fault, None, "add")
        return out

    def _delete(self, cnp.ndarray ids, threads):
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef const int64_t *given = <const int64_t *> cnp.PyArray_DATA(ids)
        cdef size_t count = ids.shape[0]
        cdef unsigned workers = self._threads(threads)
        cdef size_t removed = 0
        cdef int status
        self._enter_alone()
        with nogil:
            status = sutra_index_delete(self.index, given, count, workers, &removed)
        check_fault(status, &fault)
        return removed

    def _set_secure_delete(self, bint secure):
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        self._enter_alone()
        with nogil:
            status = sutra_index_set_secure_delete(self.index, secure)
        check_fault(status, &fault)

    def _compact(self, threads):
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef unsigned workers = self._threads(threads)
        cdef int status
        self._enter_alone()
        with nogil:
            status = sutra_index_compact(self.index, workers)
        check_fault(status, &fault)

    def search(
        self, queries, k=10, *, ef=None, threads=0, bint exact=False, recall=None, filter=None,
        radius=None, limit=None,
    ):
        """Find the nearest vectors.

        Parameters
        ----------
        queries : (dim,) or (q, dim) array-like of float16, float32, float64 or integers
            C-contiguous float32 arrays are used as they are, anything else is converted once.
        k : int, default 10
            How many, 1 to 1,048,576.
        ef : int, optional
            Width of the graph walk: wider finds more of the true nearest, slower. Raised to `k`
            where it is less; default the tuned value, or ``max(k, 64)``.
        threads : int, default 0
            For many queries at once. 0 means all cores this process may use. One query runs on
            one thread.
        exact : bool, default False
            Compare with every vector instead of walking.
        recall : float, optional
            Walk as wide as `tune` has found to reach this recall of `k` neighbours. Instead of
            `ef`.
        filter : array or sequence, optional
            What may be found. uint8: a bitmap of ids, bit i % 8 of byte i // 8 for id i, as
            ``numpy.packbits(mask, bitorder="little")`` makes it, used as it is; bool: a mask of
            ids; other integers: the ids. Ids that the index does not have change nothing. One for
            all queries, or a row (an item of a list of arrays) for each.
        radius : float, optional
            Find everything at this distance or nearer instead of `k`.
        limit : int, optional
            The most that a search with a radius finds: the nearest so many. Default 10,000.

        Returns
        -------
        SearchResult
            `ids` and `distances`, int64 and float32, of shape (k,) for one query and (q, k) for
            several: nearest first, padded with -1 and infinity where there are fewer than k.
            With a radius as many columns as the query with the most has hits.

        Raises
        ------
        DimensionError, DTypeError
            If shape or element type do not fit.
        InvalidVectorError
            If a query (`row`) holds NaN or infinity, or its square is no float32.
        ConfigError, ClosedError, MemoryError
            If `k`, `ef` or `threads` is out of range; nothing was tuned since the index was made
            or opened that reaches `recall`; there are not as many filters as queries; the index
            is closed; there is no room. If `radius` is NaN or `limit` has none.
        TypeError
            If the filter holds neither bools nor integers, or `radius` is no number.

        Notes
        -----
        A walk takes microseconds per unit of `ef`, growing with the logarithm of the number of
        vectors; an exact search reads all of them. The GIL is released. Any number of searches
        run side by side, and beside an `add`, of which they see all or, while it is on its way,
        nothing.

        With a filter, what costs least is done, see `explain`: few ids that pass are compared one
        by one (by their codes, the best of them again by their vectors), many are found by a walk
        over them alone. A bitmap costs nothing to prepare but a count of its bits; a list of ids
        is made into one, a look-up for each. A search with a radius is made of searches for ever
        more neighbours, until the last one is too far.
        """
        if radius is not None or limit is not None:
            return self._within(queries, ef, threads, exact, recall, filter, radius, limit)
        return self._search(queries, k, ef, threads, exact, recall, filter, None)

    def _explain(self, queries, k, ef, exact, filter):
        """Search on one thread, and return how: see Plans.rows."""
        plans = Plans(1 if np.ndim(queries) == 1 else len(queries))
        self._search(queries, k, ef, 1, exact, None, filter, plans)
        return plans.rows()

    def _search_without(self, queries, k, ef, threads, cnp.ndarray without not None):
        """Search while each query's walk does without an id, a contiguous int64 for each."""
        return self._search(queries, k, ef, threads, False, None, None, None, without)

    cdef SearchResult _search(
        self, queries, k, ef, threads, bint exact, recall, filter, Plans plans,
        cnp.ndarray without=None,
    ):
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef cnp.ndarray rows
        cdef cnp.npy_intp shape[2]
        cdef int dimensions, status
        cdef size_t count, width, wanted = 0
        cdef unsigned workers = 1
        cdef SearchResult result
        cdef const float *data
        cdef int64_t *ids
        cdef float *distances
        cdef sutra_search search
        cdef IdSets sets

        self._enter()
        width = k if type(k) is int and 0 < k <= SUTRA_K_MAX else check_count(
            k, "k", 1, SUTRA_K_MAX)
        if ef is not None:
            wanted = check_count(ef, "ef", 1, 2**31 - 1)
        if recall is not None:
            wanted = self._width(recall, width, ef, exact)
        if (cnp.PyArray_Check(queries) and cnp.PyArray_TYPE(queries) == cnp.NPY_FLOAT32
                and cnp.PyArray_ISCARRAY_RO(queries) and 0 < cnp.PyArray_NDIM(queries) <= 2
                and cnp.PyArray_DIM(queries, cnp.PyArray_NDIM(queries) - 1) == self.dim):
            rows = queries
        else:
            rows = as_rows(queries, self.dim, "queries", True)

        dimensions = cnp.PyArray_NDIM(rows)
        count = 1 if dimensions == 1 else rows.shape[0]
        shape[0] = count
        shape[1] = width
        result = SearchResult.__new__(SearchResult)
        if dimensions == 1:
            result.ids = cnp.PyArray_EMPTY(1, shape + 1, cnp.NPY_INT64, 0)
            result.distances = cnp.PyArray_EMPTY(1, shape + 1, cnp.NPY_FLOAT32, 0)
        else:
            result.ids = cnp.PyArray_EMPTY(2, shape, cnp.NPY_INT64, 0)
            result.distances = cnp.PyArray_EMPTY(2, shape, cnp.NPY_FLOAT32, 0)
        if count > 1 or threads != 0:
            workers = self._threads(threads)
        data = <const float *> cnp.PyArray_DATA(rows)
        ids = <int64_t *> cnp.PyArray_DATA(result.ids)
        distances = <float *> cnp.PyArray_DATA(result.distances)

        memset(&search, 0, sizeof(search))
        search.queries = data
        search.stride = self.dim
        search.count = count
        search.k = width
        search.ef = wanted
        search.exact = exact
        search.threads = workers
        if filter is not None and count:
            sets = IdSets(as_filters(filter, count))
            sets.apply(&search)
        if without is not None:
            if <size_t> cnp.PyArray_SIZE(without) != count:
                raise ConfigError("without: expected an id for each query")
            search.without = <const int64_t *> cnp.PyArray_DATA(without)
        if plans is not None:
            if plans.count != count:
                raise ConfigError("queries: their number changed meanwhile")
            search.plans_out = plans.plans

        with nogil:
            status = sutra_index_search(self.index, &search, ids, distances, &fault)

        check_fault(status, &fault, None, "search")
        return result

    def _get(self, id):
        cdef cnp.npy_intp length = self.dim
        cdef cnp.ndarray out = cnp.PyArray_EMPTY(1, &length, cnp.NPY_FLOAT32, 0)
        cdef float *data = <float *> cnp.PyArray_DATA(out)
        cdef int64_t number = check_count(id, "id", -(2**63), 2**63 - 1)
        cdef int status
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        self._enter()
        with nogil:
            status = sutra_index_get(self.index, number, data)
        if status == SUTRA_E_NOT_FOUND:
            raise NotFoundError(f"no vector has the id {number}", id=number)
        check_fault(status, &fault)
        return out

    def __contains__(self, id):
        cdef sutra_bool found = False
        cdef int64_t number
        cdef int status
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        self._enter()
        if not hasattr(id, "__index__") or not 0 <= int(id) < 2**63:
            return False
        number = id
        with nogil:
            status = sutra_index_contains(self.index, number, &found)
        check_fault(status, &fault)
        return bool(found)

    cdef sutra_index_stats_s _read_stats(self) except *:
        cdef sutra_index_stats_s stats
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        self._enter()
        with nogil:
            status = sutra_index_stats(self.index, &stats)
        check_fault(status, &fault)
        return stats

    def __len__(self):
        return self._read_stats().count

    def _ids(self):
        cdef cnp.npy_intp length
        cdef cnp.ndarray out
        cdef int64_t *data
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status = SUTRA_E_ARGUMENT
        while status == SUTRA_E_ARGUMENT:  # some were removed since they were counted
            length = len(self)
            out = cnp.PyArray_EMPTY(1, &length, cnp.NPY_INT64, 0)
            data = <int64_t *> cnp.PyArray_DATA(out)
            with nogil:
                status = sutra_index_ids(self.index, 0, length, data)
        check_fault(status, &fault)
        return out

    def _stats(self):
        return self._read_stats()

    def _save(self, path):
        cdef bytes name = os.fsencode(path)
        cdef const char *text = name
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        self._enter_alone()
        with nogil:
            status = sutra_index_save(self.index, text)
        check_fault(status, &fault, path)

    def _set_tuned_ef(self, ef):
        cdef uint32_t value = check_count(ef, "ef", 0, 2**31 - 1)
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        self._enter()
        with nogil:
            status = sutra_index_set_tuned_ef(self.index, value)
        check_fault(status, &fault)

    def _verify(self, bint deep):
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        self._enter_alone()
        with nogil:
            status = sutra_index_verify(self.index, deep, &fault)
        check_fault(status, &fault, self.path)

    def close(self):
        """Release memory and mapping, and keep the file; what was not saved is lost.

        Waits for calls in flight. Closing twice is no error; any other call on a closed index
        raises ClosedError.
        """
        if self.index == NULL:
            return
        self._enter_alone()
        with nogil:
            sutra_index_close(self.index)
