/* What this machine is: page size, caches, huge pages, cores and memory we may use.
 *
 * Every call reads the system anew (files under /proc and /sys, sysctl on macOS) and caches
 * nothing; callers keep what they need. Values that cannot be read are 0.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_BASE_PLATFORM_H
#define SUTRA_BASE_PLATFORM_H

#include "config.h"

enum sutra_thp_mode { SUTRA_THP_UNKNOWN = 0, SUTRA_THP_NEVER, SUTRA_THP_MADVISE, SUTRA_THP_ALWAYS };

struct sutra_platform {
    size_t page_bytes;
    size_t cache_line_bytes;
    size_t l1d_bytes, l2_bytes, l3_bytes;
    unsigned cores_usable; /* min(CPU affinity, cgroup quota), at least 1 */
    int thp_mode;          /* enum sutra_thp_mode */
    uint64_t memory_total_bytes;
    uint64_t memory_available_bytes; /* the cgroup's limit counts */
};

void sutra_platform_read(struct sutra_platform *platform_out);

/* The cheap parts alone. */
size_t sutra_page_bytes(void);
unsigned sutra_cores_usable(void);
uint64_t sutra_memory_total_bytes(void);
int sutra_read_thp_mode(void); /* enum sutra_thp_mode */

#endif
