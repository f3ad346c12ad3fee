# SPDX-License-Identifier: Apache-2.0
"""Aligned memory that Python objects can share.

Exports are counted under the object's critical section, so that the count, the closing and the
swap of a resize are one step each on builds without a GIL too. A resize allocates and copies
with the GIL released; while it does, the buffer refuses to be exported, closed or resized.
"""

import operator
import sys

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy

from sutra._c.memory cimport (
    SUTRA_HUGE_ADVISE,
    SUTRA_HUGE_NEVER,
    sutra_advise_huge,
    sutra_aligned_alloc,
    sutra_aligned_free,
)
from sutra._c.status cimport SUTRA_OK
from sutra._check cimport check

from sutra.errors import ClosedError, ConfigError

cdef enum:
    ALIGNMENT_MIN = 64
    ALIGNMENT_MAX = 2 << 20
    # "auto" asks for huge pages from here on: below, they cost more memory than they save time.
    AUTO_FROM_BYTES = 4 << 20
    HUGE_PAGE_BYTES = 2 << 20

cdef object HUGE_PAGES = ("auto", "never", "advise")
cdef object SIZE_MAX = sys.maxsize


cdef Py_ssize_t checked_size(object nbytes) except -1:
    value = operator.index(nbytes)
    if value < 0:
        raise ConfigError(f"nbytes must not be negative, not {value}")
    if value > SIZE_MAX:
        raise MemoryError(f"cannot allocate {value} bytes")
    return value


cdef size_t checked_alignment(object alignment) except 0:
    value = operator.index(alignment)
    if not ALIGNMENT_MIN <= value <= ALIGNMENT_MAX or value & (value - 1):
        raise ConfigError(
            f"alignment must be a power of two from {ALIGNMENT_MIN} to {ALIGNMENT_MAX} bytes, "
            f"not {value}"
        )
    return value


