/* Writers, readers and care at the same time, with the background thread at work.
 *
 * Every concept has units, and every write moves some from one concept to another: so in any view
 * the sum is the same. With each move two links come or go together: so their number is even. A
 * pinned view gives the same again. The store is closed while readers hold views.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "store_calls.h"

#define WRITERS 2u
#define READERS 4u
#define ACCOUNTS 400u /* of each writer */
#define UNITS 64u     /* of each account at first */

struct scene {
    const struct sutra_io *io;
    const char *path, *snapshot;
    struct sutra_store *store;
    size_t moves;          /* of each writer */
    atomic_size_t writing; /* writers at work */
    atomic_bool held;      /* a reader holds a view while the store is closed */
    atomic_bool closed;
    uint64_t acknowledged[WRITERS]; /* moves, of each writer */
    atomic_size_t views, searches;
};

static void draw_vector(uint64_t seed, float *vector)
{
    for (size_t i = 0; i < MODEL_DIM; i++)
        vector[i] = (float)(sutra_random_at(seed, i) >> 40) / (float)(1 << 24) - 0.5f;
}

/* ---- writing */

static int open_account(struct scene *scene, unsigned writer)
{
    static const float units = UNITS, one = 1.0f;
    int64_t ids[50];
    float vectors[50 * MODEL_DIM];
    struct sutra_fault fault;
    uint64_t lsn;
    int status = SUTRA_OK;
    for (unsigned from = 0; from < ACCOUNTS && status == SUTRA_OK; from += 50) {
        for (unsigned j = 0; j < 50; j++) {
            ids[j] = (int64_t)writer * ACCOUNTS + from + j;
            draw_vector((uint64_t)ids[j], vectors + j * MODEL_DIM);
        }
        struct sutra_op op = {.kind = SUTRA_OP_PUT,
                              .put = {.ids = {50, ids, NULL, NULL},
                                      .dim = MODEL_DIM,
                                      .vectors = vectors,
                                      .stride = MODEL_DIM,
                                      .strengths = &units,
                                      .confidences = &one}};
        status = sutra_store_write(scene->store, &op, 1, true, &lsn, &fault);
    }
    return status;
}

struct writer {
    struct scene *scene;
    unsigned number;
    float units[ACCOUNTS];
    bool linked[ACCOUNTS]; /* from here to the next, and back */
};

/* One batch: two puts that move a unit, then two links made or removed, and a touch. */
static int move_unit(struct writer *writer, uint64_t turn)
{
    struct scene *scene = writer->scene;
    const uint64_t drawn = sutra_random_at(writer->number + 100, turn);
    const unsigned from = (unsigned)(drawn % ACCOUNTS), to = (from + 1) % ACCOUNTS;
    const int64_t base = (int64_t)writer->number * ACCOUNTS;
    const int64_t ids[2] = {base + from, base + to}, back[2] = {base + to, base + from};
    const float units[2] = {writer->units[from] - 1, writer->units[to] + 1}, one = 1.0f;
    const char *const kind = "moved";
    const uint32_t kind_bytes = 5;
    char text[32];
    const uint32_t bytes = (uint32_t)snprintf(text, sizeof text, "%llu", (unsigned long long)turn);
    const uint8_t *const contents[2] = {(const uint8_t *)text, NULL};
    const uint32_t content_bytes[2] = {bytes, 0};
    float vectors[2 * MODEL_DIM];
    draw_vector(drawn, vectors);
    draw_vector(drawn + 1, vectors + MODEL_DIM);
    struct sutra_op ops[3] = {
        {.kind = SUTRA_OP_PUT,
         .put = {.replace = true,
                 .ids = {2, ids, NULL, NULL},
                 .dim = drawn >> 20 & 1 ? MODEL_DIM : 0,
                 .vectors = vectors,
                 .stride = MODEL_DIM,
                 .contents = contents,
                 .content_bytes = content_bytes,
                 .strengths = units,
                 .strength_step = 1,
                 .confidences = &one,
                 .time_ns = (int64_t)turn}},
        {.kind = writer->linked[from] ? SUTRA_OP_UNLINK : SUTRA_OP_LINK,
         .link = {.sources = {2, ids, NULL, NULL},
                  .targets = {2, back, NULL, NULL},
                  .kind_names = &kind,
                  .kind_bytes = &kind_bytes,
                  .kind_count = 1,
                  .weights = &one,
                  .confidences = &one}},
        {.kind = SUTRA_OP_TOUCH, .ids = {.ids = {2, ids, NULL, NULL}, .time_ns = (int64_t)turn}}};
    struct sutra_fault fault;
    uint64_t lsn;
    /* Some wait for themselves, some are waited for later, and the last of all is. */
    const bool wait = turn % 4 != 0;
    int status = sutra_store_write(scene->store, ops, 3, wait, &lsn, &fault);
    if (status == SUTRA_OK && !wait)
        status = sutra_store_wait(scene->store, lsn);
    if (status != SUTRA_OK)
        return status;
    CHECK(sutra_store_durable_lsn(scene->store) >= lsn);
    CHECK(sutra_store_visible_lsn(scene->store) >= lsn);
    CHECK_EQ(ops[1].done, 2);
    writer->units[from] = units[0];
    writer->units[to] = units[1];
    writer->linked[from] = !writer->linked[from];
    return SUTRA_OK;
}

