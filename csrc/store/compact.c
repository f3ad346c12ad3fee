/* Compaction: a fresh state with what is visible, then a checkpoint of it alone.
 *
 * The copy is made from a view while writers go on; what they write meanwhile is in the log, and is
 * replayed onto the copy, the last of it with writers waiting. Without a log writers wait
 * throughout. Where no concept and no vector is dead there is nothing to copy: associations are
 * folded, and all is written anew.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "directory.h"

#define LINK_STEP 8192u

struct compaction {
    struct sutra_store_view *view;
    struct sutra_log_end end; /* where in the log the view is */
    struct sutra_state *fresh;
};

/* A view of everything written, where the log was then, and the state to copy to. The writer's lock
 * is held. */
static int begin(struct sutra_store *store, struct compaction *compaction)
{
    int status = store->closing ? SUTRA_E_CLOSED : SUTRA_OK;
    if (status == SUTRA_OK && store->io)
        status = sutra_store_sync(store);
    if (status == SUTRA_OK)
        status = sutra_store_view_begin(store, &compaction->view);
    if (status == SUTRA_OK)
        status = sutra_state_new(store, &compaction->fresh);
    if (status == SUTRA_OK) /* no view has those of its LSN: they are those of now */
        status =
            sutra_settings_copy(&compaction->view->state->settings, &compaction->fresh->settings);
    if (status == SUTRA_OK) /* the same of fields */
        status = sutra_attributes_copy_fields(&compaction->view->state->attributes,
                                              &compaction->fresh->attributes);
    if (status != SUTRA_OK)
        return status;
    if (store->log_open)
        sutra_log_end_of(&store->log, &compaction->end);
    else
        compaction->end = store->log_end;
    return SUTRA_OK;
}

static int link_all(struct sutra_store *store, struct sutra_state *state)
{
    size_t linked = 1;
    int status = SUTRA_OK;
    while (status == SUTRA_OK && linked && state->index &&
           sutra_stream_rows(state->index) >= SUTRA_FLAT_ROWS && sutra_stream_pending(state->index))
        status = sutra_stream_link(state->index, LINK_STEP,
                                   store->options.threads ? store->options.threads : 1,
                                   &store->stop, &linked);
    return status;
}

/* The replay borrows the writer's scratch, so the writer's lock is held. */
static int catch_up(struct sutra_store *store, struct compaction *compaction)
{
    char file[SUTRA_STORE_NAME_BYTES];
    struct sutra_fault fault;
    const struct sutra_store_stats counters = store->counters;
    const int status = sutra_store_replay(store, compaction->fresh, &compaction->end,
                                          store->next_lsn - 1, file, &fault);
    store->counters = counters; /* this is no recovery */
    return status;
}

static void use_epochs(struct sutra_state *state, struct sutra_epochs *epochs)
{
    state->concepts.epochs = epochs;
    state->concepts.map.epochs = epochs;
    sutra_attributes_use_epochs(&state->attributes, epochs);
}

/* The copy has no readers, and the store's epochs are the writer's to retire in: it has its own. */
static int build(struct sutra_store *store, struct compaction *compaction)
{
    struct sutra_epochs epochs;
    int status = sutra_epochs_init(&epochs);
    if (status != SUTRA_OK)
        return status;
    use_epochs(compaction->fresh, &epochs);
    status = sutra_state_copy(store, compaction->view, compaction->fresh, NULL);
    if (status == SUTRA_OK)
        status = link_all(store, compaction->fresh);
    use_epochs(compaction->fresh, &store->epochs);
    sutra_epochs_deinit(&epochs);
    return status;
}

/* Rows that waited to be linked do so no more: writers may be waiting for that. The writer's lock
 * is held. */
static void use_copy(struct sutra_store *store, struct compaction *compaction)
{
    sutra_store_swap_state(store, compaction->fresh);
    compaction->fresh = NULL;
    pthread_mutex_lock(&store->commit);
    if (!sutra_store_pending(store))
        store->pending_since_ns = 0;
    pthread_cond_broadcast(&store->changed);
    pthread_mutex_unlock(&store->commit);
}

static int compact_with_log(struct sutra_store *store, struct compaction *compaction)
{
    pthread_mutex_lock(&store->writer);
    int status = begin(store, compaction);
    pthread_mutex_unlock(&store->writer);
    if (status == SUTRA_OK)
        status = build(store, compaction);
    if (status != SUTRA_OK)
        return status;
    pthread_mutex_lock(&store->writer);
    status = sutra_store_sync(store);
    if (status == SUTRA_OK)
        status = catch_up(store, compaction);
    if (status == SUTRA_OK)
        use_copy(store, compaction);
    pthread_mutex_unlock(&store->writer);
    return status;
}

static int compact_in_memory(struct sutra_store *store, struct compaction *compaction)
{
    pthread_mutex_lock(&store->writer);
    int status = begin(store, compaction);
    if (status == SUTRA_OK)
        status = build(store, compaction);
    if (status == SUTRA_OK)
        use_copy(store, compaction);
    pthread_mutex_unlock(&store->writer);
    return status;
}

/* Is there a version of a concept, or a vector, that only older views see, or what was a column? */
static bool has_dead(struct sutra_store *store)
{
    pthread_mutex_lock(&store->writer);
    const struct sutra_state *state = sutra_store_state(store);
    const bool found = state->concepts.slot_count > state->concepts.live_count ||
                       (state->index && sutra_stream_dead(state->index) > 0) ||
                       sutra_attributes_lost_blocks(&state->attributes) > 0;
    pthread_mutex_unlock(&store->writer);
    return found;
}

