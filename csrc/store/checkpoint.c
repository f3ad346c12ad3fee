/* Checkpoints: what memory holds into a segment, and a manifest that says so.
 *
 * Under the writer's lock the log file is closed and what a writer may change is copied; the rest
 * is written from where it is while writers go on. The order on disk: segment, directory, manifest,
 * directory. Until the manifest is there nothing has happened; after it, files that neither it nor
 * the one before it names are removed.
 *
 * A delta holds new rows and changed ones. A plane whose changed rows, with those of the deltas
 * before, come to half of it is written whole: patches are copied when a store is opened, a whole
 * plane is mapped. Once the deltas outweigh the base, or are many, the next checkpoint writes
 * everything anew.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "directory.h"

#define SEGMENTS_MAX 24u

struct capture {
    struct sutra_part parts[SUTRA_PARTS_MAX];
    size_t count;
    struct capture_part {
        bool skip;
        int form;
        uint64_t first;
        uint8_t *copy; /* rows [first, rows) of what a writer may change */
        uint32_t *numbers;
        uint8_t *patched;
        size_t patch_count;
        struct sutra_dirty taken; /* marks, to be put back if this comes to nothing */
        bool sealed;
    } part[SUTRA_PARTS_MAX];
    bool with_settings;
    struct sutra_encoder settings; /* as they are saved */
    uint64_t settings_version;
    struct sutra_manifest manifest;
    uint64_t segment_number;
    uint64_t live_bytes;
};

/* ---- capture; the writer's lock is held */

static int capture_patches(struct capture_part *captured, const struct sutra_part *part,
                           size_t saved_rows)
{
    const struct sutra_dirty *dirty = part->dirty;
    size_t count = 0;
    const size_t limit = saved_rows < dirty->sealed_rows ? saved_rows : dirty->sealed_rows;
    if (!dirty->marked)
        return SUTRA_OK;
    captured->numbers = malloc(dirty->marked * sizeof *captured->numbers);
    captured->patched = malloc(dirty->marked * part->row_bytes);
    if (!captured->numbers || !captured->patched)
        return SUTRA_E_NO_MEMORY;
    for (size_t row = sutra_dirty_next(dirty, 0); row < limit;
         row = sutra_dirty_next(dirty, row + 1)) {
        captured->numbers[count] = (uint32_t)row;
        memcpy(captured->patched + count * part->row_bytes,
               part->plane->base + row * part->row_bytes, part->row_bytes);
        count++;
    }
    captured->patch_count = count;
    return SUTRA_OK;
}

static bool is_much_patched(const struct sutra_part *part, const struct sutra_sealed *sealed)
{
    const size_t marked = part->dirty ? part->dirty->marked : 0;
    return marked && sealed->patched_bytes + sutra_patch_bytes(marked, part->row_bytes) >
                         (uint64_t)part->rows * part->row_bytes / 2;
}

static int capture_part(struct sutra_store *store, struct capture *capture, size_t j, bool whole,
                        bool with_graph)
{
    const struct sutra_part *part = &capture->parts[j];
    struct capture_part *captured = &capture->part[j];
    const struct sutra_sealed *sealed = &store->sealed[part->kind];
    if (part->flags & SUTRA_PART_GRAPH && !with_graph) {
        captured->skip = true;
        return SUTRA_OK;
    }
    /* Sections without rows are not looked at by whoever loads none: none is built on. */
    const bool anew = whole || !sealed->present || sealed->version != part->version ||
                      sealed->rows > part->rows || (sealed->rows == 0 && part->rows > 0) ||
                      is_much_patched(part, sealed);
    captured->form = anew ? SUTRA_SECTION_WHOLE : SUTRA_SECTION_RANGE;
    captured->first = anew ? 0 : sealed->rows;
    int status = SUTRA_OK;
    if (part->dirty && !anew)
        status = capture_patches(captured, part, sealed->rows);
    const size_t bytes = (part->rows - captured->first) * part->row_bytes;
    if (status == SUTRA_OK && part->flags & SUTRA_PART_MUTABLE && bytes) {
        captured->copy = malloc(bytes);
        if (!captured->copy)
            return SUTRA_E_NO_MEMORY;
        memcpy(captured->copy, part->plane->base + captured->first * part->row_bytes, bytes);
    }
    if (status == SUTRA_OK && part->dirty) {
        captured->taken = *part->dirty;
        memset(part->dirty, 0, sizeof *part->dirty);
        captured->sealed = true;
        status = sutra_dirty_seal(part->dirty, part->rows);
    }
    return status;
}

