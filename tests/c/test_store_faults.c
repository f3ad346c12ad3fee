/* Calls of the file system that fail: every k-th one, once or for ever, and a disk that is full.
 *
 * Work is done on a prepared store until a call fails. A call of the store that fails has either
 * changed nothing, or the handle takes no more writes; reading goes on in both cases. What had been
 * acknowledged is there when the store is opened again without faults, and after a power cut.
 * Beside that: a log file that cannot be made, and writes in the middle of a compaction or sync.
 * SUTRA_TEST_SLOW=1 tries every k, SUTRA_TEST_SEED=N other work. A failure prints a line that
 * repeats it: SUTRA_TEST_TRIAL="..." and the test's name as the argument.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "io/faulty.h"
#include "store_calls.h"
#include "store_prepared.h"

#define CALLS 60u

struct plan {
    const char *name;
    int error;
    bool sticky, short_transfer, drop;
};

struct tally {
    size_t runs, hit, refused, failed_handles, wrong;
};

struct trial {
    const struct plan *plan;
    uint64_t at;
    int sync;
    struct sutra_simulated *fs;
    struct sutra_faulty faulty;
    struct job *job;
    struct model *before;
    struct tally *tally;
    bool failed; /* the handle */
};

static void complain(struct trial *trial, const char *what, int status)
{
    trial->tally->wrong++;
    (void)fprintf(stderr,
                  "%s: after %zu calls of the store: %s (status %d)\n"
                  "  SUTRA_TEST_TRIAL=\"%llu %d %llu\"\n",
                  trial->plan->name, trial->job->call_count, what, status,
                  (unsigned long long)trial->at, trial->sync,
                  (unsigned long long)trial->job->work->seed);
}

/* What a handle that has failed still does, and what it does not. */
static void check_failed_handle(struct trial *trial)
{
    struct job *job = trial->job;
    struct shown shown;
    struct sutra_fault fault;
    const int64_t id = 1;
    uint64_t lsn;
    struct sutra_op op = {.kind = SUTRA_OP_TOUCH, .ids.ids = {1, &id, NULL, NULL}};
    int status = sutra_store_write(job->store, &op, 1, true, &lsn, &fault);
    if (status != SUTRA_E_DURABILITY)
        complain(trial, "a write on a failed handle", status);
    status = sutra_store_checkpoint(job->store);
    if (status != SUTRA_E_DURABILITY)
        complain(trial, "a checkpoint on a failed handle", status);
    status = store_shows(job->store, &shown);
    if (status != SUTRA_OK)
        complain(trial, "reading on a failed handle", status);
    else if (shown.lsn != sutra_store_visible_lsn(job->store))
        complain(trial, "the LSN of a view on a failed handle", status);
    /* Strengths and counts of records are those of now, which may be one write further. */
    if (shown.lsn == job->lsn && shown.live != job->model->live &&
        shown.live != trial->before->live)
        complain(trial, "what a failed handle shows", status);
}

/* A call of the store has failed. */
static void judge(struct trial *trial, int action)
{
    struct job *job = trial->job;
    struct sutra_store_stats stats;
    const int status = job->status;
    trial->tally->refused++;
    if (trial->plan->short_transfer)
        complain(trial, "a short transfer is no error", status);
    if (job->store == NULL)
        return;
    if (sutra_store_stats(job->store, &stats) != SUTRA_OK) {
        complain(trial, "statistics", status);
        return;
    }
    trial->failed = stats.failed != 0;
    if (trial->failed) {
        trial->tally->failed_handles++;
        check_failed_handle(trial);
        return;
    }
    if (status == SUTRA_E_DURABILITY)
        complain(trial, "a durability error of a handle that has not failed", status);
    if (action == WORK_WRITE)
        model_copy(job->model, trial->before);
    struct shown shown;
    const int read = store_shows(job->store, &shown);
    if (read != SUTRA_OK)
        complain(trial, "reading after an error", read);
    else if (sutra_store_visible_lsn(job->store) == job->lsn && shown.digest != job->model->digest)
        complain(trial, "a call that failed has changed something", status);
}

