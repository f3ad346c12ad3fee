# SPDX-License-Identifier: Apache-2.0
"""A durable store of the C core as a Python class: convert, check, release the GIL, map errors.

`sutra.Store` (store.py) holds a `StoreCore` and adds what is policy. The core orders calls in
flight against `close`; memory is freed with the last reference, views of the store included.
After a fork the child only lets go of what the parent has locked.
"""

import os
import weakref

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset
from posix.unistd cimport getpid

from sutra._c.io_table cimport sutra_io_posix
from sutra._c.ops cimport SUTRA_OP_FIELD, SUTRA_OP_SET, sutra_op
from sutra._c.platform cimport sutra_cores_usable
from sutra._c.status cimport (
    SUTRA_E_CAPACITY,
    SUTRA_E_CONFIG,
    SUTRA_E_DUPLICATE_ID,
    SUTRA_E_LOCKED,
    SUTRA_E_NOT_FOUND,
    SUTRA_E_VECTOR,
    SUTRA_FAULT_NONE,
    SUTRA_OK,
    sutra_fault,
    sutra_strerror,
)
from sutra._c.store cimport (
    SUTRA_STORE_APPEND,
    SUTRA_STORE_EXCLUSIVE,
    SUTRA_STORE_NAME_BYTES,
    SUTRA_STORE_READ,
    SUTRA_STORE_WRITE,
    SUTRA_SYNC_FULL,
    SUTRA_SYNC_INTERVAL,
    SUTRA_SYNC_OFF,
    sutra_repair_report,
    sutra_store,
    sutra_store_abandon,
    sutra_store_checkpoint,
    sutra_store_close,
    sutra_store_compact,
    sutra_store_durable_lsn,
    sutra_store_flush,
    sutra_store_free,
    sutra_store_holder,
    sutra_store_open,
    sutra_store_options,
    sutra_store_reconcile,
    sutra_store_refresh,
    sutra_store_repair,
    sutra_store_reserve_numbers,
    sutra_store_restore,
    sutra_store_settle,
    sutra_store_snapshot,
    sutra_store_stats,
    sutra_store_stats_s,
    sutra_store_verify,
    sutra_store_view,
    sutra_store_view_begin,
    sutra_store_view_pin,
    sutra_store_visible_lsn,
    sutra_store_wait,
    sutra_store_write,
)
from sutra._c.index cimport sutra_bool
from sutra._check cimport check, check_fault
from sutra._kernels cimport chosen_kernels
from sutra._ops cimport Operation
from sutra._view cimport wrap

from sutra._arrays import check_choice
from sutra._fields import unfit_text
from sutra._index import METRIC_NAMES, METRICS, QUANTIZATION_NAMES, QUANTIZATIONS, RESIDENTS
from sutra.errors import (
    CapacityError,
    ClosedError,
    ConfigError,
    DuplicateIdError,
    InvalidVectorError,
    LockedError,
    NotFoundError,
)

MODES = {
    "a": SUTRA_STORE_APPEND, "r": SUTRA_STORE_READ, "w": SUTRA_STORE_WRITE,
    "x": SUTRA_STORE_EXCLUSIVE,
}
SYNCS = {"full": SUTRA_SYNC_FULL, "interval": SUTRA_SYNC_INTERVAL, "off": SUTRA_SYNC_OFF}
ctypedef int (*store_fn)(sutra_store *store) noexcept nogil
cdef enum:
    HOLDER_BYTES = 512
# Open stores, so that a forked child can let go of their locks.
OPEN = weakref.WeakSet()


def _after_fork_in_child():
    for core in list(OPEN):
        core.abandon_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def option_text(name, uint64_t value):
    """Return the value of an option as a caller writes it."""
    if name == "metric":
        return repr(METRIC_NAMES.get(value, value))
    if name == "quantization":
        return repr(QUANTIZATION_NAMES.get(value, value))
    return repr(bool(value)) if name == "keep_originals" else str(value)


cdef str file_of(str folder, const char *name):
    """The file that a fault names, or the store if it names none."""
    if name[0] == 0:
        return folder
    text = os.fsdecode(<bytes> name)
    return text if folder is None else os.path.join(folder, text)


cdef str holder_of(bytes path):
    cdef char text[HOLDER_BYTES]
    cdef const char *folder = path
    cdef int status
    memset(text, 0, HOLDER_BYTES)
    with nogil:
        status = sutra_store_holder(&sutra_io_posix, folder, text, HOLDER_BYTES)
    return None if status != SUTRA_OK else (<bytes> text).decode("utf-8", "replace").strip()


