/* Manifests and the identity file: round trips, damage, hostile bytes, interruptions.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "sealed_cases.h"

#include "base/crc32c.h"
#include "store/manifest.h"
#include "store/manifest_format.h"

/* ---- samples */

static struct sutra_manifest make_manifest(uint32_t files)
{
    struct sutra_manifest manifest = {.generation = 42,
                                      .checkpoint_lsn = 0x1112131415161718,
                                      .next_file = 3 * (uint64_t)files + 10,
                                      .log_file = 9,
                                      .graph_lsn = 0x2122232425262728,
                                      .file_count = files};
    memcpy(manifest.store_id, store_id, 16);
    for (uint64_t w = 0; w < SUTRA_MANIFEST_STATE_WORDS; w++)
        manifest.state[w] = sutra_mix64(w);
    manifest.files = calloc(files > 0 ? files : 1, sizeof *manifest.files);
    for (uint32_t f = 0; f < files && manifest.files != NULL; f++) {
        struct sutra_manifest_file *file = &manifest.files[f];
        file->number = 3 * (uint64_t)(files - f); /* in no order */
        file->bytes = sutra_mix64(f + 1000);
        for (unsigned i = 0; i < SUTRA_IDENTITY_BYTES; i++)
            file->identity[i] = (uint8_t)(f + i);
    }
    return manifest;
}

static bool equal_manifests(const struct sutra_manifest *a, const struct sutra_manifest *b)
{
    bool equal = memcmp(a->store_id, b->store_id, 16) == 0 && a->generation == b->generation &&
                 a->checkpoint_lsn == b->checkpoint_lsn && a->next_file == b->next_file &&
                 a->log_file == b->log_file && a->graph_lsn == b->graph_lsn &&
                 memcmp(a->state, b->state, sizeof a->state) == 0 && a->file_count == b->file_count;
    for (uint32_t f = 0; f < a->file_count && equal; f++)
        equal = a->files[f].number == b->files[f].number &&
                a->files[f].bytes == b->files[f].bytes &&
                memcmp(a->files[f].identity, b->files[f].identity, SUTRA_IDENTITY_BYTES) == 0;
    return equal;
}

static int read_one(const struct place *place, uint64_t generation,
                    struct sutra_manifest *manifest_out, struct sutra_fault *fault_out)
{
    return sutra_manifest_read(place->io, place->directory, generation, store_id, manifest_out,
                               fault_out);
}

/* Reading fails with this status, and leaves nothing to free. */
static void check_read(const struct place *place, int status, const char *what)
{
    struct sutra_manifest manifest;
    struct sutra_fault fault;
    CHECK_EQ(read_one(place, 42, &manifest, &fault), status);
    CHECK(manifest.files == NULL && manifest.file_count == 0);
    if (what != NULL)
        CHECK(fault.what != NULL && strcmp(fault.what, what) == 0 && fault.offset >= 0);
    CHECK_EQ(read_one(place, 42, &manifest, NULL), status);
}

/* ---- names */

static void names_have_one_form(void)
{
    static const struct {
        uint64_t generation;
        const char *name;
    } sound[] = {{0, "MANIFEST-00000000"},
                 {42, "MANIFEST-00000042"},
                 {100000000, "MANIFEST-100000000"},
                 {UINT64_MAX, "MANIFEST-18446744073709551615"}};
    for (size_t i = 0; i < sizeof sound / sizeof sound[0]; i++) {
        char name[SUTRA_MANIFEST_NAME_BYTES];
        uint64_t generation = 7;
        sutra_manifest_name(sound[i].generation, name);
        CHECK(strcmp(name, sound[i].name) == 0);
        CHECK(sutra_manifest_number(name, &generation));
        CHECK(generation == sound[i].generation);
    }
    static const char *const wrong[] = {"MANIFEST-",
                                        "MANIFEST-42",
                                        "MANIFEST-00000042.tmp",
                                        "MANIFEST-000000042",
                                        "MANIFEST-0000004x",
                                        "manifest-00000042",
                                        "00000042",
                                        "MANIFEST-18446744073709551616",
                                        "MANIFEST-+0000042",
                                        "MANIFEST 00000042"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint64_t generation = 7;
        CHECK(!sutra_manifest_number(wrong[i], &generation));
        CHECK(generation == 7);
    }
}

