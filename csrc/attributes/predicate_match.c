/* Predicates: matching; see predicate.h.
 *
 * Slots go through in tiles of 32 words of bits. Every node is asked about the slots that are still
 * in question: what one part of an "and" has ruled out, or one of an "or" has found, the next is
 * not asked about. Parts that columns can answer are asked before those that read metadata.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "predicate_parts.h"

#define TILE 32u /* words: 2,048 slots */

struct match {
    const struct sutra_predicate *predicate;
    const struct sutra_bound *bound;
    const struct sutra_attributes *attributes;
    const struct sutra_concepts *concepts;
    size_t born;
    size_t first_word; /* of the tile */
    size_t words;
    int status;
};

/* ---- metadata */

/* Of the slots in question, those whose metadata a comparison is true of. */
static uint64_t ask_metadata(struct match *match, const struct sutra_predicate_node *node,
                             size_t word, uint64_t need)
{
    const struct sutra_json_path *path = &match->predicate->paths[node->path];
    uint64_t found = 0;
    for (uint64_t left = need; left; left &= left - 1) {
        const unsigned bit = (unsigned)__builtin_ctzll(left);
        const uint8_t *metadata;
        uint32_t bytes;
        struct sutra_json value = {.kind = SUTRA_JSON_NONE};
        const int status = sutra_concepts_metadata(match->concepts, (uint32_t)(word * 64 + bit),
                                                   &metadata, &bytes);
        if (status != SUTRA_OK) {
            match->status = status;
            return 0;
        }
        if (metadata)
            sutra_json_find((const char *)metadata, bytes, path, &value);
        if (sutra_predicate_holds(match->predicate, node, &value))
            found |= (uint64_t)1 << bit;
    }
    return found;
}

/* ---- columns */

/* A byte a slot, 0 or 1, to a bit a slot: the product has byte j of eight at bit 56 + j. */
static uint64_t gather_bits(const uint8_t *flags)
{
    uint64_t bits = 0;
    for (size_t j = 0; j < 8; j++) {
        uint64_t eight;
        memcpy(&eight, flags + 8 * j, sizeof eight);
        bits |= ((eight * 0x0102040810204080u) >> 56) << 8 * j;
    }
    return bits;
}

static uint64_t in_range(const uint64_t *values, size_t count, int64_t low, int64_t high)
{
    uint8_t flags[SUTRA_CELLS] = {0};
    const uint64_t width = (uint64_t)high - (uint64_t)low;
    if (count == SUTRA_CELLS) { /* a count that the compiler knows */
        for (size_t j = 0; j < SUTRA_CELLS; j++)
            flags[j] = values[j] - (uint64_t)low <= width;
    } else {
        for (size_t j = 0; j < count; j++)
            flags[j] = values[j] - (uint64_t)low <= width;
    }
    return gather_bits(flags);
}

static uint64_t in_float_range(const uint64_t *values, size_t count, double least, double most)
{
    uint8_t flags[SUTRA_CELLS] = {0};
    for (size_t j = 0; j < count; j++) {
        double value;
        memcpy(&value, &values[j], sizeof value);
        flags[j] = (value >= least) & (value <= most);
    }
    return gather_bits(flags);
}

/* Integers that no double is: only the metadata have them. */
static uint64_t inexact(const uint64_t *values, size_t count)
{
    uint8_t flags[SUTRA_CELLS] = {0};
    for (size_t j = 0; j < count; j++)
        flags[j] = values[j] == SUTRA_INEXACT_BITS;
    return gather_bits(flags);
}

