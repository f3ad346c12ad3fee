/* Allocations that fail: every k-th one, once or for ever.
 *
 * The linker puts the functions below in front of the allocator's and the system's. What the
 * simulated disk allocates does not count: its calls are let through by a table around it. A call
 * of the store that fails for want of memory has changed nothing, the handle goes on, and nothing
 * is leaked (the address sanitizer sees to that). SUTRA_TEST_SLOW=1 tries every k,
 * SUTRA_TEST_SEED=N other work, SUTRA_TEST_TRIAL="..." one k.
 * SPDX-License-Identifier: Apache-2.0
 */
/* link: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc */
/* link: -Wl,--wrap=posix_memalign,--wrap=mmap,--wrap=mprotect */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "store_prepared.h"

#if defined(__linux__)
#include <sys/mman.h>
#include <sys/types.h>

#define CALLS 60u

/* ---- the allocator */

static struct {
    bool counting;
    unsigned inside; /* calls of the file table */
    uint64_t count, fail_at;
    bool sticky;
    uint64_t failed;
} memory;

static bool refuses(void)
{
    if (!memory.counting || memory.inside > 0)
        return false;
    memory.count++;
    const bool fails = memory.fail_at != 0 && (memory.count == memory.fail_at ||
                                               (memory.sticky && memory.count > memory.fail_at));
    memory.failed += fails;
    return fails;
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *block, size_t bytes);
int __real_posix_memalign(void **block_out, size_t alignment, size_t bytes);
void *__real_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset);
int __real_mprotect(void *address, size_t bytes, int protection);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
int __wrap_posix_memalign(void **block_out, size_t alignment, size_t bytes);
void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset);
int __wrap_mprotect(void *address, size_t bytes, int protection);

void *__wrap_malloc(size_t bytes)
{
    return refuses() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return refuses() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *block, size_t bytes)
{
    return refuses() ? NULL : __real_realloc(block, bytes);
}

int __wrap_posix_memalign(void **block_out, size_t alignment, size_t bytes)
{
    return refuses() ? ENOMEM : __real_posix_memalign(block_out, alignment, bytes);
}

void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    if (refuses()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap(address, bytes, protection, flags, fd, offset);
}

int __wrap_mprotect(void *address, size_t bytes, int protection)
{
    if (refuses()) {
        errno = ENOMEM;
        return -1;
    }
    return __real_mprotect(address, bytes, protection);
}

/* ---- a table whose calls do not count */

struct shield {
    struct sutra_io io;
    const struct sutra_io *inner;
};

#define SHIELDED(function, parameters, arguments)                                                  \
    static int shield_##function parameters                                                        \
    {                                                                                              \
        const struct sutra_io *inner = ((struct shield *)context)->inner;                          \
        context = inner->context;                                                                  \
        memory.inside++;                                                                           \
        const int status = inner->function arguments;                                              \
        memory.inside--;                                                                           \
        return status;                                                                             \
    }

SHIELDED(open, (void *context, const char *path, int how, int *fd_out),
         (context, path, how, fd_out))
SHIELDED(read, (void *context, int fd, uint64_t offset, void *data, size_t bytes, size_t *done_out),
         (context, fd, offset, data, bytes, done_out))
SHIELDED(write,
         (void *context, int fd, uint64_t offset, const struct sutra_span *spans, size_t count,
          size_t *done_out),
         (context, fd, offset, spans, count, done_out))
SHIELDED(sync, (void *context, int fd), (context, fd))
SHIELDED(sync_directory, (void *context, const char *path), (context, path))
SHIELDED(allocate, (void *context, int fd, uint64_t offset, uint64_t bytes),
         (context, fd, offset, bytes))
SHIELDED(truncate, (void *context, int fd, uint64_t bytes), (context, fd, bytes))
SHIELDED(size, (void *context, int fd, uint64_t *bytes_out), (context, fd, bytes_out))
SHIELDED(rename, (void *context, const char *from, const char *to), (context, from, to))
SHIELDED(link, (void *context, const char *from, const char *to), (context, from, to))
SHIELDED(unlink, (void *context, const char *path), (context, path))
SHIELDED(make_directory, (void *context, const char *path), (context, path))
SHIELDED(remove_directory, (void *context, const char *path), (context, path))
SHIELDED(map, (void *context, int fd, uint64_t offset, size_t bytes, void *address),
         (context, fd, offset, bytes, address))
SHIELDED(lock, (void *context, int fd), (context, fd))
SHIELDED(is_locked, (void *context, int fd, bool *locked_out), (context, fd, locked_out))
SHIELDED(free_bytes, (void *context, const char *path, uint64_t *bytes_out),
         (context, path, bytes_out))
