/* A graph, its vectors and a lock; the contract is in float_graph.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "../base/lock.h"

#include <math.h>
#include <stdlib.h>

#include "float_graph.h"
#include "float_space.h"
#include "../base/threads.h"

#define SCRATCH_KEPT 16

struct sutra_float_graph {
    const struct sutra_kernels *kernels;
    struct sutra_lock lock;
    bool closed;
    struct sutra_vectors *vectors;
    struct sutra_graph graph;
    struct sutra_scratch *scratch[SCRATCH_KEPT]; /* atomic; NULL where taken */
};

/* ---- life */

int sutra_float_graph_new(const struct sutra_kernels *kernels, struct sutra_vectors *vectors,
                          uint32_t m, uint32_t ef_construction, uint64_t seed,
                          struct sutra_float_graph **graph_out)
{
    struct sutra_float_graph *graph = calloc(1, sizeof *graph);
    if (!graph)
        return SUTRA_E_NO_MEMORY;
    int status = sutra_lock_init(&graph->lock);
    if (status == SUTRA_OK) {
        const struct sutra_graph_options options = {
            .m = m,
            .ef_construction = ef_construction,
            .seed = seed,
            .huge_pages = SUTRA_HUGE_ADVISE,
        };
        status = sutra_graph_init(&graph->graph, &options);
        if (status != SUTRA_OK)
            sutra_lock_destroy(&graph->lock);
    }
    if (status != SUTRA_OK) {
        free(graph);
        return status;
    }
    sutra_vectors_hold(vectors);
    graph->kernels = kernels;
    graph->vectors = vectors;
    *graph_out = graph;
    return SUTRA_OK;
}

static void free_scratch(struct sutra_scratch *scratch)
{
    if (scratch)
        sutra_scratch_deinit(scratch);
    free(scratch);
}

static void release(struct sutra_float_graph *graph)
{
    for (size_t j = 0; j < SCRATCH_KEPT; j++) {
        free_scratch(graph->scratch[j]);
        graph->scratch[j] = NULL;
    }
    sutra_graph_deinit(&graph->graph);
    sutra_vectors_drop(graph->vectors);
    graph->vectors = NULL;
}

void sutra_float_graph_close(struct sutra_float_graph *graph)
{
    sutra_lock_write(&graph->lock);
    if (!graph->closed) {
        graph->closed = true;
        release(graph);
    }
    sutra_unlock(&graph->lock);
}

void sutra_float_graph_free(struct sutra_float_graph *graph)
{
    if (!graph)
        return;
    if (!graph->closed)
        release(graph);
    sutra_lock_destroy(&graph->lock);
    free(graph);
}

static int lock_to_read(struct sutra_float_graph *graph)
{
    sutra_lock_read(&graph->lock);
    if (!graph->closed)
        return SUTRA_OK;
    sutra_unlock(&graph->lock);
    return SUTRA_E_CLOSED;
}

static void make_space(const struct sutra_float_graph *graph, struct sutra_space *space_out)
{
    sutra_float_space(space_out, graph->kernels, sutra_vectors_rows(graph->vectors),
                      sutra_vectors_stride(graph->vectors) * sizeof(float),
                      sutra_vectors_dim(graph->vectors), SUTRA_FLOAT_L2);
}

/* ---- linking */

int sutra_float_graph_link(struct sutra_float_graph *graph, size_t limit, unsigned threads)
{
    int status = SUTRA_OK;
    sutra_lock_write(&graph->lock);
    if (graph->closed) {
        status = SUTRA_E_CLOSED;
    } else if (limit > sutra_vectors_count(graph->vectors)) {
        status = SUTRA_E_ARGUMENT;
    } else if (limit > graph->graph.count) {
        struct sutra_space space;
        make_space(graph, &space);
        status =
            sutra_graph_add(&graph->graph, &space, limit - graph->graph.count, threads, NULL, NULL);
    }
    sutra_unlock(&graph->lock);
    return status;
}

/* ---- searching */

static struct sutra_scratch *take_scratch(struct sutra_float_graph *graph)
{
    struct sutra_scratch *scratch = NULL;
    for (size_t j = 0; j < SCRATCH_KEPT && !scratch; j++) {
        if (__atomic_load_n(&graph->scratch[j], __ATOMIC_RELAXED))
            scratch = __atomic_exchange_n(&graph->scratch[j], NULL, __ATOMIC_ACQUIRE);
    }
    if (!scratch) {
        scratch = malloc(sizeof *scratch);
        if (scratch)
            sutra_scratch_init(scratch);
    }
    return scratch;
}

