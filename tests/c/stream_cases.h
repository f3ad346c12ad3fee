/* What the tests of the streamed index share: a model of rows with lifetimes, and a store in memory
 * for parts.
 *
 * The model keeps every vector with its birth, death and label, and answers a query by looking at
 * all of them in double. Its arrays never move, so readers may look at what was published to them.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_STREAM_CASES_H
#define SUTRA_TESTS_STREAM_CASES_H

#include "index_cases.h"

#include <fcntl.h>

#include "index/format.h"
#include "index/stream.h"
#include "io/mapping.h"

enum { DIM = 16 };

struct stream_kind {
    int metric, quantization;
    bool keep;
    double recall; /* of ten, at ef 64 */
};

static const struct stream_kind stream_kinds[] = {
    {SUTRA_METRIC_COSINE, SUTRA_QUANT_U8, true, 0.95},
    {SUTRA_METRIC_L2, SUTRA_QUANT_U8, true, 0.95},
    {SUTRA_METRIC_IP, SUTRA_QUANT_U8, true, 0.8},
    {SUTRA_METRIC_COSINE, SUTRA_QUANT_U8, false, 0.9},
    {SUTRA_METRIC_L2, SUTRA_QUANT_U8, false, 0.9},
    {SUTRA_METRIC_IP, SUTRA_QUANT_U8, false, 0.75},
    {SUTRA_METRIC_COSINE, SUTRA_QUANT_U4, true, 0.95},
    {SUTRA_METRIC_L2, SUTRA_QUANT_U4, false, 0.6},
    {SUTRA_METRIC_IP, SUTRA_QUANT_U4, false, 0.5},
    {SUTRA_METRIC_COSINE, SUTRA_QUANT_NONE, true, 0.95},
    {SUTRA_METRIC_L2, SUTRA_QUANT_NONE, true, 0.95},
    {SUTRA_METRIC_IP, SUTRA_QUANT_NONE, true, 0.8},
};
enum { STREAM_KINDS = sizeof stream_kinds / sizeof stream_kinds[0] };

static inline struct sutra_index_options stream_options(const struct stream_kind *kind)
{
    return (struct sutra_index_options){DIM, kind->metric, 8, 40, kind->quantization, kind->keep,
                                        4};
}

static inline struct sutra_index *new_stream(const struct stream_kind *kind)
{
    const struct sutra_index_options options = stream_options(kind);
    struct sutra_index *index = NULL;
    struct sutra_fault fault;
    CHECK_EQ(sutra_stream_new(best_kernels(), &options, &index, &fault), SUTRA_OK);
    return index;
}

static inline bool is_sound_stream(struct sutra_index *index)
{
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    const int status = sutra_stream_verify(index, true, &fault);
    if (status != SUTRA_OK)
        (void)fprintf(stderr, "status %d, row %lld, %s\n", status, (long long)fault.row,
                      fault.what ? fault.what : "");
    return status == SUTRA_OK;
}

/* ---- model */

struct model {
    int metric;
    float *vectors;            /* random_vectors */
    uint64_t *births, *deaths; /* deaths atomic */
    int64_t *labels;
    size_t count, room;
};

static inline bool make_model(struct model *model, int metric, size_t room)
{
    *model = (struct model){.metric = metric, .room = room};
    model->vectors = random_vectors(room, DIM);
    model->births = calloc(room, sizeof *model->births);
    model->deaths = calloc(room, sizeof *model->deaths);
    model->labels = calloc(room, sizeof *model->labels);
    return model->vectors && model->births && model->deaths && model->labels;
}

static inline void free_model(struct model *model)
{
    free(model->vectors);
    free(model->births);
    free(model->deaths);
    free(model->labels);
}

/* Append the model's next `count` vectors to both; there is room. Labels repeat. */
static inline void append_reserved(struct model *model, struct sutra_index *index, size_t count,
                                   uint64_t birth)
{
    uint32_t first = 0;
    const size_t from = model->count;
    for (size_t row = from; row < from + count; row++) {
        model->births[row] = birth;
        model->labels[row] = (int64_t)(row * 7 % 1001) - 3;
        __atomic_store_n(&model->deaths[row], SUTRA_ROW_ALIVE, __ATOMIC_RELAXED);
    }
    sutra_stream_append(index, model->vectors + from * DIM, DIM, count, model->labels + from, birth,
                        &first);
    CHECK_EQ(first, from);
    model->count += count;
}

static inline void append_rows(struct model *model, struct sutra_index *index, size_t count,
                               uint64_t birth)
{
    CHECK_EQ(sutra_stream_reserve(index, count), SUTRA_OK);
    append_reserved(model, index, count, birth);
}

static inline void end_row(struct model *model, struct sutra_index *index, size_t row,
                           uint64_t death)
{
    if (model->deaths[row] == SUTRA_ROW_ALIVE)
        __atomic_store_n(&model->deaths[row], death, __ATOMIC_RELAXED);
    sutra_stream_end_row(index, (uint32_t)row, death);
}

