/* Float32 rows as a graph sees them.
 *
 * Everything the callbacks need stands in the space itself: rows and row_stride, and row_bytes
 * as dim * sizeof(float). A graph is always built by Euclidean distance, for cosine on the
 * normalized rows; only the keys of a walk differ by metric.
 *
 * Threading: const. Errors: none.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_GRAPH_FLOAT_SPACE_H
#define SUTRA_GRAPH_FLOAT_SPACE_H

#include "space.h"

enum sutra_float_keys {
    SUTRA_FLOAT_L2,     /* squared Euclidean distance */
    SUTRA_FLOAT_COSINE, /* 1 - cos */
    SUTRA_FLOAT_IP,     /* the negated inner product */
};

/* The query form that a walk over float rows takes. */
struct sutra_float_query {
    const float *vector;
    float inverse_norm; /* 1/|vector|, 0 for a zero vector; read for cosine alone */
};

/* Fill in a space over rows that lie stride_bytes apart. */
void sutra_float_space(struct sutra_space *space_out, const struct sutra_kernels *kernels,
                       const float *rows, size_t stride_bytes, size_t dim,
                       enum sutra_float_keys keys);

/* 1/|vector|, or 0 for a zero vector. */
float sutra_float_inverse_norm(const struct sutra_kernels *kernels, const float *vector,
                               size_t dim);

#endif
