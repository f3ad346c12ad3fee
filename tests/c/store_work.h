/* Work for a store, drawn from a seed: batches of every kind of operation, with care in between.
 * What a batch does to the model is done when it is drawn, so its operations may build on each
 * other, and the same seed gives the same work.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_STORE_WORK_H
#define SUTRA_TESTS_STORE_WORK_H

#include "store/ops.h"
#include "store_model.h"

#define WORK_ITEMS 50u
#define WORK_OPS 4u
#define WORK_BYTES 200u /* of a content or metadata */

enum work_action {
    WORK_WRITE,
    WORK_REFUSED, /* a write that must be refused, with `refusal` */
    WORK_CHECKPOINT,
    WORK_RECONCILE,
    WORK_SETTLE,
    WORK_COMPACT,
    WORK_SNAPSHOT,
    WORK_FLUSH,
    WORK_REOPEN,
    WORK_ABANDON, /* as a killed process, then open again */
    WORK_ACTIONS
};

struct work_op {
    uint32_t places[WORK_ITEMS], targets[WORK_ITEMS];
    char texts[2][WORK_ITEMS][64];
    const char *text_list[2][WORK_ITEMS];
    uint32_t text_bytes[2][WORK_ITEMS];
    int64_t numbers[2][WORK_ITEMS];
    float vectors[WORK_ITEMS * MODEL_DIM];
    uint8_t has_vector[WORK_ITEMS], is_bytes[WORK_ITEMS];
    uint8_t bytes[2][WORK_ITEMS][WORK_BYTES];
    const uint8_t *blobs[2][WORK_ITEMS];
    uint32_t blob_bytes[2][WORK_ITEMS];
    float weights[WORK_ITEMS], confidences[WORK_ITEMS];
    uint16_t kinds[WORK_ITEMS];
    uint32_t kind_bytes[MODEL_KINDS];
    char name[256];
    size_t expected; /* what `done` must be */
    int64_t expected_first;
};

struct work {
    uint64_t seed, draws;
    int64_t time_ns;
    uint32_t actions_in; /* of so many, about 80 are no writes */
    bool wait;
    int refusal;
    size_t op_count;
    struct sutra_op list[WORK_OPS];
    struct work_op ops[WORK_OPS];
};

static inline struct work *work_new(uint64_t seed)
{
    struct work *work = calloc(1, sizeof *work);
    if (work == NULL)
        abort();
    work->seed = seed;
    work->actions_in = 1000;
    work->time_ns = 1700000000000000000;
    return work;
}

static inline uint64_t draw(struct work *work)
{
    return sutra_random_at(work->seed, work->draws++);
}

static inline uint32_t draw_below(struct work *work, uint32_t bound)
{
    return (uint32_t)(draw(work) % bound);
}

static inline bool draw_chance(struct work *work, uint32_t percent)
{
    return draw_below(work, 100) < percent;
}

static inline float draw_float(struct work *work)
{
    return (float)(draw(work) >> 40) / (float)(1 << 24);
}

static inline size_t draw_count(struct work *work)
{
    const uint32_t kind = draw_below(work, 100);
    if (kind < 70)
        return 1 + draw_below(work, 4);
    return kind < 96 ? 1 + draw_below(work, 16) : 1 + draw_below(work, WORK_ITEMS);
}

/* ---- ids */

/* Any place: chosen ids, or one of the last that the store assigned. */
static inline uint32_t draw_place(struct work *work, const struct model *model)
{
    const uint32_t chosen = MODEL_TEXTS + MODEL_NUMBERS;
    const uint32_t assigned = (uint32_t)model->places - chosen;
    if (assigned > 0 && draw_chance(work, 20))
        return (uint32_t)model->places - 1 - draw_below(work, assigned < 100 ? assigned : 100);
    return draw_below(work, chosen);
}

