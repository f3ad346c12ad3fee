/* Damaged stores: files with bits flipped, cut, overwritten, missing, twice, or in each other's
 * place, and files that somebody has forged with every checksum right.
 *
 * The undamaged store was closed, so its last record vouches for all before it. What opens after
 * damage must show the state of the close, or verify must say what is wrong; less than that only
 * where the end of the newest log is gone, which looks like a crash. What is forged may show
 * anything, but no call crashes, hangs or writes where it must not.
 * SUTRA_TEST_SLOW=1 tries far more, among that every bit of a small store; SUTRA_TEST_SEED=N other
 * stores and places.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "store/log.h"
#include "store/log_format.h"
#include "store/manifest.h"
#include "store/manifest_format.h"
#include "store/segment.h"
#include "store/segment_blocks.h"
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

static int take_file(void *context, const char *path)
{
    struct image *image = context;
    struct image_file *file = &image->files[image->count];
    if (strncmp(path, &STORE_PATH[1], strlen(STORE_PATH) - 1) != 0 || image->count == FILES_MAX)
        return 0;
    (void)snprintf(file->path, sizeof file->path, "/%.60s", path);
    file->name = strrchr(file->path, '/') + 1;
    image->count++;
    return 0;
}

static size_t record_bytes(const uint8_t *record)
{
    const size_t payload = sutra_load_u32(record + SUTRA_LOG_RECORD_PAYLOAD_BYTES);
    return SUTRA_LOG_RECORD_PAYLOAD + sutra_round_up(payload, 8);
}

/* Valid bytes of an undamaged log, and where the last record starts. */
static size_t walk_log(const uint8_t *data, size_t bytes, size_t *last_out)
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

static void take_files(struct image *image)
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

static int open_image(struct image *image, struct sutra_simulated *fs, int mode, uint64_t turn,
                      struct sutra_store **store_out, char *file_out, struct sutra_fault *fault)
{
    struct sutra_store_options options = image->prepared.job->options;
    options.mode = mode;
    options.resident = turn % 2 ? SUTRA_RESIDENT_MAPPED : SUTRA_RESIDENT_ARENA;
    *store_out = NULL;
    return sutra_store_open(sutra_simulated_io(fs), test_kernels(), STORE_PATH, &options, store_out,
                            file_out, fault);
}

static uint64_t first_seed(void)
{
    const char *seed = getenv("SUTRA_TEST_SEED");
    return seed != NULL ? strtoull(seed, NULL, 10) : 1;
}

/* A store with a graph and several segments, or a very small one; after its checkpoints come two
 * log files. */
static struct image *make_image(bool small)
{
    static struct image image;
    struct sutra_store *store;
    struct sutra_store_stats stats;
    struct sutra_fault fault;
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
    job_close(job);
    CHECK_EQ(job->wrong, 0);
    take_files(&image);
    CHECK_EQ(open_image(&image, image.prepared.fs, SUTRA_STORE_READ, 0, &store, NULL, &fault), 0);
    if (store != NULL) {
        CHECK_EQ(store_shows(store, &image.shown), 0);
        CHECK_EQ(sutra_store_stats(store, &stats), 0);
        image.checkpoint_lsn = stats.checkpoint_lsn;
    }
    CHECK(image.shown.digest == job->model->digest);
    CHECK(image.last_log != NULL &&
          image.marker + SUTRA_LOG_RECORD_PAYLOAD == image.last_log->used);
    drop_store(store);
    return &image;
}

static void free_image(struct image *image)
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

static void complain(const struct damage *damage, const char *what, int status,
                     const struct shown *shown, struct tally *tally)
{
    tally->wrong++;
    (void)fprintf(stderr, "seed %llu: %s, %s at %zu to %zu: %s (status %d, LSN %llu)\n",
                  (unsigned long long)first_seed(), damage->what, damage->file->name, damage->from,
                  damage->to, what, status, (unsigned long long)shown->lsn);
}

