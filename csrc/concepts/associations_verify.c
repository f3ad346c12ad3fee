/* Associations: checking every invariant; the contract is in associations.h.
 *
 * Reads everything, in an order in which nothing is used as an index before it has been checked.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>

#include "associations_parts.h"

static int wrong(struct sutra_fault *fault_out, const char *what, size_t row, uint64_t expected,
                 uint64_t found)
{
    *fault_out = SUTRA_FAULT_NONE;
    fault_out->what = what;
    fault_out->row = (int64_t)row;
    fault_out->expected = expected;
    fault_out->found = found;
    return SUTRA_E_CORRUPT;
}

/* 0, then never falling, then the number of edges. */
static int verify_offsets(const struct sutra_associations *associations, enum sutra_part_kind kind,
                          const char *what, struct sutra_fault *fault_out)
{
    const uint32_t *offsets = sutra_edge_rows(associations, kind);
    if (offsets[0] != 0)
        return wrong(fault_out, what, 0, 0, offsets[0]);
    for (size_t c = 0; c < associations->base_concepts; c++) {
        if (offsets[c + 1] < offsets[c])
            return wrong(fault_out, what, c + 1, offsets[c], offsets[c + 1]);
    }
    const size_t last = associations->base_concepts;
    if (offsets[last] != associations->base_edges)
        return wrong(fault_out, what, last, associations->base_edges, offsets[last]);
    return SUTRA_OK;
}

static bool numbers_fit(const struct sutra_associations *associations, size_t concepts,
                        uint32_t source, uint32_t target, uint16_t kind)
{
    return source < concepts && target < concepts && kind < associations->kind_count;
}

static int verify_edges(const struct sutra_associations *associations, size_t concepts,
                        struct sutra_fault *fault_out)
{
    const char *what = "associations";
    const uint32_t *offsets = sutra_edge_rows(associations, SUTRA_PART_OUT_OFFSET);
    const struct sutra_edge *edges = sutra_edge_rows(associations, SUTRA_PART_EDGE);
    for (size_t source = 0; source < associations->base_concepts; source++) {
        for (size_t row = offsets[source]; row < offsets[source + 1]; row++) {
            const struct sutra_edge *edge = &edges[row], *before = edge - 1;
            if (edge->source != source)
                return wrong(fault_out, what, row, source, edge->source);
            if (!numbers_fit(associations, concepts, edge->source, edge->target, edge->kind))
                return wrong(fault_out, what, row, concepts, edge->target);
            if (!isfinite(edge->weight) || !isfinite(edge->confidence))
                return wrong(fault_out, "numbers of associations", row, 0, 0);
            if (row > offsets[source] &&
                (edge->kind < before->kind ||
                 (edge->kind == before->kind && edge->target <= before->target)))
                return wrong(fault_out, "order of associations", row, before->target, edge->target);
        }
    }
    return SUTRA_OK;
}

static int verify_in_edges(const struct sutra_associations *associations,
                           struct sutra_fault *fault_out)
{
    const char *what = "association numbers by target";
    const uint32_t *offsets = sutra_edge_rows(associations, SUTRA_PART_IN_OFFSET);
    const uint32_t *numbers = sutra_edge_rows(associations, SUTRA_PART_IN_EDGE);
    const struct sutra_edge *edges = sutra_edge_rows(associations, SUTRA_PART_EDGE);
    for (size_t target = 0; target < associations->base_concepts; target++) {
        for (size_t at = offsets[target]; at < offsets[target + 1]; at++) {
            if (numbers[at] >= associations->base_edges)
                return wrong(fault_out, what, at, associations->base_edges, numbers[at]);
            if (edges[numbers[at]].target != target)
                return wrong(fault_out, what, at, target, edges[numbers[at]].target);
            if (at > offsets[target] && numbers[at] <= numbers[at - 1])
                return wrong(fault_out, what, at, numbers[at - 1], numbers[at]);
        }
    }
    return SUTRA_OK;
}

