/* Planes from a chain of segments.
 *
 * What counts begins at the last section that holds the whole plane. From there ranges must follow
 * on each other without gap or overlap. A large range's section repeats the plane from a multiple
 * of 64 KiB on, so that its blocks lie in the file as they lie in the plane; the rows before its
 * first are not taken from there: they were saved by an earlier section, and their bytes here may
 * be of another moment.
 *
 * A cold plane is built from its front: whole blocks of a large range are mapped, the rest is read
 * into committed pages, which the first block of the next large range replaces if it lies there.
 * Small ranges are read. So the mapped part is one prefix unless small ranges have filled a block.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "segment.h"
#include "segment_blocks.h"

#define BLOCK ((size_t)SUTRA_SEGMENT_BLOCK)

struct load {
    const struct sutra_segment_chain *chain;
    struct sutra_fault fault;
    const struct sutra_segment *at_fault;
    uint32_t kind;
    size_t row_bytes;
    uint64_t rows;
    bool hot;
    bool map_failed;
    uint8_t *saved; /* a block */
    size_t first_segment;
    uint32_t first_section; /* where the last whole plane is, or the very first section */
    struct sutra_plane plane;
};

static int fail(struct load *load, const struct sutra_segment *segment, int status, uint64_t offset,
                const char *what, uint64_t expected, uint64_t found)
{
    load->at_fault = segment;
    return sutra_segment_fault(&load->fault, status, offset, what, expected, found);
}

/* ---- what counts */

/* Steps through the sections of the kind from the first that counts on. */
struct place {
    size_t segment;
    uint32_t section;
    const struct sutra_segment *in;
    const struct sutra_segment_section *at;
};

static bool next_place(const struct load *load, struct place *place)
{
    const struct sutra_segment_chain *chain = load->chain;
    for (; place->segment < chain->count; place->segment++, place->section = 0) {
        place->in = &chain->segments[place->segment];
        while (place->section < place->in->section_count) {
            place->at = &place->in->sections[place->section++];
            if (place->at->kind == load->kind)
                return true;
        }
    }
    return false;
}

static struct place first_place(const struct load *load)
{
    return (struct place){.segment = load->first_segment, .section = load->first_section};
}

static void find_first(struct load *load)
{
    for (struct place place = first_place(load); next_place(load, &place);) {
        if (place.at->form == SUTRA_SECTION_WHOLE) {
            load->first_segment = place.segment;
            load->first_section = place.section - 1;
        }
    }
}

/* Ranges join, patches lie within what there is, and all together are the rows asked for. */
static int check_rows(struct load *load)
{
    uint64_t rows = 0;
    const struct sutra_segment *last = NULL;
    for (struct place place = first_place(load); next_place(load, &place);) {
        const struct sutra_segment_section *section = place.at;
        last = place.in;
        if (section->form == SUTRA_SECTION_BYTES)
            return fail(load, last, SUTRA_E_CORRUPT, section->offset, "section form",
                        SUTRA_SECTION_RANGE, section->form);
        if (section->row_bytes != load->row_bytes)
            return fail(load, last, SUTRA_E_CORRUPT, section->offset, "row bytes", load->row_bytes,
                        section->row_bytes);
        if (section->form == SUTRA_SECTION_PATCH) {
            if (section->rows > rows)
                return fail(load, last, SUTRA_E_CORRUPT, section->offset, "patched rows", rows,
                            section->rows);
            continue;
        }
        if (section->first_row != rows)
            return fail(load, last, SUTRA_E_CORRUPT, section->offset, "first row", rows,
                        section->first_row);
        rows += section->rows; /* both below 2^32 */
        if (rows > load->rows)
            break;
    }
    if (rows != load->rows)
        return fail(load, last, SUTRA_E_CORRUPT, 0, "row count", load->rows, rows);
    return SUTRA_OK;
}

/* ---- ranges */

/* Bytes [from, to) of the plane, from a range whose section begins at byte `start` of it. */
static int read_part(struct load *load, const struct place *place, size_t start, size_t from,
                     size_t to)
{
    if (from == to)
        return SUTRA_OK;
    const int committed = sutra_arena_commit(&load->plane.arena, to);
    if (committed != SUTRA_OK)
        return fail(load, place->in, committed, place->at->offset, "rows", 0, 0);
    const uint64_t offset = place->at->offset + (from - start);
    uint8_t *data = load->plane.base + from;
    if (!load->chain->checked) {
        const int status = sutra_io_read_all(place->in->io, place->in->fd, offset, data, to - from);
        return status == SUTRA_OK ? SUTRA_OK
                                  : fail(load, place->in, status, offset, "rows", to - from, 0);
    }
    struct sutra_block_reader reader = sutra_block_reader_of(place->in);
    const int status = sutra_block_reader_read(&reader, offset, data, to - from, &load->fault);
    sutra_block_reader_deinit(&reader);
    if (status != SUTRA_OK)
        load->at_fault = place->in;
    return status;
}

