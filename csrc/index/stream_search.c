/* Searching a streamed index: a walk over what is linked, a scan of what is not, and only rows
 * that are visible.
 *
 * What a walk finds is sifted, see sifted_walk.c; where that comes to nothing, every row is looked
 * at. Of rows that have codes but no links yet, those with the best codes are reranked, as many as
 * of the walk's.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <math.h>
#include <stdlib.h>

#include "sieve.h"
#include "stream.h"
#include "../base/threads.h"

struct stream_search {
    struct sutra_index *index;
    const float *queries;
    size_t stride, k, ef;
    size_t rows; /* there were when the search began */
    size_t room; /* results that there can be: min(k, rows) */
    bool exact;
    uint64_t view;
    const struct sutra_id_set *sets;
    size_t set_step;
    const int64_t *without;
    struct sutra_plan *plans_out;
    int64_t *labels_out, *rows_out;
    float *distances_out;
};

/* What a group of queries goes by, inside one front: the next group may get a newer one. */
struct moment {
    const struct stream_search *search;
    const struct sutra_front *front;
    struct sutra_space space;
    size_t nodes;      /* in the graph */
    size_t coded_rows; /* the first of them are the nodes; what comes after has no codes */
    bool walks, coded;
};

/* What a walk goes over, and which rows can be scored as it scores them. */
static void set_walk(struct moment *moment)
{
    const struct stream_search *search = moment->search;
    const struct sutra_front *front = moment->front;
    sutra_front_search_space(front, &moment->space);
    moment->coded_rows = moment->nodes;
    if (sutra_front_has_codes(front))
        moment->coded_rows = sutra_front_has_originals(front) ? front->coded : search->rows;
    /* The search does not know rows that came after it began. */
    moment->coded_rows = moment->coded_rows < search->rows ? moment->coded_rows : search->rows;
}

/* The best of the rows that have codes and wait for links. */
static void search_coded(const struct moment *moment, struct sutra_work_query *query,
                         struct sutra_scratch *walk, size_t wanted)
{
    const struct stream_search *search = moment->search;
    if (moment->nodes >= moment->coded_rows)
        return;
    const size_t found =
        sutra_front_scan_keys(moment->front, &moment->space, &query->code.walk, moment->nodes,
                              moment->coded_rows, search->view, wanted, walk->pool);
    sutra_front_rank(moment->front, query, walk->pool, found, wanted, search->room);
}

/* The best of the linked rows, and of those that have codes. */
static int search_linked(const struct moment *moment, struct sutra_work_query *query,
                         struct sutra_scratch *walk)
{
    const struct stream_search *search = moment->search;
    const struct sutra_sifted_walk sifted = {.space = &moment->space,
                                             .k = search->k,
                                             .ef = search->ef,
                                             .met = search->rows,
                                             .hidden = sutra_stream_dead(search->index),
                                             .view = &search->view};
    size_t found;
    const int status = sutra_front_walk_sifted(moment->front, &sifted, query, walk, &found);
    if (status != SUTRA_OK)
        return status;
    if (found == SIZE_MAX) {
        query->best_count = 0;
        sutra_front_scan_rows(moment->front, query, 1, 0, moment->coded_rows, search->room,
                              &search->view);
        return SUTRA_OK;
    }
    const size_t wanted = sutra_index_rerank_rows(search->k, search->ef);
    sutra_front_rank(moment->front, query, walk->pool, found, wanted, search->room);
    search_coded(moment, query, walk, wanted);
    return SUTRA_OK;
}

static void write_hits(const struct moment *moment, const struct sutra_work_query *query,
                       size_t position)
{
    const struct stream_search *search = moment->search;
    const size_t k = search->k, at = position * k;
    sutra_front_write_hits(moment->front, query->best, query->best_count, k,
                           search->labels_out + at, search->distances_out + at);
    for (size_t j = 0; search->rows_out && j < k; j++)
        search->rows_out[at + j] =
            j < query->best_count ? (int64_t)sutra_pool_id(query->best[j]) : -1;
}

