/* The write-ahead log: files of checksummed records, appended to and never used again.
 *
 * A file is a 96-byte header and then records, each at a multiple of 8:
 *
 *   header   magic "SUTRAWAL", format, store id, file number, salt (random), first LSN, and of the
 *            file before: number, length in valid bytes, last record's checksum; CRC
 *   record   checksum | bytes of payload | LSN | durable delta | flags | payload, zeros to 8
 *
 * A record's checksum covers everything of it after itself, seeded with the file's salt, so that no
 * bytes of another file or another time pass for a record. LSNs are contiguous over files. The
 * durable delta is the record's LSN less the last LSN known durable when it was written: it tells
 * a tail that was torn by a crash, which may be cut, from damage to what had been acknowledged,
 * which must be reported. A record with SUTRA_LOG_MORE is applied only with the ones that follow
 * it, up to the first without: a batch in several records. One without payload is a marker: it
 * vouches for what came before.
 *
 * Files are allocated ahead in steps, so that a full disk is found before a record is written. A
 * record that could not be written whole is cut off again; if that fails too, or a sync fails, the
 * log has failed for good: it takes nothing more (pages that a failed sync has dropped would look
 * clean to the next).
 *
 * The exact layout is in FORMAT.md. Ownership: _create then _close. Threading: one thread at a time
 * appends or cuts; any may call _sync beside that (it makes durable at least what was appended
 * before it began). Errors: errno values from the file table (EIO from a log that has failed),
 * SUTRA_E_NO_MEMORY, SUTRA_E_ARGUMENT, SUTRA_E_CAPACITY, and from replay SUTRA_E_CORRUPT and
 * SUTRA_E_TRUNCATED (fault.offset, fault.what "log record" or "log header"), SUTRA_E_VERSION.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_STORE_LOG_H
#define SUTRA_STORE_LOG_H

#include <pthread.h>

#include "../base/status.h"
#include "../io/table.h"

#define SUTRA_LOG_HEADER_BYTES 96u
#define SUTRA_LOG_RECORD_HEADER_BYTES 24u
#define SUTRA_LOG_PAYLOAD_MAX ((uint32_t)1 << 30)
#define SUTRA_LOG_SPANS_MAX 1024u
#define SUTRA_LOG_VERSION 1u

enum sutra_log_flags { SUTRA_LOG_MORE = 1 };

/* "00000107.wal" in the directory; name_out has room for SUTRA_LOG_NAME_BYTES. Numbers are 1 to
 * SUTRA_LOG_NUMBER_MAX; the name of any other is empty. */
#define SUTRA_LOG_NAME_BYTES 16u
#define SUTRA_LOG_NUMBER_MAX ((uint64_t)99999999999)
void sutra_log_name(uint64_t file_number, char *name_out);
/* Is this the name of a log file? (Exactly what sutra_log_name makes of the number.) */
bool sutra_log_number(const char *name, uint64_t *file_number_out);

/* Where one file ends and what its successor says about it. */
struct sutra_log_end {
    uint64_t file_number;   /* 0: there is no file before */
    uint64_t bytes;         /* valid ones, header included */
    uint32_t last_checksum; /* of the last record, or of the header */
    uint64_t next_lsn;
};

struct sutra_log {
    const struct sutra_io *io;
    int fd; /* -1: closed */
    uint64_t file_number;
    uint64_t salt;
    uint64_t end;       /* valid bytes */
    uint64_t allocated; /* bytes the file has blocks for */
    uint64_t next_lsn;
    uint32_t last_checksum;
    struct sutra_log_end finished; /* the end of the last batch that is complete */
    bool allocates;                /* false: the file system cannot */
    bool failed;                   /* atomic; see sutra_log_failed */
    pthread_mutex_t syncing;       /* held during a sync */
};

/* Make the file (it must not exist), write and sync its header. The caller has synced the file
 * before it, and syncs the directory after. first_lsn is at least 1; `before` is NULL or names no
 * file for the first file of a store, and otherwise a lower number and next_lsn = first_lsn
 * (SUTRA_E_ARGUMENT). On failure the log is closed, and no file is left behind if that can be
 * helped: who then goes on with another number must be ready to find this one, without records, out
 * of the chain. */
int sutra_log_create(struct sutra_log *log, const struct sutra_io *io, const char *directory,
                     const uint8_t store_id[16], uint64_t file_number, uint64_t first_lsn,
                     const struct sutra_log_end *before);
/* Append one record; its LSN is log->next_lsn before the call, which this raises.
 *
 * durable_lsn: everything up to it is known to be on the medium. It is below the record's LSN
 * (SUTRA_E_ARGUMENT) and must count finished batches only, because the LSNs of an unfinished one
 * may be used again.
 *
 * ENOSPC, EDQUOT, EFBIG: the log is as it was and this may be tried again, unless log->failed.
 * Other system errors set failed; the record may or may not be found by a replay then.
 * SUTRA_E_CAPACITY: more than SUTRA_LOG_SPANS_MAX spans or SUTRA_LOG_PAYLOAD_MAX bytes. */
