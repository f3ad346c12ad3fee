/* Opening, checking and reading a segment; the layout is in FORMAT.md.
 *
 * The header's checksum and the checksums' own catch accidents, the identity in the manifest pins
 * all of them. Every number is checked against every other all the same: a file can be made to fit
 * its checksums. Sections are not read here; whoever reads them goes by blocks.
 * SPDX-License-Identifier: Apache-2.0
 */
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
#define STEP_BLOCKS ((size_t)16)

int sutra_segment_fault(struct sutra_fault *fault, int status, uint64_t offset, const char *what,
                        uint64_t expected, uint64_t found)
{
    if (fault != NULL) {
        *fault = SUTRA_FAULT_NONE;
        fault->offset = (int64_t)offset;
        fault->what = what;
        fault->expected = expected;
        fault->found = found;
    }
    return status;
}

/* ---- blocks */

uint32_t sutra_segment_block_checksum(uint64_t file_number, uint64_t block, const uint8_t *data,
                                      size_t bytes)
{
    uint8_t seed[16];
    sutra_store_u64(seed, file_number);
    sutra_store_u64(seed + 8, block);
    const size_t skipped = block == 0 ? SUTRA_SEGMENT_HEADER_BYTES : 0;
    return sutra_crc32c(sutra_crc32c(0, seed, sizeof seed), data + skipped, bytes - skipped);
}

/* All are whole but the last. */
static size_t block_bytes(const struct sutra_segment *segment, uint64_t block)
{
    const uint64_t bytes = segment->data_bytes - block * BLOCK;
    return bytes < BLOCK ? (size_t)bytes : BLOCK;
}

static int check_block(const struct sutra_segment *segment, uint64_t block, const uint8_t *data,
                       struct sutra_fault *fault)
{
    const uint32_t expected = segment->block_checksums[block];
    const uint32_t found = sutra_segment_block_checksum(segment->file_number, block, data,
                                                        block_bytes(segment, block));
    if (found != expected)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, block * BLOCK, "block", expected, found);
    return SUTRA_OK;
}

static int read_file(const struct sutra_segment *segment, uint64_t offset, void *data, size_t bytes,
                     const char *what, struct sutra_fault *fault)
{
    const int status = sutra_io_read_all(segment->io, segment->fd, offset, data, bytes);
    if (status != SUTRA_OK)
        return sutra_segment_fault(fault, status, offset, what, segment->bytes, 0);
    return SUTRA_OK;
}

void sutra_block_reader_deinit(struct sutra_block_reader *reader)
{
    free(reader->buffer);
    *reader = (struct sutra_block_reader){0};
}

/* Have `block` in the buffer. */
static int load_block(struct sutra_block_reader *reader, uint64_t block, struct sutra_fault *fault)
{
    if (reader->buffer != NULL && reader->block == block)
        return SUTRA_OK;
    if (reader->buffer == NULL)
        reader->buffer = malloc(BLOCK);
    if (reader->buffer == NULL)
        return sutra_segment_fault(fault, SUTRA_E_NO_MEMORY, block * BLOCK, "block", 0, 0);
    reader->block = UINT64_MAX; /* nothing, should the rest fail */
    int status = read_file(reader->segment, block * BLOCK, reader->buffer,
                           block_bytes(reader->segment, block), "block", fault);
    if (status == SUTRA_OK)
        status = check_block(reader->segment, block, reader->buffer, fault);
    if (status == SUTRA_OK)
        reader->block = block;
    return status;
}

int sutra_block_reader_read(struct sutra_block_reader *reader, uint64_t offset, void *data,
                            size_t bytes, struct sutra_fault *fault_out)
{
    uint8_t *to = data;
    while (bytes > 0) {
        const uint64_t block = offset / BLOCK;
        const size_t within = (size_t)(offset % BLOCK);
        size_t step = BLOCK - within < bytes ? BLOCK - within : bytes;
        int status = SUTRA_OK;
        if (step == BLOCK) {
            const size_t blocks = bytes / BLOCK < STEP_BLOCKS ? bytes / BLOCK : STEP_BLOCKS;
            step = blocks * BLOCK;
            status = read_file(reader->segment, offset, to, step, "block", fault_out);
            for (size_t b = 0; b < blocks && status == SUTRA_OK; b++)
                status = check_block(reader->segment, block + b, to + b * BLOCK, fault_out);
        } else {
            status = load_block(reader, block, fault_out);
            if (status == SUTRA_OK)
                memcpy(to, reader->buffer + within, step);
        }
        if (status != SUTRA_OK)
            return status;
        to += step;
        offset += step;
        bytes -= step;
    }
    return SUTRA_OK;
}

