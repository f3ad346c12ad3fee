/* A whole store out of arbitrary files: opening ends with a status that says what is wrong, and
 * whatever has opened can be read, written and closed. What verify finds nothing in must go on as a
 * store that was never touched: write, checkpoint, close, and open again with the same state.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fuzz.h"

#include "disk.h"
#include "mend.h"
#include "store/directory.h"
#include "store_cases.h"

enum { IDENTITY, STATE, HOLDER, MANIFESTS = 3, SEGMENTS = 6, LOGS = 11 };

/* ---- seeds */

static void take_store(struct disk *disk, uint8_t options)
{
    struct fuzz_input input = {0};
    struct sutra_directory names;
    char name[SUTRA_STORE_NAME_BYTES];
    FUZZ_REQUIRE(sutra_directory_read(disk->io, FUZZ_DIRECTORY, &names) == SUTRA_OK);
    FUZZ_REQUIRE(names.manifest_count <= SEGMENTS - MANIFESTS &&
                 names.segment_count <= LOGS - SEGMENTS && names.log_count <= FUZZ_SLOTS - LOGS);
    disk_take(disk, SUTRA_IDENTITY_NAME, &input, IDENTITY, 0, SIZE_MAX / 2);
    disk_take(disk, SUTRA_STATE_NAME, &input, STATE, 0, SIZE_MAX / 2);
    for (size_t j = 0; j < names.manifest_count; j++) {
        sutra_manifest_name(names.manifests[j], name);
        disk_take(disk, name, &input, MANIFESTS + j, (uint32_t)names.manifests[j], SIZE_MAX / 2);
    }
    for (size_t j = 0; j < names.segment_count; j++) {
        sutra_segment_name(names.segments[j], name);
        disk_take(disk, name, &input, SEGMENTS + j, (uint32_t)names.segments[j], SIZE_MAX / 2);
    }
    for (size_t j = 0; j < names.log_count; j++) {
        sutra_log_name(names.logs[j], name);
        disk_take(disk, name, &input, LOGS + j, (uint32_t)names.logs[j], 48);
    }
    sutra_directory_free(&names);
    input.options[1] = options;
    fuzz_emit(&input);
}

static void set_one(struct job *job, const char *name)
{
    struct sutra_op op = {.kind = SUTRA_OP_SET,
                          .set = {.name = name,
                                  .name_bytes = (uint32_t)strlen(name),
                                  .value = (const uint8_t *)"value",
                                  .value_bytes = 5}};
    struct sutra_fault fault;
    uint64_t lsn;
    FUZZ_REQUIRE(sutra_store_write(job->store, &op, 1, false, &lsn, &fault) == SUTRA_OK);
    job->lsn = lsn;
}

static void declare_all(struct job *job)
{
    for (uint32_t f = 0; f < MODEL_FIELDS; f++) {
        struct sutra_op op = {.kind = SUTRA_OP_FIELD,
                              .field = {.path = model_fields[f],
                                        .path_bytes = (uint32_t)strlen(model_fields[f]),
                                        .type = 1 + f}};
        struct sutra_fault fault;
        uint64_t lsn;
        FUZZ_REQUIRE(sutra_store_write(job->store, &op, 1, false, &lsn, &fault) == SUTRA_OK);
        job->lsn = lsn;
        (void)model_field(job->model, f, true);
    }
}

