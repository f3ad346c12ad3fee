/* Many rows and the bytes form; the contract and the layout are in batch.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

#include "batch.h"
#include "rotation.h"
#include "../base/bytes.h"
#include "../base/crc32c.h"
#include "../base/memory.h"

#define PACKED_MAGIC "SUTRAQ8\n"
#define PACKED_VERSION 1u

/* Offsets of the bytes form. */
enum {
    PACKED_AT_VERSION = 8,
    PACKED_AT_DIM = 12,
    PACKED_AT_BITS = 16,
    PACKED_AT_ROTATED_DIM = 20,
    PACKED_AT_SEED = 24,
    PACKED_AT_MEAN = 32
};

static int bad_row(size_t row, struct sutra_fault *fault_out)
{
    *fault_out = SUTRA_FAULT_NONE;
    fault_out->row = (int64_t)row;
    return SUTRA_E_VECTOR;
}

/* ---- many rows */

int sutra_quantizer_fit_many(struct sutra_quantizer *quantizer, const struct sutra_kernels *kernels,
                             const float *rows, size_t stride, size_t count,
                             struct sutra_fault *fault_out)
{
    for (size_t r = 0; r < count; r++) {
        const float *row = rows + r * stride;
        if (!(kernels->dot_f32(row, row, quantizer->dim) < INFINITY))
            return bad_row(r, fault_out);
    }
    return sutra_quantizer_fit(quantizer, kernels, rows, stride, NULL, count);
}

int sutra_quantizer_encode_many(const struct sutra_quantizer *quantizer,
                                const struct sutra_kernels *kernels, const float *rows,
                                size_t stride, size_t count, uint8_t *high_out, uint8_t *low_out,
                                float *corrections_out, struct sutra_fault *fault_out)
{
    const size_t scratch_bytes = sutra_quantizer_scratch_bytes(quantizer);
    const size_t row_bytes = quantizer->row_bytes;
    void *scratch;
    int status = sutra_aligned_alloc(SUTRA_CACHE_LINE, scratch_bytes, &scratch);
    if (status != SUTRA_OK)
        return status;
    for (size_t r = 0; status == SUTRA_OK && r < count; r++) {
        const float *row = rows + r * stride;
        float *correction = corrections_out + r * SUTRA_CORRECTION_FLOATS;
        if (kernels->dot_f32(row, row, quantizer->dim) < INFINITY)
            sutra_quantizer_encode(quantizer, kernels, row, 1.0f, scratch, high_out + r * row_bytes,
                                   low_out ? low_out + r * row_bytes : NULL, correction);
        else
            status = bad_row(r, fault_out);
        /* Centring may lengthen a row. */
        if (status == SUTRA_OK && !(correction[0] < INFINITY))
            status = bad_row(r, fault_out);
    }
    sutra_aligned_free(scratch, scratch_bytes);
    return status;
}

int sutra_quantizer_decode_many(const struct sutra_quantizer *quantizer,
                                const struct sutra_kernels *kernels, const uint8_t *high,
                                const uint8_t *low, const float *corrections, size_t count,
                                float *rows_out)
{
    const size_t scratch_bytes = sutra_quantizer_scratch_bytes(quantizer);
    const size_t row_bytes = quantizer->row_bytes;
    void *scratch;
    const int status = sutra_aligned_alloc(SUTRA_CACHE_LINE, scratch_bytes, &scratch);
    if (status != SUTRA_OK)
        return status;
    for (size_t r = 0; r < count; r++)
        sutra_quantizer_decode(
            quantizer, kernels, high + r * row_bytes, low ? low + r * row_bytes : NULL,
            corrections + r * SUTRA_CORRECTION_FLOATS, scratch, rows_out + r * quantizer->dim);
    sutra_aligned_free(scratch, scratch_bytes);
    return SUTRA_OK;
}

/* ---- bytes */

size_t sutra_quantizer_packed_bytes(uint32_t dim)
{
    const size_t rotated = sutra_round_up(dim, 8);
    return PACKED_AT_MEAN + rotated * sizeof(float) + sutra_rotation_sign_bytes(rotated) +
           sizeof(uint32_t);
}

