/* Epochs; the contract is in epoch.h.
 *
 * The writer must not miss a reader who still saw the old pointer. It looks at a slot by an atomic
 * addition of 0, so that its look and the reader's compare-and-swap on that slot have an order:
 * either the writer finds the reader's epoch there, or the reader takes over the writer's release
 * and sees the new pointer. That holds in the language's own memory model, needs no fence, and
 * ThreadSanitizer follows it.
 *
 * What is retired carries the epoch that ends with it. A reader whose epoch is later read the
 * raised number, and with it saw the new pointer. One whose epoch is not later may have seen the
 * old one, or may just have been slow to enter; both are waited for.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "epoch.h"
#include "memory.h"
#include "prng.h"
#include "status.h"

#define SLOTS_BYTES (SUTRA_EPOCH_READERS * sizeof(struct sutra_epoch_slot))

_Static_assert(sizeof(struct sutra_epoch_slot) == SUTRA_CACHE_LINE, "a reader has its own line");

struct sutra_retired {
    struct sutra_retired *next;
    uint64_t epoch; /* falls along the list */
    void *object;
    size_t bytes;
    void (*release)(void *object, size_t bytes);
};

int sutra_epochs_init(struct sutra_epochs *epochs)
{
    memset(epochs, 0, sizeof *epochs);
    void *slots;
    const int status = sutra_aligned_alloc(SUTRA_CACHE_LINE, SLOTS_BYTES, &slots);
    if (status != SUTRA_OK)
        return status;
    epochs->slots = slots;
    epochs->now = 1;
    return SUTRA_OK;
}

static void release_list(struct sutra_retired *retired)
{
    while (retired) {
        struct sutra_retired *const next = retired->next;
        retired->release(retired->object, retired->bytes);
        free(retired);
        retired = next;
    }
}

void sutra_epochs_deinit(struct sutra_epochs *epochs)
{
    release_list(epochs->retired);
    sutra_aligned_free(epochs->slots, SLOTS_BYTES);
    memset(epochs, 0, sizeof *epochs);
}

/* errno is each thread's own, so its address tells threads apart. */
static unsigned favourite_slot(void)
{
    return (unsigned)(sutra_mix64((uintptr_t)&errno) % SUTRA_EPOCH_READERS);
}

unsigned sutra_epoch_enter(struct sutra_epochs *epochs)
{
    unsigned slot = favourite_slot();
    for (unsigned tried = 1;; tried++) {
        uint64_t *const epoch = &epochs->slots[slot].epoch;
        uint64_t none = 0;
        if (__atomic_load_n(epoch, __ATOMIC_RELAXED) == 0 &&
            __atomic_compare_exchange_n(epoch, &none,
                                        __atomic_load_n(&epochs->now, __ATOMIC_ACQUIRE), false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return slot;
        slot = (slot + 1) % SUTRA_EPOCH_READERS;
        if (tried % SUTRA_EPOCH_READERS == 0)
            (void)sched_yield();
    }
}

void sutra_epoch_leave(struct sutra_epochs *epochs, unsigned slot)
{
    __atomic_store_n(&epochs->slots[slot].epoch, 0, __ATOMIC_RELEASE);
}

static uint64_t look_at(struct sutra_epochs *epochs, unsigned slot)
{
    return __atomic_fetch_add(&epochs->slots[slot].epoch, 0, __ATOMIC_ACQ_REL);
}

/* Begin a new epoch; returns the one that ended. */
static uint64_t end_epoch(struct sutra_epochs *epochs)
{
    return __atomic_fetch_add(&epochs->now, 1, __ATOMIC_ACQ_REL);
}

int sutra_epoch_retire(struct sutra_epochs *epochs, void *object, size_t bytes,
                       void (*release)(void *object, size_t bytes))
{
    struct sutra_retired *const retired = malloc(sizeof *retired);
    if (!retired)
        return SUTRA_E_NO_MEMORY;
    *retired = (struct sutra_retired){.next = epochs->retired,
                                      .epoch = end_epoch(epochs),
                                      .object = object,
                                      .bytes = bytes,
                                      .release = release};
    epochs->retired = retired;
    return SUTRA_OK;
}

void sutra_epoch_collect(struct sutra_epochs *epochs)
{
    if (!epochs->retired)
        return;
    uint64_t oldest = UINT64_MAX;
    for (unsigned slot = 0; slot < SUTRA_EPOCH_READERS; slot++) {
        const uint64_t epoch = look_at(epochs, slot);
        if (epoch != 0 && epoch < oldest)
            oldest = epoch;
    }
    struct sutra_retired **link = &epochs->retired;
    while (*link && (*link)->epoch >= oldest)
        link = &(*link)->next;
    struct sutra_retired *const free_now = *link;
    *link = NULL;
    release_list(free_now);
}

void sutra_epoch_drain(struct sutra_epochs *epochs)
{
    const uint64_t ended = end_epoch(epochs);
    for (unsigned slot = 0; slot < SUTRA_EPOCH_READERS; slot++) {
        for (;;) {
            const uint64_t epoch = look_at(epochs, slot);
            if (epoch == 0 || epoch > ended)
                break;
            (void)sched_yield();
        }
    }
}
