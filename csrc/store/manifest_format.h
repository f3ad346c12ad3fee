/* Where things are in a manifest and in the identity file; FORMAT.md says what they mean, a test
 * compares the two. All integers little-endian.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_STORE_MANIFEST_FORMAT_H
#define SUTRA_STORE_MANIFEST_FORMAT_H

#define SUTRA_MANIFEST_MAGIC "SUTRAMAN"

/* Byte offsets in a manifest. The last four bytes are the CRC-32C of all before them. */
enum {
    SUTRA_MANIFEST_AT_MAGIC = 0,           /* 8 bytes */
    SUTRA_MANIFEST_AT_VERSION = 8,         /* u32 */
    SUTRA_MANIFEST_AT_FILE_COUNT = 12,     /* u32 */
    SUTRA_MANIFEST_AT_STORE_ID = 16,       /* 16 bytes */
    SUTRA_MANIFEST_AT_GENERATION = 32,     /* u64 */
    SUTRA_MANIFEST_AT_CHECKPOINT_LSN = 40, /* u64 */
    SUTRA_MANIFEST_AT_NEXT_FILE = 48,      /* u64 */
    SUTRA_MANIFEST_AT_LOG_FILE = 56,       /* u64 */
    SUTRA_MANIFEST_AT_GRAPH_LSN = 64,      /* u64 */
    SUTRA_MANIFEST_AT_STATE = 128,         /* 512 bytes: 64 u64 */
    SUTRA_MANIFEST_AT_FILES = 640,         /* 48 bytes each */
};

/* Byte offsets in a file entry. */
enum {
    SUTRA_MANIFEST_FILE_NUMBER = 0,    /* u64 */
    SUTRA_MANIFEST_FILE_BYTES = 8,     /* u64 */
    SUTRA_MANIFEST_FILE_IDENTITY = 16, /* 32 bytes: SHA-256 */
};

#define SUTRA_MANIFEST_FILE_SIZE 48u
#define SUTRA_MANIFEST_CRC_BYTES 4u

#define SUTRA_STORE_MAGIC "SUTRASTO"
#define SUTRA_STORE_BYTE_ORDER 0x01020304u
#define SUTRA_IDENTITY_FILE_BYTES 128u

/* Byte offsets in the identity file. */
enum {
    SUTRA_IDENTITY_AT_MAGIC = 0,       /* 8 bytes */
    SUTRA_IDENTITY_AT_VERSION = 8,     /* u32 */
    SUTRA_IDENTITY_AT_BYTE_ORDER = 12, /* u32 */
    SUTRA_IDENTITY_AT_STORE_ID = 16,   /* 16 bytes */
    SUTRA_IDENTITY_AT_CREATED = 32,    /* 8 bytes: signed, nanoseconds since 1970, UTC */
    SUTRA_IDENTITY_AT_COMPAT = 40,     /* u64 */
    SUTRA_IDENTITY_AT_RO_COMPAT = 48,  /* u64 */
    SUTRA_IDENTITY_AT_INCOMPAT = 56,   /* u64 */
    SUTRA_IDENTITY_AT_CRC = 124,       /* u32: CRC-32C of the 124 bytes before it */
};

/* Features that this version knows. */
#define SUTRA_FEATURES_RO_COMPAT 0u
#define SUTRA_FEATURES_INCOMPAT 0u

#endif
