/* Deleting by a predicate: the ids are those of the concepts that match when the write has its
 * turn.
 *
 * Whoever calls holds the writer's lock, so nothing is written between looking and deleting.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include <stdlib.h>

/* Places for so many ids, as one block that begins with the numbers. */
static int make_room(struct sutra_ids *ids, size_t count, int64_t **numbers_out,
                     const char ***texts_out, uint32_t **bytes_out)
{
    char *block = malloc(count * (sizeof **numbers_out + sizeof **texts_out + sizeof **bytes_out) +
                         sizeof **numbers_out);
    if (!block)
        return SUTRA_E_NO_MEMORY;
    *numbers_out = (int64_t *)(void *)block;
    *texts_out = (const char **)(void *)(*numbers_out + count);
    *bytes_out = (uint32_t *)(void *)(*texts_out + count);
    *ids = (struct sutra_ids){
        .count = count, .numbers = *numbers_out, .texts = *texts_out, .text_bytes = *bytes_out};
    return SUTRA_OK;
}

static int name_all(const struct sutra_concepts *concepts, const uint64_t *chosen, size_t words,
                    size_t count, struct sutra_ids *ids)
{
    int64_t *numbers;
    const char **texts;
    uint32_t *bytes;
    int status = make_room(ids, count, &numbers, &texts, &bytes);
    size_t at = 0;
    for (size_t word = 0; word < words && status == SUTRA_OK; word++) {
        for (uint64_t bits = chosen[word]; bits && status == SUTRA_OK; bits &= bits - 1, at++) {
            const uint32_t concept = (uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(bits);
            status = sutra_concepts_id(concepts, concept, &numbers[at], &texts[at], &bytes[at]);
        }
    }
    return status;
}

static int choose(struct sutra_store *store, const struct sutra_state *state,
                  struct sutra_op_ids *op)
{
    const struct sutra_concepts *concepts = &state->concepts;
    const uint64_t view = store->next_lsn - 1;
    const size_t born = sutra_concepts_born(concepts, view), limit = concepts->concept_count;
    const size_t slot_words = born / 64 + 1, words = limit / 64 + 1;
    uint64_t *slots = calloc(slot_words + words, sizeof *slots);
    if (!slots)
        return SUTRA_E_NO_MEMORY;
    uint64_t *chosen = slots + slot_words;
    const unsigned epoch = sutra_epoch_enter(&store->epochs);
    int status = sutra_predicate_match(op->where, &state->attributes, concepts, view, born, slots);
    sutra_epoch_leave(&store->epochs, epoch);
    if (status == SUTRA_OK) {
        const size_t count = sutra_concepts_of_slots(concepts, slots, born, limit, chosen);
        status = name_all(concepts, chosen, words, count, &op->ids);
    }
    free(slots);
    return status;
}

int sutra_choose_ids(struct sutra_store *store, const struct sutra_state *state,
                     struct sutra_op *ops, size_t count)
{
    int status = SUTRA_OK;
    bool puts = false;
    for (size_t j = 0; j < count && status == SUTRA_OK; j++) {
        puts = puts || ops[j].kind == SUTRA_OP_PUT;
        if (ops[j].kind == SUTRA_OP_DELETE && ops[j].ids.where)
            status = puts ? SUTRA_E_ARGUMENT : choose(store, state, &ops[j].ids);
    }
    return status;
}

void sutra_forget_ids(struct sutra_op *ops, size_t count)
{
    for (size_t j = 0; j < count; j++) {
        if (ops[j].kind != SUTRA_OP_DELETE || !ops[j].ids.where)
            continue;
        free((void *)(uintptr_t)ops[j].ids.ids.numbers);
        ops[j].ids.ids = (struct sutra_ids){0};
    }
}
