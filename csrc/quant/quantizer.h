/* Uint8 scalar quantization in two 4-bit planes.
 *
 * A vector x is rotated and centred, y = R x - R mean, and brought to unit coordinates by its
 * own scale s = |y| / sqrt(rotated_dim), z = y / s. After the rotation coordinates of z look
 * normal whatever the data, so one constant range serves every vector, outliers included:
 * each coordinate falls into one of 256 equal cells of [-3.6, 3.6], values outside into the
 * end cells,
 *     code = 16 * high + low,   cell centre = step * (code - 127.5)
 * The high nibbles alone are a 4-bit code of the same range with cells 16 times as wide; they
 * form the plane a graph walk reads. The low nibbles form a second plane that refines it.
 *
 * Errors of a coordinate of z inside the range: at most step / 2 with both planes, 8 step with
 * the high plane; |z| itself is exact because |y| is stored. Two floats a vector,
 *     correction[0] = |y|^2,   correction[1] = -2 (16 step) |y|^2 / (y . high(z))
 * give the walk its estimate of |u - y|^2 - |u|^2 for a query u: the second undoes the loss of
 * length that coding brings (the estimator of RaBitQ, Gao and Long 2024, for scalar codes).
 * With both planes the code is stretched to length |y| instead.
 *
 * Ownership: _init/_deinit; scratch belongs to the caller. Threading: const after _fit.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_QUANT_QUANTIZER_H
#define SUTRA_QUANT_QUANTIZER_H

#include "../simd/kernels.h"

#define SUTRA_QUANT_HALF_RANGE 3.6f
#define SUTRA_QUANT_STEP (2.0f * SUTRA_QUANT_HALF_RANGE / 256.0f)
#define SUTRA_CORRECTION_FLOATS 2

struct sutra_quantizer {
    uint32_t dim;         /* of the vectors */
    uint32_t rotated_dim; /* dim rounded up to 8 */
    uint32_t row_bytes;   /* of one plane's row: a multiple of 32, room for two nibbles a byte */
    float *rotated_mean;  /* rotated_dim */
    uint8_t *signs;       /* sutra_rotation_sign_bytes(rotated_dim) */
    void *block;          /* owns the two arrays */
    size_t block_bytes;
};

/* Integer entries of a walk over the high plane; kernels score_code4_* take them. */
struct sutra_walk_query {
    int8_t *entries; /* 2 * row_bytes */
    float weight, offset, scale;
};

/* A query made ready for both planes. All arrays are the caller's. */
struct sutra_code_query {
    struct sutra_walk_query walk;
    float walk_distance; /* add to a walk key for the distance it estimates */
    float *fine;         /* 2 * row_bytes: the rotated query, zero padded, for dot_code8_gather */
    float fine_distance;
    float fine_padding; /* what padding adds to the kernel's norm */
    bool inner_product;
};

size_t sutra_quantizer_row_bytes(uint32_t dim);

/* signs come from the seed; the mean is zero until fitted. */
int sutra_quantizer_init(struct sutra_quantizer *quantizer, uint32_t dim, uint64_t seed);
void sutra_quantizer_deinit(struct sutra_quantizer *quantizer);
/* Fit `to`, of the same dimension and initialized, as `from` is. */
void sutra_quantizer_copy(const struct sutra_quantizer *from, struct sutra_quantizer *to);

/* Fit the mean to `count` >= 1 rows of dim floats, each multiplied by its scales entry (NULL
 * for 1). Reads at most 32,768 of them, evenly spaced, and leaves out those many times longer than
 * the median. SUTRA_E_NO_MEMORY. */
int sutra_quantizer_fit(struct sutra_quantizer *quantizer, const struct sutra_kernels *kernels,
                        const float *rows, size_t stride, const float *scales, size_t count);

/* Bytes of scratch that encode and decode need: aligned to 64. */
size_t sutra_quantizer_scratch_bytes(const struct sutra_quantizer *quantizer);

/* Encode scale * x. low_out may be NULL; correction_out takes SUTRA_CORRECTION_FLOATS. */
void sutra_quantizer_encode(const struct sutra_quantizer *quantizer,
                            const struct sutra_kernels *kernels, const float *x, float scale,
                            void *scratch, uint8_t *high_out, uint8_t *low_out,
                            float *correction_out);

/* What the codes stand for, rotated back: dim floats. low NULL decodes the high plane alone. */
void sutra_quantizer_decode(const struct sutra_quantizer *quantizer,
                            const struct sutra_kernels *kernels, const uint8_t *high,
                            const uint8_t *low, const float *correction, void *scratch,
                            float *x_out);

/* Prepare scale * q. inner_product: distances are -q.x; otherwise squared L2. */
void sutra_quantizer_query(const struct sutra_quantizer *quantizer,
                           const struct sutra_kernels *kernels, const float *q, float scale,
                           bool inner_product, struct sutra_code_query *query);

/* The distance to a row with this correction that dot_code8_gather measured as dot and norm. */
float sutra_quantizer_distance(const struct sutra_code_query *query, const float *correction,
                               float dot, float norm);

/* A walk query from a stored row: no vector needed. codes has 2 * row_bytes entries. */
void sutra_quantizer_walk_from_codes(const struct sutra_quantizer *quantizer, const uint8_t *codes,
                                     const float *correction, struct sutra_walk_query *walk);

/* Squared distance of two rows, from their lengths and the squared distance of their codes
 * halved to 7 bits: (r - s)^2 + r s |code difference|^2 / |code|^2. */
SUTRA_INLINE float sutra_quantizer_pair_distance(const struct sutra_quantizer *quantizer,
                                                 float length_a, float length_b,
                                                 uint32_t code_distance)
{
    const float step = 2.0f * SUTRA_QUANT_STEP;
    const float squared_angle =
        (float)code_distance * (step * step) / (float)quantizer->rotated_dim;
    const float difference = length_a - length_b;
    return difference * difference + length_a * length_b * squared_angle;
}

#endif
