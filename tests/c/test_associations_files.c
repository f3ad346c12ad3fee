/* Associations from files: what loads as it was saved, what is refused, what a damaged file can do
 * (give wrong answers, and nothing worse), and what verifying finds.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "association_cases.h"

#include <math.h>

#include "concepts/associations_parts.h"
#include "concepts/traverse.h"

#define NEWEST (SUTRA_LSN_NEVER - 1)

enum { CONCEPTS = 30, KINDS = 3 };

/* A base, deaths in it, and a delta with several versions. */
static struct sutra_associations *make_rich(void)
{
    struct sutra_associations *associations = make(KINDS, 1000, CONCEPTS);
    if (!associations)
        return NULL;
    for (uint64_t lsn = 1; lsn < 240; lsn++) {
        const uint32_t source = random_below(CONCEPTS), target = random_below(CONCEPTS);
        const uint16_t kind = (uint16_t)random_below(KINDS);
        if (lsn == 120) {
            fold(&associations);
            CHECK_EQ(sutra_associations_reserve(associations, 1000, CONCEPTS), SUTRA_OK);
        }
        sutra_associations_link(associations, source, target, kind, 0.5f, 0.5f, (int64_t)lsn, lsn);
        if (lsn % 3 == 0)
            sutra_associations_unlink(associations, random_below(CONCEPTS), target, SUTRA_NO_KIND,
                                      lsn, NULL);
    }
    return associations;
}

static bool make_saved(struct saved *saved)
{
    struct sutra_associations *associations = make_rich();
    const bool made = associations && save(saved, associations);
    sutra_associations_release(associations);
    return made;
}

static struct saved_part *part_of(struct saved *saved, enum sutra_part_kind kind)
{
    return &saved->parts[kind - SUTRA_PART_OUT_OFFSET];
}

/* ---- loading */

static int fail_third(void *context, uint32_t kind, size_t row_bytes, size_t rows, bool hot,
                      int huge_pages, struct sutra_plane *plane_out)
{
    if (kind == SUTRA_PART_IN_OFFSET)
        return SUTRA_E_TRUNCATED;
    return load_part(context, kind, row_bytes, rows, hot, huge_pages, plane_out);
}

static void what_was_saved_is_loaded(void)
{
    seed_random(5);
    struct saved saved = {0}, again = {0};
    struct sutra_associations *loaded = NULL;
    struct sutra_fault fault;
    REQUIRE(make_saved(&saved));
    REQUIRE(load(&saved, CONCEPTS, &loaded, &fault) == SUTRA_OK);
    CHECK(fault.what == NULL);
    REQUIRE(save(&again, loaded));
    CHECK(memcmp(saved.words, again.words, sizeof saved.words) == 0);
    for (size_t p = 0; p < SUTRA_ASSOCIATIONS_PARTS; p++) {
        const struct saved_part *a = &saved.parts[p], *b = &again.parts[p];
        CHECK(a->version == b->version && a->rows == b->rows && a->rows > 0);
        CHECK(memcmp(a->bytes, b->bytes, a->rows * a->row_bytes) == 0);
    }
    /* More concepts: their heads are empty, whatever lay behind the rows of the file. */
    REQUIRE(sutra_associations_reserve(loaded, 1, CONCEPTS + 40) == SUTRA_OK);
    CHECK(sutra_associations_link(loaded, CONCEPTS + 20, CONCEPTS + 30, 0, 1, 1, 0, 300));
    CHECK_EQ(sutra_associations_verify(loaded, CONCEPTS + 40, &fault), SUTRA_OK);
    CHECK_EQ(sutra_associations_degree(loaded, CONCEPTS + 30), 1);
    /* A fold makes the parts anew, but for the names. */
    fold(&loaded);
    struct sutra_part parts[SUTRA_ASSOCIATIONS_PARTS];
    sutra_associations_parts(loaded, parts);
    for (size_t p = 0; p < SUTRA_ASSOCIATIONS_PARTS; p++) {
        CHECK_EQ(parts[p].kind, SUTRA_PART_OUT_OFFSET + p);
        CHECK_EQ(parts[p].version != saved.parts[p].version, parts[p].kind != SUTRA_PART_KIND_NAME);
        CHECK_EQ(parts[p].row_bytes, saved.parts[p].row_bytes);
        CHECK(parts[p].plane == NULL || parts[p].plane->row_bytes == parts[p].row_bytes);
    }
    sutra_associations_release(loaded);

    const struct sutra_part_source source = {&saved, fail_third};
    CHECK_EQ(sutra_associations_load(saved.words, CONCEPTS, &source, &loaded, &fault),
             SUTRA_E_TRUNCATED);
    CHECK(fault.what != NULL);
    forget(&saved);
    forget(&again);
}

