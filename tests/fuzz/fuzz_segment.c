/* Two segments as a chain: a plane is refused or loaded, and what was loaded can be read, in no
 * more memory than the files have bytes.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fuzz.h"

#include "base/platform.h"
#include "disk.h"
#include "mend.h"
#include "vectors/part.h"

enum {
    ROW = 56,
    OTHER_ROW = 4,
    OWN_KIND = 200,
    SMALL_ROWS = 20,
    LARGE_ROWS = 1300, /* more than a block */
    MORE_ROWS = 30,
};

/* ---- seeds */

/* Mostly zeros, so that a large section is a small input. */
static void fill(uint8_t *rows, size_t row_bytes, size_t from, size_t to)
{
    for (size_t row = from; row < to; row++) {
        if (row % 64 == 0 || row + 3 > to)
            sutra_store_u32(rows + row * row_bytes, (uint32_t)row + 1);
    }
}

static void emit_pair(size_t first_rows, size_t second_rows, bool whole, bool bytes, bool patch)
{
    const size_t rows = first_rows + second_rows;
    struct disk disk = disk_new();
    struct sutra_segment_writer *writer;
    struct fuzz_input input = {0};
    uint64_t length;
    uint8_t identity[SUTRA_IDENTITY_BYTES];
    uint8_t *plane = fuzz_alloc(rows * ROW), other[40 * OTHER_ROW] = {1, 2, 3};
    static const uint32_t numbers[3] = {0, 5, 17};
    fill(plane, ROW, 0, rows);
    FUZZ_REQUIRE(sutra_segment_begin(disk.io, FUZZ_DIRECTORY, fuzz_store_id, 1, &writer) == 0);
    if (bytes)
        (void)sutra_segment_bytes(writer, OWN_KIND, other, sizeof other);
    (void)sutra_segment_rows(writer, SUTRA_PART_RECORD, SUTRA_SECTION_RANGE, plane, ROW, 0,
                             first_rows);
    (void)sutra_segment_rows(writer, SUTRA_PART_HEAD, SUTRA_SECTION_WHOLE, other, OTHER_ROW, 0, 40);
    FUZZ_REQUIRE(sutra_segment_commit(writer, &length, identity) == SUTRA_OK);
    FUZZ_REQUIRE(sutra_segment_begin(disk.io, FUZZ_DIRECTORY, fuzz_store_id, 2, &writer) == 0);
    if (patch)
        (void)sutra_segment_patch(writer, SUTRA_PART_RECORD, ROW, numbers, plane, 3);
    (void)sutra_segment_rows(writer, SUTRA_PART_RECORD,
                             whole ? SUTRA_SECTION_WHOLE : SUTRA_SECTION_RANGE, plane, ROW,
                             whole ? 0 : first_rows, rows);
    FUZZ_REQUIRE(sutra_segment_commit(writer, &length, identity) == SUTRA_OK);
    disk_take(&disk, "00000001.seg", &input, 0, 1, SIZE_MAX / 2);
    disk_take(&disk, "00000002.seg", &input, 1, 2, SIZE_MAX / 2);
    input.options[1] = 1;
    fuzz_emit(&input);
    free(plane);
    disk_free(&disk);
}

static void fuzz_seeds(void)
{
    emit_pair(SMALL_ROWS, MORE_ROWS, false, true, true);
    emit_pair(SMALL_ROWS, MORE_ROWS, true, false, false);
    emit_pair(LARGE_ROWS, MORE_ROWS, false, true, true);
    emit_pair(LARGE_ROWS, LARGE_ROWS, false, false, true);
    emit_pair(SMALL_ROWS, LARGE_ROWS, true, true, false);
}

/* ---- reading */

/* Rows that the tables add up to: what a hostile manifest would say. */
static uint64_t rows_by_tables(const struct sutra_segment_chain *chain, uint32_t kind,
                               uint32_t *row_bytes_out)
{
    uint64_t rows = 0;
    *row_bytes_out = 1;
    for (size_t s = 0; s < chain->count; s++) {
        for (uint32_t i = 0; i < chain->segments[s].section_count; i++) {
            const struct sutra_segment_section *section = &chain->segments[s].sections[i];
            if (section->kind != kind || section->form > SUTRA_SECTION_WHOLE)
                continue;
            rows = section->form == SUTRA_SECTION_WHOLE ? section->rows : rows + section->rows;
            *row_bytes_out = section->row_bytes;
        }
    }
    return rows;
}

