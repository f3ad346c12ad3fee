/* A model of a store: what every concept, association, setting and declared field is after each
 * operation, in plain arrays, and a digest of all of it.
 *
 * A concept is known by a small number, its place here: texts first, then numbers. Contents,
 * metadata, vectors and values of settings are kept as hashes. The digest is a sum over concepts,
 * associations and settings, so it does not depend on their order, and the digest of a store
 * (store_cases.h) is the same sum made from what a view shows.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_STORE_MODEL_H
#define SUTRA_TESTS_STORE_MODEL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "concepts/associations.h"
#include "concepts/concepts.h"

#define MODEL_TEXTS 120u
#define MODEL_NUMBERS 200u /* below it ids are chosen, from it on the store assigns them */
#define MODEL_PLACES 12288u
#define MODEL_EDGES 4096u
#define MODEL_KINDS 5u
#define MODEL_DIM 8u
#define MODEL_SETTINGS 12u
#define MODEL_FIELDS 5u

struct model_concept {
    bool alive;
    uint64_t id;                        /* hash */
    uint64_t content, metadata, vector; /* hashes, 0: none */
    float strength, confidence;
    int64_t created_ns, accessed_ns;
    uint32_t references;
};

struct model_edge {
    uint32_t source, target, kind;
    float weight, confidence;
    int64_t created_ns;
};

struct model {
    uint64_t digest;
    size_t live;
    size_t places; /* in use */
    int64_t next_number;
    uint64_t settings[MODEL_SETTINGS]; /* hashes of their values, 0: not set */
    bool fields[MODEL_FIELDS];         /* declared */
    size_t edge_count;
    struct model_edge edges[MODEL_EDGES];
    struct model_concept concepts[MODEL_PLACES];
};

/* ---- hashes */

static inline uint64_t digest_add(uint64_t digest, uint64_t value)
{
    return sutra_mix64(digest ^ value) + 0x632be59bd9b4e019u;
}

static inline uint64_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Never 0. */
static inline uint64_t hash_bytes(uint64_t seed, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    uint64_t hash = digest_add(seed, bytes);
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    uint64_t word = 0;
    if (bytes > 0)
        memcpy(&word, at, bytes);
    return sutra_mix64(hash ^ word) | 1;
}

static inline uint64_t hash_number_id(int64_t number)
{
    return sutra_mix64((uint64_t)number + 0x1234567) | 1;
}

static inline uint64_t hash_text_id(const char *text, size_t bytes)
{
    return hash_bytes(1, text, bytes);
}

static inline uint64_t hash_content(const void *data, size_t bytes, bool is_bytes)
{
    return hash_bytes(is_bytes ? 3 : 2, data, bytes);
}

static inline uint64_t hash_metadata(const void *data, size_t bytes)
{
    return hash_bytes(4, data, bytes);
}

static inline uint64_t hash_vector(const float *vector)
{
    return hash_bytes(5, vector, MODEL_DIM * sizeof *vector);
}

static inline uint64_t hash_kind(const char *name, size_t bytes)
{
    return hash_bytes(6, name, bytes);
}

static inline uint64_t concept_digest(const struct model_concept *concept)
{
    uint64_t digest = digest_add(7, concept->id);
    digest = digest_add(digest, concept->content);
    digest = digest_add(digest, concept->metadata);
    digest = digest_add(digest, concept->vector);
    digest =
        digest_add(digest, float_bits(concept->strength) << 32 | float_bits(concept->confidence));
    digest = digest_add(digest, (uint64_t) concept->created_ns);
    digest = digest_add(digest, (uint64_t) concept->accessed_ns);
    return digest_add(digest, concept->references);
}

static inline uint64_t edge_digest(uint64_t source, uint64_t target, uint64_t kind, float weight,
                                   float confidence, int64_t created_ns)
{
    uint64_t digest = digest_add(8, source);
    digest = digest_add(digest, target);
    digest = digest_add(digest, kind);
    digest = digest_add(digest, float_bits(weight) << 32 | float_bits(confidence));
    return digest_add(digest, (uint64_t)created_ns);
}

