/* Saving a streamed index as parts and words, and bringing it back; see stream.h.
 *
 * Nothing that comes back is trusted. Every count in the words is bounded by another before memory
 * is asked for; the tables a walk goes by are checked; what else may be wrong in a plane (ids,
 * floats, lifetimes, labels) is borne where it is read.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <string.h>

#include "format.h"
#include "stream.h"
#include "../quant/rotation.h"

enum {
    WORD_ROWS = 0,
    WORD_SHAPE,   /* dim, m << 32 */
    WORD_OPTIONS, /* ef_construction, metric << 32, quantization << 40, keep_originals << 48 */
    WORD_SEED,
    WORD_DEAD,
    WORD_FITTED, /* the graph's like the codes, so only while originals are kept; 0: no codes */
    WORD_LINKED, /* from here on the graph's */
    WORD_ENTRY,
    WORD_UPPER_COUNT,
    WORD_LIST_COUNT,
    WORD_END, /* the rest is 0 */
};

_Static_assert(WORD_END <= SUTRA_STREAM_STATE_WORDS, "the words have room");

static int fail(struct sutra_fault *fault_out, const char *what, uint64_t expected, uint64_t found)
{
    *fault_out = SUTRA_FAULT_NONE;
    fault_out->what = what;
    fault_out->expected = expected;
    fault_out->found = found;
    return SUTRA_E_CORRUPT;
}

/* ---- what is saved */

void sutra_stream_state(const struct sutra_index *index, bool with_graph, uint64_t *words_out)
{
    const struct sutra_index_options *options = &index->now.options;
    const struct sutra_graph *graph = &index->now.graph;
    words_out[WORD_ROWS] = sutra_index_rows(index);
    words_out[WORD_SHAPE] = options->dim | (uint64_t)options->m << 32;
    words_out[WORD_OPTIONS] = options->ef_construction | (uint64_t)options->metric << 32 |
                              (uint64_t)options->quantization << 40 |
                              (uint64_t)options->keep_originals << 48;
    words_out[WORD_SEED] = options->seed;
    words_out[WORD_DEAD] = sutra_stream_dead(index);
    if (with_graph || !options->keep_originals)
        words_out[WORD_FITTED] = sutra_front_has_codes(&index->now) ? index->now.fitted_count : 0;
    if (with_graph) {
        words_out[WORD_LINKED] = graph->count;
        words_out[WORD_ENTRY] = graph->entry;
        words_out[WORD_UPPER_COUNT] = graph->upper_count;
        words_out[WORD_LIST_COUNT] = graph->list_count;
    }
    for (size_t w = WORD_END; w < SUTRA_STREAM_STATE_WORDS; w++)
        words_out[w] = 0;
}

void sutra_stream_forget_graph(uint64_t *words)
{
    if (words[WORD_OPTIONS] >> 48 & 1) /* without originals the codes are the vectors */
        words[WORD_FITTED] = 0;
    words[WORD_LINKED] = words[WORD_ENTRY] = 0;
    words[WORD_UPPER_COUNT] = words[WORD_LIST_COUNT] = 0;
}

struct part_list {
    struct sutra_part *parts;
    size_t count;
};

static void list_part(struct part_list *list, uint32_t kind, uint32_t flags,
                      struct sutra_plane *plane, size_t rows, struct sutra_dirty *dirty)
{
    if (plane->base)
        list->parts[list->count++] = (struct sutra_part){.kind = kind,
                                                         .flags = flags,
                                                         .row_bytes = plane->row_bytes,
                                                         .rows = rows,
                                                         .plane = plane,
                                                         .dirty = dirty};
}