/* Note that [from, to) of the arena is the file's now. Where memory lies before it, what is mapped
 * is only counted; never beyond the end of it. */
static void note_mapped(struct sutra_arena *arena, size_t from, size_t to)
{
    const size_t before = from < arena->mapped_bytes ? from : arena->mapped_bytes;
    if (before + (to - from) > arena->mapped_bytes)
        arena->mapped_bytes = before + (to - from);
    if (to > arena->committed_bytes)
        arena->committed_bytes = to;
}

/* Map blocks [start, to) of a large range, keeping the `before` bytes of earlier rows that lie
 * there.
 */
static int map_part(struct load *load, const struct place *place, size_t start, size_t before,
                    size_t to)
{
    const struct sutra_io *io = place->in->io;
    uint8_t *base = load->plane.base + start;
    if (before > 0)
        memcpy(load->saved, base, before);
    const int status = io->map(io->context, place->in->fd, place->at->offset, to - start, base);
    if (status != SUTRA_OK) {
        load->map_failed = true;
        return fail(load, place->in, status, place->at->offset, "rows", 0, 0);
    }
    note_mapped(&load->plane.arena, start, to);
    if (before > 0 && memcmp(base, load->saved, before) != 0)
        memcpy(base, load->saved, before);
    return SUTRA_OK;
}

static int load_range(struct load *load, const struct place *place)
{
    const size_t from = (size_t)place->at->first_row * load->row_bytes;
    const size_t to = from + (size_t)place->at->rows * load->row_bytes;
    const size_t start = from - (size_t)sutra_section_repeated_bytes(place->at);
    if (load->hot || sutra_section_is_small(place->at))
        return read_part(load, place, start, from, to);
    const size_t whole = to / BLOCK * BLOCK; /* above start: there is a block of rows */
    const int status = map_part(load, place, start, from - start, whole);
    return status == SUTRA_OK ? read_part(load, place, start, whole, to) : status;
}

static int load_ranges(struct load *load)
{
    if (load->hot) {
        const int status = sutra_arena_commit(&load->plane.arena, load->rows * load->row_bytes);
        if (status != SUTRA_OK)
            return status;
    }
    int status = SUTRA_OK;
    for (struct place place = first_place(load); status == SUTRA_OK && next_place(load, &place);) {
        if (place.at->form != SUTRA_SECTION_PATCH)
            status = load_range(load, &place);
    }
    return status;
}

/* ---- patches */

/* How many numbers are read at a time. */
#define NUMBERS 1024u

static int apply_patch(struct load *load, const struct place *place, uint64_t rows)
{
    const struct sutra_segment_section *section = place->at;
    struct sutra_block_reader by_number = sutra_block_reader_of(place->in), by_row = by_number;
    uint64_t numbers_at = section->offset;
    uint64_t rows_at = section->offset + sutra_patch_numbers_bytes(section->rows);
    uint64_t least = 0;
    int status = SUTRA_OK;
    for (uint64_t left = section->rows; left > 0 && status == SUTRA_OK;) {
        uint32_t numbers[NUMBERS];
        const size_t count = left < NUMBERS ? (size_t)left : NUMBERS;
        status = sutra_block_reader_read(&by_number, numbers_at, numbers, count * sizeof *numbers,
                                         &load->fault);
        for (size_t j = 0; j < count && status == SUTRA_OK; j++) {
            if (numbers[j] < least || numbers[j] >= rows) {
                status = sutra_segment_fault(&load->fault, SUTRA_E_CORRUPT,
                                             numbers_at + j * sizeof *numbers, "patched rows", rows,
                                             numbers[j]);
                break;
            }
            least = (uint64_t)numbers[j] + 1;
            status = sutra_block_reader_read(&by_row, rows_at,
                                             load->plane.base + numbers[j] * load->row_bytes,
                                             load->row_bytes, &load->fault);
            rows_at += load->row_bytes;
        }
        numbers_at += count * sizeof *numbers;
        left -= count;
    }
    sutra_block_reader_deinit(&by_number);
    sutra_block_reader_deinit(&by_row);
    if (status != SUTRA_OK)
        load->at_fault = place->in;
    return status;
}

static int load_patches(struct load *load)
{
    uint64_t rows = 0;
    int status = SUTRA_OK;
    for (struct place place = first_place(load); status == SUTRA_OK && next_place(load, &place);) {
        if (place.at->form == SUTRA_SECTION_PATCH)
            status = apply_patch(load, &place, rows);
        else
            rows += place.at->rows;
    }
    return status;
}

/* ---- */

static int load_plane(struct load *load, int huge_pages)
{
    int status = sutra_plane_reserve(&load->plane, load->row_bytes, (size_t)load->rows, huge_pages);
    if (status == SUTRA_OK)
        status = load_ranges(load);
    if (status == SUTRA_OK)
        status = load_patches(load);
    if (status != SUTRA_OK)
        sutra_plane_release(&load->plane);
    return status;
}

