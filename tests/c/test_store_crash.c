/* Power cuts: a store after a crash at any operation of the file system.
 *
 * Work is done on a simulated disk that keeps a record. Then the disk is what a crash after each
 * operation may have left of it, and what opens there must be the state after some LSN that was not
 * above what had been begun and not below what had been promised. From some of these states the
 * crash is made again, at every operation of the recovery and of the first writes after it.
 *
 * A failure prints a line that repeats it: SUTRA_TEST_STATE="..." before the program's name.
 * SUTRA_TEST_SLOW=1 tries far more states, SUTRA_TEST_SEED=N other work.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_cases.h"

/* ---- one state */

/* Which crash, of which work. */
struct crash {
    int sync;
    uint64_t seed;
    size_t calls;
    uint64_t operation;
    int policy;
    uint64_t choice, subset;
    /* Of the crash after it, in the recovery; policy -1: none. */
    uint64_t second_operation;
    int second_policy;
    uint64_t second_choice;
};

static void complain(const struct crash *crash, const char *what, int status, uint64_t lsn,
                     const struct bounds *bounds)
{
    (void)fprintf(stderr,
                  "%s: status %d, LSN %llu, must be %llu (%llu if only the process died) to %llu\n"
                  "  SUTRA_TEST_STATE=\"%d %llu %zu %llu %d %llu %llu %llu %d %llu\"\n",
                  what, status, (unsigned long long)lsn, (unsigned long long)bounds->durable,
                  (unsigned long long)bounds->written, (unsigned long long)bounds->issued,
                  crash->sync, (unsigned long long)crash->seed, crash->calls,
                  (unsigned long long)crash->operation, crash->policy,
                  (unsigned long long)crash->choice, (unsigned long long)crash->subset,
                  (unsigned long long)crash->second_operation, crash->second_policy,
                  (unsigned long long)crash->second_choice);
}

/* What is looked at beside the state itself, by turns. */
enum looks {
    LOOK_VERIFY = 1,
    LOOK_SEARCH = 2,
    LOOK_READER = 4,
    LOOK_SNAPSHOT = 8,
    LOOK_GO_ON = 16
};

/* Put a concept that no work has. */
static int put_one(struct sutra_store *store, uint64_t *lsn_out, uint64_t *digest_out)
{
    static const char *const text = "written after a crash";
    static const float vector[MODEL_DIM] = {0.25f, 1.0f, -0.5f}, one = 1.0f;
    const uint32_t bytes = (uint32_t)strlen(text);
    const int64_t none = -1;
    struct sutra_fault fault;
    struct sutra_op op = {.kind = SUTRA_OP_PUT,
                          .put = {.replace = true,
                                  .ids = {1, &none, &text, &bytes},
                                  .dim = MODEL_DIM,
                                  .vectors = vector,
                                  .stride = MODEL_DIM,
                                  .strengths = &one,
                                  .confidences = &one,
                                  .time_ns = 12345}};
    const struct model_concept concept = {.alive = true,
                                          .id = hash_text_id(text, bytes),
                                          .vector = hash_vector(vector),
                                          .strength = one,
                                          .confidence = one,
                                          .created_ns = 12345,
                                          .accessed_ns = 12345};
    *digest_out = concept_digest(&concept);
    return sutra_store_write(store, &op, 1, true, lsn_out, &fault);
}

/* The recovered store takes a write, and after another opening it is still there. */
static const char *goes_on(const struct sutra_io *io, struct sutra_store **store,
                           const struct sutra_store_options *options, const struct shown *before,
                           uint64_t turn, int *status)
{
    uint64_t lsn, digest;
    *status = put_one(*store, &lsn, &digest);
    if (*status != SUTRA_OK)
        return "the first write after it";
    if (lsn != before->lsn + 1)
        return "the LSN of the first write after it";
    if (turn % 3 == 0)
        *status = sutra_store_checkpoint(*store);
    if (*status != SUTRA_OK)
        return "a checkpoint after it";
    if (turn % 2 == 0)
        *status = sutra_store_close(*store);
    else
        sutra_store_abandon(*store);
    if (*status != SUTRA_OK)
        return "closing after it";
    sutra_store_free(*store);
    *store = NULL;
    *status = open_store(io, STORE_PATH, options, store);
    if (*status != SUTRA_OK)
        return "opening once more";
    struct shown after;
    *status = store_shows(*store, &after);
    if (*status != SUTRA_OK || after.digest != before->digest + digest || after.lsn < lsn ||
        after.lsn > lsn + 1)
        return "the state when opened once more";
    return NULL;
}