static void list_codes(struct part_list *list, struct sutra_index *index, size_t rows)
{
    struct sutra_quantizer *quantizer = &index->now.quantizer;
    struct sutra_index_stream *stream = &index->stream;
    struct sutra_plane *planes = index->now.planes.plane;
    const bool keep = index->now.options.keep_originals;
    const uint32_t flags = keep ? SUTRA_PART_GRAPH : 0;
    const size_t first = list->count;
    if (!sutra_front_has_codes(&index->now))
        return;
    stream->mean = (struct sutra_plane){.base = (uint8_t *)quantizer->rotated_mean,
                                        .row_bytes = sizeof *quantizer->rotated_mean};
    stream->signs = (struct sutra_plane){.base = quantizer->signs, .row_bytes = 1};
    list_part(list, SUTRA_SECTION_MEAN, flags, &stream->mean, quantizer->rotated_dim, NULL);
    list_part(list, SUTRA_SECTION_SIGNS, flags, &stream->signs,
              sutra_rotation_sign_bytes(quantizer->rotated_dim), NULL);
    list_part(list, SUTRA_SECTION_HIGH, flags, &planes[SUTRA_PLANE_HIGH], rows, NULL);
    /* With originals nothing but linking reads the second code plane. */
    list_part(list, SUTRA_SECTION_LOW, flags | (keep ? SUTRA_PART_COLD : 0),
              &planes[SUTRA_PLANE_LOW], rows, NULL);
    list_part(list, SUTRA_SECTION_CORRECTION, flags, &planes[SUTRA_PLANE_CORRECTION], rows, NULL);
    for (size_t p = first; p < list->count; p++)
        list->parts[p].version = stream->codes_version;
}

static void list_graph(struct part_list *list, struct sutra_graph *graph)
{
    static const uint32_t kinds[SUTRA_UPPER_PLANES] = {
        SUTRA_SECTION_UPPER_NODE, SUTRA_SECTION_UPPER_FIRST, SUTRA_SECTION_UPPER_LEVEL};
    for (unsigned p = 0; p < SUTRA_UPPER_PLANES; p++)
        list_part(list, kinds[p], SUTRA_PART_GRAPH, &graph->upper.plane[p], graph->upper_count,
                  NULL);
    list_part(list, SUTRA_SECTION_UPPER_LINKS, SUTRA_PART_GRAPH, &graph->upper_links.plane[0],
              graph->list_count, &graph->upper_links_dirty);
    list_part(list, SUTRA_SECTION_LINKS, SUTRA_PART_GRAPH, &graph->links.plane[0], graph->count,
              &graph->links_dirty);
}

void sutra_stream_parts(struct sutra_index *index, struct sutra_part *parts_out, size_t *count_out)
{
    struct part_list list = {.parts = parts_out};
    struct sutra_plane *planes = index->now.planes.plane;
    const size_t rows = sutra_index_rows(index);
    list_codes(&list, index, index->now.options.keep_originals ? index->now.graph.count : rows);
    list_graph(&list, &index->now.graph);
    list_part(&list, SUTRA_SECTION_ID, 0, &planes[SUTRA_PLANE_ID], rows, NULL);
    /* Once there are codes only a rerank reads originals. */
    list_part(&list, SUTRA_SECTION_ORIGINAL,
              sutra_front_has_codes(&index->now) ? SUTRA_PART_COLD : 0,
              &planes[SUTRA_PLANE_ORIGINAL], rows, NULL);
    list_part(&list, SUTRA_PART_ROW_BIRTH, 0, &planes[SUTRA_PLANE_BIRTH], rows, NULL);
    list_part(&list, SUTRA_PART_ROW_DEATH, SUTRA_PART_MUTABLE, &planes[SUTRA_PLANE_DEATH], rows,
              &index->stream.deaths_dirty);
    *count_out = list.count;
}

/* ---- loading */

struct stream_load {
    struct sutra_index *index;
    const uint64_t *words;
    const struct sutra_part_source *source;
    bool hot;
    struct sutra_fault *fault;
};

static void read_options(const uint64_t *words, struct sutra_index_options *options)
{
    const uint64_t packed = words[WORD_OPTIONS];
    options->dim = (uint32_t)words[WORD_SHAPE];
    options->m = (uint32_t)(words[WORD_SHAPE] >> 32);
    options->ef_construction = (uint32_t)packed;
    options->metric = (int)(packed >> 32 & 0xff);
    options->quantization = (int)(packed >> 40 & 0xff);
    options->keep_originals = packed >> 48 & 1;
    options->seed = words[WORD_SEED];
}

