/* Settings on disk: what a checkpoint writes and when, what an opening reads, and copies; and what
 * becomes of sections and log records that are no settings, whoever wrote them. Line by line of
 * settings.h and FORMAT.md.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/bytes.h"
#include "io/faulty.h"
#include "store/manifest.h"
#include "store/ops_format.h"
#include "store/segment_blocks.h"
#include "store/settings.h"
#include "store_calls.h"

#define SETTINGS_KIND 64u /* of their section: the first of the store's own */

/* ---- looking at segments */

static bool read_newest(struct place *place, struct sutra_manifest *manifest)
{
    struct sutra_store_stats stats;
    struct sutra_store_identity identity;
    struct sutra_fault fault;
    return sutra_store_stats(place->store, &stats) == SUTRA_OK &&
           sutra_identity_read(place->io, STORE_PATH, &identity, &fault) == SUTRA_OK &&
           sutra_manifest_read(place->io, STORE_PATH, stats.generation, identity.store_id, manifest,
                               &fault) == SUTRA_OK;
}

/* For each segment, oldest first, a letter: 's' if it has settings, else '-'. */
static const char *segments_of(struct place *place, char letters[64])
{
    struct sutra_manifest manifest = {0};
    letters[0] = '\0';
    if (!read_newest(place, &manifest))
        return letters;
    uint32_t j = 0;
    for (; j < manifest.file_count && j < 63; j++) {
        const struct sutra_manifest_file *file = &manifest.files[j];
        struct sutra_segment segment;
        struct sutra_fault fault;
        letters[j] = '?';
        if (sutra_segment_open(place->io, STORE_PATH, manifest.store_id, file->number, file->bytes,
                               file->identity, &segment, &fault) != SUTRA_OK)
            continue;
        letters[j] = '-';
        for (uint32_t s = 0; s < segment.section_count; s++) {
            if (segment.sections[s].kind == SETTINGS_KIND)
                letters[j] = segment.sections[s].form == SUTRA_SECTION_BYTES ? 's' : '!';
        }
        sutra_segment_close(&segment);
    }
    letters[j] = '\0';
    sutra_manifest_free(&manifest);
    return letters;
}

static bool are(struct place *place, const char *expected)
{
    char letters[64];
    if (strcmp(segments_of(place, letters), expected) == 0)
        return true;
    (void)fprintf(stderr, "segments %s, not %s\n", letters, expected);
    return false;
}

/* ---- checkpoints */

static void when_written(void)
{
    struct place place;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK(are(&place, "-")); /* where a chain begins, none are no section */
    CHECK_EQ(put_numbers(&place, 0, 1), SUTRA_OK);
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    CHECK(are(&place, "--"));
    CHECK_EQ(set_text(&place, "a", "1"), SUTRA_OK); /* and nothing else */
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    CHECK(are(&place, "--s"));
    CHECK_EQ(put_numbers(&place, 1, 1), SUTRA_OK);
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    CHECK(are(&place, "--s-")); /* unchanged: not again */
    /* Refused, or of what is not there: nothing has changed. */
    CHECK_EQ(set_text(&place, "", "1"), SUTRA_E_ARGUMENT);
    CHECK_EQ(set_text(&place, "b", NULL), SUTRA_OK);
    CHECK_EQ(put_numbers(&place, 2, 1), SUTRA_OK);
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    CHECK(are(&place, "--s--"));
    /* The same after opening, whether the log has some or not. */
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    CHECK_EQ(put_numbers(&place, 3, 1), SUTRA_OK);
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    CHECK(are(&place, "--s---"));
    CHECK_EQ(set_text(&place, "a", "2"), SUTRA_OK);
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    CHECK(are(&place, "--s---s"));
    CHECK_EQ(sutra_store_compact(place.store), SUTRA_OK);
    CHECK(are(&place, "s"));
    /* The last one goes: that is said too, until a chain begins. */
    CHECK_EQ(set_text(&place, "a", NULL), SUTRA_OK);
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    CHECK(are(&place, "ss"));
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    CHECK_EQ(count_settings(&place), 0);
    CHECK_EQ(sutra_store_compact(place.store), SUTRA_OK);
    CHECK(are(&place, "-"));
    place_deinit(&place);
}

