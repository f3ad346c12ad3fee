/* What the tests of the store share: opening one, the digest of what it shows, doing work to it
 * while a model follows, and what a store recovered from a crash must be.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_STORE_CASES_H
#define SUTRA_TESTS_STORE_CASES_H

#include <errno.h>

#include "check.h"
#include "io/simulated.h"
#include "store/store.h"
#include "store_work.h"

#if defined(__SANITIZE_THREAD__)
#define SLOWER_THREADS 1
#elif defined(__SANITIZE_ADDRESS__)
#define SLOWER_ADDRESSES 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLOWER_THREADS 1
#elif __has_feature(address_sanitizer)
#define SLOWER_ADDRESSES 1
#endif
#endif

#define STORE_PATH "/db"
#define SNAPSHOT_PATH "/snapshot"

static inline bool tests_are_slow(void)
{
    const char *slow = getenv("SUTRA_TEST_SLOW");
    return slow != NULL && *slow != '\0' && *slow != '0';
}

/* How much less to do where everything is slower. */
static inline size_t tests_divisor(void)
{
    if (tests_are_slow())
        return 1;
    if (getenv("SUTRA_TEST_EMULATED") != NULL)
        return 60;
#if defined(SLOWER_THREADS)
    return 40; /* it takes its time over every mapping */
#elif defined(SLOWER_ADDRESSES)
    return 5;
#else
    return 1;
#endif
}

static inline const struct sutra_kernels *test_kernels(void)
{
    static struct sutra_kernels kernels;
    static bool selected;
    if (!selected)
        (void)sutra_kernels_select(sutra_tier_best(), &kernels);
    selected = true;
    return &kernels;
}

/* ---- opening */

static inline struct sutra_store_options store_options(int mode, int sync)
{
    return (struct sutra_store_options){.mode = mode,
                                        .sync = sync,
                                        .metric = -1,
                                        .quantization = -1,
                                        .keep_originals = -1,
                                        .m = 8,
                                        .ef_construction = 16,
                                        .resident = SUTRA_RESIDENT_ARENA,
                                        .log_bytes = 16384,
                                        .no_thread = true};
}

static inline int open_store(const struct sutra_io *io, const char *path,
                             const struct sutra_store_options *options,
                             struct sutra_store **store_out)
{
    struct sutra_fault fault;
    *store_out = NULL;
    return sutra_store_open(io, test_kernels(), path, options, store_out, NULL, &fault);
}

/* Close without a word, as often as it takes. */
static inline void drop_store(struct sutra_store *store)
{
    if (store == NULL)
        return;
    sutra_store_abandon(store);
    sutra_store_free(store);
}

/* ---- the digest of a view */

struct shown {
    uint64_t digest;
    size_t live;
    uint64_t lsn;
    size_t searchable; /* concepts with a vector */
    size_t edges;
    size_t settings, fields;
};

static inline int shown_id(const struct sutra_store_view *view, uint32_t concept,
                           uint64_t *hash_out)
{
    int64_t number;
    const char *text;
    uint32_t bytes;
    const int status = sutra_store_id(view, concept, &number, &text, &bytes);
    if (status == SUTRA_OK)
        *hash_out = text ? hash_text_id(text, bytes) : hash_number_id(number);
    return status;
}

static inline int shown_links(const struct sutra_store_view *view, uint32_t concept,
                              uint64_t source, struct shown *shown)
{
    struct sutra_link *links;
    size_t count;
    int status = sutra_store_links(view, concept, SUTRA_OUT, SUTRA_NO_KIND, &links, &count);
    if (status != SUTRA_OK)
        return status;
    for (size_t j = 0; j < count && status == SUTRA_OK; j++) {
        uint64_t target = 0;
        uint32_t bytes = 0;
        const char *kind = sutra_store_kind_name(view, links[j].kind, &bytes);
        status = kind ? shown_id(view, links[j].target, &target) : SUTRA_E_CORRUPT;
        if (status == SUTRA_OK)
            shown->digest += edge_digest(source, target, hash_kind(kind, bytes), links[j].weight,
                                         links[j].confidence, links[j].created_ns);
    }
    shown->edges += count;
    free(links);
    return status;
}

