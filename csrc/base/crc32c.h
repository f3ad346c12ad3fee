/* CRC-32C (Castagnoli), the checksum of every sutra file.
 * Uses the CPU's instruction where it has one; all paths give the same value.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_BASE_CRC32C_H
#define SUTRA_BASE_CRC32C_H

#include "config.h"

/* Extend `crc` (0 for a new message) with `bytes` bytes; crc(a+b) == extend(crc(a), b). */
uint32_t sutra_crc32c(uint32_t crc, const void *data, size_t bytes);

/* The same value from tables alone: what the instruction paths are tested against. */
uint32_t sutra_crc32c_portable(uint32_t crc, const void *data, size_t bytes);

#endif
