/* The planes of a room as an input, and an input as a source of planes: slot 0 has the words of the
 * manifest, the slots after it a plane each, whose kind is the slot's number.
 *
 * As with segments, a plane takes no more memory than there are bytes; other than with those, rows
 * that are missing are zero, so that counts may change without the planes.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_FUZZ_PLANES_H
#define SUTRA_TESTS_FUZZ_PLANES_H

#include "base/platform.h"
#include "vectors/part.h"

#include <sys/mman.h>

enum { FUZZ_PLANE_MOST = 2 * FUZZ_FILE_MOST };

struct planes {
    const struct fuzz_input *input;
    /* Nothing can be read right behind a plane's rows, nor written to them; else they are as if
     * mapped: unwritable until somebody commits, and the file goes on behind them. */
    bool tight;
    bool mapped;
};

static inline void planes_emit(const uint64_t *words, size_t word_count,
                               const struct sutra_part *parts, size_t count, uint8_t options)
{
    struct fuzz_input input = {0};
    input.options[1] = options;
    FUZZ_REQUIRE(count < FUZZ_SLOTS);
    fuzz_set(&input, 0, 0, words, word_count * 8);
    for (size_t p = 0; p < count; p++) {
        const uint8_t *base = parts[p].plane ? parts[p].plane->base : NULL;
        fuzz_set(&input, 1 + p, parts[p].kind, base, parts[p].rows * parts[p].row_bytes);
    }
    fuzz_emit(&input);
}

static inline void planes_words(const struct fuzz_input *input, uint64_t *words, size_t count)
{
    const size_t bytes = input->files[0].bytes < count * 8 ? input->files[0].bytes : count * 8;
    memset(words, 0, count * 8);
    memcpy(words, input->files[0].data, bytes);
}

static inline int planes_load_tight(const struct fuzz_file *file, size_t row_bytes, size_t bytes,
                                    struct sutra_plane *plane_out)
{
    const size_t page = sutra_page_bytes(), room = sutra_round_up(bytes, page);
    uint8_t *region =
        mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FUZZ_REQUIRE(region != MAP_FAILED);
    uint8_t *base = region + room - bytes;
    if (bytes)
        memcpy(base, file->data, file->bytes < bytes ? file->bytes : bytes);
    FUZZ_REQUIRE(mprotect(region + room, page, PROT_NONE) == 0);
    FUZZ_REQUIRE(room == 0 || mprotect(region, room, PROT_READ) == 0);
    *plane_out = (struct sutra_plane){.base = base,
                                      .row_bytes = row_bytes,
                                      .arena = {.base = base,
                                                .reserved_bytes = bytes,
                                                .committed_bytes = bytes,
                                                .region = region,
                                                .region_bytes = room + page}};
    return SUTRA_OK;
}

static inline int planes_load(void *context, uint32_t kind, size_t row_bytes, size_t rows, bool hot,
                              int huge_pages, struct sutra_plane *plane_out)
{
    const struct planes *planes = context;
    const struct fuzz_file *file = NULL;
    size_t bytes;
    for (size_t s = 1; s < FUZZ_SLOTS && file == NULL; s++) {
        if (planes->input->files[s].present && planes->input->files[s].number == kind)
            file = &planes->input->files[s];
    }
    if (file == NULL && rows == 0)
        file = &planes->input->files[0];
    if (file == NULL || !sutra_mul_size(row_bytes, rows, &bytes) || bytes > FUZZ_PLANE_MOST)
        return SUTRA_E_TRUNCATED;
    if (planes->tight)
        return planes_load_tight(file, row_bytes, bytes, plane_out);
    struct sutra_plane plane = {0};
    int status = sutra_plane_reserve(&plane, row_bytes, rows, huge_pages);
    if (status == SUTRA_OK)
        status = sutra_arena_commit(&plane.arena, bytes);
    if (status != SUTRA_OK) {
        sutra_plane_release(&plane);
        return status;
    }
    if (planes->mapped && !hot && plane.arena.committed_bytes > 0)
        memset(plane.base, 0xee, plane.arena.committed_bytes);
    if (bytes) {
        memset(plane.base, 0, bytes);
        memcpy(plane.base, file->data, file->bytes < bytes ? file->bytes : bytes);
    }
    if (planes->mapped && !hot && plane.arena.committed_bytes > 0) {
        plane.arena.mapped_bytes = plane.arena.committed_bytes;
        plane.arena.mapped_read_only = true;
        FUZZ_REQUIRE(mprotect(plane.base, plane.arena.mapped_bytes, PROT_READ) == 0);
    }
    *plane_out = plane;
    return SUTRA_OK;
}

#endif
