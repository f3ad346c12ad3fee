/* Deleting from a graph: after a sweep and a clearing it is sound whatever died, the same for any
 * number of threads, and as good as one built anew; recycled rows are linked or left vacant.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "graph_cases.h"

#include <pthread.h>

#include "base/epoch.h"

enum { ROWS_MAX = 6000, WORDS = ROWS_MAX / 64 + 1 };

static void set_row(uint64_t *rows, size_t row)
{
    rows[row / 64] |= (uint64_t)1 << row % 64;
}

static size_t bits(const uint64_t *rows)
{
    size_t count = 0;
    for (size_t w = 0; w < WORDS; w++)
        count += (size_t)__builtin_popcountll(rows[w]);
    return count;
}

static int sweep(struct sutra_graph *graph, const float *rows, const uint64_t *dead,
                 unsigned threads)
{
    const struct sutra_space space = space_over(rows);
    return sutra_graph_sweep(graph, &space, dead, threads);
}

static int sweep_and_clear(struct sutra_graph *graph, const float *rows, const uint64_t *dead,
                           unsigned threads)
{
    const int status = sweep(graph, rows, dead, threads);
    return status == SUTRA_OK ? sutra_graph_clear_nodes(graph, dead) : status;
}

/* The rows whose bits are set, and `fresh` new ones between them. */
static size_t list_rows(const struct sutra_graph *graph, const uint64_t *recycled, size_t fresh,
                        uint32_t *rows_out)
{
    size_t count = 0, added = 0;
    for (size_t row = 0; row < graph->count; row++) {
        if (!sutra_graph_has_row(recycled, row))
            continue;
        rows_out[count++] = (uint32_t)row;
        if (added < fresh)
            rows_out[count++] = (uint32_t)(graph->count + fresh - ++added);
    }
    while (added < fresh)
        rows_out[count++] = (uint32_t)(graph->count + fresh - ++added);
    return count;
}

static int relink(struct sutra_graph *graph, const float *rows, const uint64_t *recycled,
                  size_t fresh, unsigned threads)
{
    static uint32_t list[2 * ROWS_MAX];
    const struct sutra_space space = space_over(rows);
    const size_t count = list_rows(graph, recycled, fresh, list);
    return sutra_graph_link(graph, &space, list, count, threads, NULL, NULL);
}

static size_t root_of(const struct sutra_graph *graph)
{
    return graph->entry >> 32 ? sutra_graph_upper_node(graph, (uint32_t)graph->entry)
                              : (uint32_t)graph->entry;
}

enum deaths { SCATTERED, NEAR, HIGH, MOST, DEATHS };

/* Some of the first `count` rows: a tenth at random; those nearest to a point; all upper nodes;
 * nine of ten. */
static void choose_dead(enum deaths deaths, const struct sutra_graph *graph, const float *rows,
                        size_t count, uint64_t *dead)
{
    memset(dead, 0, WORDS * sizeof *dead);
    const float *centre = rows + random_below(count) * DIM;
    for (size_t row = 0; row < count; row++) {
        const float *x = rows + row * DIM;
        if ((deaths == SCATTERED && random_below(10) == 0) ||
            (deaths == NEAR && best_kernels()->l2sq_f32(centre, x, DIM) < 6.0f) ||
            (deaths == MOST && random_below(10) != 0))
            set_row(dead, row);
    }
    for (size_t upper = 0; deaths == HIGH && upper < graph->upper_count; upper++)
        set_row(dead, sutra_graph_upper_node(graph, upper));
}

/* ---- sweeping */

