/* What the tests of associations and traversal share: random numbers that repeat, and a store in
 * memory that parts are saved to and loaded from.
 *
 * To be included first: it asks libc for POSIX and GNU names.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_ASSOCIATION_CASES_H
#define SUTRA_TESTS_ASSOCIATION_CASES_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/bytes.h"
#include "base/platform.h"
#include "base/prng.h"
#include "check.h"
#include "concepts/associations.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED_ADDRESSES 1
#elif defined(__SANITIZE_THREAD__)
#define SANITIZED_THREADS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED_ADDRESSES 1
#elif __has_feature(thread_sanitizer)
#define SANITIZED_THREADS 1
#endif
#endif
#ifndef SANITIZED_ADDRESSES
#define SANITIZED_ADDRESSES 0
#endif
#ifndef SANITIZED_THREADS
#define SANITIZED_THREADS 0
#endif

/* Slow places run fewer rounds. */
static inline bool is_slow_place(void)
{
    return SANITIZED_ADDRESSES || SANITIZED_THREADS || getenv("SUTRA_TEST_EMULATED") != NULL;
}

static uint64_t random_seed, random_count;

static inline void seed_random(uint64_t seed)
{
    random_seed = seed;
    random_count = 0;
}

static inline uint32_t random_below(uint64_t below)
{
    return (uint32_t)(sutra_random_at(random_seed, random_count++) % below);
}

/* ---- a store in memory */

struct saved_part {
    uint64_t version;
    size_t rows, row_bytes;
    uint8_t *bytes;
};

struct saved {
    uint64_t words[SUTRA_ASSOCIATIONS_STATE_WORDS];
    struct saved_part parts[SUTRA_ASSOCIATIONS_PARTS];
    bool tight;     /* load planes that end where nothing can be read */
    bool read_only; /* load planes that are to be made writable first, as mapped ones are */
};

static inline void forget(struct saved *saved)
{
    for (size_t p = 0; p < SUTRA_ASSOCIATIONS_PARTS; p++)
        free(saved->parts[p].bytes);
    memset(saved, 0, sizeof *saved);
}

/* What a store does: rows that are new, rows that are marked, or all of a new version. Seals. */
static inline bool save(struct saved *saved, struct sutra_associations *associations)
{
    struct sutra_part parts[SUTRA_ASSOCIATIONS_PARTS];
    sutra_associations_parts(associations, parts);
    sutra_associations_state(associations, saved->words);
    for (size_t p = 0; p < SUTRA_ASSOCIATIONS_PARTS; p++) {
        const struct sutra_part *part = &parts[p];
        struct saved_part *to = &saved->parts[p];
        const bool anew = to->version != part->version;
        const size_t from = anew ? 0 : to->rows;
        if (part->rows < from || (part->rows > 0 && !part->plane))
            return false;
        uint8_t *bytes = realloc(to->bytes, part->rows * part->row_bytes + 1);
        if (!bytes)
            return false;
        *to = (struct saved_part){part->version, part->rows, part->row_bytes, bytes};
        if (part->rows > from)
            memcpy(bytes + from * part->row_bytes, part->plane->base + from * part->row_bytes,
                   (part->rows - from) * part->row_bytes);
        if (!part->dirty)
            continue;
        for (size_t row = sutra_dirty_next(part->dirty, 0); row < from;
             row = sutra_dirty_next(part->dirty, row + 1))
            memcpy(bytes + row * part->row_bytes, part->plane->base + row * part->row_bytes,
                   part->row_bytes);
        if (sutra_dirty_seal(part->dirty, part->rows) != SUTRA_OK)
            return false;
    }
    return true;
}

