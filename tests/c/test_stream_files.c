/* Saving a streamed index as parts: marks and versions name all that has changed, what is loaded
 * goes on as if nothing had happened, and nothing that is loaded is trusted.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "stream_cases.h"

#define NOW (UINT64_MAX - 1)

static int link_rows(struct sutra_index *index, size_t most)
{
    return sutra_stream_link(index, most, 2, NULL, NULL);
}

/* The same answers, to the bit, once pending rows have their codes in both. */
static void check_equal_searches(struct sutra_index *a, struct sutra_index *b, uint64_t view)
{
    CHECK_EQ(link_rows(a, 0), SUTRA_OK);
    CHECK_EQ(link_rows(b, 0), SUTRA_OK);
    for (size_t q = 0; q < 20; q++) {
        float query[DIM];
        struct found of_a, of_b;
        for (size_t j = 0; j < DIM; j++)
            query[j] = random_normal();
        for (int exact = 0; exact < 2; exact++) {
            CHECK_EQ(find(a, query, 10, 0, exact, view, &of_a), SUTRA_OK);
            CHECK_EQ(find(b, query, 10, 0, exact, view, &of_b), SUTRA_OK);
            for (size_t j = 0; j < 10; j++)
                CHECK(of_a.rows[j] == of_b.rows[j] && of_a.labels[j] == of_b.labels[j] &&
                      of_a.distances[j] == of_b.distances[j]);
        }
    }
}

static uint64_t version_of(struct sutra_index *index, uint32_t kind)
{
    struct sutra_part parts[SUTRA_STREAM_PARTS];
    size_t count = 0;
    sutra_stream_parts(index, parts, &count);
    for (size_t p = 0; p < count; p++) {
        if (parts[p].kind == kind)
            return parts[p].version;
    }
    return UINT64_MAX;
}

/* ---- saving what has changed */

/* save() compares what it has put together from changes with all there is. After each save a copy
 * is loaded and must answer like the index itself. */
static void changes_add_up(void)
{
    static const int residents[] = {SUTRA_RESIDENT_AUTO, SUTRA_RESIDENT_ARENA,
                                    SUTRA_RESIDENT_MAPPED};
    const size_t room = is_slow_place() ? 1800 : 5500;
    for (size_t kind = 0; kind < STREAM_KINDS; kind++) {
        struct sutra_index *index = new_stream(&stream_kinds[kind]);
        struct saved saved = {0};
        struct model model;
        struct sutra_fault fault;
        uint64_t lsn = 0;
        seed_random(10 + kind);
        REQUIRE(index != NULL && make_model(&model, stream_kinds[kind].metric, room));
        for (size_t round = 0; model.count < room; round++) {
            const size_t left = room - model.count, piece = 1 + random_below(900);
            lsn++;
            append_rows(&model, index, piece < left ? piece : left, lsn);
            for (size_t j = random_below(100); j > 0; j--)
                end_row(&model, index, random_below(model.count), lsn);
            if (round % 3 != 1)
                CHECK_EQ(link_rows(index, random_below(1200)), SUTRA_OK);
            save(&saved, index, true);
            struct sutra_index *copy;
            REQUIRE(load(&saved, residents[round % 3], &copy, &fault) == SUTRA_OK);
            if (residents[round % 3] == SUTRA_RESIDENT_AUTO)
                CHECK_EQ(sutra_stream_make_resident(copy), SUTRA_OK);
            CHECK_EQ(sutra_stream_rows(copy), sutra_stream_rows(index));
            CHECK_EQ(sutra_stream_pending(copy), sutra_stream_pending(index));
            CHECK_EQ(sutra_stream_dead(copy), sutra_stream_dead(index));
            CHECK(is_sound_stream(copy));
            check_equal_searches(index, copy, lsn);
            sutra_index_free(copy);
        }
        CHECK(is_sound_stream(index));
        sutra_index_free(index);
        free_saved(&saved);
        free_model(&model);
    }
}