/* All of them, if one has changed. Where a chain begins, none need no section. */
static int capture_settings(struct sutra_store *store, struct capture *capture, bool whole)
{
    const struct sutra_settings *settings = &sutra_store_state(store)->settings;
    const struct sutra_sealed *sealed = &store->sealed[SUTRA_SECTION_SETTINGS];
    const bool as_saved = sealed->present && sealed->version == settings->version;
    capture->settings_version = settings->version;
    capture->with_settings = whole ? settings->count > 0 : !as_saved;
    return capture->with_settings ? sutra_settings_encode(settings, &capture->settings) : SUTRA_OK;
}

/* Put the marks back. The writer's lock is held. */
static void give_marks_back(struct capture *capture)
{
    for (size_t j = 0; j < capture->count; j++) {
        struct capture_part *captured = &capture->part[j];
        if (!captured->sealed)
            continue;
        struct sutra_dirty *dirty = capture->parts[j].dirty;
        if (dirty->sealed_rows >= captured->taken.sealed_rows) {
            sutra_dirty_merge(dirty, &captured->taken);
        } else { /* sealing them failed */
            sutra_dirty_deinit(dirty);
            *dirty = captured->taken;
            memset(&captured->taken, 0, sizeof captured->taken);
        }
        captured->sealed = false;
    }
}

static void free_capture(struct capture *capture)
{
    for (size_t j = 0; j < capture->count; j++) {
        free(capture->part[j].copy);
        free(capture->part[j].numbers);
        free(capture->part[j].patched);
        sutra_dirty_deinit(&capture->part[j].taken);
    }
    sutra_manifest_free(&capture->manifest);
    sutra_encoder_deinit(&capture->settings);
    free(capture);
}

static int capture_manifest(struct sutra_store *store, struct capture *capture, bool whole,
                            bool with_graph)
{
    struct sutra_manifest *next = &capture->manifest;
    *next = store->manifest;
    next->generation++;
    next->checkpoint_lsn = store->next_lsn - 1;
    next->log_file = store->next_file;
    next->files = malloc((store->manifest.file_count + 1) * sizeof *next->files);
    if (!next->files)
        return SUTRA_E_NO_MEMORY;
    if (whole)
        next->file_count = 0;
    else if (next->file_count)
        memcpy(next->files, store->manifest.files, next->file_count * sizeof *next->files);
    if (with_graph)
        next->graph_lsn = next->checkpoint_lsn;
    sutra_state_words(store, sutra_store_state(store), with_graph, next->state);
    capture->segment_number = store->next_file++;
    next->next_file = store->next_file;
    return SUTRA_OK;
}

static int capture_locked(struct sutra_store *store, struct capture *capture, bool whole,
                          bool with_graph)
{
    int status = sutra_store_close_log(store);
    if (status != SUTRA_OK)
        return status;
    /* Listing the parts may pad the heap: before the counts are taken. */
    capture->count = sutra_state_parts(sutra_store_state(store), capture->parts);
    status = capture_manifest(store, capture, whole, with_graph);
    if (status == SUTRA_OK)
        status = capture_settings(store, capture, whole);
    for (size_t j = 0; j < capture->count && status == SUTRA_OK; j++)
        status = capture_part(store, capture, j, whole, with_graph);
    if (status != SUTRA_OK)
        give_marks_back(capture);
    return status;
}

/* ---- writing */

static int write_part(struct sutra_segment_writer *writer, const struct sutra_part *part,
                      const struct capture_part *captured)
{
    int status = SUTRA_OK;
    if (captured->form == SUTRA_SECTION_WHOLE || part->rows > captured->first) {
        if (captured->copy)
            status =
                sutra_segment_copied_rows(writer, part->kind, captured->form, NULL, captured->copy,
                                          part->row_bytes, captured->first, part->rows);
        else
            status = sutra_segment_rows(writer, part->kind, captured->form, part->plane->base,
                                        part->row_bytes, captured->first, part->rows);
    }
    if (status == SUTRA_OK && captured->patch_count)
        status = sutra_segment_patch(writer, part->kind, part->row_bytes, captured->numbers,
                                     captured->patched, captured->patch_count);
    return status;
}

