/* Associations loaded from planes with anything in them: wrong answers at worst.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fuzz.h"

#include "concepts/traverse.h"
#include "planes.h"

enum { CONCEPTS = 12, KINDS = 2 };
#define NEWEST (SUTRA_LSN_NEVER - 1)

/* ---- seeds */

static void emit_associations(size_t links, bool folded, uint8_t options)
{
    struct sutra_associations *associations, *fresh;
    struct sutra_part parts[SUTRA_ASSOCIATIONS_PARTS];
    uint64_t words[SUTRA_ASSOCIATIONS_STATE_WORDS];
    static const char *const names[KINDS] = {"is_a", "near"};
    uint16_t kind;
    FUZZ_REQUIRE(sutra_associations_new(&associations) == SUTRA_OK);
    for (size_t k = 0; k < KINDS; k++)
        FUZZ_REQUIRE(sutra_associations_add_kind(associations, names[k], 4, &kind) == SUTRA_OK);
    FUZZ_REQUIRE(sutra_associations_reserve(associations, 4 * links, CONCEPTS) == SUTRA_OK);
    for (uint64_t lsn = 1; lsn <= links; lsn++) {
        const uint32_t source = (uint32_t)(sutra_mix64(lsn) % CONCEPTS);
        const uint32_t target = (uint32_t)(sutra_mix64(lsn + 1000) % CONCEPTS);
        if (folded && lsn == links / 2) {
            FUZZ_REQUIRE(sutra_associations_fold(associations, &fresh) == SUTRA_OK);
            sutra_associations_release(associations);
            associations = fresh;
            FUZZ_REQUIRE(sutra_associations_reserve(associations, 4 * links, CONCEPTS) == SUTRA_OK);
        }
        (void)sutra_associations_link(associations, source, target, (uint16_t)(lsn % KINDS), 0.5f,
                                      1, (int64_t)lsn, lsn);
        if (lsn % 4 == 0)
            (void)sutra_associations_unlink(associations, (uint32_t)(lsn % CONCEPTS), target,
                                            SUTRA_NO_KIND, lsn, NULL);
    }
    sutra_associations_parts(associations, parts);
    sutra_associations_state(associations, words);
    planes_emit(words, SUTRA_ASSOCIATIONS_STATE_WORDS, parts, SUTRA_ASSOCIATIONS_PARTS, options);
    sutra_associations_release(associations);
}

static void fuzz_seeds(void)
{
    emit_associations(0, false, 0);
    emit_associations(20, false, 1);
    emit_associations(20, false, 0);
    emit_associations(60, true, 1);
    emit_associations(60, true, 0);
    emit_associations(60, true, 2);
}

/* ---- use */

static void read_all(const struct sutra_associations *associations)
{
    for (uint32_t concept = 0; concept < CONCEPTS + 3; concept ++) {
        for (int direction = 1; direction <= 3; direction++) {
            struct sutra_link_cursor cursor;
            struct sutra_link link;
            sutra_links_begin(&cursor, associations, concept, direction,
                              direction == 1 ? 1 : SUTRA_NO_KIND, direction == 2 ? 15 : NEWEST);
            while (sutra_links_next(&cursor, &link)) {
                uint32_t bytes;
                FUZZ_REQUIRE((link.outgoing ? link.source : link.target) == concept);
                FUZZ_REQUIRE(sutra_associations_kind_name(associations, link.kind, &bytes) != NULL);
            }
            FUZZ_REQUIRE(sutra_links_done(&cursor));
        }
        (void)sutra_associations_has(associations, concept, concept / 2, 0);
        (void)sutra_associations_degree(associations, concept);
    }
}

static void traverse_all(const struct sutra_associations *associations)
{
    const struct sutra_traversal traversal = {
        .associations = associations, .view = NEWEST, .min_weight = -1, .work_max = 500};
    static const uint32_t starts[] = {1, 2, CONCEPTS + 100};
    static const float scores[] = {1, 0.5f, -1};
    struct sutra_reached *reached = NULL;
    struct sutra_path *paths = NULL;
    uint32_t *nodes = NULL;
    uint16_t *kinds = NULL;
    size_t count, start_count;
    bool complete;
    FUZZ_REQUIRE(sutra_expand(&traversal, starts, 3, 3, 50, &reached, &count, &start_count,
                              &complete) == SUTRA_OK);
    free(reached);
    FUZZ_REQUIRE(sutra_spread(&traversal, starts, scores, 3, 3, 0.9f, 10, &reached, &count,
                              &start_count, &complete) == SUTRA_OK);
    free(reached);
    FUZZ_REQUIRE(sutra_paths(&traversal, 1, 7, 4, 3, &paths, &count, &nodes, &kinds, &complete) ==
                 SUTRA_OK);
    free(paths);
    free(nodes);
    free(kinds);
}

