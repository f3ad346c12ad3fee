cdef extern from "base/threads.h" nogil:
    ctypedef int (*sutra_range_fn)(void *context, unsigned worker, size_t begin,
                                   size_t end) noexcept nogil

    int sutra_parallel_for(size_t count, size_t grain, unsigned threads, sutra_range_fn fn,
                           void *context)
