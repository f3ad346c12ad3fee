/* The front of an index: what readers see, as it was at one moment.
 *
 * Whoever changes an index works on a front of its own, `now`, and shows it to readers by
 * publishing a copy: one atomic pointer names the newest. A reader enters an epoch, loads the
 * pointer, and has an index that does not change under it for as long as it stays inside; it takes
 * no lock and waits for nobody. The copy is shallow. What it points to, planes above all, is shared
 * by all fronts that have it and changes only in ways that no reader minds: rows that the front
 * does not have yet are written, neighbour lists and deaths change by atomic words, room is added
 * behind planes that never move. Whatever is replaced instead goes with the front that was the last
 * to have it, once nobody is inside who may have seen that.
 *
 * Ownership: a front is the index's; `left` is what it takes along. Threading: _publish is one
 * thread's at a time; everything that takes a const front, any number's. Errors: none but as named.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_INDEX_FRONT_H
#define SUTRA_INDEX_FRONT_H

#include "index.h"
#include "../base/epoch.h"
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

/* Planes that one change may replace: those of codes, the originals, the base lists. */
#define SUTRA_LEFT_PLANES 6u

/* What a change has replaced: to be released once no reader sees it. */
struct sutra_left {
    struct sutra_plane planes[SUTRA_LEFT_PLANES];
    unsigned plane_count;
    struct sutra_quantizer quantizer; /* all zero: none */
};

/* Move a plane, which becomes absent, to what is left; nothing where there is none. */
SUTRA_INLINE void sutra_left_plane(struct sutra_left *left, struct sutra_plane *plane)
{
    if (plane->base)
        left->planes[left->plane_count++] = *plane;
    *plane = (struct sutra_plane){0};
}

struct sutra_id_lookup;

struct sutra_front {
    const struct sutra_kernels *kernels;
    struct sutra_index_options options;
    size_t original_stride; /* floats */
    struct sutra_id_lookup *lookup;

    /* Rows of a plain index: those that may be found. A streamed index counts its rows itself, so
     * that they are seen as they come; it has lifetimes instead of the next four. */
    size_t count;
    const uint64_t *dead; /* bit r % 64 of word r / 64: row r must not be found; NULL: all may */
    size_t dead_count;
    size_t vacant_count; /* of these, so many are not in the graph any more */
    size_t unfinished;   /* rows from `count` on that an add under way has linked already */

    bool identity_ids; /* id = row; the id plane is absent */
    bool linked;       /* quantized (unless NONE) and in the graph */
    bool arena;        /* hot planes are in anonymous memory */
    size_t fitted_count;
    size_t coded; /* of a streamed index: rows with codes, where originals are kept besides */

    struct sutra_planes planes;
    struct sutra_quantizer quantizer;
    struct sutra_graph graph; /* what is linked: its count, upper_count and entry bound a walk */

    struct sutra_left left; /* filled in when the front is replaced; no reader looks at it */
};

/* ---- publishing (front.c) */

/* Memory for a front to be published; NULL for want of it. An unused one is freed. */
struct sutra_front *sutra_front_new(void);
/* Make `fresh`, from sutra_front_new, a copy of `now` and the front that readers get from here on.
 * left (may be NULL) is what only older fronts have. Cannot fail: without memory to remember what
 * is to be freed later, it waits until that is now. */
void sutra_front_publish(struct sutra_index *index, struct sutra_front *fresh,
                         const struct sutra_left *left);
/* Free `object` once no reader inside now can see it. Only the one who publishes may, holding
 * nothing that a reader waits for. */
void sutra_front_retire(struct sutra_index *index, void *object, size_t bytes,
                        void (*release)(void *object, size_t bytes));
/* Wait until all who are inside now have left, and free what was retired. As above. */
void sutra_front_settle(struct sutra_index *index);

/* A reader inside: it may use `front` until it leaves. */
struct sutra_reading {
    const struct sutra_front *front;
    unsigned slot;
};

/* SUTRA_E_CLOSED. with_ids: so that sutra_front_row_of works; then also SUTRA_E_NO_MEMORY. On
 * failure nobody is inside. */
int sutra_index_enter(struct sutra_index *index, bool with_ids, struct sutra_reading *reading_out);
void sutra_index_leave(struct sutra_index *index, const struct sutra_reading *reading);

/* ---- rows */

SUTRA_INLINE bool sutra_front_has_codes(const struct sutra_front *front)
{
    return front->planes.plane[SUTRA_PLANE_HIGH].base != NULL;
}

SUTRA_INLINE bool sutra_front_has_originals(const struct sutra_front *front)
{
    return front->planes.plane[SUTRA_PLANE_ORIGINAL].base != NULL;
}

SUTRA_INLINE const float *sutra_front_original(const struct sutra_front *front, size_t row)
{
    return sutra_planes_row(&front->planes, SUTRA_PLANE_ORIGINAL, row);
}

SUTRA_INLINE int64_t sutra_front_id_of(const struct sutra_front *front, size_t row)
{
    return front->identity_ids ? (int64_t)row
                               : __atomic_load_n((const int64_t *)sutra_planes_row(
                                                     &front->planes, SUTRA_PLANE_ID, row),
                                                 __ATOMIC_RELAXED);
}

SUTRA_INLINE bool sutra_front_is_dead(const struct sutra_front *front, size_t row)
{
    return front->dead && (front->dead[row / 64] >> (row % 64) & 1);
}

/* May the row be found? Of a streamed index, at `view`: birth <= view < death. Of a plain one,
 * where view is NULL: it is finished, and alive. */
SUTRA_INLINE bool sutra_front_shows(const struct sutra_front *front, size_t row,
                                    const uint64_t *view)
{
    if (!view)
        return row < front->count && !sutra_front_is_dead(front, row);
    const uint64_t *births = sutra_planes_row(&front->planes, SUTRA_PLANE_BIRTH, 0);
    const uint64_t *deaths = sutra_planes_row(&front->planes, SUTRA_PLANE_DEATH, 0);
    return births[row] <= *view && *view < __atomic_load_n(&deaths[row], __ATOMIC_RELAXED);
}

/* Rows of a plain index that can be found. */
SUTRA_INLINE size_t sutra_front_alive(const struct sutra_front *front)
{
    return front->count - front->dead_count;
}

/* A zero vector has no direction, so under cosine its codes mean nothing. Its correction says so:
 * {more than 0, 0}, which no other row has. */
SUTRA_INLINE bool sutra_front_is_zero_row(const struct sutra_front *front, size_t row)
{
    if (front->options.metric != SUTRA_METRIC_COSINE)
        return false;
    const float *correction = sutra_planes_row(&front->planes, SUTRA_PLANE_CORRECTION, row);
    return correction[0] > 0.0f && correction[1] == 0.0f;
}

/* The distance that a squared Euclidean one between unit vectors stands for, by metric; a zero
 * row or query lies at 1. query_scale is 0 for a zero query. */
SUTRA_INLINE float sutra_front_code_distance(const struct sutra_front *front, float query_scale,
                                             size_t row, float distance)
{
    if (front->options.metric != SUTRA_METRIC_COSINE)
        return distance;
    return query_scale == 0.0f || sutra_front_is_zero_row(front, row) ? 1.0f : 0.5f * distance;
}

/* A row's vector, as given or decoded. SUTRA_E_NO_MEMORY. */
int sutra_front_read_row(const struct sutra_front *front, size_t row, float *vector_out);

#endif