static void *write_much(void *argument)
{
    struct writer *writer = argument;
    struct scene *scene = writer->scene;
    int status = SUTRA_OK;
    for (uint64_t turn = 1; turn <= scene->moves && status == SUTRA_OK; turn++) {
        status = move_unit(writer, turn);
        if (status == SUTRA_OK)
            scene->acknowledged[writer->number] = turn;
    }
    CHECK_EQ(status, SUTRA_OK);
    atomic_fetch_sub(&scene->writing, 1);
    return NULL;
}

/* ---- reading */

struct sight {
    struct shown shown;
    double units;
};

static int look(const struct sutra_store_view *view, struct sight *sight)
{
    uint32_t slots[128], concepts[128];
    size_t next = 0, count = 1;
    int status = view_shows(view, &sight->shown);
    sight->units = 0;
    while (status == SUTRA_OK && count > 0) {
        status = sutra_store_scan(view, &next, 128, slots, concepts, &count);
        for (size_t j = 0; j < count && status == SUTRA_OK; j++) {
            struct sutra_concept concept;
            status = sutra_store_read(view, concepts[j], slots[j], &concept);
            sight->units += (double)concept.record.strength;
        }
    }
    return status;
}

static void check_view(struct scene *scene, const struct sutra_store_view *view, bool pinned)
{
    struct sight sight, again;
    CHECK_EQ(look(view, &sight), SUTRA_OK);
    CHECK_EQ(sight.shown.live, WRITERS * ACCOUNTS);
    CHECK(sight.units == (double)WRITERS * ACCOUNTS * UNITS);
    CHECK(sight.shown.edges % 2 == 0);
    atomic_fetch_add(&scene->views, 1);
    if (!pinned)
        return;
    CHECK_EQ(look(view, &again), SUTRA_OK);
    CHECK(again.shown.digest == sight.shown.digest && again.shown.lsn == sight.shown.lsn);
}

/* What a search gives is there, passes the filter if there is one, and is as near as it says. */
static void check_search(struct scene *scene, const struct sutra_store_view *view, uint64_t turn)
{
    float query[MODEL_DIM], vector[MODEL_DIM], distances[8];
    uint32_t slots[8], concepts[8];
    struct sutra_fault fault;
    uint8_t even[4096];
    const struct sutra_id_set set = {.bits = even, .bit_count = 8 * sizeof even};
    const bool sifted = turn % 5 > 2;
    memset(even, 0x55, sizeof even);
    draw_vector(turn, query);
    const int status = sutra_store_search(view,
                                          &(struct sutra_search){.queries = query,
                                                                 .stride = MODEL_DIM,
                                                                 .count = 1,
                                                                 .k = 8,
                                                                 .exact = turn % 2,
                                                                 .threads = 1,
                                                                 .sets = sifted ? &set : NULL},
                                          slots, concepts, distances, &fault);
    CHECK_EQ(status, SUTRA_OK);
    for (size_t j = 0; status == SUTRA_OK && j < 8; j++) {
        struct sutra_concept concept;
        CHECK(!sifted || concepts[j] % 2 == 0);
        CHECK(slots[j] != SUTRA_NO_SLOT);
        if (slots[j] == SUTRA_NO_SLOT)
            continue;
        CHECK_EQ(sutra_store_read(view, concepts[j], slots[j], &concept), SUTRA_OK);
        CHECK(concept.has_vector && sutra_store_vector(view, slots[j], vector) == SUTRA_OK);
        CHECK(j == 0 || distances[j - 1] <= distances[j]);
    }
    atomic_fetch_add(&scene->searches, 1);
}

struct reader {
    struct scene *scene;
    unsigned number;
};

