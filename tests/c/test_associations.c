/* Associations against a model that is an array of edges; their marks, limits and cursors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "association_cases.h"

#include "concepts/record.h"

#define NEWEST (SUTRA_LSN_NEVER - 1)

/* ---- the model */

struct model_edge {
    uint32_t source, target;
    uint16_t kind;
    float weight, confidence;
    int64_t created_ns;
    uint64_t birth, death;
};

/* Every object serves the views from its fold on, until it was folded itself. */
struct era {
    struct sutra_associations *associations;
    uint64_t first_view, last_view;
    int64_t folded_ns; /* what is in its base was created before */
};

enum { CONCEPTS = 24, MODEL_KINDS = 3, EDGES_MAX = 40000, ERAS_MAX = 10 };

struct model {
    struct model_edge *edges;
    size_t count;
    struct era eras[ERAS_MAX];
    size_t era_count;
    uint64_t lsn;
    int64_t now_ns;
    struct saved saved;
};

static struct sutra_associations *newest_of(const struct model *model)
{
    return model->eras[model->era_count - 1].associations;
}

static struct model_edge *model_find(const struct model *model, uint32_t source, uint32_t target,
                                     uint16_t kind)
{
    for (size_t j = model->count; j-- > 0;) {
        struct model_edge *edge = &model->edges[j];
        if (edge->source == source && edge->target == target && edge->kind == kind &&
            edge->death == SUTRA_LSN_NEVER)
            return edge;
    }
    return NULL;
}

/* Returns whether the edge is new. */
static bool model_link(struct model *model, const struct model_edge *edge)
{
    struct model_edge *before = model_find(model, edge->source, edge->target, edge->kind);
    if (before)
        before->death = edge->birth;
    model->edges[model->count++] = *edge;
    return !before;
}

static size_t model_live(const struct model *model)
{
    size_t live = 0;
    for (size_t j = 0; j < model->count; j++)
        live += model->edges[j].death == SUTRA_LSN_NEVER;
    return live;
}

static bool is_selected(const struct model_edge *edge, uint32_t concept, int direction,
                        uint16_t kind, uint64_t view)
{
    const bool out = direction & SUTRA_OUT && edge->source == concept;
    const bool in = direction & SUTRA_IN && edge->target == concept;
    return (out || in) && (kind == SUTRA_NO_KIND || edge->kind == kind) && edge->birth <= view &&
           view < edge->death;
}

static bool is_same(const struct model_edge *edge, const struct sutra_link *link)
{
    return edge->source == link->source && edge->target == link->target &&
           edge->kind == link->kind && edge->weight == link->weight &&
           edge->confidence == link->confidence && edge->created_ns == link->created_ns;
}

/* Delta newest first, then the base in order; by direction. */
static bool is_in_order(const struct sutra_link *a, const struct sutra_link *b, int64_t folded_ns)
{
    if (a->outgoing != b->outgoing)
        return a->outgoing;
    const bool a_base = a->created_ns < folded_ns, b_base = b->created_ns < folded_ns;
    if (a_base != b_base)
        return b_base;
    if (!a_base)
        return a->created_ns >= b->created_ns;
    if (!a->outgoing && a->source != b->source)
        return a->source < b->source;
    if (a->kind != b->kind)
        return a->kind < b->kind;
    return a->target < b->target || !a->outgoing;
}

static void compare_reading(const struct model *model, const struct era *era, uint32_t concept,
                            int direction, uint16_t kind, uint64_t view)
{
    static struct sutra_link links[EDGES_MAX];
    struct sutra_link_cursor cursor;
    size_t count = 0, expected = 0, matched = 0, disorder = 0;
    sutra_links_begin(&cursor, era->associations, concept, direction, kind, view);
    while (count < EDGES_MAX && sutra_links_next(&cursor, &links[count]))
        count++;
    CHECK(!sutra_links_next(&cursor, &links[0]) && sutra_links_done(&cursor));
    for (size_t j = 0; j < model->count; j++) {
        if (!is_selected(&model->edges[j], concept, direction, kind, view))
            continue;
        expected++;
        for (size_t l = 0; l < count; l++) {
            const bool outgoing = direction & SUTRA_OUT && links[l].source == concept;
            matched += is_same(&model->edges[j], &links[l]) && links[l].outgoing == outgoing;
        }
    }
    for (size_t l = 1; l < count; l++)
        disorder += !is_in_order(&links[l - 1], &links[l], era->folded_ns);
    CHECK_EQ(count, expected);
    CHECK_EQ(matched, expected);
    CHECK_EQ(disorder, 0);
}

