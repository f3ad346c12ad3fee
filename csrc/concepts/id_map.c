/* The id map; the contract is in id_map.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "id_map.h"
#include "../base/bytes.h"
#include "../base/status.h"

#define FIRST_WORDS 512u

/* ---- hashes */

/* Both halves of the product of two numbers, one over the other. */
static inline uint64_t fold(uint64_t a, uint64_t b)
{
#if defined(__SIZEOF_INT128__)
    __extension__ typedef unsigned __int128 wide;
    const wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    const uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    const uint64_t low = a0 * b0, middle = a1 * b0 + (low >> 32);
    const uint64_t cross = a0 * b1 + (uint32_t)middle;
    const uint64_t high = a1 * b1 + (middle >> 32) + (cross >> 32);
    return (cross << 32 | (uint32_t)low) ^ high;
#endif
}

/* 16 bytes at a time, multiplied and folded (the way of wyhash); the last 16 may overlap those
 * before. Secret numbers keep a text from being made to meet a zero factor. */
uint64_t sutra_hash_text(uint64_t seed, const char *text, size_t bytes)
{
    const uint64_t secret = sutra_random_at(seed, 1), other_secret = sutra_random_at(seed, 2);
    const uint8_t *at = (const uint8_t *)text;
    uint64_t hash = sutra_random_at(seed, 3), a = 0, b = 0;
    size_t left = bytes;
    for (; left > 16; left -= 16, at += 16)
        hash = fold(sutra_load_u64(at) ^ secret, sutra_load_u64(at + 8) ^ hash);
    if (bytes >= 16) {
        a = sutra_load_u64(at + left - 16);
        b = sutra_load_u64(at + left - 8);
    } else if (bytes >= 8) {
        a = sutra_load_u64(at);
        b = sutra_load_u64(at + bytes - 8);
    } else if (bytes >= 4) {
        a = sutra_load_u32(at);
        b = sutra_load_u32(at + bytes - 4);
    } else if (bytes > 0) {
        a = (uint64_t)at[0] << 16 | (uint64_t)at[bytes / 2] << 8 | at[bytes - 1];
    }
    hash = fold(a ^ secret, b ^ hash);
    return fold(hash ^ other_secret, (uint64_t)bytes ^ secret);
}

/* ---- tables */

static bool has_room(uint64_t words, uint64_t used)
{
    return used <= words / 5 * 3;
}

bool sutra_id_map_is_sound(uint64_t words, uint64_t used)
{
    return words >= SUTRA_ID_LINE_WORDS && words <= SUTRA_ID_WORDS_MAX &&
           (words & (words - 1)) == 0 && has_room(words, used);
}

static struct sutra_id_table *wrap_plane(const struct sutra_plane *plane, uint64_t words)
{
    struct sutra_id_table *const table = malloc(sizeof *table);
    if (table)
        *table = (struct sutra_id_table){
            .plane = *plane, .words = (uint64_t *)(void *)plane->base, .mask = words - 1};
    return table;
}

static int make_table(uint64_t words, struct sutra_id_table **table_out)
{
    const size_t bytes = (size_t)words * sizeof(uint64_t);
    struct sutra_plane plane = {.row_bytes = SUTRA_CACHE_LINE};
    int status = sutra_arena_reserve(&plane.arena, bytes, bytes, SUTRA_HUGE_ADVISE);
    if (status != SUTRA_OK)
        return status;
    plane.base = plane.arena.base;
    status = sutra_arena_commit(&plane.arena, bytes);
    *table_out = NULL;
    if (status == SUTRA_OK) {
        *table_out = wrap_plane(&plane, words);
        status = *table_out ? SUTRA_OK : SUTRA_E_NO_MEMORY;
    }
    if (status != SUTRA_OK)
        sutra_plane_release(&plane);
    return status;
}

static void release_table(void *object, size_t bytes)
{
    (void)bytes;
    struct sutra_id_table *const table = object;
    if (table)
        sutra_plane_release(&table->plane);
    free(table);
}

/* The first free word on the way of a fingerprint, or NULL. */
static uint64_t *free_word(const struct sutra_id_table *table, uint32_t fingerprint)
{
    for (uint64_t tried = 0; tried <= table->mask; tried++) {
        uint64_t *const word = sutra_id_table_word(table, fingerprint, tried);
        if (__atomic_load_n(word, __ATOMIC_RELAXED) == 0)
            return word;
    }
    return NULL;
}

/* Words of a line go to lines that follow one another, so this runs along both tables. */
static void copy_words(const struct sutra_id_table *from, const struct sutra_id_table *to)
{
    for (uint64_t i = 0; i <= from->mask; i++) {
        const uint64_t word = __atomic_load_n(&from->words[i], __ATOMIC_RELAXED);
        if (word == 0)
            continue;
        uint64_t *const place = free_word(to, (uint32_t)(word >> 32));
        if (place)
            __atomic_store_n(place, word, __ATOMIC_RELAXED);
    }
}

/* ---- the map */

int sutra_id_map_init(struct sutra_id_map *map, struct sutra_epochs *epochs)
{
    memset(map, 0, sizeof *map);
    map->epochs = epochs;
    map->version = 1;
    return make_table(FIRST_WORDS, &map->table);
}

int sutra_id_map_adopt(struct sutra_id_map *map, struct sutra_epochs *epochs,
                       const struct sutra_plane *plane, uint64_t words, uint64_t used)
{
    memset(map, 0, sizeof *map);
    struct sutra_id_table *const table = wrap_plane(plane, words);
    if (!table)
        return SUTRA_E_NO_MEMORY;
    map->table = table;
    map->epochs = epochs;
    map->used = used;
    map->version = 1;
    return SUTRA_OK;
}

void sutra_id_map_deinit(struct sutra_id_map *map)
{
    release_table(map->table, 0);
    sutra_dirty_deinit(&map->dirty);
    memset(map, 0, sizeof *map);
}

int sutra_id_map_reserve(struct sutra_id_map *map, size_t count)
{
    struct sutra_id_table *const old = map->table;
    uint64_t words = old->mask + 1;
    if (count > SUTRA_ROWS_MAX || map->used > SUTRA_ROWS_MAX - count)
        return SUTRA_E_CAPACITY;
    if (has_room(words, map->used + count))
        return SUTRA_OK;
    while (!has_room(words, map->used + count))
        words *= 2;
    struct sutra_id_table *table;
    const int status = make_table(words, &table);
    if (status != SUTRA_OK)
        return status;
    copy_words(old, table);
    __atomic_store_n(&map->table, table, __ATOMIC_RELEASE);
    sutra_dirty_deinit(&map->dirty);
    map->dirty = (struct sutra_dirty){0};
    map->version++;
    if (sutra_epoch_retire(map->epochs, old, sizeof *old, release_table) != SUTRA_OK) {
        sutra_epoch_drain(map->epochs);
        release_table(old, sizeof *old);
    }
    sutra_epoch_collect(map->epochs);
    return SUTRA_OK;
}

void sutra_id_map_insert(struct sutra_id_map *map, uint64_t hash, uint32_t concept)
{
    const uint32_t fingerprint = sutra_id_fingerprint(hash);
    uint64_t *const word = free_word(map->table, fingerprint);
    map->used++;
    if (!word)
        return;
    __atomic_store_n(word, (uint64_t)fingerprint << 32 | (concept + 1), __ATOMIC_RELEASE);
    sutra_dirty_mark(&map->dirty, (size_t)(word - map->table->words) / SUTRA_ID_LINE_WORDS);
}
