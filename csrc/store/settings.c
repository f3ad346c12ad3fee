/* The table of settings; see settings.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "settings.h"

#include <stdlib.h>
#include <string.h>

struct sutra_setting {
    uint32_t name_bytes, value_bytes;
    bool removed;    /* staged: the name alone */
    uint8_t bytes[]; /* name and value */
};

/* ---- sorted lists */

static int compare(const struct sutra_setting *setting, const char *name, size_t bytes)
{
    const size_t least = setting->name_bytes < bytes ? setting->name_bytes : bytes;
    const int order = memcmp(setting->bytes, name, least);
    return order ? order : (setting->name_bytes > bytes) - (setting->name_bytes < bytes);
}

/* Where the name is, or belongs. */
static bool find(struct sutra_setting *const *list, size_t count, const char *name, size_t bytes,
                 size_t *at_out)
{
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = compare(list[middle], name, bytes);
        if (order == 0) {
            *at_out = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *at_out = low;
    return false;
}

static void insert(struct sutra_setting **list, size_t *count, size_t at,
                   struct sutra_setting *setting)
{
    memmove(list + at + 1, list + at, (*count - at) * sizeof(struct sutra_setting *));
    list[at] = setting;
    ++*count;
}

static void take_out(struct sutra_setting **list, size_t *count, size_t at)
{
    free(list[at]);
    --*count;
    memmove(list + at, list + at + 1, (*count - at) * sizeof(struct sutra_setting *));
}

static void replace(struct sutra_setting **list, size_t at, struct sutra_setting *setting)
{
    free(list[at]);
    list[at] = setting;
}

static struct sutra_setting *new_setting(const struct sutra_op_set *set)
{
    const uint32_t value_bytes = set->value ? set->value_bytes : 0;
    struct sutra_setting *setting = malloc(sizeof *setting + (size_t)set->name_bytes + value_bytes);
    if (!setting)
        return NULL;
    setting->name_bytes = set->name_bytes;
    setting->value_bytes = value_bytes;
    setting->removed = !set->value;
    memcpy(setting->bytes, set->name, set->name_bytes);
    if (value_bytes)
        memcpy(setting->bytes + set->name_bytes, set->value, value_bytes);
    return setting;
}

/* ---- lifetime */

static void clear(struct sutra_settings *settings)
{
    for (size_t j = 0; j < settings->count; j++)
        free(settings->items[j]);
    settings->count = settings->total = 0;
}

void sutra_settings_init(struct sutra_settings *settings)
{
    memset(settings, 0, sizeof *settings);
    pthread_mutex_init(&settings->lock, NULL);
}

void sutra_settings_deinit(struct sutra_settings *settings)
{
    sutra_settings_unstage(settings);
    clear(settings);
    pthread_mutex_destroy(&settings->lock);
}

/* ---- reading */

int sutra_settings_get(struct sutra_settings *settings, const char *name, size_t name_bytes,
                       uint8_t *value_out, size_t room, size_t *bytes_out)
{
    size_t at;
    int status = SUTRA_E_NOT_FOUND;
    pthread_mutex_lock(&settings->lock);
    if (find(settings->items, settings->count, name, name_bytes, &at)) {
        const struct sutra_setting *setting = settings->items[at];
        *bytes_out = setting->value_bytes;
        status = setting->value_bytes <= room ? SUTRA_OK : SUTRA_E_CAPACITY;
        if (status == SUTRA_OK && setting->value_bytes)
            memcpy(value_out, setting->bytes + setting->name_bytes, setting->value_bytes);
    }
    pthread_mutex_unlock(&settings->lock);
    return status;
}

_Static_assert(SUTRA_SETTING_NAME_BYTES_MAX <= UINT8_MAX, "a byte says how long a name is");

int sutra_settings_names(struct sutra_settings *settings, uint8_t **names_out, size_t *bytes_out,
                         size_t *count_out)
{
    size_t bytes = 0;
    pthread_mutex_lock(&settings->lock);
    for (size_t j = 0; j < settings->count; j++)
        bytes += 1 + (size_t)settings->items[j]->name_bytes;
    uint8_t *names = malloc(bytes + 1);
    uint8_t *to = names;
    for (size_t j = 0; names && j < settings->count; j++) {
        const struct sutra_setting *setting = settings->items[j];
        *to++ = (uint8_t)setting->name_bytes;
        memcpy(to, setting->bytes, setting->name_bytes);
        to += setting->name_bytes;
    }
    *count_out = settings->count;
    pthread_mutex_unlock(&settings->lock);
    *names_out = names;
    *bytes_out = bytes;
    return names ? SUTRA_OK : SUTRA_E_NO_MEMORY;
}

/* ---- changing */

int sutra_settings_stage(struct sutra_settings *settings, const struct sutra_op_set *set,
                         size_t *done_out)
{
    size_t at, staged_at;
    const bool saved = find(settings->items, settings->count, set->name, set->name_bytes, &at);
    const bool staged =
        find(settings->staged, settings->staged_count, set->name, set->name_bytes, &staged_at);
    const bool there = staged ? !settings->staged[staged_at]->removed : saved;
    *done_out = set->value || there;
    if (!set->value && !there)
        return SUTRA_OK;
    if (set->value && !there && settings->total == SUTRA_SETTINGS_MAX)
        return SUTRA_E_CAPACITY;
    if (!set->value && !saved) { /* this batch has brought it */
        take_out(settings->staged, &settings->staged_count, staged_at);
        settings->total--;
        return SUTRA_OK;
    }
    struct sutra_setting *setting = new_setting(set);
    if (!setting)
        return SUTRA_E_NO_MEMORY;
    if (staged)
        replace(settings->staged, staged_at, setting);
    else
        insert(settings->staged, &settings->staged_count, staged_at, setting);
    if (!set->value)
        settings->total--;
    else if (!there)
        settings->total++;
    return SUTRA_OK;
}

void sutra_settings_unstage(struct sutra_settings *settings)
{
    for (size_t j = 0; j < settings->staged_count; j++)
        free(settings->staged[j]);
    settings->staged_count = 0;
    settings->total = settings->count;
}

static void publish_removals(struct sutra_settings *settings)
{
    for (size_t j = 0; j < settings->staged_count; j++) {
        const struct sutra_setting *setting = settings->staged[j];
        size_t at;
        if (setting->removed && find(settings->items, settings->count, (const char *)setting->bytes,
                                     setting->name_bytes, &at))
            take_out(settings->items, &settings->count, at);
    }
}

static void publish_values(struct sutra_settings *settings)
{
    for (size_t j = 0; j < settings->staged_count; j++) {
        struct sutra_setting *setting = settings->staged[j];
        size_t at;
        if (setting->removed) {
            free(setting);
            continue;
        }
        if (find(settings->items, settings->count, (const char *)setting->bytes,
                 setting->name_bytes, &at))
            replace(settings->items, at, setting);
        else
            insert(settings->items, &settings->count, at, setting);
    }
}

void sutra_settings_publish(struct sutra_settings *settings)
{
    if (!settings->staged_count)
        return;
    pthread_mutex_lock(&settings->lock);
    publish_removals(settings); /* first: there may be room for no more than will be left */
    publish_values(settings);
    pthread_mutex_unlock(&settings->lock);
    settings->staged_count = 0;
    settings->version++;
}

/* ---- saving */

int sutra_settings_encode(const struct sutra_settings *settings, struct sutra_encoder *encoder)
{
    int status = SUTRA_OK;
    for (size_t j = 0; j < settings->count && status == SUTRA_OK; j++) {
        const struct sutra_setting *setting = settings->items[j];
        const struct sutra_op op = {.kind = SUTRA_OP_SET,
                                    .set = {.name = (const char *)setting->bytes,
                                            .name_bytes = setting->name_bytes,
                                            .value = setting->bytes + setting->name_bytes,
                                            .value_bytes = setting->value_bytes}};
        status = sutra_encode_op(encoder, &op, 0, 1);
    }
    return status;
}

/* What makes an operation no setting that can follow on those before it; NULL: nothing. */
static const char *what_is_wrong(const struct sutra_settings *settings, const struct sutra_op *op)
{
    if (op->kind != SUTRA_OP_SET || !op->set.value)
        return "settings";
    if (settings->count == SUTRA_SETTINGS_MAX)
        return "settings count";
    if (settings->count &&
        compare(settings->items[settings->count - 1], op->set.name, op->set.name_bytes) >= 0)
        return "settings order";
    return NULL;
}

static int decode_next(struct sutra_settings *settings, struct sutra_decoder *decoder,
                       bool *more_out, struct sutra_fault *fault)
{
    struct sutra_op op;
    int status = sutra_decode_op(decoder, &op, more_out);
    if (status == SUTRA_OK && !*more_out)
        return SUTRA_OK;
    const char *wrong = status == SUTRA_OK ? what_is_wrong(settings, &op) : "settings";
    if (status == SUTRA_OK && wrong)
        status = SUTRA_E_CORRUPT;
    if (status == SUTRA_E_CORRUPT) {
        *fault = SUTRA_FAULT_NONE;
        fault->what = wrong;
        fault->row = (int64_t)settings->count;
    }
    if (status != SUTRA_OK)
        return status;
    struct sutra_setting *setting = new_setting(&op.set);
    if (!setting)
        return SUTRA_E_NO_MEMORY;
    settings->items[settings->count++] = setting;
    return SUTRA_OK;
}

int sutra_settings_decode(struct sutra_settings *settings, const uint8_t *data, size_t bytes,
                          struct sutra_fault *fault_out)
{
    struct sutra_decoder decoder = {0};
    int status = sutra_decoder_start(&decoder, data, bytes);
    bool more = true;
    while (status == SUTRA_OK && more)
        status = decode_next(settings, &decoder, &more, fault_out);
    sutra_decoder_deinit(&decoder);
    if (status != SUTRA_OK)
        clear(settings);
    settings->total = settings->count;
    return status;
}

int sutra_settings_copy(const struct sutra_settings *from, struct sutra_settings *to)
{
    struct sutra_encoder encoder = {0};
    struct sutra_fault fault;
    if (!from->count)
        return SUTRA_OK;
    int status = sutra_settings_encode(from, &encoder);
    if (status == SUTRA_OK)
        status = sutra_settings_decode(to, encoder.buffer, encoder.used, &fault);
    sutra_encoder_deinit(&encoder);
    return status;
}
