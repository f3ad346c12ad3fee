/* Marks of changed rows; the contract is in dirty.h.
 *
 * Bits beyond sealed_rows are never set, so words can be taken whole.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "dirty.h"
#include "status.h"

static size_t words_for(size_t rows)
{
    return rows / 64 + (rows % 64 != 0);
}

void sutra_dirty_deinit(struct sutra_dirty *dirty)
{
    free(dirty->words);
    *dirty = (struct sutra_dirty){0};
}

int sutra_dirty_seal(struct sutra_dirty *dirty, size_t rows)
{
    const size_t count = words_for(rows);
    if (count == words_for(dirty->sealed_rows)) {
        if (count > 0)
            memset(dirty->words, 0, count * sizeof *dirty->words);
    } else {
        uint64_t *words = NULL;
        if (count > 0) {
            words = calloc(count, sizeof *words);
            if (words == NULL)
                return SUTRA_E_NO_MEMORY;
        }
        free(dirty->words);
        dirty->words = words;
    }
    dirty->sealed_rows = rows;
    dirty->marked = 0;
    return SUTRA_OK;
}

void sutra_dirty_merge(struct sutra_dirty *dirty, const struct sutra_dirty *other)
{
    const size_t count = words_for(other->sealed_rows);
    for (size_t w = 0; w < count; w++) {
        const uint64_t fresh = other->words[w] & ~dirty->words[w];
        dirty->words[w] |= fresh;
        dirty->marked += (size_t)__builtin_popcountll(fresh);
    }
}

size_t sutra_dirty_next(const struct sutra_dirty *dirty, size_t from)
{
    if (from >= dirty->sealed_rows)
        return dirty->sealed_rows;
    const size_t count = words_for(dirty->sealed_rows);
    size_t w = from / 64;
    uint64_t word = dirty->words[w] & ~(uint64_t)0 << from % 64;
    while (word == 0) {
        if (++w == count)
            return dirty->sealed_rows;
        word = dirty->words[w];
    }
    return w * 64 + (size_t)__builtin_ctzll(word);
}