/* The disk as it is, without faults: what was acknowledged is there. */
static void check_disk(struct trial *trial, struct sutra_simulated *fs, uint64_t least,
                       uint64_t most, const char *what)
{
    const struct job *job = trial->job;
    struct sutra_store *store;
    struct sutra_fault fault;
    struct shown shown;
    int status = open_store(sutra_simulated_io(fs), STORE_PATH, &job->options, &store);
    if (status != SUTRA_OK) {
        complain(trial, what, status);
        return;
    }
    status = store_shows(store, &shown);
    if (status != SUTRA_OK || shown.lsn < least || shown.lsn > most ||
        !history_has(&job->history, shown.lsn, shown.digest)) {
        complain(trial, what, status);
        (void)fprintf(stderr, "  LSN %llu, must be %llu to %llu\n", (unsigned long long)shown.lsn,
                      (unsigned long long)least, (unsigned long long)most);
    }
    if (trial->at % 8 == 0 && sutra_store_verify(store, true, NULL, &fault) != SUTRA_OK)
        complain(trial, "verifying", SUTRA_E_CORRUPT);
    /* And it can be written to. */
    const int64_t id = 1;
    uint64_t lsn;
    struct sutra_op op = {.kind = SUTRA_OP_TOUCH, .ids.ids = {1, &id, NULL, NULL}};
    status = sutra_store_write(store, &op, 1, true, &lsn, &fault);
    if (status == SUTRA_OK)
        status = sutra_store_checkpoint(store);
    if (status != SUTRA_OK)
        complain(trial, "writing after opening again", status);
    drop_store(store);
}

static void finish(struct trial *trial)
{
    struct job *job = trial->job;
    struct sutra_simulated *cut;
    uint64_t durable = 0;
    for (size_t c = 0; c < job->call_count; c++)
        durable = job->calls[c].durable > durable ? job->calls[c].durable : durable;
    const bool unknown = trial->failed || job->store == NULL;
    const uint64_t most = job->lsn + unknown;
    drop_store(job->store);
    job->store = NULL;
    trial->faulty.fail_at = 0;
    for (int policy = SUTRA_CRASH_LOSE_ALL; policy <= SUTRA_CRASH_SUBSET; policy += 5) {
        if (sutra_simulated_crash(trial->fs, sutra_simulated_operations(trial->fs), policy, 0,
                                  trial->at, &cut) != SUTRA_OK)
            abort();
        check_disk(trial, cut, durable, most, "after a power cut");
        sutra_simulated_free(cut);
    }
    check_disk(trial, trial->fs, job->lsn, most, "opened again");
}

static uint64_t run_trial(const struct prepared *prepared, const struct plan *plan, uint64_t at,
                          int sync, uint64_t seed, struct tally *tally)
{
    struct trial trial = {.plan = plan, .at = at, .sync = sync, .tally = tally};
    trial.fs = prepared_disk(prepared);
    sutra_faulty_init(&trial.faulty, sutra_simulated_io(trial.fs));
    trial.faulty.fail_at = at;
    trial.faulty.error = plan->error;
    trial.faulty.sticky = plan->sticky;
    trial.faulty.short_transfer = plan->short_transfer;
    trial.faulty.drop_on_sync = plan->drop;
    trial.faulty.simulated = trial.fs;
    trial.job = prepared_job(prepared, &trial.faulty.io, trial.fs, seed, sync);
    trial.before = model_new();
    struct job *job = trial.job;
    job->work->actions_in = 250;
    begin_call(job, WORK_REOPEN);
    job->status = SUTRA_OK;
    if (job_open(job) != SUTRA_OK)
        judge(&trial, WORK_REOPEN);
    end_call(job);
    unsigned refused = 0;
    while (job->store != NULL && !trial.failed && job->wrong == 0 && job->call_count < CALLS) {
        model_copy(trial.before, job->model);
        if (job_step(job) == SUTRA_OK)
            continue;
        judge(&trial, job->calls[job->call_count - 1].action);
        if (++refused == 6) /* the fault is mended */
            trial.faulty.fail_at = 0;
        if (refused > 6)
            complain(&trial, "a call without a fault", job->status);
    }
    const uint64_t calls = trial.faulty.calls;
    tally->runs++;
    tally->hit += trial.faulty.failed > 0;
    tally->wrong += job->wrong;
    finish(&trial);
    job_free(job);
    free(trial.before);
    sutra_simulated_free(trial.fs);
    return calls;
}