/* ---- manifests */

static void manifests_come_back(void)
{
    static const uint32_t counts[] = {0, 1, 2, 100, SUTRA_MANIFEST_FILES_MAX};
    for (int simulated = 0; simulated < 2; simulated++) {
        struct place place;
        REQUIRE(make_place(&place, simulated));
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            struct sutra_manifest manifest = make_manifest(counts[c]), found;
            struct sutra_fault fault;
            manifest.generation = 100 + c;
            REQUIRE(sutra_manifest_write(place.io, place.directory, &manifest) == SUTRA_OK);
            REQUIRE(read_one(&place, 100 + c, &found, &fault) == SUTRA_OK);
            CHECK(equal_manifests(&manifest, &found));
            sutra_manifest_free(&found);
            CHECK(found.files == NULL && found.file_count == 0);
            sutra_manifest_free(&found);
            sutra_manifest_free(&manifest);
        }
        CHECK_EQ(list_place(&place).count, 5);
        struct sutra_manifest none;
        struct sutra_fault fault;
        CHECK_EQ(read_one(&place, 99, &none, &fault), ENOENT);
        remove_place(&place);
    }
}

static void wrong_manifests_are_not_written(void)
{
    struct place place;
    REQUIRE(make_place(&place, true));
    struct sutra_manifest manifest = make_manifest(5);
    manifest.files[3].number = manifest.files[1].number;
    CHECK_EQ(sutra_manifest_write(place.io, place.directory, &manifest), SUTRA_E_ARGUMENT);
    manifest.files[3].number = manifest.next_file;
    CHECK_EQ(sutra_manifest_write(place.io, place.directory, &manifest), SUTRA_E_ARGUMENT);
    manifest.files[3].number = manifest.next_file - 1;
    manifest.file_count = SUTRA_MANIFEST_FILES_MAX + 1;
    CHECK_EQ(sutra_manifest_write(place.io, place.directory, &manifest), SUTRA_E_CAPACITY);
    CHECK_EQ(list_place(&place).count, 0);
    manifest.file_count = 5;
    CHECK_EQ(sutra_manifest_write(place.io, place.directory, &manifest), SUTRA_OK);
    sutra_manifest_free(&manifest);
    remove_place(&place);
}

