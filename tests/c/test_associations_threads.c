/* Associations: four readers beside the writer.
 *
 * At every sequence number v the writer gives the edge c -> c + 1 of kind 0 the weight v, where
 * c = v % RING; every seventh time the edge c -> HUB comes or goes. So a reader knows what it has
 * to find at its view.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "association_cases.h"

#include <pthread.h>

enum { RING = 64, HUB = RING + 1, READERS = 4 };

struct shared {
    struct sutra_associations *associations;
    uint64_t view; /* atomic: published with release */
    bool stopping; /* atomic */
};

static bool hub_has(uint64_t view, uint32_t concept)
{
    bool there = false;
    for (uint64_t v = RING + 1; v <= view; v++) {
        if (v % RING == concept && v % 7 == 0)
            there = !there;
    }
    return there;
}

static size_t read_once(const struct shared *shared, uint64_t view, uint32_t concept)
{
    struct sutra_link_cursor cursor;
    struct sutra_link link;
    const uint64_t last = view - (view - concept) % RING;
    size_t wrong = 0, ring = 0, hub = 0;
    sutra_links_begin(&cursor, shared->associations, concept, SUTRA_BOTH, SUTRA_NO_KIND, view);
    while (sutra_links_next(&cursor, &link)) {
        if (link.kind == 0 && link.outgoing) {
            ring++;
            wrong += link.target != (concept + 1) % RING || link.weight != (float)last;
        } else if (link.kind == 1) {
            hub++;
        } else {
            wrong += link.source != (concept + RING - 1) % RING;
        }
    }
    return wrong + (ring != 1) + (hub != hub_has(view, concept));
}

static void *reader(void *context)
{
    struct shared *shared = context;
    uint64_t count = 0;
    while (!__atomic_load_n(&shared->stopping, __ATOMIC_RELAXED)) {
        const uint64_t view = __atomic_load_n(&shared->view, __ATOMIC_ACQUIRE);
        const uint64_t past = count % 3 ? view : RING + count % (view - RING + 1);
        CHECK_EQ(read_once(shared, past, (uint32_t)(count % RING)), 0);
        CHECK(sutra_associations_count(shared->associations) >= RING - 1);
        CHECK(sutra_associations_delta_rows(shared->associations) >= view - RING);
        CHECK_EQ(sutra_associations_kind(shared->associations, "1", 1), 1);
        CHECK(sutra_associations_bytes(shared->associations) > 0);
        count++;
    }
    return NULL;
}

static void readers_see_their_view(void)
{
    struct shared shared = {.associations = make(2, RING, RING), .view = RING};
    REQUIRE(shared.associations);
    for (uint64_t v = 1; v <= RING; v++)
        sutra_associations_link(shared.associations, (uint32_t)(v % RING),
                                (uint32_t)((v + 1) % RING), 0, (float)v, 1, 0, v);
    fold(&shared.associations); /* the writer begins with edges of the base */
    pthread_t threads[READERS];
    for (int t = 0; t < READERS; t++)
        REQUIRE(pthread_create(&threads[t], NULL, reader, &shared) == 0);
    const uint64_t last = is_slow_place() ? 2000 : 6000;
    size_t wrong = 0;
    for (uint64_t v = RING + 1; v <= last; v++) {
        const uint32_t c = (uint32_t)(v % RING);
        wrong += sutra_associations_reserve(shared.associations, 2, HUB + v % 100) != SUTRA_OK;
        wrong +=
            sutra_associations_link(shared.associations, c, (c + 1) % RING, 0, (float)v, 1, 0, v);
        if (v % 7 == 0) {
            wrong += sutra_associations_reserve(shared.associations, 2, HUB + 1) != SUTRA_OK;
            if (!sutra_associations_unlink(shared.associations, c, HUB, 1, v, NULL))
                wrong += !sutra_associations_link(shared.associations, c, HUB, 1, 1, 1, 0, v);
        }
        if (v % 16 == 0) {
            char name[16];
            uint16_t kind;
            const int bytes = snprintf(name, sizeof name, "n%u", (unsigned)v);
            wrong += sutra_associations_add_kind(shared.associations, name, (uint32_t)bytes,
                                                 &kind) != SUTRA_OK;
        }
        __atomic_store_n(&shared.view, v, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&shared.stopping, true, __ATOMIC_RELAXED);
    for (int t = 0; t < READERS; t++)
        CHECK_EQ(pthread_join(threads[t], NULL), 0);
    CHECK_EQ(wrong, 0);
    sutra_associations_release(shared.associations);
}

CHECK_MAIN(CASE(readers_see_their_view))