static inline int shown_concept(const struct sutra_store_view *view, uint32_t concept,
                                uint32_t slot, struct shown *shown)
{
    struct sutra_concept read;
    float vector[MODEL_DIM];
    uint64_t id = 0;
    int status = sutra_store_read(view, concept, slot, &read);
    if (status == SUTRA_OK)
        status = shown_id(view, concept, &id);
    if (status == SUTRA_OK && read.has_vector)
        status = sutra_store_dim(view) == MODEL_DIM ? sutra_store_vector(view, slot, vector)
                                                    : SUTRA_E_DIMENSION;
    if (status != SUTRA_OK)
        return status;
    const struct sutra_record *record = &read.record;
    const struct model_concept concept_now = {
        .alive = true,
        .id = id,
        .content = read.content ? hash_content(read.content, read.content_bytes,
                                               (record->flags & SUTRA_RECORD_CONTENT_BYTES) != 0)
                                : 0,
        .metadata = read.metadata ? hash_metadata(read.metadata, read.metadata_bytes) : 0,
        .vector = read.has_vector ? hash_vector(vector) : 0,
        .strength = record->strength,
        .confidence = record->confidence,
        .created_ns = record->created_ns,
        .accessed_ns = record->accessed_ns,
        .references = record->reference_count,
    };
    shown->digest += concept_digest(&concept_now);
    shown->searchable += read.has_vector;
    shown->live++;
    return shown_links(view, concept, id, shown);
}

/* SUTRA_E_CORRUPT also when the count is not that of a scan. */
static inline int view_shows(const struct sutra_store_view *view, struct shown *shown)
{
    uint32_t slots[256], concepts[256];
    size_t next = 0, count = 1;
    int status = SUTRA_OK;
    *shown = (struct shown){.lsn = sutra_store_view_lsn(view)};
    while (status == SUTRA_OK && count > 0) {
        status = sutra_store_scan(view, &next, 256, slots, concepts, &count);
        for (size_t j = 0; j < count && status == SUTRA_OK; j++)
            status = shown_concept(view, concepts[j], slots[j], shown);
    }
    if (status == SUTRA_OK && shown->live != sutra_store_view_count(view))
        status = SUTRA_E_CORRUPT;
    return status;
}

static inline int shown_settings(const struct sutra_store_view *view, struct shown *shown)
{
    uint8_t *names = NULL, *value = malloc(SUTRA_SETTING_BYTES_MAX);
    size_t bytes = 0;
    int status =
        value ? sutra_store_settings(view, &names, &bytes, &shown->settings) : SUTRA_E_NO_MEMORY;
    const uint8_t *at = names;
    for (size_t j = 0; j < shown->settings && status == SUTRA_OK; j++) {
        const char *name = (const char *)at + 1;
        size_t value_bytes = 0;
        status = sutra_store_setting(view, name, *at, value, SUTRA_SETTING_BYTES_MAX, &value_bytes);
        shown->digest += setting_digest(name, *at, hash_value(value, value_bytes));
        at += 1 + (size_t)*at;
    }
    if (status == SUTRA_OK && at != names + bytes)
        status = SUTRA_E_CORRUPT;
    free(names);
    free(value);
    return status;
}

static inline int shown_fields(const struct sutra_store_view *view, struct shown *shown)
{
    uint8_t *fields = NULL;
    size_t bytes = 0;
    const int status = sutra_store_fields(view, &fields, &bytes, &shown->fields);
    const uint8_t *at = fields;
    for (size_t j = 0; j < shown->fields && status == SUTRA_OK; j++) {
        shown->digest += field_digest((const char *)at + 2, at[1], at[0]);
        at += 2 + (size_t)at[1];
    }
    const bool whole = at == fields + bytes;
    free(fields);
    return status == SUTRA_OK && !whole ? SUTRA_E_CORRUPT : status;
}

/* And settings and fields, which are those of now. */
static inline int store_shows(struct sutra_store *store, struct shown *shown)
{
    struct sutra_store_view *view;
    *shown = (struct shown){0};
    int status = sutra_store_view_begin(store, &view);
    if (status != SUTRA_OK)
        return status;
    status = view_shows(view, shown);
    if (status == SUTRA_OK)
        status = shown_settings(view, shown);
    if (status == SUTRA_OK)
        status = shown_fields(view, shown);
    sutra_store_view_end(view);
    return status;
}

