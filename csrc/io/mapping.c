/* Mapping files into memory, with hints.
 *
 * All sizes are checked against the file before it is mapped, because a page beyond the end
 * of a file is a signal, not an error code. Hints are madvise calls; where the system has
 * none, or where passing one on would break a promise, the reason is returned instead.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "../base/bytes.h"
#include "../base/platform.h"
#include "../base/status.h"
#include "file.h"
#include "mapping.h"

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/* Linux 5.14; C libraries are younger than their kernels. */
#if defined(__linux__) && !defined(MADV_POPULATE_READ)
#define MADV_POPULATE_READ 22
#endif

static int system_status(int code)
{
    return code == ENOMEM || code == EAGAIN ? SUTRA_E_NO_MEMORY : code;
}

int sutra_mapping_open(const char *path, uint64_t offset, size_t bytes, int mode,
                       struct sutra_mapping *mapping_out)
{
    *mapping_out = (struct sutra_mapping){.offset = offset, .mode = mode};
    if (mode != SUTRA_MAP_SHARED && mode != SUTRA_MAP_PRIVATE)
        return SUTRA_E_ARGUMENT;
    if ((offset & (sutra_page_bytes() - 1)) != 0)
        return SUTRA_E_ARGUMENT;
    int fd;
    uint64_t file_bytes;
    int status = sutra_file_open_read(path, &fd, &file_bytes);
    if (status != SUTRA_OK)
        return status;
    if (offset > file_bytes || bytes > file_bytes - offset)
        status = SUTRA_E_TRUNCATED;
    else if (bytes == 0)
        bytes = (size_t)(file_bytes - offset);
    if (status == SUTRA_OK && bytes > 0) {
        int protection = mode == SUTRA_MAP_PRIVATE ? PROT_READ | PROT_WRITE : PROT_READ;
        int flags = mode == SUTRA_MAP_PRIVATE ? MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED;
        void *data = mmap(NULL, bytes, protection, flags, fd, (off_t)offset);
        if (data == MAP_FAILED) {
            status = system_status(errno);
        } else {
            mapping_out->data = data;
            mapping_out->bytes = bytes;
        }
    }
    sutra_file_close(fd);
    return status;
}

void sutra_mapping_close(struct sutra_mapping *mapping)
{
    if (mapping->data != NULL)
        (void)munmap(mapping->data, mapping->bytes);
    mapping->data = NULL;
    mapping->bytes = 0;
}

/* The system's number for a hint, or -1 and why there is none. */
static int find_advice(int mode, int hint, const char **reason_out)
{
    switch (hint) {
    case SUTRA_HINT_SEQUENTIAL:
        return MADV_SEQUENTIAL;
    case SUTRA_HINT_RANDOM:
        return MADV_RANDOM;
    case SUTRA_HINT_WILLNEED:
        return MADV_WILLNEED;
    case SUTRA_HINT_DONTNEED:
        if (mode == SUTRA_MAP_PRIVATE) {
            *reason_out = "dropping pages of a private mapping would undo its changes";
            return -1;
        }
        return MADV_DONTNEED;
    case SUTRA_HINT_HUGEPAGE:
#if defined(MADV_HUGEPAGE)
        if (sutra_read_thp_mode() == SUTRA_THP_NEVER) {
            *reason_out = "transparent huge pages are switched off on this system";
            return -1;
        }
        return MADV_HUGEPAGE;
#else
        *reason_out = "this system has no huge pages on request";
        return -1;
#endif
    case SUTRA_HINT_POPULATE:
    default:
#if defined(__linux__)
        return MADV_POPULATE_READ;
#else
        *reason_out = "this system cannot fault pages in without risking a signal";
        return -1;
#endif
    }
}

/* Why the kernel answered EINVAL to a well-formed request. */
static const char *explain_refusal(int hint)
{
    switch (hint) {
    case SUTRA_HINT_POPULATE:
        return "this kernel cannot fault pages in without risking a signal (Linux 5.14 can)";
    case SUTRA_HINT_HUGEPAGE:
        return "this kernel has no transparent huge pages for this file system";
    default:
        return "this kernel does not know the hint";
    }
}

