/* What the log's tests share: a file table in memory that does as it is told, writing and replaying
 * made short, and a made-up log with a note of every record in it.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_LOG_CASES_H
#define SUTRA_TESTS_LOG_CASES_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "check.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/prng.h"
#include "store/log.h"
#include "store/log_format.h"

#define UNUSED __attribute__((unused))

/* Sanitizers and emulators are slow: every so many of the states that are tried otherwise. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOWED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLOWED 1
#endif
#endif
static UNUSED size_t test_stride(void)
{
#if defined(SLOWED)
    return 13;
#else
    return getenv("SUTRA_TEST_EMULATED") != NULL ? 13 : 1;
#endif
}

#define MEMORY_FILES 8
#define MIB ((uint64_t)1 << 20)

struct memory_file {
    char path[40]; /* empty: no such file */
    uint8_t *data;
    size_t bytes, room;
};

/* A descriptor is the number of a file. */
struct memory {
    struct sutra_io io;
    struct memory_file files[MEMORY_FILES];
    uint64_t salt; /* the next random number; raised by each */
    bool fixed_salt;
    uint64_t capacity;    /* bytes that allocating or growing may reach, of one file */
    bool cannot_allocate; /* ENOTSUP */
    /* Errors to give: to every such call from the *_after-th on (0: the next). */
    int open_error, read_error, write_error, sync_error, truncate_error, allocate_error;
    int random_error, unlink_error;
    unsigned write_after, sync_after, truncate_after;
    unsigned interrupted;  /* so many calls give EINTR first */
    size_t transfer_bytes; /* at most so many a call; 0: all */
    size_t write_room;     /* a failing write does so many bytes before */
    unsigned writes, syncs, truncates, allocates, reads; /* calls that came through */
    uint64_t read_bytes;                                 /* in all */
    size_t read_bytes_most;                              /* asked in one call */
    const uint8_t *old; /* what the first `old_reads` reads see, of `old_bytes` */
    size_t old_bytes;
    unsigned old_reads;
    size_t size_more; /* so many bytes are gone between asking for the size and reading */
    bool sync_slowly; /* the next sync takes a while, and alone gives sync_error */
    bool sync_begun;  /* atomic: it has begun */
    char order[64];   /* one letter a call that changes something: w s t a u */
    size_t order_count;
};

static void memory_note(struct memory *memory, char letter)
{
    if (memory->order_count + 1 < sizeof memory->order)
        memory->order[memory->order_count++] = letter;
}

static bool memory_interrupt(struct memory *memory)
{
    if (memory->interrupted == 0)
        return false;
    memory->interrupted--;
    return true;
}

static bool memory_due(int error, unsigned *after)
{
    if (error == 0)
        return false;
    if (*after > 0) {
        (*after)--;
        return false;
    }
    return true;
}

static struct memory_file *memory_find(struct memory *memory, const char *path)
{
    for (size_t i = 0; i < MEMORY_FILES; i++)
        if (strcmp(memory->files[i].path, path) == 0)
            return &memory->files[i];
    return NULL;
}

/* Grows with zeros. */
static void memory_resize(struct memory_file *file, size_t bytes)
{
    if (bytes > file->room) {
        uint8_t *data = realloc(file->data, bytes);
        if (data == NULL)
            abort();
        file->data = data;
        file->room = bytes;
    }
    if (bytes > file->bytes)
        memset(file->data + file->bytes, 0, bytes - file->bytes);
    file->bytes = bytes;
}

static int memory_open(void *context, const char *path, int how, int *fd_out)
{
    struct memory *memory = context;
    struct memory_file *file = memory_find(memory, path);
    if (memory->open_error != 0)
        return memory->open_error;
    if (how == SUTRA_OPEN_READ && file == NULL)
        return ENOENT;
    if (how == SUTRA_OPEN_CREATE_EXCLUSIVE) {
        if (file != NULL)
            return EEXIST;
        file = memory_find(memory, "");
        if (file == NULL || strlen(path) >= sizeof file->path)
            return EMFILE;
        memcpy(file->path, path, strlen(path) + 1);
        file->bytes = 0;
    }
    *fd_out = (int)(file - memory->files);
    return 0;
}

