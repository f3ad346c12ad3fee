/* Life of an index, and reading single vectors back; see index.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

#include "../base/bytes.h"
#include "../io/file.h"
#include "../io/mapping.h"

static int check_options(const struct sutra_index_options *options, struct sutra_fault *fault_out)
{
    const char *what = NULL;
    if (options->dim == 0 || options->dim > SUTRA_DIM_MAX)
        what = "dim";
    else if (options->metric < SUTRA_METRIC_COSINE || options->metric > SUTRA_METRIC_IP)
        what = "metric";
    else if (options->m == 0 || options->m % 8 || options->m > 32)
        what = "m";
    else if (options->ef_construction == 0 || options->ef_construction > SUTRA_EF_CONSTRUCTION_MAX)
        what = "ef_construction";
    else if (options->quantization < SUTRA_QUANT_NONE || options->quantization > SUTRA_QUANT_U4)
        what = "quantization";
    else if (options->quantization == SUTRA_QUANT_NONE && !options->keep_originals)
        what = "keep_originals";
    if (!what)
        return SUTRA_OK;
    *fault_out = SUTRA_FAULT_NONE;
    fault_out->what = what;
    return SUTRA_E_CONFIG;
}

int sutra_index_new(const struct sutra_kernels *kernels, const struct sutra_index_options *options,
                    struct sutra_index **index_out, struct sutra_fault *fault_out)
{
    int status = check_options(options, fault_out);
    if (status != SUTRA_OK)
        return status;
    struct sutra_index *index = calloc(1, sizeof *index);
    if (!index)
        return SUTRA_E_NO_MEMORY;
    index->kernels = kernels;
    index->options = *options;
    index->identity_ids = true;
    index->fd = -1;
    index->original_stride = sutra_round_up(options->dim, 4);
    status = sutra_lock_init(&index->lock);
    if (status == 0) {
        status = pthread_mutex_init(&index->stream.gate, NULL);
        if (status != 0)
            sutra_lock_destroy(&index->lock);
    }
    if (status != 0) {
        free(index);
        return status;
    }
    /* Flat until it is worth a graph: originals alone. */
    const size_t row_bytes[SUTRA_PLANE_COUNT] = {[SUTRA_PLANE_ORIGINAL] =
                                                     index->original_stride * sizeof(float)};
    const struct sutra_graph_options graph = {options->m, options->ef_construction, options->seed,
                                              SUTRA_HUGE_ADVISE};
    status = sutra_planes_init(&index->planes, row_bytes, SUTRA_PLANE_COUNT, SUTRA_HUGE_ADVISE);
    if (status == SUTRA_OK)
        status = sutra_graph_init(&index->graph, &graph);
    if (status == SUTRA_OK && options->quantization != SUTRA_QUANT_NONE)
        status = sutra_quantizer_init(&index->quantizer, options->dim, options->seed);
    if (status != SUTRA_OK) {
        sutra_index_free(index);
        return status;
    }
    *index_out = index;
    return SUTRA_OK;
}

static void release(struct sutra_index *index)
{
    sutra_index_free_scratch(index);
    sutra_planes_deinit(&index->planes);
    sutra_graph_deinit(&index->graph);
    sutra_quantizer_deinit(&index->quantizer);
    sutra_dirty_deinit(&index->stream.deaths_dirty);
    free(index->stream.scratch);
    index->stream.scratch = NULL;
    free(index->id_table);
    index->id_table = NULL;
    index->id_table_size = 0;
    if (index->fd >= 0)
        sutra_file_close(index->fd);
    index->fd = -1;
    index->count = 0;
}

void sutra_index_close(struct sutra_index *index)
{
    sutra_index_stop_copier(index);
    sutra_lock_write(&index->lock);
    if (!index->closed) {
        index->closed = true;
        release(index);
    }
    sutra_unlock(&index->lock);
}

void sutra_index_free(struct sutra_index *index)
{
    if (!index)
        return;
    sutra_index_stop_copier(index);
    release(index);
    pthread_mutex_destroy(&index->stream.gate);
    sutra_lock_destroy(&index->lock);
    free(index);
}

/* ---- single vectors */

int sutra_index_lock_read(struct sutra_index *index, bool with_id_table)
{
    sutra_lock_read(&index->lock);
    if (with_id_table && !index->closed && !index->identity_ids && !index->id_table) {
        sutra_unlock(&index->lock);
        sutra_lock_write(&index->lock);
        const int status =
            index->closed ? SUTRA_OK : sutra_index_build_id_table(index, index->count);
        sutra_unlock(&index->lock);
        if (status != SUTRA_OK)
            return status;
        sutra_lock_read(&index->lock);
    }
    if (index->closed) {
        sutra_unlock(&index->lock);
        return SUTRA_E_CLOSED;
    }
    return SUTRA_OK;
}

int sutra_index_read_row(const struct sutra_index *index, size_t row, float *vector_out)
{
    if (sutra_index_has_originals(index)) {
        memcpy(vector_out, sutra_index_original(index, row), index->options.dim * sizeof(float));
        return SUTRA_OK;
    }
    if (sutra_index_is_zero_row(index, row)) {
        memset(vector_out, 0, index->options.dim * sizeof(float));
        return SUTRA_OK;
    }
    void *scratch = malloc(sutra_quantizer_scratch_bytes(&index->quantizer));
    if (!scratch)
        return SUTRA_E_NO_MEMORY;
    const uint8_t *low = index->planes.plane[SUTRA_PLANE_LOW].base
                             ? sutra_planes_row(&index->planes, SUTRA_PLANE_LOW, row)
                             : NULL;
    sutra_quantizer_decode(
        &index->quantizer, index->kernels, sutra_planes_row(&index->planes, SUTRA_PLANE_HIGH, row),
        low, sutra_planes_row(&index->planes, SUTRA_PLANE_CORRECTION, row), scratch, vector_out);
    free(scratch);
    return SUTRA_OK;
}