static bool has_sections(const struct capture *capture)
{
    for (size_t j = 0; j < capture->count; j++) {
        const struct capture_part *captured = &capture->part[j];
        if (!captured->skip && (captured->form == SUTRA_SECTION_WHOLE || captured->patch_count ||
                                capture->parts[j].rows > captured->first))
            return true;
    }
    return capture->with_settings;
}

static int write_segment(struct sutra_store *store, struct capture *capture)
{
    if (!has_sections(capture))
        return SUTRA_OK;
    struct sutra_segment_writer *writer;
    int status = sutra_segment_begin(store->io, store->path, store->manifest.store_id,
                                     capture->segment_number, &writer);
    if (status != SUTRA_OK)
        return status;
    for (size_t j = 0; j < capture->count && status == SUTRA_OK; j++) {
        if (!capture->part[j].skip)
            status = write_part(writer, &capture->parts[j], &capture->part[j]);
    }
    if (status == SUTRA_OK && capture->with_settings)
        status = sutra_segment_bytes(writer, SUTRA_SECTION_SETTINGS, capture->settings.buffer,
                                     capture->settings.used);
    if (status != SUTRA_OK) {
        sutra_segment_abort(writer);
        return status;
    }
    struct sutra_manifest_file *file = &capture->manifest.files[capture->manifest.file_count];
    file->number = capture->segment_number;
    status = sutra_segment_commit(writer, &file->bytes, file->identity);
    if (status != SUTRA_OK)
        return status;
    capture->manifest.file_count++;
    return store->io->sync_directory(store->io->context, store->path);
}

/* ---- after it */

static void take_sealed(struct sutra_store *store, const struct capture *capture)
{
    for (size_t j = 0; j < capture->count; j++) {
        const struct sutra_part *part = &capture->parts[j];
        const struct capture_part *captured = &capture->part[j];
        struct sutra_sealed *sealed = &store->sealed[part->kind];
        if (captured->skip)
            continue;
        const uint64_t before = captured->form == SUTRA_SECTION_WHOLE ? 0 : sealed->patched_bytes;
        *sealed = (struct sutra_sealed){
            .rows = part->rows,
            .version = part->version,
            .patched_bytes = before + sutra_patch_bytes(captured->patch_count, part->row_bytes),
            .present = true};
    }
    store->sealed[SUTRA_SECTION_SETTINGS] =
        (struct sutra_sealed){.version = capture->settings_version, .present = true};
}

/* Rows that are in a file now need no memory of their own. */
static void adopt(struct sutra_store *store, const struct capture *capture)
{
    const struct sutra_manifest *manifest = &store->manifest;
    struct sutra_segment segment;
    bool open = false;
    for (size_t j = 0; j < capture->count; j++) {
        const struct sutra_part *part = &capture->parts[j];
        const struct capture_part *captured = &capture->part[j];
        if (captured->skip || !(part->flags & SUTRA_PART_COLD) ||
            (part->rows - captured->first) * part->row_bytes < 4 * (size_t)SUTRA_SEGMENT_BLOCK)
            continue;
        const struct sutra_manifest_file *file = &manifest->files[manifest->file_count - 1];
        struct sutra_fault fault;
        if (!open && sutra_segment_open(store->io, store->path, manifest->store_id, file->number,
                                        file->bytes, file->identity, &segment, &fault) != SUTRA_OK)
            return;
        open = true;
        /* The writer grows the same arenas. */
        pthread_mutex_lock(&store->writer);
        (void)sutra_segment_adopt(&segment, part->kind, part->plane);
        pthread_mutex_unlock(&store->writer);
    }
    if (open)
        sutra_segment_close(&segment);
}

static bool names_segment(const struct sutra_manifest *manifest, uint64_t number)
{
    for (uint32_t j = 0; j < manifest->file_count; j++) {
        if (manifest->files[j].number == number)
            return true;
    }
    return false;
}