static void what_is_left_is_sound(void)
{
    static uint64_t dead[WORDS];
    const size_t count = is_slow_place() ? 500 : 1500;
    for (enum shape shape = RANDOM; shape < SHAPES; shape++) {
        float *rows = make_shape(shape, count);
        for (enum deaths deaths = SCATTERED; deaths < DEATHS; deaths++) {
            struct sutra_graph graph;
            REQUIRE(start(&graph, 8));
            REQUIRE(add(&graph, rows, count, 2) == SUTRA_OK);
            choose_dead(deaths, &graph, rows, count, dead);
            if (bits(dead) == count) /* all in one place */
                dead[0] &= ~(uint64_t)1;
            CHECK_EQ(sweep(&graph, rows, dead, 2), SUTRA_OK);
            for (size_t row = 0; row < count; row++) {
                const uint32_t *list = sutra_graph_list(&graph, row);
                for (size_t s = 0; !sutra_graph_has_row(dead, row) && s < graph.slots; s++)
                    CHECK(list[s] == SUTRA_NO_NODE || !sutra_graph_has_row(dead, list[s]));
            }
            CHECK_EQ(sutra_graph_clear_nodes(&graph, dead), SUTRA_OK);
            const bool sound = is_sound_but(&graph, count, dead);
            if (!sound)
                (void)fprintf(stderr, "%s, deaths %d\n", shape_names[shape], (int)deaths);
            CHECK(sound);
            CHECK_EQ(graph.tree_count, count - bits(dead));
            CHECK_EQ(relink(&graph, rows, dead, 0, 2), SUTRA_OK);
            CHECK(is_sound(&graph, count));
            sutra_graph_deinit(&graph);
        }
        free(rows);
    }
}

static void verify_knows_the_vacant(void)
{
    static uint64_t dead[WORDS];
    struct sutra_fault fault;
    float *rows = make_shape(RANDOM, 600);
    struct sutra_graph graph;
    REQUIRE(start(&graph, 8));
    REQUIRE(add(&graph, rows, 600, 1) == SUTRA_OK);
    seed_random(3);
    choose_dead(SCATTERED, &graph, rows, 600, dead);
    REQUIRE(sweep(&graph, rows, dead, 1) == SUTRA_OK);
    CHECK_EQ(sutra_graph_verify(&graph, dead, &fault), SUTRA_E_GRAPH_REACH); /* not cleared */
    REQUIRE(sutra_graph_clear_nodes(&graph, dead) == SUTRA_OK);
    CHECK_EQ(sutra_graph_verify(&graph, dead, &fault), SUTRA_OK);
    CHECK_EQ(sutra_graph_verify(&graph, NULL, &fault), SUTRA_E_GRAPH_REACH);
    size_t live = 0, vacant = 0;
    while (sutra_graph_has_row(dead, live))
        live++;
    while (!sutra_graph_has_row(dead, vacant))
        vacant++;
    set_row(dead, live);
    CHECK_EQ(sutra_graph_verify(&graph, dead, &fault), SUTRA_E_GRAPH_REACH);
    CHECK_EQ(fault.row, live);
    dead[live / 64] ^= (uint64_t)1 << live % 64;
    uint32_t *list = sutra_graph_list(&graph, vacant);
    list[0] = (uint32_t)live;
    CHECK_EQ(sutra_graph_verify(&graph, dead, &fault), SUTRA_E_GRAPH_REACH);
    list[0] = SUTRA_NO_NODE;
    list = sutra_graph_list(&graph, live);
    const uint32_t before = list[0];
    list[0] = (uint32_t)vacant;
    CHECK_EQ(sutra_graph_verify(&graph, dead, &fault), SUTRA_E_GRAPH_REACH);
    list[0] = before;
    size_t upper = 0, other = 0;
    while (!sutra_graph_has_row(dead, sutra_graph_upper_node(&graph, upper)))
        upper++;
    while (sutra_graph_has_row(dead, sutra_graph_upper_node(&graph, other)))
        other++;
    list = sutra_graph_upper_list(&graph, other, 1);
    const uint32_t named = list[0];
    list[0] = (uint32_t)upper;
    CHECK_EQ(sutra_graph_verify(&graph, dead, &fault), SUTRA_E_GRAPH_REACH);
    list[0] = named;
    CHECK_EQ(sutra_graph_verify(&graph, dead, &fault), SUTRA_OK);
    sutra_graph_deinit(&graph);
    free(rows);
}