/* The index that was loaded is the one that goes on, and is saved into the same place. */
static void loaded_indexes_go_on(void)
{
    const size_t room = is_slow_place() ? 1800 : 5500;
    for (size_t kind = 0; kind < STREAM_KINDS; kind++) {
        struct sutra_index *index = new_stream(&stream_kinds[kind]);
        struct saved saved = {0};
        struct model model;
        struct sutra_fault fault;
        uint64_t lsn = 0;
        seed_random(30 + kind);
        REQUIRE(index != NULL && make_model(&model, stream_kinds[kind].metric, room));
        for (size_t round = 0; model.count < room; round++) {
            const size_t left = room - model.count, piece = 1 + random_below(900);
            append_rows(&model, index, piece < left ? piece : left, ++lsn);
            for (size_t j = random_below(100); j > 0; j--)
                end_row(&model, index, random_below(model.count), lsn);
            CHECK_EQ(link_rows(index, random_below(1200)), SUTRA_OK);
            save(&saved, index, true);
            sutra_index_free(index);
            REQUIRE(load(&saved, (int)(round % 3), &index, &fault) == SUTRA_OK);
            restart_versions(&saved);
            for (size_t j = random_below(50); j > 0; j--) /* without reserving anything */
                end_row(&model, index, random_below(model.count), lsn);
        }
        CHECK_EQ(link_rows(index, SIZE_MAX), SUTRA_OK);
        CHECK(is_sound_stream(index));
        size_t right = 0, exact_right = 0;
        for (size_t q = 0; q < 50; q++) {
            float query[DIM];
            struct found found;
            for (size_t j = 0; j < DIM; j++)
                query[j] = random_normal();
            CHECK_EQ(find(index, query, 10, 0, false, lsn, &found), SUTRA_OK);
            CHECK_EQ(check_found(&model, &found, 10, lsn), 10);
            right += count_right(&model, query, &found, 10, lsn);
            CHECK_EQ(find(index, query, 10, 0, true, lsn, &found), SUTRA_OK);
            CHECK_EQ(check_found(&model, &found, 10, lsn), 10);
            exact_right += count_right(&model, query, &found, 10, lsn);
        }
        CHECK((double)right >= 500 * stream_kinds[kind].recall - 3);
        CHECK(!stream_kinds[kind].keep || exact_right == 500);
        for (size_t row = 0; row < room; row += 7) {
            float back[DIM];
            CHECK_EQ(sutra_stream_get(index, (uint32_t)row, back), SUTRA_OK);
            CHECK_EQ(sutra_stream_label(index, (uint32_t)row), model.labels[row]);
            CHECK(!stream_kinds[kind].keep ||
                  memcmp(back, model.vectors + row * DIM, sizeof back) == 0);
        }
        sutra_index_free(index);
        free_saved(&saved);
        free_model(&model);
    }
}

/* The graph may be saved less often than the rows: what came later is pending again. */
static void an_older_graph_will_do(void)
{
    const size_t room = is_slow_place() ? 3600 : 9000;
    for (size_t kind = 0; kind < STREAM_KINDS; kind++) {
        struct sutra_index *index = new_stream(&stream_kinds[kind]), *copy;
        struct saved saved = {0};
        struct model model;
        struct sutra_fault fault;
        size_t linked = 0;
        seed_random(50 + kind);
        REQUIRE(index != NULL && make_model(&model, stream_kinds[kind].metric, room));
        for (size_t round = 0; round < 6; round++) {
            append_rows(&model, index, room / 6, round + 1);
            for (size_t row = round; row < model.count; row += 97)
                end_row(&model, index, row, round + 2);
            CHECK_EQ(link_rows(index, 600 + 900 * (round / 3)), SUTRA_OK);
            const bool with_graph = round == 1 || round == 4;
            save(&saved, index, with_graph);
            if (with_graph)
                linked = model.count - sutra_stream_pending(index);
            for (int resident = 0; resident < 3; resident++) {
                REQUIRE(load(&saved, resident, &copy, &fault) == SUTRA_OK);
                CHECK_EQ(sutra_stream_rows(copy), model.count);
                CHECK_EQ(sutra_stream_pending(copy), model.count - linked);
                CHECK(is_sound_stream(copy));
                struct found found;
                for (size_t q = 0; q < 10; q++) {
                    CHECK_EQ(find(copy, model.vectors + q * DIM, 20, 0, q % 2, round + 1, &found),
                             SUTRA_OK);
                    CHECK_EQ(check_found(&model, &found, 20, round + 1), 20);
                }
                CHECK_EQ(link_rows(copy, 300), SUTRA_OK);
                const size_t pending = model.count - linked;
                CHECK_EQ(sutra_stream_pending(copy), pending < 300 ? 0 : pending - 300);
                CHECK(is_sound_stream(copy));
                sutra_index_free(copy);
            }
        }
        sutra_index_free(index);
        free_saved(&saved);
        free_model(&model);
    }
}

