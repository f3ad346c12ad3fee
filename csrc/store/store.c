/* Life of a store: opening, making, closing; and what it says of itself.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "directory.h"

#define DEFAULT_M 16u
#define DEFAULT_EF_CONSTRUCTION 200u
#define DEFAULT_LOG_BYTES ((uint64_t)64 << 20)
#define DEFAULT_COMPACT_DEAD 4096u
#define DEFAULT_COMPACT_SHARE 12u
/* A log shorter than this is not worth a checkpoint at close: replaying it takes milliseconds. */
#define CLOSE_LOG_BYTES ((uint64_t)1 << 20)
/* So many linked rows that are not saved would have to be linked again. */
#define CLOSE_GRAPH_ROWS SUTRA_FLAT_ROWS
#define HOLDER_BYTES_MAX 256u
/* A reader that finds files gone has been overtaken by a checkpoint. */
#define READER_TRIES 10u

/* ---- options */

static int refuse(struct sutra_fault *fault, const char *what, uint64_t stored, uint64_t asked)
{
    *fault = SUTRA_FAULT_NONE;
    fault->what = what;
    fault->expected = stored;
    fault->found = asked;
    return SUTRA_E_CONFIG;
}

static void default_options(struct sutra_store *store)
{
    struct sutra_store_options *options = &store->options;
    if (!options->reconcile_interval_ms)
        options->reconcile_interval_ms = 10;
    if (!options->flush_threshold)
        options->flush_threshold = 50000;
    /* Below this nothing is linked at all. */
    if (options->flush_threshold < 2 * SUTRA_FLAT_ROWS)
        options->flush_threshold = 2 * SUTRA_FLAT_ROWS;
    if (!options->sync_interval_ms)
        options->sync_interval_ms = 100;
    if (!options->log_bytes)
        options->log_bytes = DEFAULT_LOG_BYTES;
    if (!options->compact_dead)
        options->compact_dead = DEFAULT_COMPACT_DEAD;
    if (!options->compact_share)
        options->compact_share = DEFAULT_COMPACT_SHARE;
    store->checkpoint_at = options->log_bytes;
}

static int new_options(struct sutra_store *store, struct sutra_fault *fault)
{
    const struct sutra_store_options *asked = &store->options;
    struct sutra_index_options *options = &store->index_options;
    options->dim = asked->dim;
    options->metric = asked->metric < 0 ? SUTRA_METRIC_COSINE : asked->metric;
    options->quantization = asked->quantization < 0 ? SUTRA_QUANT_U8 : asked->quantization;
    options->keep_originals = asked->keep_originals != 0;
    options->m = asked->m ? asked->m : DEFAULT_M;
    options->ef_construction =
        asked->ef_construction ? asked->ef_construction : DEFAULT_EF_CONSTRUCTION;
    /* The index checks the values; without a dimension there is none yet. */
    struct sutra_index_options probe = *options;
    probe.dim = probe.dim ? probe.dim : 1;
    struct sutra_index *index;
    const int status = sutra_stream_new(store->kernels, &probe, &index, fault);
    if (status == SUTRA_OK)
        sutra_index_free(index);
    return status;
}

static int compare_options(const struct sutra_store *store, struct sutra_fault *fault)
{
    const struct sutra_store_options *asked = &store->options;
    const struct sutra_index_options *stored = &store->index_options;
    if (asked->dim && stored->dim && asked->dim != stored->dim)
        return refuse(fault, "dim", stored->dim, asked->dim);
    if (asked->metric >= 0 && asked->metric != stored->metric)
        return refuse(fault, "metric", (uint64_t)stored->metric, (uint64_t)asked->metric);
    if (asked->quantization >= 0 && asked->quantization != stored->quantization)
        return refuse(fault, "quantization", (uint64_t)stored->quantization,
                      (uint64_t)asked->quantization);
    if (asked->keep_originals >= 0 && (asked->keep_originals != 0) != stored->keep_originals)
        return refuse(fault, "keep_originals", stored->keep_originals, asked->keep_originals != 0);
    if (asked->m && asked->m != stored->m)
        return refuse(fault, "m", stored->m, asked->m);
    if (asked->ef_construction && asked->ef_construction != stored->ef_construction)
        return refuse(fault, "ef_construction", stored->ef_construction, asked->ef_construction);
    return SUTRA_OK;
}