static void write_plan(const struct stream_search *search, size_t q, const struct sutra_plan *plan)
{
    if (search->plans_out)
        search->plans_out[q] = *plan;
}

/* Queries among what their sets hold; a sieve serves as long as the set is the same. */
static int search_sets(const struct moment *moment, struct sutra_query_scratch *scratch,
                       struct sutra_work_query *work, size_t first, size_t count)
{
    const struct stream_search *search = moment->search;
    const struct sutra_front *front = moment->front;
    struct sutra_sieve sieve = {0};
    int status = SUTRA_OK;
    for (size_t q = 0; q < count && status == SUTRA_OK; q++) {
        if (q == 0 || search->set_step) {
            sutra_sieve_free(&sieve);
            status = sutra_sieve_make(front, &search->sets[(first + q) * search->set_step],
                                      search->rows, &search->view, &sieve);
        }
        if (status != SUTRA_OK)
            break;
        struct sutra_plan plan;
        sutra_front_set_query(front, &work[q], search->queries + (first + q) * search->stride,
                              moment->coded);
        status = sutra_front_search_passing(front, &moment->space, &sieve,
                                            moment->walks ? moment->nodes : 0,
                                            moment->walks ? moment->coded_rows : 0, &work[q],
                                            search->room, search->ef, &scratch->walk, &plan);
        write_hits(moment, &work[q], first + q);
        write_plan(search, first + q, &plan);
    }
    sutra_sieve_free(&sieve);
    return status;
}

static uint32_t barred_row(const struct stream_search *search, size_t q)
{
    const int64_t row = search->without ? search->without[q] : -1;
    return row >= 0 && (uint64_t)row < search->rows ? (uint32_t)row : SUTRA_NO_NODE;
}

static int search_moment(const struct moment *moment, struct sutra_query_scratch *scratch,
                         struct sutra_work_query *work, size_t first, size_t count)
{
    const struct stream_search *search = moment->search;
    int status = SUTRA_OK;
    if (search->sets)
        return search_sets(moment, scratch, work, first, count);
    for (size_t q = 0; q < count && status == SUTRA_OK; q++) {
        sutra_front_set_query(moment->front, &work[q],
                              search->queries + (first + q) * search->stride, moment->coded);
        if (moment->walks) {
            scratch->walk.barred = barred_row(search, first + q);
            status = search_linked(moment, &work[q], &scratch->walk);
            scratch->walk.barred = SUTRA_NO_NODE;
        }
    }
    if (status != SUTRA_OK)
        return status;
    sutra_front_scan_rows(moment->front, work, count, moment->coded_rows, search->rows,
                          search->room, &search->view);
    const struct sutra_plan plan = {.kind = moment->walks ? SUTRA_PLAN_WALK : SUTRA_PLAN_SCAN,
                                    .passing = search->rows};
    for (size_t q = 0; q < count; q++) {
        write_hits(moment, &work[q], first + q);
        write_plan(search, first + q, &plan);
    }
    return SUTRA_OK;
}

/* At most SUTRA_SCAN_GROUP queries from `first` on. Each group enters anew, so that what the linker
 * replaces is not kept until the end of a large batch. */
static int search_group(const struct stream_search *search, struct sutra_query_scratch *scratch,
                        struct sutra_work_query *work, size_t first, size_t count)
{
    struct sutra_reading reading;
    int status = sutra_index_enter(search->index, false, &reading);
    if (status != SUTRA_OK)
        return status;
    const struct sutra_front *front = reading.front;
    struct moment moment = {.search = search, .front = front, .nodes = front->graph.count};
    moment.walks = !search->exact && moment.nodes > 0;
    /* A walk goes over codes; a scan only where there are no originals. */
    moment.coded =
        sutra_front_has_codes(front) && (moment.walks || !sutra_front_has_originals(front));
    if (moment.walks)
        set_walk(&moment);
    status = search_moment(&moment, scratch, work, first, count);
    sutra_index_leave(search->index, &reading);
    return status;
}