/* Of the prepared store; the work has others after it. */
static uint64_t first_seed(void)
{
    const char *seed = getenv("SUTRA_TEST_SEED");
    return seed != NULL ? strtoull(seed, NULL, 10) : 1;
}

static void every_call(const struct plan *plan)
{
    struct prepared prepared = prepare(first_seed(), SUTRA_SYNC_FULL, 150);
    const struct plan none = {.name = "no fault"};
    const size_t step = tests_are_slow() ? 1 : 7 * tests_divisor();
    struct tally tally = {0};
    uint64_t calls = 0;
    REQUIRE(prepared.job->wrong == 0);
    const char *one = getenv("SUTRA_TEST_TRIAL");
    if (one != NULL) {
        unsigned long long at, seed;
        int sync;
        REQUIRE(sscanf(one, "%llu %d %llu", &at, &sync, &seed) == 3);
        (void)run_trial(&prepared, plan, at, sync, seed, &tally);
        CHECK_EQ(tally.wrong, 0);
        prepared_free(&prepared);
        return;
    }
    for (int sync = SUTRA_SYNC_FULL; sync <= SUTRA_SYNC_OFF; sync++) {
        const uint64_t made =
            run_trial(&prepared, &none, 0, sync, first_seed() + (uint64_t)sync, &tally);
        calls = made > calls ? made : calls;
    }
    CHECK_EQ(tally.wrong, 0);
    CHECK_EQ(tally.refused, 0);
    tally = (struct tally){0};
    for (uint64_t at = 1; at <= calls && tally.wrong == 0; at += step) {
        for (int sync = SUTRA_SYNC_FULL; sync <= SUTRA_SYNC_OFF; sync++) {
            /* By turns, half of the time the one that promises most. */
            const int turn = at % 2 ? SUTRA_SYNC_FULL : (int)(at / 2 % 3);
            if (tests_are_slow() || sync == turn)
                (void)run_trial(&prepared, plan, at, sync, first_seed() + (uint64_t)sync, &tally);
        }
    }
    (void)fprintf(stderr,
                  "%s: %zu runs of %llu calls, %zu hit, %zu calls refused, %zu handles failed\n",
                  plan->name, tally.runs, (unsigned long long)calls, tally.hit, tally.refused,
                  tally.failed_handles);
    CHECK_EQ(tally.wrong, 0);
    CHECK(tally.hit > 0);
    prepared_free(&prepared);
}

static void errors_once(void)
{
    every_call(&(struct plan){.name = "EIO once", .error = EIO});
}

static void errors_for_ever(void)
{
    every_call(&(struct plan){.name = "EIO for ever", .error = EIO, .sticky = true});
}

static void syncs_that_drop(void)
{
    every_call(&(struct plan){.name = "EIO, dropping", .error = EIO, .drop = true});
}

static void no_space_once(void)
{
    every_call(&(struct plan){.name = "ENOSPC once", .error = ENOSPC});
}

static void no_space_for_ever(void)
{
    every_call(&(struct plan){.name = "ENOSPC for ever", .error = ENOSPC, .sticky = true});
}

static void interruptions(void)
{
    every_call(&(struct plan){.name = "EINTR", .error = EINTR});
}

static void short_transfers(void)
{
    every_call(&(struct plan){.name = "short", .short_transfer = true});
}

/* ---- a log file that cannot be made */

/* The first write after opening makes a log file. Whichever call of that fails, and cannot be
 * undone either, the next write goes on, and what is left of the failed one is in nobody's way. */
