/* A store's directory: names, what belongs to it, and the files that are not part of the data.
 *
 *   SUTRA              what this is; written last when a store is made
 *   LOCK               empty; its lock is the writer's
 *   HOLDER             who has it, in words; never trusted
 *   STATE              what other processes may see (state_file.h); never trusted
 *   MANIFEST-00000042  the newest two
 *   00000107.wal       log files
 *   00000031.seg       segments
 *   *.tmp              unfinished; removed by the next writer
 *
 * Threading: none. Errors: errno values, SUTRA_E_NO_MEMORY.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_STORE_DIRECTORY_H
#define SUTRA_STORE_DIRECTORY_H

#include "../io/table.h"

#define SUTRA_IDENTITY_NAME "SUTRA"
#define SUTRA_REMOVING_NAME "SUTRA.removed.tmp"
#define SUTRA_LOCK_NAME "LOCK"
#define SUTRA_HOLDER_NAME "HOLDER"
#define SUTRA_STATE_NAME "STATE"

struct sutra_directory {
    bool has_identity;
    bool being_removed; /* a store here was being removed when the process died */
    size_t foreign;     /* names that are not a store's */
    uint64_t *manifests, *logs, *segments; /* ascending */
    size_t manifest_count, log_count, segment_count;
};

int sutra_directory_open(const struct sutra_io *io, const char *directory, const char *name,
                         int how, int *fd_out);
int sutra_directory_unlink(const struct sutra_io *io, const char *directory, const char *name);
int sutra_directory_sync_parent(const struct sutra_io *io, const char *path);

int sutra_directory_read(const struct sutra_io *io, const char *path, struct sutra_directory *out);
void sutra_directory_free(struct sutra_directory *directory);
/* The largest number that a log or segment has. */
uint64_t sutra_directory_last_number(const struct sutra_directory *directory);

int sutra_directory_remove_temporary(const struct sutra_io *io, const char *path);
/* Remove a store's files, all but LOCK and what is not a store's. */
int sutra_directory_remove_store(const struct sutra_io *io, const char *path);

#endif