static bool has_part(struct sutra_index *index, uint32_t kind, uint32_t flags, size_t rows)
{
    struct sutra_part parts[SUTRA_STREAM_PARTS];
    size_t count = 0;
    sutra_stream_parts(index, parts, &count);
    for (size_t p = 0; p < count; p++) {
        if (parts[p].kind == kind)
            return parts[p].flags == flags && parts[p].rows == rows;
    }
    return false;
}

static void parts_say_what_they_are(void)
{
    for (int keep = 0; keep < 2; keep++) {
        struct sutra_index *index = new_stream(&stream_kinds[keep ? 1 : 4]);
        struct model model;
        const uint32_t graph = keep ? SUTRA_PART_GRAPH : 0, cold = keep ? SUTRA_PART_COLD : 0;
        seed_random(70);
        REQUIRE(index != NULL && make_model(&model, SUTRA_METRIC_L2, 4800));
        append_rows(&model, index, 600, 1);
        CHECK(has_part(index, SUTRA_SECTION_ORIGINAL, 0, 600));
        CHECK(has_part(index, SUTRA_SECTION_ID, 0, 600));
        CHECK(has_part(index, SUTRA_PART_ROW_BIRTH, 0, 600));
        CHECK(has_part(index, SUTRA_PART_ROW_DEATH, SUTRA_PART_MUTABLE, 600));
        CHECK(has_part(index, SUTRA_SECTION_LINKS, SUTRA_PART_GRAPH, 0));
        CHECK_EQ(version_of(index, SUTRA_SECTION_HIGH), UINT64_MAX);
        CHECK_EQ(link_rows(index, 100), SUTRA_OK);
        const size_t coded = keep ? 100 : 600;
        CHECK(has_part(index, SUTRA_SECTION_LINKS, SUTRA_PART_GRAPH, 100));
        CHECK(has_part(index, SUTRA_SECTION_HIGH, graph, coded));
        CHECK(has_part(index, SUTRA_SECTION_LOW, graph | cold, coded));
        CHECK(has_part(index, SUTRA_SECTION_CORRECTION, graph, coded));
        CHECK(has_part(index, SUTRA_SECTION_MEAN, graph, DIM));
        CHECK(has_part(index, SUTRA_SECTION_ORIGINAL, cold, 600) == (keep != 0));
        const uint64_t version = version_of(index, SUTRA_SECTION_HIGH);
        CHECK(version != 0 && version_of(index, SUTRA_SECTION_MEAN) == version);
        append_rows(&model, index, 4199, 1);
        CHECK_EQ(link_rows(index, 100), SUTRA_OK);
        CHECK_EQ(version_of(index, SUTRA_SECTION_LOW), version);
        append_rows(&model, index, 1, 1); /* eight times what the quantizer was fitted to */
        CHECK_EQ(link_rows(index, 1), SUTRA_OK);
        CHECK(version_of(index, SUTRA_SECTION_LOW) > version);
        CHECK(version_of(index, SUTRA_SECTION_SIGNS) == version_of(index, SUTRA_SECTION_LOW));
        CHECK_EQ(version_of(index, SUTRA_SECTION_LINKS), 0);
        CHECK(is_sound_stream(index));
        sutra_index_free(index);
        free_model(&model);
    }
}

