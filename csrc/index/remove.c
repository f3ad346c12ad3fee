/* Removing vectors, and what becomes of their rows.
 *
 * A removed row is dead: from the front that says so on no search finds it. In the graph it stays a
 * way to others, until enough are dead that a sweep pays: then no list names them any more, and
 * once the searches that may stand on them have ended their lists are emptied. The rows are vacant
 * then, and the next add takes them before it takes new ones.
 *
 * Which rows are dead is a bitmap that does not change: a new one comes with the front that shows
 * it, so that what one call removes, or replaces, changes at once for every reader.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

/* A graph is swept when so large a part of what is alive is dead and in it. */
#define SWEEP_SHARE 16u
#define SWEEP_ROWS_MIN 64u

static size_t word_count(size_t rows)
{
    return rows / 64 + 1;
}

uint64_t *sutra_dead_copy(const struct sutra_front *front, size_t rows)
{
    uint64_t *dead = calloc(word_count(rows), sizeof *dead);
    if (dead && front->dead)
        memcpy(dead, front->dead, word_count(front->count) * sizeof *dead);
    return dead;
}

static void release_words(void *words, size_t bytes)
{
    (void)bytes;
    free(words);
}

void sutra_dead_publish(struct sutra_index *index, struct sutra_front *fresh, uint64_t *dead,
                        const struct sutra_left *left)
{
    uint64_t *const old = index->dead;
    index->dead = dead;
    index->now.dead = dead;
    sutra_front_publish(index, fresh, left);
    sutra_front_retire(index, old, 0, release_words);
}

/* ---- dead rows become vacant */

static int reserve_vacant(struct sutra_index *index)
{
    const size_t words = word_count(index->now.count);
    if (words <= index->vacant_words)
        return SUTRA_OK;
    uint64_t *vacant = realloc(index->vacant, words * sizeof *vacant);
    if (!vacant)
        return SUTRA_E_NO_MEMORY;
    memset(vacant + index->vacant_words, 0, (words - index->vacant_words) * sizeof *vacant);
    index->vacant = vacant;
    index->vacant_words = words;
    return SUTRA_OK;
}

/* Take the dead out of the graph, for those who come from now on. */
static int sweep(struct sutra_index *index, struct sutra_front *fresh, unsigned threads)
{
    struct sutra_front *now = &index->now;
    if (!now->linked || sutra_front_alive(now) == 0) {
        free(fresh);
        return SUTRA_OK;
    }
    struct sutra_space space;
    sutra_front_build_space(now, &space);
    const int status = sutra_graph_sweep(&now->graph, &space, now->dead, threads);
    if (status == SUTRA_OK)
        sutra_front_publish(index, fresh, NULL);
    else
        free(fresh);
    return status;
}

int sutra_index_reclaim(struct sutra_index *index, unsigned threads)
{
    struct sutra_front *now = &index->now;
    struct sutra_front *swept = sutra_front_new(), *cleared = sutra_front_new();
    int status = swept && cleared ? reserve_vacant(index) : SUTRA_E_NO_MEMORY;
    if (status != SUTRA_OK) {
        free(swept);
        free(cleared);
        return status;
    }
    status = sweep(index, swept, threads);
    if (status == SUTRA_OK) {
        sutra_front_settle(index);
        if (now->linked)
            status = sutra_graph_clear_nodes(&now->graph, now->dead);
    }
    if (status != SUTRA_OK) {
        free(cleared);
        return status;
    }
    memcpy(index->vacant, now->dead, word_count(now->count) * sizeof *index->vacant);
    now->vacant_count = now->dead_count;
    sutra_front_publish(index, cleared, NULL);
    /* Without a sweep, who came after the wait has set out from a row that is vacant now. */
    if (now->linked && sutra_front_alive(now) == 0)
        sutra_front_settle(index);
    return SUTRA_OK;
}

static bool reclaim_due(const struct sutra_front *now)
{
    const size_t dead = now->dead_count - now->vacant_count;
    if (!now->linked)
        return dead > 0;
    const size_t alive = sutra_front_alive(now);
    return alive == 0 ? dead > 0 : dead >= SWEEP_ROWS_MIN && dead >= alive / SWEEP_SHARE;
}

