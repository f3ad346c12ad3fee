/* The log on a simulated medium: the power goes at every operation of a workload with group
 * commits, rotations, full disks and batches given up, under every policy for what was in flight;
 * and again while a successor is made. What had been acknowledged is there, what is there was
 * written, and nothing is taken for damage.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "log_cases.h"
#include "io/simulated.h"

#define BATCHES 90u
#define RECORDS_MAX 512u
#define FILES_MAX 16u
#define OPERATIONS_MAX 2048u
#define RECORDS_A_BATCH 5u
#define DISK_BYTES 400000u

struct work {
    struct sutra_simulated *fs;
    const struct sutra_io *io;
    struct sutra_log log;
    uint64_t file_number;
    uint64_t seed, draw;
    uint64_t first_operation;     /* crash states begin here */
    uint32_t digest[RECORDS_MAX]; /* of the record with this LSN, in a finished batch */
    uint64_t finished;            /* the last LSN of one */
    /* By the number of operations done: what was durable then, and what had been appended. */
    uint64_t durable[OPERATIONS_MAX], appended[OPERATIONS_MAX];
    uint64_t durable_lsn;
    size_t full, cuts, rotations;
};

static uint64_t draw(struct work *work)
{
    return sutra_random_at(work->seed, work->draw++);
}

/* Note what holds from this operation on. */
static void note(struct work *work)
{
    for (uint64_t i = sutra_simulated_operations(work->fs); i < OPERATIONS_MAX; i++) {
        work->durable[i] = work->durable_lsn;
        work->appended[i] = work->finished;
    }
}

static void synced(struct work *work)
{
    CHECK_EQ(sutra_log_sync(&work->log), 0);
    work->durable_lsn = work->finished;
    note(work);
}

static void rotate(struct work *work)
{
    struct sutra_log_end end;
    synced(work);
    sutra_log_end_of(&work->log, &end);
    CHECK_EQ(end.next_lsn, work->finished + 1);
    sutra_log_close(&work->log);
    work->file_number += 1 + draw(work) % 3;
    CHECK_EQ(sutra_log_create(&work->log, work->io, "d", test_store_id, work->file_number,
                              end.next_lsn, &end),
             0);
    CHECK_EQ(work->io->sync_directory(work->io->context, "d"), 0);
    note(work);
    work->rotations++;
}

/* Append a batch of records of these lengths; with `full` there is no room for the last. 0 or
 * ENOSPC. */
static int append_batch(struct work *work, const uint32_t *bytes, unsigned records, bool full)
{
    static uint8_t payload[8192];
    const uint64_t first = work->log.next_lsn;
    uint32_t digest[RECORDS_A_BATCH];
    int status = 0;
    for (unsigned i = 0; i < records && status == 0; i++) {
        const bool last = i + 1 == records;
        const uint32_t flags = last ? 0 : SUTRA_LOG_MORE;
        test_fill(payload, sizeof payload, draw(work));
        digest[i] = test_digest(0, first + i, flags, payload, bytes[i]);
        if (last) { /* after a crash in the middle all of it may be found */
            memcpy(work->digest + first, digest, records * sizeof digest[0]);
            work->finished = first + i;
            note(work);
        }
        sutra_simulated_set_capacity(work->fs, last && full ? 1 : DISK_BYTES);
        status = test_append(&work->log, flags, payload, bytes[i], work->durable_lsn);
    }
    sutra_simulated_set_capacity(work->fs, DISK_BYTES);
    if (status != 0) {
        work->finished = first - 1;
        note(work);
    }
    return status;
}

/* A batch of one to five records. Sometimes there is first no room for the last: then what is there
 * of the batch is cut off, or left at the end of the file, and another of the same lengths comes.
 */
static void batch(struct work *work)
{
    uint32_t bytes[RECORDS_A_BATCH];
    const unsigned records = draw(work) % 4 == 0 ? 2 + (unsigned)(draw(work) % 4) : 1;
    const bool full = draw(work) % 4 == 0;
    const uint64_t first = work->log.next_lsn;
    for (unsigned i = 0; i < records; i++)
        bytes[i] = (uint32_t)(draw(work) % (i % 2 == 0 ? 200 : 1500));
    if (full) {
        bytes[records - 1] += 4096; /* more than what is allocated */
        CHECK_EQ(append_batch(work, bytes, records, true), ENOSPC);
        CHECK(!sutra_log_failed(&work->log));
        work->full++;
        if (records > 1 && draw(work) % 3 == 0) {
            rotate(work);
        } else {
            CHECK_EQ(sutra_log_cut(&work->log), 0);
            work->cuts += records > 1;
        }
        CHECK_EQ(work->log.next_lsn, first);
    }
    CHECK_EQ(append_batch(work, bytes, records, false), 0);
    CHECK_EQ(work->log.next_lsn, work->finished + 1);
}

