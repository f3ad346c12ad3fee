/* Verify finds every kind of damage to the concept tables.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "concept_cases.h"

struct damage {
    const char *what; /* what verify must name */
    void (*make)(struct sutra_concepts *concepts);
};

/* Slots of the set that is damaged: concept 0 has 0, 3 and 5; concept 1 (a text) has 1; concept 2
 * has 2, which died; 4 is the only slot of concept 3, with content and metadata. */
static struct sutra_record *record_at(struct sutra_concepts *concepts, uint32_t slot)
{
    return sutra_concepts_record(concepts, slot);
}

static uint64_t *lsn_at(struct sutra_concepts *concepts, unsigned plane, uint32_t slot)
{
    return sutra_planes_row(&concepts->slots, plane, slot);
}

static uint32_t *head_at(struct sutra_concepts *concepts, uint32_t concept)
{
    return sutra_planes_row(&concepts->heads, 0, concept);
}

static uint64_t *taken_word(struct sutra_concepts *concepts, uint32_t concept)
{
    uint64_t *word = concepts->map.table->words;
    while ((uint32_t)*word != concept + 1)
        word++;
    return word;
}

#define DAMAGE(name, statement)                                                                    \
    static void name(struct sutra_concepts *c)                                                     \
    {                                                                                              \
        statement;                                                                                 \
    }

DAMAGE(head_is_beyond, *head_at(c, 1) = 6)
DAMAGE(head_is_none, *head_at(c, 1) = SUTRA_NO_SLOT)
DAMAGE(head_is_anothers, *head_at(c, 1) = 4)
DAMAGE(head_is_older, *head_at(c, 0) = 3)
DAMAGE(chain_is_a_loop, record_at(c, 3)->previous = 5)
DAMAGE(chain_is_itself, record_at(c, 3)->previous = 3)
DAMAGE(chain_is_cut, record_at(c, 5)->previous = 0)
DAMAGE(chain_ends_early, record_at(c, 3)->previous = SUTRA_NO_SLOT)
DAMAGE(chain_is_anothers, record_at(c, 4)->previous = 2)
DAMAGE(chain_changes_id, record_at(c, 0)->id = 20)
DAMAGE(chain_changes_to_text, record_at(c, 0)->flags |= SUTRA_RECORD_TEXT_ID;
       record_at(c, 0)->id = record_at(c, 1)->id)
DAMAGE(birth_falls, *lsn_at(c, SUTRA_SLOT_BIRTH, 3) = 1)
DAMAGE(birth_is_never, *lsn_at(c, SUTRA_SLOT_BIRTH, 5) = SUTRA_LSN_NEVER)
DAMAGE(death_before_birth, *lsn_at(c, SUTRA_SLOT_DEATH, 2) = 29)
DAMAGE(death_is_late, *lsn_at(c, SUTRA_SLOT_DEATH, 0) = 41)
DAMAGE(death_is_missing, *lsn_at(c, SUTRA_SLOT_DEATH, 3) = SUTRA_LSN_NEVER)
DAMAGE(death_of_the_living, *lsn_at(c, SUTRA_SLOT_DEATH, 5) = 100)
DAMAGE(id_is_negative, record_at(c, 4)->id = -1)
DAMAGE(id_is_not_below_next, record_at(c, 4)->id = c->next_number)
DAMAGE(id_is_another, record_at(c, 4)->id = 29)
DAMAGE(id_is_twice, record_at(c, 4)->id = 20)
DAMAGE(next_number_is_low, c->next_number = 30)
DAMAGE(text_is_beyond, record_at(c, 1)->id = (int64_t)c->heap.used - 3)
DAMAGE(text_is_negative, record_at(c, 1)->id = -5)
DAMAGE(text_has_no_bytes, memset(c->heap.plane.base + record_at(c, 1)->id, 0, 4))
DAMAGE(text_is_too_long, memcpy(c->heap.plane.base + record_at(c, 1)->id, "\x01\x04\0", 4))
DAMAGE(text_is_not_utf8, c->heap.plane.base[record_at(c, 1)->id + 5] = 0xff)
DAMAGE(text_is_another, c->heap.plane.base[record_at(c, 1)->id + 5] = '?')
DAMAGE(content_is_beyond, record_at(c, 4)->content_offset = c->heap.used)
DAMAGE(content_is_far_beyond, record_at(c, 4)->content_offset = UINT64_MAX - 1)
DAMAGE(content_is_long, record_at(c, 4)->content_bytes = UINT32_MAX)
DAMAGE(content_is_not_utf8, c->heap.plane.base[record_at(c, 4)->content_offset + 1] = 0x80)
DAMAGE(metadata_are_beyond, record_at(c, 4)->metadata_bytes = 1u << 20)
DAMAGE(metadata_are_not_utf8, c->heap.plane.base[record_at(c, 4)->content_offset + 9] = 0xc0)
DAMAGE(strength_is_nan, record_at(c, 2)->strength = NAN)
DAMAGE(confidence_is_infinite, record_at(c, 2)->confidence = -INFINITY)
DAMAGE(flags_are_unknown, record_at(c, 2)->flags |= 16)
DAMAGE(content_without_flag, record_at(c, 2)->content_bytes = 1)
DAMAGE(bytes_without_content, record_at(c, 2)->flags |= SUTRA_RECORD_CONTENT_BYTES)
DAMAGE(metadata_without_flag, record_at(c, 2)->metadata_bytes = 1)
DAMAGE(live_count_is_low, c->live_count--)
DAMAGE(live_count_is_high, c->live_count++)
DAMAGE(word_is_missing, *taken_word(c, 2) = 0)
DAMAGE(word_is_another, *taken_word(c, 2) ^= 1)
DAMAGE(word_is_beyond, *taken_word(c, 2) += 100)
DAMAGE(word_is_misplaced, *taken_word(c, 2) ^= (uint64_t)1 << 63)
DAMAGE(word_is_too_many, *(taken_word(c, 2) + 1) = 9)
DAMAGE(used_is_wrong, c->map.used++)