static void failed_log_files(void)
{
    static const int64_t ids[2] = {1, 2};
    size_t failed = 0;
    for (uint64_t at = 1; at <= 14; at++) {
        for (unsigned rounds = 1; rounds <= 3; rounds++) {
            struct sutra_simulated *fs;
            struct sutra_faulty faulty;
            struct sutra_store *store;
            struct sutra_fault fault;
            struct shown shown = {0};
            uint64_t lsn = 0;
            const struct sutra_store_options options =
                store_options(SUTRA_STORE_APPEND, SUTRA_SYNC_FULL);
            struct sutra_op op = put_op(ids, 1);
            REQUIRE(sutra_simulated_new(at, &fs) == SUTRA_OK);
            sutra_faulty_init(&faulty, sutra_simulated_io(fs));
            faulty.sticky = true;
            REQUIRE(open_store(&faulty.io, STORE_PATH, &options, &store) == SUTRA_OK);
            int status = SUTRA_OK;
            for (unsigned round = 0; round < rounds && status != SUTRA_E_DURABILITY; round++) {
                faulty.fail_at = faulty.calls + at;
                status = sutra_store_write(store, &op, 1, true, &lsn, &fault);
            }
            faulty.fail_at = 0;
            failed += status != SUTRA_OK;
            op.put.ids.numbers = ids + 1;
            const int after = sutra_store_write(store, &op, 1, true, &lsn, &fault);
            CHECK(after == SUTRA_OK || after == SUTRA_E_DURABILITY);
            drop_store(store);
            CHECK_EQ(open_store(&faulty.io, STORE_PATH, &options, &store), SUTRA_OK);
            if (store != NULL) {
                CHECK_EQ(store_shows(store, &shown), SUTRA_OK);
                CHECK(shown.live >= (size_t)(after == SUTRA_OK) && shown.live <= 2);
                op.put.replace = true;
                CHECK_EQ(sutra_store_write(store, &op, 1, true, &lsn, &fault), SUTRA_OK);
            }
            drop_store(store);
            CHECK_EQ(open_store(&faulty.io, STORE_PATH, &options, &store), SUTRA_OK);
            drop_store(store);
            sutra_simulated_free(fs);
        }
    }
    CHECK(failed > 10);
}

/* ---- writes that come in the middle of something */

static struct {
    struct sutra_kernels kernels;
    struct sutra_io io;
    struct sutra_store *in_dot, *in_sync; /* not NULL: the next call of the hook writes to it */
    int status;
    uint64_t lsn;
} meanwhile;

/* Two more concepts, and one less. */
static int write_two(struct sutra_store *store, int64_t first, int64_t gone, bool wait,
                     uint64_t *lsn_out)
{
    const int64_t ids[2] = {first, first + 1};
    struct sutra_fault fault;
    struct sutra_op ops[2] = {put_op(ids, 2), ids_op(SUTRA_OP_DELETE, &gone, 1)};
    return sutra_store_write(store, ops, 2, wait, lsn_out, &fault);
}

static void write_meanwhile(struct sutra_store **to, bool wait)
{
    struct sutra_store *const store = *to;
    *to = NULL;
    if (store != NULL)
        meanwhile.status = write_two(store, 1000, 7, wait, &meanwhile.lsn);
}

static float dot_and_write(const float *a, const float *b, size_t dim)
{
    write_meanwhile(&meanwhile.in_dot, true);
    return meanwhile.kernels.dot_f32(a, b, dim);
}

static int sync_and_write(void *context, int fd)
{
    const int status = meanwhile.io.sync(context, fd);
    write_meanwhile(&meanwhile.in_sync, false);
    return status;
}

/* Vectors of the store below: enough that a compaction has a graph to link. */
#define HOOKED (SUTRA_FLAT_ROWS + 88)

/* A store of concepts with vectors, not linked yet, whose calls go by way of the hooks. */
static bool open_hooked(struct sutra_simulated **fs_out, struct sutra_store **store_out)
{
    static struct sutra_kernels kernels;
    static struct sutra_io io;
    struct sutra_store_options options = store_options(SUTRA_STORE_APPEND, SUTRA_SYNC_FULL);
    int64_t ids[HOOKED];
    float vectors[HOOKED * MODEL_DIM];
    struct sutra_fault fault;
    uint64_t lsn;
    struct sutra_op op = vector_op(ids, HOOKED, vectors);
    options.quantization = SUTRA_QUANT_NONE;
    for (size_t j = 0; j < HOOKED; j++) {
        ids[j] = (int64_t)j;
        make_vector(j, vectors + j * MODEL_DIM);
    }
    if (sutra_simulated_new(1, fs_out) != SUTRA_OK)
        return false;
    memset(&meanwhile, 0, sizeof meanwhile);
    meanwhile.status = -1;
    meanwhile.kernels = kernels = *test_kernels();
    meanwhile.io = io = *sutra_simulated_io(*fs_out);
    kernels.dot_f32 = dot_and_write;
    io.sync = sync_and_write;
    return sutra_store_open(&io, &kernels, STORE_PATH, &options, store_out, NULL, &fault) ==
               SUTRA_OK &&
           sutra_store_write(*store_out, &op, 1, true, &lsn, &fault) == SUTRA_OK;
}