static void note_other(void *context, uint32_t concept, bool is_target)
{
    (void)context;
    /* Whoever is told of it uses it as a number of a concept. */
    FUZZ_REQUIRE(concept < CONCEPTS + 3 && (int)is_target < 2);
}

static bool verify(const struct sutra_associations *associations, size_t concepts)
{
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    const int status = sutra_associations_verify(associations, concepts, &fault);
    FUZZ_REQUIRE(status == SUTRA_OK || (status == SUTRA_E_CORRUPT && fault.what != NULL));
    return status == SUTRA_OK;
}

/* What folds out of sound ones is sound, and shows as many edges. */
static void fold_all(const struct sutra_associations *associations, bool sound)
{
    struct sutra_associations *folded = NULL;
    const int status = sutra_associations_fold(associations, &folded);
    FUZZ_REQUIRE(status == SUTRA_OK || !sound);
    if (status != SUTRA_OK)
        return;
    read_all(folded);
    const bool again = verify(folded, CONCEPTS + 3);
    if (sound)
        FUZZ_REQUIRE(again &&
                     sutra_associations_count(folded) == sutra_associations_count(associations));
    sutra_associations_release(folded);
}

static void write_all(struct sutra_associations *associations)
{
    uint16_t kind;
    for (uint64_t lsn = NEWEST - 10; lsn < NEWEST - 4; lsn++) {
        const uint32_t source = (uint32_t)(lsn % CONCEPTS), target = (uint32_t)(lsn / 3 % CONCEPTS);
        size_t room = sutra_associations_degree(associations, source);
        if (sutra_associations_reserve(associations, room + 1, CONCEPTS + 3) != SUTRA_OK)
            return;
        if (sutra_associations_kind_name(associations, 0, &(uint32_t){0}) != NULL)
            (void)sutra_associations_link(associations, source, target, 0, 1, 1, 1, lsn);
        room = sutra_associations_degree(associations, source);
        if (sutra_associations_reserve(associations, room, CONCEPTS + 3) != SUTRA_OK)
            return;
        if (lsn % 2)
            (void)sutra_associations_remove_concept(associations, source, lsn, note_other, NULL);
        else
            (void)sutra_associations_unlink(associations, source, target, SUTRA_NO_KIND, lsn, NULL);
    }
    (void)sutra_associations_add_kind(associations, "new", 3, &kind);
}

/* Options 1: planes end where nothing can be read, and are only read (bit 0); they are mapped (bit
 * 1). */
static void fuzz_run(struct fuzz_input *input)
{
    struct planes planes = {
        .input = input, .tight = input->options[1] & 1, .mapped = input->options[1] & 2};
    const struct sutra_part_source source = {&planes, planes_load};
    struct sutra_associations *associations = NULL;
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    uint64_t words[SUTRA_ASSOCIATIONS_STATE_WORDS];
    planes_words(input, words, SUTRA_ASSOCIATIONS_STATE_WORDS);
    const int status = sutra_associations_load(words, CONCEPTS, &source, &associations, &fault);
    FUZZ_REQUIRE(status == SUTRA_OK || status == SUTRA_E_CORRUPT || status == SUTRA_E_CAPACITY ||
                 status == SUTRA_E_TRUNCATED); /* the last is the source's */
    FUZZ_REQUIRE(status != SUTRA_E_CORRUPT || fault.what != NULL);
    if (status != SUTRA_OK)
        return;
    const bool sound = verify(associations, CONCEPTS);
    read_all(associations);
    traverse_all(associations);
    fold_all(associations, sound);
    if (!planes.tight) {
        write_all(associations);
        read_all(associations);
        fold_all(associations, false);
    }
    sutra_associations_release(associations);
}
