/* Searching: walk on 4-bit codes, rerank what it finds, write the hits.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/bytes.h"
#include "../base/memory.h"
#include "../base/threads.h"

/* How many of the walk's finds are reranked: the four-bit order puts the true ten nearest among
 * its first 32 almost always (docs/evidence.md), and a wide walk deserves a wider rerank. */
#define RERANK_SPARE 22u
#define RERANK_BLOCK 64u

/* ---- scratch */

static size_t entry_count(const struct sutra_index *index)
{
    return index->options.quantization == SUTRA_QUANT_NONE
               ? 0
               : 2 * sutra_quantizer_row_bytes(index->options.dim);
}

static void free_scratch(struct sutra_query_scratch *scratch)
{
    if (!scratch)
        return;
    sutra_scratch_deinit(&scratch->walk);
    sutra_aligned_free(scratch->block, scratch->block_bytes);
    free(scratch->best);
    free(scratch);
}

static struct sutra_query_scratch *new_scratch(const struct sutra_index *index)
{
    struct sutra_query_scratch *scratch = calloc(1, sizeof *scratch);
    if (!scratch)
        return NULL;
    const size_t entries = entry_count(index);
    sutra_scratch_init(&scratch->walk);
    scratch->block_bytes = entries * (sizeof(float) + 1) + SUTRA_CACHE_LINE;
    if (sutra_aligned_alloc(SUTRA_CACHE_LINE, scratch->block_bytes, &scratch->block)) {
        scratch->block_bytes = 0;
        free_scratch(scratch);
        return NULL;
    }
    scratch->fine = scratch->block;
    scratch->entries = (int8_t *)(scratch->fine + entries);
    return scratch;
}

struct sutra_query_scratch *sutra_index_take_scratch(struct sutra_index *index, size_t k)
{
    struct sutra_query_scratch *scratch = NULL;
    for (size_t j = 0; j < SUTRA_SCRATCH_KEPT && !scratch; j++) {
        if (__atomic_load_n(&index->scratch[j], __ATOMIC_RELAXED))
            scratch = __atomic_exchange_n(&index->scratch[j], NULL, __ATOMIC_ACQUIRE);
    }
    if (!scratch)
        scratch = new_scratch(index);
    if (scratch && k + 8 > scratch->best_room) {
        free(scratch->best);
        scratch->best_room = k + 64;
        scratch->best = malloc(scratch->best_room * sizeof *scratch->best);
        if (!scratch->best) {
            free_scratch(scratch);
            return NULL;
        }
    }
    return scratch;
}