/* The copy is made from a view; what is written before the copy is in use must be in it all the
 * same. The copy links what was pending: the write comes with the first distance. */
static void written_while_compacting(void)
{
    struct sutra_simulated *fs;
    struct sutra_store *store;
    struct sutra_fault fault;
    struct shown shown = {0}, after = {0};
    uint64_t lsn;
    const struct sutra_store_options options = store_options(SUTRA_STORE_APPEND, SUTRA_SYNC_FULL);
    REQUIRE(open_hooked(&fs, &store));
    const struct sutra_io *const io = sutra_simulated_io(fs);
    CHECK_EQ(write_two(store, 900, 3, true, &lsn), SUTRA_OK); /* one is dead: there is a copy */
    meanwhile.in_dot = store;
    CHECK_EQ(sutra_store_compact(store), SUTRA_OK);
    CHECK_EQ(meanwhile.status, SUTRA_OK);
    CHECK_EQ(store_shows(store, &shown), SUTRA_OK);
    CHECK_EQ(shown.live, HOOKED + 2);
    drop_store(store);
    CHECK_EQ(open_store(io, STORE_PATH, &options, &store), SUTRA_OK);
    if (store != NULL) {
        CHECK_EQ(store_shows(store, &after), SUTRA_OK);
        CHECK(after.digest == shown.digest);
        CHECK_EQ(sutra_store_verify(store, true, NULL, &fault), SUTRA_OK);
    }
    drop_store(store);
    sutra_simulated_free(fs);
}

/* A sync makes durable, and visible, what was written before it began and no more. */
static void written_while_syncing(void)
{
    struct sutra_simulated *fs;
    struct sutra_store *store;
    struct shown shown = {0};
    uint64_t lsn = 0;
    REQUIRE(open_hooked(&fs, &store));
    meanwhile.in_sync = store;
    CHECK_EQ(write_two(store, 900, 3, true, &lsn), SUTRA_OK);
    CHECK_EQ(meanwhile.status, SUTRA_OK);
    CHECK_EQ(meanwhile.lsn, lsn + 1);
    CHECK_EQ(sutra_store_durable_lsn(store), lsn);
    CHECK_EQ(sutra_store_visible_lsn(store), lsn);
    CHECK_EQ(store_shows(store, &shown), SUTRA_OK);
    CHECK_EQ(shown.live, HOOKED + 1);
    CHECK_EQ(sutra_store_wait(store, lsn + 1), SUTRA_OK);
    CHECK_EQ(sutra_store_durable_lsn(store), lsn + 1);
    CHECK_EQ(store_shows(store, &shown), SUTRA_OK);
    CHECK_EQ(shown.live, HOOKED + 2);
    drop_store(store);
    sutra_simulated_free(fs);
}

/* ---- a disk that is full */

static uint64_t used_bytes(struct sutra_simulated *fs)
{
    const struct sutra_io *io = sutra_simulated_io(fs);
    const uint64_t capacity = (uint64_t)1 << 40;
    uint64_t left = 0;
    sutra_simulated_set_capacity(fs, capacity);
    CHECK_EQ(io->free_bytes(io->context, "/", &left), 0);
    return capacity - left;
}

/* While the disk is full the store can be opened, read and, but for what needs room, used. */
static void check_full(struct trial *trial)
{
    struct job *job = trial->job;
    struct shown shown;
    struct sutra_simulated *cut;
    if (sutra_simulated_crash(trial->fs, sutra_simulated_operations(trial->fs),
                              SUTRA_CRASH_LOSE_ALL, 0, 0, &cut) != SUTRA_OK)
        abort();
    sutra_simulated_set_capacity(cut, UINT64_MAX);
    check_disk(trial, cut, sutra_store_durable_lsn(job->store), job->lsn, "power cut when full");
    sutra_simulated_free(cut);
    drop_store(job->store);
    job->store = NULL;
    int status = open_store(job->io, STORE_PATH, &job->options, &job->store);
    if (status == SUTRA_OK)
        status = store_shows(job->store, &shown);
    if (status != SUTRA_OK || shown.lsn != job->lsn || shown.digest != job->model->digest)
        complain(trial, "opening when the disk is full", status);
    const int64_t ids[3] = {1, 2, 3};
    struct sutra_op op = {.kind = SUTRA_OP_DELETE, .ids.ids = {3, ids, NULL, NULL}};
    struct sutra_fault fault;
    uint64_t lsn;
    for (unsigned tries = 0; job->store != NULL && tries < 20; tries++) {
        status = sutra_store_write(job->store, &op, 1, true, &lsn, &fault);
        if (status == SUTRA_OK) {
            for (unsigned j = 0; j < 3; j++)
                (void)model_remove(job->model, number_place(ids[j]));
            job->lsn = lsn;
            history_set(&job->history, lsn, job->model->digest);
        } else if (status != ENOSPC) {
            complain(trial, "a delete when the disk is full", status);
        }
    }
}

