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

static int init_locks(struct sutra_index *index)
{
    int status = pthread_mutex_init(&index->writer, NULL);
    if (status != 0)
        return status;
    status = pthread_mutex_init(&index->stream.gate, NULL);
    if (status != 0)
        pthread_mutex_destroy(&index->writer);
    return status;
}

static void destroy_locks(struct sutra_index *index)
{
    pthread_mutex_destroy(&index->stream.gate);
    pthread_mutex_destroy(&index->writer);
}

static int init_now(struct sutra_front *now)
{
    const struct sutra_index_options *options = &now->options;
    /* Flat until it is worth a graph: originals alone. */
    const size_t row_bytes[SUTRA_PLANE_COUNT] = {[SUTRA_PLANE_ORIGINAL] =
                                                     now->original_stride * sizeof(float)};
    const struct sutra_graph_options graph = {options->m, options->ef_construction, options->seed,
                                              SUTRA_HUGE_ADVISE};
    int status = sutra_planes_init(&now->planes, row_bytes, SUTRA_PLANE_COUNT, SUTRA_HUGE_ADVISE);
    if (status == SUTRA_OK)
        status = sutra_graph_init(&now->graph, &graph);
    if (status == SUTRA_OK && options->quantization != SUTRA_QUANT_NONE)
        status = sutra_quantizer_init(&now->quantizer, options->dim, options->seed);
    return status;
}

int sutra_index_make(const struct sutra_kernels *kernels, const struct sutra_index_options *options,
                     struct sutra_index **index_out, struct sutra_fault *fault_out)
{
    int status = check_options(options, fault_out);
    if (status != SUTRA_OK)
        return status;
    struct sutra_index *index = calloc(1, sizeof *index);
    if (!index)
        return SUTRA_E_NO_MEMORY;
    index->fd = -1;
    index->now = (struct sutra_front){.kernels = kernels,
                                      .options = *options,
                                      .original_stride = sutra_round_up(options->dim, 4),
                                      .identity_ids = true};
    status = init_locks(index);
    if (status != 0) {
        free(index);
        return status;
    }
    status = sutra_epochs_init(&index->epochs);
    if (status == SUTRA_OK)
        status = sutra_ids_new(&index->now.lookup);
    if (status == SUTRA_OK)
        status = init_now(&index->now);
    if (status != SUTRA_OK) {
        sutra_index_free(index);
        return status;
    }
    *index_out = index;
    return SUTRA_OK;
}

int sutra_index_show(struct sutra_index *index)
{
    struct sutra_front *fresh = sutra_front_new();
    if (!fresh)
        return SUTRA_E_NO_MEMORY;
    sutra_front_publish(index, fresh, NULL);
    return SUTRA_OK;
}

int sutra_index_new(const struct sutra_kernels *kernels, const struct sutra_index_options *options,
                    struct sutra_index **index_out, struct sutra_fault *fault_out)
{
    struct sutra_index *index;
    int status = sutra_index_make(kernels, options, &index, fault_out);
    if (status != SUTRA_OK)
        return status;
    status = sutra_index_show(index);
    if (status != SUTRA_OK) {
        sutra_index_free(index);
        return status;
    }
    *index_out = index;
    return SUTRA_OK;
}

/* Nobody is inside. */
static void release(struct sutra_index *index)
{
    sutra_index_free_scratch(index);
    sutra_planes_deinit(&index->now.planes);
    sutra_graph_deinit(&index->now.graph);
    sutra_quantizer_deinit(&index->now.quantizer);
    sutra_dirty_deinit(&index->stream.deaths_dirty);
    free(index->stream.scratch);
    index->stream.scratch = NULL;
    sutra_ids_free(index->now.lookup);
    index->now.lookup = NULL;
    free(index->dead);
    free(index->vacant);
    index->dead = index->vacant = NULL;
    index->vacant_words = 0;
    if (index->fd >= 0)
        sutra_file_close(index->fd);
    index->fd = -1;
}

void sutra_index_close(struct sutra_index *index)
{
    sutra_index_stop_copier(index);
    pthread_mutex_lock(&index->writer);
    if (!index->closed) {
        index->closed = true;
        struct sutra_front *const last = __atomic_exchange_n(&index->front, NULL, __ATOMIC_ACQ_REL);
        sutra_front_settle(index);
        free(last);
        release(index);
    }
    pthread_mutex_unlock(&index->writer);
}

void sutra_index_free(struct sutra_index *index)
{
    if (!index)
        return;
    sutra_index_stop_copier(index);
    sutra_epochs_deinit(&index->epochs);
    free(index->front);
    release(index);
    destroy_locks(index);
    free(index);
}

/* ---- single vectors */