@cython.final
cdef class StoreCore:
    """An open store.

    Parameters
    ----------
    path : str or None
        Absolute; None for memory.
    mode, sync, resident : str
        See `sutra.open`.
    metric, quantization : str or None
        None: what is stored.
    keep_originals : bool or None
        The same.
    dim, m, ef_construction : int
        0: what is stored.
    threads, max_bytes, reconcile_interval_ms, flush_threshold : int
        See `sutra.open`; already checked.
    holder : bytes
        What others are told about who has the store: a line.
    """

    cdef sutra_store *store
    cdef readonly str path
    cdef readonly str mode
    cdef readonly str sync
    cdef readonly str metric
    cdef readonly unsigned cores
    cdef readonly bint closed
    cdef readonly bint secure_delete
    cdef uint32_t known_dim  # 0: ask again
    cdef long process  # that opened the store
    cdef object __weakref__

    def __cinit__(
        self, path, mode, sync, resident, metric, quantization, keep_originals, uint32_t dim,
        uint32_t m, uint32_t ef_construction, unsigned threads, uint64_t max_bytes,
        uint32_t reconcile_interval_ms, uint32_t flush_threshold, bint auto_compact,
        bint secure_delete, bytes holder,
    ):
        cdef sutra_store_options options
        cdef sutra_store_stats_s stats
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef char file[SUTRA_STORE_NAME_BYTES]
        cdef bytes encoded = None if path is None else os.fsencode(path)
        cdef const char *folder = NULL
        cdef int status
        self.process = getpid()
        memset(&options, 0, sizeof(options))
        memset(file, 0, SUTRA_STORE_NAME_BYTES)
        options.mode = check_choice(MODES, mode, "mode")
        options.sync = check_choice(SYNCS, sync, "sync")
        options.resident = check_choice(RESIDENTS, resident, "resident")
        options.metric = -1 if metric is None else check_choice(METRICS, metric, "metric")
        options.quantization = -1
        if quantization is not None:
            options.quantization = check_choice(QUANTIZATIONS, quantization, "quantization")
        options.keep_originals = -1
        if keep_originals is not None:
            if not isinstance(keep_originals, bool):
                raise TypeError(
                    f"keep_originals: expected bool, not {type(keep_originals).__name__}")
            options.keep_originals = keep_originals
            if not keep_originals and quantization == "none":
                raise ConfigError(
                    "keep_originals=False needs quantization 'u8' or 'u4': without codes nothing "
                    "is left")
        if m not in (0, 8, 16, 24, 32):
            raise ConfigError(f"m={m}: expected 8, 16, 24 or 32")
        options.dim = dim
        options.m = m
        options.ef_construction = ef_construction
        options.threads = threads
        options.max_bytes = max_bytes
        options.reconcile_interval_ms = reconcile_interval_ms
        options.flush_threshold = flush_threshold
        options.no_compaction = not auto_compact
        options.holder = holder
        if encoded is not None:
            folder = encoded
        with nogil:
            status = sutra_store_open(&sutra_io_posix, chosen_kernels(), folder, &options,
                                      &self.store, file, &fault)
        if status == SUTRA_E_LOCKED:
            other = holder_of(encoded)
            raise LockedError(
                f"{path}: open for writing elsewhere: {other or 'the holder left no word'} "
                "(mode='r' reads beside it)", holder=other)
        if status == SUTRA_E_CONFIG and fault.what != NULL:
            name = fault.what.decode()
            raise ConfigError(
                f"{name}={option_text(name, fault.found)}: the store at {path} has "
                f"{name}={option_text(name, fault.expected)}")
        check_fault(status, &fault, file_of(path, file))
        self.path = path
        self.mode = mode
        self.sync = sync
        self.secure_delete = secure_delete
        self.cores = sutra_cores_usable()
        check(sutra_store_stats(self.store, &stats))
        self.metric = METRIC_NAMES[stats.options.metric]
        self.known_dim = stats.options.dim
        OPEN.add(self)

    def __dealloc__(self):
        # In a forked child the locks may be held by threads that were not copied: leave it all.
        if self.store != NULL and getpid() == self.process:
            if not self.closed:
                sutra_store_abandon(self.store)
            sutra_store_free(self.store)

    def __reduce__(self):
        raise TypeError("a StoreCore cannot be pickled")

    cdef int enter(self) except -1:
        if getpid() != self.process:
            raise ClosedError(
                "the store was opened before a fork: its lock and threads stayed with the parent; "
                "open it again in the child")
        if self.closed:
            raise ClosedError("the store is closed")
        return 0

    cdef int call(self, store_fn function) except -1:
        cdef int status
        self.enter()
        with nogil:
            status = function(self.store)
        return check(status, self.path)

    @property
    def alive(self):
        """Whether the store is open, and not the parent's."""
        return not self.closed and getpid() == self.process

    # ---- lifetime

    cdef bint close_once(self) except *:
        """Of all who close, in this process, one is told to."""
        cdef bint first
        with cython.critical_section(self):
            first = not self.closed and getpid() == self.process
            if first:
                self.closed = True
        if first:
            OPEN.discard(self)
        return first

    def close(self):
        """Checkpoint and close; what the checkpoint met is raised, the store is closed anyway."""
        cdef int status
        if not self.close_once():
            return
        with nogil:
            status = sutra_store_close(self.store)
        check(status, self.path)

    def abandon(self):
        """Close without another write, as a killed process would."""
        if self.close_once():
            with nogil:
                sutra_store_abandon(self.store)

    def abandon_in_child(self):
        """In a forked child: give up the inherited descriptors, and with them the lock."""
        if not self.closed and getpid() != self.process:
            self.closed = True
            sutra_store_abandon(self.store)

    # ---- writing

    def write(self, list operations, bint wait=True):
        """Do all operations or nothing; return the LSN and (count, first number) of each."""
        cdef size_t count = <size_t> len(operations), row
        cdef uint64_t lsn = 0
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef sutra_op *ops
        cdef int status
        self.enter()
        ops = <sutra_op *> PyMem_Malloc((count + 1) * sizeof(sutra_op))
        if ops == NULL:
            raise MemoryError
        try:
            for row in range(count):
                ops[row] = (<Operation?> operations[row]).op
            with nogil:
                status = sutra_store_write(self.store, ops, count, wait, &lsn, &fault)
            if status != SUTRA_OK:
                self.refuse(status, &fault, operations)
            return lsn, [(ops[row].done, ops[row].first_number) for row in range(count)]
        finally:
            PyMem_Free(ops)

    cdef int refuse(self, int status, const sutra_fault *fault, list operations) except -1:
        """Raise what a write met, naming the id or the row."""
        cdef Operation operation = None
        where = ""
        if fault.expected < <uint64_t> len(operations):
            operation = operations[<Py_ssize_t> fault.expected]
            if len(operations) > 1:
                where = f" (operation {fault.expected} of the batch)"
        if operation is not None and fault.row >= 0:
            if status == SUTRA_E_DUPLICATE_ID:
                id = operation.id_of(fault.row, False)
                raise DuplicateIdError(f"id {id!r} is given twice or in use{where}", id=id)
            if status == SUTRA_E_NOT_FOUND:
                id = operation.id_of(fault.row, fault.found == 1)
                raise NotFoundError(f"row {fault.row}: no concept has the id {id!r}{where}", id=id)
            if status == SUTRA_E_VECTOR:
                raise InvalidVectorError(
                    f"vectors: row {fault.row} holds NaN or infinity, or is too long{where}",
                    row=fault.row)
            if status == SUTRA_E_CAPACITY and operation.op.kind == SUTRA_OP_SET:
                raise CapacityError(f"settings: expected at most {fault.found}{where}")
            if status == SUTRA_E_CAPACITY and operation.op.kind == SUTRA_OP_FIELD:
                raise CapacityError(f"fields: expected at most {fault.found}{where}")
        if operation is not None and status == SUTRA_E_CONFIG and fault.what != NULL:
            raise ConfigError(unfit_text(
                self.view(), operations, operation, fault.what.decode(), fault.row, fault.found,
            ) + where)
        return check_fault(status, fault, self.path)

    def reserve_numbers(self, size_t count):
        """Take so many ids that will not be given again, and return the first."""
        cdef int64_t first = -1
        cdef int status
        self.enter()
        with nogil:
            status = sutra_store_reserve_numbers(self.store, count, &first)
        check(status, self.path)
        return first

    @property
    def durable_lsn(self):
        """The last write known to be on the medium."""
        self.enter()
        return sutra_store_durable_lsn(self.store)

    @property
    def visible_lsn(self):
        """The last write that readers see."""
        self.enter()
        return sutra_store_visible_lsn(self.store)

    def wait(self, uint64_t lsn):
        """Wait until everything up to lsn is durable."""
        cdef int status
        self.enter()
        with nogil:
            status = sutra_store_wait(self.store, lsn)
        check(status, self.path)

    def flush(self):
        """Make everything written so far durable."""
        self.call(sutra_store_flush)

    # ---- reading

    def view(self, bint pinned=False):
        """Return the state as acknowledged now."""
        cdef sutra_store_view *view = NULL
        cdef int status
        self.enter()
        with nogil:
            if pinned:
                status = sutra_store_view_pin(self.store, &view)
            else:
                status = sutra_store_view_begin(self.store, &view)
        check(status, self.path)
        return wrap(view, self, self.metric)

    @property
    def dim(self):
        """Length of vectors; 0 if there have been none."""
        self.enter()
        if self.known_dim == 0:
            self.known_dim = self.view().dim
        return self.known_dim

    # ---- care

    def reconcile(self):
        """Do one round of background work; return whether there is more."""
        cdef sutra_bool busy = False
        cdef int status
        self.enter()
        with nogil:
            status = sutra_store_reconcile(self.store, &busy)
        check(status, self.path)
        return bool(busy)

    def settle(self):
        """Link everything that is pending."""
        self.call(sutra_store_settle)

    def checkpoint(self):
        """Seal what the log holds."""
        self.call(sutra_store_checkpoint)

    def compact(self):
        """Rewrite the store to what is visible."""
        self.call(sutra_store_compact)

    def refresh(self):
        """See everything that was acknowledged before the call; return whether that is new."""
        cdef sutra_bool changed = False
        cdef int status
        self.enter()
        if self.mode != "r":
            return False
        with nogil:
            status = sutra_store_refresh(self.store, &changed)
        check(status, self.path)
        return bool(changed)

    def snapshot(self, bytes directory):
        """Copy a consistent state to a directory."""
        cdef const char *folder = directory
        cdef int status
        self.enter()
        with nogil:
            status = sutra_store_snapshot(self.store, folder)
        check(status, directory)

    def verify(self, bint deep):
        """Check everything, or raise CorruptError."""
        cdef char file[SUTRA_STORE_NAME_BYTES]
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        cdef int status
        memset(file, 0, SUTRA_STORE_NAME_BYTES)
        self.enter()
        with nogil:
            status = sutra_store_verify(self.store, deep, file, &fault)
        check_fault(status, &fault, file_of(self.path, file))

    def stats(self):
        """Return the fields of struct sutra_store_stats as a dict, options included."""
        cdef sutra_store_stats_s stats
        cdef int status
        self.enter()
        with nogil:
            status = sutra_store_stats(self.store, &stats)
        check(status, self.path)
        return stats


