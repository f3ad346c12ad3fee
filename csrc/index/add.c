/* Adding vectors: check, reserve, write the planes, link.
 *
 * Everything that can be refused is refused first; then memory for all planes is committed;
 * only then rows are written, above the count that readers see, and the graph takes them in.
 * A failure or a cancellation on the way leaves the count as it was.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <string.h>

/* ---- checks */

static int check_new_ids(struct sutra_index *index, const int64_t *ids, size_t count,
                         struct sutra_fault *fault_out)
{
    if (ids)
        return sutra_index_check_ids(index, ids, count, fault_out);
    return index->next_id > INT64_MAX - (int64_t)count ? SUTRA_E_CAPACITY : SUTRA_OK;
}

/* ---- planes */

static int revive_if_absent(struct sutra_index *index, unsigned plane, size_t row_bytes)
{
    if (index->planes.plane[plane].base)
        return SUTRA_OK;
    return sutra_planes_revive(&index->planes, plane, row_bytes);
}

/* Ids stop being row numbers: write them out. */
static int leave_identity(struct sutra_index *index)
{
    const int status = revive_if_absent(index, SUTRA_PLANE_ID, sizeof(int64_t));
    if (status != SUTRA_OK)
        return status;
    int64_t *ids = sutra_planes_row(&index->planes, SUTRA_PLANE_ID, 0);
    for (size_t row = 0; row < index->count; row++)
        ids[row] = (int64_t)row;
    return SUTRA_OK;
}

static bool are_row_numbers(const struct sutra_index *index, const int64_t *ids, size_t count)
{
    if (!index->identity_ids)
        return false;
    for (size_t j = 0; j < count; j++) {
        const int64_t id = ids ? ids[j] : index->next_id + (int64_t)j;
        if (id != (int64_t)(index->count + j))
            return false;
    }
    return true;
}

static int prepare_codes(struct sutra_index *index)
{
    const size_t row_bytes = index->quantizer.row_bytes;
    int status = revive_if_absent(index, SUTRA_PLANE_HIGH, row_bytes);
    if (status == SUTRA_OK && index->options.quantization == SUTRA_QUANT_U8)
        status = revive_if_absent(index, SUTRA_PLANE_LOW, row_bytes);
    if (status == SUTRA_OK)
        status = revive_if_absent(index, SUTRA_PLANE_CORRECTION,
                                  SUTRA_CORRECTION_FLOATS * sizeof(float));
    return status;
}

/* The data has outgrown the fit: a new mean, and every code anew. The graph stays: distances
 * have not changed. Memory comes first: a refit that stopped half way would mix two codes. */
static int refit(struct sutra_index *index, unsigned threads)
{
    struct sutra_quantizer fresh;
    int status = sutra_index_fit_anew(index, index->count, &fresh);
    if (status != SUTRA_OK)
        return status;
    const struct sutra_encoding encoding = {
        .index = index,
        .quantizer = &fresh,
        .planes = index->planes.plane,
        .vectors = sutra_index_has_originals(index) ? sutra_index_original(index, 0) : NULL,
        .stride = index->original_stride};
    status = sutra_encoding_run(&encoding, index->count, threads);
    if (status != SUTRA_OK) {
        sutra_quantizer_deinit(&fresh);
        return status;
    }
    sutra_quantizer_deinit(&index->quantizer);
    index->quantizer = fresh;
    index->fitted_count = index->count;
    return SUTRA_OK;
}

/* ---- linking */

static int link_rows(struct sutra_index *index, size_t added, unsigned threads,
                     sutra_progress_fn progress, void *progress_context)
{
    struct sutra_space space;
    sutra_index_build_space(index, &space);
    return sutra_graph_add(&index->graph, &space, added, threads, progress, progress_context);
}

/* From flat to linked: all rows, old and new, are encoded and linked. Originals hold them. */
static int link_all(struct sutra_index *index, size_t rows, unsigned threads,
                    sutra_progress_fn progress, void *progress_context)
{
    int status = SUTRA_OK;
    if (index->options.quantization != SUTRA_QUANT_NONE) {
        const float *vectors = sutra_index_original(index, 0);
        const struct sutra_encoding encoding = {.index = index,
                                                .quantizer = &index->quantizer,
                                                .planes = index->planes.plane,
                                                .vectors = vectors,
                                                .stride = index->original_stride};
        status = prepare_codes(index);
        if (status == SUTRA_OK)
            status =
                sutra_index_fit(index, &index->quantizer, vectors, index->original_stride, rows);
        if (status == SUTRA_OK)
            status = sutra_encoding_run(&encoding, rows, threads);
    }
    if (status == SUTRA_OK)
        status = link_rows(index, rows, threads, progress, progress_context);
    if (status != SUTRA_OK) {
        for (unsigned p = SUTRA_PLANE_HIGH; p <= SUTRA_PLANE_CORRECTION; p++)
            sutra_planes_drop(&index->planes, p);
        return status;
    }
    index->linked = true;
    index->fitted_count = rows;
    if (!index->options.keep_originals)
        sutra_planes_drop(&index->planes, SUTRA_PLANE_ORIGINAL);
    return SUTRA_OK;
}