static inline uint32_t draw_alive(struct work *work, const struct model *model)
{
    uint32_t place = draw_place(work, model);
    for (unsigned tries = 0; tries < 40 && !model_alive(model, place); tries++)
        place = draw_place(work, model);
    return place;
}

static inline bool has_place(const uint32_t *places, size_t count, uint32_t place)
{
    for (size_t j = 0; j < count; j++) {
        if (places[j] == place)
            return true;
    }
    return false;
}

/* The ids of places [0, count), on side 0 or 1 of an operation. */
static inline struct sutra_ids work_ids(struct work_op *op, unsigned side, const uint32_t *places,
                                        size_t count)
{
    bool texts = false;
    for (size_t j = 0; j < count; j++) {
        op->numbers[side][j] = place_is_text(places[j]) ? -1 : place_number(places[j]);
        op->text_list[side][j] = NULL;
        op->text_bytes[side][j] = 0;
        if (place_is_text(places[j])) {
            texts = true;
            op->text_list[side][j] = op->texts[side][j];
            op->text_bytes[side][j] = place_text(places[j], op->texts[side][j]);
        }
    }
    return (struct sutra_ids){.count = count,
                              .numbers = op->numbers[side],
                              .texts = texts ? op->text_list[side] : NULL,
                              .text_bytes = texts ? op->text_bytes[side] : NULL};
}

/* ---- put */

static inline uint32_t draw_text(struct work *work, uint8_t *to, bool json)
{
    static const char letters[] = "abcdefghij klmnop qrst";
    const uint32_t length = draw_below(work, draw_chance(work, 10) ? WORK_BYTES - 10 : 40);
    uint32_t used = 0;
    if (json)
        used = (uint32_t)snprintf((char *)to, WORK_BYTES, "{\"k\":\"");
    const uint64_t seed = draw(work);
    for (uint32_t j = 0; j < length && used < WORK_BYTES - 3; j++)
        to[used++] = (uint8_t)letters[sutra_random_at(seed, j) % (sizeof letters - 1)];
    if (json) {
        to[used++] = '"';
        to[used++] = '}';
    }
    return used;
}

/* What fits all fields that may be declared. */
static inline uint32_t draw_metadata(struct work *work, uint8_t *bytes)
{
    static const char *const values[MODEL_FIELDS][4] = {
        {"1", "-7", "9223372036854775807", "null"},
        {"0.5", "3", "9007199254740993", "null"},
        {"true", "false", "true", "null"},
        {"\"one\"", "\"tw\\u00f6\"", "\"\"", "null"},
        {"\"2024-05-06\"", "\"1999-12-31T23:59:59Z\"", "\"2024-05-06 07:08\"", "null"}};
    const char *drawn[MODEL_FIELDS];
    for (size_t f = 0; f < MODEL_FIELDS; f++)
        drawn[f] = values[f][draw_below(work, 4)];
    const int count = draw_chance(work, 30)
                          ? snprintf((char *)bytes, WORK_BYTES, "{\"at\": %s, \"more\": [%u]}",
                                     drawn[4], draw_below(work, 1000))
                          : snprintf((char *)bytes, WORK_BYTES,
                                     "{\"n\":%s,\"weight\":%s,\"o\":{\"is\":%s,\"name\":%s%u\"}}",
                                     drawn[0], drawn[1], drawn[2], "\"name ", draw_below(work, 60));
    return (uint32_t)count;
}

