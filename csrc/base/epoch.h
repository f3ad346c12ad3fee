/* Epochs: when may memory that readers might still see be freed?
 *
 * A reader enters before it loads a shared pointer and leaves when it is done with what it points
 * to. A writer that has replaced the pointer retires the old memory; it is freed once every
 * reader that was inside at that time has left (Fraser, "Practical lock-freedom", 2004, section
 * 5.2.3). Readers take no lock and wait for nobody; entering is one compare-and-swap and leaving
 * one store, on a cache line that is the reader's own as long as few readers are inside.
 *
 * Ownership: _init/_deinit; _deinit frees all that was retired and needs that nobody is inside.
 * Threading: any thread may enter, more than once too, and leave in another thread than it entered
 * in; _retire, _collect and _drain are the writer's (one thread at a time). Errors:
 * SUTRA_E_NO_MEMORY from _init; and from _retire, then nothing was retired and the memory is still
 * the caller's: sutra_epoch_drain waits until it may be freed.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_BASE_EPOCH_H
#define SUTRA_BASE_EPOCH_H

#include "config.h"

#define SUTRA_EPOCH_READERS 128u

struct sutra_epoch_slot {
    uint64_t epoch; /* atomic; 0: free */
    uint8_t unused[SUTRA_CACHE_LINE - sizeof(uint64_t)];
};

struct sutra_retired;

struct sutra_epochs {
    struct sutra_epoch_slot *slots; /* SUTRA_EPOCH_READERS, aligned to cache lines */
    uint64_t now;                   /* atomic; starts at 1 */
    struct sutra_retired *retired;  /* newest first */
};

int sutra_epochs_init(struct sutra_epochs *epochs);
void sutra_epochs_deinit(struct sutra_epochs *epochs);

/* Returns the slot to leave by. With all slots taken it yields until one is free. */
unsigned sutra_epoch_enter(struct sutra_epochs *epochs);
void sutra_epoch_leave(struct sutra_epochs *epochs, unsigned slot);

/* Call release(object, bytes) once no reader that is inside now can see it: from _collect or
 * _deinit. Whoever enters from now on must not find the object any more. */
int sutra_epoch_retire(struct sutra_epochs *epochs, void *object, size_t bytes,
                       void (*release)(void *object, size_t bytes));
/* Free what can be freed now. Costs next to nothing when nothing is retired. */
void sutra_epoch_collect(struct sutra_epochs *epochs);
/* Wait until every reader that is inside now has left. Not from inside. */
void sutra_epoch_drain(struct sutra_epochs *epochs);

#endif
