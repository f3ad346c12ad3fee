/* Adding vectors, and replacing them: check, reserve, write the planes, link, publish.
 *
 * Everything that can be refused is refused first; then memory for all planes is committed;
 * only then rows are written, above the count that readers see or where removed vectors were, and
 * the graph takes them in.
 * Readers go on with the front they have; the one that is published in the end shows all new rows
 * at once. A failure or a cancellation on the way leaves everything as it was.
 *
 * Rows that are being linked take places in the lists of older ones, which readers walk. So that
 * these are not cut off from one another, fronts are published on the way whose walks go through
 * new rows, but find none.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

/* Walks may go through new rows whenever so large a part of the graph has been linked since. */
#define SHOW_DIVISOR 8u

struct addition {
    struct sutra_index *index;
    const float *vectors;
    size_t stride, count;
    const int64_t *ids;
    bool replace;
    uint32_t *rows;  /* of the vectors; NULL: one after the other from the end on */
    size_t recycled; /* so many of them come first, and were those of removed vectors */
    uint64_t *dead;  /* which rows are dead afterwards; NULL: none has ever been */
    size_t dead_count;
    unsigned threads;
    sutra_progress_fn progress;
    void *progress_context;
    struct sutra_left left;
};

/* ---- checks */

static int check_new_ids(const struct addition *addition, struct sutra_fault *fault_out)
{
    struct sutra_index *index = addition->index;
    if (addition->ids)
        return sutra_index_check_ids(index, addition->ids, addition->count, addition->replace,
                                     fault_out);
    return index->next_id > INT64_MAX - (int64_t)addition->count ? SUTRA_E_CAPACITY : SUTRA_OK;
}

/* ---- rows */

static size_t row_of(const struct addition *addition, size_t j)
{
    return addition->rows ? addition->rows[j] : addition->index->now.count + j;
}

static size_t new_rows(const struct addition *addition)
{
    return addition->count - addition->recycled;
}

/* Rows of removed vectors first, in their order. */
static int choose_rows(struct addition *addition)
{
    const struct sutra_index *index = addition->index;
    const struct sutra_front *now = &index->now;
    addition->recycled = addition->count < now->vacant_count ? addition->count : now->vacant_count;
    if (now->count + new_rows(addition) > SUTRA_ROWS_MAX)
        return SUTRA_E_CAPACITY;
    if (!addition->recycled)
        return SUTRA_OK;
    addition->rows = malloc(addition->count * sizeof *addition->rows);
    if (!addition->rows)
        return SUTRA_E_NO_MEMORY;
    size_t row = 0;
    for (size_t j = 0; j < addition->recycled; j++) {
        row = sutra_index_next_vacant(index, row);
        addition->rows[j] = (uint32_t)row++;
    }
    for (size_t j = addition->recycled; j < addition->count; j++)
        addition->rows[j] = (uint32_t)(now->count + j - addition->recycled);
    return SUTRA_OK;
}

static bool set_bit(uint64_t *bits, size_t at, bool value)
{
    const uint64_t bit = (uint64_t)1 << at % 64;
    const bool before = bits[at / 64] & bit;
    bits[at / 64] = value ? bits[at / 64] | bit : bits[at / 64] & ~bit;
    return before;
}

/* The dead afterwards: not what comes to their rows, but what it replaces. */
static int plan_dead(struct addition *addition)
{
    const struct sutra_front *now = &addition->index->now;
    addition->dead_count = now->dead_count;
    if (!now->dead && !addition->replace)
        return SUTRA_OK;
    addition->dead = sutra_dead_copy(now, now->count + new_rows(addition));
    if (!addition->dead)
        return SUTRA_E_NO_MEMORY;
    for (size_t j = 0; j < addition->recycled; j++)
        addition->dead_count -= set_bit(addition->dead, addition->rows[j], false);
    for (size_t j = 0; addition->replace && addition->ids && j < addition->count; j++) {
        const size_t row = sutra_front_row_of(now, addition->ids[j]);
        if (row != SIZE_MAX)
            addition->dead_count += !set_bit(addition->dead, row, true);
    }
    return SUTRA_OK;
}

/* ---- planes */

static int revive_if_absent(struct sutra_planes *planes, unsigned plane, size_t row_bytes)
{
    return planes->plane[plane].base ? SUTRA_OK : sutra_planes_revive(planes, plane, row_bytes);
}

/* Ids stop being row numbers: write them out. */
static int leave_identity(struct sutra_front *now)
{
    const int status = revive_if_absent(&now->planes, SUTRA_PLANE_ID, sizeof(int64_t));
    if (status != SUTRA_OK)
        return status;
    int64_t *ids = sutra_planes_row(&now->planes, SUTRA_PLANE_ID, 0);
    for (size_t row = 0; row < now->count; row++)
        ids[row] = (int64_t)row;
    return SUTRA_OK;
}