static inline void draw_blobs(struct work *work, struct work_op *op, struct sutra_op_put *put)
{
    const bool contents = draw_chance(work, 60), metadata = draw_chance(work, 40);
    const bool types = draw_chance(work, 30);
    for (size_t j = 0; j < put->ids.count; j++) {
        op->blobs[0][j] = op->blobs[1][j] = NULL;
        op->is_bytes[j] = types && draw_chance(work, 50);
        if (contents && draw_chance(work, 80)) {
            op->blobs[0][j] = op->bytes[0][j];
            op->blob_bytes[0][j] = draw_text(work, op->bytes[0][j], false);
            if (op->is_bytes[j] && op->blob_bytes[0][j] > 0)
                op->bytes[0][j][0] = 0xff;
        }
        if (metadata && draw_chance(work, 80)) {
            op->blobs[1][j] = op->bytes[1][j];
            op->blob_bytes[1][j] = draw_chance(work, 60) ? draw_metadata(work, op->bytes[1][j])
                                                         : draw_text(work, op->bytes[1][j], true);
        }
    }
    if (contents) {
        put->contents = op->blobs[0];
        put->content_bytes = op->blob_bytes[0];
        put->content_is_bytes = types ? op->is_bytes : NULL;
    }
    if (metadata) {
        put->metadata = op->blobs[1];
        put->metadata_bytes = op->blob_bytes[1];
    }
}

static inline void draw_vectors(struct work *work, struct work_op *op, struct sutra_op_put *put)
{
    memset(op->has_vector, 0, sizeof op->has_vector);
    if (draw_chance(work, 35))
        return;
    const bool some = draw_chance(work, 30);
    size_t rows = 0;
    for (size_t j = 0; j < put->ids.count; j++) {
        op->has_vector[j] = !some || draw_chance(work, 60);
        if (!op->has_vector[j])
            continue;
        for (size_t i = 0; i < MODEL_DIM; i++)
            op->vectors[rows * MODEL_DIM + i] = draw_float(work) - 0.5f;
        rows++;
    }
    put->dim = MODEL_DIM;
    put->vectors = op->vectors;
    put->stride = MODEL_DIM;
    put->has_vector = some ? op->has_vector : NULL;
}

static inline void draw_floats(struct work *work, float *values, size_t count, const float **out,
                               size_t *step_out)
{
    *step_out = draw_chance(work, 50);
    *out = values;
    for (size_t j = 0; j < count; j++)
        values[j] = *step_out || j == 0 ? draw_float(work) : values[0];
}

static inline void apply_put_to(struct model *model, const struct work_op *op,
                                const struct sutra_op_put *put)
{
    size_t row = 0;
    for (size_t j = 0; j < put->ids.count; j++) {
        const bool content = put->contents && op->blobs[0][j];
        const bool metadata = put->metadata && op->blobs[1][j];
        const bool is_bytes = put->content_is_bytes && op->is_bytes[j];
        model_put(model, op->places[j],
                  content ? hash_content(op->blobs[0][j], op->blob_bytes[0][j], is_bytes) : 0,
                  metadata ? hash_metadata(op->blobs[1][j], op->blob_bytes[1][j]) : 0,
                  op->has_vector[j] ? hash_vector(op->vectors + row * MODEL_DIM) : 0,
                  op->weights[j], op->confidences[j], put->time_ns);
        row += op->has_vector[j];
    }
}

static inline void draw_put(struct work *work, struct model *model, struct work_op *op,
                            struct sutra_op *out)
{
    struct sutra_op_put *put = &out->put;
    const size_t wanted = draw_count(work);
    const bool assigned = draw_chance(work, 8);
    size_t count = 0;
    out->kind = SUTRA_OP_PUT;
    put->replace = !assigned && draw_chance(work, 70);
    put->time_ns = work->time_ns;
    op->expected_first = -1;
    if (assigned) {
        /* The first number of all is above those that are chosen. */
        for (; count < wanted; count++)
            op->places[count] = number_place(model->next_number) + (uint32_t)count;
        op->expected_first = model->next_number;
        put->ids.count = count;
    } else {
        for (size_t tries = 0; tries < 4 * wanted && count < wanted; tries++) {
            const uint32_t place = draw_place(work, model);
            if (has_place(op->places, count, place) || (!put->replace && model_alive(model, place)))
                continue;
            op->places[count++] = place;
        }
        put->ids = work_ids(op, 0, op->places, count);
    }
    draw_vectors(work, op, put);
    draw_blobs(work, op, put);
    draw_floats(work, op->weights, count, &put->strengths, &put->strength_step);
    draw_floats(work, op->confidences, count, &put->confidences, &put->confidence_step);
    apply_put_to(model, op, put);
    op->expected = count;
}