/* What they are comes from FORMAT.md. */
static void the_bytes_are_as_documented(void)
{
    struct place place;
    REQUIRE(make_place(&place, true));
    struct sutra_manifest manifest = make_manifest(2);
    REQUIRE(sutra_manifest_write(place.io, place.directory, &manifest) == SUTRA_OK);
    size_t bytes;
    uint8_t *file = read_whole(&place, "MANIFEST-00000042", &bytes);
    REQUIRE(file != NULL && bytes == 640 + 2 * 48 + 4);
    uint8_t expected[740] = {0};
    static const uint8_t start[72] = {
        'S',  'U',  'T',  'R', 'A',  'M',  'A',  'N',  1,    0,    0,    0,    2,    0,    0,
        0,    1,    2,    3,   4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,
        15,   16,   42,   0,   0,    0,    0,    0,    0,    0,    0x18, 0x17, 0x16, 0x15, 0x14,
        0x13, 0x12, 0x11, 16,  0,    0,    0,    0,    0,    0,    0,    9,    0,    0,    0,
        0,    0,    0,    0,   0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21};
    memcpy(expected, start, sizeof start);
    for (uint64_t w = 0; w < 64; w++)
        sutra_store_u64(expected + 128 + 8 * w, sutra_mix64(w));
    for (unsigned f = 0; f < 2; f++) {
        expected[640 + 48 * f] = (uint8_t)(6 - 3 * f);
        sutra_store_u64(expected + 648 + (size_t)48 * f, sutra_mix64(f + 1000));
        for (unsigned i = 0; i < 32; i++)
            expected[656 + 48 * f + i] = (uint8_t)(f + i);
    }
    expected[8] = 2; /* a word from 40 on is not 0 */
    sutra_store_u32(expected + 736, sutra_crc32c(0, expected, 736));
    CHECK(memcmp(file, expected, bytes) == 0);
    free(file);
    /* Without columns it is what older versions take. */
    memset(manifest.state + 40, 0, 24 * sizeof *manifest.state);
    memset(expected + 128 + 8 * 40, 0, 24 * sizeof *manifest.state);
    expected[8] = 1;
    sutra_store_u32(expected + 736, sutra_crc32c(0, expected, 736));
    REQUIRE(sutra_manifest_write(place.io, place.directory, &manifest) == SUTRA_OK);
    file = read_whole(&place, "MANIFEST-00000042", &bytes);
    REQUIRE(file != NULL && bytes == sizeof expected);
    CHECK(memcmp(file, expected, bytes) == 0);
    free(file);

    const struct sutra_store_identity identity = {.store_id = {7, 7, 7},
                                                  .created_ns = 0x0102030405060708};
    REQUIRE(sutra_identity_write(place.io, place.directory, &identity) == SUTRA_OK);
    file = read_whole(&place, "SUTRA", &bytes);
    REQUIRE(file != NULL && bytes == 128);
    memset(expected, 0, 128);
    static const uint8_t identity_start[40] = {
        'S', 'U', 'T', 'R', 'A', 'S', 'T', 'O', 1, 0, 0, 0, 4, 3, 2, 1, 7, 7, 7, 0,
        0,   0,   0,   0,   0,   0,   0,   0,   0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1};
    memcpy(expected, identity_start, sizeof identity_start);
    sutra_store_u32(expected + 124, sutra_crc32c(0, expected, 124));
    CHECK(memcmp(file, expected, bytes) == 0);
    free(file);
    sutra_manifest_free(&manifest);
    remove_place(&place);
}

static void every_bit_of_a_manifest_counts(void)
{
    struct place place;
    REQUIRE(make_place(&place, true));
    struct sutra_manifest manifest = make_manifest(3), found;
    REQUIRE(sutra_manifest_write(place.io, place.directory, &manifest) == SUTRA_OK);
    size_t bytes;
    uint8_t *sound = read_whole(&place, "MANIFEST-00000042", &bytes);
    REQUIRE(sound != NULL);
    for (size_t at = 0; at < bytes; at++) {
        const uint8_t mask = (uint8_t)(1u << at % 8);
        REQUIRE(flip(&place, "MANIFEST-00000042", at, mask));
        check_read(&place, SUTRA_E_CORRUPT, "manifest");
        REQUIRE(flip(&place, "MANIFEST-00000042", at, mask));
    }
    for (size_t length = 0; length < bytes; length++) {
        REQUIRE(write_whole(&place, "MANIFEST-00000042", sound, length));
        check_read(&place, length < 644 ? SUTRA_E_TRUNCATED : SUTRA_E_CORRUPT, "manifest");
    }
    uint8_t *longer = calloc(1, 300000);
    REQUIRE(longer != NULL);
    memcpy(longer, sound, bytes);
    static const size_t lengths[] = {789, 790, 836, 197252, 197253, 300000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        REQUIRE(write_whole(&place, "MANIFEST-00000042", longer, lengths[i]));
        check_read(&place, SUTRA_E_CORRUPT, "manifest");
    }
    REQUIRE(write_whole(&place, "MANIFEST-00000042", sound, bytes));
    struct sutra_fault fault;
    CHECK_EQ(read_one(&place, 42, &found, &fault), SUTRA_OK);
    CHECK(equal_manifests(&manifest, &found));
    sutra_manifest_free(&found);
    sutra_manifest_free(&manifest);
    free(longer);
    free(sound);
    remove_place(&place);
}

