/* What the files of this room share: the store's inside.
 *
 * Locks, in the order they are taken: maintenance (linking, checkpoints, folding, compaction,
 * snapshots: one at a time), writer (appending to the log and changing the state), commit (what is
 * durable and what is visible; the background thread waits on its condition).
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_STORE_STORE_PARTS_H
#define SUTRA_STORE_STORE_PARTS_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <pthread.h>

#include "log.h"
#include "manifest.h"
#include "settings.h"
#include "store.h"
#include "../base/epoch.h"
#include "../index/stream.h"

/* Words of a manifest's state. */
enum {
    SUTRA_STATE_FLAGS = 0,
    SUTRA_STATE_METRIC = 1,
    SUTRA_STATE_QUANTIZATION = 2,
    SUTRA_STATE_KEEP_ORIGINALS = 3,
    SUTRA_STATE_M = 4,
    SUTRA_STATE_EF_CONSTRUCTION = 5,
    SUTRA_STATE_SEED = 6,
    SUTRA_STATE_HASH_SEED = 7,
    SUTRA_STATE_CONCEPTS = 8,
    SUTRA_STATE_ASSOCIATIONS = SUTRA_STATE_CONCEPTS + SUTRA_CONCEPTS_STATE_WORDS,
    SUTRA_STATE_STREAM = SUTRA_STATE_ASSOCIATIONS + SUTRA_ASSOCIATIONS_STATE_WORDS,
    SUTRA_STATE_ATTRIBUTES = SUTRA_STATE_STREAM + SUTRA_STREAM_STATE_WORDS,
    SUTRA_STATE_END = SUTRA_STATE_ATTRIBUTES + SUTRA_ATTRIBUTES_STATE_WORDS
};

_Static_assert(SUTRA_STATE_END <= SUTRA_MANIFEST_STATE_WORDS, "the manifest has room");
_Static_assert((unsigned)SUTRA_STATE_ATTRIBUTES == SUTRA_MANIFEST_COLUMN_WORD,
               "the manifest knows where columns begin");

enum { SUTRA_STATE_HAS_INDEX = 1 };

/* Kinds of sections that are the store's own, after those of the rooms' parts. */
enum { SUTRA_SECTION_SETTINGS = SUTRA_PART_KINDS, SUTRA_SECTION_KINDS };

#define SUTRA_PARTS_MAX                                                                            \
    (SUTRA_CONCEPTS_PARTS + SUTRA_ASSOCIATIONS_PARTS + SUTRA_STREAM_PARTS + SUTRA_ATTRIBUTES_PARTS)

/* Everything that readers see. Replaced as a whole by compaction. */
struct sutra_state {
    unsigned references; /* atomic */
    struct sutra_concepts concepts;
    struct sutra_associations *associations; /* atomic; replaced by folding */
    struct sutra_index *index;               /* atomic; NULL until the dimension is known */
    struct sutra_settings settings;
    struct sutra_attributes attributes;
};

/* What the segments hold of a part, or of the settings. */
struct sutra_sealed {
    uint64_t rows;
    uint64_t version;
    uint64_t patched_bytes; /* in segments, since the last that holds the whole plane */
    bool present;
};

struct sutra_overlay_item {
    uint64_t hash; /* 0: free */
    const struct sutra_ids *ids;
    uint32_t at;
    uint32_t op;
    bool alive;
};

/* What validation finds out, kept for applying, and memory that writes use again. */
struct sutra_write_scratch {
    /* concept numbers of the ids of the operation: of a PUT, or the sources and targets of a LINK
     */
    uint32_t *numbers, *others;
    uint32_t *slots;
    uint16_t *kinds;
    float *weights, *confidences;
    int64_t *labels;
    bool *fresh;
    size_t room;
    bool resolved; /* numbers and others are those of the one operation */

    struct sutra_overlay_item *overlay; /* ids that the batch has named so far */
    size_t overlay_size, overlay_used;

    int64_t **assigned; /* of each operation without ids */
    size_t assigned_count;

    struct sutra_index *fresh_index; /* made for a batch that brings the first vectors */
    uint32_t fresh_dim;
};

struct sutra_store {
    const struct sutra_io *io; /* NULL: in memory */
    const struct sutra_kernels *kernels;
    char *path;
    struct sutra_store_options options;
    struct sutra_index_options index_options; /* dim 0: not known */
    uint64_t hash_seed;
    bool read_only;
    bool salvage;       /* take what holds of a damaged store; read-only */
    bool log_cut;       /* the log was, where it is damaged */
    bool lost_settings; /* those in segments were, which are damaged */
    bool lost_fields;   /* the same of declared fields */
    int lock_fd;        /* -1: none */
    int state_fd;       /* the scratch file that tells readers what is visible; -1: none */

    struct sutra_epochs epochs;
    struct sutra_state *state; /* atomic */
    unsigned views;            /* atomic: open ones */
    unsigned pinned;           /* atomic: open pinned ones, and those about to be */
    bool touching;             /* atomic: records may be changed in place just now */

