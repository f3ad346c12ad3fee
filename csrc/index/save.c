/* Writing an index file; the layout is in FORMAT.md.
 *
 * Sections are streamed in file order and the header, which needs their checksums, is written
 * last over its place. io/file.h makes the whole replacement atomic and durable.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <string.h>

#include "format.h"
#include "../base/bytes.h"
#include "../base/crc32c.h"
#include "../base/platform.h"
#include "../io/file.h"

struct save {
    struct sutra_file_writer writer;
    uint8_t header[SUTRA_HEADER_BYTES];
    uint32_t section_count;
};

/* Checksum and write in steps that stay in cache between the two. */
#define STEP_BYTES ((size_t)256 << 10)

static int write_section(struct save *save, uint32_t kind, const void *rows, size_t row_bytes,
                         size_t count)
{
    const size_t bytes = row_bytes * count;
    if (bytes == 0)
        return SUTRA_OK;
    int status = sutra_file_writer_align(&save->writer, SUTRA_SECTION_ALIGNMENT);
    const uint64_t offset = save->writer.written_bytes;
    uint32_t crc = 0;
    for (size_t done = 0; status == SUTRA_OK && done < bytes; done += STEP_BYTES) {
        const size_t step = bytes - done < STEP_BYTES ? bytes - done : STEP_BYTES;
        crc = sutra_crc32c(crc, (const uint8_t *)rows + done, step);
        status = sutra_file_writer_append(&save->writer, (const uint8_t *)rows + done, step);
    }
    uint8_t *entry = save->header + SUTRA_HEADER_SECTIONS +
                     (size_t)save->section_count * SUTRA_SECTION_ENTRY_BYTES;
    save->section_count++;
    sutra_store_u32(entry + SUTRA_SECTION_KIND, kind);
    sutra_store_u32(entry + SUTRA_SECTION_ROW_BYTES, (uint32_t)row_bytes);
    sutra_store_u64(entry + SUTRA_SECTION_OFFSET, offset);
    sutra_store_u64(entry + SUTRA_SECTION_ROWS, count);
    sutra_store_u32(entry + SUTRA_SECTION_CRC, crc);
    return status;
}

static int write_plane(struct save *save, uint32_t kind, const struct sutra_plane *plane,
                       size_t count)
{
    return plane->base ? write_section(save, kind, plane->base, plane->row_bytes, count) : SUTRA_OK;
}

static int write_sections(struct save *save, const struct sutra_front *now)
{
    const struct sutra_graph *graph = &now->graph;
    const struct sutra_quantizer *quantizer = &now->quantizer;
    int status = SUTRA_OK;
    if (now->linked && now->options.quantization != SUTRA_QUANT_NONE) {
        status = write_section(save, SUTRA_SECTION_MEAN, quantizer->rotated_mean, sizeof(float),
                               quantizer->rotated_dim);
        if (status == SUTRA_OK)
            status = write_section(save, SUTRA_SECTION_SIGNS, quantizer->signs, 1,
                                   quantizer->rotated_dim / 8 * 4);
    }
    if (now->linked) {
        static const uint32_t kinds[SUTRA_UPPER_PLANES] = {
            SUTRA_SECTION_UPPER_NODE, SUTRA_SECTION_UPPER_FIRST, SUTRA_SECTION_UPPER_LEVEL};
        for (unsigned p = 0; status == SUTRA_OK && p < SUTRA_UPPER_PLANES; p++)
            status = write_plane(save, kinds[p], &graph->upper.plane[p], graph->upper_count);
        if (status == SUTRA_OK)
            status = write_plane(save, SUTRA_SECTION_UPPER_LINKS, &graph->upper_links.plane[0],
                                 graph->list_count);
        if (status == SUTRA_OK)
            status = write_plane(save, SUTRA_SECTION_LINKS, &graph->links.plane[0], now->count);
    }
    static const uint32_t kinds[SUTRA_PLANE_FILE_COUNT] = {
        SUTRA_SECTION_HIGH, SUTRA_SECTION_LOW, SUTRA_SECTION_CORRECTION, SUTRA_SECTION_ID,
        SUTRA_SECTION_ORIGINAL};
    for (unsigned p = 0; status == SUTRA_OK && p < SUTRA_PLANE_FILE_COUNT; p++)
        status = write_plane(save, kinds[p], &now->planes.plane[p], now->count);
    return status;
}