int sutra_index_get(struct sutra_index *index, int64_t id, float *vector_out)
{
    int status = sutra_index_lock_read(index, true);
    if (status != SUTRA_OK)
        return status;
    const size_t row = sutra_index_row_of(index, id);
    status = row == SIZE_MAX ? SUTRA_E_NOT_FOUND : sutra_index_read_row(index, row, vector_out);
    sutra_unlock(&index->lock);
    return status;
}

int sutra_index_contains(struct sutra_index *index, int64_t id, bool *found_out)
{
    const int status = sutra_index_lock_read(index, true);
    if (status != SUTRA_OK)
        return status;
    *found_out = sutra_index_row_of(index, id) != SIZE_MAX;
    sutra_unlock(&index->lock);
    return SUTRA_OK;
}

int sutra_index_ids(struct sutra_index *index, size_t first, size_t count, int64_t *ids_out)
{
    sutra_lock_read(&index->lock);
    int status = index->closed ? SUTRA_E_CLOSED : SUTRA_OK;
    if (status == SUTRA_OK && (first > index->count || count > index->count - first))
        status = SUTRA_E_ARGUMENT;
    for (size_t j = 0; status == SUTRA_OK && j < count; j++)
        ids_out[j] = sutra_index_id_of(index, first + j);
    sutra_unlock(&index->lock);
    return status;
}

int sutra_index_set_tuned_ef(struct sutra_index *index, uint32_t ef)
{
    sutra_lock_write(&index->lock);
    const int status = index->closed ? SUTRA_E_CLOSED : SUTRA_OK;
    if (status == SUTRA_OK)
        index->tuned_ef = ef;
    sutra_unlock(&index->lock);
    return status;
}

/* ---- statistics */

static void plane_bytes(const struct sutra_plane *plane, size_t rows, uint64_t *bytes,
                        uint64_t *resident, uint64_t *mapped)
{
    if (!plane->base)
        return;
    *bytes += (uint64_t)rows * plane->row_bytes;
    *resident += sutra_resident_bytes(plane->base, rows * plane->row_bytes);
    *mapped += plane->arena.mapped_bytes;
}

/* Upper lists of the nodes that walks see: up to the end of the last one's. */
static size_t upper_lists(const struct sutra_graph *graph)
{
    const size_t upper = graph->published.upper_count;
    if (upper == 0)
        return 0;
    return *(const uint32_t *)sutra_planes_row(&graph->upper, SUTRA_UPPER_FIRST_LIST, upper - 1) +
           sutra_graph_upper_level(graph, upper - 1);
}

int sutra_index_stats(struct sutra_index *index, struct sutra_index_stats *stats)
{
    memset(stats, 0, sizeof *stats);
    sutra_lock_read(&index->lock);
    if (index->closed) {
        sutra_unlock(&index->lock);
        return SUTRA_E_CLOSED;
    }
    const size_t count = sutra_index_rows(index);
    const struct sutra_graph *graph = &index->graph;
    const struct sutra_graph_front *front = &graph->published;
    /* While originals are kept a streamed index encodes what it links. */
    const size_t coded = index->streamed && sutra_index_has_originals(index) ? front->count : count;
    const struct sutra_plane *planes = index->planes.plane;
    uint64_t *mapped = &stats->mapped_bytes;
    stats->options = index->options;
    stats->count = count;
    stats->linked = index->linked;
    stats->levels = count ? (unsigned)(front->entry >> 32) + 1 : 0;
    stats->tuned_ef = index->tuned_ef;
    stats->arena = index->arena;
    if (index->linked) {
        plane_bytes(&graph->links.plane[0], front->count, &stats->links_bytes,
                    &stats->links_resident, mapped);
        for (unsigned p = 0; p < SUTRA_UPPER_PLANES; p++)
            plane_bytes(&graph->upper.plane[p], front->upper_count, &stats->links_bytes,
                        &stats->links_resident, mapped);
        plane_bytes(&graph->upper_links.plane[0], upper_lists(graph), &stats->links_bytes,
                    &stats->links_resident, mapped);
    }
    plane_bytes(&planes[SUTRA_PLANE_HIGH], coded, &stats->codes_bytes, &stats->codes_resident,
                mapped);
    plane_bytes(&planes[SUTRA_PLANE_LOW], coded, &stats->codes_bytes, &stats->codes_resident,
                mapped);
    plane_bytes(&planes[SUTRA_PLANE_CORRECTION], coded, &stats->corrections_bytes,
                &stats->corrections_resident, mapped);
    plane_bytes(&planes[SUTRA_PLANE_ID], count, &stats->ids_bytes, &stats->ids_resident, mapped);
    plane_bytes(&planes[SUTRA_PLANE_BIRTH], count, &stats->ids_bytes, &stats->ids_resident, mapped);
    plane_bytes(&planes[SUTRA_PLANE_DEATH], count, &stats->ids_bytes, &stats->ids_resident, mapped);
    plane_bytes(&planes[SUTRA_PLANE_ORIGINAL], count, &stats->originals_bytes,
                &stats->originals_resident, mapped);
    sutra_unlock(&index->lock);
    return SUTRA_OK;
}