/* A dimension that was asked for and is not stored holds for this handle. */
static int take_asked_dim(struct sutra_store *store, struct sutra_fault *fault)
{
    struct sutra_state *state = store->state;
    if (!store->options.dim || state->index || store->read_only)
        return SUTRA_OK;
    store->index_options.dim = store->options.dim;
    return sutra_stream_new(store->kernels, &store->index_options, &state->index, fault);
}

/* ---- lock */

static void write_holder(struct sutra_store *store)
{
    int fd;
    if (!store->options.holder || sutra_directory_open(store->io, store->path, SUTRA_HOLDER_NAME,
                                                       SUTRA_OPEN_CREATE, &fd) != SUTRA_OK)
        return;
    size_t length = strlen(store->options.holder);
    length = length < HOLDER_BYTES_MAX ? length : HOLDER_BYTES_MAX;
    const struct sutra_span span = {store->options.holder, length};
    if (store->io->truncate(store->io->context, fd, 0) == SUTRA_OK)
        (void)sutra_io_write_all(store->io, fd, 0, &span, 1);
    store->io->close(store->io->context, fd);
}

int sutra_store_holder(const struct sutra_io *io, const char *path, char *text_out,
                       size_t text_bytes)
{
    int fd;
    text_out[0] = '\0';
    int status = sutra_directory_open(io, path, SUTRA_HOLDER_NAME, SUTRA_OPEN_READ, &fd);
    if (status != SUTRA_OK)
        return status;
    size_t done = 0;
    status = io->read(io->context, fd, 0, text_out, text_bytes - 1, &done);
    text_out[status == SUTRA_OK ? done : 0] = '\0';
    io->close(io->context, fd);
    return status;
}

static int take_lock(struct sutra_store *store)
{
    const struct sutra_io *io = store->io;
    int fd;
    int status = sutra_directory_open(io, store->path, SUTRA_LOCK_NAME, SUTRA_OPEN_CREATE, &fd);
    if (status != SUTRA_OK)
        return status;
    status = io->lock(io->context, fd);
    if (status != SUTRA_OK) {
        io->close(io->context, fd);
        return status == EAGAIN || status == EACCES ? SUTRA_E_LOCKED : status;
    }
    store->lock_fd = fd;
    write_holder(store);
    return SUTRA_OK;
}

/* ---- opening */

static int make_store(struct sutra_store *store, struct sutra_fault *fault)
{
    struct sutra_store_identity identity;
    const struct sutra_io *io = store->io;
    int status = new_options(store, fault);
    if (status == SUTRA_OK)
        status = io->random(io->context, identity.store_id, sizeof identity.store_id);
    if (status == SUTRA_OK)
        status = io->random(io->context, &store->hash_seed, sizeof store->hash_seed);
    if (status == SUTRA_OK)
        status = sutra_state_new(store, &store->state);
    if (status != SUTRA_OK)
        return status;
    identity.created_ns = io->now_ns(io->context);
    memcpy(store->manifest.store_id, identity.store_id, sizeof identity.store_id);
    store->next_lsn = 1;
    store->next_file = 1;
    store->log_end.next_lsn = 1;
    status = sutra_store_checkpoint_locked(store, true, true);
    if (status == SUTRA_OK)
        status = sutra_identity_write(io, store->path, &identity);
    if (status == SUTRA_OK)
        status = io->sync_directory(io->context, store->path);
    if (status == SUTRA_OK)
        status = sutra_directory_sync_parent(io, store->path);
    return status;
}

/* What a store that was never finished can have left: nothing that was acknowledged. */
static bool is_unfinished(const struct sutra_directory *directory)
{
    return !directory->foreign && !directory->log_count && directory->segment_count <= 1 &&
           directory->manifest_count <= 1 &&
           (!directory->manifest_count || directory->manifests[0] == 1);
}