static void fill_header(struct save *save, const struct sutra_index *index)
{
    uint8_t *header = save->header;
    const struct sutra_front *now = &index->now;
    const struct sutra_index_options *options = &now->options;
    uint32_t flags = 0;
    flags |= options->keep_originals ? SUTRA_FLAG_KEEP_ORIGINALS : 0;
    flags |= now->identity_ids ? SUTRA_FLAG_IDENTITY_IDS : 0;
    flags |= now->linked ? SUTRA_FLAG_GRAPH : 0;
    memcpy(header + SUTRA_HEADER_MAGIC, SUTRA_INDEX_MAGIC, 8);
    sutra_store_u32(header + SUTRA_HEADER_VERSION, SUTRA_INDEX_VERSION);
    sutra_store_u32(header + SUTRA_HEADER_SECTION_COUNT, save->section_count);
    sutra_store_u64(header + SUTRA_HEADER_FILE_BYTES, save->writer.written_bytes);
    sutra_store_u64(header + SUTRA_HEADER_COUNT, now->count);
    sutra_store_u32(header + SUTRA_HEADER_DIM, options->dim);
    sutra_store_u32(header + SUTRA_HEADER_METRIC, (uint32_t)options->metric);
    sutra_store_u32(header + SUTRA_HEADER_QUANTIZATION, (uint32_t)options->quantization);
    sutra_store_u32(header + SUTRA_HEADER_FLAGS, flags);
    sutra_store_u32(header + SUTRA_HEADER_M, options->m);
    sutra_store_u32(header + SUTRA_HEADER_EF_CONSTRUCTION, options->ef_construction);
    sutra_store_u64(header + SUTRA_HEADER_SEED, options->seed);
    sutra_store_u64(header + SUTRA_HEADER_NEXT_ID, (uint64_t)index->next_id);
    sutra_store_u64(header + SUTRA_HEADER_ENTRY, now->graph.entry);
    sutra_store_u64(header + SUTRA_HEADER_UPPER_COUNT, now->graph.upper_count);
    sutra_store_u64(header + SUTRA_HEADER_LIST_COUNT, now->graph.list_count);
    sutra_store_u64(header + SUTRA_HEADER_FITTED_COUNT, now->fitted_count);
    sutra_store_u32(header + SUTRA_HEADER_TUNED_EF,
                    __atomic_load_n(&index->tuned_ef, __ATOMIC_RELAXED));
    sutra_store_u32(header + SUTRA_HEADER_CRC, sutra_crc32c(0, header, SUTRA_HEADER_CRC));
}

static int save_locked(const struct sutra_index *index, const char *path)
{
    struct save save = {.section_count = 0};
    int status = sutra_file_writer_begin(&save.writer, path);
    if (status != SUTRA_OK)
        return status;
    status = sutra_file_writer_append(&save.writer, save.header, sizeof save.header);
    if (status == SUTRA_OK)
        status = write_sections(&save, &index->now);
    /* Whole pages at the end: the last section can be mapped like the others. */
    if (status == SUTRA_OK)
        status = sutra_file_writer_align(&save.writer, SUTRA_SECTION_ALIGNMENT);
    if (status == SUTRA_OK) {
        fill_header(&save, index);
        status = sutra_file_writer_rewrite(&save.writer, 0, save.header, sizeof save.header);
    }
    if (status == SUTRA_OK)
        status = sutra_file_writer_commit(&save.writer);
    if (status != SUTRA_OK)
        sutra_file_writer_abort(&save.writer);
    return status;
}

/* A file has no dead rows. */
static int save_compact(const struct sutra_index *index, const char *path)
{
    struct sutra_index *copy;
    int status = sutra_index_make_compact(index, sutra_cores_usable(), &copy);
    if (status != SUTRA_OK)
        return status;
    status = save_locked(copy, path);
    sutra_index_free(copy);
    return status;
}

/* An add changes lists in place: one at a time. */
int sutra_index_save(struct sutra_index *index, const char *path)
{
    pthread_mutex_lock(&index->writer);
    int status = index->closed ? SUTRA_E_CLOSED : SUTRA_OK;
    if (status == SUTRA_OK)
        status = index->now.dead_count ? save_compact(index, path) : save_locked(index, path);
    pthread_mutex_unlock(&index->writer);
    return status;
}