static void an_empty_one_is_saved_and_loaded(void)
{
    struct sutra_associations *associations, *loaded = NULL;
    struct sutra_fault fault;
    struct saved saved = {0};
    REQUIRE(sutra_associations_new(&associations) == SUTRA_OK);
    REQUIRE(save(&saved, associations));
    REQUIRE(load(&saved, 0, &loaded, &fault) == SUTRA_OK);
    CHECK_EQ(sutra_associations_verify(loaded, 0, &fault), SUTRA_OK);
    fold(&loaded);
    CHECK_EQ(sutra_associations_count(loaded), 0);
    uint16_t kind;
    CHECK_EQ(sutra_associations_add_kind(loaded, "k", 1, &kind), SUTRA_OK);
    REQUIRE(sutra_associations_reserve(loaded, 1, 2) == SUTRA_OK);
    CHECK(sutra_associations_link(loaded, 0, 1, kind, 1, 1, 0, 1));
    CHECK_EQ(count_links(loaded, 1, SUTRA_IN, SUTRA_NO_KIND, 1), 1);
    sutra_associations_release(associations);
    sutra_associations_release(loaded);
    forget(&saved);
}

static void impossible_counts_are_refused(void)
{
    seed_random(6);
    struct saved saved = {0};
    struct sutra_associations *loaded = NULL;
    struct sutra_fault fault;
    REQUIRE(make_saved(&saved));
    for (size_t w = 1; w < SUTRA_ASSOCIATIONS_STATE_WORDS; w++) {
        const uint64_t right = saved.words[w];
        const uint64_t wrong[] = {UINT64_MAX, (uint64_t)1 << 31, (uint64_t)1 << 32 | right};
        for (size_t j = 0; j < 3; j++) {
            saved.words[w] = wrong[j];
            CHECK_EQ(load(&saved, CONCEPTS, &loaded, &fault), SUTRA_E_CORRUPT);
            CHECK(fault.what && fault.row == (int64_t)w && fault.found == wrong[j]);
        }
        saved.words[w] = right;
    }
    const struct {
        size_t word;
        uint64_t wrong;
    } against[] = {{2, 0}, {5, saved.words[2] + 1}, {7, saved.words[2] + saved.words[3] + 1}};
    for (size_t j = 0; j < 3; j++) { /* a base without edges, more deaths or living than edges */
        const uint64_t right = saved.words[against[j].word];
        saved.words[against[j].word] = against[j].wrong;
        CHECK_EQ(load(&saved, CONCEPTS, &loaded, &fault), SUTRA_E_CORRUPT);
        CHECK(fault.what && fault.row >= 0);
        saved.words[against[j].word] = right;
    }
    CHECK_EQ(load(&saved, SIZE_MAX, &loaded, &fault), SUTRA_E_CAPACITY);

    struct saved_part *names = part_of(&saved, SUTRA_PART_KIND_NAME);
    uint8_t *last = names->bytes + (KINDS - 1) * names->row_bytes;
    const uint8_t damages[][3] = {{0, '2', 0}, {1, '0', 0}, {1, 0xff, 0}, {2, 'x', 0xc3}};
    for (size_t j = 0; j < sizeof damages / sizeof damages[0]; j++) {
        memcpy(last, damages[j], sizeof damages[j]); /* no name, one twice, no UTF-8 */
        CHECK_EQ(load(&saved, CONCEPTS, &loaded, &fault), SUTRA_E_CORRUPT);
        CHECK_EQ(fault.row, KINDS - 1);
    }
    forget(&saved);
}

