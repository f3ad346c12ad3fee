/* What the files of this room share: the index's inside. To be included first: it asks libc for
 * the POSIX locks.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_INDEX_PARTS_H
#define SUTRA_INDEX_PARTS_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <pthread.h>

#include "front.h"
#include "../base/dirty.h"
#include "../vectors/choice.h"

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
 * and ends them, a linker (sutra_stream_link), and readers.
 *
 * The planes and the quantizer of `now` belong to writer and linker together. Each holds the gate
 * when it changes them; the linker, which alone replaces what readers look at (the base of a plane,
 * the quantizer, the bounds of the graph), publishes a front under it. The writer reads under the
 * gate; the linker, knowing its own changes, without.
 *
 * The writer does not publish: it raises `rows`, once the rows are written. A reader loads `rows`
 * before the front. The front it then gets is not older than the one whose planes the last of these
 * rows was written to, and in a later one the linker has put all rows that were there. */
struct sutra_index_stream {
    pthread_mutex_t gate;
    size_t rows;                     /* atomic: all that there are */
    size_t linked;                   /* atomic: of these, in the graph that readers see */
    size_t dead;                     /* atomic: rows that have ended */
    struct sutra_dirty deaths_dirty; /* the writer's */
    uint64_t codes_version;          /* raised when all codes were made anew */
    void *scratch;                   /* to encode what is appended; NULL if originals are kept */
    struct sutra_plane mean, signs;  /* the arrays of the quantizer, as planes to be saved */
};

/* From ids to rows, for all fronts that number their rows alike; see ids.c. */
struct sutra_id_lookup {
    pthread_mutex_t gate;
    struct sutra_id_table *table; /* atomic; NULL until it is needed */
    size_t room;                  /* entries that a table is to have room for */
};

struct sutra_index {
    pthread_mutex_t writer; /* of a plain index: whoever changes, saves or checks it */
    bool closed;            /* the writer's */
    bool streamed;

    struct sutra_front now;    /* the writer's, or the linker's: what the next front will be */
    struct sutra_front *front; /* atomic: the newest one; NULL once closed */
    struct sutra_epochs epochs;

    int64_t next_id;
    uint32_t tuned_ef; /* atomic */

    /* Of a plain index, the writer's. */
    uint64_t *dead;   /* what `now` has, to be freed */
    uint64_t *vacant; /* dead rows that an add may take: a bit a row */
    size_t vacant_words;
    bool secure_delete;

    struct sutra_query_scratch *scratch[SUTRA_SCRATCH_KEPT]; /* atomic; NULL where taken */

    struct sutra_index_stream stream;

    int fd; /* of the file it was opened from, kept for verify; -1 */

    /* resident.c: copies the hot planes into memory behind an index opened "auto" */
    pthread_t copier;
    bool copier_started; /* the writer's */
    bool copier_stop;    /* atomic */
};

struct sutra_sieve;

/* index.c */
/* An index that readers do not see yet. */
int sutra_index_make(const struct sutra_kernels *kernels, const struct sutra_index_options *options,
                     struct sutra_index **index_out, struct sutra_fault *fault_out);
/* Publish `now`. SUTRA_E_NO_MEMORY. */
int sutra_index_show(struct sutra_index *index);

/* stream.c: a streamed index that readers do not see yet. */
int sutra_stream_make(const struct sutra_kernels *kernels,
                      const struct sutra_index_options *options, struct sutra_index **index_out,
                      struct sutra_fault *fault_out);

/* ids.c */
/* The row of an id that may be found, or SIZE_MAX. Unless ids are rows, the table must be there:
 * sutra_index_enter and sutra_ids_reserve see to it. */
size_t sutra_front_row_of(const struct sutra_front *front, int64_t id);
/* For a reader inside `front`: build the table if there is none. SUTRA_E_NO_MEMORY. */
int sutra_ids_prepare(struct sutra_index *index, const struct sutra_front *front);
int sutra_ids_new(struct sutra_id_lookup **lookup_out);
void sutra_ids_free(struct sutra_id_lookup *lookup); /* NULL is allowed */
/* For the writer, before it gives so many rows their ids: room for them in the table, if there is
 * one or it is needed. SUTRA_E_NO_MEMORY. */
