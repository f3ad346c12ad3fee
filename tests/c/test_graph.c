/* The graph room: what a build leaves is sound whatever the data, the same for any number of
 * threads, and untouched by a build that was cancelled; verify finds every violation; a search
 * bears any list.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "graph_cases.h"

/* ---- building */

static void options_are_checked(void)
{
    static const uint32_t wrong[] = {0, 1, 7, 12, 33, 40, 0xffffffff};
    for (size_t j = 0; j < sizeof wrong / sizeof wrong[0]; j++) {
        struct sutra_graph graph;
        const struct sutra_graph_options options = {wrong[j], 40, 3, SUTRA_HUGE_NEVER};
        CHECK_EQ(sutra_graph_init(&graph, &options), SUTRA_E_CONFIG);
        sutra_graph_deinit(&graph);
    }
}

static void every_build_is_sound(void)
{
    static const size_t counts[] = {1, 2, 3, 17, 600, 5000};
    const size_t most = is_slow_place() ? 5 : 6;
    for (enum shape shape = RANDOM; shape < SHAPES; shape++) {
        float *rows = make_shape(shape, 5000);
        for (uint32_t m = 8; m <= 32; m += 8) {
            for (size_t c = 0; c < (m == 16 ? most : 5); c++) {
                struct sutra_graph graph;
                REQUIRE(start(&graph, m));
                CHECK_EQ(add(&graph, rows, counts[c], 2), SUTRA_OK);
                const bool sound = is_sound(&graph, counts[c]);
                if (!sound)
                    (void)fprintf(stderr, "%s, m %u\n", shape_names[shape], m);
                CHECK(sound);
                sutra_graph_deinit(&graph);
            }
        }
        free(rows);
    }
}

static void pieces_are_as_sound_as_the_whole(void)
{
    for (enum shape shape = RANDOM; shape < SHAPES; shape++) {
        float *rows = make_shape(shape, 700);
        struct sutra_graph graph;
        REQUIRE(start(&graph, 8));
        CHECK_EQ(add(&graph, rows, 0, 1), SUTRA_OK);
        for (size_t count = 0, piece = 1; count < 700; count += piece, piece = piece % 97 * 3 + 1) {
            piece = piece < 700 - count ? piece : 700 - count;
            CHECK_EQ(add(&graph, rows, piece, 1 + (unsigned)(count % 3)), SUTRA_OK);
            CHECK(is_sound(&graph, count + piece));
        }
        sutra_graph_deinit(&graph);
        free(rows);
    }
}