void sutra_index_give_scratch(struct sutra_index *index, struct sutra_query_scratch *scratch)
{
    for (size_t j = 0; j < SUTRA_SCRATCH_KEPT && scratch; j++) {
        struct sutra_query_scratch *empty = NULL;
        if (__atomic_compare_exchange_n(&index->scratch[j], &empty, scratch, false,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            scratch = NULL;
    }
    free_scratch(scratch);
}

void sutra_index_free_scratch(struct sutra_index *index)
{
    for (size_t j = 0; j < SUTRA_SCRATCH_KEPT; j++) {
        free_scratch(index->scratch[j]);
        index->scratch[j] = NULL;
    }
}

/* ---- hits */

float sutra_index_scale(const struct sutra_index *index, const float *vector)
{
    if (index->options.metric != SUTRA_METRIC_COSINE)
        return 1.0f;
    const float square = index->kernels->dot_f32(vector, vector, index->options.dim);
    return square > 0.0f ? 1.0f / sqrtf(square) : 0.0f;
}

void sutra_index_write_hits(const struct sutra_index *index, const uint64_t *best, size_t count,
                            size_t k, int64_t *ids_out, float *distances_out)
{
    for (size_t j = 0; j < count && j < k; j++) {
        ids_out[j] = sutra_index_id_of(index, sutra_pool_id(best[j]));
        distances_out[j] = sutra_pool_key(best[j]);
    }
    for (size_t j = count; j < k; j++) {
        ids_out[j] = -1;
        distances_out[j] = INFINITY;
    }
}

/* ---- rerank */

static void original_distances(const struct sutra_index *index, const float *query,
                               float inverse_norm, const uint32_t *rows, size_t count, float *out)
{
    const float *originals = sutra_index_original(index, 0);
    const size_t stride = index->original_stride, dim = index->options.dim;
    switch (index->options.metric) {
    case SUTRA_METRIC_COSINE:
        index->kernels->cosine_f32_gather(query, inverse_norm, originals, stride, rows, count, dim,
                                          out);
        return;
    case SUTRA_METRIC_L2:
        index->kernels->l2sq_f32_gather(query, originals, stride, rows, count, dim, out);
        return;
    default:
        index->kernels->dot_f32_gather(query, originals, stride, rows, count, dim, out);
        for (size_t j = 0; j < count; j++)
            out[j] = -out[j];
    }
}

static void code_distances(const struct sutra_index *index, const struct sutra_code_query *query,
                           float query_scale, const uint32_t *rows, size_t count, float *out)
{
    const struct sutra_plane *high = &index->planes.plane[SUTRA_PLANE_HIGH];
    const struct sutra_plane *low = &index->planes.plane[SUTRA_PLANE_LOW];
    const float *corrections = sutra_planes_row(&index->planes, SUTRA_PLANE_CORRECTION, 0);
    float norms[RERANK_BLOCK];
    index->kernels->dot_code8_gather(query->fine, high->base, low->base, high->row_bytes, rows,
                                     count, index->quantizer.row_bytes, out, norms);
    for (size_t j = 0; j < count; j++)
        out[j] = sutra_index_code_distance(
            index, query_scale, rows[j],
            sutra_quantizer_distance(query, corrections + SUTRA_CORRECTION_FLOATS * (size_t)rows[j],
                                     out[j], norms[j]));
}

/* Rerank the first `count` rows found into `best`; returns how many are there then. */
static size_t rerank(const struct sutra_index *index, const struct sutra_work_query *query,
                     const uint64_t *found, size_t count, size_t k)
{
    const bool originals = sutra_index_has_originals(index);
    const struct sutra_plane *plane =
        &index->planes.plane[originals ? SUTRA_PLANE_ORIGINAL : SUTRA_PLANE_LOW];
    uint64_t *const best = query->best;
    size_t kept = query->best_count;
    for (size_t first = 0; first < count; first += RERANK_BLOCK) {
        const size_t block = count - first < RERANK_BLOCK ? count - first : RERANK_BLOCK;
        uint32_t rows[RERANK_BLOCK];
        float distances[RERANK_BLOCK];
        for (size_t j = 0; j < block; j++)
            rows[j] = sutra_pool_id(found[first + j]);
        for (size_t j = 0; j < block; j++)
            sutra_plane_prefetch(plane, rows[j]);
        if (originals)
            original_distances(index, query->vector, query->inverse_norm, rows, block, distances);
        else
            code_distances(index, &query->code, query->inverse_norm, rows, block, distances);
        for (size_t j = 0; j < block; j++) {
            const uint64_t item = sutra_pool_item(distances[j], rows[j]);
            if (kept == k) {
                if (item >= best[k - 1])
                    continue;
                kept--;
            }
            index->kernels->pool_insert(best, kept, item);
            kept++;
        }
    }
    return kept;
}

/* Codes without a second plane and without originals: the walk's keys are all there is. */
static size_t take_walk_keys(const struct sutra_index *index, const struct sutra_work_query *query,
                             const uint64_t *found, size_t count, size_t k)
{
    uint64_t *const best = query->best;
    size_t kept = query->best_count;
    for (size_t j = 0; j < count; j++) {
        const uint32_t row = sutra_pool_id(found[j]);
        const float estimate = sutra_pool_key(found[j]) + query->code.walk_distance;
        const uint64_t item = sutra_pool_item(
            sutra_index_code_distance(index, query->inverse_norm, row, estimate), row);
        if (kept == k) {
            if (item >= best[k - 1])
                continue;
            kept--;
        }
        index->kernels->pool_insert(best, kept, item);
        kept++;
    }
    return kept;
}

size_t sutra_index_rerank_rows(size_t k, size_t ef)
{
    return k + RERANK_SPARE > ef / 2 ? k + RERANK_SPARE : ef / 2;
}

void sutra_index_rank(const struct sutra_index *index, struct sutra_work_query *query,
                      const uint64_t *found, size_t found_count, size_t wanted, size_t k)
{
    if (index->options.quantization == SUTRA_QUANT_NONE) {
        query->best_count = found_count < k ? found_count : k;
        memcpy(query->best, found, query->best_count * sizeof *found);
    } else if (!sutra_index_has_originals(index) && !index->planes.plane[SUTRA_PLANE_LOW].base) {
        query->best_count = take_walk_keys(index, query, found, found_count, k);
    } else {
        query->best_count =
            rerank(index, query, found, wanted < found_count ? wanted : found_count, k);
    }
}

/* ---- one query */

void sutra_index_set_query(const struct sutra_index *index, struct sutra_work_query *query,
                           const float *vector, bool coded)
{
    query->vector = vector;
    query->inverse_norm = sutra_index_scale(index, vector);
    query->best_count = 0;
    if (coded)
        sutra_quantizer_query(&index->quantizer, index->kernels, vector, query->inverse_norm,
                              index->options.metric == SUTRA_METRIC_IP, &query->code);
}

void sutra_index_walk(const struct sutra_index *index, const struct sutra_space *space,
                      const struct sutra_work_query *query, size_t ef, struct sutra_scratch *walk)
{
    if (index->options.quantization == SUTRA_QUANT_NONE) {
        const struct sutra_float_query floats = {query->vector, query->inverse_norm};
        sutra_graph_search(&index->graph, space, &floats, ef, walk);
    } else {
        sutra_graph_search(&index->graph, space, &query->code.walk, ef, walk);
    }
}

static size_t search_graph(const struct sutra_index *index, const struct sutra_space *space,
                           struct sutra_query_scratch *scratch, const float *vector, size_t k,
                           size_t ef)
{
    struct sutra_work_query query = {
        .best = scratch->best, .code = {.walk.entries = scratch->entries, .fine = scratch->fine}};
    sutra_index_set_query(index, &query, vector, index->options.quantization != SUTRA_QUANT_NONE);
    sutra_index_walk(index, space, &query, ef, &scratch->walk);
    sutra_index_rank(index, &query, scratch->walk.pool, scratch->walk.pool_count,
                     sutra_index_rerank_rows(k, ef), k);
    return query.best_count;
}

/* ---- many */

struct search {
    struct sutra_index *index;
    const struct sutra_space *space;
    const float *queries;
    size_t stride, k, ef;
    bool scan;
    int64_t *ids_out;
    float *distances_out;
};

static int search_range(void *context, unsigned worker, size_t begin, size_t end)
{
    const struct search *search = context;
    struct sutra_index *index = search->index;
    (void)worker;
    struct sutra_query_scratch *scratch = sutra_index_take_scratch(index, search->k);
    if (!scratch)
        return SUTRA_E_NO_MEMORY;
    int status = SUTRA_OK;
    const size_t k = search->k;
    if (search->scan) {
        status = sutra_index_scan(index, scratch, search->queries + begin * search->stride,
                                  search->stride, end - begin, k, search->ids_out + begin * k,
                                  search->distances_out + begin * k);
    } else {
        status = sutra_scratch_reserve(&scratch->walk, index->graph.count, search->ef);
        for (size_t q = begin; q < end && status == SUTRA_OK; q++) {
            const size_t found = search_graph(index, search->space, scratch,
                                              search->queries + q * search->stride, k, search->ef);
            sutra_index_write_hits(index, scratch->best, found, k, search->ids_out + q * k,
                                   search->distances_out + q * k);
        }
    }
    sutra_index_give_scratch(index, scratch);
    return status;
}

int sutra_index_check_vectors(const struct sutra_index *index, const float *vectors, size_t stride,
                              size_t count, struct sutra_fault *fault_out)
{
    for (size_t row = 0; row < count; row++) {
        const float *vector = vectors + row * stride;
        const float square = index->kernels->dot_f32(vector, vector, index->options.dim);
        if (!(square < SUTRA_SQUARE_MAX)) {
            *fault_out = SUTRA_FAULT_NONE;
            fault_out->row = (int64_t)row;
            return SUTRA_E_VECTOR;
        }
    }
    return SUTRA_OK;
}

int sutra_index_search(struct sutra_index *index, const float *queries, size_t stride, size_t count,
                       size_t k, size_t ef, bool exact, unsigned threads, int64_t *ids_out,
                       float *distances_out, struct sutra_fault *fault_out)
{
    if (k == 0 || k > SUTRA_K_MAX)
        return SUTRA_E_ARGUMENT;
    sutra_lock_read(&index->lock);
    int status = index->closed ? SUTRA_E_CLOSED : SUTRA_OK;
    if (status == SUTRA_OK)
        status = sutra_index_check_vectors(index, queries, stride, count, fault_out);
    if (status == SUTRA_OK) {
        struct sutra_space space;
        struct search search = {
            index, &space, queries, stride, k, ef, exact || !index->linked, ids_out, distances_out};
        if (search.ef == 0)
            search.ef = index->tuned_ef ? index->tuned_ef : 64;
        if (search.ef < k)
            search.ef = k;
        if (search.ef > index->count)
            search.ef = index->count ? index->count : 1;
        if (!search.scan)
            sutra_index_search_space(index, &space);
        if (count == 1 || threads < 2)
            status = count ? search_range(&search, 0, 0, count) : SUTRA_OK;
        else
            status = sutra_parallel_for(count, search.scan ? (count + threads - 1) / threads : 16,
                                        threads, search_range, &search);
    }
    sutra_unlock(&index->lock);
    return status;
}
