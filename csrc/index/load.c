/* Opening an index file, and checking one; the layout is in FORMAT.md.
 *
 * Nothing in the file is trusted. The header's checksum catches accidents; every number in it
 * is checked against every other all the same, because a checksum can be forged. Sections that
 * search reads in bulk are mapped unread; what they may hold wrong (ids, floats) search bears
 * without harm. Small tables are read, checked and kept in memory.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "../base/bytes.h"
#include "../base/crc32c.h"
#include "../base/platform.h"
#include "../io/file.h"
#include "../io/mapping.h"
#include "../quant/rotation.h"

struct section {
    uint64_t offset, rows;
    size_t row_bytes;
    uint32_t crc;
    bool present;
};

struct load {
    uint8_t header[SUTRA_HEADER_BYTES];
    struct section section[SUTRA_SECTION_KINDS];
    uint64_t file_bytes;
    uint64_t count;
    uint32_t flags;
    struct sutra_fault *fault;
};

static const char *const section_names[SUTRA_SECTION_KINDS] = {
    [0] = "header",
    [SUTRA_SECTION_MEAN] = "mean section",
    [SUTRA_SECTION_SIGNS] = "signs section",
    [SUTRA_SECTION_UPPER_NODE] = "upper node section",
    [SUTRA_SECTION_UPPER_FIRST] = "upper first-list section",
    [SUTRA_SECTION_UPPER_LEVEL] = "upper level section",
    [SUTRA_SECTION_UPPER_LINKS] = "upper links section",
    [SUTRA_SECTION_LINKS] = "links section",
    [SUTRA_SECTION_HIGH] = "high code section",
    [SUTRA_SECTION_LOW] = "low code section",
    [SUTRA_SECTION_CORRECTION] = "correction section",
    [SUTRA_SECTION_ID] = "id section",
    [SUTRA_SECTION_ORIGINAL] = "original section",
};

static int fail(struct sutra_fault *fault, int status, uint64_t offset, const char *what,
                uint64_t expected, uint64_t found)
{
    *fault = SUTRA_FAULT_NONE;
    fault->offset = (int64_t)offset;
    fault->what = what;
    fault->expected = expected;
    fault->found = found;
    return status;
}

/* ---- header */

static int read_header(struct load *load, int fd)
{
    uint8_t *header = load->header;
    if (load->file_bytes < SUTRA_HEADER_BYTES)
        return fail(load->fault, SUTRA_E_TRUNCATED, 0, "header", SUTRA_HEADER_BYTES,
                    load->file_bytes);
    const int status = sutra_file_read_at(fd, 0, header, SUTRA_HEADER_BYTES);
    if (status != SUTRA_OK)
        return status;
    if (memcmp(header + SUTRA_HEADER_MAGIC, SUTRA_INDEX_MAGIC, 8) != 0)
        return fail(load->fault, SUTRA_E_NOT_INDEX, SUTRA_HEADER_MAGIC, "header", 0, 0);
    const uint32_t stored = sutra_load_u32(header + SUTRA_HEADER_CRC);
    const uint32_t actual = sutra_crc32c(0, header, SUTRA_HEADER_CRC);
    if (stored != actual)
        return fail(load->fault, SUTRA_E_CORRUPT, SUTRA_HEADER_CRC, "header", stored, actual);
    const uint32_t version = sutra_load_u32(header + SUTRA_HEADER_VERSION);
    if (version != SUTRA_INDEX_VERSION)
        return fail(load->fault, SUTRA_E_VERSION, SUTRA_HEADER_VERSION, "header",
                    SUTRA_INDEX_VERSION, version);
    const uint64_t bytes = sutra_load_u64(header + SUTRA_HEADER_FILE_BYTES);
    if (bytes != load->file_bytes)
        return fail(load->fault, bytes > load->file_bytes ? SUTRA_E_TRUNCATED : SUTRA_E_CORRUPT,
                    SUTRA_HEADER_FILE_BYTES, "file length", bytes, load->file_bytes);
    load->flags = sutra_load_u32(header + SUTRA_HEADER_FLAGS);
    load->count = sutra_load_u64(header + SUTRA_HEADER_COUNT);
    if (load->flags & ~(uint32_t)SUTRA_FLAGS_KNOWN)
        return fail(load->fault, SUTRA_E_CORRUPT, SUTRA_HEADER_FLAGS, "header", SUTRA_FLAGS_KNOWN,
                    load->flags);
    if (load->count > SUTRA_ROWS_MAX)
        return fail(load->fault, SUTRA_E_CORRUPT, SUTRA_HEADER_COUNT, "header", SUTRA_ROWS_MAX,
                    load->count);
    return SUTRA_OK;
}

