/* Epochs: memory is freed when no reader can see it any more, not earlier, and in the end always.
 * SPDX-License-Identifier: Apache-2.0
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "base/epoch.h"
#include "base/status.h"

static void pause_ms(long ms)
{
    const struct timespec span = {.tv_sec = 0, .tv_nsec = ms * 1000000};
    (void)nanosleep(&span, NULL);
}

/* An object is a sum: of the bytes it was released with. */
static void note_release(void *object, size_t bytes)
{
    *(size_t *)object += bytes;
}

static void retired_memory_waits_for_readers(void)
{
    struct sutra_epochs epochs;
    size_t a = 0, b = 0, c = 0;
    REQUIRE(sutra_epochs_init(&epochs) == SUTRA_OK);
    CHECK(epochs.slots != NULL && (uintptr_t)epochs.slots % SUTRA_CACHE_LINE == 0);
    CHECK_EQ(epochs.now, 1);
    sutra_epoch_collect(&epochs);

    /* With nobody inside, the next collection frees; retiring itself does not. */
    REQUIRE(sutra_epoch_retire(&epochs, &a, 7, note_release) == SUTRA_OK);
    CHECK_EQ(a, 0);
    sutra_epoch_collect(&epochs);
    CHECK_EQ(a, 7);
    sutra_epoch_collect(&epochs);
    CHECK_EQ(a, 7);

    a = 0;
    const unsigned first = sutra_epoch_enter(&epochs);
    REQUIRE(sutra_epoch_retire(&epochs, &a, 1, note_release) == SUTRA_OK);
    const unsigned second = sutra_epoch_enter(&epochs);
    CHECK(first != second && first < SUTRA_EPOCH_READERS && second < SUTRA_EPOCH_READERS);
    REQUIRE(sutra_epoch_retire(&epochs, &b, 2, note_release) == SUTRA_OK);
    const unsigned third = sutra_epoch_enter(&epochs);
    REQUIRE(sutra_epoch_retire(&epochs, &c, 3, note_release) == SUTRA_OK);
    sutra_epoch_collect(&epochs);
    CHECK(a == 0 && b == 0 && c == 0);
    /* Who came after a was retired does not hold it; who came before b does. */
    sutra_epoch_leave(&epochs, first);
    sutra_epoch_collect(&epochs);
    CHECK(a == 1 && b == 0 && c == 0);
    sutra_epoch_leave(&epochs, third);
    sutra_epoch_collect(&epochs);
    CHECK(b == 0 && c == 0);
    sutra_epoch_leave(&epochs, second);
    sutra_epoch_collect(&epochs);
    CHECK(a == 1 && b == 2 && c == 3);
    CHECK(epochs.retired == NULL);
    sutra_epochs_deinit(&epochs);
}

static void the_end_frees_what_is_left(void)
{
    struct sutra_epochs epochs;
    size_t counts[100] = {0};
    REQUIRE(sutra_epochs_init(&epochs) == SUTRA_OK);
    const unsigned slot = sutra_epoch_enter(&epochs);
    for (size_t j = 0; j < 100; j++)
        REQUIRE(sutra_epoch_retire(&epochs, &counts[j], 1, note_release) == SUTRA_OK);
    sutra_epoch_collect(&epochs);
    sutra_epoch_leave(&epochs, slot);
    for (size_t j = 0; j < 100; j++)
        CHECK_EQ(counts[j], 0);
    sutra_epochs_deinit(&epochs);
    for (size_t j = 0; j < 100; j++)
        CHECK_EQ(counts[j], 1);
    CHECK(epochs.slots == NULL);
}

/* ---- a reader in another thread */

struct visitor {
    struct sutra_epochs *epochs;
    atomic_bool inside;
    atomic_bool done;
};

static void *visit(void *argument)
{
    struct visitor *visitor = argument;
    const unsigned slot = sutra_epoch_enter(visitor->epochs);
    atomic_store(&visitor->inside, true);
    sutra_epoch_leave(visitor->epochs, slot);
    atomic_store(&visitor->done, true);
    return NULL;
}

static void *drain(void *argument)
{
    struct visitor *visitor = argument;
    sutra_epoch_drain(visitor->epochs);
    atomic_store(&visitor->done, true);
    return NULL;
}

static void a_reader_too_many_waits_for_a_slot(void)
{
    struct sutra_epochs epochs;
    bool taken[SUTRA_EPOCH_READERS] = {false};
    unsigned slots[SUTRA_EPOCH_READERS];
    REQUIRE(sutra_epochs_init(&epochs) == SUTRA_OK);
    for (unsigned j = 0; j < SUTRA_EPOCH_READERS; j++) {
        slots[j] = sutra_epoch_enter(&epochs);
        REQUIRE(slots[j] < SUTRA_EPOCH_READERS && !taken[slots[j]]);
        taken[slots[j]] = true;
    }
    struct visitor visitor = {.epochs = &epochs};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, visit, &visitor) == 0);
    pause_ms(20);
    CHECK(!atomic_load(&visitor.inside));
    sutra_epoch_leave(&epochs, slots[77]);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(atomic_load(&visitor.inside));
    for (unsigned j = 0; j < SUTRA_EPOCH_READERS; j++) {
        if (j != 77)
            sutra_epoch_leave(&epochs, slots[j]);
    }
    sutra_epochs_deinit(&epochs);
}