/* A plane whose rows end with its last page; writing to it or growing it is not possible. */
static inline int load_tight(const struct saved_part *part, size_t rows, size_t row_bytes,
                             struct sutra_plane *plane_out)
{
    const size_t bytes = rows * row_bytes, page = sutra_page_bytes();
    const size_t room = sutra_round_up(bytes, page);
    uint8_t *region =
        mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (region == MAP_FAILED)
        return SUTRA_E_NO_MEMORY;
    uint8_t *base = region + room - bytes;
    memcpy(base, part->bytes, bytes);
    if (mprotect(region, room, PROT_READ) != 0 || mprotect(region + room, page, PROT_NONE) != 0)
        return SUTRA_E_NO_MEMORY;
    *plane_out = (struct sutra_plane){.base = base,
                                      .row_bytes = row_bytes,
                                      .arena = {.base = base,
                                                .reserved_bytes = bytes,
                                                .committed_bytes = bytes,
                                                .region = region,
                                                .region_bytes = room + page}};
    return SUTRA_OK;
}

static inline int load_part(void *context, uint32_t kind, size_t row_bytes, size_t rows, bool hot,
                            int huge_pages, struct sutra_plane *plane_out)
{
    const struct saved *saved = context;
    const struct saved_part *part = &saved->parts[kind - SUTRA_PART_OUT_OFFSET];
    (void)hot;
    if (rows != part->rows || row_bytes != part->row_bytes)
        return SUTRA_E_CORRUPT;
    if (saved->tight)
        return load_tight(part, rows, row_bytes, plane_out);
    struct sutra_plane plane = {0};
    int status = sutra_plane_reserve(&plane, row_bytes, rows, huge_pages);
    if (status == SUTRA_OK)
        status = sutra_arena_commit(&plane.arena, rows * row_bytes);
    if (status != SUTRA_OK) {
        sutra_plane_release(&plane);
        return status;
    }
    /* Behind a mapped prefix there are bytes of the file, not zeros. */
    memset(plane.base, 0xee, plane.arena.committed_bytes);
    memcpy(plane.base, part->bytes, rows * row_bytes);
    if (saved->read_only) {
        plane.arena.mapped_bytes = plane.arena.committed_bytes;
        plane.arena.mapped_read_only = true;
        CHECK_EQ(mprotect(plane.base, plane.arena.mapped_bytes, PROT_READ), 0);
    }
    *plane_out = plane;
    return SUTRA_OK;
}

static inline int load(struct saved *saved, size_t concepts,
                       struct sutra_associations **associations_out, struct sutra_fault *fault_out)
{
    const struct sutra_part_source source = {saved, load_part};
    return sutra_associations_load(saved->words, concepts, &source, associations_out, fault_out);
}

/* ---- small things */

/* An object with kinds "0", "1", ... and room. */
static inline struct sutra_associations *make(unsigned kinds, size_t edges, size_t concepts)
{
    struct sutra_associations *associations;
    if (sutra_associations_new(&associations) != SUTRA_OK)
        return NULL;
    for (unsigned k = 0; k < kinds; k++) {
        char name[16];
        uint16_t kind;
        const int bytes = snprintf(name, sizeof name, "%u", k);
        CHECK_EQ(sutra_associations_add_kind(associations, name, (uint32_t)bytes, &kind), SUTRA_OK);
        CHECK_EQ(kind, k);
    }
    CHECK_EQ(sutra_associations_reserve(associations, edges, concepts), SUTRA_OK);
    return associations;
}

/* Fold and let go of what was folded. */
static inline void fold(struct sutra_associations **associations)
{
    struct sutra_associations *folded = NULL;
    CHECK_EQ(sutra_associations_fold(*associations, &folded), SUTRA_OK);
    if (!folded)
        return;
    sutra_associations_release(*associations);
    *associations = folded;
}

static inline size_t count_links(const struct sutra_associations *associations, uint32_t concept,
                                 int direction, uint16_t kind, uint64_t view)
{
    struct sutra_link_cursor cursor;
    struct sutra_link link;
    size_t count = 0;
    sutra_links_begin(&cursor, associations, concept, direction, kind, view);
    while (sutra_links_next(&cursor, &link))
        count++;
    CHECK(sutra_links_done(&cursor));
    return count;
}

#endif