/* A checkpoint that replaces all segments takes along what has not changed. */
static void new_chains(void)
{
    struct place place;
    char letters[64];
    size_t most = 0, count = 0;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(set_text(&place, "a", "1"), SUTRA_OK);
    for (unsigned round = 0; round < 60 && (most < 2 || count > 1); round++) {
        CHECK_EQ(put_numbers(&place, round, 1), SUTRA_OK);
        CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
        count = strlen(segments_of(&place, letters));
        most = count > most ? count : most;
    }
    CHECK(most > 2 && are(&place, "s"));
    CHECK_EQ(place_reopen(&place), SUTRA_OK);
    CHECK(setting_is(&place, "a", "1"));
    place_deinit(&place);
}

/* Larger than a block, with deltas and the log after it. */
static void large_sections(void)
{
    static uint8_t value[SUTRA_SETTING_BYTES_MAX];
    char names[8][8];
    struct place place;
    struct shown before, after;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    for (unsigned round = 0; round < 6; round++) {
        CHECK_EQ(put_numbers(&place, round, 1), SUTRA_OK);
        for (unsigned j = 0; j < 8; j++) {
            (void)snprintf(names[j], sizeof names[j], "n%u", j);
            for (size_t k = 0; k < sizeof value; k++)
                value[k] = (uint8_t)sutra_random_at(round * 8 + j, k / 8);
            const bool removed = (round + j) % 5 == 0;
            CHECK_EQ(write_op(&place, set_op(names[j], removed ? NULL : value, sizeof value - j)),
                     SUTRA_OK);
        }
        if (round != 4)
            CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
        CHECK_EQ(store_shows(place.store, &before), SUTRA_OK);
        CHECK_EQ(place_reopen(&place), SUTRA_OK);
        CHECK_EQ(store_shows(place.store, &after), SUTRA_OK);
        CHECK(before.digest == after.digest && after.settings >= 6);
        CHECK_EQ(sutra_store_verify(place.store, true, NULL, &place.fault), SUTRA_OK);
    }
    place_deinit(&place);
}

/* A checkpoint that comes to nothing has saved nothing. */
static void failed_checkpoints(void)
{
    for (unsigned whole = 0; whole < 2; whole++) {
        struct sutra_simulated *fs;
        struct sutra_faulty faulty;
        struct sutra_fault fault;
        struct shown shown;
        uint64_t lsn;
        REQUIRE(sutra_simulated_new(1, &fs) == SUTRA_OK);
        sutra_faulty_init(&faulty, sutra_simulated_io(fs));
        struct place place = {.fs = fs,
                              .io = &faulty.io,
                              .options = store_options(SUTRA_STORE_APPEND, SUTRA_SYNC_FULL)};
        REQUIRE(place_open(&place, SUTRA_STORE_APPEND) == SUTRA_OK);
        CHECK_EQ(put_numbers(&place, 0, 3), SUTRA_OK);
        CHECK_EQ(set_text(&place, "a", "1"), SUTRA_OK);
        CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
        CHECK_EQ(set_text(&place, "a", "2"), SUTRA_OK);
        struct sutra_op remove = ids_op(SUTRA_OP_DELETE, &(const int64_t){1}, 1);
        CHECK_EQ(sutra_store_write(place.store, &remove, 1, true, &lsn, &fault), SUTRA_OK);
        CHECK_EQ(sutra_store_flush(place.store), SUTRA_OK);
        faulty.error = ENOSPC;
        faulty.sticky = true;
        faulty.fail_at = faulty.calls + 3;
        CHECK_EQ(whole ? sutra_store_compact(place.store) : sutra_store_checkpoint(place.store),
                 ENOSPC);
        faulty.fail_at = 0;
        CHECK(setting_is(&place, "a", "2"));
        CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
        CHECK_EQ(place_reopen(&place), SUTRA_OK);
        CHECK(setting_is(&place, "a", "2"));
        CHECK_EQ(store_shows(place.store, &shown), SUTRA_OK);
        CHECK_EQ(shown.live, 2);
        place_deinit(&place);
    }
}

/* ---- copies */

static int open_at(const struct place *place, const char *path, int mode, struct place *out)
{
    *out = *place;
    out->options.mode = mode;
    out->fs = NULL;
    return open_store(place->io, path, &out->options, &out->store);
}

