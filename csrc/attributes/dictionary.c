/* Texts and their codes; see dictionary.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "dictionary.h"

#include <stdlib.h>
#include <string.h>

#include "../base/bytes.h"

static uint64_t *offset_of(const struct sutra_dictionary *dictionary, size_t code)
{
    return sutra_planes_row(&dictionary->offsets, 0, code);
}

int sutra_dictionary_make(struct sutra_dictionary *dictionary, struct sutra_epochs *epochs,
                          uint64_t seed)
{
    static const size_t row_bytes = sizeof(uint64_t);
    if (dictionary->made)
        return SUTRA_OK;
    memset(dictionary, 0, sizeof *dictionary);
    dictionary->seed = seed;
    int status = sutra_planes_init(&dictionary->offsets, &row_bytes, 1, SUTRA_HUGE_ADVISE);
    if (status == SUTRA_OK)
        status = sutra_heap_init(&dictionary->heap);
    if (status == SUTRA_OK)
        status = sutra_id_map_init(&dictionary->map, epochs);
    if (status != SUTRA_OK)
        sutra_dictionary_deinit(dictionary);
    else
        dictionary->made = true;
    return status;
}

void sutra_dictionary_deinit(struct sutra_dictionary *dictionary)
{
    sutra_planes_deinit(&dictionary->offsets);
    sutra_heap_deinit(&dictionary->heap);
    sutra_id_map_deinit(&dictionary->map);
    free(dictionary->decoded);
    memset(dictionary, 0, sizeof *dictionary);
}

/* ---- finding */

const char *sutra_dictionary_text(const struct sutra_dictionary *dictionary, size_t code,
                                  size_t *bytes_out)
{
    if (code >= sutra_dictionary_count(dictionary))
        return NULL;
    const uint64_t offset = *offset_of(dictionary, code);
    const uint8_t *length = sutra_heap_at(&dictionary->heap, offset, sizeof(uint32_t));
    if (!length)
        return NULL;
    *bytes_out = sutra_load_u32(length);
    return (const char *)sutra_heap_at(&dictionary->heap, offset,
                                       sizeof(uint32_t) + (uint64_t)*bytes_out)
               ? (const char *)length + sizeof(uint32_t)
               : NULL;
}

static uint32_t find_hashed(const struct sutra_dictionary *dictionary, uint64_t hash,
                            const char *text, size_t bytes)
{
    struct sutra_id_probe probe =
        sutra_id_probe_begin(sutra_id_map_table(&dictionary->map), sutra_id_fingerprint(hash));
    uint32_t code;
    while ((code = sutra_id_probe_next(&probe)) != SUTRA_NO_CONCEPT) {
        size_t found_bytes;
        const char *found = sutra_dictionary_text(dictionary, code, &found_bytes);
        if (found && found_bytes == bytes && memcmp(found, text, bytes) == 0)
            return code;
    }
    return SUTRA_NO_CODE;
}

uint32_t sutra_dictionary_find(const struct sutra_dictionary *dictionary, const char *text,
                               size_t bytes)
{
    if (!dictionary->made)
        return SUTRA_NO_CODE;
    return find_hashed(dictionary, sutra_hash_text(dictionary->seed, text, bytes), text, bytes);
}

/* The bytes of a text, decoded where they must be; NULL if there is no room for them. */
static const char *bytes_of(const struct sutra_dictionary *dictionary,
                            const struct sutra_json *text, size_t *bytes_out)
{
    *bytes_out = (size_t)(text->end - text->at);
    if (!text->escaped)
        return text->at;
    if (*bytes_out > dictionary->decoded_room)
        return NULL;
    *bytes_out = sutra_json_decode(text, dictionary->decoded, dictionary->decoded_room);
    return dictionary->decoded;
}

uint32_t sutra_dictionary_code(const struct sutra_dictionary *dictionary,
                               const struct sutra_json *text)
{
    size_t bytes;
    const char *decoded = bytes_of(dictionary, text, &bytes);
    return decoded ? sutra_dictionary_find(dictionary, decoded, bytes) : SUTRA_NO_CODE;
}

/* ---- adding */

static int reserve_decoded(struct sutra_dictionary *dictionary, const struct sutra_json *text)
{
    const size_t bytes = (size_t)(text->end - text->at);
    if (!text->escaped || bytes <= dictionary->decoded_room)
        return SUTRA_OK;
    char *larger = realloc(dictionary->decoded, bytes + bytes / 2);
    if (!larger)
        return SUTRA_E_NO_MEMORY;
    dictionary->decoded = larger;
    dictionary->decoded_room = bytes + bytes / 2;
    return SUTRA_OK;
}

