/* Aligned heap blocks and arenas of reserved address space.
 *
 * Blocks below 2 MiB come from the allocator; larger ones are their own mapping, aligned to
 * 2 MiB whatever was asked, so that huge-page advice can cover them whole and freeing returns
 * the memory at once. Which of the two a block is follows from its size alone: nothing is
 * stored beside it.
 *
 * An arena is one inaccessible mapping (it costs page-table entries only, and neither swap
 * nor commit charge) whose front is opened by mprotect as it grows.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "bytes.h"
#include "memory.h"
#include "platform.h"
#include "status.h"

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/* Below this, advising huge pages would cost more memory than it saves time. */
#define HUGE_PAGES_FROM (2 * SUTRA_HUGE_PAGE)

/* Far above any real request, and low enough that rounding up cannot overflow. */
#define BYTES_MAX (SIZE_MAX / 4)

static int system_status(int code)
{
    return code == ENOMEM || code == EAGAIN ? SUTRA_E_NO_MEMORY : code;
}

/* A mapping of `bytes` (a multiple of the page size) aligned to 2 MiB. */
static int map_aligned(size_t bytes, void **block_out)
{
    size_t region_bytes = bytes + SUTRA_HUGE_PAGE;
    uint8_t *region =
        mmap(NULL, region_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (region == MAP_FAILED)
        return system_status(errno);
    size_t head = sutra_round_up((uintptr_t)region, SUTRA_HUGE_PAGE) - (uintptr_t)region;
    size_t tail = region_bytes - head - bytes;
    if (head > 0)
        (void)munmap(region, head);
    if (tail > 0)
        (void)munmap(region + head + bytes, tail);
    *block_out = region + head;
    return SUTRA_OK;
}

int sutra_aligned_alloc(size_t alignment, size_t bytes, void **block_out)
{
    *block_out = NULL;
    if (alignment < SUTRA_CACHE_LINE || alignment > SUTRA_HUGE_PAGE ||
        (alignment & (alignment - 1)) != 0)
        return SUTRA_E_ARGUMENT;
    if (bytes > BYTES_MAX)
        return SUTRA_E_NO_MEMORY;
    if (bytes >= SUTRA_HUGE_PAGE)
        return map_aligned(sutra_round_up(bytes, sutra_page_bytes()), block_out);
    void *block = NULL;
    size_t heap_bytes = bytes > 0 ? bytes : 1;
    int code = posix_memalign(&block, alignment, heap_bytes);
    if (code != 0)
        return system_status(code);
    memset(block, 0, heap_bytes);
    *block_out = block;
    return SUTRA_OK;
}

void sutra_aligned_free(void *block, size_t bytes)
{
    if (block == NULL)
        return;
    if (bytes >= SUTRA_HUGE_PAGE)
        (void)munmap(block, sutra_round_up(bytes, sutra_page_bytes()));
    else
        free(block);
}

int sutra_advise_huge(void *block, size_t bytes, int huge_pages)
{
#if defined(MADV_HUGEPAGE) && defined(MADV_NOHUGEPAGE)
    uintptr_t begin = sutra_round_up((uintptr_t)block, SUTRA_HUGE_PAGE);
    uintptr_t end = ((uintptr_t)block + bytes) & ~(SUTRA_HUGE_PAGE - 1);
    if (end <= begin)
        return EINVAL;
    int advice = huge_pages == SUTRA_HUGE_ADVISE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;
    return madvise((void *)begin, end - begin, advice) == 0 ? SUTRA_OK : errno;
#else
    (void)block, (void)bytes, (void)huge_pages;
    return ENOTSUP;
#endif
}

/* What a reservation may be at most: the physical memory (an arena larger than that could not
 * be filled), and a small share of a finite address-space limit, because several arenas and
 * the rest of the process live under it. */
static size_t reservation_cap(void)
{
    uint64_t cap = SIZE_MAX / 4;
    uint64_t memory_bytes = sutra_memory_total_bytes();
    if (memory_bytes > 0 && memory_bytes < cap)
        cap = memory_bytes;
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        (uint64_t)limit.rlim_cur / 16 < cap)
        cap = (uint64_t)limit.rlim_cur / 16;
#ifdef SUTRA_ARENA_BYTES_MAX /* for emulators, which keep a record of every reserved page */
    if (cap > SUTRA_ARENA_BYTES_MAX)
        cap = SUTRA_ARENA_BYTES_MAX;
#endif
    return sutra_round_up((size_t)cap, SUTRA_HUGE_PAGE);
}