static void copies(void)
{
    const struct sutra_kernels *kernels = test_kernels();
    struct place place, copy;
    struct sutra_repair_report report;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(set_text(&place, "sealed", "1"), SUTRA_OK);
    CHECK_EQ(put_numbers(&place, 0, 4), SUTRA_OK);
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    CHECK_EQ(set_text(&place, "logged", "2"), SUTRA_OK);
    CHECK_EQ(sutra_store_snapshot(place.store, SNAPSHOT_PATH), SUTRA_OK);
    CHECK_EQ(set_text(&place, "later", "3"), SUTRA_OK);
    CHECK_EQ(place_close(&place), SUTRA_OK);
    CHECK_EQ(sutra_store_restore(place.io, kernels, SNAPSHOT_PATH, "/restored", NULL, &place.fault),
             SUTRA_OK);
    CHECK_EQ(sutra_store_restore(place.io, kernels, STORE_PATH, "/copied", NULL, &place.fault),
             SUTRA_OK);
    CHECK_EQ(
        sutra_store_repair(place.io, kernels, STORE_PATH, "/saved", &report, NULL, &place.fault),
        SUTRA_OK);
    CHECK(!report.lost_settings);
    static const char *const paths[4] = {SNAPSHOT_PATH, "/restored", "/copied", "/saved"};
    for (unsigned j = 0; j < 4; j++) {
        for (int mode = SUTRA_STORE_APPEND; mode <= SUTRA_STORE_READ; mode++) {
            REQUIRE(open_at(&place, paths[j], mode, &copy) == SUTRA_OK);
            CHECK(setting_is(&copy, "sealed", "1") && setting_is(&copy, "logged", "2"));
            CHECK(setting_is(&copy, "later", j < 2 ? NULL : "3"));
            CHECK_EQ(sutra_store_verify(copy.store, true, NULL, &copy.fault), SUTRA_OK);
            drop_store(copy.store);
        }
    }
    place_deinit(&place);
}

/* Compaction, with dead versions and without, in memory and on disk. A view that was begun before
 * one that copies goes on seeing the table of its state. */
static void compactions(void)
{
    for (unsigned turn = 0; turn < 4; turn++) {
        const bool in_memory = turn % 2, dead = turn / 2;
        const int64_t id = 1;
        uint8_t value[4];
        size_t bytes = 0;
        struct place place;
        REQUIRE(place_init(&place, in_memory, SUTRA_SYNC_FULL));
        CHECK_EQ(put_numbers(&place, 0, 4), SUTRA_OK);
        CHECK_EQ(set_text(&place, "a", "1"), SUTRA_OK);
        CHECK_EQ(set_text(&place, "b", "1"), SUTRA_OK);
        CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
        CHECK_EQ(set_text(&place, "a", "2"), SUTRA_OK);
        CHECK_EQ(set_text(&place, "b", NULL), SUTRA_OK);
        if (dead)
            CHECK_EQ(write_op(&place, ids_op(SUTRA_OP_DELETE, &id, 1)), SUTRA_OK);
        struct sutra_store_view *view = view_of(&place);
        CHECK_EQ(sutra_store_compact(place.store), SUTRA_OK);
        CHECK(setting_is(&place, "a", "2") && count_settings(&place) == 1);
        CHECK_EQ(set_text(&place, "a", "3"), SUTRA_OK);
        CHECK_EQ(sutra_store_setting(view, "a", 1, value, sizeof value, &bytes), SUTRA_OK);
        CHECK(bytes == 1 && value[0] == (dead ? '2' : '3'));
        sutra_store_view_end(view);
        if (!in_memory)
            CHECK_EQ(place_reopen(&place), SUTRA_OK);
        CHECK(setting_is(&place, "a", "3") && count_settings(&place) == 1);
        place_deinit(&place);
    }
}

