/* The index: vectors, quantizer and graph behind one door.
 *
 * A small index (fewer than SUTRA_FLAT_ROWS vectors) keeps its vectors as given and scans them.
 * From there on vectors are quantized, linked into a graph that is walked on 4-bit codes, and
 * what the walk finds is reranked: with the originals where they are kept, else with both
 * code planes. The quantizer is fitted anew whenever the index has grown eightfold.
 *
 * Distances, lower is nearer: cosine 1 - cos (a zero vector lies at 1 from everything), l2 the
 * squared Euclidean distance, ip the negated inner product.
 *
 * Ownership: _new or _open, then _free, with nobody inside. Threading: every function may be called
 * from any thread. Those that read (_search, _get, _contains, _ids, _stats, and _set_tuned_ef) take
 * no lock and wait for nobody, whatever goes on beside them: front.h says how. The first to look up
 * an id, where ids are not row numbers, builds the table for it, and who needs that meanwhile waits
 * for it. An _add is seen by them when it is done, as a whole; a _search sees one state throughout.
 * _add, _save and _verify take turns. _close waits for all calls in flight; later ones return
 * SUTRA_E_CLOSED. A progress callback may read. Errors: as named; on failure nothing has changed.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_INDEX_INDEX_H
#define SUTRA_INDEX_INDEX_H

#include "../base/status.h"
#include "../graph/graph.h"
#include "../simd/kernels.h"

#define SUTRA_DIM_MAX 16384u
#define SUTRA_K_MAX 1048576u
#define SUTRA_EF_CONSTRUCTION_MAX 4096u
#define SUTRA_FLAT_ROWS 512u

enum sutra_metric { SUTRA_METRIC_COSINE = 0, SUTRA_METRIC_L2 = 1, SUTRA_METRIC_IP = 2 };
enum sutra_quantization { SUTRA_QUANT_NONE = 0, SUTRA_QUANT_U8 = 1, SUTRA_QUANT_U4 = 2 };
enum sutra_resident {
    SUTRA_RESIDENT_AUTO = 0,
    SUTRA_RESIDENT_ARENA = 1,
    SUTRA_RESIDENT_MAPPED = 2
};

struct sutra_index_options {
    uint32_t dim; /* 1 .. SUTRA_DIM_MAX */
    int metric;
    uint32_t m;
    uint32_t ef_construction;
    int quantization;
    bool keep_originals;
    uint64_t seed;
};

struct sutra_index;

/* SUTRA_E_CONFIG with fault.what naming the option. The kernel table must outlive the index. */
int sutra_index_new(const struct sutra_kernels *kernels, const struct sutra_index_options *options,
                    struct sutra_index **index_out, struct sutra_fault *fault_out);
void sutra_index_close(struct sutra_index *index);
void sutra_index_free(struct sutra_index *index);

/* Add `count` vectors (stride in floats). ids NULL numbers them on from the largest id so far;
 * ids_out (may be NULL) receives the ids. Checks everything first: SUTRA_E_VECTOR (NaN, infinity,
 * or a squared length of 2^124 or more), SUTRA_E_NEGATIVE_ID, SUTRA_E_DUPLICATE_ID,
 * SUTRA_E_CAPACITY. */
int sutra_index_add(struct sutra_index *index, const float *vectors, size_t stride, size_t count,
                    const int64_t *ids, int64_t *ids_out, unsigned threads,
                    sutra_progress_fn progress, void *progress_context,
                    struct sutra_fault *fault_out);

/* The same, but ids that are there get the new vector in place of the one they had; ids NULL is as
 * for _add. Readers see all of it at once. With secure deletion SUTRA_E_NO_MEMORY may mean, as of
 * _delete, that it is done and the old vectors are not overwritten yet. */
int sutra_index_upsert(struct sutra_index *index, const float *vectors, size_t stride, size_t count,
                       const int64_t *ids, int64_t *ids_out, unsigned threads,
                       sutra_progress_fn progress, void *progress_context,
                       struct sutra_fault *fault_out);

/* Remove vectors; ids that are not there are passed over, *removed_out counts the others. Rows are
 * used again by later adds. With secure deletion what the memory holds of the vectors is
 * overwritten before the call returns; SUTRA_E_NO_MEMORY then may mean that they are removed, but
 * not overwritten: the next call, of any ids, does it. */