static void *read_much(void *argument)
{
    const struct reader *reader = argument;
    struct scene *scene = reader->scene;
    struct sutra_store_view *view;
    uint64_t lsn = 0;
    for (uint64_t turn = reader->number;; turn += READERS) {
        const bool pinned = turn % 3 == 0;
        const int status = pinned ? sutra_store_view_pin(scene->store, &view)
                                  : sutra_store_view_begin(scene->store, &view);
        if (status == SUTRA_E_CLOSED)
            return NULL;
        CHECK_EQ(status, SUTRA_OK);
        if (status != SUTRA_OK)
            return NULL;
        CHECK(sutra_store_view_lsn(view) >= lsn);
        lsn = sutra_store_view_lsn(view);
        check_view(scene, view, pinned);
        check_search(scene, view, turn);
        if (atomic_load(&scene->writing) == 0 && reader->number < 2) {
            /* The store is closed under this one's eyes. */
            atomic_store(&scene->held, true);
            while (!atomic_load(&scene->closed))
                sched_yield();
            check_view(scene, view, pinned);
            check_search(scene, view, turn);
        }
        sutra_store_view_end(view);
    }
}

/* ---- care */

static void *take_care(void *argument)
{
    struct scene *scene = argument;
    struct sutra_store_stats stats;
    struct sutra_fault fault;
    for (unsigned turn = 0; atomic_load(&scene->writing) > 0; turn++) {
        int status;
        int64_t first;
        switch (turn % 6) {
        case 0:
            status = sutra_store_checkpoint(scene->store);
            break;
        case 1:
            status = sutra_store_settle(scene->store);
            break;
        case 2:
            status = sutra_store_compact(scene->store);
            break;
        case 3:
            status = sutra_store_snapshot(scene->store, scene->snapshot);
            break;
        case 4:
            status = sutra_store_verify(scene->store, false, NULL, &fault);
            break;
        default:
            status = sutra_store_reserve_numbers(scene->store, 3, &first);
        }
        CHECK_EQ(status, SUTRA_OK);
        CHECK_EQ(sutra_store_stats(scene->store, &stats), SUTRA_OK);
        CHECK_EQ(stats.failed, 0);
        CHECK(stats.durable_lsn >= stats.visible_lsn || stats.visible_lsn > 0);
        usleep(2000);
    }
    return NULL;
}

/* ---- the whole */

/* Nothing that was acknowledged is lost, whatever went on beside it. */
static void check_accounts(struct sutra_store *store, const struct writer *writer)
{
    struct place place = {.store = store};
    struct sutra_store_view *view = view_of(&place);
    size_t wrong = 0;
    for (unsigned a = 0; a < ACCOUNTS; a++) {
        const int64_t id = (int64_t)writer->number * ACCOUNTS + a;
        const unsigned before = (a + ACCOUNTS - 1) % ACCOUNTS;
        struct sutra_concept read = {0};
        wrong += read_number(view, id, &read) != SUTRA_OK;
        wrong += read.record.strength != writer->units[a];
        wrong += read.record.reference_count !=
                 (uint32_t)writer->linked[a] + (uint32_t)writer->linked[before];
    }
    CHECK_EQ(wrong, 0);
    sutra_store_view_end(view);
}

static void check_after(struct scene *scene, const struct sutra_store_options *options,
                        const struct writer *writers)
{
    struct sutra_store *store;
    struct sutra_store_view *view;
    struct sutra_fault fault;
    struct sight sight;
    REQUIRE(open_store(scene->io, scene->path, options, &store) == SUTRA_OK);
    CHECK_EQ(sutra_store_verify(store, true, NULL, &fault), SUTRA_OK);
    REQUIRE(sutra_store_view_begin(store, &view) == SUTRA_OK);
    CHECK_EQ(look(view, &sight), SUTRA_OK);
    CHECK(sight.units == (double)WRITERS * ACCOUNTS * UNITS && sight.shown.edges % 2 == 0);
    sutra_store_view_end(view);
    for (unsigned w = 0; w < WRITERS; w++) {
        CHECK_EQ(scene->acknowledged[w], scene->moves);
        check_accounts(store, &writers[w]);
    }
    drop_store(store);
}