/* ---- the others */

static inline void draw_ids(struct work *work, struct model *model, struct work_op *op,
                            struct sutra_op *out, bool remove)
{
    size_t count = 0;
    const size_t wanted = remove ? 1 + draw_below(work, 6) : draw_count(work);
    op->expected = 0;
    op->expected_first = -1;
    for (; count < wanted; count++) {
        const uint32_t place =
            draw_chance(work, 85) ? draw_alive(work, model) : draw_place(work, model);
        if (!remove && has_place(op->places, count, place))
            break;
        op->places[count] = place;
        op->expected +=
            remove ? model_remove(model, place) : model_touch(model, place, work->time_ns);
    }
    out->kind = remove ? SUTRA_OP_DELETE : SUTRA_OP_TOUCH;
    out->ids =
        (struct sutra_op_ids){.ids = work_ids(op, 0, op->places, count), .time_ns = work->time_ns};
}

static inline void work_kinds(struct work_op *op, struct sutra_op_link *link, bool each)
{
    for (size_t k = 0; k < MODEL_KINDS; k++)
        op->kind_bytes[k] = (uint32_t)strlen(model_kinds[k]);
    link->kind_names = model_kinds;
    link->kind_bytes = op->kind_bytes;
    link->kind_count = each ? MODEL_KINDS : 1;
    link->kinds = each ? op->kinds : NULL;
}

static inline void draw_link(struct work *work, struct model *model, struct work_op *op,
                             struct sutra_op *out)
{
    struct sutra_op_link *link = &out->link;
    const size_t wanted = draw_count(work);
    const bool each = draw_chance(work, 60);
    size_t count = 0;
    out->kind = SUTRA_OP_LINK;
    op->expected_first = -1;
    for (; count < wanted && model->edge_count + wanted < MODEL_EDGES / 4; count++) {
        op->places[count] = draw_alive(work, model);
        op->targets[count] = draw_alive(work, model);
        if (!model_alive(model, op->places[count]) || !model_alive(model, op->targets[count]))
            break;
        op->kinds[count] = each ? (uint16_t)draw_below(work, MODEL_KINDS) : 0;
    }
    link->sources = work_ids(op, 0, op->places, count);
    link->targets = work_ids(op, 1, op->targets, count);
    link->time_ns = work->time_ns;
    work_kinds(op, link, each);
    draw_floats(work, op->weights, count, &link->weights, &link->weight_step);
    draw_floats(work, op->confidences, count, &link->confidences, &link->confidence_step);
    for (size_t j = 0; j < count; j++)
        model_link(model, op->places[j], op->targets[j], op->kinds[j], op->weights[j],
                   op->confidences[j], work->time_ns);
    op->expected = count;
}

static inline void draw_unlink(struct work *work, struct model *model, struct work_op *op,
                               struct sutra_op *out)
{
    struct sutra_op_link *link = &out->link;
    const size_t count = draw_count(work);
    const uint32_t form = draw_below(work, 3);
    out->kind = SUTRA_OP_UNLINK;
    op->expected = 0;
    op->expected_first = -1;
    for (size_t j = 0; j < count; j++) {
        op->kinds[j] = form == 1 ? (uint16_t)draw_below(work, MODEL_KINDS) : 0;
        if (model->edge_count > 0 && draw_chance(work, 80)) {
            const struct model_edge *edge =
                &model->edges[draw_below(work, (uint32_t)model->edge_count)];
            op->places[j] = edge->source;
            op->targets[j] = edge->target;
            if (form == 1)
                op->kinds[j] = (uint16_t)edge->kind;
        } else {
            op->places[j] = draw_place(work, model);
            op->targets[j] = draw_place(work, model);
        }
        op->expected += model_unlink(model, op->places[j], op->targets[j],
                                     form == 2 ? MODEL_KINDS : op->kinds[j]);
    }
    link->sources = work_ids(op, 0, op->places, count);
    link->targets = work_ids(op, 1, op->targets, count);
    link->time_ns = work->time_ns;
    work_kinds(op, link, form == 1);
    if (form == 2)
        link->kind_count = 0;
}