static void the_entry_moves_until_one_is_left(void)
{
    static uint64_t dead[WORDS];
    const size_t count = 300;
    float *rows = make_shape(RANDOM, count);
    struct sutra_graph graph;
    REQUIRE(start(&graph, 8));
    REQUIRE(add(&graph, rows, count, 1) == SUTRA_OK);
    memset(dead, 0, sizeof dead);
    for (size_t left = count - 1; left > 0; left--) {
        const size_t root = root_of(&graph);
        CHECK(!sutra_graph_has_row(dead, root));
        set_row(dead, root);
        CHECK_EQ(sweep_and_clear(&graph, rows, dead, 1), SUTRA_OK);
        CHECK(is_sound_but(&graph, count, dead));
        CHECK_EQ(graph.tree_count, left);
    }
    const uint64_t entry = graph.entry;
    set_row(dead, root_of(&graph));
    CHECK_EQ(sweep(&graph, rows, dead, 1), SUTRA_E_ARGUMENT);
    CHECK(graph.entry == entry);
    CHECK_EQ(sutra_graph_clear_nodes(&graph, dead), SUTRA_OK);
    CHECK(graph.entry == SUTRA_NO_ENTRY && is_sound_but(&graph, count, dead));

    /* A graph without a node is searched, loaded and filled like an empty one. */
    const struct sutra_space space = space_over(rows);
    const struct sutra_float_query walk = {rows, 1};
    struct sutra_scratch scratch;
    sutra_scratch_init(&scratch);
    REQUIRE(sutra_scratch_reserve(&scratch, count + 50, 10) == SUTRA_OK);
    sutra_graph_search(&graph, &space, &walk, 10, &scratch);
    CHECK_EQ(scratch.pool_count, 0);
    graph.parents_count = 0;
    float *more = make_shape(RANDOM, count + 50);
    CHECK_EQ(relink(&graph, more, NULL, 50, 2), SUTRA_OK);
    CHECK(is_sound_but(&graph, count + 50, dead));
    CHECK_EQ(relink(&graph, more, dead, 0, 2), SUTRA_OK);
    CHECK(is_sound(&graph, count + 50));
    sutra_scratch_deinit(&scratch);
    sutra_graph_deinit(&graph);
    free(more);
    free(rows);
}

/* ---- turnover */

static size_t found_of(const struct sutra_graph *graph, const float *rows, size_t count,
                       const uint64_t *vacant)
{
    enum { K = 10, QUERIES = 200 };
    const struct sutra_space space = space_over(rows);
    struct sutra_scratch scratch;
    size_t found = 0;
    sutra_scratch_init(&scratch);
    CHECK_EQ(sutra_scratch_reserve(&scratch, count, 20), SUTRA_OK);
    seed_random(71);
    float *queries = random_vectors(QUERIES, DIM);
    for (size_t q = 0; q < QUERIES; q++) {
        const struct sutra_float_query walk = {queries + q * DIM, 1};
        sutra_graph_search(graph, &space, &walk, 20, &scratch);
        for (size_t j = 0; j < K && j < scratch.pool_count; j++) {
            const float *x = rows + (size_t)sutra_pool_id(scratch.pool[j]) * DIM;
            const float distance = best_kernels()->l2sq_f32(walk.vector, x, DIM);
            size_t nearer = 0;
            for (size_t row = 0; row < count; row++)
                nearer += !sutra_graph_has_row(vacant, row) &&
                          best_kernels()->l2sq_f32(walk.vector, rows + row * DIM, DIM) < distance;
            found += nearer < K;
        }
    }
    free(queries);
    sutra_scratch_deinit(&scratch);
    return found;
}