static bool is_member(const struct sutra_bound *bound, int64_t value)
{
    size_t low = 0, high = bound->member_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (bound->members[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low < bound->member_count && bound->members[low] == value;
}

static uint64_t in_set(const struct sutra_bound *bound, const uint64_t *values, uint64_t need)
{
    const bool floats = bound->field->type == SUTRA_FIELD_FLOAT;
    uint64_t found = 0;
    for (uint64_t left = need; left; left &= left - 1) {
        const unsigned bit = (unsigned)__builtin_ctzll(left);
        uint64_t value = values[bit];
        if (floats && value == (uint64_t)1 << 63) /* both zeros are one */
            value = 0;
        found |= (uint64_t)is_member(bound, (int64_t)value) << bit;
    }
    return found;
}

static uint64_t has_code(const struct sutra_bound *bound, const uint64_t *values, uint64_t need)
{
    uint64_t found = 0;
    for (uint64_t left = need; left; left &= left - 1) {
        const unsigned bit = (unsigned)__builtin_ctzll(left);
        const uint64_t code = values[bit];
        if (code < bound->code_count)
            found |= (bound->codes[code / 64] >> code % 64 & 1) << bit;
    }
    return found;
}

static uint64_t ask_column(struct match *match, const struct sutra_predicate_node *node,
                           const struct sutra_bound *bound, size_t word, uint64_t need)
{
    const struct sutra_cells *cells = sutra_attributes_cells(match->attributes, bound->field, word);
    const uint64_t present = __atomic_load_n(&cells->present, __ATOMIC_RELAXED);
    const uint64_t null = __atomic_load_n(&cells->null, __ATOMIC_RELAXED);
    const size_t left = match->born - word * 64;
    const size_t count = left < SUTRA_CELLS ? left : SUTRA_CELLS;
    const uint64_t asked = need & present;
    uint64_t found = 0;
    switch (asked ? bound->kind : SUTRA_BOUND_NEVER) {
    case SUTRA_BOUND_ANY:
        found = asked;
        break;
    case SUTRA_BOUND_RANGE:
        found = in_range(cells->values, count, bound->low, bound->high);
        break;
    case SUTRA_BOUND_FLOATS:
        found = in_float_range(cells->values, count, bound->least, bound->most);
        break;
    case SUTRA_BOUND_SET:
        found = in_set(bound, cells->values, asked);
        break;
    case SUTRA_BOUND_CODES:
        found = has_code(bound, cells->values, asked);
        break;
    default:
        break;
    }
    if (asked && bound->field->type == SUTRA_FIELD_FLOAT && bound->kind != SUTRA_BOUND_ANY) {
        const uint64_t unsure = asked & inexact(cells->values, count);
        if (unsure)
            found = (found & ~unsure) | ask_metadata(match, node, word, unsure);
    }
    found &= asked;
    if (bound->with_null)
        found |= need & null;
    if (bound->with_nothing)
        found |= need & ~(present | null);
    return found;
}

/* ---- nodes; `found` comes out within `need` */

static bool is_empty(const struct match *match, const uint64_t *bits)
{
    uint64_t any = 0;
    for (size_t w = 0; w < match->words; w++)
        any |= bits[w];
    return any == 0;
}

static void compare(struct match *match, uint32_t n, const uint64_t *need, uint64_t *found)
{
    const struct sutra_predicate_node *node = &match->predicate->nodes[n];
    const struct sutra_bound *bound = &match->bound[n];
    for (size_t w = 0; w < match->words; w++) {
        const size_t word = match->first_word + w;
        found[w] = need[w] == 0   ? 0
                   : bound->field ? ask_column(match, node, bound, word, need[w])
                                  : ask_metadata(match, node, word, need[w]);
    }
}

static void ask(struct match *match, uint32_t n, const uint64_t *need, uint64_t *found);

/* Ask the parts one after the other, columns first, about what is left of `need`. */
static void join(struct match *match, uint32_t n, const uint64_t *need, uint64_t *found)
{
    const struct sutra_predicate_node *node = &match->predicate->nodes[n];
    const bool all = node->op == SUTRA_PREDICATE_AND;
    uint64_t left[TILE], part[TILE];
    memcpy(left, need, sizeof left);
    for (int turn = 0; turn < 2; turn++) {
        for (uint32_t c = 0; c < node->count; c++) {
            const uint32_t child = match->predicate->children[node->first + c];
            if ((match->bound[child].kind == SUTRA_BOUND_JSON) != (turn == 1))
                continue;
            if (match->status != SUTRA_OK || is_empty(match, left))
                break;
            ask(match, child, left, part);
            for (size_t w = 0; w < match->words; w++)
                left[w] = all ? part[w] : left[w] & ~part[w];
        }
    }
    for (size_t w = 0; w < match->words; w++)
        found[w] = all ? left[w] : need[w] & ~left[w];
}

/* As deep as joins are, which is bounded. */
static void ask(struct match *match, uint32_t n, const uint64_t *need, uint64_t *found)
{
    const struct sutra_predicate_node *node = &match->predicate->nodes[n];
    if (!sutra_predicate_is_join(node)) {
        compare(match, n, need, found);
        return;
    }
    if (node->op != SUTRA_PREDICATE_NOT) {
        join(match, n, need, found);
        return;
    }
    ask(match, match->predicate->children[node->first], need, found);
    for (size_t w = 0; w < match->words; w++)
        found[w] = need[w] & ~found[w];
}

int sutra_predicate_match(const struct sutra_predicate *predicate,
                          const struct sutra_attributes *attributes,
                          const struct sutra_concepts *concepts, uint64_t view, size_t born,
                          uint64_t *slots_out)
{
    struct sutra_bound *bound;
    const size_t words = born / 64 + (born % 64 != 0);
    if (!predicate->finished)
        return SUTRA_E_ARGUMENT;
    const int status = sutra_predicate_bind(predicate, attributes, view, &bound);
    if (status != SUTRA_OK)
        return status;
    struct match match = {.predicate = predicate,
                          .bound = bound,
                          .attributes = attributes,
                          .concepts = concepts,
                          .born = born};
    for (; match.first_word < words && match.status == SUTRA_OK; match.first_word += TILE) {
        uint64_t need[TILE] = {0}, found[TILE];
        match.words = words - match.first_word < TILE ? words - match.first_word : TILE;
        sutra_concepts_visible_words(concepts, view, born, match.first_word, match.words, need);
        ask(&match, predicate->root, need, found);
        memcpy(slots_out + match.first_word, found, match.words * sizeof *found);
    }
    sutra_predicate_unbind(predicate, bound);
    return match.status;
}
