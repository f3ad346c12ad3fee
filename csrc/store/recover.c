/* Opening what is there: the newest manifest that holds, and the log after it.
 *
 * Recovery changes no file that exists. It can stop anywhere and be done again.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "directory.h"
#include "state_file.h"

/* ---- log */

struct replay {
    struct sutra_store *store;
    struct sutra_state *state;
    struct sutra_decoder decoder;
    struct sutra_fault fault;
};

static int replay_record(void *context, uint64_t lsn, uint32_t flags, const uint8_t *payload,
                         uint32_t bytes)
{
    struct replay *replay = context;
    struct sutra_store *store = replay->store;
    (void)flags;
    store->counters.recovered_records++;
    store->counters.recovered_bytes += bytes;
    if (bytes == 0)
        return SUTRA_OK;
    replay->fault = SUTRA_FAULT_NONE;
    const int status = sutra_apply_record(store, replay->state, &replay->decoder, lsn, payload,
                                          bytes, &replay->fault);
    switch (status) {
    case SUTRA_OK:
    case SUTRA_E_NO_MEMORY:
    case SUTRA_E_CAPACITY:
        return status;
    default: /* no writer logs what it refuses */
        return SUTRA_E_CORRUPT;
    }
}

static int replay_file(struct replay *replay, uint64_t number, uint64_t stop_lsn, bool last,
                       struct sutra_log_end *end, struct sutra_fault *fault)
{
    struct sutra_store *store = replay->store;
    const bool resumed = end->file_number == number;
    const struct sutra_log_end before = *end;
    const struct sutra_log_replay log = {
        .io = store->io,
        .directory = store->path,
        .store_id = store->manifest.store_id,
        .file_number = number,
        .before = before.file_number && !resumed ? &before : NULL,
        .expected_lsn = resumed ? 0 : before.next_lsn,
        .skip_bytes = resumed ? before.bytes : 0,
        .skip_lsn = resumed ? before.next_lsn : 0,
        .skip_checksum = resumed ? before.last_checksum : 0,
        .stop_lsn = stop_lsn,
        .last = last,
        .each = replay_record,
        .context = replay,
    };
    uint64_t torn = 0;
    const int status = sutra_log_replay(&log, end, &torn, fault);
    if (status == SUTRA_OK)
        store->counters.torn_bytes += torn;
    return status;
}

/* Where the log was before a file without records. Such a file may be one whose making has failed:
 * then those after it do not name it as the one before. */
struct earlier {
    bool known;
    struct sutra_log_end end;
};

/* Replay the file after `end`, which is raised to where it stops. */
static int replay_next(struct replay *replay, uint64_t number, uint64_t stop_lsn, bool last,
                       struct sutra_log_end *end, struct earlier *earlier,
                       struct sutra_fault *fault)
{
    const struct sutra_log_end before = *end;
    struct sutra_log_end next = before;
    int status = replay_file(replay, number, stop_lsn, last, &next, fault);
    const bool passed_over = status == SUTRA_E_CORRUPT && earlier->known &&
                             fault->offset < (int64_t)SUTRA_LOG_HEADER_BYTES;
    if (passed_over) {
        next = earlier->end;
        status = replay_file(replay, number, stop_lsn, last, &next, fault);
    }
    if (status != SUTRA_OK)
        return status;
    if (!passed_over)
        earlier->end = before;
    earlier->known = next.bytes == SUTRA_LOG_HEADER_BYTES && before.file_number != number;
    *end = next;
    return SUTRA_OK;
}

int sutra_store_replay(struct sutra_store *store, struct sutra_state *state,
                       struct sutra_log_end *end_inout, uint64_t stop_lsn, char *file_out,
                       struct sutra_fault *fault_out)
{
    struct sutra_directory directory;
    int status = sutra_directory_read(store->io, store->path, &directory);
    if (status != SUTRA_OK)
        return status;
    const uint64_t from =
        end_inout->file_number ? end_inout->file_number : store->manifest.log_file;
    struct replay replay = {.store = store, .state = state};
    struct earlier earlier = {0};
    size_t first = 0, count = directory.log_count;
    while (first < count && directory.logs[first] < from)
        first++;
    /* A file that is not even a header is one that a crash kept from being made: no record of it
     * was acknowledged, and the file after it does not name it as the one before. */
    bool absent = false;
    for (size_t j = first; j < count && status == SUTRA_OK; j++) {
        sutra_log_name(directory.logs[j], file_out);
        status = replay_next(&replay, directory.logs[j], stop_lsn, j + 1 == count, end_inout,
                             &earlier, fault_out);
        absent = status == SUTRA_E_TRUNCATED;
        if (absent)
            status = SUTRA_OK;
        else if (status == SUTRA_OK && end_inout->next_lsn > stop_lsn)
            break; /* where we stop, not where the file ends */
    }
    if (status == SUTRA_OK && absent && end_inout->file_number) { /* so this one is the last */
        sutra_log_name(end_inout->file_number, file_out);
        status = replay_file(&replay, end_inout->file_number, stop_lsn, true, end_inout, fault_out);
    }
    if (status == SUTRA_OK)
        file_out[0] = '\0';
    sutra_decoder_deinit(&replay.decoder);
    sutra_directory_free(&directory);
    sutra_concepts_publish(&state->concepts);
    return status;
}