static inline bool is_visible(const struct model *model, size_t row, uint64_t view)
{
    return model->births[row] <= view &&
           view < __atomic_load_n(&model->deaths[row], __ATOMIC_RELAXED);
}

static inline size_t count_visible(const struct model *model, uint64_t view)
{
    size_t visible = 0;
    for (size_t row = 0; row < model->count; row++)
        visible += is_visible(model, row, view);
    return visible;
}

/* The definition of a distance, in double. */
static inline double distance_between(int metric, const float *a, const float *b)
{
    double dot = 0, square = 0, a_square = 0, b_square = 0;
    for (size_t j = 0; j < DIM; j++) {
        dot += (double)a[j] * (double)b[j];
        square += ((double)a[j] - (double)b[j]) * ((double)a[j] - (double)b[j]);
        a_square += (double)a[j] * (double)a[j];
        b_square += (double)b[j] * (double)b[j];
    }
    if (metric == SUTRA_METRIC_L2)
        return square;
    if (metric == SUTRA_METRIC_IP)
        return -dot;
    return a_square > 0 && b_square > 0 ? 1 - dot / sqrt(a_square * b_square) : 1;
}

static inline int compare_doubles(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* The k-th smallest distance of a visible row; -infinity if there is none, the largest if there
 * are fewer. */
static inline double kth_distance(const struct model *model, const float *query, uint64_t view,
                                  size_t k)
{
    double *all = malloc((model->count + 1) * sizeof *all);
    size_t count = 0;
    for (size_t row = 0; all && row < model->count; row++) {
        if (is_visible(model, row, view))
            all[count++] = distance_between(model->metric, query, model->vectors + row * DIM);
    }
    double kth = -(double)INFINITY;
    if (all && count) {
        qsort(all, count, sizeof *all, compare_doubles);
        kth = all[k < count ? k - 1 : count - 1];
    }
    free(all);
    return kth;
}

struct found {
    int64_t labels[64], rows[64];
    float distances[64];
};

static inline int find(struct sutra_index *index, const float *query, size_t k, size_t ef,
                       bool exact, uint64_t view, struct found *found)
{
    struct sutra_fault fault;
    return sutra_stream_search(index,
                               &(struct sutra_search){.queries = query,
                                                      .stride = DIM,
                                                      .count = 1,
                                                      .k = k,
                                                      .ef = ef,
                                                      .exact = exact,
                                                      .threads = 1},
                               view, found->labels, found->rows, found->distances, &fault);
}

/* Whether a result holds together: visible rows with their labels, none twice, ascending, padded.
 * Returns how many rows there are. */
static inline size_t check_found(const struct model *model, const struct found *found, size_t k,
                                 uint64_t view)
{
    size_t count = 0;
    while (count < k && found->rows[count] >= 0)
        count++;
    for (size_t j = 0; j < k; j++) {
        if (j >= count) {
            CHECK_EQ(found->rows[j], -1);
            CHECK_EQ(found->labels[j], -1);
            CHECK(isinf(found->distances[j]) && found->distances[j] > 0);
            continue;
        }
        const size_t row = (size_t)found->rows[j];
        CHECK(is_visible(model, row, view));
        CHECK_EQ(found->labels[j], model->labels[row]);
        CHECK(j == 0 || found->distances[j] >= found->distances[j - 1]);
        for (size_t before = 0; before < j; before++)
            CHECK(found->rows[before] != found->rows[j]);
    }
    return count;
}

/* How many of the rows found are among the k nearest by definition. */
static inline size_t count_right(const struct model *model, const float *query,
                                 const struct found *found, size_t k, uint64_t view)
{
    const double kth = kth_distance(model, query, view, k);
    size_t right = 0;
    for (size_t j = 0; j < k && found->rows[j] >= 0; j++)
        right += distance_between(model->metric, query,
                                  model->vectors + (size_t)found->rows[j] * DIM) <= kth + 1e-6;
    return right;
}

/* ---- a store in memory */

struct saved_part {
    uint32_t kind, flags;
    size_t row_bytes, rows;
    uint64_t version;
    uint8_t *data;
};

struct saved {
    uint64_t words[SUTRA_STREAM_STATE_WORDS];
    size_t count;
    struct saved_part parts[SUTRA_STREAM_PARTS];
    int refuse_kind;    /* a part that cannot be loaded */
    size_t tight_links; /* no room for more rows than a huge page holds */
    size_t loads, hot_loads;
};

static inline struct saved_part *saved_part_of(struct saved *saved, uint32_t kind)
{
    for (size_t p = 0; p < saved->count; p++) {
        if (saved->parts[p].kind == kind)
            return &saved->parts[p];
    }
    return NULL;
}

static inline void free_saved(struct saved *saved)
{
    for (size_t p = 0; p < saved->count; p++)
        free(saved->parts[p].data);
    saved->count = 0;
}

/* Take over what has changed since the save before: rows that are new, and marked ones. */
static inline void save_changes(struct saved *saved, const struct sutra_part *part)
{
    struct saved_part *copy = saved_part_of(saved, part->kind);
    if (!copy) {
        copy = &saved->parts[saved->count++];
        *copy = (struct saved_part){.kind = part->kind, .row_bytes = part->row_bytes};
    } else if (copy->version != part->version) {
        copy->rows = 0;
    }
    const size_t bytes = part->row_bytes, before = copy->rows;
    CHECK_EQ(copy->row_bytes, bytes);
    REQUIRE(part->rows >= before);
    CHECK(!part->dirty || part->dirty->sealed_rows == before);
    copy->flags = part->flags;
    copy->version = part->version;
    copy->rows = part->rows;
    copy->data = realloc(copy->data, bytes * part->rows + 1);
    memcpy(copy->data + before * bytes, part->plane->base + before * bytes,
           (part->rows - before) * bytes);
    if (!part->dirty)
        return;
    for (size_t row = sutra_dirty_next(part->dirty, 0); row < before;
         row = sutra_dirty_next(part->dirty, row + 1))
        memcpy(copy->data + row * bytes, part->plane->base + row * bytes, bytes);
    CHECK_EQ(sutra_dirty_seal(part->dirty, part->rows), SUTRA_OK);
}

/* Save what has changed since the last save into the same place, and see that it equals all there
 * is. Without the graph its parts and words stay as they were. */
static inline void save(struct saved *saved, struct sutra_index *index, bool with_graph)
{
    struct sutra_part parts[SUTRA_STREAM_PARTS];
    size_t count = 0, kept = 0;
    sutra_stream_parts(index, parts, &count);
    REQUIRE(count <= SUTRA_STREAM_PARTS);
    sutra_stream_state(index, with_graph, saved->words);
    for (size_t p = 0; p < saved->count; p++) { /* what is no longer there */
        bool listed = false;
        for (size_t j = 0; j < count; j++)
            listed = listed || parts[j].kind == saved->parts[p].kind;
        if (!listed)
            free(saved->parts[p].data);
        else
            saved->parts[kept++] = saved->parts[p];
    }
    saved->count = kept;
    for (size_t p = 0; p < count; p++) {
        if (!with_graph && parts[p].flags & SUTRA_PART_GRAPH)
            continue;
        save_changes(saved, &parts[p]);
        const struct saved_part *copy = saved_part_of(saved, parts[p].kind);
        REQUIRE(copy != NULL);
        CHECK(memcmp(copy->data, parts[p].plane->base, copy->rows * copy->row_bytes) == 0);
    }
}

/* What is not to be hot is mapped from a file, read-only at first. */
static inline int map_part(const struct saved_part *part, struct sutra_plane *plane)
{
    char path[300];
    (void)path_in_folder(path, sizeof path, "part");
    const size_t bytes = part->rows * part->row_bytes;
    if (!write_whole(path, part->data, bytes))
        return SUTRA_E_ARGUMENT;
    const int fd = open(path, O_RDONLY);
    const int status = sutra_arena_map_file(&plane->arena, fd, 0, bytes);
    (void)close(fd);
    (void)unlink(path);
    return status;
}

static inline int load_saved(void *context, uint32_t kind, size_t row_bytes, size_t rows, bool hot,
                             int huge_pages, struct sutra_plane *plane_out)
{
    struct saved *saved = context;
    struct saved_part *part = saved_part_of(saved, kind);
    saved->loads++;
    saved->hot_loads += hot;
    if (!part || part->row_bytes != row_bytes || part->rows < rows ||
        (int)kind == saved->refuse_kind)
        return SUTRA_E_TRUNCATED;
    struct sutra_plane plane = {0};
    int status;
    if (kind == SUTRA_SECTION_LINKS && saved->tight_links) {
        status = sutra_arena_reserve(&plane.arena, SUTRA_HUGE_PAGE, SUTRA_HUGE_PAGE, huge_pages);
        plane.base = plane.arena.base;
        plane.row_bytes = row_bytes;
    } else {
        status = sutra_plane_reserve(&plane, row_bytes, rows, huge_pages);
    }
    if (status == SUTRA_OK && rows > 0) {
        if (hot) {
            status = sutra_arena_commit(&plane.arena, rows * row_bytes);
            if (status == SUTRA_OK)
                memcpy(plane.base, part->data, rows * row_bytes);
        } else {
            const struct saved_part front = {
                .rows = rows, .row_bytes = row_bytes, .data = part->data};
            status = map_part(&front, &plane);
        }
    }
    if (status != SUTRA_OK)
        sutra_plane_release(&plane);
    else
        *plane_out = plane;
    return status;
}

/* What is saved was loaded and will be saved into again: versions count from 0. */
static inline void restart_versions(struct saved *saved)
{
    for (size_t p = 0; p < saved->count; p++)
        saved->parts[p].version = 0;
}

static inline int load(struct saved *saved, int resident, struct sutra_index **index_out,
                       struct sutra_fault *fault_out)
{
    const struct sutra_part_source source = {.context = saved, .load = load_saved};
    *index_out = NULL;
    return sutra_stream_load(best_kernels(), saved->words, resident, &source, index_out, fault_out);
}

#endif
