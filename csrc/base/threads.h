/* Parallel loops without a resident pool.
 *
 * Threads are started for the call and joined before it returns: nothing survives a fork,
 * nothing idles, nothing is global. A start costs about 20 microseconds a thread, so callers
 * hand over at least a few hundred microseconds of work.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_BASE_THREADS_H
#define SUTRA_BASE_THREADS_H

#include "config.h"

/* Called with half-open ranges [begin, end); worker is 0 .. threads-1 and names the scratch
 * space this call may use. Returns a status; the first non-zero one stops the loop. */
typedef int (*sutra_range_fn)(void *context, unsigned worker, size_t begin, size_t end);

/* Run fn over [0, count) in ranges of `grain` items on at most `threads` threads (the caller
 * is one of them; 0 means 1). Which worker gets which range is not determined. If the system
 * refuses a thread, the others do its work. */
int sutra_parallel_for(size_t count, size_t grain, unsigned threads, sutra_range_fn fn,
                       void *context);

#endif
