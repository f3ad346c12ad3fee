# SPDX-License-Identifier: Apache-2.0
"""The index of the C core as a Python class: convert, check, release the GIL, map errors.

`sutra.Index` (index.py) derives from `IndexCore` and adds what is policy. Calls in flight are
counted by the core's lock: `close` waits for them. Only one guard is Python's business: a
progress callback that calls back into its own index would wait for itself, and is told so.
"""

import os

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

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
    sutra_index_contains,
    sutra_index_free,
    sutra_index_get,
    sutra_index_ids,
    sutra_index_new,
    sutra_index_open,
    sutra_index_options,
    sutra_index_save,
    sutra_index_search,
    sutra_index_set_tuned_ef,
    sutra_index_stats,
    sutra_index_stats_s,
    sutra_index_verify,
)
from sutra._c.platform cimport sutra_cores_usable
from sutra._c.status cimport (
    SUTRA_E_CANCELLED,
    SUTRA_E_CONFIG,
    SUTRA_E_NOT_FOUND,
    SUTRA_FAULT_NONE,
    sutra_fault,
)
from sutra._check cimport check_fault
from sutra._kernels cimport chosen_kernels

cimport cython

cimport numpy as cnp

from sutra._arrays import as_rows, check_count
from sutra._kernels import tiers
from sutra.errors import ClosedError, ConfigError, NotFoundError, SutraError

cnp.import_array()

cdef extern from "pythread.h" nogil:
    unsigned long PyThread_get_thread_ident()

METRICS = {"cosine": SUTRA_METRIC_COSINE, "l2": SUTRA_METRIC_L2, "ip": SUTRA_METRIC_IP}
QUANTIZATIONS = {"none": SUTRA_QUANT_NONE, "u8": SUTRA_QUANT_U8, "u4": SUTRA_QUANT_U4}
RESIDENTS = {
    "auto": SUTRA_RESIDENT_AUTO, "arena": SUTRA_RESIDENT_ARENA, "mapped": SUTRA_RESIDENT_MAPPED,
}
cdef dict METRIC_NAMES = {number: name for name, number in METRICS.items()}
cdef dict QUANTIZATION_NAMES = {number: name for name, number in QUANTIZATIONS.items()}


cdef object _one_of(dict choices, object value, str name):
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"{name}={value!r}: expected one of {', '.join(map(repr, choices))}")
    return choices[value]