size_t sutra_index_next_vacant(const struct sutra_index *index, size_t row)
{
    for (; row < index->vacant_words * 64; row = (row | 63) + 1) {
        const uint64_t word = index->vacant[row / 64] >> row % 64;
        if (word)
            return row + (size_t)__builtin_ctzll(word);
    }
    return SIZE_MAX;
}

/* What vectors there were in vacant rows, which are writable, is to be read by nobody who reads
 * this memory. */
static void erase_vacant(struct sutra_index *index)
{
    static const unsigned erased[] = {SUTRA_PLANE_HIGH, SUTRA_PLANE_LOW, SUTRA_PLANE_CORRECTION,
                                      SUTRA_PLANE_ORIGINAL};
    struct sutra_planes *planes = &index->now.planes;
    for (size_t row = sutra_index_next_vacant(index, 0); row != SIZE_MAX;
         row = sutra_index_next_vacant(index, row + 1)) {
        for (size_t p = 0; p < sizeof erased / sizeof *erased; p++) {
            const struct sutra_plane *plane = &planes->plane[erased[p]];
            if (plane->base)
                memset(plane->base + row * plane->row_bytes, 0, plane->row_bytes);
        }
    }
}

int sutra_index_after_removal(struct sutra_index *index, unsigned threads)
{
    struct sutra_front *now = &index->now;
    if (index->secure_delete && now->dead_count > now->vacant_count) {
        /* First, so that rows that are vacant are erased: another try finds the others. */
        int status = sutra_planes_make_writable(&now->planes);
        if (status == SUTRA_OK)
            status = sutra_index_reclaim(index, threads);
        if (status == SUTRA_OK)
            erase_vacant(index);
        return status;
    }
    /* For want of memory the dead wait for the next removal. */
    if (reclaim_due(now))
        (void)sutra_index_reclaim(index, threads);
    return SUTRA_OK;
}

/* ---- removing */

/* Mark the rows of ids that are there; returns how many. */
static size_t mark(const struct sutra_front *now, const int64_t *ids, size_t count, uint64_t *dead)
{
    size_t removed = 0;
    for (size_t j = 0; j < count; j++) {
        const size_t row = sutra_front_row_of(now, ids[j]);
        if (row == SIZE_MAX || dead[row / 64] >> row % 64 & 1)
            continue;
        dead[row / 64] |= (uint64_t)1 << row % 64;
        removed++;
    }
    return removed;
}

static int remove_ids(struct sutra_index *index, const int64_t *ids, size_t count, unsigned threads,
                      size_t *removed_out)
{
    struct sutra_front *now = &index->now;
    int status = sutra_ids_reserve(index, 0, true);
    if (status != SUTRA_OK)
        return status;
    struct sutra_front *fresh = sutra_front_new();
    uint64_t *dead = sutra_dead_copy(now, now->count);
    const size_t removed = fresh && dead ? mark(now, ids, count, dead) : 0;
    if (removed == 0) {
        status = fresh && dead ? SUTRA_OK : SUTRA_E_NO_MEMORY;
        free(fresh);
        free(dead);
        /* What an earlier call had no memory to overwrite waits for this one. */
        return status == SUTRA_OK ? sutra_index_after_removal(index, threads) : status;
    }
    now->dead_count += removed;
    sutra_dead_publish(index, fresh, dead, NULL);
    *removed_out = removed;
    return sutra_index_after_removal(index, threads);
}

int sutra_index_delete(struct sutra_index *index, const int64_t *ids, size_t count,
                       unsigned threads, size_t *removed_out)
{
    *removed_out = 0;
    pthread_mutex_lock(&index->writer);
    int status = index->closed ? SUTRA_E_CLOSED : SUTRA_OK;
    if (status == SUTRA_OK && count > 0)
        status = remove_ids(index, ids, count, threads ? threads : 1, removed_out);
    pthread_mutex_unlock(&index->writer);
    return status;
}

int sutra_index_set_secure_delete(struct sutra_index *index, bool secure)
{
    pthread_mutex_lock(&index->writer);
    const int status = index->closed ? SUTRA_E_CLOSED : SUTRA_OK;
    index->secure_delete = secure;
    pthread_mutex_unlock(&index->writer);
    return status;
}
