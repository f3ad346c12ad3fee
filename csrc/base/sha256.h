/* SHA-256 (FIPS 180-4): the identity of files that never change.
 *
 * For small inputs such as headers and tables of checksums; plain C on every platform. Ownership:
 * none. Threading: one thread a context. Errors: none.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_BASE_SHA256_H
#define SUTRA_BASE_SHA256_H

#include "config.h"

#define SUTRA_SHA256_BYTES 32u

struct sutra_sha256 {
    uint32_t state[8];
    uint64_t bytes; /* so far */
    uint8_t block[64];
};

void sutra_sha256_begin(struct sutra_sha256 *hash);
void sutra_sha256_add(struct sutra_sha256 *hash, const void *data, size_t bytes);
/* After it only _begin. */
void sutra_sha256_end(struct sutra_sha256 *hash, uint8_t digest_out[SUTRA_SHA256_BYTES]);

#endif
