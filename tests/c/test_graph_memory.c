/* Allocations that fail, each in turn: a sweep, a link into recycled rows or an import that fails
 * for want of memory has changed nothing, and works when it is tried again.
 * SPDX-License-Identifier: Apache-2.0
 */
/* link: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=posix_memalign */
#include "graph_cases.h"

#if defined(__linux__)
#include <errno.h>

static size_t calls_left; /* until one is refused; 0: none is */

static bool refuses(void)
{
    return calls_left > 0 && --calls_left == 0;
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *block, size_t bytes);
int __real_posix_memalign(void **block_out, size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
int __wrap_posix_memalign(void **block_out, size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    return refuses() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return refuses() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *block, size_t bytes)
{
    return refuses() ? NULL : __real_realloc(block, bytes);
}

int __wrap_posix_memalign(void **block_out, size_t alignment, size_t bytes)
{
    return refuses() ? ENOMEM : __real_posix_memalign(block_out, alignment, bytes);
}

enum { COUNT = 400, FRESH = 40, STEPS = 3 };

struct scene {
    struct sutra_space space;
    uint64_t dead[COUNT / 64 + 1];
    uint32_t rows[COUNT + FRESH], map[COUNT];
    size_t row_count, live;
};

static void make_scene(struct scene *scene, const float *rows)
{
    memset(scene, 0, sizeof *scene);
    scene->space = space_over(rows);
    for (uint32_t row = 0; row < COUNT; row++) {
        const bool dies = row % 5 == 2;
        scene->dead[row / 64] |= (uint64_t)dies << row % 64;
        scene->map[row] = dies ? SUTRA_NO_NODE : (uint32_t)scene->live++;
        if (dies)
            scene->rows[scene->row_count++] = row;
    }
    for (uint32_t row = COUNT; row < COUNT + FRESH; row++)
        scene->rows[scene->row_count++] = row;
}

static int take_step(const struct scene *scene, int step, const struct sutra_graph *from,
                     struct sutra_graph *graph)
{
    switch (step) {
    case 0:
        return sutra_graph_sweep(graph, &scene->space, scene->dead, 1);
    case 1:
        return sutra_graph_link(graph, &scene->space, scene->rows, scene->row_count, 1, NULL, NULL);
    default:
        return sutra_graph_import(graph, &scene->space, from, scene->map, scene->live, 1);
    }
}

/* The graph a step begins with. Rows of the import are not those of the space, which is as well:
 * any vectors do. */
static bool set_scene(const struct scene *scene, int step, const float *rows,
                      struct sutra_graph *graph)
{
    if (!start(graph, 8))
        return false;
    int status = step < 2 ? add(graph, rows, COUNT, 1) : SUTRA_OK;
    if (step == 1 && status == SUTRA_OK)
        status = sutra_graph_sweep(graph, &scene->space, scene->dead, 1);
    if (step == 1 && status == SUTRA_OK)
        status = sutra_graph_clear_nodes(graph, scene->dead);
    sutra_graph_release_workers(graph);
    return status == SUTRA_OK;
}

static void a_refusal_changes_nothing(void)
{
    static struct scene scene;
    float *rows = make_shape(DUPLICATES, COUNT + FRESH);
    make_scene(&scene, rows);
    struct sutra_graph from;
    REQUIRE(start(&from, 8) && add(&from, rows, COUNT, 1) == SUTRA_OK);
    from.parents_count = 0; /* as after a load */
    for (int step = 0; step < STEPS; step++) {
        int status = SUTRA_E_NO_MEMORY;
        size_t refusals = 0;
        for (size_t at = 1; status == SUTRA_E_NO_MEMORY; at++) {
            struct sutra_graph graph, twin;
            REQUIRE(set_scene(&scene, step, rows, &graph));
            REQUIRE(set_scene(&scene, step, rows, &twin));
            if (at % 2 == 0)
                graph.parents_count = 0;
            calls_left = at;
            status = take_step(&scene, step, &from, &graph);
            if (calls_left > 0 && status == SUTRA_OK) {
                calls_left = 0;
            } else {
                CHECK_EQ(status, SUTRA_E_NO_MEMORY);
                refusals++;
                CHECK(graph.count == twin.count && graph.upper_count == twin.upper_count);
                CHECK(graph.count == 0 || same_graphs(&graph, &twin));
                CHECK_EQ(take_step(&scene, step, &from, &graph), SUTRA_OK);
            }
            if (step == 0)
                CHECK_EQ(sutra_graph_clear_nodes(&graph, scene.dead), SUTRA_OK);
            const size_t count = step == 0 ? COUNT : step == 1 ? COUNT + FRESH : scene.live;
            CHECK(is_sound_but(&graph, count, step == 0 ? scene.dead : NULL));
            sutra_graph_deinit(&graph);
            sutra_graph_deinit(&twin);
        }
        CHECK(refusals > 5);
    }
    sutra_graph_deinit(&from);
    free(rows);
}

CHECK_MAIN(CASE(a_refusal_changes_nothing))
#else
static void nothing_to_wrap(void)
{
    SKIP("the linker cannot wrap functions here");
}

CHECK_MAIN(CASE(nothing_to_wrap))
#endif
