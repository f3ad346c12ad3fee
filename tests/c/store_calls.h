/* Calls of the store in few words, for tests of single properties.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_STORE_CALLS_H
#define SUTRA_TESTS_STORE_CALLS_H

#include "store_cases.h"

#define CALL_IDS 16u

static const float call_one = 1.0f;
static const char *const call_kind = "kind";
static const uint32_t call_kind_bytes = 4;

/* A store on a simulated disk, or in memory. */
struct place {
    struct sutra_simulated *fs;
    const struct sutra_io *io;
    struct sutra_store_options options;
    struct sutra_store *store;
    struct sutra_fault fault;
    char file[SUTRA_STORE_NAME_BYTES];
    uint64_t lsn; /* of the last write */
};

static inline int place_open(struct place *place, int mode)
{
    place->options.mode = mode;
    place->store = NULL;
    return sutra_store_open(place->io, test_kernels(), place->fs ? STORE_PATH : NULL,
                            &place->options, &place->store, place->file, &place->fault);
}

static inline bool place_init(struct place *place, bool in_memory, int sync)
{
    *place = (struct place){.options = store_options(SUTRA_STORE_APPEND, sync)};
    if (!in_memory) {
        if (sutra_simulated_new(1, &place->fs) != SUTRA_OK)
            return false;
        place->io = sutra_simulated_io(place->fs);
    }
    return place_open(place, SUTRA_STORE_APPEND) == SUTRA_OK;
}

static inline int place_close(struct place *place)
{
    const int status = sutra_store_close(place->store);
    sutra_store_free(place->store);
    place->store = NULL;
    return status;
}

static inline int place_reopen(struct place *place)
{
    const int status = place_close(place);
    return status == SUTRA_OK ? place_open(place, SUTRA_STORE_APPEND) : status;
}

static inline void place_deinit(struct place *place)
{
    drop_store(place->store);
    if (place->fs)
        sutra_simulated_free(place->fs);
}

/* ---- real files */

static inline int remove_one(void *context, const char *name)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s/%.60s", (const char *)context, name);
    (void)sutra_io_posix.unlink(sutra_io_posix.context, path);
    return 0;
}

/* A directory of the real disk, and the files in it. */
static inline void remove_all(const char *directory)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s", directory);
    (void)sutra_io_posix.list(sutra_io_posix.context, path, remove_one, path);
    (void)sutra_io_posix.remove_directory(sutra_io_posix.context, path);
}

/* ---- operations; what they point to must live as long as they are used */

static inline struct sutra_ids number_ids(const int64_t *numbers, size_t count)
{
    return (struct sutra_ids){.count = count, .numbers = numbers};
}

static inline struct sutra_op put_op(const int64_t *numbers, size_t count)
{
    return (struct sutra_op){.kind = SUTRA_OP_PUT,
                             .put = {.ids = number_ids(numbers, count),
                                     .strengths = &call_one,
                                     .confidences = &call_one,
                                     .time_ns = 1}};
}

static inline struct sutra_op vector_op(const int64_t *numbers, size_t count, const float *vectors)
{
    struct sutra_op op = put_op(numbers, count);
    op.put.dim = MODEL_DIM;
    op.put.vectors = vectors;
    op.put.stride = MODEL_DIM;
    return op;
}

static inline struct sutra_op link_op(const int64_t *sources, const int64_t *targets, size_t count)
{
    return (struct sutra_op){.kind = SUTRA_OP_LINK,
                             .link = {.sources = number_ids(sources, count),
                                      .targets = number_ids(targets, count),
                                      .kind_names = &call_kind,
                                      .kind_bytes = &call_kind_bytes,
                                      .kind_count = 1,
                                      .weights = &call_one,
                                      .confidences = &call_one,
                                      .time_ns = 2}};
}

static inline struct sutra_op ids_op(int kind, const int64_t *numbers, size_t count)
{
    return (struct sutra_op){.kind = kind,
                             .ids = {.ids = number_ids(numbers, count), .time_ns = 3}};
}

/* value NULL: removes the setting. */
static inline struct sutra_op set_op(const char *name, const void *value, size_t bytes)
{
    return (struct sutra_op){.kind = SUTRA_OP_SET,
                             .set = {.name = name,
                                     .name_bytes = (uint32_t)strlen(name),
                                     .value = value,
                                     .value_bytes = (uint32_t)bytes}};
}

static inline int write_ops(struct place *place, struct sutra_op *ops, size_t count)
{
    place->fault = SUTRA_FAULT_NONE;
    return sutra_store_write(place->store, ops, count, true, &place->lsn, &place->fault);
}

static inline int write_op(struct place *place, struct sutra_op op)
{
    return write_ops(place, &op, 1);
}

