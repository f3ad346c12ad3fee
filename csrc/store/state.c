/* The state that readers see: making, replacing, listing and loading it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include <stdlib.h>
#include <string.h>

static void free_state(struct sutra_state *state)
{
    sutra_concepts_deinit(&state->concepts);
    if (state->associations)
        sutra_associations_release(state->associations);
    sutra_index_free(state->index);
    sutra_settings_deinit(&state->settings);
    sutra_attributes_deinit(&state->attributes);
    free(state);
}

static struct sutra_state *allocate_state(struct sutra_store *store)
{
    struct sutra_state *state = calloc(1, sizeof *state);
    if (!state)
        return NULL;
    state->references = 1;
    sutra_settings_init(&state->settings);
    sutra_attributes_init(&state->attributes, &store->epochs, store->hash_seed);
    return state;
}

int sutra_state_new(struct sutra_store *store, struct sutra_state **state_out)
{
    struct sutra_state *state = allocate_state(store);
    if (!state)
        return SUTRA_E_NO_MEMORY;
    int status = sutra_concepts_init(&state->concepts, &store->epochs, store->hash_seed);
    if (status != SUTRA_OK) {
        sutra_settings_deinit(&state->settings);
        free(state);
        return status;
    }
    status = sutra_associations_new(&state->associations);
    if (status == SUTRA_OK && store->index_options.dim) {
        struct sutra_fault fault;
        status = sutra_stream_new(store->kernels, &store->index_options, &state->index, &fault);
    }
    if (status != SUTRA_OK) {
        free_state(state);
        return status;
    }
    *state_out = state;
    return SUTRA_OK;
}

void sutra_state_retain(struct sutra_state *state)
{
    __atomic_fetch_add(&state->references, 1, __ATOMIC_RELAXED);
}

void sutra_state_release(struct sutra_state *state)
{
    if (state && __atomic_sub_fetch(&state->references, 1, __ATOMIC_ACQ_REL) == 0)
        free_state(state);
}

/* A reader takes a pointer and then a reference to what it points to, inside an epoch: once all who
 * were inside have left, nobody is between the two. */
void sutra_store_swap_state(struct sutra_store *store, struct sutra_state *fresh)
{
    struct sutra_state *old = sutra_store_state(store);
    __atomic_store_n(&store->state, fresh, __ATOMIC_RELEASE);
    sutra_epoch_drain(&store->epochs);
    sutra_state_release(old);
}

void sutra_store_swap_associations(struct sutra_store *store, struct sutra_associations *fresh)
{
    struct sutra_state *state = sutra_store_state(store);
    struct sutra_associations *old = state->associations;
    __atomic_store_n(&state->associations, fresh, __ATOMIC_RELEASE);
    sutra_epoch_drain(&store->epochs);
    sutra_associations_release(old);
}

/* ---- parts */

size_t sutra_state_parts(struct sutra_state *state, struct sutra_part *parts_out)
{
    size_t count = 0;
    sutra_concepts_parts(&state->concepts, parts_out);
    count += SUTRA_CONCEPTS_PARTS;
    sutra_associations_parts(state->associations, parts_out + count);
    count += SUTRA_ASSOCIATIONS_PARTS;
    if (state->index) {
        size_t parts = 0;
        sutra_stream_parts(state->index, parts_out + count, &parts);
        count += parts;
    }
    sutra_attributes_parts(&state->attributes, parts_out + count);
    count += SUTRA_ATTRIBUTES_PARTS;
    size_t kept = 0;
    for (size_t j = 0; j < count; j++) {
        if (parts_out[j].plane && parts_out[j].plane->base)
            parts_out[kept++] = parts_out[j];
    }
    return kept;
}

void sutra_state_words(const struct sutra_store *store, const struct sutra_state *state,
                       bool with_graph, uint64_t *words)
{
    const struct sutra_index_options *options = &store->index_options;
    words[SUTRA_STATE_FLAGS] = state->index ? SUTRA_STATE_HAS_INDEX : 0;
    words[SUTRA_STATE_METRIC] = (uint64_t)options->metric;
    words[SUTRA_STATE_QUANTIZATION] = (uint64_t)options->quantization;
    words[SUTRA_STATE_KEEP_ORIGINALS] = options->keep_originals;
    words[SUTRA_STATE_M] = options->m;
    words[SUTRA_STATE_EF_CONSTRUCTION] = options->ef_construction;
    words[SUTRA_STATE_SEED] = options->seed;
    words[SUTRA_STATE_HASH_SEED] = store->hash_seed;
    sutra_concepts_state(&state->concepts, words + SUTRA_STATE_CONCEPTS);
    sutra_associations_state(state->associations, words + SUTRA_STATE_ASSOCIATIONS);
    if (state->index)
        sutra_stream_state(state->index, with_graph, words + SUTRA_STATE_STREAM);
    sutra_attributes_state(&state->attributes, words + SUTRA_STATE_ATTRIBUTES);
}

