/* Writing a batch: check, reserve, log, apply, wait for the disk.
 *
 * Everything that can be refused is refused before the log is touched. Once the record is in the
 * log nothing can fail but the disk. A batch of more than RECORD_BYTES goes into several records,
 * which recovery takes together or not at all.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include <errno.h>
#include <string.h>

#define RECORD_BYTES ((size_t)16 << 20)
/* Less than this a disk writes in the time that the call takes to tell it. */
#define EARLY_BYTES_MIN ((uint64_t)64 << 10)

/* ---- log files */

int sutra_store_open_log(struct sutra_store *store)
{
    if (store->log_open)
        return SUTRA_OK;
    /* A number is used once: a file whose making has failed may still be there. */
    const uint64_t number = store->next_file++;
    const struct sutra_log_end *before = store->log_end.file_number ? &store->log_end : NULL;
    int status = sutra_log_create(&store->log, store->io, store->path, store->manifest.store_id,
                                  number, store->next_lsn, before);
    if (status != SUTRA_OK)
        return status;
    status = store->io->sync_directory(store->io->context, store->path);
    if (status != SUTRA_OK) {
        sutra_log_close(&store->log);
        sutra_store_fail(store, status);
        return SUTRA_E_DURABILITY;
    }
    store->log_open = true;
    return SUTRA_OK;
}

int sutra_store_close_log(struct sutra_store *store)
{
    if (!store->log_open)
        return SUTRA_OK;
    const int status = sutra_store_sync(store);
    if (status != SUTRA_OK)
        return status;
    sutra_store_await_sync(store);
    sutra_log_end_of(&store->log, &store->log_end);
    store->log_bytes_before += store->log_end.bytes;
    sutra_log_close(&store->log);
    store->log_open = false;
    return SUTRA_OK;
}

/* ---- batches */

static int append_record(struct sutra_store *store, uint32_t flags)
{
    const struct sutra_span *spans;
    size_t count;
    sutra_encoder_finish(&store->encoder, &spans, &count);
    return sutra_log_append(&store->log, flags, spans, count, sutra_store_durable_lsn(store));
}

/* How many items from `from` on make a record. */
static size_t record_end(const struct sutra_op *op, size_t from)
{
    const size_t count = sutra_op_count(op);
    size_t bytes = 0, to = from;
    while (to < count) {
        bytes += sutra_op_item_bytes(op, to);
        if (bytes > RECORD_BYTES && to > from)
            break;
        to++;
    }
    return to;
}

/* One operation too long for a record: cut it up. */
static int log_long(struct sutra_store *store, const struct sutra_op *op, bool last)
{
    const size_t count = sutra_op_count(op);
    for (size_t from = 0; from < count;) {
        const size_t to = record_end(op, from);
        sutra_encoder_reset(&store->encoder);
        int status = sutra_encode_op(&store->encoder, op, from, to);
        if (status == SUTRA_OK)
            status = append_record(store, last && to == count ? 0 : SUTRA_LOG_MORE);
        if (status != SUTRA_OK)
            return status;
        from = to;
    }
    return SUTRA_OK;
}

static size_t op_bytes(const struct sutra_op *op)
{
    size_t bytes = 256;
    const size_t count = sutra_op_count(op);
    for (size_t j = 0; j < count; j++)
        bytes += sutra_op_item_bytes(op, j);
    return bytes;
}

static int log_batch(struct sutra_store *store, const struct sutra_op *ops, size_t count)
{
    sutra_encoder_reset(&store->encoder);
    size_t held = 0;
    for (size_t j = 0; j < count; j++) {
        const bool last = j + 1 == count;
        const size_t bytes = op_bytes(&ops[j]);
        int status = SUTRA_OK;
        if (held && held + bytes > RECORD_BYTES) {
            status = append_record(store, SUTRA_LOG_MORE);
            sutra_encoder_reset(&store->encoder);
            held = 0;
        }
        if (status == SUTRA_OK && bytes > RECORD_BYTES) {
            status = log_long(store, &ops[j], last);
            sutra_encoder_reset(&store->encoder);
        } else if (status == SUTRA_OK) {
            status = sutra_encode_op(&store->encoder, &ops[j], 0, sutra_op_count(&ops[j]));
            held += bytes;
            if (status == SUTRA_OK && last)
                status = append_record(store, 0);
        }
        if (status != SUTRA_OK)
            return status;
    }
    return SUTRA_OK;
}

/* Take back what a batch left in the log before it failed. */
static void take_back(struct sutra_store *store)
{
    if (!sutra_log_failed(&store->log)) {
        struct sutra_log_end end;
        sutra_log_end_of(&store->log, &end);
        if (end.bytes != store->log.end)
            (void)sutra_log_cut(&store->log);
    }
    if (sutra_log_failed(&store->log))
        sutra_store_fail(store, EIO);
}

static int check_room(struct sutra_store *store, const struct sutra_op *ops, size_t count)
{
    if (!store->options.max_bytes)
        return SUTRA_OK;
    uint64_t bytes = sutra_store_log_bytes(store) + store->counters.segment_bytes;
    for (size_t j = 0; j < count; j++)
        bytes += op_bytes(&ops[j]);
    return bytes > store->options.max_bytes ? SUTRA_E_CAPACITY : SUTRA_OK;
}