    pthread_mutex_t maintenance;
    pthread_mutex_t writer;
    pthread_mutex_t commit;
    pthread_cond_t changed;

    /* writer */
    struct sutra_log log;
    bool log_open;
    bool closing;
    bool closed; /* atomic */
    uint64_t next_lsn;
    uint64_t next_file;           /* the writer's lock guards it */
    struct sutra_log_end log_end; /* of the newest closed log file; file_number 0: none */
    struct sutra_encoder encoder;
    struct sutra_write_scratch scratch;

    /* commit */
    uint64_t applied_lsn; /* the last one that memory holds */
    uint64_t applied_live;
    uint64_t durable_lsn; /* atomic reads */
    uint64_t visible_lsn; /* atomic reads: what a new view sees */
    uint64_t visible_live;
    uint64_t visible_sequence; /* odd while the two above change */
    bool syncing;
    int failed; /* atomic: 0 or why nothing more is written */

    /* maintenance */
    struct sutra_manifest manifest;
    struct sutra_manifest previous; /* the one before, kept with its files; generation 0: none */
    struct sutra_sealed sealed[SUTRA_SECTION_KINDS];
    uint64_t sealed_graph_rows;
    uint64_t checkpoint_at;    /* log bytes at which the next checkpoint is due; the writer's */
    uint64_t log_bytes_before; /* valid bytes of the closed logs since the checkpoint */
    int64_t pending_since_ns;  /* atomic: monotonic; 0: nothing pending */
    struct sutra_store_stats counters;

    /* a read-only handle: where it is in the log */
    struct sutra_log_end follow;

    int link_status;       /* of the last attempt to link; the commit lock guards it */
    bool work_due;         /* a checkpoint or fold may be; the commit lock guards it */
    bool compaction_due;   /* the same */
    uint64_t compact_from; /* dead versions from which it is tried again; the writer's */
    long pid;              /* of the process that opened it */
    pthread_t thread;
    bool thread_started;
    bool stop; /* atomic */
    bool marker_due;
};

struct sutra_store_view {
    struct sutra_store *store;
    struct sutra_state *state;
    struct sutra_associations *associations;
    struct sutra_index *index;
    uint64_t lsn;
    uint64_t live;
    bool pinned;
};

/* ---- state.c */

int sutra_state_new(struct sutra_store *store, struct sutra_state **state_out);
void sutra_state_retain(struct sutra_state *state);
void sutra_state_release(struct sutra_state *state);
/* The newest state; the caller holds the writer's or the maintenance lock. */
SUTRA_INLINE struct sutra_state *sutra_store_state(const struct sutra_store *store)
{
    return __atomic_load_n(&store->state, __ATOMIC_ACQUIRE);
}
/* Put `fresh` in place of the state that readers get, and let go of the old one once nobody can be
 * about to take it. */
void sutra_store_swap_state(struct sutra_store *store, struct sutra_state *fresh);
void sutra_store_swap_associations(struct sutra_store *store, struct sutra_associations *fresh);
/* Make the index once the dimension is known. */
int sutra_state_make_index(struct sutra_store *store, struct sutra_state *state, uint32_t dim,
                           struct sutra_fault *fault_out);
/* All parts of the state; at most SUTRA_PARTS_MAX. */
size_t sutra_state_parts(struct sutra_state *state, struct sutra_part *parts_out);
/* Words of the manifest for the state as it is. with_graph false: keeps the graph's words. */
void sutra_state_words(const struct sutra_store *store, const struct sutra_state *state,
                       bool with_graph, uint64_t *words_out);
/* Load the state that a manifest names; with_graph false, for salvage, leaves out its graph, and
 * settings and fields that do not hold. */
int sutra_state_load(struct sutra_store *store, const struct sutra_manifest *manifest,
                     bool with_graph, struct sutra_state **state_out, char *file_out,
                     struct sutra_fault *fault_out);

/* ---- validate.c */

int sutra_write_scratch_reserve(struct sutra_write_scratch *scratch, size_t items);
void sutra_write_scratch_free(struct sutra_write_scratch *scratch);
/* Forget what the last batch left. */
void sutra_write_scratch_reset(struct sutra_write_scratch *scratch);

/* Check all of ops against the state, and fill in assigned ids. */
int sutra_validate(struct sutra_store *store, struct sutra_state *state, struct sutra_op *ops,
                   size_t count, struct sutra_fault *fault_out);

/* ---- choose.c; the writer's lock is held */

/* Fill in the ids of every DELETE by a predicate. Whatever it returns, _forget_ids afterwards. */
int sutra_choose_ids(struct sutra_store *store, const struct sutra_state *state,
                     struct sutra_op *ops, size_t count);
void sutra_forget_ids(struct sutra_op *ops, size_t count);

