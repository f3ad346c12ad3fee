/* Structure-of-arrays storage: parallel planes of fixed-size rows that never move.
 *
 * Plane p holds row r at planes->plane[p].base + r * row_bytes. All planes grow together and
 * each lives in an arena of reserved address space, so a row's address is valid for the life
 * of the object. A plane may start as a private mapping of a file section; rows appended to
 * it, and rows rewritten, stay in this process.
 *
 * Ownership: _init/_deinit. Threading: one writer; readers may read rows below a count that
 * the writer published to them. Errors: SUTRA_E_NO_MEMORY, SUTRA_E_CAPACITY; on failure no
 * plane's existing rows have changed.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_VECTORS_PLANES_H
#define SUTRA_VECTORS_PLANES_H

#include "../base/memory.h"

#define SUTRA_PLANES_MAX 8
/* Row numbers share a 32-bit word with a flag, and the top value is the sentinel. */
#define SUTRA_ROWS_MAX ((size_t)0x7ffffff0)

struct sutra_plane {
    uint8_t *base;    /* 2 MiB-aligned; NULL for an absent plane */
    size_t row_bytes; /* 0 for an absent plane */
    struct sutra_arena arena;
};

struct sutra_planes {
    unsigned count;
    size_t capacity_rows; /* committed in every present plane */
    int huge_pages;
    struct sutra_plane plane[SUTRA_PLANES_MAX];
};

/* Absent planes have row_bytes[p] == 0. Reserves address space only. */
int sutra_planes_init(struct sutra_planes *planes, const size_t *row_bytes, unsigned count,
                      int huge_pages);
void sutra_planes_deinit(struct sutra_planes *planes);

/* Commit room for at least `rows` rows in every plane, growing by at least a quarter. New
 * rows read zero, but for those that share a page with a mapped prefix: they hold what the file
 * has there. */
int sutra_planes_ensure(struct sutra_planes *planes, size_t rows);

/* Rows that are mapped from a file may be written from then on: copies, in this process alone. */
int sutra_planes_make_writable(struct sutra_planes *planes);

/* Drop one plane's memory; it is absent from then on. */
void sutra_planes_drop(struct sutra_planes *planes, unsigned plane);

/* Bring an absent plane to life with room for the capacity of the others. */
int sutra_planes_revive(struct sutra_planes *planes, unsigned plane, size_t row_bytes);

/* Bring an absent plane to life with `rows` rows of a file: mapped privately, or read into
 * memory. errno values from the system, SUTRA_E_TRUNCATED. offset is a multiple of
 * SUTRA_SECTION_ALIGNMENT. The caller sets capacity_rows once all planes have that many rows. */
int sutra_planes_load(struct sutra_planes *planes, unsigned plane, size_t row_bytes, size_t rows,
                      int fd, uint64_t offset, bool mapped);

/* Address space for a plane of at least `rows` rows and room to grow; nothing is committed. */
int sutra_plane_reserve(struct sutra_plane *plane, size_t row_bytes, size_t rows, int huge_pages);

/* A copy of a plane's first `rows` rows in memory of its own, to be swapped in later. */
int sutra_plane_copy(const struct sutra_plane *plane, size_t rows, int huge_pages,
                     struct sutra_plane *copy_out);
void sutra_plane_release(struct sutra_plane *plane);

SUTRA_INLINE void *sutra_planes_row(const struct sutra_planes *planes, unsigned plane, size_t row)
{
    return planes->plane[plane].base + row * planes->plane[plane].row_bytes;
}

/* All of a row; nothing where there is no plane. */
SUTRA_INLINE void sutra_plane_prefetch(const struct sutra_plane *plane, size_t row)
{
    if (!plane->base)
        return;
    const uint8_t *from = plane->base + row * plane->row_bytes;
    for (size_t byte = 0; byte < plane->row_bytes; byte += SUTRA_CACHE_LINE)
        SUTRA_PREFETCH(from + byte);
}

#endif