static int read_sections(struct load *load)
{
    const uint8_t *header = load->header;
    const uint32_t sections = sutra_load_u32(header + SUTRA_HEADER_SECTION_COUNT);
    uint64_t free_from = SUTRA_HEADER_BYTES;
    uint32_t last_kind = 0;
    if (sections >= SUTRA_SECTION_KINDS)
        return fail(load->fault, SUTRA_E_CORRUPT, SUTRA_HEADER_SECTION_COUNT, "header",
                    SUTRA_SECTION_KINDS - 1, sections);
    for (uint32_t s = 0; s < sections; s++) {
        const size_t at = SUTRA_HEADER_SECTIONS + (size_t)s * SUTRA_SECTION_ENTRY_BYTES;
        const uint32_t kind = sutra_load_u32(header + at + SUTRA_SECTION_KIND);
        if (kind <= last_kind || kind >= SUTRA_SECTION_KINDS)
            return fail(load->fault, SUTRA_E_CORRUPT, at, "section table", last_kind, kind);
        struct section *section = &load->section[kind];
        section->present = true;
        section->row_bytes = sutra_load_u32(header + at + SUTRA_SECTION_ROW_BYTES);
        section->offset = sutra_load_u64(header + at + SUTRA_SECTION_OFFSET);
        section->rows = sutra_load_u64(header + at + SUTRA_SECTION_ROWS);
        section->crc = sutra_load_u32(header + at + SUTRA_SECTION_CRC);
        size_t bytes;
        const bool sound = section->rows <= SUTRA_ROWS_MAX * (uint64_t)SUTRA_LEVEL_MAX &&
                           sutra_mul_size(section->row_bytes, (size_t)section->rows, &bytes) &&
                           section->offset % SUTRA_SECTION_ALIGNMENT == 0 &&
                           section->offset >= free_from && section->offset <= load->file_bytes &&
                           bytes <= load->file_bytes - section->offset &&
                           sutra_load_u32(header + at + SUTRA_SECTION_RESERVED) == 0;
        if (!sound)
            return fail(load->fault, SUTRA_E_CORRUPT, at, section_names[kind], free_from,
                        section->offset);
        free_from = section->offset + bytes;
        last_kind = kind;
    }
    return SUTRA_OK;
}

/* The section must be there with exactly this shape. */
static int expect(const struct load *load, unsigned kind, size_t row_bytes, uint64_t rows)
{
    const struct section *section = &load->section[kind];
    if (rows == 0)
        return SUTRA_OK; /* empty sections are not written */
    if (!section->present)
        return fail(load->fault, SUTRA_E_CORRUPT, SUTRA_HEADER_SECTIONS, section_names[kind],
                    row_bytes, 0);
    if (section->row_bytes != row_bytes)
        return fail(load->fault, SUTRA_E_CORRUPT, section->offset, section_names[kind], row_bytes,
                    section->row_bytes);
    if (section->rows != rows)
        return fail(load->fault, SUTRA_E_CORRUPT, section->offset, section_names[kind], rows,
                    section->rows);
    return SUTRA_OK;
}

static int check_crc(const struct load *load, unsigned kind, const void *bytes)
{
    const struct section *section = &load->section[kind];
    const uint32_t actual = sutra_crc32c(0, bytes, section->row_bytes * (size_t)section->rows);
    if (actual != section->crc)
        return fail(load->fault, SUTRA_E_CORRUPT, section->offset, section_names[kind],
                    section->crc, actual);
    return SUTRA_OK;
}

/* ---- contents */

static int load_plane(const struct load *load, int fd, struct sutra_planes *planes, unsigned plane,
                      unsigned kind, size_t row_bytes, uint64_t rows, bool mapped)
{
    int status = expect(load, kind, row_bytes, rows);
    if (status != SUTRA_OK || rows == 0)
        return status;
    return sutra_planes_load(planes, plane, row_bytes, (size_t)rows, fd, load->section[kind].offset,
                             mapped);
}

static int read_small(const struct load *load, int fd, unsigned kind, void *to, size_t row_bytes,
                      uint64_t rows)
{
    int status = expect(load, kind, row_bytes, rows);
    if (status == SUTRA_OK)
        status = sutra_file_read_at(fd, load->section[kind].offset, to, row_bytes * (size_t)rows);
    if (status == SUTRA_OK)
        status = check_crc(load, kind, to);
    return status;
}

