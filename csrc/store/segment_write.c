/* Writing a segment; the layout is in FORMAT.md.
 *
 * Everything goes through one buffer of whole blocks: a block is copied there, summed there and
 * written from there, so that its checksum is that of the bytes in the file even if the rows are
 * still changing. Sections follow each other behind the room for the header; checksums and header,
 * which depend on them, come last, and the name after everything is on the medium. A file that fits
 * in the buffer is one write.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "file_names.h"
#include "segment.h"
#include "segment_blocks.h"
#include "segment_format.h"
#include "../base/bytes.h"
#include "../base/crc32c.h"
#include "../base/sha256.h"

#define BLOCK ((size_t)SUTRA_SEGMENT_BLOCK)
#define BUFFER_BYTES (16 * BLOCK)

_Static_assert(SUTRA_SEGMENT_BLOCK == SUTRA_SECTION_ALIGNMENT, "any block can be mapped");
_Static_assert(SUTRA_SEGMENT_HEADER_SECTIONS + SUTRA_SEGMENT_SECTIONS * SUTRA_SEGMENT_ENTRY_SIZE <=
                   SUTRA_SEGMENT_HEADER_CRC,
               "the section table fits");
_Static_assert(SUTRA_IDENTITY_BYTES == SUTRA_SHA256_BYTES, "identities are SHA-256");

struct sutra_segment_writer {
    const struct sutra_io *io;
    char *path, *temporary_path;
    int fd;     /* -1: closed */
    int status; /* the first failure; nothing is written after it */
    uint64_t file_number;
    uint8_t *buffer;
    size_t filled;        /* bytes in the buffer; all blocks are whole until the end */
    uint64_t block_count; /* blocks before the buffer's */
    uint32_t *checksums;  /* of these */
    size_t checksum_room;
    uint32_t section_count;
    uint8_t header[SUTRA_SEGMENT_HEADER_BYTES];
};

void sutra_segment_name(uint64_t file_number, char *name_out)
{
    sutra_numbered_name("", file_number, ".seg", name_out);
}

bool sutra_segment_number(const char *name, uint64_t *file_number_out)
{
    return sutra_numbered_parse(name, "", ".seg", file_number_out);
}

static void free_writer(struct sutra_segment_writer *writer)
{
    if (writer->fd >= 0)
        writer->io->close(writer->io->context, writer->fd);
    sutra_aligned_free(writer->buffer, BUFFER_BYTES);
    free(writer->checksums);
    free(writer->path);
    free(writer->temporary_path);
    free(writer);
}

void sutra_segment_abort(struct sutra_segment_writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->fd >= 0) {
        writer->io->close(writer->io->context, writer->fd);
        writer->fd = -1;
    }
    (void)writer->io->unlink(writer->io->context, writer->temporary_path);
    free_writer(writer);
}

static int fail(struct sutra_segment_writer *writer, int status)
{
    if (writer->status == SUTRA_OK)
        writer->status = status;
    return writer->status;
}

/* ---- blocks */

static int add_checksum(struct sutra_segment_writer *writer, const uint8_t *data, size_t bytes)
{
    if (writer->block_count == writer->checksum_room) {
        const size_t room = writer->checksum_room == 0 ? 256 : writer->checksum_room * 2;
        uint32_t *grown = realloc(writer->checksums, room * sizeof *grown);
        if (grown == NULL)
            return SUTRA_E_NO_MEMORY;
        writer->checksums = grown;
        writer->checksum_room = room;
    }
    writer->checksums[writer->block_count] =
        sutra_segment_block_checksum(writer->file_number, writer->block_count, data, bytes);
    writer->block_count++;
    return SUTRA_OK;
}

static uint64_t end_of(const struct sutra_segment_writer *writer)
{
    return writer->block_count * BLOCK + writer->filled;
}

/* Sum up what the buffer holds, which ends a block. */
static int add_checksums(struct sutra_segment_writer *writer)
{
    int status = SUTRA_OK;
    for (size_t at = 0; at < writer->filled && status == SUTRA_OK; at += BLOCK) {
        const size_t left = writer->filled - at;
        status = add_checksum(writer, writer->buffer + at, left < BLOCK ? left : BLOCK);
    }
    return status;
}