static void write_rows(struct sutra_index *index, const float *vectors, size_t stride, size_t count,
                       const int64_t *ids)
{
    const size_t dim = index->options.dim;
    for (size_t j = 0; j < count && sutra_index_has_originals(index); j++) {
        float *row = sutra_planes_row(&index->planes, SUTRA_PLANE_ORIGINAL, index->count + j);
        memcpy(row, vectors + j * stride, dim * sizeof *row);
        memset(row + dim, 0, (index->original_stride - dim) * sizeof *row);
    }
    if (!index->planes.plane[SUTRA_PLANE_ID].base)
        return;
    int64_t *to = sutra_planes_row(&index->planes, SUTRA_PLANE_ID, index->count);
    for (size_t j = 0; j < count; j++)
        to[j] = ids ? ids[j] : index->next_id + (int64_t)j;
}

static int add_locked(struct sutra_index *index, const float *vectors, size_t stride, size_t count,
                      const int64_t *ids, unsigned threads, sutra_progress_fn progress,
                      void *progress_context, struct sutra_fault *fault_out)
{
    const size_t rows = index->count + count;
    if (rows > SUTRA_ROWS_MAX)
        return SUTRA_E_CAPACITY;
    int status = check_new_ids(index, ids, count, fault_out);
    if (status == SUTRA_OK)
        status = sutra_planes_ensure(&index->planes, rows);
    const bool identity = status == SUTRA_OK && are_row_numbers(index, ids, count);
    if (status == SUTRA_OK && index->identity_ids && !identity)
        status = leave_identity(index);
    if (status == SUTRA_OK && index->id_table)
        status = sutra_index_build_id_table(index, rows);
    if (status != SUTRA_OK)
        return status;

    write_rows(index, vectors, stride, count, ids);
    if (index->linked) {
        const struct sutra_encoding encoding = {.index = index,
                                                .quantizer = &index->quantizer,
                                                .planes = index->planes.plane,
                                                .vectors = vectors,
                                                .stride = stride,
                                                .first_row = index->count};
        if (index->options.quantization != SUTRA_QUANT_NONE)
            status = sutra_encoding_run(&encoding, count, threads);
        if (status == SUTRA_OK)
            status = link_rows(index, count, threads, progress, progress_context);
    } else if (rows >= SUTRA_FLAT_ROWS) {
        status = link_all(index, rows, threads, progress, progress_context);
    }
    if (status != SUTRA_OK) {
        if (index->identity_ids)
            sutra_planes_drop(&index->planes, SUTRA_PLANE_ID);
        return status;
    }
    index->identity_ids = identity;
    const size_t first = index->count;
    index->count = rows;
    for (size_t j = 0; j < count; j++) {
        const int64_t id = ids ? ids[j] : index->next_id + (int64_t)j;
        sutra_index_enter_id(index, id, first + j);
    }
    int64_t largest = index->next_id - 1 + (ids ? 0 : (int64_t)count);
    for (size_t j = 0; ids && j < count; j++)
        largest = ids[j] > largest ? ids[j] : largest;
    index->next_id = largest < INT64_MAX ? largest + 1 : INT64_MAX;
    /* Last, because it cannot be undone; for want of memory it waits for the next add. */
    if (index->linked && index->options.quantization != SUTRA_QUANT_NONE &&
        rows >= SUTRA_REFIT_GROWTH * index->fitted_count)
        refit(index, threads);
    return SUTRA_OK;
}

int sutra_index_add(struct sutra_index *index, const float *vectors, size_t stride, size_t count,
                    const int64_t *ids, int64_t *ids_out, unsigned threads,
                    sutra_progress_fn progress, void *progress_context,
                    struct sutra_fault *fault_out)
{
    if (count == 0)
        return SUTRA_OK;
    sutra_lock_write(&index->lock);
    int status = index->closed ? SUTRA_E_CLOSED : SUTRA_OK;
    const int64_t next_id = index->next_id;
    if (status == SUTRA_OK)
        status = sutra_index_check_vectors(index, vectors, stride, count, fault_out);
    if (status == SUTRA_OK)
        status = add_locked(index, vectors, stride, count, ids, threads ? threads : 1, progress,
                            progress_context, fault_out);
    sutra_unlock(&index->lock);
    for (size_t j = 0; status == SUTRA_OK && ids_out && j < count; j++)
        ids_out[j] = ids ? ids[j] : next_id + (int64_t)j;
    return status;
}