/* Decide what the directory is and what to do. *make_out: a new store. */
static int look(struct sutra_store *store, bool *make_out, char *file_out,
                struct sutra_fault *fault)
{
    struct sutra_directory directory;
    int status = sutra_directory_read(store->io, store->path, &directory);
    if (status != SUTRA_OK)
        return status;
    const bool unfinished = directory.being_removed || is_unfinished(&directory);
    *make_out = false;
    if (directory.has_identity) {
        if (store->options.mode == SUTRA_STORE_EXCLUSIVE)
            status = EEXIST;
        else if (store->options.mode == SUTRA_STORE_WRITE)
            *make_out = true;
    } else if (store->options.mode == SUTRA_STORE_READ) {
        status = directory.foreign ? SUTRA_E_NOT_STORE : ENOENT;
    } else if (directory.foreign) {
        status = SUTRA_E_NOT_STORE;
    } else if (!unfinished && store->options.mode != SUTRA_STORE_WRITE) {
        *fault = SUTRA_FAULT_NONE;
        fault->what = "identity file missing";
        memcpy(file_out, SUTRA_IDENTITY_NAME, sizeof SUTRA_IDENTITY_NAME);
        status = SUTRA_E_CORRUPT;
    } else {
        *make_out = true;
    }
    sutra_directory_free(&directory);
    return status;
}

static int open_for_reading(struct sutra_store *store, char *file_out, struct sutra_fault *fault)
{
    bool make;
    int status = look(store, &make, file_out, fault);
    if (status != SUTRA_OK)
        return status;
    for (unsigned tries = 0; tries < READER_TRIES; tries++) {
        status = sutra_store_recover(store, file_out, fault);
        if (status != ENOENT)
            break;
        sutra_manifest_free(&store->manifest);
    }
    return status;
}

static int open_for_writing(struct sutra_store *store, char *file_out, struct sutra_fault *fault)
{
    const struct sutra_io *io = store->io;
    int status = io->make_directory(io->context, store->path);
    const bool made_directory = status == SUTRA_OK;
    if (status == EEXIST)
        status = SUTRA_OK;
    bool make = false;
    if (status == SUTRA_OK)
        status = look(store, &make, file_out, fault);
    if (status == SUTRA_OK)
        status = take_lock(store);
    if (status == SUTRA_OK) /* another writer may have made it meanwhile */
        status = look(store, &make, file_out, fault);
    if (status == SUTRA_OK && make) {
        status = sutra_directory_remove_store(io, store->path);
        if (status == SUTRA_OK) {
            write_holder(store);
            status = make_store(store, fault);
        }
    } else if (status == SUTRA_OK) {
        status = sutra_store_recover(store, file_out, fault);
    }
    if (status == SUTRA_OK)
        status = sutra_directory_open(io, store->path, SUTRA_STATE_NAME, SUTRA_OPEN_CREATE,
                                      &store->state_fd);
    if (status == SUTRA_OK) {
        sutra_store_tell_readers(store);
        sutra_store_clean(store);
    } else if (made_directory && !make) {
        (void)io->remove_directory(io->context, store->path);
    }
    return status;
}

static int open_memory(struct sutra_store *store, struct sutra_fault *fault)
{
    if (store->options.mode == SUTRA_STORE_READ)
        return refuse(fault, "mode", SUTRA_STORE_APPEND, SUTRA_STORE_READ);
    store->next_lsn = 1;
    store->hash_seed = 0x5354525553554d45u;
    int status = new_options(store, fault);
    if (status == SUTRA_OK)
        status = sutra_state_new(store, &store->state);
    return status;
}

static int make_locks(struct sutra_store *store)
{
    int status = sutra_epochs_init(&store->epochs);
    if (status != SUTRA_OK)
        return status;
    pthread_mutex_init(&store->maintenance, NULL);
    pthread_mutex_init(&store->writer, NULL);
    pthread_mutex_init(&store->commit, NULL);
    pthread_cond_init(&store->changed, NULL);
    return SUTRA_OK;
}

static void close_files(struct sutra_store *store)
{
    if (store->log_open)
        sutra_log_close(&store->log);
    store->log_open = false;
    if (store->state_fd >= 0)
        store->io->close(store->io->context, store->state_fd);
    store->state_fd = -1;
    /* A child has a copy of the descriptor: it must not unlock what is the parent's, nor may the
     * parent's lock live on in it. */
    if (store->lock_fd >= 0 && store->io->unlock && store->pid == (long)getpid())
        store->io->unlock(store->io->context, store->lock_fd);
    if (store->lock_fd >= 0)
        store->io->close(store->io->context, store->lock_fd);
    store->lock_fd = -1;
}