/* A reader sees what a writer recovers. */
static const char *reader_agrees(const struct sutra_io *io, const struct sutra_store_options *as,
                                 const struct shown *writer, int *status)
{
    struct sutra_store_options options = *as;
    struct sutra_store *store;
    struct shown shown;
    options.mode = SUTRA_STORE_READ;
    *status = open_store(io, STORE_PATH, &options, &store);
    if (*status != SUTRA_OK)
        return "opening for reading";
    *status = store_shows(store, &shown);
    drop_store(store);
    return *status != SUTRA_OK || shown.lsn != writer->lsn || shown.digest != writer->digest
               ? "what a reader sees"
               : NULL;
}

/* A snapshot that was finished is whole. */
static const char *snapshot_holds(const struct job *job, const struct sutra_io *io, uint64_t lsn,
                                  int *status)
{
    struct sutra_store_options options = job->options;
    struct sutra_store *store;
    struct shown shown;
    options.mode = SUTRA_STORE_READ;
    *status = open_store(io, SNAPSHOT_PATH, &options, &store);
    if (lsn == 0 && *status != SUTRA_OK) { /* it was being made */
        const bool known = *status == ENOENT || *status == SUTRA_E_CORRUPT ||
                           *status == SUTRA_E_NOT_STORE || *status == SUTRA_E_TRUNCATED;
        return known ? NULL : "opening an unfinished snapshot";
    }
    if (*status != SUTRA_OK)
        return "opening a snapshot";
    *status = store_shows(store, &shown);
    drop_store(store);
    if (*status != SUTRA_OK || !history_has(&job->history, shown.lsn, shown.digest) ||
        (lsn != 0 && shown.lsn != lsn))
        return "the state of a snapshot";
    return NULL;
}

struct recovered {
    struct shown shown;
    uint64_t nanoseconds;
};

/* Open the store and look at it. NULL: all is as it must be. */
static const char *check_state(const struct job *job, struct sutra_simulated *fs,
                               const struct bounds *bounds, bool all_kept, unsigned looks,
                               uint64_t turn, struct recovered *recovered, int *status)
{
    const struct sutra_io *io = sutra_simulated_io(fs);
    struct sutra_store_options options = job->options;
    struct sutra_store *store;
    struct sutra_fault fault;
    struct shown *shown = &recovered->shown;
    const char *what = NULL;
    *shown = (struct shown){0};
    if (turn % 2)
        options.resident = SUTRA_RESIDENT_MAPPED;
    if (looks & LOOK_SNAPSHOT)
        what = snapshot_holds(job, io, bounds->snapshot, status);
    if (what != NULL)
        return what;
    *status = open_store(io, STORE_PATH, &options, &store);
    if (*status != SUTRA_OK)
        return "opening";
    *status = store_shows(store, shown);
    if (*status != SUTRA_OK)
        what = "reading";
    else if (shown->lsn < (all_kept ? bounds->written : bounds->durable))
        what = "acknowledged operations are lost";
    else if (shown->lsn > bounds->issued)
        what = "an LSN that was not given out";
    else if (!history_has(&job->history, shown->lsn, shown->digest))
        what = "a state that never was";
    if (what == NULL && looks & LOOK_VERIFY) {
        *status = sutra_store_verify(store, true, NULL, &fault);
        what = *status != SUTRA_OK ? fault.what ? fault.what : "verify" : NULL;
    }
    if (what == NULL && looks & LOOK_SEARCH && shown->searchable > 0 &&
        !search_finds(store, turn % shown->searchable, true))
        what = "a search";
    if (what == NULL && looks & LOOK_READER) {
        drop_store(store);
        store = NULL;
        what = reader_agrees(io, &options, shown, status);
        if (what == NULL)
            *status = open_store(io, STORE_PATH, &options, &store);
        if (*status != SUTRA_OK)
            what = "opening again";
    }
    if (what == NULL && looks & LOOK_GO_ON)
        what = goes_on(io, &store, &options, shown, turn, status);
    drop_store(store);
    return what;
}

/* ---- crashing again */

struct tally {
    size_t states, doubles, wrong;
};

