/* Durable files: bounded reads, and replacement that is all or nothing.
 *
 * A sutra_file_writer writes to "<path>.tmp.<pid>.<n>" beside the target; _commit syncs it,
 * renames it over the target and syncs the directory, so that a reader sees the old file or
 * the new one, also after a power cut. Until then _abort removes every trace. The new file
 * takes the permissions of the one it replaces; directories and devices are never replaced.
 *
 * Ownership: _begin, then exactly one of _commit or _abort. Threading: one thread a writer.
 * Errors: errno values (ENOSPC, EACCES, EIO, ...). After any failure only _abort is allowed.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_IO_FILE_H
#define SUTRA_IO_FILE_H

#include "../base/config.h"

struct sutra_file_writer {
    int fd;
    char *path;
    char *temporary_path;
    uint64_t written_bytes;
};

int sutra_file_writer_begin(struct sutra_file_writer *writer, const char *path);
int sutra_file_writer_append(struct sutra_file_writer *writer, const void *data, size_t bytes);
/* Overwrite bytes already appended (for a header known only at the end). */
int sutra_file_writer_rewrite(struct sutra_file_writer *writer, uint64_t offset, const void *data,
                              size_t bytes);
/* Append zeros up to a multiple of alignment. */
int sutra_file_writer_align(struct sutra_file_writer *writer, size_t alignment);
int sutra_file_writer_commit(struct sutra_file_writer *writer);
void sutra_file_writer_abort(struct sutra_file_writer *writer);

/* Open for reading (close-on-exec) and report the size; directories and devices are refused. */
int sutra_file_open_read(const char *path, int *fd_out, uint64_t *bytes_out);
/* Read exactly `bytes` at `offset`; SUTRA_E_TRUNCATED when the file ends before. */
int sutra_file_read_at(int fd, uint64_t offset, void *data, size_t bytes);
void sutra_file_close(int fd);

#endif
