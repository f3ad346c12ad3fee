/* What the tests of the upper rooms share: the kernel table, random vectors, a folder of their
 * own, and whether a sanitizer or an emulator is in the way.
 *
 * To be included first: it asks libc for POSIX and GNU names. Everything random follows from
 * random_seed, so a failure repeats.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_INDEX_CASES_H
#define SUTRA_TESTS_INDEX_CASES_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/prng.h"
#include "base/status.h"
#include "check.h"
#include "simd/kernels.h"

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

/* Slow places run fewer rounds. */
static inline bool is_slow_place(void)
{
    return SANITIZED || getenv("SUTRA_TEST_EMULATED") != NULL;
}

static inline const struct sutra_kernels *best_kernels(void)
{
    static struct sutra_kernels table;
    if (table.dot_f32 == NULL)
        (void)sutra_kernels_select(sutra_tier_best(), &table);
    return &table;
}

/* ---- random numbers */

static uint64_t random_seed, random_count;

static inline void seed_random(uint64_t seed)
{
    random_seed = seed;
    random_count = 0;
}

static inline uint64_t random_u64(void)
{
    return sutra_random_at(random_seed, random_count++);
}

static inline size_t random_below(size_t limit)
{
    return (size_t)(random_u64() % limit);
}

/* About normal: the sum of twelve uniform values, less six. */
static inline float random_normal(void)
{
    double sum = -6;
    for (int j = 0; j < 12; j += 4) {
        const uint64_t bits = random_u64();
        for (int part = 0; part < 4; part++)
            sum += (double)(bits >> 16 * part & 0xffff) / 65536.0;
    }
    return (float)sum;
}

/* count x dim values of standard normal; the caller frees them. */
static inline float *random_vectors(size_t count, size_t dim)
{
    float *vectors = malloc((count * dim + 1) * sizeof *vectors);
    for (size_t j = 0; vectors != NULL && j < count * dim; j++)
        vectors[j] = random_normal();
    return vectors;
}

/* ---- files */

/* A path in a folder that only this process uses; the buffer is the caller's. */
static inline const char *path_in_folder(char *buffer, size_t room, const char *name)
{
    static char folder[200];
    if (folder[0] == 0) {
        const char *root = getenv("TMPDIR");
        (void)snprintf(folder, sizeof folder, "%s/sutra-index-XXXXXX", root ? root : "/tmp");
        if (mkdtemp(folder) == NULL)
            abort();
    }
    (void)snprintf(buffer, room, "%s%s%s", folder, *name ? "/" : "", name);
    return buffer;
}

/* The whole file, or NULL; the caller frees it. */
static inline uint8_t *read_whole(const char *path, size_t *bytes_out)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    uint8_t *bytes = NULL;
    *bytes_out = 0;
    if (fseek(file, 0, SEEK_END) == 0 && ftell(file) >= 0) {
        const size_t length = (size_t)ftell(file);
        rewind(file);
        bytes = malloc(length + 1);
        if (bytes != NULL && fread(bytes, 1, length, file) == length)
            *bytes_out = length;
    }
    (void)fclose(file);
    return bytes;
}

static inline bool write_whole(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return false;
    const bool written = fwrite(bytes, 1, count, file) == count;
    return fclose(file) == 0 && written;
}

static inline bool same_files(const char *a, const char *b)
{
    size_t a_bytes = 0, b_bytes = 1;
    uint8_t *a_data = read_whole(a, &a_bytes), *b_data = read_whole(b, &b_bytes);
    const bool same =
        a_data && b_data && a_bytes == b_bytes && memcmp(a_data, b_data, a_bytes) == 0;
    free(a_data);
    free(b_data);
    return same;
}

#endif