static void run_scene(struct scene *scene, size_t moves)
{
    struct sutra_store_options options = store_options(SUTRA_STORE_APPEND, SUTRA_SYNC_FULL);
    options.no_thread = false;
    options.reconcile_interval_ms = 1;
    options.log_bytes = 32768;
    options.compact_dead = ACCOUNTS / 2;
    options.compact_share = 1000;
    options.threads = 2;
    pthread_t writers[WRITERS], readers[READERS], carer;
    static struct writer writing[WRITERS];
    struct reader reading[READERS];
    scene->moves = moves;
    atomic_store(&scene->writing, WRITERS);
    REQUIRE(open_store(scene->io, scene->path, &options, &scene->store) == SUTRA_OK);
    for (unsigned w = 0; w < WRITERS; w++) {
        CHECK_EQ(open_account(scene, w), SUTRA_OK);
        writing[w] = (struct writer){.scene = scene, .number = w};
        for (unsigned a = 0; a < ACCOUNTS; a++)
            writing[w].units[a] = UNITS;
    }
    for (unsigned r = 0; r < READERS; r++) {
        reading[r] = (struct reader){scene, r};
        CHECK_EQ(pthread_create(&readers[r], NULL, read_much, &reading[r]), 0);
    }
    for (unsigned w = 0; w < WRITERS; w++)
        CHECK_EQ(pthread_create(&writers[w], NULL, write_much, &writing[w]), 0);
    CHECK_EQ(pthread_create(&carer, NULL, take_care, scene), 0);
    for (unsigned w = 0; w < WRITERS; w++)
        (void)pthread_join(writers[w], NULL);
    (void)pthread_join(carer, NULL);
    while (!atomic_load(&scene->held))
        sched_yield();
    CHECK_EQ(sutra_store_close(scene->store), SUTRA_OK);
    CHECK_EQ(sutra_store_close(scene->store), SUTRA_E_CLOSED);
    atomic_store(&scene->closed, true);
    for (unsigned r = 0; r < READERS; r++)
        (void)pthread_join(readers[r], NULL);
    sutra_store_free(scene->store);
    CHECK(atomic_load(&scene->views) > READERS);
    options.no_thread = true;
    check_after(scene, &options, writing);
}

static size_t count_moves(size_t most)
{
    return most / (tests_divisor() > 1 ? 2 : 1) * (tests_are_slow() ? 20 : 1);
}

static void on_simulated_disk(void)
{
    struct sutra_simulated *fs;
    REQUIRE(sutra_simulated_new(1, &fs) == SUTRA_OK);
    struct scene scene = {
        .io = sutra_simulated_io(fs), .path = STORE_PATH, .snapshot = SNAPSHOT_PATH};
    run_scene(&scene, count_moves(8000));
    sutra_simulated_free(fs);
}

static void on_real_disk(void)
{
    char root[200], path[256], snapshot[256];
    const char *temporary = getenv("TMPDIR");
    (void)snprintf(root, sizeof root, "%.150s/sutra-test-XXXXXX",
                   temporary != NULL ? temporary : "/tmp");
    REQUIRE(mkdtemp(root) != NULL);
    (void)snprintf(path, sizeof path, "%s/db", root);
    (void)snprintf(snapshot, sizeof snapshot, "%s/snapshot", root);
    struct scene scene = {.io = &sutra_io_posix, .path = path, .snapshot = snapshot};
    run_scene(&scene, count_moves(400));
    remove_all(path);
    remove_all(snapshot);
    remove_all(root);
}

/* In memory nothing is durable and everything else is the same. */
static void in_memory(void)
{
    struct sutra_store_options options = store_options(SUTRA_STORE_APPEND, SUTRA_SYNC_FULL);
    options.no_thread = false;
    options.reconcile_interval_ms = 1;
    options.compact_dead = ACCOUNTS / 2;
    options.compact_share = 1000;
    static struct writer writing[WRITERS];
    pthread_t writers[WRITERS], readers[READERS];
    struct reader reading[READERS];
    struct scene scene = {.moves = count_moves(4000)};
    atomic_store(&scene.writing, WRITERS);
    REQUIRE(open_store(NULL, NULL, &options, &scene.store) == SUTRA_OK);
    for (unsigned w = 0; w < WRITERS; w++) {
        CHECK_EQ(open_account(&scene, w), SUTRA_OK);
        writing[w] = (struct writer){.scene = &scene, .number = w};
        for (unsigned a = 0; a < ACCOUNTS; a++)
            writing[w].units[a] = UNITS;
    }
    for (unsigned r = 0; r < READERS; r++) {
        reading[r] = (struct reader){&scene, r};
        CHECK_EQ(pthread_create(&readers[r], NULL, read_much, &reading[r]), 0);
    }
    for (unsigned w = 0; w < WRITERS; w++)
        CHECK_EQ(pthread_create(&writers[w], NULL, write_much, &writing[w]), 0);
    while (atomic_load(&scene.writing) > 0) {
        CHECK_EQ(sutra_store_compact(scene.store), SUTRA_OK);
        usleep(5000);
    }
    for (unsigned w = 0; w < WRITERS; w++)
        (void)pthread_join(writers[w], NULL);
    for (unsigned w = 0; w < WRITERS; w++)
        check_accounts(scene.store, &writing[w]);
    while (!atomic_load(&scene.held))
        sched_yield();
    CHECK_EQ(sutra_store_close(scene.store), SUTRA_OK);
    atomic_store(&scene.closed, true);
    for (unsigned r = 0; r < READERS; r++)
        (void)pthread_join(readers[r], NULL);
    sutra_store_free(scene.store);
}

CHECK_MAIN(CASE(on_simulated_disk), CASE(on_real_disk), CASE(in_memory))