static size_t fill_disk(const struct prepared *prepared, uint64_t room, int sync,
                        struct tally *tally)
{
    const struct plan plan = {.name = "full disk"};
    struct trial trial = {.plan = &plan, .at = room, .sync = sync, .tally = tally};
    size_t refused = 0;
    trial.fs = prepared_disk(prepared);
    trial.job = prepared_job(prepared, sutra_simulated_io(trial.fs), trial.fs, room, sync);
    trial.before = model_new();
    struct job *job = trial.job;
    const uint64_t used = used_bytes(trial.fs);
    job->work->actions_in = 250;
    sutra_simulated_set_capacity(trial.fs, used + room);
    if (job_open(job) != SUTRA_OK)
        complain(&trial, "opening", job->status);
    while (job->store != NULL && refused < 8 && job->call_count < 400 && tally->wrong == 0) {
        model_copy(trial.before, job->model);
        if (job_step(job) == SUTRA_OK)
            continue;
        refused++;
        if (job->status != ENOSPC)
            complain(&trial, "a full disk gives ENOSPC", job->status);
        judge(&trial, job->calls[job->call_count - 1].action);
        if (trial.failed)
            complain(&trial, "a full disk is no failure", job->status);
    }
    if (job->store != NULL && tally->wrong == 0)
        check_full(&trial);
    sutra_simulated_set_capacity(trial.fs, UINT64_MAX);
    const size_t until = job->call_count + 30;
    if (job->store == NULL && job_open(job) != SUTRA_OK)
        complain(&trial, "opening when there is room again", job->status);
    while (job->store != NULL && job->call_count < until && tally->wrong == 0) {
        if (job_step(job) != SUTRA_OK)
            complain(&trial, "a call when there is room again", job->status);
    }
    if (job->store != NULL)
        job_compare(job);
    tally->wrong += job->wrong;
    tally->runs++;
    finish(&trial);
    job_free(job);
    free(trial.before);
    sutra_simulated_free(trial.fs);
    return refused;
}

static void full_disk(void)
{
    struct prepared prepared = prepare(first_seed(), SUTRA_SYNC_FULL, 150);
    struct tally tally = {0};
    size_t refused = 0;
    uint64_t room = 0;
    const unsigned rooms = tests_are_slow() ? 300 : (unsigned)(60 / tests_divisor()) + 1;
    REQUIRE(prepared.job->wrong == 0);
    if (getenv("SUTRA_TEST_TRIAL") != NULL) {
        prepared_free(&prepared);
        return;
    }
    for (unsigned turn = 0; turn < rooms && tally.wrong == 0; turn++) {
        refused += fill_disk(&prepared, room, (int)(turn % 3), &tally);
        /* From a few bytes to several segments. */
        room = sutra_random_at(7, turn) % ((uint64_t)1 << (10 + turn % 14));
    }
    (void)fprintf(stderr, "full disk: %zu runs, %zu calls refused\n", tally.runs, refused);
    CHECK_EQ(tally.wrong, 0);
    CHECK(refused > tally.runs);
    prepared_free(&prepared);
}

CHECK_MAIN(CASE(failed_log_files), CASE(written_while_compacting), CASE(written_while_syncing),
           CASE(full_disk), CASE(errors_once), CASE(errors_for_ever), CASE(syncs_that_drop),
           CASE(no_space_once), CASE(no_space_for_ever), CASE(interruptions), CASE(short_transfers))