/* Every death belongs to one edge. */
static int verify_deaths(const struct sutra_associations *associations, size_t *live_out,
                         struct sutra_fault *fault_out)
{
    const char *what = "deaths of associations";
    const struct sutra_edge *edges = sutra_edge_rows(associations, SUTRA_PART_EDGE);
    const uint64_t *deaths = sutra_edge_rows(associations, SUTRA_PART_EDGE_DEATH);
    const size_t rows = associations->death_rows;
    uint64_t *named = calloc(rows / 64 + 1, sizeof *named);
    if (!named)
        return SUTRA_E_NO_MEMORY;
    int status = SUTRA_OK;
    size_t dead = 0;
    for (size_t row = 0; row < associations->base_edges && status == SUTRA_OK; row++) {
        const uint32_t death = edges[row].death;
        if (death == 0)
            continue;
        const size_t place = death - 1;
        dead++;
        if (place >= rows || deaths[place] == SUTRA_LSN_NEVER ||
            named[place / 64] >> place % 64 & 1)
            status = wrong(fault_out, what, row, rows, death);
        else
            named[place / 64] |= (uint64_t)1 << place % 64;
    }
    free(named);
    if (status == SUTRA_OK && dead != rows)
        status = wrong(fault_out, what, dead, rows, dead);
    *live_out += associations->base_edges - dead;
    return status;
}

static int verify_base(const struct sutra_associations *associations, size_t concepts,
                       size_t *live_out, struct sutra_fault *fault_out)
{
    if (associations->base_edges == 0)
        return SUTRA_OK;
    int status = verify_offsets(associations, SUTRA_PART_OUT_OFFSET,
                                "association offsets by source", fault_out);
    if (status == SUTRA_OK)
        status = verify_offsets(associations, SUTRA_PART_IN_OFFSET, "association offsets by target",
                                fault_out);
    if (status == SUTRA_OK)
        status = verify_edges(associations, concepts, fault_out);
    if (status == SUTRA_OK)
        status = verify_in_edges(associations, fault_out);
    if (status == SUTRA_OK)
        status = verify_deaths(associations, live_out, fault_out);
    return status;
}

/* Rows alone, and that each is chained to the newest before it at both of its ends. newest: zeroed,
 * as long as the heads. */
static int verify_delta_rows(const struct sutra_associations *associations, size_t concepts,
                             struct sutra_delta_head *newest, size_t *live_out,
                             struct sutra_fault *fault_out)
{
    const char *what = "newer associations";
    const struct sutra_delta_edge *rows = sutra_edge_rows(associations, SUTRA_PART_DELTA_EDGE);
    for (size_t row = 0; row < associations->delta_rows; row++) {
        const struct sutra_delta_edge *edge = &rows[row];
        if (!numbers_fit(associations, concepts, edge->source, edge->target, edge->kind) ||
            edge->source >= associations->head_rows || edge->target >= associations->head_rows)
            return wrong(fault_out, what, row, concepts, edge->target);
        if (!isfinite(edge->weight) || !isfinite(edge->confidence))
            return wrong(fault_out, "numbers of newer associations", row, 0, 0);
        if (edge->birth > edge->death || edge->birth == SUTRA_LSN_NEVER)
            return wrong(fault_out, "times of newer associations", row, edge->birth, edge->death);
        if (edge->next_out != newest[edge->source].out)
            return wrong(fault_out, "chains of newer associations", row, newest[edge->source].out,
                         edge->next_out);
        if (edge->next_in != newest[edge->target].in)
            return wrong(fault_out, "chains of newer associations", row, newest[edge->target].in,
                         edge->next_in);
        newest[edge->source].out = (uint32_t)(row + 1);
        newest[edge->target].in = (uint32_t)(row + 1);
        *live_out += edge->death == SUTRA_LSN_NEVER;
    }
    return SUTRA_OK;
}