/* A tenth dies and comes back with other points, some more besides, ten times over. */
static void turnover_keeps_recall(void)
{
    static uint64_t dead[WORDS];
    const size_t first = is_slow_place() ? 600 : 3000, rounds = 10;
    const size_t most = first + rounds * 20;
    for (enum deaths deaths = SCATTERED; deaths <= NEAR; deaths++) {
        float *rows = make_shape(RANDOM, most);
        struct sutra_graph graph, fresh;
        REQUIRE(start(&graph, 8) && start(&fresh, 8));
        REQUIRE(add(&graph, rows, first, 2) == SUTRA_OK);
        for (size_t round = 0; round < rounds; round++) {
            seed_random(31 + round);
            choose_dead(deaths, &graph, rows, graph.count, dead);
            CHECK_EQ(sweep_and_clear(&graph, rows, dead, 2), SUTRA_OK);
            CHECK(is_sound_but(&graph, graph.count, dead));
            for (size_t row = 0; row < graph.count; row++) {
                for (size_t j = 0; sutra_graph_has_row(dead, row) && j < DIM; j++)
                    rows[row * DIM + j] = random_normal();
            }
            const size_t upper_count = graph.upper_count;
            CHECK_EQ(relink(&graph, rows, dead, 0, 2), SUTRA_OK);
            CHECK_EQ(graph.upper_count, upper_count); /* they have theirs again */
            CHECK(is_sound(&graph, graph.count));
            CHECK_EQ(relink(&graph, rows, NULL, 20, 2), SUTRA_OK);
        }
        CHECK(is_sound(&graph, most));
        CHECK_EQ(add(&fresh, rows, most, 2), SUTRA_OK);
        const size_t turned = found_of(&graph, rows, most, NULL);
        const size_t built = found_of(&fresh, rows, most, NULL);
        if (turned + 30 < built) /* of 2000 */
            CHECK_EQ(turned, built);
        sutra_graph_deinit(&fresh);
        sutra_graph_deinit(&graph);
        free(rows);
    }
}

/* ---- linking into recycled rows */

static void link_refuses_other_rows(void)
{
    static uint64_t dead[WORDS];
    float *rows = make_shape(RANDOM, 210);
    const struct sutra_space space = space_over(rows);
    struct sutra_graph graph;
    REQUIRE(start(&graph, 8));
    REQUIRE(add(&graph, rows, 200, 1) == SUTRA_OK);
    memset(dead, 0, sizeof dead);
    set_row(dead, 7);
    const uint32_t one[] = {7};
    REQUIRE(sweep(&graph, rows, dead, 1) == SUTRA_OK);
    CHECK_EQ(sutra_graph_link(&graph, &space, one, 1, 1, NULL, NULL), SUTRA_E_ARGUMENT);
    REQUIRE(sutra_graph_clear_nodes(&graph, dead) == SUTRA_OK);
    static const uint32_t wrong[][3] = {
        {7, 8, 200}, {7, 7, 200}, {201, 7, 202}, {200, 200, 7}, {7, 200, 0xffffffff}};
    for (size_t j = 0; j < sizeof wrong / sizeof wrong[0]; j++) {
        CHECK_EQ(sutra_graph_link(&graph, &space, wrong[j], 3, 1, NULL, NULL), SUTRA_E_ARGUMENT);
        CHECK(is_sound_but(&graph, 200, dead));
    }
    static const uint32_t right[] = {201, 7, 200};
    CHECK_EQ(sutra_graph_link(&graph, &space, right, 3, 1, NULL, NULL), SUTRA_OK);
    CHECK(is_sound(&graph, 202));
    CHECK_EQ(sutra_graph_link(&graph, &space, one, 1, 1, NULL, NULL), SUTRA_E_ARGUMENT);
    sutra_graph_deinit(&graph);
    free(rows);
}