/* Does a search for the vector of a concept find that vector? Of the `which`-th that has one. */
static inline bool search_finds(struct sutra_store *store, size_t which, bool exact)
{
    struct sutra_store_view *view;
    struct sutra_fault fault;
    uint32_t slots[64], concepts[64], found_slots[4], found[4];
    float vector[MODEL_DIM], other[MODEL_DIM], distances[4];
    size_t next = 0, count = 1, seen = 0;
    bool finds = true, done = false;
    if (sutra_store_view_begin(store, &view) != SUTRA_OK)
        return false;
    while (!done && count > 0 &&
           sutra_store_scan(view, &next, 64, slots, concepts, &count) == SUTRA_OK) {
        for (size_t j = 0; j < count && !done; j++) {
            if (sutra_store_vector(view, slots[j], vector) != SUTRA_OK || seen++ != which)
                continue;
            done = true;
            finds = sutra_store_search(view,
                                       &(struct sutra_search){.queries = vector,
                                                              .stride = MODEL_DIM,
                                                              .count = 1,
                                                              .k = 4,
                                                              .exact = exact,
                                                              .threads = 1},
                                       found_slots, found, distances, &fault) == SUTRA_OK &&
                    found_slots[0] != SUTRA_NO_SLOT &&
                    sutra_store_vector(view, found_slots[0], other) == SUTRA_OK &&
                    memcmp(vector, other, sizeof vector) == 0;
        }
    }
    sutra_store_view_end(view);
    return finds;
}

/* ---- what is known of every LSN */

struct history {
    uint64_t *digests; /* by LSN */
    bool *known;
    size_t room;
};

static inline void history_set(struct history *history, uint64_t lsn, uint64_t digest)
{
    if (lsn >= history->room) {
        const size_t room = (size_t)lsn * 2 + 64;
        history->digests = realloc(history->digests, room * sizeof *history->digests);
        history->known = realloc(history->known, room * sizeof *history->known);
        if (history->digests == NULL || history->known == NULL)
            abort();
        memset(history->known + history->room, 0, (room - history->room) * sizeof *history->known);
        history->room = room;
    }
    history->digests[lsn] = digest;
    history->known[lsn] = true;
}

static inline bool history_has(const struct history *history, uint64_t lsn, uint64_t digest)
{
    return lsn < history->room && history->known[lsn] && history->digests[lsn] == digest;
}

static inline void history_free(struct history *history)
{
    free(history->digests);
    free(history->known);
    *history = (struct history){0};
}

/* ---- work on a store, with a model beside it */

/* After a call, the operations of the file system so far and what a crash there must leave. */
struct call {
    uint64_t begun, ended;
    int action;
    uint64_t issued;   /* no LSN above it can be found */
    uint64_t written;  /* nothing up to it may be lost when the process alone dies */
    uint64_t durable;  /* nothing up to it may be lost when power is */
    uint64_t snapshot; /* LSN of the newest snapshot that is whole; 0: none */
};

struct job {
    const struct sutra_io *io;
    struct sutra_simulated *fs; /* NULL: operations are not counted */
    struct sutra_store_options options;
    struct sutra_store *store;
    struct work *work;
    struct model *model, *spare;
    struct history history;
    struct call *calls;
    size_t call_count, call_room;
    uint64_t lsn; /* of the last write */
    uint64_t snapshot;
    size_t actions[WORK_ACTIONS];
    uint64_t checkpoints;
    size_t compactions; /* that background work did */
    size_t wrong;       /* statuses and results that were not as they must be */
    int status;         /* of the last call */
};

static inline struct job *job_new(const struct sutra_io *io, struct sutra_simulated *fs,
                                  uint64_t seed, int sync)
{
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL)
        abort();
    job->io = io;
    job->fs = fs;
    job->options = store_options(SUTRA_STORE_APPEND, sync);
    job->work = work_new(seed);
    job->model = model_new();
    job->spare = model_new();
    history_set(&job->history, 0, 0);
    return job;
}

static inline void job_free(struct job *job)
{
    drop_store(job->store);
    history_free(&job->history);
    free(job->calls);
    free(job->work);
    free(job->model);
    free(job->spare);
    free(job);
}

/* Background work compacts whenever something is dead. */
static inline void job_compact_eagerly(struct job *job)
{
    job->options.compact_dead = 1;
    job->options.compact_share = UINT32_MAX;
}