/* Work drawn from a seed, as the tests of crashes do it, on a store in the disk's directory. */
static void emit_store(uint64_t seed, size_t before, size_t vectors, size_t after, uint8_t options)
{
    struct disk disk = disk_new();
    struct job *job = job_new(disk.io, disk.fs, seed, SUTRA_SYNC_FULL);
    job_start(job);
    job_write_some(job, before);
    if (vectors) {
        float row[MODEL_DIM];
        static const float one = 1;
        for (size_t j = 0; j < vectors; j++) {
            const int64_t number = 1000000 + (int64_t)j;
            struct sutra_fault fault;
            uint64_t lsn;
            for (size_t i = 0; i < MODEL_DIM; i++)
                row[i] = (float)(sutra_random_at(j, i) >> 40) / (float)(1 << 24) - 0.5f;
            struct sutra_op op = {.kind = SUTRA_OP_PUT,
                                  .put = {.ids = {1, &number, NULL, NULL},
                                          .dim = MODEL_DIM,
                                          .vectors = row,
                                          .stride = MODEL_DIM,
                                          .strengths = &one,
                                          .confidences = &one}};
            FUZZ_REQUIRE(sutra_store_write(job->store, &op, 1, false, &lsn, &fault) == SUTRA_OK);
        }
        FUZZ_REQUIRE(sutra_store_settle(job->store) == SUTRA_OK);
    }
    if (before) {
        set_one(job, "sealed");
        set_one(job, "changed");
        if (options & 2 || seed % 2)
            declare_all(job);
        FUZZ_REQUIRE(sutra_store_checkpoint(job->store) == SUTRA_OK);
        set_one(job, "changed");
    }
    if (!vectors) {
        job_write_some(job, after);
        FUZZ_REQUIRE(sutra_store_checkpoint(job->store) == SUTRA_OK);
        job_write_some(job, after);
    }
    FUZZ_REQUIRE(job->wrong == 0 && sutra_store_flush(job->store) == SUTRA_OK);
    take_store(&disk, options);
    job_free(job);
    disk_free(&disk);
}

static void fuzz_seeds(void)
{
    emit_store(1, 0, 0, 0, 0);
    emit_store(2, 0, 0, 3, 0);
    emit_store(3, 2, 0, 2, 0);
    emit_store(4, 3, 0, 3, 1);
    emit_store(5, 1, 520, 0, 4);
    emit_store(6, 3, 0, 3, 2);
}

/* ---- opening */

static void mend_store(struct fuzz_input *input)
{
    struct sutra_log_end end = {0};
    mend_identity(&input->files[IDENTITY]);
    mend_state_file(&input->files[STATE]);
    for (size_t s = SEGMENTS; s < LOGS; s++) {
        mend_segment(&input->files[s], true);
        for (size_t m = MANIFESTS; m < SEGMENTS && !(input->options[0] & 2); m++) {
            if (input->files[s].present)
                mend_named(&input->files[m], &input->files[s]);
        }
    }
    for (size_t m = MANIFESTS; m < SEGMENTS; m++)
        mend_manifest(&input->files[m]);
    for (size_t s = LOGS; s < FUZZ_SLOTS; s++) {
        if (!input->files[s].present)
            continue;
        /* The first file may follow one that is gone. */
        if (end.file_number && !(input->options[0] & 4))
            mend_before(&input->files[s], &end);
        end = mend_log(&input->files[s]);
    }
}

static void put_store(struct disk *disk, const struct fuzz_input *input)
{
    char name[SUTRA_STORE_NAME_BYTES];
    disk_put(disk, SUTRA_IDENTITY_NAME, &input->files[IDENTITY]);
    disk_put(disk, SUTRA_STATE_NAME, &input->files[STATE]);
    disk_put(disk, SUTRA_HOLDER_NAME, &input->files[HOLDER]);
    for (size_t s = MANIFESTS; s < FUZZ_SLOTS; s++) {
        const struct fuzz_file *file = &input->files[s];
        if (s < SEGMENTS)
            sutra_manifest_name(file->number, name);
        else if (s < LOGS)
            sutra_segment_name(file->number, name);
        else
            sutra_log_name(file->number, name);
        disk_put(disk, name, file);
    }
}