static int check_words(const uint64_t *words, const struct sutra_index_options *options,
                       struct sutra_fault *fault_out)
{
    const uint64_t rows = words[WORD_ROWS], linked = words[WORD_LINKED];
    const uint64_t upper = words[WORD_UPPER_COUNT], lists = words[WORD_LIST_COUNT];
    const bool coded = words[WORD_FITTED] > 0, quantized = options->quantization;
    if (rows > SUTRA_ROWS_MAX)
        return fail(fault_out, "row count", SUTRA_ROWS_MAX, rows);
    if (words[WORD_OPTIONS] >> 49)
        return fail(fault_out, "options", 0, words[WORD_OPTIONS]);
    if (words[WORD_DEAD] > rows)
        return fail(fault_out, "dead count", rows, words[WORD_DEAD]);
    if (linked > rows)
        return fail(fault_out, "linked count", rows, linked);
    if (words[WORD_FITTED] > rows || (coded && !quantized) || (linked && quantized && !coded))
        return fail(fault_out, "fitted count", rows, words[WORD_FITTED]);
    if (upper > linked || lists < upper || lists > upper * SUTRA_LEVEL_MAX)
        return fail(fault_out, "upper count", linked, upper);
    if (linked == 0 && words[WORD_ENTRY] != 0)
        return fail(fault_out, "entry point", 0, words[WORD_ENTRY]);
    for (size_t w = WORD_END; w < SUTRA_STREAM_STATE_WORDS; w++) {
        if (words[w])
            return fail(fault_out, "unused word", 0, words[w]);
    }
    return SUTRA_OK;
}

static int load_plane(const struct stream_load *load, uint32_t kind, size_t row_bytes, size_t rows,
                      bool hot, int huge_pages, struct sutra_plane *plane_out)
{
    struct sutra_plane plane = {0};
    const int status =
        load->source->load(load->source->context, kind, row_bytes, rows, hot, huge_pages, &plane);
    if (status != SUTRA_OK)
        return status;
    sutra_plane_release(plane_out);
    *plane_out = plane;
    return SUTRA_OK;
}

/* An array of the quantizer. */
static int load_array(const struct stream_load *load, uint32_t kind, size_t row_bytes, size_t rows,
                      void *array_out)
{
    struct sutra_plane plane = {0};
    const int status = load_plane(load, kind, row_bytes, rows, true, SUTRA_HUGE_NEVER, &plane);
    if (status != SUTRA_OK)
        return status;
    memcpy(array_out, plane.base, rows * row_bytes);
    sutra_plane_release(&plane);
    return SUTRA_OK;
}

static int load_codes(const struct stream_load *load)
{
    struct sutra_front *now = &load->index->now;
    struct sutra_quantizer *quantizer = &now->quantizer;
    struct sutra_plane *planes = now->planes.plane;
    const int huge_pages = now->planes.huge_pages;
    const bool keep = now->options.keep_originals;
    const size_t rows = (size_t)load->words[keep ? WORD_LINKED : WORD_ROWS];
    const size_t code_bytes = quantizer->row_bytes;
    int status = load_array(load, SUTRA_SECTION_MEAN, sizeof(float), quantizer->rotated_dim,
                            quantizer->rotated_mean);
    if (status == SUTRA_OK)
        status = load_array(load, SUTRA_SECTION_SIGNS, 1,
                            sutra_rotation_sign_bytes(quantizer->rotated_dim), quantizer->signs);
    if (status == SUTRA_OK)
        status = load_plane(load, SUTRA_SECTION_HIGH, code_bytes, rows, load->hot, huge_pages,
                            &planes[SUTRA_PLANE_HIGH]);
    if (status == SUTRA_OK && now->options.quantization == SUTRA_QUANT_U8)
        status = load_plane(load, SUTRA_SECTION_LOW, code_bytes, rows, load->hot && !keep,
                            huge_pages, &planes[SUTRA_PLANE_LOW]);
    if (status == SUTRA_OK)
        status = load_plane(load, SUTRA_SECTION_CORRECTION, SUTRA_CORRECTION_FLOATS * sizeof(float),
                            rows, load->hot, huge_pages, &planes[SUTRA_PLANE_CORRECTION]);
    /* The linker encodes rows that the writer reserved; those of now it will not reserve again. */
    for (unsigned p = SUTRA_PLANE_HIGH; keep && status == SUTRA_OK && p <= SUTRA_PLANE_CORRECTION;
         p++) {
        if (planes[p].base)
            status = sutra_arena_commit(&planes[p].arena,
                                        (size_t)load->words[WORD_ROWS] * planes[p].row_bytes);
    }
    return status;
}