/* ---- opening */

struct expected {
    const uint8_t *store_id;
    uint64_t file_number;
};

/* Blocks, of which the last may be shorter, and a checksum for each: nothing else is in a file.
 * There is room for a header, or it would not have been read. */
static int check_block_count(const uint8_t *header, struct sutra_segment *segment,
                             struct sutra_fault *fault)
{
    const uint64_t per_block = BLOCK + SUTRA_SEGMENT_CHECKSUM_BYTES;
    const uint64_t blocks = (segment->bytes + per_block - 1) / per_block;
    segment->block_count = sutra_load_u64(header + SUTRA_SEGMENT_HEADER_BLOCK_COUNT);
    if (segment->block_count != blocks)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, SUTRA_SEGMENT_HEADER_BLOCK_COUNT,
                                   "block count", blocks, segment->block_count);
    segment->data_bytes = segment->bytes - blocks * SUTRA_SEGMENT_CHECKSUM_BYTES;
    if (segment->data_bytes <= (blocks - 1) * BLOCK ||
        segment->data_bytes % SUTRA_SEGMENT_ALIGNMENT != 0)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, SUTRA_SEGMENT_HEADER_FILE_BYTES,
                                   "file length", blocks * per_block, segment->bytes);
    return SUTRA_OK;
}

static int check_header(const uint8_t *header, const struct expected *expected,
                        struct sutra_segment *segment, struct sutra_fault *fault)
{
    if (memcmp(header + SUTRA_SEGMENT_HEADER_MAGIC, SUTRA_SEGMENT_MAGIC, 8) != 0)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, SUTRA_SEGMENT_HEADER_MAGIC,
                                   "segment header", 0, 0);
    const uint32_t stored = sutra_load_u32(header + SUTRA_SEGMENT_HEADER_CRC);
    const uint32_t actual = sutra_crc32c(0, header, SUTRA_SEGMENT_HEADER_CRC);
    if (stored != actual)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, SUTRA_SEGMENT_HEADER_CRC,
                                   "segment header", stored, actual);
    segment->header_checksum = stored;
    const uint32_t version = sutra_load_u32(header + SUTRA_SEGMENT_HEADER_VERSION);
    if (version != SUTRA_SEGMENT_VERSION)
        return sutra_segment_fault(fault, SUTRA_E_VERSION, SUTRA_SEGMENT_HEADER_VERSION,
                                   "segment header", SUTRA_SEGMENT_VERSION, version);
    if (memcmp(header + SUTRA_SEGMENT_HEADER_STORE_ID, expected->store_id, 16) != 0)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, SUTRA_SEGMENT_HEADER_STORE_ID,
                                   "store id", 0, 0);
    const uint64_t number = sutra_load_u64(header + SUTRA_SEGMENT_HEADER_FILE_NUMBER);
    if (number != expected->file_number)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, SUTRA_SEGMENT_HEADER_FILE_NUMBER,
                                   "file number", expected->file_number, number);
    const uint64_t bytes = sutra_load_u64(header + SUTRA_SEGMENT_HEADER_FILE_BYTES);
    if (bytes != segment->bytes)
        return sutra_segment_fault(
            fault, bytes > segment->bytes ? SUTRA_E_TRUNCATED : SUTRA_E_CORRUPT,
            SUTRA_SEGMENT_HEADER_FILE_BYTES, "file length", bytes, segment->bytes);
    const int status = check_block_count(header, segment, fault);
    if (status != SUTRA_OK)
        return status;
    segment->section_count = sutra_load_u32(header + SUTRA_SEGMENT_HEADER_SECTION_COUNT);
    if (segment->section_count > SUTRA_SEGMENT_SECTIONS)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, SUTRA_SEGMENT_HEADER_SECTION_COUNT,
                                   "section count", SUTRA_SEGMENT_SECTIONS, segment->section_count);
    return SUTRA_OK;
}

