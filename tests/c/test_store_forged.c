/* Forged stores: files with every checksum right and lies in them. They may open and show anything,
 * but no call crashes, hangs or writes where it must not.
 * SUTRA_TEST_SLOW=1 tries far more, SUTRA_TEST_SEED=N other lies.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/directory.h"
#include "store/segment_blocks.h"
#include "store_calls.h"
#include "store_image.h"

/* Use whatever has opened in every way. Nothing is expected of it but that it ends. */
static void use_forged(struct image *image, struct sutra_simulated *fs, uint64_t turn,
                       struct tally *tally)
{
    struct sutra_store *store;
    struct sutra_store_view *view;
    struct sutra_fault fault;
    struct shown shown;
    const float vector[MODEL_DIM] = {1.0f, -0.5f}, one = 1.0f;
    uint32_t slots[8], concepts[8];
    float distances[8];
    uint64_t lsn;
    bool busy;
    tally->tried++;
    const int status = open_image(image, fs, SUTRA_STORE_APPEND, turn, &store, NULL, &fault);
    if (status != SUTRA_OK) {
        tally->refused++;
        if (!is_typed(status) && status != SUTRA_E_CONFIG) { /* other options than asked for */
            (void)fprintf(stderr, "forged %llu: status %d\n", (unsigned long long)turn, status);
            tally->wrong++;
        }
        return;
    }
    tally->found += sutra_store_verify(store, true, NULL, &fault) != SUTRA_OK;
    (void)store_shows(store, &shown);
    if (sutra_store_view_begin(store, &view) == SUTRA_OK) {
        for (int exact = 0; exact < 2; exact++)
            (void)sutra_store_search(view,
                                     &(struct sutra_search){.queries = vector,
                                                            .stride = MODEL_DIM,
                                                            .count = 1,
                                                            .k = 8,
                                                            .exact = exact,
                                                            .threads = 1},
                                     slots, concepts, distances, &fault);
        sutra_store_view_end(view);
    }
    const int64_t ids[3] = {1, 2, 500};
    struct sutra_op put = {.kind = SUTRA_OP_PUT,
                           .put = {.replace = true,
                                   .ids = {1, ids, NULL, NULL},
                                   .dim = MODEL_DIM,
                                   .vectors = vector,
                                   .stride = MODEL_DIM,
                                   .strengths = &one,
                                   .confidences = &one}};
    struct sutra_op remove = {.kind = SUTRA_OP_DELETE, .ids.ids = {3, ids, NULL, NULL}};
    struct sutra_op set = {.kind = SUTRA_OP_SET, .set = {.name = "n", .name_bytes = 1}};
    (void)sutra_store_write(store, &put, 1, true, &lsn, &fault);
    (void)sutra_store_write(store, &remove, 1, true, &lsn, &fault);
    (void)sutra_store_write(store, &set, 1, true, &lsn, &fault);
    (void)sutra_store_reconcile(store, &busy);
    if (turn % 4 == 0)
        (void)sutra_store_compact(store);
    else
        (void)sutra_store_checkpoint(store);
    (void)store_shows(store, &shown);
    drop_store(store);
}

/* A value as a file may hold it, and those that break things. */
static uint64_t draw_value(uint64_t drawn, uint64_t now)
{
    switch (drawn % 8) {
    case 0:
        return now + 1 + (drawn >> 8) % 8;
    case 1:
        return now - 1 - (drawn >> 8) % 8;
    case 2:
        return now ^ (uint64_t)1 << (drawn >> 8) % 64;
    case 3:
        return (uint64_t)1 << (drawn >> 8) % 64;
    case 4:
        return UINT64_MAX - (drawn >> 8) % 4;
    case 5:
        return (drawn >> 8) % 4;
    case 6:
        return (uint64_t)UINT32_MAX - 1 + (drawn >> 8) % 3;
    default:
        return sutra_mix64(drawn);
    }
}

static struct image_file *find_file(struct image *image, const char *path)
{
    for (size_t f = 0; f < image->count; f++) {
        if (strcmp(image->files[f].path, path) == 0)
            return &image->files[f];
    }
    return NULL;
}