/* A setting: new, changed or removed. */
static inline void draw_set(struct work *work, struct model *model, struct work_op *op,
                            struct sutra_op *out)
{
    const uint32_t which = draw_below(work, MODEL_SETTINGS);
    uint8_t *value = &op->bytes[0][0][0];
    const uint32_t bytes =
        draw_below(work, draw_chance(work, 10) ? WORK_ITEMS * WORK_BYTES / 4 : 40);
    const uint64_t seed = draw(work);
    for (uint32_t j = 0; j < bytes; j++)
        value[j] = (uint8_t)sutra_random_at(seed, j);
    out->kind = SUTRA_OP_SET;
    out->set.name = op->name;
    out->set.name_bytes = setting_name(which, op->name);
    if (!draw_chance(work, 30)) {
        out->set.value = value;
        out->set.value_bytes = bytes;
    }
    op->expected = model_set(model, which, out->set.value ? hash_value(value, bytes) : 0);
    op->expected_first = -1;
}

/* A field: declared or dropped, or so already. */
static inline void draw_field(struct work *work, struct model *model, struct work_op *op,
                              struct sutra_op *out)
{
    const uint32_t which = draw_below(work, MODEL_FIELDS);
    const bool declared = !draw_chance(work, 35);
    memset(out, 0, sizeof *out);
    out->kind = SUTRA_OP_FIELD;
    out->field.path = model_fields[which];
    out->field.path_bytes = (uint32_t)strlen(model_fields[which]);
    out->field.type = declared ? 1 + which : SUTRA_FIELD_NONE;
    op->expected = model_field(model, which, declared);
    op->expected_first = -1;
}

static inline void draw_op(struct work *work, struct model *model, struct work_op *op,
                           struct sutra_op *out)
{
    memset(out, 0, sizeof *out);
    const uint32_t kind = draw_below(work, 100);
    if (kind < 46)
        draw_put(work, model, op, out);
    else if (kind < 52)
        draw_set(work, model, op, out);
    else if (kind < 62)
        draw_ids(work, model, op, out, true);
    else if (kind < 69)
        draw_ids(work, model, op, out, false);
    else if (kind < 92)
        draw_link(work, model, op, out);
    else
        draw_unlink(work, model, op, out);
}

/* ---- batches and actions */

static inline void draw_batch(struct work *work, struct model *model)
{
    work->op_count = draw_chance(work, 12) ? 2 + draw_below(work, WORK_OPS - 1) : 1;
    /* Fields come before what makes concepts. */
    const bool field = draw_chance(work, 4);
    if (field)
        draw_field(work, model, &work->ops[0], &work->list[0]);
    for (size_t j = field; j < work->op_count; j++)
        draw_op(work, model, &work->ops[j], &work->list[j]);
    work->wait = !draw_chance(work, 15);
}

/* The first writes of a store: the largest of the chosen numbers, so that the store assigns numbers
 * above them. */
static inline void first_batch(struct work *work, struct model *model)
{
    struct work_op *op = &work->ops[0];
    struct sutra_op *out = &work->list[0];
    memset(out, 0, sizeof *out);
    op->places[0] = MODEL_TEXTS + MODEL_NUMBERS - 1;
    op->weights[0] = op->confidences[0] = 0.5f;
    op->has_vector[0] = 0;
    out->kind = SUTRA_OP_PUT;
    out->put = (struct sutra_op_put){.ids = work_ids(op, 0, op->places, 1),
                                     .strengths = op->weights,
                                     .confidences = op->confidences,
                                     .time_ns = work->time_ns};
    apply_put_to(model, op, &out->put);
    op->expected = 1;
    op->expected_first = -1;
    work->op_count = 1;
    work->wait = true;
}