static void mend(uint8_t *file, size_t bytes)
{
    sutra_store_u32(file + bytes - 4, sutra_crc32c(0, file, bytes - 4));
}

/* Checksums are right, and the contents wrong all the same. */
static void other_manifests_are_refused(void)
{
    struct place place;
    REQUIRE(make_place(&place, false));
    struct sutra_manifest manifest = make_manifest(3);
    REQUIRE(sutra_manifest_write(place.io, place.directory, &manifest) == SUTRA_OK);
    size_t bytes;
    uint8_t *sound = read_whole(&place, "MANIFEST-00000042", &bytes);
    REQUIRE(sound != NULL);
    static const struct {
        size_t at;
        uint64_t value;
        bool wide;
        int status;
        const char *what;
    } changes[] = {
        {SUTRA_MANIFEST_AT_MAGIC, 0, false, SUTRA_E_CORRUPT, "manifest"},
        {SUTRA_MANIFEST_AT_VERSION, 0, false, SUTRA_E_VERSION, "manifest"},
        {SUTRA_MANIFEST_AT_VERSION, 3, false, SUTRA_E_VERSION, "manifest"},
        {SUTRA_MANIFEST_AT_STORE_ID, 0, false, SUTRA_E_CORRUPT, "store id"},
        {SUTRA_MANIFEST_AT_GENERATION, 43, true, SUTRA_E_CORRUPT, "manifest generation"},
        {SUTRA_MANIFEST_AT_FILE_COUNT, 2, false, SUTRA_E_CORRUPT, "manifest"},
        {SUTRA_MANIFEST_AT_FILE_COUNT, 4, false, SUTRA_E_TRUNCATED, "manifest"},
        {SUTRA_MANIFEST_AT_FILE_COUNT, 4097, false, SUTRA_E_CORRUPT, "manifest"},
        {SUTRA_MANIFEST_AT_FILE_COUNT, UINT32_MAX, false, SUTRA_E_CORRUPT, "manifest"},
        {SUTRA_MANIFEST_AT_NEXT_FILE, 9, true, SUTRA_E_CORRUPT, "file number"},
        {SUTRA_MANIFEST_AT_FILES, 3, true, SUTRA_E_CORRUPT, "file number"},
        {SUTRA_MANIFEST_AT_FILES + 48, UINT64_MAX, true, SUTRA_E_CORRUPT, "file number"},
    };
    for (size_t c = 0; c < sizeof changes / sizeof changes[0]; c++) {
        uint8_t file[1024];
        memcpy(file, sound, bytes);
        if (changes[c].wide)
            sutra_store_u64(file + changes[c].at, changes[c].value);
        else
            sutra_store_u32(file + changes[c].at, (uint32_t)changes[c].value);
        mend(file, bytes);
        REQUIRE(write_whole(&place, "MANIFEST-00000042", file, bytes));
        check_read(&place, changes[c].status, changes[c].what);
    }
    /* Sound, but under another name. */
    REQUIRE(write_whole(&place, "MANIFEST-00000043", sound, bytes));
    struct sutra_manifest found;
    struct sutra_fault fault;
    CHECK_EQ(read_one(&place, 43, &found, &fault), SUTRA_E_CORRUPT);
    CHECK(fault.expected == 43 && fault.found == 42);
    sutra_manifest_free(&manifest);
    free(sound);
    remove_place(&place);
}