/* A random view, in the object that serves it. */
static void compare_somewhere(const struct model *model)
{
    const struct era *era = &model->eras[random_below(model->era_count)];
    const bool newest = era == &model->eras[model->era_count - 1];
    const uint64_t last = newest ? model->lsn : era->last_view;
    const uint64_t view =
        random_below(3) == 0 ? last : era->first_view + random_below(last - era->first_view + 1);
    const uint16_t kind = random_below(2) ? (uint16_t)random_below(MODEL_KINDS + 1) : SUTRA_NO_KIND;
    compare_reading(model, era, random_below(CONCEPTS + 2), 1 + (int)random_below(3), kind, view);
}

static void compare_all(const struct model *model)
{
    const struct sutra_associations *associations = newest_of(model);
    const struct era *era = &model->eras[model->era_count - 1];
    struct sutra_fault fault;
    CHECK_EQ(sutra_associations_count(associations), model_live(model));
    CHECK_EQ(sutra_associations_verify(associations, CONCEPTS, &fault), SUTRA_OK);
    for (uint32_t concept = 0; concept < CONCEPTS; concept ++) {
        compare_reading(model, era, concept, SUTRA_BOTH, SUTRA_NO_KIND, model->lsn);
        size_t degree = 0;
        for (size_t j = 0; j < model->count; j++)
            degree += is_selected(&model->edges[j], concept, SUTRA_BOTH, SUTRA_NO_KIND, NEWEST);
        CHECK_EQ(sutra_associations_degree(associations, concept), degree);
        for (uint32_t other = 0; other < CONCEPTS; other++) {
            for (uint16_t kind = 0; kind < MODEL_KINDS; kind++)
                CHECK_EQ(sutra_associations_has(associations, concept, other, kind),
                         model_find(model, concept, other, kind) != NULL);
        }
    }
}

/* ---- random changes */

static struct model_edge random_edge(const struct model *model)
{
    return (struct model_edge){.source = random_below(CONCEPTS),
                               .target = random_below(CONCEPTS),
                               .kind = (uint16_t)random_below(MODEL_KINDS),
                               .weight = (float)random_below(1000) / 1000,
                               .confidence = (float)random_below(1000) / 1000,
                               .created_ns = model->now_ns,
                               .birth = model->lsn,
                               .death = SUTRA_LSN_NEVER};
}

static void link_one(struct model *model)
{
    const struct model_edge edge = random_edge(model);
    REQUIRE(sutra_associations_reserve(newest_of(model), 1, CONCEPTS) == SUTRA_OK);
    const bool fresh =
        sutra_associations_link(newest_of(model), edge.source, edge.target, edge.kind, edge.weight,
                                edge.confidence, edge.created_ns, edge.birth);
    CHECK_EQ(fresh, model_link(model, &edge));
}

static void link_many(struct model *model)
{
    enum { MOST = 100 };
    uint32_t sources[MOST], targets[MOST];
    uint16_t kinds[MOST];
    float weights[MOST], confidences[MOST];
    bool fresh[MOST];
    const size_t count = random_below(MOST + 1);
    struct model_edge edges[MOST];
    for (size_t j = 0; j < count; j++) {
        edges[j] = random_edge(model);
        if (j > 0 && random_below(4) == 0) { /* the same again, with other values */
            edges[j].source = edges[j - 1].source;
            edges[j].target = edges[j - 1].target;
            edges[j].kind = edges[j - 1].kind;
        }
        sources[j] = edges[j].source;
        targets[j] = edges[j].target;
        kinds[j] = edges[j].kind;
        weights[j] = edges[j].weight;
        confidences[j] = edges[j].confidence;
    }
    REQUIRE(sutra_associations_reserve(newest_of(model), count, CONCEPTS) == SUTRA_OK);
    sutra_associations_link_many(newest_of(model), sources, targets, kinds, weights, confidences,
                                 count, model->now_ns, model->lsn, fresh);
    for (size_t j = 0; j < count; j++)
        CHECK_EQ(fresh[j], model_link(model, &edges[j]));
}

static void unlink_some(struct model *model)
{
    const struct model_edge edge = random_edge(model);
    const uint16_t kind = random_below(2) ? edge.kind : SUTRA_NO_KIND;
    size_t removed = 99, expected = 0;
    for (uint16_t k = 0; k < MODEL_KINDS; k++) {
        struct model_edge *found = model_find(model, edge.source, edge.target, k);
        if (!found || (kind != SUTRA_NO_KIND && kind != k))
            continue;
        found->death = model->lsn;
        expected++;
    }
    REQUIRE(sutra_associations_reserve(newest_of(model), MODEL_KINDS, CONCEPTS) == SUTRA_OK);
    CHECK_EQ(sutra_associations_unlink(newest_of(model), edge.source, edge.target, kind, model->lsn,
                                       random_below(2) ? &removed : NULL),
             expected > 0);
    CHECK(removed == 99 || removed == expected);
}

