/* Background work: linking, folding, compaction, checkpoints, syncs by interval.
 *
 * One thread sleeps until there is something to do and until when it may wait with it; with nothing
 * to do it sleeps without an alarm. How long it lets rows gather follows the load: a drain that
 * found few makes the next one later, up to eight times the interval, a full one makes it come at
 * once.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#define LINK_STEP 4096u
#define FEW_ROWS 64u
#define PATIENCE_MAX 8u
#define MARKER_AFTER_NS ((int64_t)1000000000)
#define FOLD_ROWS_MIN ((size_t)1 << 18)

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

size_t sutra_store_pending(struct sutra_store *store)
{
    const unsigned slot = sutra_epoch_enter(&store->epochs);
    const struct sutra_state *state = sutra_store_state(store);
    const struct sutra_index *index =
        state ? __atomic_load_n(&state->index, __ATOMIC_ACQUIRE) : NULL;
    /* Too few for a graph are never pending: a scan is what they get. */
    const size_t pending =
        index && sutra_stream_rows(index) >= SUTRA_FLAT_ROWS ? sutra_stream_pending(index) : 0;
    sutra_epoch_leave(&store->epochs, slot);
    return pending;
}

int64_t sutra_store_lag_ms(const struct sutra_store *store)
{
    return store->pending_since_ns ? (now_ns() - store->pending_since_ns) / 1000000 : 0;
}

/* ---- steps; the maintenance lock is held */

int sutra_store_link_step(struct sutra_store *store, size_t rows, size_t *linked_out)
{
    *linked_out = 0;
    if (!sutra_store_pending(store))
        return SUTRA_OK;
    struct sutra_state *state = sutra_store_state(store);
    const unsigned threads = store->options.threads ? store->options.threads : 1;
    const int status = sutra_stream_link(state->index, rows, threads, &store->stop, linked_out);
    pthread_mutex_lock(&store->commit);
    store->link_status = status;
    if (!sutra_store_pending(store))
        store->pending_since_ns = 0;
    pthread_cond_broadcast(&store->changed); /* writers may be waiting for room */
    pthread_mutex_unlock(&store->commit);
    return status;
}

bool sutra_store_fold_due(const struct sutra_associations *associations)
{
    const size_t delta = sutra_associations_delta_rows(associations);
    return delta >= FOLD_ROWS_MIN && delta >= sutra_associations_count(associations) / 3;
}

int sutra_store_fold(struct sutra_store *store)
{
    /* Edges of the CSR have no birth: every reader must be past them. So all that is applied is
     * made visible first. */
    struct sutra_associations *folded = NULL;
    pthread_mutex_lock(&store->writer);
    int status = store->closed ? SUTRA_E_CLOSED : SUTRA_OK;
    if (status == SUTRA_OK && store->options.sync == SUTRA_SYNC_FULL && store->io)
        status = sutra_store_sync(store);
    if (status == SUTRA_OK)
        status = sutra_associations_fold(sutra_store_state(store)->associations, &folded);
    if (status == SUTRA_OK)
        sutra_store_swap_associations(store, folded);
    pthread_mutex_unlock(&store->writer);
    return status;
}

static bool compaction_due(struct sutra_store *store)
{
    pthread_mutex_lock(&store->commit);
    const bool due = store->compaction_due;
    pthread_mutex_unlock(&store->commit);
    return due;
}

/* What could not be done, for want of space or memory, is tried again when there is much more of
 * it. */
static int compact(struct sutra_store *store)
{
    const int status = sutra_store_compact_locked(store);
    pthread_mutex_lock(&store->writer);
    const struct sutra_concepts *concepts = &sutra_store_state(store)->concepts;
    const uint64_t dead = concepts->slot_count - concepts->live_count;
    store->compact_from = status == SUTRA_OK ? 0 : dead + dead / 2;
    pthread_mutex_lock(&store->commit);
    store->compaction_due = false;
    pthread_mutex_unlock(&store->commit);
    pthread_mutex_unlock(&store->writer);
    return status;
}

