/* Residency "auto": an index opened mapped answers at once, and a thread copies its hot planes
 * (links, codes, corrections, ids) into anonymous, huge-page memory behind its back.
 *
 * The copy is made under the read lock, so nothing changes meanwhile; the swap takes the write
 * lock for a moment. A plane that an add has begun to change is left alone.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <signal.h>
#include <string.h>

#include "../base/platform.h"

/* A plane and where its copy goes. */
struct hot_plane {
    struct sutra_plane *plane;
    struct sutra_plane copy;
};

static size_t list_hot_planes(struct sutra_index *index, struct hot_plane *hot)
{
    size_t count = 0;
    hot[count++].plane = &index->graph.links.plane[0];
    hot[count++].plane = &index->planes.plane[SUTRA_PLANE_HIGH];
    hot[count++].plane = &index->planes.plane[SUTRA_PLANE_CORRECTION];
    hot[count++].plane = &index->planes.plane[SUTRA_PLANE_ID];
    if (!sutra_index_has_originals(index))
        hot[count++].plane = &index->planes.plane[SUTRA_PLANE_LOW];
    if (index->options.quantization == SUTRA_QUANT_NONE)
        hot[count++].plane = &index->planes.plane[SUTRA_PLANE_ORIGINAL];
    return count;
}

static bool stop_asked(struct sutra_index *index)
{
    return __atomic_load_n(&index->copier_stop, __ATOMIC_RELAXED);
}

static void *copy_hot_planes(void *context)
{
    struct sutra_index *index = context;
    struct hot_plane hot[6];
    memset(hot, 0, sizeof hot);
    int status = SUTRA_OK;

    sutra_lock_read(&index->lock);
    const size_t rows = index->count, planes = index->closed ? 0 : list_hot_planes(index, hot);
    for (size_t p = 0; p < planes && status == SUTRA_OK; p++) {
        const struct sutra_plane *plane = hot[p].plane;
        if (stop_asked(index))
            status = SUTRA_E_CANCELLED;
        else if (plane->base && plane->arena.mapped_read_only)
            status = sutra_plane_copy(plane, rows, SUTRA_HUGE_ADVISE, &hot[p].copy);
    }
    sutra_unlock(&index->lock);

    sutra_lock_write(&index->lock);
    if (status == SUTRA_OK && !index->closed && index->count == rows && !stop_asked(index)) {
        for (size_t p = 0; p < planes; p++) {
            if (!hot[p].copy.base || !hot[p].plane->arena.mapped_read_only)
                continue;
            const struct sutra_plane mapped = *hot[p].plane;
            *hot[p].plane = hot[p].copy;
            hot[p].copy = mapped;
        }
        index->arena = true;
    }
    sutra_unlock(&index->lock);
    for (size_t p = 0; p < planes; p++)
        sutra_plane_release(&hot[p].copy);
    return NULL;
}

void sutra_index_start_copier(struct sutra_index *index)
{
    struct hot_plane hot[6];
    struct sutra_platform platform;
    uint64_t bytes = 0;
    const size_t planes = list_hot_planes(index, hot);
    for (size_t p = 0; p < planes; p++)
        bytes += (uint64_t)index->count * hot[p].plane->row_bytes;
    sutra_platform_read(&platform);
    if (bytes == 0 || bytes > platform.memory_available_bytes / 2)
        return;
    /* Signals belong to the threads of the program, not to ours. */
    sigset_t all, before;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return;
    index->copier_started = pthread_create(&index->copier, NULL, copy_hot_planes, index) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void sutra_index_stop_copier(struct sutra_index *index)
{
    __atomic_store_n(&index->copier_stop, true, __ATOMIC_RELAXED);
    sutra_lock_write(&index->lock);
    const bool started = index->copier_started;
    index->copier_started = false;
    sutra_unlock(&index->lock);
    if (started)
        pthread_join(index->copier, NULL);
}
