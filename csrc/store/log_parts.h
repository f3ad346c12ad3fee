/* What writing and replaying a log share: not for other users.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_STORE_LOG_PARTS_H
#define SUTRA_STORE_LOG_PARTS_H

#include "log.h"
#include "log_format.h"
#include "../base/bytes.h"
#include "../base/crc32c.h"

#define SUTRA_LOG_FLAGS_KNOWN ((uint32_t)SUTRA_LOG_MORE)

/* What every checksum of a file's records starts from. */
SUTRA_INLINE uint32_t sutra_log_seed(uint64_t salt)
{
    uint8_t bytes[8];
    sutra_store_u64(bytes, salt);
    return sutra_crc32c(0, bytes, sizeof bytes);
}

/* All of a record in the file, padding included. */
SUTRA_INLINE uint64_t sutra_log_record_bytes(uint32_t payload_bytes)
{
    return SUTRA_LOG_RECORD_HEADER_BYTES + (((uint64_t)payload_bytes + 7) & ~(uint64_t)7);
}

/* "<directory>/<name of the file>"; the caller frees. */
int sutra_log_path(const char *directory, uint64_t file_number, char **path_out);

#endif
