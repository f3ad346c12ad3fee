/* From vectors to codes: fitting the quantizer, and encoding rows with it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

#include "../base/bytes.h"
#include "../base/threads.h"

/* Codes stand in for originals that were not kept; the mean needs no more of them. */
#define DECODED_SAMPLE 8192u

/* ---- encoding */

size_t sutra_encoding_scratch_bytes(const struct sutra_index *index)
{
    return sutra_quantizer_scratch_bytes(&index->quantizer) +
           sutra_round_up(index->options.dim * sizeof(float), 64);
}

static void *plane_row(const struct sutra_plane *plane, size_t row)
{
    return plane->base ? plane->base + row * plane->row_bytes : NULL;
}

static void decode_row(const struct sutra_index *index, size_t row, void *scratch,
                       float *vector_out)
{
    const struct sutra_plane *planes = index->planes.plane;
    sutra_quantizer_decode(&index->quantizer, index->kernels,
                           plane_row(&planes[SUTRA_PLANE_HIGH], row),
                           plane_row(&planes[SUTRA_PLANE_LOW], row),
                           plane_row(&planes[SUTRA_PLANE_CORRECTION], row), scratch, vector_out);
}

void sutra_encoding_rows(const struct sutra_encoding *encoding, void *scratch, size_t begin,
                         size_t end)
{
    const struct sutra_index *index = encoding->index;
    const struct sutra_plane *planes = encoding->planes;
    float *decoded =
        (float *)scratch + sutra_quantizer_scratch_bytes(encoding->quantizer) / sizeof(float);
    for (size_t j = begin; j < end; j++) {
        const size_t row = encoding->first_row + j;
        float *correction = plane_row(&planes[SUTRA_PLANE_CORRECTION], row);
        const float *vector = decoded;
        float scale = 1.0f;
        if (encoding->vectors) {
            vector = encoding->vectors + j * encoding->stride;
            scale = sutra_index_scale(index, vector);
        } else if (sutra_index_is_zero_row(index, row)) {
            scale = 0.0f;
        } else {
            decode_row(index, row, scratch, decoded);
        }
        if (scale == 0.0f)
            vector = memset(decoded, 0, index->options.dim * sizeof *decoded);
        sutra_quantizer_encode(encoding->quantizer, index->kernels, vector, scale, scratch,
                               plane_row(&planes[SUTRA_PLANE_HIGH], row),
                               plane_row(&planes[SUTRA_PLANE_LOW], row), correction);
        if (scale == 0.0f) { /* see sutra_index_is_zero_row; |mean|^2 is at most 1 */
            correction[0] += 1.0f;
            correction[1] = 0.0f;
        }
    }
}

struct encoding_run {
    const struct sutra_encoding *encoding;
    uint8_t *scratch; /* scratch_bytes for each worker */
    size_t scratch_bytes;
};

static int encode_range(void *context, unsigned worker, size_t begin, size_t end)
{
    const struct encoding_run *run = context;
    sutra_encoding_rows(run->encoding, run->scratch + worker * run->scratch_bytes, begin, end);
    return SUTRA_OK;
}

int sutra_encoding_run(const struct sutra_encoding *encoding, size_t count, unsigned threads)
{
    struct encoding_run run = {.encoding = encoding};
    run.scratch_bytes = sutra_encoding_scratch_bytes(encoding->index);
    run.scratch = malloc(threads * run.scratch_bytes);
    if (!run.scratch)
        return SUTRA_E_NO_MEMORY;
    const int status = sutra_parallel_for(count, 256, threads, encode_range, &run);
    free(run.scratch);
    return status;
}

/* ---- fitting */

int sutra_index_fit(const struct sutra_index *index, struct sutra_quantizer *quantizer,
                    const float *vectors, size_t stride, size_t count)
{
    float *scales = NULL;
    if (index->options.metric == SUTRA_METRIC_COSINE) {
        scales = malloc(count * sizeof *scales);
        if (!scales)
            return SUTRA_E_NO_MEMORY;
        for (size_t row = 0; row < count; row++)
            scales[row] = sutra_index_scale(index, vectors + row * stride);
    }
    const int status =
        sutra_quantizer_fit(quantizer, index->kernels, vectors, stride, scales, count);
    free(scales);
    return status;
}

/* Decode a sample of the codes of `count` rows and fit to that. */
static int fit_to_codes(const struct sutra_index *index, size_t count,
                        struct sutra_quantizer *quantizer)
{
    const size_t sampled = count < DECODED_SAMPLE ? count : DECODED_SAMPLE;
    const size_t dim = index->options.dim;
    void *scratch = malloc(sutra_quantizer_scratch_bytes(&index->quantizer));
    float *sample = malloc(sampled * dim * sizeof *sample);
    int status = scratch && sample ? SUTRA_OK : SUTRA_E_NO_MEMORY;
    for (size_t s = 0; status == SUTRA_OK && s < sampled; s++)
        decode_row(index, s * count / sampled, scratch, sample + s * dim);
    if (status == SUTRA_OK)
        status = sutra_index_fit(index, quantizer, sample, dim, sampled);
    free(scratch);
    free(sample);
    return status;
}

int sutra_index_fit_anew(const struct sutra_index *index, size_t count,
                         struct sutra_quantizer *quantizer_out)
{
    int status = sutra_quantizer_init(quantizer_out, index->options.dim, index->options.seed);
    if (status != SUTRA_OK)
        return status;
    if (sutra_index_has_originals(index))
        status = sutra_index_fit(index, quantizer_out, sutra_index_original(index, 0),
                                 index->original_stride, count);
    else
        status = fit_to_codes(index, count, quantizer_out);
    if (status != SUTRA_OK)
        sutra_quantizer_deinit(quantizer_out);
    return status;
}