/* Do form, rows and bytes of an entry fit each other? */
static bool is_sound(const struct sutra_segment_section *section)
{
    const uint64_t row_bytes = section->row_bytes;
    if (section->form == SUTRA_SECTION_BYTES)
        return row_bytes == 1 && section->first_row == 0 && section->bytes == section->rows;
    /* From here on 31 bits of rows and 32 of row bytes: no product overflows. */
    if (row_bytes == 0 || section->first_row > SUTRA_ROWS_MAX ||
        section->rows > SUTRA_ROWS_MAX - section->first_row)
        return false;
    if (section->bytes != sutra_section_repeated_bytes(section) + sutra_section_own_bytes(section))
        return false;
    switch (section->form) {
    case SUTRA_SECTION_RANGE:
        return section->rows > 0;
    case SUTRA_SECTION_WHOLE:
        return section->first_row == 0;
    case SUTRA_SECTION_PATCH:
        return section->first_row == 0 && section->rows > 0;
    default:
        return false;
    }
}

/* Is there another section of this kind before it, where either may not have company? */
static bool is_second(const struct sutra_segment *segment, uint32_t s)
{
    const struct sutra_segment_section *section = &segment->sections[s];
    for (uint32_t t = 0; t < s; t++) {
        const struct sutra_segment_section *other = &segment->sections[t];
        if (other->kind == section->kind &&
            (other->form == SUTRA_SECTION_BYTES || section->form == SUTRA_SECTION_BYTES))
            return true;
    }
    return false;
}

static int read_sections(const uint8_t *header, struct sutra_segment *segment,
                         struct sutra_fault *fault)
{
    const uint64_t end = segment->data_bytes;
    uint64_t free_from = SUTRA_SEGMENT_HEADER_BYTES;
    for (uint32_t s = 0; s < segment->section_count; s++) {
        const size_t at = SUTRA_SEGMENT_HEADER_SECTIONS + (size_t)s * SUTRA_SEGMENT_ENTRY_SIZE;
        const uint8_t *entry = header + at;
        struct sutra_segment_section *section = &segment->sections[s];
        section->kind = sutra_load_u32(entry + SUTRA_SEGMENT_ENTRY_KIND);
        section->form = sutra_load_u32(entry + SUTRA_SEGMENT_ENTRY_FORM);
        section->row_bytes = sutra_load_u32(entry + SUTRA_SEGMENT_ENTRY_ROW_BYTES);
        section->first_row = sutra_load_u64(entry + SUTRA_SEGMENT_ENTRY_FIRST_ROW);
        section->rows = sutra_load_u64(entry + SUTRA_SEGMENT_ENTRY_ROWS);
        section->offset = sutra_load_u64(entry + SUTRA_SEGMENT_ENTRY_OFFSET);
        section->bytes = sutra_load_u64(entry + SUTRA_SEGMENT_ENTRY_BYTES);
        const bool sound = section->kind > 0 && section->kind <= SUTRA_SEGMENT_KIND_MAX &&
                           sutra_load_u32(entry + SUTRA_SEGMENT_ENTRY_RESERVED) == 0 &&
                           section->offset >= free_from && section->offset <= end &&
                           section->bytes <= end - section->offset && is_sound(section) &&
                           section->offset % sutra_section_alignment(section) == 0 &&
                           !is_second(segment, s);
        if (!sound)
            return sutra_segment_fault(fault, SUTRA_E_CORRUPT, at, "section table", free_from,
                                       section->offset);
        free_from = section->offset + section->bytes;
    }
    return SUTRA_OK;
}