/* Write the buffer, which is full. */
static int flush(struct sutra_segment_writer *writer)
{
    const uint64_t offset = writer->block_count * BLOCK;
    const struct sutra_span span = {.data = writer->buffer, .bytes = writer->filled};
    int status = add_checksums(writer);
    if (status == SUTRA_OK)
        status = sutra_io_write_all(writer->io, writer->fd, offset, &span, 1);
    writer->filled = 0;
    return status == SUTRA_OK ? SUTRA_OK : fail(writer, status);
}

/* data NULL: zeros. */
static int append(struct sutra_segment_writer *writer, const void *data, uint64_t bytes)
{
    const uint8_t *at = data;
    while (bytes > 0 && writer->status == SUTRA_OK) {
        const size_t room = BUFFER_BYTES - writer->filled;
        const size_t step = bytes < room ? (size_t)bytes : room;
        if (at != NULL) {
            memcpy(writer->buffer + writer->filled, at, step);
            at += step;
        } else {
            memset(writer->buffer + writer->filled, 0, step);
        }
        writer->filled += step;
        bytes -= step;
        if (writer->filled == BUFFER_BYTES)
            flush(writer);
    }
    return writer->status;
}

/* Zeros up to a multiple of alignment. */
static int align(struct sutra_segment_writer *writer, uint64_t alignment)
{
    return append(writer, NULL, -end_of(writer) & (alignment - 1));
}

/* ---- sections */

/* Where it begins is the end of the writer after this. */
static int begin_section(struct sutra_segment_writer *writer,
                         const struct sutra_segment_section *section)
{
    if (writer->status != SUTRA_OK)
        return writer->status;
    if (section->kind == 0 || section->kind > SUTRA_SEGMENT_KIND_MAX)
        return fail(writer, SUTRA_E_ARGUMENT);
    if (writer->section_count == SUTRA_SEGMENT_SECTIONS)
        return fail(writer, SUTRA_E_CAPACITY);
    if (align(writer, sutra_section_alignment(section)) != SUTRA_OK)
        return writer->status;
    uint8_t *entry = writer->header + SUTRA_SEGMENT_HEADER_SECTIONS +
                     (size_t)writer->section_count++ * SUTRA_SEGMENT_ENTRY_SIZE;
    sutra_store_u32(entry + SUTRA_SEGMENT_ENTRY_KIND, section->kind);
    sutra_store_u32(entry + SUTRA_SEGMENT_ENTRY_FORM, section->form);
    sutra_store_u32(entry + SUTRA_SEGMENT_ENTRY_ROW_BYTES, section->row_bytes);
    sutra_store_u64(entry + SUTRA_SEGMENT_ENTRY_FIRST_ROW, section->first_row);
    sutra_store_u64(entry + SUTRA_SEGMENT_ENTRY_ROWS, section->rows);
    sutra_store_u64(entry + SUTRA_SEGMENT_ENTRY_OFFSET, end_of(writer));
    sutra_store_u64(entry + SUTRA_SEGMENT_ENTRY_BYTES, section->bytes);
    /* A hint: a full disk is found before the work, everything else by the writing itself. */
    if (sutra_section_is_small(section))
        return SUTRA_OK;
    const int status =
        writer->io->allocate(writer->io->context, writer->fd, end_of(writer), section->bytes);
    if (status == ENOSPC || status == EDQUOT || status == EFBIG)
        return fail(writer, status);
    return SUTRA_OK;
}

/* copy: rows [first_row, end_row) where they do not lie in the plane. base NULL: zeros stand for
 * what is below them. */
static int write_range(struct sutra_segment_writer *writer, uint32_t kind, int form,
                       const uint8_t *base, const uint8_t *copy, size_t row_bytes,
                       uint64_t first_row, uint64_t end_row)
{
    const bool sound = (form == SUTRA_SECTION_RANGE || form == SUTRA_SECTION_WHOLE) &&
                       row_bytes > 0 && row_bytes <= UINT32_MAX && first_row <= end_row &&
                       (form == SUTRA_SECTION_RANGE || first_row == 0);
    if (!sound)
        return fail(writer, SUTRA_E_ARGUMENT);
    if (end_row > SUTRA_ROWS_MAX)
        return fail(writer, SUTRA_E_CAPACITY);
    if (form == SUTRA_SECTION_RANGE && first_row == end_row)
        return writer->status;
    struct sutra_segment_section section = {.kind = kind,
                                            .form = (uint32_t)form,
                                            .row_bytes = (uint32_t)row_bytes,
                                            .first_row = first_row,
                                            .rows = end_row - first_row};
    const uint64_t start = first_row * row_bytes, before = sutra_section_repeated_bytes(&section);
    const uint64_t bytes = sutra_section_own_bytes(&section);
    section.bytes = before + bytes;
    int status = begin_section(writer, &section);
    if (status == SUTRA_OK && before > 0)
        status = append(writer, base != NULL ? base + (start - before) : NULL, before);
    if (status == SUTRA_OK && bytes > 0)
        status = append(writer, copy != NULL ? copy : base + start, bytes);
    return status;
}