static inline uint64_t job_operations(const struct job *job)
{
    return job->fs ? sutra_simulated_operations(job->fs) : 0;
}

static inline struct call *begin_call(struct job *job, int action)
{
    if (job->call_count == job->call_room) {
        job->call_room = 2 * job->call_room + 100;
        job->calls = realloc(job->calls, job->call_room * sizeof *job->calls);
        if (job->calls == NULL)
            abort();
    }
    struct call *call = &job->calls[job->call_count];
    *call = (struct call){.begun = job_operations(job), .action = action};
    return call;
}

static inline void end_call(struct job *job)
{
    struct call *call = &job->calls[job->call_count++];
    call->ended = job_operations(job);
    call->written = job->lsn;
    call->durable = job->store ? sutra_store_durable_lsn(job->store) : 0;
    call->snapshot = job->snapshot;
    job->actions[call->action]++;
}

static inline void job_expect(struct job *job, bool holds, const char *what)
{
    if (holds)
        return;
    job->wrong++;
    (void)fprintf(stderr, "seed %llu, call %zu: %s (status %d)\n",
                  (unsigned long long)job->work->seed, job->call_count, what, job->status);
}

/* Written once, it is in flight for ever, so that the list of what is gets long. */
static inline void sync_state_file(const struct sutra_io *io)
{
    int fd;
    if (io->open(io->context, STORE_PATH "/STATE", SUTRA_OPEN_WRITE, &fd) != SUTRA_OK)
        return;
    (void)io->sync(io->context, fd);
    io->close(io->context, fd);
}

static inline int job_open(struct job *job)
{
    job->status = open_store(job->io, STORE_PATH, &job->options, &job->store);
    if (job->status == SUTRA_OK) {
        /* A close may have left a marker, which is an LSN of its own. */
        const uint64_t lsn = sutra_store_visible_lsn(job->store);
        for (uint64_t at = job->lsn + 1; at <= lsn; at++)
            history_set(&job->history, at, job->model->digest);
        job->lsn = lsn > job->lsn ? lsn : job->lsn;
    }
    return job->status;
}

/* Opens the store, as the first call. */
static inline void job_start(struct job *job)
{
    begin_call(job, WORK_REOPEN);
    job_expect(job, job_open(job) == SUTRA_OK, "open");
    end_call(job);
}

/* The work's batch; the model has it already. */
static inline int job_write(struct job *job, struct call *call)
{
    struct work *work = job->work;
    struct sutra_fault fault;
    uint64_t lsn = 0;
    call->issued = job->lsn + 1;
    /* Known before, because a crash may come in the middle. */
    history_set(&job->history, call->issued, job->model->digest);
    job->status =
        sutra_store_write(job->store, work->list, work->op_count, work->wait, &lsn, &fault);
    if (job->status != SUTRA_OK)
        return job->status;
    job_expect(job, lsn == call->issued, "the LSN is the next one");
    job->lsn = lsn;
    for (size_t j = 0; j < work->op_count; j++) {
        job_expect(job, work->list[j].done == work->ops[j].expected, "what was done");
        job_expect(job, work->list[j].first_number == work->ops[j].expected_first,
                   "the first assigned number");
    }
    return job->status;
}

static inline int job_reopen(struct job *job, bool abandon)
{
    struct sutra_store_stats stats;
    if (sutra_store_stats(job->store, &stats) == SUTRA_OK)
        job->checkpoints += stats.checkpoints;
    if (abandon)
        sutra_store_abandon(job->store);
    else
        job->status = sutra_store_close(job->store);
    sutra_store_free(job->store);
    job->store = NULL;
    return job->status == SUTRA_OK ? job_open(job) : job->status;
}

/* Does the live store show what the model has? */
static inline void job_compare(struct job *job)
{
    struct shown shown = {0};
    if (sutra_store_visible_lsn(job->store) != job->lsn)
        return; /* some is written and not yet durable */
    job->status = store_shows(job->store, &shown);
    job_expect(job, job->status == SUTRA_OK, "reading");
    job_expect(job, shown.digest == job->model->digest && shown.live == job->model->live,
               "the store is as the model");
}

