/* The streamed index with everybody at work: a writer appends and ends rows, a linker links them,
 * readers search at whatever view was published last.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "stream_cases.h"

#include <pthread.h>

enum { READERS = 4 };

struct stage {
    struct sutra_index *index;
    struct model model;
    const struct stream_kind *kind;
    uint64_t view;    /* atomic: what readers may look at */
    size_t published; /* atomic: rows of the model born up to that view */
    bool done;        /* atomic: nothing more is written */
    bool quiet;       /* atomic: nothing more is linked */
    size_t searches;  /* atomic */
};

static void *write_rows(void *context)
{
    struct stage *stage = context;
    struct model *model = &stage->model;
    uint64_t state = 17, view = 0;
    while (model->count < model->room) {
        state = sutra_mix64(state);
        const size_t piece = 1 + (size_t)(state % 60), left = model->room - model->count;
        while (sutra_stream_pending(stage->index) > 600) /* the linker keeps up */
            (void)usleep(100);
        view++;
        append_rows(model, stage->index, piece < left ? piece : left, view);
        for (size_t j = state >> 8 & 15; j > 0; j--) {
            state = sutra_mix64(state);
            end_row(model, stage->index, (size_t)state % model->count, view + (state >> 60 & 1));
        }
        __atomic_store_n(&stage->published, model->count, __ATOMIC_RELEASE);
        __atomic_store_n(&stage->view, view, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&stage->done, true, __ATOMIC_RELEASE);
    return NULL;
}

static void *link_pending(void *context)
{
    struct stage *stage = context;
    for (bool done = false; !done || sutra_stream_pending(stage->index) > 0;) {
        done = __atomic_load_n(&stage->done, __ATOMIC_ACQUIRE);
        size_t linked = 0;
        CHECK_EQ(sutra_stream_link(stage->index, 500, 2, NULL, &linked), SUTRA_OK);
        if (linked == 0)
            (void)usleep(200);
    }
    __atomic_store_n(&stage->quiet, true, __ATOMIC_RELEASE);
    return NULL;
}

/* Rows that came later may be in the arrays of the model, but never in a result. */
static void check_visible(const struct stage *stage, const struct found *found, size_t k,
                          uint64_t view, size_t published)
{
    for (size_t j = 0; j < k && found->rows[j] >= 0; j++) {
        const size_t row = (size_t)found->rows[j];
        CHECK(row < published);
        if (row >= published)
            continue;
        CHECK(stage->model.births[row] <= view);
        CHECK_EQ(found->labels[j], stage->model.labels[row]);
        CHECK(j == 0 || found->distances[j] >= found->distances[j - 1]);
    }
}

static void *search_rows(void *context)
{
    struct stage *stage = context;
    struct sutra_index *index = stage->index;
    uint64_t state = (uint64_t)(uintptr_t)&state;
    for (bool quiet = false; !quiet;) {
        struct found found;
        quiet = __atomic_load_n(&stage->quiet, __ATOMIC_ACQUIRE);
        const uint64_t view = __atomic_load_n(&stage->view, __ATOMIC_ACQUIRE);
        const size_t published = __atomic_load_n(&stage->published, __ATOMIC_ACQUIRE);
        if (published == 0)
            continue;
        state = sutra_mix64(state);
        const size_t row = (size_t)(state % published);
        const float *vector = stage->model.vectors + row * DIM;
        const bool exact = state >> 40 & 1;
        /* A death is in the index before its view is published: rows that die later than this
         * view are visible throughout. */
        const bool visible = is_visible(&stage->model, row, view);
        CHECK_EQ(find(index, vector, 10, 40, exact, view, &found), SUTRA_OK);
        __atomic_fetch_add(&stage->searches, 1, __ATOMIC_RELAXED);
        /* `published` may be of a later view. */
        check_visible(stage, &found, 10, view, published);
        bool seen = false;
        for (size_t j = 0; j < 10; j++) {
            seen = seen || found.rows[j] == (int64_t)row;
            if (found.rows[j] >= 0)
                CHECK(view <
                      __atomic_load_n(&stage->model.deaths[found.rows[j]], __ATOMIC_RELAXED));
        }
        CHECK(visible || !seen);
        if (exact && visible)
            CHECK(seen);
        if (exact && visible && stage->kind->keep)
            CHECK_EQ(found.rows[0], row);
        float back[DIM];
        CHECK_EQ(sutra_stream_get(index, (uint32_t)row, back), SUTRA_OK);
        CHECK_EQ(sutra_stream_label(index, (uint32_t)row), stage->model.labels[row]);
        CHECK(sutra_stream_rows(index) >= published);
        CHECK(sutra_stream_pending(index) <= stage->model.room);
        CHECK(sutra_stream_dead(index) <= stage->model.room);
        if (state >> 50 & 1) {
            struct sutra_index_stats stats;
            CHECK_EQ(sutra_index_stats(index, &stats), SUTRA_OK);
        }
    }
    return NULL;
}

static bool was_fitted_anew(struct sutra_index *index)
{
    struct sutra_part parts[SUTRA_STREAM_PARTS];
    size_t count = 0;
    uint64_t version = 0;
    sutra_stream_parts(index, parts, &count);
    for (size_t p = 0; p < count; p++)
        version = parts[p].kind == SUTRA_SECTION_HIGH ? parts[p].version : version;
    return version >= 2;
}

static void everybody_works_at_once(void)
{
    static const struct stream_kind kinds[] = {{SUTRA_METRIC_COSINE, SUTRA_QUANT_U8, true, 0.95},
                                               {SUTRA_METRIC_L2, SUTRA_QUANT_U8, false, 0.9},
                                               {SUTRA_METRIC_L2, SUTRA_QUANT_U8, true, 0.9},
                                               {SUTRA_METRIC_L2, SUTRA_QUANT_NONE, true, 0.95}};
    const size_t room = is_slow_place() ? 6000 : 9000; /* fits anew at eight times 660 */
    for (size_t j = 0; j < sizeof kinds / sizeof kinds[0]; j++) {
        struct stage stage = {.kind = &kinds[j], .index = new_stream(&kinds[j])};
        pthread_t writer, linker, readers[READERS];
        seed_random(5);
        REQUIRE(stage.index != NULL && make_model(&stage.model, kinds[j].metric, room));
        REQUIRE(pthread_create(&writer, NULL, write_rows, &stage) == 0);
        REQUIRE(pthread_create(&linker, NULL, link_pending, &stage) == 0);
        for (int r = 0; r < READERS; r++)
            REQUIRE(pthread_create(&readers[r], NULL, search_rows, &stage) == 0);
        CHECK_EQ(pthread_join(writer, NULL), 0);
        CHECK_EQ(pthread_join(linker, NULL), 0);
        for (int r = 0; r < READERS; r++)
            CHECK_EQ(pthread_join(readers[r], NULL), 0);
        CHECK_EQ(sutra_stream_pending(stage.index), 0);
        CHECK(stage.searches > 100);
        CHECK(is_sound_stream(stage.index));
        CHECK(kinds[j].quantization == SUTRA_QUANT_NONE || was_fitted_anew(stage.index));
        size_t right = 0;
        for (size_t q = 0; q < 100; q++) {
            struct found found;
            CHECK_EQ(
                find(stage.index, stage.model.vectors + q * DIM, 10, 64, false, stage.view, &found),
                SUTRA_OK);
            CHECK_EQ(check_found(&stage.model, &found, 10, stage.view), 10);
            right +=
                count_right(&stage.model, stage.model.vectors + q * DIM, &found, 10, stage.view);
        }
        CHECK((double)right >= 1000 * kinds[j].recall - 20);
        sutra_index_free(stage.index);
        free_model(&stage.model);
    }
}

static void *link_some(void *context)
{
    struct stage *stage = context;
    CHECK_EQ(sutra_stream_link(stage->index, 64, 1, NULL, NULL), SUTRA_OK);
    __atomic_store_n(&stage->done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* Codes take the place of originals, and again at eight times as many rows, while the writer
 * appends row by row: none is lost on the way. */
static void no_row_is_lost_when_codes_are_made(void)
{
    enum { START = 600, MOST = 1200, AGAIN = 8 * (START + MOST) };
    for (size_t round = 0; round < (is_slow_place() ? 8 : 20); round++) {
        const struct stream_kind *kind = &stream_kinds[round % 4 == 3 ? 1 : 4];
        struct stage stage = {.kind = kind, .index = new_stream(kind)};
        struct model *model = &stage.model;
        seed_random(round);
        REQUIRE(stage.index != NULL && make_model(model, kind->metric, AGAIN + MOST));
        for (size_t start = START; start <= AGAIN; start += AGAIN - START) {
            pthread_t linker;
            append_rows(model, stage.index, start - model->count, 1);
            CHECK_EQ(sutra_stream_reserve(stage.index, MOST), SUTRA_OK);
            stage.done = false;
            REQUIRE(pthread_create(&linker, NULL, link_some, &stage) == 0);
            for (size_t j = 0; j < MOST && !__atomic_load_n(&stage.done, __ATOMIC_ACQUIRE); j++) {
                append_reserved(model, stage.index, 1, 1);
                if (j % 8 == 0) /* there are rows left when the linker is about to be done */
                    (void)usleep(is_slow_place() ? 400 : 1);
            }
            CHECK_EQ(pthread_join(linker, NULL), 0);
            for (size_t row = 0; row < model->count; row++) {
                float back[DIM];
                CHECK_EQ(sutra_stream_get(stage.index, (uint32_t)row, back), SUTRA_OK);
                CHECK(distance_between(SUTRA_METRIC_L2, back, model->vectors + row * DIM) <
                      0.04 * DIM);
            }
            CHECK(is_sound_stream(stage.index));
        }
        CHECK(was_fitted_anew(stage.index));
        sutra_index_free(stage.index);
        free_model(model);
    }
}

CHECK_MAIN(CASE(everybody_works_at_once), CASE(no_row_is_lost_when_codes_are_made))
