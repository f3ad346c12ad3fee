/* What the files of this room share: the index's inside. To be included first: it asks libc for
 * the POSIX locks.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_INDEX_PARTS_H
#define SUTRA_INDEX_PARTS_H

#include "../base/lock.h"

#include "index.h"
#include "../base/dirty.h"
#include "../graph/float_space.h"
#include "../quant/quantizer.h"
#include "../vectors/planes.h"

enum {
    SUTRA_PLANE_HIGH = 0,
    SUTRA_PLANE_LOW,
    SUTRA_PLANE_CORRECTION,
    SUTRA_PLANE_ID,
    SUTRA_PLANE_ORIGINAL,
    SUTRA_PLANE_FILE_COUNT,                     /* the planes that an index file has */
    SUTRA_PLANE_BIRTH = SUTRA_PLANE_FILE_COUNT, /* uint64: of streamed indexes */
    SUTRA_PLANE_DEATH,                          /* uint64, atomic */
    SUTRA_PLANE_COUNT
};

/* Squared lengths stay below a sixteenth of what a float holds: then the squared distance of any
 * two vectors, centred or not, is finite as well. */
#define SUTRA_SQUARE_MAX 0x1p124f

/* Scratch of one search, kept for the next. */
struct sutra_query_scratch {
    struct sutra_scratch walk;
    int8_t *entries; /* of a walk query */
    float *fine;
    uint64_t *best; /* k + 8 pool items */
    size_t best_room;
    void *block;
    size_t block_bytes;
};

#define SUTRA_SCRATCH_KEPT 32

/* What a streamed index has besides. Three parties work on it at once: a writer that appends rows
 * and ends them, a linker (sutra_stream_link), and readers. Readers hold index->lock to read.
 *
 * index->planes and the quantizer belong to writer and linker together. Each holds the gate when
 * it changes them; the linker, which is the only one to change what readers look at (the base of
 * a plane, the quantizer, the graph's front), holds index->lock to write as well, taken after the
 * gate. The writer reads under the gate; the linker, knowing its own changes, without.
 * The rows of a plane need neither: whoever publishes them has written them before. */
struct sutra_index_stream {
    pthread_mutex_t gate;
    size_t dead;                     /* atomic: rows that have ended */
    struct sutra_dirty deaths_dirty; /* the writer's */
    uint64_t codes_version;          /* raised when all codes were made anew */
    size_t coded;  /* atomic, the linker's: rows with codes, where originals are kept besides */
    void *scratch; /* to encode what is appended; NULL if originals are kept */
    struct sutra_plane mean, signs; /* the arrays of the quantizer, as planes to be saved */
};

struct sutra_index {
    const struct sutra_kernels *kernels;
    struct sutra_index_options options;
    struct sutra_lock lock;
    bool closed;
    bool streamed;

    size_t count; /* rows; atomic in a streamed index, where graph.published.count are linked */
    int64_t next_id;
    bool identity_ids; /* id = row; the id plane is absent */
    bool linked;       /* quantized (unless NONE) and in the graph */
    size_t fitted_count;
    uint32_t tuned_ef;
    size_t original_stride; /* floats */

    struct sutra_planes planes;
    struct sutra_quantizer quantizer;
    struct sutra_graph graph;

    /* id -> row, open addressing, row + 1 or 0; built when first asked for */
    uint32_t *id_table;
    size_t id_table_size; /* a power of two */
    size_t id_table_count;

    struct sutra_query_scratch *scratch[SUTRA_SCRATCH_KEPT]; /* atomic; NULL where taken */

    struct sutra_index_stream stream;

    int fd; /* of the file it was opened from, kept for verify; -1 */
    bool arena;

    /* resident.c: copies the hot planes into memory behind an index opened "auto" */
    pthread_t copier;
    bool copier_started;
    bool copier_stop; /* atomic */
};

struct sutra_sieve;

/* ids.c */
SUTRA_INLINE int64_t sutra_index_id_of(const struct sutra_index *index, size_t row)
{
    return index->identity_ids
               ? (int64_t)row
               : *(const int64_t *)sutra_planes_row(&index->planes, SUTRA_PLANE_ID, row);
}
/* The row of an id, or SIZE_MAX. The table must have been built unless ids are rows. */
size_t sutra_index_row_of(const struct sutra_index *index, int64_t id);
int sutra_index_build_id_table(struct sutra_index *index, size_t room);
void sutra_index_enter_id(struct sutra_index *index, int64_t id, size_t row);
/* Check new ids against each other and the index; fills nothing. */
int sutra_index_check_ids(struct sutra_index *index, const int64_t *ids, size_t count,
                          struct sutra_fault *fault_out);

/* spaces.c: how the graph sees the index's rows; a walk over coded rows takes a
 * sutra_walk_query, one over float rows a sutra_float_query. */