static void memory_close(void *context, int fd)
{
    (void)context;
    CHECK(fd >= 0 && fd < MEMORY_FILES);
}

static int memory_read(void *context, int fd, uint64_t offset, void *data, size_t bytes,
                       size_t *done_out)
{
    struct memory *memory = context;
    const struct memory_file *file = &memory->files[fd];
    const uint8_t *from = file->data;
    size_t size = file->bytes;
    if (memory_interrupt(memory))
        return EINTR;
    if (memory->read_error != 0)
        return memory->read_error;
    if (bytes > memory->read_bytes_most)
        memory->read_bytes_most = bytes;
    if (memory->reads++ < memory->old_reads) {
        from = memory->old;
        size = memory->old_bytes;
    }
    if (offset >= size)
        bytes = 0;
    else if (bytes > size - offset)
        bytes = size - (size_t)offset;
    if (memory->transfer_bytes != 0 && bytes > memory->transfer_bytes)
        bytes = memory->transfer_bytes;
    if (bytes > 0)
        memcpy(data, from + offset, bytes);
    memory->read_bytes += bytes;
    *done_out = bytes;
    return 0;
}

static int memory_write(void *context, int fd, uint64_t offset, const struct sutra_span *spans,
                        size_t count, size_t *done_out)
{
    struct memory *memory = context;
    struct memory_file *file = &memory->files[fd];
    if (memory_interrupt(memory))
        return EINTR;
    const bool fails = memory_due(memory->write_error, &memory->write_after);
    if (fails && memory->write_room == 0)
        return memory->write_error;
    size_t most = memory->transfer_bytes != 0 ? memory->transfer_bytes : SIZE_MAX, done = 0;
    if (fails && memory->write_room < most)
        most = memory->write_room;
    memory_note(memory, 'w');
    memory->writes++;
    for (size_t i = 0; i < count && most > 0; i++) {
        size_t bytes = spans[i].bytes < most ? spans[i].bytes : most;
        if (offset + bytes > memory->capacity)
            bytes = offset < memory->capacity ? (size_t)(memory->capacity - offset) : 0;
        if (bytes == 0 && spans[i].bytes > 0)
            break;
        if (offset + bytes > file->bytes)
            memory_resize(file, (size_t)offset + bytes);
        memcpy(file->data + offset, spans[i].data, bytes);
        offset += bytes;
        done += bytes;
        most -= bytes;
        if (bytes < spans[i].bytes)
            break;
    }
    if (fails)
        memory->write_room = 0;
    *done_out = done;
    return done == 0 ? ENOSPC : 0;
}

static int memory_sync(void *context, int fd)
{
    struct memory *memory = context;
    (void)fd;
    if (memory->sync_slowly) {
        const int error = memory->sync_error;
        memory->sync_slowly = false;
        memory->sync_error = 0;
        __atomic_store_n(&memory->sync_begun, true, __ATOMIC_RELEASE);
        const struct timespec while_others_try = {.tv_nsec = 50000000};
        (void)nanosleep(&while_others_try, NULL);
        return error;
    }
    if (memory_due(memory->sync_error, &memory->sync_after))
        return memory->sync_error;
    memory_note(memory, 's');
    memory->syncs++;
    return 0;
}

static int memory_allocate(void *context, int fd, uint64_t offset, uint64_t bytes)
{
    struct memory *memory = context;
    struct memory_file *file = &memory->files[fd];
    if (memory->cannot_allocate)
        return ENOTSUP;
    if (memory_interrupt(memory))
        return EINTR;
    if (memory->allocate_error != 0)
        return memory->allocate_error;
    if (offset + bytes > memory->capacity) {
        /* As file systems may, it leaves what it got. */
        if (offset < memory->capacity)
            memory_resize(file, (size_t)memory->capacity);
        return ENOSPC;
    }
    memory_note(memory, 'a');
    memory->allocates++;
    if (offset + bytes > file->bytes)
        memory_resize(file, (size_t)(offset + bytes));
    return 0;
}