static int read_checksums(const uint8_t *header, const uint8_t *identity,
                          struct sutra_segment *segment, struct sutra_fault *fault)
{
    const uint64_t offset = segment->data_bytes;
    const size_t bytes = (size_t)segment->block_count * SUTRA_SEGMENT_CHECKSUM_BYTES;
    segment->block_checksums = malloc(bytes);
    if (segment->block_checksums == NULL)
        return sutra_segment_fault(fault, SUTRA_E_NO_MEMORY, offset, "block checksums", 0, 0);
    const int status =
        read_file(segment, offset, segment->block_checksums, bytes, "block checksums", fault);
    if (status != SUTRA_OK)
        return status;
    const uint32_t stored = sutra_load_u32(header + SUTRA_SEGMENT_HEADER_CHECKSUMS_CRC);
    const uint32_t actual = sutra_crc32c(0, segment->block_checksums, bytes);
    if (stored != actual)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, offset, "block checksums", stored,
                                   actual);
    if (identity == NULL)
        return SUTRA_OK;
    uint8_t found[SUTRA_IDENTITY_BYTES];
    struct sutra_sha256 hash;
    sutra_sha256_begin(&hash);
    sutra_sha256_add(&hash, header, SUTRA_SEGMENT_HEADER_BYTES);
    sutra_sha256_add(&hash, segment->block_checksums, bytes);
    sutra_sha256_end(&hash, found);
    if (memcmp(found, identity, sizeof found) != 0)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, 0, "segment identity", 0, 0);
    return SUTRA_OK;
}

static int open_segment(const char *path, uint64_t bytes, const struct expected *expected,
                        const uint8_t *identity, struct sutra_segment *segment,
                        struct sutra_fault *fault)
{
    const struct sutra_io *io = segment->io;
    int fd;
    int status = io->open(io->context, path, SUTRA_OPEN_READ, &fd);
    if (status != SUTRA_OK)
        return status;
    segment->fd = fd;
    status = io->size(io->context, fd, &segment->bytes);
    if (status != SUTRA_OK)
        return status;
    if (bytes != 0 && segment->bytes != bytes)
        return sutra_segment_fault(fault,
                                   segment->bytes < bytes ? SUTRA_E_TRUNCATED : SUTRA_E_CORRUPT, 0,
                                   "file length", bytes, segment->bytes);
    const uint64_t least = SUTRA_SEGMENT_HEADER_BYTES + SUTRA_SEGMENT_CHECKSUM_BYTES;
    if (segment->bytes < least)
        return sutra_segment_fault(fault, SUTRA_E_TRUNCATED, 0, "segment header", least,
                                   segment->bytes);
    uint8_t header[SUTRA_SEGMENT_HEADER_BYTES];
    status = read_file(segment, 0, header, sizeof header, "segment header", fault);
    if (status == SUTRA_OK)
        status = check_header(header, expected, segment, fault);
    if (status == SUTRA_OK)
        status = read_sections(header, segment, fault);
    if (status == SUTRA_OK)
        status = read_checksums(header, identity, segment, fault);
    return status;
}

int sutra_segment_open(const struct sutra_io *io, const char *directory, const uint8_t store_id[16],
                       uint64_t file_number, uint64_t bytes, const uint8_t *identity,
                       struct sutra_segment *segment_out, struct sutra_fault *fault_out)
{
    memset(segment_out, 0, sizeof *segment_out);
    if (fault_out != NULL)
        *fault_out = SUTRA_FAULT_NONE;
    struct sutra_segment segment = {.io = io, .fd = -1, .file_number = file_number};
    sutra_segment_name(file_number, segment.name);
    char *path;
    int status = sutra_path_in(directory, segment.name, "", &path);
    if (status == SUTRA_OK) {
        const struct expected expected = {.store_id = store_id, .file_number = file_number};
        status = open_segment(path, bytes, &expected, identity, &segment, fault_out);
    }
    free(path);
    if (status == SUTRA_OK)
        *segment_out = segment;
    else
        sutra_segment_close(&segment);
    return status;
}

void sutra_segment_close(struct sutra_segment *segment)
{
    if (segment->io != NULL && segment->fd >= 0)
        segment->io->close(segment->io->context, segment->fd);
    free(segment->block_checksums);
    *segment = (struct sutra_segment){.fd = -1};
}

/* ---- checking */

static int check_first(const struct sutra_segment *segment, const uint8_t *header,
                       struct sutra_fault *fault)
{
    const uint32_t stored = sutra_load_u32(header + SUTRA_SEGMENT_HEADER_CRC);
    const uint32_t actual = sutra_crc32c(0, header, SUTRA_SEGMENT_HEADER_CRC);
    if (stored != segment->header_checksum || actual != stored)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, 0, "segment header",
                                   segment->header_checksum, actual);
    return SUTRA_OK;
}

