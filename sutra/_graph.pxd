cimport cython
from libc.stdint cimport uint32_t

from sutra._c.graph cimport sutra_float_graph, sutra_float_graph_shape_s
from sutra._vectors cimport VectorStore


@cython.final
cdef class HnswGraph:
    cdef sutra_float_graph *graph
    cdef readonly VectorStore store
    cdef readonly uint32_t dim
    cdef readonly uint32_t m
    cdef readonly uint32_t ef_construction
    cdef readonly object seed

    cdef sutra_float_graph_shape_s shape(self) except *
