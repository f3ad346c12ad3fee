/* Manifests: the one small file that says what a store consists of.
 *
 * "MANIFEST-00000042" is written beside its name, synced and renamed, then the directory is synced:
 * that moment is the commit of a checkpoint. The newest two are kept with every file they need, so
 * that a manifest damaged later leaves the one before.
 *
 * The identity file "SUTRA" is written once, when the store is made: what this directory is, which
 * format, and the store's id, which every other file repeats.
 *
 * The exact layout is in FORMAT.md. Threading: none. Errors: errno values, SUTRA_E_NO_MEMORY,
 * SUTRA_E_CORRUPT / _TRUNCATED / _VERSION / _NOT_STORE with fault.offset and what.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_STORE_MANIFEST_H
#define SUTRA_STORE_MANIFEST_H

#include "segment.h"

#define SUTRA_STORE_VERSION 1u
/* Of a manifest whose state has columns: who knows nothing of them must not go on with the store.
 */
#define SUTRA_MANIFEST_VERSION_COLUMNS 2u
#define SUTRA_MANIFEST_COLUMN_WORD 40u /* from here on, words that are not all 0 say so */
#define SUTRA_MANIFEST_FILES_MAX 4096u
#define SUTRA_MANIFEST_STATE_WORDS 64u
#define SUTRA_MANIFEST_NAME_BYTES 32u

struct sutra_manifest_file {
    uint64_t number;
    uint64_t bytes;
    uint8_t identity[SUTRA_IDENTITY_BYTES];
};

struct sutra_manifest {
    uint8_t store_id[16];
    uint64_t generation;
    uint64_t checkpoint_lsn;                    /* everything up to here is in the segments */
    uint64_t next_file;                         /* numbers from here on have not been used */
    uint64_t log_file;                          /* the first log file to replay */
    uint64_t graph_lsn;                         /* what the graph was saved at; informational */
    uint64_t state[SUTRA_MANIFEST_STATE_WORDS]; /* the store's and its rooms' scalars */
    uint32_t file_count;
    struct sutra_manifest_file *files; /* segments, oldest first; malloc'd */
};

struct sutra_store_identity {
    uint8_t store_id[16];
    int64_t created_ns;
    bool read_only; /* from _read: has features that this version can read but must not write */
};

/* SUTRA: written, synced, renamed; the caller syncs the directory. */
int sutra_identity_write(const struct sutra_io *io, const char *directory,
                         const struct sutra_store_identity *identity);
/* ENOENT if there is none. SUTRA_E_NOT_STORE: another kind of file. Unknown incompatible feature
 * flags: SUTRA_E_VERSION. */
int sutra_identity_read(const struct sutra_io *io, const char *directory,
                        struct sutra_store_identity *identity_out, struct sutra_fault *fault_out);

void sutra_manifest_name(uint64_t generation, char *name_out);
bool sutra_manifest_number(const char *name, uint64_t *generation_out);

/* All of it, the directory sync included: when this returns 0 the manifest is the store's. When it
 * fails, the store has the manifest it had; but if it was the directory's sync that failed, a crash
 * may bring out the new one all the same, so the files it names must stay until a later manifest is
 * the store's. Files have numbers below next_file, each once (SUTRA_E_ARGUMENT), and are at most
 * SUTRA_MANIFEST_FILES_MAX (SUTRA_E_CAPACITY). */
int sutra_manifest_write(const struct sutra_io *io, const char *directory,
                         const struct sutra_manifest *manifest);
int sutra_manifest_read(const struct sutra_io *io, const char *directory, uint64_t generation,
                        const uint8_t store_id[16], struct sutra_manifest *manifest_out,
                        struct sutra_fault *fault_out);
void sutra_manifest_free(struct sutra_manifest *manifest);

#endif