static void threads_do_not_matter(void)
{
    const size_t count = is_slow_place() ? 900 : 3000;
    for (enum shape shape = RANDOM; shape < SHAPES; shape++) {
        float *rows = make_shape(shape, count + 300);
        struct sutra_graph graphs[3];
        for (unsigned t = 0; t < 3; t++) {
            REQUIRE(start(&graphs[t], 8));
            CHECK_EQ(add(&graphs[t], rows, count, 1u << t), SUTRA_OK);
            CHECK_EQ(add(&graphs[t], rows, 300, 1u << (2 - t)), SUTRA_OK);
        }
        CHECK(same_graphs(&graphs[0], &graphs[1]));
        CHECK(same_graphs(&graphs[0], &graphs[2]));
        for (unsigned t = 0; t < 3; t++)
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

/* Cancel after every batch in turn: the old nodes stay reachable and what they were. */
static void cancelled_builds_leave_the_old_graph(void)
{
    const size_t before = 150, added = 450;
    for (enum shape shape = RANDOM; shape < SHAPES; shape++) {
        float *rows = make_shape(shape, before + added);
        const struct sutra_space space = space_over(rows);
        for (size_t old = 0; old <= before; old += before) {
            int status = SUTRA_E_CANCELLED;
            for (size_t stop = 1; status == SUTRA_E_CANCELLED; stop += 1 + stop / 8) {
                struct sutra_graph graph;
                REQUIRE(start(&graph, 8));
                REQUIRE(add(&graph, rows, old, 1) == SUTRA_OK);
                const uint64_t entry = graph.entry;
                const size_t upper_count = graph.upper_count;
                size_t left = stop;
                status = sutra_graph_add(&graph, &space, added, 2, stop_at, &left);
                if (status == SUTRA_E_CANCELLED) {
                    CHECK(graph.entry == entry && graph.upper_count == upper_count);
                    if (!is_sound(&graph, old))
                        (void)fprintf(stderr, "%s, %zu old, stop %zu\n", shape_names[shape], old,
                                      stop);
                    CHECK(is_sound(&graph, old));
                    left = 2;
                    CHECK_EQ(sutra_graph_add(&graph, &space, added, 1, stop_at, &left),
                             SUTRA_E_CANCELLED);
                    CHECK(is_sound(&graph, old));
                    CHECK_EQ(add(&graph, rows, added, 1), SUTRA_OK);
                }
                CHECK(is_sound(&graph, old + added));
                sutra_graph_deinit(&graph);
                if (atomic_load(&check_failures) > 8)
                    break;
            }
        }
        free(rows);
    }
}

/* ---- verify */

static int verdict(const struct sutra_graph *graph)
{
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    const int status = sutra_graph_verify(graph, NULL, &fault);
    CHECK(status == SUTRA_OK || (fault.row >= 0 && fault.what != NULL));
    return status;
}

/* A node with at least three neighbours, from `from` on. */
static uint32_t node_with_neighbours(const struct sutra_graph *graph, uint32_t from)
{
    while (sutra_graph_list(graph, from)[2] == SUTRA_NO_NODE)
        from++;
    return from;
}

/* Set a word, see the verdict, put it back. */
static void plant(const struct sutra_graph *graph, uint32_t *word, uint32_t value, int expected)
{
    const uint32_t before = *word;
    *word = value;
    CHECK_EQ(verdict(graph), expected);
    *word = before;
    CHECK_EQ(verdict(graph), SUTRA_OK);
}

static void verify_finds_bad_base_lists(void)
{
    float *rows = make_shape(RANDOM, 600);
    struct sutra_graph graph;
    REQUIRE(start(&graph, 8));
    REQUIRE(add(&graph, rows, 600, 1) == SUTRA_OK);
    const uint32_t node = node_with_neighbours(&graph, 5);
    uint32_t *list = sutra_graph_list(&graph, node);
    plant(&graph, list, 600, SUTRA_E_GRAPH_ID);
    plant(&graph, list + 1, 0xfffffffe, SUTRA_E_GRAPH_ID);
    plant(&graph, list, node, SUTRA_E_GRAPH_SELF);
    plant(&graph, list, list[2], SUTRA_E_GRAPH_SUFFIX);
    plant(&graph, list, SUTRA_NO_NODE, SUTRA_E_GRAPH_SUFFIX);
    plant(&graph, list + 1, SUTRA_NO_NODE, SUTRA_E_GRAPH_SUFFIX);

    /* Nobody names node 77 any more. */
    for (uint32_t from = 0; from < 600; from++) {
        uint32_t ids[SUTRA_NODE_SLOTS_MAX];
        size_t kept = 0;
        for (size_t s = 0; s < graph.slots; s++) {
            const uint32_t id = sutra_graph_list(&graph, from)[s];
            if (id != 77 && id != SUTRA_NO_NODE)
                ids[kept++] = id;
        }
        sutra_node_store(sutra_graph_list(&graph, from), graph.slots, ids, kept);
    }
    CHECK_EQ(verdict(&graph), SUTRA_E_GRAPH_REACH);
    CHECK_EQ(sutra_graph_check_tables(&graph, &(struct sutra_fault){0}), SUTRA_OK);
    sutra_graph_deinit(&graph);
    free(rows);
}

static void verify_finds_bad_upper_tables(void)
{
    float *rows = make_shape(RANDOM, 2000);
    struct sutra_graph graph;
    REQUIRE(start(&graph, 8));
    REQUIRE(add(&graph, rows, 2000, 1) == SUTRA_OK);
    REQUIRE(graph.upper_count > 20 && graph.entry >> 32 > 1);
    plant(&graph, sutra_planes_row(&graph.upper, SUTRA_UPPER_NODE, 4), 2000, SUTRA_E_GRAPH_ID);
    plant(&graph, sutra_planes_row(&graph.upper, SUTRA_UPPER_FIRST_LIST, 4), 0,
          SUTRA_E_GRAPH_LEVEL);
    uint8_t *level = sutra_planes_row(&graph.upper, SUTRA_UPPER_LEVEL, 3);
    const uint8_t before = *level;
    static const uint8_t levels[] = {0, 32, 255};
    for (size_t j = 0; j < sizeof levels; j++) {
        *level = levels[j];
        CHECK_EQ(verdict(&graph), SUTRA_E_GRAPH_LEVEL);
    }
    *level = (uint8_t)(before + 1);
    CHECK_EQ(verdict(&graph), SUTRA_E_GRAPH_LEVEL);
    *level = before;

    const uint64_t entry = graph.entry, top = entry >> 32 << 32;
    const uint64_t entries[] = {2000,
                                top,
                                top | graph.upper_count,
                                top | 0xffffffff,
                                entry + ((uint64_t)1 << 32),
                                entry - ((uint64_t)1 << 32),
                                UINT64_MAX - 1};
    for (size_t j = 0; j < sizeof entries / sizeof entries[0]; j++) {
        graph.entry = entries[j];
        if (entries[j] != entry &&
            (entries[j] != top || sutra_graph_upper_level(&graph, 0) != (unsigned)(top >> 32)))
            CHECK_EQ(verdict(&graph), SUTRA_E_GRAPH_LEVEL);
    }
    graph.entry = 5; /* any base node will do */
    CHECK_EQ(verdict(&graph), SUTRA_OK);
    graph.entry = SUTRA_NO_ENTRY; /* but some node must be reached */
    CHECK_EQ(verdict(&graph), SUTRA_E_GRAPH_REACH);
    graph.entry = entry;
    graph.list_count++;
    CHECK_EQ(verdict(&graph), SUTRA_E_GRAPH_LEVEL);
    graph.list_count--;

    uint32_t high = 0, low = 0; /* upper nodes above and on level 1 */
    while (sutra_graph_upper_level(&graph, high) < 2)
        high++;
    while (sutra_graph_upper_level(&graph, low) > 1 || low == high)
        low++;
    uint32_t *list = sutra_graph_upper_list(&graph, high, 2);
    plant(&graph, list, low, SUTRA_E_GRAPH_LEVEL);
    list = sutra_graph_upper_list(&graph, high, 1);
    plant(&graph, list, high, SUTRA_E_GRAPH_SELF);
    plant(&graph, list, (uint32_t)graph.upper_count, SUTRA_E_GRAPH_ID);
    CHECK(list[1] != SUTRA_NO_NODE);
    plant(&graph, list, list[1], SUTRA_E_GRAPH_SUFFIX);
    plant(&graph, list, SUTRA_NO_NODE, SUTRA_E_GRAPH_SUFFIX);
    CHECK_EQ(verdict(&graph), SUTRA_OK);
    sutra_graph_deinit(&graph);
    free(rows);
}

/* ---- searching */

static size_t brute_force_nearest(const float *rows, size_t count, const float *query)
{
    float distance, best = INFINITY;
    size_t nearest = 0;
    for (size_t row = 0; row < count; row++) {
        distance = best_kernels()->l2sq_f32(query, rows + row * DIM, DIM);
        if (distance < best) {
            best = distance;
            nearest = row;
        }
    }
    return nearest;
}

static void searches_find_the_nearest(void)
{
    const size_t count = is_slow_place() ? 1000 : 4000;
    for (enum shape shape = RANDOM; shape < SHAPES; shape++) {
        float *rows = make_shape(shape, count);
        const struct sutra_space space = space_over(rows);
        struct sutra_graph graph;
        struct sutra_scratch scratch;
        REQUIRE(start(&graph, 16));
        REQUIRE(add(&graph, rows, count, 2) == SUTRA_OK);
        sutra_scratch_init(&scratch);
        REQUIRE(sutra_scratch_reserve(&scratch, count, 64) == SUTRA_OK);
        size_t right = 0;
        seed_random(99);
        for (size_t q = 0; q < 200; q++) {
            float query[DIM];
            const float *near = rows + random_below(count) * DIM;
            for (size_t j = 0; j < DIM; j++)
                query[j] = near[j] + 0.001f * random_normal();
            const struct sutra_float_query walk = {query, 1};
            sutra_graph_search(&graph, &space, &walk, 64, &scratch);
            REQUIRE(scratch.pool_count > 0 && scratch.pool_count <= 64);
            const size_t nearest = brute_force_nearest(rows, count, query);
            const float best = best_kernels()->l2sq_f32(query, rows + nearest * DIM, DIM);
            right += sutra_pool_key(scratch.pool[0]) <= best * 1.0001f;
            for (size_t j = 1; j < scratch.pool_count; j++)
                CHECK(scratch.pool[j] >> 1 > scratch.pool[j - 1] >> 1);
        }
        if (right < 185)
            CHECK_EQ(right, 200 + (size_t)shape);
        sutra_scratch_deinit(&scratch);
        sutra_graph_deinit(&graph);
        free(rows);
    }
}

static void nodes_beyond_the_limit_are_not_entered(void)
{
    float *rows = make_shape(RANDOM, 600);
    const struct sutra_space space = space_over(rows);
    struct sutra_graph graph, empty;
    struct sutra_scratch scratch;
    REQUIRE(start(&graph, 8) && start(&empty, 8));
    sutra_scratch_init(&scratch);
    REQUIRE(sutra_scratch_reserve(&scratch, 0, 10) == SUTRA_OK);
    const struct sutra_float_query walk = {rows, 1};
    sutra_graph_search(&empty, &space, &walk, 10, &scratch);
    CHECK_EQ(scratch.pool_count, 0);
    REQUIRE(add(&graph, rows, 600, 1) == SUTRA_OK);
    for (size_t ef = 1; ef <= 600; ef = ef * 3 + 1) {
        REQUIRE(sutra_scratch_reserve(&scratch, 600, ef) == SUTRA_OK);
        for (int repeat = 0; repeat<300; repeat += ef> 50 ? 50 : 1) { /* past the epoch's wrap */
            sutra_graph_search(&graph, &space, &walk, ef, &scratch);
            CHECK(sutra_pool_id(scratch.pool[0]) == 0 && scratch.pool_count <= ef);
        }
    }
    sutra_scratch_deinit(&scratch);
    sutra_graph_deinit(&graph);
    sutra_graph_deinit(&empty);
    free(rows);
}

/* Any bits in any list: no read out of bounds, no endless walk, no node twice. */
static void hostile_lists_are_harmless(void)
{
    const size_t count = 1500;
    float *rows = make_shape(RANDOM, count);
    const struct sutra_space space = space_over(rows);
    struct sutra_graph graph;
    struct sutra_scratch scratch;
    REQUIRE(start(&graph, 8));
    REQUIRE(add(&graph, rows, count, 1) == SUTRA_OK);
    sutra_scratch_init(&scratch);
    REQUIRE(sutra_scratch_reserve(&scratch, count, 80) == SUTRA_OK);
    uint32_t *base = sutra_graph_list(&graph, 0), *upper = sutra_graph_upper_list(&graph, 0, 1);
    const size_t base_words = count * graph.slots;
    const size_t upper_words = graph.list_count * graph.upper_slots;
    seed_random(5);
    for (int round = 0; round < 300; round++) {
        for (size_t w = 0; w < base_words + upper_words; w += 1 + random_below(8)) {
            uint32_t *word = w < base_words ? base + w : upper + (w - base_words);
            switch (random_below(4)) {
            case 0:
                *word = (uint32_t)random_u64();
                break;
            case 1:
                *word = SUTRA_NO_NODE;
                break;
            default:
                *word = (uint32_t)random_below(w < base_words ? count + 2 : graph.upper_count + 2);
            }
        }
        const struct sutra_float_query walk = {rows + random_below(count) * DIM, 1};
        sutra_graph_search(&graph, &space, &walk, 1 + random_below(80), &scratch);
        CHECK(scratch.pool_count > 0 && scratch.hops <= count);
        for (size_t j = 0; j < scratch.pool_count; j++)
            CHECK(sutra_pool_id(scratch.pool[j]) < count);
        for (size_t j = 1; j < scratch.pool_count; j++)
            CHECK(scratch.pool[j] >> 1 > scratch.pool[j - 1] >> 1);
    }
    /* Building relies on every id: it refuses such a graph once it is not its own. */
    graph.parents_count = 0;
    graph.count = count - 1;
    CHECK(add(&graph, rows, 1, 1) != SUTRA_OK);
    CHECK_EQ(graph.count, count - 1);
    sutra_scratch_deinit(&scratch);
    sutra_graph_deinit(&graph);
    free(rows);
}

CHECK_MAIN(CASE(options_are_checked), CASE(every_build_is_sound),
           CASE(pieces_are_as_sound_as_the_whole), CASE(threads_do_not_matter),
           CASE(cancelled_builds_leave_the_old_graph), CASE(verify_finds_bad_base_lists),
           CASE(verify_finds_bad_upper_tables), CASE(searches_find_the_nearest),
           CASE(nodes_beyond_the_limit_are_not_entered), CASE(hostile_lists_are_harmless))