static int load_rows(const struct stream_load *load)
{
    struct sutra_index *index = load->index;
    struct sutra_front *now = &index->now;
    struct sutra_plane *planes = now->planes.plane;
    const int huge_pages = now->planes.huge_pages;
    const size_t rows = (size_t)load->words[WORD_ROWS];
    const bool coded = load->words[WORD_FITTED] > 0;
    int status = load_plane(load, SUTRA_SECTION_ID, sizeof(int64_t), rows, load->hot, huge_pages,
                            &planes[SUTRA_PLANE_ID]);
    if (status == SUTRA_OK)
        status = load_plane(load, SUTRA_PART_ROW_BIRTH, sizeof(uint64_t), rows, load->hot,
                            huge_pages, &planes[SUTRA_PLANE_BIRTH]);
    if (status == SUTRA_OK)
        status = load_plane(load, SUTRA_PART_ROW_DEATH, sizeof(uint64_t), rows, load->hot,
                            huge_pages, &planes[SUTRA_PLANE_DEATH]);
    if (status == SUTRA_OK) /* rows are ended without reserving: a mapping becomes writable now */
        status = sutra_arena_commit(&planes[SUTRA_PLANE_DEATH].arena, rows * sizeof(uint64_t));
    if (status == SUTRA_OK && coded && !now->options.keep_originals)
        sutra_planes_drop(&now->planes, SUTRA_PLANE_ORIGINAL);
    else if (status == SUTRA_OK)
        status = load_plane(load, SUTRA_SECTION_ORIGINAL, now->original_stride * sizeof(float),
                            rows, load->hot && !coded, huge_pages, &planes[SUTRA_PLANE_ORIGINAL]);
    if (status == SUTRA_OK && coded)
        status = load_codes(load);
    if (status != SUTRA_OK)
        return status;
    now->planes.capacity_rows = rows;
    index->stream.rows = rows;
    index->stream.linked = now->graph.count;
    now->coded = now->graph.count;
    index->stream.dead = (size_t)load->words[WORD_DEAD];
    now->fitted_count = (size_t)load->words[WORD_FITTED];
    return sutra_dirty_seal(&index->stream.deaths_dirty, rows);
}

static int load_graph(const struct stream_load *load)
{
    static const uint32_t kinds[SUTRA_UPPER_PLANES] = {
        SUTRA_SECTION_UPPER_NODE, SUTRA_SECTION_UPPER_FIRST, SUTRA_SECTION_UPPER_LEVEL};
    struct sutra_front *now = &load->index->now;
    struct sutra_graph *graph = &now->graph;
    graph->count = (size_t)load->words[WORD_LINKED];
    graph->entry = load->words[WORD_ENTRY];
    graph->upper_count = (size_t)load->words[WORD_UPPER_COUNT];
    graph->list_count = (size_t)load->words[WORD_LIST_COUNT];
    if (graph->count == 0)
        return SUTRA_OK;
    int status = SUTRA_OK;
    for (unsigned p = 0; p < SUTRA_UPPER_PLANES && status == SUTRA_OK; p++)
        status = load_plane(load, kinds[p], graph->upper.plane[p].row_bytes, graph->upper_count,
                            true, SUTRA_HUGE_NEVER, &graph->upper.plane[p]);
    if (status == SUTRA_OK)
        status =
            load_plane(load, SUTRA_SECTION_UPPER_LINKS, graph->upper_links.plane[0].row_bytes,
                       graph->list_count, true, SUTRA_HUGE_NEVER, &graph->upper_links.plane[0]);
    if (status == SUTRA_OK)
        status = load_plane(load, SUTRA_SECTION_LINKS, graph->links.plane[0].row_bytes,
                            graph->count, load->hot, graph->huge_pages, &graph->links.plane[0]);
    if (status != SUTRA_OK)
        return status;
    graph->upper.capacity_rows = graph->upper_count;
    graph->upper_links.capacity_rows = graph->list_count;
    graph->links.capacity_rows = graph->count;
    struct sutra_fault where;
    if (sutra_graph_check_tables(graph, &where) != SUTRA_OK) {
        fail(load->fault, where.what, 0, 0);
        load->fault->row = where.row;
        return SUTRA_E_CORRUPT;
    }
    now->linked = true;
    status = sutra_dirty_seal(&graph->links_dirty, graph->count);
    if (status == SUTRA_OK)
        status = sutra_dirty_seal(&graph->upper_links_dirty, graph->list_count);
    return status;
}