static int reconcile(struct sutra_store *store, size_t *linked_out)
{
    int status = sutra_store_link_step(store, LINK_STEP, linked_out);
    if (status == SUTRA_OK && sutra_store_fold_due(sutra_store_state(store)->associations))
        status = sutra_store_fold(store);
    if (status == SUTRA_OK && compaction_due(store))
        status = compact(store);
    if (sutra_store_checkpoint_due(store)) {
        const int written = sutra_store_checkpoint_locked(store, false, false);
        status = status == SUTRA_OK ? written : status;
    }
    return status;
}

static bool busy(struct sutra_store *store)
{
    return sutra_store_pending(store) ||
           sutra_store_fold_due(sutra_store_state(store)->associations) || compaction_due(store) ||
           sutra_store_checkpoint_due(store);
}

int sutra_store_reconcile(struct sutra_store *store, bool *busy_out)
{
    *busy_out = false;
    pthread_mutex_lock(&store->maintenance);
    int status = SUTRA_E_CLOSED;
    if (!__atomic_load_n(&store->closed, __ATOMIC_ACQUIRE)) {
        size_t linked;
        status = reconcile(store, &linked);
        *busy_out = busy(store);
    }
    pthread_mutex_unlock(&store->maintenance);
    return status;
}

int sutra_store_settle(struct sutra_store *store)
{
    int status = SUTRA_OK;
    size_t linked = 1;
    while (status == SUTRA_OK && linked) {
        pthread_mutex_lock(&store->maintenance);
        if (__atomic_load_n(&store->closed, __ATOMIC_ACQUIRE))
            status = SUTRA_E_CLOSED;
        else
            status = sutra_store_link_step(store, LINK_STEP, &linked);
        pthread_mutex_unlock(&store->maintenance);
    }
    return status;
}

/* ---- the thread */

struct waiting {
    int64_t deadline; /* INT64_MAX: none */
    int64_t marker_at;
    uint64_t marker_lsn; /* the last write seen */
    int64_t sync_at;
    unsigned patience;
};

static void not_later_than(struct waiting *waiting, int64_t at)
{
    waiting->deadline = at < waiting->deadline ? at : waiting->deadline;
}

/* When is there something to do? The commit lock is held. */
static void find_deadline(struct sutra_store *store, struct waiting *waiting)
{
    const int64_t now = now_ns(),
                  interval = (int64_t)store->options.reconcile_interval_ms * 1000000;
    waiting->deadline = INT64_MAX;
    const size_t pending = store->link_status == SUTRA_OK ? sutra_store_pending(store) : 0;
    if (pending) {
        if (!store->pending_since_ns)
            store->pending_since_ns = now;
        not_later_than(waiting, pending >= store->options.flush_threshold / 2
                                    ? now
                                    : store->pending_since_ns + interval * waiting->patience);
    }
    if (store->work_due)
        not_later_than(waiting, now);
    if (store->options.sync == SUTRA_SYNC_INTERVAL && store->applied_lsn > store->durable_lsn &&
        !store->failed && store->io) {
        if (!waiting->sync_at)
            waiting->sync_at = now + (int64_t)store->options.sync_interval_ms * 1000000;
        not_later_than(waiting, waiting->sync_at);
    }
    if (store->io && waiting->marker_lsn != store->applied_lsn) {
        waiting->marker_lsn = store->applied_lsn;
        waiting->marker_at = now + MARKER_AFTER_NS;
    }
    if (waiting->marker_at)
        not_later_than(waiting, waiting->marker_at);
}

static void sleep_until(struct sutra_store *store, const struct waiting *waiting)
{
    if (waiting->deadline == INT64_MAX) {
        pthread_cond_wait(&store->changed, &store->commit);
        return;
    }
    /* The condition's clock is the one that every system has. */
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    const int64_t left = waiting->deadline - now_ns();
    const int64_t nanoseconds = until.tv_nsec + (left > 0 ? left : 0);
    until.tv_sec += (time_t)(nanoseconds / 1000000000);
    until.tv_nsec = (long)(nanoseconds % 1000000000);
    pthread_cond_timedwait(&store->changed, &store->commit, &until);
}