void sutra_store_clean(struct sutra_store *store)
{
    struct sutra_directory directory;
    if (sutra_directory_read(store->io, store->path, &directory) != SUTRA_OK)
        return;
    const struct sutra_manifest *now = &store->manifest, *previous = &store->previous;
    uint64_t first_log = now->log_file;
    if (previous->generation && previous->log_file < first_log)
        first_log = previous->log_file;
    char name[SUTRA_STORE_NAME_BYTES];
    /* Failing here leaves files for the next time. */
    for (size_t j = 0; j < directory.manifest_count; j++) {
        const uint64_t generation = directory.manifests[j];
        if (generation == now->generation || generation == previous->generation)
            continue;
        sutra_manifest_name(generation, name);
        (void)sutra_directory_unlink(store->io, store->path, name);
    }
    for (size_t j = 0; j < directory.segment_count; j++) {
        const uint64_t number = directory.segments[j];
        if (names_segment(now, number) || names_segment(previous, number))
            continue;
        sutra_segment_name(number, name);
        (void)sutra_directory_unlink(store->io, store->path, name);
    }
    for (size_t j = 0; j < directory.log_count; j++) {
        if (directory.logs[j] >= first_log)
            continue;
        sutra_log_name(directory.logs[j], name);
        (void)sutra_directory_unlink(store->io, store->path, name);
    }
    sutra_directory_free(&directory);
    (void)sutra_directory_remove_temporary(store->io, store->path);
}

static void count_segments(struct sutra_store *store)
{
    store->counters.segments = store->manifest.file_count;
    store->counters.segment_bytes = 0;
    for (uint32_t j = 0; j < store->manifest.file_count; j++)
        store->counters.segment_bytes += store->manifest.files[j].bytes;
}

int sutra_store_mark_sealed(struct sutra_store *store, struct sutra_state *state)
{
    struct sutra_part parts[SUTRA_PARTS_MAX];
    const size_t count = sutra_state_parts(state, parts);
    for (size_t k = 0; k < SUTRA_PART_KINDS; k++) /* patched_bytes is known from loading */
        store->sealed[k].present = false;
    store->sealed[SUTRA_SECTION_SETTINGS] =
        (struct sutra_sealed){.version = state->settings.version, .present = true};
    for (size_t j = 0; j < count; j++) {
        struct sutra_sealed *sealed = &store->sealed[parts[j].kind];
        sealed->rows = parts[j].rows;
        sealed->version = parts[j].version;
        sealed->present = true;
        const int status =
            parts[j].dirty ? sutra_dirty_seal(parts[j].dirty, parts[j].rows) : SUTRA_OK;
        if (status != SUTRA_OK)
            return status;
    }
    count_segments(store);
    if (state->index)
        store->sealed_graph_rows =
            sutra_stream_rows(state->index) - sutra_stream_pending(state->index);
    return SUTRA_OK;
}

/* ---- when and how */

uint64_t sutra_store_log_bytes(struct sutra_store *store)
{
    return store->log_bytes_before + (store->log_open ? store->log.end : 0);
}

bool sutra_store_checkpoint_due(struct sutra_store *store)
{
    if (!store->io || store->read_only || __atomic_load_n(&store->failed, __ATOMIC_ACQUIRE))
        return false;
    pthread_mutex_lock(&store->writer);
    const bool due = sutra_store_log_bytes(store) >= store->checkpoint_at;
    pthread_mutex_unlock(&store->writer);
    return due;
}

static bool too_many_deltas(const struct sutra_store *store)
{
    const struct sutra_manifest *manifest = &store->manifest;
    if (manifest->file_count < 2)
        return manifest->file_count == 0;
    uint64_t deltas = 0;
    for (uint32_t j = 1; j < manifest->file_count; j++)
        deltas += manifest->files[j].bytes;
    return manifest->file_count >= SEGMENTS_MAX || deltas > manifest->files[0].bytes + (4u << 20);
}

uint64_t sutra_store_unsaved_rows(const struct sutra_store *store)
{
    const struct sutra_state *state = sutra_store_state(store);
    if (!state->index)
        return 0;
    return sutra_stream_rows(state->index) - sutra_stream_pending(state->index) -
           store->sealed_graph_rows;
}

/* The graph changes all over with every row linked, so it is saved when it has grown by an eighth;
 * rows linked since are pending again after a restart. */
static bool graph_due(const struct sutra_store *store)
{
    const struct sutra_state *state = sutra_store_state(store);
    if (!state->index || !store->index_options.keep_originals)
        return true;
    const uint64_t since = sutra_store_unsaved_rows(store);
    const uint64_t linked = store->sealed_graph_rows + since;
    return since >= linked / 8 && since >= store->options.flush_threshold;
}

