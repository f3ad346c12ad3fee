/* Manifests and the identity file; the layout is in FORMAT.md.
 *
 * Both are small: made whole in memory, written beside their name, synced, renamed; and read whole,
 * after their size has been found to be one that such a file can have.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "file_names.h"
#include "manifest.h"
#include "manifest_format.h"
#include "segment_blocks.h"
#include "../base/bytes.h"
#include "../base/crc32c.h"

_Static_assert(SUTRA_MANIFEST_AT_STATE + SUTRA_MANIFEST_STATE_WORDS * sizeof(uint64_t) ==
                   SUTRA_MANIFEST_AT_FILES,
               "the files follow the state");

static const char identity_name[] = "SUTRA";

/* ---- whole files */

/* "directory/name" has these bytes and they are on the medium, under that name at the latest when
 * the directory has been synced; or nothing has changed. */
static int replace_file(const struct sutra_io *io, const char *directory, const char *name,
                        const void *data, size_t bytes)
{
    char *path = NULL, *temporary = NULL;
    int fd = -1;
    int status = sutra_path_in(directory, name, "", &path);
    if (status == SUTRA_OK)
        status = sutra_path_in(directory, name, ".tmp", &temporary);
    if (status == SUTRA_OK)
        status = sutra_open_temporary(io, temporary, &fd);
    if (status == SUTRA_OK) {
        const struct sutra_span span = {.data = data, .bytes = bytes};
        status = sutra_io_write_all(io, fd, 0, &span, 1);
        if (status == SUTRA_OK)
            status = io->sync(io->context, fd);
        io->close(io->context, fd);
        if (status == SUTRA_OK)
            status = io->rename(io->context, temporary, path);
        if (status != SUTRA_OK)
            (void)io->unlink(io->context, temporary);
    }
    free(temporary);
    free(path);
    return status;
}

/* All of a file of least to most bytes; malloc'd. */
static int read_file(const struct sutra_io *io, const char *directory, const char *name,
                     size_t least, size_t most, const char *what, uint8_t **data_out,
                     size_t *bytes_out, struct sutra_fault *fault)
{
    *data_out = NULL;
    char *path;
    int status = sutra_path_in(directory, name, "", &path);
    if (status != SUTRA_OK)
        return status;
    int fd;
    status = io->open(io->context, path, SUTRA_OPEN_READ, &fd);
    free(path);
    if (status != SUTRA_OK)
        return status;
    uint64_t bytes;
    uint8_t *data = NULL;
    status = io->size(io->context, fd, &bytes);
    if (status == SUTRA_OK && bytes < least)
        status = sutra_segment_fault(fault, SUTRA_E_TRUNCATED, 0, what, least, bytes);
    if (status == SUTRA_OK && bytes > most)
        status = sutra_segment_fault(fault, SUTRA_E_CORRUPT, 0, what, most, bytes);
    if (status == SUTRA_OK) {
        data = malloc((size_t)bytes);
        status = data != NULL ? SUTRA_OK : SUTRA_E_NO_MEMORY;
    }
    if (status == SUTRA_OK) {
        status = sutra_io_read_all(io, fd, 0, data, (size_t)bytes);
        if (status != SUTRA_OK)
            (void)sutra_segment_fault(fault, status, 0, what, bytes, 0);
    }
    io->close(io->context, fd);
    if (status != SUTRA_OK) {
        free(data);
        return status;
    }
    *data_out = data;
    *bytes_out = (size_t)bytes;
    return SUTRA_OK;
}

/* ---- identity */

int sutra_identity_write(const struct sutra_io *io, const char *directory,
                         const struct sutra_store_identity *identity)
{
    uint8_t file[SUTRA_IDENTITY_FILE_BYTES] = {0};
    memcpy(file + SUTRA_IDENTITY_AT_MAGIC, SUTRA_STORE_MAGIC, 8);
    sutra_store_u32(file + SUTRA_IDENTITY_AT_VERSION, SUTRA_STORE_VERSION);
    sutra_store_u32(file + SUTRA_IDENTITY_AT_BYTE_ORDER, SUTRA_STORE_BYTE_ORDER);
    memcpy(file + SUTRA_IDENTITY_AT_STORE_ID, identity->store_id, 16);
    sutra_store_u64(file + SUTRA_IDENTITY_AT_CREATED, (uint64_t)identity->created_ns);
    sutra_store_u32(file + SUTRA_IDENTITY_AT_CRC, sutra_crc32c(0, file, SUTRA_IDENTITY_AT_CRC));
    return replace_file(io, directory, identity_name, file, sizeof file);
}

