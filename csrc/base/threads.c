/* Parallel loops without a resident pool.
 *
 * Threads take ranges from one atomic counter until it runs out or a status is non-zero. The
 * caller works as worker 0, so a system that refuses every thread still finishes the loop.
 * Started threads block all signals: handlers of the host program stay on its own threads.
 * The stack is set to 1 MiB because the default differs from 128 KiB (musl) to 8 MiB (glibc).
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "status.h"
#include "threads.h"

/* ThreadSanitizer keeps most of a megabyte of its own on every stack. */
#if defined(__SANITIZE_THREAD__)
#define STACK_BYTES ((size_t)4 << 20)
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define STACK_BYTES ((size_t)4 << 20)
#endif
#endif
#if !defined(STACK_BYTES)
#define STACK_BYTES ((size_t)1 << 20)
#endif

struct loop {
    sutra_range_fn fn;
    void *context;
    size_t count;
    size_t grain;
    size_t ranges;
    _Atomic size_t next_range;
    atomic_int status; /* the first non-zero one */
};

struct worker {
    struct loop *loop;
    pthread_t thread;
    unsigned index;
};

static void work(struct loop *loop, unsigned index)
{
    while (atomic_load_explicit(&loop->status, memory_order_relaxed) == SUTRA_OK) {
        size_t range = atomic_fetch_add_explicit(&loop->next_range, 1, memory_order_relaxed);
        if (range >= loop->ranges)
            return;
        size_t begin = range * loop->grain;
        size_t left = loop->count - begin;
        size_t end = begin + (left < loop->grain ? left : loop->grain);
        int status = loop->fn(loop->context, index, begin, end);
        if (status != SUTRA_OK) {
            int none = SUTRA_OK;
            atomic_compare_exchange_strong(&loop->status, &none, status);
            return;
        }
    }
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    work(worker->loop, worker->index);
    return NULL;
}

/* Returns how many of workers[0 .. wanted) run. */
static unsigned start_workers(struct loop *loop, struct worker *workers, unsigned wanted)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return 0;
    /* A refusal leaves the default, which is then the system's minimum or more. */
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);

    sigset_t all, before;
    sigfillset(&all);
    bool masked = pthread_sigmask(SIG_SETMASK, &all, &before) == 0;
    unsigned started = 0;
    while (started < wanted) {
        struct worker *worker = &workers[started];
        worker->loop = loop;
        worker->index = started + 1;
        if (pthread_create(&worker->thread, &attributes, worker_main, worker) != 0)
            break;
        started++;
    }
    if (masked)
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return started;
}

int sutra_parallel_for(size_t count, size_t grain, unsigned threads, sutra_range_fn fn,
                       void *context)
{
    if (count == 0)
        return SUTRA_OK;
    if (grain == 0)
        grain = 1;
    struct loop loop = {.fn = fn,
                        .context = context,
                        .count = count,
                        .grain = grain,
                        .ranges = count / grain + (count % grain != 0)};
    atomic_init(&loop.next_range, 0);
    atomic_init(&loop.status, SUTRA_OK);

    unsigned helpers = threads > 1 ? threads - 1 : 0;
    if (helpers > loop.ranges - 1)
        helpers = (unsigned)(loop.ranges - 1);
    struct worker *workers = NULL;
    unsigned started = 0;
    if (helpers > 0)
        workers = calloc(helpers, sizeof *workers);
    if (workers != NULL)
        started = start_workers(&loop, workers, helpers);
    work(&loop, 0);
    for (unsigned i = 0; i < started; i++)
        (void)pthread_join(workers[i].thread, NULL);
    free(workers);
    return atomic_load(&loop.status);
}