static void give_scratch(struct sutra_float_graph *graph, struct sutra_scratch *scratch)
{
    for (size_t j = 0; j < SCRATCH_KEPT && scratch; j++) {
        struct sutra_scratch *empty = NULL;
        if (__atomic_compare_exchange_n(&graph->scratch[j], &empty, scratch, false,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            scratch = NULL;
    }
    free_scratch(scratch);
}

struct search {
    struct sutra_float_graph *graph;
    struct sutra_space space;
    const float *queries;
    size_t stride, k, ef;
    int64_t *rows_out;
    float *distances_out;
};

static int search_range(void *context, unsigned worker, size_t begin, size_t end)
{
    const struct search *search = context;
    const struct sutra_graph *graph = &search->graph->graph;
    (void)worker;
    struct sutra_scratch *scratch = take_scratch(search->graph);
    int status =
        scratch ? sutra_scratch_reserve(scratch, graph->count, search->ef) : SUTRA_E_NO_MEMORY;
    for (size_t q = begin; status == SUTRA_OK && q < end; q++) {
        const struct sutra_float_query query = {search->queries + q * search->stride, 1.0f};
        int64_t *rows = search->rows_out + q * search->k;
        float *distances = search->distances_out + q * search->k;
        sutra_graph_search(graph, &search->space, &query, search->ef, scratch);
        for (size_t j = 0; j < search->k; j++) {
            const bool found = j < scratch->pool_count;
            rows[j] = found ? (int64_t)sutra_pool_id(scratch->pool[j]) : -1;
            distances[j] = found ? sutra_pool_key(scratch->pool[j]) : INFINITY;
        }
    }
    give_scratch(search->graph, scratch);
    return status;
}

int sutra_float_graph_search(struct sutra_float_graph *graph, const float *queries, size_t stride,
                             size_t count, size_t k, size_t ef, unsigned threads, int64_t *rows_out,
                             float *distances_out, struct sutra_fault *fault_out)
{
    int status = lock_to_read(graph);
    if (status != SUTRA_OK)
        return status;
    const size_t dim = sutra_vectors_dim(graph->vectors);
    for (size_t q = 0; status == SUTRA_OK && q < count; q++) {
        if (!graph->kernels->all_finite_f32(queries + q * stride, dim)) {
            *fault_out = SUTRA_FAULT_NONE;
            fault_out->row = (int64_t)q;
            status = SUTRA_E_VECTOR;
        }
    }
    if (status == SUTRA_OK) {
        struct search search = {
            .graph = graph,
            .queries = queries,
            .stride = stride,
            .k = k,
            .ef = ef > k ? ef : k,
            .rows_out = rows_out,
            .distances_out = distances_out,
        };
        make_space(graph, &search.space);
        /* A walk never holds more nodes than there are. */
        if (search.ef > graph->graph.count)
            search.ef = graph->graph.count ? graph->graph.count : 1;
        status = sutra_parallel_for(count, 16, threads, search_range, &search);
    }
    sutra_unlock(&graph->lock);
    return status;
}

/* ---- looking */

static int64_t entry_node(const struct sutra_graph *graph)
{
    if (graph->count == 0)
        return -1;
    const uint32_t entry = (uint32_t)graph->entry;
    return graph->entry >> 32 ? sutra_graph_upper_node(graph, entry) : entry;
}

int sutra_float_graph_shape(struct sutra_float_graph *graph,
                            struct sutra_float_graph_shape *shape_out)
{
    const int status = lock_to_read(graph);
    if (status != SUTRA_OK)
        return status;
    const struct sutra_graph *linked = &graph->graph;
    shape_out->count = linked->count;
    shape_out->levels = linked->count ? (unsigned)(linked->entry >> 32) + 1 : 0;
    shape_out->entry = entry_node(linked);
    sutra_unlock(&graph->lock);
    return SUTRA_OK;
}

/* The upper node that stands for a node, or upper_count. */
static size_t find_upper(const struct sutra_graph *graph, size_t node)
{
    size_t upper = 0;
    while (upper < graph->upper_count && sutra_graph_upper_node(graph, upper) != node)
        upper++;
    return upper;
}

int sutra_float_graph_level(struct sutra_float_graph *graph, size_t node, unsigned *level_out)
{
    int status = lock_to_read(graph);
    if (status != SUTRA_OK)
        return status;
    const struct sutra_graph *linked = &graph->graph;
    if (node < linked->count) {
        const size_t upper = find_upper(linked, node);
        *level_out = upper < linked->upper_count ? sutra_graph_upper_level(linked, upper) : 0;
    } else {
        status = SUTRA_E_NOT_FOUND;
    }
    sutra_unlock(&graph->lock);
    return status;
}

int sutra_float_graph_neighbours(struct sutra_float_graph *graph, size_t node, unsigned level,
                                 int64_t *nodes_out, size_t *count_out)
{
    int status = lock_to_read(graph);
    if (status != SUTRA_OK)
        return status;
    const struct sutra_graph *linked = &graph->graph;
    const size_t upper = level && node < linked->count ? find_upper(linked, node) : 0;
    if (node >= linked->count || (level && (upper == linked->upper_count ||
                                            level > sutra_graph_upper_level(linked, upper)))) {
        status = SUTRA_E_NOT_FOUND;
    } else {
        const uint32_t *list =
            level ? sutra_graph_upper_list(linked, upper, level) : sutra_graph_list(linked, node);
        *count_out = sutra_node_length(list, level ? linked->upper_slots : linked->slots,
                                       level ? linked->upper_count : linked->count);
        for (size_t j = 0; j < *count_out; j++)
            nodes_out[j] = level ? sutra_graph_upper_node(linked, list[j]) : list[j];
    }
    sutra_unlock(&graph->lock);
    return status;
}

int sutra_float_graph_verify(struct sutra_float_graph *graph, struct sutra_fault *fault_out)
{
    int status = lock_to_read(graph);
    if (status != SUTRA_OK)
        return status;
    status = sutra_graph_verify(&graph->graph, NULL, fault_out);
    sutra_unlock(&graph->lock);
    return status;
}