static int open_disk(struct disk *disk, int mode, const struct fuzz_input *input,
                     struct sutra_store **store_out)
{
    struct sutra_store_options options = {.mode = mode,
                                          .sync = SUTRA_SYNC_FULL,
                                          .metric = -1,
                                          .quantization = -1,
                                          .keep_originals = -1,
                                          .log_bytes = 16384,
                                          .no_thread = true};
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    char file[SUTRA_STORE_NAME_BYTES] = {0};
    options.resident = input->options[1] & 4 ? SUTRA_RESIDENT_ARENA : SUTRA_RESIDENT_MAPPED;
    *store_out = NULL;
    const int status = sutra_store_open(disk->io, fuzz_kernels(), FUZZ_DIRECTORY, &options,
                                        store_out, file, &fault);
    if (status == SUTRA_E_CORRUPT || status == SUTRA_E_TRUNCATED)
        FUZZ_REQUIRE(fault.what != NULL && file[0] != '\0');
    return status;
}

static bool is_typed(int status)
{
    return status == SUTRA_E_CORRUPT || status == SUTRA_E_TRUNCATED || status == SUTRA_E_VERSION ||
           status == SUTRA_E_NOT_STORE || status == ENOENT || status == SUTRA_E_CAPACITY ||
           status == SUTRA_E_CONFIG;
}

/* ---- use */

/* One comparison of each kind with each field. */
static void ask(const struct sutra_store_view *view)
{
    static const struct sutra_value values[MODEL_FIELDS] = {
        {.kind = SUTRA_VALUE_INT, .integer = 1},
        {.kind = SUTRA_VALUE_FLOAT, .number = 0.5},
        {.kind = SUTRA_VALUE_BOOL, .integer = 1},
        {.kind = SUTRA_VALUE_TEXT, .text = "name 1", .bytes = 6},
        {.kind = SUTRA_VALUE_INSTANT, .integer = 1700000000000000000}};
    const size_t limit = sutra_store_numbers(view);
    uint64_t *bits = fuzz_alloc((limit / 64 + 1) * sizeof *bits);
    for (int op = SUTRA_PREDICATE_EQ; op <= SUTRA_PREDICATE_EXISTS; op++) {
        struct sutra_predicate *predicate;
        size_t count;
        FUZZ_REQUIRE(sutra_predicate_new(&predicate) == SUTRA_OK);
        for (uint32_t f = 0; f < MODEL_FIELDS; f++)
            FUZZ_REQUIRE(sutra_predicate_compare(predicate, op, model_fields[f],
                                                 strlen(model_fields[f]), &values[f],
                                                 op != SUTRA_PREDICATE_EXISTS) == SUTRA_OK);
        FUZZ_REQUIRE(sutra_predicate_join(predicate, SUTRA_PREDICATE_OR, MODEL_FIELDS) == SUTRA_OK);
        FUZZ_REQUIRE(sutra_predicate_finish(predicate) == SUTRA_OK);
        const int status = sutra_store_where(view, predicate, limit, bits, &count);
        FUZZ_REQUIRE(status == SUTRA_OK || status == SUTRA_E_CORRUPT);
        FUZZ_REQUIRE(count <= limit);
        sutra_predicate_free(predicate);
    }
    free(bits);
}