static int memory_truncate(void *context, int fd, uint64_t bytes)
{
    struct memory *memory = context;
    if (memory_interrupt(memory))
        return EINTR;
    if (memory_due(memory->truncate_error, &memory->truncate_after))
        return memory->truncate_error;
    memory_note(memory, 't');
    memory->truncates++;
    memory_resize(&memory->files[fd], (size_t)bytes);
    return 0;
}

static int memory_size(void *context, int fd, uint64_t *bytes_out)
{
    struct memory *memory = context;
    *bytes_out = memory->files[fd].bytes + memory->size_more;
    return 0;
}

static int memory_unlink(void *context, const char *path)
{
    struct memory *memory = context;
    struct memory_file *file = memory_find(memory, path);
    if (memory->unlink_error != 0)
        return memory->unlink_error;
    if (file == NULL || path[0] == '\0')
        return ENOENT;
    memory_note(memory, 'u');
    file->path[0] = '\0';
    return 0;
}

static int memory_random(void *context, void *data, size_t bytes)
{
    struct memory *memory = context;
    if (memory->random_error != 0)
        return memory->random_error;
    const uint64_t value = memory->fixed_salt ? memory->salt : sutra_mix64(memory->salt++);
    if (bytes != sizeof value)
        return EINVAL;
    memcpy(data, &value, bytes);
    return 0;
}

static UNUSED void memory_init(struct memory *memory)
{
    *memory = (struct memory){
        .io = {.context = memory,
               .open = memory_open,
               .close = memory_close,
               .read = memory_read,
               .write = memory_write,
               .sync = memory_sync,
               .allocate = memory_allocate,
               .truncate = memory_truncate,
               .size = memory_size,
               .unlink = memory_unlink,
               .random = memory_random},
        .salt = 1,
        .capacity = UINT64_MAX,
    };
}

static UNUSED void memory_deinit(struct memory *memory)
{
    for (size_t i = 0; i < MEMORY_FILES; i++)
        free(memory->files[i].data);
}

/* The file with this number; NULL if there is none. */
static UNUSED struct memory_file *memory_log(struct memory *memory, uint64_t number)
{
    char path[SUTRA_LOG_NAME_BYTES + 2] = "d/";
    sutra_log_name(number, path + 2);
    return memory_find(memory, path);
}

/* Make or replace it. */
static UNUSED void memory_put(struct memory *memory, uint64_t number, const uint8_t *data,
                              size_t bytes)
{
    struct memory_file *file = memory_log(memory, number);
    if (file == NULL) {
        int fd;
        char path[SUTRA_LOG_NAME_BYTES + 2] = "d/";
        sutra_log_name(number, path + 2);
        REQUIRE(memory_open(memory, path, SUTRA_OPEN_CREATE_EXCLUSIVE, &fd) == 0);
        file = &memory->files[fd];
    }
    memory_resize(file, bytes);
    if (bytes > 0)
        memcpy(file->data, data, bytes);
}

/* ---- short ways */

static const uint8_t test_store_id[16] = {0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,
                                          0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f};

static UNUSED int test_create(struct sutra_log *log, struct memory *memory, uint64_t number,
                              uint64_t first_lsn, const struct sutra_log_end *before)
{
    return sutra_log_create(log, &memory->io, "d", test_store_id, number, first_lsn, before);
}

static UNUSED int test_append(struct sutra_log *log, uint32_t flags, const void *data, size_t bytes,
                              uint64_t durable_lsn)
{
    const struct sutra_span span = {data, bytes};
    return sutra_log_append(log, flags, &span, 1, durable_lsn);
}