int sutra_log_append(struct sutra_log *log, uint32_t flags, const struct sutra_span *spans,
                     size_t count, uint64_t durable_lsn);
/* Take off the records of a batch that was begun and cannot be finished: next_lsn is again that of
 * its first. Without this, what is appended next would complete it. It syncs, so that nothing of
 * them can come back beside what is written in their place; failing sets failed. */
int sutra_log_cut(struct sutra_log *log);
/* What was appended from this offset on will be synced at once: the disk may begin. */
void sutra_log_start_writing(const struct sutra_log *log, uint64_t from);
/* Failure sets failed. Calls from several threads take turns, because the system tells of a failure
 * but once: whoever syncs after one that failed is told so, too. */
int sutra_log_sync(struct sutra_log *log);
/* True once a write, a cut or a sync has failed in a way that leaves no trust. From any thread. */
bool sutra_log_failed(const struct sutra_log *log);
/* The end of the last finished batch: what a successor is told, and what a replay finds. */
void sutra_log_end_of(const struct sutra_log *log, struct sutra_log_end *end_out);
void sutra_log_close(struct sutra_log *log); /* no sync */

/* ---- replay */

/* Called for each record of a complete batch in order. payload is aligned to 8 and valid during
 * the call. */
typedef int (*sutra_log_fn)(void *context, uint64_t lsn, uint32_t flags, const uint8_t *payload,
                            uint32_t bytes);

struct sutra_log_replay {
    const struct sutra_io *io;
    const char *directory;
    const uint8_t *store_id; /* 16 bytes */
    uint64_t file_number;
    /* What its header must say of the file before (file_number 0: that there is none); NULL: not
     * checked. */
    const struct sutra_log_end *before;
    uint64_t expected_lsn; /* of its first record; 0: as its header says */
    /* For following a growing file: start where an earlier replay of it ended. */
    uint64_t skip_bytes; /* that end's bytes; 0: from the header on, and the next two are unused */
    uint64_t skip_lsn;   /* its next_lsn */
    uint32_t skip_checksum; /* its last_checksum: what end_out says if nothing has come since */
    uint64_t stop_lsn;      /* records above it are not looked at; UINT64_MAX: all */
    bool last;              /* no other file follows: see below */
    sutra_log_fn each;      /* may be NULL */
    void *context;
};

/* Read one file; write nothing.
 *
 * The header must have the magic, a CRC that holds, and the store id, the number, the LSN and the
 * predecessor that are asked for: else SUTRA_E_CORRUPT, "log header", with the offset of the field
 * and, for numbers, what was expected and found. SUTRA_E_VERSION: a newer version (fault.found).
 * SUTRA_E_TRUNCATED: the file is shorter than a header, or is all zeros. A crash while the last
 * file was made leaves that (no record can have been acknowledged: the header is synced before the
 * first), so the caller may treat such a last file as absent. Zeros for a header with anything
 * after them are no crash: SUTRA_E_CORRUPT.
 *
 * A record is valid if its length fits into the file, its LSN is the one that is next, and its
 * checksum holds. Replay ends at the first place p without a valid record, the normal end being
 * zeros that were allocated, or the end of the file; and end_out is then the end of the last
 * complete batch before p: a batch that misses its last record was not acknowledged, `each` is
 * not called for any of it, and its LSNs are used again by the next file.
 *
 * What is behind p decides what it means.
 *   last false  Nothing is searched: the next file's header says where this one must end. Give
 *               end_out as its `before`; if this file has lost something, the two differ, and that
 *               replay gives SUTRA_E_CORRUPT.
 *   last true   If any valid record behind p says by its durable delta that the record missing at
 *               p was durable, then acknowledged data is damaged: SUTRA_E_CORRUPT, "log record",
 *               fault.offset p, fault.expected the missing LSN, fault.found the LSN of the record
 *               that vouches for it (0: none found, but the tail holds so many overlapping
 *               would-be records that it was not searched to the end; no crash leaves that). Else
 *               the tail was torn by a crash, and is an end.
 * If the last file turns out to be absent (above), the one before it is the last: replay its tail
 * again with `last` and with skip_* from its end.
 *
 * A record whose checksum holds and which no writer writes (unknown flags, impossible durable
 * delta) is SUTRA_E_CORRUPT. So is a skip_bytes beyond the file.
 *
 * A file that is being appended to can be followed: with stop_lsn at an LSN that its writer has
 * finished, or without, in which case what is half written counts as torn. An end whose next_lsn is
 * above stop_lsn is where the replay stopped, not where the file ends: it is no `before` for the
 * next file.
 *
 * torn_bytes_out (may be NULL): bytes of an unfinished batch and of what else is behind the end, up
 * to the last that is not zero; 0 when stop_lsn was reached. The file is read in steps: memory is
 * bounded by the largest valid record, or a step of 256 KiB. Non-zero from `each` stops and is
 * returned; end_out is then the end of the last batch handed over whole. On other failures, too,
 * `each` may have been called, for what is before the fault. fault_out may be NULL. */
int sutra_log_replay(const struct sutra_log_replay *replay, struct sutra_log_end *end_out,
                     uint64_t *torn_bytes_out, struct sutra_fault *fault_out);

#endif