static int load_checked(struct load *load, int huge_pages)
{
    if (load->row_bytes == 0 || load->row_bytes > UINT32_MAX)
        return SUTRA_E_ARGUMENT;
    find_first(load);
    int status = check_rows(load);
    if (status != SUTRA_OK)
        return status;
    if (!load->hot) {
        load->saved = malloc(BLOCK);
        if (load->saved == NULL)
            return SUTRA_E_NO_MEMORY;
    }
    status = load_plane(load, huge_pages);
    free(load->saved);
    if (status != SUTRA_OK && load->map_failed) {
        /* A file that cannot be mapped can still be read. Anew, because nothing is known of the
         * pages where a mapping has failed. */
        load->hot = true;
        status = load_plane(load, huge_pages);
    }
    return status;
}

int sutra_segment_chain_load(void *chain, uint32_t kind, size_t row_bytes, size_t rows, bool hot,
                             int huge_pages, struct sutra_plane *plane_out)
{
    struct sutra_segment_chain *from = chain;
    struct load load = {.chain = from,
                        .fault = SUTRA_FAULT_NONE,
                        .kind = kind,
                        .row_bytes = row_bytes,
                        .rows = rows,
                        .hot = hot};
    memset(plane_out, 0, sizeof *plane_out);
    const int status = load_checked(&load, huge_pages);
    if (status == SUTRA_OK) {
        *plane_out = load.plane;
        return SUTRA_OK;
    }
    if (from->fault != NULL)
        *from->fault = load.fault;
    memset(from->fault_file, 0, sizeof from->fault_file);
    if (load.at_fault != NULL)
        memcpy(from->fault_file, load.at_fault->name, sizeof from->fault_file);
    return status;
}

uint64_t sutra_segment_chain_patched(const struct sutra_segment_chain *chain, uint32_t kind)
{
    struct load load = {.chain = chain, .kind = kind};
    uint64_t bytes = 0;
    find_first(&load);
    for (struct place place = first_place(&load); next_place(&load, &place);) {
        if (place.at->form == SUTRA_SECTION_PATCH)
            bytes += sutra_patch_bytes(place.at->rows, place.at->row_bytes);
    }
    return bytes;
}

/* ---- adopting */

/* Are the bytes of earlier rows at the front of a section those of the plane? */
static int compare_front(const struct sutra_segment *segment, uint64_t offset,
                         const uint8_t *memory, size_t bytes, bool *equal_out)
{
    *equal_out = true;
    if (bytes == 0)
        return SUTRA_OK;
    uint8_t *front = malloc(bytes);
    if (front == NULL)
        return SUTRA_E_NO_MEMORY;
    const int status = sutra_io_read_all(segment->io, segment->fd, offset, front, bytes);
    if (status == SUTRA_OK)
        *equal_out = memcmp(front, memory, bytes) == 0;
    free(front);
    return status;
}

static int adopt_range(const struct sutra_segment *segment,
                       const struct sutra_segment_section *section, struct sutra_plane *plane)
{
    const struct sutra_io *io = segment->io;
    const size_t from = (size_t)section->first_row * plane->row_bytes;
    const size_t to = (from + (size_t)section->rows * plane->row_bytes) / BLOCK * BLOCK;
    size_t start = from - (size_t)sutra_section_repeated_bytes(section);
    uint64_t offset = section->offset;
    if (to > plane->arena.committed_bytes)
        return SUTRA_E_ARGUMENT;
    if (sutra_section_is_small(section))
        return SUTRA_OK;
    bool equal;
    int status = compare_front(segment, offset, plane->base + start, from - start, &equal);
    if (status != SUTRA_OK)
        return status;
    if (!equal) {
        start += BLOCK;
        offset += BLOCK;
    }
    if (to == start)
        return SUTRA_OK;
    status = io->map(io->context, segment->fd, offset, to - start, plane->base + start);
    if (status == SUTRA_OK)
        note_mapped(&plane->arena, start, to);
    return status;
}

int sutra_segment_adopt(const struct sutra_segment *segment, uint32_t kind,
                        struct sutra_plane *plane)
{
    int status = SUTRA_E_NOT_FOUND;
    for (uint32_t s = 0; s < segment->section_count; s++) {
        const struct sutra_segment_section *section = &segment->sections[s];
        if (section->kind != kind ||
            (section->form != SUTRA_SECTION_RANGE && section->form != SUTRA_SECTION_WHOLE))
            continue;
        if (section->row_bytes != plane->row_bytes || plane->base == NULL)
            return SUTRA_E_ARGUMENT;
        status = adopt_range(segment, section, plane);
        if (status != SUTRA_OK)
            return status;
    }
    return status;
}