static int compact_associations(struct sutra_store *store)
{
    size_t linked = 1;
    int status = SUTRA_OK;
    while (status == SUTRA_OK && linked)
        status = sutra_store_link_step(store, LINK_STEP, &linked);
    const struct sutra_state *state = sutra_store_state(store);
    if (status == SUTRA_OK && sutra_associations_delta_rows(state->associations) > 0)
        status = sutra_store_fold(store);
    return status;
}

int sutra_store_compact_locked(struct sutra_store *store)
{
    struct compaction compaction = {0};
    int status = SUTRA_E_CLOSED;
    if (!__atomic_load_n(&store->closed, __ATOMIC_ACQUIRE)) {
        if (!has_dead(store))
            status = compact_associations(store);
        else
            status = store->io ? compact_with_log(store, &compaction)
                               : compact_in_memory(store, &compaction);
    }
    sutra_store_view_end(compaction.view);
    sutra_state_release(compaction.fresh);
    if (status == SUTRA_OK) {
        memset(store->sealed, 0, sizeof store->sealed);
        status = sutra_store_checkpoint_locked(store, true, true);
    }
    /* The manifest before this one still names what is gone. */
    if (status == SUTRA_OK && store->io)
        status = sutra_store_forget_previous(store);
    return status;
}

int sutra_store_compact(struct sutra_store *store)
{
    if (store->read_only)
        return SUTRA_E_READ_ONLY;
    pthread_mutex_lock(&store->maintenance);
    const int status = sutra_store_compact_locked(store);
    pthread_mutex_unlock(&store->maintenance);
    return status;
}

/* ---- when it pays */

bool sutra_store_compaction_due(const struct sutra_store *store, const struct sutra_state *state)
{
    const struct sutra_concepts *concepts = &state->concepts;
    const uint64_t slots = concepts->slot_count, dead_slots = slots - concepts->live_count;
    const uint64_t rows = state->index ? sutra_stream_rows(state->index) : 0;
    const uint64_t dead_rows = state->index ? sutra_stream_dead(state->index) : 0;
    const uint64_t row_bytes = state->index ? sutra_stream_row_bytes(state->index) : 0;
    if (store->options.no_compaction || dead_slots < store->options.compact_dead ||
        dead_slots < store->compact_from)
        return false;
    /* Contents of the dead are taken to be as long as those of the others. */
    const uint64_t slot_bytes =
        sizeof(struct sutra_record) + 2 * sizeof(uint64_t) + concepts->heap.used / slots;
    const uint64_t dead = dead_rows * row_bytes + dead_slots * slot_bytes;
    return dead >= (rows * row_bytes + slots * slot_bytes - dead) / store->options.compact_share;
}

/* ---- following: how a read-only handle sees what a writer has done since */

static int reload(struct sutra_store *store, struct sutra_fault *fault)
{
    /* A second handle does the work; its state is taken over. */
    struct sutra_store *other;
    char file[SUTRA_STORE_NAME_BYTES];
    int status = sutra_store_open(store->io, store->kernels, store->path, &store->options, &other,
                                  file, fault);
    if (status != SUTRA_OK)
        return status;
    struct sutra_state *fresh = other->state;
    other->state = NULL;
    use_epochs(fresh, &store->epochs);
    store->follow = other->follow;
    sutra_manifest_free(&store->manifest);
    store->manifest = other->manifest;
    memset(&other->manifest, 0, sizeof other->manifest);
    store->index_options = other->index_options;
    store->counters = other->counters;
    sutra_store_swap_state(store, fresh);
    sutra_store_free(other);
    return SUTRA_OK;
}

int sutra_store_refresh(struct sutra_store *store, bool *changed_out)
{
    *changed_out = false;
    if (!store->read_only)
        return __atomic_load_n(&store->closed, __ATOMIC_ACQUIRE) ? SUTRA_E_CLOSED : SUTRA_OK;
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    char file[SUTRA_STORE_NAME_BYTES];
    uint64_t stop_lsn;
    pthread_mutex_lock(&store->maintenance);
    pthread_mutex_lock(&store->writer);
    const uint64_t before = store->visible_lsn;
    int status = store->closing ? SUTRA_E_CLOSED : sutra_store_stop_lsn(store, &stop_lsn);
    if (status == SUTRA_OK) {
        status = sutra_store_replay(store, sutra_store_state(store), &store->follow, stop_lsn, file,
                                    &fault);
        /* Overtaken: the log that comes next has been removed, or is not the one we expect. */
        if (status == ENOENT || status == SUTRA_E_CORRUPT || status == SUTRA_E_TRUNCATED ||
            (status == SUTRA_OK && stop_lsn != UINT64_MAX && store->follow.next_lsn <= stop_lsn))
            status = reload(store, &fault);
    }
    if (status == SUTRA_OK && store->follow.next_lsn - 1 > before) {
        *changed_out = true;
        store->next_lsn = store->follow.next_lsn;
        sutra_store_seen(store, store->next_lsn - 1);
    }
    pthread_mutex_unlock(&store->writer);
    pthread_mutex_unlock(&store->maintenance);
    return status;
}
