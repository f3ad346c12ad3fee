/* Names of a store's files; the contract is in file_names.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "file_names.h"
#include "../base/status.h"

enum { DIGITS_LEAST = 8, DIGITS_MOST = 20 };

void sutra_numbered_name(const char *before, uint64_t number, const char *after, char *name_out)
{
    char digits[DIGITS_MOST];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0 || count < DIGITS_LEAST);
    const size_t before_bytes = strlen(before), after_bytes = strlen(after);
    memcpy(name_out, before, before_bytes);
    for (size_t i = 0; i < count; i++)
        name_out[before_bytes + i] = digits[count - 1 - i];
    memcpy(name_out + before_bytes + count, after, after_bytes + 1);
}

bool sutra_numbered_parse(const char *name, const char *before, const char *after,
                          uint64_t *number_out)
{
    const size_t before_bytes = strlen(before);
    if (strncmp(name, before, before_bytes) != 0)
        return false;
    const char *digits = name + before_bytes;
    const size_t count = strspn(digits, "0123456789");
    if (count < DIGITS_LEAST || count > DIGITS_MOST || strcmp(digits + count, after) != 0)
        return false;
    /* One number, one name: more digits than eight only where they are needed. */
    if (count > DIGITS_LEAST && digits[0] == '0')
        return false;
    uint64_t number = 0;
    for (size_t i = 0; i < count; i++) {
        if (__builtin_mul_overflow(number, (uint64_t)10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(digits[i] - '0'), &number))
            return false;
    }
    *number_out = number;
    return true;
}

int sutra_path_in(const char *directory, const char *name, const char *suffix, char **path_out)
{
    const size_t directory_bytes = strlen(directory);
    const size_t name_bytes = strlen(name), suffix_bytes = strlen(suffix);
    char *path = malloc(directory_bytes + 1 + name_bytes + suffix_bytes + 1);
    *path_out = path;
    if (path == NULL)
        return SUTRA_E_NO_MEMORY;
    memcpy(path, directory, directory_bytes);
    path[directory_bytes] = '/';
    memcpy(path + directory_bytes + 1, name, name_bytes);
    memcpy(path + directory_bytes + 1 + name_bytes, suffix, suffix_bytes + 1);
    return SUTRA_OK;
}

int sutra_open_temporary(const struct sutra_io *io, const char *path, int *fd_out)
{
    int status = io->open(io->context, path, SUTRA_OPEN_CREATE_EXCLUSIVE, fd_out);
    if (status == EEXIST) {
        status = io->unlink(io->context, path);
        if (status == SUTRA_OK)
            status = io->open(io->context, path, SUTRA_OPEN_CREATE_EXCLUSIVE, fd_out);
    }
    if (status != SUTRA_OK)
        *fd_out = -1;
    return status;
}
