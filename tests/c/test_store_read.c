/* Reading: views and what they see, finding, scanning, searching, going along links. Line by line
 * of store.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "store_calls.h"

/* ---- views */

/* A view sees the state after its LSN, whole, whatever is done meanwhile. */
static void views_stand_still(void)
{
    struct place place;
    struct sutra_store_view *views[6];
    struct shown shown[6], again;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_vectors(&place, 0, 30), SUTRA_OK);
    const int64_t id = 5;
    for (size_t v = 0; v < 6; v++) {
        REQUIRE(sutra_store_view_pin(place.store, &views[v]) == SUTRA_OK);
        CHECK_EQ(sutra_store_view_lsn(views[v]), sutra_store_visible_lsn(place.store));
        CHECK_EQ(view_shows(views[v], &shown[v]), SUTRA_OK);
        switch (v) {
        case 0:
            CHECK_EQ(write_op(&place, ids_op(SUTRA_OP_TOUCH, &id, 1)), SUTRA_OK);
            break;
        case 1:
            CHECK_EQ(link_numbers(&place, 4, 5), SUTRA_OK);
            break;
        case 2:
            CHECK_EQ(put_vectors(&place, 100, 20), SUTRA_OK);
            break;
        case 3:
            CHECK_EQ(write_op(&place, ids_op(SUTRA_OP_DELETE, &id, 1)), SUTRA_OK);
            break;
        case 4:
            CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
            CHECK_EQ(put_numbers(&place, 200, 5), SUTRA_OK);
            break;
        default:
            CHECK_EQ(sutra_store_compact(place.store), SUTRA_OK);
            CHECK_EQ(put_numbers(&place, 300, 5), SUTRA_OK);
        }
    }
    for (size_t v = 0; v < 6; v++) {
        CHECK_EQ(view_shows(views[v], &again), SUTRA_OK);
        CHECK(again.digest == shown[v].digest && again.lsn == shown[v].lsn);
        CHECK(v == 0 || shown[v].digest != shown[v - 1].digest || v == 5);
        /* Search sees what the view sees. */
        float vector[MODEL_DIM], distances[2];
        uint32_t slots[2], concepts[2];
        make_vector(5, vector);
        CHECK_EQ(sutra_store_search(views[v],
                                    &(struct sutra_search){.queries = vector,
                                                           .stride = MODEL_DIM,
                                                           .count = 1,
                                                           .k = 2,
                                                           .exact = true,
                                                           .threads = 1},
                                    slots, concepts, distances, &place.fault),
                 SUTRA_OK);
        uint32_t concept;
        const uint32_t slot = slot_of(views[v], 5, &concept);
        CHECK_EQ(slot == SUTRA_NO_SLOT, v > 3);
        CHECK_EQ(concepts[0] == concept && slots[0] == slot, v <= 3);
    }
    CHECK_EQ(sutra_store_close(place.store), SUTRA_OK);
    for (size_t v = 0; v < 6; v++) {
        CHECK_EQ(view_shows(views[v], &again), SUTRA_OK);
        CHECK(again.digest == shown[v].digest);
        sutra_store_view_end(views[v]);
    }
    sutra_store_free(place.store);
    place.store = NULL;
    place_deinit(&place);
}

/* Under a pinned view counts are those of then; without one they are those of now. */
static void counts_of_then(void)
{
    struct place place;
    struct sutra_store_view *pinned;
    struct sutra_concept read;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_numbers(&place, 0, 4), SUTRA_OK);
    CHECK_EQ(link_numbers(&place, 0, 1), SUTRA_OK);
    REQUIRE(sutra_store_view_pin(place.store, &pinned) == SUTRA_OK);
    CHECK_EQ(link_numbers(&place, 2, 1), SUTRA_OK);
    CHECK_EQ(link_numbers(&place, 3, 1), SUTRA_OK);
    CHECK_EQ(read_number(pinned, 1, &read), SUTRA_OK);
    CHECK_EQ(read.record.reference_count, 1);
    struct sutra_store_view *view = view_of(&place);
    CHECK_EQ(read_number(view, 1, &read), SUTRA_OK);
    CHECK_EQ(read.record.reference_count, 3);
    sutra_store_view_end(view);
    sutra_store_view_end(pinned);
    sutra_store_view_end(NULL);
    place_deinit(&place);
}

