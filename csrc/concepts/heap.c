/* The heap; the contract is in heap.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "heap.h"
#include "../base/status.h"

int sutra_heap_init(struct sutra_heap *heap)
{
    memset(heap, 0, sizeof *heap);
    return sutra_plane_reserve(&heap->plane, SUTRA_HEAP_ROW, 0, SUTRA_HUGE_NEVER);
}

void sutra_heap_adopt(struct sutra_heap *heap, const struct sutra_plane *plane, size_t rows)
{
    heap->plane = *plane;
    heap->used = (uint64_t)rows * SUTRA_HEAP_ROW;
}

void sutra_heap_deinit(struct sutra_heap *heap)
{
    sutra_plane_release(&heap->plane);
    memset(heap, 0, sizeof *heap);
}

int sutra_heap_reserve(struct sutra_heap *heap, uint64_t bytes)
{
    struct sutra_arena *const arena = &heap->plane.arena;
    /* And a row for what a _seal before the last _append leaves unused. */
    if (bytes > SUTRA_HEAP_BYTES_MAX - SUTRA_HEAP_ROW ||
        heap->used > SUTRA_HEAP_BYTES_MAX - SUTRA_HEAP_ROW - bytes)
        return SUTRA_E_CAPACITY;
    const size_t needed = (size_t)(heap->used + bytes + SUTRA_HEAP_ROW);
    if (needed <= arena->committed_bytes && !arena->mapped_read_only)
        return SUTRA_OK;
    /* What is spare is a wish: near the end of a reservation, take what is needed. */
    const size_t wanted =
        arena->committed_bytes + arena->committed_bytes / 4 + SUTRA_SECTION_ALIGNMENT;
    if (wanted > needed && sutra_arena_commit(arena, wanted) == SUTRA_OK)
        return SUTRA_OK;
    return sutra_arena_commit(arena, needed);
}

uint64_t sutra_heap_append(struct sutra_heap *heap, const void *data, size_t bytes)
{
    const uint64_t offset = heap->used;
    if (bytes > 0)
        memcpy(heap->plane.base + offset, data, bytes);
    __atomic_store_n(&heap->used, offset + bytes, __ATOMIC_RELEASE);
    return offset;
}

void sutra_heap_seal(struct sutra_heap *heap)
{
    const size_t over = (size_t)(heap->used % SUTRA_HEAP_ROW);
    if (over == 0)
        return;
    const size_t bytes = SUTRA_HEAP_ROW - over;
    memset(heap->plane.base + heap->used, 0, bytes);
    __atomic_store_n(&heap->used, heap->used + bytes, __ATOMIC_RELEASE);
}

const uint8_t *sutra_heap_at(const struct sutra_heap *heap, uint64_t offset, uint64_t bytes)
{
    const uint64_t used = __atomic_load_n(&heap->used, __ATOMIC_ACQUIRE);
    if (bytes > used || offset > used - bytes)
        return NULL;
    return heap->plane.base + offset;
}
