/* Associations: directed, typed, weighted edges between concepts, in both directions.
 *
 * One edge for each (source, target, kind); linking again replaces its weight and confidence. The
 * bulk is in compressed sparse rows (CSR): edges sorted by source, then kind, then target, with
 * offsets by source, and for the other direction the numbers of the edges by target. What came
 * since is the delta: edges appended and chained from their source and their target. Edges have a
 * birth and a death (LSN), those of the CSR are older than every reader of it; a CSR edge that died
 * since names its death in a list.
 *
 * Folding merges a delta into a new CSR. It makes a new object; the old one stays as it is for the
 * readers of older views, who hold a reference to it. Edges that are dead are left behind.
 *
 * Concepts are named by their numbers. Nothing here is undone: reserve first, then linking cannot
 * fail.
 *
 * Ownership: _new or _load gives one reference; _release drops one. Threading: one writer; any
 * number of readers holding a reference, seeing edges alive at their view. Errors:
 * SUTRA_E_NO_MEMORY, SUTRA_E_CAPACITY (2^31 edges or 65,535 kinds), SUTRA_E_CORRUPT from _load.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_CONCEPTS_ASSOCIATIONS_H
#define SUTRA_CONCEPTS_ASSOCIATIONS_H

#include "record.h"
#include "../base/status.h"
#include "../vectors/part.h"

#define SUTRA_KIND_BYTES_MAX 255u
#define SUTRA_NO_KIND 0xffffu

/* A row of the CSR. */
struct sutra_edge {
    uint32_t source, target;
    uint16_t kind;
    uint16_t unused;
    float weight;
    float confidence;
    uint32_t death; /* atomic: 0, or 1 + place in the list of deaths */
    int64_t created_ns;
};

_Static_assert(sizeof(struct sutra_edge) == 32, "two edges a cache line");

/* A row of the delta. */
struct sutra_delta_edge {
    uint32_t source, target;
    uint16_t kind;
    uint16_t unused;
    float weight;
    float confidence;
    uint32_t next_out, next_in; /* older edge of the same source / target: 1 + row, 0 at the end */
    uint32_t unused2;
    int64_t created_ns;
    uint64_t birth;
    uint64_t death; /* atomic */
};

_Static_assert(sizeof(struct sutra_delta_edge) == 56, "saved as it is");

struct sutra_associations;

int sutra_associations_new(struct sutra_associations **associations_out);
void sutra_associations_retain(struct sutra_associations *associations);
void sutra_associations_release(struct sutra_associations *associations);

/* ---- kinds: names of 1 to SUTRA_KIND_BYTES_MAX bytes of UTF-8, numbered in the order they came.
 * Names survive folding and are never removed. Readers may look them up. */
uint16_t sutra_associations_kind(const struct sutra_associations *associations, const char *name,
                                 uint32_t bytes); /* SUTRA_NO_KIND if unknown */
/* The number of a name, a new one if it is unknown. SUTRA_E_ARGUMENT if it is no such name. */
int sutra_associations_add_kind(struct sutra_associations *associations, const char *name,
                                uint32_t bytes, uint16_t *kind_out);
const char *sutra_associations_kind_name(const struct sutra_associations *associations,
                                         uint16_t kind, uint32_t *bytes_out); /* NULL if unknown */

/* ---- writing */

/* Room for `edges` more links or unlinks between concepts below `concepts`. */
int sutra_associations_reserve(struct sutra_associations *associations, size_t edges,
                               size_t concepts);
/* true: a new edge; false: an edge that was alive got a new version. */
bool sutra_associations_link(struct sutra_associations *associations, uint32_t source,
                             uint32_t target, uint16_t kind, float weight, float confidence,
                             int64_t created_ns, uint64_t lsn);
/* The same for many: prefetches, so a batch costs far less than its single links. fresh_out[j] as
 * above. Order matters: a pair that comes twice ends with its last values. */
