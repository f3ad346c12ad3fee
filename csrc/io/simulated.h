/* A file system in memory that knows what a power cut would leave of it.
 *
 * It keeps, for contents, sizes and directory entries alike, what has reached the medium and what
 * is only in flight: writes since the last sync of the file, name changes since the last sync of
 * the directory. Every call that changes something is an operation with a number. A test runs a
 * workload, then asks for the state of the medium as a crash at any operation would leave it, under
 * a policy for what was in flight, and opens the store in that.
 *
 * In flight are: the data of each write, each change of a file's size (a write that makes the file
 * longer is two things: the size, then the data), and each change of names in a directory, where a
 * rename is one.
 * What survives of them is applied in order. Data beyond the size that has survived is lost.
 *
 * What it does not have: symbolic links, "..", permissions, renames from one directory to another
 * (EXDEV), data beyond 4 GiB in a file (EFBIG). "/a/b" and "a/b" are the same. A descriptor that is
 * open keeps an unlinked file.
 *
 * Ownership: _new/_free; a crash state is a file system of its own, and may outlive the one it is
 * of. Threading: the table as any table; the functions below by one thread, while no call is under
 * way. Crash states of one file system may go to different threads. Errors: errno values.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_IO_SIMULATED_H
#define SUTRA_IO_SIMULATED_H

#include "table.h"

struct sutra_simulated;

enum sutra_crash {
    SUTRA_CRASH_LOSE_ALL = 0, /* nothing that was not synced survives */
    SUTRA_CRASH_KEEP_ALL = 1, /* everything does, as after the death of the process alone */
    SUTRA_CRASH_LOSE_ONE = 2, /* all but the choice-th thing in flight survives */
    SUTRA_CRASH_TEAR_ONE = 3, /* all but part of the choice-th write: sectors of 512 bytes, by
                               * seed; if it has but one, or is no write, all of it is lost */
    SUTRA_CRASH_KEEP_ONE = 4, /* nothing but the choice-th thing in flight does */
    SUTRA_CRASH_SUBSET = 5,   /* a random subset by seed, writes also torn */
};

int sutra_simulated_new(uint64_t seed, struct sutra_simulated **fs_out);
void sutra_simulated_free(struct sutra_simulated *fs);

/* Its table; valid as long as it is. Descriptors, locks and the clock (which starts at the same
 * time always and moves a microsecond whenever it is read) are its own. Random bytes come from the
 * seed. Lists are in order of names. Maps copy into place. */
const struct sutra_io *sutra_simulated_io(struct sutra_simulated *fs);

/* Operations so far that did something: writes, syncs, truncations, allocations, names made, moved
 * and removed. */
uint64_t sutra_simulated_operations(const struct sutra_simulated *fs);
/* Keep a record of all operations from now on, so that crash states can be made (costs memory).
 * What is in flight now stays so. Without a record only the present can be asked for. */
int sutra_simulated_record(struct sutra_simulated *fs);
/* How many things are in flight after `operation` operations; 0 where there is no record. Quick
 * where `operation` is the same as in the call before, here or below, or not much greater; if
 * smaller, the record is gone through again. */
size_t sutra_simulated_in_flight(const struct sutra_simulated *fs, uint64_t operation);
/* The medium after a crash when `operation` operations had been done. All descriptors and locks are
 * gone, and so are files that no name leads to. Syncs mean what they say: a synced file's contents
 * and size survive; a name survives when the directory was synced after it was made (and its file's
 * contents only if the file was synced). An unsynced size change may come without its data (zeros)
 * and data without the size change is lost. Syncing a file does not make its name durable. A
 * directory that was made is a name in the one above. Where `choice` is not less than the number of
 * things in flight, nothing is the one. EINVAL for an operation that is not recorded or a policy
 * that is none.
 */
int sutra_simulated_crash(const struct sutra_simulated *fs, uint64_t operation, int policy,
                          uint64_t choice, uint64_t seed, struct sutra_simulated **crashed_out);

/* What is in flight for the file (contents and size) never reaches the medium, but reads as before,
 * and the next sync has nothing to do and succeeds: what Linux leaves of a sync that failed. It
 * counts as an operation. */
int sutra_simulated_drop(struct sutra_simulated *fs, int fd);

/* Bytes the disk has in all, for the sizes of all files; allocation and growing beyond it is
 * ENOSPC, but a write does first what fits. UINT64_MAX at first. Crash states have the same. */
void sutra_simulated_set_capacity(struct sutra_simulated *fs, uint64_t bytes);

/* For tests that damage files: the contents as read now. NULL if there is no such file. The buffer
 * may be changed in place until the file is next changed by a call; what a crash leaves is not
 * changed by that. */
uint8_t *sutra_simulated_contents(struct sutra_simulated *fs, const char *path, size_t *bytes_out);
/* Make or replace the contents, durable; the names in its directory are synced too. */
int sutra_simulated_put(struct sutra_simulated *fs, const char *path, const void *data,
                        size_t bytes);
/* The path of every file, such as "a/b"; non-zero stops and is returned. */
int sutra_simulated_each(const struct sutra_simulated *fs, sutra_name_fn each, void *context);

#endif