/* A batch whose last operation is wrong: nothing of it may be done. */
static inline bool refused_batch(struct work *work, struct model *model, struct model *unused)
{
    struct sutra_op *out = &work->list[1];
    struct work_op *op = &work->ops[1];
    model_copy(unused, model);
    draw_op(work, unused, &work->ops[0], &work->list[0]);
    memset(out, 0, sizeof *out);
    const uint32_t alive = draw_alive(work, unused);
    uint32_t dead = 0;
    while (dead < unused->places && unused->concepts[dead].alive)
        dead++;
    if (!model_alive(unused, alive) || dead == unused->places)
        return false;
    op->weights[0] = op->confidences[0] = 1.0f;
    if (draw_chance(work, 25)) {
        op->name[0] = (char)0xff; /* begins no character */
        out->kind = SUTRA_OP_SET;
        out->set = (struct sutra_op_set){.name = op->name, .name_bytes = 1};
        work->refusal = SUTRA_E_ARGUMENT;
    } else if (unused->fields[0] && draw_chance(work, 40)) {
        op->places[0] = alive; /* of another type than the field */
        op->blobs[1][0] = (const uint8_t *)"{\"n\": 1.5}";
        op->blob_bytes[1][0] = 10;
        out->kind = SUTRA_OP_PUT;
        out->put = (struct sutra_op_put){.replace = true,
                                         .ids = work_ids(op, 0, op->places, 1),
                                         .metadata = op->blobs[1],
                                         .metadata_bytes = op->blob_bytes[1],
                                         .strengths = op->weights,
                                         .confidences = op->confidences};
        work->refusal = SUTRA_E_CONFIG;
    } else if (draw_chance(work, 50)) {
        op->places[0] = alive;
        out->kind = SUTRA_OP_PUT;
        out->put = (struct sutra_op_put){.ids = work_ids(op, 0, op->places, 1),
                                         .strengths = op->weights,
                                         .confidences = op->confidences};
        work->refusal = SUTRA_E_DUPLICATE_ID;
    } else {
        op->places[0] = alive;
        op->targets[0] = dead;
        out->kind = SUTRA_OP_LINK;
        out->link = (struct sutra_op_link){.sources = work_ids(op, 0, op->places, 1),
                                           .targets = work_ids(op, 1, op->targets, 1),
                                           .weights = op->weights,
                                           .confidences = op->confidences};
        work_kinds(op, &out->link, false);
        work->refusal = SUTRA_E_NOT_FOUND;
    }
    work->op_count = 2;
    work->wait = true;
    return true;
}

/* What is next; writes are drawn and done to the model. `spare` is scratch. */
static inline int draw_action(struct work *work, struct model *model, struct model *spare)
{
    work->time_ns += 1 + (int64_t)(draw(work) % 1000000);
    if (model->next_number == 0) {
        first_batch(work, model);
        return WORK_WRITE;
    }
    const uint32_t kind = draw_below(work, work->actions_in);
    if (kind < 10)
        return refused_batch(work, model, spare) ? WORK_REFUSED : WORK_FLUSH;
    if (kind < 18)
        return WORK_CHECKPOINT;
    if (kind < 48)
        return WORK_RECONCILE;
    if (kind < 54)
        return WORK_SETTLE;
    if (kind < 64)
        return WORK_FLUSH;
    if (kind < 68)
        return WORK_COMPACT;
    if (kind < 72)
        return WORK_SNAPSHOT;
    if (kind < 78)
        return WORK_REOPEN;
    if (kind < 82)
        return WORK_ABANDON;
    draw_batch(work, model);
    return WORK_WRITE;
}

#endif