static int parse_identity(const uint8_t *file, struct sutra_store_identity *identity,
                          struct sutra_fault *fault)
{
    static const char what[] = "identity file";
    if (memcmp(file + SUTRA_IDENTITY_AT_MAGIC, SUTRA_STORE_MAGIC, 8) != 0)
        return sutra_segment_fault(fault, SUTRA_E_NOT_STORE, SUTRA_IDENTITY_AT_MAGIC, what, 0, 0);
    const uint32_t stored = sutra_load_u32(file + SUTRA_IDENTITY_AT_CRC);
    const uint32_t actual = sutra_crc32c(0, file, SUTRA_IDENTITY_AT_CRC);
    if (stored != actual)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, SUTRA_IDENTITY_AT_CRC, what, stored,
                                   actual);
    const uint32_t version = sutra_load_u32(file + SUTRA_IDENTITY_AT_VERSION);
    if (version != SUTRA_STORE_VERSION)
        return sutra_segment_fault(fault, SUTRA_E_VERSION, SUTRA_IDENTITY_AT_VERSION, what,
                                   SUTRA_STORE_VERSION, version);
    const uint32_t order = sutra_load_u32(file + SUTRA_IDENTITY_AT_BYTE_ORDER);
    if (order != SUTRA_STORE_BYTE_ORDER)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, SUTRA_IDENTITY_AT_BYTE_ORDER, what,
                                   SUTRA_STORE_BYTE_ORDER, order);
    const uint64_t incompatible = sutra_load_u64(file + SUTRA_IDENTITY_AT_INCOMPAT);
    if ((incompatible & ~(uint64_t)SUTRA_FEATURES_INCOMPAT) != 0)
        return sutra_segment_fault(fault, SUTRA_E_VERSION, SUTRA_IDENTITY_AT_INCOMPAT, what,
                                   SUTRA_FEATURES_INCOMPAT, incompatible);
    const uint64_t readable = sutra_load_u64(file + SUTRA_IDENTITY_AT_RO_COMPAT);
    identity->read_only = (readable & ~(uint64_t)SUTRA_FEATURES_RO_COMPAT) != 0;
    memcpy(identity->store_id, file + SUTRA_IDENTITY_AT_STORE_ID, 16);
    identity->created_ns = (int64_t)sutra_load_u64(file + SUTRA_IDENTITY_AT_CREATED);
    return SUTRA_OK;
}

int sutra_identity_read(const struct sutra_io *io, const char *directory,
                        struct sutra_store_identity *identity_out, struct sutra_fault *fault_out)
{
    memset(identity_out, 0, sizeof *identity_out);
    if (fault_out != NULL)
        *fault_out = SUTRA_FAULT_NONE;
    uint8_t *file;
    size_t bytes;
    int status = read_file(io, directory, identity_name, SUTRA_IDENTITY_FILE_BYTES,
                           SUTRA_IDENTITY_FILE_BYTES, "identity file", &file, &bytes, fault_out);
    if (status == SUTRA_OK)
        status = parse_identity(file, identity_out, fault_out);
    free(file);
    return status;
}

/* ---- manifest */

void sutra_manifest_name(uint64_t generation, char *name_out)
{
    sutra_numbered_name("MANIFEST-", generation, "", name_out);
}

bool sutra_manifest_number(const char *name, uint64_t *generation_out)
{
    return sutra_numbered_parse(name, "MANIFEST-", "", generation_out);
}