@cython.final
cdef class SearchResult:
    """What a search found: `ids` and `distances`, nearest first.

    Unpacks as ``ids, distances = result``. Attributes are read-only; the arrays are the caller's.

    Attributes
    ----------
    ids : (k,) or (q, k) array of int64
        -1 where fewer than k vectors exist.
    distances : (k,) or (q, k) array of float32
        Ascending; infinity where `ids` is -1.
    """

    cdef readonly cnp.ndarray ids
    cdef readonly cnp.ndarray distances

    def __len__(self):
        return 2

    def __getitem__(self, item):
        return (self.ids, self.distances)[item]

    def __iter__(self):
        return iter((self.ids, self.distances))

    def __repr__(self):
        return f"SearchResult(ids={self.ids!r}, distances={self.distances!r})"


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
    cdef unsigned long adding  # ident of the thread inside add; 0: none

    def __cinit__(self, *args, **kwargs):
        self.index = NULL
        self.path = None

    def __dealloc__(self):
        sutra_index_free(self.index)

    def __reduce__(self):
        raise TypeError(f"{type(self).__name__} cannot be pickled: save it and open the file")

    cdef int _create(self, dim, metric, m, ef_construction, quantization, keep_originals,
                     seed) except -1:
        cdef sutra_index_options options
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        memset(&options, 0, sizeof(options))
        options.dim = check_count(dim, "dim", 1, 2**32 - 1)
        options.metric = _one_of(METRICS, metric, "metric")
        options.m = check_count(m, "m", 0, 2**32 - 1)
        options.ef_construction = check_count(ef_construction, "ef_construction", 0, 2**32 - 1)
        options.quantization = _one_of(QUANTIZATIONS, quantization, "quantization")
        options.keep_originals = bool(keep_originals)
        options.seed = check_count(seed, "seed", 0, 2**64 - 1)
        status = sutra_index_new(chosen_kernels(), &options, &self.index, &fault)
        if status == SUTRA_E_CONFIG:
            raise ConfigError(_config_message(fault.what.decode(), options))
        check_fault(status, &fault)
        return self._finish(None)

    cdef int _load(self, path, resident) except -1:
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef sutra_index *opened = NULL
        cdef bytes name = os.fsencode(path)
        cdef const char *text = name
        cdef int status, mode = _one_of(RESIDENTS, resident, "resident")
        with nogil:
            status = sutra_index_open(chosen_kernels(), text, mode, &opened, &fault)
        check_fault(status, &fault, path)
        self.index = opened
        return self._finish(os.fsdecode(path))

    cdef int _finish(self, path) except -1:
        cdef sutra_index_stats_s stats
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        check_fault(sutra_index_stats(self.index, &stats), &fault)
        self.dim = stats.options.dim
        self.metric = METRIC_NAMES[stats.options.metric]
        self.path = path
        self.cores = sutra_cores_usable()
        return 0

    cdef inline int _enter(self) except -1:
        if self.index == NULL:
            raise ClosedError("the index was never opened")
        if self.adding and self.adding == PyThread_get_thread_ident():
            raise SutraError("the index is being changed by the call that reports this progress")
        return 0

    def _new(self, dim, metric, m, ef_construction, quantization, keep_originals, seed):
        self._create(dim, metric, m, ef_construction, quantization, keep_originals, seed)

    def _open(self, path, resident):
        self._load(path, resident)

    def _threads(self, threads):
        """0 means all cores this process may use."""
        return check_count(threads, "threads", 0, 1024) or self.cores

    def _add(self, cnp.ndarray vectors, ids, threads, callback):
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
        self._enter()
        progress.callback = callback
        if ids is not None:
            given = <const int64_t *> cnp.PyArray_DATA(<cnp.ndarray> ids)
        self.adding = PyThread_get_thread_ident()
        try:
            with nogil:
                status = sutra_index_add(self.index, data, stride, count, given, out_data, workers,
                                         _report, context, &fault)
        finally:
            self.adding = 0
        if status == SUTRA_E_CANCELLED and progress.error is not None:
            raise progress.error
        check_fault(status, &fault, None, "add")
        return out

    def search(self, queries, k=10, *, ef=None, threads=0, bint exact=False):
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

        self._enter()
        width = k if type(k) is int and 0 < k <= SUTRA_K_MAX else check_count(
            k, "k", 1, SUTRA_K_MAX)
        if ef is not None:
            wanted = check_count(ef, "ef", 1, 2**31 - 1)
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

        with nogil:
            status = sutra_index_search(self.index, data, self.dim, count, width, wanted, exact,
                                        workers, ids, distances, &fault)

        check_fault(status, &fault, None, "search")
        return result

    def get(self, id):
        cdef cnp.npy_intp length = self.dim
        cdef cnp.ndarray out = cnp.PyArray_EMPTY(1, &length, cnp.NPY_FLOAT32, 0)
        cdef float *data = <float *> cnp.PyArray_DATA(out)
        cdef int64_t number = _checked_id(id)
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

    def ids(self):
        cdef cnp.npy_intp length = len(self)
        cdef cnp.ndarray out = cnp.PyArray_EMPTY(1, &length, cnp.NPY_INT64, 0)
        cdef int64_t *data = <int64_t *> cnp.PyArray_DATA(out)
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        with nogil:
            status = sutra_index_ids(self.index, 0, length, data)
        check_fault(status, &fault)
        return out

    def stats(self):
        cdef sutra_index_stats_s s = self._read_stats()
        count = s.count
        parts = {
            "links": (s.links_bytes, s.links_resident),
            "codes": (s.codes_bytes, s.codes_resident),
            "corrections": (s.corrections_bytes, s.corrections_resident),
            "ids": (s.ids_bytes, s.ids_resident),
            "originals": (s.originals_bytes, s.originals_resident),
        }
        return {
            "count": count,
            "dim": s.options.dim,
            "metric": METRIC_NAMES[s.options.metric],
            "m": s.options.m,
            "ef_construction": s.options.ef_construction,
            "quantization": QUANTIZATION_NAMES[s.options.quantization],
            "keep_originals": bool(s.options.keep_originals),
            "seed": s.options.seed,
            "graph": bool(s.linked),
            "levels": s.levels,
            "tuned_ef": s.tuned_ef or None,
            "bytes_per_vector": {
                name: round(pair[0] / count, 1) if count else 0.0 for name, pair in parts.items()
            },
            "resident_bytes": {name: pair[1] for name, pair in parts.items()},
            "mapped_bytes": s.mapped_bytes,
            "resident": "arena" if s.arena or not s.mapped_bytes else "mapped",
            "kernels": tiers()["chosen"],
            "path": self.path,
        }

    def _save(self, path):
        cdef bytes name = os.fsencode(path)
        cdef const char *text = name
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        self._enter()
        with nogil:
            status = sutra_index_save(self.index, text)
        check_fault(status, &fault, path)

    def _set_tuned_ef(self, ef):
        cdef uint32_t value = check_count(ef, "ef", 0, 2**31 - 1)
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        self._enter()
        check_fault(sutra_index_set_tuned_ef(self.index, value), &fault)

    def _verify(self, bint deep):
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        self._enter()
        with nogil:
            status = sutra_index_verify(self.index, deep, &fault)
        check_fault(status, &fault, self.path)

    def close(self):
        """Release memory and mapping. Waits for calls in flight; closing twice is no error."""
        if self.index == NULL:
            return
        self._enter()
        with nogil:
            sutra_index_close(self.index)


cdef int64_t _checked_id(object id) except? -2:
    value = check_count(id, "id", -(2**63), 2**63 - 1)
    return value


cdef str _config_message(str what, sutra_index_options options):
    if what == "dim":
        return f"dim={options.dim}: expected 1 to 16384"
    if what == "m":
        return f"m={options.m}: expected 8, 16, 24 or 32"
    if what == "ef_construction":
        return f"ef_construction={options.ef_construction}: expected 1 to 4096"
    return "keep_originals=False needs quantization 'u8' or 'u4': without codes nothing is left"