void sutra_quantizer_pack(const struct sutra_quantizer *quantizer, uint32_t bits, uint64_t seed,
                          uint8_t *bytes_out)
{
    const size_t mean_bytes = quantizer->rotated_dim * sizeof(float);
    const size_t summed = sutra_quantizer_packed_bytes(quantizer->dim) - sizeof(uint32_t);
    memcpy(bytes_out, PACKED_MAGIC, PACKED_AT_VERSION);
    sutra_store_u32(bytes_out + PACKED_AT_VERSION, PACKED_VERSION);
    sutra_store_u32(bytes_out + PACKED_AT_DIM, quantizer->dim);
    sutra_store_u32(bytes_out + PACKED_AT_BITS, bits);
    sutra_store_u32(bytes_out + PACKED_AT_ROTATED_DIM, quantizer->rotated_dim);
    sutra_store_u64(bytes_out + PACKED_AT_SEED, seed);
    memcpy(bytes_out + PACKED_AT_MEAN, quantizer->rotated_mean, mean_bytes);
    memcpy(bytes_out + PACKED_AT_MEAN + mean_bytes, quantizer->signs,
           sutra_rotation_sign_bytes(quantizer->rotated_dim));
    sutra_store_u32(bytes_out + summed, sutra_crc32c(0, bytes_out, summed));
}

static int damaged(const char *what, size_t offset, uint64_t expected, uint64_t found,
                   struct sutra_fault *fault_out)
{
    *fault_out = SUTRA_FAULT_NONE;
    fault_out->what = what;
    fault_out->offset = (int64_t)offset;
    fault_out->expected = expected;
    fault_out->found = found;
    return SUTRA_E_CORRUPT;
}

static int check_packed(const uint8_t *bytes, size_t size, uint32_t dim_max,
                        struct sutra_fault *fault_out)
{
    if (size < PACKED_AT_MEAN)
        return damaged("quantizer header", size, PACKED_AT_MEAN, size, fault_out);
    if (memcmp(bytes, PACKED_MAGIC, PACKED_AT_VERSION) != 0)
        return damaged("quantizer magic", 0, 0, 0, fault_out);
    /* Before the checksum: a newer version may have another layout. */
    const uint32_t version = sutra_load_u32(bytes + PACKED_AT_VERSION);
    if (version > PACKED_VERSION) {
        damaged("quantizer version", PACKED_AT_VERSION, PACKED_VERSION, version, fault_out);
        return SUTRA_E_VERSION;
    }
    const uint32_t dim = sutra_load_u32(bytes + PACKED_AT_DIM);
    if (dim == 0 || dim > dim_max)
        return damaged("quantizer dim", PACKED_AT_DIM, dim_max, dim, fault_out);
    const size_t expected = sutra_quantizer_packed_bytes(dim);
    if (size != expected)
        return damaged("quantizer size", size < expected ? size : expected, expected, size,
                       fault_out);
    const size_t summed = size - sizeof(uint32_t);
    const uint32_t stored = sutra_load_u32(bytes + summed);
    const uint32_t actual = sutra_crc32c(0, bytes, summed);
    if (stored != actual)
        return damaged("quantizer checksum", summed, stored, actual, fault_out);
    /* From here on only a deliberate forgery differs. */
    const uint32_t bits = sutra_load_u32(bytes + PACKED_AT_BITS);
    if (version == 0 || (bits != 4 && bits != 8))
        return damaged("quantizer bits", PACKED_AT_BITS, 8, bits, fault_out);
    if (sutra_load_u32(bytes + PACKED_AT_ROTATED_DIM) != sutra_round_up(dim, 8))
        return damaged("quantizer rotation", PACKED_AT_ROTATED_DIM, 0, 0, fault_out);
    return SUTRA_OK;
}

int sutra_quantizer_unpack(const uint8_t *bytes, size_t size, uint32_t dim_max,
                           struct sutra_quantizer *quantizer, uint32_t *bits_out,
                           uint64_t *seed_out, struct sutra_fault *fault_out)
{
    int status = check_packed(bytes, size, dim_max, fault_out);
    if (status != SUTRA_OK)
        return status;
    const uint64_t seed = sutra_load_u64(bytes + PACKED_AT_SEED);
    status = sutra_quantizer_init(quantizer, sutra_load_u32(bytes + PACKED_AT_DIM), seed);
    if (status != SUTRA_OK)
        return status;
    const size_t mean_bytes = quantizer->rotated_dim * sizeof(float);
    memcpy(quantizer->rotated_mean, bytes + PACKED_AT_MEAN, mean_bytes);
    memcpy(quantizer->signs, bytes + PACKED_AT_MEAN + mean_bytes,
           sutra_rotation_sign_bytes(quantizer->rotated_dim));
    for (size_t j = 0; j < quantizer->rotated_dim; j++) {
        if (!isfinite(quantizer->rotated_mean[j])) {
            sutra_quantizer_deinit(quantizer);
            return damaged("quantizer mean", PACKED_AT_MEAN + j * sizeof(float), 0, 0, fault_out);
        }
    }
    *bits_out = sutra_load_u32(bytes + PACKED_AT_BITS);
    *seed_out = seed;
    return SUTRA_OK;
}
