/* The log file: magic number, version, offsets. FORMAT.md describes them in prose. All integers
 * little-endian.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_STORE_LOG_FORMAT_H
#define SUTRA_STORE_LOG_FORMAT_H

#define SUTRA_LOG_MAGIC "SUTRAWAL"

/* Byte offsets in the header. */
enum {
    SUTRA_LOG_HEADER_MAGIC = 0,            /* 8 bytes */
    SUTRA_LOG_HEADER_VERSION = 8,          /* u32 */
    SUTRA_LOG_HEADER_BEFORE_CHECKSUM = 12, /* u32 */
    SUTRA_LOG_HEADER_STORE_ID = 16,        /* 16 bytes */
    SUTRA_LOG_HEADER_FILE_NUMBER = 32,     /* u64 */
    SUTRA_LOG_HEADER_SALT = 40,            /* u64 */
    SUTRA_LOG_HEADER_FIRST_LSN = 48,       /* u64 */
    SUTRA_LOG_HEADER_BEFORE_NUMBER = 56,   /* u64 */
    SUTRA_LOG_HEADER_BEFORE_BYTES = 64,    /* u64 */
    SUTRA_LOG_HEADER_RESERVED = 72,        /* 20 bytes */
    SUTRA_LOG_HEADER_CRC = 92,             /* u32: CRC-32C of the 92 bytes before it */
};

/* Byte offsets in a record. */
enum {
    SUTRA_LOG_RECORD_CHECKSUM = 0,       /* u32: of the salt, then of the record from offset 4 on */
    SUTRA_LOG_RECORD_PAYLOAD_BYTES = 4,  /* u32 */
    SUTRA_LOG_RECORD_LSN = 8,            /* u64 */
    SUTRA_LOG_RECORD_DURABLE_DELTA = 16, /* u32 */
    SUTRA_LOG_RECORD_FLAGS = 20,         /* u32 */
    SUTRA_LOG_RECORD_PAYLOAD = 24,       /* then zeros to a multiple of 8 */
};

/* A durable delta too large for its field: the record vouches for nothing. */
#define SUTRA_LOG_DELTA_UNKNOWN 0xffffffffu

#endif
