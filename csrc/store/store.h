/* The store: concepts with vectors, contents and associations in a directory, durable.
 *
 * Every batch of writes has a sequence number (LSN). It is appended to the log, applied in memory,
 * and acknowledged when it is durable (sync full) or written (interval, off). Readers look through
 * views: a view sees the state after some LSN, whole, however long it is kept and whatever is
 * written meanwhile. Recovery gives the state after some prefix of the batches that holds every one
 * acknowledged as durable. Background work links vectors into the graph, seals what the log holds
 * into segments (checkpoint), and folds associations.
 *
 * Without a path the store lives in memory and nothing is durable.
 *
 * Ownership: _open, then _close and _free; views end before _free. Threading: every function from
 * any thread; writers are ordered by one lock, readers take none for long. _close waits for writers
 * and for background work; views stay readable until they end. Errors: as named; a call that fails
 * before its record is in the log has changed nothing. Once a sync has failed, or the log could not
 * be repaired, every write gives SUTRA_E_DURABILITY and reads go on.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_STORE_STORE_H
#define SUTRA_STORE_STORE_H

#include "ops.h"
#include "../attributes/predicate.h"
#include "../concepts/traverse.h"
#include "../index/index.h"
#include "../io/table.h"

#define SUTRA_BATCH_CONCEPTS_MAX ((size_t)16 << 20)

enum sutra_store_mode {
    SUTRA_STORE_APPEND = 0,    /* "a": open, or make if there is none */
    SUTRA_STORE_READ = 1,      /* "r": no lock, nothing is written */
    SUTRA_STORE_WRITE = 2,     /* "w": remove what is there, then make */
    SUTRA_STORE_EXCLUSIVE = 3, /* "x": make; EEXIST if there is one */
};

enum sutra_store_sync { SUTRA_SYNC_FULL = 0, SUTRA_SYNC_INTERVAL = 1, SUTRA_SYNC_OFF = 2 };

/* -1 (or 0 for the unsigned) means: what is stored, or the default for a new store. */
struct sutra_store_options {
    int mode, sync;
    uint32_t dim; /* 0: from the first vector */
    int metric, quantization, keep_originals;
    uint32_t m, ef_construction;
    int resident;
    unsigned threads;               /* of background linking; 0: 1 */
    uint64_t max_bytes;             /* of the directory; 0: no limit (SUTRA_E_CAPACITY) */
    uint32_t reconcile_interval_ms; /* 0: 10 */
    uint32_t flush_threshold;       /* pending rows at which writers wait; 0: 50,000 */
    uint32_t sync_interval_ms;      /* 0: 100 */
    uint64_t log_bytes;             /* checkpoint when the log has grown by this; 0: 64 MiB */
    bool no_thread;                 /* no background thread: the caller calls _reconcile */
    bool no_compaction;             /* but when _compact is called */
    uint64_t compact_dead;          /* fewer dead versions are left alone; 0: 4,096 */
    uint32_t compact_share; /* one part in so many of the living, by bytes, may be dead before
                               the store is compacted; 0: 12 */
    const char *holder;     /* what to tell others who has the lock; NULL: nothing */
};

struct sutra_store;
struct sutra_store_view;

/* SUTRA_E_LOCKED (fault.what NULL; sutra_store_holder tells who), SUTRA_E_CONFIG (fault.what names
 * the option, expected what is stored, found what was asked), SUTRA_E_CORRUPT / _TRUNCATED /
 * _VERSION / _NOT_STORE with fault.what and offset and, in file_out (SUTRA_STORE_NAME_BYTES, may be
 * NULL), the file's name; ENOENT (mode r), EEXIST (x), and what the system says. */
#define SUTRA_STORE_NAME_BYTES 32u
int sutra_store_open(const struct sutra_io *io, const struct sutra_kernels *kernels,
                     const char *path, const struct sutra_store_options *options,
                     struct sutra_store **store_out, char *file_out, struct sutra_fault *fault_out);
/* Checkpoints (what cannot be written then is in the log). Returns the checkpoint's status; the
 * store is closed whatever it is. */
int sutra_store_close(struct sutra_store *store);
/* Close without another write, as a killed process would. In a forked child it closes the
 * descriptors and touches nothing else: locks may have been held at the fork, threads are gone. */
void sutra_store_abandon(struct sutra_store *store);
void sutra_store_free(struct sutra_store *store);
/* Who holds the writer's lock, as it said itself: a line of text. ENOENT if nobody said. */
int sutra_store_holder(const struct sutra_io *io, const char *path, char *text_out,
                       size_t text_bytes);

/* ---- writing */

