/* Where things are in a segment file; FORMAT.md says what they mean, a test compares the two. All
 * integers little-endian.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_STORE_SEGMENT_FORMAT_H
#define SUTRA_STORE_SEGMENT_FORMAT_H

#define SUTRA_SEGMENT_MAGIC "SUTRASEG"

#define SUTRA_SEGMENT_HEADER_BYTES 4096u

/* Byte offsets in the header. */
enum {
    SUTRA_SEGMENT_HEADER_MAGIC = 0,          /* 8 bytes */
    SUTRA_SEGMENT_HEADER_VERSION = 8,        /* u32 */
    SUTRA_SEGMENT_HEADER_SECTION_COUNT = 12, /* u32 */
    SUTRA_SEGMENT_HEADER_STORE_ID = 16,      /* 16 bytes */
    SUTRA_SEGMENT_HEADER_FILE_NUMBER = 32,   /* u64 */
    SUTRA_SEGMENT_HEADER_FILE_BYTES = 40,    /* u64 */
    SUTRA_SEGMENT_HEADER_BLOCK_COUNT = 48,   /* u64: blocks before the checksums */
    SUTRA_SEGMENT_HEADER_CHECKSUMS_CRC = 56, /* u32: CRC-32C of the checksums */
    SUTRA_SEGMENT_HEADER_SECTIONS = 256,     /* 48 bytes each */
    SUTRA_SEGMENT_HEADER_CRC = 4092,         /* u32: CRC-32C of the 4092 bytes before it */
};

/* Byte offsets in a section entry. */
enum {
    SUTRA_SEGMENT_ENTRY_KIND = 0,       /* u32: enum sutra_part_kind, or the store's own */
    SUTRA_SEGMENT_ENTRY_FORM = 4,       /* u32: enum sutra_section_form */
    SUTRA_SEGMENT_ENTRY_ROW_BYTES = 8,  /* u32 */
    SUTRA_SEGMENT_ENTRY_RESERVED = 12,  /* u32: 0 */
    SUTRA_SEGMENT_ENTRY_FIRST_ROW = 16, /* u64 */
    SUTRA_SEGMENT_ENTRY_ROWS = 24,      /* u64 */
    SUTRA_SEGMENT_ENTRY_OFFSET = 32,    /* u64: a multiple of 64, or of 64 KiB if not small */
    SUTRA_SEGMENT_ENTRY_BYTES = 40,     /* u64 */
};

#define SUTRA_SEGMENT_ENTRY_SIZE 48u
#define SUTRA_SEGMENT_KIND_MAX 255u
#define SUTRA_SEGMENT_CHECKSUM_BYTES 4u /* u32 a block */
/* Of small sections, of the checksums, and in a patch section of its rows after its numbers. */
#define SUTRA_SEGMENT_ALIGNMENT 64u

#endif