static size_t manifest_bytes(uint32_t file_count)
{
    return SUTRA_MANIFEST_AT_FILES + (size_t)file_count * SUTRA_MANIFEST_FILE_SIZE +
           SUTRA_MANIFEST_CRC_BYTES;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* No file twice, and none whose number has not been given out. *wrong_out: a number that is wrong.
 */
static int check_files(const struct sutra_manifest *manifest, uint64_t *wrong_out)
{
    *wrong_out = 0;
    if (manifest->file_count == 0)
        return SUTRA_OK;
    uint64_t *numbers = malloc(manifest->file_count * sizeof *numbers);
    if (numbers == NULL)
        return SUTRA_E_NO_MEMORY;
    for (uint32_t f = 0; f < manifest->file_count; f++)
        numbers[f] = manifest->files[f].number;
    qsort(numbers, manifest->file_count, sizeof *numbers, compare_numbers);
    bool sound = true;
    for (uint32_t f = 0; f < manifest->file_count && sound; f++) {
        *wrong_out = numbers[f];
        sound = numbers[f] < manifest->next_file && (f == 0 || numbers[f] != numbers[f - 1]);
    }
    free(numbers);
    return sound ? SUTRA_OK : SUTRA_E_CORRUPT;
}

static uint32_t version_of(const uint64_t *state)
{
    for (size_t w = SUTRA_MANIFEST_COLUMN_WORD; w < SUTRA_MANIFEST_STATE_WORDS; w++) {
        if (state[w])
            return SUTRA_MANIFEST_VERSION_COLUMNS;
    }
    return SUTRA_STORE_VERSION;
}

static void fill_manifest(uint8_t *file, size_t bytes, const struct sutra_manifest *manifest)
{
    memcpy(file + SUTRA_MANIFEST_AT_MAGIC, SUTRA_MANIFEST_MAGIC, 8);
    sutra_store_u32(file + SUTRA_MANIFEST_AT_VERSION, version_of(manifest->state));
    sutra_store_u32(file + SUTRA_MANIFEST_AT_FILE_COUNT, manifest->file_count);
    memcpy(file + SUTRA_MANIFEST_AT_STORE_ID, manifest->store_id, 16);
    sutra_store_u64(file + SUTRA_MANIFEST_AT_GENERATION, manifest->generation);
    sutra_store_u64(file + SUTRA_MANIFEST_AT_CHECKPOINT_LSN, manifest->checkpoint_lsn);
    sutra_store_u64(file + SUTRA_MANIFEST_AT_NEXT_FILE, manifest->next_file);
    sutra_store_u64(file + SUTRA_MANIFEST_AT_LOG_FILE, manifest->log_file);
    sutra_store_u64(file + SUTRA_MANIFEST_AT_GRAPH_LSN, manifest->graph_lsn);
    memcpy(file + SUTRA_MANIFEST_AT_STATE, manifest->state, sizeof manifest->state);
    for (uint32_t f = 0; f < manifest->file_count; f++) {
        const struct sutra_manifest_file *from = &manifest->files[f];
        uint8_t *entry = file + SUTRA_MANIFEST_AT_FILES + (size_t)f * SUTRA_MANIFEST_FILE_SIZE;
        sutra_store_u64(entry + SUTRA_MANIFEST_FILE_NUMBER, from->number);
        sutra_store_u64(entry + SUTRA_MANIFEST_FILE_BYTES, from->bytes);
        memcpy(entry + SUTRA_MANIFEST_FILE_IDENTITY, from->identity, SUTRA_IDENTITY_BYTES);
    }
    const size_t covered = bytes - SUTRA_MANIFEST_CRC_BYTES;
    sutra_store_u32(file + covered, sutra_crc32c(0, file, covered));
}

int sutra_manifest_write(const struct sutra_io *io, const char *directory,
                         const struct sutra_manifest *manifest)
{
    if (manifest->file_count > SUTRA_MANIFEST_FILES_MAX)
        return SUTRA_E_CAPACITY;
    uint64_t wrong;
    int status = check_files(manifest, &wrong);
    if (status != SUTRA_OK)
        return status == SUTRA_E_CORRUPT ? SUTRA_E_ARGUMENT : status;
    const size_t bytes = manifest_bytes(manifest->file_count);
    uint8_t *file = calloc(1, bytes);
    if (file == NULL)
        return SUTRA_E_NO_MEMORY;
    fill_manifest(file, bytes, manifest);
    char name[SUTRA_MANIFEST_NAME_BYTES];
    sutra_manifest_name(manifest->generation, name);
    status = replace_file(io, directory, name, file, bytes);
    free(file);
    if (status != SUTRA_OK)
        return status;
    status = io->sync_directory(io->context, directory);
    if (status != SUTRA_OK) {
        /* It may be the store's after a crash, or not. Until then it is not. */
        char *path;
        if (sutra_path_in(directory, name, "", &path) == SUTRA_OK)
            (void)io->unlink(io->context, path);
        free(path);
    }
    return status;
}

static int parse_manifest(const uint8_t *file, size_t bytes, uint64_t generation,
                          const uint8_t store_id[16], struct sutra_manifest *manifest,
                          struct sutra_fault *fault)
{
    static const char what[] = "manifest";
    if (memcmp(file + SUTRA_MANIFEST_AT_MAGIC, SUTRA_MANIFEST_MAGIC, 8) != 0)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, SUTRA_MANIFEST_AT_MAGIC, what, 0, 0);
    const size_t covered = bytes - SUTRA_MANIFEST_CRC_BYTES;
    const uint32_t stored = sutra_load_u32(file + covered);
    const uint32_t actual = sutra_crc32c(0, file, covered);
    if (stored != actual)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, covered, what, stored, actual);
    const uint32_t version = sutra_load_u32(file + SUTRA_MANIFEST_AT_VERSION);
    if (version != SUTRA_STORE_VERSION && version != SUTRA_MANIFEST_VERSION_COLUMNS)
        return sutra_segment_fault(fault, SUTRA_E_VERSION, SUTRA_MANIFEST_AT_VERSION, what,
                                   SUTRA_MANIFEST_VERSION_COLUMNS, version);
    if (memcmp(file + SUTRA_MANIFEST_AT_STORE_ID, store_id, 16) != 0)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, SUTRA_MANIFEST_AT_STORE_ID, "store id",
                                   0, 0);
    manifest->generation = sutra_load_u64(file + SUTRA_MANIFEST_AT_GENERATION);
    if (manifest->generation != generation)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, SUTRA_MANIFEST_AT_GENERATION,
                                   "manifest generation", generation, manifest->generation);
    const uint32_t count = sutra_load_u32(file + SUTRA_MANIFEST_AT_FILE_COUNT);
    if (count > SUTRA_MANIFEST_FILES_MAX || manifest_bytes(count) != bytes)
        return sutra_segment_fault(
            fault,
            count <= SUTRA_MANIFEST_FILES_MAX && manifest_bytes(count) > bytes ? SUTRA_E_TRUNCATED
                                                                               : SUTRA_E_CORRUPT,
            SUTRA_MANIFEST_AT_FILE_COUNT, what, manifest_bytes(count), bytes);
    memcpy(manifest->store_id, store_id, 16);
    manifest->checkpoint_lsn = sutra_load_u64(file + SUTRA_MANIFEST_AT_CHECKPOINT_LSN);
    if (manifest->checkpoint_lsn > INT64_MAX)
        return sutra_segment_fault(fault, SUTRA_E_CORRUPT, SUTRA_MANIFEST_AT_CHECKPOINT_LSN,
                                   "checkpoint LSN", INT64_MAX, manifest->checkpoint_lsn);
    manifest->next_file = sutra_load_u64(file + SUTRA_MANIFEST_AT_NEXT_FILE);
    manifest->log_file = sutra_load_u64(file + SUTRA_MANIFEST_AT_LOG_FILE);
    manifest->graph_lsn = sutra_load_u64(file + SUTRA_MANIFEST_AT_GRAPH_LSN);
    memcpy(manifest->state, file + SUTRA_MANIFEST_AT_STATE, sizeof manifest->state);
    manifest->files = calloc(count > 0 ? count : 1, sizeof *manifest->files);
    if (manifest->files == NULL)
        return SUTRA_E_NO_MEMORY;
    manifest->file_count = count;
    for (uint32_t f = 0; f < count; f++) {
        const uint8_t *entry =
            file + SUTRA_MANIFEST_AT_FILES + (size_t)f * SUTRA_MANIFEST_FILE_SIZE;
        struct sutra_manifest_file *to = &manifest->files[f];
        to->number = sutra_load_u64(entry + SUTRA_MANIFEST_FILE_NUMBER);
        to->bytes = sutra_load_u64(entry + SUTRA_MANIFEST_FILE_BYTES);
        memcpy(to->identity, entry + SUTRA_MANIFEST_FILE_IDENTITY, SUTRA_IDENTITY_BYTES);
    }
    uint64_t wrong;
    const int status = check_files(manifest, &wrong);
    if (status == SUTRA_E_CORRUPT)
        return sutra_segment_fault(fault, status, SUTRA_MANIFEST_AT_FILES, "file number",
                                   manifest->next_file, wrong);
    return status;
}

int sutra_manifest_read(const struct sutra_io *io, const char *directory, uint64_t generation,
                        const uint8_t store_id[16], struct sutra_manifest *manifest_out,
                        struct sutra_fault *fault_out)
{
    memset(manifest_out, 0, sizeof *manifest_out);
    if (fault_out != NULL)
        *fault_out = SUTRA_FAULT_NONE;
    char name[SUTRA_MANIFEST_NAME_BYTES];
    sutra_manifest_name(generation, name);
    uint8_t *file;
    size_t bytes;
    int status =
        read_file(io, directory, name, manifest_bytes(0), manifest_bytes(SUTRA_MANIFEST_FILES_MAX),
                  "manifest", &file, &bytes, fault_out);
    if (status == SUTRA_OK)
        status = parse_manifest(file, bytes, generation, store_id, manifest_out, fault_out);
    free(file);
    if (status != SUTRA_OK)
        sutra_manifest_free(manifest_out);
    return status;
}

void sutra_manifest_free(struct sutra_manifest *manifest)
{
    free(manifest->files);
    memset(manifest, 0, sizeof *manifest);
}
