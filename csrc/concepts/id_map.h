/* The id map: hash of an id -> concept number. One writer, any number of readers, no locks.
 *
 * Open addressing over 64-bit words, fingerprint << 32 | concept + 1, 0 where free; a word is
 * written once and never removed (a deleted concept keeps its number). The fingerprint is the upper
 * half of the hash, and its lower bits are where probing begins: round the cache line first, then
 * line by line. So a table grows without looking at a key. Keys live in the records: whoever looks
 * up compares them.
 *
 * The table is a plane of 64-byte lines, so that it is saved and mapped as it is and a changed line
 * is what gets saved again. When three fifths are used the writer fills a table of twice the size
 * and publishes it; readers go on in the old one until they leave (base/epoch.h).
 *
 * A table from a file may hold anything. Probing ends after every word was seen once, and an entry
 * that finds no free word is left out.
 *
 * Ownership: _init or _adopt, then _deinit, when no reader is inside. Threading: as said; readers
 * call inside an epoch, the writer from outside. Errors: SUTRA_E_NO_MEMORY and SUTRA_E_CAPACITY,
 * from _init, _adopt and _reserve alone; then nothing has changed.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_CONCEPTS_ID_MAP_H
#define SUTRA_CONCEPTS_ID_MAP_H

#include "../base/epoch.h"
#include "../base/prng.h"
#include "../vectors/part.h"
#include "record.h"

#define SUTRA_ID_LINE_WORDS 8u
#define SUTRA_ID_WORDS_MAX ((uint64_t)1 << 32)

struct sutra_id_table { /* immutable but for the words; replaced as a whole */
    struct sutra_plane plane;
    uint64_t *words; /* atomic */
    uint64_t mask;   /* words - 1; a power of two, at least 8 words */
};

struct sutra_id_map {
    struct sutra_id_table *table; /* atomic */
    struct sutra_epochs *epochs;  /* not owned */
    uint64_t used;
    uint64_t version; /* changes when the table is replaced */
    struct sutra_dirty dirty;
};

int sutra_id_map_init(struct sutra_id_map *map, struct sutra_epochs *epochs);
void sutra_id_map_deinit(struct sutra_id_map *map);

/* Is a table of `words` words, of which `used` are taken, one that this map could have made? */
bool sutra_id_map_is_sound(uint64_t words, uint64_t used);
/* Go on with a loaded plane of words / 8 lines, sound as above; the map takes it over, unless it
 * fails. */
int sutra_id_map_adopt(struct sutra_id_map *map, struct sutra_epochs *epochs,
                       const struct sutra_plane *plane, uint64_t words, uint64_t used);

/* Make room for `count` more entries. */
int sutra_id_map_reserve(struct sutra_id_map *map, size_t count);
/* Needs reserved room. The concept is what readers find by the word: what they then read of it must
 * have been written. */
void sutra_id_map_insert(struct sutra_id_map *map, uint64_t hash, uint32_t concept);

/* ---- looking up */

SUTRA_INLINE const struct sutra_id_table *sutra_id_map_table(const struct sutra_id_map *map)
{
    return __atomic_load_n(&map->table, __ATOMIC_ACQUIRE);
}

/* The word that a probe sees after `tried` others. */
SUTRA_INLINE uint64_t *sutra_id_table_word(const struct sutra_id_table *table, uint32_t fingerprint,
                                           uint64_t tried)
{
    const uint64_t in_line = SUTRA_ID_LINE_WORDS - 1;
    const uint64_t line = ((fingerprint & ~in_line) + (tried & ~in_line)) & table->mask;
    return table->words + (line | ((fingerprint + tried) & in_line));
}

struct sutra_id_probe {
    const struct sutra_id_table *table;
    uint64_t tried;
    uint32_t fingerprint;
};

SUTRA_INLINE uint32_t sutra_id_fingerprint(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

SUTRA_INLINE struct sutra_id_probe sutra_id_probe_begin(const struct sutra_id_table *table,
                                                        uint32_t fingerprint)
{
    return (struct sutra_id_probe){.table = table, .fingerprint = fingerprint};
}

/* The next concept with the fingerprint; SUTRA_NO_CONCEPT when there is no other. Numbers come as
 * they are in the table. */
SUTRA_INLINE uint32_t sutra_id_probe_next(struct sutra_id_probe *probe)
{
    while (probe->tried <= probe->table->mask) {
        const uint64_t word = __atomic_load_n(
            sutra_id_table_word(probe->table, probe->fingerprint, probe->tried), __ATOMIC_ACQUIRE);
        if (word == 0)
            break;
        probe->tried++;
        if (word >> 32 == probe->fingerprint && (uint32_t)word != 0)
            return (uint32_t)word - 1;
    }
    return SUTRA_NO_CONCEPT;
}

/* ---- the well-mixed hash of an id, seeded: part of the format, as tables are saved. Numbers and
 * texts are apart: 1 is not "1". */

SUTRA_INLINE uint64_t sutra_hash_number(uint64_t seed, int64_t id)
{
    return sutra_mix64((uint64_t)id ^ sutra_mix64(seed));
}

/* Reads text[0 .. bytes) and nothing else. */
uint64_t sutra_hash_text(uint64_t seed, const char *text, size_t bytes);

#endif