static void residency_is_obeyed(void)
{
    struct sutra_index *index = new_stream(&stream_kinds[1]), *copy;
    struct saved saved = {0};
    struct model model;
    struct sutra_fault fault;
    struct sutra_index_stats stats;
    seed_random(80);
    REQUIRE(index != NULL && make_model(&model, SUTRA_METRIC_L2, 700));
    append_rows(&model, index, 700, 1);
    CHECK_EQ(link_rows(index, 600), SUTRA_OK);
    save(&saved, index, true);
    REQUIRE(load(&saved, SUTRA_RESIDENT_ARENA, &copy, &fault) == SUTRA_OK);
    CHECK_EQ(saved.loads - saved.hot_loads, 2); /* originals and the second code plane */
    CHECK_EQ(sutra_index_stats(copy, &stats), SUTRA_OK);
    CHECK(stats.arena && stats.linked && stats.count == 700);
    sutra_index_free(copy);
    saved.loads = saved.hot_loads = 0;
    REQUIRE(load(&saved, SUTRA_RESIDENT_MAPPED, &copy, &fault) == SUTRA_OK);
    CHECK_EQ(saved.hot_loads, 6); /* mean, signs, and the tables of upper nodes */
    CHECK_EQ(sutra_index_stats(copy, &stats), SUTRA_OK);
    CHECK(!stats.arena && stats.mapped_bytes > 0);
    sutra_index_free(copy);
    sutra_index_free(index);
    free_saved(&saved);
    free_model(&model);
}

/* ---- bad input */

static void wrong_words_are_refused(void)
{
    const size_t rounds = is_slow_place() ? 500 : 4000;
    for (size_t kind = 1; kind < STREAM_KINDS; kind += 3) {
        struct sutra_index *index = new_stream(&stream_kinds[kind]), *copy;
        struct saved saved = {0};
        struct model model;
        struct sutra_fault fault;
        uint64_t words[SUTRA_STREAM_STATE_WORDS];
        size_t refused = 0;
        seed_random(90);
        REQUIRE(index != NULL && make_model(&model, stream_kinds[kind].metric, 700));
        append_rows(&model, index, 700, 1);
        end_row(&model, index, 3, 2);
        CHECK_EQ(link_rows(index, 600), SUTRA_OK);
        save(&saved, index, true);
        memcpy(words, saved.words, sizeof words);
        for (size_t round = 0; round < rounds; round++) {
            memcpy(saved.words, words, sizeof words);
            const size_t w = random_below(SUTRA_STREAM_STATE_WORDS);
            static const uint64_t odd[] = {0,   1,          2,          SUTRA_ROWS_MAX, UINT64_MAX,
                                           600, UINT32_MAX, 1ull << 32, 1ull << 63,     701};
            saved.words[w] = round % 3 == 0   ? odd[random_below(sizeof odd / sizeof odd[0])]
                             : round % 3 == 1 ? words[w] ^ (uint64_t)1 << random_below(64)
                                              : random_u64() >> random_below(64);
            fault.what = NULL;
            const int status = load(&saved, (int)(round % 3), &copy, &fault);
            if (status != SUTRA_OK) {
                refused++;
                CHECK(copy == NULL);
                CHECK(status == SUTRA_E_TRUNCATED || status == SUTRA_E_CAPACITY ||
                      status == SUTRA_E_NO_MEMORY ||
                      (status == SUTRA_E_CORRUPT && fault.what != NULL));
                continue;
            }
            struct found found;
            CHECK_EQ(find(copy, model.vectors, 10, 0, round % 2, NOW, &found), SUTRA_OK);
            if (memcmp(words, saved.words, sizeof words) == 0)
                check_found(&model, &found, 10, NOW);
            sutra_index_free(copy);
        }
        CHECK(refused > rounds / 3);
        sutra_index_free(index);
        free_saved(&saved);
        free_model(&model);
    }
}