static int load_quantizer(const struct load *load, int fd, struct sutra_index *index)
{
    struct sutra_quantizer *quantizer = &index->now.quantizer;
    int status = read_small(load, fd, SUTRA_SECTION_MEAN, quantizer->rotated_mean, sizeof(float),
                            quantizer->rotated_dim);
    if (status == SUTRA_OK)
        status = read_small(load, fd, SUTRA_SECTION_SIGNS, quantizer->signs, 1,
                            sutra_rotation_sign_bytes(quantizer->rotated_dim));
    return status;
}

static int load_upper(const struct load *load, int fd, struct sutra_graph *graph)
{
    static const unsigned kinds[SUTRA_UPPER_PLANES] = {
        SUTRA_SECTION_UPPER_NODE, SUTRA_SECTION_UPPER_FIRST, SUTRA_SECTION_UPPER_LEVEL};
    static const size_t row_bytes[SUTRA_UPPER_PLANES] = {sizeof(uint32_t), sizeof(uint32_t), 1};
    int status = SUTRA_OK;
    for (unsigned p = 0; p < SUTRA_UPPER_PLANES && status == SUTRA_OK; p++) {
        status = load_plane(load, fd, &graph->upper, p, kinds[p], row_bytes[p], graph->upper_count,
                            false);
        if (status == SUTRA_OK && graph->upper_count)
            status = check_crc(load, kinds[p], graph->upper.plane[p].base);
    }
    if (status == SUTRA_OK)
        status = load_plane(load, fd, &graph->upper_links, 0, SUTRA_SECTION_UPPER_LINKS,
                            graph->upper_slots * sizeof(uint32_t), graph->list_count, false);
    if (status == SUTRA_OK && graph->list_count)
        status = check_crc(load, SUTRA_SECTION_UPPER_LINKS, graph->upper_links.plane[0].base);
    graph->upper.capacity_rows = graph->upper_count;
    graph->upper_links.capacity_rows = graph->list_count;
    return status;
}

static int load_graph(const struct load *load, int fd, struct sutra_index *index, bool mapped)
{
    struct sutra_graph *graph = &index->now.graph;
    const uint64_t upper_count = sutra_load_u64(load->header + SUTRA_HEADER_UPPER_COUNT);
    const uint64_t list_count = sutra_load_u64(load->header + SUTRA_HEADER_LIST_COUNT);
    if (upper_count > load->count || list_count > upper_count * SUTRA_LEVEL_MAX ||
        list_count < upper_count)
        return fail(load->fault, SUTRA_E_CORRUPT, SUTRA_HEADER_UPPER_COUNT, "header", load->count,
                    upper_count);
    graph->upper_count = (size_t)upper_count;
    graph->list_count = (size_t)list_count;
    graph->entry = sutra_load_u64(load->header + SUTRA_HEADER_ENTRY);
    graph->count = index->now.count;
    int status = load_upper(load, fd, graph);
    if (status == SUTRA_OK)
        status = load_plane(load, fd, &graph->links, 0, SUTRA_SECTION_LINKS,
                            graph->slots * sizeof(uint32_t), load->count, mapped);
    graph->links.capacity_rows = index->now.count;
    if (status != SUTRA_OK)
        return status;
    struct sutra_fault where;
    if (sutra_graph_check_tables(graph, &where) != SUTRA_OK)
        return fail(load->fault, SUTRA_E_CORRUPT, SUTRA_HEADER_ENTRY, where.what, 0,
                    (uint64_t)where.row);
    return SUTRA_OK;
}

/* Reranking reads single rows. Where the file fits in memory, reading ahead warms it up; where it
 * does not, reading ahead pushes out what is needed. */
static void hint_rerank_planes(const struct load *load, const struct sutra_planes *planes)
{
    struct sutra_platform platform;
    sutra_platform_read(&platform);
    if (load->file_bytes < platform.memory_available_bytes / 2)
        return;
    static const unsigned reranked[] = {SUTRA_PLANE_LOW, SUTRA_PLANE_ORIGINAL};
    for (unsigned j = 0; j < 2; j++) {
        const struct sutra_plane *plane = &planes->plane[reranked[j]];
        const struct sutra_mapping part = {.data = plane->base, .bytes = plane->arena.mapped_bytes};
        if (part.bytes)
            sutra_mapping_advise(&part, 0, 0, SUTRA_HINT_RANDOM, NULL);
    }
}

