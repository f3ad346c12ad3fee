/* Concepts: ids, records, contents, and which version of each is visible to whom.
 *
 * Concept numbers count up from 0 in the order ids were first seen; slots count up with every
 * version. What is where:
 *   records, births, deaths   a row a slot
 *   heads                     a row a concept: its newest slot
 *   id map                    id -> concept number
 *   heap                      text ids, contents, metadata
 * A slot is visible at LSN v when birth <= v < death. Births do not fall from slot to slot. From
 * the head of a concept, records chain back to older slots.
 *
 * Nothing here is undone: the caller reserves first (sutra_concepts_reserve), and after that the
 * writing functions cannot fail. Slots are not reused; compaction of the store makes a new set.
 *
 * Ownership: _init or _load, then _deinit, when no reader is inside. Threading: one writer (the
 * functions that take a non-const struct), outside of any epoch; any number of readers, which must
 * be inside an epoch and pass a view LSN that was published to them after the writes it covers and
 * after sutra_concepts_publish. Records of published slots change in accessed_ns, reference_count
 * and vector_row alone, each one an aligned word written and read with relaxed atomics; deaths are
 * 64-bit atomics. Readers may meet what the writer is about to publish; it is sound, but not
 * visible at their view. Errors: SUTRA_E_NO_MEMORY, SUTRA_E_CAPACITY, SUTRA_E_CORRUPT from _load
 * with fault.what naming the part.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_CONCEPTS_CONCEPTS_H
#define SUTRA_CONCEPTS_CONCEPTS_H

#include "heap.h"
#include "id_map.h"
#include "record.h"
#include "../base/status.h"

/* Ids as callers give them: numbers alone (texts NULL), or a mix where texts[j] NULL means
 * numbers[j]. Numbers are >= 0; texts are UTF-8 of 1 to SUTRA_TEXT_ID_BYTES_MAX bytes: the caller
 * has checked. */
struct sutra_ids {
    size_t count;
    const int64_t *numbers;
    const char *const *texts;
    const uint32_t *text_bytes;
};

enum { SUTRA_SLOT_RECORD = 0, SUTRA_SLOT_BIRTH, SUTRA_SLOT_DEATH, SUTRA_SLOT_PLANES };

struct sutra_concepts {
    struct sutra_epochs *epochs; /* not owned */
    uint64_t hash_seed;
    /* Of the parts, 1 at first; whoever puts one set in place of another gives it another number,
     * below 2^32. */
    uint64_t version;
    struct sutra_planes slots; /* enum above; deaths are atomic */
    struct sutra_planes heads; /* plane 0: uint32_t, atomic */
    struct sutra_planes ended; /* plane 0: uint64_t, atomic: a bit a slot that died; not saved */
    struct sutra_heap heap;
    struct sutra_id_map map;
    struct sutra_dirty records_dirty, deaths_dirty, heads_dirty;
    size_t slot_count;    /* atomic; raised before the head that names the slot */
    size_t concept_count; /* atomic; raised before the id map names the concept */
    size_t live_count;    /* concepts alive now; the writer's */
    int64_t next_number;  /* above every number id so far; INT64_MAX: none is left to assign */
    int64_t *entered;     /* the writer's: ids of concepts from entered_first on, for those that */
    size_t entered_first; /* have no record yet to keep theirs; ~offset for a text */
    size_t entered_room;
};

int sutra_concepts_init(struct sutra_concepts *concepts, struct sutra_epochs *epochs,
                        uint64_t hash_seed);
void sutra_concepts_deinit(struct sutra_concepts *concepts);

/* ---- finding */

/* The concept number of every id, or SUTRA_NO_CONCEPT: found whether alive or not, as soon as it
 * has a slot. Works in groups with prefetch, so a batch costs far less than its single look-ups; it
 * leaves the records of the newest slots in the cache. */
void sutra_concepts_find(const struct sutra_concepts *concepts, const struct sutra_ids *ids,
                         uint32_t *concepts_out);

/* The slot of a concept that is visible at `view`, or SUTRA_NO_SLOT. */
uint32_t sutra_concepts_visible(const struct sutra_concepts *concepts, uint32_t concept,
                                uint64_t view);
/* The same for many, with prefetch; SUTRA_NO_CONCEPT gives SUTRA_NO_SLOT. */
void sutra_concepts_visible_many(const struct sutra_concepts *concepts, const uint32_t *numbers,
                                 size_t count, uint64_t view, uint32_t *slots_out);

/* Slots as bits, the first in the lowest bit of the first word. */

/* How many slots were born by the view: those below it, as births do not fall. */
size_t sutra_concepts_born(const struct sutra_concepts *concepts, uint64_t view);
/* Which of slots [64 * first_word, 64 * (first_word + count)) are visible at the view, of which
 * `born` were born by then. */
void sutra_concepts_visible_words(const struct sutra_concepts *concepts, uint64_t view, size_t born,
                                  size_t first_word, size_t count, uint64_t *words_out);