static int64_t new_id(const struct addition *addition, size_t j)
{
    return addition->ids ? addition->ids[j] : addition->index->next_id + (int64_t)j;
}

static bool are_row_numbers(const struct addition *addition)
{
    const struct sutra_front *now = &addition->index->now;
    if (!now->identity_ids)
        return false;
    for (size_t j = 0; j < addition->count; j++) {
        if (new_id(addition, j) != (int64_t)row_of(addition, j))
            return false;
    }
    return true;
}

static int prepare_codes(struct sutra_front *now)
{
    const size_t row_bytes = now->quantizer.row_bytes;
    int status = revive_if_absent(&now->planes, SUTRA_PLANE_HIGH, row_bytes);
    if (status == SUTRA_OK && now->options.quantization == SUTRA_QUANT_U8)
        status = revive_if_absent(&now->planes, SUTRA_PLANE_LOW, row_bytes);
    if (status == SUTRA_OK)
        status = revive_if_absent(&now->planes, SUTRA_PLANE_CORRECTION,
                                  SUTRA_CORRECTION_FLOATS * sizeof(float));
    return status;
}

/* The data has outgrown the fit: a new mean, and every code anew. The graph stays: distances have
 * not changed. */
static void refit(struct sutra_index *index, unsigned threads)
{
    struct sutra_front *const now = &index->now, *const fresh = sutra_front_new();
    struct sutra_left left = {.plane_count = 0};
    struct sutra_renewal renewal;
    if (!fresh)
        return;
    int status = sutra_renewal_begin(&renewal, index, now->count, threads);
    if (status == SUTRA_OK) {
        status = sutra_renewal_encode(&renewal, now->count);
        if (status == SUTRA_OK)
            status = sutra_renewal_commit(&renewal, now->planes.capacity_rows);
        if (status == SUTRA_OK)
            sutra_renewal_adopt(&renewal, &left);
        sutra_renewal_end(&renewal);
    }
    if (status != SUTRA_OK) {
        free(fresh);
        return;
    }
    sutra_front_publish(index, fresh, &left);
    sutra_front_settle(index);
}

/* ---- linking */

static void settle(void *context)
{
    sutra_front_settle(context);
}

/* Between batches: the graph is whole, and everything new that lists name has been written. */
static int show_linked(void *context, size_t done, size_t total)
{
    const struct addition *addition = context;
    struct sutra_front *now = &addition->index->now;
    const size_t linked = now->count + now->unfinished;
    if (done < total && now->count + done > linked + linked / SHOW_DIVISOR) {
        struct sutra_front *fresh = sutra_front_new();
        if (fresh) {
            now->unfinished = done;
            sutra_front_publish(addition->index, fresh, NULL);
        }
    }
    return addition->progress ? addition->progress(addition->progress_context, done, total) : 0;
}

static int link_rows(struct addition *addition)
{
    struct sutra_front *now = &addition->index->now;
    struct sutra_space space;
    sutra_front_build_space(now, &space);
    if (!addition->rows)
        return sutra_graph_add(&now->graph, &space, addition->count, addition->threads, show_linked,
                               addition);
    now->graph.grace = settle;
    now->graph.grace_context = addition->index;
    return sutra_graph_link(&now->graph, &space, addition->rows, addition->count, addition->threads,
                            show_linked, addition);
}

/* Rows of removed vectors are in the graph again before they may be found: readers are to sift what
 * they find there from now on, and those who do not must have left. */
static int announce_recycled(const struct addition *addition)
{
    struct sutra_front *const fresh = sutra_front_new();
    if (!fresh)
        return SUTRA_E_NO_MEMORY;
    addition->index->now.vacant_count -= addition->recycled;
    sutra_front_publish(addition->index, fresh, NULL);
    sutra_front_settle(addition->index);
    return SUTRA_OK;
}

/* Into the graph that is there. */
static int link_more(struct addition *addition)
{
    struct sutra_front *now = &addition->index->now;
    const struct sutra_encoding encoding = {.front = now,
                                            .quantizer = &now->quantizer,
                                            .planes = now->planes.plane,
                                            .vectors = addition->vectors,
                                            .stride = addition->stride,
                                            .first_row = now->count,
                                            .rows = addition->rows};
    int status = SUTRA_OK;
    if (now->options.quantization != SUTRA_QUANT_NONE)
        status = sutra_encoding_run(&encoding, addition->count, addition->threads);
    if (status == SUTRA_OK && addition->recycled)
        status = announce_recycled(addition);
    if (status != SUTRA_OK)
        return status;
    status = link_rows(addition);
    if (status == SUTRA_OK || !addition->recycled)
        return status;
    /* They are vacant again, once nobody stands on them. */
    sutra_front_settle(addition->index);
    now->vacant_count += addition->recycled;
    return status;
}