/* ---- damaged rows */

static void ignore_other(void *context, uint32_t concept, bool is_target)
{
    (void)context;
    /* Whoever is told of it uses it as a number of a concept. */
    CHECK(concept < CONCEPTS + 5 || !is_target);
    CHECK(concept < CONCEPTS + 5);
}

static size_t read_everything(const struct sutra_associations *associations)
{
    size_t count = 0;
    for (uint32_t concept = 0; concept < CONCEPTS + 5; concept ++) {
        for (int direction = 1; direction <= 3; direction++) {
            for (uint16_t kind = 0; kind <= KINDS; kind++) {
                struct sutra_link_cursor cursor;
                struct sutra_link link;
                sutra_links_begin(&cursor, associations, concept, direction,
                                  kind == KINDS ? SUTRA_NO_KIND : kind, kind % 2 ? 150 : NEWEST);
                while (sutra_links_next(&cursor, &link)) {
                    CHECK((link.outgoing ? link.source : link.target) == concept);
                    CHECK(link.source < CONCEPTS + 5 && link.target < CONCEPTS + 5);
                    CHECK(link.kind < KINDS);
                    count++;
                }
            }
        }
        for (uint16_t kind = 0; kind < KINDS; kind++)
            count += sutra_associations_has(associations, concept, concept / 2, kind);
    }
    return count;
}

static void traverse_everything(const struct sutra_associations *associations)
{
    const struct sutra_traversal traversal = {
        .associations = associations, .view = NEWEST, .min_weight = -1, .work_max = 2000};
    const uint32_t starts[] = {1, 2, CONCEPTS + 100};
    const float scores[] = {1, 0.5f, -1};
    struct sutra_reached *reached = NULL;
    struct sutra_path *paths = NULL;
    uint32_t *nodes = NULL;
    uint16_t *kinds = NULL;
    size_t count, start_count;
    bool complete;
    CHECK_EQ(sutra_expand(&traversal, starts, 3, 3, 100, &reached, &count, &start_count, &complete),
             SUTRA_OK);
    free(reached);
    CHECK_EQ(sutra_spread(&traversal, starts, scores, 3, 3, 0.9f, 10, &reached, &count,
                          &start_count, &complete),
             SUTRA_OK);
    free(reached);
    CHECK_EQ(sutra_paths(&traversal, 1, 7, 4, 3, &paths, &count, &nodes, &kinds, &complete),
             SUTRA_OK);
    free(paths);
    free(nodes);
    free(kinds);
}

static void write_everything(struct sutra_associations *associations)
{
    struct sutra_associations *folded = NULL;
    struct sutra_fault fault;
    for (uint64_t lsn = 300; lsn < 310; lsn++) {
        const uint32_t source = random_below(CONCEPTS), target = random_below(CONCEPTS);
        size_t room = sutra_associations_degree(associations, source);
        if (sutra_associations_reserve(associations, room + 1, CONCEPTS + 5) != SUTRA_OK)
            break;
        sutra_associations_link(associations, source, target, (uint16_t)(lsn % KINDS), 1, 1, 1,
                                lsn);
        room = sutra_associations_degree(associations, source);
        if (sutra_associations_reserve(associations, room, CONCEPTS + 5) != SUTRA_OK)
            break;
        sutra_associations_unlink(associations, source, random_below(CONCEPTS), SUTRA_NO_KIND, lsn,
                                  NULL);
        if (lsn % 2)
            sutra_associations_remove_concept(associations, source, lsn, ignore_other, NULL);
    }
    if (sutra_associations_fold(associations, &folded) != SUTRA_OK)
        return;
    (void)read_everything(folded);
    (void)sutra_associations_verify(folded, CONCEPTS + 5, &fault);
    sutra_associations_release(folded);
}

