/* Rows of a streamed index: storing them, ending them, reading them back; see stream.h.
 *
 * A row is written whole before the count that shows it is raised. Where originals are not kept
 * and codes are there, a row is encoded as it comes, by the quantizer of the day; under the gate,
 * so that the linker cannot exchange it meanwhile.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

#include "stream.h"
#include "../base/bytes.h"

/* ---- life */

static int prepare(struct sutra_index *index)
{
    struct sutra_planes *planes = &index->now.planes;
    int status = sutra_planes_revive(planes, SUTRA_PLANE_ID, sizeof(int64_t));
    if (status == SUTRA_OK)
        status = sutra_planes_revive(planes, SUTRA_PLANE_BIRTH, sizeof(uint64_t));
    if (status == SUTRA_OK)
        status = sutra_planes_revive(planes, SUTRA_PLANE_DEATH, sizeof(uint64_t));
    if (status != SUTRA_OK || index->now.options.keep_originals)
        return status;
    index->stream.scratch = malloc(sutra_encoding_scratch_bytes(&index->now));
    return index->stream.scratch ? SUTRA_OK : SUTRA_E_NO_MEMORY;
}

int sutra_stream_make(const struct sutra_kernels *kernels,
                      const struct sutra_index_options *options, struct sutra_index **index_out,
                      struct sutra_fault *fault_out)
{
    struct sutra_index *index = NULL;
    int status = sutra_index_make(kernels, options, &index, fault_out);
    if (status != SUTRA_OK)
        return status;
    index->streamed = true;
    index->now.graph.peers = true;
    index->now.identity_ids = false;
    status = prepare(index);
    if (status != SUTRA_OK) {
        sutra_index_free(index);
        return status;
    }
    *index_out = index;
    return SUTRA_OK;
}

int sutra_stream_new(const struct sutra_kernels *kernels, const struct sutra_index_options *options,
                     struct sutra_index **index_out, struct sutra_fault *fault_out)
{
    struct sutra_index *index;
    int status = sutra_stream_make(kernels, options, &index, fault_out);
    if (status != SUTRA_OK)
        return status;
    status = sutra_index_show(index);
    if (status != SUTRA_OK) {
        sutra_index_free(index);
        return status;
    }
    *index_out = index;
    return SUTRA_OK;
}

/* ---- the writer */

int sutra_stream_reserve(struct sutra_index *index, size_t count)
{
    const size_t rows = index->stream.rows;
    if (count > SUTRA_ROWS_MAX - rows)
        return SUTRA_E_CAPACITY;
    pthread_mutex_lock(&index->stream.gate);
    const int status = sutra_planes_ensure(&index->now.planes, rows + count);
    pthread_mutex_unlock(&index->stream.gate);
    return status;
}

int sutra_stream_check(const struct sutra_index *index, const float *vectors, size_t stride,
                       size_t count, struct sutra_fault *fault_out)
{
    return sutra_front_check_vectors(&index->now, vectors, stride, count, fault_out);
}

/* Under the gate. */
static void write_vectors(struct sutra_index *index, const float *vectors, size_t stride,
                          size_t first, size_t count)
{
    const struct sutra_front *now = &index->now;
    const size_t dim = now->options.dim;
    if (!sutra_front_has_originals(now)) {
        const struct sutra_encoding encoding = {.front = now,
                                                .quantizer = &now->quantizer,
                                                .planes = now->planes.plane,
                                                .vectors = vectors,
                                                .stride = stride,
                                                .first_row = first};
        sutra_encoding_rows(&encoding, index->stream.scratch, 0, count);
        return;
    }
    for (size_t j = 0; j < count; j++) {
        float *row = sutra_planes_row(&now->planes, SUTRA_PLANE_ORIGINAL, first + j);
        memcpy(row, vectors + j * stride, dim * sizeof *row);
        memset(row + dim, 0, (now->original_stride - dim) * sizeof *row);
    }
}

void sutra_stream_append(struct sutra_index *index, const float *vectors, size_t stride,
                         size_t count, const int64_t *labels, uint64_t birth,
                         uint32_t *first_row_out)
{
    const size_t first = index->stream.rows;
    *first_row_out = (uint32_t)first;
    if (count == 0)
        return;
    pthread_mutex_lock(&index->stream.gate);
    write_vectors(index, vectors, stride, first, count);
    memcpy(sutra_planes_row(&index->now.planes, SUTRA_PLANE_ID, first), labels,
           count * sizeof *labels);
    uint64_t *births = sutra_planes_row(&index->now.planes, SUTRA_PLANE_BIRTH, 0);
    uint64_t *deaths = sutra_planes_row(&index->now.planes, SUTRA_PLANE_DEATH, 0);
    for (size_t row = first; row < first + count; row++) {
        births[row] = birth;
        deaths[row] = SUTRA_ROW_ALIVE;
    }
    __atomic_store_n(&index->stream.rows, first + count, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&index->stream.gate);
}

void sutra_stream_end_row(struct sutra_index *index, uint32_t row, uint64_t death)
{
    if (row >= index->stream.rows || death == SUTRA_ROW_ALIVE)
        return;
    uint64_t *at = sutra_planes_row(&index->now.planes, SUTRA_PLANE_DEATH, row);
    if (*at != SUTRA_ROW_ALIVE)
        return;
    __atomic_store_n(at, death, __ATOMIC_RELAXED);
    __atomic_fetch_add(&index->stream.dead, 1, __ATOMIC_RELAXED);
    sutra_dirty_mark(&index->stream.deaths_dirty, row);
}

/* ---- what there is */

uint32_t sutra_stream_dim(const struct sutra_index *index)
{
    return index->now.options.dim;
}

size_t sutra_stream_rows(const struct sutra_index *index)
{
    return sutra_index_rows(index);
}

size_t sutra_stream_pending(const struct sutra_index *index)
{
    /* In this order: what is linked was stored before. */
    const size_t linked = __atomic_load_n(&index->stream.linked, __ATOMIC_ACQUIRE);
    return sutra_index_rows(index) - linked;
}

size_t sutra_stream_dead(const struct sutra_index *index)
{
    return __atomic_load_n(&index->stream.dead, __ATOMIC_RELAXED);
}

size_t sutra_stream_row_bytes(const struct sutra_index *index)
{
    const struct sutra_index_options *options = &index->now.options;
    size_t bytes = 2 * (size_t)options->m * sizeof(uint32_t);
    if (options->keep_originals)
        bytes += index->now.original_stride * sizeof(float);
    if (options->quantization != SUTRA_QUANT_NONE) /* four bits a dimension in each plane */
        bytes += (options->quantization == SUTRA_QUANT_U8 ? 2u : 1u) * options->dim / 2;
    return bytes;
}

int sutra_stream_get(struct sutra_index *index, uint32_t row, float *vector_out)
{
    struct sutra_reading reading;
    if (row >= sutra_index_rows(index))
        return SUTRA_E_NOT_FOUND;
    int status = sutra_index_enter(index, false, &reading);
    if (status != SUTRA_OK)
        return status;
    status = sutra_front_read_row(reading.front, row, vector_out);
    sutra_index_leave(index, &reading);
    return status;
}

/* The plane of labels stays the one it is. */
int64_t sutra_stream_label(const struct sutra_index *index, uint32_t row)
{
    return row < sutra_index_rows(index) ? sutra_front_id_of(&index->now, row) : -1;
}