/* Many at once: they take nothing that runs out. */
static void many_views(void)
{
    enum { VIEWS = 500 };
    static struct sutra_store_view *views[VIEWS];
    struct place place;
    struct sutra_store_stats stats;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    for (size_t v = 0; v < VIEWS; v++) {
        CHECK_EQ(put_numbers(&place, (int64_t)v, 1), SUTRA_OK);
        REQUIRE((v % 2 ? sutra_store_view_pin : sutra_store_view_begin)(place.store, &views[v]) ==
                SUTRA_OK);
    }
    CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    CHECK_EQ(stats.open_views, VIEWS);
    for (size_t v = 0; v < VIEWS; v++) {
        uint32_t concept;
        CHECK_EQ(sutra_store_view_count(views[v]), v + 1);
        CHECK(slot_of(views[v], (int64_t)v, &concept) != SUTRA_NO_SLOT);
        CHECK_EQ(slot_of(views[v], (int64_t)v + 1, &concept), SUTRA_NO_SLOT);
        sutra_store_view_end(views[v]);
    }
    place_deinit(&place);
}

/* ---- finding, scanning, reading */

static void finding(void)
{
    struct place place;
    struct sutra_concept read;
    const int64_t numbers[5] = {3, 99, 0, 3, -1};
    const char *const texts[5] = {NULL, NULL, NULL, NULL, "word"};
    const uint32_t bytes[5] = {0, 0, 0, 0, 4};
    uint32_t slots[5], concepts[5], scanned_slots[4], scanned[4];
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_numbers(&place, 0, 5), SUTRA_OK);
    struct sutra_op op = put_op(numbers + 4, 1);
    op.put.ids.texts = texts + 4;
    op.put.ids.text_bytes = bytes + 4;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
    const int64_t gone = 1;
    CHECK_EQ(write_op(&place, ids_op(SUTRA_OP_DELETE, &gone, 1)), SUTRA_OK);
    struct sutra_store_view *view = view_of(&place);
    const struct sutra_ids ids = {5, numbers, texts, bytes};
    CHECK_EQ(sutra_store_find(view, &ids, slots, concepts), SUTRA_OK);
    CHECK(concepts[0] == 3 && concepts[0] == concepts[3] && slots[0] == slots[3]);
    CHECK(slots[1] == SUTRA_NO_SLOT && concepts[1] == SUTRA_NO_CONCEPT);
    CHECK(concepts[2] == 0 && concepts[4] == 5 && slots[4] != SUTRA_NO_SLOT);
    CHECK_EQ(sutra_store_find(view, &ids, slots, NULL), SUTRA_OK);
    CHECK(slots[1] == SUTRA_NO_SLOT && slots[4] != SUTRA_NO_SLOT);
    /* In the order they were first seen, a few at a time, the dead left out. */
    size_t next = 0, count, seen = 0;
    static const uint32_t expected[5] = {0, 2, 3, 4, 5};
    do {
        CHECK_EQ(sutra_store_scan(view, &next, 2, scanned_slots, scanned, &count), SUTRA_OK);
        for (size_t j = 0; j < count; j++, seen++)
            CHECK(seen < 5 && scanned[j] == expected[seen]);
    } while (count > 0);
    CHECK_EQ(seen, 5);
    CHECK_EQ(sutra_store_scan(view, &next, 2, scanned_slots, scanned, &count), SUTRA_OK);
    CHECK_EQ(count, 0);
    CHECK_EQ(sutra_store_read(view, 0, SUTRA_NO_SLOT, &read), SUTRA_E_NOT_FOUND);
    CHECK_EQ(sutra_store_read(view, SUTRA_NO_CONCEPT, slots[0], &read), SUTRA_E_NOT_FOUND);
    CHECK_EQ(sutra_store_read(view, 1000, slots[0], &read), SUTRA_E_NOT_FOUND);
    CHECK_EQ(sutra_store_dim(view), 0);
    sutra_store_view_end(view);
    place_deinit(&place);
}

/* ---- search */