/* The LSN of the last record of a log that lies before `bytes`, or of those before the log. */
static uint64_t lsn_before(const struct image_file *log, size_t bytes)
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

static bool is_typed(int status)
{
    return status == SUTRA_E_CORRUPT || status == SUTRA_E_TRUNCATED || status == SUTRA_E_VERSION ||
           status == SUTRA_E_NOT_STORE || status == ENOENT || status == SUTRA_E_NO_MEMORY ||
           status == SUTRA_E_CAPACITY;
}

/* shortest: what is left may end at this LSN; 0: it may not end early. */
static void check_damaged(struct image *image, struct sutra_simulated *fs,
                          const struct damage *damage, uint64_t shortest, int mode, uint64_t turn,
                          struct tally *tally)
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

static uint64_t shortest_after(const struct image *image, const struct damage *damage)
{
    if (damage->file != image->last_log || damage->to <= image->marker)
        return 0;
    return lsn_before(damage->file, damage->from);
}

/* Change bytes in place, look, and change them back. Readers write nothing. */
static void try_bytes(struct image *image, const struct damage *damage, const uint8_t *bytes,
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

static void report(const char *name, const struct tally *tally)
{
    (void)fprintf(
        stderr, "%s: %zu tried, %zu refused, %zu found by verify, %zu harmless, %zu shortened\n",
        name, tally->tried, tally->refused, tally->found, tally->harmless, tally->shortened);
    CHECK_EQ(tally->wrong, 0);
}

static struct image_file *draw_file(struct image *image, uint64_t drawn)
{
    return &image->files[drawn % image->count];
}

/* ---- bits and bytes */

static void flip_bit(struct image *image, struct image_file *file, size_t bit, uint64_t turn,
                     struct tally *tally)
{
    const struct damage damage = {"flipped", file, bit / 8, bit / 8 + 1};
    const uint8_t byte = file->data[bit / 8] ^ (uint8_t)(1u << bit % 8);
    /* A single bit in the marker takes it away, and with it nothing else. */
    try_bytes(image, &damage, &byte, turn, tally);
}

static void flipped_bits(void)
{
    struct image *image = make_image(false);
    struct tally tally = {0};
    const size_t count = 4000 / tests_divisor() * (tests_are_slow() ? 20 : 1);
    for (size_t turn = 0; turn < count && tally.wrong == 0; turn++) {
        const uint64_t drawn = sutra_random_at(first_seed(), turn);
        struct image_file *file = draw_file(image, drawn);
        if (file->used == 0)
            continue;
        const size_t near = file->used < 8192 ? file->used : 8192;
        const size_t byte = (drawn >> 8) % 4 ? (drawn >> 16) % file->used : (drawn >> 16) % near;
        flip_bit(image, file, byte * 8 + (drawn >> 10) % 8, turn, &tally);
    }
    report("flipped bits", &tally);
    CHECK(tally.refused > 0 && tally.found > 0 && tally.harmless > 0);
    free_image(image);
}

/* Of a very small store; every one where there is time. */
static void flipped_bits_of_small(void)
{
    struct image *image = make_image(true);
    struct tally tally = {0};
    size_t bits = 0;
    for (size_t f = 0; f < image->count; f++)
        bits += image->files[f].used * 8;
    const size_t step = tests_are_slow() ? 1 : bits / (3000 / tests_divisor()) + 1;
    size_t at = 0;
    for (size_t f = 0; f < image->count; f++) {
        struct image_file *file = &image->files[f];
        for (; at < file->used * 8 && tally.wrong == 0; at += step)
            flip_bit(image, file, at, at, &tally);
        at -= file->used * 8 < at ? file->used * 8 : at;
    }
    report("flipped bits of a small store", &tally);
    free_image(image);
}

/* Zeros, noise, or bytes of another place. */
static void overwritten_ranges(void)
{
    static uint8_t bytes[1 << 16];
    struct image *image = make_image(false);
    struct tally tally = {0};
    const size_t count = 2000 / tests_divisor() * (tests_are_slow() ? 20 : 1);
    for (size_t turn = 0; turn < count && tally.wrong == 0; turn++) {
        const uint64_t drawn = sutra_random_at(first_seed() + 1, turn);
        struct image_file *file = draw_file(image, drawn);
        if (file->used == 0)
            continue;
        struct damage damage = {"overwritten", file, (size_t)(drawn >> 16) % file->used, 0};
        size_t length = 1 + (size_t)(drawn >> 40) % ((size_t)1 << ((drawn >> 8) % 14));
        if (length > file->used - damage.from)
            length = file->used - damage.from;
        damage.to = damage.from + length;
        const struct image_file *other = draw_file(image, drawn >> 20);
        const unsigned kind = (unsigned)(drawn >> 12) % 3;
        memset(bytes, 0, length);
        for (size_t j = 0; kind == 1 && j < length; j++)
            bytes[j] = (uint8_t)sutra_random_at(drawn, j);
        if (kind == 2 && other->used > length)
            memcpy(bytes, other->data + (drawn >> 30) % (other->used - length), length);
        try_bytes(image, &damage, bytes, turn, &tally);
    }
    report("overwritten ranges", &tally);
    free_image(image);
}

/* ---- whole files */

/* A copy of the disk in which a file has other contents, or is gone (data NULL). */
static struct sutra_simulated *disk_with(const struct image *image, const char *path,
                                         const uint8_t *data, size_t bytes)
{
    struct sutra_simulated *fs = prepared_disk(&image->prepared);
    const struct sutra_io *io = sutra_simulated_io(fs);
    const int status =
        data ? sutra_simulated_put(fs, path, data, bytes) : io->unlink(io->context, path);
    CHECK_EQ(status, 0);
    return fs;
}

static void cut_files(void)
{
    struct image *image = make_image(false);
    struct tally tally = {0};
    const size_t count = 1000 / tests_divisor() * (tests_are_slow() ? 20 : 1);
    for (size_t turn = 0; turn < count && tally.wrong == 0; turn++) {
        const uint64_t drawn = sutra_random_at(first_seed() + 2, turn);
        struct image_file *file = draw_file(image, drawn);
        if (file->bytes == 0)
            continue;
        const size_t most = file->used + 64 < file->bytes ? file->used + 64 : file->bytes;
        const size_t bytes = (drawn >> 8) % 4 ? (size_t)(drawn >> 16) % most
                                              : (size_t)(drawn >> 16) % (most < 256 ? most : 256);
        const struct damage damage = {"cut", file, bytes, SIZE_MAX};
        struct sutra_simulated *fs = disk_with(image, file->path, file->data, bytes);
        check_damaged(image, fs, &damage, bytes < file->used ? shortest_after(image, &damage) : 0,
                      turn % 4 ? SUTRA_STORE_READ : SUTRA_STORE_APPEND, turn, &tally);
        sutra_simulated_free(fs);
    }
    report("cut files", &tally);
    CHECK(tally.shortened > 0 || tests_divisor() > 1);
    free_image(image);
}

static void missing_files(void)
{
    struct image *image = make_image(false);
    struct tally tally = {0};
    for (size_t f = 0; f < image->count; f++) {
        struct image_file *file = &image->files[f];
        const struct damage damage = {"missing", file, 0, SIZE_MAX};
        for (int mode = SUTRA_STORE_APPEND; mode <= SUTRA_STORE_READ; mode++) {
            struct sutra_simulated *fs = disk_with(image, file->path, NULL, 0);
            check_damaged(image, fs, &damage, shortest_after(image, &damage), mode, f, &tally);
            sutra_simulated_free(fs);
            /* And another with it. */
            for (size_t g = 0; g < f; g++) {
                const bool last = &image->files[g] == image->last_log || file == image->last_log;
                const struct image_file *log = image->last_log;
                fs = disk_with(image, file->path, NULL, 0);
                const struct sutra_io *io = sutra_simulated_io(fs);
                CHECK_EQ(io->unlink(io->context, image->files[g].path), 0);
                /* Both of the newest logs: what the checkpoint has is left. */
                const uint64_t least = log->number && last ? image->checkpoint_lsn : 0;
                check_damaged(image, fs, &damage, least, mode, g, &tally);
                sutra_simulated_free(fs);
            }
        }
    }
    report("missing files", &tally);
    free_image(image);
}

static void moved_files(void)
{
    struct image *image = make_image(false);
    struct tally tally = {0};
    for (size_t f = 0; f < image->count; f++) {
        const struct image_file *file = &image->files[f];
        for (size_t g = 0; g < image->count; g++) {
            const struct image_file *other = &image->files[g];
            if (f == g || file->bytes == 0 || other->bytes == 0)
                continue;
            const struct damage damage = {"replaced", file, 0, SIZE_MAX};
            /* Less than a header in the place of the last log: as if it had not been made. */
            const bool gone = (file == image->last_log && other->bytes < 96) ||
                              (other == image->last_log && file->bytes < 96);
            const uint64_t least = gone ? lsn_before(image->last_log, 0) : 0;
            /* One in the other's place, and both in each other's. */
            struct sutra_simulated *fs = disk_with(image, file->path, other->data, other->bytes);
            check_damaged(image, fs, &damage, least, SUTRA_STORE_READ, f, &tally);
            CHECK_EQ(sutra_simulated_put(fs, other->path, file->data, file->bytes), 0);
            check_damaged(image, fs, &damage, least, g % 2 ? SUTRA_STORE_READ : SUTRA_STORE_APPEND,
                          g, &tally);
            sutra_simulated_free(fs);
        }
    }
    report("moved files", &tally);
    CHECK(tally.refused > 0);
    free_image(image);
}

/* A file under another number, beside the one it was or instead of it. */
static void renumbered_files(void)
{
    struct image *image = make_image(false);
    struct tally tally = {0};
    for (size_t f = 0; f < image->count; f++) {
        const struct image_file *file = &image->files[f];
        char name[SUTRA_STORE_NAME_BYTES], path[96];
        uint64_t number;
        for (int by = -2; by <= 3; by++) {
            name[0] = '\0';
            if (sutra_log_number(file->name, &number))
                sutra_log_name(number + (uint64_t)by, name);
            else if (sutra_segment_number(file->name, &number))
                sutra_segment_name(number + (uint64_t)by, name);
            else if (sutra_manifest_number(file->name, &number))
                sutra_manifest_name(number + (uint64_t)by, name);
            if (by == 0 || name[0] == '\0')
                continue;
            (void)snprintf(path, sizeof path, "%s/%s", STORE_PATH, name);
            const struct damage damage = {"renumbered", file, 0, SIZE_MAX};
            struct sutra_simulated *fs = disk_with(image, path, file->data, file->bytes);
            check_damaged(image, fs, &damage, 0, SUTRA_STORE_READ, f, &tally);
            const struct sutra_io *io = sutra_simulated_io(fs);
            CHECK_EQ(io->unlink(io->context, file->path), 0);
            check_damaged(image, fs, &damage, shortest_after(image, &damage), SUTRA_STORE_READ, f,
                          &tally);
            sutra_simulated_free(fs);
        }
    }
    report("renumbered files", &tally);
    free_image(image);
}

/* ---- forged files */

/* Use whatever has opened in every way. Nothing is expected of it but that it ends. */
static void use_forged(struct image *image, struct sutra_simulated *fs, uint64_t turn,
                       struct tally *tally)
{
    struct sutra_store *store;
    struct sutra_store_view *view;
    struct sutra_fault fault;
    struct shown shown;
    const float vector[MODEL_DIM] = {1.0f, -0.5f}, one = 1.0f;
    uint32_t slots[8], concepts[8];
    float distances[8];
    uint64_t lsn;
    bool busy;
    tally->tried++;
    const int status = open_image(image, fs, SUTRA_STORE_APPEND, turn, &store, NULL, &fault);
    if (status != SUTRA_OK) {
        tally->refused++;
        if (!is_typed(status) && status != SUTRA_E_CONFIG) { /* other options than asked for */
            (void)fprintf(stderr, "forged %llu: status %d\n", (unsigned long long)turn, status);
            tally->wrong++;
        }
        return;
    }
    tally->found += sutra_store_verify(store, true, NULL, &fault) != SUTRA_OK;
    (void)store_shows(store, &shown);
    if (sutra_store_view_begin(store, &view) == SUTRA_OK) {
        for (int exact = 0; exact < 2; exact++)
            (void)sutra_store_search(view, vector, MODEL_DIM, 1, 8, 0, exact, 1, slots, concepts,
                                     distances, &fault);
        sutra_store_view_end(view);
    }
    const int64_t ids[3] = {1, 2, 500};
    struct sutra_op put = {.kind = SUTRA_OP_PUT,
                           .put = {.replace = true,
                                   .ids = {1, ids, NULL, NULL},
                                   .dim = MODEL_DIM,
                                   .vectors = vector,
                                   .stride = MODEL_DIM,
                                   .strengths = &one,
                                   .confidences = &one}};
    struct sutra_op remove = {.kind = SUTRA_OP_DELETE, .ids.ids = {3, ids, NULL, NULL}};
    (void)sutra_store_write(store, &put, 1, true, &lsn, &fault);
    (void)sutra_store_write(store, &remove, 1, true, &lsn, &fault);
    (void)sutra_store_reconcile(store, &busy);
    if (turn % 4 == 0)
        (void)sutra_store_compact(store);
    else
        (void)sutra_store_checkpoint(store);
    (void)store_shows(store, &shown);
    drop_store(store);
}

/* A value as a file may hold it, and those that break things. */
static uint64_t draw_value(uint64_t drawn, uint64_t now)
{
    switch (drawn % 8) {
    case 0:
        return now + 1 + (drawn >> 8) % 8;
    case 1:
        return now - 1 - (drawn >> 8) % 8;
    case 2:
        return now ^ (uint64_t)1 << (drawn >> 8) % 64;
    case 3:
        return (uint64_t)1 << (drawn >> 8) % 64;
    case 4:
        return UINT64_MAX - (drawn >> 8) % 4;
    case 5:
        return (drawn >> 8) % 4;
    case 6:
        return (uint64_t)UINT32_MAX - 1 + (drawn >> 8) % 3;
    default:
        return sutra_mix64(drawn);
    }
}

static struct image_file *find_file(struct image *image, const char *path)
{
    for (size_t f = 0; f < image->count; f++) {
        if (strcmp(image->files[f].path, path) == 0)
            return &image->files[f];
    }
    return NULL;
}

/* The newest manifest with a word or a few changed. */
static void forge_manifest(struct image *image, struct sutra_simulated *fs, uint64_t drawn)
{
    struct image_file *newest = NULL;
    uint64_t generation = 0, number;
    for (size_t f = 0; f < image->count; f++) {
        if (sutra_manifest_number(image->files[f].name, &number) && number > generation) {
            generation = number;
            newest = &image->files[f];
        }
    }
    uint8_t *copy = malloc(newest->bytes);
    if (copy == NULL)
        abort();
    memcpy(copy, newest->data, newest->bytes);
    for (unsigned change = 0; change <= drawn % 3; change++) {
        const uint64_t more = sutra_random_at(drawn, change);
        size_t at = SUTRA_MANIFEST_AT_CHECKPOINT_LSN + 8 * ((more >> 8) % 5);
        if (more % 8 < 5)
            at = SUTRA_MANIFEST_AT_STATE + 8 * ((more >> 8) % 44);
        else if (more % 8 < 6)
            at = SUTRA_MANIFEST_AT_FILES +
                 (more >> 8) % (newest->bytes - SUTRA_MANIFEST_AT_FILES - 12);
        sutra_store_u64(copy + at, draw_value(more >> 20, sutra_load_u64(copy + at)));
    }
    const size_t covered = newest->bytes - SUTRA_MANIFEST_CRC_BYTES;
    sutra_store_u32(copy + covered, sutra_crc32c(0, copy, covered));
    CHECK_EQ(sutra_simulated_put(fs, newest->path, copy, newest->bytes), 0);
    free(copy);
}

/* The last log with bytes of a payload, of a record's head or of the header changed. */
static void forge_log(struct image *image, struct sutra_simulated *fs, uint64_t drawn)
{
    struct image_file *log = image->last_log;
    uint8_t *copy = malloc(log->used);
    if (copy == NULL)
        abort();
    memcpy(copy, log->data, log->used);
    /* One of the records. */
    size_t at = 96, records = 0, which = 0;
    for (size_t next = at; next < log->used; next += record_bytes(copy + next))
        records++;
    for (which = (drawn >> 8) % records; which > 0; which--)
        at += record_bytes(copy + at);
    const size_t bytes = record_bytes(copy + at);
    const size_t payload = sutra_load_u32(copy + at + SUTRA_LOG_RECORD_PAYLOAD_BYTES);
    for (unsigned change = 0; change <= drawn % 3; change++) {
        const uint64_t more = sutra_random_at(drawn, change);
        if (more % 16 == 0 || payload < 8) {
            sutra_store_u64(copy + at + SUTRA_LOG_RECORD_DURABLE_DELTA,
                            draw_value(more >> 8, 1 | sutra_load_u64(copy + at + 16)));
        } else if (more % 4) {
            uint8_t *word = copy + at + SUTRA_LOG_RECORD_PAYLOAD + (more >> 8) % (payload / 4) * 4;
            sutra_store_u32(word, (uint32_t)draw_value(more >> 20, sutra_load_u32(word)));
        } else {
            copy[at + SUTRA_LOG_RECORD_PAYLOAD + (more >> 8) % payload] ^=
                (uint8_t)(1u << (more >> 40) % 8);
        }
    }
    uint8_t salt[8];
    memcpy(salt, copy + SUTRA_LOG_HEADER_SALT, sizeof salt);
    sutra_store_u32(copy + at,
                    sutra_crc32c(sutra_crc32c(0, salt, sizeof salt), copy + at + 4, bytes - 4));
    CHECK_EQ(sutra_simulated_put(fs, log->path, copy, log->used), 0);
    free(copy);
}

static void mutate_rows(uint8_t *rows, size_t bytes, size_t row_bytes, uint64_t drawn)
{
    if (bytes < 8)
        return;
    for (unsigned change = 0; change < 1 + drawn % 6; change++) {
        const uint64_t more = sutra_random_at(drawn, change);
        size_t at = (more >> 8) % (bytes / 4) * 4;
        if (row_bytes >= 8 && row_bytes % 4 == 0 && more % 2) /* a field of some row */
            at = (more >> 8) % (bytes / row_bytes) * row_bytes + (more >> 40) % (row_bytes / 4) * 4;
        if (at + 8 <= bytes && more % 3 == 0)
            sutra_store_u64(rows + at, draw_value(more >> 4, sutra_load_u64(rows + at)));
        else
            sutra_store_u32(rows + at, (uint32_t)draw_value(more >> 4, sutra_load_u32(rows + at)));
    }
}

static int copy_section(struct sutra_segment_writer *writer, const uint8_t *file,
                        const struct sutra_segment_section *section, bool forge, uint64_t drawn)
{
    const uint8_t *from = file + section->offset + sutra_section_repeated_bytes(section);
    const size_t own = (size_t)sutra_section_own_bytes(section);
    uint8_t *copy = malloc(own + 1);
    if (copy == NULL)
        abort();
    memcpy(copy, from, own);
    int status;
    if (section->form == SUTRA_SECTION_PATCH) {
        const size_t numbers = (size_t)sutra_patch_numbers_bytes(section->rows);
        if (forge)
            mutate_rows(copy + numbers, own - numbers, section->row_bytes, drawn);
        status = sutra_segment_patch(writer, section->kind, section->row_bytes,
                                     (const uint32_t *)(const void *)copy, copy + numbers,
                                     section->rows);
    } else {
        if (forge)
            mutate_rows(copy, own, section->row_bytes, drawn);
        status = sutra_segment_copied_rows(writer, section->kind, (int)section->form, NULL, copy,
                                           section->row_bytes, section->first_row,
                                           section->first_row + section->rows);
    }
    free(copy);
    return status;
}

/* A segment with rows of one section changed, written anew with everything right, and a manifest
 * that names it so. */
static void forge_segment(struct image *image, struct sutra_simulated *fs, uint64_t drawn)
{
    const struct sutra_io *io = sutra_simulated_io(fs);
    struct sutra_store_identity identity;
    struct sutra_manifest manifest = {0};
    struct sutra_segment segment;
    struct sutra_segment_writer *writer;
    struct sutra_fault fault;
    uint64_t generation = 0, number;
    char name[SUTRA_STORE_NAME_BYTES], path[96];
    for (size_t f = 0; f < image->count; f++) {
        if (sutra_manifest_number(image->files[f].name, &number) && number > generation)
            generation = number;
    }
    REQUIRE(sutra_identity_read(io, STORE_PATH, &identity, &fault) == 0);
    REQUIRE(sutra_manifest_read(io, STORE_PATH, generation, identity.store_id, &manifest, &fault) ==
            0);
    struct sutra_manifest_file *file = &manifest.files[drawn % manifest.file_count];
    REQUIRE(sutra_segment_open(io, STORE_PATH, identity.store_id, file->number, file->bytes,
                               file->identity, &segment, &fault) == 0);
    sutra_segment_name(file->number, name);
    (void)snprintf(path, sizeof path, "%s/%s", STORE_PATH, name);
    const struct image_file *old = find_file(image, path);
    REQUIRE(old != NULL &&
            sutra_segment_begin(io, STORE_PATH, identity.store_id, file->number, &writer) == 0);
    const uint32_t target = (uint32_t)((drawn >> 8) % segment.section_count);
    for (uint32_t s = 0; s < segment.section_count; s++)
        CHECK_EQ(copy_section(writer, old->data, &segment.sections[s], s == target, drawn >> 20),
                 0);
    sutra_segment_close(&segment);
    CHECK_EQ(sutra_segment_commit(writer, &file->bytes, file->identity), 0);
    CHECK_EQ(sutra_manifest_write(io, STORE_PATH, &manifest), 0);
    sutra_manifest_free(&manifest);
}

static void forge(const char *name, size_t count,
                  void (*forger)(struct image *image, struct sutra_simulated *fs, uint64_t drawn))
{
    struct image *image = make_image(false);
    struct tally tally = {0};
    count = count / tests_divisor() * (tests_are_slow() ? 20 : 1);
    for (size_t turn = 0; turn < count && tally.wrong == 0; turn++) {
        struct sutra_simulated *fs = prepared_disk(&image->prepared);
        forger(image, fs, sutra_random_at(first_seed() + 3, turn));
        use_forged(image, fs, turn, &tally);
        sutra_simulated_free(fs);
    }
    report(name, &tally);
    CHECK(tally.refused > 0 && tally.refused < tally.tried);
    free_image(image);
}

static void forged_manifests(void)
{
    forge("forged manifests", 1500, forge_manifest);
}

static void forged_logs(void)
{
    forge("forged logs", 1500, forge_log);
}

static void forged_segments(void)
{
    forge("forged segments", 2500, forge_segment);
}

CHECK_MAIN(CASE(flipped_bits), CASE(flipped_bits_of_small), CASE(overwritten_ranges),
           CASE(cut_files), CASE(missing_files), CASE(moved_files), CASE(renumbered_files),
           CASE(forged_manifests), CASE(forged_logs), CASE(forged_segments))