int sutra_ids_reserve(struct sutra_index *index, size_t more, bool needed);
/* Enter rows that had other ids before. */
void sutra_ids_rename(struct sutra_index *index, const uint32_t *rows, size_t count);
/* Enter the rows of `now` that are new, and keep readers from building a table until _leave. */
void sutra_ids_enter(struct sutra_index *index);
void sutra_ids_leave(struct sutra_index *index);
void sutra_ids_release(void *table, size_t bytes);
/* The writer's: check new ids against each other and, unless they may replace, the index; fills
 * nothing. Where they may replace, row_of works afterwards. */
int sutra_index_check_ids(struct sutra_index *index, const int64_t *ids, size_t count, bool replace,
                          struct sutra_fault *fault_out);

/* remove.c; the writer's */
/* A bitmap of the dead rows of a front, with room for `rows`. NULL for want of memory. */
uint64_t *sutra_dead_copy(const struct sutra_front *front, size_t rows);
/* Publish `now` with these dead rows, which the index takes; dead_count is up to the caller. */
void sutra_dead_publish(struct sutra_index *index, struct sutra_front *fresh, uint64_t *dead,
                        const struct sutra_left *left);
/* Rows have died: sweep the graph if it pays, erase what is to be erased. */
int sutra_index_after_removal(struct sutra_index *index, unsigned threads);
/* The first vacant row from `row` on, or SIZE_MAX. */
size_t sutra_index_next_vacant(const struct sutra_index *index, size_t row);

/* gather.c */
/* Make `to`, which is new, hold the chosen rows of `from`: vectors, and codes of those below
 * `coded`; what of them was linked is linked. SUTRA_E_NO_MEMORY, SUTRA_E_GRAPH_*. */
int sutra_front_gather(const struct sutra_front *from, const struct sutra_row_choice *choice,
                       size_t coded, unsigned threads, struct sutra_front *to);

/* compaction.c */
/* An index with what is alive in another; readers do not see it yet. */
int sutra_index_make_compact(const struct sutra_index *index, unsigned threads,
                             struct sutra_index **copy_out);

/* spaces.c: how the graph sees the index's rows; a walk over coded rows takes a
 * sutra_walk_query, one over float rows a sutra_float_query. */
void sutra_front_build_space(const struct sutra_front *front, struct sutra_space *space_out);
void sutra_front_search_space(const struct sutra_front *front, struct sutra_space *space_out);

/* A query at work. Its arrays belong to a query scratch or to a block of several. */
struct sutra_work_query {
    const float *vector;
    float inverse_norm; /* sutra_front_scale */
    struct sutra_code_query code;
    uint64_t *best; /* pool items: distance and row, ascending */
    size_t best_count;
};

/* Queries that are scanned together, so that rows are read from memory once for all of them. */
#define SUTRA_SCAN_GROUP 16u

/* distances.c: from the query to rows, by the best that is known of them: originals, else both code
 * planes, else the one there is. */
void sutra_front_distances(const struct sutra_front *front, const struct sutra_work_query *query,
                           const uint32_t *rows, size_t count, float *distances_out);

/* exact.c: all rows, for any number of queries. */
int sutra_front_scan(const struct sutra_front *front, struct sutra_query_scratch *scratch,
                     const float *queries, size_t stride, size_t count, size_t k, int64_t *ids_out,
                     float *distances_out);
/* Add rows [first, end) to what `count` queries have found; best has room for k + 8 and holds the
 * k best. view: see sutra_front_shows. */
void sutra_front_scan_rows(const struct sutra_front *front, struct sutra_work_query *queries,
                           size_t count, size_t first, size_t end, size_t k, const uint64_t *view);
/* Add rows at these distances to `kept` items, of which the k best stay; returns how many there are
 * then. positions is scratch, for count + 8. view: see sutra_front_shows. */
