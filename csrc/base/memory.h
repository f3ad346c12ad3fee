/* Aligned heap blocks and arenas of reserved address space.
 *
 * An arena reserves address space once and commits pages as it grows, so nothing inside it
 * ever moves and readers may keep raw pointers while a writer appends. Its first bytes may
 * instead be a private mapping of a file section (see io/mapping.h); writes to that part
 * stay in this process.
 *
 * Ownership: whoever calls _reserve calls _release. Threading: one thread grows an arena;
 * any thread may read committed bytes. Errors: SUTRA_E_NO_MEMORY when the system refuses,
 * SUTRA_E_CAPACITY when the reservation is too small.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_BASE_MEMORY_H
#define SUTRA_BASE_MEMORY_H

#include "config.h"

/* alignment: a power of two, 64 bytes to 2 MiB. bytes may be 0. Memory is zeroed. */
int sutra_aligned_alloc(size_t alignment, size_t bytes, void **block_out);
void sutra_aligned_free(void *block, size_t bytes);

enum sutra_huge_pages {
    SUTRA_HUGE_NEVER = 0,
    SUTRA_HUGE_ADVISE = 1, /* advise once the committed part is worth a few huge pages */
};

/* Pass the wish for huge pages (or, with SUTRA_HUGE_NEVER, against them) on to the system for
 * the whole 2 MiB pages inside [block, block + bytes), which must be a mapping: an aligned
 * block of 2 MiB or more, or committed arena bytes. 0 when the system took it, EINVAL when
 * there is no whole huge page or the kernel has none, ENOTSUP on systems without the call. */
int sutra_advise_huge(void *block, size_t bytes, int huge_pages);

struct sutra_arena {
    uint8_t *base;          /* 2 MiB-aligned; NULL while nothing is reserved */
    size_t reserved_bytes;  /* usable from base */
    size_t committed_bytes; /* readable; writable too unless mapped_read_only */
    size_t mapped_bytes;    /* prefix that is a file mapping, a multiple of the page size */
    bool mapped_read_only;  /* the prefix is still PROT_READ */
    int huge_pages;         /* enum sutra_huge_pages */
    void *region;           /* what munmap gets */
    size_t region_bytes;
};

/* Reserve up to max_bytes (capped by physical memory and address-space limits, halved until
 * the system agrees, but never below min_bytes). Costs no memory. */
int sutra_arena_reserve(struct sutra_arena *arena, size_t min_bytes, size_t max_bytes,
                        int huge_pages);

/* Make at least `bytes` readable and writable; new anonymous bytes read zero. Grows
 * geometrically is the caller's business: this commits what it is asked for, rounded to
 * pages. Also turns a read-only mapped prefix writable (private copy on write). */
int sutra_arena_commit(struct sutra_arena *arena, size_t bytes);

void sutra_arena_release(struct sutra_arena *arena);

#endif
