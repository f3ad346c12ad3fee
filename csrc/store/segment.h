/* Segments: sealed files of plane rows, written once, named by a manifest, never changed.
 *
 * A segment holds sections. A range section has the rows [first, first + rows) of a part; a patch
 * section has rows that were saved before and have changed, each with its number; a whole section
 * replaces everything saved of its part so far. The state of a store is the sections of its
 * segments, taken in the manifest's order: the first is the base, the rest are deltas.
 *
 * File: header of 4,096 bytes (identity, then the section table: at most SUTRA_SEGMENT_SECTIONS),
 * sections, then a CRC-32C for every 64 KiB block before it, each seeded with the file number and
 * the block's. A section with 64 KiB or more of its own starts at a multiple of 64 KiB; a range
 * then starts with the bytes of its plane from the multiple of 64 KiB below its first row on, so
 * that the file can be mapped into the plane's place in memory. Smaller ones follow what is before
 * them, and are always read: a segment of a few rows is a few KiB. The file's identity is the
 * SHA-256 of header and block checksums, which pins every byte.
 *
 * The exact layout is in FORMAT.md. Ownership: writer _begin, then _commit or _abort; reader _open,
 * _close. Threading: one thread a writer; a reader may be read by any. Errors: errno values,
 * SUTRA_E_NO_MEMORY; from readers SUTRA_E_CORRUPT / _TRUNCATED / _VERSION with fault.offset and
 * what. Nothing read from a file is trusted: all sizes, sums and products are checked before use.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_STORE_SEGMENT_H
#define SUTRA_STORE_SEGMENT_H

#include "../base/status.h"
#include "../io/table.h"
#include "../vectors/part.h"

#define SUTRA_SEGMENT_VERSION 1u
#define SUTRA_SEGMENT_SECTIONS 60u
#define SUTRA_SEGMENT_BLOCK 65536u
#define SUTRA_SEGMENT_NAME_BYTES 32u /* "00000031.seg", with more digits if it must be */
#define SUTRA_IDENTITY_BYTES 32u

void sutra_segment_name(uint64_t file_number, char *name_out);
bool sutra_segment_number(const char *name, uint64_t *file_number_out);

enum sutra_section_form {
    SUTRA_SECTION_RANGE = 1, /* rows from first_row on; they follow on what was saved before */
    SUTRA_SECTION_WHOLE = 2, /* the same with first_row 0, and forget what was saved before */
    SUTRA_SECTION_PATCH = 3, /* rows with their numbers, ascending; all were saved before */
    SUTRA_SECTION_BYTES = 4, /* not rows of a plane: `rows` bytes, for the store's own use */
};

struct sutra_segment_section {
    uint32_t kind, form;
    uint32_t row_bytes;
    uint64_t first_row, rows;
    uint64_t offset; /* in the file */
    uint64_t bytes;
};

/* ---- writing */

struct sutra_segment_writer; /* opaque, malloc'd */

/* Writes to "<number>.seg.tmp", in place of one that an earlier writer has left. The functions
 * after it need not be checked one by one: once one has failed the rest do nothing, and _commit
 * says why. At most SUTRA_SEGMENT_SECTIONS sections (SUTRA_E_CAPACITY); kinds 1 to 255, rows below
 * SUTRA_ROWS_MAX. A RANGE or a patch without rows is no section. */
int sutra_segment_begin(const struct sutra_io *io, const char *directory,
                        const uint8_t store_id[16], uint64_t file_number,
                        struct sutra_segment_writer **writer_out);
/* base: the plane's base; rows [first_row, end_row) are written, and for RANGE, if they take 64 KiB
 * or more, the bytes of the plane before them down to a multiple of 64 KiB (so those must be
 * readable). */
int sutra_segment_rows(struct sutra_segment_writer *writer, uint32_t kind, int form,
                       const uint8_t *base, size_t row_bytes, uint64_t first_row, uint64_t end_row);
/* The same for rows that were copied aside: `copy` holds [first_row, end_row) alone, and `base` is
 * read for what lies below first_row. Where that may be written to at the same time, base must be
 * NULL: zeros stand there then. No reader takes rows from there, but where they are the rows as
 * saved before, a mapped plane has no need of private pages. */
int sutra_segment_copied_rows(struct sutra_segment_writer *writer, uint32_t kind, int form,
                              const uint8_t *base, const uint8_t *copy, size_t row_bytes,
                              uint64_t first_row, uint64_t end_row);