/* ---- manifests */

static bool is_damage(int status)
{
    return status == SUTRA_E_CORRUPT || status == SUTRA_E_TRUNCATED || status == ENOENT;
}

/* The newest manifest whose files hold. One that does not hold is passed over, because those before
 * it keep what they need; if none holds, the newest says why. *least_lsn_out: how far a manifest
 * that was passed over had come, and the log must come too. */
static int load_newest(struct sutra_store *store, const struct sutra_directory *directory,
                       struct sutra_state **state_out, uint64_t *least_lsn_out, char *file_out,
                       struct sutra_fault *fault_out)
{
    int first_status = SUTRA_E_CORRUPT;
    *least_lsn_out = 0;
    if (!directory->manifest_count) {
        *fault_out = SUTRA_FAULT_NONE;
        fault_out->what = "manifest missing";
        memcpy(file_out, SUTRA_IDENTITY_NAME, sizeof SUTRA_IDENTITY_NAME);
        return SUTRA_E_CORRUPT;
    }
    for (size_t j = directory->manifest_count; j > 0; j--) {
        struct sutra_manifest manifest = {0};
        struct sutra_fault fault = SUTRA_FAULT_NONE;
        char file[SUTRA_STORE_NAME_BYTES] = {0};
        sutra_manifest_name(directory->manifests[j - 1], file);
        int status = sutra_manifest_read(store->io, store->path, directory->manifests[j - 1],
                                         store->manifest.store_id, &manifest, &fault);
        if (status == SUTRA_OK) {
            status = sutra_state_load(store, &manifest, true, state_out, file, &fault);
            if (is_damage(status) && store->salvage)
                status = sutra_state_load(store, &manifest, false, state_out, file, &fault);
            if (status != SUTRA_OK && manifest.checkpoint_lsn > *least_lsn_out)
                *least_lsn_out = manifest.checkpoint_lsn;
        }
        if (status == SUTRA_OK) {
            store->manifest = manifest;
            store->counters.manifest_fallback = j != directory->manifest_count;
            return SUTRA_OK;
        }
        sutra_manifest_free(&manifest);
        if (j == directory->manifest_count || !is_damage(status)) {
            first_status = status;
            *fault_out = fault;
            memcpy(file_out, file, sizeof file);
        }
        if (!is_damage(status))
            return status;
    }
    return first_status;
}

/* The manifest before the one in use stays, with what it needs. */
static void find_previous(struct sutra_store *store, const struct sutra_directory *directory)
{
    for (size_t j = directory->manifest_count; j > 0; j--) {
        const uint64_t generation = directory->manifests[j - 1];
        struct sutra_fault fault;
        if (generation < store->manifest.generation &&
            sutra_manifest_read(store->io, store->path, generation, store->manifest.store_id,
                                &store->previous, &fault) == SUTRA_OK)
            return;
    }
    memset(&store->previous, 0, sizeof store->previous);
}

/* What a killed process wrote may be in the page cache alone. */
static int sync_log(struct sutra_store *store, uint64_t number)
{
    char name[SUTRA_LOG_NAME_BYTES];
    int fd;
    sutra_log_name(number, name);
    int status = sutra_directory_open(store->io, store->path, name, SUTRA_OPEN_WRITE, &fd);
    if (status != SUTRA_OK)
        return status;
    status = store->io->sync(store->io->context, fd);
    store->io->close(store->io->context, fd);
    if (status == SUTRA_OK)
        status = store->io->sync_directory(store->io->context, store->path);
    return status;
}

static void take_position(struct sutra_store *store, struct sutra_state *state,
                          const struct sutra_log_end *end)
{
    const uint64_t lsn = end->next_lsn - 1;
    store->state = state;
    store->next_lsn = end->next_lsn;
    store->log_end = *end;
    store->applied_lsn = store->durable_lsn = store->visible_lsn = lsn;
    store->applied_live = store->visible_live = state->concepts.live_count;
}