static void work(struct sutra_store *store, struct waiting *waiting)
{
    const int64_t now = now_ns();
    if (waiting->sync_at && now >= waiting->sync_at) {
        (void)sutra_store_sync(store); /* a failure is kept and reported by the next write */
        waiting->sync_at = 0;
    }
    if (waiting->marker_at && now >= waiting->marker_at) {
        (void)sutra_store_write_marker(store);
        waiting->marker_at = 0;
        pthread_mutex_lock(&store->commit);
        waiting->marker_lsn = store->applied_lsn;
        pthread_mutex_unlock(&store->commit);
    }
    pthread_mutex_lock(&store->maintenance);
    size_t linked = 0;
    if (!__atomic_load_n(&store->closed, __ATOMIC_ACQUIRE))
        (void)reconcile(store, &linked); /* kept in link_status and last_checkpoint_status */
    pthread_mutex_unlock(&store->maintenance);
    if (linked >= LINK_STEP)
        waiting->patience = 0;
    else if (linked && linked < FEW_ROWS)
        waiting->patience =
            waiting->patience < PATIENCE_MAX ? 2 * waiting->patience + 1 : PATIENCE_MAX;
    else
        waiting->patience = 1;
}

/* What was opened mapped to answer at once is copied into memory now. */
static void make_resident(struct sutra_store *store)
{
    pthread_mutex_lock(&store->maintenance);
    struct sutra_state *state = sutra_store_state(store);
    struct sutra_index *index = state ? __atomic_load_n(&state->index, __ATOMIC_ACQUIRE) : NULL;
    if (index && store->options.resident == SUTRA_RESIDENT_AUTO)
        (void)sutra_stream_make_resident(index);
    pthread_mutex_unlock(&store->maintenance);
}

/* Only writes ask whether so much is dead that compaction pays: what a handle before this one has
 * left is asked for once. */
static void look_for_dead(struct sutra_store *store)
{
    pthread_mutex_lock(&store->writer);
    const struct sutra_state *state = sutra_store_state(store);
    const bool due = state && sutra_store_compaction_due(store, state);
    pthread_mutex_lock(&store->commit);
    store->compaction_due = store->compaction_due || due;
    store->work_due = store->work_due || due;
    pthread_mutex_unlock(&store->commit);
    pthread_mutex_unlock(&store->writer);
}

static void *run(void *argument)
{
    struct sutra_store *store = argument;
    make_resident(store);
    look_for_dead(store);
    pthread_mutex_lock(&store->commit);
    struct waiting waiting = {.patience = 1, .marker_lsn = store->applied_lsn};
    while (!__atomic_load_n(&store->stop, __ATOMIC_ACQUIRE)) {
        find_deadline(store, &waiting);
        if (waiting.deadline > now_ns()) {
            sleep_until(store, &waiting);
            continue;
        }
        store->work_due = false;
        pthread_mutex_unlock(&store->commit);
        work(store, &waiting);
        pthread_mutex_lock(&store->commit);
    }
    pthread_mutex_unlock(&store->commit);
    return NULL;
}

int sutra_store_start_thread(struct sutra_store *store)
{
    if (store->options.no_thread || store->read_only)
        return SUTRA_OK;
    /* Signals are the program's: this thread takes none. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int status = pthread_create(&store->thread, NULL, run, store);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    store->thread_started = status == 0;
    return status;
}

void sutra_store_stop_thread(struct sutra_store *store)
{
    __atomic_store_n(&store->stop, true, __ATOMIC_RELEASE);
    sutra_store_wake(store);
    if (store->thread_started)
        pthread_join(store->thread, NULL);
    store->thread_started = false;
    __atomic_store_n(&store->stop, false, __ATOMIC_RELEASE);
}