/* numbers ascending; row j at rows + j * row_bytes. */
int sutra_segment_patch(struct sutra_segment_writer *writer, uint32_t kind, size_t row_bytes,
                        const uint32_t *numbers, const uint8_t *rows, uint64_t count);
/* The only section of its kind in the segment. */
int sutra_segment_bytes(struct sutra_segment_writer *writer, uint32_t kind, const void *data,
                        size_t bytes);
/* Block checksums, header, sync, rename to "<number>.seg"; the caller syncs the directory. Frees
 * the writer, whatever comes out; on failure the temporary is gone if that can be helped. */
int sutra_segment_commit(struct sutra_segment_writer *writer, uint64_t *bytes_out,
                         uint8_t identity_out[SUTRA_IDENTITY_BYTES]);
void sutra_segment_abort(struct sutra_segment_writer *writer);

/* ---- reading */

struct sutra_segment {
    const struct sutra_io *io;
    int fd;
    uint64_t file_number;
    uint64_t bytes;
    uint32_t section_count;
    struct sutra_segment_section sections[SUTRA_SEGMENT_SECTIONS];
    uint32_t *block_checksums; /* of the blocks before the checksums themselves */
    uint64_t block_count;
    uint64_t data_bytes; /* where the checksums begin, in the last block or at its end */
    uint32_t header_checksum;
    char name[SUTRA_SEGMENT_NAME_BYTES];
};

/* Checks size (0: not known), header, section table, checksum table and identity (NULL: not known).
 */
int sutra_segment_open(const struct sutra_io *io, const char *directory, const uint8_t store_id[16],
                       uint64_t file_number, uint64_t bytes, const uint8_t *identity,
                       struct sutra_segment *segment_out, struct sutra_fault *fault_out);
void sutra_segment_close(struct sutra_segment *segment);
/* Every block of [offset, offset + bytes) against its checksum; bytes 0: all of the file. */
int sutra_segment_check(const struct sutra_segment *segment, uint64_t offset, uint64_t bytes,
                        struct sutra_fault *fault_out);
/* A BYTES section, read and checked; malloc'd. SUTRA_E_NOT_FOUND. */
int sutra_segment_read_bytes(const struct sutra_segment *segment, uint32_t kind, uint8_t **data_out,
                             size_t *bytes_out, struct sutra_fault *fault_out);

/* ---- a chain of segments, oldest first, as a source of planes */

struct sutra_segment_chain {
    struct sutra_segment *segments;
    size_t count;
    struct sutra_fault *fault;                 /* where a failed load says why */
    char fault_file[SUTRA_SEGMENT_NAME_BYTES]; /* and in which file */
    bool checked; /* compare block checksums of everything read into memory (patches always are) */
};

/* A sutra_part_source.load whose context is the chain (one thread at a time): the ranges in order,
 * then patches in order of their segments. SUTRA_E_CORRUPT if rows are missing, overlap, or have
 * another row_bytes. Of cold planes the whole 64 KiB blocks of large sections are mapped, the rest
 * is read; all of it where the file cannot be mapped. The arena's mapped_bytes says how much is
 * mapped: a prefix unless small ranges lie between. A patched mapped plane is patched in its
 * private pages. On failure there is no plane. */
int sutra_segment_chain_load(void *chain, uint32_t kind, size_t row_bytes, size_t rows, bool hot,
                             int huge_pages, struct sutra_plane *plane_out);

/* What a patch of so many rows takes: their numbers and themselves. */
SUTRA_INLINE uint64_t sutra_patch_bytes(uint64_t rows, uint64_t row_bytes)
{
    return rows * (row_bytes + sizeof(uint32_t));
}
/* Bytes of a kind's patches since the last section that holds the whole plane. */
uint64_t sutra_segment_chain_patched(const struct sutra_segment_chain *chain, uint32_t kind);

/* Map a section that has just been written in place of the same bytes in memory (whole 64 KiB
 * blocks only), which gives that memory back. The plane's bytes there must be equal and not be
 * written to again, and the plane must not grow meanwhile. Rows before the section's first that
 * share a block with it are kept where the section has other bytes for them. Small sections stay in
 * memory. SUTRA_E_NOT_FOUND, SUTRA_E_ARGUMENT for another plane's section, errno values: failing is
 * harmless. */
int sutra_segment_adopt(const struct sutra_segment *segment, uint32_t kind,
                        struct sutra_plane *plane);

#endif