static void threads_do_not_matter(void)
{
    static uint64_t dead[WORDS];
    const size_t count = is_slow_place() ? 700 : 2000;
    for (enum shape shape = RANDOM; shape < SHAPES; shape++) {
        float *rows = make_shape(shape, count + 100);
        struct sutra_graph graphs[4]; /* for 1, 2, 4 threads; and loaded */
        for (unsigned t = 0; t < 4; t++) {
            REQUIRE(start(&graphs[t], 8));
            REQUIRE(add(&graphs[t], rows, count, 1) == SUTRA_OK);
            seed_random(9);
            choose_dead(SCATTERED, &graphs[t], rows, count, dead);
            if (t == 3)
                graphs[t].parents_count = 0;
            CHECK_EQ(sweep_and_clear(&graphs[t], rows, dead, 1u << t), SUTRA_OK);
        }
        /* A tree that was found again may keep other children. */
        CHECK(is_sound_but(&graphs[3], count, dead));
        CHECK(same_graphs(&graphs[0], &graphs[1]) && same_graphs(&graphs[0], &graphs[2]));
        for (unsigned t = 0; t < 3; t++)
            CHECK_EQ(relink(&graphs[t], rows, dead, 100, 1u << (2 - t)), SUTRA_OK);
        CHECK(same_graphs(&graphs[0], &graphs[1]) && same_graphs(&graphs[0], &graphs[2]));
        CHECK(is_sound(&graphs[0], count + 100));
        for (unsigned t = 0; t < 4; t++)
            sutra_graph_deinit(&graphs[t]);
        free(rows);
    }
}

/* ---- cancelling */

static int stop_at(void *context, size_t done, size_t total)
{
    size_t *left = context;
    CHECK(done <= total);
    return --*left == 0;
}

static void cancelled_links_leave_rows_vacant(void)
{
    static uint64_t dead[WORDS];
    static uint32_t list[2 * ROWS_MAX];
    const size_t count = 400, fresh = 60;
    for (enum shape shape = RANDOM; shape < SHAPES; shape++) {
        float *rows = make_shape(shape, count + fresh);
        const struct sutra_space space = space_over(rows);
        struct sutra_graph graph, twin;
        REQUIRE(start(&graph, 8) && start(&twin, 8));
        REQUIRE(add(&graph, rows, count, 1) == SUTRA_OK && add(&twin, rows, count, 1) == SUTRA_OK);
        seed_random(4);
        choose_dead(SCATTERED, &graph, rows, count, dead);
        set_row(dead, root_of(&graph)); /* to be raised again */
        REQUIRE(sweep_and_clear(&graph, rows, dead, 1) == SUTRA_OK);
        REQUIRE(sweep_and_clear(&twin, rows, dead, 1) == SUTRA_OK);
        const size_t added = list_rows(&graph, dead, fresh, list);
        int status = SUTRA_E_CANCELLED;
        for (size_t stop = 1; status == SUTRA_E_CANCELLED; stop++) {
            size_t left = stop;
            status = sutra_graph_link(&graph, &space, list, added, 2, stop_at, &left);
            if (status == SUTRA_E_CANCELLED) {
                CHECK(same_graphs(&graph, &twin));
                CHECK(is_sound_but(&graph, count, dead));
                CHECK_EQ(graph.tree_count, twin.tree_count);
            }
        }
        CHECK_EQ(status, SUTRA_OK);
        CHECK_EQ(sutra_graph_link(&twin, &space, list, added, 1, NULL, NULL), SUTRA_OK);
        CHECK(same_graphs(&graph, &twin) && is_sound(&graph, count + fresh));
        sutra_graph_deinit(&graph);
        sutra_graph_deinit(&twin);
        free(rows);
    }
}

/* ---- what a save needs to know */