/* Change one number somewhere, often to one that is nearly right. */
static void damage(struct saved *saved)
{
    struct saved_part *part = &saved->parts[random_below(SUTRA_ASSOCIATIONS_PARTS - 1)];
    const size_t words = part->rows * part->row_bytes / 4;
    uint8_t *at = part->bytes + 4 * (size_t)random_below(words);
    const uint32_t nearly[] = {0,          1,          UINT32_MAX, UINT32_MAX - 1,
                               0x7fffffff, 0x80000000, 0x7fc00000, (uint32_t)part->rows,
                               CONCEPTS,   KINDS,      0x0000ffff, (uint32_t)part->rows + 1};
    const uint32_t before = sutra_load_u32(at);
    uint32_t after = random_below(UINT64_C(1) << 32);
    if (random_below(2))
        after = nearly[random_below(sizeof nearly / sizeof nearly[0])];
    else if (random_below(2))
        after = before + random_below(9) - 4;
    else if (random_below(2))
        after = before ^ UINT32_C(1) << random_below(32);
    sutra_store_u32(at, after);
}

/* On planes that end where nothing can be read, then on planes that can be written. */
static void damaged_rows_do_no_harm(void)
{
    seed_random(7);
    struct saved good = {0};
    REQUIRE(make_saved(&good));
    const unsigned rounds = is_slow_place() && !SANITIZED_ADDRESSES ? 500 : 10000;
    size_t damaged = 0, found = 0;
    for (unsigned round = 0; round < rounds; round++) {
        struct saved bad = good;
        bool copied = true;
        for (size_t p = 0; p < SUTRA_ASSOCIATIONS_PARTS; p++) {
            const size_t bytes = good.parts[p].rows * good.parts[p].row_bytes;
            bad.parts[p].bytes = malloc(bytes);
            copied = copied && bad.parts[p].bytes;
            if (bad.parts[p].bytes)
                memcpy(bad.parts[p].bytes, good.parts[p].bytes, bytes);
        }
        REQUIRE(copied);
        for (unsigned n = 1 + random_below(random_below(8) == 0 ? 40 : 3); n > 0; n--)
            damage(&bad);
        struct sutra_associations *loaded = NULL;
        struct sutra_fault fault;
        bad.tight = true;
        REQUIRE(load(&bad, CONCEPTS, &loaded, &fault) == SUTRA_OK);
        const int status = sutra_associations_verify(loaded, CONCEPTS, &fault);
        CHECK(status == SUTRA_OK || (status == SUTRA_E_CORRUPT && fault.what));
        damaged++;
        found += status != SUTRA_OK;
        (void)read_everything(loaded);
        traverse_everything(loaded);
        struct sutra_associations *folded = NULL;
        if (sutra_associations_fold(loaded, &folded) == SUTRA_OK) {
            (void)read_everything(folded);
            sutra_associations_release(folded);
        }
        sutra_associations_release(loaded);
        bad.tight = false;
        bad.read_only = round % 2;
        REQUIRE(load(&bad, CONCEPTS, &loaded, &fault) == SUTRA_OK);
        write_everything(loaded);
        sutra_associations_release(loaded);
        forget(&bad);
    }
    /* Weights, confidences and times of creation may be anything finite; the rest is found. */
    CHECK(found > damaged * 6 / 10);
    forget(&good);
}

/* ---- what verifying finds */

static void *row_of(struct saved *saved, enum sutra_part_kind kind, size_t row)
{
    const struct saved_part *part = part_of(saved, kind);
    return part->bytes + row * part->row_bytes;
}

static int verify_saved(struct saved *saved, size_t concepts)
{
    struct sutra_associations *loaded = NULL;
    struct sutra_fault fault;
    int status = load(saved, concepts, &loaded, &fault);
    if (status != SUTRA_OK)
        return 1;
    status = sutra_associations_verify(loaded, concepts, &fault);
    CHECK_EQ(status != SUTRA_OK, fault.what != NULL);
    sutra_associations_release(loaded);
    return status;
}