/* A reader of another process sees what the log, or a checkpoint, says when it refreshes. */
static void following(void)
{
    struct place place, reader;
    char text[8];
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(set_text(&place, "a", "first"), SUTRA_OK);
    REQUIRE(open_at(&place, STORE_PATH, SUTRA_STORE_READ, &reader) == SUTRA_OK);
    CHECK(setting_is(&reader, "a", "first"));
    for (unsigned round = 0; round < 12; round++) {
        bool changed = false;
        (void)snprintf(text, sizeof text, "%u", round);
        CHECK_EQ(set_text(&place, "a", round % 4 ? text : NULL), SUTRA_OK);
        if (round % 3 == 1) {
            CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
            CHECK_EQ(put_numbers(&place, round, 1), SUTRA_OK);
            CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
        }
        if (round % 3 == 2)
            CHECK_EQ(sutra_store_compact(place.store), SUTRA_OK);
        CHECK(!setting_is(&reader, "a", round % 4 ? text : NULL));
        CHECK_EQ(sutra_store_refresh(reader.store, &changed), SUTRA_OK);
        CHECK(changed && setting_is(&reader, "a", round % 4 ? text : NULL));
    }
    drop_store(reader.store);
    place_deinit(&place);
}

/* ---- forged sections */

/* What a section is filled with; each is what a writer would have written but for one thing. */
struct forgery {
    const char *name, *what; /* what NULL: nothing is wrong */
    size_t settings;
    int change;
};

enum change {
    AS_IT_IS,
    EMPTY,
    NO_VALUE,
    ANOTHER_KIND,
    NAME_WITHOUT_BYTES,
    NAME_TOO_LONG,
    NAME_NOT_UTF8,
    VALUE_TOO_LONG,
    VALUE_CUT,
    CUT,
    TRAILING,
    FLAGS,
    COUNT,
    EXTRA,
    TIME,
    ORDER,
    TWICE,
    ROWS
};

static const struct forgery forgeries[] = {
    {"sound", NULL, 3, AS_IT_IS},
    {"the most there may be", NULL, SUTRA_SETTINGS_MAX, AS_IT_IS},
    {"one more", "settings count", SUTRA_SETTINGS_MAX + 1, AS_IT_IS},
    {"no bytes", NULL, 3, EMPTY},
    {"a removal", "settings", 3, NO_VALUE},
    {"another operation", "settings", 3, ANOTHER_KIND},
    {"a name without bytes", "settings", 3, NAME_WITHOUT_BYTES},
    {"a name too long", "settings", 3, NAME_TOO_LONG},
    {"a name that is no UTF-8", "settings", 3, NAME_NOT_UTF8},
    {"a value too long", "settings", 3, VALUE_TOO_LONG},
    {"a value longer than the section", "settings", 3, VALUE_CUT},
    {"cut", "settings", 3, CUT},
    {"more behind it", "settings", 3, TRAILING},
    {"an unknown flag", "settings", 3, FLAGS},
    {"a count of two", "settings", 3, COUNT},
    {"something in EXTRA", "settings", 3, EXTRA},
    {"a time", "settings", 3, TIME},
    {"in another order", "settings order", 3, ORDER},
    {"one twice", "settings order", 3, TWICE},
    {"rows", "settings", 3, ROWS},
};

#define FORGED_BYTES ((size_t)1 << 20)