/* ---- loading */

static int fail(struct sutra_fault *fault, const char *what, uint64_t found)
{
    *fault = SUTRA_FAULT_NONE;
    fault->what = what;
    fault->found = found;
    return SUTRA_E_CORRUPT;
}

static int read_options(struct sutra_store *store, const uint64_t *words, struct sutra_fault *fault)
{
    struct sutra_index_options *options = &store->index_options;
    if (words[SUTRA_STATE_FLAGS] > SUTRA_STATE_HAS_INDEX)
        return fail(fault, "flags", words[SUTRA_STATE_FLAGS]);
    if (words[SUTRA_STATE_METRIC] > SUTRA_METRIC_IP)
        return fail(fault, "metric", words[SUTRA_STATE_METRIC]);
    if (words[SUTRA_STATE_QUANTIZATION] > SUTRA_QUANT_U4)
        return fail(fault, "quantization", words[SUTRA_STATE_QUANTIZATION]);
    if (words[SUTRA_STATE_KEEP_ORIGINALS] > 1)
        return fail(fault, "keep_originals", words[SUTRA_STATE_KEEP_ORIGINALS]);
    if (words[SUTRA_STATE_M] == 0 || words[SUTRA_STATE_M] % 8 || words[SUTRA_STATE_M] > 32)
        return fail(fault, "m", words[SUTRA_STATE_M]);
    if (words[SUTRA_STATE_EF_CONSTRUCTION] == 0 ||
        words[SUTRA_STATE_EF_CONSTRUCTION] > SUTRA_EF_CONSTRUCTION_MAX)
        return fail(fault, "ef_construction", words[SUTRA_STATE_EF_CONSTRUCTION]);
    options->metric = (int)words[SUTRA_STATE_METRIC];
    options->quantization = (int)words[SUTRA_STATE_QUANTIZATION];
    options->keep_originals = words[SUTRA_STATE_KEEP_ORIGINALS] != 0;
    options->m = (uint32_t)words[SUTRA_STATE_M];
    options->ef_construction = (uint32_t)words[SUTRA_STATE_EF_CONSTRUCTION];
    options->seed = words[SUTRA_STATE_SEED];
    store->hash_seed = words[SUTRA_STATE_HASH_SEED];
    return SUTRA_OK;
}

/* For salvage, damaged fields are none. */
static int load_fields(struct sutra_store *store, const uint64_t *words,
                       const struct sutra_part_source *source, bool strict,
                       struct sutra_state *state, struct sutra_fault *fault)
{
    store->lost_fields = false;
    const int status = sutra_attributes_load(&state->attributes, &store->epochs, store->hash_seed,
                                             words, state->concepts.slot_count, source, fault);
    if (strict || (status != SUTRA_E_CORRUPT && status != SUTRA_E_TRUNCATED))
        return status;
    store->lost_fields = true;
    return SUTRA_OK;
}

static int load_rooms(struct sutra_store *store, const struct sutra_manifest *manifest,
                      struct sutra_segment_chain *chain, bool with_graph, struct sutra_state *state,
                      struct sutra_fault *fault)
{
    const struct sutra_part_source source = {chain, sutra_segment_chain_load};
    uint64_t words[SUTRA_MANIFEST_STATE_WORDS];
    memcpy(words, manifest->state, sizeof words);
    if (!with_graph)
        sutra_stream_forget_graph(words + SUTRA_STATE_STREAM);
    int status = sutra_concepts_load(&state->concepts, &store->epochs, store->hash_seed,
                                     words + SUTRA_STATE_CONCEPTS, &source, fault);
    if (status != SUTRA_OK)
        return status;
    status =
        sutra_associations_load(words + SUTRA_STATE_ASSOCIATIONS, state->concepts.concept_count,
                                &source, &state->associations, fault);
    if (status == SUTRA_OK)
        status =
            load_fields(store, words + SUTRA_STATE_ATTRIBUTES, &source, with_graph, state, fault);
    if (status != SUTRA_OK || !(words[SUTRA_STATE_FLAGS] & SUTRA_STATE_HAS_INDEX))
        return status;
    status = sutra_stream_load(store->kernels, words + SUTRA_STATE_STREAM, store->options.resident,
                               &source, &state->index, fault);
    return status;
}