static void drain_waits_for_those_inside_and_no_others(void)
{
    struct sutra_epochs epochs;
    REQUIRE(sutra_epochs_init(&epochs) == SUTRA_OK);
    sutra_epoch_drain(&epochs); /* nobody is inside */
    const unsigned before = sutra_epoch_enter(&epochs);
    struct visitor drainer = {.epochs = &epochs};
    pthread_t thread;
    const uint64_t epoch = __atomic_load_n(&epochs.now, __ATOMIC_ACQUIRE);
    REQUIRE(pthread_create(&thread, NULL, drain, &drainer) == 0);
    while (__atomic_load_n(&epochs.now, __ATOMIC_ACQUIRE) == epoch)
        (void)sched_yield();
    const unsigned after = sutra_epoch_enter(&epochs);
    pause_ms(20);
    CHECK(!atomic_load(&drainer.done));
    sutra_epoch_leave(&epochs, before);
    CHECK_EQ(pthread_join(thread, NULL), 0); /* though one that came later is inside */
    CHECK(atomic_load(&drainer.done));
    sutra_epoch_leave(&epochs, after);
    sutra_epochs_deinit(&epochs);
}

/* ---- many at once */

enum { READERS = 4, SWAPS = 20000, BLOCK_WORDS = 16 };

struct shared {
    struct sutra_epochs epochs;
    uint64_t *block; /* atomic: BLOCK_WORDS equal words */
    atomic_bool stop;
    atomic_size_t wrong, looking;
};

static void free_block(void *object, size_t bytes)
{
    /* Whoever still reads this sees unequal words, or the address sanitizer sees it. */
    uint64_t *block = object;
    for (size_t j = 0; j < bytes / sizeof *block; j++)
        block[j] = ~(uint64_t)j;
    free(block);
}

static void *look(void *argument)
{
    struct shared *shared = argument;
    size_t wrong = 0;
    bool first = true;
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        const unsigned slot = sutra_epoch_enter(&shared->epochs);
        const uint64_t *block = __atomic_load_n(&shared->block, __ATOMIC_ACQUIRE);
        for (size_t j = 1; j < BLOCK_WORDS; j++)
            wrong += block[j] != block[0];
        sutra_epoch_leave(&shared->epochs, slot);
        if (first)
            atomic_fetch_add(&shared->looking, 1);
        first = false;
    }
    atomic_fetch_add(&shared->wrong, wrong);
    return NULL;
}

static uint64_t *make_block(uint64_t value)
{
    uint64_t *block = malloc(BLOCK_WORDS * sizeof *block);
    for (size_t j = 0; block && j < BLOCK_WORDS; j++)
        block[j] = value;
    return block;
}

static void nothing_is_freed_under_a_reader(void)
{
    struct shared *shared = calloc(1, sizeof *shared);
    REQUIRE(shared != NULL);
    REQUIRE(sutra_epochs_init(&shared->epochs) == SUTRA_OK);
    shared->block = make_block(0);
    pthread_t threads[READERS];
    for (size_t t = 0; t < READERS; t++)
        REQUIRE(pthread_create(&threads[t], NULL, look, shared) == 0);
    while (atomic_load(&shared->looking) < READERS)
        pause_ms(1);
    for (uint64_t swap = 1; swap <= SWAPS; swap++) {
        uint64_t *const fresh = make_block(swap), *const old = shared->block;
        REQUIRE(fresh != NULL);
        __atomic_store_n(&shared->block, fresh, __ATOMIC_RELEASE);
        if (swap % 5 == 0) {
            /* What is done when there is no memory to remember it by. */
            sutra_epoch_drain(&shared->epochs);
            free_block(old, BLOCK_WORDS * sizeof *old);
        } else {
            CHECK_EQ(
                sutra_epoch_retire(&shared->epochs, old, BLOCK_WORDS * sizeof *old, free_block),
                SUTRA_OK);
        }
        if (swap % 3 == 0)
            sutra_epoch_collect(&shared->epochs);
    }
    atomic_store(&shared->stop, true);
    for (size_t t = 0; t < READERS; t++)
        CHECK_EQ(pthread_join(threads[t], NULL), 0);
    CHECK_EQ(atomic_load(&shared->wrong), 0);
    sutra_epoch_collect(&shared->epochs);
    CHECK(shared->epochs.retired == NULL);
    free(shared->block);
    sutra_epochs_deinit(&shared->epochs);
    free(shared);
}

CHECK_MAIN(CASE(retired_memory_waits_for_readers), CASE(the_end_frees_what_is_left),
           CASE(a_reader_too_many_waits_for_a_slot),
           CASE(drain_waits_for_those_inside_and_no_others), CASE(nothing_is_freed_under_a_reader))