/* The steps after a crash, each with the operations of the disk when it was done. */
struct steps {
    uint64_t start, opened, written, done;
    uint64_t lsn, digest; /* as recovered */
    uint64_t more;        /* digest of what is written */
};

static const char *take_steps(const struct job *job, struct sutra_simulated *fs,
                              struct steps *steps, int *status)
{
    const struct sutra_io *io = sutra_simulated_io(fs);
    struct sutra_store *store;
    struct shown shown;
    uint64_t lsn;
    steps->start = sutra_simulated_operations(fs);
    *status = open_store(io, STORE_PATH, &job->options, &store);
    if (*status != SUTRA_OK)
        return "opening";
    *status = store_shows(store, &shown);
    steps->opened = sutra_simulated_operations(fs);
    steps->lsn = shown.lsn;
    steps->digest = shown.digest;
    if (*status == SUTRA_OK)
        *status = put_one(store, &lsn, &steps->more);
    if (*status == SUTRA_OK)
        *status = sutra_store_flush(store);
    steps->written = sutra_simulated_operations(fs);
    if (*status == SUTRA_OK)
        *status = sutra_store_checkpoint(store);
    if (*status == SUTRA_OK)
        *status = sutra_store_close(store);
    steps->done = sutra_simulated_operations(fs);
    drop_store(store);
    return *status == SUTRA_OK ? NULL : "the steps after a crash";
}

static const char *check_second(const struct job *job, struct sutra_simulated *fs,
                                const struct steps *steps, uint64_t operation, uint64_t *lsn_out,
                                int *status)
{
    struct sutra_store *store;
    struct shown shown = {0};
    *status = open_store(sutra_simulated_io(fs), STORE_PATH, &job->options, &store);
    if (*status != SUTRA_OK)
        return "opening after the second crash";
    *status = store_shows(store, &shown);
    *lsn_out = shown.lsn;
    const bool as_before = shown.lsn == steps->lsn && shown.digest == steps->digest;
    const bool with_more = shown.lsn > steps->lsn && shown.lsn <= steps->lsn + 2 &&
                           shown.digest == steps->digest + steps->more;
    drop_store(store);
    if (*status != SUTRA_OK)
        return "reading after the second crash";
    if (operation <= steps->opened && !as_before)
        return "the state after a crash in recovery";
    if (operation >= steps->written && !with_more)
        return "what was written after the first crash";
    return as_before || with_more ? NULL : "the state after the second crash";
}

static void try_second(const struct job *job, struct crash *crash, struct sutra_simulated *first,
                       const struct steps *steps, const struct bounds *bounds, struct tally *tally)
{
    struct sutra_simulated *fs;
    uint64_t lsn = 0;
    int status = sutra_simulated_crash(first, crash->second_operation, crash->second_policy,
                                       crash->second_choice, crash->second_choice, &fs);
    const char *what = "the simulated disk";
    if (status == SUTRA_OK) {
        what = check_second(job, fs, steps, crash->second_operation, &lsn, &status);
        sutra_simulated_free(fs);
    }
    tally->doubles++;
    if (what == NULL)
        return;
    tally->wrong++;
    complain(crash, what, status, lsn, bounds);
}

/* Crash again, everywhere, from this state on. */
static void crash_again(const struct job *job, struct crash *crash, const struct bounds *bounds,
                        struct tally *tally)
{
    struct sutra_simulated *fs;
    struct steps steps = {0};
    int status = sutra_simulated_crash(job->fs, crash->operation, crash->policy, crash->choice,
                                       crash->subset, &fs);
    const char *what = "the simulated disk";
    if (status == SUTRA_OK)
        status = sutra_simulated_record(fs);
    if (status == SUTRA_OK)
        what = take_steps(job, fs, &steps, &status);
    if (what != NULL) {
        tally->wrong++;
        complain(crash, what, status, steps.lsn, bounds);
        sutra_simulated_free(fs);
        return;
    }
    const uint64_t turn = crash->operation;
    for (uint64_t at = steps.start; at <= steps.done && tally->wrong == 0; at++) {
        const size_t in_flight = sutra_simulated_in_flight(fs, at);
        for (int policy = 0; policy <= SUTRA_CRASH_SUBSET; policy++) {
            if (policy != SUTRA_CRASH_LOSE_ALL && in_flight == 0)
                continue;
            /* One of those that choose, by turns; more where there is time. */
            if (policy >= SUTRA_CRASH_LOSE_ONE && !tests_are_slow() &&
                (at + turn) % 4 != (uint64_t)policy - SUTRA_CRASH_LOSE_ONE)
                continue;
            crash->second_operation = at;
            crash->second_policy = policy;
            crash->second_choice =
                in_flight ? sutra_random_at(at, (uint64_t)policy) % in_flight : 0;
            try_second(job, crash, fs, &steps, bounds, tally);
        }
    }
    crash->second_policy = -1;
    sutra_simulated_free(fs);
}