static int verify_heads(const struct sutra_associations *associations,
                        const struct sutra_delta_head *newest, struct sutra_fault *fault_out)
{
    const char *what = "heads of newer associations";
    const struct sutra_delta_head *heads = sutra_edge_rows(associations, SUTRA_PART_DELTA_HEAD);
    for (size_t c = 0; c < associations->head_rows; c++) {
        if (heads[c].out != newest[c].out)
            return wrong(fault_out, what, c, newest[c].out, heads[c].out);
        if (heads[c].in != newest[c].in)
            return wrong(fault_out, what, c, newest[c].in, heads[c].in);
    }
    return SUTRA_OK;
}

/* Of the rows with one key only the newest may be alive, and then the base has no such edge alive;
 * earlier ones died when the next was born, or before. */
static int verify_keys(const struct sutra_associations *associations, struct sutra_fault *fault_out)
{
    const char *what = "versions of associations";
    const struct sutra_delta_edge *rows = sutra_edge_rows(associations, SUTRA_PART_DELTA_EDGE);
    const struct sutra_edge *edges = sutra_edge_rows(associations, SUTRA_PART_EDGE);
    struct sutra_delta_map map = {.seed = associations->map.seed};
    int status = sutra_delta_map_grow(&map, rows, 0, associations->delta_rows);
    for (size_t row = 0; row < associations->delta_rows && status == SUTRA_OK; row++) {
        const struct sutra_delta_edge *edge = &rows[row];
        const uint32_t hash = sutra_edge_hash(&map, edge->source, edge->target, edge->kind);
        uint64_t *word =
            sutra_delta_map_find(&map, rows, hash, edge->source, edge->target, edge->kind);
        uint64_t died = 0;
        if (*word) {
            died = rows[(uint32_t)*word - 1].death;
        } else {
            const struct sutra_edge_range range =
                sutra_edge_range_of(associations, SUTRA_PART_OUT_OFFSET, edge->source);
            const uint32_t at =
                sutra_base_lower_bound(associations, range, edge->kind, edge->target);
            if (at < range.end && edges[at].kind == edge->kind && edges[at].target == edge->target)
                died = sutra_base_death(associations, &edges[at]);
        }
        if (died > edge->birth)
            status = wrong(fault_out, what, row, edge->birth, died);
        *word = (uint64_t)hash << 32 | (uint32_t)(row + 1);
    }
    sutra_delta_map_deinit(&map);
    return status;
}

static int verify_kinds(const struct sutra_associations *associations,
                        struct sutra_fault *fault_out)
{
    for (size_t kind = 0; kind < associations->kind_count; kind++) {
        uint32_t bytes;
        const char *name = sutra_associations_kind_name(associations, (uint16_t)kind, &bytes);
        const uint16_t found = sutra_associations_kind(associations, name, bytes);
        if (found != kind)
            return wrong(fault_out, "kinds of associations", kind, kind, found);
    }
    return SUTRA_OK;
}

int sutra_associations_verify(const struct sutra_associations *associations, size_t concepts,
                              struct sutra_fault *fault_out)
{
    *fault_out = SUTRA_FAULT_NONE;
    size_t live = 0;
    struct sutra_delta_head *newest = calloc(associations->head_rows + 1, sizeof *newest);
    if (!newest)
        return SUTRA_E_NO_MEMORY;
    int status = verify_kinds(associations, fault_out);
    if (status == SUTRA_OK)
        status = verify_base(associations, concepts, &live, fault_out);
    if (status == SUTRA_OK)
        status = verify_delta_rows(associations, concepts, newest, &live, fault_out);
    if (status == SUTRA_OK)
        status = verify_heads(associations, newest, fault_out);
    if (status == SUTRA_OK)
        status = verify_keys(associations, fault_out);
    free(newest);
    if (status == SUTRA_OK && live != associations->live_count)
        status = wrong(fault_out, "number of associations", 0, live, associations->live_count);
    return status;
}