size_t sutra_front_keep_best(const struct sutra_front *front, uint64_t *best, size_t kept, size_t k,
                             const uint32_t *rows, const float *distances, size_t count,
                             const uint64_t *view, uint32_t *positions);
/* The best visible ones of rows [first, end), which have codes but no place in the graph, by walk
 * keys; at most `wanted`, for which and eight more the pool has room. Returns how many. */
size_t sutra_front_scan_keys(const struct sutra_front *front, const struct sutra_space *space,
                             const struct sutra_walk_query *query, size_t first, size_t end,
                             uint64_t view, size_t wanted, uint64_t *pool_out);
/* Memory for a group of queries, each with room for k + 8 and, if coded, the arrays of its code
 * query; to be freed. NULL for want of memory. */
void *sutra_front_group_block(const struct sutra_front *front, struct sutra_work_query *queries,
                              size_t count, size_t k, bool coded);

/* A walk of width ef looks at some ten rows for each of the ef that it expands, in no order; a
 * scan reads them in a row. From this part of all rows on the scan is the cheaper one. */
#define SUTRA_WALK_SHARE_MAX 8u

/* sifted_walk.c */
/* Walk the graph of a linked index with width ef; what is found is in walk->pool, for which the
 * scratch has room. */
void sutra_front_walk(const struct sutra_front *front, const struct sutra_space *space,
                      const struct sutra_work_query *query, size_t ef, struct sutra_scratch *walk);
/* A walk among rows of which some may not be found. */
struct sutra_sifted_walk {
    const struct sutra_space *space;
    size_t k, ef;
    size_t met, hidden;   /* rows a walk may meet, and about how many of them are not to be found */
    const uint64_t *view; /* see sutra_front_shows */
};
/* Walk as wide as it takes to find what a walk of width ef finds where nothing is hidden. The first
 * found_out of walk->pool are the nearest found, at most as many as deserve a rerank. SIZE_MAX: it
 * would cost as much as a scan, which is to follow. SUTRA_E_NO_MEMORY. */
int sutra_front_walk_sifted(const struct sutra_front *front, const struct sutra_sifted_walk *sifted,
                            const struct sutra_work_query *query, struct sutra_scratch *walk,
                            size_t *found_out);

/* query.c */
/* Set the vector of a query whose arrays are there. coded: get it ready for codes. */
void sutra_front_set_query(const struct sutra_front *front, struct sutra_work_query *query,
                           const float *vector, bool coded);
/* How many of the rows found by a walk of width ef deserve a rerank. */
size_t sutra_index_rerank_rows(size_t k, size_t ef);
/* Did the order of a pool, which codes gave, say little about which of the `ranked` first of it are
 * the best? */
bool sutra_query_is_doubtful(const struct sutra_work_query *query, const uint64_t *pool,
                             size_t ranked);
/* Take the first `wanted` of the rows found among the query's best, by the best distance known, and
 * if their order by codes proves doubtful the others as well; without quantization, where a walk's
 * keys are distances, they become the best. */
void sutra_front_rank(const struct sutra_front *front, struct sutra_work_query *query,
                      const uint64_t *found, size_t found_count, size_t wanted, size_t k);
/* filtered_search.c: the k best of the rows that pass. Rows below `nodes` are in the graph, those
 * below `coded` have codes (or, without quantization, keys); the rest is compared exactly. coded 0:
 * all is, and `space` and `walk` are not looked at. */
int sutra_front_search_passing(const struct sutra_front *front, const struct sutra_space *space,
                               const struct sutra_sieve *sieve, size_t nodes, size_t coded,
                               struct sutra_work_query *query, size_t k, size_t ef,
                               struct sutra_scratch *walk, struct sutra_plan *plan_out);
struct sutra_query_scratch *sutra_index_take_scratch(struct sutra_index *index, size_t k);
void sutra_index_give_scratch(struct sutra_index *index, struct sutra_query_scratch *scratch);
void sutra_index_free_scratch(struct sutra_index *index);
/* Finite, and shorter than the root of SUTRA_SQUARE_MAX; fault.row names the first that is not. */
int sutra_front_check_vectors(const struct sutra_front *front, const float *vectors, size_t stride,
                              size_t count, struct sutra_fault *fault_out);