static void searching(void)
{
    struct place place;
    float queries[2 * MODEL_DIM], distances[12];
    uint32_t slots[12], concepts[12];
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    make_vector(3, queries);
    make_vector(4, queries + MODEL_DIM);
    struct sutra_store_view *view = view_of(&place);
    CHECK_EQ(sutra_store_search(
                 view,
                 &(struct sutra_search){
                     .queries = queries, .stride = MODEL_DIM, .count = 2, .k = 6, .threads = 1},
                 slots, concepts, distances, &place.fault),
             SUTRA_OK);
    for (size_t j = 0; j < 12; j++) /* there are no vectors */
        CHECK(slots[j] == SUTRA_NO_SLOT && concepts[j] == SUTRA_NO_CONCEPT && isinf(distances[j]));
    sutra_store_view_end(view);
    CHECK_EQ(put_vectors(&place, 0, 6), SUTRA_OK);
    CHECK_EQ(put_numbers(&place, 6, 3), SUTRA_OK);
    const int64_t gone[2] = {3, 1};
    CHECK_EQ(write_op(&place, ids_op(SUTRA_OP_DELETE, gone, 2)), SUTRA_OK);
    view = view_of(&place);
    for (int exact = 0; exact < 2; exact++) {
        CHECK_EQ(sutra_store_search(view,
                                    &(struct sutra_search){.queries = queries,
                                                           .stride = MODEL_DIM,
                                                           .count = 2,
                                                           .k = 6,
                                                           .exact = exact,
                                                           .threads = 1},
                                    slots, concepts, distances, &place.fault),
                 SUTRA_OK);
        for (size_t q = 0; q < 2; q++) {
            for (size_t j = 0; j < 6; j++) {
                const size_t at = q * 6 + j;
                CHECK_EQ(slots[at] == SUTRA_NO_SLOT, j >= 4); /* 6 with vectors, 2 are gone */
                CHECK(j == 0 || distances[at - 1] <= distances[at]);
                CHECK(concepts[at] != 3 && concepts[at] != 1);
            }
        }
        CHECK(concepts[6] == 4 && distances[6] < 1e-5f);
    }
    CHECK_EQ(sutra_store_search(view,
                                &(struct sutra_search){.queries = queries,
                                                       .stride = MODEL_DIM,
                                                       .count = 1,
                                                       .k = 0,
                                                       .exact = true,
                                                       .threads = 1},
                                slots, concepts, distances, &place.fault),
             SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_store_search(view,
                                &(struct sutra_search){.queries = queries,
                                                       .stride = MODEL_DIM,
                                                       .count = 1,
                                                       .k = SUTRA_K_MAX + (size_t)1,
                                                       .exact = true,
                                                       .threads = 1},
                                slots, concepts, distances, &place.fault),
             SUTRA_E_ARGUMENT);
    queries[1] = NAN;
    CHECK_EQ(sutra_store_search(view,
                                &(struct sutra_search){.queries = queries,
                                                       .stride = MODEL_DIM,
                                                       .count = 1,
                                                       .k = 2,
                                                       .exact = true,
                                                       .threads = 1},
                                slots, concepts, distances, &place.fault),
             SUTRA_E_VECTOR);
    sutra_store_view_end(view);
    place_deinit(&place);
}

/* A vector that was replaced is not found by its old value, in any stage of its life. */
static void replaced_vectors(void)
{
    struct place place;
    float old[MODEL_DIM], fresh[MODEL_DIM], distances[3];
    uint32_t slots[3], concepts[3];
    const int64_t id = 40;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_vectors(&place, 0, 600), SUTRA_OK);
    CHECK_EQ(sutra_store_settle(place.store), SUTRA_OK);
    make_vector(40, old);
    make_vector(4000, fresh);
    struct sutra_op op = vector_op(&id, 1, fresh);
    op.put.replace = true;
    CHECK_EQ(write_ops(&place, &op, 1), SUTRA_OK);
    for (unsigned stage = 0; stage < 4; stage++) {
        struct sutra_store_view *view = view_of(&place);
        CHECK_EQ(sutra_store_search(view,
                                    &(struct sutra_search){.queries = old,
                                                           .stride = MODEL_DIM,
                                                           .count = 1,
                                                           .k = 3,
                                                           .ef = 100,
                                                           .threads = 1},
                                    slots, concepts, distances, &place.fault),
                 SUTRA_OK);
        CHECK(distances[0] > 1e-5f);
        CHECK_EQ(sutra_store_search(view,
                                    &(struct sutra_search){.queries = fresh,
                                                           .stride = MODEL_DIM,
                                                           .count = 1,
                                                           .k = 3,
                                                           .ef = 100,
                                                           .threads = 1},
                                    slots, concepts, distances, &place.fault),
                 SUTRA_OK);
        uint32_t concept;
        CHECK(slots[0] == slot_of(view, 40, &concept) && concepts[0] == concept);
        CHECK(distances[0] < 1e-5f && distances[1] > 1e-5f);
        sutra_store_view_end(view);
        if (stage == 0)
            CHECK_EQ(sutra_store_settle(place.store), SUTRA_OK);
        else if (stage == 1)
            CHECK_EQ(place_reopen(&place), SUTRA_OK);
        else
            CHECK_EQ(sutra_store_compact(place.store), SUTRA_OK);
    }
    place_deinit(&place);
}

/* ---- going along links */