/* Every list that differs from what was sealed is marked. */
static void changes_are_marked(void)
{
    static uint64_t dead[WORDS];
    const size_t count = 1500;
    float *rows = make_shape(RANDOM, count);
    struct sutra_graph graph, before;
    REQUIRE(start(&graph, 8) && start(&before, 8));
    REQUIRE(add(&graph, rows, count, 1) == SUTRA_OK && add(&before, rows, count, 1) == SUTRA_OK);
    REQUIRE(sutra_dirty_seal(&graph.links_dirty, count) == SUTRA_OK);
    REQUIRE(sutra_dirty_seal(&graph.upper_links_dirty, graph.list_count) == SUTRA_OK);
    for (int step = 0; step < 4; step++) {
        if (step == 0)
            seed_random(8), choose_dead(SCATTERED, &graph, rows, 300, dead);
        const int status = step == 1   ? sweep(&graph, rows, dead, 2)
                           : step == 2 ? sutra_graph_clear_nodes(&graph, dead)
                           : step == 3 ? relink(&graph, rows, dead, 0, 2)
                                       : SUTRA_OK;
        CHECK_EQ(status, SUTRA_OK);
        for (size_t row = 0; row < count; row++)
            CHECK(memcmp(sutra_graph_list(&graph, row), sutra_graph_list(&before, row),
                         graph.slots * sizeof(uint32_t)) == 0 ||
                  sutra_dirty_test(&graph.links_dirty, row));
        for (size_t list = 0; list < graph.list_count; list++)
            CHECK(memcmp(sutra_planes_row(&graph.upper_links, 0, list),
                         sutra_planes_row(&before.upper_links, 0, list),
                         graph.upper_slots * sizeof(uint32_t)) == 0 ||
                  sutra_dirty_test(&graph.upper_links_dirty, list));
        CHECK(graph.links_dirty.marked < count);
    }
    CHECK(graph.links_dirty.marked > 0);
    sutra_graph_deinit(&graph);
    sutra_graph_deinit(&before);
    free(rows);
}

/* ---- importing */

/* Rows without the dead ones, and their new numbers. */
static float *without(const float *rows, size_t count, const uint64_t *dead, uint32_t *map,
                      size_t *live_out)
{
    float *kept = malloc((count * DIM + 1) * sizeof *kept);
    size_t live = 0;
    for (size_t row = 0; kept && row < count; row++) {
        map[row] = SUTRA_NO_NODE;
        if (sutra_graph_has_row(dead, row))
            continue;
        memcpy(kept + live * DIM, rows + row * DIM, DIM * sizeof *kept);
        map[row] = (uint32_t)live++;
    }
    *live_out = live;
    return kept;
}

static void imports_are_sound(void)
{
    static uint64_t dead[WORDS];
    static uint32_t map[ROWS_MAX];
    const size_t count = is_slow_place() ? 500 : 1500;
    for (enum shape shape = RANDOM; shape < SHAPES; shape++) {
        float *rows = make_shape(shape, count);
        for (enum deaths deaths = SCATTERED; deaths < DEATHS; deaths++) {
            struct sutra_graph from, twin, graphs[3];
            REQUIRE(start(&from, 8) && start(&twin, 8));
            REQUIRE(add(&from, rows, count, 2) == SUTRA_OK);
            REQUIRE(add(&twin, rows, count, 2) == SUTRA_OK);
            choose_dead(deaths, &from, rows, count, dead);
            size_t live;
            float *kept = without(rows, count, dead, map, &live);
            const struct sutra_space space = space_over(kept);
            for (unsigned t = 0; t < 3; t++) {
                REQUIRE(start(&graphs[t], 8));
                CHECK_EQ(sutra_graph_import(&graphs[t], &space, &from, map, live, 1u << t),
                         SUTRA_OK);
            }
            CHECK(live == 0 ||
                  (same_graphs(&graphs[0], &graphs[1]) && same_graphs(&graphs[0], &graphs[2])));
            CHECK(is_sound(&graphs[0], live));
            CHECK(same_graphs(&from, &twin) && is_sound(&from, count));
            if (live > 20 && live < count) { /* and as any other graph it takes more */
                memset(dead, 0, sizeof dead);
                for (size_t row = 0; row < live; row += 3)
                    set_row(dead, row);
                CHECK_EQ(sweep_and_clear(&graphs[0], kept, dead, 2), SUTRA_OK);
                CHECK(is_sound_but(&graphs[0], live, dead));
                const size_t upper_count = graphs[0].upper_count;
                CHECK_EQ(relink(&graphs[0], kept, dead, 0, 2), SUTRA_OK);
                CHECK(is_sound(&graphs[0], live) && graphs[0].upper_count == upper_count);
            }
            for (unsigned t = 0; t < 3; t++)
                sutra_graph_deinit(&graphs[t]);
            sutra_graph_deinit(&from);
            sutra_graph_deinit(&twin);
            free(kept);
        }
        free(rows);
    }
}