/* 1/|v| for cosine (0 for a zero vector), 1 otherwise. */
float sutra_front_scale(const struct sutra_front *front, const float *vector);
/* Write the k best items (key, row) as ids and distances, padded. */
void sutra_front_write_hits(const struct sutra_front *front, const uint64_t *best, size_t count,
                            size_t k, int64_t *ids_out, float *distances_out);

/* Rows of a streamed index that readers may see. */
SUTRA_INLINE size_t sutra_index_rows(const struct sutra_index *index)
{
    return __atomic_load_n(&index->stream.rows, __ATOMIC_ACQUIRE);
}

/* encode.c */
struct sutra_encoding {
    const struct sutra_front *front;
    const struct sutra_quantizer *quantizer;
    const struct sutra_plane *planes; /* where codes go: _HIGH, _LOW (may be absent), _CORRECTION */
    const float *vectors; /* of first_row; NULL: decode the index's codes, by its own quantizer */
    size_t stride;        /* floats */
    size_t first_row;
    const uint32_t *rows; /* instead of first_row, where they are not one after the other */
};
size_t sutra_encoding_scratch_bytes(const struct sutra_front *front);
/* Encode rows [begin, end) of those given, or first_row + [begin, end). scratch is aligned to 64
 * bytes. */
void sutra_encoding_rows(const struct sutra_encoding *encoding, void *scratch, size_t begin,
                         size_t end);
/* Encode `count` rows. SUTRA_E_NO_MEMORY, before anything is written. */
int sutra_encoding_run(const struct sutra_encoding *encoding, size_t count, unsigned threads);
/* Fit a quantizer to `count` vectors. */
int sutra_front_fit(const struct sutra_front *front, struct sutra_quantizer *quantizer,
                    const float *vectors, size_t stride, size_t count);
/* Make a quantizer fitted to the first `count` rows: to originals, or to what codes stand for. */
int sutra_front_fit_anew(const struct sutra_front *front, size_t count,
                         struct sutra_quantizer *quantizer_out);

/* Fit the quantizer anew when the index has grown this much. */
#define SUTRA_REFIT_GROWTH 8u

/* renew.c: codes by a quantizer that is fitted anew, for those of `now`. */
#define SUTRA_CODE_PLANES ((size_t)SUTRA_PLANE_CORRECTION + 1)

struct sutra_renewal {
    struct sutra_index *index;
    struct sutra_quantizer quantizer;
    struct sutra_plane planes[SUTRA_CODE_PLANES]; /* by SUTRA_PLANE_HIGH, _LOW, _CORRECTION */
    unsigned threads;
    size_t fitted;  /* rows the quantizer was fitted to */
    size_t encoded; /* rows that have their codes */
};

/* Fit to the first `rows` rows; _end follows, unless it fails: SUTRA_E_NO_MEMORY, _CAPACITY. */
int sutra_renewal_begin(struct sutra_renewal *renewal, struct sutra_index *index, size_t rows,
                        unsigned threads);
/* Make the codes of rows that have none, up to `rows`; from originals, or from the old codes. */
int sutra_renewal_encode(struct sutra_renewal *renewal, size_t rows);
/* Room for `rows` rows. */
int sutra_renewal_commit(struct sutra_renewal *renewal, size_t rows);
/* Put quantizer and codes into `now`; those that were there are left. */
void sutra_renewal_adopt(struct sutra_renewal *renewal, struct sutra_left *left);
/* Let go of what was not adopted. */
void sutra_renewal_end(struct sutra_renewal *renewal);

/* resident.c */
/* Start copying the hot planes if they fit in half of the free memory; failing to is no error. */
void sutra_index_start_copier(struct sutra_index *index);
/* Must be called without holding `writer`. */
void sutra_index_stop_copier(struct sutra_index *index);

#endif
