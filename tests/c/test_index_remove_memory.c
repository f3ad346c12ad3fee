/* Allocations that fail, each in turn, beside removed vectors: what was refused has changed nothing
 * that is seen, and works when it is tried again.
 * SPDX-License-Identifier: Apache-2.0
 */
/* link: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=posix_memalign */
#include "index/parts.h"

#include "stream_cases.h"

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

enum { COUNT = 560, GONE = 80, MORE = 100, OWN = 5000 };
enum step { ADD, REPLACE, REMOVE, REMOVE_ALL, COMPACT, SAVE, STEPS };

struct scene {
    struct sutra_index *index;
    const float *vectors; /* random_vectors, of COUNT + MORE */
    bool mapped;
};

static const struct stream_kind kind = {SUTRA_METRIC_L2, SUTRA_QUANT_U8, true, 0};

/* A file with COUNT linked vectors. */
static bool make_file(const float *vectors, char *path, size_t room)
{
    const struct sutra_index_options options = stream_options(&kind);
    struct sutra_index *index = NULL;
    struct sutra_fault fault;
    (void)path_in_folder(path, room, "scene");
    int status = sutra_index_new(best_kernels(), &options, &index, &fault);
    if (status == SUTRA_OK)
        status = sutra_index_add(index, vectors, DIM, COUNT, NULL, NULL, 1, NULL, NULL, &fault);
    if (status == SUTRA_OK)
        status = sutra_index_save(index, path);
    sutra_index_free(index);
    return status == SUTRA_OK;
}

/* Of its vectors the first GONE are removed, and their rows vacant. */
static bool set_scene(struct scene *scene, const char *path)
{
    const int resident = scene->mapped ? SUTRA_RESIDENT_MAPPED : SUTRA_RESIDENT_ARENA;
    struct sutra_fault fault;
    int64_t gone[GONE];
    size_t removed;
    for (int64_t id = 0; id < GONE; id++)
        gone[id] = id;
    return sutra_index_open(best_kernels(), path, resident, &scene->index, &fault) == SUTRA_OK &&
           sutra_index_delete(scene->index, gone, GONE, 1, &removed) == SUTRA_OK &&
           scene->index->now.vacant_count == GONE;
}

static int take_step(const struct scene *scene, enum step step)
{
    struct sutra_index *index = scene->index;
    struct sutra_fault fault;
    int64_t ids[COUNT];
    size_t removed;
    char path[300];
    for (size_t j = 0; j < COUNT; j++)
        ids[j] = (int64_t)j + (step == ADD ? OWN : step == REMOVE_ALL ? 0 : GONE);
    switch (step) {
    case ADD:
        return sutra_index_add(index, scene->vectors + COUNT * DIM, DIM, MORE, ids, NULL, 1, NULL,
                               NULL, &fault);
    case REPLACE:
        return sutra_index_upsert(index, scene->vectors + COUNT * DIM, DIM, MORE, ids, NULL, 1,
                                  NULL, NULL, &fault);
    case REMOVE:
        return sutra_index_delete(index, ids, MORE, 1, &removed);
    case REMOVE_ALL:
        return sutra_index_delete(index, ids, COUNT, 1, &removed);
    case COMPACT:
        return sutra_index_compact(index, 1);
    default:
        (void)path_in_folder(path, sizeof path, "saved");
        return sutra_index_save(index, path);
    }
}

static size_t alive(const struct scene *scene)
{
    return sutra_front_alive(scene->index->front);
}

/* What readers find: of the ids in use, how many, and how many have the vectors they began with. */
static size_t unchanged(const struct scene *scene)
{
    size_t same = 0;
    for (int64_t id = GONE; id < COUNT; id++) {
        float back[DIM];
        same += sutra_index_get(scene->index, id, back) == SUTRA_OK &&
                memcmp(back, scene->vectors + id * DIM, sizeof back) == 0;
    }
    return same;
}

static bool is_overwritten(const struct scene *scene)
{
    static const uint8_t zeros[1024];
    const struct sutra_front *now = &scene->index->now;
    for (size_t row = 0; row < now->count; row++) {
        if (sutra_front_is_dead(now, row) &&
            memcmp(sutra_front_original(now, row), zeros, DIM * sizeof(float)) != 0)
            return false;
    }
    return true;
}

static void expect_done(const struct scene *scene, enum step step)
{
    static const size_t left[STEPS] = {[ADD] = COUNT - GONE + MORE,
                                       [REPLACE] = COUNT - GONE,
                                       [REMOVE] = COUNT - GONE - MORE,
                                       [COMPACT] = COUNT - GONE,
                                       [SAVE] = COUNT - GONE};
    static const size_t same[STEPS] = {[ADD] = COUNT - GONE,
                                       [REPLACE] = COUNT - GONE - MORE,
                                       [REMOVE] = COUNT - GONE - MORE,
                                       [COMPACT] = COUNT - GONE,
                                       [SAVE] = COUNT - GONE};
    struct sutra_fault fault;
    CHECK_EQ(alive(scene), left[step]);
    CHECK_EQ(unchanged(scene), same[step]);
    CHECK_EQ(sutra_index_verify(scene->index, true, &fault), SUTRA_OK);
}

static void every_allocation_may_fail(void)
{
    struct scene scene = {0};
    char path[300];
    seed_random(1);
    float *vectors = random_vectors(COUNT + MORE, DIM);
    REQUIRE(vectors != NULL && make_file(vectors, path, sizeof path));
    scene.vectors = vectors;
    for (unsigned way = 0; way < 2 * STEPS; way++) {
        const enum step step = way / 2;
        const bool secure = way & 1;
        size_t refusals = 0;
        bool refused = true;
        for (size_t at = 1; refused; at++) {
            scene.mapped = at & 1;
            REQUIRE(set_scene(&scene, path));
            CHECK_EQ(sutra_index_set_secure_delete(scene.index, secure), SUTRA_OK);
            calls_left = at;
            const int status = take_step(&scene, step);
            refused = calls_left == 0;
            calls_left = 0;
            refusals += status != SUTRA_OK;
            if (status != SUTRA_OK) {
                struct sutra_fault fault;
                CHECK_EQ(status, SUTRA_E_NO_MEMORY);
                /* With secure deletion it may be done, but for overwriting. */
                CHECK(unchanged(&scene) == COUNT - GONE || secure);
                CHECK_EQ(sutra_index_verify(scene.index, true, &fault), SUTRA_OK);
                CHECK_EQ(take_step(&scene, step), SUTRA_OK);
            }
            expect_done(&scene, step);
            if (secure && (step == REMOVE || step == REMOVE_ALL || step == REPLACE))
                CHECK(is_overwritten(&scene));
            sutra_index_free(scene.index);
        }
        CHECK(refusals > 1);
    }
    free(vectors);
}

CHECK_MAIN(CASE(every_allocation_may_fail))
#else
static void nothing_to_wrap(void)
{
    SKIP("the linker cannot wrap functions here");
}

CHECK_MAIN(CASE(nothing_to_wrap))
#endif
