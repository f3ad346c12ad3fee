/* Adding vectors: check, reserve, write the planes, link, publish.
 *
 * Everything that can be refused is refused first; then memory for all planes is committed;
 * only then rows are written, above the count that readers see, and the graph takes them in.
 * Readers go on with the front they have; the one that is published in the end shows all new rows
 * at once. A failure or a cancellation on the way leaves everything as it was.
 *
 * Rows that are being linked take places in the lists of older ones, which readers walk. So that
 * these are not cut off from one another, fronts are published on the way whose walks go through
 * new rows, but find none. SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

/* Walks may go through new rows whenever so large a part of the graph has been linked since. */
#define SHOW_DIVISOR 8u

struct addition {
    struct sutra_index *index;
    const float *vectors;
    size_t stride, count;
    const int64_t *ids;
    unsigned threads;
    sutra_progress_fn progress;
    void *progress_context;
    struct sutra_left left;
};

/* ---- checks */

static int check_new_ids(struct sutra_index *index, const int64_t *ids, size_t count,
                         struct sutra_fault *fault_out)
{
    if (ids)
        return sutra_index_check_ids(index, ids, count, fault_out);
    return index->next_id > INT64_MAX - (int64_t)count ? SUTRA_E_CAPACITY : SUTRA_OK;
}

/* ---- planes */

static int revive_if_absent(struct sutra_planes *planes, unsigned plane, size_t row_bytes)
{
    return planes->plane[plane].base ? SUTRA_OK : sutra_planes_revive(planes, plane, row_bytes);
}

/* Ids stop being row numbers: write them out. */
static int leave_identity(struct sutra_front *now)
{
    const int status = revive_if_absent(&now->planes, SUTRA_PLANE_ID, sizeof(int64_t));
    if (status != SUTRA_OK)
        return status;
    int64_t *ids = sutra_planes_row(&now->planes, SUTRA_PLANE_ID, 0);
    for (size_t row = 0; row < now->count; row++)
        ids[row] = (int64_t)row;
    return SUTRA_OK;
}

static int64_t new_id(const struct addition *addition, size_t j)
{
    return addition->ids ? addition->ids[j] : addition->index->next_id + (int64_t)j;
}

static bool are_row_numbers(const struct addition *addition)
{
    const struct sutra_front *now = &addition->index->now;
    if (!now->identity_ids)
        return false;
    for (size_t j = 0; j < addition->count; j++) {
        if (new_id(addition, j) != (int64_t)(now->count + j))
            return false;
    }
    return true;
}

static int prepare_codes(struct sutra_front *now)
{
    const size_t row_bytes = now->quantizer.row_bytes;
    int status = revive_if_absent(&now->planes, SUTRA_PLANE_HIGH, row_bytes);
    if (status == SUTRA_OK && now->options.quantization == SUTRA_QUANT_U8)
        status = revive_if_absent(&now->planes, SUTRA_PLANE_LOW, row_bytes);
    if (status == SUTRA_OK)
        status = revive_if_absent(&now->planes, SUTRA_PLANE_CORRECTION,
                                  SUTRA_CORRECTION_FLOATS * sizeof(float));
    return status;
}

/* The data has outgrown the fit: a new mean, and every code anew. The graph stays: distances have
 * not changed. */
static void refit(struct sutra_index *index, unsigned threads)
{
    struct sutra_front *const now = &index->now, *const fresh = sutra_front_new();
    struct sutra_left left = {.plane_count = 0};
    struct sutra_renewal renewal;
    if (!fresh)
        return;
    int status = sutra_renewal_begin(&renewal, index, now->count, threads);
    if (status == SUTRA_OK) {
        status = sutra_renewal_encode(&renewal, now->count);
        if (status == SUTRA_OK)
            status = sutra_renewal_commit(&renewal, now->planes.capacity_rows);
        if (status == SUTRA_OK)
            sutra_renewal_adopt(&renewal, &left);
        sutra_renewal_end(&renewal);
    }
    if (status != SUTRA_OK) {
        free(fresh);
        return;
    }
    sutra_front_publish(index, fresh, &left);
    sutra_front_settle(index);
}