/* What a reader may see while a writer is at work: what that writer says. */
int sutra_store_stop_lsn(struct sutra_store *store, uint64_t *stop_out)
{
    *stop_out = UINT64_MAX;
    int fd;
    bool locked = false;
    if (sutra_directory_open(store->io, store->path, SUTRA_LOCK_NAME, SUTRA_OPEN_READ, &fd) !=
        SUTRA_OK)
        return SUTRA_OK; /* no lock file, no writer */
    const int status = store->io->is_locked(store->io->context, fd, &locked);
    store->io->close(store->io->context, fd);
    if (status != SUTRA_OK || !locked)
        return SUTRA_OK;
    if (sutra_directory_open(store->io, store->path, SUTRA_STATE_NAME, SUTRA_OPEN_READ, &fd) !=
        SUTRA_OK)
        return SUTRA_OK;
    uint8_t bytes[SUTRA_STATE_FILE_BYTES];
    uint64_t visible;
    for (unsigned tries = 0; tries < 100; tries++) {
        if (sutra_io_read_all(store->io, fd, 0, bytes, sizeof bytes) != SUTRA_OK)
            break;
        if (sutra_state_file_read(bytes, &visible)) {
            *stop_out = visible;
            break;
        }
    }
    store->io->close(store->io->context, fd);
    return SUTRA_OK;
}

int sutra_store_recover(struct sutra_store *store, char *file_out, struct sutra_fault *fault_out)
{
    struct sutra_store_identity identity;
    const uint64_t begun = store->io->monotonic_ns(store->io->context);
    int status = sutra_identity_read(store->io, store->path, &identity, fault_out);
    if (status != SUTRA_OK) {
        memcpy(file_out, SUTRA_IDENTITY_NAME, sizeof SUTRA_IDENTITY_NAME);
        return status;
    }
    if (identity.read_only && !store->read_only) { /* it has what only a newer version may change */
        memcpy(file_out, SUTRA_IDENTITY_NAME, sizeof SUTRA_IDENTITY_NAME);
        return SUTRA_E_VERSION;
    }
    memcpy(store->manifest.store_id, identity.store_id, sizeof identity.store_id);
    uint64_t stop_lsn = UINT64_MAX;
    if (store->read_only)
        status = sutra_store_stop_lsn(store, &stop_lsn);
    struct sutra_directory directory;
    struct sutra_state *state = NULL;
    uint64_t least_lsn;
    if (status == SUTRA_OK)
        status = sutra_directory_read(store->io, store->path, &directory);
    if (status != SUTRA_OK)
        return status;
    status = load_newest(store, &directory, &state, &least_lsn, file_out, fault_out);
    struct sutra_log_end end = {0};
    if (status == SUTRA_OK) {
        end.next_lsn = store->manifest.checkpoint_lsn + 1;
        status = sutra_store_mark_sealed(store, state);
    }
    if (status == SUTRA_OK)
        status = sutra_store_replay(store, state, &end, stop_lsn, file_out, fault_out);
    if (is_damage(status) && store->salvage && state) {
        store->log_cut = true; /* what was before is in the state */
        end.next_lsn = end.next_lsn ? end.next_lsn : store->manifest.checkpoint_lsn + 1;
        status = SUTRA_OK;
    }
    if (status == SUTRA_OK && end.next_lsn <= least_lsn && stop_lsn == UINT64_MAX &&
        !store->salvage) {
        *fault_out = SUTRA_FAULT_NONE;
        fault_out->what = "log missing";
        fault_out->expected = least_lsn;
        fault_out->found = end.next_lsn - 1;
        sutra_log_name(end.file_number ? end.file_number : store->manifest.log_file, file_out);
        if (!file_out[0]) /* no log can have that number */
            sutra_manifest_name(store->manifest.generation, file_out);
        status = SUTRA_E_CORRUPT;
    }
    if (status == SUTRA_OK && !store->read_only && end.file_number)
        status = sync_log(store, end.file_number);
    if (status == SUTRA_OK) {
        const uint64_t last = sutra_directory_last_number(&directory);
        store->next_file = store->manifest.next_file > last ? store->manifest.next_file : last + 1;
        if (!store->read_only)
            find_previous(store, &directory);
        take_position(store, state, &end);
        store->log_bytes_before = store->counters.recovered_bytes;
        store->follow = end;
        state = NULL;
    }
    store->counters.recovery_ns = store->io->monotonic_ns(store->io->context) - begun;
    sutra_state_release(state);
    sutra_directory_free(&directory);
    return status;
}
