/* Linking a streamed index: pending rows go into the graph while the writer appends and readers
 * search.
 *
 * Everything slow happens in memory that no reader looks at: codes of rows that are not linked
 * yet, code planes that are not the index's yet, lists of nodes beyond what is linked in the front
 * that readers have. Then a new front shows it. What that needs has been allocated before, but for
 * what the writer has added meanwhile.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <stdlib.h>

#include "stream.h"

/* Rows that a step links at least: below this a front of its own is not worth its memory. */
#define STEP_ROWS_MIN 64u
/* Rows that the writer may leave to be encoded under its gate, unless it keeps outrunning us. */
#define CATCH_UP_ROWS 256u
#define CATCH_UP_ROUNDS 8u

/* ---- codes made anew */

/* Under the gate: nothing is appended meanwhile, and room for rows may have grown. */
static int adopt_codes(struct sutra_renewal *renewal, struct sutra_front *fresh)
{
    struct sutra_index *index = renewal->index;
    struct sutra_left left = {.plane_count = 0};
    int status = SUTRA_OK;
    if (!index->now.options.keep_originals)
        status = sutra_renewal_encode(renewal, index->stream.rows);
    if (status == SUTRA_OK)
        status = sutra_renewal_commit(renewal, index->now.planes.capacity_rows);
    if (status != SUTRA_OK)
        return status;
    sutra_renewal_adopt(renewal, &left);
    if (!index->now.options.keep_originals)
        sutra_left_plane(&left, &index->now.planes.plane[SUTRA_PLANE_ORIGINAL]);
    sutra_front_publish(index, fresh, &left);
    index->stream.codes_version++;
    return SUTRA_OK;
}

/* Fit a quantizer to the rows there are and make the codes that it asks for: of the linked rows, or
 * of all where codes stand in for originals. */
static int renew_codes(struct sutra_index *index, unsigned threads)
{
    struct sutra_renewal renewal;
    int status = sutra_renewal_begin(&renewal, index, sutra_index_rows(index), threads);
    if (status != SUTRA_OK)
        return status;
    const bool all = !index->now.options.keep_originals;
    struct sutra_front *fresh = sutra_front_new();
    status = fresh ? SUTRA_OK : SUTRA_E_NO_MEMORY;
    if (status == SUTRA_OK)
        status = sutra_renewal_encode(&renewal, all ? renewal.fitted : index->now.graph.count);
    for (unsigned round = 0; all && status == SUTRA_OK && round < CATCH_UP_ROUNDS; round++) {
        const size_t rows = sutra_index_rows(index);
        if (rows - renewal.encoded <= CATCH_UP_ROWS)
            break;
        status = sutra_renewal_encode(&renewal, rows);
    }
    if (status == SUTRA_OK) {
        pthread_mutex_lock(&index->stream.gate);
        status = adopt_codes(&renewal, fresh);
        pthread_mutex_unlock(&index->stream.gate);
    }
    if (status != SUTRA_OK)
        free(fresh);
    sutra_renewal_end(&renewal);
    return status;
}

static int renew_codes_if_due(struct sutra_index *index, size_t rows, unsigned threads)
{
    if (index->now.options.quantization == SUTRA_QUANT_NONE)
        return SUTRA_OK;
    if (!sutra_front_has_codes(&index->now))
        return renew_codes(index, threads);
    if (rows / SUTRA_REFIT_GROWTH < index->now.fitted_count)
        return SUTRA_OK;
    const int status = renew_codes(index, threads);
    /* The codes of before do for now. */
    return status == SUTRA_E_NO_MEMORY || status == SUTRA_E_CAPACITY ? SUTRA_OK : status;
}

static void publish(struct sutra_index *index, struct sutra_front *fresh)
{
    pthread_mutex_lock(&index->stream.gate);
    sutra_front_publish(index, fresh, NULL);
    pthread_mutex_unlock(&index->stream.gate);
}

/* Give rows that have come since their codes, well before they are linked: a search that scans
 * them reads an eighth of what it would of originals. */
static int encode_new(struct sutra_index *index, size_t rows, unsigned threads)
{
    struct sutra_front *now = &index->now;
    const size_t first = now->coded;
    if (!sutra_front_has_codes(now) || !sutra_front_has_originals(now) || rows <= first)
        return SUTRA_OK;
    struct sutra_front *fresh = sutra_front_new();
    if (!fresh)
        return SUTRA_E_NO_MEMORY;
    const struct sutra_encoding encoding = {.front = now,
                                            .quantizer = &now->quantizer,
                                            .planes = now->planes.plane,
                                            .vectors = sutra_front_original(now, first),
                                            .stride = now->original_stride,
                                            .first_row = first};
    const int status = sutra_encoding_run(&encoding, rows - first, threads);
    if (status != SUTRA_OK) {
        free(fresh);
        return status;
    }
    now->coded = rows;
    publish(index, fresh);
    return SUTRA_OK;
}

/* ---- steps */

/* Link the next `count` rows: one batch of the graph, or a few while it is small. */
static int link_step(struct sutra_index *index, size_t count, unsigned threads)
{
    struct sutra_front *now = &index->now, *fresh = sutra_front_new();
    struct sutra_space space;
    if (!fresh)
        return SUTRA_E_NO_MEMORY;
    sutra_front_build_space(now, &space);
    const int status = sutra_graph_add(&now->graph, &space, count, threads, NULL, NULL);
    if (status != SUTRA_OK) {
        free(fresh);
        return status;
    }
    now->linked = true;
    publish(index, fresh);
    __atomic_store_n(&index->stream.linked, now->graph.count, __ATOMIC_RELEASE);
    return SUTRA_OK;
}

static bool is_stopped(const bool *stop)
{
    return stop && __atomic_load_n(stop, __ATOMIC_RELAXED);
}

int sutra_stream_link(struct sutra_index *index, size_t max_rows, unsigned threads,
                      const bool *stop, size_t *linked_out)
{
    size_t done = 0, rows = sutra_index_rows(index);
    int status = SUTRA_OK;
    threads = threads ? threads : 1;
    if (rows >= SUTRA_FLAT_ROWS && max_rows > 0 && !is_stopped(stop))
        status = renew_codes_if_due(index, rows, threads);
    if (status == SUTRA_OK && rows >= SUTRA_FLAT_ROWS)
        status = encode_new(index, rows, threads);
    while (status == SUTRA_OK && rows >= SUTRA_FLAT_ROWS && done < max_rows && !is_stopped(stop)) {
        const size_t linked = index->now.graph.count, batch = sutra_graph_batch_rows(linked);
        size_t step = batch < STEP_ROWS_MIN ? STEP_ROWS_MIN : batch;
        step = step < max_rows - done ? step : max_rows - done;
        step = step < rows - linked ? step : rows - linked;
        if (step == 0)
            break;
        status = link_step(index, step, threads);
        if (status == SUTRA_OK)
            done += step;
        rows = sutra_index_rows(index);
        if (status == SUTRA_OK)
            status = encode_new(index, rows, threads);
    }
    if (linked_out)
        *linked_out = done;
    return status;
}