/* From a graph with vacant rows, just loaded; and no loss of recall. */
static void imports_take_vacant_rows_out(void)
{
    static uint64_t dead[WORDS];
    static uint32_t map[ROWS_MAX];
    const size_t count = is_slow_place() ? 600 : 3000;
    float *rows = make_shape(RANDOM, count);
    struct sutra_graph from, graph, fresh;
    REQUIRE(start(&from, 8) && start(&graph, 8) && start(&fresh, 8));
    REQUIRE(add(&from, rows, count, 2) == SUTRA_OK);
    seed_random(12);
    choose_dead(SCATTERED, &from, rows, count, dead);
    REQUIRE(sweep_and_clear(&from, rows, dead, 2) == SUTRA_OK);
    for (size_t row = 0; row < count; row += 7)
        set_row(dead, row);
    size_t live;
    float *kept = without(rows, count, dead, map, &live);
    const struct sutra_space space = space_over(kept);
    from.parents_count = 0;
    CHECK_EQ(sutra_graph_import(&graph, &space, &from, map, live, 2), SUTRA_OK);
    CHECK(is_sound(&graph, live));
    CHECK_EQ(add(&fresh, kept, live, 2), SUTRA_OK);
    const size_t imported = found_of(&graph, kept, live, NULL);
    const size_t built = found_of(&fresh, kept, live, NULL);
    if (imported + 30 < built)
        CHECK_EQ(imported, built);

    struct sutra_graph other;
    REQUIRE(start(&other, 16));
    CHECK_EQ(sutra_graph_import(&other, &space, &from, map, live, 1), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_graph_import(&graph, &space, &from, map, live, 1), SUTRA_E_ARGUMENT);
    sutra_graph_deinit(&other);
    REQUIRE(start(&other, 8));
    CHECK_EQ(sutra_graph_import(&other, &space, &from, map, live - 1, 1), SUTRA_E_ARGUMENT);
    *sutra_graph_list(&from, root_of(&from)) = (uint32_t)count;
    CHECK_EQ(sutra_graph_import(&other, &space, &from, map, live, 1), SUTRA_E_GRAPH_ID);
    CHECK(other.count == 0 && other.upper_count == 0);
    sutra_graph_deinit(&other);
    sutra_graph_deinit(&from);
    sutra_graph_deinit(&graph);
    sutra_graph_deinit(&fresh);
    free(kept);
    free(rows);
}

/* ---- beside readers */

struct stage {
    struct sutra_graph graph;
    struct sutra_graph shown; /* to walks */
    float *rows;
    struct sutra_epochs epochs;
    pthread_rwlock_t front; /* of what is shown */
    size_t graces;          /* atomic */
    bool done;              /* atomic */
    size_t walks;           /* atomic */
};

static void wait_for_walks(void *context)
{
    struct stage *stage = context;
    sutra_epoch_drain(&stage->epochs);
    stage->graces++;
}