/* Space may come back; whatever else went wrong may have lost what we believe written. */
static bool may_try_again(int status)
{
    return status == ENOSPC || status == EDQUOT || status == EFBIG || status == EMFILE ||
           status == ENFILE || status == SUTRA_E_NO_MEMORY || status == SUTRA_E_CAPACITY;
}

static int finish(struct sutra_store *store, struct capture *capture, bool with_graph)
{
    struct sutra_state *state = sutra_store_state(store);
    const uint64_t before = store->counters.segment_bytes;
    sutra_manifest_free(&store->previous);
    take_sealed(store, capture);
    if (with_graph && state->index)
        store->sealed_graph_rows =
            sutra_stream_rows(state->index) - sutra_stream_pending(state->index);
    /* Writers and statistics look at these. */
    pthread_mutex_lock(&store->writer);
    store->previous = store->manifest;
    store->manifest = capture->manifest;
    count_segments(store);
    store->log_bytes_before = 0;
    store->checkpoint_at = store->options.log_bytes;
    store->counters.checkpoints++;
    store->counters.checkpoint_bytes = store->counters.segment_bytes > before
                                           ? store->counters.segment_bytes - before
                                           : store->counters.segment_bytes;
    pthread_mutex_unlock(&store->writer);
    memset(&capture->manifest, 0, sizeof capture->manifest);
    sutra_store_clean(store);
    adopt(store, capture);
    return SUTRA_OK;
}

int sutra_store_checkpoint_locked(struct sutra_store *store, bool whole, bool with_graph)
{
    if (!store->io)
        return SUTRA_OK;
    if (__atomic_load_n(&store->failed, __ATOMIC_ACQUIRE))
        return SUTRA_E_DURABILITY;
    struct capture *capture = calloc(1, sizeof *capture);
    if (!capture)
        return SUTRA_E_NO_MEMORY;
    const uint64_t begun = store->io->monotonic_ns(store->io->context);
    whole = whole || too_many_deltas(store);
    with_graph = with_graph || whole || graph_due(store);
    pthread_mutex_lock(&store->writer);
    int status = capture_locked(store, capture, whole, with_graph);
    pthread_mutex_unlock(&store->writer);
    if (status == SUTRA_OK) {
        status = write_segment(store, capture);
        if (status == SUTRA_OK)
            status = sutra_manifest_write(store->io, store->path, &capture->manifest);
        if (status == SUTRA_OK) {
            status = finish(store, capture, with_graph);
        } else {
            pthread_mutex_lock(&store->writer);
            give_marks_back(capture);
            pthread_mutex_unlock(&store->writer);
        }
    }
    pthread_mutex_lock(&store->writer);
    store->counters.last_checkpoint_status = status;
    if (status == SUTRA_OK)
        store->counters.checkpoint_ns = store->io->monotonic_ns(store->io->context) - begun;
    else
        store->checkpoint_at = sutra_store_log_bytes(store) + store->options.log_bytes / 4;
    pthread_mutex_unlock(&store->writer);
    if (status != SUTRA_OK && !may_try_again(status))
        sutra_store_fail(store, status);
    free_capture(capture);
    return status;
}

int sutra_store_forget_previous(struct sutra_store *store)
{
    struct sutra_manifest again = store->manifest;
    again.generation++;
    const int status = sutra_manifest_write(store->io, store->path, &again);
    if (status != SUTRA_OK) {
        if (!may_try_again(status))
            sutra_store_fail(store, status);
        return status;
    }
    sutra_manifest_free(&store->previous);
    store->previous = store->manifest;
    store->previous.file_count = 0; /* its files are those of the new one */
    store->previous.files = NULL;
    pthread_mutex_lock(&store->writer);
    store->manifest.generation++;
    pthread_mutex_unlock(&store->writer);
    sutra_store_clean(store);
    return SUTRA_OK;
}

int sutra_store_checkpoint(struct sutra_store *store)
{
    if (store->read_only)
        return SUTRA_E_READ_ONLY;
    pthread_mutex_lock(&store->maintenance);
    const int status = __atomic_load_n(&store->closed, __ATOMIC_ACQUIRE)
                           ? SUTRA_E_CLOSED
                           : sutra_store_checkpoint_locked(store, false, true);
    pthread_mutex_unlock(&store->maintenance);
    return status;
}
