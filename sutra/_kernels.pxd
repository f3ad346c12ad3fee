from sutra._c.kernels cimport sutra_kernels

# The table chosen at import; valid for the life of the process.
cdef const sutra_kernels *chosen_kernels() noexcept nogil