static void attacks_are_survived(void)
{
    const uint64_t trials = is_emulated() ? 500 : 10000;
    struct place place;
    REQUIRE(make_place(&place, true));
    struct sutra_manifest manifest = make_manifest(4);
    REQUIRE(sutra_manifest_write(place.io, place.directory, &manifest) == SUTRA_OK);
    sutra_manifest_free(&manifest);
    size_t bytes;
    uint8_t *sound = read_whole(&place, "MANIFEST-00000042", &bytes);
    REQUIRE(sound != NULL && bytes == 836);
    uint64_t taken = 0;
    char path[192];
    path_of(&place, "MANIFEST-00000042", path);
    for (uint64_t trial = 0; trial < trials; trial++) {
        struct random random = {.seed = trial};
        uint8_t file[1000] = {0};
        memcpy(file, sound, bytes);
        const uint64_t changes = 1 + random_below(&random, 4);
        for (uint64_t c = 0; c < changes; c++) {
            const uint64_t at = random_below(&random, 2) ? random_below(&random, 832)
                                                         : random_below(&random, 72) / 4 * 4;
            file[at] = (uint8_t)next_random(&random);
        }
        size_t length = bytes;
        if (random_below(&random, 8) == 0)
            length = 644 + 48 * (size_t)random_below(&random, 8);
        if (random_below(&random, 16) == 0)
            length = 4 + (size_t)random_below(&random, sizeof file - 3);
        mend(file, length);
        REQUIRE(sutra_simulated_put(place.simulated, path, file, length) == SUTRA_OK);
        struct sutra_manifest found;
        struct sutra_fault fault;
        const int status = read_one(&place, 42, &found, &fault);
        CHECK(status == SUTRA_OK || status == SUTRA_E_CORRUPT || status == SUTRA_E_TRUNCATED ||
              status == SUTRA_E_VERSION);
        if (status == SUTRA_OK) {
            taken++;
            CHECK_EQ(644 + 48 * (size_t)found.file_count, length);
            for (uint32_t f = 0; f < found.file_count; f++)
                CHECK(found.files[f].number < found.next_file);
        }
        sutra_manifest_free(&found);
    }
    CHECK(taken > trials / 10 && taken < trials);
    free(sound);
    remove_place(&place);
}

/* ---- the identity file */

static void identities_come_back(void)
{
    for (int simulated = 0; simulated < 2; simulated++) {
        struct place place;
        REQUIRE(make_place(&place, simulated));
        struct sutra_store_identity identity = {.created_ns = -5}, found;
        struct sutra_fault fault;
        memcpy(identity.store_id, store_id, 16);
        CHECK_EQ(sutra_identity_read(place.io, place.directory, &found, &fault), ENOENT);
        REQUIRE(sutra_identity_write(place.io, place.directory, &identity) == SUTRA_OK);
        CHECK_EQ(list_place(&place).count, 1);
        REQUIRE(sutra_identity_read(place.io, place.directory, &found, &fault) == SUTRA_OK);
        CHECK(memcmp(found.store_id, store_id, 16) == 0);
        CHECK_EQ(found.created_ns, -5);
        CHECK(!found.read_only);
        remove_place(&place);
    }
}

