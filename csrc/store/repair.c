/* Saving what can be saved of a damaged store.
 *
 * The source is opened as far as it holds: the newest manifest whose rows can be loaded, without
 * the graph if that is what is damaged, and the log up to its first damage. What can be read there
 * is copied into a new store.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include <string.h>

static uint64_t count_damaged_blocks(struct sutra_store *source)
{
    uint64_t damaged = 0;
    for (uint32_t j = 0; j < source->manifest.file_count; j++) {
        const struct sutra_manifest_file *file = &source->manifest.files[j];
        struct sutra_segment segment;
        struct sutra_fault fault;
        if (sutra_segment_open(source->io, source->path, source->manifest.store_id, file->number,
                               file->bytes, file->identity, &segment, &fault) != SUTRA_OK)
            continue;
        for (uint64_t offset = 0; offset < file->bytes; offset += SUTRA_SEGMENT_BLOCK)
            damaged += sutra_segment_check(&segment, offset, 1, &fault) != SUTRA_OK;
        sutra_segment_close(&segment);
    }
    return damaged;
}

/* Nobody else knows the new store yet, so it is filled without its log. */
static int fill(struct sutra_store *source, struct sutra_store *target,
                struct sutra_repair_report *report)
{
    struct sutra_store_view *view;
    struct sutra_state *fresh = NULL;
    int status = sutra_store_view_begin(source, &view);
    if (status != SUTRA_OK)
        return status;
    pthread_mutex_lock(&target->maintenance);
    pthread_mutex_lock(&target->writer);
    target->index_options = source->index_options;
    target->next_lsn = view->lsn + 1;
    target->log_end.next_lsn = view->lsn + 1;
    status = sutra_state_new(target, &fresh);
    if (status == SUTRA_OK)
        status = sutra_attributes_copy_fields(&view->state->attributes, &fresh->attributes);
    if (status == SUTRA_OK)
        status = sutra_state_copy(target, view, fresh, &report->lost_concepts);
    if (status == SUTRA_OK)
        status = sutra_settings_copy(&view->state->settings, &fresh->settings);
    if (status == SUTRA_OK) {
        report->concepts = fresh->concepts.live_count;
        report->associations = sutra_associations_count(fresh->associations);
        report->vectors = fresh->index ? sutra_stream_rows(fresh->index) : 0;
        report->lsn = view->lsn;
        memset(target->sealed, 0, sizeof target->sealed);
        sutra_store_swap_state(target, fresh);
        sutra_store_seen(target, view->lsn);
    } else {
        sutra_state_release(fresh);
    }
    pthread_mutex_unlock(&target->writer);
    if (status == SUTRA_OK)
        status = sutra_store_checkpoint_locked(target, true, true);
    pthread_mutex_unlock(&target->maintenance);
    sutra_store_view_end(view);
    return status;
}

int sutra_store_repair(const struct sutra_io *io, const struct sutra_kernels *kernels,
                       const char *src, const char *dst, struct sutra_repair_report *report,
                       char *file_out, struct sutra_fault *fault_out)
{
    struct sutra_store *source, *target;
    char unused[SUTRA_STORE_NAME_BYTES];
    file_out = file_out ? file_out : unused;
    memset(report, 0, sizeof *report);
    int status = sutra_store_open_salvage(io, kernels, src, &source, file_out, fault_out);
    if (status != SUTRA_OK)
        return status;
    const struct sutra_index_options *options = &source->index_options;
    const struct sutra_store_options made = {.mode = SUTRA_STORE_EXCLUSIVE,
                                             .dim = options->dim,
                                             .metric = options->metric,
                                             .quantization = options->quantization,
                                             .keep_originals = options->keep_originals,
                                             .m = options->m,
                                             .ef_construction = options->ef_construction,
                                             .no_thread = true};
    status = sutra_store_open(io, kernels, dst, &made, &target, file_out, fault_out);
    if (status == SUTRA_OK) {
        status = fill(source, target, report);
        report->damaged_blocks = count_damaged_blocks(source);
        report->generation = source->manifest.generation;
        report->older_manifest = source->counters.manifest_fallback;
        report->log_cut = source->log_cut;
        report->lost_settings = source->lost_settings;
        report->lost_fields = source->lost_fields;
        const int closed = sutra_store_close(target);
        status = status == SUTRA_OK ? closed : status;
        sutra_store_free(target);
    }
    (void)sutra_store_close(source);
    sutra_store_free(source);
    return status;
}