static void *walk_on(void *context)
{
    struct stage *stage = context;
    const struct sutra_space space = space_over(stage->rows);
    struct sutra_scratch scratch;
    float query[DIM] = {0};
    sutra_scratch_init(&scratch);
    CHECK_EQ(sutra_scratch_reserve(&scratch, ROWS_MAX, 40), SUTRA_OK);
    for (uint64_t state = 5; !__atomic_load_n(&stage->done, __ATOMIC_ACQUIRE);) {
        struct sutra_graph seen;
        for (size_t j = 0; j < DIM; j++) {
            state = sutra_mix64(state);
            query[j] = (float)(state & 0xffff) / 32768.0f - 1.0f;
        }
        const struct sutra_float_query walk = {query, 1};
        const unsigned slot = sutra_epoch_enter(&stage->epochs);
        (void)pthread_rwlock_rdlock(&stage->front);
        seen = stage->shown;
        (void)pthread_rwlock_unlock(&stage->front);
        sutra_graph_search(&seen, &space, &walk, 40, &scratch);
        sutra_epoch_leave(&stage->epochs, slot);
        CHECK(scratch.pool_count > 0);
        __atomic_fetch_add(&stage->walks, 1, __ATOMIC_RELAXED);
    }
    sutra_scratch_deinit(&scratch);
    return NULL;
}

static void publish(struct stage *stage)
{
    (void)pthread_rwlock_wrlock(&stage->front);
    stage->shown = stage->graph;
    (void)pthread_rwlock_unlock(&stage->front);
}

static void walks_go_on_meanwhile(void)
{
    enum { WALKERS = 2 };
    static uint64_t dead[WORDS];
    static struct stage stage;
    const size_t count = is_slow_place() ? 400 : 1500, rounds = 6;
    memset(&stage, 0, sizeof stage);
    stage.rows = make_shape(RANDOM, count);
    REQUIRE(start(&stage.graph, 8) && sutra_epochs_init(&stage.epochs) == SUTRA_OK);
    REQUIRE(pthread_rwlock_init(&stage.front, NULL) == 0);
    /* Planes do not grow here, so a reader's copy of them holds. */
    REQUIRE(add(&stage.graph, stage.rows, count, 2) == SUTRA_OK);
    stage.graph.grace = wait_for_walks;
    stage.graph.grace_context = &stage;
    publish(&stage);
    pthread_t walkers[WALKERS];
    for (size_t w = 0; w < WALKERS; w++)
        REQUIRE(pthread_create(&walkers[w], NULL, walk_on, &stage) == 0);
    for (size_t round = 0; round < rounds; round++) {
        seed_random(60 + round);
        choose_dead(SCATTERED, &stage.graph, stage.rows, count, dead);
        CHECK_EQ(sweep(&stage.graph, stage.rows, dead, 2), SUTRA_OK);
        publish(&stage);
        sutra_epoch_drain(&stage.epochs);
        CHECK_EQ(sutra_graph_clear_nodes(&stage.graph, dead), SUTRA_OK);
        for (size_t row = 0; row < count; row++) {
            for (size_t j = 0; sutra_graph_has_row(dead, row) && j < DIM; j++)
                stage.rows[row * DIM + j] = random_normal();
        }
        const size_t graces = stage.graces;
        CHECK_EQ(relink(&stage.graph, stage.rows, dead, 0, 2), SUTRA_OK);
        CHECK(stage.graces > graces);
        publish(&stage);
        CHECK(is_sound(&stage.graph, count));
    }
    while (__atomic_load_n(&stage.walks, __ATOMIC_RELAXED) < 20)
        (void)usleep(100);
    __atomic_store_n(&stage.done, true, __ATOMIC_RELEASE);
    for (size_t w = 0; w < WALKERS; w++)
        CHECK_EQ(pthread_join(walkers[w], NULL), 0);
    (void)pthread_rwlock_destroy(&stage.front);
    sutra_epochs_deinit(&stage.epochs);
    sutra_graph_deinit(&stage.graph);
    free(stage.rows);
}

CHECK_MAIN(CASE(what_is_left_is_sound), CASE(verify_knows_the_vacant),
           CASE(the_entry_moves_until_one_is_left), CASE(turnover_keeps_recall),
           CASE(link_refuses_other_rows), CASE(threads_do_not_matter),
           CASE(cancelled_links_leave_rows_vacant), CASE(changes_are_marked),
           CASE(imports_are_sound), CASE(imports_take_vacant_rows_out), CASE(walks_go_on_meanwhile))
