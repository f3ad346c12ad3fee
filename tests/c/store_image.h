/* A closed store as files, and what a damaged one may be.
 *
 * The store was closed, so its last record vouches for all before it. What opens after damage must
 * show the state of the close, or verify must say what is wrong; less than that only where the end
 * of the newest log is gone, which looks like a crash.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_STORE_IMAGE_H
#define SUTRA_TESTS_STORE_IMAGE_H

#include "base/bytes.h"
#include "base/crc32c.h"
#include "store/log.h"
#include "store/log_format.h"
#include "store/manifest.h"
#include "store/manifest_format.h"
#include "store/segment.h"
#include "store_prepared.h"

#define FILES_MAX 64u

struct image_file {
    char path[64];
    const char *name; /* in path */
    uint8_t *data;
    size_t bytes;
    uint64_t number; /* of a log */
    size_t used;     /* bytes to sample: of a log, those up to what is allocated ahead */
};

struct image {
    struct prepared prepared;
    struct image_file files[FILES_MAX];
    size_t count;
    struct image_file *last_log;
    size_t marker; /* where its last record starts */
    uint64_t checkpoint_lsn;
    struct shown shown; /* undamaged */
};

struct tally {
    size_t tried, refused, found, harmless, shortened, wrong;
};

/* ---- the undamaged store */

static inline int take_file(void *context, const char *path)
{
    struct image *image = context;
    struct image_file *file = &image->files[image->count];
    if (strncmp(path, &STORE_PATH[1], strlen(STORE_PATH) - 1) != 0 || image->count == FILES_MAX)
        return 0;
    *file = (struct image_file){0};
    (void)snprintf(file->path, sizeof file->path, "/%.60s", path);
    file->name = strrchr(file->path, '/') + 1;
    image->count++;
    return 0;
}

static inline size_t record_bytes(const uint8_t *record)
{
    const size_t payload = sutra_load_u32(record + SUTRA_LOG_RECORD_PAYLOAD_BYTES);
    return SUTRA_LOG_RECORD_PAYLOAD + sutra_round_up(payload, 8);
}

/* Valid bytes of an undamaged log, and where the last record starts. */
static inline size_t walk_log(const uint8_t *data, size_t bytes, size_t *last_out)
{
    size_t at = 96;
    *last_out = at;
    while (at + SUTRA_LOG_RECORD_PAYLOAD <= bytes &&
           sutra_load_u64(data + at + SUTRA_LOG_RECORD_LSN) != 0) {
        *last_out = at;
        at += record_bytes(data + at);
    }
    return at;
}

static inline void take_files(struct image *image)
{
    image->count = 0;
    image->last_log = NULL;
    (void)sutra_simulated_each(image->prepared.fs, take_file, image);
    for (size_t f = 0; f < image->count; f++) {
        struct image_file *file = &image->files[f];
        file->data = sutra_simulated_contents(image->prepared.fs, file->path, &file->bytes);
        file->used = file->bytes;
        if (!sutra_log_number(file->name, &file->number))
            continue;
        size_t last;
        file->used = walk_log(file->data, file->bytes, &last);
        if (image->last_log == NULL || file->number > image->last_log->number) {
            image->last_log = file;
            image->marker = last;
        }
    }
}

static inline int open_image(struct image *image, struct sutra_simulated *fs, int mode,
                             uint64_t turn, struct sutra_store **store_out, char *file_out,
                             struct sutra_fault *fault)
{
    struct sutra_store_options options = image->prepared.job->options;
    options.mode = mode;
    options.resident = turn % 2 ? SUTRA_RESIDENT_MAPPED : SUTRA_RESIDENT_ARENA;
    *store_out = NULL;
    return sutra_store_open(sutra_simulated_io(fs), test_kernels(), STORE_PATH, &options, store_out,
                            file_out, fault);
}

static inline uint64_t first_seed(void)
{
    const char *seed = getenv("SUTRA_TEST_SEED");
    return seed != NULL ? strtoull(seed, NULL, 10) : 1;
}