int sutra_segment_rows(struct sutra_segment_writer *writer, uint32_t kind, int form,
                       const uint8_t *base, size_t row_bytes, uint64_t first_row, uint64_t end_row)
{
    if (base == NULL && first_row < end_row)
        return fail(writer, SUTRA_E_ARGUMENT);
    return write_range(writer, kind, form, base, NULL, row_bytes, first_row, end_row);
}

int sutra_segment_copied_rows(struct sutra_segment_writer *writer, uint32_t kind, int form,
                              const uint8_t *base, const uint8_t *copy, size_t row_bytes,
                              uint64_t first_row, uint64_t end_row)
{
    if (copy == NULL && first_row < end_row)
        return fail(writer, SUTRA_E_ARGUMENT);
    return write_range(writer, kind, form, base, copy, row_bytes, first_row, end_row);
}

int sutra_segment_patch(struct sutra_segment_writer *writer, uint32_t kind, size_t row_bytes,
                        const uint32_t *numbers, const uint8_t *rows, uint64_t count)
{
    if (row_bytes == 0 || row_bytes > UINT32_MAX || count > SUTRA_ROWS_MAX)
        return fail(writer, SUTRA_E_ARGUMENT);
    for (uint64_t j = 0; j < count; j++) {
        if (numbers[j] >= SUTRA_ROWS_MAX || (j > 0 && numbers[j] <= numbers[j - 1]))
            return fail(writer, SUTRA_E_ARGUMENT);
    }
    if (count == 0)
        return writer->status;
    struct sutra_segment_section section = {
        .kind = kind, .form = SUTRA_SECTION_PATCH, .row_bytes = (uint32_t)row_bytes, .rows = count};
    section.bytes = sutra_section_own_bytes(&section);
    int status = begin_section(writer, &section);
    if (status == SUTRA_OK)
        status = append(writer, numbers, count * sizeof *numbers);
    if (status == SUTRA_OK)
        status = align(writer, SUTRA_SEGMENT_ALIGNMENT);
    if (status == SUTRA_OK)
        status = append(writer, rows, count * row_bytes);
    return status;
}

static bool has_kind(const struct sutra_segment_writer *writer, uint32_t kind)
{
    for (uint32_t s = 0; s < writer->section_count; s++) {
        const uint8_t *entry =
            writer->header + SUTRA_SEGMENT_HEADER_SECTIONS + (size_t)s * SUTRA_SEGMENT_ENTRY_SIZE;
        if (sutra_load_u32(entry + SUTRA_SEGMENT_ENTRY_KIND) == kind)
            return true;
    }
    return false;
}

int sutra_segment_bytes(struct sutra_segment_writer *writer, uint32_t kind, const void *data,
                        size_t bytes)
{
    if (has_kind(writer, kind))
        return fail(writer, SUTRA_E_ARGUMENT);
    const struct sutra_segment_section section = {
        .kind = kind, .form = SUTRA_SECTION_BYTES, .row_bytes = 1, .rows = bytes, .bytes = bytes};
    int status = begin_section(writer, &section);
    if (status == SUTRA_OK)
        status = append(writer, data, bytes);
    return status;
}

/* ---- begin and end */