/* From slots, all of them visible at one view, to their concepts: bits of the numbers below
 * `limit`, in whole words. Returns how many there are. */
size_t sutra_concepts_of_slots(const struct sutra_concepts *concepts, const uint64_t *slots,
                               size_t born, size_t limit, uint64_t *concepts_out);

SUTRA_INLINE struct sutra_record *sutra_concepts_record(const struct sutra_concepts *concepts,
                                                        uint32_t slot)
{
    return sutra_planes_row(&concepts->slots, SUTRA_SLOT_RECORD, slot);
}

/* The id of a concept: *text_out NULL for a number, else bytes in the heap and *number_out -1.
 * SUTRA_E_CORRUPT if there is no such concept, it has no slot, or the heap does not hold it. */
int sutra_concepts_id(const struct sutra_concepts *concepts, uint32_t concept, int64_t *number_out,
                      const char **text_out, uint32_t *text_bytes_out);
/* NULL with 0 bytes if there is none, not NULL if it is there and empty; SUTRA_E_CORRUPT if there
 * is no such slot or the heap does not hold it. */
int sutra_concepts_content(const struct sutra_concepts *concepts, uint32_t slot,
                           const uint8_t **content_out, uint32_t *bytes_out);
int sutra_concepts_metadata(const struct sutra_concepts *concepts, uint32_t slot,
                            const uint8_t **metadata_out, uint32_t *bytes_out);

/* ---- writing; after _reserve nothing of this fails */

/* Room for `slots` more slots, `concepts_` more concepts and `bytes` more in the heap (text ids
 * cost their bytes and 4 more each). On failure no reader and no later call sees a difference. */
int sutra_concepts_reserve(struct sutra_concepts *concepts, size_t slots, size_t concepts_,
                           uint64_t bytes);

/* Enter an id that sutra_concepts_find did not find. It has no slot yet and cannot be found: the
 * same id must not be entered again, and _put must follow before _publish. */
uint32_t sutra_concepts_enter(struct sutra_concepts *concepts, int64_t number, const char *text,
                              uint32_t text_bytes);

/* Make `record` the newest slot of the concept, born at lsn; the slot it replaces, if alive, dies
 * at lsn. id, flags TEXT_ID and previous are filled in here; all else is the caller's, who copies
 * from the newest slot what stays (reference_count, for one). The content, then the metadata, were
 * appended to the heap before. An lsn below that of the slot before counts as that one. */
uint32_t sutra_concepts_put(struct sutra_concepts *concepts, uint32_t concept,
                            const struct sutra_record *record, uint64_t lsn);

/* The newest slot, or SUTRA_NO_SLOT if the concept is not alive. */
uint32_t sutra_concepts_newest(const struct sutra_concepts *concepts, uint32_t concept);

/* The concept dies at lsn (not before the birth of its slot); false if it was not alive. */
bool sutra_concepts_remove(struct sutra_concepts *concepts, uint32_t concept, uint64_t lsn);

/* Change the newest slot in place; for when nobody looks at the past. Counts stay in range. */
void sutra_concepts_touch(struct sutra_concepts *concepts, uint32_t slot, int64_t accessed_ns);
void sutra_concepts_count_reference(struct sutra_concepts *concepts, uint32_t slot, int change);

/* Everything written so far is whole: the view LSN may be published to readers after this. Also
 * frees what readers have left behind. */
void sutra_concepts_publish(struct sutra_concepts *concepts);

/* ---- saving */

#define SUTRA_CONCEPTS_STATE_WORDS 8u
#define SUTRA_CONCEPTS_PARTS 6u

/* Seals the heap. Rows of RECORD, SLOT_DEATH, HEAD and ID_MAP change and have their marks each;
 * births and the heap never do. Heads, records and deaths keep the version of the set; the id map
 * gets another one when it grows. */
void sutra_concepts_parts(struct sutra_concepts *concepts, struct sutra_part *parts_out);
void sutra_concepts_state(const struct sutra_concepts *concepts, uint64_t *words_out);
/* Check the counts of `words` against each other, load the planes, and leave everything that is
 * read by index bounded: heads below slot_count, id words below concept_count and `previous` below
 * their slot are checked where they are used, so a hostile file gives wrong answers at worst. All
 * that was loaded counts as saved: nothing of it is marked. The seed must be the one of before. On
 * failure *concepts is empty. */
int sutra_concepts_load(struct sutra_concepts *concepts, struct sutra_epochs *epochs,
                        uint64_t hash_seed, const uint64_t *words,
                        const struct sutra_part_source *source, struct sutra_fault *fault_out);

/* Every invariant, reading everything: births and deaths, heads and chains, the id map finds every
 * concept, heap ranges, UTF-8 of text ids, of contents that are text and of metadata, finite
 * floats. The writer must stand still. SUTRA_E_CORRUPT with fault.what and row (a slot; a concept
 * for heads and the id map; -1 for counts), SUTRA_E_NO_MEMORY. */
int sutra_concepts_verify(const struct sutra_concepts *concepts, struct sutra_fault *fault_out);

#endif
