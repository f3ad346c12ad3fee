/* The small files of a store: identity, manifest, STATE and HOLDER. What is read can be written,
 * and reads the same.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fuzz.h"

#include "disk.h"
#include "mend.h"
#include "store/directory.h"
#include "store/store.h"

enum { IDENTITY, MANIFEST, STATE, HOLDER, GENERATION = 42 };

static void emit_small(uint32_t files)
{
    struct disk disk = disk_new();
    struct fuzz_input input = {0};
    struct sutra_store_identity identity = {.created_ns = 123456789};
    struct sutra_manifest manifest = {.generation = GENERATION,
                                      .checkpoint_lsn = 100,
                                      .next_file = 1000,
                                      .log_file = 31,
                                      .graph_lsn = 90,
                                      .file_count = files};
    uint8_t state[SUTRA_STATE_FILE_BYTES] = {0};
    static const char holder[] = "process 17, since noon";
    memcpy(identity.store_id, fuzz_store_id, 16);
    memcpy(manifest.store_id, fuzz_store_id, 16);
    manifest.files = fuzz_alloc(files * sizeof *manifest.files);
    for (uint32_t j = 0; j < files; j++) {
        manifest.files[j] = (struct sutra_manifest_file){.number = 3 + 2 * j, .bytes = 4100 + j};
        memset(manifest.files[j].identity, (int)j + 1, SUTRA_IDENTITY_BYTES);
    }
    for (uint64_t w = 0; w < SUTRA_MANIFEST_STATE_WORDS; w += 3)
        manifest.state[w] = w * w;
    FUZZ_REQUIRE(sutra_identity_write(disk.io, FUZZ_DIRECTORY, &identity) == SUTRA_OK);
    FUZZ_REQUIRE(sutra_manifest_write(disk.io, FUZZ_DIRECTORY, &manifest) == SUTRA_OK);
    disk_take(&disk, SUTRA_IDENTITY_NAME, &input, IDENTITY, 0, SIZE_MAX / 2);
    disk_take(&disk, "MANIFEST-00000042", &input, MANIFEST, GENERATION, SIZE_MAX / 2);
    sutra_state_file_fill(state, 77, 70);
    fuzz_set(&input, STATE, 0, state, sizeof state);
    fuzz_set(&input, HOLDER, 0, holder, sizeof holder - 1);
    fuzz_emit(&input);
    sutra_manifest_free(&manifest);
    disk_free(&disk);
}

static void fuzz_seeds(void)
{
    emit_small(0);
    emit_small(1);
    emit_small(5);
}

static bool is_refusal(int status)
{
    return status == SUTRA_E_CORRUPT || status == SUTRA_E_TRUNCATED || status == SUTRA_E_VERSION ||
           status == SUTRA_E_NOT_STORE || status == ENOENT;
}

static void read_identity(struct disk *disk)
{
    struct sutra_store_identity identity, again;
    struct sutra_fault fault;
    const int status = sutra_identity_read(disk->io, FUZZ_DIRECTORY, &identity, &fault);
    if (status != SUTRA_OK) {
        FUZZ_REQUIRE(is_refusal(status));
        return;
    }
    FUZZ_REQUIRE(sutra_identity_write(disk->io, FUZZ_DIRECTORY, &identity) == SUTRA_OK);
    FUZZ_REQUIRE(sutra_identity_read(disk->io, FUZZ_DIRECTORY, &again, &fault) == SUTRA_OK);
    FUZZ_REQUIRE(memcmp(again.store_id, identity.store_id, 16) == 0 &&
                 again.created_ns == identity.created_ns);
}

static void read_manifest(struct disk *disk)
{
    struct sutra_manifest manifest = {0}, again = {0};
    struct sutra_fault fault;
    int status =
        sutra_manifest_read(disk->io, FUZZ_DIRECTORY, GENERATION, fuzz_store_id, &manifest, &fault);
    if (status != SUTRA_OK) {
        FUZZ_REQUIRE(is_refusal(status));
        return;
    }
    FUZZ_REQUIRE(manifest.file_count <= SUTRA_MANIFEST_FILES_MAX &&
                 manifest.generation == GENERATION);
    for (uint32_t j = 0; j < manifest.file_count; j++)
        FUZZ_REQUIRE(manifest.files[j].number < manifest.next_file);
    status = sutra_manifest_write(disk->io, FUZZ_DIRECTORY, &manifest);
    FUZZ_REQUIRE(status == SUTRA_OK);
    FUZZ_REQUIRE(sutra_manifest_read(disk->io, FUZZ_DIRECTORY, GENERATION, fuzz_store_id, &again,
                                     &fault) == SUTRA_OK);
    FUZZ_REQUIRE(again.file_count == manifest.file_count &&
                 again.checkpoint_lsn == manifest.checkpoint_lsn &&
                 again.next_file == manifest.next_file && again.log_file == manifest.log_file &&
                 memcmp(again.state, manifest.state, sizeof again.state) == 0);
    for (uint32_t j = 0; j < manifest.file_count; j++)
        FUZZ_REQUIRE(memcmp(&again.files[j], &manifest.files[j], sizeof again.files[j]) == 0);
    sutra_manifest_free(&again);
    sutra_manifest_free(&manifest);
}

static void fuzz_run(struct fuzz_input *input)
{
    struct disk disk = disk_new();
    struct sutra_directory directory;
    char text[64];
    uint64_t visible = 0;
    if (!(input->options[0] & 1)) {
        mend_identity(&input->files[IDENTITY]);
        mend_manifest(&input->files[MANIFEST]);
        mend_state_file(&input->files[STATE]);
    }
    disk_put(&disk, SUTRA_IDENTITY_NAME, &input->files[IDENTITY]);
    disk_put(&disk, "MANIFEST-00000042", &input->files[MANIFEST]);
    disk_put(&disk, SUTRA_HOLDER_NAME, &input->files[HOLDER]);
    read_identity(&disk);
    read_manifest(&disk);
    if (input->files[STATE].bytes >= SUTRA_STATE_FILE_BYTES)
        (void)sutra_state_file_read(input->files[STATE].data, &visible);
    for (size_t room = 1; room <= sizeof text; room *= 8) {
        memset(text, 'x', sizeof text);
        const int status = sutra_store_holder(disk.io, FUZZ_DIRECTORY, text, room);
        FUZZ_REQUIRE(status == SUTRA_OK || status == ENOENT);
        FUZZ_REQUIRE(memchr(text, '\0', room) != NULL);
    }
    FUZZ_REQUIRE(sutra_directory_read(disk.io, FUZZ_DIRECTORY, &directory) == SUTRA_OK);
    sutra_directory_free(&directory);
    disk_free(&disk);
}
