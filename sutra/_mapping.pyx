# SPDX-License-Identifier: Apache-2.0
"""Files as memory.

Everything that may wait for a disk runs with the GIL released. Such a call counts as a user of
the mapping, as an exported view does, so that `close` never unmaps under it.
"""

import operator
import os
import sys

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE
from libc.stdint cimport int64_t, uint64_t

from sutra._c.file cimport sutra_file_close, sutra_file_open_read
from sutra._c.mapping cimport (
    SUTRA_HINT_DONTNEED,
    SUTRA_HINT_HUGEPAGE,
    SUTRA_HINT_POPULATE,
    SUTRA_HINT_RANDOM,
    SUTRA_HINT_SEQUENTIAL,
    SUTRA_HINT_WILLNEED,
    SUTRA_MAP_PRIVATE,
    SUTRA_MAP_SHARED,
    sutra_mapping,
    sutra_mapping_advise,
    sutra_mapping_close,
    sutra_mapping_open,
    sutra_resident_bytes,
)
from sutra._c.platform cimport sutra_page_bytes
from sutra._c.status cimport (
    SUTRA_E_TRUNCATED,
    SUTRA_FAULT_NONE,
    SUTRA_OK,
    sutra_fault,
)
from sutra._check cimport check, check_fault

from sutra.errors import ClosedError, ConfigError

cdef dict HINTS = {
    "sequential": SUTRA_HINT_SEQUENTIAL,
    "random": SUTRA_HINT_RANDOM,
    "willneed": SUTRA_HINT_WILLNEED,
    "dontneed": SUTRA_HINT_DONTNEED,
    "hugepage": SUTRA_HINT_HUGEPAGE,
    "populate": SUTRA_HINT_POPULATE,
}
cdef object SIZE_MAX = sys.maxsize


cdef Py_ssize_t checked_size(object value, str name) except -1:
    number = operator.index(value)
    if not 0 <= number <= SIZE_MAX:
        raise ConfigError(f"{name} must be from 0 to {SIZE_MAX}, not {number}")
    return number


cdef int map_range(
    const char *path, uint64_t offset, size_t nbytes, bint to_end, int mode,
    sutra_mapping *mapping, uint64_t *file_bytes
) noexcept nogil:
    """Map `nbytes` bytes, of which 0 is a possible number; to_end maps the rest instead."""
    cdef int fd
    cdef int status = sutra_file_open_read(path, &fd, file_bytes)
    if status != SUTRA_OK:
        return status
    sutra_file_close(fd)
    if to_end or nbytes > 0:
        return sutra_mapping_open(path, offset, nbytes, mode, mapping)
    return SUTRA_OK if offset <= file_bytes[0] else SUTRA_E_TRUNCATED