SHIELDED(random, (void *context, void *data, size_t bytes), (context, data, bytes))

static void shield_close(void *context, int fd)
{
    const struct sutra_io *inner = ((struct shield *)context)->inner;
    memory.inside++;
    inner->close(inner->context, fd);
    memory.inside--;
}

/* What it calls back is the store's again. */
struct listing {
    sutra_name_fn each;
    void *context;
};

static int list_one(void *context, const char *name)
{
    const struct listing *listing = context;
    memory.inside--;
    const int status = listing->each(listing->context, name);
    memory.inside++;
    return status;
}

static int shield_list(void *context, const char *path, sutra_name_fn each, void *each_context)
{
    const struct sutra_io *inner = ((struct shield *)context)->inner;
    struct listing listing = {each, each_context};
    memory.inside++;
    const int status = inner->list(inner->context, path, list_one, &listing);
    memory.inside--;
    return status;
}

static int64_t shield_now_ns(void *context)
{
    const struct sutra_io *inner = ((struct shield *)context)->inner;
    return inner->now_ns(inner->context);
}

static uint64_t shield_monotonic_ns(void *context)
{
    const struct sutra_io *inner = ((struct shield *)context)->inner;
    return inner->monotonic_ns(inner->context);
}

static void shield_init(struct shield *shield, const struct sutra_io *inner)
{
    *shield = (struct shield){
        .inner = inner,
        .io = {.context = shield,
               .open = shield_open,
               .close = shield_close,
               .read = shield_read,
               .write = shield_write,
               .sync = shield_sync,
               .sync_directory = shield_sync_directory,
               .allocate = shield_allocate,
               .truncate = shield_truncate,
               .size = shield_size,
               .rename = shield_rename,
               .link = shield_link,
               .unlink = shield_unlink,
               .make_directory = shield_make_directory,
               .remove_directory = shield_remove_directory,
               .list = shield_list,
               .map = shield_map,
               .lock = shield_lock,
               .is_locked = shield_is_locked,
               .free_bytes = shield_free_bytes,
               .now_ns = shield_now_ns,
               .monotonic_ns = shield_monotonic_ns,
               .random = shield_random},
    };
}

/* ---- trials */

struct tally {
    size_t runs, hit, refused, wrong;
};

struct trial {
    uint64_t at;
    bool sticky;
    uint64_t seed;
    struct sutra_simulated *fs;
    struct shield shield;
    struct job *job;
    struct model *before;
    struct tally *tally;
};

static void complain(struct trial *trial, const char *what, int status)
{
    trial->tally->wrong++;
    (void)fprintf(stderr,
                  "after %zu calls of the store: %s (status %d)\n"
                  "  SUTRA_TEST_TRIAL=\"%llu %llu\"\n",
                  trial->job->call_count, what, status, (unsigned long long)trial->at,
                  (unsigned long long)trial->seed);
}

static void count_from(struct trial *trial)
{
    memory.counting = true;
    memory.sticky = trial->sticky;
    memory.fail_at = trial->at;
}

/* A call has failed: it has changed nothing, and the next one works. */
static void judge(struct trial *trial, int action)
{
    struct job *job = trial->job;
    struct sutra_store_stats stats;
    struct shown shown;
    memory.counting = false;
    trial->tally->refused++;
    if (job->status != SUTRA_E_NO_MEMORY && job->status != SUTRA_E_CAPACITY)
        complain(trial, "a refused allocation gives another status", job->status);
    if (job->store == NULL)
        return;
    if (sutra_store_stats(job->store, &stats) != SUTRA_OK || stats.failed != 0)
        complain(trial, "the handle has failed", stats.failed);
    if (action == WORK_WRITE)
        model_copy(job->model, trial->before);
    const int status = store_shows(job->store, &shown);
    if (status != SUTRA_OK ||
        (sutra_store_visible_lsn(job->store) == job->lsn && shown.digest != job->model->digest))
        complain(trial, "a call that failed has changed something", status);
}

static void check_disk(struct trial *trial, struct sutra_simulated *fs, uint64_t least,
                       const char *what)
{
    const struct job *job = trial->job;
    struct sutra_store *store;
    struct sutra_fault fault;
    struct shown shown;
    int status = open_store(sutra_simulated_io(fs), STORE_PATH, &job->options, &store);
    if (status == SUTRA_OK)
        status = store_shows(store, &shown);
    if (status != SUTRA_OK || shown.lsn < least ||
        !history_has(&job->history, shown.lsn, shown.digest))
        complain(trial, what, status);
    if (store != NULL && trial->at % 8 == 0 &&
        sutra_store_verify(store, true, NULL, &fault) != SUTRA_OK)
        complain(trial, "verifying", SUTRA_E_CORRUPT);
    drop_store(store);
}