/* first, first + 1, ... */
static inline int put_numbers(struct place *place, int64_t first, size_t count)
{
    int64_t numbers[CALL_IDS];
    int status = SUTRA_OK;
    for (size_t done = 0; done < count && status == SUTRA_OK; done += CALL_IDS) {
        const size_t step = count - done < CALL_IDS ? count - done : CALL_IDS;
        for (size_t j = 0; j < step; j++)
            numbers[j] = first + (int64_t)(done + j);
        status = write_op(place, put_op(numbers, step));
    }
    return status;
}

static inline void make_vector(uint64_t seed, float *vector)
{
    for (size_t i = 0; i < MODEL_DIM; i++)
        vector[i] = (float)(sutra_random_at(seed, i) >> 40) / (float)(1 << 24) - 0.5f;
}

/* The same with vectors: that of a number follows from it. */
static inline int put_vectors(struct place *place, int64_t first, size_t count)
{
    int64_t numbers[CALL_IDS];
    float vectors[CALL_IDS * MODEL_DIM];
    int status = SUTRA_OK;
    for (size_t done = 0; done < count && status == SUTRA_OK; done += CALL_IDS) {
        const size_t step = count - done < CALL_IDS ? count - done : CALL_IDS;
        for (size_t j = 0; j < step; j++) {
            numbers[j] = first + (int64_t)(done + j);
            make_vector((uint64_t)numbers[j], vectors + j * MODEL_DIM);
        }
        status = write_op(place, vector_op(numbers, step, vectors));
    }
    return status;
}

/* A text as the value; NULL removes the setting. */
static inline int set_text(struct place *place, const char *name, const char *text)
{
    return write_op(place, set_op(name, text, text ? strlen(text) : 0));
}

static inline int link_numbers(struct place *place, int64_t source, int64_t target)
{
    return write_op(place, link_op(&source, &target, 1));
}

/* ---- looking */

static inline struct sutra_store_view *view_of(struct place *place)
{
    struct sutra_store_view *view = NULL;
    CHECK_EQ(sutra_store_view_begin(place->store, &view), SUTRA_OK);
    return view;
}

static inline size_t count_now(struct place *place)
{
    struct sutra_store_view *view = view_of(place);
    const size_t count = view ? sutra_store_view_count(view) : 0;
    sutra_store_view_end(view);
    return count;
}

/* The slot of a number in a view, SUTRA_NO_SLOT if it is not there. */
static inline uint32_t slot_of(const struct sutra_store_view *view, int64_t number,
                               uint32_t *concept_out)
{
    const struct sutra_ids ids = number_ids(&number, 1);
    uint32_t slot = SUTRA_NO_SLOT;
    CHECK_EQ(sutra_store_find(view, &ids, &slot, concept_out), SUTRA_OK);
    return slot;
}

static inline bool is_there(struct place *place, int64_t number)
{
    struct sutra_store_view *view = view_of(place);
    uint32_t concept;
    const bool there = slot_of(view, number, &concept) != SUTRA_NO_SLOT;
    sutra_store_view_end(view);
    return there;
}

static inline int read_number(const struct sutra_store_view *view, int64_t number,
                              struct sutra_concept *concept_out)
{
    uint32_t concept;
    const uint32_t slot = slot_of(view, number, &concept);
    return sutra_store_read(view, concept, slot, concept_out);
}

/* Is the value of a setting this text; or, with NULL, is there none? */
static inline bool setting_is(struct place *place, const char *name, const char *text)
{
    struct sutra_store_view *view = view_of(place);
    uint8_t value[64];
    size_t bytes = 0;
    const int status = sutra_store_setting(view, name, strlen(name), value, sizeof value, &bytes);
    sutra_store_view_end(view);
    if (!text)
        return status == SUTRA_E_NOT_FOUND;
    return status == SUTRA_OK && bytes == strlen(text) && memcmp(value, text, bytes) == 0;
}

static inline size_t count_settings(struct place *place)
{
    struct sutra_store_view *view = view_of(place);
    uint8_t *names = NULL;
    size_t bytes, count = 0;
    CHECK_EQ(sutra_store_settings(view, &names, &bytes, &count), SUTRA_OK);
    free(names);
    sutra_store_view_end(view);
    return count;
}

/* How many links a number has. */
static inline size_t links_of(struct place *place, int64_t number, int direction)
{
    struct sutra_store_view *view = view_of(place);
    struct sutra_link *links = NULL;
    uint32_t concept;
    size_t count = 0;
    (void)slot_of(view, number, &concept);
    CHECK_EQ(sutra_store_links(view, concept, direction, SUTRA_NO_KIND, &links, &count), SUTRA_OK);
    free(links);
    sutra_store_view_end(view);
    return count;
}

#endif
