/* A simulated disk with a directory of files from an input, or to take one from.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_FUZZ_DISK_H
#define SUTRA_TESTS_FUZZ_DISK_H

#include "io/simulated.h"

#define FUZZ_DIRECTORY "/db"

struct disk {
    struct sutra_simulated *fs;
    const struct sutra_io *io;
};

static inline struct disk disk_new(void)
{
    struct disk disk;
    FUZZ_REQUIRE(sutra_simulated_new(1, &disk.fs) == SUTRA_OK);
    disk.io = sutra_simulated_io(disk.fs);
    FUZZ_REQUIRE(disk.io->make_directory(disk.io->context, FUZZ_DIRECTORY) == SUTRA_OK);
    return disk;
}

static inline void disk_free(struct disk *disk)
{
    sutra_simulated_free(disk->fs);
}

static inline void disk_put(struct disk *disk, const char *name, const struct fuzz_file *file)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/%.60s", FUZZ_DIRECTORY, name);
    if (file->present && name[0] != '\0')
        FUZZ_REQUIRE(sutra_simulated_put(disk->fs, path, file->data, file->bytes) == SUTRA_OK);
}

/* The file as it is, or nothing. Zeros at its end are cut to `zeros`. */
static inline void disk_take(struct disk *disk, const char *name, struct fuzz_input *input,
                             size_t slot, uint32_t number, size_t zeros)
{
    char path[96];
    size_t bytes;
    (void)snprintf(path, sizeof path, "%s/%.60s", FUZZ_DIRECTORY, name);
    const uint8_t *data = sutra_simulated_contents(disk->fs, path, &bytes);
    if (data == NULL)
        return;
    size_t used = bytes;
    while (used > 0 && data[used - 1] == 0)
        used--;
    used = (used + 7) / 8 * 8 + zeros;
    bytes = used < bytes ? used : bytes;
    FUZZ_REQUIRE(bytes <= FUZZ_FILE_MOST);
    fuzz_set(input, slot, number, data, bytes);
}

#endif