static UNUSED void test_fill(uint8_t *data, size_t bytes, uint64_t seed)
{
    for (size_t i = 0; i + 8 <= bytes; i += 8)
        sutra_store_u64(data + i, sutra_random_at(seed, i));
}

/* What a replay has handed over. */
struct heard {
    uint64_t records, bytes;
    uint64_t first_lsn, next_lsn; /* of what came */
    uint32_t digest;              /* of LSNs, flags, lengths and payloads */
    bool out_of_order, misaligned, unfinished;
    uint64_t stop_at; /* give -1000 at this LSN; 0: never */
};

static UNUSED uint32_t test_digest(uint32_t digest, uint64_t lsn, uint32_t flags,
                                   const uint8_t *payload, uint32_t bytes)
{
    uint8_t head[16];
    sutra_store_u64(head, lsn);
    sutra_store_u32(head + 8, flags);
    sutra_store_u32(head + 12, bytes);
    return sutra_crc32c(sutra_crc32c(digest, head, sizeof head), payload, bytes);
}

static UNUSED int test_hear(void *context, uint64_t lsn, uint32_t flags, const uint8_t *payload,
                            uint32_t bytes)
{
    struct heard *heard = context;
    if (lsn == heard->stop_at)
        return -1000;
    if (heard->records == 0)
        heard->first_lsn = lsn;
    else if (lsn != heard->next_lsn)
        heard->out_of_order = true;
    if ((uintptr_t)payload % 8 != 0)
        heard->misaligned = true;
    heard->next_lsn = lsn + 1;
    heard->records++;
    heard->bytes += bytes;
    heard->unfinished = (flags & SUTRA_LOG_MORE) != 0;
    heard->digest = test_digest(heard->digest, lsn, flags, payload, bytes);
    return 0;
}

static UNUSED struct sutra_log_replay test_replay_of(struct memory *memory, uint64_t number,
                                                     struct heard *heard)
{
    *heard = (struct heard){0};
    return (struct sutra_log_replay){.io = &memory->io,
                                     .directory = "d",
                                     .store_id = test_store_id,
                                     .file_number = number,
                                     .stop_lsn = UINT64_MAX,
                                     .last = true,
                                     .each = test_hear,
                                     .context = heard};
}

/* ---- a made-up log */

struct note {
    uint64_t start, end; /* bytes in the file */
    uint64_t durable_lsn;
    uint32_t flags, payload_bytes;
    uint32_t checksum;
    uint32_t finished; /* records up to the last finished batch at or before this one */
    uint32_t synced;   /* records that had been synced when this one was written */
};

struct made_log {
    struct memory memory; /* file 1 is the log */
    struct note *notes;
    size_t count;
    uint64_t first_lsn;
    uint8_t *image; /* of its valid bytes */
    size_t image_bytes;
    uint32_t header_checksum;
};

/* Mostly small ones, as many without payload as not. */
static uint32_t made_payload_bytes(uint64_t random)
{
    const uint32_t kind = (uint32_t)(random % 20), size = (uint32_t)(random >> 32);
    return kind < 4 ? 0 : kind < 14 ? size % 64 : kind < 19 ? size % 200 : size % 600;
}

/* `count` records, or a few more: batches of one record, every eighth of two to five; groups of one
 * to eight batches that are synced together, sometimes a group later. Payloads differ with `salt`,
 * sizes and groups only with `seed`. */
