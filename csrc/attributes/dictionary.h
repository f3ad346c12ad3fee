/* The dictionary: texts that fields hold, each once, by their codes 0, 1, 2, ...
 *
 * Texts are added and never removed; compaction of the store makes a new dictionary. They are those
 * of metadata with escapes decoded, in a heap (a 32-bit length, then the bytes); a plane has where
 * each begins. The table that finds codes by texts is in memory alone.
 *
 * Ownership: zeros are an empty one, that takes no memory; _make before the first text, then
 * _deinit. Threading: one writer; readers inside an epoch. Errors: SUTRA_E_NO_MEMORY,
 * SUTRA_E_CAPACITY, and SUTRA_E_CORRUPT from _load.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_ATTRIBUTES_DICTIONARY_H
#define SUTRA_ATTRIBUTES_DICTIONARY_H

#include "../base/json.h"
#include "../base/status.h"
#include "../concepts/heap.h"
#include "../concepts/id_map.h"

#define SUTRA_NO_CODE 0xffffffffu

struct sutra_dictionary {
    struct sutra_planes offsets; /* plane 0: uint64_t, of each text in the heap */
    struct sutra_heap heap;
    struct sutra_id_map map;
    uint64_t seed;
    size_t count;  /* atomic */
    char *decoded; /* the writer's: of a text with escapes */
    size_t decoded_room;
    bool made;
};

int sutra_dictionary_make(struct sutra_dictionary *dictionary, struct sutra_epochs *epochs,
                          uint64_t seed);
void sutra_dictionary_deinit(struct sutra_dictionary *dictionary);

SUTRA_INLINE size_t sutra_dictionary_count(const struct sutra_dictionary *dictionary)
{
    return __atomic_load_n(&dictionary->count, __ATOMIC_ACQUIRE);
}

/* The text of a code; NULL if there is none. */
const char *sutra_dictionary_text(const struct sutra_dictionary *dictionary, size_t code,
                                  size_t *bytes_out);
/* The code of a text, or SUTRA_NO_CODE. */
uint32_t sutra_dictionary_find(const struct sutra_dictionary *dictionary, const char *text,
                               size_t bytes);

/* The code of a TEXT, which gets one if it has none. The writer's. */
int sutra_dictionary_add(struct sutra_dictionary *dictionary, const struct sutra_json *text,
                         uint32_t *code_out);
/* The code of a TEXT that was added; cannot fail. The writer's. */
uint32_t sutra_dictionary_code(const struct sutra_dictionary *dictionary,
                               const struct sutra_json *text);

/* Go on with what was saved: `count` texts in a heap of so many rows. On failure it is empty. */
int sutra_dictionary_load(struct sutra_dictionary *dictionary, struct sutra_epochs *epochs,
                          uint64_t seed, size_t count, size_t heap_rows,
                          const struct sutra_part_source *source, struct sutra_fault *fault_out);

#endif
