/* Snapshots, and bringing one back.
 *
 * A snapshot is a checkpoint and then names: segments never change, so a second name for each is a
 * copy. What the directory has from an earlier snapshot stays. The manifest comes when all it names
 * is there, and the identity last: before that the directory is no store.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "directory.h"
#include "file_names.h"

#define COPY_BYTES ((size_t)1 << 20)

/* ---- files */

static int copy_contents(const struct sutra_io *io, int from, int to)
{
    uint64_t bytes, done = 0;
    int status = io->size(io->context, from, &bytes);
    uint8_t *buffer = malloc(COPY_BYTES);
    if (!buffer)
        return SUTRA_E_NO_MEMORY;
    while (status == SUTRA_OK && done < bytes) {
        const size_t step = bytes - done < COPY_BYTES ? (size_t)(bytes - done) : COPY_BYTES;
        status = sutra_io_read_all(io, from, done, buffer, step);
        const struct sutra_span span = {buffer, step};
        if (status == SUTRA_OK)
            status = sutra_io_write_all(io, to, done, &span, 1);
        done += step;
    }
    free(buffer);
    return status == SUTRA_OK ? io->sync(io->context, to) : status;
}

/* Copied under another name, synced, then renamed. */
static int copy_file(const struct sutra_io *io, const char *from, const char *directory,
                     const char *name)
{
    char *partial = NULL, *to = NULL;
    int source = -1, target = -1;
    int status = sutra_path_in(directory, name, ".tmp", &partial);
    if (status == SUTRA_OK)
        status = sutra_path_in(directory, name, "", &to);
    if (status == SUTRA_OK)
        status = io->open(io->context, from, SUTRA_OPEN_READ, &source);
    if (status == SUTRA_OK)
        status = sutra_open_temporary(io, partial, &target);
    if (status == SUTRA_OK)
        status = copy_contents(io, source, target);
    if (source >= 0)
        io->close(io->context, source);
    if (target >= 0) {
        io->close(io->context, target);
        if (status == SUTRA_OK)
            status = io->rename(io->context, partial, to);
        if (status != SUTRA_OK)
            (void)io->unlink(io->context, partial);
    }
    free(partial);
    free(to);
    return status;
}

static int link_or_copy(const struct sutra_io *io, const char *source, const char *directory,
                        const char *name, bool may_link)
{
    char *from = NULL, *to = NULL;
    int status = sutra_path_in(source, name, "", &from);
    if (status == SUTRA_OK)
        status = sutra_path_in(directory, name, "", &to);
    if (status == SUTRA_OK)
        status = may_link ? io->link(io->context, from, to) : EXDEV;
    /* Another file system, or one without hard links. */
    if (status == EXDEV || status == EPERM || status == ENOTSUP || status == EMLINK ||
        status == ENOSYS || status == EACCES)
        status = copy_file(io, from, directory, name);
    free(from);
    free(to);
    return status;
}

/* ---- snapshot */

/* An empty or new directory, or an earlier snapshot of the same store. */
static int check_target(struct sutra_store *store, const char *directory)
{
    const struct sutra_io *io = store->io;
    struct sutra_directory target;
    int status = io->make_directory(io->context, directory);
    if (status == SUTRA_OK)
        status = sutra_directory_sync_parent(io, directory);
    else if (status == EEXIST)
        status = SUTRA_OK;
    if (status == SUTRA_OK)
        status = sutra_directory_read(io, directory, &target);
    if (status != SUTRA_OK)
        return status;
    if (target.has_identity) {
        struct sutra_store_identity identity;
        struct sutra_fault fault;
        status = sutra_identity_read(io, directory, &identity, &fault);
        if (status == SUTRA_OK &&
            (memcmp(identity.store_id, store->manifest.store_id, sizeof identity.store_id) != 0 ||
             target.log_count))
            status = EEXIST; /* another store, or one that is written to */
    } else if (target.foreign) {
        status = ENOTEMPTY;
    }
    sutra_directory_free(&target);
    return status;
}

static int add_segment(struct sutra_store *store, const char *directory,
                       const struct sutra_manifest_file *file)
{
    char name[SUTRA_STORE_NAME_BYTES];
    struct sutra_segment segment;
    struct sutra_fault fault;
    sutra_segment_name(file->number, name);
    int status = sutra_segment_open(store->io, directory, store->manifest.store_id, file->number,
                                    file->bytes, file->identity, &segment, &fault);
    if (status == SUTRA_OK) { /* there from an earlier one */
        sutra_segment_close(&segment);
        return SUTRA_OK;
    }
    if (status != ENOENT)
        (void)sutra_directory_unlink(store->io, directory, name);
    return link_or_copy(store->io, store->path, directory, name, true);
}

/* Older manifests of the target, and what only they name. */
static void clean_target(struct sutra_store *store, const char *directory)
{
    struct sutra_directory target;
    char name[SUTRA_STORE_NAME_BYTES];
    if (sutra_directory_read(store->io, directory, &target) != SUTRA_OK)
        return;
    for (size_t j = 0; j < target.manifest_count; j++) {
        if (target.manifests[j] == store->manifest.generation)
            continue;
        sutra_manifest_name(target.manifests[j], name);
        (void)sutra_directory_unlink(store->io, directory, name);
    }
    for (size_t j = 0; j < target.segment_count; j++) {
        bool named = false;
        for (uint32_t f = 0; f < store->manifest.file_count; f++)
            named = named || store->manifest.files[f].number == target.segments[j];
        if (named)
            continue;
        sutra_segment_name(target.segments[j], name);
        (void)sutra_directory_unlink(store->io, directory, name);
    }
    sutra_directory_free(&target);
}