static int load_planes(const struct load *load, int fd, struct sutra_front *now, bool mapped)
{
    const struct sutra_index_options *options = &now->options;
    const bool linked = now->linked, coded = linked && options->quantization != SUTRA_QUANT_NONE;
    const bool originals = !linked || options->keep_originals;
    /* With originals the second code plane and the originals are read by rerank alone. */
    const bool low_mapped = mapped || options->keep_originals;
    const bool originals_mapped = mapped || coded;
    struct sutra_planes *planes = &now->planes;
    int status = SUTRA_OK;
    if (coded) {
        const size_t row_bytes = now->quantizer.row_bytes;
        status = load_plane(load, fd, planes, SUTRA_PLANE_HIGH, SUTRA_SECTION_HIGH, row_bytes,
                            load->count, mapped);
        if (status == SUTRA_OK && options->quantization == SUTRA_QUANT_U8)
            status = load_plane(load, fd, planes, SUTRA_PLANE_LOW, SUTRA_SECTION_LOW, row_bytes,
                                load->count, low_mapped);
        if (status == SUTRA_OK)
            status = load_plane(load, fd, planes, SUTRA_PLANE_CORRECTION, SUTRA_SECTION_CORRECTION,
                                SUTRA_CORRECTION_FLOATS * sizeof(float), load->count, mapped);
    }
    if (status == SUTRA_OK && !now->identity_ids)
        status = load_plane(load, fd, planes, SUTRA_PLANE_ID, SUTRA_SECTION_ID, sizeof(int64_t),
                            load->count, mapped);
    if (status == SUTRA_OK && originals)
        status = load_plane(load, fd, planes, SUTRA_PLANE_ORIGINAL, SUTRA_SECTION_ORIGINAL,
                            now->original_stride * sizeof(float), load->count, originals_mapped);
    if (status == SUTRA_OK && !originals)
        sutra_planes_drop(planes, SUTRA_PLANE_ORIGINAL);
    planes->capacity_rows = now->count;
    if (status == SUTRA_OK)
        hint_rerank_planes(load, planes);
    return status;
}

static void read_options(const struct load *load, struct sutra_index_options *options)
{
    const uint8_t *header = load->header;
    const uint32_t metric = sutra_load_u32(header + SUTRA_HEADER_METRIC);
    const uint32_t quantization = sutra_load_u32(header + SUTRA_HEADER_QUANTIZATION);
    options->dim = sutra_load_u32(header + SUTRA_HEADER_DIM);
    options->metric = metric <= SUTRA_METRIC_IP ? (int)metric : -1;
    options->m = sutra_load_u32(header + SUTRA_HEADER_M);
    options->ef_construction = sutra_load_u32(header + SUTRA_HEADER_EF_CONSTRUCTION);
    options->quantization = quantization <= SUTRA_QUANT_U4 ? (int)quantization : -1;
    options->keep_originals = (load->flags & SUTRA_FLAG_KEEP_ORIGINALS) != 0;
    options->seed = sutra_load_u64(header + SUTRA_HEADER_SEED);
}

static int load_index(struct load *load, const struct sutra_kernels *kernels, int fd, int resident,
                      struct sutra_index **index_out)
{
    int status = read_header(load, fd);
    if (status == SUTRA_OK)
        status = read_sections(load);
    if (status != SUTRA_OK)
        return status;
    struct sutra_index_options options;
    read_options(load, &options);
    status = sutra_index_make(kernels, &options, index_out, load->fault);
    if (status == SUTRA_E_CONFIG)
        return fail(load->fault, SUTRA_E_CORRUPT, SUTRA_HEADER_DIM, load->fault->what, 0, 0);
    if (status != SUTRA_OK)
        return status;
    struct sutra_index *index = *index_out;
    struct sutra_front *now = &index->now;
    const bool mapped = resident != SUTRA_RESIDENT_ARENA;
    now->count = (size_t)load->count;
    now->linked = (load->flags & SUTRA_FLAG_GRAPH) != 0;
    now->identity_ids = (load->flags & SUTRA_FLAG_IDENTITY_IDS) != 0;
    now->fitted_count = (size_t)sutra_load_u64(load->header + SUTRA_HEADER_FITTED_COUNT);
    index->tuned_ef = sutra_load_u32(load->header + SUTRA_HEADER_TUNED_EF);
    now->arena = !mapped;
    const uint64_t next_id = sutra_load_u64(load->header + SUTRA_HEADER_NEXT_ID);
    if (next_id > INT64_MAX || (now->identity_ids && next_id < load->count) ||
        (load->count == 0 && (now->linked || !now->identity_ids)) ||
        now->fitted_count > load->count)
        return fail(load->fault, SUTRA_E_CORRUPT, SUTRA_HEADER_NEXT_ID, "header", load->count,
                    next_id);
    index->next_id = (int64_t)next_id;
    if (now->linked) {
        if (options.quantization != SUTRA_QUANT_NONE)
            status = load_quantizer(load, fd, index);
        if (status == SUTRA_OK)
            status = load_graph(load, fd, index, mapped);
    }
    if (status == SUTRA_OK)
        status = load_planes(load, fd, now, mapped);
    return status == SUTRA_OK ? sutra_index_show(index) : status;
}