static void do_work(struct work *work, uint64_t seed)
{
    *work = (struct work){.file_number = 1, .seed = seed};
    REQUIRE(sutra_simulated_new(1, &work->fs) == 0);
    work->io = sutra_simulated_io(work->fs);
    REQUIRE(work->io->make_directory(work->io->context, "d") == 0);
    REQUIRE(work->io->sync_directory(work->io->context, "/") == 0);
    REQUIRE(sutra_simulated_record(work->fs) == 0);
    work->first_operation = sutra_simulated_operations(work->fs);
    /* Too small for whole steps, so that files are small. */
    sutra_simulated_set_capacity(work->fs, DISK_BYTES);
    note(work);
    REQUIRE(sutra_log_create(&work->log, work->io, "d", test_store_id, 1, 1, NULL) == 0);
    CHECK_EQ(work->io->sync_directory(work->io->context, "d"), 0);
    for (unsigned i = 0; i < BATCHES; i++) {
        batch(work);
        const uint64_t next = draw(work) % 24;
        if (next < 8)
            synced(work);
        else if (next == 8)
            rotate(work);
    }
    sutra_log_close(&work->log);
    CHECK(work->finished < RECORDS_MAX && sutra_simulated_operations(work->fs) < OPERATIONS_MAX);
}

/* ---- recovery */

struct listing {
    uint64_t numbers[FILES_MAX];
    size_t count;
};

static int list_log(void *context, const char *name)
{
    struct listing *listing = context;
    uint64_t number;
    if (!sutra_log_number(name, &number) || listing->count == FILES_MAX)
        return EINVAL;
    size_t at = listing->count++;
    for (; at > 0 && listing->numbers[at - 1] > number; at--)
        listing->numbers[at] = listing->numbers[at - 1];
    listing->numbers[at] = number;
    return 0;
}

struct recovery {
    const struct work *work;
    uint64_t next_lsn;
    size_t wrong;
};

static int recover_record(void *context, uint64_t lsn, uint32_t flags, const uint8_t *payload,
                          uint32_t bytes)
{
    struct recovery *recovery = context;
    recovery->wrong += lsn != recovery->next_lsn || lsn >= RECORDS_MAX ||
                       test_digest(0, lsn, flags, payload, bytes) != recovery->work->digest[lsn];
    recovery->next_lsn++;
    return 0;
}

/* All files in order; a last one without a header counts as absent. */
static int recover(const struct work *work, const struct sutra_io *io, struct recovery *recovery,
                   struct sutra_log_end *end)
{
    struct listing listing = {.count = 0};
    *recovery = (struct recovery){.work = work, .next_lsn = 1};
    *end = (struct sutra_log_end){.next_lsn = 1};
    int status = io->list(io->context, "d", list_log, &listing);
    for (size_t i = 0; i < listing.count && status == 0; i++) {
        const struct sutra_log_end before = *end;
        struct sutra_log_replay replay = {.io = io,
                                          .directory = "d",
                                          .store_id = test_store_id,
                                          .file_number = listing.numbers[i],
                                          .before = &before,
                                          .expected_lsn = before.next_lsn,
                                          .stop_lsn = UINT64_MAX,
                                          .last = i + 1 == listing.count,
                                          .each = recover_record,
                                          .context = recovery};
        status = sutra_log_replay(&replay, end, NULL, NULL);
        if (status != SUTRA_E_TRUNCATED || !replay.last)
            continue;
        *end = before;
        status = 0;
        if (before.file_number != 0) {
            replay.file_number = before.file_number;
            replay.before = NULL;
            replay.expected_lsn = 0;
            replay.skip_bytes = before.bytes;
            replay.skip_lsn = before.next_lsn;
            replay.skip_checksum = before.last_checksum;
            status = sutra_log_replay(&replay, end, NULL, NULL);
        }
    }
    return status;
}

static bool holds(const struct work *work, const struct sutra_io *io, uint64_t operation,
                  struct sutra_log_end *end)
{
    struct recovery recovery;
    const int status = recover(work, io, &recovery, end);
    const uint64_t found = recovery.next_lsn - 1;
    const uint64_t most = work->appended[operation] > work->appended[operation + 1]
                              ? work->appended[operation]
                              : work->appended[operation + 1];
    return status == 0 && recovery.wrong == 0 && end->next_lsn == recovery.next_lsn &&
           found >= work->durable[operation] && found <= most;
}

