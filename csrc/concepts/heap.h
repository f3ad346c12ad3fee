/* The heap: bytes that are written once, at an offset that never changes.
 *
 * Holds text ids (a 32-bit length, then the bytes), contents and metadata. It is a plane of 64-byte
 * rows, so that it is saved and mapped like any other; between saves its last row may be partly
 * used, and _seal rounds up so that saved rows never change.
 *
 * Ownership: _init or _adopt, then _deinit. Threading: one writer; readers may read below what was
 * written when their record was published. Errors: SUTRA_E_NO_MEMORY, SUTRA_E_CAPACITY.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_CONCEPTS_HEAP_H
#define SUTRA_CONCEPTS_HEAP_H

#include "../vectors/part.h"

#define SUTRA_HEAP_ROW 64u
#define SUTRA_HEAP_BYTES_MAX ((uint64_t)SUTRA_HEAP_ROW * SUTRA_ROWS_MAX)

struct sutra_heap {
    struct sutra_plane plane;
    uint64_t used; /* bytes; atomic */
};

int sutra_heap_init(struct sutra_heap *heap);
void sutra_heap_deinit(struct sutra_heap *heap);

/* Go on with the `rows` rows of a plane that was loaded; the heap takes it over. */
void sutra_heap_adopt(struct sutra_heap *heap, const struct sutra_plane *plane, size_t rows);

/* Make room for `bytes` more; after it _append cannot fail for that much. */
int sutra_heap_reserve(struct sutra_heap *heap, uint64_t bytes);
/* Copy bytes in and return their offset; room must have been reserved. */
uint64_t sutra_heap_append(struct sutra_heap *heap, const void *data, size_t bytes);
/* Round up to a whole row, zeros between; needs no reserved room. */
void sutra_heap_seal(struct sutra_heap *heap);

/* NULL if [offset, offset + bytes) is not inside what was written. */
const uint8_t *sutra_heap_at(const struct sutra_heap *heap, uint64_t offset, uint64_t bytes);

#endif
