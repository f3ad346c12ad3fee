/* The blocks of a segment file: their checksums, and reading with them compared; and what follows
 * from an entry of its section table.
 *
 * A reader of blocks keeps the one it has read last, so that rows that lie side by side cost one
 * read and one checksum a block. Whole blocks go straight to where they are wanted.
 *
 * Ownership: made by _of, freed by _deinit. Threading: one thread a reader of blocks. Errors: errno
 * values, SUTRA_E_NO_MEMORY, SUTRA_E_CORRUPT / _TRUNCATED with fault.offset.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_STORE_SEGMENT_BLOCKS_H
#define SUTRA_STORE_SEGMENT_BLOCKS_H

#include "segment.h"
#include "segment_format.h"

/* Of a block of `bytes` bytes: 64 KiB, the last may have fewer. Of block 0, which has the header at
 * least, what follows that: it has a checksum of its own. */
uint32_t sutra_segment_block_checksum(uint64_t file_number, uint64_t block, const uint8_t *data,
                                      size_t bytes);

struct sutra_block_reader {
    const struct sutra_segment *segment;
    uint8_t *buffer; /* NULL until needed */
    uint64_t block;  /* what is in it */
};

SUTRA_INLINE struct sutra_block_reader sutra_block_reader_of(const struct sutra_segment *segment)
{
    return (struct sutra_block_reader){.segment = segment};
}

void sutra_block_reader_deinit(struct sutra_block_reader *reader);

/* [offset, offset + bytes) lies in the blocks before the checksums. Every block that is touched is
 * compared with its checksum. On failure `data` may be partly filled. */
int sutra_block_reader_read(struct sutra_block_reader *reader, uint64_t offset, void *data,
                            size_t bytes, struct sutra_fault *fault_out);

/* ---- what follows from an entry; rows are at most SUTRA_ROWS_MAX, or those of a BYTES section */

/* Of a patch section: its numbers, and zeros up to where its rows begin. */
SUTRA_INLINE uint64_t sutra_patch_numbers_bytes(uint64_t rows)
{
    const uint64_t alignment = SUTRA_SEGMENT_ALIGNMENT;
    return (rows * sizeof(uint32_t) + alignment - 1) & ~(alignment - 1);
}

/* All but what a range repeats of the plane before it. */
SUTRA_INLINE uint64_t sutra_section_own_bytes(const struct sutra_segment_section *section)
{
    const uint64_t numbers_bytes =
        section->form == SUTRA_SECTION_PATCH ? sutra_patch_numbers_bytes(section->rows) : 0;
    return numbers_bytes + section->rows * section->row_bytes;
}

/* Small sections are packed, repeat nothing, and are never mapped. */
SUTRA_INLINE bool sutra_section_is_small(const struct sutra_segment_section *section)
{
    return sutra_section_own_bytes(section) < SUTRA_SEGMENT_BLOCK;
}

SUTRA_INLINE uint64_t sutra_section_alignment(const struct sutra_segment_section *section)
{
    return sutra_section_is_small(section) ? SUTRA_SEGMENT_ALIGNMENT : SUTRA_SEGMENT_BLOCK;
}

/* Bytes of the plane that stand before a section's first row. */
SUTRA_INLINE uint64_t sutra_section_repeated_bytes(const struct sutra_segment_section *section)
{
    return sutra_section_is_small(section)
               ? 0
               : section->first_row * section->row_bytes % SUTRA_SEGMENT_BLOCK;
}

/* Fill a fault (NULL: nobody wants it) and return `status`. */
int sutra_segment_fault(struct sutra_fault *fault, int status, uint64_t offset, const char *what,
                        uint64_t expected, uint64_t found);

#endif