/* ---- linking */

static int link_rows(const struct addition *addition, size_t added, sutra_progress_fn progress,
                     void *progress_context)
{
    struct sutra_front *now = &addition->index->now;
    struct sutra_space space;
    sutra_front_build_space(now, &space);
    return sutra_graph_add(&now->graph, &space, added, addition->threads, progress,
                           progress_context);
}

/* Between batches: the graph is whole, and everything new that lists name has been written. */
static int show_linked(void *context, size_t done, size_t total)
{
    const struct addition *addition = context;
    struct sutra_front *now = &addition->index->now;
    const size_t linked = now->count + now->unfinished;
    if (done < total && now->count + done > linked + linked / SHOW_DIVISOR) {
        struct sutra_front *fresh = sutra_front_new();
        if (fresh) {
            now->unfinished = done;
            sutra_front_publish(addition->index, fresh, NULL);
        }
    }
    return addition->progress ? addition->progress(addition->progress_context, done, total) : 0;
}

/* Into the graph that is there. */
static int link_more(struct addition *addition)
{
    struct sutra_front *now = &addition->index->now;
    const struct sutra_encoding encoding = {.front = now,
                                            .quantizer = &now->quantizer,
                                            .planes = now->planes.plane,
                                            .vectors = addition->vectors,
                                            .stride = addition->stride,
                                            .first_row = now->count};
    int status = SUTRA_OK;
    if (now->options.quantization != SUTRA_QUANT_NONE)
        status = sutra_encoding_run(&encoding, addition->count, addition->threads);
    if (status == SUTRA_OK)
        status = link_rows(addition, addition->count, show_linked, addition);
    return status;
}

/* From flat to linked: all rows, old and new, are encoded and linked. Originals hold them. */
static int link_all(struct addition *addition, size_t rows)
{
    struct sutra_front *now = &addition->index->now;
    int status = SUTRA_OK;
    if (now->options.quantization != SUTRA_QUANT_NONE) {
        const float *vectors = sutra_front_original(now, 0);
        const struct sutra_encoding encoding = {.front = now,
                                                .quantizer = &now->quantizer,
                                                .planes = now->planes.plane,
                                                .vectors = vectors,
                                                .stride = now->original_stride};
        status = prepare_codes(now);
        /* Readers of a flat index do not look at the quantizer. */
        if (status == SUTRA_OK)
            status = sutra_front_fit(now, &now->quantizer, vectors, now->original_stride, rows);
        if (status == SUTRA_OK)
            status = sutra_encoding_run(&encoding, rows, addition->threads);
    }
    if (status == SUTRA_OK)
        status = link_rows(addition, rows, addition->progress, addition->progress_context);
    if (status != SUTRA_OK) {
        for (unsigned p = SUTRA_PLANE_HIGH; p <= SUTRA_PLANE_CORRECTION; p++)
            sutra_planes_drop(&now->planes, p);
        return status;
    }
    now->linked = true;
    now->fitted_count = rows;
    if (!now->options.keep_originals)
        sutra_left_plane(&addition->left, &now->planes.plane[SUTRA_PLANE_ORIGINAL]);
    return SUTRA_OK;
}

/* ---- adding */

static void write_rows(const struct addition *addition)
{
    const struct sutra_front *now = &addition->index->now;
    const size_t dim = now->options.dim;
    for (size_t j = 0; j < addition->count && sutra_front_has_originals(now); j++) {
        float *row = sutra_planes_row(&now->planes, SUTRA_PLANE_ORIGINAL, now->count + j);
        memcpy(row, addition->vectors + j * addition->stride, dim * sizeof *row);
        memset(row + dim, 0, (now->original_stride - dim) * sizeof *row);
    }
    if (!now->planes.plane[SUTRA_PLANE_ID].base)
        return;
    int64_t *to = sutra_planes_row(&now->planes, SUTRA_PLANE_ID, now->count);
    for (size_t j = 0; j < addition->count; j++)
        to[j] = new_id(addition, j);
}

