/* Residency "auto" of a streamed index: opened mapped, it answers at once; later what a walk reads
 * is copied into huge-page memory of its own.
 *
 * The planes concerned are changed by the linker alone, which is the caller, so the copy needs no
 * lock; a front puts it in place.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <stdlib.h>

#include "stream.h"
#include "../base/platform.h"

#define HOT_PLANES 3u

struct hot {
    struct sutra_plane *plane;
    struct sutra_plane copy;
    const struct sutra_planes *group;
};

static uint64_t list_hot(struct sutra_index *index, struct hot *hot)
{
    hot[0].plane = &index->now.graph.links.plane[0];
    hot[0].group = &index->now.graph.links;
    hot[1].plane = &index->now.planes.plane[SUTRA_PLANE_HIGH];
    hot[2].plane = &index->now.planes.plane[SUTRA_PLANE_CORRECTION];
    hot[1].group = hot[2].group = &index->now.planes;
    uint64_t bytes = 0;
    for (unsigned p = 0; p < HOT_PLANES; p++) {
        hot[p].copy = (struct sutra_plane){0};
        if (!hot[p].plane->base)
            hot[p].plane = NULL;
        else
            bytes += (uint64_t)index->now.graph.count * hot[p].plane->row_bytes;
    }
    return bytes;
}

/* The writer may have made room meanwhile: under its gate the copies get as much. */
static int put_in_place(struct sutra_index *index, struct hot *hot)
{
    struct sutra_left left = {.plane_count = 0};
    struct sutra_front *fresh = sutra_front_new();
    int status = fresh ? SUTRA_OK : SUTRA_E_NO_MEMORY;
    pthread_mutex_lock(&index->stream.gate);
    for (unsigned p = 0; p < HOT_PLANES && status == SUTRA_OK; p++) {
        if (hot[p].plane)
            status = sutra_arena_commit(&hot[p].copy.arena,
                                        hot[p].group->capacity_rows * hot[p].plane->row_bytes);
    }
    for (unsigned p = 0; p < HOT_PLANES && status == SUTRA_OK; p++) {
        if (!hot[p].plane)
            continue;
        sutra_left_plane(&left, hot[p].plane);
        *hot[p].plane = hot[p].copy;
        hot[p].copy = (struct sutra_plane){0};
    }
    if (status == SUTRA_OK) {
        index->now.arena = true;
        /* Codes of pending rows were not copied: the linker makes them anew. */
        index->now.coded = index->now.graph.count;
        sutra_front_publish(index, fresh, &left);
    } else {
        free(fresh);
    }
    pthread_mutex_unlock(&index->stream.gate);
    return status;
}

int sutra_stream_make_resident(struct sutra_index *index)
{
    struct hot hot[HOT_PLANES];
    struct sutra_platform platform;
    /* Without originals the writer encodes what it appends. */
    if (!index->now.options.keep_originals || index->now.arena || index->now.graph.count == 0)
        return SUTRA_OK;
    const uint64_t bytes = list_hot(index, hot);
    sutra_platform_read(&platform);
    if (bytes > platform.memory_available_bytes / 2)
        return SUTRA_OK;
    int status = SUTRA_OK;
    for (unsigned p = 0; p < HOT_PLANES && status == SUTRA_OK; p++) {
        if (hot[p].plane)
            status = sutra_plane_copy(hot[p].plane, index->now.graph.count, SUTRA_HUGE_ADVISE,
                                      &hot[p].copy);
    }
    if (status == SUTRA_OK)
        status = put_in_place(index, hot);
    for (unsigned p = 0; p < HOT_PLANES; p++)
        sutra_plane_release(&hot[p].copy);
    return status;
}