static void damaged_identities_are_refused(void)
{
    struct place place;
    REQUIRE(make_place(&place, true));
    const struct sutra_store_identity identity = {.created_ns = 5};
    struct sutra_store_identity found;
    struct sutra_fault fault;
    REQUIRE(sutra_identity_write(place.io, place.directory, &identity) == SUTRA_OK);
    size_t bytes;
    uint8_t *sound = read_whole(&place, "SUTRA", &bytes);
    REQUIRE(sound != NULL && bytes == 128);
    for (size_t at = 0; at < bytes; at++) {
        REQUIRE(flip(&place, "SUTRA", at, (uint8_t)(1u << at % 8)));
        CHECK_EQ(sutra_identity_read(place.io, place.directory, &found, &fault),
                 at < 8 ? SUTRA_E_NOT_STORE : SUTRA_E_CORRUPT);
        CHECK(strcmp(fault.what, "identity file") == 0);
        REQUIRE(flip(&place, "SUTRA", at, (uint8_t)(1u << at % 8)));
    }
    for (size_t length = 0; length < bytes; length++) {
        REQUIRE(write_whole(&place, "SUTRA", sound, length));
        CHECK_EQ(sutra_identity_read(place.io, place.directory, &found, &fault), SUTRA_E_TRUNCATED);
    }
    static const struct {
        size_t at;
        uint32_t value;
        int status;
        bool read_only;
    } changes[] = {
        {SUTRA_IDENTITY_AT_VERSION, 2, SUTRA_E_VERSION, false},
        {SUTRA_IDENTITY_AT_BYTE_ORDER, 0x04030201, SUTRA_E_CORRUPT, false},
        {SUTRA_IDENTITY_AT_INCOMPAT, 1, SUTRA_E_VERSION, false},
        {SUTRA_IDENTITY_AT_INCOMPAT + 4, 0x80000000, SUTRA_E_VERSION, false},
        {SUTRA_IDENTITY_AT_COMPAT, 1, SUTRA_OK, false},
        {SUTRA_IDENTITY_AT_RO_COMPAT, 1, SUTRA_OK, true},
        {SUTRA_IDENTITY_AT_RO_COMPAT + 4, 0x80000000, SUTRA_OK, true},
    };
    for (size_t c = 0; c < sizeof changes / sizeof changes[0]; c++) {
        uint8_t file[129] = {0};
        memcpy(file, sound, bytes);
        sutra_store_u32(file + changes[c].at, changes[c].value);
        mend(file, bytes);
        REQUIRE(write_whole(&place, "SUTRA", file, bytes));
        CHECK_EQ(sutra_identity_read(place.io, place.directory, &found, &fault), changes[c].status);
        CHECK_EQ(found.read_only, changes[c].read_only);
        CHECK_EQ(sutra_identity_read(place.io, place.directory, &found, NULL), changes[c].status);
        REQUIRE(write_whole(&place, "SUTRA", file, bytes + 1));
        CHECK_EQ(sutra_identity_read(place.io, place.directory, &found, &fault), SUTRA_E_CORRUPT);
    }
    free(sound);
    remove_place(&place);
}

/* ---- interruptions */

static void interrupted_writers_leave_what_there_was(void)
{
    static const int errors[] = {EIO, ENOSPC, 0 /* a short transfer */};
    for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
        struct place place;
        REQUIRE(make_place(&place, true));
        struct sutra_manifest older = make_manifest(2), newer = make_manifest(3), found;
        const struct sutra_store_identity identity = {.created_ns = 1};
        older.generation = 41;
        REQUIRE(sutra_manifest_write(place.io, place.directory, &older) == SUTRA_OK);
        int failures = 0;
        for (uint64_t k = 1;; k++) {
            struct sutra_faulty faulty;
            sutra_faulty_init(&faulty, place.io);
            faulty.error = errors[e];
            faulty.short_transfer = errors[e] == 0;
            faulty.fail_at = k;
            const int status = sutra_manifest_write(&faulty.io, place.directory, &newer);
            failures += status != SUTRA_OK;
            CHECK_EQ(list_place(&place).count, status == SUTRA_OK ? 2 : 1);
            struct sutra_fault fault;
            CHECK_EQ(read_one(&place, 42, &found, &fault), status == SUTRA_OK ? SUTRA_OK : ENOENT);
            if (status == SUTRA_OK) {
                CHECK(equal_manifests(&newer, &found));
                CHECK_EQ(place.io->unlink(place.io->context, "/db/MANIFEST-00000042"), SUTRA_OK);
            }
            sutra_manifest_free(&found);

            const uint64_t before = faulty.calls;
            faulty.calls = 0;
            const int written = sutra_identity_write(&faulty.io, place.directory, &identity);
            CHECK_EQ(has_file(&place, "SUTRA"), written == SUTRA_OK);
            CHECK(!has_file(&place, "SUTRA.tmp"));
            (void)place.io->unlink(place.io->context, "/db/SUTRA");
            if (before < k)
                break;
        }
        CHECK_EQ(failures, errors[e] == 0 ? 0 : 5); /* open, write, sync, rename, sync again */
        for (uint64_t k = 1;; k++) {
            struct sutra_faulty faulty;
            sutra_faulty_init(&faulty, place.io);
            faulty.fail_at = k;
            struct sutra_fault fault;
            const int status =
                sutra_manifest_read(&faulty.io, place.directory, 41, store_id, &found, &fault);
            CHECK_EQ(status, faulty.calls >= k ? EIO : SUTRA_OK);
            sutra_manifest_free(&found);
            if (faulty.calls < k)
                break;
        }
        sutra_manifest_free(&older);
        sutra_manifest_free(&newer);
        remove_place(&place);
    }
}