/* The files of the store, which is closed, and what it shows: that of the model. */
static inline void take_shown(struct image *image)
{
    struct sutra_store *store;
    struct sutra_store_stats stats;
    struct sutra_fault fault;
    take_files(image);
    CHECK_EQ(open_image(image, image->prepared.fs, SUTRA_STORE_READ, 0, &store, NULL, &fault), 0);
    if (store != NULL) {
        CHECK_EQ(store_shows(store, &image->shown), 0);
        CHECK_EQ(sutra_store_stats(store, &stats), 0);
        image->checkpoint_lsn = stats.checkpoint_lsn;
    }
    CHECK(image->shown.digest == image->prepared.job->model->digest);
    drop_store(store);
}

enum image_form {
    IMAGE_WHOLE,  /* with a graph and several segments */
    IMAGE_SMALL,  /* a few kilobytes */
    IMAGE_KILLED, /* as IMAGE_WHOLE, but not closed: only what was written next vouches for a write
                   */
};

/* A store with two log files after its checkpoints. */
static inline struct image *make_image(enum image_form form)
{
    const bool small = form == IMAGE_SMALL;
    static struct image image;
    image = (struct image){0};
    if (small) {
        if (sutra_simulated_new(first_seed(), &image.prepared.fs) != SUTRA_OK)
            abort();
        image.prepared.job = job_new(sutra_simulated_io(image.prepared.fs), image.prepared.fs,
                                     first_seed(), SUTRA_SYNC_FULL);
        job_start(image.prepared.job);
        job_run(image.prepared.job, 2);
        job_write_some(image.prepared.job, 4);
        CHECK_EQ(sutra_store_checkpoint(image.prepared.job->store), 0);
        job_write_some(image.prepared.job, 4);
        CHECK_EQ(sutra_store_checkpoint(image.prepared.job->store), 0);
    } else {
        image.prepared = prepare(first_seed(), SUTRA_SYNC_FULL, 150);
        CHECK_EQ(job_open(image.prepared.job), 0);
    }
    struct job *job = image.prepared.job;
    job_write_some(job, small ? 3 : 20);
    CHECK_EQ(sutra_store_checkpoint(job->store), 0);
    job_write_some(job, small ? 3 : 25);
    job->status = SUTRA_OK;
    CHECK_EQ(job_reopen(job, true), 0);
    job_write_some(job, small ? 3 : 15);
    CHECK_EQ(sutra_store_flush(job->store), 0);
    if (form == IMAGE_KILLED) {
        /* Each is durable before the next is written. */
        for (unsigned j = 0; j < 20; j++) {
            job_write_some(job, 1);
            CHECK_EQ(sutra_store_flush(job->store), 0);
        }
        drop_store(job->store);
        job->store = NULL;
    }
    job_close(job);
    CHECK_EQ(job->wrong, 0);
    take_shown(&image);
    CHECK(
        image.last_log != NULL &&
        (form == IMAGE_KILLED || image.marker + SUTRA_LOG_RECORD_PAYLOAD == image.last_log->used));
    return &image;
}

static inline void free_image(struct image *image)
{
    prepared_free(&image->prepared);
}

/* ---- what a damaged store may be */

/* The bytes of a file that are not as they were. */
struct damage {
    const char *what;
    const struct image_file *file;
    size_t from, to; /* to SIZE_MAX: the end is gone too */
};

static inline void complain(const struct damage *damage, const char *what, int status,
                            const struct shown *shown, struct tally *tally)
{
    tally->wrong++;
    (void)fprintf(stderr, "seed %llu: %s, %s at %zu to %zu: %s (status %d, LSN %llu)\n",
                  (unsigned long long)first_seed(), damage->what, damage->file->name, damage->from,
                  damage->to, what, status, (unsigned long long)shown->lsn);
}

/* The LSN of the last record of a log that lies before `bytes`, or of those before the log. */
static inline uint64_t lsn_before(const struct image_file *log, size_t bytes)
{
    uint64_t lsn = sutra_load_u64(log->data + SUTRA_LOG_HEADER_FIRST_LSN) - 1;
    size_t at = 96;
    while (at < log->used) {
        const size_t next = at + record_bytes(log->data + at);
        if (next > bytes)
            break;
        lsn = sutra_load_u64(log->data + at + SUTRA_LOG_RECORD_LSN);
        at = next;
    }
    return lsn;
}

