/* What is durable, and what readers may see.
 *
 * Group commit: whoever needs a sync becomes the leader if none is under way; one sync makes
 * durable all that was applied when it began, and those who came meanwhile wait for the next, which
 * starts when this one ends. There is no timer.
 *
 * With sync full a view sees what is durable; otherwise what is applied.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include "../base/bytes.h"
#include "../base/crc32c.h"
#include "state_file.h"

/* The commit lock is held. */
static void publish(struct sutra_store *store, uint64_t lsn, uint64_t live)
{
    if (lsn <= store->visible_lsn)
        return;
    __atomic_fetch_add(&store->visible_sequence, 1, __ATOMIC_ACQ_REL);
    __atomic_store_n(&store->visible_live, live, __ATOMIC_RELEASE);
    __atomic_store_n(&store->visible_lsn, lsn, __ATOMIC_RELEASE);
    __atomic_fetch_add(&store->visible_sequence, 1, __ATOMIC_RELEASE);
    sutra_store_tell_readers(store);
}

void sutra_store_tell_readers(struct sutra_store *store)
{
    if (store->state_fd < 0)
        return;
    uint8_t bytes[SUTRA_STATE_FILE_BYTES] = {0};
    sutra_state_file_fill(bytes, store->visible_lsn, store->durable_lsn);
    const struct sutra_span span = {bytes, sizeof bytes};
    size_t done;
    /* Scratch: a reader that cannot trust it looks at the log alone. */
    (void)store->io->write(store->io->context, store->state_fd, 0, &span, 1, &done);
}

void sutra_store_applied(struct sutra_store *store, uint64_t lsn)
{
    const struct sutra_state *state = sutra_store_state(store);
    const uint64_t live = state->concepts.live_count;
    const bool compaction = sutra_store_compaction_due(store, state);
    const bool due = compaction || sutra_store_fold_due(state->associations) ||
                     (store->io && sutra_store_log_bytes(store) >= store->checkpoint_at);
    pthread_mutex_lock(&store->commit);
    store->compaction_due = compaction;
    store->work_due = store->work_due || due;
    store->applied_lsn = lsn;
    store->applied_live = live;
    if (store->options.sync != SUTRA_SYNC_FULL || !store->io)
        publish(store, lsn, live);
    if (!store->io)
        __atomic_store_n(&store->durable_lsn, lsn, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&store->changed);
    pthread_mutex_unlock(&store->commit);
}

void sutra_store_seen(struct sutra_store *store, uint64_t lsn)
{
    const uint64_t live = sutra_store_state(store)->concepts.live_count;
    pthread_mutex_lock(&store->commit);
    store->applied_lsn = lsn;
    store->applied_live = live;
    __atomic_store_n(&store->durable_lsn, lsn, __ATOMIC_RELEASE);
    publish(store, lsn, live);
    pthread_mutex_unlock(&store->commit);
}

void sutra_store_fail(struct sutra_store *store, int status)
{
    pthread_mutex_lock(&store->commit);
    if (!store->failed)
        __atomic_store_n(&store->failed, status, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&store->changed);
    pthread_mutex_unlock(&store->commit);
}

void sutra_store_wake(struct sutra_store *store)
{
    pthread_mutex_lock(&store->commit);
    pthread_cond_broadcast(&store->changed);
    pthread_mutex_unlock(&store->commit);
}

/* One sync as the leader. The commit lock is held, and given up meanwhile. */
static void lead(struct sutra_store *store)
{
    const uint64_t lsn = store->applied_lsn, live = store->applied_live;
    store->syncing = true;
    pthread_mutex_unlock(&store->commit);
    const int status = sutra_log_sync(&store->log);
    pthread_mutex_lock(&store->commit);
    store->syncing = false;
    if (status != SUTRA_OK) {
        if (!store->failed)
            __atomic_store_n(&store->failed, status, __ATOMIC_RELEASE);
    } else if (lsn > store->durable_lsn) {
        __atomic_store_n(&store->durable_lsn, lsn, __ATOMIC_RELEASE);
        publish(store, lsn, live);
    }
    pthread_cond_broadcast(&store->changed);
}

int sutra_store_wait(struct sutra_store *store, uint64_t lsn)
{
    pthread_mutex_lock(&store->commit);
    while (store->durable_lsn < lsn && !store->failed && lsn <= store->applied_lsn) {
        if (store->syncing)
            pthread_cond_wait(&store->changed, &store->commit);
        else
            lead(store);
    }
    int status = SUTRA_OK;
    if (store->durable_lsn < lsn)
        status = store->failed ? SUTRA_E_DURABILITY : SUTRA_E_ARGUMENT;
    pthread_mutex_unlock(&store->commit);
    return status;
}

int sutra_store_sync(struct sutra_store *store)
{
    pthread_mutex_lock(&store->commit);
    const uint64_t lsn = store->applied_lsn;
    pthread_mutex_unlock(&store->commit);
    return sutra_store_wait(store, lsn);
}

void sutra_store_await_sync(struct sutra_store *store)
{
    pthread_mutex_lock(&store->commit);
    while (store->syncing)
        pthread_cond_wait(&store->changed, &store->commit);
    pthread_mutex_unlock(&store->commit);
}

uint64_t sutra_store_durable_lsn(const struct sutra_store *store)
{
    return __atomic_load_n(&store->durable_lsn, __ATOMIC_ACQUIRE);
}

uint64_t sutra_store_visible_lsn(const struct sutra_store *store)
{
    return __atomic_load_n(&store->visible_lsn, __ATOMIC_ACQUIRE);
}

int sutra_store_flush(struct sutra_store *store)
{
    if (__atomic_load_n(&store->closed, __ATOMIC_ACQUIRE))
        return SUTRA_E_CLOSED;
    return store->read_only ? SUTRA_OK : sutra_store_sync(store);
}