int sutra_index_open(const struct sutra_kernels *kernels, const char *path, int resident,
                     struct sutra_index **index_out, struct sutra_fault *fault_out)
{
    struct load *load = calloc(1, sizeof *load);
    if (!load)
        return SUTRA_E_NO_MEMORY;
    load->fault = fault_out;
    *fault_out = SUTRA_FAULT_NONE;
    *index_out = NULL;
    int fd;
    int status = sutra_file_open_read(path, &fd, &load->file_bytes);
    if (status == SUTRA_OK) {
        status = load_index(load, kernels, fd, resident, index_out);
        if (status == SUTRA_OK) {
            (*index_out)->fd = fd;
            if (resident == SUTRA_RESIDENT_AUTO && (*index_out)->now.linked)
                sutra_index_start_copier(*index_out);
        } else {
            sutra_file_close(fd);
            sutra_index_free(*index_out);
            *index_out = NULL;
        }
    }
    free(load);
    return status;
}

/* ---- verify */

#define VERIFY_STEP ((size_t)1 << 20)

/* Checksum every section of the file as it is on disk now. */
static int verify_file(int fd, struct sutra_fault *fault_out)
{
    struct load *load = calloc(1, sizeof *load);
    uint8_t *step = malloc(VERIFY_STEP);
    int status = load && step ? SUTRA_OK : SUTRA_E_NO_MEMORY;
    if (status == SUTRA_OK) {
        load->fault = fault_out;
        status = sutra_file_read_at(fd, 0, load->header, SUTRA_HEADER_BYTES);
        load->file_bytes = sutra_load_u64(load->header + SUTRA_HEADER_FILE_BYTES);
    }
    if (status == SUTRA_OK)
        status = read_header(load, fd);
    if (status == SUTRA_OK)
        status = read_sections(load);
    for (unsigned kind = 1; status == SUTRA_OK && kind < SUTRA_SECTION_KINDS; kind++) {
        const struct section *section = &load->section[kind];
        const size_t bytes = section->row_bytes * (size_t)section->rows;
        uint32_t crc = 0;
        for (size_t done = 0; status == SUTRA_OK && done < bytes; done += VERIFY_STEP) {
            const size_t now = bytes - done < VERIFY_STEP ? bytes - done : VERIFY_STEP;
            status = sutra_file_read_at(fd, section->offset + done, step, now);
            crc = sutra_crc32c(crc, step, now);
        }
        if (status == SUTRA_OK && section->present && crc != section->crc)
            status = fail(fault_out, SUTRA_E_CORRUPT, section->offset, section_names[kind],
                          section->crc, crc);
    }
    free(step);
    free(load);
    return status;
}

static int verify_floats(const struct sutra_front *front, unsigned plane, const char *what,
                         struct sutra_fault *fault_out)
{
    const struct sutra_plane *p = &front->planes.plane[plane];
    for (size_t row = 0; p->base && row < front->count; row++) {
        const float *floats = sutra_planes_row(&front->planes, plane, row);
        if (!front->kernels->all_finite_f32(floats, p->row_bytes / sizeof(float))) {
            *fault_out = SUTRA_FAULT_NONE;
            fault_out->row = (int64_t)row;
            fault_out->what = what;
            return SUTRA_E_CORRUPT;
        }
    }
    return SUTRA_OK;
}

int sutra_index_verify(struct sutra_index *index, bool deep, struct sutra_fault *fault_out)
{
    *fault_out = SUTRA_FAULT_NONE;
    pthread_mutex_lock(&index->writer);
    const struct sutra_front *now = &index->now;
    int status = index->closed ? SUTRA_E_CLOSED : SUTRA_OK;
    if (status == SUTRA_OK && deep && index->fd >= 0)
        status = verify_file(index->fd, fault_out);
    if (status == SUTRA_OK && now->linked)
        status =
            sutra_graph_verify(&now->graph, now->vacant_count ? index->vacant : NULL, fault_out);
    if (status == SUTRA_OK && deep)
        status = verify_floats(now, SUTRA_PLANE_CORRECTION, "corrections", fault_out);
    if (status == SUTRA_OK && deep)
        status = verify_floats(now, SUTRA_PLANE_ORIGINAL, "originals", fault_out);
    pthread_mutex_unlock(&index->writer);
    return status;
}