@cython.final
cdef class MappedFile:
    """Map a file, or a part of it, into memory and lend it through the buffer protocol.

    The bytes appear as a one-dimensional array of unsigned bytes: ``memoryview(file)`` and
    ``numpy.asarray(file)`` are views without a copy. A view keeps the mapping alive.

    Parameters
    ----------
    path : path-like
        A regular file. It may be closed, renamed or replaced once mapped.
    mode : {"shared", "private"}, default "shared"
        "shared" is read-only and shows what others write to the file. "private" is writable:
        changed pages are copied and stay in this process, they never reach the file.
    offset : int, default 0
        First byte of the file to map: a multiple of the page size (4, 16 or 64 KiB; a multiple
        of 65,536 is one everywhere).
    nbytes : int, optional
        How many bytes to map; by default all from `offset` to the end of the file. An empty
        file gives an empty mapping.

    Raises
    ------
    OSError
        If the system refuses to open or map the file: FileNotFoundError, PermissionError,
        IsADirectoryError and so on, with ``errno`` and ``filename``.
    CorruptError
        If the file is shorter than ``offset + nbytes``.
    ConfigError
        If `offset` is not a multiple of the page size, or an argument is not one of the above.

    See Also
    --------
    AlignedBuffer : Memory that is not a file.

    Notes
    -----
    Truncating a file while it is mapped makes a later read of the lost pages end the process
    with SIGBUS; nothing here can turn that into an exception. Replace files by renaming, as
    everything in sutra does. ``advise("populate")`` reports such pages as an OSError instead.

    Opening takes the same short time for a file of any size: pages are read when they are
    first touched.

    Examples
    --------
    >>> import os, tempfile
    >>> from sutra import MappedFile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     file.write(b"hello")
    ...     file.flush()
    ...     with MappedFile(file.name) as mapped:
    ...         bytes(mapped)
    5
    b'hello'
    """

    def __cinit__(self, path, *, mode="shared", offset=0, nbytes=None):
        cdef size_t page_bytes = sutra_page_bytes()
        cdef uint64_t start
        cdef size_t size = 0
        cdef bint to_end = nbytes is None
        cdef int map_mode = SUTRA_MAP_SHARED
        cdef uint64_t file_bytes = 0
        cdef int status
        cdef const char *raw_path
        cdef sutra_fault fault = SUTRA_FAULT_NONE
        self.is_closed = True
        self.given_path = os.fspath(path)
        encoded = os.fsencode(self.given_path)
        if b"\0" in encoded:
            raise ConfigError(f"path must not hold a null character: {path!r}")
        if not isinstance(mode, str) or mode not in ("shared", "private"):
            raise ConfigError(f'mode must be "shared" or "private", not {mode!r}')
        start = <uint64_t> checked_size(offset, "offset")
        if start % page_bytes:
            raise ConfigError(
                f"offset must be a multiple of the page size ({page_bytes} bytes), not {offset}"
            )
        if nbytes is not None:
            size = <size_t> checked_size(nbytes, "nbytes")
        self.is_private = mode == "private"
        if self.is_private:
            map_mode = SUTRA_MAP_PRIVATE

        raw_path = encoded
        with nogil:
            status = map_range(
                raw_path, start, size, to_end, map_mode, &self.mapping, &file_bytes
            )
        if status == SUTRA_E_TRUNCATED:
            fault.what = b"size of the file"
            fault.offset = <int64_t> file_bytes
            fault.expected = start + size
            fault.found = file_bytes
        check_fault(status, &fault, self.given_path)
        self.is_closed = False

    def __dealloc__(self):
        sutra_mapping_close(&self.mapping)

    cdef int require_open(self) except -1:
        if self.is_closed:
            raise ClosedError("the mapping is closed")
        return 0

    cdef int acquire(self) except -1:
        with cython.critical_section(self):
            self.require_open()
            self.users += 1
        return 0

    cdef void release(self) noexcept:
        with cython.critical_section(self):
            self.users -= 1

    def advise(self, hint, offset=0, nbytes=None):
        """Tell the system how a range will be used.

        Parameters
        ----------
        hint : {"sequential", "random", "willneed", "dontneed", "hugepage", "populate"}
            "sequential" and "random" set how far to read ahead; "willneed" starts reading in
            the background; "dontneed" lets the pages go; "hugepage" asks for 2 MiB pages;
            "populate" reads everything now, and raises where touching a page would signal.
        offset : int, default 0
            First byte of the range in the mapping. It need not be aligned.
        nbytes : int, optional
            Size of the range; by default to the end of the mapping.

        Returns
        -------
        str or None
            None if the hint was passed on, else why nothing was done: not every system has
            every hint, and "dontneed" on a private mapping would undo its changes.

        Raises
        ------
        ConfigError
            If there is no such hint, or the range is not inside the mapping.
        ClosedError
            If the mapping is closed.
        OSError
            If "populate" could not read a page.

        Notes
        -----
        The GIL is released. Until this returns, `close` in another thread raises BufferError.
        """
        cdef Py_ssize_t start = checked_size(offset, "offset")
        cdef Py_ssize_t size = 0
        cdef const char *reason = NULL
        cdef int code
        cdef int status
        if not isinstance(hint, str) or hint not in HINTS:
            raise ConfigError(f"hint must be one of {', '.join(HINTS)}, not {hint!r}")
        code = HINTS[hint]
        if nbytes is not None:
            size = checked_size(nbytes, "nbytes")
        self.acquire()

        try:
            if start > <Py_ssize_t> self.mapping.bytes or (
                size > <Py_ssize_t> self.mapping.bytes - start
            ):
                raise ConfigError(
                    f"the range from {start} to {start + size} is not inside the mapping of "
                    f"{self.mapping.bytes} bytes"
                )
            if nbytes is not None and size == 0:
                start = <Py_ssize_t> self.mapping.bytes  # in C, 0 means to the end

            with nogil:
                status = sutra_mapping_advise(
                    &self.mapping, <size_t> start, <size_t> size, code, &reason
                )

            check(status, self.given_path)
        finally:
            self.release()
        return None if reason == NULL else reason.decode("ascii")

    def close(self):
        """Unmap the file. Closing a closed mapping does nothing.

        Raises
        ------
        BufferError
            If views are in use, or another thread is inside a call.
        """
        cdef sutra_mapping mapping
        with cython.critical_section(self):
            if self.is_closed:
                return
            if self.users > 0:
                raise BufferError(
                    f"cannot close the mapping: {self.users} views or calls are in progress"
                )
            self.is_closed = True
            mapping = self.mapping
            self.mapping.data = NULL
            self.mapping.bytes = 0
        with nogil:
            sutra_mapping_close(&mapping)

    @property
    def path(self):
        """The path as given."""
        return self.given_path

    @property
    def mode(self):
        """The mode: "shared" or "private"."""
        return "private" if self.is_private else "shared"

    @property
    def offset(self):
        """First byte of the file that is mapped."""
        return self.mapping.offset

    @property
    @cython.critical_section
    def nbytes(self):
        """Size of the mapping in bytes."""
        self.require_open()
        return self.mapping.bytes

    @property
    def resident_bytes(self):
        """How many bytes of the mapping are in memory now; 0 where the system does not tell.

        For a file this counts its pages in the system's cache, whoever had them read.
        """
        cdef size_t resident
        self.acquire()
        with nogil:
            resident = sutra_resident_bytes(self.mapping.data, self.mapping.bytes)
        self.release()
        return resident

    @property
    @cython.critical_section
    def closed(self):
        """Whether `close` was called."""
        return self.is_closed

    @cython.critical_section
    def __len__(self):
        self.require_open()
        return <Py_ssize_t> self.mapping.bytes

    def __enter__(self):
        self.require_open()
        return self

    def __exit__(self, *exc_info):
        self.close()

    def __reduce__(self):
        raise TypeError("a MappedFile cannot be pickled or copied: open the path again")

    def __repr__(self):
        if self.is_closed:
            return f"<sutra.MappedFile of {self.given_path!r}, closed>"
        return f"<sutra.MappedFile of {self.given_path!r}, {self.mode}, {self.mapping.bytes} bytes>"

    def __getbuffer__(self, Py_buffer *view, int flags):
        if flags & PyBUF_WRITABLE and not self.is_private:
            raise BufferError('the mapping is read-only: mode="private" gives a writable one')
        self.acquire()
        view.buf = self.mapping.data
        if view.buf == NULL:
            view.buf = &self.mapping  # some consumers refuse NULL, even for no bytes at all
        view.obj = self
        view.len = <Py_ssize_t> self.mapping.bytes
        view.readonly = not self.is_private
        view.itemsize = 1
        view.format = NULL
        if flags & PyBUF_FORMAT:
            view.format = b"B"
        view.ndim = 1
        view.shape = &view.len if flags & PyBUF_ND else NULL
        view.strides = &view.itemsize if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
        view.suboffsets = NULL
        view.internal = NULL

    def __releasebuffer__(self, Py_buffer *view):
        self.release()