static UNUSED void made_log_init(struct made_log *made, size_t count, uint64_t seed, uint64_t salt)
{
    static uint8_t payload[1024];
    struct sutra_log log;
    *made = (struct made_log){.first_lsn = 1000};
    memory_init(&made->memory);
    made->memory.salt = salt;
    made->notes = calloc(count + 8, sizeof *made->notes);
    REQUIRE(made->notes != NULL);
    REQUIRE(test_create(&log, &made->memory, 1, made->first_lsn, NULL) == 0);
    made->header_checksum = log.last_checksum;
    uint64_t draw = 0;
    uint32_t synced = 0, finished = 0;
    while (made->count < count) {
        const uint32_t group_start = finished;
        const unsigned batches = 1 + (unsigned)(sutra_random_at(seed, draw++) % 8);
        for (unsigned batch = 0; batch < batches && made->count < count; batch++) {
            const uint64_t form = sutra_random_at(seed, draw++);
            const unsigned records = form % 8 == 0 ? 2 + (unsigned)(form >> 8) % 4 : 1;
            for (unsigned part = 0; part < records; part++) {
                struct note *note = &made->notes[made->count];
                const uint64_t drawn = sutra_random_at(seed, draw++);
                note->payload_bytes = made_payload_bytes(drawn);
                for (size_t i = 0; i < note->payload_bytes; i += 8)
                    sutra_store_u64(payload + i, sutra_random_at(salt, draw << 16 | i));
                note->flags = part + 1 < records ? SUTRA_LOG_MORE : 0;
                note->synced = synced;
                note->durable_lsn = made->first_lsn - 1 + synced;
                note->start = log.end;
                REQUIRE(test_append(&log, note->flags, payload, note->payload_bytes,
                                    note->durable_lsn) == 0);
                note->end = log.end;
                note->checksum = log.last_checksum;
                made->count++;
                if (note->flags == 0)
                    finished = (uint32_t)made->count;
                note->finished = finished;
            }
        }
        /* A sync that began after this group, or only one that began before it. */
        synced = sutra_random_at(seed, draw++) % 3 == 0 ? group_start : finished;
    }
    made->image_bytes = (size_t)log.end;
    made->image = malloc(made->image_bytes);
    REQUIRE(made->image != NULL);
    memcpy(made->image, memory_log(&made->memory, 1)->data, made->image_bytes);
    sutra_log_close(&log);
}

/* Hears a made log again and compares it with what was written. */
struct repeat {
    const struct made_log *made;
    size_t next;  /* record that has to come; start with the first that is not skipped */
    size_t wrong; /* that were anything else */
};

static UNUSED int repeat_hear(void *context, uint64_t lsn, uint32_t flags, const uint8_t *payload,
                              uint32_t bytes)
{
    struct repeat *repeat = context;
    const struct made_log *made = repeat->made;
    const size_t i = repeat->next++;
    const struct note *note = &made->notes[i];
    if (i >= made->count || lsn != made->first_lsn + i || flags != note->flags ||
        bytes != note->payload_bytes ||
        memcmp(payload, made->image + note->start + SUTRA_LOG_RECORD_HEADER_BYTES, bytes) != 0)
        repeat->wrong++;
    return 0;
}

static UNUSED void made_log_deinit(struct made_log *made)
{
    memory_deinit(&made->memory);
    free(made->notes);
    free(made->image);
}

/* How many of its first records lie whole in the first `bytes` bytes. */
static UNUSED size_t made_log_whole(const struct made_log *made, uint64_t bytes)
{
    size_t low = 0, high = made->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (made->notes[middle].end <= bytes)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The end of a log of the first `records` records (of which the last finishes a batch). */
static UNUSED struct sutra_log_end made_log_end(const struct made_log *made, size_t records)
{
    return (struct sutra_log_end){
        .file_number = 1,
        .bytes = records > 0 ? made->notes[records - 1].end : SUTRA_LOG_HEADER_BYTES,
        .last_checksum = records > 0 ? made->notes[records - 1].checksum : made->header_checksum,
        .next_lsn = made->first_lsn + records,
    };
}

static UNUSED bool same_end(const struct sutra_log_end *a, const struct sutra_log_end *b)
{
    return a->file_number == b->file_number && a->bytes == b->bytes &&
           a->last_checksum == b->last_checksum && a->next_lsn == b->next_lsn;
}

#endif