static const char *seeded;

static void expect_corrupt(struct saved *saved)
{
    const int status = verify_saved(saved, CONCEPTS);
    if (status != SUTRA_E_CORRUPT)
        (void)fprintf(stderr, "not found: %s\n", seeded);
    CHECK_EQ(status, SUTRA_E_CORRUPT);
}

#define DAMAGED(place, value)                                                                      \
    do {                                                                                           \
        __typeof__(place) right = (place);                                                         \
        (place) = (value);                                                                         \
        seeded = #place " = " #value;                                                              \
        expect_corrupt(&saved);                                                                    \
        (place) = right;                                                                           \
    } while (0)

static void seeded_damage_is_found(void)
{
    seed_random(8);
    struct saved saved = {0};
    REQUIRE(make_saved(&saved));
    REQUIRE(verify_saved(&saved, CONCEPTS) == SUTRA_OK);
    CHECK_EQ(verify_saved(&saved, 5), SUTRA_E_CORRUPT);
    const size_t edges = part_of(&saved, SUTRA_PART_EDGE)->rows;
    const size_t rows = part_of(&saved, SUTRA_PART_DELTA_EDGE)->rows;
    const size_t offsets = part_of(&saved, SUTRA_PART_OUT_OFFSET)->rows;
    REQUIRE(edges > 20 && rows > 20 && offsets > 10);

    uint32_t *out = row_of(&saved, SUTRA_PART_OUT_OFFSET, 0);
    uint32_t *in = row_of(&saved, SUTRA_PART_IN_OFFSET, 0);
    DAMAGED(out[0], 1);
    DAMAGED(out[offsets / 2], out[offsets / 2] + 1);
    DAMAGED(out[offsets / 2], UINT32_MAX);
    DAMAGED(out[offsets - 1], (uint32_t)edges + 1);
    DAMAGED(in[0], 1);
    DAMAGED(in[offsets / 2], in[offsets / 2] + 1);
    DAMAGED(in[offsets - 1], (uint32_t)edges - 1);

    uint32_t *number = row_of(&saved, SUTRA_PART_IN_EDGE, edges / 2);
    DAMAGED(*number, (uint32_t)edges);
    DAMAGED(*number, number[-1]);
    DAMAGED(*number, number[5]);

    struct sutra_edge *edge = row_of(&saved, SUTRA_PART_EDGE, edges / 2);
    size_t alive = edges / 2, dead = edges / 2;
    while (((struct sutra_edge *)row_of(&saved, SUTRA_PART_EDGE, alive))->death != 0)
        alive++;
    while (((struct sutra_edge *)row_of(&saved, SUTRA_PART_EDGE, dead))->death == 0)
        dead++;
    struct sutra_edge *living = row_of(&saved, SUTRA_PART_EDGE, alive);
    struct sutra_edge *gone = row_of(&saved, SUTRA_PART_EDGE, dead);
    do
        dead--;
    while (((struct sutra_edge *)row_of(&saved, SUTRA_PART_EDGE, dead))->death == 0);
    struct sutra_edge *gone_too = row_of(&saved, SUTRA_PART_EDGE, dead);
    DAMAGED(edge->source, edge->source + 1);
    DAMAGED(edge->target, CONCEPTS);
    DAMAGED(edge->target, edge->target + 1);
    DAMAGED(edge->kind, KINDS);
    DAMAGED(edge->kind, (uint16_t)((edge->kind + 1) % KINDS));
    DAMAGED(edge->weight, (float)NAN);
    DAMAGED(edge->confidence, (float)-INFINITY);
    DAMAGED(gone->death, 0);
    DAMAGED(gone->death, UINT32_MAX);
    DAMAGED(living->death, 1);
    DAMAGED(living->death, gone->death);
    DAMAGED(gone_too->death, gone->death);
    uint64_t *died = row_of(&saved, SUTRA_PART_EDGE_DEATH, 0);
    DAMAGED(*died, SUTRA_LSN_NEVER);

    struct sutra_delta_edge *row = row_of(&saved, SUTRA_PART_DELTA_EDGE, rows - 5);
    DAMAGED(row->source, CONCEPTS);
    DAMAGED(row->source, (row->source + 1) % CONCEPTS);
    DAMAGED(row->target, UINT32_MAX);
    DAMAGED(row->target, (row->target + 1) % CONCEPTS);
    DAMAGED(row->kind, KINDS);
    DAMAGED(row->weight, (float)INFINITY);
    DAMAGED(row->confidence, (float)NAN);
    DAMAGED(row->next_out, (uint32_t)rows);
    DAMAGED(row->next_out, row->next_out + 1);
    DAMAGED(row->next_in, (uint32_t)rows - 4);
    DAMAGED(row->death, row->birth - 1);
    DAMAGED(row->birth, SUTRA_LSN_NEVER);
    struct sutra_delta_head *head = row_of(&saved, SUTRA_PART_DELTA_HEAD, row->source);
    DAMAGED(head->out, 0);
    DAMAGED(head->out, head->out - 1);
    DAMAGED(head->in, (uint32_t)rows + 1);

    DAMAGED(saved.words[7], saved.words[7] - 1);
    CHECK_EQ(verify_saved(&saved, CONCEPTS), SUTRA_OK);
    forget(&saved);
}

