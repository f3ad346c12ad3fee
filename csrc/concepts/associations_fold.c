/* Associations: folding the delta into a new CSR; the contract is in associations.h.
 *
 * The rows of the delta that are alive are sorted by (source, kind, target) with three counting
 * sorts, last key first, and merged source by source with the rows of the base, which are in that
 * order already. The other direction is a counting sort of the new rows' numbers by target. All of
 * it takes time linear in edges and concepts, and beside the new CSR eight bytes for each sorted
 * row and four for each concept.
 *
 * A damaged file may have its rows in any order and its offsets anywhere: then the result is wrong
 * too, but each row is taken at most once, by the concept it names, so nothing overflows.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "associations_parts.h"

/* Rows that lie about are asked for so many ahead. */
#define AHEAD 16u

#define KINDS 65536u

struct fold {
    const struct sutra_associations *from;
    struct sutra_associations *to;
    size_t limit;    /* concepts */
    uint32_t *order; /* rows of the delta that go in, sorted */
    uint32_t *other; /* as long: what is being sorted */
    uint32_t *counts;
    size_t rows;    /* in order */
    size_t next;    /* of them */
    uint32_t edges; /* written */
};

static bool delta_row_stays(const struct sutra_associations *from,
                            const struct sutra_delta_edge *row)
{
    return row->death == SUTRA_LSN_NEVER &&
           sutra_edge_sound(from, row->source, row->target, row->kind);
}

enum key { BY_TARGET, BY_KIND, BY_SOURCE };

SUTRA_INLINE uint32_t key_of(const struct sutra_delta_edge *row, enum key key)
{
    return key == BY_TARGET ? row->target : key == BY_KIND ? row->kind : row->source;
}

/* One stable counting sort of fold->order into fold->other, and the two change places. */
SUTRA_INLINE void sort_by(struct fold *fold, enum key key, size_t keys)
{
    const struct sutra_delta_edge *delta = sutra_edge_rows(fold->from, SUTRA_PART_DELTA_EDGE);
    uint32_t *counts = fold->counts;
    memset(counts, 0, keys * sizeof *counts);
    for (size_t j = 0; j < fold->rows; j++) {
        if (j + AHEAD < fold->rows)
            SUTRA_PREFETCH(&delta[fold->order[j + AHEAD]]);
        counts[key_of(&delta[fold->order[j]], key)]++;
    }
    uint32_t sum = 0;
    for (size_t k = 0; k < keys; k++) {
        const uint32_t count = counts[k];
        counts[k] = sum;
        sum += count;
    }
    for (size_t j = 0; j < fold->rows; j++) {
        if (j + AHEAD < fold->rows)
            SUTRA_PREFETCH(&delta[fold->order[j + AHEAD]]);
        const uint32_t row = fold->order[j];
        fold->other[counts[key_of(&delta[row], key)]++] = row;
    }
    uint32_t *sorted = fold->other;
    fold->other = fold->order;
    fold->order = sorted;
}

static int sort_delta(struct fold *fold)
{
    const struct sutra_delta_edge *delta = sutra_edge_rows(fold->from, SUTRA_PART_DELTA_EDGE);
    const size_t rows = fold->from->delta_rows;
    for (size_t row = 0; row < rows; row++)
        fold->rows += delta_row_stays(fold->from, &delta[row]);
    if (fold->rows == 0)
        return SUTRA_OK;
    fold->order = malloc(fold->rows * sizeof *fold->order);
    fold->other = malloc(fold->rows * sizeof *fold->other);
    fold->counts = malloc((fold->limit < KINDS ? KINDS : fold->limit) * sizeof *fold->counts);
    if (!fold->order || !fold->other || !fold->counts)
        return SUTRA_E_NO_MEMORY;
    size_t at = 0;
    for (size_t row = 0; row < rows; row++) {
        if (delta_row_stays(fold->from, &delta[row]))
            fold->order[at++] = (uint32_t)row;
    }
    sort_by(fold, BY_TARGET, fold->limit);
    if (fold->from->kind_count > 1)
        sort_by(fold, BY_KIND, KINDS);
    sort_by(fold, BY_SOURCE, fold->limit);
    return SUTRA_OK;
}

/* A plane that will not grow. */
static int make_plane(struct sutra_associations *associations, enum sutra_part_kind kind,
                      size_t row_bytes, size_t rows)
{
    struct sutra_plane *plane = sutra_edge_plane(associations, kind);
    const int status = sutra_edge_plane_make(plane, row_bytes, rows);
    return status == SUTRA_OK ? sutra_arena_commit(&plane->arena, rows * row_bytes) : status;
}

static void put(struct fold *fold, const struct sutra_edge *edge)
{
    struct sutra_edge *edges = sutra_edge_rows(fold->to, SUTRA_PART_EDGE);
    uint32_t *counts = sutra_edge_rows(fold->to, SUTRA_PART_IN_OFFSET);
    edges[fold->edges++] = *edge;
    counts[edge->target + 2]++;
}

static void put_base(struct fold *fold, const struct sutra_edge *edge)
{
    const struct sutra_edge copy = {.source = edge->source,
                                    .target = edge->target,
                                    .kind = edge->kind,
                                    .weight = edge->weight,
                                    .confidence = edge->confidence,
                                    .created_ns = edge->created_ns};
    put(fold, &copy);
}

