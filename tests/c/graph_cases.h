/* What the tests of the graph share: points of several shapes, graphs over them, and comparisons.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_GRAPH_CASES_H
#define SUTRA_TESTS_GRAPH_CASES_H

#include "index_cases.h"

#include "graph/float_space.h"
#include "graph/graph.h"

enum { DIM = 8 };

enum shape { RANDOM, CLUSTERED, SORTED, EQUAL, DUPLICATES, SHAPES };
static const char *const shape_names[] = {"random", "clustered", "sorted", "equal", "duplicates"};

static inline float *make_shape(enum shape shape, size_t count)
{
    seed_random(17 + shape);
    float *rows = random_vectors(count, DIM);
    for (size_t row = 0; row < count; row++) {
        float *x = rows + row * DIM;
        for (size_t j = 0; j < DIM; j++) {
            if (shape == CLUSTERED)
                x[j] = 0.01f * x[j] + (float)((row * 7 % 13 >> j) & 1);
            else if (shape == SORTED)
                x[j] = (float)row * (j == 0 ? 1.0f : 0.5f);
            else if (shape == EQUAL)
                x[j] = rows[j];
        }
        if (shape == DUPLICATES && row >= 20 && row % 10)
            memcpy(x, rows + row % 7 * DIM, DIM * sizeof *x);
    }
    return rows;
}

static inline struct sutra_space space_over(const float *rows)
{
    struct sutra_space space;
    sutra_float_space(&space, best_kernels(), rows, DIM * sizeof(float), DIM, SUTRA_FLOAT_L2);
    return space;
}

static inline bool start(struct sutra_graph *graph, uint32_t m)
{
    const struct sutra_graph_options options = {m, 40, 3, SUTRA_HUGE_NEVER};
    return sutra_graph_init(graph, &options) == SUTRA_OK;
}

static inline int add(struct sutra_graph *graph, const float *rows, size_t added, unsigned threads)
{
    const struct sutra_space space = space_over(rows);
    return sutra_graph_add(graph, &space, added, threads, NULL, NULL);
}

/* vacant: the rows that are to be so, or NULL. */
static inline bool is_sound_but(const struct sutra_graph *graph, size_t count,
                                const uint64_t *vacant)
{
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    const int status = sutra_graph_verify(graph, vacant, &fault);
    if (status != SUTRA_OK)
        (void)fprintf(stderr, "status %d, row %lld, %s\n", status, (long long)fault.row,
                      fault.what);
    return status == SUTRA_OK && graph->count == count;
}

static inline bool is_sound(const struct sutra_graph *graph, size_t count)
{
    return is_sound_but(graph, count, NULL);
}

static inline bool same_plane(const struct sutra_planes *a, const struct sutra_planes *b,
                              unsigned plane, size_t rows)
{
    return memcmp(a->plane[plane].base, b->plane[plane].base, rows * a->plane[plane].row_bytes) ==
           0;
}

static inline bool same_graphs(const struct sutra_graph *a, const struct sutra_graph *b)
{
    bool same = a->count == b->count && a->upper_count == b->upper_count &&
                a->list_count == b->list_count && a->entry == b->entry;
    for (unsigned p = 0; same && p < SUTRA_UPPER_PLANES; p++)
        same = same_plane(&a->upper, &b->upper, p, a->upper_count);
    return same && same_plane(&a->links, &b->links, 0, a->count) &&
           same_plane(&a->upper_links, &b->upper_links, 0, a->list_count);
}

#endif