/* Begin the next file after a crash, and lose the power in that as well. */
static size_t crash_again(const struct work *work, struct sutra_simulated *fs, uint64_t operation,
                          const struct sutra_log_end *end)
{
    const struct sutra_io *io = sutra_simulated_io(fs);
    struct sutra_log log;
    struct listing listing = {.count = 0};
    CHECK_EQ(io->list(io->context, "d", list_log, &listing), 0);
    const uint64_t number = listing.count > 0 ? listing.numbers[listing.count - 1] + 1 : 1;
    size_t wrong = 0;
    CHECK_EQ(sutra_simulated_record(fs), 0);
    const uint64_t before = sutra_simulated_operations(fs);
    if (end->file_number != 0) { /* what a killed process has left may be in memory alone */
        char path[SUTRA_LOG_NAME_BYTES + 2] = "d/";
        int fd;
        sutra_log_name(end->file_number, path + 2);
        CHECK_EQ(io->open(io->context, path, SUTRA_OPEN_WRITE, &fd), 0);
        CHECK_EQ(io->sync(io->context, fd), 0);
        io->close(io->context, fd);
    }
    /* A file without a header is out of the chain, and must not come to stand inside it. */
    if (listing.count > 0 && listing.numbers[listing.count - 1] != end->file_number) {
        char path[SUTRA_LOG_NAME_BYTES + 2] = "d/";
        sutra_log_name(number - 1, path + 2);
        CHECK_EQ(io->unlink(io->context, path), 0);
        CHECK_EQ(io->sync_directory(io->context, "d"), 0);
    }
    CHECK_EQ(sutra_log_create(&log, io, "d", test_store_id, number, end->next_lsn, end), 0);
    CHECK_EQ(io->sync_directory(io->context, "d"), 0);
    sutra_log_close(&log);
    for (uint64_t at = before; at <= sutra_simulated_operations(fs); at++) {
        for (int policy = SUTRA_CRASH_LOSE_ALL; policy <= SUTRA_CRASH_SUBSET; policy++) {
            struct sutra_simulated *crashed;
            struct sutra_log_end again;
            CHECK_EQ(sutra_simulated_crash(fs, at, policy, at, at, &crashed), 0);
            wrong += !holds(work, sutra_simulated_io(crashed), operation, &again) ||
                     again.next_lsn != end->next_lsn;
            sutra_simulated_free(crashed);
        }
    }
    return wrong;
}

/* Try what a crash may leave at every operation; counts the states and what was wrong with them. */
static void crash_everywhere(const struct work *work, size_t *states, size_t *again, size_t *wrong)
{
    for (uint64_t at = work->first_operation; at <= sutra_simulated_operations(work->fs); at++) {
        const size_t flying = sutra_simulated_in_flight(work->fs, at);
        for (int policy = SUTRA_CRASH_LOSE_ALL; policy <= SUTRA_CRASH_SUBSET; policy++) {
            const size_t choices = policy < SUTRA_CRASH_LOSE_ONE  ? 1
                                   : policy == SUTRA_CRASH_SUBSET ? 8
                                                                  : flying;
            for (size_t choice = 0; choice < choices; choice++) {
                if ((*states)++ % test_stride() != 0)
                    continue;
                struct sutra_simulated *crashed;
                struct sutra_log_end end;
                REQUIRE(sutra_simulated_crash(work->fs, at, policy, choice, at * 31 + choice,
                                              &crashed) == 0);
                *wrong += !holds(work, sutra_simulated_io(crashed), at, &end);
                if (*states % 20 == 0) {
                    *wrong += crash_again(work, crashed, at, &end);
                    (*again)++;
                }
                sutra_simulated_free(crashed);
            }
        }
    }
}

static void every_operation(void)
{
    static struct work work;
    size_t states = 0, again = 0, wrong = 0, full = 0, cuts = 0, rotations = 0;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        do_work(&work, seed);
        crash_everywhere(&work, &states, &again, &wrong);
        full += work.full;
        cuts += work.cuts;
        rotations += work.rotations;
        sutra_simulated_free(work.fs);
    }
    CHECK_EQ(wrong, 0);
    CHECK(states > 10000 && again > 20);
    CHECK(full > 20 && cuts > 5 && rotations > 5);
}

CHECK_MAIN(CASE(every_operation))