/* Returns how many bytes there are. Every operation takes 56: head, name and value. */
static size_t forge_bytes(const struct forgery *forgery, uint8_t *bytes)
{
    struct sutra_encoder encoder = {0};
    enum { EACH = 56, NAME = 24, VALUE = 40 };
    for (size_t j = 0; j < forgery->settings; j++) {
        char name[24];
        (void)snprintf(name, sizeof name, "n%06zu", j);
        const struct sutra_op op = set_op(name, "value", 5);
        CHECK_EQ(sutra_encode_op(&encoder, &op, 0, 1), SUTRA_OK);
    }
    size_t size = encoder.used;
    CHECK(size == forgery->settings * EACH && size < FORGED_BYTES / 2);
    memset(bytes, 0, FORGED_BYTES);
    memcpy(bytes, encoder.buffer, size);
    sutra_encoder_deinit(&encoder);
    uint8_t *second = bytes + EACH;
    switch (forgery->change) {
    case EMPTY:
        return 0;
    case NO_VALUE: /* the flag, and the bytes too */
        sutra_store_u32(second + SUTRA_OP_FLAGS, 0);
        memmove(second + VALUE, second + EACH, EACH);
        return size - 16;
    case ANOTHER_KIND: { /* a sound one */
        const int64_t id = 5;
        const struct sutra_op touch = ids_op(SUTRA_OP_TOUCH, &id, 1);
        CHECK_EQ(sutra_encode_op(&encoder, &touch, 0, 1), SUTRA_OK);
        memcpy(second, encoder.buffer, encoder.used);
        size = EACH + encoder.used;
        sutra_encoder_deinit(&encoder);
        return size;
    }
    case NAME_WITHOUT_BYTES:
        sutra_store_u64(second + NAME, 0);
        memmove(second + NAME + 8, second + VALUE, size);
        return size - 8;
    case NAME_TOO_LONG: /* 256 bytes, all there */
        sutra_store_u64(second + NAME, 256);
        memmove(second + NAME + 8 + 256, second + VALUE, size);
        memset(second + NAME + 8, 'o', 256);
        return size + 248;
    case NAME_NOT_UTF8:
        second[NAME + 8 + 3] = 0xff;
        return size;
    case VALUE_TOO_LONG: /* 65,536 bytes, all there */
        sutra_store_u64(second + VALUE, 65536);
        return 2 * EACH - 8 + 65536;
    case VALUE_CUT:
        sutra_store_u64(bytes + 2 * EACH + VALUE, 9);
        return size;
    case CUT:
        return size - 8;
    case TRAILING:
        return size + 8;
    case FLAGS:
        sutra_store_u32(second + SUTRA_OP_FLAGS, 3);
        return size;
    case COUNT:
        sutra_store_u32(second + SUTRA_OP_COUNT, 2);
        return size;
    case EXTRA:
        sutra_store_u32(second + SUTRA_OP_EXTRA, 1);
        return size;
    case TIME:
        sutra_store_u64(second + SUTRA_OP_TIME, 1);
        return size;
    case ORDER:
        second[NAME + 8] = 'o';
        return size;
    case TWICE:
        memcpy(second, bytes, EACH);
        return size;
    default:
        return size;
    }
}

/* One more segment, named by both manifests, with a section of settings and nothing else. */
static void add_section(struct place *place, const struct forgery *forgery)
{
    static uint8_t bytes[FORGED_BYTES];
    struct sutra_manifest manifest = {0};
    struct sutra_segment_writer *writer;
    const size_t size = forge_bytes(forgery, bytes);
    REQUIRE(read_newest(place, &manifest));
    struct sutra_manifest_file *files =
        realloc(manifest.files, (manifest.file_count + 1) * sizeof *files);
    REQUIRE(files != NULL);
    manifest.files = files;
    struct sutra_manifest_file *file = &files[manifest.file_count++];
    file->number = manifest.next_file++;
    REQUIRE(sutra_segment_begin(place->io, STORE_PATH, manifest.store_id, file->number, &writer) ==
            0);
    if (forgery->change == ROWS)
        CHECK_EQ(sutra_segment_copied_rows(writer, SETTINGS_KIND, SUTRA_SECTION_WHOLE, NULL, bytes,
                                           8, 0, size / 8),
                 0);
    else
        CHECK_EQ(sutra_segment_bytes(writer, SETTINGS_KIND, bytes, size), 0);
    CHECK_EQ(sutra_segment_commit(writer, &file->bytes, file->identity), 0);
    CHECK_EQ(sutra_manifest_write(place->io, STORE_PATH, &manifest), 0);
    manifest.generation--;
    CHECK_EQ(sutra_manifest_write(place->io, STORE_PATH, &manifest), 0);
    sutra_segment_name(file->number, place->file);
    sutra_manifest_free(&manifest);
}

/* The chain has settings before it: what is wrong is said of the newest, and none is taken from
 * before it. What else the store holds can be saved, and says that they are lost. */
