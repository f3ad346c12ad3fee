/* Associations: parts for saving, and loading; the contract is in associations.h.
 *
 * A file's counts are checked against each other here; what its rows say is bounded where it is
 * used.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "associations_parts.h"

enum {
    WORD_VERSION,
    WORD_BASE_CONCEPTS,
    WORD_BASE_EDGES,
    WORD_DELTA_ROWS,
    WORD_HEAD_ROWS,
    WORD_DEATH_ROWS,
    WORD_KIND_COUNT,
    WORD_LIVE_COUNT,
    WORDS
};

_Static_assert(WORDS == SUTRA_ASSOCIATIONS_STATE_WORDS, "a place for every word");

static const struct {
    const char *name;
    uint32_t row_bytes;
    uint32_t flags;
    bool hot; /* the base is left in the file: it is large, and most of it may never be read */
} parts[SUTRA_ASSOCIATIONS_PARTS] = {
    {"association offsets by source", sizeof(uint32_t), 0, false},
    {"associations", sizeof(struct sutra_edge), SUTRA_PART_MUTABLE, false},
    {"association offsets by target", sizeof(uint32_t), 0, false},
    {"association numbers by target", sizeof(uint32_t), 0, false},
    {"newer associations", sizeof(struct sutra_delta_edge), SUTRA_PART_MUTABLE, false},
    {"heads of newer associations", sizeof(struct sutra_delta_head), SUTRA_PART_MUTABLE, false},
    {"deaths of associations", sizeof(uint64_t), 0, true},
    {"kinds of associations", SUTRA_KIND_ROW_BYTES, 0, true},
};

static void count_rows(const struct sutra_associations *associations, size_t *rows_out)
{
    const size_t offsets = associations->base_edges > 0 ? associations->base_concepts + 1 : 0;
    const size_t rows[SUTRA_ASSOCIATIONS_PARTS] = {offsets,
                                                   associations->base_edges,
                                                   offsets,
                                                   associations->base_edges,
                                                   associations->delta_rows,
                                                   associations->head_rows,
                                                   associations->death_rows,
                                                   associations->kind_count};
    memcpy(rows_out, rows, sizeof rows);
}

void sutra_associations_parts(struct sutra_associations *associations, struct sutra_part *parts_out)
{
    size_t rows[SUTRA_ASSOCIATIONS_PARTS];
    count_rows(associations, rows);
    for (size_t p = 0; p < SUTRA_ASSOCIATIONS_PARTS; p++) {
        struct sutra_plane *plane = &associations->planes[p];
        const uint32_t kind = (uint32_t)(SUTRA_PART_OUT_OFFSET + p);
        parts_out[p] = (struct sutra_part){
            .kind = kind,
            .flags = parts[p].flags,
            .row_bytes = parts[p].row_bytes,
            .rows = rows[p],
            .plane = plane->base ? plane : NULL,
            .dirty = kind == SUTRA_PART_EDGE         ? &associations->edges_dirty
                     : kind == SUTRA_PART_DELTA_EDGE ? &associations->delta_dirty
                     : kind == SUTRA_PART_DELTA_HEAD ? &associations->heads_dirty
                                                     : NULL,
            /* Names survive a fold: what is saved of them holds. */
            .version = kind == SUTRA_PART_KIND_NAME ? 1 : associations->version};
    }
}

void sutra_associations_state(const struct sutra_associations *associations, uint64_t *words_out)
{
    words_out[WORD_VERSION] = associations->version;
    words_out[WORD_BASE_CONCEPTS] = associations->base_concepts;
    words_out[WORD_BASE_EDGES] = associations->base_edges;
    words_out[WORD_DELTA_ROWS] = associations->delta_rows;
    words_out[WORD_HEAD_ROWS] = associations->head_rows;
    words_out[WORD_DEATH_ROWS] = associations->death_rows;
    words_out[WORD_KIND_COUNT] = associations->kind_count;
    words_out[WORD_LIVE_COUNT] = associations->live_count;
}

static int corrupt(struct sutra_fault *fault_out, const char *what, size_t row, uint64_t most,
                   uint64_t found)
{
    *fault_out = SUTRA_FAULT_NONE;
    fault_out->what = what;
    fault_out->row = (int64_t)row;
    fault_out->expected = most;
    fault_out->found = found;
    return SUTRA_E_CORRUPT;
}