int sutra_front_read_row(const struct sutra_front *front, size_t row, float *vector_out)
{
    const struct sutra_planes *planes = &front->planes;
    if (sutra_front_has_originals(front)) {
        memcpy(vector_out, sutra_front_original(front, row), front->options.dim * sizeof(float));
        return SUTRA_OK;
    }
    if (sutra_front_is_zero_row(front, row)) {
        memset(vector_out, 0, front->options.dim * sizeof(float));
        return SUTRA_OK;
    }
    void *scratch = malloc(sutra_quantizer_scratch_bytes(&front->quantizer));
    if (!scratch)
        return SUTRA_E_NO_MEMORY;
    const uint8_t *low =
        planes->plane[SUTRA_PLANE_LOW].base ? sutra_planes_row(planes, SUTRA_PLANE_LOW, row) : NULL;
    sutra_quantizer_decode(
        &front->quantizer, front->kernels, sutra_planes_row(planes, SUTRA_PLANE_HIGH, row), low,
        sutra_planes_row(planes, SUTRA_PLANE_CORRECTION, row), scratch, vector_out);
    free(scratch);
    return SUTRA_OK;
}

int sutra_index_get(struct sutra_index *index, int64_t id, float *vector_out)
{
    struct sutra_reading reading;
    int status = sutra_index_enter(index, true, &reading);
    if (status != SUTRA_OK)
        return status;
    const size_t row = sutra_front_row_of(reading.front, id);
    status =
        row == SIZE_MAX ? SUTRA_E_NOT_FOUND : sutra_front_read_row(reading.front, row, vector_out);
    sutra_index_leave(index, &reading);
    return status;
}

int sutra_index_contains(struct sutra_index *index, int64_t id, bool *found_out)
{
    struct sutra_reading reading;
    const int status = sutra_index_enter(index, true, &reading);
    if (status != SUTRA_OK)
        return status;
    *found_out = sutra_front_row_of(reading.front, id) != SIZE_MAX;
    sutra_index_leave(index, &reading);
    return SUTRA_OK;
}

int sutra_index_ids(struct sutra_index *index, size_t first, size_t count, int64_t *ids_out)
{
    struct sutra_reading reading;
    int status = sutra_index_enter(index, false, &reading);
    if (status != SUTRA_OK)
        return status;
    const struct sutra_front *front = reading.front;
    const size_t alive = sutra_front_alive(front);
    if (first > alive || count > alive - first)
        status = SUTRA_E_ARGUMENT;
    /* Without dead rows the first to be given is known. */
    size_t row = front->dead_count ? 0 : first, skip = first - row;
    for (size_t j = 0; status == SUTRA_OK && j < count; row++) {
        if (sutra_front_is_dead(front, row))
            continue;
        if (skip > 0)
            skip--;
        else
            ids_out[j++] = sutra_front_id_of(front, row);
    }
    sutra_index_leave(index, &reading);
    return status;
}

int sutra_index_set_tuned_ef(struct sutra_index *index, uint32_t ef)
{
    struct sutra_reading reading;
    const int status = sutra_index_enter(index, false, &reading);
    if (status != SUTRA_OK)
        return status;
    __atomic_store_n(&index->tuned_ef, ef, __ATOMIC_RELAXED);
    sutra_index_leave(index, &reading);
    return SUTRA_OK;
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

static void read_stats(const struct sutra_front *front, size_t count, size_t coded,
                       struct sutra_index_stats *stats)
{
    const struct sutra_graph *graph = &front->graph;
    const struct sutra_plane *planes = front->planes.plane;
    uint64_t *mapped = &stats->mapped_bytes;
    stats->options = front->options;
    stats->linked = front->linked;
    stats->levels = count ? (unsigned)(graph->entry >> 32) + 1 : 0;
    stats->arena = front->arena;
    if (front->linked) {
        plane_bytes(&graph->links.plane[0], graph->count, &stats->links_bytes,
                    &stats->links_resident, mapped);
        for (unsigned p = 0; p < SUTRA_UPPER_PLANES; p++)
            plane_bytes(&graph->upper.plane[p], graph->upper_count, &stats->links_bytes,
                        &stats->links_resident, mapped);
        plane_bytes(&graph->upper_links.plane[0], graph->list_count, &stats->links_bytes,
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
}

int sutra_index_stats(struct sutra_index *index, struct sutra_index_stats *stats)
{
    memset(stats, 0, sizeof *stats);
    const size_t streamed_rows = sutra_index_rows(index);
    struct sutra_reading reading;
    const int status = sutra_index_enter(index, false, &reading);
    if (status != SUTRA_OK)
        return status;
    const struct sutra_front *front = reading.front;
    const size_t count = index->streamed ? streamed_rows : front->count;
    /* While originals are kept a streamed index encodes what it links. */
    const bool encodes_linked = index->streamed && sutra_front_has_originals(front);
    read_stats(front, count, encodes_linked ? front->graph.count : count, stats);
    stats->count = count - front->dead_count;
    stats->removed = front->dead_count;
    stats->tuned_ef = __atomic_load_n(&index->tuned_ef, __ATOMIC_RELAXED);
    sutra_index_leave(index, &reading);
    return SUTRA_OK;
}