void sutra_index_build_space(const struct sutra_index *index, struct sutra_space *space_out);
void sutra_index_search_space(const struct sutra_index *index, struct sutra_space *space_out);

/* A query at work. Its arrays belong to a query scratch or to a block of several. */
struct sutra_work_query {
    const float *vector;
    float inverse_norm; /* sutra_index_scale */
    struct sutra_code_query code;
    uint64_t *best; /* pool items: distance and row, ascending */
    size_t best_count;
};

/* Queries that are scanned together, so that rows are read from memory once for all of them. */
#define SUTRA_SCAN_GROUP 16u

/* distances.c: from the query to rows, by the best that is known of them: originals, else both code
 * planes, else the one there is. */
void sutra_index_distances(const struct sutra_index *index, const struct sutra_work_query *query,
                           const uint32_t *rows, size_t count, float *distances_out);

/* exact.c: all rows, for any number of queries. */
int sutra_index_scan(struct sutra_index *index, struct sutra_query_scratch *scratch,
                     const float *queries, size_t stride, size_t count, size_t k, int64_t *ids_out,
                     float *distances_out);
/* Add rows [first, end) to what `count` queries have found; best has room for k + 8 and holds the
 * k best. view NULL: all rows are visible. */
void sutra_index_scan_rows(const struct sutra_index *index, struct sutra_work_query *queries,
                           size_t count, size_t first, size_t end, size_t k, const uint64_t *view);
/* Add rows at these distances to `kept` items, of which the k best stay; returns how many there are
 * then. positions is scratch, for count + 8. view NULL: all are visible. */
size_t sutra_index_keep_best(const struct sutra_index *index, uint64_t *best, size_t kept, size_t k,
                             const uint32_t *rows, const float *distances, size_t count,
                             const uint64_t *view, uint32_t *positions);
/* The best visible ones of rows [first, end), which have codes but no place in the graph, by walk
 * keys; at most `wanted`, for which and eight more the pool has room. Returns how many. */
size_t sutra_index_scan_keys(const struct sutra_index *index, const struct sutra_space *space,
                             const struct sutra_walk_query *query, size_t first, size_t end,
                             uint64_t view, size_t wanted, uint64_t *pool_out);
/* Memory for a group of queries, each with room for k + 8 and, if coded, the arrays of its code
 * query; to be freed. NULL for want of memory. Needs no lock. */
void *sutra_index_group_block(const struct sutra_index *index, struct sutra_work_query *queries,
                              size_t count, size_t k, bool coded);

/* A walk of width ef looks at some ten rows for each of the ef that it expands, in no order; a
 * scan reads them in a row. From this part of all rows on the scan is the cheaper one. */
#define SUTRA_WALK_SHARE_MAX 8u

/* query.c */
/* Set the vector of a query whose arrays are there. coded: get it ready for codes. */
void sutra_index_set_query(const struct sutra_index *index, struct sutra_work_query *query,
                           const float *vector, bool coded);
/* Walk the graph of a linked index; what is found is in walk->pool. */
void sutra_index_walk(const struct sutra_index *index, const struct sutra_space *space,
                      const struct sutra_work_query *query, size_t ef, struct sutra_scratch *walk);
/* How many of the rows found by a walk of width ef deserve a rerank. */
size_t sutra_index_rerank_rows(size_t k, size_t ef);
/* Take the first `wanted` of the rows found among the query's best, by the best distance known;
 * without quantization, where a walk's keys are distances, they become the best. */
void sutra_index_rank(const struct sutra_index *index, struct sutra_work_query *query,
                      const uint64_t *found, size_t found_count, size_t wanted, size_t k);
/* filtered_search.c: the k best of the rows that pass. Rows below `nodes` are in the graph, those
 * below `coded` have codes (or, without quantization, keys); the rest is compared exactly. coded 0:
 * all is, and `space` and `walk` are not looked at. */
int sutra_index_search_passing(const struct sutra_index *index, const struct sutra_space *space,
                               const struct sutra_sieve *sieve, size_t nodes, size_t coded,
                               struct sutra_work_query *query, size_t k, size_t ef,
                               struct sutra_scratch *walk, struct sutra_plan *plan_out);
struct sutra_query_scratch *sutra_index_take_scratch(struct sutra_index *index, size_t k);
void sutra_index_give_scratch(struct sutra_index *index, struct sutra_query_scratch *scratch);
void sutra_index_free_scratch(struct sutra_index *index);
/* Finite, and shorter than the root of SUTRA_SQUARE_MAX; fault.row names the first that is not. */
int sutra_index_check_vectors(const struct sutra_index *index, const float *vectors, size_t stride,
                              size_t count, struct sutra_fault *fault_out);
