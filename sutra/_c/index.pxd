from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from sutra._c.kernels cimport sutra_kernels
from sutra._c.status cimport sutra_fault


cdef extern from "<stdbool.h>":
    ctypedef unsigned char sutra_bool "bool"


cdef extern from "graph/graph.h" nogil:
    ctypedef int (*sutra_progress_fn)(void *context, size_t done, size_t total) noexcept nogil


cdef extern from "index/index.h" nogil:
    enum:
        SUTRA_DIM_MAX
        SUTRA_K_MAX
        SUTRA_EF_CONSTRUCTION_MAX

    enum sutra_metric:
        SUTRA_METRIC_COSINE
        SUTRA_METRIC_L2
        SUTRA_METRIC_IP

    enum sutra_quantization:
        SUTRA_QUANT_NONE
        SUTRA_QUANT_U8
        SUTRA_QUANT_U4

    enum sutra_resident:
        SUTRA_RESIDENT_AUTO
        SUTRA_RESIDENT_ARENA
        SUTRA_RESIDENT_MAPPED

    struct sutra_index_options:
        uint32_t dim
        int metric
        uint32_t m
        uint32_t ef_construction
        int quantization
        bint keep_originals
        uint64_t seed

    struct sutra_index:
        pass

    int sutra_index_new(
        const sutra_kernels *kernels, const sutra_index_options *options,
        sutra_index **index_out, sutra_fault *fault_out,
    )
    void sutra_index_close(sutra_index *index)
    void sutra_index_free(sutra_index *index)
    int sutra_index_add(
        sutra_index *index, const float *vectors, size_t stride, size_t count,
        const int64_t *ids, int64_t *ids_out, unsigned threads, sutra_progress_fn progress,
        void *progress_context, sutra_fault *fault_out,
    )
    int sutra_index_upsert(
        sutra_index *index, const float *vectors, size_t stride, size_t count,
        const int64_t *ids, int64_t *ids_out, unsigned threads, sutra_progress_fn progress,
        void *progress_context, sutra_fault *fault_out,
    )
    int sutra_index_delete(
        sutra_index *index, const int64_t *ids, size_t count, unsigned threads,
        size_t *removed_out,
    )
    int sutra_index_set_secure_delete(sutra_index *index, bint secure)
    int sutra_index_compact(sutra_index *index, unsigned threads)

    struct sutra_id_set:
        const uint8_t *bits
        uint64_t bit_count
        const int64_t *ids
        size_t id_count

    enum sutra_plan_kind:
        SUTRA_PLAN_SCAN
        SUTRA_PLAN_WALK
        SUTRA_PLAN_CODE_SCAN
        SUTRA_PLAN_FILTER_WALK

    struct sutra_plan:
        int kind
        bint gave_up
        bint doubtful
        uint64_t passing
        uint64_t looked

    struct sutra_search:
        const float *queries
        size_t stride
        size_t count
        size_t k
        size_t ef
        bint exact
        unsigned threads
        const sutra_id_set *sets
        size_t set_step
        const int64_t *without
        sutra_plan *plans_out

    int sutra_index_search(
        sutra_index *index, const sutra_search *search, int64_t *ids_out, float *distances_out,
        sutra_fault *fault_out,
    )
    int sutra_index_get(sutra_index *index, int64_t id, float *vector_out)
    int sutra_index_contains(sutra_index *index, int64_t id, sutra_bool *found_out)
    int sutra_index_ids(sutra_index *index, size_t first, size_t count, int64_t *ids_out)
    int sutra_index_save(sutra_index *index, const char *path)
    int sutra_index_open(
        const sutra_kernels *kernels, const char *path, int resident, sutra_index **index_out,
        sutra_fault *fault_out,
    )
    int sutra_index_verify(sutra_index *index, bint deep, sutra_fault *fault_out)

    struct sutra_index_stats_s "sutra_index_stats":
        sutra_index_options options
        uint64_t count
        uint64_t removed
        bint linked
        unsigned levels
        uint64_t links_bytes
        uint64_t codes_bytes
        uint64_t corrections_bytes
        uint64_t ids_bytes
        uint64_t originals_bytes
        uint64_t links_resident
        uint64_t codes_resident
        uint64_t corrections_resident
        uint64_t ids_resident
        uint64_t originals_resident
        uint64_t mapped_bytes
        bint arena
        uint32_t tuned_ef

    int sutra_index_stats(sutra_index *index, sutra_index_stats_s *stats_out)
    int sutra_index_set_tuned_ef(sutra_index *index, uint32_t ef)