int sutra_dictionary_add(struct sutra_dictionary *dictionary, const struct sutra_json *text,
                         uint32_t *code_out)
{
    size_t bytes;
    int status = reserve_decoded(dictionary, text);
    if (status != SUTRA_OK)
        return status;
    const char *decoded = bytes_of(dictionary, text, &bytes);
    const uint64_t hash = sutra_hash_text(dictionary->seed, decoded, bytes);
    *code_out = find_hashed(dictionary, hash, decoded, bytes);
    if (*code_out != SUTRA_NO_CODE)
        return SUTRA_OK;
    const size_t count = dictionary->count;
    if (count >= SUTRA_ROWS_MAX || bytes > UINT32_MAX)
        return SUTRA_E_CAPACITY;
    status = sutra_planes_ensure(&dictionary->offsets, count + 1);
    if (status == SUTRA_OK)
        status = sutra_heap_reserve(&dictionary->heap, bytes + sizeof(uint32_t));
    if (status == SUTRA_OK)
        status = sutra_id_map_reserve(&dictionary->map, 1);
    if (status != SUTRA_OK)
        return status;
    const uint32_t length = (uint32_t)bytes;
    *offset_of(dictionary, count) = sutra_heap_append(&dictionary->heap, &length, sizeof length);
    (void)sutra_heap_append(&dictionary->heap, decoded, bytes);
    __atomic_store_n(&dictionary->count, count + 1, __ATOMIC_RELEASE);
    sutra_id_map_insert(&dictionary->map, hash, (uint32_t)count);
    *code_out = (uint32_t)count;
    return SUTRA_OK;
}

/* ---- loading */

static int load_plane(const struct sutra_part_source *source, uint32_t kind, const char *name,
                      size_t row_bytes, size_t rows, bool hot, struct sutra_plane *plane_out,
                      struct sutra_fault *fault)
{
    int status = source->load(source->context, kind, row_bytes, rows, hot,
                              hot ? SUTRA_HUGE_ADVISE : SUTRA_HUGE_NEVER, plane_out);
    if (status != SUTRA_OK) {
        memset(plane_out, 0, sizeof *plane_out);
        if (!fault->what)
            fault->what = name;
    }
    return status;
}

/* Enter all texts into the table. */
static int enter_all(struct sutra_dictionary *dictionary, struct sutra_fault *fault)
{
    int status = sutra_id_map_reserve(&dictionary->map, dictionary->count);
    for (size_t code = 0; status == SUTRA_OK && code < dictionary->count; code++) {
        size_t bytes;
        const char *text = sutra_dictionary_text(dictionary, code, &bytes);
        if (!text) {
            *fault = SUTRA_FAULT_NONE;
            fault->what = "texts of fields";
            fault->row = (int64_t)code;
            return SUTRA_E_CORRUPT;
        }
        sutra_id_map_insert(&dictionary->map, sutra_hash_text(dictionary->seed, text, bytes),
                            (uint32_t)code);
    }
    return status;
}

int sutra_dictionary_load(struct sutra_dictionary *dictionary, struct sutra_epochs *epochs,
                          uint64_t seed, size_t count, size_t heap_rows,
                          const struct sutra_part_source *source, struct sutra_fault *fault_out)
{
    struct sutra_plane heap = {0};
    memset(dictionary, 0, sizeof *dictionary);
    dictionary->seed = seed;
    dictionary->offsets.count = 1;
    dictionary->offsets.huge_pages = SUTRA_HUGE_ADVISE;
    dictionary->offsets.capacity_rows = count;
    dictionary->count = count;
    int status = load_plane(source, SUTRA_PART_TEXT, "texts of fields", sizeof(uint64_t), count,
                            true, &dictionary->offsets.plane[0], fault_out);
    if (status == SUTRA_OK)
        status = load_plane(source, SUTRA_PART_TEXT_HEAP, "heap of fields", SUTRA_HEAP_ROW,
                            heap_rows, false, &heap, fault_out);
    if (status == SUTRA_OK) {
        sutra_heap_adopt(&dictionary->heap, &heap, heap_rows);
        status = sutra_id_map_init(&dictionary->map, epochs);
    }
    if (status == SUTRA_OK)
        status = enter_all(dictionary, fault_out);
    if (status != SUTRA_OK)
        sutra_dictionary_deinit(dictionary);
    else
        dictionary->made = true;
    return status;
}