/* Do all of ops or nothing; later ones see what earlier ones did. lsn_out: of the batch; op->done
 * and op->first_number say what each did. fault.row: the item that is wrong; fault.expected: which
 * operation.
 * SUTRA_E_DUPLICATE_ID (an id alive, or twice in one operation), SUTRA_E_NOT_FOUND (of a LINK;
 * fault.found 0: its source, 1: its target), SUTRA_E_VECTOR (fault.row: the item),
 * SUTRA_E_DIMENSION (fault.expected the dimension, found), SUTRA_E_ARGUMENT, SUTRA_E_CAPACITY (also
 * of a SET: a value too long, or more than SUTRA_SETTINGS_MAX settings at any operation; of a
 * FIELD: more than SUTRA_FIELDS_MAX), SUTRA_E_CONFIG (of a PUT: fault.what "metadata", fault.found
 * >> 8 is the field that the metadata of the item do not fit, as in sutra_store_fields, and
 * fault.found & 255 what is there; of a FIELD: see sutra_attributes_stage), SUTRA_E_READ_ONLY,
 * SUTRA_E_CLOSED, SUTRA_E_DURABILITY, ENOSPC, ... wait false: return when written, though sync is
 * full; see sutra_store_wait. */
int sutra_store_write(struct sutra_store *store, struct sutra_op *ops, size_t count, bool wait,
                      uint64_t *lsn_out, struct sutra_fault *fault_out);
/* Take `count` numbers as ids without writing anything; they may be given again after a restart if
 * nothing was put under them. SUTRA_E_CAPACITY, and as _write. */
int sutra_store_reserve_numbers(struct sutra_store *store, size_t count, int64_t *first_out);
/* Until everything up to lsn is durable. SUTRA_E_DURABILITY. */
int sutra_store_wait(struct sutra_store *store, uint64_t lsn);
int sutra_store_flush(struct sutra_store *store); /* everything written so far is durable */
uint64_t sutra_store_durable_lsn(const struct sutra_store *store);
uint64_t sutra_store_visible_lsn(const struct sutra_store *store);

/* ---- views */

/* The state as acknowledged now. */
int sutra_store_view_begin(struct sutra_store *store, struct sutra_store_view **view_out);
/* The same, pinned: while one is open, records are not changed in place (reads through it repeat
 * bit for bit). For views kept longer than one call. */
int sutra_store_view_pin(struct sutra_store *store, struct sutra_store_view **view_out);
void sutra_store_view_end(struct sutra_store_view *view);
uint64_t sutra_store_view_lsn(const struct sutra_store_view *view);
size_t sutra_store_view_count(const struct sutra_store_view *view); /* concepts */

/* ---- reading; pointers are valid until the view ends */

/* Slots of the concepts visible, SUTRA_NO_SLOT for those that are not. concepts_out may be NULL. */
int sutra_store_find(const struct sutra_store_view *view, const struct sutra_ids *ids,
                     uint32_t *slots_out, uint32_t *concepts_out);
/* Concepts from number *next on, in the order ids were first seen; *next_inout is where to go on.
 */
int sutra_store_scan(const struct sutra_store_view *view, size_t *next_inout, size_t limit,
                     uint32_t *slots_out, uint32_t *concepts_out, size_t *count_out);

/* The id of a concept number, whether visible or not; see sutra_concepts_id. */
int sutra_store_id(const struct sutra_store_view *view, uint32_t concept, int64_t *number_out,
                   const char **text_out, uint32_t *text_bytes_out);

struct sutra_concept {
    struct sutra_record record; /* a copy; reference_count as of the view */
    const char *text;           /* the id, if it is one */
    uint32_t text_bytes;
    const uint8_t *content, *metadata; /* NULL if there is none */
    uint32_t content_bytes, metadata_bytes;
    bool has_vector;
};
/* SUTRA_E_NOT_FOUND for a number that is no slot. */
int sutra_store_read(const struct sutra_store_view *view, uint32_t concept, uint32_t slot,
                     struct sutra_concept *concept_out);
/* Copies of the records of found concepts; zeros where the slot is SUTRA_NO_SLOT. */
int sutra_store_records(const struct sutra_store_view *view, const uint32_t *concepts,
                        const uint32_t *slots, size_t count, struct sutra_record *records_out);
uint32_t sutra_store_dim(const struct sutra_store_view *view); /* 0: not known yet */
int sutra_store_vector(const struct sutra_store_view *view, uint32_t slot, float *vector_out);

/* Settings have no versions: a view sees those of now, each whole and those of a batch together,
 * and once compaction has put another state in its place, those from before. Those of a write may
 * be seen before it is durable. The value, copied if it fits into `room` (SUTRA_E_CAPACITY;
 * SUTRA_SETTING_BYTES_MAX is always enough), and its length in either case. SUTRA_E_NOT_FOUND. */
int sutra_store_setting(const struct sutra_store_view *view, const char *name, size_t name_bytes,
                        uint8_t *value_out, size_t room, size_t *bytes_out);
/* The names of all, in the order of their bytes, each after a byte with its length; malloc'd. */
int sutra_store_settings(const struct sutra_store_view *view, uint8_t **names_out,
                         size_t *bytes_out, size_t *count_out);

/* ---- fields and predicates (attributes.h, predicate.h) */

/* Fields have no versions: those of now, as settings. In the order they were declared, each a byte
 * with its type, one with the length of its path, and the path; malloc'd. */
int sutra_store_fields(const struct sutra_store_view *view, uint8_t **fields_out, size_t *bytes_out,
                       size_t *count_out);