int sutra_index_delete(struct sutra_index *index, const int64_t *ids, size_t count,
                       unsigned threads, size_t *removed_out);
/* Also for what an upsert replaces. */
int sutra_index_set_secure_delete(struct sutra_index *index, bool secure);
/* Give back the memory of removed vectors: what is alive is copied, close together. */
int sutra_index_compact(struct sutra_index *index, unsigned threads);

/* Some ids: a bitmap, or a list. Ids that the index does not have change nothing. */
struct sutra_id_set {
    const uint8_t *bits; /* bit i % 8 of byte i / 8: id i; or NULL */
    uint64_t bit_count;
    const int64_t *ids; /* in any order; looked at if bits is NULL */
    size_t id_count;
};

/* How a query was answered. */
enum sutra_plan_kind {
    SUTRA_PLAN_SCAN = 0,   /* all rows, or all that pass a filter, by their exact distances */
    SUTRA_PLAN_WALK,       /* the graph */
    SUTRA_PLAN_CODE_SCAN,  /* all that pass, by their codes, the best of them reranked */
    SUTRA_PLAN_FILTER_WALK /* the graph, over what passes */
};

struct sutra_plan {
    int kind;
    bool gave_up;     /* the walk cost more than a scan would have: a scan followed */
    bool doubtful;    /* codes did not tell near from far: exact distances followed */
    uint64_t passing; /* about how many rows pass the filter; all without one */
    uint64_t looked;  /* rows whose keys or distances were computed, and lists read */
};

struct sutra_search {
    const float *queries;
    size_t stride; /* floats */
    size_t count;
    size_t k, ef; /* ef 0: the tuned width, or max(k, 64) */
    bool exact;
    unsigned threads;
    /* Which rows may be found: one set for all queries (set_step 0) or one for each (1). NULL: all.
     */
    const struct sutra_id_set *sets;
    size_t set_step;
    /* Of each query an id whose row a walk does not go through, as if it were not there (a scan
     * finds it all the same); NULL: none. For measuring with what is stored. */
    const int64_t *without;
    struct sutra_plan *plans_out; /* one a query, or NULL */
};

/* The k nearest of every query: ids_out and distances_out are count x k, padded with -1 and
 * infinity. SUTRA_E_VECTOR names the query.
 *
 * With a filter, what costs least is done: a scan of what passes where that is little, else a walk
 * that goes over passing rows; a walk that turns out dearer ends in the scan. */
int sutra_index_search(struct sutra_index *index, const struct sutra_search *search,
                       int64_t *ids_out, float *distances_out, struct sutra_fault *fault_out);

/* dim floats: as given while originals are kept, else decoded from the codes. SUTRA_E_NOT_FOUND. */
int sutra_index_get(struct sutra_index *index, int64_t id, float *vector_out);
int sutra_index_contains(struct sutra_index *index, int64_t id, bool *found_out);
/* The ids of rows [first, first + count), in the order they were added, but that adds take the rows
 * of removed vectors first. */
int sutra_index_ids(struct sutra_index *index, size_t first, size_t count, int64_t *ids_out);

int sutra_index_save(struct sutra_index *index, const char *path);
int sutra_index_open(const struct sutra_kernels *kernels, const char *path, int resident,
                     struct sutra_index **index_out, struct sutra_fault *fault_out);

/* Structure always; deep: checksums of every section of the file it was opened from, and that
 * every stored number is finite. */
int sutra_index_verify(struct sutra_index *index, bool deep, struct sutra_fault *fault_out);

struct sutra_index_stats {
    struct sutra_index_options options;
    uint64_t count;
    uint64_t removed; /* rows of removed vectors that no add has taken yet */
    bool linked;      /* false while the index is flat */
    unsigned levels;
    uint64_t links_bytes, codes_bytes, corrections_bytes, ids_bytes, originals_bytes;
    /* of the above: in memory now, wherever they live */
    uint64_t links_resident, codes_resident, corrections_resident, ids_resident;
    uint64_t originals_resident;
    uint64_t mapped_bytes; /* parts that are a file mapping */
    bool arena;            /* hot planes are in anonymous memory */
    uint32_t tuned_ef;
};

int sutra_index_stats(struct sutra_index *index, struct sutra_index_stats *stats_out);
int sutra_index_set_tuned_ef(struct sutra_index *index, uint32_t ef);

#endif