static inline bool is_typed(int status)
{
    return status == SUTRA_E_CORRUPT || status == SUTRA_E_TRUNCATED || status == SUTRA_E_VERSION ||
           status == SUTRA_E_NOT_STORE || status == ENOENT || status == SUTRA_E_NO_MEMORY ||
           status == SUTRA_E_CAPACITY;
}

/* shortest: what is left may end at this LSN; 0: it may not end early. */
static inline void check_damaged(struct image *image, struct sutra_simulated *fs,
                                 const struct damage *damage, uint64_t shortest, int mode,
                                 uint64_t turn, struct tally *tally)
{
    struct sutra_store *store;
    struct sutra_fault fault;
    struct shown shown = {0};
    char file[SUTRA_STORE_NAME_BYTES];
    tally->tried++;
    int status = open_image(image, fs, mode, turn, &store, file, &fault);
    if (status != SUTRA_OK) {
        tally->refused++;
        if (!is_typed(status))
            complain(damage, "the error of opening", status, &shown, tally);
        if ((status == SUTRA_E_CORRUPT || status == SUTRA_E_TRUNCATED) &&
            (fault.what == NULL || file[0] == '\0'))
            complain(damage, "the error of opening names no file", status, &shown, tally);
        return;
    }
    const int read = store_shows(store, &shown);
    const int verified = sutra_store_verify(store, true, file, &fault);
    if (verified != SUTRA_OK) {
        tally->found++;
        if (fault.what == NULL)
            complain(damage, "the error of verify says nothing", verified, &shown, tally);
    } else if (read != SUTRA_OK) {
        complain(damage, "reading fails and verify finds nothing", read, &shown, tally);
    } else if (shown.digest == image->shown.digest) {
        tally->harmless++;
    } else if (shortest && shown.lsn >= shortest &&
               history_has(&image->prepared.job->history, shown.lsn, shown.digest)) {
        tally->shortened++;
    } else {
        complain(damage, "a wrong state, and verify finds nothing", read, &shown, tally);
    }
    drop_store(store);
}

static inline uint64_t shortest_after(const struct image *image, const struct damage *damage)
{
    if (damage->file != image->last_log || damage->to <= image->marker)
        return 0;
    return lsn_before(damage->file, damage->from);
}

/* Change bytes in place, look, and change them back. Readers write nothing. */
static inline void try_bytes(struct image *image, const struct damage *damage, const uint8_t *bytes,
                             uint64_t turn, struct tally *tally)
{
    uint8_t *at = damage->file->data + damage->from;
    const size_t count = damage->to - damage->from;
    uint8_t *saved = malloc(count);
    if (saved == NULL)
        abort();
    memcpy(saved, at, count);
    memcpy(at, bytes, count);
    check_damaged(image, image->prepared.fs, damage, shortest_after(image, damage),
                  SUTRA_STORE_READ, turn, tally);
    memcpy(at, saved, count);
    free(saved);
}

static inline void report(const char *name, const struct tally *tally)
{
    (void)fprintf(
        stderr, "%s: %zu tried, %zu refused, %zu found by verify, %zu harmless, %zu shortened\n",
        name, tally->tried, tally->refused, tally->found, tally->harmless, tally->shortened);
    CHECK_EQ(tally->wrong, 0);
}

static inline struct image_file *draw_file(struct image *image, uint64_t drawn)
{
    return &image->files[drawn % image->count];
}

/* A copy of the disk in which a file has other contents, or is gone (data NULL). */
static inline struct sutra_simulated *disk_with(const struct image *image, const char *path,
                                                const uint8_t *data, size_t bytes)
{
    struct sutra_simulated *fs = prepared_disk(&image->prepared);
    const struct sutra_io *io = sutra_simulated_io(fs);
    const int status =
        data ? sutra_simulated_put(fs, path, data, bytes) : io->unlink(io->context, path);
    CHECK_EQ(status, 0);
    return fs;
}

#endif
