/* Exact search: scan every row, in blocks that stay in cache while a group of queries passes.
 * With originals the result is exact; without them it is exact for the codes.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <math.h>
#include <stdlib.h>

#include "../base/bytes.h"

/* Half of a small L2 (512 KiB on a Raspberry Pi 5) for the rows of a block. */
#define BLOCK_BYTES ((size_t)192 << 10)
#define BLOCK_ROWS_MAX 1024u
#define KEYS_BLOCK 256u

static void originals_block(const struct sutra_front *front, const struct sutra_work_query *query,
                            size_t first, size_t count, float *distances_out)
{
    const float *rows = sutra_front_original(front, first);
    const size_t stride = front->original_stride, dim = front->options.dim;
    switch (front->options.metric) {
    case SUTRA_METRIC_COSINE:
        front->kernels->cosine_f32_many(query->vector, query->inverse_norm, rows, stride, count,
                                        dim, distances_out);
        return;
    case SUTRA_METRIC_L2:
        front->kernels->l2sq_f32_many(query->vector, rows, stride, count, dim, distances_out);
        return;
    default:
        front->kernels->dot_f32_many(query->vector, rows, stride, count, dim, distances_out);
        for (size_t j = 0; j < count; j++)
            distances_out[j] = -distances_out[j];
    }
}

/* Of the rows given, which rise: one kernel call for each run of them. Between them lie rows of
 * removed vectors, which somebody may be writing to. */
static void originals_runs(const struct sutra_front *front, const struct sutra_work_query *query,
                           const uint32_t *rows, size_t count, float *distances_out)
{
    for (size_t first = 0; first < count;) {
        size_t end = first + 1;
        while (end < count && rows[end] == rows[end - 1] + 1)
            end++;
        originals_block(front, query, rows[first], end - first, distances_out + first);
        first = end;
    }
}

/* Rows [first, first + count) without the removed ones; returns how many. */
static size_t list_rows(const struct sutra_front *front, size_t first, size_t count,
                        uint32_t *rows_out)
{
    size_t kept = 0;
    for (size_t row = first; row < first + count; row++) {
        rows_out[kept] = (uint32_t)row;
        kept += !sutra_front_is_dead(front, row);
    }
    return kept;
}

size_t sutra_front_keep_best(const struct sutra_front *front, uint64_t *best, size_t kept, size_t k,
                             const uint32_t *rows, const float *distances, size_t count,
                             const uint64_t *view, uint32_t *positions)
{
    const float limit = kept == k ? sutra_pool_key(best[k - 1]) : INFINITY;
    size_t found = front->kernels->below_f32(distances, count, limit, positions);
    if (kept < k) { /* infinite and NaN distances count while there is room */
        for (size_t j = 0; j < count; j++)
            positions[j] = (uint32_t)j;
        found = count;
    }
    for (size_t j = 0; j < found; j++) {
        const uint32_t row = rows[positions[j]];
        const uint64_t item = sutra_pool_item(distances[positions[j]], row);
        const bool full = kept == k;
        if (full && item >= best[k - 1])
            continue;
        if (!sutra_front_shows(front, row, view))
            continue;
        kept -= full;
        front->kernels->pool_insert(best, kept, item);
        kept++;
    }
    return kept;
}

void sutra_front_scan_rows(const struct sutra_front *front, struct sutra_work_query *queries,
                           size_t count, size_t first, size_t end, size_t k, const uint64_t *view)
{
    float distances[BLOCK_ROWS_MAX];
    uint32_t rows[BLOCK_ROWS_MAX], positions[BLOCK_ROWS_MAX + 8];
    const bool originals = sutra_front_has_originals(front);
    const size_t row_bytes =
        originals ? front->original_stride * sizeof(float) : 2 * (size_t)front->quantizer.row_bytes;
    size_t block_rows = BLOCK_BYTES / row_bytes;
    block_rows = block_rows < 16 ? 16 : block_rows > BLOCK_ROWS_MAX ? BLOCK_ROWS_MAX : block_rows;
    for (; first < end; first += block_rows) {
        const size_t block =
            list_rows(front, first, end - first < block_rows ? end - first : block_rows, rows);
        for (size_t q = 0; q < count; q++) {
            if (originals)
                originals_runs(front, &queries[q], rows, block, distances);
            else
                sutra_front_distances(front, &queries[q], rows, block, distances);
            queries[q].best_count =
                sutra_front_keep_best(front, queries[q].best, queries[q].best_count, k, rows,
                                      distances, block, view, positions);
        }
    }
}

size_t sutra_front_scan_keys(const struct sutra_front *front, const struct sutra_space *space,
                             const struct sutra_walk_query *query, size_t first, size_t end,
                             uint64_t view, size_t wanted, uint64_t *pool_out)
{
    size_t kept = 0;
    float keys[KEYS_BLOCK];
    uint32_t rows[KEYS_BLOCK], positions[KEYS_BLOCK + 8];
    for (; first < end; first += KEYS_BLOCK) {
        const size_t block = end - first < KEYS_BLOCK ? end - first : KEYS_BLOCK;
        for (size_t j = 0; j < block; j++)
            rows[j] = (uint32_t)(first + j);
        space->keys(space, query, rows, block, keys);
        kept = sutra_front_keep_best(front, pool_out, kept, wanted, rows, keys, block, &view,
                                     positions);
    }
    return kept;
}

void *sutra_front_group_block(const struct sutra_front *front, struct sutra_work_query *queries,
                              size_t count, size_t k, bool coded)
{
    const size_t entries = coded ? 2 * sutra_quantizer_row_bytes(front->options.dim) : 0;
    const size_t best_bytes = sutra_round_up((k + 8) * sizeof(uint64_t), SUTRA_CACHE_LINE);
    const size_t each = best_bytes + entries * (sizeof(float) + 1);
    uint8_t *block = malloc(count * each + 1);
    for (size_t q = 0; block && q < count; q++) {
        uint8_t *own = block + q * each;
        queries[q].best = (uint64_t *)(void *)own;
        queries[q].code.fine = (float *)(void *)(own + best_bytes);
        queries[q].code.walk.entries = (int8_t *)(own + best_bytes + entries * sizeof(float));
    }
    return block;
}

int sutra_front_scan(const struct sutra_front *front, struct sutra_query_scratch *scratch,
                     const float *queries, size_t stride, size_t count, size_t k, int64_t *ids_out,
                     float *distances_out)
{
    const bool coded = !sutra_front_has_originals(front);
    const size_t room = k < front->count ? k : front->count;
    const size_t group = count < SUTRA_SCAN_GROUP ? count : SUTRA_SCAN_GROUP;
    struct sutra_work_query work[SUTRA_SCAN_GROUP];
    void *block = NULL;
    work[0].best = scratch->best;
    if (group > 1 || coded) {
        block = sutra_front_group_block(front, work, group, room, coded);
        if (!block)
            return SUTRA_E_NO_MEMORY;
    }
    for (size_t first = 0; first < count; first += group) {
        const size_t now = count - first < group ? count - first : group;
        for (size_t q = 0; q < now; q++)
            sutra_front_set_query(front, &work[q], queries + (first + q) * stride, coded);
        if (room)
            sutra_front_scan_rows(front, work, now, 0, front->count, room, NULL);
        for (size_t q = 0; q < now; q++)
            sutra_front_write_hits(front, work[q].best, work[q].best_count, k,
                                   ids_out + (first + q) * k, distances_out + (first + q) * k);
    }
    free(block);
    return SUTRA_OK;
}
