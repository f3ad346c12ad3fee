/* Linking a streamed index: pending rows go into the graph while the writer appends and readers
 * search.
 *
 * Everything slow happens in memory that no reader looks at: codes of rows that are not linked
 * yet, code planes that are not the index's yet, lists of nodes beyond the graph's front. Then
 * one moment under the locks makes it the index's own. What a moment needs has been allocated
 * before it, but for what the writer has added meanwhile.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include "stream.h"

/* Rows that a step links at least: below this a moment under the lock is not worth its wait. */
#define STEP_ROWS_MIN 64u
/* Rows that the writer may leave to be encoded under its gate, unless it keeps outrunning us. */
#define CATCH_UP_ROWS 256u
#define CATCH_UP_ROUNDS 8u

/* Indexed by SUTRA_PLANE_HIGH, _LOW and _CORRECTION. */
#define CODE_PLANES ((size_t)SUTRA_PLANE_CORRECTION + 1)

/* ---- codes made anew */

struct renewal {
    struct sutra_index *index;
    struct sutra_quantizer quantizer;
    struct sutra_plane planes[CODE_PLANES];
    struct sutra_plane originals; /* what the codes have replaced */
    unsigned threads;
    size_t fitted;  /* rows the quantizer was fitted to */
    size_t encoded; /* rows that have their codes */
};

static int reserve_codes(struct renewal *renewal, size_t rows)
{
    const struct sutra_index *index = renewal->index;
    const size_t code_bytes = index->quantizer.row_bytes;
    const size_t row_bytes[CODE_PLANES] = {
        [SUTRA_PLANE_HIGH] = code_bytes,
        [SUTRA_PLANE_LOW] = index->options.quantization == SUTRA_QUANT_U8 ? code_bytes : 0,
        [SUTRA_PLANE_CORRECTION] = SUTRA_CORRECTION_FLOATS * sizeof(float)};
    int status = SUTRA_OK;
    for (size_t p = 0; p < CODE_PLANES && status == SUTRA_OK; p++) {
        if (row_bytes[p])
            status = sutra_plane_reserve(&renewal->planes[p], row_bytes[p], rows,
                                         index->planes.huge_pages);
    }
    return status;
}

static int commit_codes(struct renewal *renewal, size_t rows)
{
    int status = SUTRA_OK;
    for (size_t p = 0; p < CODE_PLANES && status == SUTRA_OK; p++) {
        if (renewal->planes[p].base)
            status =
                sutra_arena_commit(&renewal->planes[p].arena, rows * renewal->planes[p].row_bytes);
    }
    return status;
}

static int encode_up_to(struct renewal *renewal, size_t rows)
{
    const struct sutra_index *index = renewal->index;
    const size_t first = renewal->encoded;
    if (rows <= first)
        return SUTRA_OK;
    const struct sutra_encoding encoding = {
        .index = index,
        .quantizer = &renewal->quantizer,
        .planes = renewal->planes,
        .vectors = sutra_index_has_originals(index) ? sutra_index_original(index, first) : NULL,
        .stride = index->original_stride,
        .first_row = first};
    int status = commit_codes(renewal, rows);
    if (status == SUTRA_OK)
        status = sutra_encoding_run(&encoding, rows - first, renewal->threads);
    if (status == SUTRA_OK)
        renewal->encoded = rows;
    return status;
}

/* Under the gate: nothing is appended meanwhile, and room for rows may have grown. */
static int adopt_codes(struct renewal *renewal)
{
    struct sutra_index *index = renewal->index;
    int status = SUTRA_OK;
    if (!index->options.keep_originals)
        status = encode_up_to(renewal, index->count);
    if (status == SUTRA_OK)
        status = commit_codes(renewal, index->planes.capacity_rows);
    if (status != SUTRA_OK)
        return status;
    sutra_lock_write(&index->lock);
    for (size_t p = 0; p < CODE_PLANES; p++) {
        const struct sutra_plane old = index->planes.plane[p];
        index->planes.plane[p] = renewal->planes[p];
        renewal->planes[p] = old;
    }
    const struct sutra_quantizer old = index->quantizer;
    index->quantizer = renewal->quantizer;
    renewal->quantizer = old;
    index->fitted_count = renewal->fitted;
    __atomic_store_n(&index->stream.coded, renewal->encoded, __ATOMIC_RELEASE);
    if (!index->options.keep_originals) {
        renewal->originals = index->planes.plane[SUTRA_PLANE_ORIGINAL];
        index->planes.plane[SUTRA_PLANE_ORIGINAL] = (struct sutra_plane){0};
    }
    sutra_unlock(&index->lock);
    index->stream.codes_version++;
    return SUTRA_OK;
}