/* ---- all states */

static unsigned draw_looks(uint64_t turn)
{
    unsigned looks = 0;
    const uint64_t drawn = sutra_random_at(99, turn);
    if (drawn % 16 == 0)
        looks |= LOOK_VERIFY;
    if ((drawn >> 8) % 8 == 0)
        looks |= LOOK_SEARCH;
    if ((drawn >> 16) % 16 == 0)
        looks |= LOOK_READER;
    if ((drawn >> 24) % 8 == 0)
        looks |= LOOK_SNAPSHOT;
    if ((drawn >> 32) % 4 == 0)
        looks |= LOOK_GO_ON;
    return looks;
}

static void try_state(const struct job *job, const struct crash *crash, unsigned looks,
                      struct tally *tally)
{
    struct sutra_simulated *fs;
    struct recovered recovered = {0};
    const struct bounds bounds = job_bounds(job, crash->operation);
    int status = sutra_simulated_crash(job->fs, crash->operation, crash->policy, crash->choice,
                                       crash->subset, &fs);
    const char *what = "the simulated disk";
    if (status == SUTRA_OK) {
        what = check_state(job, fs, &bounds, crash->policy == SUTRA_CRASH_KEEP_ALL, looks,
                           crash->operation, &recovered, &status);
        sutra_simulated_free(fs);
    }
    tally->states++;
    if (what == NULL)
        return;
    tally->wrong++;
    complain(crash, what, status, recovered.shown.lsn, &bounds);
}

/* The crashes to try after one operation. */
static void try_operation(const struct job *job, struct crash *crash, size_t before,
                          struct tally *tally)
{
    const bool slow = tests_are_slow();
    const size_t in_flight = sutra_simulated_in_flight(job->fs, crash->operation);
    const unsigned rounds = slow ? 13 : 1;
    uint64_t drawn = sutra_random_at(crash->seed, crash->operation);
    for (int policy = 0; policy <= SUTRA_CRASH_SUBSET; policy++) {
        crash->policy = policy;
        crash->choice = crash->subset = 0;
        /* Without a sync, losing all is as it was an operation before. */
        if (policy == SUTRA_CRASH_LOSE_ALL ? in_flight > before : in_flight == 0)
            continue;
        const bool chooses = policy >= SUTRA_CRASH_LOSE_ONE;
        if (chooses && !slow && (crash->operation + (uint64_t)policy) % 3 != 0)
            continue;
        for (unsigned round = 0; round < (chooses ? rounds : 1); round++) {
            /* Mostly of the newest. */
            const size_t window = drawn % 4 && in_flight > 6 ? 6 : in_flight;
            drawn = sutra_mix64(drawn);
            crash->choice = chooses ? in_flight - 1 - (drawn >> 8) % window : 0;
            crash->subset = chooses ? drawn : 0;
            try_state(job, crash, draw_looks(drawn + (uint64_t)policy), tally);
            if (tally->wrong > 0)
                return;
        }
    }
}

static uint64_t first_seed(void)
{
    const char *seed = getenv("SUTRA_TEST_SEED");
    return seed != NULL ? strtoull(seed, NULL, 10) : 1;
}

static struct job *recorded_job(uint64_t seed, int sync, size_t calls)
{
    struct sutra_simulated *fs = NULL;
    CHECK_EQ(sutra_simulated_new(seed, &fs), 0);
    CHECK_EQ(sutra_simulated_record(fs), 0);
    struct job *job = job_new(sutra_simulated_io(fs), fs, seed, sync);
    /* The work of even seeds is compacted whenever something is dead. */
    if (seed % 2 == 0)
        job_compact_eagerly(job);
    job_start(job);
    job_run(job, calls);
    CHECK_EQ(job->wrong, 0);
    return job;
}