struct others {
    size_t as_target[CONCEPTS], as_source[CONCEPTS];
};

static void count_other(void *context, uint32_t concept, bool is_target)
{
    struct others *others = context;
    (is_target ? others->as_target : others->as_source)[concept]++;
}

static void remove_concept(struct model *model)
{
    const uint32_t concept = random_below(CONCEPTS);
    struct others expected = {0}, others = {0};
    size_t count = 0;
    for (size_t j = 0; j < model->count; j++) {
        struct model_edge *edge = &model->edges[j];
        if (edge->death != SUTRA_LSN_NEVER || (edge->source != concept && edge->target != concept))
            continue;
        edge->death = model->lsn;
        count++;
        if (edge->source == concept)
            expected.as_target[edge->target]++;
        else
            expected.as_source[edge->source]++;
    }
    struct sutra_associations *associations = newest_of(model);
    REQUIRE(sutra_associations_reserve(associations,
                                       sutra_associations_degree(associations, concept),
                                       CONCEPTS) == SUTRA_OK);
    CHECK_EQ(
        sutra_associations_remove_concept(associations, concept, model->lsn, count_other, &others),
        count);
    CHECK(memcmp(&expected, &others, sizeof others) == 0);
}

/* The object so far stays for its views. */
static void begin_era(struct model *model, struct sutra_associations *associations, bool folded)
{
    if (model->era_count == ERAS_MAX) {
        sutra_associations_release(model->eras[0].associations);
        memmove(model->eras, model->eras + 1, (ERAS_MAX - 1) * sizeof *model->eras);
        model->era_count--;
    }
    struct era era = {.associations = associations, .first_view = model->lsn};
    if (model->era_count > 0) {
        struct era *before = &model->eras[model->era_count - 1];
        before->last_view = model->lsn;
        era.folded_ns = before->folded_ns;
        if (!folded) /* a loaded one knows the past that was in the saved one */
            era.first_view = before->first_view;
    }
    if (folded)
        era.folded_ns = model->now_ns + 1;
    model->eras[model->era_count++] = era;
}

static void fold_model(struct model *model)
{
    struct sutra_associations *folded = NULL;
    REQUIRE(sutra_associations_fold(newest_of(model), &folded) == SUTRA_OK);
    CHECK_EQ(sutra_associations_delta_rows(folded), 0);
    begin_era(model, folded, true);
}

/* Save what has changed since the last time, load it, and go on with what was loaded. */
static void reload_model(struct model *model)
{
    struct sutra_associations *loaded = NULL;
    struct sutra_fault fault;
    REQUIRE(save(&model->saved, newest_of(model)));
    model->saved.read_only = random_below(2);
    REQUIRE(load(&model->saved, CONCEPTS, &loaded, &fault) == SUTRA_OK);
    CHECK_EQ(sutra_associations_bytes(loaded) > 0, 1);
    begin_era(model, loaded, false);
    if (random_below(2))
        compare_all(model); /* before anything is reserved: without the map of the delta */
}

static void run_model(uint64_t seed, unsigned steps)
{
    seed_random(seed);
    struct model model = {.edges = malloc(EDGES_MAX * sizeof *model.edges), .lsn = 1};
    struct sutra_associations *first = make(MODEL_KINDS, 0, 0);
    REQUIRE(model.edges && first);
    begin_era(&model, first, false);
    for (unsigned step = 0; step < steps && model.count + 200 < EDGES_MAX; step++) {
        model.lsn += 1 + random_below(2);
        model.now_ns++;
        const unsigned what = random_below(1000);
        if (what < 500)
            link_one(&model);
        else if (what < 550)
            link_many(&model);
        else if (what < 900)
            unlink_some(&model);
        else if (what < 940)
            remove_concept(&model);
        else if (what < 960)
            fold_model(&model);
        else if (what < 970)
            reload_model(&model);
        else if (what < 980)
            CHECK(save(&model.saved, newest_of(&model)));
        for (int j = 0; j < 3; j++)
            compare_somewhere(&model);
        if (step % 100 == 0)
            compare_all(&model);
    }
    compare_all(&model);
    for (size_t e = 0; e < model.era_count; e++)
        sutra_associations_release(model.eras[e].associations);
    forget(&model.saved);
    free(model.edges);
}