def status_text(int status):
    """Return an English sentence for a status code; None for success."""
    if status == SUTRA_OK:
        return None
    return os.strerror(status) if status > 0 else sutra_strerror(status).decode("ascii")


def restore(bytes src, bytes dst):
    """Copy a snapshot, or any closed store, to a new directory, checking it on the way."""
    cdef char file[SUTRA_STORE_NAME_BYTES]
    cdef const char *source = src
    cdef const char *target = dst
    cdef sutra_fault fault = SUTRA_FAULT_NONE
    cdef int status
    memset(file, 0, SUTRA_STORE_NAME_BYTES)
    with nogil:
        status = sutra_store_restore(&sutra_io_posix, chosen_kernels(), source, target, file,
                                     &fault)
    check_fault(status, &fault, file_of(os.fsdecode(src), file))


def repair(bytes src, bytes dst):
    """Save what can be read of a store into a new one; return the core's report as a dict."""
    cdef char file[SUTRA_STORE_NAME_BYTES]
    cdef const char *source = src
    cdef const char *target = dst
    cdef sutra_repair_report report
    cdef sutra_fault fault = SUTRA_FAULT_NONE
    cdef int status
    memset(file, 0, SUTRA_STORE_NAME_BYTES)
    with nogil:
        status = sutra_store_repair(&sutra_io_posix, chosen_kernels(), source, target, &report,
                                    file, &fault)
    check_fault(status, &fault, file_of(os.fsdecode(src), file))
    return report