static void free_job(struct job *job)
{
    struct sutra_simulated *fs = job->fs;
    job_free(job);
    sutra_simulated_free(fs);
}

/* Crash at every step-th operation of `calls` calls, and again from some of the states. */
static void try_job(uint64_t seed, int sync, size_t calls, size_t step, size_t doubles)
{
    static const char *const names[] = {"full", "interval", "off"};
    if (getenv("SUTRA_TEST_STATE") != NULL)
        return;
    struct job *job = recorded_job(seed, sync, calls);
    struct crash crash = {.sync = sync, .seed = seed, .calls = calls, .second_policy = -1};
    struct tally tally = {0};
    const uint64_t last = sutra_simulated_operations(job->fs);
    const uint64_t again = doubles ? last / doubles + 1 : 0;
    job_count_checkpoints(job);
    size_t before = 0;
    for (uint64_t at = 0; at <= last && tally.wrong == 0 && job->wrong == 0; at += step) {
        crash.operation = at;
        try_operation(job, &crash, before, &tally);
        before = step == 1 ? sutra_simulated_in_flight(job->fs, at) : SIZE_MAX;
        if (again == 0 || (at / step) % (again / step + 1) != 0 || tally.wrong > 0)
            continue;
        crash.policy = (int)(at / again % 2);
        crash.choice = crash.subset = 0;
        const struct bounds bounds = job_bounds(job, at);
        crash_again(job, &crash, &bounds, &tally);
    }
    (void)fprintf(stderr,
                  "sync %s, seed %llu: %zu calls, %llu operations, %llu checkpoints, %zu "
                  "compactions: %zu crashes, %zu second crashes\n",
                  names[sync], (unsigned long long)seed, job->call_count, (unsigned long long)last,
                  (unsigned long long)job->checkpoints, job->compactions, tally.states,
                  tally.doubles);
    CHECK_EQ(tally.wrong, 0);
    CHECK(tally.states * step >= last);
    CHECK_EQ(job->compactions > 0, seed % 2 == 0);
    free_job(job);
}

static void crashes_with_sync_full(void)
{
    const size_t divisor = tests_divisor();
    try_job(2 * first_seed() - 1, SUTRA_SYNC_FULL, 2000, divisor, 20 / divisor + 1);
}

static void crashes_with_sync_interval(void)
{
    const size_t divisor = tests_divisor();
    try_job(2 * first_seed(), SUTRA_SYNC_INTERVAL, tests_are_slow() ? 2000 : 500, divisor,
            4 / divisor + 1);
}

static void crashes_with_sync_off(void)
{
    const size_t divisor = tests_divisor();
    try_job(2 * first_seed() + 1, SUTRA_SYNC_OFF, tests_are_slow() ? 2000 : 500, divisor,
            4 / divisor + 1);
}

static void crashes_with_eager_compaction(void)
{
    const size_t divisor = tests_divisor();
    try_job(2 * first_seed() + 2, SUTRA_SYNC_FULL, tests_are_slow() ? 2000 : 700, divisor,
            4 / divisor + 1);
}

/* The one that SUTRA_TEST_STATE names, with every look at it. */
static void one_state(void)
{
    const char *named = getenv("SUTRA_TEST_STATE");
    struct crash crash = {0};
    unsigned long long seed, operation, choice, subset, second_operation, second_choice;
    if (named == NULL)
        return;
    REQUIRE(sscanf(named, "%d %llu %zu %llu %d %llu %llu %llu %d %llu", &crash.sync, &seed,
                   &crash.calls, &operation, &crash.policy, &choice, &subset, &second_operation,
                   &crash.second_policy, &second_choice) == 10);
    crash.seed = seed;
    crash.operation = operation;
    crash.choice = choice;
    crash.subset = subset;
    struct job *job = recorded_job(crash.seed, crash.sync, crash.calls);
    struct tally tally = {0};
    const struct bounds bounds = job_bounds(job, crash.operation);
    if (crash.second_policy >= 0)
        crash_again(job, &crash, &bounds, &tally);
    else
        try_state(job, &crash, 31, &tally);
    CHECK_EQ(tally.wrong, 0);
    free_job(job);
}

CHECK_MAIN(CASE(one_state), CASE(crashes_with_sync_full), CASE(crashes_with_sync_interval),
           CASE(crashes_with_sync_off), CASE(crashes_with_eager_compaction))