/* From flat to linked: all rows, old and new, are encoded and linked. Originals hold them. */
static int link_all(struct addition *addition, size_t rows)
{
    struct sutra_front *now = &addition->index->now;
    int status = SUTRA_OK;
    if (now->options.quantization != SUTRA_QUANT_NONE) {
        const float *vectors = sutra_front_original(now, 0);
        const struct sutra_encoding encoding = {.front = now,
                                                .quantizer = &now->quantizer,
                                                .planes = now->planes.plane,
                                                .vectors = vectors,
                                                .stride = now->original_stride};
        status = prepare_codes(now);
        /* Readers of a flat index do not look at the quantizer. */
        if (status == SUTRA_OK)
            status = sutra_front_fit(now, &now->quantizer, vectors, now->original_stride, rows);
        if (status == SUTRA_OK)
            status = sutra_encoding_run(&encoding, rows, addition->threads);
    }
    if (status == SUTRA_OK) {
        struct sutra_space space;
        sutra_front_build_space(now, &space);
        status = sutra_graph_add(&now->graph, &space, rows, addition->threads, addition->progress,
                                 addition->progress_context);
    }
    if (status != SUTRA_OK) {
        for (unsigned p = SUTRA_PLANE_HIGH; p <= SUTRA_PLANE_CORRECTION; p++)
            sutra_planes_drop(&now->planes, p);
        return status;
    }
    now->linked = true;
    now->fitted_count = rows;
    if (!now->options.keep_originals)
        sutra_left_plane(&addition->left, &now->planes.plane[SUTRA_PLANE_ORIGINAL]);
    return SUTRA_OK;
}

/* ---- adding */

static void write_rows(const struct addition *addition)
{
    const struct sutra_front *now = &addition->index->now;
    const size_t dim = now->options.dim;
    for (size_t j = 0; j < addition->count && sutra_front_has_originals(now); j++) {
        float *row = sutra_planes_row(&now->planes, SUTRA_PLANE_ORIGINAL, row_of(addition, j));
        memcpy(row, addition->vectors + j * addition->stride, dim * sizeof *row);
        memset(row + dim, 0, (now->original_stride - dim) * sizeof *row);
    }
    if (!now->planes.plane[SUTRA_PLANE_ID].base)
        return;
    int64_t *to = sutra_planes_row(&now->planes, SUTRA_PLANE_ID, 0);
    for (size_t j = 0; j < addition->count; j++)
        __atomic_store_n(&to[row_of(addition, j)], new_id(addition, j), __ATOMIC_RELAXED);
}

static int reserve(const struct addition *addition, size_t rows, bool identity)
{
    struct sutra_front *now = &addition->index->now;
    int status = sutra_planes_ensure(&now->planes, rows);
    if (status == SUTRA_OK && addition->recycled)
        status = sutra_planes_make_writable(&now->planes);
    if (status == SUTRA_OK && now->identity_ids && !identity)
        status = leave_identity(now);
    if (status == SUTRA_OK)
        status = sutra_ids_reserve(addition->index, addition->count, false);
    return status;
}

/* The rows are no longer vacant, and known by their new ids. */
static void take_vacant(const struct addition *addition)
{
    struct sutra_index *index = addition->index;
    for (size_t j = 0; j < addition->recycled; j++)
        (void)set_bit(index->vacant, addition->rows[j], false);
    if (!index->now.identity_ids)
        sutra_ids_rename(index, addition->rows, addition->recycled);
}

/* The rows of a failed add will be written anew: nobody may be on his way through them, and the
 * front of readers is to be what it was. */
static void take_back(struct sutra_index *index, struct sutra_front *fresh)
{
    struct sutra_left left = {.plane_count = 0};
    index->now.unfinished = 0;
    if (index->now.identity_ids)
        sutra_left_plane(&left, &index->now.planes.plane[SUTRA_PLANE_ID]);
    sutra_front_publish(index, fresh, &left);
    sutra_front_settle(index);
}

static void raise_next_id(const struct addition *addition)
{
    struct sutra_index *index = addition->index;
    int64_t largest = index->next_id - 1 + (addition->ids ? 0 : (int64_t)addition->count);
    for (size_t j = 0; addition->ids && j < addition->count; j++)
        largest = addition->ids[j] > largest ? addition->ids[j] : largest;
    index->next_id = largest < INT64_MAX ? largest + 1 : INT64_MAX;
}