/* Blocks [block, end) and, on the way, the header. */
static int check_blocks(const struct sutra_segment *segment, uint64_t block, uint64_t end,
                        uint8_t *buffer, struct sutra_fault *fault)
{
    struct sutra_block_reader reader = sutra_block_reader_of(segment);
    int status = SUTRA_OK;
    while (block < end && status == SUTRA_OK) {
        const size_t blocks = end - block < STEP_BLOCKS ? (size_t)(end - block) : STEP_BLOCKS;
        const size_t bytes = (blocks - 1) * BLOCK + block_bytes(segment, block + blocks - 1);
        status = sutra_block_reader_read(&reader, block * BLOCK, buffer, bytes, fault);
        if (status == SUTRA_OK && block == 0)
            status = check_first(segment, buffer, fault);
        block += blocks;
    }
    sutra_block_reader_deinit(&reader);
    return status;
}

/* The checksums are still as they were when the segment was opened. */
static int check_checksums(const struct sutra_segment *segment, uint8_t *buffer,
                           struct sutra_fault *fault)
{
    const uint64_t offset = segment->data_bytes;
    const uint64_t bytes = segment->block_count * SUTRA_SEGMENT_CHECKSUM_BYTES;
    const size_t step_most = STEP_BLOCKS * BLOCK;
    for (uint64_t at = 0; at < bytes;) {
        const size_t step = bytes - at < step_most ? (size_t)(bytes - at) : step_most;
        const int status = read_file(segment, offset + at, buffer, step, "block checksums", fault);
        if (status != SUTRA_OK)
            return status;
        for (size_t i = 0; i < step; i += SUTRA_SEGMENT_CHECKSUM_BYTES) {
            const uint32_t expected =
                segment->block_checksums[(at + i) / SUTRA_SEGMENT_CHECKSUM_BYTES];
            const uint32_t found = sutra_load_u32(buffer + i);
            if (found != expected)
                return sutra_segment_fault(fault, SUTRA_E_CORRUPT, offset + at + i,
                                           "block checksums", expected, found);
        }
        at += step;
    }
    return SUTRA_OK;
}

int sutra_segment_check(const struct sutra_segment *segment, uint64_t offset, uint64_t bytes,
                        struct sutra_fault *fault_out)
{
    if (fault_out != NULL)
        *fault_out = SUTRA_FAULT_NONE;
    if (bytes == 0) {
        offset = 0;
        bytes = segment->bytes;
    }
    if (offset > segment->bytes || bytes > segment->bytes - offset)
        return SUTRA_E_ARGUMENT;
    const uint64_t end = offset + bytes, blocks = segment->block_count;
    const uint64_t first = offset < segment->data_bytes ? offset / BLOCK : blocks;
    const uint64_t last = end < segment->data_bytes ? (end + BLOCK - 1) / BLOCK : blocks;
    uint8_t *buffer = malloc(STEP_BLOCKS * BLOCK);
    if (buffer == NULL)
        return SUTRA_E_NO_MEMORY;
    int status = check_blocks(segment, first, last, buffer, fault_out);
    if (status == SUTRA_OK && end > segment->data_bytes)
        status = check_checksums(segment, buffer, fault_out);
    free(buffer);
    return status;
}

/* ---- sections of bytes */

int sutra_segment_read_bytes(const struct sutra_segment *segment, uint32_t kind, uint8_t **data_out,
                             size_t *bytes_out, struct sutra_fault *fault_out)
{
    *data_out = NULL;
    *bytes_out = 0;
    if (fault_out != NULL)
        *fault_out = SUTRA_FAULT_NONE;
    for (uint32_t s = 0; s < segment->section_count; s++) {
        const struct sutra_segment_section *section = &segment->sections[s];
        if (section->kind != kind || section->form != SUTRA_SECTION_BYTES)
            continue;
        const size_t bytes = (size_t)section->bytes;
        uint8_t *data = malloc(bytes > 0 ? bytes : 1);
        if (data == NULL)
            return SUTRA_E_NO_MEMORY;
        struct sutra_block_reader reader = sutra_block_reader_of(segment);
        const int status =
            sutra_block_reader_read(&reader, section->offset, data, bytes, fault_out);
        sutra_block_reader_deinit(&reader);
        if (status != SUTRA_OK) {
            free(data);
            return status;
        }
        *data_out = data;
        *bytes_out = bytes;
        return SUTRA_OK;
    }
    return SUTRA_E_NOT_FOUND;
}