static void traversals(void)
{
    struct place place;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_numbers(&place, 0, 6), SUTRA_OK);
    for (int64_t id = 0; id < 5; id++)
        CHECK_EQ(link_numbers(&place, id, id + 1), SUTRA_OK);
    struct sutra_store_view *before = view_of(&place);
    const int64_t gone = 3;
    CHECK_EQ(write_op(&place, ids_op(SUTRA_OP_DELETE, &gone, 1)), SUTRA_OK);
    struct sutra_store_view *views[2] = {before, view_of(&place)};
    for (unsigned v = 0; v < 2; v++) {
        struct sutra_traversal traversal = {.work_max = 1000};
        struct sutra_reached *reached;
        size_t count, starts;
        bool complete;
        const uint32_t start = 0;
        sutra_store_traversal(views[v], &traversal);
        CHECK_EQ(sutra_expand(&traversal, &start, 1, 10, 100, &reached, &count, &starts, &complete),
                 SUTRA_OK);
        CHECK(complete);
        CHECK_EQ(count - starts, v == 0 ? 5 : 2);
        CHECK(traversal.alive(traversal.alive_context, 3) == (v == 0));
        CHECK(!traversal.alive(traversal.alive_context, SUTRA_NO_CONCEPT));
        free(reached);
        sutra_store_view_end(views[v]);
    }
    place_deinit(&place);
}

/* ---- folding */

#define FOLD_SIDE 300u
#define FOLD_EDGES 70000u

static int link_many(struct place *place, bool wait)
{
    int64_t *ids = malloc(2 * FOLD_EDGES * sizeof *ids);
    if (ids == NULL)
        return SUTRA_E_NO_MEMORY;
    for (size_t e = 0; e < FOLD_EDGES; e++) {
        ids[e] = (int64_t)(e / FOLD_SIDE);
        ids[FOLD_EDGES + e] = (int64_t)(e % FOLD_SIDE);
    }
    struct sutra_op op = link_op(ids, ids + FOLD_EDGES, FOLD_EDGES);
    const int status = sutra_store_write(place->store, &op, 1, wait, &place->lsn, &place->fault);
    free(ids);
    return status;
}

/* Links that were folded have no birth any more: no view may be left that is older. */
static void folding(void)
{
    struct place place;
    struct sutra_store_stats stats;
    struct shown shown, after;
    bool busy;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(place_close(&place), SUTRA_OK);
    place.options.log_bytes = (uint64_t)1 << 30; /* no checkpoint, which would sync */
    REQUIRE(place_open(&place, SUTRA_STORE_APPEND) == SUTRA_OK);
    CHECK_EQ(put_numbers(&place, 0, FOLD_SIDE), SUTRA_OK);
    struct sutra_store_view *old = view_of(&place);
    /* Again and again, until there is enough to fold. */
    stats.delta_associations = 1;
    for (unsigned round = 0; round < 30 && stats.delta_associations > 0; round++) {
        CHECK_EQ(link_many(&place, false), SUTRA_OK);
        CHECK_EQ(store_shows(place.store, &shown), SUTRA_OK);
        CHECK_EQ(shown.edges, 0); /* not durable, so not seen */
        CHECK_EQ(sutra_store_reconcile(place.store, &busy), SUTRA_OK);
        CHECK_EQ(sutra_store_stats(place.store, &stats), SUTRA_OK);
    }
    CHECK(stats.delta_associations == 0 && stats.associations == FOLD_EDGES);
    CHECK_EQ(store_shows(place.store, &shown), SUTRA_OK);
    CHECK_EQ(shown.edges, shown.lsn >= place.lsn ? FOLD_EDGES : 0);
    CHECK(sutra_store_durable_lsn(place.store) >= shown.lsn);
    struct shown seen;
    CHECK_EQ(view_shows(old, &seen), SUTRA_OK);
    CHECK_EQ(seen.edges, 0);
    sutra_store_view_end(old);
    /* Saved and changed in the folded form. */
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    const int64_t some[3] = {7, 8, 200};
    CHECK_EQ(write_op(&place, ids_op(SUTRA_OP_DELETE, some, 3)), SUTRA_OK);
    CHECK_EQ(link_numbers(&place, 10, 11), SUTRA_OK);
    CHECK_EQ(store_shows(place.store, &shown), SUTRA_OK);
    CHECK_EQ(place_reopen(&place), SUTRA_OK); /* from the log */
    CHECK_EQ(store_shows(place.store, &after), SUTRA_OK);
    CHECK(after.digest == shown.digest && after.edges == shown.edges);
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    CHECK_EQ(place_reopen(&place), SUTRA_OK); /* from changed rows of the first segment */
    CHECK_EQ(store_shows(place.store, &after), SUTRA_OK);
    CHECK(after.digest == shown.digest);
    CHECK_EQ(sutra_store_verify(place.store, true, NULL, &place.fault), SUTRA_OK);
    place_deinit(&place);
}

CHECK_MAIN(CASE(views_stand_still), CASE(counts_of_then), CASE(many_views), CASE(finding),
           CASE(searching), CASE(replaced_vectors), CASE(traversals), CASE(folding))
