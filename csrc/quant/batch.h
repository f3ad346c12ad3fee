/* The quantizer on many rows at once, checked, and as bytes.
 *
 * Bytes of a quantizer, all little-endian:
 *     0  char[8]  magic "SUTRAQ8\n"
 *     8  u32      version, 1
 *    12  u32      dim
 *    16  u32      bits a code: 4 or 8
 *    20  u32      rotated_dim: dim rounded up to 8
 *    24  u64      seed that the signs came from
 *    32  f32[rotated_dim]      the rotated mean
 *     .  u8[rotated_dim / 2]   the signs of the rotation (quant/rotation.h)
 *     .  u32      CRC-32C of everything before
 *
 * Threading: as quantizer.h. Errors: as named; SUTRA_E_VECTOR names the first row that holds
 * NaN or infinity, or is so long that its squared length is no float32.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_QUANT_BATCH_H
#define SUTRA_QUANT_BATCH_H

#include "../base/status.h"
#include "quantizer.h"

/* sutra_quantizer_fit after a look at every row. SUTRA_E_VECTOR, SUTRA_E_NO_MEMORY. */
int sutra_quantizer_fit_many(struct sutra_quantizer *quantizer, const struct sutra_kernels *kernels,
                             const float *rows, size_t stride, size_t count,
                             struct sutra_fault *fault_out);

/* Encode `count` rows; the outputs hold count rows of row_bytes, row_bytes (low_out may be NULL)
 * and SUTRA_CORRECTION_FLOATS. SUTRA_E_VECTOR, SUTRA_E_NO_MEMORY. */
int sutra_quantizer_encode_many(const struct sutra_quantizer *quantizer,
                                const struct sutra_kernels *kernels, const float *rows,
                                size_t stride, size_t count, uint8_t *high_out, uint8_t *low_out,
                                float *corrections_out, struct sutra_fault *fault_out);

/* The inverse: count rows of dim floats. low NULL decodes the high plane alone. Any bytes are
 * codes, so this cannot fail on what it reads. SUTRA_E_NO_MEMORY. */
int sutra_quantizer_decode_many(const struct sutra_quantizer *quantizer,
                                const struct sutra_kernels *kernels, const uint8_t *high,
                                const uint8_t *low, const float *corrections, size_t count,
                                float *rows_out);

size_t sutra_quantizer_packed_bytes(uint32_t dim);
/* bytes_out has room for sutra_quantizer_packed_bytes(quantizer->dim). */
void sutra_quantizer_pack(const struct sutra_quantizer *quantizer, uint32_t bits, uint64_t seed,
                          uint8_t *bytes_out);
/* On success the quantizer is initialized and fitted, and the caller's to deinit. dim_max bounds
 * what a header may ask for. SUTRA_E_CORRUPT, SUTRA_E_VERSION, SUTRA_E_NO_MEMORY. */
int sutra_quantizer_unpack(const uint8_t *bytes, size_t size, uint32_t dim_max,
                           struct sutra_quantizer *quantizer, uint32_t *bits_out,
                           uint64_t *seed_out, struct sutra_fault *fault_out);

#endif
