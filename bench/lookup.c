/* Looking up concepts by id in the engine, without Python: random ids of a store of the concepts
 * 0, 1, ..., in batches, until the time is up. Prints look-ups, found ones and seconds.
 * `python -m bench.store` compiles and runs it.
 *
 *     lookup STORE CONCEPTS BATCH SECONDS
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/prng.h"
#include "store/store.h"

#define IDS ((size_t)1 << 20) /* a multiple of every batch */
#define BATCH_MOST ((size_t)4096)
#define SEED 7u

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* How many of the ids are there; every record found is read. */
static size_t look_up(const struct sutra_store_view *view, const int64_t *numbers, size_t count)
{
    static uint32_t slots[BATCH_MOST], concepts[BATCH_MOST];
    const struct sutra_ids ids = {.count = count, .numbers = numbers};
    size_t found = 0;
    if (sutra_store_find(view, &ids, slots, concepts) != SUTRA_OK)
        return 0;
    for (size_t at = 0; at < count; at++) {
        struct sutra_concept concept;
        if (slots[at] != SUTRA_NO_SLOT &&
            sutra_store_read(view, concepts[at], slots[at], &concept) == SUTRA_OK)
        found += concept.record.id == numbers[at];
    }
    return found;
}

int main(int count, char **arguments)
{
    static int64_t numbers[IDS];
    if (count != 5)
        return 2;
    const uint64_t concepts = strtoull(arguments[2], NULL, 10);
    const size_t batch = strtoull(arguments[3], NULL, 10);
    const double limit_s = strtod(arguments[4], NULL);
    if (concepts == 0 || batch == 0 || batch > BATCH_MOST || IDS % batch != 0)
        return 2;
    for (size_t at = 0; at < IDS; at++)
        numbers[at] = (int64_t)(sutra_random_at(SEED, at) % concepts);

    struct sutra_kernels kernels;
    struct sutra_store_options options = {
        .mode = SUTRA_STORE_READ, .metric = -1, .quantization = -1, .keep_originals = -1};
    struct sutra_store *store = NULL;
    struct sutra_store_view *view = NULL;
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    int status = sutra_kernels_select(sutra_tier_best(), &kernels);
    if (status == SUTRA_OK)
        status = sutra_store_open(&sutra_io_posix, &kernels, arguments[1], &options, &store, NULL,
                                  &fault);
    if (status == SUTRA_OK)
        status = sutra_store_view_begin(store, &view);
    if (status != SUTRA_OK) {
        fprintf(stderr, "%s: status %d\n", arguments[1], status);
        return 1;
    }
    size_t found = 0, done = 0;
    for (size_t at = 0; at < IDS; at += batch) /* unmeasured: pages come in */
        look_up(view, numbers + at, batch);
    const double start = now_s();
    double seconds = 0;
    while (seconds < limit_s) {
        for (size_t at = 0; at < IDS / 16; at += batch)
            found += look_up(view, numbers + (done + at) % IDS, batch);
        done += IDS / 16;
        seconds = now_s() - start;
    }
    printf("%zu %zu %.6f\n", done, found, seconds);
    sutra_store_view_end(view);
    sutra_store_close(store);
    sutra_store_free(store);
    return 0;
}