static int read_settings(const struct sutra_segment *segment, struct sutra_settings *settings,
                         struct sutra_fault *fault)
{
    uint8_t *data;
    size_t bytes;
    int status = sutra_segment_read_bytes(segment, SUTRA_SECTION_SETTINGS, &data, &bytes, fault);
    if (status == SUTRA_E_NOT_FOUND) /* of another form */
        return fail(fault, "settings", 0);
    if (status == SUTRA_OK)
        status = sutra_settings_decode(settings, data, bytes, fault);
    free(data);
    return status;
}

/* The newest segment that has any has all of them. For salvage, damaged ones are none. */
static int load_settings(struct sutra_store *store, struct sutra_segment_chain *chain, bool strict,
                         struct sutra_settings *settings, struct sutra_fault *fault)
{
    store->lost_settings = false;
    for (size_t j = chain->count; j > 0; j--) {
        const struct sutra_segment *segment = &chain->segments[j - 1];
        uint32_t s = 0;
        while (s < segment->section_count && segment->sections[s].kind != SUTRA_SECTION_SETTINGS)
            s++;
        if (s == segment->section_count)
            continue;
        const int status = read_settings(segment, settings, fault);
        if (status == SUTRA_OK)
            return SUTRA_OK;
        if (!strict && (status == SUTRA_E_CORRUPT || status == SUTRA_E_TRUNCATED)) {
            store->lost_settings = true;
            return SUTRA_OK;
        }
        memcpy(chain->fault_file, segment->name, sizeof chain->fault_file);
        return status;
    }
    return SUTRA_OK;
}

int sutra_state_load(struct sutra_store *store, const struct sutra_manifest *manifest,
                     bool with_graph, struct sutra_state **state_out, char *file_out,
                     struct sutra_fault *fault_out)
{
    *fault_out = SUTRA_FAULT_NONE;
    int status = read_options(store, manifest->state, fault_out);
    if (status != SUTRA_OK)
        return status;
    struct sutra_segment_chain chain = {.fault = fault_out};
    chain.segments =
        calloc(manifest->file_count ? manifest->file_count : 1, sizeof *chain.segments);
    struct sutra_state *state = allocate_state(store);
    if (!chain.segments || !state) {
        free(chain.segments);
        if (state)
            free_state(state);
        return SUTRA_E_NO_MEMORY;
    }
    while (chain.count < manifest->file_count && status == SUTRA_OK) {
        const struct sutra_manifest_file *file = &manifest->files[chain.count];
        sutra_segment_name(file->number, file_out);
        status = sutra_segment_open(store->io, store->path, manifest->store_id, file->number,
                                    file->bytes, file->identity, &chain.segments[chain.count],
                                    fault_out);
        chain.count += status == SUTRA_OK;
    }
    if (status == SUTRA_OK) {
        file_out[0] = '\0';
        status = load_rooms(store, manifest, &chain, with_graph, state, fault_out);
        if (status == SUTRA_OK)
            status = load_settings(store, &chain, with_graph, &state->settings, fault_out);
        if (status != SUTRA_OK && chain.fault_file[0])
            memcpy(file_out, chain.fault_file, sizeof chain.fault_file);
    }
    if (status == SUTRA_OK && state->index)
        store->index_options.dim = sutra_stream_dim(state->index);
    for (uint32_t kind = 0; status == SUTRA_OK && kind < SUTRA_PART_KINDS; kind++)
        store->sealed[kind].patched_bytes = sutra_segment_chain_patched(&chain, kind);
    if (status != SUTRA_OK && !file_out[0])
        sutra_manifest_name(manifest->generation, file_out);
    for (size_t j = 0; j < chain.count; j++)
        sutra_segment_close(&chain.segments[j]);
    free(chain.segments);
    if (status != SUTRA_OK) {
        free_state(state);
        return status;
    }
    *state_out = state;
    return SUTRA_OK;
}