/* fault.row is the number of the word, expected the most it may be. */
static int check_words(const uint64_t *words, struct sutra_fault *fault_out)
{
    const char *what = "counts of associations";
    const uint64_t most[WORDS] = {UINT64_MAX,      words[WORD_BASE_EDGES] > 0 ? SUTRA_ROWS_MAX : 0,
                                  SUTRA_ROWS_MAX,  SUTRA_ROWS_MAX,
                                  SUTRA_ROWS_MAX,  words[WORD_BASE_EDGES],
                                  SUTRA_KINDS_MAX, words[WORD_BASE_EDGES] + words[WORD_DELTA_ROWS]};
    for (size_t w = 0; w < WORDS; w++) {
        if (words[w] > most[w])
            return corrupt(fault_out, what, w, most[w], words[w]);
    }
    return SUTRA_OK;
}

static int load_parts(struct sutra_associations *associations,
                      const struct sutra_part_source *source, struct sutra_fault *fault_out)
{
    size_t rows[SUTRA_ASSOCIATIONS_PARTS];
    count_rows(associations, rows);
    for (size_t p = 0; p < SUTRA_ASSOCIATIONS_PARTS; p++) {
        if (rows[p] == 0)
            continue;
        const uint32_t kind = (uint32_t)(SUTRA_PART_OUT_OFFSET + p);
        *fault_out = SUTRA_FAULT_NONE; /* a source may share it, and then knows more */
        const int status = source->load(source->context, kind, parts[p].row_bytes, rows[p],
                                        parts[p].hot, SUTRA_HUGE_ADVISE, &associations->planes[p]);
        if (status != SUTRA_OK) {
            memset(&associations->planes[p], 0, sizeof associations->planes[p]);
            if (!fault_out->what)
                fault_out->what = parts[p].name;
            return status;
        }
    }
    return SUTRA_OK;
}

static int finish_load(struct sutra_associations *associations, struct sutra_fault *fault_out)
{
    int status = sutra_associations_finish(associations);
    if (status != SUTRA_OK)
        return status;
    const size_t bad = sutra_kinds_index(associations);
    if (bad < associations->kind_count)
        return corrupt(fault_out, parts[SUTRA_PART_KIND_NAME - SUTRA_PART_OUT_OFFSET].name, bad, 0,
                       0);
    /* What was read is what is saved. */
    status = sutra_dirty_seal(&associations->edges_dirty, associations->base_edges);
    if (status == SUTRA_OK)
        status = sutra_dirty_seal(&associations->delta_dirty, associations->delta_rows);
    if (status == SUTRA_OK)
        status = sutra_dirty_seal(&associations->heads_dirty, associations->head_rows);
    return status;
}

int sutra_associations_load(const uint64_t *words, size_t concepts,
                            const struct sutra_part_source *source,
                            struct sutra_associations **associations_out,
                            struct sutra_fault *fault_out)
{
    *fault_out = SUTRA_FAULT_NONE;
    if (concepts > SUTRA_ROWS_MAX)
        return SUTRA_E_CAPACITY;
    int status = check_words(words, fault_out);
    if (status != SUTRA_OK)
        return status;
    struct sutra_associations *associations;
    status = sutra_associations_start(&associations);
    if (status != SUTRA_OK)
        return status;
    associations->version = words[WORD_VERSION];
    associations->base_concepts = (size_t)words[WORD_BASE_CONCEPTS];
    associations->base_edges = (size_t)words[WORD_BASE_EDGES];
    associations->delta_rows = (size_t)words[WORD_DELTA_ROWS];
    associations->head_rows = (size_t)words[WORD_HEAD_ROWS];
    associations->death_rows = (size_t)words[WORD_DEATH_ROWS];
    associations->kind_count = (size_t)words[WORD_KIND_COUNT];
    associations->live_count = (size_t)words[WORD_LIVE_COUNT];
    associations->concept_limit = concepts;
    status = load_parts(associations, source, fault_out);
    if (status == SUTRA_OK)
        status = finish_load(associations, fault_out);
    if (status != SUTRA_OK) {
        sutra_associations_release(associations);
        return status;
    }
    *associations_out = associations;
    return SUTRA_OK;
}