/* Fit a quantizer to the rows there are and make the codes that it asks for: of the linked rows, or
 * of all where codes stand in for originals. */
static int renew_codes(struct sutra_index *index, unsigned threads)
{
    struct renewal renewal = {
        .index = index, .threads = threads, .fitted = sutra_index_rows(index)};
    int status = sutra_index_fit_anew(index, renewal.fitted, &renewal.quantizer);
    if (status != SUTRA_OK)
        return status;
    const bool all = !index->options.keep_originals;
    status = reserve_codes(&renewal, renewal.fitted);
    if (status == SUTRA_OK)
        status = encode_up_to(&renewal, all ? renewal.fitted : index->graph.count);
    for (unsigned round = 0; all && status == SUTRA_OK && round < CATCH_UP_ROUNDS; round++) {
        const size_t rows = sutra_index_rows(index);
        if (rows - renewal.encoded <= CATCH_UP_ROWS)
            break;
        status = encode_up_to(&renewal, rows);
    }
    if (status == SUTRA_OK) {
        pthread_mutex_lock(&index->stream.gate);
        status = adopt_codes(&renewal);
        pthread_mutex_unlock(&index->stream.gate);
    }
    /* The old ones, or what has come to nothing. */
    for (size_t p = 0; p < CODE_PLANES; p++)
        sutra_plane_release(&renewal.planes[p]);
    sutra_plane_release(&renewal.originals);
    sutra_quantizer_deinit(&renewal.quantizer);
    return status;
}

static int renew_codes_if_due(struct sutra_index *index, size_t rows, unsigned threads)
{
    if (index->options.quantization == SUTRA_QUANT_NONE)
        return SUTRA_OK;
    if (!sutra_index_has_codes(index))
        return renew_codes(index, threads);
    if (rows / SUTRA_REFIT_GROWTH < index->fitted_count)
        return SUTRA_OK;
    const int status = renew_codes(index, threads);
    /* The codes of before do for now. */
    return status == SUTRA_E_NO_MEMORY || status == SUTRA_E_CAPACITY ? SUTRA_OK : status;
}

/* Give rows that have come since their codes, well before they are linked: a search that scans
 * them reads an eighth of what it would of originals. */
static int encode_new(struct sutra_index *index, size_t rows, unsigned threads)
{
    const size_t first = index->stream.coded;
    if (!sutra_index_has_codes(index) || !sutra_index_has_originals(index) || rows <= first)
        return SUTRA_OK;
    const struct sutra_encoding encoding = {.index = index,
                                            .quantizer = &index->quantizer,
                                            .planes = index->planes.plane,
                                            .vectors = sutra_index_original(index, first),
                                            .stride = index->original_stride,
                                            .first_row = first};
    const int status = sutra_encoding_run(&encoding, rows - first, threads);
    if (status == SUTRA_OK)
        __atomic_store_n(&index->stream.coded, rows, __ATOMIC_RELEASE);
    return status;
}

/* ---- steps */

/* Link the next `count` rows: one batch of the graph, or a few while it is small. */
static int link_step(struct sutra_index *index, size_t count, unsigned threads)
{
    struct sutra_space space;
    sutra_index_build_space(index, &space);
    const int status = sutra_graph_extend(&index->graph, &space, count, threads, NULL, NULL);
    if (status != SUTRA_OK)
        return status;
    sutra_lock_write(&index->lock);
    sutra_graph_publish(&index->graph);
    index->linked = true;
    sutra_unlock(&index->lock);
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
        const size_t linked = index->graph.count, batch = sutra_graph_batch_rows(linked);
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