/* The newest manifest with a word or a few changed. */
static void forge_manifest(struct image *image, struct sutra_simulated *fs, uint64_t drawn)
{
    struct image_file *newest = NULL;
    uint64_t generation = 0, number;
    for (size_t f = 0; f < image->count; f++) {
        if (sutra_manifest_number(image->files[f].name, &number) && number > generation) {
            generation = number;
            newest = &image->files[f];
        }
    }
    uint8_t *copy = malloc(newest->bytes);
    if (copy == NULL)
        abort();
    memcpy(copy, newest->data, newest->bytes);
    for (unsigned change = 0; change <= drawn % 3; change++) {
        const uint64_t more = sutra_random_at(drawn, change);
        size_t at = SUTRA_MANIFEST_AT_CHECKPOINT_LSN + 8 * ((more >> 8) % 5);
        if (more % 8 < 5)
            at = SUTRA_MANIFEST_AT_STATE + 8 * ((more >> 8) % 44);
        else if (more % 8 < 6)
            at = SUTRA_MANIFEST_AT_FILES +
                 (more >> 8) % (newest->bytes - SUTRA_MANIFEST_AT_FILES - 12);
        sutra_store_u64(copy + at, draw_value(more >> 20, sutra_load_u64(copy + at)));
    }
    const size_t covered = newest->bytes - SUTRA_MANIFEST_CRC_BYTES;
    sutra_store_u32(copy + covered, sutra_crc32c(0, copy, covered));
    CHECK_EQ(sutra_simulated_put(fs, newest->path, copy, newest->bytes), 0);
    free(copy);
}

/* The last log with bytes of a payload, of a record's head or of the header changed. */
static void forge_log(struct image *image, struct sutra_simulated *fs, uint64_t drawn)
{
    struct image_file *log = image->last_log;
    uint8_t *copy = malloc(log->used);
    if (copy == NULL)
        abort();
    memcpy(copy, log->data, log->used);
    /* One of the records. */
    size_t at = 96, records = 0, which = 0;
    for (size_t next = at; next < log->used; next += record_bytes(copy + next))
        records++;
    for (which = (drawn >> 8) % records; which > 0; which--)
        at += record_bytes(copy + at);
    const size_t bytes = record_bytes(copy + at);
    const size_t payload = sutra_load_u32(copy + at + SUTRA_LOG_RECORD_PAYLOAD_BYTES);
    for (unsigned change = 0; change <= drawn % 3; change++) {
        const uint64_t more = sutra_random_at(drawn, change);
        if (more % 16 == 0 || payload < 8) {
            sutra_store_u64(copy + at + SUTRA_LOG_RECORD_DURABLE_DELTA,
                            draw_value(more >> 8, 1 | sutra_load_u64(copy + at + 16)));
        } else if (more % 4) {
            uint8_t *word = copy + at + SUTRA_LOG_RECORD_PAYLOAD + (more >> 8) % (payload / 4) * 4;
            sutra_store_u32(word, (uint32_t)draw_value(more >> 20, sutra_load_u32(word)));
        } else {
            copy[at + SUTRA_LOG_RECORD_PAYLOAD + (more >> 8) % payload] ^=
                (uint8_t)(1u << (more >> 40) % 8);
        }
    }
    uint8_t salt[8];
    memcpy(salt, copy + SUTRA_LOG_HEADER_SALT, sizeof salt);
    sutra_store_u32(copy + at,
                    sutra_crc32c(sutra_crc32c(0, salt, sizeof salt), copy + at + 4, bytes - 4));
    CHECK_EQ(sutra_simulated_put(fs, log->path, copy, log->used), 0);
    free(copy);
}

static void mutate_rows(uint8_t *rows, size_t bytes, size_t row_bytes, uint64_t drawn)
{
    if (bytes < 8)
        return;
    for (unsigned change = 0; change < 1 + drawn % 6; change++) {
        const uint64_t more = sutra_random_at(drawn, change);
        size_t at = (more >> 8) % (bytes / 4) * 4;
        if (row_bytes >= 8 && row_bytes % 4 == 0 && more % 2) /* a field of some row */
            at = (more >> 8) % (bytes / row_bytes) * row_bytes + (more >> 40) % (row_bytes / 4) * 4;
        if (at + 8 <= bytes && more % 3 == 0)
            sutra_store_u64(rows + at, draw_value(more >> 4, sutra_load_u64(rows + at)));
        else
            sutra_store_u32(rows + at, (uint32_t)draw_value(more >> 4, sutra_load_u32(rows + at)));
    }
}