static int open_store(const struct sutra_io *io, const struct sutra_kernels *kernels,
                      const char *path, const struct sutra_store_options *options, bool salvage,
                      struct sutra_store **store_out, char *file_out, struct sutra_fault *fault_out)
{
    char unused[SUTRA_STORE_NAME_BYTES];
    char *file = file_out ? file_out : unused;
    file[0] = '\0';
    *fault_out = SUTRA_FAULT_NONE;
    struct sutra_store *store = calloc(1, sizeof *store);
    if (!store)
        return SUTRA_E_NO_MEMORY;
    store->io = path ? io : NULL;
    store->kernels = kernels;
    store->options = *options;
    store->read_only = options->mode == SUTRA_STORE_READ;
    store->salvage = salvage;
    store->lock_fd = store->state_fd = -1;
    store->pid = (long)getpid();
    default_options(store);
    int status = make_locks(store);
    if (status != SUTRA_OK) {
        free(store);
        return status;
    }
    store->path = path ? strdup(path) : NULL;
    if (path && !store->path)
        status = SUTRA_E_NO_MEMORY;
    else if (!path)
        status = open_memory(store, fault_out);
    else if (store->read_only)
        status = open_for_reading(store, file, fault_out);
    else
        status = open_for_writing(store, file, fault_out);
    if (status == SUTRA_OK)
        status = compare_options(store, fault_out);
    if (status == SUTRA_OK)
        status = take_asked_dim(store, fault_out);
    if (status == SUTRA_OK)
        status = sutra_store_start_thread(store);
    if (status != SUTRA_OK) {
        sutra_store_free(store);
        return status;
    }
    *store_out = store;
    return SUTRA_OK;
}

int sutra_store_open(const struct sutra_io *io, const struct sutra_kernels *kernels,
                     const char *path, const struct sutra_store_options *options,
                     struct sutra_store **store_out, char *file_out, struct sutra_fault *fault_out)
{
    return open_store(io, kernels, path, options, false, store_out, file_out, fault_out);
}

int sutra_store_open_salvage(const struct sutra_io *io, const struct sutra_kernels *kernels,
                             const char *path, struct sutra_store **store_out, char *file_out,
                             struct sutra_fault *fault_out)
{
    const struct sutra_store_options options = {
        .mode = SUTRA_STORE_READ, .metric = -1, .quantization = -1, .keep_originals = -1};
    return open_store(io, kernels, path, &options, true, store_out, file_out, fault_out);
}

/* ---- closing */

static bool worth_a_checkpoint(struct sutra_store *store)
{
    if (!store->io || store->read_only || __atomic_load_n(&store->failed, __ATOMIC_ACQUIRE))
        return false;
    return sutra_store_log_bytes(store) >= CLOSE_LOG_BYTES ||
           sutra_store_unsaved_rows(store) >= CLOSE_GRAPH_ROWS;
}

/* No call starts from here on, and those that hold a lock have ended. */
static bool begin_closing(struct sutra_store *store)
{
    pthread_mutex_lock(&store->writer);
    const bool first = !store->closing;
    store->closing = true;
    pthread_mutex_unlock(&store->writer);
    return first;
}

static void finish_closing(struct sutra_store *store)
{
    pthread_mutex_lock(&store->writer);
    __atomic_store_n(&store->closed, true, __ATOMIC_RELEASE);
    sutra_store_await_sync(store);
    struct sutra_state *state = sutra_store_state(store);
    __atomic_store_n(&store->state, NULL, __ATOMIC_RELEASE);
    sutra_epoch_drain(&store->epochs);
    sutra_state_release(state);
    close_files(store);
    pthread_mutex_unlock(&store->writer);
    sutra_store_wake(store);
}

int sutra_store_close(struct sutra_store *store)
{
    if (!begin_closing(store))
        return SUTRA_E_CLOSED;
    sutra_store_stop_thread(store);
    pthread_mutex_lock(&store->maintenance);
    int status = SUTRA_OK;
    if (store->io && !store->read_only && !store->failed)
        status = sutra_store_sync(store);
    if (status == SUTRA_OK)
        (void)sutra_store_write_marker(store);
    if (status == SUTRA_OK && worth_a_checkpoint(store))
        status = sutra_store_checkpoint_locked(store, false, true);
    finish_closing(store);
    pthread_mutex_unlock(&store->maintenance);
    return status;
}