static void look(struct sutra_store *store, uint32_t dim)
{
    struct sutra_store_view *view;
    struct sutra_fault fault;
    uint32_t slots[64], concepts[64];
    size_t next = 0, count = 1;
    float *vector = fuzz_alloc((dim ? dim : 1) * sizeof *vector), distances[8];
    if (sutra_store_view_begin(store, &view) == SUTRA_OK) {
        while (count > 0 &&
               sutra_store_scan(view, &next, 64, slots, concepts, &count) == SUTRA_OK) {
            for (size_t j = 0; j < count; j++) {
                struct sutra_concept concept;
                struct sutra_link *links = NULL;
                size_t link_count;
                if (sutra_store_read(view, concepts[j], slots[j], &concept) == SUTRA_OK) {
                    fuzz_touch(concept.content, concept.content ? concept.content_bytes : 0);
                    fuzz_touch(concept.metadata, concept.metadata ? concept.metadata_bytes : 0);
                    fuzz_touch(concept.text, concept.text ? concept.text_bytes : 0);
                }
                (void)sutra_store_vector(view, slots[j], vector);
                if (sutra_store_links(view, concepts[j], SUTRA_BOTH, SUTRA_NO_KIND, &links,
                                      &link_count) == SUTRA_OK)
                    free(links);
            }
        }
        ask(view);
        memset(vector, 0, dim * sizeof *vector);
        for (int exact = 0; dim && exact < 2; exact++)
            (void)sutra_store_search(view,
                                     &(struct sutra_search){.queries = vector,
                                                            .stride = dim,
                                                            .count = 1,
                                                            .k = 8,
                                                            .exact = exact,
                                                            .threads = 1},
                                     slots, concepts, distances, &fault);
        sutra_store_view_end(view);
    }
    free(vector);
}

static uint32_t dim_of(struct sutra_store *store)
{
    struct sutra_store_view *view;
    uint32_t dim = 0;
    if (sutra_store_view_begin(store, &view) == SUTRA_OK) {
        dim = sutra_store_dim(view);
        sutra_store_view_end(view);
    }
    return dim;
}

static int write_some(struct sutra_store *store, uint32_t dim)
{
    static const float one = 1;
    static const int64_t ids[3] = {1, 2, 500};
    static const char *const kind = "kind";
    static const uint32_t kind_bytes = 4;
    static const uint8_t *const metadata[2] = {NULL, (const uint8_t *)"{\"o\":{\"name\":\"\\n\"}}"};
    static const uint32_t metadata_bytes[2] = {0, 19};
    struct sutra_fault fault;
    uint64_t lsn;
    float *vectors = fuzz_alloc((2 * dim + 1) * sizeof *vectors);
    for (size_t j = 0; j < 2 * (size_t)dim; j++)
        vectors[j] = (float)(j % 7) - 3;
    struct sutra_op ops[] = {{.kind = SUTRA_OP_PUT,
                              .put = {.replace = true,
                                      .ids = {2, ids, NULL, NULL},
                                      .dim = dim,
                                      .vectors = dim ? vectors : NULL,
                                      .stride = dim,
                                      .metadata = metadata,
                                      .metadata_bytes = metadata_bytes,
                                      .strengths = &one,
                                      .confidences = &one}},
                             {.kind = SUTRA_OP_LINK,
                              .link = {.sources = {1, ids, NULL, NULL},
                                       .targets = {1, ids + 1, NULL, NULL},
                                       .kind_names = &kind,
                                       .kind_bytes = &kind_bytes,
                                       .kind_count = 1,
                                       .weights = &one,
                                       .confidences = &one}},
                             {.kind = SUTRA_OP_TOUCH, .ids.ids = {3, ids, NULL, NULL}},
                             {.kind = SUTRA_OP_SET,
                              .set = {.name = "changed",
                                      .name_bytes = 7,
                                      .value = (const uint8_t *)"",
                                      .value_bytes = 0}}};
    struct sutra_op remove = {.kind = SUTRA_OP_DELETE, .ids.ids = {2, ids + 1, NULL, NULL}};
    int status = sutra_store_write(store, ops, 4, true, &lsn, &fault);
    if (status == SUTRA_OK)
        status = sutra_store_write(store, &remove, 1, true, &lsn, &fault);
    free(vectors);
    return status;
}