static inline int job_reconcile(struct job *job)
{
    struct sutra_store_stats before = {0}, after = {0};
    bool busy;
    (void)sutra_store_stats(job->store, &before);
    job->status = sutra_store_reconcile(job->store, &busy);
    (void)sutra_store_stats(job->store, &after);
    job->compactions += after.dead_slots < before.dead_slots;
    return job->status;
}

/* One action; returns its status. */
static inline int job_step(struct job *job)
{
    const int action = draw_action(job->work, job->model, job->spare);
    struct call *call = begin_call(job, action);
    call->issued = job->lsn;
    job->status = SUTRA_OK;
    switch (action) {
    case WORK_WRITE:
        (void)job_write(job, call);
        break;
    case WORK_REFUSED: {
        struct sutra_fault fault;
        uint64_t lsn = 0;
        const int status =
            sutra_store_write(job->store, job->work->list, job->work->op_count, true, &lsn, &fault);
        if (status == job->work->refusal)
            job->status = SUTRA_OK;
        else
            job->status = status == SUTRA_OK ? SUTRA_E_ARGUMENT : status;
        break;
    }
    case WORK_CHECKPOINT:
        job->status = sutra_store_checkpoint(job->store);
        break;
    case WORK_RECONCILE:
        (void)job_reconcile(job);
        break;
    case WORK_SETTLE:
        job->status = sutra_store_settle(job->store);
        break;
    case WORK_COMPACT:
        job->status = sutra_store_compact(job->store);
        break;
    case WORK_SNAPSHOT:
        job->snapshot = 0;
        job->status = sutra_store_snapshot(job->store, SNAPSHOT_PATH);
        if (job->status == SUTRA_OK)
            job->snapshot = job->lsn;
        break;
    case WORK_FLUSH:
        job->status = sutra_store_flush(job->store);
        break;
    default:
        call->issued = job->lsn + 1; /* a marker */
        history_set(&job->history, call->issued, job->model->digest);
        (void)job_reopen(job, action == WORK_ABANDON);
    }
    end_call(job);
    return job->status;
}

/* `calls` actions, with a look at the store now and then. */
static inline void job_run(struct job *job, size_t calls)
{
    while (job->call_count < calls && job->wrong == 0) {
        job_expect(job, job_step(job) == SUTRA_OK, "status");
        if (job->store == NULL)
            return;
        if (job->call_count % 16 == 0) {
            sync_state_file(job->io);
            job_compare(job);
        }
    }
}

/* Writes alone. */
static inline void job_write_some(struct job *job, size_t count)
{
    for (size_t j = 0; j < count && job->store != NULL && job->wrong == 0; j++) {
        draw_batch(job->work, job->model);
        job->work->time_ns++;
        struct call *call = begin_call(job, WORK_WRITE);
        job_expect(job, job_write(job, call) == SUTRA_OK, "writing");
        end_call(job);
    }
}

static inline void job_close(struct job *job)
{
    if (job->store == NULL)
        return;
    history_set(&job->history, job->lsn + 1, job->model->digest); /* a marker */
    job->status = sutra_store_close(job->store);
    job_expect(job, job->status == SUTRA_OK, "close");
    sutra_store_free(job->store);
    job->store = NULL;
    sync_state_file(job->io);
}

static inline void job_count_checkpoints(struct job *job)
{
    struct sutra_store_stats stats;
    if (job->store != NULL && sutra_store_stats(job->store, &stats) == SUTRA_OK)
        job->checkpoints += stats.checkpoints;
}

/* What a crash after so many operations may leave. */
struct bounds {
    uint64_t written, durable, issued, snapshot;
};

static inline struct bounds job_bounds(const struct job *job, uint64_t operation)
{
    /* The first call that had not ended: it is under way, or has not begun. */
    size_t low = 0, high = job->call_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (job->calls[middle].ended <= operation)
            low = middle + 1;
        else
            high = middle;
    }
    struct bounds bounds = {0};
    if (low > 0) {
        const struct call *call = &job->calls[low - 1];
        bounds = (struct bounds){call->written, call->durable, call->written, call->snapshot};
    }
    if (low < job->call_count && job->calls[low].begun < operation) {
        const struct call *call = &job->calls[low];
        if (call->issued > bounds.issued)
            bounds.issued = call->issued;
        if (call->action == WORK_SNAPSHOT)
            bounds.snapshot = 0; /* it is being renewed */
    }
    return bounds;
}

#endif