/* An edge twice: in the delta, and in delta and base. Counts agree, only the versions do not. */
static void two_living_versions_are_found(void)
{
    for (int in_base = 0; in_base < 2; in_base++) {
        struct saved saved = {0};
        struct sutra_associations *associations = make(1, 10, 4);
        REQUIRE(associations);
        sutra_associations_link(associations, 1, 2, 0, 1, 1, 0, 1);
        if (in_base)
            fold(&associations);
        REQUIRE(sutra_associations_reserve(associations, 1, 4) == SUTRA_OK);
        sutra_associations_link(associations, 1, 2, 0, 1, 1, 0, 2);
        REQUIRE(save(&saved, associations));
        REQUIRE(verify_saved(&saved, 4) == SUTRA_OK);
        if (in_base) {
            ((struct sutra_edge *)row_of(&saved, SUTRA_PART_EDGE, 0))->death = 0;
            saved.words[5] = 0; /* no deaths */
            part_of(&saved, SUTRA_PART_EDGE_DEATH)->rows = 0;
        } else {
            ((struct sutra_delta_edge *)row_of(&saved, SUTRA_PART_DELTA_EDGE, 0))->death =
                SUTRA_LSN_NEVER;
        }
        saved.words[7] = 2; /* alive */
        CHECK_EQ(verify_saved(&saved, 4), SUTRA_E_CORRUPT);
        sutra_associations_release(associations);
        forget(&saved);
    }
}

/* Two rows of the base that are one edge; the other direction agrees with both. */
static void a_row_twice_is_found(void)
{
    struct saved saved = {0};
    struct sutra_associations *associations = make(2, 10, 4);
    REQUIRE(associations);
    sutra_associations_link(associations, 1, 2, 0, 1, 1, 0, 1);
    sutra_associations_link(associations, 1, 2, 1, 1, 1, 0, 1);
    fold(&associations);
    REQUIRE(save(&saved, associations));
    REQUIRE(verify_saved(&saved, 4) == SUTRA_OK);
    ((struct sutra_edge *)row_of(&saved, SUTRA_PART_EDGE, 1))->kind = 0;
    CHECK_EQ(verify_saved(&saved, 4), SUTRA_E_CORRUPT);
    sutra_associations_release(associations);
    forget(&saved);
}

CHECK_MAIN(CASE(what_was_saved_is_loaded), CASE(an_empty_one_is_saved_and_loaded),
           CASE(impossible_counts_are_refused), CASE(damaged_rows_do_no_harm),
           CASE(seeded_damage_is_found), CASE(two_living_versions_are_found),
           CASE(a_row_twice_is_found))