static int reserve(const struct addition *addition, size_t rows, bool identity)
{
    struct sutra_front *now = &addition->index->now;
    int status = sutra_planes_ensure(&now->planes, rows);
    if (status == SUTRA_OK && now->identity_ids && !identity)
        status = leave_identity(now);
    if (status == SUTRA_OK)
        status = sutra_ids_reserve(addition->index, rows, false);
    return status;
}

/* The rows of a failed add will be written anew: nobody may be on his way through them. */
static void take_back(struct sutra_index *index, struct sutra_front *fresh)
{
    if (index->now.unfinished) {
        index->now.unfinished = 0;
        sutra_front_publish(index, fresh, NULL);
        sutra_front_settle(index);
    } else {
        free(fresh);
    }
    if (index->now.identity_ids)
        sutra_planes_drop(&index->now.planes, SUTRA_PLANE_ID);
}

static void raise_next_id(const struct addition *addition)
{
    struct sutra_index *index = addition->index;
    int64_t largest = index->next_id - 1 + (addition->ids ? 0 : (int64_t)addition->count);
    for (size_t j = 0; addition->ids && j < addition->count; j++)
        largest = addition->ids[j] > largest ? addition->ids[j] : largest;
    index->next_id = largest < INT64_MAX ? largest + 1 : INT64_MAX;
}

static int add_rows(struct addition *addition, struct sutra_fault *fault_out)
{
    struct sutra_index *index = addition->index;
    struct sutra_front *now = &index->now;
    const size_t rows = now->count + addition->count;
    if (rows > SUTRA_ROWS_MAX)
        return SUTRA_E_CAPACITY;
    int status = check_new_ids(index, addition->ids, addition->count, fault_out);
    if (status != SUTRA_OK)
        return status;
    struct sutra_front *fresh = sutra_front_new();
    if (!fresh)
        return SUTRA_E_NO_MEMORY;
    const bool identity = are_row_numbers(addition);
    status = reserve(addition, rows, identity);
    if (status == SUTRA_OK) {
        write_rows(addition);
        if (now->linked)
            status = link_more(addition);
        else if (rows >= SUTRA_FLAT_ROWS)
            status = link_all(addition, rows);
    }
    if (status != SUTRA_OK) {
        take_back(index, fresh);
        return status;
    }
    now->identity_ids = identity;
    now->count = rows;
    now->unfinished = 0;
    raise_next_id(addition);
    sutra_front_publish(index, fresh, &addition->left);
    if (addition->left.plane_count)
        sutra_front_settle(index);
    /* Last, because it cannot be undone; for want of memory it waits for the next add. */
    if (now->linked && now->options.quantization != SUTRA_QUANT_NONE &&
        rows >= SUTRA_REFIT_GROWTH * now->fitted_count)
        refit(index, addition->threads);
    return SUTRA_OK;
}

int sutra_index_add(struct sutra_index *index, const float *vectors, size_t stride, size_t count,
                    const int64_t *ids, int64_t *ids_out, unsigned threads,
                    sutra_progress_fn progress, void *progress_context,
                    struct sutra_fault *fault_out)
{
    if (count == 0)
        return SUTRA_OK;
    struct addition addition = {.index = index,
                                .vectors = vectors,
                                .stride = stride,
                                .count = count,
                                .ids = ids,
                                .threads = threads ? threads : 1,
                                .progress = progress,
                                .progress_context = progress_context};
    pthread_mutex_lock(&index->writer);
    const int64_t next_id = index->next_id;
    int status = index->closed ? SUTRA_E_CLOSED : SUTRA_OK;
    if (status == SUTRA_OK)
        status = sutra_front_check_vectors(&index->now, vectors, stride, count, fault_out);
    if (status == SUTRA_OK)
        status = add_rows(&addition, fault_out);
    pthread_mutex_unlock(&index->writer);
    for (size_t j = 0; status == SUTRA_OK && ids_out && j < count; j++)
        ids_out[j] = ids ? ids[j] : next_id + (int64_t)j;
    return status;
}
