/* Searching: walk on 4-bit codes, rerank what it finds, write the hits.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sieve.h"
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

/* Rerank the first `count` rows found into `best`; returns how many are there then. */
static size_t rerank(const struct sutra_index *index, const struct sutra_work_query *query,
                     const uint64_t *found, size_t count, size_t k)
{
    const struct sutra_plane *plane =
        &index->planes
             .plane[sutra_index_has_originals(index) ? SUTRA_PLANE_ORIGINAL : SUTRA_PLANE_LOW];
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
        sutra_index_distances(index, query, rows, block, distances);
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

/* ---- many */

struct job {
    struct sutra_index *index;
    const struct sutra_search *search;
    const struct sutra_space *space;
    size_t ef;
    bool scan;
    const struct sutra_sieve *sieve; /* of the one set for all queries */
    int64_t *ids_out;
    float *distances_out;
};

static void plan_out(const struct job *job, size_t q, const struct sutra_plan *plan)
{
    if (job->search->plans_out)
        job->search->plans_out[q] = *plan;
}

/* By a walk, into query->best. */
static void search_graph(const struct job *job, struct sutra_query_scratch *scratch,
                         struct sutra_work_query *query, uint32_t barred, struct sutra_plan *plan)
{
    const struct sutra_index *index = job->index;
    struct sutra_scratch *const walk = &scratch->walk;
    const size_t k = job->search->k;
    walk->barred = barred;
    sutra_index_walk(index, job->space, query, job->ef, walk);
    walk->barred = SUTRA_NO_NODE;
    sutra_index_rank(index, query, walk->pool, walk->pool_count,
                     sutra_index_rerank_rows(k, job->ef), k);
    *plan = (struct sutra_plan){
        .kind = SUTRA_PLAN_WALK, .passing = index->count, .looked = walk->distances + walk->hops};
}

static int search_set(const struct job *job, struct sutra_query_scratch *scratch,
                      struct sutra_work_query *query, size_t q, struct sutra_plan *plan)
{
    const struct sutra_index *index = job->index;
    const struct sutra_search *search = job->search;
    struct sutra_sieve own;
    const struct sutra_sieve *sieve = job->sieve;
    if (!sieve) {
        const int status =
            sutra_sieve_make(index, &search->sets[q * search->set_step], index->count, NULL, &own);
        if (status != SUTRA_OK)
            return status;
        sieve = &own;
    }
    const size_t room = search->k < index->count ? search->k : index->count;
    const size_t coded = job->scan ? 0 : index->count;
    int status = SUTRA_OK;
    if (room)
        status = sutra_index_search_passing(index, job->space, sieve, coded, coded, query, room,
                                            job->ef, &scratch->walk, plan);
    if (sieve == &own)
        sutra_sieve_free(&own);
    return status;
}

static int search_one(const struct job *job, struct sutra_query_scratch *scratch, size_t q)
{
    const struct sutra_index *index = job->index;
    const struct sutra_search *search = job->search;
    struct sutra_work_query query = {
        .best = scratch->best, .code = {.walk.entries = scratch->entries, .fine = scratch->fine}};
    struct sutra_plan plan = {0};
    const bool coded = index->linked && index->options.quantization != SUTRA_QUANT_NONE;
    sutra_index_set_query(index, &query, search->queries + q * search->stride, coded);
    uint32_t barred = SUTRA_NO_NODE;
    if (search->without) {
        const size_t row = sutra_index_row_of(index, search->without[q]);
        barred = row < index->count ? (uint32_t)row : SUTRA_NO_NODE;
    }
    int status = SUTRA_OK;
    if (search->sets)
        status = search_set(job, scratch, &query, q, &plan);
    else
        search_graph(job, scratch, &query, barred, &plan);
    if (status != SUTRA_OK)
        return status;
    sutra_index_write_hits(index, query.best, query.best_count, search->k,
                           job->ids_out + q * search->k, job->distances_out + q * search->k);
    plan_out(job, q, &plan);
    return SUTRA_OK;
}

static int search_range(void *context, unsigned worker, size_t begin, size_t end)
{
    const struct job *job = context;
    const struct sutra_search *search = job->search;
    struct sutra_index *index = job->index;
    (void)worker;
    struct sutra_query_scratch *scratch = sutra_index_take_scratch(index, search->k);
    if (!scratch)
        return SUTRA_E_NO_MEMORY;
    int status = SUTRA_OK;
    const size_t k = search->k;
    if (job->scan && !search->sets) {
        status = sutra_index_scan(index, scratch, search->queries + begin * search->stride,
                                  search->stride, end - begin, k, job->ids_out + begin * k,
                                  job->distances_out + begin * k);
        const struct sutra_plan plan = {
            .kind = SUTRA_PLAN_SCAN, .passing = index->count, .looked = index->count};
        for (size_t q = begin; q < end; q++)
            plan_out(job, q, &plan);
    } else {
        status = sutra_scratch_reserve(&scratch->walk, index->graph.count, job->ef);
        for (size_t q = begin; q < end && status == SUTRA_OK; q++)
            status = search_one(job, scratch, q);
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

static int search_all(struct job *job)
{
    const struct sutra_search *search = job->search;
    if (search->count == 1 || search->threads < 2)
        return search->count ? search_range(job, 0, 0, search->count) : SUTRA_OK;
    const size_t chunk =
        job->scan && !search->sets ? (search->count + search->threads - 1) / search->threads : 16;
    return sutra_parallel_for(search->count, chunk, search->threads, search_range, job);
}

/* Are there ids to be looked up? */
static bool lists_ids(const struct sutra_search *search)
{
    if (search->without)
        return true;
    for (size_t q = 0; search->sets && q < search->count; q++) {
        if (!search->sets[q * search->set_step].bits)
            return true;
    }
    return false;
}

int sutra_index_search(struct sutra_index *index, const struct sutra_search *search,
                       int64_t *ids_out, float *distances_out, struct sutra_fault *fault_out)
{
    if (search->k == 0 || search->k > SUTRA_K_MAX)
        return SUTRA_E_ARGUMENT;
    int status = sutra_index_lock_read(index, lists_ids(search));
    if (status != SUTRA_OK)
        return status;
    status =
        sutra_index_check_vectors(index, search->queries, search->stride, search->count, fault_out);
    struct sutra_space space = {0};
    struct sutra_sieve sieve = {0};
    struct job job = {.index = index,
                      .search = search,
                      .space = &space,
                      .ef = search->ef,
                      .scan = search->exact || !index->linked,
                      .ids_out = ids_out,
                      .distances_out = distances_out};
    if (job.ef == 0)
        job.ef = index->tuned_ef ? index->tuned_ef : 64;
    if (job.ef < search->k)
        job.ef = search->k;
    if (job.ef > index->count)
        job.ef = index->count ? index->count : 1;
    /* A walk looks at some ten rows for each of ef: this wide, it looks at all, in no order. */
    if (!search->sets && job.ef > index->count / SUTRA_WALK_SHARE_MAX)
        job.scan = true;
    if (!job.scan)
        sutra_index_search_space(index, &space);
    if (status == SUTRA_OK && search->sets && search->set_step == 0) {
        status = sutra_sieve_make(index, search->sets, index->count, NULL, &sieve);
        job.sieve = &sieve;
    }
    if (status == SUTRA_OK)
        status = search_all(&job);
    sutra_sieve_free(&sieve);
    sutra_unlock(&index->lock);
    return status;
}
