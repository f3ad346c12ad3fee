/* The index file: magic number, version, offsets. FORMAT.md describes them in prose; a test
 * compares the two. All integers little-endian.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_INDEX_FORMAT_H
#define SUTRA_INDEX_FORMAT_H

#define SUTRA_INDEX_MAGIC "SUTRAIDX"
#define SUTRA_INDEX_VERSION 1u

#define SUTRA_HEADER_BYTES 4096u

/* Byte offsets in the header. */
enum {
    SUTRA_HEADER_MAGIC = 0,            /* 8 bytes */
    SUTRA_HEADER_VERSION = 8,          /* u32 */
    SUTRA_HEADER_SECTION_COUNT = 12,   /* u32 */
    SUTRA_HEADER_FILE_BYTES = 16,      /* u64 */
    SUTRA_HEADER_COUNT = 24,           /* u64: vectors */
    SUTRA_HEADER_DIM = 32,             /* u32 */
    SUTRA_HEADER_METRIC = 36,          /* u32: enum sutra_metric */
    SUTRA_HEADER_QUANTIZATION = 40,    /* u32: enum sutra_quantization */
    SUTRA_HEADER_FLAGS = 44,           /* u32: SUTRA_FLAG_* */
    SUTRA_HEADER_M = 48,               /* u32 */
    SUTRA_HEADER_EF_CONSTRUCTION = 52, /* u32 */
    SUTRA_HEADER_SEED = 56,            /* u64 */
    SUTRA_HEADER_NEXT_ID = 64,         /* u64 */
    SUTRA_HEADER_ENTRY = 72,           /* u64: top level << 32 | node */
    SUTRA_HEADER_UPPER_COUNT = 80,     /* u64: upper nodes */
    SUTRA_HEADER_LIST_COUNT = 88,      /* u64: upper lists */
    SUTRA_HEADER_FITTED_COUNT = 96,    /* u64: vectors there were when the quantizer was fitted */
    SUTRA_HEADER_TUNED_EF = 104,       /* u32: 0 when not tuned */
    SUTRA_HEADER_SECTIONS = 256,       /* 32 bytes each */
    SUTRA_HEADER_CRC = 4092,           /* u32: CRC-32C of the 4092 bytes before it */
};

/* Byte offsets in a section entry. */
enum {
    SUTRA_SECTION_KIND = 0,      /* u32: enum sutra_section */
    SUTRA_SECTION_ROW_BYTES = 4, /* u32 */
    SUTRA_SECTION_OFFSET = 8,    /* u64: a multiple of 64 KiB */
    SUTRA_SECTION_ROWS = 16,     /* u64 */
    SUTRA_SECTION_CRC = 24,      /* u32: CRC-32C of rows * row bytes */
    SUTRA_SECTION_RESERVED = 28, /* u32: 0 */
    SUTRA_SECTION_ENTRY_BYTES = 32,
};

enum {
    SUTRA_FLAG_KEEP_ORIGINALS = 1, /* the configuration, not the presence of the section */
    SUTRA_FLAG_IDENTITY_IDS = 2,   /* id = row; no id section */
    SUTRA_FLAG_GRAPH = 4,          /* quantized and linked; without it, a flat index */
    SUTRA_FLAGS_KNOWN = 7,
};

/* Section kinds, in file order. */
enum sutra_section {
    SUTRA_SECTION_MEAN = 1,        /* f32 each: the rotated mean */
    SUTRA_SECTION_SIGNS = 2,       /* u8: sign bits of the rotation */
    SUTRA_SECTION_UPPER_NODE = 3,  /* u32: base node of an upper node */
    SUTRA_SECTION_UPPER_FIRST = 4, /* u32: its first list */
    SUTRA_SECTION_UPPER_LEVEL = 5, /* u8 */
    SUTRA_SECTION_UPPER_LINKS = 6, /* u32 ids, 16 or 32 a row */
    SUTRA_SECTION_LINKS = 7,       /* u32 ids, 2 m a row */
    SUTRA_SECTION_HIGH = 8,        /* code planes, see quant/quantizer.h */
    SUTRA_SECTION_LOW = 9,
    SUTRA_SECTION_CORRECTION = 10, /* f32, 2 a row */
    SUTRA_SECTION_ID = 11,         /* i64 */
    SUTRA_SECTION_ORIGINAL = 12,   /* f32, rows padded to 16 bytes */
    SUTRA_SECTION_KINDS = 13,
};

#endif
