/* Names of a store's files: a number of eight digits or more between two fixed parts. While a file
 * is being written its name has ".tmp" after it.
 *
 * Ownership: _path_in gives malloc'd text. Threading: none. Errors: SUTRA_E_NO_MEMORY, errno's.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_STORE_FILE_NAMES_H
#define SUTRA_STORE_FILE_NAMES_H

#include "../io/table.h"

/* before, number, after; name_out has room for both and 21 bytes more. */
void sutra_numbered_name(const char *before, uint64_t number, const char *after, char *name_out);

/* Is it such a name, in the one way of writing it? */
bool sutra_numbered_parse(const char *name, const char *before, const char *after,
                          uint64_t *number_out);

/* "directory/name" and then `suffix`. */
int sutra_path_in(const char *directory, const char *name, const char *suffix, char **path_out);

/* Make the file, in place of one that a writer who was stopped has left: nothing names such a one.
 * *fd_out is -1 on failure. */
int sutra_open_temporary(const struct sutra_io *io, const char *path, int *fd_out);

#endif
