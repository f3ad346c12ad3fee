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

size_t sutra_encoding_scratch_bytes(const struct sutra_front *front)
{
    return sutra_quantizer_scratch_bytes(&front->quantizer) +
           sutra_round_up(front->options.dim * sizeof(float), 64);
}

static void *plane_row(const struct sutra_plane *plane, size_t row)
{
    return plane->base ? plane->base + row * plane->row_bytes : NULL;
}

static void decode_row(const struct sutra_front *front, size_t row, void *scratch,
                       float *vector_out)
{
    const struct sutra_plane *planes = front->planes.plane;
    sutra_quantizer_decode(&front->quantizer, front->kernels,
                           plane_row(&planes[SUTRA_PLANE_HIGH], row),
                           plane_row(&planes[SUTRA_PLANE_LOW], row),
                           plane_row(&planes[SUTRA_PLANE_CORRECTION], row), scratch, vector_out);
}

void sutra_encoding_rows(const struct sutra_encoding *encoding, void *scratch, size_t begin,
                         size_t end)
{
    const struct sutra_front *front = encoding->front;
    const struct sutra_plane *planes = encoding->planes;
    float *decoded =
        (float *)scratch + sutra_quantizer_scratch_bytes(encoding->quantizer) / sizeof(float);
    for (size_t j = begin; j < end; j++) {
        const size_t row = encoding->rows ? encoding->rows[j] : encoding->first_row + j;
        float *correction = plane_row(&planes[SUTRA_PLANE_CORRECTION], row);
        const float *vector = decoded;
        float scale = 1.0f;
        if (encoding->vectors) {
            vector = encoding->vectors + j * encoding->stride;
            scale = sutra_front_scale(front, vector);
        } else if (sutra_front_is_zero_row(front, row)) {
            scale = 0.0f;
        } else {
            decode_row(front, row, scratch, decoded);
        }
        if (scale == 0.0f)
            vector = memset(decoded, 0, front->options.dim * sizeof *decoded);
        sutra_quantizer_encode(encoding->quantizer, front->kernels, vector, scale, scratch,
                               plane_row(&planes[SUTRA_PLANE_HIGH], row),
                               plane_row(&planes[SUTRA_PLANE_LOW], row), correction);
        if (scale == 0.0f) { /* see sutra_front_is_zero_row; |mean|^2 is at most 1 */
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
    run.scratch_bytes = sutra_encoding_scratch_bytes(encoding->front);
    run.scratch = malloc(threads * run.scratch_bytes);
    if (!run.scratch)
        return SUTRA_E_NO_MEMORY;
    const int status = sutra_parallel_for(count, 256, threads, encode_range, &run);
    free(run.scratch);
    return status;
}

/* ---- fitting */

int sutra_front_fit(const struct sutra_front *front, struct sutra_quantizer *quantizer,
                    const float *vectors, size_t stride, size_t count)
{
    float *scales = NULL;
    if (front->options.metric == SUTRA_METRIC_COSINE) {
        scales = malloc(count * sizeof *scales);
        if (!scales)
            return SUTRA_E_NO_MEMORY;
        for (size_t row = 0; row < count; row++)
            scales[row] = sutra_front_scale(front, vectors + row * stride);
    }
    const int status =
        sutra_quantizer_fit(quantizer, front->kernels, vectors, stride, scales, count);
    free(scales);
    return status;
}

/* Decode a sample of the codes of `count` rows and fit to that. */
static int fit_to_codes(const struct sutra_front *front, size_t count,
                        struct sutra_quantizer *quantizer)
{
    const size_t sampled = count < DECODED_SAMPLE ? count : DECODED_SAMPLE;
    const size_t dim = front->options.dim;
    void *scratch = malloc(sutra_quantizer_scratch_bytes(&front->quantizer));
    float *sample = malloc(sampled * dim * sizeof *sample);
    int status = scratch && sample ? SUTRA_OK : SUTRA_E_NO_MEMORY;
    for (size_t s = 0; status == SUTRA_OK && s < sampled; s++)
        decode_row(front, s * count / sampled, scratch, sample + s * dim);
    if (status == SUTRA_OK)
        status = sutra_front_fit(front, quantizer, sample, dim, sampled);
    free(scratch);
    free(sample);
    return status;
}

int sutra_front_fit_anew(const struct sutra_front *front, size_t count,
                         struct sutra_quantizer *quantizer_out)
{
    int status = sutra_quantizer_init(quantizer_out, front->options.dim, front->options.seed);
    if (status != SUTRA_OK)
        return status;
    if (sutra_front_has_originals(front))
        status = sutra_front_fit(front, quantizer_out, sutra_front_original(front, 0),
                                 front->original_stride, count);
    else
        status = fit_to_codes(front, count, quantizer_out);
    if (status != SUTRA_OK)
        sutra_quantizer_deinit(quantizer_out);
    return status;
}