static int search_range(void *context, unsigned worker, size_t begin, size_t end)
{
    const struct stream_search *search = context;
    (void)worker;
    struct sutra_query_scratch *scratch = sutra_index_take_scratch(search->index, search->room);
    if (!scratch)
        return SUTRA_E_NO_MEMORY;
    const size_t group = end - begin < SUTRA_SCAN_GROUP ? end - begin : SUTRA_SCAN_GROUP;
    const bool quantized = search->index->now.options.quantization != SUTRA_QUANT_NONE;
    struct sutra_work_query work[SUTRA_SCAN_GROUP];
    void *block = NULL;
    int status = SUTRA_OK;
    if (group > 1) {
        block = sutra_front_group_block(&search->index->now, work, group, search->room, quantized);
        status = block ? SUTRA_OK : SUTRA_E_NO_MEMORY;
    } else {
        work[0].best = scratch->best;
        work[0].code.fine = scratch->fine;
        work[0].code.walk.entries = scratch->entries;
    }
    for (size_t first = begin; first < end && status == SUTRA_OK; first += group)
        status =
            search_group(search, scratch, work, first, end - first < group ? end - first : group);
    free(block);
    sutra_index_give_scratch(search->index, scratch);
    return status;
}

/* There is nothing to find. */
static void write_nothing(const struct sutra_search *search, int64_t *labels_out, int64_t *rows_out,
                          float *distances_out)
{
    for (size_t j = 0; j < search->count * search->k; j++) {
        labels_out[j] = -1;
        distances_out[j] = INFINITY;
        if (rows_out)
            rows_out[j] = -1;
    }
    for (size_t q = 0; search->plans_out && q < search->count; q++)
        search->plans_out[q] = (struct sutra_plan){.kind = SUTRA_PLAN_SCAN};
}

int sutra_stream_search(struct sutra_index *index, const struct sutra_search *search, uint64_t view,
                        int64_t *labels_out, int64_t *rows_out, float *distances_out,
                        struct sutra_fault *fault_out)
{
    if (search->k == 0 || search->k > SUTRA_K_MAX)
        return SUTRA_E_ARGUMENT;
    for (size_t q = 0; search->sets && q < search->count; q++) {
        if (!search->sets[q * search->set_step].bits)
            return SUTRA_E_ARGUMENT;
    }
    const int status = sutra_front_check_vectors(&index->now, search->queries, search->stride,
                                                 search->count, fault_out);
    if (status != SUTRA_OK || search->count == 0)
        return status;
    const size_t rows = sutra_index_rows(index);
    if (rows == 0) {
        write_nothing(search, labels_out, rows_out, distances_out);
        return SUTRA_OK;
    }
    struct stream_search job = {.index = index,
                                .queries = search->queries,
                                .stride = search->stride,
                                .k = search->k,
                                .rows = rows,
                                .room = search->k < rows ? search->k : rows,
                                .exact = search->exact,
                                .view = view,
                                .sets = search->sets,
                                .set_step = search->set_step,
                                .without = search->without,
                                .plans_out = search->plans_out,
                                .labels_out = labels_out,
                                .rows_out = rows_out,
                                .distances_out = distances_out};
    job.ef = search->ef ? search->ef : 64;
    job.ef = job.ef > job.k ? job.ef : job.k;
    job.ef = job.ef < rows ? job.ef : rows;
    if (search->count == 1 || search->threads < 2)
        return search_range(&job, 0, 0, search->count);
    const size_t chunk =
        search->exact ? (search->count + search->threads - 1) / search->threads : SUTRA_SCAN_GROUP;
    return sutra_parallel_for(search->count, chunk, search->threads, search_range, &job);
}