static int copy_section(struct sutra_segment_writer *writer, const uint8_t *file,
                        const struct sutra_segment_section *section, bool forge, uint64_t drawn)
{
    const uint8_t *from = file + section->offset + sutra_section_repeated_bytes(section);
    const size_t own = (size_t)sutra_section_own_bytes(section);
    uint8_t *copy = malloc(own + 1);
    if (copy == NULL)
        abort();
    memcpy(copy, from, own);
    int status;
    if (section->form == SUTRA_SECTION_PATCH) {
        const size_t numbers = (size_t)sutra_patch_numbers_bytes(section->rows);
        if (forge)
            mutate_rows(copy + numbers, own - numbers, section->row_bytes, drawn);
        status = sutra_segment_patch(writer, section->kind, section->row_bytes,
                                     (const uint32_t *)(const void *)copy, copy + numbers,
                                     section->rows);
    } else {
        if (forge)
            mutate_rows(copy, own, section->row_bytes, drawn);
        status = section->form == SUTRA_SECTION_BYTES
                     ? sutra_segment_bytes(writer, section->kind, copy, own)
                     : sutra_segment_copied_rows(writer, section->kind, (int)section->form, NULL,
                                                 copy, section->row_bytes, section->first_row,
                                                 section->first_row + section->rows);
    }
    free(copy);
    return status;
}

/* A segment with rows of one section changed, written anew with everything right, and a manifest
 * that names it so. */
static void forge_segment(struct image *image, struct sutra_simulated *fs, uint64_t drawn)
{
    const struct sutra_io *io = sutra_simulated_io(fs);
    struct sutra_store_identity identity;
    struct sutra_manifest manifest = {0};
    struct sutra_segment segment;
    struct sutra_segment_writer *writer;
    struct sutra_fault fault;
    uint64_t generation = 0, number;
    char name[SUTRA_STORE_NAME_BYTES], path[96];
    for (size_t f = 0; f < image->count; f++) {
        if (sutra_manifest_number(image->files[f].name, &number) && number > generation)
            generation = number;
    }
    REQUIRE(sutra_identity_read(io, STORE_PATH, &identity, &fault) == 0);
    REQUIRE(sutra_manifest_read(io, STORE_PATH, generation, identity.store_id, &manifest, &fault) ==
            0);
    struct sutra_manifest_file *file = &manifest.files[drawn % manifest.file_count];
    REQUIRE(sutra_segment_open(io, STORE_PATH, identity.store_id, file->number, file->bytes,
                               file->identity, &segment, &fault) == 0);
    sutra_segment_name(file->number, name);
    (void)snprintf(path, sizeof path, "%s/%s", STORE_PATH, name);
    const struct image_file *old = find_file(image, path);
    REQUIRE(old != NULL &&
            sutra_segment_begin(io, STORE_PATH, identity.store_id, file->number, &writer) == 0);
    const uint32_t target = (uint32_t)((drawn >> 8) % segment.section_count);
    for (uint32_t s = 0; s < segment.section_count; s++)
        CHECK_EQ(copy_section(writer, old->data, &segment.sections[s], s == target, drawn >> 20),
                 0);
    sutra_segment_close(&segment);
    CHECK_EQ(sutra_segment_commit(writer, &file->bytes, file->identity), 0);
    CHECK_EQ(sutra_manifest_write(io, STORE_PATH, &manifest), 0);
    sutra_manifest_free(&manifest);
}

static void forge(const char *name, size_t count,
                  void (*forger)(struct image *image, struct sutra_simulated *fs, uint64_t drawn))
{
    struct image *image = make_image(IMAGE_WHOLE);
    struct tally tally = {0};
    count = count / tests_divisor() * (tests_are_slow() ? 20 : 1);
    for (size_t turn = 0; turn < count && tally.wrong == 0; turn++) {
        struct sutra_simulated *fs = prepared_disk(&image->prepared);
        forger(image, fs, sutra_random_at(first_seed() + 3, turn));
        use_forged(image, fs, turn, &tally);
        sutra_simulated_free(fs);
    }
    report(name, &tally);
    CHECK(tally.refused > 0 && tally.refused < tally.tried);
    free_image(image);
}

static void forged_manifests(void)
{
    forge("forged manifests", 1500, forge_manifest);
}

static void forged_logs(void)
{
    forge("forged logs", 1500, forge_log);
}

static void forged_segments(void)
{
    forge("forged segments", 2500, forge_segment);
}

/* ---- sections without rows */

/* Of a new store: for what has no rows, rows of another length. Nobody has to look at them, and
 * what is written later does not build on them. */
