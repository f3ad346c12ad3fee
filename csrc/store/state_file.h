/* STATE: 64 bytes by which a writer tells readers in other processes what they may see.
 *
 * Scratch: never synced, never trusted by recovery. It has a checksum because a reader may catch it
 * half written.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_STORE_STATE_FILE_H
#define SUTRA_STORE_STATE_FILE_H

#include "../base/bytes.h"
#include "../base/crc32c.h"

#define SUTRA_STATE_FILE_BYTES 64u
#define SUTRA_STATE_FILE_MAGIC 0x5441545355525453u /* "STRUSTAT" */

enum { SUTRA_STATE_FILE_VISIBLE = 8, SUTRA_STATE_FILE_DURABLE = 16, SUTRA_STATE_FILE_CRC = 60 };

static inline void sutra_state_file_fill(uint8_t *bytes, uint64_t visible, uint64_t durable)
{
    sutra_store_u64(bytes, SUTRA_STATE_FILE_MAGIC);
    sutra_store_u64(bytes + SUTRA_STATE_FILE_VISIBLE, visible);
    sutra_store_u64(bytes + SUTRA_STATE_FILE_DURABLE, durable);
    sutra_store_u32(bytes + SUTRA_STATE_FILE_CRC, sutra_crc32c(0, bytes, SUTRA_STATE_FILE_CRC));
}

static inline bool sutra_state_file_read(const uint8_t *bytes, uint64_t *visible_out)
{
    if (sutra_load_u64(bytes) != SUTRA_STATE_FILE_MAGIC ||
        sutra_load_u32(bytes + SUTRA_STATE_FILE_CRC) !=
            sutra_crc32c(0, bytes, SUTRA_STATE_FILE_CRC))
        return false;
    *visible_out = sutra_load_u64(bytes + SUTRA_STATE_FILE_VISIBLE);
    return true;
}

#endif
