/* What the tests of segments and manifests share: a directory on a real or a simulated file system,
 * random bytes, whole files in and out.
 *
 * To be included first: it asks libc for POSIX and GNU names. Everything random follows from the
 * seed, so a failure repeats.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_SEALED_CASES_H
#define SUTRA_TESTS_SEALED_CASES_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/prng.h"
#include "base/status.h"
#include "check.h"
#include "io/faulty.h"
#include "io/simulated.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static inline bool is_emulated(void)
{
    return getenv("SUTRA_TEST_EMULATED") != NULL;
}

static const uint8_t store_id[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

/* ---- places */

struct place {
    const struct sutra_io *io;
    struct sutra_simulated *simulated; /* NULL: the system's own files */
    char directory[128];
};

static inline bool make_place(struct place *place, bool simulated)
{
    *place = (struct place){.io = &sutra_io_posix};
    if (simulated) {
        if (sutra_simulated_new(1, &place->simulated) != SUTRA_OK)
            return false;
        place->io = sutra_simulated_io(place->simulated);
        (void)snprintf(place->directory, sizeof place->directory, "/db");
        return place->io->make_directory(place->io->context, place->directory) == SUTRA_OK;
    }
    const char *root = getenv("TMPDIR");
    (void)snprintf(place->directory, sizeof place->directory, "%.80s/sutra-test-XXXXXX",
                   root != NULL ? root : "/tmp");
    return mkdtemp(place->directory) != NULL;
}

static inline void path_of(const struct place *place, const char *name, char path[192])
{
    (void)snprintf(path, 192, "%s/%.40s", place->directory, name);
}

struct listing {
    size_t count;
    char names[64][48];
};

static inline int note_name(void *context, const char *name)
{
    struct listing *listing = context;
    if (listing->count < 64)
        (void)snprintf(listing->names[listing->count], 48, "%.40s", name);
    listing->count++;
    return 0;
}

static inline struct listing list_place(const struct place *place)
{
    struct listing listing = {0};
    (void)place->io->list(place->io->context, place->directory, note_name, &listing);
    return listing;
}

static inline bool has_file(const struct place *place, const char *name)
{
    const struct listing listing = list_place(place);
    for (size_t i = 0; i < listing.count && i < 64; i++) {
        if (strcmp(listing.names[i], name) == 0)
            return true;
    }
    return false;
}

static inline void empty_place(const struct place *place)
{
    const struct listing listing = list_place(place);
    for (size_t i = 0; i < listing.count && i < 64; i++) {
        char path[192];
        path_of(place, listing.names[i], path);
        (void)place->io->unlink(place->io->context, path);
    }
}

static inline void remove_place(struct place *place)
{
    empty_place(place);
    (void)place->io->remove_directory(place->io->context, place->directory);
    sutra_simulated_free(place->simulated);
}

/* ---- whole files */

static inline uint8_t *read_whole(const struct place *place, const char *name, size_t *bytes_out)
{
    char path[192];
    path_of(place, name, path);
    *bytes_out = 0;
    int fd;
    if (place->io->open(place->io->context, path, SUTRA_OPEN_READ, &fd) != SUTRA_OK)
        return NULL;
    uint64_t bytes = 0;
    int status = place->io->size(place->io->context, fd, &bytes);
    uint8_t *data = malloc((size_t)bytes + 1);
    if (status == SUTRA_OK)
        status = sutra_io_read_all(place->io, fd, 0, data, (size_t)bytes);
    place->io->close(place->io->context, fd);
    if (status != SUTRA_OK) {
        free(data);
        return NULL;
    }
    *bytes_out = (size_t)bytes;
    return data;
}

static inline bool write_whole(const struct place *place, const char *name, const void *data,
                               size_t bytes)
{
    char path[192];
    path_of(place, name, path);
    int fd;
    if (place->io->open(place->io->context, path, SUTRA_OPEN_CREATE, &fd) != SUTRA_OK)
        return false;
    const struct sutra_span span = {.data = data, .bytes = bytes};
    int status = place->io->truncate(place->io->context, fd, bytes);
    if (status == SUTRA_OK)
        status = sutra_io_write_all(place->io, fd, 0, &span, 1);
    place->io->close(place->io->context, fd);
    return status == SUTRA_OK;
}

/* Change one byte of a file. */
static inline bool flip(const struct place *place, const char *name, uint64_t offset, uint8_t mask)
{
    char path[192];
    path_of(place, name, path);
    int fd;
    if (place->io->open(place->io->context, path, SUTRA_OPEN_WRITE, &fd) != SUTRA_OK)
        return false;
    uint8_t byte = 0;
    int status = sutra_io_read_all(place->io, fd, offset, &byte, 1);
    byte = (uint8_t)(byte ^ mask);
    const struct sutra_span span = {.data = &byte, .bytes = 1};
    if (status == SUTRA_OK)
        status = sutra_io_write_all(place->io, fd, offset, &span, 1);
    place->io->close(place->io->context, fd);
    return status == SUTRA_OK;
}

/* ---- random numbers */

struct random {
    uint64_t seed, count;
};

static inline uint64_t next_random(struct random *random)
{
    return sutra_random_at(random->seed, random->count++);
}

static inline uint64_t random_below(struct random *random, uint64_t bound)
{
    return next_random(random) % bound;
}

static inline void random_bytes(struct random *random, void *to, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)to)[i] = (uint8_t)next_random(random);
}

#endif