/* Concept numbers are below it. */
size_t sutra_store_numbers(const struct sutra_store_view *view);
/* The concepts visible that a predicate is true of: bits of numbers below `limit`, in whole words,
 * and how many there are. A search takes them as a set. SUTRA_E_CORRUPT if metadata cannot be
 * read. */
int sutra_store_where(const struct sutra_store_view *view, const struct sutra_predicate *predicate,
                      size_t limit, uint64_t *concepts_out, size_t *count_out);

/* count x k: slots and concepts (SUTRA_NO_SLOT padded), distances (infinity). Sets of the search
 * are bitmaps of concepts; what a query is to do without is a slot. */
int sutra_store_search(const struct sutra_store_view *view, const struct sutra_search *search,
                       uint32_t *slots_out, uint32_t *concepts_out, float *distances_out,
                       struct sutra_fault *fault_out);

/* Links of a concept, heaviest first (then by the other end's number); malloc'd. */
int sutra_store_links(const struct sutra_store_view *view, uint32_t concept, int direction,
                      uint16_t kind, struct sutra_link **links_out, size_t *count_out);
uint16_t sutra_store_kind(const struct sutra_store_view *view, const char *name, uint32_t bytes);
const char *sutra_store_kind_name(const struct sutra_store_view *view, uint16_t kind,
                                  uint32_t *bytes_out);
/* Fills what traverse.h asks for, for this view; kinds stay the caller's. */
void sutra_store_traversal(const struct sutra_store_view *view, struct sutra_traversal *out);

/* ---- care */

/* One round of background work: link up to a step of pending rows, checkpoint or fold if due.
 * *busy_out: there is more to do. */
int sutra_store_reconcile(struct sutra_store *store, bool *busy_out);
/* Link everything that is pending now. */
int sutra_store_settle(struct sutra_store *store);
int sutra_store_checkpoint(struct sutra_store *store);
/* Rewrite the store to what is visible now: dead versions, their bytes and their places in the
 * graph are gone, segments become one. Views keep the old state until they end. */
int sutra_store_compact(struct sutra_store *store);
/* Read-only handles: see everything that was acknowledged before the call. *changed_out. */
int sutra_store_refresh(struct sutra_store *store, bool *changed_out);
/* Copy a consistent state to a directory: hard links where possible; what is there already from an
 * earlier snapshot of the same store is kept. Its manifest comes last. */
int sutra_store_snapshot(struct sutra_store *store, const char *directory);
/* dst must not exist. Checks everything on the way. */
int sutra_store_restore(const struct sutra_io *io, const struct sutra_kernels *kernels,
                        const char *src, const char *dst, char *file_out,
                        struct sutra_fault *fault_out);
/* What could be saved of a damaged store. */
struct sutra_repair_report {
    uint64_t concepts, associations, vectors; /* in the new store */
    uint64_t lost_concepts;                   /* that were listed and could not be read */
    uint64_t damaged_blocks; /* of 64 KiB, in segments: what they hold may be wrong */
    uint64_t generation;     /* of the manifest that was used */
    uint64_t lsn;            /* the state saved is the one after it */
    bool older_manifest;     /* a newer one did not hold */
    bool log_cut;            /* the log is damaged: what came after is not saved */
    bool lost_settings;      /* those of the manifest are damaged: saved are those set since */
    bool lost_fields;        /* the same of declared fields */
};
/* Save what can be read of src into a new store dst (EEXIST if there is something). The source is
 * not changed. Fails only if there is nothing to begin with: no identity, no manifest. */
int sutra_store_repair(const struct sutra_io *io, const struct sutra_kernels *kernels,
                       const char *src, const char *dst, struct sutra_repair_report *report_out,
                       char *file_out, struct sutra_fault *fault_out);
/* Structure; deep: every block of every file, and every invariant. */
int sutra_store_verify(struct sutra_store *store, bool deep, char *file_out,
                       struct sutra_fault *fault_out);

struct sutra_store_stats {
    struct sutra_index_options options; /* dim 0: not known */
    uint64_t concepts, slots, dead_slots;
    uint64_t vectors, pending, dead_vectors;
    uint64_t associations, delta_associations, kinds, fields;
    uint64_t content_bytes; /* of the heap */
    uint64_t visible_lsn, durable_lsn, checkpoint_lsn;
    uint64_t generation; /* of the manifest */
    uint64_t log_bytes, log_files, segment_bytes, segments;
    uint64_t memory_bytes, mapped_bytes, originals_bytes; /* planes in memory; of files */
    uint64_t open_views;
    uint64_t checkpoints, checkpoint_bytes,
        checkpoint_ns; /* this handle: count, last one's bytes, time */
    uint64_t recovered_records, recovered_bytes, torn_bytes, recovery_ns;
    bool manifest_fallback;
    int64_t reconciler_lag_ms;  /* age of the oldest pending row; 0 if none */
    int failed;                 /* 0, or the status that made the handle read-only */
    int last_checkpoint_status; /* of the last attempt: ENOSPC, ... */
    bool linked;
};
int sutra_store_stats(struct sutra_store *store, struct sutra_store_stats *stats_out);

#endif
