/* Associations: walking the edges of a concept; the contract is in associations.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "associations_parts.h"

/* Edges that lie about are asked for so many ahead. */
#define AHEAD 8u

uint32_t sutra_base_lower_bound(const struct sutra_associations *associations,
                                struct sutra_edge_range range, uint32_t kind, uint32_t target)
{
    const struct sutra_edge *edges = sutra_edge_rows(associations, SUTRA_PART_EDGE);
    while (range.begin < range.end)
        sutra_base_search_step(edges, &range, kind, target);
    return range.begin;
}

/* Start with the edges of a stage. */
static void enter(struct sutra_link_cursor *cursor, int stage)
{
    const struct sutra_associations *associations = cursor->associations;
    cursor->stage = stage;
    struct sutra_edge_range range = {0, 0};
    switch (stage) {
    case SUTRA_OUT_DELTA:
    case SUTRA_IN_DELTA:
        range.begin = sutra_delta_first(associations, cursor->concept, stage == SUTRA_OUT_DELTA);
        break;
    case SUTRA_OUT_BASE:
        range = sutra_edge_range_of(associations, SUTRA_PART_OUT_OFFSET, cursor->concept);
        if (cursor->kind != SUTRA_NO_KIND && range.begin < range.end) {
            range.begin = sutra_base_lower_bound(associations, range, cursor->kind, 0);
            range.end = sutra_base_lower_bound(associations, range, cursor->kind + 1u, 0);
        }
        break;
    case SUTRA_IN_BASE:
        range = sutra_edge_range_of(associations, SUTRA_PART_IN_OFFSET, cursor->concept);
        break;
    default:
        break;
    }
    cursor->at = range.begin;
    cursor->end = range.end;
}

void sutra_links_begin(struct sutra_link_cursor *cursor,
                       const struct sutra_associations *associations, uint32_t concept,
                       int direction, uint16_t kind, uint64_t view)
{
    *cursor = (struct sutra_link_cursor){.associations = associations,
                                         .view = view,
                                         .concept = concept,
                                         .kind = kind,
                                         .direction = direction,
                                         .budget = SIZE_MAX};
    enter(cursor, direction & SUTRA_OUT  ? SUTRA_OUT_DELTA
                  : direction & SUTRA_IN ? SUTRA_IN_DELTA
                                         : SUTRA_LINKS_END);
}

/* Is an edge of the right concept and kind, and not one that was given already? */
SUTRA_INLINE bool fits(const struct sutra_link_cursor *cursor, bool outgoing, uint32_t source,
                       uint32_t target, uint16_t kind)
{
    if ((outgoing ? source : target) != cursor->concept)
        return false;
    if (cursor->kind != SUTRA_NO_KIND && cursor->kind != kind)
        return false;
    if (!outgoing && cursor->direction == SUTRA_BOTH && source == target)
        return false;
    return sutra_edge_sound(cursor->associations, source, target, kind);
}

SUTRA_INLINE bool step_in_delta(struct sutra_link_cursor *cursor, bool outgoing, uint32_t *row_out)
{
    const struct sutra_delta_edge *rows =
        sutra_edge_rows(cursor->associations, SUTRA_PART_DELTA_EDGE);
    while (cursor->at != 0 && cursor->budget != 0) {
        cursor->budget--;
        const uint32_t row = cursor->at - 1;
        const struct sutra_delta_edge *edge = &rows[row];
        cursor->at = sutra_delta_next(edge, outgoing, cursor->at);
        if (cursor->at != 0)
            SUTRA_PREFETCH(&rows[cursor->at - 1]);
        if (edge->birth <= cursor->view && cursor->view < sutra_delta_death(edge) &&
            fits(cursor, outgoing, edge->source, edge->target, edge->kind)) {
            *row_out = row;
            return true;
        }
    }
    return false;
}