static void leftovers_are_replaced(void)
{
    struct place place;
    REQUIRE(make_place(&place, false));
    REQUIRE(write_whole(&place, "MANIFEST-00000042.tmp", "left behind", 11));
    REQUIRE(write_whole(&place, "SUTRA.tmp", "left behind", 11));
    struct sutra_manifest manifest = make_manifest(2), found;
    const struct sutra_store_identity identity = {.created_ns = 1};
    struct sutra_fault fault;
    CHECK_EQ(sutra_manifest_write(place.io, place.directory, &manifest), SUTRA_OK);
    CHECK_EQ(sutra_identity_write(place.io, place.directory, &identity), SUTRA_OK);
    CHECK_EQ(list_place(&place).count, 2);
    CHECK_EQ(read_one(&place, 42, &found, &fault), SUTRA_OK);
    CHECK(equal_manifests(&manifest, &found));
    sutra_manifest_free(&found);
    sutra_manifest_free(&manifest);
    remove_place(&place);
}

/* After a power cut at any moment a manifest is not there or it is right, and it is there once
 * writing it has returned. */
static void a_written_manifest_is_the_stores(void)
{
    struct place place;
    REQUIRE(make_place(&place, true));
    struct sutra_simulated *fs = place.simulated;
    struct sutra_manifest manifest = make_manifest(3);
    REQUIRE(place.io->sync_directory(place.io->context, "/") == SUTRA_OK);
    REQUIRE(sutra_simulated_record(fs) == SUTRA_OK);
    const uint64_t start = sutra_simulated_operations(fs);
    REQUIRE(sutra_manifest_write(place.io, place.directory, &manifest) == SUTRA_OK);
    const uint64_t end = sutra_simulated_operations(fs);
    unsigned present = 0, absent = 0;
    for (uint64_t operation = start; operation <= end; operation++) {
        const size_t flying = sutra_simulated_in_flight(fs, operation);
        for (int policy = SUTRA_CRASH_LOSE_ALL; policy <= SUTRA_CRASH_SUBSET; policy++) {
            const size_t choices = policy <= SUTRA_CRASH_KEEP_ALL ? 1
                                   : policy == SUTRA_CRASH_SUBSET ? 8
                                                                  : flying;
            for (size_t choice = 0; choice < choices; choice++) {
                struct place after = place;
                REQUIRE(sutra_simulated_crash(fs, operation, policy, choice, choice,
                                              &after.simulated) == SUTRA_OK);
                after.io = sutra_simulated_io(after.simulated);
                struct sutra_manifest found;
                struct sutra_fault fault;
                const int status = read_one(&after, 42, &found, &fault);
                CHECK(status == SUTRA_OK || (status == ENOENT && operation < end));
                if (status == SUTRA_OK)
                    CHECK(equal_manifests(&manifest, &found));
                present += status == SUTRA_OK;
                absent += status == ENOENT;
                sutra_manifest_free(&found);
                sutra_simulated_free(after.simulated);
            }
        }
    }
    CHECK(present > 5 && absent > 5);
    sutra_manifest_free(&manifest);
    remove_place(&place);
}

CHECK_MAIN(CASE(names_have_one_form), CASE(manifests_come_back),
           CASE(wrong_manifests_are_not_written), CASE(the_bytes_are_as_documented),
           CASE(every_bit_of_a_manifest_counts), CASE(other_manifests_are_refused),
           CASE(attacks_are_survived), CASE(identities_come_back),
           CASE(damaged_identities_are_refused), CASE(interrupted_writers_leave_what_there_was),
           CASE(leftovers_are_replaced), CASE(a_written_manifest_is_the_stores))