#define RECORDS "concept records"
#define BIRTHS "concept births"
#define DEATHS "concept deaths"
#define HEADS "concept heads"
#define HEAP_BYTES "concept heap"
#define COUNTS "concept counts"
#define WORDS "id map"

static const struct damage damages[] = {
    {HEADS, head_is_beyond},
    {HEADS, head_is_none},
    {HEADS, head_is_anothers}, /* found at the concept whose slot it is */
    {RECORDS, head_is_older},
    {RECORDS, chain_is_a_loop},
    {RECORDS, chain_is_itself},
    {RECORDS, chain_is_cut},
    {RECORDS, chain_ends_early},
    {RECORDS, chain_is_anothers},
    {RECORDS, chain_changes_id},
    {RECORDS, chain_changes_to_text},
    {BIRTHS, birth_falls},
    {BIRTHS, birth_is_never},
    {DEATHS, death_before_birth},
    {DEATHS, death_is_late},
    {DEATHS, death_is_missing},
    {COUNTS, death_of_the_living},
    {RECORDS, id_is_negative},
    {RECORDS, id_is_not_below_next},
    {WORDS, id_is_another},
    {WORDS, id_is_twice},
    {RECORDS, next_number_is_low},
    {HEAP_BYTES, text_is_beyond},
    {HEAP_BYTES, text_is_negative},
    {HEAP_BYTES, text_has_no_bytes},
    {HEAP_BYTES, text_is_too_long},
    {HEAP_BYTES, text_is_not_utf8},
    {WORDS, text_is_another},
    {HEAP_BYTES, content_is_beyond},
    {HEAP_BYTES, content_is_far_beyond},
    {HEAP_BYTES, content_is_long},
    {HEAP_BYTES, content_is_not_utf8},
    {HEAP_BYTES, metadata_are_beyond},
    {HEAP_BYTES, metadata_are_not_utf8},
    {RECORDS, strength_is_nan},
    {RECORDS, confidence_is_infinite},
    {RECORDS, flags_are_unknown},
    {RECORDS, content_without_flag},
    {RECORDS, bytes_without_content},
    {RECORDS, metadata_without_flag},
    {COUNTS, live_count_is_low},
    {COUNTS, live_count_is_high},
    {WORDS, word_is_missing},
    {WORDS, word_is_another},
    {WORDS, word_is_beyond},
    {WORDS, word_is_misplaced},
    {WORDS, word_is_too_many},
    {WORDS, used_is_wrong},
};

static bool make_damaged_set(struct sutra_concepts *concepts, struct sutra_epochs *epochs)
{
    const struct sutra_record record = {.vector_row = SUTRA_NO_ROW};
    if (sutra_concepts_init(concepts, epochs, HASH_SEED) != SUTRA_OK ||
        sutra_concepts_reserve(concepts, 6, 4, 100) != SUTRA_OK)
        return false;
    (void)sutra_concepts_put(concepts, sutra_concepts_enter(concepts, 10, NULL, 0), &record, 10);
    (void)sutra_concepts_put(concepts, sutra_concepts_enter(concepts, 0, "text", 4), &record, 20);
    (void)sutra_concepts_put(concepts, sutra_concepts_enter(concepts, 20, NULL, 0), &record, 30);
    (void)sutra_concepts_put(concepts, 0, &record, 40);
    struct sutra_record full = record;
    full.flags = SUTRA_RECORD_CONTENT | SUTRA_RECORD_METADATA;
    full.content_offset = sutra_heap_append(&concepts->heap, "content.{\"a\": 1}", 16);
    full.content_bytes = 8;
    full.metadata_bytes = 8;
    (void)sutra_concepts_put(concepts, sutra_concepts_enter(concepts, 30, NULL, 0), &full, 50);
    (void)sutra_concepts_remove(concepts, 2, 60);
    (void)sutra_concepts_put(concepts, 0, &record, 70);
    sutra_concepts_publish(concepts);
    return true;
}

static void verify_finds_every_kind_of_damage(void)
{
    struct sutra_epochs epochs;
    struct sutra_concepts concepts;
    struct sutra_fault fault;
    REQUIRE(sutra_epochs_init(&epochs) == SUTRA_OK);
    REQUIRE(make_damaged_set(&concepts, &epochs));
    CHECK_EQ(sutra_concepts_verify(&concepts, &fault), SUTRA_OK);
    sutra_concepts_deinit(&concepts);
    for (size_t j = 0; j < sizeof damages / sizeof damages[0]; j++) {
        REQUIRE(make_damaged_set(&concepts, &epochs));
        damages[j].make(&concepts);
        const int status = sutra_concepts_verify(&concepts, &fault);
        const bool found =
            status == SUTRA_E_CORRUPT && fault.what && strcmp(fault.what, damages[j].what) == 0;
        CHECK(found);
        if (!found)
            (void)fprintf(stderr, "damage %zu: %d, %s instead of %s\n", j, status,
                          fault.what ? fault.what : "nothing", damages[j].what);
        CHECK_EQ(fault.row < 0, fault.what && strcmp(fault.what, COUNTS) == 0);
        sutra_concepts_deinit(&concepts);
    }
    sutra_epochs_deinit(&epochs);
}

CHECK_MAIN(CASE(verify_finds_every_kind_of_damage))