static int write_snapshot(struct sutra_store *store, const char *directory)
{
    const struct sutra_io *io = store->io;
    struct sutra_store_identity identity;
    struct sutra_fault fault;
    int status = check_target(store, directory);
    if (status == SUTRA_OK)
        status = sutra_store_checkpoint_locked(store, false, true);
    for (uint32_t j = 0; status == SUTRA_OK && j < store->manifest.file_count; j++)
        status = add_segment(store, directory, &store->manifest.files[j]);
    if (status == SUTRA_OK)
        status = io->sync_directory(io->context, directory);
    if (status == SUTRA_OK)
        status = sutra_manifest_write(io, directory, &store->manifest);
    if (status == SUTRA_OK)
        status = sutra_identity_read(io, store->path, &identity, &fault);
    if (status == SUTRA_OK)
        status = sutra_identity_write(io, directory, &identity);
    if (status == SUTRA_OK)
        status = io->sync_directory(io->context, directory);
    if (status == SUTRA_OK)
        clean_target(store, directory);
    return status;
}

int sutra_store_snapshot(struct sutra_store *store, const char *directory)
{
    if (!store->io)
        return SUTRA_E_CONFIG;
    if (store->read_only)
        return SUTRA_E_READ_ONLY;
    pthread_mutex_lock(&store->maintenance);
    const int status = __atomic_load_n(&store->closed, __ATOMIC_ACQUIRE)
                           ? SUTRA_E_CLOSED
                           : write_snapshot(store, directory);
    pthread_mutex_unlock(&store->maintenance);
    return status;
}

/* ---- restore */

static int copy_all(const struct sutra_io *io, const char *src, const char *dst,
                    const struct sutra_directory *source)
{
    char name[SUTRA_STORE_NAME_BYTES];
    int status = SUTRA_OK;
    for (size_t j = 0; j < source->segment_count && status == SUTRA_OK; j++) {
        sutra_segment_name(source->segments[j], name);
        status = link_or_copy(io, src, dst, name, false);
    }
    for (size_t j = 0; j < source->log_count && status == SUTRA_OK; j++) {
        sutra_log_name(source->logs[j], name);
        status = link_or_copy(io, src, dst, name, false);
    }
    for (size_t j = 0; j < source->manifest_count && status == SUTRA_OK; j++) {
        sutra_manifest_name(source->manifests[j], name);
        status = link_or_copy(io, src, dst, name, false);
    }
    if (status == SUTRA_OK)
        status = link_or_copy(io, src, dst, SUTRA_IDENTITY_NAME, false);
    return status == SUTRA_OK ? io->sync_directory(io->context, dst) : status;
}

static int check_copy(const struct sutra_io *io, const struct sutra_kernels *kernels,
                      const char *path, char *file_out, struct sutra_fault *fault_out)
{
    const struct sutra_store_options options = {
        .mode = SUTRA_STORE_READ, .metric = -1, .quantization = -1, .keep_originals = -1};
    struct sutra_store *store;
    int status = sutra_store_open(io, kernels, path, &options, &store, file_out, fault_out);
    if (status != SUTRA_OK)
        return status;
    status = sutra_store_verify(store, true, file_out, fault_out);
    (void)sutra_store_close(store);
    sutra_store_free(store);
    return status;
}

/* Removes what copy_all has made. */
static void remove_copy(const struct sutra_io *io, const char *path)
{
    (void)sutra_directory_remove_store(io, path);
    (void)sutra_directory_remove_temporary(io, path);
    (void)io->remove_directory(io->context, path);
}

int sutra_store_restore(const struct sutra_io *io, const struct sutra_kernels *kernels,
                        const char *src, const char *dst, char *file_out,
                        struct sutra_fault *fault_out)
{
    char unused[SUTRA_STORE_NAME_BYTES];
    file_out = file_out ? file_out : unused;
    file_out[0] = '\0';
    *fault_out = SUTRA_FAULT_NONE;
    struct sutra_directory source, target;
    if (sutra_directory_read(io, dst, &target) == SUTRA_OK) {
        sutra_directory_free(&target);
        return EEXIST;
    }
    int status = sutra_directory_read(io, src, &source);
    if (status != SUTRA_OK)
        return status;
    if (!source.has_identity) {
        sutra_directory_free(&source);
        return SUTRA_E_NOT_STORE;
    }
    const size_t length = strlen(dst);
    char *partial = malloc(length + 16);
    if (!partial) {
        sutra_directory_free(&source);
        return SUTRA_E_NO_MEMORY;
    }
    memcpy(partial, dst, length + 1);
    while (strlen(partial) > 1 && partial[strlen(partial) - 1] == '/')
        partial[strlen(partial) - 1] = '\0';
    memcpy(partial + strlen(partial), ".restoring", sizeof ".restoring");
    remove_copy(io, partial); /* of one that was interrupted */
    status = io->make_directory(io->context, partial);
    if (status == SUTRA_OK) {
        status = copy_all(io, src, partial, &source);
        if (status == SUTRA_OK)
            status = check_copy(io, kernels, partial, file_out, fault_out);
        if (status == SUTRA_OK)
            status = io->rename(io->context, partial, dst);
        if (status == SUTRA_OK)
            status = sutra_directory_sync_parent(io, dst);
        else
            remove_copy(io, partial);
    }
    free(partial);
    sutra_directory_free(&source);
    return status;
}