int sutra_segment_begin(const struct sutra_io *io, const char *directory,
                        const uint8_t store_id[16], uint64_t file_number,
                        struct sutra_segment_writer **writer_out)
{
    *writer_out = NULL;
    struct sutra_segment_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return SUTRA_E_NO_MEMORY;
    writer->io = io;
    writer->fd = -1;
    writer->file_number = file_number;
    char name[SUTRA_SEGMENT_NAME_BYTES];
    sutra_segment_name(file_number, name);
    void *buffer = NULL;
    int status = sutra_aligned_alloc(BLOCK, BUFFER_BYTES, &buffer);
    writer->buffer = buffer;
    writer->filled = SUTRA_SEGMENT_HEADER_BYTES; /* zeros until the end */
    if (status == SUTRA_OK)
        status = sutra_path_in(directory, name, "", &writer->path);
    if (status == SUTRA_OK)
        status = sutra_path_in(directory, name, ".tmp", &writer->temporary_path);
    if (status == SUTRA_OK)
        status = sutra_open_temporary(io, writer->temporary_path, &writer->fd);
    if (status != SUTRA_OK) {
        free_writer(writer);
        return status;
    }
    memcpy(writer->header + SUTRA_SEGMENT_HEADER_MAGIC, SUTRA_SEGMENT_MAGIC, 8);
    sutra_store_u32(writer->header + SUTRA_SEGMENT_HEADER_VERSION, SUTRA_SEGMENT_VERSION);
    memcpy(writer->header + SUTRA_SEGMENT_HEADER_STORE_ID, store_id, 16);
    sutra_store_u64(writer->header + SUTRA_SEGMENT_HEADER_FILE_NUMBER, file_number);
    *writer_out = writer;
    return SUTRA_OK;
}

/* What is left, and the checksums after it; then the header, if its room is in the file by now. */
static int write_ends(struct sutra_segment_writer *writer, uint64_t *bytes_out,
                      uint8_t identity_out[SUTRA_IDENTITY_BYTES])
{
    const uint64_t offset = writer->block_count * BLOCK, end = end_of(writer);
    const bool is_first = offset == 0;
    int status = add_checksums(writer);
    if (status != SUTRA_OK)
        return status;
    const size_t checksums_bytes = (size_t)writer->block_count * SUTRA_SEGMENT_CHECKSUM_BYTES;
    uint8_t *header = writer->header;
    sutra_store_u32(header + SUTRA_SEGMENT_HEADER_SECTION_COUNT, writer->section_count);
    sutra_store_u64(header + SUTRA_SEGMENT_HEADER_FILE_BYTES, end + checksums_bytes);
    sutra_store_u64(header + SUTRA_SEGMENT_HEADER_BLOCK_COUNT, writer->block_count);
    sutra_store_u32(header + SUTRA_SEGMENT_HEADER_CHECKSUMS_CRC,
                    sutra_crc32c(0, writer->checksums, checksums_bytes));
    sutra_store_u32(header + SUTRA_SEGMENT_HEADER_CRC,
                    sutra_crc32c(0, header, SUTRA_SEGMENT_HEADER_CRC));

    if (is_first)
        memcpy(writer->buffer, header, SUTRA_SEGMENT_HEADER_BYTES);
    const struct sutra_span rest[] = {{.data = writer->buffer, .bytes = writer->filled},
                                      {.data = writer->checksums, .bytes = checksums_bytes}};
    status = sutra_io_write_all(writer->io, writer->fd, offset, rest, 2);
    if (status == SUTRA_OK && !is_first) {
        const struct sutra_span first = {.data = header, .bytes = SUTRA_SEGMENT_HEADER_BYTES};
        status = sutra_io_write_all(writer->io, writer->fd, 0, &first, 1);
    }
    if (status != SUTRA_OK)
        return status;
    *bytes_out = end + checksums_bytes;
    struct sutra_sha256 hash;
    sutra_sha256_begin(&hash);
    sutra_sha256_add(&hash, header, SUTRA_SEGMENT_HEADER_BYTES);
    sutra_sha256_add(&hash, writer->checksums, checksums_bytes);
    sutra_sha256_end(&hash, identity_out);
    return SUTRA_OK;
}

int sutra_segment_commit(struct sutra_segment_writer *writer, uint64_t *bytes_out,
                         uint8_t identity_out[SUTRA_IDENTITY_BYTES])
{
    const struct sutra_io *io = writer->io;
    int status = align(writer, SUTRA_SEGMENT_ALIGNMENT);
    if (status == SUTRA_OK)
        status = write_ends(writer, bytes_out, identity_out);
    if (status == SUTRA_OK)
        status = io->sync(io->context, writer->fd);
    io->close(io->context, writer->fd);
    writer->fd = -1;
    if (status == SUTRA_OK)
        status = io->rename(io->context, writer->temporary_path, writer->path);
    if (status == SUTRA_OK)
        free_writer(writer);
    else
        sutra_segment_abort(writer);
    return status;
}
