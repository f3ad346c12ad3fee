/* Checking a store, and saving what can be saved of a damaged one.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include <errno.h>
#include <string.h>

#include "directory.h"

static int fail(struct sutra_fault *fault, const char *what, size_t row, uint64_t found)
{
    *fault = SUTRA_FAULT_NONE;
    fault->what = what;
    fault->row = (int64_t)row;
    fault->found = found;
    return SUTRA_E_CORRUPT;
}

/* What one room says about another. */
static int verify_rooms(const struct sutra_state *state, struct sutra_fault *fault)
{
    const struct sutra_concepts *concepts = &state->concepts;
    const size_t rows = state->index ? sutra_stream_rows(state->index) : 0;
    for (size_t slot = 0; slot < concepts->slot_count; slot++) {
        const uint32_t row = sutra_concepts_record(concepts, (uint32_t)slot)->vector_row;
        if (row != SUTRA_NO_ROW && row >= rows)
            return fail(fault, "vector row of a record", slot, row);
    }
    for (size_t row = 0; row < rows; row++) {
        const int64_t label = sutra_stream_label(state->index, (uint32_t)row);
        if (label < 0 || (uint64_t)label >= concepts->concept_count)
            return fail(fault, "concept of a vector", row, (uint64_t)label);
    }
    return SUTRA_OK;
}

/* Nothing was born, or has died, after the last write. */
static int verify_lsns(struct sutra_state *state, uint64_t last_lsn, struct sutra_fault *fault)
{
    struct sutra_part parts[SUTRA_PARTS_MAX];
    const size_t count = sutra_state_parts(state, parts);
    for (size_t j = 0; j < count; j++) {
        const uint32_t kind = parts[j].kind;
        const bool births = kind == SUTRA_PART_SLOT_BIRTH || kind == SUTRA_PART_ROW_BIRTH;
        if (!births && kind != SUTRA_PART_SLOT_DEATH && kind != SUTRA_PART_ROW_DEATH)
            continue;
        const uint64_t *lsns = (const uint64_t *)(const void *)parts[j].plane->base;
        for (size_t row = 0; row < parts[j].rows; row++) {
            const uint64_t lsn = __atomic_load_n(&lsns[row], __ATOMIC_RELAXED);
            if (lsn > last_lsn && (births || lsn != SUTRA_LSN_NEVER))
                return fail(fault,
                            births ? "birth after the last write" : "death after the last write",
                            row, lsn);
        }
    }
    return SUTRA_OK;
}

static int verify_files(struct sutra_store *store, char *file_out, struct sutra_fault *fault)
{
    int status = SUTRA_OK;
    for (uint32_t j = 0; j < store->manifest.file_count && status == SUTRA_OK; j++) {
        const struct sutra_manifest_file *file = &store->manifest.files[j];
        struct sutra_segment segment;
        sutra_segment_name(file->number, file_out);
        status = sutra_segment_open(store->io, store->path, store->manifest.store_id, file->number,
                                    file->bytes, file->identity, &segment, fault);
        if (status != SUTRA_OK)
            break;
        status = sutra_segment_check(&segment, 0, 0, fault);
        sutra_segment_close(&segment);
    }
    if (status == SUTRA_OK)
        file_out[0] = '\0';
    return status;
}

/* The rooms are read while nothing changes them: writers wait. */
static int verify_state(struct sutra_store *store, bool deep, struct sutra_fault *fault)
{
    pthread_mutex_lock(&store->writer);
    struct sutra_state *state = sutra_store_state(store);
    int status = state ? SUTRA_OK : SUTRA_E_CLOSED;
    if (status == SUTRA_OK)
        status = sutra_concepts_verify(&state->concepts, fault);
    if (status == SUTRA_OK)
        status =
            sutra_associations_verify(state->associations, state->concepts.concept_count, fault);
    if (status == SUTRA_OK)
        status = verify_rooms(state, fault);
    if (status == SUTRA_OK)
        status = verify_lsns(state, store->next_lsn - 1, fault);
    if (status == SUTRA_OK && state->index)
        status = sutra_stream_verify(state->index, deep, fault);
    if (status == SUTRA_OK && deep)
        status = sutra_attributes_verify(&state->attributes, &state->concepts, fault);
    pthread_mutex_unlock(&store->writer);
    return status;
}

int sutra_store_verify(struct sutra_store *store, bool deep, char *file_out,
                       struct sutra_fault *fault_out)
{
    char unused[SUTRA_STORE_NAME_BYTES];
    file_out = file_out ? file_out : unused;
    file_out[0] = '\0';
    *fault_out = SUTRA_FAULT_NONE;
    pthread_mutex_lock(&store->maintenance);
    int status = __atomic_load_n(&store->closed, __ATOMIC_ACQUIRE) ? SUTRA_E_CLOSED : SUTRA_OK;
    if (status == SUTRA_OK && deep && store->io)
        status = verify_files(store, file_out, fault_out);
    if (status == SUTRA_OK)
        status = verify_state(store, deep, fault_out);
    pthread_mutex_unlock(&store->maintenance);
    return status;
}
