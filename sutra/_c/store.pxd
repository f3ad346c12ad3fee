from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from sutra._c.associations cimport sutra_link
from sutra._c.concepts cimport sutra_ids, sutra_record
from sutra._c.index cimport sutra_bool, sutra_index_options, sutra_search
from sutra._c.io_table cimport sutra_io
from sutra._c.kernels cimport sutra_kernels
from sutra._c.ops cimport sutra_op
from sutra._c.predicate cimport sutra_predicate
from sutra._c.status cimport sutra_fault
from sutra._c.traverse cimport sutra_traversal


cdef extern from "store/store.h" nogil:
    enum:
        SUTRA_STORE_NAME_BYTES

    enum sutra_store_mode:
        SUTRA_STORE_APPEND
        SUTRA_STORE_READ
        SUTRA_STORE_WRITE
        SUTRA_STORE_EXCLUSIVE

    enum sutra_store_sync:
        SUTRA_SYNC_FULL
        SUTRA_SYNC_INTERVAL
        SUTRA_SYNC_OFF

    struct sutra_store_options:
        int mode
        int sync
        uint32_t dim
        int metric
        int quantization
        int keep_originals
        uint32_t m
        uint32_t ef_construction
        int resident
        unsigned threads
        uint64_t max_bytes
        uint32_t reconcile_interval_ms
        uint32_t flush_threshold
        uint32_t sync_interval_ms
        uint64_t log_bytes
        bint no_thread
        bint no_compaction
        uint64_t compact_dead
        uint32_t compact_share
        const char *holder

    struct sutra_store:
        pass

    struct sutra_store_view:
        pass

    int sutra_store_open(
        const sutra_io *io, const sutra_kernels *kernels, const char *path,
        const sutra_store_options *options, sutra_store **store_out, char *file_out,
        sutra_fault *fault_out,
    )
    int sutra_store_close(sutra_store *store)
    void sutra_store_abandon(sutra_store *store)
    void sutra_store_free(sutra_store *store)
    int sutra_store_holder(
        const sutra_io *io, const char *path, char *text_out, size_t text_bytes
    )

    int sutra_store_write(
        sutra_store *store, sutra_op *ops, size_t count, bint wait, uint64_t *lsn_out,
        sutra_fault *fault_out,
    )
    int sutra_store_reserve_numbers(sutra_store *store, size_t count, int64_t *first_out)
    int sutra_store_wait(sutra_store *store, uint64_t lsn)
    int sutra_store_flush(sutra_store *store)
    uint64_t sutra_store_durable_lsn(const sutra_store *store)
    uint64_t sutra_store_visible_lsn(const sutra_store *store)

    int sutra_store_view_begin(sutra_store *store, sutra_store_view **view_out)
    int sutra_store_view_pin(sutra_store *store, sutra_store_view **view_out)
    void sutra_store_view_end(sutra_store_view *view)
    uint64_t sutra_store_view_lsn(const sutra_store_view *view)
    size_t sutra_store_view_count(const sutra_store_view *view)

    int sutra_store_find(
        const sutra_store_view *view, const sutra_ids *ids, uint32_t *slots_out,
        uint32_t *concepts_out,
    )
    int sutra_store_scan(
        const sutra_store_view *view, size_t *next_inout, size_t limit, uint32_t *slots_out,
        uint32_t *concepts_out, size_t *count_out,
    )
    int sutra_store_id(
        const sutra_store_view *view, uint32_t concept, int64_t *number_out,
        const char **text_out, uint32_t *text_bytes_out,
    )

    struct sutra_concept:
        sutra_record record
        const char *text
        uint32_t text_bytes
        const uint8_t *content
        const uint8_t *metadata
        uint32_t content_bytes
        uint32_t metadata_bytes
        bint has_vector

    int sutra_store_read(
        const sutra_store_view *view, uint32_t concept, uint32_t slot, sutra_concept *concept_out
    )
    int sutra_store_records(
        const sutra_store_view *view,
        const uint32_t *concepts,
        const uint32_t *slots,
        size_t count,
        sutra_record *records_out,
    )
    uint32_t sutra_store_dim(const sutra_store_view *view)
    int sutra_store_vector(const sutra_store_view *view, uint32_t slot, float *vector_out)
    int sutra_store_setting(
        const sutra_store_view *view, const char *name, size_t name_bytes, uint8_t *value_out,
        size_t room, size_t *bytes_out,
    )
    int sutra_store_settings(
        const sutra_store_view *view, uint8_t **names_out, size_t *bytes_out, size_t *count_out
    )
    int sutra_store_fields(
        const sutra_store_view *view, uint8_t **fields_out, size_t *bytes_out, size_t *count_out
    )
    size_t sutra_store_numbers(const sutra_store_view *view)
    int sutra_store_where(
        const sutra_store_view *view, const sutra_predicate *predicate, size_t limit,
        uint64_t *concepts_out, size_t *count_out,
    )
    int sutra_store_search(
        const sutra_store_view *view, const sutra_search *search, uint32_t *slots_out,
        uint32_t *concepts_out, float *distances_out, sutra_fault *fault_out,
    )
    int sutra_store_links(
        const sutra_store_view *view, uint32_t concept, int direction, uint16_t kind,
        sutra_link **links_out, size_t *count_out,
    )
    uint16_t sutra_store_kind(const sutra_store_view *view, const char *name, uint32_t name_bytes)
    const char *sutra_store_kind_name(
        const sutra_store_view *view, uint16_t kind, uint32_t *bytes_out
    )
    void sutra_store_traversal(const sutra_store_view *view, sutra_traversal *out)

    int sutra_store_reconcile(sutra_store *store, sutra_bool *busy_out)
    int sutra_store_settle(sutra_store *store)
    int sutra_store_checkpoint(sutra_store *store)
    int sutra_store_compact(sutra_store *store)
    int sutra_store_refresh(sutra_store *store, sutra_bool *changed_out)
    int sutra_store_snapshot(sutra_store *store, const char *directory)
    int sutra_store_restore(
        const sutra_io *io, const sutra_kernels *kernels, const char *src, const char *dst,
        char *file_out, sutra_fault *fault_out,
    )

    struct sutra_repair_report:
        uint64_t concepts
        uint64_t associations
        uint64_t vectors
        uint64_t lost_concepts
        uint64_t damaged_blocks
        uint64_t generation
        uint64_t lsn
        bint older_manifest
        bint log_cut
        bint lost_settings
        bint lost_fields

    int sutra_store_repair(
        const sutra_io *io, const sutra_kernels *kernels, const char *src, const char *dst,
        sutra_repair_report *report_out, char *file_out, sutra_fault *fault_out,
    )
    int sutra_store_verify(
        sutra_store *store, bint deep, char *file_out, sutra_fault *fault_out
    )

    struct sutra_store_stats_s "sutra_store_stats":
        sutra_index_options options
        uint64_t concepts
        uint64_t slots
        uint64_t dead_slots
        uint64_t vectors
        uint64_t pending
        uint64_t dead_vectors
        uint64_t associations
        uint64_t delta_associations
        uint64_t kinds
        uint64_t fields
        uint64_t content_bytes
        uint64_t visible_lsn
        uint64_t durable_lsn
        uint64_t checkpoint_lsn
        uint64_t generation
        uint64_t log_bytes
        uint64_t log_files
        uint64_t segment_bytes
        uint64_t segments
        uint64_t memory_bytes
        uint64_t mapped_bytes
        uint64_t originals_bytes
        uint64_t open_views
        uint64_t checkpoints
        uint64_t checkpoint_bytes
        uint64_t checkpoint_ns
        uint64_t recovered_records
        uint64_t recovered_bytes
        uint64_t torn_bytes
        uint64_t recovery_ns
        bint manifest_fallback
        int64_t reconciler_lag_ms
        int failed
        int last_checkpoint_status
        bint linked

    int sutra_store_stats(sutra_store *store, sutra_store_stats_s *stats_out)
