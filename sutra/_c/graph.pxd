from libc.stdint cimport int64_t, uint32_t, uint64_t

from sutra._c.kernels cimport sutra_kernels
from sutra._c.status cimport sutra_fault
from sutra._c.vectors cimport sutra_vectors


cdef extern from "graph/node.h" nogil:
    enum:
        SUTRA_NODE_SLOTS_MAX


cdef extern from "graph/float_graph.h" nogil:
    struct sutra_float_graph:
        pass

    int sutra_float_graph_new(
        const sutra_kernels *kernels, sutra_vectors *vectors, uint32_t m, uint32_t ef_construction,
        uint64_t seed, sutra_float_graph **graph_out,
    )
    void sutra_float_graph_close(sutra_float_graph *graph)
    void sutra_float_graph_free(sutra_float_graph *graph)

    int sutra_float_graph_link(sutra_float_graph *graph, size_t limit, unsigned threads)
    int sutra_float_graph_search(
        sutra_float_graph *graph, const float *queries, size_t stride, size_t count, size_t k,
        size_t ef, unsigned threads, int64_t *rows_out, float *distances_out,
        sutra_fault *fault_out,
    )

    struct sutra_float_graph_shape_s "sutra_float_graph_shape":
        size_t count
        unsigned levels
        int64_t entry

    int sutra_float_graph_shape(sutra_float_graph *graph, sutra_float_graph_shape_s *shape_out)
    int sutra_float_graph_level(sutra_float_graph *graph, size_t node, unsigned *level_out)
    int sutra_float_graph_neighbours(
        sutra_float_graph *graph, size_t node, unsigned level, int64_t *nodes_out,
        size_t *count_out,
    )
    int sutra_float_graph_verify(sutra_float_graph *graph, sutra_fault *fault_out)