@cython.final
cdef class AlignedBuffer:
    """Hold zeroed, aligned, writable memory and lend it through the buffer protocol.

    The memory appears as a one-dimensional array of unsigned bytes: ``memoryview(buffer)`` and
    ``numpy.asarray(buffer)`` are views without a copy. A view keeps the buffer alive.

    Parameters
    ----------
    nbytes : int
        Size in bytes. 0 is allowed.
    alignment : int, default 64
        Alignment of the first byte: a power of two from 64 to 2,097,152 (2 MiB).
    huge_pages : {"auto", "never", "advise"}, default "auto"
        Whether to ask the system to back the memory with 2 MiB pages: from 4 MiB on, never
        (also where it is the system's default), or from 2 MiB on. `advised` tells whether the
        system took it.

    Raises
    ------
    ConfigError
        If `nbytes` is negative, or `alignment` or `huge_pages` is not one of the above.
    MemoryError
        If the system refuses that much memory.

    See Also
    --------
    MappedFile : Memory that is a file.

    Notes
    -----
    A buffer takes `nbytes` rounded up to the alignment below 2 MiB, and to whole pages above.
    All methods may be called from any thread. Access to the bytes themselves is not ordered.

    Examples
    --------
    >>> from sutra import AlignedBuffer
    >>> with AlignedBuffer(1024, alignment=4096) as buffer:
    ...     view = memoryview(buffer)
    ...     view[:5] = b"hello"
    ...     print(buffer.address % 4096, bytes(view[:6]))
    ...     view.release()
    0 b'hello\\x00'
    """

    def __cinit__(self, nbytes, *, alignment=64, huge_pages="auto"):
        self.is_closed = True
        self.block_bytes = checked_size(nbytes)
        self.block_alignment = checked_alignment(alignment)
        if not isinstance(huge_pages, str) or huge_pages not in HUGE_PAGES:
            raise ConfigError(f'huge_pages must be "auto", "never" or "advise", not {huge_pages!r}')
        self.setting = huge_pages

        self.block = self.allocate(self.block_bytes)
        self.is_advised = self.advise(self.block, self.block_bytes)
        self.is_closed = False

    def __dealloc__(self):
        if self.block != NULL:
            sutra_aligned_free(self.block, <size_t> self.block_bytes)

    cdef void *allocate(self, Py_ssize_t nbytes) except NULL:
        cdef void *block = NULL
        cdef size_t alignment = self.block_alignment
        cdef int status
        # Zeroing up to 2 MiB and the system call are worth giving the GIL away.
        with nogil:
            status = sutra_aligned_alloc(alignment, <size_t> nbytes, &block)
        check(status)
        return block

    cdef bint advise(self, void *block, Py_ssize_t nbytes) noexcept:
        cdef int wish = SUTRA_HUGE_ADVISE
        if nbytes < HUGE_PAGE_BYTES or (self.setting == "auto" and nbytes < AUTO_FROM_BYTES):
            return False
        if self.setting == "never":
            wish = SUTRA_HUGE_NEVER
        return (
            sutra_advise_huge(block, <size_t> nbytes, wish) == SUTRA_OK
            and wish == SUTRA_HUGE_ADVISE
        )

    cdef int require_open(self) except -1:
        if self.is_closed:
            raise ClosedError("the buffer is closed")
        return 0

    cdef int require_unused(self, str action) except -1:
        if self.is_resizing:
            raise BufferError(f"cannot {action} the buffer: another thread is resizing it")
        if self.exports > 0:
            raise BufferError(f"cannot {action} the buffer: {self.exports} views are in use")
        return 0

    def resize(self, nbytes):
        """Change the size, keeping the contents up to the smaller of both sizes.

        New bytes are zero. The memory may move: `address` is valid until the next resize.

        Parameters
        ----------
        nbytes : int
            The new size in bytes.

        Raises
        ------
        BufferError
            If views are in use.
        ClosedError
            If the buffer is closed.
        ConfigError
            If `nbytes` is negative.
        MemoryError
            If the system refuses; the buffer is then unchanged.

        Notes
        -----
        Old and new memory exist side by side for the time of the copy. The GIL is released.
        """
        cdef Py_ssize_t new_bytes = checked_size(nbytes)
        cdef Py_ssize_t kept_bytes
        cdef void *block
        cdef void *old_block
        cdef Py_ssize_t old_bytes
        with cython.critical_section(self):
            self.require_open()
            self.require_unused("resize")
            self.is_resizing = True
            old_block = self.block
            old_bytes = self.block_bytes

        try:
            block = self.allocate(new_bytes)
            kept_bytes = min(old_bytes, new_bytes)
            with nogil:
                memcpy(block, old_block, <size_t> kept_bytes)
            advised = self.advise(block, new_bytes)
        except BaseException:
            with cython.critical_section(self):
                self.is_resizing = False
            raise

        with cython.critical_section(self):
            self.block = block
            self.block_bytes = new_bytes
            self.is_advised = advised
            self.is_resizing = False
        with nogil:
            sutra_aligned_free(old_block, <size_t> old_bytes)

    def close(self):
        """Free the memory. Closing a closed buffer does nothing.

        Raises
        ------
        BufferError
            If views are in use.
        """
        cdef void *block = NULL
        cdef Py_ssize_t nbytes
        with cython.critical_section(self):
            if not self.is_closed:
                self.require_unused("close")
                self.is_closed = True
                block = self.block
                self.block = NULL
            nbytes = self.block_bytes
        if block != NULL:
            with nogil:
                sutra_aligned_free(block, <size_t> nbytes)

    @property
    @cython.critical_section
    def nbytes(self):
        """Size in bytes."""
        self.require_open()
        return self.block_bytes

    @property
    def alignment(self):
        """Alignment asked for, in bytes."""
        return self.block_alignment

    @property
    @cython.critical_section
    def address(self):
        """Address of the first byte, a multiple of `alignment`."""
        self.require_open()
        return <uintptr_t> self.block

    @property
    def huge_pages(self):
        """The setting: "auto", "never" or "advise"."""
        return self.setting

    @property
    @cython.critical_section
    def advised(self):
        """Whether the system took the advice to use huge pages for the present memory."""
        self.require_open()
        return self.is_advised

    @property
    @cython.critical_section
    def closed(self):
        """Whether `close` was called."""
        return self.is_closed

    @cython.critical_section
    def __len__(self):
        self.require_open()
        return self.block_bytes

    def __enter__(self):
        self.require_open()
        return self

    def __exit__(self, *exc_info):
        self.close()

    def __reduce__(self):
        raise TypeError("an AlignedBuffer cannot be pickled or copied: its value is its address")

    def __repr__(self):
        if self.is_closed:
            return "<sutra.AlignedBuffer, closed>"
        return (
            f"<sutra.AlignedBuffer of {self.block_bytes} bytes at {<uintptr_t> self.block:#x}, "
            f"aligned to {self.block_alignment}>"
        )

    def __getbuffer__(self, Py_buffer *view, int flags):
        with cython.critical_section(self):
            self.require_open()
            if self.is_resizing:
                raise BufferError("the buffer is being resized by another thread")
            view.buf = self.block
            view.len = self.block_bytes
            self.exports += 1
        view.obj = self
        view.readonly = False
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
        with cython.critical_section(self):
            self.exports -= 1