int sutra_mapping_advise(const struct sutra_mapping *mapping, size_t offset, size_t bytes, int hint,
                         const char **reason_out)
{
    const char *ignored;
    if (reason_out == NULL)
        reason_out = &ignored;
    *reason_out = NULL;
    if (hint < SUTRA_HINT_SEQUENTIAL || hint > SUTRA_HINT_POPULATE)
        return SUTRA_E_ARGUMENT;
    if (offset > mapping->bytes || bytes > mapping->bytes - offset)
        return SUTRA_E_ARGUMENT;
    if (bytes == 0)
        bytes = mapping->bytes - offset;
    if (bytes == 0) {
        *reason_out = "the range is empty";
        return SUTRA_OK;
    }
    int advice = find_advice(mapping->mode, hint, reason_out);
    if (advice < 0)
        return SUTRA_OK;
    /* The last page is ours even where the file ends inside it, so rounding out is safe. */
    size_t page = sutra_page_bytes();
    size_t begin = offset & ~(page - 1);
    size_t end = sutra_round_up(offset + bytes, page);
    int result;
    do
        result = madvise(mapping->data + begin, end - begin, advice);
    while (result != 0 && errno == EINTR);
    if (result == 0)
        return SUTRA_OK;
    switch (errno) {
    case EINVAL:
    case ENOSYS:
    case ENOTSUP:
        *reason_out = explain_refusal(hint);
        return SUTRA_OK;
    case EFAULT: /* populate met a page it could not read: a plain access would be SIGBUS */
    case EBUSY:
        return EIO;
    default:
        return system_status(errno);
    }
}

int sutra_arena_map_file(struct sutra_arena *arena, int fd, uint64_t offset, size_t bytes)
{
    if (arena->base == NULL || arena->committed_bytes != 0)
        return SUTRA_E_ARGUMENT;
    if (offset % SUTRA_SECTION_ALIGNMENT != 0)
        return SUTRA_E_ARGUMENT;
    if (bytes > arena->reserved_bytes)
        return SUTRA_E_CAPACITY;
    struct stat file;
    if (fstat(fd, &file) != 0)
        return errno;
    uint64_t file_bytes = file.st_size > 0 ? (uint64_t)file.st_size : 0;
    if (offset > file_bytes || bytes > file_bytes - offset)
        return SUTRA_E_TRUNCATED;
    if (bytes == 0)
        return SUTRA_OK;
    void *data = mmap(arena->base, bytes, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd,
                      (off_t)offset);
    if (data == MAP_FAILED)
        return system_status(errno);
    arena->mapped_bytes = sutra_round_up(bytes, sutra_page_bytes());
    arena->committed_bytes = arena->mapped_bytes;
    arena->mapped_read_only = true;
    return SUTRA_OK;
}

size_t sutra_resident_bytes(const void *data, size_t bytes)
{
    if (data == NULL || bytes == 0)
        return 0;
    size_t page = sutra_page_bytes();
    uintptr_t begin = (uintptr_t)data;
    uintptr_t end = begin + bytes;
    size_t resident = 0;
    for (uintptr_t at = begin & ~(page - 1); at < end;) {
        unsigned char pages[1024];
        size_t count = (end - at + page - 1) / page;
        if (count > sizeof pages)
            count = sizeof pages;
#if defined(__APPLE__)
        int result = mincore((void *)at, count * page, (char *)pages);
#else
        int result = mincore((void *)at, count * page, pages);
#endif
        if (result != 0)
            return 0;
        for (size_t i = 0; i < count; i++, at += page) {
            if ((pages[i] & 1) == 0)
                continue;
            uintptr_t from = at < begin ? begin : at;
            uintptr_t to = at + page < end ? at + page : end;
            resident += to - from;
        }
    }
    return resident;
}