/* 1/|v| for cosine (0 for a zero vector), 1 otherwise. */
float sutra_index_scale(const struct sutra_index *index, const float *vector);
/* Write the k best items (key, row) as ids and distances, padded. */
void sutra_index_write_hits(const struct sutra_index *index, const uint64_t *best, size_t count,
                            size_t k, int64_t *ids_out, float *distances_out);

SUTRA_INLINE const float *sutra_index_original(const struct sutra_index *index, size_t row)
{
    return sutra_planes_row(&index->planes, SUTRA_PLANE_ORIGINAL, row);
}

/* Of a streamed index: birth <= view < death. */
SUTRA_INLINE bool sutra_index_is_visible(const struct sutra_index *index, size_t row, uint64_t view)
{
    const uint64_t *births = sutra_planes_row(&index->planes, SUTRA_PLANE_BIRTH, 0);
    const uint64_t *deaths = sutra_planes_row(&index->planes, SUTRA_PLANE_DEATH, 0);
    return births[row] <= view && view < __atomic_load_n(&deaths[row], __ATOMIC_RELAXED);
}

/* Rows that readers may see. */
SUTRA_INLINE size_t sutra_index_rows(const struct sutra_index *index)
{
    return __atomic_load_n(&index->count, __ATOMIC_ACQUIRE);
}

SUTRA_INLINE bool sutra_index_has_codes(const struct sutra_index *index)
{
    return index->planes.plane[SUTRA_PLANE_HIGH].base != NULL;
}

SUTRA_INLINE bool sutra_index_has_originals(const struct sutra_index *index)
{
    return index->planes.plane[SUTRA_PLANE_ORIGINAL].base != NULL;
}

/* index.c: take the read lock, unless the index is closed (SUTRA_E_CLOSED); with_id_table: so that
 * sutra_index_row_of works (SUTRA_E_NO_MEMORY). On failure the lock is not held. */
int sutra_index_lock_read(struct sutra_index *index, bool with_id_table);
/* A row's vector, as given or decoded. SUTRA_E_NO_MEMORY. */
int sutra_index_read_row(const struct sutra_index *index, size_t row, float *vector_out);

/* encode.c */
struct sutra_encoding {
    const struct sutra_index *index;
    const struct sutra_quantizer *quantizer;
    const struct sutra_plane *planes; /* where codes go: _HIGH, _LOW (may be absent), _CORRECTION */
    const float *vectors; /* of first_row; NULL: decode the index's codes, by its own quantizer */
    size_t stride;        /* floats */
    size_t first_row;
};
size_t sutra_encoding_scratch_bytes(const struct sutra_index *index);
/* Encode rows first_row + [begin, end). scratch is aligned to 64 bytes. */
void sutra_encoding_rows(const struct sutra_encoding *encoding, void *scratch, size_t begin,
                         size_t end);
/* Encode `count` rows. SUTRA_E_NO_MEMORY, before anything is written. */
int sutra_encoding_run(const struct sutra_encoding *encoding, size_t count, unsigned threads);
/* Fit a quantizer to `count` vectors. */
int sutra_index_fit(const struct sutra_index *index, struct sutra_quantizer *quantizer,
                    const float *vectors, size_t stride, size_t count);
/* Make a quantizer fitted to the first `count` rows: to originals, or to what codes stand for. */
int sutra_index_fit_anew(const struct sutra_index *index, size_t count,
                         struct sutra_quantizer *quantizer_out);

/* Fit the quantizer anew when the index has grown this much. */
#define SUTRA_REFIT_GROWTH 8u

/* resident.c */
/* Start copying the hot planes if they fit in half of the free memory; failing to is no error. */
void sutra_index_start_copier(struct sutra_index *index);
/* Must be called without the lock held. */
void sutra_index_stop_copier(struct sutra_index *index);

/* A zero vector has no direction, so under cosine its codes mean nothing. Its correction says so:
 * {more than 0, 0}, which no other row has. */
SUTRA_INLINE bool sutra_index_is_zero_row(const struct sutra_index *index, size_t row)
{
    if (index->options.metric != SUTRA_METRIC_COSINE)
        return false;
    const float *correction = sutra_planes_row(&index->planes, SUTRA_PLANE_CORRECTION, row);
    return correction[0] > 0.0f && correction[1] == 0.0f;
}

/* The distance that a squared Euclidean one between unit vectors stands for, by metric; a zero
 * row or query lies at 1. query_scale is 0 for a zero query. */
SUTRA_INLINE float sutra_index_code_distance(const struct sutra_index *index, float query_scale,
                                             size_t row, float distance)
{
    if (index->options.metric != SUTRA_METRIC_COSINE)
        return distance;
    return query_scale == 0.0f || sutra_index_is_zero_row(index, row) ? 1.0f : 0.5f * distance;
}

#endif