/* ---- apply.c */

/* Memory for what operations will do: after it, applying cannot fail. */
int sutra_reserve_ops(struct sutra_store *store, struct sutra_state *state,
                      const struct sutra_op *ops, size_t count);
/* Do an operation; returns what struct sutra_op calls done. */
size_t sutra_apply_op(struct sutra_store *store, struct sutra_state *state,
                      const struct sutra_op *op, uint64_t lsn);
/* Decode a log record and do it. */
int sutra_apply_record(struct sutra_store *store, struct sutra_state *state,
                       struct sutra_decoder *decoder, uint64_t lsn, const uint8_t *payload,
                       uint32_t bytes, struct sutra_fault *fault_out);

/* ---- commit.c */

/* The state now holds everything up to lsn. The writer's lock is held. */
void sutra_store_applied(struct sutra_store *store, uint64_t lsn);
/* Make what is applied durable, and visible if it was not. Nothing but the writer's lock may be
 * held. */
int sutra_store_sync(struct sutra_store *store);
/* Wait for a sync in flight: its descriptor is about to be closed. The writer's lock is held. */
void sutra_store_await_sync(struct sutra_store *store);
void sutra_store_fail(struct sutra_store *store, int status);
void sutra_store_wake(struct sutra_store *store);
/* A read-only handle has replayed up to lsn. */
void sutra_store_seen(struct sutra_store *store, uint64_t lsn);
void sutra_store_tell_readers(struct sutra_store *store);

/* ---- write.c */

/* Make sure there is a log file to append to. The writer's lock is held. */
int sutra_store_open_log(struct sutra_store *store);
/* Sync and close the log file; the next write makes a new one. The writer's lock is held. */
int sutra_store_close_log(struct sutra_store *store);

/* A record without content: it vouches for what came before it. */
int sutra_store_write_marker(struct sutra_store *store);

/* ---- recover.c */

/* Replay the log from where `end` is, up to stop_lsn. `end_inout` is raised to where it stops. */
int sutra_store_replay(struct sutra_store *store, struct sutra_state *state,
                       struct sutra_log_end *end_inout, uint64_t stop_lsn, char *file_out,
                       struct sutra_fault *fault_out);

/* Load the newest state and replay the log; fills the store's position. */
int sutra_store_recover(struct sutra_store *store, char *file_out, struct sutra_fault *fault_out);
/* How far a reader may read: what a living writer says, or everything. */
int sutra_store_stop_lsn(struct sutra_store *store, uint64_t *stop_out);

/* ---- checkpoint.c; the maintenance lock is held */

int sutra_store_checkpoint_locked(struct sutra_store *store, bool whole, bool with_graph);
bool sutra_store_checkpoint_due(struct sutra_store *store);
/* Take the present rows of all parts as saved: after loading. */
int sutra_store_mark_sealed(struct sutra_store *store, struct sutra_state *state);
/* Keep only the newest manifest and what it needs: once more the same, as the one before. */
int sutra_store_forget_previous(struct sutra_store *store);
/* Remove files that no kept manifest names. */
void sutra_store_clean(struct sutra_store *store);
uint64_t sutra_store_log_bytes(struct sutra_store *store);
/* Linked rows that the graph on disk does not have. The maintenance lock is held. */
uint64_t sutra_store_unsaved_rows(const struct sutra_store *store);

/* ---- maintain.c */

int sutra_store_start_thread(struct sutra_store *store);
void sutra_store_stop_thread(struct sutra_store *store);
int sutra_store_link_step(struct sutra_store *store, size_t rows, size_t *linked_out);
size_t sutra_store_pending(struct sutra_store *store);
bool sutra_store_fold_due(const struct sutra_associations *associations);
/* Merge the associations' delta into their base. The maintenance lock is held. */
int sutra_store_fold(struct sutra_store *store);
/* Age of the oldest pending row. The commit lock is held. */
int64_t sutra_store_lag_ms(const struct sutra_store *store);

/* ---- compact.c */

/* The maintenance lock is held. */
int sutra_store_compact_locked(struct sutra_store *store);
/* Is so much dead that rewriting the store pays? The writer's lock is held. */
bool sutra_store_compaction_due(const struct sutra_store *store, const struct sutra_state *state);

/* ---- copy.c */

/* Copy what a view sees into `fresh`, which is empty: without dead versions, numbers anew. Concepts
 * that cannot be read are left out and counted, or, with lost_out NULL, an error. */
int sutra_state_copy(struct sutra_store *store, const struct sutra_store_view *view,
                     struct sutra_state *fresh, size_t *lost_out);

/* ---- store.c */

/* The same as sutra_store_open, of a damaged store: mode r, and see repair.c. */
int sutra_store_open_salvage(const struct sutra_io *io, const struct sutra_kernels *kernels,
                             const char *path, struct sutra_store **store_out, char *file_out,
                             struct sutra_fault *fault_out);

#endif
