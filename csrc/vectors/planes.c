/* Structure-of-arrays planes over arenas; the contract is in planes.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "planes.h"
#include "../base/bytes.h"
#include "../base/status.h"
#include "../io/file.h"
#include "../io/mapping.h"

int sutra_plane_reserve(struct sutra_plane *plane, size_t row_bytes, size_t rows, int huge_pages)
{
    size_t most;
    if (!sutra_mul_size(row_bytes, SUTRA_ROWS_MAX, &most))
        most = SIZE_MAX / 2;
    size_t least;
    if (!sutra_mul_size(row_bytes, rows, &least) || least > most)
        return SUTRA_E_CAPACITY;
    least = least < SUTRA_HUGE_PAGE ? SUTRA_HUGE_PAGE : least;
    const int status = sutra_arena_reserve(&plane->arena, least, most, huge_pages);
    if (status == SUTRA_OK) {
        plane->base = plane->arena.base;
        plane->row_bytes = row_bytes;
    }
    return status;
}

int sutra_planes_init(struct sutra_planes *planes, const size_t *row_bytes, unsigned count,
                      int huge_pages)
{
    memset(planes, 0, sizeof *planes);
    planes->count = count;
    planes->huge_pages = huge_pages;
    for (unsigned p = 0; p < count; p++) {
        if (row_bytes[p] == 0)
            continue;
        const int status = sutra_plane_reserve(&planes->plane[p], row_bytes[p], 0, huge_pages);
        if (status != SUTRA_OK) {
            sutra_planes_deinit(planes);
            return status;
        }
    }
    return SUTRA_OK;
}

void sutra_planes_deinit(struct sutra_planes *planes)
{
    for (unsigned p = 0; p < planes->count; p++)
        sutra_planes_drop(planes, p);
    memset(planes, 0, sizeof *planes);
}

void sutra_plane_release(struct sutra_plane *plane)
{
    if (plane->base)
        sutra_arena_release(&plane->arena);
    memset(plane, 0, sizeof *plane);
}

void sutra_planes_drop(struct sutra_planes *planes, unsigned plane)
{
    sutra_plane_release(&planes->plane[plane]);
}

int sutra_planes_revive(struct sutra_planes *planes, unsigned plane, size_t row_bytes)
{
    struct sutra_plane fresh = {0};
    const int status =
        sutra_plane_reserve(&fresh, row_bytes, planes->capacity_rows, planes->huge_pages);
    if (status != SUTRA_OK)
        return status;
    const int committed = sutra_arena_commit(&fresh.arena, planes->capacity_rows * row_bytes);
    if (committed != SUTRA_OK) {
        sutra_arena_release(&fresh.arena);
        return committed;
    }
    planes->plane[plane] = fresh;
    return SUTRA_OK;
}

int sutra_planes_ensure(struct sutra_planes *planes, size_t rows)
{
    if (rows <= planes->capacity_rows)
        return SUTRA_OK;
    if (rows > SUTRA_ROWS_MAX)
        return SUTRA_E_CAPACITY;
    size_t target = planes->capacity_rows + planes->capacity_rows / 4;
    if (target < rows)
        target = rows;
    if (target < 1024)
        target = 1024;
    if (target > SUTRA_ROWS_MAX)
        target = SUTRA_ROWS_MAX;
    for (unsigned p = 0; p < planes->count; p++) {
        struct sutra_plane *plane = &planes->plane[p];
        if (!plane->base)
            continue;
        /* The spare quarter is a wish: near the end of a reservation, take what is needed. */
        int status = sutra_arena_commit(&plane->arena, target * plane->row_bytes);
        if (status != SUTRA_OK && target > rows) {
            target = rows;
            status = sutra_arena_commit(&plane->arena, target * plane->row_bytes);
        }
        if (status != SUTRA_OK)
            return status;
    }
    planes->capacity_rows = target;
    return SUTRA_OK;
}

int sutra_planes_make_writable(struct sutra_planes *planes)
{
    int status = SUTRA_OK;
    for (unsigned p = 0; p < planes->count && status == SUTRA_OK; p++) {
        struct sutra_arena *arena = &planes->plane[p].arena;
        if (planes->plane[p].base && arena->mapped_read_only)
            status = sutra_arena_commit(arena, arena->mapped_bytes);
    }
    return status;
}

int sutra_planes_load(struct sutra_planes *planes, unsigned plane, size_t row_bytes, size_t rows,
                      int fd, uint64_t offset, bool mapped)
{
    struct sutra_plane fresh = {0};
    int status = sutra_plane_reserve(&fresh, row_bytes, rows, planes->huge_pages);
    if (status != SUTRA_OK)
        return status;
    if (mapped) {
        status = sutra_arena_map_file(&fresh.arena, fd, offset, rows * row_bytes);
    } else {
        status = sutra_arena_commit(&fresh.arena, rows * row_bytes);
        if (status == SUTRA_OK)
            status = sutra_file_read_at(fd, offset, fresh.base, rows * row_bytes);
    }
    if (status != SUTRA_OK) {
        sutra_plane_release(&fresh);
        return status;
    }
    sutra_planes_drop(planes, plane);
    planes->plane[plane] = fresh;
    return SUTRA_OK;
}

int sutra_plane_copy(const struct sutra_plane *plane, size_t rows, int huge_pages,
                     struct sutra_plane *copy_out)
{
    struct sutra_plane copy = {0};
    int status = sutra_plane_reserve(&copy, plane->row_bytes, rows, huge_pages);
    if (status == SUTRA_OK)
        status = sutra_arena_commit(&copy.arena, rows * plane->row_bytes);
    if (status != SUTRA_OK) {
        sutra_plane_release(&copy);
        return status;
    }
    memcpy(copy.base, plane->base, rows * plane->row_bytes);
    *copy_out = copy;
    return SUTRA_OK;
}