void sutra_store_abandon(struct sutra_store *store)
{
    if (store->pid != (long)getpid()) {
        if (store->io) /* the parent's locks go with the last descriptor */
            close_files(store);
        return;
    }
    if (!begin_closing(store))
        return;
    sutra_store_stop_thread(store);
    pthread_mutex_lock(&store->maintenance);
    finish_closing(store);
    pthread_mutex_unlock(&store->maintenance);
}

void sutra_store_free(struct sutra_store *store)
{
    if (!store)
        return;
    sutra_store_stop_thread(store);
    sutra_state_release(store->state);
    close_files(store);
    sutra_encoder_deinit(&store->encoder);
    sutra_write_scratch_free(&store->scratch);
    sutra_manifest_free(&store->manifest);
    sutra_manifest_free(&store->previous);
    sutra_epochs_deinit(&store->epochs);
    pthread_cond_destroy(&store->changed);
    pthread_mutex_destroy(&store->commit);
    pthread_mutex_destroy(&store->writer);
    pthread_mutex_destroy(&store->maintenance);
    free(store->path);
    free(store);
}

/* ---- statistics */

static void add_parts(struct sutra_state *state, struct sutra_store_stats *stats)
{
    struct sutra_part parts[SUTRA_PARTS_MAX];
    const size_t count = sutra_state_parts(state, parts);
    stats->memory_bytes = stats->mapped_bytes = 0;
    for (size_t j = 0; j < count; j++) {
        const uint64_t bytes = (uint64_t)parts[j].rows * parts[j].row_bytes;
        const uint64_t mapped = parts[j].plane->arena.mapped_bytes;
        stats->memory_bytes += bytes > mapped ? bytes - mapped : 0;
        stats->mapped_bytes += mapped < bytes ? mapped : bytes;
    }
}

int sutra_store_stats(struct sutra_store *store, struct sutra_store_stats *stats)
{
    /* Sizes of planes hold still under the maintenance lock. A checkpoint may have it for long:
     * then those of the last time are told. */
    const bool still = pthread_mutex_trylock(&store->maintenance) == 0;
    pthread_mutex_lock(&store->writer);
    struct sutra_state *state = sutra_store_state(store);
    if (still && state)
        add_parts(state, &store->counters);
    if (still)
        pthread_mutex_unlock(&store->maintenance);
    if (!state) {
        pthread_mutex_unlock(&store->writer);
        return SUTRA_E_CLOSED;
    }
    *stats = store->counters;
    stats->options = store->index_options;
    stats->concepts = state->concepts.live_count;
    stats->slots = state->concepts.slot_count;
    stats->dead_slots = stats->slots - stats->concepts;
    stats->content_bytes = state->concepts.heap.used;
    stats->associations = sutra_associations_count(state->associations);
    stats->delta_associations = sutra_associations_delta_rows(state->associations);
    for (uint32_t bytes;
         stats->kinds < SUTRA_NO_KIND &&
         sutra_associations_kind_name(state->associations, (uint16_t)stats->kinds, &bytes);)
        stats->kinds++;
    const struct sutra_field_table *fields = sutra_attributes_table(&state->attributes);
    stats->fields = fields ? fields->count : 0;
    if (state->index) {
        stats->vectors = sutra_stream_rows(state->index);
        stats->pending = sutra_store_pending(store);
        stats->dead_vectors = sutra_stream_dead(state->index);
        stats->linked = sutra_stream_pending(state->index) < stats->vectors;
    }
    stats->log_bytes = sutra_store_log_bytes(store);
    stats->checkpoint_lsn = store->manifest.checkpoint_lsn;
    stats->generation = store->manifest.generation;
    pthread_mutex_unlock(&store->writer);
    stats->open_views = __atomic_load_n(&store->views, __ATOMIC_RELAXED);
    pthread_mutex_lock(&store->commit);
    stats->visible_lsn = store->visible_lsn;
    stats->durable_lsn = store->durable_lsn;
    stats->failed = store->failed;
    stats->reconciler_lag_ms = sutra_store_lag_ms(store);
    pthread_mutex_unlock(&store->commit);
    return SUTRA_OK;
}
