/* Float32 vectors in one plane that never moves, shared by counted references.
 *
 * Row r lies at sutra_vectors_rows() + r * sutra_vectors_stride(); the floats between dim and
 * the stride are zero. Rows are appended, never changed, so whoever holds a reference may keep
 * raw pointers to rows below a count it has seen, whatever else happens.
 *
 * Ownership: _new gives one reference, _hold adds one, _drop gives one back; the last one frees.
 * Threading: every function from any thread; appends run one after the other, readers never
 * wait. Errors: as named; on failure nothing has changed.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_VECTORS_VECTORS_H
#define SUTRA_VECTORS_VECTORS_H

#include "../base/status.h"
#include "../simd/kernels.h"

struct sutra_vectors;

/* The kernel table must outlive the vectors. SUTRA_E_NO_MEMORY. */
int sutra_vectors_new(const struct sutra_kernels *kernels, uint32_t dim,
                      struct sutra_vectors **vectors_out);
void sutra_vectors_hold(struct sutra_vectors *vectors);
void sutra_vectors_drop(struct sutra_vectors *vectors);

/* Append `count` rows that lie `stride` floats apart; first_out gets the number of the first.
 * SUTRA_E_VECTOR names the first row that is not finite; SUTRA_E_CAPACITY, SUTRA_E_NO_MEMORY. */
int sutra_vectors_append(struct sutra_vectors *vectors, const float *rows, size_t stride,
                         size_t count, size_t *first_out, struct sutra_fault *fault_out);

/* Copy the numbered rows, dim floats each, side by side. SUTRA_E_ARGUMENT: fault.row is the
 * position of the first number that is no row, and nothing is written. */
int sutra_vectors_gather(const struct sutra_vectors *vectors, const int64_t *numbers, size_t count,
                         float *rows_out, struct sutra_fault *fault_out);

uint32_t sutra_vectors_dim(const struct sutra_vectors *vectors);
/* In floats. */
size_t sutra_vectors_stride(const struct sutra_vectors *vectors);
/* Rows that may be read now. */
size_t sutra_vectors_count(const struct sutra_vectors *vectors);
const float *sutra_vectors_rows(const struct sutra_vectors *vectors);

#endif