SUTRA_INLINE bool step_in_base(struct sutra_link_cursor *cursor, bool outgoing, uint32_t *row_out)
{
    const struct sutra_associations *associations = cursor->associations;
    const struct sutra_edge *edges = sutra_edge_rows(associations, SUTRA_PART_EDGE);
    const uint32_t *numbers = sutra_edge_rows(associations, SUTRA_PART_IN_EDGE);
    while (cursor->at < cursor->end && cursor->budget != 0) {
        cursor->budget--;
        uint32_t row = cursor->at++;
        if (!outgoing) {
            if (cursor->end - cursor->at > AHEAD) {
                const uint32_t later = numbers[cursor->at + AHEAD];
                if (later < associations->base_edges)
                    SUTRA_PREFETCH(&edges[later]);
            }
            row = numbers[row];
            if (row >= associations->base_edges)
                continue;
        }
        const struct sutra_edge *edge = &edges[row];
        if (cursor->view < sutra_base_death(associations, edge) &&
            fits(cursor, outgoing, edge->source, edge->target, edge->kind)) {
            *row_out = row;
            return true;
        }
    }
    return false;
}

/* After a stage without a further edge: is it over, or only the budget? */
SUTRA_INLINE bool stage_is_over(const struct sutra_link_cursor *cursor)
{
    return cursor->stage == SUTRA_OUT_DELTA || cursor->stage == SUTRA_IN_DELTA
               ? cursor->at == 0
               : cursor->at >= cursor->end;
}

SUTRA_INLINE bool step(struct sutra_link_cursor *cursor, uint32_t *row_out)
{
    for (;;) {
        bool found = false;
        switch (cursor->stage) {
        case SUTRA_OUT_DELTA:
            found = step_in_delta(cursor, true, row_out);
            break;
        case SUTRA_OUT_BASE:
            found = step_in_base(cursor, true, row_out);
            break;
        case SUTRA_IN_DELTA:
            found = step_in_delta(cursor, false, row_out);
            break;
        case SUTRA_IN_BASE:
            found = step_in_base(cursor, false, row_out);
            break;
        default:
            return false;
        }
        if (found)
            return true;
        if (!stage_is_over(cursor))
            return false;
        const bool only_out = cursor->stage == SUTRA_OUT_BASE && cursor->direction == SUTRA_OUT;
        enter(cursor, only_out ? SUTRA_LINKS_END : cursor->stage + 1);
    }
}

bool sutra_links_step(struct sutra_link_cursor *cursor, uint32_t *row_out)
{
    return step(cursor, row_out);
}

bool sutra_links_next(struct sutra_link_cursor *cursor, struct sutra_link *link_out)
{
    uint32_t row;
    if (!step(cursor, &row))
        return false;
    const bool outgoing = cursor->stage < SUTRA_IN_DELTA;
    if (cursor->stage == SUTRA_OUT_DELTA || cursor->stage == SUTRA_IN_DELTA) {
        const struct sutra_delta_edge *rows =
            sutra_edge_rows(cursor->associations, SUTRA_PART_DELTA_EDGE);
        const struct sutra_delta_edge *edge = &rows[row];
        *link_out = (struct sutra_link){.source = edge->source,
                                        .target = edge->target,
                                        .kind = edge->kind,
                                        .outgoing = outgoing,
                                        .weight = edge->weight,
                                        .confidence = edge->confidence,
                                        .created_ns = edge->created_ns};
    } else {
        const struct sutra_edge *rows = sutra_edge_rows(cursor->associations, SUTRA_PART_EDGE);
        const struct sutra_edge *edge = &rows[row];
        *link_out = (struct sutra_link){.source = edge->source,
                                        .target = edge->target,
                                        .kind = edge->kind,
                                        .outgoing = outgoing,
                                        .weight = edge->weight,
                                        .confidence = edge->confidence,
                                        .created_ns = edge->created_ns};
    }
    return true;
}

bool sutra_links_done(const struct sutra_link_cursor *cursor)
{
    return cursor->stage == SUTRA_LINKS_END;
}