/* The next of the sorted rows. */
static void put_delta(struct fold *fold, const struct sutra_delta_edge *delta)
{
    if (fold->next + AHEAD < fold->rows)
        SUTRA_PREFETCH(&delta[fold->order[fold->next + AHEAD]]);
    const struct sutra_delta_edge *edge = &delta[fold->order[fold->next++]];
    const struct sutra_edge copy = {.source = edge->source,
                                    .target = edge->target,
                                    .kind = edge->kind,
                                    .weight = edge->weight,
                                    .confidence = edge->confidence,
                                    .created_ns = edge->created_ns};
    put(fold, &copy);
}

/* Write the rows and the offsets by source, and count by target: in_offset[t + 2] is how many
 * come to t. */
static void merge(struct fold *fold)
{
    const struct sutra_associations *from = fold->from;
    const struct sutra_edge *base = sutra_edge_rows(from, SUTRA_PART_EDGE);
    const struct sutra_delta_edge *delta = sutra_edge_rows(from, SUTRA_PART_DELTA_EDGE);
    uint32_t *offsets = sutra_edge_rows(fold->to, SUTRA_PART_OUT_OFFSET);
    for (size_t source = 0; source < fold->limit; source++) {
        offsets[source] = fold->edges;
        const struct sutra_edge_range range =
            sutra_edge_range_of(from, SUTRA_PART_OUT_OFFSET, (uint32_t)source);
        for (uint32_t row = range.begin; row < range.end; row++) {
            const struct sutra_edge *edge = &base[row];
            if (edge->death != 0 || edge->source != source ||
                !sutra_edge_sound(from, edge->source, edge->target, edge->kind))
                continue;
            while (fold->next < fold->rows) {
                const struct sutra_delta_edge *added = &delta[fold->order[fold->next]];
                if (added->source != source || added->kind > edge->kind ||
                    (added->kind == edge->kind && added->target > edge->target))
                    break;
                put_delta(fold, delta);
            }
            put_base(fold, edge);
        }
        while (fold->next < fold->rows && delta[fold->order[fold->next]].source == source)
            put_delta(fold, delta);
    }
    offsets[fold->limit] = fold->edges;
}

/* The numbers of the edges by target. */
static void turn_around(struct fold *fold)
{
    const struct sutra_edge *edges = sutra_edge_rows(fold->to, SUTRA_PART_EDGE);
    uint32_t *offsets = sutra_edge_rows(fold->to, SUTRA_PART_IN_OFFSET);
    uint32_t *numbers = sutra_edge_rows(fold->to, SUTRA_PART_IN_EDGE);
    /* offsets[t + 1] becomes the start of t, then, once its edges are placed, its end. */
    for (size_t t = 2; t < fold->limit + 2; t++)
        offsets[t] += offsets[t - 1];
    for (uint32_t e = 0; e < fold->edges; e++) {
        if (e + AHEAD < fold->edges)
            SUTRA_PREFETCH(&offsets[edges[e + AHEAD].target + 1]);
        numbers[offsets[edges[e].target + 1]++] = e;
    }
}

/* Concepts from here on have no edge at either end. */
static size_t concepts_with_edges(const struct fold *fold)
{
    const uint32_t *out = sutra_edge_rows(fold->to, SUTRA_PART_OUT_OFFSET);
    const uint32_t *in = sutra_edge_rows(fold->to, SUTRA_PART_IN_OFFSET);
    size_t concepts = fold->limit;
    while (concepts > 0 && out[concepts - 1] == fold->edges && in[concepts - 1] == fold->edges)
        concepts--;
    return concepts;
}

static int build(struct fold *fold)
{
    struct sutra_associations *to = fold->to;
    const size_t most = fold->from->base_edges + fold->rows; /* pages not used are not there */
    if (most > SUTRA_ROWS_MAX)
        return SUTRA_E_CAPACITY;
    int status = make_plane(to, SUTRA_PART_OUT_OFFSET, sizeof(uint32_t), fold->limit + 1);
    if (status == SUTRA_OK)
        status = make_plane(to, SUTRA_PART_EDGE, sizeof(struct sutra_edge), most);
    if (status == SUTRA_OK)
        status = make_plane(to, SUTRA_PART_IN_OFFSET, sizeof(uint32_t), fold->limit + 2);
    if (status != SUTRA_OK)
        return status;
    merge(fold);
    if (fold->edges > 0) {
        status = make_plane(to, SUTRA_PART_IN_EDGE, sizeof(uint32_t), fold->edges);
        if (status != SUTRA_OK)
            return status;
        turn_around(fold);
        to->base_concepts = concepts_with_edges(fold);
        to->base_edges = fold->edges;
        to->live_count = fold->edges;
        return SUTRA_OK;
    }
    sutra_plane_release(sutra_edge_plane(to, SUTRA_PART_OUT_OFFSET));
    sutra_plane_release(sutra_edge_plane(to, SUTRA_PART_EDGE));
    sutra_plane_release(sutra_edge_plane(to, SUTRA_PART_IN_OFFSET));
    return SUTRA_OK;
}

int sutra_associations_fold(const struct sutra_associations *associations,
                            struct sutra_associations **folded_out)
{
    struct fold fold = {.from = associations, .limit = associations->concept_limit};
    int status = sutra_associations_new(&fold.to);
    if (status != SUTRA_OK)
        return status;
    fold.to->version = associations->version + 1;
    fold.to->concept_limit = associations->concept_limit;
    status = sutra_kinds_copy(fold.to, associations);
    if (status == SUTRA_OK)
        status = sort_delta(&fold);
    if (status == SUTRA_OK && associations->base_edges + fold.rows > 0)
        status = build(&fold);
    free(fold.order);
    free(fold.other);
    free(fold.counts);
    if (status != SUTRA_OK) {
        sutra_associations_release(fold.to);
        return status;
    }
    *folded_out = fold.to;
    return SUTRA_OK;
}
