/* What the files of this room share: the index's inside. To be included first: it asks libc for
 * the POSIX locks.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_INDEX_PARTS_H
#define SUTRA_INDEX_PARTS_H

#include "../base/lock.h"

#include "index.h"
#include "../graph/float_space.h"
#include "../quant/quantizer.h"
#include "../vectors/planes.h"

enum {
    SUTRA_PLANE_HIGH = 0,
    SUTRA_PLANE_LOW,
    SUTRA_PLANE_CORRECTION,
    SUTRA_PLANE_ID,
    SUTRA_PLANE_ORIGINAL,
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

struct sutra_index {
    const struct sutra_kernels *kernels;
    struct sutra_index_options options;
    struct sutra_lock lock;
    bool closed;

    size_t count;
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

    int fd; /* of the file it was opened from, kept for verify; -1 */
    bool arena;

    /* resident.c: copies the hot planes into memory behind an index opened "auto" */
    pthread_t copier;
    bool copier_started;
    bool copier_stop; /* atomic */
};

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

/* exact.c: scan rows [0, count) for one to sixteen queries at a time. */
int sutra_index_scan(struct sutra_index *index, struct sutra_query_scratch *scratch,
                     const float *queries, size_t stride, size_t count, size_t k, int64_t *ids_out,
                     float *distances_out);

/* query.c */
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

SUTRA_INLINE bool sutra_index_has_originals(const struct sutra_index *index)
{
    return index->planes.plane[SUTRA_PLANE_ORIGINAL].base != NULL;
}

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