void sutra_associations_link_many(struct sutra_associations *associations, const uint32_t *sources,
                                  const uint32_t *targets, const uint16_t *kinds,
                                  const float *weights, const float *confidences, size_t count,
                                  int64_t created_ns, uint64_t lsn, bool *fresh_out);
/* Is there such an edge now (newest state)? The writer's question. */
bool sutra_associations_has(const struct sutra_associations *associations, uint32_t source,
                            uint32_t target, uint16_t kind);
/* false if there was none. kind SUTRA_NO_KIND: all kinds; *removed_out (may be NULL) counts. */
bool sutra_associations_unlink(struct sutra_associations *associations, uint32_t source,
                               uint32_t target, uint16_t kind, uint64_t lsn, size_t *removed_out);
/* How many edges _unlink(kind) or _remove_concept would end: what to reserve. */
size_t sutra_associations_degree(const struct sutra_associations *associations, uint32_t concept);
/* End every edge of a concept, in both directions; other(context, other end, is_target) is called
 * for each: is_target says that the other end is the target (its reference count falls). */
size_t sutra_associations_remove_concept(
    struct sutra_associations *associations, uint32_t concept, uint64_t lsn,
    void (*other)(void *context, uint32_t concept, bool is_target), void *context);

/* ---- reading */

enum sutra_direction { SUTRA_OUT = 1, SUTRA_IN = 2, SUTRA_BOTH = 3 };

struct sutra_link {
    uint32_t source, target;
    uint16_t kind;
    bool outgoing;
    float weight, confidence;
    int64_t created_ns;
};

/* Walk the edges of a concept that are alive at `view`: _begin, then _next until it gives false.
 * kind SUTRA_NO_KIND means every kind. An edge from a concept to itself comes once. */
struct sutra_link_cursor {
    const struct sutra_associations *associations;
    uint64_t view;
    uint32_t concept;
    uint16_t kind;
    int direction;
    int stage;
    uint32_t at, end;
    /* Rows that may yet be looked at, those that are not given included. _begin sets it to no
     * limit; when it is 0 and there is one more row, _next gives false and sutra_links_done is
     * false. */
    size_t budget;
};
void sutra_links_begin(struct sutra_link_cursor *cursor,
                       const struct sutra_associations *associations, uint32_t concept,
                       int direction, uint16_t kind, uint64_t view);
bool sutra_links_next(struct sutra_link_cursor *cursor, struct sutra_link *link_out);
/* After _next gave false: was that the end, and not the budget's? */
bool sutra_links_done(const struct sutra_link_cursor *cursor);

size_t sutra_associations_count(const struct sutra_associations *associations); /* alive, newest */
/* Rows of the delta and deaths in the CSR: what a fold clears away. */
size_t sutra_associations_delta_rows(const struct sutra_associations *associations);
size_t sutra_associations_bytes(const struct sutra_associations *associations);

/* ---- folding and saving */

/* A new object with the edges alive at the newest state in its CSR and an empty delta. The writer
 * must stand still or have stopped; *folded_out has one reference and a new part version. */
int sutra_associations_fold(const struct sutra_associations *associations,
                            struct sutra_associations **folded_out);

#define SUTRA_ASSOCIATIONS_STATE_WORDS 8u
#define SUTRA_ASSOCIATIONS_PARTS 8u

/* Parts; absent ones have plane NULL. */
void sutra_associations_parts(struct sutra_associations *associations,
                              struct sutra_part *parts_out);
void sutra_associations_state(const struct sutra_associations *associations, uint64_t *words_out);
/* Offsets, edge numbers, next rows and concept numbers from the file are bounded where they are
 * used; chains are cut at rows that do not fall, so that no file makes a loop. */
int sutra_associations_load(const uint64_t *words, size_t concepts,
                            const struct sutra_part_source *source,
                            struct sutra_associations **associations_out,
                            struct sutra_fault *fault_out);
/* Every invariant: sorted, offsets monotone, both directions agree, numbers in range, finite
 * floats, births before deaths. */
int sutra_associations_verify(const struct sutra_associations *associations, size_t concepts,
                              struct sutra_fault *fault_out);

#endif