/* The counts of each against each other, by name. */
static void every_count_is_checked(void)
{
    enum { ROWS = 0, SHAPE = 1, OPTIONS = 2, DEAD = 4, FITTED, LINKED, ENTRY, UPPER, LISTS, NEXT };
    struct sutra_index *index = new_stream(&stream_kinds[1]), *copy;
    struct saved saved = {0};
    struct model model;
    struct sutra_fault fault;
    uint64_t words[SUTRA_STREAM_STATE_WORDS];
    seed_random(95);
    REQUIRE(index != NULL && make_model(&model, SUTRA_METRIC_L2, 700));
    append_rows(&model, index, 700, 1);
    CHECK_EQ(link_rows(index, 600), SUTRA_OK);
    save(&saved, index, true);
    memcpy(words, saved.words, sizeof words);
    CHECK_EQ(words[ROWS], 700);
    CHECK_EQ(words[LINKED], 600);
    const struct {
        size_t word;
        uint64_t value;
        const char *what;
    } wrong[] = {{ROWS, SUTRA_ROWS_MAX + 1, "row count"},
                 {ROWS, 599, "linked count"},
                 {SHAPE, DIM, "m"},
                 {SHAPE, (uint64_t)8 << 32, "dim"},
                 {OPTIONS, words[OPTIONS] | 1ull << 49, "options"},
                 {OPTIONS, words[OPTIONS] | 3ull << 40, "quantization"},
                 {OPTIONS, words[OPTIONS] | 255ull << 32, "metric"},
                 {DEAD, 701, "dead count"},
                 {FITTED, 0, "fitted count"},
                 {FITTED, 701, "fitted count"},
                 {LINKED, 701, "linked count"},
                 {LINKED, 0, "upper count"},
                 {ENTRY, UINT64_MAX, "entry point"},
                 {ENTRY, words[ENTRY] + 100000, "entry point"},
                 {UPPER, words[UPPER] + 1, "upper count"},
                 {UPPER, 601, "upper count"},
                 {LISTS, words[LISTS] - 1, "entry point"},
                 {LISTS, UINT64_MAX, "upper count"},
                 {NEXT, 1, "unused word"},
                 {SUTRA_STREAM_STATE_WORDS - 1, 1, "unused word"}};
    for (size_t j = 0; j < sizeof wrong / sizeof wrong[0]; j++) {
        memcpy(saved.words, words, sizeof words);
        saved.words[wrong[j].word] = wrong[j].value;
        fault.what = "";
        const int status = load(&saved, SUTRA_RESIDENT_ARENA, &copy, &fault);
        if (status == SUTRA_E_TRUNCATED && wrong[j].word == UPPER)
            continue; /* more than there are: the source says so */
        CHECK_EQ(status, SUTRA_E_CORRUPT);
        if (strcmp(fault.what, wrong[j].what) != 0)
            (void)fprintf(stderr, "word %zu: %s for %s\n", wrong[j].word, fault.what,
                          wrong[j].what);
        CHECK(strcmp(fault.what, wrong[j].what) == 0);
    }
    memcpy(saved.words, words, sizeof words);
    for (int kind = 0; kind < SUTRA_PART_KINDS; kind++) { /* every source may fail */
        saved.refuse_kind = kind;
        const int status = load(&saved, SUTRA_RESIDENT_MAPPED, &copy, &fault);
        CHECK_EQ(status, saved_part_of(&saved, (uint32_t)kind) ? SUTRA_E_TRUNCATED : SUTRA_OK);
        sutra_index_free(copy);
    }
    sutra_index_free(index);
    free_saved(&saved);
    free_model(&model);
}