static uint64_t run_trial(const struct prepared *prepared, uint64_t at, bool sticky, uint64_t seed,
                          struct tally *tally)
{
    struct trial trial = {.at = at, .sticky = sticky, .seed = seed, .tally = tally};
    struct sutra_simulated *cut;
    trial.fs = prepared_disk(prepared);
    shield_init(&trial.shield, sutra_simulated_io(trial.fs));
    trial.job = prepared_job(prepared, &trial.shield.io, trial.fs, seed, SUTRA_SYNC_FULL);
    trial.before = model_new();
    struct job *job = trial.job;
    job->work->actions_in = 250;
    /* What the test itself needs is there before. */
    history_set(&job->history, job->lsn + 4 * CALLS, 0);
    job->history.known[job->lsn + 4 * CALLS] = false;
    (void)begin_call(job, WORK_REOPEN);
    memory.count = memory.failed = 0;
    count_from(&trial);
    const int opened = open_store(job->io, STORE_PATH, &job->options, &job->store);
    memory.counting = false;
    if (opened != SUTRA_OK) {
        job->status = opened;
        judge(&trial, WORK_REOPEN);
    } else { /* as job_open does */
        job->lsn = sutra_store_visible_lsn(job->store);
    }
    uint64_t durable = prepared->lsn;
    while (job->store != NULL && job->call_count < CALLS && tally->wrong == 0) {
        model_copy(trial.before, job->model);
        /* With what is refused for ever, a call now and then is let through. */
        if (memory.failed == 0 || (sticky && job->call_count % 4))
            count_from(&trial);
        const uint64_t failed = memory.failed;
        const int status = job_step(job);
        memory.counting = false;
        durable = job->store ? sutra_store_durable_lsn(job->store) : durable;
        if (status == SUTRA_OK)
            continue;
        if (memory.failed == failed)
            complain(&trial, "a call with all the memory it wants", status);
        judge(&trial, job->calls[job->call_count - 1].action);
    }
    memory.counting = false;
    const uint64_t count = memory.count;
    tally->runs++;
    tally->hit += memory.failed > 0;
    tally->wrong += job->wrong;
    drop_store(job->store);
    job->store = NULL;
    if (sutra_simulated_crash(trial.fs, sutra_simulated_operations(trial.fs), SUTRA_CRASH_LOSE_ALL,
                              0, 0, &cut) != SUTRA_OK)
        abort();
    check_disk(&trial, cut, durable, "after a power cut");
    sutra_simulated_free(cut);
    check_disk(&trial, trial.fs, job->lsn, "opened again");
    job_free(job);
    free(trial.before);
    sutra_simulated_free(trial.fs);
    return count;
}

static uint64_t first_seed(void)
{
    const char *seed = getenv("SUTRA_TEST_SEED");
    return seed != NULL ? strtoull(seed, NULL, 10) : 1;
}

static void every_allocation(bool sticky)
{
    struct prepared prepared = prepare(first_seed(), SUTRA_SYNC_FULL, 150);
    const size_t step = tests_are_slow() ? 1 : 3 * tests_divisor();
    const char *one = getenv("SUTRA_TEST_TRIAL");
    struct tally tally = {0};
    REQUIRE(prepared.job->wrong == 0);
    if (one != NULL) {
        unsigned long long at, seed;
        REQUIRE(sscanf(one, "%llu %llu", &at, &seed) == 2);
        (void)run_trial(&prepared, at, sticky, seed, &tally);
        CHECK_EQ(tally.wrong, 0);
        prepared_free(&prepared);
        return;
    }
    const uint64_t count = run_trial(&prepared, 0, sticky, first_seed(), &tally);
    CHECK_EQ(tally.refused, 0);
    for (uint64_t at = 1; at <= count && tally.wrong == 0; at += step)
        (void)run_trial(&prepared, at, sticky, first_seed(), &tally);
    (void)fprintf(
        stderr,
        "allocations refused %s: %zu runs of %llu allocations, %zu hit, %zu calls refused\n",
        sticky ? "for ever" : "once", tally.runs, (unsigned long long)count, tally.hit,
        tally.refused);
    CHECK_EQ(tally.wrong, 0);
    CHECK(tally.hit + 1 >= tally.runs && tally.refused > 0);
    prepared_free(&prepared);
}

static void refused_once(void)
{
    every_allocation(false);
}

static void refused_for_ever(void)
{
    every_allocation(true);
}
#else
static void refused_once(void)
{
    SKIP("the linker puts nothing in front of the allocator here");
}

static void refused_for_ever(void)
{
    SKIP("the linker puts nothing in front of the allocator here");
}
#endif

CHECK_MAIN(CASE(refused_once), CASE(refused_for_ever))