static inline uint64_t setting_digest(const char *name, size_t name_bytes, uint64_t value)
{
    return digest_add(hash_bytes(9, name, name_bytes), value);
}

static inline uint64_t hash_value(const void *data, size_t bytes)
{
    return hash_bytes(10, data, bytes);
}

static inline uint64_t field_digest(const char *path, size_t bytes, uint64_t type)
{
    return digest_add(hash_bytes(11, path, bytes), type);
}

/* ---- ids */

static const char *const model_kinds[MODEL_KINDS] = {"near", "causes", "part-of", "\xc3\xa9tat",
                                                     "x"};

/* Fields that may be declared, and what their types are (enum sutra_field_type). */
static const char *const model_fields[MODEL_FIELDS] = {"n", "weight", "o.is", "o.name", "at"};

static inline bool place_is_text(uint32_t place)
{
    return place < MODEL_TEXTS;
}

static inline int64_t place_number(uint32_t place)
{
    return (int64_t)place - (int64_t)MODEL_TEXTS;
}

static inline uint32_t number_place(int64_t number)
{
    return (uint32_t)number + MODEL_TEXTS;
}

/* Some short, some long. */
static inline uint32_t place_text(uint32_t place, char text[64])
{
    const int bytes = place % 3
                          ? snprintf(text, 64, "t%u", place)
                          : snprintf(text, 64, "a rather long name of a concept, number %u", place);
    return (uint32_t)bytes;
}

static inline uint64_t place_id_hash(uint32_t place)
{
    char text[64];
    if (!place_is_text(place))
        return hash_number_id(place_number(place));
    const uint32_t bytes = place_text(place, text);
    return hash_text_id(text, bytes);
}

/* The first is the longest there may be; others are the beginnings of others. */
static inline uint32_t setting_name(uint32_t which, char name[256])
{
    static const char text[] = "search.\xe6\xb7\xb1\xe3\x81\x95/width";
    if (which > 0)
        return (uint32_t)snprintf(name, 256, "%.*s%u", which % 2 ? 7 : 30, text, which / 2);
    memset(name, 'n', 255);
    return 255;
}

/* ---- changes */

static inline struct model *model_new(void)
{
    struct model *model = calloc(1, sizeof *model);
    if (model == NULL)
        abort();
    model->places = MODEL_TEXTS + MODEL_NUMBERS;
    for (uint32_t place = 0; place < model->places; place++)
        model->concepts[place].id = place_id_hash(place);
    return model;
}

static inline void model_copy(struct model *to, const struct model *from)
{
    memcpy(to, from, offsetof(struct model, edges));
    memcpy(to->edges, from->edges, from->edge_count * sizeof *from->edges);
    memcpy(to->concepts, from->concepts, from->places * sizeof *from->concepts);
}

static inline bool model_alive(const struct model *model, uint32_t place)
{
    return place < model->places && model->concepts[place].alive;
}

static inline void model_forget(struct model *model, uint32_t place)
{
    if (model->concepts[place].alive)
        model->digest -= concept_digest(&model->concepts[place]);
}

static inline void model_note(struct model *model, uint32_t place)
{
    if (model->concepts[place].alive)
        model->digest += concept_digest(&model->concepts[place]);
}

/* What a put gives; hashes 0: not given. */
static inline void model_put(struct model *model, uint32_t place, uint64_t content,
                             uint64_t metadata, uint64_t vector, float strength, float confidence,
                             int64_t time_ns)
{
    if (place >= MODEL_PLACES)
        abort();
    for (; model->places <= place; model->places++) {
        struct model_concept *concept = &model->concepts[model->places];
        memset(concept, 0, sizeof *concept);
        concept->id = place_id_hash((uint32_t)model->places);
    }
    struct model_concept *concept = &model->concepts[place];
    model_forget(model, place);
    if (!concept->alive) {
        *concept = (struct model_concept){.alive = true, .id = concept->id, .created_ns = time_ns};
        model->live++;
    }
    if (content)
    concept->content = content;
    if (metadata)
    concept->metadata = metadata;
    if (vector)
    concept->vector = vector;
    concept->strength = strength;
    concept->confidence = confidence;
    concept->accessed_ns = time_ns;
    if (!place_is_text(place) && place_number(place) >= model->next_number)
        model->next_number = place_number(place) + 1;
    model_note(model, place);
}