/* Planes with anything in them: no search goes astray, and linking says what is wrong. */
static void damaged_planes_do_no_harm(void)
{
    const size_t rounds = is_slow_place() ? 30 : 200;
    for (size_t kind = 0; kind < STREAM_KINDS; kind += 2) {
        struct sutra_index *index = new_stream(&stream_kinds[kind]), *copy;
        struct saved saved = {0};
        struct model model;
        struct sutra_fault fault;
        seed_random(110);
        REQUIRE(index != NULL && make_model(&model, stream_kinds[kind].metric, 700));
        append_rows(&model, index, 700, 1);
        for (size_t row = 0; row < 700; row += 5)
            end_row(&model, index, row, 2);
        CHECK_EQ(link_rows(index, 600), SUTRA_OK);
        save(&saved, index, true);
        size_t loaded = 0, unsound = 0;
        for (size_t round = 0; round < rounds; round++) {
            struct saved_part *part = &saved.parts[random_below(saved.count)];
            const size_t bytes = part->rows * part->row_bytes;
            uint8_t *kept = malloc(bytes + 1);
            REQUIRE(kept != NULL);
            memcpy(kept, part->data, bytes);
            for (size_t j = 1 + random_below(300); j > 0 && bytes > 0; j--)
                part->data[random_below(bytes)] = (uint8_t)random_u64();
            const int status = load(&saved, (int)(round % 3), &copy, &fault);
            CHECK(status == SUTRA_OK || (status == SUTRA_E_CORRUPT && fault.what != NULL));
            if (status == SUTRA_OK) {
                struct found found;
                float back[DIM];
                loaded++;
                for (size_t q = 0; q < 6; q++)
                    CHECK_EQ(find(copy, model.vectors + q * DIM, 40, 100, q % 3 == 2, q, &found),
                             SUTRA_OK);
                CHECK_EQ(sutra_stream_get(copy, 5, back), SUTRA_OK);
                unsound += sutra_stream_verify(copy, true, &fault) != SUTRA_OK;
                sutra_stream_end_row(copy, 650, 3);
                const int linked = link_rows(copy, 50);
                CHECK(linked == SUTRA_OK || (linked <= SUTRA_E_GRAPH_ID && linked > -60));
                CHECK_EQ(sutra_stream_pending(copy), linked == SUTRA_OK ? 50 : 100);
                CHECK_EQ(find(copy, model.vectors, 40, 100, false, 1, &found), SUTRA_OK);
            }
            sutra_index_free(copy);
            memcpy(part->data, kept, bytes);
            free(kept);
        }
        CHECK(loaded > 0 && loaded < rounds && unsound > 0);
        sutra_index_free(index);
        free_saved(&saved);
        free_model(&model);
    }
}

/* A step that cannot be made leaves its rows pending, and everything findable. */
static void a_failed_step_changes_nothing(void)
{
    struct sutra_index_options options = stream_options(&stream_kinds[1]);
    struct sutra_index *index = NULL, *copy;
    struct saved saved = {0};
    struct model model;
    struct sutra_fault fault;
    const size_t count = 8500; /* a list has 256 bytes: 8192 fit */
    options.m = 32;
    options.ef_construction = 10;
    seed_random(130);
    REQUIRE(sutra_stream_new(best_kernels(), &options, &index, &fault) == SUTRA_OK);
    REQUIRE(make_model(&model, SUTRA_METRIC_L2, count));
    append_rows(&model, index, 8000, 1);
    CHECK_EQ(link_rows(index, SIZE_MAX), SUTRA_OK);
    save(&saved, index, true);
    sutra_index_free(index);
    saved.tight_links = 1;
    REQUIRE(load(&saved, SUTRA_RESIDENT_ARENA, &copy, &fault) == SUTRA_OK);
    append_rows(&model, copy, 500, 2);
    size_t linked = 0;
    CHECK_EQ(sutra_stream_link(copy, SIZE_MAX, 2, NULL, &linked), SUTRA_E_CAPACITY);
    CHECK(linked <= 192);
    CHECK_EQ(sutra_stream_pending(copy), 500 - linked);
    CHECK(is_sound_stream(copy));
    for (size_t row = 7900; row < count; row += 9) {
        struct found found;
        CHECK_EQ(find(copy, model.vectors + row * DIM, 1, 100, true, 2, &found), SUTRA_OK);
        CHECK_EQ(found.rows[0], row);
        CHECK_EQ(find(copy, model.vectors + row * DIM, 5, 100, false, 2, &found), SUTRA_OK);
        CHECK_EQ(check_found(&model, &found, 5, 2), 5);
        if (row >= 8200)
            CHECK_EQ(found.rows[0], row);
    }
    save(&saved, copy, true);
    sutra_index_free(copy);
    free_saved(&saved);
    free_model(&model);
}

CHECK_MAIN(CASE(changes_add_up), CASE(loaded_indexes_go_on), CASE(an_older_graph_will_do),
           CASE(parts_say_what_they_are), CASE(residency_is_obeyed), CASE(wrong_words_are_refused),
           CASE(every_count_is_checked), CASE(damaged_planes_do_no_harm),
           CASE(a_failed_step_changes_nothing))
