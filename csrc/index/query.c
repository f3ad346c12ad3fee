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
/* Of the best, so many are looked up in the order of the codes. */
#define DOUBT_ROWS 32u

/* ---- scratch */

static size_t entry_count(const struct sutra_index_options *options)
{
    return options->quantization == SUTRA_QUANT_NONE ? 0
                                                     : 2 * sutra_quantizer_row_bytes(options->dim);
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

static struct sutra_query_scratch *new_scratch(const struct sutra_index_options *options)
{
    struct sutra_query_scratch *scratch = calloc(1, sizeof *scratch);
    if (!scratch)
        return NULL;
    const size_t entries = entry_count(options);
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
        scratch = new_scratch(&index->now.options);
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

float sutra_front_scale(const struct sutra_front *front, const float *vector)
{
    if (front->options.metric != SUTRA_METRIC_COSINE)
        return 1.0f;
    const float square = front->kernels->dot_f32(vector, vector, front->options.dim);
    return square > 0.0f ? 1.0f / sqrtf(square) : 0.0f;
}

void sutra_front_write_hits(const struct sutra_front *front, const uint64_t *best, size_t count,
                            size_t k, int64_t *ids_out, float *distances_out)
{
    for (size_t j = 0; j < count && j < k; j++) {
        ids_out[j] = sutra_front_id_of(front, sutra_pool_id(best[j]));
        distances_out[j] = sutra_pool_key(best[j]);
    }
    for (size_t j = count; j < k; j++) {
        ids_out[j] = -1;
        distances_out[j] = INFINITY;
    }
}

/* ---- rerank */

/* Rerank the first `count` rows found into `best`; returns how many are there then. */
static size_t rerank(const struct sutra_front *front, const struct sutra_work_query *query,
                     const uint64_t *found, size_t count, size_t k)
{
    const struct sutra_plane *plane =
        &front->planes
             .plane[sutra_front_has_originals(front) ? SUTRA_PLANE_ORIGINAL : SUTRA_PLANE_LOW];
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
        sutra_front_distances(front, query, rows, block, distances);
        for (size_t j = 0; j < block; j++) {
            const uint64_t item = sutra_pool_item(distances[j], rows[j]);
            if (kept == k) {
                if (item >= best[k - 1])
                    continue;
                kept--;
            }
            front->kernels->pool_insert(best, kept, item);
            kept++;
        }
    }
    return kept;
}

/* Codes without a second plane and without originals: the walk's keys are all there is. */
static size_t take_walk_keys(const struct sutra_front *front, const struct sutra_work_query *query,
                             const uint64_t *found, size_t count, size_t k)
{
    uint64_t *const best = query->best;
    size_t kept = query->best_count;
    for (size_t j = 0; j < count; j++) {
        const uint32_t row = sutra_pool_id(found[j]);
        const float estimate = sutra_pool_key(found[j]) + query->code.walk_distance;
        const uint64_t item = sutra_pool_item(
            sutra_front_code_distance(front, query->inverse_norm, row, estimate), row);
        if (kept == k) {
            if (item >= best[k - 1])
                continue;
            kept--;
        }
        front->kernels->pool_insert(best, kept, item);
        kept++;
    }
    return kept;
}

size_t sutra_index_rerank_rows(size_t k, size_t ef)
{
    return k + RERANK_SPARE > ef / 2 ? k + RERANK_SPARE : ef / 2;
}

bool sutra_query_is_doubtful(const struct sutra_work_query *query, const uint64_t *pool,
                             size_t ranked)
{
    const size_t asked = query->best_count < DOUBT_ROWS ? query->best_count : DOUBT_ROWS;
    size_t sum = 0;
    for (size_t j = 0; j < asked; j++) {
        size_t place = 0;
        while (place < ranked && sutra_pool_id(pool[place]) != sutra_pool_id(query->best[j]))
            place++;
        sum += place;
    }
    /* In order, the first of them lie at asked / 2 on average; in no order, at ranked / 2. */
    return 4 * sum > asked * (asked + ranked);
}

void sutra_front_rank(const struct sutra_front *front, struct sutra_work_query *query,
                      const uint64_t *found, size_t found_count, size_t wanted, size_t k)
{
    if (front->options.quantization == SUTRA_QUANT_NONE) {
        query->best_count = found_count < k ? found_count : k;
        memcpy(query->best, found, query->best_count * sizeof *found);
    } else if (!sutra_front_has_originals(front) && !front->planes.plane[SUTRA_PLANE_LOW].base) {
        query->best_count = take_walk_keys(front, query, found, found_count, k);
    } else {
        const size_t ranked = wanted < found_count ? wanted : found_count;
        query->best_count = rerank(front, query, found, ranked, k);
        /* Rows far from all others but near to one another have codes that are all but alike. */
        if (ranked < found_count && sutra_query_is_doubtful(query, found, ranked))
            query->best_count = rerank(front, query, found + ranked, found_count - ranked, k);
    }
}

/* ---- one query */

void sutra_front_set_query(const struct sutra_front *front, struct sutra_work_query *query,
                           const float *vector, bool coded)
{
    query->vector = vector;
    query->inverse_norm = sutra_front_scale(front, vector);
    query->best_count = 0;
    if (coded)
        sutra_quantizer_query(&front->quantizer, front->kernels, vector, query->inverse_norm,
                              front->options.metric == SUTRA_METRIC_IP, &query->code);
}

/* ---- many */

struct job {
    struct sutra_index *index;
    const struct sutra_front *front;
    const struct sutra_search *search;
    const struct sutra_space *space;
    size_t ef;
    size_t room; /* results that there can be: min(k, rows) */
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
static int search_graph(const struct job *job, struct sutra_query_scratch *scratch,
                        struct sutra_work_query *query, uint32_t barred, struct sutra_plan *plan)
{
    const struct sutra_front *front = job->front;
    struct sutra_scratch *const walk = &scratch->walk;
    const size_t k = job->search->k;
    const size_t hidden = front->dead_count - front->vacant_count + front->unfinished;
    size_t found = 0;
    int status = SUTRA_OK;
    walk->barred = barred;
    if (hidden) {
        const struct sutra_sifted_walk sifted = {.space = job->space,
                                                 .k = k,
                                                 .ef = job->ef,
                                                 .met = front->count - front->vacant_count +
                                                        front->unfinished,
                                                 .hidden = hidden};
        status = sutra_front_walk_sifted(front, &sifted, query, walk, &found);
    } else {
        sutra_front_walk(front, job->space, query, job->ef, walk);
        found = walk->pool_count;
    }
    walk->barred = SUTRA_NO_NODE;
    *plan = (struct sutra_plan){.kind = SUTRA_PLAN_WALK,
                                .passing = sutra_front_alive(front),
                                .looked = walk->distances + walk->hops};
    if (status == SUTRA_OK && found == SIZE_MAX) {
        sutra_front_scan_rows(front, query, 1, 0, front->count, job->room, NULL);
        plan->gave_up = true;
        plan->looked += front->count;
    } else if (status == SUTRA_OK) {
        sutra_front_rank(front, query, walk->pool, found, sutra_index_rerank_rows(k, job->ef), k);
    }
    return status;
}

static int search_set(const struct job *job, struct sutra_query_scratch *scratch,
                      struct sutra_work_query *query, size_t q, struct sutra_plan *plan)
{
    const struct sutra_front *front = job->front;
    const struct sutra_search *search = job->search;
    struct sutra_sieve own;
    const struct sutra_sieve *sieve = job->sieve;
    if (!sieve) {
        const int status =
            sutra_sieve_make(front, &search->sets[q * search->set_step], front->count, NULL, &own);
        if (status != SUTRA_OK)
            return status;
        sieve = &own;
    }
    const size_t coded = job->scan ? 0 : front->count;
    int status = SUTRA_OK;
    if (job->room)
        status = sutra_front_search_passing(front, job->space, sieve, coded, coded, query,
                                            job->room, job->ef, &scratch->walk, plan);
    if (sieve == &own)
        sutra_sieve_free(&own);
    return status;
}

static int search_one(const struct job *job, struct sutra_query_scratch *scratch, size_t q)
{
    const struct sutra_front *front = job->front;
    const struct sutra_search *search = job->search;
    struct sutra_work_query query = {
        .best = scratch->best, .code = {.walk.entries = scratch->entries, .fine = scratch->fine}};
    struct sutra_plan plan = {0};
    const bool coded = front->linked && front->options.quantization != SUTRA_QUANT_NONE;
    sutra_front_set_query(front, &query, search->queries + q * search->stride, coded);
    uint32_t barred = SUTRA_NO_NODE;
    if (search->without) {
        const size_t row = sutra_front_row_of(front, search->without[q]);
        barred = row < front->count ? (uint32_t)row : SUTRA_NO_NODE;
    }
    int status = SUTRA_OK;
    if (search->sets)
        status = search_set(job, scratch, &query, q, &plan);
    else
        status = search_graph(job, scratch, &query, barred, &plan);
    if (status != SUTRA_OK)
        return status;
    sutra_front_write_hits(front, query.best, query.best_count, search->k,
                           job->ids_out + q * search->k, job->distances_out + q * search->k);
    plan_out(job, q, &plan);
    return SUTRA_OK;
}

static int search_range(void *context, unsigned worker, size_t begin, size_t end)
{
    const struct job *job = context;
    const struct sutra_search *search = job->search;
    const struct sutra_front *front = job->front;
    (void)worker;
    struct sutra_query_scratch *scratch = sutra_index_take_scratch(job->index, search->k);
    if (!scratch)
        return SUTRA_E_NO_MEMORY;
    int status = SUTRA_OK;
    const size_t k = search->k;
    if (job->scan && !search->sets) {
        status = sutra_front_scan(front, scratch, search->queries + begin * search->stride,
                                  search->stride, end - begin, k, job->ids_out + begin * k,
                                  job->distances_out + begin * k);
        const struct sutra_plan plan = {
            .kind = SUTRA_PLAN_SCAN, .passing = sutra_front_alive(front), .looked = front->count};
        for (size_t q = begin; q < end; q++)
            plan_out(job, q, &plan);
    } else {
        status = sutra_scratch_reserve(&scratch->walk, front->graph.count, job->ef);
        for (size_t q = begin; q < end && status == SUTRA_OK; q++)
            status = search_one(job, scratch, q);
    }
    sutra_index_give_scratch(job->index, scratch);
    return status;
}

int sutra_front_check_vectors(const struct sutra_front *front, const float *vectors, size_t stride,
                              size_t count, struct sutra_fault *fault_out)
{
    for (size_t row = 0; row < count; row++) {
        const float *vector = vectors + row * stride;
        const float square = front->kernels->dot_f32(vector, vector, front->options.dim);
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
    /* All queries of a call see the same. */
    struct sutra_reading reading;
    int status = sutra_index_enter(index, lists_ids(search), &reading);
    if (status != SUTRA_OK)
        return status;
    const struct sutra_front *const front = reading.front;
    status =
        sutra_front_check_vectors(front, search->queries, search->stride, search->count, fault_out);
    struct sutra_space space = {0};
    struct sutra_sieve sieve = {0};
    struct job job = {.index = index,
                      .front = front,
                      .search = search,
                      .space = &space,
                      .ef = search->ef,
                      .room = search->k < front->count ? search->k : front->count,
                      .scan = search->exact || !front->linked,
                      .ids_out = ids_out,
                      .distances_out = distances_out};
    if (job.ef == 0)
        job.ef = __atomic_load_n(&index->tuned_ef, __ATOMIC_RELAXED);
    if (job.ef == 0)
        job.ef = 64;
    if (job.ef < search->k)
        job.ef = search->k;
    if (job.ef > front->count)
        job.ef = front->count ? front->count : 1;
    /* A walk looks at some ten rows for each of ef: this wide, it looks at all, in no order. */
    if (!search->sets && job.ef > front->count / SUTRA_WALK_SHARE_MAX)
        job.scan = true;
    if (!job.scan)
        sutra_front_search_space(front, &space);
    if (status == SUTRA_OK && search->sets && search->set_step == 0) {
        status = sutra_sieve_make(front, search->sets, front->count, NULL, &sieve);
        job.sieve = &sieve;
    }
    if (status == SUTRA_OK)
        status = search_all(&job);
    sutra_sieve_free(&sieve);
    sutra_index_leave(index, &reading);
    return status;
}