static void try_forgery(const struct forgery *forgery)
{
    struct place place, saved;
    struct sutra_repair_report report;
    char name[SUTRA_STORE_NAME_BYTES];
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_numbers(&place, 0, 7), SUTRA_OK);
    CHECK_EQ(set_text(&place, "old", "1"), SUTRA_OK);
    CHECK_EQ(sutra_store_compact(place.store), SUTRA_OK); /* both manifests are the same now */
    add_section(&place, forgery);
    memcpy(name, place.file, sizeof name);
    drop_store(place.store);
    const int status = place_open(&place, SUTRA_STORE_READ);
    const bool sound = forgery->what == NULL;
    const size_t count = forgery->change == EMPTY ? 0 : forgery->settings;
    CHECK_EQ(status, sound ? SUTRA_OK : SUTRA_E_CORRUPT);
    if (status == SUTRA_OK) {
        CHECK(count_settings(&place) == count && setting_is(&place, "old", NULL));
        CHECK(!count || setting_is(&place, "n000002", "value"));
        drop_store(place.store);
        place.store = NULL;
    } else {
        CHECK(place.fault.what != NULL && strcmp(place.fault.what, forgery->what) == 0);
        CHECK(strcmp(place.file, name) == 0);
    }
    CHECK_EQ(sutra_store_repair(place.io, test_kernels(), STORE_PATH, "/saved", &report, NULL,
                                &place.fault),
             SUTRA_OK);
    CHECK_EQ(report.lost_settings, !sound);
    CHECK(report.concepts == 7 && !report.older_manifest && !report.log_cut);
    REQUIRE(open_at(&place, "/saved", SUTRA_STORE_APPEND, &saved) == SUTRA_OK);
    CHECK_EQ(count_settings(&saved), sound ? count : 0);
    drop_store(saved.store);
    place_deinit(&place);
}

static void forged_sections(void)
{
    for (size_t j = 0; j < sizeof forgeries / sizeof forgeries[0]; j++) {
        const int before = atomic_load(&check_failures);
        try_forgery(&forgeries[j]);
        if (atomic_load(&check_failures) > before)
            (void)fprintf(stderr, "in: %s\n", forgeries[j].name);
    }
}

/* A damaged block of the section is noticed when the store is opened, and what the log has set
 * since is saved. */
static void damaged_section(void)
{
    struct place place, saved;
    struct sutra_manifest manifest = {0};
    struct sutra_repair_report report;
    char name[SUTRA_STORE_NAME_BYTES], path[64];
    size_t bytes;
    REQUIRE(place_init(&place, false, SUTRA_SYNC_FULL));
    CHECK_EQ(put_numbers(&place, 0, 7), SUTRA_OK);
    CHECK_EQ(sutra_store_compact(place.store), SUTRA_OK);
    CHECK_EQ(set_text(&place, "sealed", "1"), SUTRA_OK);
    CHECK_EQ(sutra_store_checkpoint(place.store), SUTRA_OK);
    CHECK_EQ(sutra_store_compact(place.store), SUTRA_OK);
    CHECK_EQ(set_text(&place, "logged", "2"), SUTRA_OK);
    REQUIRE(read_newest(&place, &manifest));
    drop_store(place.store);
    sutra_segment_name(manifest.files[manifest.file_count - 1].number, name);
    sutra_manifest_free(&manifest);
    (void)snprintf(path, sizeof path, "%s/%s", STORE_PATH, name);
    uint8_t *data = sutra_simulated_contents(place.fs, path, &bytes);
    REQUIRE(data != NULL);
    size_t at = 0;
    while (at + 6 < bytes && memcmp(data + at, "sealed", 6) != 0)
        at++;
    data[at] ^= 1;
    CHECK_EQ(place_open(&place, SUTRA_STORE_READ), SUTRA_E_CORRUPT);
    CHECK(place.fault.what != NULL && strcmp(place.file, name) == 0);
    CHECK_EQ(sutra_store_repair(place.io, test_kernels(), STORE_PATH, "/saved", &report, NULL,
                                &place.fault),
             SUTRA_OK);
    CHECK(report.lost_settings && report.damaged_blocks == 1 && report.concepts == 7);
    REQUIRE(open_at(&place, "/saved", SUTRA_STORE_READ, &saved) == SUTRA_OK);
    CHECK(setting_is(&saved, "logged", "2") && count_settings(&saved) == 1);
    drop_store(saved.store);
    place_deinit(&place);
}

CHECK_MAIN(CASE(when_written), CASE(new_chains), CASE(large_sections), CASE(failed_checkpoints),
           CASE(copies), CASE(compactions), CASE(following), CASE(forged_sections),
           CASE(damaged_section))