static void empty_sections(void)
{
    static const uint32_t kinds[2] = {SUTRA_PART_KIND_NAME, SUTRA_PART_DELTA_EDGE};
    for (unsigned k = 0; k < 2; k++) {
        struct place place;
        struct sutra_store_identity identity;
        struct sutra_manifest manifest = {0};
        struct sutra_segment segment;
        struct sutra_segment_writer *writer;
        char name[SUTRA_STORE_NAME_BYTES], path[96];
        size_t bytes;
        REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL) && place_close(&place) == SUTRA_OK);
        REQUIRE(sutra_identity_read(place.io, STORE_PATH, &identity, &place.fault) == 0);
        REQUIRE(sutra_manifest_read(place.io, STORE_PATH, 1, identity.store_id, &manifest,
                                    &place.fault) == 0);
        struct sutra_manifest_file *file = &manifest.files[0];
        sutra_segment_name(file->number, name);
        (void)snprintf(path, sizeof path, "%s/%s", STORE_PATH, name);
        const uint8_t *data = sutra_simulated_contents(place.fs, path, &bytes);
        uint8_t *old = malloc(bytes);
        REQUIRE(data != NULL && old != NULL);
        memcpy(old, data, bytes);
        REQUIRE(sutra_segment_open(place.io, STORE_PATH, identity.store_id, file->number,
                                   file->bytes, file->identity, &segment, &place.fault) == 0);
        REQUIRE(sutra_segment_begin(place.io, STORE_PATH, identity.store_id, file->number,
                                    &writer) == 0);
        size_t forged = 0;
        for (uint32_t s = 0; s < segment.section_count; s++) {
            struct sutra_segment_section section = segment.sections[s];
            if (section.kind == kinds[k] && section.rows == 0) {
                section.row_bytes *= 2;
                forged++;
            }
            CHECK_EQ(copy_section(writer, old, &section, false, 0), 0);
        }
        CHECK_EQ(forged, 1);
        sutra_segment_close(&segment);
        CHECK_EQ(sutra_segment_commit(writer, &file->bytes, file->identity), 0);
        CHECK_EQ(sutra_manifest_write(place.io, STORE_PATH, &manifest), 0);
        sutra_manifest_free(&manifest);
        free(old);
        const int status = place_open(&place, SUTRA_STORE_APPEND);
        CHECK(status == SUTRA_OK || status == SUTRA_E_CORRUPT);
        if (status == SUTRA_OK) {
            for (unsigned round = 0; round < 3; round++) { /* so that no manifest is older */
                CHECK_EQ(put_numbers(&place, 2 * round, 2), SUTRA_OK);
                CHECK_EQ(link_numbers(&place, 2 * round, 2 * round + 1), SUTRA_OK);
                CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
            }
            CHECK_EQ(place_reopen(&place), SUTRA_OK);
            REQUIRE(place.store != NULL);
            CHECK(count_now(&place) == 6 && links_of(&place, 4, SUTRA_OUT) == 1);
            CHECK_EQ(sutra_store_verify(place.store, true, NULL, &place.fault), SUTRA_OK);
        }
        place_deinit(&place);
    }
}

/* ---- features of a newer version */

/* What only a newer version may change is read and not written to; what only it may read is
 * refused. */
static void newer_features(void)
{
    static const char path[] = STORE_PATH "/" SUTRA_IDENTITY_NAME;
    struct image *image = make_image(IMAGE_SMALL);
    for (unsigned turn = 0; turn < 4; turn++) {
        const bool readable = turn < 2;
        const int mode = turn % 2 ? SUTRA_STORE_APPEND : SUTRA_STORE_READ;
        struct sutra_store *store;
        struct sutra_fault fault;
        struct shown shown = {0};
        size_t bytes;
        struct sutra_simulated *fs = prepared_disk(&image->prepared);
        uint8_t *file = sutra_simulated_contents(fs, path, &bytes);
        REQUIRE(file != NULL && bytes == SUTRA_IDENTITY_FILE_BYTES);
        file[readable ? SUTRA_IDENTITY_AT_RO_COMPAT : SUTRA_IDENTITY_AT_INCOMPAT] = 1;
        sutra_store_u32(file + SUTRA_IDENTITY_AT_CRC, sutra_crc32c(0, file, SUTRA_IDENTITY_AT_CRC));
        CHECK_EQ(open_image(image, fs, mode, turn, &store, NULL, &fault),
                 readable && mode == SUTRA_STORE_READ ? SUTRA_OK : SUTRA_E_VERSION);
        if (store != NULL) {
            CHECK_EQ(store_shows(store, &shown), SUTRA_OK);
            CHECK(shown.digest == image->shown.digest);
        }
        drop_store(store);
        sutra_simulated_free(fs);
    }
    free_image(image);
}

CHECK_MAIN(CASE(forged_manifests), CASE(forged_logs), CASE(forged_segments), CASE(empty_sections),
           CASE(newer_features))