static inline uint64_t model_edge_digest(const struct model *model, const struct model_edge *edge)
{
    return edge_digest(model->concepts[edge->source].id, model->concepts[edge->target].id,
                       hash_kind(model_kinds[edge->kind], strlen(model_kinds[edge->kind])),
                       edge->weight, edge->confidence, edge->created_ns);
}

static inline void model_count_reference(struct model *model, uint32_t place, bool one_more)
{
    model_forget(model, place);
    if (one_more)
        model->concepts[place].references++;
    else
        model->concepts[place].references--;
    model_note(model, place);
}

static inline void model_drop_edge(struct model *model, size_t at)
{
    model->digest -= model_edge_digest(model, &model->edges[at]);
    model_count_reference(model, model->edges[at].target, false);
    model->edges[at] = model->edges[--model->edge_count];
}

static inline bool model_remove(struct model *model, uint32_t place)
{
    if (!model_alive(model, place))
        return false;
    for (size_t at = model->edge_count; at > 0; at--) {
        const struct model_edge *edge = &model->edges[at - 1];
        if (edge->source == place || edge->target == place)
            model_drop_edge(model, at - 1);
    }
    model_forget(model, place);
    model->concepts[place].alive = false;
    model->live--;
    return true;
}

static inline bool model_touch(struct model *model, uint32_t place, int64_t time_ns)
{
    if (!model_alive(model, place))
        return false;
    model_forget(model, place);
    model->concepts[place].accessed_ns = time_ns;
    model_note(model, place);
    return true;
}

static inline size_t model_find_edge(const struct model *model, uint32_t source, uint32_t target,
                                     uint32_t kind)
{
    size_t at = 0;
    while (at < model->edge_count &&
           (model->edges[at].source != source || model->edges[at].target != target ||
            model->edges[at].kind != kind))
        at++;
    return at;
}

static inline void model_link(struct model *model, uint32_t source, uint32_t target, uint32_t kind,
                              float weight, float confidence, int64_t time_ns)
{
    const size_t at = model_find_edge(model, source, target, kind);
    if (at == MODEL_EDGES)
        abort();
    if (at < model->edge_count)
        model->digest -= model_edge_digest(model, &model->edges[at]);
    else
        model_count_reference(model, target, true);
    model->edge_count += at == model->edge_count;
    model->edges[at] = (struct model_edge){source, target, kind, weight, confidence, time_ns};
    model->digest += model_edge_digest(model, &model->edges[at]);
}

/* value: a hash; 0 removes. Returns whether there is, or was, anything. */
static inline bool model_set(struct model *model, uint32_t which, uint64_t value)
{
    char name[256];
    const uint32_t bytes = setting_name(which, name);
    uint64_t *setting = &model->settings[which];
    const bool done = value || *setting;
    if (*setting)
        model->digest -= setting_digest(name, bytes, *setting);
    *setting = value;
    if (value)
        model->digest += setting_digest(name, bytes, value);
    return done;
}

/* Declare or drop; returns whether that changes anything. Field j has type 1 + j. */
static inline bool model_field(struct model *model, uint32_t which, bool declare)
{
    const char *path = model_fields[which];
    const uint64_t digest = field_digest(path, strlen(path), 1 + which);
    const bool done = model->fields[which] != declare;
    if (done)
        model->digest += declare ? digest : 0 - digest;
    model->fields[which] = declare;
    return done;
}

/* kind MODEL_KINDS: all. Returns how many there were. */
static inline size_t model_unlink(struct model *model, uint32_t source, uint32_t target,
                                  uint32_t kind)
{
    size_t removed = 0;
    for (size_t at = model->edge_count; at > 0; at--) {
        const struct model_edge *edge = &model->edges[at - 1];
        if (edge->source == source && edge->target == target &&
            (kind == MODEL_KINDS || edge->kind == kind)) {
            model_drop_edge(model, at - 1);
            removed++;
        }
    }
    return removed;
}

#endif
