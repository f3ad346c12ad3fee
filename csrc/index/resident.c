/* Residency "auto": an index opened mapped answers at once, and a thread copies its hot planes
 * (links, codes, corrections, ids) into anonymous, huge-page memory behind its back.
 *
 * The copy is made as a writer, so nothing changes meanwhile; readers go on, and get the copies
 * with the next front. A plane that an add has begun to change is left alone.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "../base/platform.h"

#define HOT_PLANES_MAX 6u

/* A plane and where its copy goes. */
struct hot_plane {
    struct sutra_plane *plane;
    struct sutra_plane copy;
};

static size_t list_hot_planes(struct sutra_index *index, struct hot_plane *hot)
{
    size_t count = 0;
    hot[count++].plane = &index->now.graph.links.plane[0];
    hot[count++].plane = &index->now.planes.plane[SUTRA_PLANE_HIGH];
    hot[count++].plane = &index->now.planes.plane[SUTRA_PLANE_CORRECTION];
    hot[count++].plane = &index->now.planes.plane[SUTRA_PLANE_ID];
    if (!sutra_front_has_originals(&index->now))
        hot[count++].plane = &index->now.planes.plane[SUTRA_PLANE_LOW];
    if (index->now.options.quantization == SUTRA_QUANT_NONE)
        hot[count++].plane = &index->now.planes.plane[SUTRA_PLANE_ORIGINAL];
    return count;
}

static bool stop_asked(struct sutra_index *index)
{
    return __atomic_load_n(&index->copier_stop, __ATOMIC_RELAXED);
}

/* As the writer. */
static int copy_planes(struct sutra_index *index, struct hot_plane *hot, size_t planes)
{
    int status = SUTRA_OK;
    for (size_t p = 0; p < planes && status == SUTRA_OK; p++) {
        const struct sutra_plane *plane = hot[p].plane;
        if (stop_asked(index))
            status = SUTRA_E_CANCELLED;
        else if (plane->base && plane->arena.mapped_read_only)
            status = sutra_plane_copy(plane, index->now.count, SUTRA_HUGE_ADVISE, &hot[p].copy);
    }
    return status;
}

static void put_in_place(struct sutra_index *index, struct hot_plane *hot, size_t planes,
                         struct sutra_front *fresh)
{
    struct sutra_left left = {.plane_count = 0};
    for (size_t p = 0; p < planes; p++) {
        if (!hot[p].copy.base)
            continue;
        sutra_left_plane(&left, hot[p].plane);
        *hot[p].plane = hot[p].copy;
        hot[p].copy = (struct sutra_plane){0};
    }
    index->now.arena = true;
    sutra_front_publish(index, fresh, &left);
    sutra_front_settle(index);
}

static void *copy_hot_planes(void *context)
{
    struct sutra_index *index = context;
    struct hot_plane hot[HOT_PLANES_MAX];
    memset(hot, 0, sizeof hot);
    struct sutra_front *fresh = sutra_front_new();
    pthread_mutex_lock(&index->writer);
    const size_t planes = index->closed ? 0 : list_hot_planes(index, hot);
    if (planes && fresh && copy_planes(index, hot, planes) == SUTRA_OK)
        put_in_place(index, hot, planes, fresh);
    else
        free(fresh);
    pthread_mutex_unlock(&index->writer);
    for (size_t p = 0; p < planes; p++)
        sutra_plane_release(&hot[p].copy);
    return NULL;
}

void sutra_index_start_copier(struct sutra_index *index)
{
    struct hot_plane hot[HOT_PLANES_MAX];
    struct sutra_platform platform;
    uint64_t bytes = 0;
    const size_t planes = list_hot_planes(index, hot);
    for (size_t p = 0; p < planes; p++)
        bytes += (uint64_t)index->now.count * hot[p].plane->row_bytes;
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
    pthread_mutex_lock(&index->writer);
    const bool started = index->copier_started;
    index->copier_started = false;
    pthread_mutex_unlock(&index->writer);
    if (started)
        pthread_join(index->copier, NULL);
}