static void load_kind(struct sutra_segment_chain *chain, uint32_t kind, uint64_t file_bytes,
                      bool hot)
{
    struct sutra_plane plane = {0};
    uint32_t row_bytes;
    const uint64_t rows = rows_by_tables(chain, kind, &row_bytes);
    const int status = sutra_segment_chain_load(chain, kind, row_bytes, (size_t)rows, hot,
                                                SUTRA_HUGE_NEVER, &plane);
    if (status != SUTRA_OK) {
        FUZZ_REQUIRE(status == SUTRA_E_CORRUPT);
        FUZZ_REQUIRE(plane.base == NULL && chain->fault->what != NULL);
        return;
    }
    FUZZ_REQUIRE(rows * row_bytes <= file_bytes);
    FUZZ_REQUIRE(plane.arena.committed_bytes <=
                 sutra_round_up((size_t)rows * row_bytes, sutra_page_bytes()));
    fuzz_touch(plane.base, (size_t)rows * row_bytes);
    for (size_t s = 0; s < chain->count; s++) /* as after a checkpoint that wrote these rows */
        (void)sutra_segment_adopt(&chain->segments[s], kind, &plane);
    fuzz_touch(plane.base, (size_t)rows * row_bytes);
    sutra_plane_release(&plane);
    FUZZ_REQUIRE(sutra_segment_chain_load(chain, kind, row_bytes, (size_t)rows, !hot,
                                          SUTRA_HUGE_NEVER, &plane) == SUTRA_OK);
    FUZZ_REQUIRE(sutra_arena_commit(&plane.arena, (size_t)rows * row_bytes) == SUTRA_OK);
    if (rows)
        memset(plane.base, 1, (size_t)rows * row_bytes);
    sutra_plane_release(&plane);
    FUZZ_REQUIRE(sutra_segment_chain_load(chain, kind, row_bytes, (size_t)rows + 1, hot,
                                          SUTRA_HUGE_NEVER, &plane) == SUTRA_E_CORRUPT);
}

static void read_other(const struct sutra_segment *segment, bool sound)
{
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    uint8_t *data = NULL;
    size_t bytes = 0;
    int status = sutra_segment_read_bytes(segment, OWN_KIND, &data, &bytes, &fault);
    FUZZ_REQUIRE(status == SUTRA_OK || status == SUTRA_E_NOT_FOUND || status == SUTRA_E_CORRUPT);
    FUZZ_REQUIRE(status != SUTRA_OK || bytes <= segment->bytes);
    if (status == SUTRA_OK)
        fuzz_touch(data, bytes);
    free(data);
    status = sutra_segment_check(segment, 0, 0, &fault);
    FUZZ_REQUIRE(status == SUTRA_OK || (status == SUTRA_E_CORRUPT && !sound));
}

/* Options 1: mend lengths, too (bit 0), planes in memory (bit 1), compare checksums (bit 2). */
static void fuzz_run(struct fuzz_input *input)
{
    struct disk disk = disk_new();
    struct sutra_segment segments[2];
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    struct sutra_segment_chain chain = {.segments = segments, .fault = &fault};
    uint64_t file_bytes = 0;
    const bool raw = input->options[0] & 1;
    for (uint32_t s = 0; s < 2; s++) {
        char name[SUTRA_SEGMENT_NAME_BYTES];
        input->files[s].number = 1 + s;
        if (!raw)
            mend_segment(&input->files[s], input->options[1] & 1);
        sutra_segment_name(1 + s, name);
        disk_put(&disk, name, &input->files[s]);
    }
    int status = SUTRA_OK;
    for (uint32_t s = 0; s < 2 && status == SUTRA_OK; s++) {
        status = sutra_segment_open(disk.io, FUZZ_DIRECTORY, fuzz_store_id, 1 + s, 0, NULL,
                                    &segments[s], &fault);
        FUZZ_REQUIRE(status == SUTRA_OK || status == SUTRA_E_CORRUPT || status == ENOENT ||
                     status == SUTRA_E_TRUNCATED || status == SUTRA_E_VERSION);
        if (status == SUTRA_OK) {
            chain.count++;
            file_bytes += segments[s].bytes;
            read_other(&segments[s], !raw);
        }
    }
    static const uint32_t kinds[] = {SUTRA_PART_RECORD, SUTRA_PART_HEAD, OWN_KIND, SUTRA_PART_HEAP};
    chain.checked = input->options[1] & 4;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        load_kind(&chain, kinds[k], file_bytes, input->options[1] & 2);
    for (size_t s = 0; s < chain.count; s++)
        sutra_segment_close(&segments[s]);
    disk_free(&disk);
}