static void random_changes_match_a_model(void)
{
    for (uint64_t seed = 1; seed <= (is_slow_place() ? 3 : 12); seed++)
        run_model(seed, 1500);
}

/* ---- marks of changed rows */

static void ignore_other(void *context, uint32_t concept, bool is_target)
{
    (void)context, (void)concept, (void)is_target;
}

static void marks_are_exact(void)
{
    seed_random(77);
    struct sutra_associations *associations = make(2, 0, 0);
    REQUIRE(associations);
    struct saved before = {0};
    for (int round = 0; round < 200; round++) {
        if (random_below(8) == 0)
            fold(&associations);
        REQUIRE(save(&before, associations));
        for (unsigned n = random_below(6); n > 0; n--) {
            const uint32_t source = random_below(300), target = random_below(300);
            const uint16_t kind = (uint16_t)random_below(2);
            const uint64_t lsn = 10 + (uint64_t)round;
            REQUIRE(sutra_associations_reserve(associations, 2000, 300) == SUTRA_OK);
            if (random_below(3) > 0)
                sutra_associations_link(associations, source, target, kind, 1, 1, round, lsn);
            else if (random_below(2))
                sutra_associations_unlink(associations, source, target, kind, lsn, NULL);
            else
                sutra_associations_remove_concept(associations, source, lsn, ignore_other, NULL);
        }
        struct sutra_part parts[SUTRA_ASSOCIATIONS_PARTS];
        sutra_associations_parts(associations, parts);
        for (size_t p = 0; p < SUTRA_ASSOCIATIONS_PARTS; p++) {
            const struct saved_part *old = &before.parts[p];
            CHECK_EQ(old->version, parts[p].version);
            for (size_t row = 0; row < old->rows; row++) {
                const bool changed =
                    memcmp(old->bytes + row * old->row_bytes,
                           parts[p].plane->base + row * old->row_bytes, old->row_bytes) != 0;
                CHECK_EQ(changed, parts[p].dirty && sutra_dirty_test(parts[p].dirty, row));
            }
        }
    }
    forget(&before);
    sutra_associations_release(associations);
}

/* ---- room */

static void room_is_refused_beyond_the_limits(void)
{
    struct sutra_associations *associations = make(1, 10, 10);
    REQUIRE(associations);
    sutra_associations_link(associations, 1, 2, 0, 1, 1, 0, 1);
    CHECK_EQ(sutra_associations_reserve(associations, SUTRA_ROWS_MAX, 10), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_associations_reserve(associations, SIZE_MAX, 10), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_associations_reserve(associations, 1, SUTRA_ROWS_MAX + 1), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_associations_reserve(associations, 1, SIZE_MAX), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_associations_reserve(associations, 0, 0), SUTRA_OK);
    CHECK_EQ(count_links(associations, 1, SUTRA_BOTH, SUTRA_NO_KIND, 1), 1);
    CHECK_EQ(sutra_associations_count(associations), 1);
    CHECK_EQ(sutra_associations_delta_rows(associations), 1);
    fold(&associations);
    REQUIRE(sutra_associations_reserve(associations, 1, 10) == SUTRA_OK);
    CHECK(!sutra_associations_link(associations, 1, 2, 0, 1, 1, 0, 2));
    CHECK_EQ(sutra_associations_delta_rows(associations), 2); /* a version and a death */
    sutra_associations_release(associations);
}

/* ---- hubs */

