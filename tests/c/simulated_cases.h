/* What the tests of the simulated file system have in common.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_SIMULATED_CASES_H
#define SUTRA_TESTS_SIMULATED_CASES_H

#include "base/crc32c.h"
#include "check.h"
#include "io/simulated.h"

#define CALL(io, function, ...) ((io)->function((io)->context, __VA_ARGS__))

static inline struct sutra_simulated *new_fs(uint64_t seed)
{
    struct sutra_simulated *fs = NULL;
    CHECK_EQ(sutra_simulated_new(seed, &fs), 0);
    return fs;
}

/* A file system that keeps a record from its first operation on. */
static inline struct sutra_simulated *new_recorded(void)
{
    struct sutra_simulated *fs = new_fs(1);
    CHECK_EQ(sutra_simulated_record(fs), 0);
    return fs;
}

static inline int open_file(struct sutra_simulated *fs, const char *path)
{
    int fd = -1;
    CHECK_EQ(CALL(sutra_simulated_io(fs), open, path, SUTRA_OPEN_CREATE, &fd), 0);
    return fd;
}

static inline void write_at(struct sutra_simulated *fs, int fd, uint64_t offset, const char *text)
{
    struct sutra_span span = {text, strlen(text)};
    CHECK_EQ(sutra_io_write_all(sutra_simulated_io(fs), fd, offset, &span, 1), 0);
}

static inline void sync_fd(struct sutra_simulated *fs, int fd)
{
    CHECK_EQ(CALL(sutra_simulated_io(fs), sync, fd), 0);
}

static inline void sync_names(struct sutra_simulated *fs, const char *path)
{
    CHECK_EQ(CALL(sutra_simulated_io(fs), sync_directory, path), 0);
}

static inline void put(struct sutra_simulated *fs, const char *path, const char *text)
{
    CHECK_EQ(sutra_simulated_put(fs, path, text, strlen(text)), 0);
}

static inline bool there(struct sutra_simulated *fs, const char *path)
{
    const struct sutra_io *io = sutra_simulated_io(fs);
    int fd;
    int status = CALL(io, open, path, SUTRA_OPEN_READ, &fd);
    if (status != 0 && status != EISDIR)
        return false;
    CALL(io, close, fd);
    return true;
}

static inline bool holds_bytes(struct sutra_simulated *fs, const char *path, const void *data,
                               size_t size)
{
    const struct sutra_io *io = sutra_simulated_io(fs);
    int fd;
    uint64_t bytes = 0;
    char back[8192];
    if (size > sizeof back || CALL(io, open, path, SUTRA_OPEN_READ, &fd) != 0)
        return false;
    bool same = CALL(io, size, fd, &bytes) == 0 && bytes == size &&
                sutra_io_read_all(io, fd, 0, back, size) == 0 && memcmp(back, data, size) == 0;
    CALL(io, close, fd);
    return same;
}

static inline bool holds(struct sutra_simulated *fs, const char *path, const char *text)
{
    return holds_bytes(fs, path, text, strlen(text));
}

static inline struct sutra_simulated *crash_at(const struct sutra_simulated *fs, uint64_t operation,
                                               int policy, uint64_t choice, uint64_t seed)
{
    struct sutra_simulated *crashed = NULL;
    CHECK_EQ(sutra_simulated_crash(fs, operation, policy, choice, seed, &crashed), 0);
    return crashed;
}

static inline struct sutra_simulated *crash_now(const struct sutra_simulated *fs, int policy,
                                                uint64_t choice)
{
    return crash_at(fs, sutra_simulated_operations(fs), policy, choice, 0);
}

static inline size_t in_flight_now(const struct sutra_simulated *fs)
{
    return sutra_simulated_in_flight(fs, sutra_simulated_operations(fs));
}

/* Check something of a crash state of now, and free it. */
#define AFTER(fs, policy, choice, condition)                                                       \
    do {                                                                                           \
        struct sutra_simulated *left = crash_now((fs), (policy), (choice));                        \
        REQUIRE(left != NULL);                                                                     \
        CHECK(condition);                                                                          \
        sutra_simulated_free(left);                                                                \
    } while (0)

/* Names, sizes and contents of all files in one number. */
struct digest {
    struct sutra_simulated *fs;
    uint32_t crc;
};

static inline int digest_file(void *context, const char *path)
{
    struct digest *digest = context;
    size_t bytes;
    const uint8_t *data = sutra_simulated_contents(digest->fs, path, &bytes);
    CHECK(data != NULL);
    digest->crc = sutra_crc32c(digest->crc, path, strlen(path) + 1);
    digest->crc = sutra_crc32c(digest->crc, &bytes, sizeof bytes);
    digest->crc = sutra_crc32c(digest->crc, data, bytes);
    return 0;
}

static inline uint32_t digest_of(struct sutra_simulated *fs)
{
    struct digest digest = {.fs = fs};
    CHECK_EQ(sutra_simulated_each(fs, digest_file, &digest), 0);
    return digest.crc;
}

static inline uint32_t digest_after(const struct sutra_simulated *fs, uint64_t operation,
                                    int policy, uint64_t choice, uint64_t seed)
{
    struct sutra_simulated *crashed = crash_at(fs, operation, policy, choice, seed);
    if (crashed == NULL)
        return 0;
    uint32_t crc = digest_of(crashed);
    sutra_simulated_free(crashed);
    return crc;
}

#endif
