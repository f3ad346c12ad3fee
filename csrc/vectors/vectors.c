/* Shared float32 vectors; the contract is in vectors.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "planes.h"
#include "vectors.h"
#include "../base/bytes.h"

struct sutra_vectors {
    const struct sutra_kernels *kernels;
    uint32_t dim;
    size_t stride;     /* floats: dim rounded up to 16 bytes */
    size_t count;      /* atomic: published with release, after the rows are written */
    size_t references; /* atomic */
    pthread_mutex_t writer;
    struct sutra_planes planes; /* plane 0 */
};

int sutra_vectors_new(const struct sutra_kernels *kernels, uint32_t dim,
                      struct sutra_vectors **vectors_out)
{
    struct sutra_vectors *vectors = calloc(1, sizeof *vectors);
    if (!vectors)
        return SUTRA_E_NO_MEMORY;
    vectors->kernels = kernels;
    vectors->dim = dim;
    vectors->stride = sutra_round_up(dim, 4);
    vectors->references = 1;
    const size_t row_bytes[1] = {vectors->stride * sizeof(float)};
    int status = sutra_planes_init(&vectors->planes, row_bytes, 1, SUTRA_HUGE_ADVISE);
    if (status == SUTRA_OK) {
        status = pthread_mutex_init(&vectors->writer, NULL);
        if (status != SUTRA_OK)
            sutra_planes_deinit(&vectors->planes);
    }
    if (status != SUTRA_OK) {
        free(vectors);
        return status;
    }
    *vectors_out = vectors;
    return SUTRA_OK;
}

void sutra_vectors_hold(struct sutra_vectors *vectors)
{
    __atomic_add_fetch(&vectors->references, 1, __ATOMIC_RELAXED);
}

void sutra_vectors_drop(struct sutra_vectors *vectors)
{
    if (!vectors || __atomic_sub_fetch(&vectors->references, 1, __ATOMIC_ACQ_REL))
        return;
    sutra_planes_deinit(&vectors->planes);
    pthread_mutex_destroy(&vectors->writer);
    free(vectors);
}

int sutra_vectors_append(struct sutra_vectors *vectors, const float *rows, size_t stride,
                         size_t count, size_t *first_out, struct sutra_fault *fault_out)
{
    const size_t dim = vectors->dim;
    for (size_t r = 0; r < count; r++) {
        if (!vectors->kernels->all_finite_f32(rows + r * stride, dim)) {
            *fault_out = SUTRA_FAULT_NONE;
            fault_out->row = (int64_t)r;
            return SUTRA_E_VECTOR;
        }
    }

    pthread_mutex_lock(&vectors->writer);
    const size_t first = vectors->count;
    int status = SUTRA_E_CAPACITY;
    if (count <= SUTRA_ROWS_MAX - first)
        status = sutra_planes_ensure(&vectors->planes, first + count);
    if (status == SUTRA_OK) {
        for (size_t r = 0; r < count; r++)
            memcpy(sutra_planes_row(&vectors->planes, 0, first + r), rows + r * stride,
                   dim * sizeof(float));
        __atomic_store_n(&vectors->count, first + count, __ATOMIC_RELEASE);
        *first_out = first;
    }
    pthread_mutex_unlock(&vectors->writer);
    return status;
}

int sutra_vectors_gather(const struct sutra_vectors *vectors, const int64_t *numbers, size_t count,
                         float *rows_out, struct sutra_fault *fault_out)
{
    const size_t limit = sutra_vectors_count(vectors), dim = vectors->dim;
    for (size_t j = 0; j < count; j++) {
        if (numbers[j] < 0 || (uint64_t)numbers[j] >= limit) {
            *fault_out = SUTRA_FAULT_NONE;
            fault_out->row = (int64_t)j;
            fault_out->expected = limit;
            fault_out->found = (uint64_t)numbers[j];
            return SUTRA_E_ARGUMENT;
        }
    }
    for (size_t j = 0; j < count; j++)
        memcpy(rows_out + j * dim, sutra_planes_row(&vectors->planes, 0, (size_t)numbers[j]),
               dim * sizeof(float));
    return SUTRA_OK;
}

uint32_t sutra_vectors_dim(const struct sutra_vectors *vectors)
{
    return vectors->dim;
}

size_t sutra_vectors_stride(const struct sutra_vectors *vectors)
{
    return vectors->stride;
}

size_t sutra_vectors_count(const struct sutra_vectors *vectors)
{
    return __atomic_load_n(&vectors->count, __ATOMIC_ACQUIRE);
}

const float *sutra_vectors_rows(const struct sutra_vectors *vectors)
{
    return sutra_planes_row(&vectors->planes, 0, 0);
}