int sutra_stream_load(const struct sutra_kernels *kernels, const uint64_t *words, int resident,
                      const struct sutra_part_source *source, struct sutra_index **index_out,
                      struct sutra_fault *fault_out)
{
    struct stream_load load = {.words = words, .source = source, .fault = fault_out};
    struct sutra_index_options options;
    *fault_out = SUTRA_FAULT_NONE;
    read_options(words, &options);
    int status = sutra_stream_make(kernels, &options, &load.index, fault_out);
    if (status == SUTRA_E_CONFIG)
        return SUTRA_E_CORRUPT; /* the fault names the option */
    if (status != SUTRA_OK)
        return status;
    status = check_words(words, &options, fault_out);
    load.hot = resident == SUTRA_RESIDENT_ARENA;
    if (status == SUTRA_OK)
        status = load_graph(&load);
    if (status == SUTRA_OK)
        status = load_rows(&load);
    load.index->now.arena = load.hot;
    if (status == SUTRA_OK)
        status = sutra_index_show(load.index);
    if (status != SUTRA_OK) {
        sutra_index_free(load.index);
        return status;
    }
    *index_out = load.index;
    return SUTRA_OK;
}

/* ---- verify */

static int fail_row(struct sutra_fault *fault_out, size_t row, const char *what)
{
    fail(fault_out, what, 0, 0);
    fault_out->row = (int64_t)row;
    return SUTRA_E_CORRUPT;
}

static int verify_lifetimes(const struct sutra_index *index, size_t rows,
                            struct sutra_fault *fault_out)
{
    const uint64_t *births = sutra_planes_row(&index->now.planes, SUTRA_PLANE_BIRTH, 0);
    const uint64_t *deaths = sutra_planes_row(&index->now.planes, SUTRA_PLANE_DEATH, 0);
    size_t dead = 0;
    for (size_t row = 0; row < rows; row++) {
        const uint64_t death = __atomic_load_n(&deaths[row], __ATOMIC_RELAXED);
        if (births[row] > death)
            return fail_row(fault_out, row, "lifetime");
        dead += death != SUTRA_ROW_ALIVE;
    }
    if (dead != sutra_stream_dead(index))
        return fail(fault_out, "dead count", dead, sutra_stream_dead(index));
    return SUTRA_OK;
}

static int verify_floats(const struct sutra_front *front, const struct sutra_plane *plane,
                         size_t rows, const char *what, struct sutra_fault *fault_out)
{
    for (size_t row = 0; plane->base && row < rows; row++) {
        const void *floats = plane->base + row * plane->row_bytes;
        if (!front->kernels->all_finite_f32(floats, plane->row_bytes / sizeof(float)))
            return fail_row(fault_out, row, what);
    }
    return SUTRA_OK;
}

int sutra_stream_verify(struct sutra_index *index, bool deep, struct sutra_fault *fault_out)
{
    *fault_out = SUTRA_FAULT_NONE;
    const struct sutra_front *now = &index->now;
    const size_t rows = sutra_index_rows(index), linked = now->graph.count;
    const bool originals = sutra_front_has_originals(now);
    int status = SUTRA_OK;
    if (linked)
        status = sutra_graph_verify(&now->graph, NULL, fault_out);
    if (status == SUTRA_OK)
        status = verify_lifetimes(index, rows, fault_out);
    if (status == SUTRA_OK && deep && originals &&
        sutra_front_check_vectors(now, sutra_front_original(now, 0), now->original_stride, rows,
                                  fault_out) != SUTRA_OK)
        status = fail_row(fault_out, (size_t)fault_out->row, "originals");
    if (status == SUTRA_OK && deep)
        status = verify_floats(now, &now->planes.plane[SUTRA_PLANE_CORRECTION],
                               originals ? linked : rows, "corrections", fault_out);
    const float *mean = now->quantizer.rotated_mean;
    if (status == SUTRA_OK && deep && sutra_front_has_codes(now) &&
        !(now->kernels->dot_f32(mean, mean, now->quantizer.rotated_dim) < SUTRA_SQUARE_MAX))
        status = fail(fault_out, "mean", 0, 0);
    return status;
}