int sutra_arena_reserve(struct sutra_arena *arena, size_t min_bytes, size_t max_bytes,
                        int huge_pages)
{
    *arena = (struct sutra_arena){.huge_pages = huge_pages};
    if (min_bytes > BYTES_MAX)
        return SUTRA_E_NO_MEMORY;
    if (max_bytes > BYTES_MAX)
        max_bytes = BYTES_MAX;
    size_t cap = reservation_cap();
    size_t least = sutra_round_up(min_bytes > 0 ? min_bytes : 1, SUTRA_HUGE_PAGE);
    size_t wanted = sutra_round_up(max_bytes < cap ? max_bytes : cap, SUTRA_HUGE_PAGE);
    if (wanted < least)
        wanted = least;
    for (;;) {
        size_t region_bytes = wanted + SUTRA_HUGE_PAGE;
        void *region =
            mmap(NULL, region_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (region != MAP_FAILED) {
            arena->region = region;
            arena->region_bytes = region_bytes;
            break;
        }
        if (wanted == least)
            return system_status(errno);
        wanted = sutra_round_up(wanted / 2, SUTRA_HUGE_PAGE);
        if (wanted < least)
            wanted = least;
    }
    arena->base = (uint8_t *)sutra_round_up((uintptr_t)arena->region, SUTRA_HUGE_PAGE);
    arena->reserved_bytes = wanted;
    /* Where huge pages are the system's default, "never" has to be said. */
    if (huge_pages == SUTRA_HUGE_NEVER)
        (void)sutra_advise_huge(arena->base, wanted, SUTRA_HUGE_NEVER);
    return SUTRA_OK;
}

int sutra_arena_commit(struct sutra_arena *arena, size_t bytes)
{
    if (bytes == 0)
        return SUTRA_OK;
    if (bytes > arena->reserved_bytes)
        return SUTRA_E_CAPACITY;
    if (arena->mapped_read_only) {
        if (mprotect(arena->base, arena->mapped_bytes, PROT_READ | PROT_WRITE) != 0)
            return system_status(errno);
        arena->mapped_read_only = false;
    }
    size_t wanted = sutra_round_up(bytes, sutra_page_bytes());
    if (wanted <= arena->committed_bytes)
        return SUTRA_OK;
    const bool huge =
        arena->huge_pages == SUTRA_HUGE_ADVISE && wanted - arena->mapped_bytes >= HUGE_PAGES_FROM;
    /* A huge page is given to a range that is committed whole: the end of one that is not would
     * stay in small ones. */
    if (huge && sutra_round_up(wanted, SUTRA_HUGE_PAGE) <= arena->reserved_bytes)
        wanted = sutra_round_up(wanted, SUTRA_HUGE_PAGE);
    if (mprotect(arena->base + arena->committed_bytes, wanted - arena->committed_bytes,
                 PROT_READ | PROT_WRITE) != 0)
        return system_status(errno);
    arena->committed_bytes = wanted;
    /* Advice is a wish: a kernel without huge pages is no error. The part that is a file
     * mapping is left out, its pages belong to the page cache. */
    if (huge)
        (void)sutra_advise_huge(arena->base + arena->mapped_bytes, wanted - arena->mapped_bytes,
                                SUTRA_HUGE_ADVISE);
    return SUTRA_OK;
}

void sutra_arena_release(struct sutra_arena *arena)
{
    if (arena->region != NULL)
        (void)munmap(arena->region, arena->region_bytes);
    *arena = (struct sutra_arena){0};
}
