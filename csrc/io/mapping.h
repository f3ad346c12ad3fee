/* Mapping files into memory, with hints.
 *
 * A mapping is either shared and read-only, or private (copy on write: changes stay in this
 * process and never reach the file). The file may be closed once mapped. Truncating a mapped
 * file makes later reads of the lost pages a SIGBUS: nothing here installs a signal handler;
 * files that sutra writes are replaced by rename, never truncated.
 *
 * Ownership: _open/_close pair. Threading: hints may be given from any thread; close when no
 * reader is left. Errors: errno values from the system; SUTRA_E_TRUNCATED when the file is
 * shorter than offset + bytes; SUTRA_E_ARGUMENT for an offset not aligned to the page size.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_IO_MAPPING_H
#define SUTRA_IO_MAPPING_H

#include "../base/config.h"
#include "../base/memory.h"

enum sutra_map_mode { SUTRA_MAP_SHARED = 0, SUTRA_MAP_PRIVATE = 1 };

enum sutra_map_hint {
    SUTRA_HINT_SEQUENTIAL = 0,
    SUTRA_HINT_RANDOM,
    SUTRA_HINT_WILLNEED,
    SUTRA_HINT_DONTNEED,
    SUTRA_HINT_HUGEPAGE,
    SUTRA_HINT_POPULATE, /* fault in now; I/O errors come back as codes where the OS can */
};

struct sutra_mapping {
    uint8_t *data; /* NULL for an empty mapping */
    size_t bytes;
    uint64_t offset; /* in the file */
    int mode;        /* enum sutra_map_mode */
};

/* Map `bytes` bytes at `offset` of the file at `path`; bytes = 0 maps to the end. offset must
 * be a multiple of the page size (64 KiB is one on every platform). */
int sutra_mapping_open(const char *path, uint64_t offset, size_t bytes, int mode,
                       struct sutra_mapping *mapping_out);
void sutra_mapping_close(struct sutra_mapping *mapping);

/* Give a hint for [offset, offset + bytes) of the mapping; bytes = 0 means to the end. Where
 * the OS lacks it nothing happens, the status is 0 and *reason_out (may be NULL) says why;
 * NULL there means it was passed on. DONTNEED is never passed on for a private mapping, whose
 * changes it would undo. POPULATE gives EIO for a page that a plain read would fault on. */
int sutra_mapping_advise(const struct sutra_mapping *mapping, size_t offset, size_t bytes, int hint,
                         const char **reason_out);

/* Replace the start of a fresh arena by a private mapping of a file section. offset must be a
 * multiple of SUTRA_SECTION_ALIGNMENT. read_only until sutra_arena_commit asks for more. */
int sutra_arena_map_file(struct sutra_arena *arena, int fd, uint64_t offset, size_t bytes);

/* Bytes of [data, data+bytes) that are resident in memory now (mincore); 0 where unknown. */
size_t sutra_resident_bytes(const void *data, size_t bytes);

#endif