/* Everything with 100,000 edges at one concept; what is quadratic in them would take minutes. */
static void hubs_are_not_quadratic(void)
{
    enum { SPOKES = 100000, HUB = 0 };
    const clock_t begin = clock();
    struct sutra_associations *associations = make(2, 0, 0);
    REQUIRE(associations);
    uint64_t lsn = 0;
    for (int round = 0; round < 3; round++) {
        REQUIRE(sutra_associations_reserve(associations, 2 * SPOKES, SPOKES + 1) == SUTRA_OK);
        size_t fresh = 0;
        for (uint32_t spoke = 1; spoke <= SPOKES; spoke++) {
            fresh += sutra_associations_link(associations, HUB, spoke, 0, 1, 1, 0, ++lsn);
            fresh += sutra_associations_link(associations, spoke, HUB, 1, 1, 1, 0, ++lsn);
        }
        CHECK_EQ(fresh, round == 0 ? 2 * SPOKES : 0);
        if (round == 0)
            fold(&associations);
    }
    /* Without the map of the delta, which a loaded one does not have at first. */
    struct saved saved = {0};
    struct sutra_associations *loaded = NULL;
    struct sutra_fault fault;
    REQUIRE(save(&saved, associations));
    REQUIRE(load(&saved, SPOKES + 1, &loaded, &fault) == SUTRA_OK);
    size_t found = 0, removed = 0;
    for (uint32_t spoke = 1; spoke <= SPOKES; spoke++)
        found += sutra_associations_has(loaded, HUB, spoke, 0);
    CHECK_EQ(found, SPOKES);
    sutra_associations_release(loaded);
    forget(&saved);

    REQUIRE(sutra_associations_reserve(associations, SPOKES, SPOKES + 1) == SUTRA_OK);
    for (uint32_t spoke = 1; spoke <= SPOKES; spoke += 2) {
        removed += sutra_associations_unlink(associations, HUB, spoke, 0, ++lsn, NULL);
        removed += sutra_associations_unlink(associations, spoke, HUB, SUTRA_NO_KIND, ++lsn, NULL);
    }
    CHECK_EQ(removed, SPOKES);
    CHECK_EQ(sutra_associations_degree(associations, HUB), SPOKES);
    fold(&associations);
    REQUIRE(sutra_associations_reserve(associations, SPOKES, SPOKES + 1) == SUTRA_OK);
    CHECK_EQ(sutra_associations_remove_concept(associations, HUB, ++lsn, ignore_other, NULL),
             SPOKES);
    CHECK_EQ(sutra_associations_count(associations), 0);
    fold(&associations);
    CHECK_EQ(sutra_associations_verify(associations, 1, &fault), SUTRA_OK);
    sutra_associations_release(associations);
    const double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    CHECK(seconds < (is_slow_place() ? 60 : 5));
}

/* ---- cursors */

static void a_budget_stops_a_cursor(void)
{
    struct sutra_associations *associations = make(2, 100, 10);
    REQUIRE(associations);
    for (uint32_t target = 0; target < 5; target++)
        sutra_associations_link(associations, 3, target, 0, 1, 1, 0, 1);
    fold(&associations);
    REQUIRE(sutra_associations_reserve(associations, 100, 10) == SUTRA_OK);
    sutra_associations_link(associations, 3, 7, 1, 1, 1, 0, 2);
    sutra_associations_unlink(associations, 3, 2, 0, 2, NULL);
    sutra_associations_link(associations, 8, 3, 1, 1, 1, 0, 2);
    /* To look at: one of the delta, five of the base (one dead), in: 3 -> 3 and 8 -> 3. */
    for (size_t budget = 0; budget < 12; budget++) {
        struct sutra_link_cursor cursor;
        struct sutra_link link;
        size_t count = 0;
        sutra_links_begin(&cursor, associations, 3, SUTRA_BOTH, SUTRA_NO_KIND, 2);
        cursor.budget = budget;
        while (sutra_links_next(&cursor, &link))
            count++;
        CHECK_EQ(sutra_links_done(&cursor), budget >= 8);
        CHECK(!sutra_links_next(&cursor, &link));
        CHECK_EQ(cursor.budget, budget >= 8 ? budget - 8 : 0);
        CHECK_EQ(count, budget >= 8 ? 6 : budget - (budget > 3) - (budget > 7));
    }
    struct sutra_link_cursor cursor;
    struct sutra_link link;
    sutra_links_begin(&cursor, associations, 3, 0, SUTRA_NO_KIND, 2);
    CHECK(!sutra_links_next(&cursor, &link) && sutra_links_done(&cursor));
    CHECK_EQ(count_links(associations, 3, SUTRA_OUT, 1, 2), 1);
    CHECK_EQ(count_links(associations, 3, SUTRA_OUT, 0, 1), 5);
    CHECK_EQ(count_links(associations, 3, SUTRA_OUT, 5, 2), 0);
    CHECK_EQ(count_links(associations, 4000000000u, SUTRA_BOTH, SUTRA_NO_KIND, 2), 0);
    sutra_associations_release(associations);
}

static void references_keep_it(void)
{
    struct sutra_associations *associations = make(1, 10, 10);
    REQUIRE(associations);
    sutra_associations_link(associations, 1, 2, 0, 1, 1, 0, 1);
    sutra_associations_retain(associations);
    sutra_associations_release(associations);
    CHECK_EQ(count_links(associations, 1, SUTRA_OUT, SUTRA_NO_KIND, 1), 1);
    sutra_associations_release(associations);
    sutra_associations_release(NULL);
}

CHECK_MAIN(CASE(random_changes_match_a_model), CASE(marks_are_exact),
           CASE(room_is_refused_beyond_the_limits), CASE(hubs_are_not_quadratic),
           CASE(a_budget_stops_a_cursor), CASE(references_keep_it))
