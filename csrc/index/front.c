/* Publishing fronts, entering and leaving them; see front.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <stdlib.h>

struct sutra_front *sutra_front_new(void)
{
    return calloc(1, sizeof(struct sutra_front));
}

/* Older fronts that have the same planes were retired before this one, so their readers have left
 * as well. */
static void release_front(void *object, size_t bytes)
{
    struct sutra_front *front = object;
    (void)bytes;
    for (unsigned p = 0; p < front->left.plane_count; p++)
        sutra_plane_release(&front->left.planes[p]);
    sutra_quantizer_deinit(&front->left.quantizer);
    free(front);
}

void sutra_front_retire(struct sutra_index *index, void *object, size_t bytes,
                        void (*release)(void *object, size_t bytes))
{
    if (!object)
        return;
    if (sutra_epoch_retire(&index->epochs, object, bytes, release) != SUTRA_OK) {
        sutra_epoch_drain(&index->epochs);
        release(object, bytes);
    }
    sutra_epoch_collect(&index->epochs);
}

void sutra_front_settle(struct sutra_index *index)
{
    sutra_epoch_drain(&index->epochs);
    sutra_epoch_collect(&index->epochs);
}

void sutra_front_publish(struct sutra_index *index, struct sutra_front *fresh,
                         const struct sutra_left *left)
{
    *fresh = index->now;
    sutra_ids_enter(index);
    struct sutra_front *const old = __atomic_exchange_n(&index->front, fresh, __ATOMIC_ACQ_REL);
    sutra_ids_leave(index);
    if (old && left)
        old->left = *left;
    sutra_front_retire(index, old, sizeof *old, release_front);
}

/* A close takes the front away and then waits for those inside: who enters later finds none. */
int sutra_index_enter(struct sutra_index *index, bool with_ids, struct sutra_reading *reading_out)
{
    reading_out->slot = sutra_epoch_enter(&index->epochs);
    reading_out->front = __atomic_load_n(&index->front, __ATOMIC_ACQUIRE);
    int status = reading_out->front ? SUTRA_OK : SUTRA_E_CLOSED;
    if (status == SUTRA_OK && with_ids)
        status = sutra_ids_prepare(index, reading_out->front);
    if (status != SUTRA_OK)
        sutra_index_leave(index, reading_out);
    return status;
}

void sutra_index_leave(struct sutra_index *index, const struct sutra_reading *reading)
{
    sutra_epoch_leave(&index->epochs, reading->slot);
}