static int link_added(struct addition *addition, size_t rows)
{
    struct sutra_front *now = &addition->index->now;
    if (now->linked)
        return link_more(addition);
    const int status = rows < SUTRA_FLAT_ROWS ? SUTRA_OK : link_all(addition, rows);
    if (status == SUTRA_OK)
        now->vacant_count -= addition->recycled;
    return status;
}

static int add_rows(struct addition *addition, struct sutra_front *fresh)
{
    struct sutra_index *index = addition->index;
    struct sutra_front *now = &index->now;
    const size_t rows = now->count + new_rows(addition);
    const bool identity = are_row_numbers(addition);
    int status = reserve(addition, rows, identity);
    if (status == SUTRA_OK) {
        write_rows(addition);
        status = link_added(addition, rows);
    }
    if (status != SUTRA_OK) {
        take_back(index, fresh);
        return status;
    }
    now->identity_ids = identity;
    now->count = rows;
    now->unfinished = 0;
    now->dead_count = addition->dead_count;
    raise_next_id(addition);
    take_vacant(addition);
    if (addition->dead) {
        sutra_dead_publish(index, fresh, addition->dead, &addition->left);
        addition->dead = NULL;
    } else {
        sutra_front_publish(index, fresh, &addition->left);
    }
    if (addition->left.plane_count)
        sutra_front_settle(index);
    /* Last, because it cannot be undone; for want of memory it waits for the next add. */
    if (now->linked && now->options.quantization != SUTRA_QUANT_NONE &&
        rows >= SUTRA_REFIT_GROWTH * now->fitted_count)
        refit(index, addition->threads);
    return addition->replace ? sutra_index_after_removal(index, addition->threads) : SUTRA_OK;
}

static int prepare_and_add(struct addition *addition, struct sutra_fault *fault_out)
{
    int status = check_new_ids(addition, fault_out);
    if (status == SUTRA_OK)
        status = choose_rows(addition);
    if (status == SUTRA_OK)
        status = plan_dead(addition);
    struct sutra_front *const fresh = status == SUTRA_OK ? sutra_front_new() : NULL;
    if (status == SUTRA_OK)
        status = fresh ? add_rows(addition, fresh) : SUTRA_E_NO_MEMORY;
    free(addition->rows);
    free(addition->dead);
    return status;
}

static int add(struct addition *addition, int64_t *ids_out, struct sutra_fault *fault_out)
{
    struct sutra_index *index = addition->index;
    if (addition->count == 0)
        return SUTRA_OK;
    pthread_mutex_lock(&index->writer);
    const int64_t next_id = index->next_id;
    int status = index->closed ? SUTRA_E_CLOSED : SUTRA_OK;
    if (status == SUTRA_OK)
        status = sutra_front_check_vectors(&index->now, addition->vectors, addition->stride,
                                           addition->count, fault_out);
    if (status == SUTRA_OK)
        status = prepare_and_add(addition, fault_out);
    pthread_mutex_unlock(&index->writer);
    for (size_t j = 0; status == SUTRA_OK && ids_out && j < addition->count; j++)
        ids_out[j] = addition->ids ? addition->ids[j] : next_id + (int64_t)j;
    return status;
}

static int put(struct sutra_index *index, const float *vectors, size_t stride, size_t count,
               const int64_t *ids, int64_t *ids_out, unsigned threads, sutra_progress_fn progress,
               void *progress_context, bool replace, struct sutra_fault *fault_out)
{
    struct addition addition = {.index = index,
                                .vectors = vectors,
                                .stride = stride,
                                .count = count,
                                .ids = ids,
                                .replace = replace,
                                .threads = threads ? threads : 1,
                                .progress = progress,
                                .progress_context = progress_context};
    return add(&addition, ids_out, fault_out);
}

int sutra_index_add(struct sutra_index *index, const float *vectors, size_t stride, size_t count,
                    const int64_t *ids, int64_t *ids_out, unsigned threads,
                    sutra_progress_fn progress, void *progress_context,
                    struct sutra_fault *fault_out)
{
    return put(index, vectors, stride, count, ids, ids_out, threads, progress, progress_context,
               false, fault_out);
}

int sutra_index_upsert(struct sutra_index *index, const float *vectors, size_t stride, size_t count,
                       const int64_t *ids, int64_t *ids_out, unsigned threads,
                       sutra_progress_fn progress, void *progress_context,
                       struct sutra_fault *fault_out)
{
    return put(index, vectors, stride, count, ids, ids_out, threads, progress, progress_context,
               true, fault_out);
}
