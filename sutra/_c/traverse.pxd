from libc.stdint cimport uint8_t, uint16_t, uint32_t

from sutra._c.index cimport sutra_bool


cdef extern from "concepts/traverse.h" nogil:
    struct sutra_traversal:
        const uint16_t *kinds
        size_t kind_count
        float min_weight
        size_t work_max
        const uint8_t *answers
        size_t answer_bits

    struct sutra_reached:
        uint32_t concept
        uint32_t parent
        uint16_t kind
        uint16_t hops
        float score

    int sutra_expand(
        const sutra_traversal *traversal, const uint32_t *starts, size_t start_count,
        unsigned hops, size_t limit, sutra_reached **reached_out, size_t *count_out,
        size_t *start_count_out, sutra_bool *complete_out,
    )

    struct sutra_path:
        uint32_t first
        uint32_t length
        double confidence

    int sutra_paths(
        const sutra_traversal *traversal, uint32_t source, uint32_t target, unsigned max_depth,
        size_t limit, sutra_path **paths_out, size_t *path_count_out, uint32_t **nodes_out,
        uint16_t **kinds_out, sutra_bool *complete_out,
    )
    int sutra_spread(
        const sutra_traversal *traversal, const uint32_t *seeds, const float *seed_scores,
        size_t seed_count, unsigned hops, float decay, size_t k, sutra_reached **reached_out,
        size_t *count_out, size_t *best_count_out, sutra_bool *complete_out,
    )