static void use_writable(struct disk *disk, const struct fuzz_input *input)
{
    struct sutra_store *store, *again;
    struct sutra_fault fault = SUTRA_FAULT_NONE;
    struct shown shown, shown_again;
    char file[SUTRA_STORE_NAME_BYTES];
    bool busy;
    int status = open_disk(disk, SUTRA_STORE_APPEND, input, &store);
    FUZZ_REQUIRE(status == SUTRA_OK || is_typed(status));
    if (status != SUTRA_OK)
        return;
    const bool sound = sutra_store_verify(store, true, file, &fault) == SUTRA_OK;
    const uint32_t dim = dim_of(store);
    look(store, dim);
    const int written = write_some(store, dim);
    look(store, dim);
    status = sutra_store_reconcile(store, &busy);
    FUZZ_REQUIRE(status == SUTRA_OK || !sound || written != SUTRA_OK);
    status = input->options[1] & 8 ? sutra_store_compact(store) : sutra_store_checkpoint(store);
    FUZZ_REQUIRE(status == SUTRA_OK || !sound || written != SUTRA_OK);
    /* The digest knows vectors of one length alone. */
    const int shows = store_shows(store, &shown);
    if (sound && written == SUTRA_OK && dim == MODEL_DIM)
        FUZZ_REQUIRE(shows == SUTRA_OK);
    status = sutra_store_close(store);
    sutra_store_free(store);
    if (!sound || written != SUTRA_OK)
        return;
    FUZZ_REQUIRE(status == SUTRA_OK);
    FUZZ_REQUIRE(open_disk(disk, SUTRA_STORE_APPEND, input, &again) == SUTRA_OK);
    FUZZ_REQUIRE(sutra_store_verify(again, true, file, &fault) == SUTRA_OK);
    if (shows == SUTRA_OK)
        FUZZ_REQUIRE(store_shows(again, &shown_again) == SUTRA_OK &&
                     shown_again.digest == shown.digest);
    drop_store(again);
}

static void use_readable(struct disk *disk, const struct fuzz_input *input)
{
    struct sutra_store *store;
    struct sutra_fault fault;
    char file[SUTRA_STORE_NAME_BYTES];
    bool changed;
    const int status = open_disk(disk, SUTRA_STORE_READ, input, &store);
    FUZZ_REQUIRE(status == SUTRA_OK || is_typed(status));
    if (status != SUTRA_OK)
        return;
    look(store, dim_of(store));
    (void)sutra_store_verify(store, true, file, &fault);
    (void)sutra_store_refresh(store, &changed);
    drop_store(store);
}

/* What repair saves is sound. */
static void use_repaired(struct disk *disk, const struct fuzz_input *input)
{
    struct sutra_repair_report report;
    struct sutra_fault fault;
    struct sutra_store *store = NULL;
    char file[SUTRA_STORE_NAME_BYTES] = {0};
    struct sutra_store_options options = {.mode = SUTRA_STORE_READ,
                                          .sync = -1,
                                          .metric = -1,
                                          .quantization = -1,
                                          .keep_originals = -1,
                                          .no_thread = true};
    const int status = sutra_store_repair(disk->io, fuzz_kernels(), FUZZ_DIRECTORY, "/saved",
                                          &report, file, &fault);
    (void)input;
    if (status != SUTRA_OK)
        return;
    FUZZ_REQUIRE(sutra_store_open(disk->io, fuzz_kernels(), "/saved", &options, &store, file,
                                  &fault) == SUTRA_OK);
    FUZZ_REQUIRE(sutra_store_verify(store, true, file, &fault) == SUTRA_OK);
    drop_store(store);
}

/* Options 0: besides bit 0, leave what manifests say of segments (bit 1), what logs say of the one
 * before (bit 2). Options 1: for reading (1), repair (2), for writing (0, 3); in memory (bit 2);
 * compact rather than checkpoint (bit 3). */
static void fuzz_run(struct fuzz_input *input)
{
    struct disk disk = disk_new();
    if (!(input->options[0] & 1))
        mend_store(input);
    put_store(&disk, input);
    switch (input->options[1] % 4) {
    case 1:
        use_readable(&disk, input);
        break;
    case 2:
        use_repaired(&disk, input);
        break;
    default:
        use_writable(&disk, input);
    }
    disk_free(&disk);
}