/* Is there nothing but deletes by predicates that no concept matches? */
static bool nobody_is_meant(const struct sutra_op *ops, size_t count)
{
    for (size_t j = 0; j < count; j++) {
        if (ops[j].kind != SUTRA_OP_DELETE || !ops[j].ids.where || ops[j].ids.ids.count)
            return false;
    }
    return true;
}

/* *lsn_out stays as it is if nobody is meant. */
static int write_chosen(struct sutra_store *store, struct sutra_state *state, struct sutra_op *ops,
                        size_t count, uint64_t *lsn_out, struct sutra_fault *fault)
{
    int status = sutra_validate(store, state, ops, count, fault);
    if (status == SUTRA_OK && store->io)
        status = check_room(store, ops, count);
    if (status == SUTRA_OK)
        status = sutra_reserve_ops(store, state, ops, count);
    if (status != SUTRA_OK || nobody_is_meant(ops, count))
        return status;
    uint64_t lsn = store->next_lsn;
    if (store->io) {
        status = sutra_store_open_log(store);
        if (status != SUTRA_OK)
            return status;
        const uint64_t from = store->log.end;
        status = log_batch(store, ops, count);
        if (status != SUTRA_OK) {
            take_back(store);
            return status;
        }
        /* The disk works while the batch is applied. */
        if (store->options.sync == SUTRA_SYNC_FULL && store->log.end - from >= EARLY_BYTES_MIN)
            sutra_log_start_writing(&store->log, from);
        lsn = store->log.next_lsn - 1;
    }
    /* All of a batch is born at the LSN of its last record. */
    for (size_t j = 0; j < count; j++)
        ops[j].done = sutra_apply_op(store, state, &ops[j], lsn);
    sutra_concepts_publish(&state->concepts);
    store->next_lsn = lsn + 1;
    store->marker_due = true;
    sutra_store_applied(store, lsn);
    *lsn_out = lsn;
    return SUTRA_OK;
}

static int write_locked(struct sutra_store *store, struct sutra_op *ops, size_t count,
                        uint64_t *lsn_out, struct sutra_fault *fault)
{
    struct sutra_state *state = sutra_store_state(store);
    int status = sutra_choose_ids(store, state, ops, count);
    if (status == SUTRA_OK)
        status = write_chosen(store, state, ops, count, lsn_out, fault);
    sutra_forget_ids(ops, count);
    return status;
}

/* Rows wait to be linked: writers wait with them once there are too many. */
static void wait_for_linking(struct sutra_store *store)
{
    if (!store->thread_started)
        return;
    pthread_mutex_lock(&store->commit);
    while (sutra_store_pending(store) >= store->options.flush_threshold &&
           !__atomic_load_n(&store->stop, __ATOMIC_ACQUIRE) && !store->failed &&
           store->link_status == SUTRA_OK)
        pthread_cond_wait(&store->changed, &store->commit);
    pthread_mutex_unlock(&store->commit);
}

static bool brings_vectors(const struct sutra_op *ops, size_t count)
{
    for (size_t j = 0; j < count; j++) {
        if (ops[j].kind == SUTRA_OP_PUT && ops[j].put.dim)
            return true;
    }
    return false;
}

static int check_writable(const struct sutra_store *store)
{
    if (store->closing)
        return SUTRA_E_CLOSED;
    if (store->read_only)
        return SUTRA_E_READ_ONLY;
    return __atomic_load_n(&store->failed, __ATOMIC_ACQUIRE) ? SUTRA_E_DURABILITY : SUTRA_OK;
}

int sutra_store_write(struct sutra_store *store, struct sutra_op *ops, size_t count, bool wait,
                      uint64_t *lsn_out, struct sutra_fault *fault_out)
{
    if (brings_vectors(ops, count))
        wait_for_linking(store);
    pthread_mutex_lock(&store->writer);
    int status = check_writable(store);
    *lsn_out = store->next_lsn - 1;
    if (status == SUTRA_OK && count)
        status = write_locked(store, ops, count, lsn_out, fault_out);
    pthread_mutex_unlock(&store->writer);
    if (status == SUTRA_OK && wait && store->options.sync == SUTRA_SYNC_FULL && count)
        status = sutra_store_wait(store, *lsn_out);
    return status;
}

int sutra_store_reserve_numbers(struct sutra_store *store, size_t count, int64_t *first_out)
{
    pthread_mutex_lock(&store->writer);
    int status = check_writable(store);
    if (status == SUTRA_OK) {
        struct sutra_concepts *concepts = &sutra_store_state(store)->concepts;
        if (count > INT64_MAX || concepts->next_number > INT64_MAX - (int64_t)count) {
            status = SUTRA_E_CAPACITY;
        } else {
            *first_out = concepts->next_number;
            concepts->next_number += (int64_t)count;
        }
    }
    pthread_mutex_unlock(&store->writer);
    return status;
}

int sutra_store_write_marker(struct sutra_store *store)
{
    pthread_mutex_lock(&store->writer);
    int status = SUTRA_OK;
    if (store->marker_due && store->log_open && !sutra_log_failed(&store->log)) {
        status = sutra_log_append(&store->log, 0, NULL, 0, sutra_store_durable_lsn(store));
        if (status == SUTRA_OK) {
            store->next_lsn = store->log.next_lsn;
            sutra_store_applied(store, store->next_lsn - 1);
        }
        store->marker_due = false;
    }
    pthread_mutex_unlock(&store->writer);
    return status;
}
